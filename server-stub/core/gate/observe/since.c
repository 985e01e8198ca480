/* Since: see since.h. */
#include <assert.h>
#include <string.h>

#include "server-stub/core/gate/observe/since.h"

#define READINGS_MIN 3 /* since a wave */

/* ---- waves ---- */

static void begin_past(struct flo_since_past *past, const struct flo_observed *observed)
{
    struct flo_counters counters;

    flo_observed_counters(observed, &counters);
    past->errors = (float)counters.errors;
    past->requests = (float)counters.requests;
    past->hours = (uint8_t)__builtin_popcount(observed->hours_heard);
    past->died = (uint8_t)__builtin_popcount(observed->hours_died);
    past->is_known = true;
}

void flo_since_wave(struct flo_since *since, const struct flo_observed *observed, uint8_t wave,
                    uint32_t block)
{
    assert(wave < FLO_SCAN_WAVES_MAX);
    assert(block > 0);
    since->pasts[wave] = (struct flo_since_past){.at = since->total};
    begin_past(&since->pasts[wave], observed);
    since->memory[wave] =
        (struct flo_since_memory){.from = flo_observed_leak_from(observed, block)};
    for (int i = 0; i < FLO_SPEEDS && since->speeds != NULL; i++) {
        struct flo_since_speed *speed = &since->speeds[i];
        struct flo_since_wave *out = &speed->waves[wave];
        uint8_t bit = (uint8_t)(1u << wave);
        *out = (struct flo_since_wave){.at_sum = speed->total.sum, .at_count = speed->total.count};
        speed->known &= (uint8_t)~bit;
        speed->has_first &= (uint8_t)~bit;
        if (flo_observed_past(observed, (enum flo_observed_reading)i, block, &out->before,
                              &out->stratum)) {
            speed->known |= bit;
        }
    }
}

void flo_since_swap(struct flo_since *since, uint8_t wave)
{
    assert(wave < FLO_SCAN_WAVES_MAX);
    since->wave = (uint8_t)(wave + 1);
}

/* ---- windows ---- */

static void add(uint32_t *sum, uint64_t more)
{
    *sum += more < UINT32_MAX - *sum ? (uint32_t)more : UINT32_MAX - *sum;
}

bool flo_since_is_of(const struct flo_since *since, uint8_t waves)
{
    bool is_of = since->wave <= waves;

    assert(waves <= FLO_SCAN_WAVES_MAX);
    for (size_t p = waves; p < FLO_SCAN_WAVES_MAX; p++) {
        is_of = is_of && !since->pasts[p].is_known;
    }
    return is_of;
}

void flo_since_take(struct flo_since *since, const struct flo_observed *observed,
                    const struct flo_observed_window *window)
{
    uint32_t hour = window->block / FLO_BLOCKS_PER_HOUR + 1;

    if (since->wave > 0 || observed->arm != FLO_ARM_CONTROL || observed->is_busy) {
        return;
    }
    add(&since->total.errors, window->errors);
    add(&since->total.requests, window->requests);
    if (window->engine_ends > 0 && since->crashed != hour) {
        since->crashed = hour;
        add(&since->total.crashes, 1);
    }
}

/* ---- the end of a block ---- */

/* Adds a reading of a control to `total` less its daily curve.  `last` gets the
 * reading itself, because the three readings before a swap take only
 * minutes. */
static void read_control(struct flo_since_speed *speed, double x, double daily)
{
    assert(speed->last_count <= FLO_STEP_READINGS);
    flo_mean_add(&speed->total, x - daily);
    memmove(&speed->last[1], &speed->last[0], (FLO_STEP_READINGS - 1) * sizeof(speed->last[0]));
    speed->last[0] = x;
    speed->last_count =
        speed->last_count < FLO_STEP_READINGS ? speed->last_count + 1 : FLO_STEP_READINGS;
    unsigned open = speed->known & ~(unsigned)speed->has_first;
    for (; open != 0; open &= open - 1) {
        struct flo_since_wave *wave = &speed->waves[__builtin_ctz(open)];
        if (speed->total.count - wave->at_count == FLO_SLOW_READINGS) {
            wave->first = (speed->total.sum - wave->at_sum) / FLO_SLOW_READINGS;
            speed->has_first |= (uint8_t)(open & -open);
        }
    }
}

static void read_updated(struct flo_since_speed *speed, double x, double daily)
{
    if (speed->step.count < FLO_STEP_READINGS) {
        flo_mean_add(&speed->step, x);
    }
    if (speed->first.count < FLO_SLOW_READINGS) {
        flo_mean_add(&speed->first, x - daily);
    }
}

/* Stores, for each wave that begins, the sums of the device's memory readings
 * up to then.  The stored sums become 0 after a restart of the engine. */
static void read_memory(struct flo_since *since, const struct flo_slope_track *track,
                        uint32_t block)
{
    bool is_new = since->memory_from != track->from;

    since->memory_from = track->from;
    for (size_t p = 0; p < FLO_SCAN_WAVES_MAX; p++) {
        struct flo_since_memory *memory = &since->memory[p];
        if (memory->from != 0 && !memory->has_begun && block >= memory->from) {
            memory->has_begun = true;
            memory->at = track->all;
        } else if (is_new) {
            memory->at = (struct flo_slope_sums){0};
        }
    }
}

