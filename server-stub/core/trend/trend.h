/* Trend: tells whether a device gets hotter, fuller, or crashes more often.
 *
 * A trend uses the last 14 points of a number, each the mean of a span.  Mann
 * and Kendall's test tells whether they rise or fall, with a false alarm rate
 * of 0.034 %; Theil and Sen's slope, the median of the slopes of all pairs,
 * tells how fast.  Both need no distribution, and one strange day changes
 * neither.  A single step (a larger release) is no trend.  Pure. */
#ifndef FLOTILLA_SERVER_TREND_H
#define FLOTILLA_SERVER_TREND_H

#include <flotilla/base.h>
#include <flotilla/proto.h>

enum flo_trend_kind {
#define FLO_TREND(name, ...) FLO_TREND_##name,
#include "server-stub/core/trend/trends.def"
#undef FLO_TREND
    FLO_TREND_COUNT
};
struct flo_trend_fact {
    const char *word;
    int metric;
    uint64_t span_ms;
    int sign;
    double least;
};
const struct flo_trend_fact *flo_trend_fact(enum flo_trend_kind kind);

#define FLO_TREND_POINTS 14
#define FLO_TREND_POINTS_MIN 9 /* with fewer points there is no finding */
/* Zero-initialise. */
struct flo_trend {
    uint32_t spans[FLO_TREND_POINTS]; /* numbers, rising */
    float values[FLO_TREND_POINTS];
    uint8_t count;
    uint32_t span; /* number of the span that is still open; 0: none */
    double sum, weight;
};
/* Adds the value of a telemetry window.  Returns true when a point was
 * completed. */
bool flo_trend_add(struct flo_trend *trend, enum flo_trend_kind kind, double value,
                   uint64_t window_ms, uint64_t now_ms);

struct flo_trend_finding {
    bool is_known; /* there is a finding: enough points, and the newest is at most two spans old */
    bool is_there; /* the trend is significant, and fast enough to matter */
    double slope;  /* per day */
    double full_s; /* time until the disk is full; only for FILLING */
};
void flo_trend_judge(const struct flo_trend *trend, enum flo_trend_kind kind, uint64_t now_ms,
                     struct flo_trend_finding *out);

/* Returns the median of at least one value; sorts the values. */
double flo_trend_median(double *values, size_t count);

/* Largest size of a device's packed trends in bytes. */
#define FLO_TREND_BYTES_MAX (1 + FLO_TREND_COUNT * (1 + 8 * FLO_TREND_POINTS))
/* Packs all trends of a device, without open spans.  `out` holds
 * FLO_TREND_BYTES_MAX bytes.  Returns the number of bytes used. */
size_t flo_trend_pack(const struct flo_trend *trends, uint8_t *out);
/* Unpacks all trends of a device.  Returns false for bytes that flo_trend_pack
 * does not write; the trends are empty then. */
FLO_MUST_USE bool flo_trend_unpack(const uint8_t *data, size_t bytes, struct flo_trend *out);

#endif
