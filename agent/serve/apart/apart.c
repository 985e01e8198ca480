/* Apart: starts the serving thread, and pauses it while the caller's thread
 * calls a function of serve. */
#include "agent/serve/apart/apart.h"

#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "base/host/event.h"
#include "base/host/wake.h"

struct serve_apart {
    struct event_base *base;
    /* event that wakes the serving thread, when a call waits for its pause or
     * when the thread must end */
    struct event *knock;
    int knock_fd;
    bool is_running;
    pthread_t thread;
    unsigned depth; /* number of nested calls in progress; only the caller's thread uses it */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* flags that the lock protects: a pause is wanted, the serving thread
     * stands still, the thread must end */
    bool is_wanted, is_standing, is_to_end;
};

static _Thread_local bool is_serving; /* true on the serving thread only */

/* ---- the serving thread ---- */

static void on_knock(evutil_socket_t fd, short what, void *context)
{
    struct serve_apart *apart = context;
    bool is_end;

    (void)what;
    flo_wake_calm(fd);
    pthread_mutex_lock(&apart->lock);
    apart->is_standing = apart->is_wanted;
    pthread_cond_broadcast(&apart->changed);
    while (apart->is_wanted) {
        pthread_cond_wait(&apart->changed, &apart->lock);
    }
    apart->is_standing = false;
    is_end = apart->is_to_end;
    pthread_mutex_unlock(&apart->lock);
    if (is_end) {
        event_base_loopbreak(apart->base);
    }
}

static void *serve(void *context)
{
    struct serve_apart *apart = context;

    is_serving = true;
    event_base_loop(apart->base, EVLOOP_NO_EXIT_ON_EMPTY);
    return NULL;
}

/* ---- calls ---- */

void flo_apart_enter(struct serve_apart *apart)
{
    if (apart == NULL || is_serving || !apart->is_running || apart->depth++ > 0) {
        return;
    }
    pthread_mutex_lock(&apart->lock);
    apart->is_wanted = true;
    if (!apart->is_standing) {
        flo_wake_poke(apart->knock_fd);
    }
    while (!apart->is_standing) {
        pthread_cond_wait(&apart->changed, &apart->lock);
    }
    pthread_mutex_unlock(&apart->lock);
}

void flo_apart_leave(struct serve_apart **inside)
{
    struct serve_apart *apart = *inside;

    if (apart == NULL || is_serving || !apart->is_running || --apart->depth > 0) {
        return;
    }
    pthread_mutex_lock(&apart->lock);
    apart->is_wanted = false;
    pthread_cond_broadcast(&apart->changed);
    pthread_mutex_unlock(&apart->lock);
}

/* ---- life ---- */

int flo_apart_open(struct serve_apart **out, struct event_base **base, struct flo_err *err)
{
    struct serve_apart *apart = calloc(1, sizeof(*apart));

    if (apart == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for serving");
    }
    pthread_mutex_init(&apart->lock, NULL);
    pthread_cond_init(&apart->changed, NULL);
    apart->base = event_base_new();
    apart->knock_fd = flo_wake_open();
    if (apart->base != NULL && apart->knock_fd >= 0) {
        apart->knock =
            event_new(apart->base, apart->knock_fd, EV_READ | EV_PERSIST, on_knock, apart);
    }
    if (apart->knock == NULL || event_add(apart->knock, NULL) != 0) {
        flo_apart_close(apart);
        return flo_fail(err, FLO_E_MEMORY, "no loop for serving");
    }
    *out = apart;
    *base = apart->base;
    return 0;
}

/* Starts the thread with all signals blocked, so that the caller's thread gets
 * them. */
int flo_apart_start(struct serve_apart *apart, struct flo_err *err)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    apart->is_running = true; /* set here, before the thread can read the flag */
    int failed = pthread_create(&apart->thread, NULL, serve, apart);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    apart->is_running = failed == 0;
    return failed == 0 ? 0 : flo_fail(err, FLO_E_MEMORY, "no thread for serving");
}

void flo_apart_stop(struct serve_apart *apart)
{
    if (apart == NULL || !apart->is_running) {
        return;
    }
    pthread_mutex_lock(&apart->lock);
    apart->is_to_end = true;
    pthread_mutex_unlock(&apart->lock);
    flo_wake_poke(apart->knock_fd);
    pthread_join(apart->thread, NULL);
    apart->is_running = false;
}

void flo_apart_close(struct serve_apart *apart)
{
    if (apart == NULL) {
        return;
    }
    flo_apart_stop(apart);
    flo_event_drop(&apart->knock);
    flo_fd_cleanup(&apart->knock_fd);
    if (apart->base != NULL) {
        event_base_free(apart->base);
    }
    pthread_cond_destroy(&apart->changed);
    pthread_mutex_destroy(&apart->lock);
    free(apart);
}
