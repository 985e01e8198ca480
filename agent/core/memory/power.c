/* Heat and battery: fewer threads, batch requests held, no updates. */
#include "agent/core/memory/strain.h"

#define HOT_MC 80000      /* without a trip point */
#define HOT_BELOW_MC 5000 /* below the trip point */
#define COOL_BELOW_HOT_MC 10000
#define COOL_MS 120000
#define LOW_PCT 20
#define EMPTY_PCT 10
#define BACK_PCT 30

static void heat(struct flo_power *power, const struct flo_power_sample *sample)
{
    int64_t hot = sample->trip_mc > 0 ? sample->trip_mc - HOT_BELOW_MC : HOT_MC;
    if (sample->zone_mc >= hot) {
        power->is_hot = true;
    }
    if (sample->zone_mc > hot - COOL_BELOW_HOT_MC) {
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

static void battery(struct flo_power *power,
                    const struct flo_power_sample *sample)
{
    bool has_battery = sample->battery_pct >= 0;
    if (!has_battery || !sample->is_discharging ||
        sample->battery_pct >= BACK_PCT) {
        power->is_low = false;
        power->is_empty = false;
        return;
    }
    power->is_low |= sample->battery_pct <= LOW_PCT;
    power->is_empty |= sample->battery_pct <= EMPTY_PCT;
}

bool flo_power_sample(struct flo_power *power,
                      const struct flo_power_sample *sample)
{
    struct flo_power before = *power;
    heat(power, sample);
    battery(power, sample);
    return before.is_hot != power->is_hot || before.is_low != power->is_low ||
           before.is_empty != power->is_empty;
}

struct flo_power_limits flo_power_limits(const struct flo_power *power,
                                         uint32_t threads)
{
    uint32_t halved = (power->is_hot ? 1u : 0u) + (power->is_low ? 1u : 0u);
    uint32_t most = threads >> halved;
    return (struct flo_power_limits){
        .threads_max = most > 0 ? most : 1,
        .holds_batch = power->is_hot,
        .allows_updates = !power->is_low,
        .allows_demand = !power->is_empty,
    };
}
