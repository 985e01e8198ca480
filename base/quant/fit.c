/* Scale fitting: finds the scale for some values, by trying candidates around
 * the usual scale and improving each by least squares. */
#include "base/quant/fit.h"

#include <math.h>

#include "base/quant/quant.h"

#define LANES 8
#define REFITS_MAX 4
#define VALUES_MAX 32 /* most values of one search */

static const float infinite = 3e38f;

/* Rounds to the nearest integer, half to even, for |x| < 2^22. */
static inline float nearest(float x)
{
    const float magic = 12582912.0f;
    return (x + magic) - magic;
}

static inline float within(float x, float least, float most)
{
    x = x > least ? x : least; /* NaN becomes `least` here */
    return x < most ? x : most;
}

/* Returns the grid level nearest to x, without a branch. */
static inline float nearest_step(float x)
{
    float level = flo_quant_iq4_grid[0];
    for (int k = 1; k < 16; k++) {
        float low = flo_quant_iq4_grid[k - 1];
        float high = flo_quant_iq4_grid[k];
        level += x > (low + high) / 2 ? high - low : 0.0f;
    }
    return level;
}

static float sum_lanes(const float lanes[LANES])
{
    return ((lanes[0] + lanes[4]) + (lanes[1] + lanes[5])) +
           ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7]));
}

static inline void assign(const float *x, const float *importance, size_t count, float least,
                          float most, bool is_grid, float d, float m, struct flo_fit_sums *sums,
                          float *out)
{
    float error[LANES] = {0};
    float q[LANES] = {0};
    float qq[LANES] = {0};
    float xq[LANES] = {0};
    float inverse = d != 0 ? 1.0f / d : 0;
    inverse = fabsf(inverse) < infinite ? inverse : 0;
    for (size_t i = 0; i < count; i += LANES) {
        for (size_t l = 0; l < LANES; l++) {
            float value = x[i + l];
            float level = within((value - m) * inverse, least, most);
            level = is_grid ? nearest_step(level) : nearest(level);
            float rest = value - (d * level + m);
            float by = importance != NULL ? importance[i + l] : 1.0f;
            out[i + l] = level;
            error[l] += by * (rest * rest);
            q[l] += by * level;
            qq[l] += by * (level * level);
            xq[l] += by * (value * level);
        }
    }
    sums->error = sum_lanes(error);
    sums->q = sum_lanes(q);
    sums->qq = sum_lanes(qq);
    sums->xq = sum_lanes(xq);
}

void flo_fit_assign(const float *x, const float *importance, size_t count,
                    const struct flo_levels *levels, float d, float m, struct flo_fit_sums *sums,
                    float *out)
{
    float least = levels->least;
    float most = levels->most;
    /* the constants make loops without the tests inside */
    if (importance != NULL && levels->is_grid) {
        assign(x, importance, count, least, most, true, d, m, sums, out);
    } else if (importance != NULL) {
        assign(x, importance, count, least, most, false, d, m, sums, out);
    } else if (levels->is_grid) {
        assign(x, NULL, count, least, most, true, d, m, sums, out);
    } else {
        assign(x, NULL, count, least, most, false, d, m, sums, out);
    }
}

float flo_fit_sum(const float *x, const float *importance, size_t count)
{
    float sum = 0;
    for (size_t i = 0; i < count; i++) {
        sum += importance != NULL ? importance[i] * x[i] : x[i];
    }
    return sum;
}

float flo_fit_count(const float *importance, size_t count)
{
    float sum = 0;
    for (size_t i = 0; importance != NULL && i < count; i++) {
        sum += importance[i];
    }
    return importance != NULL ? sum : (float)count;
}

static uint8_t code_of(const struct flo_levels *levels, float level)
{
    uint8_t code = 0;
    if (!levels->is_grid) {
        return (uint8_t)(level - levels->least);
    }
    while (code < 15 && (float)flo_quant_iq4_grid[code] < level) {
        code++;
    }
    return code;
}

void flo_fit_codes(const float *x, size_t count, const struct flo_levels *levels, float d, float m,
                   uint8_t *codes)
{
    struct flo_fit_sums sums;
    float out[VALUES_MAX];
    flo_fit_assign(x, NULL, count, levels, d, m, &sums, out);
    for (size_t i = 0; i < count; i++) {
        codes[i] = code_of(levels, out[i]);
    }
}

/* State of a search: the values, the fixed parameters, and the best candidate
 * so far. */
struct search {
    const float *x;
    const float *importance; /* NULL: all values count the same */
    size_t count;
    const struct flo_levels *levels;
    bool is_half;
    float m_most;
    float n; /* sum of the importance, which is the count without one */
    float x_sum;
    /* part of the values' sum of squares that the best candidate explains;
     * found_d to m belong to that candidate */
    float explained;
    float found_d;
    float found_m;
    float d;
    float m;
    struct flo_fit_sums best;
};

static float rounded(const struct search *search, float value)
{
    return search->is_half ? flo_f16_to_f32(flo_f32_to_f16(value)) : value;
}

