/* Threads: chooses how many of a pool's threads run the next pass.
 *
 * More threads are faster on an idle machine and far slower on a busy one: a
 * thread that waits for a CPU delays all others at the next barrier.  So the
 * measured time of passes decides.  Now and then the current count is compared
 * with half and with twice as many.  A count that loses is tried less and less
 * often, and a trial ends as soon as it has lost.  On a busy machine more
 * threads are not tried, and fewer ones in much longer trials.  When passes have
 * their CPU for themselves again for 150 ms, more threads are tried at once.  The
 * first pass is ignored and outliers are clipped, as they may have waited for a disk.
 * Results never depend on the count.  Pure. */
#ifndef FLOTILLA_ENGINE_THREADS_H
#define FLOTILLA_ENGINE_THREADS_H

#include <flotilla/base.h>

/* State for passes of one kind; initially {.most = threads of the pool}. */
struct flo_threads {
    unsigned most;
    unsigned halvings; /* current count: most >> halvings, at least 1 */
    double cost;       /* cost of a pass with the current count: a moving mean */
    /* Deviation of the cost from its mean: also a moving mean. */
    double spread;
    double ran;            /* part of the cost in which the thread had a CPU */
    uint32_t known;        /* number of passes in the means, up to a limit */
    uint32_t passes;       /* number of passes since the last trial */
    uint32_t interval;     /* passes until the next trial; 0: the shortest interval */
    uint32_t trial_left;   /* number of passes left of the current trial; 0: there is none */
    uint32_t trial_passes; /* number of all passes of the current trial */
    double trial_cost;     /* sum */
    double trial_ran;      /* sum */
    double clear_us;       /* time of the last passes in a row that had their CPU for themselves */
    uint32_t clear_passes; /* number of these passes */
    bool was_busy;         /* other programs had the CPUs, and have not been seen to go */
    bool climbs;           /* they have gone: more threads are tried until a trial loses */
    bool tries_more;       /* the next trial has twice as many threads */
    uint8_t slow_in_a_row; /* consecutive passes far above the mean */
};

unsigned flo_threads_next(const struct flo_threads *threads);
/* Records a pass with flo_threads_next() threads.  `cost` is its time in µs, of
 * the pass or of one of its rows, but the same for all passes of a kind.  `ran`
 * is the part of that time in which the first thread had a CPU. */
void flo_threads_learn(struct flo_threads *threads, double cost, double ran);

#endif
