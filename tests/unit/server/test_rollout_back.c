/* The way back: what rolled-back and partly-back mean. */
#include "unit/server/rollout_world.h"

static void a_rollback_waits_for_every_touched_device(void **state)
{
    (void)state;
    struct world *world = world_started(4, 2);

    goes_well(world, 1);
    says(world, 2, 1, FLO_EXECUTION_DOWNLOADING, NULL);
    operator_does(world, FLO_ROLLOUT_EVENT_ROLLBACK);
    about(world, 1, FLO_ROLLOUT_EVENT_BACK);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_ROLLING_BACK);
    says(world, 2, 1, FLO_EXECUTION_CANCELLED, NULL);

    assert_int_equal(state_of(world, 1), FLO_EXECUTION_ROLLED_BACK);
    ends_as(world, FLO_ROLLOUT_ROLLED_BACK, "rollout-rollback");
}

static void a_device_with_nothing_to_go_back_to_ends_the_waiting(void **state)
{
    (void)state;
    struct world *world = world_started(3, 1);

    goes_well(world, 1);
    goes_well(world, 2);
    goes_well(world, 3);
    operator_does(world, FLO_ROLLOUT_EVENT_ROLLBACK);
    about(world, 1, FLO_ROLLOUT_EVENT_BACK);
    about(world, 2, FLO_ROLLOUT_EVENT_STAYS);
    about(world, 3, FLO_ROLLOUT_EVENT_STAYS);

    assert_int_equal(state_of(world, 2), FLO_EXECUTION_SUCCEEDED);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(flo_rollout_member_stays(&world->rollout.members[i]), i > 0);
    }
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_PARTLY_BACK);
    assert_non_null(strstr(world->rollout.reason, "2 with nothing to go back to (d0000002, "
                                                  "d0000003)"));

    /* one loses the model, the other one gets a newer release */
    about(world, 2, FLO_ROLLOUT_EVENT_BACK);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_PARTLY_BACK);
    assert_non_null(strstr(world->rollout.reason, "1 with nothing to go back to (d0000003)"));
    about(world, 3, FLO_ROLLOUT_EVENT_BACK);
    assert_string_equal(world->rollout.reason, "rollback: ops");
    ends_as(world, FLO_ROLLOUT_ROLLED_BACK, "rollout-stays");
}

static void rolled_back_means_that_no_device_may_have_it(void **state)
{
    (void)state;
    struct world *world = world_started(3, 1);

    goes_well(world, 1);
    goes_well(world, 2);
    says(world, 3, 1, FLO_EXECUTION_DOWNLOADING, NULL);
    operator_does(world, FLO_ROLLOUT_EVENT_ROLLBACK);
    about(world, 1, FLO_ROLLOUT_EVENT_BACK);
    about(world, 3, FLO_ROLLOUT_EVENT_BACK);
    wait_ms(world, 3600000);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_PARTLY_BACK);
    assert_non_null(strstr(world->rollout.reason, "not back: 1 without an answer"));
    about(world, 2, FLO_ROLLOUT_EVENT_STAYS);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_PARTLY_BACK);
    assert_non_null(strstr(world->rollout.reason, "1 with nothing to go back to (d0000002)"));
    about(world, 2, FLO_ROLLOUT_EVENT_LEFT);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_ROLLED_BACK);

    /* late news: it took the release after all */
    says(world, 3, 2, FLO_EXECUTION_SOAKING, NULL);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_PARTLY_BACK);
    about(world, 3, FLO_ROLLOUT_EVENT_BACK);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_ROLLED_BACK);
    world_free(world);
}

/* It repaired its only release by the order of the rollout, which was then taken back.
 * The end of the repair and the answer to the rollback overtake each other. */
