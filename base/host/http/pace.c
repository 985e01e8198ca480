/* Download rate limit: computes when the next piece may be read; see pace.h. */
#include "base/host/http/pace.h"

#include <assert.h>

#define US_NS UINT64_C(1000)
#define SECOND_NS (1000000 * US_NS)
#define PIECES_PER_S 16
#define PIECE_MIN 1024
#define PIECE_MAX 16384
#define WINDOW_MIN 16384
#define WINDOW_MAX 131072

uint64_t flo_http_pace_wait_us(const struct flo_http_pace *pace, uint64_t now_us)
{
    uint64_t next_us = (pace->next_ns + US_NS - 1) / US_NS;

    return pace->has_begun && next_us > now_us ? next_us - now_us : 0;
}

void flo_http_pace_take(struct flo_http_pace *pace, uint64_t now_us, size_t bytes, uint64_t rate)
{
    uint64_t oldest_us = now_us > FLO_HTTP_PACE_CREDIT_US ? now_us - FLO_HTTP_PACE_CREDIT_US : 0;

    assert(rate > 0);
    assert(bytes < UINT64_MAX / SECOND_NS);
    if (!pace->has_begun) {
        pace->has_begun = true;
        pace->next_ns = now_us * US_NS;
    } else if (pace->next_ns < oldest_us * US_NS) {
        pace->next_ns = oldest_us * US_NS;
    }
    pace->next_ns += bytes * SECOND_NS / rate;
}

size_t flo_http_pace_piece(uint64_t rate)
{
    uint64_t bytes = rate / PIECES_PER_S;

    return bytes < PIECE_MIN ? PIECE_MIN : bytes > PIECE_MAX ? PIECE_MAX : (size_t)bytes;
}

size_t flo_http_pace_window(uint64_t rate)
{
    uint64_t bytes = rate / 2;

    return bytes > WINDOW_MAX ? 0 : bytes < WINDOW_MIN ? WINDOW_MIN : (size_t)bytes;
}
