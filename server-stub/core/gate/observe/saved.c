/* Observed: as bytes, to be kept across a start of the controller.
 *
 *   u8  format 1, flags (bit 0: has readings)
 *   the numbers of FIELDS, then three tallies
 *   for each reading: base, before, after, newest as (f64 sum, u32 count), u32
 *
 * little-endian.  Readings are in the order of readings.def, so their number
 * stands before them. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "server-stub/core/gate/observe/observed.h"

#define FORMAT 1
#define HAS_READINGS 1

/* One way for both directions: a number is written to `out`, or read from
 * `in`. */
struct cursor {
    uint8_t *out; /* NULL: reading */
    const uint8_t *in;
    size_t at;
    size_t bytes;
    bool is_broken;
};

static bool has_room(struct cursor *cursor, size_t bytes)
{
    cursor->is_broken = cursor->is_broken || cursor->bytes - cursor->at < bytes;
    return !cursor->is_broken;
}

static void u32(struct cursor *cursor, uint32_t *value)
{
    if (!has_room(cursor, 4)) {
        return;
    }
    if (cursor->out != NULL) {
        flo_put_u32(cursor->out + cursor->at, *value);
    } else {
        *value = flo_get_u32(cursor->in + cursor->at);
    }
    cursor->at += 4;
}

static void u8(struct cursor *cursor, uint8_t *value)
{
    if (!has_room(cursor, 1)) {
        return;
    }
    if (cursor->out != NULL) {
        cursor->out[cursor->at] = *value;
    } else {
        *value = cursor->in[cursor->at];
    }
    cursor->at++;
}

static void truth(struct cursor *cursor, bool *value)
{
    uint8_t byte = *value ? 1 : 0;

    u8(cursor, &byte);
    *value = byte == 1;
    cursor->is_broken = cursor->is_broken || byte > 1;
}

static void real(struct cursor *cursor, double *value)
{
    uint64_t bits;

    if (!has_room(cursor, 8)) {
        return;
    }
    if (cursor->out != NULL) {
        memcpy(&bits, value, sizeof(bits));
        flo_put_u64(cursor->out + cursor->at, bits);
    } else {
        bits = flo_get_u64(cursor->in + cursor->at);
        memcpy(value, &bits, sizeof(*value));
        cursor->is_broken = cursor->is_broken || !isfinite(*value);
    }
    cursor->at += 8;
}

static void mean(struct cursor *cursor, struct flo_mean *value)
{
    real(cursor, &value->sum);
    u32(cursor, &value->count);
}

static void tally(struct cursor *cursor, struct flo_tally *value)
{
    real(cursor, &value->errors);
    real(cursor, &value->requests);
    u32(cursor, &value->blocks);
    cursor->is_broken =
        cursor->is_broken || value->errors < 0 || value->requests < 0;
}

static void fields(struct cursor *cursor, struct flo_observed *observed)
{
    uint32_t crashes = observed->crashes;
    uint32_t *numbers[] = {&observed->release, &observed->former,
                           &observed->rollout, &observed->split,
                           &observed->heard,   &observed->read,
                           &observed->crashed, &observed->hour,
                           &observed->early,   &crashes};
    uint8_t *bytes[] = {&observed->hours_heard,  &observed->hours_died,
                        &observed->before_heard, &observed->before_died,
                        &observed->arm,          &observed->segment,
                        &observed->phase};

    for (size_t i = 0; i < FLO_COUNT(numbers); i++) {
        u32(cursor, numbers[i]);
    }
    for (size_t i = 0; i < FLO_COUNT(bytes); i++) {
        u8(cursor, bytes[i]);
    }
    cursor->is_broken = cursor->is_broken || crashes > UINT16_MAX;
    observed->crashes = (uint16_t)crashes;
    truth(cursor, &observed->is_busy);
    truth(cursor, &observed->is_silent);
    truth(cursor, &observed->died_early);
    tally(cursor, &observed->base);
    tally(cursor, &observed->before);
    tally(cursor, &observed->since);
    cursor->is_broken = cursor->is_broken || observed->arm > FLO_ARM_LEFT;
}

static void all_series(struct cursor *cursor, struct flo_readings *readings)
{
    uint8_t count = FLO_READING_COUNT;

    u8(cursor, &count);
    cursor->is_broken = cursor->is_broken || count != FLO_READING_COUNT;
    for (int i = 0; i < FLO_READING_COUNT && !cursor->is_broken; i++) {
        struct flo_series *series = &readings->series[i];
        mean(cursor, &series->base);
        mean(cursor, &series->before);
        mean(cursor, &series->after);
        mean(cursor, &series->newest);
        u32(cursor, &series->since);
    }
}

size_t flo_observed_pack(const struct flo_observed *observed, uint8_t *out)
{
    struct flo_observed copy = *observed;
    struct cursor cursor = {.out = out, .bytes = FLO_OBSERVED_BYTES_MAX};
    uint8_t format = FORMAT;
    uint8_t flags = observed->readings != NULL ? HAS_READINGS : 0;

    u8(&cursor, &format);
    u8(&cursor, &flags);
    fields(&cursor, &copy);
    if (flags != 0) {
        all_series(&cursor, observed->readings);
    }
    assert(!cursor.is_broken);
    return cursor.at;
}

int flo_observed_unpack(const uint8_t *data, size_t bytes,
                        struct flo_observed *observed,
                        struct flo_readings *readings, bool *has_readings,
                        struct flo_err *err)
{
    struct cursor cursor = {.in = data, .bytes = bytes};
    uint8_t format = 0;
    uint8_t flags = 0;

    memset(observed, 0, sizeof(*observed));
    memset(readings, 0, sizeof(*readings));
    u8(&cursor, &format);
    u8(&cursor, &flags);
    fields(&cursor, observed);
    *has_readings = (flags & HAS_READINGS) != 0;
    if (*has_readings) {
        all_series(&cursor, readings);
    }
    if (cursor.is_broken || format != FORMAT || flags > HAS_READINGS ||
        cursor.at != bytes) {
        return flo_fail(err, FLO_E_DB,
                        "evidence of a device: %zu bytes of format %u cannot "
                        "be read",
                        bytes, format);
    }
    return 0;
}
