/* Golden play: lets a model answer golden cases and judges the answers by the
 * matchers of devices.
 *
 * All cases are played in several ways, because devices have other numbers of
 * threads, other kernels, and caches of another type. */
#include "engine/judge/golden.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <flotilla/engine_output.h>
#include <flotilla/engine_step.h>
#include <flotilla/errors/probe.h>
#include <flotilla/plural.h>

#include "engine/judge/aside.h"
#include "engine/kernel/kernel.h"

enum {
    REF_BYTES_MAX = 128 << 20, /* most bytes of weights that plain C computes fast enough */
    CACHE_PLAY = 3,            /* with the cache that devices choose when memory is short */
    PLAYS = 4,
};

/* ---- one answer ---- */

static int put_messages(const struct flo_tool_answer *a, const struct flo_golden_case *c,
                        int32_t *tokens, size_t tokens_max, size_t *count, struct flo_err *err)
{
    struct flo_engine_message messages[FLO_GOLDEN_MESSAGES_MAX];

    for (uint32_t i = 0; i < c->n_messages; i++) {
        messages[i] = (struct flo_engine_message){.role = c->messages[i].role,
                                                  .text = c->messages[i].content,
                                                  .bytes = strlen(c->messages[i].content)};
    }
    return flo_engine_chat(a->model.text, messages, c->n_messages, tokens, tokens_max, count, err);
}

/* Compares a token's loss with the expected one. */
static void follow_step(struct flo_golden_heard *heard, const struct flo_golden_likely *likely,
                        uint32_t n)
{
    const struct flo_golden_match *rivals = heard->follow.rivals;
    uint32_t before = heard->follow.count;

    bool is_compared =
        rivals != NULL && !heard->follow.has_departed && before < heard->follow.match->n_tokens;
    uint32_t each = is_compared ? rivals->n_tokens / heard->follow.match->n_tokens : 0;
    for (uint32_t i = before * each; i < (before + 1) * each; i++) {
        heard->rival_losses[i] = (float)flo_golden_loss(rivals, i, likely, n);
    }
    flo_golden_follow_token(&heard->follow, likely, n);
    if (heard->follow.count == before || heard->steady_count < before) {
        return;
    }
    if (heard->follow.last > FLO_GOLDEN_UNSTEADY) {
        heard->steady_count = before;
    } else {
        heard->worst = fmax(heard->worst, heard->follow.last);
    }
}

/* Notes the likeliest tokens of a step.  `list` has `n` tokens, the chosen one
 * before the likeliest. */
static void note_rivals(struct flo_golden_heard *heard, const struct flo_logprob *list, uint32_t n)
{
    for (uint32_t i = 0; i < FLO_RIVALS_EACH && n > 0; i++) {
        const struct flo_logprob *one = &list[i + 1 < n ? i + 1 : 0];
        heard->rivals[heard->count * FLO_RIVALS_EACH + i] = one->token;
        if (heard->follow.rivals == NULL) {
            heard->rival_losses[heard->count * FLO_RIVALS_EACH + i] = -one->logprob;
        }
    }
}

/* Notes how likely the model finds the chosen token, and whether the answer
 * might have ended instead. */
static void note_step(const struct flo_tool_answer *a, struct flo_golden_heard *heard)
{
    struct flo_logprob list[1 + FLO_LOGPROBS_MAX];
    struct flo_golden_likely likely[1 + FLO_LOGPROBS_MAX];
    const float *logits = a->model.backend->logits(a->model.state);
    uint32_t n = flo_logprobs(logits, a->model.info->n_vocab, a->tokens[0], FLO_LOGPROBS_MAX, list);
    bool may_end = heard->has_ended && (double)a->gap < FLO_GOLDEN_SURE_GAP;

    for (uint32_t i = 0; i < n; i++) {
        likely[i] = (struct flo_golden_likely){list[i].token, -(double)list[i].logprob};
        may_end = may_end ||
                  (!heard->has_ended && likely[i].loss - likely[0].loss < FLO_GOLDEN_SURE_GAP &&
                   flo_engine_is_end(a->model.text, list[i].token));
    }
    note_rivals(heard, list, n);
    heard->losses[heard->count] = n > 0 ? -list[0].logprob : 0;
    heard->open_count =
        may_end && heard->open_count > heard->count ? heard->count : heard->open_count;
    /* A device hears nothing of the token that ends an answer. */
    if (n > 0 && !heard->has_ended) {
        follow_step(heard, likely, n);
    }
}

/* Computes the prompt from where it differs from the prompt before: chat
 * templates begin all prompts alike.  The last token is always computed, for its
 * logits. */
