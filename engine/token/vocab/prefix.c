/* Prefix: keeps tokens sorted, and narrows a range of them byte by byte. */
#include "engine/token/vocab/prefix.h"

#include <inttypes.h>
#include <stdlib.h>

#include <flotilla/errors/gguf.h>

#include "engine/token/vocab/vocab.h"

static int by_text(const void *a, const void *b, void *context)
{
    const struct flo_vocab_token *tokens = context;
    const struct flo_vocab_token *x = &tokens[*(const uint32_t *)a];
    const struct flo_vocab_token *y = &tokens[*(const uint32_t *)b];
    size_t bytes = x->bytes < y->bytes ? x->bytes : y->bytes;
    int order = memcmp(x->text, y->text, bytes);
    return order != 0 ? order : x->bytes - y->bytes;
}

int flo_prefix_open(struct flo_prefix *prefix, const struct flo_vocab *vocab, struct flo_err *err)
{
    uint32_t count = (uint32_t)vocab->facts.count;
    prefix->tokens = vocab->tokens;
    prefix->ids = malloc(count * sizeof(*prefix->ids));
    if (prefix->ids == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "%" PRIu32 " tokens", count);
    }
    for (uint32_t id = 0; id < count; id++) {
        const struct flo_vocab_token *token = &vocab->tokens[id];
        /* WordPiece writes an added token that is no piece without its mark */
        bool is_piece = token->type == FLO_TOKEN_NORMAL ||
                        (token->type == FLO_TOKEN_USER &&
                         (vocab->kind != FLO_VOCAB_WORDPIECE || flo_added_skip(vocab, token) > 0));
        if (token->bytes == 0 || !is_piece) {
            continue;
        }
        if (token->bytes > FLO_PREFIX_BYTES_MAX) {
            return flo_fail(err, FLO_E_GGUF_VOCAB,
                            "token %" PRIu32 " has %u bytes, %u are allowed in this model", id,
                            token->bytes, FLO_PREFIX_BYTES_MAX);
        }
        prefix->bytes_max = token->bytes > prefix->bytes_max ? token->bytes : prefix->bytes_max;
        prefix->ids[prefix->count++] = id;
        prefix->firsts[(uint8_t)token->text[0] + 1]++;
    }
    for (size_t byte = 0; byte < 256; byte++) {
        prefix->firsts[byte + 1] += prefix->firsts[byte];
    }
    if (prefix->count > 0) {
        qsort_r(prefix->ids, prefix->count, sizeof(*prefix->ids), by_text, vocab->tokens);
    }
    return 0;
}

void flo_prefix_close(struct flo_prefix *prefix)
{
    free(prefix->ids);
    prefix->ids = NULL;
}

/* Returns the first place in a range whose token has a byte of at least `byte`
 * at this depth.  Tokens that end before it come first. */
static uint32_t find(const struct flo_prefix *prefix, const struct flo_prefix_walk *walk,
                     uint32_t byte)
{
    uint32_t low = walk->low, high = walk->high;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct flo_vocab_token *token = &prefix->tokens[prefix->ids[middle]];
        if (token->bytes == walk->depth || (uint8_t)token->text[walk->depth] < byte) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

bool flo_prefix_step(const struct flo_prefix *prefix, struct flo_prefix_walk *walk, uint8_t byte)
{
    struct flo_prefix_walk next = {prefix->firsts[byte], prefix->firsts[byte + 1], 1};
    if (walk->depth > 0) {
        next.low = find(prefix, walk, byte);
        next.high = find(prefix, walk, byte + 1u);
        next.depth = walk->depth + 1;
    }
    *walk = next;
    return next.low < next.high;
}

int32_t flo_prefix_hit(const struct flo_prefix *prefix, const struct flo_prefix_walk *walk)
{
    uint32_t id = prefix->ids[walk->low];
    return prefix->tokens[id].bytes == walk->depth ? (int32_t)id : -1;
}
