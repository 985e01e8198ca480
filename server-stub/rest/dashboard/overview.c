/* REST: overview of a fleet: counts of devices by condition, for each value of
 * a label or field, and active rollouts.
 *
 * The counts come from facts in memory; no row is read.  Each list has at most
 * the worst rows, and a count of those left out. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/rest.h>

#include "server-stub/core/device/condition.h"
#include "server-stub/rest/fleet/fleet.h"

#define ROWS_MAX 64 /* largest number of rows in each list of the answer */
#define HARDWARE "hardware"
#define FACETS_MAX 16 /* largest number of facets: the hardware class, and labels */
#define VALUES_MAX 16 /* largest number of values of each facet in the answer */

struct row {
    const char *name; /* value, borrowed from a device; NULL: devices without a value */
    size_t devices, offline, drift;
    size_t of[FLO_CONDITION_COUNT];
};

/* Rows found by name.  The hash table has open addressing, and half of its
 * entries stay unused. */
struct rows {
    struct row *items;
    size_t count, room;
    uint32_t *places; /* hash table whose entries are indexes of rows + 1; 0:
                         the entry is unused */
    size_t place_count;
};

/* A facet: counts of devices by the values of a label. */
struct facet {
    /* Key of the label, borrowed from a device; NULL: the facet is the hardware
     * class. */
    const char *label;
    struct rows rows;
};

struct overview {
    bool has_facets; /* facets are requested */
    struct facet facets[FACETS_MAX];
    size_t facet_count;
    struct flo_select_name by;
    bool is_hardware;
    struct rows rows, releases;
    struct row all;
};

static void rows_deinit(struct rows *rows)
{
    free(rows->items);
    free(rows->places);
}

