/* Forecast: see forecast.h. */
#include "updater/delta/tensor/forecast.h"

#include <string.h>

/* Bound for values of another type, 8192 in units of 2^-32, so that a product
 * of two does not overflow. */
#define VALUE_MAX (INT64_C(1) << 45)

/* ---- numbers ---- */

/* Rounds a number in units of 2^-32 to the nearest f16, half to even; larger
 * numbers become the largest f16. */
uint16_t flo_tensor_f16(int64_t value)
{
    uint64_t size = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    uint32_t sign = value < 0 ? 0x8000u : 0;
    unsigned exponent = 0;
    unsigned shift = 8; /* subnormals are multiples of 2^-24 */

    while (size >> shift >= 2048) {
        shift++;
    }
    if (size >> shift >= 1024) {
        exponent = shift - 7;
    }
    uint64_t kept = size >> shift;
    uint64_t rest = size & ((UINT64_C(1) << shift) - 1);
    uint64_t half = UINT64_C(1) << (shift - 1);
    kept += rest > half || (rest == half && (kept & 1) != 0);
    uint64_t bits = exponent == 0 ? kept : kept + ((uint64_t)exponent << 10) - 1024;
    return (uint16_t)(sign | (bits < 0x7bff ? (uint32_t)bits : 0x7bffu));
}

/* ---- old values ---- */

/* Converts an f32 to units of 2^-32, at most 2^48 in magnitude. */
static int64_t fixed_of_f32(uint32_t bits)
{
    const int64_t most = INT64_C(1) << 48;
    int exponent = (int)(bits >> 23 & 255);
    int64_t value = (int64_t)((bits & 0x7fffff) | 0x800000);
    int shift = exponent - 127 - 23 + 32;

    if (exponent == 0 || shift < -24) {
        return 0;
    }
    if (shift > 24) {
        value = most;
    } else if (shift >= 0) {
        value *= INT64_C(1) << shift;
    } else {
        value = (value + (INT64_C(1) << (-shift - 1))) >> -shift;
    }
    return (bits & UINT32_C(0x80000000)) != 0 ? -value : value;
}

static uint32_t f32_of_f16(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    uint32_t exponent = half >> 10 & 31;
    uint32_t rest = half & 1023;

    if (exponent == 31) {
        return sign | 0x7f800000u | rest << 13;
    }
    if (exponent == 0) {
        if (rest == 0) {
            return sign;
        }
        exponent = 1;
        while ((rest & 1024) == 0) {
            rest <<= 1;
            exponent--;
        }
        rest &= 1023;
    }
    return sign | (exponent + 112) << 23 | rest << 13;
}

uint32_t flo_tensor_f32_at(const struct block_type *type, const uint8_t *bytes, uint64_t i)
{
    if (type->is_float == BLOCK_F32) {
        return flo_get_u32(bytes + i * 4);
    }
    uint16_t half = flo_get_u16(bytes + i * 2);
    return type->is_float == BLOCK_F16 ? f32_of_f16(half) : (uint32_t)half << 16;
}

/* Reads values of a tensor.  `cache` keeps the values of the current block,
 * since several new blocks may need them. */
static void read_values(const struct block_type *type, const uint8_t *bytes,
                        int64_t cache[BLOCK_VALUES_MAX], uint64_t first, size_t count, int64_t *out)
{
    if (type->is_float == BLOCK_INTEGERS) {
        for (size_t i = 0; i < count; i++) {
            out[i] =
                (int64_t)((bytes[first + i] ^ type->code_flip) - type->zero) * (INT64_C(1) << 32);
        }
        return;
    }
    if (type->is_float != BLOCK_CODES) {
        for (size_t i = 0; i < count; i++) {
            out[i] = fixed_of_f32(flo_tensor_f32_at(type, bytes, first + i));
        }
        return;
    }
    for (size_t i = 0; i < count;) {
        size_t inside = (size_t)((first + i) % type->values);
        size_t run = type->values - inside;
        run = run < count - i ? run : count - i;
        if (inside == 0) {
            struct block block;
            flo_block_unpack(type, bytes + (first + i) / type->values * type->bytes, &block);
            flo_block_values(type, &block, cache);
        }
        memcpy(out + i, cache + inside, run * sizeof *out);
        i += run;
    }
}

void flo_tensor_old_values(struct tensor_model *model, const struct tensor_part *part,
                           uint64_t first, size_t count, int64_t *out)
{
    read_values(part->old_type, part->old, model->cache, first, count, out);
}

