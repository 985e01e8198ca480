/* Download rate limit: holds from the first byte, over all calls of a handle.
 *
 * The functions are pure: the caller passes the time. */
#ifndef FLOTILLA_HOST_HTTP_PACE_H
#define FLOTILLA_HOST_HTTP_PACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Longest unused time that later pieces may use up. */
#define FLO_HTTP_PACE_CREDIT_US 100000

struct flo_http_pace {
    bool has_begun;
    uint64_t next_ns; /* time from which the bytes received so far are within the rate */
};

/* Returns the microseconds until the next piece may be read, or 0 when it may
 * be read now. */
uint64_t flo_http_pace_wait_us(const struct flo_http_pace *pace, uint64_t now_us);
/* Counts a piece that was received.  `rate` is in bytes per second, more than
 * 0. */
void flo_http_pace_take(struct flo_http_pace *pace, uint64_t now_us, size_t bytes, uint64_t rate);

/* Returns how many bytes to read at once, within libcurl's bounds. */
size_t flo_http_pace_piece(uint64_t rate);
/* Returns the size of the kernel's receive buffer.  0 means the kernel's
 * default, which grows with the bytes read. */
size_t flo_http_pace_window(uint64_t rate);

#endif
