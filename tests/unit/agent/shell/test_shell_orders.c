/* Orders and an operator at the device: which order holds, its answer, and
 * which releases may come again after they were taken back. */
#include <signal.h>
#include <sys/resource.h>

#include <flotilla/errors/target.h>

#include "order_world.h"
#include "unit/waits.h"

static void who_stands_at_the_device_is_newer_than_any_order(void **state)
{
    (void)state;
    strcpy(shell.models[0].slots.model, "tiny");
    roll_back(7, 9);

    assert_false(is_denied_by_hand());
}

/* Read again, as a start does: serve is told before its first request. */
static void an_order_about_prompts_is_on_disk_and_told_to_serve(void **state)
{
    struct flo_device device;
    struct flo_err err = {0};

    (void)state;
    order(7, begun_ms, "prompts", "\"stay\":1");
    assert_int_equal(acted, 1); /* the core answers */
    assert_true(serve_keeps_prompts);
    assert_int_equal(flo_store_device_read(shell.store, &device, &err), 0);
    assert_true(device.prompts_stay);
    assert_int_equal(device.prompts.number, 7);
    order(6, begun_ms, "prompts", "\"stay\":0");
    assert_true(was_told("superseded"));
    assert_true(serve_keeps_prompts);
    order(9, begun_ms, "prompts", "\"stay\":0");
    assert_false(serve_keeps_prompts);
}

static void a_record_that_cannot_be_read_keeps_prompts(void **state)
{
    (void)state;
    assert_false(flo_shell_prompts_stay(&shell));
    shell.records->is_unread = true;
    assert_true(flo_shell_prompts_stay(&shell));
}

/* Prompts were kept by the controller of the fleet before. */
static void another_fleet_begins_without_the_stay_of_the_one_before(void **state)
{
    (void)state;
    shell.identity.is_there = true;
    snprintf(shell.identity.fleet, sizeof(shell.identity.fleet), "before");
    flo_shell_device_move(&shell);
    shell.device.prompts_stay = shell.device.prompts_stay_emergency = true;
    flo_shell_device_move(&shell);
    assert_true(shell.device.prompts_stay && shell.device.prompts_stay_emergency);
    snprintf(shell.identity.fleet, sizeof(shell.identity.fleet), "demo");
    flo_shell_device_move(&shell);
    assert_false(shell.device.prompts_stay || shell.device.prompts_stay_emergency);
}

static void what_failed_here_is_denied_by_hand_too(void **state)
{
    (void)state;
    strcpy(shell.models[0].slots.model, "tiny");
    deny(FLO_DENIAL_FAULT, 7);

    assert_true(is_denied_by_hand());
}

static void what_was_taken_back_by_hand_stays_so_until_it_is_lifted(void **state)
{
    (void)state;
    deploy(7, 9, "");
    deny(FLO_DENIAL_ORDERED, 0);

    assert_true(is_denied_to_order(8, ""));
    assert_true(is_denied_to_order(9, ",\"lift\":6"));
    assert_false(is_denied_to_order(10, ",\"lift\":9"));
}

static void at_the_device_the_last_word_holds(void **state)
{
    (void)state;
    deploy(7, 9, "");
    deny(FLO_DENIAL_ORDERED, 0);
    assert_false(is_denied_by_hand()); /* allows it: no order came between */
    deny(FLO_DENIAL_ORDERED, 0);

    assert_true(is_denied_to_order(8, ""));
}

static void an_order_lifts_what_was_too_slow_and_no_fault(void **state)
{
    (void)state;
    deploy(7, 9, "");
    deny(FLO_DENIAL_SPEED, 7);
    assert_true(is_denied_to_order(8, ""));
    assert_false(is_denied_to_order(9, ",\"lift\":8"));
    deny(FLO_DENIAL_MEMORY, 9);
    assert_false(is_denied_to_order(10, ",\"lift\":9"));
    deny(FLO_DENIAL_FAULT, 10);
    assert_true(is_denied_to_order(11, ",\"lift\":10"));
}

