/* SPM: makes SentencePiece-style tokens of one text (`tokenizer.ggml.model` =
 * llama).  Blanks become U+2581.  Neighbouring symbols are merged by the scores
 * of the tokens that they make.  Symbols that are no token become tokens of
 * their bytes. */
#include "engine/token/merge.h"

void flo_blanks_escape(struct flo_buf *out, const char *text, size_t bytes)
{
    const char *end = text + bytes;
    const char *blank;
    while ((blank = memchr(text, ' ', (size_t)(end - text))) != NULL) {
        flo_buf_add(out, text, (size_t)(blank - text));
        flo_buf_text(out, FLO_SPM_BLANK);
        text = blank + 1;
    }
    flo_buf_add(out, text, (size_t)(end - text));
}

bool flo_spm_text(const struct flo_vocab *vocab, const char *text, size_t bytes, bool has_prefix,
                  struct flo_tokens *tokens)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf escaped = {.bytes_max = FLO_MERGE_TEXT_BYTES_MAX};
    FLO_CLEANUP(flo_merger_deinit) struct flo_merger merger = {.vocab = vocab};
    size_t blanks = 0;
    for (size_t i = 0; i < bytes; i++) {
        blanks += text[i] == ' ';
    }
    if (bytes == 0 ||
        !flo_tokens_have_room(tokens, vocab, bytes + blanks * strlen(FLO_SPM_BLANK) - blanks)) {
        return true;
    }
    if (has_prefix) {
        flo_buf_text(&escaped, FLO_SPM_BLANK);
    }
    flo_blanks_escape(&escaped, text, bytes);
    return !escaped.failed && flo_merger_run(&merger, escaped.data, escaped.bytes, tokens);
}
