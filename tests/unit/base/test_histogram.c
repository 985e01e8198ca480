/* Histogram: exact merge, bounded quantile error, one text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <flotilla/base.h>
#include <flotilla/errors/mqtt.h>

enum { SAMPLES = 20000 };

/* xorshift64*: the same values in every run. */
static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed >> 12;
    *seed ^= *seed << 25;
    *seed ^= *seed >> 27;
    return *seed * UINT64_C(0x2545f4914f6cdd1d);
}

/* Values of all sizes below 2^40. */
static uint64_t next_sample(uint64_t *seed)
{
    uint64_t bits = next_random(seed) % 40 + 1;
    return next_random(seed) >> (64 - bits);
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void small_values_are_exact(void **state)
{
    (void)state;

    for (uint64_t value = 0; value < 64; value++) {
        struct flo_histogram histogram = {0};
        flo_histogram_add(&histogram, value);
        assert_int_equal(flo_histogram_quantile(&histogram, 0.5), value);
    }
}

static void a_quantile_is_at_most_a_thirtysecond_too_high(void **state)
{
    static const double quantiles[] = {0.001, 0.01, 0.1, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0};
    static uint64_t sorted[SAMPLES];
    struct flo_histogram histogram = {0};
    uint64_t seed = 42;
    (void)state;
    for (size_t i = 0; i < SAMPLES; i++) {
        sorted[i] = next_sample(&seed);
        flo_histogram_add(&histogram, sorted[i]);
    }
    qsort(sorted, SAMPLES, sizeof(sorted[0]), by_value);

    for (size_t i = 0; i < FLO_COUNT(quantiles); i++) {
        double spec = quantiles[i] * SAMPLES;
        size_t rank = (size_t)spec + ((double)(size_t)spec < spec ? 1 : 0);
        uint64_t exact = sorted[(rank == 0 ? 1 : rank) - 1];
        uint64_t got = flo_histogram_quantile(&histogram, quantiles[i]);
        assert_true(got >= exact);
        assert_true(got - exact <= exact / 32);
    }
}

static void bucket_edges_of_every_octave_are_right(void **state)
{
    (void)state;

    for (unsigned bit = 6; bit < 40; bit++) {
        uint64_t low = UINT64_C(1) << bit;
        struct flo_histogram below = {0};
        struct flo_histogram at = {0};
        flo_histogram_add(&below, low - 1);
        flo_histogram_add(&at, low);
        assert_true(flo_histogram_quantile(&below, 1) == low - 1);
        assert_true(flo_histogram_quantile(&at, 1) == low + low / 32 - 1);
    }
}

static void values_above_the_last_bucket_are_clamped(void **state)
{
    struct flo_histogram histogram = {0};
    (void)state;

    flo_histogram_add(&histogram, UINT64_C(1) << 40);
    flo_histogram_add(&histogram, UINT64_MAX);

    assert_int_equal(histogram.count, 2);
    assert_int_equal(histogram.buckets[FLO_HISTOGRAM_BUCKETS - 1], 2);
    assert_true(flo_histogram_quantile(&histogram, 1) == (UINT64_C(1) << 40) - 1);
    assert_true(histogram.sum == UINT64_MAX);
}

static void an_empty_one_has_no_quantiles(void **state)
{
    struct flo_histogram histogram = {0};
    (void)state;

    assert_int_equal(flo_histogram_quantile(&histogram, 0.99), 0);
}

static void merging_equals_adding_everything_to_one(void **state)
{
    struct flo_histogram parts[3] = {{0}};
    struct flo_histogram whole = {0};
    struct flo_histogram forward = {0};
    struct flo_histogram backward = {0};
    uint64_t seed = 7;
    (void)state;
    for (size_t i = 0; i < SAMPLES; i++) {
        uint64_t value = next_sample(&seed);
        flo_histogram_add(&whole, value);
        flo_histogram_add(&parts[i % 3], value);
    }

    for (int i = 0; i < 3; i++) {
        flo_histogram_merge(&forward, &parts[i]);
        flo_histogram_merge(&backward, &parts[2 - i]);
    }

    assert_memory_equal(&forward, &whole, sizeof(whole));
    assert_memory_equal(&backward, &whole, sizeof(whole));
}

static void a_full_bucket_stays_full(void **state)
{
    struct flo_histogram a = {0};
    struct flo_histogram b = {0};
    struct flo_histogram back;
    struct flo_buf text = {0};
    (void)state;
    a.buckets[3] = UINT32_MAX;
    a.count = UINT32_MAX;
    a.sum = UINT64_C(3) * UINT32_MAX;
    flo_histogram_add(&b, 3);

    flo_histogram_merge(&a, &b);

    assert_int_equal(a.buckets[3], UINT32_MAX);
    assert_int_equal(a.count, UINT32_MAX);
    flo_histogram_encode(&a, &text);
    assert_int_equal(flo_histogram_decode(text.data, text.bytes, &back, NULL), 0);
    flo_buf_deinit(&text);
}

static void the_text_comes_back_bit_for_bit(void **state)
{
    uint64_t seed = 99;
    (void)state;

    for (size_t count = 0; count < 5000; count = count * 3 + 1) {
        struct flo_histogram histogram = {0};
        struct flo_histogram back;
        struct flo_buf text = {0};
        for (size_t i = 0; i < count; i++) {
            flo_histogram_add(&histogram, next_sample(&seed));
        }
        flo_histogram_encode(&histogram, &text);
        assert_int_equal(flo_histogram_decode(text.data, text.bytes, &back, NULL), 0);
        assert_memory_equal(&back, &histogram, sizeof(back));
        flo_buf_deinit(&text);
    }
}

static void every_bucket_full_still_fits(void **state)
{
    struct flo_histogram histogram = {0};
    struct flo_histogram back;
    struct flo_buf text = {0};
    (void)state;
    for (size_t i = 0; i < FLO_HISTOGRAM_BUCKETS; i++) {
        histogram.buckets[i] = UINT32_MAX;
        histogram.count += UINT32_MAX;
    }
    histogram.sum = UINT64_MAX;

    flo_histogram_encode(&histogram, &text);

    assert_int_equal(flo_histogram_decode(text.data, text.bytes, &back, NULL), 0);
    assert_memory_equal(&back, &histogram, sizeof(back));
    flo_buf_deinit(&text);
}

static void forty_samples_are_small(void **state)
{
    struct flo_histogram histogram = {0};
    struct flo_buf text = {0};
    uint64_t seed = 5;
    (void)state;
    for (int i = 0; i < 40; i++) { /* around 40 ms, as latencies are */
        flo_histogram_add(&histogram, 40000 + next_random(&seed) % 20000);
    }

    flo_histogram_encode(&histogram, &text);

    assert_in_range(text.bytes, 8, 100);
    flo_buf_deinit(&text);
}

static void texts_that_encode_does_not_write_are_refused(void **state)
{
    static const struct {
        const char *bytes;
        size_t count;
    } rows[] = {
        {"", 0},                                 /* no end */
        {"\x00", 1},                             /* no sum */
        {"\x00\x05", 2},                         /* a sum of nothing */
        {"\x01\x01\x00\x01", 4},                 /* bucket 0 has sum 0 */
        {"\x02\x02\x00\x01", 4},                 /* two ones are not one */
        {"\x02\x00\x00\x00", 4},                 /* count 0 */
        {"\x02\x01\x00\x01\x00", 5},             /* a byte after */
        {"\x82\x00\x01\x00\x01", 5},             /* a long form of 2 */
        {"\x81\x09\x01\x00\x01", 5},             /* bucket 1152 */
        {"\x02\x80\x80\x80\x80\x10\x00\x01", 8}, /* count 2^32 */
        {"\x02\xff", 2},                         /* cut */
        {"\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 11},
    };
    char text[64];
    struct flo_histogram back = {.count = 77};
    (void)state;

    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        struct flo_err err = {0};
        flo_base64_encode(rows[i].bytes, rows[i].count, text);
        assert_int_equal(flo_histogram_decode(text, strlen(text), &back, &err), FLO_E_MQTT_SCHEMA);
        assert_int_equal(back.count, 77);
    }
    assert_int_equal(flo_histogram_decode("AA", 2, &back, NULL), FLO_E_MQTT_SCHEMA);
    char *endless = calloc(1, 1 << 20);
    memset(endless, 'A', 1 << 20);
    assert_int_equal(flo_histogram_decode(endless, 1 << 20, &back, NULL), FLO_E_MQTT_SCHEMA);
    free(endless);
    assert_int_equal(flo_histogram_decode("AgEAAQ==", 8, &back, NULL), 0);
    assert_int_equal(back.count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_values_are_exact),
        cmocka_unit_test(a_quantile_is_at_most_a_thirtysecond_too_high),
        cmocka_unit_test(bucket_edges_of_every_octave_are_right),
        cmocka_unit_test(values_above_the_last_bucket_are_clamped),
        cmocka_unit_test(an_empty_one_has_no_quantiles),
        cmocka_unit_test(merging_equals_adding_everything_to_one),
        cmocka_unit_test(a_full_bucket_stays_full),
        cmocka_unit_test(the_text_comes_back_bit_for_bit),
        cmocka_unit_test(every_bucket_full_still_fits),
        cmocka_unit_test(forty_samples_are_small),
        cmocka_unit_test(texts_that_encode_does_not_write_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
