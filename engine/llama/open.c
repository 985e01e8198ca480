/* Open: starts the threads of llama.cpp's library, reads a model's shape, and
 * opens the model. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <flotilla/errors/gguf.h>
#include <flotilla/errors/model.h>

#include <ggml-backend.h>

#include "engine/llama/llama_filler.h"

/* Memory of the libraries and of a graph's nodes, as measured without a
 * model. */
#define LIBRARY_BYTES (48ull << 20)
/* Values that the graph of a layer holds at once for a token, as a multiple of
 * the model's width. */
#define GRAPH_WIDTHS 16u

static struct ggml_threadpool *threads; /* threads of the library for this process; NULL: none */

int flo_llama_begin(uint32_t count, struct flo_pool **pool, struct flo_err *err)
{
    ggml_backend_reg_t cpu =
        ggml_backend_dev_backend_reg(ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU));
    struct ggml_threadpool *(*make)(struct ggml_threadpool_params *);
    void *found = ggml_backend_reg_get_proc_address(cpu, "ggml_threadpool_new");
    struct ggml_threadpool_params params = ggml_threadpool_params_default((int)count);

    params.poll = 1; /* threads without work sleep soon, as those of our own pool do */

    (void)pool; /* the library starts its own threads */
    memcpy(&make, &found, sizeof(make));
    threads = found == NULL ? NULL : make(&params);
    return threads != NULL ? 0 : flo_fail(err, FLO_E_MEMORY, "%u threads of llama.cpp", count);
}

/* ---- the shape ---- */

/* Returns a number of the file, or `otherwise` if the key is absent.  From a
 * list with a number for each layer it returns the largest. */
static uint32_t shape_of(const struct flo_gguf *gguf, const char *arch, const char *name,
                         uint32_t otherwise)
{
    char key[128];
    const struct flo_gguf_kv *kv;
    uint64_t value = 0;

    snprintf(key, sizeof(key), "%s.%s", arch, name);
    kv = flo_gguf_find(gguf, key);
    if (kv == NULL) {
        return otherwise;
    }
    if (kv->type == FLO_GGUF_ARRAY) {
        bool is_numbers = kv->item_type == FLO_GGUF_U32 || kv->item_type == FLO_GGUF_I32;
        for (uint64_t i = 0; is_numbers && i < kv->count; i++) {
            uint32_t item = flo_get_u32(kv->data + 4 * i);
            value = item > value && item <= INT32_MAX ? item : value;
        }
    } else if (flo_gguf_u64(gguf, key, &value, NULL) < 0) {
        value = otherwise;
    }
    return value > INT32_MAX ? INT32_MAX : (uint32_t)value;
}

/* Returns how a text's vector or score is made, as the file says.  A file with
 * a ranking head is for scores, even if it does not say so. */
static enum llama_pooling_type pooling_of(const struct flo_gguf *gguf)
{
    char arch[64] = "";
    bool ranks = flo_gguf_tensor_find(gguf, "cls.output.weight") != NULL ||
                 flo_gguf_tensor_find(gguf, "cls.weight") != NULL;

    flo_gguf_copy_string(gguf, "general.architecture", arch, sizeof(arch));
    return ranks ? LLAMA_POOLING_TYPE_RANK
                 : (enum llama_pooling_type)shape_of(gguf, arch, "pooling_type", 0);
}

static int check_shape(const struct flo_hparams *h, struct flo_err *err)
{
    const struct {
        const char *what;
        uint32_t value, maximum;
    } limits[] = {
        {"vocabulary", h->n_vocab, FLO_VOCAB_MAX},
        {"embedding_length", h->n_embd, FLO_WIDTH_MAX},
        {"block_count", h->n_layer, FLO_LAYERS_MAX},
        {"attention.head_count", h->n_head, FLO_HEADS_MAX},
        {"attention.head_count_kv", h->n_head_kv, FLO_HEADS_MAX},
        {"attention.key_length", h->head_size, FLO_HEAD_SIZE_MAX},
        {"feed_forward_length", h->n_ff, FLO_WIDTH_MAX},
        {"context_length", h->context_trained, UINT32_MAX},
    };

    for (size_t i = 0; i < FLO_COUNT(limits); i++) {
        if (limits[i].value < 1 || limits[i].value > limits[i].maximum) {
            return flo_fail(err, FLO_E_GGUF_HPARAM, "%s is %u, not 1 to %u", limits[i].what,
                            limits[i].value, limits[i].maximum);
        }
    }
    return 0;
}

