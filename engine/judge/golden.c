/* flotilla-model golden: makes and plays prompts with known answers.
 *
 * `create` lets a model answer prompts greedily and keeps the certain part of
 * each answer.  It ends before the first token whose logit is so close to the
 * second best that another CPU might choose that one.  Then all cases are
 * played again with one thread and with another kernel; cases whose answer
 * differs are left out.  `play` plays the cases of an existing file in this
 * way.  The format: docs/reference/golden.md. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <flotilla/errors/probe.h>
#include <flotilla/plural.h>

#include "base/ticker.h"
#include "engine/judge/suite.h"
#include "engine/kernel/kernel.h"
#include "engine/publish/commands.h"
#include "engine/tools/common.h"
#include "engine/tools/outfile.h"

enum {
    TOKENS_DEFAULT = 32,
    TOKENS_MAX = 4096, /* most tokens of a case that a device accepts */
    /* fewest certain tokens that a case may have if the model's answer goes on
     * after them */
    SURE_TOKENS_MIN = 3,
    PROMPT_BYTES_MAX = 65536,  /* most bytes of a prompt that a device accepts */
    PROMPTS_MAX = 1000,        /* most prompts of a file that a device accepts */
    FILE_BYTES_MAX = 1 << 20,  /* most bytes of a file that a device accepts */
    REF_BYTES_MAX = 128 << 20, /* most bytes of weights that plain C computes fast enough */
    PLAYS = 3,
};
#define OPENING "   opening      the model"
/* least difference between the two largest logits at which every device chooses
 * the same token */
#define SURE_GAP 1.0

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

struct golden_case {
    /* the case as it is asked; tokens_max is the length of the answer's certain
     * part */
    struct flo_suite_case asked;
    const int32_t *tokens; /* ids of the expected answer; NULL: only the text is compared */
    uint32_t n_tokens;
    double gap;
    char id[64];
    char why[160]; /* reason why the case was left out or failed; empty: it is good */
};

struct heard {
    int32_t tokens[TOKENS_MAX];
    /* largest logit minus the second largest, for each token; then for the end
     * token, if the answer ended */
    float gaps[TOKENS_MAX + 1];
    uint32_t count;
    bool has_ended, is_finite;
    struct flo_buf text;
};

struct golden {
    /* options of the command; their `count` is the most tokens of an answer */
    struct flo_tool tool;
    const char *prompts_path, *out_path;
    bool is_raw;
    char *text; /* text of the prompts or of the golden file */
    struct flo_suite suite;
    struct golden_case *cases;
    size_t count;
    struct heard heard;
    int32_t *prompt; /* [context] */
    struct flo_ticker ticker;
};

/* ---- one answer ---- */

static int hear(struct golden *g, struct flo_tool_answer *a, const struct flo_suite_case *one,
                uint32_t tokens_max, struct flo_err *err)
{
    const struct flo_tool_prompt prompt = {one->system, one->prompt, one->is_raw};
    struct heard *heard = &g->heard;
    size_t count;

    FLO_TRY(flo_tool_prompt(a->model.text, &prompt, g->prompt, a->model.info->context - 1, &count,
                            err));
    size_t room = a->model.info->context - count;
    room = room < tokens_max ? room : tokens_max;
    heard->count = 0;
    heard->has_ended = false;
    heard->is_finite = true;
    heard->text.bytes = 0;
    a->model.backend->reset(a->model.state, 0);
    a->count = 0;
    FLO_TRY(flo_tool_feed(&a->model, g->prompt, count, err));
    while (heard->count < room && !heard->has_ended) {
        FLO_TRY(flo_tool_answer_next(a, 1, err));
        heard->gaps[heard->count] = a->gap;
        heard->is_finite = heard->is_finite && a->is_finite;
        heard->has_ended = flo_engine_is_end(a->model.text, a->tokens[0]);
        if (!heard->has_ended) {
            heard->tokens[heard->count++] = a->tokens[0];
        }
    }
    if (!heard->is_finite) {
        return flo_fail(err, FLO_E_PROBE_NONFINITE, "a token came from NaN or infinity");
    }
    return 0;
}

/* Converts the first `count` tokens of the answer to text, with a NUL behind
 * it. */
