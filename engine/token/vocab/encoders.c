/* Encoders: loads what the tokenizers of encoders need, WordPiece and
 * Unigram. */
#include <inttypes.h>

#include <flotilla/errors/gguf.h>

#include "engine/token/vocab/vocab.h"

#define CHARACTERS_DEFAULT 100u

static int load_wordpiece(struct flo_vocab *vocab, const struct flo_gguf *gguf, struct flo_err *err)
{
    uint64_t most = CHARACTERS_DEFAULT;
    vocab->lowers = true;
    FLO_TRY(flo_gguf_bool(gguf, "tokenizer.ggml.normalizer.lowercase", &vocab->lowers, err));
    vocab->strips_accents = vocab->lowers;
    FLO_TRY(flo_gguf_bool(gguf, "tokenizer.ggml.normalizer.strip_accents", &vocab->strips_accents,
                          err));
    FLO_TRY(flo_gguf_u64(gguf, "flotilla.tokenizer.word_chars_max", &most, err));
    if (most == 0 || most > FLO_WORD_CHARACTERS_MAX) {
        return flo_fail(err, FLO_E_GGUF_VOCAB,
                        "words of %" PRIu64 " characters, 1 to %u are allowed", most,
                        FLO_WORD_CHARACTERS_MAX);
    }
    vocab->word_characters_max = (uint32_t)most;
    return 0;
}

static int load_unigram(struct flo_vocab *vocab, const struct flo_gguf *gguf, struct flo_err *err)
{
    static const char key[] = "tokenizer.ggml.precompiled_charsmap";
    const struct flo_gguf_kv *kv = flo_gguf_find(gguf, key);
    const struct flo_gguf_kv *map = NULL;
    vocab->merges_blanks = true;
    FLO_TRY(
        flo_gguf_bool(gguf, "tokenizer.ggml.remove_extra_whitespaces", &vocab->merges_blanks, err));
    if (kv != NULL) { /* writers differ in the sign of its bytes */
        FLO_TRY(flo_gguf_array(gguf, key, kv->item_type == FLO_GGUF_I8 ? FLO_GGUF_I8 : FLO_GGUF_U8,
                               &map, err));
        int rv = flo_charsmap_open(map->data, (size_t)map->count, &vocab->charsmap, err);
        if (rv < 0) {
            return flo_wrap(err, rv, "%s", key);
        }
    }
    vocab->unknown_score = flo_unigram_unknown_score(vocab);
    return 0;
}

int flo_vocab_load_encoder(struct flo_vocab *vocab, const struct flo_gguf *gguf,
                           struct flo_err *err)
{
    FLO_TRY(flo_prefix_open(&vocab->prefix, vocab, err));
    return vocab->kind == FLO_VOCAB_WORDPIECE ? load_wordpiece(vocab, gguf, err)
                                              : load_unigram(vocab, gguf, err);
}
