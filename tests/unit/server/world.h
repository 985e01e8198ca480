/* A controller without network, three devices and a release: for tests that
 * send messages in and look at the state and what is outgoing. */
#ifndef FLOTILLA_TEST_SERVER_WORLD_H
#define FLOTILLA_TEST_SERVER_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server-stub/mqtt/ingest.h"
#include "server-stub/state/recall/recall.h"
#include "server-stub/state/rollouts/rollouts.h"

#define DIGEST                                                                                     \
    "sha256:"                                                                                      \
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define NEXT_DIGEST                                                                                \
    "sha256:"                                                                                      \
    "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static const char *const ids[] = {"11111111-1111-4111-8111-111111111111",
                                  "22222222-2222-4222-8222-222222222222",
                                  "33333333-3333-4333-8333-333333333333"};

struct world {
    struct flo_controller *controller;
    struct flo_ingest ingest;
    struct flo_err err;
    uint64_t seq;
};

static inline int enrol(struct world *world, const char *id, const char *name)
{
    const char groups[1][FLO_NAME_MAX + 1] = {"all"};
    struct flo_fleet_device device = {.id = id,
                                      .name = name,
                                      .labels = "{}",
                                      .profile = "{}",
                                      .groups = "[\"all\"]",
                                      .enrolled_at_ms = 1};
    int rv = flo_fleet_device_add(world->controller->store, &device, groups, 1, &world->err);
    flo_fleet_device_heard(world->controller->store, id, 1, 0);
    return rv < 0 ? rv : flo_rollouts_join(world->controller, id, &world->err);
}

static inline void add_release_of(struct world *world, const char *model, uint64_t number,
                                  const char *version, const char *digest)
{
    struct flo_fleet_release release = {.model = model,
                                        .version = version,
                                        .number = number,
                                        .digest = digest,
                                        .state = "published",
                                        .body = "{}",
                                        .bytes = 100};

    assert_int_equal(flo_fleet_release_add(world->controller->store, &release, &world->err), 0);
}

static inline void add_release(struct world *world, uint64_t number, const char *version,
                               const char *digest)
{
    add_release_of(world, "tiny", number, version, digest);
}

static inline int world_setup(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    struct flo_controller_options options = {
        .dir = ":memory:", .fleet = "demo", .unproved = FLO_UNPROVED_TAKE};

    flo_log_level_set(FLO_LOG_ERROR);
    assert_int_equal(flo_controller_open(&options, &world->controller, &world->err), 0);
    world->ingest.controller = world->controller;
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    for (size_t i = 0; i < FLO_COUNT(ids); i++) {
        char name[16];
        snprintf(name, sizeof(name), "gw-%zu", i + 1);
        assert_int_equal(enrol(world, ids[i], name), 0);
        bool is_news;
        assert_int_equal(
            flo_fleet_device_online(world->controller->store, ids[i], true, &is_news, &world->err),
            0);
    }
    add_release(world, 1, "2.1.0", DIGEST);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
    *state = world;
    return 0;
}

static inline int world_teardown(void **state)
{
    struct world *world = *state;

    flo_controller_close(world->controller);
    free(world);
    return 0;
}

