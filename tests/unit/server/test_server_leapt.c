/* A controller whose clock leaps: what it refuses, what it hears, and how it goes
 * on by itself, by a person's word, or by its devices'. */
#include <sys/timex.h>

#include <flotilla/errors/clock.h>

#include "server-stub/state/clock/clock.h"
#include "server-stub/state/devices/devices.h"
#include "server-stub/state/orders/orders.h"
#include "server-stub/state/pki/pki.h"
#include "server-stub/state/trust/newest.h"
#include "tests/unit/held_clock.h"
#include "tests/unit/server/world.h"

#define DAY_MS UINT64_C(86400000)
#define LEAP_MS (400 * DAY_MS)

static bool is_kept; /* by a time service */

int adjtimex(struct timex *kernel)
{
    kernel->status = is_kept ? 0 : STA_UNSYNC;
    return is_kept ? TIME_OK : TIME_ERROR;
}

static int set_up(void **state)
{
    is_kept = false;
    held_clock_hold();
    assert_int_equal(world_setup(state), 0);
    flo_clock_tick(((struct world *)*state)->controller);
    return 0;
}

static int tear_down(void **state)
{
    held_clock_release();
    return world_teardown(state);
}

static void leap(struct world *world, uint64_t ms)
{
    held_wall_ms += ms;
    flo_clock_tick(world->controller);
}

/* ---- what signs ---- */

static int sign_order(struct world *world)
{
    char id[FLO_NAME_MAX + 1];

    return flo_orders_fleet(world->controller, FLO_ORDER_FREEZE, "ops", 0, id, &world->err);
}

static int sign_certificate(struct world *world)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf csr = {0}, pem = {0};
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *key = NULL;
    struct flo_certificate facts;

    assert_int_equal(flo_key_generate(&key, &world->err), 0);
    assert_int_equal(flo_csr_make(key, "gw-9", &csr, &world->err), 0);
    return flo_pki_issue(world->controller, flo_pki_newest(world->controller->pki), ids[0],
                         csr.data, &pem, &facts, &world->err);
}

static int sign_authority(struct world *world)
{
    return flo_pki_rotate(world->controller, &world->err);
}

static int sign_newest(struct world *world)
{
    flo_controller_cancel(world->controller);
    int rv = flo_newests_sign(world->controller, &world->err);
    assert_int_equal(flo_controller_begin(world->controller, &(struct flo_err){0}), 0);
    return rv;
}

static int sign_bundle(struct world *world)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *releases = json_array();
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) envelope = {0};
    struct flo_newest newest;

    return flo_newests_bundle(world->controller, releases, 1, &newest, &envelope, &world->err);
}

static int (*const doors[])(struct world *) = {sign_order, sign_certificate, sign_authority,
                                               sign_bundle, sign_newest};

static void each_door(struct world *world, int code)
{
    for (size_t i = 0; i < FLO_COUNT(doors); i++) {
        world->err = (struct flo_err){0};
        assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
        assert_int_equal(doors[i](world), code);
        flo_controller_cancel(world->controller);
        assert_int_equal(world->err.code, code);
    }
}

static int take_what(void *context, const struct flo_audit_record *record,
                     const struct flo_digest *hash)
{
    (void)hash;
    snprintf(context, 64, "%s", record->what);
    return 0;
}

static void newest_record_is(struct world *world, const char *expected)
{
    char what[64] = "";

    assert_int_equal(flo_fleet_audit_newest(world->controller->store, INT64_MAX, 1, take_what, what,
                                            &world->err),
                     0);
    assert_string_equal(what, expected);
}

/* ---- scenes ---- */

static void nothing_is_signed_by_a_clock_that_leapt(void **state)
{
    struct world *world = *state;
    char said[2][25], right[25];

    each_door(world, 0);
    flo_time_text(held_wall_ms, right);
    leap(world, LEAP_MS);
    each_door(world, FLO_E_CLOCK_LEAPT);
    flo_time_text(held_wall_ms, said[0]);
    snprintf(said[1], sizeof(said[1]), "confirm %.10s", said[0]);
    assert_non_null(strstr(world->err.what, "ahead"));
    assert_non_null(strstr(world->err.what, said[0]));
    assert_non_null(strstr(world->err.what, right));
    assert_non_null(strstr(world->err.fix, said[1]));
    assert_false(flo_newests_are_due(world->controller));
    newest_record_is(world, "clock.leapt");

    leap(world, (uint64_t)0 - LEAP_MS);
    each_door(world, 0);
    newest_record_is(world, "clock.right");
}

