/* Outbox and history of the device in one SQLite file: <state>/outbox.db.
 *
 * Events are synced before they are sent (synchronous FULL) and stay until the
 * controller has acknowledged their sequence; an event and what it says about
 * its execution are one transaction, so an execution ends exactly once.  A sync
 * stops the loop, and with it the tokens of all clients: what is not urgent
 * waits a moment in memory and shares one (flo_mailbox_flush).
 * Telemetry is written with NORMAL, capped, and the oldest goes first.  Each
 * row carries the CRC-32C of its text: a damaged row is reported as such and
 * never sent altered.  No file at all is no obstacle: a damaged one is set
 * aside, and while it cannot be opened or has no room events are sent from
 * memory.  Their numbers may be given a second time after the next start, so
 * they bear a boot of their own; it becomes the file's with the first of them
 * that is stored. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/shell/mailbox_inside.h"

#define NO_OUTBOX "there is no outbox"
#define SEQUENCE_MAX (INT64_MAX / 4)
#define EVENTS_WAITING_MAX (1 << 20) /* more than a disk is given for */

static const char *const schema[] = {
    "CREATE TABLE value (key TEXT PRIMARY KEY, text TEXT NOT NULL);"
    "CREATE TABLE event (seq INTEGER PRIMARY KEY, crc INTEGER NOT NULL,"
    " body TEXT NOT NULL);"
    "CREATE TABLE tele (id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " crc INTEGER NOT NULL, body TEXT NOT NULL);"
    "CREATE TABLE story (id TEXT PRIMARY KEY, rollout TEXT NOT NULL,"
    " attempt INTEGER NOT NULL, ended INTEGER NOT NULL, state TEXT NOT NULL,"
    " body TEXT NOT NULL);"
    "CREATE INDEX story_rollout ON story(rollout);"
    "CREATE TABLE answer (ord TEXT PRIMARY KEY, body TEXT NOT NULL);"
    "CREATE TABLE trace (id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " body TEXT NOT NULL);",
    "CREATE TABLE used (number TEXT PRIMARY KEY, ord TEXT NOT NULL,"
    " done INTEGER NOT NULL);"
    "CREATE INDEX used_order ON used(ord);",
    /* The records know it now, with what is paused and denied. */
    "DROP TABLE used;"
    "DELETE FROM value WHERE key = 'paused' OR key LIKE 'ordered-denial:%';"};

/* ---- small tools ------------------------------------------------------------
 */

void flo_mailbox_complain(const struct flo_err *err)
{
    flo_log_err(FLO_LOG_WARN, "outbox", err);
}

/* One statement with up to three texts or numbers ("t", "i"). */
int flo_mailbox_run(struct flo_mailbox *mailbox, const char *sql,
                    const char *kinds, const char *text_1, int64_t number,
                    const char *text_2, struct flo_err *err)
{
    struct flo_db_statement *statement;
    int rv;
    int i;

    if (mailbox->db == NULL) {
        return flo_fail(err, FLO_E_DB, NO_OUTBOX);
    }
    rv = flo_db_prepare(mailbox->db, sql, &statement, err);
    if (rv < 0) {
        return rv;
    }
    for (i = 0; kinds[i] != '\0'; i++) {
        if (kinds[i] == 'n') {
            flo_db_bind_i64(statement, i + 1, number);
        } else {
            flo_db_bind_text(statement, i + 1,
                             kinds[i] == 'a' ? text_1 : text_2);
        }
    }
    return flo_db_run(statement, err);
}

int64_t flo_mailbox_number(struct flo_mailbox *mailbox, const char *sql)
{
    struct flo_db_statement *statement;
    int64_t value = 0;
    bool has_row = false;

    if (mailbox->db != NULL &&
        flo_db_prepare(mailbox->db, sql, &statement, NULL) == 0 &&
        flo_db_step(statement, &has_row, NULL) == 0 && has_row) {
        value = flo_db_column_i64(statement, 0);
        flo_db_reset(statement);
    }
    return value;
}

static int value_store(struct flo_mailbox *mailbox, const char *key,
                       const char *value, struct flo_err *err)
{
    return flo_mailbox_run(
        mailbox,
        "INSERT INTO value (key, text) VALUES (?, ?) ON CONFLICT (key) "
        "DO UPDATE SET text = excluded.text",
        "ab", key, 0, value, err);
}

static int begin(struct flo_mailbox *mailbox, struct flo_err *err)
{
    return mailbox->db == NULL ? flo_fail(err, FLO_E_DB, NO_OUTBOX)
                               : flo_db_begin(mailbox->db, err);
}

