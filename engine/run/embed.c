/* Texts to vectors in the engine process, input by input and each in pieces.
 * Answers go on between two pieces, and a cancel is seen soon. */
#include "engine/run/run.h"

#include <stdlib.h>
#include <string.h>

#include <flotilla/engine_output.h>

static int read_input(const struct flo_engine *engine,
                      const struct flo_wire_embed *in, uint32_t i,
                      int32_t **tokens, size_t *count, struct flo_err *err)
{
    int rv = flo_tokens_read(
        engine, in->inputs[i].data,
        in->inputs[i].is_tokens ? FLO_TEXT_IDS
                                : FLO_TEXT_SPECIAL | FLO_TEXT_ENDS,
        flo_engine_info(engine)->context, tokens, count, err);

    if (rv == 0 && *count == 0) {
        free(*tokens);
        *tokens = NULL;
        rv = flo_fail(err, FLO_E_INFER_PARAM, "it is empty");
    }
    if (rv == 0 && in->prompt_max > 0 && *count > in->prompt_max) {
        free(*tokens);
        *tokens = NULL;
        rv = flo_fail(err, FLO_E_INFER_TOO_LONG,
                      "it has %zu tokens, its app may send %u", *count,
                      in->prompt_max);
    }
    return rv < 0 ? flo_wrap(err, rv, "input %u", i) : 0;
}

/* All inputs are read once before the first vector.  A bad input thus fails the
 * request before anything is computed.  The tokens of all inputs together would
 * take more than is planned. */
static int check_inputs(const struct flo_engine *engine,
                        const struct flo_wire_embed *in, struct flo_err *err)
{
    int rv = 0;

    for (uint32_t i = 0; rv == 0 && i < in->n_inputs; i++) {
        int32_t *tokens = NULL;
        size_t count;
        rv = read_input(engine, in, i, &tokens, &count, err);
        free(tokens);
    }
    return rv;
}

static int begin_input(struct flo_embed *embed, const struct flo_engine *engine,
                       struct flo_session *session,
                       const struct flo_wire_embed *in, struct flo_err *err)
{
    int rv = 0;

    if (embed->started_at_us == 0) {
        embed->started_at_us = flo_now_us();
        rv = check_inputs(engine, in, err);
    }
    if (rv == 0) {
        rv = read_input(engine, in, embed->at, &embed->tokens, &embed->count,
                        err);
    }
    flo_session_reset(session);
    memset(embed->vector, 0,
           flo_engine_info(engine)->n_embd * sizeof(*embed->vector));
    return rv;
}

static int compute(struct flo_embed *embed, struct flo_session *session,
                   enum flo_pooling pooling, size_t piece, struct flo_err *err)
{
    size_t left = embed->count - embed->n_fed;
    uint64_t began_us = flo_now_us();

    piece = piece < left ? piece : left;
    int rv = flo_session_embed(session, embed->tokens + embed->n_fed, piece,
                               pooling, embed->vector, err);
    embed->n_fed += piece;
    embed->counts.prompt_wall_us += flo_now_us() - began_us;
    embed->counts.tokens_in += (uint32_t)piece;
    return rv;
}

static int put_vector(struct flo_embed *embed, uint32_t request,
                      uint32_t n_embd, struct flo_buf *out, struct flo_err *err)
{
    struct flo_wire_message answer = {.type = FLO_WIRE_EMBEDDING,
                                      .request = request};

    if (!flo_embedding_finish(embed->vector, n_embd)) {
        return flo_fail(err, FLO_E_MODEL_NONFINITE,
                        "the vector of input %u is not finite", embed->at);
    }
    for (uint32_t i = 0; i < n_embd; i++) {
        uint32_t bits;
        memcpy(&bits, &embed->vector[i], sizeof(bits));
        flo_put_u32(&embed->vector[i], bits);
    }
    answer.embedding.index = embed->at;
    answer.embedding.tokens_in = (uint32_t)embed->count;
    answer.embedding.vector =
        (struct flo_wire_text){(const char *)embed->vector, 4 * (size_t)n_embd};
    return flo_wire_write(out, &answer, err);
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
                    struct flo_session *session,
                    const struct flo_wire_message *message, size_t piece,
                    struct flo_buf *out, struct flo_err *err)
{
    const struct flo_wire_embed *in = &message->embed;
    int rv = 0;

    if (embed->n_fed == 0) {
        rv = begin_input(embed, engine, session, in, err);
    }
    if (rv == 0) {
        rv = compute(embed, session,
                     in->takes_last ? FLO_POOLING_LAST : FLO_POOLING_MEAN,
                     piece, err);
    }
    if (rv == 0 && embed->n_fed == embed->count) {
        rv = put_vector(embed, message->request,
                        flo_engine_info(engine)->n_embd, out, err);
        end_input(embed);
        embed->at++;
    }
    return rv < 0 || embed->at == in->n_inputs;
}