static int read_text(struct golden *g, const struct flo_tool_answer *a, uint32_t count,
                     struct flo_err *err)
{
    struct flo_buf *text = &g->heard.text;

    text->bytes = 0;
    int rv = flo_engine_detokenise(a->model.text, g->heard.tokens, count, false, text, err);
    flo_buf_text(text, "");
    FLO_TRY(rv);
    return text->failed ? flo_fail(err, FLO_E_MEMORY, "an answer") : 0;
}

/* Tells whether an answer passes, by the rules of a device's probe. */
static bool passes(const struct golden_case *one, const struct heard *heard)
{
    const char *text = heard->text.data != NULL ? heard->text.data : "";

    for (uint32_t i = 0; i < one->asked.n_contains; i++) {
        if (strstr(text, one->asked.contains[i]) == NULL) {
            return false;
        }
    }
    return one->tokens == NULL ||
           (heard->count == one->n_tokens &&
            memcmp(heard->tokens, one->tokens, one->n_tokens * sizeof(*one->tokens)) == 0);
}

/* ---- plays ---- */

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

/* Sets the options of play number `play`.  Returns false if it would repeat
 * another play. */
static bool set_play(struct flo_tool *tool, size_t play, const struct flo_engine_info *first)
{
    if (play == 1) {
        tool->threads = first->threads == 1 ? 2 : 1;
    }
    if (play == 2) {
        tool->kernel = other_kernel(first->kernel, first->weights_bytes);
    }
    return tool->kernel != NULL || play < 2;
}

static void tell_play(const struct flo_engine_info *info, uint32_t good, uint32_t count)
{
    /* Prints the result of a play.  On a terminal it first clears the line of
     * progress. */
    fprintf(stderr, "%splayed: %u of %u with kernel %s, %u thread%s\n",
            isatty(STDERR_FILENO) ? "\r\033[K" : "", good, count, info->kernel, info->threads,
            info->threads == 1 ? "" : "s");
}

static int play_one(struct golden *g, struct flo_tool_answer *a, struct golden_case *one,
                    struct flo_err *err)
{
    int rv = hear(g, a, &one->asked, one->asked.tokens_max, err);

    rv = rv == 0 ? read_text(g, a, g->heard.count, err) : rv;
    if (rv < 0) {
        return flo_wrap(err, rv, "case %s", one->id);
    }
    if (!passes(one, &g->heard) && one->why[0] == '\0') {
        snprintf(one->why, sizeof(one->why), "another answer with kernel %s, %u thread%s: %.80s",
                 a->model.info->kernel, a->model.info->threads,
                 a->model.info->threads == 1 ? "" : "s",
                 g->heard.text.data != NULL ? g->heard.text.data : "");
    }
    return 0;
}

static int play(struct golden *g, const struct flo_tool *tool, struct flo_err *err)
{
    struct flo_tool_answer a = {0};
    uint32_t good = 0, played = 0;
    int rv = flo_tool_answer_open(tool, FLO_VOCABULARY_NEEDED, &a, err);

    for (size_t i = 0; rv == 0 && i < g->count; i++) {
        flo_ticker_tell(&g->ticker, "   playing      case", i + 1, g->count);
        if (g->cases[i].why[0] == '\0') {
            played++;
            rv = play_one(g, &a, &g->cases[i], err);
            good += g->cases[i].why[0] == '\0';
        }
    }
    if (rv == 0) {
        tell_play(a.model.info, good, played);
    }
    flo_tool_answer_close(&a);
    return rv;
}

/* Plays all cases, in each play from number `from` on. */
static int play_all(struct golden *g, size_t from, const struct flo_engine_info *first,
                    struct flo_err *err)
{
    for (size_t i = from; i < PLAYS; i++) {
        struct flo_tool tool = g->tool;
        if (set_play(&tool, i, first)) {
            FLO_TRY(play(g, &tool, err));
        }
    }
    return 0;
}

/* ---- create: prompts ---- */