static bool try_pair(struct search *search, float d, float m, bool is_first)
{
    struct flo_fit_sums sums;
    float levels[VALUES_MAX];
    d = rounded(search, d);
    m = rounded(search, m);
    flo_fit_assign(search->x, search->importance, search->count, search->levels, d, m, &sums,
                   levels);
    if (!is_first && !(sums.error < search->best.error)) {
        return false;
    }
    search->best = sums;
    search->d = d;
    search->m = m;
    return true;
}

/* Computes the pair (d, m) of least error for fixed levels.  Returns false when
 * there is no such pair. */
static bool refit(const struct search *search, const struct flo_fit_sums *sums, float *d, float *m)
{
    float n = search->n;
    float divisor = n * sums->qq - sums->q * sums->q;
    if (!(sums->qq > 0)) {
        return false;
    }
    *m = 0;
    *d = sums->xq / sums->qq;
    if (search->levels->has_offset && divisor > 0) {
        float slope = (n * sums->xq - sums->q * search->x_sum) / divisor;
        float offset = (search->x_sum - slope * sums->q) / n;
        if (offset <= search->m_most) {
            *d = slope;
            *m = offset;
        }
    }
    return true;
}

/* Tries a candidate: assigns levels, and computes the best pair for them and
 * the sum of squares that it explains (squares - squared errors). */
static void weigh(struct search *search, float d, float m)
{
    struct flo_fit_sums sums;
    float levels[VALUES_MAX];
    if (!(fabsf(d) > 0) || !(fabsf(d) < infinite)) {
        return;
    }
    flo_fit_assign(search->x, search->importance, search->count, search->levels, d, m, &sums,
                   levels);
    if (refit(search, &sums, &d, &m)) {
        float n = search->n;
        float explained =
            d * (2 * sums.xq - d * sums.qq) + m * (2 * search->x_sum - 2 * d * sums.q - m * n);
        if (explained > search->explained) {
            search->explained = explained;
            search->found_d = d;
            search->found_m = m;
        }
    }
}

/* Improves the best candidate step by step, and the usual rounding too if that
 * is better. */
static void improve(struct search *search)
{
    if (search->explained > 0) {
        try_pair(search, search->found_d, search->found_m, false);
    }
    for (int i = 0; i < REFITS_MAX; i++) {
        float d;
        float m;
        if (!refit(search, &search->best, &d, &m) || !try_pair(search, d, m, false)) {
            break;
        }
    }
}

/* Tries scales that put the value of largest magnitude on the least level (the
 * usual rounding) or the highest.  Also tries scales slightly inside or outside
 * of these. */
static void search_scaled(struct search *search)
{
    const struct flo_levels *levels = search->levels;
    float extreme = 0;
    for (size_t i = 0; i < search->count; i++) {
        if (fabsf(search->x[i]) > fabsf(extreme)) {
            extreme = search->x[i];
        }
    }
    float step = levels->is_grid ? 2.0f : 0.125f;
    /* a grid costs four times as much per candidate, so fewer are tried */
    int stride = levels->is_grid ? 2 : 1;
    try_pair(search, extreme / levels->least, 0, true);
    for (int k = -8; k <= 10; k += stride) {
        float shift = (float)k * step;
        weigh(search, extreme / (levels->least - shift), 0);
        if (k >= -4 && k <= 6) {
            weigh(search, extreme / (levels->most + shift), 0);
        }
    }
    improve(search);
}

/* Tries the range from minimum to maximum (the usual rounding), and ranges with
 * slightly more or fewer levels. */
static void search_affine(struct search *search)
{
    float most_level = search->levels->most;
    float least = search->x[0];
    float most = search->x[0];
    for (size_t i = 0; i < search->count; i++) {
        least = search->x[i] < least ? search->x[i] : least;
        most = search->x[i] > most ? search->x[i] : most;
    }
    least = least < search->m_most ? least : search->m_most;
    try_pair(search, (most - least) / most_level, least, true);
    for (int k = -10; k <= 12; k++) {
        float steps = most_level + (float)k * 0.1f;
        weigh(search, (most - least) / steps, least);
        if (k > 0) { /* the range is also narrowed at both ends */
            float d = (most - least) / steps;
            float cut = (steps - most_level) / 2;
            weigh(search, d, least + cut * d);
        }
    }
    improve(search);
}

void flo_fit_find(const float *x, const float *importance, size_t count,
                  const struct flo_levels *levels, bool is_half, float m_most, float *d, float *m)
{
    struct search search = {
        .x = x,
        .importance = importance,
        .count = count,
        .levels = levels,
        .is_half = is_half,
        .m_most = m_most,
        .n = flo_fit_count(importance, count),
        .x_sum = flo_fit_sum(x, importance, count),
    };
    if (levels->has_offset) {
        search_affine(&search);
    } else {
        search_scaled(&search);
    }
    *d = search.d;
    *m = search.m;
}

void flo_fit_values(const float *x, const float *importance, const struct flo_levels *levels,
                    uint16_t *d, uint16_t *m, uint8_t codes[32])
{
    float step;
    float offset;
    flo_fit_find(x, importance, 32, levels, true, infinite, &step, &offset);
    flo_fit_codes(x, 32, levels, step, offset, codes);
    *d = flo_f32_to_f16(step);
    *m = flo_f32_to_f16(offset);
}
