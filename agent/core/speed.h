/* Speed: is a candidate too slow, compared with the serving release?
 *
 * A pair is the time of a token on both, measured one after the other in the
 * same place.  Whatever else happens on the machine lengthens one of them or
 * the other; a pair is therefore no more than one answer, over the limit or
 * under it, and the verdict waits until the answers leave no doubt (struct
 * flo_bet, against as many over as under).  Pure. */
#ifndef FLOTILLA_AGENT_CORE_SPEED_H
#define FLOTILLA_AGENT_CORE_SPEED_H

#include <flotilla/agent.h>

#define FLO_SPEED_PAIRS_MAX 600
#define FLO_SPEED_UNNOTICED_US 50 /* more a token nobody notices */

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
/* Both above 0.  Not to be called behind a verdict. */
enum flo_speed_verdict flo_speed_add(struct flo_speed *speed,
                                     double candidate_us, double current_us);
/* How long to wait before the next pair: the more speaks against a candidate,
 * the longer, so that what slows it for a moment has passed. */
uint32_t flo_speed_pause_ms(const struct flo_speed *speed);
/* What a token took, and the ratio of a pair: medians; 0 without pairs. */
struct flo_speed_typical {
    double candidate_us, current_us, ratio;
} flo_speed_typical(const struct flo_speed *speed);

#endif