/* The end of what began: all of it, or nothing when `rv` says so. */
static int commit(struct flo_mailbox *mailbox, int rv, struct flo_err *err)
{
    if (rv == 0) {
        return flo_db_commit(mailbox->db, err);
    }
    flo_db_roll_back(mailbox->db);
    return rv;
}

/* Without syncs (NORMAL) or with (FULL). */
int flo_mailbox_relax(struct flo_mailbox *mailbox, bool is_relaxed)
{
    struct flo_err err = {0};
    int rv = mailbox->db == NULL
                 ? flo_fail(&err, FLO_E_DB, NO_OUTBOX)
                 : flo_db_exec(mailbox->db,
                               is_relaxed ? "PRAGMA synchronous=NORMAL"
                                          : "PRAGMA synchronous=FULL",
                               &err);

    if (rv < 0) {
        flo_mailbox_complain(&err);
    }
    return rv;
}

int64_t flo_mailbox_crc(const char *text)
{
    return (int64_t)flo_crc32c(0, text, strlen(text));
}

/* ---- open
 * ------------------------------------------------------------------------ */

static int open_db(struct flo_mailbox *mailbox, const char *path,
                   struct flo_err *err)
{
    int rv = flo_db_open(path, FLO_DB_SYNC_FULL, 2000, &mailbox->db, err);

    if (rv == 0) {
        rv = flo_db_check(mailbox->db, err);
    }
    if (rv == 0) {
        rv = flo_db_migrate(mailbox->db, schema, FLO_COUNT(schema), err);
    }
    if (rv == 0) {
        rv = flo_db_exec(mailbox->db,
                         "PRAGMA cache_size=-256;"
                         "PRAGMA wal_autocheckpoint=32;"
                         "PRAGMA journal_size_limit=131072;",
                         err);
    }
    if (rv < 0) {
        flo_db_close(mailbox->db);
        mailbox->db = NULL;
    }
    return rv;
}

/* Numbers that no outbox counts to are damage that no checksum tells: the
 * events are not to be found by them. */
static bool read_numbers(struct flo_mailbox *mailbox)
{
    FLO_CLEANUP(flo_free_cleanup)
    char *text = flo_mailbox_get(mailbox, "acked");
    int64_t first = flo_mailbox_number(mailbox, "SELECT min(seq) FROM event");
    int64_t last = flo_mailbox_number(mailbox, "SELECT max(seq) FROM event");
    int64_t acked = text == NULL ? 0 : strtoll(text, NULL, 10);

    if (first < 0 || acked < 0 || acked > SEQUENCE_MAX ||
        last > acked + EVENTS_WAITING_MAX) {
        return false;
    }
    mailbox->outbox.acked = (uint64_t)acked;
    mailbox->outbox.last = (uint64_t)(last < acked ? acked : last);
    return true;
}

static void forget_numbers(struct flo_mailbox *mailbox)
{
    struct flo_err err = {0};

    mailbox->corrupt++;
    mailbox->outbox.acked = 0;
    mailbox->outbox.last = 0;
    if (flo_db_exec(mailbox->db,
                    "DELETE FROM event;"
                    "DELETE FROM value WHERE key IN ('boot', 'acked');",
                    &err) < 0) {
        flo_mailbox_complain(&err);
    }
}

static void read_start(struct flo_mailbox *mailbox)
{
    FLO_CLEANUP(flo_free_cleanup) char *boot = NULL;

    if (!read_numbers(mailbox)) {
        forget_numbers(mailbox);
    }
    boot = flo_mailbox_get(mailbox, "boot");
    mailbox->is_boot_stored = boot != NULL && flo_uuid_is_valid(boot);
    if (mailbox->is_boot_stored) {
        snprintf(mailbox->boot, sizeof(mailbox->boot), "%s", boot);
    } else {
        flo_uuid_make(mailbox->boot);
    }
    mailbox->outbox.sent = mailbox->outbox.acked;
    mailbox->sequence = mailbox->outbox.last;
    mailbox->rows =
        (uint64_t)flo_mailbox_number(mailbox, "SELECT count(*) FROM tele");
    mailbox->is_counted = false;
}

int flo_mailbox_open(const char *state_dir, uint64_t bytes_max,
                     struct flo_mailbox **out, struct flo_err *err)
{
    struct flo_mailbox *mailbox = calloc(1, sizeof(*mailbox));
    struct flo_err why = {0};
    struct flo_err again = {0};
    char path[4200];
    bool is_newer;

