/* Tally: telemetry of the last minutes, by release and hardware class.
 *
 * The lane's thread adds windows; the control thread reads the sums for
 * /metrics and alerts, without the store.  Times are kept in two spans of five
 * minutes, so quantiles are of the last five to ten.
 *
 * At most 256 pairs of release and class are kept apart, 28 KiB each.  A new
 * one takes the place of one that nobody tells of any more.  Where all are told
 * of, it counts as its release with the class "other", so that no release hides
 * behind others.  A pair that came and comes from one device only is that
 * device's, who has 8 of them: its next one takes the place of its oldest.  A
 * counter whose pair was away begins again at 0.  Any thread. */
#ifndef FLOTILLA_SERVER_TELEMETRY_TALLY_H
#define FLOTILLA_SERVER_TELEMETRY_TALLY_H

#include "server-stub/core/exposition/exposition.h"
#include "server-stub/core/telemetry/telemetry.h"

#define FLO_TALLY_PAIRS_MAX 256
#define FLO_TALLY_DEVICE_MAX 8 /* pairs of one device alone */
#define FLO_TALLY_SPAN_MS UINT64_C(300000)
#define FLO_TALLY_OTHER "other"

struct flo_tally;

struct flo_tally_time {
    uint64_t recent; /* values in the last minutes: of the quantiles */
    uint64_t quantiles[FLO_EXPOSED_QUANTILES];
    uint64_t count, sum; /* since the start */
};
struct flo_tally_line {
    char release[2 * FLO_NAME_MAX + 2]; /* model@version, "unknown", "other" */
    char hardware[FLO_HARDWARE_TEXT];
    uint64_t counters[FLO_METRICS_MAX];           /* sums of COUNTER, since the start */
    struct flo_tally_time times[FLO_METRICS_MAX]; /* times of HISTOGRAM */
};

struct flo_tally *flo_tally_new(void); /* NULL: no memory */
void flo_tally_free(struct flo_tally *tally);
/* A window of a device that was stored.  `release`: model@version, "" unknown.
 */
void flo_tally_add(struct flo_tally *tally, const char *device, const char *release,
                   const char *hardware, const struct flo_telemetry_window *window,
                   uint64_t now_ms);
/* The lines, malloc'ed for the caller; NULL: none.  The lane waits meanwhile:
 * about 15 us a pair. */
struct flo_tally_line *flo_tally_read(struct flo_tally *tally, uint64_t now_ms, size_t *count);

#endif
