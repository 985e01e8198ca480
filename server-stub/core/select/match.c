/* Selectors: tells whether a device matches, and which of two comes first. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "server-stub/core/device/condition.h"
#include "server-stub/core/select/tokens.h"

static const char *label_of(const struct flo_select_device *device, const char *key)
{
    const struct flo_select_label *label = device->labels;

    for (; label != NULL && label->key != NULL; label++) {
        if (strcmp(label->key, key) == 0) {
            return label->value;
        }
    }
    return NULL;
}

/* Returns the version of the model's serving release, after "model@". */
static const char *version_of(const struct flo_select_device *device, const char *model)
{
    const char *const *title = device->values[FLO_SELECT_RELEASE].list;
    size_t chars = strlen(model);

    for (; title != NULL && *title != NULL; title++) {
        if (strncmp(*title, model, chars) == 0 && (*title)[chars] == '@') {
            return *title + chars + 1;
        }
    }
    return NULL;
}

static const char *text_of(const struct flo_select_name *name,
                           const struct flo_select_device *device)
{
    return name->field == FLO_SELECT_LABEL     ? label_of(device, name->key)
           : name->field == FLO_SELECT_VERSION ? version_of(device, name->key)
                                               : device->values[name->field].text;
}

static bool fits(uint8_t how, int order)
{
    switch ((enum flo_select_how)how) {
    case FLO_SELECT_BELOW:
        return order < 0;
    case FLO_SELECT_UP_TO:
        return order <= 0;
    case FLO_SELECT_ABOVE:
        return order > 0;
    case FLO_SELECT_FROM:
        return order >= 0;
    case FLO_SELECT_THERE:
    case FLO_SELECT_IS:
    case FLO_SELECT_IS_NOT:
    case FLO_SELECT_IN:
    case FLO_SELECT_NOT_IN:
        break;
    }
    return order == 0;
}

static const char *value_at(const struct flo_selector *selector, size_t place)
{
    return selector->pool + selector->values[place];
}

static bool text_fits(const struct flo_selector *selector, const struct flo_select_term *term,
                      const char *text)
{
    for (size_t i = 0; i < term->value_count; i++) {
        const char *value = value_at(selector, term->value_first + i);
        bool is_order = term->how >= FLO_SELECT_BELOW && term->how <= FLO_SELECT_FROM;
        int order = is_order ? flo_natural_compare(text, strlen(text), value, strlen(value))
                             : strcmp(text, value);
        if (fits(term->how, order)) {
            return true;
        }
    }
    return false;
}

static bool list_fits(const struct flo_selector *selector, const struct flo_select_term *term,
                      const char *const *list)
{
    for (; list != NULL && *list != NULL; list++) {
        if (text_fits(selector, term, *list)) {
            return true;
        }
    }
    return false;
}

static bool number_fits(const struct flo_selector *selector, const struct flo_select_term *term,
                        double number)
{
    for (size_t i = 0; i < term->value_count && !isnan(number); i++) {
        double value = selector->numbers[term->value_first + i];
        if (fits(term->how, number < value ? -1 : number > value)) {
            return true;
        }
    }
    return false;
}

static double age_ms(uint64_t at_ms, uint64_t now_ms)
{
    return at_ms == 0 ? (double)INFINITY : at_ms > now_ms ? 0 : (double)(now_ms - at_ms);
}

static bool is_there(enum flo_select_kind kind, const union flo_select_value *value)
{
    switch (kind) {
    case FLO_SELECT_TEXT:
        return value->text != NULL && value->text[0] != '\0';
    case FLO_SELECT_LIST:
        return value->list != NULL && value->list[0] != NULL;
    case FLO_SELECT_NUMBER:
        return !isnan(value->number);
    case FLO_SELECT_AGE:
        return value->at_ms != 0;
    case FLO_SELECT_FLAG:
        break;
    }
    return value->flag;
}

