/* Argument: gives the arguments of filters and methods, and the pairs of an
 * object. */
#include <flotilla/errors/model.h>

#include "engine/chat/jinja/interpreter.h"

const struct jinja_value *flo_jinja_argument(const struct jinja_args *args, size_t place,
                                             const char *name)
{
    for (size_t i = 0; i < args->keyword_count; i++) {
        if (jinja_is(args->keywords[i].key, name)) {
            return &args->keywords[i].value;
        }
    }
    return place < args->count ? &args->values[place] : NULL;
}

struct jinja_value flo_jinja_pairs(struct jinja_run *run, const struct jinja_value *value)
{
    struct jinja_value out = flo_jinja_list(run);
    if (value->kind != KIND_DICT) {
        return flo_jinja_fail(run, FLO_E_MODEL_TEMPLATE, "pairs of what is no object");
    }
    size_t count = value->dict->count;
    flo_jinja_spend(run, count);
    struct jinja_list *lists = flo_jinja_need(run, count, sizeof(*lists));
    struct jinja_value *parts = flo_jinja_need(run, 2 * count, sizeof(*parts));
    for (size_t i = 0; run->rv == 0 && i < count; i++) {
        struct jinja_value pair = {.kind = KIND_LIST, .is_said = value->is_said};
        parts[2 * i] = flo_jinja_text(value->dict->entries[i].key);
        parts[2 * i].is_said = value->is_said;
        parts[2 * i + 1] = value->dict->entries[i].value;
        lists[i] = (struct jinja_list){LIST_TUPLE, 2, 2, &parts[2 * i]};
        pair.list = &lists[i];
        flo_jinja_append(run, out.list, pair);
    }
    return out;
}
