/* Mix: the table of mixes with their rules. */
#include "engine/publish/mix.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/quant/quant.h"

/* Shorter rows are taps of a convolution or coefficients, which engines read as
 * floats. */
#define ROW_MIN 8

/* Conditions of a rule.  If the condition holds, the tensor gets the rule's
 * first type, otherwise its second. */
enum {
    PLAIN, /* no rule: the tensor gets the type of the mix */
    ALWAYS,
    SHARED, /* condition: at least four query heads share a key and value head */
    FIRST_TWO,
    FIRST_FOUR,
    FIRST_16TH,
    FIRST_8TH,
    DESERVING, /* deserves_more() */
};

#define T(id) FLO_QUANT_##id
#define MIX(word, base, number, ...)                                                               \
    {                                                                                              \
        word, T(base), number, __VA_ARGS__                                                         \
    }
#define NO_RULES .value = {PLAIN}

static const struct flo_mix mixes[] = {
    MIX("F32", F32, 0, NO_RULES),
    MIX("F16", F16, 1, NO_RULES),
    MIX("BF16", BF16, 32, NO_RULES),
    MIX("Q8_0", Q8_0, 7, NO_RULES),
    MIX("Q4_0", Q4_0, 2, NO_RULES),
    MIX("Q4_1", Q4_1, 3, NO_RULES),
    MIX("Q5_0", Q5_0, 8, NO_RULES),
    MIX("Q5_1", Q5_1, 9, NO_RULES),
    MIX("IQ4_NL", IQ4_NL, 25, .value = {SHARED, T(Q5_K), T(IQ4_NL)},
        .down = {FIRST_8TH, T(Q5_K), T(IQ4_NL)}),
    MIX("IQ4_XS", IQ4_XS, 30, .value = {SHARED, T(Q5_K), T(IQ4_XS)},
        .down = {FIRST_8TH, T(Q5_K), T(IQ4_XS)}),
    MIX("Q2_K", Q2_K, 10, .value = {SHARED, T(Q4_K), T(Q3_K)}, .down = {ALWAYS, T(Q3_K)},
        .attention = {ALWAYS, T(Q3_K)}),
    MIX("Q3_K_S", Q3_K, 11, NO_RULES),
    MIX("Q3_K_M", Q3_K, 12, .value = {FIRST_TWO, T(Q5_K), T(Q4_K)},
        .down = {FIRST_16TH, T(Q5_K), T(Q4_K)}, .attention = {ALWAYS, T(Q4_K)}),
    MIX("Q3_K_L", Q3_K, 13, .value = {ALWAYS, T(Q5_K)}, .down = {ALWAYS, T(Q5_K)},
        .attention = {ALWAYS, T(Q5_K)}),
    MIX("Q4_K_S", Q4_K, 14, .value = {FIRST_FOUR, T(Q5_K), T(Q4_K)},
        .down = {FIRST_8TH, T(Q5_K), T(Q4_K)}),
    MIX("Q4_K_M", Q4_K, 15, .value = {DESERVING, T(Q6_K), T(Q4_K)},
        .down = {DESERVING, T(Q6_K), T(Q4_K)}),
    MIX("Q5_K_S", Q5_K, 16, NO_RULES),
    MIX("Q5_K_M", Q5_K, 17, .value = {DESERVING, T(Q6_K), T(Q5_K)},
        .down = {DESERVING, T(Q6_K), T(Q5_K)}),
    MIX("Q6_K", Q6_K, 18, NO_RULES),
    MIX("TQ1_0", TQ1_0, 36, .embedding = {ALWAYS, T(Q4_K)}),
    MIX("TQ2_0", TQ2_0, 37, .embedding = {ALWAYS, T(Q4_K)}),
    MIX("MXFP4_MOE", Q8_0, 38, .experts = {ALWAYS, T(MXFP4)}),
};

/* Finds a mix by its name.  The name of a type without a suffix means the
 * medium mix. */
