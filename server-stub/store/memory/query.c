/* Memory engine: finds and sorts the rows of a query.
 *
 * The index with the most fields fixed by the query is read from its first
 * matching row on; other conditions are checked row by row. */
#include <stdlib.h>
#include <string.h>

#include "server-stub/store/memory/table.h"

/* ---- which index ---- */

struct plan {
    const struct flo_memory_index *index;
    struct flo_value from[FLO_TABLE_FIELDS_MAX]; /* fixed values */
    int fixed;      /* Number of fields at the front of the index for which the
                       query gives one value each. */
    bool has_start; /* `from` also has the lower limit that the query sets for
                       the next field of the index */
    bool is_sorted, is_down;
};

static const struct flo_match *match_of(const struct flo_query *query, enum flo_field field,
                                        enum flo_match_how a, enum flo_match_how b)
{
    for (size_t i = 0; i < query->match_count; i++) {
        const struct flo_match *match = &query->matches[i];
        if (match->field == field && (match->how == a || match->how == b)) {
            return match;
        }
    }
    return NULL;
}

/* Tells whether the index lists rows in the query's order, after the fields
 * that the query fixes. */
static bool is_sorted(const struct flo_query *query, const struct flo_memory_index *index,
                      int fixed, bool *is_down)
{
    int at = fixed;

    *is_down = query->sort_count > 0 && query->sorts[0].is_down;
    for (size_t i = 0; i < query->sort_count; i++) {
        const struct flo_sort *sort = &query->sorts[i];
        if (at >= index->facts.count || index->facts.fields[at++] != sort->field ||
            sort->is_natural || sort->is_down != *is_down) {
            return false;
        }
    }
    return true;
}

static void plan_index(const struct flo_query *query, const struct flo_memory_index *index,
                       struct plan *plan)
{
    int first = flo_tables[query->table].first;
    const struct flo_match *match = NULL;

    *plan = (struct plan){.index = index};
    while (plan->fixed < index->facts.count &&
           (match = match_of(query, index->facts.fields[plan->fixed], FLO_MATCH_IS,
                             FLO_MATCH_IS)) != NULL) {
        plan->from[(int)match->field - first] = match->value;
        plan->fixed++;
    }
    if (plan->fixed < index->facts.count &&
        (match = match_of(query, index->facts.fields[plan->fixed], FLO_MATCH_FROM,
                          FLO_MATCH_ABOVE)) != NULL) {
        plan->from[(int)match->field - first] = match->value;
        plan->has_start = true;
    }
    plan->is_sorted = is_sorted(query, index, plan->fixed, &plan->is_down);
}

static int plan_value(const struct plan *plan)
{
    return 4 * plan->fixed + 2 * plan->is_sorted + plan->has_start;
}

static void plan_make(const struct flo_memory_table *table, const struct flo_query *query,
                      struct plan *best)
{
    plan_index(query, &table->indexes[0], best);
    for (int i = 1; i < table->index_count; i++) {
        struct plan plan;
        plan_index(query, &table->indexes[i], &plan);
        if (plan_value(&plan) > plan_value(best)) {
            *best = plan;
        }
    }
}

/* ---- which rows ---- */

static const struct flo_value *value_in(const struct flo_query *query,
                                        const struct flo_memory_found *found, enum flo_field field)
{
    enum flo_table table = flo_fields[field].table;
    const struct flo_memory_row *row = table == query->table ? found->row : found->joined;

    return row != NULL ? &row->values[(int)field - flo_tables[table].first] : NULL;
}

/* Returns whether the row's value is among those of a subquery: 1, 0, or an
 * error. */
static int is_among(const struct flo_memory *memory, const struct flo_match *match,
                    const struct flo_value *value, struct flo_err *err)
{
    struct flo_query query = {
        .table = flo_fields[match->among].table,
        .matches = {{.field = match->among, .value = *value},
                    {.field = match->where, .value = match->value}},
        .match_count = match->where != 0 ? 2 : 1,
        .limit = 1,
    };
    struct flo_memory_list list = {0};
    int rv = flo_memory_query(memory, &query, &list, err);

    free(list.items);
    FLO_TRY(rv);
    return list.count > 0;
}

static bool is_one_of(const struct flo_match *match, const struct flo_value *value)
{
    for (size_t i = 0; i < match->count; i++) {
        if (flo_memory_compare(match->field, value, &match->list[i]) == 0) {
            return true;
        }
    }
    return false;
}

static int match_one(const struct flo_memory *memory, const struct flo_match *match,
                     const struct flo_value *value, struct flo_err *err)
{
    if (match->how == FLO_MATCH_ONE_OF) {
        return is_one_of(match, value);
    }
    if (match->how > FLO_MATCH_ONE_OF) {
        int among = is_among(memory, match, value, err);
        return among < 0 ? among : among == (match->how == FLO_MATCH_AMONG);
    }
    int order = flo_memory_compare(match->field, value, &match->value);
    switch (match->how) {
    case FLO_MATCH_IS:
        return order == 0;
    case FLO_MATCH_IS_NOT:
        return order != 0;
    case FLO_MATCH_BELOW:
        return order < 0;
    case FLO_MATCH_UP_TO:
        return order <= 0;
    case FLO_MATCH_ABOVE:
        return order > 0;
    default:
        return order >= 0;
    }
}

