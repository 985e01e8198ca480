/* Makers: how a tensor of a folder becomes one or several of a file. */
#include "engine/publish/import/plan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/publish/import/family.h"

#define PIECE_BYTES (1u << 20)

/* Copies a source's dims, innermost first.  A scalar is a vector of one. */
static uint32_t dims_of(const struct flo_folder_tensor *tensor, uint64_t *dims)
{
    uint32_t count = tensor->at.dim_count;
    dims[0] = 1;
    for (uint32_t i = 0; i < count; i++) {
        dims[i] = tensor->at.dims[count - 1 - i];
    }
    return count == 0 ? 1 : count;
}

static int add_as(struct flo_import *import, const struct flo_import_match *match,
                  uint32_t dim_count, const uint64_t *dims, struct flo_output **out,
                  struct flo_err *err)
{
    char name[FLO_GGUF_NAME_BYTES_MAX + 1];
    FLO_TRY(flo_match_name(match, 0, name, err));
    return flo_output_add(import, name, dim_count, dims, match, out, err);
}

static int add_plain(struct flo_import *import, const struct flo_import_match *match,
                     struct flo_output **out, struct flo_err *err)
{
    uint64_t dims[FLO_SAFETENSORS_DIMS_MAX];
    uint32_t count = dims_of(match->tensor, dims);
    return add_as(import, match, count, dims, out, err);
}

int flo_make_plain(struct flo_import *import, const struct flo_import_match *match,
                   struct flo_err *err)
{
    struct flo_output *output;
    return add_plain(import, match, &output, err);
}

static const struct flo_folder_tensor *find_embedding(const struct flo_folder *folder)
{
    static const char end[] = "embed_tokens.weight";
    for (size_t i = 0; i < folder->count; i++) {
        size_t bytes = strlen(folder->tensors[i].at.name);
        if (bytes >= strlen(end) &&
            strcmp(folder->tensors[i].at.name + bytes - strlen(end), end) == 0) {
            return &folder->tensors[i];
        }
    }
    return NULL;
}

/* Tells whether two tensors have the same bytes, where both are plain. */
static int compare(const struct flo_folder_tensor *a, const struct flo_folder_tensor *b, bool *same,
                   struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) uint8_t *memory = malloc(2 * (size_t)PIECE_BYTES);
    *same = a->at.type == b->at.type && a->at.bytes == b->at.bytes && a->packed == b->packed;
    if (memory == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "'%.64s'", a->at.name);
    }
    for (uint64_t at = 0; *same && at < a->at.bytes; at += PIECE_BYTES) {
        uint64_t rest = a->at.bytes - at;
        size_t bytes = rest < PIECE_BYTES ? (size_t)rest : PIECE_BYTES;
        FLO_TRY(flo_fd_pread_all(a->fd, memory, bytes, a->at.offset + at, err));
        FLO_TRY(flo_fd_pread_all(b->fd, memory + PIECE_BYTES, bytes, b->at.offset + at, err));
        *same = memcmp(memory, memory + PIECE_BYTES, bytes) == 0;
    }
    return 0;
}

/* Where the settings tie it to the embedding, a matrix of its own counts only if
 * it differs: a trainer has changed it. */
int flo_make_output(struct flo_import *import, const struct flo_import_match *match,
                    struct flo_err *err)
{
    const struct flo_folder_tensor *embedding = find_embedding(&import->folder);
    bool is_same = flo_config_is(&import->config, "tie_word_embeddings tie_embedding");
    if (is_same && embedding != NULL && match->tensor->fd >= 0) {
        FLO_TRY(compare(match->tensor, embedding, &is_same, err));
    }
    return is_same ? 0 : flo_make_plain(import, match, err);
}

/* ---- heads in pairs ---- */

/* Trainers rotate value i of a head against value i + n/2.  Families of the
 * kind "norm" rotate neighbours, so row i and row i + n/2 are put side by
 * side. */
static int make_pairs(struct flo_import *import, const struct flo_import_match *match,
                      uint32_t heads, struct flo_err *err)
{
    struct flo_output *output;
    FLO_TRY(add_plain(import, match, &output, err));
    if ((import->family->flags & FLO_FAMILY_PAIRS) == 0) {
        return 0;
    }
    output->width = output->head.dim_count == 1 ? 1 : output->width;
    uint64_t rows = output->head.values / output->width;
    if (heads == 0 || rows % ((uint64_t)heads * 2) != 0) {
        return flo_match_fail(match, err, "its rows are no heads of an even size");
    }
    uint64_t size = rows / heads;
    output->parts[0].rows = rows;
    output->parts[0].nest =
        (struct flo_nest){.counts = {heads, size / 2, 2}, .strides = {size, 1, size / 2}};
    return 0;
}

