/* Passes: assigns sessions to requests, and computes one pass over the tokens
 * of all scheduled requests (core/schedule.c).  Sessions keep their caches
 * after an answer, so the next request with the same beginning need not compute
 * it again. */
#include <flotilla/errors/infer.h>

#include "engine/run/worker.h"

#define EMBED_PIECE_BUSY 16 /* tokens */
#define LOST_MAX 64         /* most tokens that a session drops to go on with another request */
/* number of later requests after which an idle conversation is no longer
 * preferred */
#define OUTLASTED_MAX 64

/* ---- slots ---- */

void flo_worker_free_slot(struct flo_worker *worker, struct flo_slot *slot)
{
    worker->tokens_in += slot->job->counts.tokens_in;
    worker->tokens_out += slot->job->made;
    if (slot->job->guesses) {
        flo_draft_end(&slot->job->draft, slot->job->made);
        worker->drafting.known = slot->job->draft;
    }
    flo_job_free(slot->job);
    slot->job = NULL;
}

static bool is_used(const void *context, const struct flo_adapter *adapter)
{
    const struct flo_worker *worker = context;
    bool found = false;
    for (size_t i = 0; i < worker->n_slots; i++) {
        const struct flo_job *job = worker->slots[i].job;
        found |= job != NULL && job->adapter == adapter;
    }
    for (size_t i = 0; i < worker->n_paused; i++) {
        found |= worker->paused[i]->adapter == adapter;
    }
    for (size_t i = 0; i < worker->waiting.count; i++) {
        found |= worker->waiting.list[i].adapter == adapter;
    }
    return found;
}

void flo_worker_sweep_adapters(struct flo_worker *worker)
{
    flo_adapters_sweep(&worker->adapters, is_used, worker);
}

/* ---- sessions for requests that wait ---- */

static bool is_user(const struct flo_job *job)
{
    return job->priority == FLO_WIRE_USER;
}

/* Tells whether the session is free for this work.  The last session is only
 * for batch work, probes and vectors.  Vectors hold it from a request's first
 * input to its last. */
static bool is_free(const struct flo_worker *worker, size_t i, bool for_user)
{
    bool is_last = i + 1 == worker->n_slots;
    return worker->slots[i].job == NULL &&
           !(is_last && (for_user || worker->embed.started_at_us > 0));
}

/* Returns how many of the job's first tokens are its client's, because the
 * session or the kept prefix has them from this client. */
static uint32_t own_of(const struct flo_worker *worker, const struct flo_job *job,
                       const struct flo_slot *slot)
{
    return slot->client == job->client
               ? job->n_prompt
               : flo_kept_shared(worker->kept, job->tokens, job->n_prompt, job->client);
}

/* Returns how many tokens the job shares with the session.  With its own client's
 * session these are all common ones, with another client's only public ones and
 * its own kept prefix.  Otherwise timing and `cached_tokens` would reveal one
 * client's prompts to another. */
static uint32_t shared_with(const struct flo_worker *worker, const struct flo_job *job,
                            const struct flo_slot *slot)
{
    uint32_t common = flo_job_common(job, slot->session);
    if (slot->client != job->client) {
        uint32_t kept = flo_kept_shared(worker->kept, job->tokens, job->n_prompt, FLO_KEPT_PUBLIC);
        uint32_t open = kept > job->n_public ? kept : job->n_public;
        uint32_t own = own_of(worker, job, slot);
        common = flo_smaller(common, own > open ? own : open);
    }
    return common;
}

/* Returns how many tokens of the session the job may reuse without computing any
 * again. */
static uint32_t may_take(const struct flo_worker *worker, const struct flo_job *job,
                         const struct flo_slot *slot)
{
    return flo_session_held(slot->session, shared_with(worker, job, slot));
}

/* Returns how many tokens the job would keep if it continued in this session.
 * Returns 0 if it would drop more than the end of an answer; then the tokens
 * are copied and this session stays as it is. */
static uint32_t continued(const struct flo_worker *worker, const struct flo_job *job,
                          const struct flo_slot *slot)
{
    uint32_t common = may_take(worker, job, slot);
    uint32_t lost = flo_session_position(slot->session) - common;
    return lost <= flo_smaller(common, LOST_MAX) ? common : 0;
}