static int add_prompt(struct golden *g, const char *prompt, struct flo_err *err)
{
    struct golden_case *one = &g->cases[g->count];

    if (g->count == PROMPTS_MAX) {
        return flo_fail(err, FLO_E_USAGE, "more than %d prompts", PROMPTS_MAX);
    }
    if (strlen(prompt) > PROMPT_BYTES_MAX) {
        return flo_fail(err, FLO_E_USAGE, "prompt %zu has %zu bytes, at most %d", g->count + 1,
                        strlen(prompt), PROMPT_BYTES_MAX);
    }
    one->asked.prompt = prompt;
    one->asked.is_raw = g->is_raw;
    g->count++;
    snprintf(one->id, sizeof(one->id), "prompt-%zu", g->count);
    return 0;
}

/* Reads the prompts.  Each is a line, or a paragraph if the text has empty
 * lines. */
static int read_prompts(struct golden *g, struct flo_err *err)
{
    size_t bytes;
    int rv = flo_file_read(g->prompts_path, FILE_BYTES_MAX, &g->text, &bytes, err);

    if (rv == 0 && strlen(g->text) != bytes) {
        rv = flo_fail(err, FLO_E_USAGE, "%s has a zero byte: no text", g->prompts_path);
    }
    const char *separator = rv == 0 && strstr(g->text, "\n\n") != NULL ? "\n\n" : "\n";
    for (char *at = g->text; rv == 0 && at != NULL && *at != '\0';) {
        char *end = strstr(at, separator);
        if (end != NULL) {
            *end = '\0';
        }
        at += strspn(at, "\n");
        size_t chars = strlen(at);
        while (chars > 0 && strchr("\n\r", at[chars - 1]) != NULL) {
            at[--chars] = '\0';
        }
        rv = *at == '\0' ? 0 : add_prompt(g, at, err);
        at = end == NULL ? NULL : end + strlen(separator);
    }
    if (rv == 0 && g->count == 0) {
        rv = flo_fail(err, FLO_E_USAGE, "%s has no prompt", g->prompts_path);
    }
    return rv;
}

static int take_prompts(struct golden *g, struct flo_err *err)
{
    int rv = 0;

    g->cases = calloc(PROMPTS_MAX, sizeof(*g->cases));
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
static uint32_t count_sure(const struct heard *heard, bool *is_whole)
{
    uint32_t steps = heard->count + (heard->has_ended ? 1 : 0);
    uint32_t sure = 0;

    while (sure < steps && (double)heard->gaps[sure] >= SURE_GAP) {
        sure++;
    }
    *is_whole = sure == steps;
    return sure < heard->count ? sure : heard->count;
}

static int keep_sure(struct golden *g, const struct flo_tool_answer *a, struct golden_case *one,
                     struct flo_err *err)
{
    const struct heard *heard = &g->heard;
    bool is_whole;
    uint32_t sure = count_sure(heard, &is_whole);
    bool has_ended = is_whole && heard->has_ended;
    int32_t *tokens;

    if (sure == 0 || (sure < SURE_TOKENS_MIN && !has_ended)) {
        snprintf(one->why, sizeof(one->why),
                 "too close to call: token %u leads by %.3f, %.1f is asked for", sure + 1,
                 (double)heard->gaps[sure], SURE_GAP);
        return 0;
    }
    tokens = malloc(sure * sizeof(*tokens));
    if (tokens == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "golden tokens");
    }
    memcpy(tokens, heard->tokens, sure * sizeof(*tokens));
    one->tokens = tokens;
    one->n_tokens = sure;
    one->gap = INFINITY;
    for (uint32_t i = 0; i < sure + (has_ended ? 1 : 0); i++) {
        double gap = (double)heard->gaps[i];
        one->gap = gap < one->gap ? gap : one->gap;
    }
    /* One more token is allowed, with which the model shows that it has
     * ended. */
    one->asked.tokens_max = sure + (has_ended ? 1 : 0);
    int rv = read_text(g, a, sure, err);
    one->asked.answer = rv == 0 ? strdup(g->heard.text.data) : NULL;
    return rv == 0 && one->asked.answer == NULL ? flo_fail(err, FLO_E_MEMORY, "an answer") : rv;
}

static int ask_one(struct golden *g, struct flo_tool_answer *a, struct golden_case *one,
                   uint32_t tokens_max, struct flo_err *err)
{
    int rv = hear(g, a, &one->asked, tokens_max, err);

    if (rv == FLO_E_INFER_TOO_LONG) {
        snprintf(one->why, sizeof(one->why), "%.150s", err->what);
        return 0;
    }
    rv = rv == 0 ? keep_sure(g, a, one, err) : rv;
    return rv < 0 ? flo_wrap(err, rv, "%s", one->id) : 0;
}

