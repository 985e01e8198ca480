/* Memory engine: rows, their order in indexes, and the log of changes. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "server-stub/store/memory/table.h"

/* ---- tables ---- */

static void add_index(struct flo_memory_table *table, const struct flo_index_facts *facts)
{
    assert(table->index_count < FLO_MEMORY_INDEXES_MAX);
    table->indexes[table->index_count++].facts = *facts;
}

void flo_memory_init(struct flo_memory *memory)
{
    for (int i = 0; i < FLO_TABLES; i++) {
        struct flo_index_facts keys = {
            .table = (enum flo_table)i, .is_unique = true, .count = flo_tables[i].keys};
        for (int key = 0; key < keys.count; key++) {
            keys.fields[key] = (enum flo_field)(flo_tables[i].first + key);
        }
        add_index(&memory->tables[i], &keys);
    }
    for (int i = 0; i < flo_index_count; i++) {
        add_index(&memory->tables[flo_indexes[i].table], &flo_indexes[i]);
    }
}

void flo_memory_deinit(struct flo_memory *memory)
{
    flo_memory_undo(memory);
    flo_memory_sweep(memory);
    for (int i = 0; i < FLO_TABLES; i++) {
        struct flo_memory_table *table = &memory->tables[i];
        for (size_t row = 0; row < table->indexes[0].count; row++) {
            free(table->indexes[0].rows[row]);
        }
        for (int index = 0; index < table->index_count; index++) {
            free(table->indexes[index].rows);
        }
    }
    free(memory->changes);
}

/* ---- order ---- */

int flo_memory_compare(enum flo_field field, const struct flo_value *a, const struct flo_value *b)
{
    static const struct flo_digest zero = {0};

    if (flo_field_is_text(field)) {
        return strcmp(a->text != NULL ? a->text : "", b->text != NULL ? b->text : "");
    }
    if (flo_fields[field].type == FLO_TYPE_DIGEST) {
        return memcmp(a->digest != NULL ? a->digest : &zero, b->digest != NULL ? b->digest : &zero,
                      sizeof(zero));
    }
    return (a->number > b->number) - (a->number < b->number);
}

static int compare_fields(const enum flo_field *fields, int count, int first,
                          const struct flo_value *a, const struct flo_value *b)
{
    int order = 0;

    for (int i = 0; i < count && order == 0; i++) {
        int at = (int)fields[i] - first;
        order = flo_memory_compare(fields[i], &a[at], &b[at]);
    }
    return order;
}

/* Compares two rows by all fields of the index, then by the table's keys, so
 * that no two rows are equal. */
static int compare_rows(const struct flo_memory_index *index, const struct flo_value *a,
                        const struct flo_value *b)
{
    const struct flo_table_facts *table = &flo_tables[index->facts.table];
    int order = compare_fields(index->facts.fields, index->facts.count, table->first, a, b);

    for (int key = 0; key < table->keys && order == 0; key++) {
        order = flo_memory_compare((enum flo_field)(table->first + key), &a[key], &b[key]);
    }
    return order;
}

