/* Requests: handles the frames of the agent: those that open or pack a model,
 * and requests for answers, adapters, tokens, vectors and statistics. */
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <flotilla/errors/memory.h>
#include <flotilla/errors/worker.h>

#include "engine/run/worker.h"

#define SESSIONS_DEFAULT 4

/* ---- opening ---- */

static int open_slots(struct flo_worker *worker, size_t count, struct flo_err *err)
{
    static const struct flo_sampling greedy;
    worker->embed.vector =
        calloc(flo_engine_info(worker->engine)->n_embd, sizeof(*worker->embed.vector));
    if (worker->embed.vector == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for a vector");
    }
    worker->n_slots = count;
    for (size_t i = 0; i < count; i++) {
        FLO_TRY(flo_session_open(worker->engine, &worker->slots[i].session, err));
        FLO_TRY(flo_sampler_open(worker->engine, &greedy, &worker->slots[i].sampler, err));
    }
    return 0;
}

static uint32_t abilities_of(const struct flo_engine_info *info)
{
    uint32_t abilities = FLO_ABILITIES_OURS | (info->labels > 0 ? FLO_ABILITY_RERANK : 0);

    if ((info->properties & FLO_COMPUTE_ADAPTERS) == 0) {
        abilities &= ~(uint32_t)FLO_ABILITY_ADAPTERS;
    }
    return abilities;
}

static int put_ready(struct flo_worker *worker, uint32_t request, struct flo_err *err)
{
    const struct flo_engine_info *info = flo_engine_info(worker->engine);
    struct flo_wire_message answer = {.type = FLO_WIRE_READY, .request = request};
    answer.ready = (struct flo_wire_ready){
        .kernel = flo_wire_text_of(info->kernel),
        .n_vocab = info->n_vocab,
        .context = info->context,
        .sessions = info->sessions - 1, /* the last session is not for users */
        .weights_bytes = info->weights_bytes,
        .kv_bytes = info->kv_bytes,
        .scratch_bytes = info->scratch_bytes,
        .vocabulary_bytes = info->vocabulary_bytes,
        .request_bytes = info->request_bytes,
        .has_vocabulary = info->has_vocabulary,
        .is_sandboxed = worker->is_sandboxed,
        .is_packed = info->is_packed,
        .prefix_tokens = flo_kept_tokens(worker->kept),
        .abilities = abilities_of(info),
    };
    flo_worker_put_draft(worker, &answer.ready);
    return flo_wire_write(&worker->out, &answer, err);
}

void flo_worker_close_fds(struct flo_worker *worker)
{
    while (worker->n_fds > 0) {
        close(worker->fds[--worker->n_fds]);
    }
}

/* Starts `threads` threads; none can start later.  Called before the process
 * reads the first byte of a model or adapter. */
static int begin_reading(struct flo_worker *worker, uint32_t threads, struct flo_err *err)
{
    int rv = 0;
    if (worker->is_reading) {
        return threads <= worker->threads
                   ? 0
                   : flo_fail(err, FLO_E_USAGE, "%u threads, %u were started", threads,
                              worker->threads);
    }
    worker->threads = threads > 1 ? threads : 1;
    if (threads > 1) {
        rv = flo_compute_begin(threads, &worker->pool, err);
    }
    if (rv == 0 && worker->is_sandboxed) {
        rv = flo_engine_sandbox_enter(FLO_SANDBOX_OPENING, FLO_SANDBOX_REQUIRED, err);
    }
    worker->is_reading = rv >= 0;
    FLO_TRY(rv);
    return 0;
}

/* Opens the engine.  If the budget is too small for the default number of
 * sessions, the number is reduced.  A number that the agent gave is not
 * reduced. */
static int open_engine(int fd, struct flo_engine_options *options, bool may_shrink,
                       struct flo_engine **engine, struct flo_err *err)
{
    struct flo_err first = {0};
    int rv = flo_engine_open_fd(fd, options, engine, &first);
    while (rv == FLO_E_MEMORY_BUDGET && may_shrink && options->sessions > 2) {
        options->sessions = (options->sessions - 1) / 2 + 1;
        rv = flo_engine_open_fd(fd, options, engine, &first);
    }
    if (rv < 0 && err != NULL) {
        *err = first;
    }
    return rv;
}

