/* flotilla-model eval: scores a model on a suite, and against another model.
 *
 * Every case is answered greedily.  With --against a second model answers too,
 * in its own process.  Then both compute the same tokens: the prompt and the
 * suite's answer, or the second model's answer if the suite has none.  Their
 * distributions are compared at the positions that predict the answer's tokens
 * and the token after it. */
#include "engine/judge/eval.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/model.h>

#include "engine/publish/commands.h"
#include "engine/tools/outfile.h"

#define TOKENS_DEFAULT 128

struct eval {
    struct flo_tool tool; /* options of the command; their `count` is the most tokens per answer */
    const char *against, *report_path;
    const char *min_exact, *max_kl;
    double exact_least, kl_most; /* values of --min-exact and --max-kl */
    struct flo_suite suite;
    struct flo_eval_side side;
    int peer; /* the peer's socket */
    struct flo_eval_report report;
    int32_t *forced; /* tokens that both models compute: an array as long as the peer's context */
    float *row;      /* logits of the peer at one position: an array of its n_vocab */
    uint32_t context;
    struct flo_err *err; /* error of compare_row(), which has no parameter for it */
};

/* Names the flag of the peer's model in an error of the peer. */
static int against(int rv, struct flo_err *err)
{
    return rv < 0 ? flo_wrap(err, rv, "--against") : rv;
}

/* ---- distance ---- */

static int compare_row(void *context, uint32_t position, const float *logits)
{
    struct eval *e = context;
    struct flo_eval_distance *d = &e->report.distance;
    uint32_t n_vocab = e->report.model.about.info.n_vocab, p_best, q_best;

    FLO_TRY(against(flo_eval_peer_row(e->peer, e->row, n_vocab, e->err), e->err));
    (void)position;
    double p_total = flo_tool_log_sum(e->row, n_vocab, &p_best);
    double q_total = flo_tool_log_sum(logits, n_vocab, &q_best);
    double kl = flo_tool_divergence(e->row, p_total, logits, q_total, n_vocab);
    d->positions++;
    if (!isfinite(kl)) {
        d->nonfinite++;
        return 0;
    }
    d->same_best += p_best == q_best;
    flo_buf_add(&d->kls, &kl, sizeof(kl));
    return d->kls.failed
               ? flo_fail(e->err, FLO_E_MEMORY, "%llu positions", (unsigned long long)d->positions)
               : 0;
}

static void distance_end(struct flo_eval_distance *d)
{
    size_t n = d->kls.bytes / sizeof(double);
    double *kls = (void *)d->kls.data;

    if (n == 0) {
        return;
    }
    qsort(kls, n, sizeof(*kls), flo_tool_by_value);
    for (size_t i = 0; i < n; i++) {
        d->kl_mean += kls[i] / (double)n;
    }
    d->kl_max = kls[n - 1];
    d->kl_p99 = kls[(n * 99 + 99) / 100 - 1];
}

/* ---- the walk ---- */

static void count_answer(struct flo_eval_score *score, const struct flo_suite_case *one,
                         const struct flo_eval_answer *answer)
{
    score->exact += answer->is_exact;
    score->task_exact[one->task] += answer->is_exact;
    score->json += one->asks_json && answer->is_json;
    score->tokens_in += answer->tokens_in;
    score->tokens_out += answer->tokens_out;
    score->nonfinite += answer->nonfinite;
    score->rest_us += answer->rest_us;
    score->steps += answer->steps;
    flo_histogram_add(&score->ttft_us, answer->ttft_us);
}

/* Compares the two models on the suite's answer.  If the suite has none, it
 * takes the `count` tokens of the peer's answer. */
static int compare(struct eval *e, const struct flo_suite_case *one, size_t count,
                   struct flo_err *err)
{
    size_t room = e->context - e->side.n_prompt;
    uint32_t forced;
    int rv = 0;

    count = count < room ? count : room;
    if (one->answer != NULL) {
        rv = flo_engine_tokenise(e->side.model->text, one->answer, strlen(one->answer), 0,
                                 e->forced, room, &count, err);
    }
    e->err = err;
    forced = (uint32_t)count;
    FLO_TRY(rv);
    FLO_TRY(flo_eval_peer_force(e->peer, e->forced, forced, err));
    return flo_eval_side_force(&e->side, e->forced, forced, compare_row, e, err);
}

