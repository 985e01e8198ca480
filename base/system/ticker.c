/* Ticker: prints the progress line of a long command on stderr.
 *
 * It runs on a thread of its own, for calls that block until they are done. */
#include "base/ticker.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static void say(const struct flo_ticker *ticker, uint64_t seconds)
{
    bool is_terminal = isatty(STDERR_FILENO) != 0;
    char parts[48] = "";

    if (ticker->total > 0) {
        (void)snprintf(parts, sizeof(parts), " %zu/%zu", ticker->done, ticker->total);
    }
    (void)fprintf(stderr, "%s%s%s, %llu s%s", is_terminal ? "\r" : "", ticker->what, parts,
                  (unsigned long long)seconds, is_terminal ? "\033[K" : "\n");
}

static void *tick(void *context)
{
    struct flo_ticker *ticker = context;
    struct timespec until;
    uint64_t seconds = 0;

    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    (void)pthread_mutex_lock(&ticker->lock);
    while (!ticker->stops) {
        until.tv_sec++;
        while (!ticker->stops &&
               pthread_cond_timedwait(&ticker->wake, &ticker->lock, &until) != ETIMEDOUT) {
        }
        if (!ticker->stops) {
            say(ticker, ++seconds);
        }
    }
    (void)pthread_mutex_unlock(&ticker->lock);
    if (seconds > 0 && isatty(STDERR_FILENO)) {
        (void)fputs("\r\033[K", stderr);
    }
    return NULL;
}

void flo_ticker_start(struct flo_ticker *ticker, const char *what)
{
    pthread_condattr_t attributes;
    sigset_t all, before;

    *ticker = (struct flo_ticker){.total = 0};
    (void)snprintf(ticker->what, sizeof(ticker->what), "%s", what);
    (void)pthread_mutex_init(&ticker->lock, NULL);
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&ticker->wake, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    ticker->is_running = pthread_create(&ticker->thread, NULL, tick, ticker) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void flo_ticker_tell(struct flo_ticker *ticker, const char *what, size_t done, size_t total)
{
    if (!ticker->is_running) {
        return;
    }
    (void)pthread_mutex_lock(&ticker->lock);
    (void)snprintf(ticker->what, sizeof(ticker->what), "%s", what);
    ticker->done = done;
    ticker->total = total;
    (void)pthread_mutex_unlock(&ticker->lock);
}

void flo_ticker_stop(struct flo_ticker *ticker)
{
    if (!ticker->is_running) {
        return;
    }
    (void)pthread_mutex_lock(&ticker->lock);
    ticker->stops = true;
    (void)pthread_cond_signal(&ticker->wake);
    (void)pthread_mutex_unlock(&ticker->lock);
    (void)pthread_join(ticker->thread, NULL);
    ticker->is_running = false;
    (void)pthread_cond_destroy(&ticker->wake);
    (void)pthread_mutex_destroy(&ticker->lock);
}
