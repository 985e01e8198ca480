/* Probe: finds out whether the candidate's engine is good enough to serve.  It
 * plays every golden case on the candidate, then compares its speed with the
 * live engine's (probe_speed.c), then checks its memory. */
#include "agent/serve/probe/probe_state.h"
#include "agent/serve/probe/score.h"

#include <assert.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/probe.h>
#include <flotilla/errors/worker.h>
#include <flotilla/plural.h>

#define TIMEOUT_MS 60000
/* divisor: an engine that sends nothing for timeout / STALLED_PARTS counts as
 * hung */
#define STALLED_PARTS 4

static void probe_next(struct probe *probe);

/* ---- the end ---- */

static void probe_free(struct probe *probe)
{
    flo_probe_speed_end(probe);
    flo_serve_engine_cancel(&probe->call);
    flo_event_drop(&probe->deadline);
    flo_event_drop(&probe->wake);
    flo_golden_deinit(&probe->golden);
    flo_buf_deinit(&probe->text);
    free(probe->vector);
    free(probe);
}

void flo_probe_close(struct probe *probe)
{
    probe->serve->probe = NULL;
    probe_free(probe);
}

bool flo_probe_is_of(const struct probe *probe, const struct serve_place *place)
{
    return probe != NULL && probe->place == place;
}

static void tell(struct probe *probe)
{
    struct flo_probe_result result = probe->result;
    void (*done)(void *context, const struct flo_probe_result *result) = probe->done;
    struct flo_news *news = probe->serve->news;
    unsigned model = probe->place->model;
    void *context = probe->context;
    flo_probe_close(probe);
    flo_news_probed(news, model, done, context, &result);
}

/* ---- frames ---- */

/* Compares the probabilities of a token with those that its case expects. */
static void follow_token(struct probe *probe, const struct flo_wire_token *token)
{
    struct flo_wire_text rest = token->logprobs;
    struct flo_golden_likely tokens[1 + FLO_WIRE_LOGPROBS_MAX];
    struct flo_wire_logprob one;
    size_t count = 0;

    while (count < FLO_COUNT(tokens) && flo_wire_logprob_next(&rest, &one)) {
        tokens[count++] = (struct flo_golden_likely){(int32_t)one.token, -(double)one.logprob};
    }
    if (count > 0) {
        flo_golden_follow_token(&probe->follow, tokens, count);
    }
}

static void on_token(struct probe *probe, const struct flo_wire_token *token)
{
    probe->nonfinite += token->is_finite ? 0 : 1;
    if (probe->phase == PROBE_GOLDEN_CASES) {
        flo_buf_add(&probe->text, token->text.data, token->text.bytes);
        follow_token(probe, token);
        if (probe->n_tokens < FLO_GOLDEN_TOKENS_MAX) {
            probe->tokens[probe->n_tokens++] = (int32_t)token->token;
        }
        uint64_t us = token->cpu_us > 0 ? token->cpu_us : token->wall_us;
        if (token->index > 0 && us > 0) {
            probe->token_us = us;
        }
    } else {
        flo_probe_speed_token(probe, token);
    }
}

static void fail_case(struct probe *probe, const struct flo_golden_case *c,
                      const struct flo_err *err)
{
    if (probe->result.failed_case[0] == '\0') {
        probe->first_fault = *err;
        snprintf(probe->result.failed_case, sizeof(probe->result.failed_case), "%s", c->id);
    }
}

/* Tells whether a program ended as the case expects.  A case that expects no
 * exit status expects 0. */
static bool ended_well(const struct flo_golden_case *c, const struct flo_wire_done *done,
                       struct flo_err *err)
{
    for (uint32_t i = 0; i < c->n_expect; i++) {
        if (c->expect[i].kind == FLO_GOLDEN_EXIT) {
            return true;
        }
    }
    if (done->exit_status != 0) {
        flo_fail(err, FLO_E_PROBE_GOLDEN, "case %s: the check ended with status %u", c->id,
                 done->exit_status);
    }
    return done->exit_status == 0;
}

