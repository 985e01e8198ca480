/* A controller without network: messages in, state and effects out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server-stub/shell/controller.h"

#define DIGEST                                                                 \
    "sha256:"                                                                  \
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define NEXT_DIGEST                                                            \
    "sha256:"                                                                  \
    "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static const char *const ids[] = {"11111111-1111-4111-8111-111111111111",
                                  "22222222-2222-4222-8222-222222222222",
                                  "33333333-3333-4333-8333-333333333333"};

struct world {
    struct flo_controller *controller;
    struct flo_err err;
    uint64_t seq;
};

static int enrol(struct world *world, const char *id, const char *name)
{
    const char groups[1][FLO_NAME_MAX + 1] = {"all"};
    struct flo_records_device device = {.id = id,
                                        .name = name,
                                        .labels = "{}",
                                        .profile = "{}",
                                        .groups = "[\"all\"]",
                                        .enrolled_at_ms = 1};
    int rv = flo_records_device_add(world->controller->store, &device, groups,
                                    1, &world->err);
    return rv < 0 ? rv
                  : flo_rollouts_join(world->controller, id, groups, 1,
                                      &world->err);
}

static int world_setup(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    struct flo_controller_options options = {.dir = ":memory:",
                                             .fleet = "demo"};
    struct flo_records_release release = {.model = "tiny",
                                          .version = "2.1.0",
                                          .number = 1,
                                          .digest = DIGEST,
                                          .state = "published",
                                          .body = "{}",
                                          .bytes = 100};

    flo_log_level_set(FLO_LOG_ERROR);
    assert_int_equal(
        flo_controller_open(&options, &world->controller, &world->err), 0);
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    for (size_t i = 0; i < FLO_COUNT(ids); i++) {
        char name[16];
        snprintf(name, sizeof(name), "gw-%zu", i + 1);
        assert_int_equal(enrol(world, ids[i], name), 0);
    }
    assert_int_equal(flo_records_release_add(world->controller->store, &release,
                                             &world->err),
                     0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
    *state = world;
    return 0;
}

static int world_teardown(void **state)
{
    struct world *world = *state;

    flo_controller_close(world->controller);
    free(world);
    return 0;
}

static void send(struct world *world, size_t device, const char *word,
                 const char *payload)
{
    char topic[FLO_TOPIC_TEXT];

    snprintf(topic, sizeof(topic), "flotilla/v1/demo/d/%s/%s", ids[device],
             word);
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(flo_ingest(world->controller, topic, payload,
                                strlen(payload), false, &world->err),
                     0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
}

static struct flo_rollout_entry *start(struct world *world, const char *spec)
{
    struct flo_rollout_entry *entry = NULL;
    json_t *json = NULL;

    assert_int_equal(
        flo_json_parse(spec, strlen(spec), 65536, &json, &world->err), 0);
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    int rv = flo_rollouts_create(world->controller, json, "ops", false, &entry,
                                 &world->err);
    json_decref(json);
    if (rv < 0) {
        flo_controller_cancel(world->controller);
        return NULL;
    }
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
    return entry;
}

static void event_of(struct world *world, const char *rollout,
                     const char *release, size_t device, const char *state)
{
    char text[512];

    snprintf(text, sizeof(text),
             "{\"v\":1,\"boot\":\"44444444-4444-4444-8444-444444444444\","
             "\"seq\":%llu,\"type\":\"execution\",\"execution\":\"%s.1\","
             "\"release\":\"%s\",\"state\":\"%s\"}",
             (unsigned long long)++world->seq, rollout, release, state);
    send(world, device, "event", text);
}

static void event(struct world *world, size_t device, const char *state)
{
    event_of(world, "r-0001", DIGEST, device, state);
}

static size_t device_in_phase(const struct flo_rollout_entry *entry,
                              uint8_t phase)
{
    for (size_t i = 0; i < FLO_COUNT(ids); i++) {
        size_t at = flo_rollout_find(&entry->core, ids[i]);
        if (entry->core.members[at].phase == phase) {
            return i;
        }
    }
    fail();
    return 0;
}

static const char *order_of(struct world *world, size_t device)
{
    static char order[FLO_NAME_MAX + 1];
    uint64_t rev;

    assert_int_equal(flo_records_desired_get(world->controller->store,
                                             ids[device], &rev, order,
                                             &world->err),
                     0);
    return order;
}

static void a_rollout_is_carried_by_messages(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry =
        start(world, "{\"release\":\"tiny@2.1.0\"}");
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
    assert_int_equal(
        flo_rollouts_find(world->controller, "r-0001", &entry, &world->err), 0);

    assert_int_equal(entry->core.state, before.state);
    assert_int_equal(entry->core.on_fail, FLO_ON_FAIL_HALT);
    assert_int_equal(entry->core.member_count, 3);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(entry->core.phases[i].bucket_to,
                         before.phases[i].bucket_to);
        assert_memory_equal(entry->core.phases[i].counts,
                            before.phases[i].counts,
                            sizeof(before.phases[i].counts));
    }
    event(world, canary, "failed");
    assert_int_equal(entry->core.state, FLO_ROLLOUT_HALTED);
    assert_string_not_equal(order_of(world, canary), "o-0001");
}

static void a_refused_request_does_not_forget_silence(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry =
        start(world, "{\"release\":\"tiny@2.1.0\"}");
    size_t canary =
        flo_rollout_find(&entry->core, ids[device_in_phase(entry, 0)]);

    entry->core.members[canary].heard_at_ms = 5;
    assert_null(start(world, "{\"release\":\"tiny@2.1.0\"}"));
    assert_int_equal(world->err.code, FLO_E_REST_CONFLICT);

    assert_ptr_equal(world->controller->rollouts[0], entry);
    assert_int_equal(entry->core.members[canary].heard_at_ms, 5);
}

static void a_step_that_fails_leaves_no_trace(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry =
        start(world, "{\"release\":\"tiny@2.1.0\"}");
    size_t device = device_in_phase(entry, 0);
    struct flo_rollout_event failed = {.kind = FLO_ROLLOUT_EVENT_EXECUTION,
                                       .device = ids[device],
                                       .attempt = 1,
                                       .execution = FLO_EXECUTION_FAILED};

    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(
        flo_rollouts_step(world->controller, entry, failed, &world->err), 0);
    assert_int_equal(entry->core.state, FLO_ROLLOUT_ROLLED_BACK);
    flo_controller_cancel(world->controller);

    assert_int_equal(
        flo_rollouts_find(world->controller, "r-0001", &entry, &world->err), 0);
    assert_int_equal(entry->core.state, FLO_ROLLOUT_RUNNING);
    assert_string_equal(order_of(world, device), "o-0001");
}

static void a_device_speaks_only_for_itself(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry =
        start(world, "{\"release\":\"tiny@2.1.0\"}");
    size_t canary = device_in_phase(entry, 0);
    size_t other = device_in_phase(entry, 1);
    uint64_t dropped = world->controller->counters.messages_dropped;
    char text[256];

    /* Another one says that it failed: its phase has not begun. */
    event(world, other, "failed");
    assert_int_equal(entry->core.state, FLO_ROLLOUT_RUNNING);
    snprintf(text, sizeof(text),
             "{\"v\":1,\"device\":\"%s\",\"rev\":99,\"serving\":{}}",
             ids[canary]);
    send(world, other, "reported", text);
    assert_int_equal(world->controller->counters.messages_dropped, dropped + 1);
}

