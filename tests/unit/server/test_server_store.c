/* The store: what is written is there again, and only once. */
#include "unit/remove_tree.h"
#include "unit/server/store.h"

static int add(struct flo_fleet_store *store, const char *id, const char *name,
               const char *group)
{
    char groups[2][FLO_NAME_MAX + 1] = {"all"};
    struct flo_err err = {0};
    struct flo_fleet_device device = {.id = id,
                                      .name = name,
                                      .labels = "{}",
                                      .profile = "{}",
                                      .groups = "[\"all\"]",
                                      .enrolled_at_ms = 5};

    snprintf(groups[1], sizeof(groups[1]), "%s", group);
    return flo_fleet_device_add(
        store, &device, (const char(*)[FLO_NAME_MAX + 1]) groups, 2, &err);
}

static int count_device(void *context, const struct flo_fleet_device *device)
{
    (void)device;
    (*(int *)context)++;
    return 0;
}

static int listed(struct flo_fleet_store *store,
                  struct flo_fleet_device_filter filter)
{
    struct flo_err err = {0};
    int count = 0;

    assert_int_equal(
        flo_fleet_device_list(store, &filter, count_device, &count, &err), 0);
    return count;
}

static void devices_are_found_by_id_name_and_group(void **state)
{
    (void)state;
    struct flo_fleet_store *store = store_new();
    struct flo_err err = {0};

    assert_int_equal(add(store, DEVICE, "gw-1", "lab"), 0);
    assert_int_equal(add(store, OTHER, "gw-2", "shop"), 0);
    assert_int_equal(add(store, BOOT, "gw-2", "shop"), FLO_E_STATE);

    assert_int_equal(flo_fleet_device_get(store, DEVICE, NULL, NULL, &err), 0);
    assert_int_equal(flo_fleet_device_get(store, "gw-2", NULL, NULL, &err), 0);
    assert_int_equal(flo_fleet_device_get(store, "gw-3", NULL, NULL, &err),
                     FLO_E_DEVICE_ABSENT);
    assert_int_equal(
        listed(store, (struct flo_fleet_device_filter){.online = -1}), 2);
    assert_int_equal(
        listed(store,
               (struct flo_fleet_device_filter){.online = -1, .group = "lab"}),
        1);
    assert_int_equal(listed(store,
                            (struct flo_fleet_device_filter){
                                .online = -1, .group = "x' OR '1'='1"}),
                     0);
    assert_int_equal(
        listed(store,
               (struct flo_fleet_device_filter){.online = -1, .after = DEVICE}),
        1);
    assert_int_equal(
        listed(store, (struct flo_fleet_device_filter){.online = 1}), 0);
    flo_fleet_close(store);
}

static void a_retired_device_frees_its_name_and_keeps_its_row(void **state)
{
    (void)state;
    struct flo_fleet_store *store = store_new();
    struct flo_err err = {0};
    char order[FLO_NAME_MAX + 1];
    uint64_t rev;
    bool active = true;

    assert_int_equal(add(store, DEVICE, "gw-1", "lab"), 0);
    assert_int_equal(flo_fleet_device_retire(store, DEVICE, &err), 0);

    assert_int_equal(flo_fleet_device_is_active(store, DEVICE, &active, &err),
                     0);
    assert_false(active);
    assert_int_equal(flo_fleet_device_get(store, DEVICE, NULL, NULL, &err), 0);
    assert_int_equal(flo_fleet_desired_get(store, DEVICE, &rev, order, &err),
                     FLO_E_DEVICE_ABSENT);
    assert_int_equal(add(store, OTHER, "gw-1", "lab"), 0);
    flo_fleet_close(store);
}

static void each_write_of_desired_raises_the_revision(void **state)
{
    (void)state;
    struct flo_fleet_store *store = store_new();
    struct flo_err err = {0};
    char order[FLO_NAME_MAX + 1];
    uint64_t rev;

    assert_int_equal(add(store, DEVICE, "gw-1", "lab"), 0);
    assert_int_equal(flo_fleet_desired_get(store, DEVICE, &rev, order, &err),
                     0);
    assert_int_equal(rev, 1);
    assert_string_equal(order, "");
    assert_int_equal(flo_fleet_desired_set(store, DEVICE, "o-1", &err), 0);
    assert_int_equal(flo_fleet_desired_swap(store, "o-1", "o-2", &err), 0);
    assert_int_equal(flo_fleet_desired_swap(store, "o-1", "o-3", &err), 0);
    assert_int_equal(flo_fleet_desired_get(store, DEVICE, &rev, order, &err),
                     0);

    assert_int_equal(rev, 3);
    assert_string_equal(order, "o-2");
    flo_fleet_close(store);
}

