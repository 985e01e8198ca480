/* Messages in, rollouts and newcomers: what comes out of a controller. */
#include <flotilla/errors/rollout.h>

#include "server-stub/mqtt/telemetry_feed.h"
#include "server-stub/state/devices/devices.h"
#include "server-stub/state/devices/twins.h"
#include "server-stub/state/foreign.h"
#include "server-stub/state/pki/pki.h"
#include "server-stub/state/rollouts/updates.h"
#include "server-stub/state/rollouts/view.h"
#include "server-stub/state/rollouts/work.h"
#include "server-stub/telemetry/lane.h"
#include "tests/unit/agent/core/uniform.h"
#include "tests/unit/held_clock.h"
#include "tests/unit/server/world.h"
#include "tests/unit/waits.h"
#include "unit/server/store/store.h"

static void a_rollout_is_carried_by_messages(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry = start(world, "{\"release\":\"tiny@2.1.0\"}");
    assert_non_null(entry);
    size_t canary = device_in_phase(entry, 0);

    event(world, canary, "probing");
    for (size_t i = 0; i < FLO_COUNT(ids); i++) {
        assert_string_equal(order_of(world, i), i == canary ? "o-0001" : "");
    }
    event(world, canary, "succeeded");
    for (size_t i = 0; i < FLO_COUNT(ids); i++) {
        if (i != canary) {
            assert_string_equal(order_of(world, i), "o-0002");
            event(world, i, "succeeded");
        }
    }

    assert_int_equal(entry->core.state, FLO_ROLLOUT_COMPLETED);
}

static void a_rollout_read_again_goes_on_where_it_was(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry =
        start(world, "{\"release\":\"tiny@2.1.0\",\"on_fail\":\"halt\"}");
    size_t canary = device_in_phase(entry, 0);
    struct flo_rollout before;

    event(world, canary, "downloading");
    before = entry->core;
    flo_rollouts_forget(world->controller);
    assert_int_equal(flo_rollouts_load(world->controller, &world->err), 0);
    assert_int_equal(flo_rollouts_find(world->controller, "r-0001", &entry, &world->err), 0);

    assert_int_equal(entry->core.state, before.state);
    assert_int_equal(entry->core.on_fail, FLO_ON_FAIL_HALT);
    assert_int_equal(entry->core.member_count, 3);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(entry->core.phases[i].bucket_to, before.phases[i].bucket_to);
        assert_memory_equal(entry->core.phases[i].counts, before.phases[i].counts,
                            sizeof(before.phases[i].counts));
    }
    event(world, canary, "failed");
    assert_int_equal(entry->core.state, FLO_ROLLOUT_HALTED);
    assert_string_not_equal(order_of(world, canary), "o-0001");
}

/* The clock may have been set between two starts, in either direction. */
static void a_phase_read_again_waits_its_whole_soak(void **state)
{
    static const int64_t hours[] = {1, -100};
    struct world *world = *state;
    struct flo_rollout_entry *entry =
        start(world, "{\"release\":\"tiny@2.1.0\",\"phases\":[{\"devices\":1,"
                     "\"soak_ms\":3600000},{\"share_pct\":100}]}");

    event(world, device_in_phase(entry, 0), "succeeded");
    for (size_t i = 0; i < FLO_COUNT(hours); i++) {
        entry->core.phases[0].settled_at_ms =
            (uint64_t)((int64_t)waits_wall_ms() + hours[i] * 3600000);
        assert_int_equal(flo_rollouts_put(world->controller, entry, &world->err), 0);
        flo_rollouts_forget(world->controller);
        assert_int_equal(flo_rollouts_load(world->controller, &world->err), 0);
        entry = flo_rollouts_at(world->controller->rollouts, 0);
        does(world, entry, FLO_ROLLOUT_EVENT_TICK);
        assert_int_equal(entry->core.phase, 0);
    }
}

static void a_refused_request_does_not_forget_silence(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry = start(world, "{\"release\":\"tiny@2.1.0\"}");
    size_t canary = flo_rollout_find(&entry->core, ids[device_in_phase(entry, 0)]);

    entry->core.members[canary].heard_at_ms = 5;
    assert_null(start(world, "{\"release\":\"tiny@2.1.0\"}"));
    assert_int_equal(world->err.code, FLO_E_ROLLOUT_RUNNING);

    assert_ptr_equal(flo_rollouts_at(world->controller->rollouts, 0), entry);
    assert_int_equal(entry->core.members[canary].heard_at_ms, 5);
}

