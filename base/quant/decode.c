/* Decoders of quantised types: decode all of them with one loop over
 * unpack.h. */
#include "base/quant/types/types.h"
#include "base/quant/unpack.h"

const int8_t flo_quant_iq4_grid[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                       1,    13,   25,  38,  53,  69,  89,  113};
const int8_t flo_quant_e2m1_grid[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

static inline __attribute__((always_inline)) void
decode(flo_quant_unpack *unpack, const void *blocks, float *out, size_t values)
{
    for (size_t b = 0; b < values / 32; b++) {
        struct flo_quant_unpacked w;

        unpack(blocks, b, &w);
        for (size_t h = 0; h < 2; h++) {
            float scale = w.scale[h], offset = w.offset[h];

            for (size_t i = 0; i < 16; i++) {
                out[i] = scale * (float)w.codes[h * 16 + i] + offset;
            }
            out += 16;
        }
    }
}

#define DECODE(with, name, id)                                                                     \
    void flo_quant_##name##_decode(const void *blocks, float *out, size_t values)                  \
    {                                                                                              \
        decode(flo_unpack_##name, blocks, out, values);                                            \
    }

FLO_QUANT_CODE_TYPES(DECODE, )
