/* The engine process: one model, one socket, many requests together.
 *
 * A loop of: read what came, give waiting requests a session, compute one
 * pass over the tokens of those that are due (schedule.c), write.  Sessions
 * keep their caches behind an answer, so the next request with the same
 * beginning does not compute it again.  The process ends when the agent
 * closes the socket. */
#include "engine/run/run.h"
#include "engine/tools/tools.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define SOCKET 3
#define SESSIONS_DEFAULT 4 /* for users; one more is for probes */
#define SESSIONS_MAX 16
#define QUEUE_MAX 256
#define INPUT_BYTES_MAX (2 * FLO_WIRE_PAYLOAD_BYTES_MAX)
#define OUTPUT_BYTES_MAX (4 * FLO_WIRE_PAYLOAD_BYTES_MAX)
#define FDS_MAX (3 + FLO_WIRE_ADAPTERS_MAX)
#define EMBED_PIECE_BUSY 16      /* tokens */
#define OUTPUT_BYTES_BUSY 262144 /* the agent is slow: wait for it */

struct slot {
    struct flo_session *session;
    struct flo_sampler *sampler;
    struct flo_job *job; /* NULL: free */
    uint64_t began;      /* order in which jobs got their sessions */
    uint64_t used;       /* pass in which it was last used */
};

struct worker {
    int socket;
    int fds[FDS_MAX]; /* that came and wait for their OPEN, PACK or LOAD */
    size_t n_fds;
    bool is_sandboxed;
    void (*opened)(int socket);
    struct flo_engine *engine;
    struct flo_adapters adapters;
    struct slot slots[SESSIONS_MAX + 1]; /* users' but the last one */
    size_t n_slots;
    struct flo_job *queue[QUEUE_MAX]; /* in order of arrival */
    size_t n_queue;
    struct flo_embed *embeds;
    struct flo_kept *kept; /* NULL: none */
    struct flo_buf in, out;
    uint64_t requests, tokens_in, tokens_out;
    struct flo_schedule schedule;
    struct flo_draft_costs costs;
    uint64_t pass;
    uint64_t starts;
    bool is_waited_for;  /* a user waits for this pass */
    bool was_broken_off; /* the last pass; the next one will not be */
};

/* ---- opening ----------------------------------------------------- */

static int open_slots(struct worker *worker, size_t count, struct flo_err *err)
{
    static const struct flo_sampling greedy;
    worker->n_slots = count;
    for (size_t i = 0; i < count; i++) {
        int rv =
            flo_session_open(worker->engine, &worker->slots[i].session, err);
        if (rv == 0) {
            rv = flo_sampler_open(worker->engine, &greedy,
                                  &worker->slots[i].sampler, err);
        }
        if (rv < 0) {
            return rv;
        }
    }
    return 0;
}

static struct flo_wire_text text_of(const char *text)
{
    return (struct flo_wire_text){text, strlen(text)};
}

static int put_ready(struct worker *worker, uint32_t request,
                     struct flo_err *err)
{
    const struct flo_engine_info *info = flo_engine_info(worker->engine);
    struct flo_wire_message answer = {.type = FLO_WIRE_READY,
                                      .request = request};
    answer.ready = (struct flo_wire_ready){
        .arch = text_of(info->arch),
        .name = text_of(info->name),
        .kernel = text_of(info->kernel),
        .n_vocab = info->n_vocab,
        .n_layer = info->n_layer,
        .context = info->context,
        .context_trained = info->context_trained,
        .sessions = info->sessions,
        .threads = info->threads,
        .parameters = info->parameters,
        .weights_bytes = info->weights_bytes,
        .kv_bytes = info->kv_bytes,
        .scratch_bytes = info->scratch_bytes,
        .vocabulary_bytes = info->vocabulary_bytes,
        .load_us = info->load_us,
        .has_vocabulary = info->has_vocabulary,
        .is_sandboxed = worker->is_sandboxed,
        .is_packed = info->is_packed,
        .prefix_tokens = flo_kept_tokens(worker->kept),
    };
    return flo_wire_write(&worker->out, &answer, err);
}

static void close_fds(struct worker *worker)
{
    while (worker->n_fds > 0) {
        close(worker->fds[--worker->n_fds]);
    }
}

