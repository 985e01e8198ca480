/* Trends: each device's temperature, free space and crashes over the last days.
 *
 * The lane's thread adds windows; the control thread reads the lines for
 * /metrics and alerts.  Points are also stored in telemetry.db, in the table of
 * evidence, or handed to the next leader: a row of the device without a model.
 * They take 424 bytes a device.  Any thread. */
#ifndef FLOTILLA_SERVER_TELEMETRY_TRENDS_H
#define FLOTILLA_SERVER_TELEMETRY_TRENDS_H

#include "server-stub/core/telemetry/telemetry.h"
#include "server-stub/core/trend/trend.h"
#include "server-stub/store/handed.h"
#include "server-stub/store/windows.h"

struct flo_trends;

/* Opens the trends, and reads the stored points. */
FLO_MUST_USE int flo_trends_open(struct flo_windows *store, struct flo_trends **out,
                                 struct flo_err *err);
void flo_trends_close(struct flo_trends *trends);
/* Takes a window of a known device.  `now_ms`: wall clock. */
void flo_trends_take(struct flo_trends *trends, const char *device, const char *hardware,
                     const struct flo_telemetry_window *window, uint64_t now_ms);
/* Forgets a retired device. */
void flo_trends_forget(struct flo_trends *trends, const char *device);
/* Stores up to `most` devices with a new point; SIZE_MAX: all.  The caller has
 * no open transaction. */
void flo_trends_store(struct flo_trends *trends, size_t most);
/* Hand the points over to the next leader, as flo_observer_hand_on and its
 * neighbours do. */
void flo_trends_empty(struct flo_trends *trends);
FLO_MUST_USE int flo_trends_take_over(struct flo_trends *trends, const char *device,
                                      const void *data, size_t bytes);
void flo_trends_hand_on(struct flo_trends *trends, bool is_all);
size_t flo_trends_give(struct flo_trends *trends, size_t most, flo_give_fn give, void *context);

struct flo_trend_line {
    char hardware[FLO_HARDWARE_TEXT];
    struct flo_trend_sum {
        uint32_t known; /* number of devices with enough points */
        uint32_t there; /* devices of `known` that have the trend */
        double slope;   /* slope of the median device, per day */
    } kinds[FLO_TREND_COUNT];
    double full_s; /* shortest time until a device is full; 0: none */
};
/* Reads the lines by hardware class, malloc'ed for the caller; NULL: none. */
#define FLO_TREND_LINES_MAX 128
struct flo_trend_line *flo_trends_read(struct flo_trends *trends, uint64_t now_ms, size_t *count);

#endif
