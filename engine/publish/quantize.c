/* flotilla-model quantize: converts a model to a smaller type, and measures the
 * error.
 *
 * With --calibrate the model first computes a text, which shows how much each
 * column of a matrix matters (importance.h).  Scales are then searched for the
 * least weighed error.
 *
 * With --pin-grid, the scales of the release before are kept where they fit the
 * new weights.  Only codes are then rounded again.  A delta between the two
 * releases is then two to three times smaller.  But a grid that fits the old
 * weights can hide the update, because a small change may round to the same
 * step as before.  The share of the change that is kept is measured if the
 * floats of the release before are given (--old-floats).  Otherwise it is
 * estimated from trial changes to each weight.  With --judge the models'
 * predictions on a text decide instead (engine/judge/pinned.h). */
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <flotilla/errors/model.h>

#include "base/quant/quant.h"
#include "base/scratch.h"
#include "engine/publish/commands.h"
#include "engine/publish/quantize.h"
#include "engine/publish/quantize_run.h"
#include "engine/tools/common.h"
#include "engine/tools/outfile.h"

#define KEPT_MIN FLO_PINNED_KEPT_MIN

/* ---- the file ---- */

static int check_kept(const struct quantize *q, struct flo_err *err)
{
    if (q->old == NULL || q->is_forced) {
        return 0;
    }
    if (q->all.blocks_pinned == 0) {
        return flo_fail(err, FLO_E_USAGE, "%s has no tensor whose grid could be kept for %s",
                        q->pin, q->mix->name);
    }
    if (q->judge != NULL) {
        return flo_pinned_check(&q->verdict, flo_quantize_kept(q), err);
    }
    if (flo_quantize_kept(q) >= KEPT_MIN) {
        return 0;
    }
    flo_fail(err, FLO_E_MODEL_UPDATE_LOST,
             "the pinned grid keeps %.3f of the update, %.2f is needed", flo_quantize_kept(q),
             KEPT_MIN);
    return flo_err_fix(err, "let its answers decide (--judge TEXT), quantize "
                            "without --pin-grid, or write it anyway with "
                            "--force");
}

/* Writes the model in these types and with freely chosen grids. */
static int write_copy(const struct quantize *q, uint32_t *types, int fd, struct flo_err *err)
{
    struct quantize copy = *q;

    copy.types = types;
    copy.old = NULL;
    copy.old_floats = NULL;
    copy.done = 0;
    copy.tallies = calloc(flo_gguf_tensor_count(q->source) + 1, sizeof(*copy.tallies));
    int rv = copy.tallies != NULL ? flo_quantize_tensors(&copy, fd, err)
                                  : flo_fail(err, FLO_E_MEMORY, "a second file's tensors");
    free(copy.tallies);
    return rv;
}

/* Writes the model with freely chosen grids to an unnamed file. */
static int write_free(const struct quantize *q, int *fd, struct flo_err *err)
{
    FLO_TRY(flo_scratch_file(q->tool.args.words[1], fd, err));
    return write_copy(q, q->types, *fd, err);
}

static int judge(struct quantize *q, int fd, struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup) int free_fd = -1;
    char pinned[32], free_one[32];

    FLO_TRY(write_free(q, &free_fd, err));
    snprintf(pinned, sizeof(pinned), "/proc/self/fd/%d", fd);
    snprintf(free_one, sizeof(free_one), "/proc/self/fd/%d", free_fd);
    const struct flo_pinned_files files = {
        .floats = q->tool.args.words[0],
        .old = q->pin,
        .free = free_one,
        .pinned = pinned,
        .text = q->judge,
        .threads = q->tool.threads,
    };
    return flo_pinned_judge(&files, &q->verdict, err);
}

static int write_model(void *context, int fd, struct flo_err *err)
{
    struct quantize *q = context;

    FLO_TRY(flo_quantize_tensors(q, fd, err));
    if (q->judge != NULL) {
        FLO_TRY(judge(q, fd, err));
    }
    return check_kept(q, err);
}