static void a_repair_that_is_cancelled_leaves_a_release_where_it_is(void **state)
{
    (void)state;
    struct world *world = world_started(3, 1);

    goes_well(world, 1);
    says(world, 2, 1, FLO_EXECUTION_ACCEPTED, NULL);
    says(world, 3, 1, FLO_EXECUTION_ACCEPTED, NULL);
    operator_does(world, FLO_ROLLOUT_EVENT_ROLLBACK);
    about(world, 1, FLO_ROLLOUT_EVENT_BACK);
    about(world, 2, FLO_ROLLOUT_EVENT_STAYS);
    says(world, 2, 1, FLO_EXECUTION_CANCELLED, NULL);
    says(world, 3, 1, FLO_EXECUTION_CANCELLED, NULL);
    about(world, 3, FLO_ROLLOUT_EVENT_STAYS); /* a refusal for another reason */
    assert_non_null(strstr(world->rollout.reason, "1 with nothing to go back to (d0000002)"));
    step(world, (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_STAYS,
                                           .device = world->names[2],
                                           .is_current = true});

    assert_int_equal(world->rollout.state, FLO_ROLLOUT_PARTLY_BACK);
    assert_non_null(strstr(world->rollout.reason, "2 with nothing to go back to (d0000002, "
                                                  "d0000003)"));
    about(world, 2, FLO_ROLLOUT_EVENT_BACK);
    about(world, 3, FLO_ROLLOUT_EVENT_BACK);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_ROLLED_BACK);
    world_free(world);
}

/* It could not write its end, went on after a restart, and told that in a report. */
static void a_device_that_went_on_after_its_failure_has_the_release(void **state)
{
    (void)state;
    struct world *world = world_started(3, 1);

    goes_well(world, 1);
    says(world, 2, 1, FLO_EXECUTION_FAILED, "disk.full");
    says(world, 3, 1, FLO_EXECUTION_FAILED, "disk.full");
    operator_does(world, FLO_ROLLOUT_EVENT_ROLLBACK);
    about(world, 1, FLO_ROLLOUT_EVENT_BACK);
    about(world, 3, FLO_ROLLOUT_EVENT_STAYS); /* a refusal for another reason */
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_ROLLED_BACK);
    step(world, (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_STAYS,
                                           .device = world->names[1],
                                           .is_current = true});

    assert_int_equal(state_of(world, 2), FLO_EXECUTION_SUCCEEDED);
    assert_int_equal(state_of(world, 3), FLO_EXECUTION_FAILED);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_PARTLY_BACK);
    about(world, 2, FLO_ROLLOUT_EVENT_BACK);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_ROLLED_BACK);
    world_free(world);
}

static void a_late_answer_to_the_abort_before_a_rollback_takes_no_device_back(void **state)
{
    (void)state;
    struct world *world = world_started(2, 1);

    goes_well(world, 1);
    operator_does(world, FLO_ROLLOUT_EVENT_ABORT);
    operator_does(world, FLO_ROLLOUT_EVENT_ROLLBACK);
    step(world, (struct flo_rollout_event){
                    .kind = FLO_ROLLOUT_EVENT_BACK, .device = world->names[0], .is_aborted = true});

    assert_int_equal(state_of(world, 1), FLO_EXECUTION_SUCCEEDED);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_ROLLING_BACK);
    about(world, 1, FLO_ROLLOUT_EVENT_STAYS);
    about(world, 2, FLO_ROLLOUT_EVENT_BACK);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_PARTLY_BACK);
    world_free(world);
}

static void an_answer_to_an_abort_takes_no_trial_back_where_a_gate_halted(void **state)
{
    (void)state;
    struct world *world = world_started(4, 2);

    world->rollout.on_fail = FLO_ON_FAIL_HALT;
    says(world, 1, 1, FLO_EXECUTION_SOAKING, NULL);
    says(world, 2, 1, FLO_EXECUTION_FAILED, "probe.speed");
    wait_ms(world, 60000);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_HALTED);
    step(world, (struct flo_rollout_event){
                    .kind = FLO_ROLLOUT_EVENT_BACK, .device = world->names[0], .is_aborted = true});

    assert_int_equal(state_of(world, 1), FLO_EXECUTION_SOAKING);
    world_free(world);
}