static int judge(struct eval *e, size_t index, struct flo_err *err)
{
    const struct flo_suite_case *one = &e->suite.cases[index];
    struct flo_eval_report *r = &e->report;
    uint32_t limit = one->tokens_max > 0 ? one->tokens_max : r->tokens_max;
    struct flo_eval_answer answer, other = {0};

    if (r->has_against) {
        FLO_TRY(against(flo_eval_peer_answer(e->peer, index, limit, &other, e->forced, err), err));
    }
    FLO_TRY(flo_eval_side_answer(&e->side, one, limit, &answer, err));
    count_answer(&r->model, one, &answer);
    r->task_cases[one->task]++;
    if (!answer.is_exact) {
        r->failed[r->n_failed++] = one->number;
    }
    if (!r->has_against) {
        return 0;
    }
    count_answer(&r->against, one, &other);
    if (other.prompt_crc != answer.prompt_crc || e->side.n_prompt >= e->context) {
        return flo_fail(err, FLO_E_USAGE,
                        "the models' tokens of a prompt differ: they cannot "
                        "be compared");
    }
    return compare(e, one, other.tokens_out, err);
}

static int walk(struct eval *e, struct flo_err *err)
{
    uint64_t started_us = flo_now_us();
    int rv = 0;

    for (size_t i = 0; rv == 0 && i < e->suite.count; i++) {
        rv = judge(e, i, err);
        if (rv < 0) {
            rv = flo_wrap(err, rv, "%s: case %u", e->tool.args.words[0], e->suite.cases[i].number);
        }
        flo_tool_progress("case", i + 1, e->suite.count, started_us);
    }
    return rv;
}

/* ---- gates ---- */

static int read_limit(const char *name, const char *text, double max, double *out,
                      struct flo_err *err)
{
    char *end;

    *out = strtod(text, &end);
    if (end == text || *end != '\0' || !(*out >= 0 && *out <= max)) {
        return flo_fail(err, FLO_E_USAGE, "--%s is '%s', not 0 to %g", name, text, max);
    }
    return 0;
}

static void add_gate(struct flo_eval_report *r, const char *name, double limit, double value,
                     bool has_passed)
{
    r->gates[r->n_gates++] = (struct flo_eval_gate){name, limit, value, has_passed};
    r->has_passed = r->has_passed && has_passed;
}

/* Judges the gates, which are limits that the options set.  If there is one, a
 * further gate fails when a number was not finite, because the other gates then
 * mean nothing. */
static void judge_gates(struct eval *e)
{
    struct flo_eval_report *r = &e->report;
    double exact = (double)r->model.exact / (double)e->suite.count;
    uint64_t nonfinite = r->model.nonfinite + r->distance.nonfinite;

    r->has_passed = true;
    if (e->min_exact != NULL) {
        add_gate(r, "min_exact", e->exact_least, exact, exact >= e->exact_least);
    }
    if (e->max_kl != NULL) {
        add_gate(r, "max_kl", e->kl_most, r->distance.kl_mean, r->distance.kl_mean <= e->kl_most);
    }
    if (r->n_gates > 0) {
        add_gate(r, "max_nonfinite", 0, (double)nonfinite, nonfinite == 0);
    }
}

/* ---- opening ---- */

static int open_against(struct eval *e, struct flo_err *err)
{
    struct flo_tool tool = e->tool;
    int rv = flo_eval_file(e->against, &e->report.against.file, err);

    tool.model = e->against;
    tool.lora = NULL; /* the adapter belongs to the model under test, not to the peer */
    if (tool.packed != NULL && strcmp(tool.packed, "none") != 0) {
        tool.packed = NULL; /* the packed file belongs to the model under test, not to the peer */
    }
    FLO_TRY(rv);
    rv = flo_eval_peer_open(&tool, &e->suite, &e->peer, &e->report.against.about, err);
    return against(rv, err);
}

/* Opens the models.  The peer's process is started first, while this process
 * has no threads. */
static int open_models(struct eval *e, struct flo_err *err)
{
    struct flo_eval_report *r = &e->report;

    FLO_TRY(flo_eval_file(e->tool.model, &r->model.file, err));
    if (r->has_against) {
        FLO_TRY(open_against(e, err));
    }
    FLO_TRY(flo_eval_side_open(&e->side, &e->tool, err));
    flo_eval_side_about(&e->side, &r->model.about);
    e->context = r->model.about.info.context;
    r->failed = calloc(e->suite.count, sizeof(*r->failed));
    if (r->has_against) {
        const struct flo_engine_info *other = &r->against.about.info;
        if (other->n_vocab != r->model.about.info.n_vocab) {
            return flo_fail(err, FLO_E_USAGE,
                            "vocabularies of %u and %u tokens cannot be "
                            "compared",
                            r->model.about.info.n_vocab, other->n_vocab);
        }
        e->forced = calloc(other->context, sizeof(*e->forced));
        e->row = calloc(other->n_vocab, sizeof(*e->row));
        e->context = other->context < e->context ? other->context : e->context;
    }
    return r->failed == NULL || (r->has_against && (e->forced == NULL || e->row == NULL))
               ? flo_fail(err, FLO_E_MEMORY, "the evaluation")
               : 0;
}

