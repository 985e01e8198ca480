/* Crash: devices that crashed soon after their swap, in any wave.
 *
 * These devices are compared with controls of the same hours and, at half
 * weight, with all members' own past.  The comparison with controls alone has
 * to agree.  Pure. */
#ifndef FLOTILLA_SERVER_SLICES_CRASH_H
#define FLOTILLA_SERVER_SLICES_CRASH_H

#include "server-stub/core/gate/share.h"

#define FLO_CRASH_HOURS 2 /* hours after a swap within which a crash counts as soon */

/* Number of distinct devices that crashed, and the expected number. */
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
    bool has_tail;            /* `tail` is set: crashes are expected in both arms */
    bool has_tail_now;        /* `tail_now` is set: crashes are expected in the controls alone */
    bool has_ratio;           /* `ratio` is set, because the arm that it divides
                                 by had crashes */
    double tail;              /* chance of at least as many crashes without an effect */
    /* chance of at least as many crashes without an effect, compared with the
     * controls alone */
    double tail_now;
    double ratio;
};
/* Returns a device's crashes per hour, from its own past and from `rate`, all
 * members' crashes per hour. */
double flo_crash_rate(double crashes_before, double hours_before, double rate);
/* Returns a device's chance to crash within `hours`, from its own past and from
 * `rate`, all members' crashes per hour (> 0). */
double flo_crash_expected(double hours, double crashes_before, double hours_before, double rate);
/* Judges the crashes of both arms.  Returns false for numbers that are negative
 * or not finite; *out is inconclusive then. */
bool flo_crash_evaluate(const struct flo_crash_rule *rule, const struct flo_crash_arm *updated,
                        const struct flo_crash_arm *controls, const struct flo_crash_arm *past,
                        struct flo_crash_result *out);

#endif
