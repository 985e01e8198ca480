/* Merge: keeps symbols in arrays indexed by byte, and finds the pair of the
 * lowest rank in a tree. */
#include "engine/token/merge.h"

#include <stdlib.h>

#define BLOCK 16u /* number of ranks under a leaf of the tree */

_Static_assert(FLO_TOKEN_BYTES_MAX <= UINT16_MAX, "a length fits");
_Static_assert(sizeof(uint32_t) + sizeof(uint16_t) + 4 * sizeof(uint32_t) / BLOCK <=
                   FLO_MERGE_BYTES_PER_BYTE,
               "ranks, lengths, at most four nodes of the tree for a block");

/* ---- the ranks of pairs ---- */

static uint32_t lowest_of_block(const uint32_t *ranks)
{
    uint32_t lowest = ranks[0];
    for (size_t i = 1; i < BLOCK; i++) {
        lowest = ranks[i] < lowest ? ranks[i] : lowest;
    }
    return lowest;
}

static uint32_t lowest_of_two(const uint32_t *pair)
{
    return pair[0] < pair[1] ? pair[0] : pair[1];
}

static void set_rank(struct flo_merger *merger, size_t at, uint32_t rank)
{
    uint32_t *lowest = merger->lowest;
    size_t node = merger->leaves + at / BLOCK;
    uint32_t before = merger->ranks[at];
    merger->ranks[at] = rank;
    if (before == lowest[node]) {
        rank = lowest_of_block(&merger->ranks[at / BLOCK * BLOCK]);
    } else if (rank >= lowest[node]) {
        return;
    }
    while (lowest[node] != rank) {
        lowest[node] = rank;
        if (node == 1) {
            break;
        }
        node /= 2;
        rank = lowest_of_two(&lowest[2 * node]);
    }
}

static void make_tree(struct flo_merger *merger, size_t blocks)
{
    uint32_t *lowest = merger->lowest;
    for (size_t i = 0; i < merger->leaves; i++) {
        lowest[merger->leaves + i] =
            i < blocks ? lowest_of_block(&merger->ranks[i * BLOCK]) : FLO_RANK_NONE;
    }
    for (size_t node = merger->leaves - 1; node > 0; node--) {
        lowest[node] = lowest_of_two(&lowest[2 * node]);
    }
}

/* Returns where the leftmost pair of the lowest rank begins.  There is at least
 * one pair. */
static size_t find_lowest(const struct flo_merger *merger)
{
    const uint32_t *lowest = merger->lowest;
    size_t node = 1;
    while (node < merger->leaves) {
        node = 2 * node + (lowest[2 * node] != lowest[1]);
    }
    size_t at = (node - merger->leaves) * BLOCK;
    while (merger->ranks[at] != lowest[1]) {
        at++;
    }
    return at;
}

/* ---- symbols ---- */

static bool reserve(struct flo_merger *merger, size_t bytes)
{
    size_t capacity = merger->capacity != 0 ? merger->capacity : 4 * BLOCK;
    if (bytes <= merger->capacity) {
        return true;
    }
    if (bytes > FLO_MERGE_TEXT_BYTES_MAX) {
        return false;
    }
    while (capacity < bytes) {
        capacity *= 2;
    }
    flo_merger_deinit(merger);
    merger->ranks = malloc(capacity * sizeof(*merger->ranks));
    merger->lengths = malloc(capacity * sizeof(*merger->lengths));
    merger->lowest = malloc(2 * (capacity / BLOCK) * sizeof(*merger->lowest));
    bool is_whole = merger->ranks != NULL && merger->lengths != NULL && merger->lowest != NULL;
    merger->capacity = is_whole ? capacity : 0;
    return is_whole;
}

static void set_length(struct flo_merger *merger, size_t at, size_t bytes)
{
    merger->lengths[at] = (uint16_t)bytes;
    merger->lengths[at + bytes - 1] = (uint16_t)bytes;
}