static int open_model(struct worker *worker,
                      const struct flo_wire_message *message,
                      struct flo_err *err)
{
    const struct flo_wire_open *in = &message->open;
    uint32_t sessions = in->sessions == 0 ? SESSIONS_DEFAULT : in->sessions;
    FLO_CLEANUP(flo_fd_cleanup) int kept = -1;
    if (in->keeps_prefix && worker->engine == NULL && worker->n_fds > 0) {
        kept = worker->fds[--worker->n_fds];
    }
    if (worker->engine != NULL || worker->n_fds < 1 + in->n_adapters) {
        return flo_fail(err, FLO_E_WORKER_PROTOCOL,
                        worker->engine != NULL ? "OPEN came twice"
                                               : "OPEN without a descriptor");
    }
    if (sessions > SESSIONS_MAX) {
        return flo_fail(err, FLO_E_USAGE, "%u sessions, at most %u", sessions,
                        SESSIONS_MAX);
    }
    struct flo_engine_options options = {
        .context = in->context,
        .threads = in->threads,
        .sessions = sessions + 1,
        .batch = FLO_PASS_ROWS,
        .memory_bytes_max = in->memory_bytes_max,
        .packed_fd = worker->n_fds > 1 + in->n_adapters ? worker->fds[1] : 0,
    };
    /* The descriptors of the adapters are the last ones. */
    const int *fds = worker->fds + worker->n_fds - in->n_adapters;
    int rv = flo_adapters_reckon(in, fds, &options.adapter_bytes, err);
    if (rv == 0) {
        rv = flo_engine_open_fd(worker->fds[0], &options, &worker->engine, err);
    }
    if (rv == 0) {
        rv = flo_adapters_open(&worker->adapters, worker->engine, in, fds, err);
    }
    close_fds(worker);
    if (rv == 0) {
        rv = open_slots(worker, sessions + 1, err);
    }
    if (rv == 0 && kept >= 0) { /* into the users' session taken last */
        struct slot *slot = &worker->slots[sessions - 1];
        worker->kept = flo_kept_open(worker->engine, kept, slot->session);
        slot->used = 1;
        kept = -1;
    }
    if (rv == 0 && worker->is_sandboxed) {
        rv = flo_sandbox_enter(FLO_SANDBOX_SERVING, err);
    }
    if (rv < 0) {
        return rv;
    }
    if (worker->opened != NULL) {
        worker->opened(worker->socket);
    }
    return put_ready(worker, message->request, err);
}

static int pack_model(struct worker *worker,
                      const struct flo_wire_message *message,
                      struct flo_err *err)
{
    if (worker->engine != NULL || worker->n_fds < 1) {
        return flo_fail(err, FLO_E_WORKER_PROTOCOL,
                        worker->engine != NULL ? "PACK after OPEN"
                                               : "PACK without a descriptor");
    }
    int rv = flo_pack_step(worker->fds[0], message, &worker->out, err);
    close_fds(worker);
    return rv;
}

/* ---- requests ---------------------------------------------------- */

static int take_adapter(struct worker *worker,
                        const struct flo_wire_generate *in, struct flo_job *job,
                        struct flo_err *err)
{
    double scale = in->adapter_scale == 0 ? 1 : in->adapter_scale;
    struct flo_adapter *adapter = NULL;
    int rv =
        in->adapter.bytes == 0
            ? 0
            : flo_adapters_find(&worker->adapters, in->adapter, &adapter, err);
    flo_job_set_adapter(job, adapter, (float)scale);
    return rv;
}

static bool is_used(const void *context, const struct flo_adapter *adapter)
{
    const struct worker *worker = context;
    bool found = false;
    for (size_t i = 0; i < worker->n_slots; i++) {
        const struct flo_job *job = worker->slots[i].job;
        found |= job != NULL && flo_job_has_adapter(job, adapter);
    }
    for (size_t i = 0; i < worker->n_queue; i++) {
        found |= flo_job_has_adapter(worker->queue[i], adapter);
    }
    return found;
}

