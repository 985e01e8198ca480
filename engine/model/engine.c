/* Engine: opens a model and reports its properties. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/gguf.h>
#include <flotilla/errors/memory.h>

#include "engine/model/file/packed.h"
#include "engine/model/pass/pass.h"
#include "engine/sample/sampler.h"

static const struct flo_engine_options no_options;

/* Reads the file's head: enough for a plan. */
static int read_head(struct flo_engine *e, const struct flo_engine_options *options,
                     struct flo_err *err)
{
    FLO_TRY(flo_hparams_read(e->gguf, &e->arch, &e->hparams, err));
    return flo_sizes_make(e->gguf, &e->hparams, options, &e->sizes, err);
}

static int make_plan(struct flo_engine *e, const struct flo_engine_options *options,
                     struct flo_err *err)
{
    int rv = flo_engine_plan_make(&e->hparams, &e->sizes, flo_packed_weights_bytes(e),
                                  options->memory_bytes_max, &e->plan, err);

    e->plan.is_packed = e->weights.are_packed;
    return rv;
}

/* Computes the plan, shrinking sizes as far as the options allow. */
static int fit_plan(struct flo_engine *e, const struct flo_engine_options *options,
                    struct flo_err *err)
{
    const struct flo_sizes specified = e->sizes;

    while (make_plan(e, options, NULL) < 0) {
        if (!flo_sizes_shrink(&e->hparams, options, &e->plan, &e->sizes)) {
            e->sizes = specified; /* the error has the numbers of the original request */
            break;
        }
    }
    return make_plan(e, options, err);
}

/* Does the model's own file need fewer bytes than the packed one?  It may if a
 * tied embedding is in both files. */
static bool are_rows_smaller(const struct flo_engine *e)
{
    return flo_gguf_file_bytes(e->gguf) + e->weights.vector_bytes < flo_packed_weights_bytes(e);
}

/* Binds the weights in the mapped model or the packed file, and plans their
 * memory.  Packed weights over the budget are not used if that saves bytes.
 * `path` may be NULL. */
static int bind_and_plan(struct flo_engine *e, const struct flo_engine_options *options,
                         const char *path, int fd, struct flo_err *err)
{
    FLO_TRY(flo_kernel_choose(flo_kernel_spec(options->kernel), options->trusts_kernels, &e->kernel,
                              err));
    FLO_TRY(flo_weights_bind(e->gguf, e->arch, &e->hparams, e->kernel, &e->weights, err));
    FLO_TRY(flo_packed_attach(e, options, path, fd, err));
    if (are_rows_smaller(e) && make_plan(e, options, NULL) < 0) {
        flo_packed_detach(e);
        flo_weights_deinit(&e->weights);
        FLO_TRY(flo_weights_bind(e->gguf, e->arch, &e->hparams, e->kernel, &e->weights, err));
    }
    return fit_plan(e, options, err);
}

/* Makes an engine whose file is open, and nothing more. */
static int open_file(int fd, struct flo_engine **out, struct flo_err *err)
{
    struct flo_engine *e = calloc(1, sizeof(*e));
    int rv;

    if (e == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "an engine");
    }
    pthread_mutex_init(&e->lock, NULL);
    e->model_fd = -1;
    rv = flo_gguf_open_fd(fd, &e->gguf, err);
    if (rv == 0 && fstat(fd, &e->file) < 0) {
        rv = flo_fail_errno(err, FLO_E_IO_READ, "the model");
    }
    if (rv < 0) {
        flo_engine_close(e);
        return rv;
    }
    *out = e;
    return 0;
}

static int plan_file(int fd, const char *path, const struct flo_engine_options *options,
                     struct flo_engine_plan *plan, struct flo_err *err)
{
    struct flo_engine *e = NULL;
    int rv = open_file(fd, &e, err);

    if (rv < 0) {
        return path == NULL ? rv : flo_wrap(err, rv, "%s", path);
    }
    rv = read_head(e, options, err);
    if (rv == 0) {
        struct flo_err own = {0};
        rv = bind_and_plan(e, options, path, fd, &own);
        if (rv < 0 && rv != FLO_E_MEMORY_BUDGET && rv != FLO_E_USAGE && options->packed == NULL) {
            /* A model that cannot be loaded still gets a plan; invalid options
             * do not. */
            rv = make_plan(e, options, err);
        } else if (rv < 0) {
            *err = own;
        }
        if (rv == 0 || rv == FLO_E_MEMORY_BUDGET) {
            *plan = e->plan;
        }
    }
    flo_engine_close(e);
    return rv;
}

