/* Jinja: makes and compares values, and gives memory to a rendering. */
#include "engine/chat/jinja/interpreter.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <flotilla/errors/model.h>

struct jinja_text flo_jinja_cut(struct jinja_text text, size_t from, size_t to)
{
    from = from < text.bytes ? from : text.bytes;
    to = to < from ? from : to < text.bytes ? to : text.bytes;
    return (struct jinja_text){text.data + from, text.marks != NULL ? text.marks + from : NULL,
                               to - from};
}

#define BLOCK_BYTES 16384

struct jinja_block {
    struct jinja_block *next;
    size_t used, bytes;
    max_align_t data[];
};

void *flo_jinja_take(struct jinja_pool *pool, size_t count, size_t bytes)
{
    struct jinja_block *block = pool->blocks;
    size_t total;
    if (pool->rv < 0 || __builtin_mul_overflow(count, bytes, &total) ||
        total > pool->bytes_max - pool->used) {
        pool->rv = pool->rv < 0 ? pool->rv : FLO_E_INFER_TOO_LONG;
        return NULL;
    }
    total = (total + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
    if (block == NULL || block->bytes - block->used < total) {
        size_t room = total > BLOCK_BYTES ? total : BLOCK_BYTES;
        block = calloc(1, sizeof(*block) + room);
        if (block == NULL) {
            pool->rv = FLO_E_MEMORY;
            return NULL;
        }
        block->bytes = room;
        block->next = pool->blocks;
        pool->blocks = block;
    }
    void *place = (char *)block->data + block->used;
    block->used += total;
    pool->used += total < pool->bytes_max - pool->used ? total : pool->bytes_max - pool->used;
    return place;
}

void flo_jinja_drop(struct jinja_pool *pool)
{
    while (pool->blocks != NULL) {
        struct jinja_block *block = pool->blocks;
        pool->blocks = block->next;
        free(block);
    }
}

struct jinja_value flo_jinja_fail(struct jinja_run *run, int code, const char *format, ...)
{
    if (run->rv == 0) {
        char why[256];
        va_list list;
        va_start(list, format);
        vsnprintf(why, sizeof(why), format, list);
        va_end(list);
        why[flo_utf8_valid(why, strlen(why))] = '\0';
        run->rv = flo_fail(run->err, code, "the chat template, line %u: %s", run->line, why);
    }
    return (struct jinja_value){.kind = KIND_UNDEFINED};
}

void *flo_jinja_need(struct jinja_run *run, size_t count, size_t bytes)
{
    void *place = flo_jinja_take(&run->pool, count, bytes);
    if (place == NULL) {
        flo_jinja_fail(run, run->pool.rv, "more than %zu bytes of memory", run->pool.bytes_max);
    }
    return place;
}

void flo_jinja_spend(struct jinja_run *run, size_t cost)
{
    if (run->steps < cost) {
        flo_jinja_fail(run, FLO_E_INFER_TOO_LONG, "it does not come to an end");
    } else {
        run->steps -= cost;
    }
}

void flo_jinja_charge(struct jinja_run *run, const struct jinja_value *value)
{
    flo_jinja_spend(run, value->kind == KIND_TEXT   ? value->text.bytes / 64
                         : value->kind == KIND_LIST ? value->list->count
                                                    : 0);
}

/* ---- making them ---- */

struct jinja_value flo_jinja_bool(bool is_true)
{
    return (struct jinja_value){.kind = KIND_BOOL, .is_true = is_true};
}

struct jinja_value flo_jinja_number(int64_t number)
{
    return (struct jinja_value){.kind = KIND_NUMBER, .number = number};
}

struct jinja_value flo_jinja_text(struct jinja_text text)
{
    return (struct jinja_value){.kind = KIND_TEXT, .text = text};
}

struct jinja_value flo_jinja_list(struct jinja_run *run)
{
    struct jinja_value value = {.kind = KIND_LIST};
    value.list = flo_jinja_need(run, 1, sizeof(*value.list));
    return value.list != NULL ? value : (struct jinja_value){.kind = KIND_UNDEFINED};
}

void flo_jinja_append(struct jinja_run *run, struct jinja_list *list, struct jinja_value value)
{
    if (run->rv < 0) {
        return;
    }
    if (list->count == list->capacity) {
        size_t capacity = list->capacity == 0 ? 8 : 2 * list->capacity;
        struct jinja_value *items = flo_jinja_need(run, capacity, sizeof(*items));
        if (items == NULL) {
            return;
        }
        if (list->count > 0) {
            memcpy(items, list->items, list->count * sizeof(*items));
        }
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count++] = value;
}

bool flo_jinja_same(struct jinja_text a, struct jinja_text b)
{
    return a.bytes == b.bytes && (a.bytes == 0 || memcmp(a.data, b.data, a.bytes) == 0);
}

const struct jinja_value *flo_jinja_find(const struct jinja_dict *dict, struct jinja_text key)
{
    for (size_t i = 0; i < dict->count; i++) {
        if (flo_jinja_same(dict->entries[i].key, key)) {
            return &dict->entries[i].value;
        }
    }
    return NULL;
}

void flo_jinja_put(struct jinja_run *run, struct jinja_dict *dict, struct jinja_text key,
                   struct jinja_value value)
{
    for (size_t i = 0; i < dict->count; i++) {
        if (flo_jinja_same(dict->entries[i].key, key)) {
            dict->entries[i].value = value;
            return;
        }
    }
    flo_jinja_spend(run, dict->count / 8); /* steps for comparing the keys */
    if (dict->count == dict->capacity) {
        size_t capacity = dict->capacity == 0 ? 4 : 2 * dict->capacity;
        struct jinja_entry *entries = flo_jinja_need(run, capacity, sizeof(*entries));
        if (entries == NULL) {
            return;
        }
        if (dict->count > 0) {
            memcpy(entries, dict->entries, dict->count * sizeof(*entries));
        }
        dict->entries = entries;
        dict->capacity = capacity;
    }
    dict->entries[dict->count++] = (struct jinja_entry){key, value};
}

/* ---- asking them ---- */

bool flo_jinja_is_true(const struct jinja_value *value)
{
    switch (value->kind) {
    case KIND_UNDEFINED:
    case KIND_NONE:
        return false;
    case KIND_BOOL:
        return value->is_true;
    case KIND_NUMBER:
        return value->number != 0;
    case KIND_REAL:
        return value->real != 0;
    case KIND_TEXT:
        return value->text.bytes > 0;
    case KIND_LIST:
        return value->list->count > 0 || value->list->kind == LIST_STREAM;
    case KIND_DICT:
        return value->dict->is_namespace || value->dict->count > 0;
    default:
        return true;
    }
}

bool flo_jinja_is_number(const struct jinja_value *value)
{
    return value->kind == KIND_NUMBER || value->kind == KIND_REAL || value->kind == KIND_BOOL;
}

int flo_jinja_order_numbers(const struct jinja_value *a, const struct jinja_value *b)
{
    if (a->kind == KIND_REAL || b->kind == KIND_REAL) {
        double x = a->kind == KIND_REAL     ? a->real
                   : a->kind == KIND_NUMBER ? (double)a->number
                                            : a->is_true;
        double y = b->kind == KIND_REAL     ? b->real
                   : b->kind == KIND_NUMBER ? (double)b->number
                                            : b->is_true;
        return (x > y) - (x < y);
    }
    int64_t x = a->kind == KIND_NUMBER ? a->number : a->is_true;
    int64_t y = b->kind == KIND_NUMBER ? b->number : b->is_true;
    return (x > y) - (x < y);
}

static bool are_equal(struct jinja_run *run, const struct jinja_value *a,
                      const struct jinja_value *b, int depth);

static bool are_dicts_equal(struct jinja_run *run, const struct jinja_dict *a,
                            const struct jinja_dict *b, int depth)
{
    bool is_equal = a == b || (a->count == b->count && !a->is_ours);
    for (size_t i = 0; a != b && is_equal && i < a->count; i++) {
        const struct jinja_value *other = flo_jinja_find(b, a->entries[i].key);
        flo_jinja_spend(run, b->count / 8);
        is_equal = other != NULL && are_equal(run, &a->entries[i].value, other, depth);
    }
    return is_equal;
}

static bool are_equal(struct jinja_run *run, const struct jinja_value *a,
                      const struct jinja_value *b, int depth)
{
    flo_jinja_spend(run, 1);
    if (flo_jinja_is_number(a) && flo_jinja_is_number(b)) {
        return flo_jinja_order_numbers(a, b) == 0;
    }
    if (depth == FLO_JINJA_VALUES_DEEP_MAX) {
        flo_jinja_fail(run, FLO_E_MODEL_TEMPLATE, "more than %d lists in each other are compared",
                       depth);
    }
    if (a->kind != b->kind || run->rv < 0) {
        return false;
    }
    bool is_equal = a->kind == KIND_LIST && a->list->count == b->list->count;
    switch (a->kind) {
    case KIND_UNDEFINED:
    case KIND_NONE:
        return true;
    case KIND_TEXT:
        return flo_jinja_same(a->text, b->text);
    case KIND_LIST:
        for (size_t i = 0; is_equal && i < a->list->count; i++) {
            is_equal = are_equal(run, &a->list->items[i], &b->list->items[i], depth + 1);
        }
        return is_equal;
    case KIND_DICT:
        return are_dicts_equal(run, a->dict, b->dict, depth + 1);
    default:
        flo_jinja_fail(run, FLO_E_MODEL_TEMPLATE, "comparing functions is not built");
        return false;
    }
}

bool flo_jinja_equal(struct jinja_run *run, const struct jinja_value *a,
                     const struct jinja_value *b)
{
    return are_equal(run, a, b, 0);
}

/* Returns the number of bytes of the character at `at`. */
static size_t character(struct jinja_text text, size_t at)
{
    size_t bytes = 1;
    while (at + bytes < text.bytes && ((unsigned char)text.data[at + bytes] & 0xc0) == 0x80) {
        bytes++;
    }
    return bytes;
}

static int64_t characters(struct jinja_text text)
{
    int64_t count = 0;
    for (size_t at = 0; at < text.bytes; at += character(text, at)) {
        count++;
    }
    return count;
}

int64_t flo_jinja_length(struct jinja_run *run, const struct jinja_value *value)
{
    switch (value->kind) {
    case KIND_UNDEFINED:
        return 0;
    case KIND_TEXT:
        return characters(value->text);
    case KIND_LIST:
        return (int64_t)value->list->count;
    case KIND_DICT:
        return (int64_t)value->dict->count;
    default:
        flo_jinja_fail(run, FLO_E_MODEL_TEMPLATE, "a length of what has none");
        return 0;
    }
}

struct jinja_list *flo_jinja_items(struct jinja_run *run, const struct jinja_value *value)
{
    if (value->kind == KIND_LIST) {
        return value->list;
    }
    struct jinja_value out = flo_jinja_list(run);
    if (run->rv < 0) {
        return NULL;
    }
    if (value->kind == KIND_TEXT) {
        for (size_t at = 0, n; at < value->text.bytes && run->rv == 0; at += n) {
            n = character(value->text, at);
            flo_jinja_append(run, out.list, flo_jinja_text(flo_jinja_cut(value->text, at, at + n)));
        }
    } else if (value->kind == KIND_DICT) {
        for (size_t i = 0; i < value->dict->count; i++) {
            flo_jinja_append(run, out.list, flo_jinja_text(value->dict->entries[i].key));
        }
    } else if (value->kind != KIND_UNDEFINED) {
        flo_jinja_fail(run, FLO_E_MODEL_TEMPLATE, "a loop over what is no list");
    }
    return run->rv < 0 ? NULL : out.list;
}

bool flo_jinja_contains(struct jinja_run *run, const struct jinja_value *where,
                        const struct jinja_value *what)
{
    if (where->kind == KIND_TEXT && what->kind == KIND_TEXT) {
        return what->text.bytes == 0 ||
               (where->text.bytes > 0 && memmem(where->text.data, where->text.bytes,
                                                what->text.data, what->text.bytes) != NULL);
    }
    if (where->kind == KIND_DICT && what->kind == KIND_TEXT) {
        return flo_jinja_find(where->dict, what->text) != NULL;
    }
    if (where->kind == KIND_LIST) {
        for (size_t i = 0; i < where->list->count; i++) {
            if (flo_jinja_equal(run, &where->list->items[i], what)) {
                return true;
            }
        }
        return false;
    }
    if (where->kind != KIND_UNDEFINED) {
        flo_jinja_fail(run, FLO_E_MODEL_TEMPLATE, "'in' between these is not built");
    }
    return false;
}

/* Returns the bound of a slice, limited to the items there are, as in
 * Python. */
static int64_t bound(int64_t at, int64_t otherwise, int64_t count, bool is_back)
{
    if (at == INT64_MIN) {
        return otherwise;
    }
    at += at < 0 ? count : 0;
    int64_t least = is_back ? -1 : 0;
    int64_t most = is_back ? count - 1 : count;
    return at < least ? least : at > most ? most : at;
}

static struct jinja_text cut_characters(struct jinja_text text, int64_t from, int64_t to)
{
    size_t start = 0, end;
    for (int64_t i = 0; i < from; i++) {
        start += character(text, start);
    }
    end = start;
    for (int64_t i = from; i < to; i++) {
        end += character(text, end);
    }
    return flo_jinja_cut(text, start, end);
}

struct jinja_value flo_jinja_slice(struct jinja_run *run, const struct jinja_value *value,
                                   int64_t from, int64_t to, int64_t step)
{
    bool is_back = step == -1;
    if ((step != 1 && !is_back) || (value->kind != KIND_LIST && value->kind != KIND_TEXT) ||
        (is_back && value->kind == KIND_TEXT)) {
        return flo_jinja_fail(run, FLO_E_MODEL_TEMPLATE, "such a slice");
    }
    int64_t count = flo_jinja_length(run, value);
    from = bound(from, is_back ? count - 1 : 0, count, is_back);
    to = bound(to, is_back ? -1 : count, count, is_back);
    if (value->kind == KIND_TEXT) {
        return flo_jinja_text(cut_characters(value->text, from, to));
    }
    struct jinja_value out = flo_jinja_list(run);
    out.is_said = value->is_said;
    if (run->rv == 0 && !is_back && from < to) { /* the slice shares the items of the list */
        out.list->items = value->list->items + from;
        out.list->count = out.list->capacity = (size_t)(to - from);
    }
    for (int64_t i = from; run->rv == 0 && is_back && i > to; i--) {
        flo_jinja_append(run, out.list, value->list->items[i]);
    }
    return out;
}
