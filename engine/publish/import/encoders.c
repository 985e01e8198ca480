/* Encoders: BERT, XLM-R and ModernBERT, pooling, and heads of scores. */
#include <stdlib.h>
#include <string.h>

#include "engine/publish/import/family.h"

#define SMALL_BYTES_MAX (1u << 20)

/* ---- files of sentence-transformers ---- */

int flo_family_json(const struct flo_import *import, const char *name, char **text,
                    struct flo_tree *tree, struct flo_err *err)
{
    size_t bytes;
    FLO_TRY(flo_folder_read(&import->folder, name, SMALL_BYTES_MAX, text, &bytes, err));
    int rv = *text == NULL ? 0 : flo_folder_tree(*text, bytes, FLO_CONFIG_VALUES_MAX, tree, err);
    return rv < 0 ? flo_wrap(err, rv, "%s", name) : 0;
}

bool flo_module_is(const struct flo_tree_node *module, const char *end)
{
    const struct flo_tree_node *type = flo_tree_member(module, "type");
    size_t bytes = strlen(end);
    return type != NULL && type->kind == FLO_TREE_STRING && type->bytes >= bytes &&
           strcmp(type->text + type->bytes - bytes, end) == 0;
}

const char *flo_module_folder(const struct flo_tree_node *module)
{
    const struct flo_tree_node *path = flo_tree_member(module, "path");
    return path != NULL && path->kind == FLO_TREE_STRING && path->bytes > 0 && path->bytes < 64 &&
                   path->text[0] != '.' && strchr(path->text, '/') == NULL
               ? path->text
               : NULL;
}

static bool is_set(const struct flo_tree_node *tree, const char *key)
{
    return flo_tree_says(flo_tree_member(tree, key), true);
}

/* Kinds of pooling, by their number in a file. */
static const struct {
    const char *key, *mode;
} poolings[] = {
    {"", ""},
    {"pooling_mode_mean_tokens", "mean"},
    {"pooling_mode_cls_token", "cls"},
    {"pooling_mode_lasttoken", "lasttoken"},
};

static int set_pooling(struct flo_import *import, const char *folder, struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    FLO_CLEANUP(flo_tree_deinit) struct flo_tree tree = {0};
    char name[96];
    snprintf(name, sizeof(name), "%s/config.json", folder);
    FLO_TRY(flo_family_json(import, name, &text, &tree, err));
    for (uint32_t i = 1; text != NULL && i < FLO_COUNT(poolings); i++) {
        if (is_set(tree.nodes, poolings[i].key) ||
            flo_tree_is(flo_tree_member(tree.nodes, "pooling_mode"), poolings[i].mode)) {
            flo_keys_u32(&import->keys, ".pooling_type", i);
            return 0;
        }
    }
    return flo_folder_fail(err, "%s: the pooling is not mean, cls or lasttoken", name);
}

int flo_family_pooling(struct flo_import *import, struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    FLO_CLEANUP(flo_tree_deinit) struct flo_tree tree = {0};
    FLO_TRY(flo_family_json(import, "modules.json", &text, &tree, err));
    const struct flo_tree_node *module = text != NULL ? flo_tree_first(tree.nodes) : NULL;
    bool is_normal = module == NULL;
    for (; module != NULL; module = module->next) {
        is_normal = is_normal || flo_module_is(module, "Normalize");
        if (flo_module_is(module, "Pooling") && flo_module_folder(module) != NULL) {
            FLO_TRY(set_pooling(import, flo_module_folder(module), err));
        }
    }
    if (!is_normal && (import->family->flags & FLO_FAMILY_ENCODER) == 0) {
        return flo_folder_fail(err, "modules.json has no Normalize, and vectors of this family "
                                    "have length 1");
    }
    if (!is_normal) {
        flo_keys_bool(&import->keys, ".pooling_normalize", false);
    }
    return 0;
}