size_t flo_memory_place(const struct flo_memory_index *index, const struct flo_value *values,
                        int fields)
{
    int first = flo_tables[index->facts.table].first;
    size_t low = 0;
    size_t high = index->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_fields(index->facts.fields, fields, first, index->rows[middle]->values,
                           values) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct flo_memory_row *flo_memory_equal(const struct flo_memory_index *index,
                                        const struct flo_value *values)
{
    size_t place = flo_memory_place(index, values, index->facts.count);

    return place < index->count && compare_fields(index->facts.fields, index->facts.count,
                                                  flo_tables[index->facts.table].first,
                                                  index->rows[place]->values, values) == 0
               ? index->rows[place]
               : NULL;
}

static size_t place_of_row(const struct flo_memory_index *index, const struct flo_value *values)
{
    size_t low = 0;
    size_t high = index->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_rows(index, index->rows[middle]->values, values) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* ---- rows ---- */

static size_t extra_bytes(enum flo_field field, const struct flo_value *value)
{
    if (flo_field_is_text(field)) {
        return (value->text != NULL ? strlen(value->text) : 0) + 1;
    }
    return flo_fields[field].type == FLO_TYPE_DIGEST && value->digest != NULL
               ? sizeof(*value->digest)
               : 0;
}

struct flo_memory_row *flo_memory_row_new(enum flo_table table, const struct flo_value *values)
{
    int first = flo_tables[table].first;
    int count = flo_tables[table].end - first;
    size_t bytes = sizeof(struct flo_memory_row) + (size_t)count * sizeof(struct flo_value);
    size_t end = bytes;

    for (int i = 0; i < count; i++) {
        bytes += extra_bytes((enum flo_field)(first + i), &values[i]);
    }
    struct flo_memory_row *row = malloc(bytes);
    if (row == NULL) {
        return NULL;
    }
    row->next = NULL;
    for (int i = 0; i < count; i++) {
        size_t extra = extra_bytes((enum flo_field)(first + i), &values[i]);
        char *room = (char *)row + end;
        row->values[i] = (struct flo_value){.number = values[i].number};
        if (flo_field_is_text((enum flo_field)(first + i))) {
            memcpy(room, values[i].text != NULL ? values[i].text : "", extra);
            row->values[i].text = room;
        } else if (extra > 0) {
            memcpy(room, values[i].digest, extra);
            row->values[i].digest = (struct flo_digest *)room;
        }
        end += extra;
    }
    return row;
}

static void leave(struct flo_memory *memory, struct flo_memory_row *row)
{
    if (row != NULL) {
        row->next = memory->left;
        memory->left = row;
    }
}

void flo_memory_sweep(struct flo_memory *memory)
{
    while (memory->listings == 0 && memory->left != NULL) {
        struct flo_memory_row *row = memory->left;
        memory->left = row->next;
        free(row);
    }
}

/* ---- changes ---- */

static void index_remove(struct flo_memory_index *index, const struct flo_memory_row *row)
{
    size_t place = place_of_row(index, row->values);

    assert(place < index->count && index->rows[place] == row);
    index->count--;
    memmove(&index->rows[place], &index->rows[place + 1],
            (index->count - place) * sizeof(*index->rows));
}

static void index_add(struct flo_memory_index *index, struct flo_memory_row *row)
{
    size_t place = place_of_row(index, row->values);

    assert(index->count < index->capacity);
    memmove(&index->rows[place + 1], &index->rows[place],
            (index->count - place) * sizeof(*index->rows));
    index->rows[place] = row;
    index->count++;
}

static void swap(struct flo_memory_table *table, struct flo_memory_row *before,
                 struct flo_memory_row *after)
{
    for (int i = 0; i < table->index_count; i++) {
        struct flo_memory_index *index = &table->indexes[i];
        if (before != NULL && after != NULL &&
            compare_rows(index, before->values, after->values) == 0) {
            index->rows[place_of_row(index, before->values)] = after;
            continue;
        }
        if (before != NULL) {
            index_remove(index, before);
        }
        if (after != NULL) {
            index_add(index, after);
        }
    }
}

/* Reserves the memory for a change, which cannot fail afterwards. */
static bool make_room(struct flo_memory *memory, struct flo_memory_table *table)
{
    bool is_there = flo_grow(&memory->changes, &memory->change_capacity, memory->change_count,
                             sizeof(struct flo_memory_change));

    for (int i = 0; i < table->index_count && is_there; i++) {
        struct flo_memory_index *index = &table->indexes[i];
        is_there =
            flo_grow(&index->rows, &index->capacity, index->count, sizeof(struct flo_memory_row *));
    }
    return is_there;
}

static bool is_taken(const struct flo_memory_table *table, const struct flo_memory_row *before,
                     const struct flo_memory_row *after)
{
    for (int i = 0; i < table->index_count && after != NULL; i++) {
        const struct flo_memory_index *index = &table->indexes[i];
        const struct flo_memory_row *found =
            index->facts.is_unique ? flo_memory_equal(index, after->values) : NULL;
        if (found != NULL && found != before) {
            return true;
        }
    }
    return false;
}

int flo_memory_change(struct flo_memory *memory, enum flo_table table,
                      struct flo_memory_row *before, struct flo_memory_row *after,
                      struct flo_err *err)
{
    struct flo_memory_table *rows = &memory->tables[table];
    bool has_room = make_room(memory, rows);

    if (!has_room || is_taken(rows, before, after)) {
        free(after);
        return has_room ? flo_fail(err, FLO_E_STATE,
                                   "a %s with these unique fields"
                                   " is there already",
                                   flo_tables[table].word)
                        : flo_fail(err, FLO_E_MEMORY, "%s", flo_tables[table].word);
    }
    swap(rows, before, after);
    if (memory->is_open) {
        memory->changes[memory->change_count++] = (struct flo_memory_change){table, before, after};
    } else {
        leave(memory, before);
        flo_memory_sweep(memory);
    }
    return 0;
}

void flo_memory_undo(struct flo_memory *memory)
{
    while (memory->change_count > 0) {
        struct flo_memory_change *change = &memory->changes[--memory->change_count];
        swap(&memory->tables[change->table], change->after, change->before);
        leave(memory, change->after);
    }
}

void flo_memory_keep(struct flo_memory *memory)
{
    while (memory->change_count > 0) {
        leave(memory, memory->changes[--memory->change_count].before);
    }
}
