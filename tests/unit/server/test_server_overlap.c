/* Rollouts that meet on one device, and what one says about its devices. */
#include <flotilla/errors/rollout.h>

#include "server-stub/state/rollouts/view.h"
#include "tests/unit/waits.h"
#include "unit/server/world.h"

#define ALL_IN_TWO                                                                                 \
    "{\"release\":\"tiny@2.1.0\",\"phases\":[{\"devices\":1},"                                     \
    "{\"share_pct\":100}]}"
#define LAB_GETS_NEXT                                                                              \
    "{\"release\":\"tiny@2.2.0\",\"group\":\"lab\","                                               \
    "\"phases\":[{\"share_pct\":100}]}"

static struct flo_rollout_member *member_of(const struct flo_rollout_entry *entry,
                                            const char *device)
{
    return &entry->core.members[flo_rollout_find(&entry->core, device)];
}

static const char *order_at(struct world *world, const char *device)
{
    static char order[FLO_NAME_MAX + 1];

    assert_int_equal(
        flo_fleet_desired_get(world->controller->store, device, "tiny", order, &world->err), 0);
    return order;
}

static int take_rollout(void *context, const struct flo_fleet_order *order)
{
    snprintf(context, FLO_NAME_MAX + 1, "%s", order->rollout);
    return 0;
}

/* Whose order a device's desired holds. */
static const char *rollout_of(struct world *world, const char *device)
{
    static char rollout[FLO_NAME_MAX + 1];

    assert_int_equal(flo_fleet_order_get(world->controller->store, order_at(world, device),
                                         take_rollout, rollout, &world->err),
                     0);
    return rollout;
}

static void presence(struct world *world, size_t device, bool online)
{
    send(world, device, "presence",
         online ? "{\"v\":1,\"online\":true}" : "{\"v\":1,\"online\":false}");
}

/* An older rollout of 2.1.0 to all, of which "lab" has not heard. */
static struct flo_rollout_entry *world_with_an_older(struct world *world)
{
    enrol_in_lab(world);
    add_next_release(world);
    struct flo_rollout_entry *older = start(world, ALL_IN_TWO);
    assert_non_null(older);
    does(world, older, FLO_ROLLOUT_EVENT_PAUSE);
    return older;
}

static void an_older_rollout_never_downgrades_a_device(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *older = world_with_an_older(world);
    struct flo_rollout_entry *newer = start(world, LAB_GETS_NEXT);
    char order[FLO_NAME_MAX + 1];

    assert_non_null(newer);
    snprintf(order, sizeof(order), "%s", order_at(world, NEWCOMER));
    does(world, older, FLO_ROLLOUT_EVENT_RESUME);
    does(world, older, FLO_ROLLOUT_EVENT_PROMOTE);

    assert_int_equal(member_of(older, NEWCOMER)->state, FLO_EXECUTION_SUPERSEDED);
    assert_string_equal(order_at(world, NEWCOMER), order);
    for (size_t i = 0; i < FLO_COUNT(ids); i++) {
        assert_string_equal(op_of(world, ids[i]), "deploy");
    }
    does(world, older, FLO_ROLLOUT_EVENT_ROLLBACK);
    assert_string_equal(order_at(world, NEWCOMER), order);
}

static void an_order_that_nobody_began_goes_with_its_rollout(void **state)
{
    struct world *world = *state;

    enrol_in_lab(world);
    add_next_release(world);
    struct flo_rollout_entry *older = start(world, "{\"release\":\"tiny@2.1.0\","
                                                   "\"phases\":[{\"share_pct\":100}]}");
    assert_non_null(older);
    assert_string_equal(op_of(world, NEWCOMER), "deploy");
    struct flo_rollout_entry *newer =
        start(world, "{\"release\":\"tiny@2.2.0\",\"group\":\"lab\",\"phases\":"
                     "[{\"share_pct\":0.01},{\"share_pct\":100}],"
                     "\"starts_per_s\":0.001}");
    assert_non_null(newer);

    /* Whether its turn has come or not: nobody sends it to 2.1.0 before. */
    assert_int_equal(member_of(older, NEWCOMER)->state, FLO_EXECUTION_SUPERSEDED);
    assert_string_equal(rollout_of(world, NEWCOMER), newer->core.id);
}

