/* flotilla-model quantize: a model in a smaller type, and how well it fits.
 *
 * With --pin-grid, the scales of the release before stay where they serve the
 * new weights, and only codes are rounded again: a delta between the two
 * releases is then two to three times smaller.  But a grid that was fitted to
 * the old weights can hold them back: few of them stand where a small change
 * rounds them to another step.  The share of the change that is kept is
 * measured when the floats of the release before are at hand (--old-floats),
 * else estimated by nudging each new weight and looking who moves. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/quant/quant.h"
#include "engine/memory/pool.h"
#include "engine/publish/commands.h"
#include "engine/publish/mix.h"
#include "engine/tools/common.h"
#include "engine/tools/outfile.h"

#define KEPT_MIN 0.93
#define PIECE_VALUES 16384 /* of one step of a thread; a multiple of 256 */
#define THREADS_MAX 64
#define NUDGE 0.15f /* of the rms error of a block: about a 25th of a step */

/* Sums over some values: their errors, sizes and changes. */
struct tally {
    double error_squares;
    double value_squares;
    double change_squares; /* of the update, when the old floats are known */
    double moved_dot_change;
    double nudge_squares; /* of trial changes of pinned blocks */
    double moved_dot_nudge;
    uint64_t blocks;
    uint64_t blocks_pinned;
    bool is_finite;
};

struct quantize {
    struct flo_tool tool; /* words: IN, OUT, TYPE */
    const char *pin;
    const char *pin_floats;
    bool is_forced;

    const struct flo_mix *mix;
    struct flo_gguf *source;
    struct flo_gguf *old;        /* or NULL */
    struct flo_gguf *old_floats; /* or NULL */
    struct flo_pool *pool;
    uint32_t *types;       /* by index of the source's tensors */
    struct tally *tallies; /* the same */
    uint8_t *data;         /* of the largest new tensor */
    struct tally all;
    uint64_t bytes;
    uint64_t done; /* tensors */
    uint64_t started_us;
};

/* ---- one tensor ---- */

struct work {
    const struct flo_quant_type *from;
    const struct flo_quant_type *to;
    const uint8_t *source;
    const uint8_t *old; /* blocks of the release before, or NULL */
    const struct flo_quant_type *floats_type;
    const uint8_t *floats; /* its floats, or NULL */
    uint8_t *data;
    uint64_t values;
    struct flo_pool *pool;
    size_t piece_count;
    struct tally *pieces;
};

/* A thread's room. */
struct room {
    float in[PIECE_VALUES];
    float out[PIECE_VALUES];
    float old[PIECE_VALUES];
    float floats[PIECE_VALUES];
    uint8_t blocks[PIECE_VALUES * 4];
};

static float furthest(const float *x, const float *y, size_t count)
{
    float most = 0;
    for (size_t i = 0; i < count; i++) {
        float distance = fabsf(x[i] - y[i]);
        most = distance > most ? distance : most;
    }
    return most;
}

/* The results of small changes of one block's values: `blocks` is the pinned
 * block (spoilt here), `now` what it stands for. */
static void nudge(const struct work *work, const float *x, uint8_t *blocks,
                  const float *now, struct tally *tally)
{
    size_t values = work->to->block_values;
    float changed[256];
    float moved[256];
    float squares = 0;
    uint32_t sign = 0x9e3779b9u;
    for (size_t i = 0; i < values; i++) {
        float rest = x[i] - now[i];
        squares += rest * rest;
    }
    float change = NUDGE * sqrtf(squares / (float)values);
    for (size_t i = 0; i < values; i++) {
        sign = sign * 1664525u + 1013904223u;
        changed[i] = (sign >> 31) != 0 ? change : -change;
        moved[i] = x[i] + changed[i];
    }
    work->to->pin(moved, blocks, values);
    work->to->decode(blocks, moved, values);
    for (size_t i = 0; i < values; i++) {
        double wanted = (double)changed[i];
        tally->moved_dot_nudge += ((double)moved[i] - (double)now[i]) * wanted;
        tally->nudge_squares += wanted * wanted;
    }
}

/* Pinned blocks into `blocks`, which holds the old ones; those that the old
 * grid no longer reaches are taken from `data`, encoded freely. */
