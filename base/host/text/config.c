/* Configuration: a YAML file read by a table of rows. */
#include "base/host/config.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/cfg.h>
#include <flotilla/rows.h>

#include "base/host/yaml.h"

enum { TEXT_BYTES_MAX = 4096, NEAR_MAX = 64, PATH_BYTES = 512 };

/* The present value of a row's key. */
struct value {
    json_t *json;    /* the value as JSON, owned; NULL: no value */
    uint64_t number; /* value of U64, DURATION and SIZE */
    bool is_set;
};

struct flo_config {
    const struct flo_config_row *rows;
    struct value *values; /* [count] */
    size_t count;
    struct flo_yaml *yaml; /* NULL: the values come from a map in another file */
    char name[200];        /* path of the map in another file, when `yaml` is NULL */
    json_t *no_object;
    json_t *no_array;
};

/* The place of an error: file and line. */
struct place {
    const struct flo_config *config;
    const char *key;
};

void flo_config_free(struct flo_config *config)
{
    if (config == NULL) {
        return;
    }
    for (size_t i = 0; config->values != NULL && i < config->count; i++) {
        json_decref(config->values[i].json);
    }
    free(config->values);
    flo_yaml_free(config->yaml);
    json_decref(config->no_object);
    json_decref(config->no_array);
    free(config);
}

void flo_config_cleanup(struct flo_config **config)
{
    flo_config_free(*config);
    *config = NULL;
}

/* ---- errors ---- */

static const char *name_of(const struct flo_config *config)
{
    return config->yaml == NULL ? config->name : flo_yaml_name(config->yaml);
}

static int fail_at(const struct place *place, int code, struct flo_err *err, const char *format,
                   ...) FLO_PRINTF(4, 5);

static int fail_at(const struct place *place, int code, struct flo_err *err, const char *format,
                   ...)
{
    char what[400];
    va_list args;

    va_start(args, format);
    vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    const char *name = name_of(place->config);
    unsigned line =
        place->config->yaml == NULL ? 0 : flo_yaml_line(place->config->yaml, place->key);
    if (line == 0) {
        return flo_fail(err, code, "%s: %s", name, what);
    }
    return flo_fail(err, code, "%s:%u: %s", name, line, what);
}

