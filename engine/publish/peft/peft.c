/* PEFT: converts adapters as trainers write them.  Trainers rotate the two
 * halves of a head against each other, files of the llama family rotate
 * adjacent pairs.  So a base model of this family has the rows of its query and
 * key matrices in another order.  The rows of the adapter's B matrices are
 * reordered in the same way. */
#include "engine/publish/peft/peft.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/model.h>

#include "base/tree/tree.h"
#include "engine/model/file/arch.h"

#define CONFIG_VALUES_MAX 65536

/* ---- adapter_config.json ---- */

/* Settings of extensions.  In plain LoRA they are false, null, empty or
 * "none". */
static const char *const extras[] = {
    "use_dora",  "fan_in_fan_out",          "modules_to_save",
    "lora_bias", "alpha_pattern",           "layer_replication",
    "bias",      "trainable_token_indices", "target_parameters",
};

static bool is_plain(const struct flo_tree_node *node)
{
    if (node == NULL) {
        return true;
    }
    switch (node->kind) {
    case FLO_TREE_NULL:
        return true;
    case FLO_TREE_BOOLEAN:
        return node->text[0] == 'f';
    case FLO_TREE_STRING:
        return flo_tree_is(node, "none");
    case FLO_TREE_ARRAY:
    case FLO_TREE_OBJECT:
        return node->first == NULL;
    default:
        return false;
    }
}

/* Reads a list of modules.  An expression names what it likes. */
static int read_targets(const struct flo_tree_node *list, struct flo_peft_config *out,
                        struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};
    if (list == NULL || list->kind != FLO_TREE_ARRAY) {
        return 0;
    }
    flo_tree_print(list, &text);
    return !text.failed && snprintf(out->targets, sizeof(out->targets), "%.*s", (int)text.bytes,
                                    text.data) < (int)sizeof(out->targets)
               ? 0
               : flo_fail(err, FLO_E_MODEL_ADAPTER, "\"target_modules\" has more than %d bytes",
                          FLO_PEFT_TARGETS_BYTES);
}

int flo_peft_tensor_named(const struct flo_peft_config *config, const char *name,
                          struct flo_err *err)
{
    const char *end = strstr(name, ".lora_");
    char quoted[256];
    for (const char *at = name; config->targets[0] != '\0' && end != NULL; at++) {
        snprintf(quoted, sizeof(quoted), "\"%.*s\"", (int)(end - at), at);
        if (strstr(config->targets, quoted) != NULL) {
            return 0;
        }
        at = memchr(at, '.', (size_t)(end - at));
        if (at == NULL) {
            return flo_fail(err, FLO_E_MODEL_ADAPTER,
                            "'%.96s' is of no module that \"target_modules\" names", name);
        }
    }
    return 0;
}

static int read_config(const struct flo_tree_node *root, struct flo_peft_config *out,
                       struct flo_err *err)
{
    bool is_rooted = !is_plain(flo_tree_member(root, "use_rslora"));
    int64_t rank;
    double alpha = 0;
    if (!flo_tree_is(flo_tree_member(root, "peft_type"), "LORA")) {
        return flo_fail(err, FLO_E_MODEL_ADAPTER,
                        "peft_type is not \"LORA\"; no other kind is read");
    }
    for (size_t i = 0; i < FLO_COUNT(extras); i++) {
        if (!is_plain(flo_tree_member(root, extras[i]))) {
            return flo_fail(err, FLO_E_NOT_BUILT, "an adapter with \"%s\" is not built yet",
                            extras[i]);
        }
    }
    if (is_rooted && !is_plain(flo_tree_member(root, "rank_pattern"))) {
        return flo_fail(err, FLO_E_NOT_BUILT, "use_rslora with several ranks is not built yet");
    }
    if (!flo_tree_whole(flo_tree_member(root, "r"), 1, FLO_PEFT_RANK_MAX, &rank)) {
        return flo_fail(err, FLO_E_MODEL_ADAPTER, "\"r\" is no rank from 1 to %d",
                        FLO_PEFT_RANK_MAX);
    }
    if (!flo_tree_number(flo_tree_member(root, "lora_alpha"), &alpha)) {
        return flo_fail(err, FLO_E_MODEL_ADAPTER, "\"lora_alpha\" is missing");
    }
    /* With rslora the factor alpha / sqrt(r) is written as alpha' / r. */
    out->alpha = (float)(is_rooted ? alpha * sqrt((double)rank) : alpha);
    out->rank = (uint32_t)rank;
    return read_targets(flo_tree_member(root, "target_modules"), out, err);
}