    if (mailbox == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "outbox");
    }
    if (!flo_path_join(path, sizeof(path), state_dir, FILE_NAME)) {
        free(mailbox);
        return flo_fail(err, FLO_E_CFG_RANGE, "state_dir is too long");
    }
    mailbox->rows_max = bytes_max / TELEMETRY_ROW_BYTES;
    if (open_db(mailbox, path, &why) < 0) {
        flo_mailbox_complain(&why);
    }
    /* Any other reason passes and the file is sound: it is left, and serving
     * comes first. */
    is_newer = why.code == FLO_E_STATE;
    if (is_newer || why.code == FLO_E_DB_DAMAGED) {
        mailbox->corrupt += !is_newer;
        if (flo_db_set_aside(path, is_newer ? "newer" : "damaged", &again) <
                0 ||
            open_db(mailbox, path, &again) < 0) {
            flo_mailbox_complain(&again);
        }
    }
    read_start(mailbox);
    if (is_newer) {
        flo_mailbox_note(mailbox, "note", &why, flo_now_ms());
    }
    *out = mailbox;
    return 0;
}

void flo_mailbox_close(struct flo_mailbox *mailbox)
{
    size_t i;

    if (mailbox == NULL) {
        return;
    }
    flo_mailbox_flush(mailbox);
    for (i = 0; i < mailbox->memory_count; i++) {
        free(mailbox->memory[i].text);
    }
    flo_db_close(mailbox->db);
    free(mailbox);
}

/* ---- whose it is ---- */

static int begin_anew(struct flo_mailbox *mailbox, const char *device,
                      struct flo_err *err)
{
    int rv = begin(mailbox, err);

    if (rv < 0) {
        return rv;
    }
    rv = flo_db_exec(mailbox->db,
                     "DELETE FROM event; DELETE FROM tele; DELETE FROM story;"
                     "DELETE FROM answer;"
                     "DELETE FROM value WHERE key IN"
                     " ('boot', 'acked', 'groups');",
                     err);
    if (rv == 0) {
        rv = value_store(mailbox, "device", device, err);
    }
    rv = commit(mailbox, rv, err);
    if (rv == 0) {
        read_start(mailbox);
    }
    return rv;
}

void flo_mailbox_enrolled(struct flo_mailbox *mailbox, const char *device)
{
    FLO_CLEANUP(flo_free_cleanup)
    char *before = flo_mailbox_get(mailbox, "device");
    struct flo_err err = {0};

    if (mailbox->db == NULL ||
        (before != NULL && strcmp(before, device) == 0)) {
        return;
    }
    if (before == NULL) { /* an older version's, or new */
        flo_mailbox_set(mailbox, "device", device);
    } else if (begin_anew(mailbox, device, &err) < 0) {
        flo_mailbox_complain(&err);
    }
}

const char *flo_mailbox_boot(const struct flo_mailbox *mailbox)
{
    return mailbox->boot;
}

struct flo_outbox *flo_mailbox_outbox(struct flo_mailbox *mailbox)
{
    return &mailbox->outbox;
}

uint64_t flo_mailbox_corrupt(const struct flo_mailbox *mailbox)
{
    return mailbox->corrupt;
}

/* ---- small values
 * -------------------------------------------------------------------- */

void flo_mailbox_set(struct flo_mailbox *mailbox, const char *key,
                     const char *value)
{
    struct flo_err err = {0};

    if (value_store(mailbox, key, value, &err) < 0) {
        flo_mailbox_complain(&err);
    }
}

char *flo_mailbox_text(struct flo_mailbox *mailbox, const char *sql,
                       const char *key)
{
    struct flo_db_statement *statement;
    bool has_row = false;
    char *text = NULL;

    if (mailbox->db == NULL ||
        flo_db_prepare(mailbox->db, sql, &statement, NULL) < 0) {
        return NULL;
    }
    flo_db_bind_text(statement, 1, key);
    if (flo_db_step(statement, &has_row, NULL) == 0 && has_row) {
        text = strdup(flo_db_column_text(statement, 0));
        flo_db_reset(statement);
    }
    return text;
}

char *flo_mailbox_get(struct flo_mailbox *mailbox, const char *key)
{
    return flo_mailbox_text(mailbox, "SELECT text FROM value WHERE key = ?",
                            key);
}

/* ---- events
 * --------------------------------------------------------------------------------
 */

