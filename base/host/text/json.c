/* JSON: strict reading, checked fields, compact writing. */
#include "base/host/json.h"

#include <malloc.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <flotilla/errors/meta.h>

#include "base/host/text/json_quick.h"

/* Counts the brackets outside of strings, which bounds the memory of a tree
 * before it is built. */
static int check_parts(const char *text, size_t bytes, struct flo_err *err)
{
    size_t depth = 0, parts = 0;
    size_t parts_max = FLO_JSON_PARTS_MAX * (1 + (bytes >> 20));

    for (size_t i = 0; i < bytes; i++) {
        char c = text[i];
        if (c == '"') { /* skips the string up to its end */
            for (i++; i < bytes && text[i] != '"'; i++) {
                i += text[i] == '\\';
            }
        } else if (c == '{' || c == '[') {
            if (++depth > FLO_JSON_DEPTH_MAX) {
                return flo_fail(err, FLO_E_META_JSON_DEPTH, "deeper than %d levels at byte %zu",
                                FLO_JSON_DEPTH_MAX, i);
            }
            if (++parts > parts_max) {
                return flo_fail(err, FLO_E_META_TOO_LARGE, "more than %zu objects and arrays",
                                parts_max);
            }
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        }
    }
    return 0;
}

/* ---- no memory ---- */

/* true: an allocation of jansson failed.  jansson does not always report that,
 * and may write a truncated text.  So its allocator is replaced by one that
 * records failures. */
static _Thread_local bool lacks;

static void *allocate(size_t bytes)
{
    void *data = malloc(bytes);

    lacks = lacks || data == NULL;
    return data;
}

/* true while a tree with secrets is read or released: all memory that jansson
 * frees is then wiped, including its text buffers. */
static _Thread_local bool is_secret;

static void release(void *data)
{
    if (is_secret && data != NULL) {
        explicit_bzero(data, malloc_usable_size(data));
    }
    free(data);
}

__attribute__((constructor)) static void watch(void)
{
    json_set_alloc_funcs(allocate, release);
}

/* ---- reading ---- */

static int no_memory(size_t bytes, struct flo_err *err)
{
    return flo_fail(err, FLO_E_MEMORY, "JSON of %zu bytes", bytes);
}

int flo_json_parse(const char *text, size_t bytes, size_t bytes_max, json_t **out,
                   struct flo_err *err)
{
    json_error_t why;

    if (bytes > bytes_max) {
        return flo_fail(err, FLO_E_META_TOO_LARGE, "%zu bytes, limit %zu", bytes, bytes_max);
    }
    if (bytes >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        return flo_fail(err, FLO_E_META_JSON, "byte order mark at byte 0");
    }
    size_t valid = flo_utf8_valid(text, bytes);
    if (valid < bytes) {
        return flo_fail(err, FLO_E_META_JSON, "not UTF-8 at byte %zu", valid);
    }
    /* A short document cannot have too many objects and arrays, because each
     * has at least two bytes. */
    bool is_short = bytes <= 2 * FLO_JSON_PARTS_MAX;
    lacks = false;
    json_t *json = is_short ? flo_json_quick(text, bytes) : NULL;
    FLO_TRY(json != NULL ? 0 : check_parts(text, bytes, err));
    if (!is_short) {
        json = flo_json_quick(text, bytes);
    }
    if (json == NULL && !lacks) { /* jansson's reader parses again and reports the error */
        json = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &why);
    }
    if (lacks) {
        json_decref(json);
        return no_memory(bytes, err);
    }
    if (json == NULL) {
        /* A number that no integer can hold is a wrong value, not wrong JSON:
         * JSON itself sets no bounds. */
        bool is_number = json_error_code(&why) == json_error_numeric_overflow;
        return flo_fail(err, is_number ? FLO_E_META_SCHEMA : FLO_E_META_JSON, "%s at byte %d",
                        why.text, why.position < 0 ? 0 : why.position);
    }
    *out = json;
    return 0;
}

int flo_json_body(const char *text, size_t bytes, size_t bytes_max, json_t **out,
                  struct flo_err *err)
{
    json_t *json = NULL;
    int rv = flo_json_parse(text, bytes, bytes_max, &json, err);

    if (rv == 0 && !json_is_object(json)) {
        json_decref(json);
        rv = flo_fail(err, FLO_E_REST_SCHEMA, "the body is no JSON object");
    } else if (rv == 0) {
        *out = json;
    } else if (rv != FLO_E_MEMORY) {
        rv = flo_wrap(err, FLO_E_REST_SCHEMA, "the body");
    }
    return rv;
}

void flo_json_cleanup(json_t **json)
{
    json_decref(*json);
    *json = NULL;
}

int flo_json_secret_parse(const char *text, size_t bytes, size_t bytes_max, json_t **out,
                          struct flo_err *err)
{
    is_secret = true;
    int rv = flo_json_parse(text, bytes, bytes_max, out, err);
    is_secret = false;
    return rv;
}

