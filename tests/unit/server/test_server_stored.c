/* Rollouts in a damaged store: refused by a typed error or mended, never a
 * reason to fall. */
#include <unistd.h>

#include "unit/remove_tree.h"
#include "unit/server/world.h"

#include "server-stub/store/sqlite/file.h"

struct edited {
    struct flo_fleet_store *store;
    const char *from, *to;
    struct flo_err err;
};

/* Replaces a text in the stored numbers of a rollout. */
static int edit_row(void *context, const struct flo_fleet_rollout *row)
{
    struct edited *edited = context;
    struct flo_fleet_rollout damaged = *row;
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) core = {0};
    const char *at = strstr(row->core, edited->from);

    if (at == NULL) {
        fail_msg("no %s in %s", edited->from, row->core);
    }
    flo_buf_add(&core, row->core, (size_t)(at - row->core));
    flo_buf_printf(&core, "%s%s", edited->to, at + strlen(edited->from));
    damaged.core = core.data;
    return flo_fleet_rollout_put(edited->store, &damaged, &edited->err);
}

static void damage(struct world *world, const char *from, const char *to)
{
    struct edited edited = {world->controller->store, from, to, {0}};

    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(flo_fleet_rollout_get(edited.store, "r-0001", edit_row, &edited, &world->err),
                     0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
}

static int reload(struct world *world)
{
    flo_rollouts_forget(world->controller);
    return flo_rollouts_load(world->controller, &world->err);
}

static struct flo_rollout_entry *found(struct world *world)
{
    struct flo_rollout_entry *entry = NULL;

    assert_int_equal(reload(world), 0);
    assert_int_equal(flo_rollouts_find(world->controller, "r-0001", &entry, &world->err), 0);
    return entry;
}

#define SPEC                                                                                       \
    "{\"release\":\"tiny@2.1.0\",\"starts_per_s\":0.001,\"phases\":["                              \
    "{\"devices\":1},{\"share_pct\":100}],\"gates\":{\"ratio\":["                                  \
    "{\"metric\":\"ttft_us\",\"devices_min\":1}]}}"

static void phases_that_cannot_be_are_refused(void **state)
{
    static const char *const bad[][2] = {
        {"\"to\":1000000000", "\"to\":1000000001"},
        {"\"to\":1000000000", "\"to\":-1"},
        {"\"from\":0", "\"from\":1000000000"},
        {"\"state\":\"running\"", "\"state\":\"merry\""},
        {"\"state\":\"waiting\"", "\"state\":\"running\""},
        {"\"phases\":[", "\"phases\":[7,"},
        {"\"phase\":0", "\"phase\":2"},
        {"\"phase\":0", "\"phase\":-1"},
    };

    for (size_t i = 0; i < FLO_COUNT(bad); i++) {
        struct world *world;
        world_setup(state);
        world = *state;
        assert_non_null(start(world, SPEC));
        damage(world, bad[i][0], bad[i][1]);
        if (reload(world) != FLO_E_DB) {
            fail_msg("%s was taken", bad[i][1]);
        }
        world_teardown(state);
    }
}

/* A gate of shares takes no evidence, and what is no evidence counts for
 * none. */
static void evidence_that_cannot_be_read_is_left_out(void **state)
{
    static const char *const bad[] = {
        "\"evidence\":[{\"metric\":\"ttft_us\",\"phase\":0,\"last\":false,"
        "\"from_ms\":0,\"to_ms\":1,\"classes\":[]}],\"phases\":[",
        "\"evidence\":[null,{\"metric\":\"joy\"}],\"phases\":[",
        "\"evidence\":[null,{\"metric\":\"token_us\",\"phase\":0,\"last\":"
        "false,\"from_ms\":0,\"to_ms\":1,\"classes\":[]}],\"phases\":[",
        "\"evidence\":[7,7,7],\"phases\":[",
        "\"evidence\":{\"a\":1},\"phases\":[",
    };

    for (size_t i = 0; i < FLO_COUNT(bad); i++) {
        struct world *world;
        world_setup(state);
        world = *state;
        flo_log_level_set(FLO_LOG_ERROR);
        assert_non_null(start(world, SPEC));
        damage(world, "\"phases\":[", bad[i]);
        struct flo_rollout_entry *entry = found(world);
        assert_int_equal(entry->core.state, FLO_ROLLOUT_RUNNING);
        assert_false(entry->core.compared[0].has_evidence);
        assert_false(entry->core.compared[1].has_evidence);
        does(world, entry, FLO_ROLLOUT_EVENT_TICK);
        world_teardown(state);
    }
}

/* Away and ended, or away and silent: it is in two counts. */
static void a_device_is_not_away_and_something_else(void **state)
{
    static const enum flo_execution ends[] = {FLO_EXECUTION_CANCELLED, FLO_EXECUTION_SUPERSEDED,
                                              FLO_EXECUTION_DOWNLOADING};
    struct world *world = *state;
    struct flo_rollout_entry *entry = start(world, SPEC);

    for (size_t i = 0; i < FLO_COUNT(ends); i++) {
        struct flo_rollout_member member = entry->core.members[i];
        member.state = (uint8_t)ends[i];
        member.is_away = true;
        member.lateness = FLO_LATENESS_SILENT;
        assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
        assert_int_equal(flo_fleet_member_put(world->controller->store, "r-0001", &member, NULL,
                                              NULL, &world->err),
                         0);
        assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
    }
    entry = found(world);

    for (size_t i = 0; i < entry->core.member_count; i++) {
        assert_false(entry->core.members[i].is_away);
    }
    does(world, entry, FLO_ROLLOUT_EVENT_TICK);
}

/* ---- a file of an older controller ---- */

static struct flo_controller *opened(const char *dir)
{
    struct flo_controller_options options = {
        .dir = dir, .fleet = "demo", .public_host = "127.0.0.1"};
    struct flo_controller *controller = NULL;
    struct flo_err err = {0};

    if (flo_controller_open(&options, &controller, &err) < 0) {
        fail_msg("%s", err.what);
    }
    return controller;
}

#define SCRIPTS_THEN 8 /* before gates compared telemetry */
#define MEMBER(rollout, device, bucket, state)                                                     \
    "INSERT INTO member (rollout, device, bucket, state, attempt, silent,"                         \
    " back, since_at) VALUES ('" rollout "', '" device "', " #bucket ", '" state                   \
    "', 1, 0, 0, 1700000000000);"
#define D1 "11111111-1111-4111-8111-111111111111"
#define D2 "22222222-2222-4222-8222-222222222222"
#define PHASES(told, one, two)                                                                     \
    "\"phases\":[{\"from\":0,\"to\":2375,\"told\":2375,\"state\":\"" one                           \
    "\",\"started_at_ms\":1,\"settled_at_ms\":2},{\"from\":2375,\"to\":"                           \
    "10000,\"told\":" told ",\"state\":\"" two "\",\"started_at_ms\":1,\"settled_at_ms\":2}]}"
#define ROLLOUT(id, state, core)                                                                   \
    "INSERT INTO rollout VALUES ('" id "', '{\"release\":\"tiny@2.1.0\","                          \
    "\"policy\":{\"soak_ms\":300},\"phases\":[{\"devices\":1},"                                    \
    "{\"share_pct\":100}],\"soak_ms\":0,\"gates\":{\"failed\":{\"max_pct\":"                       \
    "60}},\"by\":\"admin\",\"lift\":0}', '" state "', '" core "', '" DIGEST "', 1700000000000);"

static const char older[] =
    "INSERT INTO device (id, name, labels, profile, groups, enrolled_at) VALUES"
    " ('" D1 "', 'gw-1', '{}', '{}', '[\"all\"]', 1),"
    " ('" D2 "', 'gw-2', '{}', '{}', '[\"all\"]', 1);"
    "INSERT INTO device_group VALUES ('all', '" D1 "'), ('all', '" D2 "');"
    "INSERT INTO desired (device, rev) VALUES ('" D1 "', 3), ('" D2 "', 4);"
    "INSERT INTO release VALUES ('tiny', '2.1.0', 1, '" DIGEST
    "', 'published', '{}', 100, 1);" ROLLOUT(
        "r-0001", "completed",
        "{\"reason\":\"2 of 2 devices have "
        "it\",\"since_at_ms\":1,\"phase\":1," PHASES("10000", "passed", "passed"))
        ROLLOUT("r-0002", "halted",
                "{\"reason\":\"probe.golden "
                "1\",\"since_at_ms\":1,\"phase\":0," PHASES("2375", "failed", "waiting"))
            ROLLOUT("r-0003", "running",
                    "{\"reason\":\"start: "
                    "admin\",\"since_at_ms\":1,\"phase\":1," PHASES("10000", "passed", "running"))
                MEMBER("r-0003", D1, 868, "succeeded") MEMBER("r-0003", D2, 9018, "downloading")
                    MEMBER("r-0002", D1, 868, "failed") MEMBER(
                        "r-0002", D2, 9018, "queued") "INSERT INTO counter VALUES ('rollout', 3);";

/* Its keys are those of any controller. */
static void write_older(const char *dir)
{
    static const char *const files[] = {"control.db", "control.db-wal", "control.db-shm"};
    struct flo_err err = {0};
    struct flo_db *db;
    char path[64];

    flo_controller_close(opened(dir));
    for (size_t i = FLO_COUNT(files); i-- > 0;) {
        snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
        unlink(path);
    }
    assert_int_equal(flo_db_open(path, FLO_DB_SYNC_NORMAL, 100, &db, &err), 0);
    assert_int_equal(flo_db_migrate(db, flo_sqlite_schema, SCRIPTS_THEN, &err), 0);
    if (flo_db_exec(db, older, &err) < 0) {
        fail_msg("%s", err.what);
    }
    flo_db_close(db);
}

static enum flo_rollout_state state_of(struct world *world, const char *id)
{
    struct flo_rollout_entry *entry = NULL;

    if (flo_rollouts_find(world->controller, id, &entry, &world->err) < 0) {
        fail_msg("%s: %s", id, world->err.what);
    }
    return entry->core.state;
}

static void what_an_older_controller_began_goes_on(void **state)
{
    char dir[] = "/tmp/flotilla-older-XXXXXX";
    struct world world = {0};

    (void)state;
    assert_non_null(mkdtemp(dir));
    write_older(dir);
    world.controller = opened(dir);
    world.ingest.controller = world.controller;
    assert_int_equal(flo_rollouts_load(world.controller, &world.err), 0);

    assert_int_equal(state_of(&world, "r-0001"), FLO_ROLLOUT_COMPLETED);
    assert_int_equal(state_of(&world, "r-0002"), FLO_ROLLOUT_HALTED);
    assert_int_equal(state_of(&world, "r-0003"), FLO_ROLLOUT_RUNNING);
    event_of(&world, "r-0003", DIGEST, 1, "succeeded");
    assert_int_equal(state_of(&world, "r-0003"), FLO_ROLLOUT_COMPLETED);
    flo_controller_close(world.controller);
    remove_tree(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(phases_that_cannot_be_are_refused),
        cmocka_unit_test(evidence_that_cannot_be_read_is_left_out),
        WITH_WORLD(a_device_is_not_away_and_something_else),
        cmocka_unit_test(what_an_older_controller_began_goes_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
