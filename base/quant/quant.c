/* Quantisation types: the table of all tensor types. */
#include "base/quant/types/types.h"
#include "base/quant/unpack.h"

#include <math.h>
#include <stdbool.h>

#define F16 FLO_QUANT_FLOATS_F16
#define NONE FLO_QUANT_FLOATS_NONE
#define WITH(name, weigh)                                                                          \
    flo_quant_##name##_decode, flo_quant_##name##_encode, weigh, flo_quant_##name##_pin,           \
        flo_unpack_##name
#define FITTED(name) WITH(name, flo_quant_##name##_weigh)
#define CODED(name) WITH(name, NULL)
#define PLAIN(name) flo_quant_##name##_decode, flo_quant_##name##_encode, NULL, NULL, NULL
#define READ(name) flo_quant_##name##_decode, NULL, NULL, NULL, flo_unpack_##name
#define UNBUILT NULL, NULL, NULL, NULL, NULL

/* clang-format off */
static const struct flo_quant_type types[FLO_QUANT_ID_COUNT] = {
    /* columns: name, id, values, bytes, floats, scales, at */
    [0] = {"F32", 0, 1, 4, FLO_QUANT_FLOATS_F32, 0, {0, 0}, PLAIN(f32)},
    [1] = {"F16", 1, 1, 2, F16, 0, {0, 0}, PLAIN(f16)},
    [2] = {"Q4_0", 2, 32, 18, F16, 1, {0, 0}, FITTED(q4_0)},
    [3] = {"Q4_1", 3, 32, 20, F16, 2, {0, 2}, FITTED(q4_1)},
    [6] = {"Q5_0", 6, 32, 22, F16, 1, {0, 0}, FITTED(q5_0)},
    [7] = {"Q5_1", 7, 32, 24, F16, 2, {0, 2}, FITTED(q5_1)},
    [8] = {"Q8_0", 8, 32, 34, F16, 1, {0, 0}, CODED(q8_0)},
    [10] = {"Q2_K", 10, 256, 84, F16, 2, {80, 82}, FITTED(q2_k)},
    [11] = {"Q3_K", 11, 256, 110, F16, 1, {108, 0}, FITTED(q3_k)},
    [12] = {"Q4_K", 12, 256, 144, F16, 2, {0, 2}, FITTED(q4_k)},
    [13] = {"Q5_K", 13, 256, 176, F16, 2, {0, 2}, FITTED(q5_k)},
    [14] = {"Q6_K", 14, 256, 210, F16, 1, {208, 0}, FITTED(q6_k)},
    [16] = {"IQ2_XXS", 16, 256, 66, F16, 1, {0, 0}, READ(iq2_xxs)},
    [17] = {"IQ2_XS", 17, 256, 74, F16, 1, {0, 0}, READ(iq2_xs)},
    [18] = {"IQ3_XXS", 18, 256, 98, F16, 1, {0, 0}, READ(iq3_xxs)},
    [19] = {"IQ1_S", 19, 256, 50, F16, 1, {0, 0}, READ(iq1_s)},
    [20] = {"IQ4_NL", 20, 32, 18, F16, 1, {0, 0}, FITTED(iq4_nl)},
    [21] = {"IQ3_S", 21, 256, 110, F16, 1, {0, 0}, READ(iq3_s)},
    [22] = {"IQ2_S", 22, 256, 82, F16, 1, {0, 0}, READ(iq2_s)},
    [23] = {"IQ4_XS", 23, 256, 136, F16, 1, {0, 0}, FITTED(iq4_xs)},
    [24] = {"I8", 24, 1, 1, NONE, 0, {0, 0}, UNBUILT},
    [25] = {"I16", 25, 1, 2, NONE, 0, {0, 0}, UNBUILT},
    [26] = {"I32", 26, 1, 4, NONE, 0, {0, 0}, UNBUILT},
    [27] = {"I64", 27, 1, 8, NONE, 0, {0, 0}, UNBUILT},
    [28] = {"F64", 28, 1, 8, FLO_QUANT_FLOATS_F64, 0, {0, 0}, UNBUILT},
    [29] = {"IQ1_M", 29, 256, 56, FLO_QUANT_FLOATS_IQ1_M, 0, {0, 0}, READ(iq1_m)},
    [30] = {"BF16", 30, 1, 2, FLO_QUANT_FLOATS_BF16, 0, {0, 0}, PLAIN(bf16)},
    [34] = {"TQ1_0", 34, 256, 54, F16, 1, {52, 0}, CODED(tq1_0)},
    [35] = {"TQ2_0", 35, 256, 66, F16, 1, {64, 0}, CODED(tq2_0)},
    [39] = {"MXFP4", 39, 32, 17, FLO_QUANT_FLOATS_E8M0, 1, {0, 0}, CODED(mxfp4)},
};
/* clang-format on */

const struct flo_quant_type *flo_quant_type(uint32_t id)
{
    bool is_known = id < FLO_QUANT_ID_COUNT && types[id].name != NULL;
    return is_known ? &types[id] : NULL;
}

void flo_quant_put_scale(const struct flo_quant_type *type, uint8_t *block, float scale)
{
    uint16_t half = flo_f32_to_f16(scale);
    struct flo_block_iq1_m iq1_m;
    int e;

    switch (type->floats) {
    case FLO_QUANT_FLOATS_E8M0:
        (void)frexpf(scale, &e); /* scale is in [2^(e - 1), 2^e) */
        block[type->scale_offset[0]] = isfinite(scale) ? (uint8_t)(e + 127) : 255;
        break;
    case FLO_QUANT_FLOATS_IQ1_M:
        memcpy(&iq1_m, block, sizeof(iq1_m));
        for (int i = 0; i < 4; i++) {
            iq1_m.scales[i] = (uint16_t)((iq1_m.scales[i] & 0xfff) | (half >> i * 4 & 15) << 12);
        }
        memcpy(block, &iq1_m, sizeof(iq1_m));
        break;
    default:
        for (int s = 0; s < type->scale_count; s++) {
            memcpy(block + type->scale_offset[s], &half, sizeof(half));
        }
        break;
    }
}
