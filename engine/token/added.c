#include "engine/token/added.h"

#include <stdlib.h>

#include "engine/token/unicode.h"
#include "engine/token/vocab/vocab.h"

static int by_text(const void *a, const void *b)
{
    const struct flo_added_item *x = a, *y = b;
    int order = memcmp(x->text, y->text, x->bytes < y->bytes ? x->bytes : y->bytes);
    order = order != 0 ? order : (x->bytes > y->bytes) - (x->bytes < y->bytes);
    return order != 0 ? order : (x->id > y->id) - (x->id < y->id);
}

void flo_added_sort(struct flo_added *added)
{
    uint32_t at = 0;
    if (added->count > 0) {
        qsort(added->items, added->count, sizeof(*added->items), by_text);
    }
    for (uint32_t byte = 0; byte < 257; byte++) {
        while (at < added->count && (uint8_t)added->items[at].text[0] < byte) {
            at++;
        }
        added->firsts[byte] = at;
    }
}

void flo_added_close(struct flo_added *added)
{
    free(added->items);
    free(added->texts);
    *added = (struct flo_added){0};
}

/* Returns the first item of low to high whose byte at `depth` is `byte` or
 * more.  All of them have the same bytes before, and more than these. */
static uint32_t bound(const struct flo_added *added, uint32_t low, uint32_t high, uint32_t depth,
                      uint32_t byte)
{
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if ((uint8_t)added->items[middle].text[depth] < byte) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Returns the longest allowed token that begins at `at`, or NULL. */
static const struct flo_added_item *longest(const struct flo_added *added,
                                            const struct flo_added_cut *cut, const char *text,
                                            size_t at, size_t end)
{
    const struct flo_added_item *best = NULL;
    uint8_t first = (uint8_t)text[at];
    uint32_t low = added->firsts[first], high = added->firsts[first + 1u], depth = 1;
    while (low < high) {
        const struct flo_added_item *item = &added->items[low];
        if (item->bytes == depth &&
            cut->is_allowed(cut->context, &cut->vocab->tokens[item->id], at, depth)) {
            best = item;
        }
        while (low < high && added->items[low].bytes == depth) {
            low++;
        }
        if (at + depth == end) {
            break;
        }
        uint32_t byte = (uint8_t)text[at + depth];
        low = bound(added, low, high, depth, byte);
        high = bound(added, low, high, depth, byte + 1);
        depth++;
    }
    return best;
}

/* Tells whether a character belongs to a word, as tokenizers' \w has it. */
static bool is_of_word(uint32_t code)
{
    enum flo_unicode_category category = flo_unicode_category(code);
    bool is_letter = category >= FLO_UNICODE_LL && category <= FLO_UNICODE_NL;
    return is_letter || category == FLO_UNICODE_PC || (code >= 0x200c && code <= 0x200d);
}

/* Returns where the character begins that ends at `at`. */
static size_t before(const char *text, size_t start, size_t at)
{
    size_t place = at - 1;
    while (place > start && at - place < 4 && ((uint8_t)text[place] & 0xc0) == 0x80) {
        place--;
    }
    return place;
}

static uint32_t code_at(const char *text, size_t at, size_t end)
{
    size_t taken;
    return flo_utf8_next(text + at, end - at, &taken);
}

static bool stands_alone(const char *text, size_t start, size_t end, size_t at, size_t stop)
{
    return (at == start || !is_of_word(code_at(text, before(text, start, at), at))) &&
           (stop == end || !is_of_word(code_at(text, stop, end)));
}

void flo_added_run(const struct flo_added *added, const struct flo_added_cut *cut, const char *text,
                   size_t start, size_t end)
{
    size_t from = start, taken;
    for (size_t at = start; at < end;) {
        const struct flo_added_item *item = longest(added, cut, text, at, end);
        if (item == NULL) {
            at++;
            continue;
        }
        const struct flo_vocab_token *token = &cut->vocab->tokens[item->id];
        size_t left = at, stop = at + item->bytes;
        at = stop;
        if (token->is_single && !stands_alone(text, start, end, left, stop)) {
            continue;
        }
        while (token->strips_left && left > from &&
               flo_unicode_is_blank(code_at(text, before(text, from, left), left))) {
            left = before(text, from, left);
        }
        while (token->strips_right && stop < end &&
               flo_unicode_is_blank(flo_utf8_next(text + stop, end - stop, &taken))) {
            stop += taken;
        }
        if (left > from) {
            cut->put(cut->context, from, left, -1);
        }
        cut->put(cut->context, left, stop, item->id);
        from = stop; /* a token among the swallowed blanks is taken, too, as in the library */
    }
    if (end > from) {
        cut->put(cut->context, from, end, -1);
    }
}
