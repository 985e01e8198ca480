/* One request in the engine process: prompt in pieces, then token by token.
 *
 * Its tokens, prompt and answer, stand in one list; the session has computed
 * the first of them.  So a request can lose its session and go on in another
 * one, and a full context can be shortened: both compute again what is
 * missing. */
#include "engine/run/run.h"

#include <flotilla/grammar.h>

#include "engine/sample/sampler.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TOKENS_MAX (1u << 21)
#define ROLE_BYTES 24

struct flo_job {
    uint32_t request;
    enum flo_wire_priority priority;
    bool ignores_end;
    bool shifts;  /* a full context loses its oldest half */
    bool guesses; /* drafts are allowed */
    const struct flo_engine *engine;
    struct flo_session *session; /* borrowed from the worker */
    struct flo_sampler *sampler;
    const struct flo_adapter *adapter; /* borrowed; NULL: none */
    float adapter_scale;
    struct flo_sampling sampling;
    int32_t *tokens;   /* [context + FLO_DRAFT_MAX]: prompt, answer, guesses */
    uint32_t n_prompt; /* tokens of the request */
    uint32_t n_tokens; /* known; the session holds the first n_fed of them */
    uint32_t n_fed;
    uint32_t n_kept;     /* first ones that a shift leaves */
    uint32_t n_guesses;  /* behind n_tokens, in the pass under way */
    uint32_t n_left;     /* of them, not compared yet */
    bool has_guess;      /* something was found, computed or not */
    bool is_long;        /* kind of match it comes from */
    uint32_t tokens_max; /* to be made */
    uint32_t made;
    struct flo_draft draft;
    struct flo_wire_done counts; /* as they go out at the end */
    bool has_ended;
    uint64_t made_at_us, started_at_us, first_at_us;
    uint64_t mark_cpu_us, mark_wall_us; /* since the last token or step */
    struct flo_buf *out;                /* of the pass under way */
    struct flo_engine_stream stream;
    struct flo_stop stop;
    struct flo_grammar *grammar; /* or NULL */
    uint32_t n_early; /* last tokens of the list: forced, not told yet */
    struct flo_buf piece;
    uint32_t logprobs;   /* 0: none; 1 + how many of the likeliest */
    struct flo_buf told; /* of the token, as its frame has them */
};

static uint64_t cpu_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
}

static struct flo_wire_text text_of(const char *text)
{
    return (struct flo_wire_text){text, strlen(text)};
}

/* An answer that cannot be written means memory is gone: `out` is failed
 * then, and the worker ends. */
static void put(struct flo_buf *out, const struct flo_wire_message *message)
{
    if (flo_wire_write(out, message, NULL) < 0) {
        out->failed = true;
    }
}

void flo_job_fail(struct flo_buf *out, uint32_t request,
                  const struct flo_err *err)
{
    struct flo_wire_message answer = {.type = FLO_WIRE_FAILED,
                                      .request = request};
    answer.failed.code = err->code;
    answer.failed.what = text_of(err->what);
    answer.failed.why = text_of(err->why);
    put(out, &answer);
}

/* ---- from text to tokens ----------------------------------------- */

int flo_job_tokenise(const struct flo_engine *engine, const char *text,
                     size_t bytes, bool reads_special, int32_t **tokens,
                     size_t *count, struct flo_err *err)
{
    /* A token has a byte at least; some more for begin and end. */
    size_t max = bytes + 16 < TOKENS_MAX ? bytes + 16 : TOKENS_MAX;
    int32_t *room = malloc(max * sizeof(*room));
    if (room == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for %zu tokens", max);
    }
    int rv = flo_engine_tokenise(engine, text, bytes, reads_special, room, max,
                                 count, err);
    if (rv < 0) {
        free(room);
        return rv;
    }
    *tokens = room;
    return 0;
}

/* A token has a byte at least; a message has some around it. */
static size_t tokens_bound(const struct flo_wire_generate *in)
{
    size_t max = 64;
    for (uint32_t i = 0; i < in->n_messages; i++) {
        max += in->messages[i].content.bytes + 64;
    }
    return max;
}

