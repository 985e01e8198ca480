/* The rules of the mixes. */
#include "engine/tools/mix.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/quant/quant.h"

enum mix_index {
    F32,
    F16,
    BF16,
    Q8_0,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    IQ4_NL,
    IQ4_XS,
    Q2_K,
    Q3_K_S,
    Q3_K_M,
    Q3_K_L,
    Q4_K_S,
    Q4_K_M,
    Q5_K_S,
    Q5_K_M,
    Q6_K,
    MIX_COUNT
};

static const struct flo_mix mixes[MIX_COUNT] = {
    [F32] = {"F32", FLO_QUANT_F32, 0},
    [F16] = {"F16", FLO_QUANT_F16, 1},
    [BF16] = {"BF16", FLO_QUANT_BF16, 32},
    [Q8_0] = {"Q8_0", FLO_QUANT_Q8_0, 7},
    [Q4_0] = {"Q4_0", FLO_QUANT_Q4_0, 2},
    [Q4_1] = {"Q4_1", FLO_QUANT_Q4_1, 3},
    [Q5_0] = {"Q5_0", FLO_QUANT_Q5_0, 8},
    [Q5_1] = {"Q5_1", FLO_QUANT_Q5_1, 9},
    [IQ4_NL] = {"IQ4_NL", FLO_QUANT_IQ4_NL, 25},
    [IQ4_XS] = {"IQ4_XS", FLO_QUANT_IQ4_XS, 30},
    [Q2_K] = {"Q2_K", FLO_QUANT_Q2_K, 10},
    [Q3_K_S] = {"Q3_K_S", FLO_QUANT_Q3_K, 11},
    [Q3_K_M] = {"Q3_K_M", FLO_QUANT_Q3_K, 12},
    [Q3_K_L] = {"Q3_K_L", FLO_QUANT_Q3_K, 13},
    [Q4_K_S] = {"Q4_K_S", FLO_QUANT_Q4_K, 14},
    [Q4_K_M] = {"Q4_K_M", FLO_QUANT_Q4_K, 15},
    [Q5_K_S] = {"Q5_K_S", FLO_QUANT_Q5_K, 16},
    [Q5_K_M] = {"Q5_K_M", FLO_QUANT_Q5_K, 17},
    [Q6_K] = {"Q6_K", FLO_QUANT_Q6_K, 18},
};

/* The types without a letter are the medium mixes. */
static const struct {
    const char *name;
    enum mix_index index;
} aliases[] = {{"Q3_K", Q3_K_M}, {"Q4_K", Q4_K_M}, {"Q5_K", Q5_K_M}};

const struct flo_mix *flo_mix_find(const char *name)
{
    for (size_t i = 0; i < FLO_COUNT(aliases); i++) {
        if (strcasecmp(aliases[i].name, name) == 0) {
            return &mixes[aliases[i].index];
        }
    }
    for (size_t i = 0; i < MIX_COUNT; i++) {
        if (strcasecmp(mixes[i].name, name) == 0) {
            return &mixes[i];
        }
    }
    return NULL;
}

const char *flo_mix_names(void)
{
    return "F32 F16 BF16 Q8_0 Q4_0 Q4_1 Q5_0 Q5_1 IQ4_NL IQ4_XS Q2_K Q3_K_S "
           "Q3_K_M Q3_K_L Q4_K_S Q4_K_M Q5_K_S Q5_K_M Q6_K";
}

static bool has(const struct flo_gguf_tensor *tensor, const char *word)
{
    return strstr(tensor->name, word) != NULL;
}

static bool is_value(const struct flo_gguf_tensor *tensor)
{
    return has(tensor, "attn_v.weight") || has(tensor, "attn_qkv.weight");
}

struct flo_mix_model flo_mix_learn(const struct flo_gguf *gguf)
{
    struct flo_mix_model model = {.is_tied = true, .queries_per_key = 1};
    struct flo_gguf_text arch = {"", 0};
    uint32_t heads = 1;
    uint32_t key_heads = 0;
    char key[128];
    for (size_t i = 0; i < flo_gguf_tensor_count(gguf); i++) {
        const struct flo_gguf_tensor *tensor = flo_gguf_tensor_at(gguf, i);
        model.value_count += is_value(tensor) ? 1 : 0;
        model.down_count += has(tensor, "ffn_down") ? 1 : 0;
        model.is_tied =
            model.is_tied && strcmp(tensor->name, "output.weight") != 0;
    }
    /* What cannot be read here is refused by who runs the model. */
    if (flo_gguf_string(gguf, "general.architecture", &arch, NULL) == 0 &&
        arch.bytes < 64) {
        snprintf(key, sizeof(key), "%.*s.attention.head_count", (int)arch.bytes,
                 arch.data);
        if (flo_gguf_u32(gguf, key, &heads, NULL) < 0) {
            heads = 1;
        }
        key_heads = heads;
        snprintf(key, sizeof(key), "%.*s.attention.head_count_kv",
                 (int)arch.bytes, arch.data);
        if (flo_gguf_u32(gguf, key, &key_heads, NULL) < 0) {
            key_heads = heads;
        }
    }
    model.queries_per_key = key_heads > 0 ? heads / key_heads : 1;
    return model;
}

