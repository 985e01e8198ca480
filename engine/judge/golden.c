/* flotilla-model golden: makes and plays prompts with known answers.
 *
 * `create` lets a model answer prompts greedily and keeps the certain part of
 * each answer.  It ends before the first token whose logit is so close to the
 * second best that another CPU might choose that one.  An answer without a
 * certain part is judged by the probabilities of its tokens.  Then all cases
 * are played again with one thread, with another kernel and with another cache
 * (golden_play.c); cases whose answer differs are left out.  `play` plays the
 * cases of an existing file in this way.  The format: docs/reference/golden.md. */
#include "engine/judge/golden.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <flotilla/errors/probe.h>
#include <flotilla/plural.h>

#include "engine/judge/aside.h"
#include "engine/publish/commands.h"
#include "engine/tools/outfile.h"

enum {
    TOKENS_DEFAULT = 32,
    /* fewest certain tokens that a case may have if the model's answer goes on
     * after them */
    SURE_TOKENS_MIN = 3,
    LIKELY_TOKENS_MAX = 16,   /* most tokens of a case that is judged by probabilities */
    PROMPT_BYTES_MAX = 65536, /* most bytes of a prompt that a device accepts */
    OTHERS_MAX = 7,           /* most other models: the other variants of a release */
    RIVAL_TOKENS_MAX = 1024,  /* most tokens of all cases that have rivals */
    ROUNDS = 4,               /* how often the prompts without a steady case are asked */
    CASES_FEW = 8,            /* fewer cases than this are worth a warning */
};
#define OPENING "   opening      the model"
/* Allowed difference of a loss: so much at least, or so many times what the
 * plays showed. */
#define SLACK_LEAST 0.25
#define SLACK_TIMES 2.0

/* Prompts for any model.  They are used if the person gives none. */
static const char *const built_in[] = {
    "What is the capital of France? Answer with one word.",
    "Count from one to ten.",
    "Write the days of the week, one per line.",
    "Translate to German: The house is big.",
    "What is 12 times 12?",
    "Repeat exactly: alpha bravo charlie delta echo",
    "Write a JSON object with the keys name and age.",
    "Name three primary colours.",
    "Is ice colder than steam? Answer yes or no.",
    "Complete the sequence: 2, 4, 6, 8,",
    "Write a Python function that returns the sum of two numbers.",
    "Summarise in one sentence: Water boils at 100 degrees at sea level.",
    "Spell the word 'fleet' letter by letter.",
    "Which month comes after July?",
    "Give the opposite of 'hot'.",
    "Write 'hello' in upper case.",
};

/* Sentences that force the form of an answer.  A built-in prompt is asked again
 * with them, while its answer has no certain part or is not steady. */
static const char *const forms[] = {
    "Answer as JSON: {\"answer\": \"...\"}",
    "Answer yes or no.",
    "Count to five first: 1, 2,",
    "Answer with one word.",
    "First repeat this line: alpha bravo charlie delta",
};

/* A prompt with the model's answer. */
struct candidate {
    char id[24];
    const char *prompt;
    const char *plain; /* the prompt without a form */
    size_t next_form;  /* index of the form with which it is asked next */
    bool is_played;    /* the plays have shown what is steady */
    int32_t *tokens;
    float *losses;
    int32_t *rivals; /* [n_tokens][FLO_RIVALS_EACH]; NULL: it has none */
    float *rival_losses;
    uint32_t *ends; /* bytes of the answer up to the end of each token */
    uint32_t n_tokens;
    uint32_t tokens_max;
    double gap;
    double slack;
    char *answer;
    char why[256]; /* reason why the prompt is left out; empty: it is not */
};

struct golden {
    /* options of the command; their `count` is the most tokens of an answer */
    struct flo_tool tool;
    const char *prompts_path, *out_path;
    const char *others[OTHERS_MAX + 1]; /* models that must pass, too; NULL ends the list */
    bool is_raw;
    bool is_once; /* `play` plays only as the options say */
    char *text;   /* text of the prompts */
    struct candidate *cases;
    size_t count;
    struct flo_golden_heard heard;
    struct flo_rivals_spread spread;
    struct flo_engine_info info;
    int32_t *prompt; /* [context] */
    struct flo_ticker ticker;
};