/* LOAD and DROP. */
static int change_adapters(struct worker *worker,
                           const struct flo_wire_message *message,
                           struct flo_err *err)
{
    struct flo_wire_message answer = {.type = FLO_WIRE_ADAPTER,
                                      .request = message->request,
                                      .adapter.name = message->adapter.name};
    struct flo_adapter *adapter = NULL;
    int rv;
    if (worker->engine == NULL) {
        return flo_fail(err, FLO_E_STATE, "no model is open");
    }
    if (message->type == FLO_WIRE_DROP) {
        rv = flo_adapters_drop(&worker->adapters, message->adapter.name,
                               &answer.adapter.bytes, err);
    } else {
        if (worker->n_fds == 0) {
            return flo_fail(err, FLO_E_WORKER_PROTOCOL,
                            "LOAD without a descriptor");
        }
        int fd = worker->fds[0];
        memmove(worker->fds, worker->fds + 1, --worker->n_fds * sizeof(fd));
        rv = flo_adapters_load(&worker->adapters, worker->engine,
                               message->adapter.name, fd, &adapter, err);
        close(fd);
        answer.adapter.bytes =
            adapter == NULL ? 0 : flo_adapter_info(adapter)->bytes;
    }
    flo_adapters_sweep(&worker->adapters, is_used, worker);
    return rv < 0 ? rv : flo_wire_write(&worker->out, &answer, err);
}

static int enqueue(struct worker *worker,
                   const struct flo_wire_message *message, struct flo_err *err)
{
    if (worker->engine == NULL) {
        return flo_fail(err, FLO_E_STATE, "no model is open");
    }
    if (worker->n_queue == QUEUE_MAX) {
        return flo_fail(err, FLO_E_INFER_BUSY, "%d requests wait already",
                        QUEUE_MAX);
    }
    struct flo_job *job = NULL;
    int rv = flo_job_new(worker->engine, message, &job, err);
    if (rv == 0) {
        rv = take_adapter(worker, &message->generate, job, err);
    }
    if (rv < 0) {
        flo_job_free(job);
    } else {
        uint32_t count;
        const int32_t *prompt = flo_job_prompt(job, &count);
        flo_kept_note(worker->kept, prompt, count);
        worker->queue[worker->n_queue] = job;
        worker->n_queue++;
        worker->requests++;
    }
    return rv;
}

static void queue_remove(struct worker *worker, size_t i)
{
    worker->n_queue--;
    memmove(&worker->queue[i], &worker->queue[i + 1],
            (worker->n_queue - i) * sizeof(worker->queue[0]));
}

static void queue_insert(struct worker *worker, size_t i, struct flo_job *job)
{
    memmove(&worker->queue[i + 1], &worker->queue[i],
            (worker->n_queue - i) * sizeof(worker->queue[0]));
    worker->queue[i] = job;
    worker->n_queue++;
}

static void slot_free(struct worker *worker, struct slot *slot)
{
    worker->tokens_in += flo_job_tokens_in(slot->job);
    worker->tokens_out += flo_job_tokens_out(slot->job);
    flo_job_free(slot->job);
    slot->job = NULL;
}

static void cancel(struct worker *worker, uint32_t request)
{
    if (flo_embeds_cancel(&worker->embeds, request, &worker->out)) {
        return;
    }
    for (size_t i = 0; i < worker->n_slots; i++) {
        struct slot *slot = &worker->slots[i];
        if (slot->job != NULL && flo_job_request(slot->job) == request) {
            flo_job_cancel(slot->job, &worker->out);
            slot_free(worker, slot);
            return;
        }
    }
    for (size_t i = 0; i < worker->n_queue; i++) {
        struct flo_job *job = worker->queue[i];
        if (flo_job_request(job) == request) {
            flo_job_cancel(job, &worker->out);
            flo_job_free(job);
            queue_remove(worker, i);
            return;
        }
    }
}

static int tokenise(struct worker *worker,
                    const struct flo_wire_message *message, struct flo_err *err)
{
    int32_t *tokens = NULL;
    size_t count = 0;
    if (worker->engine == NULL) {
        return flo_fail(err, FLO_E_STATE, "no model is open");
    }
    int rv =
        flo_job_tokenise(worker->engine, message->tokenise.text.data,
                         message->tokenise.text.bytes,
                         message->tokenise.reads_special, &tokens, &count, err);
    if (rv < 0) {
        return rv;
    }
    for (size_t i = 0; i < count; i++) {
        uint32_t id = (uint32_t)tokens[i];
        flo_put_u32(&tokens[i], id);
    }
    struct flo_wire_message answer = {.type = FLO_WIRE_TOKENS,
                                      .request = message->request};
    answer.tokens.tokens =
        (struct flo_wire_text){(const char *)tokens, 4 * count};
    rv = flo_wire_write(&worker->out, &answer, err);
    free(tokens);
    return rv;
}