static uint64_t event(struct flo_fleet_store *store, uint64_t seq,
                      bool expect_new)
{
    struct flo_err err = {0};
    uint64_t last = 0;
    bool is_new = !expect_new;

    assert_int_equal(flo_fleet_event_add(store, DEVICE, BOOT, seq, 1, 2, "{}",
                                         &is_new, &last, &err),
                     0);
    assert_int_equal(is_new, expect_new);
    return last;
}

static void events_are_acknowledged_up_to_the_first_gap(void **state)
{
    (void)state;
    struct flo_fleet_store *store = store_new();

    assert_int_equal(event(store, 1, true), 1);
    assert_int_equal(event(store, 2, true), 2);
    assert_int_equal(event(store, 2, false), 2);
    assert_int_equal(event(store, 5, true), 2);
    assert_int_equal(event(store, 4, true), 2);
    assert_int_equal(event(store, 3, true), 5);
    assert_int_equal(event(store, 9, true), 5);
    /* Sent twice: the device has nothing older. */
    assert_int_equal(event(store, 9, false), 9);
    assert_int_equal(event(store, 1, false), 9);
    flo_fleet_close(store);
}

static void a_token_has_as_many_uses_as_it_was_made_for(void **state)
{
    (void)state;
    struct flo_fleet_store *store = store_new();
    struct flo_err err = {0};
    struct flo_fleet_token token = {.id = "t1",
                                    .kind = "enroll",
                                    .name = "",
                                    .role = "",
                                    .group = "all",
                                    .uses_left = 2};

    assert_int_equal(flo_fleet_token_add(store, &token, &err), 0);
    assert_int_equal(flo_fleet_token_use(store, "t1", &err), 0);
    assert_int_equal(flo_fleet_token_use(store, "t1", &err), 0);
    assert_int_equal(flo_fleet_token_use(store, "t1", &err), FLO_E_ENROL_TOKEN);
    assert_int_equal(flo_fleet_token_delete(store, "t1", &err), 0);
    assert_int_equal(flo_fleet_token_delete(store, "t1", &err), FLO_E_ABSENT);
    flo_fleet_close(store);
}

static void add_token(struct flo_fleet_store *store, const char *id,
                      const char *kind, uint64_t uses_left,
                      uint64_t created_at_ms, uint64_t expires_at_ms)
{
    struct flo_err err = {0};
    struct flo_fleet_token token = {.id = id,
                                    .kind = kind,
                                    .name = "",
                                    .role = "",
                                    .group = "all",
                                    .uses_left = uses_left,
                                    .created_at_ms = created_at_ms,
                                    .expires_at_ms = expires_at_ms};

    flo_sha256(id, strlen(id), &token.secret);
    assert_int_equal(flo_fleet_token_add(store, &token, &err), 0);
}

static int take_token_id(void *context, const struct flo_fleet_token *token)
{
    flo_buf_printf(context, "%s ", token->id);
    return 0;
}

static struct flo_buf tokens_of(struct flo_fleet_store *store)
{
    struct flo_buf ids = {0};
    struct flo_err err = {0};

    flo_buf_text(&ids, " ");
    assert_int_equal(flo_fleet_token_list(store, take_token_id, &ids, &err), 0);
    return ids;
}

static void the_newest_token_is_listed_whatever_their_number(void **state)
{
    (void)state;
    struct flo_fleet_store *store = store_new();
    struct flo_buf ids;
    char id[16];

    for (unsigned i = 0; i < 1001; i++) {
        snprintf(id, sizeof(id), "e%u", i);
        add_token(store, id, "enroll", 1, i, 0);
    }
    add_token(store, "access", "access", 0, 1001, 0);

    ids = tokens_of(store);
    assert_int_equal(strncmp(ids.data, " access ", 8), 0);
    flo_buf_deinit(&ids);
    flo_fleet_close(store);
}

static void enrolment_tokens_of_no_use_go(void **state)
{
    (void)state;
    const uint64_t day_ms = 86400000;
    struct flo_fleet_store *store = store_new();
    struct flo_err err = {0};
    struct flo_buf ids;

    add_token(store, "good", "enroll", 1, 5, 101 * day_ms);
    add_token(store, "expired", "enroll", 1, 4, 71 * day_ms);
    add_token(store, "long-expired", "enroll", 1, 3, 69 * day_ms);
    add_token(store, "used-up", "enroll", 0, 2, 101 * day_ms);
    add_token(store, "used-up-expired", "enroll", 0, 1, 99 * day_ms);
    add_token(store, "access", "access", 0, 0, 0);
    assert_int_equal(flo_fleet_token_prune(store, 100 * day_ms, &err), 0);

    ids = tokens_of(store);
    assert_string_equal(ids.data, " good expired used-up access ");
    flo_buf_deinit(&ids);
    flo_fleet_close(store);
}