/* ---- create: prompts ---- */

static int add_prompt(struct golden *g, const char *prompt, struct flo_err *err)
{
    struct candidate *one = &g->cases[g->count];

    if (g->count == FLO_GOLDEN_CASES_MAX) {
        return flo_fail(err, FLO_E_USAGE, "more than %d prompts", FLO_GOLDEN_CASES_MAX);
    }
    if (strlen(prompt) > PROMPT_BYTES_MAX) {
        return flo_fail(err, FLO_E_USAGE, "prompt %zu has %zu bytes, at most %d", g->count + 1,
                        strlen(prompt), PROMPT_BYTES_MAX);
    }
    one->prompt = one->plain = prompt;
    g->count++;
    snprintf(one->id, sizeof(one->id), "prompt-%zu", g->count);
    return 0;
}

/* Reads the prompts.  Each is a line, or a paragraph if the text has empty
 * lines. */
static int read_prompts(struct golden *g, struct flo_err *err)
{
    size_t bytes;

    FLO_TRY(flo_file_read(g->prompts_path, FLO_GOLDEN_BYTES_MAX, &g->text, &bytes, err));
    if (strlen(g->text) != bytes) {
        return flo_fail(err, FLO_E_USAGE, "%s has a zero byte: no text", g->prompts_path);
    }
    const char *separator = strstr(g->text, "\n\n") != NULL ? "\n\n" : "\n";
    for (char *at = g->text; at != NULL && *at != '\0';) {
        char *end = strstr(at, separator);
        if (end != NULL) {
            *end = '\0';
        }
        at += strspn(at, "\n");
        size_t chars = strlen(at);
        while (chars > 0 && strchr("\n\r", at[chars - 1]) != NULL) {
            at[--chars] = '\0';
        }
        FLO_TRY(*at == '\0' ? 0 : add_prompt(g, at, err));
        at = end == NULL ? NULL : end + strlen(separator);
    }
    return g->count > 0 ? 0 : flo_fail(err, FLO_E_USAGE, "%s has no prompt", g->prompts_path);
}

static int take_prompts(struct golden *g, struct flo_err *err)
{
    int rv = 0;

    g->cases = calloc(FLO_GOLDEN_CASES_MAX, sizeof(*g->cases));
    if (g->cases == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "golden cases");
    }
    if (g->prompts_path != NULL) {
        return read_prompts(g, err);
    }
    for (size_t i = 0; rv == 0 && i < FLO_COUNT(built_in); i++) {
        rv = add_prompt(g, built_in[i], err);
    }
    return rv;
}

/* ---- create: what the model is sure of ---- */

/* Returns how many tokens come before the first uncertain one. */
static uint32_t count_sure(const struct flo_golden_heard *heard, bool *is_whole)
{
    uint32_t steps = heard->count + (heard->has_ended ? 1 : 0);
    uint32_t sure = 0;

    while (sure < steps && (double)heard->gaps[sure] >= FLO_GOLDEN_SURE_GAP) {
        sure++;
    }
    *is_whole = sure == steps;
    return sure < heard->count ? sure : heard->count;
}

static bool is_sure(const struct flo_golden_heard *heard)
{
    bool is_whole;
    uint32_t sure = count_sure(heard, &is_whole);

    return sure >= SURE_TOKENS_MIN || (sure > 0 && is_whole && heard->has_ended);
}

static void forget(struct candidate *one)
{
    free(one->tokens);
    free(one->losses);
    free(one->rivals);
    free(one->rival_losses);
    free(one->ends);
    free(one->answer);
    one->answer = NULL;
}

