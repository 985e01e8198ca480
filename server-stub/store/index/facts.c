/* Device index: the values of fields.def, from a device's row and its report.
 *
 * A report is untrusted, so only texts as short as a name are used, and a
 * limited number of list items. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "server-stub/store/index/device_index.h"

#define LIST_MAX FLO_REPORTED_MODELS_MAX
#define TITLE_BYTES_MAX (2 * FLO_NAME_MAX + 1)

/* Block for texts and lists.  A first pass with `at` NULL counts the bytes, and
 * a second pass writes them. */
struct block {
    char *at;
    size_t used;
};

static void *take(struct block *block, size_t bytes, size_t align)
{
    block->used = (block->used + align - 1) / align * align;
    void *place = block->at != NULL ? block->at + block->used : NULL;
    block->used += bytes;
    return place;
}

static const char *text_of(struct block *block, const char *text)
{
    if (text == NULL || text[0] == '\0') {
        return NULL;
    }
    size_t bytes = strlen(text) + 1;
    char *place = take(block, bytes, 1);
    if (place != NULL) {
        memcpy(place, text, bytes);
    }
    return place;
}

/* Returns a text of the JSON if it is short enough for a device's fact.  NULL:
 * the text is too long or missing. */
static const char *short_text(const json_t *json, size_t bytes_max)
{
    const char *text = json_string_value(json);

    return text != NULL && json_string_length(json) <= bytes_max &&
                   strlen(text) == json_string_length(json)
               ? text
               : NULL;
}

/* Builds a list of texts from the array.  With `key` the texts are this member
 * of each item, else the items themselves. */
static const char *const *list_of(struct block *block, const json_t *array, const char *key,
                                  size_t bytes_max)
{
    const char *found[LIST_MAX];
    size_t count = 0;

    for (size_t i = 0; i < json_array_size(array) && count < LIST_MAX; i++) {
        const json_t *item = json_array_get(array, i);
        const char *text = short_text(key != NULL ? json_object_get(item, key) : item, bytes_max);
        if (text != NULL) {
            found[count++] = text;
        }
    }
    if (count == 0) {
        return NULL;
    }
    const char **list = take(block, (count + 1) * sizeof(*list), sizeof(*list));
    for (size_t i = 0; i < count; i++) {
        const char *text = text_of(block, found[i]);
        if (list != NULL) {
            list[i] = text;
        }
    }
    if (list != NULL) {
        list[count] = NULL;
    }
    return list;
}

typedef void (*fill_fn)(struct block *block, const void *from, struct flo_select_device *out);

/* Counts, then writes. */
static void *build(fill_fn fill, const void *from, struct flo_select_device *out)
{
    struct flo_select_device counted = *out;
    struct block block = {0};

    fill(&block, from, &counted);
    block.at = malloc(block.used + 1);
    if (block.at != NULL) {
        block.used = 0;
        fill(&block, from, out);
    }
    return block.at;
}

/* ---- its row ---- */

struct row {
    const struct flo_fleet_device *device;
    const json_t *labels, *groups, *pins;
};

static const struct flo_select_label *labels_of(struct block *block, const json_t *labels)
{
    struct flo_select_label *list;
    const char *key;
    json_t *value;
    size_t count = 0;

    if (json_object_size(labels) == 0) {
        return NULL;
    }
    list = take(block, (json_object_size(labels) + 1) * sizeof(*list), sizeof(void *));
    json_object_foreach((json_t *)(uintptr_t)labels, key, value)
    {
        const char *name = text_of(block, key);
        const char *text = json_string_value(value);
        const char *kept = text_of(block, text);
        if (list != NULL) {
            list[count++] = (struct flo_select_label){name, kept != NULL ? kept : ""};
        }
    }
    if (list != NULL) {
        list[count] = (struct flo_select_label){NULL, NULL};
    }
    return list;
}

/* Returns the values of a JSON object as an array. */
static json_t *members(const json_t *object)
{
    json_t *list = json_array();
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        json_array_append(list, value);
    }
    return list;
}

static void fill_row(struct block *block, const void *from, struct flo_select_device *out)
{
    const struct row *row = from;
    union flo_select_value *values = out->values;

    values[FLO_SELECT_ID].text = text_of(block, row->device->id);
    values[FLO_SELECT_NAME].text = text_of(block, row->device->name);
    values[FLO_SELECT_GROUP].list = list_of(block, row->groups, NULL, FLO_NAME_MAX);
    values[FLO_SELECT_PINNED].list = list_of(block, row->pins, NULL, TITLE_BYTES_MAX);
    values[FLO_SELECT_MAINTENANCE].flag =
        row->device->maintenance != NULL && row->device->maintenance[0] != '\0';
    values[FLO_SELECT_ENROLLED].at_ms = row->device->enrolled_at_ms;
    out->labels = labels_of(block, row->labels);
}

static json_t *parsed(const char *text)
{
    json_t *json = NULL;

    if (text == NULL || text[0] == '\0' ||
        flo_json_parse(text, strlen(text), 1 << 20, &json, NULL) < 0) {
        return NULL;
    }
    return json;
}

uint32_t flo_device_index_names(const json_t *names)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < json_array_size(names); i++) {
        const char *name = json_string_value(json_array_get(names, i));
        sum += name != NULL ? flo_crc32c(1, name, strlen(name)) : 1;
    }
    return sum != 0 ? sum : 1;
}

uint32_t flo_device_index_names_text(const char *text)
{
    json_t *names = parsed(text);
    uint32_t sum = flo_device_index_names(names);

    json_decref(names);
    return sum;
}

