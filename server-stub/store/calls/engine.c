/* Store: reads of the engine, which are counted, and helpers for rows that all
 * files use.  Changes are in seals.c. */
#include <string.h>

#include "base/host/json.h"
#include "server-stub/store/calls/kept.h"

int flo_fleet_find(struct flo_fleet_store *store, const struct flo_query *query, flo_row_take take,
                   void *context, struct flo_err *err)
{
    store->statements++;
    return store->engine->ops->find(store->engine, query, take, context, err);
}

struct one {
    flo_row_take take;
    void *context;
    bool found;
};

static int take_one(void *context, const struct flo_row *row)
{
    struct one *one = context;

    one->found = true;
    return one->take != NULL ? one->take(one->context, row) : 0;
}

int flo_fleet_find_one(struct flo_fleet_store *store, struct flo_query query, flo_row_take take,
                       void *context, bool *found_or_null, struct flo_err *err)
{
    struct one one = {.take = take, .context = context};

    query.limit = 1;
    int rv = flo_fleet_find(store, &query, take_one, &one, err);
    if (found_or_null != NULL) {
        *found_or_null = one.found;
    }
    return rv;
}

int flo_fleet_count(struct flo_fleet_store *store, const struct flo_query *query,
                    const enum flo_field *by, size_t by_count, flo_count_take take, void *context,
                    struct flo_err *err)
{
    store->statements++;
    return store->engine->ops->count(store->engine, query, by, by_count, take, context, err);
}

static int add_count(void *context, const struct flo_row *row, uint64_t count)
{
    (void)row;
    *(uint64_t *)context += count;
    return 0;
}

int flo_fleet_count_all(struct flo_fleet_store *store, const struct flo_query *query, uint64_t *out,
                        struct flo_err *err)
{
    *out = 0;
    return flo_fleet_count(store, query, NULL, 0, add_count, out, err);
}

int flo_fleet_take_number(void *context, const struct flo_row *row)
{
    struct flo_number *number = context;

    number->number = flo_row_number(row, number->field);
    return 0;
}

int flo_fleet_take_text(void *context, const struct flo_row *row)
{
    const struct flo_text *text = context;

    return text->fn(text->context, flo_row_text(row, text->field));
}

void flo_fleet_json_text(const char *json, const char *key, char *out, size_t out_bytes)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *object = NULL;
    size_t bytes = strlen(json);
    const char *text = NULL;

    if (bytes > 0 && flo_json_parse(json, bytes, bytes, &object, NULL) == 0) {
        text = json_string_value(json_object_get(object, key));
    }
    snprintf(out, out_bytes, "%s", text != NULL ? text : "");
}
