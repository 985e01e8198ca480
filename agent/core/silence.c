#include "agent/core/silence.h"

#include <flotilla/errors/trust.h>

/* Clocks drift apart by less than this share of a time. */
#define DRIFT_SHARE 4096
#define DAY_MS 86400000

/* Returns how much later than the fastest one a word of this time arrives now. */
static int64_t lag_ms(const struct flo_silence *silence, uint64_t issued_ms, uint64_t now_ms)
{
    int64_t drift_ms = (int64_t)((now_ms - silence->anchored_ms) / DRIFT_SHARE);

    return (int64_t)now_ms - (int64_t)issued_ms - silence->delay_ms - drift_ms;
}

int flo_silence_admit(const struct flo_silence *silence, const struct flo_newest *newest,
                      const struct flo_agent_time *time, enum flo_word_way way, uint64_t now_ms,
                      struct flo_err *err)
{
    int64_t life_ms = (int64_t)newest->expires_at_ms - (int64_t)newest->issued_at_ms;
    int64_t lag = lag_ms(silence, newest->issued_at_ms, now_ms);
    int64_t ahead_ms_max = DAY_MS, late_ms_max = 0;
    bool is_bundle = way == FLO_WORD_IN_BUNDLE;
    uint64_t clock_ms =
        is_bundle && time->trusted_ms > time->clock_ms ? time->trusted_ms : time->clock_ms;

    if (newest->number < silence->number) {
        return flo_fail(err, FLO_E_TRUST_NEWEST, "number %llu is older than %llu, heard before",
                        (unsigned long long)newest->number, (unsigned long long)silence->number);
    }
    if ((newest->number == silence->number && !is_bundle) || way == FLO_WORD_DIRECT ||
        (!silence->is_anchored && clock_ms == 0)) {
        return 0;
    }
    if (!silence->is_anchored) { /* a clock that is not synchronised says little */
        lag = (int64_t)clock_ms - (int64_t)newest->issued_at_ms;
        ahead_ms_max =
            (int64_t)(time->is_synchronised ? FLO_ORDER_AHEAD_SYNCHRONISED_MS : FLO_ORDER_AHEAD_MS);
        late_ms_max = time->is_synchronised || is_bundle ? DAY_MS : INT64_MAX / 2;
    }
    if (-lag > ahead_ms_max) {
        return flo_fail(err, FLO_E_TRUST_NEWEST, "number %llu is of %lld s from now",
                        (unsigned long long)newest->number, (long long)(-lag / 1000));
    }
    return lag - late_ms_max > life_ms
               ? flo_fail(err, FLO_E_TRUST_NEWEST, "number %llu expired %lld s ago",
                          (unsigned long long)newest->number, (long long)(lag - life_ms) / 1000)
               : 0;
}

void flo_silence_hear(struct flo_silence *silence, const struct flo_newest *newest, bool is_direct,
                      uint64_t now_ms)
{
    if (is_direct || !silence->is_anchored || lag_ms(silence, newest->issued_at_ms, now_ms) < 0) {
        silence->is_anchored = true;
        silence->delay_ms = (int64_t)now_ms - (int64_t)newest->issued_at_ms;
        silence->anchored_ms = now_ms;
    }
    silence->number = newest->number;
    silence->interval_ms = newest->interval_ms;
    silence->silent_ms = 0;
}

bool flo_silence_look(struct flo_silence *silence, bool is_online, uint64_t awake_ms)
{
    uint64_t most_ms = 2 * silence->interval_ms / FLO_SILENCE_LOOKS;
    uint64_t since_ms = awake_ms - silence->looked_ms;
    bool was_stale = silence->is_stale;

    /* A longer time is one in which the agent stood still. */
    if (is_online) {
        silence->silent_ms += since_ms < most_ms ? since_ms : most_ms;
    }
    silence->looked_ms = awake_ms;
    silence->asks = silence->interval_ms > 0 &&
                    silence->silent_ms > (FLO_NEWEST_INTERVALS - 1) * silence->interval_ms;
    silence->is_stale =
        silence->asks && silence->silent_ms > FLO_NEWEST_INTERVALS * silence->interval_ms;
    return silence->is_stale != was_stale;
}