static void devices_are_heard_and_rollouts_stand_still(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry = start(world, "{\"release\":\"tiny@2.1.0\"}");
    size_t device = device_in_phase(entry, 0);
    uint64_t before_ms = flo_controller_now_ms(world->controller);
    char text[256];

    snprintf(text, sizeof(text),
             "{\"v\":2,\"device\":\"%s\",\"models\":[{\"model\":\"tiny\","
             "\"execution\":{\"id\":\"r-0001.1\",\"state\":\"failed\"}}]}",
             ids[device]);
    event(world, device, "probing");
    leap(world, LEAP_MS);
    send(world, device, "reported", text);
    assert_int_equal(entry->core.state, FLO_ROLLOUT_RUNNING);
    assert_int_equal(world->ingest.dropped, 0);
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(flo_rollouts_step(world->controller, entry,
                                       (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_ABORT},
                                       &world->err),
                     FLO_E_CLOCK_LEAPT);
    assert_int_equal(flo_rollouts_step_all(
                         world->controller,
                         (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_TICK}, &world->err),
                     0);
    assert_int_equal(flo_orders_renew(world->controller, &world->err), 0); /* at each connection */
    flo_controller_cancel(world->controller);
    assert_int_equal(flo_controller_now_ms(world->controller), before_ms);

    leap(world, (uint64_t)0 - LEAP_MS);
    event(world, device, "failed");
    assert_int_equal(entry->core.state, FLO_ROLLOUT_ROLLED_BACK);
}

static int confirm(struct world *world, const char *day)
{
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    int rv = flo_clock_confirm(world->controller, day, &world->err);
    if (rv == 0) {
        assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
    } else {
        flo_controller_cancel(world->controller);
    }
    return rv;
}

static void a_person_types_the_day_and_it_signs_again(void **state)
{
    struct world *world = *state;
    char right[25], day[25];

    flo_time_text(held_wall_ms, right);
    right[10] = '\0';
    assert_int_equal(confirm(world, right), FLO_E_STATE);
    leap(world, LEAP_MS);
    flo_time_text(held_wall_ms, day);
    assert_int_equal(confirm(world, day), FLO_E_REST_MEANING);
    day[10] = '\0';
    assert_int_equal(confirm(world, right), FLO_E_REST_MEANING);
    each_door(world, FLO_E_CLOCK_LEAPT);
    assert_int_equal(confirm(world, day), 0);
    each_door(world, 0);
    flo_clock_tick(world->controller);
    newest_record_is(world, "clock.right");

    leap(world, (uint64_t)0 - LEAP_MS); /* it was not right */
    each_door(world, FLO_E_CLOCK_LEAPT);
    is_kept = true;
    each_door(world, 0);
}

static void says_time(struct world *world, size_t device, bool keeps)
{
    char text[512];

    snprintf(text, sizeof(text),
             "{\"v\":2,\"device\":\"%s\",\"at_ms\":%llu,\"clock_kept\":%s,\"models\":[]}",
             ids[device], (unsigned long long)(held_wall_ms - LEAP_MS), keeps ? "true" : "false");
    send(world, device, "reported", text);
}

static void three_devices_tell_it_and_fewer_do_not(void **state)
{
    struct world *world = *state;

    is_kept = true;
    leap(world, LEAP_MS);
    each_door(world, 0);
    says_time(world, 0, true);
    says_time(world, 1, true);
    says_time(world, 2, false); /* nobody keeps its clock right */
    each_door(world, 0);
    says_time(world, 2, true);
    each_door(world, FLO_E_CLOCK_LEAPT);
    assert_non_null(strstr(world->err.what, "its devices"));
}