static inline void send(struct world *world, size_t device, const char *word, const char *payload)
{
    char topic[FLO_TOPIC_TEXT];

    snprintf(topic, sizeof(topic), "flotilla/v1/demo/d/%s/%s", ids[device], word);
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(
        flo_ingest(&world->ingest, topic, payload, strlen(payload), false, &world->err), 0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
}

/* The words of a device whose disk was full when its power failed. */
static inline void reports_events(struct world *world, size_t device, unsigned last, unsigned acked,
                                  const char *models)
{
    char text[1024];

    snprintf(text, sizeof(text),
             "{\"v\":2,\"device\":\"%s\",\"rev\":1,\"models\":[%s],"
             "\"events\":{\"boot\":\"44444444-4444-4444-8444-444444444444\","
             "\"last\":%u,\"acked\":%u}}",
             ids[device], models, last, acked);
    send(world, device, "reported", text);
}

static inline struct flo_rollout_entry *start(struct world *world, const char *spec)
{
    struct flo_rollout_entry *entry = NULL;
    json_t *json = NULL;

    assert_int_equal(flo_json_parse(spec, strlen(spec), 65536, &json, &world->err), 0);
    /* Strict, so that one failure tells: the default is for real fleets. */
    if (json_object_get(json, "on_fail") == NULL) {
        json_object_set_new(json, "on_fail", json_string("rollback"));
    }
    if (json_object_get(json, "gates") == NULL) {
        json_object_set_new(json, "gates", json_pack("{s:{s:i}}", "failed", "max_pct", 0));
    }
    if (json_object_get(json, "phases") == NULL) {
        json_object_set_new(json, "phases",
                            json_pack("[{s:i},{s:i}]", "devices", 1, "share_pct", 100));
    }
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    int rv = flo_rollouts_create(world->controller, json, &(struct flo_actor){"ops", "user:ops"},
                                 false, &entry, &world->err);
    json_decref(json);
    if (rv < 0) {
        flo_controller_cancel(world->controller);
        return NULL;
    }
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
    return entry;
}

static inline void event_of(struct world *world, const char *rollout, const char *release,
                            size_t device, const char *state)
{
    char text[512];

    snprintf(text, sizeof(text),
             "{\"v\":1,\"boot\":\"44444444-4444-4444-8444-444444444444\","
             "\"seq\":%llu,\"type\":\"execution\",\"execution\":\"%s.1\","
             "\"release\":\"%s\",\"state\":\"%s\"}",
             (unsigned long long)++world->seq, rollout, release, state);
    send(world, device, "event", text);
}

static inline void event(struct world *world, size_t device, const char *state)
{
    event_of(world, "r-0001", DIGEST, device, state);
}

static inline size_t device_in_phase(const struct flo_rollout_entry *entry, uint8_t phase)
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

static inline const char *order_of(struct world *world, size_t device)
{
    static char order[FLO_NAME_MAX + 1];

    assert_int_equal(
        flo_fleet_desired_get(world->controller->store, ids[device], "tiny", order, &world->err),
        0);
    return order;
}

static inline void does(struct world *world, struct flo_rollout_entry *entry,
                        enum flo_rollout_event_kind kind)
{
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    if (flo_rollouts_step(world->controller, entry,
                          (struct flo_rollout_event){.kind = kind, .note = "ops"},
                          &world->err) < 0) {
        fail_msg("%s: %s", flo_rollout_event_word(kind), world->err.what);
    }
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
}

static inline int take_op(void *context, const struct flo_fleet_order *order)
{
    snprintf(context, 16, "%s", order->op);
    return 0;
}

/* The kind of the order that a device's desired holds; "" none. */
static inline const char *op_of(struct world *world, const char *device)
{
    static char op[16];
    char order[FLO_NAME_MAX + 1];

    assert_int_equal(
        flo_fleet_desired_get(world->controller->store, device, "tiny", order, &world->err), 0);
    op[0] = '\0';
    if (order[0] != '\0') {
        assert_int_equal(
            flo_fleet_order_get(world->controller->store, order, take_op, op, &world->err), 0);
    }
    return op;
}

static inline int take_scope(void *context, const struct flo_fleet_order *order)
{
    json_t *body = json_loads(order->body, 0, NULL);
    json_t *scope = json_object_get(body, "scope");

    flo_json_dump(scope, context);
    json_decref(body);
    return 0;
}

/* An order for this device and for nobody else. */
static inline void is_for(struct world *world, const char *order, const char *device)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) scope = {0};
    char expected[64];

    assert_int_equal(
        flo_fleet_order_get(world->controller->store, order, take_scope, &scope, &world->err), 0);
    snprintf(expected, sizeof(expected), "{\"device\":\"%s\"}", device);
    assert_string_equal(scope.data, expected);
}

