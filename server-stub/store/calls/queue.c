/* Store: the queue of commits that are not durable yet, and the thread that
 * syncs them.
 *
 * A sync makes all earlier commits durable, so a slow disk makes groups larger,
 * not the queue longer.  The thread only syncs; rows are read and written by
 * the state's thread.  A third thread tidies the engine after syncs: that takes
 * longer than a sync, and no commit waits for it. */
#include <time.h>

#include <flotilla/errors/db.h>

#include "server-stub/store/calls/kept.h"

/* largest number of queued commits; the state's thread waits when there are
 * more */
#define QUEUE_MAX 64
#define LOOK_MS 100 /* pause between two looks at a sync that is awaited */

/* ---- the threads ---- */

static int hold(const struct flo_fleet_store *store, bool on, struct flo_err *err)
{
    const struct flo_store_ops *ops = store->engine->ops;

    return ops->hold != NULL ? ops->hold(store->engine, on, err) : 0;
}

/* Syncs all commits so far.  Called with the mutex, which is released during
 * the sync. */
static void sync_once(struct flo_fleet_store *store)
{
    struct flo_fleet_queue *queue = &store->queue;
    const struct flo_store_ops *ops = store->engine->ops;
    uint64_t target = queue->committed;
    struct flo_err err = {0};

    queue->is_busy = true;
    queue->busy_since_ms = flo_now_ms();
    pthread_mutex_unlock(&queue->mutex);
    int rv = ops->sync != NULL ? ops->sync(store->engine, &err) : 0;
    pthread_mutex_lock(&queue->mutex);
    if (rv == 0) {
        queue->durable = target;
        queue->is_tidy_due = true;
        pthread_cond_signal(&queue->tidy);
    } else {
        queue->failed = err;
    }
    pthread_cond_broadcast(&queue->done);
    pthread_mutex_unlock(&queue->mutex);
    queue->wake(queue->context);
    pthread_mutex_lock(&queue->mutex);
    queue->is_busy = false;
    pthread_cond_broadcast(&queue->done);
}

/* Main function of the syncing thread.  After a failure the thread pauses until
 * the state's thread has handled the failure. */
static void *run(void *context)
{
    struct flo_fleet_store *store = context;
    struct flo_fleet_queue *queue = &store->queue;

    pthread_mutex_lock(&queue->mutex);
    for (;;) {
        bool has_work = queue->durable < queue->committed && queue->failed.code == 0;
        if (has_work) {
            sync_once(store);
        } else if (queue->ends) {
            break;
        } else {
            pthread_cond_wait(&queue->work, &queue->mutex);
        }
    }
    pthread_mutex_unlock(&queue->mutex);
    return NULL;
}

/* Main function of the thread that moves the log's pages into the tables.
 * After a failed sync it moves none, because these pages may not be on disk. */
static void *run_tidy(void *context)
{
    struct flo_fleet_store *store = context;
    struct flo_fleet_queue *queue = &store->queue;

    pthread_mutex_lock(&queue->mutex);
    while (!queue->ends) {
        if (!queue->is_tidy_due) {
            pthread_cond_wait(&queue->tidy, &queue->mutex);
            continue;
        }
        queue->is_tidy_due = false;
        if (queue->failed.code == 0) {
            queue->is_tidying = true;
            pthread_mutex_unlock(&queue->mutex);
            if (store->engine->ops->tidy != NULL) {
                store->engine->ops->tidy(store->engine);
            }
            pthread_mutex_lock(&queue->mutex);
            queue->is_tidying = false;
        }
        pthread_cond_broadcast(&queue->done);
    }
    queue->is_tidy_due = false;
    pthread_mutex_unlock(&queue->mutex);
    return NULL;
}

static void make_end(struct flo_fleet_queue *queue)
{
    pthread_mutex_lock(&queue->mutex);
    queue->ends = true;
    pthread_cond_signal(&queue->work);
    pthread_cond_signal(&queue->tidy);
    pthread_mutex_unlock(&queue->mutex);
}

static void deinit(struct flo_fleet_queue *queue)
{
    pthread_cond_destroy(&queue->done);
    pthread_cond_destroy(&queue->tidy);
    pthread_cond_destroy(&queue->work);
    pthread_mutex_destroy(&queue->mutex);
}

static bool start_threads(struct flo_fleet_store *store)
{
    struct flo_fleet_queue *queue = &store->queue;

    if (pthread_create(&queue->thread, NULL, run, store) != 0) {
        return false;
    }
    if (pthread_create(&queue->tidier, NULL, run_tidy, store) != 0) {
        make_end(queue);
        pthread_join(queue->thread, NULL);
        return false;
    }
    return true;
}

int flo_fleet_queue_start(struct flo_fleet_store *store, void (*wake)(void *context), void *context,
                          struct flo_err *err)
{
    struct flo_fleet_queue *queue = &store->queue;
    pthread_condattr_t steady;

    FLO_TRY(hold(store, true, err));
    queue->wake = wake;
    queue->context = context;
    queue->ends = queue->stops = false;
    pthread_mutex_init(&queue->mutex, NULL);
    pthread_cond_init(&queue->work, NULL);
    pthread_cond_init(&queue->tidy, NULL);
    pthread_condattr_init(&steady);
    (void)pthread_condattr_setclock(&steady, CLOCK_MONOTONIC);
    pthread_cond_init(&queue->done, &steady);
    pthread_condattr_destroy(&steady);
    if (!start_threads(store)) {
        deinit(queue);
        return flo_fail(err, FLO_E_MEMORY, "the store's threads");
    }
    queue->runs = true;
    return 0;
}

