/* SQLite: syncs of the log outside of commits.  With synchronous=NORMAL a
 * commit only appends to control.db-wal, and a sync of that file makes all
 * commits in it durable.  A second handle moves the log into control.db while
 * the first one commits. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "server-stub/store/sqlite/file.h"

#define MOVE_PAGES 2500  /* 10 MiB; a page that changes often is then moved only once */
#define FULL_PAGES 16000 /* 64 MiB */
/* number of bytes that are written at a time when the log is written again */
#define PIECE_BYTES (1 << 16)
#define BUSY_MS 5000

static struct flo_sqlite *sqlite_of(struct flo_store_engine *engine)
{
    return (struct flo_sqlite *)engine;
}

int flo_sqlite_look(struct flo_store_engine *engine, struct flo_err *err)
{
    return flo_db_look(sqlite_of(engine)->db, err);
}

/* Syncs the log, and checks that its file is still the one that the next start
 * would open. */
static int sync_log(struct flo_sqlite *sqlite, struct flo_err *err)
{
    return fdatasync(sqlite->log_fd) < 0
               ? flo_fail_errno(err, FLO_E_DB, "sync %s-wal", sqlite->path)
               : flo_sqlite_look(&sqlite->engine, err);
}

/* Opens the log. A killed process may have left unsynced commits. They are
 * synced first, because their data is used from now on. */
int flo_sqlite_log_open(struct flo_sqlite *sqlite, struct flo_err *err)
{
    char path[4200];

    snprintf(path, sizeof(path), "%s-wal", sqlite->path);
    sqlite->log_fd = open(path, O_RDWR | O_CLOEXEC);
    if (sqlite->log_fd < 0) {
        return flo_fail_errno(err, FLO_E_DB, "open %s", path);
    }
    return sync_log(sqlite, err);
}

int flo_sqlite_hold(struct flo_store_engine *engine, bool on, struct flo_err *err)
{
    struct flo_sqlite *sqlite = sqlite_of(engine);
    int rv = 0;

    if (!on) {
        return flo_db_exec(sqlite->db,
                           "PRAGMA synchronous=FULL;"
                           "PRAGMA wal_autocheckpoint=1000",
                           err);
    }
    if (sqlite->mover == NULL) {
        rv = flo_db_open(sqlite->path, FLO_DB_SYNC_FULL, BUSY_MS, &sqlite->mover, err);
    }
    if (rv == 0) {
        rv = flo_db_exec(sqlite->db, "PRAGMA synchronous=NORMAL", err);
    }
    if (rv == 0) {
        flo_db_log_keep(sqlite->db);
    }
    return rv;
}

int flo_sqlite_sync(struct flo_store_engine *engine, struct flo_err *err)
{
    return sync_log(sqlite_of(engine), err);
}

/* Moves the log's pages into the tables.  A move that a reader or a commit
 * stopped does not sync the file.  After an earlier failure the file is
 * therefore synced here, which shows whether the disk works again. */
static int move_log(const struct flo_sqlite *sqlite, struct flo_err *err)
{
    FLO_TRY(flo_db_log_move(sqlite->mover, err));
    return sqlite->is_stuck ? flo_db_file_sync(sqlite->mover, err) : 0;
}

void flo_sqlite_tidy(struct flo_store_engine *engine)
{
    struct flo_sqlite *sqlite = sqlite_of(engine);
    struct flo_err err = {0};

    if (flo_db_log_pages(sqlite->db) < MOVE_PAGES) {
        return;
    }
    int rv = move_log(sqlite, &err);
    if (rv < 0 && !sqlite->is_stuck) {
        flo_wrap(&err, err.code, "%s-wal grows until this works", sqlite->path);
        flo_log_err(FLO_LOG_ERROR, "store", &err);
    }
    sqlite->is_stuck = rv < 0;
}

bool flo_sqlite_is_full(struct flo_store_engine *engine)
{
    return flo_db_log_pages(sqlite_of(engine)->db) >= FULL_PAGES;
}

/* Writes the log's bytes again, after a sync failed.  The system may treat an
 * unwritten page as clean, so that the next sync would succeed.  Equal bytes
 * make the page dirty again.  No commit appends to the log meanwhile. */
static int write_again(const struct flo_sqlite *sqlite, struct flo_err *err)
{
    char *piece = malloc(PIECE_BYTES);
    ssize_t bytes = piece == NULL ? 0 : 1;
    off_t at = 0;
    int rv = piece == NULL ? flo_fail(err, FLO_E_MEMORY, "log") : 0;

    while (rv == 0 && bytes > 0) {
        bytes = pread(sqlite->log_fd, piece, PIECE_BYTES, at);
        if (bytes < 0 || pwrite(sqlite->log_fd, piece, (size_t)bytes, at) != bytes) {
            rv = flo_fail_errno(err, FLO_E_DB, "write %s-wal again", sqlite->path);
        }
        at += bytes;
    }
    free(piece);
    return rv;
}

int flo_sqlite_settle(struct flo_store_engine *engine, struct flo_err *err)
{
    struct flo_sqlite *sqlite = sqlite_of(engine);

    FLO_TRY(write_again(sqlite, err));
    return sync_log(sqlite, err);
}
