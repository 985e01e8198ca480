/* Kinds: reads the values of a specification, each by its kind. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server-stub/core/spec/rows.h"

static int read_text(const struct field *field, const struct place *place, const json_t *value)
{
    char should[80];
    size_t bytes = json_string_length(value);
    size_t chars = 0;

    for (size_t i = 0; i < bytes; i++) {
        chars += ((uint8_t)json_string_value(value)[i] & 0xc0) != 0x80;
    }
    if (json_is_string(value) && bytes > (size_t)field->most && chars <= (size_t)field->most) {
        return flo_fail(place->err, FLO_E_REST_MEANING,
                        "%s%s: %zu characters of %zu bytes; %.0f bytes have "
                        "room",
                        place->path, field->name, chars, bytes, field->most);
    }
    if (!json_is_string(value) || bytes < (size_t)field->least || bytes > (size_t)field->most) {
        snprintf(should, sizeof(should), "a text of %.0f to %.0f bytes", field->least, field->most);
        return flo_spec_wrong(place, field->name, should);
    }
    if (!flo_text_is_line(json_string_value(value))) {
        return flo_spec_wrong(place, field->name, "one line without control characters");
    }
    memcpy(flo_spec_at(field, place), json_string_value(value), bytes + 1);
    return 0;
}

static int read_name(const struct field *field, const struct place *place, const json_t *value)
{
    if (!json_is_string(value) || !flo_name_is_valid(json_string_value(value))) {
        return flo_spec_wrong(place, field->name, "a name: a-z 0-9 . _ - and at most 64 of them");
    }
    snprintf(flo_spec_at(field, place), FLO_NAME_MAX + 1, "%s", json_string_value(value));
    return 0;
}

/* Returns the index of `word` in "one|two|three"; -1: none. */
int flo_spec_word_index(const char *words, const char *word)
{
    size_t chars = strlen(word);

    assert(words != NULL && word != NULL);
    for (int i = 0; chars > 0; i++) {
        size_t one = strcspn(words, "|");
        if (one == chars && memcmp(words, word, chars) == 0) {
            return i;
        }
        if (words[one] == '\0') {
            break;
        }
        words += one + 1;
    }
    return -1;
}

static int read_word(const struct field *field, const struct place *place, const json_t *value)
{
    char should[120];
    int index =
        json_is_string(value) ? flo_spec_word_index(field->possible, json_string_value(value)) : -1;

    if (index < 0) {
        snprintf(should, sizeof(should), "one of %s", field->possible);
        return flo_spec_wrong(place, field->name, should);
    }
    *(uint32_t *)flo_spec_at(field, place) = (uint32_t)index;
    return 0;
}

static int read_count(const struct field *field, const struct place *place, const json_t *value)
{
    char should[80];

    if (!json_is_integer(value) || !flo_spec_is_within(field, (double)json_integer_value(value))) {
        if (field->least < field->most) {
            snprintf(should, sizeof(should), "a whole number from %.0f to %.0f", field->least,
                     field->most);
        } else {
            snprintf(should, sizeof(should), "%.0f and no other number", field->least);
        }
        return flo_spec_wrong(place, field->name, should);
    }
    *(uint64_t *)flo_spec_at(field, place) = (uint64_t)json_integer_value(value);
    return 0;
}

/* Sets the size of a phase.  A phase may give its size only once, so that a
 * second size is an error. */
static int put_size(const struct field *field, const struct place *place, struct flo_spec_size size)
{
    struct flo_spec_size *out = flo_spec_at(field, place);
    bool is_twice = out->devices > 0 || out->share_pct > 0;

    assert(field->kind == SIZE || field->kind == DEVICES || field->kind == SHARE);
    *out = size;
    return is_twice ? flo_fail(place->err, FLO_E_REST_MEANING,
                               "%s%s: the size is said twice; exactly one of size, "
                               "devices and share_pct belongs here",
                               place->path, field->name)
                    : 0;
}

static int read_size(const struct field *field, const struct place *place, const json_t *value)
{
    struct flo_spec_size size = {0};
    json_int_t devices = json_integer_value(value);
    bool is_good =
        json_is_integer(value)
            ? devices >= 1 && devices <= FLO_ROLLOUT_MEMBERS_MAX
            : json_is_string(value) && flo_spec_size_parse(json_string_value(value), &size);

    if (!is_good) {
        return flo_spec_wrong(place, field->name, "a number of devices as 10 or a share as 10%");
    }
    size.devices = json_is_integer(value) ? (uint32_t)devices : size.devices;
    return put_size(field, place, size);
}

