/* Threads: how many of a pool's threads the next pass is given.
 *
 * More threads are faster on an idle machine and far slower on a busy one: a
 * thread that waits for a CPU holds up all others at the next barrier.  So the
 * time that passes take decides.  The count in use is compared now and then
 * with half and with twice as many; a count that loses is tried less and less
 * often, and a trial ends as soon as it has lost.  Where others want the CPUs
 * as well, more threads are not tried, and fewer over many more passes.  The
 * first pass is not learned of, and one far beyond the mean counts as little
 * more than that: they wait for a disk.  Results never depend on the count.
 * Pure. */
#ifndef FLOTILLA_ENGINE_THREADS_H
#define FLOTILLA_ENGINE_THREADS_H

#include <flotilla/base.h>

/* Passes of one kind; {.most = threads of the pool} is the beginning. */
struct flo_threads {
    unsigned most;
    unsigned halvings; /* in use: most >> halvings, at least 1 */
    double cost;       /* cost of a pass with that many: a moving mean */
    /* Spread of costs around it: a moving mean as well. */
    double spread;
    double ran;            /* what of the cost had a CPU: as the cost */
    uint32_t known;        /* passes in the means, to a limit */
    uint32_t passes;       /* since the last trial */
    uint32_t interval;     /* passes until the next; 0: the shortest */
    uint32_t trial_left;   /* passes of the trial under way; 0: none */
    uint32_t trial_passes; /* that it has in all */
    double trial_cost;     /* sum */
    double trial_ran;      /* sum */
    bool tries_more;       /* the next trial is of twice as many */
    uint8_t slow_in_a_row; /* passes far beyond the mean */
};

unsigned flo_threads_next(const struct flo_threads *threads);
/* A pass with flo_threads_next() threads has taken so long (any unit, the
 * same for all passes of a kind); for `ran` of it the first of them had a CPU.
 */
void flo_threads_learn(struct flo_threads *threads, double cost, double ran);

#endif
