/* REST: lists of devices: selected, sorted, paged, with the requested
 * members. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/rest.h>

#include "server-stub/core/request/request.h"
#include "server-stub/core/select/first.h"
#include "server-stub/rest/fleet/fleet.h"
#include "server-stub/rest/walks.h"
#include "server-stub/state/devices/view.h"

#define SORTS_MAX (FLO_WALK_KEYS - 1) /* and the id */
#define FIELDS_MAX 32

/* ---- which ---- */

/* Appends a term FIELD=VALUE to a selector; a quote inside the value is
 * doubled. */
static void add_term(struct flo_buf *out, const char *field, size_t chars, const char *value)
{
    flo_buf_printf(out, "%s%.*s='", out->bytes > 0 ? " and " : "", (int)chars, field);
    for (; *value != '\0'; value++) {
        flo_buf_add(out, "\'\'", *value == '\'' ? 1 : 0);
        flo_buf_add(out, value, 1);
    }
    flo_buf_text(out, "'");
}

/* Adds selectors for the short query parameters, such as ?group=. */
static void add_words(const struct flo_rest_call *call, struct flo_buf *out)
{
    static const char *const words[] = {"group", "state", "model", "release"};
    const char *label = flo_httpd_query(call->request, "label");

    for (size_t i = 0; i < FLO_COUNT(words); i++) {
        const char *value = flo_httpd_query(call->request, words[i]);
        if (value != NULL) {
            add_term(out, words[i], strlen(words[i]), value);
        }
    }
    if (label != NULL) {
        char key[FLO_NAME_MAX + 8];
        size_t chars = strcspn(label, "=");
        snprintf(key, sizeof(key), "label.%.*s", (int)chars, label);
        add_term(out, key, strlen(key), label + chars + 1);
    }
}

static int parse(const char *text, const struct flo_select_known *known,
                 struct flo_fleet_query *query, struct flo_err *err)
{
    struct flo_selector *selector = calloc(1, sizeof(*selector));

    if (selector == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "selector");
    }
    query->selectors[query->count++] = selector;
    return flo_selector_parse(text, known, selector, err);
}

int flo_fleet_query_where(struct flo_rest_call *call, const char *where,
                          struct flo_fleet_query *query, struct flo_err *err)
{
    struct flo_select_known known = flo_fleet_known(call->controller->store);

    return parse(where, &known, query, err);
}

static int read_query(struct flo_rest_call *call, struct flo_fleet_query *query,
                      struct flo_err *err)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) words = {0};
    const char *where = flo_httpd_query(call->request, "where");
    int rv = 0;

    add_words(call, &words);
    if (where != NULL) {
        rv = flo_fleet_query_where(call, where, query, err);
    }
    const char *selector = flo_httpd_query(call->request, "selector");
    if (rv == 0 && selector != NULL) {
        rv = flo_fleet_query_where(call, selector, query, err);
    }
    if (rv == 0 && words.failed) {
        rv = flo_fail(err, FLO_E_MEMORY, "query");
    }
    if (rv == 0 && words.bytes > 0) {
        rv = parse(words.data, NULL, query, err);
    }
    return rv;
}

void flo_fleet_query_deinit(struct flo_fleet_query *query)
{
    for (size_t i = 0; i < query->count; i++) {
        free(query->selectors[i]);
    }
    *query = (struct flo_fleet_query){.count = 0};
}

/* ---- all that fit ---- */

static int keep(void *context, const struct flo_select_device *device)
{
    struct flo_fleet_found *found = context;

    if (!flo_grow(&found->items, &found->room, found->count, sizeof(*found->items))) {
        return FLO_E_MEMORY;
    }
    found->items[found->count++] = device;
    return 0;
}

int flo_fleet_query_find(struct flo_controller *controller, const struct flo_fleet_query *query,
                         struct flo_fleet_found *out, struct flo_err *err)
{
    *out = (struct flo_fleet_found){0};
    int rv =
        flo_fleet_select(controller->store, (const struct flo_selector *const *)query->selectors,
                         query->count, flo_wall_ms(), keep, out, err);

    return rv == FLO_E_MEMORY ? flo_fail(err, rv, "a list of devices") : rv;
}

void flo_fleet_found_deinit(struct flo_fleet_found *found)
{
    free(found->items);
}

/* ---- in which order ---- */

struct sorting {
    struct flo_select_name names[SORTS_MAX];
    bool is_down[SORTS_MAX];
    size_t count;
};

static int compare_keys(const struct sorting *sorting, size_t i, const struct flo_select_key *a,
                        const struct flo_select_key *b)
{
    int order = flo_select_key_compare(&sorting->names[i], a, b);

    return sorting->is_down[i] ? -order : order;
}

static int compare(const struct flo_select_device *a, const struct flo_select_device *b,
                   const struct sorting *sorting)
{
    for (size_t i = 0; i < sorting->count; i++) {
        struct flo_select_key one = flo_select_key_of(&sorting->names[i], a);
        struct flo_select_key other = flo_select_key_of(&sorting->names[i], b);
        int order = compare_keys(sorting, i, &one, &other);
        if (order != 0) {
            return order;
        }
    }
    return strcmp(a->values[FLO_SELECT_ID].text, b->values[FLO_SELECT_ID].text);
}

