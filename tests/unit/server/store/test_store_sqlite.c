/* The SQLite engine by itself: its file, its older files, its plans. */
#include <flotilla/errors/audit.h>

#include "base/host/db.h"
#include "server-stub/store/making.h"
#include "server-stub/store/sqlite/file.h"
#include "unit/server/store/store.h"

static int walk_record(void *context, const struct flo_audit_record *record,
                       const struct flo_digest *hash)
{
    struct flo_err err = {0};

    return flo_audit_walk_next(context, record, hash, &err);
}

static void an_edited_audit_file_is_found(void **state)
{
    (void)state;
    char dir[] = "/tmp/flotilla-store-XXXXXX";
    char path[64];
    struct flo_fleet_store *store;
    struct flo_db *db;
    struct flo_err err = {0};

    assert_non_null(mkdtemp(dir));
    assert_int_equal(flo_fleet_open(dir, 0, &store, &err), 0);
    for (int i = 0; i < 50; i++) {
        struct flo_audit_record record = {.at_ms = (uint64_t)i,
                                          .who = "ops",
                                          .what = "x",
                                          .object = "y",
                                          .result = "ok",
                                          .detail = ""};
        assert_int_equal(flo_fleet_audit_add(store, &record, &err), 0);
    }
    struct flo_audit_walk walk = {0};
    assert_int_equal(flo_fleet_audit_list(store, 0, 0, walk_record, &walk, &err), 0);
    assert_int_equal(walk.number, 50);
    flo_fleet_close(store);

    snprintf(path, sizeof(path), "%s/control.db", dir);
    assert_int_equal(flo_db_open(path, FLO_DB_SYNC_NORMAL, 100, &db, &err), 0);
    assert_int_equal(flo_db_exec(db, "UPDATE audit SET who = 'nobody' WHERE n = 17", &err), 0);
    flo_db_close(db);
    assert_int_equal(flo_fleet_open(dir, 0, &store, &err), 0);
    walk = (struct flo_audit_walk){0};
    assert_int_equal(flo_fleet_audit_list(store, 0, 0, walk_record, &walk, &err),
                     FLO_E_AUDIT_CHAIN);
    assert_int_equal(walk.number, 16);
    flo_fleet_close(store);
    remove_tree(dir);
}

static bool file_has(const char *dir, const char *name, const char *text)
{
    char path[64];
    char *data;
    size_t bytes;
    struct flo_err err = {0};

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    if (flo_file_read(path, 16 << 20, &data, &bytes, &err) < 0) {
        return false;
    }
    bool has = memmem(data, bytes, text, strlen(text)) != NULL;
    free(data);
    return has;
}

#define SECRET "flt_pat_0123456789ab_mustnotstay"
#define ANSWER "{\"id\":\"t\",\"token\":\"" SECRET "\"}"

static void secrets_that_older_controllers_kept_are_wiped_at_open(void **state)
{
    (void)state;
    char dir[] = "/tmp/flotilla-store-XXXXXX";
    char path[64];
    struct flo_fleet_store *store;
    struct flo_db *db;
    struct flo_digest request = {{1}};
    struct flo_err err = {0};
    struct flo_buf body = {0};
    int status = 0;

    /* given: as schema 3 left it, one in a row, one in a free page */
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/control.db", dir);
    assert_int_equal(flo_db_open(path, FLO_DB_SYNC_NORMAL, 100, &db, &err), 0);
    assert_int_equal(flo_db_migrate(db, flo_sqlite_schema, 3, &err), 0);
    assert_int_equal(flo_db_exec(db,
                                 "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1"
                                 " FROM r WHERE i < 99) INSERT INTO replay SELECT 't', i,"
                                 " zeroblob(32), 201, '" ANSWER "', 1 FROM r;"
                                 "DELETE FROM replay WHERE key > 50;"
                                 "INSERT INTO replay VALUES ('t', 'other', zeroblob(32),"
                                 " 201, '{\"id\":\"r-0001\"}', 1)",
                                 &err),
                     0);
    flo_db_close(db);
    assert_true(file_has(dir, "control.db", SECRET));

    assert_int_equal(flo_fleet_open(dir, 0, &store, &err), 0);

    assert_false(file_has(dir, "control.db", SECRET));
    assert_false(file_has(dir, "control.db-wal", SECRET));
    assert_int_equal(flo_fleet_replay_get(store, "t", "other", &request, &status, &body, &err), 0);
    assert_int_equal(status, 201);
    flo_buf_deinit(&body);
    flo_fleet_close(store);
    remove_tree(dir);
}

