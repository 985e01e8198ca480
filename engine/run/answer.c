/* Answer: computes one request's answer, from the first pass to DONE.  The
 * prompt is computed first, in pieces.  Then the answer is computed token by
 * token, with drafts and with the tokens that a grammar forces. */
#include "engine/run/run.h"

#include <flotilla/engine_output.h>
#include <flotilla/grammar.h>

#include "engine/sample/sampler.h"
#include "engine/token/control.h"

#include <math.h>
#include <string.h>
#include <time.h>

_Static_assert(FLO_WIRE_LOGPROBS_MAX == FLO_LOGPROBS_MAX, "told = known");

static uint64_t cpu_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
}

/* ---- parts ---- */

/* Adds the finished part to the frame as one entry, joined from the pieces that
 * the reader reported. */
static void end_part(struct flo_job *job)
{
    if (job->part.bytes > 0) {
        const struct flo_wire_part part = {job->part_kind, {job->part.data, job->part.bytes}};
        flo_wire_part_add(&job->parts, &part);
        job->part.bytes = 0;
    }
}

void flo_job_part(void *context, enum flo_part_kind part, const char *text, size_t bytes)
{
    static const enum flo_wire_part_kind kinds[] = {
        [FLO_PART_THOUGHT] = FLO_WIRE_PART_THOUGHT,
        [FLO_PART_CALL] = FLO_WIRE_PART_CALL,
        [FLO_PART_ARGUMENTS] = FLO_WIRE_PART_ARGUMENTS,
    };
    struct flo_job *job = context;

    if (part == FLO_PART_TEXT) {
        flo_buf_add(&job->said, text, bytes);
        return;
    }
    if (kinds[part] != job->part_kind || part == FLO_PART_CALL) {
        end_part(job);
    }
    job->part_kind = kinds[part];
    flo_buf_add(&job->part, text, bytes);
}

/* Returns the text that one token adds to the answer, without marks, thoughts
 * and calls. */
static const struct flo_buf *read_parts(struct flo_job *job, int32_t token, bool is_end)
{
    if (job->reader == NULL) {
        return &job->text;
    }
    job->said.bytes = job->parts.bytes = 0;
    if (token >= 0 && flo_engine_is_control(job->engine, token)) {
        flo_control_add(&job->text, token);
    }
    flo_call_reader_add(job->reader, job->text.data, job->text.bytes);
    if (is_end) {
        flo_call_reader_end(job->reader);
    }
    end_part(job);
    return &job->said;
}

/* ---- the end ---- */

static void end(struct flo_job *job, enum flo_wire_reason reason, struct flo_buf *out)
{
    struct flo_wire_done done = job->counts;
    job->has_ended = true;
    job->piece.bytes = 0;
    flo_buf_add(&job->piece, job->stop.held.data, job->stop.held.bytes);
    done.reason = reason;
    done.stop = job->stop.ended;
    done.text = (struct flo_wire_text){job->piece.data, job->piece.bytes};
    done.parts = (struct flo_wire_text){job->parts.data, job->parts.bytes};
    done.tokens_out = job->made;
    if (job->first_at_us > 0) {
        done.first_us = job->first_at_us - job->made_at_us;
        done.answer_us = flo_now_us() - job->first_at_us;
    }
    flo_frame_done(out, job->request, &done, job->made_at_us, job->started_at_us);
}

/* Adds the last bytes of the token stream to the answer, unless a stop text is
 * found in them. */
static void end_text(struct flo_job *job, enum flo_wire_reason reason, struct flo_buf *out)
{
    struct flo_buf shown = {0};
    job->text.bytes = 0;
    flo_engine_stream_finish(&job->stream, &job->text);
    const struct flo_buf *tail = read_parts(job, -1, true);
    if (flo_stop_add(&job->stop, tail->data, tail->bytes, &shown)) {
        reason = FLO_WIRE_STOP;
    }
    flo_buf_add(&shown, job->stop.held.data, job->stop.held.bytes);
    flo_buf_deinit(&job->stop.held);
    job->stop.held = shown;
    end(job, reason, out);
}

void flo_job_cancel(struct flo_job *job, struct flo_buf *out)
{
    job->stop.held.bytes = 0;
    job->parts.bytes = 0;
    end(job, FLO_WIRE_CANCELLED, out);
}

/* ---- a pass ---- */

/* Returns the CPU time and the wall time since this function was last
 * called. */
static void take_times(struct flo_job *job, uint64_t *used_cpu_us, uint64_t *used_wall_us)
{
    uint64_t cpu = cpu_us(), wall = flo_now_us();
    *used_cpu_us = cpu - job->mark_cpu_us;
    *used_wall_us = wall - job->mark_wall_us;
    job->mark_cpu_us = cpu;
    job->mark_wall_us = wall;
}

