/* PostgreSQL: a server that ends, hangs up, refuses, or belongs to another. */
#include <flotilla/errors/db.h>
#include <flotilla/errors/state.h>

#include "server-stub/store/fleet.h"
#include "tests/unit/server/store/store.h"

static int setting(struct flo_fleet_store *store, const char *name, const char *value,
                   struct flo_err *err)
{
    return flo_fleet_setting_set(store, name, value, err);
}

static const char *setting_of(struct flo_fleet_store *store, const char *name)
{
    static char value[64];
    struct flo_err err = {0};

    if (flo_fleet_setting_get(store, name, value, sizeof(value), &err) < 0) {
        fail_msg("%s", err.what);
    }
    return value;
}

/* A server that is this program's alone. */
static struct cluster own = {.fsync = "on"};

static int in_own(void **state)
{
    int rv = cluster_start(&own);

    return rv != 0 ? rv : open_store(state, own.address);
}

static int close_own(void **state)
{
    int rv = close_store(state);

    cluster_stop(&own);
    return rv;
}

static void server_restarts(void)
{
    cluster_kill(&own, SIGKILL);
    cluster_run(&own);
    flo_pg_close(cluster_connect(&own));
}

/* The next connection is tried after a moment. */
static void begin_again(struct flo_fleet_store *store)
{
    struct flo_err err = {0};

    WAIT_UNTIL(flo_fleet_begin(store, &err) == 0);
}

static void a_server_that_is_killed_loses_nothing_that_was_committed(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};

    begin(store);
    assert_int_equal(setting(store, "a", "1", &err), 0);
    commit(store);
    begin(store);
    assert_int_equal(setting(store, "a", "2", &err), 0);
    server_restarts();
    assert_int_equal(flo_fleet_commit(store, &err), FLO_E_DB_UNREACHABLE);
    begin_again(store);
    assert_string_equal(setting_of(store, "a"), "1");
    assert_int_equal(setting(store, "a", "3", &err), 0);
    commit(store);
    assert_string_equal(setting_of(store, "a"), "3");
}

static int count_one(void *context, const struct flo_select_device *device)
{
    (void)device;
    ++*(int *)context;
    return 0;
}

static int selected(struct flo_fleet_store *store, int *count, struct flo_err *err)
{
    *count = 0;
    return flo_fleet_select(store, NULL, 0, 1000000, count_one, count, err);
}

/* Its row could not be read when a change to it was taken back.  SIGQUIT: a
 * server that is killed leaves processes that may answer once more. */
static void a_device_is_there_again_when_the_server_is(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};
    bool is_news;
    int count;

    begin(store);
    assert_int_equal(add_device(store, DEVICE, "gw-1", "lab"), 0);
    commit(store);
    assert_int_equal(selected(store, &count, &err), 0);
    assert_int_equal(count, 1);
    begin(store);
    assert_int_equal(flo_fleet_device_online(store, DEVICE, true, &is_news, &err), 0);
    cluster_kill(&own, SIGQUIT);
    flo_fleet_roll_back(store);
    assert_int_equal(selected(store, &count, &err), FLO_E_DB_UNREACHABLE);
    cluster_run(&own);
    flo_pg_close(cluster_connect(&own));
    begin_again(store);
    commit(store);
    assert_int_equal(selected(store, &count, &err), 0);
    assert_int_equal(count, 1);
}

static void a_session_that_ends_in_a_transaction_takes_it_back(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};
    char value[8];

    begin(store);
    assert_int_equal(setting(store, "b", "1", &err), 0);
    cluster_end_sessions(&cluster, "flotilla-controller");
    assert_int_equal(flo_fleet_setting_get(store, "b", value, sizeof(value), &err),
                     FLO_E_DB_UNREACHABLE);
    flo_fleet_roll_back(store);
    begin_again(store);
    assert_string_equal(setting_of(store, "b"), "");
    commit(store);
}

/* Nobody waits for it; the commit tells it, and nothing of it stays. */
static void a_change_that_fails_unheard_ends_its_transaction(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};

    begin(store);
    assert_int_equal(setting(store, "c", "1", &err), 0);
    assert_int_equal(setting(store, "d", "\xff\xfe", &err), 0); /* no UTF-8 */
    assert_int_equal(flo_fleet_commit(store, &err), FLO_E_DB);
    assert_non_null(strstr(err.what, "UTF8"));
    begin(store);
    assert_string_equal(setting_of(store, "c"), "");
    assert_int_equal(setting(store, "c", "2", &err), 0);
    commit(store);
    assert_string_equal(setting_of(store, "c"), "2");
}

static void a_read_tells_the_error_of_a_change_before_it(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};
    char value[8];

    begin(store);
    assert_int_equal(setting(store, "e", "\xff", &err), 0);
    assert_int_equal(flo_fleet_setting_get(store, "e", value, sizeof(value), &err), FLO_E_DB);
    assert_int_equal(setting(store, "f", "1", &err), FLO_E_DB);
    assert_true(flo_fleet_commit(store, &err) < 0);
    assert_string_equal(setting_of(store, "f"), "");
}