static void end_case(struct probe *probe, const struct flo_wire_done *done)
{
    const struct flo_golden_case *c = &probe->golden.cases[probe->next_case];
    flo_buf_add(&probe->text, done->text.data, done->text.bytes);
    flo_buf_text(&probe->text, "");
    uint32_t nonfinite = done->nonfinite > probe->nonfinite ? done->nonfinite : probe->nonfinite;
    if (nonfinite > 0) {
        probe->result.nonfinite += nonfinite;
        fail_case(probe, c, &(const struct flo_err){0});
        flo_probe_finish(probe, FLO_E_PROBE_NONFINITE,
                         "case %s: %u tokens came from NaN or infinity", c->id, nonfinite);
        return;
    }
    const struct flo_golden_answer answer = {
        .text = probe->text.data,
        .bytes = probe->text.bytes,
        .tokens = probe->tokens,
        .n_tokens = probe->n_tokens,
        .vector = probe->vector,
        .n_vector = probe->n_vector,
        .exit_status = (int)done->exit_status,
        .follow = &probe->follow,
    };
    struct flo_err err = {0};
    if (!probe->text.failed && ended_well(c, done, &err) &&
        flo_golden_judge(c, probe->without, &answer, &err) == 0) {
        probe->result.passed++;
    } else {
        flo_log_err(FLO_LOG_INFO, "probe", &err);
        fail_case(probe, c, &err);
    }
    probe->next_case++;
    probe_next(probe);
}

/* Tells whether the process or the runtime caused the error, and not the
 * answers. */
static bool is_engines(int code)
{
    static const char *const groups[] = {"engine.", "runtime."};
    const char *id = flo_error_id(code);
    for (size_t i = 0; i < FLO_COUNT(groups); i++) {
        if (strncmp(id, groups[i], strlen(groups[i])) == 0) {
            return true;
        }
    }
    return code == FLO_E_WORKER_PROTOCOL;
}

static void on_failed(struct probe *probe, const struct flo_wire_failed *failed)
{
    const struct flo_golden_case *c = &probe->golden.cases[probe->next_case];
    struct flo_err err = {0};
    flo_serve_engine_failure(failed, &err);
    if (probe->phase == PROBE_TIMING) {
        flo_probe_speed_run_failed(probe, &err);
        return;
    }
    fail_case(probe, c, &err);
    flo_probe_finish(probe,
                     err.code == FLO_E_INFER_BUSY ? FLO_E_PROBE_UNSURE
                     : is_engines(err.code)       ? err.code
                                                  : FLO_E_PROBE_GOLDEN,
                     "case %s cannot run: %s", c->id, err.what);
}

/* Stores the vector of a case's answer.  Only one is expected, because a case
 * has one text. */
static void on_embedding(struct probe *probe, const struct flo_wire_embedding *embedding)
{
    uint32_t count = (uint32_t)(embedding->vector.bytes / sizeof(float));
    float *vector = realloc(probe->vector, embedding->vector.bytes + 1);
    if (vector == NULL) {
        return; /* memory is lacking; the case fails without a vector */
    }
    probe->vector = vector;
    probe->n_vector = count;
    for (uint32_t i = 0; i < count; i++) {
        vector[i] = flo_get_f32(embedding->vector.data + 4 * i);
    }
}

static void on_frame(void *context, const struct flo_wire_message *message)
{
    struct probe *probe = context;
    if (probe->phase == PROBE_DONE) {
        return;
    }
    probe->progress_ms = flo_now_ms();
    if (message->type == FLO_WIRE_TOKEN) {
        on_token(probe, &message->token);
    } else if (message->type == FLO_WIRE_EMBEDDING) {
        on_embedding(probe, &message->embedding);
    } else if (message->type == FLO_WIRE_FAILED) {
        on_failed(probe, &message->failed);
    } else if (message->type != FLO_WIRE_DONE) {
        flo_probe_finish(probe, FLO_E_WORKER_PROTOCOL, "an answer of another kind");
    } else if (probe->phase == PROBE_GOLDEN_CASES) {
        end_case(probe, &message->done);
    } else {
        flo_probe_speed_run_ended(probe);
    }
}

