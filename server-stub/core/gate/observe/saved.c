/* Observed: packs a record as bytes, which survive a restart of the controller.
 *
 *   u8  format 3, flags (bit 0: has readings)
 *   the numbers of FIELDS, then two tallies, then u8 pasts, each of them
 *   u32 release, u32 heard and counters
 *   for each reading: u8 levels, each of them u32 release, u32 last, a mean
 *   and a day; then u32 running, u32 warm_from; before, first, after,
 *   newest as means; f64 curve, u32 since, u8 reference, u32 stratum
 *   for each reading but the last: f32 base, u8 hours, each of them u8 hour,
 *   u8 count, i16 mean; then the daily curve as f32: 4 and `before`
 *   u8 1 when the daily curves are fixed; u32 from, f64 base and three sums of
 *   memory
 *
 * Format 2 is read too; it has no days, hours, daily curves, `leak_from` and
 * memory.  Format 1 is read too; it has one base for `release` and one for
 * `former`, and no `coming` and `moved` either.
 *
 * A mean is f64 sum, u32 count; a day four i16; a sum u32 count and four f64.
 * Little-endian.  Readings are in the order of readings.def, after their
 * count. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "server-stub/core/gate/observe/bytes.h"
#include "server-stub/core/gate/observe/observed.h"

#define FORMAT 3
#define FORMAT_OF_LEVELS 2
#define FORMAT_OF_BASES 1
#define HAS_READINGS 1

static void i16(struct flo_bytes *cursor, int16_t *value)
{
    uint16_t bits = (uint16_t)*value;
    uint8_t bytes[2] = {(uint8_t)bits, (uint8_t)(bits >> 8)};

    flo_bytes_u8(cursor, &bytes[0]);
    flo_bytes_u8(cursor, &bytes[1]);
    bits = (uint16_t)(bytes[0] | bytes[1] << 8);
    memcpy(value, &bits, sizeof(bits));
}

static void half(struct flo_bytes *cursor, float *value)
{
    uint32_t bits;

    memcpy(&bits, value, sizeof(bits));
    flo_bytes_u32(cursor, &bits);
    memcpy(value, &bits, sizeof(bits));
    cursor->is_broken = cursor->is_broken || (cursor->out == NULL && !isfinite(*value));
}

static void counters(struct flo_bytes *cursor, struct flo_counters *value)
{
    flo_bytes_real(cursor, &value->errors);
    flo_bytes_real(cursor, &value->requests);
    flo_bytes_u32(cursor, &value->blocks);
    cursor->is_broken = cursor->is_broken || value->errors < 0 || value->requests < 0;
}

static void fields(struct flo_bytes *cursor, struct flo_observed *observed, uint8_t format)
{
    uint32_t crashes = observed->crashes;
    uint32_t leak_from = observed->leak_from;
    uint32_t *numbers[] = {&observed->release, &observed->former, &observed->coming,
                           &observed->rollout, &observed->split,  &observed->moved,
                           &observed->heard,   &observed->read,   &observed->crashed,
                           &observed->hour,    &observed->early,  &crashes,
                           &leak_from};
    uint8_t *bytes[] = {&observed->hours_heard, &observed->hours_died, &observed->before_heard,
                        &observed->before_died, &observed->arm,        &observed->segment,
                        &observed->phase};

    for (size_t i = 0; i < FLO_COUNT(numbers); i++) {
        uint8_t since = numbers[i] == &leak_from ? FORMAT
                        : numbers[i] == &observed->coming || numbers[i] == &observed->moved
                            ? FORMAT_OF_LEVELS
                            : FORMAT_OF_BASES;
        if (format >= since) {
            flo_bytes_u32(cursor, numbers[i]);
        }
    }
    for (size_t i = 0; i < FLO_COUNT(bytes); i++) {
        flo_bytes_u8(cursor, bytes[i]);
    }
    cursor->is_broken = cursor->is_broken || crashes > UINT16_MAX || leak_from > UINT16_MAX;
    observed->crashes = (uint16_t)crashes;
    observed->leak_from = (uint16_t)leak_from;
    flo_bytes_truth(cursor, &observed->is_busy);
    flo_bytes_truth(cursor, &observed->is_silent);
    flo_bytes_truth(cursor, &observed->died_early);
    if (format == FORMAT_OF_BASES) {
        observed->pasts[0].release = observed->release;
        observed->pasts[0].heard = observed->heard;
        counters(cursor, &observed->pasts[0].counters);
    }
    counters(cursor, &observed->before);
    counters(cursor, &observed->since);
    cursor->is_broken = cursor->is_broken || observed->arm > FLO_ARM_LEFT;
}

/* Reads or writes the `release` with which entry `i` of a table begins.
 * Returns false for an entry that is unused or broken, or behind the last
 * one. */
static bool next_place(struct flo_bytes *cursor, uint8_t count, int i, uint32_t *release)
{
    assert(i >= 0 && i < FLO_LEVELS_MAX);
    if (cursor->out != NULL && *release == 0) {
        return false;
    }
    if (cursor->out == NULL && i >= count) {
        return false;
    }
    flo_bytes_u32(cursor, release);
    cursor->is_broken = cursor->is_broken || *release == 0;
    return !cursor->is_broken;
}

