#include "engine/publish/import/packed.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/quant/quant.h"
#include "engine/publish/import/config.h"

#define WORD_BYTES 4
#define TWISTED_ROWS 8

/* Which nibble of an AWQ word has row i of its eight. */
static const uint8_t twisted[TWISTED_ROWS] = {0, 4, 1, 5, 2, 6, 3, 7};

int flo_packed_bytes(const struct flo_folder_tensor *tensor, uint64_t at, void *out, size_t bytes,
                     struct flo_err *err)
{
    if (at > tensor->at.bytes || bytes > tensor->at.bytes - at) {
        return flo_folder_fail(err, "tensor '%.64s' is too short", tensor->at.name);
    }
    if (tensor->at.data != NULL) {
        memcpy(out, tensor->at.data + at, bytes);
        return 0;
    }
    return flo_fd_pread_all(tensor->fd, out, bytes, tensor->at.offset + at, err);
}

/* Reads all bytes of a small tensor; the caller frees them. */
static int read_whole(const struct flo_folder_tensor *tensor, uint8_t **out, struct flo_err *err)
{
    *out = malloc((size_t)tensor->at.bytes + 1);
    return *out != NULL ? flo_packed_bytes(tensor, 0, *out, (size_t)tensor->at.bytes, err)
                        : flo_fail(err, FLO_E_MEMORY, "scales of '%.64s'", tensor->at.name);
}

static void *room(uint64_t count, size_t bytes)
{
    return calloc((size_t)count + 1, bytes);
}

static int read_floats(const struct flo_folder_tensor *tensor, float *out, struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) uint8_t *raw = NULL;
    FLO_TRY(read_whole(tensor, &raw, err));
    flo_quant_type(tensor->at.type->id)->decode(raw, out, (size_t)tensor->values);
    return 0;
}

/* ---- levels ---- */

static float e4m3(unsigned code)
{
    unsigned exponent = code >> 3 & 15, mantissa = code & 7;
    float value = exponent == 0 ? ldexpf((float)mantissa, -9)
                                : ldexpf((float)(8 + mantissa), (int)exponent - 10);
    value = (code & 127) == 127 ? NAN : value;
    return (code & 128) != 0 ? -value : value;
}

static int set_levels(struct flo_packed_load *load, struct flo_err *err)
{
    const struct flo_import_packed *packed = load->of;
    for (unsigned code = 0; code < 256; code++) {
        load->table[code] = packed->levels == FLO_LEVELS_E4M3     ? e4m3(code)
                            : packed->levels == FLO_LEVELS_SIGNED ? (float)(int8_t)code
                                                                  : (float)code;
    }
    return packed->levels == FLO_LEVELS_MAP ? read_floats(packed->map, load->table, err) : 0;
}

/* ---- scales ---- */

static uint64_t scale_rows(const struct flo_import_packed *packed)
{
    return (packed->rows + packed->row_block - 1) / packed->row_block;
}

/* Reads scales that are codes, with scales of their own. */
static int read_coded(const struct flo_import_packed *packed, float *out, struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) uint8_t *codes = NULL;
    FLO_CLEANUP(flo_free_cleanup) float *scales = room(packed->scales2->values, sizeof(float));
    float map[256];
    if (scales == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "scales");
    }
    FLO_TRY(read_floats(packed->map2, map, err));
    FLO_TRY(read_floats(packed->scales2, scales, err));
    FLO_TRY(read_whole(packed->scales, &codes, err));
    for (uint64_t i = 0; i < packed->scales->values; i++) {
        out[i] = map[codes[i]] * scales[i / packed->group2] + packed->offset2;
    }
    return 0;
}

static int read_scales(struct flo_packed_load *load, struct flo_err *err)
{
    const struct flo_import_packed *packed = load->of;
    uint64_t rows = scale_rows(packed), groups = packed->groups;
    FLO_CLEANUP(flo_free_cleanup) float *read = room(rows * groups, sizeof(float));
    load->scales = room(rows * groups, sizeof(float));
    if (read == NULL || load->scales == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "scales");
    }
    FLO_TRY(packed->scales2 != NULL ? read_coded(packed, read, err)
                                    : read_floats(packed->scales, read, err));
    for (uint64_t row = 0; row < rows; row++) {
        for (uint64_t g = 0; g < groups; g++) {
            uint64_t from = packed->is_turned ? g * rows + row : row * groups + g;
            load->scales[row * groups + g] = read[from] * packed->factor;
        }
    }
    return 0;
}