/* ---- older files ---- */

#define OLDER_SCRIPTS 10 /* that had made its tables */

static const char older[] =
    "INSERT INTO device (id, name, labels, profile, groups, reported,"
    " enrolled_at) VALUES ('d-1', 'gw-1', '{}', '{}', '[]',"
    " '{\"serving\":{\"model\":\"tiny\",\"version\":\"2.1.0\"}}', 1),"
    " ('d-2', 'gw-2', '{}', '{}', '[]', '', 1);"
    "INSERT INTO rollout VALUES"
    " ('r-0009', '{}', 'completed', '{}', 'sha256:a', 1),"
    " ('r-10001', '{\"group\":\"lab\"}', 'running', '{}', 'sha256:a', 1),"
    " ('r-0010', '{}', 'halted', '{}', 'sha256:a', 1);"
    "INSERT INTO member (rollout, device, bucket, state, attempt, silent, back,"
    " since_at) VALUES ('r-0009', 'd-1', 1, 'soaking', 1, 0, 0, 1),"
    " ('r-0009', 'd-2', 1, 'timed-out', 1, 0, 0, 1);"
    "INSERT INTO outcome VALUES ('o-1', 'd-1', 4, 0, 0,"
    " '{\"id\":\"disk.full\"}');"
    "INSERT INTO ord VALUES ('o-1', 'freeze', 'all', '{}', '{}', '', '', 0, 1,"
    " 1, 2, 0, 0, 0), ('o-2', 'freeze', 'all', '{}', '{}', '', '', 0, 2, 1, 2,"
    " 0, 0, 0), ('o-3', 'deploy', 'all', '{}',"
    " '{\"args\":{\"model\":\"tiny\"}}', '', 'sha256:r', 0, 3, 1, 2, 0, 0, 1);"
    "INSERT INTO release (model, version, number, digest, state, body, bytes,"
    " created_at) VALUES ('tiny', '2.1.0', 1, 'sha256:r', 'published',"
    " '{\"files\":[{\"digest\":\"sha256:f\",\"get\":[{\"digest\":"
    "\"sha256:f\"},{\"digest\":\"sha256:d\",\"base\":\"sha256:b\"}],"
    "\"chunks\":{\"digest\":\"sha256:c\"}}]}', 1, 1);"
    "INSERT INTO desired VALUES ('d-1', 7, 'o-3'), ('d-2', 1, '');";

static int take_text(void *context, const char *text)
{
    flo_buf_printf(context, "%s ", text);
    return 0;
}

static int take_device(void *context, const struct flo_fleet_device *device)
{
    return take_text(context, device->id);
}

static int take_rollout(void *context, const struct flo_fleet_rollout *rollout)
{
    return take_text(context, rollout->id);
}

static int take_member(void *context, const struct flo_rollout_member *member,
                       const char *error_json, const char *detail_json)
{
    assert_string_equal(error_json, "");
    assert_string_equal(detail_json, "");
    return take_text(context, member->device);
}

static int take_order(void *context, const struct flo_fleet_order *order)
{
    return take_text(context, order->id);
}

static int take_reason(void *context, const char *word, uint64_t count)
{
    assert_int_equal(count, 1);
    return take_text(context, word);
}

static void fields_that_an_older_file_has_not_are_made_from_its_rows(void **state)
{
    struct flo_fleet_device_filter filter = {.online = -1, .release = "tiny@2.1.0"};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) found = {0};
    char dir[] = "/tmp/flotilla-store-XXXXXX";
    char path[64];
    struct flo_fleet_store *store;
    struct flo_db *db;
    struct flo_err err = {0};
    char order[FLO_NAME_MAX + 1];
    uint64_t from = 0;

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/control.db", dir);
    assert_int_equal(flo_db_open(path, FLO_DB_SYNC_NORMAL, 100, &db, &err), 0);
    assert_int_equal(flo_db_migrate(db, flo_sqlite_schema, OLDER_SCRIPTS, &err), 0);
    assert_int_equal(flo_db_exec(db, older, &err), 0);
    flo_db_close(db);

    assert_int_equal(flo_fleet_open(dir, 0, &store, &err), 0);
    assert_int_equal(flo_fleet_device_list(store, &filter, take_device, &found, &err), 0);
    flo_buf_text(&found, "| ");
    assert_int_equal(flo_fleet_rollout_list(store, 9, take_rollout, &found, &err), 0);
    flo_buf_text(&found, "| ");
    assert_int_equal(flo_fleet_member_list(store, "r-0009", 9, take_member, &found, &err), 0);
    flo_buf_text(&found, "| ");
    assert_int_equal(flo_fleet_outcome_reasons(store, "o-1", take_reason, &found, &err), 0);
    flo_buf_text(&found, "| ");
    assert_int_equal(flo_fleet_order_prune(store, 2 * FLO_ORDER_KEPT_MS, &from, &err), 0);
    assert_int_equal(flo_fleet_order_list(store, "all", 0, take_order, &found, &err), 0);
    assert_string_equal(found.data, "d-1 | r-10001 r-0010 r-0009 | d-1 d-2 |"
                                    " disk.full | o-2 ");
    assert_int_equal(flo_fleet_desired_get(store, "d-1", "tiny", order, &err), 0);
    assert_string_equal(order, "o-3");
    assert_int_equal(flo_fleet_desired_rev(store, "d-1", &from, &err), 0);
    assert_int_equal(from, 7);
    for (const char *part = "fdbcx"; *part != '\0'; part++) {
        char digest[] = {'s', 'h', 'a', '2', '5', '6', ':', *part, '\0'};
        bool offered;
        assert_int_equal(flo_fleet_offers_artifact(store, "d-1", digest, &offered, &err), 0);
        assert_int_equal(offered, *part != 'x');
    }
    flo_fleet_close(store);
    remove_tree(dir);
}

