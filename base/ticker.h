/* Progress line of a long command on stderr: "delta create, 12 s", each second.
 *
 * On a terminal it replaces the line before. */
#ifndef FLOTILLA_TICKER_H
#define FLOTILLA_TICKER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

struct flo_ticker {
    char what[160];
    size_t done, total; /* finished parts and all parts of the work; total 0: unknown */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool is_running, stops;
};
void flo_ticker_start(struct flo_ticker *ticker, const char *what);
/* Changes the line to "what 4/16, 12 s".  The seconds still count from the
 * start. */
void flo_ticker_tell(struct flo_ticker *ticker, const char *what, size_t done, size_t total);
/* Ends the progress line; call it before other output.  A second call does
 * nothing, nor does a call for a struct of zeros. */
void flo_ticker_stop(struct flo_ticker *ticker);

#endif