static int compare_items(const void *a, const void *b, void *context)
{
    return compare(a, b, context);
}

/* "site,-last_seen" */
static int read_sort(struct flo_rest_call *call, struct sorting *out, struct flo_err *err)
{
    struct flo_select_known known = flo_fleet_known(call->controller->store);
    const char *text = flo_httpd_query(call->request, "sort");
    int rv = 0;

    while (rv == 0 && text != NULL) {
        const char *comma = strchr(text, ',');
        size_t chars = comma != NULL ? (size_t)(comma - text) : strlen(text);
        bool is_down = text[0] == '-';
        char word[2 * FLO_NAME_MAX];
        if (out->count == SORTS_MAX) {
            return flo_fail(err, FLO_E_REST_SCHEMA, "sort: more than %d fields", SORTS_MAX);
        }
        snprintf(word, sizeof(word), "%.*s", (int)(chars - is_down), text + is_down);
        rv = flo_select_name_parse(word, &known, &out->names[out->count], err);
        out->is_down[out->count++] = is_down;
        text = comma != NULL ? comma + 1 : NULL;
    }
    return rv < 0 ? flo_wrap(err, rv, "sort") : 0;
}

/* ---- after which ---- */

static json_t *keys_of(const struct flo_select_device *device, const struct sorting *sorting)
{
    json_t *keys = json_array();

    for (size_t i = 0; i < sorting->count; i++) {
        struct flo_select_key key = flo_select_key_of(&sorting->names[i], device);
        json_array_append_new(keys, !key.is_there      ? json_null()
                                    : key.text != NULL ? flo_walk_text(key.text)
                                                       : json_real(key.number));
    }
    json_array_append_new(keys, json_string(device->values[FLO_SELECT_ID].text));
    return keys;
}

/* Tells whether a device comes after the row that had these keys. */
static bool is_after(const struct flo_select_device *device, const json_t *keys,
                     const struct sorting *sorting)
{
    const char *id = json_string_value(json_array_get(keys, sorting->count));

    for (size_t i = 0; i < sorting->count; i++) {
        const json_t *value = json_array_get(keys, i);
        struct flo_select_key key = flo_select_key_of(&sorting->names[i], device);
        struct flo_select_key last = {.is_there = !json_is_null(value),
                                      .text = json_string_value(value),
                                      .number = json_number_value(value)};
        int order = compare_keys(sorting, i, &key, &last);
        if (order != 0) {
            return order > 0;
        }
    }
    return id == NULL || strcmp(device->values[FLO_SELECT_ID].text, id) > 0;
}

/* Keeps only the devices that no page had.  By ids alone, nothing moves. */
static int after_cursor(struct flo_rest_call *call, struct flo_fleet_found *found,
                        const struct sorting *sorting, struct flo_walk **walk, struct flo_err *err)
{
    const char *cursor = flo_httpd_query(call->request, "cursor");
    FLO_CLEANUP(flo_json_cleanup) json_t *keys = NULL;
    size_t count = 0;

    if (cursor == NULL) {
        return 0;
    }
    FLO_TRY(sorting->count > 0 ? flo_walk_open(call, sorting->count + 1, &keys, walk, err) : 0);
    for (size_t i = 0; i < found->count; i++) {
        const char *id = found->items[i]->values[FLO_SELECT_ID].text;
        bool follows = sorting->count == 0 ? strcmp(id, cursor) > 0
                       : *walk != NULL     ? !flo_walk_gave(*walk, id)
                                           : is_after(found->items[i], keys, sorting);
        if (follows) {
            found->items[count++] = found->items[i];
        }
    }
    found->count = count;
    return 0;
}

/* ---- what of them ---- */

struct fields {
    char paths[FIELDS_MAX][2 * FLO_NAME_MAX];
    size_t count;
};

static int read_fields(struct flo_rest_call *call, struct fields *out, struct flo_err *err)
{
    const char *text = flo_httpd_query(call->request, "fields");

    while (text != NULL) {
        size_t chars = strcspn(text, ",");
        if (out->count == FIELDS_MAX || chars == 0 || chars >= sizeof(out->paths[0])) {
            return flo_fail(err, FLO_E_REST_SELECTOR,
                            "fields: at most %d names of members belong here, "
                            "apart by commas",
                            FIELDS_MAX);
        }
        snprintf(out->paths[out->count++], sizeof(out->paths[0]), "%.*s", (int)chars, text);
        text = text[chars] == ',' ? text + chars + 1 : NULL;
    }
    return 0;
}

/* Copies a member by its path, such as "labels.site".  An unknown member is
 * refused. */