static void on_lost(void *context, const struct flo_err *err)
{
    struct probe *probe = context;
    if (probe->phase == PROBE_TIMING && flo_probe_speed_side(probe) == PROBE_CURRENT) {
        probe_next(probe); /* the next run waits until an engine is live again */
        return;
    }
    flo_probe_finish(probe, err->code != 0 ? err->code : FLO_E_ENGINE_CRASH, "%s", err->what);
}

/* ---- cases ---- */

static void end_cases(struct probe *probe)
{
    uint32_t played = probe->result.cases - probe->n_unable;
    if (played == 0) {
        flo_probe_finish(probe, FLO_E_PROBE_GOLDEN,
                         "none of %u golden case%s can be played on the runtime of %s",
                         probe->result.cases, flo_s(probe->result.cases), probe->candidate->name);
        return;
    }
    if (probe->n_unable > 0) {
        flo_log(FLO_LOG_INFO, "probe", "%u of %u golden case%s %s more than the runtime of %s has",
                probe->n_unable, probe->result.cases, flo_s(probe->result.cases),
                flo_plural(probe->n_unable, "needs", "need"), probe->candidate->name);
    }
    probe->result.cases = played;
    /* Another runtime rounds in other places than the one that made the cases. */
    bool is_good = probe->result.passed == played &&
                   (probe->candidate->runtime[0] != '\0' ||
                    flo_golden_judge_rivals(&probe->follow, probe->candidate->kernel,
                                            &probe->first_fault) == 0);
    if (is_good && probe->candidate->is_silent) {
        /* A program without requests has no times per token to compare, so its
         * memory is checked next. */
        flo_probe_judge_memory(probe);
        return;
    }
    if (is_good) {
        flo_probe_speed_begin(probe);
        return;
    }
    flo_probe_finish(probe, FLO_E_PROBE_GOLDEN, "%u of %u golden case%s passed, first failed: %s",
                     probe->result.passed, played, flo_s(played),
                     probe->first_fault.what[0] != '\0' ? probe->first_fault.what
                                                        : probe->result.failed_case);
}

/* Tells whether the candidate's engine can answer the case, and the case checks
 * something. */
static bool is_playable(const struct probe *probe, const struct flo_golden_case *c)
{
    return flo_probe_can_play(probe->candidate, c) && flo_golden_count(c, probe->without) > 0;
}

static void skip_cases(struct probe *probe)
{
    while (probe->next_case < probe->golden.n_cases &&
           !is_playable(probe, &probe->golden.cases[probe->next_case])) {
        probe->next_case++;
        probe->n_unable++;
    }
}

static void probe_next(struct probe *probe)
{
    if (probe->phase == PROBE_DONE) {
        return;
    }
    if (probe->place->roles[FLO_ROLE_CANDIDATE] != probe->candidate) {
        flo_probe_finish(probe, FLO_E_ENGINE_CRASH, "the candidate's engine is gone");
    } else if (probe->phase == PROBE_TIMING) {
        flo_probe_speed_next(probe);
    } else if (probe->phase == PROBE_MEMORY) {
        flo_probe_judge_memory(probe);
    } else if (skip_cases(probe), probe->next_case < probe->golden.n_cases) {
        const struct flo_golden_case *c = &probe->golden.cases[probe->next_case];
        struct flo_err err = {0};
        if (flo_probe_start(probe, probe->candidate, c, c->tokens_max, false, &err) < 0) {
            flo_probe_finish(probe, err.code, "%s", err.what);
        }
    } else {
        end_cases(probe);
    }
}

/* ---- life ---- */

static void on_wake(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    struct probe *probe = context;
    if (probe->phase == PROBE_DONE) {
        tell(probe);
    } else {
        probe_next(probe);
    }
}

