#include "engine/publish/import/produce.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PIECE_VALUES FLO_IMPORT_WIDTH_MAX /* values that are in memory at once */
#define VALUE_BYTES 4
_Static_assert(PIECE_VALUES *VALUE_BYTES == FLO_PACKED_RAW_BYTES, "codes fit into a piece");
#define MXFP4_VALUES 32
#define MXFP4_BYTES 17

/* ---- types ---- */

/* Tensors that stay F32: small ones that the result depends on. */
static const char *const kept[] = {
    "ffn_gate_inp.weight",       "ffn_gate_inp_shexp.weight", "position_embd.weight",
    "token_types.weight",        "ssm_conv1d.weight",         "shortconv.conv.weight",
    "altup_correct_coef.weight", "altup_predict_coef.weight",
};

static bool is_kept(const struct flo_gguf_tensor *head)
{
    bool is = head->dim_count == 1 || !flo_text_ends(head->name, ".weight") ||
              flo_text_ends(head->name, "_norm.weight");
    for (size_t i = 0; i < FLO_COUNT(kept); i++) {
        is = is || flo_text_ends(head->name, kept[i]);
    }
    return is;
}

/* Parts of quantised matrices are whole rows of theirs. */
static int check_packed(const struct flo_output *output, const struct flo_folder_tensor *source,
                        struct flo_err *err)
{
    return source->packed->width == output->width
               ? 0
               : flo_folder_fail(err, "tensor '%.64s': a quantised matrix of this kind is not read",
                                 source->at.name);
}

static int check_sources(const struct flo_output *output, struct flo_err *err)
{
    for (uint32_t i = 0; output->value != FLO_VALUE_MXFP4 && i < output->part_count; i++) {
        const struct flo_folder_tensor *source = output->parts[i].source;
        if (source != NULL && source->at.type->id == FLO_SAFETENSORS_NO_ID) {
            int rv = flo_folder_fail(err, "tensor '%.64s' is %s; F32, F16 and BF16 are read",
                                     source->at.name, source->at.type->name);
            flo_err_fix(err, "take the folder with the original weights; or serve this one by a "
                             "runtime that reads it (--runtime, docs/runtimes.md)");
            return rv;
        }
        FLO_TRY(source != NULL && source->packed != NULL ? check_packed(output, source, err) : 0);
    }
    return 0;
}

int flo_produce_types(struct flo_import *import, const struct flo_mix *mix, struct flo_err *err)
{
    struct flo_mix_model model = {.is_tied = true,
                                  .queries_per_key =
                                      import->heads_kv > 0 ? import->heads / import->heads_kv : 1};
    for (size_t i = 0; i < import->output_count; i++) {
        struct flo_output *output = &import->outputs[i];
        output->head.type = FLO_QUANT_F32;
        flo_mix_count(&model, &output->head);
    }
    for (size_t i = 0; i < import->output_count; i++) {
        struct flo_output *output = &import->outputs[i];
        FLO_TRY(check_sources(output, err));
        if (output->value == FLO_VALUE_MXFP4 && mix->type != FLO_QUANT_F32) {
            output->head.type = FLO_QUANT_MXFP4_ID;
        } else if (!is_kept(&output->head)) {
            output->head.type = flo_mix_type(mix, &model, &output->head);
        }
    }
    return 0;
}

/* ---- buffers ---- */

int flo_produce_open(struct flo_produce *produce, unsigned threads, struct flo_err *err)
{
    *produce = (struct flo_produce){.threads = threads};
    produce->raw = malloc((size_t)PIECE_VALUES * VALUE_BYTES);
    produce->encoded = malloc((size_t)PIECE_VALUES * VALUE_BYTES);
    produce->floats = malloc((size_t)PIECE_VALUES * VALUE_BYTES);
    produce->turned = malloc((size_t)PIECE_VALUES * VALUE_BYTES);
    if (produce->raw == NULL || produce->encoded == NULL || produce->floats == NULL ||
        produce->turned == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "the buffers of tensors");
    }
    return flo_pool_open(threads, &produce->pool, err);
}

void flo_produce_close(struct flo_produce *produce)
{
    flo_pool_close(produce->pool);
    flo_packed_close(&produce->packed);
    free(produce->raw);
    free(produce->encoded);
    free(produce->floats);
    free(produce->turned);
    *produce = (struct flo_produce){0};
}

/* ---- reading ---- */

/* Reads rows [row, row + count) of a source's `row_bytes`-byte rows, in the
 * part's order.  Neighbours are read at once. */
