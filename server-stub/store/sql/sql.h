/* SQL: queries and changes of the tables as text, for engines that know it. */
#ifndef FLOTILLA_SERVER_SQL_H
#define FLOTILLA_SERVER_SQL_H

#include "base/host/db_value.h"

#include "server-stub/store/tables.h"

struct flo_sql_dialect {
    bool is_numbered;  /* parameters: $1, $2; else ? */
    bool has_unary;    /* a field behind + is not looked up by an index */
    bool has_no_order; /* rows have no order where a query names none */
    const char *quote; /* around names that may be the language's words */
    const char *max;   /* the function of two values */
    /* A sort by name: in front of the field, and behind it. */
    const char *natural, *natural_end;
    const char *first, *last; /* where rows without a joined one stand */
};
extern const struct flo_sql_dialect flo_sql_sqlite, flo_sql_postgresql;

/* A statement: its text, and the values of its parameters in their order. */
#define FLO_SQL_VALUES_MAX 64
struct flo_sql {
    const struct flo_sql_dialect *dialect;
    bool has_two; /* tables: names of fields need theirs */
    struct flo_buf text;
    struct flo_db_value values[FLO_SQL_VALUES_MAX];
    size_t count;
    /* `text` is of a put of these fields: thousands of rows follow each other,
     * and their text is the same. */
    enum flo_table table;
    struct {
        enum flo_field field;
        enum flo_change_how how;
    } put[FLO_TABLE_FIELDS_MAX];
    size_t put_count; /* 0: it is of something else */
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
