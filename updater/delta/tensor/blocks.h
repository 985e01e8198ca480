/* Blocks of weights as plain numbers, both ways, by one table of fields.
 *
 * A value is step * (code - zero) + offset.  Step and offset are those of its
 * part: a block has one part, or 8 or 16 with integers of their own.  Part of
 * the frozen predictor: a change here is another version of the format. */
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
    BLOCK_INTEGERS /* 8 bits each, whose scale stands elsewhere */
};
/* The term added to step * level. */
enum block_offset { OFFSET_NONE, OFFSET_M, OFFSET_DMIN };
/* How the usual quantizer of the type finds a step (docs/internals). */
enum block_rule { RULE_SIGNED, RULE_LARGEST, RULE_RANGE };

/* Numbers of some bits in a block.  Number i = first + group * run * per +
 * turn * run + k lies in byte offset + group * run + k, from bit shift +
 * turn * bits on; its bits stand at bit `into` of the whole number. */
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
    uint8_t id;       /* number of the tensor type in GGUF */
    uint8_t is_float; /* enum block_float */
    uint16_t values;
    uint16_t bytes;
    uint16_t part_values;
    uint8_t code_bits;
    uint8_t code_flip;  /* 128: stored with a sign; codes have none */
    uint8_t zero;       /* the code of value 0 */
    bool is_grid;       /* codes are steps of the uneven grid */
    uint8_t scale_bits; /* 0: no scales; step is d */
    uint8_t scale_flip;
    uint8_t scale_zero;
    uint8_t offset;  /* enum block_offset */
    uint8_t rule;    /* enum block_rule */
    uint8_t divisor; /* the rule's divisor; the scales' is below */
    int16_t scale_divisor;
    uint8_t d_at;
    uint8_t m_at;
    struct block_field fields[9]; /* up to LIST_END */
};

struct block {
    uint16_t d; /* f16 */
    uint16_t m; /* f16: m or dmin */
    uint8_t scales[BLOCK_PARTS_MAX];
    uint8_t mins[BLOCK_PARTS_MAX];
    uint8_t codes[BLOCK_VALUES_MAX];
};

/* NULL: the codec does not know the type. */
const struct block_type *flo_block_type(uint32_t id);
void flo_block_unpack(const struct block_type *type, const uint8_t *bytes, struct block *out);
/* Every bit of the bytes is written; the block is of no use afterwards. */
void flo_block_pack(const struct block_type *type, struct block *block, uint8_t *bytes);

/* Numbers in units of 2^-32, at most 2^40 in magnitude. */
int64_t flo_fixed_of_f16(uint16_t half);
/* Step and offset of a part. */
void flo_block_grid(const struct block_type *type, const struct block *block, size_t part,
                    int64_t *step, int64_t *offset);
/* All values of a block of codes. */
void flo_block_values(const struct block_type *type, const struct block *block, int64_t *values);

/* The steps of the IQ4 types, ascending. */
extern const int8_t flo_block_steps[16];

#endif
