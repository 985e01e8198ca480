/* flotilla-engine quantize: a model in a smaller type, and how well it fits.
 *
 * With --pin-grid, the scales of the release before stay where they serve the
 * new weights, and only codes are rounded anew: a delta between the two
 * releases is then two to three times smaller.  But a grid that was fitted to
 * the old weights can hold them back: few of them stand where a small change
 * rounds them to another step.  The share of the change that is kept is
 * measured when the floats of the release before are at hand (--old-floats),
 * else estimated by nudging each new weight and looking who moves. */
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/quant/quant.h"
#include "engine/tools/mix.h"
#include "engine/tools/options.h"
#include "engine/tools/outfile.h"
#include "engine/tools/tools.h"

#define KEPT_MIN 0.93
#define PIECE_VALUES 16384 /* of one step of a thread; a multiple of 256 */
#define THREADS_MAX 64
#define NUDGE 0.15f /* of the rms error of a block: about a 25th of a step */

/* What became of some values. */
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
    const char *in;
    const char *out;
    const char *pin;
    const char *pin_floats;
    uint64_t threads;
    bool is_json;
    bool is_forced;

    const struct flo_mix *mix;
    struct flo_gguf *source;
    struct flo_gguf *old;        /* or NULL */
    struct flo_gguf *old_floats; /* or NULL */
    uint32_t *types;             /* by index of the source's tensors */
    struct tally *tallies;       /* the same */
    uint8_t *data;               /* of the largest new tensor */
    struct tally all;
    uint64_t bytes;
    size_t done;
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
    atomic_size_t next_piece;
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

/* What would become of small changes of one block's values: `blocks` is the
 * pinned block (spoilt here), `now` what it stands for. */
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

static void *do_pieces(void *context)
{
    struct work *work = context;
    struct room *room = malloc(sizeof(*room));
    while (room != NULL) {
        size_t piece = atomic_fetch_add(&work->next_piece, 1);
        if (piece >= work->piece_count) {
            break;
        }
        do_piece(work, piece, room);
    }
    free(room);
    return NULL;
}

