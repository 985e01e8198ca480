/* Speed: decides whether a candidate is slower than the current release.
 *
 * A pair is two times per token, one of each release, measured one after the
 * other under the same conditions.  Other work on the machine may lengthen one
 * of the two.  So a pair only counts as over or under the limit of the ratio.
 * The verdict is given when these counts leave no doubt (struct flo_bet).
 * Pure. */
#ifndef FLOTILLA_AGENT_CORE_SPEED_H
#define FLOTILLA_AGENT_CORE_SPEED_H

#include <flotilla/agent.h>

#define FLO_SPEED_PAIRS_MAX 600
/* difference per token below which nobody notices a slower release */
#define FLO_SPEED_UNNOTICED_US 50

enum flo_speed_verdict {
    FLO_SPEED_OPEN,   /* measure another pair */
    FLO_SPEED_FAST,   /* the candidate's time per token is certainly within the limit */
    FLO_SPEED_SLOW,   /* the candidate's time per token is certainly over the limit */
    FLO_SPEED_UNSURE, /* the largest number of measurements was made, without a verdict */
};

struct flo_speed {
    double ratio_max;
    double unnoticed_us; /* a candidate within this time more is never over */
    uint32_t count;
    /* sequential test over the pairs of times; a pair over the limit is a
     * "yes" */
    struct flo_bet over;
    double candidate_us[FLO_SPEED_PAIRS_MAX];
    double current_us[FLO_SPEED_PAIRS_MAX];
};

/* ratio_max: above 0.  unnoticed_us: FLO_SPEED_UNNOTICED_US, or 0 for a
 * candidate that must be faster. */
void flo_speed_init(struct flo_speed *speed, double ratio_max, double unnoticed_us);
/* Adds a pair: the times per token of the candidate and of the current release,
 * both above 0.  Returns the verdict.  After a verdict other than
 * FLO_SPEED_OPEN no pair may be added. */
enum flo_speed_verdict flo_speed_add(struct flo_speed *speed, double candidate_us,
                                     double current_us);
/* Returns the value that has 1/`parts` of the values below it, of at most
 * FLO_SPEED_PAIRS_MAX; 0: there are none.  With 2 parts it is the median. */
double flo_speed_part(const double *values, uint32_t count, uint32_t parts);
/* Returns the pause before both releases are measured again.  It grows with the
 * number of pairs over the limit, so that a short disturbance can pass. */
uint32_t flo_speed_pause_ms(const struct flo_speed *speed);
/* Medians of what was measured: the time per token of each release, and their
 * ratio.  All are 0 before the first measurement. */
struct flo_speed_typical {
    double candidate_us, current_us, ratio;
} flo_speed_typical(const struct flo_speed *speed);

#endif