static int read_devices(const struct field *field, const struct place *place, const json_t *value)
{
    if (!json_is_integer(value) || !flo_spec_is_within(field, (double)json_integer_value(value))) {
        return flo_spec_wrong(place, field->name, "a whole number of devices from 1 to 200000");
    }
    return put_size(field, place,
                    (struct flo_spec_size){.devices = (uint32_t)json_integer_value(value)});
}

static int read_share(const struct field *field, const struct place *place, const json_t *value)
{
    double share = json_number_value(value);

    if (!json_is_number(value) || share <= 0 || !flo_spec_is_within(field, share)) {
        return flo_spec_wrong(place, field->name, "a share above 0 and up to 100");
    }
    return put_size(field, place, (struct flo_spec_size){.share_pct = share});
}

static int read_duration(const struct field *field, const struct place *place, const json_t *value)
{
    uint64_t ms;
    char should[120];

    if (!json_is_string(value) || !flo_duration_parse(json_string_value(value), &ms) ||
        !flo_spec_is_within(field, (double)ms)) {
        snprintf(should, sizeof(should), "a duration as 30s, 15m, 6h or 2d from %.0f ms to %.0f d",
                 field->least, field->most / 86400000);
        return flo_spec_wrong(place, field->name, should);
    }
    *(uint64_t *)flo_spec_at(field, place) = ms;
    return 0;
}

static int read_time(const struct field *field, const struct place *place, const json_t *value)
{
    return json_is_string(value) &&
                   flo_time_parse(json_string_value(value), flo_spec_at(field, place))
               ? 0
               : flo_spec_wrong(place, field->name, "a time by UTC as 2027-01-31T01:00:00Z");
}

static int put_rate(const struct field *field, const struct place *place, const char *name,
                    double per_min)
{
    double value = field->kind == PER_S ? per_min / 60 : per_min;

    assert(field->kind == RATE || field->kind == PER_S);
    if (!flo_spec_is_within(field, value)) {
        return flo_spec_wrong(place, name, "a rate as 300/min, 5/s or 20/h, up to 100000/s");
    }
    *(double *)flo_spec_at(field, place) = per_min;
    return 0;
}

static int read_rate(const struct field *field, const struct place *place, const json_t *value)
{
    double per_min = -1;

    if (json_is_string(value)) {
        flo_spec_rate_parse(json_string_value(value), &per_min);
    }
    return put_rate(field, place, field->name, per_min);
}

static int read_real(const struct field *field, const struct place *place, const json_t *value)
{
    char should[80];

    if (!json_is_number(value) || !flo_spec_is_within(field, json_number_value(value))) {
        snprintf(should, sizeof(should), "a number from %.10g to %.10g", field->least, field->most);
        return flo_spec_wrong(place, field->name, should);
    }
    *(double *)flo_spec_at(field, place) = json_number_value(value);
    return 0;
}

static int read_names(const struct field *field, const struct place *place, const json_t *value)
{
    char(*out)[FLO_NAME_MAX + 1] = flo_spec_at(field, place);
    size_t count = json_array_size(value);
    bool is_good = json_is_array(value) && flo_spec_is_within(field, (double)count);

    for (size_t i = 0; i < count && is_good; i++) {
        const char *name = json_string_value(json_array_get(value, i));
        is_good = name != NULL && flo_name_is_valid(name);
        snprintf(out[i], FLO_NAME_MAX + 1, "%s", is_good ? name : "");
        for (size_t other = 0; other < i; other++) {
            is_good = is_good && strcmp(out[i], out[other]) != 0;
        }
    }
    return is_good ? 0
                   : flo_spec_wrong(place, field->name,
                                    "a list of 1 to 4 different label names as "
                                    "[hw, site]");
}

/* "site", or "site&hw". */
static bool read_label(const char *text, struct flo_spec_label *out)
{
    char copy[2 * FLO_NAME_MAX + 2];

    if (text == NULL || strlen(text) >= sizeof(copy)) {
        return false;
    }
    memcpy(copy, text, strlen(text) + 1);
    char *and = strchr(copy, '&');
    *out = (struct flo_spec_label){0};
    if (and != NULL) {
        *and++ = '\0';
        if (!flo_name_is_valid(and)) {
            return false;
        }
        snprintf(out->second, sizeof(out->second), "%.*s", FLO_NAME_MAX, and);
    }
    if (!flo_name_is_valid(copy)) {
        return false;
    }
    snprintf(out->key, sizeof(out->key), "%.*s", FLO_NAME_MAX, copy);
    return true;
}

/* Tells whether two labels, or two pairs of labels in either order, are the
 * same. */
static bool is_same_label(const struct flo_spec_label *one, const struct flo_spec_label *other)
{
    return (strcmp(one->key, other->key) == 0 && strcmp(one->second, other->second) == 0) ||
           (strcmp(one->key, other->second) == 0 && strcmp(one->second, other->key) == 0);
}

