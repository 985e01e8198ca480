/* Speed: decides whether a candidate is too slow; see speed.h. */
#include "agent/core/speed.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* share of the measured pairs (one time of each release) that are over the
 * limit when the true ratio equals it */
#define HALF 0.5
/* odds that the candidate is fast enough, needed for a pass; low, because soak
 * and gates check again */
#define FAST_ODDS 100
/* odds that the candidate is too slow, needed for a failure; high, because the
 * release is then blocked */
#define SLOW_ODDS 1e6
/* pause in ms for each pair of times by which pairs over the limit outnumber
 * those under it */
#define PAUSE_MS 20
#define PAUSE_MS_MAX 250
/* the fastest runs of both releases are compared: one run in this many */
#define BEST_PARTS 10

void flo_speed_init(struct flo_speed *speed, double ratio_max, double unnoticed_us)
{
    assert(ratio_max > 0);
    assert(unnoticed_us >= 0);
    memset(speed, 0, sizeof(*speed));
    speed->ratio_max = ratio_max;
    speed->unnoticed_us = unnoticed_us;
}

static bool is_over(const struct flo_speed *speed, double candidate_us, double current_us)
{
    return candidate_us > current_us * speed->ratio_max &&
           (speed->unnoticed_us <= 0 || candidate_us - current_us >= speed->unnoticed_us);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

double flo_speed_part(const double *values, uint32_t count, uint32_t parts)
{
    double sorted[FLO_SPEED_PAIRS_MAX];

    assert(count <= FLO_SPEED_PAIRS_MAX && parts > 1);
    if (count == 0) {
        return 0;
    }
    memcpy(sorted, values, count * sizeof(sorted[0]));
    qsort(sorted, count, sizeof(sorted[0]), compare);
    return sorted[count / parts];
}

/* Returns whether even the fastest tenth of the candidate's runs is too slow.
 * Other work on the machine only lengthens runs, so it cannot be the cause of
 * that. */
static bool best_is_over(const struct flo_speed *speed)
{
    return is_over(speed, flo_speed_part(speed->candidate_us, speed->count, BEST_PARTS),
                   flo_speed_part(speed->current_us, speed->count, BEST_PARTS));
}

enum flo_speed_verdict flo_speed_add(struct flo_speed *speed, double candidate_us,
                                     double current_us)
{
    assert(speed->count < FLO_SPEED_PAIRS_MAX);
    assert(candidate_us >= 0 && current_us >= 0);
    speed->candidate_us[speed->count] = candidate_us;
    speed->current_us[speed->count] = current_us;
    speed->count++;
    flo_bet_add(&speed->over, HALF, is_over(speed, candidate_us, current_us));
    if (flo_bet_is_below(&speed->over, HALF, FAST_ODDS)) {
        return FLO_SPEED_FAST;
    }
    if (flo_bet_is_above(&speed->over, HALF, SLOW_ODDS) && best_is_over(speed)) {
        return FLO_SPEED_SLOW;
    }
    return speed->count == FLO_SPEED_PAIRS_MAX ? FLO_SPEED_UNSURE : FLO_SPEED_OPEN;
}

uint32_t flo_speed_pause_ms(const struct flo_speed *speed)
{
    uint64_t over = speed->over.yes;
    uint64_t under = speed->over.count - over;
    uint64_t ms = over > under ? (over - under) * PAUSE_MS : 0;

    return (uint32_t)(ms < PAUSE_MS_MAX ? ms : PAUSE_MS_MAX);
}

struct flo_speed_typical flo_speed_typical(const struct flo_speed *speed)
{
    double ratios[FLO_SPEED_PAIRS_MAX];

    for (uint32_t i = 0; i < speed->count; i++) {
        ratios[i] = speed->candidate_us[i] / speed->current_us[i];
    }
    return (struct flo_speed_typical){
        .candidate_us = flo_speed_part(speed->candidate_us, speed->count, 2),
        .current_us = flo_speed_part(speed->current_us, speed->count, 2),
        .ratio = flo_speed_part(ratios, speed->count, 2),
    };
}