int flo_fleet_queue_stop(struct flo_fleet_store *store, struct flo_err *err)
{
    struct flo_fleet_queue *queue = &store->queue;

    if (!queue->runs) {
        return 0;
    }
    queue->stops = true;
    int rv = flo_fleet_flush(store, err);
    make_end(queue);
    pthread_join(queue->thread, NULL);
    pthread_join(queue->tidier, NULL);
    deinit(queue);
    queue->runs = false;
    int held = hold(store, false, err);
    FLO_TRY(rv);
    return held;
}

/* ---- the state's thread ---- */

uint64_t flo_fleet_committed(const struct flo_fleet_store *store)
{
    return store->queue.committed;
}

uint64_t flo_fleet_durable(struct flo_fleet_store *store, struct flo_err *why_or_null)
{
    struct flo_fleet_queue *queue = &store->queue;

    if (!queue->runs) {
        if (why_or_null != NULL) {
            *why_or_null = queue->failed;
        }
        return queue->durable;
    }
    pthread_mutex_lock(&queue->mutex);
    uint64_t durable = queue->durable;
    if (why_or_null != NULL) {
        *why_or_null = queue->failed;
    }
    pthread_mutex_unlock(&queue->mutex);
    return durable;
}

/* Writes again what a failed sync may not have written.  No commit runs
 * meanwhile, and both threads pause. */
static int settle(struct flo_fleet_store *store, struct flo_err *err)
{
    struct flo_fleet_queue *queue = &store->queue;
    const struct flo_store_ops *ops = store->engine->ops;

    FLO_TRY(ops->settle != NULL ? ops->settle(store->engine, err) : 0);
    pthread_mutex_lock(&queue->mutex);
    queue->durable = queue->committed;
    queue->failed = (struct flo_err){0};
    pthread_mutex_unlock(&queue->mutex);
    queue->wake(queue->context);
    return 0;
}

static bool rest(const struct flo_fleet_queue *queue)
{
    return !queue->is_busy && !queue->is_tidying && !queue->is_tidy_due;
}

static uint64_t sync_ms(const struct flo_fleet_queue *queue)
{
    return queue->is_busy ? flo_now_ms() - queue->busy_since_ms : 0;
}

uint64_t flo_fleet_sync_ms(struct flo_fleet_store *store)
{
    struct flo_fleet_queue *queue = &store->queue;

    if (!queue->runs) {
        return 0;
    }
    pthread_mutex_lock(&queue->mutex);
    uint64_t ms = sync_ms(queue);
    pthread_mutex_unlock(&queue->mutex);
    return ms;
}

static int fail_slow(uint64_t ms, struct flo_err *err)
{
    return flo_fail(err, FLO_E_DB_SLOW, "a sync of the disk has not ended for %llu ms",
                    (unsigned long long)ms);
}

/* Waits for a change of the queue, or for a moment. */
static void pause_a_moment(struct flo_fleet_queue *queue)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += LOOK_MS * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    (void)pthread_cond_timedwait(&queue->done, &queue->mutex, &until);
}

/* Waits until at most `left` commits are queued.  With `until_rest`, or after a
 * failure, it also waits until both threads pause.  FLO_E_DB_SLOW: a sync does
 * not end in time; at the queue's end it is awaited. */
static int await(struct flo_fleet_store *store, uint64_t left, bool until_rest, struct flo_err *err)
{
    struct flo_fleet_queue *queue = &store->queue;
    bool is_there = false;
    uint64_t slow_ms = 0;

    pthread_mutex_lock(&queue->mutex);
    while (!is_there && (slow_ms < FLO_FLEET_SLOW_MS || queue->stops)) {
        is_there = queue->failed.code != 0 || queue->committed - queue->durable <= left;
        if (until_rest || queue->failed.code != 0) {
            is_there = is_there && rest(queue);
        }
        if (!is_there) {
            pause_a_moment(queue);
            slow_ms = sync_ms(queue);
        }
    }
    bool has_failed = queue->failed.code != 0;
    pthread_mutex_unlock(&queue->mutex);
    FLO_TRY(is_there ? 0 : fail_slow(slow_ms, err));
    return has_failed ? settle(store, err) : 0;
}

void flo_fleet_look(struct flo_fleet_store *store)
{
    struct flo_fleet_queue *queue = &store->queue;
    const struct flo_store_ops *ops = store->engine->ops;
    struct flo_err err = {0};

    if (!queue->runs || ops->look == NULL || ops->look(store->engine, &err) == 0) {
        return;
    }
    pthread_mutex_lock(&queue->mutex);
    queue->failed = err;
    pthread_mutex_unlock(&queue->mutex);
    queue->wake(queue->context);
}

int flo_fleet_flush(struct flo_fleet_store *store, struct flo_err *err)
{
    return store->queue.runs ? await(store, 0, false, err) : 0;
}

int flo_fleet_queue_enter(struct flo_fleet_store *store, struct flo_err *err)
{
    const struct flo_store_ops *ops = store->engine->ops;

    if (!store->queue.runs) {
        return 0;
    }
    return ops->is_full != NULL && ops->is_full(store->engine)
               ? await(store, 0, true, err)
               : await(store, QUEUE_MAX - 1, false, err);
}

void flo_fleet_queue_add(struct flo_fleet_store *store)
{
    struct flo_fleet_queue *queue = &store->queue;

    if (!queue->runs) {
        queue->durable = ++queue->committed;
        return;
    }
    pthread_mutex_lock(&queue->mutex);
    queue->committed++;
    pthread_cond_signal(&queue->work);
    pthread_mutex_unlock(&queue->mutex);
}