static void all_pasts(struct flo_bytes *cursor, struct flo_observed *observed)
{
    uint8_t count = 0;

    for (int i = 0; i < FLO_LEVELS_MAX; i++) {
        count = (uint8_t)(count + (observed->pasts[i].release != 0 ? 1 : 0));
    }
    flo_bytes_u8(cursor, &count);
    cursor->is_broken = cursor->is_broken || count > FLO_LEVELS_MAX;
    for (int i = 0; i < FLO_LEVELS_MAX; i++) {
        struct flo_past *past = &observed->pasts[i];
        if (next_place(cursor, count, i, &past->release)) {
            flo_bytes_u32(cursor, &past->heard);
            counters(cursor, &past->counters);
        }
    }
}

static void all_levels(struct flo_bytes *cursor, struct flo_level_table *table, uint8_t format)
{
    uint8_t count = 0;

    for (int i = 0; i < FLO_LEVELS_MAX; i++) {
        count = (uint8_t)(count + (table->levels[i].release != 0 ? 1 : 0));
    }
    flo_bytes_u8(cursor, &count);
    cursor->is_broken = cursor->is_broken || count > FLO_LEVELS_MAX;
    for (int i = 0; i < FLO_LEVELS_MAX; i++) {
        struct flo_level *level = &table->levels[i];
        if (next_place(cursor, count, i, &level->release)) {
            flo_bytes_u32(cursor, &level->last);
            flo_bytes_mean(cursor, &level->mean);
            for (int k = 0; k < 4 && format == FORMAT; k++) {
                i16(cursor, &level->day[k]);
            }
        }
    }
    flo_bytes_u32(cursor, &table->running);
    flo_bytes_u32(cursor, &table->warm_from);
}

/* Reads the baselines of an old format.  Each becomes the level of the release
 * that ran. */
static void old_series(struct flo_bytes *cursor, const struct flo_observed *observed,
                       struct flo_readings *readings, int reading)
{
    struct flo_series *series = &readings->series[reading];
    struct flo_level_table *table = &readings->levels[reading];
    struct flo_level levels[] = {{.release = observed->release, .last = observed->read},
                                 {.release = observed->former, .last = observed->split}};

    assert(reading >= 0 && reading < FLO_READING_COUNT);
    flo_bytes_mean(cursor, &levels[0].mean);
    flo_bytes_mean(cursor, &series->before);
    flo_bytes_mean(cursor, &series->after);
    flo_bytes_mean(cursor, &series->newest);
    flo_bytes_u32(cursor, &series->since);
    levels[1].mean = series->first = series->before;
    cursor->is_broken =
        cursor->is_broken || series->after.count > UINT32_MAX - series->newest.count;
    series->since = series->after.count + series->newest.count;
    readings->reference[reading] =
        series->before.count >= FLO_LEVEL_FULL ? FLO_REFERENCE_OWN : FLO_REFERENCE_NONE;
    /* a control has one level only: it runs the same release before and after
     * its comparison begins */
    size_t count = observed->arm == FLO_ARM_CONTROL ? 1 : FLO_COUNT(levels);
    for (size_t i = 0; i < count; i++) {
        if (levels[i].release != 0 && levels[i].mean.count > 0) {
            table->levels[i] = levels[i];
        }
    }
    table->running = observed->release;
}

/* Reads or writes all baselines.  Old formats lack the readings of batch
 * requests, which were added last. */
static void all_bases(struct flo_bytes *cursor, const struct flo_observed *observed,
                      struct flo_readings *readings, uint8_t count)
{
    uint8_t known = FLO_READING_COUNT - 1;

    cursor->is_broken = cursor->is_broken || count < known || count > FLO_READING_COUNT;
    for (int i = 0; i < count && !cursor->is_broken; i++) {
        bool is_after = count == known && i >= FLO_READING_BATCH_TOKEN;
        old_series(cursor, observed, readings, is_after ? i + 1 : i);
    }
}

/* Reads or writes those hours of a daily curve that have readings, in order. */
static void hours(struct flo_bytes *cursor, struct flo_shape_kept *kept)
{
    uint8_t count = 0;
    uint8_t next = 0;

    half(cursor, &kept->base);
    for (uint8_t h = 0; h < FLO_SHAPE_HOURS; h++) {
        count = (uint8_t)(count + (kept->counts[h] > 0 ? 1 : 0));
    }
    flo_bytes_u8(cursor, &count);
    for (uint8_t i = 0; i < count && !cursor->is_broken; i++) {
        uint8_t hour = next;
        while (cursor->out != NULL && kept->counts[hour] == 0) {
            hour++;
        }
        flo_bytes_u8(cursor, &hour);
        if (hour < next || hour >= FLO_SHAPE_HOURS) {
            cursor->is_broken = true;
            return;
        }
        flo_bytes_u8(cursor, &kept->counts[hour]);
        i16(cursor, &kept->hours[hour]);
        cursor->is_broken = cursor->is_broken || kept->counts[hour] == 0 ||
                            kept->counts[hour] >= FLO_SHAPE_READINGS_MAX;
        next = (uint8_t)(hour + 1);
    }
}

