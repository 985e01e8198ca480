/* Ranges: sets of characters as sorted ranges of code points. */
#include <stdlib.h>
#include <string.h>

#include "engine/token/expression/automaton.h"
#include "engine/token/unicode.h"

void flo_ranges_add(struct flo_ranges *set, uint32_t first, uint32_t last)
{
    if (set->count == set->capacity) {
        uint32_t capacity = set->capacity != 0 ? 2 * set->capacity : 16;
        struct flo_range *items =
            capacity <= 2 * FLO_RANGES_MAX ? realloc(set->items, capacity * sizeof(*items)) : NULL;
        if (items == NULL) {
            set->failed = true;
            return;
        }
        set->items = items;
        set->capacity = capacity;
    }
    set->items[set->count++] = (struct flo_range){first, last};
}

void flo_ranges_join(struct flo_ranges *set, const struct flo_ranges *with)
{
    for (uint32_t i = 0; i < with->count; i++) {
        flo_ranges_add(set, with->items[i].first, with->items[i].last);
    }
    set->failed = set->failed || with->failed;
}

void flo_ranges_add_categories(struct flo_ranges *set, uint32_t categories)
{
    for (size_t i = 0; i < flo_unicode_categories_count; i++) {
        uint32_t change = flo_unicode_categories[i];
        uint32_t next = i + 1 < flo_unicode_categories_count
                            ? flo_unicode_categories[i + 1] >> FLO_UNICODE_CATEGORY_BITS
                            : FLO_UNICODE_CODE_MAX + 1;
        if ((categories >> (change & ((1u << FLO_UNICODE_CATEGORY_BITS) - 1)) & 1) != 0) {
            flo_ranges_add(set, change >> FLO_UNICODE_CATEGORY_BITS, next - 1);
        }
    }
    flo_ranges_tidy(set);
}

void flo_ranges_add_blanks(struct flo_ranges *set)
{
    static const struct flo_range blanks[] = {
        {0x09, 0x0d},     {0x20, 0x20},     {0x85, 0x85},     {0xa0, 0xa0},     {0x1680, 0x1680},
        {0x2000, 0x200a}, {0x2028, 0x2029}, {0x202f, 0x202f}, {0x205f, 0x205f}, {0x3000, 0x3000},
    };
    for (size_t i = 0; i < FLO_COUNT(blanks); i++) {
        flo_ranges_add(set, blanks[i].first, blanks[i].last);
    }
}

/* Scripts that splits name, by Unicode 15.1's Scripts.txt. */
static const struct script {
    const char *name;
    struct flo_range ranges[22];
} scripts[] = {
    {"Han", {{0x2e80, 0x2e99},   {0x2e9b, 0x2ef3},   {0x2f00, 0x2fd5},   {0x3005, 0x3005},
             {0x3007, 0x3007},   {0x3021, 0x3029},   {0x3038, 0x303b},   {0x3400, 0x4dbf},
             {0x4e00, 0x9fff},   {0xf900, 0xfa6d},   {0xfa70, 0xfad9},   {0x16fe2, 0x16fe3},
             {0x16ff0, 0x16ff1}, {0x20000, 0x2a6df}, {0x2a700, 0x2b739}, {0x2b740, 0x2b81d},
             {0x2b820, 0x2cea1}, {0x2ceb0, 0x2ebe0}, {0x2ebf0, 0x2ee5d}, {0x2f800, 0x2fa1d},
             {0x30000, 0x3134a}, {0x31350, 0x323af}}},
    {"Hiragana",
     {{0x3041, 0x3096},
      {0x309d, 0x309f},
      {0x1b001, 0x1b11f},
      {0x1b132, 0x1b132},
      {0x1b150, 0x1b152},
      {0x1f200, 0x1f200}}},
    {"Katakana",
     {{0x30a1, 0x30fa},
      {0x30fd, 0x30ff},
      {0x31f0, 0x31ff},
      {0x32d0, 0x32fe},
      {0x3300, 0x3357},
      {0xff66, 0xff6f},
      {0xff71, 0xff9d},
      {0x1aff0, 0x1aff3},
      {0x1aff5, 0x1affb},
      {0x1affd, 0x1affe},
      {0x1b000, 0x1b000},
      {0x1b120, 0x1b122},
      {0x1b155, 0x1b155},
      {0x1b164, 0x1b167}}},
    {"Hangul",
     {{0x1100, 0x11ff},
      {0x302e, 0x302f},
      {0x3131, 0x318e},
      {0x3200, 0x321e},
      {0x3260, 0x327e},
      {0xa960, 0xa97c},
      {0xac00, 0xd7a3},
      {0xd7b0, 0xd7c6},
      {0xd7cb, 0xd7fb},
      {0xffa0, 0xffbe},
      {0xffc2, 0xffc7},
      {0xffca, 0xffcf},
      {0xffd2, 0xffd7},
      {0xffda, 0xffdc}}},
};

