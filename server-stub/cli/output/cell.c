/* Cell: formats a value of the API, for a person or for a program. */
#include <stdlib.h>
#include <string.h>

#include "server-stub/cli/output/output.h"

#define BRIEF_BYTES 72

const json_t *flo_out_at(const json_t *json, const char *path)
{
    while (json != NULL && *path != '\0') {
        size_t chars = strcspn(path, ".");
        char key[64];
        snprintf(key, sizeof(key), "%.*s", (int)chars, path);
        json = json_object_get(json, key);
        path += chars + (path[chars] == '.');
    }
    return json;
}

const char *flo_out_text(const json_t *json, const char *path, const char *standard)
{
    const char *text = json_string_value(flo_out_at(json, path));
    return text != NULL ? text : standard;
}

uint64_t flo_out_u64(const json_t *json, const char *path)
{
    json_int_t value = json_integer_value(flo_out_at(json, path));
    return value > 0 ? (uint64_t)value : 0;
}

const char *flo_out_plain(const json_t *json, const char *path, const char *standard, char *out)
{
    const char *text = flo_out_text(json, path, standard);

    flo_text_clean(text, strlen(text), out, FLO_OUT_PLAIN);
    return out;
}

size_t flo_items_count(const json_t *items)
{
    return json_is_array(items) ? json_array_size(items) : 1;
}

const json_t *flo_items_at(const json_t *items, size_t i)
{
    return json_is_array(items) ? json_array_get(items, i) : items;
}

/* ---- units ---- */

void flo_out_bytes(uint64_t bytes, char *out)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    size_t unit = 0;

    while (value >= 1024 && unit + 1 < FLO_COUNT(units)) {
        value /= 1024;
        unit++;
    }
    snprintf(out, 32, unit == 0 || value >= 100 ? "%.0f %s" : "%.1f %s", value, units[unit]);
}

void flo_out_ms(uint64_t ms, char *out)
{
    if (ms < 1000) {
        snprintf(out, 32, "%llu ms", (unsigned long long)ms);
    } else if (ms < 60000) {
        snprintf(out, 32, "%.1f s", (double)ms / 1000);
    } else if (ms < 86400000) {
        uint64_t s = ms / 1000;
        snprintf(out, 32, s < 3600 ? "%llu m %02llu s" : "%llu h %02llu m",
                 (unsigned long long)(s < 3600 ? s / 60 : s / 3600),
                 (unsigned long long)(s < 3600 ? s % 60 : s / 60 % 60));
    } else {
        snprintf(out, 32, "%llu d", (unsigned long long)(ms / 86400000));
    }
}

static void show_ago(uint64_t at_ms, uint64_t now_ms, char *out)
{
    if (at_ms == 0) {
        strcpy(out, "never");
    } else {
        flo_out_ms(now_ms > at_ms ? now_ms - at_ms : 0, out);
    }
}

static void show_in(uint64_t at_ms, uint64_t now_ms, char *out)
{
    if (at_ms == 0 || at_ms > now_ms) {
        show_ago(at_ms == 0 ? 0 : now_ms, at_ms, out);
    } else {
        strcpy(out, "expired");
    }
}

/* ---- composed cells ---- */

/* Appends a release's title, such as "tiny@1.0.0", from {"model",
 * "version"}. */
static void title_of(const json_t *item, const json_t *value, struct flo_buf *out)
{
    const char *model = flo_out_text(value, "model", flo_out_text(item, "serving.model", ""));
    const char *version = flo_out_text(value, "version", "");
    bool has_both = model[0] != '\0' && version[0] != '\0';

    flo_buf_printf(out, "%.64s%s%.64s", model, has_both ? "@" : "", version);
}

static void list_of(const json_t *value, struct flo_buf *out)
{
    size_t i;
    json_t *item;

    json_array_foreach(value, i, item)
    {
        flo_buf_text(out, i > 0 ? "," : "");
        if (json_is_string(item)) {
            flo_buf_text(out, json_string_value(item));
        } else {
            flo_json_dump(item, out);
        }
    }
}