static void sums(struct flo_bytes *cursor, struct flo_slope_sums *value)
{
    flo_bytes_u32(cursor, &value->count);
    flo_bytes_real(cursor, &value->t);
    flo_bytes_real(cursor, &value->t2);
    flo_bytes_real(cursor, &value->y);
    flo_bytes_real(cursor, &value->ty);
}

static void all_days(struct flo_bytes *cursor, struct flo_readings *readings)
{
    struct flo_slope_track *memory = &readings->memory;

    for (int i = 0; i < FLO_SHAPES; i++) {
        hours(cursor, &readings->shapes[i]);
        for (int k = 0; k < 4; k++) {
            float *at = &readings->daily[i].at[k];
            half(cursor, at);
            cursor->is_broken = cursor->is_broken || fabs((double)*at) > FLO_SHAPE_DAILY_MAX;
        }
        half(cursor, &readings->daily[i].before);
    }
    flo_bytes_truth(cursor, &readings->has_daily);
    flo_bytes_u32(cursor, &memory->from);
    flo_bytes_real(cursor, &memory->base);
    sums(cursor, &memory->all);
    sums(cursor, &memory->latest);
    sums(cursor, &memory->newest);
    cursor->is_broken = cursor->is_broken ||
                        memory->all.count < (uint64_t)memory->latest.count + memory->newest.count;
}

static void all_series(struct flo_bytes *cursor, struct flo_readings *readings,
                       const struct flo_observed *observed, uint8_t format)
{
    uint8_t count = FLO_READING_COUNT;

    flo_bytes_u8(cursor, &count);
    if (format == FORMAT_OF_BASES) {
        all_bases(cursor, observed, readings, count);
        return;
    }
    cursor->is_broken = cursor->is_broken || count != FLO_READING_COUNT;
    for (int i = 0; i < FLO_READING_COUNT && !cursor->is_broken; i++) {
        struct flo_series *series = &readings->series[i];
        all_levels(cursor, &readings->levels[i], format);
        flo_bytes_mean(cursor, &series->before);
        flo_bytes_mean(cursor, &series->first);
        flo_bytes_mean(cursor, &series->after);
        flo_bytes_mean(cursor, &series->newest);
        flo_bytes_real(cursor, &series->curve);
        flo_bytes_u32(cursor, &series->since);
        flo_bytes_u8(cursor, &readings->reference[i]);
        flo_bytes_u32(cursor, &readings->stratum[i]);
        cursor->is_broken = cursor->is_broken || readings->reference[i] > FLO_REFERENCE_THIN ||
                            series->since < (uint64_t)series->after.count + series->newest.count ||
                            series->before.count < series->first.count;
    }
    if (format == FORMAT) {
        all_days(cursor, readings);
    }
}

size_t flo_observed_pack(const struct flo_observed *observed, uint8_t *out)
{
    struct flo_observed copy = *observed;
    struct flo_bytes cursor = {.out = out, .bytes = FLO_OBSERVED_BYTES_MAX};
    uint8_t format = FORMAT;
    uint8_t flags = observed->readings != NULL ? HAS_READINGS : 0;

    assert(observed->arm <= FLO_ARM_LEFT);
    flo_bytes_u8(&cursor, &format);
    flo_bytes_u8(&cursor, &flags);
    fields(&cursor, &copy, FORMAT);
    all_pasts(&cursor, &copy);
    if (flags != 0) {
        all_series(&cursor, observed->readings, observed, FORMAT);
    }
    assert(!cursor.is_broken);
    return cursor.at;
}

int flo_observed_unpack(const uint8_t *data, size_t bytes, struct flo_observed *observed,
                        struct flo_readings *readings, bool *has_readings, struct flo_err *err)
{
    struct flo_bytes cursor = {.in = data, .bytes = bytes};
    uint8_t format = 0;
    uint8_t flags = 0;

    memset(observed, 0, sizeof(*observed));
    memset(readings, 0, sizeof(*readings));
    flo_bytes_u8(&cursor, &format);
    flo_bytes_u8(&cursor, &flags);
    fields(&cursor, observed, format);
    if (format > FORMAT_OF_BASES) {
        all_pasts(&cursor, observed);
    }
    *has_readings = (flags & HAS_READINGS) != 0;
    if (*has_readings) {
        all_series(&cursor, readings, observed, format);
    }
    if (format < FORMAT_OF_BASES || format > FORMAT || flags > HAS_READINGS || cursor.is_broken ||
        cursor.at != bytes) {
        return flo_fail(err, FLO_E_DB,
                        "evidence of a device: %zu bytes of format %u cannot "
                        "be read",
                        bytes, format);
    }
    return 0;
}
