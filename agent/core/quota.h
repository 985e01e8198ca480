/* Quota: limits how many requests and tokens an app may use, in sliding
 * windows.
 *
 * A window has 60 slices.  A slice is dropped once it lies completely before
 * the window.  So the requests that begin within the window's length never
 * exceed the limit; the window is at most 1/60 too long.  A request's tokens
 * are known only at its end, so a request that begins with few tokens left may
 * exceed the limit.  The caller passes the time, in milliseconds that never go
 * back.  Pure. */
#ifndef FLOTILLA_AGENT_QUOTA_H
#define FLOTILLA_AGENT_QUOTA_H

#include <flotilla/base.h>

#define FLO_QUOTA_SLICES 60
#define FLO_QUOTA_MINUTE_MS 60000
#define FLO_QUOTA_DAY_MS 86400000

enum flo_quota_kind {
    FLO_QUOTA_REQUESTS_MINUTE,
    FLO_QUOTA_REQUESTS_DAY,
    FLO_QUOTA_TOKENS_MINUTE, /* tokens of prompts and answers together, in a minute */
    FLO_QUOTA_TOKENS_DAY,
    FLO_QUOTA_KINDS
};

/* Quota of an app.  The caller sets it to zero, then sets the limits. */
struct flo_quota {
    uint64_t limits[FLO_QUOTA_KINDS]; /* 0: none */
    struct flo_quota_window {
        uint64_t last; /* number of the newest slice; a slice is 1/60 of the window's time */
        uint64_t used; /* number of requests or tokens in all slices of the window */
        /* number of requests or tokens in each slice, as a ring that includes
         * the newest slice */
        uint64_t slices[FLO_QUOTA_SLICES + 1];
    } windows[FLO_QUOTA_KINDS];
};

struct flo_quota_state {
    enum flo_quota_kind kind;
    uint64_t used, limit;
    uint64_t wait_ms;  /* time until the limit allows the request; 0: it does so now, or never */
    uint64_t whole_ms; /* time until the window counts no request or token any more */
};

/* Counts `count` requests at once, at least 1.  Returns false, and counts none,
 * when a limit does not allow all of them.  *out is then the limit that blocks
 * longest; a limit below `count` blocks forever. */
bool flo_quota_take(struct flo_quota *quota, uint64_t now_ms, uint32_t count,
                    struct flo_quota_state *out);
/* Counts the tokens of a request that has ended. */
void flo_quota_spend(struct flo_quota *quota, uint64_t now_ms, uint64_t tokens);
/* Gives the window of tokens, or of requests, that has the least left.  Returns
 * false when no such limit is set. */
bool flo_quota_look(struct flo_quota *quota, uint64_t now_ms, bool is_tokens,
                    struct flo_quota_state *out);
/* "requests a minute" */
const char *flo_quota_words(enum flo_quota_kind kind);

#endif