/* Tells whether a term matches, without the negation of `!=` and `not in`. */
static bool term_fits(const struct flo_selector *selector, const struct flo_select_term *term,
                      const struct flo_select_device *device, uint64_t now_ms)
{
    enum flo_select_kind kind = flo_select_kind_of(&term->name);
    union flo_select_value value = {.text = NULL};

    if (kind == FLO_SELECT_TEXT) {
        value.text = text_of(&term->name, device);
    } else {
        value = device->values[term->name.field];
    }
    if (term->how == FLO_SELECT_THERE) {
        return term->name.field == FLO_SELECT_LABEL ? value.text != NULL : is_there(kind, &value);
    }
    switch (kind) {
    case FLO_SELECT_TEXT:
        return value.text != NULL && text_fits(selector, term, value.text);
    case FLO_SELECT_LIST:
        return list_fits(selector, term, value.list);
    case FLO_SELECT_NUMBER:
        return number_fits(selector, term, value.number);
    case FLO_SELECT_AGE:
        return number_fits(selector, term, age_ms(value.at_ms, now_ms));
    case FLO_SELECT_FLAG:
        break;
    }
    return number_fits(selector, term, value.flag ? 1 : 0);
}

bool flo_selector_matches(const struct flo_selector *selector,
                          const struct flo_select_device *device, uint64_t now_ms)
{
    uint64_t stack = 0; /* stack of truth values, one bit for each; the top of
                           the stack is bit 0 */
    int depth = 0;

    for (size_t i = 0; i < selector->code_count; i++) {
        uint8_t code = selector->code[i];
        if (code == FLO_SELECT_CODE_NOT) {
            assert(depth >= 1);
            stack ^= 1;
        } else if (code == FLO_SELECT_CODE_AND || code == FLO_SELECT_CODE_OR) {
            assert(depth >= 2);
            uint64_t top = stack & 1;
            stack >>= 1;
            stack = code == FLO_SELECT_CODE_OR ? stack | top : stack & ~(top ^ 1);
            depth--;
        } else {
            const struct flo_select_term *term = &selector->terms[code];
            assert(code < selector->term_count && depth < 64);
            bool is_opposite = term->how == FLO_SELECT_IS_NOT || term->how == FLO_SELECT_NOT_IN;
            stack = stack << 1 | (term_fits(selector, term, device, now_ms) != is_opposite);
            depth++;
        }
    }
    return depth == 1 && (stack & 1) != 0;
}

/* ---- an order of devices ---- */

struct flo_select_key flo_select_key_of(const struct flo_select_name *name,
                                        const struct flo_select_device *device)
{
    enum flo_select_kind kind = flo_select_kind_of(name);
    struct flo_select_key key = {.text = NULL};
    union flo_select_value value = kind == FLO_SELECT_TEXT
                                       ? (union flo_select_value){.text = text_of(name, device)}
                                       : device->values[name->field];

    key.is_there = is_there(kind, &value);
    if (!key.is_there || kind == FLO_SELECT_FLAG) {
        return key;
    }
    if (kind == FLO_SELECT_NUMBER) {
        key.number = value.number;
    } else if (kind == FLO_SELECT_AGE) { /* youngest first */
        key.number = -(double)value.at_ms;
    } else {
        key.text = kind == FLO_SELECT_LIST ? value.list[0] : value.text;
    }
    return key;
}

int flo_select_key_compare(const struct flo_select_name *name, const struct flo_select_key *a,
                           const struct flo_select_key *b)
{
    if (!a->is_there || !b->is_there) {
        return a->is_there ? -1 : b->is_there ? 1 : 0;
    }
    if (a->text == NULL || b->text == NULL) {
        return a->number < b->number ? -1 : a->number > b->number;
    }
    if (name->field == FLO_SELECT_CONDITION) { /* the worst first */
        return flo_condition_compare(a->text, b->text);
    }
    return flo_natural_compare(a->text, strlen(a->text), b->text, strlen(b->text));
}

static uint32_t add_text(uint32_t sum, const char *text)
{
    return text == NULL ? sum + 1 : flo_crc32c(sum, text, strlen(text) + 1);
}

uint32_t flo_select_steady(const struct flo_select_device *device)
{
    uint32_t sum = add_text(0, device->zone);

    for (size_t i = 0; i < FLO_SELECT_FIELDS; i++) {
        const union flo_select_value *value = &device->values[i];
        enum flo_select_kind kind = flo_select_facts[i].kind;
        if (flo_select_facts[i].is_moving) {
            continue;
        }
        if (kind == FLO_SELECT_TEXT) {
            sum = add_text(sum, value->text);
        } else if (kind == FLO_SELECT_NUMBER) {
            sum = flo_crc32c(sum, &value->number, sizeof(value->number));
        } else if (kind == FLO_SELECT_LIST) {
            for (const char *const *text = value->list; text != NULL && *text != NULL; text++) {
                sum = add_text(sum, *text);
            }
            sum = add_text(sum, NULL);
        }
    }
    return sum;
}