static int read_messages(const struct flo_wire_generate *in,
                         struct flo_engine_message *messages,
                         char (*roles)[ROLE_BYTES], struct flo_err *err)
{
    for (uint32_t i = 0; i < in->n_messages; i++) {
        struct flo_wire_text role = in->messages[i].role;
        struct flo_wire_text content = in->messages[i].content;
        if (role.bytes >= ROLE_BYTES) {
            return flo_fail(err, FLO_E_INFER_PARAM,
                            "messages[%u].role is longer than %d bytes", i,
                            ROLE_BYTES - 1);
        }
        memcpy(roles[i], role.data, role.bytes);
        roles[i][role.bytes] = '\0';
        messages[i] = (struct flo_engine_message){
            roles[i], content.bytes > 0 ? content.data : "", content.bytes};
    }
    return 0;
}

/* A shift keeps the system's turn: as far as the tokens are those of the same
 * conversation with nothing said. */
static void find_kept(struct flo_job *job,
                      const struct flo_engine_message *system, size_t max)
{
    const struct flo_engine_message head[2] = {*system, {"user", "", 0}};
    int32_t *tokens = malloc(max * sizeof(*tokens));
    size_t count = 0;
    if (tokens != NULL && strcmp(system->role, "system") == 0 &&
        flo_engine_chat(job->engine, head, 2, tokens, max, &count, NULL) == 0) {
        while (job->n_kept < count && job->n_kept < job->n_prompt &&
               tokens[job->n_kept] == job->tokens[job->n_kept]) {
            job->n_kept++;
        }
    }
    free(tokens);
}

static int render_chat(struct flo_job *job, const struct flo_wire_generate *in,
                       struct flo_err *err)
{
    size_t max = tokens_bound(in), count = 0;
    struct flo_engine_message messages[FLO_WIRE_MESSAGES_MAX];
    char roles[FLO_WIRE_MESSAGES_MAX][ROLE_BYTES];
    int rv = read_messages(in, messages, roles, err);
    if (rv < 0) {
        return rv;
    }
    job->tokens = malloc(max * sizeof(*job->tokens));
    if (job->tokens == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for %zu tokens", max);
    }
    rv = flo_engine_chat(job->engine, messages, in->n_messages, job->tokens,
                         max, &count, err);
    job->n_prompt = (uint32_t)count;
    if (rv == 0 && in->shifts) {
        find_kept(job, &messages[0], max);
    }
    return rv;
}

static int read_prompt(struct flo_job *job, const struct flo_wire_generate *in,
                       struct flo_err *err)
{
    if (in->n_messages == 0) {
        size_t count = 0;
        int rv = in->tokens.bytes > 0
                     ? flo_ids_take(job->engine, in->tokens, &job->tokens,
                                    &count, err)
                     : flo_job_tokenise(job->engine, in->prompt.data,
                                        in->prompt.bytes, in->reads_special,
                                        &job->tokens, &count, err);
        job->n_prompt = (uint32_t)count;
        return rv;
    }
    return render_chat(job, in, err);
}

/* One list for the prompt and all that follows: nothing is allocated later. */
static int make_room(struct flo_job *job, uint32_t context, struct flo_err *err)
{
    size_t max = (size_t)context + FLO_DRAFT_MAX;
    int32_t *grown;
    if (job->n_prompt == 0) {
        return flo_fail(err, FLO_E_INFER_PARAM, "the prompt is empty");
    }
    if (job->n_prompt >= context) {
        return flo_fail(err, FLO_E_INFER_TOO_LONG,
                        "the prompt has %u tokens, the context holds %u with "
                        "the answer",
                        job->n_prompt, context);
    }
    grown = realloc(job->tokens, max * sizeof(*grown));
    if (grown == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for %zu tokens", max);
    }
    job->tokens = grown;
    job->n_tokens = job->n_prompt;
    return 0;
}

/* ---- life -------------------------------------------------------- */

