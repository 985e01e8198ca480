/* Probe: is the candidate's engine good enough to serve?
 *
 * First every golden case on the candidate; then speed: the same prompts on
 * candidate and live engine in turn.  Times are CPU times taken inside the
 * engines around each token, the median of a run, the best run of a prompt:
 * other work on the machine can only lengthen a run, so the best one is
 * nearest to the truth.  A verdict "too slow" is measured again before it
 * stands. */
#include "agent/serve/internal.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT_MS 60000
#define TIMING_TOKENS 16
#define TIMING_PROMPTS_MAX 4
#define ROUNDS 3        /* of each measurement */
#define MEASUREMENTS 4  /* before "too slow" stands ... */
#define UNNOTICED_US 50 /* more a token are the machine's, not the model's */
#define FAR_BEYOND 1.5  /* ... or 2, when it is so many times the limit */
#define WAIT_MS 50      /* for a live engine to come back */

enum phase { PHASE_GOLDEN, PHASE_TIMING, PHASE_DONE };
enum side { SIDE_CANDIDATE, SIDE_CURRENT, SIDE_COUNT };

struct probe {
    struct flo_serve *serve;
    struct golden golden;
    struct flo_probe_limits limits;
    struct flo_probe_result result;
    void (*done)(void *context, const struct flo_probe_result *result);
    void *context;
    struct event *deadline; /* the whole probe's */
    struct event *wake;     /* go on from the loop */
    struct serve_call call;
    struct serve_engine *candidate; /* the one that is probed */
    enum phase phase;
    uint64_t timing_since_ms;
    /* golden: the answer under way */
    uint32_t next_case;
    struct flo_buf text;
    int32_t tokens[GOLDEN_TOKENS_MAX];
    uint32_t n_tokens;
    uint32_t nonfinite;
    /* timing */
    uint32_t n_prompts;
    uint32_t prompt, round, measurement;
    uint32_t turn; /* 0, 1: the two sides of a prompt, first one changing */
    uint64_t run_us[TIMING_TOKENS];
    uint32_t n_run;
    double best_us[SIDE_COUNT][TIMING_PROMPTS_MAX];
};

static void probe_next(struct probe *probe);

/* ---- the end ----------------------------------------------------- */

static void probe_free(struct probe *probe)
{
    flo_serve_engine_cancel(&probe->call);
    if (probe->deadline != NULL) {
        event_free(probe->deadline);
    }
    if (probe->wake != NULL) {
        event_free(probe->wake);
    }
    flo_golden_deinit(&probe->golden);
    flo_buf_deinit(&probe->text);
    free(probe);
}

void flo_probe_close(struct probe *probe)
{
    probe->serve->probe = NULL;
    probe_free(probe);
}

/* The verdict stands; it is told from the loop. */
static void finish(struct probe *probe, int error, const char *format, ...)
    FLO_PRINTF(3, 4);

static void finish(struct probe *probe, int error, const char *format, ...)
{
    va_list list;
    if (probe->phase == PHASE_DONE) {
        return;
    }
    va_start(list, format);
    vsnprintf(probe->result.what, sizeof(probe->result.what), format, list);
    va_end(list);
    probe->result.error = error;
    probe->phase = PHASE_DONE;
    event_active(probe->wake, 0, 0);
}

static void tell(struct probe *probe)
{
    struct flo_probe_result result = probe->result;
    void (*done)(void *context, const struct flo_probe_result *result) =
        probe->done;
    void *context = probe->context;
    flo_probe_close(probe);
    done(context, &result);
}