#define EVENT_SCRIPTS 33 /* before events had forms */

static int take_line(void *context, const char *text)
{
    flo_buf_printf(context, "%s\n", text);
    return 0;
}

/* The members of an event that all devices of a rollout say alike, its own, and
 * one that is kept as it came: nothing of them is lost. */
static void events_of_older_builds_are_shown_as_before(void **state)
{
    static const char events[] =
        "INSERT INTO event_mark VALUES ('d-1','b-1',2), ('d-2','b-2',1);"
        "INSERT INTO event VALUES (5,'d-1','b-1',1,100,101,"
        "'{\"from\":1,\"type\":\"execution\",\"rollout\":\"r-1\",\"end\":false,"
        "\"v\":1,\"boot\":\"b-1\",\"seq\":1,\"at_ms\":100}'),"
        "(6,'d-2','b-2',1,100,101,"
        "'{\"from\":1,\"type\":\"execution\",\"rollout\":\"r-1\",\"end\":false,"
        "\"v\":1,\"boot\":\"b-2\",\"seq\":1,\"at_ms\":100}'),"
        "(7,'d-1','b-1',2,200,201,"
        "'{\"type\":\"execution\",\"detail\":{\"n\":1},\"v\":1,"
        "\"boot\":\"b-1\",\"seq\":2,\"at_ms\":200}'),"
        "(9,'d-1','b-3',1,300,301,'no object');";
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) found = {0};
    char dir[] = "/tmp/flotilla-store-XXXXXX";
    char path[64];
    struct flo_fleet_store *store;
    struct flo_db *db;
    struct flo_err err = {0};
    uint64_t oldest = 0;
    uint64_t mark = 0;
    bool is_new = true;

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/control.db", dir);
    assert_int_equal(flo_db_open(path, FLO_DB_SYNC_NORMAL, 100, &db, &err), 0);
    assert_int_equal(flo_db_migrate(db, flo_sqlite_schema, EVENT_SCRIPTS, &err), 0);
    assert_int_equal(flo_db_exec(db, events, &err), 0);
    flo_db_close(db);

    assert_int_equal(flo_fleet_open(dir, 0, &store, &err), 0);
    assert_int_equal(
        flo_fleet_event_add(store, "d-1", "b-1", 2, 0, 200, 1, "{}", &is_new, &mark, &err), 0);
    assert_false(is_new); /* it is there */
    assert_int_equal(mark, 2);
    assert_int_equal(
        flo_fleet_event_add(store, "d-1", "b-1", 3, 0, 200, 1, "{}", &is_new, &mark, &err), 0);
    assert_int_equal(
        flo_fleet_event_list(store, "d-1", FLO_FLEET_ALL, 3, take_line, &found, &oldest, &err), 0);
    assert_int_equal(oldest, 6);
    assert_int_equal(
        flo_fleet_event_list(store, "d-1", oldest, 3, take_line, &found, &oldest, &err), 0);
    assert_string_equal(found.data, "{\"type\":\"execution\",\"detail\":{\"n\":1},\"v\":1,"
                                    "\"boot\":\"b-1\",\"seq\":2,\"at_ms\":200}\n"
                                    "no object\n{}\n"
                                    "{\"type\":\"execution\",\"rollout\":\"r-1\",\"end\":false,"
                                    "\"v\":1,\"from\":1,\"boot\":\"b-1\",\"seq\":1,"
                                    "\"at_ms\":100}\n");
    struct flo_sqlite *sqlite = (struct flo_sqlite *)store->engine;
    struct flo_db_statement *row;
    bool has_row = false;
    assert_int_equal(
        flo_db_query(sqlite->db, "SELECT count(*) FROM event_form", FLO_DB_NONE, &row, &err), 0);
    assert_int_equal(flo_db_step(row, &has_row, &err), 0);
    assert_int_equal(flo_db_column_i64(row, 0), 1);
    flo_db_reset(row);
    flo_fleet_close(store);
    remove_tree(dir);
}