int flo_peft_config_read(char *text, size_t bytes, struct flo_peft_config *out, struct flo_err *err)
{
    FLO_CLEANUP(flo_tree_deinit) struct flo_tree tree = {0};
    size_t bad = 0;
    int rv = flo_tree_read(&tree, text, bytes, CONFIG_VALUES_MAX, 0, &bad, err);
    if (rv == FLO_E_INFER_PARAM) {
        rv = flo_fail(err, FLO_E_MODEL_ADAPTER, "no JSON at byte %zu", bad);
    } else if (rv == 0) {
        rv = read_config(tree.nodes, out, err);
    }
    return rv;
}

/* ---- names ---- */

/* Names of a layer's matrices: in a trainer's adapter, and in a GGUF file. */
static const struct {
    const char *theirs, *ours;
} modules[] = {
    {"self_attn.q_proj", "attn_q"},      {"self_attn.k_proj", "attn_k"},
    {"self_attn.v_proj", "attn_v"},      {"self_attn.qkv_proj", "attn_qkv"},
    {"self_attn.o_proj", "attn_output"}, {"self_attn.dense", "attn_output"},
    {"mlp.gate_proj", "ffn_gate"},       {"mlp.up_proj", "ffn_up"},
    {"mlp.gate_up_proj", "ffn_up"},      {"mlp.fc1", "ffn_up"},
    {"mlp.down_proj", "ffn_down"},       {"mlp.fc2", "ffn_down"},
};

static bool cut_front(const char **text, const char *front)
{
    size_t bytes = strlen(front);
    if (strncmp(*text, front, bytes) != 0) {
        return false;
    }
    *text += bytes;
    return true;
}

static bool is_tail(const char *text, const char *tail)
{
    return strcmp(text, tail) == 0;
}

/* MODULE.lora_A.weight, or MODULE.lora_A.default.weight. */
static bool split_half(const char *name, size_t *module_bytes, bool *is_a)
{
    const char *half = strstr(name, ".lora_");
    if (half == NULL || (half[6] != 'A' && half[6] != 'B')) {
        return false;
    }
    *is_a = half[6] == 'A';
    *module_bytes = (size_t)(half - name);
    return is_tail(half + 7, ".weight") || is_tail(half + 7, ".default.weight");
}

static const struct flo_tensor_spec *find_spec(const struct flo_arch *arch, const char *name)
{
    for (size_t i = 0; i < flo_layer_tensors.count; i++) {
        const struct flo_tensor_spec *spec = &flo_layer_tensors.specs[i];
        if (flo_arch_need(arch, spec) != FLO_NO_TENSOR && strcmp(spec->name, name) == 0) {
            return spec;
        }
    }
    return NULL;
}

/* Converts a name such as "model.layers.3.self_attn.q_proj" to
 * "blk.3.attn_q.weight".  Returns false if the architecture has no such
 * tensor. */
static bool base_name(const struct flo_arch *arch, const char *module, size_t bytes, char *out,
                      size_t out_bytes)
{
    char spec[24];
    const char *end = module + bytes;
    (void)cut_front(&module, "base_model.model.");
    (void)cut_front(&module, "model.");
    if (!cut_front(&module, "layers.")) {
        return false;
    }
    char *rest;
    unsigned long layer = strtoul(module, &rest, 10);
    if (rest == module || *rest != '.' || layer > 9999 || rest >= end) {
        return false;
    }
    rest++;
    for (size_t i = 0; i < FLO_COUNT(modules); i++) {
        size_t most = strlen(modules[i].theirs);
        if ((size_t)(end - rest) != most || memcmp(rest, modules[i].theirs, most) != 0) {
            continue;
        }
        snprintf(spec, sizeof(spec), "%s.weight", modules[i].ours);
        snprintf(out, out_bytes, "blk.%u.%s", (unsigned)layer, spec);
        return find_spec(arch, spec) != NULL;
    }
    return false;
}

/* ---- rows ---- */

/* Checks that the tensor has plain floats, and at least one value. */
static int check_matrix(const struct flo_safetensor *tensor, struct flo_err *err)
{
    if (tensor->type->id == FLO_SAFETENSORS_NO_ID) {
        return flo_fail(err, FLO_E_NOT_BUILT, "'%.64s' is %s, and no F32, F16 or BF16",
                        tensor->name, tensor->type->name);
    }
    if (tensor->dim_count != 2 || tensor->bytes == 0) {
        return flo_fail(err, FLO_E_MODEL_ADAPTER, "'%.64s': its shape is no matrix's",
                        tensor->name);
    }
    return 0;
}

static int find_heads(const struct flo_gguf *base, const struct flo_arch *arch, bool is_key,
                      uint32_t *heads, struct flo_err *err)
{
    char key[64];
    snprintf(key, sizeof(key), "%s.attention.head_count", flo_arch_name(arch));
    *heads = 0;
    FLO_TRY(flo_gguf_u32(base, key, heads, err));
    if (is_key) {
        snprintf(key, sizeof(key), "%s.attention.head_count_kv", flo_arch_name(arch));
        FLO_TRY(flo_gguf_u32(base, key, heads, err));
    }
    return 0;
}

