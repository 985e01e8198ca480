/* Quantisation types: the table of all tensor types. */
#include "base/quant/types/types.h"
#include "base/quant/unpack.h"

#include <stdbool.h>

#define F16 FLO_QUANT_FLOATS_F16
#define UNKNOWN FLO_QUANT_FLOATS_UNKNOWN
#define NONE FLO_QUANT_FLOATS_NONE
#define CODED(name)                                                                                \
    flo_quant_##name##_decode, flo_quant_##name##_encode, flo_quant_##name##_pin, flo_unpack_##name
#define PLAIN(name) flo_quant_##name##_decode, flo_quant_##name##_encode, NULL, NULL
#define UNBUILT NULL, NULL, NULL, NULL

/* clang-format off */
static const struct flo_quant_type types[FLO_QUANT_ID_COUNT] = {
    /* columns: name, id, values, bytes, floats, scales, at */
    [0] = {"F32", 0, 1, 4, FLO_QUANT_FLOATS_F32, 0, {0, 0}, PLAIN(f32)},
    [1] = {"F16", 1, 1, 2, F16, 0, {0, 0}, PLAIN(f16)},
    [2] = {"Q4_0", 2, 32, 18, F16, 1, {0, 0}, CODED(q4_0)},
    [3] = {"Q4_1", 3, 32, 20, F16, 2, {0, 2}, CODED(q4_1)},
    [6] = {"Q5_0", 6, 32, 22, F16, 1, {0, 0}, CODED(q5_0)},
    [7] = {"Q5_1", 7, 32, 24, F16, 2, {0, 2}, CODED(q5_1)},
    [8] = {"Q8_0", 8, 32, 34, F16, 1, {0, 0}, CODED(q8_0)},
    [10] = {"Q2_K", 10, 256, 84, F16, 2, {80, 82}, CODED(q2_k)},
    [11] = {"Q3_K", 11, 256, 110, F16, 1, {108, 0}, CODED(q3_k)},
    [12] = {"Q4_K", 12, 256, 144, F16, 2, {0, 2}, CODED(q4_k)},
    [13] = {"Q5_K", 13, 256, 176, F16, 2, {0, 2}, CODED(q5_k)},
    [14] = {"Q6_K", 14, 256, 210, F16, 1, {208, 0}, CODED(q6_k)},
    [16] = {"IQ2_XXS", 16, 256, 66, F16, 1, {0, 0}, UNBUILT},
    [17] = {"IQ2_XS", 17, 256, 74, F16, 1, {0, 0}, UNBUILT},
    [18] = {"IQ3_XXS", 18, 256, 98, F16, 1, {0, 0}, UNBUILT},
    [19] = {"IQ1_S", 19, 256, 50, F16, 1, {0, 0}, UNBUILT},
    [20] = {"IQ4_NL", 20, 32, 18, F16, 1, {0, 0}, CODED(iq4_nl)},
    [21] = {"IQ3_S", 21, 256, 110, F16, 1, {0, 0}, UNBUILT},
    [22] = {"IQ2_S", 22, 256, 82, F16, 1, {0, 0}, UNBUILT},
    [23] = {"IQ4_XS", 23, 256, 136, F16, 1, {0, 0}, CODED(iq4_xs)},
    [24] = {"I8", 24, 1, 1, NONE, 0, {0, 0}, UNBUILT},
    [25] = {"I16", 25, 1, 2, NONE, 0, {0, 0}, UNBUILT},
    [26] = {"I32", 26, 1, 4, NONE, 0, {0, 0}, UNBUILT},
    [27] = {"I64", 27, 1, 8, NONE, 0, {0, 0}, UNBUILT},
    [28] = {"F64", 28, 1, 8, FLO_QUANT_FLOATS_F64, 0, {0, 0}, UNBUILT},
    [29] = {"IQ1_M", 29, 256, 56, UNKNOWN, 0, {0, 0}, UNBUILT},
    [30] = {"BF16", 30, 1, 2, FLO_QUANT_FLOATS_BF16, 0, {0, 0}, PLAIN(bf16)},
    [34] = {"TQ1_0", 34, 256, 54, F16, 1, {52, 0}, UNBUILT},
    [35] = {"TQ2_0", 35, 256, 66, F16, 1, {64, 0}, UNBUILT},
    [39] = {"MXFP4", 39, 32, 17, FLO_QUANT_FLOATS_E8M0, 1, {0, 0}, UNBUILT},
};
/* clang-format on */

const struct flo_quant_type *flo_quant_type(uint32_t id)
{
    bool is_known = id < FLO_QUANT_ID_COUNT && types[id].name != NULL;
    return is_known ? &types[id] : NULL;
}
