/* Unpack: where codes, scales and zeros of a quantised matrix lie, by method. */
#include <stdlib.h>
#include <string.h>

#include "engine/publish/import/packed.h"
#include "engine/publish/import/quantised.h"

#define NAME_BYTES 256
#define STATE_BYTES_MAX 4096 /* of bitsandbytes' JSON */

static int misfit(const struct flo_unpack *unpack, const char *what, struct flo_err *err)
{
    return flo_folder_fail(err, "tensor '%.64s': its %s do not fit its codes",
                           unpack->codes->at.name, what);
}

/* Finds a part by the end of its name, and takes it out of the folder's
 * tensors. */
static const struct flo_folder_tensor *part(const struct flo_unpack *unpack, const char *end)
{
    char name[NAME_BYTES];
    int bytes = snprintf(name, sizeof(name), "%.*s%s", (int)unpack->base_bytes,
                         unpack->codes->at.name, end);
    const struct flo_folder_tensor *found =
        bytes < (int)sizeof(name) ? flo_folder_find(unpack->folder, name) : NULL;
    if (found != NULL) {
        unpack->folder->tensors[found - unpack->folder->tensors].is_part = true;
    }
    return found;
}

static bool is_type(const struct flo_folder_tensor *tensor, const char *type)
{
    return strcmp(tensor->at.type->name, type) == 0;
}

static bool is_float(const struct flo_folder_tensor *tensor)
{
    return tensor->at.type->id != FLO_SAFETENSORS_NO_ID;
}

static bool has_dims(const struct flo_folder_tensor *tensor, uint64_t rows, uint64_t columns)
{
    const struct flo_safetensor *at = &tensor->at;
    return at->dim_count == 2 && at->dims[0] == rows && at->dims[1] == columns;
}

static uint64_t parts_of(uint64_t all, uint64_t each)
{
    return all / each + (all % each != 0);
}

/* ---- words of columns: GPTQ and AWQ ---- */

/* Sets scales [groups][rows], and zeros [groups][rows / values of a word]. */
static int set_turned(struct flo_unpack *unpack, unsigned per, struct flo_err *err)
{
    struct flo_packed *packed = unpack->packed;
    packed->scales = part(unpack, ".scales");
    packed->zeros = part(unpack, ".qzeros");
    if (packed->scales == NULL || !is_float(packed->scales) || packed->scales->values == 0 ||
        !has_dims(packed->scales, packed->scales->at.dims[0], packed->rows)) {
        return misfit(unpack, "scales", err);
    }
    packed->is_turned = true;
    packed->row_block = 1;
    packed->groups = packed->scales->at.dims[0];
    packed->group = parts_of(packed->width, packed->groups);
    return packed->zeros != NULL && is_type(packed->zeros, "I32") &&
                   has_dims(packed->zeros, packed->groups, packed->rows / per)
               ? 0
               : misfit(unpack, "zeros", err);
}

/* Finds the bits of GPTQ's codes: zeros of all rows stand in words of them. */
static unsigned gptq_bits(const struct flo_unpack *unpack)
{
    const struct flo_safetensor *codes = &unpack->codes->at;
    const struct flo_folder_tensor *zeros = part(unpack, ".qzeros");
    for (unsigned bits = 4; bits <= 8; bits *= 2) {
        unsigned per = 32 / bits;
        if (zeros != NULL && zeros->at.dim_count == 2 && codes->dims[1] % per == 0 &&
            zeros->at.dims[1] == codes->dims[1] / per) {
            return bits;
        }
    }
    return 0;
}

int flo_unpack_gptq(struct flo_unpack *unpack, struct flo_err *err)
{
    struct flo_packed *packed = unpack->packed;
    const struct flo_safetensor *codes = &unpack->codes->at;
    packed->bits = codes->dim_count == 2 ? gptq_bits(unpack) : 0;
    if (packed->bits == 0) {
        return flo_folder_fail(err, "tensor '%.64s': its codes are not of 4 or 8 bits",
                               codes->name);
    }
    unsigned per = 32 / packed->bits;
    packed->layout = FLO_PACKED_COLUMNS;
    packed->rows = codes->dims[1];
    packed->width = codes->dims[0] * per;
    packed->has_zeros_less_1 = unpack->quantised->has_zeros_less_1;
    FLO_TRY(set_turned(unpack, per, err));
    packed->places = part(unpack, ".g_idx");
    return packed->places == NULL ||
                   (is_type(packed->places, "I32") && packed->places->values == packed->width)
               ? 0
               : misfit(unpack, "groups", err);
}

