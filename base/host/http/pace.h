/* Download rate limit: holds from the first byte, over all calls of a handle.
 * Pure: the caller passes the time. */
#ifndef FLOTILLA_HOST_HTTP_PACE_H
#define FLOTILLA_HOST_HTTP_PACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Most unused time that later pieces may catch up on. */
#define FLO_HTTP_PACE_CREDIT_US 100000

struct flo_http_pace {
    bool has_begun;
    uint64_t next_ns; /* time at which the bytes so far are within the rate */
};

/* Microseconds until the next piece may be read; 0: now. */
uint64_t flo_http_pace_wait_us(const struct flo_http_pace *pace, uint64_t now_us);
/* Counts a piece that was received.  rate: bytes per second, more than 0. */
void flo_http_pace_take(struct flo_http_pace *pace, uint64_t now_us, size_t bytes, uint64_t rate);

/* Bytes to read at once, within libcurl's bounds.  And the kernel's receive
 * buffer; 0: the default, which grows with what is read. */
size_t flo_http_pace_piece(uint64_t rate);
size_t flo_http_pace_window(uint64_t rate);

#endif
