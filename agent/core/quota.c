/* Quota: counts requests and tokens in sliding windows; see quota.h. */
#include <assert.h>

#include "agent/core/quota.h"

#define RING (FLO_QUOTA_SLICES + 1)

static bool is_of_tokens(enum flo_quota_kind kind)
{
    return kind == FLO_QUOTA_TOKENS_MINUTE || kind == FLO_QUOTA_TOKENS_DAY;
}

static uint64_t slice_ms(enum flo_quota_kind kind)
{
    bool is_day = kind == FLO_QUOTA_REQUESTS_DAY || kind == FLO_QUOTA_TOKENS_DAY;

    return (is_day ? FLO_QUOTA_DAY_MS : FLO_QUOTA_MINUTE_MS) / FLO_QUOTA_SLICES;
}

/* Advances the window to the slice with the number `slice` (a slice is 1/60 of
 * the window's time).  Slices that are too old are dropped. */
static void move(struct flo_quota_window *window, uint64_t slice)
{
    uint64_t steps = slice > window->last ? slice - window->last : 0;

    for (uint64_t i = 1; i <= steps && i <= RING; i++) {
        uint64_t *oldest = &window->slices[(window->last + i) % RING];
        window->used -= *oldest;
        *oldest = 0;
    }
    window->last += steps;
}

static void add(struct flo_quota *quota, enum flo_quota_kind kind, uint64_t now_ms, uint64_t amount)
{
    struct flo_quota_window *window = &quota->windows[kind];

    assert(kind < FLO_QUOTA_KINDS);
    if (quota->limits[kind] > 0) {
        move(window, now_ms / slice_ms(kind));
        window->slices[window->last % RING] += amount;
        window->used += amount;
    }
}

/* Returns the time until at most `most` requests or tokens are counted in the
 * window. */
static uint64_t until(const struct flo_quota_window *window, enum flo_quota_kind kind,
                      uint64_t now_ms, uint64_t most)
{
    uint64_t used = window->used;
    uint64_t slice = window->last > FLO_QUOTA_SLICES ? window->last - FLO_QUOTA_SLICES : 0;

    if (used <= most) {
        return 0;
    }
    while (slice < window->last && used - window->slices[slice % RING] > most) {
        used -= window->slices[slice++ % RING];
    }
    return (slice + RING) * slice_ms(kind) - now_ms;
}

/* Writes how much of a limit is used.  Also writes the time until the limit
 * allows `count` more requests, or one more token. */
static void look(struct flo_quota *quota, enum flo_quota_kind kind, uint64_t now_ms, uint32_t count,
                 struct flo_quota_state *out)
{
    struct flo_quota_window *window = &quota->windows[kind];
    uint64_t limit = quota->limits[kind];
    uint64_t room = is_of_tokens(kind) ? 1 : count;

    assert(kind < FLO_QUOTA_KINDS && limit > 0);
    move(window, now_ms / slice_ms(kind));
    *out = (struct flo_quota_state){
        .kind = kind,
        .used = window->used,
        .limit = limit,
        .wait_ms = room > limit ? 0 : until(window, kind, now_ms, limit - room),
        .whole_ms = until(window, kind, now_ms, 0),
    };
}

static bool is_never(const struct flo_quota_state *state, uint32_t count)
{
    return !is_of_tokens(state->kind) && count > state->limit;
}

bool flo_quota_take(struct flo_quota *quota, uint64_t now_ms, uint32_t count,
                    struct flo_quota_state *out)
{
    struct flo_quota_state state;
    uint64_t longest_ms = 0;

    assert(count > 0 && out != NULL);
    for (int kind = 0; kind < FLO_QUOTA_KINDS; kind++) {
        if (quota->limits[kind] == 0) {
            continue;
        }
        look(quota, kind, now_ms, count, &state);
        uint64_t wait_ms = is_never(&state, count) ? UINT64_MAX : state.wait_ms;
        if (wait_ms > longest_ms) {
            longest_ms = wait_ms;
            *out = state;
        }
    }
    if (longest_ms > 0) {
        return false;
    }
    add(quota, FLO_QUOTA_REQUESTS_MINUTE, now_ms, count);
    add(quota, FLO_QUOTA_REQUESTS_DAY, now_ms, count);
    return true;
}

void flo_quota_spend(struct flo_quota *quota, uint64_t now_ms, uint64_t tokens)
{
    add(quota, FLO_QUOTA_TOKENS_MINUTE, now_ms, tokens);
    add(quota, FLO_QUOTA_TOKENS_DAY, now_ms, tokens);
}

static uint64_t left(const struct flo_quota_state *state)
{
    return state->used < state->limit ? state->limit - state->used : 0;
}

bool flo_quota_look(struct flo_quota *quota, uint64_t now_ms, bool is_tokens,
                    struct flo_quota_state *out)
{
    struct flo_quota_state state;
    bool is_found = false;

    for (int kind = 0; kind < FLO_QUOTA_KINDS; kind++) {
        if (quota->limits[kind] == 0 || is_of_tokens(kind) != is_tokens) {
            continue;
        }
        look(quota, kind, now_ms, 1, &state);
        if (!is_found || left(&state) < left(out) ||
            (left(&state) == left(out) && state.wait_ms > out->wait_ms)) {
            *out = state;
        }
        is_found = true;
    }
    return is_found;
}

const char *flo_quota_words(enum flo_quota_kind kind)
{
    static const char *const words[FLO_QUOTA_KINDS] = {
        [FLO_QUOTA_REQUESTS_MINUTE] = "requests a minute",
        [FLO_QUOTA_REQUESTS_DAY] = "requests a day",
        [FLO_QUOTA_TOKENS_MINUTE] = "tokens a minute",
        [FLO_QUOTA_TOKENS_DAY] = "tokens a day",
    };
    return words[kind];
}