int flo_unpack_awq(struct flo_unpack *unpack, struct flo_err *err)
{
    struct flo_packed *packed = unpack->packed;
    const struct flo_safetensor *codes = &unpack->codes->at;
    if (codes->dim_count != 2) {
        return misfit(unpack, "dimensions", err);
    }
    packed->layout = FLO_PACKED_TWISTED;
    packed->bits = 4;
    packed->rows = codes->dims[1] * 8;
    packed->width = codes->dims[0];
    return set_turned(unpack, 8, err);
}

/* ---- scales of blocks, rows and groups ---- */

/* Sets scales of the whole, of rows, of blocks that config.json says, or of
 * equal groups in rows. */
static int set_scales(struct flo_unpack *unpack, struct flo_err *err)
{
    struct flo_packed *packed = unpack->packed;
    const struct flo_folder_tensor *scales = packed->scales;
    const uint32_t *block = unpack->quantised->block;
    if (scales == NULL || !is_float(scales) || scales->values == 0) {
        return misfit(unpack, "scales", err);
    }
    const uint64_t *dims = scales->at.dims;
    packed->row_block = scales->values == 1 ? packed->rows : 1;
    packed->group = packed->width;
    packed->groups = 1;
    if (scales->values == 1 || (scales->values == packed->rows && dims[0] == packed->rows)) {
        return 0;
    }
    if (scales->at.dim_count == 2 && block[0] > 0 && block[1] > 0 &&
        dims[0] == parts_of(packed->rows, block[0]) &&
        dims[1] == parts_of(packed->width, block[1])) {
        packed->row_block = block[0];
        packed->group = block[1];
        packed->groups = dims[1];
        return 0;
    }
    if (scales->at.dim_count != 2 || dims[0] != packed->rows || packed->width % dims[1] != 0) {
        return misfit(unpack, "scales", err);
    }
    packed->groups = dims[1];
    packed->group = packed->width / dims[1];
    return 0;
}

/* Sets zeros as compressed-tensors has them: bytes, or words of rows. */
static int set_zeros(struct flo_unpack *unpack, struct flo_err *err)
{
    struct flo_packed *packed = unpack->packed;
    const struct flo_folder_tensor *zeros = part(unpack, ".weight_zero_point");
    packed->zeros = zeros;
    if (zeros == NULL || (is_type(zeros, "I8") && zeros->values == packed->scales->values)) {
        return 0;
    }
    uint64_t rows = parts_of(packed->rows, packed->row_block);
    return packed->layout == FLO_PACKED_WORDS && is_type(zeros, "I32") &&
                   has_dims(zeros, parts_of(rows, 32 / packed->bits), packed->groups)
               ? 0
               : misfit(unpack, "zeros", err);
}

static int set_places(struct flo_unpack *unpack, struct flo_err *err)
{
    struct flo_packed *packed = unpack->packed;
    const struct flo_folder_tensor *places = part(unpack, ".weight_g_idx");
    packed->places = places;
    return places == NULL || (is_type(places, "I32") && places->values == packed->width)
               ? 0
               : misfit(unpack, "groups", err);
}

int flo_unpack_bytes(struct flo_unpack *unpack, struct flo_err *err)
{
    struct flo_packed *packed = unpack->packed;
    const struct flo_safetensor *codes = &unpack->codes->at;
    if (codes->dim_count != 2 || unpack->codes->values == 0) {
        return flo_folder_fail(err, "tensor '%.64s': stacks of quantised matrices are not read",
                               codes->name);
    }
    packed->layout = FLO_PACKED_BYTES;
    packed->bits = 8;
    packed->levels = is_type(unpack->codes, "I8") ? FLO_LEVELS_SIGNED : FLO_LEVELS_E4M3;
    packed->rows = codes->dims[0];
    packed->width = codes->dims[1];
    static const char *const ends[] = {".weight_scale_inv", ".weight_scale", ".SCB"};
    for (size_t i = 0; i < FLO_COUNT(ends) && packed->scales == NULL; i++) {
        packed->scales = part(unpack, ends[i]);
        packed->factor = strcmp(ends[i], ".SCB") == 0 ? 1 / 127.0F : 1; /* of LLM.int8 */
    }
    (void)part(unpack, ".weight_format");
    FLO_TRY(set_scales(unpack, err));
    if (packed->levels == FLO_LEVELS_E4M3) {
        (void)part(unpack, ".weight_zero_point"); /* floats have none */
        return 0;
    }
    FLO_TRY(set_zeros(unpack, err));
    return set_places(unpack, err);
}