#define NEWCOMER "eeeeeeee-eeee-4eee-8eee-eeeeeeeeeeee"

/* The order of a device that came just now. */
static inline const char *order_of_newcomer(struct world *world)
{
    static char order[FLO_NAME_MAX + 1];

    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(enrol(world, NEWCOMER, "gw-9"), 0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
    assert_int_equal(
        flo_fleet_desired_get(world->controller->store, NEWCOMER, "tiny", order, &world->err), 0);
    return order;
}

static inline void enrol_in_lab(struct world *world)
{
    const char groups[2][FLO_NAME_MAX + 1] = {"all", "lab"};
    struct flo_fleet_device device = {.id = NEWCOMER,
                                      .name = "lab-1",
                                      .labels = "{}",
                                      .profile = "{}",
                                      .groups = "[\"all\",\"lab\"]",
                                      .enrolled_at_ms = 1};

    assert_int_equal(
        flo_fleet_device_add(world->controller->store, &device, groups, 2, &world->err), 0);
    flo_fleet_device_heard(world->controller->store, NEWCOMER, 1, 0);
}

/* Two rollouts of 2.1.0: one is under way on all, one is done on "lab", whose
 * device did not hear of it yet. */
static inline struct flo_rollout_entry *world_with_two_groups(struct world *world)
{
    struct flo_rollout_entry *entry;

    enrol_in_lab(world);
    entry = start(world, "{\"release\":\"tiny@2.1.0\"}");
    assert_non_null(entry);
    struct flo_rollout_entry *lab = start(world, "{\"release\":\"tiny@2.1.0\",\"group\":\"lab\"}");
    assert_non_null(lab);
    lab->core.state = FLO_ROLLOUT_COMPLETED;
    return entry;
}

static inline void add_next_release(struct world *world)
{
    add_release(world, 2, "2.2.0", NEXT_DIGEST);
}

/* Everybody has 2.1.0 by r-0001 (o-0001), then 2.2.0 by r-0002 (o-0002). */
static inline void bring_to_two_releases(struct world *world)
{
    const char *const digests[] = {DIGEST, NEXT_DIGEST};
    const char *const specs[] = {"{\"release\":\"tiny@2.1.0\",\"phases\":[{\"share_pct\":100}]}",
                                 "{\"release\":\"tiny@2.2.0\",\"phases\":[{\"share_pct\":100}]}"};

    add_next_release(world);
    for (size_t i = 0; i < FLO_COUNT(specs); i++) {
        struct flo_rollout_entry *entry = start(world, specs[i]);
        assert_non_null(entry);
        for (size_t device = 0; device < FLO_COUNT(ids); device++) {
            event_of(world, entry->core.id, digests[i], device, "succeeded");
        }
        assert_int_equal(entry->core.state, FLO_ROLLOUT_COMPLETED);
    }
}

/* A release goes back in a group and is yanked. */
static inline int takes_back(struct flo_controller *controller, const char *release,
                             const char *group, const char *by, const char *reason, char *id,
                             struct flo_err *err)
{
    return flo_orders_recall(
        controller,
        &(struct flo_recall){
            .release = release, .group = group, .is_yanked = true, .by = by, .reason = reason},
        id, err);
}

#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, world_setup, world_teardown)

/* The answer of a plan, whose slices come one by one. */
static inline json_t *end_plan(struct world *world, struct flo_orders_plan *plan)
{
    json_t *out = NULL;
    bool is_whole = false;

    while (!is_whole) {
        assert_int_equal(flo_orders_plan_on(plan, 0, &is_whole, &world->err), 0);
    }
    assert_int_equal(flo_orders_plan_end(plan, &out, &world->err), 0);
    flo_orders_plan_free(plan);
    return out;
}

#endif
