/* Telemetry pace: how fast a device sends telemetry windows, and how fast the
 * controller takes them.  Pure.
 *
 * The controller's limit is wider than the device's pace, so a device that keeps
 * its pace loses no window there, however many waited for the network. */
#ifndef FLOTILLA_PROTO_TELEMETRY_PACE_H
#define FLOTILLA_PROTO_TELEMETRY_PACE_H

#include <flotilla/base.h>

/* A device's windows that may go at once, and then the time between two.  The
 * shortest interval of telemetry is 200 ms, so what waited goes out, too.  Some
 * queues on the way hold 256 messages of a device. */
#define FLO_TELEMETRY_SENT_BURST 200
#define FLO_TELEMETRY_SENT_EACH_MS 160
/* The same at the controller.  Older agents keep no pace, and send a day's
 * windows, one a minute, at once. */
#define FLO_TELEMETRY_TAKEN_BURST 2048
#define FLO_TELEMETRY_TAKEN_EACH_MS 125

/* Starts as zeros. */
struct flo_telemetry_pace {
    uint64_t full_at_ms; /* time at which a whole burst may pass again */
};
/* Returns 0 if a window may pass now, which is then counted, else the time until
 * one may. */
uint64_t flo_telemetry_pace(struct flo_telemetry_pace *pace, uint64_t burst, uint64_t each_ms,
                            uint64_t now_ms);

#endif