static bool is_same(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static size_t place_of(const struct rows *rows, const char *name)
{
    const char *text = name != NULL ? name : "";
    size_t place = flo_crc32c(0, text, strlen(text)) & (rows->place_count - 1);

    while (rows->places[place] != 0 && !is_same(rows->items[rows->places[place] - 1].name, name)) {
        place = (place + 1) & (rows->place_count - 1);
    }
    return place;
}

static bool grow(struct rows *rows)
{
    size_t room = rows->room == 0 ? 64 : 2 * rows->room;
    struct row *items = realloc(rows->items, room * sizeof(*items));

    if (items == NULL) {
        return false;
    }
    rows->items = items;
    uint32_t *places = calloc(2 * room, sizeof(*places));
    if (places == NULL) {
        return false;
    }
    free(rows->places);
    rows->places = places;
    rows->place_count = 2 * room;
    rows->room = room;
    for (size_t i = 0; i < rows->count; i++) {
        places[place_of(rows, items[i].name)] = (uint32_t)i + 1;
    }
    return true;
}

/* Returns the row with this name, which is added if missing.  Returns NULL
 * without memory. */
static struct row *row_of(struct rows *rows, const char *name)
{
    if (rows->count == rows->room && !grow(rows)) {
        return NULL;
    }
    size_t place = place_of(rows, name);
    if (rows->places[place] == 0) {
        rows->items[rows->count] = (struct row){.name = name};
        rows->places[place] = (uint32_t)++rows->count;
    }
    return &rows->items[rows->places[place] - 1];
}

/* ---- counting ---- */

static void count_in(struct row *row, const struct flo_select_device *device)
{
    const union flo_select_value *values = device->values;
    enum flo_condition condition = FLO_CONDITION_OK;

    (void)flo_condition_parse(values[FLO_SELECT_CONDITION].text, &condition);
    row->of[condition]++;
    row->devices++;
    row->offline += strcmp(values[FLO_SELECT_STATE].text, "online") != 0;
    row->drift += values[FLO_SELECT_DRIFTS].flag;
}

static bool count_as(struct rows *rows, const char *name, const struct flo_select_device *device)
{
    struct row *row = row_of(rows, name);

    if (row != NULL) {
        count_in(row, device);
    }
    return row != NULL;
}

/* Returns the hardware class that the device reports, or else its
 * architecture. */
static const char *hardware_of(const struct flo_select_device *device)
{
    const union flo_select_value *values = device->values;

    return values[FLO_SELECT_CLASS].text != NULL ? values[FLO_SELECT_CLASS].text
                                                 : values[FLO_SELECT_ARCH].text;
}

/* Counts a device in a row of each facet: the row of the device's value, or the
 * row without a value.  Returns false without memory. */
static bool count_by(struct overview *overview, const struct flo_select_device *device)
{
    if (overview->is_hardware) {
        return count_as(&overview->rows, hardware_of(device), device);
    }
    const char *text = flo_select_text_of(&overview->by, device, 0);
    bool is_done = count_as(&overview->rows, text, device);
    for (size_t i = 1; is_done && text != NULL; i++) {
        text = flo_select_text_of(&overview->by, device, i);
        is_done = text == NULL || count_as(&overview->rows, text, device);
    }
    return is_done;
}

static bool serves(const char *const *releases, const char *model)
{
    size_t chars = strlen(model);

    for (; releases != NULL && *releases != NULL; releases++) {
        if (strncmp(*releases, model, chars) == 0 && (*releases)[chars] == '@') {
            return true;
        }
    }
    return false;
}

static bool count_releases(struct rows *rows, const struct flo_select_device *device)
{
    const char *const *releases = device->values[FLO_SELECT_RELEASE].list;
    const char *const *models = device->values[FLO_SELECT_MODEL].list;
    bool is_done = true;

    for (; is_done && models != NULL && *models != NULL; models++) {
        if (!serves(releases, *models)) {
            is_done = count_as(rows, NULL, device);
        }
    }
    for (; is_done && releases != NULL && *releases != NULL; releases++) {
        is_done = count_as(rows, *releases, device);
    }
    return is_done;
}

/* Returns the facet of a label, which is added if missing.  Returns NULL when
 * there is no room for another one. */
static struct facet *facet_of(struct overview *overview, const char *label)
{
    for (size_t i = 0; i < overview->facet_count; i++) {
        if (is_same(overview->facets[i].label, label)) {
            return &overview->facets[i];
        }
    }
    if (overview->facet_count == FACETS_MAX) {
        return NULL;
    }
    overview->facets[overview->facet_count].label = label;
    return &overview->facets[overview->facet_count++];
}

static bool count_facets(struct overview *overview, const struct flo_select_device *device)
{
    const struct flo_select_label *label = device->labels;
    bool is_done = count_as(&facet_of(overview, NULL)->rows, hardware_of(device), device);

    for (; is_done && label != NULL && label->key != NULL; label++) {
        struct facet *facet = facet_of(overview, label->key);
        is_done = facet == NULL || count_as(&facet->rows, label->value, device);
    }
    return is_done;
}

static int count_device(void *context, const struct flo_select_device *device)
{
    struct overview *overview = context;

    count_in(&overview->all, device);
    return count_by(overview, device) &&
                   (!overview->has_facets || count_facets(overview, device)) &&
                   count_releases(&overview->releases, device)
               ? 0
               : FLO_E_MEMORY;
}

/* ---- the answer ---- */

/* Returns how many devices of a row need attention. */
static size_t look_of(const struct row *row)
{
    return row->devices - row->of[FLO_CONDITION_OK] - row->of[FLO_CONDITION_UPDATING];
}

static int by_name(const struct row *one, const struct row *other)
{
    return one->name == NULL || other->name == NULL ? (one->name == NULL) - (other->name == NULL)
                                                    : strcmp(one->name, other->name);
}

static int worst_first(const void *a, const void *b)
{
    const struct row *one = a, *other = b;
    size_t look = look_of(one), other_look = look_of(other);

    if (look != other_look) {
        return look < other_look ? 1 : -1;
    }
    if (one->devices != other->devices) {
        return one->devices < other->devices ? 1 : -1;
    }
    return by_name(one, other);
}

static int most_first(const void *a, const void *b)
{
    const struct row *one = a, *other = b;

    return one->devices != other->devices ? (one->devices < other->devices ? 1 : -1)
                                          : by_name(one, other);
}

static json_t *conditions_json(const struct row *row)
{
    json_t *json = json_object();

    for (int i = 0; i < FLO_CONDITION_COUNT; i++) {
        flo_json_put_number(json, flo_condition_word((enum flo_condition)i), row->of[i]);
    }
    return json;
}

static void sort(struct rows *rows, int (*order)(const void *, const void *))
{
    if (rows->count > 0) { /* without rows `items` is not allocated, so there is nothing to sort */
        qsort(rows->items, rows->count, sizeof(*rows->items), order);
    }
}

/* Returns the worst rows as JSON.  *more receives the counts of the rows left
 * out. */
static json_t *rows_json(struct rows *rows, json_t **more)
{
    json_t *list = json_array();
    size_t devices = 0, look = 0;

    sort(rows, worst_first);
    for (size_t i = 0; i < rows->count; i++) {
        const struct row *row = &rows->items[i];
        if (i < ROWS_MAX) {
            json_array_append_new(list, json_pack("{s:s?,s:I,s:I,s:o}", "name", row->name,
                                                  "devices", (json_int_t)row->devices, "look",
                                                  (json_int_t)look_of(row), "conditions",
                                                  conditions_json(row)));
        } else {
            devices += row->devices;
            look += look_of(row);
        }
    }
    *more = json_pack("{s:I,s:I,s:I}", "rows",
                      (json_int_t)(rows->count > ROWS_MAX ? rows->count - ROWS_MAX : 0), "devices",
                      (json_int_t)devices, "look", (json_int_t)look);
    return list;
}

static json_t *releases_json(struct rows *rows)
{
    json_t *list = json_array();

    sort(rows, most_first);
    for (size_t i = 0; i < rows->count && i < ROWS_MAX; i++) {
        const struct row *row = &rows->items[i];
        json_array_append_new(list,
                              json_pack("{s:s?,s:I,s:I,s:I}", "release", row->name, "devices",
                                        (json_int_t)row->devices, "drift", (json_int_t)row->drift,
                                        "offline", (json_int_t)row->offline));
    }
    return list;
}

static json_t *values_json(struct rows *rows)
{
    json_t *list = json_array();

    sort(rows, most_first);
    for (size_t i = 0; i < rows->count && i < VALUES_MAX; i++) {
        json_array_append_new(list, json_pack("{s:s?,s:I}", "name", rows->items[i].name, "devices",
                                              (json_int_t)rows->items[i].devices));
    }
    return list;
}

static json_t *facets_json(struct overview *overview)
{
    json_t *list = json_array();

    for (size_t i = 0; i < overview->facet_count; i++) {
        struct facet *facet = &overview->facets[i];
        json_t *values = values_json(&facet->rows);
        json_int_t shown = (json_int_t)json_array_size(values);
        char by[FLO_NAME_MAX + 8];
        snprintf(by, sizeof(by), facet->label != NULL ? "label.%.64s" : "%.64s",
                 facet->label != NULL ? facet->label : HARDWARE);
        json_array_append_new(list, json_pack("{s:s,s:o,s:I}", "by", by, "values", values, "more",
                                              (json_int_t)facet->rows.count - shown));
    }
    return list;
}

static int read_by(struct flo_rest_call *call, struct overview *out, const char **by,
                   struct flo_err *err)
{
    const char *text = flo_httpd_query(call->request, "by");

    *by = text != NULL ? text : "site";
    out->is_hardware = strcmp(*by, HARDWARE) == 0;
    int rv = out->is_hardware ? 0 : flo_select_name_parse(*by, NULL, &out->by, err);
    if (rv == 0 && !out->is_hardware && !flo_select_has_texts(&out->by)) {
        flo_fail(err, FLO_E_REST_SELECTOR, "%.64s has no values that can be counted", *by);
        rv = flo_err_fix(err, "a label, `hardware`, or a field of words: "
                              "condition, group, release, arch, …");
    }
    return rv < 0 ? flo_wrap(err, rv, "by") : 0;
}

int flo_rest_overview(struct flo_rest_call *call, struct flo_err *err)
{
    struct flo_fleet_query query = {.count = 0};
    struct overview overview = {.has_facets = flo_rest_flag(call, "facets")};
    const char *where = flo_httpd_query(call->request, "where");
    const char *by = NULL;
    json_t *more = NULL;
    int rv = read_by(call, &overview, &by, err);

    if (rv == 0 && where != NULL) {
        rv = flo_fleet_query_where(call, where, &query, err);
    }
    if (rv == 0) {
        rv = flo_fleet_select(call->controller->store,
                              (const struct flo_selector *const *)query.selectors, query.count,
                              flo_wall_ms(), count_device, &overview, err);
        rv = rv == FLO_E_MEMORY ? flo_fail(err, rv, "counts of devices") : rv;
    }
    if (rv == 0) {
        json_t *rows = rows_json(&overview.rows, &more);
        call->out = json_pack(
            "{s:I,s:I,s:s,s:o,s:o,s:o,s:o,s:o}", "devices", (json_int_t)overview.all.devices,
            "offline", (json_int_t)overview.all.offline, "by", by, "conditions",
            conditions_json(&overview.all), "releases", releases_json(&overview.releases), "rows",
            rows, "more", more, "facets", facets_json(&overview));
    }
    rows_deinit(&overview.rows);
    rows_deinit(&overview.releases);
    for (size_t i = 0; i < overview.facet_count; i++) {
        rows_deinit(&overview.facets[i].rows);
    }
    flo_fleet_query_deinit(&query);
    return rv;
}
