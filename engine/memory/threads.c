/* Threads: chooses how many threads run a pass; see threads.h. */
#include "engine/memory/threads.h"

#include <math.h>

enum {
    TRIAL_PASSES = 3,
    TRIAL_PASSES_BUSY = 64,
    INTERVAL_MIN = 16,
    INTERVAL_MAX = 512,
    INTERVAL_MAX_BUSY = 4096, /* trials on a busy machine are long */
    MEAN_OF = 16,
    MEAN_OF_BUSY = 64,
    SLOW_PASSES = 4,
};

/* A trial must win by this factor, so as not to switch back and forth. */
#define WINS 0.95
/* A trial has lost if it exceeds the mean by this factor, and by three
 * deviations for its number of passes. */
#define LOSES 1.25
/* Least share of its time in which a thread must have a CPU.  A thread below it
 * shares its CPU with another program, or waits for a thread that does. */
#define RUNS 0.8
/* A pass that runs for more of its time had its CPU for itself.  When passes in a
 * row did so for this time, in µs, the neighbours have gone: they take turns of
 * some milliseconds. */
#define CLEAR 0.95
#define CLEAR_US 150e3

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

static bool is_busy(const struct flo_threads *t)
{
    return t->ran < RUNS * t->cost;
}

static uint32_t interval_max(const struct flo_threads *t)
{
    return is_busy(t) ? INTERVAL_MAX_BUSY : INTERVAL_MAX;
}

static void begin_trial(struct flo_threads *t)
{
    t->passes = 0;
    t->slow_in_a_row = 0;
    t->tries_more = can_be_more(t) && !is_busy(t) && (!t->tries_more || !can_be_fewer(t));
    if (t->tries_more || can_be_fewer(t)) {
        t->trial_passes = is_busy(t) ? TRIAL_PASSES_BUSY : TRIAL_PASSES;
        t->trial_left = t->trial_passes;
        t->trial_cost = t->trial_ran = 0;
    }
}

static void begin_more(struct flo_threads *t)
{
    t->passes = 0;
    t->slow_in_a_row = 0;
    t->tries_more = true;
    t->trial_passes = t->trial_left = TRIAL_PASSES;
    t->trial_cost = t->trial_ran = 0;
}

/* Counts passes with fewer threads than there are.  Returns true if the machine
 * was busy and is no longer. */
static bool has_cleared(struct flo_threads *t, double cost, double ran)
{
    t->was_busy = t->was_busy || ran < RUNS * cost;
    if (ran < CLEAR * cost || flo_threads_next(t) == t->most) {
        t->clear_us = 0;
        t->clear_passes = 0;
        return false;
    }
    t->clear_us += cost;
    t->clear_passes++;
    return t->was_busy && t->clear_us >= CLEAR_US;
}

/* The neighbours have gone.  The means learnt next to them no longer hold:
 * a trial of fewer threads ends, and more threads are tried at once. */
static void clear(struct flo_threads *t)
{
    bool is_trial = t->trial_left > 0;

    t->trial_left = 0;
    t->interval = INTERVAL_MIN;
    t->passes = 0;
    t->spread = 0;
    t->known = is_trial ? 0 : t->clear_passes;
    t->cost = t->ran = is_trial ? 0 : t->clear_us / t->clear_passes;
    t->was_busy = false;
    t->clear_us = 0;
    t->clear_passes = 0;
    t->climbs = !is_trial && can_be_more(t);
    if (t->climbs) {
        begin_more(t);
    }
}

static void learn_of_trial(struct flo_threads *t, double cost, double ran)
{
    t->trial_cost += cost;
    t->trial_ran += ran;
    t->trial_left--;
    uint32_t done = t->trial_passes - t->trial_left;

    if (t->trial_cost > t->trial_passes * t->cost * WINS ||
        t->trial_cost > done * t->cost * LOSES + 3 * t->spread * sqrt(done)) {
        t->trial_left = 0;
        t->climbs = false;
        if (t->interval < interval_max(t)) {
            t->interval *= is_busy(t) ? 4 : 2; /* trials are long */
        }
    } else if (t->trial_left == 0) {
        t->halvings = tried(t);
        t->cost = t->trial_cost / t->trial_passes;
        t->ran = t->trial_ran / t->trial_passes;
        t->known = t->trial_passes;
        t->spread = 0;
        t->interval = INTERVAL_MIN;
        t->climbs = t->climbs && t->tries_more && can_be_more(t);
        if (t->climbs) {
            begin_more(t);
        }
    }
}

void flo_threads_learn(struct flo_threads *t, double cost, double ran)
{
    if (has_cleared(t, cost, ran)) {
        clear(t);
        return;
    }
    if (t->trial_left > 0) {
        learn_of_trial(t, cost, ran);
        return;
    }
    if (t->interval == 0) { /* ignored: the first pass may read the model from disk */
        t->interval = INTERVAL_MIN;
        return;
    }
    if (t->interval > interval_max(t)) {
        t->interval = interval_max(t);
    }
    double far = 2 * t->cost + 3 * t->spread;
    bool is_slow = t->known > 0 && cost > far;

    if (is_slow) { /* a pass that waited for a disk tells little */
        ran *= far / cost;
        cost = far;
    }
    t->slow_in_a_row = is_slow ? (uint8_t)(t->slow_in_a_row + 1) : 0;
    uint32_t most = is_busy(t) ? MEAN_OF_BUSY : MEAN_OF;

    t->known = t->known < most ? t->known + 1 : most;
    t->spread += t->known == 1 ? 0
                               : (fabs(cost - t->cost) - t->spread) /
                                     (t->known < MEAN_OF ? t->known : MEAN_OF);
    t->cost += (cost - t->cost) / t->known;
    t->ran += (ran - t->ran) / t->known;
    if (++t->passes >= t->interval || t->slow_in_a_row >= SLOW_PASSES) {
        t->interval = t->slow_in_a_row >= SLOW_PASSES ? INTERVAL_MIN : t->interval;
        begin_trial(t);
    }
}