static int feed_prompt(struct flo_tool_answer *a, const int32_t *prompt, size_t count,
                       struct flo_err *err)
{
    const struct flo_session *session = flo_backend_native_session(a->model.state);
    uint32_t common = flo_session_common(session, prompt, count - 1);

    a->model.backend->reset(a->model.state, common);
    a->count = 0;
    return flo_tool_feed(&a->model, prompt + common, count - common, err);
}

int flo_golden_hear(struct flo_tool_answer *a, const struct flo_golden_case *c,
                    struct flo_golden_length length, int32_t *prompt,
                    struct flo_golden_heard *heard, struct flo_err *err)
{
    const struct flo_tool_prompt asked = {NULL, c->prompt, c->input == FLO_GOLDEN_RAW};
    size_t count, room = a->model.info->context - 1;
    bool is_finite = true, is_sure = true;

    FLO_TRY(c->input == FLO_GOLDEN_MESSAGES
                ? put_messages(a, c, prompt, room, &count, err)
                : flo_tool_prompt(a->model.text, &asked, prompt, room, &count, err));
    room = a->model.info->context - count;
    room = room < length.tokens_max ? room : length.tokens_max;
    heard->count = 0;
    heard->open_count = UINT32_MAX;
    heard->has_ended = false;
    heard->text.bytes = 0;
    flo_golden_follow(&heard->follow, c);
    heard->steady_count = UINT32_MAX;
    heard->worst = 0;
    FLO_TRY(feed_prompt(a, prompt, count, err));
    while (heard->count < room && !heard->has_ended &&
           (is_sure || heard->count < length.unsure_max)) {
        FLO_TRY(flo_tool_answer_next(a, 1, err));
        heard->gaps[heard->count] = a->gap;
        is_sure = is_sure && (double)a->gap >= FLO_GOLDEN_SURE_GAP;
        is_finite = is_finite && a->is_finite;
        heard->has_ended = flo_engine_is_end(a->model.text, a->tokens[0]);
        note_step(a, heard);
        if (!heard->has_ended) {
            heard->tokens[heard->count++] = a->tokens[0];
        }
    }
    return is_finite ? 0
                     : flo_fail(err, FLO_E_PROBE_NONFINITE, "a token came from NaN or infinity");
}

int flo_golden_text(const struct flo_tool_answer *a, uint32_t count, struct flo_golden_heard *heard,
                    struct flo_err *err)
{
    heard->text.bytes = 0;
    int rv = flo_engine_detokenise(a->model.text, heard->tokens, count, false, &heard->text, err);
    flo_buf_text(&heard->text, "");
    FLO_TRY(rv);
    return heard->text.failed ? flo_fail(err, FLO_E_MEMORY, "an answer") : 0;
}

/* ---- plays ---- */

/* State of all plays. */
struct plays {
    const struct flo_golden *golden;
    struct flo_golden_played *results;
    struct flo_ticker *ticker;
    bool goes_on; /* cases that failed are played again, to find what is steady */
    bool is_own;  /* the model itself is played, and no other one */
    bool is_once; /* only the first play */
    struct flo_golden_heard heard;
    int32_t *prompt; /* [context] */
};

/* Returns the name of another kernel that this CPU supports.  Returns NULL if
 * there is none that is fast enough. */
static const char *other_kernel(const char *used, uint64_t weights_bytes)
{
    const struct flo_kernel *kernel;

    for (size_t i = 0; (kernel = flo_kernel_at(i)) != NULL; i++) {
        bool is_slow = kernel == &flo_kernel_ref && weights_bytes > REF_BYTES_MAX;
        if (strcmp(kernel->name, used) != 0 && kernel->is_supported() && !is_slow) {
            return kernel->name;
        }
    }
    return NULL;
}

/* Returns the name of the simplest kernel of this CPU, but not of plain C, which is
 * slow.  Returns NULL if there is none. */
static const char *plainest_kernel(void)
{
    const struct flo_kernel *kernel;
    const char *name = NULL;

    for (size_t i = 0; (kernel = flo_kernel_at(i)) != NULL; i++) {
        name = kernel->is_supported() && kernel != &flo_kernel_ref ? kernel->name : name;
    }
    return name;
}

/* Sets the options of play number `play`.  Returns false if it would repeat
 * another play. */