static int set_dense(struct flo_import *import, const char *folder, uint32_t number,
                     struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    FLO_CLEANUP(flo_tree_deinit) struct flo_tree tree = {0};
    char name[96], prefix[16];
    snprintf(prefix, sizeof(prefix), "dense_%u.", number);
    snprintf(name, sizeof(name), "%s/config.json", folder);
    FLO_TRY(flo_family_json(import, name, &text, &tree, err));
    static const char *const ends[][2] = {{"feat_in", "in_features"}, {"feat_out", "out_features"}};
    for (size_t i = 0; i < FLO_COUNT(ends); i++) {
        int64_t value;
        char key[48];
        const struct flo_tree_node *node = flo_tree_member(tree.nodes, ends[i][1]);
        if (text == NULL || !flo_tree_whole(node, 1, INT32_MAX, &value)) {
            return flo_folder_fail(err, "%s lacks %s", name, ends[i][1]);
        }
        snprintf(key, sizeof(key), ".dense_%u_%s", number, ends[i][0]);
        flo_keys_u32(&import->keys, key, (uint32_t)value);
    }
    snprintf(name, sizeof(name), "%s/model.safetensors", folder);
    return flo_folder_add(&import->folder, name, prefix, err);
}

int flo_family_dense(struct flo_import *import, struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    FLO_CLEANUP(flo_tree_deinit) struct flo_tree tree = {0};
    uint32_t number = 2;
    FLO_TRY(flo_family_json(import, "modules.json", &text, &tree, err));
    const struct flo_tree_node *module = text != NULL ? flo_tree_first(tree.nodes) : NULL;
    for (; module != NULL; module = module->next) {
        const char *folder = flo_module_folder(module);
        if (flo_module_is(module, "Dense") && folder != NULL && number <= 3) {
            FLO_TRY(set_dense(import, folder, number++, err));
        }
    }
    return 0;
}

/* ---- BERT and XLM-R ---- */

/* Returns the number of positions in front of the first one that a text has. */
static uint32_t positions_before(const struct flo_import *import)
{
    const struct flo_tree_node *name =
        flo_config_item(flo_config_find(&import->config, "architectures"), 0);
    bool is_roberta = name != NULL && name->kind == FLO_TREE_STRING &&
                      strncmp(name->text, "XLMRoberta", strlen("XLMRoberta")) == 0;
    double pad = flo_config_number(&import->config, "pad_token_id", -1);
    return is_roberta && pad >= 0 && pad < 1024 ? 1 + flo_config_whole(pad) : 0;
}

static int make_positions(struct flo_import *import, const struct flo_import_match *match,
                          struct flo_err *err)
{
    uint64_t before = positions_before(import);
    const struct flo_safetensor *at = &match->tensor->at;
    struct flo_output *output;
    if (at->dim_count != 2 || at->dims[0] <= before) {
        return flo_match_fail(match, err, "it has too few positions");
    }
    const uint64_t dims[] = {at->dims[1], at->dims[0] - before};
    FLO_TRY(flo_output_add(import, match->ours, 2, dims, match, &output, err));
    output->parts[0].nest.first = before;
    return 0;
}

static bool has_scores(const struct flo_import *import)
{
    return flo_folder_find(&import->folder, "classifier.weight") != NULL ||
           flo_folder_find(&import->folder, "classifier.out_proj.weight") != NULL;
}

/* The matrix behind the first token matters only to scores.  llama.cpp's
 * converter drops it, and so the scores of BERT are wrong there. */
static int make_pooler(struct flo_import *import, const struct flo_import_match *match,
                       struct flo_err *err)
{
    return has_scores(import) ? flo_make_plain(import, match, err) : 0;
}

#define LAYER "encoder.layer.#."
const struct flo_import_row flo_rows_bert[] = {
    {"embeddings.word_embeddings", "token_embd", NULL, NULL},
    {"embeddings.position_embeddings.weight", "position_embd.weight", make_positions, NULL},
    {"embeddings.token_type_embeddings", "token_types", NULL, NULL},
    {"embeddings.LayerNorm", "token_embd_norm", NULL, NULL},
    {"embeddings.position_ids", NULL, NULL, NULL},
    {LAYER "attention.self.query", "blk.#.attn_q", NULL, NULL},
    {LAYER "attention.self.key", "blk.#.attn_k", NULL, NULL},
    {LAYER "attention.self.value", "blk.#.attn_v", NULL, NULL},
    {LAYER "attention.output.dense", "blk.#.attn_output", NULL, NULL},
    {LAYER "attention.output.LayerNorm", "blk.#.attn_output_norm", NULL, NULL},
    {LAYER "intermediate.dense", "blk.#.ffn_up", NULL, NULL},
    {LAYER "output.dense", "blk.#.ffn_down", NULL, NULL},
    {LAYER "output.LayerNorm", "blk.#.layer_output_norm", NULL, NULL},
    {"pooler.dense", "cls", make_pooler, NULL},
    {"classifier.dense", "cls", NULL, NULL},
    {"classifier.out_proj", "cls.output", NULL, NULL},
    {"classifier", "cls.output", NULL, NULL},
    {"cls.predictions.*", NULL, NULL, NULL},
    {"cls.seq_relationship.*", NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL},
};

