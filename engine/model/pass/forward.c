/* Forward: computes the pass of a batch, with rows of one or more sessions, in
 * one job of the thread pool. */
#include <flotilla/errors/infer.h>

#include <string.h>

#include "engine/model/file/packed.h"
#include "engine/model/pass/pass.h"

enum { FEW_ROWS = 4 }; /* passes with at most so many rows are limited by memory, not by cores */

/* Computes the logits of `count` rows of the pass, from row `first` on. */
static void output_part(struct flo_pass *pass, unsigned thread, uint32_t first, uint32_t count,
                        float *logits)
{
    struct flo_engine *e = pass->engine;
    const struct flo_weights *w = &e->weights;
    const struct flo_product product = {&w->output, logits, FLO_AFTER_OUTPUT_CAP};
    const struct flo_source source = {
        .values = e->scratch.x + (size_t)first * e->hparams.n_embd,
        .norm = w->output_norm,
        .norm_bias = w->output_norm_bias,
        .products = &product,
        .product_count = 1,
        .count = count,
    };

    flo_pass_multiply(pass, thread, &source);
}

static void forward_job(void *context, unsigned thread)
{
    struct flo_pass *pass = context;
    struct flo_engine *e = pass->engine;

    if (e->hparams.n_per_layer > 0) {
        flo_own_make(pass, thread);
    }
    if (e->hparams.n_streams > 0) {
        flo_streams_spread(pass, thread);
    }
    for (uint32_t i = 0; i < e->hparams.n_layer; i++) {
        /* All threads read the flag `stop` between the first and the last
         * barrier of this layer, so they agree.  A layer without a mixer does not
         * read it; the next one does. */
        if (thread == 0 && pass->request->stops != NULL && !pass->stop) {
            pass->stop = pass->request->stops(pass->request->context);
        }
        if (!flo_pass_block(pass, thread, i)) {
            return;
        }
    }
    if (e->hparams.n_streams > 0) {
        flo_streams_merge(pass, thread);
    }
    if (pass->request->logits != NULL) {
        output_part(pass, thread, pass->request->wanted[0].row, 1, pass->request->logits);
    }
}

static void rows_job(void *context, unsigned thread)
{
    struct flo_pass *pass = context;

    output_part(pass, thread, pass->first, pass->count, pass->logits);
}

static int embed(struct flo_engine *e, uint32_t row, const int32_t *tokens, uint32_t count,
                 struct flo_err *err)
{
    uint8_t *room = (uint8_t *)e->scratch.y;
    const struct flo_matrix *m = &e->weights.embedding;
    float scale = e->hparams.embedding_scale;

    for (size_t t = 0; t < count; t++) {
        float *x = e->scratch.x + (row + t) * m->columns;
        const uint8_t *values;

        FLO_TRY(flo_packed_embedding(e, m, tokens[t], room, &values, err));
        m->type->decode(values, x, m->columns);
        flo_pass_scale(x, m->columns, scale);
    }
    return 0;
}

/* Adds an encoder's embeddings of positions and kinds of text, and normalises
 * the sum.  Behind the first separator stands the second text of a pair. */
static void embed_encoded(struct flo_engine *e, uint32_t row, const struct flo_span *span)
{
    const struct flo_weights *w = &e->weights;
    size_t n = e->hparams.n_embd, type = 0;
    int32_t separator = e->vocab == NULL ? -1 : flo_vocab_facts(e->vocab)->separator;

    for (size_t t = 0; t < span->count; t++) {
        float *x = e->scratch.x + (row + t) * n;

        if (w->positions != NULL) {
            e->kernel->add(x, w->positions + (span->session->position + t) * n, n);
        }
        if (w->types != NULL) {
            e->kernel->add(x, w->types + type * n, n);
        }
        if (w->embedding_norm != NULL) {
            flo_pass_norm(e, x, w->embedding_norm, w->embedding_norm_bias, n, x);
        }
        if (span->tokens[t] == separator && e->hparams.n_types > 1) {
            type = 1;
        }
    }
}

/* Appends the rows of a span to the pass. */
static int add_span(struct flo_pass *pass, const struct flo_span *span, struct flo_err *err)
{
    uint32_t position = span->session->position;

    FLO_TRY(embed(pass->engine, pass->count, span->tokens, span->count, err));
    if (pass->engine->hparams.is_encoder) {
        embed_encoded(pass->engine, pass->count, span);
    }
    FLO_TRY(flo_own_embed(pass->engine, pass->count, span->tokens, span->count, err));
    flo_rope_make_tables(pass->engine, pass->count, position, span->count);
    for (uint32_t t = 0; t < span->count; t++) {
        pass->sessions[pass->count + t] = span->session;
    }
    for (uint32_t t = 0; t < span->count; t += FLO_PIECE_ROWS) {
        uint32_t left = span->count - t;

        pass->pieces[pass->piece_count++] = (struct flo_piece){
            .session = span->session,
            .position = position + t,
            .end = position + span->count,
            .first = (uint16_t)(pass->count + t),
            .count = (uint16_t)(left < FLO_PIECE_ROWS ? left : FLO_PIECE_ROWS),
        };
    }
    pass->has_adapters |= span->session->adapter != NULL;
    pass->count += span->count;
    return 0;
}

