/* Events: stores events until the controller has acknowledged them.
 *
 * A sync blocks the loop.  An event that is not urgent therefore waits in
 * memory for a short time and shares a sync with others (flo_events_flush).
 * Without a database file, events are sent from memory. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/outbox.h>

#include "agent/shell/outbox/outbox_state.h"

#define UUID_CHARS 36
#define FLUSH_MS 50
#define FLUSH_MS_MAX 30000

struct flo_outbox *flo_events_outbox(struct flo_outbox_db *db)
{
    return &db->outbox;
}

void flo_events_wait(struct flo_outbox_db *db, uint64_t until_ms)
{
    flo_outbox_wait(&db->outbox, until_ms);
}

static int event_store(struct flo_outbox_db *db, const struct memory_event *event,
                       struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};

    flo_json_dump(event->json, &text);
    return text.failed
               ? flo_fail(err, FLO_E_MEMORY, "event")
               : flo_db_run(db->sqlite,
                            "INSERT INTO event (seq, crc, body, kind) "
                            "VALUES (?, ?, ?, ?)",
                            FLO_DB_VALUES(flo_db_number((int64_t)event->sequence),
                                          flo_db_number(flo_outbox_db_crc(text.data)),
                                          flo_db_text(text.data), flo_db_number(event->kind)),
                            err);
}

static int store_all(struct flo_outbox_db *db, struct flo_err *err)
{
    size_t i;
    int rv = flo_outbox_db_begin(db, err);

    FLO_TRY(rv);
    if (!db->is_boot_stored) {
        rv = flo_values_store(db, "boot", db->boot, err);
    }
    for (i = 0; rv == 0 && i < db->memory_count; i++) {
        rv = event_store(db, &db->memory[i], err);
    }
    if (rv == 0) {
        rv = flo_stories_keep(db, err);
    }
    rv = flo_outbox_db_commit(db, rv, err);
    if (rv == 0) {
        db->is_boot_stored = true;
        db->story_count = 0;
    }
    return rv;
}

/* Gives the outbox a new boot id, which the next write stores.  It is needed
 * when the events in memory cannot be stored: after a restart, other events of
 * the file's boot id would get their numbers. */
static void leave_boot(struct flo_outbox_db *db)
{
    flo_uuid_make(db->boot);
    db->is_boot_stored = false;
    for (size_t i = 0; i < db->memory_count; i++) {
        json_object_set_new(db->memory[i].json, "boot", json_string(db->boot));
    }
}

/* Drops the oldest event in memory.  An event of an execution is dropped only
 * if memory has no event of another kind. */
static void forget_one(struct flo_outbox_db *db)
{
    size_t i = 0;

    while (i < db->memory_count && db->memory[i].has_execution) {
        i++;
    }
    i = i < db->memory_count ? i : 0;
    json_decref(db->memory[i].json);
    db->memory_count--;
    memmove(&db->memory[i], &db->memory[i + 1], (db->memory_count - i) * sizeof(db->memory[0]));
    db->is_counted = false;
    db->corrupt++;
}

static struct memory_event *remember(struct flo_outbox_db *db)
{
    struct memory_event *event;

    if (db->memory_count == MEMORY_EVENTS_MAX) {
        forget_one(db);
    }
    event = &db->memory[db->memory_count++];
    memset(event, 0, sizeof(*event));
    return event;
}

uint64_t flo_events_flush_ms(const struct flo_outbox_db *db)
{
    return db->memory_count == 0
               ? 0
               : flo_backoff_ms(FLUSH_MS, (uint64_t)db->flush_failures + 1, FLUSH_MS_MAX);
}

