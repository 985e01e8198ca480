/* Files that this device derives from models: which are tried, and which are
 * given up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include <flotilla/agent.h>
#include <flotilla/errors/engine.h>

static struct flo_derived derived;
static const struct flo_digest model = {.bytes = {1}};
static const struct flo_digest other = {.bytes = {2}};

static int begin(void **state)
{
    (void)state;
    memset(&derived, 0, sizeof(derived));
    return 0;
}

static void packing_that_failed_is_not_tried_again_in_this_life(void **state)
{
    (void)state;
    assert_true(flo_derived_may_make(&derived, &model, 0));
    assert_false(flo_derived_failed(&derived, &model, FLO_E_DISK_FULL, false));

    assert_false(flo_derived_is_asked_for(&derived, &model));
    assert_true(flo_derived_is_lacking(&derived, &model));
    assert_true(flo_derived_is_asked_for(&derived, &other));
}

static void one_model_that_fails_often_does_not_push_others_out(void **state)
{
    (void)state;
    (void)flo_derived_failed(&derived, &other, FLO_E_DISK_FULL, false);
    for (size_t i = 0; i < 2 * FLO_COUNT(derived.unpacked.models); i++) {
        (void)flo_derived_failed(&derived, &model, FLO_E_DISK_FULL, false);
    }

    assert_true(flo_derived_is_lacking(&derived, &other));
}

static void a_version_fails_twice_and_then_leaves_it(void **state)
{
    (void)state;
    assert_true(flo_derived_failed(&derived, &model, FLO_E_IO_WRITE, true));
    begin(state); /* the next life */
    assert_true(flo_derived_may_make(&derived, &model, 1));
    assert_true(flo_derived_failed(&derived, &model, FLO_E_ENGINE_HANG, false));
    begin(state);

    assert_true(flo_derived_is_asked_for(&derived, &model)); /* it may be here */
    assert_false(flo_derived_may_make(&derived, &model, 2));
    assert_true(flo_derived_is_lacking(&derived, &model));
}

static void what_engines_read_by_rows_lacks_nothing(void **state)
{
    (void)state;
    assert_true(flo_derived_is_expected(&derived));
    assert_false(flo_derived_failed(&derived, &model, FLO_E_NOT_BUILT, true));

    assert_false(flo_derived_is_asked_for(&derived, &model));
    assert_false(flo_derived_is_lacking(&derived, &model));
    assert_false(flo_derived_is_expected(&derived));
    flo_derived_made(&derived, &other);
    assert_true(flo_derived_is_expected(&derived));
}

static void what_engines_refuse_is_made_again_once(void **state)
{
    (void)state;
    flo_derived_made(&derived, &model);
    assert_true(flo_derived_is_fresh(&derived, &model));
    assert_false(flo_derived_refused(&derived, &model));
    assert_false(flo_derived_is_fresh(&derived, &model));
    assert_true(flo_derived_is_asked_for(&derived, &model));

    assert_true(flo_derived_refused(&derived, &model));
    assert_false(flo_derived_is_asked_for(&derived, &model));
}

static void an_engine_that_serves_with_it_ends_the_count(void **state)
{
    (void)state;
    assert_false(flo_derived_refused(&derived, &model));
    flo_derived_accepted(&derived);

    assert_false(flo_derived_refused(&derived, &model));
}

static void after_a_loss_nothing_is_fresh(void **state)
{
    (void)state;
    flo_derived_made(&derived, &model);
    flo_derived_doubt(&derived);

    assert_false(flo_derived_is_fresh(&derived, &model));
}

static void a_large_model_may_take_a_minute_and_no_more(void **state)
{
    (void)state;
    assert_int_equal(flo_derived_ms_max(0), 10000);
    assert_int_equal(flo_derived_ms_max(50000000), 20000);
    assert_int_equal(flo_derived_ms_max(UINT64_C(1) << 40), 60000);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, begin)
    const struct CMUnitTest tests[] = {
        TEST(packing_that_failed_is_not_tried_again_in_this_life),
        TEST(one_model_that_fails_often_does_not_push_others_out),
        TEST(a_version_fails_twice_and_then_leaves_it),
        TEST(what_engines_read_by_rows_lacks_nothing),
        TEST(what_engines_refuse_is_made_again_once),
        TEST(an_engine_that_serves_with_it_ends_the_count),
        TEST(after_a_loss_nothing_is_fresh),
        TEST(a_large_model_may_take_a_minute_and_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
