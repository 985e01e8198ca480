/* Codebooks: the tables of patterns, widened from grids/ by the compiler. */
#include "base/quant/codebook.h"

/* Names the sixteen numbers of a row, which are written without 0x. */
#define FLO_ROW(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p)                                    \
    X(0x##a), X(0x##b), X(0x##c), X(0x##d), X(0x##e), X(0x##f), X(0x##g), X(0x##h), X(0x##i),      \
        X(0x##j), X(0x##k), X(0x##l), X(0x##m), X(0x##n), X(0x##o), X(0x##p),

#define AT(level, number, bits, i)                                                                 \
    ((uint64_t)(uint8_t)level((number) >> (i) * (bits) & ((1 << (bits)) - 1)) << (i)*8)
#define FOUR(level, number, bits)                                                                  \
    (AT(level, number, bits, 0) | AT(level, number, bits, 1) | AT(level, number, bits, 2) |        \
     AT(level, number, bits, 3))
#define EIGHT(level, number) (FOUR(level, (number)&255, 2) | FOUR(level, (number) >> 8, 2) << 32)

#define LEVEL_2(q) ((q)*17 + 8 + (q) / 2)        /* 8, 25, 43 */
#define LEVEL_3_XXS(q) ((q)*8 + 4 + (q) / 7 * 2) /* 4, 12 ... 52, 62 */
#define LEVEL_3_S(q) ((q)*2 + 1)
#define LEVEL_1(q) ((q)*8 - 8)

#define X(number) EIGHT(LEVEL_2, number)
const uint64_t flo_quant_iq2_xxs_grid[256] = {
#include "base/quant/grids/iq2_xxs.def"
};
const uint64_t flo_quant_iq2_xs_grid[512] = {
#include "base/quant/grids/iq2_xs.def"
};
const uint64_t flo_quant_iq2_s_grid[1024] = {
#include "base/quant/grids/iq2_s.def"
};
#undef X
#define X(number) (uint32_t) FOUR(LEVEL_3_XXS, number, 3)
const uint32_t flo_quant_iq3_xxs_grid[256] = {
#include "base/quant/grids/iq3_xxs.def"
};
#undef X
#define X(number) (uint32_t) FOUR(LEVEL_3_S, number, 3)
const uint32_t flo_quant_iq3_s_grid[512] = {
#include "base/quant/grids/iq3_s.def"
};
#undef X
#define X(number) EIGHT(LEVEL_1, number)
const uint64_t flo_quant_iq1_grid[2048] = {
#include "base/quant/grids/iq1.def"
};
