/* Fit: groups benchmarks by hardware class and release, and judges them; see
 * fit.h. */
#include "server-stub/cli/benchmark/fit.h"

#include <stdlib.h>
#include <string.h>

#define HALF 2 /* answers right that differ by less, in parts of 100, count as equal */

/* Numbers of a row, and the facts they come from. */
static const struct {
    const char *name, *fact;
} numbers[] = {
    {"prompt_tps", "prompt-tps"},
    {"generate_tps", "generate-tps"},
    {"first_token_ms", "first-token-ms"},
    {"rss_bytes", "rss-bytes"},
    {"file_bytes", "file-bytes"},
    {"joules_per_token", "joules-per-token"},
    {"battery_percent_per_hour", "battery-percent-per-hour"},
    {"slowdown_percent", "slowdown-percent"},
    {"temperature_most", "temperature-most"},
    {"fetch_bytes", "fetch-bytes"},
    {"fetch_ms", "fetch-ms"},
};

static bool is_measured(const json_t *item)
{
    const json_t *facts = json_object_get(item, "facts");

    return flo_json_text(facts, "model", "")[0] != '\0' &&
           json_number_value(json_object_get(facts, "generate-tps")) > 0;
}

/* Tells whether both measured the same release in the same variant. */
static bool is_same_release(const json_t *a, const json_t *b)
{
    static const char *const keys[] = {"model", "version", "variant"};
    const json_t *one = json_object_get(a, "facts"), *other = json_object_get(b, "facts");

    for (size_t i = 0; i < FLO_COUNT(keys); i++) {
        if (strcmp(flo_json_text(one, keys[i], ""), flo_json_text(other, keys[i], "")) != 0) {
            return false;
        }
    }
    return true;
}

static bool is_same(const json_t *a, const json_t *b, const char *key)
{
    return is_same_release(a, b) &&
           strcmp(flo_json_text(a, key, ""), flo_json_text(b, key, "")) == 0;
}

/* Tells whether an item before number `at` is of the same release and `key`. */
static bool is_seen(const json_t *items, size_t at, const char *key)
{
    for (size_t i = 0; i < at; i++) {
        if (is_measured(json_array_get(items, i)) &&
            is_same(json_array_get(items, i), json_array_get(items, at), key)) {
            return true;
        }
    }
    return false;
}

/* ---- a row ---- */

