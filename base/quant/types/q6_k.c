/* Q6_K: 256 values in 16 sub-blocks of 16, x = d * scale * (q - 32). */
#include "base/quant/types/types.h"

#include "base/quant/fit.h"

/* Finds where value v is stored.  It is value l of group j (of 32 values) in
 * half h of the block. */
static int place(size_t v, size_t *low, int *low_shift, size_t *high)
{
    size_t h = v / 128;
    size_t j = v / 32 % 4;
    size_t l = v % 32;
    *low = 64 * h + 32 * (j & 1) + l;
    *low_shift = j < 2 ? 0 : 4;
    *high = 32 * h + l;
    return (int)(2 * j);
}

static void pack(const struct flo_fit_block *fit, void *block)
{
    struct flo_block_q6_k *out = block;
    out->d = fit->d;
    for (int s = 0; s < 16; s++) {
        out->scales[s] = (int8_t)fit->scales[s];
    }
    for (size_t v = 0; v < 256; v++) {
        size_t low;
        size_t high;
        int low_shift;
        int high_shift = place(v, &low, &low_shift, &high);
        out->low[low] |= (uint8_t)((fit->codes[v] & 15) << low_shift);
        out->high[high] |= (uint8_t)((fit->codes[v] >> 4) << high_shift);
    }
}

static void read(const void *block, struct flo_fit_block *fit)
{
    const struct flo_block_q6_k *in = block;
    fit->d = in->d;
    for (int s = 0; s < 16; s++) {
        fit->scales[s] = in->scales[s];
    }
}

static const struct flo_fit_type type = {
    .shape.levels = {.least = -32, .most = 31},
    .shape.parts = 16,
    .shape.scale_least = -128,
    .shape.scale_most = 127,
    .block_bytes = sizeof(struct flo_block_q6_k),
    .pack = pack,
    .read = read,
};

FLO_FIT_FUNCTIONS(q6_k, type)
