/* Values of a specification: reads texts, paths, sizes and names, and says
 * where a wrong one is. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/cfg.h>

#include "base/host/config.h"
#include "server-stub/cli/builds/rows.h"

/* ---- refusals ---- */

unsigned flo_build_line(const struct flo_yaml *yaml, const char *full)
{
    char path[FLO_BUILD_PATH_MAX];
    unsigned line = 0;

    snprintf(path, sizeof(path), "%s", full);
    while (path[0] != '\0' && (line = flo_yaml_line(yaml, path)) == 0) {
        size_t end = strlen(path);
        while (end > 0 && path[end - 1] != '.' && path[end - 1] != '[') {
            end--;
        }
        path[end > 0 ? end - 1 : 0] = '\0';
    }
    return line;
}

int flo_build_refuse(const struct flo_build_place *place, int code, const char *format, ...)
{
    char what[400], path[FLO_BUILD_PATH_MAX];
    struct flo_err *err = place->reader->err;
    va_list values;

    va_start(values, format);
    vsnprintf(what, sizeof(what), format, values);
    va_end(values);
    snprintf(path, sizeof(path), "%s%s", place->prefix, place->name);
    unsigned line = flo_build_line(place->reader->yaml, path);
    flo_fail(err, code, "%s:%u: `%s`: %s", place->reader->name, line > 0 ? line : 1, path, what);
    flo_err_fix(err, "the fields and their bounds: docs/reference/build.md");
    return code;
}

int flo_build_refuse_type(const struct flo_build_place *place, const char *should)
{
    return flo_build_refuse(place, FLO_E_CFG_TYPE, "it is not %s", should);
}

static const char *keep(const struct flo_build_place *place, const char *text)
{
    json_t *kept = json_string(text);

    return json_array_append_new(place->reader->spec->texts, kept) == 0 ? json_string_value(kept)
                                                                        : NULL;
}

static int kept_or_memory(const struct flo_build_place *place, const char *kept)
{
    return kept != NULL ? 0 : flo_fail(place->reader->err, FLO_E_MEMORY, "a specification");
}

/* ---- values ---- */

static int check_bytes(const struct flo_build_place *place, const struct flo_build_row *row,
                       const char *text)
{
    size_t bytes = strlen(text);

    return bytes >= (size_t)row->least && bytes <= (size_t)row->most
               ? 0
               : flo_build_refuse(place, FLO_E_CFG_RANGE, "%zu bytes are not within %.0f to %.0f",
                                  bytes, row->least, row->most);
}

int flo_build_read_text(const struct flo_build_place *place, const struct flo_build_row *row,
                        const json_t *value, const char **out)
{
    const char *text = json_string_value(value);
    char model[FLO_NAME_MAX + 1], version[FLO_NAME_MAX + 1];

    if (text == NULL) {
        return flo_build_refuse_type(place, row->kind == FLO_BUILD_KIND_NAME ? "a name" : "a text");
    }
    if (row->kind == FLO_BUILD_KIND_NAME && !flo_name_is_valid(text)) {
        return flo_build_refuse(place, FLO_E_CFG_RANGE, "%.80s is no name: letters, digits, . _ -",
                                text);
    }
    if (row->kind == FLO_BUILD_KIND_TITLE &&
        flo_release_title_parse(text, model, version, NULL) < 0) {
        return flo_build_refuse(place, FLO_E_CFG_RANGE, "%.140s is no release, as helpdesk@2.4.0",
                                text);
    }
    if (row->kind == FLO_BUILD_KIND_TEXT || row->kind == FLO_BUILD_KIND_TITLE) {
        FLO_TRY(check_bytes(place, row, text));
    }
    *out = keep(place, text);
    return kept_or_memory(place, *out);
}

/* Returns the characters of a path up to its last "../". */
static int chars_up(const char *path)
{
    const char *at, *end = path;

    while ((at = strstr(end, "../")) != NULL) {
        end = at + 3;
    }
    return (int)(end - path);
}