static int compare_numbers(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Sets a number of the row to the median of the devices that told it. */
static void set_median(json_t *row, const char *name, const json_t *members, const char *fact)
{
    size_t count = 0, all = json_array_size(members);
    double *values = calloc(all + 1, sizeof(*values));

    for (size_t i = 0; values != NULL && i < all; i++) {
        const json_t *value =
            json_object_get(json_object_get(json_array_get(members, i), "facts"), fact);
        if (json_is_number(value)) {
            values[count++] = json_number_value(value);
        }
    }
    if (count > 0) {
        qsort(values, count, sizeof(*values), compare_numbers);
        double median = values[count / 2];
        json_object_set_new(row, name,
                            strstr(name, "_bytes") != NULL ? json_integer((json_int_t)median)
                                                           : json_real(median));
    }
    free(values);
}

/* Sets the share of golden cases that all devices together answered right, and
 * on how many of them it became hot. */
static void set_sums(json_t *row, const json_t *members)
{
    double right = 0, cases = 0;
    json_int_t hot = 0;

    for (size_t i = 0; i < json_array_size(members); i++) {
        const json_t *facts = json_object_get(json_array_get(members, i), "facts");
        right += json_number_value(json_object_get(facts, "right"));
        cases += json_number_value(json_object_get(facts, "cases"));
        hot += strcmp(flo_json_text(facts, "ended", ""), "heat") == 0;
    }
    json_object_set_new(row, "devices", json_integer((json_int_t)json_array_size(members)));
    json_object_set_new(row, "hot", json_integer(hot));
    if (cases > 0) {
        json_object_set_new(row, "right_percent", json_real(100 * right / cases));
    }
}

static const char *judge(const json_t *row, const struct flo_fit_want *want)
{
    const json_t *right = json_object_get(row, "right_percent");
    bool is_wrong = right != NULL && json_number_value(right) < want->right_percent;

    return is_wrong                                                              ? "wrong"
           : json_number_value(json_object_get(row, "generate_tps")) < want->tps ? "slow"
           : json_number_value(json_object_get(row, "hot")) * 2 >
                   json_number_value(json_object_get(row, "devices"))
               ? "hot"
               : "fits";
}

/* Makes the row of an item's class and release, from all items of it. */
static json_t *make_row(const json_t *items, size_t at, const struct flo_fit_want *want)
{
    const json_t *first = json_array_get(items, at);
    const json_t *facts = json_object_get(first, "facts");
    FLO_CLEANUP(flo_json_cleanup) json_t *members = json_array();
    struct flo_buf title = {0};

    for (size_t i = at; i < json_array_size(items); i++) {
        json_t *item = json_array_get(items, i);
        if (is_measured(item) && is_same(item, first, "hardware") && !is_seen(items, i, "device")) {
            json_array_append(members, item);
        }
    }
    flo_buf_printf(&title, "%s@%s", flo_json_text(facts, "model", ""),
                   flo_json_text(facts, "version", ""));
    json_t *row =
        json_pack("{s:s, s:s, s:s}", "hardware", flo_json_text(first, "hardware", ""), "release",
                  title.failed ? "" : title.data, "variant", flo_json_text(facts, "variant", ""));
    flo_buf_deinit(&title);
    for (size_t i = 0; i < FLO_COUNT(numbers); i++) {
        set_median(row, numbers[i].name, members, numbers[i].fact);
    }
    set_sums(row, members);
    json_object_set_new(row, "verdict", json_string(judge(row, want)));
    return row;
}

/* ---- all rows ---- */

/* Puts rows that fit first, then those with more answers right, then the
 * faster ones. */
static int compare_rows(const void *a, const void *b)
{
    const json_t *one = *(json_t *const *)a, *other = *(json_t *const *)b;
    int order = strcmp(flo_json_text(one, "hardware", ""), flo_json_text(other, "hardware", ""));
    int fits = (strcmp(flo_json_text(other, "verdict", ""), "fits") == 0) -
               (strcmp(flo_json_text(one, "verdict", ""), "fits") == 0);
    double right = json_number_value(json_object_get(other, "right_percent")) -
                   json_number_value(json_object_get(one, "right_percent"));
    double speed = json_number_value(json_object_get(other, "generate_tps")) -
                   json_number_value(json_object_get(one, "generate_tps"));

    if (order != 0 || fits != 0) {
        return order != 0 ? order : fits;
    }
    if (right >= HALF || right <= -HALF) {
        return right > 0 ? 1 : -1;
    }
    return (speed > 0) - (speed < 0);
}

static json_t *sorted(const json_t *rows)
{
    size_t count = json_array_size(rows);
    json_t **list = calloc(count + 1, sizeof(json_t *));
    json_t *out = json_array();

    for (size_t i = 0; list != NULL && i < count; i++) {
        list[i] = json_array_get(rows, i);
    }
    if (list != NULL) {
        qsort(list, count, sizeof(json_t *), compare_rows);
    }
    for (size_t i = 0; list != NULL && i < count; i++) {
        const char *before = i > 0 ? flo_json_text(list[i - 1], "hardware", "") : NULL;
        bool is_first =
            before == NULL || strcmp(before, flo_json_text(list[i], "hardware", "")) != 0;
        if (is_first && strcmp(flo_json_text(list[i], "verdict", ""), "fits") == 0) {
            json_object_set_new(list[i], "verdict", json_string("best"));
        }
        json_array_append(out, list[i]);
    }
    free(list);
    return out;
}

json_t *flo_fit_rows(const json_t *items, const struct flo_fit_want *want)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *rows = json_array();

    for (size_t i = 0; i < json_array_size(items); i++) {
        if (is_measured(json_array_get(items, i)) && !is_seen(items, i, "hardware")) {
            json_array_append_new(rows, make_row(items, i, want));
        }
    }
    return sorted(rows);
}