/* Records the time of the prompt, which is all time until the first token. */
static void take_prompt_times(struct flo_job *job)
{
    uint64_t cpu, wall;
    take_times(job, &cpu, &wall);
    job->counts.prompt_cpu_us += cpu;
    job->counts.prompt_wall_us += wall;
}

static void tell(struct flo_job *job, const struct flo_sample *sample)
{
    struct flo_wire_message answer = {.type = FLO_WIRE_TOKEN, .request = job->request};
    answer.token.index = job->made++;
    answer.token.token = (uint32_t)sample->token;
    answer.token.text = (struct flo_wire_text){job->piece.data, job->piece.bytes};
    answer.token.begin = job->begin;
    answer.token.gap = isfinite(sample->gap) ? (double)sample->gap : 0.0;
    answer.token.is_finite = sample->is_finite;
    answer.token.logprobs = (struct flo_wire_text){job->told.data, job->told.bytes};
    answer.token.parts = (struct flo_wire_text){job->parts.data, job->parts.bytes};
    if (job->first_at_us == 0) {
        take_prompt_times(job);
        job->first_at_us = flo_now_us();
    } else {
        take_times(job, &answer.token.cpu_us, &answer.token.wall_us);
    }
    flo_frame_put(job->out, &answer);
}

/* Appends a log-probability to job->told, encoded as in a TOKEN frame. */
static void add_logprob(struct flo_job *job, struct flo_logprob one)
{
    struct flo_buf *text = &job->text;
    struct flo_wire_logprob told = {(uint32_t)one.token, one.logprob, {0}};
    text->bytes = 0;
    /* Without a vocabulary the entry has no text. */
    if (flo_engine_info(job->engine)->has_vocabulary &&
        flo_engine_detokenise(job->engine, &one.token, 1, true, text, NULL) == 0) {
        told.text = (struct flo_wire_text){text->data, text->bytes};
    }
    flo_wire_logprob_add(&job->told, &told);
}

/* Writes to job->told the log-probabilities of the chosen token and of the most
 * probable ones. */
static void take_logprobs(struct flo_job *job, const float *logits, int32_t token)
{
    struct flo_logprob list[1 + FLO_LOGPROBS_MAX];
    uint32_t n = 0;
    if (job->logprobs > 0 && logits != NULL) {
        n = flo_logprobs(logits, flo_engine_info(job->engine)->n_vocab, token, job->logprobs - 1,
                         list);
    }
    job->told.bytes = 0;
    for (uint32_t i = 0; i < n; i++) {
        add_logprob(job, list[i]);
    }
}

/* Sends a TOKEN frame for a token of the list.  `logits` is NULL if the grammar
 * forced the token. */
static void show(struct flo_job *job, const struct flo_sample *sample, const float *logits)
{
    job->text.bytes = job->piece.bytes = 0;
    bool stops = false;
    uint32_t bytes = 0;
    if (flo_engine_info(job->engine)->has_vocabulary) {
        flo_engine_stream_add(&job->stream, job->engine, sample->token, &job->text);
        bytes = (uint32_t)job->text.bytes;
        const struct flo_buf *said = read_parts(job, sample->token, false);
        stops = flo_stop_add(&job->stop, said->data, said->bytes, &job->piece);
    }
    take_logprobs(job, logits, sample->token);
    tell(job, sample);
    job->begin += bytes;
    if (stops) {
        end(job, FLO_WIRE_STOP, job->out);
    } else if (job->made == job->tokens_max) {
        end_text(job, FLO_WIRE_LENGTH, job->out);
    }
}

uint32_t flo_job_force(struct flo_job *job, uint32_t most)
{
    uint32_t context = flo_engine_info(job->engine)->context;
    uint32_t room = context > job->n_tokens ? context - job->n_tokens : 0;
    return (uint32_t)flo_grammar_forced(
        job->grammar, job->tokens + job->n_tokens,
        flo_smaller(flo_smaller(most, room), FLO_GRAMMAR_FORCED_MAX));
}

static enum flo_wire_reason end_reason(const struct flo_job *job)
{
    return job->grammar != NULL && flo_grammar_is_cut(job->grammar) ? FLO_WIRE_LENGTH
                                                                    : FLO_WIRE_STOP;
}

/* Sends TOKEN frames for the last `count` tokens of the list, which the grammar
 * forced. */
