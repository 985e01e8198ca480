/* Weight blocks: unpacks and packs the fields of a block; see blocks.h. */
#include "updater/delta/tensor/blocks.h"

#include <string.h>

const int8_t flo_block_steps[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                    1,    13,   25,  38,  53,  69,  89,  113};

/* clang-format off */
#define FLO_BLOCK_FIELD(list, ...) {LIST_##list, __VA_ARGS__}
#define FLO_BLOCK_TYPE(id, name, kind, values, bytes, part, bits, flip, zero,  \
                       grid, scale_bits, scale_flip, scale_zero, offset, rule, \
                       divisor, scale_divisor, d, m, ...)                      \
    {id, BLOCK_##kind, values, bytes, part, bits, flip, zero, grid,            \
     scale_bits, scale_flip, scale_zero, OFFSET_##offset, RULE_##rule,         \
     divisor, scale_divisor, d, m, {__VA_ARGS__}},
/* clang-format on */
static const struct block_type types[] = {
#include "updater/delta/tensor/types.def"
};
#undef FLO_BLOCK_FIELD
#undef FLO_BLOCK_TYPE

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
    uint8_t *lists[] = {
        [LIST_CODES] = block->codes, [LIST_SCALES] = block->scales, [LIST_MINS] = block->mins};

    return lists[field->list] + field->first;
}

/* Returns the count of numbers in a field; a field of codes has all codes of
 * the block. */
static size_t count_of(const struct block_type *type, const struct block_field *field)
{
    return field->list == LIST_CODES ? type->values : field->count;
}

/* Reads packed numbers.  Callers pass a constant `run` for the common types and
 * the function is inlined, so that the compiler vectorises its loops. */
__attribute__((always_inline)) static inline void read_runs(const struct block_field *field,
                                                            size_t run, size_t count,
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

static void read_field(const struct block_field *field, size_t count, const uint8_t *bytes,
                       uint8_t *list)
{
    if (field->run == 16) {
        read_runs(field, 16, count, bytes, list);
    } else if (field->run == 32) {
        read_runs(field, 32, count, bytes, list);
    } else {
        read_runs(field, field->run, count, bytes, list);
    }
}

__attribute__((always_inline)) static inline void write_runs(const struct block_field *field,
                                                             size_t run, size_t count,
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

static void write_field(const struct block_field *field, size_t count, const uint8_t *list,
                        uint8_t *bytes)
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

void flo_block_unpack(const struct block_type *type, const uint8_t *bytes, struct block *out)
{
    memset(out->scales, 0, sizeof out->scales + sizeof out->mins);
    memset(out->codes, 0, type->values);
    out->d = flo_get_u16(bytes + type->d_at);
    out->m = type->offset == OFFSET_NONE ? 0 : flo_get_u16(bytes + type->m_at);
    for (const struct block_field *field = type->fields; field->list != LIST_END; field++) {
        read_field(field, count_of(type, field), bytes + field->offset, list_of(out, field));
    }
    flip(out->codes, type->values, type->code_flip);
    flip(out->scales, BLOCK_PARTS_MAX, type->scale_flip);
}

void flo_block_pack(const struct block_type *type, struct block *block, uint8_t *bytes)
{
    flip(block->codes, type->values, type->code_flip);
    flip(block->scales, BLOCK_PARTS_MAX, type->scale_flip);
    memset(bytes, 0, type->bytes);
    flo_put_u16(bytes + type->d_at, block->d);
    if (type->offset != OFFSET_NONE) {
        flo_put_u16(bytes + type->m_at, block->m);
    }
    for (const struct block_field *field = type->fields; field->list != LIST_END; field++) {
        write_field(field, count_of(type, field), list_of(block, field), bytes + field->offset);
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

void flo_block_grid(const struct block_type *type, const struct block *block, size_t part,
                    int64_t *step, int64_t *offset)
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

void flo_block_values(const struct block_type *type, const struct block *block, int64_t *values)
{
    for (size_t i = 0; i < type->values; i += type->part_values) {
        int64_t step;
        int64_t offset;
        flo_block_grid(type, block, i / type->part_values, &step, &offset);
        for (size_t k = i; k < i + type->part_values; k++) {
            int level =
                type->is_grid ? flo_block_steps[block->codes[k]] : block->codes[k] - type->zero;
            values[k] = step * level + offset;
        }
    }
}
