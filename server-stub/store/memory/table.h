/* Tables: the rows of the engine in memory.  Private to this folder. */
#ifndef FLOTILLA_SERVER_MEMORY_TABLE_H
#define FLOTILLA_SERVER_MEMORY_TABLE_H

#include "server-stub/store/tables.h"

/* A row in memory.  A row never changes: a change replaces it by another.  So a
 * listing continues over the rows that it found, and a rollback restores the
 * replaced rows. */
struct flo_memory_row {
    struct flo_memory_row *next; /* next row in the list of removed rows */
    struct flo_value values[];
};

/* An index: rows sorted by the index's fields, then by the table's keys. */
struct flo_memory_index {
    struct flo_index_facts facts;
    struct flo_memory_row **rows;
    size_t count, capacity;
};

#define FLO_MEMORY_INDEXES_MAX 8
struct flo_memory_table {
    /* the first of these indexes is by the table's keys */
    struct flo_memory_index indexes[FLO_MEMORY_INDEXES_MAX];
    int index_count;
    uint64_t serial;
};

struct flo_memory_change {
    enum flo_table table;
    struct flo_memory_row *before, *after; /* NULL: no row */
};

struct flo_memory {
    struct flo_store_engine engine; /* base of this struct, so it is the first member */
    struct flo_memory_table tables[FLO_TABLES];
    struct flo_memory_change *changes; /* changes that the open transaction made, for a rollback */
    size_t change_count, change_capacity;
    bool is_open;
    unsigned listings;           /* number of listings in progress, which use rows */
    struct flo_memory_row *left; /* removed rows, which are freed after the last listing */
};

/* ---- rows.c ---- */

void flo_memory_init(struct flo_memory *memory);
void flo_memory_deinit(struct flo_memory *memory);
int flo_memory_compare(enum flo_field field, const struct flo_value *a, const struct flo_value *b);
/* Returns the position of the first row in the index that is not before
 * `values`, compared by the first `fields` fields of the index.  `values` are
 * in the order of the table's fields. */
size_t flo_memory_place(const struct flo_memory_index *index, const struct flo_value *values,
                        int fields);
/* Finds the row that has these values in the index's fields; NULL: none. */
struct flo_memory_row *flo_memory_equal(const struct flo_memory_index *index,
                                        const struct flo_value *values);
/* Copies the values and the texts to which they point; NULL without memory. */
struct flo_memory_row *flo_memory_row_new(enum flo_table table, const struct flo_value *values);
/* Replaces the row `before` by `after`.  With `before` NULL it adds a row, with
 * `after` NULL it removes one.  Takes ownership of `after`, even on failure.
 *
 * FLO_E_STATE   another row has the key or the unique fields
 * FLO_E_MEMORY */
FLO_MUST_USE int flo_memory_change(struct flo_memory *memory, enum flo_table table,
                                   struct flo_memory_row *before, struct flo_memory_row *after,
                                   struct flo_err *err);
/* Ends the open transaction's log of changes: rolls the changes back, or keeps
 * them. */
void flo_memory_undo(struct flo_memory *memory);
void flo_memory_keep(struct flo_memory *memory);
/* Frees the removed rows, unless a listing still uses them. */
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
/* Gets the rows of a query in the query's order.  The caller frees
 * list->items. */
FLO_MUST_USE int flo_memory_query(const struct flo_memory *memory, const struct flo_query *query,
                                  struct flo_memory_list *list, struct flo_err *err);

#endif
