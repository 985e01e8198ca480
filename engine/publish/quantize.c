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
#include "engine/judge/pinned.h"
#include "engine/memory/pool.h"
#include "engine/publish/commands.h"
#include "engine/publish/fit.h"
#include "engine/publish/importance.h"
#include "engine/publish/quantize.h"
#include "engine/tools/common.h"
#include "engine/tools/outfile.h"

#define KEPT_MIN FLO_PINNED_KEPT_MIN
#define THREADS_MAX 64

struct quantize {
    struct flo_tool tool; /* options; the words are IN, OUT and TYPE */
    const char *pin;
    const char *pin_floats;
    const char *judge;     /* path of a text for --judge, or NULL */
    const char *calibrate; /* path of a text, "builtin", or NULL */
    bool is_forced;

    const struct flo_mix *mix;
    struct flo_gguf *source;
    struct flo_gguf *old;              /* or NULL */
    struct flo_gguf *old_floats;       /* or NULL */
    struct flo_importance *importance; /* or NULL */
    struct flo_pool *pool;
    uint32_t *types;                  /* [tensors of the source]: the new type of each */
    struct flo_fit_counters *tallies; /* [tensors of the source]: sums of each one's fit */
    uint8_t *data;                    /* buffer with room for the largest new tensor */
    struct flo_fit_counters all;
    struct flo_pinned_verdict verdict; /* with `judge` */
    uint64_t bytes;
    uint64_t done; /* tensors */
    uint64_t started_us;
};

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

static bool is_measured(const struct quantize *q)
{
    return q->all.change_squares > 0;
}

/* Returns the share of the update that is kept.  A block on a new grid counts
 * as kept in full. */
static double kept(const struct quantize *q)
{
    const struct flo_fit_counters *all = &q->all;
    if (is_measured(q)) {
        return all->moved_dot_change / all->change_squares;
    }
    if (!(all->nudge_squares > 0)) {
        return 1;
    }
    double share = (double)all->blocks_pinned / (double)all->blocks;
    return 1 - share * (1 - all->moved_dot_nudge / all->nudge_squares);
}

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
        return flo_pinned_check(&q->verdict, kept(q), err);
    }
    if (kept(q) >= KEPT_MIN) {
        return 0;
    }
    flo_fail(err, FLO_E_MODEL_UPDATE_LOST,
             "the pinned grid keeps %.3f of the update, %.2f is needed", kept(q), KEPT_MIN);
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

