/* Weight blocks: converts blocks of all types to plain numbers and back, by one
 * table of fields.
 *
 * A value is step * (code - zero) + offset.  A block has one part, or 8 or 16
 * with integer scales of their own; each part has its step and offset.  This is
 * part of the frozen predictor: a change needs a new version of the format. */
#ifndef FLOTILLA_TENSOR_BLOCKS_H
#define FLOTILLA_TENSOR_BLOCKS_H

#include <flotilla/base.h>

#define BLOCK_VALUES_MAX 256
#define BLOCK_PARTS_MAX 16

enum block_float {
    BLOCK_CODES,
    BLOCK_F16,
    BLOCK_BF16,
    BLOCK_F32,
    BLOCK_INTEGERS /* integers of 8 bits, whose scale is in another tensor of the file */
};
/* The offset that is added to step * level. */
enum block_offset { OFFSET_NONE, OFFSET_M, OFFSET_DMIN };
/* Rule by which the usual quantiser of the type computes a step
 * (docs/internals). */
enum block_rule { RULE_SIGNED, RULE_LARGEST, RULE_RANGE };

/* Packed numbers in a block.  Number i = first + group * run * per + turn * run
 * + k is stored in byte offset + group * run + k, from bit shift + turn * bits
 * on.  These bits go to bit `into` of the number. */
struct block_field {
    uint8_t list; /* enum block_list */
    uint8_t first;
    uint16_t count;
    uint8_t offset;
    uint8_t bits;
    uint8_t run;
    uint8_t per;
    uint8_t shift;
    uint8_t into;
};
enum block_list { LIST_END, LIST_CODES, LIST_SCALES, LIST_MINS };

struct block_type {
    uint8_t id;       /* id of the tensor type in GGUF */
    uint8_t is_float; /* enum block_float */
    uint16_t values;
    uint16_t bytes;
    uint16_t part_values;
    uint8_t code_bits;
    uint8_t code_flip;  /* bits to invert; 128 makes signed codes unsigned */
    uint8_t zero;       /* the code that means value 0 */
    bool is_grid;       /* codes are indices into the uneven grid */
    uint8_t scale_bits; /* bits of the scale of a block's part; 0: no scales, each step is d */
    uint8_t scale_flip;
    uint8_t scale_zero;
    uint8_t offset;  /* enum block_offset */
    uint8_t rule;    /* enum block_rule */
    uint8_t divisor; /* divisor in the rule for a step; scale_divisor is the one for scales */
    int16_t scale_divisor;
    uint8_t d_at;
    uint8_t m_at;
    struct block_field fields[9]; /* the list ends with LIST_END */
};

struct block {
    uint16_t d; /* f16 */
    uint16_t m; /* offset of the block as an f16: m or dmin, as the type says */
    uint8_t scales[BLOCK_PARTS_MAX];
    uint8_t mins[BLOCK_PARTS_MAX];
    uint8_t codes[BLOCK_VALUES_MAX];
};

/* Returns the type with this GGUF id, or NULL when the codec does not support
 * it. */
const struct block_type *flo_block_type(uint32_t id);
void flo_block_unpack(const struct block_type *type, const uint8_t *bytes, struct block *out);
/* Writes the block's numbers as packed bytes, every bit of them.  Changes the
 * numbers of `block`. */
void flo_block_pack(const struct block_type *type, struct block *block, uint8_t *bytes);

/* Converts an f16 to a fixed-point number in units of 2^-32, at most 2^40 in
 * magnitude. */
int64_t flo_fixed_of_f16(uint16_t half);
/* Computes step and offset of a part. */
void flo_block_grid(const struct block_type *type, const struct block *block, size_t part,
                    int64_t *step, int64_t *offset);
/* Computes all values of a block of codes. */
void flo_block_values(const struct block_type *type, const struct block *block, int64_t *values);

/* The uneven levels of the IQ4 types, ascending. */
extern const int8_t flo_block_steps[16];

#endif
