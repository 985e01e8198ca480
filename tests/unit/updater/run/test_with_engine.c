/* One program with the updater and the engine: each calls its own functions.
 *
 * Both libraries once exported flo_plan_make: the linker took the updater's for
 * both, without a word, and flo_engine_open() died. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <flotilla/engine.h>
#include <flotilla/errors/target.h>
#include <flotilla/updater.h>

static void updater_and_engine_each_make_their_own_plan(void **state)
{
    (void)state;
    static struct flo_release release;
    struct flo_profile profile = {.arch = "x86_64"};
    struct flo_plan_input input = {.release = &release, .profile = &profile};
    struct flo_plan plan;
    struct flo_engine *engine = NULL;
    struct flo_err err = {0};

    assert_int_equal(flo_plan_make(&input, &plan, &err), FLO_E_TARGET_INCOMPATIBLE);

    int rv = flo_engine_open("tests/models/tiny-v1.Q4_0.gguf", NULL, &engine, &err);
    assert_int_equal(rv, 0);
    assert_string_equal(flo_engine_info(engine)->arch, "llama");
    flo_engine_close(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(updater_and_engine_each_make_their_own_plan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
