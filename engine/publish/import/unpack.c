/* Unpack: where codes, scales and zeros of a quantised matrix lie, by method. */
#include <stdlib.h>
#include <string.h>

#include "engine/publish/import/packed.h"
#include "engine/publish/import/quantised.h"

#define NAME_BYTES 256
#define STATE_BYTES_MAX 4096 /* largest JSON of bitsandbytes */

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
    struct flo_import_packed *packed = unpack->packed;
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
    struct flo_import_packed *packed = unpack->packed;
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
    struct flo_import_packed *packed = unpack->packed;
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
    struct flo_import_packed *packed = unpack->packed;
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
    struct flo_import_packed *packed = unpack->packed;
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
    struct flo_import_packed *packed = unpack->packed;
    const struct flo_folder_tensor *places = part(unpack, ".weight_g_idx");
    packed->places = places;
    return places == NULL || (is_type(places, "I32") && places->values == packed->width)
               ? 0
               : misfit(unpack, "groups", err);
}

int flo_unpack_bytes(struct flo_unpack *unpack, struct flo_err *err)
{
    struct flo_import_packed *packed = unpack->packed;
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
        packed->factor = strcmp(ends[i], ".SCB") == 0 ? 1 / 127.0F : 1; /* LLM.int8 scales by 127 */
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

/* ---- compressed-tensors' words ---- */

int flo_unpack_words(struct flo_unpack *unpack, struct flo_err *err)
{
    struct flo_import_packed *packed = unpack->packed;
    const struct flo_safetensor *codes = &unpack->codes->at;
    const struct flo_folder_tensor *shape = part(unpack, ".weight_shape");
    uint8_t raw[16];
    if (codes->dim_count != 2 || shape == NULL || shape->values != 2 ||
        !(is_type(shape, "I64") || is_type(shape, "I32"))) {
        return misfit(unpack, "shape's numbers", err);
    }
    bool is_wide = is_type(shape, "I64");
    FLO_TRY(flo_packed_bytes(shape, 0, raw, is_wide ? 16 : 8, err));
    packed->rows = is_wide ? flo_get_u64(raw) : flo_get_u32(raw);
    packed->width = is_wide ? flo_get_u64(raw + 8) : flo_get_u32(raw + 4);
    for (unsigned bits = 4; bits <= 8 && packed->bits == 0; bits *= 2) {
        packed->bits = codes->dims[1] == parts_of(packed->width, 32 / bits) ? bits : 0;
    }
    if (packed->bits == 0 || packed->rows != codes->dims[0] || unpack->codes->values == 0) {
        return misfit(unpack, "shape's numbers", err);
    }
    packed->layout = FLO_PACKED_WORDS;
    packed->zero = (float)(1u << (packed->bits - 1));
    packed->scales = part(unpack, ".weight_scale");
    FLO_TRY(set_scales(unpack, err));
    FLO_TRY(set_zeros(unpack, err));
    return set_places(unpack, err);
}

/* ---- bitsandbytes ---- */

/* Reads the JSON of a matrix: its shape, and the sizes of blocks. */
static int read_state(struct flo_unpack *unpack, const struct flo_tree_node *root, uint64_t *block,
                      struct flo_err *err)
{
    struct flo_import_packed *packed = unpack->packed;
    const struct flo_tree_node *shape = flo_tree_member(root, "shape");
    int64_t rows = 0, width = 0, each = 0, group2 = 1;
    double offset = 0;
    bool fits = flo_tree_whole(flo_config_item(shape, 0), 1, INT32_MAX, &rows) &&
                flo_tree_whole(flo_config_item(shape, 1), 1, INT32_MAX, &width) &&
                flo_config_item(shape, 2) == NULL &&
                flo_tree_whole(flo_tree_member(root, "blocksize"), 1, INT32_MAX, &each);
    if (packed->scales2 != NULL) {
        fits = fits &&
               flo_tree_whole(flo_tree_member(root, "nested_blocksize"), 1, INT32_MAX, &group2) &&
               flo_tree_number(flo_tree_member(root, "nested_offset"), &offset);
    }
    packed->rows = (uint64_t)rows;
    packed->width = (uint64_t)width;
    packed->group2 = (uint64_t)group2;
    packed->offset2 = (float)offset;
    *block = (uint64_t)each;
    return fits ? 0 : misfit(unpack, "settings (quant_state)", err);
}

static int read_quant_state(struct flo_unpack *unpack, uint64_t *block, struct flo_err *err)
{
    const struct flo_folder_tensor *state = part(unpack, ".weight.quant_state.bitsandbytes__nf4");
    char text[STATE_BYTES_MAX + 1];
    FLO_CLEANUP(flo_tree_deinit) struct flo_tree tree = {0};
    state = state != NULL ? state : part(unpack, ".weight.quant_state.bitsandbytes__fp4");
    if (state == NULL || state->at.bytes > STATE_BYTES_MAX) {
        return misfit(unpack, "settings (quant_state)", err);
    }
    FLO_TRY(flo_packed_bytes(state, 0, text, (size_t)state->at.bytes, err));
    FLO_TRY(flo_folder_tree(text, (size_t)state->at.bytes, 64, &tree, err));
    return read_state(unpack, tree.nodes, block, err);
}

static int set_coded_scales(struct flo_unpack *unpack, struct flo_err *err)
{
    struct flo_import_packed *packed = unpack->packed;
    const struct flo_folder_tensor *scales = packed->scales;
    if (packed->scales2 == NULL) {
        return is_float(scales) ? 0 : misfit(unpack, "scales", err);
    }
    return is_type(scales, "U8") && is_float(packed->scales2) && packed->map2 != NULL &&
                   is_float(packed->map2) && packed->map2->values == 256 &&
                   packed->scales2->values == parts_of(scales->values, packed->group2)
               ? 0
               : misfit(unpack, "nested scales", err);
}

/* Sets blocks that run on over rows: whole blocks in a row, or whole rows in a
 * block. */
static int set_blocks(struct flo_unpack *unpack, uint64_t block, struct flo_err *err)
{
    struct flo_import_packed *packed = unpack->packed;
    bool is_in_row = packed->width % block == 0, is_in_block = block % packed->width == 0;
    packed->row_block = is_in_row ? 1 : block / packed->width;
    packed->group = is_in_row ? block : packed->width;
    packed->groups = is_in_row ? packed->width / block : 1;
    if (!is_in_row && !is_in_block) {
        return flo_folder_fail(err, "tensor '%.64s': blocks that end inside of rows are not read",
                               unpack->codes->at.name);
    }
    return packed->scales->values == parts_of(packed->rows * packed->width, block) &&
                   unpack->codes->values == packed->rows * packed->width / 2 &&
                   packed->width % 2 == 0
               ? 0
               : misfit(unpack, "blocks", err);
}

int flo_unpack_halves(struct flo_unpack *unpack, struct flo_err *err)
{
    struct flo_import_packed *packed = unpack->packed;
    uint64_t block;
    packed->layout = FLO_PACKED_HALVES;
    packed->levels = FLO_LEVELS_MAP;
    packed->bits = 4;
    packed->scales = part(unpack, ".weight.absmax");
    packed->map = part(unpack, ".weight.quant_map");
    packed->scales2 = part(unpack, ".weight.nested_absmax");
    packed->map2 = part(unpack, ".weight.nested_quant_map");
    if (packed->scales == NULL || packed->map == NULL || !is_float(packed->map) ||
        packed->map->values != 16) {
        return misfit(unpack, "scales", err);
    }
    FLO_TRY(read_quant_state(unpack, &block, err));
    FLO_TRY(set_coded_scales(unpack, err));
    return set_blocks(unpack, block, err);
}
