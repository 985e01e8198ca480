/* Jinja: tests and functions.  An unknown name is refused when a rendering
 * reaches it. */
#include "engine/chat/jinja/interpreter.h"

#include <stdio.h>

#include <flotilla/errors/model.h>

#define RANGE_MAX 65536
/* 2026-01-01, which is used if the request gives no date. */
#define DAY_MS UINT64_C(1767225600000)

static struct jinja_value refuse(struct jinja_run *run, const char *why)
{
    return flo_jinja_fail(run, FLO_E_MODEL_TEMPLATE, "%s", why);
}

bool flo_jinja_test(struct jinja_run *run, struct jinja_text name, const struct jinja_value *value,
                    const struct jinja_args *args)
{
    enum jinja_kind kind = value->kind;
    bool is_list = kind == KIND_LIST, is_text = kind == KIND_TEXT;
    const struct {
        const char *name;
        bool holds;
    } tests[] = {
        {"defined", kind != KIND_UNDEFINED},
        {"undefined", kind == KIND_UNDEFINED},
        {"none", kind == KIND_NONE},
        {"string", is_text},
        {"mapping", kind == KIND_DICT && !value->dict->is_ours},
        {"iterable", is_text || is_list || kind == KIND_DICT || kind == KIND_UNDEFINED},
        {"sequence", is_text || is_list || kind == KIND_DICT || kind == KIND_UNDEFINED},
        {"number", flo_jinja_is_number(value)},
        {"integer", kind == KIND_NUMBER || (kind == KIND_REAL && value->is_whole)},
        {"float", kind == KIND_REAL && !value->is_whole},
        {"boolean", kind == KIND_BOOL},
        {"true", kind == KIND_BOOL && value->is_true},
        {"false", kind == KIND_BOOL && !value->is_true},
    };
    for (size_t i = 0; i < FLO_COUNT(tests); i++) {
        if (jinja_is(name, tests[i].name)) {
            return tests[i].holds;
        }
    }
    if ((jinja_is(name, "odd") || jinja_is(name, "even")) && kind == KIND_NUMBER) {
        return (value->number % 2 != 0) == jinja_is(name, "odd");
    }
    if (args->count == 1) {
        bool is_equal = jinja_is(name, "eq") || jinja_is(name, "equalto") || jinja_is(name, "==");
        bool is_unequal = jinja_is(name, "ne") || jinja_is(name, "!=");
        if (is_equal || is_unequal) {
            return flo_jinja_equal(run, value, &args->values[0]) == is_equal;
        }
        if (jinja_is(name, "in")) {
            return flo_jinja_contains(run, &args->values[0], value);
        }
    }
    flo_jinja_fail(run, FLO_E_MODEL_TEMPLATE, "the test '%.*s' is not known", (int)name.bytes,
                   name.data);
    return false;
}

/* ---- functions ---- */

static const char *const functions[] = {"raise_exception", "namespace", "dict", "range"};

bool flo_jinja_is_function(const struct jinja_run *run, struct jinja_text name)
{
    if (jinja_is(name, "strftime_now")) {
        return run->now_ms != 0;
    }
    for (size_t i = 0; i < FLO_COUNT(functions); i++) {
        if (jinja_is(name, functions[i])) {
            return true;
        }
    }
    return false;
}

static struct jinja_value range(struct jinja_run *run, const struct jinja_args *args)
{
    struct jinja_value out = flo_jinja_list(run);
    int64_t part[3] = {0, 0, 1}; /* from, to, step */
    bool is_bad = args->count < 1 || args->count > 3 || args->keyword_count > 0;
    for (size_t i = 0; !is_bad && i < args->count; i++) {
        int64_t number = args->values[i].number;
        part[args->count == 1 ? 1 : i] = number;
        is_bad = args->values[i].kind != KIND_NUMBER || number < -RANGE_MAX || number > RANGE_MAX;
    }
    if (is_bad || part[2] == 0) {
        return refuse(run, "such a range is not built");
    }
    for (int64_t i = part[0]; run->rv == 0 && (part[2] > 0 ? i < part[1] : i > part[1]);
         i += part[2]) {
        flo_jinja_append(run, out.list, flo_jinja_number(i));
    }
    if (run->rv == 0) {
        out.list->kind = LIST_VIEW;
    }
    return out;
}

/* ---- the date ---- */

struct moment {
    int year, month, day, hour, minute, second;
    int weekday, day_of_year; /* numbers from 0, for Sunday and for 1 January */
};

/* Converts a Unix time in ms to a date and time in UTC. */
static struct moment moment_of(uint64_t wall_ms)
{
    static const int before[12] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    char text[25];
    struct moment out = {.month = 1};
    flo_time_text(wall_ms, text);
    sscanf(text, "%d-%d-%dT%d:%d:%d", &out.year, &out.month, &out.day, &out.hour, &out.minute,
           &out.second);
    bool is_leap = out.year % 4 == 0 && (out.year % 100 != 0 || out.year % 400 == 0);
    out.day_of_year = before[out.month - 1] + out.day - 1 + (is_leap && out.month > 2);
    /* the days count from 1970-01-01, which was a Thursday */
    out.weekday = (int)((wall_ms / 86400000 + 4) % 7);
    return out;
}