static int detokenise(struct worker *worker,
                      const struct flo_wire_message *message,
                      struct flo_err *err)
{
    struct flo_wire_message answer = {.type = FLO_WIRE_TEXT,
                                      .request = message->request};
    struct flo_buf text = {0};
    int32_t *tokens = NULL;
    size_t count = 0;
    if (worker->engine == NULL) {
        return flo_fail(err, FLO_E_STATE, "no model is open");
    }
    int rv = flo_ids_take(worker->engine, message->tokens.tokens, &tokens,
                          &count, err);
    rv = rv < 0 ? rv
                : flo_engine_detokenise(worker->engine, tokens, count, true,
                                        &text, err);
    answer.string.text = (struct flo_wire_text){text.data, text.bytes};
    rv = rv < 0 ? rv : flo_wire_write(&worker->out, &answer, err);
    flo_buf_deinit(&text);
    free(tokens);
    return rv;
}

static int embed(struct worker *worker, const struct flo_wire_message *message,
                 struct flo_err *err)
{
    if (worker->engine == NULL) {
        return flo_fail(err, FLO_E_STATE, "no model is open");
    }
    int rv = flo_embeds_add(&worker->embeds, worker->engine, message, err);
    worker->requests += rv == 0;
    return rv;
}

static int put_stats(struct worker *worker, uint32_t request,
                     struct flo_err *err)
{
    struct flo_wire_message answer = {.type = FLO_WIRE_STATS_ANSWER,
                                      .request = request};
    struct rusage usage;
    for (size_t i = 0; i < worker->n_slots; i++) {
        answer.stats.running += worker->slots[i].job != NULL;
    }
    answer.stats.queued = (uint32_t)worker->n_queue;
    answer.stats.requests = worker->requests;
    answer.stats.tokens_in = worker->tokens_in;
    answer.stats.tokens_out = worker->tokens_out;
    if (getrusage(RUSAGE_SELF, &usage) == 0) {
        answer.stats.rss_bytes_peak = (uint64_t)usage.ru_maxrss * 1024u;
    }
    return flo_wire_write(&worker->out, &answer, err);
}

/* One frame; only an error of the protocol is fatal, others are answered. */
static int handle(struct worker *worker, const struct flo_wire_message *message,
                  struct flo_err *err)
{
    struct flo_wire_message pong = {.type = FLO_WIRE_PONG,
                                    .request = message->request};
    int rv = 0;
    switch (message->type) {
    case FLO_WIRE_OPEN:
        rv = open_model(worker, message, err);
        break;
    case FLO_WIRE_PACK:
        rv = pack_model(worker, message, err);
        break;
    case FLO_WIRE_GENERATE:
        rv = enqueue(worker, message, err);
        break;
    case FLO_WIRE_CANCEL:
        cancel(worker, message->request);
        break;
    case FLO_WIRE_STATS:
        rv = put_stats(worker, message->request, err);
        break;
    case FLO_WIRE_PING:
        rv = flo_wire_write(&worker->out, &pong, err);
        break;
    case FLO_WIRE_TOKENISE:
        rv = tokenise(worker, message, err);
        break;
    case FLO_WIRE_DETOKENISE:
        rv = detokenise(worker, message, err);
        break;
    case FLO_WIRE_EMBED:
        rv = embed(worker, message, err);
        break;
    case FLO_WIRE_LOAD:
    case FLO_WIRE_DROP:
        rv = change_adapters(worker, message, err);
        break;
    default:
        rv = flo_fail(err, FLO_E_WORKER_PROTOCOL, "%s is an answer",
                      flo_wire_type_name((int)message->type));
        break;
    }
    if (rv < 0 && rv != FLO_E_WORKER_PROTOCOL) {
        flo_job_fail(&worker->out, message->request, err);
        rv = 0;
    }
    return rv;
}

/* ---- sessions for those who wait --------------------------------- */

static bool is_user(const struct flo_job *job)
{
    return flo_job_priority(job) == FLO_WIRE_USER;
}

/* The free session that holds most of the job's tokens; among equals the one
 * that was not used for longest. */