static void put_rollout(struct flo_fleet_store *store, unsigned number,
                        enum flo_rollout_state state)
{
    struct flo_err err = {0};
    char id[16];
    struct flo_fleet_rollout rollout = {.id = id,
                                        .spec = "{}",
                                        .state = flo_rollout_state_word(state),
                                        .core = "{}",
                                        .digest = ""};

    snprintf(id, sizeof(id), "r-%u", number);
    assert_int_equal(flo_fleet_rollout_put(store, &rollout, &err), 0);
}

static int take_rollout_id(void *context,
                           const struct flo_fleet_rollout *rollout)
{
    flo_buf_printf(context, "%s ", rollout->id);
    return 0;
}

static void what_is_under_way_is_listed_before_all_that_ended(void **state)
{
    (void)state;
    struct flo_fleet_store *store = store_new();
    struct flo_buf ids = {0};
    struct flo_err err = {0};

    put_rollout(store, 1, FLO_ROLLOUT_RUNNING);
    put_rollout(store, 2, FLO_ROLLOUT_HALTED);
    put_rollout(store, 3, FLO_ROLLOUT_PAUSED);
    put_rollout(store, 4, FLO_ROLLOUT_ROLLING_BACK);
    for (unsigned i = 5; i < 105; i++) {
        put_rollout(store, i, FLO_ROLLOUT_COMPLETED);
    }
    assert_int_equal(
        flo_fleet_rollout_list(store, 5, take_rollout_id, &ids, &err), 0);

    assert_string_equal(ids.data, "r-4 r-3 r-1 r-104 r-103 ");
    flo_buf_deinit(&ids);
    flo_fleet_close(store);
}

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
    assert_int_equal(flo_fleet_open(dir, &store, &err), 0);
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
    assert_int_equal(
        flo_fleet_audit_list(store, 0, 0, walk_record, &walk, &err), 0);
    assert_int_equal(walk.number, 50);
    flo_fleet_close(store);

    snprintf(path, sizeof(path), "%s/control.db", dir);
    assert_int_equal(flo_db_open(path, FLO_DB_SYNC_NORMAL, 100, &db, &err), 0);
    assert_int_equal(
        flo_db_exec(db, "UPDATE audit SET who = 'nobody' WHERE n = 17", &err),
        0);
    flo_db_close(db);
    assert_int_equal(flo_fleet_open(dir, &store, &err), 0);
    walk = (struct flo_audit_walk){0};
    assert_int_equal(
        flo_fleet_audit_list(store, 0, 0, walk_record, &walk, &err),
        FLO_E_AUDIT_CHAIN);
    assert_int_equal(walk.number, 16);
    flo_fleet_close(store);
    remove_tree(dir);
}

