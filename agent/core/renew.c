#include "agent/core/renew.h"

#include <assert.h>

#include <flotilla/agent.h>

#include "proto/lifetime.h"

#define MINUTE_MS UINT64_C(60000)
#define HOUR_MS (60 * MINUTE_MS)

const char *flo_renew_word(enum flo_renew_why why)
{
    static const char *const words[FLO_RENEW_WHYS] = {
        [FLO_RENEW_NOT] = "not due",
        [FLO_RENEW_DUE] = "two thirds of its life are over",
        [FLO_RENEW_REFUSED] = "it was refused",
        [FLO_RENEW_ASKED] = "the controller asks for it",
        [FLO_RENEW_AUTHORITY] = "there is a newer authority",
        [FLO_RENEW_SPLIT] = "another machine has this identity",
    };

    assert(why < FLO_RENEW_WHYS);
    return words[why];
}

static uint64_t within(uint64_t value, uint64_t min, uint64_t max)
{
    return value < min ? min : value > max ? max : value;
}

static uint64_t life_ms(const struct flo_renew *renew)
{
    return renew->life.until_ms > renew->life.issued_ms
               ? renew->life.until_ms - renew->life.issued_ms
               : 0;
}

/* Returns the shortest pause after a failed request. */
static uint64_t retry_ms_min(const struct flo_renew *renew)
{
    return within(life_ms(renew) / 1000, 200, MINUTE_MS);
}

/* Returns the longest pause after a failed request. */
static uint64_t retry_ms_max(const struct flo_renew *renew)
{
    return within(life_ms(renew) / 24, 500, 6 * HOUR_MS);
}

/* Returns the time over which devices spread their requests when all learn of a
 * change at once. */
static uint64_t crowd_ms(const struct flo_renew *renew)
{
    return within(life_ms(renew) / 1000, 200, 10 * MINUTE_MS);
}

static uint64_t age_ms(const struct flo_renew *renew, const struct flo_renew_now *now)
{
    const struct flo_renew_life *life = &renew->life;
    bool has_gone_back = life->taken_ms == 0 || now->clock_ms < life->taken_ms;
    uint64_t from_ms = has_gone_back ? life->issued_ms : life->taken_ms;
    uint64_t by_clock = now->clock_ms > from_ms ? now->clock_ms - from_ms : 0;
    uint64_t by_uptime = now->now_ms - renew->since_ms;

    return by_clock > by_uptime ? by_clock : by_uptime;
}

static uint64_t due_age_ms(const struct flo_renew *renew)
{
    uint64_t life = life_ms(renew);
    double share = (double)renew->life.place / 4294967296.0;

    return flo_lifetime_due_ms(life) + (uint64_t)((double)flo_lifetime_spread_ms(life) * share);
}

static bool is_due(const struct flo_renew *renew, const struct flo_renew_now *now)
{
    return age_ms(renew, now) >= due_age_ms(renew);
}

void flo_renew_begin(struct flo_renew *renew, const struct flo_renew_life *life,
                     const struct flo_renew_now *now)
{
    *renew = (struct flo_renew){.life = *life, .since_ms = now->now_ms};
    /* A certificate is due at the start of the agent mostly after a long
     * absence of the controller.  Then those of all devices are due, so each
     * device waits for a random time. */
    if (is_due(renew, now)) {
        renew->next_ms = now->now_ms + now->random % retry_ms_min(renew);
    }
}

void flo_renew_want(struct flo_renew *renew, enum flo_renew_why why,
                    const struct flo_renew_now *now)
{
    assert(why > FLO_RENEW_DUE && why < FLO_RENEW_WHYS);
    bool is_split = why == FLO_RENEW_SPLIT;

    if ((renew->wanted != FLO_RENEW_NOT && !is_split) || renew->is_asking) {
        return;
    }
    uint64_t at_ms = now->now_ms + (is_split ? 0 : now->random % crowd_ms(renew));
    bool is_urgent = (why == FLO_RENEW_AUTHORITY || is_split) && renew->failures == 0;
    renew->wanted = why;
    renew->next_ms = renew->next_ms > at_ms && !is_urgent ? renew->next_ms : at_ms;
}

enum flo_renew_why flo_renew_look(struct flo_renew *renew, const struct flo_renew_now *now)
{
    enum flo_renew_why why = is_due(renew, now) ? FLO_RENEW_DUE : renew->wanted;

    assert(now->now_ms >= renew->since_ms);
    if (renew->is_asking || now->now_ms < renew->next_ms) {
        return FLO_RENEW_NOT;
    }
    renew->is_asking = why != FLO_RENEW_NOT;
    renew->why = why;
    return why;
}

void flo_renew_done(struct flo_renew *renew, const struct flo_renew_life *life,
                    const struct flo_renew_now *now)
{
    assert(renew->is_asking);
    *renew = (struct flo_renew){.life = *life, .since_ms = now->now_ms};
    renew->next_ms =
        now->now_ms + within(flo_lifetime_spread_ms(life_ms(renew)), 500, 24 * HOUR_MS);
}

void flo_renew_failed(struct flo_renew *renew, uint64_t after_ms, const struct flo_renew_now *now)
{
    uint64_t min_ms = retry_ms_min(renew);
    uint64_t pause_ms =
        min_ms + flo_retry_delay_ms(renew->failures, min_ms, retry_ms_max(renew), now->random);

    assert(renew->is_asking);
    renew->is_asking = false;
    renew->failures += renew->failures < 64;
    renew->next_ms = now->now_ms + (pause_ms > after_ms ? pause_ms : after_ms);
}

bool flo_renew_warns(struct flo_renew *renew, const struct flo_renew_now *now)
{
    bool warns = !renew->is_warned && age_ms(renew, now) >= flo_lifetime_ending_ms(life_ms(renew));

    renew->is_warned = renew->is_warned || warns;
    return warns;
}

uint64_t flo_renew_pause_ms(const struct flo_renew *renew)
{
    return within(life_ms(renew) / 200, 100, MINUTE_MS);
}