static void on_deadline(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    struct probe *probe = context;
    bool is_timing = probe->phase == PROBE_TIMING;
    bool is_candidate = !is_timing || flo_probe_speed_side(probe) == PROBE_CANDIDATE;
    uint64_t silent_ms = flo_now_ms() - probe->progress_ms;
    bool is_stalled = silent_ms > probe->limits.timeout_ms / STALLED_PARTS;
    if (is_timing && !(is_candidate && is_stalled)) {
        flo_probe_speed_unsure(probe);
        return;
    }
    flo_probe_finish(probe, is_stalled ? FLO_E_PROBE_TIMEOUT : FLO_E_PROBE_UNSURE,
                     "%u of %u case%s after %llu ms, the limit; the last answer %llu ms ago",
                     probe->next_case, probe->result.cases, flo_s(probe->result.cases),
                     (unsigned long long)probe->limits.timeout_ms, (unsigned long long)silent_ms);
}

static int check_ready(const struct serve_place *place, const struct serve_engine *candidate,
                       struct flo_err *err)
{
    if (place->serve->probe != NULL) {
        return flo_fail(err, FLO_E_STATE, "a probe runs already");
    }
    if (candidate != NULL && candidate->state == ENGINE_READY) {
        return 0;
    }
    FLO_TRY(flo_serve_engine_loss(place, FLO_ROLE_CANDIDATE, err));
    return flo_fail(err, FLO_E_STATE, "no candidate is loaded");
}

int flo_serve_probe(struct flo_serve *serve, unsigned model, struct flo_golden *golden,
                    const struct flo_probe_limits *limits,
                    void (*done)(void *context, const struct flo_probe_result *result),
                    void *context, struct flo_err *err)
{
    assert(model < FLO_SERVE_MODELS_MAX);
    /* reading the files may wait for the disk, so serving is not paused yet */
    int rv = flo_golden_load(golden, limits->files, err);
    if (rv < 0) {
        flo_golden_deinit(golden);
        return rv;
    }
    FLO_INSIDE(serve);
    struct serve_place *place = &serve->places[model];
    struct serve_engine *candidate = place->roles[FLO_ROLE_CANDIDATE];
    rv = check_ready(place, candidate, err);
    if (rv < 0) {
        flo_golden_deinit(golden);
        return rv;
    }
    /* the measurement of golden scores stops, because it would disturb the
     * timings */
    flo_score_stop(serve->score, true);
    struct probe *probe = calloc(1, sizeof(*probe));
    if (probe == NULL) {
        flo_golden_deinit(golden);
        return flo_fail(err, FLO_E_MEMORY, "no memory for a probe");
    }
    probe->golden = *golden;
    memset(golden, 0, sizeof(*golden));
    probe->serve = serve;
    probe->place = place;
    probe->candidate = candidate;
    probe->limits = *limits;
    if (probe->limits.timeout_ms == 0) {
        probe->limits.timeout_ms = TIMEOUT_MS;
    }
    probe->done = done;
    probe->context = context;
    probe->text.bytes_max = 1u << 20;
    probe->call.context = probe;
    probe->call.on_frame = on_frame;
    probe->call.on_lost = on_lost;
    if ((~candidate->abilities & (FLO_ABILITY_IDS_OUT | FLO_ABILITY_GAP)) != 0) {
        probe->without |= 1u << FLO_GOLDEN_TOKENS;
    }
    if ((~candidate->abilities & (FLO_ABILITY_IDS_OUT | FLO_ABILITY_LOGPROBS)) != 0) {
        probe->without |= 1u << FLO_GOLDEN_LOSSES | 1u << FLO_GOLDEN_RIVALS;
    }
    if (!candidate->is_silent) {
        /* An engine has no exit status, so no case can check one. */
        probe->without |= 1u << FLO_GOLDEN_EXIT;
    }
    probe->deadline = evtimer_new(serve->base, on_deadline, probe);
    probe->wake = evtimer_new(serve->base, on_wake, probe);
    if (probe->deadline == NULL || probe->wake == NULL) {
        probe_free(probe);
        return flo_fail(err, FLO_E_MEMORY, "no memory for a probe");
    }
    uint64_t ms = probe->limits.timeout_ms;
    struct timeval tv = {.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
    event_add(probe->deadline, &tv);
    probe->result.cases = probe->golden.n_cases;
    probe->progress_ms = flo_now_ms();
    serve->probe = probe;
    event_active(probe->wake, 0, 0);
    return 0;
}