/* ---- plans ---- */

static int take_unmade(void *context, const char *device, bool is_there)
{
    (void)context;
    (void)device;
    (void)is_there;
    return 0;
}

static int take_held(void *context, const char *device, const char *order)
{
    (void)context;
    (void)device;
    (void)order;
    return 0;
}

/* The plan of the newest statement: tables are searched, and only small indexes
 * are scanned. */
static void plan_is(struct flo_fleet_store *store, const char *expected)
{
    struct flo_sqlite *sqlite = (struct flo_sqlite *)store->engine;
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) plan = {0};
    char explain[2048];
    struct flo_db_statement *row;
    struct flo_err err = {0};
    bool has_row = true;

    snprintf(explain, sizeof(explain), "EXPLAIN QUERY PLAN %s", sqlite->sql.text.data);
    assert_int_equal(flo_db_query(sqlite->db, explain, FLO_DB_NONE, &row, &err), 0);
    while (flo_db_step(row, &has_row, &err) == 0 && has_row) {
        const char *text = flo_db_column_text(row, 3);
        if (strncmp(text, "SEARCH", 6) == 0 || strncmp(text, "SCAN", 4) == 0 ||
            strstr(text, "TEMP B-TREE") != NULL) {
            flo_buf_printf(&plan, "%s\n", text);
        }
    }
    assert_string_equal(plan.data, expected);
}

static void orders_are_found_without_reading_those_of_a_year(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};
    uint64_t number = 0;

    assert_int_equal(flo_fleet_order_list(store, "all", 1, take_order, NULL, &err), 0);
    plan_is(store, "SEARCH ord USING INDEX ord_group (grp=? AND expires_at>?)\n"
                   "USE TEMP B-TREE FOR ORDER BY\n");
    assert_int_equal(flo_fleet_order_groups(store, 1, take_text, NULL, &err), 0);
    plan_is(store, "SEARCH ord USING INDEX ord_expires (expires_at>?)\n");
    assert_int_equal(flo_fleet_order_tracked(store, FLO_FLEET_ALL, 1, take_order, NULL, &err), 0);
    plan_is(store, "SEARCH ord USING INDEX ord_tracked (seq<?)\n");
    assert_int_equal(flo_fleet_order_held(store, take_order, NULL, &err), 0);
    plan_is(store, "SEARCH ord USING PRIMARY KEY (id=?)\n"
                   "SCAN assignment USING COVERING INDEX assignment_order\n"
                   "USE TEMP B-TREE FOR ORDER BY\n");
    assert_int_equal(flo_fleet_order_prune(store, 1, &number, &err), 0);
    plan_is(store, "SEARCH ord USING INDEX ord_seq (seq>? AND seq<?)\n");
    assert_int_equal(flo_fleet_order_newest(store, "rollback", "tiny", "", &number, &err), 0);
    plan_is(store, "SEARCH ord USING INDEX ord_listed (model=? AND op=?)\n");
    assert_int_equal(flo_fleet_order_newest(store, "rollback", "tiny", "x", &number, &err), 0);
    plan_is(store, "SEARCH ord USING INDEX ord_release (release=? AND op=?)\n");
}