/* One event of chance to a device. */
static void meets(struct world *world, uint32_t draw)
{
    static const enum flo_rollout_event_kind kinds[] = {
        FLO_ROLLOUT_EVENT_BACK, FLO_ROLLOUT_EVENT_STAYS, FLO_ROLLOUT_EVENT_LEFT,
        FLO_ROLLOUT_EVENT_HEARD, FLO_ROLLOUT_EVENT_WITHDRAWN};
    static const enum flo_execution states[] = {FLO_EXECUTION_DOWNLOADING, FLO_EXECUTION_SOAKING,
                                                FLO_EXECUTION_SUCCEEDED, FLO_EXECUTION_FAILED,
                                                FLO_EXECUTION_ROLLED_BACK};
    size_t device = 1 + draw / 16 % 12;

    if (draw % 16 < 9) {
        about(world, device, kinds[draw % 16 % FLO_COUNT(kinds)]);
    } else if (draw % 16 < 15) {
        says(world, device, 1 + draw / 256 % 2, states[draw % 16 - 9 < 5 ? draw % 16 - 9 : 0],
             NULL);
    } else {
        wait_ms(world, 600000);
    }
}

/* Beside a rollout that counts all of them at each event. */
static void who_is_left_is_counted_as_if_all_were_counted_again(void **state)
{
    uint32_t draw = 1;
    size_t partly = 0;
    (void)state;
    for (int history = 0; history < 200; history++) {
        struct world *moved = world_started(12, 3);
        struct world *counted = world_started(12, 3);
        for (int i = 0; i < 80; i++) {
            draw = draw * 1664525 + 1013904223;
            if (i == 20 + history % 9) {
                operator_does(moved, FLO_ROLLOUT_EVENT_ROLLBACK);
                operator_does(counted, FLO_ROLLOUT_EVENT_ROLLBACK);
            }
            counted->rollout.left.is_known = false;
            meets(moved, draw >> 8);
            meets(counted, draw >> 8);
            assert_string_equal(moved->rollout.reason, counted->rollout.reason);
            assert_int_equal(moved->rollout.state, counted->rollout.state);
            partly += moved->rollout.state == FLO_ROLLOUT_PARTLY_BACK;
        }
        world_free(moved);
        world_free(counted);
    }
    assert_true(partly > 1000);
}

/* The sentence under the gate `failed` of the present phase. */
static void says_gate(const struct world *world, enum flo_verdict verdict, const char *because)
{
    const struct flo_rollout *rollout = &world->rollout;
    char text[FLO_GATE_TEXT];
    struct flo_gate_result result;

    flo_rollout_gate(rollout, FLO_GATE_FAILED, rollout->phase, &result);
    flo_gate_because(&rollout->gates[FLO_GATE_FAILED], &result, text);
    assert_int_equal(result.verdict, verdict);
    assert_string_equal(text, because);
}

static void devices_that_a_person_took_back_did_not_fail(void **state)
{
    (void)state;
    struct world *world = world_started(3, 1);

    world->rollout.gates[FLO_GATE_FAILED].margin = 2;
    says_gate(world, FLO_VERDICT_INCONCLUSIVE,
              "waits: 0 of 1 device ended; it passes when all of the phase "
              "have");
    for (size_t i = 1; i <= 3; i++) {
        goes_well(world, i);
    }
    says_gate(world, FLO_VERDICT_PASS,
              "passes: 3 of 3 ended well; only bad ends break a limit of 2 %");
    operator_does(world, FLO_ROLLOUT_EVENT_ROLLBACK);
    for (size_t i = 1; i <= 3; i++) {
        about(world, i, FLO_ROLLOUT_EVENT_BACK);
    }
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_ROLLED_BACK);
    says_gate(world, FLO_VERDICT_PASS,
              "passes: 3 of 3 ended well; only bad ends break a limit of 2 %");
    world_free(world);
}

