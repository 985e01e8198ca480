/* Block fit: fits 256 values in parts whose scales are integers times one f16.
 * Each part is fitted alone.  Then each scale is rounded to the integer that
 * fits its part best, and the f16 is fitted to all parts again. */
#include "base/quant/fit.h"

#include <math.h>
#include <string.h>

#include "base/quant/quant.h"

#define ROUNDS_MAX 4

/* A part of a block, with its integer scale and min. */
struct part {
    float wanted_d;
    float wanted_m; /* offset that fits the part best, 0 or less */
    int scale;
    int min;
    float n; /* sum of the importance of the part's values */
    float x_sum;
    struct flo_fit_sums sums;
};

struct fitting {
    const struct flo_fit_block *block;
    const float *x;
    const float *importance; /* as x; NULL: all values count the same */
    size_t count;            /* number of values in each part */
    float d;
    float dmin;
    struct part parts[FLO_FIT_PARTS_MAX];
    float error;
};

static const float *importance_at(const struct fitting *fitting, size_t at)
{
    return fitting->importance != NULL ? fitting->importance + at : NULL;
}

static float half(float value)
{
    return flo_f16_to_f32(flo_f32_to_f16(value));
}

static int rounded(float value, int least, int most)
{
    value = value > (float)least ? value : (float)least; /* NaN becomes `least` here */
    value = value < (float)most ? value : (float)most;
    return (int)(value + (value < 0 ? -0.5f : 0.5f));
}

static float ratio(float value, float unit)
{
    return unit != 0 ? value / unit : 0;
}

/* Tries this scale and this minimum, both integers, for a part, and keeps them
 * when the error is smaller. */
static void try_integers(const struct fitting *fitting, size_t at, struct part *part, int scale,
                         int min, bool is_first, float *mean_rest)
{
    struct flo_fit_sums sums;
    float levels[FLO_FIT_VALUES_MAX / 8];
    float d = fitting->d * (float)scale;
    float m = -fitting->dmin * (float)min;
    flo_fit_assign(fitting->x + at, importance_at(fitting, at), fitting->count,
                   &fitting->block->levels, d, m, &sums, levels);
    *mean_rest = (d * sums.q - part->x_sum) / part->n;
    if (is_first || sums.error < part->sums.error) {
        part->sums = sums;
        part->scale = scale;
        part->min = min;
    }
}

static void choose_integers(struct fitting *fitting, int index)
{
    const struct flo_fit_block *block = fitting->block;
    struct part *part = &fitting->parts[index];
    size_t at = (size_t)index * fitting->count;
    int scale = rounded(ratio(part->wanted_d, fitting->d), block->scale_least, block->scale_most);
    int min = rounded(ratio(-part->wanted_m, fitting->dmin), 0, block->scale_most);
    bool is_first = true;
    for (int k = 0; k < 3; k++) {
        static const int shifts[] = {0, -1, 1};
        int try_scale = scale + shifts[k];
        float mean_rest;
        if (try_scale < block->scale_least || try_scale > block->scale_most) {
            continue;
        }
        try_integers(fitting, at, part, try_scale, min, is_first, &mean_rest);
        is_first = false;
        if (!block->levels.has_offset) {
            continue;
        }
        int other = rounded(ratio(mean_rest, fitting->dmin), 0, block->scale_most);
        if (other != min) {
            try_integers(fitting, at, part, try_scale, other, false, &mean_rest);
        }
    }
}

static void choose_all(struct fitting *fitting)
{
    fitting->error = 0;
    for (int s = 0; s < fitting->block->parts; s++) {
        choose_integers(fitting, s);
        fitting->error += fitting->parts[s].sums.error;
    }
}

/* Computes the d and dmin of least error for fixed levels and integers. */
static bool refit(const struct fitting *fitting, float *d, float *dmin)
{
    double aa = 0;
    double ab = 0;
    double bb = 0;
    double xa = 0;
    double xb = 0;
    for (int s = 0; s < fitting->block->parts; s++) {
        const struct part *part = &fitting->parts[s];
        double scale = part->scale;
        double min = part->min;
        aa += scale * scale * (double)part->sums.qq;
        ab += scale * min * (double)part->sums.q;
        bb += min * min * (double)part->n;
        xa += scale * (double)part->sums.xq;
        xb += min * (double)part->x_sum;
    }
    double divisor = aa * bb - ab * ab;
    *dmin = fitting->dmin;
    if (!(aa > 0)) {
        return false;
    }
    if (!(divisor > 1e-9 * aa * bb)) {
        *d = half((float)((xa + ab * (double)fitting->dmin) / aa));
    } else {
        *d = half((float)((xa * bb - ab * xb) / divisor));
        *dmin = half((float)((ab * xa - aa * xb) / divisor));
    }
    return isfinite(*d) && isfinite(*dmin) && *dmin >= 0;
}