int flo_make_query(struct flo_import *import, const struct flo_import_match *match,
                   struct flo_err *err)
{
    return make_pairs(import, match, import->heads, err);
}

int flo_make_key(struct flo_import *import, const struct flo_import_match *match,
                 struct flo_err *err)
{
    return make_pairs(import, match, import->heads_kv, err);
}

/* ---- values ---- */

int flo_make_plus_one(struct flo_import *import, const struct flo_import_match *match,
                      struct flo_err *err)
{
    struct flo_output *output;
    FLO_TRY(add_plain(import, match, &output, err));
    output->value = FLO_VALUE_PLUS_ONE;
    return 0;
}

int flo_make_minus_exp(struct flo_import *import, const struct flo_import_match *match,
                       struct flo_err *err)
{
    struct flo_output *output;
    FLO_TRY(add_plain(import, match, &output, err));
    output->value = FLO_VALUE_MINUS_EXP;
    return 0;
}

static int add_column(struct flo_import *import, const struct flo_import_match *match,
                      struct flo_output **out, struct flo_err *err)
{
    const uint64_t dims[] = {1, match->tensor->values};
    return add_as(import, match, 2, dims, out, err);
}

int flo_make_column(struct flo_import *import, const struct flo_import_match *match,
                    struct flo_err *err)
{
    struct flo_output *output;
    return add_column(import, match, &output, err);
}

int flo_make_minus_exp_column(struct flo_import *import, const struct flo_import_match *match,
                              struct flo_err *err)
{
    struct flo_output *output;
    FLO_TRY(add_column(import, match, &output, err));
    output->value = FLO_VALUE_MINUS_EXP;
    return 0;
}

int flo_make_groups(struct flo_import *import, const struct flo_import_match *match,
                    struct flo_err *err)
{
    struct flo_output *output;
    uint32_t groups = 1;
    FLO_TRY(flo_config_u32(&import->config, match->with, UINT16_MAX, &groups, err));
    if (groups == 0 || match->tensor->values % groups != 0) {
        return flo_match_fail(match, err, "it has no whole groups");
    }
    const uint64_t dims[] = {match->tensor->values / groups, groups};
    return add_as(import, match, 2, dims, &output, err);
}

int flo_make_squeezed(struct flo_import *import, const struct flo_import_match *match,
                      struct flo_err *err)
{
    struct flo_output *output;
    const struct flo_safetensor *at = &match->tensor->at;
    if (at->dim_count != 3 || at->dims[1] != 1) {
        return flo_match_fail(match, err, "it is no convolution of single channels");
    }
    const uint64_t dims[] = {at->dims[2], at->dims[0]};
    return add_as(import, match, 2, dims, &output, err);
}

/* Reads "name" or "name:2" of the settings. */
static int factor_of(const struct flo_import *import, const struct flo_import_match *match,
                     const char *text, size_t bytes, float *out, struct flo_err *err)
{
    char name[64];
    double value;
    snprintf(name, sizeof(name), "%.*s", (int)bytes, text);
    char *colon = strchr(name, ':');
    uint32_t index = colon != NULL ? (uint32_t)strtoul(colon + 1, NULL, 10) : 0;
    if (colon != NULL) {
        *colon = '\0';
    }
    const struct flo_tree_node *node = flo_config_find(&import->config, name);
    node = colon != NULL ? flo_config_item(node, index) : node;
    if (!flo_tree_number(node, &value) || !isfinite(value)) {
        return flo_match_fail(match, err, "config.json lacks its multiplier");
    }
    *out = (float)value;
    return 0;
}

int flo_make_scaled(struct flo_import *import, const struct flo_import_match *match,
                    struct flo_err *err)
{
    struct flo_output *output;
    FLO_TRY(add_plain(import, match, &output, err));
    struct flo_part *part = &output->parts[0];
    for (const char *at = match->with; *at != '\0' && part->factor_count < 2;) {
        size_t bytes = strcspn(at, " ");
        FLO_TRY(factor_of(import, match, at, bytes, &part->factors[part->factor_count++], err));
        at += bytes;
        at += strspn(at, " ");
    }
    return 0;
}

/* ---- one tensor that becomes two ---- */

/* Makes the two outputs of a tensor whose last dim but `inner` is cut: each
 * takes every `stride`-th row from `first` on. */
