/* Output: aligned tables, JSON, sizes and times for people. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server-stub/cli/cli.h"

#define COLUMNS_MAX 16
#define BRIEF_BYTES 72
#define CELL_BYTES_MAX FLO_OUT_PLAIN

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

const char *flo_out_text(const json_t *json, const char *path,
                         const char *standard)
{
    const char *text = json_string_value(flo_out_at(json, path));
    return text != NULL ? text : standard;
}

uint64_t flo_out_u64(const json_t *json, const char *path)
{
    json_int_t value = json_integer_value(flo_out_at(json, path));
    return value > 0 ? (uint64_t)value : 0;
}

void flo_out_bytes(uint64_t bytes, char *out)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    size_t unit = 0;

    while (value >= 1024 && unit + 1 < FLO_COUNT(units)) {
        value /= 1024;
        unit++;
    }
    snprintf(out, 32, unit == 0 || value >= 100 ? "%.0f %s" : "%.1f %s", value,
             units[unit]);
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

/* Width on the screen: code points, which is right for what we print. */
static size_t width(const char *text)
{
    size_t count = 0;
    for (; *text != '\0'; text++) {
        count += ((unsigned char)*text & 0xc0) != 0x80;
    }
    return count;
}

/* Device-given text must not move the cursor. */
static void plain(const char *text, char *out)
{
    flo_text_clean(text, strlen(text), out, CELL_BYTES_MAX);
}

const char *flo_out_plain(const json_t *json, const char *path,
                          const char *standard, char *out)
{
    plain(flo_out_text(json, path, standard), out);
    return out;
}

static void cell(const json_t *item, const struct flo_column *column, char *out)
{
    const json_t *value = flo_out_at(item, column->path);

    if (column->form == CELL_RELEASE && json_is_object(value)) {
        char title[CELL_BYTES_MAX];
        const char *model = flo_out_text(
            value, "model", flo_out_text(item, "serving.model", ""));
        const char *version = flo_out_text(value, "version", "");
        bool has_both = model[0] != '\0' && version[0] != '\0';
        snprintf(title, sizeof(title), "%.64s%s%.64s", model,
                 has_both ? "@" : "", version);
        plain(title, out);
    } else if (column->form == CELL_ERROR && json_is_object(value)) {
        char text[256];
        snprintf(text, sizeof(text), "%.64s: %.180s",
                 flo_out_text(value, "id", "?"),
                 flo_out_text(value, "what", "?"));
        plain(text, out);
    } else if (json_is_string(value) && column->form == CELL_BRIEF) {
        char text[BRIEF_BYTES + 1];
        snprintf(text, sizeof(text), "%s", json_string_value(value));
        plain(text, out);
    } else if (json_is_string(value)) {
        plain(json_string_value(value), out);
    } else if (json_is_integer(value) && column->form == CELL_BYTES) {
        flo_out_bytes((uint64_t)json_integer_value(value), out);
    } else if (json_is_integer(value) && column->form == CELL_MS) {
        flo_out_ms((uint64_t)json_integer_value(value), out);
    } else if (json_is_integer(value) && column->form == CELL_TIME) {
        char at[25];
        flo_time_text((uint64_t)json_integer_value(value), at);
        snprintf(out, CELL_BYTES_MAX, "%.16sZ", at);
    } else if (json_is_integer(value) && column->form == CELL_AGO) {
        uint64_t at = (uint64_t)json_integer_value(value);
        uint64_t now = flo_wall_ms();
        if (at == 0) {
            strcpy(out, "never");
        } else {
            flo_out_ms(now > at ? now - at : 0, out);
        }
    } else if (json_is_integer(value) && column->form == CELL_IN) {
        uint64_t at = (uint64_t)json_integer_value(value);
        uint64_t now = flo_wall_ms();
        if (at == 0) {
            strcpy(out, "never");
        } else if (at <= now) {
            strcpy(out, "expired");
        } else {
            flo_out_ms(at - now, out);
        }
    } else if (json_is_integer(value)) {
        snprintf(out, CELL_BYTES_MAX, "%" JSON_INTEGER_FORMAT,
                 json_integer_value(value));
    } else if (json_is_real(value)) {
        snprintf(out, CELL_BYTES_MAX, "%.3f", json_real_value(value));
    } else if (json_is_boolean(value)) {
        strcpy(out, json_is_true(value) ? "yes" : "no");
    } else if (json_array_size(value) > 0) {
        size_t used = 0;
        for (size_t i = 0; i < json_array_size(value) && used < 120; i++) {
            const char *text = json_string_value(json_array_get(value, i));
            char one[31];
            flo_text_clean(text != NULL ? text : "?",
                           text != NULL ? strlen(text) : 1, one, sizeof(one));
            used += (size_t)snprintf(out + used, CELL_BYTES_MAX - used, "%s%s",
                                     i > 0 ? "," : "", one);
        }
    } else {
        strcpy(out, "–");
    }
}

