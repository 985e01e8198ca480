/* Pair: puts the model's special tokens around a text, or two. */
#include "engine/token/vocab/vocab.h"

int flo_tokenize_pair(const struct flo_vocab *vocab, const struct flo_text_pair *pair,
                      struct flo_tokens *tokens, struct flo_buf *segments, struct flo_err *err)
{
    bool has_second = pair->second != NULL;
    struct flo_pair_form form = flo_vocab_form(vocab, has_second);
    if (form.is_odd) {
        return flo_fail(err, FLO_E_NOT_BUILT,
                        "the segments of a pair (post_processor in tokenizer.json) are not 0 up "
                        "to the first separator and 1 behind it");
    }
    for (size_t i = 0; i < form.count; i++) {
        size_t before = tokens->count;
        char segment = (char)form.segments[i];
        if (form.items[i] >= 0) {
            flo_tokens_add(tokens, form.items[i]);
        } else {
            bool is_first = form.items[i] == FLO_PAIR_FIRST;
            FLO_TRY(flo_tokenize(vocab, is_first ? pair->first : pair->second,
                                 is_first ? pair->first_bytes : pair->second_bytes, 0, tokens,
                                 err));
        }
        for (size_t added = before; added < tokens->count; added++) {
            flo_buf_add(segments, &segment, 1);
        }
    }
    if (tokens->failed) {
        return flo_fail(err, FLO_E_INFER_TOO_LONG,
                        "the texts with special tokens have at least %zu tokens, at most %zu fit",
                        tokens->count_least, tokens->count + flo_tokens_room(tokens));
    }
    return segments->failed ? flo_fail(err, FLO_E_MEMORY, "segments of %zu tokens", tokens->count)
                            : 0;
}
