/* Classes: sorts all characters into classes that an expression's sets do not
 * tell apart. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/gguf.h>

#include "engine/token/expression/automaton.h"
#include "engine/token/unicode.h"

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* Writes the code points where a set begins or ends, sorted, each once.
 * Returns their number. */
static uint32_t collect_edges(const struct flo_regex *syntax, uint32_t *edges)
{
    uint32_t count = 0, kept = 0;
    edges[count++] = 0;
    for (uint16_t s = 0; s < syntax->set_count; s++) {
        for (uint32_t i = 0; i < syntax->sets[s].count; i++) {
            edges[count++] = syntax->sets[s].items[i].first;
            edges[count++] = syntax->sets[s].items[i].last + 1;
        }
    }
    qsort(edges, count, sizeof(*edges), by_value);
    for (uint32_t i = 0; i < count; i++) {
        if (edges[i] <= FLO_UNICODE_CODE_MAX && (kept == 0 || edges[i] != edges[kept - 1])) {
            edges[kept++] = edges[i];
        }
    }
    return kept;
}

/* Returns the sets that a code point is in, as bits.  Codes must grow from call
 * to call; `at` has the place in each set. */
static uint64_t sets_of(const struct flo_regex *syntax, uint32_t code, uint32_t *at)
{
    uint64_t sets = 0;
    for (uint16_t s = 0; s < syntax->set_count; s++) {
        const struct flo_ranges *set = &syntax->sets[s];
        while (at[s] < set->count && set->items[at[s]].last < code) {
            at[s]++;
        }
        if (at[s] < set->count && set->items[at[s]].first <= code) {
            sets |= (uint64_t)1 << s;
        }
    }
    return sets;
}

static int fill(const struct flo_regex *syntax, const uint32_t *edges, uint32_t count,
                struct flo_classes *out, struct flo_err *err)
{
    uint64_t known[FLO_CLASSES_MAX];
    uint32_t at[FLO_SETS_MAX] = {0};
    for (uint32_t i = 0; i < count; i++) {
        uint64_t sets = sets_of(syntax, edges[i], at);
        uint32_t class = 0;
        while (class < out->count && known[class] != sets) {
            class ++;
        }
        if (class == FLO_CLASSES_MAX) {
            return flo_fail(err, FLO_E_GGUF_VOCAB,
                            "an expression with more than %u classes of characters",
                            FLO_CLASSES_MAX);
        }
        known[class] = sets;
        out->count = class < out->count ? out->count : class + 1;
        out->changes[out->change_count++] = edges[i] << FLO_CLASS_BITS | class;
    }
    for (uint16_t s = 0; s < syntax->set_count; s++) {
        for (uint32_t class = 0; class < out->count; class ++) {
            out->masks[s] |= (known[class] >> s & 1) << class;
        }
    }
    return 0;
}

uint32_t flo_classes_beyond_ascii(const struct flo_classes *classes, uint32_t code)
{
    uint32_t low = 0, high = classes->change_count;
    while (low < high) { /* at the end `low` is the first change after the code point */
        uint32_t middle = low + (high - low) / 2;
        if (classes->changes[middle] >> FLO_CLASS_BITS <= code) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return classes->changes[low - 1] & ((1u << FLO_CLASS_BITS) - 1);
}

int flo_classes_make(const struct flo_regex *syntax, struct flo_classes *out, struct flo_err *err)
{
    uint32_t count = 1;
    for (uint16_t s = 0; s < syntax->set_count; s++) {
        count += 2 * syntax->sets[s].count;
    }
    FLO_CLEANUP(flo_free_cleanup) uint32_t *edges = malloc(count * sizeof(*edges));
    if (edges == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "%" PRIu32 " ranges of characters", count);
    }
    count = collect_edges(syntax, edges);
    out->changes = malloc(count * sizeof(*out->changes));
    if (out->changes == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "%" PRIu32 " ranges of characters", count);
    }
    FLO_TRY(fill(syntax, edges, count, out, err));
    for (uint32_t code = 0; code < 128; code++) {
        out->ascii[code] = (uint8_t)flo_classes_beyond_ascii(out, code);
    }
    return 0;
}
