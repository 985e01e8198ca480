/* The device's outbox: what survives kill -9 and damage, what is dropped. */
#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include <flotilla/errors/cmd.h>
#include <flotilla/errors/meta.h>
#include <flotilla/errors/model.h>
#include <flotilla/errors/sig.h>

#include "agent/shell/outbox/outbox_state.h"
#include "agent/shell/shell.h"
#include "base/host/db.h"
#include "unit/agent/shell/outbox_parts.h"
#include "unit/held_clock.h"
#include "unit/remove_tree.h"
#include "unit/waits.h"

static struct flo_agent_execution execution(enum flo_execution state)
{
    struct flo_agent_execution one = {.attempt = 1, .seq = 7, .epoch = 1};

    flo_policy_default(&one.policy);
    snprintf(one.id, sizeof(one.id), "r-0001.1");
    snprintf(one.rollout, sizeof(one.rollout), "r-0001");
    snprintf(one.order, sizeof(one.order), "o-0001");
    snprintf(one.release.model, sizeof(one.release.model), "tiny");
    snprintf(one.release.version, sizeof(one.release.version), "2.1.0");
    one.release.digest.bytes[0] = 9;
    one.starts = 2;
    one.unsure = 1;
    one.runtime_failures = 2;
    one.kills = 2;
    one.policy.soak_ms = 1234;
    one.policy.start_jitter_ms = 60000;
    one.start_at_ms = waits_now_ms() + 1800000; /* of its next probe */
    one.state = state;
    return one;
}

static void write_story(struct flo_outbox_db *db)
{
    struct flo_agent_execution soaking = execution(FLO_EXECUTION_PROBING);

    note(db, "first");
    flo_events_add(db, FLO_EVENT_NEWS, json_pack("{s:s}", "type", "execution"), &soaking);
    flo_outbox_windows_add(db, "{\"seq\":1}");
}

static void events_stories_and_telemetry_survive_kill_9(void **state)
{
    struct flo_agent_execution open;
    struct flo_outbox_db *db;
    uint64_t id = 0;
    char *text;

    (void)state;
    held_clock_hold();
    in_a_killed_process(write_story);

    db = open_db(1 << 20);
    assert_int_equal(flo_events_outbox(db)->last, 2);
    text = flo_events_text(db, 1);
    assert_non_null(strstr(text, "\"what\":\"first\""));
    assert_non_null(strstr(text, "\"seq\":1"));
    assert_non_null(strstr(text, db->boot));
    free(text);
    assert_true(flo_stories_open(db, "tiny", &open));
    assert_string_equal(open.id, "r-0001.1");
    assert_int_equal(open.state, FLO_EXECUTION_PROBING);
    assert_int_equal(open.starts, 2);
    assert_int_equal(open.unsure, 1);
    assert_int_equal(open.runtime_failures, 2);
    assert_int_equal(open.kills, 2);
    assert_int_equal(open.policy.soak_ms, 1234);
    assert_int_equal(open.policy.start_jitter_ms, 60000);
    assert_int_equal(open.start_at_ms, waits_now_ms() + 1800000);
    held_clock_release();
    assert_int_equal(open.seq, 7);
    assert_int_equal(open.release.digest.bytes[0], 9);
    text = flo_outbox_windows_next(db, &id);
    assert_string_equal(text, "{\"seq\":1}");
    free(text);
    flo_outbox_db_close(db);
}

static void an_end_closes_the_story_in_the_same_write(void **state)
{
    struct flo_agent_execution one = execution(FLO_EXECUTION_SOAKING);
    struct flo_outbox_db *db = open_db(1 << 20);
    enum flo_execution how = FLO_EXECUTION_QUEUED;
    uint32_t attempts = 0;
    bool has_ended = false;

    (void)state;
    flo_events_add(db, FLO_EVENT_NEWS, json_object(), &one);
    one.state = FLO_EXECUTION_ROLLED_BACK;
    flo_events_add(db, FLO_EVENT_NEWS, json_object(), &one);
    flo_outbox_db_close(db);

    db = open_db(1 << 20);
    assert_false(flo_stories_open(db, "tiny", &one));
    assert_true(flo_stories_last(db, "r-0001", &attempts, &has_ended, &how));
    assert_true(has_ended);
    assert_int_equal(attempts, 1);
    assert_int_equal(how, FLO_EXECUTION_ROLLED_BACK);
    flo_outbox_db_close(db);
}

