/* Expectation: estimates how long the phases of a rollout take, before it
 * starts.
 *
 * The estimate uses pace, limits, windows and soak.  It assumes that no device
 * fails or is offline and that no person has to decide.  So it is the shortest
 * time that the plan allows.  A download counts only if the policy limits its
 * speed. */
#include <assert.h>
#include <string.h>

#include "server-stub/core/rollout/parts.h"
#include "server-stub/core/rollout/rollout.h"

#define LEVELS_MAX 256 /* levels of a ramp that are counted; above them the pace is constant */
/* largest number of openings and closings of a window: over 25 years of days */
#define CHANGES_MAX 20000
#define PER_S_MAX 100000.0

/* ---- telling ---- */

/* Ramp: the pace grows as devices that were ordered to update finish. */
struct ramp {
    double at_s;
    double told;
    double per_s;
    uint32_t level;
    /* Number of steps of the ramp for which enough devices were ordered to
     * update.  Each step makes the pace grow, once its devices succeeded. */
    uint32_t crossed;
    /* time in s at which enough devices were ordered for each step of the
     * ramp */
    double crossed_s[LEVELS_MAX];
};

static double with_ramp_s(const struct flo_rollout_phase *phase, double devices, double first,
                          double per_s, double device_s)
{
    struct ramp ramp = {.per_s = per_s, .told = first};

    assert(per_s > 0 && phase->ramp_successes > 0 && phase->ramp_factor > 0);
    while (ramp.crossed < LEVELS_MAX && (ramp.crossed + 1.0) * phase->ramp_successes <= first) {
        ramp.crossed++; /* this step of the ramp needs no more devices than
                           those of the first second, which are ordered at once */
    }
    while (ramp.told < devices) {
        double goal = (ramp.crossed + 1.0) * phase->ramp_successes;
        bool grows = ramp.level < ramp.crossed;
        bool crosses = ramp.crossed < LEVELS_MAX && goal < devices;
        double target = crosses ? goal : devices;
        double there_s = ramp.at_s + (target - ramp.told) / ramp.per_s;
        double grows_s = grows ? ramp.crossed_s[ramp.level] + device_s : there_s;
        if (grows && grows_s <= there_s) {
            ramp.told += (grows_s - ramp.at_s) * ramp.per_s;
            ramp.at_s = grows_s;
            ramp.per_s *= phase->ramp_factor;
            ramp.per_s = ramp.per_s < PER_S_MAX ? ramp.per_s : PER_S_MAX;
            ramp.level++;
            continue;
        }
        ramp.told = target;
        ramp.at_s = there_s;
        if (crosses) {
            ramp.crossed_s[ramp.crossed++] = there_s;
        }
    }
    return ramp.at_s;
}

/* Returns the seconds until the pace has let all devices be ordered to update.
 * The devices of the first second are ordered at once. */
static double pace_s(const struct flo_rollout *rollout, const struct flo_rollout_phase *phase,
                     uint32_t devices, double device_s)
{
    double per_s = phase->starts_per_s > 0 ? phase->starts_per_s : rollout->starts_per_s;
    double first = per_s < 1 ? 1 : (double)(uint32_t)per_s;

    if (per_s <= 0 || devices <= first) {
        return 0;
    }
    return phase->ramp_successes > 0 ? with_ramp_s(phase, devices, first, per_s, device_s)
                                     : (devices - first) / per_s;
}

/* Returns the seconds until the last devices may begin.  At most `most` devices
 * update together, so the next ones begin when the ones before have ended. */
static double turns_s(uint32_t devices, uint32_t most, double device_s)
{
    return most == 0 || devices <= most ? 0 : (devices - 1) / most * device_s;
}

/* Returns the seconds until the last devices may begin where a limit per label
 * value applies: the value with the most devices decides. */
static double places_s(struct flo_rollout *rollout, uint32_t index, double device_s)
{
    double longest = 0;

    for (uint32_t i = 0; i < rollout->limit_count; i++) {
        memset(rollout->busy, 0, rollout->busy_count * sizeof(*rollout->busy));
        for (size_t m = 0; m < rollout->member_count; m++) {
            uint32_t slot = rollout->members[m].place.slots[i];
            if (rollout->members[m].phase == index && slot > 0 && slot <= rollout->busy_count) {
                double s = turns_s(++rollout->busy[slot - 1], rollout->limits[i].most, device_s);
                longest = s > longest ? s : longest;
            }
        }
    }
    return longest;
}