static void a_step_that_fails_leaves_no_trace(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry = start(world, "{\"release\":\"tiny@2.1.0\"}");
    size_t device = device_in_phase(entry, 0);
    struct flo_rollout_event failed = {.kind = FLO_ROLLOUT_EVENT_EXECUTION,
                                       .device = ids[device],
                                       .attempt = 1,
                                       .execution = FLO_EXECUTION_FAILED};

    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(flo_rollouts_step(world->controller, entry, failed, &world->err), 0);
    assert_int_equal(entry->core.state, FLO_ROLLOUT_ROLLED_BACK);
    flo_controller_cancel(world->controller);

    assert_int_equal(flo_rollouts_find(world->controller, "r-0001", &entry, &world->err), 0);
    assert_int_equal(entry->core.state, FLO_ROLLOUT_RUNNING);
    assert_string_equal(order_of(world, device), "o-0001");
}

static void a_device_speaks_only_for_itself(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry = start(world, "{\"release\":\"tiny@2.1.0\"}");
    size_t canary = device_in_phase(entry, 0);
    size_t other = device_in_phase(entry, 1);
    uint64_t dropped = world->ingest.dropped;
    char text[256];

    /* Another one says that it failed: its phase has not begun. */
    event(world, other, "failed");
    assert_int_equal(entry->core.state, FLO_ROLLOUT_RUNNING);
    snprintf(text, sizeof(text), "{\"v\":2,\"device\":\"%s\",\"rev\":99,\"models\":[]}",
             ids[canary]);
    send(world, other, "reported", text);
    assert_int_equal(world->ingest.dropped, dropped + 1);
}

/* The lane's connection brings telemetry later than the last will. */
static void telemetry_from_before_its_death_brings_nobody_back(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry =
        start(world, "{\"release\":\"tiny@2.1.0\",\"phases\":[{\"size\":\"100%\"}]}");
    struct flo_lane_fact fact = {.seen_at_ms = 1};

    assert_non_null(entry);
    size_t index = flo_rollout_find(&entry->core, ids[0]);
    assert_int_not_equal(index, SIZE_MAX);
    send(world, 0, "presence", "{\"v\":1,\"online\":false}");
    bool was_away = entry->core.members[index].is_away;
    bool was_online = entry->core.members[index].is_online;
    snprintf(fact.device, sizeof(fact.device), "%s", ids[0]);
    assert_int_equal(flo_telemetry_feed_heard(world->controller, &fact, 1, &world->err), 0);
    assert_int_equal(entry->core.members[index].is_away, was_away);
    assert_int_equal(entry->core.members[index].is_online, was_online);
    assert_false(was_online);
    send(world, 0, "presence", "{\"v\":1,\"online\":true}");
    assert_true(entry->core.members[index].is_online);
}

static void telemetry_comes(struct world *world)
{
    struct flo_lane_fact fact = {.seen_at_ms = waits_wall_ms()};

    snprintf(fact.device, sizeof(fact.device), "%s", ids[0]);
    assert_int_equal(flo_telemetry_feed_heard(world->controller, &fact, 1, &world->err), 0);
}

/* A thousand deaths: of what the device sent, reports and its last will come on one
 * connection, telemetry on another one, before, between or after them. */