/* Reads a path.  A relative one begins at the specification's folder, and what
 * stands behind its last "../" is opened beneath: the folder may be somebody
 * else's. */
int flo_build_read_path(const struct flo_build_place *place, const struct flo_build_row *row,
                        const json_t *value, const char **out)
{
    const char *text = json_string_value(value);
    char path[4096];

    if (text == NULL) {
        return flo_build_refuse_type(place, "a path");
    }
    FLO_TRY(check_bytes(place, row, text));
    bool is_word =
        row->kind == FLO_BUILD_KIND_CORPUS && strcmp(text, FLO_BUILD_CORPUS_BUILTIN) == 0;
    const char *folder = place->reader->folder;
    int up = chars_up(text);
    int chars = is_word || text[0] == '/'
                    ? snprintf(path, sizeof(path), "%s", text)
                    : snprintf(path, sizeof(path), "%s/%.*s./%s", folder[0] == '\0' ? "." : folder,
                               up, text, text + up);
    if (chars >= (int)sizeof(path)) {
        return flo_build_refuse(place, FLO_E_CFG_RANGE, "the path is longer than %zu bytes",
                                sizeof(path));
    }
    *out = keep(place, path);
    return kept_or_memory(place, *out);
}

/* Parses "90MB" or "1.2GiB".  Returns false when the text is no size. */
static bool parse_size(const char *text, double *bytes)
{
    char unit[16], *end;
    double number = strtod(text, &end);
    uint64_t factor = 0;

    if (end == text || text[0] < '0' || text[0] > '9' ||
        strspn(text, "0123456789.") != (size_t)(end - text) ||
        snprintf(unit, sizeof(unit), "1%s", end) >= (int)sizeof(unit) ||
        !flo_size_parse(unit, &factor)) {
        return false;
    }
    *bytes = number * (double)factor;
    return true;
}

/* Reads a number, or a text that ends with a unit.  Keeps the text in *kept,
 * if it is not NULL. */
int flo_build_read_measure(const struct flo_build_place *place, const struct flo_build_row *row,
                           const json_t *value, double *out, const char **kept)
{
    const char *text = json_string_value(value);
    bool is_size = row->kind == FLO_BUILD_KIND_SIZE;
    bool is_percent = row->kind == FLO_BUILD_KIND_LOSS;
    char plain[40], *end = NULL;
    double number = json_number_value(value);

    if (is_percent) {
        number = text != NULL ? strtod(text, &end) : 0;
        if (text == NULL || end == text || strcmp(end, "%") != 0 ||
            strspn(text, "0123456789.") != (size_t)(end - text)) {
            return flo_build_refuse_type(place, "a share such as 90%");
        }
    } else if (is_size && text != NULL ? !parse_size(text, &number) : !json_is_number(value)) {
        return flo_build_refuse_type(place, is_size ? "a size such as 90MB" : "a number");
    }
    if (!isfinite(number) || number < row->least || number > row->most) {
        return flo_build_refuse(place, FLO_E_CFG_RANGE, "%.15g is not within %.15g to %.15g",
                                number, row->least, row->most);
    }
    *out = number;
    if (kept == NULL) {
        return 0;
    }
    snprintf(plain, sizeof(plain), "%.0f", number);
    *kept = keep(place, text != NULL ? text : plain);
    return kept_or_memory(place, *kept);
}

int flo_build_read_count(const struct flo_build_place *place, const struct flo_build_row *row,
                         const json_t *value, uint64_t *out)
{
    if (!json_is_integer(value)) {
        return flo_build_refuse_type(place, "a whole number");
    }
    double number = (double)json_integer_value(value);
    if (number < row->least || number > row->most) {
        return flo_build_refuse(place, FLO_E_CFG_RANGE, "%.0f is not within %.0f to %.0f", number,
                                row->least, row->most);
    }
    *out = (uint64_t)json_integer_value(value);
    return 0;
}

