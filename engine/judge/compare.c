/* flotilla-model compare: scores several models on one suite, next to each
 * other.
 *
 * Every model has a process of its own.  Each case is a round: one model after
 * the next answers it, and each round begins with another model.  So other load
 * of the machine meets all models alike.  Then all models compute the same
 * tokens, and their distributions are compared with those of the first. */
#include "engine/judge/compare.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <flotilla/plural.h>

#include "engine/publish/commands.h"
#include "engine/tools/outfile.h"

#define TOKENS_DEFAULT 128

/* A comparison that runs. */
struct compare {
    struct flo_tool tool;   /* options of all models */
    struct flo_suite suite; /* borrowed */
    struct flo_compare_files files;
    struct flo_compare_report report;
    int peers[FLO_COMPARE_ROWS_MAX]; /* sockets to the processes; -1: the row has an error */
    struct flo_eval_answer answers[FLO_COMPARE_ROWS_MAX]; /* to the case of this round */
    int32_t *tokens, *forced; /* [largest context]: an answer, and what all models compute */
    float *first, *row;       /* [largest vocabulary]: logits of the first model, and of another */
};

/* Ends a model's process and gives its row the error. */
static void drop(struct compare *c, size_t i, const struct flo_err *why)
{
    if (c->peers[i] >= 0) {
        /* processes that were started later hold this socket, too */
        shutdown(c->peers[i], SHUT_RDWR);
        close(c->peers[i]);
        c->peers[i] = -1;
    }
    if (why != NULL) {
        c->report.rows[i].error = *why;
    }
}

static void drop_at(struct compare *c, size_t i, const struct flo_suite_case *one,
                    struct flo_err *why)
{
    (void)flo_wrap(why, why->code, "case %u", one->number);
    drop(c, i, why);
}

/* ---- distance ---- */

static const struct flo_engine_info *info_of(const struct compare *c, size_t i)
{
    return &c->report.rows[i].about.info;
}

/* Leaves out the distance of models whose tokens differ from the first one's.
 * Returns how many tokens after the prompt all other models have room for. */
static uint32_t find_alike(struct compare *c)
{
    uint32_t room = info_of(c, 0)->context;

    for (size_t i = 0; i < c->report.count; i++) {
        struct flo_compare_row *row = &c->report.rows[i];
        row->has_kl = row->has_kl && c->peers[i] >= 0 && c->peers[0] >= 0 &&
                      info_of(c, i)->n_vocab == info_of(c, 0)->n_vocab &&
                      c->answers[i].prompt_crc == c->answers[0].prompt_crc;
        if (row->has_kl) {
            room = info_of(c, i)->context < room ? info_of(c, i)->context : room;
        }
    }
    return room - c->answers[0].tokens_in;
}

static void add_position(struct compare *c, size_t i)
{
    struct flo_compare_row *row = &c->report.rows[i];
    uint32_t n_vocab = info_of(c, i)->n_vocab;
    double p_total = flo_tool_log_sum(c->first, n_vocab, NULL);
    double q_total = flo_tool_log_sum(c->row, n_vocab, NULL);
    double kl = flo_tool_divergence(c->first, p_total, c->row, q_total, n_vocab);

    row->positions++;
    if (isfinite(kl)) {
        row->kl_sum += kl;
    } else {
        row->nonfinite++;
    }
}

/* Reads the logits of all models at one position.  The others are also read
 * after the first model failed, so that their sockets stay in step. */
static void compare_rows(struct compare *c, const struct flo_suite_case *one)
{
    for (size_t i = 0; i < c->report.count; i++) {
        struct flo_err err;
        if (!c->report.rows[i].has_kl || c->peers[i] < 0) {
            continue;
        }
        if (flo_eval_peer_row(c->peers[i], i == 0 ? c->first : c->row, info_of(c, i)->n_vocab,
                              &err) < 0) {
            drop_at(c, i, one, &err);
        } else if (i > 0 && c->peers[0] >= 0) {
            add_position(c, i);
        }
    }
}

/* Finds the tokens that all models compute: those of the suite's answer, or of
 * the first model's if the suite has none. */
static uint32_t find_forced(struct compare *c, size_t index)
{
    const struct flo_suite_case *one = &c->suite.cases[index];
    uint32_t count = c->answers[0].tokens_out;
    struct flo_err err;

    if (c->peers[0] >= 0 && one->answer != NULL &&
        flo_eval_peer_tokens(c->peers[0], index, c->forced, &count, &err) < 0) {
        drop_at(c, 0, one, &err);
    }
    return count;
}

static void measure(struct compare *c, size_t index)
{
    const struct flo_suite_case *one = &c->suite.cases[index];
    uint32_t count = find_forced(c, index), room = find_alike(c);

    if (!c->report.rows[0].has_kl || c->report.count == 1) {
        return;
    }
    count = count < room ? count : room;
    for (size_t i = 0; i < c->report.count; i++) {
        struct flo_err err;
        if (c->report.rows[i].has_kl &&
            flo_eval_peer_force(c->peers[i], c->forced, count, &err) < 0) {
            drop_at(c, i, one, &err);
        }
    }
    for (uint32_t k = 0; k <= count; k++) {
        compare_rows(c, one);
    }
}