static int check_different(const struct field *field, const struct place *place,
                           const struct flo_spec_label *labels, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bool is_twice = strcmp(labels[i].key, labels[i].second) == 0;
        for (size_t other = 0; other < i; other++) {
            is_twice = is_twice || is_same_label(&labels[i], &labels[other]);
        }
        if (is_twice) {
            return flo_fail(place->err, FLO_E_REST_MEANING,
                            "%s%s: %s%s%s: each label stands once, and a pair "
                            "is of two",
                            place->path, field->name, labels[i].key,
                            labels[i].second[0] != '\0' ? "&" : "", labels[i].second);
        }
    }
    return 0;
}

static int read_labels(const struct field *field, const struct place *place, const json_t *value)
{
    struct flo_spec_label *out = flo_spec_at(field, place);
    size_t count = json_array_size(value);
    bool is_good = json_is_array(value) && flo_spec_is_within(field, (double)count);

    for (size_t i = 0; i < count && is_good; i++) {
        is_good = read_label(json_string_value(json_array_get(value, i)), &out[i]);
    }
    if (!is_good) {
        return flo_spec_wrong(place, field->name,
                              "a list of 1 to 16 label names, or pairs of them "
                              "as [hw, site, site&hw]");
    }
    place->spec->label_count = (uint32_t)count;
    return check_different(field, place, out, count);
}

static int read_window(const struct field *field, const struct place *place, const json_t *value)
{
    return json_is_string(value) &&
                   flo_window_parse(json_string_value(value), flo_spec_at(field, place))
               ? 0
               : flo_spec_wrong(place, field->name,
                                "a window as `01:00-05:00 device-local` or `mon-fri "
                                "22:00-04:00 Europe/Paris`");
}

int flo_spec_read_value(const struct field *field, const struct place *place, const json_t *value)
{
    switch (field->kind) {
    case TEXT:
        return read_text(field, place, value);
    case NAME:
        return read_name(field, place, value);
    case WORD:
        return read_word(field, place, value);
    case TRUTH:
        if (!json_is_boolean(value)) {
            return flo_spec_wrong(place, field->name, "true or false");
        }
        *(bool *)flo_spec_at(field, place) = json_is_true(value);
        return 0;
    case COUNT:
        return read_count(field, place, value);
    case SIZE:
        return read_size(field, place, value);
    case DEVICES:
        return read_devices(field, place, value);
    case SHARE:
        return read_share(field, place, value);
    case DURATION:
        return read_duration(field, place, value);
    case TIME:
        return read_time(field, place, value);
    case RATE:
        return read_rate(field, place, value);
    case PER_S:
        return put_rate(field, place, field->name,
                        json_is_number(value) ? 60 * json_number_value(value) : -1);
    case REAL:
        return read_real(field, place, value);
    case NAMES:
        return read_names(field, place, value);
    case LABELS:
        return read_labels(field, place, value);
    case WINDOW:
        return read_window(field, place, value);
    case PER:
        return 0; /* any name is allowed in this object */
    case FAILURE:
        return flo_spec_read_failure(field, place, value);
    case RETRIES:
        return flo_spec_read_retries(field, place, value);
    case DEADLINES:
        return flo_spec_read_deadlines(field, place, value);
    default:
        assert(false); /* unreachable: parts are read by another function */
        return 0;
    }
}

/* ---- twins: the same value as a number, for programs ---- */

static const char *number_end(enum flo_spec_kind kind)
{
    return kind == DURATION || kind == TIME ? "_ms" : kind == RATE ? "_per_min" : NULL;
}

bool flo_spec_number_name(const struct field *field, char *out, size_t bytes)
{
    const char *end = number_end(field->kind);

    assert(bytes > 0);
    out[0] = '\0';
    return end != NULL && snprintf(out, bytes, "%s%s", field->name, end) < (int)bytes;
}

int flo_spec_read_number(const struct field *field, const struct place *place, const char *name,
                         const json_t *value)
{
    char should[80];

    assert(number_end(field->kind) != NULL);
    if (field->kind == RATE) {
        return put_rate(field, place, name, json_is_number(value) ? json_number_value(value) : -1);
    }
    if (!json_is_integer(value) || !flo_spec_is_within(field, (double)json_integer_value(value))) {
        snprintf(should, sizeof(should), "a whole number of milliseconds from %.0f to %.0f",
                 field->least, field->most);
        return flo_spec_wrong(place, name, should);
    }
    *(uint64_t *)flo_spec_at(field, place) = (uint64_t)json_integer_value(value);
    return 0;
}