/* ---- types by tensor ---- */

static int write_trial(void *context, const uint32_t *types, int fd, struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) uint32_t *copy = NULL;
    const struct quantize *q = context;
    size_t bytes = flo_gguf_tensor_count(q->source) * sizeof(*copy);

    copy = malloc(bytes + 1);
    if (copy == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "the types of a trial");
    }
    memcpy(copy, types, bytes);
    return write_copy(q, copy, fd, err);
}

/* Names the mix after the type that has most of the bytes. */
static void name_chosen(struct quantize *q)
{
    uint64_t bytes[FLO_QUANT_ID_COUNT] = {0};
    uint32_t most = 0;

    for (size_t i = 0; i < flo_gguf_tensor_count(q->source); i++) {
        const struct flo_gguf_tensor *tensor = flo_gguf_tensor_at(q->source, i);
        bytes[q->types[i]] += flo_quant_bytes(flo_quant_type(q->types[i]), (size_t)tensor->values);
    }
    for (uint32_t t = 1; t < FLO_QUANT_ID_COUNT; t++) {
        most = bytes[t] > bytes[most] ? t : most;
    }
    q->own.type = most;
    q->own.file_type = flo_mix_file_type(most);
}

/* Chooses a type for each tensor, by --fit or --loss. */
static int choose_by_tensor(struct quantize *q, struct flo_err *err)
{
    const struct flo_budget budget = {
        .floats = q->tool.args.words[0],
        .source = q->source,
        .text = q->calibrate,
        .importance = q->importance,
        .pool = q->pool,
        .threads = (unsigned)q->tool.threads,
        .bytes_max = q->bytes_max,
        .kl_max = q->kl_max,
        .write = write_trial,
        .context = q,
    };

    FLO_TRY(flo_budget_choose(&budget, q->types, &q->chosen, err));
    name_chosen(q);
    return 0;
}

/* Reads the type, or finds that types are chosen by tensor. */
static int read_type(struct quantize *q, struct flo_err *err)
{
    bool has_type = q->tool.args.word_count > 2;

    if (has_type + (q->fit != NULL) + (q->loss != NULL) != 1) {
        flo_fail(err, FLO_E_USAGE, "one of a type, --fit and --loss is needed");
        return flo_err_fix(err, "such as Q4_K_M, --fit 1.2GiB or --loss 1%%");
    }
    if (has_type && (q->suite != NULL || q->page != NULL)) {
        return flo_fail(err, FLO_E_USAGE, "--suite and --page are about --fit and --loss");
    }
    if (has_type) {
        return flo_mix_read(q->tool.args.words[2], &q->mix, err);
    }
    q->own.name = q->fit != NULL ? "types for a size" : "types for a loss";
    q->mix = &q->own;
    q->calibrate = q->calibrate != NULL ? q->calibrate : FLO_CALIBRATION_BUILT_IN;
    return q->fit != NULL ? flo_budget_read_size(q->fit, &q->bytes_max, err)
                          : flo_budget_read_loss(q->loss, &q->kl_max, err);
}

static int write_report(void *context, int fd, struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf report = {0};

    flo_quantize_report_json(context, &report);
    return report.failed ? flo_fail(err, FLO_E_MEMORY, "the report")
                         : flo_fd_write_all(fd, report.data, report.bytes, err);
}