#define SECRET "flt_pat_0123456789ab_mustnotstay"
#define ANSWER "{\"id\":\"t\",\"token\":\"" SECRET "\"}"

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
    assert_int_equal(flo_db_migrate(db, flo_fleet_control_schema, 3, &err), 0);
    assert_int_equal(
        flo_db_exec(db,
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

    assert_int_equal(flo_fleet_open(dir, &store, &err), 0);

    assert_false(file_has(dir, "control.db", SECRET));
    assert_false(file_has(dir, "control.db-wal", SECRET));
    assert_int_equal(flo_fleet_replay_get(store, "t", "other", &request,
                                          &status, &body, &err),
                     0);
    assert_int_equal(status, 201);
    flo_buf_deinit(&body);
    flo_fleet_close(store);
    remove_tree(dir);
}

static void what_is_rolled_back_never_was(void **state)
{
    (void)state;
    struct flo_fleet_store *store = store_new();
    struct flo_err err = {0};
    uint64_t number;

    assert_int_equal(flo_fleet_begin(store, &err), 0);
    assert_int_equal(flo_fleet_next(store, "order", &number, &err), 0);
    assert_int_equal(add(store, DEVICE, "gw-1", "lab"), 0);
    flo_fleet_roll_back(store);
    assert_int_equal(flo_fleet_begin(store, &err), 0);
    assert_int_equal(flo_fleet_next(store, "order", &number, &err), 0);
    assert_int_equal(flo_fleet_commit(store, &err), 0);

    assert_int_equal(number, 1);
    assert_int_equal(
        listed(store, (struct flo_fleet_device_filter){.online = -1}), 0);
    flo_fleet_close(store);
}

/* ---- orders ---- */

static void add_order(struct flo_fleet_store *store, const char *id,
                      struct flo_fleet_order order)
{
    struct flo_err err = {0};

    order.id = id;
    order.seq = strtoull(id + 2, NULL, 10);
    order.group = "all";
    order.envelope = "{}";
    order.body = "{}";
    order.rollout = order.rollout != NULL ? order.rollout : "";
    order.release = order.release != NULL ? order.release : "";
    assert_int_equal(flo_fleet_order_add(store, &order, &err), 0);
}

static int ignore_order(void *context, const struct flo_fleet_order *order)
{
    (void)context;
    (void)order;
    return 0;
}

static bool has_order(struct flo_fleet_store *store, const char *id)
{
    return flo_fleet_order_get(store, id, ignore_order, NULL, NULL) == 0;
}

static void
orders_go_a_month_behind_their_end_when_a_newer_one_says_the_same(void **state)
{
    (void)state;
    struct flo_fleet_store *store = store_new();
    struct flo_err err = {0};
    const uint64_t now = 2 * FLO_ORDER_KEPT_MS;
    const uint64_t old = FLO_ORDER_KEPT_MS - 1;
    const char *kept[] = {"o-2", "o-4",  "o-5",  "o-6",  "o-8",
                          "o-9", "o-11", "o-12", "o-14", "o-15"};
    const char *gone[] = {"o-1", "o-3", "o-7", "o-10", "o-13"};
    uint64_t from = 0;

    add_order(store, "o-1", (struct flo_fleet_order){.op = "unfreeze"});
    add_order(store, "o-2", (struct flo_fleet_order){.op = "unfreeze"});
    /* of a rollout: by phase; also while it is paused for a month */
    add_order(store, "o-3",
              (struct flo_fleet_order){.op = "deploy", .rollout = "r-1"});
    add_order(store, "o-4",
              (struct flo_fleet_order){.op = "deploy", .rollout = "r-1"});
    add_order(
        store, "o-5",
        (struct flo_fleet_order){.op = "deploy", .rollout = "r-1", .phase = 1});
    add_order(store, "o-6",
              (struct flo_fleet_order){.op = "pause", .rollout = "r-1"});
    /* asked for by itself, then signed anew again and again */
    add_order(store, "o-7",
              (struct flo_fleet_order){.op = "rollback", .release = "x"});
    add_order(store, "o-8",
              (struct flo_fleet_order){
                  .op = "rollback", .release = "x", .is_tracked = true});
    add_order(store, "o-9",
              (struct flo_fleet_order){.op = "rollback", .release = "y"});
    add_order(store, "o-10",
              (struct flo_fleet_order){.op = "rollback", .release = "x"});
    add_order(store, "o-11",
              (struct flo_fleet_order){.op = "rollback", .release = "x"});
    /* a desired holds it; not so long ago */
    add_order(store, "o-12",
              (struct flo_fleet_order){.op = "deploy", .rollout = "r-2"});
    add_order(store, "o-13",
              (struct flo_fleet_order){.op = "deploy", .rollout = "r-2"});
    add_order(store, "o-14",
              (struct flo_fleet_order){
                  .op = "deploy", .rollout = "r-2", .expires_at_ms = old + 1});
    add_order(store, "o-15",
              (struct flo_fleet_order){.op = "deploy", .rollout = "r-2"});
    assert_int_equal(add(store, DEVICE, "gw-1", "lab"), 0);
    assert_int_equal(flo_fleet_desired_set(store, DEVICE, "o-12", &err), 0);

    assert_int_equal(flo_fleet_order_prune(store, now, &from, &err), 0);

    assert_int_equal(from, FLO_FLEET_ALL);
    for (size_t i = 0; i < FLO_COUNT(kept); i++) {
        assert_true(has_order(store, kept[i]));
    }
    for (size_t i = 0; i < FLO_COUNT(gone); i++) {
        assert_false(has_order(store, gone[i]));
    }
    flo_fleet_close(store);
}

static void orders_go_in_pieces(void **state)
{
    (void)state;
    struct flo_fleet_store *store = store_new();
    struct flo_err err = {0};
    uint64_t from = 0;
    char id[16];

    for (int i = 1; i <= FLO_FLEET_PRUNE_ORDERS + 3; i++) {
        snprintf(id, sizeof(id), "o-%d", i);
        add_order(store, id, (struct flo_fleet_order){.op = "config"});
    }
    const uint64_t now = FLO_ORDER_KEPT_MS + 1;

    assert_int_equal(flo_fleet_order_prune(store, now, &from, &err), 0);
    assert_int_equal(from, FLO_FLEET_PRUNE_ORDERS);
    assert_false(has_order(store, "o-500"));
    assert_true(has_order(store, "o-501"));

    assert_int_equal(flo_fleet_order_prune(store, now, &from, &err), 0);
    assert_int_equal(from, FLO_FLEET_ALL);
    assert_false(has_order(store, "o-502"));
    assert_true(has_order(store, "o-503"));
    flo_fleet_close(store);
}

/* Tables are searched; scanned are small indexes alone. */
static void plan_is(struct flo_fleet_store *store, const char *sql,
                    const char *expected)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) plan = {0};
    char explain[2048];
    struct flo_db_statement *row;
    struct flo_err err = {0};
    bool has_row = true;

    snprintf(explain, sizeof(explain), "EXPLAIN QUERY PLAN %s", sql);
    assert_int_equal(flo_db_prepare(store->control, explain, &row, &err), 0);
    while (flo_db_step(row, &has_row, &err) == 0 && has_row) {
        const char *text = flo_db_column_text(row, 3);
        if (strncmp(text, "SEARCH", 6) == 0 || strncmp(text, "SCAN", 4) == 0) {
            flo_buf_printf(&plan, "%s\n", text);
        }
    }
    assert_string_equal(plan.data, expected);
}

