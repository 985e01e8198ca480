/* Engine: opens a model and reports its properties. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/gguf.h>
#include <flotilla/errors/memory.h>
#include <flotilla/errors/model.h>

#include "engine/model/compute.h"
#include "engine/sample/sampler.h"

static const struct flo_engine_options no_options;

/* Allocates an engine and opens its file, and does nothing more. */
static int open_file(int fd, const char *path, const struct flo_compute *compute,
                     struct flo_engine **out, struct flo_err *err)
{
    struct flo_engine *e = calloc(1, sizeof(*e));
    int rv;

    if (e == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "an engine");
    }
    pthread_mutex_init(&e->lock, NULL);
    e->compute = compute;
    e->model_fd = -1;
    rv = flo_gguf_open_named(fd, path, &e->gguf, err);
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

/* ---- fillers ---- */

void flo_compute_prepare(void)
{
    for (size_t i = 0; flo_computes[i] != NULL; i++) {
        if (flo_computes[i]->prepare != NULL) {
            (void)flo_computes[i]->prepare(NULL);
        }
    }
}

int flo_compute_begin(uint32_t threads, struct flo_pool **pool, struct flo_err *err)
{
    for (size_t i = 0; flo_computes[i] != NULL; i++) {
        const struct flo_compute *compute = flo_computes[i];

        if (compute->prepare == NULL || compute->prepare(NULL) == 0) {
            FLO_TRY(compute->begin(threads, pool, err));
        }
    }
    return 0;
}

int flo_compute_find(const char *name, const struct flo_compute **compute, struct flo_err *err)
{
    char known[64] = "";

    *compute = NULL;
    for (size_t i = 0; name != NULL && flo_computes[i] != NULL; i++) {
        if (strcmp(name, flo_computes[i]->name) == 0) {
            *compute = flo_computes[i];
            return 0;
        }
        snprintf(known + strlen(known), sizeof(known) - strlen(known), "%s%s", i > 0 ? ", " : "",
                 flo_computes[i]->name);
    }
    return name == NULL ? 0
                        : flo_fail(err, FLO_E_USAGE, "no backend '%s', there are: %s", name, known);
}

/* A model's file that a filler opens, or for which it makes a plan. */
struct job {
    int fd;
    const char *path; /* or NULL */
    const struct flo_engine_options *options;
    struct flo_engine_plan *plan; /* NULL: open it */
    struct flo_engine *engine;
};
typedef int filler_fn(struct job *job, const struct flo_compute *compute, bool has_next,
                      struct flo_err *err);

/* Tells whether the error means that the filler does not know this kind of
 * model. */
static bool is_unknown(int rv)
{
    return rv == FLO_E_MODEL_ARCH || rv == FLO_E_NOT_BUILT;
}

/* Tries one filler after another until one knows the model.  If the options
 * name a filler, it tries only that one.  The error of the last filler is
 * returned, because it knows most models. */
static int try_fillers(struct job *job, filler_fn *run, struct flo_err *err)
{
    const struct flo_compute *named = job->options->compute;
    const struct flo_compute *usable[4];
    struct flo_err own = {0};
    size_t count = 0;
    int rv = 0;

    for (size_t i = 0; named == NULL && flo_computes[i] != NULL; i++) {
        if (flo_computes[i]->prepare == NULL || flo_computes[i]->prepare(NULL) == 0) {
            usable[count++] = flo_computes[i];
        }
    }
    if (named != NULL) {
        FLO_TRY(named->prepare == NULL ? 0 : named->prepare(err));
        usable[count++] = named;
    }
    for (size_t i = 0; i < count && (i == 0 || is_unknown(rv)); i++) {
        own = (struct flo_err){0};
        rv = run(job, usable[i], i + 1 < count, &own);
    }
    if (rv < 0 && err != NULL) {
        *err = own;
    }
    return rv;
}

/* ---- plans ---- */

static int plan_by(struct job *job, const struct flo_compute *compute, bool has_next,
                   struct flo_err *err)
{
    const struct flo_engine_options *options = job->options;
    struct flo_engine *e = NULL;
    int rv = open_file(job->fd, job->path, compute, &e, err);

    if (rv < 0) {
        return job->path == NULL ? rv : flo_wrap(err, rv, "%s", job->path);
    }
    rv = compute->read_head(e, options, err);
    if (rv == 0) {
        rv = compute->bind(e, options, job->path, job->fd, err);
        if (rv < 0 && rv != FLO_E_MEMORY_BUDGET && rv != FLO_E_USAGE && options->packed == NULL &&
            !(has_next && is_unknown(rv))) {
            /* The model cannot be loaded, but its memory is planned all the
             * same, unless an option is invalid. */
            *err = (struct flo_err){0};
            rv = flo_engine_plan_make(&e->hparams, &e->sizes, flo_gguf_file_bytes(e->gguf),
                                      options->memory_bytes_max, &e->plan, err);
        }
        if (rv == 0 || rv == FLO_E_MEMORY_BUDGET) {
            *job->plan = e->plan;
        }
    }
    flo_engine_close(e);
    return rv;
}

