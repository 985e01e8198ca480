/* Passes: computes passes with batches of llama.cpp's library, whose cache
 * follows the tokens of the sessions. */
#include <string.h>

#include <flotilla/errors/infer.h>
#include <flotilla/errors/model.h>

#include "engine/llama/llama_filler.h"

static struct flo_llama *of(const struct flo_engine *e)
{
    return e->library;
}

/* ---- the cache ---- */

/* Drops the tokens of a sequence from `position` on.  A recurrent state cannot
 * go back, so then all tokens are dropped. */
static void cut(struct flo_llama *l, uint32_t index, uint32_t position)
{
    llama_memory_t memory = llama_get_memory(l->context);

    if (memory == NULL) {
        l->held[index] = 0;
    } else if (position < l->held[index]) {
        if (position == 0 ||
            !llama_memory_seq_rm(memory, (llama_seq_id)index, (llama_pos)position, -1)) {
            llama_memory_seq_rm(memory, (llama_seq_id)index, -1, -1);
            position = 0;
        }
        l->held[index] = position;
    }
}

void flo_llama_copy(struct flo_session *session, const struct flo_session *from, uint32_t count)
{
    struct flo_llama *l = of(session->engine);
    llama_memory_t memory = llama_get_memory(l->context);

    cut(l, session->index, 0);
    /* A recurrent state that is further than the copy could not be cut back.
     * Nothing is copied then, and the next pass computes the tokens. */
    if (memory != NULL && (l->cuts || l->held[from->index] == count)) {
        llama_memory_seq_cp(memory, (llama_seq_id)from->index, (llama_seq_id)session->index, -1,
                            -1);
        l->held[session->index] = l->held[from->index];
        cut(l, session->index, count);
    }
}

void flo_llama_drop(struct flo_session *session)
{
    struct flo_llama *l = of(session->engine);

    if (l != NULL && l->context != NULL) {
        cut(l, session->index, 0);
    }
}

/* ---- a batch ---- */

static void add_row(struct flo_llama *l, int32_t token, uint32_t position, uint32_t sequence,
                    bool has_output)
{
    struct llama_batch *b = &l->batch;
    int32_t i = b->n_tokens++;

    b->token[i] = token;
    b->pos[i] = (llama_pos)position;
    b->n_seq_id[i] = 1;
    b->seq_id[i][0] = (llama_seq_id)sequence;
    b->logits[i] = has_output;
}

static int decode(struct flo_llama *l, struct flo_err *err)
{
    int32_t rv = llama_decode(l->context, l->batch);

    return rv == 0   ? 0
           : rv == 2 ? flo_fail(err, FLO_E_INFER_CANCELLED, "cancelled in a pass")
                     : flo_llama_fail(err, FLO_E_MODEL_BACKEND, "llama_decode");
}

/* Computes the tokens of the session that the library's cache lacks. */
static int catch_up(struct flo_engine *e, const struct flo_session *session, struct flo_err *err)
{
    struct flo_llama *l = of(e);
    uint32_t *held = &l->held[session->index];

    cut(l, session->index, session->position);
    while (*held < session->position) {
        uint32_t left = session->position - *held;
        uint32_t here = left < e->sizes.batch ? left : e->sizes.batch;

        l->batch.n_tokens = 0;
        for (uint32_t t = 0; t < here; t++) {
            add_row(l, session->tokens[*held + t], *held + t, session->index, false);
        }
        FLO_TRY(decode(l, err));
        *held += here;
    }
    return 0;
}

static void want_states(struct flo_llama *l, bool states)
{
    if (l->states != states) {
        llama_set_embeddings(l->context, states);
        l->states = states;
    }
}

static void fill_batch(struct flo_llama *l, const struct flo_request *request)
{
    uint32_t wanted = 0, row = 0;

    l->batch.n_tokens = 0;
    for (uint32_t i = 0; i < request->span_count; i++) {
        const struct flo_span *span = &request->spans[i];

        for (uint32_t t = 0; t < span->count; t++, row++) {
            bool is_wanted = wanted < request->wanted_count && request->wanted[wanted].row == row;

            if (is_wanted) {
                l->outputs[wanted++] = (int32_t)row;
            }
            add_row(l, span->tokens[t], span->session->position + t, span->session->index,
                    is_wanted || request->states);
        }
    }
}

/* Drops the rows of a batch that failed, because some of them may be in the
 * cache. */
static void drop_rows(struct flo_llama *l, const struct flo_request *request)
{
    for (uint32_t i = 0; i < request->span_count; i++) {
        const struct flo_span *span = &request->spans[i];

        l->held[span->session->index] = span->session->position + span->count;
        cut(l, span->session->index, span->session->position);
    }
}

int flo_llama_pass(struct flo_engine *e, const struct flo_request *request, struct flo_err *err)
{
    struct flo_llama *l = of(e);
    int rv = 0;

    l->stops = request->stops;
    l->stops_context = request->context;
    want_states(l, request->states);
    for (uint32_t i = 0; rv == 0 && i < request->span_count; i++) {
        rv = catch_up(e, request->spans[i].session, err);
    }
    if (rv == 0) {
        fill_batch(l, request);
        rv = decode(l, err);
    }
    l->stops = NULL;
    if (rv < 0) {
        drop_rows(l, request);
        return rv;
    }
    for (uint32_t i = 0; i < request->span_count; i++) {
        const struct flo_span *span = &request->spans[i];
        l->held[span->session->index] = span->session->position + span->count;
    }
    if (request->logits != NULL) {
        flo_llama_rows(e, 0, 1, request->logits);
    }
    return 0;
}

void flo_llama_rows(struct flo_engine *e, uint32_t first, uint32_t count, float *logits)
{
    struct flo_llama *l = of(e);
    size_t n = e->hparams.n_vocab;

    for (uint32_t i = 0; i < count; i++) {
        const float *row = llama_get_logits_ith(l->context, l->outputs[first + i]);

        if (row != NULL) {
            memcpy(logits + i * n, row, n * sizeof(float));
        } else { /* the library has no logits for this row, so all are NaN */
            memset(logits + i * n, 0xff, n * sizeof(float));
        }
    }
}

int flo_llama_vector(struct flo_session *session, const int32_t *tokens, size_t count,
                     float *vector, struct flo_err *err)
{
    struct flo_engine *e = session->engine;
    struct flo_llama *l = of(e);
    const float *made;
    int rv;

    want_states(l, true);
    cut(l, session->index, 0);
    l->batch.n_tokens = 0;
    for (uint32_t t = 0; t < count; t++) {
        add_row(l, tokens[t], t, session->index, true);
    }
    rv = decode(l, err);
    l->held[session->index] = (uint32_t)count;
    cut(l, session->index, 0);
    FLO_TRY(rv);
    made = llama_get_embeddings_seq(l->context, (llama_seq_id)session->index);
    if (made == NULL) {
        return flo_llama_fail(err, FLO_E_MODEL_BACKEND, "llama.cpp gives no vector");
    }
    memcpy(vector, made, l->values * sizeof(float));
    return 0;
}

const float *flo_llama_state(struct flo_engine *e, uint32_t row)
{
    const float *state = llama_get_embeddings_ith(of(e)->context, (int32_t)row);

    return state != NULL ? state : e->scratch.y;
}