/* Formats a limit in the form that people write in a configuration. */
static void limit_text(enum flo_config_type type, double value, char *out, size_t out_bytes)
{
    static const struct {
        const char *unit;
        double factor;
    } durations[] = {{"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}},
      sizes[] = {{"TiB", 0x1p40}, {"GiB", 0x1p30}, {"MiB", 0x1p20}, {"KiB", 0x1p10}, {"", 1}};
    bool is_duration = type == FLO_CONFIG_DURATION;

    snprintf(out, out_bytes, "%.15g", value);
    if (!is_duration && type != FLO_CONFIG_SIZE) {
        return;
    }
    for (size_t i = 0; i < FLO_COUNT(sizes) && value > 0; i++) {
        double factor = is_duration ? durations[i].factor : sizes[i].factor;
        if ((uint64_t)value % (uint64_t)factor == 0) {
            snprintf(out, out_bytes, "%.15g%s", value / factor,
                     is_duration ? durations[i].unit : sizes[i].unit);
            return;
        }
    }
}

static bool is_within(const struct flo_config_row *row, double value)
{
    return (row->min == 0 && row->max == 0) || (value >= row->min && value <= row->max);
}

static int fail_range(const struct place *place, const struct flo_config_row *row,
                      const char *value, struct flo_err *err)
{
    char min[64];
    char max[64];

    limit_text(row->type, row->min, min, sizeof(min));
    limit_text(row->type, row->max, max, sizeof(max));
    fail_at(place, FLO_E_CFG_RANGE, err, "`%s`: %s is not within %s to %s", row->key, value, min,
            max);
    flo_err_fix(err, "choose a value from %s to %s", min, max);
    return FLO_E_CFG_RANGE;
}

static const char *const type_names[] = {
    [FLO_CONFIG_TEXT] = "a text",
    [FLO_CONFIG_BOOL] = "true or false",
    [FLO_CONFIG_U64] = "a whole number",
    [FLO_CONFIG_DURATION] = "a duration such as 30s",
    [FLO_CONFIG_SIZE] = "a size such as 64MiB",
    [FLO_CONFIG_TEXTS] = "a list of texts",
    [FLO_CONFIG_MAP] = "a map",
    [FLO_CONFIG_LIST] = "a list",
};

/* Fails for a value of the wrong type: "`30` is a number, not a duration such
 * as 30s". */
static int fail_type(const struct place *place, const struct flo_config_row *row,
                     const json_t *json, struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {.bytes_max = 4096};
    const char *found = "a map";

    if (json_is_array(json)) {
        found = "a list";
    } else if (!json_is_object(json)) {
        flo_json_dump(json, &text);
        found = text.failed ? "a long text" : text.data;
    }
    fail_at(place, FLO_E_CFG_TYPE, err, "`%s`: %.100s is not %s", row->key, found,
            type_names[row->type]);
    if (row->type == FLO_CONFIG_TEXT && json_is_number(json)) {
        flo_err_fix(err, "put it in quotes");
    } else {
        flo_err_fix(err, "give %s", type_names[row->type]);
    }
    return FLO_E_CFG_TYPE;
}

/* ---- values ---- */

bool flo_size_parse(const char *text, uint64_t *bytes)
{
    static const struct unit {
        const char *unit;
        uint64_t factor;
    } units[] = {{"", 1},
                 {"B", 1},
                 {"KiB", UINT64_C(1) << 10},
                 {"MiB", UINT64_C(1) << 20},
                 {"GiB", UINT64_C(1) << 30},
                 {"TiB", UINT64_C(1) << 40},
                 {"kB", 1000},
                 {"MB", 1000000},
                 {"GB", 1000000000},
                 {"TB", UINT64_C(1000000000000)}};
    char *end;

    if (text == NULL || *text < '0' || *text > '9') {
        return false;
    }
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno != 0) {
        return false;
    }
    end += *end == ' ' ? 1 : 0;
    const struct unit *unit = FLO_FIND_WORD(end, units, FLO_COUNT(units), unit);

    return unit != NULL && flo_mul_u64(value, unit->factor, bytes);
}

/* Tells whether `word` is in a list separated by blanks. */
static bool is_choice(const char *choices, const char *word)
{
    size_t chars = strlen(word);

    for (const char *p = choices; *p != '\0';) {
        size_t length = strcspn(p, " ");
        if (length == chars && memcmp(p, word, chars) == 0) {
            return true;
        }
        p += length;
        p += strspn(p, " ");
    }
    return false;
}

static int check_text(const struct place *place, const struct flo_config_row *row,
                      const json_t *json, struct flo_err *err)
{
    size_t bytes = json_string_length(json);
    char text[64];

    if (row->choices != NULL && !is_choice(row->choices, json_string_value(json))) {
        fail_at(place, FLO_E_CFG_RANGE, err, "`%s`: `%.100s` is none of %s", row->key,
                json_string_value(json), row->choices);
        flo_err_fix(err, "choose one of %s", row->choices);
        return FLO_E_CFG_RANGE;
    }
    snprintf(text, sizeof(text), "a text of %zu bytes", bytes);
    if (!is_within(row, (double)bytes)) {
        return fail_range(place, row, text, err);
    }
    if (row->max == 0 && bytes > TEXT_BYTES_MAX) {
        return fail_at(place, FLO_E_CFG_RANGE, err, "`%s`: %s, limit %d", row->key, text,
                       (int)TEXT_BYTES_MAX);
    }
    return 0;
}

/* Reads the number of a U64, DURATION or SIZE.  Returns false for a value of
 * the wrong type. */
static bool number_of(const struct flo_config_row *row, const json_t *json, uint64_t *number)
{
    const char *text = json_string_value(json);

    if (json_is_integer(json) && json_integer_value(json) >= 0 &&
        (row->type != FLO_CONFIG_DURATION || json_integer_value(json) == 0)) {
        *number = (uint64_t)json_integer_value(json);
        return true;
    }
    if (row->type == FLO_CONFIG_DURATION) {
        return flo_duration_parse(text, number);
    }
    return row->type == FLO_CONFIG_SIZE && flo_size_parse(text, number);
}

static int check_number(const struct place *place, const struct flo_config_row *row,
                        const json_t *json, uint64_t *number, struct flo_err *err)
{
    char text[100];

    if (json_is_integer(json) && json_integer_value(json) < 0) {
        /* No key allows a negative number, so this one is out of range. */
        snprintf(text, sizeof(text), "%lld", (long long)json_integer_value(json));
        return row->max > 0
                   ? fail_range(place, row, text, err)
                   : fail_at(place, FLO_E_CFG_RANGE, err, "`%s`: %s is below 0", row->key, text);
    }
    if (!number_of(row, json, number)) {
        return fail_type(place, row, json, err);
    }
    if (!is_within(row, (double)*number)) {
        if (json_is_string(json)) {
            snprintf(text, sizeof(text), "%.90s", json_string_value(json));
        } else {
            snprintf(text, sizeof(text), "%llu", (unsigned long long)*number);
        }
        return fail_range(place, row, text, err);
    }
    return 0;
}

static int check_elements(const struct place *place, const struct flo_config_row *row,
                          const json_t *json, struct flo_err *err)
{
    bool is_map = row->type == FLO_CONFIG_MAP;
    size_t count = is_map ? json_object_size(json) : json_array_size(json);
    char text[64];

    if (is_map ? !json_is_object(json) : !json_is_array(json)) {
        return fail_type(place, row, json, err);
    }
    for (size_t i = 0; row->type == FLO_CONFIG_TEXTS && i < count; i++) {
        if (!json_is_string(json_array_get(json, i))) {
            return fail_type(place, row, json_array_get(json, i), err);
        }
    }
    snprintf(text, sizeof(text), "a count of %zu", count);
    return is_within(row, (double)count) ? 0 : fail_range(place, row, text, err);
}

/* Checks a value against its row and stores it.  Takes the reference to
 * `json`. */
static int accept(const struct place *place, const struct flo_config_row *row, json_t *json,
                  struct value *value, struct flo_err *err)
{
    uint64_t number = 0;

    switch (row->type) {
    case FLO_CONFIG_TEXT:
        FLO_TRY(json_is_string(json) ? check_text(place, row, json, err)
                                     : fail_type(place, row, json, err));
        break;
    case FLO_CONFIG_BOOL:
        FLO_TRY(json_is_boolean(json) ? 0 : fail_type(place, row, json, err));
        break;
    case FLO_CONFIG_U64:
    case FLO_CONFIG_DURATION:
    case FLO_CONFIG_SIZE:
        FLO_TRY(check_number(place, row, json, &number, err));
        break;
    case FLO_CONFIG_TEXTS:
    case FLO_CONFIG_MAP:
    case FLO_CONFIG_LIST:
    default:
        FLO_TRY(check_elements(place, row, json, err));
        break;
    }
    json_decref(value->json);
    value->json = json_incref(json);
    value->number = number;
    return 0;
}

/* Splits "a,b" into a list of texts. */
static json_t *split_texts(const char *text)
{
    json_t *list = json_array();

    while (list != NULL && *text != '\0') {
        size_t chars = strcspn(text, ",");
        json_array_append_new(list, json_stringn(text, chars));
        text += chars;
        text += *text == ',' ? 1 : 0;
    }
    return list;
}

/* Converts text from a command line, or a default, to the row's type.  A text
 * that does not look like that type stays a text, which accept() then
 * refuses. */
static json_t *json_of_text(const struct flo_config_row *row, const char *text)
{
    char *end;

    if (row->type == FLO_CONFIG_U64 || row->type == FLO_CONFIG_SIZE ||
        row->type == FLO_CONFIG_DURATION) {
        errno = 0;
        long long value = strtoll(text, &end, 10);
        if (*text != '\0' && *end == '\0' && errno == 0) {
            return json_integer(value);
        }
    }
    if (row->type == FLO_CONFIG_TEXTS) {
        return split_texts(text);
    }
    if (row->type == FLO_CONFIG_BOOL) {
        return json_boolean(strcmp(text, "true") == 0);
    }
    return json_string(text);
}

/* ---- keys ---- */

static size_t row_index(const struct flo_config *config, const char *key)
{
    const struct flo_config_row *row = FLO_FIND_WORD(key, config->rows, config->count, key);

    return row == NULL ? config->count : (size_t)(row - config->rows);
}

/* Tells whether a row's key begins with "path.". */
static bool is_section(const struct flo_config *config, const char *path)
{
    size_t chars = strlen(path);

    for (size_t i = 0; i < config->count; i++) {
        const char *key = config->rows[i].key;
        if (strncmp(key, path, chars) == 0 && key[chars] == '.') {
            return true;
        }
    }
    return false;
}

/* Writes the nearest key of the same section to `out`, or else the full key of
 * any row that ends with the word. */
static bool nearest_key(const struct flo_config *config, const char *section, const char *word,
                        char *out, size_t out_bytes)
{
    char parts[NEAR_MAX][FLO_NAME_MAX + 1];
    const char *words[NEAR_MAX];
    size_t count = 0;
    size_t chars = strlen(section);

    for (size_t i = 0; i < config->count && count < NEAR_MAX; i++) {
        const char *key = config->rows[i].key;
        if (strncmp(key, section, chars) != 0) {
            continue;
        }
        size_t length = strcspn(key + chars, ".");
        if (length <= FLO_NAME_MAX) {
            memcpy(parts[count], key + chars, length);
            parts[count][length] = '\0';
            words[count] = parts[count];
            count++;
        }
    }
    const char *near = flo_nearest(word, words, count);
    if (near != NULL) {
        int need = snprintf(out, out_bytes, "%s%s", section, near);
        return need > 0 && (size_t)need < out_bytes;
    }
    for (size_t i = 0; i < config->count; i++) {
        const char *dot = strrchr(config->rows[i].key, '.');
        if (dot != NULL && strcmp(dot + 1, word) == 0) {
            int need = snprintf(out, out_bytes, "%s", config->rows[i].key);
            return need > 0 && (size_t)need < out_bytes;
        }
    }
    return false;
}

static int fail_unknown(const struct place *place, const char *section, const char *word,
                        struct flo_err *err)
{
    char near[PATH_BYTES];

    fail_at(place, FLO_E_CFG_KEY, err, "unknown key `%s%s`", section, word);
    if (strchr(word, '.') != NULL) {
        flo_err_fix(err, "write the parts below each other, each one indented");
    } else if (nearest_key(place->config, section, word, near, sizeof(near))) {
        flo_err_fix(err, "did you mean `%s`?", near);
    } else {
        flo_err_fix(err, "remove it; see docs/reference/config.md");
    }
    return FLO_E_CFG_KEY;
}

/* Reads all keys of one section ("" or "broker."). */
static int read_section(struct flo_config *config, const char *section, json_t *map,
                        struct flo_err *err)
{
    const char *key;
    json_t *json;

    json_object_foreach(map, key, json)
    {
        char path[PATH_BYTES];
        char below[PATH_BYTES + 1];
        snprintf(path, sizeof(path), "%s%s", section, key);
        struct place place = {.config = config, .key = path};
        /* A key that has a dot is unknown, because it would be mistaken for a
         * section. */
        size_t i = strchr(key, '.') == NULL ? row_index(config, path) : config->count;
        int rv = 0;
        if (i < config->count) {
            /* A key without a value counts as missing. */
            if (!json_is_null(json)) {
                rv = accept(&place, &config->rows[i], json, &config->values[i], err);
                config->values[i].is_set = rv == 0;
            }
        } else if (strchr(key, '.') != NULL || !is_section(config, path)) {
            rv = fail_unknown(&place, section, key, err);
        } else if (json_is_object(json)) {
            snprintf(below, sizeof(below), "%s.", path);
            rv = read_section(config, below, json, err);
        } else if (!json_is_null(json)) {
            struct flo_config_row row = {.key = path, .type = FLO_CONFIG_MAP};
            rv = fail_type(&place, &row, json, err);
        }
        FLO_TRY(rv);
    }
    return 0;
}

/* Sets all keys to their defaults, which the file then overwrites. */
static int set_standards(struct flo_config *config, struct flo_err *err)
{
    for (size_t i = 0; i < config->count; i++) {
        const struct flo_config_row *row = &config->rows[i];
        if (row->standard == NULL) {
            continue;
        }
        FLO_CLEANUP(flo_json_cleanup)
        json_t *json = json_of_text(row, row->standard);
        struct place place = {.config = config, .key = row->key};
        if (json == NULL) {
            return flo_fail(err, FLO_E_MEMORY, "configuration");
        }
        int rv = accept(&place, row, json, &config->values[i], err);
        if (rv < 0) {
            return flo_fail(err, FLO_E_INTERNAL, "the standard of `%s` does not fit its row",
                            row->key);
        }
    }
    return 0;
}

static int check_required(const struct flo_config *config, struct flo_err *err)
{
    for (size_t i = 0; i < config->count; i++) {
        const struct flo_config_row *row = &config->rows[i];
        if (row->is_required && !config->values[i].is_set) {
            flo_fail(err, FLO_E_CFG_KEY, "%s: missing key `%s`", name_of(config), row->key);
            flo_err_fix(err, "add `%s`: %s", row->key,
                        row->doc != NULL ? row->doc : type_names[row->type]);
            return FLO_E_CFG_KEY;
        }
    }
    return 0;
}

/* ---- the whole ---- */

/* Reads the map `root`.  Takes ownership of `yaml`, the file that has the map,
 * even on failure.  With `yaml` NULL there is no file; `name` says where the
 * map is. */
static int config_take(struct flo_yaml *yaml, const char *name, json_t *root,
                       const struct flo_config_row *rows, size_t count, struct flo_config **out,
                       struct flo_err *err)
{
    FLO_CLEANUP(flo_config_cleanup)
    struct flo_config *config = calloc(1, sizeof(*config));

    if (config == NULL) {
        flo_yaml_free(yaml);
        return flo_fail(err, FLO_E_MEMORY, "configuration");
    }
    config->yaml = yaml;
    snprintf(config->name, sizeof(config->name), "%s", name);
    config->rows = rows;
    config->count = count;
    config->values = calloc(count + 1, sizeof(*config->values));
    config->no_object = json_object();
    config->no_array = json_array();
    if (config->values == NULL || config->no_object == NULL || config->no_array == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "configuration");
    }
    if (!json_is_object(root) && !json_is_null(root)) {
        struct place place = {.config = config, .key = ""};
        return fail_at(&place, FLO_E_CFG_TYPE, err, "not a map of keys");
    }
    FLO_TRY(set_standards(config, err));
    FLO_TRY(read_section(config, "", root, err));
    FLO_TRY(check_required(config, err));
    *out = config;
    config = NULL;
    return 0;
}