static int plan_file(int fd, const char *path, const struct flo_engine_options *options,
                     struct flo_engine_plan *plan, struct flo_err *err)
{
    struct job job = {.fd = fd, .path = path, .options = options, .plan = plan};

    return try_fillers(&job, plan_by, err);
}

int flo_engine_plan(const char *path, const struct flo_engine_options *options,
                    struct flo_engine_plan *plan, struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;

    FLO_TRY(flo_file_open(path, &fd, err));
    return plan_file(fd, path, options == NULL ? &no_options : options, plan, err);
}

int flo_engine_plan_fd(int fd, const struct flo_engine_options *options,
                       struct flo_engine_plan *plan, struct flo_err *err)
{
    return plan_file(fd, NULL, options == NULL ? &no_options : options, plan, err);
}

static int map_memory(struct flo_engine *e, struct flo_err *err)
{
    flo_scratch_lay_out(&e->hparams, &e->sizes, &e->arena, &e->scratch);
    if (e->arena.failed) {
        return flo_fail(err, FLO_E_MEMORY, "the scratch memory overflows");
    }
    FLO_TRY(flo_arena_map(&e->arena, err));
    flo_scratch_lay_out(&e->hparams, &e->sizes, &e->arena, &e->scratch);
    return 0;
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
        session->logits = e->scratch.logits + (uint64_t)i * e->hparams.n_vocab;
        session->tokens = e->scratch.tokens + (uint64_t)i * e->sizes.context;
    }
    return 0;
}

/* Loads the vocabulary.  A model with an unsupported tokenizer can still
 * compute on token ids. */
static int load_vocabulary(struct flo_engine *e, const struct flo_engine_options *options,
                           struct flo_err *err)
{
    enum flo_vocabulary spec = options->vocabulary;
    int rv;

    if (spec == FLO_VOCABULARY_NONE) {
        flo_fail(&e->vocab_err, FLO_E_GGUF_VOCAB, "opened without its vocabulary");
        return 0;
    }
    rv = e->compute->vocabulary(e, &e->vocab_err);
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
    /* A template that is invalid or unknown only prevents chats. */
    e->chat_err.code =
        flo_template_find(e->gguf, e->vocab, options->chat_template, &e->chat, &e->chat_err);
    return 0;
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
        .weights_bytes = e->plan.weights_bytes,
        .kv_bytes = e->plan.kv_bytes,
        .scratch_bytes = e->plan.scratch_bytes,
        .vocabulary_bytes = e->plan.vocabulary_bytes,
        .request_bytes = e->plan.request_bytes,
        .has_vocabulary = e->vocab != NULL,
        .is_packed = e->plan.is_packed,
        .properties = e->compute->properties,
    };
    memcpy(info.packed_why, e->info.packed_why, sizeof(info.packed_why));
    flo_gguf_copy_string(e->gguf, "general.architecture", info.arch, sizeof(info.arch));
    flo_gguf_copy_string(e->gguf, "general.name", info.name, sizeof(info.name));
    e->compute->tell(e, &info);
    e->info = info;
}

/* Does all that follows after the file is open.  If it fails, the caller closes
 * the engine. */
static int load(struct flo_engine *e, const struct flo_engine_options *options, const char *path,
                int fd, struct flo_err *err)
{
    FLO_TRY(e->compute->read_head(e, options, err));
    FLO_TRY(e->compute->bind(e, options, path, fd, err));
    FLO_TRY(map_memory(e, err));
    FLO_TRY(make_sessions(e, err));
    FLO_TRY(e->compute->load(e, options, fd, err));
    FLO_TRY(load_vocabulary(e, options, err));
    fill_info(e);
    /* frees the pages of the file's head, whose data is in tables now */
    flo_gguf_drop_pages(e->gguf);
    return 0;
}

static int open_by(struct job *job, const struct flo_compute *compute, bool has_next,
                   struct flo_err *err)
{
    struct flo_engine_options options = *job->options;
    struct flo_engine *e = NULL;
    int rv = open_file(job->fd, job->path, compute, &e, err);

    if (rv < 0) {
        return job->path == NULL ? rv : flo_wrap(err, rv, "%s", job->path);
    }
    if (has_next && options.vocabulary == FLO_VOCABULARY_IF_KNOWN) {
        /* The open then fails on an unknown vocabulary, and the next filler is
         * tried, which may know it. */
        options.vocabulary = FLO_VOCABULARY_NEEDED;
    }
    rv = load(e, &options, job->path, job->fd, err);
    if (rv < 0) {
        flo_engine_close(e);
        return rv;
    }
    job->engine = e;
    return 0;
}

static int open_model(int fd, const char *path, const struct flo_engine_options *options,
                      struct flo_engine **out, struct flo_err *err)
{
    uint64_t started_us = flo_now_us();
    struct job job = {.fd = fd, .path = path, .options = options == NULL ? &no_options : options};

    FLO_TRY(try_fillers(&job, open_by, err));
    job.engine->info.load_us = flo_now_us() - started_us;
    *out = job.engine;
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
    e->compute->close(e);
    flo_template_deinit(&e->chat);
    flo_vocab_close(e->vocab);
    free(e->sessions);
    flo_pages_unmap(e->arena.base, e->arena.bytes);
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