static void what_is_acknowledged_is_gone_and_numbers_go_on(void **state)
{
    struct flo_outbox_db *db = open_db(1 << 20);
    char *text;

    (void)state;
    note(db, "a");
    note(db, "b");
    flo_events_flush(db);
    flo_events_acked(db, db->boot, 2);
    flo_outbox_db_close(db);

    db = open_db(1 << 20);
    note(db, "c");
    flo_events_flush(db);
    assert_int_equal(flo_events_outbox(db)->acked, 2);
    assert_int_equal(flo_events_outbox(db)->last, 3);
    text = flo_events_text(db, 3);
    assert_non_null(strstr(text, "\"what\":\"c\""));
    free(text);
    flo_outbox_db_close(db);
}

/* The controller knows that the execution ended; the file does not.  The next
 * one of the same rollout is another one all the same. */
static void an_end_that_a_full_disk_kept_out_counts(void **state)
{
    struct flo_outbox_db *db = open_db(1 << 20);
    struct flo_agent_execution failed = execution(FLO_EXECUTION_FAILED);
    struct flo_agent_execution open;
    enum flo_execution end;
    uint32_t attempts;
    bool has_ended;

    (void)state;
    write_story(db);
    let_disk_fail(true);
    flo_log_level_set(FLO_LOG_ERROR);
    flo_events_add(db, FLO_EVENT_NEWS, json_pack("{s:s}", "type", "execution"), &failed);
    flo_events_acked(db, db->boot, flo_events_outbox(db)->last);
    assert_true(flo_stories_last(db, "r-0001", &attempts, &has_ended, &end));
    assert_int_equal(attempts, 1);
    assert_true(has_ended);
    assert_int_equal(end, FLO_EXECUTION_FAILED);

    let_disk_fail(false);
    flo_log_level_set(FLO_LOG_INFO);
    note(db, "there is room again");
    flo_outbox_db_close(db);
    db = open_db(1 << 20);
    assert_false(flo_stories_open(db, "tiny", &open));
    assert_true(flo_stories_last(db, "r-0001", &attempts, &has_ended, &end));
    assert_true(has_ended);
    flo_outbox_db_close(db);
}

static void a_full_disk_is_tried_ever_more_seldom(void **state)
{
    struct flo_outbox_db *db = open_db(1 << 20);

    (void)state;
    assert_int_equal(flo_events_flush_ms(db), 0);
    note(db, "waits");
    assert_int_equal(flo_events_flush_ms(db), 50);
    let_disk_fail(true);
    flo_log_level_set(FLO_LOG_ERROR);
    flo_events_flush(db);
    assert_int_equal(flo_events_flush_ms(db), 100);
    for (int i = 0; i < 40; i++) {
        flo_events_flush(db);
    }
    assert_int_equal(flo_events_flush_ms(db), 30000);

    let_disk_fail(false);
    flo_log_level_set(FLO_LOG_INFO);
    flo_events_flush(db);
    assert_int_equal(flo_events_flush_ms(db), 0);
    note(db, "the next");
    assert_int_equal(flo_events_flush_ms(db), 50);
    flo_outbox_db_close(db);
}

/* Boot and number of the newest event, as they are sent. */
static void sent_as(struct flo_outbox_db *db, char *out, size_t out_bytes)
{
    uint64_t last = flo_events_outbox(db)->last;
    char *text = flo_events_text(db, last);
    json_t *json = json_loads(text, 0, NULL);

    assert_int_equal(json_integer_value(json_object_get(json, "seq")), last);
    snprintf(out, out_bytes, "%s %llu", json_string_value(json_object_get(json, "boot")),
             (unsigned long long)last);
    json_decref(json);
    free(text);
}

/* An acknowledgement names a boot and a number: both have to be of one count.
 */