static enum flo_kv_type cache_of(uint32_t cache)
{
    static const enum flo_kv_type types[FLO_WIRE_CACHES] = {[FLO_WIRE_CACHE_AUTO] = FLO_KV_AUTO,
                                                            [FLO_WIRE_CACHE_F16] = FLO_KV_F16,
                                                            [FLO_WIRE_CACHE_Q8_0] = FLO_KV_Q8_0,
                                                            [FLO_WIRE_CACHE_F32] = FLO_KV_F32,
                                                            [FLO_WIRE_CACHE_Q4_0] = FLO_KV_Q4_0};
    return types[cache];
}

static int check_open(const struct flo_wire_open *in, struct flo_err *err)
{
    if (in->sessions > FLO_SESSIONS_MAX) {
        return flo_fail(err, FLO_E_USAGE, "%u sessions, at most %u", in->sessions,
                        FLO_SESSIONS_MAX);
    }
    if (in->threads > FLO_ENGINE_THREADS_MAX) {
        return flo_fail(err, FLO_E_USAGE, "threads is %u, not 1 to %d", in->threads,
                        FLO_ENGINE_THREADS_MAX);
    }
    if (in->cache >= FLO_WIRE_CACHES) {
        return flo_fail(err, FLO_E_USAGE, "a cache of type %u", in->cache);
    }
    return 0;
}

/* Converts the options of OPEN, except for descriptors and texts. */
static struct flo_engine_options options_of(const struct flo_worker *worker,
                                            const struct flo_wire_open *in)
{
    uint32_t sessions = in->sessions == 0 ? SESSIONS_DEFAULT : in->sessions;
    return (struct flo_engine_options){
        .context = in->context,
        .threads = flo_pool_threads_of(in->threads),
        .sessions = sessions + 1,
        .batch = FLO_PASS_ROWS,
        .kv_type = cache_of(in->cache),
        .memory_bytes_max = in->memory_bytes_max,
        .request_bytes = FLO_REQUEST_BYTES,
        .compute = worker->compute,
        .accepts_inexact = worker->accepts_inexact,
    };
}

static int open_model(struct flo_worker *worker, const struct flo_wire_message *message,
                      struct flo_err *err)
{
    const struct flo_wire_open *in = &message->open;
    FLO_CLEANUP(flo_fd_cleanup) int kept = -1;
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf chat_template = {0};
    if (in->keeps_prefix && worker->engine == NULL && worker->n_fds > 0) {
        kept = worker->fds[--worker->n_fds];
    }
    uint32_t n_drafts = in->has_draft ? 1 : 0;
    if (worker->engine != NULL || worker->n_fds < 1 + in->n_adapters + n_drafts) {
        return flo_fail(err, FLO_E_WORKER_PROTOCOL,
                        worker->engine != NULL ? "OPEN came twice" : "OPEN without a descriptor");
    }
    int rv = check_open(in, err);
    if (rv == 0) {
        rv = begin_reading(worker, flo_pool_threads_of(in->threads), err);
    }
    if (rv < 0) {
        flo_worker_close_fds(worker);
        return rv;
    }
    flo_buf_add(&chat_template, in->chat_template.data, in->chat_template.bytes);
    if (chat_template.failed) {
        return flo_fail(err, FLO_E_MEMORY, "a chat template");
    }
    struct flo_engine_options options = options_of(worker, in);
    options.chat_template = chat_template.data;
    options.packed_fd = worker->n_fds > 1 + in->n_adapters + n_drafts ? worker->fds[1] : 0;
    options.pool = worker->pool;
    /* The descriptors of the adapters are the last ones, but for the draft. */
    const int *fds = worker->fds + worker->n_fds - n_drafts - in->n_adapters;
    rv = flo_adapters_reckon(in, fds, &options.adapter_bytes, err);
    flo_sandbox_bound(worker->fds, worker->n_fds,
                      in->memory_bytes_max == 0
                          ? 0
                          : in->memory_bytes_max + 2 * options.adapter_bytes + FLO_REQUEST_BYTES,
                      in->threads);
    if (rv == 0) {
        rv = open_engine(worker->fds[0], &options, in->sessions == 0, &worker->engine, err);
    }
    uint32_t sessions = options.sessions - 1;
    if (rv == 0) {
        rv = flo_adapters_open(&worker->adapters, worker->engine, in, fds, err);
    }
    if (rv == 0 && in->has_draft) {
        flo_worker_open_draft(worker, in, &options);
    }
    flo_worker_close_fds(worker);
    if (rv == 0) {
        rv = open_slots(worker, sessions + 1, err);
    }
    if (rv == 0 && kept >= 0) { /* the kept prefix is read into a session for users */
        worker->kept = flo_kept_open(worker->engine, kept, worker->slots[sessions - 1].session);
        kept = -1;
    }
    if (rv == 0 && worker->is_sandboxed) {
        rv = flo_engine_sandbox_enter(FLO_SANDBOX_SERVING, FLO_SANDBOX_REQUIRED, err);
    }
    FLO_TRY(rv);
    if (worker->opened != NULL) {
        worker->opened(worker->socket);
    }
    return put_ready(worker, message->request, err);
}