static void a_death_at_any_moment_of_a_report_is_seen(void **state)
{
    static const char report[] = "{\"v\":2,\"device\":\"11111111-1111-4111-8111-111111111111\","
                                 "\"rev\":%d,\"models\":[]}";
    struct world *world = *state;
    struct flo_rollout_entry *entry =
        start(world, "{\"release\":\"tiny@2.1.0\",\"phases\":[{\"size\":\"100%\"}]}");
    char text[256];

    assert_non_null(entry);
    const struct flo_rollout_member *member =
        &entry->core.members[flo_rollout_find(&entry->core, ids[0])];
    uint64_t silence_ms = entry->core.gates[FLO_GATE_FAILED].silence_ms_max;
    assert_true(silence_ms > 0);
    seed = 65;
    for (int turn = 0; turn < 1000; turn++) {
        int reports = (int)(uniform() * 3), telemetry = (int)(uniform() * 4);
        bool has_will = false;

        send(world, 0, "presence", "{\"v\":1,\"online\":true}");
        assert_true(member->is_online && !member->is_away);
        while (!has_will || telemetry > 0) {
            if (telemetry > 0 && (has_will || uniform() < 0.5)) {
                telemetry--;
                telemetry_comes(world);
            } else if (reports-- > 0) {
                snprintf(text, sizeof(text), report, turn);
                send(world, 0, "reported", text);
            } else {
                send(world, 0, "presence", "{\"v\":1,\"online\":false}");
                has_will = true;
            }
            assert_int_equal(member->is_online, !has_will);
            held_clock_pass_ms(has_will ? silence_ms / 8 : 1000);
        }
        held_clock_pass_ms(silence_ms); /* two heartbeats, and what the gate waits more */
        does(world, entry, FLO_ROLLOUT_EVENT_TICK);
        assert_true(member->is_away);
        assert_false(flo_fleet_is_online(world->controller->store, ids[0]));
    }
    for (size_t i = 0; i < FLO_COUNT(ids); i++) {
        send(world, i, "presence", "{\"v\":1,\"online\":true}");
        event(world, i, "succeeded");
    }
    assert_int_equal(entry->core.state, FLO_ROLLOUT_COMPLETED);
}