static int event_store(struct flo_mailbox *mailbox,
                       const struct memory_event *event, struct flo_err *err)
{
    struct flo_db_statement *statement;
    int rv = flo_db_prepare(
        mailbox->db, "INSERT INTO event (seq, crc, body) VALUES (?, ?, ?)",
        &statement, err);

    if (rv == 0) {
        flo_db_bind_i64(statement, 1, (int64_t)event->sequence);
        flo_db_bind_i64(statement, 2, flo_mailbox_crc(event->text));
        flo_db_bind_text(statement, 3, event->text);
        rv = flo_db_run(statement, err);
    }
    if (rv == 0 && event->has_execution) {
        rv = flo_mailbox_story_store(mailbox, &event->execution, err);
    }
    return rv;
}

static int store_all(struct flo_mailbox *mailbox, struct flo_err *err)
{
    size_t i;
    int rv = begin(mailbox, err);

    if (rv < 0) {
        return rv;
    }
    if (!mailbox->is_boot_stored) {
        rv = value_store(mailbox, "boot", mailbox->boot, err);
    }
    for (i = 0; rv == 0 && i < mailbox->memory_count; i++) {
        rv = event_store(mailbox, &mailbox->memory[i], err);
    }
    rv = commit(mailbox, rv, err);
    mailbox->is_boot_stored = mailbox->is_boot_stored || rv == 0;
    return rv;
}

/* What waits was never sent, and will be although it is not stored: after a
 * start its numbers are free again under the boot of the file. */
static void leave_boot(struct flo_mailbox *mailbox)
{
    char old[64];
    size_t i;

    snprintf(old, sizeof(old), "\"boot\":\"%s\"", mailbox->boot);
    flo_uuid_make(mailbox->boot);
    mailbox->is_boot_stored = false;
    for (i = 0; i < mailbox->memory_count; i++) {
        /* No text inside can look so: its quotes are escaped. */
        char *member = strstr(mailbox->memory[i].text, old);
        if (member != NULL) {
            memcpy(member + strlen("\"boot\":\""), mailbox->boot,
                   strlen(mailbox->boot));
        }
    }
}

/* The oldest goes; of an execution only where there is nothing else. */
static void forget_one(struct flo_mailbox *mailbox)
{
    size_t i = 0;

    while (i < mailbox->memory_count && mailbox->memory[i].has_execution) {
        i++;
    }
    i = i < mailbox->memory_count ? i : 0;
    free(mailbox->memory[i].text);
    mailbox->memory_count--;
    memmove(&mailbox->memory[i], &mailbox->memory[i + 1],
            (mailbox->memory_count - i) * sizeof(mailbox->memory[0]));
    mailbox->is_counted = false;
    mailbox->corrupt++;
}

static struct memory_event *remember(struct flo_mailbox *mailbox)
{
    struct memory_event *event;

    if (mailbox->memory_count == MEMORY_EVENTS_MAX) {
        forget_one(mailbox);
    }
    event = &mailbox->memory[mailbox->memory_count++];
    memset(event, 0, sizeof(*event));
    return event;
}

bool flo_mailbox_is_waiting(const struct flo_mailbox *mailbox)
{
    return mailbox->memory_count > 0;
}

void flo_mailbox_flush(struct flo_mailbox *mailbox)
{
    struct flo_err err = {0};
    uint64_t last;
    size_t i;
    int rv;

    if (mailbox->memory_count == 0) {
        return;
    }
    last = mailbox->memory[mailbox->memory_count - 1].sequence;
    rv = store_all(mailbox, &err);
    if (rv < 0 && mailbox->rows > 0) {
        /* No room: telemetry gives way to what happened. */
        flo_mailbox_telemetry_drop(mailbox, mailbox->rows / 2 + 1);
        rv = store_all(mailbox, &err);
    }
    flo_outbox_stored(&mailbox->outbox, last);
    if (rv < 0) {
        if (mailbox->is_boot_stored) {
            leave_boot(mailbox);
        }
        flo_mailbox_complain(
            &err); /* they are sent from memory, and tried again */
        return;
    }
    for (i = 0; i < mailbox->memory_count; i++) {
        free(mailbox->memory[i].text);
    }
    mailbox->memory_count = 0;
}

/* What must be on the disk before the next action: an end, and the start of a
 * probe, which may be the last thing that this machine does. */
static bool is_urgent(const struct flo_agent_execution *execution)
{
    return execution != NULL && (flo_execution_is_end(execution->state) ||
                                 execution->state == FLO_EXECUTION_PROBING);
}

