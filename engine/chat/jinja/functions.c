/* Jinja: tests and functions; what is not known is refused by name. */
#include "engine/chat/jinja/inside.h"

#define RANGE_MAX 65536

static struct jinja_value refuse(struct jinja_run *run, const char *why)
{
    return flo_jinja_fail(run, FLO_E_MODEL_TEMPLATE, "%s", why);
}

bool flo_jinja_test(struct jinja_run *run, struct jinja_text name,
                    const struct jinja_value *value,
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
        {"iterable",
         is_text || is_list || kind == KIND_DICT || kind == KIND_UNDEFINED},
        {"sequence",
         is_text || is_list || kind == KIND_DICT || kind == KIND_UNDEFINED},
        {"number", kind == KIND_NUMBER || kind == KIND_BOOL},
        {"integer", kind == KIND_NUMBER},
        {"boolean", kind == KIND_BOOL},
        {"true", kind == KIND_BOOL && value->is_true},
        {"false", kind == KIND_BOOL && !value->is_true},
    };
    for (size_t i = 0; i < FLO_COUNT(tests); i++) {
        if (jinja_is(name, tests[i].name)) {
            return tests[i].holds;
        }
    }
    if ((jinja_is(name, "odd") || jinja_is(name, "even")) &&
        kind == KIND_NUMBER) {
        return (value->number % 2 != 0) == jinja_is(name, "odd");
    }
    if (args->count == 1) {
        bool is_equal = jinja_is(name, "eq") || jinja_is(name, "equalto") ||
                        jinja_is(name, "==");
        bool is_unequal = jinja_is(name, "ne") || jinja_is(name, "!=");
        if (is_equal || is_unequal) {
            return flo_jinja_equal(run, value, &args->values[0]) == is_equal;
        }
        if (jinja_is(name, "in")) {
            return flo_jinja_contains(run, &args->values[0], value);
        }
    }
    flo_jinja_fail(run, FLO_E_MODEL_TEMPLATE, "the test '%.*s' is not known",
                   (int)name.bytes, name.data);
    return false;
}

/* ---- functions ---- */

static const char *const functions[] = {"raise_exception", "namespace", "dict",
                                        "range"};

bool flo_jinja_is_function(struct jinja_text name)
{
    for (size_t i = 0; i < FLO_COUNT(functions); i++) {
        if (jinja_is(name, functions[i])) {
            return true;
        }
    }
    return false;
}

static struct jinja_value range(struct jinja_run *run,
                                const struct jinja_args *args)
{
    struct jinja_value out = flo_jinja_list(run);
    int64_t part[3] = {0, 0, 1}; /* from, to, step */
    bool is_bad = args->count < 1 || args->count > 3 || args->keyword_count > 0;
    for (size_t i = 0; !is_bad && i < args->count; i++) {
        int64_t number = args->values[i].number;
        part[args->count == 1 ? 1 : i] = number;
        is_bad = args->values[i].kind != KIND_NUMBER || number < -RANGE_MAX ||
                 number > RANGE_MAX;
    }
    if (is_bad || part[2] == 0) {
        return refuse(run, "such a range is not built");
    }
    for (int64_t i = part[0];
         run->rv == 0 && (part[2] > 0 ? i < part[1] : i > part[1]);
         i += part[2]) {
        flo_jinja_append(run, out.list, flo_jinja_number(i));
    }
    return out;
}

struct jinja_value flo_jinja_function(struct jinja_run *run,
                                      struct jinja_text name,
                                      const struct jinja_args *args)
{
    if (jinja_is(name, "raise_exception")) {
        struct jinja_text why = args->count > 0
                                    ? flo_jinja_string(run, &args->values[0])
                                    : jinja_text_of("without a reason");
        return flo_jinja_fail(
            run, FLO_E_INFER_PARAM, "it refuses this conversation: %.*s",
            (int)(why.bytes < 200 ? why.bytes : 200), why.data);
    }
    if (jinja_is(name, "range")) {
        return range(run, args);
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
        flo_jinja_put(run, out.dict, args->keywords[i].key,
                      args->keywords[i].value);
    }
    return out;
}
