/* Speed: decides whether a candidate is slower than the serving release.
 *
 * A pair is the time per token of both, measured one after the other under the
 * same conditions.  Other work on the machine may lengthen one of them.  So a
 * pair only counts as over or under the limit.  The verdict is given when the
 * counts leave no doubt (struct flo_bet).  Pure. */
#ifndef FLOTILLA_AGENT_CORE_SPEED_H
#define FLOTILLA_AGENT_CORE_SPEED_H

#include <flotilla/agent.h>

#define FLO_SPEED_PAIRS_MAX 600
#define FLO_SPEED_UNNOTICED_US 50 /* a smaller difference per token is not noticeable */

enum flo_speed_verdict {
    FLO_SPEED_OPEN,   /* measure another pair */
    FLO_SPEED_FAST,   /* the candidate is certainly within the limit */
    FLO_SPEED_SLOW,   /* the candidate is certainly over the limit */
    FLO_SPEED_UNSURE, /* no verdict after all pairs */
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
/* Adds a pair; both times are above 0.  Not to be called after a verdict. */
enum flo_speed_verdict flo_speed_add(struct flo_speed *speed, double candidate_us,
                                     double current_us);
/* Pause before the next pair.  The more pairs are over the limit, the longer
 * the pause, so that a short disturbance passes. */
uint32_t flo_speed_pause_ms(const struct flo_speed *speed);
/* Medians of the pairs: time per token of both releases, and their ratio; 0
 * without pairs. */
struct flo_speed_typical {
    double candidate_us, current_us, ratio;
} flo_speed_typical(const struct flo_speed *speed);

#endif