void flo_tensor_values(const struct block_type *type, const uint8_t *bytes, uint64_t first,
                       size_t count, int64_t *out)
{
    int64_t cache[BLOCK_VALUES_MAX];

    read_values(type, bytes, cache, first, count, out);
}

/* Rounds an old value to a float type and returns its bits. */
uint32_t flo_tensor_rounded(uint32_t bits, const struct block_type *type)
{
    uint32_t sign = bits >> 16 & 0x8000u;
    uint32_t rest = bits & 0x7fffffffu;

    if (type->is_float == BLOCK_F32) {
        return bits;
    }
    if (type->is_float == BLOCK_BF16) {
        return rest > 0x7f800000u ? bits >> 16 : (bits + 0x7fffu + (bits >> 16 & 1)) >> 16;
    }
    if (rest > 0x7f800000u) {
        return sign | 0x7e00u;
    }
    if (rest >= 0x477ff000u) {
        return sign | 0x7c00u;
    }
    if (rest >= 0x38800000u) {
        return sign | (rest - 0x38000000u + 0xfffu + (rest >> 13 & 1)) >> 13;
    }
    return sign | flo_tensor_f16(fixed_of_f32(rest));
}

uint32_t flo_tensor_f32(int64_t value)
{
    uint64_t size = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    uint32_t sign = value < 0 ? UINT32_C(0x80000000) : 0;
    uint32_t exponent = 127 + 23 - 32;

    if (size == 0) {
        return sign;
    }
    while (size >= 1 << 24) {
        uint64_t odd = size & 1;
        size = (size >> 1) + (odd != 0 && (size & 2) != 0);
        exponent++;
    }
    while (size < 1 << 23) {
        size <<= 1;
        exponent--;
    }
    return sign | exponent << 23 | (uint32_t)(size & 0x7fffff);
}

/* ---- prediction of a block ---- */

/* Computes the step and offset that the new type's usual quantiser would
 * choose. */
static void forecast_part(const struct block_type *type, const int64_t *x, int64_t *step,
                          int64_t *offset)
{
    int64_t least = x[0];
    int64_t most = x[0];

    for (size_t i = 1; i < type->part_values; i++) {
        least = x[i] < least ? x[i] : least;
        most = x[i] > most ? x[i] : most;
    }
    int64_t farthest = size_of(least) > size_of(most) ? least : most;
    *offset = 0;
    if (type->rule == RULE_RANGE) {
        if (type->offset == OFFSET_DMIN && least > 0) {
            least = 0;
        }
        *offset = least;
        *step = (most - least) / type->divisor;
    } else if (type->rule == RULE_SIGNED) {
        *step = -farthest / type->divisor;
    } else {
        *step = size_of(farthest) / type->divisor;
    }
}

static void forecast_halves(const struct block_type *type, struct forecast *forecast)
{
    size_t parts = type->values / type->part_values;
    int64_t step = forecast->steps[0];
    int64_t offset = forecast->offsets[0];

    for (size_t k = 1; k < parts; k++) {
        if (size_of(forecast->steps[k]) > size_of(step)) {
            step = forecast->steps[k];
        }
        offset = forecast->offsets[k] < offset ? forecast->offsets[k] : offset;
    }
    forecast->d = flo_tensor_f16(step / type->scale_divisor);
    forecast->m =
        flo_tensor_f16(type->offset == OFFSET_DMIN ? -offset / type->scale_divisor : offset);
}

void flo_tensor_forecast(struct tensor_model *model, const struct tensor_part *part, uint64_t first,
                         struct forecast *forecast)
{
    const struct block_type *type = part->new_type;
    size_t parts = type->values / type->part_values;

    if (part->old_type == type) {
        forecast->is_same_type = true;
        forecast->d = forecast->old.d;
        forecast->m = forecast->old.m;
        for (size_t k = 0; k < parts; k++) {
            flo_block_grid(type, &forecast->old, k, &forecast->steps[k], &forecast->offsets[k]);
        }
        return;
    }
    forecast->is_same_type = false;
    flo_tensor_old_values(model, part, first, type->values, forecast->values);
    for (size_t i = 0; i < type->values; i++) {
        int64_t *value = &forecast->values[i];
        *value = *value > VALUE_MAX ? VALUE_MAX : *value < -VALUE_MAX ? -VALUE_MAX : *value;
    }
    for (size_t k = 0; k < parts; k++) {
        forecast_part(type, forecast->values + k * type->part_values, &forecast->steps[k],
                      &forecast->offsets[k]);
    }
    forecast_halves(type, forecast);
}
