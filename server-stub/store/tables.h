/* Tables: the calls on tables by which the store's typed calls use an engine.
 *
 * The typed calls of store.h (calls/) are the same for all engines.  An engine
 * keeps the tables of tables.def, and offers the calls of `struct
 * flo_store_ops`: sqlite/ in a file, memory/ in memory.  An engine knows
 * tables, fields and matches, and nothing of devices or orders.  It promises:
 *
 * - The changes between begin and commit are atomic.
 * - A commit that returned 0 is durable.  While `hold` is on, a commit is
 *   ordered after all earlier ones, and durable after the next `sync`.
 * - A read sees each change that was made before it, durable or not.
 * - No value is NULL: texts and digests that were not given are empty.
 * - An engine behind a network may hold back a change whose `changed` is
 *   NULL, and send such changes together.  It must send them before it
 *   reads.  Their errors come then, or with the commit.
 * - One thread calls, but `sync` and `tidy` have a thread each.  Meanwhile
 *   the first thread may make all calls but `hold` and `settle`. */
#ifndef FLOTILLA_SERVER_TABLES_H
#define FLOTILLA_SERVER_TABLES_H

#include <flotilla/base.h>

/* ---- tables and fields ---- */

enum flo_table {
#define FLO_TABLE(name, word, keys) FLO_TABLE_##name,
#include "server-stub/store/tables.def"
    FLO_TABLES
};

/* Fields of all tables.  FLO_FIELDS_DEVICE is the first field of the table
 * DEVICE, and FLO_FIELDS_END_DEVICE the number after its last one. */
enum flo_field {
#define FLO_TABLE(name, word, keys)                                                                \
    FLO_FIELDS_##name, FLO_FIELDS_BACK_##name = FLO_FIELDS_##name - 1,
#define FLO_FIELD(table, name, word, type) FLO_FIELD_##table##_##name,
#define FLO_END(table) FLO_FIELDS_END_##table, FLO_FIELDS_LAST_##table = FLO_FIELDS_END_##table - 1,
#include "server-stub/store/tables.def"
    FLO_FIELDS
};

enum flo_field_type {
    FLO_TYPE_TEXT,
    FLO_TYPE_WORD,
    FLO_TYPE_NUMBER,
    FLO_TYPE_FLAG,
    FLO_TYPE_DIGEST,
    FLO_TYPE_SERIAL
};
struct flo_field_facts {
    const char *word;
    enum flo_table table;
    enum flo_field_type type;
};
struct flo_table_facts {
    const char *word;
    int first, end; /* field numbers */
    int keys;
};
#define FLO_INDEX_FIELDS_MAX 4
struct flo_index_facts {
    enum flo_table table;
    bool is_unique;
    int count;
    enum flo_field fields[FLO_INDEX_FIELDS_MAX];
};
#define FLO_TABLE_FIELDS_MAX 20
extern const struct flo_field_facts flo_fields[FLO_FIELDS];
extern const struct flo_table_facts flo_tables[FLO_TABLES];
extern const struct flo_index_facts flo_indexes[];
extern const int flo_index_count;

static inline bool flo_field_is_text(enum flo_field field)
{
    return flo_fields[field].type <= FLO_TYPE_WORD;
}

/* ---- values and rows ---- */

/* Value of a field; the field's type decides which member is used. */
struct flo_value {
    const char *text;
    uint64_t number;
    const struct flo_digest *digest;
};

/* Row of a listing: the values of a table in the order of its fields, and those
 * of the joined table.  Without a joined row the latter are empty. */
struct flo_row {
    const struct flo_value *values;
    const struct flo_value *joined;
    enum flo_table table;
};
const char *flo_row_text(const struct flo_row *row, enum flo_field field);
uint64_t flo_row_number(const struct flo_row *row, enum flo_field field);
static inline bool flo_row_flag(const struct flo_row *row, enum flo_field field)
{
    return flo_row_number(row, field) != 0;
}
struct flo_digest flo_row_digest(const struct flo_row *row, enum flo_field field);

/* ---- queries ---- */

enum flo_match_how {
    FLO_MATCH_IS,
    FLO_MATCH_IS_NOT,
    FLO_MATCH_BELOW,
    FLO_MATCH_UP_TO,
    FLO_MATCH_ABOVE,
    FLO_MATCH_FROM,
    FLO_MATCH_ONE_OF, /* the field is one of `count` values in `list` */
    /* The field equals the field `among` of some row of that field's table.  If
     * `where` is set, only rows count whose field `where` equals `value`. */
    FLO_MATCH_AMONG,
    FLO_MATCH_NOT_AMONG /* the field's value is not found by FLO_MATCH_AMONG */
};
#define FLO_MATCH_LIST_MAX 16
struct flo_match {
    /* A field of the query's table, or of the joined table. */
    enum flo_field field;
    enum flo_match_how how;
    bool is_common; /* most rows match, so rows are not looked up by this field */
    struct flo_value value;
    const struct flo_value *list;
    size_t count;
    enum flo_field among, where;
};