static void read_settings(struct flo_job *job,
                          const struct flo_wire_generate *in)
{
    job->sampling = (struct flo_sampling){
        .temperature = (float)in->temperature,
        .top_k = in->top_k,
        .top_p = (float)in->top_p,
        .min_p = (float)in->min_p,
        .repeat_penalty = (float)in->repeat_penalty,
        .seed = in->seed,
    };
    job->priority = in->priority == FLO_WIRE_USER    ? FLO_WIRE_USER
                    : in->priority == FLO_WIRE_PROBE ? FLO_WIRE_PROBE
                                                     : FLO_WIRE_BATCH;
    job->ignores_end = in->ignores_end;
    job->logprobs = in->logprobs;
    job->shifts = in->shifts;
    job->guesses = !in->no_drafts && job->priority != FLO_WIRE_PROBE &&
                   in->grammar_kind == FLO_GRAMMAR_NONE;
    flo_draft_begin(&job->draft);
    job->stop.n_texts = in->n_stops;
    for (uint32_t i = 0; i < in->n_stops; i++) {
        job->stop.texts[i].count = in->stops[i].bytes;
        memcpy(job->stop.texts[i].bytes, in->stops[i].data, in->stops[i].bytes);
    }
}

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Tokens that the grammar forces, behind the others; how many. */
static uint32_t put_forced(struct flo_job *job, uint32_t most)
{
    uint32_t context = flo_engine_info(job->engine)->context;
    uint32_t room = context > job->n_tokens ? context - job->n_tokens : 0;
    return (uint32_t)flo_grammar_forced(
        job->grammar, job->tokens + job->n_tokens,
        smaller(smaller(most, room), FLO_GRAMMAR_FORCED_MAX));
}

/* What the answer begins with is computed with the prompt. */
static int open_grammar(struct flo_job *job, const struct flo_wire_generate *in,
                        struct flo_err *err)
{
    if (in->grammar_kind == FLO_GRAMMAR_NONE) {
        return 0;
    }
    int rv = flo_grammar_open(
        job->engine, (enum flo_grammar_kind)in->grammar_kind, in->grammar.data,
        in->grammar.bytes, &job->grammar, err);
    if (rv == 0) {
        job->n_early = put_forced(job, job->tokens_max - 1);
        job->n_tokens += job->n_early;
    }
    return rv;
}

int flo_job_new(const struct flo_engine *engine,
                const struct flo_wire_message *message, struct flo_job **out,
                struct flo_err *err)
{
    const struct flo_wire_generate *in = &message->generate;
    struct flo_job *job = calloc(1, sizeof(*job));
    if (job == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for a request");
    }
    job->engine = engine;
    job->request = message->request;
    job->made_at_us = flo_now_us();
    read_settings(job, in);
    int rv = flo_sampling_check(&job->sampling, err);
    if (rv == 0) {
        rv = read_prompt(job, in, err);
    }
    uint32_t context = flo_engine_info(engine)->context;
    if (rv == 0) {
        rv = make_room(job, context, err);
    }
    if (rv < 0) {
        flo_job_free(job);
        return rv;
    }
    job->tokens_max = context - job->n_prompt;
    if (in->max_tokens > 0 &&
        (in->max_tokens < job->tokens_max || job->shifts)) {
        job->tokens_max = in->max_tokens;
    }
    rv = open_grammar(job, in, err);
    if (rv < 0) {
        flo_job_free(job);
        return rv;
    }
    *out = job;
    return 0;
}

void flo_job_free(struct flo_job *job)
{
    if (job == NULL) {
        return;
    }
    free(job->tokens);
    flo_buf_deinit(&job->stop.held);
    flo_buf_deinit(&job->piece);
    flo_buf_deinit(&job->told);
    flo_grammar_close(job->grammar);
    free(job);
}

void flo_job_set_adapter(struct flo_job *job, const struct flo_adapter *adapter,
                         float scale)
{
    job->adapter = adapter;
    job->adapter_scale = scale;
}

bool flo_job_has_adapter(const struct flo_job *job,
                         const struct flo_adapter *adapter)
{
    return job->adapter == adapter;
}

uint32_t flo_job_request(const struct flo_job *job)
{
    return job->request;
}

enum flo_wire_priority flo_job_priority(const struct flo_job *job)
{
    return job->priority;
}