static void show_forced(struct flo_job *job, uint32_t count)
{
    for (uint32_t i = job->n_tokens - count; i < job->n_tokens && !job->has_ended; i++) {
        struct flo_sample sample = {.token = job->tokens[i], .is_finite = true};
        show(job, &sample, NULL);
    }
    if (!job->has_ended && flo_grammar_is_done(job->grammar)) {
        end_text(job, end_reason(job), job->out);
    }
}

static int sample_next(struct flo_job *job, const float *logits, struct flo_sample *sample,
                       struct flo_err *err)
{
    if (job->grammar != NULL) {
        FLO_TRY(flo_grammar_limit(job->grammar, job->tokens_max - job->made, err));
        return flo_grammar_sample(job->grammar, job->sampler, logits, sample, err);
    }
    flo_sampler_sample(job->sampler, logits, sample);
    return 0;
}

/* Chooses a token and sends it, between the tokens that a grammar forces before
 * and after it. */
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
        flo_frame_fail(job->out, job->request, &err);
        job->has_ended = true;
        return;
    }
    job->counts.nonfinite += sample.is_finite ? 0 : 1;
    if (!job->ignores_end && flo_engine_is_end(job->engine, sample.token)) {
        if (job->first_at_us == 0) {
            take_prompt_times(job);
        }
        end_text(job, end_reason(job), job->out);
        return;
    }
    job->tokens[job->n_tokens++] = sample.token;
    show(job, &sample, logits);
    if (job->grammar != NULL && !job->has_ended) {
        uint32_t forced = flo_job_force(job, job->tokens_max - job->made);
        for (uint32_t i = 0; i < forced; i++) {
            flo_sampler_answer(job->sampler, job->tokens[job->n_tokens++]);
        }
        show_forced(job, forced);
    }
}

/* Takes the logits after one token of the step, which is the last pending one
 * or a draft.  Returns false if the later ones are not needed. */
static bool take_row(void *context, uint32_t index, const float *logits)
{
    struct flo_job *job = context;
    bool is_first = job->n_left == job->n_guesses;
    int32_t guess = job->n_left > 0 ? job->tokens[job->n_tokens] : -1;
    (void)index;
    /* The answer may end with this token, so the counts of DONE are set
     * before. */
    job->counts.tokens_in = job->n_prompt;
    job->counts.guessed += is_first ? job->n_guesses : 0;
    choose(job, logits);
    int32_t chosen = job->has_ended ? -1 : job->tokens[job->n_tokens - 1];
    if (is_first) {
        flo_job_learn(job, chosen);
    }
    if (job->n_left == 0 || chosen != guess) {
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

void flo_job_prepare(struct flo_job *job, uint32_t rows, struct flo_drafting *drafting,
                     struct flo_buf *out, struct flo_step *step)
{
    uint64_t ignored;
    if (job->n_fed < job->mark && job->mark < job->n_fed + rows) {
        rows = job->mark - job->n_fed;
    }
    bool is_whole = rows == flo_job_pending(job);
    job->n_guesses = 0;
    job->guess_us = 0;
    memset(job->firsts, -1, sizeof(job->firsts));
    if (is_whole && rows == 1 && job->guesses) {
        flo_job_guess(job, drafting);
    }
    job->n_left = job->n_guesses;
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

/* Shifts a full context: drops the older half of the tokens after the first
 * ones, which it keeps.  The remaining tokens are computed again at their new
 * positions.  Rotating the keys in the cache would be cheaper, but it loses
 * precision in the quantised caches each time and keeps traces of the dropped
 * tokens.  Recomputed, the answer has the same bits as for a prompt of only the
 * remaining tokens. */
static void shift(struct flo_job *job, uint32_t context)
{
    uint32_t kept = flo_smaller(job->n_kept > 0 ? job->n_kept : 1, context / 2);
    uint32_t dropped = (job->n_tokens - kept + 1) / 2;
    memmove(job->tokens + kept, job->tokens + kept + dropped,
            (job->n_tokens - kept - dropped) * sizeof(*job->tokens));
    job->n_tokens -= dropped;
    job->mark = 0;
    flo_session_truncate(job->session, flo_session_held(job->session, kept));
    job->n_fed = flo_session_position(job->session);
}

bool flo_job_finish(struct flo_job *job)
{
    uint32_t context = flo_engine_info(job->engine)->context;
    job->n_fed = flo_session_position(job->session);
    if (job->counts.tokens_in < job->n_fed) {
        job->counts.tokens_in = flo_smaller(job->n_fed, job->n_prompt);
    }
    if (job->first_at_us == 0) {
        take_prompt_times(job);
    }
    if (!job->has_ended && job->n_tokens >= context) {
        shift(job, context);
    }
    return job->has_ended;
}
