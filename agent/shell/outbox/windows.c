/* Windows: stores telemetry windows in outbox.db.  Their number is limited: the
 * oldest is dropped first.  Writes are not synced. */
#include <stdlib.h>
#include <string.h>

#include "agent/shell/outbox/outbox_state.h"

void flo_outbox_windows_drop(struct flo_outbox_db *db, uint64_t count)
{
    struct flo_err err = {0};

    if (count == 0 || db->sqlite == NULL) {
        return;
    }
    if (flo_outbox_db_run(db,
                          "DELETE FROM tele WHERE id IN (SELECT id FROM tele ORDER BY id "
                          "LIMIT ?)",
                          FLO_DB_VALUES(flo_db_number((int64_t)count)), &err) < 0) {
        flo_outbox_db_complain(&err);
        return;
    }
    count = (uint64_t)flo_db_changes(db->sqlite);
    db->lost += count;
    db->rows -= count < db->rows ? count : db->rows;
}

/* ---- in memory: what the file does not take ---- */

/* Id of the first window in memory.  It is above all ids in the database. */
#define MEMORY_ID (UINT64_C(1) << 62)

static void forget(struct flo_outbox_db *db, size_t place)
{
    free(db->windows[place].text);
    db->windows_count--;
    memmove(&db->windows[place], &db->windows[place + 1],
            (db->windows_count - place) * sizeof(db->windows[0]));
}

static void remember(struct flo_outbox_db *db, const char *text)
{
    char *copy = strdup(text);

    if (copy == NULL) {
        db->lost++;
        return;
    }
    if (db->windows_count == MEMORY_WINDOWS_MAX) {
        forget(db, 0);
        db->lost++;
    }
    db->windows[db->windows_count++] =
        (struct memory_window){.id = MEMORY_ID + db->windows_told++, .text = copy};
}

static char *next_remembered(struct flo_outbox_db *db, uint64_t *id)
{
    for (size_t i = 0; i < db->windows_count; i++) {
        struct memory_window *window = &db->windows[i];
        if (!window->is_sent) {
            window->is_sent = true;
            *id = window->id;
            return strdup(window->text);
        }
    }
    return NULL;
}

static void end_remembered(struct flo_outbox_db *db, uint64_t id, bool is_delivered)
{
    for (size_t i = 0; i < db->windows_count; i++) {
        struct memory_window *window = &db->windows[i];
        if (is_delivered && window->id == id) {
            forget(db, i);
            return;
        }
        window->is_sent = window->is_sent && (is_delivered || window->id < id);
    }
}

void flo_outbox_windows_free(struct flo_outbox_db *db)
{
    while (db->windows_count > 0) {
        forget(db, 0);
    }
}

/* ---- in the file ---- */

void flo_outbox_windows_add(struct flo_outbox_db *db, const char *text)
{
    struct flo_err err = {0};
    int rv;

    if (db->sqlite == NULL) {
        if (db->failed.code == 0) {
            (void)flo_fail(&db->failed, FLO_E_DB, NO_OUTBOX);
        }
        remember(db, text);
        return;
    }
    if (db->rows >= db->rows_max) {
        flo_outbox_windows_drop(db, db->rows - db->rows_max + 1);
    }
    rv = flo_outbox_db_relax(db, true);
    if (rv == 0) {
        rv = flo_db_run(db->sqlite, "INSERT INTO tele (crc, body) VALUES (?, ?)",
                        FLO_DB_VALUES(flo_db_number(flo_outbox_db_crc(text)), flo_db_text(text)),
                        &err);
    }
    db->failed = (struct flo_err){0};
    if (rv < 0) {
        flo_outbox_db_complain(&err);
        db->failed = err;
        remember(db, text);
    } else {
        db->rows++;
    }
    (void)!flo_outbox_db_relax(db, false);
}

/* Reads the next unsent row.  Returns false when there is none.  *text is NULL
 * when the row is damaged. */
static bool next_row(struct flo_outbox_db *db, uint64_t *id, char **text)
{
    struct flo_db_statement *statement;
    bool has_row = false;

    *text = NULL;
    if (db->sqlite == NULL ||
        flo_db_query(db->sqlite,
                     "SELECT id, crc, body FROM tele WHERE id > ? ORDER BY "
                     "id LIMIT 1",
                     FLO_DB_VALUES(flo_db_number((int64_t)db->telemetry_sent)), &statement,
                     NULL) < 0) {
        return false;
    }
    if (flo_db_step(statement, &has_row, NULL) < 0 || !has_row) {
        return false;
    }
    *id = (uint64_t)flo_db_column_i64(statement, 0);
    if (flo_outbox_db_crc(flo_db_column_text(statement, 2)) == flo_db_column_i64(statement, 1)) {
        *text = strdup(flo_db_column_text(statement, 2));
    }
    flo_db_reset(statement);
    return true;
}

char *flo_outbox_windows_next(struct flo_outbox_db *db, uint64_t *id)
{
    char *text = NULL;

    while (text == NULL && next_row(db, id, &text)) {
        db->telemetry_sent = *id;
        if (text == NULL) {
            db->corrupt++;
            db->lost++;
            flo_outbox_windows_done(db, *id, true);
        }
    }
    return text != NULL ? text : next_remembered(db, id);
}

void flo_outbox_windows_done(struct flo_outbox_db *db, uint64_t id, bool is_delivered)
{
    struct flo_err err = {0};

    if (id >= MEMORY_ID) {
        end_remembered(db, id, is_delivered);
        return;
    }
    if (!is_delivered) {
        if (id <= db->telemetry_sent) {
            db->telemetry_sent = id - 1;
        }
        return;
    }
    if (db->sqlite == NULL) {
        return;
    }
    if (flo_outbox_db_relax(db, true) < 0 ||
        flo_outbox_db_run(db, "DELETE FROM tele WHERE id = ?",
                          FLO_DB_VALUES(flo_db_number((int64_t)id)), &err) < 0) {
        flo_outbox_db_complain(&err);
    } else if (flo_db_changes(db->sqlite) > 0 && db->rows > 0) {
        db->rows--;
    }
    (void)!flo_outbox_db_relax(db, false);
}

void flo_outbox_windows_again(struct flo_outbox_db *db)
{
    db->telemetry_sent = 0;
    for (size_t i = 0; i < db->windows_count; i++) {
        db->windows[i].is_sent = false;
    }
}

uint64_t flo_outbox_windows_lost(struct flo_outbox_db *db)
{
    uint64_t lost = db->lost;

    db->lost = 0;
    return lost;
}
