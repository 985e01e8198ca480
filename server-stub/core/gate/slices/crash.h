/* Crash: devices that crashed soon after their swap, in any wave.
 *
 * They are compared with controls of the same hours and, at half weight, with
 * all members' own past.  Controls alone have to bear it out.  Pure. */
#ifndef FLOTILLA_SERVER_SLICES_CRASH_H
#define FLOTILLA_SERVER_SLICES_CRASH_H

#include "server-stub/core/gate/share.h"

#define FLO_CRASH_HOURS 2 /* from the swap on */

/* Distinct devices that crashed, and how many were expected to. */
struct flo_crash_arm {
    double devices;
    double expected;
};
struct flo_crash_rule {
    double tail_max;    /* 0.001 */
    double limit_ratio; /* 2 */
};
struct flo_crash_result {
    enum flo_verdict verdict; /* fail, or inconclusive */
    bool has_tail;            /* something is expected in both arms */
    bool has_tail_now;        /* also of the controls alone */
    bool has_ratio;           /* the other arm had crashes */
    double tail;              /* chance of so many */
    double tail_now;          /* against the controls alone */
    double ratio;
};
/* A device's crashes per hour by its own past. */
double flo_crash_rate(double crashes_before, double hours_before, double rate);
/* A device's chance to crash in `hours` by its own past: crashes in hours, and
 * all members' crashes per hour (> 0). */
double flo_crash_expected(double hours, double crashes_before, double hours_before, double rate);
/* false: negative or not finite; *out is inconclusive. */
bool flo_crash_evaluate(const struct flo_crash_rule *rule, const struct flo_crash_arm *updated,
                        const struct flo_crash_arm *controls, const struct flo_crash_arm *past,
                        struct flo_crash_result *out);

#endif