static int copy_path(json_t *to, json_t *from, const char *path, struct flo_err *err)
{
    char head[2 * FLO_NAME_MAX];
    size_t chars = strcspn(path, ".");

    snprintf(head, sizeof(head), "%.*s", (int)chars, path);
    json_t *value = json_object_get(from, head);
    if (value == NULL && err != NULL) {
        const char *words[64];
        const char *key;
        json_t *member;
        size_t count = 0;
        json_object_foreach(from, key, member)
        {
            if (count < FLO_COUNT(words)) {
                words[count++] = key;
            }
        }
        flo_request_unknown("field", "", head, words, count, err);
        return err->code = FLO_E_REST_SELECTOR;
    }
    if (path[chars] == '\0') {
        json_object_set(to, head, value);
        return 0;
    }
    json_t *inside = json_object_get(to, head);
    if (!json_is_object(inside)) {
        inside = json_object();
        json_object_set_new(to, head, inside);
    }
    return json_is_object(value) ? copy_path(inside, value, path + chars + 1, NULL) : 0;
}

static int narrow(json_t **object, const struct fields *fields, struct flo_err *err)
{
    json_t *few = json_object();
    int rv = 0;

    for (size_t i = 0; i < fields->count && rv == 0; i++) {
        rv = copy_path(few, *object, fields->paths[i], err);
    }
    if (rv < 0) {
        json_decref(few);
        return rv;
    }
    json_decref(*object);
    *object = few;
    return 0;
}

/* ---- the page ---- */

struct taken {
    const struct flo_controller *controller;
    json_t *object;
};

static int take_object(void *context, const struct flo_fleet_device *device)
{
    struct taken *taken = context;

    taken->object = flo_object_device(taken->controller, device);
    return 0;
}

static int add_device(struct flo_rest_call *call, const char *id, const struct fields *fields,
                      json_t *items, struct flo_err *err)
{
    struct taken taken = {.controller = call->controller};
    int rv = flo_fleet_device_get(call->controller->store, id, take_object, &taken, err);
    json_t *object = taken.object;

    if (rv == 0 && fields->count > 0) {
        rv = narrow(&object, fields, err);
    }
    if (rv < 0) {
        json_decref(object);
        return rv;
    }
    json_array_append_new(items, object);
    return 0;
}

/* Writes the cursor behind these devices. */
static int end_page(struct flo_rest_call *call, const void *const *devices, size_t count,
                    const struct sorting *sorting, struct flo_walk *walk, char out[FLO_WALK_TEXT],
                    struct flo_err *err)
{
    const struct flo_select_device *device = devices[count - 1];

    if (sorting->count == 0) {
        snprintf(out, FLO_WALK_TEXT, "%s", device->values[FLO_SELECT_ID].text);
        return 0;
    }
    json_t *keys = keys_of(device, sorting);
    walk = walk != NULL ? walk : flo_walk_begin(call->rest);
    for (size_t i = 0; i < count; i++) {
        device = devices[i];
        flo_walk_give(call->rest, walk, device->values[FLO_SELECT_ID].text);
    }
    return flo_walk_cursor(walk, keys, out, err);
}

/* Answers with the first `limit` of the remaining devices.  Only that many are
 * sorted. */
static int answer_page(struct flo_rest_call *call, const struct flo_fleet_found *found,
                       size_t limit, struct sorting *sorting, const struct fields *fields,
                       struct flo_walk *walk, struct flo_err *err)
{
    size_t room = limit < found->count ? limit : found->count;
    bool has_more = room < found->count;
    FLO_CLEANUP(flo_free_cleanup) const void **first = calloc(room + 1, sizeof(*first));
    char cursor[FLO_WALK_TEXT];

    if (first == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "a page of devices");
    }
    if (room > 0) {
        room = flo_select_first((const void *const *)found->items, found->count, room,
                                compare_items, sorting, first);
    }
    FLO_TRY(has_more ? end_page(call, first, room, sorting, walk, cursor, err) : 0);
    json_t *items = json_array();
    call->out = flo_rest_list(items, has_more ? cursor : NULL);
    for (size_t i = 0; i < room; i++) {
        const struct flo_select_device *device = first[i];
        FLO_TRY(add_device(call, device->values[FLO_SELECT_ID].text, fields, items, err));
    }
    return 0;
}

int flo_rest_devices(struct flo_rest_call *call, struct flo_err *err)
{
    FLO_CLEANUP(flo_fleet_query_deinit) struct flo_fleet_query query = {.count = 0};
    FLO_CLEANUP(flo_fleet_found_deinit) struct flo_fleet_found found = {0};
    struct sorting sorting = {.count = 0};
    struct fields fields = {.count = 0};
    struct flo_walk *walk = NULL;

    FLO_TRY(read_query(call, &query, err));
    FLO_TRY(read_sort(call, &sorting, err));
    FLO_TRY(read_fields(call, &fields, err));
    FLO_TRY(flo_fleet_query_find(call->controller, &query, &found, err));
    json_int_t total = (json_int_t)found.count;
    FLO_TRY(after_cursor(call, &found, &sorting, &walk, err));
    FLO_TRY(answer_page(call, &found, (size_t)flo_rest_number(call, "limit", 1000), &sorting,
                        &fields, walk, err));
    json_object_set_new(call->out, "total", json_integer(total));
    return 0;
}
