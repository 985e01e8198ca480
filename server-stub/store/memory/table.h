/* Tables in memory; not for others. */
#ifndef FLOTILLA_SERVER_MEMORY_TABLE_H
#define FLOTILLA_SERVER_MEMORY_TABLE_H

#include "server-stub/store/tables.h"

/* A row never changes: a change puts another one in its place.  So a listing
 * goes on over the rows that it found, and a cancel brings the old ones back.
 */
struct flo_memory_row {
    struct flo_memory_row *next; /* in a list of those that left */
    struct flo_value values[];
};

/* Rows in the order of the index's fields, then of the table's keys. */
struct flo_memory_index {
    struct flo_index_facts facts;
    struct flo_memory_row **rows;
    size_t count, capacity;
};

#define FLO_MEMORY_INDEXES_MAX 8
struct flo_memory_table {
    struct flo_memory_index indexes[FLO_MEMORY_INDEXES_MAX]; /* 0: its keys */
    int index_count;
    uint64_t serial;
};

struct flo_memory_change {
    enum flo_table table;
    struct flo_memory_row *before, *after; /* NULL: none */
};

struct flo_memory {
    struct flo_store_engine engine; /* first */
    struct flo_memory_table tables[FLO_TABLES];
    struct flo_memory_change *changes; /* changes of the open transaction */
    size_t change_count, change_capacity;
    bool is_open;
    unsigned listings;           /* under way: they hold rows */
    struct flo_memory_row *left; /* rows to free after them */
};

/* ---- rows.c ---- */

void flo_memory_init(struct flo_memory *memory);
void flo_memory_deinit(struct flo_memory *memory);
int flo_memory_compare(enum flo_field field, const struct flo_value *a, const struct flo_value *b);
/* First place whose row is not before `values` by the first `fields` fields of
 * the index; `values` are in the order of the table's fields. */
size_t flo_memory_place(const struct flo_memory_index *index, const struct flo_value *values,
                        int fields);
/* The row that has these values in the fields of the index, or NULL. */
struct flo_memory_row *flo_memory_equal(const struct flo_memory_index *index,
                                        const struct flo_value *values);
/* Copies the values and what they point to; NULL without memory. */
struct flo_memory_row *flo_memory_row_new(enum flo_table table, const struct flo_value *values);
/* Put `after` where `before` is; either may be NULL.  Takes `after`, also when
 * it fails.
 *
 * FLO_E_STATE  its key or unique fields are taken
 * FLO_E_MEMORY */
FLO_MUST_USE int flo_memory_change(struct flo_memory *memory, enum flo_table table,
                                   struct flo_memory_row *before, struct flo_memory_row *after,
                                   struct flo_err *err);
/* Take the open transaction's changes back, or keep them. */
void flo_memory_undo(struct flo_memory *memory);
void flo_memory_keep(struct flo_memory *memory);
/* Free the rows that left, when no listing holds them. */
void flo_memory_sweep(struct flo_memory *memory);

/* ---- query.c ---- */

struct flo_memory_found {
    struct flo_memory_row *row;
    struct flo_memory_row *joined; /* or NULL */
};
struct flo_memory_list {
    struct flo_memory_found *items;
    size_t count, capacity;
};
/* The query's rows in its order; free list->items. */
FLO_MUST_USE int flo_memory_query(const struct flo_memory *memory, const struct flo_query *query,
                                  struct flo_memory_list *list, struct flo_err *err);

#endif
