/* Job: keeps the state of one request in the engine process.
 *
 * Prompt and answer are one list of tokens, of which the session has computed
 * the first n_fed.  So a request can lose its session and resume in another
 * one, and a full context can be shortened.  In both cases the missing tokens
 * are computed again. */
#include "engine/run/run.h"

#include "engine/grammar/grammar.h"

#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/infer.h>

#define ROLE_BYTES 24
#define EFFORT_BYTES 24

_Static_assert(FLO_WIRE_REPEAT_LAST_MAX == FLO_REPEAT_LAST_MAX, "one limit");

/* ---- from text to tokens ---- */

static int read_messages(const struct flo_wire_generate *in, struct flo_engine_message *messages,
                         char (*roles)[ROLE_BYTES], struct flo_err *err)
{
    for (uint32_t i = 0; i < in->n_messages; i++) {
        struct flo_wire_text role = in->messages[i].role;
        struct flo_wire_text content = in->messages[i].content;
        struct flo_wire_text more = in->messages[i].more;
        if (role.bytes >= ROLE_BYTES) {
            return flo_fail(err, FLO_E_INFER_PARAM, "messages[%u].role is longer than %d bytes", i,
                            ROLE_BYTES - 1);
        }
        memcpy(roles[i], role.data, role.bytes);
        roles[i][role.bytes] = '\0';
        messages[i] = (struct flo_engine_message){
            .role = roles[i],
            .text = content.bytes > 0 ? content.data : "",
            .bytes = content.bytes,
            .more = more.bytes > 0 ? more.data : NULL,
            .more_bytes = more.bytes,
        };
    }
    return 0;
}

static int read_setting(const struct flo_wire_generate *in, char effort[EFFORT_BYTES],
                        struct flo_engine_setting *out, struct flo_err *err)
{
    if (in->effort.bytes >= EFFORT_BYTES) {
        return flo_fail(err, FLO_E_INFER_PARAM, "reasoning_effort is longer than %d bytes",
                        EFFORT_BYTES - 1);
    }
    memcpy(effort, in->effort.bytes > 0 ? in->effort.data : "", in->effort.bytes);
    effort[in->effort.bytes] = '\0';
    *out = (struct flo_engine_setting){
        .tools = in->tools.bytes > 0 ? in->tools.data : NULL,
        .tools_bytes = in->tools.bytes,
        .thinking =
            in->thinking < FLO_THINKINGS ? (enum flo_thinking)in->thinking : FLO_THINKING_AUTO,
        .effort = in->effort.bytes > 0 ? effort : NULL,
        .now_ms = in->now_ms,
    };
    return 0;
}

/* Returns how many tokens the prompt begins with because of its system message.
 * They are counted by rendering the conversation with no other message. */
static uint32_t head_tokens(const struct flo_job *job, const struct flo_engine_setting *setting,
                            const struct flo_engine_message *system, size_t max)
{
    const struct flo_engine_message head[2] = {*system, {.role = "user", .text = ""}};
    FLO_CLEANUP(flo_free_cleanup) int32_t *tokens = malloc(max * sizeof(*tokens));
    size_t count = 0, same = 0;
    if (tokens != NULL && strcmp(system->role, "system") == 0 &&
        flo_engine_chat_with(job->engine, setting, head, 2, tokens, max, &count, NULL) == 0) {
        same = flo_tokens_common(tokens, count, job->tokens, job->n_prompt);
    }
    return (uint32_t)same;
}

/* Finds the tokens that all clients may share.  Tools and the like, which stand
 * in front, are the client's. */
static void find_public(struct flo_job *job, const struct flo_wire_generate *in,
                        const struct flo_engine_setting *setting,
                        const struct flo_engine_message *system, size_t max)
{
    struct flo_engine_message head = *system;
    if (in->public_bytes == 0 || in->public_bytes > in->messages[0].content.bytes ||
        in->tools.bytes + in->effort.bytes > 0) {
        return;
    }
    head.bytes = in->public_bytes;
    job->n_public = head_tokens(job, setting, &head, max);
}

