/* The pace of what a client receives: a limit that holds from the first byte,
 * over all calls of a handle.  Pure: the caller knows the time. */
#ifndef FLOTILLA_HOST_HTTP_PACE_H
#define FLOTILLA_HOST_HTTP_PACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Time that was not used and may be made up for. */
#define FLO_HTTP_PACE_CREDIT_US 100000

struct flo_http_pace {
    bool has_begun;
    uint64_t next_ns; /* when all that was taken is paid for */
};

/* How long the next piece has to wait; 0: it may come now. */
uint64_t flo_http_pace_wait_us(const struct flo_http_pace *pace, uint64_t now_us);
/* A piece came.  rate: bytes per second, more than 0. */
void flo_http_pace_take(struct flo_http_pace *pace, uint64_t now_us, size_t bytes, uint64_t rate);

/* Bytes that are read at once, in bounds that libcurl takes, and what the
 * kernel may hold unread; 0: as it likes, for its window grows with what is
 * read. */
size_t flo_http_pace_piece(uint64_t rate);
size_t flo_http_pace_window(uint64_t rate);

#endif
