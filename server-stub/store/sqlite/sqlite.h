/* SQLite engine: keeps the tables in a SQLite file, control.db in DIR. */
#ifndef FLOTILLA_SERVER_SQLITE_H
#define FLOTILLA_SERVER_SQLITE_H

#include "server-stub/store/tables.h"

FLO_MUST_USE int flo_sqlite_open(const char *dir, struct flo_store_engine **out,
                                 struct flo_err *err);
/* Copies the database file `from` to the new file `to` (flo_db_copy).  Other
 * processes may write to `from` meanwhile. */
FLO_MUST_USE int flo_sqlite_copy(const char *from, const char *to, struct flo_err *err);

#endif
