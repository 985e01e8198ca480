/* BPE: pairs of characters of a word are merged as the list of merges says.  In
 * byte-level BPE (`tokenizer.ggml.model` = gpt2) each byte becomes a printable
 * character first; in BPE of characters (gemma4) blanks become U+2581. */
#include <stdlib.h>

#include "engine/token/merge.h"

size_t flo_bytes_show(char *out, const char *word, size_t bytes)
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

/* Tells whether a word is made of line ends only. */
static bool is_lines(const char *word, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        if (word[i] != '\n') {
            return false;
        }
    }
    return bytes > 0;
}

bool flo_bpe_word(struct flo_merger *merger, const char *word, size_t bytes,
                  struct flo_tokens *tokens)
{
    const struct flo_vocab *vocab = merger->vocab;
    /* merges of characters may not reach the tokens of several line ends */
    bool prefers_whole = vocab->prefers_whole || (vocab->kind == FLO_VOCAB_RAW_BPE &&
                                                  vocab->steps == NULL && is_lines(word, bytes));
    int32_t id = prefers_whole ? flo_vocab_find(vocab, word, bytes) : -1;
    if (id >= 0) {
        flo_tokens_add(tokens, id);
        return true;
    }
    return flo_merger_run(merger, word, bytes, tokens);
}

/* Appends the ids of all words.  `shown` has room for the printable characters
 * of the longest one. */
static bool add_words(const struct flo_vocab *vocab, const char *text, size_t bytes, char *shown,
                      struct flo_tokens *tokens)
{
    FLO_CLEANUP(flo_merger_deinit) struct flo_merger merger = {.vocab = vocab};
    struct flo_split split;
    const char *word;
    size_t word_bytes;
    bool is_raw = vocab->kind == FLO_VOCAB_RAW_BPE;
    bool is_fine = true;
    flo_split_init(&split, &vocab->splitter, text, bytes);
    while (is_fine && !tokens->failed && flo_split_next(&split, &word, &word_bytes)) {
        size_t length = is_raw ? word_bytes : flo_bytes_show(shown, word, word_bytes);
        is_fine = flo_bpe_word(&merger, is_raw ? word : shown, length, tokens);
    }
    is_fine = is_fine && !split.failed;
    flo_split_deinit(&split);
    return is_fine;
}

bool flo_bpe_text(const struct flo_vocab *vocab, const char *text, size_t bytes,
                  struct flo_tokens *tokens)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf escaped = {.bytes_max = FLO_MERGE_TEXT_BYTES_MAX};
    if (vocab->kind == FLO_VOCAB_RAW_BPE) {
        flo_blanks_escape(&escaped, text, bytes);
        return !escaped.failed &&
               (escaped.bytes == 0 || add_words(vocab, escaped.data, escaped.bytes, NULL, tokens));
    }
    /* room for two bytes of each printable character */
    FLO_CLEANUP(flo_free_cleanup) char *shown = malloc(2 * bytes + 1);
    return shown != NULL && add_words(vocab, text, bytes, shown, tokens);
}
