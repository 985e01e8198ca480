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
#include "engine/publish/commands.h"
#include "engine/publish/quantize.h"
#include "engine/publish/quantize_run.h"
#include "engine/tools/common.h"
#include "engine/tools/outfile.h"

#define KEPT_MIN FLO_PINNED_KEPT_MIN
#define THREADS_MAX 64

/* Returns the tensor with this one's name and shape in another file, or
 * NULL. */
static const struct flo_gguf_tensor *same_tensor(const struct flo_gguf *gguf,
                                                 const struct flo_gguf_tensor *tensor)
{
    const struct flo_gguf_tensor *other =
        gguf != NULL ? flo_gguf_tensor_find(gguf, tensor->name) : NULL;
    bool is_same = other != NULL && memcmp(other->dims, tensor->dims, sizeof(tensor->dims)) == 0;
    return is_same ? other : NULL;
}

static int fill_work(const struct quantize *q, const struct flo_gguf_tensor *tensor,
                     const struct flo_gguf_tensor *source, struct flo_fit *work,
                     struct flo_err *err)
{
    const struct flo_gguf_tensor *old = same_tensor(q->old, tensor);
    const struct flo_gguf_tensor *floats = same_tensor(q->old_floats, tensor);
    work->from = flo_quant_type(source->type);
    work->to = flo_quant_type(tensor->type);
    work->source = flo_gguf_tensor_data(q->source, source);
    work->data = q->data;
    work->values = tensor->values;
    work->name = tensor->name;
    work->importance =
        q->importance != NULL ? flo_importance_find(q->importance, tensor->name) : NULL;
    work->row = tensor->dims[0];
    work->plane = tensor->dims[0] * tensor->dims[1];
    if (work->from->decode == NULL || work->to->encode == NULL) {
        return flo_fail(err, FLO_E_NOT_BUILT, "tensor '%s': from %s to %s is not built yet",
                        tensor->name, work->from->name, work->to->name);
    }
    if (old != NULL && old->type == tensor->type && work->to->pin != NULL) {
        work->old = flo_gguf_tensor_data(q->old, old);
    }
    if (floats != NULL && flo_quant_type(floats->type)->decode != NULL) {
        work->floats_type = flo_quant_type(floats->type);
        work->floats = flo_gguf_tensor_data(q->old_floats, floats);
    }
    return 0;
}

static int replace(void *context, const struct flo_gguf_tensor *tensor, const void **data,
                   struct flo_err *err)
{
    struct quantize *q = context;
    const struct flo_gguf_tensor *source = flo_gguf_tensor_find(q->source, tensor->name);
    size_t index = (size_t)(source - flo_gguf_tensor_at(q->source, 0));
    struct flo_fit_counters *counters = &q->tallies[index];
    struct flo_fit work = {0};
    flo_tool_progress("tensor", q->done++, flo_gguf_tensor_count(q->source), q->started_us);
    q->bytes += tensor->bytes;
    if (source->type == tensor->type &&
        (q->old == NULL || flo_quant_type(tensor->type)->scale_count == 0)) {
        return 0; /* the bytes of the source are copied as they are */
    }
    int rv = fill_work(q, tensor, source, &work, err);
    if (rv == 0) {
        rv = flo_fit_run(&work, q->pool, (unsigned)q->tool.threads, counters, err);
    }
    flo_fit_add(&q->all, counters);
    *data = q->data;
    return rv;
}

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

static int write_tensors(struct quantize *q, int fd, struct flo_err *err)
{
    const struct flo_gguf_edit edits[] = {
        {.key = "general.file_type", .type = FLO_GGUF_U32, .u32 = q->mix->file_type},
        {.key = "general.quantization_version", .type = FLO_GGUF_U32, .u32 = 2},
    };
    q->started_us = flo_now_us();
    int rv = flo_gguf_write(q->source, q->types, edits, FLO_COUNT(edits), replace, q, fd, err);
    flo_tool_progress("tensor", 1, 1, q->started_us);
    return rv;
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
    int rv = copy.tallies != NULL ? write_tensors(&copy, fd, err)
                                  : flo_fail(err, FLO_E_MEMORY, "a second file's tensors");
    free(copy.tallies);
    return rv;
}