void flo_json_secret_cleanup(json_t **json)
{
    is_secret = true;
    flo_json_cleanup(json);
    is_secret = false;
}

/* ---- fields ---- */

static const char *type_name(const json_t *json)
{
    switch (json_typeof(json)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a text";
    case JSON_INTEGER:
        return "a whole number";
    case JSON_REAL:
        return "a number with a fraction";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a boolean";
    case JSON_NULL:
    default:
        return "null";
    }
}

/* Finds object[key], which must exist and have one of the types in `types` (a
 * bit for each json_type).  `wanted` names these types in the error. */
static int find(const json_t *object, const char *key, unsigned types, const char *wanted,
                json_t **out, struct flo_err *err)
{
    json_t *value = json_object_get(object, key);

    if (value == NULL) {
        return flo_fail(err, FLO_E_META_SCHEMA, "field `%s`: missing", key);
    }
    if ((types >> json_typeof(value) & 1) == 0) {
        return flo_fail(err, FLO_E_META_SCHEMA, "field `%s`: %s, not %s", key, type_name(value),
                        wanted);
    }
    *out = value;
    return 0;
}

/* Tells whether the key is missing or null, so that the default applies. */
static bool is_left_out(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    return value == NULL || json_is_null(value);
}

int flo_json_get_text(const json_t *object, const char *key, size_t bytes_max, const char **out,
                      struct flo_err *err)
{
    json_t *value;

    FLO_TRY(find(object, key, 1u << JSON_STRING, "a text", &value, err));
    if (json_string_length(value) > bytes_max) {
        return flo_fail(err, FLO_E_META_SCHEMA, "field `%s`: %zu bytes, limit %zu", key,
                        json_string_length(value), bytes_max);
    }
    *out = json_string_value(value);
    return 0;
}

int flo_json_opt_text(const json_t *object, const char *key, size_t bytes_max, const char *standard,
                      const char **out, struct flo_err *err)
{
    if (is_left_out(object, key)) {
        *out = standard;
        return 0;
    }
    return flo_json_get_text(object, key, bytes_max, out, err);
}

int flo_json_get_u64(const json_t *object, const char *key, uint64_t min, uint64_t max,
                     uint64_t *out, struct flo_err *err)
{
    json_t *value;

    FLO_TRY(find(object, key, 1u << JSON_INTEGER, "a whole number", &value, err));
    json_int_t number = json_integer_value(value);
    if (number < 0 || (uint64_t)number < min) {
        return flo_fail(err, FLO_E_META_SCHEMA, "field `%s`: %lld is below %llu", key,
                        (long long)number, (unsigned long long)min);
    }
    if ((uint64_t)number > max) {
        return flo_fail(err, FLO_E_META_SCHEMA, "field `%s`: %lld is above %llu", key,
                        (long long)number, (unsigned long long)max);
    }
    *out = (uint64_t)number;
    return 0;
}

int flo_json_opt_u64(const json_t *object, const char *key, uint64_t min, uint64_t max,
                     uint64_t standard, uint64_t *out, struct flo_err *err)
{
    if (is_left_out(object, key)) {
        *out = standard;
        return 0;
    }
    return flo_json_get_u64(object, key, min, max, out, err);
}

int flo_json_get_real(const json_t *object, const char *key, double min, double max, double *out,
                      struct flo_err *err)
{
    json_t *value;

    FLO_TRY(find(object, key, 1u << JSON_INTEGER | 1u << JSON_REAL, "a number", &value, err));
    double number = json_number_value(value);
    if (!isfinite(number) || number < min || number > max) {
        return flo_fail(err, FLO_E_META_SCHEMA, "field `%s`: %g is not within %g to %g", key,
                        number, min, max);
    }
    *out = number;
    return 0;
}

int flo_json_opt_real(const json_t *object, const char *key, double min, double max,
                      double standard, double *out, struct flo_err *err)
{
    if (is_left_out(object, key)) {
        *out = standard;
        return 0;
    }
    return flo_json_get_real(object, key, min, max, out, err);
}

int flo_json_get_bool(const json_t *object, const char *key, bool *out, struct flo_err *err)
{
    json_t *value;

    FLO_TRY(find(object, key, 1u << JSON_TRUE | 1u << JSON_FALSE, "a boolean", &value, err));
    *out = json_is_true(value);
    return 0;
}

int flo_json_opt_bool(const json_t *object, const char *key, bool standard, bool *out,
                      struct flo_err *err)
{
    if (is_left_out(object, key)) {
        *out = standard;
        return 0;
    }
    return flo_json_get_bool(object, key, out, err);
}

int flo_json_get_object(const json_t *object, const char *key, json_t **out, struct flo_err *err)
{
    return find(object, key, 1u << JSON_OBJECT, "an object", out, err);
}

int flo_json_opt_object(const json_t *object, const char *key, json_t **out, struct flo_err *err)
{
    if (is_left_out(object, key)) {
        *out = NULL;
        return 0;
    }
    return flo_json_get_object(object, key, out, err);
}

