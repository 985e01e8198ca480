/* A damaged outbox.db, with tables that hold anything.
 *
 * Lines: the table (e event, n number of an event, t telemetry, s story,
 * v value), how its checksum is (c right, x wrong, b right but a blob, i a
 * number in place of the text), then the text; of a story its state comes
 * first, of a value its key and '='. */
#include "agent/shell/outbox/outbox_db.c"
#include "tests/fuzz/must.h"
#include "tests/unit/waits.h"

#define EVENTS_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static struct flo_outbox_db outbox_db;
static char stored[EVENTS_MAX + 1][4096]; /* by number */
static bool is_good[EVENTS_MAX + 1];
static uint64_t events;
static uint64_t windows;

/* ---- given: as lax as pages that nobody checks ---- */

static void begin_run(void)
{
    static const char *const clear[] = {"DELETE FROM value", "DELETE FROM event",
                                        "DELETE FROM tele", "DELETE FROM story"};
    static struct flo_db *db;

    if (db == NULL) {
        flo_log_level_set(FLO_LOG_ERROR);
        must(flo_db_open(":memory:", FLO_DB_SYNC_NORMAL, 0, &db, NULL) == 0);
        must(flo_db_exec(db,
                         "CREATE TABLE value (key PRIMARY KEY, text);"
                         "CREATE TABLE event (seq INTEGER PRIMARY KEY, crc, body,"
                         " kind DEFAULT 0);"
                         "CREATE TABLE tele (id INTEGER PRIMARY KEY, crc, body);"
                         "CREATE TABLE story (id PRIMARY KEY, rollout, attempt, ended,"
                         " state, body);",
                         NULL) == 0);
    }
    memset(&outbox_db, 0, sizeof(outbox_db));
    outbox_db.sqlite = db;
    must(flo_db_begin(db, NULL) == 0); /* until all is given */
    for (size_t i = 0; i < FLO_COUNT(clear); i++) {
        must(flo_outbox_db_run(&outbox_db, clear[i], FLO_DB_NONE, NULL) == 0);
    }
    outbox_db.rows_max = 1000;
    events = 0;
    windows = 0;
}

static struct flo_db_value body_of(char kind, const char *text)
{
    return kind == 'b'   ? flo_db_blob(text, strlen(text))
           : kind == 'i' ? flo_db_number((int64_t)strlen(text))
                         : flo_db_text(text);
}

static void add(const char *sql, char kind, int64_t number, const char *text)
{
    (void)!flo_db_run(outbox_db.sqlite, sql, /* a number may be taken */
                      FLO_DB_VALUES(flo_db_number(number),
                                    flo_db_number(flo_outbox_db_crc(text) + (kind == 'x')),
                                    body_of(kind, text)),
                      NULL);
}

static void add_story(const char *state, const char *body)
{
    (void)!flo_db_run(outbox_db.sqlite, "INSERT INTO story VALUES ('r-1.1', 'r-1', 1, 0, ?, ?)",
                      FLO_DB_VALUES(flo_db_text(state), flo_db_text(body)), NULL);
}

static void add_line(char *line)
{
    char *text = line + 2;
    char *rest = strpbrk(text, " =");

    switch (line[0]) {
    case 'e':
        if (events < EVENTS_MAX) {
            events++;
            snprintf(stored[events], sizeof(stored[0]), "%s", text);
            is_good[events] = line[1] != 'x';
            add("INSERT INTO event (seq, crc, body) VALUES (?, ?, ?)", line[1], (int64_t)events,
                text);
        }
        break;
    case 'n':
        add("INSERT INTO event (seq, crc, body) VALUES (?, ?, ?)", 'c', strtoll(text, NULL, 10),
            "{}");
        break;
    case 't':
        windows++;
        add("INSERT INTO tele VALUES (?, ?, ?)", line[1], (int64_t)windows, text);
        break;
    case 's':
    case 'v':
        if (rest == NULL) {
            return;
        }
        *rest++ = '\0';
        if (line[0] == 's') {
            add_story(text, rest);
        } else {
            flo_values_set(&outbox_db, text, rest);
        }
        break;
    default:
        break;
    }
}

/* ---- then ---- */

/* It goes out with the first number awaited, and with the present boot where
 * it holds the place of one. */
