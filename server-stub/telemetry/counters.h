/* Counters: telemetry of the last minutes, by release and hardware class.
 *
 * The telemetry thread adds windows; the control thread reads the sums for
 * /metrics and alerts, without the store.  Times are kept in two spans of five
 * minutes, so quantiles are of the last five to ten.  At most 256 pairs of
 * release and class have counters, 28 KiB each.  A new pair replaces one that
 * is no longer reported.  If all are reported, it counts as its release with
 * the class "other", so that no release is hidden.  A device may have 8 pairs
 * that only it reports: its next one replaces its oldest.  The counter of a
 * replaced pair restarts at 0.  Any thread may call. */
#ifndef FLOTILLA_SERVER_TELEMETRY_COUNTERS_H
#define FLOTILLA_SERVER_TELEMETRY_COUNTERS_H

#include "server-stub/core/exposition/exposition.h"
#include "server-stub/core/telemetry/telemetry.h"

#define FLO_COUNTERS_PAIRS_MAX 256
#define FLO_COUNTERS_DEVICE_MAX 8 /* largest number of pairs that a single device alone reports */
#define FLO_COUNTERS_SPAN_MS UINT64_C(300000)
#define FLO_COUNTERS_OTHER "other"

struct flo_counters;

struct flo_counters_time {
    uint64_t recent; /* number of values in the last minutes, of which the quantiles are */
    uint64_t quantiles[FLO_EXPOSED_QUANTILES];
    uint64_t count, sum; /* since the start */
};
struct flo_counters_line {
    char release[2 * FLO_NAME_MAX + 2]; /* model@version, "unknown", "other" */
    char hardware[FLO_HARDWARE_TEXT];
    uint64_t counters[FLO_METRICS_MAX]; /* sum of each COUNTER metric since the start */
    struct flo_counters_time times[FLO_METRICS_MAX]; /* times of HISTOGRAM */
};

struct flo_counters *flo_counters_new(void); /* NULL: no memory */
void flo_counters_free(struct flo_counters *counters);
/* Adds a telemetry window that was stored.  `release` is model@version, or ""
 * if it is unknown. */
void flo_counters_add(struct flo_counters *counters, const char *device, const char *release,
                      const char *hardware, const struct flo_telemetry_window *window,
                      uint64_t now_ms);
/* Returns the lines, allocated by malloc for the caller; NULL: there are none.
 * The telemetry thread waits meanwhile, about 15 us a pair. */
struct flo_counters_line *flo_counters_read(struct flo_counters *counters, uint64_t now_ms,
                                            size_t *count);

#endif
