/* Large rollouts: the rows of their members are made in slices, and their
 * members outlive the controller at each step. */
#include <unistd.h>

#include "server-stub/state/devices/devices.h"
#include "server-stub/state/rollouts/work.h"
#include "server-stub/store/drafts.h"
#include "tests/unit/server/world.h"
#include "unit/remove_tree.h"

#define DEVICES 9
#define SLICE 2
#define STEPS 4
#define ROLLOUT "r-0001"
#define SPEC                                                                                       \
    "{\"release\":\"tiny@2.1.0\",\"cover\":\"site\",\"gates\":{\"failed\":"                        \
    "{\"max_pct\":0}},\"phases\":[{\"devices\":1},{\"share_pct\":100}]}"

static const char *id_of(int device)
{
    static char id[37];

    snprintf(id, sizeof(id), "%08x-7777-4777-8777-777777777777", (unsigned)device);
    return id;
}

static void open_world(struct world *world, const char *dir)
{
    struct flo_controller_options options = {.dir = dir,
                                             .fleet = "demo",
                                             .public_host = "127.0.0.1",
                                             .unproved = FLO_UNPROVED_TAKE,
                                             .slice_devices = SLICE};

    *world = (struct world){0};
    flo_log_level_set(FLO_LOG_ERROR);
    if (flo_controller_open(&options, &world->controller, &world->err) < 0) {
        fail_msg("%s", world->err.what);
    }
    world->ingest.controller = world->controller;
}

static void begin(struct world *world)
{
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
}

static void commit(struct world *world)
{
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
}

static void enrol_at(struct world *world, int device)
{
    const char groups[1][FLO_NAME_MAX + 1] = {"all"};
    char name[16], labels[32];

    snprintf(name, sizeof(name), "many-%d", device);
    snprintf(labels, sizeof(labels), "{\"site\":\"s%d\"}", device % 3);
    struct flo_fleet_device row = {.id = id_of(device),
                                   .name = name,
                                   .labels = labels,
                                   .profile = "{}",
                                   .groups = "[\"all\"]",
                                   .enrolled_at_ms = 1};
    assert_int_equal(flo_fleet_device_add(world->controller->store, &row, groups, 1, &world->err),
                     0);
    flo_fleet_device_heard(world->controller->store, id_of(device), 1, 0);
    assert_int_equal(flo_rollouts_join(world->controller, id_of(device), &world->err), 0);
}

static struct flo_rollout_entry *found(struct world *world)
{
    struct flo_rollout_entry *entry;

    assert_int_equal(flo_rollouts_find(world->controller, ROLLOUT, &entry, &world->err), 0);
    return entry;
}

static void made_world(struct world *world, char *dir)
{
    assert_non_null(mkdtemp(dir));
    open_world(world, dir);
    begin(world);
    add_release(world, 1, "2.1.0", DIGEST);
    for (int i = 0; i < DEVICES; i++) {
        enrol_at(world, i);
    }
    commit(world);
}

static void again(struct world *world, const char *dir)
{
    flo_controller_close(world->controller);
    open_world(world, dir);
}

static int count_row(void *context, const struct flo_rollout_member *member, const char *error_json,
                     const char *detail_json)
{
    (void)member, (void)error_json, (void)detail_json;
    ++*(size_t *)context;
    return 0;
}

static size_t rows(struct world *world)
{
    size_t count = 0;

    assert_int_equal(flo_fleet_member_list(world->controller->store, ROLLOUT, FLO_FLEET_ALL,
                                           count_row, &count, &world->err),
                     0);
    return count;
}

static int note_text(void *context, const char *text)
{
    (void)text;
    *(bool *)context = true;
    return 0;
}

static bool has_text(struct world *world)
{
    bool has = false;

    assert_int_equal(
        flo_fleet_draft_get(world->controller->store, ROLLOUT, note_text, &has, &world->err), 0);
    return has;
}

/* The same devices in the same places of its phases. */
struct members {
    size_t count;
    struct flo_rollout_member items[DEVICES + 1];
};

static struct members members_of(const struct flo_rollout_entry *entry)
{
    struct members members = {.count = entry->core.member_count};

    assert_in_range(members.count, 1, DEVICES + 1);
    memcpy(members.items, entry->core.members, members.count * sizeof(members.items[0]));
    return members;
}