static int render_chat(struct flo_job *job, const struct flo_wire_generate *in, struct flo_err *err)
{
    size_t max = flo_engine_info(job->engine)->context, count = 0;
    struct flo_engine_message messages[FLO_WIRE_MESSAGES_MAX];
    char roles[FLO_WIRE_MESSAGES_MAX][ROLE_BYTES], effort[EFFORT_BYTES];
    struct flo_engine_setting setting;
    FLO_TRY(read_messages(in, messages, roles, err));
    FLO_TRY(read_setting(in, effort, &setting, err));
    job->tokens = malloc(max * sizeof(*job->tokens));
    if (job->tokens == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for %zu tokens", max);
    }
    int rv = flo_engine_chat_with(job->engine, &setting, messages, in->n_messages, job->tokens, max,
                                  &count, err);
    job->n_prompt = (uint32_t)count;
    if (rv == 0 && in->shifts) {
        job->n_kept = head_tokens(job, &setting, &messages[0], max);
    }
    if (rv == 0) {
        find_public(job, in, &setting, &messages[0], max);
    }
    job->in_thought = rv == 0 && flo_engine_in_thought(job->engine, job->tokens, count);
    return rv;
}

static int read_text(struct flo_job *job, const struct flo_wire_generate *in, struct flo_err *err)
{
    bool is_ids = in->tokens.bytes > 0;
    size_t count = 0;
    /* A text that the model continues gets no end token.  A probe does, because
     * its golden prompt was tokenised so when its answer was recorded. */
    unsigned flags = in->priority == FLO_WIRE_PROBE ? FLO_TEXT_ENDS : FLO_TEXT_BEGIN;
    flags |= in->reads_special ? FLO_TEXT_SPECIAL : 0;
    int rv = flo_tokens_read(job->engine, is_ids ? in->tokens : in->prompt,
                             is_ids ? FLO_TEXT_IDS : flags, flo_engine_info(job->engine)->context,
                             &job->tokens, &count, err);
    job->n_prompt = (uint32_t)count;
    return rv;
}

static int read_prompt(struct flo_job *job, const struct flo_wire_generate *in, struct flo_err *err)
{
    int rv = in->n_messages > 0 ? render_chat(job, in, err) : read_text(job, in, err);
    return rv == FLO_E_INFER_TOO_LONG ? flo_wrap(err, rv, "the prompt") : rv;
}

/* Allocates one list for prompt, answer and drafts, so that nothing is
 * allocated later. */