static int ask(struct golden *g, struct flo_engine_info *first, struct flo_err *err)
{
    struct flo_tool_answer a = {0};
    int rv = flo_tool_answer_open(&g->tool, FLO_VOCABULARY_NEEDED, &a, err);

    if (rv == 0) {
        *first = *a.model.info;
        g->prompt = malloc(first->context * sizeof(*g->prompt));
        rv = g->prompt == NULL ? flo_fail(err, FLO_E_MEMORY, "a prompt") : 0;
    }
    for (size_t i = 0; rv == 0 && i < g->count; i++) {
        flo_ticker_tell(&g->ticker, "   asking       prompt", i + 1, g->count);
        rv = ask_one(g, &a, &g->cases[i], (uint32_t)g->tool.count, err);
    }
    flo_tool_answer_close(&a);
    return rv;
}

/* ---- create: the document ---- */

static void put_case(const struct golden_case *one, struct flo_buf *out)
{
    flo_tool_json(out, "  {\"id\": ", one->id);
    flo_tool_json(out,
                  one->asked.is_raw ? ", \"raw_prompt\": " : ", \"prompt\": ", one->asked.prompt);
    flo_buf_printf(out, ",\n   \"max_new_tokens\": %u, \"must_contain\": []",
                   one->asked.tokens_max);
    flo_tool_json(out, ",\n   \"expect_text\": ", one->asked.answer);
    /* The gap is rounded down, so that the true one is not smaller. */
    flo_buf_printf(out, ",\n   \"min_logit_gap\": %.3f, \"expect_tokens\": [",
                   floor(one->gap * 1000) / 1000);
    for (uint32_t i = 0; i < one->n_tokens; i++) {
        flo_buf_printf(out, "%s%d", i == 0 ? "" : ", ", one->tokens[i]);
    }
    flo_buf_text(out, "]}");
}

static int write_document(void *context, int fd, struct flo_err *err)
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

static int write_golden(const struct golden *g, const struct flo_engine_info *info,
                        struct flo_err *err)
{
    struct flo_buf out = {.bytes_max = FILE_BYTES_MAX};
    size_t kept = 0;

    flo_tool_json(&out, "{\"format\": \"flotilla-golden-1\",\n \"model\": ",
                  info->name[0] != '\0' ? info->name : info->arch);
    flo_tool_json(&out, ", \"kernel\": ", info->kernel);
    flo_buf_text(&out, ", \"decode\": \"greedy\",\n \"cases\": [\n");
    for (size_t i = 0; i < g->count; i++) {
        const struct golden_case *one = &g->cases[i];
        if (one->why[0] != '\0') {
            fprintf(stderr, "left out: %s (%.40s): %s\n", one->id, one->asked.prompt, one->why);
            continue;
        }
        flo_buf_text(&out, kept++ == 0 ? "" : ",\n");
        put_case(one, &out);
    }
    flo_buf_text(&out, "\n]}\n");
    fprintf(stderr, "%zu of %zu prompt%s became cases\n", kept, g->count, flo_s(g->count));
    int rv = 0;
    if (kept == 0) {
        rv = flo_fail(err, FLO_E_PROBE_GOLDEN,
                      "no case is left of %zu prompt%s: ask for what the model "
                      "is sure of, or give it --prompts of its own kind",
                      g->count, flo_s(g->count));
    } else if (out.failed) {
        rv = flo_fail(err, FLO_E_META_TOO_LARGE, "golden cases of more than %d bytes",
                      FILE_BYTES_MAX);
    } else {
        rv = flo_outfile(g->out_path, (struct flo_inputs){{g->tool.model, g->prompts_path}},
                         write_document, &out, err);
    }
    flo_buf_deinit(&out);
    return rv;
}

