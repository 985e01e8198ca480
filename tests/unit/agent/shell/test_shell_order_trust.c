/* Orders and trust: the clock, epochs, a disk that fails, and answers that
 * were given before. */
#include "order_world.h"

#include <signal.h>
#include <sys/resource.h>

#include <flotilla/errors/clock.h>
#include <flotilla/errors/target.h>

#include "unit/waits.h"

/* It is now, but for the time that this test takes. */
static bool is_now(uint64_t at_ms)
{
    return at_ms >= begun_ms && at_ms < begun_ms + DAY_MS;
}

/* The clock is kept right by nobody, so it is taken: and no more than that. */
static void one_order_of_next_year_ends_no_later_ones(void **state)
{
    (void)state;
    order(7, begun_ms + 399 * DAY_MS, "pause", "\"rollout\":\"r-1\"");
    assert_int_equal(acted, 1);
    order(8, begun_ms, "freeze", "");

    assert_true(shell.device.is_frozen);
    assert_int_equal(alarms, 0);
    assert_true(is_now(shell.device.trusted_time_ms));
}

static void the_controller_gave_out(uint64_t number)
{
    shell.trust->order_number = number;
    shell.trust->order_number_ms = UINT64_MAX; /* after any order */
}

/* A controller whose clock was a year ahead, and then right: nobody had confirmed
 * the device's clock.  The order waits until the controller has said what time it
 * is. */
static void two_orders_of_next_year_are_given_up(void **state)
{
    (void)state;
    order(7, begun_ms + 398 * DAY_MS, "pause", "\"rollout\":\"r-1\"");
    order(8, begun_ms + 399 * DAY_MS, "pause", "\"rollout\":\"r-2\"");
    order(9, begun_ms, "freeze", "");
    assert_false(shell.device.is_frozen);
    assert_int_equal(alarms, 0);
    assert_true(shell.records->orders_are_due); /* it comes again */

    assert_true(flo_shell_clock_claim(&shell, begun_ms + 1, true));
    the_controller_gave_out(9);
    order(9, begun_ms, "freeze", "");
    assert_true(shell.device.is_frozen);
    assert_true(is_now(shell.device.trusted_time_ms));
}

static void statements_move_no_time_past_the_certificates(void **state)
{
    (void)state;
    shell.device.needed_until_ms = begun_ms + 89 * DAY_MS;
    order(7, begun_ms + 398 * DAY_MS, "pause", "\"rollout\":\"r-1\"");
    order(8, begun_ms + 399 * DAY_MS, "pause", "\"rollout\":\"r-2\"");
    assert_int_equal(flo_shell_clock_ms(&shell), begun_ms + 89 * DAY_MS);
    assert_true(flo_shell_clock_claim(&shell, begun_ms + 400 * DAY_MS, true));
    assert_int_equal(flo_shell_clock_ms(&shell), begun_ms + 89 * DAY_MS);
    notes = 0; /* the clocks that differ were told */
}

/* The clock that a statement confirmed counts, whatever the next ones say. */
static void a_good_clock_denies_orders_of_next_year(void **state)
{
    (void)state;
    order(6, begun_ms, "unfreeze", "");
    order(7, begun_ms + 398 * DAY_MS, "pause", "\"rollout\":\"r-1\"");
    assert_true(was_told("cmd.future"));
    assert_true(flo_shell_clock_claim(&shell, begun_ms + 400 * DAY_MS, true));
    order(9, begun_ms, "freeze", "");
    assert_true(shell.device.is_frozen);
    alarms = notes = 0;
}

/* The orders of a controller whose clock was a year ahead. */
static void a_clock_that_is_kept_right_denies_what_two_orders_said(void **state)
{
    (void)state;
    order(7, begun_ms + 398 * DAY_MS, "pause", "\"rollout\":\"r-1\"");
    order(8, begun_ms + 399 * DAY_MS, "pause", "\"rollout\":\"r-2\"");
    is_kept_right = true;
    order(10, begun_ms, "freeze", "");
    assert_true(shell.device.is_frozen);
}

