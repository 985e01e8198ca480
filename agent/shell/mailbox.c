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
 * aside, and without room events wait in memory. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/shell/shell.h"

#define TRACE_LINES_MAX 2000
#define STORIES_MAX 200
#define ANSWERS_MAX 256
#define MEMORY_EVENTS_MAX 32
#define TELEMETRY_ROW_BYTES                                                    \
    1024 /* for the cap: windows are about that long                           \
          */
#define FILE_NAME "outbox.db"

/* An event that is not in the database yet. */
struct memory_event {
    uint64_t sequence;
    char *text;
    bool has_execution;
    struct flo_agent_execution execution;
};

struct flo_mailbox {
    struct flo_db *db; /* NULL: no database could be had */
    char boot[37];
    struct flo_outbox outbox;
    uint64_t sequence; /* of the last event, stored or not */
    uint64_t rows_max;
    uint64_t rows;
    uint64_t lost;
    uint64_t corrupt;
    uint64_t telemetry_sent; /* highest id under way */
    size_t memory_count;
    struct memory_event memory[MEMORY_EVENTS_MAX];
};

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
    " body TEXT NOT NULL);"};

/* ---- small tools ------------------------------------------------------------
 */

static void complain(const struct flo_err *err)
{
    flo_log_err(FLO_LOG_WARN, "outbox", err);
}

/* One statement with up to three texts or numbers ("t", "i"). */
static int run(struct flo_mailbox *mailbox, const char *sql, const char *kinds,
               const char *text_1, int64_t number, const char *text_2,
               struct flo_err *err)
{
    struct flo_db_statement *statement;
    int rv;
    int i;