static struct slot *find_free(struct worker *worker, const struct flo_job *job)
{
    size_t count = worker->n_slots - (is_user(job) ? 1 : 0);
    struct slot *best = NULL;
    uint32_t best_common = 0;
    for (size_t i = 0; i < count; i++) {
        struct slot *slot = &worker->slots[i];
        bool is_embedding =
            i + 1 == worker->n_slots && !flo_embeds_is_between(worker->embeds);
        if (slot->job != NULL || is_embedding) {
            continue;
        }
        uint32_t common = flo_job_common(job, slot->session);
        if (best == NULL || common > best_common ||
            (common == best_common && slot->used < best->used)) {
            best = slot;
            best_common = common;
        }
    }
    return best;
}

/* Work that can wait gives its session up: the newest one does. */
static struct slot *find_preempted(struct worker *worker)
{
    struct slot *found = NULL;
    for (size_t i = 0; i + 1 < worker->n_slots; i++) {
        struct slot *slot = &worker->slots[i];
        if (slot->job != NULL && !is_user(slot->job) &&
            (found == NULL || slot->began > found->began)) {
            found = slot;
        }
    }
    if (found != NULL && worker->n_queue < QUEUE_MAX) {
        flo_job_pause(found->job);
        queue_insert(worker, 0, found->job);
        found->job = NULL;
        return found;
    }
    return NULL;
}

/* The session that holds most of the job's tokens, busy or not. */
static struct flo_session *find_source(struct worker *worker,
                                       const struct flo_job *job,
                                       const struct slot *slot)
{
    struct flo_session *best = slot->session;
    for (size_t i = 0; i < worker->n_slots; i++) {
        struct flo_session *other = worker->slots[i].session;
        if (flo_job_common(job, other) > flo_job_common(job, best)) {
            best = other;
        }
    }
    return best;
}

static void start(struct worker *worker, struct slot *slot, struct flo_job *job)
{
    struct flo_err err = {0};
    if (flo_job_start(job, slot->session, find_source(worker, job, slot),
                      slot->sampler, &err) < 0) {
        flo_job_fail(&worker->out, flo_job_request(job), &err);
        flo_job_free(job);
        return;
    }
    slot->job = job;
    slot->began = ++worker->starts;
}

/* Users before the others, each kind in the order of arrival. */
static void start_waiting(struct worker *worker)
{
    for (int users = 1; users >= 0; users--) {
        for (size_t q = 0; q < worker->n_queue;) {
            struct flo_job *job = worker->queue[q];
            if (is_user(job) != (users == 1)) {
                q++;
                continue;
            }
            queue_remove(worker, q);
            struct slot *slot = find_free(worker, job);
            bool makes_room = slot == NULL && users == 1;
            slot = makes_room ? find_preempted(worker) : slot;
            if (slot == NULL) {
                queue_insert(worker, q, job);
                break;
            }
            start(worker, slot, job);
            q += makes_room ? 1 : 0; /* the one that made room is before it */
        }
    }
}

/* ---- one pass ---------------------------------------------------- */

/* The jobs that have a session, in the order in which they began. */
static size_t list_jobs(struct worker *worker, struct slot **slots,
                        struct flo_turn *turns)
{
    size_t count = 0;
    for (size_t i = 0; i < worker->n_slots; i++) {
        struct slot *slot = &worker->slots[i];
        if (slot->job == NULL) {
            continue;
        }
        size_t at = count++;
        for (; at > 0 && slots[at - 1]->began > slot->began; at--) {
            slots[at] = slots[at - 1];
        }
        slots[at] = slot;
    }
    for (size_t i = 0; i < count; i++) {
        turns[i] = (struct flo_turn){flo_job_priority(slots[i]->job),
                                     flo_job_pending(slots[i]->job), 0};
    }
    return count;
}

/* Asked between two layers.  A pass that nobody waits for ends when a request
 * comes; any pass when something is cancelled. */
static bool is_wanted(void *context)
{
    struct worker *worker = context;
    uint8_t head[FLO_WIRE_HEAD_BYTES];
    ssize_t n =
        recv(worker->socket, head, sizeof(head), MSG_DONTWAIT | MSG_PEEK);
    int type;
    if (n < FLO_WIRE_HEAD_BYTES || worker->in.bytes > 0 ||
        worker->was_broken_off) {
        return false;
    }
    type = flo_get_u16(head + 8);
    return type == FLO_WIRE_CANCEL ||
           (type == FLO_WIRE_GENERATE && !worker->is_waited_for);
}