/* Returns the rank of the pair of the symbol at `at` and the next one. */
static uint32_t rank_of(const struct flo_merger *merger, size_t at)
{
    const struct flo_vocab *vocab = merger->vocab;
    size_t left_bytes = merger->lengths[at];
    if (at + left_bytes == merger->bytes) {
        return FLO_RANK_NONE;
    }
    size_t bytes = left_bytes + merger->lengths[at + left_bytes];
    if (bytes > vocab->token_bytes_max) {
        return FLO_RANK_NONE;
    }
    uint32_t rank = FLO_RANK_NONE;
    int32_t id = flo_vocab_find(vocab, merger->text + at, bytes);
    return id >= 0 && flo_vocab_rank(vocab, id, (uint32_t)left_bytes, &rank) ? rank : FLO_RANK_NONE;
}

static void join(struct flo_merger *merger, size_t left)
{
    size_t right = left + merger->lengths[left];
    set_length(merger, left, right - left + merger->lengths[right]);
    set_rank(merger, right, FLO_RANK_NONE);
    set_rank(merger, left, rank_of(merger, left));
    if (left > 0) {
        size_t before = left - merger->lengths[left - 1];
        set_rank(merger, before, rank_of(merger, before));
    }
}

static size_t bytes_claimed(char lead)
{
    static const uint8_t claims[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 3, 4};
    return claims[(uint8_t)lead >> 4];
}

/* Makes each character of the text a symbol, and ranks the pairs of
 * neighbours. */
static void cut(struct flo_merger *merger)
{
    size_t blocks = (merger->bytes + BLOCK - 1) / BLOCK;
    for (size_t at = 0; at < merger->bytes; at += merger->lengths[at]) {
        size_t bytes = bytes_claimed(merger->text[at]);
        size_t left = merger->bytes - at;
        set_length(merger, at, bytes + merger->end_bytes < left ? bytes : left);
    }
    memset(merger->ranks, 0xff, blocks * BLOCK * sizeof(*merger->ranks));
    for (size_t at = 0; at < merger->bytes; at += merger->lengths[at]) {
        merger->ranks[at] = rank_of(merger, at);
    }
    merger->leaves = 1;
    while (merger->leaves < blocks) {
        merger->leaves *= 2;
    }
    make_tree(merger, blocks);
}

/* Appends the id of a symbol, which may be no token.  SPM and BPE of characters
 * then have tokens for single bytes, and `unknown` for other bytes.  Byte-level
 * BPE drops the symbol, as in training, because many small vocabularies lack
 * the bytes of rare planes.  The
 * `unknown` of such vocabularies is often the end of a text. */
static void put_symbol(const struct flo_vocab *vocab, const char *text, size_t bytes,
                       struct flo_tokens *tokens)
{
    int32_t id = flo_vocab_find(vocab, text, bytes);
    if (id >= 0) {
        flo_tokens_add(tokens, id);
        return;
    }
    for (size_t i = 0; vocab->kind != FLO_VOCAB_BPE && i < bytes; i++) {
        id = vocab->byte_ids[(uint8_t)text[i]];
        id = id >= 0 ? id : vocab->facts.unknown;
        if (id >= 0) {
            flo_tokens_add(tokens, id);
        }
    }
}

bool flo_merger_run(struct flo_merger *merger, const char *text, size_t bytes,
                    struct flo_tokens *tokens)
{
    if (!flo_tokens_have_room(tokens, merger->vocab, bytes)) {
        return true;
    }
    if (!reserve(merger, bytes)) {
        return false;
    }
    merger->text = text;
    merger->bytes = bytes;
    cut(merger);
    while (merger->lowest[1] != FLO_RANK_NONE) {
        join(merger, find_lowest(merger));
    }
    for (size_t at = 0; at < bytes; at += merger->lengths[at]) {
        put_symbol(merger->vocab, text + at, merger->lengths[at], tokens);
    }
    return true;
}

void flo_merger_deinit(struct flo_merger *merger)
{
    free(merger->ranks);
    free(merger->lengths);
    free(merger->lowest);
    merger->ranks = NULL;
    merger->lengths = NULL;
    merger->lowest = NULL;
    merger->capacity = 0;
}