static void choose_pinned(const struct work *work, struct room *room,
                          uint8_t *data, size_t count, struct tally *tally)
{
    const struct flo_quant_type *type = work->to;
    size_t values = type->block_values;
    for (size_t at = 0; at < count; at += values) {
        float pinned[256];
        float free_ones[256];
        uint8_t *mine = data + flo_quant_bytes(type, at);
        uint8_t *kept = room->blocks + flo_quant_bytes(type, at);
        type->pin(room->in + at, kept, values);
        type->decode(kept, pinned, values);
        type->decode(mine, free_ones, values);
        float far_pinned = furthest(room->in + at, pinned, values);
        float far_free = furthest(room->in + at, free_ones, values);
        tally->blocks++;
        if (far_pinned > 2 * far_free) {
            continue; /* an end of the grid would hold a weight back */
        }
        memcpy(mine, kept, type->block_bytes);
        tally->blocks_pinned++;
        nudge(work, room->in + at, kept, pinned, tally);
    }
}

static void tally_values(const struct work *work, const struct room *room,
                         size_t count, struct tally *tally)
{
    for (size_t i = 0; i < count; i++) {
        double x = room->in[i];
        double error = (double)room->out[i] - x;
        tally->error_squares += error * error;
        tally->value_squares += x * x;
        if (work->floats != NULL && work->old != NULL) {
            double change = x - (double)room->floats[i];
            double moved = (double)room->out[i] - (double)room->old[i];
            tally->change_squares += change * change;
            tally->moved_dot_change += moved * change;
        }
    }
    tally->is_finite =
        isfinite(tally->error_squares) && isfinite(tally->value_squares);
}

static void do_piece(struct work *work, size_t piece, struct room *room)
{
    uint64_t first = (uint64_t)piece * PIECE_VALUES;
    uint64_t left = work->values - first;
    size_t count = left < PIECE_VALUES ? (size_t)left : PIECE_VALUES;
    uint8_t *data = work->data + flo_quant_bytes(work->to, (size_t)first);
    struct tally *tally = &work->pieces[piece];
    work->from->decode(work->source +
                           flo_quant_bytes(work->from, (size_t)first),
                       room->in, count);
    work->to->encode(room->in, data, count);
    if (work->old != NULL) {
        const uint8_t *old =
            work->old + flo_quant_bytes(work->to, (size_t)first);
        memcpy(room->blocks, old, flo_quant_bytes(work->to, count));
        choose_pinned(work, room, data, count, tally);
        work->to->decode(old, room->old, count);
    }
    if (work->floats != NULL) {
        work->floats_type->decode(
            work->floats + flo_quant_bytes(work->floats_type, (size_t)first),
            room->floats, count);
    }
    work->to->decode(data, room->out, count);
    tally_values(work, room, count, tally);
}

/* On each thread; what none of them had room for stays not finite. */
static void do_pieces(void *context, unsigned thread)
{
    struct work *work = context;
    size_t count = work->piece_count, piece;
    struct room *room = malloc(sizeof(*room));
    if (room == NULL) {
        return;
    }
    while ((piece = flo_pool_take(work->pool, thread, count)) < count) {
        do_piece(work, piece, room);
    }
    free(room);
}

static void add_tally(struct tally *to, const struct tally *from)
{
    to->error_squares += from->error_squares;
    to->value_squares += from->value_squares;
    to->change_squares += from->change_squares;
    to->moved_dot_change += from->moved_dot_change;
    to->nudge_squares += from->nudge_squares;
    to->moved_dot_nudge += from->moved_dot_nudge;
    to->blocks += from->blocks;
    to->blocks_pinned += from->blocks_pinned;
}

/* The tensor of the same name and shape in another file, or NULL. */
static const struct flo_gguf_tensor *
same_tensor(const struct flo_gguf *gguf, const struct flo_gguf_tensor *tensor)
{
    const struct flo_gguf_tensor *other =
        gguf != NULL ? flo_gguf_tensor_find(gguf, tensor->name) : NULL;
    bool is_same = other != NULL &&
                   memcmp(other->dims, tensor->dims, sizeof(tensor->dims)) == 0;
    return is_same ? other : NULL;
}

static int fill_work(const struct quantize *q,
                     const struct flo_gguf_tensor *tensor,
                     const struct flo_gguf_tensor *source, struct work *work,
                     struct flo_err *err)
{
    const struct flo_gguf_tensor *old = same_tensor(q->old, tensor);
    const struct flo_gguf_tensor *floats = same_tensor(q->old_floats, tensor);
    work->from = flo_quant_type(source->type);
    work->to = flo_quant_type(tensor->type);
    work->source = flo_gguf_tensor_data(q->source, source);
    work->data = q->data;
    work->pool = q->pool;
    work->values = tensor->values;
    work->piece_count =
        (size_t)((tensor->values + PIECE_VALUES - 1) / PIECE_VALUES);
    if (work->from->decode == NULL || work->to->encode == NULL) {
        return flo_fail(err, FLO_E_NOT_BUILT,
                        "tensor '%s': from %s to %s is not built yet",
                        tensor->name, work->from->name, work->to->name);
    }
    if (old != NULL && old->type == tensor->type && work->to->pin != NULL) {
        work->old = flo_gguf_tensor_data(q->old, old);
    }
    if (floats != NULL && flo_quant_type(floats->type)->decode != NULL) {
        work->floats_type = flo_quant_type(floats->type);
        work->floats = flo_gguf_tensor_data(q->old_floats, floats);
    }
    work->pieces = calloc(work->piece_count + 1, sizeof(*work->pieces));
    return work->pieces != NULL
               ? 0
               : flo_fail(err, FLO_E_MEMORY, "tensor '%s'", tensor->name);
}

