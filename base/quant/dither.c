/* Dither: changes stored weights, in integers; see dither.h. */
#include "base/quant/dither.h"

#include <math.h>
#include <string.h>

__extension__ typedef __int128 wide;
__extension__ typedef unsigned __int128 uwide;

bool flo_dither_is_built(void)
{
    return true;
}

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

uint64_t flo_dither_key(uint64_t seed, const char *tensor_name)
{
    uint64_t key = mix(seed + 0x9e3779b97f4a7c15u);
    for (const char *c = tensor_name; *c != '\0'; c++) {
        key = mix(key ^ (uint8_t)*c) + 0x9e3779b97f4a7c15u;
    }
    return key;
}

/* Returns u in [0, 1) as 32 bits, for element `index` of the tensor with hash
 * `key`. */
static uint32_t dither(uint64_t key, uint64_t index)
{
    return (uint32_t)(mix(key + index * 0x9e3779b97f4a7c15u) >> 32);
}

static int bit_length(uint64_t x)
{
    return x == 0 ? 0 : 64 - __builtin_clzll(x);
}

/* Normalises value * 2^exponent; `value` is above 0 and has at most 126
 * bits. */
static struct flo_fixed normal(uwide value, int exponent)
{
    uint64_t high = (uint64_t)(value >> 64);
    int bits = high != 0 ? 64 + bit_length(high) : bit_length((uint64_t)value);
    int shift = bits - 62;
    value = shift > 0 ? value >> shift : value << -shift;
    return (struct flo_fixed){(uint64_t)value, exponent + shift};
}

/* Splits a finite f32 into fraction * 2^exponent, with fraction below 2^24. */
static int32_t split_f32(float value, int *exponent)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    int32_t fraction = (int32_t)(bits & 0x7fffff);
    int field = (int)(bits >> 23 & 0xff);
    if (field != 0) {
        fraction |= 0x800000;
    }
    *exponent = (field != 0 ? field : 1) - 150;
    return (bits >> 31) != 0 ? -fraction : fraction;
}

struct flo_fixed flo_fixed_from(float value, uint32_t divisor)
{
    int exponent;
    uwide fraction = (uwide)(uint32_t)split_f32(value, &exponent);
    return normal((fraction << 100) / divisor, exponent - 100);
}

/* Returns the quotient scale / (d * 2^-24) for d > 0. */
static struct flo_fixed per_step(struct flo_fixed scale, uint64_t d)
{
    return normal(((uwide)scale.mantissa << 64) / d, scale.exponent - 64 + 24);
}

/* Returns floor(sum * 2^exponent * ratio * 2^32), clamped to +-2^96. */
static wide scaled(int64_t sum, int exponent, struct flo_fixed ratio)
{
    const wide most = (wide)1 << 96;
    wide product = (wide)sum * (wide)ratio.mantissa;
    int shift = -(exponent + ratio.exponent + 32);
    if (shift > 126) {
        shift = 126;
    }
    if (shift >= 0) {
        product >>= shift; /* an arithmetic shift, which rounds down */
    } else if (product != 0) {
        product = product > 0 ? most : -most;
    }
    return product > most ? most : product < -most ? -most : product;
}

/* Converts an f16 to an integer multiple of 2^-24. */
static int64_t half_units(uint16_t half)
{
    int field = half >> 10 & 0x1f;
    int64_t fraction = half & 0x3ff;
    int64_t units = field == 0 ? fraction : (fraction | 0x400) << (field - 1);
    return (half & 0x8000) != 0 ? -units : units;
}

/* ---- blocks of codes with one scale ---- */

struct block {
    int32_t code[32];
    int32_t least;
    int32_t most;
    uint16_t d;
};

static int64_t saturated(wide x)
{
    const wide most = (wide)1 << 48;
    return (int64_t)(x > most ? most : x < -most ? -most : x);
}

static void dither_block(struct block *block, size_t at, const struct flo_dither_change *change,
                         struct flo_dither_result *result)
{
    int64_t d = half_units(block->d);
    double dot = 0;
    double square = 0;
    double step = ldexp((double)d, -24);
    result->codes += 32;
    if (d == 0) { /* with d = 0 all values are equal, and there is no step */
        struct flo_fixed one = per_step(change->scale, 1);
        for (size_t j = 0; j < 32; j++) {
            double x = ldexp((double)scaled(change->sum[at + j], change->exponent, one), -32 - 24);
            square += x * x;
        }
        result->wanted_dot_wanted += square;
        return;
    }
    struct flo_fixed ratio = per_step(change->scale, (uint64_t)(d < 0 ? -d : d));
    for (size_t j = 0; j < 32; j++) {
        int64_t sum = change->sum[at + j];
        int64_t x = saturated(scaled(d < 0 ? -sum : sum, change->exponent, ratio));
        int64_t u = dither(change->key, change->first + at + j);
        int64_t code = block->code[j] + ((x + u) >> 32);
        code = code < block->least ? block->least : code > block->most ? block->most : code;
        double wanted = (double)x;
        dot += (double)(code - block->code[j]) * wanted;
        square += wanted * wanted;
        result->codes_changed += code != block->code[j];
        block->code[j] = (int32_t)code;
    }
    result->moved_dot_wanted += ldexp(dot, -32) * step * step;
    result->wanted_dot_wanted += ldexp(square, -64) * step * step;
}