static double tell_s(struct flo_rollout *rollout, uint32_t index, uint32_t devices, double device_s)
{
    const struct flo_rollout_phase *phase = &rollout->phases[index];
    const double all[] = {pace_s(rollout, phase, devices, device_s),
                          turns_s(devices, rollout->concurrent_max, device_s),
                          turns_s(devices, phase->concurrent_max, device_s),
                          places_s(rollout, index, device_s)};
    double longest = 0;

    assert(index < rollout->phase_count && devices > 0);
    for (size_t i = 0; i < FLO_COUNT(all); i++) {
        longest = all[i] > longest ? all[i] : longest;
    }
    return longest;
}

/* ---- windows ---- */

/* Returns the time by which the time window has been open for work_ms since
 * from_ms. */
static uint64_t in_window(const struct flo_window *window, int32_t offset_s, uint64_t from_ms,
                          uint64_t work_ms)
{
    uint64_t at_ms = from_ms;

    assert(window->length_s > 0);
    for (int i = 0; i < CHANGES_MAX; i++) {
        uint64_t change_ms = at_ms;
        bool is_open = flo_window_is_open(window, offset_s, at_ms, &change_ms);
        if (is_open && (change_ms <= at_ms || change_ms - at_ms >= work_ms)) {
            return at_ms + work_ms;
        }
        if (change_ms <= at_ms || change_ms == UINT64_MAX) {
            break;
        }
        work_ms -= is_open ? change_ms - at_ms : 0;
        at_ms = change_ms;
    }
    return at_ms;
}

/* Returns the time when the last device is ordered to update.  Each zone has
 * its share of the pace; the last zone ends the phase. */
static uint64_t told_at(const struct flo_rollout *rollout, uint32_t index, uint32_t devices,
                        uint64_t from_ms, double work_s, struct flo_rollout_expected *out)
{
    uint32_t counts[FLO_ZONES_MAX + 1] = {0};
    uint64_t last_ms = from_ms;

    assert(devices > 0 && devices <= rollout->member_count);
    for (size_t i = 0; i < rollout->member_count; i++) {
        const struct flo_rollout_member *member = &rollout->members[i];
        counts[member->place.zone] += member->phase == index;
    }
    out->zoneless = counts[0];
    for (uint32_t zone = 1; zone <= FLO_ZONES_MAX; zone++) {
        if (counts[zone] > 0) {
            double share = work_s * counts[zone] / devices;
            uint64_t at_ms = in_window(&rollout->window, rollout->zones[zone - 1].offset_s, from_ms,
                                       (uint64_t)(share * 1000));
            last_ms = at_ms > last_ms ? at_ms : last_ms;
        }
    }
    return last_ms;
}

/* ---- all phases ---- */

static uint32_t members_of(const struct flo_rollout *rollout, uint32_t index)
{
    uint32_t count = 0;

    for (size_t i = 0; i < rollout->member_count; i++) {
        count += rollout->members[i].phase == index;
    }
    return count;
}

static uint64_t expect_phase(struct flo_rollout *rollout, uint32_t index,
                             const struct flo_rollout_trip *trip, uint64_t from_ms,
                             struct flo_rollout_expected *out)
{
    const struct flo_rollout_phase *phase = &rollout->phases[index];
    bool is_idle = trip->is_idle[index];
    uint64_t device_ms = is_idle ? 0 : trip->download_ms + trip->soak_ms;
    uint64_t jitter_ms = is_idle ? 0 : trip->jitter_ms;
    /* The start jitter delays a device by half of it on average.  Only the end
     * of the phase counts the whole jitter. */
    double device_s = (double)(device_ms + jitter_ms / 2) / 1000;

    assert(index < rollout->phase_count);
    from_ms += phase->is_hold_out ? phase->watch_ms : 0;
    *out =
        (struct flo_rollout_expected){.devices = members_of(rollout, index), .begins_ms = from_ms};
    if (out->devices == 0) {
        out->told_ms = out->ends_ms = from_ms;
        return from_ms;
    }
    double work_s = tell_s(rollout, index, out->devices, device_s);
    out->told_ms = rollout->window.length_s > 0
                       ? told_at(rollout, index, out->devices, from_ms, work_s, out)
                       : from_ms + (uint64_t)(work_s * 1000);
    out->ends_ms = out->told_ms + jitter_ms + device_ms + phase->soak_ms;
    return out->ends_ms;
}

void flo_rollout_expect(struct flo_rollout *rollout, const struct flo_rollout_trip *trip,
                        uint64_t wall_ms, struct flo_rollout_expected *out)
{
    uint64_t at_ms = rollout->start_at_ms > wall_ms ? rollout->start_at_ms : wall_ms;

    assert(trip != NULL && rollout->phase_count <= FLO_ROLLOUT_PHASES_MAX);
    for (uint32_t i = 0; i < rollout->phase_count; i++) {
        at_ms = expect_phase(rollout, i, trip, at_ms, &out[i]);
    }
}