void *flo_device_index_own_facts(const struct flo_fleet_device *device,
                                 struct flo_select_device *out)
{
    json_t *labels = parsed(device->labels);
    json_t *groups = parsed(device->groups);
    json_t *object = parsed(device->pins);
    json_t *pins = members(object);
    struct row row = {device, labels, groups, pins};
    void *block = build(fill_row, &row, out);

    json_decref(labels);
    json_decref(groups);
    json_decref(object);
    json_decref(pins);
    return block;
}

/* ---- its report ---- */

struct report {
    const json_t *report, *profile;
    const json_t *titles; /* texts model@version of the releases that serve */
};

static double number_of(const json_t *json, double scale)
{
    return json_is_number(json) ? json_number_value(json) * scale : (double)NAN;
}

static double battery_of(const json_t *power)
{
    double percent = number_of(json_object_get(power, "battery_pct"), 1);

    return percent < 0 ? (double)NAN : percent; /* no battery */
}

static void fill_report(struct block *block, const void *from, struct flo_select_device *out)
{
    static const struct {
        enum flo_select_field field;
        const char *key;
    } texts[] = {
        {FLO_SELECT_ARCH, "arch"}, {FLO_SELECT_KERNEL, "kernel"}, {FLO_SELECT_CLASS, "class"}};
    static const struct {
        enum flo_select_field field;
        const char *key;
        double scale;
    } numbers[] = {{FLO_SELECT_CORES, "cpus", 1},
                   {FLO_SELECT_MEMORY, "memory_bytes", 1},
                   {FLO_SELECT_DISK_FREE, "disk_free_bytes", 1},
                   {FLO_SELECT_TEMPERATURE, "temperature_mc", 0.001}};
    const struct report *said = from;
    const json_t *profile = said->profile;
    const json_t *power = json_object_get(profile, "power");
    union flo_select_value *values = out->values;

    for (size_t i = 0; i < FLO_COUNT(texts); i++) {
        values[texts[i].field].text =
            text_of(block, short_text(json_object_get(profile, texts[i].key), FLO_NAME_MAX));
    }
    for (size_t i = 0; i < FLO_COUNT(numbers); i++) {
        values[numbers[i].field].number =
            number_of(json_object_get(profile, numbers[i].key), numbers[i].scale);
    }
    out->zone = text_of(block, short_text(json_object_get(profile, "zone"), FLO_NAME_MAX));
    values[FLO_SELECT_AGENT].text =
        text_of(block, short_text(json_object_get(said->report, "agent"), FLO_NAME_MAX));
    values[FLO_SELECT_ACCELERATOR].list =
        list_of(block, json_object_get(profile, "accelerators"), "kind", FLO_NAME_MAX);
    values[FLO_SELECT_RUNTIME].list =
        list_of(block, json_object_get(profile, "runtimes"), "name", FLO_NAME_MAX);
    values[FLO_SELECT_BATTERY].number = battery_of(power);
    values[FLO_SELECT_MAINS].flag = json_is_true(json_object_get(power, "mains"));
    values[FLO_SELECT_DEGRADED].flag = json_is_object(json_object_get(said->report, "degraded"));
    values[FLO_SELECT_STALE].flag =
        flo_json_says(json_object_get(said->report, "degraded"), "id", "trust.stale");
    values[FLO_SELECT_FROZEN].flag =
        json_is_true(json_object_get(said->report, "frozen")) ||
        json_is_true(json_object_get(said->report, "frozen_emergency"));
    values[FLO_SELECT_PROMPTS_STAY].flag =
        json_is_true(json_object_get(said->report, "prompts_stay"));
    values[FLO_SELECT_MODEL].list = list_of(block, said->titles, "model", FLO_NAME_MAX);
    values[FLO_SELECT_RELEASE].list = list_of(block, said->titles, "release", TITLE_BYTES_MAX);
    values[FLO_SELECT_VARIANT].list = list_of(block, said->titles, "variant", FLO_NAME_MAX);
}

/* Lists model@version and variant of the release that serves, for each model on
 * the device. */
static json_t *titles_of(const json_t *models)
{
    json_t *titles = json_array();

    for (size_t i = 0; i < json_array_size(models); i++) {
        const json_t *one = json_array_get(models, i);
        const char *model = short_text(json_object_get(one, "model"), FLO_NAME_MAX);
        const char *state = short_text(json_object_get(one, "state"), FLO_NAME_MAX);
        const char *version =
            short_text(json_object_get(json_object_get(one, "serving"), "version"), FLO_NAME_MAX);
        const char *variant = short_text(json_object_get(one, "variant"), FLO_NAME_MAX);
        char title[TITLE_BYTES_MAX + 1];
        if (!flo_name_is_valid(model) || (state != NULL && strcmp(state, "removed") == 0)) {
            continue;
        }
        json_t *item = json_pack("{s:s}", "model", model);
        if (flo_name_is_valid(version)) {
            snprintf(title, sizeof(title), "%.64s@%.64s", model, version);
            flo_json_put_text(item, "release", title);
        }
        if (flo_name_is_valid(variant)) {
            flo_json_put_text(item, "variant", variant);
        }
        json_array_append_new(titles, item);
    }
    return titles;
}

void *flo_device_index_said_facts(const json_t *report, const json_t *profile_or_null,
                                  struct flo_select_device *out)
{
    json_t *titles = titles_of(json_object_get(report, "models"));
    struct report said = {report, profile_or_null, titles};
    void *block = build(fill_report, &said, out);

    json_decref(titles);
    return block;
}