static int find_order(const struct flo_safetensor *tensor, const struct flo_gguf *base,
                      const struct flo_arch *arch, const char *name, uint64_t *head_rows,
                      struct flo_err *err)
{
    bool is_key = strstr(name, ".attn_k.weight") != NULL;
    uint32_t heads;
    *head_rows = 0;
    if (arch->rotation != FLO_ROTATE_PAIRS) {
        return 0;
    }
    if (strstr(name, ".attn_qkv.weight") != NULL) {
        return flo_fail(err, FLO_E_NOT_BUILT, "an adapter of '%s' is not built for this family",
                        name);
    }
    if (!is_key && strstr(name, ".attn_q.weight") == NULL) {
        return 0;
    }
    FLO_TRY(find_heads(base, arch, is_key, &heads, err));
    if (heads == 0 || tensor->dims[0] % ((uint64_t)heads * 2) != 0) {
        return flo_fail(err, FLO_E_MODEL_ADAPTER,
                        "'%.64s' has %" PRIu64 " rows; the base has %" PRIu32 " heads there",
                        tensor->name, tensor->dims[0], heads);
    }
    *head_rows = tensor->dims[0] / heads;
    return 0;
}

/* Families whose files have weights in another order, or scaled, in a way that
 * only the base's folder tells. */
static const char *const moved[] = {"ernie4_5", "falcon-h1"};

static int need_folder(struct flo_err *err, int rv)
{
    (void)flo_err_fix(err, "name the base's folder as well: --base DIR");
    return rv;
}

static int check_family(const struct flo_arch *arch, struct flo_err *err)
{
    for (size_t i = 0; i < FLO_COUNT(moved); i++) {
        if (strcmp(moved[i], flo_arch_name(arch)) == 0) {
            return need_folder(err, flo_fail(err, FLO_E_MODEL_ADAPTER,
                                             "the file alone does not tell how weights of '%s' "
                                             "were moved",
                                             moved[i]));
        }
    }
    return 0;
}

int flo_peft_tensor_map(const struct flo_safetensor *tensor, const struct flo_gguf *base,
                        struct flo_peft_tensor *out, struct flo_err *err)
{
    const struct flo_arch *arch;
    struct flo_gguf_tensor *head = &out->head;
    char name[FLO_GGUF_NAME_BYTES_MAX - 8]; /* leaves room for the ending ".lora_a" or ".lora_b" */
    size_t module_bytes;
    bool is_a;
    FLO_TRY(check_matrix(tensor, err));
    FLO_TRY(flo_arch_read(base, &arch, err));
    FLO_TRY(check_family(arch, err));
    if (!split_half(tensor->name, &module_bytes, &is_a)) {
        return flo_fail(err, FLO_E_MODEL_ADAPTER, "'%.96s' is no half of a LoRA pair",
                        tensor->name);
    }
    if (!base_name(arch, tensor->name, module_bytes, name, sizeof(name)) ||
        flo_gguf_tensor_find(base, name) == NULL) {
        return need_folder(err, flo_fail(err, FLO_E_MODEL_ADAPTER,
                                         "'%.96s': the base (%s) has no such tensor", tensor->name,
                                         flo_arch_name(arch)));
    }
    uint64_t rank = is_a ? tensor->dims[0] : tensor->dims[1];
    if (rank > FLO_PEFT_RANK_MAX) {
        return flo_fail(err, FLO_E_MODEL_ADAPTER, "'%.96s' has rank %" PRIu64 ", at most %d",
                        tensor->name, rank, FLO_PEFT_RANK_MAX);
    }
    *out = (struct flo_peft_tensor){0};
    snprintf(head->name, sizeof(head->name), "%s.lora_%c", name, is_a ? 'a' : 'b');
    head->dim_count = 2;
    head->type = tensor->type->id;
    head->dims[0] = tensor->dims[1];
    head->dims[1] = tensor->dims[0];
    head->dims[2] = head->dims[3] = 1;
    head->values = tensor->dims[0] * tensor->dims[1];
    return is_a ? 0 : find_order(tensor, base, arch, name, &out->head_rows, err);
}

void flo_peft_tensor_rows(const struct flo_safetensor *tensor, const struct flo_peft_tensor *mapped,
                          uint8_t *out)
{
    size_t bytes = (size_t)(tensor->bytes / tensor->dims[0]);
    uint64_t head = mapped->head_rows;
    if (head == 0) {
        memcpy(out, tensor->data, (size_t)tensor->bytes);
        return;
    }
    for (uint64_t row = 0; row < tensor->dims[0]; row++) {
        /* number of the row in its head, in the order of the GGUF file */
        uint64_t in_head = row % head;
        uint64_t from = row - in_head + in_head % 2 * (head / 2) + in_head / 2;
        memcpy(out + row * bytes, tensor->data + from * bytes, bytes);
    }
}
