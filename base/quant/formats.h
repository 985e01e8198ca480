/* The decoders and encoders of the formats, for the table in quant.c. */
#ifndef FLOTILLA_BASE_QUANT_FORMATS_H
#define FLOTILLA_BASE_QUANT_FORMATS_H

#include "base/quant/quant.h"

flo_quant_decode flo_quant_f32_decode, flo_quant_f16_decode,
    flo_quant_bf16_decode, flo_quant_q4_0_decode, flo_quant_q4_1_decode,
    flo_quant_q5_0_decode, flo_quant_q5_1_decode, flo_quant_q8_0_decode,
    flo_quant_q2_k_decode, flo_quant_q3_k_decode, flo_quant_q4_k_decode,
    flo_quant_q5_k_decode, flo_quant_q6_k_decode, flo_quant_iq4_nl_decode,
    flo_quant_iq4_xs_decode;
flo_quant_encode flo_quant_f32_encode, flo_quant_f16_encode,
    flo_quant_bf16_encode, flo_quant_q4_0_encode, flo_quant_q4_1_encode,
    flo_quant_q5_0_encode, flo_quant_q5_1_encode, flo_quant_q8_0_encode,
    flo_quant_q2_k_encode, flo_quant_q3_k_encode, flo_quant_q4_k_encode,
    flo_quant_q5_k_encode, flo_quant_q6_k_encode, flo_quant_iq4_nl_encode,
    flo_quant_iq4_xs_encode;
flo_quant_pin flo_quant_q4_0_pin, flo_quant_q4_1_pin, flo_quant_q5_0_pin,
    flo_quant_q5_1_pin, flo_quant_q8_0_pin, flo_quant_q2_k_pin,
    flo_quant_q3_k_pin, flo_quant_q4_k_pin, flo_quant_q5_k_pin,
    flo_quant_q6_k_pin, flo_quant_iq4_nl_pin, flo_quant_iq4_xs_pin;

/* The codes of 32 values as they stand in a block: of 4 bits, and of 5 bits
 * whose highest stand apart. */
void flo_quant_pack_4(const uint8_t codes[32], uint8_t q[16]);
void flo_quant_pack_5(const uint8_t codes[32], uint8_t high[4], uint8_t q[16]);
static inline int flo_quant_code_5(const uint8_t high[4], const uint8_t q[16],
                                   int j)
{
    int nibble = j < 16 ? q[j] & 15 : q[j - 16] >> 4;
    return nibble | ((high[j / 8] >> (j % 8)) & 1) << 4;
}

#endif