void flo_events_flush(struct flo_outbox_db *db)
{
    struct flo_err err = {0};
    uint64_t last;
    size_t i;
    int rv;

    if (db->memory_count == 0) {
        return;
    }
    last = db->memory[db->memory_count - 1].sequence;
    rv = store_all(db, &err);
    if (rv < 0 && db->rows > 0) {
        /* If the disk is full, telemetry is dropped to make room for events. */
        flo_outbox_windows_drop(db, db->rows / 2 + 1);
        rv = store_all(db, &err);
    }
    flo_outbox_stored(&db->outbox, last);
    if (rv < 0) {
        db->flush_failures++;
        if (db->is_boot_stored) {
            leave_boot(db);
        }
        flo_outbox_db_complain(&err);
        return;
    }
    for (i = 0; i < db->memory_count; i++) {
        json_decref(db->memory[i].json);
    }
    db->memory_count = 0;
    db->flush_failures = 0;
}

/* Tells whether the event must be on the disk before the next action.  This
 * holds for the end of an execution, and for the start of a probe, because a
 * probe may crash the machine. */
static bool is_urgent(const struct flo_agent_execution *execution)
{
    return execution != NULL &&
           (flo_execution_is_end(execution->state) || execution->state == FLO_EXECUTION_PROBING);
}

void flo_events_add(struct flo_outbox_db *db, enum flo_event_kind kind, json_t *json,
                    const struct flo_agent_execution *execution)
{
    struct memory_event *event;
    uint64_t sequence;

    if (json == NULL) {
        return;
    }
    if (db->memory_count == MEMORY_EVENTS_MAX) {
        flo_events_flush(db); /* flo_events_flush() may change the boot id, so it is called first */
    }
    sequence = ++db->sequence;
    json_object_set_new(json, "v", json_integer(1));
    json_object_set_new(json, "boot", json_string(db->boot));
    json_object_set_new(json, "seq", json_integer((json_int_t)sequence));
    json_object_set_new(json, "at_ms", json_integer((json_int_t)flo_wall_ms()));
    event = remember(db);
    event->sequence = sequence;
    event->kind = kind;
    event->json = json;
    db->waiting[kind]++;
    if (execution != NULL) {
        event->has_execution = true;
        flo_stories_remember(db, execution);
    }
    if (is_urgent(execution)) {
        flo_events_flush(db);
    }
}

/* Returns how many events of this kind are not acknowledged.  The database is
 * asked only if events may have been removed since the last call. */
int64_t flo_events_waiting(struct flo_outbox_db *db, enum flo_event_kind kind)
{
    static const char *const counts[FLO_EVENT_KINDS] = {
        [FLO_EVENT_NEWS] = "SELECT count(*) FROM event WHERE kind = 0",
        [FLO_EVENT_NOTE] = "SELECT count(*) FROM event WHERE kind = 1",
        [FLO_EVENT_SERVING] = "SELECT count(*) FROM event WHERE kind = 2"};

    for (int i = 0; !db->is_counted && i < FLO_EVENT_KINDS; i++) {
        db->waiting[i] = flo_outbox_db_number(db, counts[i]);
        for (size_t j = 0; j < db->memory_count; j++) {
            db->waiting[i] += db->memory[j].kind == (enum flo_event_kind)i;
        }
    }
    db->is_counted = true;
    return db->waiting[kind];
}

json_t *flo_events_told_json(const struct flo_outbox_db *db)
{
    return json_pack("{s:s, s:I, s:I}", "boot", db->boot, "last", (json_int_t)db->sequence, "acked",
                     (json_int_t)db->outbox.acked);
}

/* Makes the note that is sent for an event that is damaged.  It has no time, by
 * which the controller would take it for another event of that number. */
static char *damaged_event(struct flo_outbox_db *db, uint64_t sequence)
{
    struct flo_buf text = {0};

    db->corrupt++;
    flo_buf_printf(&text,
                   "{\"v\":1,\"boot\":\"%s\",\"seq\":%llu,\"at_ms\":0,"
                   "\"type\":\"note\",\"error\":{\"id\":\"%s\",\"what\":"
                   "\"event %llu was damaged or lost on the device\"}}",
                   db->boot, (unsigned long long)sequence, flo_error_id(FLO_E_OUTBOX_CORRUPT),
                   (unsigned long long)sequence);
    return text.data;
}

/* Makes the text to send: adds the lowest number that is not acknowledged, and
 * sets the present boot id.  With an old boot id, the controller would count
 * stored events separately, and its acknowledgement would not match. */