static void fail_all(struct worker *worker, struct slot **slots, size_t count,
                     const struct flo_err *err)
{
    for (size_t i = 0; i < count; i++) {
        flo_job_fail(&worker->out, flo_job_request(slots[i]->job), err);
        slot_free(worker, slots[i]);
    }
}

static void compute(struct worker *worker, struct slot **slots,
                    const struct flo_step *steps, size_t count)
{
    struct flo_err err = {0};
    uint64_t began_us = flo_now_us();
    int rv =
        flo_engine_step(worker->engine, steps, count, is_wanted, worker, &err);
    worker->was_broken_off = rv == FLO_E_INFER_CANCELLED;
    if (worker->was_broken_off) {
        return;
    }
    if (rv < 0) {
        fail_all(worker, slots, count, &err);
        return;
    }
    if (count == 1) {
        flo_draft_cost(&worker->costs, steps[0].count,
                       (float)(flo_now_us() - began_us));
    }
    worker->pass++;
    for (size_t i = 0; i < count; i++) {
        slots[i]->used = worker->pass;
        if (flo_job_finish(slots[i]->job)) {
            slot_free(worker, slots[i]);
        }
    }
}

/* false: nothing to do. */
static bool run_pass(struct worker *worker)
{
    struct slot *slots[SESSIONS_MAX + 1];
    struct flo_turn turns[SESSIONS_MAX + 1];
    struct flo_step steps[SESSIONS_MAX + 1];
    size_t count = list_jobs(worker, slots, turns), n = 0;
    if (count == 0) {
        return false;
    }
    worker->is_waited_for = flo_schedule_pass(&worker->schedule, turns, count);
    for (size_t i = 0; i < count; i++) {
        if (turns[i].rows > 0) {
            flo_job_prepare(slots[i]->job, turns[i].rows,
                            count == 1 ? &worker->costs : NULL, &worker->out,
                            &steps[n]);
            slots[n++] = slots[i];
        }
    }
    compute(worker, slots, steps, n);
    return true;
}

/* Vectors are made in the session of those who can wait, when it is free;
 * beside answers in pieces so small that nobody notices. */
static bool step_embeds(struct worker *worker, bool has_answers)
{
    if (worker->embeds == NULL || worker->engine == NULL) {
        return false;
    }
    struct slot *slot = &worker->slots[worker->n_slots - 1];
    if (slot->job != NULL) {
        return true;
    }
    /* Vectors are the base's; only what a request left there goes. */
    return flo_session_set_adapter(slot->session, NULL, 0, NULL) == 0 &&
           flo_embeds_step(&worker->embeds, worker->engine, slot->session,
                           has_answers ? EMBED_PIECE_BUSY : FLO_PASS_ROWS,
                           &worker->out);
}

/* ---- the socket -------------------------------------------------- */

/* Keep as many as OPEN may have; close all others. */
static void take_descriptors(struct worker *worker, struct msghdr *head)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(head); c != NULL;
         c = CMSG_NXTHDR(head, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
            if (worker->n_fds < FDS_MAX) {
                worker->fds[worker->n_fds++] = fd;
            } else {
                close(fd);
            }
        }
    }
}

/* 1: something came, 0: nothing now, -1: the end. */
static int receive(struct worker *worker)
{
    static char piece[65536];
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(FDS_MAX * sizeof(int))];
    struct iovec vector = {piece, sizeof(piece)};
    struct msghdr head = {.msg_iov = &vector,
                          .msg_iovlen = 1,
                          .msg_control = control,
                          .msg_controllen = sizeof(control)};
    ssize_t n = recvmsg(worker->socket, &head, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0) {
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    }
    take_descriptors(worker, &head);
    if (n == 0) {
        return -1;
    }
    flo_buf_add(&worker->in, piece, (size_t)n);
    return worker->in.failed ? -1 : 1;
}

/* Whole frames from the front of the input. */
static int handle_input(struct worker *worker)
{
    static struct flo_wire_message message;
    size_t at = 0;
    while (at < worker->in.bytes) {
        struct flo_err err = {0};
        ptrdiff_t used = flo_wire_read(worker->in.data + at,
                                       worker->in.bytes - at, &message, &err);
        if (used == 0) {
            break;
        }
        if (used < 0 || handle(worker, &message, &err) < 0) {
            return -1;
        }
        at += (size_t)used;
    }
    memmove(worker->in.data, worker->in.data + at, worker->in.bytes - at);
    worker->in.bytes -= at;
    return 0;
}

