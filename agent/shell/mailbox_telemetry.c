/* Telemetry and traces in the mailbox: capped, not synced, oldest first out. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/shell/mailbox_inside.h"

void flo_mailbox_telemetry_drop(struct flo_mailbox *mailbox, uint64_t count)
{
    struct flo_err err = {0};

    if (count == 0 || mailbox->db == NULL) {
        return;
    }
    if (flo_mailbox_run(
            mailbox,
            "DELETE FROM tele WHERE id IN (SELECT id FROM tele ORDER BY id "
            "LIMIT ?)",
            "n", NULL, (int64_t)count, NULL, &err) < 0) {
        flo_mailbox_complain(&err);
        return;
    }
    count = (uint64_t)flo_db_changes(mailbox->db);
    mailbox->lost += count;
    mailbox->rows -= count < mailbox->rows ? count : mailbox->rows;
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
        flo_mailbox_telemetry_drop(mailbox,
                                   mailbox->rows - mailbox->rows_max + 1);
    }
    rv = flo_mailbox_relax(mailbox, true);
    if (rv == 0) {
        rv = flo_db_prepare(mailbox->db,
                            "INSERT INTO tele (crc, body) VALUES (?, ?)",
                            &statement, &err);
    }
    if (rv == 0) {
        flo_db_bind_i64(statement, 1, flo_mailbox_crc(text));
        flo_db_bind_text(statement, 2, text);
        rv = flo_db_run(statement, &err);
    }
    if (rv < 0) {
        flo_mailbox_complain(&err);
        mailbox->lost++;
    } else {
        mailbox->rows++;
    }
    (void)!flo_mailbox_relax(mailbox, false);
}

/* The next row; false: there is none.  *text is NULL where it is damaged. */
static bool next_row(struct flo_mailbox *mailbox, uint64_t *id, char **text)
{
    struct flo_db_statement *statement;
    bool has_row = false;

    *text = NULL;
    if (mailbox->db == NULL ||
        flo_db_prepare(mailbox->db,
                       "SELECT id, crc, body FROM tele WHERE id > ? ORDER BY "
                       "id LIMIT 1",
                       &statement, NULL) < 0) {
        return false;
    }
    flo_db_bind_i64(statement, 1, (int64_t)mailbox->telemetry_sent);
    if (flo_db_step(statement, &has_row, NULL) < 0 || !has_row) {
        return false;
    }
    *id = (uint64_t)flo_db_column_i64(statement, 0);
    if (flo_mailbox_crc(flo_db_column_text(statement, 2)) ==
        flo_db_column_i64(statement, 1)) {
        *text = strdup(flo_db_column_text(statement, 2));
    }
    flo_db_reset(statement);
    return true;
}

char *flo_mailbox_telemetry_next(struct flo_mailbox *mailbox, uint64_t *id)
{
    char *text = NULL;

    while (text == NULL && next_row(mailbox, id, &text)) {
        mailbox->telemetry_sent = *id;
        if (text == NULL) {
            mailbox->corrupt++;
            mailbox->lost++;
            flo_mailbox_telemetry_done(mailbox, *id, true);
        }
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
    if (flo_mailbox_relax(mailbox, true) < 0 ||
        flo_mailbox_run(mailbox, "DELETE FROM tele WHERE id = ?", "n", NULL,
                        (int64_t)id, NULL, &err) < 0) {
        flo_mailbox_complain(&err);
    } else if (flo_db_changes(mailbox->db) > 0 && mailbox->rows > 0) {
        mailbox->rows--;
    }
    (void)!flo_mailbox_relax(mailbox, false);
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
    if (flo_mailbox_relax(mailbox, true) < 0 ||
        flo_mailbox_run(mailbox, "INSERT INTO trace (body) VALUES (?)", "a",
                        text, 0, NULL, &err) < 0 ||
        flo_mailbox_run(
            mailbox,
            "DELETE FROM trace WHERE id <= (SELECT max(id) FROM trace) - ?",
            "n", NULL, TRACE_LINES_MAX, NULL, &err) < 0 ||
        flo_mailbox_run(
            mailbox,
            "DELETE FROM story WHERE ended = 1 AND rowid <= (SELECT max(rowid) "
            "FROM story) - ?",
            "n", NULL, STORIES_MAX, NULL, &err) < 0) {
        flo_mailbox_complain(&err);
    }
    (void)!flo_mailbox_relax(mailbox, false);
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