static int make_room(struct flo_job *job, const struct flo_wire_generate *in, struct flo_err *err)
{
    uint32_t context = flo_engine_info(job->engine)->context;
    size_t max = (size_t)context + FLO_DRAFT_MAX;
    int32_t *grown;
    if (job->n_prompt == 0) {
        return flo_fail(err, FLO_E_INFER_PARAM, "the prompt is empty");
    }
    if (in->prompt_max > 0 && job->n_prompt > in->prompt_max) {
        return flo_fail(err, FLO_E_INFER_TOO_LONG, "the prompt has %u tokens, its app may send %u",
                        job->n_prompt, in->prompt_max);
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
    job->tokens_max = context - job->n_prompt;
    /* An answer may outgrow the context by shifts, if the context has the three
     * tokens that a shift needs. */
    if (in->max_tokens > 0 && (in->max_tokens < job->tokens_max || (in->shifts && context > 2))) {
        job->tokens_max = in->max_tokens;
    }
    return 0;
}

/* ---- life ---- */

static void read_settings(struct flo_job *job, const struct flo_wire_generate *in)
{
    job->sampling = (struct flo_sampling){
        .temperature = (float)in->temperature,
        .top_k = in->top_k,
        .top_p = (float)in->top_p,
        .min_p = (float)in->min_p,
        .repeat_penalty = (float)in->repeat_penalty,
        .repeat_last = in->repeat_last,
        .presence_penalty = (float)in->presence_penalty,
        .frequency_penalty = (float)in->frequency_penalty,
        .seed = in->seed,
    };
    job->priority = in->priority == FLO_WIRE_USER    ? FLO_WIRE_USER
                    : in->priority == FLO_WIRE_PROBE ? FLO_WIRE_PROBE
                                                     : FLO_WIRE_BATCH;
    job->adapter_scale = in->adapter_scale == 0 ? 1 : (float)in->adapter_scale;
    job->ignores_end = in->ignores_end;
    job->logprobs = in->logprobs;
    job->guesses = !in->no_drafts && job->priority != FLO_WIRE_PROBE &&
                   in->grammar_kind == FLO_GRAMMAR_NONE && in->tools.bytes == 0;
    flo_draft_begin(&job->draft, &(struct flo_draft){0});
    job->stop.n_texts = in->n_stops;
    for (uint32_t i = 0; i < in->n_stops; i++) {
        job->stop.texts[i].count = in->stops[i].bytes;
        memcpy(job->stop.texts[i].bytes, in->stops[i].data, in->stops[i].bytes);
    }
}

static int read_biases(struct flo_job *job, const struct flo_wire_generate *in, struct flo_err *err)
{
    uint32_t n_vocab = flo_engine_info(job->engine)->n_vocab;
    struct flo_wire_text rest = in->biases;
    struct flo_logit_bias one;
    uint32_t count = 0;

    if (rest.bytes == 0) {
        return 0;
    }
    job->biases = calloc(FLO_LOGIT_BIASES_MAX, sizeof(*job->biases));
    if (job->biases == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for biases");
    }
    while (flo_wire_bias_next(&rest, &one.token, &one.bias)) {
        if (count == FLO_LOGIT_BIASES_MAX) {
            return flo_fail(err, FLO_E_INFER_PARAM, "logit_bias has more than %u tokens", count);
        }
        if (one.token < 0 || (uint32_t)one.token >= n_vocab) {
            return flo_fail(err, FLO_E_INFER_PARAM,
                            "logit_bias names token %d, the vocabulary has %u", one.token, n_vocab);
        }
        job->biases[count++] = one;
    }
    job->sampling.biases = job->biases;
    job->sampling.bias_count = count;
    return 0;
}

/* Allocates the counts for the penalties.  They count the whole answer, also
 * tokens that a shift dropped. */
static int make_answered(struct flo_job *job, struct flo_err *err)
{
    uint32_t n_vocab = flo_engine_info(job->engine)->n_vocab;
    uint32_t max = flo_smaller(job->tokens_max, n_vocab);

    if (job->sampling.presence_penalty == 0 && job->sampling.frequency_penalty == 0) {
        return 0;
    }
    job->answered = malloc(sizeof(*job->answered) + max * sizeof(*job->answered->items));
    if (job->answered == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for %u tokens", max);
    }
    job->answered->count = 0;
    job->answered->max = max;
    job->sampling.answered = job->answered;
    return 0;
}

static bool may_call(const struct flo_wire_generate *in)
{
    return in->tools.bytes > 0 && in->tool_choice != FLO_WIRE_TOOLS_NONE;
}

static int open_tools(struct flo_job *job, const struct flo_wire_generate *in, struct flo_err *err)
{
    static const char any_object[] = "{\"type\":\"object\"}";
    struct flo_tool_rules rules = {
        .tools = in->tools.data,
        .tools_bytes = in->tools.bytes,
        .name = in->tool_name.data,
        .name_bytes = in->tool_name.bytes,
        .is_required = in->tool_choice == FLO_WIRE_TOOLS_REQUIRED || in->tool_name.bytes > 0,
        .is_one = in->one_call,
        .in_thought = job->in_thought,
    };

    if (in->grammar_kind == FLO_GRAMMAR_GBNF) {
        return flo_fail(err, FLO_E_INFER_SCHEMA, "grammar: tools next to it are not built yet");
    }
    if (in->grammar_kind != FLO_GRAMMAR_NONE && !rules.is_required) {
        bool is_any = in->grammar_kind == FLO_GRAMMAR_JSON;
        rules.answer = is_any ? any_object : in->grammar.data;
        rules.answer_bytes = is_any ? sizeof(any_object) - 1 : in->grammar.bytes;
    }
    return flo_grammar_open_tools(job->engine, &rules, &job->grammar, err);
}

/* Opens the grammar of the job.  Only jobs that have had a session have a
 * grammar, so there are no more than planned.  The tokens that it forces at the
 * beginning are computed with the prompt. */
static int open_grammar(struct flo_job *job, const struct flo_wire_generate *in,
                        struct flo_err *err)
{
    if (in->grammar_kind == FLO_GRAMMAR_NONE && !may_call(in)) {
        return 0;
    }
    int rv = may_call(in)
                 ? open_tools(job, in, err)
                 : flo_grammar_open(job->engine, (enum flo_grammar_kind)in->grammar_kind,
                                    in->grammar.data, in->grammar.bytes, &job->grammar, err);
    if (rv == 0) {
        /* One token less than there is room for is forced.  Otherwise the full
         * context would be shifted before the prompt is computed. */
        job->n_early =
            flo_job_force(job, flo_smaller(job->tokens_max,
                                           flo_engine_info(job->engine)->context - job->n_prompt) -
                                   1);
        job->n_tokens += job->n_early;
    }
    return rv;
}

static int open_reader(struct flo_job *job, const struct flo_wire_generate *in, struct flo_err *err)
{
    if (!in->tells_parts || in->n_messages == 0) {
        return 0;
    }
    return flo_grammar_open_reader(job->engine, may_call(in) ? job->grammar : NULL, job->in_thought,
                                   flo_job_part, job, &job->reader, err);
}

static int fill_job(struct flo_job *job, const struct flo_wire_generate *in, struct flo_err *err)
{
    FLO_TRY(read_biases(job, in, err));
    FLO_TRY(flo_sampling_check(&job->sampling, err));
    FLO_TRY(read_prompt(job, in, err));
    FLO_TRY(make_room(job, in, err));
    FLO_TRY(make_answered(job, err));
    FLO_TRY(open_grammar(job, in, err));
    return open_reader(job, in, err);
}

int flo_job_new(const struct flo_engine *engine, const struct flo_wire_message *message,
                struct flo_job **out, struct flo_err *err)
{
    const struct flo_wire_generate *in = &message->generate;
    struct flo_job *job = calloc(1, sizeof(*job));
    if (job == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for a request");
    }
    job->engine = engine;
    job->request = message->request;
    job->client = in->client;
    read_settings(job, in);
    int rv = fill_job(job, in, err);
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
    free(job->answered);
    free(job->biases);
    flo_buf_deinit(&job->stop.held);
    flo_buf_deinit(&job->text);
    flo_buf_deinit(&job->piece);
    flo_buf_deinit(&job->told);
    flo_buf_deinit(&job->said);
    flo_buf_deinit(&job->parts);
    flo_buf_deinit(&job->part);
    flo_call_reader_close(job->reader);
    flo_grammar_close(job->grammar);
    free(job);
}

uint32_t flo_job_common(const struct flo_job *job, const struct flo_session *session)
{
    if (!flo_session_has_adapter(session, job->adapter, job->adapter_scale)) {
        return 0;
    }
    /* The last token is always computed, because its logits are needed. */
    return flo_session_common(session, job->tokens, job->n_tokens - 1);
}

int flo_job_start(struct flo_job *job, struct flo_session *session, const struct flo_session *from,
                  uint32_t common, struct flo_sampler *sampler, struct flo_err *err)
{
    FLO_TRY(flo_sampler_reset(sampler, &job->sampling, err));
    /* restores the sampler, because a shift may have dropped tokens */
    if (job->started_at_us > 0) {
        flo_sampler_go_on(sampler, &job->sampled);
    } else {
        for (size_t i = 0; i < job->n_prompt; i++) {
            flo_sampler_accept(sampler, job->tokens[i]);
        }
        for (size_t i = job->n_prompt; i < job->n_tokens; i++) {
            flo_sampler_answer(sampler, job->tokens[i]); /* records forced tokens */
        }
    }
    flo_session_begin_as(session, from, common);
    FLO_TRY(flo_session_set_adapter(session, job->adapter, job->adapter_scale, err));
    job->n_fed = flo_session_position(session);
    job->session = session;
    job->sampler = sampler;
    if (job->started_at_us == 0) {
        job->started_at_us = flo_now_us();
        job->counts.cached_tokens = flo_smaller(job->n_fed, job->n_prompt);
    }
    return 0;
}

void flo_job_mark(struct flo_job *job, uint32_t shared)
{
    shared -= shared % FLO_PREFIX_TOKENS;
    shared = shared > job->n_fed ? shared : 0;
    job->mark = flo_session_mark(job->session, shared) ? shared : 0;
}

void flo_job_pause(struct flo_job *job)
{
    job->sampled = *flo_sampler_state(job->sampler);
    job->session = NULL;
    job->sampler = NULL;
    job->n_fed = 0;
}
