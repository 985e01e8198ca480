/* Memory engine: the calls of struct flo_store_ops. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "server-stub/store/memory/memory.h"
#include "server-stub/store/memory/table.h"

static struct flo_memory *memory_of(struct flo_store_engine *engine)
{
    return (struct flo_memory *)engine;
}

/* ---- reading ---- */

static void listing_ends(struct flo_memory *memory, struct flo_memory_list *list)
{
    free(list->items);
    memory->listings--;
    flo_memory_sweep(memory);
}

static int find(struct flo_store_engine *engine, const struct flo_query *query, flo_row_take take,
                void *context, struct flo_err *err)
{
    struct flo_memory *memory = memory_of(engine);
    struct flo_memory_list list = {0};
    int rv = flo_memory_query(memory, query, &list, err);

    memory->listings++;
    for (size_t i = 0; i < list.count && rv == 0; i++) {
        const struct flo_memory_found *found = &list.items[i];
        rv = take(context,
                  &(struct flo_row){.values = found->row->values,
                                    .joined = found->joined != NULL ? found->joined->values : NULL,
                                    .table = query->table});
    }
    listing_ends(memory, &list);
    return rv;
}

#define BY_MAX 2
struct group {
    const struct flo_memory_found *first;
    uint64_t count;
};

static bool same_group(const struct flo_query *query, const enum flo_field *by, size_t by_count,
                       const struct flo_memory_found *a, const struct flo_memory_found *b)
{
    static const struct flo_value none = {.text = ""};

    for (size_t i = 0; i < by_count; i++) {
        enum flo_table table = flo_fields[by[i]].table;
        int at = (int)by[i] - flo_tables[table].first;
        const struct flo_memory_row *left = table == query->table ? a->row : a->joined;
        const struct flo_memory_row *right = table == query->table ? b->row : b->joined;
        if (flo_memory_compare(by[i], left != NULL ? &left->values[at] : &none,
                               right != NULL ? &right->values[at] : &none) != 0) {
            return false;
        }
    }
    return true;
}

static int count_groups(const struct flo_query *query, const enum flo_field *by, size_t by_count,
                        const struct flo_memory_list *list, struct group *groups,
                        flo_count_take take, void *context)
{
    size_t count = 0;
    int rv = 0;

    for (size_t i = 0; i < list->count; i++) {
        size_t at = 0;
        while (at < count && !same_group(query, by, by_count, groups[at].first, &list->items[i])) {
            at++;
        }
        if (at == count) {
            groups[count++] = (struct group){.first = &list->items[i]};
        }
        groups[at].count++;
    }
    for (size_t i = 0; i < count && rv == 0; i++) {
        const struct flo_memory_found *found = groups[i].first;
        struct flo_row row = {.values = found->row->values,
                              .joined = found->joined != NULL ? found->joined->values : NULL,
                              .table = query->table};
        rv = take(context, &row, groups[i].count);
    }
    return rv;
}

static int count(struct flo_store_engine *engine, const struct flo_query *query,
                 const enum flo_field *by, size_t by_count, flo_count_take take, void *context,
                 struct flo_err *err)
{
    struct flo_memory *memory = memory_of(engine);
    struct flo_memory_list list = {0};
    int rv = flo_memory_query(memory, query, &list, err);

    assert(by_count <= BY_MAX);
    memory->listings++;
    if (rv == 0 && by_count == 0) {
        rv = take(context, &(struct flo_row){.table = query->table}, list.count);
    } else if (rv == 0 && list.count > 0) {
        struct group *groups = calloc(list.count, sizeof(*groups));
        rv = groups == NULL ? flo_fail(err, FLO_E_MEMORY, "%zu groups", list.count)
                            : count_groups(query, by, by_count, &list, groups, take, context);
        free(groups);
    }
    listing_ends(memory, &list);
    return rv;
}

/* ---- changing ---- */

static int insert_row(struct flo_memory *memory, enum flo_table table,
                      const struct flo_field_change *changes, size_t change_count,
                      struct flo_err *err)
{
    struct flo_value values[FLO_TABLE_FIELDS_MAX] = {0};
    int first = flo_tables[table].first;

    if (flo_fields[first].type == FLO_TYPE_SERIAL) {
        values[0].number = ++memory->tables[table].serial;
    }
    for (size_t i = 0; i < change_count; i++) {
        values[(int)changes[i].field - first] = changes[i].value;
    }
    struct flo_memory_row *row = flo_memory_row_new(table, values);
    return row == NULL ? flo_fail(err, FLO_E_MEMORY, "%s", flo_tables[table].word)
                       : flo_memory_change(memory, table, NULL, row, err);
}

static int insert(struct flo_store_engine *engine, enum flo_table table,
                  const struct flo_field_change *changes, size_t change_count, uint64_t *changed,
                  struct flo_err *err)
{
    struct flo_err why = {0};
    int rv = insert_row(memory_of(engine), table, changes, change_count, &why);