static int read_rows(const struct flo_folder_tensor *source, const struct flo_nest *nest,
                     uint64_t row, uint64_t count, uint64_t row_bytes, uint8_t *out,
                     struct flo_err *err)
{
    uint64_t rows = source->at.bytes / row_bytes;
    for (uint64_t i = 0; i < count;) {
        uint64_t first = flo_nest_at(nest, row + i), run = 1;
        while (i + run < count && flo_nest_at(nest, row + i + run) == first + run) {
            run++;
        }
        if (first >= rows || run > rows - first) {
            return flo_folder_fail(err, "tensor '%.64s' has %" PRIu64 " rows", source->at.name,
                                   rows);
        }
        FLO_TRY(flo_fd_pread_all(source->fd, out + i * row_bytes, (size_t)(run * row_bytes),
                                 source->at.offset + first * row_bytes, err));
        i += run;
    }
    return 0;
}

static void change(const struct flo_output *output, const struct flo_part *part, float *values,
                   size_t count)
{
    for (unsigned f = 0; f < part->factor_count; f++) {
        for (size_t i = 0; i < count; i++) {
            values[i] *= part->factors[f];
        }
    }
    for (size_t i = 0; i < count && output->value == FLO_VALUE_PLUS_ONE; i++) {
        values[i] += 1;
    }
    for (size_t i = 0; i < count && output->value == FLO_VALUE_MINUS_EXP; i++) {
        values[i] = -(float)exp((double)values[i]);
    }
}

/* Moves the columns of each row.  Returns where the rows are now. */
static const float *turn(const struct flo_produce *produce, const struct flo_output *output,
                         uint64_t rows)
{
    if (output->columns.counts[0] == 0) {
        return produce->floats;
    }
    for (uint64_t c = 0; c < output->width; c++) {
        uint64_t from = flo_nest_at(&output->columns, c);
        for (uint64_t r = 0; r < rows; r++) {
            produce->turned[r * output->width + c] = produce->floats[r * output->width + from];
        }
    }
    return produce->turned;
}

/* Counts the rows from `row` on whose codes fit into memory together, and finds
 * the first and the last one of them in the source. */
static uint64_t reach(const struct flo_part *part, uint64_t row, uint64_t rows, uint64_t *first,
                      uint64_t *last)
{
    uint64_t span = flo_packed_span(part->source->packed), count = 0;
    for (; count < rows; count++) {
        uint64_t at = flo_nest_at(&part->nest, row + count);
        uint64_t low = count == 0 || at < *first ? at : *first;
        uint64_t high = count == 0 || at > *last ? at : *last;
        if (high - low >= span) {
            break;
        }
        *first = low;
        *last = high;
    }
    return count;
}

static int read_packed(struct flo_produce *produce, const struct flo_output *output,
                       const struct flo_part *part, uint64_t row, uint64_t rows,
                       struct flo_err *err)
{
    FLO_TRY(flo_packed_open(&produce->packed, part->source->packed, err));
    for (uint64_t done = 0; done < rows;) {
        uint64_t first = 0, last = 0, count = reach(part, row + done, rows - done, &first, &last);
        FLO_TRY(flo_packed_fetch(&produce->packed, first, last - first + 1, produce->raw, err));
        for (uint64_t end = done + count; done < end; done++) {
            flo_packed_row(&produce->packed, flo_nest_at(&part->nest, row + done),
                           produce->floats + done * output->width);
        }
    }
    return 0;
}

static int read_floats(struct flo_produce *produce, const struct flo_output *output,
                       const struct flo_part *part, uint64_t row, uint64_t rows, const float **out,
                       struct flo_err *err)
{
    size_t values = (size_t)(rows * output->width);
    *out = produce->floats;
    if (part->source == NULL) {
        memset(produce->floats, 0, values * sizeof(float));
        return 0;
    }
    if (part->source->packed != NULL) {
        FLO_TRY(read_packed(produce, output, part, row, rows, err));
    } else {
        const struct flo_quant_type *type = flo_quant_type(part->source->at.type->id);
        FLO_TRY(read_rows(part->source, &part->nest, row, rows,
                          flo_quant_bytes(type, (size_t)output->width), produce->raw, err));
        type->decode(produce->raw, produce->floats, values);
    }
    change(output, part, produce->floats, values);
    *out = turn(produce, output, rows);
    return 0;
}

/* ---- MXFP4 ---- */

/* Values of a code: a sign, two bits of exponent, one of mantissa. */
static const float mxfp4_values[] = {0,    0.5F,  1,  1.5F,  2,  3,  4,  6,
                                     -0.F, -0.5F, -1, -1.5F, -2, -3, -4, -6};

/* Reads the blocks of some rows: 16 bytes of two codes each, the lower half
 * first.  Scales lie behind the blocks in `raw`. */
static int read_blocks(const struct flo_produce *produce, const struct flo_output *output,
                       const struct flo_part *part, uint64_t row, uint64_t rows,
                       const uint8_t **scales, struct flo_err *err)
{
    uint64_t blocks = output->width / MXFP4_VALUES;
    uint8_t *behind = produce->raw + rows * blocks * 16;
    FLO_TRY(read_rows(part->source, &part->nest, row, rows, blocks * 16, produce->raw, err));
    *scales = behind;
    return read_rows(part->scales, &part->nest, row, rows, blocks, behind, err);
}