static void all_that_is_sent_bears_the_present_boot(void **state)
{
    struct flo_outbox_db *db = open_db(1 << 20);
    char boot[64];

    (void)state;
    note(db, "on disk");
    note(db, "acknowledged");
    note(db, "on disk, too");
    flo_events_flush(db);
    flo_events_acked(db, db->boot, 1);
    snprintf(boot, sizeof(boot), "%s", db->boot);
    let_disk_fail(true);
    note(db, "in memory");
    flo_events_flush(db);
    let_disk_fail(false);
    assert_string_not_equal(db->boot, boot);

    for (uint64_t sequence = 2; sequence <= 4; sequence++) {
        char *text = flo_events_text(db, sequence);
        assert_non_null(strstr(text, db->boot));
        assert_null(strstr(text, boot));
        assert_int_equal(strncmp(text, "{\"from\":2,", 10), 0);
        free(text);
    }
    flo_outbox_db_close(db);
}

static void a_number_sent_without_a_disk_is_not_used_again(void **state)
{
    struct flo_outbox_db *db = open_db(1 << 20);
    char sent[6][64];
    size_t count = 0;
    size_t i;
    size_t k;

    (void)state;
    note(db, "on disk");
    flo_events_flush(db);
    sent_as(db, sent[count++], sizeof(sent[0]));

    flo_log_level_set(FLO_LOG_ERROR);
    let_disk_fail(true);
    for (i = 0; i < 2; i++) {
        note(db, "from memory");
        flo_events_flush(db);
        sent_as(db, sent[count++], sizeof(sent[0]));
    }
    flo_events_acked(db, db->boot, 3);
    flo_outbox_db_close(db);
    let_disk_fail(false);
    flo_log_level_set(FLO_LOG_INFO);

    db = open_db(1 << 20);
    for (i = 0; i < 3; i++) {
        note(db, "on disk again");
        flo_events_flush(db);
        sent_as(db, sent[count++], sizeof(sent[0]));
    }
    flo_outbox_db_close(db);
    for (i = 0; i < count; i++) {
        for (k = 0; k < i; k++) {
            assert_string_not_equal(sent[i], sent[k]);
        }
    }
}

/* The state folder is a copy of last week's. */
static void an_ack_above_all_events_begins_a_new_boot(void **state)
{
    struct flo_outbox_db *db = open_db(1 << 20);
    char before[37], after[37];

    (void)state;
    note(db, "taken for a known one");
    flo_events_flush(db);
    flo_outbox_connected(flo_events_outbox(db), 1);
    flo_outbox_sent(flo_events_outbox(db), 1, 1);
    snprintf(before, sizeof(before), "%s", db->boot);

    assert_true(flo_events_acked(db, before, 27));
    snprintf(after, sizeof(after), "%s", db->boot);
    assert_string_not_equal(before, after);
    assert_int_equal(flo_outbox_next(flo_events_outbox(db), 2), 1);
    assert_false(flo_events_acked(db, before, 27));
    assert_string_equal(db->boot, after);
    char *text = flo_events_text(db, 1);
    assert_non_null(strstr(text, after));
    free(text);
    flo_outbox_db_close(db);

    db = open_db(1 << 20);
    assert_string_equal(db->boot, after);
    flo_outbox_db_close(db);
}

/* The broker keeps an ack over a restart, which forgot what was acked. */
static void the_ack_of_another_boot_ends_nothing(void **state)
{
    struct flo_outbox_db *db = open_db(1 << 20);
    char boot[64];

    (void)state;
    note(db, "stored, not sent");
    flo_events_flush(db);
    flo_uuid_make(boot);
    flo_events_acked(db, boot, 1);
    assert_int_equal(flo_events_outbox(db)->acked, 0);
    flo_events_acked(db, db->boot, 1);
    assert_int_equal(flo_events_outbox(db)->acked, 1);
    flo_outbox_db_close(db);
}

static void a_disk_that_recovers_keeps_the_numbers_sent_without_it(void **state)
{
    struct flo_outbox_db *db = open_db(1 << 20);
    char before[64];
    char after[64];

    (void)state;
    flo_log_level_set(FLO_LOG_ERROR);
    let_disk_fail(true);
    note(db, "from memory");
    flo_events_flush(db);
    sent_as(db, before, sizeof(before));
    let_disk_fail(false);
    flo_log_level_set(FLO_LOG_INFO);
    note(db, "on disk again");
    flo_outbox_db_close(db);

    db = open_db(1 << 20);
    assert_int_equal(flo_events_outbox(db)->last, 2);
    assert_memory_equal(db->boot, before, 36);
    sent_as(db, after, sizeof(after));
    assert_memory_equal(after, before, 36);
    flo_outbox_db_close(db);
}