    if (rv < 0 && rv != FLO_E_STATE) {
        return flo_fail(err, rv, "%s", why.what);
    }
    if (changed != NULL) {
        *changed = rv == 0;
    }
    return 0;
}

static int change_row(struct flo_memory *memory, enum flo_table table, struct flo_memory_row *row,
                      const struct flo_field_change *changes, size_t change_count,
                      struct flo_err *err)
{
    const struct flo_table_facts *facts = &flo_tables[table];
    struct flo_value values[FLO_TABLE_FIELDS_MAX];

    memcpy(values, row->values, (size_t)(facts->end - facts->first) * sizeof(*values));
    for (size_t i = 0; i < change_count; i++) {
        const struct flo_field_change *change = &changes[i];
        struct flo_value *value = &values[(int)change->field - facts->first];
        if ((int)change->field < facts->first + facts->keys ||
            change->how == FLO_CHANGE_SET_FIRST) {
            continue;
        }
        if (change->how == FLO_CHANGE_ADD) {
            value->number += change->value.number;
        } else {
            *value = change->value;
        }
    }
    struct flo_memory_row *changed = flo_memory_row_new(table, values);
    return changed == NULL ? flo_fail(err, FLO_E_MEMORY, "%s", facts->word)
                           : flo_memory_change(memory, table, row, changed, err);
}

static int put(struct flo_store_engine *engine, enum flo_table table,
               const struct flo_field_change *changes, size_t change_count, struct flo_err *err)
{
    struct flo_memory *memory = memory_of(engine);
    struct flo_value values[FLO_TABLE_FIELDS_MAX] = {0};

    for (size_t i = 0; i < change_count; i++) {
        values[(int)changes[i].field - flo_tables[table].first] = changes[i].value;
    }
    struct flo_memory_row *row = flo_memory_equal(&memory->tables[table].indexes[0], values);
    return row == NULL ? insert_row(memory, table, changes, change_count, err)
                       : change_row(memory, table, row, changes, change_count, err);
}

/* `changes` NULL: remove. */
static int change_rows(struct flo_memory *memory, enum flo_table table,
                       const struct flo_field_change *changes, size_t change_count,
                       const struct flo_match *matches, size_t match_count, uint64_t *changed,
                       struct flo_err *err)
{
    struct flo_query query = {.table = table, .match_count = match_count};
    struct flo_memory_list list = {0};

    assert(match_count <= FLO_MATCHES_MAX);
    for (size_t i = 0; i < match_count; i++) {
        query.matches[i] = matches[i];
    }
    int rv = flo_memory_query(memory, &query, &list, err);
    memory->listings++;
    for (size_t i = 0; i < list.count && rv == 0; i++) {
        rv = changes == NULL
                 ? flo_memory_change(memory, table, list.items[i].row, NULL, err)
                 : change_row(memory, table, list.items[i].row, changes, change_count, err);
    }
    if (rv == 0 && changed != NULL) {
        *changed = list.count;
    }
    listing_ends(memory, &list);
    return rv;
}

static int update(struct flo_store_engine *engine, enum flo_table table,
                  const struct flo_field_change *changes, size_t change_count,
                  const struct flo_match *matches, size_t match_count, uint64_t *changed,
                  struct flo_err *err)
{
    return change_rows(memory_of(engine), table, changes, change_count, matches, match_count,
                       changed, err);
}

static int remove_rows(struct flo_store_engine *engine, enum flo_table table,
                       const struct flo_match *matches, size_t match_count, uint64_t *changed,
                       struct flo_err *err)
{
    return change_rows(memory_of(engine), table, NULL, 0, matches, match_count, changed, err);
}

/* ---- transactions ---- */

static int begin(struct flo_store_engine *engine, struct flo_err *err)
{
    (void)err;
    memory_of(engine)->is_open = true;
    return 0;
}

static int commit(struct flo_store_engine *engine, struct flo_err *err)
{
    struct flo_memory *memory = memory_of(engine);

    (void)err;
    memory->is_open = false;
    flo_memory_keep(memory);
    flo_memory_sweep(memory);
    return 0;
}

static void cancel(struct flo_store_engine *engine)
{
    struct flo_memory *memory = memory_of(engine);

    memory->is_open = false;
    flo_memory_undo(memory);
    flo_memory_sweep(memory);
}

/* ---- opening ---- */

static void close_engine(struct flo_store_engine *engine)
{
    flo_memory_deinit(memory_of(engine));
    free(engine);
}

/* A commit in memory lasts as long as the process in any case. */
static const struct flo_store_ops ops = {
    .close = close_engine,
    .begin = begin,
    .commit = commit,
    .cancel = cancel,
    .find = find,
    .count = count,
    .insert = insert,
    .put = put,
    .update = update,
    .remove = remove_rows,
};

int flo_memory_open(struct flo_store_engine **out, struct flo_err *err)
{
    struct flo_memory *memory = calloc(1, sizeof(*memory));

    if (memory == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "store");
    }
    memory->engine.ops = &ops;
    flo_memory_init(memory);
    *out = &memory->engine;
    return 0;
}
