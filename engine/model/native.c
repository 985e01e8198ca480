/* Native: a filler of compute.h that is made of this engine's own kernels. */
#include "engine/model/compute.h"

#include <string.h>

#include "engine/model/file/packed.h"
#include "engine/model/pass/pass.h"

/* ---- opening ---- */

static int native_read_head(struct flo_engine *e, const struct flo_engine_options *options,
                            struct flo_err *err)
{
    FLO_TRY(flo_hparams_read(e->gguf, &e->arch, &e->hparams, err));
    return flo_sizes_make(e->gguf, &e->hparams, options, &e->sizes, err);
}

/* Tells whether the model's own file needs fewer bytes than the packed one.
 * That can be so if the embedding is also the output, and then is in both
 * files. */
static bool are_rows_smaller(const struct flo_engine *e)
{
    return flo_gguf_file_bytes(e->gguf) + e->weights.vector_bytes < flo_packed_weights_bytes(e);
}

static bool fits(const struct flo_engine *e, const struct flo_engine_options *options)
{
    struct flo_engine_plan plan;

    return flo_engine_plan_make(&e->hparams, &e->sizes, flo_packed_weights_bytes(e),
                                options->memory_bytes_max, &plan, NULL) == 0;
}

/* Binds the weights in the mapped model or the packed file, and plans their
 * memory.  If packed weights exceed the budget and take more bytes, they are
 * not used.  `path` may be NULL. */
static int native_bind(struct flo_engine *e, const struct flo_engine_options *options,
                       const char *path, int fd, struct flo_err *err)
{
    FLO_TRY(flo_kernel_choose(flo_kernel_spec(options->kernel), options->trusts_kernels, &e->kernel,
                              err));
    FLO_TRY(flo_weights_bind(e->gguf, e->arch, &e->hparams, e->kernel, &e->weights, err));
    FLO_TRY(flo_packed_attach(e, options, path, fd, err));
    if (are_rows_smaller(e) && !fits(e, options)) {
        flo_packed_detach(e);
        flo_weights_deinit(&e->weights);
        FLO_TRY(flo_weights_bind(e->gguf, e->arch, &e->hparams, e->kernel, &e->weights, err));
    }
    return flo_engine_plan_fit(e, options, flo_packed_weights_bytes(e), err);
}

static int take_pool(struct flo_engine *e, struct flo_pool *lent, struct flo_err *err)
{
    if (lent == NULL) {
        return flo_pool_open(e->sizes.threads, &e->pool, err);
    }
    if (flo_pool_size(lent) < e->sizes.threads) {
        return flo_fail(err, FLO_E_USAGE, "%u threads, %u were started", e->sizes.threads,
                        flo_pool_size(lent));
    }
    e->pool = lent;
    e->has_lent_pool = true;
    return 0;
}

static int native_load(struct flo_engine *e, const struct flo_engine_options *options, int fd,
                       struct flo_err *err)
{
    (void)fd;
    FLO_TRY(flo_pages_map(e->sizes.kv_bytes, &e->kv_pages, err));
    for (uint32_t i = 0; i < e->sizes.sessions; i++) {
        e->sessions[i].kv = (uint8_t *)e->kv_pages + (uint64_t)i * e->sizes.session_kv_bytes;
        flo_state_drop(&e->sessions[i]);
    }
    FLO_TRY(take_pool(e, options->pool, err));
    e->pass_threads[0].most = e->pass_threads[1].most = e->sizes.threads;
    flo_rope_make_rates(e);
    return 0;
}

static void native_tell(struct flo_engine *e, struct flo_engine_info *info)
{
    info->labels = e->hparams.n_labels;
    info->keeps_length = e->hparams.is_encoder && e->hparams.keeps_length;
    if (info->labels > 0 && e->weights.output.tensor == e->weights.embedding.tensor) {
        /* the model has only a ranking head, so it writes no text */
        info->properties &= ~(unsigned)FLO_COMPUTE_ANSWERS;
    }
    if (e->hparams.pooling != FLO_POOLED_NONE) {
        info->properties |= FLO_COMPUTE_POOLS;
    }
    if (e->sizes.state_bytes > 0) {
        info->properties &= ~(unsigned)FLO_COMPUTE_CUTS;
    }
    if (e->hparams.is_encoder) {
        info->properties = FLO_COMPUTE_POOLS | FLO_COMPUTE_ADAPTERS;
    }
    info->parameters = e->weights.parameters;
    snprintf(info->kernel, sizeof(info->kernel), "%s", e->kernel->name);
}

static void native_close(struct flo_engine *e)
{
    if (!e->has_lent_pool) {
        flo_pool_close(e->pool);
    }
    flo_pages_unmap(e->kv_pages, e->sizes.kv_bytes);
    flo_weights_deinit(&e->weights);
    flo_packed_detach(e);
}

/* ---- caches ---- */

struct copying {
    uint8_t *to;
    const uint8_t *from;
};

static int copy_row(void *context, const struct flo_cache_row *row, struct flo_err *err)
{
    const struct copying *copying = context;

    (void)err;
    memcpy(copying->to + row->at, copying->from + row->at, (size_t)row->bytes);
    return 0;
}

/* Copies the cache's blocks of the first positions, for all layers and heads,
 * as far as the other session still has them. */
static void native_copy(struct flo_session *session, const struct flo_session *from, uint32_t count)
{
    const struct flo_engine *e = session->engine;
    struct copying copying = {session->kv, from->kv};

    flo_cache_rows(&e->sizes, e->hparams.n_layer, from->window_first, count, copy_row, &copying,
                   NULL);
    flo_state_copy(session, from, count);
}

static void native_drop(struct flo_session *session)
{
    flo_pages_drop(session->kv, session->engine->sizes.session_kv_bytes);
    flo_state_drop(session);
}

static int native_vocabulary(struct flo_engine *e, struct flo_err *err)
{
    return flo_vocab_open(e->gguf, &e->vocab, err);
}

const struct flo_compute flo_compute_native = {
    .name = "native",
    .properties = FLO_COMPUTE_ALL | FLO_COMPUTE_DRAFTS,
    .begin = flo_pool_open,
    .read_head = native_read_head,
    .bind = native_bind,
    .vocabulary = native_vocabulary,
    .load = native_load,
    .tell = native_tell,
    .close = native_close,
    .pass = flo_forward,
    .rows = flo_forward_rows,
    .state = flo_forward_state,
    .vector = flo_pool_vector,
    .held = flo_state_held,
    .copy = native_copy,
    .drop = native_drop,
};