int flo_json_get_array(const json_t *object, const char *key, size_t count_max, json_t **out,
                       struct flo_err *err)
{
    json_t *value;

    FLO_TRY(find(object, key, 1u << JSON_ARRAY, "an array", &value, err));
    if (json_array_size(value) > count_max) {
        return flo_fail(err, FLO_E_META_SCHEMA, "field `%s`: %zu elements, limit %zu", key,
                        json_array_size(value), count_max);
    }
    *out = value;
    return 0;
}

int flo_json_opt_array(const json_t *object, const char *key, size_t count_max, json_t **out,
                       struct flo_err *err)
{
    if (is_left_out(object, key)) {
        *out = NULL;
        return 0;
    }
    return flo_json_get_array(object, key, count_max, out, err);
}

int flo_json_get_digest(const json_t *object, const char *key, struct flo_digest *out,
                        struct flo_err *err)
{
    const char *text;

    FLO_TRY(flo_json_get_text(object, key, FLO_DIGEST_TEXT - 1, &text, err));
    if (!flo_digest_parse(text, out)) {
        return flo_fail(err, FLO_E_META_SCHEMA, "field `%s`: `%s` is not sha256:<64 hex digits>",
                        key, text);
    }
    return 0;
}

int flo_json_opt_digest(const json_t *object, const char *key, struct flo_digest *out,
                        struct flo_err *err)
{
    if (is_left_out(object, key)) {
        memset(out, 0, sizeof(*out));
        return 0;
    }
    return flo_json_get_digest(object, key, out, err);
}

int flo_json_get_name(const json_t *object, const char *key, const char **out, struct flo_err *err)
{
    const char *text;

    FLO_TRY(flo_json_get_text(object, key, SIZE_MAX, &text, err));
    if (!flo_name_is_valid(text)) {
        return flo_fail(err, FLO_E_META_NAME, "field `%s`: `%.80s`", key, text);
    }
    *out = text;
    return 0;
}

int flo_json_opt_name(const json_t *object, const char *key, const char *standard, const char **out,
                      struct flo_err *err)
{
    if (is_left_out(object, key)) {
        *out = standard;
        return 0;
    }
    return flo_json_get_name(object, key, out, err);
}

int flo_json_get_uuid(const json_t *object, const char *key, const char **out, struct flo_err *err)
{
    const char *text;

    FLO_TRY(flo_json_get_text(object, key, SIZE_MAX, &text, err));
    if (!flo_uuid_is_valid(text)) {
        return flo_fail(err, FLO_E_META_SCHEMA, "field `%s`: `%.80s` is no lower-case UUID", key,
                        text);
    }
    *out = text;
    return 0;
}

/* ---- writing ---- */

static int add_to_buf(const char *text, size_t bytes, void *data)
{
    struct flo_buf *out = data;

    flo_buf_add(out, text, bytes);
    return out->failed ? -1 : 0;
}

static void dump(const json_t *json, size_t flags, struct flo_buf *out)
{
    if (json_dump_callback(json, add_to_buf, out, flags | JSON_ENCODE_ANY) < 0) {
        out->failed = true;
    }
}

int flo_json_check_critical(const json_t *json, const char *known, struct flo_err *err)
{
    const char *key;
    json_t *value;
    size_t index;

    if (json_is_array(json)) {
        json_array_foreach(json, index, value)
        {
            FLO_TRY(flo_json_check_critical(value, known, err));
        }
        return 0;
    }
    /* jansson iterates only over a non-const pointer */
    json_object_foreach((json_t *)(uintptr_t)json, key, value)
    {
        if (strncmp(key, "crit_", 5) == 0 && (known == NULL || strcmp(key, known) != 0)) {
            return flo_fail(err, FLO_E_META_SCHEMA,
                            "field `%.64s` is critical and not known to this "
                            "version",
                            key);
        }
        FLO_TRY(flo_json_check_critical(value, known, err));
    }
    return 0;
}

void flo_json_dump(const json_t *json, struct flo_buf *out)
{
    dump(json, JSON_COMPACT, out);
}

void flo_json_dump_canonical(const json_t *json, struct flo_buf *out)
{
    dump(json, JSON_COMPACT | JSON_SORT_KEYS, out);
}

static int count_bytes(const char *text, size_t bytes, void *data)
{
    size_t *count = data;

    (void)text;
    *count += bytes;
    return 0;
}

void flo_json_secret_dump(const json_t *json, struct flo_buf *out)
{
    const size_t flags = JSON_COMPACT | JSON_SORT_KEYS;
    size_t count = 1; /* bytes of the text, with its final NUL */

    if (json_dump_callback(json, count_bytes, &count, flags) < 0 ||
        (out->data = malloc(count)) == NULL) {
        out->failed = true;
        return;
    }
    out->capacity = count;
    dump(json, flags, out);
}

void flo_json_dump_pretty(const json_t *json, struct flo_buf *out)
{
    dump(json, JSON_INDENT(2), out);
}
