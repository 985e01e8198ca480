#include "server-stub/core/clock/clock.h"

#include <stdlib.h>

#include <flotilla/errors/clock.h>

static bool is_later(uint64_t a, uint64_t b, uint64_t by_ms)
{
    return a > b && a - b > by_ms;
}

/* The source decides that the time is `said_ms`. */
static bool decide(const struct flo_clock_sources *s, uint64_t said_ms,
                   struct flo_clock_verdict *out)
{
    out->said_ms = said_ms;
    out->code = is_later(s->now_ms, said_ms, FLO_CLOCK_NEAR_MS)   ? FLO_E_CLOCK_AHEAD
                : is_later(said_ms, s->now_ms, FLO_CLOCK_NEAR_MS) ? FLO_E_CLOCK_BEHIND
                                                                  : 0;
    return true;
}

/* ---- devices ---- */

void flo_clock_hear(struct flo_clock_witnesses *witnesses, uint64_t device, int64_t ahead_ms)
{
    size_t at = 0;

    while (at < witnesses->count && witnesses->items[at].device != device) {
        at++;
    }
    if (at == FLO_CLOCK_WITNESSES_MAX) {
        at = witnesses->next;
        witnesses->next = (at + 1) % FLO_CLOCK_WITNESSES_MAX;
    }
    witnesses->count += at == witnesses->count;
    witnesses->items[at].device = device;
    witnesses->items[at].ahead_ms = ahead_ms;
}

/* A device counts that more than half of all agree with. */
static bool of_devices(const struct flo_clock_sources *s, struct flo_clock_verdict *out)
{
    const struct flo_clock_witnesses *all = s->witnesses;

    for (size_t i = 0; i < all->count; i++) {
        int64_t ahead_ms = all->items[i].ahead_ms;
        size_t agree = 0;
        for (size_t j = 0; j < all->count; j++) {
            agree += (uint64_t)llabs(all->items[j].ahead_ms - ahead_ms) <= FLO_CLOCK_NEAR_MS;
        }
        if (agree >= FLO_CLOCK_QUORUM && 2 * agree > all->count) {
            return decide(s, (uint64_t)((int64_t)s->uptime_ms + ahead_ms), out);
        }
    }
    return false;
}

/* ---- the controller's own ---- */

/* Tells whether the clock is behind a time that was.  A synchronised kernel knows
 * better than a clock that nobody kept right. */
static bool is_behind(const struct flo_clock_sources *s, uint64_t past_ms)
{
    return is_later(past_ms, s->now_ms, FLO_CLOCK_NEAR_MS) && (s->was_kept || !s->is_synchronised);
}

static bool of_person(const struct flo_clock_sources *s, struct flo_clock_verdict *out)
{
    return s->confirmed_ms != 0 && decide(s, s->confirmed_ms, out) && out->code == 0;
}

static bool of_authority(const struct flo_clock_sources *s, struct flo_clock_verdict *out)
{
    return is_behind(s, s->authority_ms) && decide(s, s->authority_ms, out);
}

static bool of_past(const struct flo_clock_sources *s, uint64_t past_ms, uint64_t ahead_by_ms,
                    struct flo_clock_verdict *out)
{
    bool is_ahead = is_later(s->now_ms, past_ms, ahead_by_ms) && !s->is_synchronised;

    return past_ms != 0 && (is_ahead || is_behind(s, past_ms)) && decide(s, past_ms, out);
}

/* Once the clock was good in this process, its steady clock knows how much time
 * has passed since. */
static bool of_steady(const struct flo_clock_sources *s, struct flo_clock_verdict *out)
{
    return of_past(s, s->steady_ms, FLO_CLOCK_NEAR_MS, out);
}

/* A record from before the authority began has no time. */
static bool of_records(const struct flo_clock_sources *s, struct flo_clock_verdict *out)
{
    return s->steady_ms == 0 && s->recorded_ms >= s->authority_ms &&
           of_past(s, s->recorded_ms, FLO_CLOCK_OFF_MS, out);
}

static bool of_nobody(const struct flo_clock_sources *s, struct flo_clock_verdict *out)
{
    return decide(s, s->now_ms, out);
}

/* ---- the judgement ---- */

static const struct {
    const char *text;
    bool (*decides)(const struct flo_clock_sources *sources, struct flo_clock_verdict *out);
} table[] = {
    [FLO_CLOCK_PERSON] = {"a person", of_person},
    [FLO_CLOCK_DEVICES] = {"its devices", of_devices},
    [FLO_CLOCK_AUTHORITY] = {"its certificate authority", of_authority},
    [FLO_CLOCK_STEADY] = {"its steady clock", of_steady},
    [FLO_CLOCK_RECORDS] = {"its audit and database", of_records},
    [FLO_CLOCK_NOBODY] = {"nobody", of_nobody},
};

const char *flo_clock_source_text(enum flo_clock_source source)
{
    return table[source].text;
}

void flo_clock_judge(const struct flo_clock_sources *sources, struct flo_clock_verdict *out)
{
    size_t at = 0;

    while (!table[at].decides(sources, out)) {
        at++;
    }
    out->source = (enum flo_clock_source)at;
}
