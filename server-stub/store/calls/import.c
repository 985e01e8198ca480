/* Store: imports all rows of a SQLite file into an empty store of another
 * engine. */
#include <stdlib.h>

#include "server-stub/store/calls/kept.h"
#include "server-stub/store/sqlite/sqlite.h"

struct import {
    struct flo_fleet_store *to;
    uint64_t rows;
    struct flo_err *err;
};

static int is_empty(struct flo_fleet_store *store, bool *out, struct flo_err *err)
{
    uint64_t rows = 0;
    int rv = 0;

    for (int table = 0; rv == 0 && rows == 0 && table < FLO_TABLES; table++) {
        const struct flo_query query = {.table = (enum flo_table)table};
        rv = flo_fleet_count_all(store, &query, &rows, err);
    }
    *out = rows == 0;
    return rv;
}

/* Copies a row.  The row gets a new serial number, and rows keep their
 * order. */
static int take_row(void *context, const struct flo_row *row)
{
    const struct flo_table_facts *facts = &flo_tables[row->table];
    struct flo_field_change changes[FLO_TABLE_FIELDS_MAX];
    struct import *import = context;
    size_t count = 0;

    for (int field = facts->first; field < facts->end; field++) {
        if (flo_fields[field].type != FLO_TYPE_SERIAL) {
            changes[count++] = (struct flo_field_change){
                .field = (enum flo_field)field, .value = row->values[field - facts->first]};
        }
    }
    import->rows++;
    return flo_fleet_insert(import->to, row->table, changes, count, NULL, import->err);
}

static int copy(struct flo_store_engine *from, struct import *import, struct flo_err *err)
{
    int rv = 0;

    for (int table = 0; rv == 0 && table < FLO_TABLES; table++) {
        struct flo_query query = {.table = (enum flo_table)table};
        for (int key = 0; key < flo_tables[table].keys; key++) {
            query.sorts[query.sort_count++].field = (enum flo_field)(flo_tables[table].first + key);
        }
        rv = from->ops->find(from, &query, take_row, import, err);
        if (rv < 0) {
            flo_wrap(err, rv, "table %s", flo_tables[table].word);
        }
    }
    return rv;
}

int flo_fleet_import(struct flo_fleet_store *store, const char *dir, uint64_t *rows,
                     struct flo_err *err)
{
    struct flo_store_engine *from = NULL;
    struct import import = {.to = store, .err = err};
    bool empty = false;
    int rv = is_empty(store, &empty, err);

    if (rv == 0 && !empty) {
        rv = flo_fail(err, FLO_E_STATE, "the database is not empty: nothing is copied into it");
        flo_err_fix(err, "after a copy that was cut at its end rename "
                         "control.db to control.db.imported");
    }
    FLO_TRY(rv);
    FLO_TRY(flo_sqlite_open(dir, &from, err));
    rv = flo_fleet_begin(store, err);
    if (rv == 0) {
        rv = copy(from, &import, err);
        if (rv == 0) {
            rv = flo_fleet_commit(store, err);
        } else {
            flo_fleet_roll_back(store);
        }
    }
    from->ops->close(from);
    *rows = import.rows;
    return rv;
}
