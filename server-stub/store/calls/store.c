/* Store: opening, transactions, settings and counters. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <flotilla/errors/db.h>
#include <flotilla/errors/io.h>

#include "server-stub/store/calls/kept.h"
#include "server-stub/store/memory/memory.h"
#include "server-stub/store/postgresql/postgresql.h"
#include "server-stub/store/sqlite/sqlite.h"

/* ---- opening ---- */

static int open_engine(const char *dir, uint64_t epoch, struct flo_store_engine **out,
                       struct flo_err *err)
{
    if (strcmp(dir, ":memory:") == 0) {
        return flo_memory_open(out, err);
    }
    if (!flo_postgresql_is(dir)) {
        return flo_sqlite_open(dir, out, err);
    }
    return flo_postgresql_open(dir, epoch, NULL, out, err);
}

int flo_fleet_over(struct flo_store_engine *engine, struct flo_fleet_store **out,
                   struct flo_err *err)
{
    struct flo_fleet_store *store = calloc(1, sizeof(*store));

    if (store == NULL) {
        engine->ops->close(engine);
        return flo_fail(err, FLO_E_MEMORY, "store");
    }
    store->engine = engine;
    *out = store;
    return 0;
}

int flo_fleet_open(const char *dir, uint64_t epoch, struct flo_fleet_store **out,
                   struct flo_err *err)
{
    struct flo_store_engine *engine = NULL;

    FLO_TRY(open_engine(dir, epoch, &engine, err));
    return flo_fleet_over(engine, out, err);
}

void flo_fleet_on_wait(struct flo_fleet_store *store,
                       bool (*may_wait_or_null)(void *context, bool is_commit), void *context)
{
    if (store->engine->ops->on_wait != NULL) {
        store->engine->ops->on_wait(store->engine, may_wait_or_null, context);
    }
}

void flo_fleet_close(struct flo_fleet_store *store)
{
    struct flo_err err = {0};

    if (store != NULL) {
        if (flo_fleet_queue_stop(store, &err) < 0) {
            flo_log_err(FLO_LOG_ERROR, "store", &err);
        }
        store->engine->ops->close(store->engine);
        flo_device_index_deinit(&store->device_index);
        flo_fleet_wanted_deinit(store);
        flo_fleet_facts_deinit(&store->facts);
        flo_outcome_books_deinit(store);
        free(store->makings.items);
        explicit_bzero(&store->seals, sizeof(store->seals));
        free(store);
    }
}

bool flo_fleet_is_failure(int code)
{
    return code == FLO_E_DB || code == FLO_E_DB_UNREACHABLE || code == FLO_E_DB_DAMAGED ||
           code == FLO_E_DB_REPLACED || code == FLO_E_DB_SLOW || code == FLO_E_DISK_FULL ||
           code == FLO_E_DESCRIPTORS || code == FLO_E_MEMORY;
}

/* ---- transactions ---- */

int flo_fleet_begin(struct flo_fleet_store *store, struct flo_err *err)
{
    if (store->is_open) {
        return flo_fail(err, FLO_E_DB, "a transaction is open already");
    }
    int rv = flo_fleet_queue_enter(store, err);
    if (rv == 0) {
        rv = store->engine->ops->begin(store->engine, err);
    }
    store->changes_before = store->changes;
    store->seals.sums_before = store->seals.sums;
    store->is_open = rv == 0;
    return rv;
}

int flo_fleet_commit(struct flo_fleet_store *store, struct flo_err *err)
{
    if (!store->is_open) {
        return flo_fail(err, FLO_E_DB, "no transaction is open");
    }
    int rv = flo_fleet_sums_write(store, err);
    if (rv < 0) {
        flo_fleet_roll_back(store);
        return rv;
    }
    rv = store->engine->ops->commit(store->engine, err);
    store->is_open = false;
    if (rv < 0) {
        flo_fleet_sums_cancel(store);
        flo_device_index_cancel(&store->device_index);
        flo_fleet_wanted_doubt(store);
        flo_fleet_facts_doubt(store);
    } else {
        flo_device_index_commit(&store->device_index);
        store->wanted.is_changed = false;
        store->makings.is_changed = false;
    }
    if (rv == 0 && store->changes != store->changes_before) {
        flo_fleet_queue_add(store);
    }
    return rv;
}

void flo_fleet_roll_back(struct flo_fleet_store *store)
{
    store->engine->ops->cancel(store->engine);
    store->is_open = false;
    flo_fleet_sums_cancel(store);
    flo_device_index_cancel(&store->device_index);
    flo_fleet_wanted_doubt(store);
    flo_fleet_facts_doubt(store);
}

uint64_t flo_fleet_statements(const struct flo_fleet_store *store)
{
    return store->statements;
}

/* ---- settings and counters ---- */

struct room {
    struct flo_fleet_store *store;
    char *out;
    size_t bytes;
};

/* Takes a setting's text.  One that is sealed, but not by us, counts as
 * absent. */
static int take_setting(void *context, const struct flo_row *row)
{
    const struct room *room = context;

    if (flo_fleet_is_sealed(room->store, row, NULL)) {
        snprintf(room->out, room->bytes, "%s", flo_row_text(row, FLO_FIELD_SETTING_VALUE));
    }
    return 0;
}

int flo_fleet_setting_get(struct flo_fleet_store *store, const char *name, char *out,
                          size_t out_bytes, struct flo_err *err)
{
    struct room room = {store, out, out_bytes};

    out[0] = '\0';
    return flo_fleet_find_one(store, ROWS(SETTING, text_is(FLO_FIELD_SETTING_NAME, name)),
                              take_setting, &room, NULL, err);
}

int flo_fleet_setting_set(struct flo_fleet_store *store, const char *name, const char *value,
                          struct flo_err *err)
{
    return flo_fleet_put(
        store, FLO_TABLE_SETTING,
        CHANGES(set_text(FLO_FIELD_SETTING_NAME, name), set_text(FLO_FIELD_SETTING_VALUE, value)),
        err);
}

int flo_fleet_skip(struct flo_fleet_store *store, const char *counter, uint64_t count,
                   struct flo_err *err)
{
    return flo_fleet_put(store, FLO_TABLE_COUNTER,
                         CHANGES(set_text(FLO_FIELD_COUNTER_NAME, counter),
                                 add_number(FLO_FIELD_COUNTER_VALUE, count)),
                         err);
}

int flo_fleet_newest(struct flo_fleet_store *store, const char *counter, uint64_t *out,
                     struct flo_err *err)
{
    struct flo_number value = {.field = FLO_FIELD_COUNTER_VALUE};

    FLO_TRY(flo_fleet_find_one(store, ROWS(COUNTER, text_is(FLO_FIELD_COUNTER_NAME, counter)),
                               flo_fleet_take_number, &value, NULL, err));
    *out = value.number;
    return 0;
}

int flo_fleet_next(struct flo_fleet_store *store, const char *counter, uint64_t *out,
                   struct flo_err *err)
{
    FLO_TRY(flo_fleet_skip(store, counter, 1, err));
    return flo_fleet_newest(store, counter, out, err);
}
