/* SentencePiece-style tokens of one text (`tokenizer.ggml.model` = llama).
 *
 * Blanks become U+2581, neighbours merge by the scores of what they make, and
 * what is no token in the end goes out as its bytes' tokens. */
#include <string.h>

#include "engine/token/merge.h"

static void put_bytes(const struct flo_vocab *vocab, const char *text,
                      size_t bytes, struct flo_tokens *tokens)
{
    for (size_t i = 0; i < bytes; i++) {
        int32_t id = vocab->byte_ids[(uint8_t)text[i]];
        id = id >= 0 ? id : vocab->facts.unknown;
        if (id >= 0) {
            flo_tokens_add(tokens, id);
        }
    }
}

static void escape(struct flo_buf *out, const char *text, size_t bytes,
                   bool has_prefix)
{
    const char *end = text + bytes;
    if (has_prefix) {
        flo_buf_add(out, FLO_SPM_BLANK, 3);
    }
    while (text < end) {
        const char *blank = memchr(text, ' ', (size_t)(end - text));
        const char *stop = blank != NULL ? blank : end;
        flo_buf_add(out, text, (size_t)(stop - text));
        if (blank != NULL) {
            flo_buf_add(out, FLO_SPM_BLANK, 3);
            stop++;
        }
        text = stop;
    }
}

bool flo_spm_text(const struct flo_vocab *vocab, const char *text, size_t bytes,
                  bool has_prefix, struct flo_tokens *tokens)
{
    struct flo_buf escaped = {.bytes_max = FLO_MERGE_TEXT_BYTES_MAX};
    struct flo_merger merger = {.vocab = vocab};
    if (bytes == 0) {
        return true;
    }
    escape(&escaped, text, bytes, has_prefix);
    bool is_fine =
        !escaped.failed && flo_merger_run(&merger, escaped.data, escaped.bytes);
    for (uint32_t i = 0; is_fine && i != FLO_SYMBOL_NONE;
         i = merger.symbols[i].next) {
        const struct flo_symbol *symbol = &merger.symbols[i];
        if (symbol->id >= 0) {
            flo_tokens_add(tokens, symbol->id);
        } else {
            put_bytes(vocab, escaped.data + symbol->start, symbol->bytes,
                      tokens);
        }
    }
    flo_merger_deinit(&merger);
    flo_buf_deinit(&escaped);
    return is_fine;
}