void flo_mailbox_event(struct flo_mailbox *mailbox, json_t *json,
                       const struct flo_agent_execution *execution)
{
    struct flo_buf text = {0};
    struct memory_event *event;
    uint64_t sequence;

    if (json == NULL) {
        return;
    }
    if (mailbox->memory_count == MEMORY_EVENTS_MAX) {
        flo_mailbox_flush(mailbox); /* may begin another boot */
    }
    sequence = ++mailbox->sequence;
    json_object_set_new(json, "v", json_integer(1));
    json_object_set_new(json, "boot", json_string(mailbox->boot));
    json_object_set_new(json, "seq", json_integer((json_int_t)sequence));
    json_object_set_new(json, "at_ms", json_integer((json_int_t)flo_wall_ms()));
    flo_json_dump(json, &text);
    json_decref(json);
    if (text.failed) {
        flo_buf_deinit(&text);
        return;
    }
    event = remember(mailbox);
    event->sequence = sequence;
    event->text = text.data;
    flo_mailbox_waits(mailbox, event->text);
    if (execution != NULL) {
        event->has_execution = true;
        event->execution = *execution;
    }
    if (is_urgent(execution)) {
        flo_mailbox_flush(mailbox);
    }
}

static char *damaged_event(struct flo_mailbox *mailbox, uint64_t sequence)
{
    struct flo_buf text = {0};

    mailbox->corrupt++;
    flo_buf_printf(&text,
                   "{\"v\":1,\"boot\":\"%s\",\"seq\":%llu,\"at_ms\":%llu,"
                   "\"type\":\"note\",\"error\":{\"id\":\"%s\",\"what\":"
                   "\"event %llu was damaged or lost on the device\"}}",
                   mailbox->boot, (unsigned long long)sequence,
                   (unsigned long long)flo_wall_ms(),
                   flo_error_id(FLO_E_OUTBOX_CORRUPT),
                   (unsigned long long)sequence);
    return text.data;
}

char *flo_mailbox_event_text(struct flo_mailbox *mailbox, uint64_t sequence)
{
    struct flo_db_statement *statement;
    bool has_row = false;
    char *text = NULL;
    size_t i;

    for (i = 0; i < mailbox->memory_count; i++) {
        if (mailbox->memory[i].sequence == sequence) {
            return strdup(mailbox->memory[i].text);
        }
    }
    if (mailbox->db != NULL &&
        flo_db_prepare(mailbox->db, "SELECT crc, body FROM event WHERE seq = ?",
                       &statement, NULL) == 0) {
        flo_db_bind_i64(statement, 1, (int64_t)sequence);
        if (flo_db_step(statement, &has_row, NULL) == 0 && has_row) {
            const char *body = flo_db_column_text(statement, 1);
            if (flo_mailbox_crc(body) == flo_db_column_i64(statement, 0)) {
                text = strdup(body);
            }
            flo_db_reset(statement);
        }
    }
    return text != NULL ? text : damaged_event(mailbox, sequence);
}

/* In one transaction: a number that is gone from both is given again. */
static int acked_store(struct flo_mailbox *mailbox, uint64_t sequence,
                       struct flo_err *err)
{
    char number[24];
    int rv = begin(mailbox, err);

    if (rv < 0) {
        return rv;
    }
    snprintf(number, sizeof(number), "%llu", (unsigned long long)sequence);
    rv = value_store(mailbox, "acked", number, err);
    if (rv == 0) {
        rv = flo_mailbox_run(mailbox, "DELETE FROM event WHERE seq <= ?", "n",
                             NULL, (int64_t)sequence, NULL, err);
    }
    return commit(mailbox, rv, err);
}

void flo_mailbox_acked(struct flo_mailbox *mailbox, const char *boot,
                       uint64_t sequence)
{
    struct flo_err err = {0};
    bool is_foreign = boot[0] != '\0' && strcmp(boot, mailbox->boot) != 0;
    size_t i = 0;

    if (is_foreign || !flo_outbox_acked(&mailbox->outbox, sequence)) {
        return;
    }
    if (acked_store(mailbox, sequence, &err) < 0) {
        flo_mailbox_complain(&err);
    }
    mailbox->is_counted = false;
    while (i < mailbox->memory_count) {
        if (mailbox->memory[i].sequence <= sequence) {
            free(mailbox->memory[i].text);
            mailbox->memory_count--;
            memmove(&mailbox->memory[i], &mailbox->memory[i + 1],
                    (mailbox->memory_count - i) * sizeof(mailbox->memory[0]));
        } else {
            i++;
        }
    }
}