/* ---- the end ---- */

static int write_report(const struct eval *e, int fd, struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf json = {0};

    flo_eval_report_json(&e->report, &json);
    return json.failed ? flo_fail(err, FLO_E_MEMORY, "the report")
                       : flo_fd_write_all(fd, json.data, json.bytes, err);
}

static int print_report(const struct eval *e, struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};

    (e->tool.args.is_json ? flo_eval_report_json : flo_eval_report_table)(&e->report, &text);
    return flo_tool_print(&text, "the report", err);
}

static int told_gate(struct eval *e, struct flo_err *err)
{
    for (size_t i = 0; i < e->report.n_gates; i++) {
        const struct flo_eval_gate *gate = &e->report.gates[i];
        if (!gate->has_passed) {
            e->tool.args.is_json = false; /* no JSON for the error: stdout already has the report */
            return flo_fail(err, FLO_E_MODEL_GATE, "%s: %s is %g, limit %g", e->tool.model,
                            gate->name, gate->value, gate->limit);
        }
    }
    return 0;
}

/* Scores the suite and writes the report to `fd`, an open file, or -1 for
 * none. */
static int carry_out(void *context, int fd, struct flo_err *err)
{
    struct eval *e = context;
    struct flo_eval_report *r = &e->report;

    FLO_TRY(walk(e, err));
    flo_eval_side_about(&e->side, &r->model.about);
    if (r->has_against) {
        FLO_TRY(against(flo_eval_peer_about(e->peer, &r->against.about, err), err));
        distance_end(&r->distance);
    }
    judge_gates(e);
    return fd < 0 ? 0 : write_report(e, fd, err);
}

static int eval(void *context, struct flo_err *err)
{
    struct eval *e = context;
    struct flo_eval_report *r = &e->report;

    signal(SIGPIPE, SIG_IGN); /* a peer that ends becomes an error, not a signal */
    r->has_against = e->against != NULL;
    r->tokens_max = (uint32_t)e->tool.count;
    if (e->max_kl != NULL && !r->has_against) {
        return flo_fail(err, FLO_E_USAGE, "--max-kl needs --against");
    }
    if (e->min_exact != NULL) {
        FLO_TRY(read_limit("min-exact", e->min_exact, 1, &e->exact_least, err));
    }
    if (e->max_kl != NULL) {
        FLO_TRY(read_limit("max-kl", e->max_kl, 1e9, &e->kl_most, err));
    }
    FLO_TRY(flo_eval_suite(e->tool.args.words[0], &e->suite, &r->suite_file, err));
    r->suite = &e->suite;
    FLO_TRY(open_models(e, err));
    const struct flo_inputs inputs = {{e->tool.args.words[0], e->tool.model, e->against,
                                       e->side.model->setup.adapter, e->side.model->setup.packed}};
    FLO_TRY(e->report_path != NULL ? flo_outfile(e->report_path, inputs, carry_out, e, err)
                                   : carry_out(e, -1, err));
    /* The report's file is complete now, so that no error follows the report on
     * stdout. */
    FLO_TRY(print_report(e, err));
    return told_gate(e, err);
}

static struct eval state = {.tool.count = TOKENS_DEFAULT,
                            .report.distance.kls.bytes_max = SIZE_MAX / 2};
static const struct flo_flag flags[] = {
    {"against", "FILE", "another model: the unquantized one, the last release",
     FLO_TEXT(struct eval, against)},
    {"template", "NAME|FILE", "a chat template instead of the model's own",
     FLO_TEXT(struct eval, tool.chat_template)},
    {"n", "N", "tokens per answer where the suite is silent (128)",
     FLO_U64(struct eval, tool.count), .min = 1, .max = UINT32_MAX - 1},
    {"min-exact", "P", "gate: share of exact answers, 0 to 1", FLO_TEXT(struct eval, min_exact)},
    {"max-kl", "X", "gate: mean KL divergence in nats", FLO_TEXT(struct eval, max_kl)},
    {"report", "FILE", "where the JSON report goes", FLO_TEXT(struct eval, report_path)},
    {"o", "FILE", "the same", FLO_TEXT(struct eval, report_path)},
    FLO_FLAGS_END,
};
const struct flo_verb flo_verb_eval = {
    .name = "eval",
    .help = "judge a model by a suite, and against another",
    .usage = "SUITE --model FILE [--against FILE] [OPTION...]",
    .flags = {FLO_FLAGS_BACKEND, flags, FLO_FLAGS_JSON_ALONE},
    .state = &state,
    .run = eval,
    .example = "suite.json --model helpdesk-2.4.0.gguf --against helpdesk-2.3.1.gguf",
};