int flo_engine_plan(const char *path, const struct flo_engine_options *options,
                    struct flo_engine_plan *plan, struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;
    struct flo_err own = {0};

    FLO_TRY(flo_file_open(path, &fd, err));
    return plan_file(fd, path, options == NULL ? &no_options : options, plan,
                     err == NULL ? &own : err);
}

int flo_engine_plan_fd(int fd, const struct flo_engine_options *options,
                       struct flo_engine_plan *plan, struct flo_err *err)
{
    struct flo_err own = {0};
    return plan_file(fd, NULL, options == NULL ? &no_options : options, plan,
                     err == NULL ? &own : err);
}

static int map_memory(struct flo_engine *e, struct flo_err *err)
{
    flo_scratch_lay_out(&e->hparams, &e->sizes, &e->arena, &e->scratch);
    if (e->arena.failed) {
        return flo_fail(err, FLO_E_MEMORY, "the scratch memory overflows");
    }
    FLO_TRY(flo_arena_map(&e->arena, err));
    flo_scratch_lay_out(&e->hparams, &e->sizes, &e->arena, &e->scratch);
    return flo_pages_map(e->sizes.kv_bytes, &e->kv_pages, err);
}

static int make_sessions(struct flo_engine *e, struct flo_err *err)
{
    e->sessions = calloc(e->sizes.sessions, sizeof(*e->sessions));
    if (e->sessions == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "%u sessions", e->sizes.sessions);
    }
    for (uint32_t i = 0; i < e->sizes.sessions; i++) {
        struct flo_session *session = &e->sessions[i];

        session->engine = e;
        session->index = i;
        session->kv = (uint8_t *)e->kv_pages + (uint64_t)i * e->sizes.session_kv_bytes;
        session->logits = e->scratch.logits + (uint64_t)i * e->hparams.n_vocab;
        session->tokens = e->scratch.tokens + (uint64_t)i * e->sizes.context;
    }
    return 0;
}

/* A file whose tokenizer is unsupported can still compute on token ids. */
static int load_vocabulary(struct flo_engine *e, const struct flo_engine_options *options,
                           struct flo_err *err)
{
    enum flo_vocabulary spec = options->vocabulary;
    int rv;

    if (spec == FLO_VOCABULARY_NONE) {
        flo_fail(&e->vocab_err, FLO_E_GGUF_VOCAB, "opened without its vocabulary");
        return 0;
    }
    rv = flo_vocab_open(e->gguf, &e->vocab, &e->vocab_err);
    if (rv == 0 && (uint32_t)flo_vocab_facts(e->vocab)->count > e->hparams.n_vocab) {
        rv = flo_fail(&e->vocab_err, FLO_E_GGUF_VOCAB, "%" PRId32 " tokens for %u rows of logits",
                      flo_vocab_facts(e->vocab)->count, e->hparams.n_vocab);
        flo_vocab_close(e->vocab);
        e->vocab = NULL;
    }
    if (rv < 0) {
        if (spec == FLO_VOCABULARY_NEEDED && err != NULL) {
            *err = e->vocab_err;
        }
        return spec == FLO_VOCABULARY_NEEDED ? rv : 0;
    }
    /* An invalid or unknown template disables only chat. */
    e->chat_err.code =
        flo_template_find(e->gguf, e->vocab, options->chat_template, &e->chat, &e->chat_err);
    return 0;
}

void flo_engine_copy_text(const struct flo_gguf *gguf, const char *key, char *out, size_t bytes)
{
    struct flo_gguf_text text = {0};

    if (flo_gguf_string(gguf, key, &text, NULL) == 0 && text.data != NULL) {
        snprintf(out, bytes, "%.*s", (int)(text.bytes < bytes ? text.bytes : bytes - 1), text.data);
        out[flo_utf8_valid(out, strlen(out))] = '\0';
    }
}

