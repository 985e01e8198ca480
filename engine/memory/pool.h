/* Pool: the threads of one engine, woken together for one forward pass.
 *
 * A job is one function that all threads, or the first few, run from beginning
 * to end; inside it threads meet at barriers and take units of work.  Waiting
 * spins for at most 20 us and then sleeps in the kernel, so an idle pool leaves
 * its CPUs to others. */
#ifndef FLOTILLA_ENGINE_POOL_H
#define FLOTILLA_ENGINE_POOL_H

#include <flotilla/base.h>

struct flo_pool;

/* Function of a job; `thread` is 0 (the caller of run) to threads - 1. */
typedef void flo_pool_fn(void *context, unsigned thread);

/* Returns the number of threads wished for; for 0 the CPUs that this process
 * may use, at most 8. */
unsigned flo_pool_threads_of(unsigned spec);
/* Opens a pool.  `threads` counts the caller, so 1 starts none.  Started
 * threads block all signals.  FLO_E_MEMORY if a thread cannot be started. */
FLO_MUST_USE int flo_pool_open(unsigned threads, struct flo_pool **pool, struct flo_err *err);
void flo_pool_close(struct flo_pool *pool); /* NULL is fine */
/* Returns how many threads the pool was opened with. */
unsigned flo_pool_size(const struct flo_pool *pool);

/* Runs `fn` on the first `threads` (1 to all) threads; returns when all are
 * done.  One call at a time. */
void flo_pool_run(struct flo_pool *pool, unsigned threads, flo_pool_fn *fn, void *context);
/* Returns how many threads take part in the job; called inside it. */
unsigned flo_pool_threads(const struct flo_pool *pool);

/* Waits inside a job until every thread is here.  Afterwards their earlier
 * writes are visible, and flo_pool_take() begins again at unit 0. */
void flo_pool_barrier(struct flo_pool *pool);
/* Returns, inside a job, the next of `units`, each of which only one thread
 * gets; `units` if none is left.  A thread first takes its own share in order,
 * so as to read memory front to back, and then helps with the others'
 * shares. */
size_t flo_pool_take(struct flo_pool *pool, unsigned thread, size_t units);

#endif
