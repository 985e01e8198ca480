/* Heat and battery: decides when to use fewer threads, to delay batch requests
 * and to start no updates. */
#include "agent/core/memory/pressure.h"

#include <assert.h>
#include <stdio.h>

#define COOL_BELOW_HOT_MC 10000
#define COOL_MS 120000
#define EMPTY_PCT 10
#define BACK_PCT 30

static void heat(struct flo_power *power, const struct flo_power_sample *sample)
{
    if (flo_power_is_hot(sample->zone_mc, sample->trip_mc)) {
        power->is_hot = true;
    }
    if (sample->trip_mc > 0 &&
        sample->zone_mc > sample->trip_mc - FLO_POWER_HOT_BELOW_MC - COOL_BELOW_HOT_MC) {
        power->cool_ms = 0;
        return;
    }
    if (power->cool_ms == 0) {
        power->cool_ms = sample->now_ms;
    }
    if (sample->now_ms - power->cool_ms >= COOL_MS) {
        power->is_hot = false;
    }
}

static void battery(struct flo_power *power, const struct flo_power_sample *sample)
{
    bool has_battery = sample->battery_pct >= 0;
    if (!has_battery || !sample->is_discharging || sample->battery_pct >= BACK_PCT) {
        power->is_low = false;
        power->is_empty = false;
        return;
    }
    power->is_low |= sample->battery_pct <= FLO_POWER_LOW_PCT;
    power->is_empty |= sample->battery_pct <= EMPTY_PCT;
}

bool flo_power_sample(struct flo_power *power, const struct flo_power_sample *sample)
{
    struct flo_power before = *power;
    heat(power, sample);
    battery(power, sample);
    return before.is_hot != power->is_hot || before.is_low != power->is_low ||
           before.is_empty != power->is_empty;
}

/* ---- limits ---- */

enum { MEMORY = 1, HEAT = 2, BATTERY = 4, EMPTY = 8 };

static const struct {
    const char *word;
    uint32_t causes;
} limits[FLO_PRESSURE_LIMIT_COUNT] = {
#define FLO_PRESSURE_LIMIT(name, word, causes, meaning)                                            \
    [FLO_PRESSURE_LIMIT_##name] = {word, causes},
#include "agent/core/memory/pressure.def"
};

const char *flo_pressure_limit_word(enum flo_pressure_limit limit)
{
    assert(limit < FLO_PRESSURE_LIMIT_COUNT);
    return limits[limit].word;
}

struct flo_pressure_limits flo_pressure_limits(const struct flo_pressure *pressure,
                                               const struct flo_power *power, uint32_t threads)
{
    uint32_t causes = (pressure->is_short ? MEMORY : 0u) | (power->is_hot ? HEAT : 0u) |
                      (power->is_low ? BATTERY : 0u) | (power->is_empty ? EMPTY : 0u);
    struct flo_pressure_limits out = {.threads_max = threads};

    for (uint32_t i = 0; i < FLO_PRESSURE_LIMIT_COUNT; i++) {
        out.set |= (limits[i].causes & causes) != 0 ? 1u << i : 0;
    }
    out.threads_max >>= flo_pressure_holds(&out, FLO_PRESSURE_LIMIT_HALF);
    out.threads_max >>= flo_pressure_holds(&out, FLO_PRESSURE_LIMIT_HALF_BATTERY);
    out.is_halved = out.threads_max < threads;
    out.threads_max = out.threads_max > 0 ? out.threads_max : 1;
    return out;
}

void flo_pressure_limits_text(const struct flo_pressure_limits *now,
                              char out[FLO_PRESSURE_LIMITS_TEXT])
{
    size_t bytes = 0;

    out[0] = '\0';
    for (unsigned i = 0; i < FLO_PRESSURE_LIMIT_COUNT; i++) {
        if (flo_pressure_holds(now, i)) {
            bytes += (size_t)snprintf(out + bytes, FLO_PRESSURE_LIMITS_TEXT - bytes, "%s%s",
                                      bytes == 0 ? "" : ", ", flo_pressure_limit_word(i));
            assert(bytes < FLO_PRESSURE_LIMITS_TEXT); /* all words together fit */
        }
    }
}
