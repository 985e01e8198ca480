/* Gates that can never decide with the devices that there are. */
#include <flotilla/metrics.h>

#include "server-stub/core/rollout/decidable.h"
#include "tests/unit/server/rollout_world.h"

/* A ratio gate that needs so many devices on each side. */
static void compare(struct world *world, uint64_t devices_min)
{
    struct flo_gate_rule *rule = &world->rollout.gates[1];

    flo_gate_default(FLO_GATE_RATIO, rule);
    rule->metric = FLO_METRIC_NAME_TTFT;
    rule->devices_min = devices_min;
    world->rollout.gate_count = 2;
}

static bool lacks(struct world *world, const uint8_t *class_of, struct flo_rollout_lack *out)
{
    flo_rollout_divide(&world->rollout);
    return flo_rollout_lacks(&world->rollout, class_of, out);
}

static void two_devices_never_decide_where_eight_are_needed(void **state)
{
    (void)state;
    struct world *world = world_new(2, 1);
    struct flo_rollout_lack lack;
    char what[FLO_LACK_TEXT], fix[FLO_LACK_TEXT];

    compare(world, 8);
    join_all(world);
    assert_true(lacks(world, NULL, &lack));
    flo_rollout_lack_text(&world->rollout, &lack, what, fix);

    assert_string_equal(what, "gate ttft_us p95 can never pass phase 1 (canary): it "
                              "compares 8 updated devices with 8 that wait, of one hardware "
                              "class, and gets 1 and 1");
    assert_string_equal(fix, "devices_min: 1 in the gate, or at least 16 devices; "
                             "--hold-for-person (hold_for_person: true) starts it, and a "
                             "person promotes the phase");
    world->rollout.gates[1].devices_min = 1; /* as it says */
    assert_false(lacks(world, NULL, &lack));
    world_free(world);
}

static void a_phase_that_is_too_small_is_named_with_its_sizes(void **state)
{
    (void)state;
    struct world *world = world_new(40, 2);
    struct flo_rollout_lack lack;
    char what[FLO_LACK_TEXT], fix[FLO_LACK_TEXT];

    compare(world, 8);
    join_all(world);
    assert_true(lacks(world, NULL, &lack));
    flo_rollout_lack_text(&world->rollout, &lack, what, fix);
    assert_non_null(strstr(fix, "8 to 32 devices up to this phase"));
    world->rollout.phases[0].devices = 8;
    assert_false(lacks(world, NULL, &lack));
    world->rollout.phases[0].devices = 33;
    assert_true(lacks(world, NULL, &lack));
    world_free(world);
}

static void devices_of_different_classes_are_not_compared(void **state)
{
    (void)state;
    struct world *world = world_new(16, 8);
    struct flo_rollout_lack lack;
    uint8_t classes[16];

    compare(world, 4);
    join_all(world);
    for (size_t i = 0; i < FLO_COUNT(classes); i++) {
        classes[i] = i < 8 ? 0 : 1; /* the canaries are all of one */
    }
    assert_false(lacks(world, NULL, &lack));
    assert_true(lacks(world, classes, &lack));
    classes[0] = classes[1] = classes[2] = classes[3] = 1;
    assert_false(lacks(world, classes, &lack));
    world_free(world);
}

static void gates_that_hold_nothing_up_lack_nothing(void **state)
{
    (void)state;
    struct world *world = world_new(2, 1);
    struct flo_rollout_lack lack;

    join_all(world);
    assert_false(lacks(world, NULL, &lack)); /* `failed` always decides */
    compare(world, 8);
    world->rollout.phases[0].is_until_promoted = true;
    assert_false(lacks(world, NULL, &lack));
    world->rollout.phases[0] = world->rollout.phases[1];
    world->rollout.phase_count = 1; /* nobody is left to wait in it */
    assert_false(lacks(world, NULL, &lack));
    world_free(world);
}

static void a_analysis_lacks_controls_in_a_small_fleet(void **state)
{
    (void)state;
    struct world *world = world_new(30, 20);
    struct flo_rollout_lack lack;
    char what[FLO_LACK_TEXT], fix[FLO_LACK_TEXT];

    flo_analysis_preset(FLO_PRESET_NORMAL, &world->rollout.analysis.rules);
    join_all(world);
    assert_true(lacks(world, NULL, &lack));
    flo_rollout_lack_text(&world->rollout, &lack, what, fix);
    assert_string_equal(what, "gate ttft_p95 can never pass phase 1 (canary): it "
                              "compares 5 updated devices with 20 that wait, and gets 20 and "
                              "10");
    assert_non_null(strstr(fix, "5 to 10 devices up to this phase"));
    world->rollout.phases[0].devices = 10;
    assert_false(lacks(world, NULL, &lack));
    world->rollout.phases[0].devices = 20;
    world->rollout.analysis.rules.is_alarm = true; /* they only halt */
    assert_false(lacks(world, NULL, &lack));
    world_free(world);
}

/* The longest soak of an analysis is no use when devices lack. */
static void a_person_who_was_promised_is_asked_when_all_have_it(void **state)
{
    (void)state;
    struct world *world = world_new(3, 1);
    struct flo_rollout_next next;

    flo_analysis_preset(FLO_PRESET_NORMAL, &world->rollout.analysis.rules);
    world->rollout.holds_for_person = true;
    join_all(world);
    operator_does(world, FLO_ROLLOUT_EVENT_START);
    goes_well(world, 1);
    assert_int_equal(world->rollout.phases[0].state, FLO_PHASE_HELD);
    assert_string_equal(world->rollout.reason,
                        "too few devices for its gates: phase 1 is held for a "
                        "person: promote, abort or roll back");
    assert_true(flo_rollout_next(&world->rollout, 0, 1, &next));
    assert_string_equal(next.what, "a person (promote, abort, rollback); phase 1: its "
                                   "gates");
    /* With enough devices it is held for a while: evidence may decide. */
    world->rollout.holds_for_person = false;
    assert_true(flo_rollout_next(&world->rollout, 0, 1, &next));
    assert_non_null(strstr(next.what, "or more evidence"));
    operator_does(world, FLO_ROLLOUT_EVENT_PROMOTE);
    goes_well(world, 2);
    goes_well(world, 3);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_COMPLETED);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_devices_never_decide_where_eight_are_needed),
        cmocka_unit_test(a_phase_that_is_too_small_is_named_with_its_sizes),
        cmocka_unit_test(devices_of_different_classes_are_not_compared),
        cmocka_unit_test(gates_that_hold_nothing_up_lack_nothing),
        cmocka_unit_test(a_analysis_lacks_controls_in_a_small_fleet),
        cmocka_unit_test(a_person_who_was_promised_is_asked_when_all_have_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
