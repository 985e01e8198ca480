/* Failures that an engine process tells, in the agent's own words. */
#include "agent/serve/engines/engines.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include <flotilla/errors/gguf.h>
#include <flotilla/errors/worker.h>

#define TEXT(t) ((struct flo_wire_text){t, strlen(t)})

static void a_failure_keeps_its_id_sentence_and_reason(void **state)
{
    const struct flo_wire_failed failed = {
        .id = TEXT("gguf.bounds"), .what = TEXT("no room"), .why = TEXT("x")};
    struct flo_err err = {0};
    (void)state;

    assert_int_equal(flo_serve_engine_failure(&failed, &err), FLO_E_GGUF_BOUNDS);

    assert_int_equal(err.code, FLO_E_GGUF_BOUNDS);
    assert_string_equal(err.what, "no room");
    assert_string_equal(err.why, "x");
}

/* The program on the disk may be newer than the agent that runs.  Nothing that
 * this agent knows is accused: no release is denied for it. */
static void an_id_of_another_version_is_told_but_accuses_no_release(void **state)
{
    const struct flo_wire_failed failed = {.id = TEXT("model.of_tomorrow"),
                                           .what = TEXT("it is too new")};
    struct flo_err err = {0};
    (void)state;

    assert_int_equal(flo_serve_engine_failure(&failed, &err), FLO_E_WORKER_PROTOCOL);

    assert_string_equal(err.what, "model.of_tomorrow: it is too new");
}

static void a_failure_without_an_id_is_told_all_the_same(void **state)
{
    const struct flo_wire_failed failed = {.what = TEXT("something")};
    struct flo_err err = {0};
    (void)state;

    assert_int_equal(flo_serve_engine_failure(&failed, &err), FLO_E_WORKER_PROTOCOL);

    assert_string_equal(err.what, "no id: something");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failure_keeps_its_id_sentence_and_reason),
        cmocka_unit_test(an_id_of_another_version_is_told_but_accuses_no_release),
        cmocka_unit_test(a_failure_without_an_id_is_told_all_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