static int replace(void *context, const struct flo_gguf_tensor *tensor,
                   const void **data, struct flo_err *err)
{
    struct quantize *q = context;
    const struct flo_gguf_tensor *source =
        flo_gguf_tensor_find(q->source, tensor->name);
    size_t index = (size_t)(source - flo_gguf_tensor_at(q->source, 0));
    struct tally *tally = &q->tallies[index];
    struct work work = {0};
    flo_tool_progress("tensor", q->done++, flo_gguf_tensor_count(q->source),
                      q->started_us);
    q->bytes += tensor->bytes;
    if (source->type == tensor->type &&
        (q->old == NULL || flo_quant_type(tensor->type)->scale_count == 0)) {
        return 0; /* its bytes as they are */
    }
    int rv = fill_work(q, tensor, source, &work, err);
    if (rv < 0) {
        return rv;
    }
    flo_pool_run(q->pool, (unsigned)q->tool.threads, do_pieces, &work);
    for (size_t i = 0; rv == 0 && i < work.piece_count; i++) {
        if (!work.pieces[i].is_finite) {
            rv = flo_fail(err, FLO_E_MODEL_NONFINITE,
                          "tensor '%s' holds values near %zu that %s cannot "
                          "hold",
                          tensor->name, i * PIECE_VALUES, work.to->name);
        }
        add_tally(tally, &work.pieces[i]);
    }
    free(work.pieces);
    add_tally(&q->all, tally);
    *data = q->data;
    return rv;
}

/* ---- the file ---- */

static bool is_measured(const struct quantize *q)
{
    return q->all.change_squares > 0;
}

/* The share of the update that is kept; blocks on a new grid keep theirs. */
static double kept(const struct quantize *q)
{
    const struct tally *all = &q->all;
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
        return flo_fail(err, FLO_E_USAGE,
                        "%s has no tensor whose grid could be kept for %s",
                        q->pin, q->mix->name);
    }
    if (kept(q) >= KEPT_MIN) {
        return 0;
    }
    flo_fail(err, FLO_E_MODEL_UPDATE_LOST,
             "the pinned grid keeps %.3f of the update, %.2f is needed",
             kept(q), KEPT_MIN);
    return flo_err_fix(err, "quantize without --pin-grid, or write it anyway "
                            "with --force");
}

static int write_model(void *context, int fd, struct flo_err *err)
{
    struct quantize *q = context;
    const struct flo_gguf_edit edits[] = {
        {.key = "general.file_type",
         .type = FLO_GGUF_U32,
         .u32 = q->mix->file_type},
        {.key = "general.quantization_version", .type = FLO_GGUF_U32, .u32 = 2},
    };
    q->started_us = flo_now_us();
    int rv = flo_gguf_write(q->source, q->types, edits, FLO_COUNT(edits),
                            replace, q, fd, err);
    flo_tool_progress("tensor", 1, 1, q->started_us);
    return rv < 0 ? rv : check_kept(q, err);
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
        if (!flo_mul_u64(tensor->values / type->block_values, type->block_bytes,
                         &bytes) ||
            bytes > SIZE_MAX / 2) {
            return flo_fail(err, FLO_E_MEMORY, "tensor '%s'", tensor->name);
        }
        most = bytes > most ? bytes : most;
    }
    q->data = malloc((size_t)most + 1);
    return q->data != NULL
               ? 0
               : flo_fail(err, FLO_E_MEMORY,
                          "%" PRIu64 " bytes for the largest tensor", most);
}

/* ---- the report ---- */

static double rms(const struct tally *tally, uint64_t values)
{
    return values > 0 ? sqrt(tally->error_squares / (double)values) : 0;
}

static double relative(const struct tally *tally)
{
    return tally->value_squares > 0
               ? sqrt(tally->error_squares / tally->value_squares)
               : 0;
}