/* ---- zeros ---- */

/* Returns the zero of a row's group as a code.  Formats of words write zeros as
 * they write codes. */
static unsigned zero_of(const struct flo_import_packed *packed, const uint8_t *raw, uint64_t row,
                        uint64_t group)
{
    unsigned per = 32 / packed->bits, mask = (1u << packed->bits) - 1;
    uint64_t word = group * (packed->rows / per) + row / per;
    unsigned shift = (unsigned)(row % per) * packed->bits;
    if (packed->layout == FLO_PACKED_WORDS) {
        word = row / per * packed->groups + group;
    } else if (packed->layout == FLO_PACKED_TWISTED) {
        shift = twisted[row % TWISTED_ROWS] * packed->bits;
    }
    unsigned zero = flo_get_u32(raw + word * WORD_BYTES) >> shift & mask;
    return packed->has_zeros_less_1 ? (zero + 1) & mask : zero;
}

static int read_zeros(struct flo_packed_load *load, struct flo_err *err)
{
    const struct flo_import_packed *packed = load->of;
    FLO_CLEANUP(flo_free_cleanup) uint8_t *raw = NULL;
    if (packed->zeros == NULL) {
        return 0;
    }
    bool is_bytes = strcmp(packed->zeros->at.type->name, "I8") == 0;
    load->zeros = room(scale_rows(packed) * packed->groups, sizeof(float));
    if (load->zeros == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "zeros");
    }
    FLO_TRY(read_whole(packed->zeros, &raw, err));
    for (uint64_t row = 0; row < scale_rows(packed); row++) {
        for (uint64_t g = 0; g < packed->groups; g++) {
            uint64_t at = row * packed->groups + g;
            load->zeros[at] = is_bytes ? (float)(int8_t)raw[at] + packed->zero
                                       : (float)zero_of(packed, raw, row, g);
        }
    }
    return 0;
}

/* ---- groups ---- */

static int read_places(struct flo_packed_load *load, struct flo_err *err)
{
    const struct flo_import_packed *packed = load->of;
    FLO_CLEANUP(flo_free_cleanup) uint8_t *raw = NULL;
    load->places = room(packed->width, sizeof(*load->places));
    load->row = room(packed->width, 1);
    if (load->places == NULL || load->row == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "groups");
    }
    FLO_TRY(packed->places != NULL ? read_whole(packed->places, &raw, err) : 0);
    for (uint64_t i = 0; i < packed->width; i++) {
        load->places[i] =
            raw != NULL ? flo_get_u32(raw + WORD_BYTES * i) : (uint32_t)(i / packed->group);
        if (load->places[i] >= packed->groups) {
            return flo_folder_fail(err, "tensor '%.64s': column %u is of no group", packed->name,
                                   (unsigned)i);
        }
    }
    return 0;
}

static int read_parts(struct flo_packed_load *load, struct flo_err *err)
{
    FLO_TRY(set_levels(load, err));
    FLO_TRY(read_scales(load, err));
    FLO_TRY(read_zeros(load, err));
    return read_places(load, err);
}

int flo_packed_open(struct flo_packed_load *load, const struct flo_import_packed *packed,
                    struct flo_err *err)
{
    if (load->of == packed) {
        return 0;
    }
    flo_packed_close(load);
    load->of = packed;
    int rv = read_parts(load, err);
    if (rv < 0) {
        flo_packed_close(load);
    }
    return rv;
}

void flo_packed_close(struct flo_packed_load *load)
{
    free(load->scales);
    free(load->zeros);
    free(load->places);
    free(load->row);
    *load = (struct flo_packed_load){0};
}

/* ---- codes ---- */

/* Returns the words of a row, or of a column in the folder. */
static uint64_t words_of(const struct flo_import_packed *packed)
{
    unsigned per = 32 / packed->bits;
    return (packed->width + per - 1) / per;
}

/* Returns the bytes of a row's codes, for layouts whose rows follow. */
static uint64_t row_bytes(const struct flo_import_packed *packed)
{
    return packed->layout == FLO_PACKED_BYTES    ? packed->width
           : packed->layout == FLO_PACKED_HALVES ? packed->width / 2
                                                 : words_of(packed) * WORD_BYTES;
}

uint64_t flo_packed_span(const struct flo_import_packed *packed)
{
    if (packed->layout == FLO_PACKED_TWISTED) { /* the first and last word may be cut */
        uint64_t words = FLO_PACKED_RAW_BYTES / (packed->width * WORD_BYTES);
        return (words - 1) * TWISTED_ROWS + 1;
    }
    return FLO_PACKED_RAW_BYTES / row_bytes(packed);
}

