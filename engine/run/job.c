/* One request in the engine process: prompt in pieces, then token by token.
 *
 * A step is short, so that all requests go forward together and a cancel is
 * seen within one token. */
#include "engine/run/run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PROMPT_PIECE 64 /* tokens of a prompt per step */
#define TOKENS_MAX (1u << 21)
#define ROLE_BYTES 24

struct flo_job {
    uint32_t request;
    bool is_probe;
    bool ignores_end;
    const struct flo_engine *engine;
    struct flo_session *session; /* borrowed from the worker */
    struct flo_sampler *sampler;
    struct flo_sampling sampling;
    int32_t *tokens; /* the prompt */
    size_t n_tokens, n_fed;
    uint32_t tokens_max; /* to be made */
    uint32_t made;
    uint32_t nonfinite;
    int32_t last;
    uint64_t made_at_us, started_at_us;
    uint64_t prompt_cpu_us, prompt_wall_us;
    struct flo_engine_stream stream;
    struct flo_stop stop;
    struct flo_buf piece;
};

static uint64_t cpu_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
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

static int render_chat(struct flo_job *job, const struct flo_wire_generate *in,
                       struct flo_err *err)
{
    size_t max = tokens_bound(in);
    struct flo_engine_message messages[FLO_WIRE_MESSAGES_MAX];
    char roles[FLO_WIRE_MESSAGES_MAX][ROLE_BYTES];
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
    job->tokens = malloc(max * sizeof(*job->tokens));
    if (job->tokens == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for %zu tokens", max);
    }
    return flo_engine_chat(job->engine, messages, in->n_messages, job->tokens,
                           max, &job->n_tokens, err);
}

/* Token ids as they came. */
static int copy_tokens(struct flo_job *job, struct flo_wire_text tokens,
                       struct flo_err *err)
{
    if (tokens.bytes % 4 != 0) {
        return flo_fail(err, FLO_E_INFER_PARAM, "tokens are not 32-bit ids");
    }
    job->n_tokens = tokens.bytes / 4;
    job->tokens = malloc(tokens.bytes);
    if (job->tokens == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for tokens");
    }
    uint32_t n_vocab = flo_engine_info(job->engine)->n_vocab;
    for (size_t i = 0; i < job->n_tokens; i++) {
        uint32_t id = flo_get_u32(tokens.data + 4 * i);
        if (id >= n_vocab) {
            return flo_fail(err, FLO_E_INFER_PARAM,
                            "token %u, the vocabulary has %u", id, n_vocab);
        }
        job->tokens[i] = (int32_t)id;
    }
    return 0;
}

