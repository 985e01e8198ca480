/* Statistical gates: each row of the golden vectors is a test of its own, and
 * what must hold for any numbers.
 *
 * FLOTILLA_GATE_VECTORS names another file of vectors. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <flotilla/errors/gate.h>

#include "server-stub/core/gate/statistics/numbers.h"
#include "server-stub/core/gate/statistics/phase.h"
#include "server-stub/core/gate/statistics/record.h"
#include "server-stub/core/gate/statistics/robust.h"
#include "server-stub/core/gate/statistics/series.h"
#include "tests/unit/server/vectors.h"

#define VECTORS "tests/golden/gates/vectors.jsonl"
#define VECTORS_HERE 227

/* ---- kinds that the record does not store ---- */

static double number_of(const json_t *json, const char *key)
{
    return json_number_value(json_object_get(json, key));
}

static json_t *read_out(const json_t *input)
{
    const json_t *given = json_object_get(input, "buckets");
    size_t count = json_array_size(given);
    struct flo_bucket *buckets = calloc(count + 1, sizeof(*buckets));
    double value;

    for (size_t i = 0; i < count; i++) {
        const json_t *pair = json_array_get(given, i);
        buckets[i] = (struct flo_bucket){(uint32_t)json_integer_value(json_array_get(pair, 0)),
                                         (uint32_t)json_integer_value(json_array_get(pair, 1))};
    }
    bool is_read = flo_buckets_quantile(buckets, count, number_of(input, "q"),
                                        (uint64_t)number_of(input, "least"), &value);
    free(buckets);
    return is_read ? json_pack("{s:f,s:f}", "value", value, "log", log(value))
                   : json_pack("{s:n}", "value");
}

static enum flo_verdict verdict_of(const char *word)
{
    return strcmp(word, "fail") == 0   ? FLO_VERDICT_FAIL
           : strcmp(word, "pass") == 0 ? FLO_VERDICT_PASS
                                       : FLO_VERDICT_INCONCLUSIVE;
}

static json_t *judge_phase(const json_t *input)
{
    const json_t *given = json_object_get(input, "gates");
    struct flo_phase_gate gates[64] = {0};
    size_t count = json_array_size(given);
    const json_t *most = json_object_get(input, "max_soak_s");
    size_t gate;

    assert_true(count <= FLO_COUNT(gates));
    for (size_t i = 0; i < count; i++) {
        const json_t *one = json_array_get(given, i);
        const json_t *result = json_object_get(one, "result");
        gates[i] = (struct flo_phase_gate){
            .verdict = verdict_of(json_string_value(json_object_get(result, "verdict"))),
            .ln_e = number_of(result, "ln_e"),
            .weight = number_of(one, "weight"),
            .is_critical = json_is_true(json_object_get(one, "critical"))};
    }
    enum flo_phase_verdict verdict =
        flo_phase_judge(gates, count, number_of(input, "soaked_s"), number_of(input, "soak_s"),
                        most != NULL ? json_number_value(most) : INFINITY, &gate);
    json_t *name = gate == FLO_PHASE_NO_GATE
                       ? json_null()
                       : json_incref(json_object_get(json_array_get(given, gate), "id"));
    return json_pack("{s:s,s:o}", "verdict", flo_phase_verdict_word(verdict), "gate", name);
}

/* ---- block by block ---- */

#define BUILD_SEGMENTS_MAX 64

struct device {
    const json_t *y;
    const char *segment;
    int64_t swap; /* INT64_MAX: a control */
    struct flo_mean base;
    struct flo_series series;
};
struct fleet {
    struct device *devices;
    size_t count;
    const char *segments[BUILD_SEGMENTS_MAX]; /* sorted */
    size_t segment_count;
    struct flo_curve curves[BUILD_SEGMENTS_MAX];
    json_t *values[BUILD_SEGMENTS_MAX];
};

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void add_segment(struct fleet *fleet, const char *name)
{
    for (size_t i = 0; i < fleet->segment_count; i++) {
        if (strcmp(fleet->segments[i], name) == 0) {
            return;
        }
    }
    assert_true(fleet->segment_count < BUILD_SEGMENTS_MAX);
    fleet->segments[fleet->segment_count++] = name;
}