static void are_same(const struct flo_rollout_entry *entry, const struct members *before)
{
    assert_int_equal(entry->core.member_count, before->count);
    for (size_t i = 0; i < before->count; i++) {
        const struct flo_rollout_member *now = &entry->core.members[i];
        const struct flo_rollout_member *was = &before->items[i];
        assert_string_equal(now->device, was->device);
        assert_int_equal(now->bucket, was->bucket);
        assert_int_equal(now->phase, was->phase);
        assert_int_equal(now->segment, was->segment);
        assert_int_equal(now->state, was->state);
        assert_int_equal(now->is_away, was->is_away);
        assert_int_equal(now->since_at_ms, was->since_at_ms);
        if (was->state != FLO_EXECUTION_REMOVED) {
            assert_int_equal(now->place.stratum != 0, was->place.stratum != 0);
        }
    }
}

static void is_whole(struct world *world)
{
    assert_false(found(world)->own->is_drafted);
    assert_false(has_text(world));
    assert_int_equal(rows(world), found(world)->core.member_count);
}

static void says(struct world *world, int device, const char *state)
{
    char topic[FLO_TOPIC_TEXT], text[512];

    snprintf(topic, sizeof(topic), "flotilla/v1/demo/d/%s/event", id_of(device));
    snprintf(text, sizeof(text),
             "{\"v\":1,\"boot\":\"44444444-4444-4444-8444-%012d\","
             "\"seq\":%llu,\"type\":\"execution\",\"execution\":\"" ROLLOUT
             ".1\",\"release\":\"" DIGEST "\",\"state\":\"%s\"}",
             device, (unsigned long long)++world->seq, state);
    begin(world);
    assert_int_equal(flo_ingest(&world->ingest, topic, text, strlen(text), false, &world->err), 0);
    commit(world);
}

static enum flo_execution state_of(struct world *world, int device)
{
    const struct flo_rollout *core = &found(world)->core;
    size_t index = flo_rollout_find(core, id_of(device));

    assert_true(index != SIZE_MAX);
    return (enum flo_execution)core->members[index].state;
}

static void play(int turns, bool has_torn)
{
    char dir[] = "/tmp/flotilla-drafted-XXXXXX";
    struct world world;

    made_world(&world, dir);
    struct flo_rollout_entry *entry = start(&world, SPEC);
    assert_non_null(entry);
    assert_int_equal(entry->core.state, FLO_ROLLOUT_RUNNING);
    struct members before = members_of(entry);
    assert_int_equal(before.count, DEVICES);
    assert_int_equal(rows(&world), 1); /* the canary was told */
    assert_true(has_text(&world));
    for (int i = 1; i <= turns; i++) {
        assert_int_equal(flo_rollouts_drafted_turn(world.controller), i < STEPS);
        assert_int_equal(rows(&world), 1 + SLICE * i);
    }
    if (has_torn) { /* and the rest was never committed */
        begin(&world);
        assert_int_equal(
            flo_rollouts_step(world.controller, found(&world),
                              (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_PAUSE},
                              &world.err),
            0);
        flo_controller_cancel(world.controller);
    }
    again(&world, dir);
    are_same(found(&world), &before);
    assert_int_equal(found(&world)->own->is_drafted, turns < STEPS);
    while (flo_rollouts_drafted_turn(world.controller)) {
        assert_true(rows(&world) < DEVICES);
    }
    is_whole(&world);
    are_same(found(&world), &before);
    again(&world, dir);
    is_whole(&world);
    are_same(found(&world), &before);
    flo_controller_close(world.controller);
    remove_tree(dir);
}

static void members_outlive_a_kill_at_each_step(void **state)
{
    (void)state;
    for (int turns = 0; turns <= STEPS; turns++) {
        play(turns, false);
        play(turns, true);
    }
}

/* The first phase has one device. */
static int canary(struct world *world)
{
    int device = 0;

    while (found(world)->core.members[flo_rollout_find(&found(world)->core, id_of(device))].phase !=
           0) {
        device++;
    }
    return device;
}

static void a_row_has_the_last_word(void **state)
{
    char dir[] = "/tmp/flotilla-drafted-XXXXXX";
    struct world world;

    (void)state;
    made_world(&world, dir);
    assert_non_null(start(&world, SPEC));
    int told = canary(&world);
    says(&world, told, "downloading");
    assert_int_equal(rows(&world), 1);
    again(&world, dir);
    assert_int_equal(state_of(&world, told), FLO_EXECUTION_DOWNLOADING);
    assert_int_equal(found(&world)->core.member_count, DEVICES);
    while (flo_rollouts_drafted_turn(world.controller)) {
    }
    is_whole(&world);
    assert_int_equal(state_of(&world, told), FLO_EXECUTION_DOWNLOADING);
    flo_controller_close(world.controller);
    remove_tree(dir);
}