/* Their numbers are from before the backup: orders with lower ones are ignored. */
static void a_restored_controller_takes_higher_numbers_when_its_clock_is_right(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry = start(world, "{\"release\":\"tiny@2.1.0\"}");
    size_t device = device_in_phase(entry, 0);
    char before[FLO_NAME_MAX + 1], text[256];

    snprintf(before, sizeof(before), "%s", order_of(world, device));
    snprintf(text, sizeof(text), "{\"v\":2,\"device\":\"%s\",\"top\":999,\"models\":[]}",
             ids[device]);
    world->controller->options.is_restored = true;
    leap(world, LEAP_MS);
    send(world, device, "reported", text);
    assert_int_equal(world->ingest.dropped, 0);
    leap(world, (uint64_t)0 - LEAP_MS);
    send(world, device, "reported", text);
    assert_string_not_equal(order_of(world, device), before);
}

/* A rollout would never hear of it: the device tells an event until it is acknowledged. */
static void an_end_that_came_while_the_clock_had_leapt_is_no_less_an_end(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry = start(world, "{\"release\":\"tiny@2.1.0\"}");
    size_t device = device_in_phase(entry, 0);
    const struct flo_rollout_member *member =
        &entry->core.members[flo_rollout_find(&entry->core, ids[device])];

    leap(world, LEAP_MS);
    event(world, device, "failed");
    leap(world, (uint64_t)0 - LEAP_MS);
    assert_int_not_equal(member->state, FLO_EXECUTION_FAILED);
    world->seq--;
    event(world, device, "failed");
    assert_int_equal(member->state, FLO_EXECUTION_FAILED);
}

static void newcomer_says(struct world *world, const char *word, const char *text)
{
    char topic[FLO_TOPIC_TEXT];

    snprintf(topic, sizeof(topic), "flotilla/v1/demo/d/%s/%s", NEWCOMER, word);
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(flo_ingest(&world->ingest, topic, text, strlen(text), false, &world->err), 0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
}

/* It is a member of the rollout when the clock is right. */
static void a_device_that_comes_while_the_clock_has_leapt_is_no_less_a_member(void **state)
{
    const struct flo_fleet_device device = {.id = NEWCOMER,
                                            .name = "gw-9",
                                            .labels = "{}",
                                            .profile = "{}",
                                            .groups = "[\"all\"]",
                                            .enrolled_at_ms = 1};
    static const char groups[1][FLO_NAME_MAX + 1] = {"all"};
    struct world *world = *state;
    struct flo_rollout_entry *entry = start(world, "{\"release\":\"tiny@2.1.0\"}");

    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(
        flo_fleet_device_add(world->controller->store, &device, groups, 1, &world->err), 0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
    leap(world, LEAP_MS);
    newcomer_says(world, "presence", "{\"v\":1,\"online\":true}");
    newcomer_says(world, "reported", "{\"v\":2,\"device\":\"" NEWCOMER "\",\"models\":[]}");
    assert_int_equal(world->ingest.dropped, 0);
    leap(world, (uint64_t)0 - LEAP_MS);
    newcomer_says(world, "reported", "{\"v\":2,\"device\":\"" NEWCOMER "\",\"models\":[]}");
    assert_int_not_equal(flo_rollout_find(&entry->core, NEWCOMER), SIZE_MAX);
}

static void no_rollout_waits_for_a_device_that_was_retired_during_a_leap(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry = start(world, "{\"release\":\"tiny@2.1.0\"}");
    size_t canary = device_in_phase(entry, 0);
    size_t gone = canary == 0 ? 1 : 0;

    leap(world, LEAP_MS);
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(flo_devices_retire(world->controller, ids[gone], &world->err), 0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
    leap(world, (uint64_t)0 - LEAP_MS);
    event(world, canary, "succeeded");
    for (size_t i = 0; i < FLO_COUNT(ids); i++) {
        if (i != canary && i != gone) {
            event(world, i, "succeeded");
        }
    }
    assert_int_equal(entry->core.state, FLO_ROLLOUT_COMPLETED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_is_signed_by_a_clock_that_leapt, set_up, tear_down),
        cmocka_unit_test_setup_teardown(devices_are_heard_and_rollouts_stand_still, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_person_types_the_day_and_it_signs_again, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(three_devices_tell_it_and_fewer_do_not, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            no_rollout_waits_for_a_device_that_was_retired_during_a_leap, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            a_device_that_comes_while_the_clock_has_leapt_is_no_less_a_member, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            an_end_that_came_while_the_clock_had_leapt_is_no_less_an_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            a_restored_controller_takes_higher_numbers_when_its_clock_is_right, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