static int create(void *context, struct flo_err *err)
{
    struct golden *g = context;
    struct flo_engine_info first;
    int rv;

    g->out_path = g->tool.args.words[0];
    flo_ticker_start(&g->ticker, OPENING);
    if ((rv = take_prompts(g, err)) == 0 && (rv = ask(g, &first, err)) == 0) {
        rv = play_all(g, 1, &first, err);
    }
    flo_ticker_stop(&g->ticker);
    FLO_TRY(rv);
    return write_golden(g, &first, err);
}

/* ---- play ---- */

static int take_cases(struct golden *g, struct flo_err *err)
{
    size_t bytes;
    char *text = NULL;
    int rv = flo_file_read(g->tool.args.words[0], FILE_BYTES_MAX, &text, &bytes, err);

    rv = rv == 0 ? flo_suite_take(text, bytes, &g->suite, err) : rv;
    if (rv == 0 && !g->suite.is_golden) {
        flo_fail(err, FLO_E_META_SCHEMA, "no document of the format flotilla-golden-1");
        rv = flo_err_fix(err, "flotilla-model golden create makes one");
    }
    if (rv < 0) {
        /* If the file could not be opened, the error names it already. */
        return text == NULL ? rv : flo_wrap(err, rv, "%s", g->tool.args.words[0]);
    }
    g->cases = calloc(g->suite.count, sizeof(*g->cases));
    if (g->cases == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "golden cases");
    }
    for (; g->count < g->suite.count; g->count++) {
        const struct flo_suite_case *asked = &g->suite.cases[g->count];
        struct golden_case *one = &g->cases[g->count];
        one->asked = *asked;
        snprintf(one->id, sizeof(one->id), "%.63s", asked->id != NULL ? asked->id : "");
        if (asked->expect != NULL && asked->gap >= SURE_GAP) {
            one->tokens = asked->expect;
            one->n_tokens = asked->n_expect;
        }
        if (asked->tokens_max < 1 || asked->tokens_max > TOKENS_MAX) {
            return flo_fail(err, FLO_E_META_SCHEMA,
                            "%s: case %s: max_new_tokens is not from 1 to %d",
                            g->tool.args.words[0], one->id, TOKENS_MAX);
        }
    }
    return 0;
}

/* Plays all cases of a file.  A case that fails gets a reason. */
static int play_cases(struct golden *g, struct flo_err *err)
{
    struct flo_engine_info first;
    struct flo_tool_answer a = {0};

    FLO_TRY(take_cases(g, err));
    FLO_TRY(flo_tool_answer_open(&g->tool, FLO_VOCABULARY_NEEDED, &a, err));
    first = *a.model.info;
    flo_tool_answer_close(&a);
    g->prompt = malloc(first.context * sizeof(*g->prompt));
    if (g->prompt == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "a prompt");
    }
    return play_all(g, 0, &first, err);
}

static int play_file(void *context, struct flo_err *err)
{
    struct golden *g = context;
    uint32_t failed = 0;

    flo_ticker_start(&g->ticker, OPENING);
    int rv = play_cases(g, err);
    flo_ticker_stop(&g->ticker);
    FLO_TRY(rv);
    for (size_t i = 0; i < g->count; i++) {
        if (g->cases[i].why[0] != '\0') {
            failed++;
            fprintf(stderr, "failed: %s: %s\n", g->cases[i].id, g->cases[i].why);
        }
    }
    return failed == 0 ? 0
                       : flo_fail(err, FLO_E_PROBE_GOLDEN, "%s: %u of %zu case%s %s with %s",
                                  g->tool.args.words[0], failed, g->count, flo_s(g->count),
                                  flo_plural(failed, "fails", "fail"), g->tool.model);
}

/* ---- the commands ---- */

static struct golden state = {.tool.count = TOKENS_DEFAULT};
static const struct flo_flag flags[] = {
    {"prompts", "FILE", "one a line, or paragraphs (default: a built-in set)",
     FLO_TEXT(struct golden, prompts_path)},
    {"raw", NULL, "no chat template, the prompts as they are", FLO_SWITCH(struct golden, is_raw)},
    {"n", "N", "tokens of an answer at most (default 32)", FLO_U64(struct golden, tool.count),
     .min = 1, .max = TOKENS_MAX},
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
    .flags = {FLO_FLAGS_BACKEND},
    .state = &state,
    .run = play_file,
    .example = "golden.json --model helpdesk.gguf",
};