    if (mailbox->db == NULL) {
        return flo_fail(err, FLO_E_DB, "there is no outbox");
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

static int64_t number_of(struct flo_mailbox *mailbox, const char *sql)
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

/* Without syncs (NORMAL) or with (FULL). */
static int relax(struct flo_mailbox *mailbox, bool is_relaxed)
{
    struct flo_err err = {0};
    int rv = mailbox->db == NULL
                 ? flo_fail(&err, FLO_E_DB, "there is no outbox")
                 : flo_db_exec(mailbox->db,
                               is_relaxed ? "PRAGMA synchronous=NORMAL"
                                          : "PRAGMA synchronous=FULL",
                               &err);

    if (rv < 0) {
        complain(&err);
    }
    return rv;
}

static int64_t crc_of(const char *text)
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

static void set_aside(const char *path)
{
    char aside[4300];

    snprintf(aside, sizeof(aside), "%s.damaged-%llu", path,
             (unsigned long long)flo_wall_ms());
    if (rename(path, aside) == 0) {
        flo_log(FLO_LOG_WARN, "outbox", "%s is damaged, kept as %s", path,
                aside);
    }
    snprintf(aside, sizeof(aside), "%s-wal", path);
    unlink(aside);
    snprintf(aside, sizeof(aside), "%s-shm", path);
    unlink(aside);
}

static void read_start(struct flo_mailbox *mailbox)
{
    char *boot = flo_mailbox_get(mailbox, "boot");
    char *acked = flo_mailbox_get(mailbox, "acked");

    if (boot != NULL && flo_uuid_is_valid(boot)) {
        snprintf(mailbox->boot, sizeof(mailbox->boot), "%s", boot);
    } else {
        flo_uuid_make(mailbox->boot);
        flo_mailbox_set(mailbox, "boot", mailbox->boot);
    }
    mailbox->outbox.acked = acked == NULL ? 0 : strtoull(acked, NULL, 10);
    mailbox->outbox.last =
        (uint64_t)number_of(mailbox, "SELECT max(seq) FROM event");
    if (mailbox->outbox.last < mailbox->outbox.acked) {
        mailbox->outbox.last = mailbox->outbox.acked;
    }
    mailbox->outbox.sent = mailbox->outbox.acked;
    mailbox->sequence = mailbox->outbox.last;
    mailbox->rows = (uint64_t)number_of(mailbox, "SELECT count(*) FROM tele");
    free(boot);
    free(acked);
}

int flo_mailbox_open(const char *state_dir, uint64_t bytes_max,
                     struct flo_mailbox **out, struct flo_err *err)
{
    struct flo_mailbox *mailbox = calloc(1, sizeof(*mailbox));
    struct flo_err why = {0};
    char path[4200];

    if (mailbox == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "outbox");
    }
    if (!flo_path_join(path, sizeof(path), state_dir, FILE_NAME)) {
        free(mailbox);
        return flo_fail(err, FLO_E_CFG_RANGE, "state_dir is too long");
    }
    mailbox->rows_max = bytes_max / TELEMETRY_ROW_BYTES;
    if (open_db(mailbox, path, &why) < 0) {
        complain(&why);
        if (why.code != FLO_E_DISK_FULL) {
            mailbox->corrupt++;
            set_aside(path);
        }
        if (open_db(mailbox, path, &why) < 0) {
            complain(&why); /* in memory then: serving comes first */
        }
    }
    read_start(mailbox);
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

    if (run(mailbox,
            "INSERT INTO value (key, text) VALUES (?, ?) ON CONFLICT (key) "
            "DO UPDATE SET text = excluded.text",
            "ab", key, 0, value, &err) < 0) {
        complain(&err);
    }
}

static char *text_of(struct flo_mailbox *mailbox, const char *sql,
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
    return text_of(mailbox, "SELECT text FROM value WHERE key = ?", key);
}

/* Not synced: an answer that a power cut takes is given again. */
void flo_mailbox_answer(struct flo_mailbox *mailbox, const char *order,
                        const char *text)
{
    struct flo_err err = {0};

    if (relax(mailbox, true) < 0 ||
        run(mailbox,
            "INSERT INTO answer (ord, body) VALUES (?, ?) ON CONFLICT (ord) "
            "DO UPDATE SET body = excluded.body",
            "ab", order, 0, text, &err) < 0 ||
        run(mailbox,
            "DELETE FROM answer WHERE rowid <= (SELECT max(rowid) FROM "
            "answer) - ?",
            "n", NULL, ANSWERS_MAX, NULL, &err) < 0) {
        complain(&err);
    }
    (void)!relax(mailbox, false);
}

char *flo_mailbox_answer_of(struct flo_mailbox *mailbox, const char *order)
{
    return text_of(mailbox, "SELECT body FROM answer WHERE ord = ?", order);
}

/* ---- stories
 * ------------------------------------------------------------------------------
 */

static json_t *story_json(const struct flo_agent_execution *execution)
{
    const struct flo_policy *policy = &execution->policy;
    char digest[FLO_DIGEST_TEXT];

    flo_digest_text(&execution->release.digest, digest);
    return json_pack(
        "{s:s, s:s, s:i, s:i, s:I, s:s, s:s, s:s, s:i,"
        " s:{s:I, s:I, s:I, s:I, s:I, s:f, s:I, s:I, s:I},"
        " s:{s:s, s:I, s:I, s:I}}",
        "order", execution->order, "bundle", execution->bundle, "phase",
        (int)execution->phase, "epoch", (int)execution->epoch, "seq",
        (json_int_t)execution->seq, "release", digest, "model",
        execution->release.model, "version", execution->release.version,
        "starts", (int)execution->starts, "policy", "soak_ms",
        (json_int_t)policy->soak_ms, "soak_requests",
        (json_int_t)policy->soak_requests, "soak_errors_max",
        (json_int_t)policy->soak_errors_max, "soak_crashes_max",
        (json_int_t)policy->soak_crashes_max, "probe_timeout_ms",
        (json_int_t)policy->probe_timeout_ms, "probe_speed_ratio_max",
        policy->probe_speed_ratio_max, "step_timeout_ms",
        (json_int_t)policy->step_timeout_ms, "tries", (json_int_t)policy->tries,
        "rate_bytes_per_s", (json_int_t)policy->rate_bytes_per_s, "detail",
        "codec", execution->detail.codec, "bytes",
        (json_int_t)execution->detail.bytes, "full_bytes",
        (json_int_t)execution->detail.full_bytes, "took_ms",
        (json_int_t)execution->detail.took_ms);
}

static void copy_text(const json_t *json, const char *key, char *out,
                      size_t out_bytes)
{
    const char *text = json_string_value(json_object_get(json, key));

    snprintf(out, out_bytes, "%s", text == NULL ? "" : text);
}

static uint64_t copy_number(const json_t *json, const char *key)
{
    json_int_t value = json_integer_value(json_object_get(json, key));

    return value < 0 ? 0 : (uint64_t)value;
}

static bool story_read(const json_t *json, struct flo_agent_execution *out)
{
    const json_t *policy = json_object_get(json, "policy");
    const json_t *detail = json_object_get(json, "detail");
    char digest[FLO_DIGEST_TEXT];

    flo_policy_default(&out->policy);
    copy_text(json, "release", digest, sizeof(digest));
    if (!flo_digest_parse(digest, &out->release.digest)) {
        return false;
    }
    copy_text(json, "order", out->order, sizeof(out->order));
    copy_text(json, "bundle", out->bundle, sizeof(out->bundle));
    copy_text(json, "model", out->release.model, sizeof(out->release.model));
    copy_text(json, "version", out->release.version,
              sizeof(out->release.version));
    copy_text(detail, "codec", out->detail.codec, sizeof(out->detail.codec));
    out->phase = (uint32_t)copy_number(json, "phase");
    out->epoch = (uint32_t)copy_number(json, "epoch");
    out->seq = copy_number(json, "seq");
    out->starts = (uint32_t)copy_number(json, "starts");
    out->detail.bytes = copy_number(detail, "bytes");
    out->detail.full_bytes = copy_number(detail, "full_bytes");
    out->detail.took_ms = copy_number(detail, "took_ms");
    out->policy.soak_ms = copy_number(policy, "soak_ms");
    out->policy.soak_requests = copy_number(policy, "soak_requests");
    out->policy.soak_errors_max = copy_number(policy, "soak_errors_max");
    out->policy.soak_crashes_max = copy_number(policy, "soak_crashes_max");
    out->policy.probe_timeout_ms = copy_number(policy, "probe_timeout_ms");
    out->policy.probe_speed_ratio_max =
        json_number_value(json_object_get(policy, "probe_speed_ratio_max"));
    out->policy.step_timeout_ms = copy_number(policy, "step_timeout_ms");
    out->policy.tries = copy_number(policy, "tries");
    out->policy.rate_bytes_per_s = copy_number(policy, "rate_bytes_per_s");
    return true;
}

static int story_store(struct flo_mailbox *mailbox,
                       const struct flo_agent_execution *execution,
                       struct flo_err *err)
{
    struct flo_db_statement *statement;
    json_t *json = story_json(execution);
    struct flo_buf text = {0};
    int rv;

