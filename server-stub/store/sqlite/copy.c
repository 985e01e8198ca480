/* SQLite: copies a database that a controller writes. */
#include "base/host/db.h"

#include "server-stub/store/sqlite/sqlite.h"

#define BUSY_MS 60000

int flo_sqlite_copy(const char *from, const char *to, struct flo_err *err)
{
    FLO_CLEANUP(flo_db_cleanup) struct flo_db *db = NULL;

    FLO_TRY(flo_db_open(from, FLO_DB_SYNC_FULL, BUSY_MS, &db, err));
    return flo_db_copy(db, to, err);
}
