/* Tokens: adds ids to a list that grows up to a limit. */
#include "engine/token/vocab/vocab.h"

#include <stdlib.h>
#include <string.h>

#define TOKENS_MAX (16u << 20)

size_t flo_tokens_room(const struct flo_tokens *tokens)
{
    size_t most = tokens->count_max != 0 ? tokens->count_max : TOKENS_MAX;
    return most - tokens->count;
}

bool flo_tokens_refuse(struct flo_tokens *tokens, size_t count)
{
    if (!tokens->failed && count > flo_tokens_room(tokens)) {
        tokens->failed = true;
        tokens->count_least = tokens->count + count;
    }
    return tokens->failed;
}

bool flo_tokens_have_room(struct flo_tokens *tokens, const struct flo_vocab *vocab, size_t bytes)
{
    size_t most = vocab->id_bytes_max;
    return !flo_tokens_refuse(tokens, bytes / most + (bytes % most != 0));
}

void flo_tokens_add(struct flo_tokens *tokens, int32_t id)
{
    if (flo_tokens_refuse(tokens, 1)) {
        return;
    }
    if (!flo_grow(&tokens->ids, &tokens->capacity, tokens->count, sizeof(*tokens->ids))) {
        tokens->failed = true;
        return;
    }
    tokens->ids[tokens->count++] = id;
}

void flo_tokens_deinit(struct flo_tokens *tokens)
{
    free(tokens->ids);
    memset(tokens, 0, sizeof(*tokens));
}
