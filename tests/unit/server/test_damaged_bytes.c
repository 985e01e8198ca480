/* Bytes of evidence that the controller keeps, each one damaged or cut away: they are
 * refused, or what was read is written the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/mqtt.h>
#include <flotilla/metrics.h>

#include "server-stub/core/gate/observe/since.h"
#include "server-stub/core/telemetry/sketch.h"

#define BYTES_MAX 4096

struct seed {
    uint8_t data[BYTES_MAX];
    size_t bytes;
};

/* Seeds of the fuzz target. */
static void open_seed(const char *name, struct seed *out)
{
    char path[80];

    snprintf(path, sizeof(path), "tests/fuzz/corpora/kept/%s", name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    out->bytes = fread(out->data, 1, sizeof(out->data), file);
    fclose(file);
    assert_in_range(out->bytes, 1, sizeof(out->data) - 1);
}

typedef int take_fn(const uint8_t *data, size_t bytes);

/* How many of the damaged texts are refused. */
static size_t damage(struct seed *seed, take_fn *take)
{
    static const uint8_t others[] = {0, 1, 2, 7, 0x7f, 0x80, 0xf0, 0xff};
    size_t refused = 0;

    assert_int_equal(take(seed->data, seed->bytes), 0);
    for (size_t cut = 0; cut < seed->bytes; cut++) {
        assert_true(take(seed->data, cut) < 0);
    }
    assert_true(take(seed->data, seed->bytes + 1) < 0);
    for (size_t at = 0; at < seed->bytes; at++) {
        uint8_t before = seed->data[at];
        for (size_t i = 0; i < sizeof(others); i++) {
            seed->data[at] = others[i];
            refused += take(seed->data, seed->bytes) < 0 ? 1 : 0;
        }
        seed->data[at] = before;
    }
    return refused;
}

/* The evidence of a member; what is read gives finite numbers and its bytes again. */
static int take_member(const uint8_t *data, size_t bytes)
{
    static struct flo_kept_member kept;
    static struct flo_kept_member other;
    uint8_t once[FLO_KEPT_BYTES_MAX];
    uint8_t twice[FLO_KEPT_BYTES_MAX];
    struct flo_since_numbers numbers;
    struct flo_slope slope;
    struct flo_err err = {0};

    if (flo_kept_member_unpack(data, bytes, &kept, &err) < 0) {
        assert_int_equal(err.code, FLO_E_DB);
        return err.code;
    }
    kept.observed.readings = kept.has_readings ? &kept.readings : NULL;
    kept.since.speeds = kept.has_speeds ? kept.speeds : NULL;
    for (size_t p = 0; p < FLO_SCAN_WAVES_MAX && kept.has_since; p++) {
        if (flo_since_counted(&kept.since, p, &numbers)) {
            assert_true(numbers.errors >= 0 && numbers.requests >= 0 && numbers.hours >= 0);
        }
        flo_since_slope(&kept.since, &kept.readings.memory, p, &slope);
        assert_true(isfinite(slope.slope) && isfinite(slope.latest));
    }
    size_t first = flo_kept_member_pack(&kept.observed, kept.has_since ? &kept.since : NULL, once);
    assert_int_equal(flo_kept_member_unpack(once, first, &other, &err), 0);
    other.observed.readings = other.has_readings ? &other.readings : NULL;
    other.since.speeds = other.has_speeds ? other.speeds : NULL;
    size_t second =
        flo_kept_member_pack(&other.observed, other.has_since ? &other.since : NULL, twice);
    assert_int_equal(first, second);
    assert_memory_equal(once, twice, first);
    return 0;
}

static int take_waves(const uint8_t *data, size_t bytes)
{
    struct flo_kept_waves waves;
    uint8_t again[FLO_KEPT_WAVES_BYTES_MAX];
    struct flo_err err = {0};

    if (flo_kept_waves_unpack(data, bytes, &waves, &err) < 0) {
        assert_int_equal(err.code, FLO_E_DB);
        return err.code;
    }
    assert_int_equal(flo_kept_waves_pack(&waves, again), bytes);
    assert_memory_equal(again, data, bytes);
    return 0;
}

static void damaged_evidence_of_a_member_is_refused_or_written_again(void **state)
{
    static const char *const names[] = {"member", "memory", "counted"};
    static struct seed seed;

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        open_seed(names[i], &seed);
        assert_true(damage(&seed, take_member) > 100);
    }
}

