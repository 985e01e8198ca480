/* Pool: the threads of one engine, which wake together for one forward pass.  A
 * job is one function that all threads, or the first few, run from beginning to
 * end.  Inside a job threads meet at barriers and take units of work.  A
 * waiting thread spins for at most 20 us and then sleeps in the kernel, so an
 * idle pool leaves its CPUs to other programs. */
#ifndef FLOTILLA_ENGINE_POOL_H
#define FLOTILLA_ENGINE_POOL_H

#include <flotilla/base.h>

struct flo_pool;

/* Function of a job, called on each thread.  `thread` is 0 on the caller's, and
 * at most threads - 1. */
typedef void flo_pool_fn(void *context, unsigned thread);

/* Returns the number of threads for an option's value.  For 0 it is the number
 * of CPUs that this process may use, at most 8. */
unsigned flo_pool_threads_of(unsigned spec);
/* Opens a pool of `threads` threads.  The caller's is one of them, so 1 starts
 * none.  Started threads block all signals.  FLO_E_MEMORY if a thread cannot be
 * started. */
FLO_MUST_USE int flo_pool_open(unsigned threads, struct flo_pool **pool, struct flo_err *err);
void flo_pool_close(struct flo_pool *pool); /* NULL is fine */
/* Returns the number of threads with which the pool was opened. */
unsigned flo_pool_size(const struct flo_pool *pool);

/* Runs `fn` on the first `threads` threads of the pool, and returns when all
 * are done.  Only one call may run at a time. */
void flo_pool_run(struct flo_pool *pool, unsigned threads, flo_pool_fn *fn, void *context);
/* Returns how many threads take part in the current job.  Only a job's function
 * may call it. */
unsigned flo_pool_threads(const struct flo_pool *pool);

/* Waits until every thread of the job has called this function.  Afterwards
 * each sees what the others wrote before, and flo_pool_take() begins again at
 * unit 0. */
void flo_pool_barrier(struct flo_pool *pool);
/* Returns the number of a unit of work that no other thread gets, or `units` if
 * none is left.  A thread first takes its own share in order, so as to read
 * memory front to back, and then helps with the shares of other threads. */
size_t flo_pool_take(struct flo_pool *pool, unsigned thread, size_t units);

#endif