/* Appends a map, such as labels, as "key=value,...". */
static void map_of(const json_t *value, struct flo_buf *out)
{
    const char *key, *gap = "";
    json_t *item;

    json_object_foreach((json_t *)(uintptr_t)value, key, item)
    {
        flo_buf_printf(out, "%s%s=", gap, key);
        gap = ",";
        if (json_is_string(item)) {
            flo_buf_text(out, json_string_value(item));
        } else {
            flo_json_dump(item, out);
        }
    }
}

/* Appends a cell that is a text, or is composed of several.  Returns false for
 * a number, or if there is no value. */
static bool text_of(const json_t *item, const struct flo_column *column, struct flo_buf *out)
{
    const json_t *value = flo_out_at(item, column->path);

    if (json_is_object(value) && column->form == CELL_RELEASE) {
        title_of(item, value, out);
    } else if (json_is_object(value) && column->form == CELL_ERROR) {
        const char *id = flo_out_text(value, "id", "?");
        flo_buf_printf(out, "%.64s%s%.400s", id, id[0] != '\0' ? ": " : "",
                       flo_out_text(value, "what", "?"));
    } else if (json_is_string(value)) {
        flo_buf_text(out, json_string_value(value));
    } else if (json_is_array(value)) {
        list_of(value, out);
    } else if (json_is_object(value)) {
        map_of(value, out);
    } else {
        return false;
    }
    return true;
}

/* ---- for people ---- */

static void show_number(const json_t *value, enum flo_cell form, uint64_t now_ms, char *out)
{
    json_int_t number = json_integer_value(value);
    uint64_t positive = number > 0 ? (uint64_t)number : 0;

    switch (form) {
    case CELL_BYTES:
        flo_out_bytes(positive, out);
        break;
    case CELL_MS:
        flo_out_ms(positive, out);
        break;
    case CELL_AGO:
        show_ago(positive, now_ms, out);
        break;
    case CELL_IN:
        show_in(positive, now_ms, out);
        break;
    case CELL_TIME:
        flo_time_text(positive, out);
        strcpy(out + 16, "Z");
        break;
    default:
        snprintf(out, 32, "%" JSON_INTEGER_FORMAT, number);
    }
}

void flo_cell_show(const json_t *item, const struct flo_column *column, uint64_t now_ms,
                   char out[FLO_CELL_BYTES])
{
    const json_t *value = flo_out_at(item, column->path);
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};

    if (text_of(item, column, &text)) {
        size_t most =
            column->form == CELL_BRIEF && text.bytes > BRIEF_BYTES ? BRIEF_BYTES : text.bytes;
        flo_text_clean(text.data != NULL ? text.data : "", most, out, FLO_CELL_BYTES);
        if (text.bytes == 0 && !json_is_string(value)) {
            strcpy(out, "–");
        }
    } else if (json_is_integer(value)) {
        show_number(value, column->form, now_ms, out);
    } else if (json_is_real(value)) {
        snprintf(out, FLO_CELL_BYTES, "%.3f", json_real_value(value));
    } else if (json_is_boolean(value)) {
        strcpy(out, json_is_true(value) ? "yes" : "no");
    } else {
        strcpy(out, "–");
    }
}

/* ---- for a machine ---- */

bool flo_cell_raw(const json_t *item, const struct flo_column *column, struct flo_buf *out)
{
    const json_t *value = flo_out_at(item, column->path);
    char text[32];

    if (text_of(item, column, out)) {
        return true;
    }
    if (json_is_integer(value) &&
        (column->form == CELL_AGO || column->form == CELL_IN || column->form == CELL_TIME)) {
        json_int_t at = json_integer_value(value);
        if (at > 0) {
            flo_time_text((uint64_t)at, text);
            flo_buf_text(out, text);
        }
    } else if (value != NULL && !json_is_null(value)) {
        flo_json_dump(value, out);
    }
    return false;
}