static void a_gate_of_one_that_is_complete_waits_for_nobody(void **state)
{
    (void)state;
    struct world *world = world_started(3, 1);

    world->rollout.gates[FLO_GATE_FAILED].margin = 2;
    for (size_t i = 1; i <= 3; i++) {
        goes_well(world, i);
    }
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_COMPLETED);
    assert_int_equal(step(world, (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_JOINED,
                                                            .device = "e0000001-0000-4000-8000-"
                                                                      "000000000000",
                                                            .is_online = true,
                                                            .bucket = FLO_BUCKETS - 1}),
                     0);
    assert_int_equal(world->rollout.member_count, 4);
    says_gate(world, FLO_VERDICT_PASS,
              "passes: 3 of 3 ended well; only bad ends break a limit of 2 %");
    world_free(world);
}

static void who_approves_sees_the_phases_as_planned(void **state)
{
    (void)state;
    struct world *world = world_new(3, 1);

    world->rollout.approvals_needed = 1;
    join_all(world);
    assert_int_equal(operator_does(world, FLO_ROLLOUT_EVENT_START), 0);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_AWAITING_APPROVAL);
    assert_int_equal(world->rollout.phases[0].members, 1);
    assert_int_equal(world->rollout.phases[1].members, 2);
    assert_int_equal(world->rollout.phases[0].told_to, 0);
    world_free(world);
}

static void a_gate_that_broke_keeps_the_numbers_of_that_moment(void **state)
{
    (void)state;
    struct world *world = world_started(3, 2);

    goes_well(world, 1);
    says(world, 2, 1, FLO_EXECUTION_ROLLED_BACK, "soak.health");
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_ROLLING_BACK);
    says_gate(world, FLO_VERDICT_FAIL,
              "fails: one device of the first phase on which the release "
              "itself failed is enough");
    about(world, 1, FLO_ROLLOUT_EVENT_BACK);
    struct flo_gate_result result;
    flo_rollout_gate(&world->rollout, FLO_GATE_FAILED, 0, &result);
    assert_int_equal(result.bad, 1);
    assert_int_equal(result.done, 2);
    world_free(world);
}

static void waits_for(struct world *world, const char *what)
{
    struct flo_rollout_next next;

    assert_true(flo_rollout_next(&world->rollout, world->now_ms, 1000, &next));
    assert_string_equal(next.what, what);
    assert_true(next.at_ms > world->now_ms + 1000);
}

/* It may stay off for days: who reads "under way" waits for nothing. */
static void one_that_goes_back_says_who_is_offline_and_for_how_long(void **state)
{
    (void)state;
    struct world *world = world_started(2, 2);

    goes_well(world, 1);
    goes_well(world, 2);
    operator_does(world, FLO_ROLLOUT_EVENT_ROLLBACK);
    waits_for(world, "2 are under way");
    about(world, 2, FLO_ROLLOUT_EVENT_GONE);
    waits_for(world, "1 is under way, 1 is offline");
    about(world, 1, FLO_ROLLOUT_EVENT_BACK);
    waits_for(world, "1 is offline");
    world_free(world);
}

/* ---- members in the order of a label that is covered ---- */

/* Two canaries, five more, and a hold-out of three. */
static struct world *world_covered(void)
{
    struct world *world = world_new(10, 2);
    struct flo_rollout *rollout = &world->rollout;

    rollout->is_covered = true;
    rollout->phase_count = 3;
    rollout->phases[0].is_spread = true;
    rollout->phases[1].share_pct = 0;
    rollout->phases[1].devices = 7;
    snprintf(rollout->phases[2].name, FLO_NAME_MAX, "hold-out");
    rollout->phases[2].share_pct = 100;
    rollout->phases[2].is_spread = rollout->phases[2].is_hold_out = true;
    rollout->phases[2].watch_ms = 86400000;
    join_all(world);
    operator_does(world, FLO_ROLLOUT_EVENT_START);
    goes_well(world, 1);
    return world;
}