    if (json == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "story");
    }
    flo_json_dump(json, &text);
    json_decref(json);
    rv = flo_db_prepare(
        mailbox->db,
        "INSERT INTO story (id, rollout, attempt, ended, state, body) VALUES "
        "(?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET ended = "
        "excluded.ended, state = excluded.state, body = excluded.body",
        &statement, err);
    if (rv == 0) {
        flo_db_bind_text(statement, 1, execution->id);
        flo_db_bind_text(statement, 2, execution->rollout);
        flo_db_bind_i64(statement, 3, execution->attempt);
        flo_db_bind_i64(statement, 4, flo_execution_is_end(execution->state));
        flo_db_bind_text(statement, 5, flo_execution_word(execution->state));
        flo_db_bind_text(statement, 6, text.data);
        rv = flo_db_run(statement, err);
    }
    flo_buf_deinit(&text);
    return rv;
}

bool flo_mailbox_open_execution(struct flo_mailbox *mailbox,
                                struct flo_agent_execution *out)
{
    struct flo_db_statement *statement;
    bool has_row = false;
    bool is_there = false;

    memset(out, 0, sizeof(*out));
    if (mailbox->db == NULL ||
        flo_db_prepare(mailbox->db,
                       "SELECT id, rollout, attempt, state, body FROM story "
                       "WHERE ended = 0 ORDER BY rowid DESC LIMIT 1",
                       &statement, NULL) < 0 ||
        flo_db_step(statement, &has_row, NULL) < 0 || !has_row) {
        return false;
    }
    {
        const char *body = flo_db_column_text(statement, 4);
        json_t *json = NULL;

        snprintf(out->id, sizeof(out->id), "%s",
                 flo_db_column_text(statement, 0));
        snprintf(out->rollout, sizeof(out->rollout), "%s",
                 flo_db_column_text(statement, 1));
        out->attempt = (uint32_t)flo_db_column_i64(statement, 2);
        is_there =
            flo_execution_parse(flo_db_column_text(statement, 3),
                                &out->state) &&
            flo_json_parse(body, strlen(body), 65536, &json, NULL) == 0 &&
            story_read(json, out);
        json_decref(json);
    }
    flo_db_reset(statement);
    return is_there;
}

bool flo_mailbox_story(struct flo_mailbox *mailbox, const char *rollout,
                       uint32_t *attempts, bool *has_ended,
                       enum flo_execution *end)
{
    struct flo_db_statement *statement;
    bool has_row = false;