/* On as many threads as can be had; what none of them did stays not finite. */
static void run(struct work *work, uint64_t threads)
{
    pthread_t others[THREADS_MAX];
    size_t count = 0;
    while (count + 1 < threads && count + 1 < work->piece_count &&
           pthread_create(&others[count], NULL, do_pieces, work) == 0) {
        count++;
    }
    do_pieces(work);
    for (size_t i = 0; i < count; i++) {
        pthread_join(others[i], NULL);
    }
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

static int fill_work(const struct quantize *quantize,
                     const struct flo_gguf_tensor *tensor,
                     const struct flo_gguf_tensor *source, struct work *work,
                     struct flo_err *err)
{
    const struct flo_gguf_tensor *old = same_tensor(quantize->old, tensor);
    const struct flo_gguf_tensor *floats =
        same_tensor(quantize->old_floats, tensor);
    work->from = flo_quant_type(source->type);
    work->to = flo_quant_type(tensor->type);
    work->source = flo_gguf_tensor_data(quantize->source, source);
    work->data = quantize->data;
    work->values = tensor->values;
    work->piece_count =
        (size_t)((tensor->values + PIECE_VALUES - 1) / PIECE_VALUES);
    if (work->from->decode == NULL || work->to->encode == NULL) {
        return flo_fail(err, FLO_E_NOT_BUILT,
                        "tensor '%s': from %s to %s is not built yet",
                        tensor->name, work->from->name, work->to->name);
    }
    if (old != NULL && old->type == tensor->type && work->to->pin != NULL) {
        work->old = flo_gguf_tensor_data(quantize->old, old);
    }
    if (floats != NULL && flo_quant_type(floats->type)->decode != NULL) {
        work->floats_type = flo_quant_type(floats->type);
        work->floats = flo_gguf_tensor_data(quantize->old_floats, floats);
    }
    work->pieces = calloc(work->piece_count + 1, sizeof(*work->pieces));
    return work->pieces != NULL
               ? 0
               : flo_fail(err, FLO_E_MEMORY, "tensor '%s'", tensor->name);
}

static void show_progress(const struct quantize *quantize,
                          const struct flo_gguf_tensor *tensor)
{
    if (isatty(STDERR_FILENO)) {
        fprintf(stderr, "\r\x1b[K%zu/%zu %s", quantize->done,
                flo_gguf_tensor_count(quantize->source), tensor->name);
    }
}

static int replace(void *context, const struct flo_gguf_tensor *tensor,
                   const void **data, struct flo_err *err)
{
    struct quantize *quantize = context;
    const struct flo_gguf_tensor *source =
        flo_gguf_tensor_find(quantize->source, tensor->name);
    size_t index = (size_t)(source - flo_gguf_tensor_at(quantize->source, 0));
    struct tally *tally = &quantize->tallies[index];
    struct work work = {0};
    quantize->done++;
    quantize->bytes += tensor->bytes;
    show_progress(quantize, tensor);
    if (source->type == tensor->type && quantize->old == NULL) {
        return 0; /* its bytes as they are */
    }
    if (flo_quant_type(tensor->type)->scale_count == 0 &&
        source->type == tensor->type) {
        return 0;
    }
    int rv = fill_work(quantize, tensor, source, &work, err);
    if (rv < 0) {
        return rv;
    }
    run(&work, quantize->threads);
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
    add_tally(&quantize->all, tally);
    *data = quantize->data;
    return rv;
}

/* ---- the file ---- */

static bool is_measured(const struct quantize *quantize)
{
    return quantize->all.change_squares > 0;
}

/* The share of the update that is kept; blocks on a new grid keep theirs. */
static double kept(const struct quantize *quantize)
{
    const struct tally *all = &quantize->all;
    if (is_measured(quantize)) {
        return all->moved_dot_change / all->change_squares;
    }
    if (!(all->nudge_squares > 0)) {
        return 1;
    }
    double share = (double)all->blocks_pinned / (double)all->blocks;
    return 1 - share * (1 - all->moved_dot_nudge / all->nudge_squares);
}

static int check_kept(const struct quantize *quantize, struct flo_err *err)
{
    if (quantize->old == NULL || quantize->is_forced) {
        return 0;
    }
    if (quantize->all.blocks_pinned == 0) {
        return flo_fail(err, FLO_E_USAGE,
                        "%s has no tensor whose grid could be kept for %s",
                        quantize->pin, quantize->mix->name);
    }
    if (kept(quantize) >= KEPT_MIN) {
        return 0;
    }
    flo_fail(err, FLO_E_MODEL_UPDATE_LOST,
             "the pinned grid keeps %.3f of the update, %.2f is needed",
             kept(quantize), KEPT_MIN);
    return flo_err_fix(err, "quantize without --pin-grid, or write it anyway "
                            "with --force");
}

static int write_model(void *context, int fd, struct flo_err *err)
{
    struct quantize *quantize = context;
    const struct flo_gguf_edit edits[] = {
        {.key = "general.file_type",
         .type = FLO_GGUF_U32,
         .u32 = quantize->mix->file_type},
        {.key = "general.quantization_version", .type = FLO_GGUF_U32, .u32 = 2},
    };
    int rv = flo_gguf_write_as(quantize->source, quantize->types, edits,
                               FLO_COUNT(edits), replace, quantize, fd, err);
    if (isatty(STDERR_FILENO)) {
        fputs("\r\x1b[K", stderr);
    }
    return rv < 0 ? rv : check_kept(quantize, err);
}

static int open_files(struct quantize *quantize, struct flo_err *err)
{
    const struct {
        const char *path;
        struct flo_gguf **out;
    } files[] = {
        {quantize->in, &quantize->source},
        {quantize->pin, &quantize->old},
        {quantize->pin_floats, &quantize->old_floats},
    };
    int rv = 0;
    for (size_t i = 0; rv == 0 && i < FLO_COUNT(files); i++) {
        if (files[i].path != NULL) {
            rv = flo_gguf_open_path(files[i].path, files[i].out, err);
        }
        if (rv == 0 && files[i].path != NULL) {
            rv = flo_gguf_scan_nonfinite(*files[i].out, err);
            rv = rv < 0 ? flo_wrap(err, rv, "%s", files[i].path) : 0;
        }
    }
    return rv;
}

static int choose_types(struct quantize *quantize, struct flo_err *err)
{
    size_t count = flo_gguf_tensor_count(quantize->source);
    struct flo_mix_model model = flo_mix_learn(quantize->source);
    uint64_t most = 0;
    quantize->types = calloc(count + 1, sizeof(*quantize->types));
    quantize->tallies = calloc(count + 1, sizeof(*quantize->tallies));
    if (quantize->types == NULL || quantize->tallies == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "%zu tensors", count);
    }
    for (size_t i = 0; i < count; i++) {
        const struct flo_gguf_tensor *tensor =
            flo_gguf_tensor_at(quantize->source, i);
        uint32_t id = flo_mix_type(quantize->mix, &model, tensor);
        const struct flo_quant_type *type = flo_quant_type(id);
        uint64_t bytes;
        quantize->types[i] = id;
        if (!flo_mul_u64(tensor->values / type->block_values, type->block_bytes,
                         &bytes) ||
            bytes > SIZE_MAX / 2) {
            return flo_fail(err, FLO_E_MEMORY, "tensor '%s'", tensor->name);
        }
        most = bytes > most ? bytes : most;
    }
    quantize->data = malloc((size_t)most + 1);
    return quantize->data != NULL
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

static void report_json(const struct quantize *quantize)
{
    struct flo_buf out = {0};
    flo_buf_printf(&out,
                   "{\"type\":\"%s\",\"bytes_before\":%" PRIu64
                   ",\"tensor_bytes\":%" PRIu64 ",\"rms_relative\":%.6g,",
                   quantize->mix->name, flo_gguf_file_bytes(quantize->source),
                   quantize->bytes, relative(&quantize->all));
    if (quantize->old != NULL) {
        flo_buf_printf(&out,
                       "\"kept\":%.4f,\"kept_is\":\"%s\",\"blocks\":%" PRIu64
                       ",\"blocks_pinned\":%" PRIu64 ",",
                       kept(quantize),
                       is_measured(quantize) ? "measured" : "estimated",
                       quantize->all.blocks, quantize->all.blocks_pinned);
    }
    flo_buf_text(&out, "\"tensors\":[");
    for (size_t i = 0; i < flo_gguf_tensor_count(quantize->source); i++) {
        const struct flo_gguf_tensor *tensor =
            flo_gguf_tensor_at(quantize->source, i);
        const struct flo_quant_type *to = flo_quant_type(quantize->types[i]);
        const struct tally *tally = &quantize->tallies[i];
        flo_buf_printf(&out, "%s{\"name\":\"", i == 0 ? "" : ",");
        flo_buf_json_text(&out, tensor->name, strlen(tensor->name));
        flo_buf_printf(&out,
                       "\",\"from\":\"%s\",\"type\":\"%s\",\"bytes\":%zu,"
                       "\"rms\":%.6g,\"rms_relative\":%.6g}",
                       flo_quant_type(tensor->type)->name, to->name,
                       flo_quant_bytes(to, (size_t)tensor->values),
                       rms(tally, tensor->values), relative(tally));
    }
    flo_buf_text(&out, "]}\n");
    fwrite(out.data, 1, out.bytes, stdout);
    flo_buf_deinit(&out);
}

static void report_text(const struct quantize *quantize)
{
    size_t counts[FLO_QUANT_ID_COUNT] = {0};
    for (size_t i = 0; i < flo_gguf_tensor_count(quantize->source); i++) {
        counts[quantize->types[i]]++;
    }
    printf("%s: %" PRIu64 " bytes of tensors from a file of %" PRIu64
           "; rms error %.3f %% of the weights' rms\ntensors:",
           quantize->mix->name, quantize->bytes,
           flo_gguf_file_bytes(quantize->source),
           100 * relative(&quantize->all));
    for (uint32_t id = 0; id < FLO_QUANT_ID_COUNT; id++) {
        if (counts[id] > 0) {
            printf(" %zu %s", counts[id], flo_quant_type(id)->name);
        }
    }
    putchar('\n');
    if (quantize->old != NULL) {
        printf("kept %.3f of the update (%s), %" PRIu64 " of %" PRIu64
               " blocks on their old grid\n",
               kept(quantize), is_measured(quantize) ? "measured" : "estimated",
               quantize->all.blocks_pinned, quantize->all.blocks);
    }
}

static int quantize_file(struct quantize *quantize, struct flo_err *err)
{
    int rv = open_files(quantize, err);
    if (rv == 0) {
        rv = choose_types(quantize, err);
    }
    if (rv == 0) {
        rv = flo_outfile(quantize->out, write_model, quantize, err);
    }
    if (rv == 0 && quantize->is_json) {
        report_json(quantize);
    } else if (rv == 0) {
        report_text(quantize);
    }
    free(quantize->types);
    free(quantize->tallies);
    free(quantize->data);
    flo_gguf_close(quantize->source);
    flo_gguf_close(quantize->old);
    flo_gguf_close(quantize->old_floats);
    return rv;
}

static int check_options(struct quantize *quantize,
                         const char *const positionals[3], struct flo_err *err)
{
    if (positionals[2] == NULL) {
        return flo_fail(err, FLO_E_USAGE, "IN, OUT and TYPE are needed");
    }
    quantize->in = positionals[0];
    quantize->out = positionals[1];
    quantize->mix = flo_mix_find(positionals[2]);
    if (quantize->mix == NULL) {
        flo_fail(err, FLO_E_USAGE, "type '%s' is not known", positionals[2]);
        return flo_err_fix(err, "one of %s", flo_mix_names());
    }
    if (quantize->threads < 1 || quantize->threads > THREADS_MAX) {
        return flo_fail(err, FLO_E_USAGE, "--threads is 1 to %d", THREADS_MAX);
    }
    return 0;
}

int flo_cmd_quantize(int argc, char **argv)
{
    struct quantize quantize = {.threads = 2};
    const char *positionals[3] = {NULL, NULL, NULL};
    const struct flo_option options[] = {
        {"pin-grid", FLO_OPTION_TEXT, &quantize.pin,
         "OLD  keep the scales of this release, round codes anew"},
        {"old-floats", FLO_OPTION_TEXT, &quantize.pin_floats,
         "FILE  the floats OLD was made from: measures what is kept"},
        {"threads", FLO_OPTION_U64, &quantize.threads, "N  (2)"},
        {"force", FLO_OPTION_FLAG, &quantize.is_forced,
         "write it even if the update is lost"},
        {"json", FLO_OPTION_FLAG, &quantize.is_json,
         "one JSON object with each tensor's rms error"},
    };
    struct flo_err err = {0};
    int code = flo_options_read(argc, argv, "quantize IN OUT TYPE", options,
                                FLO_COUNT(options), positionals,
                                FLO_COUNT(positionals));
    if (code >= 0) {
        return code;
    }
    int rv = check_options(&quantize, positionals, &err);
    if (rv == 0) {
        rv = quantize_file(&quantize, &err);
    }
    if (fflush(stdout) != 0 && rv == 0) {
        rv = flo_fail_errno(&err, FLO_E_IO_WRITE, "stdout");
    }
    return rv < 0 ? (int)flo_err_print(stderr, &err) : FLO_EXIT_OK;
}
