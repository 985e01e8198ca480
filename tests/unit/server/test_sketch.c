/* Sketches: what is packed comes back, adds up, and cannot be forged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <flotilla/errors/mqtt.h>
#include <flotilla/metrics.h>

#include "server-stub/core/telemetry/sketch.h"

static struct flo_sketch *sketch_new(void)
{
    return calloc(1, sizeof(struct flo_sketch));
}

/* A window of some device: requests of about a second, its memory, its heat. */
static void window_make(struct flo_telemetry_window *window, uint64_t seed)
{
    memset(window->has, 0, sizeof(window->has));
    struct flo_histogram *ttft = &window->histograms[FLO_METRIC_NAME_TTFT];
    *ttft = (struct flo_histogram){0};
    for (uint64_t i = 0; i < 3 + seed % 5; i++) {
        flo_histogram_add(ttft, 900000 + (seed * 7919 + i * 104729) % 200000);
    }
    window->has[FLO_METRIC_NAME_TTFT] = true;
    window->has[FLO_METRIC_NAME_REQUESTS] = true;
    window->values[FLO_METRIC_NAME_REQUESTS] = (int64_t)(3 + seed % 5);
    window->has[FLO_METRIC_NAME_TEMPERATURE] = true;
    window->values[FLO_METRIC_NAME_TEMPERATURE] = (int64_t)seed * 1000 - 20000;
    window->has[FLO_METRIC_NAME_AGENT_RSS] = true;
    window->values[FLO_METRIC_NAME_AGENT_RSS] = 6400000 + (int64_t)seed;
}

static void same(const struct flo_sketch *a, const struct flo_sketch *b)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) left = {0};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) right = {0};

    flo_sketch_pack(a, &left);
    flo_sketch_pack(b, &right);
    assert_int_equal(left.bytes, right.bytes);
    assert_memory_equal(left.data, right.data, left.bytes);
}

static void what_is_packed_comes_back_and_adds_up_in_any_order(void **state)
{
    (void)state;
    struct flo_histogram *histograms = calloc(FLO_METRIC_COUNT, sizeof(*histograms));
    struct flo_telemetry_window window = {.histograms = histograms};
    struct flo_sketch *all = sketch_new();
    struct flo_sketch *back = sketch_new();
    struct flo_err err = {0};

    for (uint64_t i = 0; i < 40; i++) {
        struct flo_buf FLO_CLEANUP(flo_buf_deinit) blob = {0};
        struct flo_sketch *one = sketch_new();
        window_make(&window, i);
        flo_sketch_add(all, &window);
        window_make(&window, 39 - i);
        flo_sketch_add(one, &window);
        flo_sketch_pack(one, &blob);
        assert_int_equal(flo_sketch_unpack(back, (uint8_t *)blob.data, blob.bytes, &err), 0);
        free(one);
    }
    same(all, back);

    struct flo_buf FLO_CLEANUP(flo_buf_deinit) blob = {0};
    struct flo_sketch_number heat;
    struct flo_sketch_number ttft;
    flo_sketch_pack(all, &blob);
    assert_int_equal(flo_sketch_pick((uint8_t *)blob.data, blob.bytes, FLO_METRIC_NAME_TEMPERATURE,
                                     &heat, histograms, &err),
                     0);
    assert_int_equal(heat.count, 40);
    assert_int_equal(heat.min, -20000);
    assert_int_equal(heat.max, 19000);
    assert_int_equal(heat.sum, -20000);
    assert_int_equal(flo_sketch_pick((uint8_t *)blob.data, blob.bytes, FLO_METRIC_NAME_TTFT, &ttft,
                                     histograms, &err),
                     0);
    assert_int_equal(ttft.count, all->histograms[FLO_METRIC_NAME_TTFT].count);
    assert_int_equal(flo_sketch_pick((uint8_t *)blob.data, blob.bytes, FLO_METRIC_NAME_ERRORS,
                                     &ttft, histograms, &err),
                     0);
    assert_int_equal(ttft.count, 0);
    free(histograms);
    free(all);
    free(back);
}