/* Reads a rectangle of words: columns [first, first + count) of all lines. */
static int fetch_columns(const struct flo_import_packed *packed, uint64_t lines, uint64_t width,
                         uint64_t first, uint64_t count, uint8_t *raw, struct flo_err *err)
{
    for (uint64_t line = 0; line < lines; line++) {
        FLO_TRY(flo_packed_bytes(&packed->codes, (line * width + first) * WORD_BYTES,
                                 raw + line * count * WORD_BYTES, (size_t)count * WORD_BYTES, err));
    }
    return 0;
}

int flo_packed_fetch(struct flo_packed_load *load, uint64_t first, uint64_t count, uint8_t *raw,
                     struct flo_err *err)
{
    const struct flo_import_packed *packed = load->of;
    if (count > flo_packed_span(packed) || first > packed->rows || count > packed->rows - first) {
        return flo_folder_fail(err, "tensor '%.64s' has fewer rows", packed->name);
    }
    load->raw = raw;
    load->first = first;
    load->count = count;
    if (packed->layout == FLO_PACKED_COLUMNS) {
        return fetch_columns(packed, words_of(packed), packed->rows, first, count, raw, err);
    }
    if (packed->layout == FLO_PACKED_TWISTED) {
        load->first = first / TWISTED_ROWS;
        load->count = (first + count - 1) / TWISTED_ROWS - load->first + 1;
        return fetch_columns(packed, packed->width, packed->rows / TWISTED_ROWS, load->first,
                             load->count, raw, err);
    }
    uint64_t bytes = row_bytes(packed);
    return flo_packed_bytes(&packed->codes, first * bytes, raw, (size_t)(count * bytes), err);
}

static void take_words(const uint8_t *words, uint64_t stride, uint64_t width, unsigned bits,
                       uint8_t *out)
{
    unsigned per = 32 / bits, mask = (1u << bits) - 1;
    for (uint64_t i = 0; i < width; i += per) {
        uint32_t word = flo_get_u32(words + i / per * stride * WORD_BYTES);
        for (unsigned j = 0; j < per && i + j < width; j++) {
            out[i + j] = (uint8_t)(word >> j * bits & mask);
        }
    }
}

static void take_twisted(const struct flo_packed_load *load, uint64_t row, uint8_t *out)
{
    const uint8_t *words = load->raw + (row / TWISTED_ROWS - load->first) * WORD_BYTES;
    unsigned shift = twisted[row % TWISTED_ROWS] * 4u;
    for (uint64_t i = 0; i < load->of->width; i++) {
        out[i] = flo_get_u32(words + i * load->count * WORD_BYTES) >> shift & 15;
    }
}

static void take_halves(const uint8_t *bytes, uint64_t width, uint8_t *out)
{
    for (uint64_t i = 0; i < width; i++) {
        out[i] = bytes[i / 2] >> (i % 2 == 0 ? 4 : 0) & 15;
    }
}

static const uint8_t *take_row(struct flo_packed_load *load, uint64_t row)
{
    const struct flo_import_packed *packed = load->of;
    if (packed->layout == FLO_PACKED_TWISTED) {
        take_twisted(load, row, load->row);
    } else if (packed->layout == FLO_PACKED_COLUMNS) {
        take_words(load->raw + (row - load->first) * WORD_BYTES, load->count, packed->width,
                   packed->bits, load->row);
    } else {
        const uint8_t *codes = load->raw + (row - load->first) * row_bytes(packed);
        if (packed->layout == FLO_PACKED_BYTES) {
            return codes;
        }
        if (packed->layout == FLO_PACKED_HALVES) {
            take_halves(codes, packed->width, load->row);
        } else {
            take_words(codes, 1, packed->width, packed->bits, load->row);
        }
    }
    return load->row;
}

void flo_packed_row(struct flo_packed_load *load, uint64_t row, float *out)
{
    const struct flo_import_packed *packed = load->of;
    const uint8_t *codes = take_row(load, row);
    uint64_t at = row / packed->row_block * packed->groups;
    const float *scales = load->scales + at;
    for (uint64_t i = 0; i < packed->width; i++) {
        uint32_t g = load->places[i];
        float zero = load->zeros != NULL ? load->zeros[at + g] : packed->zero;
        out[i] = (load->table[codes[i]] - zero) * scales[g];
    }
}