int flo_config_parse(const char *text, size_t bytes, const char *name,
                     const struct flo_config_row *rows, size_t count, struct flo_config **out,
                     struct flo_err *err)
{
    struct flo_yaml *yaml;

    FLO_TRY(flo_yaml_parse(text, bytes, name, &yaml, err));
    return config_take(yaml, name, flo_yaml_root(yaml), rows, count, out, err);
}

int flo_config_map(const json_t *map, const char *name, const struct flo_config_row *rows,
                   size_t count, struct flo_config **out, struct flo_err *err)
{
    return config_take(NULL, name, (json_t *)(uintptr_t)map, rows, count, out, err);
}

int flo_config_load(const char *path, const struct flo_config_row *rows, size_t count,
                    struct flo_config **out, struct flo_err *err)
{
    struct flo_yaml *yaml;

    FLO_TRY(flo_yaml_load(path, &yaml, err));
    return config_take(yaml, path, flo_yaml_root(yaml), rows, count, out, err);
}

/* ---- asking ---- */

static const struct value *value_of(const struct flo_config *config, const char *key,
                                    unsigned types)
{
    size_t i = row_index(config, key);

    if (i == config->count || (types & 1u << config->rows[i].type) == 0) {
        abort(); /* a bug: the code asks for a key that the table lacks */
    }
    return &config->values[i];
}