static void the_oldest_telemetry_goes_first_and_is_counted(void **state)
{
    struct flo_outbox_db *db = open_db(8 * 1024); /* eight windows */
    uint64_t id = 0;
    char text[32];
    char *first;
    int i;

    (void)state;
    for (i = 0; i < 20; i++) {
        snprintf(text, sizeof(text), "{\"seq\":%d}", i);
        flo_outbox_windows_add(db, text);
    }

    first = flo_outbox_windows_next(db, &id);
    assert_string_equal(first, "{\"seq\":12}");
    free(first);
    assert_int_equal(flo_outbox_windows_lost(db), 12);
    assert_int_equal(flo_outbox_windows_lost(db), 0);
    flo_outbox_db_close(db);
}

static void a_file_of_noise_is_set_aside_and_counted(void **state)
{
    struct flo_outbox_db *db;
    char noise[8192];
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(noise); i++) {
        noise[i] = (char)(i * 31 + 7);
    }
    assert_int_equal(flo_file_write(path_of("outbox.db"), noise, sizeof(noise), 0600, NULL), 0);

    db = open_db(1 << 20);
    assert_int_equal(flo_outbox_db_corrupt(db), 1);
    note(db, "a");
    flo_events_flush(db);
    assert_int_equal(flo_events_outbox(db)->last, 1);
    flo_outbox_db_close(db);
}

static void a_sound_file_outlives_a_start_on_a_failing_disk(void **state)
{
    struct flo_outbox_db *db = open_db(1 << 20);
    char *text;

    (void)state;
    note(db, "kept");
    flo_outbox_db_close(db);
    flo_log_level_set(FLO_LOG_ERROR);
    let_disk_fail(true);
    db = open_db(1 << 20);
    assert_int_equal(flo_outbox_db_corrupt(db), 0);
    note(db, "in memory");
    flo_events_flush(db);
    assert_int_equal(flo_events_outbox(db)->last, 1);
    flo_outbox_db_close(db);
    let_disk_fail(false);
    flo_log_level_set(FLO_LOG_INFO);

    db = open_db(1 << 20);
    assert_int_equal(flo_events_outbox(db)->last, 1);
    text = flo_events_text(db, 1);
    assert_non_null(strstr(text, "\"what\":\"kept\""));
    free(text);
    flo_outbox_db_close(db);
}

/* How many files in the folder begin so. */
static int files(const char *beginning)
{
    DIR *folder = opendir(dir);
    struct dirent *entry;
    int count = 0;

    while ((entry = readdir(folder)) != NULL) {
        count += strncmp(entry->d_name, beginning, strlen(beginning)) == 0;
    }
    closedir(folder);
    return count;
}

/* Without an outbox it would answer no order that came before. */
static void the_file_of_a_newer_agent_gives_way_and_that_is_told(void **state)
{
    struct flo_outbox_db *db = open_db(1 << 20);
    struct flo_db *file = NULL;
    char *text;

    (void)state;
    note(db, "of the newer agent");
    flo_outbox_db_close(db);
    assert_int_equal(flo_db_open(path_of("outbox.db"), FLO_DB_SYNC_FULL, 0, &file, NULL), 0);
    assert_int_equal(flo_db_exec(file, "PRAGMA user_version=99", NULL), 0);
    flo_db_close(file);

    db = open_db(1 << 20);
    flo_answers_keep(db, "o-0007", "{}");
    flo_outbox_db_close(db);

    assert_int_equal(files("outbox.db.newer"), 1);
    db = open_db(1 << 20);
    assert_int_equal(flo_outbox_db_corrupt(db), 0);
    assert_int_equal(flo_events_outbox(db)->last, 1);
    text = flo_events_text(db, 1);
    assert_non_null(strstr(text, "\"type\":\"note\""));
    assert_non_null(strstr(text, "schema version 99"));
    free(text);
    flo_outbox_db_close(db);
    assert_int_equal(files("outbox.db.newer"), 1);
}