static int by_name(const void *a, const void *b)
{
    const char *one = flo_out_text(*(json_t *const *)a, "name", "");
    const char *other = flo_out_text(*(json_t *const *)b, "name", "");

    return flo_natural_compare(one, strlen(one), other, strlen(other));
}

void flo_out_sort(json_t **items)
{
    size_t count = json_array_size(*items);
    json_t **list = calloc(count + 1, sizeof(*list));

    if (list == NULL) {
        return; /* as they came */
    }
    for (size_t i = 0; i < count; i++) {
        list[i] = json_array_get(*items, i);
    }
    qsort(list, count, sizeof(list[0]), by_name);
    json_t *sorted = json_array();
    for (size_t i = 0; i < count; i++) {
        json_array_append(sorted, list[i]);
    }
    free(list);
    json_decref(*items);
    *items = sorted;
}

void flo_out_json(const json_t *json)
{
    struct flo_buf text = {0};

    flo_json_dump(json, &text);
    puts(text.data != NULL ? text.data : "null");
    flo_buf_deinit(&text);
}

static void row(const char (*cells)[CELL_BYTES_MAX], const size_t *widths,
                size_t count)
{
    for (size_t i = 0; i < count; i++) {
        fputs(cells[i], stdout);
        if (i + 1 < count) {
            printf("%*s", (int)(widths[i] - width(cells[i]) + 2), "");
        }
    }
    putchar('\n');
}

void flo_out_table(const struct flo_cli *cli, const json_t *items,
                   const struct flo_column *columns, size_t count)
{
    char cells[COLUMNS_MAX][CELL_BYTES_MAX];
    size_t widths[COLUMNS_MAX];
    const char *form = flo_args_text(&cli->args, "output", "table");
    size_t shown = strcmp(form, "name") == 0 ? 1 : count;

    if (cli->args.is_json) {
        flo_out_json(items);
        return;
    }
    for (size_t i = 0; i < shown; i++) {
        widths[i] = width(columns[i].head);
        for (size_t k = 0; k < json_array_size(items); k++) {
            cell(json_array_get(items, k), &columns[i], cells[i]);
            size_t chars = width(cells[i]);
            widths[i] = chars > widths[i] ? chars : widths[i];
        }
        snprintf(cells[i], CELL_BYTES_MAX, "%s", columns[i].head);
    }
    if (shown > 1 && !flo_args_has(&cli->args, "no-headers")) {
        row((const char(*)[CELL_BYTES_MAX])cells, widths, shown);
    }
    for (size_t k = 0; k < json_array_size(items); k++) {
        for (size_t i = 0; i < shown; i++) {
            cell(json_array_get(items, k), &columns[i], cells[i]);
        }
        row((const char(*)[CELL_BYTES_MAX])cells, widths, shown);
    }
}

void flo_out_done(const struct flo_cli *cli, json_t *object, const char *format,
                  ...)
{
    va_list args;

    if (cli->args.is_json) {
        flo_out_json(object);
    } else {
        va_start(args, format);
        vprintf(format, args);
        va_end(args);
    }
    json_decref(object);
}

void flo_out_say(const struct flo_cli *cli, const char *format, ...)
{
    va_list args;

    if (flo_args_has(&cli->args, "quiet")) {
        return;
    }
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

int flo_out_confirm(const struct flo_cli *cli, const char *what,
                    const char *word, struct flo_err *err)
{
    char line[256] = "";
    const char *given = flo_args_text(&cli->args, "confirm", NULL);

    if (given == NULL && isatty(STDIN_FILENO)) {
        fprintf(stderr, "%s\nType %s to go on: ", what, word);
        if (fgets(line, sizeof(line), stdin) != NULL) {
            line[strcspn(line, "\n")] = '\0';
        }
        given = line;
    }
    if (given == NULL || strcmp(given, word) != 0) {
        flo_fail(err, FLO_E_USAGE, "not confirmed: nothing was changed");
        flo_err_fix(err, "type %s, or give --confirm %s", word, word);
        return FLO_E_USAGE;
    }
    return 0;
}
