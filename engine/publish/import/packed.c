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
    const struct flo_packed *packed = load->of;
    for (unsigned code = 0; code < 256; code++) {
        load->table[code] = packed->levels == FLO_LEVELS_E4M3     ? e4m3(code)
                            : packed->levels == FLO_LEVELS_SIGNED ? (float)(int8_t)code
                                                                  : (float)code;
    }
    return packed->levels == FLO_LEVELS_MAP ? read_floats(packed->map, load->table, err) : 0;
}

/* ---- scales ---- */

static uint64_t scale_rows(const struct flo_packed *packed)
{
    return (packed->rows + packed->row_block - 1) / packed->row_block;
}

/* Reads scales that are codes, with scales of their own. */
static int read_coded(const struct flo_packed *packed, float *out, struct flo_err *err)
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
    const struct flo_packed *packed = load->of;
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
static unsigned zero_of(const struct flo_packed *packed, const uint8_t *raw, uint64_t row,
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
    const struct flo_packed *packed = load->of;
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
    const struct flo_packed *packed = load->of;
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

int flo_packed_open(struct flo_packed_load *load, const struct flo_packed *packed,
                    struct flo_err *err)
{
    if (load->of == packed) {
        return 0;
    }
    flo_packed_close(load);
    load->of = packed;
    int rv = set_levels(load, err);
    rv = rv < 0 ? rv : read_scales(load, err);
    rv = rv < 0 ? rv : read_zeros(load, err);
    rv = rv < 0 ? rv : read_places(load, err);
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