static int check_scale(const struct flo_output *output, uint8_t scale, struct flo_err *err)
{
    return scale != 0xff
               ? 0
               : flo_folder_fail(err, "tensor '%s' has a scale of NaN", output->head.name);
}

/* Packs blocks as a file has them: a scale, then 16 bytes of which byte j has
 * code j in its low half and code j + 16 in its high half. */
static int pack_blocks(const struct flo_produce *produce, const struct flo_output *output,
                       const uint8_t *scales, uint64_t count, struct flo_err *err)
{
    for (uint64_t b = 0; b < count; b++) {
        const uint8_t *in = produce->raw + 16 * b;
        uint8_t *out = produce->encoded + MXFP4_BYTES * b;
        FLO_TRY(check_scale(output, scales[b], err));
        *out++ = scales[b];
        for (int j = 0; j < 16; j++) {
            int shift = j % 2 * 4;
            uint8_t low = in[j / 2] >> shift & 15, high = in[8 + j / 2] >> shift & 15;
            out[j] = (uint8_t)(low | high << 4);
        }
    }
    return 0;
}

static int unpack_blocks(const struct flo_produce *produce, const struct flo_output *output,
                         const uint8_t *scales, uint64_t count, struct flo_err *err)
{
    for (uint64_t b = 0; b < count; b++) {
        const uint8_t *in = produce->raw + 16 * b;
        float *out = produce->floats + MXFP4_VALUES * b;
        FLO_TRY(check_scale(output, scales[b], err));
        for (int j = 0; j < MXFP4_VALUES; j++) {
            out[j] = ldexpf(mxfp4_values[in[j / 2] >> (j % 2 * 4) & 15], (int)scales[b] - 127);
        }
    }
    return 0;
}

/* ---- writing ---- */

static int encode(struct flo_produce *produce, const struct flo_output *output, const float *values,
                  uint64_t count, int fd, struct flo_err *err)
{
    const struct flo_quant_type *type = flo_quant_type(output->head.type);
    const struct flo_fit work = {.from = flo_quant_type(FLO_QUANT_F32),
                                 .to = type,
                                 .source = (const uint8_t *)values,
                                 .data = produce->encoded,
                                 .values = count,
                                 .name = output->head.name};
    FLO_TRY(flo_fit_run(&work, produce->pool, produce->threads, &produce->fit, err));
    return flo_fd_write_all(fd, produce->encoded, flo_quant_bytes(type, (size_t)count), err);
}

static int write_rows(struct flo_produce *produce, const struct flo_output *output,
                      const struct flo_part *part, uint64_t row, uint64_t rows, int fd,
                      struct flo_err *err)
{
    uint64_t values = rows * output->width;
    const float *floats = produce->floats;
    const uint8_t *scales;
    if (output->value != FLO_VALUE_MXFP4) {
        FLO_TRY(read_floats(produce, output, part, row, rows, &floats, err));
        return encode(produce, output, floats, values, fd, err);
    }
    FLO_TRY(read_blocks(produce, output, part, row, rows, &scales, err));
    uint64_t blocks = values / MXFP4_VALUES;
    if (output->head.type == FLO_QUANT_MXFP4_ID) {
        FLO_TRY(pack_blocks(produce, output, scales, blocks, err));
        return flo_fd_write_all(fd, produce->encoded, (size_t)(blocks * MXFP4_BYTES), err);
    }
    FLO_TRY(unpack_blocks(produce, output, scales, blocks, err));
    return encode(produce, output, floats, values, fd, err);
}

/* Returns the rows of a piece.  Vectors whose parts count values are written in
 * whole blocks, too, as their type is F32. */
static uint64_t piece_rows(const struct flo_output *output)
{
    return PIECE_VALUES / output->width;
}

int flo_produce_write(struct flo_produce *produce, const struct flo_output *output, int fd,
                      struct flo_err *err)
{
    uint64_t written = 0;
    if (output->value == FLO_VALUE_GIVEN) {
        return encode(produce, output, output->given, output->head.values, fd, err);
    }
    for (uint32_t p = 0; p < output->part_count; p++) {
        const struct flo_part *part = &output->parts[p];
        for (uint64_t row = 0; row < part->rows;) {
            uint64_t rows = part->rows - row;
            rows = rows > piece_rows(output) ? piece_rows(output) : rows;
            FLO_TRY(write_rows(produce, output, part, row, rows, fd, err));
            row += rows;
            written += rows;
        }
    }
    return written * output->width == output->head.values
               ? 0
               : flo_folder_fail(err, "tensor '%s' has other rows than its shape says",
                                 output->head.name);
}
