/* Match finder: longest matches by suffix array; see match.h.
 *
 * libdivsufsort makes the array.  The table over the first bytes replaces the
 * first two thirds of each binary search, whose steps all miss the cache.  The
 * search knows how many bytes of the text agree with both ends of its range,
 * and does not compare them again (Manber and Myers 1993). */
#include "updater/delta/match.h"

#include <stdlib.h>
#include <string.h>

#include <divsufsort.h>
#include <divsufsort64.h>

/* A file of at least this size gets a table by three bytes. */
#define THREE_BYTES_FROM (32u << 20)

struct match_index {
    const uint8_t *old;
    uint64_t bytes;
    int32_t *narrow; /* suffix array of 32-bit offsets; NULL: `wide` is used */
    int64_t *wide;
    unsigned key_bytes;
    uint64_t *starts; /* [256^key_bytes + 1] first index in the array for each key */
};

static uint64_t suffix_at(const struct match_index *index, uint64_t i)
{
    return index->narrow != NULL ? (uint64_t)index->narrow[i] : (uint64_t)index->wide[i];
}

/* Returns the first `key_bytes` bytes as a number.  A shorter text is padded
 * with zeros, because its suffix sorts there. */
static uint32_t key_of(const uint8_t *text, uint64_t bytes, unsigned key_bytes)
{
    uint32_t key = 0;

    for (unsigned i = 0; i < key_bytes; i++) {
        key = key << 8 | (i < bytes ? text[i] : 0);
    }
    return key;
}

static void fill_starts(struct match_index *index)
{
    uint32_t keys = 1u << (8 * index->key_bytes);
    uint64_t sum = 0;

    for (uint64_t i = 0; i < index->bytes; i++) {
        index->starts[key_of(index->old + i, index->bytes - i, index->key_bytes)]++;
    }
    for (uint32_t key = 0; key <= keys; key++) {
        uint64_t count = index->starts[key];
        index->starts[key] = sum;
        sum += count;
    }
}

static bool sort_suffixes(struct match_index *index, uint64_t narrow_bytes_max)
{
    if (index->bytes > SIZE_MAX / sizeof *index->wide - 1) {
        return false; /* 32-bit machines */
    }
    size_t bytes = (size_t)index->bytes;
    if (index->bytes <= narrow_bytes_max) {
        index->narrow = malloc(bytes * sizeof *index->narrow + 1);
        return index->narrow != NULL &&
               (index->bytes == 0 ||
                divsufsort(index->old, index->narrow, (saidx_t)index->bytes) == 0);
    }
    index->wide = malloc(bytes * sizeof *index->wide);
    return index->wide != NULL &&
           divsufsort64(index->old, index->wide, (saidx64_t)index->bytes) == 0;
}

int flo_match_index_open(const uint8_t *old, uint64_t bytes, uint64_t narrow_bytes_max,
                         struct match_index **out, struct flo_err *err)
{
    struct match_index *index = calloc(1, sizeof *index);

    if (index != NULL) {
        index->old = old;
        index->bytes = bytes;
        index->key_bytes = bytes >= THREE_BYTES_FROM ? 3 : 2;
        size_t keys = (size_t)1 << (8 * index->key_bytes);
        index->starts = calloc(keys + 1, sizeof *index->starts);
    }
    if (index == NULL || index->starts == NULL || !sort_suffixes(index, narrow_bytes_max)) {
        flo_match_index_close(index);
        return flo_fail(err, FLO_E_MEMORY, "no memory to index an old file of %llu bytes",
                        (unsigned long long)bytes);
    }
    fill_starts(index);
    *out = index;
    return 0;
}

void flo_match_index_close(struct match_index *index)
{
    if (index != NULL) {
        free(index->narrow);
        free(index->wide);
        free(index->starts);
        free(index);
    }
}

/* Returns the length of the common prefix of two texts, whose first `skip`
 * bytes are known to be equal. */
static uint64_t agree(const uint8_t *a, const uint8_t *b, uint64_t bytes, uint64_t skip)
{
    uint64_t i = skip;

    while (i + 8 <= bytes) {
        uint64_t difference = flo_get_u64(a + i) ^ flo_get_u64(b + i);
        if (difference != 0) {
            return i + (uint64_t)__builtin_ctzll(difference) / 8;
        }
        i += 8;
    }
    while (i < bytes && a[i] == b[i]) {
        i++;
    }
    return i;
}

uint64_t flo_match_longest(const struct match_index *index, const uint8_t *text, uint64_t bytes,
                           uint64_t *where)
{
    if (bytes < index->key_bytes) {
        return 0;
    }
    uint32_t key = key_of(text, bytes, index->key_bytes);
    uint64_t low = index->starts[key]; /* bounds of the search: [low, high] */
    uint64_t high = index->starts[key + 1];
    uint64_t low_agrees = 0;
    uint64_t high_agrees = 0;
    uint64_t best = 0;

    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        uint64_t offset = suffix_at(index, middle);
        uint64_t limit = index->bytes - offset;
        limit = limit < bytes ? limit : bytes;
        uint64_t known = low_agrees < high_agrees ? low_agrees : high_agrees;
        uint64_t run = agree(index->old + offset, text, limit, known);
        if (run > best) {
            best = run;
            *where = offset;
        }
        /* Compares the suffix with the text.  A suffix that ends first is
         * smaller. */
        if (run == limit ? limit < bytes : index->old[offset + run] < text[run]) {
            low = middle + 1;
            low_agrees = run;
        } else if (run == bytes) {
            break; /* no match can be longer */
        } else {
            high = middle;
            high_agrees = run;
        }
    }
    return best < index->key_bytes ? 0 : best;
}
