/* See blocks.h. */
#include "updater/delta/tensor/blocks.h"

#include <string.h>

const int8_t flo_block_steps[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                    1,    13,   25,  38,  53,  69,  89,  113};

/* clang-format off */
#define C LIST_CODES
#define S LIST_SCALES
#define M LIST_MINS
/* list first count offset bits run per shift into */
#define NIBBLES(at, run) {C, 0, 0, at, 4, run, 2, 0, 0}
#define K4_SCALES(at)                                                          \
    {S, 0, 4, at, 6, 1, 1, 0, 0}, {S, 4, 4, at + 8, 4, 1, 1, 0, 0},            \
    {S, 4, 4, at, 2, 1, 1, 6, 4}, {M, 0, 4, at + 4, 6, 1, 1, 0, 0},            \
    {M, 4, 4, at + 8, 4, 1, 1, 4, 0}, {M, 4, 4, at + 4, 2, 1, 1, 6, 4}

static const struct block_type types[] = {
    /* id float values bytes part | code bits flip zero grid | scale bits flip
     * zero | offset rule divisor, of scales | d at, m at | fields */
    {0, BLOCK_F32, 1, 4, 1, .code_bits = 0},
    {1, BLOCK_F16, 1, 2, 1, .code_bits = 0},
    {30, BLOCK_BF16, 1, 2, 1, .code_bits = 0},
    {2, 0, 32, 18, 32, 4, 0, 8, false, 0, 0, 0, OFFSET_NONE, RULE_SIGNED, 8, 1,
     0, 0, {NIBBLES(2, 16)}},
    {3, 0, 32, 20, 32, 4, 0, 0, false, 0, 0, 0, OFFSET_M, RULE_RANGE, 15, 1,
     0, 2, {NIBBLES(4, 16)}},
    {6, 0, 32, 22, 32, 5, 0, 16, false, 0, 0, 0, OFFSET_NONE, RULE_SIGNED, 16,
     1, 0, 0, {NIBBLES(6, 16), {C, 0, 0, 2, 1, 1, 8, 0, 4}}},
    {7, 0, 32, 24, 32, 5, 0, 0, false, 0, 0, 0, OFFSET_M, RULE_RANGE, 31, 1,
     0, 2, {NIBBLES(8, 16), {C, 0, 0, 4, 1, 1, 8, 0, 4}}},
    {8, 0, 32, 34, 32, 8, 128, 128, false, 0, 0, 0, OFFSET_NONE, RULE_LARGEST,
     127, 1, 0, 0, {{C, 0, 0, 2, 8, 32, 1, 0, 0}}},
    {20, 0, 32, 18, 32, 4, 0, 0, true, 0, 0, 0, OFFSET_NONE, RULE_SIGNED, 127,
     1, 0, 0, {NIBBLES(2, 16)}},
    {23, 0, 256, 136, 32, 4, 0, 0, true, 6, 0, 32, OFFSET_NONE, RULE_SIGNED,
     127, -32, 0, 0, {NIBBLES(8, 16), {S, 0, 8, 4, 4, 1, 2, 0, 0},
     {S, 0, 8, 2, 2, 1, 4, 0, 4}}},
    {10, 0, 256, 84, 16, 2, 0, 0, false, 4, 0, 0, OFFSET_DMIN, RULE_RANGE, 3,
     15, 80, 82, {{C, 0, 0, 16, 2, 32, 4, 0, 0}, {S, 0, 16, 0, 4, 1, 1, 0, 0},
     {M, 0, 16, 0, 4, 1, 1, 4, 0}}},
    {11, 0, 256, 110, 16, 3, 0, 4, false, 6, 0, 32, OFFSET_NONE, RULE_SIGNED,
     4, -32, 108, 0, {{C, 0, 0, 32, 2, 32, 4, 0, 0}, {C, 0, 0, 0, 1, 32, 8, 0, 2},
     {S, 0, 16, 96, 4, 8, 2, 0, 0}, {S, 0, 16, 104, 2, 4, 4, 0, 4}}},
    {12, 0, 256, 144, 32, 4, 0, 0, false, 6, 0, 0, OFFSET_DMIN, RULE_RANGE, 15,
     63, 0, 2, {NIBBLES(16, 32), K4_SCALES(4)}},
    {13, 0, 256, 176, 32, 5, 0, 0, false, 6, 0, 0, OFFSET_DMIN, RULE_RANGE, 31,
     63, 0, 2, {NIBBLES(48, 32), {C, 0, 0, 16, 1, 32, 8, 0, 4}, K4_SCALES(4)}},
    {14, 0, 256, 210, 16, 6, 0, 32, false, 8, 128, 128, OFFSET_NONE,
     RULE_SIGNED, 32, -128, 208, 0, {NIBBLES(0, 64),
     {C, 0, 0, 128, 2, 32, 4, 0, 4}, {S, 0, 16, 192, 8, 16, 1, 0, 0}}},
};
#undef C
#undef S
#undef M
/* clang-format on */

const struct block_type *flo_block_type(uint32_t id)
{
    for (size_t i = 0; i < FLO_COUNT(types); i++) {
        if (types[i].id == id) {
            return &types[i];
        }
    }
    return NULL;
}

/* ---- bytes and numbers ---- */

