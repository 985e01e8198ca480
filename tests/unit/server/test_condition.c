/* Condition: one word for a device, from what it says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server-stub/core/device/condition.h"

static const char *of(const char *state, const char *execution, bool serves, bool drifts)
{
    struct flo_condition_model model = {state, execution, serves, drifts, false};

    return flo_condition_word(flo_condition_of_model(&model));
}

static void a_first_install_is_updating_until_it_serves_or_fails(void **state)
{
    static const char *const way[] = {"accepted", "downloading", "applying",  "verifying",
                                      "staged",   "probing",     "activating"};

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(way); i++) {
        assert_string_equal(of("down", way[i], false, false), "updating");
        assert_string_equal(of("down", way[i], false, true), "updating");
        assert_string_equal(of("loading", way[i], false, false), "updating");
    }
    assert_string_equal(of("ready", "soaking", true, false), "updating");
    assert_string_equal(of("ready", "succeeded", true, false), "ok");
    assert_string_equal(of("down", "failed", false, false), "failed");
    assert_string_equal(of("down", "rejected", false, true), "failed");
    assert_string_equal(of("down", NULL, false, false), "ok");
}

static void a_model_that_should_answer_and_does_not_has_failed(void **state)
{
    (void)state;
    assert_string_equal(of("down", NULL, true, false), "failed");
    assert_string_equal(of("down", "downloading", true, true), "failed");
    assert_string_equal(of("ready", "failed", true, true), "drift");
    assert_string_equal(of("ready", "failed", true, false), "ok");
    assert_string_equal(of("removed", "failed", false, true), "ok");
    assert_string_equal(of("on-demand", "nonsense", true, false), "ok");
    assert_string_equal(of(NULL, NULL, true, true), "drift");
}

static void who_refused_what_nobody_wants_any_more_is_as_it_should_be(void **state)
{
    struct flo_condition_model model = {"ready", "failed", true, true, true};

    (void)state;
    assert_int_equal(flo_condition_of_model(&model), FLO_CONDITION_OK);
    model.execution = "downloading";
    assert_int_equal(flo_condition_of_model(&model), FLO_CONDITION_UPDATING);
    model.state = "down";
    assert_int_equal(flo_condition_of_model(&model), FLO_CONDITION_FAILED);
}

static enum flo_condition decided(bool is_retired, bool in_maintenance, bool is_online,
                                  enum flo_condition said)
{
    return flo_condition_decide(is_retired, in_maintenance, is_online, said);
}

static void the_first_in_the_order_of_precedence_holds(void **state)
{
    (void)state;
    assert_int_equal(decided(true, true, true, FLO_CONDITION_FAILED), FLO_CONDITION_RETIRED);
    assert_int_equal(decided(false, true, false, FLO_CONDITION_FAILED), FLO_CONDITION_MAINTENANCE);
    assert_int_equal(decided(false, false, false, FLO_CONDITION_FAILED), FLO_CONDITION_FAILED);
    assert_int_equal(decided(false, false, false, FLO_CONDITION_DEGRADED), FLO_CONDITION_DEGRADED);
    assert_int_equal(decided(false, false, false, FLO_CONDITION_DRIFT), FLO_CONDITION_OFFLINE);
    assert_int_equal(decided(false, false, true, FLO_CONDITION_UPDATING), FLO_CONDITION_UPDATING);
}

static void the_worst_stands_first_in_a_list(void **state)
{
    (void)state;
    assert_true(flo_condition_compare("failed", "maintenance") < 0);
    assert_true(flo_condition_compare("drift", "offline") < 0);
    assert_true(flo_condition_compare("ok", "updating") > 0);
    assert_int_equal(flo_condition_compare("ok", "ok"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_first_install_is_updating_until_it_serves_or_fails),
        cmocka_unit_test(a_model_that_should_answer_and_does_not_has_failed),
        cmocka_unit_test(who_refused_what_nobody_wants_any_more_is_as_it_should_be),
        cmocka_unit_test(the_first_in_the_order_of_precedence_holds),
        cmocka_unit_test(the_worst_stands_first_in_a_list),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