static bool is_as_stored(const char *text, const char *kept)
{
    static const char key[] = "\"boot\":\"";
    enum { UUID = 36 };
    const char *boot = strstr(kept, key);
    const char *rest = strchr(text, ',');

    if (boot == NULL || strlen(boot) < strlen(key) + UUID) {
        return strcmp(text, kept) == 0;
    }
    size_t before = (size_t)(boot - kept) + strlen(key) - 1;
    return strncmp(text, "{\"from\":", 8) == 0 && rest != NULL &&
           strlen(rest + 1) == strlen(kept + 1) && strncmp(rest + 1, kept + 1, before) == 0 &&
           strcmp(rest + 1 + before + UUID, kept + 1 + before + UUID) == 0;
}

/* The stored message, or a note in its place. */
static void check_event(uint64_t sequence)
{
    char *text = flo_events_text(&outbox_db, sequence);
    json_t *json = NULL;

    must(text != NULL);
    if (strcmp(text, "{}") != 0 &&
        (sequence > events || !is_good[sequence] || !is_as_stored(text, stored[sequence]))) {
        must(flo_json_parse(text, strlen(text), 65536, &json, NULL) == 0);
        must(json_integer_value(json_object_get(json, "seq")) == (json_int_t)sequence);
        json_decref(json);
    }
    free(text);
}

static void check_events(void)
{
    struct flo_outbox *outbox = flo_events_outbox(&outbox_db);
    uint64_t next;
    unsigned sent = 0;

    must(flo_uuid_is_valid(outbox_db.boot) && outbox->acked <= outbox->last &&
         outbox->last == outbox_db.sequence && outbox->last <= INT64_MAX / 2 &&
         outbox->last - outbox->acked <= EVENTS_WAITING_MAX);
    flo_outbox_connected(outbox, 1);
    while ((next = flo_outbox_next(outbox, 1)) != 0) {
        must(++sent <= FLO_OUTBOX_WINDOW);
        check_event(next);
        flo_outbox_sent(outbox, next, 1);
    }
}

static void check_windows(void)
{
    uint64_t id = 0;
    uint64_t seen = 0;
    char *text;

    outbox_db.rows = windows;
    while ((text = flo_outbox_windows_next(&outbox_db, &id)) != NULL) {
        must(++seen <= windows);
        free(text);
        flo_outbox_windows_done(&outbox_db, id, true);
    }
    must(seen + outbox_db.lost == windows && outbox_db.rows == 0);
}

static void check_execution(void)
{
    static struct flo_agent_execution open;
    char models[4][FLO_NAME_MAX + 1];
    size_t count = flo_stories_models(&outbox_db, models, FLO_COUNT(models));

    for (size_t i = 0; i < count; i++) {
        must(flo_stories_open(&outbox_db, models[i], &open));
        must(!flo_digest_is_zero(&open.release.digest) && flo_name_is_valid(open.release.model) &&
             flo_name_is_valid(open.release.version) &&
             (open.order[0] == '\0' || flo_name_is_valid(open.order)) &&
             flo_policy_is_valid(&open.policy) && !flo_execution_is_end(open.state) &&
             open.start_at_ms <= waits_now_ms() + UINT64_C(30) * 86400000);
    }
}

/* It goes on: a new event has the next number and is stored. */
static void check_next(void)
{
    uint64_t sequence = outbox_db.sequence + 1;
    uint64_t corrupt = outbox_db.corrupt;
    char *text;

    flo_events_add(&outbox_db, FLO_EVENT_NOTE, json_pack("{s:s}", "type", "note"), NULL);
    flo_events_flush(&outbox_db);
    must(flo_events_flush_ms(&outbox_db) == 0);
    text = flo_events_text(&outbox_db, sequence);
    must(text != NULL && outbox_db.corrupt == corrupt && strstr(text, outbox_db.boot) != NULL);
    free(text);
    flo_events_acked(&outbox_db, outbox_db.boot, sequence);
    must(flo_outbox_db_number(&outbox_db, "SELECT count(*) FROM event") == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    char line[4096];

    begin_run();
    while (bytes > 0) {
        const uint8_t *end = memchr(data, '\n', bytes);
        size_t part = end != NULL ? (size_t)(end - data) : bytes;
        if (part >= 2 && part < sizeof(line)) {
            memcpy(line, data, part);
            line[part] = '\0';
            add_line(line);
        }
        part += end != NULL ? 1 : 0;
        data += part;
        bytes -= part;
    }
    must(flo_db_commit(outbox_db.sqlite, NULL) == 0);
    read_start(&outbox_db);
    outbox_db.corrupt = 0;
    check_events();
    check_windows();
    check_execution();
    check_next();
    return 0;
}
