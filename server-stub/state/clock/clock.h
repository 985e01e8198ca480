/* Clock: gathers the sources of core/clock, and keeps the last good time.
 *
 * While the clock has leapt, nothing is signed, rollouts stand still, and
 * nothing is deleted because of its age.  Devices are heard, and people read.
 * The audit's heads are signed all the same: they record what happened. */
#ifndef FLOTILLA_SERVER_STATE_CLOCK_H
#define FLOTILLA_SERVER_STATE_CLOCK_H

#include "server-stub/core/clock/clock.h"

struct flo_clock;
struct flo_controller;

/* Returns what free() takes; NULL: no memory. */
struct flo_clock *flo_clock_new(void);
/* Reads the last good time, and judges.  While the clock has leapt, the time of
 * the cores begins at that good time. */
FLO_MUST_USE int flo_clock_open(struct flo_controller *controller, struct flo_err *err);
/* Judges again, each second.  Notes the good time each hour, and records in the
 * audit when the clock leaps and when it is right again. */
void flo_clock_tick(struct flo_controller *controller);
/* Tells whether the clock had leapt at the newest judgement. */
bool flo_clock_is_leapt(const struct flo_controller *controller);
/* Judges before something is signed.  FLO_E_CLOCK_LEAPT names both times, who
 * says the other one, and the command that confirms the clock. */
FLO_MUST_USE int flo_clock_signs(struct flo_controller *controller, struct flo_err *err);
/* Takes a person's word, typed as the day by this clock, that the clock is
 * right.  It holds until the clock leaps again. */
FLO_MUST_USE int flo_clock_confirm(struct flo_controller *controller, const char *day,
                                   struct flo_err *err);
/* Takes when an authority of the fleet began. */
void flo_clock_began(struct flo_controller *controller, uint64_t authority_ms);
/* Takes the time of a device whose kernel keeps its clock right. */
void flo_clock_told(struct flo_controller *controller, const char *device, uint64_t at_ms);

#endif