/* Returns the value of a session's tokens.  0: it is empty, 1: tokens of batch
 * work or a probe, 2: of a user's request, 3: of a conversation that a user
 * continued. */
static int worth(const struct flo_worker *worker, const struct flo_slot *slot)
{
    return flo_session_position(slot->session) == 0                               ? 0
           : !slot->is_users                                                      ? 1
           : !slot->was_continued || worker->starts - slot->began > OUTLASTED_MAX ? 2
                                                                                  : 3;
}

static bool gives_way(const struct flo_worker *worker, const struct flo_slot *a,
                      const struct flo_slot *b)
{
    int first = worth(worker, a), second = worth(worker, b);
    return first == second ? a->used < b->used : first < second;
}

/* Returns the free session that the job continues.  If there is none, it
 * returns the least valuable free session, and among equals the one unused for
 * longest. */
static struct flo_slot *find_free(struct flo_worker *worker, const struct flo_job *job)
{
    struct flo_slot *best = NULL;
    uint32_t best_count = 0;
    for (size_t i = 0; i < worker->n_slots; i++) {
        struct flo_slot *slot = &worker->slots[i];
        if (!is_free(worker, i, is_user(job))) {
            continue;
        }
        uint32_t count = continued(worker, job, slot);
        if (best == NULL || count > best_count ||
            (count == best_count && gives_way(worker, slot, best))) {
            best = slot;
            best_count = count;
        }
    }
    return best;
}

/* Takes a session away from batch work or a probe, from the job that began
 * last.  Returns false if there is none. */
static bool preempt(struct flo_worker *worker)
{
    struct flo_slot *found = NULL;
    for (size_t i = 0; i + 1 < worker->n_slots; i++) {
        struct flo_slot *slot = &worker->slots[i];
        if (!is_user(slot->job) && (found == NULL || slot->began > found->began)) {
            found = slot;
        }
    }
    if (found == NULL) {
        return false;
    }
    flo_job_pause(found->job);
    worker->paused[worker->n_paused++] = found->job;
    found->job = NULL;
    return true;
}

/* Tells whether a session is free for this work, or can be taken from batch
 * work. */
static bool has_room(struct flo_worker *worker, bool for_user)
{
    for (size_t i = 0; i < worker->n_slots; i++) {
        if (is_free(worker, i, for_user)) {
            return true;
        }
    }
    return for_user && preempt(worker);
}

/* Returns the session with the most tokens that the job may reuse, whether it
 * is free or busy. */
static const struct flo_slot *find_source(const struct flo_worker *worker,
                                          const struct flo_job *job, const struct flo_slot *slot)
{
    const struct flo_slot *best = slot;
    for (size_t i = 0; i < worker->n_slots; i++) {
        const struct flo_slot *other = &worker->slots[i];
        if (may_take(worker, job, other) > may_take(worker, job, best)) {
            best = other;
        }
    }
    return best;
}

/* Returns the most tokens that the job shares with a session. */
static uint32_t most_shared(const struct flo_worker *worker, const struct flo_job *job)
{
    uint32_t most = 0;
    for (size_t i = 0; i < worker->n_slots; i++) {
        uint32_t shared = shared_with(worker, job, &worker->slots[i]);
        most = shared > most ? shared : most;
    }
    return most;
}

static void start(struct flo_worker *worker, struct flo_job *job)
{
    struct flo_slot *slot = find_free(worker, job);
    struct flo_err err = {0};
    uint32_t shared = most_shared(worker, job);
    slot->is_users = is_user(job);
    slot->was_continued = continued(worker, job, slot) > 0;
    const struct flo_slot *source = find_source(worker, job, slot);
    uint32_t common = may_take(worker, job, source);
    uint32_t own = own_of(worker, job, source);
    job->sequence = (uint32_t)(slot - worker->slots);
    if (slot->client != job->client && worker->drafting.drafter != NULL) {
        flo_drafter_forget(worker->drafting.drafter, job->sequence);
    }
    slot->client = job->client;
    if (flo_job_start(job, slot->session, source->session, common, slot->sampler, &err) < 0) {
        flo_frame_fail(&worker->out, job->request, &err);
        flo_job_free(job);
        return;
    }
    flo_job_mark(job, shared);
    uint32_t reused = job->counts.cached_tokens;
    job->counts.cached_tokens = flo_smaller(reused, own);
    job->counts.public_tokens = reused - job->counts.cached_tokens;
    slot->job = job;
    slot->began = ++worker->starts;
}