static void read_fleet(const json_t *input, struct fleet *fleet)
{
    const json_t *devices = json_object_get(input, "devices");

    fleet->count = json_array_size(devices);
    fleet->devices = calloc(fleet->count + 1, sizeof(*fleet->devices));
    for (size_t i = 0; i < fleet->count; i++) {
        const json_t *one = json_array_get(devices, i);
        const json_t *swap = json_object_get(one, "swap");
        fleet->devices[i] =
            (struct device){.y = json_object_get(one, "y"),
                            .segment = json_string_value(json_object_get(one, "segment")),
                            .swap = json_is_integer(swap) ? json_integer_value(swap) : INT64_MAX};
        add_segment(fleet, fleet->devices[i].segment);
    }
    qsort(fleet->segments, fleet->segment_count, sizeof(fleet->segments[0]), by_text);
    for (size_t s = 0; s < fleet->segment_count; s++) {
        fleet->values[s] = json_array();
    }
}

static bool reads(const struct device *device, size_t block, double *y)
{
    const json_t *value = json_array_get(device->y, block);

    *y = json_number_value(value);
    return json_is_number(value);
}

static void take_block(struct fleet *fleet, size_t s, size_t block, int64_t split)
{
    struct flo_curve *curve = &fleet->curves[s];
    double *off = calloc(2 * fleet->count + 1, sizeof(*off));
    size_t members = 0;
    double y;

    for (size_t i = 0; i < fleet->count; i++) {
        struct device *device = &fleet->devices[i];
        if (strcmp(device->segment, fleet->segments[s]) == 0 && (int64_t)block < device->swap &&
            reads(device, block, &y) && device->base.count > 0) {
            off[members++] = y - flo_mean_of(&device->base);
        }
    }
    flo_curve_end(curve, off, off + members, members);
    free(off);
    json_array_append_new(fleet->values[s], json_real(curve->value));
    for (size_t i = 0; i < fleet->count; i++) {
        struct device *device = &fleet->devices[i];
        bool is_control = device->swap == INT64_MAX;
        int64_t from = is_control ? split : device->swap;
        if (strcmp(device->segment, fleet->segments[s]) != 0) {
            continue;
        }
        if ((int64_t)block == from) {
            flo_series_split(&device->series, &device->base);
        }
        if (reads(device, block, &y)) {
            if ((int64_t)block >= from) {
                flo_series_after(&device->series, y - curve->value, curve->value, false);
            }
            if (is_control || (int64_t)block < from) {
                flo_mean_add(&device->base, y - curve->value);
            }
        }
    }
}

static json_t *arm_json(const struct flo_ratio_arm *arm, uint64_t clipped, uint64_t slow)
{
    return json_pack("{s:I,s:f,s:f,s:I,s:I}", "n", (json_int_t)arm->devices, "mean", arm->mean,
                     "m2", arm->m2, "clipped", (json_int_t)clipped, "slow", (json_int_t)slow);
}

static json_t *arms_of(const struct fleet *fleet, size_t s, const json_t *input)
{
    struct flo_difference *items = calloc(fleet->count + 1, sizeof(*items));
    double *scratch = calloc(fleet->count + 1, sizeof(*scratch));
    struct flo_arms out;
    size_t count = 0;

    for (size_t i = 0; i < fleet->count; i++) {
        const struct device *device = &fleet->devices[i];
        if (strcmp(device->segment, fleet->segments[s]) == 0 &&
            flo_series_difference(&device->series, (uint32_t)number_of(input, "min_before"),
                                  (uint32_t)number_of(input, "min_after"), &items[count].d)) {
            items[count++].is_treated = device->swap != INT64_MAX;
        }
    }
    flo_arms_build(items, count, scratch, &out);
    free(items);
    free(scratch);
    return json_pack("{s:s,s:o,s:o}", "segment", fleet->segments[s], "treated",
                     arm_json(&out.arms.treated, out.clipped_treated, out.slow_treated), "control",
                     arm_json(&out.arms.control, out.clipped_control, out.slow_control));
}