const int32_t *flo_job_prompt(const struct flo_job *job, uint32_t *count)
{
    bool is_own = job->adapter == NULL && job->priority != FLO_WIRE_PROBE;
    *count = is_own ? job->n_prompt : 0;
    return job->tokens;
}

uint32_t flo_job_tokens_in(const struct flo_job *job)
{
    return job->counts.tokens_in;
}

uint32_t flo_job_tokens_out(const struct flo_job *job)
{
    return job->made;
}

uint32_t flo_job_common(const struct flo_job *job,
                        const struct flo_session *session)
{
    if (!flo_session_has_adapter(session, job->adapter, job->adapter_scale)) {
        return 0;
    }
    /* The last one must be computed: its logits are needed. */
    return flo_session_common(session, job->tokens, job->n_tokens - 1);
}

int flo_job_start(struct flo_job *job, struct flo_session *session,
                  const struct flo_session *from, struct flo_sampler *sampler,
                  struct flo_err *err)
{
    int rv = flo_sampler_reset(sampler, &job->sampling, err);
    if (rv < 0) {
        return rv;
    }
    for (size_t i = 0; i < job->n_tokens; i++) {
        flo_sampler_accept(sampler, job->tokens[i]);
    }
    flo_session_begin_as(session, from, flo_job_common(job, from));
    rv =
        flo_session_set_adapter(session, job->adapter, job->adapter_scale, err);
    if (rv < 0) {
        return rv;
    }
    job->n_fed = flo_session_position(session);
    job->session = session;
    job->sampler = sampler;
    if (job->started_at_us == 0) {
        job->started_at_us = flo_now_us();
        job->counts.cached_tokens = job->n_fed;
    }
    return 0;
}

void flo_job_pause(struct flo_job *job)
{
    job->sampling.seed = flo_sampler_seed(job->sampler);
    job->session = NULL;
    job->sampler = NULL;
    job->n_fed = 0;
}

/* ---- the end ----------------------------------------------------- */

static void end(struct flo_job *job, enum flo_wire_reason reason,
                struct flo_buf *out)
{
    struct flo_wire_message answer = {
        .type = FLO_WIRE_DONE, .request = job->request, .done = job->counts};
    uint64_t now_us = flo_now_us();
    job->has_ended = true;
    job->piece.bytes = 0;
    if (reason != FLO_WIRE_STOP || job->stop.held.bytes > 0) {
        flo_buf_add(&job->piece, job->stop.held.data, job->stop.held.bytes);
    }
    answer.done.reason = reason;
    answer.done.text =
        (struct flo_wire_text){job->piece.data, job->piece.bytes};
    answer.done.tokens_out = job->made;
    answer.done.queue_us =
        (job->started_at_us > 0 ? job->started_at_us : now_us) -
        job->made_at_us;
    if (job->first_at_us > 0) {
        answer.done.first_us = job->first_at_us - job->made_at_us;
        answer.done.answer_us = now_us - job->first_at_us;
    }
    put(out, &answer);
}

/* The stream's last bytes, and the stop texts' say in them. */
static void end_text(struct flo_job *job, enum flo_wire_reason reason,
                     struct flo_buf *out)
{
    struct flo_buf tail = {0};
    struct flo_buf shown = {0};
    flo_engine_stream_finish(&job->stream, &tail);
    if (flo_stop_add(&job->stop, tail.data, tail.bytes, &shown)) {
        reason = FLO_WIRE_STOP;
    }
    flo_buf_add(&shown, job->stop.held.data, job->stop.held.bytes);
    flo_buf_deinit(&job->stop.held);
    job->stop.held = shown;
    flo_buf_deinit(&tail);
    end(job, reason, out);
}

void flo_job_cancel(struct flo_job *job, struct flo_buf *out)
{
    job->stop.held.bytes = 0;
    end(job, FLO_WIRE_CANCELLED, out);
}

/* ---- a pass ------------------------------------------------------ */

/* CPU and wall time since the last call. */
static void take_times(struct flo_job *job, uint64_t *used_cpu_us,
                       uint64_t *used_wall_us)
{
    uint64_t cpu = cpu_us(), wall = flo_now_us();
    *used_cpu_us = cpu - job->mark_cpu_us;
    *used_wall_us = wall - job->mark_wall_us;
    job->mark_cpu_us = cpu;
    job->mark_wall_us = wall;
}

