/* Priorities: batch requests leave the latency of users alone, from the router
 * to the telemetry of a window. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <string.h>

#include <flotilla/metrics.h>

#include "agent/shell/report/request.h"
#include "unit/serve/serve_world.h"

#define BATCH                                                                                      \
    "{\"priority\":\"batch\",\"prompt\":\"a\",\"max_tokens\":4,"                                   \
    "\"ignore_eos\":true,\"temperature\":0}"
enum { BATCHES = 12, USERS = 3 };

static struct client batches[BATCHES], users[USERS];

/* Twelve batch clients and three users ask at once. */
static struct flo_measures *window_of_both(void)
{
    struct flo_measures *measures = calloc(1, sizeof(*measures));

    world_open();
    open_current(V2, "2.0.0");
    for (int i = 0; i < BATCHES; i++) {
        client_start(&batches[i], "/v1/completions", BATCH, false);
    }
    for (int i = 0; i < USERS; i++) {
        client_start(&users[i], "/v1/chat/completions", CHAT, false);
    }
    for (int i = 0; i < BATCHES; i++) {
        client_end(&batches[i]);
        assert_int_equal(batches[i].status, 200);
    }
    for (int i = 0; i < USERS; i++) {
        client_end(&users[i]);
        assert_int_equal(users[i].status, 200);
    }
    RUN_UNTIL(world.n_told == BATCHES + USERS);
    for (size_t i = 0; i < world.n_told; i++) {
        flo_telemetry_request(measures, &world.told[i]);
    }
    return measures;
}

static uint64_t count_of(const struct flo_measures *measures, int metric)
{
    return measures->histograms[metric].count;
}

static void latency_is_that_of_interactive_requests(void **state)
{
    static struct client page;
    struct flo_measures *measures = window_of_both();

    (void)state;
    assert_int_equal(count_of(measures, FLO_METRIC_NAME_TTFT), USERS);
    assert_int_equal(count_of(measures, FLO_METRIC_NAME_TOKEN), USERS);
    assert_int_equal(count_of(measures, FLO_METRIC_NAME_REQUEST), USERS);
    assert_int_equal(count_of(measures, FLO_METRIC_NAME_QUEUE), USERS);
    assert_int_equal(count_of(measures, FLO_METRIC_NAME_BATCH_TOKEN), BATCHES);
    ask(&page, "/metrics", "");
    assert_non_null(strstr(page.text, "flotilla_ttft_seconds_count 3\n"));
    assert_non_null(strstr(page.text, "flotilla_queue_seconds_count 3\n"));
    assert_non_null(strstr(page.text, "flotilla_batch_token_seconds_count 12\n"));
    assert_non_null(strstr(page.text, "flotilla_requests_total 15\n"));
    world_close();
    free(measures);
}

static void a_batch_request_tells_its_time_without_the_wait(void **state)
{
    const struct flo_serve_request_stats stats = {.queue_us = 700000,
                                                  .ttft_us = 710000,
                                                  .total_us = 740000,
                                                  .tokens_out = 4,
                                                  .is_batch = true};
    const struct flo_serve_request_stats none = {.total_us = 9, .is_batch = true};
    const struct flo_serve_request_stats odd = {
        .queue_us = 9, .total_us = 8, .tokens_out = 1, .is_batch = true};
    struct flo_measures *measures = calloc(1, sizeof(*measures));

    (void)state;
    assert_int_equal(flo_serve_batch_token_us(&stats), 10000);
    assert_int_equal(flo_serve_batch_token_us(&odd), 0);
    flo_telemetry_request(measures, &none); /* it has no token */
    assert_int_equal(count_of(measures, FLO_METRIC_NAME_BATCH_TOKEN), 0);
    assert_int_equal(count_of(measures, FLO_METRIC_NAME_REQUEST), 0);
    free(measures);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(latency_is_that_of_interactive_requests),
        cmocka_unit_test(a_batch_request_tells_its_time_without_the_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