/* Reads a list of texts as one with commas. */
int flo_build_read_names(const struct flo_build_place *place, const struct flo_build_row *row,
                         const json_t *value, const char **out)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf all = {.bytes_max = 4096};
    const json_t *item;
    size_t i, count = json_array_size(value);

    if (!json_is_array(value)) {
        return flo_build_refuse_type(place, "a list of texts");
    }
    if ((double)count < row->least || (double)count > row->most) {
        return flo_build_refuse(place, FLO_E_CFG_RANGE, "%zu texts are not within %.0f to %.0f",
                                count, row->least, row->most);
    }
    json_array_foreach((json_t *)(uintptr_t)value, i, item)
    {
        const char *text = json_string_value(item);
        if (text == NULL || text[0] == '\0' || strchr(text, ',') != NULL) {
            return flo_build_refuse_type(place, "a list of texts without commas");
        }
        flo_buf_printf(&all, "%s%s", i > 0 ? "," : "", text);
    }
    if (all.failed) {
        return flo_build_refuse(place, FLO_E_CFG_RANGE,
                                "the texts have more than %zu bytes together", all.bytes_max);
    }
    *out = keep(place, all.data);
    return kept_or_memory(place, *out);
}

static const char *keep_file(const struct flo_build_place *place, const char *path)
{
    char text[4096 + 2];

    snprintf(text, sizeof(text), "@%s", path);
    return keep(place, text);
}

/* Reads the value of one pair: a path, or a text or number as flags have it.  A
 * text of a file is "@FILE". */
static int read_pair(const struct flo_build_place *place, const struct flo_build_row *row,
                     const json_t *value, const char **out)
{
    static const struct flo_build_row path = {.kind = FLO_BUILD_KIND_PATH,
                                              .least = 1,
                                              .most = 1024},
                                      text = {
                                          .kind = FLO_BUILD_KIND_TEXT, .least = 1, .most = 4096};
    const char *file = NULL;
    char number[32];

    if (row->kind == FLO_BUILD_KIND_FILES) {
        return flo_build_read_path(place, &path, value, out);
    }
    if (json_is_string(value) && json_string_value(value)[0] == '@') {
        FLO_CLEANUP(flo_json_cleanup) json_t *rest = json_string(json_string_value(value) + 1);
        FLO_TRY(flo_build_read_path(place, &path, rest, &file));
        *out = keep_file(place, file);
        return kept_or_memory(place, *out);
    }
    if (!json_is_integer(value)) {
        return flo_build_read_text(place, &text, value, out);
    }
    snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(value));
    *out = keep(place, number);
    return kept_or_memory(place, *out);
}

int flo_build_read_pairs(const struct flo_build_place *place, const struct flo_build_row *row,
                         const json_t *value, struct flo_build_pairs *out)
{
    char prefix[FLO_BUILD_PATH_MAX];
    const char *key;
    json_t *item;

    if (!json_is_object(value)) {
        return flo_build_refuse_type(place, "an object");
    }
    size_t count = json_object_size(value);
    if ((double)count < row->least || (double)count > row->most || count > FLO_BUILD_PAIRS_MAX) {
        return flo_build_refuse(place, FLO_E_CFG_RANGE, "%zu names are not within %.0f to %.0f",
                                count, row->least, row->most);
    }
    snprintf(prefix, sizeof(prefix), "%s%s.", place->prefix, place->name);
    json_object_foreach((json_t *)(uintptr_t)value, key, item)
    {
        const struct flo_build_place at = {place->reader, prefix, key};
        if (key[0] == '\0' || strpbrk(key, "=,:") != NULL || strlen(key) > FLO_FILE_NAME_MAX) {
            return flo_build_refuse(&at, FLO_E_CFG_RANGE, "this is no name of a file or flag");
        }
        out->names[out->count] = keep(&at, key);
        FLO_TRY(kept_or_memory(&at, out->names[out->count]));
        FLO_TRY(read_pair(&at, row, item, &out->values[out->count]));
        out->count++;
    }
    return 0;
}