static int read_prompt(struct flo_job *job, const struct flo_wire_generate *in,
                       struct flo_err *err)
{
    if (in->tokens.bytes > 0) {
        return copy_tokens(job, in->tokens, err);
    }
    if (in->n_messages == 0) {
        return flo_job_tokenise(job->engine, in->prompt.data, in->prompt.bytes,
                                in->reads_special, &job->tokens, &job->n_tokens,
                                err);
    }
    return render_chat(job, in, err);
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
    job->is_probe = in->priority == FLO_WIRE_PROBE;
    job->ignores_end = in->ignores_end;
    job->stop.n_texts = in->n_stops;
    for (uint32_t i = 0; i < in->n_stops; i++) {
        job->stop.texts[i].count = in->stops[i].bytes;
        memcpy(job->stop.texts[i].bytes, in->stops[i].data, in->stops[i].bytes);
    }
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
    if (rv == 0 && job->n_tokens == 0) {
        rv = flo_fail(err, FLO_E_INFER_PARAM, "the prompt is empty");
    }
    if (rv == 0 && job->n_tokens >= context) {
        rv = flo_fail(err, FLO_E_INFER_TOO_LONG,
                      "the prompt has %zu tokens, the context holds %u with "
                      "the answer",
                      job->n_tokens, context);
    }
    if (rv < 0) {
        flo_job_free(job);
        return rv;
    }
    job->tokens_max = context - (uint32_t)job->n_tokens;
    if (in->max_tokens > 0 && in->max_tokens < job->tokens_max) {
        job->tokens_max = in->max_tokens;
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
    free(job);
}

uint32_t flo_job_request(const struct flo_job *job)
{
    return job->request;
}

bool flo_job_is_probe(const struct flo_job *job)
{
    return job->is_probe;
}

uint32_t flo_job_tokens_in(const struct flo_job *job)
{
    return (uint32_t)job->n_fed;
}

uint32_t flo_job_tokens_out(const struct flo_job *job)
{
    return job->made;
}

int flo_job_start(struct flo_job *job, struct flo_session *session,
                  struct flo_sampler *sampler, struct flo_err *err)
{
    flo_session_reset(session);
    int rv = flo_sampler_reset(sampler, &job->sampling, err);
    if (rv < 0) {
        return rv;
    }
    for (size_t i = 0; i < job->n_tokens; i++) {
        flo_sampler_accept(sampler, job->tokens[i]);
    }
    job->session = session;
    job->sampler = sampler;
    job->started_at_us = flo_now_us();
    return 0;
}

/* ---- steps ------------------------------------------------------- */

static void end(struct flo_job *job, enum flo_wire_reason reason,
                struct flo_buf *out)
{
    struct flo_wire_message answer = {.type = FLO_WIRE_DONE,
                                      .request = job->request};
    job->piece.bytes = 0;
    if (reason != FLO_WIRE_STOP || job->stop.held.bytes > 0) {
        flo_buf_add(&job->piece, job->stop.held.data, job->stop.held.bytes);
    }
    answer.done.reason = reason;
    answer.done.text =
        (struct flo_wire_text){job->piece.data, job->piece.bytes};
    answer.done.tokens_in = (uint32_t)job->n_fed;
    answer.done.tokens_out = job->made;
    answer.done.nonfinite = job->nonfinite;
    answer.done.queue_us =
        (job->started_at_us > 0 ? job->started_at_us : flo_now_us()) -
        job->made_at_us;
    answer.done.prompt_cpu_us = job->prompt_cpu_us;
    answer.done.prompt_wall_us = job->prompt_wall_us;
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

/* Choose a token and tell of it.  true: the answer ends here. */
static bool choose(struct flo_job *job, uint64_t used_cpu_us,
                   uint64_t used_wall_us, struct flo_buf *out)
{
    struct flo_sample sample;
    flo_sampler_sample(job->sampler, flo_session_logits(job->session), &sample);
    job->nonfinite += sample.is_finite ? 0 : 1;
    if (!job->ignores_end && flo_engine_is_end(job->engine, sample.token)) {
        end_text(job, FLO_WIRE_STOP, out);
        return true;
    }
    job->last = sample.token;
    struct flo_buf text = {0};
    job->piece.bytes = 0;
    bool stops = false;
    if (flo_engine_info(job->engine)->has_vocabulary) {
        flo_engine_stream_add(&job->stream, job->engine, sample.token, &text);
        stops = flo_stop_add(&job->stop, text.data, text.bytes, &job->piece);
        flo_buf_deinit(&text);
    }
    struct flo_wire_message answer = {.type = FLO_WIRE_TOKEN,
                                      .request = job->request};
    answer.token.index = job->made++;
    answer.token.token = (uint32_t)sample.token;
    answer.token.text =
        (struct flo_wire_text){job->piece.data, job->piece.bytes};
    answer.token.gap = isfinite(sample.gap) ? (double)sample.gap : 0.0;
    answer.token.is_finite = sample.is_finite;
    answer.token.cpu_us = used_cpu_us;
    answer.token.wall_us = used_wall_us;
    put(out, &answer);
    if (stops) {
        job->stop.held.bytes = 0;
        end(job, FLO_WIRE_STOP, out);
        return true;
    }
    if (job->made == job->tokens_max) {
        end_text(job, FLO_WIRE_LENGTH, out);
        return true;
    }
    return false;
}

bool flo_job_step(struct flo_job *job, struct flo_buf *out)
{
    struct flo_err err = {0};
    uint64_t cpu = cpu_us(), wall = flo_now_us();
    bool in_prompt = job->n_fed < job->n_tokens;
    const int32_t *tokens = &job->last;
    size_t count = 1;
    if (in_prompt) {
        tokens = job->tokens + job->n_fed;
        count = job->n_tokens - job->n_fed;
        count = count < PROMPT_PIECE ? count : PROMPT_PIECE;
    }
    bool is_last = !in_prompt || job->n_fed + count == job->n_tokens;
    int rv =
        flo_session_decode(job->session, tokens, count,
                           is_last ? FLO_LOGITS_LAST : FLO_LOGITS_NONE, &err);
    if (rv < 0) {
        flo_job_fail(out, job->request, &err);
        return true;
    }
    cpu = cpu_us() - cpu;
    wall = flo_now_us() - wall;
    if (in_prompt) {
        job->n_fed += count;
        job->prompt_cpu_us += cpu;
        job->prompt_wall_us += wall;
        cpu = wall = 0;
    }
    return is_last && choose(job, cpu, wall, out);
}