static void a_blob_that_was_cut_or_changed_does_no_harm(void **state)
{
    (void)state;
    struct flo_histogram *histograms = calloc(FLO_METRIC_COUNT, sizeof(*histograms));
    struct flo_telemetry_window window = {.histograms = histograms};
    struct flo_sketch *sketch = sketch_new();
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) blob = {0};
    struct flo_sketch_number number;

    window_make(&window, 7);
    flo_sketch_add(sketch, &window);
    flo_sketch_pack(sketch, &blob);
    for (size_t cut = 0; cut < blob.bytes; cut++) {
        assert_int_equal(flo_sketch_unpack(sketch, (uint8_t *)blob.data, cut, NULL),
                         FLO_E_MQTT_SCHEMA);
    }
    for (size_t i = 0; i < blob.bytes * 8; i++) {
        blob.data[i / 8] = (char)(blob.data[i / 8] ^ (1 << i % 8));
        int rv = flo_sketch_unpack(sketch, (uint8_t *)blob.data, blob.bytes, NULL);
        assert_true(rv == 0 || rv == FLO_E_MQTT_SCHEMA);
        rv = flo_sketch_pick((uint8_t *)blob.data, blob.bytes, FLO_METRIC_NAME_WAITING, &number,
                             histograms, NULL);
        assert_true(rv == 0 || rv == FLO_E_MQTT_SCHEMA);
        blob.data[i / 8] = (char)(blob.data[i / 8] ^ (1 << i % 8));
    }
    free(histograms);
    free(sketch);
}

/* Files name a metric by its place in proto/metrics.def. */
static void places_of_metrics_are_for_ever(void **state)
{
    (void)state;
    static const char *const words[] = {
        "ttft_us",         "token_us",         "request_us",     "queue_us",        "requests",
        "errors",          "tokens_in",        "tokens_out",     "engine_restarts", "lost",
        "agent_rss_bytes", "engine_rss_bytes", "temperature_mc", "disk_free_bytes", "queue"};

    for (size_t i = 0; i < FLO_COUNT(words); i++) {
        assert_string_equal(flo_metric_fact((int)i)->word, words[i]);
    }
}

static void a_profile_gives_one_of_few_classes(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"{\"arch\":\"x86_64\",\"kernel\":\"avx2\",\"memory_bytes\":"
         "4100000000}",
         "x86_64 avx2 4g"},
        {"{\"arch\":\"aarch64\",\"memory_bytes\":500000000}", "aarch64 plain 512m"},
        {"{\"arch\":\"x86_64; DROP\",\"memory_bytes\":1}", "unknown"},
        {"{\"arch\":\"\",\"memory_bytes\":1}", "unknown"},
        {"{\"arch\":\"a-name-of-17-signs\",\"memory_bytes\":1}", "unknown"},
        {"{\"arch\":\"x86_64\",\"memory_bytes\":9000000000000000}", "x86_64 plain 1024g"},
        {"{\"arch\":{},\"memory_bytes\":[]}", "unknown"},
        {"{\"arch\":\"riscv64\",\"kernel\":\"<b>\",\"memory_bytes\":-5}", "riscv64 plain 256m"},
    };

    for (size_t i = 0; i < FLO_COUNT(cases); i++) {
        char text[FLO_HARDWARE_TEXT];
        json_t *json = NULL;
        assert_int_equal(flo_json_parse(cases[i][0], strlen(cases[i][0]), 4096, &json, NULL), 0);
        flo_hardware_class(json, text);
        assert_string_equal(text, cases[i][1]);
        json_decref(json);
    }
    char text[FLO_HARDWARE_TEXT];
    flo_hardware_class(NULL, text);
    assert_string_equal(text, "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_packed_comes_back_and_adds_up_in_any_order),
        cmocka_unit_test(a_blob_that_was_cut_or_changed_does_no_harm),
        cmocka_unit_test(places_of_metrics_are_for_ever),
        cmocka_unit_test(a_profile_gives_one_of_few_classes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