/* The row has no checksum, and the core takes what it is given at its word. */
static bool opens(const char *damage)
{
    struct flo_agent_execution one = execution(FLO_EXECUTION_PROBING);
    struct flo_outbox_db *db = open_db(1 << 20);
    sqlite3 *raw = NULL;

    flo_events_add(db, FLO_EVENT_NEWS, json_object(), &one);
    flo_outbox_db_close(db);
    assert_int_equal(sqlite3_open(path_of("outbox.db"), &raw), SQLITE_OK);
    assert_int_equal(sqlite3_exec(raw, damage, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_changes(raw), 1);
    sqlite3_close(raw);
    db = open_db(1 << 20);
    bool is_open = flo_stories_open(db, "tiny", &one);
    flo_outbox_db_close(db);
    return is_open;
}

static void a_story_that_no_device_wrote_is_none(void **state)
{
    (void)state;
    assert_true(opens("UPDATE story SET attempt = 1"));
    assert_false(opens("UPDATE story SET body = "
                       "replace(body, '\"unsure\":1', '\"unsure\":4')"));
    assert_false(opens("UPDATE story SET body = "
                       "replace(body, '\"kills\":2', '\"kills\":3')"));
    assert_false(opens("UPDATE story SET rollout = ''"));
    assert_false(opens("UPDATE story SET rollout = 'r-0001', id = ''"));
}

/* ---- another life ---- */

static void finish_and_pause(struct flo_outbox_db *db)
{
    struct flo_agent_execution one = execution(FLO_EXECUTION_SUCCEEDED);

    flo_outbox_db_enrolled(db, "device-1", false);
    flo_answers_keep(db, "o-0007", "{}");
    flo_events_add(db, FLO_EVENT_NEWS, json_pack("{s:s}", "type", "execution"), &one);
    flo_answers_keep(db, "o-0007", "{\"outcome\":\"done\"}");
    flo_outbox_windows_add(db, "{\"seq\":1}");
}

static void a_device_enrolled_again_has_no_past(void **state)
{
    struct flo_outbox_db *db = open_db(1 << 20);
    enum flo_execution end;
    bool has_ended;
    uint32_t attempts;
    uint64_t id;
    char boot[37];

    (void)state;
    finish_and_pause(db);
    snprintf(boot, sizeof(boot), "%s", db->boot);
    flo_outbox_db_close(db);
    db = open_db(1 << 20);
    flo_outbox_db_enrolled(db, "device-2", false);
    note(db, "first");
    flo_outbox_db_close(db);

    db = open_db(1 << 20);
    assert_false(flo_stories_last(db, "r-0001", &attempts, &has_ended, &end));
    assert_null(flo_answers_find(db, "o-0007"));
    assert_null(flo_outbox_windows_next(db, &id));
    assert_int_equal(flo_events_outbox(db)->last, 1);
    assert_string_not_equal(db->boot, boot);
    flo_outbox_db_close(db);
}

static void a_past_of_nobody_is_taken_over(void **state)
{
    struct flo_outbox_db *db = open_db(1 << 20);

    (void)state;
    note(db, "of an older agent");
    flo_events_flush(db);
    flo_outbox_db_enrolled(db, "device-1", false);
    flo_outbox_db_close(db);

    db = open_db(1 << 20);
    flo_outbox_db_enrolled(db, "device-1", false);
    assert_int_equal(flo_events_outbox(db)->last, 1);
    flo_outbox_db_close(db);
}

static void a_past_of_nobody_ends_with_the_enrolment_that_wrote_it(void **state)
{
    struct flo_outbox_db *db = open_db(1 << 20);

    (void)state;
    note(db, "of another id, whose name a full disk kept out");
    flo_events_flush(db);
    flo_outbox_db_enrolled(db, "device-2", true);
    assert_int_equal(flo_events_outbox(db)->last, 0);
    flo_outbox_db_close(db);

    db = open_db(1 << 20);
    note(db, "of this id, whose record was not written");
    flo_events_flush(db);
    flo_outbox_db_enrolled(db, "device-2", true);
    assert_int_equal(flo_events_outbox(db)->last, 1);
    flo_outbox_db_close(db);
}

static void write_many(struct flo_outbox_db *db)
{
    int i;

    for (i = 0; i < 20; i++) {
        note(db, "the quick brown fox jumps over the lazy dog");
        flo_events_flush(db);
    }
}

/* Nothing altered may ever leave: an event is whole, or told as damaged. */
static void check_damaged(const char *data, size_t bytes)
{
    struct flo_outbox_db *db;
    uint64_t sequence;

    unlink(path_of("outbox.db-wal"));
    unlink(path_of("outbox.db-shm"));
    assert_int_equal(flo_file_write(path_of("outbox.db"), data, bytes, 0600, NULL), 0);
    db = open_db(1 << 20);
    for (sequence = 1; sequence <= flo_events_outbox(db)->last && sequence <= 30; sequence++) {
        char *text = flo_events_text(db, sequence);
        assert_non_null(text);
        assert_true(strstr(text, "\"what\":\"the quick brown fox jumps over "
                                 "the lazy dog\"") != NULL ||
                    strstr(text, "outbox.corrupt") != NULL);
        free(text);
    }
    note(db, "still works");
    flo_outbox_db_close(db);
}

static void any_cut_or_flipped_byte_neither_crashes_nor_alters(void **state)
{
    char *data = NULL;
    size_t bytes = 0;
    size_t at;
    struct flo_outbox_db *db = open_db(1 << 20);

    (void)state;
    write_many(db);
    flo_outbox_db_close(db); /* checkpoints into the one file */
    assert_int_equal(flo_file_read(path_of("outbox.db"), 1 << 20, &data, &bytes, NULL), 0);
    flo_log_level_set(FLO_LOG_ERROR);
    for (at = 0; at < bytes; at += 397) {
        char kept = data[at];

        check_damaged(data, at);
        data[at] = (char)(kept ^ 0x55);
        check_damaged(data, bytes);
        data[at] = kept;
    }
    flo_log_level_set(FLO_LOG_INFO);
    free(data);
}

/* ---- notes ---- */

static uint64_t file_bytes(const char *name)
{
    char *data = NULL;
    size_t bytes = 0;

    if (flo_file_read(path_of(name), 1 << 26, &data, &bytes, NULL) == 0) {
        free(data);
    }
    return bytes;
}

/* How many of the events hold the text. */
/* 100 orders that nobody signed every six minutes, for ten hours and without
 * one ack, while the device changes its states. */
static void forged_orders_do_not_fill_the_disk(void **state)
{
    struct flo_outbox_db *db = open_db(1 << 20);
    static const int codes[] = {FLO_E_SIG_BAD, FLO_E_SIG_UNKNOWN_KEY, FLO_E_META_JSON};
    struct flo_agent_execution one = execution(FLO_EXECUTION_DOWNLOADING);
    struct flo_err err = {0};
    uint64_t now_ms = 5000;
    uint64_t before;
    int i;

    (void)state;
    note(db, "first");
    flo_outbox_db_close(db);
    before = file_bytes("outbox.db");
    db = open_db(1 << 20);
    for (i = 0; i < 10000; i++) {
        flo_fail(&err, codes[i % 3], "order: signature %d does not hold", i);
        flo_notes_add(db, "security", &err, now_ms);
        if (i % 200 == 0) {
            flo_events_add(db, FLO_EVENT_NEWS, json_pack("{s:s}", "type", "execution"), &one);
        }
        if (i % 100 == 99) {
            flo_events_flush(db);
            now_ms += 360000;
        }
    }

    assert_int_equal(told(db, "\"type\":\"execution\""), 50);
    assert_int_equal(told(db, "\"type\":\"security\""), 63);
    assert_int_equal(told(db, "outbox.corrupt"), 0);
    flo_outbox_db_close(db); /* checkpoints into the one file */
    assert_true(file_bytes("outbox.db") - before < 100 * 1024);
}

static void an_error_is_told_once_a_minute_with_the_count_of_the_rest(void **state)
{
    struct flo_outbox_db *db = open_db(1 << 20);
    struct flo_err err = {.code = FLO_E_SIG_BAD, .what = "x"};
    int i;

    (void)state;
    for (i = 0; i <= 60; i++) {
        flo_notes_add(db, "security", &err, 5000 + (uint64_t)i * 1000);
    }
    err.code = FLO_E_CMD_FORMAT; /* another is no repetition */
    flo_notes_add(db, "security", &err, 65000);
    flo_events_flush(db);

    assert_int_equal(flo_events_outbox(db)->last, 3);
    assert_int_equal(told(db, "\"sig.bad\""), 2);
    assert_int_equal(told(db, "\"more\":59"), 1);
    flo_outbox_db_close(db);
}

static void acknowledged_notes_make_room_for_others(void **state)
{
    struct flo_outbox_db *db = open_db(1 << 20);
    struct flo_err err = {.code = FLO_E_PACKED, .what = "x"};
    int i;

    (void)state;
    for (i = 0; i < 100; i++) {
        flo_notes_add(db, "note", &err, 5000);
        flo_events_flush(db);
    }
    assert_int_equal(flo_events_outbox(db)->last, 64);
    flo_events_acked(db, db->boot, 64);
    flo_notes_add(db, "note", &err, 6000);
    flo_events_flush(db);

    assert_int_equal(flo_events_outbox(db)->last, 65);
    assert_int_equal(told(db, "\"more\":36"), 1);
    flo_outbox_db_close(db);
}

static void engines_that_end_again_and_again_do_not_fill_the_disk(void **state)
{
    struct flo_outbox_db *db = open_db(1 << 20);
    struct flo_agent_execution one = execution(FLO_EXECUTION_PROBING);

    (void)state;
    for (int i = 0; i < 10000; i++) {
        if (i == 300) {
            flo_outbox_db_close(db);
            db = open_db(1 << 20);
        }
        flo_notes_serving(db, json_pack("{s:s}", "type", "serving"));
    }
    flo_events_add(db, FLO_EVENT_NEWS, json_pack("{s:s}", "type", "execution"), &one);
    assert_int_equal(flo_events_outbox(db)->last, 257);
    assert_int_equal(told(db, "\"type\":\"serving\""), 256);
    flo_events_acked(db, db->boot, 1);
    flo_notes_serving(db, json_pack("{s:s}", "type", "serving"));
    flo_notes_serving(db, json_pack("{s:s, s:s}", "type", "serving", "serving", "rolled-back"));
    flo_events_flush(db);

    assert_int_equal(flo_events_outbox(db)->last, 259);
    assert_int_equal(told(db, "\"more\":9700"), 1);
    flo_outbox_db_close(db);
}

static void many_events_at_once_are_all_stored(void **state)
{
    struct flo_outbox_db *db = open_db(1 << 20);
    int i;

    (void)state;
    for (i = 0; i < 100; i++) {
        note(db, "at once");
    }
    flo_events_flush(db);

    assert_int_equal(told(db, "at once"), 100);
    flo_outbox_db_close(db);
}

static void without_a_disk_an_executions_event_outlives_notes(void **state)
{
    struct flo_outbox_db *db = open_db(1 << 20);
    struct flo_agent_execution one = execution(FLO_EXECUTION_DOWNLOADING);
    int i;

    (void)state;
    flo_log_level_set(FLO_LOG_ERROR);
    let_disk_fail(true);
    flo_events_add(db, FLO_EVENT_NEWS, json_pack("{s:s}", "type", "execution"), &one);
    for (i = 0; i < 100; i++) {
        note(db, "in memory");
    }
    flo_events_flush(db);

    assert_int_equal(told(db, "\"type\":\"execution\""), 1);
    let_disk_fail(false);
    flo_log_level_set(FLO_LOG_INFO);
    flo_outbox_db_close(db);
}

static void it_says_how_much_of_what_it_told_is_acknowledged(void **state)
{
    (void)state;
    struct flo_outbox_db *db = open_db(1 << 20);
    const char *boot = NULL;
    int last = -1;
    int acked = -1;

    note(db, "one");
    note(db, "two");
    flo_events_flush(db);
    flo_events_acked(db, "", 1);
    flo_events_add(db, FLO_EVENT_NEWS, json_object(), NULL); /* in memory */
    json_t *told = flo_events_told_json(db);
    assert_int_equal(
        json_unpack(told, "{s:s, s:i, s:i !}", "boot", &boot, "last", &last, "acked", &acked), 0);
    assert_true(flo_uuid_is_valid(boot));
    assert_int_equal(last, 3);
    assert_int_equal(acked, 1);
    json_decref(told);
    flo_outbox_db_close(db);
}

static void expect_window(struct flo_outbox_db *db, const char *wanted, uint64_t *id)
{
    char *text = flo_outbox_windows_next(db, id);

    if (wanted == NULL) {
        assert_null(text);
        return;
    }
    assert_non_null(text);
    assert_string_equal(text, wanted);
    free(text);
}

static void the_newest_windows_are_sent_from_memory_without_a_disk(void **state)
{
    struct flo_outbox_db *db = open_db(1 << 20);
    uint64_t first, second, third;
    char text[32];

    (void)state;
    flo_log_level_set(FLO_LOG_ERROR);
    flo_outbox_windows_add(db, "{\"seq\":1}");
    assert_null(flo_outbox_db_failure(db));
    let_disk_fail(true);
    flo_outbox_windows_add(db, "{\"seq\":2}");
    assert_non_null(flo_outbox_db_failure(db));
    flo_outbox_windows_add(db, "{\"seq\":3}");
    expect_window(db, "{\"seq\":1}", &first);
    expect_window(db, "{\"seq\":2}", &second);
    expect_window(db, "{\"seq\":3}", &third);
    expect_window(db, NULL, &first);
    flo_outbox_windows_done(db, second, true);
    flo_outbox_windows_done(db, third, false); /* it goes again */
    expect_window(db, "{\"seq\":3}", &third);
    flo_outbox_windows_again(db);
    expect_window(db, "{\"seq\":1}", &first);
    expect_window(db, "{\"seq\":3}", &third);
    assert_int_equal(flo_outbox_windows_lost(db), 0);

    for (int i = 0; i < 100; i++) { /* the oldest goes first */
        snprintf(text, sizeof(text), "{\"seq\":%d}", 10 + i);
        flo_outbox_windows_add(db, text);
    }
    assert_int_equal(flo_outbox_windows_lost(db), 100 + 1 - MEMORY_WINDOWS_MAX);
    expect_window(db, "{\"seq\":78}", &first);
    let_disk_fail(false);
    flo_outbox_windows_add(db, "{\"seq\":200}");
    assert_null(flo_outbox_db_failure(db));
    expect_window(db, "{\"seq\":200}", &first);
    flo_log_level_set(FLO_LOG_INFO);
    flo_outbox_db_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(forged_orders_do_not_fill_the_disk),
        TEST(an_error_is_told_once_a_minute_with_the_count_of_the_rest),
        TEST(acknowledged_notes_make_room_for_others),
        TEST(engines_that_end_again_and_again_do_not_fill_the_disk),
        TEST(many_events_at_once_are_all_stored),
        TEST(without_a_disk_an_executions_event_outlives_notes),
        TEST(events_stories_and_telemetry_survive_kill_9),
        TEST(an_end_closes_the_story_in_the_same_write),
        TEST(a_story_that_no_device_wrote_is_none),
        TEST(what_is_acknowledged_is_gone_and_numbers_go_on),
        TEST(it_says_how_much_of_what_it_told_is_acknowledged),
        TEST(all_that_is_sent_bears_the_present_boot),
        TEST(a_number_sent_without_a_disk_is_not_used_again),
        TEST(an_end_that_a_full_disk_kept_out_counts),
        TEST(a_full_disk_is_tried_ever_more_seldom),
        TEST(the_ack_of_another_boot_ends_nothing),
        TEST(an_ack_above_all_events_begins_a_new_boot),
        TEST(a_disk_that_recovers_keeps_the_numbers_sent_without_it),
        TEST(the_oldest_telemetry_goes_first_and_is_counted),
        TEST(the_newest_windows_are_sent_from_memory_without_a_disk),
        TEST(a_file_of_noise_is_set_aside_and_counted),
        TEST(a_sound_file_outlives_a_start_on_a_failing_disk),
        TEST(the_file_of_a_newer_agent_gives_way_and_that_is_told),
        TEST(a_device_enrolled_again_has_no_past),
        TEST(a_past_of_nobody_is_taken_over),
        TEST(a_past_of_nobody_ends_with_the_enrolment_that_wrote_it),
        TEST(any_cut_or_flipped_byte_neither_crashes_nor_alters),
    };

    return cmocka_run_group_tests_name("db", tests, NULL, NULL);
}
