/* Local: answers with a model in this process, whose cache is kept between
 * answers. */
#include "engine/talk/talk.h"

#include <stdlib.h>
#include <string.h>

#include <flotilla/engine_step.h>

#include "engine/grammar/grammar.h"
#include "engine/token/control.h"

#define PIECE 64u /* tokens of the prompt computed between two checks for Ctrl-C */
/* Divisor of the context; a conversation leaves this part for the answer. */
#define KEPT_DIVISOR 8u

int flo_local_open(struct flo_local *local, const struct flo_tool *tool, struct flo_err *err)
{
    int rv = flo_tool_answer_open(tool, FLO_VOCABULARY_NEEDED, &local->answer, err);

    const struct flo_engine_info *info = local->answer.model.info;

    if (rv == 0 && (info->properties & FLO_COMPUTE_ANSWERS) == 0) {
        rv = flo_fail(err, FLO_E_USAGE, "the model %s and writes no text",
                      info->labels > 0 ? "ranks documents" : "makes vectors");
        flo_err_fix(err, info->labels > 0 ? "flotilla-model rerank QUERY DOCUMENT... --model FILE"
                                          : "flotilla-model embed TEXT... --model FILE");
    }
    FLO_TRY(rv);
    size_t context = local->answer.model.info->context;
    local->prompt_max = 2 * context + FLO_GRAMMAR_FORCED_MAX;
    local->piece = tool->batch > 0 ? tool->batch : PIECE;
    local->held = malloc(context * sizeof(*local->held));
    local->prompt = malloc(local->prompt_max * sizeof(*local->prompt));
    return local->held == NULL || local->prompt == NULL ? flo_fail(err, FLO_E_MEMORY, "a prompt")
                                                        : 0;
}

void flo_local_close(struct flo_local *local)
{
    flo_tool_answer_close(&local->answer);
    free(local->held);
    free(local->prompt);
    flo_buf_deinit(&local->text);
    *local = (struct flo_local){0};
}

/* ---- the prompt ---- */

/* Computes tokens and appends them to those in the cache. */
static int feed(struct flo_local *local, const int32_t *tokens, size_t count, struct flo_err *err)
{
    FLO_TRY(flo_tool_feed(&local->answer.model, tokens, count, err));
    memcpy(local->held + local->held_count, tokens, count * sizeof(*tokens));
    local->held_count += count;
    return 0;
}

/* Computes the prompt from where it differs from the cached tokens.  The last
 * token is always computed, for its logits.  Returns 1 if the person stopped
 * it. */
static int feed_prompt(struct flo_local *local, const struct flo_asking *asking,
                       struct flo_talk_counts *counts, struct flo_err *err)
{
    const struct flo_tool_model *model = &local->answer.model;
    size_t at = flo_tokens_common(local->held, local->held_count, local->prompt, local->count - 1);

    counts->kept = at;
    model->backend->reset(model->state, (uint32_t)at);
    local->held_count = at;
    while (at < local->count) {
        size_t left = local->count - at;
        size_t n = asking->stop_fd < 0 || left < local->piece ? left : local->piece;
        int rv = feed(local, local->prompt + at, n, err);

        at += n;
        if (rv < 0 || flo_asking_stops(asking)) {
            FLO_TRY(rv);
            return 1;
        }
    }
    return 0;
}

/* ---- the answer ---- */

static void take_part(void *context, enum flo_part_kind part, const char *text, size_t bytes)
{
    struct flo_talk_said *said = context;

    if (part == FLO_PART_THOUGHT) {
        flo_talk_said_think(said, text, bytes);
    } else {
        flo_talk_said_add(said, text, bytes);
    }
}

/* Writes the text of tokens.  At the answer's end it also writes the text that
 * was held back. */
static int say_text(struct flo_local *local, bool is_end, struct flo_talk_said *said,
                    struct flo_err *err)
{
    struct flo_buf *text = &local->text;

    if (local->reader == NULL) {
        flo_talk_said_add(said, text->data, text->bytes);
    } else {
        flo_call_reader_add(local->reader, text->data, text->bytes);
    }
    if (is_end && local->reader != NULL) {
        flo_call_reader_end(local->reader);
    }
    text->bytes = 0;
    if (is_end) {
        flo_talk_said_end(said);
    }
    return flo_talk_said_print(said, err);
}

