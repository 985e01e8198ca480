/* Quantisation formats: their decoders and encoders, for the table in
 * quant.c. */
#ifndef FLOTILLA_BASE_QUANT_FORMATS_H
#define FLOTILLA_BASE_QUANT_FORMATS_H

#include "base/quant/quant.h"

/* Declares the functions of a type.  Not every type defines the last two. */
#define FLO_QUANT_DECLARE(with, name, id)                                                          \
    flo_quant_decode flo_quant_##name##_decode;                                                    \
    flo_quant_encode flo_quant_##name##_encode;                                                    \
    flo_quant_pin flo_quant_##name##_pin;                                                          \
    flo_quant_weigh flo_quant_##name##_weigh;
FLO_QUANT_FLOAT_TYPES(FLO_QUANT_DECLARE, )
FLO_QUANT_CODE_TYPES(FLO_QUANT_DECLARE, )

/* Packs the codes of 32 values as a block stores them, 4 bits each. */
void flo_quant_pack_4(const uint8_t codes[32], uint8_t q[16]);
/* Packs the codes of 32 values as a block stores them: 5 bits, with the fifth
 * bits in an array of their own. */
void flo_quant_pack_5(const uint8_t codes[32], uint8_t high[4], uint8_t q[16]);

#endif
