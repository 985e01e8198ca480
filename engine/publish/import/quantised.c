#include "engine/publish/import/quantised.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/quant/quant.h"
#include "engine/publish/import/packed.h"

#define FILE_BYTES_MAX (1u << 20)
#define FILE_VALUES_MAX (1u << 16)

/* Methods, in the words of config.json and as they are shown. */
static const char *const methods[][2] = {
    {"fp8", "FP8"},
    {"fbgemm_fp8", "FP8"},
    {"modelopt", "ModelOpt FP8"},
    {"compressed-tensors", "compressed-tensors"},
    {"gptq", "GPTQ"},
    {"awq", "AWQ"},
    {"bitsandbytes", "bitsandbytes"},
};

/* Tensors of codes, by the ends of their names. */
static const struct kind {
    const char *method, *end, *type;
    flo_unpack_plan *plan;
} kinds[] = {
    {"fp8", ".weight", "F8_E4M3", flo_unpack_bytes},
    {"fbgemm_fp8", ".weight", "F8_E4M3", flo_unpack_bytes},
    {"modelopt", ".weight", "F8_E4M3", flo_unpack_bytes},
    {"compressed-tensors", ".weight", "F8_E4M3", flo_unpack_bytes},
    {"compressed-tensors", ".weight", "I8", flo_unpack_bytes},
    {"compressed-tensors", ".weight_packed", "I32", flo_unpack_words},
    {"gptq", ".qweight", "I32", flo_unpack_gptq},
    {"awq", ".qweight", "I32", flo_unpack_awq},
    {"bitsandbytes", ".weight", "U8", flo_unpack_halves},
    {"bitsandbytes", ".weight", "I8", flo_unpack_bytes},
};

/* Scales of activations and of the cache: weights do not depend on them. */
static const char *const unused[] = {
    ".input_scale",      ".input_zero_point", ".input_global_scale",
    ".activation_scale", ".output_scale",     ".output_zero_point",
    ".k_scale",          ".v_scale",          ".q_scale",
};

/* ---- the method ---- */

static int refuse(const char *method, const char *what, struct flo_err *err)
{
    char shown[40];
    flo_text_clean(method, strlen(method), shown, sizeof(shown));
    int rv = flo_folder_fail(err, "its weights are already quantised (%s%s), and that is not read",
                             shown, what);
    flo_err_fix(err, "take the folder with the original weights; or serve this one by a runtime "
                     "that reads it (--runtime, docs/runtimes.md)");
    return rv;
}

/* Tells whether a setting is absent, or one of some words. */
static bool is_one(const struct flo_tree_node *settings, const char *name, const char *words)
{
    const struct flo_tree_node *node = flo_tree_member(settings, name);
    if (node == NULL || node->kind == FLO_TREE_NULL) {
        return true;
    }
    const char *at =
        node->kind == FLO_TREE_STRING && node->bytes > 0 ? strstr(words, node->text) : NULL;
    return at != NULL && (at == words || at[-1] == ' ') &&
           (at[node->bytes] == ' ' || at[node->bytes] == '\0');
}

/* Formats of methods that are read: a setting, and its words. */
static const char *const formats[][3] = {
    {"gptq", "checkpoint_format", "gptq gptq_v2"},
    {"awq", "version", "gemm GEMM"},
    {"fp8", "fmt", "e4m3 float8_e4m3fn"},
    {"modelopt", "quant_algo", "FP8"},
    {"compressed-tensors", "format",
     "pack-quantized int-quantized float-quantized naive-quantized mixed-precision"},
};