/* Computes the memory that OPEN would need, without opening the model. */
static int plan_model(struct flo_worker *worker, const struct flo_wire_message *message,
                      struct flo_err *err)
{
    const struct flo_wire_open *in = &message->open;
    struct flo_wire_message answer = {.type = FLO_WIRE_PLANNED, .request = message->request};
    struct flo_engine_plan plan = {0};
    uint32_t n_drafts = in->has_draft ? 1 : 0;
    if (worker->engine != NULL || worker->n_fds < 1 + n_drafts) {
        return flo_fail(err, FLO_E_WORKER_PROTOCOL,
                        worker->engine != NULL ? "PLAN after OPEN" : "PLAN without a descriptor");
    }
    int rv = check_open(in, err);
    if (rv == 0) {
        rv = begin_reading(worker, in->threads, err);
    }
    if (rv == 0) {
        struct flo_engine_options options = options_of(worker, in);
        options.adapter_bytes = in->adapter_bytes;
        options.packed = "";
        options.packed_fd = worker->n_fds > 1 + n_drafts ? worker->fds[1] : 0;
        flo_sandbox_bound(worker->fds, worker->n_fds, 0, in->threads);
        rv = flo_engine_plan_fd(worker->fds[0], &options, &plan, err);
    }
    if (rv == 0 && in->has_draft) {
        plan.total_bytes += flo_worker_plan_draft(worker, in, &plan);
    }
    flo_worker_close_fds(worker);
    FLO_TRY(rv);
    answer.planned =
        (struct flo_wire_planned){.weights_bytes = plan.weights_bytes,
                                  .private_bytes = plan.total_bytes - plan.weights_bytes,
                                  .context = plan.context,
                                  .sessions = plan.sessions - 1};
    return flo_wire_write(&worker->out, &answer, err);
}

static int pack_model(struct flo_worker *worker, const struct flo_wire_message *message,
                      struct flo_err *err)
{
    if (worker->engine != NULL || worker->n_fds < 1) {
        return flo_fail(err, FLO_E_WORKER_PROTOCOL,
                        worker->engine != NULL ? "PACK after OPEN" : "PACK without a descriptor");
    }
    /* The first PACK asks for the size of the packed file.  The agent then
     * makes the file, because this process may not grow one.  The second PACK
     * has it filled through a mapping. */
    struct flo_packing *packing = &worker->packing;
    int rv = begin_reading(worker, 1, err);
    if (rv == 0 && packing->sidecar == NULL) {
        flo_sandbox_bound(worker->fds, worker->n_fds, 0, 1);
        rv = flo_packing_open(worker->fds[0], true, packing, err);
    } else if (rv == 0) {
        rv = flo_sidecar_write(packing->sidecar, worker->fds[0], 1, NULL, NULL, err);
    }
    flo_worker_close_fds(worker);
    FLO_TRY(rv);
    struct flo_wire_message answer = {.type = FLO_WIRE_PACKED,
                                      .request = message->request,
                                      .packed.bytes = flo_sidecar_bytes(packing->sidecar)};
    return flo_wire_write(&worker->out, &answer, err);
}

/* ---- requests ---- */

/* Handles the frames LOAD and DROP, which load and unload an adapter. */
static int change_adapters(struct flo_worker *worker, const struct flo_wire_message *message,
                           struct flo_err *err)
{
    struct flo_wire_message answer = {.type = FLO_WIRE_ADAPTER,
                                      .request = message->request,
                                      .adapter.name = message->adapter.name};
    struct flo_adapter *adapter = NULL;
    int rv;
    if (message->type == FLO_WIRE_DROP) {
        rv =
            flo_adapters_drop(&worker->adapters, message->adapter.name, &answer.adapter.bytes, err);
    } else {
        if (worker->n_fds == 0) {
            return flo_fail(err, FLO_E_WORKER_PROTOCOL, "LOAD without a descriptor");
        }
        int fd = worker->fds[0];
        memmove(worker->fds, worker->fds + 1, --worker->n_fds * sizeof(fd));
        rv = flo_adapters_load(&worker->adapters, worker->engine, message->adapter.name, fd,
                               &adapter, err);
        close(fd);
        answer.adapter.bytes = adapter == NULL ? 0 : flo_adapter_info(adapter)->bytes;
    }
    flo_worker_sweep_adapters(worker);
    FLO_TRY(rv);
    return flo_wire_write(&worker->out, &answer, err);
}

