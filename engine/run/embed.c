/* Embed: computes vectors of texts, and scores of documents for a query, in the
 * engine process.  Inputs are computed one after another, in pieces.  Between
 * two pieces answers continue and cancels are noticed. */
#include "engine/run/run.h"

#include <stdlib.h>
#include <string.h>

#include <flotilla/engine_output.h>
#include <flotilla/engine_step.h>

#define CHECK_BYTES (64u << 10) /* bytes of text that the check tokenises in one step */

uint32_t flo_embed_count(const struct flo_wire_embed *in)
{
    return in->ranks && in->n_inputs > 0 ? in->n_inputs - 1 : in->n_inputs;
}

/* ---- tokens ---- */

static int read_pair(const struct flo_engine *engine, const struct flo_wire_embed *in, uint32_t i,
                     int32_t **tokens, size_t *count, struct flo_err *err)
{
    const struct flo_wire_text *query = &in->inputs[0].data;
    const struct flo_wire_text *document = &in->inputs[i + 1].data;
    const struct flo_rank_pair pair = {query->data, query->bytes, document->data, document->bytes};
    uint32_t context = flo_engine_info(engine)->context;

    if (in->inputs[0].is_tokens || in->inputs[i + 1].is_tokens) {
        return flo_fail(err, FLO_E_INFER_PARAM, "it or the query is no text");
    }
    *tokens = malloc(context * sizeof(**tokens));
    if (*tokens == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for %u tokens", context);
    }
    return flo_engine_pair(engine, &pair, *tokens, context, count, err);
}

static int read_text(const struct flo_engine *engine, const struct flo_wire_embed *in, uint32_t i,
                     int32_t **tokens, size_t *count, struct flo_err *err)
{
    return flo_tokens_read(engine, in->inputs[i].data,
                           in->inputs[i].is_tokens ? FLO_TEXT_IDS
                                                   : FLO_TEXT_SPECIAL | FLO_TEXT_ENDS,
                           flo_engine_info(engine)->context, tokens, count, err);
}

static int read_input(const struct flo_engine *engine, const struct flo_wire_embed *in, uint32_t i,
                      int32_t **tokens, size_t *count, struct flo_err *err)
{
    int rv;

    *tokens = NULL;
    rv = (in->ranks ? read_pair : read_text)(engine, in, i, tokens, count, err);
    if (rv == 0 && *count == 0) {
        rv = flo_fail(err, FLO_E_INFER_PARAM, "it is empty");
    }
    if (rv == 0 && in->prompt_max > 0 && *count > in->prompt_max) {
        rv = flo_fail(err, FLO_E_INFER_TOO_LONG, "it has %zu tokens, its app may send %u", *count,
                      in->prompt_max);
    }
    if (rv == 0) {
        return 0;
    }
    free(*tokens);
    *tokens = NULL;
    return flo_wrap(err, rv, in->ranks ? "document %u with the query" : "input %u", i);
}

/* Tokenises all inputs once before the first vector, so a bad input fails the
 * request before anything is computed.  Keeping the tokens of all inputs would
 * exceed the planned memory. */
static int check_inputs(struct flo_embed *embed, const struct flo_engine *engine,
                        const struct flo_wire_embed *in, struct flo_err *err)
{
    size_t bytes = 0;
    int rv = 0;

    while (rv == 0 && embed->n_checked < flo_embed_count(in) && bytes < CHECK_BYTES) {
        uint32_t i = embed->n_checked++;
        int32_t *tokens = NULL;
        size_t count;
        rv = read_input(engine, in, i, &tokens, &count, err);
        free(tokens);
        bytes += in->inputs[i + in->ranks].data.bytes + (in->ranks ? in->inputs[0].data.bytes : 0);
    }
    return rv;
}

/* ---- computing ---- */

/* Prepares the session for the next pair.  Pairs begin with the same tokens, up
 * to the document, so the session keeps those of the last pair.  Returns how
 * many it keeps. */
static uint32_t begin_alike(const struct flo_embed *embed, struct flo_session *session)
{
    uint32_t same = 0;

    if (embed->at > 0) {
        same = flo_session_common(session, embed->tokens, embed->count);
        same = flo_session_held(session, same < embed->count ? same : (uint32_t)embed->count - 1);
    }
    flo_session_truncate(session, same);
    return same;
}

