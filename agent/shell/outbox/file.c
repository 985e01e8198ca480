/* Outbox file: opens outbox.db with its tables, and writes it again if another
 * process removed it. */
#include <errno.h>
#include <unistd.h>

#include <flotilla/errors/db.h>

#include "agent/shell/outbox/outbox_state.h"

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
    /* Removes facts that the device record and the slot records contain now:
     * pauses and blocked releases. */
    "DROP TABLE used;"
    "DELETE FROM value WHERE key = 'paused' OR key LIKE 'ordered-denial:%';",
    /* Adds a column for the kind of each event, and deletes answers that only
     * say "running". */
    "ALTER TABLE event ADD COLUMN kind INTEGER NOT NULL DEFAULT 0;"
    "UPDATE event SET kind = 1 WHERE instr(body, '\"type\":\"note\"')"
    " OR instr(body, '\"type\":\"security\"');"
    "UPDATE event SET kind = 2 WHERE instr(body, '\"type\":\"serving\"');"
    "DELETE FROM answer WHERE instr(body, '\"outcome\":\"running\"');"};

int flo_outbox_file_open(struct flo_outbox_db *db, struct flo_err *err)
{
    int rv = flo_db_open(db->path, FLO_DB_SYNC_FULL, 2000, &db->sqlite, err);

    if (rv == 0) {
        rv = flo_db_check(db->sqlite, err);
    }
    if (rv == 0) {
        rv = flo_db_migrate(db->sqlite, schema, FLO_COUNT(schema), err);
    }
    if (rv == 0) {
        rv = flo_db_exec(db->sqlite,
                         "PRAGMA cache_size=-256;"
                         "PRAGMA wal_autocheckpoint=32;"
                         "PRAGMA journal_size_limit=131072;",
                         err);
    }
    if (rv == 0) {
        rv = flo_db_look(db->sqlite, err);
    }
    if (rv < 0) {
        flo_db_close(db->sqlite);
        db->sqlite = NULL;
    }
    return rv;
}

void flo_outbox_db_complain(const struct flo_err *err)
{
    flo_log_err(FLO_LOG_WARN, "outbox", err);
}

/* ---- a file that was taken away ---- */

/* Copies the open database to a new file at `path`. */
static int save(struct flo_outbox_db *db, const char *path, struct flo_err *err)
{
    if (unlink(path) < 0 && errno != ENOENT) {
        return flo_fail_errno(err, FLO_E_IO_WRITE, "%s", path);
    }
    return flo_db_copy(db->sqlite, path, err);
}

/* Renames the file `saved` to outbox.db.  A file that is there now is set
 * aside. */
static int put_back(struct flo_outbox_db *db, const char *saved, struct flo_err *err)
{
    FLO_TRY(flo_db_set_aside(db->path, "replaced", err));
    if (rename(saved, db->path) < 0) {
        return flo_fail_errno(err, FLO_E_IO_WRITE, "%s", db->path);
    }
    return flo_dir_sync(db->dir, err);
}

void flo_outbox_db_look(struct flo_outbox_db *db)
{
    char saved[sizeof(db->path) + 8];
    struct flo_err why = {0};
    struct flo_err err = {0};

    if (db->sqlite == NULL || flo_db_look(db->sqlite, &why) >= 0) {
        return;
    }
    flo_outbox_db_complain(&why);
    if (why.code != FLO_E_DB_REPLACED) {
        return;
    }
    snprintf(saved, sizeof(saved), "%s.saved", db->path);
    int rv = save(db, saved, &err);
    if (rv < 0) { /* the copy failed; the next write to the database tries again */
        flo_outbox_db_complain(&err);
        return;
    }
    flo_db_close(db->sqlite);
    db->sqlite = NULL;
    rv = put_back(db, saved, &err);
    if (rv == 0) {
        rv = flo_outbox_file_open(db, &err);
    }
    if (rv < 0) {
        flo_outbox_db_complain(&err);
    }
    db->replaced = why; /* the next trace that is stored reports why the file was replaced */
}
