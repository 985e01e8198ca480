/* Rows that a leader hands on to the next one, in a real PostgreSQL. */
#include <stdio.h>
#include <string.h>

#include "server-stub/store/handed.h"
#include "tests/unit/server/store/store.h"

static struct flo_handed *open_in(uint64_t epoch)
{
    struct flo_handed *handed = NULL;
    struct flo_err err = {0};

    if (flo_handed_open(cluster.address, epoch, &handed, &err) < 0) {
        fail_msg("%s", err.what);
    }
    return handed;
}

static void lead_in(uint64_t epoch)
{
    char sql[96];

    snprintf(sql, sizeof(sql), "UPDATE flotilla_lease SET epoch = %llu", (unsigned long long)epoch);
    cluster_tell(&cluster, sql);
}

/* Devices 0 to 1000. */
static void add_members(void)
{
    cluster_tell(&cluster, "INSERT INTO device (id, name) SELECT"
                           " lpad(n::text, 8, '0'), 'd' || n FROM"
                           " generate_series(0, 1000) AS n");
}

static void put(struct flo_handed *handed, int device, const char *text)
{
    char id[37];

    snprintf(id, sizeof(id), "%08d", device);
    flo_handed_put(handed, id, "tiny", text, strlen(text));
}

static void write_all(struct flo_handed *handed)
{
    flo_handed_send(handed);
    assert_true(flo_handed_settle(handed, HANG_MS));
}

struct found {
    size_t count;
    char last[64];
};

static int take(void *context, const char *device, const char *name, const void *data, size_t bytes)
{
    struct found *found = context;

    assert_string_equal(name, "tiny");
    found->count++;
    snprintf(found->last, sizeof(found->last), "%s %.*s", device, (int)bytes, (const char *)data);
    return 0;
}

static struct found list(struct flo_handed *handed)
{
    struct found found = {0};
    struct flo_err err = {0};

    if (flo_handed_list(handed, take, &found, &err) < 0) {
        fail_msg("%s", err.what);
    }
    return found;
}

static struct found as_the_next_one_finds_it(void)
{
    struct flo_handed *handed = open_in(2);
    struct found found = list(handed);

    flo_handed_close(handed);
    return found;
}

static int clean(void **state)
{
    struct flo_fleet_store *store = NULL;
    struct flo_err err = {0};

    (void)state;
    flo_log_level_set(FLO_LOG_ERROR);
    cluster_empty(&cluster);
    if (open_postgresql(cluster.address, 0, NULL, &store, &err) < 0) {
        fail_msg("%s", err.what);
    }
    flo_fleet_close(store);
    lead_in(1);
    add_members();
    return 0;
}

static void the_next_leader_finds_the_newest_row_of_each(void **state)
{
    struct flo_handed *handed = open_in(1);

    (void)state;
    put(handed, 1, "old");
    write_all(handed);
    put(handed, 1, "new");
    write_all(handed);
    flo_handed_close(handed);
    struct found found = as_the_next_one_finds_it();
    assert_int_equal(found.count, 1);
    assert_string_equal(found.last, "00000001 new");
}

static void more_than_a_page_is_read(void **state)
{
    struct flo_handed *handed = open_in(1);

    (void)state;
    for (int i = 0; i <= 1000; i++) {
        put(handed, i, "x");
        if (i % FLO_HANDED_ROWS_MAX == FLO_HANDED_ROWS_MAX - 1) {
            assert_int_equal(flo_handed_room(handed), 0);
            write_all(handed);
            assert_int_equal(flo_handed_room(handed), FLO_HANDED_ROWS_MAX);
        }
    }
    write_all(handed);
    flo_handed_close(handed);
    struct found found = as_the_next_one_finds_it();
    assert_int_equal(found.count, 1001);
    assert_string_equal(found.last, "00001000 x");
}

static void rows_of_no_member_are_not_found(void **state)
{
    struct flo_handed *handed = open_in(1);

    (void)state;
    for (int i = 998; i <= 1001; i++) { /* nobody is 1001 */
        put(handed, i, "x");
    }
    write_all(handed);
    flo_handed_put(handed, "00000998", "tiny", NULL, 0);
    write_all(handed);
    flo_handed_close(handed);
    cluster_tell(&cluster, "UPDATE device SET retired = 1 WHERE id = '00000999'");
    struct found found = as_the_next_one_finds_it();
    assert_int_equal(found.count, 1);
    assert_string_equal(found.last, "00001000 x");
}

/* A sweep that fails takes nothing from who leads now. */
static void rows_are_found_though_none_can_be_removed(void **state)
{
    struct flo_handed *handed = open_in(1);

    (void)state;
    put(handed, 1000, "x");
    put(handed, 1001, "x"); /* nobody */
    write_all(handed);
    flo_handed_close(handed);
    cluster_tell(&cluster, "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
                           " 'BEGIN RAISE EXCEPTION ''statement timeout''; END'");
    cluster_tell(&cluster, "CREATE TRIGGER refuses BEFORE DELETE ON flotilla_handed"
                           " FOR EACH ROW EXECUTE FUNCTION refuse()");
    struct found found = as_the_next_one_finds_it();
    cluster_tell(&cluster, "DROP TRIGGER refuses ON flotilla_handed");
    cluster_tell(&cluster, "DROP FUNCTION refuse()");
    assert_int_equal(found.count, 1);
    assert_string_equal(found.last, "00001000 x");
}

static void a_leader_that_was_superseded_writes_nothing_more(void **state)
{
    struct flo_handed *before = open_in(1);

    (void)state;
    lead_in(2);
    struct flo_handed *now = open_in(2);
    put(now, 1, "now");
    write_all(now);
    put(before, 1, "before");
    put(before, 2, "before");
    write_all(before);
    assert_int_equal(flo_handed_room(before), 0);
    flo_handed_close(before);
    flo_handed_close(now);
    struct found found = as_the_next_one_finds_it();
    assert_int_equal(found.count, 1);
    assert_string_equal(found.last, "00000001 now");
}

/* It looked at the lease before another one took it. */
static void a_late_row_replaces_none_of_a_later_epoch(void **state)
{
    struct flo_handed *before = open_in(1);

    (void)state;
    cluster_tell(&cluster, "INSERT INTO flotilla_handed VALUES"
                           " ('00000001', 'tiny', 2, 'now')");
    put(before, 1, "late");
    flo_handed_put(before, "00000001", "tiny", NULL, 0);
    write_all(before);
    flo_handed_close(before);
    assert_string_equal(as_the_next_one_finds_it().last, "00000001 now");
}

static void a_batch_is_written_though_its_session_ended(void **state)
{
    struct flo_handed *handed = open_in(1);

    (void)state;
    assert_int_equal(list(handed).count, 0);
    cluster_end_sessions(&cluster, "flotilla-leader-1");
    put(handed, 1, "again");
    write_all(handed);
    flo_handed_close(handed);
    assert_string_equal(as_the_next_one_finds_it().last, "00000001 again");
}

#define HANDED(test)                                                                               \
    {                                                                                              \
#test, test, clean, NULL, NULL                                                             \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        HANDED(the_next_leader_finds_the_newest_row_of_each),
        HANDED(more_than_a_page_is_read),
        HANDED(rows_of_no_member_are_not_found),
        HANDED(rows_are_found_though_none_can_be_removed),
        HANDED(a_leader_that_was_superseded_writes_nothing_more),
        HANDED(a_late_row_replaces_none_of_a_later_epoch),
        HANDED(a_batch_is_written_though_its_session_ended),
    };

    return run_over_all("handed", tests, FLO_COUNT(tests));
}