static bool set_play(struct flo_tool *tool, size_t play, const struct flo_engine_info *first)
{
    const char *other = other_kernel(first->kernel, first->weights_bytes);
    const char *plainest = plainest_kernel();

    if (play == 1) {
        tool->threads = first->threads == 1 ? 2 : 1;
        tool->kernel = other != NULL ? other : tool->kernel;
    } else if (play == 2) {
        tool->kernel = plainest;
        return plainest != NULL && other != NULL && strcmp(plainest, other) != 0 &&
               strcmp(plainest, first->kernel) != 0;
    } else if (play == CACHE_PLAY) {
        /* A device's owner may keep to the usual cache where a release asks for
         * the coarsest. */
        bool is_coarse = tool->kv != NULL && strcmp(tool->kv, "q4_0") == 0;
        bool is_free = (tool->kv == NULL || is_coarse) && tool->memory_bytes_max == 0;
        tool->kv = "q8_0";
        /* Devices compute with the file's own weights until they have packed them. */
        tool->packed_fd = 0;
        tool->packed = tool->packed == NULL ? "none" : tool->packed;
        return is_free && tool->backend == NULL;
    }
    return true;
}

/* Prints the result of a play.  On a terminal it first clears the line of
 * progress. */
static void tell_play(const struct plays *plays, const struct flo_tool *tool,
                      const struct flo_engine_info *info, uint32_t good, uint32_t count)
{
    const struct flo_golden_follow *follow = &plays->heard.follow;

    fprintf(stderr, "%splayed: %u of %u with kernel %s, %u thread%s%s%s",
            isatty(STDERR_FILENO) ? "\r\033[K" : "", good, count, info->kernel, info->threads,
            info->threads == 1 ? "" : "s", tool->kv != NULL ? ", cache " : "",
            tool->kv != NULL ? tool->kv : "");
    if (follow->allowed > 0 && !plays->goes_on) {
        fprintf(stderr, ", %.0f %% of the allowed difference",
                100 * sqrt(follow->squares / follow->allowed));
    }
    fputc('\n', stderr);
}

/* Tells whether a model alone can answer the case. */
static bool is_playable(const struct flo_golden_case *c)
{
    return c->input < FLO_GOLDEN_TEXT && flo_golden_count(c, 1u << FLO_GOLDEN_EXIT) > 0;
}

/* Notes why the answer in `heard` fails. */
static void note_fault(const struct plays *plays, const struct flo_tool_answer *a,
                       const struct flo_err *err, struct flo_golden_played *result)
{
    const char *what = strstr(err->what, ": ");
    char said[51];

    flo_text_clean(plays->heard.text.data, plays->heard.text.bytes, said, sizeof(said));
    snprintf(result->why, sizeof(result->why), "%.80s with kernel %.16s, %u thread%s: %s",
             what != NULL ? what + 2 : err->what, a->model.info->kernel, a->model.info->threads,
             a->model.info->threads == 1 ? "" : "s", said);
}

/* Judges the answer in `heard`. */
static void judge(const struct plays *plays, const struct flo_tool_answer *a,
                  const struct flo_golden_case *c, struct flo_golden_played *result)
{
    const unsigned without = 1u << FLO_GOLDEN_EXIT;
    const struct flo_golden_heard *heard = &plays->heard;
    const struct flo_golden_answer answer = {
        .text = heard->text.data,
        .bytes = heard->text.bytes,
        .tokens = heard->tokens,
        .n_tokens = heard->count,
        .follow = &heard->follow,
    };
    struct flo_err err = {0};

    uint32_t steady = heard->steady_count;
    if (!heard->follow.has_departed && heard->follow.count < steady) {
        steady = heard->follow.count; /* the answer ended, or is complete */
    }
    result->steady_count = steady < result->steady_count ? steady : result->steady_count;
    result->worst = fmax(result->worst, heard->worst);
    if (result->why[0] == '\0' && flo_golden_judge(c, without, &answer, &err) < 0) {
        note_fault(plays, a, &err, result);
    }
}

static int play_case(struct plays *plays, struct flo_tool_answer *a, size_t index,
                     struct flo_err *err)
{
    const struct flo_golden_case *c = &plays->golden->cases[index];
    struct flo_golden_played *result = &plays->results[index];
    const struct flo_golden_length length = {c->tokens_max, UINT32_MAX};
    int rv = flo_golden_hear(a, c, length, plays->prompt, &plays->heard, err);

    if (rv == FLO_E_INFER_TOO_LONG) {
        snprintf(result->why, sizeof(result->why), "%.150s", err->what);
        return 0;
    }
    if (rv == 0) {
        rv = flo_golden_text(a, plays->heard.count, &plays->heard, err);
    }
    if (rv < 0) {
        return flo_wrap(err, rv, "case %s", c->id);
    }
    judge(plays, a, c, result);
    const struct flo_golden_follow *follow = &plays->heard.follow;
    if (follow->rivals == NULL) {
        return 0;
    }
    result->rivals.count = follow->rivals->n_tokens;
    return flo_rivals_add(&result->rivals, plays->heard.rival_losses,
                          result->rivals.count / follow->match->n_tokens * follow->count,
                          plays->is_own, err);
}