/* ---- the walk ---- */

static void answer(struct compare *c, size_t i, size_t index)
{
    const struct flo_suite_case *one = &c->suite.cases[index];
    uint32_t limit = one->tokens_max > 0 ? one->tokens_max : c->report.tokens_max;
    struct flo_compare_row *row = &c->report.rows[i];
    struct flo_eval_answer *a = &c->answers[i];
    struct flo_err err;

    if (flo_eval_peer_answer(c->peers[i], index, limit, a, i == 0 ? c->forced : c->tokens, &err) <
        0) {
        drop_at(c, i, one, &err);
        return;
    }
    row->exact += a->is_exact;
    row->tokens_in += a->tokens_in;
    row->prompt_us += a->ttft_us;
    row->steps += a->steps;
    row->answer_us += a->rest_us;
}

static void walk(struct compare *c)
{
    uint64_t started_us = flo_now_us();
    size_t count = c->report.count;

    for (size_t index = 0; index < c->suite.count; index++) {
        for (size_t k = 0; k < count; k++) {
            size_t i = (index + k) % count;
            if (c->peers[i] >= 0) {
                answer(c, i, index);
            }
        }
        measure(c, index);
        flo_tool_progress("case", index + 1, c->suite.count, started_us);
    }
    for (size_t i = 0; i < count; i++) {
        struct flo_err err;
        if (c->peers[i] >= 0 &&
            flo_eval_peer_about(c->peers[i], &c->report.rows[i].about, &err) < 0) {
            drop(c, i, &err);
        }
    }
}

/* ---- opening ---- */

/* Starts the process of a row's model, which reads an unnamed copy through the
 * descriptor that it inherits. */
static void open_model(struct compare *c, size_t i)
{
    struct flo_compare_row *row = &c->report.rows[i];
    struct flo_tool tool = c->tool;
    char copy[32];
    struct flo_err err;

    c->peers[i] = -1;
    if (row->error.code != 0) {
        return;
    }
    tool.model = row->file.path;
    if (row->type != NULL) {
        snprintf(copy, sizeof(copy), "/proc/self/fd/%d", c->files.fds[i]);
        tool.model = copy;
    }
    if (flo_eval_peer_open(&tool, &c->suite, &c->peers[i], &row->about, &err) < 0) {
        drop(c, i, &err);
    }
    row->has_kl = true;
}

static int open_models(struct compare *c, struct flo_err *err)
{
    size_t context = 1, n_vocab = 1;

    for (size_t i = 0; i < c->report.count; i++) {
        open_model(c, i);
        const struct flo_engine_info *info = info_of(c, i);
        context = info->context > context ? info->context : context;
        n_vocab = info->n_vocab > n_vocab ? info->n_vocab : n_vocab;
    }
    c->tokens = calloc(context, sizeof(*c->tokens));
    c->forced = calloc(context, sizeof(*c->forced));
    c->first = calloc(n_vocab, sizeof(*c->first));
    c->row = calloc(n_vocab, sizeof(*c->row));
    return c->tokens != NULL && c->forced != NULL && c->first != NULL && c->row != NULL
               ? 0
               : flo_fail(err, FLO_E_MEMORY, "%zu tokens of %zu logits", context, n_vocab);
}

/* ---- the run ---- */

static int run(struct compare *c, const struct flo_compare_ask *ask, struct flo_err *err)
{
    FLO_TRY(flo_compare_types(ask->types, &c->files, err));
    FLO_TRY(flo_compare_rows(ask->models, ask->count, &c->files, &c->report, err));
    FLO_TRY(open_models(c, err));
    if (c->report.has_layers) {
        FLO_TRY(flo_compare_states_open(&c->report, c->peers, err));
    }
    walk(c);
    return c->report.has_layers ? flo_compare_states_run(&c->report, c->peers, &c->suite, err) : 0;
}

static void end(struct compare *c)
{
    for (size_t i = 0; i < c->report.count; i++) {
        drop(c, i, NULL);
    }
    flo_compare_files_close(&c->files);
    free(c->tokens);
    free(c->forced);
    free(c->first);
    free(c->row);
}

int flo_compare_run(const struct flo_compare_ask *ask, struct flo_compare_report *report,
                    struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) struct compare *c = calloc(1, sizeof(*c));

    if (c == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "a comparison");
    }
    signal(SIGPIPE, SIG_IGN); /* a process that ends becomes an error, not a signal */
    memset(c->files.fds, -1, sizeof(c->files.fds));
    memset(c->peers, -1, sizeof(c->peers));
    c->tool = *ask->tool;
    c->suite = *ask->suite;
    c->report = *report;
    c->report.cases = ask->suite->count;
    int rv = run(c, ask, err);
    end(c);
    *report = c->report;
    return rv;
}

