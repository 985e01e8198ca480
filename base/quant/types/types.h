/* The decoders and encoders of the formats, for the table in quant.c. */
#ifndef FLOTILLA_BASE_QUANT_FORMATS_H
#define FLOTILLA_BASE_QUANT_FORMATS_H

#include "base/quant/quant.h"

#define FLO_QUANT_DECLARE(with, name, id)                                                          \
    flo_quant_decode flo_quant_##name##_decode;                                                    \
    flo_quant_encode flo_quant_##name##_encode;                                                    \
    flo_quant_pin flo_quant_##name##_pin; /* not of plain floats */
FLO_QUANT_FLOAT_TYPES(FLO_QUANT_DECLARE, )
FLO_QUANT_CODE_TYPES(FLO_QUANT_DECLARE, )

/* The codes of 32 values as they stand in a block: of 4 bits, and of 5 bits
 * whose highest stand apart. */
void flo_quant_pack_4(const uint8_t codes[32], uint8_t q[16]);
void flo_quant_pack_5(const uint8_t codes[32], uint8_t high[4], uint8_t q[16]);

#endif