/* Writes the model with freely chosen grids to an unnamed file. */
static int write_free(const struct quantize *q, int *fd, struct flo_err *err)
{
    char path[PATH_MAX];

    if (snprintf(path, sizeof(path), "%s.free.XXXXXX", q->tool.args.words[1]) >=
            (int)sizeof(path) ||
        (*fd = mkostemp(path, O_CLOEXEC)) < 0) {
        return flo_fail_errno(err, FLO_E_IO_OPEN, "%s", path);
    }
    unlink(path);
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

    FLO_TRY(write_tensors(q, fd, err));
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

static int choose_types(struct quantize *q, struct flo_err *err)
{
    size_t count = flo_gguf_tensor_count(q->source);
    struct flo_mix_model model = flo_mix_learn(q->source);
    uint64_t most = 0;
    q->types = calloc(count + 1, sizeof(*q->types));
    q->tallies = calloc(count + 1, sizeof(*q->tallies));
    if (q->types == NULL || q->tallies == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "%zu tensors", count);
    }
    for (size_t i = 0; i < count; i++) {
        const struct flo_gguf_tensor *tensor = flo_gguf_tensor_at(q->source, i);
        uint32_t id =
            flo_quantize_is_chosen(q) ? tensor->type : flo_mix_type(q->mix, &model, tensor);
        const struct flo_quant_type *type = flo_quant_type(id);
        uint64_t bytes;
        q->types[i] = id;
        if (!flo_mul_u64(tensor->values / type->block_values, type->block_bytes, &bytes) ||
            bytes > SIZE_MAX / 2) {
            return flo_fail(err, FLO_E_MEMORY, "tensor '%s'", tensor->name);
        }
        most = bytes > most ? bytes : most;
    }
    q->data = malloc((size_t)most + 1);
    return q->data != NULL
               ? 0
               : flo_fail(err, FLO_E_MEMORY, "%" PRIu64 " bytes for the largest tensor", most);
}

static unsigned threads_of_machine(void)
{
    unsigned cpus = flo_cpus_allowed();

    return cpus < THREADS_MAX ? cpus : THREADS_MAX;
}

int flo_quantize(const char *from, const struct flo_mix *mix, int fd, struct flo_err *err)
{
    struct quantize q = {.mix = mix, .tool.threads = threads_of_machine()};
    int rv = flo_tool_gguf(from, &q.source, err);

    rv = rv == 0 ? flo_pool_open((unsigned)q.tool.threads, &q.pool, err) : rv;
    rv = rv == 0 ? choose_types(&q, err) : rv;
    rv = rv == 0 ? write_tensors(&q, fd, err) : rv;
    flo_pool_close(q.pool);
    flo_gguf_close(q.source);
    free(q.types);
    free(q.tallies);
    free(q.data);
    return rv;
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

static int quantize(void *context, struct flo_err *err)
{
    struct quantize *q = context;
    struct flo_buf report = {0};
    FLO_TRY(read_type(q, err));
    if (q->tool.threads == 0) {
        q->tool.threads = threads_of_machine();
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
    FLO_TRY(choose_types(q, err));
    if (flo_quantize_is_chosen(q)) {
        FLO_TRY(choose_by_tensor(q, err));
    }
    FLO_TRY(flo_outfile(q->tool.args.words[1], inputs, write_model, q, err));
    if (flo_quantize_is_chosen(q)) {
        flo_pool_close(q->pool); /* the models of the table are processes of their own */
        q->pool = NULL;
        FLO_TRY(flo_quantize_compare(q, err));
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
    {"suite", "SUITE", "cases for the table of --fit and --loss, as of compare",
     FLO_TEXT(struct quantize, suite)},
    {"page", "FILE", "an HTML page with that table and two pictures",
     FLO_TEXT(struct quantize, page)},
    {"threads", "N", "(default: all CPUs)", FLO_U64(struct quantize, tool.threads), .min = 1,
     .max = THREADS_MAX},
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