    *attempts = 0;
    *has_ended = false;
    if (mailbox->db == NULL ||
        flo_db_prepare(mailbox->db,
                       "SELECT attempt, ended, state FROM story WHERE rollout "
                       "= ? ORDER BY attempt DESC LIMIT 1",
                       &statement, NULL) < 0) {
        return false;
    }
    flo_db_bind_text(statement, 1, rollout);
    if (flo_db_step(statement, &has_row, NULL) < 0 || !has_row) {
        return false;
    }
    *attempts = (uint32_t)flo_db_column_i64(statement, 0);
    *has_ended = flo_db_column_i64(statement, 1) != 0 &&
                 flo_execution_parse(flo_db_column_text(statement, 2), end);
    flo_db_reset(statement);
    return true;
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
        flo_db_bind_i64(statement, 2, crc_of(event->text));
        flo_db_bind_text(statement, 3, event->text);
        rv = flo_db_run(statement, err);
    }
    if (rv == 0 && event->has_execution) {
        rv = story_store(mailbox, &event->execution, err);
    }
    return rv;
}

static int store_all(struct flo_mailbox *mailbox, struct flo_err *err)
{
    size_t i;
    int rv;

    if (mailbox->db == NULL) {
        return flo_fail(err, FLO_E_DB, "there is no outbox");
    }
    rv = flo_db_begin(mailbox->db, err);
    if (rv < 0) {
        return rv;
    }
    for (i = 0; rv == 0 && i < mailbox->memory_count; i++) {
        rv = event_store(mailbox, &mailbox->memory[i], err);
    }
    if (rv == 0) {
        return flo_db_commit(mailbox->db, err);
    }
    flo_db_roll_back(mailbox->db);
    return rv;
}

static void drop_telemetry(struct flo_mailbox *mailbox, uint64_t count)
{
    struct flo_err err = {0};

    if (count == 0 || mailbox->db == NULL) {
        return;
    }
    if (run(mailbox,
            "DELETE FROM tele WHERE id IN (SELECT id FROM tele ORDER BY id "
            "LIMIT ?)",
            "n", NULL, (int64_t)count, NULL, &err) < 0) {
        complain(&err);
        return;
    }
    count = (uint64_t)flo_db_changes(mailbox->db);
    mailbox->lost += count;
    mailbox->rows -= count < mailbox->rows ? count : mailbox->rows;
}

static struct memory_event *remember(struct flo_mailbox *mailbox)
{
    struct memory_event *event;

    if (mailbox->memory_count == MEMORY_EVENTS_MAX) {
        free(mailbox->memory[0].text);
        memmove(&mailbox->memory[0], &mailbox->memory[1],
                sizeof(mailbox->memory) - sizeof(mailbox->memory[0]));
        mailbox->memory_count--;
        mailbox->corrupt++;
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
        drop_telemetry(mailbox, mailbox->rows / 2 + 1);
        rv = store_all(mailbox, &err);
    }
    flo_outbox_stored(&mailbox->outbox, last);
    if (rv < 0) {
        complain(&err); /* they are sent from memory, and tried again */
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
    uint64_t sequence = ++mailbox->sequence;

    if (json == NULL) {
        return;
    }
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
            if (crc_of(body) == flo_db_column_i64(statement, 0)) {
                text = strdup(body);
            }
            flo_db_reset(statement);
        }
    }
    return text != NULL ? text : damaged_event(mailbox, sequence);
}

