/* Pool: starts the threads of an engine and has them run jobs.  Threads wait
 * for two words in memory.  `job` counts jobs and holds the number of threads
 * that take part; `generation` counts barriers.  Both are C11 atomics; the
 * futex is only for sleeping. */
#include "engine/memory/pool.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    SPIN_US = 20,
    SPIN_ROUND = 64, /* pauses of the CPU between two reads of the clock */
    STACK_BYTES = 1 << 20,
    THREADS_UNASKED = 8,
    PART_BITS = 8, /* low bits of `job`, which hold the number of threads */
};

struct member { /* a started thread */
    pthread_t handle;
    struct flo_pool *pool;
    unsigned thread;
};

struct share { /* the share of a job's units that belongs to one thread */
    _Alignas(64) atomic_size_t taken;
};

struct flo_pool {
    unsigned threads;
    unsigned started;       /* threads that were started: threads - 1, fewer while the pool opens */
    unsigned part;          /* number of threads in the current job, with the caller's */
    struct member *members; /* [threads] */
    flo_pool_fn *fn;
    void *context;
    atomic_bool is_closing;
    _Alignas(64) atomic_uint job;
    atomic_uint job_sleepers;
    _Alignas(64) atomic_uint generation;
    atomic_uint generation_sleepers;
    atomic_uint arrived;
    struct share shares[]; /* [thread] */
};

static void pause_cpu(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void futex_wait(atomic_uint *word, unsigned value)
{
    /* EINTR and EAGAIN are harmless, because the caller checks the value again.
     * */
    (void)syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void futex_wake_all(atomic_uint *word)
{
    (void)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1 << 30, NULL, NULL, 0);
}

/* Returns as soon as *word is no longer `value`. */
static void wait_change(atomic_uint *word, atomic_uint *sleepers, unsigned value)
{
    uint64_t end_us = flo_now_us() + SPIN_US;

    do {
        for (int i = 0; i < SPIN_ROUND; i++) {
            if (atomic_load_explicit(word, memory_order_acquire) != value) {
                return;
            }
            pause_cpu();
        }
    } while (flo_now_us() < end_us);
    /* Both sides use sequentially consistent operations.  So either the writer
     * sees the sleeper, or the sleeper sees the new value. */
    atomic_fetch_add(sleepers, 1);
    while (atomic_load(word) == value) {
        futex_wait(word, value);
    }
    atomic_fetch_sub(sleepers, 1);
}

static void change(atomic_uint *word, unsigned by, atomic_uint *sleepers)
{
    atomic_fetch_add(word, by);
    if (atomic_load(sleepers) != 0) {
        futex_wake_all(word);
    }
}

static void begin_shares(struct flo_pool *pool)
{
    for (unsigned i = 0; i < pool->part; i++) {
        atomic_store_explicit(&pool->shares[i].taken, 0, memory_order_relaxed);
    }
}

void flo_pool_barrier(struct flo_pool *pool)
{
    /* `part` is read before this thread arrives.  Once all have arrived at a
     * job's last barrier, the caller may begin a job with another number of
     * threads. */
    unsigned generation, part = pool->part;

    if (part == 1) {
        begin_shares(pool);
        return;
    }
    generation = atomic_load(&pool->generation);
    if (atomic_fetch_add(&pool->arrived, 1) + 1 == part) {
        atomic_store(&pool->arrived, 0);
        begin_shares(pool);
        change(&pool->generation, 1, &pool->generation_sleepers);
    } else {
        wait_change(&pool->generation, &pool->generation_sleepers, generation);
    }
}

size_t flo_pool_take(struct flo_pool *pool, unsigned thread, size_t units)
{
    unsigned part = pool->part;

    for (unsigned i = 0; i < part; i++) {
        unsigned of = (thread + i) % part;
        size_t begin = units * of / part, end = units * (of + 1) / part;
        size_t taken = atomic_fetch_add_explicit(&pool->shares[of].taken, 1, memory_order_relaxed);

        if (taken < end - begin) {
            return begin + taken;
        }
    }
    return units;
}

static void *thread_main(void *argument)
{
    const struct member *self = argument;
    struct flo_pool *pool = self->pool;
    unsigned job = 0;

    for (;;) {
        wait_change(&pool->job, &pool->job_sleepers, job);
        /* A job that includes this thread cannot end without it.  So this
         * thread misses only jobs that do not include it. */
        job = atomic_load(&pool->job);
        if (atomic_load(&pool->is_closing)) {
            return NULL;
        }
        if (self->thread < (job & ((1u << PART_BITS) - 1))) {
            pool->fn(pool->context, self->thread);
            flo_pool_barrier(pool);
        }
    }
}

void flo_pool_run(struct flo_pool *pool, unsigned threads, flo_pool_fn *fn, void *context)
{
    pool->fn = fn;
    pool->context = context;
    pool->part = threads;
    begin_shares(pool);
    if (threads > 1) {
        unsigned job = atomic_load(&pool->job);
        unsigned last = job & ((1u << PART_BITS) - 1);

        change(&pool->job, (1u << PART_BITS) - last + threads, &pool->job_sleepers);
    }
    fn(context, 0);
    flo_pool_barrier(pool);
}

unsigned flo_pool_threads_of(unsigned spec)
{
    unsigned cpus = flo_cpus_allowed();

    return spec != 0 ? spec : cpus < THREADS_UNASKED ? cpus : THREADS_UNASKED;
}

static int start_thread(struct flo_pool *pool, struct flo_err *err)
{
    struct member *member = &pool->members[pool->started];
    pthread_attr_t attributes;
    sigset_t all, before;
    int rv;

    *member = (struct member){.pool = pool, .thread = pool->started + 1};
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rv = pthread_create(&member->handle, &attributes, thread_main, member);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (rv != 0) {
        errno = rv;
        return flo_fail_errno(err, FLO_E_MEMORY, "start engine thread %u of %u", pool->started + 1,
                              pool->threads);
    }
    pool->started++;
    return 0;
}

int flo_pool_open(unsigned threads, struct flo_pool **out, struct flo_err *err)
{
    size_t bytes = sizeof(struct flo_pool) + threads * sizeof(struct share);
    struct flo_pool *pool = aligned_alloc(64, bytes);
    int rv = 0;

    if (pool == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "engine threads");
    }
    *pool = (struct flo_pool){.threads = threads, .part = threads};
    pool->members = calloc(threads, sizeof(*pool->members));
    if (pool->members == NULL) {
        free(pool);
        return flo_fail(err, FLO_E_MEMORY, "engine threads");
    }
    while (rv == 0 && pool->started + 1 < threads) {
        rv = start_thread(pool, err);
    }
    if (rv < 0) {
        flo_pool_close(pool);
        return rv;
    }
    *out = pool;
    return 0;
}

void flo_pool_close(struct flo_pool *pool)
{
    if (pool == NULL) {
        return;
    }
    atomic_store(&pool->is_closing, true);
    change(&pool->job, 1u << PART_BITS, &pool->job_sleepers);
    for (unsigned i = 0; i < pool->started; i++) {
        pthread_join(pool->members[i].handle, NULL);
    }
    free(pool->members);
    free(pool);
}

unsigned flo_pool_size(const struct flo_pool *pool)
{
    return pool->threads;
}

unsigned flo_pool_threads(const struct flo_pool *pool)
{
    return pool->part;
}
