/* A long command says on stderr that it goes on: "delta create, 12 s", each
 * second, on a terminal over the line before. */
#ifndef FLOTILLA_TICKER_H
#define FLOTILLA_TICKER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

struct flo_ticker {
    char what[160];
    size_t done, total; /* parts of the work; total 0: not told */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool is_running, stops;
};
void flo_ticker_start(struct flo_ticker *ticker, const char *what);
/* From now on "what 4/16, 12 s"; the seconds go on. */
void flo_ticker_tell(struct flo_ticker *ticker, const char *what, size_t done, size_t total);
/* Before anything else is said; harmless twice, and on one that is all zero. */
void flo_ticker_stop(struct flo_ticker *ticker);

#endif
