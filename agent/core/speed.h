/* Speed: decides whether a candidate is slower than the current release.
 *
 * A pair is the time per token of both releases, measured one after the other
 * under the same conditions.  Other work on the machine may lengthen one of the
 * two times.  So a pair only counts as over or under the limit.  The verdict is
 * given when these counts leave no doubt (struct flo_bet).  Pure. */
#ifndef FLOTILLA_AGENT_CORE_SPEED_H
#define FLOTILLA_AGENT_CORE_SPEED_H

#include <flotilla/agent.h>

#define FLO_SPEED_PAIRS_MAX 600
/* difference per token below which nobody notices a slower release */
#define FLO_SPEED_UNNOTICED_US 50

enum flo_speed_verdict {
    FLO_SPEED_OPEN,   /* measure another pair */
    FLO_SPEED_FAST,   /* the candidate is certainly within the limit */
    FLO_SPEED_SLOW,   /* the candidate is certainly over the limit */
    FLO_SPEED_UNSURE, /* all pairs were measured without a verdict */
};

struct flo_speed {
    double ratio_max;
    uint32_t count;
    struct flo_bet over; /* test over the pairs; yes: a pair is over the limit */
    double candidate_us[FLO_SPEED_PAIRS_MAX];
    double current_us[FLO_SPEED_PAIRS_MAX];
};

/* ratio_max: above 0. */
void flo_speed_init(struct flo_speed *speed, double ratio_max);
/* Adds a pair of times, both above 0, and returns the verdict.  No pair may be
 * added after a verdict other than FLO_SPEED_OPEN. */
enum flo_speed_verdict flo_speed_add(struct flo_speed *speed, double candidate_us,
                                     double current_us);
/* Returns the pause before the next pair.  It grows with the number of pairs
 * over the limit, so that a short disturbance passes. */
uint32_t flo_speed_pause_ms(const struct flo_speed *speed);
/* Medians of the pairs: the time per token of each release, and their ratio.
 * All are 0 without pairs. */
struct flo_speed_typical {
    double candidate_us, current_us, ratio;
} flo_speed_typical(const struct flo_speed *speed);

#endif