static struct flo_memory_row *joined_row(const struct flo_memory *memory,
                                         const struct flo_query *query,
                                         const struct flo_memory_row *row)
{
    enum flo_table other = flo_fields[query->join].table;
    const struct flo_memory_table *table = &memory->tables[other];
    struct flo_value values[FLO_TABLE_FIELDS_MAX] = {0};

    values[(int)query->join - flo_tables[other].first] =
        row->values[(int)query->by - flo_tables[query->table].first];
    for (int i = 0; i < table->index_count; i++) {
        const struct flo_index_facts *facts = &table->indexes[i].facts;
        if (facts->is_unique && facts->count == 1 && facts->fields[0] == query->join) {
            return flo_memory_equal(&table->indexes[i], values);
        }
    }
    return NULL;
}

/* Returns 1 if the row matches the query, 0 if not, or an error. */
static int match_row(const struct flo_memory *memory, const struct flo_query *query,
                     struct flo_memory_found *found, struct flo_err *err)
{
    int rv = 1;

    found->joined = query->join != 0 ? joined_row(memory, query, found->row) : NULL;
    if (query->needs_joined && found->joined == NULL) {
        return 0;
    }
    for (size_t i = 0; i < query->match_count && rv == 1; i++) {
        const struct flo_value *value = value_in(query, found, query->matches[i].field);
        rv = value == NULL ? 0 : match_one(memory, &query->matches[i], value, err);
    }
    return rv;
}

/* ---- the list ---- */

static int list_add(struct flo_memory_list *list, const struct flo_memory_found *found,
                    struct flo_err *err)
{
    FLO_TRY(flo_grow_or_fail(&list->items, &list->capacity, list->count, sizeof(*list->items),
                             "rows", err));
    list->items[list->count++] = *found;
    return 0;
}

/* Compares two found rows by the query's order.  If a query joins a second
 * table, a row without a match there counts as the lowest. */
static int compare_found(const void *a, const void *b, void *context)
{
    const struct flo_query *query = context;

    for (size_t i = 0; i < query->sort_count; i++) {
        const struct flo_sort *sort = &query->sorts[i];
        const struct flo_value *left = value_in(query, a, sort->field);
        const struct flo_value *right = value_in(query, b, sort->field);
        int order = left == NULL || right == NULL ? (left != NULL) - (right != NULL)
                    : sort->is_natural ? flo_natural_compare(left->text, strlen(left->text),
                                                             right->text, strlen(right->text))
                                       : flo_memory_compare(sort->field, left, right);
        if (order != 0) {
            return sort->is_down ? -order : order;
        }
    }
    return 0;
}

static void list_cut(struct flo_memory_list *list, const struct flo_query *query)
{
    size_t from = query->offset < list->count ? (size_t)query->offset : list->count;

    list->count -= from;
    if (from > 0 && list->count > 0) {
        memmove(list->items, list->items + from, list->count * sizeof(*list->items));
    }
    if (query->limit != 0 && query->limit < list->count) {
        list->count = (size_t)query->limit;
    }
}

/* Gets the range of rows in the index that have the fixed values. */
static void range(const struct plan *plan, size_t *from, size_t *to)
{
    const struct flo_memory_index *index = plan->index;
    const int first = flo_tables[index->facts.table].first;

    *from = flo_memory_place(index, plan->from, plan->fixed + plan->has_start);
    *to = *from;
    size_t high = index->count;
    while (*to < high) { /* bisection: finds the first row after the range */
        size_t middle = *to + (high - *to) / 2;
        const struct flo_value *values = index->rows[middle]->values;
        int order = 0;
        for (int i = 0; i < plan->fixed && order == 0; i++) {
            enum flo_field field = index->facts.fields[i];
            order = flo_memory_compare(field, &values[(int)field - first],
                                       &plan->from[(int)field - first]);
        }
        if (order > 0) {
            high = middle;
        } else {
            *to = middle + 1;
        }
    }
}

int flo_memory_query(const struct flo_memory *memory, const struct flo_query *query,
                     struct flo_memory_list *list, struct flo_err *err)
{
    struct plan plan;
    size_t from;
    size_t to;
    int rv = 0;

    plan_make(&memory->tables[query->table], query, &plan);
    range(&plan, &from, &to);
    for (size_t i = from; i < to && rv == 0; i++) {
        size_t place = plan.is_down && plan.is_sorted ? to - 1 - (i - from) : i;
        struct flo_memory_found found = {.row = plan.index->rows[place]};
        rv = match_row(memory, query, &found, err);
        if (rv == 1) {
            rv = list_add(list, &found, err);
        }
        if (plan.is_sorted && query->limit != 0 && list->count >= query->offset + query->limit) {
            break;
        }
    }
    if (rv < 0) {
        free(list->items);
        *list = (struct flo_memory_list){0};
        return rv;
    }
    if (!plan.is_sorted && list->count > 1) {
        /* copy of the query, because qsort_r takes no const pointer */
        struct flo_query order = *query;
        qsort_r(list->items, list->count, sizeof(*list->items), compare_found, &order);
    }
    list_cut(list, query);
    return 0;
}