/* Before its turn, and after it. */
static void who_leaves_or_joins_meanwhile_is_so_after_a_kill(void **state)
{
    char dir[] = "/tmp/flotilla-drafted-XXXXXX";
    struct world world;

    (void)state;
    made_world(&world, dir);
    assert_non_null(start(&world, SPEC));
    assert_true(flo_rollouts_drafted_turn(world.controller));
    begin(&world);
    enrol_at(&world, DEVICES);
    assert_int_equal(flo_devices_retire(world.controller, id_of(0), &world.err), 0);
    assert_int_equal(flo_devices_retire(world.controller, id_of(DEVICES - 2), &world.err), 0);
    assert_int_equal(
        flo_rollouts_step(world.controller, found(&world),
                          (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_WITHDRAWN,
                                                     .device = id_of(DEVICES - 4)},
                          &world.err),
        0);
    assert_int_equal(found(&world)->core.member_count, DEVICES);
    commit(&world);
    struct members before = members_of(found(&world));
    again(&world, dir);
    are_same(found(&world), &before);
    while (flo_rollouts_drafted_turn(world.controller)) {
    }
    assert_int_equal(found(&world)->core.member_count, before.count);
    assert_false(has_text(&world));
    flo_controller_close(world.controller);
    remove_tree(dir);
}

static void a_small_rollout_has_its_rows_at_once(void **state)
{
    char dir[] = "/tmp/flotilla-drafted-XXXXXX";
    struct world world;

    (void)state;
    assert_non_null(mkdtemp(dir));
    open_world(&world, dir);
    begin(&world);
    add_release(&world, 1, "2.1.0", DIGEST);
    for (int i = 0; i < SLICE; i++) {
        enrol_at(&world, i);
    }
    commit(&world);
    assert_non_null(start(&world, SPEC));
    is_whole(&world);
    assert_false(flo_rollouts_drafted_turn(world.controller));
    flo_controller_close(world.controller);
    remove_tree(dir);
}

/* Approved, aborted, begun at its time: before all rows are there. */
static void one_that_ends_before_its_rows_are_made_has_them_all(void **state)
{
    char dir[] = "/tmp/flotilla-drafted-XXXXXX";
    struct world world;

    (void)state;
    made_world(&world, dir);
    struct flo_rollout_entry *entry = start(&world, SPEC);
    assert_non_null(entry);
    assert_true(flo_rollouts_drafted_turn(world.controller));
    does(&world, entry, FLO_ROLLOUT_EVENT_ABORT);
    while (flo_rollouts_drafted_turn(world.controller)) {
    }
    is_whole(&world);
    again(&world, dir);
    is_whole(&world);
    assert_int_equal(found(&world)->core.member_count, DEVICES);
    flo_controller_close(world.controller);
    remove_tree(dir);
}

/* A start waits while eight have members without a row; a way back never. */
static void one_goes_back_while_a_new_one_has_to_wait(void **state)
{
    char dir[] = "/tmp/flotilla-drafted-XXXXXX";
    struct world world;

    (void)state;
    made_world(&world, dir);
    for (int i = 0; i < 8; i++) {
        struct flo_rollout_entry *entry = start(&world, SPEC);
        assert_non_null(entry);
        does(&world, entry, FLO_ROLLOUT_EVENT_ABORT);
    }
    assert_null(start(&world, SPEC));
    assert_int_equal(world.err.code, FLO_E_REST_LIMIT);
    does(&world, found(&world), FLO_ROLLOUT_EVENT_ROLLBACK);
    assert_int_equal(found(&world)->core.state, FLO_ROLLOUT_ROLLED_BACK);
    while (flo_rollouts_drafted_turn(world.controller)) {
    }
    assert_non_null(start(&world, SPEC));
    flo_controller_close(world.controller);
    remove_tree(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_outlive_a_kill_at_each_step),
        cmocka_unit_test(a_row_has_the_last_word),
        cmocka_unit_test(who_leaves_or_joins_meanwhile_is_so_after_a_kill),
        cmocka_unit_test(a_small_rollout_has_its_rows_at_once),
        cmocka_unit_test(one_that_ends_before_its_rows_are_made_has_them_all),
        cmocka_unit_test(one_goes_back_while_a_new_one_has_to_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