const struct flo_mix *flo_mix_find(const char *name)
{
    size_t chars = strlen(name);
    for (size_t i = 0; i < FLO_COUNT(mixes); i++) {
        if (strncasecmp(mixes[i].name, name, chars) == 0 &&
            (mixes[i].name[chars] == '\0' || strcmp(mixes[i].name + chars, "_M") == 0)) {
            return &mixes[i];
        }
    }
    return NULL;
}

uint32_t flo_mix_file_type(uint32_t type)
{
    for (size_t i = 0; i < FLO_COUNT(mixes); i++) {
        if (mixes[i].type == type) {
            return mixes[i].file_type;
        }
    }
    return 0;
}

/* Tells whether the tensor type of this name has a decoder and no encoder. */
static bool is_only_read(const char *name)
{
    for (uint32_t id = 0; id < FLO_QUANT_ID_COUNT; id++) {
        const struct flo_quant_type *type = flo_quant_type(id);
        if (type != NULL && type->encode == NULL && type->decode != NULL &&
            strcasecmp(type->name, name) == 0) {
            return true;
        }
    }
    return false;
}

int flo_mix_read(const char *name, const struct flo_mix **mix, struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf names = {0};

    *mix = flo_mix_find(name);
    if (*mix != NULL) {
        return 0;
    }
    for (size_t i = 0; i < FLO_COUNT(mixes); i++) {
        flo_buf_text(&names, i == 0 ? "" : " ");
        flo_buf_text(&names, mixes[i].name);
    }
    int rv = is_only_read(name)
                 ? flo_fail(err, FLO_E_NOT_BUILT, "type '%s' is read, but not written", name)
                 : flo_fail(err, FLO_E_USAGE, "type '%s' is not known", name);
    if (!names.failed) {
        flo_err_fix(err, "one of %s", names.data);
    }
    return rv;
}

static bool has(const struct flo_gguf_tensor *tensor, const char *word)
{
    return strstr(tensor->name, word) != NULL;
}

static bool is_value(const struct flo_gguf_tensor *tensor)
{
    return has(tensor, "attn_v.weight") || has(tensor, "attn_qkv.weight");
}

/* Reads a number of the file.  An unreadable one is ignored here, because the
 * engine will refuse the file. */
static uint32_t arch_u32(const struct flo_gguf *gguf, struct flo_gguf_text arch, const char *tail,
                         uint32_t absent)
{
    char key[128];
    uint32_t value = absent;
    snprintf(key, sizeof(key), "%.*s.%s", (int)arch.bytes, arch.data, tail);
    return flo_gguf_u32(gguf, key, &value, NULL) < 0 ? absent : value;
}

void flo_mix_count(struct flo_mix_model *model, const struct flo_gguf_tensor *tensor)
{
    model->value_count += is_value(tensor) ? 1 : 0;
    model->down_count += has(tensor, "ffn_down") ? 1 : 0;
    model->is_tied = model->is_tied && strcmp(tensor->name, "output.weight") != 0;
}

struct flo_mix_model flo_mix_learn(const struct flo_gguf *gguf)
{
    struct flo_mix_model model = {.is_tied = true, .queries_per_key = 1};
    struct flo_gguf_text arch = {"", 0};
    for (size_t i = 0; i < flo_gguf_tensor_count(gguf); i++) {
        flo_mix_count(&model, flo_gguf_tensor_at(gguf, i));
    }
    if (flo_gguf_string(gguf, "general.architecture", &arch, NULL) == 0 && arch.bytes < 64) {
        uint32_t heads = arch_u32(gguf, arch, "attention.head_count", 1);
        uint32_t key_heads = arch_u32(gguf, arch, "attention.head_count_kv", heads);
        model.queries_per_key = key_heads > 0 ? heads / key_heads : 1;
    }
    return model;
}

uint32_t flo_mix_layer(const struct flo_gguf_tensor *tensor)
{
    return strncmp(tensor->name, "blk.", 4) == 0 ? (uint32_t)strtoul(tensor->name + 4, NULL, 10)
                                                 : 0;
}

/* Tells whether a layer gets a larger type.  These are the first and the last
 * eighth, and every third layer between them. */
