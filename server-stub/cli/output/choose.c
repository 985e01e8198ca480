/* Choose: implements --fields and --sort. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "server-stub/cli/output/output.h"

/* number of the first items that are searched for the names of their fields */
#define LOOKED_AT 200

/* Gets the next word of a list such as "a,b.c".  Returns false after the
 * last. */
static bool next_word(const char **at, char out[64])
{
    *at += strspn(*at, ", ");
    size_t chars = strcspn(*at, ", ");
    snprintf(out, 64, "%.*s", (int)chars, *at);
    *at += chars;
    return chars > 0;
}

static const struct flo_column *known(const struct flo_column *columns, size_t count,
                                      const char *word)
{
    for (size_t i = 0; i < count; i++) {
        if (strcasecmp(columns[i].head, word) == 0 || strcmp(columns[i].path, word) == 0) {
            return &columns[i];
        }
    }
    return NULL;
}

static bool is_in_items(const json_t *items, const char *path)
{
    for (size_t i = 0; i < flo_items_count(items) && i < LOOKED_AT; i++) {
        if (flo_out_at(flo_items_at(items, i), path) != NULL) {
            return true;
        }
    }
    return false;
}

static int refuse(const char *flag, const char *word, const json_t *items,
                  const struct flo_column *columns, size_t count, struct flo_err *err)
{
    const char *names[2 * FLO_COLUMNS_MAX];
    size_t known_count = 0;
    char all[160] = "";
    const char *key;
    json_t *value;
    json_t *first = (json_t *)(uintptr_t)flo_items_at(items, 0);

    for (size_t i = 0; i < count; i++) {
        names[known_count++] = columns[i].path;
    }
    json_object_foreach(first, key, value)
    {
        if (known_count < FLO_COUNT(names)) {
            names[known_count++] = key;
        }
    }
    for (size_t i = 0; i < known_count && strlen(all) < 100; i++) {
        size_t used = strlen(all);
        snprintf(all + used, sizeof(all) - used, "%s%s", i > 0 ? ", " : "", names[i]);
    }
    const char *near = flo_nearest(word, names, known_count);
    flo_fail(err, FLO_E_USAGE, "%s: there is no field `%s` here", flag, word);
    return near != NULL ? flo_err_fix(err, "did you mean `%s`?", near)
                        : flo_err_fix(err, "fields are %s, …; -o json shows all", all);
}

/* Column for a field that the table has no column for: its header is made of
 * the words of the field's path. */
struct unknown {
    char path[64], head[64];
};

static struct flo_column column_of(const struct flo_column *columns, size_t count, const char *word,
                                   struct unknown *unknown)
{
    const struct flo_column *column = known(columns, count, word);

    snprintf(unknown->path, sizeof(unknown->path), "%s", word);
    for (size_t i = 0; i < sizeof(unknown->head); i++) {
        char c = unknown->path[i];
        unknown->head[i] = c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
    }
    return column != NULL ? *column
                          : (struct flo_column){.head = unknown->head, .path = unknown->path};
}

int flo_choose_columns(const struct flo_out_spec *spec, const json_t *items,
                       const struct flo_column *columns, size_t count, struct flo_column *chosen,
                       size_t *shown, struct flo_err *err)
{
    static struct unknown unknown[FLO_COLUMNS_MAX];
    const char *at = spec->fields;
    bool is_all = spec->form == FLO_OUT_WIDE || spec->form == FLO_OUT_CSV;
    char word[64];

    *shown = 0;
    for (size_t i = 0; at == NULL && i < count; i++) {
        if (is_all || !columns[i].is_wide) {
            chosen[(*shown)++] = columns[i];
        }
    }
    while (at != NULL && next_word(&at, word)) {
        if (*shown == FLO_COLUMNS_MAX) {
            return flo_fail(err, FLO_E_USAGE, "--fields: more than %d", FLO_COLUMNS_MAX);
        }
        chosen[*shown] = column_of(columns, count, word, &unknown[*shown]);
        if (known(columns, count, word) == NULL && flo_items_count(items) > 0 &&
            !is_in_items(items, word)) {
            return refuse("--fields", word, items, columns, count, err);
        }
        *shown += 1;
    }
    if (at != NULL && *shown == 0) {
        return flo_fail(err, FLO_E_USAGE, "--fields names no field");
    }
    return 0;
}

/* ---- the same keys of an object ---- */

/* Puts `value` into `object` at a path such as "a.b". */
static void put_at(json_t *object, const char *path, json_t *value)
{
    char key[64];
    size_t chars;

    while (path[chars = strcspn(path, ".")] == '.') {
        snprintf(key, sizeof(key), "%.*s", (int)chars, path);
        json_t *inside = json_object_get(object, key);
        if (!json_is_object(inside)) {
            json_object_set_new(object, key, inside = json_object());
        }
        object = inside;
        path += chars + 1;
    }
    json_object_set(object, path, value);
}

