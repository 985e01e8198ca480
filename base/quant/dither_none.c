/* Dither stand-in for machines without 128-bit integers (32-bit Arm): no type
 * can be changed in place.
 *
 * Devices never change weights; publishing needs a 64-bit machine. */
#include <stdlib.h>

#include "base/quant/dither.h"

bool flo_dither_is_built(void)
{
    return false;
}

bool flo_dither_can(uint32_t quant_id)
{
    (void)quant_id;
    return false;
}

uint64_t flo_dither_key(uint64_t seed, const char *tensor_name)
{
    (void)tensor_name;
    return seed;
}

struct flo_fixed flo_fixed_from(float value, uint32_t divisor)
{
    (void)value, (void)divisor;
    abort(); /* a bug: the caller did not ask flo_dither_can() */
}

void flo_dither_row(uint32_t quant_id, void *row, size_t values,
                    const struct flo_dither_change *change, struct flo_dither_result *result)
{
    (void)quant_id, (void)row, (void)values, (void)change, (void)result;
    abort();
}

bool flo_fixed_array(const float *in, size_t count, int bits, int32_t *out, int *exponent)
{
    (void)in, (void)count, (void)bits, (void)out, (void)exponent;
    abort();
}