/* Sets the first d and dmin, which just hold the largest scale and the largest
 * min. */
static void begin(struct fitting *fitting)
{
    const struct flo_fit_block *block = fitting->block;
    float d = 0;
    float m = 0;
    for (int s = 0; s < block->parts; s++) {
        struct part *part = &fitting->parts[s];
        const float *x = fitting->x + (size_t)s * fitting->count;
        const float *importance = importance_at(fitting, (size_t)s * fitting->count);
        part->n = flo_fit_count(importance, fitting->count);
        part->x_sum = flo_fit_sum(x, importance, fitting->count);
        flo_fit_find(x, importance, fitting->count, &block->levels, false, 0, &part->wanted_d,
                     &part->wanted_m);
        if (fabsf(part->wanted_d) > fabsf(d)) {
            d = part->wanted_d;
        }
        m = -part->wanted_m > m ? -part->wanted_m : m;
    }
    fitting->d =
        half(d / (float)(block->levels.has_offset ? block->scale_most : block->scale_least));
    fitting->dmin = half(m / (float)block->scale_most);
}

/* Computes the codes for the d, dmin and integers already in the block. */
static void fit_codes(const float *x, struct flo_fit_block *block)
{
    size_t count = (size_t)(FLO_FIT_VALUES_MAX / block->parts);
    float d = flo_f16_to_f32(block->d);
    float dmin = flo_f16_to_f32(block->dmin);
    for (int s = 0; s < block->parts; s++) {
        size_t at = (size_t)s * count;
        flo_fit_codes(x + at, count, &block->levels, d * (float)block->scales[s],
                      -dmin * (float)block->mins[s], block->codes + at);
    }
}

static void fit_block(const float *x, const float *importance, struct flo_fit_block *block)
{
    struct fitting best = {.block = block, .x = x, .importance = importance};
    best.count = (size_t)(FLO_FIT_VALUES_MAX / block->parts);
    begin(&best);
    choose_all(&best);
    struct fitting next = best;
    for (int i = 0; i < ROUNDS_MAX; i++) {
        float d;
        float dmin;
        if (!refit(&next, &d, &dmin) || (d == next.d && dmin == next.dmin)) {
            break;
        }
        next.d = d;
        next.dmin = dmin;
        choose_all(&next);
        if (!(next.error < best.error)) {
            break;
        }
        best = next;
    }
    block->d = flo_f32_to_f16(best.d);
    block->dmin = flo_f32_to_f16(best.dmin);
    for (int s = 0; s < block->parts; s++) {
        block->scales[s] = best.parts[s].scale;
        block->mins[s] = best.parts[s].min;
    }
    fit_codes(x, block);
}

/* ---- types of them ---- */

static void pack(const struct flo_fit_type *type, const struct flo_fit_block *fit, void *block)
{
    memset(block, 0, type->block_bytes);
    type->pack(fit, block);
}

void flo_fit_encode(const struct flo_fit_type *type, const float *in, const float *importance,
                    void *blocks, size_t values)
{
    uint8_t *block = blocks;
    for (size_t v = 0; v < values; v += FLO_FIT_VALUES_MAX, block += type->block_bytes) {
        struct flo_fit_block fit = type->shape;
        fit_block(in + v, importance != NULL ? importance + v : NULL, &fit);
        pack(type, &fit, block);
    }
}

void flo_fit_pin(const struct flo_fit_type *type, const float *in, void *blocks, size_t values)
{
    uint8_t *block = blocks;
    for (size_t v = 0; v < values; v += FLO_FIT_VALUES_MAX, block += type->block_bytes) {
        struct flo_fit_block fit = type->shape;
        type->read(block, &fit);
        fit_codes(in + v, &fit);
        pack(type, &fit, block);
    }
}