/* Keeps the first `count` tokens of the answer, and that it ends after them. */
static int keep_tokens(struct golden *g, const struct flo_tool_answer *a, struct candidate *one,
                       uint32_t count, bool has_ended, struct flo_err *err)
{
    const struct flo_golden_heard *heard = &g->heard;

    forget(one);
    one->tokens = malloc(count * sizeof(*one->tokens));
    one->losses = malloc(count * sizeof(*one->losses));
    one->ends = malloc(count * sizeof(*one->ends));
    size_t n_rivals = (size_t)count * FLO_RIVALS_EACH;
    one->rivals = malloc(n_rivals * sizeof(*one->rivals));
    one->rival_losses = malloc(n_rivals * sizeof(*one->rival_losses));
    if (one->tokens == NULL || one->losses == NULL || one->ends == NULL || one->rivals == NULL ||
        one->rival_losses == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "golden tokens");
    }
    memcpy(one->tokens, heard->tokens, count * sizeof(*one->tokens));
    memcpy(one->losses, heard->losses, count * sizeof(*one->losses));
    memcpy(one->rivals, heard->rivals, n_rivals * sizeof(*one->rivals));
    memcpy(one->rival_losses, heard->rival_losses, n_rivals * sizeof(*one->rival_losses));
    one->n_tokens = count;
    one->gap = INFINITY;
    for (uint32_t i = 0; i < count + (has_ended ? 1 : 0); i++) {
        double gap = (double)heard->gaps[i];
        one->gap = gap < one->gap ? gap : one->gap;
    }
    /* One more token is allowed, with which the model shows that it has
     * ended. */
    one->tokens_max = count + (has_ended ? 1 : 0);
    one->slack = FLO_GOLDEN_SLACK_MAX;
    for (uint32_t i = 0; i < count; i++) {
        FLO_TRY(flo_golden_text(a, i + 1, &g->heard, err));
        one->ends[i] = (uint32_t)heard->text.bytes;
    }
    one->answer = strdup(heard->text.data);
    return one->answer == NULL ? flo_fail(err, FLO_E_MEMORY, "an answer") : 0;
}

static int keep(struct golden *g, const struct flo_tool_answer *a, struct candidate *one,
                struct flo_err *err)
{
    const struct flo_golden_heard *heard = &g->heard;
    bool is_whole;
    uint32_t count = count_sure(heard, &is_whole);

    if (is_sure(heard)) {
        return keep_tokens(g, a, one, count, is_whole && heard->has_ended, err);
    }
    count = heard->count < heard->open_count ? heard->count : heard->open_count;
    count = count < LIKELY_TOKENS_MAX ? count : LIKELY_TOKENS_MAX;
    if (count == 0) {
        snprintf(one->why, sizeof(one->why), "the answer may end before its first token");
        return 0;
    }
    return keep_tokens(g, a, one, count, false, err);
}

/* Asks a prompt.  An answer of a prompt with a form ends with its first
 * uncertain token, because only its certain part is used.  *is_heard tells whether
 * the prompt fits the context. */
static int ask_form(struct golden *g, struct flo_tool_answer *a, struct candidate *one,
                    const char *prompt, bool *is_heard, struct flo_err *err)
{
    const struct flo_golden_case asked = {.input = g->is_raw ? FLO_GOLDEN_RAW : FLO_GOLDEN_PROMPT,
                                          .prompt = prompt};
    const struct flo_golden_length length = {
        .tokens_max = (uint32_t)g->tool.count,
        .unsure_max = prompt == one->plain ? LIKELY_TOKENS_MAX : 0,
    };
    int rv = flo_golden_hear(a, &asked, length, g->prompt, &g->heard, err);

    *is_heard = rv == 0;
    if (rv == FLO_E_INFER_TOO_LONG) {
        snprintf(one->why, sizeof(one->why), "%.150s", err->what);
        return 0;
    }
    return rv < 0 ? flo_wrap(err, rv, "%s", one->id) : 0;
}

/* Asks a built-in prompt in the forms that are left, until its answer has a
 * certain part.  *is_heard tells whether such a form was found. */
static int ask_again(struct golden *g, struct flo_tool_answer *a, struct candidate *one,
                     bool *is_heard, struct flo_err *err)
{
    *is_heard = false;
    while (one->next_form < FLO_COUNT(forms)) {
        char *prompt = NULL;
        if (asprintf(&prompt, "%s\n%s", one->plain, forms[one->next_form++]) < 0) {
            return flo_fail(err, FLO_E_MEMORY, "a prompt");
        }
        int rv = ask_form(g, a, one, prompt, is_heard, err);
        if (rv == 0 && *is_heard && is_sure(&g->heard)) {
            one->prompt = prompt; /* kept until the program ends */
            return 0;
        }
        *is_heard = false;
        free(prompt);
        FLO_TRY(rv);
    }
    return 0;
}