static json_t *build(const json_t *input)
{
    struct fleet fleet = {0};
    json_t *segments = json_array();
    json_t *curves = json_array();

    read_fleet(input, &fleet);
    size_t blocks = json_array_size(fleet.devices[0].y);
    for (size_t s = 0; s < fleet.segment_count; s++) {
        for (size_t block = 0; block < blocks; block++) {
            take_block(&fleet, s, block, (int64_t)number_of(input, "split"));
        }
        json_array_append_new(segments, arms_of(&fleet, s, input));
        json_array_append_new(curves, fleet.values[s]);
    }
    free(fleet.devices);
    return json_pack("{s:o,s:o}", "segments", segments, "curves", curves);
}

/* ---- rows ---- */

static json_t *answer(const char *kind, const json_t *input)
{
    struct flo_err err = {0};
    json_t *out = NULL;

    if (strcmp(kind, "readout") == 0) {
        return read_out(input);
    }
    if (strcmp(kind, "phase") == 0) {
        return judge_phase(input);
    }
    if (strcmp(kind, "build") == 0) {
        return build(input);
    }
    if (flo_statistic_replay(input, &out, &err) < 0) {
        assert_int_equal(err.code, FLO_E_GATE_EVIDENCE);
        assert_true(strlen(err.what) > 0);
        return json_pack("{s:s}", "error", "evidence");
    }
    return out;
}

/* A test that was written and read gives the same result. */
static void a_test_survives_its_record(const json_t *input)
{
    json_t *first = NULL;
    json_t *again = NULL;
    char *text;
    struct flo_err err = {0};

    if (flo_statistic_replay(input, &first, &err) < 0) {
        return;
    }
    text = json_dumps(input, JSON_REAL_PRECISION(17));
    json_t *read = json_loads(text, 0, NULL);
    assert_int_equal(flo_statistic_replay(read, &again, &err), 0);
    assert_true(json_equal(first, again));
    json_decref(first);
    json_decref(again);
    json_decref(read);
    free(text);
}

/* ---- without change ---- */

static uint64_t seed = 190001;

static double uniform(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return ((double)(seed >> 11) + 0.5) / 9007199254740992.0;
}

static double normal(void)
{
    return sqrt(-2 * log(uniform())) * cos(2 * M_PI * uniform());
}

/* Chi-squared by normals when few, else by its cube. */
static double chi_squared(int freedom)
{
    double sum = 0;

    if (freedom > 40) {
        double k = 2.0 / (9 * freedom);
        return freedom * pow(1 - k + sqrt(k) * normal(), 3);
    }
    for (int i = 0; i < freedom; i++) {
        double z = normal();
        sum += z * z;
    }
    return sum;
}

static const struct flo_ratio_rule ratio_rule = {.limit_pct = 3,
                                                 .prove_pct = 12,
                                                 .alpha = 0.03,
                                                 .weight = 0.2,
                                                 .devices_min = 5,
                                                 .controls_min = 20};

static struct flo_ratio_segment draw(int treated, int control, double sd)
{
    double v = sd * sd;

    return (struct flo_ratio_segment){
        .treated = {treated, sd * normal() / sqrt(treated), v * chi_squared(treated - 1)},
        .control = {control, sd * normal() / sqrt(control), v * chi_squared(control - 1)}};
}

#define DRAWS 100000

