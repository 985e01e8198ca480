/* Codebooks: reads 32 values of the types whose levels are patterns of a table.
 *
 * A pattern is eight levels as the bytes of a 64-bit number, the first one
 * lowest, or four of 32 bits.  The tables (grids/) are constants of the file
 * format.  All factors of a scale are whole numbers times a power of two, so
 * that scales are exact. */
#ifndef FLOTILLA_BASE_QUANT_CODEBOOK_H
#define FLOTILLA_BASE_QUANT_CODEBOOK_H

#include <string.h>

#include "base/quant/quant.h"

extern const uint64_t flo_quant_iq2_xxs_grid[256];
extern const uint64_t flo_quant_iq2_xs_grid[512];
extern const uint64_t flo_quant_iq2_s_grid[1024];
extern const uint32_t flo_quant_iq3_xxs_grid[256];
extern const uint32_t flo_quant_iq3_s_grid[512];
/* Levels -1, 0 and 1, times eight. */
extern const uint64_t flo_quant_iq1_grid[2048];

/* 32 values as they are looked up. */
struct flo_quant_patterns {
    uint64_t levels[4]; /* bytes of eight values each */
    /* Bit i: value i is negative.  In IQ1 types an eighth of a level is
     * subtracted from the value, not added. */
    uint32_t signs;
    uint8_t scales[2]; /* scale of the first and of the last 16 values, uneven */
};

#define FLO_PATTERNS static inline __attribute__((always_inline)) void

/* Widens four times 7 signs to 8: the eighth makes the number of negative
 * levels even. */
static inline uint32_t flo_quant_even_signs(uint32_t word)
{
    uint32_t signs =
        (word & 0x7f) | (word << 1 & 0x7f00) | (word << 2 & 0x7f0000) | (word << 3 & 0x7f000000);
    uint32_t odd = signs ^ signs >> 4;

    odd ^= odd >> 2;
    odd ^= odd >> 1;
    return signs | (odd & 0x01010101) << 7;
}

/* Returns the scale that four bits mean. */
static inline uint8_t flo_quant_uneven(unsigned bits)
{
    return (uint8_t)(bits * 2 + 1);
}

FLO_PATTERNS flo_patterns_iq2_xxs(const void *row, size_t index, struct flo_quant_patterns *out)
{
    const struct flo_block_iq2_xxs *p = (const struct flo_block_iq2_xxs *)row + index / 8;
    const uint8_t *q = p->q + index % 8 * 8;
    uint32_t rest;

    memcpy(&rest, q + 4, sizeof(rest));
    for (size_t i = 0; i < 4; i++) {
        out->levels[i] = flo_quant_iq2_xxs_grid[q[i]];
    }
    out->signs = flo_quant_even_signs(rest);
    out->scales[0] = out->scales[1] = flo_quant_uneven(rest >> 28);
}

FLO_PATTERNS flo_patterns_iq2_xs(const void *row, size_t index, struct flo_quant_patterns *out)
{
    const struct flo_block_iq2_xs *p = (const struct flo_block_iq2_xs *)row + index / 8;
    const uint16_t *q = p->q + index % 8 * 4;
    uint32_t signs = 0;

    for (size_t i = 0; i < 4; i++) {
        out->levels[i] = flo_quant_iq2_xs_grid[q[i] & 511];
        signs |= (uint32_t)(q[i] >> 9) << i * 7;
    }
    out->signs = flo_quant_even_signs(signs);
    out->scales[0] = flo_quant_uneven(p->scales[index % 8] & 15);
    out->scales[1] = flo_quant_uneven(p->scales[index % 8] >> 4);
}

FLO_PATTERNS flo_patterns_iq2_s(const void *row, size_t index, struct flo_quant_patterns *out)
{
    const struct flo_block_iq2_s *p = (const struct flo_block_iq2_s *)row + index / 8;
    unsigned high = p->high[index % 8];

    for (size_t i = 0; i < 4; i++) {
        unsigned number = p->index[index % 8 * 4 + i] | (high >> i * 2 & 3) << 8;

        out->levels[i] = flo_quant_iq2_s_grid[number];
    }
    memcpy(&out->signs, p->signs + index % 8 * 4, sizeof(out->signs));
    out->scales[0] = flo_quant_uneven(p->scales[index % 8] & 15);
    out->scales[1] = flo_quant_uneven(p->scales[index % 8] >> 4);
}

