/* Rate: limits the requests of a token.  Pure.
 *
 * Each token has a token bucket that refills with time.  Emergency calls have a
 * bucket of their own, so that a busy script never blocks its operator's
 * rollback. */
#ifndef FLOTILLA_SERVER_REQUEST_RATE_H
#define FLOTILLA_SERVER_REQUEST_RATE_H

#include <flotilla/base.h>

struct flo_rate_policy {
    const char *word; /* "default" */
    uint64_t quota;   /* requests that a full bucket holds */
    uint64_t fill_ms; /* time to refill an empty bucket */
};
enum flo_rate_kind {
    FLO_RATE_DEFAULT,
    FLO_RATE_URGENT,
    FLO_RATE_LOGIN, /* logins, limited by address because there is no token yet */
    FLO_RATE_KINDS
};
extern const struct flo_rate_policy flo_rate_policies[FLO_RATE_KINDS];

#define FLO_RATE_BUCKETS 512
struct flo_rate_bucket {
    char token[16];   /* id of the token; "": the bucket is free */
    uint64_t used_us; /* time in which the bucket is full again: the refill time
                         of all requests taken */
    uint64_t at_ms;   /* time of `used_us` */
};
struct flo_rates {
    struct flo_rate_bucket buckets[FLO_RATE_KINDS][FLO_RATE_BUCKETS];
};

struct flo_rate_answer {
    bool may;
    uint64_t left;    /* requests */
    uint64_t wait_ms; /* time until the next request is allowed; 0: now */
    uint64_t full_ms; /* time until the bucket is full */
};
/* Takes one request of the token.  With more tokens than buckets, the token
 * with the least recent use is forgotten and begins again with a full
 * bucket. */
struct flo_rate_answer flo_rate_take(struct flo_rates *rates, enum flo_rate_kind kind,
                                     const char *token, uint64_t now_ms);

#endif