static void tell(struct flo_job *job, const struct flo_sample *sample)
{
    struct flo_wire_message answer = {.type = FLO_WIRE_TOKEN,
                                      .request = job->request};
    answer.token.index = job->made++;
    answer.token.token = (uint32_t)sample->token;
    answer.token.text =
        (struct flo_wire_text){job->piece.data, job->piece.bytes};
    answer.token.gap = isfinite(sample->gap) ? (double)sample->gap : 0.0;
    answer.token.is_finite = sample->is_finite;
    answer.token.logprobs =
        (struct flo_wire_text){job->told.data, job->told.bytes};
    take_times(job, &answer.token.cpu_us, &answer.token.wall_us);
    if (job->first_at_us == 0) {
        job->first_at_us = flo_now_us();
        job->counts.prompt_cpu_us += answer.token.cpu_us;
        job->counts.prompt_wall_us += answer.token.wall_us;
        answer.token.cpu_us = answer.token.wall_us = 0;
    }
    put(job->out, &answer);
}

/* Tell of a token that is in the list; with the logits that it was chosen by,
 * NULL: it was forced. */
static void show(struct flo_job *job, const struct flo_sample *sample,
                 const float *logits)
{
    struct flo_buf text = {0};
    job->piece.bytes = 0;
    bool stops = false;
    if (flo_engine_info(job->engine)->has_vocabulary) {
        flo_engine_stream_add(&job->stream, job->engine, sample->token, &text);
        stops = flo_stop_add(&job->stop, text.data, text.bytes, &job->piece);
        flo_buf_deinit(&text);
    }
    job->told.bytes = 0;
    if (job->logprobs > 0 && logits != NULL) {
        flo_logprobs_put(job->engine, logits, sample->token, job->logprobs - 1,
                         &job->told);
    }
    tell(job, sample);
    if (stops) {
        job->stop.held.bytes = 0;
        end(job, FLO_WIRE_STOP, job->out);
    } else if (job->made == job->tokens_max) {
        end_text(job, FLO_WIRE_LENGTH, job->out);
    }
}

/* The last `count` tokens of the list are forced ones. */
static void show_forced(struct flo_job *job, uint32_t count)
{
    for (uint32_t i = job->n_tokens - count;
         i < job->n_tokens && !job->has_ended; i++) {
        struct flo_sample sample = {.token = job->tokens[i], .is_finite = true};
        show(job, &sample, NULL);
    }
    if (!job->has_ended && flo_grammar_is_done(job->grammar)) {
        end_text(job, FLO_WIRE_STOP, job->out);
    }
}

static int sample_next(struct flo_job *job, const float *logits,
                       struct flo_sample *sample, struct flo_err *err)
{
    if (job->grammar != NULL) {
        return flo_grammar_sample(job->grammar, job->sampler, logits, sample,
                                  err);
    }
    flo_sampler_sample(job->sampler, logits, sample);
    return 0;
}

/* Choose a token and tell of it, and of those that a grammar forces around. */
static void choose(struct flo_job *job, const float *logits)
{
    struct flo_sample sample;
    struct flo_err err = {0};
    if (job->grammar != NULL && job->n_early > 0) {
        show_forced(job, job->n_early);
        job->n_early = 0;
    }
    if (job->has_ended) {
        return;
    }
    if (sample_next(job, logits, &sample, &err) < 0) {
        flo_job_fail(job->out, job->request, &err);
        job->has_ended = true;
        return;
    }
    job->counts.nonfinite += sample.is_finite ? 0 : 1;
    if (!job->ignores_end && flo_engine_is_end(job->engine, sample.token)) {
        end_text(job, FLO_WIRE_STOP, job->out);
        return;
    }
    job->tokens[job->n_tokens++] = sample.token;
    show(job, &sample, logits);
    if (job->grammar != NULL && !job->has_ended) {
        uint32_t forced = put_forced(job, job->tokens_max - job->made);
        for (uint32_t i = 0; i < forced; i++) {
            flo_sampler_accept(job->sampler, job->tokens[job->n_tokens++]);
        }
        show_forced(job, forced);
    }
}