static void whose_clock_is_wrong_is_told_once(void **state)
{
    (void)state;
    shell.device.trusted_time_ms = begun_ms; /* this one's is good */
    for (int i = 0; i < 2; i++) {
        flo_shell_clock_claim(&shell, begun_ms + 400 * DAY_MS, true);
        assert_int_equal(shell.records->clock_told, FLO_E_CLOCK_AHEAD);
        assert_int_equal(notes, 1);
    }
    flo_shell_clock_claim(&shell, begun_ms, true);
    assert_int_equal(shell.records->clock_told, 0);
    flo_shell_clock_claim(&shell, begun_ms - 9 * DAY_MS, true);
    assert_int_equal(shell.records->clock_told, FLO_E_CLOCK_BEHIND);

    shell.records->good_ahead_ms = 0; /* nobody knows its clock */
    shell.device.trusted_time_ms = begun_ms - 40 * DAY_MS;
    flo_shell_clock_claim(&shell, begun_ms - 40 * DAY_MS, true);
    assert_int_equal(shell.records->clock_told, FLO_E_CLOCK_AHEAD);
    assert_int_equal(notes, 3);
    notes = 0; /* these were awaited */
}

static void a_device_knows_that_its_own_clock_is_wrong(void **state)
{
    struct flo_err err = {0};

    (void)state;
    shell.device.trusted_time_ms = begun_ms;
    assert_false(flo_shell_clock_is_wrong(&shell, &err));
    shell.device.trusted_time_ms = begun_ms + 400 * DAY_MS;
    assert_true(flo_shell_clock_is_wrong(&shell, &err));
    assert_int_equal(err.code, FLO_E_CLOCK_BEHIND);
    is_kept_right = true;
    assert_false(flo_shell_clock_is_wrong(&shell, &err));
}

static void an_epoch_that_no_trusted_list_names_is_refused(void **state)
{
    (void)state;
    epoch = UINT32_MAX;
    order(7, begun_ms, "unfreeze", "");
    epoch = 2;
    order(8, begun_ms, "unfreeze", "");
    epoch = 1;
    assert_int_equal(acted, 0);
    assert_int_equal(alarms, 2);
    assert_true(was_told("cmd.epoch"));
    order(9, begun_ms, "freeze", "");

    assert_true(shell.device.is_frozen);
    assert_int_equal(shell.device.epoch, 1);
    assert_int_equal(shell.device.era, 0);
}

/* A device that was away for 20,000 orders, or whose controller came from a
 * backup. */
static void a_leap_of_numbers_waits_for_the_controllers_word(void **state)
{
    (void)state;
    order(7, begun_ms, "freeze", "");
    order(20008, begun_ms, "unfreeze", "");
    assert_true(shell.device.is_frozen);
    assert_true(shell.records->orders_are_due); /* it comes again */
    assert_int_equal(alarms, 0);

    the_controller_gave_out(20010);
    order(20008, begun_ms, "unfreeze", "");
    assert_false(shell.device.is_frozen);
    order(20008 + FLO_NUMBER_LEAP, begun_ms, "freeze", "");
    assert_true(shell.device.is_frozen);
    assert_int_equal(alarms, 0);
}

static void a_leap_that_is_nobodys_is_refused_and_told(void **state)
{
    (void)state;
    order(7, begun_ms, "unfreeze", "");
    order(UINT32_MAX, begun_ms, "freeze", "");
    assert_int_equal(alarms, 0);
    the_controller_gave_out(12); /* asked after it came */
    order(UINT32_MAX, begun_ms, "freeze", "");
    assert_false(shell.device.is_frozen);
    assert_true(was_told("cmd.leap"));
    assert_int_equal(alarms, 1);
    assert_int_equal(shell.device.top, 7);
}

