/* Probes of candidates with real engine processes and models: what is found
 * wrong, and what ends a probe. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <flotilla/errors/probe.h>

#include "unit/serve/probing.h"

#define BAD "tests/models/tiny-v3-bad-"

static void probes_see_what_is_wrong(void **state)
{
    (void)state;
    world_open();
    open_current(V2, "2.0.0");
    expect_verdict(V2, 0, 26);
    assert_true(result.token_us_candidate > 0);
    assert_true(result.token_us_current > 0);
    assert_true(result.memory_bytes > 1000000);
    /* One NaN in a norm: the scan of the weights must see it.  An engine that
     * loses NaN while it rounds activations passes every case; ours keeps
     * it. */
    probe(BAD "nan.Q4_0.gguf", GOLDEN, &usual);
    assert_true(result.error == FLO_E_PROBE_NONFINITE || result.passed == 26);
    probe(BAD "noise.Q4_0.gguf", GOLDEN, &usual);
    assert_int_equal(result.error, FLO_E_PROBE_GOLDEN);
    assert_true(result.passed >= 5 && result.passed <= 8);
    assert_string_equal(result.failed_case, "advice-1");
    expect_verdict(BAD "swap.Q4_0.gguf", FLO_E_PROBE_GOLDEN, 24);
    expect_verdict(BAD "nanscale.Q4_0.gguf", FLO_E_PROBE_NONFINITE, 0);
    assert_true(result.nonfinite > 0);
    probe(V21, "tests/models/golden-tiny-v2.1.json", &usual);
    assert_int_equal(result.error, 0);
    assert_int_equal(result.passed, 26);
    expect_verdict("tests/models/tiny-v1.Q4_0.gguf", FLO_E_PROBE_GOLDEN, 16);
    assert_int_equal(world.lost, 0);
    world_close();
}

/* The built-in prompts mean nothing to the model: some answers are near ties. */
static void near_ties_are_judged_by_their_probabilities(void **state)
{
    static const char built_in[] = "tests/models/golden-tiny-v2-built-in.json";
    (void)state;
    world_open();
    open_current(V2, "2.0.0");
    probe(V2, built_in, &usual);
    assert_int_equal(result.error, 0);
    assert_int_equal(result.passed, 16);
    probe(BAD "swap.Q4_0.gguf", built_in, &usual);
    assert_int_equal(result.error, FLO_E_PROBE_GOLDEN);
    assert_true(result.passed < 8);
    assert_non_null(strstr(result.what, "has a loss of"));
    world_close();
}

/* Its order is superseded: the next candidate has a probe of its own, and
 * hears nothing of this one. */
static void a_probe_ends_with_its_candidate(void **state)
{
    char *golden;
    size_t bytes;
    (void)state;
    world_open();
    open_current(V2, "2.0.0");
    open_candidate("tests/models/tiny-v1.Q4_0.gguf", "1.0.0");
    assert_int_equal(flo_file_read(GOLDEN, 1u << 20, &golden, &bytes, NULL), 0);
    has_result = false;
    assert_int_equal(start_probe(golden, bytes, 1, &usual, NULL), 0);
    free(golden);
    event_base_loop(world.base, EVLOOP_ONCE);
    flo_serve_unload(world.serve, 0, FLO_ROLE_CANDIDATE, true);
    assert_false(has_result);
    expect_verdict(V2, 0, 26);
    world_close();
}

/* A release whose weights could not be packed is no slower release. */
static void speeds_with_and_without_packed_weights_are_not_compared(void **state)
{
    (void)state;
    world_open();
    open_current(V2, "2.0.0");
    world.lacks_packed = true;
    expect_verdict(SLOW, 0, 26);
    assert_true(result.token_us_current == 0);
    world_close();
}

/* The first file's cases are right; one of the second is not. */
static void the_cases_of_all_golden_files_are_played(void **state)
{
    static const char wrong[] = "{\"format\":\"flotilla-golden-2\",\"cases\":[{\"id\":\"site\","
                                "\"prompt\":\"a\",\"max_new_tokens\":1,"
                                "\"expect\":[{\"exact\":\"never said\"}]}]}";
    struct flo_golden golden = {0}, more = {0};
    char *text;
    size_t bytes;
    struct flo_err err = {0};
    (void)state;
    world_open();
    open_current(V2, "2.0.0");
    open_candidate(V2, "2.0.0");
    assert_int_equal(flo_file_read(GOLDEN, 1u << 20, &text, &bytes, NULL), 0);

    has_result = false;
    assert_int_equal(start_probe(text, bytes, 3, &usual, &err), 0);
    RUN_UNTIL(has_result);
    assert_int_equal(result.error, 0);
    assert_int_equal(result.passed, 78);

    assert_int_equal(flo_golden_read(text, bytes, &golden, &err), 0);
    assert_int_equal(flo_golden_read(wrong, strlen(wrong), &more, &err), 0);
    assert_int_equal(flo_golden_join(&golden, &more, &err), 0);
    has_result = false;
    assert_int_equal(flo_serve_probe(world.serve, 0, &golden, &usual, on_probed, NULL, &err), 0);
    assert_int_equal(golden.n_cases, 0);
    RUN_UNTIL(has_result);
    assert_int_equal(result.error, FLO_E_PROBE_GOLDEN);
    assert_int_equal(result.cases, 27);
    assert_int_equal(result.passed, 26);
    assert_string_equal(result.failed_case, "site");
    free(text);
    world_close();
}

static void memory_time_and_death_end_a_probe(void **state)
{
    struct flo_probe_limits limits = {.memory_bytes_max = 1000000, .timeout_ms = WAITS_HANG_MS};
    (void)state;
    world_open();
    open_current(V2, "2.0.0");
    probe(V2, GOLDEN, &limits);
    assert_int_equal(result.error, FLO_E_PROBE_MEMORY);
    limits = (struct flo_probe_limits){.timeout_ms = 1};
    probe(SLOW, GOLDEN, &limits);
    assert_int_equal(result.error, FLO_E_PROBE_TIMEOUT);
    limits.timeout_ms = WAITS_HANG_MS;
    probe(SLOW, GOLDEN, &limits); /* speed not asked for */
    assert_int_equal(result.error, 0);

    open_candidate(V2, "2.0.0");
    char *golden;
    size_t bytes;
    struct flo_err err = {0};
    assert_int_equal(flo_file_read(GOLDEN, 1u << 20, &golden, &bytes, &err), 0);
    has_result = false;
    waits_stop(status_now().roles[FLO_ROLE_CANDIDATE].pid);
    assert_int_equal(start_probe(golden, bytes, 1, &usual, &err), 0);
    event_base_loop(world.base, EVLOOP_ONCE);
    kill(status_now().roles[FLO_ROLE_CANDIDATE].pid, SIGKILL);
    RUN_UNTIL(has_result);
    assert_int_equal(result.error, FLO_E_ENGINE_CRASH);
    free(golden);
    world_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(probes_see_what_is_wrong),
        cmocka_unit_test(near_ties_are_judged_by_their_probabilities),
        cmocka_unit_test(a_probe_ends_with_its_candidate),
        cmocka_unit_test(speeds_with_and_without_packed_weights_are_not_compared),
        cmocka_unit_test(the_cases_of_all_golden_files_are_played),
        cmocka_unit_test(memory_time_and_death_end_a_probe),
    };
    signal(SIGPIPE, SIG_IGN);
    flo_log_level_set(FLO_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
