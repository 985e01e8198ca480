/* Outbox database: keeps the device's outbox and history in one SQLite file,
 * <state>/outbox.db.
 *
 * Events are synced before they are sent (synchronous FULL) and stay until the
 * controller has acknowledged their number.  An event and the state of its
 * execution are one transaction, so an execution ends exactly once.  A sync
 * blocks the loop, so an event that is not urgent waits shortly in memory and
 * shares a sync (flo_events_flush).
 *
 * Telemetry is written with NORMAL.  Its size is limited, and the oldest is
 * dropped first.  Each row carries the CRC-32C of its text: a damaged row is
 * reported as such and never sent altered.
 *
 * A damaged file is set aside and replaced by a new one.  If another process
 * deletes or replaces the open file, it is written again from the open
 * database, and the other file is set aside.  While the file cannot be opened
 * or has no room, events and the newest windows are sent from memory.
 *
 * The numbers of such events may be given again after a restart, so they get
 * their own boot id.  It is stored with the first of them.  A file that could
 * not be opened is tried again (flo_outbox_db_again).  Its boot id and numbers
 * then continue, and events in memory get the next numbers. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <flotilla/errors/db.h>
#include <flotilla/plural.h>

#include "agent/shell/outbox/outbox_state.h"

#define SEQUENCE_MAX (INT64_MAX / 4)
/* limit of a valid number of unacknowledged events, more than any outbox has
 * room for */
#define EVENTS_WAITING_MAX (1 << 20)

/* ---- open ---- */

/* Reads the stored numbers.  Returns false when they are impossible, which is
 * damage that no checksum shows.  Events could not be found by such numbers. */
static bool read_numbers(struct flo_outbox_db *db)
{
    int64_t first = flo_outbox_db_number(db, "SELECT min(seq) FROM event");
    int64_t last = flo_outbox_db_number(db, "SELECT max(seq) FROM event");
    int64_t acked = flo_values_number(db, "acked");

    if (first < 0 || acked < 0 || acked > SEQUENCE_MAX || last > acked + EVENTS_WAITING_MAX) {
        return false;
    }
    db->outbox.acked = (uint64_t)acked;
    db->outbox.last = (uint64_t)(last < acked ? acked : last);
    return true;
}

static void forget_numbers(struct flo_outbox_db *db)
{
    struct flo_err err = {0};

    db->corrupt++;
    db->outbox.acked = 0;
    db->outbox.last = 0;
    if (flo_db_exec(db->sqlite,
                    "DELETE FROM event;"
                    "DELETE FROM value WHERE key IN ('boot', 'acked');",
                    &err) < 0) {
        flo_outbox_db_complain(&err);
    }
}

static void read_start(struct flo_outbox_db *db)
{
    FLO_CLEANUP(flo_free_cleanup) char *boot = NULL;

    if (!read_numbers(db)) {
        forget_numbers(db);
    }
    boot = flo_values_get(db, "boot");
    db->is_boot_stored = boot != NULL && flo_uuid_is_valid(boot);
    if (db->is_boot_stored) {
        snprintf(db->boot, sizeof(db->boot), "%s", boot);
    } else {
        flo_uuid_make(db->boot);
    }
    db->outbox.sent = db->outbox.acked;
    db->sequence = db->outbox.last;
    db->rows = (uint64_t)flo_outbox_db_number(db, "SELECT count(*) FROM tele");
    db->is_counted = false;
}

/* Opens the file.  Returns true when the file of a newer agent was set aside;
 * *why says so.  db->sqlite shows whether a file is open now, and db->failed
 * why not. */
static bool open_file(struct flo_outbox_db *db, struct flo_err *why)
{
    struct flo_err again = {0};

    if (flo_outbox_file_open(db, why) < 0) {
        flo_outbox_db_complain(why);
        db->failed = *why;
    }
    /* A file of a newer agent and a damaged file are set aside.  After any
     * other error the file stays, and the agent serves without it. */
    bool is_newer = why->code == FLO_E_DB_NEWER;
    if (is_newer || why->code == FLO_E_DB_DAMAGED) {
        db->corrupt += !is_newer;
        if (flo_db_set_aside(db->path, is_newer ? "newer" : "damaged", &again) < 0 ||
            flo_outbox_file_open(db, &again) < 0) {
            flo_outbox_db_complain(&again);
            db->failed = again;
        }
    }
    if (db->sqlite != NULL) {
        db->failed = (struct flo_err){0};
    }
    return is_newer;
}

int flo_outbox_db_open(const char *state_dir, uint64_t bytes_max, struct flo_outbox_db **out,
                       struct flo_err *err)
{
    struct flo_outbox_db *db = calloc(1, sizeof(*db));
    struct flo_err why = {0};
    bool is_newer;