/* Returns the library's memory besides weights and caches.  It holds the graph
 * of one batch, with attention scores and logits, and the state of recurrent
 * layers. */
static uint64_t library_bytes(const struct flo_gguf *gguf, const char *arch,
                              const struct flo_hparams *h, const struct flo_sizes *s)
{
    uint64_t inner = shape_of(gguf, arch, "ssm.inner_size", 0);
    uint64_t state = shape_of(gguf, arch, "ssm.state_size", 0);
    uint64_t groups = shape_of(gguf, arch, "ssm.group_count", 1);
    uint64_t kernel = shape_of(gguf, arch, "ssm.conv_kernel", 0);
    uint64_t conv = shape_of(gguf, arch, "shortconv.l_cache", 0) * h->n_embd;
    uint64_t recurrent =
        (inner * state + kernel * (inner + 2 * groups * state) + conv) * h->n_layer * 4;
    uint64_t rows = pooling_of(gguf) != LLAMA_POOLING_TYPE_NONE ? s->context : s->batch;
    uint64_t graph = (uint64_t)GRAPH_WIDTHS * h->n_embd + 4ull * h->n_ff + 2ull * h->n_vocab +
                     (uint64_t)(h->n_head + 2) * s->context;

    return LIBRARY_BYTES + recurrent * (s->sessions + 1) + graph * rows * sizeof(float);
}

static int check_exact(const struct flo_engine *e, const char *arch, bool accepts_inexact,
                       struct flo_err *err)
{
    uint32_t window = shape_of(e->gguf, arch, "attention.sliding_window", 0);
    const char *wrong = NULL;

#define FLO_INEXACT(name, condition, what)                                                         \
    if (strcmp(arch, name) == 0 && (condition)) {                                                  \
        wrong = what;                                                                              \
    }
#include "engine/llama/inexact.def"
#undef FLO_INEXACT
    if (wrong == NULL || accepts_inexact) {
        return 0;
    }
    flo_fail(err, FLO_E_MODEL_BACKEND,
             "llama.cpp " FLOTILLA_LLAMA_VERSION " computes this %s wrongly: %s", arch, wrong);
    return flo_err_fix(err, "serve it by another runtime, or accept its answers: accept_inexact in "
                            "agent.yaml, --accept-inexact");
}

int flo_llama_read_head(struct flo_engine *e, const struct flo_engine_options *options,
                        struct flo_err *err)
{
    const struct flo_gguf_kv *tokens = flo_gguf_find(e->gguf, "tokenizer.ggml.tokens");
    struct flo_hparams *h = &e->hparams;
    char arch[64] = "";

    FLO_TRY(flo_gguf_require(e->gguf, "general.architecture", err));
    flo_gguf_copy_string(e->gguf, "general.architecture", arch, sizeof(arch));
    h->n_vocab =
        tokens != NULL ? (uint32_t)tokens->count : shape_of(e->gguf, arch, "vocab_size", 0);
    h->n_embd = shape_of(e->gguf, arch, "embedding_length", 0);
    h->n_layer = shape_of(e->gguf, arch, "block_count", 0);
    h->n_head = shape_of(e->gguf, arch, "attention.head_count", 1);
    h->n_head_kv = shape_of(e->gguf, arch, "attention.head_count_kv", h->n_head);
    h->head_size =
        shape_of(e->gguf, arch, "attention.key_length", h->n_embd / (h->n_head | !h->n_head));
    h->n_ff = shape_of(e->gguf, arch, "feed_forward_length", 1);
    h->context_trained = shape_of(e->gguf, arch, "context_length", FLO_ENGINE_CONTEXT_DEFAULT);
    h->n_head = h->n_head > 0 ? h->n_head : 1;
    h->n_head_kv = h->n_head_kv > 0 ? h->n_head_kv : 1;
    h->n_ff = h->n_ff > 0 ? h->n_ff : 1;
    FLO_TRY(check_shape(h, err));
    flo_hparams_make_uniform(h);
    FLO_TRY(check_exact(e, arch, options->accepts_inexact, err));
    FLO_TRY(flo_sizes_make(e->gguf, h, options, &e->sizes, err));
    flo_sizes_add_library(h, library_bytes(e->gguf, arch, h, &e->sizes), &e->sizes);
    return 0;
}