static void report_json(const struct quantize *q, struct flo_buf *out)
{
    flo_buf_printf(out,
                   "{\"type\":\"%s\",\"bytes_before\":%" PRIu64
                   ",\"tensor_bytes\":%" PRIu64 ",\"rms_relative\":%.6g,",
                   q->mix->name, flo_gguf_file_bytes(q->source), q->bytes,
                   relative(&q->all));
    if (q->old != NULL) {
        flo_buf_printf(out,
                       "\"kept\":%.4f,\"kept_is\":\"%s\",\"blocks\":%" PRIu64
                       ",\"blocks_pinned\":%" PRIu64 ",",
                       kept(q), is_measured(q) ? "measured" : "estimated",
                       q->all.blocks, q->all.blocks_pinned);
    }
    flo_buf_text(out, "\"tensors\":[");
    for (size_t i = 0; i < flo_gguf_tensor_count(q->source); i++) {
        const struct flo_gguf_tensor *tensor = flo_gguf_tensor_at(q->source, i);
        const struct flo_quant_type *to = flo_quant_type(q->types[i]);
        const struct tally *tally = &q->tallies[i];
        flo_tool_json(out, i == 0 ? "{\"name\":" : ",{\"name\":", tensor->name);
        flo_buf_printf(out,
                       ",\"from\":\"%s\",\"type\":\"%s\",\"bytes\":%zu,"
                       "\"rms\":%.6g,\"rms_relative\":%.6g}",
                       flo_quant_type(tensor->type)->name, to->name,
                       flo_quant_bytes(to, (size_t)tensor->values),
                       rms(tally, tensor->values), relative(tally));
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
                   q->mix->name, q->bytes, flo_gguf_file_bytes(q->source),
                   100 * relative(&q->all));
    flo_tool_types(counts, out);
    if (q->old != NULL) {
        flo_buf_printf(out,
                       "kept %.3f of the update (%s), %" PRIu64 " of %" PRIu64
                       " blocks on their old grid\n",
                       kept(q), is_measured(q) ? "measured" : "estimated",
                       q->all.blocks_pinned, q->all.blocks);
    }
}

static int find_mix(struct quantize *q, struct flo_err *err)
{
    struct flo_buf names = {0};

    q->mix = flo_mix_find(q->tool.args.words[2]);
    if (q->mix != NULL) {
        return 0;
    }
    flo_mix_names(&names);
    flo_fail(err, FLO_E_USAGE, "type '%s' is not known", q->tool.args.words[2]);
    if (!names.failed) {
        flo_err_fix(err, "one of %s", names.data);
    }
    flo_buf_deinit(&names);
    return FLO_E_USAGE;
}

static int quantize(void *context, struct flo_err *err)
{
    struct quantize *q = context;
    struct flo_buf report = {0};
    int rv;
    if ((rv = find_mix(q, err)) < 0) {
        return rv;
    }
    if (q->tool.threads == 0) {
        unsigned cpus = flo_cpus_allowed();
        q->tool.threads = cpus < THREADS_MAX ? cpus : THREADS_MAX;
    }
    if (q->pin_floats != NULL && q->pin == NULL) {
        return flo_fail(err, FLO_E_USAGE, "--old-floats needs --pin-grid");
    }
    const struct flo_inputs inputs = {
        {q->tool.args.words[0], q->pin, q->pin_floats}};
    if ((rv = flo_tool_gguf(q->tool.args.words[0], &q->source, err)) < 0 ||
        (rv = flo_tool_gguf(q->pin, &q->old, err)) < 0 ||
        (rv = flo_tool_gguf(q->pin_floats, &q->old_floats, err)) < 0 ||
        (rv = flo_pool_open((unsigned)q->tool.threads, &q->pool, err)) < 0 ||
        (rv = choose_types(q, err)) < 0 ||
        (rv = flo_outfile(q->tool.args.words[1], inputs, write_model, q, err)) <
            0) {
        return rv;
    }
    (q->tool.args.is_json ? report_json : report_text)(q, &report);
    rv = flo_tool_print(&report, "the report", err);
    flo_buf_deinit(&report);
    return rv;
}

static struct quantize state;
static const struct flo_flag flags[] = {
    {"pin-grid", "OLD", "keep the scales of this release, round codes again",
     FLO_TEXT(struct quantize, pin)},
    {"old-floats", "FILE",
     "the floats OLD was made from: measures what is kept",
     FLO_TEXT(struct quantize, pin_floats)},
    {"threads", "N", "(default: all CPUs)",
     FLO_U64(struct quantize, tool.threads), .min = 1, .max = THREADS_MAX},
    {"force", NULL, "write it even if the update is lost",
     FLO_SWITCH(struct quantize, is_forced)},
    FLO_FLAGS_END,
};
const struct flo_verb flo_verb_quantize = {
    .name = "quantize",
    .help = "write a model in a smaller type",
    .usage = "IN OUT TYPE",
    .flags = {flags, FLO_FLAGS_JSON},
    .state = &state,
    .run = quantize,
};
