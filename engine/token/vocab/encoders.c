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

/* Reads a form of `texts` texts, each of which it has once. */
static int load_form(const struct flo_vocab *vocab, const struct flo_gguf_kv *items, int32_t texts,
                     struct flo_pair_form *out, struct flo_err *err)
{
    int32_t found[3] = {0}; /* how often each text is there, by its item's number */
    if (items->count > FLO_PAIR_ITEMS_MAX) {
        return flo_fail(err, FLO_E_GGUF_VOCAB, "%" PRIu64 " items, at most %u are allowed",
                        items->count, FLO_PAIR_ITEMS_MAX);
    }
    for (uint64_t i = 0; i < items->count; i++) {
        int32_t item = (int32_t)flo_get_u32(items->data + 4 * i);
        if (item < -texts || item >= vocab->facts.count) {
            return flo_fail(err, FLO_E_GGUF_VOCAB, "item %" PRIu64 " is %" PRId32, i, item);
        }
        found[item < 0 ? -item : 0]++;
        out->items[i] = item;
    }
    out->count = (size_t)items->count;
    return (found[1] == 1 && (texts == 1 || found[2] == 1)) || items->count == 0
               ? 0
               : flo_fail(err, FLO_E_GGUF_VOCAB, "%" PRIu64 " items do not have each text once",
                          items->count);
}

/* Sets the segments of a pair, which the engine finds by the first separator.  A
 * pair of other segments is refused where one comes: texts alone are fine. */
static int set_segments(struct flo_vocab *vocab, const struct flo_gguf_kv *types,
                        struct flo_err *err)
{
    struct flo_pair_form *pair = &vocab->pair;
    uint8_t segment = 0;
    if (types != NULL && types->count != pair->count) {
        return flo_fail(err, FLO_E_GGUF_VOCAB, "%" PRIu64 " segments of %zu items", types->count,
                        pair->count);
    }
    for (size_t i = 0; i < pair->count; i++) {
        uint32_t type = types != NULL ? flo_get_u32(types->data + 4 * i) : segment;
        if (type > 1) {
            return flo_fail(err, FLO_E_GGUF_VOCAB, "item %zu is in segment %" PRIu32, i, type);
        }
        pair->is_odd = pair->is_odd || (vocab->has_segments && type != segment);
        pair->segments[i] = segment;
        segment = vocab->has_segments && pair->items[i] == vocab->facts.separator ? 1 : segment;
    }
    return 0;
}

int flo_vocab_load_pair(struct flo_vocab *vocab, const struct flo_gguf *gguf, struct flo_err *err)
{
    static const char *const keys[] = {"flotilla.tokenizer.single", "flotilla.tokenizer.pair",
                                       "flotilla.tokenizer.pair_types"};
    const struct flo_gguf_kv *lists[FLO_COUNT(keys)];
    uint64_t segments = vocab->kind == FLO_VOCAB_WORDPIECE ? 2 : 1;
    FLO_TRY(flo_gguf_u64(gguf, "tokenizer.ggml.token_type_count", &segments, err));
    vocab->has_segments = segments > 1;
    for (size_t i = 0; i < FLO_COUNT(keys); i++) {
        FLO_TRY(flo_gguf_array(gguf, keys[i], FLO_GGUF_I32, &lists[i], err));
    }
    for (int32_t i = 0; i < 2; i++) {
        int rv = lists[i] != NULL ? load_form(vocab, lists[i], i + 1,
                                              i == 0 ? &vocab->single : &vocab->pair, err)
                                  : 0;
        if (rv < 0) {
            return flo_wrap(err, rv, "%s", keys[i]);
        }
    }
    int rv = set_segments(vocab, lists[1] != NULL ? lists[2] : NULL, err);
    return rv < 0 ? flo_wrap(err, rv, "%s", keys[2]) : 0;
}

static void add_item(struct flo_pair_form *form, int32_t item, uint8_t segment)
{
    if (item != FLO_PAIR_NONE) {
        form->items[form->count] = item;
        form->segments[form->count++] = segment;
    }
}

struct flo_pair_form flo_vocab_form(const struct flo_vocab *vocab, bool has_second)
{
    const struct flo_vocab_facts *facts = &vocab->facts;
    struct flo_pair_form form = has_second ? vocab->pair : vocab->single;
    if (form.count > 0) {
        return form;
    }
    uint8_t last = has_second && vocab->has_segments;
    int32_t bos = facts->adds_bos && facts->bos >= 0 ? facts->bos : FLO_PAIR_NONE;
    int32_t eos = facts->adds_eos && facts->eos >= 0 ? facts->eos : FLO_PAIR_NONE;
    int32_t between =
        facts->adds_separator && facts->separator >= 0 ? facts->separator : FLO_PAIR_NONE;
    add_item(&form, bos, 0);
    add_item(&form, FLO_PAIR_FIRST, 0);
    add_item(&form, eos, 0);
    if (has_second) {
        add_item(&form, between, 0);
        add_item(&form, FLO_PAIR_SECOND, last);
        add_item(&form, eos, last);
    }
    return form;
}
