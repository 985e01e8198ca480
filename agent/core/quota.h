/* Quota: what an app may still use, in windows that slide.
 *
 * A window is cut into 60 slices.  It forgets a slice when the whole of it lies
 * a window's length back.  So no stretch of that length begins more requests
 * than the limit; a window is a sixtieth longer at most.  The tokens of a
 * request are known at its end: one that begins while some are left may pass
 * the limit.  Time is given, in milliseconds that never go back.  Pure. */
#ifndef FLOTILLA_AGENT_QUOTA_H
#define FLOTILLA_AGENT_QUOTA_H

#include <flotilla/base.h>

#define FLO_QUOTA_SLICES 60
#define FLO_QUOTA_MINUTE_MS 60000
#define FLO_QUOTA_DAY_MS 86400000

enum flo_quota_kind {
    FLO_QUOTA_REQUESTS_MINUTE,
    FLO_QUOTA_REQUESTS_DAY,
    FLO_QUOTA_TOKENS_MINUTE, /* tokens of prompts and answers */
    FLO_QUOTA_TOKENS_DAY,
    FLO_QUOTA_KINDS
};

/* Zero-initialise it, and set the limits. */
struct flo_quota {
    uint64_t limits[FLO_QUOTA_KINDS]; /* 0: none */
    struct flo_quota_window {
        uint64_t last;                         /* number of the newest slice */
        uint64_t used;                         /* in all slices */
        uint64_t slices[FLO_QUOTA_SLICES + 1]; /* a ring; with the newest */
    } windows[FLO_QUOTA_KINDS];
};

struct flo_quota_state {
    enum flo_quota_kind kind;
    uint64_t used, limit;
    uint64_t wait_ms;  /* until there is room; 0: now, or never */
    uint64_t whole_ms; /* until all is left */
};

/* Take so many requests at once, 1 at least.  false: a limit has no room for
 * them, and nothing is taken.  *out is the limit that lasts longest of those;
 * one below `count` lasts for ever. */
bool flo_quota_take(struct flo_quota *quota, uint64_t now_ms, uint32_t count,
                    struct flo_quota_state *out);
/* The tokens of a request, when they are known. */
void flo_quota_spend(struct flo_quota *quota, uint64_t now_ms, uint64_t tokens);
/* The window of tokens, or of requests, that has least left; false: none has a
 * limit. */
bool flo_quota_look(struct flo_quota *quota, uint64_t now_ms, bool is_tokens,
                    struct flo_quota_state *out);
/* "requests a minute" */
const char *flo_quota_words(enum flo_quota_kind kind);

#endif