/* Writes one conversion of strftime(), in English.  Returns false if it is not
 * supported. */
static bool put_part(struct flo_buf *out, const struct moment *at, char part, bool is_short)
{
    static const char *const days[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                       "Thursday", "Friday", "Saturday"};
    static const char *const months[] = {"January",   "February", "March",    "April",
                                         "May",       "June",     "July",     "August",
                                         "September", "October",  "November", "December"};
    const struct {
        char part;
        int digits, number;
    } numbers[] = {{'d', 2, at->day},    {'m', 2, at->month},  {'y', 2, at->year % 100},
                   {'Y', 4, at->year},   {'H', 2, at->hour},   {'I', 2, (at->hour + 11) % 12 + 1},
                   {'M', 2, at->minute}, {'S', 2, at->second}, {'j', 3, at->day_of_year + 1},
                   {'w', 1, at->weekday}};
    for (size_t i = 0; i < FLO_COUNT(numbers); i++) {
        if (part == numbers[i].part) {
            flo_buf_printf(out, "%0*d", is_short ? 1 : numbers[i].digits, numbers[i].number);
            return true;
        }
    }
    switch (part) {
    case 'a':
    case 'A':
        flo_buf_printf(out, "%.*s", part == 'a' ? 3 : 9, days[at->weekday]);
        return true;
    case 'b':
    case 'B':
        flo_buf_printf(out, "%.*s", part == 'b' ? 3 : 9, months[at->month - 1]);
        return true;
    case 'e':
        flo_buf_printf(out, "%*d", is_short ? 1 : 2, at->day);
        return true;
    case 'p':
        flo_buf_text(out, at->hour < 12 ? "AM" : "PM");
        return true;
    case 'F':
        flo_buf_printf(out, "%d-%02d-%02d", at->year, at->month, at->day);
        return true;
    case 'T':
        flo_buf_printf(out, "%02d:%02d:%02d", at->hour, at->minute, at->second);
        return true;
    case '%':
        flo_buf_text(out, "%");
        return true;
    default:
        return false;
    }
}

/* strftime_now(format) */
static struct jinja_value now(struct jinja_run *run, const struct jinja_args *args)
{
    struct moment at = moment_of(run->now_ms != 0 ? run->now_ms : DAY_MS);
    struct jinja_builder builder = flo_jinja_builder(run);
    struct jinja_text form = jinja_text_of("");
    bool is_built =
        args->count == 1 && args->keyword_count == 0 && args->values[0].kind == KIND_TEXT;
    if (is_built) {
        form = args->values[0].text;
    }
    for (size_t i = 0; is_built && i < form.bytes; i++) {
        struct flo_buf part = {0};
        size_t from = i;
        bool is_part = form.data[i] == '%';
        bool is_short = is_part && i + 1 < form.bytes && form.data[i + 1] == '-';
        i += is_part + is_short;
        is_built = i < form.bytes;
        if (is_built && is_part) {
            is_built = put_part(&part, &at, form.data[i], is_short);
            flo_jinja_build(&builder, (struct jinja_text){part.data, NULL, part.bytes});
        } else {
            flo_jinja_build(&builder, flo_jinja_cut(form, from, i + 1));
        }
        flo_buf_deinit(&part);
    }
    if (!is_built) {
        refuse(run, "a date of this form is not built");
    }
    return flo_jinja_built(&builder);
}

struct jinja_value flo_jinja_function(struct jinja_run *run, struct jinja_text name,
                                      const struct jinja_args *args)
{
    if (jinja_is(name, "raise_exception")) {
        struct jinja_text why = args->count > 0 ? flo_jinja_string(run, &args->values[0])
                                                : jinja_text_of("without a reason");
        return flo_jinja_fail(run, FLO_E_INFER_PARAM, "it refuses this conversation: %.*s",
                              (int)(why.bytes < 200 ? why.bytes : 200), why.data);
    }
    if (jinja_is(name, "range")) {
        return range(run, args);
    }
    if (jinja_is(name, "strftime_now")) {
        return now(run, args);
    }
    struct jinja_value out = {.kind = KIND_DICT};
    out.dict = flo_jinja_need(run, 1, sizeof(*out.dict));
    if (args->count > 0) {
        return refuse(run, "an object from other values is not built");
    }
    if (out.dict == NULL) {
        return (struct jinja_value){.kind = KIND_UNDEFINED};
    }
    out.dict->is_ours = out.dict->is_namespace = jinja_is(name, "namespace");
    for (size_t i = 0; i < args->keyword_count; i++) {
        flo_jinja_put(run, out.dict, args->keywords[i].key, args->keywords[i].value);
    }
    return out;
}
