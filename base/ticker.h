/* A long command says on stderr that it goes on: "delta create, 12 s", each
 * second on a terminal (over the line before), else after 1 s and each 5 s. */
#ifndef FLOTILLA_TICKER_H
#define FLOTILLA_TICKER_H

#include <pthread.h>
#include <stdbool.h>

struct flo_ticker {
    const char *what; /* borrowed */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool is_running, stops;
};
void flo_ticker_start(struct flo_ticker *ticker, const char *what);
/* Before anything else is said; harmless twice, and on one that is all zero. */
void flo_ticker_stop(struct flo_ticker *ticker);

#endif