static void an_overlap_is_told_in_the_plan_and_at_the_start(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *older = world_with_an_older(world);

    for (int dry = 1; dry >= 0; dry--) {
        struct flo_rollout_entry *entry = NULL;
        json_t *view = NULL;
        json_t *spec = NULL;
        assert_int_equal(
            flo_json_parse(LAB_GETS_NEXT, strlen(LAB_GETS_NEXT), 65536, &spec, &world->err), 0);
        assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
        assert_int_equal(flo_rollouts_create(world->controller, spec,
                                             &(struct flo_actor){"ops", "user:ops"}, dry == 1,
                                             &entry, &world->err),
                         0);
        json_decref(spec);
        assert_int_equal(flo_object_rollout(world->controller, entry, 0, &view, &world->err), 0);
        json_t *overlap = json_array_get(json_object_get(view, "overlaps"), 0);
        assert_string_equal(json_string_value(json_object_get(overlap, "rollout")), older->core.id);
        assert_int_equal(json_integer_value(json_object_get(overlap, "devices")), 1);
        json_decref(view);
        if (dry == 1) {
            assert_int_equal(member_of(older, NEWCOMER)->state, FLO_EXECUTION_QUEUED);
            flo_rollouts_entry_free(entry);
        }
        flo_controller_cancel(world->controller);
        assert_int_equal(flo_rollouts_find(world->controller, "r-0001", &older, &world->err), 0);
    }
}

static void a_hotfix_ends_the_rollout_that_runs_when_it_begins(void **state)
{
    struct world *world = *state;

    add_next_release(world);
    struct flo_rollout_entry *bad = start(world, ALL_IN_TWO);
    assert_non_null(bad);
    assert_null(start(world, "{\"release\":\"tiny@2.2.0\"}"));
    assert_int_equal(world->err.code, FLO_E_ROLLOUT_RUNNING);
    assert_non_null(strstr(world->err.what, "r-0001"));

    world->err = (struct flo_err){0};
    struct flo_rollout_entry *waits = start(world, "{\"release\":\"tiny@2.2.0\",\"supersede\":true,"
                                                   "\"approvals\":1}");
    assert_non_null(waits);
    assert_int_equal(bad->core.state, FLO_ROLLOUT_RUNNING);

    struct flo_rollout_entry *fix = start(world, "{\"release\":\"tiny@2.2.0\",\"supersede\":true,"
                                                 "\"phases\":[{\"share_pct\":100}]}");
    assert_non_null(fix);
    assert_int_equal(fix->core.state, FLO_ROLLOUT_RUNNING);
    assert_int_equal(bad->core.state, FLO_ROLLOUT_ABORTED);
    assert_non_null(strstr(bad->core.reason, fix->core.id));
    for (size_t i = 0; i < FLO_COUNT(ids); i++) {
        assert_string_equal(rollout_of(world, ids[i]), fix->core.id);
    }
}

