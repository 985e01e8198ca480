/* Encoders: loads what the tokenizers of encoders need, WordPiece and Unigram,
 * and how pairs of texts are written. */
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

int flo_vocab_load_pair(struct flo_vocab *vocab, const struct flo_gguf *gguf, struct flo_err *err)
{
    static const char items_key[] = "flotilla.tokenizer.pair";
    static const char types_key[] = "flotilla.tokenizer.pair_types";
    const struct flo_gguf_kv *items, *types;
    uint64_t segments = vocab->kind == FLO_VOCAB_WORDPIECE ? 2 : 1;
    FLO_TRY(flo_gguf_u64(gguf, "tokenizer.ggml.token_type_count", &segments, err));
    FLO_TRY(flo_gguf_array(gguf, items_key, FLO_GGUF_I32, &items, err));
    FLO_TRY(flo_gguf_array(gguf, types_key, FLO_GGUF_I32, &types, err));
    vocab->has_segments = segments > 1;
    if (items == NULL) {
        return 0;
    }
    if (items->count > FLO_PAIR_ITEMS_MAX || (types != NULL && types->count != items->count)) {
        return flo_fail(err, FLO_E_GGUF_VOCAB,
                        "%s has %" PRIu64 " items and %s %" PRIu64
                        ", at most %u of each are allowed",
                        items_key, items->count, types_key, types != NULL ? types->count : 0,
                        FLO_PAIR_ITEMS_MAX);
    }
    vocab->pair.count = (size_t)items->count;
    for (uint64_t i = 0; i < items->count; i++) {
        int32_t item = (int32_t)flo_get_u32(items->data + 4 * i);
        uint32_t segment = types != NULL ? flo_get_u32(types->data + 4 * i) : 0;
        if (item < FLO_PAIR_SECOND || item >= vocab->facts.count || segment > 1) {
            return flo_fail(err, FLO_E_GGUF_VOCAB,
                            "item %" PRIu64 " of %s is %" PRId32 " in segment %" PRIu32, i,
                            items_key, item, segment);
        }
        vocab->pair.items[i] = item;
        vocab->pair.segments[i] = (uint8_t)segment;
    }
    return 0;
}