bool flo_since_read(struct flo_since *since, const struct flo_observed *observed, uint32_t block,
                    const double *curve)
{
    const struct flo_readings *readings = observed->readings;
    bool is_control = since->wave == 0;

    if (is_control && (observed->moved == block || observed->arm != FLO_ARM_CONTROL)) {
        return false;
    }
    if (is_control && observed->heard == block) {
        add(&since->total.blocks, 1);
    }
    if (is_control && readings != NULL) {
        read_memory(since, &readings->memory, block);
    }
    bool is_read =
        is_control || (observed->arm == FLO_ARM_TREATED && observed->release == observed->coming);
    for (int i = 0; i < FLO_SPEEDS && readings != NULL && is_read && since->speeds != NULL; i++) {
        if ((readings->fresh >> i & 1) != 0) {
            (is_control ? read_control : read_updated)(
                &since->speeds[i], readings->y[i] - curve[i],
                flo_observed_daily(observed, (enum flo_observed_reading)i, block));
        }
    }
    return true;
}

/* ---- for a comparison ---- */

bool flo_since_difference(const struct flo_since *since, size_t speed, size_t wave, double *d,
                          uint32_t *stratum)
{
    assert(speed < FLO_SPEEDS && wave < FLO_SCAN_WAVES_MAX);
    if (since->speeds == NULL) {
        return false;
    }
    const struct flo_since_speed *of = &since->speeds[speed];
    const struct flo_since_wave *at = &of->waves[wave];
    uint32_t count = of->total.count - at->at_count;

    if ((of->known >> wave & 1) == 0 || count < READINGS_MIN) {
        return false;
    }
    *d = (of->total.sum - at->at_sum) / count - at->before;
    *stratum = at->stratum;
    return true;
}

bool flo_since_first(const struct flo_since *since, size_t speed, size_t wave, double *d,
                     uint32_t *stratum)
{
    assert(speed < FLO_SPEEDS && wave < FLO_SCAN_WAVES_MAX);
    if (since->speeds == NULL || (since->speeds[speed].has_first >> wave & 1) == 0) {
        return false;
    }
    const struct flo_since_wave *at = &since->speeds[speed].waves[wave];
    *d = at->first - at->before;
    *stratum = at->stratum;
    return true;
}

bool flo_since_step(const struct flo_since *since, size_t speed, double *step)
{
    double before = 0;

    assert(speed < FLO_SPEEDS);
    if (since->speeds == NULL || since->wave == 0) {
        return false;
    }
    const struct flo_since_speed *of = &since->speeds[speed];
    if (of->last_count < FLO_STEP_READINGS || of->step.count < FLO_STEP_READINGS) {
        return false;
    }
    for (size_t i = 0; i < FLO_STEP_READINGS; i++) {
        before += of->last[i] / FLO_STEP_READINGS;
    }
    *step = flo_mean_of(&of->step) - before;
    return true;
}

void flo_since_slope(const struct flo_since *since, const struct flo_slope_track *track,
                     size_t wave, struct flo_slope *out)
{
    const struct flo_since_memory *memory = &since->memory[wave];

    assert(wave < FLO_SCAN_WAVES_MAX);
    *out = (struct flo_slope){0};
    if (memory->from == 0) {
        flo_slope_read(track, out);
    } else if (memory->has_begun && since->memory_from == track->from) {
        flo_slope_read_since(track, &memory->at, out);
    }
}

/* Finds the device's past as it was when wave `wave` began.  If the device was
 * no control then, it is the past at the next wave that the device saw begin.
 * If there is none, it is that at the last wave before. */
static const struct flo_since_past *past_of(const struct flo_since *since, size_t wave)
{
    const struct flo_since_past *found = NULL;

    assert(wave < FLO_SCAN_WAVES_MAX);
    for (size_t p = 0; p < FLO_SCAN_WAVES_MAX; p++) {
        const struct flo_since_past *one = &since->pasts[p];
        if (one->is_known && (found == NULL || p <= wave || found < &since->pasts[wave])) {
            found = one;
        }
    }
    return found;
}

bool flo_since_counted(const struct flo_since *since, size_t wave, struct flo_since_numbers *out)
{
    const struct flo_since_past *past = past_of(since, wave);

    if (past == NULL) {
        return false;
    }
    *out = (struct flo_since_numbers){.errors = since->total.errors - past->at.errors,
                                      .requests = since->total.requests - past->at.requests,
                                      .crashes = since->total.crashes - past->at.crashes,
                                      .hours = (double)(since->total.blocks - past->at.blocks) /
                                               FLO_BLOCKS_PER_HOUR,
                                      .errors_before = (double)past->errors,
                                      .requests_before = (double)past->requests,
                                      .crashes_before = past->died,
                                      .hours_before = past->hours};
    return true;
}