static int say(struct flo_local *local, const int32_t *tokens, size_t count,
               struct flo_talk_said *said, struct flo_err *err)
{
    const struct flo_engine *engine = local->answer.model.text;

    for (size_t i = 0; i < count; i++) {
        flo_engine_stream_add(&local->stream, engine, tokens[i], &local->text);
        if (local->reader != NULL && flo_engine_is_control(engine, tokens[i])) {
            flo_control_add(&local->text, tokens[i]);
        }
    }
    if (local->text.failed) {
        return flo_fail(err, FLO_E_MEMORY, "the answer");
    }
    return say_text(local, false, said, err);
}

/* Appends to the prompt the tokens that a grammar forces at the beginning,
 * which are computed with the prompt.  Returns their number. */
static size_t force(struct flo_local *local, uint64_t most)
{
    uint64_t room = local->answer.model.info->context - local->count;

    room = room < most ? room : most;
    return flo_grammar_forced(local->answer.grammar, local->prompt + local->count,
                              room < FLO_GRAMMAR_FORCED_MAX ? (size_t)room
                                                            : FLO_GRAMMAR_FORCED_MAX);
}

/* Computes the tokens chosen last, and chooses the next one. */
static int next(struct flo_local *local, uint64_t most, struct flo_err *err)
{
    struct flo_tool_answer *a = &local->answer;
    struct flo_backend_stats stats;

    memcpy(local->held + local->held_count, a->tokens, a->count * sizeof(*a->tokens));
    int rv = flo_tool_answer_next(a, most, err);
    a->model.backend->stats(a->model.state, &stats);
    local->held_count = stats.position;
    return rv;
}

/* Generates tokens until the answer ends or the person stops it. */
static int go_on(struct flo_local *local, const struct flo_asking *asking, uint64_t most,
                 struct flo_talk_counts *counts, struct flo_err *err)
{
    struct flo_tool_answer *a = &local->answer;
    uint64_t room = a->model.info->context - local->count;

    while (!flo_asking_stops(asking)) {
        FLO_TRY(next(local, most - counts->answer, err));
        if (a->count == 0 || a->count > room || flo_engine_is_end(a->model.text, a->tokens[0])) {
            counts->end = a->count > room          ? FLO_TALK_FULL
                          : counts->answer == most ? FLO_TALK_LENGTH
                                                   : FLO_TALK_END;
            return 0;
        }
        room -= a->count;
        counts->answer += a->count;
        FLO_TRY(say(local, a->tokens, a->count, asking->said, err));
    }
    return 0;
}

static int begin(struct flo_local *local, const struct flo_asking *asking, struct flo_err *err)
{
    struct flo_tool_answer *a = &local->answer;
    struct flo_engine *engine = a->model.text;
    struct flo_sampling sampling;

    flo_talk_settings_sampling(asking->settings, &sampling);
    int rv = flo_sampler_reset(a->sampler, &sampling, err);
    if (rv == 0 && a->grammar != NULL) {
        flo_grammar_reset(a->grammar);
    }
    a->count = 0;
    local->text.bytes = 0;
    local->stream = (struct flo_engine_stream){0};
    flo_talk_said_begin(asking->said);
    FLO_TRY(rv);
    if (local->is_raw) {
        return rv;
    }
    bool in_thought = flo_engine_in_thought(engine, local->prompt, local->count);
    return flo_grammar_open_reader(engine, NULL, in_thought, take_part, asking->said,
                                   &local->reader, err);
}

/* Computes the prompt, then the answer. */
static int carry_out(struct flo_local *local, const struct flo_asking *asking,
                     struct flo_talk_counts *counts, struct flo_err *err)
{
    struct flo_tool_answer *a = &local->answer;
    uint64_t most = asking->settings->max_tokens;
    uint64_t began_us = flo_now_us();
    int rv = 0;

    most = most > 0 ? most : UINT64_MAX;
    if (a->grammar != NULL) {
        counts->answer = force(local, most);
        local->count += counts->answer;
        rv = say(local, local->prompt + counts->prompt, (size_t)counts->answer, asking->said, err);
    }
    for (size_t i = 0; i < local->count; i++) {
        flo_sampler_accept(a->sampler, local->prompt[i]);
    }
    if (rv == 0) {
        rv = feed_prompt(local, asking, counts, err);
    }
    counts->prompt_us = flo_now_us() - began_us;
    if (rv == 0) {
        rv = go_on(local, asking, most, counts, err);
    }
    counts->answer_us = flo_now_us() - began_us - counts->prompt_us;
    FLO_TRY(rv);
    return 0;
}

