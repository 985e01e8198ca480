/* Statements on outbox.db, and the small values that it keeps. */
#include <stdlib.h>
#include <string.h>

#include "agent/shell/outbox/inside.h"

#define NO_OUTBOX "there is no outbox"

void flo_outbox_db_complain(const struct flo_err *err)
{
    flo_log_err(FLO_LOG_WARN, "outbox", err);
}

/* One statement with up to three texts or numbers ("t", "i"). */
int flo_outbox_db_run(struct flo_outbox_db *db, const char *sql,
                      const char *kinds, const char *text_1, int64_t number,
                      const char *text_2, struct flo_err *err)
{
    struct flo_db_statement *statement;
    int rv;
    int i;

    if (db->sqlite == NULL) {
        return flo_fail(err, FLO_E_DB, NO_OUTBOX);
    }
    rv = flo_db_prepare(db->sqlite, sql, &statement, err);
    if (rv < 0) {
        return rv;
    }
    for (i = 0; kinds[i] != '\0'; i++) {
        if (kinds[i] == 'n') {
            flo_db_bind_i64(statement, i + 1, number);
        } else {
            flo_db_bind_text(statement, i + 1,
                             kinds[i] == 'a' ? text_1 : text_2);
        }
    }
    return flo_db_run(statement, err);
}

int64_t flo_outbox_db_number(struct flo_outbox_db *db, const char *sql)
{
    struct flo_db_statement *statement;
    int64_t value = 0;
    bool has_row = false;

    if (db->sqlite != NULL &&
        flo_db_prepare(db->sqlite, sql, &statement, NULL) == 0 &&
        flo_db_step(statement, &has_row, NULL) == 0 && has_row) {
        value = flo_db_column_i64(statement, 0);
        flo_db_reset(statement);
    }
    return value;
}

int flo_values_store(struct flo_outbox_db *db, const char *key,
                     const char *value, struct flo_err *err)
{
    return flo_outbox_db_run(
        db,
        "INSERT INTO value (key, text) VALUES (?, ?) ON CONFLICT (key) "
        "DO UPDATE SET text = excluded.text",
        "ab", key, 0, value, err);
}

int flo_values_store_number(struct flo_outbox_db *db, const char *key,
                            int64_t value, struct flo_err *err)
{
    return flo_outbox_db_run(
        db,
        "INSERT INTO value (key, text) VALUES (?, ?) ON CONFLICT (key) "
        "DO UPDATE SET text = excluded.text",
        "an", key, value, NULL, err);
}

int flo_outbox_db_begin(struct flo_outbox_db *db, struct flo_err *err)
{
    return db->sqlite == NULL ? flo_fail(err, FLO_E_DB, NO_OUTBOX)
                              : flo_db_begin(db->sqlite, err);
}

/* The end of what began: all of it, or nothing when `rv` says so. */
int flo_outbox_db_commit(struct flo_outbox_db *db, int rv, struct flo_err *err)
{
    if (rv == 0) {
        return flo_db_commit(db->sqlite, err);
    }
    flo_db_roll_back(db->sqlite);
    return rv;
}

/* Without syncs (NORMAL) or with (FULL). */
int flo_outbox_db_relax(struct flo_outbox_db *db, bool is_relaxed)
{
    struct flo_err err = {0};
    int rv = db->sqlite == NULL
                 ? flo_fail(&err, FLO_E_DB, NO_OUTBOX)
                 : flo_db_exec(db->sqlite,
                               is_relaxed ? "PRAGMA synchronous=NORMAL"
                                          : "PRAGMA synchronous=FULL",
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

void flo_values_set(struct flo_outbox_db *db, const char *key,
                    const char *value)
{
    struct flo_err err = {0};

    if (flo_values_store(db, key, value, &err) < 0) {
        flo_outbox_db_complain(&err);
    }
}

char *flo_outbox_db_text(struct flo_outbox_db *db, const char *sql,
                         const char *key)
{
    struct flo_db_statement *statement;
    bool has_row = false;
    char *text = NULL;

    if (db->sqlite == NULL ||
        flo_db_prepare(db->sqlite, sql, &statement, NULL) < 0) {
        return NULL;
    }
    flo_db_bind_text(statement, 1, key);
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
        flo_db_prepare(db->sqlite,
                       "SELECT CAST(text AS INTEGER) FROM value WHERE key = ?",
                       &statement, NULL) < 0) {
        return 0;
    }
    flo_db_bind_text(statement, 1, key);
    if (flo_db_step(statement, &has_row, NULL) == 0 && has_row) {
        value = flo_db_column_i64(statement, 0);
        flo_db_reset(statement);
    }
    return value;
}

void flo_values_set_number(struct flo_outbox_db *db, const char *key,
                           int64_t value)
{
    struct flo_err err = {0};

    if (flo_values_store_number(db, key, value, &err) < 0) {
        flo_outbox_db_complain(&err);
    }
}