/* Asks a prompt, or asks it again after the plays. */
static int ask_one(struct golden *g, struct flo_tool_answer *a, struct candidate *one,
                   struct flo_err *err)
{
    bool has_forms = g->prompts_path == NULL && !g->is_raw;
    bool is_heard = false;
    int rv = 0;

    if (one->tokens == NULL) {
        rv = ask_form(g, a, one, one->plain, &is_heard, err);
    }
    bool asks_again = rv == 0 && has_forms && !(is_heard && is_sure(&g->heard));
    bool is_first = is_heard;
    if (asks_again) {
        rv = ask_again(g, a, one, &is_heard, err);
    }
    if (rv == 0 && asks_again && is_first && !is_heard) {
        rv = ask_form(g, a, one, one->plain, &is_heard, err);
    }
    if (rv == 0 && is_heard) {
        one->why[0] = '\0';
        rv = keep(g, a, one, err);
    }
    return rv < 0 ? flo_wrap(err, rv, "%s", one->id) : 0;
}

static int ask(struct golden *g, struct flo_err *err)
{
    FLO_CLEANUP(flo_tool_answer_close) struct flo_tool_answer a = {0};

    FLO_TRY(flo_tool_answer_open(&g->tool, FLO_VOCABULARY_NEEDED, &a, err));
    g->info = *a.model.info;
    free(g->prompt);
    g->prompt = malloc(g->info.context * sizeof(*g->prompt));
    if (g->prompt == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "a prompt");
    }
    for (size_t i = 0; i < g->count; i++) {
        flo_ticker_tell(&g->ticker, "   asking       prompt", i + 1, g->count);
        if (!g->cases[i].is_played) {
            FLO_TRY(ask_one(g, &a, &g->cases[i], err));
        }
    }
    return 0;
}

/* ---- create: the document ---- */

static void put_rivals(const struct golden *g, const struct candidate *one, bool is_played,
                       struct flo_buf *out)
{
    uint32_t count = one->n_tokens * FLO_RIVALS_EACH;

    flo_buf_printf(out, ",\n   \"rival_slack\": %.3f, \"rivals\": [",
                   is_played ? flo_rivals_slack(&g->spread) : FLO_GOLDEN_SLACK_MAX);
    for (uint32_t i = 0; i < count; i++) {
        flo_buf_printf(out, "%s%d", i == 0 ? "" : ",", one->rivals[i]);
    }
    flo_buf_text(out, "],\n   \"rival_losses\": [");
    for (uint32_t i = 0; i < count; i++) {
        flo_buf_printf(out, "%s%.3f", i == 0 ? "" : ",", (double)fabsf(one->rival_losses[i]));
    }
    flo_buf_text(out, "]");
}

/* Writes a case.  The first ones have rivals: `n_rivals` is the number of their
 * tokens. */
static void put_case(const struct golden *g, const struct candidate *one, bool is_played,
                     uint32_t *n_rivals, struct flo_buf *out)
{
    flo_tool_json(out, "  {\"id\": ", one->id);
    flo_tool_json(out, g->is_raw ? ", \"raw_prompt\": " : ", \"prompt\": ", one->prompt);
    flo_buf_printf(out, ",\n   \"max_new_tokens\": %u, \"must_contain\": []", one->tokens_max);
    flo_tool_json(out, ",\n   \"expect_text\": ", one->answer);
    /* The gap is rounded down, so that the true one is not smaller. */
    flo_buf_printf(out, ",\n   \"min_logit_gap\": %.3f, \"expect_tokens\": [",
                   floor(one->gap * 1000) / 1000);
    for (uint32_t i = 0; i < one->n_tokens; i++) {
        flo_buf_printf(out, "%s%d", i == 0 ? "" : ", ", one->tokens[i]);
    }
    flo_buf_printf(out, "],\n   \"loss_slack\": %.3f, \"expect_losses\": [", one->slack);
    for (uint32_t i = 0; i < one->n_tokens; i++) {
        flo_buf_printf(out, "%s%.3f", i == 0 ? "" : ", ", (double)fabsf(one->losses[i]));
    }
    flo_buf_text(out, "]");
    *n_rivals += one->n_tokens;
    if (*n_rivals <= RIVAL_TOKENS_MAX && one->n_tokens * FLO_RIVALS_EACH <= FLO_GOLDEN_TOKENS_MAX) {
        put_rivals(g, one, is_played, out);
    }
    flo_buf_text(out, "}");
}