static bool add_script(struct flo_ranges *set, const char *name, size_t bytes)
{
    for (size_t i = 0; i < FLO_COUNT(scripts); i++) {
        const struct script *script = &scripts[i];
        if (strlen(script->name) != bytes || memcmp(script->name, name, bytes) != 0) {
            continue;
        }
        for (size_t r = 0; r < FLO_COUNT(script->ranges) && script->ranges[r].last != 0; r++) {
            flo_ranges_add(set, script->ranges[r].first, script->ranges[r].last);
        }
        return true;
    }
    return false;
}

bool flo_ranges_add_name(struct flo_ranges *set, const char *name, size_t bytes)
{
    /* in the order of enum flo_unicode_category */
    static const char names[] = "CcCfCnCoCsLlLmLoLtLuMcMeMnNdNlNoPcPdPePfPiPoPsScSkSmSoZlZpZs";
    uint32_t categories = 0;
    for (uint32_t i = 0; i < FLO_UNICODE_CATEGORY_COUNT; i++) {
        if (bytes >= 1 && bytes <= 2 && memcmp(&names[(size_t)2 * i], name, bytes) == 0) {
            categories |= 1u << i;
        }
    }
    if (categories == 0) {
        return add_script(set, name, bytes);
    }
    flo_ranges_add_categories(set, categories);
    return true;
}

static bool has(const struct flo_ranges *set, uint32_t code)
{
    for (uint32_t i = 0; i < set->count; i++) {
        if (code >= set->items[i].first && code <= set->items[i].last) {
            return true;
        }
    }
    return false;
}

void flo_ranges_ignore_case(struct flo_ranges *set)
{
    /* letters beyond ASCII that fold to an ASCII letter */
    static const struct {
        uint32_t letter, folded;
    } others[] = {{'s', 0x17f}, {'k', 0x212a}};
    for (uint32_t c = 'a'; c <= 'z'; c++) {
        uint32_t capital = c - 'a' + 'A';
        if (has(set, c) || has(set, capital)) {
            flo_ranges_add(set, c, c);
            flo_ranges_add(set, capital, capital);
        }
    }
    for (size_t i = 0; i < FLO_COUNT(others); i++) {
        if (has(set, others[i].letter)) {
            flo_ranges_add(set, others[i].folded, others[i].folded);
        }
    }
    flo_ranges_tidy(set);
}

static int by_first(const void *a, const void *b)
{
    const struct flo_range *x = a, *y = b;
    return x->first < y->first ? -1 : x->first > y->first;
}

void flo_ranges_tidy(struct flo_ranges *set)
{
    uint32_t count = 0;
    if (set->count == 0) {
        return;
    }
    qsort(set->items, set->count, sizeof(*set->items), by_first);
    for (uint32_t i = 1; i < set->count; i++) {
        struct flo_range *last = &set->items[count];
        if (set->items[i].first <= last->last + 1) {
            last->last = set->items[i].last > last->last ? set->items[i].last : last->last;
        } else {
            set->items[++count] = set->items[i];
        }
    }
    set->count = count + 1;
}

void flo_ranges_invert(struct flo_ranges *set)
{
    struct flo_ranges other = {.failed = set->failed};
    uint32_t from = 0;
    flo_ranges_tidy(set);
    for (uint32_t i = 0; i < set->count; i++) {
        if (set->items[i].first > from) {
            flo_ranges_add(&other, from, set->items[i].first - 1);
        }
        from = set->items[i].last + 1;
    }
    if (from <= FLO_UNICODE_CODE_MAX) {
        flo_ranges_add(&other, from, FLO_UNICODE_CODE_MAX);
    }
    flo_ranges_deinit(set);
    *set = other;
}

void flo_ranges_intersect(struct flo_ranges *set, struct flo_ranges *with)
{
    flo_ranges_invert(set);
    flo_ranges_invert(with);
    flo_ranges_join(set, with);
    flo_ranges_invert(set);
}

void flo_ranges_deinit(struct flo_ranges *set)
{
    free(set->items);
    *set = (struct flo_ranges){0};
}
