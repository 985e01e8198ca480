/* Byte-pair merging of one word.
 *
 * The word's bytes become single-byte tokens in a linked list; a heap gives
 * the pair of lowest rank, leftmost on a tie.  Each merge makes at most two
 * new pairs, so a word of n bytes costs n log n: a hostile megabyte without a
 * blank is slow by a constant only. */
#include "engine/token/vocab.h"

#include <stdlib.h>

#define NOTHING UINT32_MAX

struct symbol {
    int32_t id;
    uint32_t previous;
    uint32_t next;
};

struct pair {
    uint32_t rank;
    uint32_t left; /* symbol; its right neighbour is looked up */
};

struct flo_bpe {
    const struct flo_vocab *vocab;
    struct symbol *symbols;
    struct pair *heap;
    size_t heap_count;
    size_t capacity; /* of symbols; the heap has twice that */
    char *text;      /* the word in stand-in characters */
};

struct flo_bpe *flo_bpe_new(const struct flo_vocab *vocab)
{
    struct flo_bpe *bpe = calloc(1, sizeof(*bpe));
    if (bpe != NULL) {
        bpe->vocab = vocab;
    }
    return bpe;
}

void flo_bpe_free(struct flo_bpe *bpe)
{
    if (bpe != NULL) {
        free(bpe->symbols);
        free(bpe->heap);
        free(bpe->text);
        free(bpe);
    }
}

static bool reserve(struct flo_bpe *bpe, size_t bytes)
{
    size_t capacity = bpe->capacity != 0 ? bpe->capacity : 64;
    if (bytes <= bpe->capacity) {
        return true;
    }
    if (bytes > UINT32_MAX / 4) {
        return false;
    }
    while (capacity < bytes) {
        capacity *= 2;
    }
    free(bpe->symbols);
    free(bpe->heap);
    free(bpe->text);
    bpe->symbols = malloc(capacity * sizeof(*bpe->symbols));
    /* n - 1 first pairs and at most two per merge, n - 1 merges, of which
     * each has taken one pair out. */
    bpe->heap = malloc(2 * capacity * sizeof(*bpe->heap));
    bpe->text = malloc(2 * capacity);
    bool is_whole =
        bpe->symbols != NULL && bpe->heap != NULL && bpe->text != NULL;
    bpe->capacity = is_whole ? capacity : 0;
    return is_whole;
}

static bool before(const struct pair *a, const struct pair *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->left < b->left;
}

static void heap_push(struct flo_bpe *bpe, struct pair pair)
{
    size_t at = bpe->heap_count++;
    while (at > 0) {
        size_t parent = (at - 1) / 2;
        if (!before(&pair, &bpe->heap[parent])) {
            break;
        }
        bpe->heap[at] = bpe->heap[parent];
        at = parent;
    }
    bpe->heap[at] = pair;
}

static struct pair heap_pop(struct flo_bpe *bpe)
{
    struct pair top = bpe->heap[0];
    struct pair last = bpe->heap[--bpe->heap_count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= bpe->heap_count) {
            break;
        }
        if (child + 1 < bpe->heap_count &&
            before(&bpe->heap[child + 1], &bpe->heap[child])) {
            child++;
        }
        if (!before(&bpe->heap[child], &last)) {
            break;
        }
        bpe->heap[at] = bpe->heap[child];
        at = child;
    }
    bpe->heap[at] = last;
    return top;
}

static void offer(struct flo_bpe *bpe, uint32_t left)
{
    if (left == NOTHING || bpe->symbols[left].next == NOTHING) {
        return;
    }
    int32_t first = bpe->symbols[left].id;
    int32_t second = bpe->symbols[bpe->symbols[left].next].id;
    int64_t rank = first < 0 || second < 0
                       ? -1
                       : flo_vocab_merge(bpe->vocab, first, second);
    if (rank >= 0) {
        heap_push(bpe, (struct pair){(uint32_t)rank, left});
    }
}

/* Join the pair if both of its tokens still stand there. */
static void join(struct flo_bpe *bpe, struct pair pair)
{
    const struct flo_merge *merge = &bpe->vocab->merges[pair.rank];
    struct symbol *left = &bpe->symbols[pair.left];
    if (left->id != merge->left || left->next == NOTHING) {
        return;
    }
    struct symbol *right = &bpe->symbols[left->next];
    if (right->id != merge->right) {
        return;
    }
    left->id = merge->joined;
    left->next = right->next;
    right->id = -2; /* gone: matches no merge */
    if (left->next != NOTHING) {
        bpe->symbols[left->next].previous = pair.left;
    }
    offer(bpe, left->previous);
    offer(bpe, pair.left);
}

/* The id of the whole word when it is a token, or -1. */
static int32_t whole(struct flo_bpe *bpe, const char *word, size_t bytes)
{
    size_t length = 0;
    for (size_t i = 0; i < bytes; i++) {
        uint32_t code = flo_byte_to_code((uint8_t)word[i]);
        if (code >= 0x80) {
            bpe->text[length++] = (char)(0xc0 | code >> 6);
            code = 0x80 | (code & 0x3f);
        }
        bpe->text[length++] = (char)code;
    }
    return flo_vocab_find(bpe->vocab, bpe->text, length);
}

bool flo_bpe_word(struct flo_bpe *bpe, const char *word, size_t bytes,
                  struct flo_tokens *tokens)
{
    const struct flo_vocab *vocab = bpe->vocab;
    if (!reserve(bpe, bytes)) {
        return false;
    }
    if (vocab->split->prefers_whole && bytes <= FLO_TOKEN_BYTES_MAX) {
        int32_t id = whole(bpe, word, bytes);
        if (id >= 0) {
            flo_tokens_add(tokens, id);
            return true;
        }
    }
    uint32_t count = (uint32_t)bytes;
    for (uint32_t i = 0; i < count; i++) {
        bpe->symbols[i] = (struct symbol){vocab->byte_ids[(uint8_t)word[i]],
                                          i == 0 ? NOTHING : i - 1,
                                          i + 1 == count ? NOTHING : i + 1};
    }
    bpe->heap_count = 0;
    for (uint32_t i = 0; i + 1 < count; i++) {
        offer(bpe, i);
    }
    while (bpe->heap_count > 0) {
        join(bpe, heap_pop(bpe));
    }
    for (uint32_t i = 0; i != NOTHING && count > 0; i = bpe->symbols[i].next) {
        int32_t id = bpe->symbols[i].id;
        if (id < 0) {
            id = vocab->facts.unknown; /* no token for this byte */
        }
        if (id >= 0) {
            flo_tokens_add(tokens, id);
        }
    }
    return true;
}