/* Writes the document of the cases that are not left out: those that were played,
 * or those that are to be played.  Returns how many these are. */
static size_t put_document(const struct golden *g, bool is_played, struct flo_buf *out)
{
    size_t kept = 0;
    uint32_t n_rivals = 0;

    flo_tool_json(out, "{\"format\": \"flotilla-golden-1\",\n \"model\": ",
                  g->info.name[0] != '\0' ? g->info.name : g->info.arch);
    flo_tool_json(out, ", \"kernel\": ", g->info.kernel);
    flo_buf_text(out, ", \"decode\": \"greedy\",\n \"cases\": [\n");
    for (size_t i = 0; i < g->count; i++) {
        if (g->cases[i].why[0] == '\0' && g->cases[i].is_played == is_played) {
            flo_buf_text(out, kept++ == 0 ? "" : ",\n");
            put_case(g, &g->cases[i], is_played, &n_rivals, out);
        }
    }
    flo_buf_text(out, "\n]}\n");
    return kept;
}

static int write_text(void *context, int fd, struct flo_err *err)
{
    const struct flo_buf *out = context;
    size_t done = 0;

    while (done < out->bytes) {
        ssize_t n = write(fd, out->data + done, out->bytes - done);
        if (n < 0) {
            return flo_fail_errno(err, FLO_E_IO_WRITE, "golden cases");
        }
        done += (size_t)n;
    }
    return 0;
}

/* Cuts a case before the first token that is not steady in all plays. */
static void cut(struct candidate *one, uint32_t count)
{
    size_t end = count > 0 && count < one->n_tokens ? one->ends[count - 1] : 0;

    if (count >= one->n_tokens) {
        return;
    }
    one->n_tokens = count;
    one->tokens_max = count;
    end = end < strlen(one->answer) ? end : strlen(one->answer);
    while (end > 0 && ((unsigned char)one->answer[end] & 0xc0) == 0x80) {
        end--; /* whole characters only */
    }
    one->answer[end] = '\0';
}

/* Takes over what the plays showed: where other tokens were chosen, and how much
 * the losses differed. */
static void take_results(struct golden *g, const struct flo_golden_played *results)
{
    size_t at = 0;

    for (size_t i = 0; i < g->count; i++) {
        struct candidate *one = &g->cases[i];
        if (one->why[0] != '\0' || one->is_played) {
            continue;
        }
        const struct flo_golden_played *result = &results[at++];
        /* Where a play chose another token, the probabilities judge alone. */
        one->gap = result->why[0] != '\0' ? 0 : one->gap;
        one->slack = fmax(SLACK_LEAST, SLACK_TIMES * result->worst);
        cut(one, result->steady_count);
        flo_rivals_settle(&result->rivals, one->n_tokens * FLO_RIVALS_EACH, one->rival_losses,
                          &g->spread);
        one->is_played = one->n_tokens > 0;
        if (!one->is_played) {
            snprintf(one->why, sizeof(one->why),
                     "its first token's loss differs by more than %.1f between kernels and caches",
                     FLO_GOLDEN_UNSTEADY);
        }
    }
}

static void free_results(struct flo_golden_played *results, uint32_t n_cases)
{
    for (uint32_t i = 0; results != NULL && i < n_cases; i++) {
        flo_rivals_deinit(&results[i].rivals);
    }
    free(results);
}