static int make_two(struct flo_import *import, const struct flo_import_match *match,
                    bool is_interleaved, bool is_vector, struct flo_err *err)
{
    uint64_t dims[FLO_SAFETENSORS_DIMS_MAX];
    uint32_t count = dims_of(match->tensor, dims);
    uint32_t cut = is_vector ? 0 : 1;
    if (count <= cut || dims[cut] % 2 != 0 || dims[cut] == 0) {
        return flo_match_fail(match, err, "it has no two equal halves");
    }
    uint64_t all = dims[cut], half = all / 2;
    dims[cut] = half;
    for (unsigned i = 0; i < 2; i++) {
        char name[FLO_GGUF_NAME_BYTES_MAX + 1];
        struct flo_output *output;
        FLO_TRY(flo_match_name(match, i, name, err));
        FLO_TRY(flo_output_add(import, name, count, dims, match, &output, err));
        output->width = is_vector ? 1 : output->width;
        output->parts[0].rows = output->head.values / output->width;
        output->parts[0].nest = (struct flo_nest){.first = is_interleaved ? i : i * half,
                                                  .counts = {output->parts[0].rows / half, half},
                                                  .strides = {all, is_interleaved ? 2 : 1}};
    }
    return 0;
}

int flo_make_halves(struct flo_import *import, const struct flo_import_match *match,
                    struct flo_err *err)
{
    return make_two(import, match, false, false, err);
}

int flo_make_interleaved(struct flo_import *import, const struct flo_import_match *match,
                         struct flo_err *err)
{
    return make_two(import, match, true, match->with != NULL, err);
}

/* ---- many tensors that become one ---- */

int flo_make_expert(struct flo_import *import, const struct flo_import_match *match,
                    struct flo_err *err)
{
    char name[FLO_GGUF_NAME_BYTES_MAX + 1];
    uint64_t dims[FLO_SAFETENSORS_DIMS_MAX];
    uint32_t count = dims_of(match->tensor, dims);
    FLO_TRY(flo_match_name(match, 0, name, err));
    struct flo_output *output = flo_output_find(import, name);
    if (count > 2) {
        return flo_match_fail(match, err, "an expert is no matrix");
    }
    if (match->expert < 0 || match->expert >= (int)import->experts) {
        return flo_match_fail(match, err, "config.json has fewer experts");
    }
    if (output == NULL) {
        dims[count] = import->experts;
        FLO_TRY(flo_output_add(import, name, count + 1, dims, match, &output, err));
        FLO_TRY(flo_output_parts(output, import->experts, err));
        output->is_stack = true;
    }
    struct flo_part *part = &output->parts[match->expert];
    if (part->source != NULL || output->head.dim_count != count + 1 ||
        output->head.dims[0] != dims[0] || (count == 2 && output->head.dims[1] != dims[1])) {
        return flo_match_fail(match, err, "it differs from the other experts in shape");
    }
    part->source = match->tensor;
    part->rows = match->tensor->values / output->width;
    return 0;
}

/* ---- MXFP4 ---- */

/* Finds the scales that belong to NAME_blocks. */
static const struct flo_folder_tensor *scales_of(const struct flo_import *import,
                                                 const struct flo_folder_tensor *blocks)
{
    char name[256];
    size_t bytes = strlen(blocks->at.name) - strlen("blocks");
    snprintf(name, sizeof(name), "%.*sscales", (int)bytes, blocks->at.name);
    return flo_folder_find(&import->folder, name);
}

static int make_mxfp4(struct flo_import *import, const struct flo_import_match *match,
                      unsigned outputs, struct flo_err *err)
{
    const struct flo_safetensor *at = &match->tensor->at;
    const struct flo_folder_tensor *scales = scales_of(import, match->tensor);
    bool fits = at->dim_count == 4 && at->dims[3] == 16 && strcmp(at->type->name, "U8") == 0 &&
                scales != NULL && scales->at.dim_count == 3 &&
                strcmp(scales->at.type->name, "U8") == 0 && at->dims[1] % outputs == 0;
    for (uint32_t i = 0; fits && i < 3; i++) {
        fits = at->dims[i] == scales->at.dims[i] && at->dims[i] > 0;
    }
    if (!fits) {
        return flo_match_fail(match, err, "its blocks and scales are no MXFP4");
    }
    uint64_t rows = at->dims[1] / outputs;
    const uint64_t dims[] = {at->dims[2] * 32, rows, at->dims[0]};
    for (unsigned i = 0; i < outputs; i++) {
        char name[FLO_GGUF_NAME_BYTES_MAX + 1];
        struct flo_output *output;
        FLO_TRY(flo_match_name(match, i, name, err));
        FLO_TRY(flo_output_add(import, name, 3, dims, match, &output, err));
        output->value = FLO_VALUE_MXFP4;
        output->parts[0].scales = scales;
        output->parts[0].nest = (struct flo_nest){
            .first = i, .counts = {dims[2], rows}, .strides = {at->dims[1], outputs}};
    }
    return 0;
}

int flo_make_mxfp4(struct flo_import *import, const struct flo_import_match *match,
                   struct flo_err *err)
{
    return make_mxfp4(import, match, 1, err);
}

int flo_make_mxfp4_interleaved(struct flo_import *import, const struct flo_import_match *match,
                               struct flo_err *err)
{
    return make_mxfp4(import, match, 2, err);
}
