/* Pool: the threads of one engine, woken together for one forward pass.
 *
 * A job is one function that all or the first few run from begin to end; inside
 * it threads meet at barriers and share work out by units.  Waiting spins
 * for at most 20 us and then sleeps in the kernel, so a pool on a busy machine
 * gives its CPU away instead of burning it. */
#ifndef FLOTILLA_ENGINE_POOL_H
#define FLOTILLA_ENGINE_POOL_H

#include <flotilla/base.h>

struct flo_pool;

/* The body of a job; `thread` is 0 (the caller of run) to threads - 1. */
typedef void flo_pool_fn(void *context, unsigned thread);

/* So many threads as were asked for; 0: the CPUs that this process may use, at
 * most 8. */
unsigned flo_pool_threads_of(unsigned wish);
/* `threads` counts the caller, so 1 starts none.  The started ones block all
 * signals.  FLO_E_MEMORY when the system gives no thread. */
FLO_MUST_USE int flo_pool_open(unsigned threads, struct flo_pool **pool, struct flo_err *err);
void flo_pool_close(struct flo_pool *pool); /* NULL is fine */
/* The threads that it was opened with. */
unsigned flo_pool_size(const struct flo_pool *pool);

/* Run `fn` on the first `threads` (1 to all) threads; returns when all are
 * done.  One at a time. */
void flo_pool_run(struct flo_pool *pool, unsigned threads, flo_pool_fn *fn, void *context);
/* Inside a job: threads that take part. */
unsigned flo_pool_threads(const struct flo_pool *pool);

/* Inside a job: wait until every thread is here.  Their earlier writes are
 * visible after it, and the units below begin again. */
void flo_pool_barrier(struct flo_pool *pool);
/* Inside a job: the next of `units`, each given to one thread only; `units`
 * when none is left.  Each thread has a share of its own, in order, so that it
 * reads memory from front to back, and then helps with those of the others. */
size_t flo_pool_take(struct flo_pool *pool, unsigned thread, size_t units);

#endif