/* Plays the cases as a device reads them. */
static int play_made(struct golden *g, struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf out = {.bytes_max = FLO_GOLDEN_BYTES_MAX};
    struct flo_golden_played *results;
    struct flo_golden golden;

    if (put_document(g, false, &out) == 0) {
        return 0;
    }
    if (out.failed) {
        return flo_fail(err, FLO_E_META_TOO_LARGE, "golden cases of more than %d bytes",
                        FLO_GOLDEN_BYTES_MAX);
    }
    FLO_TRY(flo_golden_read(out.data, out.bytes, &golden, err));
    results = calloc(golden.n_cases + 1, sizeof(*results));
    int rv = results == NULL ? flo_fail(err, FLO_E_MEMORY, "golden cases")
                             : flo_golden_play(&g->tool, &golden, 1, false, g->others, results,
                                               &g->ticker, err);
    if (rv == 0) {
        take_results(g, results);
    }
    free_results(results, golden.n_cases);
    flo_golden_deinit(&golden);
    return rv;
}

static int write_golden(const struct golden *g, struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf out = {.bytes_max = FLO_GOLDEN_BYTES_MAX};
    size_t kept = put_document(g, true, &out);
    uint32_t likely = 0;

    for (size_t i = 0; i < g->count; i++) {
        const struct candidate *one = &g->cases[i];
        if (one->why[0] != '\0') {
            char shown[41];
            flo_text_clean(one->prompt, strlen(one->prompt), shown, sizeof(shown));
            fprintf(stderr, "left out: %s (%s): %s\n", one->id, shown, one->why);
        } else {
            likely += one->gap < FLO_GOLDEN_SURE_GAP;
        }
    }
    fprintf(stderr, "%zu of %zu prompt%s became cases, %u of them judged by probabilities\n", kept,
            g->count, flo_s(g->count), likely);
    if (kept == 0) {
        return flo_fail(err, FLO_E_PROBE_GOLDEN,
                        "no case is left of %zu prompt%s: ask for what the model "
                        "is sure of, or give it --prompts of its own kind",
                        g->count, flo_s(g->count));
    }
    if (kept < CASES_FEW) {
        fprintf(stderr,
                "warning: %zu case%s may miss a damaged model; %d are a good set: give more "
                "--prompts\n",
                kept, flo_s(kept), CASES_FEW);
    }
    return flo_outfile(g->out_path, (struct flo_inputs){{g->tool.model, g->prompts_path}},
                       write_text, &out, err);
}

/* Tells whether a prompt can be asked once more: all of them in the first round,
 * then those that have a form left. */
static bool has_unsteady(const struct golden *g, size_t round)
{
    bool is_found = round == 0;

    for (size_t i = 0; i < g->count && g->prompts_path == NULL && !g->is_raw; i++) {
        is_found = is_found || (!g->cases[i].is_played && g->cases[i].next_form < FLO_COUNT(forms));
    }
    return is_found;
}

static int create(void *context, struct flo_err *err)
{
    struct golden *g = context;

    FLO_CLEANUP(flo_fd_cleanup) int packed = -1;

    g->out_path = g->tool.args.words[0];
    flo_ticker_start(&g->ticker, OPENING);
    packed = flo_aside_pack(&g->tool);
    int rv = take_prompts(g, err);
    for (size_t i = 0; rv == 0 && i < ROUNDS && has_unsteady(g, i); i++) {
        rv = ask(g, err);
        if (rv == 0) {
            rv = play_made(g, err);
        }
    }
    flo_ticker_stop(&g->ticker);
    FLO_TRY(rv);
    return write_golden(g, err);
}

/* ---- play ---- */

/* Reads a file of cases, with the vectors and audio files next to it left
 * out: no model alone computes these cases. */
static int read_cases(const char *path, struct flo_golden *golden, struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    size_t bytes;

    FLO_TRY(flo_file_read(path, FLO_GOLDEN_BYTES_MAX, &text, &bytes, err));
    int rv = flo_golden_read(text, bytes, golden, err);
    if (rv < 0) {
        flo_wrap(err, rv, "%s", path);
        return flo_err_fix(err, "correct the file: docs/reference/golden.md, or let "
                                "flotilla-model golden create make it");
    }
    return 0;
}

