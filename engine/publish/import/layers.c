/* Layers: which layers have windows, and which are rotated, where a folder says
 * otherwise than its family. */
#include <string.h>

#include "engine/publish/import/family.h"

/* Which layers of a family have windows if layer_types is absent. */
enum rule {
    RULE_ALL,
    RULE_FROM,     /* those from max_window_layers on */
    RULE_UNTURNED, /* those that are not rotated */
    RULE_PERIOD,   /* all but the last of each period */
};

static const struct family {
    const char *arch;
    enum rule rule;
    bool is_asked;   /* use_sliding_window must be true */
    bool has_types;  /* the class reads layer_types */
    uint32_t period; /* that of the engine, whose layers need no list */
} rules[] = {
    {"llama", RULE_ALL, false, false, 0},      {"phi3", RULE_ALL, false, false, 0},
    {"mistral3", RULE_ALL, false, false, 0},   {"qwen3moe", RULE_ALL, true, false, 0},
    {"qwen2", RULE_FROM, true, true, 0},       {"qwen3", RULE_FROM, true, true, 0},
    {"smollm3", RULE_UNTURNED, true, true, 0}, {"gemma2", RULE_PERIOD, false, true, 2},
    {"gemma3", RULE_PERIOD, false, true, 6},   {"gemma-embedding", RULE_PERIOD, false, true, 6},
    {"gpt-oss", RULE_PERIOD, false, true, 2},
};

/* ---- rotation ---- */

static bool is_rotated(const struct flo_import *import, uint32_t layer)
{
    const struct flo_tree_node *list = flo_config_find(&import->config, "no_rope_layers");
    const struct flo_tree_node *node = flo_config_item(list, layer);
    uint32_t interval =
        flo_config_whole(flo_config_number(&import->config, "no_rope_layer_interval", 4));
    int64_t value;
    if (node == NULL) {
        return interval == 0 || (layer + 1) % interval != 0;
    }
    return flo_tree_whole(node, 1, 1, &value);
}

int flo_finish_smollm(struct flo_import *import, struct flo_err *err)
{
    uint8_t items[FLO_IMPORT_LAYERS_MAX];
    bool is_usual = true;
    for (uint32_t i = 0; i < import->layers; i++) {
        items[i] = is_rotated(import, i) ? 1 : 0;
        is_usual = is_usual && items[i] == (i % 4 != 3 ? 1 : 0);
    }
    if (!is_usual) {
        flo_keys_array(&import->keys, ".attention.rope_pattern", FLO_GGUF_BOOL, import->layers,
                       items, import->layers);
    }
    return flo_family_llama3(import, err);
}

/* ---- windows ---- */

static const struct family *find_rule(const struct flo_import *import)
{
    const struct flo_tree_node *name =
        flo_config_item(flo_config_find(&import->config, "architectures"), 0);
    for (size_t i = 0; i < FLO_COUNT(rules); i++) {
        if (strcmp(rules[i].arch, import->family->arch) == 0) {
            return i == 0 && !flo_tree_is(name, "MistralForCausalLM") ? NULL : &rules[i];
        }
    }
    return NULL;
}

static bool is_local(const struct flo_import *import, const struct family *family, uint32_t layer)
{
    const struct flo_config *config = &import->config;
    const struct flo_tree_node *types =
        family->has_types ? flo_config_find(config, "layer_types") : NULL;
    uint32_t period = flo_config_whole(
        family->period != 6
            ? family->period
            : flo_config_number(config, "sliding_window_pattern _sliding_window_pattern", 6));
    if (types != NULL) {
        return flo_tree_is(flo_config_item(types, layer), "sliding_attention");
    }
    switch (family->rule) {
    case RULE_FROM:
        return layer >= flo_config_number(config, "max_window_layers", 28);
    case RULE_UNTURNED:
        return !is_rotated(import, layer);
    case RULE_PERIOD:
        return period == 0 || (layer + 1) % period != 0;
    default:
        return true;
    }
}

int flo_family_windows(struct flo_import *import, struct flo_err *err)
{
    const struct family *family = find_rule(import);
    uint8_t items[FLO_IMPORT_LAYERS_MAX];
    uint32_t window = 0, usual = 0;
    FLO_TRY(family != NULL
                ? flo_config_u32(&import->config, "sliding_window", INT32_MAX, &window, err)
                : 0);
    if (window == 0 ||
        (family->is_asked && !flo_config_is(&import->config, "use_sliding_window"))) {
        return 0;
    }
    for (uint32_t i = 0; i < import->layers; i++) {
        items[i] = is_local(import, family, i) ? 1 : 0;
        bool is_usual = family->period > 0 && (i + 1) % family->period != 0;
        usual += items[i] == (is_usual ? 1 : 0) ? 1 : 0;
    }
    if (usual < import->layers) {
        flo_keys_u32(&import->keys, ".attention.sliding_window", window);
        flo_keys_array(&import->keys, ".attention.sliding_window_pattern", FLO_GGUF_BOOL,
                       import->layers, items, import->layers);
    }
    return 0;
}
