/* Settings: keys and tensors that families make of config.json. */
#include <math.h>
#include <string.h>

#include "engine/publish/import/family.h"

#define PI 3.14159265358979323846
#define NUMBER_MAX 1e12 /* largest float setting */
#define ROPE_MAX 1024   /* values of a head */
#define UNTURNED 1e30F  /* divides a frequency so far that the pair stands still */

int flo_family_u32(struct flo_import *import, const char *key, const char *names,
                   struct flo_err *err)
{
    uint32_t value = 0;
    if (flo_config_find(&import->config, names) == NULL) {
        return 0;
    }
    FLO_TRY(flo_config_u32(&import->config, names, INT32_MAX, &value, err));
    flo_keys_u32(&import->keys, key, value);
    return 0;
}

int flo_family_f32(struct flo_import *import, const char *key, const char *names,
                   struct flo_err *err)
{
    const struct flo_tree_node *node = flo_config_find(&import->config, names);
    double value;
    if (node == NULL) {
        return 0;
    }
    if (!flo_tree_number(node, &value) || !(fabs(value) <= NUMBER_MAX)) {
        return flo_folder_fail(err, "config.json: \"%s\" is no number of at most %g", node->key,
                               NUMBER_MAX);
    }
    flo_keys_f32(&import->keys, key, value);
    return 0;
}

/* Checks one item of layer_types. */
static int check_layer(const struct flo_tree_node *node, uint32_t index,
                       const struct flo_import *import, struct flo_err *err)
{
    static const char *const types[] = {
        "full_attention", "sliding_attention", "linear_attention", "attention", "mamba", "conv"};
    if (node == NULL) {
        return flo_folder_fail(err, "layer_types has %u items for %u layers", index,
                               import->layers);
    }
    for (size_t i = 0; i < FLO_COUNT(types); i++) {
        if (flo_tree_is(node, types[i])) {
            return 0;
        }
    }
    return flo_folder_fail(err, "config.json: the type of layer %u is not known", index);
}

int flo_family_layers(struct flo_import *import, const char *key, const char *type,
                      struct flo_err *err)
{
    uint8_t items[FLO_IMPORT_LAYERS_MAX];
    const struct flo_tree_node *types = flo_config_find(&import->config, "layer_types");
    const struct flo_tree_node *node = flo_tree_first(types);
    if (types == NULL) {
        return 0;
    }
    for (uint32_t i = 0; i < import->layers; i++, node = node->next) {
        FLO_TRY(check_layer(node, i, import, err));
        items[i] = flo_tree_is(node, type) ? 1 : 0;
    }
    flo_keys_array(&import->keys, key, FLO_GGUF_BOOL, import->layers, items, import->layers);
    return 0;
}

int flo_family_numbers(struct flo_import *import, const char *key, const char *type, uint32_t value,
                       uint32_t other, struct flo_err *err)
{
    uint8_t items[FLO_IMPORT_LAYERS_MAX * 4];
    const struct flo_tree_node *node =
        flo_tree_first(flo_config_find(&import->config, "layer_types"));
    for (uint32_t i = 0; i < import->layers; i++, node = node->next) {
        FLO_TRY(check_layer(node, i, import, err));
        flo_put_u32(items + 4 * i, flo_tree_is(node, type) ? value : other);
    }
    flo_keys_array(&import->keys, key, FLO_GGUF_I32, import->layers, items,
                   (size_t)import->layers * 4);
    return 0;
}

/* ---- factors of Llama 3 ---- */

/* Long waves are slowed down by `factor`, short ones stay, and those between
 * get a mixture. */
static float llama3_factor(const struct flo_config *config, double wave, double factor)
{
    double low = flo_config_rope_number(config, false, "low_freq_factor", 1);
    double high = flo_config_rope_number(config, false, "high_freq_factor", 4);
    double old = flo_config_rope_number(config, false, "original_max_position_embeddings", 8192);
    if (wave < old / high) {
        return 1;
    }
    if (wave > old / low) {
        return (float)factor;
    }
    double smooth = (old / wave - low) / (high - low);
    return (float)(1 / ((1 - smooth) / factor + smooth));
}

int flo_family_llama3(struct flo_import *import, struct flo_err *err)
{
    float factors[ROPE_MAX / 2];
    uint32_t size = import->head_dim;
    if (strcmp(flo_config_rope_kind(&import->config), "llama3") != 0) {
        return 0;
    }
    double base = flo_config_rope_base(&import->config, false);
    double factor = flo_config_rope_number(&import->config, false, "factor", 0);
    if (size == 0 || size > ROPE_MAX || size % 2 != 0 || !(factor > 0) || !(base > 0)) {
        return flo_folder_fail(err, "config.json: a wrong scaling of the rotation");
    }
    for (uint32_t i = 0; i < size / 2; i++) {
        float frequency = 1.0F / powf((float)base, (float)(2 * i) / (float)size);
        factors[i] = llama3_factor(&import->config, (double)((float)(2 * PI) / frequency), factor);
    }
    return flo_output_give(import, "rope_freqs.weight", factors, size / 2, err);
}

/* ---- proportional rotation ---- */

int flo_family_proportional(struct flo_import *import, uint32_t size, double part,
                            struct flo_err *err)
{
    float factors[ROPE_MAX / 2];
    if (size < 2 || size > ROPE_MAX || !(part >= 0 && part <= 1)) {
        return flo_folder_fail(err, "config.json: a wrong part of rotated values");
    }
    uint32_t turned = (uint32_t)(size * part / 2);
    for (uint32_t i = 0; i < size / 2; i++) {
        factors[i] = i < turned ? 1 : UNTURNED;
    }
    return flo_output_give(import, "rope_freqs.weight", factors, size / 2, err);
}