/* The logits of one token of the step: the last pending one, or a guess. */
static bool take_row(void *context, uint32_t index, const float *logits)
{
    struct flo_job *job = context;
    int32_t guess = job->has_guess ? job->tokens[job->n_tokens] : -1;
    (void)index;
    choose(job, logits);
    bool is_right = !job->has_ended && job->tokens[job->n_tokens - 1] == guess;
    if (job->has_guess && job->n_guesses == job->n_left) {
        flo_draft_learn(&job->draft, job->is_long, is_right);
    }
    if (job->n_left == 0 || !is_right) {
        return false;
    }
    job->n_left--;
    job->counts.guessed_right++;
    return true;
}

uint32_t flo_job_pending(const struct flo_job *job)
{
    return job->n_tokens - job->n_fed;
}

/* Look the last tokens up, behind them in the list; how many to compute. */
static void guess(struct flo_job *job, const struct flo_draft_costs *costs)
{
    uint32_t room = flo_engine_info(job->engine)->context - job->n_tokens;
    uint32_t most =
        smaller(job->tokens_max - job->made - 1, room > 0 ? room - 1 : 0);
    uint32_t found = 0;
    if (job->guesses) {
        found = flo_draft_find(job->tokens, job->n_tokens,
                               job->tokens + job->n_tokens,
                               smaller(most, FLO_DRAFT_MAX), &job->is_long);
    }
    job->has_guess = found > 0;
    job->n_guesses =
        costs == NULL ? 0
                      : flo_draft_size(&job->draft, costs, job->is_long, found);
    job->n_left = job->n_guesses;
}

void flo_job_prepare(struct flo_job *job, uint32_t rows,
                     const struct flo_draft_costs *costs, struct flo_buf *out,
                     struct flo_step *step)
{
    uint64_t ignored;
    bool is_whole = rows == flo_job_pending(job);
    job->n_guesses = job->n_left = 0;
    job->has_guess = false;
    if (is_whole && rows == 1) {
        guess(job, costs);
    }
    job->out = out;
    take_times(job, &ignored, &ignored);
    *step = (struct flo_step){
        .session = job->session,
        .tokens = job->tokens + job->n_fed,
        .count = rows + job->n_guesses,
        .rows = !is_whole            ? FLO_ROWS_NONE
                : job->n_guesses > 0 ? FLO_ROWS_ALL
                                     : FLO_ROWS_LAST,
        .row = take_row,
        .context = job,
    };
}

/* The context is full: the older half behind the head goes, and what stays is
 * computed anew at its new place.  Turning the keys in the cache instead would
 * cost less, but lose bits in the quantised caches each time, and keep traces
 * of what was dropped: this way the answer goes on with the same bits as if
 * it had been asked with what is left. */
static void shift(struct flo_job *job, uint32_t context)
{
    uint32_t kept = smaller(job->n_kept > 0 ? job->n_kept : 1, context / 2);
    uint32_t dropped = (job->n_tokens - kept + 1) / 2;
    memmove(job->tokens + kept, job->tokens + kept + dropped,
            (job->n_tokens - kept - dropped) * sizeof(*job->tokens));
    job->n_tokens -= dropped;
    flo_session_truncate(job->session, kept);
    job->n_fed = flo_session_position(job->session);
}

bool flo_job_finish(struct flo_job *job)
{
    uint32_t context = flo_engine_info(job->engine)->context;
    job->n_fed = flo_session_position(job->session);
    job->counts.guessed += job->n_guesses;
    if (job->counts.tokens_in < job->n_fed) {
        job->counts.tokens_in = smaller(job->n_fed, job->n_prompt);
    }
    if (job->first_at_us == 0) {
        uint64_t cpu, wall;
        take_times(job, &cpu, &wall);
        job->counts.prompt_cpu_us += cpu;
        job->counts.prompt_wall_us += wall;
    }
    if (!job->has_ended && job->n_tokens >= context) {
        shift(job, context);
    }
    return job->has_ended;
}