int flo_llama_bind(struct flo_engine *e, const struct flo_engine_options *options, const char *path,
                   int fd, struct flo_err *err)
{
    (void)path, (void)fd;
    if (options->adapter_bytes > 0) {
        return flo_fail(err, FLO_E_NOT_BUILT, "back end 'llama' applies no adapters");
    }
    return flo_engine_plan_fit(e, options, flo_gguf_file_bytes(e->gguf), err);
}

/* ---- the model ---- */

static bool stops(void *context)
{
    const struct flo_llama *l = context;

    return l->stops != NULL && l->stops(l->stops_context);
}

static struct llama_model *load_model(int fd, struct flo_err *err)
{
    ggml_backend_dev_t none[] = {NULL}; /* an empty list of devices: a sandbox has no GPU */
    struct llama_model_params params = llama_model_default_params();
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    FILE *file = copy < 0 ? NULL : fdopen(copy, "rb");
    struct llama_model *model;

    params.devices = none;
    params.n_gpu_layers = 0;
    /* with true the library would copy the weights instead of sharing the
     * mapping */
    params.use_extra_bufts = false;
    if (file == NULL || fseek(file, 0, SEEK_SET) != 0) {
        flo_fail_errno(err, FLO_E_IO_READ, "the model");
        model = NULL;
    } else {
        flo_llama_forget();
        model = llama_model_load_from_file_ptr(file, params);
        if (model == NULL) {
            flo_llama_fail(err, FLO_E_MODEL_BACKEND, "llama.cpp loads not this model");
        }
    }
    if (file != NULL) {
        fclose(file);
    } else if (copy >= 0) {
        close(copy);
    }
    return model;
}

static enum ggml_type cache_type(enum flo_cache cache)
{
    static const enum ggml_type types[FLO_CACHE_COUNT] = {
        [FLO_CACHE_F16] = GGML_TYPE_F16,
        [FLO_CACHE_F32] = GGML_TYPE_F32,
        [FLO_CACHE_Q8_0] = GGML_TYPE_Q8_0,
        [FLO_CACHE_Q4_0] = GGML_TYPE_Q4_0,
    };

    return types[cache];
}

static int open_context(struct flo_engine *e, struct flo_llama *l, struct flo_err *err)
{
    struct llama_context_params params = llama_context_default_params();

    params.n_ctx = e->sizes.context * e->sizes.sessions;
    params.n_seq_max = e->sizes.sessions;
    /* The batch of a model that pools holds a whole text, because an encoder
     * sees a text as a whole.  The library ends the process if such a batch is
     * not a multiple of the sessions. */
    params.n_batch = params.n_ubatch = l->pools ? (e->sizes.context + e->sizes.sessions - 1) /
                                                      e->sizes.sessions * e->sizes.sessions
                                                : e->sizes.batch;
    params.n_threads = params.n_threads_batch = (int32_t)e->sizes.threads;
    params.type_k = params.type_v = cache_type(e->sizes.cache);
    params.pooling_type = pooling_of(e->gguf);
    params.embeddings = l->states = l->pools;
    if (e->sizes.cache == FLO_CACHE_F32 || l->pools) { /* flash attention would round to f16 */
        params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
    }
    params.abort_callback = stops;
    params.abort_callback_data = l;
    params.no_perf = true;
    params.swa_full = true; /* a cache of only the window's size could not be cut back */
    params.kv_unified = false;
    flo_llama_forget();
    l->context = llama_init_from_model(l->model, params);
    if (l->context == NULL) {
        return flo_llama_fail(err, FLO_E_MODEL_BACKEND, "llama.cpp opens no context");
    }
    if (threads != NULL) {
        llama_attach_threadpool(l->context, threads, threads);
    }
    l->values = llama_pooling_type(l->context) == LLAMA_POOLING_TYPE_RANK
                    ? llama_model_n_cls_out(l->model)
                    : (uint32_t)llama_model_n_embd_out(l->model);
    if (l->values > e->hparams.n_embd) {
        return flo_fail(err, FLO_E_NOT_BUILT, "vectors of %u values from a width of %u", l->values,
                        e->hparams.n_embd);
    }
    l->batch = llama_batch_init((int32_t)params.n_batch, 0, 1);
    return l->batch.token != NULL ? 0 : flo_fail(err, FLO_E_MEMORY, "a batch");
}