/* Adds a GENERATE frame to the queue, where it waits for a session.  A probe is
 * accepted for any model. */
static int enqueue(struct flo_worker *worker, const struct flo_wire_message *message,
                   struct flo_err *err)
{
    struct flo_adapter *adapter = NULL;
    int rv = 0;
    const struct flo_engine_info *info = flo_engine_info(worker->engine);
    bool is_probe = message->generate.priority == FLO_WIRE_PROBE;
    if ((info->properties & FLO_COMPUTE_ANSWERS) == 0 &&
        (!is_probe || (info->properties & FLO_COMPUTE_POOLS) != 0)) {
        return flo_fail(err, FLO_E_INFER_PARAM, "the model %s and writes no text",
                        info->labels > 0 ? "ranks documents" : "makes vectors");
    }
    if (message->generate.adapter.bytes > 0) {
        rv = flo_adapters_find(&worker->adapters, message->generate.adapter, &adapter, err);
    }
    if (rv == 0) {
        rv = flo_waiting_add(&worker->waiting, message, adapter, err);
    }
    worker->requests += rv == 0;
    return rv;
}

static int embed(struct flo_worker *worker, const struct flo_wire_message *message,
                 struct flo_err *err)
{
    struct flo_adapter *adapter = NULL;
    if (flo_embed_count(&message->embed) == 0) {
        return flo_fail(err, FLO_E_INFER_PARAM, "no input");
    }
    if (message->embed.adapter.bytes > 0) {
        FLO_TRY(flo_adapters_find(&worker->adapters, message->embed.adapter, &adapter, err));
    }
    FLO_TRY(flo_waiting_add(&worker->waiting, message, adapter, err));
    worker->requests++;
    return 0;
}

static void cancel_waiting(struct flo_worker *worker, size_t i)
{
    const struct flo_waiter *waiter = &worker->waiting.list[i];
    struct flo_wire_done done = {0};
    uint64_t began_us = 0;
    if (i == flo_worker_first_embed(worker)) {
        done = worker->embed.counts;
        began_us = worker->embed.started_at_us;
    }
    done.reason = FLO_WIRE_CANCELLED;
    flo_frame_done(&worker->out, waiter->request, &done, waiter->came_us, began_us);
    flo_worker_end_waiting(worker, i);
}

static int cancel(struct flo_worker *worker, const struct flo_wire_message *message,
                  struct flo_err *err)
{
    uint32_t request = message->request;
    (void)err; /* an unknown request is no error, because it may have ended already */
    for (size_t i = 0; i < worker->waiting.count; i++) {
        if (worker->waiting.list[i].request == request) {
            cancel_waiting(worker, i);
            return 0;
        }
    }
    for (size_t i = 0; i < worker->n_slots; i++) {
        struct flo_slot *slot = &worker->slots[i];
        if (slot->job != NULL && slot->job->request == request) {
            flo_job_cancel(slot->job, &worker->out);
            flo_worker_free_slot(worker, slot);
            return 0;
        }
    }
    for (size_t i = 0; i < worker->n_paused; i++) {
        struct flo_job *job = worker->paused[i];
        if (job->request == request) {
            flo_job_cancel(job, &worker->out);
            flo_job_free(job);
            worker->n_paused--;
            memmove(&worker->paused[i], &worker->paused[i + 1],
                    (worker->n_paused - i) * sizeof(worker->paused[0]));
            return 0;
        }
    }
    return 0;
}