static bool deserves_more(uint32_t layer, uint32_t count)
{
    return layer < count / 8 || layer >= 7 * count / 8 || (layer - count / 8) % 3 == 2;
}

/* Returns the type that a rule gives to a tensor in this layer.  `count` layers
 * have such a tensor. */
static uint32_t by_rule(const struct flo_mix *mix, const struct flo_mix_rule *rule,
                        const struct flo_mix_model *model, uint32_t layer, uint32_t count)
{
    const bool holds[] = {
        [ALWAYS] = true,
        [SHARED] = model->queries_per_key >= 4,
        [FIRST_TWO] = layer < 2,
        [FIRST_FOUR] = layer < 4,
        [FIRST_16TH] = layer < count / 16,
        [FIRST_8TH] = layer < count / 8,
        [DESERVING] = deserves_more(layer, count),
    };
    if (rule->when == PLAIN) {
        return mix->type;
    }
    return holds[rule->when] ? rule->type : rule->other;
}

/* Returns the type, or the nearest one whose blocks divide the length of a
 * row. */
static uint32_t fitting(uint32_t type, uint64_t row)
{
    static const uint32_t smaller[][2] = {
        {FLO_QUANT_Q2_K, FLO_QUANT_Q4_0},  {FLO_QUANT_Q3_K, FLO_QUANT_Q4_0},
        {FLO_QUANT_Q4_K, FLO_QUANT_Q5_0},  {FLO_QUANT_Q5_K, FLO_QUANT_Q5_1},
        {FLO_QUANT_Q6_K, FLO_QUANT_Q8_0},  {FLO_QUANT_IQ4_XS, FLO_QUANT_IQ4_NL},
        {FLO_QUANT_TQ1_0, FLO_QUANT_Q4_0}, {FLO_QUANT_TQ2_0, FLO_QUANT_Q4_0},
    };
    for (size_t i = 0; row % flo_quant_type(type)->block_values != 0; i++) {
        if (i == FLO_COUNT(smaller)) {
            return FLO_QUANT_F16;
        }
        type = smaller[i][0] == type ? smaller[i][1] : type;
    }
    return type;
}

bool flo_mix_is_matrix(const struct flo_gguf_tensor *tensor)
{
    size_t bytes = strlen(tensor->name);
    return tensor->values > tensor->dims[0] && tensor->dims[0] >= ROW_MIN && bytes >= 6 &&
           strcmp(tensor->name + bytes - 6, "weight") == 0 && !has(tensor, "_norm.weight");
}

uint32_t flo_mix_type(const struct flo_mix *mix, const struct flo_mix_model *model,
                      const struct flo_gguf_tensor *tensor)
{
    uint32_t layer = flo_mix_layer(tensor);
    uint32_t type = mix->type;
    if (!flo_mix_is_matrix(tensor)) {
        return tensor->type;
    }
    if (flo_quant_type(type)->block_values == 1) {
        return type;
    }
    if (strcmp(tensor->name, "output.weight") == 0 ||
        (model->is_tied && strcmp(tensor->name, "token_embd.weight") == 0)) {
        bool fits = tensor->dims[0] % flo_quant_type(type)->block_values == 0;
        type = fits && type != FLO_QUANT_Q8_0 ? FLO_QUANT_Q6_K : FLO_QUANT_Q8_0;
    } else if (strcmp(tensor->name, "token_embd.weight") == 0) {
        type = by_rule(mix, &mix->embedding, model, layer, 0);
    } else if (mix->experts.when != PLAIN && tensor->dims[2] > 1) {
        type = by_rule(mix, &mix->experts, model, layer, 0);
    } else if (is_value(tensor)) {
        type = by_rule(mix, &mix->value, model, layer, model->value_count);
    } else if (has(tensor, "ffn_down")) {
        type = by_rule(mix, &mix->down, model, layer, model->down_count);
    } else if (has(tensor, "attn_output.weight")) {
        type = by_rule(mix, &mix->attention, model, layer, 0);
    }
    return fitting(type, tensor->dims[0]);
}
