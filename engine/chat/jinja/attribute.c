/* Jinja: evaluates object.name and object[key]: fields, items, and methods by
 * name. */
#include <flotilla/errors/model.h>

#include "engine/chat/jinja/interpreter.h"

static const struct {
    enum jinja_kind kind;
    const char *name;
    bool is_built;
} methods[] = {
#define METHOD(kind, name, action) {kind, #name, true},
#define STRANGE(kind, name) {kind, #name, false},
#include "engine/chat/jinja/methods.def"
};

/* Returns 1 if values of this kind have the method, 0 if they do not, -1 if
 * they have it only in Python. */
static int has_method(const struct jinja_value *value, struct jinja_text name)
{
    bool is_ours = value->kind == KIND_DICT && value->dict->is_ours;
    for (size_t i = 0; !is_ours && i < FLO_COUNT(methods); i++) {
        if (value->kind == methods[i].kind && jinja_is(name, methods[i].name)) {
            return methods[i].is_built ? 1 : -1;
        }
    }
    return name.bytes >= 2 && memcmp(name.data, "__", 2) == 0 ? -1 : 0;
}

static struct jinja_value undefined(struct jinja_text name)
{
    return (struct jinja_value){.kind = KIND_UNDEFINED, .text = name};
}

struct jinja_value flo_jinja_attribute(struct jinja_run *run, const struct jinja_value *object,
                                       struct jinja_text name)
{
    int has = has_method(object, name);
    if (object->kind == KIND_UNDEFINED) {
        return flo_jinja_fail(run, FLO_E_MODEL_TEMPLATE, "'%.*s' of '%.*s', which is not defined",
                              (int)name.bytes, name.data, (int)object->text.bytes,
                              object->text.data);
    }
    if (has < 0) {
        return flo_jinja_fail(run, FLO_E_MODEL_TEMPLATE, "'.%.*s' is not built", (int)name.bytes,
                              name.data);
    }
    if (has > 0) {
        struct jinja_value *bound = flo_jinja_need(run, 1, sizeof(*bound));
        if (bound == NULL) {
            return undefined(name);
        }
        *bound = *object;
        return (struct jinja_value){.kind = KIND_METHOD, .text = name, .bound = bound};
    }
    if (object->kind == KIND_DICT) {
        const struct jinja_value *hit = flo_jinja_find(object->dict, name);
        return hit != NULL ? *hit : undefined(name);
    }
    return undefined(name);
}

struct jinja_value flo_jinja_item(struct jinja_run *run, const struct jinja_value *object,
                                  const struct jinja_value *key)
{
    if (object->kind == KIND_DICT && key->kind == KIND_TEXT) {
        const struct jinja_value *hit = flo_jinja_find(object->dict, key->text);
        return hit != NULL ? *hit : flo_jinja_attribute(run, object, key->text);
    }
    if (object->kind == KIND_UNDEFINED || key->kind == KIND_TEXT) {
        return flo_jinja_attribute(run, object, key->text);
    }
    if ((object->kind == KIND_LIST || object->kind == KIND_TEXT) && key->kind == KIND_NUMBER) {
        int64_t count = flo_jinja_length(run, object);
        int64_t at = key->number + (key->number < 0 ? count : 0);
        if (at < 0 || at >= count) {
            return undefined(jinja_text_of("an item"));
        }
        return object->kind == KIND_LIST ? object->list->items[at]
                                         : flo_jinja_slice(run, object, at, at + 1, 1);
    }
    return flo_jinja_fail(run, FLO_E_MODEL_TEMPLATE, "such an index is not built");
}