static int check_format(const struct flo_quantised *quantised, struct flo_err *err)
{
    const struct flo_tree_node *settings = quantised->settings;
    for (size_t i = 0; i < FLO_COUNT(formats); i++) {
        if (strcmp(formats[i][0], quantised->key) == 0 &&
            !is_one(settings, formats[i][1], formats[i][2])) {
            const struct flo_tree_node *node = flo_tree_member(settings, formats[i][1]);
            char what[80];
            snprintf(what, sizeof(what), ", %s \"%.40s\"", formats[i][1],
                     node->kind == FLO_TREE_STRING ? node->text : "?");
            return refuse(quantised->method, what, err);
        }
    }
    if (flo_tree_says(flo_tree_member(settings, "is_marlin_format"), true)) {
        return refuse(quantised->method, ", Marlin", err);
    }
    if (flo_tree_says(flo_tree_member(settings, "zero_point"), false)) {
        return refuse(quantised->method, " without zero points", err);
    }
    if (!is_one(flo_tree_member(settings, "sparsity_config"), "format", "dense")) {
        return refuse(quantised->method, ", sparse", err);
    }
    return flo_tree_first(flo_tree_member(settings, "transform_config")) == NULL
               ? 0
               : refuse(quantised->method, ", with rotations", err);
}

/* Finds how many rows and columns share a scale. */
static void read_block(struct flo_quantised *out)
{
    const struct flo_tree_node *block = flo_tree_member(out->settings, "weight_block_size");
    const struct flo_tree_node *group =
        flo_tree_first(flo_tree_member(out->settings, "config_groups"));
    for (; group != NULL && flo_tree_first(block) == NULL; group = group->next) {
        block = flo_tree_member(flo_tree_member(group, "weights"), "block_structure");
    }
    for (uint32_t i = 0; i < 2; i++) {
        int64_t size = 0;
        (void)flo_tree_whole(flo_config_item(block, i), 1, INT32_MAX, &size);
        out->block[i] = (uint32_t)size;
    }
}

/* Reads the file that a tool leaves in the folder, if config.json says
 * nothing. */
static int read_file(struct flo_quantised *out, const struct flo_folder *folder,
                     const char **method, struct flo_err *err)
{
    static const char *const files[][2] = {{"quantize_config.json", "gptq"},
                                           {"quant_config.json", "awq"},
                                           {"hf_quant_config.json", "modelopt"}};
    for (size_t i = 0; i < FLO_COUNT(files) && out->settings == NULL; i++) {
        size_t bytes;
        FLO_TRY(flo_folder_read(folder, files[i][0], FILE_BYTES_MAX, &out->text, &bytes, err));
        if (out->text != NULL) {
            FLO_TRY(flo_folder_tree(out->text, bytes, FILE_VALUES_MAX, &out->tree, err));
            const struct flo_tree_node *inner = flo_tree_member(out->tree.nodes, "quantization");
            out->settings = inner != NULL ? inner : out->tree.nodes;
            *method = files[i][1];
        }
    }
    return 0;
}

int flo_quantised_read(struct flo_quantised *out, const struct flo_folder *folder,
                       const struct flo_config *config, struct flo_err *err)
{
    const char *method = NULL;
    out->settings = flo_config_find(config, "quantization_config compression_config");
    const struct flo_tree_node *node = flo_tree_member(out->settings, "quant_method");
    FLO_TRY(read_file(out, folder, &method, err));
    if (out->settings == NULL || flo_tree_is(node, "mxfp4")) {
        return 0; /* makers of experts read MXFP4 */
    }
    if (method == NULL) {
        method = node != NULL && node->kind == FLO_TREE_STRING ? node->text : "an unknown method";
    }
    for (size_t i = 0; i < FLO_COUNT(methods); i++) {
        if (strcmp(methods[i][0], method) == 0) {
            out->key = methods[i][0];
            out->method = methods[i][1];
        }
    }
    if (out->method == NULL) {
        return refuse(method, "", err);
    }
    node = flo_tree_member(out->settings, "checkpoint_format");
    out->has_zeros_less_1 = !flo_tree_is(node, "gptq_v2");
    read_block(out);
    return check_format(out, err);
}

void flo_quantised_deinit(struct flo_quantised *quantised)
{
    flo_tree_deinit(&quantised->tree);
    free(quantised->text);
    *quantised = (struct flo_quantised){0};
}