/* ---- numbers ----------------------------------------------------- */

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static int compare_double(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median_of_run(struct probe *probe)
{
    if (probe->n_run == 0) {
        return 0;
    }
    qsort(probe->run_us, probe->n_run, sizeof(probe->run_us[0]), compare_u64);
    return (double)probe->run_us[probe->n_run / 2];
}

/* Median over the prompts of what `of` gives for one. */
static double median_over_prompts(const struct probe *probe,
                                  double (*of)(const struct probe *probe,
                                               uint32_t prompt))
{
    double values[TIMING_PROMPTS_MAX];
    for (uint32_t i = 0; i < probe->n_prompts; i++) {
        values[i] = of(probe, i);
    }
    qsort(values, probe->n_prompts, sizeof(values[0]), compare_double);
    return values[probe->n_prompts / 2];
}

static double candidate_us(const struct probe *probe, uint32_t prompt)
{
    return probe->best_us[SIDE_CANDIDATE][prompt];
}

static double current_us(const struct probe *probe, uint32_t prompt)
{
    return probe->best_us[SIDE_CURRENT][prompt];
}

static double ratio(const struct probe *probe, uint32_t prompt)
{
    double current = current_us(probe, prompt);
    return current > 0 ? candidate_us(probe, prompt) / current : 0;
}

/* ---- frames ------------------------------------------------------ */

static void on_token(struct probe *probe, const struct flo_wire_token *token)
{
    probe->nonfinite += token->is_finite ? 0 : 1;
    if (probe->phase == PHASE_GOLDEN) {
        flo_buf_add(&probe->text, token->text.data, token->text.bytes);
        if (probe->n_tokens < GOLDEN_TOKENS_MAX) {
            probe->tokens[probe->n_tokens++] = (int32_t)token->token;
        }
    } else if (token->index > 0 && probe->n_run < TIMING_TOKENS) {
        probe->run_us[probe->n_run++] = token->cpu_us;
    }
}

static void fail_case(struct probe *probe, const struct golden_case *c)
{
    if (probe->result.failed_case[0] == '\0') {
        snprintf(probe->result.failed_case, sizeof(probe->result.failed_case),
                 "%s", c->id);
    }
}

static void end_case(struct probe *probe, const struct flo_wire_done *done)
{
    const struct golden_case *c = &probe->golden.cases[probe->next_case];
    flo_buf_add(&probe->text, done->text.data, done->text.bytes);
    flo_buf_text(&probe->text, "");
    uint32_t nonfinite =
        done->nonfinite > probe->nonfinite ? done->nonfinite : probe->nonfinite;
    if (nonfinite > 0) {
        probe->result.nonfinite += nonfinite;
        fail_case(probe, c);
        finish(probe, FLO_E_PROBE_NONFINITE,
               "case %s: %u tokens came from NaN or infinity", c->id,
               nonfinite);
        return;
    }
    const char *text = probe->text.data != NULL ? probe->text.data : "";
    if (!probe->text.failed &&
        flo_golden_passes(c, text, probe->tokens, probe->n_tokens)) {
        probe->result.passed++;
    } else {
        fail_case(probe, c);
    }
    probe->next_case++;
    probe_next(probe);
}

/* Which engine has its turn?  The first one changes with the round, so that
 * a machine that warms up or slows down favours nobody. */
static enum side side_of(const struct probe *probe)
{
    return (probe->turn + probe->round) % 2 == 0 ? SIDE_CANDIDATE
                                                 : SIDE_CURRENT;
}

static void end_run(struct probe *probe)
{
    double us = median_of_run(probe);
    double *best = &probe->best_us[side_of(probe)][probe->prompt];
    if (us > 0 && (*best == 0 || us < *best)) {
        *best = us;
    }
    if (++probe->turn == SIDE_COUNT) {
        probe->turn = 0;
        if (++probe->prompt == probe->n_prompts) {
            probe->prompt = 0;
            probe->round++;
        }
    }
    probe_next(probe);
}

static void on_failed(struct probe *probe, const struct flo_wire_failed *failed)
{
    const struct golden_case *c = &probe->golden.cases[probe->next_case];
    struct flo_err err = {0};
    flo_serve_engine_failure(failed, &err);
    if (probe->phase == PHASE_GOLDEN) {
        fail_case(probe, c);
        finish(probe, FLO_E_PROBE_GOLDEN, "case %s cannot run: %s", c->id,
               err.what);
    } else {
        finish(probe, FLO_E_PROBE_SPEED, "speed cannot be measured: %s",
               err.what);
    }
}

static void on_frame(void *context, const struct flo_wire_message *message)
{
    struct probe *probe = context;
    if (probe->phase == PHASE_DONE) {
        return;
    }
    if (message->type == FLO_WIRE_TOKEN) {
        on_token(probe, &message->token);
    } else if (message->type == FLO_WIRE_FAILED) {
        on_failed(probe, &message->failed);
    } else if (message->type != FLO_WIRE_DONE) {
        finish(probe, FLO_E_WORKER_PROTOCOL, "an answer of another kind");
    } else if (probe->phase == PHASE_GOLDEN) {
        end_case(probe, &message->done);
    } else {
        end_run(probe);
    }
}

static void on_lost(void *context, const struct flo_err *err)
{
    struct probe *probe = context;
    if (probe->phase == PHASE_TIMING && side_of(probe) == SIDE_CURRENT) {
        probe_next(probe); /* waits until something is live again */
        return;
    }
    finish(probe, err->code != 0 ? err->code : FLO_E_ENGINE_CRASH, "%s",
           err->what);
}

/* ---- runs -------------------------------------------------------- */

static void start(struct probe *probe, struct serve_engine *engine,
                  const struct golden_case *c, uint32_t tokens_max,
                  bool ignores_end)
{
    struct flo_wire_message message = {.type = FLO_WIRE_GENERATE};
    struct flo_wire_generate *g = &message.generate;
    struct flo_wire_text prompt = {c->prompt, c->prompt_bytes};
    struct flo_err err = {0};
    if (c->is_raw) {
        g->prompt = prompt;
        g->reads_special = true;
    } else {
        g->n_messages = 1;
        g->messages[0].role = (struct flo_wire_text){"user", 4};
        g->messages[0].content = prompt;
    }
    g->max_tokens = tokens_max;
    g->ignores_end = ignores_end;
    g->priority = FLO_WIRE_PROBE;
    probe->text.bytes = 0;
    probe->n_tokens = 0;
    probe->n_run = 0;
    probe->nonfinite = 0;
    if (flo_serve_engine_call(engine, &probe->call, &message, &err) < 0) {
        finish(probe, err.code, "%s", err.what);
    }
}

static void judge_memory(struct probe *probe)
{
    uint64_t max = probe->limits.memory_bytes_max;
    uint64_t peak = 0;
    if (flo_process_memory(probe->candidate->pid, NULL, NULL, &peak)) {
        probe->result.memory_bytes = peak;
    }
    if (max > 0 && peak > max) {
        finish(probe, FLO_E_PROBE_MEMORY,
               "the engine used %llu bytes at most, %llu are allowed",
               (unsigned long long)peak, (unsigned long long)max);
    } else {
        finish(probe, 0, "%u of %u cases passed", probe->result.passed,
               probe->result.cases);
    }
}

/* After a measurement: fast enough, or once more, or too slow. */
static void judge_speed(struct probe *probe)
{
    double measured = median_over_prompts(probe, ratio);
    double max = probe->limits.speed_ratio_max;
    probe->result.token_us_candidate = median_over_prompts(probe, candidate_us);
    probe->result.token_us_current = median_over_prompts(probe, current_us);
    uint64_t spent_ms = flo_now_ms() - probe->timing_since_ms;
    probe->measurement++;
    if (measured <= max ||
        probe->result.token_us_candidate - probe->result.token_us_current <
            UNNOTICED_US) {
        judge_memory(probe);
        return;
    }
    uint32_t needed = measured > FAR_BEYOND * max ? 2 : MEASUREMENTS;
    if (probe->measurement < needed &&
        spent_ms < probe->limits.timeout_ms / 2) {
        probe->round = 0;
        probe_next(probe);
        return;
    }
    finish(probe, FLO_E_PROBE_SPEED,
           "%.3f ms per token against %.3f: %.2f times, at most %.2f",
           probe->result.token_us_candidate / 1e3,
           probe->result.token_us_current / 1e3, measured, max);
}

static void begin_timing(struct probe *probe)
{
    if (probe->result.passed < probe->result.cases) {
        finish(probe, FLO_E_PROBE_GOLDEN,
               "%u of %u golden cases passed, first failed: %s",
               probe->result.passed, probe->result.cases,
               probe->result.failed_case);
        return;
    }
    const struct serve_engine *live = flo_router_live(probe->serve);
    if (probe->limits.speed_ratio_max <= 0 || live == NULL ||
        live == probe->candidate) {
        judge_memory(probe);
        return;
    }
    if (live->lacks_packed != probe->candidate->lacks_packed) {
        flo_log(FLO_LOG_WARN, "probe",
                "speed is not compared: %s runs without packed weights",
                live->lacks_packed ? live->name : probe->candidate->name);
        judge_memory(probe);
        return;
    }
    probe->phase = PHASE_TIMING;
    probe->timing_since_ms = flo_now_ms();
    probe->n_prompts = probe->golden.n_cases < TIMING_PROMPTS_MAX
                           ? probe->golden.n_cases
                           : TIMING_PROMPTS_MAX;
    probe_next(probe);
}

static void next_run(struct probe *probe)
{
    /* A slow device gets fewer rounds, but each prompt on both engines. */
    uint64_t spent_ms = flo_now_ms() - probe->timing_since_ms;
    if (probe->round == ROUNDS ||
        (probe->round > 0 && probe->prompt == 0 && probe->turn == 0 &&
         spent_ms > probe->limits.timeout_ms / 4)) {
        judge_speed(probe);
        return;
    }
    struct serve_engine *engine = side_of(probe) == SIDE_CANDIDATE
                                      ? probe->candidate
                                      : flo_router_live(probe->serve);
    if (engine == NULL ||
        (engine == probe->candidate && side_of(probe) == SIDE_CURRENT)) {
        struct timeval tv = {.tv_usec = WAIT_MS * 1000};
        event_add(probe->wake, &tv);
        return;
    }
    uint32_t step = probe->golden.n_cases / probe->n_prompts;
    start(probe, engine, &probe->golden.cases[probe->prompt * step],
          TIMING_TOKENS + 1, true);
}

static void probe_next(struct probe *probe)
{
    if (probe->phase == PHASE_DONE) {
        return;
    }
    if (probe->serve->roles[FLO_ROLE_CANDIDATE] != probe->candidate) {
        finish(probe, FLO_E_ENGINE_CRASH, "the candidate's engine is gone");
    } else if (probe->phase == PHASE_TIMING) {
        next_run(probe);
    } else if (probe->next_case < probe->golden.n_cases) {
        const struct golden_case *c = &probe->golden.cases[probe->next_case];
        start(probe, probe->candidate, c, c->tokens_max, false);
    } else {
        begin_timing(probe);
    }
}

/* ---- life -------------------------------------------------------- */

static void on_wake(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    struct probe *probe = context;
    if (probe->phase == PHASE_DONE) {
        tell(probe);
    } else {
        probe_next(probe);
    }
}

static void on_deadline(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    struct probe *probe = context;
    finish(probe, FLO_E_PROBE_TIMEOUT,
           "%u of %u cases after %llu ms, the limit", probe->next_case,
           probe->result.cases, (unsigned long long)probe->limits.timeout_ms);
}

int flo_serve_probe(struct flo_serve *serve, const char *golden, size_t bytes,
                    const struct flo_probe_limits *limits,
                    void (*done)(void *context,
                                 const struct flo_probe_result *result),
                    void *context, struct flo_err *err)
{
    struct serve_engine *candidate = serve->roles[FLO_ROLE_CANDIDATE];
    if (candidate == NULL || candidate->state != ENGINE_READY ||
        serve->probe != NULL) {
        return flo_fail(err, FLO_E_STATE,
                        serve->probe != NULL ? "a probe runs already"
                                             : "no candidate is loaded");
    }
    struct probe *probe = calloc(1, sizeof(*probe));
    if (probe == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for a probe");
    }
    probe->serve = serve;
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
    int rv = flo_golden_read(golden, bytes, &probe->golden, err);
    if (rv == 0) {
        probe->deadline = evtimer_new(serve->base, on_deadline, probe);
        probe->wake = evtimer_new(serve->base, on_wake, probe);
        if (probe->deadline == NULL || probe->wake == NULL) {
            rv = flo_fail(err, FLO_E_MEMORY, "no memory for a probe");
        }
    }
    if (rv < 0) {
        probe_free(probe);
        return rv;
    }
    uint64_t ms = probe->limits.timeout_ms;
    struct timeval tv = {.tv_sec = (time_t)(ms / 1000),
                         .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
    event_add(probe->deadline, &tv);
    probe->result.cases = probe->golden.n_cases;
    serve->probe = probe;
    event_active(probe->wake, 0, 0);
    return 0;
}
