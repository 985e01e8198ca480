/* Rank: tokenises query and document as one text, and computes a score from the
 * state of its last token. */
#include <flotilla/engine_output.h>
#include <flotilla/errors/model.h>

#include <math.h>
#include <string.h>

#include "engine/model/session.h"

#define FORM_KEY "tokenizer.chat_template.rerank"
#define PLACES_MAX 8 /* most placeholders that a form may have */

static int need_head(const struct flo_engine *engine, struct flo_err *err)
{
    return engine->info.labels > 0 ? 0
                                   : flo_fail(err, FLO_E_INFER_PARAM,
                                              "the model ranks no documents: its file has no "
                                              "cls.output.weight");
}

/* ---- the text ---- */

enum { QUERY, DOCUMENT, PLACES };
static const struct flo_gguf_text places[PLACES] = {
    {"{query}", 7},
    {"{document}", 10},
};

struct form {
    struct flo_text_span spans[2 * PLACES_MAX + 1];
    size_t count;
    bool has[PLACES];
};

static struct flo_text_span text_of(const struct flo_rank_pair *pair, int place)
{
    bool is_query = place == QUERY;

    return (struct flo_text_span){
        .data = is_query ? pair->query : pair->document,
        .bytes = is_query ? pair->query_bytes : pair->document_bytes,
        .is_message = true,
    };
}

/* Returns the placeholder that begins here, or PLACES if none does. */
static int place_at(const char *text, size_t bytes)
{
    int i = 0;

    while (i < PLACES &&
           (bytes < places[i].bytes || memcmp(text, places[i].data, places[i].bytes) != 0)) {
        i++;
    }
    return i;
}

/* Puts the texts of query and document into the form.  A placeholder inside
 * these texts is not replaced. */
static int fill_form(struct flo_gguf_text form, const struct flo_rank_pair *pair, struct form *out,
                     struct flo_err *err)
{
    size_t begin = 0;

    for (size_t at = 0; at <= form.bytes; at++) {
        int place = place_at(form.data + at, form.bytes - at);
        if (place == PLACES && at < form.bytes) {
            continue;
        }
        out->spans[out->count++] = (struct flo_text_span){
            .data = form.data + begin, .bytes = at - begin, .is_special = true};
        if (place == PLACES) {
            break;
        }
        if (out->count == 2 * PLACES_MAX + 1) {
            return flo_fail(err, FLO_E_MODEL_TEMPLATE, FORM_KEY " has more than %d places",
                            PLACES_MAX);
        }
        out->spans[out->count++] = text_of(pair, place);
        out->has[place] = true;
        begin = at + places[place].bytes;
        at = begin - 1;
    }
    for (int i = 0; i < PLACES; i++) {
        if (!out->has[i]) {
            return flo_fail(err, FLO_E_MODEL_TEMPLATE, FORM_KEY " has no %s", places[i].data);
        }
    }
    return 0;
}

/* Joins query and document where the model has no form.  Each is followed by an
 * end token, and some models have a separator between the two. */
static int join(const struct flo_vocab *vocab, const struct flo_rank_pair *pair,
                struct flo_tokens *ids, struct flo_err *err)
{
    const struct flo_vocab_facts *facts = flo_vocab_facts(vocab);
    int32_t between = facts->adds_separator ? facts->separator : -1;

    if (!facts->adds_eos || facts->eos < 0) {
        return flo_fail(err, FLO_E_MODEL_TEMPLATE,
                        "the model's file has no " FORM_KEY
                        ", and no end token that would tell query and document "
                        "apart");
    }
    if (facts->adds_bos && facts->bos >= 0) {
        flo_tokens_add(ids, facts->bos);
    }
    for (int i = 0; i < PLACES; i++) {
        const struct flo_text_span span = text_of(pair, i);
        FLO_TRY(flo_tokenize_spans(vocab, &span, 1, ids, err));
        flo_tokens_add(ids, facts->eos);
        if (i == QUERY && between >= 0) {
            flo_tokens_add(ids, between);
        }
    }
    return ids->failed ? flo_fail(err, FLO_E_INFER_TOO_LONG,
                                  "query and document have more than %zu tokens", ids->count_max)
                       : 0;
}

/* Makes the ids of a pair as an encoder reads it.  The engine finds the second
 * text by the separator. */
static int encoder_pair(const struct flo_vocab *vocab, const struct flo_rank_pair *pair,
                        struct flo_tokens *ids, struct flo_err *err)
{
    const struct flo_text_pair texts = {
        .first = pair->query,
        .second = pair->document,
        .first_bytes = pair->query_bytes,
        .second_bytes = pair->document_bytes,
    };
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf segments = {0};
    return flo_tokenize_pair(vocab, &texts, ids, &segments, err);
}

int flo_engine_pair(const struct flo_engine *engine, const struct flo_rank_pair *pair,
                    int32_t *tokens, size_t tokens_max, size_t *count, struct flo_err *err)
{
    struct flo_tokens ids = {.ids = tokens, .capacity = tokens_max, .count_max = tokens_max};
    struct flo_gguf_text text = {0};
    struct form form = {0};

    FLO_TRY(need_head(engine, err));
    FLO_TRY(flo_engine_need_vocabulary(engine, err));
    FLO_TRY(flo_gguf_string(engine->gguf, FORM_KEY, &text, err));
    if (tokens_max == 0) { /* refused here, because a limit of 0 would mean no limit */
        return flo_fail(err, FLO_E_INFER_TOO_LONG, "no token fits");
    }
    if (text.bytes > FLO_TEMPLATE_BYTES_MAX) {
        return flo_fail(err, FLO_E_MODEL_TEMPLATE, FORM_KEY " has %zu bytes, at most %u can be",
                        text.bytes, FLO_TEMPLATE_BYTES_MAX);
    }
    if (engine->hparams.is_encoder) {
        FLO_TRY(encoder_pair(engine->vocab, pair, &ids, err));
    } else if (text.bytes == 0) {
        FLO_TRY(join(engine->vocab, pair, &ids, err));
    } else {
        FLO_TRY(fill_form(text, pair, &form, err));
        FLO_TRY(flo_tokenize_spans(engine->vocab, form.spans, form.count, &ids, err));
    }
    *count = ids.count;
    return 0;
}

/* ---- the score ---- */

int flo_engine_rank(const struct flo_engine *engine, const float *state, double *score,
                    struct flo_err *err)
{
    uint32_t labels = engine->info.labels, n = engine->hparams.n_embd;
    /* the library has applied the ranking head already */
    bool is_pooled = (engine->info.properties & FLO_COMPUTE_POOLS) != 0;
    const float *row = engine->weights.head_rows;
    const float *bias = engine->weights.head.bias;
    double first = 0, sum = 0, value;
    bool is_finite = true;

    FLO_TRY(need_head(engine, err));
    /* The sum gives the softmax of the first label: 1 / sum of exp(x[i] -
     * x[0]). */
    for (uint32_t i = 0; i < labels; i++) {
        value = is_pooled ? (double)state[i] : bias == NULL ? 0 : (double)bias[i];
        for (uint32_t k = 0; k < n && !is_pooled; k++) {
            value += (double)row[(size_t)i * n + k] * (double)state[k];
        }
        first = i == 0 ? value : first;
        sum += exp(value - first);
        is_finite &= isfinite(value) != 0;
    }
    if (!is_finite) {
        return flo_fail(err, FLO_E_MODEL_NONFINITE, "the score is not finite");
    }
    *score = labels == 1 ? first : 1 / sum;
    return 0;
}