/* Sets the names of scores, but for the two that a trainer makes up. */
static int set_labels(struct flo_import *import, struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf items = {.bytes_max = SMALL_BYTES_MAX};
    const struct flo_tree_node *labels = flo_config_find(&import->config, "id2label");
    uint64_t count = 0;
    for (const struct flo_tree_node *node = flo_tree_first(labels); node != NULL;
         node = node->next) {
        if (node->kind != FLO_TREE_STRING) {
            return flo_folder_fail(err, "config.json: id2label has no texts");
        }
        flo_keys_item(&items, node->text, node->bytes);
        count++;
    }
    bool is_made_up = count == 2 && flo_tree_is(flo_tree_first(labels), "LABEL_0");
    if (count > 0 && !is_made_up && !items.failed) {
        flo_keys_array(&import->keys, ".classifier.output_labels", FLO_GGUF_STRING, count,
                       items.data, items.bytes);
    }
    return items.failed ? flo_folder_fail(err, "the names of scores are too long") : 0;
}

int flo_finish_bert(struct flo_import *import, struct flo_err *err)
{
    uint32_t types = 1, context = 0, before = positions_before(import);
    FLO_TRY(flo_config_u32(&import->config, "type_vocab_size", 1024, &types, err));
    FLO_TRY(flo_config_u32(&import->config, "max_position_embeddings", INT32_MAX, &context, err));
    flo_keys_u32(&import->keys, ".context_length", context > before ? context - before : 0);
    flo_keys_bool(&import->keys, ".attention.causal", false);
    flo_keys_u32(&import->keys, "tokenizer.ggml.token_type_count", types);
    return set_labels(import, err);
}

/* ---- ModernBERT ---- */

const struct flo_import_row flo_rows_modern_bert[] = {
    {"embeddings.tok_embeddings", "token_embd", NULL, NULL},
    {"embeddings.norm", "token_embd_norm", NULL, NULL},
    {"final_norm", "output_norm", NULL, NULL},
    {"layers.#.attn_norm", "blk.#.attn_norm", NULL, NULL},
    {"layers.#.attn.Wqkv", "blk.#.attn_qkv", NULL, NULL},
    {"layers.#.attn.Wo", "blk.#.attn_output", NULL, NULL},
    {"layers.#.mlp_norm", "blk.#.ffn_norm", NULL, NULL},
    {"layers.#.mlp.Wi", "blk.#.ffn_up", NULL, NULL},
    {"layers.#.mlp.Wo", "blk.#.ffn_down", NULL, NULL},
    {"head.dense", "cls", NULL, NULL},
    {"head.norm", "cls.norm", NULL, NULL},
    {"classifier", "cls.output", NULL, NULL},
    {"decoder.*", NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL},
};

int flo_finish_modern_bert(struct flo_import *import, struct flo_err *err)
{
    const struct flo_tree_node *pooling = flo_config_find(&import->config, "classifier_pooling");
    const struct flo_tree_node *act = flo_config_find(&import->config, "hidden_activation");
    struct flo_keys *keys = &import->keys;
    flo_keys_bool(keys, ".attention.causal", false);
    for (uint32_t i = 1; i < FLO_COUNT(poolings); i++) {
        if (flo_tree_is(pooling, poolings[i].mode)) {
            flo_keys_u32(keys, ".classifier.pooling_type", i);
        }
    }
    FLO_TRY(set_labels(import, err));
    FLO_TRY(flo_family_f32(import, ".attention.layer_norm_epsilon", "norm_eps", err));
    FLO_TRY(flo_family_u32(import, ".attention.sliding_window", "local_attention", err));
    FLO_TRY(flo_family_u32(import, ".attention.sliding_window_pattern",
                           "global_attn_every_n_layers", err));
    FLO_TRY(
        flo_family_layers(import, ".attention.sliding_window_pattern", "sliding_attention", err));
    flo_keys_text(keys, ".rope.scaling.type", "none");
    flo_keys_u32(keys, ".vocab_size", import->vocabulary);
    if (act != NULL && act->kind == FLO_TREE_STRING) {
        flo_keys_text(keys, ".hidden_activation", act->text);
    }
    return 0;
}