static void fill_info(struct flo_engine *e)
{
    struct flo_engine_info info = {
        .n_vocab = e->hparams.n_vocab,
        .n_layer = e->hparams.n_layer,
        .n_embd = e->hparams.n_embd,
        .context = e->plan.context,
        .context_trained = e->plan.context_trained,
        .sessions = e->plan.sessions,
        .threads = e->sizes.threads,
        .parameters = e->weights.parameters,
        .weights_bytes = e->plan.weights_bytes,
        .kv_bytes = e->plan.kv_bytes,
        .scratch_bytes = e->plan.scratch_bytes,
        .vocabulary_bytes = e->plan.vocabulary_bytes,
        .request_bytes = e->plan.request_bytes,
        .has_vocabulary = e->vocab != NULL,
        .labels = e->hparams.n_labels,
        .only_ranks =
            e->hparams.n_labels > 0 && e->weights.output.tensor == e->weights.embedding.tensor,
        .is_packed = e->plan.is_packed,
    };
    memcpy(info.packed_why, e->info.packed_why, sizeof(info.packed_why));
    snprintf(info.arch, sizeof(info.arch), "%s", flo_arch_name(e->arch));
    snprintf(info.kernel, sizeof(info.kernel), "%s", e->kernel->name);
    flo_engine_copy_text(e->gguf, "general.name", info.name, sizeof(info.name));
    e->info = info;
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

/* Does everything after the file is open; on error the caller closes the
 * engine. */
static int load(struct flo_engine *e, const struct flo_engine_options *options, const char *path,
                int fd, struct flo_err *err)
{
    FLO_TRY(read_head(e, options, err));
    FLO_TRY(bind_and_plan(e, options, path, fd, err));
    FLO_TRY(map_memory(e, err));
    FLO_TRY(make_sessions(e, err));
    FLO_TRY(load_vocabulary(e, options, err));
    FLO_TRY(take_pool(e, options->pool, err));
    e->pass_threads[0].most = e->pass_threads[1].most = e->sizes.threads;
    flo_rope_make_rates(e);
    fill_info(e);
    flo_gguf_drop_pages(e->gguf); /* the head's data is in tables now */
    return 0;
}

static int open_model(int fd, const char *path, const struct flo_engine_options *options,
                      struct flo_engine **out, struct flo_err *err)
{
    uint64_t started_us = flo_now_us();
    struct flo_engine *e = NULL;
    int rv = open_file(fd, &e, err);

    if (rv < 0) {
        return path == NULL ? rv : flo_wrap(err, rv, "%s", path);
    }
    rv = load(e, options == NULL ? &no_options : options, path, fd, err);
    if (rv < 0) {
        flo_engine_close(e);
        return rv;
    }
    e->info.load_us = flo_now_us() - started_us;
    *out = e;
    return 0;
}

int flo_engine_open(const char *path, const struct flo_engine_options *options,
                    struct flo_engine **engine, struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;

    FLO_TRY(flo_file_open(path, &fd, err));
    return open_model(fd, path, options, engine, err);
}

int flo_engine_open_fd(int fd, const struct flo_engine_options *options, struct flo_engine **engine,
                       struct flo_err *err)
{
    return open_model(fd, NULL, options, engine, err);
}

void flo_engine_close(struct flo_engine *e)
{
    if (e == NULL) {
        return;
    }
    if (!e->has_lent_pool) {
        flo_pool_close(e->pool);
    }
    flo_template_deinit(&e->chat);
    flo_vocab_close(e->vocab);
    free(e->sessions);
    flo_pages_unmap(e->kv_pages, e->sizes.kv_bytes);
    flo_pages_unmap(e->arena.base, e->arena.bytes);
    flo_weights_deinit(&e->weights);
    flo_packed_detach(e);
    flo_gguf_close(e->gguf);
    pthread_mutex_destroy(&e->lock);
    free(e);
}

const struct flo_engine_info *flo_engine_info(const struct flo_engine *engine)
{
    return &engine->info;
}

int flo_sampler_open(const struct flo_engine *engine, const struct flo_sampling *sampling,
                     struct flo_sampler **sampler, struct flo_err *err)
{
    return flo_sampler_make(flo_engine_info(engine)->n_vocab, sampling, sampler, err);
}