static void messages_and_pages_read_by_index(void **state)
{
    struct flo_fleet_device_filter filter = {.online = -1, .group = "all"};
    struct flo_fleet_store *store = store_of(state);
    struct flo_fleet_device_count counts;
    uint64_t oldest;
    struct flo_err err = {0};
    struct flo_order_progress progress;
    const struct flo_making *makings;
    size_t count;

    assert_int_equal(flo_fleet_device_counts(store, &counts, &err), 0);
    plan_is(store, "SEARCH device USING COVERING INDEX device_count (retired=?)\n");
    assert_int_equal(flo_fleet_device_list(store, &filter, take_device, NULL, &err), 0);
    plan_is(store, "SEARCH device USING INDEX sqlite_autoindex_device_1 (id=?)\n"
                   "SEARCH device_group USING PRIMARY KEY (grp=?)\n");
    assert_int_equal(flo_fleet_outcome_awaited(store, DEVICE, take_order, NULL, &err), 0);
    plan_is(store, "SEARCH outcome USING INDEX outcome_awaited (device=?)\n"
                   "SEARCH ord USING PRIMARY KEY (id=?)\n");
    /* Which orders are being made is read once. */
    assert_int_equal(flo_fleet_makings(store, &makings, &count, &err), 0);
    assert_int_equal(flo_fleet_outcome_progress(store, "o-1", &progress, &err), 0);
    plan_is(store, "SEARCH outcome USING PRIMARY KEY (ord=?)\n");
    assert_int_equal(flo_fleet_making_next(store,
                                           &(struct flo_making){.order = "o-1", .group = "all"}, 5,
                                           take_unmade, NULL, &err),
                     0);
    plan_is(store, "SEARCH device_group USING PRIMARY KEY (grp=? AND device>?)\n");
    assert_int_equal(flo_fleet_desired_between(store, "tiny", "a", "b", take_held, NULL, &err), 0);
    plan_is(store, "SEARCH assignment USING PRIMARY KEY (device>? AND device<?)\n");
    assert_int_equal(flo_fleet_desired_run(store, "tiny", "a", "b", "o-1", &err), 0);
    plan_is(store, "SEARCH assignment USING PRIMARY KEY (device>? AND device<?)\n");
    assert_int_equal(flo_fleet_rollout_list(store, 5, take_rollout, NULL, &err), 0);
    plan_is(store, "SCAN rollout USING INDEX rollout_order\n");
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) texts = {0};
    uint64_t mark;
    bool is_new;
    assert_int_equal(
        flo_fleet_event_add(store, DEVICE, "b-1", 1, 0, 1, 1, "{}", &is_new, &mark, &err), 0);
    assert_int_equal(
        flo_fleet_event_list(store, DEVICE, FLO_FLEET_ALL, 5, take_text, &texts, &oldest, &err), 0);
    plan_is(store, "SEARCH event USING INDEX event_book (book=? AND id>? AND id<?)\n"
                   "SEARCH event_form USING INTEGER PRIMARY KEY (rowid=?) LEFT-JOIN\n"
                   "");
    assert_int_equal(flo_fleet_rollout_page(store, false, 9, 5, take_rollout, NULL, &err), 0);
    plan_is(store, "SEARCH rollout USING INDEX rollout_order (active=? AND "
                   "number<?)\n");
}

/* A year of releases is neither read nor searched. */
static void a_device_s_artifact_is_looked_up_by_two_keys(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};
    bool offered;

    assert_int_equal(flo_fleet_offers_artifact(store, DEVICE, "sha256:f", &offered, &err), 0);
    plan_is(store, "SEARCH offer USING PRIMARY KEY (device=? AND release=?)\n"
                   "SEARCH artifact USING PRIMARY KEY (digest=?)\n");
    assert_int_equal(flo_fleet_offers_release(store, DEVICE, "sha256:r", &offered, &err), 0);
    plan_is(store, "SEARCH offer USING PRIMARY KEY (device=? AND release=?)\n");
}

static void what_stands_is_found_without_reading_the_orders_of_a_year(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};

    assert_int_equal(flo_fleet_order_standing(store, take_order, NULL, &err), 0);
    plan_is(store, "SCAN outcome USING INDEX outcome_awaited\n"
                   "SEARCH device USING INDEX sqlite_autoindex_device_1 (id=?)\n"
                   "USE TEMP B-TREE FOR GROUP BY\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_edited_audit_file_is_found),
        cmocka_unit_test(secrets_that_older_controllers_kept_are_wiped_at_open),
        cmocka_unit_test(fields_that_an_older_file_has_not_are_made_from_its_rows),
        cmocka_unit_test(events_of_older_builds_are_shown_as_before),
        cmocka_unit_test_setup_teardown(orders_are_found_without_reading_those_of_a_year, in_sqlite,
                                        close_store),
        cmocka_unit_test_setup_teardown(a_device_s_artifact_is_looked_up_by_two_keys, in_sqlite,
                                        close_store),
        cmocka_unit_test_setup_teardown(messages_and_pages_read_by_index, in_sqlite, close_store),
        cmocka_unit_test_setup_teardown(what_stands_is_found_without_reading_the_orders_of_a_year,
                                        in_sqlite, close_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