static int begin_input(struct flo_embed *embed, const struct flo_engine *engine,
                       struct flo_session *session, const struct flo_wire_embed *in,
                       struct flo_err *err)
{
    FLO_TRY(read_input(engine, in, embed->at, &embed->tokens, &embed->count, err));
    if (in->ranks) {
        embed->n_fed = begin_alike(embed, session);
        embed->counts.tokens_in += (uint32_t)embed->n_fed;
        embed->counts.cached_tokens += (uint32_t)embed->n_fed;
    } else {
        flo_session_reset(session);
    }
    memset(embed->vector, 0, flo_engine_info(engine)->n_embd * sizeof(*embed->vector));
    return 0;
}

static int compute(struct flo_embed *embed, const struct flo_engine *engine,
                   struct flo_session *session, enum flo_pooling pooling, size_t piece,
                   struct flo_err *err)
{
    size_t left = embed->count - embed->n_fed;
    uint64_t began_us = flo_now_us();

    bool is_whole = (flo_engine_info(engine)->properties & FLO_COMPUTE_POOLS) != 0;
    piece = piece < left && !is_whole ? piece : left;
    int rv = flo_session_embed(session, embed->tokens + embed->n_fed, piece, pooling, embed->vector,
                               err);
    embed->n_fed += piece;
    embed->counts.prompt_wall_us += flo_now_us() - began_us;
    embed->counts.tokens_in += (uint32_t)piece;
    return rv;
}

/* ---- the answer ---- */

/* Replaces the document's state in `vector` by its score. */
static int score(struct flo_embed *embed, const struct flo_engine *engine, struct flo_err *err)
{
    double score;
    int rv = flo_engine_rank(engine, embed->vector, &score, err);

    if (rv < 0) {
        return flo_wrap(err, rv, "document %u", embed->at);
    }
    embed->vector[0] = (float)score;
    return 0;
}

static int put_vector(struct flo_embed *embed, uint32_t request, uint32_t values,
                      struct flo_buf *out, struct flo_err *err)
{
    struct flo_wire_message answer = {.type = FLO_WIRE_EMBEDDING, .request = request};

    for (uint32_t i = 0; i < values; i++) {
        flo_put_f32(&embed->vector[i], embed->vector[i]);
    }
    answer.embedding.index = embed->at;
    answer.embedding.tokens_in = (uint32_t)embed->count;
    answer.embedding.vector =
        (struct flo_wire_text){(const char *)embed->vector, 4 * (size_t)values};
    return flo_wire_write(out, &answer, err);
}

static int answer(struct flo_embed *embed, const struct flo_engine *engine,
                  const struct flo_wire_message *message, struct flo_buf *out, struct flo_err *err)
{
    uint32_t n_embd = flo_engine_info(engine)->n_embd;
    int rv = 0;

    if (message->embed.ranks) {
        rv = score(embed, engine, err);
    } else if (!flo_embedding_end(flo_engine_info(engine), embed->vector)) {
        rv =
            flo_fail(err, FLO_E_MODEL_NONFINITE, "the vector of input %u is not finite", embed->at);
    }
    FLO_TRY(rv);
    return put_vector(embed, message->request, message->embed.ranks ? 1 : n_embd, out, err);
}

static void end_input(struct flo_embed *embed)
{
    free(embed->tokens);
    embed->tokens = NULL;
    embed->n_fed = 0;
}

void flo_embed_reset(struct flo_embed *embed)
{
    end_input(embed);
    *embed = (struct flo_embed){.vector = embed->vector};
}

bool flo_embed_step(struct flo_embed *embed, const struct flo_engine *engine,
                    struct flo_session *session, const struct flo_wire_message *message,
                    size_t piece, struct flo_buf *out, struct flo_err *err)
{
    const struct flo_wire_embed *in = &message->embed;
    bool is_last = in->takes_last || in->ranks;
    int rv = 0;

    if (embed->n_checked < flo_embed_count(in)) {
        embed->started_at_us = embed->n_checked == 0 ? flo_now_us() : embed->started_at_us;
        rv = check_inputs(embed, engine, in, err);
        if (rv < 0 || embed->n_checked < flo_embed_count(in)) {
            return rv < 0;
        }
    }
    if (embed->n_fed == 0) {
        rv = begin_input(embed, engine, session, in, err);
    }
    if (rv == 0) {
        rv = compute(embed, engine, session, is_last ? FLO_POOLING_LAST : FLO_POOLING_MEAN, piece,
                     err);
    }
    if (rv == 0 && embed->n_fed == embed->count) {
        rv = answer(embed, engine, message, out, err);
        end_input(embed);
        embed->at++;
    }
    return rv < 0 || embed->at == flo_embed_count(in);
}