const char *flo_config_text(const struct flo_config *config, const char *key)
{
    return json_string_value(value_of(config, key, 1u << FLO_CONFIG_TEXT)->json);
}

bool flo_config_bool(const struct flo_config *config, const char *key)
{
    return json_is_true(value_of(config, key, 1u << FLO_CONFIG_BOOL)->json);
}

uint64_t flo_config_u64(const struct flo_config *config, const char *key)
{
    return value_of(config, key,
                    1u << FLO_CONFIG_U64 | 1u << FLO_CONFIG_DURATION | 1u << FLO_CONFIG_SIZE)
        ->number;
}

size_t flo_config_texts_count(const struct flo_config *config, const char *key)
{
    return json_array_size(value_of(config, key, 1u << FLO_CONFIG_TEXTS)->json);
}

const char *flo_config_texts_get(const struct flo_config *config, const char *key, size_t index)
{
    return json_string_value(
        json_array_get(value_of(config, key, 1u << FLO_CONFIG_TEXTS)->json, index));
}

const json_t *flo_config_tree(const struct flo_config *config, const char *key)
{
    const struct value *value = value_of(
        config, key, 1u << FLO_CONFIG_MAP | 1u << FLO_CONFIG_LIST | 1u << FLO_CONFIG_TEXTS);

    if (value->json != NULL) {
        return value->json;
    }
    return config->rows[row_index(config, key)].type == FLO_CONFIG_MAP ? config->no_object
                                                                       : config->no_array;
}

bool flo_config_is_set(const struct flo_config *config, const char *key)
{
    return value_of(config, key, ~0u)->is_set;
}
