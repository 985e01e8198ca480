/* BPE: byte-level BPE (`tokenizer.ggml.model` = gpt2): each byte of a word
 * becomes a printable character, whose pairs are merged as the list of merges
 * says. */
#include <stdlib.h>

#include "engine/token/merge.h"

/* Writes a word's bytes as their printable characters, which are below U+0800
 * and so have one or two bytes. */
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

bool flo_bpe_text(const struct flo_vocab *vocab, const char *text, size_t bytes,
                  struct flo_tokens *tokens)
{
    struct flo_merger merger = {.vocab = vocab};
    struct flo_split split;
    const char *word;
    size_t word_bytes;
    char *shown = malloc(2 * bytes + 1); /* room for two bytes of each printable character */
    bool is_fine = shown != NULL;
    flo_split_init(&split, vocab->split, text, bytes);
    while (is_fine && !tokens->failed && flo_split_next(&split, &word, &word_bytes)) {
        size_t length = stand_in(shown, word, word_bytes);
        int32_t id = vocab->split->prefers_whole ? flo_vocab_find(vocab, shown, length) : -1;
        if (id >= 0) {
            flo_tokens_add(tokens, id);
        } else {
            is_fine = flo_merger_run(&merger, shown, length, tokens);
        }
    }
    flo_merger_deinit(&merger);
    free(shown);
    return is_fine;
}
