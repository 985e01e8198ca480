/* Jinja: sorts lists and objects as Python's sorted() does. */
#include <flotilla/errors/model.h>

#include "engine/chat/jinja/interpreter.h"

static unsigned char letter(char c, bool has_case)
{
    return (unsigned char)(!has_case && c >= 'A' && c <= 'Z' ? c + 32 : c);
}

static int compare_texts(struct jinja_text a, struct jinja_text b, bool has_case)
{
    for (size_t i = 0; i < a.bytes && i < b.bytes; i++) {
        int order = letter(a.data[i], has_case) - letter(b.data[i], has_case);
        if (order != 0) {
            return order;
        }
    }
    return (a.bytes > b.bytes) - (a.bytes < b.bytes);
}

static int compare(struct jinja_run *run, const struct jinja_value *a, const struct jinja_value *b,
                   bool has_case)
{
    flo_jinja_spend(run, 1);
    if (a->kind == KIND_TEXT && b->kind == KIND_TEXT) {
        flo_jinja_charge(run, a);
        return compare_texts(a->text, b->text, has_case);
    }
    if (flo_jinja_is_number(a) && flo_jinja_is_number(b)) {
        return flo_jinja_order_numbers(a, b);
    }
    flo_jinja_fail(run, FLO_E_MODEL_TEMPLATE, "an order between these");
    return 0;
}

const size_t *flo_jinja_order(struct jinja_run *run, const struct jinja_value *keys, size_t count,
                              bool has_case, bool is_down)
{
    size_t *from = flo_jinja_need(run, count + 1, sizeof(*from));
    size_t *to = flo_jinja_need(run, count + 1, sizeof(*to));
    for (size_t i = 0; to != NULL && i < count; i++) {
        from[i] = i;
    }
    /* Sorts by merging pairs of sorted runs of `width` items. */
    for (size_t width = 1; run->rv == 0 && width < count; width *= 2) {
        for (size_t start = 0; start < count; start += 2 * width) {
            size_t left = start, right = start + width, at = start;
            size_t middle = right < count ? right : count;
            size_t end = right + width < count ? right + width : count;
            while (left < middle || (right < end && right >= middle)) {
                bool takes_left = right >= end;
                if (!takes_left && left < middle) {
                    int order = compare(run, &keys[from[left]], &keys[from[right]], has_case);
                    takes_left = is_down ? order >= 0 : order <= 0;
                }
                to[at++] = takes_left ? from[left++] : from[right++];
            }
        }
        size_t *other = from;
        from = to;
        to = other;
    }
    return run->rv == 0 ? from : NULL;
}

static bool is_set(const struct jinja_args *args, size_t place, const char *name)
{
    const struct jinja_value *value = flo_jinja_argument(args, place, name);
    return value != NULL && flo_jinja_is_true(value);
}

/* sort(reverse, case_sensitive, attribute) */
struct jinja_value flo_jinja_sorted(struct jinja_run *run, const struct jinja_value *value,
                                    const struct jinja_args *args)
{
    const struct jinja_value *name = flo_jinja_argument(args, 2, "attribute");
    const struct jinja_list *list = flo_jinja_items(run, value);
    struct jinja_value out = flo_jinja_list(run);
    struct jinja_value *keys =
        run->rv < 0 ? NULL : flo_jinja_need(run, list->count + 1, sizeof(*keys));
    bool has_name = name != NULL && name->kind != KIND_NONE;
    if (has_name && (name->kind != KIND_TEXT ||
                     (name->text.bytes > 0 && (memchr(name->text.data, '.', name->text.bytes) ||
                                               memchr(name->text.data, ',', name->text.bytes))))) {
        return flo_jinja_fail(run, FLO_E_MODEL_TEMPLATE, "a sort by this attribute is not built");
    }
    for (size_t i = 0; keys != NULL && run->rv == 0 && i < list->count; i++) {
        keys[i] = has_name ? flo_jinja_item(run, &list->items[i], name) : list->items[i];
    }
    const size_t *order =
        keys == NULL ? NULL
                     : flo_jinja_order(run, keys, list->count, is_set(args, 1, "case_sensitive"),
                                       is_set(args, 0, "reverse"));
    for (size_t i = 0; order != NULL && i < list->count; i++) {
        flo_jinja_append(run, out.list, list->items[order[i]]);
    }
    out.is_said = value->is_said;
    return out;
}

/* Runs the filter dictsort(case_sensitive, by, reverse), which returns the
 * sorted pairs of an object. */
struct jinja_value flo_jinja_sorted_pairs(struct jinja_run *run, const struct jinja_value *value,
                                          const struct jinja_args *args)
{
    const struct jinja_value *by = flo_jinja_argument(args, 1, "by");
    bool by_value = by != NULL && by->kind == KIND_TEXT && jinja_is(by->text, "value");
    bool by_key = by == NULL || (by->kind == KIND_TEXT && jinja_is(by->text, "key"));
    struct jinja_value pairs = flo_jinja_pairs(run, value);
    struct jinja_value out = flo_jinja_list(run);
    if (run->rv < 0 || (!by_value && !by_key)) {
        return flo_jinja_fail(run, FLO_E_MODEL_TEMPLATE, "such a sort of pairs");
    }
    struct jinja_value *keys = flo_jinja_need(run, pairs.list->count + 1, sizeof(*keys));
    for (size_t i = 0; keys != NULL && i < pairs.list->count; i++) {
        keys[i] = pairs.list->items[i].list->items[by_value];
    }
    const size_t *order = keys == NULL ? NULL
                                       : flo_jinja_order(run, keys, pairs.list->count,
                                                         is_set(args, 0, "case_sensitive"),
                                                         is_set(args, 2, "reverse"));
    for (size_t i = 0; order != NULL && i < pairs.list->count; i++) {
        flo_jinja_append(run, out.list, pairs.list->items[order[i]]);
    }
    return out;
}
