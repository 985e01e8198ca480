/* Pair: puts the model's special tokens around a text, or two. */
#include "engine/token/vocab/vocab.h"

#include <inttypes.h>

#include <flotilla/errors/gguf.h>

static void add_item(struct flo_pair_form *form, int32_t item, uint8_t segment)
{
    if (item != FLO_PAIR_NONE) {
        form->items[form->count] = item;
        form->segments[form->count++] = segment;
    }
}

/* Returns the form of a file that brings none of its own. */
static struct flo_pair_form usual_form(const struct flo_vocab *vocab, bool has_second)
{
    const struct flo_vocab_facts *facts = &vocab->facts;
    struct flo_pair_form form = {0};
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
    for (uint64_t i = 0; i < items->count; i++) {
        int32_t item = (int32_t)flo_get_u32(items->data + 4 * i);
        uint32_t segment = types != NULL ? flo_get_u32(types->data + 4 * i) : 0;
        if (item < FLO_PAIR_SECOND || item >= vocab->facts.count || segment > 1) {
            return flo_fail(err, FLO_E_GGUF_VOCAB,
                            "item %" PRIu64 " of %s is %" PRId32 " in segment %" PRIu32, i,
                            items_key, item, segment);
        }
        add_item(&vocab->pair, item, (uint8_t)segment);
    }
    return 0;
}

int flo_tokenize_pair(const struct flo_vocab *vocab, const struct flo_text_pair *pair,
                      struct flo_tokens *tokens, struct flo_buf *segments, struct flo_err *err)
{
    bool has_second = pair->second != NULL;
    struct flo_pair_form form =
        has_second && vocab->pair.count > 0 ? vocab->pair : usual_form(vocab, has_second);
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
