/* Half floats: converts IEEE binary16 and bfloat16 to float and back.  The
 * functions are inline, because decoders and kernels call them for each block.
 *
 * Widening is exact, with subnormals and NaN. Narrowing rounds to nearest even
 * and overflows to infinity; NaN becomes a quiet NaN. */
#ifndef FLOTILLA_BASE_QUANT_HALF_H
#define FLOTILLA_BASE_QUANT_HALF_H

#include <stdint.h>
#include <string.h>

static inline float flo_float_of_bits(uint32_t bits)
{
    float value;

    memcpy(&value, &bits, sizeof(value));
    return value;
}

static inline uint32_t flo_bits_of_float(float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static inline float flo_f16_to_f32(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    uint32_t rest = (uint32_t)(half & 0x7fffu) << 13;
    /* a multiplication by 2^112 corrects the exponent, also of subnormals */
    uint32_t finite = flo_bits_of_float(flo_float_of_bits(rest) * 0x1p112f);
    /* infinity, or NaN with its payload */
    uint32_t bits = rest >= 0x7c00u << 13 ? rest | 0x7f800000u : finite;

    return flo_float_of_bits(bits | sign);
}

/* Computes all cases and chooses one, so that compilers can do many values at
 * once. */
static inline uint16_t flo_f32_to_f16(float value)
{
    uint32_t bits = flo_bits_of_float(value);
    uint32_t sign = (bits >> 16) & 0x8000u;
    uint32_t rest = bits & 0x7fffffffu;
    uint32_t half = (rest - 0x38000000u + 0xfffu + ((rest >> 13) & 1u)) >> 13;
    /* values below 2^-14: the float addition rounds them */
    uint32_t small = flo_bits_of_float(flo_float_of_bits(rest) + 0.5f) - 0x3f000000u;
    /* NaN, with the upper bits of its payload */
    uint32_t nan = 0x7e00u | ((rest >> 13) & 0x1ffu);

    half = rest < 0x38800000u ? small : half;
    half = rest >= 0x477ff000u ? 0x7c00u : half; /* 65520 and larger values become infinity */
    half = rest > 0x7f800000u ? nan : half;
    return (uint16_t)(sign | half);
}

static inline float flo_bf16_to_f32(uint16_t half)
{
    return flo_float_of_bits((uint32_t)half << 16);
}

static inline uint16_t flo_f32_to_bf16(float value)
{
    uint32_t bits = flo_bits_of_float(value);

    if ((bits & 0x7fffffffu) > 0x7f800000u) {
        return (uint16_t)(bits >> 16 | 0x40u);
    }
    return (uint16_t)((bits + 0x7fffu + ((bits >> 16) & 1)) >> 16);
}

/* Reads an f16 from the bytes of a file, aligned or not. */
static inline float flo_f16_at(const void *p)
{
    uint16_t half;

    memcpy(&half, p, sizeof(half));
    return flo_f16_to_f32(half);
}

static inline float flo_bf16_at(const void *p)
{
    uint16_t half;

    memcpy(&half, p, sizeof(half));
    return flo_bf16_to_f32(half);
}

#endif