/* Makes a job of the waiting request at index i, and starts it. */
static void start_waiter(struct flo_worker *worker, size_t i)
{
    const struct flo_waiter *waiter = &worker->waiting.list[i];
    struct flo_job *job = NULL;
    struct flo_err err = {0};
    flo_waiting_read(&worker->waiting, i, &worker->message);
    if (flo_job_new(worker->engine, &worker->message, &job, &err) < 0) {
        flo_frame_fail(&worker->out, waiter->request, &err);
    } else {
        job->adapter = waiter->adapter;
        job->made_at_us = waiter->came_us;
        flo_draft_begin(&job->draft, &worker->drafting.known);
        if (job->adapter == NULL && job->priority != FLO_WIRE_PROBE) {
            flo_kept_note(worker->kept, &(struct flo_beginning){job->tokens, job->n_prompt,
                                                                job->n_public, job->client});
        }
        start(worker, job);
    }
    flo_waiting_remove(&worker->waiting, i);
}

/* Starts waiting requests in order of arrival, either those of users or all
 * others. */
static void start_waiters(struct flo_worker *worker, bool users)
{
    for (size_t i = 0; i < worker->waiting.count;) {
        const struct flo_waiter *waiter = &worker->waiting.list[i];
        if (waiter->type != FLO_WIRE_GENERATE || waiter->is_user != users) {
            i++;
            continue;
        }
        if (!has_room(worker, users)) {
            return;
        }
        start_waiter(worker, i);
    }
}

static void start_waiting(struct flo_worker *worker)
{
    start_waiters(worker, true);
    while (worker->n_paused > 0 && has_room(worker, false)) {
        start(worker, worker->paused[--worker->n_paused]);
    }
    start_waiters(worker, false);
}

/* ---- one pass ---- */

/* Lists the jobs with a session, in the order in which they began. */
static size_t list_jobs(struct flo_worker *worker, struct flo_slot **slots, struct flo_turn *turns)
{
    size_t count = 0;
    for (size_t i = 0; i < worker->n_slots; i++) {
        struct flo_slot *slot = &worker->slots[i];
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
        const struct flo_job *job = slots[i]->job;
        turns[i] = (struct flo_turn){
            .priority = job->priority, .pending = flo_job_pending(job), .is_answer = job->made > 0};
    }
    return count;
}

/* Tells, between two layers, whether the pass should be cancelled.  A CANCEL
 * frame cancels any pass.  A GENERATE frame cancels a pass that no user waits
 * for. */
static bool is_wanted(void *context)
{
    const struct flo_worker *worker = context;
    uint32_t types = 1u << FLO_WIRE_CANCEL;
    if (!worker->is_waited_for) {
        types |= 1u << FLO_WIRE_GENERATE;
    }
    return worker->in.bytes == 0 && !worker->was_broken_off &&
           flo_frames_wait(worker->socket, types);
}

static void fail_all(struct flo_worker *worker, struct flo_slot **slots, size_t count,
                     const struct flo_err *err)
{
    for (size_t i = 0; i < count; i++) {
        flo_frame_fail(&worker->out, slots[i]->job->request, err);
        flo_worker_free_slot(worker, slots[i]);
    }
}

static void compute(struct flo_worker *worker, struct flo_slot **slots,
                    const struct flo_step *steps, size_t count)
{
    struct flo_err err = {0};
    uint64_t began_us = flo_now_us();
    uint32_t position = flo_session_position(steps[0].session);
    bool is_again = flo_session_held(steps[0].session, position) < position;
    int rv = flo_engine_step(worker->engine, steps, count, is_wanted, worker, &err);
    worker->was_broken_off = rv == FLO_E_INFER_CANCELLED;
    if (worker->was_broken_off) {
        return;
    }
    /* each request is computed alone, so that only the faulty one fails */
    if (rv == FLO_E_IO_READ && count > 1) {
        for (size_t i = 0; i < count; i++) {
            compute(worker, &slots[i], &steps[i], 1);
        }
        return;
    }
    if (rv < 0) {
        fail_all(worker, slots, count, &err);
        return;
    }
    if (count == 1 && !is_again) {
        flo_job_cost(slots[0]->job, &worker->drafting.costs, steps[0].count,
                     (float)(flo_now_us() - began_us));
    }
    worker->pass++;
    for (size_t i = 0; i < count; i++) {
        slots[i]->used = worker->pass;
        if (flo_job_finish(slots[i]->job)) {
            flo_worker_free_slot(worker, slots[i]);
        }
    }
}