/* As a leader that was stopped and goes on. */
static void a_second_opening_ends_the_commits_of_the_first(void **state)
{
    struct fixture *fixture = *state;
    struct flo_fleet_store *second = NULL;
    struct flo_err err = {0};
    uint64_t number = 0;

    begin(fixture->store);
    assert_int_equal(flo_fleet_next(fixture->store, "order", &number, &err), 0);
    assert_int_equal(number, 1);
    commit(fixture->store);
    assert_int_equal(open_engine(cluster.address, &second, &err), 0);
    begin(fixture->store);
    assert_int_equal(flo_fleet_next(fixture->store, "order", &number, &err), 0);
    assert_int_equal(flo_fleet_commit(fixture->store, &err), FLO_E_STATE_SUPERSEDED);
    assert_non_null(strstr(err.what, "another controller leads"));
    begin(fixture->store); /* nor the next one */
    assert_int_equal(setting(fixture->store, "g", "1", &err), 0);
    assert_int_equal(flo_fleet_commit(fixture->store, &err), FLO_E_STATE_SUPERSEDED);
    begin(second); /* no number was lost, and none was given twice */
    assert_int_equal(flo_fleet_next(second, "order", &number, &err), 0);
    assert_int_equal(number, 2);
    commit(second);
    assert_string_equal(setting_of(second, "g"), "");
    flo_fleet_close(second);
}

static void a_second_opening_finds_what_the_first_one_left(void **state)
{
    struct fixture *fixture = *state;
    struct flo_err err = {0};

    begin(fixture->store);
    assert_int_equal(setting(fixture->store, "g", "1", &err), 0);
    assert_int_equal(add_device(fixture->store, DEVICE, "gw-1", "north"), 0);
    commit(fixture->store);
    flo_fleet_close(fixture->store);
    assert_int_equal(open_engine(cluster.address, &fixture->store, &err), 0);
    assert_string_equal(setting_of(fixture->store, "g"), "1");
    assert_false(is_online(fixture->store, DEVICE));
}

static void an_address_that_is_none_is_said(void **state)
{
    struct flo_fleet_store *none = NULL;
    struct flo_err err = {0};

    (void)state;
    assert_int_equal(flo_fleet_open("postgresql:///x?host=/nowhere", 0, &none, &err),
                     FLO_E_DB_UNREACHABLE);
    assert_non_null(strstr(err.what, "/nowhere"));
    assert_int_equal(flo_fleet_open("postgresql://u:secret@h/db", 0, &none, &err), FLO_E_CFG_RANGE);
    assert_null(strstr(err.what, "secret"));
    assert_int_equal(flo_fleet_open("postgresql://h/db?nonsense=1", 0, &none, &err),
                     FLO_E_CFG_RANGE);
    assert_int_equal(flo_fleet_open("postgresql://127.0.0.1,db.example.com/x", 0, &none, &err),
                     FLO_E_CFG_RANGE);
    assert_non_null(strstr(err.what, "no sslmode"));
    assert_int_equal(flo_fleet_open("postgresql://127.0.0.1:1/x?connect_timeout=2", 0, &none, &err),
                     FLO_E_DB_UNREACHABLE);
}

/* Serial numbers aside, which are given again. */
static void a_file_of_sqlite_is_copied_into_an_empty_database(void **state)
{
    struct fixture *fixture = *state;
    struct fixture *file;
    struct flo_err err = {0};
    uint64_t rows = 0;

    in_sqlite((void **)&file);
    begin(file->store);
    assert_int_equal(add_device(file->store, DEVICE, "gw-1", "north"), 0);
    assert_int_equal(add_device(file->store, OTHER, "gw-2", "south"), 0);
    assert_int_equal(setting(file->store, "h", "1", &err), 0);
    for (uint64_t seq = 1; seq <= 3; seq++) {
        uint64_t mark;
        bool is_new;
        assert_int_equal(flo_fleet_event_add(file->store, DEVICE, BOOT, seq, 0, 5, 6, "{}", &is_new,
                                             &mark, &err),
                         0);
    }
    commit(file->store);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) before = dump(file->store);
    flo_fleet_close(file->store);
    if (flo_fleet_import(fixture->store, file->dir, &rows, &err) < 0) {
        fail_msg("%s", err.what);
    }
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) after = dump(fixture->store);
    assert_string_equal(after.data, before.data);
    assert_in_range(rows, 9, 20);
    assert_int_equal(flo_fleet_import(fixture->store, file->dir, &rows, &err), FLO_E_STATE);
    assert_int_equal(remove_tree(file->dir), 0);
    free(file);
    begin(fixture->store); /* new events come behind the old ones */
    uint64_t mark;
    bool is_new = false;
    assert_int_equal(
        flo_fleet_event_add(fixture->store, DEVICE, BOOT, 4, 0, 5, 6, "{}", &is_new, &mark, &err),
        0);
    assert_true(is_new);
    commit(fixture->store);
}

#define FAULT(test)                                                                                \
    {                                                                                              \
#test, test, in_postgresql, close_store, NULL                                              \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_server_that_is_killed_loses_nothing_that_was_committed,
                                        in_own, close_own),
        cmocka_unit_test_setup_teardown(a_device_is_there_again_when_the_server_is, in_own,
                                        close_own),
        FAULT(a_session_that_ends_in_a_transaction_takes_it_back),
        FAULT(a_change_that_fails_unheard_ends_its_transaction),
        FAULT(a_read_tells_the_error_of_a_change_before_it),
        FAULT(a_second_opening_ends_the_commits_of_the_first),
        FAULT(a_second_opening_finds_what_the_first_one_left),
        FAULT(an_address_that_is_none_is_said),
        FAULT(a_file_of_sqlite_is_copied_into_an_empty_database),
    };

    return run_over_all("faults", tests, FLO_COUNT(tests));
}