static void damaged_waves_of_a_rollout_are_refused_or_written_again(void **state)
{
    static const char *const names[] = {"waves"};
    static struct seed seed;

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        open_seed(names[i], &seed);
        assert_true(damage(&seed, take_waves) > 20);
    }
}

/* ---- sketches of telemetry ---- */

static struct flo_sketch *sketch;

static int open_sketch(void **state)
{
    (void)state;
    sketch = calloc(2, sizeof(*sketch));
    return sketch == NULL;
}

static int close_sketch(void **state)
{
    (void)state;
    free(sketch);
    return 0;
}

static int take_sketch(const uint8_t *data, size_t bytes)
{
    static struct flo_histogram histogram;
    struct flo_sketch_number number;
    struct flo_err err = {0};

    flo_sketch_clear(sketch);
    int rv = flo_sketch_unpack(sketch, data, bytes, &err);
    assert_true(rv == 0 || err.code == rv);
    for (int m = 0; m < FLO_METRIC_COUNT && rv == 0; m++) {
        assert_int_equal(flo_sketch_pick(data, bytes, m, &number, &histogram, &err), 0);
        assert_int_equal(number.count > 0, sketch->has[m]);
    }
    return rv;
}

static void a_damaged_sketch_is_refused_or_each_metric_is_found(void **state)
{
    static struct flo_histogram histograms[FLO_METRICS_MAX];
    static struct flo_telemetry_window window = {.histograms = histograms};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) packed = {0};
    struct flo_sketch *made = &sketch[1];
    size_t refused = 0;

    (void)state;
    for (int m = 0; m < FLO_METRIC_COUNT; m++) {
        window.has[m] = true;
        window.values[m] = flo_metric_fact(m)->least;
        if (flo_metric_fact(m)->kind == FLO_METRIC_HISTOGRAM) {
            flo_histogram_add(&histograms[m], 900);
        }
    }
    flo_sketch_clear(made);
    flo_sketch_add(made, &window);
    window.values[0]++;
    flo_sketch_add(made, &window);
    flo_sketch_pack(made, &packed);
    uint8_t *data = (uint8_t *)packed.data;
    assert_int_equal(take_sketch(data, packed.bytes), 0);
    for (size_t cut = 0; cut < packed.bytes; cut++) {
        assert_int_equal(take_sketch(data, cut), FLO_E_MQTT_SCHEMA);
    }
    for (size_t at = 0; at < packed.bytes; at++) {
        uint8_t before = data[at];
        struct flo_err err = {0};
        struct flo_sketch_number number;
        data[at] = 0x80;
        flo_sketch_clear(sketch);
        refused += flo_sketch_unpack(sketch, data, packed.bytes, &err) < 0 ? 1 : 0;
        for (int m = 0; m < FLO_METRIC_COUNT; m++) {
            (void)!flo_sketch_pick(data, packed.bytes, m, &number, &histograms[0], &err);
        }
        data[at] = before;
    }
    assert_true(refused > packed.bytes / 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(damaged_evidence_of_a_member_is_refused_or_written_again),
        cmocka_unit_test(damaged_waves_of_a_rollout_are_refused_or_written_again),
        cmocka_unit_test(a_damaged_sketch_is_refused_or_each_metric_is_found),
    };
    return cmocka_run_group_tests(tests, open_sketch, close_sketch);
}
