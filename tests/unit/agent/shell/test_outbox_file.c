/* outbox.db, while somebody takes it away. */
#include <sys/stat.h>

#include "unit/agent/shell/outbox_parts.h"
#include "unit/waits.h"

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
    static void (*const harms[])(void) = {delete_the_log, delete_the_file, put_another_file};

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

/* Its words and its boot, under this number. */
static void is_sent(struct flo_outbox_db *db, uint64_t sequence, const char *what, const char *boot)
{
    FLO_CLEANUP(flo_free_cleanup) char *text = flo_events_text(db, sequence);

    assert_non_null(strstr(text, what));
    assert_non_null(strstr(text, boot));
}

static void a_file_that_could_not_be_opened_is_opened_later(void **state)
{
    struct flo_outbox_db *db = open_db(1 << 20);
    char boot[37], alone[37];

    (void)state;
    note(db, "kept");
    flo_events_flush(db);
    snprintf(boot, sizeof(boot), "%s", db->boot);
    flo_outbox_db_close(db);
    flo_log_level_set(FLO_LOG_ERROR);
    let_disk_fail(true);
    db = open_db(1 << 20);
    snprintf(alone, sizeof(alone), "%s", db->boot);
    assert_string_not_equal(alone, boot);
    assert_non_null(flo_outbox_db_failure(db));
    assert_null(strstr(flo_outbox_db_failure(db)->what, NO_OUTBOX));
    note(db, "on its way");
    flo_events_flush(db);
    flo_outbox_connected(flo_events_outbox(db), waits_now_ms());
    flo_outbox_sent(flo_events_outbox(db), 1, waits_now_ms());
    flo_outbox_windows_add(db, "{\"seq\":1}");
    flo_outbox_db_again(db, "d-1", false);
    let_disk_fail(false);
    flo_log_level_set(FLO_LOG_INFO);

    /* An ack will name number 1 of this boot. */
    flo_outbox_db_again(db, "d-1", false);
    assert_string_equal(db->boot, alone);
    assert_non_null(flo_outbox_db_failure(db));
    flo_events_acked(db, alone, 1);
    note(db, "next");
    flo_outbox_db_again(db, "d-1", false);

    assert_null(flo_outbox_db_failure(db));
    assert_string_equal(db->boot, boot);
    for (int restarts = 0; restarts < 2; restarts++) {
        assert_int_equal(flo_events_outbox(db)->acked, 0);
        assert_int_equal(flo_events_outbox(db)->last, 2);
        is_sent(db, 1, "kept", boot);
        is_sent(db, 2, "next", boot);
        flo_outbox_db_close(db);
        db = open_db(1 << 20);
    }
    FLO_CLEANUP(flo_free_cleanup) char *device = flo_values_get(db, "device");
    assert_string_equal(device, "d-1");
    flo_outbox_db_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_file_that_could_not_be_opened_is_opened_later),
        TEST(a_file_that_is_deleted_or_replaced_is_there_again),
        TEST(a_file_that_cannot_be_written_again_is_kept_open),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