static void a_refused_order_is_a_rejected_execution(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry =
        start(world, "{\"release\":\"tiny@2.1.0\"}");
    size_t canary = device_in_phase(entry, 0);

    send(world, canary, "ack",
         "{\"v\":1,\"order\":\"o-0001\",\"outcome\":\"refused\","
         "\"error\":{\"id\":\"cmd.expired\"}}");

    size_t at = flo_rollout_find(&entry->core, ids[canary]);
    assert_int_equal(entry->core.members[at].state, FLO_EXECUTION_REJECTED);
    assert_int_equal(entry->core.state, FLO_ROLLOUT_ROLLED_BACK);
}

static void an_aborted_rollout_ends_though_no_execution_began(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry =
        start(world, "{\"release\":\"tiny@2.1.0\"}");
    size_t canary = device_in_phase(entry, 0);

    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(
        flo_rollouts_step(world->controller, entry,
                          (struct flo_rollout_event){
                              .kind = FLO_ROLLOUT_EVENT_ABORT, .note = "ops"},
                          &world->err),
        0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
    assert_int_equal(entry->core.state, FLO_ROLLOUT_ABORTING);
    assert_string_equal(order_of(world, canary), "o-0002");
    send(world, canary, "ack",
         "{\"v\":1,\"order\":\"o-0002\",\"outcome\":\"done\"}");

    assert_int_equal(entry->core.state, FLO_ROLLOUT_ABORTED);
}

static void does(struct world *world, struct flo_rollout_entry *entry,
                 enum flo_rollout_event_kind kind)
{
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    if (flo_rollouts_step(
            world->controller, entry,
            (struct flo_rollout_event){.kind = kind, .note = "ops"},
            &world->err) < 0) {
        fail_msg("%s: %s", flo_rollout_event_word(kind), world->err.what);
    }
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
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
    assert_int_equal(entry->core.phases[1].bucket_from,
                     entry->core.phases[1].bucket_to);
    does(world, entry, FLO_ROLLOUT_EVENT_PAUSE);
    assert_string_equal(order_of(world, last), "o-0003");
    does(world, entry, FLO_ROLLOUT_EVENT_RESUME);

    assert_int_equal(entry->core.state, FLO_ROLLOUT_RUNNING);
    assert_string_equal(order_of(world, last), "o-0002");
}

static void an_emergency_order_rewrites_yanks_and_stops(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry =
        start(world, "{\"release\":\"tiny@2.1.0\"}");
    char id[FLO_NAME_MAX + 1];
    struct flo_rollout_entry *again = NULL;

    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(flo_orders_take_back(world->controller, "tiny@2.1.0",
                                          "all", "ops", "bad", id, &world->err),
                     0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);

    assert_int_equal(entry->core.state, FLO_ROLLOUT_ROLLING_BACK);
    for (size_t i = 0; i < FLO_COUNT(ids); i++) {
        assert_string_equal(order_of(world, i), id);
        char text[256];
        snprintf(text, sizeof(text),
                 "{\"v\":1,\"order\":\"%s\",\"outcome\":\"done\"}", id);
        send(world, i, "ack", text);
    }
    assert_int_equal(entry->core.state, FLO_ROLLOUT_ROLLED_BACK);
    again = start(world, "{\"release\":\"tiny@2.1.0\"}");
    assert_null(again);
    assert_int_equal(world->err.code, FLO_E_RELEASE_YANKED);
    json_t *view = NULL;
    assert_int_equal(flo_view_order(world->controller, id, &view, &world->err),
                     0);
    assert_string_equal(json_string_value(json_object_get(view, "state")),
                        "done");
    json_decref(view);
}

static char *list_of_all(struct world *world)
{
    struct flo_buf text = {0};

    assert_int_equal(
        flo_orders_group_text(world->controller, "all", &text, &world->err), 0);
    return text.data;
}

/* For those who hold it: a device that a newer rollout brought forward must
 * not hear of it again, nor may a pause come behind its resume. */
static void
old_orders_are_signed_anew_for_those_whose_desired_holds_them(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry =
        start(world, "{\"release\":\"tiny@2.1.0\"}");
    size_t canary = device_in_phase(entry, 0);
    struct flo_buf text = {0};
    char aged[FLO_NAME_MAX + 1] = "o-0001";

    /* Young: stays. */
    assert_int_equal(flo_orders_renew(world->controller, &world->err), 0);
    assert_string_equal(order_of(world, canary), aged);

    /* As if it had been issued 40 hours ago. */
    struct flo_records_order old = {.id = "o-0900",
                                    .op = "rollback",
                                    .group = "all",
                                    .envelope = "{}",
                                    .rollout = "",
                                    .release = DIGEST,
                                    .issued_at_ms = flo_wall_ms() - 144000000,
                                    .expires_at_ms = flo_wall_ms() + 115200000};
    old.body =
        "{\"v\":1,\"fleet\":\"demo\",\"id\":\"o-0900\",\"op\":"
        "\"rollback\",\"scope\":{\"group\":\"all\"},\"epoch\":1,"
        "\"seq\":900,\"issued_at_ms\":1,\"expires_at_ms\":2,\"args\":"
        "{\"model\":\"tiny\",\"from\":[\"" DIGEST "\"],\"to\":\"previous\"}}";
    assert_int_equal(
        flo_records_order_add(world->controller->store, &old, &world->err), 0);
    assert_int_equal(flo_records_desired_set(world->controller->store,
                                             ids[canary], "o-0900",
                                             &world->err),
                     0);
    char *before = list_of_all(world);
    assert_int_equal(flo_orders_renew(world->controller, &world->err), 0);

    assert_string_equal(order_of(world, canary), "o-0002");
    char *after = list_of_all(world);
    assert_string_equal(after, before);
    assert_int_equal(world->controller->effects.groups.count, 0);
    free(before);
    free(after);
    assert_int_equal(flo_orders_desired_text(world->controller, ids[canary],
                                             &text, &world->err),
                     0);
    assert_non_null(strstr(text.data, "\"rev\":4"));
    flo_buf_deinit(&text);
}

static int take_op(void *context, const struct flo_records_order *order)
{
    snprintf(context, 16, "%s", order->op);
    return 0;
}

/* Of four days ago: nobody's list has it any more. */
static void add_old(struct world *world, const char *op, const char *rollout,
                    uint64_t seq)
{
    char id[16], body[256];
    struct flo_records_order old = {.id = id,
                                    .op = op,
                                    .group = "all",
                                    .envelope = "{}",
                                    .body = body,
                                    .rollout = rollout,
                                    .release = "",
                                    .seq = seq,
                                    .issued_at_ms = flo_wall_ms() - 360000000,
                                    .expires_at_ms = flo_wall_ms() - 100800000};

    snprintf(id, sizeof(id), "o-%04d", (int)seq);
    snprintf(body, sizeof(body),
             "{\"v\":1,\"fleet\":\"demo\",\"id\":\"%s\",\"op\":\"%s\","
             "\"scope\":{\"group\":\"all\"},\"epoch\":1,\"seq\":%d,"
             "\"issued_at_ms\":1,\"expires_at_ms\":2,"
             "\"args\":{\"rollout\":\"r-0001\"}}",
             id, op, (int)seq);
    assert_int_equal(
        flo_records_order_add(world->controller->store, &old, &world->err), 0);
    assert_int_equal(
        flo_records_skip(world->controller->store, "order", 1, &world->err), 0);
}

static void assert_renewed(struct world *world, const char *id,
                           const char *wanted)
{
    char op[16];

    for (int hour = 0; hour < 2; hour++) { /* young in the second: stays */
        assert_int_equal(flo_orders_renew(world->controller, &world->err), 0);
    }
    assert_int_equal(world->controller->counters.orders_signed, 1);
    assert_int_equal(flo_records_order_get(world->controller->store, id,
                                           take_op, op, &world->err),
                     0);
    assert_string_equal(op, wanted);
    assert_string_equal(world->controller->effects.groups.items[0], "all");
    char *list = list_of_all(world);
    assert_non_null(strstr(list, "payload"));
    free(list);
}

/* A device may be away for longer than any order lives: the list of its group
 * must say what holds, whenever it comes back. */
static void the_newest_freeze_or_unfreeze_is_signed_anew(void **state)
{
    struct world *world = *state;

    add_old(world, "freeze", "", 1);
    add_old(world, "unfreeze", "", 2);
    assert_renewed(world, "o-0003", "unfreeze");
}

static void a_resume_is_signed_anew_for_who_accepted_and_may_wait(void **state)
{
    struct world *world = *state;
    struct flo_rollout_member member = {.state = FLO_EXECUTION_ACCEPTED};

    add_old(world, "pause", "r-0001", 1);
    add_old(world, "resume", "r-0001", 2);
    assert_int_equal(flo_orders_renew(world->controller, &world->err), 0);
    assert_int_equal(world->controller->counters.orders_signed, 0);
    snprintf(member.device, sizeof(member.device), "%s", ids[0]);
    assert_int_equal(flo_records_member_put(world->controller->store, "r-0001",
                                            &member, &world->err),
                     0);
    assert_renewed(world, "o-0003", "resume");
}

/* Of the order that a device's desired holds; "" none. */
static const char *op_of(struct world *world, const char *device)
{
    static char op[16];
    char order[FLO_NAME_MAX + 1];
    uint64_t rev;

    assert_int_equal(flo_records_desired_get(world->controller->store, device,
                                             &rev, order, &world->err),
                     0);
    op[0] = '\0';
    if (order[0] != '\0') {
        assert_int_equal(flo_records_order_get(world->controller->store, order,
                                               take_op, op, &world->err),
                         0);
    }
    return op;
}

/* The same order again, as if it had been signed four days ago. */
static int add_expired(void *context, const struct flo_records_order *order)
{
    struct world *world = context;
    struct flo_records_order old = *order;

    old.id = "o-0900";
    old.seq = 900;
    old.issued_at_ms = flo_wall_ms() - 345600000;
    old.expires_at_ms = flo_wall_ms() - 86400000;
    return flo_records_order_add(world->controller->store, &old, &world->err);
}

static void
a_rollout_resumed_after_days_brings_an_order_that_lives(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry =
        start(world, "{\"release\":\"tiny@2.1.0\"}");
    size_t canary = device_in_phase(entry, 0);

    does(world, entry, FLO_ROLLOUT_EVENT_PAUSE);
    assert_int_equal(flo_records_order_get(world->controller->store, "o-0001",
                                           add_expired, world, &world->err),
                     0);
    assert_int_equal(
        flo_records_skip(world->controller->store, "order", 998, &world->err),
        0);
    does(world, entry, FLO_ROLLOUT_EVENT_RESUME);

    assert_string_equal(op_of(world, ids[canary]), "deploy");
    assert_string_equal(order_of(world, canary), "o-1002");
}

#define NEWCOMER "55555555-5555-4555-8555-555555555555"

/* The order of a device that came just now. */
static const char *order_of_newcomer(struct world *world)
{
    static char order[FLO_NAME_MAX + 1];
    uint64_t rev;

    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(enrol(world, NEWCOMER, "gw-9"), 0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
    assert_int_equal(flo_records_desired_get(world->controller->store, NEWCOMER,
                                             &rev, order, &world->err),
                     0);
    return order;
}

static void a_newcomer_gets_what_its_group_was_brought_to(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry =
        start(world, "{\"release\":\"tiny@2.1.0\"}");

    event(world, device_in_phase(entry, 0), "succeeded");
    for (size_t i = 0; i < FLO_COUNT(ids); i++) {
        event(world, i, "succeeded");
    }
    assert_int_equal(entry->core.state, FLO_ROLLOUT_COMPLETED);

    const char *order = order_of_newcomer(world);
    assert_true(strcmp(order, "o-0001") == 0 || strcmp(order, "o-0002") == 0);
}

/* Two rollouts of 2.1.0: one is under way on all, one is done on "lab", whose
 * device did not hear of it yet. */
static struct flo_rollout_entry *world_with_two_groups(struct world *world)
{
    const char groups[2][FLO_NAME_MAX + 1] = {"all", "lab"};
    struct flo_records_device device = {.id = NEWCOMER,
                                        .name = "lab-1",
                                        .labels = "{}",
                                        .profile = "{}",
                                        .groups = "[\"all\",\"lab\"]",
                                        .enrolled_at_ms = 1};
    struct flo_rollout_entry *entry;

    assert_int_equal(flo_records_device_add(world->controller->store, &device,
                                            groups, 2, &world->err),
                     0);
    entry = start(world, "{\"release\":\"tiny@2.1.0\",\"group\":\"lab\"}");
    assert_non_null(entry);
    entry->core.state = FLO_ROLLOUT_COMPLETED;
    entry = start(world, "{\"release\":\"tiny@2.1.0\"}");
    assert_non_null(entry);
    return entry;
}

/* Everybody has 2.1.0 by r-0001 (o-0001), then 2.2.0 by r-0002 (o-0002). */
static void bring_to_two_releases(struct world *world)
{
    struct flo_records_release release = {.model = "tiny",
                                          .version = "2.2.0",
                                          .number = 2,
                                          .digest = NEXT_DIGEST,
                                          .state = "published",
                                          .body = "{}",
                                          .bytes = 100};
    const char *const digests[] = {DIGEST, NEXT_DIGEST};
    const char *const specs[] = {
        "{\"release\":\"tiny@2.1.0\",\"phases\":[{\"share_pct\":100}]}",
        "{\"release\":\"tiny@2.2.0\",\"phases\":[{\"share_pct\":100}]}"};

    assert_int_equal(flo_records_release_add(world->controller->store, &release,
                                             &world->err),
                     0);
    for (size_t i = 0; i < FLO_COUNT(specs); i++) {
        struct flo_rollout_entry *entry = start(world, specs[i]);
        assert_non_null(entry);
        for (size_t device = 0; device < FLO_COUNT(ids); device++) {
            event_of(world, entry->core.id, digests[i], device, "succeeded");
        }
        assert_int_equal(entry->core.state, FLO_ROLLOUT_COMPLETED);
    }
}

static void reading_an_old_rollout_does_not_make_it_the_newest(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry;

    bring_to_two_releases(world);
    flo_rollouts_forget(world->controller);
    assert_int_equal(
        flo_rollouts_find(world->controller, "r-0002", &entry, &world->err), 0);
    assert_int_equal(
        flo_rollouts_find(world->controller, "r-0001", &entry, &world->err), 0);

    assert_string_equal(order_of_newcomer(world), "o-0002");
}

static void a_release_taken_back_leaves_newcomers_the_one_before(void **state)
{
    struct world *world = *state;
    char id[FLO_NAME_MAX + 1];

    bring_to_two_releases(world);
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(flo_orders_take_back(world->controller, "tiny@2.2.0",
                                          "all", "ops", "bad", id, &world->err),
                     0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);

    assert_string_equal(order_of_newcomer(world), "o-0001");
}

static void a_withdrawn_release_starts_nowhere(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry = world_with_two_groups(world);
    const char *canary = ids[device_in_phase(entry, 0)];

    assert_string_equal(op_of(world, canary), "deploy");
    assert_string_equal(op_of(world, NEWCOMER), "deploy");
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(flo_orders_withdraw(world->controller, &entry->release, "",
                                         "yanked by ops", &world->err),
                     0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);

    assert_int_equal(entry->core.state, FLO_ROLLOUT_ABORTING);
    assert_string_equal(op_of(world, canary), "abort");
    assert_string_equal(op_of(world, NEWCOMER), "");
}

static void a_rollback_of_one_group_aborts_the_rollout_of_all(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry = world_with_two_groups(world);
    const char *canary = ids[device_in_phase(entry, 0)];
    char id[FLO_NAME_MAX + 1];

    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(flo_orders_take_back(world->controller, "tiny@2.1.0",
                                          "lab", "ops", "bad", id, &world->err),
                     0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);

    assert_int_equal(entry->core.state, FLO_ROLLOUT_ABORTING);
    assert_string_equal(op_of(world, canary), "abort");
    assert_string_equal(op_of(world, NEWCOMER), "rollback");
}

static void a_rollback_of_a_group_without_devices_is_refused(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry =
        start(world, "{\"release\":\"tiny@2.1.0\"}");
    char id[FLO_NAME_MAX + 1];

    assert_int_equal(flo_orders_take_back(world->controller, "tiny@2.1.0",
                                          "canari", "ops", "bad", id,
                                          &world->err),
                     FLO_E_GROUP_ABSENT);

    assert_int_equal(entry->core.state, FLO_ROLLOUT_RUNNING);
    assert_int_equal(world->controller->counters.orders_signed, 1);
}

static void specifications_with_typos_are_refused(void **state)
{
    struct world *world = *state;
    const char *const bad[] = {
        "{\"release\":\"tiny@2.1.0\",\"phase\":[]}",
        "{\"release\":\"tiny@2.1.0\",\"phases\":[]}",
        "{\"release\":\"tiny@2.1.0\",\"phases\":[{\"devices\":0}]}",
        "{\"release\":\"tiny@2.1.0\",\"phases\":[{\"share_pct\":101}]}",
        "{\"release\":\"tiny@2.1.0\",\"gates\":{\"latency\":{}}}",
        "{\"release\":\"tiny@2.1.0\",\"gates\":{\"failed\":{\"max\":1}}}",
        "{\"release\":\"tiny@2.1.0\",\"policy\":{\"soak\":1}}",
        "{\"release\":\"tiny@2.1.0\",\"policy\":{\"tries\":0}}",
        "{\"release\":\"tiny@2.1.0\",\"on_fail\":\"cry\"}",
        "{\"release\":7}",
    };

    for (size_t i = 0; i < FLO_COUNT(bad); i++) {
        world->err = (struct flo_err){0};
        assert_null(start(world, bad[i]));
        if (world->err.code != FLO_E_REST_SCHEMA) {
            fail_msg("%s gave %s: %s", bad[i], flo_error_id(world->err.code),
                     world->err.what);
        }
    }
    assert_int_equal(world->controller->rollout_count, 0);
}

int main(void)
{
#define WITH_WORLD(test)                                                       \
    cmocka_unit_test_setup_teardown(test, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        WITH_WORLD(a_rollout_is_carried_by_messages),
        WITH_WORLD(a_rollout_read_again_goes_on_where_it_was),
        WITH_WORLD(a_refused_request_does_not_forget_silence),
        WITH_WORLD(a_step_that_fails_leaves_no_trace),
        WITH_WORLD(a_device_speaks_only_for_itself),
        WITH_WORLD(a_refused_order_is_a_rejected_execution),
        WITH_WORLD(an_aborted_rollout_ends_though_no_execution_began),
        WITH_WORLD(a_pause_behind_a_phase_without_buckets_is_resumed),
        WITH_WORLD(an_emergency_order_rewrites_yanks_and_stops),
        WITH_WORLD(
            old_orders_are_signed_anew_for_those_whose_desired_holds_them),
        WITH_WORLD(a_rollout_resumed_after_days_brings_an_order_that_lives),
        WITH_WORLD(the_newest_freeze_or_unfreeze_is_signed_anew),
        WITH_WORLD(a_resume_is_signed_anew_for_who_accepted_and_may_wait),
        WITH_WORLD(a_newcomer_gets_what_its_group_was_brought_to),
        WITH_WORLD(reading_an_old_rollout_does_not_make_it_the_newest),
        WITH_WORLD(a_release_taken_back_leaves_newcomers_the_one_before),
        WITH_WORLD(a_withdrawn_release_starts_nowhere),
        WITH_WORLD(a_rollback_of_one_group_aborts_the_rollout_of_all),
        WITH_WORLD(a_rollback_of_a_group_without_devices_is_refused),
        WITH_WORLD(specifications_with_typos_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