/* A range names devices by their hash, which is not their place. */
static void early_devices_of_a_covered_label_go_back_by_name(void **state)
{
    (void)state;
    struct world *world = world_covered();

    operator_does(world, FLO_ROLLOUT_EVENT_ROLLBACK);
    about(world, 1, FLO_ROLLOUT_EVENT_BACK);
    says(world, 2, 1, FLO_EXECUTION_CANCELLED, NULL);
    ends_as(world, FLO_ROLLOUT_ROLLED_BACK, "rollout-covered-canary-back");
}

/* ... and once the rest began, one text does for a fleet of any size. */
static void one_order_takes_the_rest_of_a_covered_label_back(void **state)
{
    (void)state;
    struct world *world = world_covered();

    goes_well(world, 2);
    for (size_t i = 3; i <= 7; i++) {
        says(world, i, 1, FLO_EXECUTION_ACCEPTED, NULL);
    }
    operator_does(world, FLO_ROLLOUT_EVENT_ROLLBACK);
    for (size_t i = 1; i <= 7; i++) {
        about(world, i, FLO_ROLLOUT_EVENT_BACK);
    }
    assert_int_equal(state_of(world, 8), FLO_EXECUTION_QUEUED);
    ends_as(world, FLO_ROLLOUT_ROLLED_BACK, "rollout-covered-rest-back");
}

/* A signature for each of a thousand would be as slow as the fleet is large. */
static void more_than_a_hundred_early_devices_go_back_by_one_order(void **state)
{
    (void)state;
    for (uint32_t canary = 100; canary <= 101; canary++) {
        struct world *world = world_new(300, canary);
        bool is_each = false;
        world->rollout.is_covered = true;
        world->rollout.phases[0].is_spread = true;
        world->rollout.phase_count = 3;
        world->rollout.phases[1].share_pct = 0;
        world->rollout.phases[1].devices = 200;
        world->rollout.phases[2].share_pct = 100;
        world->rollout.phases[2].is_hold_out = true;
        join_all(world);
        operator_does(world, FLO_ROLLOUT_EVENT_START);
        operator_does(world, FLO_ROLLOUT_EVENT_ROLLBACK);
        for (size_t i = 0; i < world->actions.count; i++) {
            is_each = is_each || world->actions.items[i].kind == FLO_ROLLOUT_DO_EACH;
        }
        assert_int_equal(is_each, canary <= FLO_ROLLOUT_BACK_BY_NAME_MAX);
        world_free(world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rollback_waits_for_every_touched_device),
        cmocka_unit_test(a_device_with_nothing_to_go_back_to_ends_the_waiting),
        cmocka_unit_test(a_repair_that_is_cancelled_leaves_a_release_where_it_is),
        cmocka_unit_test(a_device_that_went_on_after_its_failure_has_the_release),
        cmocka_unit_test(rolled_back_means_that_no_device_may_have_it),
        cmocka_unit_test(a_late_answer_to_the_abort_before_a_rollback_takes_no_device_back),
        cmocka_unit_test(an_answer_to_an_abort_takes_no_trial_back_where_a_gate_halted),
        cmocka_unit_test(who_is_left_is_counted_as_if_all_were_counted_again),
        cmocka_unit_test(early_devices_of_a_covered_label_go_back_by_name),
        cmocka_unit_test(one_order_takes_the_rest_of_a_covered_label_back),
        cmocka_unit_test(more_than_a_hundred_early_devices_go_back_by_one_order),
        cmocka_unit_test(devices_that_a_person_took_back_did_not_fail),
        cmocka_unit_test(one_that_goes_back_says_who_is_offline_and_for_how_long),
        cmocka_unit_test(a_gate_of_one_that_is_complete_waits_for_nobody),
        cmocka_unit_test(who_approves_sees_the_phases_as_planned),
        cmocka_unit_test(a_gate_that_broke_keeps_the_numbers_of_that_moment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