/* The number in "blk.12.": layers are counted from 0. */
static uint32_t layer_of(const struct flo_gguf_tensor *tensor)
{
    return strncmp(tensor->name, "blk.", 4) == 0
               ? (uint32_t)strtoul(tensor->name + 4, NULL, 10)
               : 0;
}

/* The first and last eighth of the layers and every third between. */
static bool deserves_more(uint32_t layer, uint32_t count)
{
    return layer < count / 8 || layer >= 7 * count / 8 ||
           (layer - count / 8) % 3 == 2;
}

static uint32_t value_type(enum mix_index mix,
                           const struct flo_mix_model *model, uint32_t layer)
{
    bool is_shared = model->queries_per_key >= 4;
    switch (mix) {
    case Q2_K:
        return is_shared ? FLO_QUANT_Q4_K : FLO_QUANT_Q3_K;
    case Q3_K_M:
        return layer < 2 ? FLO_QUANT_Q5_K : FLO_QUANT_Q4_K;
    case Q3_K_L:
        return FLO_QUANT_Q5_K;
    case IQ4_NL:
    case IQ4_XS:
        return is_shared ? FLO_QUANT_Q5_K : mixes[mix].type;
    case Q4_K_S:
        return layer < 4 ? FLO_QUANT_Q5_K : FLO_QUANT_Q4_K;
    case Q4_K_M:
    case Q5_K_M:
        return deserves_more(layer, model->value_count) ? FLO_QUANT_Q6_K
                                                        : mixes[mix].type;
    default:
        return mixes[mix].type;
    }
}

static uint32_t down_type(enum mix_index mix, const struct flo_mix_model *model,
                          uint32_t layer)
{
    uint32_t count = model->down_count;
    switch (mix) {
    case Q2_K:
        return FLO_QUANT_Q3_K;
    case Q3_K_M:
        return layer < count / 16 ? FLO_QUANT_Q5_K : FLO_QUANT_Q4_K;
    case Q3_K_L:
        return FLO_QUANT_Q5_K;
    case IQ4_NL:
    case IQ4_XS:
    case Q4_K_S:
        return layer < count / 8 ? FLO_QUANT_Q5_K : mixes[mix].type;
    case Q4_K_M:
    case Q5_K_M:
        return deserves_more(layer, count) ? FLO_QUANT_Q6_K : mixes[mix].type;
    default:
        return mixes[mix].type;
    }
}

static uint32_t attention_output_type(enum mix_index mix)
{
    switch (mix) {
    case Q2_K:
        return FLO_QUANT_Q3_K;
    case Q3_K_M:
        return FLO_QUANT_Q4_K;
    case Q3_K_L:
        return FLO_QUANT_Q5_K;
    default:
        return mixes[mix].type;
    }
}

/* The type for rows of another length than its blocks ask for. */
static uint32_t fitting(uint32_t type, uint64_t row)
{
    if (row % flo_quant_type(type)->block_values == 0) {
        return type;
    }
    switch (type) {
    case FLO_QUANT_Q2_K:
    case FLO_QUANT_Q3_K:
        type = FLO_QUANT_Q4_0;
        break;
    case FLO_QUANT_IQ4_XS:
        type = FLO_QUANT_IQ4_NL;
        break;
    case FLO_QUANT_Q4_K:
        type = FLO_QUANT_Q5_0;
        break;
    case FLO_QUANT_Q5_K:
        type = FLO_QUANT_Q5_1;
        break;
    case FLO_QUANT_Q6_K:
        type = FLO_QUANT_Q8_0;
        break;
    default:
        break;
    }
    bool fits = row % flo_quant_type(type)->block_values == 0;
    return fits ? type : FLO_QUANT_F16;
}

static bool is_matrix(const struct flo_gguf_tensor *tensor)
{
    size_t bytes = strlen(tensor->name);
    return tensor->values > tensor->dims[0] && bytes >= 6 &&
           strcmp(tensor->name + bytes - 6, "weight") == 0 &&
           !has(tensor, "_norm.weight");
}

uint32_t flo_mix_type(const struct flo_mix *mix,
                      const struct flo_mix_model *model,
                      const struct flo_gguf_tensor *tensor)
{
    enum mix_index index = (enum mix_index)(mix - mixes);
    uint32_t layer = layer_of(tensor);
    uint32_t type = mix->type;
    if (!is_matrix(tensor)) {
        return tensor->type;
    }
    if (index <= BF16) {
        return type;
    }
    if (strcmp(tensor->name, "output.weight") == 0 ||
        (model->is_tied && strcmp(tensor->name, "token_embd.weight") == 0)) {
        bool fits = tensor->dims[0] % flo_quant_type(type)->block_values == 0;
        type = fits && type != FLO_QUANT_Q8_0 ? FLO_QUANT_Q6_K : FLO_QUANT_Q8_0;
    } else if (is_value(tensor)) {
        type = value_type(index, model, layer);
    } else if (has(tensor, "ffn_down")) {
        type = down_type(index, model, layer);
    } else if (has(tensor, "attn_output.weight")) {
        type = attention_output_type(index);
    }
    return fitting(type, tensor->dims[0]);
}