static void an_order_for_a_report_is_done_when_the_report_is_there(void **state)
{
    (void)state;
    reported[0] = '\0';
    order(7, begun_ms, "logs", "\"lines\":10");
    assert_string_equal(reported, "o-7");
    assert_string_equal(told, ""); /* not before it is there */
    assert_int_equal(acted, 0);

    reported[0] = '\0';
    order(7, begun_ms, "logs", "\"lines\":10"); /* asked again */
    assert_string_equal(reported, "o-7");
    flo_shell_answer(&shell, "o-7", "done", NULL);
    reported[0] = '\0';
    order(7, begun_ms, "logs", "\"lines\":10");
    assert_string_equal(reported, "");
    assert_true(was_told("done"));

    order(6, begun_ms, "doctor", "");
    assert_string_equal(reported, "");
    assert_true(was_told("superseded"));
    order(8, begun_ms, "doctor", "");
    assert_string_equal(reported, "o-8");
}

/* The disk takes nothing, or everything again. */
static void let_disk_fail(bool fails)
{
    struct rlimit limit;

    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = fails ? 0 : limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void an_order_that_cannot_be_kept_has_to_come_again(void **state)
{
    (void)state;
    deploy(7, 1, "");
    assert_false(shell.records->orders_are_due);
    told[0] = '\0';
    let_disk_fail(true);
    roll_back(8, 1);
    let_disk_fail(false);

    assert_true(shell.records->orders_are_due);
    assert_string_equal(told, "");
    assert_int_equal(shell.models[0].slots.stated.number, 7);
    assert_int_equal(notes, 1);
    notes = 0;
}

/* A failing disk is why people ask. */
static void a_report_comes_from_a_device_that_keeps_nothing(void **state)
{
    (void)state;
    let_disk_fail(true);
    roll_back(8, 1);
    roll_back(9, 1);
    assert_int_equal(notes, 1); /* said once */
    assert_int_equal(shell.records->degraded.error.code, FLO_E_IO_WRITE);

    reported[0] = '\0';
    order(10, begun_ms, "doctor", "");
    assert_string_equal(reported, "o-10");
    let_disk_fail(false);
    notes = 0;
}

/* A clock may jump and be right again between two heartbeats. */
static void an_order_that_a_wrong_clock_refused_has_to_come_again(void **state)
{
    int64_t ahead_ms = (int64_t)waits_wall_ms() - (int64_t)waits_now_ms();

    (void)state;
    shell.device.trusted_time_ms = begun_ms;                         /* it was good yesterday */
    shell.records->clock_ahead_ms = ahead_ms - 30 * (int64_t)DAY_MS; /* seen last */
    order(7, begun_ms - 400 * DAY_MS, "unfreeze", "");
    assert_true(was_told("cmd.expired"));
    assert_true(shell.records->orders_are_due);

    shell.records->orders_are_due = false; /* asked for: it is as old as before */
    order(7, begun_ms - 400 * DAY_MS, "unfreeze", "");
    assert_false(shell.records->orders_are_due);
    assert_int_equal(acted, 0);
    alarms = 0;
}

static void an_older_deploy_is_superseded_and_no_alarm(void **state)
{
    struct flo_digest want = {{5}};
    struct flo_slots slots;

    (void)state;
    deploy(105, 5, "");
    assert_int_equal(denied, 0);
    deploy(104, 4, "");

    assert_int_equal(denied, -1); /* the core heard nothing */
    assert_true(was_told("\"superseded\""));
    assert_true(was_told("\"order\":\"o-105\""));
    assert_true(was_told("\"number\":105"));
    assert_int_equal(alarms, 0);
    slots = on_disk();
    assert_true(flo_digest_equal(&slots.stated.target, &want));
    assert_int_equal(slots.stated.number, 105);
}

static void an_older_unfreeze_lifts_no_newer_freeze(void **state)
{
    struct flo_device device;

    (void)state;
    order(8, waits_wall_ms(), "freeze", "");
    acted = 0;
    order(7, waits_wall_ms(), "unfreeze", "");

    assert_int_equal(acted, 0);
    assert_true(was_told("\"superseded\""));
    assert_int_equal(alarms, 0);
    assert_int_equal(flo_store_device_read(shell.store, &device, NULL), 0);
    assert_true(device.is_frozen);
    assert_int_equal(device.freeze.number, 8);
}

/* Its answer is what is, not what was. */
static void a_deploy_that_came_to_pass_is_carried_out_again_when_undone(void **state)
{
    struct flo_agent_execution done = {.id = "r-7.1",
                                       .rollout = "r-7",
                                       .order = "o-7",
                                       .attempt = 1,
                                       .state = FLO_EXECUTION_SUCCEEDED,
                                       .release = release()};

    (void)state;
    deploy(7, 9, "");
    flo_events_add(shell.db, FLO_EVENT_NEWS, json_pack("{s:s}", "type", "execution"), &done);
    flo_events_flush(shell.db);
    flo_shell_stated_end(&shell, 0, &done);
    shell.agent.models[0].slots.current = release();
    deploy(7, 9, "");
    assert_int_equal(denied, -1);
    assert_true(was_told("\"done\""));

    memset(&shell.agent.models[0].slots.current, 0, sizeof(shell.agent.models[0].slots.current));
    deploy(7, 9, "");
    assert_int_equal(denied, 0); /* the core hears of it again */
}

static void one_that_ended_badly_is_not_tried_again_by_the_same_order(void **state)
{
    struct flo_agent_execution bad = {.id = "r-7.1",
                                      .rollout = "r-7",
                                      .order = "o-7",
                                      .attempt = 1,
                                      .state = FLO_EXECUTION_TIMED_OUT,
                                      .release = release()};

    (void)state;
    deploy(7, 9, "");
    flo_events_add(shell.db, FLO_EVENT_NEWS, json_pack("{s:s}", "type", "execution"), &bad);
    flo_events_flush(shell.db);
    flo_shell_stated_end(&shell, 0, &bad);
    flo_shell_answer(&shell, "o-7", "refused", NULL);
    deploy(7, 9, "");

    assert_int_equal(denied, -1);
    assert_true(was_told("\"refused\""));
}

static void one_below_the_floor_is_refused_unless_the_order_says_so(void **state)
{
    (void)state;
    strcpy(shell.models[0].slots.model, "tiny");
    shell.models[0].slots.floor = 41;

    deploy(7, 9, ",\"number\":40");
    assert_int_equal(refusal, FLO_E_TARGET_FLOOR);
    deploy(8, 9, ",\"number\":40,\"below_floor\":true");
    assert_int_equal(refusal, 0);
    assert_int_equal(denied, 0);
}

static void a_rollback_is_carried_out_once(void **state)
{
    (void)state;
    deploy(6, 5, "");
    acted = 0;
    roll_back(7, 9);
    assert_int_equal(acted, 1);
    flo_shell_stated_acked(&shell, 0, "o-7", "done");
    flo_shell_answer(&shell, "o-7", "done", NULL);
    roll_back(7, 9);

    assert_int_equal(acted, 1);
    assert_true(was_told("\"done\""));
}

/* It runs what is taken back, and was assigned something newer since. */
static void an_older_rollback_of_what_runs_acts_and_then_what_is_assigned(void **state)
{
    (void)state;
    deploy(8, 5, "");
    shell.agent.models[0].slots.current = release();
    acted = 0;
    denied = -1;
    roll_back(7, 9);
    assert_int_equal(acted, 1);

    shell.agent.models[0].slots.current.digest.bytes[0] = 1;
    assert_true(flo_orders_converge(&shell, &shell.loop->intake));
    take_event(&shell.loop->intake.event);
    assert_int_equal(denied, 0); /* the core hears of 8 again */
    assert_false(flo_orders_converge(&shell, &shell.loop->intake));
}

static void an_order_about_a_model_that_does_not_serve_is_kept_too(void **state)
{
    struct flo_slots other;
    struct flo_digest one = {{1}};

    (void)state;
    strcpy(shell.models[0].slots.model, "other");
    shell.models[0].slots.current = one;
    roll_back(7, 9);

    assert_string_equal(shell.models[0].slots.model, "other");
    assert_int_equal(shell.models[0].slots.stated.number, 0);
    other = on_disk();
    assert_int_equal(other.stated.number, 7);
    one.bytes[0] = 9;
    assert_true(flo_slots_is_denied(&other, &one, 0));
}

static void of_too_many_models_the_oldest_is_forgotten(void **state)
{
    char models[64][FLO_NAME_MAX + 1];
    size_t count = 0;
    char args[256];
    uint64_t i;

    (void)state;
    denied = -1;
    for (i = 1; i <= FLO_MODELS_KEPT_MAX + 3; i++) {
        snprintf(args, sizeof(args),
                 "\"model\":\"m%llu\",\"to\":\"previous\",\"from\":["
                 "\"sha256:09000000000000000000000000000000000000000000000000"
                 "00000000000000\"]",
                 (unsigned long long)i);
        order(i, waits_wall_ms(), "rollback", args);
    }

    assert_int_equal(flo_store_models(shell.store, models, 64, &count, NULL), 0);
    assert_in_range(count, 1, FLO_MODELS_KEPT_MAX + 1);
    assert_true(shell.device.models_folded >= 1);
    told[0] = '\0';
    order(1, waits_wall_ms(), "rollback",
          "\"model\":\"m1\",\"to\":\"previous\",\"from\":[\"sha256:"
          "0900000000000000000000000000000000000000000000000000000000000000"
          "\"]");
    assert_true(was_told("\"superseded\""));
    told[0] = '\0';
    order(1, waits_wall_ms(), "deploy",
          "\"model\":\"m1\",\"version\":\"2.1.0\",\"rollout\":\"r-1\","
          "\"phase\":0,\"release\":\"sha256:"
          "0800000000000000000000000000000000000000000000000000000000000000"
          "\"");
    assert_true(was_told("\"superseded\"")); /* its record denies alone */
    assert_int_equal(denied, -1);
}

/* It serves from then on; gives its place. */
static uint32_t serve(uint64_t number, const char *name)
{
    model = name;
    deploy(number, 1, "");
    model = "tiny";
    uint32_t place = shell.loop->intake.event.model;
    shell.agent.models[place].slots.current.digest.bytes[0] = 1;
    return denied == 0 ? place : FLO_NO_MODEL;
}

static void a_model_that_has_nothing_here_gives_its_place_away(void **state)
{
    char name[16];

    (void)state;
    deploy(6, 1, ""); /* nothing of tiny comes */
    for (uint32_t i = 1; i < FLO_AGENT_MODELS_MAX; i++) {
        snprintf(name, sizeof(name), "m%u", i);
        assert_int_equal(serve(6 + i, name), i);
        assert_int_equal(shell.models[i].slots.stated.number, 6 + i);
    }
    assert_int_equal(serve(100, "late"), 0);
    assert_int_equal(on_disk().stated.number, 6);
    assert_int_equal(serve(101, "later"), FLO_NO_MODEL);
    assert_true(was_told("target.limit"));
    assert_int_equal(alarms, 0);
}

static void a_removal_is_of_its_model_alone(void **state)
{
    (void)state;
    serve(7, "tiny");
    serve(8, "alarm");
    order(9, begun_ms, "remove", "\"model\":\"alarm\",\"keep\":\"none\"");
    assert_int_equal(shell.loop->intake.event.model, 1);
    assert_int_equal(acted, 1);
    order(10, begun_ms, "remove", "\"model\":\"none\",\"keep\":\"none\"");
    assert_int_equal(acted, 1);
    assert_true(was_told("\"done\""));
    order(10, begun_ms, "remove", "\"model\":\"none\",\"keep\":\"none\"");
    assert_int_equal(acted, 1);
}

static void a_pause_holds_over_a_restart(void **state)
{
    struct flo_agent_pauses pauses;
    struct flo_device device;

    (void)state;
    order(7, waits_wall_ms(), "pause", "\"rollout\":\"r-1\"");
    assert_int_equal(flo_store_device_read(shell.store, &device, NULL), 0);
    shell.device = device;
    flo_shell_pauses(&shell, &pauses);
    assert_string_equal(pauses.rollouts[0], "r-1");

    order(8, waits_wall_ms(), "resume", "\"rollout\":\"r-1\"");
    flo_shell_pauses(&shell, &pauses);
    assert_string_equal(pauses.rollouts[0], "");
}

/* Else an older order to deploy, which comes later, would bring it. */
static void a_model_that_was_never_here_is_removed_for_good(void **state)
{
    (void)state;
    order(7, begun_ms, "remove", "\"model\":\"tiny\"");
    assert_true(was_told("done"));
    assert_int_equal(acted, 0);
    assert_true(on_disk().is_removed);
    assert_int_equal(on_disk().stated.outcome, FLO_STATED_DONE);
    deploy(6, 9, "");

    assert_int_equal(denied, -1);
    assert_true(was_told("superseded"));
}

/* Before its start the core calls each place idle. */
static void a_model_that_serves_gives_its_place_to_no_other(void **state)
{
    struct flo_err err = {0};
    uint32_t place;

    (void)state;
    for (uint32_t i = 0; i < FLO_AGENT_MODELS_MAX; i++) {
        struct flo_slots *slots = &shell.models[i].slots;
        snprintf(slots->model, sizeof(slots->model), "m%u", i);
        slots->current.bytes[0] = 1;
    }
    assert_int_equal(flo_shell_model_take(&shell, "tiny", &place, &err), FLO_E_TARGET_LIMIT);
    memset(&shell.models[5].slots.current, 0, 32);
    assert_int_equal(flo_shell_model_take(&shell, "tiny", &place, &err), 0);
    assert_int_equal(place, 5);
    assert_string_equal(shell.models[5].slots.model, "tiny");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_model_that_was_never_here_is_removed_for_good, begin,
                                        end),
        cmocka_unit_test_setup_teardown(a_model_that_serves_gives_its_place_to_no_other, begin,
                                        end),
        cmocka_unit_test_setup_teardown(who_stands_at_the_device_is_newer_than_any_order, begin,
                                        end),
        cmocka_unit_test_setup_teardown(an_order_about_prompts_is_on_disk_and_told_to_serve, begin,
                                        end),
        cmocka_unit_test_setup_teardown(a_record_that_cannot_be_read_keeps_prompts, begin, end),
        cmocka_unit_test_setup_teardown(another_fleet_begins_without_the_stay_of_the_one_before,
                                        begin, end),
        cmocka_unit_test_setup_teardown(what_failed_here_is_denied_by_hand_too, begin, end),
        cmocka_unit_test_setup_teardown(what_was_taken_back_by_hand_stays_so_until_it_is_lifted,
                                        begin, end),
        cmocka_unit_test_setup_teardown(at_the_device_the_last_word_holds, begin, end),
        cmocka_unit_test_setup_teardown(an_order_lifts_what_was_too_slow_and_no_fault, begin, end),
        cmocka_unit_test_setup_teardown(an_order_for_a_report_is_done_when_the_report_is_there,
                                        begin, end),
        cmocka_unit_test_setup_teardown(an_order_that_a_wrong_clock_refused_has_to_come_again,
                                        begin, end),
        cmocka_unit_test_setup_teardown(an_order_that_cannot_be_kept_has_to_come_again, begin, end),
        cmocka_unit_test_setup_teardown(a_report_comes_from_a_device_that_keeps_nothing, begin,
                                        end),
        cmocka_unit_test_setup_teardown(an_older_deploy_is_superseded_and_no_alarm, begin, end),
        cmocka_unit_test_setup_teardown(an_older_unfreeze_lifts_no_newer_freeze, begin, end),
        cmocka_unit_test_setup_teardown(a_deploy_that_came_to_pass_is_carried_out_again_when_undone,
                                        begin, end),
        cmocka_unit_test_setup_teardown(one_that_ended_badly_is_not_tried_again_by_the_same_order,
                                        begin, end),
        cmocka_unit_test_setup_teardown(one_below_the_floor_is_refused_unless_the_order_says_so,
                                        begin, end),
        cmocka_unit_test_setup_teardown(a_rollback_is_carried_out_once, begin, end),
        cmocka_unit_test_setup_teardown(
            an_older_rollback_of_what_runs_acts_and_then_what_is_assigned, begin, end),
        cmocka_unit_test_setup_teardown(an_order_about_a_model_that_does_not_serve_is_kept_too,
                                        begin, end),
        cmocka_unit_test_setup_teardown(of_too_many_models_the_oldest_is_forgotten, begin, end),
        cmocka_unit_test_setup_teardown(a_model_that_has_nothing_here_gives_its_place_away, begin,
                                        end),
        cmocka_unit_test_setup_teardown(a_removal_is_of_its_model_alone, begin, end),
        cmocka_unit_test_setup_teardown(a_pause_holds_over_a_restart, begin, end),
    };

    flo_log_level_set(FLO_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