static int quantize(void *context, struct flo_err *err)
{
    struct quantize *q = context;
    struct flo_buf report = {0};
    FLO_TRY(read_type(q, err));
    if (q->tool.threads == 0) {
        q->tool.threads = flo_quantize_threads();
    }
    if (q->pin_floats != NULL && q->pin == NULL) {
        return flo_fail(err, FLO_E_USAGE, "--old-floats needs --pin-grid");
    }
    if (q->judge != NULL && q->pin == NULL) {
        return flo_fail(err, FLO_E_USAGE, "--judge needs --pin-grid");
    }
    if (q->calibrate != NULL && q->pin != NULL) {
        return flo_fail(err, FLO_E_USAGE,
                        "--calibrate, --fit and --loss choose new grids, --pin-grid keeps the "
                        "old ones");
    }
    const struct flo_inputs inputs = {
        {q->tool.args.words[0], q->pin, q->pin_floats, q->judge, q->calibrate}};
    if (q->calibrate != NULL) {
        FLO_TRY(flo_importance_of_text(q->tool.args.words[0], q->calibrate, q->tool.threads,
                                       &q->importance, err));
    }
    FLO_TRY(flo_tool_gguf(q->tool.args.words[0], &q->source, err));
    FLO_TRY(flo_tool_gguf(q->pin, &q->old, err));
    FLO_TRY(flo_tool_gguf(q->pin_floats, &q->old_floats, err));
    FLO_TRY(flo_pool_open((unsigned)q->tool.threads, &q->pool, err));
    FLO_TRY(flo_quantize_types(q, err));
    if (flo_quantize_is_chosen(q)) {
        FLO_TRY(choose_by_tensor(q, err));
    }
    FLO_TRY(flo_outfile(q->tool.args.words[1], inputs, write_model, q, err));
    if (flo_quantize_is_chosen(q)) {
        flo_pool_close(q->pool); /* the models of the table are processes of their own */
        q->pool = NULL;
        FLO_TRY(flo_quantize_compare(q, err));
    }
    if (q->report != NULL) {
        FLO_TRY(flo_outfile(q->report, inputs, write_report, q, err));
    }
    (q->tool.args.is_json ? flo_quantize_report_json : flo_quantize_report_text)(q, &report);
    int rv = flo_tool_print(&report, "the report", err);
    flo_buf_deinit(&report);
    FLO_TRY(rv);
    rv = flo_quantize_is_chosen(q) ? flo_quantize_check_answers(q, err) : 0;
    q->tool.args.is_told = rv < 0; /* no JSON for the error: stdout already has the report */
    return rv;
}

static struct quantize state;
static const struct flo_flag flags[] = {
    {"pin-grid", "OLD", "keep the scales of this release, round codes again",
     FLO_TEXT(struct quantize, pin)},
    {"old-floats", "FILE", "the floats OLD was made from: measures what is kept",
     FLO_TEXT(struct quantize, pin_floats)},
    {"judge", "TEXT", "answers to this text decide whether the pinned grid serves the update",
     FLO_TEXT(struct quantize, judge)},
    {"calibrate", "TEXT|builtin", "weighs errors by what this text needs of the weights",
     FLO_TEXT(struct quantize, calibrate)},
    {"fit", "SIZE", "chooses types by tensor, for a file of at most this size",
     FLO_TEXT(struct quantize, fit)},
    {"loss", "PERCENT", "chooses few bytes that raise the perplexity by at most this",
     FLO_TEXT(struct quantize, loss)},
    {"report", "FILE", "also writes the report of --json here", FLO_TEXT(struct quantize, report)},
    {"suite", "SUITE", "cases for the table of --fit and --loss, as of compare",
     FLO_TEXT(struct quantize, suite)},
    {"page", "FILE", "an HTML page with that table and two pictures",
     FLO_TEXT(struct quantize, page)},
    {"threads", "N", "(default: all CPUs)", FLO_U64(struct quantize, tool.threads), .min = 1,
     .max = FLO_QUANTIZE_THREADS_MAX},
    {"force", NULL, "write it even if the update is lost", FLO_SWITCH(struct quantize, is_forced)},
    FLO_FLAGS_END,
};
const struct flo_verb flo_verb_quantize = {
    .name = "quantize",
    .help = "write a model in a smaller type",
    .usage = "IN OUT [TYPE]",
    .flags = {flags, FLO_FLAGS_JSON},
    .state = &state,
    .run = quantize,
    .example = "helpdesk.F16.gguf helpdesk.Q4_0.gguf Q4_0",
};