json_t *flo_choose_keys(const json_t *item, const struct flo_column *chosen, size_t count)
{
    json_t *object = json_object();

    for (size_t i = 0; i < count; i++) {
        const json_t *value = flo_out_at(item, chosen[i].path);
        if (value != NULL) {
            put_at(object, chosen[i].path, (json_t *)(uintptr_t)value);
        }
    }
    return object;
}

/* ---- order ---- */

struct order {
    char path[64];
    bool is_down;
};
/* The order of --sort is static, because qsort() takes no context. */
static struct order orders[8];
static size_t order_count;

/* Compares two values.  A missing value comes last, whether the sort ascends or
 * descends. */
static int compare_values(const json_t *a, const json_t *b)
{
    if (json_is_number(a) && json_is_number(b)) {
        double one = json_number_value(a), other = json_number_value(b);
        return one < other ? -1 : one > other;
    }
    if (json_is_string(a) && json_is_string(b)) {
        return flo_natural_compare(json_string_value(a), json_string_length(a),
                                   json_string_value(b), json_string_length(b));
    }
    if (json_is_boolean(a) && json_is_boolean(b)) {
        return json_is_true(a) - json_is_true(b);
    }
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf one = {0};
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf other = {0};
    flo_json_dump(a, &one);
    flo_json_dump(b, &other);
    return one.failed || other.failed ? 0 : strcmp(one.data, other.data);
}

static int compare(const void *a, const void *b)
{
    for (size_t i = 0; i < order_count; i++) {
        const json_t *one = flo_out_at(*(json_t *const *)a, orders[i].path);
        const json_t *other = flo_out_at(*(json_t *const *)b, orders[i].path);
        bool has_one = one != NULL && !json_is_null(one);
        bool has_other = other != NULL && !json_is_null(other);
        int found = has_one && has_other ? compare_values(one, other) : 0;
        if (has_one != has_other) {
            return has_one ? -1 : 1;
        }
        if (found != 0) {
            return orders[i].is_down ? -found : found;
        }
    }
    return 0;
}

static int by_name(const void *a, const void *b)
{
    const char *one = flo_out_text(*(json_t *const *)a, "name", "");
    const char *other = flo_out_text(*(json_t *const *)b, "name", "");

    return flo_natural_compare(one, strlen(one), other, strlen(other));
}

/* Returns the items sorted, as a new reference; equal items keep their
 * order. */
static json_t *sorted(const json_t *items, int (*order)(const void *, const void *))
{
    size_t count = json_array_size(items);
    json_t **list = calloc(2 * count + 1, sizeof(*list));
    json_t *out = json_array();

    for (size_t i = 0; i < count; i++) {
        json_t *item = json_array_get(items, i);
        if (list == NULL) { /* without memory for the sorted copy, the items keep their order */
            json_array_append(out, item);
        } else {
            list[i] = item;
        }
    }
    for (size_t half = 1; list != NULL && half < count; half *= 2) {
        json_t **from = list, **to = list + count;
        for (size_t at = 0; at < count; at += 2 * half) {
            size_t a = at, b = at + half < count ? at + half : count;
            size_t a_end = b, b_end = b + half < count ? b + half : count;
            for (size_t k = at; k < b_end; k++) {
                bool is_first = a < a_end && (b >= b_end || order(&from[a], &from[b]) <= 0);
                to[k] = is_first ? from[a++] : from[b++];
            }
        }
        memcpy(from, to, count * sizeof(*from));
    }
    for (size_t i = 0; list != NULL && i < count; i++) {
        json_array_append(out, list[i]);
    }
    free(list);
    return out;
}

void flo_out_sort(json_t **items)
{
    json_t *out = sorted(*items, by_name);

    json_decref(*items);
    *items = out;
}

int flo_choose_items(const struct flo_out_spec *spec, const json_t *items,
                     const struct flo_column *columns, size_t count, json_t **out,
                     struct flo_err *err)
{
    const char *at = spec->sort;
    char word[64];

    order_count = 0;
    while (at != NULL && next_word(&at, word)) {
        bool is_down = word[0] == '-';
        const char *name = word + is_down;
        const struct flo_column *column = known(columns, count, name);
        if (order_count == FLO_COUNT(orders)) {
            return flo_fail(err, FLO_E_USAGE, "--sort: more than %zu fields", FLO_COUNT(orders));
        }
        if (column == NULL && flo_items_count(items) > 0 && !is_in_items(items, name)) {
            return refuse("--sort", name, items, columns, count, err);
        }
        snprintf(orders[order_count].path, sizeof(orders[0].path), "%s",
                 column != NULL ? column->path : name);
        orders[order_count++].is_down = is_down;
    }
    *out = order_count > 0 && json_is_array(items) ? sorted(items, compare)
                                                   : json_incref((json_t *)(uintptr_t)items);
    return 0;
}
