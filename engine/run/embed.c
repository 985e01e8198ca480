/* Texts to vectors in the engine process: input by input, each in pieces, so
 * that answers go on between two of them and a cancel is seen soon. */
#include "engine/run/run.h"

#include <stdlib.h>
#include <string.h>

#include <flotilla/engine_output.h>

enum { EMBEDS_MAX = 64 };

struct input {
    int32_t *tokens;
    size_t count;
};

struct flo_embed {
    struct flo_embed *next;
    uint32_t request;
    enum flo_pooling pooling;
    uint64_t made_at_us, started_at_us;
    struct flo_wire_done counts; /* as they go out at the end */
    uint32_t n_inputs, at;       /* at: the one under way */
    size_t n_fed;                /* of its tokens */
    float *vector;               /* [n_embd], behind the inputs */
    struct input inputs[];
};

/* Take it out of the list. */
static void drop(struct flo_embed **place)
{
    struct flo_embed *embed = *place;

    *place = embed->next;
    for (uint32_t i = 0; i < embed->n_inputs; i++) {
        free(embed->inputs[i].tokens);
    }
    free(embed);
}

/* ---- a request --------------------------------------------------- */

static int read_input(const struct flo_engine *engine,
                      const struct flo_wire_embed *in, uint32_t i,
                      struct input *out, struct flo_err *err)
{
    int rv = flo_tokens_read(
        engine, in->inputs[i].data,
        in->inputs[i].is_tokens ? FLO_TEXT_IDS : FLO_TEXT_SPECIAL,
        flo_engine_info(engine)->context, &out->tokens, &out->count, err);

    if (rv == 0 && out->count == 0) {
        rv = flo_fail(err, FLO_E_INFER_PARAM, "it is empty");
    }
    return rv < 0 ? flo_wrap(err, rv, "input %u", i) : 0;
}

int flo_embeds_add(struct flo_embed **embeds, const struct flo_engine *engine,
                   const struct flo_wire_message *message, struct flo_err *err)
{
    const struct flo_wire_embed *in = &message->embed;
    struct flo_embed **place = embeds, *embed;
    int waiting = 0, rv = 0;

    for (; *place != NULL; place = &(*place)->next) {
        waiting++;
    }
    if (waiting == EMBEDS_MAX || in->n_inputs == 0) {
        return waiting == EMBEDS_MAX
                   ? flo_fail(err, FLO_E_INFER_BUSY,
                              "%d requests for vectors wait already", waiting)
                   : flo_fail(err, FLO_E_INFER_PARAM, "no input");
    }
    embed = calloc(1, sizeof(*embed) + in->n_inputs * sizeof(*embed->inputs) +
                          flo_engine_info(engine)->n_embd * sizeof(float));
    if (embed == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for a request");
    }
    embed->request = message->request;
    embed->pooling = in->takes_last ? FLO_POOLING_LAST : FLO_POOLING_MEAN;
    embed->made_at_us = flo_now_us();
    embed->n_inputs = in->n_inputs;
    embed->vector = (float *)(embed->inputs + in->n_inputs);
    for (uint32_t i = 0; rv == 0 && i < in->n_inputs; i++) {
        rv = read_input(engine, in, i, &embed->inputs[i], err);
    }
    if (rv < 0) {
        drop(&embed);
        return rv;
    }
    *place = embed;
    return 0;
}

/* ---- steps ------------------------------------------------------- */

static void end(struct flo_embed **embeds, enum flo_wire_reason reason,
                struct flo_buf *out)
{
    struct flo_embed *embed = *embeds;
    uint64_t started_us =
        embed->started_at_us > 0 ? embed->started_at_us : flo_now_us();
    struct flo_wire_message answer = {.type = FLO_WIRE_DONE,
                                      .request = embed->request,
                                      .done = embed->counts};

    answer.done.reason = reason;
    answer.done.queue_us = started_us - embed->made_at_us;
    flo_frame_put(out, &answer);
    drop(embeds);
}

static int put_vector(struct flo_embed *embed, uint32_t n_embd,
                      struct flo_buf *out, struct flo_err *err)
{
    struct flo_wire_message answer = {.type = FLO_WIRE_EMBEDDING,
                                      .request = embed->request};

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
    answer.embedding.tokens_in = (uint32_t)embed->inputs[embed->at].count;
    answer.embedding.vector =
        (struct flo_wire_text){(const char *)embed->vector, 4 * (size_t)n_embd};
    return flo_wire_write(out, &answer, err);
}

bool flo_embeds_is_between(const struct flo_embed *embeds)
{
    return embeds == NULL || embeds->n_fed == 0;
}

static int step(struct flo_embed *embed, struct flo_session *session,
                size_t piece, struct flo_err *err)
{
    const struct input *input = &embed->inputs[embed->at];
    size_t left = input->count - embed->n_fed;
    uint64_t began_us = flo_now_us();

    if (embed->n_fed == 0) {
        flo_session_reset(session);
    }
    if (embed->started_at_us == 0) {
        embed->started_at_us = began_us;
    }
    piece = piece < left ? piece : left;
    int rv = flo_session_embed(session, input->tokens + embed->n_fed, piece,
                               embed->pooling, embed->vector, err);
    embed->n_fed += piece;
    embed->counts.prompt_wall_us += flo_now_us() - began_us;
    embed->counts.tokens_in += (uint32_t)piece;
    return rv;
}

bool flo_embeds_step(struct flo_embed **embeds, const struct flo_engine *engine,
                     struct flo_session *session, size_t piece,
                     struct flo_buf *out)
{
    uint32_t n_embd = flo_engine_info(engine)->n_embd;
    struct flo_embed *embed = *embeds;
    struct flo_err err = {0};

    if (embed == NULL) {
        return false;
    }
    int rv = step(embed, session, piece, &err);
    if (rv == 0 && embed->n_fed == embed->inputs[embed->at].count) {
        rv = put_vector(embed, n_embd, out, &err);
        memset(embed->vector, 0, n_embd * sizeof(*embed->vector));
        embed->n_fed = 0;
        embed->at++;
    }
    if (rv < 0) {
        flo_frame_fail(out, embed->request, &err);
        drop(embeds);
    } else if (embed->at == embed->n_inputs) {
        end(embeds, FLO_WIRE_STOP, out);
    }
    return true;
}

bool flo_embeds_cancel(struct flo_embed **embeds, uint32_t request,
                       struct flo_buf *out)
{
    for (; *embeds != NULL; embeds = &(*embeds)->next) {
        if ((*embeds)->request == request) {
            end(embeds, FLO_WIRE_CANCELLED, out);
            return true;
        }
    }
    return false;
}

void flo_embeds_close(struct flo_embed **embeds)
{
    while (*embeds != NULL) {
        drop(embeds);
    }
}