static void load_nibbles(struct block *block, const uint8_t q[16])
{
    block->least = 0;
    block->most = 15;
    for (int j = 0; j < 16; j++) {
        block->code[j] = q[j] & 15;
        block->code[j + 16] = q[j] >> 4;
    }
}

static void store_nibbles(const struct block *block, uint8_t q[16])
{
    for (int j = 0; j < 16; j++) {
        q[j] = (uint8_t)(block->code[j] | block->code[j + 16] << 4);
    }
}

static void row_q4_0(void *row, size_t values, const struct flo_dither_change *change,
                     struct flo_dither_result *result)
{
    struct flo_block_q4_0 *blocks = row;
    for (size_t at = 0; at < values; at += 32, blocks++) {
        struct block block = {.d = blocks->d};
        load_nibbles(&block, blocks->q);
        dither_block(&block, at, change, result);
        store_nibbles(&block, blocks->q);
    }
}

static void row_q4_1(void *row, size_t values, const struct flo_dither_change *change,
                     struct flo_dither_result *result)
{
    struct flo_block_q4_1 *blocks = row;
    for (size_t at = 0; at < values; at += 32, blocks++) {
        struct block block = {.d = blocks->d};
        load_nibbles(&block, blocks->q);
        dither_block(&block, at, change, result);
        store_nibbles(&block, blocks->q);
    }
}

static void row_q8_0(void *row, size_t values, const struct flo_dither_change *change,
                     struct flo_dither_result *result)
{
    struct flo_block_q8_0 *blocks = row;
    for (size_t at = 0; at < values; at += 32, blocks++) {
        struct block block = {.least = -127, .most = 127, .d = blocks->d};
        for (int j = 0; j < 32; j++) {
            /* Our encoder never writes -128, but another program's file may
             * keep one. */
            block.code[j] = blocks->q[j];
            block.least = blocks->q[j] < -127 ? -128 : block.least;
        }
        dither_block(&block, at, change, result);
        for (int j = 0; j < 32; j++) {
            blocks->q[j] = (int8_t)block.code[j];
        }
    }
}

/* ---- plain floats ---- */

static uint16_t half_from_units(int64_t units)
{
    uint16_t sign = (uint16_t)(units < 0 ? 0x8000 : 0);
    uint64_t size = (uint64_t)(units < 0 ? -units : units);
    if (size < 1024) {
        return (uint16_t)(sign | size);
    }
    int e = bit_length(size) - 11;
    return (uint16_t)(sign | (uint64_t)(e + 1) << 10 | ((size >> e) & 0x3ff));
}

static void row_f16(void *row, size_t values, const struct flo_dither_change *change,
                    struct flo_dither_result *result)
{
    const wide most = (wide)65504 << 24;
    struct flo_fixed ratio = per_step(change->scale, 1);
    uint16_t *halves = row;
    for (size_t j = 0; j < values; j++) {
        int64_t old = half_units(halves[j]);
        wide x = scaled(change->sum[j], change->exponent, ratio);
        wide target = (wide)old * ((wide)1 << 32) + x;
        wide size = (target < 0 ? -target : target) >> 32;
        int k = size > most ? 29 : bit_length((uint64_t)size) - 11;
        k = k < 0 ? 0 : k;
        wide u = (wide)dither(change->key, change->first + j) << k;
        wide now = ((target + u) >> (32 + k)) * ((wide)1 << k);
        now = now > most ? most : now < -most ? -most : now;
        double wanted = ldexp((double)x, -32);
        if (now != old) { /* an unchanged value keeps its bits, also the sign of a zero */
            halves[j] = half_from_units((int64_t)now);
            result->codes_changed++;
        }
        result->moved_dot_wanted += ldexp((double)(int64_t)(now - old) * wanted, -48);
        result->wanted_dot_wanted += ldexp(wanted * wanted, -48);
    }
    result->codes += values;
}

