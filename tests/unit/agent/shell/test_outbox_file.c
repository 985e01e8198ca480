/* outbox.db, while somebody takes it away. */
#include <sys/stat.h>

#include "unit/agent/shell/outbox_parts.h"

static void (*harm)(void);

static void delete_the_log(void)
{
    assert_int_equal(unlink(path_of("outbox.db-wal")), 0);
}

static void delete_the_file(void)
{
    assert_int_equal(unlink(path_of("outbox.db")), 0);
}

static void put_another_file(void)
{
    char other[200];

    snprintf(other, sizeof(other), "%s", path_of("other"));
    FILE *file = fopen(other, "w");
    assert_non_null(file);
    fputs("no database", file);
    fclose(file);
    assert_int_equal(rename(other, path_of("outbox.db")), 0);
}

static void write_and_lose_the_file(struct flo_outbox_db *db)
{
    note(db, "before");
    flo_events_flush(db);
    flo_outbox_windows_add(db, "{\"seq\":1}");
    harm();
    note(db, "after");
    flo_events_flush(db);
    flo_traces_add(db, "a step\n");
    flo_events_flush(db);
}

static void expect_that_nothing_is_lost(void)
{
    uint64_t id = 0;

    in_a_killed_process(write_and_lose_the_file);
    struct flo_outbox_db *db = open_db(1 << 20);
    assert_int_equal(flo_outbox_db_corrupt(db), 0);
    assert_int_equal(told(db, "\"what\":\"before\""), 1);
    assert_int_equal(told(db, "\"what\":\"after\""), 1);
    assert_int_equal(told(db, "db.replaced"), 1);
    char *text = flo_outbox_windows_next(db, &id);
    assert_string_equal(text, "{\"seq\":1}");
    free(text);
    flo_outbox_db_close(db);
}

static void a_file_that_is_deleted_or_replaced_is_there_again(void **state)
{
    static void (*const harms[])(void) = {delete_the_log, delete_the_file,
                                          put_another_file};

    for (size_t i = 0; i < FLO_COUNT(harms); i++) {
        harm = harms[i];
        expect_that_nothing_is_lost();
        assert_int_equal(end(state), 0);
        assert_int_equal(begin(state), 0);
    }
}

/* Nothing is given up for a copy that has no room. */
static void a_file_that_cannot_be_written_again_is_kept_open(void **state)
{
    struct flo_outbox_db *db = open_db(1 << 20);

    (void)state;
    delete_the_file();
    assert_int_equal(mkdir(path_of("outbox.db.saved"), 0700), 0);
    flo_log_level_set(FLO_LOG_ERROR);
    note(db, "kept");
    flo_events_flush(db);
    flo_log_level_set(FLO_LOG_INFO);
    assert_int_equal(told(db, "kept"), 1);
    assert_int_equal(rmdir(path_of("outbox.db.saved")), 0);
    note(db, "later");
    flo_events_flush(db);
    flo_outbox_db_close(db);
    db = open_db(1 << 20);
    assert_int_equal(told(db, "kept") + told(db, "later"), 2);
    flo_outbox_db_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_file_that_is_deleted_or_replaced_is_there_again),
        TEST(a_file_that_cannot_be_written_again_is_kept_open),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