static void equal_arms_rarely_give_much_evidence(void **state)
{
    static const int designs[][2] = {{5, 20}, {20, 400}, {200, 200}};
    struct flo_ratio_result result;

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(designs); i++) {
        size_t many = 0;
        for (int k = 0; k < DRAWS; k++) {
            struct flo_ratio_segment segment = draw(designs[i][0], designs[i][1], 0.08);
            assert_true(
                flo_ratio_evaluate(&ratio_rule, &segment, 1, FLO_LOOK_NONE, false, &result));
            many += result.ln_e >= log(100);
        }
        print_message("ratio %d against %d: %zu of %d draws with e >= 100\n", designs[i][0],
                      designs[i][1], many, DRAWS);
        assert_true(many <= DRAWS / 100);
    }
}

static double poisson(double mean)
{
    double product = 1;
    double limit = exp(-mean);
    int k = -1;

    while (product > limit) {
        product *= uniform();
        k++;
    }
    return k;
}

static void equal_rates_rarely_give_much_evidence(void **state)
{
    const struct flo_count_rule rule = {
        .limit_ratio = 1.5, .alpha = 0.03, .weight = 0.2, .devices_min = 5, .controls_min = 20};
    struct flo_count_result result;
    size_t many = 0;

    (void)state;
    for (int k = 0; k < DRAWS; k++) {
        struct flo_count_arm treated = {.devices = 20};
        struct flo_count_arm control = {.devices = 80};
        treated.events = treated.sxx = poisson(4);
        control.events = control.sxx = poisson(16);
        treated.expected = treated.exposure = 4;
        control.expected = control.exposure = 16;
        assert_true(flo_count_evaluate(&rule, &treated, &control, FLO_LOOK_NONE, &result));
        many += result.ln_e >= log(100);
    }
    print_message("count: %zu of %d draws with e >= 100\n", many, DRAWS);
    assert_true(many <= DRAWS / 100);
}

static void arms_exchanged_change_the_sign(void **state)
{
    struct flo_ratio_result one;
    struct flo_ratio_result other;

    (void)state;
    for (int k = 0; k < 1000; k++) {
        struct flo_ratio_segment there = draw(30, 30, 0.1);
        struct flo_ratio_segment back = {.treated = there.control, .control = there.treated};
        (void)flo_ratio_evaluate(&ratio_rule, &there, 1, FLO_LOOK_NONE, false, &one);
        (void)flo_ratio_evaluate(&ratio_rule, &back, 1, FLO_LOOK_NONE, false, &other);
        assert_true(fabs(one.delta + other.delta) < 1e-12);
        assert_true(one.delta * one.t >= 0 && other.delta * other.t >= 0);
        assert_false(one.verdict == FLO_VERDICT_FAIL && other.verdict == FLO_VERDICT_FAIL);
    }
}

static void very_few_devices_decide_nothing(void **state)
{
    struct flo_ratio_segment segment = {.treated = {2, 5.0, 0.001}, .control = {2, 0.0, 0.001}};
    struct flo_ratio_result result;

    (void)state;
    assert_true(flo_ratio_evaluate(&ratio_rule, &segment, 1, 0, false, &result));
    assert_int_equal(result.verdict, FLO_VERDICT_INCONCLUSIVE);
    assert_int_equal(result.open, FLO_OPEN_FEW);
    assert_true(result.ln_e <= M_LN2 + result.nu / 2 * log1p(result.r));
}

static void a_gauge_shows_its_latest_readings(void **state)
{
    const struct flo_mean base = {.sum = 1, .count = 1};
    struct flo_series series;
    double d;

    (void)state;
    flo_series_split(&series, &base);
    for (int i = 0; i < 64; i++) {
        flo_series_after(&series, i < 32 ? 1 : 3, 0, true);
        assert_true(flo_series_difference(&series, 1, 1, &d));
    }
    /* At 64 the older part became the 32 newest. */
    assert_true(fabs(d - 2) < 1e-12);
}