static void orders_are_found_without_reading_those_of_a_year(void **state)
{
    (void)state;
    struct flo_fleet_store *store = store_new();

    plan_is(store, flo_fleet_orders_of_group,
            "SEARCH ord USING INDEX ord_group (grp=? AND expires_at>?)\n");
    plan_is(store, flo_fleet_orders_groups,
            "SEARCH ord USING INDEX ord_expires (expires_at>?)\n");
    plan_is(store, flo_fleet_orders_tracked,
            "SCAN ord USING INDEX ord_tracked\n");
    plan_is(store, flo_fleet_orders_standing,
            "SEARCH ord USING INDEX ord_seq (seq=?)\n"
            "SEARCH ord USING COVERING INDEX ord_rollout"
            " (rollout=? AND op=?)\n"
            "SEARCH ord USING COVERING INDEX ord_rollout"
            " (rollout=? AND op=?)\n"
            "SCAN member USING INDEX member_accepted\n"
            "SEARCH rollout USING PRIMARY KEY (id=?)\n"
            "SEARCH ord USING INDEX ord_rollout (rollout=? AND op=?)\n"
            "SCAN outcome USING INDEX outcome_awaited\n"
            "SEARCH device USING PRIMARY KEY (id=?)\n"
            "SEARCH ord USING PRIMARY KEY (id=?)\n");
    plan_is(store, flo_fleet_prune_orders,
            "SEARCH ord USING INDEX ord_seq (seq>? AND seq<?)\n"
            "SEARCH desired USING COVERING INDEX desired_order (ord=?)\n"
            "SEARCH newer USING INDEX ord_rollout"
            " (rollout=? AND op=? AND phase=? AND seq>?)\n");
    plan_is(store, flo_fleet_orders_newest_listed,
            "SEARCH ord USING INDEX ord_listed (op=?)\n");
    plan_is(store, flo_fleet_orders_newest_of,
            "SEARCH ord USING COVERING INDEX ord_release"
            " (release=? AND op=?)\n");
    plan_is(store, flo_fleet_devices_count,
            "SEARCH device USING COVERING INDEX device_count (retired=?)\n");
    flo_fleet_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(devices_are_found_by_id_name_and_group),
        cmocka_unit_test(a_retired_device_frees_its_name_and_keeps_its_row),
        cmocka_unit_test(each_write_of_desired_raises_the_revision),
        cmocka_unit_test(events_are_acknowledged_up_to_the_first_gap),
        cmocka_unit_test(a_token_has_as_many_uses_as_it_was_made_for),
        cmocka_unit_test(the_newest_token_is_listed_whatever_their_number),
        cmocka_unit_test(enrolment_tokens_of_no_use_go),
        cmocka_unit_test(what_is_under_way_is_listed_before_all_that_ended),
        cmocka_unit_test(an_edited_audit_file_is_found),
        cmocka_unit_test(secrets_that_older_controllers_kept_are_wiped_at_open),
        cmocka_unit_test(what_is_rolled_back_never_was),
        cmocka_unit_test(
            orders_go_a_month_behind_their_end_when_a_newer_one_says_the_same),
        cmocka_unit_test(orders_go_in_pieces),
        cmocka_unit_test(orders_are_found_without_reading_those_of_a_year),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