/* Rounds value * 2^exponent to the nearest f32, half to even. */
static float nearest_f32(int64_t value, int exponent)
{
    uint64_t size = value < 0 ? -(uint64_t)value : (uint64_t)value;
    int drop = bit_length(size) - 24;
    if (drop + exponent < -149) {
        drop = -149 - exponent; /* a subnormal result has fewer bits, so more are dropped */
    }
    if (drop > 0 && drop < 64) {
        uint64_t lost = size & (((uint64_t)1 << drop) - 1);
        uint64_t half = (uint64_t)1 << (drop - 1);
        size >>= drop;
        size += lost > half || (lost == half && (size & 1) != 0);
        exponent += drop;
    } else if (drop >= 64) {
        return value < 0 ? -0.0f : 0.0f;
    }
    /* The size has at most 24 bits, so the result is exact, or overflows to
     * infinity. */
    float result = ldexpf((float)size, exponent);
    return value < 0 ? -result : result;
}

/* Returns old + change.  Both are first expressed in a common unit, a power of
 * two that is 62 bits below the top bit of the larger one. */
static float added(float old, int64_t sum, const struct flo_dither_change *change, double *wanted)
{
    uint64_t size = sum < 0 ? -(uint64_t)sum : (uint64_t)sum;
    int exponent;
    int64_t fraction = split_f32(old, &exponent);
    *wanted = 0;
    if (size == 0) {
        return old;
    }
    struct flo_fixed step =
        normal((uwide)size * change->scale.mantissa, change->exponent + change->scale.exponent);
    int64_t moved = (int64_t)step.mantissa;
    moved = sum < 0 ? -moved : moved;
    *wanted = ldexp((double)moved, step.exponent);
    int unit = exponent + 24 > step.exponent + 62 ? exponent + 24 - 62 : step.exponent;
    int up = exponent - unit;        /* at most 38 */
    int down = unit - step.exponent; /* 0 or more */
    int64_t total = up >= 0 ? fraction * ((int64_t)1 << up) : up > -63 ? fraction >> -up : 0;
    total += down < 63 ? moved >> down : 0;
    float now = nearest_f32(total, unit);
    return isfinite(now) ? now : old;
}

static void row_f32(void *row, size_t values, const struct flo_dither_change *change,
                    struct flo_dither_result *result)
{
    float *floats = row;
    for (size_t j = 0; j < values; j++) {
        double wanted;
        float now = added(floats[j], change->sum[j], change, &wanted);
        result->moved_dot_wanted += ((double)now - (double)floats[j]) * wanted;
        result->wanted_dot_wanted += wanted * wanted;
        result->codes_changed += now != floats[j];
        floats[j] = now;
    }
    result->codes += values;
}

typedef void change_row(void *row, size_t values, const struct flo_dither_change *change,
                        struct flo_dither_result *result);

static change_row *row_of(uint32_t quant_id)
{
    switch (quant_id) {
    case FLO_QUANT_Q4_0:
        return row_q4_0;
    case FLO_QUANT_Q4_1:
        return row_q4_1;
    case FLO_QUANT_Q8_0:
        return row_q8_0;
    case FLO_QUANT_F16:
        return row_f16;
    case FLO_QUANT_F32:
        return row_f32;
    default:
        return NULL;
    }
}

bool flo_dither_can(uint32_t quant_id)
{
    return row_of(quant_id) != NULL;
}

void flo_dither_row(uint32_t quant_id, void *row, size_t values,
                    const struct flo_dither_change *change, struct flo_dither_result *result)
{
    row_of(quant_id)(row, values, change, result);
}

bool flo_fixed_array(const float *in, size_t count, int bits, int32_t *out, int *exponent)
{
    int top = -200; /* exponent of a power of two above the size of all values so far */
    for (size_t i = 0; i < count; i++) {
        int e;
        if (!isfinite(in[i])) {
            return false;
        }
        int32_t fraction = split_f32(in[i], &e);
        int length = bit_length((uint64_t)(fraction < 0 ? -fraction : fraction));
        if (length > 0 && e + length > top) {
            top = e + length;
        }
    }
    *exponent = top - bits;
    for (size_t i = 0; i < count; i++) {
        int e;
        int64_t fraction = split_f32(in[i], &e);
        int shift = e - *exponent; /* the shift is at most bits - 1, so the shifted value fits */
        int64_t size = fraction < 0 ? -fraction : fraction;
        if (shift >= 0) {
            size <<= shift;
        } else if (shift > -40) {
            size = (size + ((int64_t)1 << (-shift - 1))) >> -shift;
        } else {
            size = 0;
        }
        out[i] = (int32_t)(fraction < 0 ? -size : size);
    }
    return true;
}
