/* Byte-level BPE of one pre-split word (`tokenizer.ggml.model` = gpt2): its
 * bytes as printable stand-ins, merged by the list of merges. */
#include <stdlib.h>

#include "engine/token/merge.h"

struct flo_bpe {
    struct flo_merger merger;
    char *text; /* the word in stand-in characters */
    size_t capacity;
};

struct flo_bpe *flo_bpe_new(const struct flo_vocab *vocab)
{
    struct flo_bpe *bpe = calloc(1, sizeof(*bpe));
    if (bpe != NULL) {
        bpe->merger.vocab = vocab;
    }
    return bpe;
}

void flo_bpe_free(struct flo_bpe *bpe)
{
    if (bpe != NULL) {
        flo_merger_deinit(&bpe->merger);
        free(bpe->text);
        free(bpe);
    }
}

static bool reserve(struct flo_bpe *bpe, size_t bytes)
{
    if (bytes <= bpe->capacity) {
        return true;
    }
    if (bytes > FLO_MERGE_TEXT_BYTES_MAX) {
        return false;
    }
    free(bpe->text);
    bpe->text = malloc(2 * bytes + 64);
    bpe->capacity = bpe->text != NULL ? 2 * bytes + 64 : 0;
    return bpe->text != NULL;
}

/* Every stand-in is below U+0800: one or two bytes. */
static size_t stand_in(char *out, const char *word, size_t bytes)
{
    size_t length = 0;
    for (size_t i = 0; i < bytes; i++) {
        uint32_t code = flo_byte_to_code((uint8_t)word[i]);
        if (code >= 0x80) {
            out[length++] = (char)(0xc0 | code >> 6);
            code = 0x80 | (code & 0x3f);
        }
        out[length++] = (char)code;
    }
    return length;
}

bool flo_bpe_word(struct flo_bpe *bpe, const char *word, size_t bytes,
                  struct flo_tokens *tokens)
{
    const struct flo_vocab *vocab = bpe->merger.vocab;
    if (bytes == 0) {
        return true;
    }
    if (!reserve(bpe, 2 * bytes)) {
        return false;
    }
    size_t length = stand_in(bpe->text, word, bytes);
    if (vocab->split->prefers_whole) {
        int32_t id = flo_vocab_find(vocab, bpe->text, length);
        if (id >= 0) {
            flo_tokens_add(tokens, id);
            return true;
        }
    }
    if (!flo_merger_run(&bpe->merger, bpe->text, length)) {
        return false;
    }
    const struct flo_symbol *symbols = bpe->merger.symbols;
    for (uint32_t i = 0; i != FLO_SYMBOL_NONE; i = symbols[i].next) {
        int32_t id = symbols[i].id; /* or no token for this byte */
        id = id >= 0 ? id : vocab->facts.unknown;
        if (id >= 0) {
            flo_tokens_add(tokens, id);
        }
    }
    return true;
}
