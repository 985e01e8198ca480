/* Speed: is a candidate too slow, compared with the serving release?
 *
 * A pair is the time of a token on both, measured one after the other in the
 * same place.  Other work on the machine lengthens one of the two times.  A
 * pair is therefore only one answer: over the limit or under it.  The verdict
 * waits until the answers leave no doubt (struct flo_bet).  Pure. */
#ifndef FLOTILLA_AGENT_CORE_SPEED_H
#define FLOTILLA_AGENT_CORE_SPEED_H

#include <flotilla/agent.h>

#define FLO_SPEED_PAIRS_MAX 600
#define FLO_SPEED_UNNOTICED_US 50 /* more per token is not noticeable */

enum flo_speed_verdict {
    FLO_SPEED_OPEN,   /* measure another pair */
    FLO_SPEED_FAST,   /* surely within the limit */
    FLO_SPEED_SLOW,   /* surely over it */
    FLO_SPEED_UNSURE, /* all pairs are spent */
};

struct flo_speed {
    double ratio_max;
    uint32_t count;
    struct flo_bet over; /* pairs: yes is over the limit */
    double candidate_us[FLO_SPEED_PAIRS_MAX];
    double current_us[FLO_SPEED_PAIRS_MAX];
};

/* ratio_max: above 0. */
void flo_speed_init(struct flo_speed *speed, double ratio_max);
/* Both above 0.  Not to be called after a verdict. */
enum flo_speed_verdict flo_speed_add(struct flo_speed *speed, double candidate_us,
                                     double current_us);
/* The wait before the next pair.  The more pairs speak against a candidate, the
 * longer the wait, so that a short disturbance passes. */
uint32_t flo_speed_pause_ms(const struct flo_speed *speed);
/* Medians: the time of a token on both, and the ratio of a pair; 0 without
 * pairs. */
struct flo_speed_typical {
    double candidate_us, current_us, ratio;
} flo_speed_typical(const struct flo_speed *speed);

#endif
