/* Energy: computes what was used between two readings; see energy.h. */
#include "agent/core/benchmark/energy.h"

#include <assert.h>

#define DRAIN_MS_MIN 60000
#define HOUR_MS 3600000.0

const char *flo_energy_source_word(enum flo_energy_source source)
{
    static const char *const words[] = {"absent", "unreadable", "read"};

    assert(source < FLO_COUNT(words));
    return words[source];
}

bool flo_energy_used(const struct flo_energy *before, const struct flo_energy *after,
                     uint64_t *used_uj)
{
    uint64_t sum = 0;

    if (before->source != FLO_ENERGY_READ || after->source != FLO_ENERGY_READ ||
        before->zone_count != after->zone_count) {
        return false;
    }
    for (uint32_t i = 0; i < after->zone_count; i++) {
        uint64_t from = before->zones[i].uj, to = after->zones[i].uj;
        uint64_t max = after->zones[i].max_uj;

        if (to < from && (max < from || max == UINT64_MAX)) {
            return false;
        }
        sum += to >= from ? to - from : max - from + 1 + to;
    }
    *used_uj = sum;
    return true;
}

bool flo_energy_drain(const struct flo_energy *before, const struct flo_energy *after,
                      uint64_t took_ms, double *percent_per_hour)
{
    bool is_exact = before->battery_uwh > 0 && after->battery_uwh > 0 &&
                    after->battery_full_uwh > 0 && after->battery_uwh < before->battery_uwh;
    double sank = 0;

    if (!before->has_battery || !after->has_battery || !before->is_discharging ||
        !after->is_discharging || took_ms < DRAIN_MS_MIN) {
        return false;
    }
    if (is_exact) {
        sank = 100 * (double)(before->battery_uwh - after->battery_uwh) /
               (double)after->battery_full_uwh;
    } else if (before->battery_pct >= 0 && after->battery_pct >= 0) {
        sank = before->battery_pct - after->battery_pct;
    }
    *percent_per_hour = sank * HOUR_MS / (double)took_ms;
    return sank > 0;
}