/* Runs one pass.  The time that it takes decides how many threads the next pass
 * gets. */
static void run_pass(struct flo_pass *pass)
{
    struct flo_pool *pool = pass->engine->pool;
    struct flo_threads *threads = &pass->engine->pass_threads[pass->count > FEW_ROWS];

    if (threads->most == 1) { /* there is no choice of threads, so no clock is read */
        flo_pool_run(pool, 1, forward_job, pass);
        return;
    }
    uint64_t started_us = flo_now_us(), ran_us = flo_thread_us();

    flo_pool_run(pool, flo_threads_next(threads), forward_job, pass);
    if (!pass->stop) {
        flo_threads_learn(threads, (double)(flo_now_us() - started_us) / pass->count,
                          (double)(flo_thread_us() - ran_us) / pass->count);
    }
}

/* Moves the wanted rows of the residual stream to the stream's beginning. */
static void gather(struct flo_engine *e, const struct flo_request *request)
{
    size_t n = e->hparams.n_embd;

    for (size_t i = 0; i < request->wanted_count; i++) {
        if (request->wanted[i].row != i) {
            memcpy(e->scratch.x + i * n, e->scratch.x + request->wanted[i].row * n,
                   n * sizeof(float));
        }
    }
}

/* Tells whether rows of a span may be dropped after the pass, because the
 * logits of others than the last are wanted. */
static bool is_draft(const struct flo_request *request, uint32_t span)
{
    uint32_t last = request->spans[span].count - 1;

    for (uint32_t i = 0; i < request->wanted_count; i++) {
        if (request->wanted[i].span == span && request->wanted[i].index < last) {
            return true;
        }
    }
    return false;
}

/* Brings the recurrent layers of a session, which was cut, to its position: the
 * tokens behind a copy of the state are computed again. */
static int catch_up(struct flo_session *session, struct flo_err *err)
{
    uint32_t position = session->position, batch = session->engine->sizes.batch;
    int rv = 0;

    flo_state_go_back(session);
    while (rv == 0 && session->state_position < position) {
        uint32_t at = session->state_position, left = position - at;
        const struct flo_span span = {session, session->tokens + at, left < batch ? left : batch};
        const struct flo_request request = {.spans = &span, .span_count = 1};

        session->position = at;
        rv = flo_forward(session->engine, &request, err);
    }
    session->position = position;
    return rv;
}

int flo_forward(struct flo_engine *e, const struct flo_request *request, struct flo_err *err)
{
    struct flo_pass pass;

    pass.engine = e;
    pass.request = request;
    pass.piece_count = pass.count = 0;
    pass.stop = pass.has_adapters = false;
    for (uint32_t i = 0; i < request->span_count; i++) {
        FLO_TRY(catch_up(request->spans[i].session, err));
    }
    pass.reads_ahead = e->hparams.n_expert > 0 && flo_misses_next(&e->misses, flo_misses_count());
    for (uint32_t i = 0; i < request->span_count; i++) {
        FLO_TRY(add_span(&pass, &request->spans[i], err));
    }
    for (uint32_t i = 0; i < request->span_count; i++) {
        flo_state_begin(request->spans[i].session, request->spans[i].count, is_draft(request, i));
    }
    run_pass(&pass);
    for (uint32_t i = 0; i < request->span_count; i++) {
        flo_state_end(request->spans[i].session, pass.stop ? 0 : request->spans[i].count);
    }
    if (pass.stop) {
        return flo_fail(err, FLO_E_INFER_CANCELLED, "cancelled at token %u of %u",
                        request->spans[0].session->position, e->sizes.context);
    }
    gather(e, request);
    return 0;
}

const float *flo_forward_state(struct flo_engine *e, uint32_t row)
{
    const struct flo_weights *w = &e->weights;
    uint32_t n = e->hparams.n_embd;

    if (w->output_norm == NULL) {
        return e->scratch.x + (size_t)row * n;
    }
    flo_pass_norm(e, e->scratch.x + (size_t)row * n, w->output_norm, w->output_norm_bias, n,
                  e->scratch.y);
    return e->scratch.y;
}

void flo_forward_rows(struct flo_engine *engine, uint32_t first, uint32_t count, float *logits)
{
    struct flo_pass pass;

    pass.engine = engine;
    pass.has_adapters = false; /* no adapter changes the output matrix */
    pass.count = count;
    pass.first = first;
    pass.logits = logits;
    flo_pool_run(engine->pool, flo_threads_next(&engine->pass_threads[count > FEW_ROWS]), rows_job,
                 &pass);
}