/* No file takes a byte more, as on a disk that is full. */
static void disk_fails(bool fails)
{
    struct rlimit limit;

    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = fails ? 0 : limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void what_is_not_on_the_disk_neither_acts_nor_is_answered(void **state)
{
    (void)state;
    disk_fails(true);
    denied = -1;
    deploy(7, 9, "");
    roll_back(8, 5);
    order(9, begun_ms, "freeze", "");
    disk_fails(false);
    assert_int_equal(denied, -1);
    assert_int_equal(acted, 0);
    assert_int_equal(answers, 0);
    assert_false(shell.device.is_frozen);
    assert_int_equal(shell.models[0].slots.stated.number, 0);
    assert_int_equal(notes, 1); /* of one disk */
    notes = 0;

    deploy(7, 9, "");
    assert_int_equal(denied, 0);
    assert_int_equal(on_disk().stated.number, 7);
    order(9, begun_ms, "freeze", "");
    assert_true(shell.device.is_frozen);
}

/* The list of trusted keys after a second enrolment: the same key. */
static void the_list_says(unsigned list_epoch)
{
    char pem[FLO_PUBLIC_KEY_PEM_MAX];
    struct flo_buf text = {0};
    struct flo_err err = {0};

    flo_trust_free(shell.identity.trust);
    flo_public_key_pem(flo_key_public(key), pem);
    flo_buf_printf(&text,
                   "{\"v\":1,\"fleet\":\"demo\",\"epoch\":%u,"
                   "\"keys\":[{\"pem\":\"",
                   list_epoch);
    flo_buf_json_text(&text, pem, strlen(pem));
    flo_buf_text(&text, "\",\"roles\":[\"order\"]}]}");
    assert_int_equal(flo_trust_parse(text.data, text.bytes, &shell.identity.trust, &err), 0);
    flo_buf_deinit(&text);
}

static void order_of_epoch(unsigned of, uint64_t number, const char *op)
{
    epoch = of;
    order(number, begun_ms, op, "");
    epoch = 1;
}

static void the_next_epoch_comes_with_the_list_that_says_so(void **state)
{
    (void)state;
    order_of_epoch(1, 700, "freeze");
    the_list_says(2);
    order_of_epoch(1, 701, "unfreeze"); /* still under way */
    assert_int_equal(acted, 2);
    order_of_epoch(2, 1, "freeze"); /* numbers start from one */
    assert_int_equal(acted, 3);
    assert_int_equal(alarms, 0);
    assert_true(shell.device.is_frozen);
    assert_int_equal(shell.device.epoch, 2);
    assert_int_equal(shell.device.era, 1);
    order_of_epoch(1, 900, "unfreeze");

    assert_int_equal(acted, 3);
    assert_int_equal(alarms, 1);
    assert_true(was_told("cmd.epoch"));
    assert_true(shell.device.is_frozen);
}

/* Nor does a list move it further than that. */
static void no_epoch_is_left_out(void **state)
{
    const unsigned later[] = {3, UINT32_MAX};
    (void)state;

    for (size_t i = 0; i < FLO_COUNT(later); i++) {
        the_list_says(later[i]);
        order_of_epoch(later[i], 7 + i, "freeze");
        order_of_epoch(2, 17 + i, "freeze");
        assert_int_equal(alarms, 2 * (i + 1));
        assert_true(was_told("cmd.epoch"));
    }
    assert_int_equal(acted, 0);
    assert_false(shell.device.is_frozen);
    assert_int_equal(shell.device.epoch, 1);
    order_of_epoch(1, 30, "freeze");

    assert_true(shell.device.is_frozen);
}

/* The time of that one order is kept, and after a restart it is still one
 * voice. */
static void one_order_of_next_year_is_one_voice_after_a_restart(void **state)
{
    struct flo_err err = {0};
    (void)state;

    order(7, begun_ms + 399 * DAY_MS, "pause", "\"rollout\":\"r-1\"");
    memset(&shell.device, 0, sizeof(shell.device));
    assert_int_equal(flo_store_device_read(shell.store, &shell.device, &err), 0);
    order(7, begun_ms + 399 * DAY_MS, "pause", "\"rollout\":\"r-1\"");
    order(8, begun_ms, "freeze", "");

    assert_true(shell.device.is_frozen);
    assert_int_equal(alarms, 0);
    assert_true(is_now(shell.device.trusted_time_ms));
    assert_int_equal(shell.device.claimed_time_ms, begun_ms + 399 * DAY_MS);
}

static void a_number_that_another_order_had_is_told_as_security(void **state)
{
    (void)state;
    deploy(7, 9, "");
    deploy(7, 8, "");

    assert_int_equal(alarms, 1);
    assert_true(was_told("cmd.nonce_reused"));
}

/* DV32: the 49th denial folds the first; it is told, and holds. */
static void a_denial_that_folds_another_is_told_and_both_hold(void **state)
{
    struct flo_slots *slots = &shell.models[0].slots;
    struct flo_digest first = {.bytes = {1, 1}};
    struct flo_err err = {0};

    (void)state;
    for (uint64_t i = 1; i <= 49; i++) {
        struct flo_agent_action action = {
            .kind = FLO_DO_DENY, .cause = FLO_DENIAL_FAULT, .number = i};
        action.release.digest.bytes[0] = (uint8_t)i;
        action.release.digest.bytes[1] = 1;
        slots->candidate = action.release.digest;
        slots->candidate_number = i;
        flo_shell_deny(&shell, &action);
        assert_int_equal(notes, i == 49 ? 1 : 0);
    }
    assert_int_equal(slots->folded, 1);
    assert_int_equal(flo_slots_permit(slots, &first, 1, &err), FLO_E_TARGET_DENIED);
    notes = 0; /* this one was awaited */
}

static void a_device_takes_the_report_interval_of_an_order(void **state)
{
    (void)state;
    order(1, waits_wall_ms(), "config", "\"heartbeat_ms\":2000");

    assert_int_equal(heartbeat_ms, 2000);
    assert_int_equal(acted, 1);
}

/* The device's configuration names the interval. */
static void configure_interval(void)
{
    char path[96];
    struct flo_err err = {0};

    snprintf(path, sizeof(path), "%s/agent.yaml", dir);
    assert_int_equal(flo_file_write(path, "heartbeat: 5s\n", 14, 0600, &err), 0);
    flo_settings_deinit(&shell.settings);
    assert_int_equal(flo_settings_load(path, dir, &shell.settings, &err), 0);
}

/* Its configuration is above the controller's spec. */
static void one_that_has_its_own_interval_ignores_it_and_says_so(void **state)
{
    (void)state;
    configure_interval();
    order(1, waits_wall_ms(), "config", "\"heartbeat_ms\":2000");

    assert_int_equal(heartbeat_ms, 0);
    assert_true(was_told("ignored"));
    assert_int_equal(acted, 0);
}

/* A list comes with each connection and each change, and holds up to eight
 * orders: a fleet of 10,000 would answer 80,000 times. */
static void what_was_told_is_not_told_again_for_a_list(void **state)
{
    (void)state;
    uint64_t issued = waits_wall_ms();

    /* so that each is answered at once */
    configure_interval();
    is_list = true;
    for (int connection = 0; connection < 3; connection++) {
        for (uint64_t seq = 1; seq <= 8; seq++) {
            order(seq, issued, "config", "\"heartbeat_ms\":2000");
        }
    }
    assert_int_equal(answers, 8);

    /* By name the controller asks for an answer that got lost. */
    is_list = false;
    order(3, issued, "config", "\"heartbeat_ms\":2000");
    assert_int_equal(answers, 9);
}

static void what_was_not_told_is_told_when_the_list_comes_again(void **state)
{
    (void)state;
    uint64_t issued = waits_wall_ms();

    /* so that each is answered at once */
    configure_interval();
    is_list = true;
    is_connected = false;
    order(1, issued, "config", "\"heartbeat_ms\":2000");
    assert_int_equal(answers, 0);
    is_connected = true;
    order(1, issued, "config", "\"heartbeat_ms\":2000");
    assert_int_equal(answers, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_told_is_not_told_again_for_a_list, begin, end),
        cmocka_unit_test_setup_teardown(what_was_not_told_is_told_when_the_list_comes_again, begin,
                                        end),
        cmocka_unit_test_setup_teardown(what_is_not_on_the_disk_neither_acts_nor_is_answered, begin,
                                        end),
        cmocka_unit_test_setup_teardown(one_order_of_next_year_ends_no_later_ones, begin, end),
        cmocka_unit_test_setup_teardown(two_orders_of_next_year_are_given_up, begin, end),
        cmocka_unit_test_setup_teardown(statements_move_no_time_past_the_certificates, begin, end),
        cmocka_unit_test_setup_teardown(a_good_clock_denies_orders_of_next_year, begin, end),
        cmocka_unit_test_setup_teardown(whose_clock_is_wrong_is_told_once, begin, end),
        cmocka_unit_test_setup_teardown(a_device_knows_that_its_own_clock_is_wrong, begin, end),
        cmocka_unit_test_setup_teardown(a_clock_that_is_kept_right_denies_what_two_orders_said,
                                        begin, end),
        cmocka_unit_test_setup_teardown(an_epoch_that_no_trusted_list_names_is_refused, begin, end),
        cmocka_unit_test_setup_teardown(a_leap_of_numbers_waits_for_the_controllers_word, begin,
                                        end),
        cmocka_unit_test_setup_teardown(a_leap_that_is_nobodys_is_refused_and_told, begin, end),
        cmocka_unit_test_setup_teardown(the_next_epoch_comes_with_the_list_that_says_so, begin,
                                        end),
        cmocka_unit_test_setup_teardown(no_epoch_is_left_out, begin, end),
        cmocka_unit_test_setup_teardown(one_order_of_next_year_is_one_voice_after_a_restart, begin,
                                        end),
        cmocka_unit_test_setup_teardown(a_number_that_another_order_had_is_told_as_security, begin,
                                        end),
        cmocka_unit_test_setup_teardown(a_denial_that_folds_another_is_told_and_both_hold, begin,
                                        end),
        cmocka_unit_test_setup_teardown(a_device_takes_the_report_interval_of_an_order, begin, end),
        cmocka_unit_test_setup_teardown(one_that_has_its_own_interval_ignores_it_and_says_so, begin,
                                        end),
    };

    flo_log_level_set(FLO_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