/* Writes the model with freely chosen grids to an unnamed file. */
static int write_free(const struct quantize *q, int *fd, struct flo_err *err)
{
    struct quantize plain = *q;
    char path[PATH_MAX];

    if (snprintf(path, sizeof(path), "%s.free.XXXXXX", q->tool.args.words[1]) >=
            (int)sizeof(path) ||
        (*fd = mkostemp(path, O_CLOEXEC)) < 0) {
        return flo_fail_errno(err, FLO_E_IO_OPEN, "%s", path);
    }
    unlink(path);
    plain.old = NULL;
    plain.old_floats = NULL;
    plain.done = 0;
    plain.tallies = calloc(flo_gguf_tensor_count(q->source) + 1, sizeof(*plain.tallies));
    int rv = plain.tallies != NULL ? write_tensors(&plain, *fd, err)
                                   : flo_fail(err, FLO_E_MEMORY, "a second file's tensors");
    free(plain.tallies);
    return rv;
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
        uint32_t id = flo_mix_type(q->mix, &model, tensor);
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

/* ---- the report ---- */

static double rms(const struct flo_fit_counters *counters, uint64_t values)
{
    return values > 0 ? sqrt(counters->error_squares / (double)values) : 0;
}

static double relative(const struct flo_fit_counters *counters)
{
    return counters->value_squares > 0 ? sqrt(counters->error_squares / counters->value_squares)
                                       : 0;
}

static double weighed(const struct flo_fit_counters *counters)
{
    return counters->value_weighed > 0 ? sqrt(counters->error_weighed / counters->value_weighed)
                                       : 0;
}

static void report_json(const struct quantize *q, struct flo_buf *out)
{
    flo_buf_printf(out,
                   "{\"type\":\"%s\",\"bytes_before\":%" PRIu64 ",\"tensor_bytes\":%" PRIu64
                   ",\"rms_relative\":%.6g,",
                   q->mix->name, flo_gguf_file_bytes(q->source), q->bytes, relative(&q->all));
    if (q->old != NULL) {
        flo_buf_printf(out,
                       "\"kept\":%.4f,\"kept_is\":\"%s\",\"blocks\":%" PRIu64
                       ",\"blocks_pinned\":%" PRIu64 ",",
                       kept(q), is_measured(q) ? "measured" : "estimated", q->all.blocks,
                       q->all.blocks_pinned);
    }
    if (q->judge != NULL) {
        const struct flo_pinned_verdict *v = &q->verdict;
        flo_buf_printf(out,
                       "\"judged\":{\"tokens\":%" PRIu64 ",\"chunks\":%" PRIu64
                       ",\"kl_old\":%.6g,\"kl_free\":%.6g,\"kl_pinned\":%.6g,"
                       "\"is_shown\":%s",
                       v->tokens, v->chunks, v->kl_old, v->kl_free, v->kl_pinned,
                       v->is_shown ? "true" : "false");
        if (v->is_shown) {
            flo_buf_printf(out, ",\"kept\":%.4f,\"kept_error\":%.4f", v->kept, v->kept_error);
        }
        flo_buf_text(out, "},");
    }
    if (q->importance != NULL) {
        flo_tool_json(out, "\"calibration\":{\"text\":", q->calibrate);
        flo_buf_printf(out, ",\"tokens\":%" PRIu64 ",\"rms_weighed\":%.6g},",
                       flo_importance_tokens(q->importance), weighed(&q->all));
    }
    flo_buf_text(out, "\"tensors\":[");
    for (size_t i = 0; i < flo_gguf_tensor_count(q->source); i++) {
        const struct flo_gguf_tensor *tensor = flo_gguf_tensor_at(q->source, i);
        const struct flo_quant_type *to = flo_quant_type(q->types[i]);
        const struct flo_fit_counters *counters = &q->tallies[i];
        flo_tool_json(out, i == 0 ? "{\"name\":" : ",{\"name\":", tensor->name);
        flo_buf_printf(out,
                       ",\"from\":\"%s\",\"type\":\"%s\",\"bytes\":%zu,"
                       "\"rms\":%.6g,\"rms_relative\":%.6g}",
                       flo_quant_type(tensor->type)->name, to->name,
                       flo_quant_bytes(to, (size_t)tensor->values), rms(counters, tensor->values),
                       relative(counters));
    }
    flo_buf_text(out, "]}\n");
}

static void report_text(const struct quantize *q, struct flo_buf *out)
{
    size_t counts[FLO_QUANT_ID_COUNT] = {0};
    for (size_t i = 0; i < flo_gguf_tensor_count(q->source); i++) {
        counts[q->types[i]]++;
    }
    flo_buf_printf(out,
                   "%s: %" PRIu64 " bytes of tensors from a file of %" PRIu64
                   "; rms error %.3f %% of the weights' rms\ntensors:",
                   q->mix->name, q->bytes, flo_gguf_file_bytes(q->source), 100 * relative(&q->all));
    flo_tool_types(counts, out);
    if (q->importance != NULL) {
        flo_buf_printf(out, "calibrated on %" PRIu64 " tokens of %s; weighed error %.3f %%\n",
                       flo_importance_tokens(q->importance),
                       strcmp(q->calibrate, FLO_CALIBRATION_BUILT_IN) == 0 ? "the built-in text"
                                                                           : q->calibrate,
                       100 * weighed(&q->all));
    }
    if (q->old != NULL) {
        flo_buf_printf(out,
                       "kept %.3f of the update (%s), %" PRIu64 " of %" PRIu64
                       " blocks on their old grid\n",
                       kept(q), is_measured(q) ? "measured" : "estimated", q->all.blocks_pinned,
                       q->all.blocks);
    }
    if (q->judge != NULL) {
        const struct flo_pinned_verdict *v = &q->verdict;
        if (v->is_shown) {
            flo_buf_printf(out,
                           "answers keep %.3f +/- %.3f of what the update "
                           "brings, by %" PRIu64 " tokens\n",
                           v->kept, v->kept_error, v->tokens);
        } else {
            flo_buf_printf(out,
                           "the text does not show the update, by %" PRIu64
                           " tokens: rounding hides more\n",
                           v->tokens);
        }
        flo_buf_printf(out,
                       "from the floats, nats per token: release before %.5f, "
                       "free grid %.5f, pinned %.5f\n",
                       v->kl_old, v->kl_free, v->kl_pinned);
    }
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

static int quantize(void *context, struct flo_err *err)
{
    struct quantize *q = context;
    struct flo_buf report = {0};
    FLO_TRY(flo_mix_read(q->tool.args.words[2], &q->mix, err));
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
                        "--calibrate chooses new grids, --pin-grid keeps the old ones");
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
    FLO_TRY(flo_outfile(q->tool.args.words[1], inputs, write_model, q, err));
    (q->tool.args.is_json ? report_json : report_text)(q, &report);
    int rv = flo_tool_print(&report, "the report", err);
    flo_buf_deinit(&report);
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
    {"threads", "N", "(default: all CPUs)", FLO_U64(struct quantize, tool.threads), .min = 1,
     .max = THREADS_MAX},
    {"force", NULL, "write it even if the update is lost", FLO_SWITCH(struct quantize, is_forced)},
    FLO_FLAGS_END,
};
const struct flo_verb flo_verb_quantize = {
    .name = "quantize",
    .help = "write a model in a smaller type",
    .usage = "IN OUT TYPE",
    .flags = {flags, FLO_FLAGS_JSON},
    .state = &state,
    .run = quantize,
    .example = "helpdesk.F16.gguf helpdesk.Q4_0.gguf Q4_0",
};