static int send_output(struct worker *worker)
{
    size_t at = 0;
    while (at < worker->out.bytes) {
        ssize_t n = send(worker->socket, worker->out.data + at,
                         worker->out.bytes - at, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && errno != EAGAIN) {
            return -1;
        }
        if (n < 0) {
            break;
        }
        at += (size_t)n;
    }
    if (at > 0) {
        memmove(worker->out.data, worker->out.data + at,
                worker->out.bytes - at);
        worker->out.bytes -= at;
    }
    return worker->out.failed ? -1 : 0;
}

/* Nobody wants anything: write what requests share, until somebody does. */
static void keep_prefix(struct worker *worker)
{
    bool is_written = false;
    for (size_t i = 0; i < worker->n_slots && !is_written; i++) {
        is_written = flo_kept_write(worker->kept, worker->slots[i].session,
                                    worker->socket);
    }
    if (!is_written) {
        flo_kept_give_up(worker->kept);
    }
}

static void run(struct worker *worker)
{
    bool has_work = false;
    for (;;) {
        bool is_full = worker->out.bytes > OUTPUT_BYTES_BUSY;
        int quiet_ms = has_work ? -1 : flo_kept_wait_ms(worker->kept);
        struct pollfd wait = {.fd = worker->socket, .events = POLLIN};
        if (worker->out.bytes > 0) {
            wait.events |= POLLOUT;
        }
        int ready = poll(&wait, 1, has_work && !is_full ? 0 : quiet_ms);
        if (ready < 0 && errno != EINTR) {
            return;
        }
        if (ready == 0 && quiet_ms > 0) {
            keep_prefix(worker);
        }
        int got = 1;
        while (got > 0 && (wait.revents & (POLLIN | POLLHUP)) != 0) {
            got = receive(worker);
            if (got < 0 || handle_input(worker) < 0) {
                return;
            }
        }
        if (!is_full) {
            start_waiting(worker);
            has_work = run_pass(worker);
            has_work = step_embeds(worker, has_work) || has_work;
            flo_adapters_sweep(&worker->adapters, is_used, worker);
        }
        if (send_output(worker) < 0) {
            return;
        }
    }
}

/* ---- life -------------------------------------------------------- */

static void close_all(struct worker *worker)
{
    for (size_t i = 0; i < worker->n_slots; i++) {
        flo_job_free(worker->slots[i].job);
        flo_sampler_close(worker->slots[i].sampler);
        flo_session_close(worker->slots[i].session);
    }
    for (size_t i = 0; i < worker->n_queue; i++) {
        flo_job_free(worker->queue[i]);
    }
    flo_embeds_close(&worker->embeds);
    flo_kept_close(worker->kept);
    flo_adapters_close(&worker->adapters);
    flo_engine_close(worker->engine);
    flo_buf_deinit(&worker->in);
    flo_buf_deinit(&worker->out);
    flo_pack_end();
    close_fds(worker);
}

int flo_worker_serve(int socket, void (*opened)(int socket))
{
    static struct worker worker;
    struct flo_err err = {0};
    worker.socket = socket;
    worker.opened = opened;
    worker.in.bytes_max = INPUT_BYTES_MAX;
    worker.out.bytes_max = OUTPUT_BYTES_MAX;
    flo_sandbox_prepare(socket);
    int rv = flo_sandbox_enter(FLO_SANDBOX_OPENING, &err);
    if (rv < 0) {
        flo_job_fail(&worker.out, 0, &err);
        rv = send_output(&worker);
        return FLO_EXIT_OTHER;
    }
    worker.is_sandboxed = rv == 1;
    run(&worker);
    close_all(&worker);
    return FLO_EXIT_OK;
}

int flo_cmd_worker(int argc, char **argv)
{
    struct flo_err err = {0};
    int type = 0;
    socklen_t bytes = sizeof(type);
    (void)argv;
    if (argc != 1 ||
        getsockopt(SOCKET, SOL_SOCKET, SO_TYPE, &type, &bytes) < 0 ||
        type != SOCK_STREAM) {
        flo_fail(&err, FLO_E_USAGE,
                 "worker is started by flotilla-agent, with a socket as "
                 "descriptor 3");
        flo_err_fix(&err, "flotilla-agent serve --model FILE");
        return flo_err_print(stderr, &err);
    }
    return flo_worker_serve(SOCKET, NULL);
}