static char *sent_text(const struct flo_outbox_db *db, char *stored)
{
    static const char key[] = "\"boot\":\"";
    struct flo_buf out = {0};
    char *boot = stored == NULL ? NULL : strstr(stored, key);

    if (boot == NULL || strlen(boot) < strlen(key) + UUID_CHARS) {
        return stored;
    }
    memcpy(boot + strlen(key), db->boot, UUID_CHARS);
    flo_buf_printf(&out, "{\"from\":%llu,%s", (unsigned long long)db->outbox.acked + 1, stored + 1);
    free(stored);
    return out.data;
}

static char *stored_text(struct flo_outbox_db *db, uint64_t sequence)
{
    struct flo_db_statement *statement;
    bool has_row = false;
    char *text = NULL;
    size_t i;

    for (i = 0; i < db->memory_count; i++) {
        if (db->memory[i].sequence == sequence) {
            struct flo_buf out = {0};
            flo_json_dump(db->memory[i].json, &out);
            return out.data;
        }
    }
    if (db->sqlite != NULL &&
        flo_db_query(db->sqlite, "SELECT crc, body FROM event WHERE seq = ?",
                     FLO_DB_VALUES(flo_db_number((int64_t)sequence)), &statement, NULL) == 0) {
        if (flo_db_step(statement, &has_row, NULL) == 0 && has_row) {
            const char *body = flo_db_column_text(statement, 1);
            if (flo_outbox_db_crc(body) == flo_db_column_i64(statement, 0)) {
                text = strdup(body);
            }
            flo_db_reset(statement);
        }
    }
    return text != NULL ? text : damaged_event(db, sequence);
}

char *flo_events_text(struct flo_outbox_db *db, uint64_t sequence)
{
    return sent_text(db, stored_text(db, sequence));
}

/* Stores that the events up to `sequence` are acknowledged, and deletes them,
 * in one transaction.  If a power cut could separate the two, the number of an
 * acknowledged event might be given to another event. */
static int acked_store(struct flo_outbox_db *db, uint64_t sequence, struct flo_err *err)
{
    FLO_TRY(flo_outbox_db_begin(db, err));
    int rv = flo_values_store_number(db, "acked", (int64_t)sequence, err);
    if (rv == 0) {
        rv = flo_outbox_db_run(db, "DELETE FROM event WHERE seq <= ?",
                               FLO_DB_VALUES(flo_db_number((int64_t)sequence)), err);
    }
    return flo_outbox_db_commit(db, rv, err);
}

/* Begins a new boot id, because the controller has events of the present one
 * that this outbox never had: the state folder is an older copy.  All events
 * without an ack are sent again, for the controller may have taken their
 * numbers for known ones. */
static void leave_past(struct flo_outbox_db *db)
{
    struct flo_err err = {0};

    leave_boot(db);
    db->outbox.sent = db->outbox.acked;
    if (db->sqlite != NULL && flo_values_store(db, "boot", db->boot, &err) == 0) {
        db->is_boot_stored = true;
    } else if (err.code != 0) {
        flo_outbox_db_complain(&err);
    }
}

bool flo_events_acked(struct flo_outbox_db *db, const char *boot, uint64_t sequence)
{
    struct flo_err err = {0};
    size_t i = 0;

    if (boot[0] != '\0' && strcmp(boot, db->boot) != 0) {
        return false;
    }
    if (boot[0] != '\0' && sequence > db->outbox.last) {
        leave_past(db);
        return true;
    }
    if (!flo_outbox_acked(&db->outbox, sequence)) {
        return false;
    }
    if (acked_store(db, sequence, &err) < 0) {
        flo_outbox_db_complain(&err);
    }
    db->is_counted = false;
    while (i < db->memory_count) {
        if (db->memory[i].sequence <= sequence) {
            json_decref(db->memory[i].json);
            db->memory_count--;
            memmove(&db->memory[i], &db->memory[i + 1],
                    (db->memory_count - i) * sizeof(db->memory[0]));
        } else {
            i++;
        }
    }
    return false;
}
