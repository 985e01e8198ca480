/* JSON members: reads those of a tree that was checked before, and makes new
 * ones. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/host/digest.h"
#include "base/host/json.h"

/* ---- reading ---- */

json_t *flo_json_member(const json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);

    return json_is_null(value) ? NULL : value;
}

const char *flo_json_text(const json_t *object, const char *key, const char *standard)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text != NULL ? text : standard;
}

void flo_json_copy_text(const json_t *object, const char *key, char *out, size_t bytes)
{
    snprintf(out, bytes, "%s", flo_json_text(object, key, ""));
}

uint64_t flo_json_number(const json_t *object, const char *key)
{
    json_int_t number = json_integer_value(json_object_get(object, key));

    return number > 0 ? (uint64_t)number : 0;
}

uint64_t flo_json_number_to(const json_t *object, const char *key, uint64_t most)
{
    uint64_t number = flo_json_number(object, key);

    return number <= most ? number : 0;
}

bool flo_json_equal(const json_t *a_or_null, const json_t *b_or_null)
{
    return a_or_null == NULL || b_or_null == NULL ? a_or_null == b_or_null
                                                  : json_equal(a_or_null, b_or_null);
}

bool flo_json_says(const json_t *object, const char *key, const char *text)
{
    const char *said = flo_json_text(object, key, NULL);

    return said != NULL && strcmp(said, text) == 0;
}

/* ---- making ---- */

json_t *flo_json_u64(uint64_t value)
{
    return json_integer((json_int_t)value);
}

json_t *flo_json_u64_or_null(uint64_t value)
{
    return value > 0 ? flo_json_u64(value) : json_null();
}

json_t *flo_json_finite(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

json_t *flo_json_finite_if(bool is_known, double value)
{
    return is_known ? flo_json_finite(value) : json_null();
}

json_t *flo_json_digest(const struct flo_digest *digest)
{
    char text[FLO_DIGEST_TEXT];

    flo_digest_text(digest, text);
    return json_string(text);
}

json_t *flo_json_text_or_null(const char *text)
{
    return text == NULL || text[0] == '\0' ? json_null() : json_string(text);
}

json_t *flo_json_object_at(json_t *object, const char *key)
{
    if (!json_is_object(json_object_get(object, key))) {
        json_object_set_new(object, key, json_object());
    }
    return json_object_get(object, key);
}

void flo_json_set_text(json_t *object, const char *key, const char *text)
{
    json_object_set_new(object, key, json_string(text));
}

void flo_json_set_number(json_t *object, const char *key, uint64_t number)
{
    json_object_set_new(object, key, flo_json_u64(number));
}

void flo_json_set_figure(json_t *object, const char *key, double figure)
{
    json_object_set_new(object, key, flo_json_finite(round(figure * 1000) / 1000));
}

void flo_json_put_text(json_t *object, const char *key, const char *text)
{
    if (text[0] != '\0') {
        flo_json_set_text(object, key, text);
    }
}

void flo_json_put_number(json_t *object, const char *key, uint64_t number)
{
    if (number > 0) {
        flo_json_set_number(object, key, number);
    }
}

void flo_json_put_parts(json_t *object, const char *key, json_t *parts)
{
    if (json_array_size(parts) > 0 || json_object_size(parts) > 0) {
        json_object_set(object, key, parts);
    }
    json_decref(parts);
}

void flo_json_count(json_t *object, const char *key, uint64_t more)
{
    json_int_t before = json_integer_value(json_object_get(object, key));

    json_object_set_new(object, key, json_integer(before + (json_int_t)more));
}