int flo_local_answer(struct flo_local *local, const struct flo_asking *asking,
                     struct flo_talk_counts *counts, struct flo_err *err)
{
    *counts = (struct flo_talk_counts){.prompt = local->count, .end = FLO_TALK_STOPPED};
    FLO_TRY(begin(local, asking, err));
    int rv = carry_out(local, asking, counts, err);
    flo_engine_stream_finish(&local->stream, &local->text);
    int printed = say_text(local, true, asking->said, rv < 0 ? NULL : err);
    flo_call_reader_close(local->reader);
    local->reader = NULL;
    FLO_TRY(rv);
    return printed;
}

/* ---- a conversation ---- */

/* Checks that the context has room for an answer.  After a single question one
 * token is enough; a conversation must leave a share of the context. */
static int check_room(const struct flo_local *local, const struct flo_asking *asking,
                      struct flo_err *err)
{
    uint64_t context = local->answer.model.info->context;
    uint64_t most = asking->settings->max_tokens;
    bool has_system = strcmp(asking->messages[0].role, "system") == 0;
    uint64_t kept = context / KEPT_DIVISOR;

    kept = most > 0 && most < kept ? most : kept;
    kept = kept == 0 || asking->count - has_system == 1 ? 1 : kept;
    return local->count + kept <= context
               ? 0
               : flo_fail(err, FLO_E_INFER_TOO_LONG,
                          "%zu tokens, and %llu for the answer; the context "
                          "takes %llu",
                          local->count, (unsigned long long)kept, (unsigned long long)context);
}

int flo_local_prompt(struct flo_local *local, const struct flo_asking *asking, struct flo_err *err)
{
    const struct flo_engine_setting setting = {
        .thinking = (enum flo_thinking)asking->settings->thinking, .now_ms = flo_wall_ms()};
    int rv =
        flo_engine_chat_with(local->answer.model.text, &setting, asking->messages, asking->count,
                             local->prompt, local->prompt_max, &local->count, err);

    if (rv == FLO_E_INFER_TOO_LONG) {
        return flo_fail(err, rv, "more than %zu tokens; the context takes %u", local->prompt_max,
                        local->answer.model.info->context);
    }
    FLO_TRY(rv);
    return check_room(local, asking, err);
}

static int talk_answer(void *state, const struct flo_asking *asking, struct flo_talk_counts *counts,
                       struct flo_err *err)
{
    FLO_TRY(flo_local_prompt(state, asking, err));
    return flo_local_answer(state, asking, counts, err);
}

static uint64_t talk_show(void *state, struct flo_buf *out)
{
    const struct flo_local *local = state;
    const struct flo_engine_info *info = local->answer.model.info;
    struct flo_engine_template used;

    flo_engine_template(local->answer.model.text, &used);
    flo_buf_text(out, "model     ");
    flo_talk_safe(info->name, strlen(info->name), out);
    flo_buf_text(out, info->name[0] != '\0' ? ", " : "");
    flo_talk_safe(info->arch, strlen(info->arch), out);
    flo_buf_printf(out, ", %.3g million parameters, kernel %s\n", (double)info->parameters / 1e6,
                   info->kernel);
    flo_buf_printf(out, "template  %s (/show template)\n", used.name);
    return info->context;
}

static int talk_template(void *state, struct flo_buf *out, struct flo_err *err)
{
    const struct flo_local *local = state;
    struct flo_engine_template used;

    flo_engine_template(local->answer.model.text, &used);
    if (used.bytes == 0) {
        return flo_fail(err, FLO_E_ABSENT, "the template is '%s': no text", used.name);
    }
    flo_talk_safe(used.text, used.bytes, out);
    flo_buf_text(out, used.text[used.bytes - 1] == '\n' ? "" : "\n");
    return 0;
}

void flo_local_talker(struct flo_local *local, struct flo_talker *out)
{
    *out = (struct flo_talker){
        .state = local, .answer = talk_answer, .show = talk_show, .show_template = talk_template};
}
