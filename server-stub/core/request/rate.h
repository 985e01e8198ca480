/* Rate: how many requests a token may make.  Pure.
 *
 * A bucket of requests for each token, which fills again with time.  Emergency
 * calls have a bucket of their own, so that a script that asks too often never
 * keeps its own operator from a rollback. */
#ifndef FLOTILLA_SERVER_REQUEST_RATE_H
#define FLOTILLA_SERVER_REQUEST_RATE_H

#include <flotilla/base.h>

struct flo_rate_policy {
    const char *word; /* "default" */
    uint64_t quota;   /* requests that a full bucket holds */
    uint64_t fill_ms; /* an empty bucket is full again */
};
enum flo_rate_kind {
    FLO_RATE_DEFAULT,
    FLO_RATE_URGENT,
    FLO_RATE_LOGIN, /* by address: nobody has a token yet */
    FLO_RATE_KINDS
};
extern const struct flo_rate_policy flo_rate_policies[FLO_RATE_KINDS];

#define FLO_RATE_BUCKETS 512
struct flo_rate_bucket {
    char token[16];   /* the token's id; "": free */
    uint64_t used_us; /* filling time that the requests took */
    uint64_t at_ms;   /* when that was so */
};
struct flo_rates {
    struct flo_rate_bucket buckets[FLO_RATE_KINDS][FLO_RATE_BUCKETS];
};

struct flo_rate_answer {
    bool may;
    uint64_t left;    /* requests */
    uint64_t wait_ms; /* until one more is possible; 0: now */
    uint64_t full_ms; /* until the bucket is full */
};
/* Take one request of the token.  With more tokens at once than there are
 * buckets, the one that has asked least of late begins with a full one. */
struct flo_rate_answer flo_rate_take(struct flo_rates *rates, enum flo_rate_kind kind,
                                     const char *token, uint64_t now_ms);

#endif