/* ---- the verb ---- */

struct compare_verb {
    struct flo_tool tool; /* options; the words are the suite and the candidates */
    const char *types, *page;
    bool asks_layers;
    struct flo_suite suite;
    struct flo_compare_report report;
};

/* Compares the models and writes the page to `fd`, an open file, or -1 for
 * none. */
static int carry_out(void *context, int fd, struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf page = {0};
    struct compare_verb *v = context;
    const struct flo_compare_ask ask = {&v->tool, &v->suite, &v->tool.args.words[1],
                                        v->tool.args.word_count - 1, v->types};

    FLO_TRY(flo_compare_run(&ask, &v->report, err));
    if (fd < 0) {
        return 0;
    }
    flo_compare_page(&v->report, &page);
    return page.failed ? flo_fail(err, FLO_E_MEMORY, "the page")
                       : flo_fd_write_all(fd, page.data, page.bytes, err);
}

/* Returns the first row's error, if there is one, after all results are
 * printed. */
static int tell_failed(const struct flo_compare_report *report, struct flo_err *err)
{
    const struct flo_compare_row *first = NULL;
    size_t failed = 0;

    for (size_t i = report->count; i-- > 0;) {
        if (report->rows[i].error.code != 0) {
            first = &report->rows[i];
            failed++;
        }
    }
    if (first == NULL) {
        return 0;
    }
    *err = first->error;
    (void)flo_wrap(err, err->code, "%s", first->file.path);
    return flo_wrap(err, err->code, "%zu of %zu model%s without results", failed, report->count,
                    flo_s(report->count));
}

static int check_words(struct compare_verb *v, struct flo_err *err)
{
    size_t models = v->tool.args.word_count - 1;

    if (models > FLO_COMPARE_MODELS_MAX) {
        return flo_fail(err, FLO_E_USAGE, "%zu candidates, at most %d", models,
                        FLO_COMPARE_MODELS_MAX);
    }
    return models > 1 || v->types != NULL
               ? 0
               : flo_fail(err, FLO_E_USAGE, "one candidate alone needs --types");
}

static int compare(void *context, struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};
    struct compare_verb *v = context;
    struct flo_inputs inputs = {{NULL}};

    FLO_TRY(check_words(v, err));
    v->report.tokens_max = (uint32_t)v->tool.count;
    v->report.has_layers = v->asks_layers;
    FLO_TRY(flo_eval_suite(v->tool.args.words[0], &v->suite, &v->report.suite_file, err));
    memcpy(inputs.paths, v->tool.args.words, v->tool.args.word_count * sizeof(inputs.paths[0]));
    FLO_TRY(v->page != NULL ? flo_outfile(v->page, inputs, carry_out, v, err)
                            : carry_out(v, -1, err));
    (v->tool.args.is_json ? flo_compare_json : flo_compare_table)(&v->report, &text);
    FLO_TRY(flo_tool_print(&text, "the report", err));
    int rv = tell_failed(&v->report, err);
    v->tool.args.is_told = rv < 0; /* no JSON for the error: stdout already has the report */
    return rv;
}

static struct compare_verb state = {.tool.count = TOKENS_DEFAULT};
static const struct flo_flag flags[] = {
    {"types", "TYPE,TYPE...", "also copies of each F16, BF16 or F32 candidate in these types",
     FLO_TEXT(struct compare_verb, types)},
    {"layers", NULL, "also the error of the hidden state after each layer",
     FLO_SWITCH(struct compare_verb, asks_layers)},
    {"page", "FILE", "an HTML page with the table and pictures",
     FLO_TEXT(struct compare_verb, page)},
    {"template", "NAME|FILE", "a chat template instead of the models' own",
     FLO_TEXT(struct compare_verb, tool.chat_template)},
    {"n", "N", "tokens per answer where the suite is silent (128)",
     FLO_U64(struct compare_verb, tool.count), .min = 1, .max = UINT32_MAX - 1},
    {"ctx", "N", "tokens of context (default: each model's, at most 2048)",
     FLO_U64(struct compare_verb, tool.context), .max = UINT32_MAX},
    {"threads", "N", "threads of each model (default: CPUs, at most 8)",
     FLO_U64(struct compare_verb, tool.threads), .max = UINT32_MAX},
    FLO_FLAGS_END,
};
const struct flo_verb flo_verb_compare = {
    .name = "compare",
    .help = "judge several models by one suite, next to each other",
    .usage = "SUITE MODEL... [--types TYPE,TYPE...] [OPTION...]",
    .flags = {flags, FLO_FLAGS_JSON},
    .state = &state,
    .run = compare,
    .more = "The first model is the one from which the distance (KL) is measured.  Errors by\n"
            "layer of a copy are measured from its own candidate.\n",
    .example = "suite.jsonl small-f16.gguf large-q4_0.gguf --types q8_0,q4_k_m",
};