static uint8_t *list_of(struct block *block, const struct block_field *field)
{
    uint8_t *lists[] = {[LIST_CODES] = block->codes,
                        [LIST_SCALES] = block->scales,
                        [LIST_MINS] = block->mins};

    return lists[field->list] + field->first;
}

/* A field of codes has all of the block's. */
static size_t count_of(const struct block_type *type,
                       const struct block_field *field)
{
    return field->list == LIST_CODES ? type->values : field->count;
}

/* Inlined for the common runs: their loops become vectors. */
__attribute__((always_inline)) static inline void
read_runs(const struct block_field *field, size_t run, size_t count,
          const uint8_t *bytes, uint8_t *list)
{
    unsigned mask = (1u << field->bits) - 1;

    for (size_t at = 0; at < count; at += run * field->per) {
        for (unsigned turn = 0; turn < field->per; turn++) {
            unsigned shift = field->shift + turn * field->bits;
            for (size_t k = 0; k < run; k++) {
                list[k] |= (uint8_t)((bytes[k] >> shift & mask) << field->into);
            }
            list += run;
        }
        bytes += run;
    }
}

static void read_field(const struct block_field *field, size_t count,
                       const uint8_t *bytes, uint8_t *list)
{
    if (field->run == 16) {
        read_runs(field, 16, count, bytes, list);
    } else if (field->run == 32) {
        read_runs(field, 32, count, bytes, list);
    } else {
        read_runs(field, field->run, count, bytes, list);
    }
}

__attribute__((always_inline)) static inline void
write_runs(const struct block_field *field, size_t run, size_t count,
           const uint8_t *list, uint8_t *bytes)
{
    unsigned mask = (1u << field->bits) - 1;

    for (size_t at = 0; at < count; at += run * field->per) {
        for (unsigned turn = 0; turn < field->per; turn++) {
            unsigned shift = field->shift + turn * field->bits;
            for (size_t k = 0; k < run; k++) {
                bytes[k] |= (uint8_t)((list[k] >> field->into & mask) << shift);
            }
            list += run;
        }
        bytes += run;
    }
}

static void write_field(const struct block_field *field, size_t count,
                        const uint8_t *list, uint8_t *bytes)
{
    if (field->run == 16) {
        write_runs(field, 16, count, list, bytes);
    } else if (field->run == 32) {
        write_runs(field, 32, count, list, bytes);
    } else {
        write_runs(field, field->run, count, list, bytes);
    }
}

static void flip(uint8_t *list, size_t count, uint8_t with)
{
    for (size_t i = 0; with != 0 && i < count; i++) {
        list[i] ^= with;
    }
}

void flo_block_unpack(const struct block_type *type, const uint8_t *bytes,
                      struct block *out)
{
    memset(out->scales, 0, sizeof out->scales + sizeof out->mins);
    memset(out->codes, 0, type->values);
    out->d = flo_get_u16(bytes + type->d_at);
    out->m = type->offset == OFFSET_NONE ? 0 : flo_get_u16(bytes + type->m_at);
    for (const struct block_field *field = type->fields;
         field->list != LIST_END; field++) {
        read_field(field, count_of(type, field), bytes + field->offset,
                   list_of(out, field));
    }
    flip(out->codes, type->values, type->code_flip);
    flip(out->scales, BLOCK_PARTS_MAX, type->scale_flip);
}

void flo_block_pack(const struct block_type *type, struct block *block,
                    uint8_t *bytes)
{
    flip(block->codes, type->values, type->code_flip);
    flip(block->scales, BLOCK_PARTS_MAX, type->scale_flip);
    memset(bytes, 0, type->bytes);
    flo_put_u16(bytes + type->d_at, block->d);
    if (type->offset != OFFSET_NONE) {
        flo_put_u16(bytes + type->m_at, block->m);
    }
    for (const struct block_field *field = type->fields;
         field->list != LIST_END; field++) {
        write_field(field, count_of(type, field), list_of(block, field),
                    bytes + field->offset);
    }
}

/* ---- numbers and values ---- */

int64_t flo_fixed_of_f16(uint16_t half)
{
    const int64_t most = INT64_C(1) << 40;
    unsigned exponent = half >> 10 & 31;
    int64_t value = half & 1023;

    value = exponent == 0 ? value << 8 : (value + 1024) << (exponent + 7);
    value = value < most ? value : most;
    return (half & 0x8000) != 0 ? -value : value;
}

void flo_block_grid(const struct block_type *type, const struct block *block,
                    size_t part, int64_t *step, int64_t *offset)
{
    *step = flo_fixed_of_f16(block->d);
    *offset = 0;
    if (type->scale_bits != 0) {
        *step *= block->scales[part] - type->scale_zero;
    }
    if (type->offset == OFFSET_M) {
        *offset = flo_fixed_of_f16(block->m);
    } else if (type->offset == OFFSET_DMIN) {
        *offset = -flo_fixed_of_f16(block->m) * block->mins[part];
    }
}

void flo_block_values(const struct block_type *type, const struct block *block,
                      int64_t *values)
{
    for (size_t i = 0; i < type->values; i += type->part_values) {
        int64_t step;
        int64_t offset;
        flo_block_grid(type, block, i / type->part_values, &step, &offset);
        for (size_t k = i; k < i + type->part_values; k++) {
            int level = type->is_grid ? flo_block_steps[block->codes[k]]
                                      : block->codes[k] - type->zero;
            values[k] = step * level + offset;
        }
    }
}