/* Judges what was compared over all cases of a play. */
static void judge_all(struct plays *plays, const struct flo_tool_answer *a)
{
    struct flo_golden_played *result = &plays->results[plays->golden->n_cases];
    struct flo_err err = {0};

    if (result->why[0] == '\0' &&
        flo_golden_judge_rivals(&plays->heard.follow, a->model.info->kernel, &err) < 0) {
        snprintf(result->why, sizeof(result->why), "%.150s with kernel %.16s, %u thread%s",
                 err.what, a->model.info->kernel, a->model.info->threads,
                 a->model.info->threads == 1 ? "" : "s");
    }
}

static int play(struct plays *plays, const struct flo_tool *tool, struct flo_tool_answer *a,
                struct flo_err *err)
{
    uint32_t good = 0, played = 0;

    plays->heard.follow = (struct flo_golden_follow){0};
    for (uint32_t i = 0; i < plays->golden->n_cases; i++) {
        struct flo_golden_played *result = &plays->results[i];
        flo_ticker_tell(plays->ticker, "   playing      case", i + 1, plays->golden->n_cases);
        result->is_passed_over = !is_playable(&plays->golden->cases[i]);
        bool goes_on = result->why[0] == '\0' || plays->goes_on;
        if (goes_on && !result->is_passed_over) {
            played++;
            FLO_TRY(play_case(plays, a, i, err));
            good += result->why[0] == '\0';
        }
    }
    judge_all(plays, a);
    tell_play(plays, tool, a->model.info, good, played);
    return 0;
}

static int open_and_play(struct plays *plays, const struct flo_tool *tool,
                         struct flo_engine_info *info, bool is_played, struct flo_err *err)
{
    FLO_CLEANUP(flo_tool_answer_close) struct flo_tool_answer a = {0};

    FLO_TRY(flo_tool_answer_open(tool, FLO_VOCABULARY_NEEDED, &a, err));
    *info = *a.model.info;
    plays->prompt = calloc(info->context, sizeof(*plays->prompt));
    if (plays->prompt == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "a prompt");
    }
    int rv = is_played ? play(plays, tool, &a, err) : 0;
    free(plays->prompt);
    return rv;
}

/* Plays all cases on another model, with the cache of each type. */
static int play_other(struct plays *plays, const struct flo_tool *tool, const char *model,
                      struct flo_err *err)
{
    struct flo_tool other = *tool;
    struct flo_engine_info first, info;

    other.model = model;
    FLO_CLEANUP(flo_fd_cleanup) int packed = flo_aside_pack(&other);
    fprintf(stderr, "with %s:\n", model);
    FLO_TRY(open_and_play(plays, &other, &first, true, err));
    return !plays->is_once && set_play(&other, CACHE_PLAY, &first)
               ? open_and_play(plays, &other, &info, true, err)
               : 0;
}

static int play_all(struct plays *plays, const struct flo_tool *tool, size_t from,
                    struct flo_err *err)
{
    struct flo_engine_info first, info;

    FLO_TRY(open_and_play(plays, tool, &first, from == 0, err));
    for (size_t i = from > 0 ? from : 1; i < PLAYS && !plays->is_once; i++) {
        struct flo_tool other = *tool;
        if (set_play(&other, i, &first)) {
            FLO_TRY(open_and_play(plays, &other, &info, true, err));
        }
    }
    return 0;
}

int flo_golden_play(const struct flo_tool *tool, const struct flo_golden *golden, size_t from,
                    bool is_once, const char *const *others, struct flo_golden_played *results,
                    struct flo_ticker *ticker, struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) struct plays *plays = calloc(1, sizeof(*plays));

    if (plays == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "an answer");
    }
    plays->golden = golden;
    plays->results = results;
    plays->ticker = ticker;
    plays->goes_on = from > 0;
    plays->is_own = true;
    plays->is_once = is_once;
    for (uint32_t i = 0; i < golden->n_cases; i++) {
        results[i].steady_count = UINT32_MAX;
    }
    int rv = play_all(plays, tool, from, err);
    plays->is_own = false;
    for (size_t i = 0; rv == 0 && others[i] != NULL; i++) {
        rv = play_other(plays, tool, others[i], err);
    }
    flo_buf_deinit(&plays->heard.text);
    return rv;
}
