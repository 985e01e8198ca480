/* Trend: see trend.h. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/metrics.h>

#include "server-stub/core/trend/trend.h"

#define FORMAT 1
#define DAY_MS 86400000.0
#define Z 3.4 /* one-sided 0.034 % */
#define PAIRS (FLO_TREND_POINTS * (FLO_TREND_POINTS - 1) / 2)

static const struct flo_trend_fact facts[] = {
#define FLO_TREND(name, word, metric, span, sign, least, unit, meaning)                            \
    {word, FLO_METRIC_NAME_##metric, span, sign, least},
#include "server-stub/core/trend/trends.def"
#undef FLO_TREND
};

const struct flo_trend_fact *flo_trend_fact(enum flo_trend_kind kind)
{
    assert((size_t)kind < FLO_COUNT(facts));
    return &facts[kind];
}

/* ---- points ---- */

static void close_span(struct flo_trend *trend)
{
    if (trend->count == FLO_TREND_POINTS) {
        trend->count--;
        memmove(trend->spans, trend->spans + 1, trend->count * sizeof(trend->spans[0]));
        memmove(trend->values, trend->values + 1, trend->count * sizeof(trend->values[0]));
    }
    trend->spans[trend->count] = trend->span;
    trend->values[trend->count++] = (float)(trend->sum / trend->weight);
}

bool flo_trend_add(struct flo_trend *trend, enum flo_trend_kind kind, double value,
                   uint64_t window_ms, uint64_t now_ms)
{
    const struct flo_trend_fact *fact = flo_trend_fact(kind);
    uint32_t span = (uint32_t)(now_ms / fact->span_ms % UINT32_MAX) + 1;
    bool is_rate = flo_metric_fact(fact->metric)->kind == FLO_METRIC_COUNTER;
    uint32_t newest = trend->count > 0 ? trend->spans[trend->count - 1] : 0;
    bool has_closed = false;

    if (span != trend->span) {
        if (trend->span > newest && trend->weight > 0) {
            close_span(trend);
            has_closed = true;
        }
        trend->span = span;
        trend->sum = trend->weight = 0;
    }
    if (!isfinite(value) || window_ms == 0) {
        return has_closed;
    }
    trend->sum += is_rate ? value * DAY_MS : value * (double)window_ms;
    trend->weight += (double)window_ms;
    return has_closed;
}

/* ---- the test and the slope ---- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return (x > y) - (x < y);
}

double flo_trend_median(double *values, size_t count)
{
    assert(count > 0);
    qsort(values, count, sizeof(values[0]), by_value);
    return count % 2 == 1 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

/* Returns the variance that the sum of signs has if there is no trend.  Equal
 * values make it smaller. */
static double variance(const struct flo_trend *trend)
{
    double sorted[FLO_TREND_POINTS];
    double n = trend->count;
    double sum = n * (n - 1) * (2 * n + 5);

    for (size_t i = 0; i < trend->count; i++) {
        sorted[i] = (double)trend->values[i];
    }
    qsort(sorted, trend->count, sizeof(sorted[0]), by_value);
    for (size_t i = 0; i < trend->count;) {
        size_t end = i + 1;
        while (end < trend->count && !(sorted[end] > sorted[i])) {
            end++;
        }
        double t = (double)(end - i);
        sum -= t * (t - 1) * (2 * t + 5);
        i = end;
    }
    return sum / 18;
}

/* Returns the sum of the signs of all pairs.  *slope gets the median of their
 * slopes per day. */
static double signs(const struct flo_trend *trend, uint64_t span_ms, double *slope)
{
    double slopes[PAIRS];
    size_t count = 0;
    double sum = 0;

    for (size_t i = 0; i < trend->count; i++) {
        for (size_t k = i + 1; k < trend->count; k++) {
            double rise = (double)trend->values[k] - (double)trend->values[i];
            double spans = (double)(trend->spans[k] - trend->spans[i]);
            sum += (rise > 0) - (rise < 0);
            slopes[count++] = rise / (spans * (double)span_ms / DAY_MS);
        }
    }
    *slope = flo_trend_median(slopes, count);
    return sum;
}

static bool matters(enum flo_trend_kind kind, double newest, struct flo_trend_finding *out)
{
    const struct flo_trend_fact *fact = flo_trend_fact(kind);

    if (kind != FLO_TREND_FILLING) {
        return out->slope * fact->sign >= fact->least;
    }
    double days = out->slope < 0 ? newest / -out->slope : INFINITY;
    out->full_s = isfinite(days) ? days * DAY_MS / 1000 : 0;
    return days <= fact->least;
}

void flo_trend_judge(const struct flo_trend *trend, enum flo_trend_kind kind, uint64_t now_ms,
                     struct flo_trend_finding *out)
{
    const struct flo_trend_fact *fact = flo_trend_fact(kind);
    uint32_t span = (uint32_t)(now_ms / fact->span_ms % UINT32_MAX) + 1;

    assert(trend->count <= FLO_TREND_POINTS);
    *out = (struct flo_trend_finding){0};
    if (trend->count < FLO_TREND_POINTS_MIN || span > trend->spans[trend->count - 1] + 2) {
        return;
    }
    out->is_known = true;
    double sum = fact->sign * signs(trend, fact->span_ms, &out->slope);
    double spread = sqrt(variance(trend));
    bool is_fast = matters(kind, (double)trend->values[trend->count - 1], out);
    out->is_there = spread > 0 && sum - 1 >= Z * spread && is_fast;
    out->full_s = out->is_there ? out->full_s : 0;
}

/* ---- bytes ---- */

size_t flo_trend_pack(const struct flo_trend *trends, uint8_t *out)
{
    size_t at = 0;

    out[at++] = FORMAT;
    for (int kind = 0; kind < FLO_TREND_COUNT; kind++) {
        const struct flo_trend *trend = &trends[kind];
        out[at++] = trend->count;
        for (size_t i = 0; i < trend->count; i++, at += 8) {
            uint32_t bits;
            memcpy(&bits, &trend->values[i], sizeof(bits));
            flo_put_u32(out + at, trend->spans[i]);
            flo_put_u32(out + at + 4, bits);
        }
    }
    return at;
}

static bool unpack(const uint8_t *data, size_t bytes, size_t *at, struct flo_trend *out)
{
    if (*at >= bytes || data[*at] > FLO_TREND_POINTS || bytes - *at - 1 < 8u * data[*at]) {
        return false;
    }
    out->count = data[(*at)++];
    for (size_t i = 0; i < out->count; i++, *at += 8) {
        uint32_t bits = flo_get_u32(data + *at + 4);
        out->spans[i] = flo_get_u32(data + *at);
        memcpy(&out->values[i], &bits, sizeof(bits));
        if (!isfinite(out->values[i]) || (i > 0 && out->spans[i] <= out->spans[i - 1])) {
            return false;
        }
    }
    return true;
}

bool flo_trend_unpack(const uint8_t *data, size_t bytes, struct flo_trend *out)
{
    size_t at = 1;
    bool is_good = bytes > 0 && data[0] == FORMAT;

    memset(out, 0, FLO_TREND_COUNT * sizeof(*out));
    for (int kind = 0; kind < FLO_TREND_COUNT && is_good; kind++) {
        is_good = unpack(data, bytes, &at, &out[kind]);
    }
    is_good = is_good && at == bytes;
    if (!is_good) {
        memset(out, 0, FLO_TREND_COUNT * sizeof(*out));
    }
    return is_good;
}
