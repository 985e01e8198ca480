/* Half floats: IEEE binary16 and bfloat16, bit by bit. */
#include "base/quant/quant.h"

#include <string.h>

static float from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static uint32_t to_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

float flo_f16_to_f32(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    uint32_t exponent = (half >> 10) & 0x1fu;
    uint32_t fraction = half & 0x3ffu;

    if (exponent == 0x1f) { /* infinity, NaN with its payload */
        return from_bits(sign | 0x7f800000u | fraction << 13);
    }
    if (exponent != 0) {
        return from_bits(sign | (exponent + 112) << 23 | fraction << 13);
    }
    if (fraction == 0) {
        return from_bits(sign);
    }
    /* Subnormal: fraction * 2^-24; shift its leading one to bit 10. */
    uint32_t shift = (uint32_t)__builtin_clz(fraction) - 21;
    return from_bits(sign | (113 - shift) << 23 |
                     ((fraction << shift) & 0x3ffu) << 13);
}

uint16_t flo_f32_to_f16(float value)
{
    uint32_t bits = to_bits(value);
    uint32_t sign = (bits >> 16) & 0x8000u;
    uint32_t rest = bits & 0x7fffffffu;

    if (rest > 0x7f800000u) { /* NaN: quiet, with the payload's top */
        return (uint16_t)(sign | 0x7e00u | ((rest >> 13) & 0x1ffu));
    }
    if (rest >= 0x47800000u) { /* 65536 and more, infinity */
        return (uint16_t)(sign | 0x7c00u);
    }
    if (rest < 0x33000000u) { /* below half the smallest subnormal */
        return (uint16_t)sign;
    }
    uint32_t drop; /* bits of the 24-bit fraction that do not fit */
    uint32_t kept;
    uint32_t fraction = (rest & 0x7fffffu) | 0x800000u;
    if (rest < 0x38800000u) { /* subnormal half */
        drop = 126 - (rest >> 23);
        kept = fraction >> drop;
    } else {
        drop = 13;
        kept = (rest - 0x38000000u) >> 13;
    }
    uint32_t lost = fraction & ((1u << drop) - 1);
    uint32_t half = 1u << (drop - 1);
    if (lost > half || (lost == half && (kept & 1) != 0)) {
        kept++; /* may carry into the exponent, up to infinity: right */
    }
    return (uint16_t)(sign | kept);
}

float flo_bf16_to_f32(uint16_t half)
{
    return from_bits((uint32_t)half << 16);
}

uint16_t flo_f32_to_bf16(float value)
{
    uint32_t bits = to_bits(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) {
        return (uint16_t)(bits >> 16 | 0x40u);
    }
    return (uint16_t)((bits + 0x7fffu + ((bits >> 16) & 1)) >> 16);
}
