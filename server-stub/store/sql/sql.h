/* SQL: text of the queries and changes of the tables, for SQL engines. */
#ifndef FLOTILLA_SERVER_SQL_H
#define FLOTILLA_SERVER_SQL_H

#include "base/host/db_value.h"

#include "server-stub/store/tables.h"

struct flo_sql_dialect {
    bool is_numbered;  /* parameters are written $1, $2 and so on; false: each is ? */
    bool has_unary;    /* a unary + before a field prevents the use of an index for it */
    bool has_no_order; /* without ORDER BY the order of rows is undefined */
    const char *quote; /* quote around a name, because the name may be a reserved word */
    /* Natural sort by name: text in front of the field, and text after it. */
    const char *natural, *natural_end;
    const char *first, *last; /* text that puts rows without a match in the
                                 joined table first, or last */
};
extern const struct flo_sql_dialect flo_sql_sqlite, flo_sql_postgresql;

/* A statement: its text, and the values of its parameters in order. */
#define FLO_SQL_VALUES_MAX 64
struct flo_sql {
    const struct flo_sql_dialect *dialect;
    bool has_two; /* two tables are read, so field names need the name of their table */
    struct flo_buf text;
    struct flo_db_value values[FLO_SQL_VALUES_MAX];
    size_t count;
    /* Table and fields that the present `text` writes.  The text is kept,
     * because thousands of puts with the same fields may follow each other. */
    enum flo_table table;
    struct {
        enum flo_field field;
        enum flo_change_how how;
    } put[FLO_TABLE_FIELDS_MAX];
    size_t put_count; /* 0: another statement */
};
void flo_sql_select(struct flo_sql *sql, const struct flo_query *query);
void flo_sql_count(struct flo_sql *sql, const struct flo_query *query, const enum flo_field *by,
                   size_t by_count);
void flo_sql_insert(struct flo_sql *sql, enum flo_table table,
                    const struct flo_field_change *changes, size_t count);
void flo_sql_put(struct flo_sql *sql, enum flo_table table, const struct flo_field_change *changes,
                 size_t count);
void flo_sql_update(struct flo_sql *sql, enum flo_table table,
                    const struct flo_field_change *changes, size_t count,
                    const struct flo_match *matches, size_t match_count);
void flo_sql_remove(struct flo_sql *sql, enum flo_table table, const struct flo_match *matches,
                    size_t match_count);

#endif