    if (db == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "outbox");
    }
    if (!flo_path_join(db->path, sizeof(db->path), state_dir, FILE_NAME)) {
        free(db);
        return flo_fail(err, FLO_E_CFG_RANGE, "state_dir is too long");
    }
    snprintf(db->dir, sizeof(db->dir), "%s", state_dir);
    db->rows_max = bytes_max / TELEMETRY_ROW_BYTES;
    is_newer = open_file(db, &why);
    read_start(db);
    if (is_newer) {
        flo_notes_add(db, "note", &why, flo_now_ms());
    }
    *out = db;
    return 0;
}

void flo_outbox_db_close(struct flo_outbox_db *db)
{
    size_t i;

    if (db == NULL) {
        return;
    }
    flo_events_flush(db);
    for (i = 0; i < db->memory_count; i++) {
        json_decref(db->memory[i].json);
    }
    flo_outbox_windows_free(db);
    flo_db_close(db->sqlite);
    free(db);
}

/* ---- whose it is ---- */

static int forget_past(struct flo_outbox_db *db, const char *device, struct flo_err *err)
{
    FLO_TRY(flo_outbox_db_begin(db, err));
    int rv = flo_db_exec(db->sqlite,
                         "DELETE FROM event; DELETE FROM tele; DELETE FROM story;"
                         "DELETE FROM answer;"
                         "DELETE FROM value WHERE key IN"
                         " ('boot', 'acked', 'audit', 'audit_before', 'newest');",
                         err);
    if (rv == 0) {
        rv = flo_values_store(db, "device", device, err);
    }
    rv = flo_outbox_db_commit(db, rv, err);
    if (rv == 0) {
        db->story_count = 0;
        read_start(db);
    }
    return rv;
}

void flo_outbox_db_enrolled(struct flo_outbox_db *db, const char *device, bool is_moved)
{
    FLO_CLEANUP(flo_free_cleanup)
    char *before = flo_values_get(db, "device");
    struct flo_err err = {0};

    if (db->sqlite == NULL || (before != NULL && strcmp(before, device) == 0)) {
        return;
    }
    if (before == NULL && !is_moved) { /* the file is new, or an older agent wrote it */
        flo_values_set(db, "device", device);
    } else if (forget_past(db, device, &err) < 0) {
        flo_outbox_db_complain(&err);
    }
}

/* Gives new numbers to the events in memory.  None of them has been sent, so no
 * acknowledgement for an old number can come. */
static void number_again(struct flo_outbox_db *db)
{
    for (size_t i = 0; i < db->memory_count; i++) {
        struct memory_event *event = &db->memory[i];
        event->sequence = ++db->sequence;
        json_object_set_new(event->json, "boot", json_string(db->boot));
        json_object_set_new(event->json, "seq", json_integer((json_int_t)event->sequence));
    }
}

/* Opens a file again that was opened on a read-only file system and can be
 * written now: SQLite's handle would stay read-only.  Numbers go on as after any
 * other write that failed. */
static void open_to_write(struct flo_outbox_db *db)
{
    struct flo_err err = {0};

    if (db->sqlite == NULL || !flo_db_is_read_only(db->sqlite) || access(db->path, W_OK) < 0) {
        return;
    }
    flo_db_close(db->sqlite);
    db->sqlite = NULL;
    if (flo_outbox_file_open(db, &err) < 0) {
        flo_outbox_db_complain(&err);
        db->failed = err;
        return;
    }
    flo_log(FLO_LOG_INFO, "outbox", "opened again: its file system can be written");
    flo_events_flush(db);
}

void flo_outbox_db_again(struct flo_outbox_db *db, const char *device, bool is_moved)
{
    struct flo_err why = {0};

    open_to_write(db);
    if (db->sqlite != NULL || db->outbox.sent != db->outbox.acked) {
        return;
    }
    bool is_newer = open_file(db, &why);
    if (db->sqlite == NULL) {
        return;
    }
    read_start(db);
    if (device[0] != '\0') {
        flo_outbox_db_enrolled(db, device, is_moved);
    }
    flo_log(FLO_LOG_INFO, "outbox", "opened: %zu event%s of memory go on at %llu", db->memory_count,
            flo_s(db->memory_count), (unsigned long long)db->sequence + 1);
    number_again(db);
    if (is_newer) {
        flo_notes_add(db, "note", &why, flo_now_ms());
    }
    flo_events_flush(db);
}

const struct flo_err *flo_outbox_db_failure(const struct flo_outbox_db *db)
{
    return db == NULL || db->failed.code == 0 ? NULL : &db->failed;
}

uint64_t flo_outbox_db_corrupt(const struct flo_outbox_db *db)
{
    return db->corrupt;
}