static void who_was_retired_says_nothing_any_more(void **state)
{
    struct world *world = *state;
    uint64_t dropped = world->ingest.dropped;

    send(world, 0, "presence", "{\"v\":1,\"online\":true}");
    assert_int_equal(world->ingest.dropped, dropped);
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(flo_devices_retire(world->controller, ids[0], &world->err), 0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
    send(world, 0, "presence", "{\"v\":1,\"online\":true}");
    send(world, 0, "reported",
         "{\"v\":2,\"device\":\"11111111-1111-4111-8111-"
         "111111111111\",\"models\":[]}");
    assert_int_equal(world->ingest.dropped, dropped + 2);
}

static void a_word_about_another_release_moves_no_rollout(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry = start(world, "{\"release\":\"tiny@2.1.0\"}");
    size_t canary = device_in_phase(entry, 0);
    size_t at = flo_rollout_find(&entry->core, ids[canary]);

    event_of(world, "r-0001", NEXT_DIGEST, canary, "succeeded");
    assert_int_equal(entry->core.members[at].state, FLO_EXECUTION_NOTIFIED);
    event_of(world, "r-0001", DIGEST, canary, "succeeded");
    assert_int_equal(entry->core.members[at].state, FLO_EXECUTION_SUCCEEDED);
}

static void an_event_that_comes_twice_counts_once(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry = start(world, "{\"release\":\"tiny@2.1.0\"}");
    size_t canary = device_in_phase(entry, 0);
    const struct flo_update_counts *updates = flo_rollouts_updates(world->controller->rollouts);

    for (int i = 0; i < 2; i++) {
        world->seq = 0;
        event(world, canary, "succeeded");
    }
    assert_int_equal(updates->count, 1);
    assert_int_equal(updates->items[0].ends[FLO_EXECUTION_SUCCEEDED], 1);
}

/* The order came once more, and is refused for its number. */
static void a_refusal_ends_no_update_that_has_begun(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry = start(world, "{\"release\":\"tiny@2.1.0\"}");
    size_t canary = device_in_phase(entry, 0);
    size_t at = flo_rollout_find(&entry->core, ids[canary]);

    event(world, canary, "downloading");
    send(world, canary, "ack",
         "{\"v\":1,\"order\":\"o-0001\",\"outcome\":\"refused\",\"error\":{"
         "\"id\":\"cmd.replayed\",\"what\":\"again\"}}");
    assert_int_equal(entry->core.members[at].state, FLO_EXECUTION_DOWNLOADING);
}

static uint64_t drifting(struct world *world)
{
    struct flo_fleet_device_count count;

    assert_int_equal(flo_fleet_device_counts(world->controller->store, &count, &world->err), 0);
    assert_int_equal(count.devices, FLO_COUNT(ids));
    return count.drifting;
}

static void a_device_that_drifts_is_counted_until_it_does_no_more(void **state)
{
    struct world *world = *state;
    char text[256];

    for (size_t i = 0; i < 2; i++) {
        snprintf(text, sizeof(text),
                 "{\"v\":2,\"device\":\"%s\",\"models\":[{\"model\":\"a\"},"
                 "{\"model\":\"b\",\"drift\":"
                 "{\"kind\":\"behind\",\"since_at_ms\":1}}]}",
                 ids[i]);
        send(world, i, "reported", text);
        assert_int_equal(drifting(world), i + 1);
    }
    snprintf(text, sizeof(text), "{\"v\":2,\"device\":\"%s\",\"models\":[{\"drift\":null}]}",
             ids[0]);
    send(world, 0, "reported", text);
    assert_int_equal(drifting(world), 1);
}

static void a_refused_order_is_a_rejected_execution(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry = start(world, "{\"release\":\"tiny@2.1.0\"}");
    size_t canary = device_in_phase(entry, 0);

    send(world, canary, "ack",
         "{\"v\":1,\"order\":\"o-0001\",\"outcome\":\"refused\","
         "\"error\":{\"id\":\"target.denied\"}}");

    size_t at = flo_rollout_find(&entry->core, ids[canary]);
    assert_int_equal(entry->core.members[at].state, FLO_EXECUTION_REJECTED);
    assert_int_equal(entry->core.state, FLO_ROLLOUT_ROLLED_BACK);
}

static void what_a_device_says_of_an_execution_is_shown_by_its_kind(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry = start(world, "{\"release\":\"tiny@2.1.0\"}");
    json_t *view = NULL;
    char text[512];

    snprintf(text, sizeof(text),
             "{\"v\":1,\"boot\":\"44444444-4444-4444-8444-444444444444\","
             "\"seq\":1,\"type\":\"execution\",\"execution\":\"r-0001.1\","
             "\"state\":\"downloading\",\"error\":{\"id\":{\"toString\":1},"
             "\"what\":\"full\"},\"detail\":{\"codec\":[1],\"bytes\":\"7\","
             "\"took_ms\":8,\"more\":{}}}");
    send(world, device_in_phase(entry, 0), "event", text);
    assert_int_equal(flo_object_rollout(world->controller, entry, 3, &view, &world->err), 0);

    json_t *devices = json_object_get(view, "devices");
    json_t *shown = NULL;
    for (size_t i = 0; i < json_array_size(devices); i++) {
        json_t *device = json_array_get(devices, i);
        if (json_integer_value(json_object_get(device, "took_ms")) == 8) {
            shown = device;
        }
    }
    json_t *wanted = json_pack("{s:{s:s},s:{s:i},s:n,s:n}", "error", "what", "full", "detail",
                               "took_ms", 8, "codec", "bytes");
    const char *key;
    json_t *value;
    json_object_foreach(wanted, key, value)
    {
        assert_true(json_equal(json_object_get(shown, key), value));
    }
    json_decref(wanted);
    json_decref(view);
}

static void fetches(struct world *world, size_t device, const char *seq, const char *state,
                    const char *detail)
{
    char text[512];

    snprintf(text, sizeof(text),
             "{\"v\":1,\"boot\":\"44444444-4444-4444-8444-444444444444\","
             "\"seq\":%s,\"type\":\"execution\",\"execution\":\"r-0001.1\","
             "\"state\":\"%s\",\"detail\":%s}",
             seq, state, detail);
    send(world, device, "event", text);
}

static void assert_transfer(struct world *world, int devices, int bytes, int full_bytes, int near)
{
    struct flo_rollout_entry *entry = NULL;
    json_t *view = NULL;

    assert_int_equal(flo_rollouts_find(world->controller, "r-0001", &entry, &world->err), 0);
    assert_int_equal(flo_object_rollout(world->controller, entry, 0, &view, &world->err), 0);
    json_t *wanted = json_pack("{s:i,s:i,s:i,s:i}", "devices", devices, "bytes", bytes,
                               "full_bytes", full_bytes, "neighbour_bytes", near);
    assert_true(json_equal(json_object_get(view, "transfer"), wanted));
    json_decref(wanted);
    json_decref(view);
}

/* The newest execution of a device counts, and a liar for nothing. */
static void what_devices_fetch_is_added_up_also_after_a_restart(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry =
        start(world, "{\"release\":\"tiny@2.1.0\",\"phases\":[{\"share_pct\":"
                     "100}]}");

    assert_non_null(entry);
    fetches(world, 0, "1", "downloading",
            "{\"codec\":\"tensor1\",\"bytes\":10,\"full_bytes\":100}");
    fetches(world, 1, "1", "downloading", "{\"bytes\":100,\"full_bytes\":100}");
    assert_transfer(world, 2, 110, 200, 0);

    fetches(world, 1, "2", "verifying", "{\"bytes\":30,\"full_bytes\":120,\"neighbour_bytes\":20}");
    fetches(world, 0, "2", "verifying", /* no more than all of them */
            "{\"bytes\":10,\"full_bytes\":100,\"neighbour_bytes\":99}");
    fetches(world, 2, "1", "downloading", "{\"bytes\":-5,\"full_bytes\":9223372036854775807}");
    assert_transfer(world, 2, 40, 220, 30);

    flo_rollouts_forget(world->controller);
    assert_int_equal(flo_rollouts_load(world->controller, &world->err), 0);
    assert_transfer(world, 2, 40, 220, 30);
}

static void an_aborted_rollout_ends_though_no_execution_began(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry = start(world, "{\"release\":\"tiny@2.1.0\"}");
    size_t canary = device_in_phase(entry, 0);

    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(flo_rollouts_step(
                         world->controller, entry,
                         (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_ABORT, .note = "ops"},
                         &world->err),
                     0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
    assert_int_equal(entry->core.state, FLO_ROLLOUT_ABORTING);
    assert_string_equal(order_of(world, canary), "o-0002");
    send(world, canary, "ack", "{\"v\":1,\"order\":\"o-0002\",\"outcome\":\"done\"}");

    assert_int_equal(entry->core.state, FLO_ROLLOUT_ABORTED);
}

/* The first two devices lie above bucket 1: the second phase has none. */
static void a_pause_behind_a_phase_without_buckets_is_resumed(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry =
        start(world, "{\"release\":\"tiny@2.1.0\",\"phases\":[{\"devices\":2},"
                     "{\"share_pct\":0.01},{\"share_pct\":100}]}");
    assert_non_null(entry);
    size_t last = device_in_phase(entry, 2);

    for (size_t i = 0; i < FLO_COUNT(ids); i++) {
        if (i != last) {
            event(world, i, "succeeded");
        }
    }
    assert_int_equal(entry->core.phases[1].bucket_from, entry->core.phases[1].bucket_to);
    does(world, entry, FLO_ROLLOUT_EVENT_PAUSE);
    assert_string_equal(order_of(world, last), "o-0003");
    does(world, entry, FLO_ROLLOUT_EVENT_RESUME);

    assert_int_equal(entry->core.state, FLO_ROLLOUT_RUNNING);
    assert_string_equal(order_of(world, last), "o-0002");
}

static void a_newcomer_gets_what_its_group_was_brought_to(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry = start(world, "{\"release\":\"tiny@2.1.0\"}");

    event(world, device_in_phase(entry, 0), "succeeded");
    for (size_t i = 0; i < FLO_COUNT(ids); i++) {
        event(world, i, "succeeded");
    }
    assert_int_equal(entry->core.state, FLO_ROLLOUT_COMPLETED);

    const char *order = order_of_newcomer(world);
    assert_true(strcmp(order, "o-0001") == 0 || strcmp(order, "o-0002") == 0);
}

static void reading_an_old_rollout_does_not_make_it_the_newest(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry;

    bring_to_two_releases(world);
    flo_rollouts_forget(world->controller);
    assert_int_equal(flo_rollouts_find(world->controller, "r-0002", &entry, &world->err), 0);
    assert_int_equal(flo_rollouts_find(world->controller, "r-0001", &entry, &world->err), 0);

    assert_string_equal(order_of_newcomer(world), "o-0002");
}

static void put_rows(struct world *world, int first, int count, const char *state)
{
    char id[FLO_NAME_MAX + 1];
    struct flo_fleet_rollout row = {.id = id,
                                    .spec = "{\"release\":\"tiny@2.1.0\"}",
                                    .state = state,
                                    .core = "{}",
                                    .digest = DIGEST};

    for (int i = 0; i < count; i++) {
        snprintf(id, sizeof(id), "r-%04d", first + i);
        assert_int_equal(flo_fleet_rollout_put(world->controller->store, &row, &world->err), 0);
    }
}

static void many_rollouts_that_ended_do_not_hide_the_newest(void **state)
{
    struct world *world = *state;

    bring_to_two_releases(world);
    put_rows(world, 3, 20, "aborted");
    flo_rollouts_forget(world->controller);
    assert_int_equal(flo_rollouts_load(world->controller, &world->err), 0);

    assert_string_equal(order_of_newcomer(world), "o-0002");
}

static struct flo_rollout_entry *find(struct world *world, const char *id)
{
    struct flo_rollout_entry *entry = NULL;

    if (flo_rollouts_find(world->controller, id, &entry, &world->err) < 0) {
        fail_msg("%s: %s", id, world->err.what);
    }
    return entry;
}

static void what_is_under_way_leaves_room_for_what_ended(void **state)
{
    struct world *world = *state;
    char id[FLO_NAME_MAX + 1];

    bring_to_two_releases(world);
    put_rows(world, 100, 20, "aborted");
    put_rows(world, 200, FLO_ROLLOUTS_STARTED_MAX, "paused");
    flo_rollouts_forget(world->controller);
    assert_int_equal(flo_rollouts_load(world->controller, &world->err), 0);
    enrol_in_lab(world);

    assert_null(start(world, "{\"release\":\"tiny@2.2.0\",\"group\":\"lab\"}"));
    assert_int_equal(world->err.code, FLO_E_REST_LIMIT);
    for (int i = 0; i < 20; i++) {
        snprintf(id, sizeof(id), "r-%04d", 100 + i);
        find(world, id);
    }
    event(world, 0, "succeeded"); /* of r-0001, again and late */
    assert_int_equal(world->ingest.dropped, 0);
    /* Also while more than may be started are taken back. */
    for (int i = 0; i < 8; i++) {
        find(world, i % 2 == 0 ? "r-0001" : "r-0002");
        snprintf(id, sizeof(id), "r-%04d", 100 + i);
        find(world, id)->core.state = FLO_ROLLOUT_ROLLING_BACK;
    }
    assert_int_equal(flo_rollouts_step(world->controller, find(world, "r-0001"),
                                       (struct flo_rollout_event){
                                           .kind = FLO_ROLLOUT_EVENT_ROLLBACK, .note = "ops"},
                                       &world->err),
                     FLO_E_REST_LIMIT);
    find(world, "r-0119");
}

static void a_controller_full_of_rollouts_starts(void **state)
{
    struct world *world = *state;

    bring_to_two_releases(world);
    put_rows(world, 100, FLO_ROLLOUTS_MAX, "paused");
    put_rows(world, 200, 1, "completed");
    flo_rollouts_forget(world->controller);

    assert_int_equal(flo_rollouts_load(world->controller, &world->err), 0);
    assert_int_equal(flo_rollouts_count(world->controller->rollouts), FLO_ROLLOUTS_MAX);
}

static void what_was_not_looked_for_longest_makes_room(void **state)
{
    struct world *world = *state;
    char id[FLO_NAME_MAX + 1];

    bring_to_two_releases(world);
    find(world, "r-0001")->release_bytes = 4711; /* not in the store */
    put_rows(world, 100, 2 * FLO_ROLLOUTS_MAX, "aborted");
    for (int i = 0; i < 2 * FLO_ROLLOUTS_MAX; i++) {
        snprintf(id, sizeof(id), "r-%04d", 100 + i);
        find(world, id);
        assert_int_equal(find(world, "r-0001")->release_bytes, 4711);
    }
}

static void a_release_taken_back_leaves_newcomers_the_one_before(void **state)
{
    struct world *world = *state;
    char id[FLO_NAME_MAX + 1];

    bring_to_two_releases(world);
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(
        takes_back(world->controller, "tiny@2.2.0", "all", "ops", "bad", id, &world->err), 0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);

    /* signed again: whoever heard of the rollback takes no older one */
    assert_string_equal(order_of_newcomer(world), "o-0004");
}

static void specifications_out_of_bounds_are_refused(void **state)
{
    struct world *world = *state;
    const char *const bad[] = {
        "{\"release\":\"tiny@2.1.0\",\"phases\":[]}",
        "{\"release\":\"tiny@2.1.0\",\"phases\":[{\"devices\":0}]}",
        "{\"release\":\"tiny@2.1.0\",\"phases\":[{\"share_pct\":101}]}",
        "{\"release\":\"tiny@2.1.0\",\"gates\":{\"failed\":[]}}",
        "{\"release\":\"tiny@2.1.0\",\"gates\":{\"ratio\":{}}}",
        "{\"release\":\"tiny@2.1.0\",\"gates\":{\"ratio\":[{}]}}",
        "{\"release\":\"tiny@2.1.0\",\"phases\":[{\"share_pct\":100}],"
        "\"gates\":{\"ratio\":[{\"metric\":\"ttft_us\"}]}}",
        "{\"release\":\"tiny@2.1.0\",\"policy\":{\"tries\":0}}",
        "{\"release\":\"tiny@2.1.0\",\"on_fail\":\"cry\"}",
        "{\"release\":7}",
    };

    for (size_t i = 0; i < FLO_COUNT(bad); i++) {
        world->err = (struct flo_err){0};
        assert_null(start(world, bad[i]));
        if (world->err.code != FLO_E_REST_SCHEMA && world->err.code != FLO_E_REST_MEANING) {
            fail_msg("%s gave %s: %s", bad[i], flo_error_id(world->err.code), world->err.what);
        }
    }
    assert_int_equal(flo_rollouts_count(world->controller->rollouts), 0);
}

static void who_speaks_is_online_and_who_left_stays_away(void **state)
{
    struct world *world = *state;
    const char *tele = "{\"v\":1,\"seq\":1,\"at_ms\":5}";

    /* its presence was lost */
    send(world, 0, "ack", "{\"v\":1,\"order\":\"o-1\",\"outcome\":\"done\"}");
    assert_true(is_online(world->controller->store, ids[0]));
    assert_int_equal(world->ingest.dropped, 0);

    send(world, 0, "presence", "{\"v\":1,\"online\":false}");
    assert_false(is_online(world->controller->store, ids[0]));
    send(world, 0, "tele", tele); /* which waited after that */
    assert_false(is_online(world->controller->store, ids[0]));
}

static void what_a_device_has_forgotten_is_not_awaited(void **state)
{
    static const char runs[] = "{\"model\":\"tiny\",\"state\":\"ready\",\"execution\":{\"id\":"
                               "\"r-0001.1\",\"rollout\":\"r-0001\",\"state\":\"downloading\"}}";
    struct world *world = *state;
    struct flo_rollout_entry *entry = start(world, "{\"release\":\"tiny@2.1.0\"}");
    size_t canary = device_in_phase(entry, 0);
    struct flo_rollout_member *member =
        &entry->core.members[flo_rollout_find(&entry->core, ids[canary])];

    event(world, canary, "downloading");
    member->since_at_ms = 1;
    /* It does not know it yet, it knows it, it has more to tell. */
    reports_events(world, canary, 0, 0, "");
    reports_events(world, canary, 1, 1, runs);
    reports_events(world, canary, 2, 1, "");
    assert_int_equal(member->state, FLO_EXECUTION_DOWNLOADING);

    reports_events(world, canary, 1, 1, "");
    assert_int_equal(member->state, FLO_EXECUTION_NOTIFIED);

    /* It begins again, with the same number, and loses its end, too. */
    event(world, canary, "downloading");
    member->since_at_ms = 1;
    reports_events(world, canary, 2, 2,
                   "{\"model\":\"tiny\",\"state\":\"ready\",\"current\":{"
                   "\"release\":\"" DIGEST "\",\"version\":\"2.1.0\"}}");
    assert_int_equal(member->state, FLO_EXECUTION_SUCCEEDED);
}

/* Its disk was full at its end, and its outbox was lost after it went on. */
static void a_report_corrects_a_failure_of_a_device_that_went_on(void **state)
{
#define SUCCEEDED(rollout)                                                                         \
    "{\"v\":2,\"device\":\"%s\",\"rev\":1000,\"models\":[{\"model\":\"tiny\",\"current\":{"        \
    "\"release\":\"" DIGEST "\",\"version\":\"2.1.0\"},\"execution\":{\"id\":\"" rollout ".1\","   \
    "\"rollout\":\"" rollout "\",\"release\":\"" DIGEST "\",\"state\":\"succeeded\"}}]}"
    struct world *world = *state;
    struct flo_rollout_entry *entry = start(world, "{\"release\":\"tiny@2.1.0\"}");
    size_t canary = device_in_phase(entry, 0);
    struct flo_rollout_member *member =
        &entry->core.members[flo_rollout_find(&entry->core, ids[canary])];
    char text[1024];

    event(world, canary, "failed");
    does(world, entry, FLO_ROLLOUT_EVENT_ROLLBACK);
    assert_int_equal(entry->core.state, FLO_ROLLOUT_ROLLED_BACK);
    snprintf(text, sizeof(text), SUCCEEDED("r-0009"), ids[canary]);
    send(world, canary, "reported", text);
    assert_int_equal(member->state, FLO_EXECUTION_FAILED);

    snprintf(text, sizeof(text), SUCCEEDED("r-0001"), ids[canary]);
    send(world, canary, "reported", text);
    assert_int_equal(member->state, FLO_EXECUTION_SUCCEEDED);
    assert_int_equal(entry->core.state, FLO_ROLLOUT_PARTLY_BACK);

    snprintf(text, sizeof(text), "{\"v\":2,\"device\":\"%s\",\"rev\":1001,\"models\":[]}",
             ids[canary]);
    send(world, canary, "reported", text);
    assert_int_equal(entry->core.state, FLO_ROLLOUT_ROLLED_BACK);
#undef SUCCEEDED
}

static void what_a_device_forgot_is_superseded_by_what_it_should_do(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry = start(world, "{\"release\":\"tiny@2.1.0\"}");
    size_t canary = device_in_phase(entry, 0);

    event(world, canary, "accepted");
    does(world, entry, FLO_ROLLOUT_EVENT_ABORT);
    add_release(world, 2, "2.2.0", NEXT_DIGEST);
    assert_non_null(start(world, "{\"release\":\"tiny@2.2.0\",\"phases\":[{"
                                 "\"share_pct\":100}]}"));
    assert_string_equal(op_of(world, ids[canary]), "deploy");
    struct flo_rollout_member *member =
        &entry->core.members[flo_rollout_find(&entry->core, ids[canary])];
    assert_int_equal(member->state, FLO_EXECUTION_ACCEPTED);
    member->since_at_ms = 1;
    reports_events(world, canary, 1, 1, "");
    assert_int_equal(member->state, FLO_EXECUTION_SUPERSEDED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_WORLD(a_rollout_is_carried_by_messages),
        WITH_WORLD(a_rollout_read_again_goes_on_where_it_was),
        WITH_WORLD(a_phase_read_again_waits_its_whole_soak),
        WITH_WORLD(a_refused_request_does_not_forget_silence),
        WITH_WORLD(a_step_that_fails_leaves_no_trace),
        WITH_WORLD(a_device_speaks_only_for_itself),
        WITH_WORLD(a_device_that_drifts_is_counted_until_it_does_no_more),
        WITH_WORLD(a_refused_order_is_a_rejected_execution),
        WITH_WORLD(what_a_device_says_of_an_execution_is_shown_by_its_kind),
        WITH_WORLD(what_devices_fetch_is_added_up_also_after_a_restart),
        WITH_WORLD(an_aborted_rollout_ends_though_no_execution_began),
        WITH_WORLD(a_pause_behind_a_phase_without_buckets_is_resumed),
        WITH_WORLD(a_newcomer_gets_what_its_group_was_brought_to),
        WITH_WORLD(reading_an_old_rollout_does_not_make_it_the_newest),
        WITH_WORLD(many_rollouts_that_ended_do_not_hide_the_newest),
        WITH_WORLD(what_is_under_way_leaves_room_for_what_ended),
        WITH_WORLD(a_controller_full_of_rollouts_starts),
        WITH_WORLD(what_was_not_looked_for_longest_makes_room),
        WITH_WORLD(a_release_taken_back_leaves_newcomers_the_one_before),
        WITH_WORLD(specifications_out_of_bounds_are_refused),
        WITH_WORLD(who_speaks_is_online_and_who_left_stays_away),
        WITH_WORLD(what_a_device_has_forgotten_is_not_awaited),
        WITH_WORLD(what_a_device_forgot_is_superseded_by_what_it_should_do),
        WITH_WORLD(a_report_corrects_a_failure_of_a_device_that_went_on),
        WITH_WORLD(a_death_at_any_moment_of_a_report_is_seen),
        WITH_WORLD(telemetry_from_before_its_death_brings_nobody_back),
        WITH_WORLD(who_was_retired_says_nothing_any_more),
        WITH_WORLD(a_word_about_another_release_moves_no_rollout),
        WITH_WORLD(an_event_that_comes_twice_counts_once),
        WITH_WORLD(a_refusal_ends_no_update_that_has_begun),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