/* Prints the cases that failed and those that were not played. */
static int tell_results(const struct golden *g, const struct flo_golden *golden,
                        const struct flo_golden_played *results, struct flo_err *err)
{
    const char *path = g->tool.args.words[0];
    uint32_t failed = 0, passed_over = 0;

    for (uint32_t i = 0; i < golden->n_cases; i++) {
        passed_over += results[i].is_passed_over;
        if (results[i].why[0] != '\0') {
            failed++;
            fprintf(stderr, "failed: %s: %s\n", golden->cases[i].id, results[i].why);
        }
    }
    const char *of_all = results[golden->n_cases].why;
    if (of_all[0] != '\0' && failed > 0) {
        fprintf(stderr, "failed: %s\n", of_all);
    }
    if (passed_over > 0) {
        fprintf(stderr, "passed over: %u case%s that only a device plays (text, audio, file)\n",
                passed_over, flo_s(passed_over));
    }
    if (passed_over == golden->n_cases) {
        return flo_fail(err, FLO_E_PROBE_GOLDEN, "%s: no case that a model alone can play", path);
    }
    if (failed > 0) {
        return flo_fail(err, FLO_E_PROBE_GOLDEN, "%s: %u of %u case%s %s with %s", path, failed,
                        golden->n_cases, flo_s(golden->n_cases),
                        flo_plural(failed, "fails", "fail"), g->tool.model);
    }
    return of_all[0] == '\0'
               ? 0
               : flo_fail(err, FLO_E_PROBE_GOLDEN, "%s: %s of %s", path, of_all, g->tool.model);
}

static int play_file(void *context, struct flo_err *err)
{
    struct golden *g = context;
    FLO_CLEANUP(flo_fd_cleanup) int packed = -1;
    struct flo_golden golden;
    struct flo_golden_played *results;

    FLO_TRY(read_cases(g->tool.args.words[0], &golden, err));
    results = calloc(golden.n_cases + 1, sizeof(*results));
    int rv = results == NULL ? flo_fail(err, FLO_E_MEMORY, "golden cases") : 0;
    if (rv == 0) {
        flo_ticker_start(&g->ticker, OPENING);
        packed = flo_aside_pack(&g->tool);
        rv = flo_golden_play(&g->tool, &golden, 0, g->is_once, g->others, results, &g->ticker, err);
        flo_ticker_stop(&g->ticker);
    }
    if (rv == 0) {
        rv = tell_results(g, &golden, results, err);
    }
    free_results(results, golden.n_cases);
    flo_golden_deinit(&golden);
    return rv;
}

/* ---- the commands ---- */

static int take_other(void *context, const char *value, struct flo_err *err)
{
    struct golden *g = context;
    size_t count = 0;

    while (g->others[count] != NULL) {
        count++;
    }
    if (count == OTHERS_MAX) {
        return flo_fail(err, FLO_E_USAGE, "--for is given more than %d times", OTHERS_MAX);
    }
    g->others[count] = value;
    return 0;
}

static struct golden state = {.tool.count = TOKENS_DEFAULT};
static const struct flo_flag flags[] = {
    {"prompts", "FILE", "one a line, or paragraphs (default: a built-in set)",
     FLO_TEXT(struct golden, prompts_path)},
    {"for", "MODEL", "a smaller model that has to pass, too; repeated", .take = take_other},
    {"raw", NULL, "no chat template, the prompts as they are", FLO_SWITCH(struct golden, is_raw)},
    {"n", "N", "tokens of an answer at most (default 32)", FLO_U64(struct golden, tool.count),
     .min = 1, .max = FLO_GOLDEN_TOKENS_MAX},
    FLO_FLAGS_END,
};
static const struct flo_flag play_flags[] = {
    {"once", NULL, "only as the options say, with no other kernel or cache",
     FLO_SWITCH(struct golden, is_once)},
    FLO_FLAGS_END,
};
const struct flo_verb flo_verb_golden_create = {
    .name = "golden create",
    .help = "make prompts whose answers are known",
    .usage = "FILE --model MODEL [--prompts TEXT]",
    .flags = {FLO_FLAGS_BACKEND, flags},
    .state = &state,
    .run = create,
    .example = "golden.json --model helpdesk.gguf --prompts prompts.txt",
};
const struct flo_verb flo_verb_golden_play = {
    .name = "golden play",
    .help = "answer them, and compare",
    .usage = "FILE --model MODEL",
    .flags = {FLO_FLAGS_BACKEND, play_flags},
    .state = &state,
    .run = play_file,
    .example = "golden.json --model helpdesk.gguf",
};
