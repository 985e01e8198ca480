/* How many threads a pass is given: see threads.h. */
#include "engine/memory/threads.h"

enum {
    TRIAL_PASSES = 3,
    INTERVAL_MIN = 16,
    INTERVAL_MAX = 512,
    MEAN_OF = 16,
    SLOW_PASSES = 4,
};

/* A trial must win by so much: changing back and forth is no gain. */
#define WINS 0.95

static unsigned count_of(const struct flo_threads *t, unsigned halvings)
{
    unsigned count = t->most >> halvings;

    return count > 0 ? count : 1;
}

static bool can_be_more(const struct flo_threads *t)
{
    return t->halvings > 0;
}

static bool can_be_fewer(const struct flo_threads *t)
{
    return count_of(t, t->halvings) > 1;
}

static unsigned tried(const struct flo_threads *t)
{
    return t->tries_more ? t->halvings - 1 : t->halvings + 1;
}

unsigned flo_threads_next(const struct flo_threads *t)
{
    return count_of(t, t->trial_left > 0 ? tried(t) : t->halvings);
}

static void begin_trial(struct flo_threads *t)
{
    t->passes = 0;
    t->slow_in_a_row = 0;
    t->tries_more = can_be_more(t) && (!t->tries_more || !can_be_fewer(t));
    t->trial_left = TRIAL_PASSES;
    t->trial_cost = 0;
}

static void learn_of_trial(struct flo_threads *t, double cost)
{
    t->trial_cost += cost;
    t->trial_left--;
    if (t->trial_cost > TRIAL_PASSES * t->cost * WINS) {
        t->trial_left = 0; /* lost, whatever comes */
        t->interval *= t->interval < INTERVAL_MAX ? 2 : 1;
    } else if (t->trial_left == 0) {
        t->halvings = tried(t);
        t->cost = t->trial_cost / TRIAL_PASSES;
        t->interval = INTERVAL_MIN;
    }
}

void flo_threads_learn(struct flo_threads *t, double cost)
{
    if (t->most <= 1) {
        return;
    }
    if (t->trial_left > 0) {
        learn_of_trial(t, cost);
        return;
    }
    t->interval = t->interval < INTERVAL_MIN ? INTERVAL_MIN : t->interval;
    bool is_slow = t->cost > 0 && cost > 2 * t->cost;

    t->slow_in_a_row = is_slow ? (uint8_t)(t->slow_in_a_row + 1) : 0;
    t->cost += t->cost == 0 ? cost : (cost - t->cost) / MEAN_OF;
    if (++t->passes >= t->interval || t->slow_in_a_row >= SLOW_PASSES) {
        t->interval =
            t->slow_in_a_row >= SLOW_PASSES ? INTERVAL_MIN : t->interval;
        begin_trial(t);
    }
}