static int tokenise(struct flo_worker *worker, const struct flo_wire_message *message,
                    struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) int32_t *tokens = NULL;
    size_t count = 0;
    if (message->tokenise.text.bytes > FLO_WIRE_TOKENISE_MAX) {
        return flo_fail(err, FLO_E_INFER_TOO_LONG, "a text of %zu bytes, at most %d are read",
                        message->tokenise.text.bytes, FLO_WIRE_TOKENISE_MAX);
    }
    FLO_TRY(flo_tokens_read(worker->engine, message->tokenise.text,
                            (message->tokenise.reads_special ? FLO_TEXT_SPECIAL : 0) |
                                (message->tokenise.adds_ends ? FLO_TEXT_ENDS : 0),
                            FLO_WIRE_PAYLOAD_BYTES_MAX / 4, &tokens, &count, err));
    for (size_t i = 0; i < count; i++) {
        uint32_t id = (uint32_t)tokens[i];
        flo_put_u32(&tokens[i], id);
    }
    struct flo_wire_message answer = {.type = FLO_WIRE_TOKENS, .request = message->request};
    answer.tokens.tokens = (struct flo_wire_text){(const char *)tokens, 4 * count};
    return flo_wire_write(&worker->out, &answer, err);
}

static int detokenise(struct flo_worker *worker, const struct flo_wire_message *message,
                      struct flo_err *err)
{
    struct flo_wire_message answer = {.type = FLO_WIRE_TEXT, .request = message->request};
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {.bytes_max = FLO_WIRE_PAYLOAD_BYTES_MAX};
    FLO_CLEANUP(flo_free_cleanup) int32_t *tokens = NULL;
    size_t count = 0;
    FLO_TRY(flo_tokens_read(worker->engine, message->tokens.tokens, FLO_TEXT_IDS,
                            FLO_WIRE_TOKENISE_MAX, &tokens, &count, err));
    FLO_TRY(flo_engine_detokenise(worker->engine, tokens, count, true, &text, err));
    answer.string.text = (struct flo_wire_text){text.data, text.bytes};
    return flo_wire_write(&worker->out, &answer, err);
}

static int put_stats(struct flo_worker *worker, const struct flo_wire_message *message,
                     struct flo_err *err)
{
    struct flo_wire_message answer = {.type = FLO_WIRE_STATS_ANSWER, .request = message->request};
    struct rusage usage;
    for (size_t i = 0; i < worker->n_slots; i++) {
        answer.stats.running += worker->slots[i].job != NULL;
    }
    answer.stats.queued =
        (uint32_t)(worker->n_paused + flo_waiting_count(&worker->waiting, FLO_WIRE_GENERATE));
    answer.stats.requests = worker->requests;
    answer.stats.tokens_in = worker->tokens_in;
    answer.stats.tokens_out = worker->tokens_out;
    if (getrusage(RUSAGE_SELF, &usage) == 0) {
        answer.stats.rss_bytes_peak = (uint64_t)usage.ru_maxrss * 1024u;
    }
    return flo_wire_write(&worker->out, &answer, err);
}

static int put_pong(struct flo_worker *worker, const struct flo_wire_message *message,
                    struct flo_err *err)
{
    struct flo_wire_message answer = {.type = FLO_WIRE_PONG, .request = message->request};
    return flo_wire_write(&worker->out, &answer, err);
}

/* ---- all of them ---- */

static const struct {
    int (*act)(struct flo_worker *worker, const struct flo_wire_message *message,
               struct flo_err *err);
    bool needs_model;
} requests[] = {
    [FLO_WIRE_OPEN] = {open_model, false},      [FLO_WIRE_GENERATE] = {enqueue, true},
    [FLO_WIRE_CANCEL] = {cancel, false},        [FLO_WIRE_STATS] = {put_stats, false},
    [FLO_WIRE_PING] = {put_pong, false},        [FLO_WIRE_TOKENISE] = {tokenise, true},
    [FLO_WIRE_PACK] = {pack_model, false},      [FLO_WIRE_PLAN] = {plan_model, false},
    [FLO_WIRE_DETOKENISE] = {detokenise, true}, [FLO_WIRE_EMBED] = {embed, true},
    [FLO_WIRE_LOAD] = {change_adapters, true},  [FLO_WIRE_DROP] = {change_adapters, true},
};

int flo_worker_handle(struct flo_worker *worker, const struct flo_wire_message *message,
                      struct flo_err *err)
{
    size_t type = (size_t)message->type;
    if (type >= FLO_COUNT(requests) || requests[type].act == NULL) {
        return flo_fail(err, FLO_E_WORKER_PROTOCOL, "%s is an answer",
                        flo_wire_type_name((int)message->type));
    }
    int rv = worker->engine == NULL && requests[type].needs_model
                 ? flo_fail(err, FLO_E_STATE, "no model is open")
                 : requests[type].act(worker, message, err);
    if (rv < 0 && rv != FLO_E_WORKER_PROTOCOL) {
        flo_frame_fail(&worker->out, message->request, err);
        rv = 0;
    }
    return rv;
}