/* Computes one pass, so that all memory that passes need is allocated before
 * the last stage of the sandbox. */
static int warm_up(struct flo_engine *e, struct flo_err *err)
{
    int32_t token = 0;
    struct flo_span span = {&e->sessions[0], &token, 1};
    struct flo_wanted_row wanted = {0, 0, 0};
    struct flo_request request = {.spans = &span,
                                  .span_count = 1,
                                  .wanted = &wanted,
                                  .wanted_count = 1,
                                  .logits = e->scratch.rows};

    if (((const struct flo_llama *)e->library)->pools) {
        return flo_llama_vector(&e->sessions[0], &token, 1, e->scratch.y, err);
    }
    FLO_TRY(flo_llama_pass(e, &request, err));
    flo_llama_drop(&e->sessions[0]);
    return 0;
}

int flo_llama_load(struct flo_engine *e, const struct flo_engine_options *options, int fd,
                   struct flo_err *err)
{
    struct flo_llama *l = calloc(1, sizeof(*l));

    (void)options;
    if (l == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "a model");
    }
    e->library = l;
    l->model = load_model(fd, err);
    if (l->model == NULL) {
        return err != NULL && err->code < 0 ? err->code : FLO_E_MODEL_BACKEND;
    }
    l->vocab = llama_model_get_vocab(l->model);
    l->pools = pooling_of(e->gguf) != LLAMA_POOLING_TYPE_NONE;
    l->cuts = !llama_model_is_recurrent(l->model) && !llama_model_is_hybrid(l->model);
    if ((uint32_t)llama_vocab_n_tokens(l->vocab) != e->hparams.n_vocab ||
        (uint32_t)llama_model_n_embd(l->model) != e->hparams.n_embd) {
        return flo_fail(err, FLO_E_GGUF_HPARAM,
                        "%u tokens and a width of %u, llama.cpp reads %d and %d",
                        e->hparams.n_vocab, e->hparams.n_embd, llama_vocab_n_tokens(l->vocab),
                        llama_model_n_embd(l->model));
    }
    FLO_TRY(open_context(e, l, err));
    return warm_up(e, err);
}

void flo_llama_tell(struct flo_engine *e, struct flo_engine_info *info)
{
    const struct flo_llama *l = e->library;

    snprintf(info->kernel, sizeof(info->kernel), "llama.cpp");
    info->parameters = llama_model_n_params(l->model);
    info->properties =
        l->pools ? FLO_COMPUTE_POOLS
                 : FLO_COMPUTE_ANSWERS | (l->cuts ? FLO_COMPUTE_CUTS | FLO_COMPUTE_DRAFTS : 0u);
    if (llama_pooling_type(l->context) == LLAMA_POOLING_TYPE_RANK) {
        info->labels = l->values;
    }
}

void flo_llama_close(struct flo_engine *e)
{
    struct flo_llama *l = e->library;

    if (l == NULL) {
        return;
    }
    if (l->batch.token != NULL) {
        llama_batch_free(l->batch);
    }
    llama_free(l->context);
    llama_model_free(l->model);
    free(l);
    e->library = NULL;
}
