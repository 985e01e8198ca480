/* Forward pass: tokens to logits, one job of the thread pool per batch. */
#include "engine/model/pass.h"

/* Logits of `count` tokens of the batch from `first` on. */
static void output_part(struct flo_pass *pass, unsigned thread, uint32_t first,
                        uint32_t count, float *logits)
{
    struct flo_engine *e = pass->engine;
    const struct flo_weights *w = &e->weights;
    const struct flo_product product = {&w->output, w->output_bias, logits,
                                        FLO_AFTER_OUTPUT_CAP};
    const struct flo_source source = {
        .values = e->scratch.x + (size_t)first * e->hparams.n_embd,
        .norm = w->output_norm,
        .norm_bias = w->output_norm_bias,
        .columns = e->hparams.n_embd,
        .count = count,
    };
    struct flo_activations in =
        flo_pass_prepare(pass, thread, &source, w->output.precision);

    flo_pass_multiply(pass, &product, 1, &in);
}

static void forward_job(void *context, unsigned thread)
{
    struct flo_pass *pass = context;
    struct flo_engine *e = pass->engine;

    for (uint32_t i = 0; i < e->hparams.n_layer; i++) {
        /* Read by all between this layer's first and last barrier, so every
         * thread sees the same. */
        if (thread == 0) {
            pass->stop = atomic_load(&pass->session->is_cancelled);
        }
        if (!flo_pass_block(pass, thread, i)) {
            return;
        }
    }
    if (pass->logits != NULL) {
        output_part(pass, thread, pass->count - 1, 1, pass->logits);
    }
}

static void rows_job(void *context, unsigned thread)
{
    struct flo_pass *pass = context;

    output_part(pass, thread, pass->first, pass->count, pass->logits);
}

static void embed(struct flo_engine *e, const int32_t *tokens, uint32_t count)
{
    const struct flo_matrix *m = &e->weights.embedding;
    float scale = e->hparams.embedding_scale;

    for (size_t t = 0; t < count; t++) {
        float *x = e->scratch.x + t * m->columns;

        m->type->decode(m->data + (size_t)tokens[t] * m->row_bytes, x,
                        m->columns);
        for (size_t i = 0; scale != 1 && i < m->columns; i++) {
            x[i] *= scale;
        }
    }
}

int flo_forward(struct flo_session *session, const int32_t *tokens,
                uint32_t count, float *logits, struct flo_err *err)
{
    struct flo_engine *e = session->engine;
    struct flo_pass pass = {
        .engine = e,
        .session = session,
        .count = count,
        .position = session->position,
        .logits = logits,
    };

    embed(e, tokens, count);
    flo_rope_make_tables(e, pass.position, count);
    flo_pool_run(e->pool, forward_job, &pass);
    if (pass.stop) {
        return flo_fail(err, FLO_E_INFER_CANCELLED,
                        "cancelled at token %u of %u", pass.position,
                        e->sizes.context);
    }
    return 0;
}

void flo_forward_rows(struct flo_engine *engine, uint32_t first, uint32_t count,
                      float *logits)
{
    struct flo_pass pass = {
        .engine = engine, .count = count, .first = first, .logits = logits};

    flo_pool_run(engine->pool, rows_job, &pass);
}