/* Computes one pass.  Returns false if no request has a session. */
static bool run_pass(struct flo_worker *worker)
{
    struct flo_slot *slots[FLO_SESSIONS_MAX + 1];
    struct flo_turn turns[FLO_SESSIONS_MAX + 1];
    struct flo_step steps[FLO_SESSIONS_MAX + 1];
    size_t count = list_jobs(worker, slots, turns), n = 0;
    if (count == 0) {
        return false;
    }
    unsigned properties = flo_engine_info(worker->engine)->properties;
    bool may_guess = count == 1 && (properties & FLO_COMPUTE_DRAFTS) != 0;
    worker->drafting.costs.computes_again = (properties & FLO_COMPUTE_CUTS) == 0;
    worker->is_waited_for = flo_schedule_pass(&worker->schedule, turns, count);
    for (size_t i = 0; i < count; i++) {
        if (turns[i].rows > 0) {
            flo_job_prepare(slots[i]->job, turns[i].rows, may_guess ? &worker->drafting : NULL,
                            &worker->out, &steps[n]);
            slots[n++] = slots[i];
        }
    }
    compute(worker, slots, steps, n);
    return true;
}

size_t flo_worker_first_embed(const struct flo_worker *worker)
{
    size_t i = 0;
    while (i < worker->waiting.count && worker->waiting.list[i].type != FLO_WIRE_EMBED) {
        i++;
    }
    return i;
}

void flo_worker_end_waiting(struct flo_worker *worker, size_t i)
{
    if (i == flo_worker_first_embed(worker)) {
        flo_embed_reset(&worker->embed);
    }
    flo_waiting_remove(&worker->waiting, i);
}

static void end_embed(struct flo_worker *worker, size_t i, const struct flo_err *err)
{
    const struct flo_waiter *waiter = &worker->waiting.list[i];
    if (err->code != 0) {
        flo_frame_fail(&worker->out, waiter->request, err);
    } else {
        flo_frame_done(&worker->out, waiter->request, &worker->embed.counts, waiter->came_us,
                       worker->embed.started_at_us);
    }
    flo_worker_end_waiting(worker, i);
}

/* Computes a piece of the first request for vectors, in the last session, when
 * that is free.  The pieces are small while answers run.  Returns false if no
 * request waits for vectors. */
static bool step_embed(struct flo_worker *worker, bool has_answers)
{
    size_t i = flo_worker_first_embed(worker);
    struct flo_err err = {0};
    if (i == worker->waiting.count) {
        return false;
    }
    struct flo_slot *slot = &worker->slots[worker->n_slots - 1];
    if (slot->job != NULL) {
        return true;
    }
    slot->client = FLO_CLIENT_NOBODY;
    flo_waiting_read(&worker->waiting, i, &worker->message);
    const struct flo_wire_embed *in = &worker->message.embed;
    if (flo_session_set_adapter(slot->session, worker->waiting.list[i].adapter,
                                in->adapter_scale == 0 ? 1 : (float)in->adapter_scale, &err) < 0 ||
        flo_embed_step(&worker->embed, worker->engine, slot->session, &worker->message,
                       has_answers ? EMBED_PIECE_BUSY : FLO_PASS_ROWS, &worker->out, &err)) {
        end_embed(worker, i, &err);
    }
    return true;
}

bool flo_worker_step(struct flo_worker *worker)
{
    start_waiting(worker);
    bool has_answers = run_pass(worker);
    bool has_vectors = step_embed(worker, has_answers);
    flo_worker_sweep_adapters(worker);
    return has_answers || has_vectors;
}
