/* Traces: stores the trace of the core's steps, for `flotilla-agent
 * explain`. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/shell/outbox/outbox_state.h"

void flo_traces_add(struct flo_outbox_db *db, const char *text)
{
    struct flo_err err = {0};

    if (db->sqlite == NULL) {
        return;
    }
    if (flo_outbox_db_relax(db, true) < 0 ||
        flo_outbox_db_run(db, "INSERT INTO trace (body) VALUES (?)",
                          FLO_DB_VALUES(flo_db_text(text)), &err) < 0 ||
        flo_outbox_db_run(db, "DELETE FROM trace WHERE id <= (SELECT max(id) FROM trace) - ?",
                          FLO_DB_VALUES(flo_db_number(TRACE_LINES_MAX)), &err) < 0 ||
        flo_outbox_db_run(db,
                          "DELETE FROM story WHERE ended = 1 AND rowid <= (SELECT max(rowid) "
                          "FROM story) - ?",
                          FLO_DB_VALUES(flo_db_number(STORIES_MAX)), &err) < 0) {
        flo_outbox_db_complain(&err);
    }
    (void)!flo_outbox_db_relax(db, false);
    if (db->replaced.code != 0) {
        flo_notes_add(db, "security", &db->replaced, flo_now_ms());
        db->replaced = (struct flo_err){0};
    }
}

int flo_traces_print(const char *state_dir, unsigned lines, bool is_json, struct flo_err *err)
{
    char path[4200];
    FLO_CLEANUP(flo_db_cleanup) struct flo_db *db = NULL;
    struct flo_db_statement *statement;
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf out = {0};
    const char *between = "";
    bool has_row = true;

    if (!flo_path_join(path, sizeof(path), state_dir, FILE_NAME)) {
        return flo_fail(err, FLO_E_CFG_RANGE, "state_dir is too long");
    }
    if (access(path, R_OK) != 0) {
        return flo_fail(err, FLO_E_ABSENT, "%s has no history yet", state_dir);
    }
    FLO_TRY(flo_db_open(path, FLO_DB_SYNC_FULL, 2000, &db, err));
    FLO_TRY(flo_db_query(db,
                         "SELECT body FROM (SELECT id, body FROM trace "
                         "ORDER BY id DESC LIMIT ?) ORDER BY id",
                         FLO_DB_VALUES(flo_db_number(lines)), &statement, err));
    while (has_row) {
        FLO_TRY(flo_db_step(statement, &has_row, err));
        if (has_row && is_json) {
            const char *text = flo_db_column_text(statement, 0);
            flo_buf_printf(&out, "%s\"", between);
            flo_buf_json_text(&out, text, strcspn(text, "\n"));
            flo_buf_text(&out, "\"");
            between = ",";
        } else if (has_row) {
            fputs(flo_db_column_text(statement, 0), stdout);
        }
    }
    if (is_json) {
        printf("{\"lines\":[%s]}\n", out.data != NULL ? out.data : "");
    }
    return out.failed ? flo_fail(err, FLO_E_MEMORY, "history") : 0;
}