void flo_mailbox_acked(struct flo_mailbox *mailbox, uint64_t sequence)
{
    char number[24];
    struct flo_err err = {0};
    size_t i = 0;

    if (!flo_outbox_acked(&mailbox->outbox, sequence)) {
        return;
    }
    snprintf(number, sizeof(number), "%llu", (unsigned long long)sequence);
    flo_mailbox_set(mailbox, "acked", number);
    if (run(mailbox, "DELETE FROM event WHERE seq <= ?", "n", NULL,
            (int64_t)sequence, NULL, &err) < 0) {
        complain(&err);
    }
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

/* ---- telemetry
 * -------------------------------------------------------------------------------
 */

void flo_mailbox_telemetry(struct flo_mailbox *mailbox, const char *text,
                           size_t bytes)
{
    struct flo_db_statement *statement;
    struct flo_err err = {0};
    int rv;

    (void)bytes;
    if (mailbox->db == NULL) {
        mailbox->lost++;
        return;
    }
    if (mailbox->rows >= mailbox->rows_max) {
        drop_telemetry(mailbox, mailbox->rows - mailbox->rows_max + 1);
    }
    rv = relax(mailbox, true);
    if (rv == 0) {
        rv = flo_db_prepare(mailbox->db,
                            "INSERT INTO tele (crc, body) VALUES (?, ?)",
                            &statement, &err);
    }
    if (rv == 0) {
        flo_db_bind_i64(statement, 1, crc_of(text));
        flo_db_bind_text(statement, 2, text);
        rv = flo_db_run(statement, &err);
    }
    if (rv < 0) {
        complain(&err);
        mailbox->lost++;
    } else {
        mailbox->rows++;
    }
    (void)!relax(mailbox, false);
}

char *flo_mailbox_telemetry_next(struct flo_mailbox *mailbox, uint64_t *id)
{
    struct flo_db_statement *statement;
    bool has_row = false;
    char *text = NULL;

    if (mailbox->db == NULL ||
        flo_db_prepare(mailbox->db,
                       "SELECT id, crc, body FROM tele WHERE id > ? ORDER BY "
                       "id LIMIT 1",
                       &statement, NULL) < 0) {
        return NULL;
    }
    flo_db_bind_i64(statement, 1, (int64_t)mailbox->telemetry_sent);
    if (flo_db_step(statement, &has_row, NULL) < 0 || !has_row) {
        return NULL;
    }
    *id = (uint64_t)flo_db_column_i64(statement, 0);
    mailbox->telemetry_sent = *id;
    if (crc_of(flo_db_column_text(statement, 2)) ==
        flo_db_column_i64(statement, 1)) {
        text = strdup(flo_db_column_text(statement, 2));
    }
    flo_db_reset(statement);
    if (text == NULL) {
        mailbox->corrupt++;
        mailbox->lost++;
        flo_mailbox_telemetry_done(mailbox, *id, true);
        return flo_mailbox_telemetry_next(mailbox, id);
    }
    return text;
}

void flo_mailbox_telemetry_done(struct flo_mailbox *mailbox, uint64_t id,
                                bool is_delivered)
{
    struct flo_err err = {0};

    if (!is_delivered) {
        if (id <= mailbox->telemetry_sent) {
            mailbox->telemetry_sent = id - 1;
        }
        return;
    }
    if (mailbox->db == NULL) {
        return;
    }
    if (relax(mailbox, true) < 0 ||
        run(mailbox, "DELETE FROM tele WHERE id = ?", "n", NULL, (int64_t)id,
            NULL, &err) < 0) {
        complain(&err);
    } else if (flo_db_changes(mailbox->db) > 0 && mailbox->rows > 0) {
        mailbox->rows--;
    }
    (void)!relax(mailbox, false);
}

void flo_mailbox_telemetry_again(struct flo_mailbox *mailbox)
{
    mailbox->telemetry_sent = 0;
}

uint64_t flo_mailbox_lost(struct flo_mailbox *mailbox)
{
    uint64_t lost = mailbox->lost;

    mailbox->lost = 0;
    return lost;
}

/* ---- trace
 * -----------------------------------------------------------------------------------------
 */

void flo_mailbox_trace(struct flo_mailbox *mailbox, const char *text)
{
    struct flo_err err = {0};

    if (mailbox->db == NULL) {
        return;
    }
    if (relax(mailbox, true) < 0 ||
        run(mailbox, "INSERT INTO trace (body) VALUES (?)", "a", text, 0, NULL,
            &err) < 0 ||
        run(mailbox,
            "DELETE FROM trace WHERE id <= (SELECT max(id) FROM trace) - ?",
            "n", NULL, TRACE_LINES_MAX, NULL, &err) < 0 ||
        run(mailbox,
            "DELETE FROM story WHERE ended = 1 AND rowid <= (SELECT max(rowid) "
            "FROM story) - ?",
            "n", NULL, STORIES_MAX, NULL, &err) < 0) {
        complain(&err);
    }
    (void)!relax(mailbox, false);
}

int flo_mailbox_explain(const char *state_dir, unsigned lines,
                        struct flo_err *err)
{
    char path[4200];
    FLO_CLEANUP(flo_db_cleanup) struct flo_db *db = NULL;
    struct flo_db_statement *statement;
    bool has_row = true;
    int rv;

    if (!flo_path_join(path, sizeof(path), state_dir, FILE_NAME)) {
        return flo_fail(err, FLO_E_CFG_RANGE, "state_dir is too long");
    }
    if (access(path, R_OK) != 0) {
        return flo_fail(err, FLO_E_ABSENT, "%s has no history yet", state_dir);
    }
    rv = flo_db_open(path, FLO_DB_SYNC_FULL, 2000, &db, err);
    if (rv == 0) {
        rv = flo_db_prepare(db,
                            "SELECT body FROM (SELECT id, body FROM trace "
                            "ORDER BY id DESC LIMIT ?) ORDER BY id",
                            &statement, err);
    }
    if (rv == 0) {
        flo_db_bind_i64(statement, 1, lines);
    }
    while (rv == 0 && has_row) {
        rv = flo_db_step(statement, &has_row, err);
        if (rv == 0 && has_row) {
            fputs(flo_db_column_text(statement, 0), stdout);
        }
    }
    return rv;
}