struct flo_sort {
    enum flo_field field;
    bool is_down;
    bool is_natural; /* by flo_natural_compare */
};

#define FLO_MATCHES_MAX 8
#define FLO_SORTS_MAX 4
struct flo_query {
    enum flo_table table;
    /* Join of a second table: its unique field `join` equals the field `by` of
     * the query's table.  Both are 0 without a join. */
    enum flo_field join, by;
    bool needs_joined; /* a row without a match in the joined table is left out */
    struct flo_match matches[FLO_MATCHES_MAX];
    size_t match_count;
    struct flo_sort sorts[FLO_SORTS_MAX];
    size_t sort_count;
    uint64_t limit; /* 0: all */
    uint64_t offset;
};

/* ---- changes ---- */

enum flo_change_how {
    FLO_CHANGE_SET,
    FLO_CHANGE_ADD, /* adds to the field in two's complement, so that UINT64_MAX subtracts one */
    FLO_CHANGE_SET_FIRST /* for a put: an existing row keeps its value */
};
struct flo_field_change {
    enum flo_field field;
    enum flo_change_how how;
    struct flo_value value;
};

/* ---- an engine ---- */

/* Callback of a listing; `row` is borrowed for the call. The callback may read
 * and change rows, but must not run the same query. A result other than 0 ends
 * the listing and is returned. */
typedef int (*flo_row_take)(void *context, const struct flo_row *row);
/* Callback of a count.  `row` has only the fields by which rows are counted. */
typedef int (*flo_count_take)(void *context, const struct flo_row *row, uint64_t count);

/* Base of an engine, which is the first member of each engine's struct. */
struct flo_store_engine {
    const struct flo_store_ops *ops;
};

struct flo_store_ops {
    void (*close)(struct flo_store_engine *engine);
    /* Sets the callback of flo_fleet_on_wait (store.h).  NULL: the engine never
     * waits. */
    void (*on_wait)(struct flo_store_engine *engine,
                    bool (*may_wait_or_null)(void *context, bool is_commit), void *context);
    int (*begin)(struct flo_store_engine *engine, struct flo_err *err);
    /* Commits the transaction.  A failed commit is rolled back. */
    int (*commit)(struct flo_store_engine *engine, struct flo_err *err);
    void (*cancel)(struct flo_store_engine *engine);
    /* The next five are NULL for an engine each of whose commits is durable when
     * it returns: it has nothing to sync, to move, or to settle. */
    /* Switches between two kinds of commits.  With `on`, commits become durable
     * only by `sync`; otherwise each is durable when it returns.  Or NULL. */
    int (*hold)(struct flo_store_engine *engine, bool on, struct flo_err *err);
    /* Makes all earlier commits durable.  Or NULL. */
    int (*sync)(struct flo_store_engine *engine, struct flo_err *err);
    /* Moves the log into the tables.  Called after `sync`.  Or NULL. */
    void (*tidy)(struct flo_store_engine *engine);
    /* Tells whether commits must wait until `tidy` has ended.  Or NULL. */
    bool (*is_full)(struct flo_store_engine *engine);
    /* Makes all commits durable after a failed sync, outside of a transaction:
     * the system may have dropped pages that were to be written.  Or NULL. */
    int (*settle)(struct flo_store_engine *engine, struct flo_err *err);
    /* Checks that the next start would find the committed data where they are
     * now.  The call is cheap, and any thread may make it.  NULL: the engine
     * has nothing to check. */
    int (*look)(struct flo_store_engine *engine, struct flo_err *err);
    /* Calls `take` for each row of a query. */
    int (*find)(struct flo_store_engine *engine, const struct flo_query *query, flo_row_take take,
                void *context, struct flo_err *err);
    /* Counts rows for each combination of values of up to two fields `by`.
     * With `by_count` 0 it gives one number for all rows, which may be 0. */
    int (*count)(struct flo_store_engine *engine, const struct flo_query *query,
                 const enum flo_field *by, size_t by_count, flo_count_take take, void *context,
                 struct flo_err *err);
    /* Adds a row.  *changed is 0 when another row has its key or its unique
     * fields; that row stays unchanged. */
    int (*insert)(struct flo_store_engine *engine, enum flo_table table,
                  const struct flo_field_change *changes, size_t count, uint64_t *changed,
                  struct flo_err *err);
    /* Adds a row, or changes the row that has its key. */
    int (*put)(struct flo_store_engine *engine, enum flo_table table,
               const struct flo_field_change *changes, size_t count, struct flo_err *err);
    /* Changes fields of rows, but not their keys.  *changed becomes the number
     * of rows. */
    int (*update)(struct flo_store_engine *engine, enum flo_table table,
                  const struct flo_field_change *changes, size_t count,
                  const struct flo_match *matches, size_t match_count, uint64_t *changed,
                  struct flo_err *err);
    int (*remove)(struct flo_store_engine *engine, enum flo_table table,
                  const struct flo_match *matches, size_t match_count, uint64_t *changed,
                  struct flo_err *err);
};

#endif