/* ---- tensors ---- */

static const struct kind *kind_of(const struct flo_quantised *quantised,
                                  const struct flo_folder_tensor *tensor)
{
    for (size_t i = 0; i < FLO_COUNT(kinds); i++) {
        if (strcmp(kinds[i].method, quantised->key) == 0 &&
            strcmp(kinds[i].type, tensor->at.type->name) == 0 &&
            flo_text_ends(tensor->at.name, kinds[i].end)) {
            return &kinds[i];
        }
    }
    return NULL;
}

static int check_sizes(const struct flo_import_packed *packed, struct flo_err *err)
{
    if (packed->rows == 0 || packed->width == 0 || packed->width > FLO_PACKED_WIDTH_MAX) {
        return flo_folder_fail(err, "tensor '%.64s' has rows of %" PRIu64 " values", packed->name,
                               packed->width);
    }
    uint64_t rows = packed->rows / packed->row_block + 1;
    return rows <= FLO_PACKED_SCALES_MAX / packed->groups
               ? 0
               : flo_folder_fail(err, "tensor '%.64s' has more than %u scales", packed->name,
                                 FLO_PACKED_SCALES_MAX);
}

/* Changes a tensor of codes to the matrix that it stands for. */
static void stand_for(struct flo_folder_tensor *tensor, struct flo_import_packed *packed,
                      uint32_t type)
{
    packed->codes = *tensor;
    tensor->packed = packed;
    tensor->at.type = flo_quant_type(type);
    tensor->at.dim_count = 2;
    tensor->at.dims[0] = packed->rows;
    tensor->at.dims[1] = packed->width;
    tensor->values = packed->rows * packed->width;
    tensor->at.bytes = flo_quant_bytes(tensor->at.type, (size_t)tensor->values);
}

static int unpack_tensor(struct flo_quantised *quantised, struct flo_folder *folder,
                         struct flo_folder_tensor *tensor, uint32_t type, struct flo_err *err)
{
    const struct kind *kind = kind_of(quantised, tensor);
    if (kind == NULL) {
        return 0;
    }
    size_t base = strlen(tensor->at.name) - strlen(kind->end);
    struct flo_import_packed *packed = calloc(1, sizeof(*packed) + base + sizeof(".weight"));
    if (packed == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "a quantised matrix");
    }
    memcpy(packed->name, tensor->at.name, base);
    memcpy(packed->name + base, ".weight", sizeof(".weight"));
    packed->factor = 1;
    struct flo_unpack unpack = {quantised, folder, tensor, base, packed};
    int rv = kind->plan(&unpack, err);
    if (rv == 0) {
        rv = check_sizes(packed, err);
    }
    if (rv < 0) {
        free(packed);
        return rv;
    }
    quantised->bits = packed->bits > quantised->bits ? packed->bits : quantised->bits;
    quantised->count++;
    stand_for(tensor, packed, type);
    return 0;
}

int flo_quantised_unpack(struct flo_quantised *quantised, struct flo_folder *folder, uint32_t type,
                         struct flo_err *err)
{
    for (size_t i = 0; quantised->method != NULL && i < folder->count; i++) {
        struct flo_folder_tensor *tensor = &folder->tensors[i];
        for (size_t u = 0; u < FLO_COUNT(unused); u++) {
            tensor->is_part = tensor->is_part || flo_text_ends(tensor->at.name, unused[u]);
        }
        FLO_TRY(tensor->is_part ? 0 : unpack_tensor(quantised, folder, tensor, type, err));
    }
    if (quantised->method != NULL && quantised->count == 0) {
        int rv = flo_folder_fail(err,
                                 "config.json says that its weights are quantised (%s), and "
                                 "none of them is",
                                 quantised->method);
        flo_err_fix(err, "take quantization_config out of config.json if the weights are the "
                         "original ones");
        return rv;
    }
    return 0;
}