/* It was scheduled first; the one that runs by then was asked for later. */
static void a_scheduled_rollout_ends_no_newer_one(void **state)
{
    struct world *world = *state;
    char spec[200];

    add_next_release(world);
    snprintf(spec, sizeof(spec),
             "{\"release\":\"tiny@2.1.0\",\"supersede\":true,"
             "\"start_at_ms\":%llu}",
             (unsigned long long)waits_wall_ms() + 3600000);
    struct flo_rollout_entry *waits = start(world, spec);
    assert_non_null(waits);
    struct flo_rollout_entry *hotfix =
        start(world, "{\"release\":\"tiny@2.2.0\",\"phases\":[{\"devices\":1,"
                     "\"soak\":\"1d\"},{\"share_pct\":100}]}");
    assert_non_null(hotfix);
    waits->core.start_at_ms = 1;
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(flo_rollouts_calendar(world->controller, &world->err), 0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
    assert_int_equal(hotfix->core.state, FLO_ROLLOUT_RUNNING);
    assert_int_equal(waits->core.state, FLO_ROLLOUT_SCHEDULED);
    assert_non_null(strstr(waits->core.reason, hotfix->core.id));
}

static void a_newcomer_is_ordered_by_the_newest_alone(void **state)
{
    struct world *world = *state;

    add_next_release(world);
    struct flo_rollout_entry *older = start(world, "{\"release\":\"tiny@2.1.0\","
                                                   "\"phases\":[{\"share_pct\":100}]}");
    assert_non_null(older);
    for (size_t i = 0; i < FLO_COUNT(ids); i++) {
        event(world, i, "succeeded");
    }
    assert_int_equal(older->core.state, FLO_ROLLOUT_COMPLETED);
    struct flo_rollout_entry *newer = start(world, "{\"release\":\"tiny@2.2.0\","
                                                   "\"phases\":[{\"share_pct\":100}]}");
    assert_non_null(newer);
    enrol_in_lab(world);
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(flo_rollouts_join(world->controller, NEWCOMER, &world->err), 0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);

    assert_string_equal(rollout_of(world, NEWCOMER), newer->core.id);
}

/* ---- who is away, who refuses ---- */

static void who_is_away_when_a_phase_begins_does_not_count(void **state)
{
    struct world *world = *state;

    presence(world, 1, false);
    struct flo_rollout_entry *entry = start(world, "{\"release\":\"tiny@2.1.0\","
                                                   "\"phases\":[{\"share_pct\":100}]}");
    assert_non_null(entry);
    assert_true(member_of(entry, ids[1])->is_away);
    for (size_t i = 0; i < FLO_COUNT(ids); i++) {
        if (i != 1) {
            event(world, i, "succeeded");
        }
    }
    assert_int_equal(entry->core.state, FLO_ROLLOUT_COMPLETED);

    /* It comes back and follows, also after a restart of ours. */
    flo_rollouts_forget(world->controller);
    assert_int_equal(flo_rollouts_find(world->controller, "r-0001", &entry, &world->err), 0);
    assert_true(member_of(entry, ids[1])->is_away);
    assert_string_equal(op_of(world, ids[1]), "deploy");
    presence(world, 1, true);
    event(world, 1, "succeeded");

    assert_int_equal(member_of(entry, ids[1])->state, FLO_EXECUTION_SUCCEEDED);
}

static void security_event(struct world *world, size_t device, const char *id)
{
    char text[512];

    snprintf(text, sizeof(text),
             "{\"v\":1,\"boot\":\"44444444-4444-4444-8444-444444444444\","
             "\"seq\":%llu,\"type\":\"security\",\"error\":{\"id\":\"%s\","
             "\"what\":\"no trusted key\",\"step\":\"\"}}",
             (unsigned long long)++world->seq, id);
    send(world, device, "event", text);
}

static void a_device_that_does_not_trust_an_order_has_rejected_it(void **state)
{
    struct world *world = *state;
    struct flo_rollout_cause cause;
    struct flo_rollout_entry *entry =
        start(world, "{\"release\":\"tiny@2.1.0\",\"gates\":{\"failed\":"
                     "{\"max_pct\":100}},\"phases\":[{\"share_pct\":100}]}");

    assert_non_null(entry);
    security_event(world, 0, "sig.unknown_key");

    assert_int_equal(member_of(entry, ids[0])->state, FLO_EXECUTION_REJECTED);
    assert_int_equal(flo_rollout_causes(&entry->core, &cause, 1), 1);
    assert_string_equal(cause.id, "sig.unknown_key");
    /* Should it begin after all, that is what counts. */
    event(world, 0, "accepted");
    assert_int_equal(member_of(entry, ids[0])->state, FLO_EXECUTION_ACCEPTED);
    security_event(world, 0, "sig.unknown_key");
    assert_int_equal(member_of(entry, ids[0])->state, FLO_EXECUTION_ACCEPTED);
}

static void a_device_cannot_invent_words_for_people(void **state)
{
    struct world *world = *state;
    struct flo_rollout_cause cause;
    struct flo_rollout_entry *entry =
        start(world, "{\"release\":\"tiny@2.1.0\",\"gates\":{\"failed\":"
                     "{\"max_pct\":100}},\"phases\":[{\"share_pct\":100}]}");
    char text[512];

    assert_non_null(entry);
    snprintf(text, sizeof(text),
             "{\"v\":1,\"boot\":\"44444444-4444-4444-8444-444444444444\","
             "\"seq\":%llu,\"type\":\"execution\",\"execution\":\"r-0001.1\","
             "\"release\":\"%s\",\"state\":\"failed\",\"error\":"
             "{\"id\":\"all is well, go home\",\"what\":\"\",\"step\":\"\"}}",
             (unsigned long long)++world->seq, DIGEST);
    send(world, 0, "event", text);

    assert_int_equal(flo_rollout_causes(&entry->core, &cause, 1), 1);
    assert_string_equal(cause.id, "other");
}

/* ---- taken back by a gate ---- */

static int take_body(void *context, const struct flo_fleet_order *order)
{
    snprintf(context, 2048, "%s", order->body);
    return 0;
}

static void a_gate_takes_back_one_device_and_no_other(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry =
        start(world, "{\"release\":\"tiny@2.1.0\",\"on_fail\":\"halt\","
                     "\"phases\":[{\"share_pct\":100}]}");
    char body[2048];

    assert_non_null(entry);
    for (size_t i = 1; i < FLO_COUNT(ids); i++) {
        event(world, i, "succeeded");
    }
    event(world, 0, "soaking");
    presence(world, 0, false);
    member_of(entry, ids[0])->heard_at_ms -= 3600000;
    does(world, entry, FLO_ROLLOUT_EVENT_TICK);

    assert_int_equal(entry->core.state, FLO_ROLLOUT_HALTED);
    assert_string_equal(op_of(world, ids[0]), "rollback");
    assert_int_equal(flo_fleet_order_get(world->controller->store, order_of(world, 0), take_body,
                                         body, &world->err),
                     0);
    assert_non_null(strstr(body, ids[0])); /* the scope: this device */
    assert_non_null(strstr(body, "\"from_numbers\":["));
    for (size_t i = 1; i < FLO_COUNT(ids); i++) {
        assert_string_equal(op_of(world, ids[i]), "deploy");
    }
}

/* ---- taken back by an order ---- */

static void everybody_has_it(struct world *world)
{
    enrol_in_lab(world);
    struct flo_rollout_entry *entry = start(world, "{\"release\":\"tiny@2.1.0\","
                                                   "\"phases\":[{\"share_pct\":100}]}");
    assert_non_null(entry);
    for (size_t i = 0; i < FLO_COUNT(ids); i++) {
        event(world, i, "succeeded");
    }
    struct flo_rollout_event at_last = {.kind = FLO_ROLLOUT_EVENT_EXECUTION,
                                        .device = NEWCOMER,
                                        .attempt = 1,
                                        .execution = FLO_EXECUTION_SUCCEEDED};
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(flo_rollouts_step(world->controller, entry, at_last, &world->err), 0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
    assert_int_equal(entry->core.state, FLO_ROLLOUT_COMPLETED);
}

static void recall(struct world *world, const char *group, char *order)
{
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(flo_orders_recall(world->controller,
                                       &(struct flo_recall){.release = "tiny@2.1.0",
                                                            .group = group,
                                                            .is_yanked = true,
                                                            .by = "ops",
                                                            .reason = "bad"},
                                       order, &world->err),
                     0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
}

static void done(struct world *world, const char *device, const char *order)
{
    char topic[FLO_TOPIC_TEXT];
    char text[256];

    snprintf(topic, sizeof(topic), "flotilla/v1/demo/d/%s/ack", device);
    snprintf(text, sizeof(text), "{\"v\":1,\"order\":\"%s\",\"outcome\":\"done\"}", order);
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(flo_ingest(&world->ingest, topic, text, strlen(text), false, &world->err), 0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
}

static void a_completed_rollout_that_is_taken_back_says_so(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry;
    char order[FLO_NAME_MAX + 1];

    everybody_has_it(world);
    recall(world, "all", order);
    assert_int_equal(flo_rollouts_find(world->controller, "r-0001", &entry, &world->err), 0);
    assert_int_equal(entry->core.state, FLO_ROLLOUT_ROLLING_BACK);
    for (size_t i = 0; i < FLO_COUNT(ids); i++) {
        done(world, ids[i], order);
    }
    done(world, NEWCOMER, order);

    assert_int_equal(entry->core.state, FLO_ROLLOUT_ROLLED_BACK);
}

static void of_a_completed_rollout_one_group_may_be_taken_back(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry;
    char order[FLO_NAME_MAX + 1];

    everybody_has_it(world);
    recall(world, "lab", order);
    done(world, NEWCOMER, order);
    assert_int_equal(flo_rollouts_find(world->controller, "r-0001", &entry, &world->err), 0);

    assert_int_equal(entry->core.state, FLO_ROLLOUT_COMPLETED);
    assert_int_equal(member_of(entry, NEWCOMER)->state, FLO_EXECUTION_ROLLED_BACK);
    assert_int_equal(member_of(entry, ids[0])->state, FLO_EXECUTION_SUCCEEDED);
}

/* ---- objects as shown ---- */

static void devices_are_shown_by_name_and_who_failed_first(void **state)
{
    struct world *world = *state;
    json_t *view = NULL;

    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(enrol(world, "00000000-1111-4111-8111-111111111111", "gw-10"), 0);
    assert_int_equal(enrol(world, "00000001-1111-4111-8111-111111111111", "gw-9"), 0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
    struct flo_rollout_entry *entry =
        start(world, "{\"release\":\"tiny@2.1.0\",\"gates\":{\"failed\":"
                     "{\"max_pct\":100}},\"phases\":[{\"share_pct\":100}]}");
    assert_non_null(entry);
    event(world, 1, "failed");

    assert_int_equal(flo_object_rollout(world->controller, entry, 100, &view, &world->err), 0);
    const char *const wanted[] = {"gw-2", "gw-1", "gw-3", "gw-9", "gw-10"};
    json_t *devices = json_object_get(view, "devices");
    assert_int_equal(json_array_size(devices), FLO_COUNT(wanted));
    for (size_t i = 0; i < FLO_COUNT(wanted); i++) {
        assert_string_equal(json_string_value(json_object_get(json_array_get(devices, i), "name")),
                            wanted[i]);
    }
    json_decref(view);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_WORLD(an_older_rollout_never_downgrades_a_device),
        WITH_WORLD(an_order_that_nobody_began_goes_with_its_rollout),
        WITH_WORLD(an_overlap_is_told_in_the_plan_and_at_the_start),
        WITH_WORLD(a_hotfix_ends_the_rollout_that_runs_when_it_begins),
        WITH_WORLD(a_scheduled_rollout_ends_no_newer_one),
        WITH_WORLD(a_newcomer_is_ordered_by_the_newest_alone),
        WITH_WORLD(who_is_away_when_a_phase_begins_does_not_count),
        WITH_WORLD(a_device_that_does_not_trust_an_order_has_rejected_it),
        WITH_WORLD(a_device_cannot_invent_words_for_people),
        WITH_WORLD(a_gate_takes_back_one_device_and_no_other),
        WITH_WORLD(a_completed_rollout_that_is_taken_back_says_so),
        WITH_WORLD(of_a_completed_rollout_one_group_may_be_taken_back),
        WITH_WORLD(devices_are_shown_by_name_and_who_failed_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
