/* Window: the hours of a day in which devices may begin an update.
 *
 *   "01:00-05:00"                         each day, in device-local time
 *   "mon-fri 22:00-04:00 Europe/Paris"    in one zone, for all devices
 *   "sat,sun 00:00-24:00 +02:00"
 *
 * A window may pass midnight; its day is the one on which it opens.
 * Device-local time is the wall clock of the device's own zone.  Zones are
 * given as offsets: the caller passes the offset of the moment.  Pure. */
#ifndef FLOTILLA_SERVER_WINDOW_H
#define FLOTILLA_SERVER_WINDOW_H

#include <flotilla/base.h>

#define FLO_WINDOW_ZONE_MAX 47
#define FLO_WINDOW_ALL_DAYS 0x7fu

struct flo_window {
    uint32_t from_s; /* start, as a second of the local day */
    /* length of the window in s; 0: there is no window, so any time is
     * allowed */
    uint32_t length_s;
    uint8_t days;                       /* bit 0: Monday */
    bool is_local;                      /* the window is in each device's own zone */
    char zone[FLO_WINDOW_ZONE_MAX + 1]; /* else this zone */
};
/* Reads a window.  Returns false if the text is invalid. */
bool flo_window_parse(const char *text, struct flo_window *out);

/* Tells whether the window is open at `wall_ms`, where local time is `offset_s`
 * ahead of UTC.  *change_ms gets the time when it next opens or closes, if the
 * offset stays. */
bool flo_window_is_open(const struct flo_window *window, int32_t offset_s, uint64_t wall_ms,
                        uint64_t *change_ms);

/* Converts the window to UTC for an order, so that devices need no zone.  Only
 * from_s, length_s and days are set. */
void flo_window_in_utc(const struct flo_window *window, int32_t offset_s, struct flo_window *out);

#endif
