/* Statements: runs SQL on outbox.db, and stores small values in it. */
#include <stdlib.h>
#include <string.h>

#include "agent/shell/outbox/outbox_state.h"

int flo_outbox_db_run(struct flo_outbox_db *db, const char *sql, const struct flo_db_value *values,
                      size_t count, struct flo_err *err)
{
    return db->sqlite == NULL ? flo_fail(err, FLO_E_DB, NO_OUTBOX)
                              : flo_db_run(db->sqlite, sql, values, count, err);
}

int64_t flo_outbox_db_number(struct flo_outbox_db *db, const char *sql)
{
    struct flo_db_statement *statement;
    int64_t value = 0;
    bool has_row = false;

    if (db->sqlite != NULL && flo_db_query(db->sqlite, sql, FLO_DB_NONE, &statement, NULL) == 0 &&
        flo_db_step(statement, &has_row, NULL) == 0 && has_row) {
        value = flo_db_column_i64(statement, 0);
        flo_db_reset(statement);
    }
    return value;
}

int flo_values_store(struct flo_outbox_db *db, const char *key, const char *value,
                     struct flo_err *err)
{
    return flo_outbox_db_run(db,
                             "INSERT INTO value (key, text) VALUES (?, ?) ON CONFLICT (key) "
                             "DO UPDATE SET text = excluded.text",
                             FLO_DB_VALUES(flo_db_text(key), flo_db_text(value)), err);
}

int flo_values_store_number(struct flo_outbox_db *db, const char *key, int64_t value,
                            struct flo_err *err)
{
    return flo_outbox_db_run(db,
                             "INSERT INTO value (key, text) VALUES (?, ?) ON CONFLICT (key) "
                             "DO UPDATE SET text = excluded.text",
                             FLO_DB_VALUES(flo_db_text(key), flo_db_number(value)), err);
}

int flo_outbox_db_begin(struct flo_outbox_db *db, struct flo_err *err)
{
    flo_outbox_db_look(db);
    return db->sqlite == NULL ? flo_fail(err, FLO_E_DB, NO_OUTBOX) : flo_db_begin(db->sqlite, err);
}

int flo_outbox_db_commit(struct flo_outbox_db *db, int rv, struct flo_err *err)
{
    if (rv == 0) {
        return flo_db_commit(db->sqlite, err);
    }
    flo_db_roll_back(db->sqlite);
    return rv;
}

int flo_outbox_db_relax(struct flo_outbox_db *db, bool is_relaxed)
{
    struct flo_err err = {0};

    if (is_relaxed) {
        flo_outbox_db_look(db);
    }
    int rv = db->sqlite == NULL
                 ? flo_fail(&err, FLO_E_DB, NO_OUTBOX)
                 : flo_db_exec(db->sqlite,
                               is_relaxed ? "PRAGMA synchronous=NORMAL" : "PRAGMA synchronous=FULL",
                               &err);

    if (rv < 0) {
        flo_outbox_db_complain(&err);
    }
    return rv;
}

int64_t flo_outbox_db_crc(const char *text)
{
    return (int64_t)flo_crc32c(0, text, strlen(text));
}

/* ---- small values ---- */

void flo_values_set(struct flo_outbox_db *db, const char *key, const char *value)
{
    struct flo_err err = {0};

    if (flo_values_store(db, key, value, &err) < 0) {
        flo_outbox_db_complain(&err);
    }
}

char *flo_outbox_db_text(struct flo_outbox_db *db, const char *sql, const char *key)
{
    struct flo_db_statement *statement;
    bool has_row = false;
    char *text = NULL;

    if (db->sqlite == NULL ||
        flo_db_query(db->sqlite, sql, FLO_DB_VALUES(flo_db_text(key)), &statement, NULL) < 0) {
        return NULL;
    }
    if (flo_db_step(statement, &has_row, NULL) == 0 && has_row) {
        text = strdup(flo_db_column_text(statement, 0));
        flo_db_reset(statement);
    }
    return text;
}

char *flo_values_get(struct flo_outbox_db *db, const char *key)
{
    return flo_outbox_db_text(db, "SELECT text FROM value WHERE key = ?", key);
}

int64_t flo_values_number(struct flo_outbox_db *db, const char *key)
{
    struct flo_db_statement *statement;
    bool has_row = false;
    int64_t value = 0;

    if (db->sqlite == NULL ||
        flo_db_query(db->sqlite, "SELECT CAST(text AS INTEGER) FROM value WHERE key = ?",
                     FLO_DB_VALUES(flo_db_text(key)), &statement, NULL) < 0) {
        return 0;
    }
    if (flo_db_step(statement, &has_row, NULL) == 0 && has_row) {
        value = flo_db_column_i64(statement, 0);
        flo_db_reset(statement);
    }
    return value;
}

void flo_values_set_number(struct flo_outbox_db *db, const char *key, int64_t value)
{
    struct flo_err err = {0};

    if (flo_values_store_number(db, key, value, &err) < 0) {
        flo_outbox_db_complain(&err);
    }
}