static void a_change_has_the_curve_in_it(void **state)
{
    const struct flo_mean base = {.sum = 4, .count = 2};
    struct flo_series series;
    uint32_t after;

    (void)state;
    flo_series_split(&series, &base);
    assert_true(fabs(flo_series_change(&series, &after)) < 1e-12);
    flo_series_after(&series, 2.5, 0.25, false);
    flo_series_grow(&series, 2.5, 0.75); /* a control's past may grow */
    assert_true(fabs(flo_series_change(&series, &after) - 1) < 1e-12);
    assert_int_equal(after, 2);
}

static int by_size(const void *a, const void *b)
{
    double one = *(const double *)a;
    double other = *(const double *)b;

    return (one > other) - (one < other);
}

/* Numbers of `kinds` sizes, so that many are equal. */
static void a_place_is_checked(size_t count, uint32_t kinds, uint32_t *random)
{
    double sorted[40];
    double values[40];

    for (size_t i = 0; i < count; i++) {
        *random = *random * 1664525u + 1013904223u;
        sorted[i] = (double)((*random >> 8) % kinds) - 2;
    }
    for (size_t k = 0; k < count; k++) {
        memcpy(values, sorted, sizeof(values));
        double found = flo_place(values, count, k);
        for (size_t i = 0; i < count; i++) {
            assert_true(i < k ? values[i] <= found : values[i] >= found);
        }
        qsort(values, count, sizeof(*values), by_size);
        assert_true(values[k] <= found && values[k] >= found);
    }
    memcpy(values, sorted, sizeof(values));
    double middle = flo_median(values, count);
    qsort(sorted, count, sizeof(*sorted), by_size);
    assert_true(fabs(middle - 0.5 * (sorted[count / 2] + sorted[(count - 1) / 2])) < 1e-12);
}

static void a_place_is_that_of_sorted_numbers(void **state)
{
    uint32_t random = 1;

    (void)state;
    for (size_t count = 1; count <= 40; count++) {
        for (uint32_t kinds = 1; kinds <= 1000; kinds = kinds * 3 + 1) {
            a_place_is_checked(count, kinds, &random);
        }
    }
}

/* Nobody asks for it; it must end all the same. */
static void a_place_among_no_numbers_ends(void **state)
{
    double values[] = {NAN, 1, NAN, -1, NAN, 2};

    (void)state;
    for (size_t k = 0; k < FLO_COUNT(values); k++) {
        (void)flo_place(values, FLO_COUNT(values), k);
    }
}

static void a_record_gives_its_result_again(void **state)
{
    const json_t *rows = *state;
    json_t *row;
    size_t i;

    json_array_foreach((json_t *)(uintptr_t)rows, i, row)
    {
        a_test_survives_its_record(json_object_get(row, "input"));
    }
}

int main(void)
{
    const char *other = getenv("FLOTILLA_GATE_VECTORS");
    json_t *rows = vectors_read(other != NULL ? other : VECTORS);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_arms_rarely_give_much_evidence),
        cmocka_unit_test(equal_rates_rarely_give_much_evidence),
        cmocka_unit_test(arms_exchanged_change_the_sign),
        cmocka_unit_test(very_few_devices_decide_nothing),
        cmocka_unit_test(a_gauge_shows_its_latest_readings),
        cmocka_unit_test(a_change_has_the_curve_in_it),
        cmocka_unit_test(a_place_is_that_of_sorted_numbers),
        cmocka_unit_test(a_place_among_no_numbers_ends),
        cmocka_unit_test_prestate(a_record_gives_its_result_again, rows),
    };

    if (other == NULL && json_array_size(rows) != VECTORS_HERE) {
        fprintf(stderr, "%s has %zu rows, not %d\n", VECTORS, json_array_size(rows), VECTORS_HERE);
        return 1;
    }
    int failed = vectors_run(rows, answer);
    failed += cmocka_run_group_tests(tests, NULL, NULL);
    json_decref(rows);
    return failed;
}