FLO_PATTERNS flo_patterns_iq3_xxs(const void *row, size_t index, struct flo_quant_patterns *out)
{
    const struct flo_block_iq3_xxs *p = (const struct flo_block_iq3_xxs *)row + index / 8;
    const uint8_t *number = p->index + index % 8 * 8;
    uint32_t rest;

    memcpy(&rest, p->rest + index % 8 * 4, sizeof(rest));
    for (size_t i = 0; i < 4; i++) {
        uint64_t upper = flo_quant_iq3_xxs_grid[number[i * 2 + 1]];

        out->levels[i] = upper << 32 | flo_quant_iq3_xxs_grid[number[i * 2]];
    }
    out->signs = flo_quant_even_signs(rest);
    out->scales[0] = out->scales[1] = flo_quant_uneven(rest >> 28);
}

FLO_PATTERNS flo_patterns_iq3_s(const void *row, size_t index, struct flo_quant_patterns *out)
{
    const struct flo_block_iq3_s *p = (const struct flo_block_iq3_s *)row + index / 8;
    const uint8_t *number = p->index + index % 8 * 8;
    unsigned high = p->high[index % 8];

    for (size_t i = 0; i < 4; i++, high >>= 2) {
        uint64_t upper = flo_quant_iq3_s_grid[number[i * 2 + 1] | (high & 2) << 7];

        out->levels[i] = upper << 32 | flo_quant_iq3_s_grid[number[i * 2] | (high & 1) << 8];
    }
    memcpy(&out->signs, p->signs + index % 8 * 4, sizeof(out->signs));
    out->scales[0] = flo_quant_uneven(p->scales[index % 8 / 2] >> index % 2 * 4 & 15);
    out->scales[1] = out->scales[0];
}

/* Returns eight equal signs for each of four values' signs. */
static inline uint32_t flo_quant_spread_signs(unsigned a, unsigned b, unsigned c, unsigned d)
{
    return (a | b << 8 | c << 16 | d << 24) * 255;
}

FLO_PATTERNS flo_patterns_iq1_s(const void *row, size_t index, struct flo_quant_patterns *out)
{
    const struct flo_block_iq1_s *p = (const struct flo_block_iq1_s *)row + index / 8;
    unsigned high = p->high[index % 8], sign = high >> 15;

    for (size_t i = 0; i < 4; i++) {
        unsigned number = p->index[index % 8 * 4 + i] | (high >> i * 3 & 7) << 8;

        out->levels[i] = flo_quant_iq1_grid[number];
    }
    out->signs = flo_quant_spread_signs(sign, sign, sign, sign);
    out->scales[0] = out->scales[1] = flo_quant_uneven(high >> 12 & 7);
}

FLO_PATTERNS flo_patterns_iq1_m(const void *row, size_t index, struct flo_quant_patterns *out)
{
    const struct flo_block_iq1_m *p = (const struct flo_block_iq1_m *)row + index / 8;
    unsigned high = p->high[index % 8 * 2] | (unsigned)p->high[index % 8 * 2 + 1] << 8;
    unsigned scales = p->scales[index % 8 / 2] >> index % 2 * 6;

    for (size_t i = 0; i < 4; i++) {
        unsigned number = p->index[index % 8 * 4 + i] | (high >> i * 4 & 7) << 8;

        out->levels[i] = flo_quant_iq1_grid[number];
    }
    out->signs = flo_quant_spread_signs(high >> 3 & 1, high >> 7 & 1, high >> 11 & 1, high >> 15);
    out->scales[0] = flo_quant_uneven(scales & 7);
    out->scales[1] = flo_quant_uneven(scales >> 3 & 7);
}

#endif
