/* A linked list of symbols and a heap of the pairs that may still merge. */
#include "engine/token/merge.h"

#include <stdlib.h>

#define NONE UINT32_MAX /* no symbol */

struct flo_symbol {
    uint32_t start;
    uint32_t bytes; /* 0: became part of its left neighbour */
    uint32_t previous;
    uint32_t next;
    int32_t id; /* NOT_MERGED: looked up at the end */
};
#define NOT_MERGED (-2)

struct flo_pair {
    uint32_t rank;
    uint32_t left;  /* symbol; its right neighbour is looked up */
    uint32_t bytes; /* of both, to tell an entry that is out of date */
    int32_t id;     /* of the joined text */
};

static bool before(const struct flo_pair *a, const struct flo_pair *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->left < b->left;
}

static void push(struct flo_merger *merger, struct flo_pair pair)
{
    struct flo_pair *pairs = merger->pairs;
    size_t at = merger->pair_count++;
    while (at > 0) {
        size_t parent = (at - 1) / 2;
        if (!before(&pair, &pairs[parent])) {
            break;
        }
        pairs[at] = pairs[parent];
        at = parent;
    }
    pairs[at] = pair;
}

static struct flo_pair pop(struct flo_merger *merger)
{
    struct flo_pair *pairs = merger->pairs;
    struct flo_pair top = pairs[0];
    struct flo_pair last = pairs[--merger->pair_count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= merger->pair_count) {
            break;
        }
        if (child + 1 < merger->pair_count &&
            before(&pairs[child + 1], &pairs[child])) {
            child++;
        }
        if (!before(&pairs[child], &last)) {
            break;
        }
        pairs[at] = pairs[child];
        at = child;
    }
    pairs[at] = last;
    return top;
}

/* ---- symbols ---- */

static bool reserve(struct flo_merger *merger, size_t count)
{
    size_t capacity = merger->capacity != 0 ? merger->capacity : 64;
    if (count <= merger->capacity) {
        return true;
    }
    if (count > FLO_MERGE_TEXT_BYTES_MAX) {
        return false;
    }
    while (capacity < count) {
        capacity *= 2;
    }
    flo_merger_deinit(merger);
    merger->symbols = malloc(capacity * sizeof(*merger->symbols));
    /* n - 1 first pairs and at most two per merge, n - 1 merges, of which
     * each has taken one pair out. */
    merger->pairs = malloc(2 * capacity * sizeof(*merger->pairs));
    bool is_whole = merger->symbols != NULL && merger->pairs != NULL;
    merger->capacity = is_whole ? capacity : 0;
    return is_whole;
}

static void offer(struct flo_merger *merger, uint32_t left)
{
    const struct flo_vocab *vocab = merger->vocab;
    if (left == NONE || merger->symbols[left].next == NONE) {
        return;
    }
    const struct flo_symbol *a = &merger->symbols[left];
    uint32_t bytes = a->bytes + merger->symbols[a->next].bytes;
    if (bytes > vocab->token_bytes_max) {
        return;
    }
    struct flo_pair pair = {.left = left, .bytes = bytes};
    pair.id = flo_vocab_find(vocab, merger->text + a->start, bytes);
    if (pair.id >= 0 && flo_vocab_rank(vocab, pair.id, a->bytes, &pair.rank)) {
        push(merger, pair);
    }
}

/* Join the pair if both of its halves are still what they were: a symbol
 * only ever grows, so the bytes tell. */
static void join(struct flo_merger *merger, struct flo_pair pair)
{
    struct flo_symbol *left = &merger->symbols[pair.left];
    if (left->bytes == 0 || left->next == NONE) {
        return;
    }
    struct flo_symbol *right = &merger->symbols[left->next];
    if (left->bytes + right->bytes != pair.bytes) {
        return;
    }
    left->bytes = pair.bytes;
    left->id = pair.id;
    left->next = right->next;
    right->bytes = 0;
    if (left->next != NONE) {
        merger->symbols[left->next].previous = pair.left;
    }
    offer(merger, left->previous);
    offer(merger, pair.left);
}

static uint32_t bytes_claimed(char lead)
{
    static const uint8_t claims[16] = {1, 1, 1, 1, 1, 1, 1, 1,
                                       1, 1, 1, 1, 2, 2, 3, 4};
    return claims[(uint8_t)lead >> 4];
}

static uint32_t cut(struct flo_merger *merger, uint32_t total)
{
    uint32_t count = 0;
    for (uint32_t at = 0; at < total; count++) {
        uint32_t bytes = bytes_claimed(merger->text[at]);
        bytes = bytes < total - at ? bytes : total - at;
        merger->symbols[count] =
            (struct flo_symbol){at, bytes, count - 1, count + 1, NOT_MERGED};
        at += bytes;
    }
    merger->symbols[0].previous = NONE;
    merger->symbols[count - 1].next = NONE;
    return count;
}

static void put(const struct flo_vocab *vocab, int32_t id,
                struct flo_tokens *tokens)
{
    id = id >= 0 ? id : vocab->facts.unknown;
    if (id >= 0) {
        flo_tokens_add(tokens, id);
    }
}

/* What is no token: SPM has the tokens of its bytes. */
static void put_symbol(const struct flo_merger *merger,
                       const struct flo_symbol *symbol,
                       struct flo_tokens *tokens)
{
    const struct flo_vocab *vocab = merger->vocab;
    const char *text = merger->text + symbol->start;
    int32_t id = symbol->id == NOT_MERGED
                     ? flo_vocab_find(vocab, text, symbol->bytes)
                     : symbol->id;
    if (id >= 0 || !vocab->is_spm) {
        put(vocab, id, tokens);
        return;
    }
    for (uint32_t i = 0; i < symbol->bytes; i++) {
        put(vocab, vocab->byte_ids[(uint8_t)text[i]], tokens);
    }
}

bool flo_merger_run(struct flo_merger *merger, const char *text, size_t bytes,
                    struct flo_tokens *tokens)
{
    if (!reserve(merger, bytes)) {
        return false;
    }
    merger->text = text;
    merger->pair_count = 0;
    uint32_t count = cut(merger, (uint32_t)bytes);
    for (uint32_t i = 0; i < count; i++) {
        offer(merger, i);
    }
    while (merger->pair_count > 0) {
        join(merger, pop(merger));
    }
    for (uint32_t i = 0; i != NONE; i = merger->symbols[i].next) {
        put_symbol(merger, &merger->symbols[i], tokens);
    }
    return true;
}

void flo_merger_deinit(struct flo_merger *merger)
{
    free(merger->symbols);
    free(merger->pairs);
    merger->symbols = NULL;
    merger->pairs = NULL;
    merger->capacity = 0;
}
