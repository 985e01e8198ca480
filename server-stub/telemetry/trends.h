/* Trends: each device's temperature, free space and crashes over the last days.
 *
 * The telemetry thread adds windows; the control thread reads the lines for
 * /metrics and alerts.  Points are also stored in telemetry.db, in the table of
 * evidence, or handed to the next leader: each device has a row without a
 * model.  The trends take 424 bytes a device.  Any thread may call. */
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
/* Takes a telemetry window of a known device.  `now_ms` is the wall clock. */
void flo_trends_take(struct flo_trends *trends, const char *device, const char *hardware,
                     const struct flo_telemetry_window *window, uint64_t now_ms);
/* Forgets the trends of a retired device. */
void flo_trends_forget(struct flo_trends *trends, const char *device);
/* Stores up to `most` devices that have a new point, or all for SIZE_MAX.  The
 * caller has no open transaction. */
void flo_trends_store(struct flo_trends *trends, size_t most);
/* Functions that hand the points over to the next leader.  Each does the same
 * as the function of flo_observer with that name. */
void flo_trends_empty(struct flo_trends *trends);
FLO_MUST_USE int flo_trends_take_over(struct flo_trends *trends, const char *device,
                                      const void *data, size_t bytes);
void flo_trends_hand_on(struct flo_trends *trends, bool is_all);
size_t flo_trends_give(struct flo_trends *trends, size_t most, flo_give_fn give, void *context);

struct flo_trend_line {
    char hardware[FLO_HARDWARE_TEXT];
    struct flo_trend_sum {
        uint32_t known; /* number of devices with enough points */
        uint32_t there; /* number of the devices in `known` that have the trend */
        double slope;   /* slope of the median device, in units a day */
    } kinds[FLO_TREND_COUNT];
    /* shortest time, in seconds, until the disk of a device is full; 0: none
     * fills up */
    double full_s;
};
/* Returns the lines by hardware class, allocated by malloc for the caller;
 * NULL: there are none. */
#define FLO_TREND_LINES_MAX 128
struct flo_trend_line *flo_trends_read(struct flo_trends *trends, uint64_t now_ms, size_t *count);

#endif
