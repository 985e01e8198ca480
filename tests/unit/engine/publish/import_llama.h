/* Import llama: the folder of a small Llama. */
#ifndef TESTS_IMPORT_LLAMA_H
#define TESTS_IMPORT_LLAMA_H

#include "tests/unit/engine/publish/import_make.h"

/* A model of 2 layers, 2 heads of 4 values, and 6 tokens. */
#define LAYER(n, type)                                                                             \
    {"model.layers." n ".input_layernorm.weight", type, {8}, NULL},                                \
        {"model.layers." n ".self_attn.q_proj.weight", type, {8, 8}, NULL},                        \
        {"model.layers." n ".self_attn.k_proj.weight", type, {4, 8}, NULL},                        \
        {"model.layers." n ".self_attn.v_proj.weight", type, {4, 8}, NULL},                        \
        {"model.layers." n ".self_attn.o_proj.weight", type, {8, 8}, NULL},                        \
        {"model.layers." n ".post_attention_layernorm.weight", type, {8}, NULL},                   \
        {"model.layers." n ".mlp.gate_proj.weight", type, {4, 8}, NULL},                           \
        {"model.layers." n ".mlp.up_proj.weight", type, {4, 8}, NULL},                             \
    {                                                                                              \
        "model.layers." n ".mlp.down_proj.weight", type, {8, 4}, NULL                              \
    }
static const struct made_tensor tensors[] = {
    {"model.embed_tokens.weight", "BF16", {6, 8}, NULL},
    LAYER("0", "BF16"),
    LAYER("1", "BF16"),
    {"model.norm.weight", "BF16", {8}, NULL},
};
#define CONFIG(arch, more)                                                                         \
    "{\"architectures\":[\"" arch "\"]" more ",\"hidden_size\":8,\"num_hidden_layers\":2,"         \
    "\"num_attention_heads\":2,\"num_key_value_heads\":1,\"intermediate_size\":4,"                 \
    "\"vocab_size\":6,\"rms_norm_eps\":1e-5,\"max_position_embeddings\":64,"                       \
    "\"rope_theta\":10000,\"tie_word_embeddings\":true,\"eos_token_id\":5}"
#define VOCABULARY "{\"a\":0,\"b\":1,\"ab\":2,\"c\":3}"
#define ADDED                                                                                      \
    "[{\"id\":4,\"content\":\"<s>\",\"special\":true},"                                            \
    "{\"id\":5,\"content\":\"</s>\",\"special\":true}]"
#define TOKENIZER(vocabulary, added)                                                               \
    "{\"added_tokens\":" added ",\"normalizer\":{\"type\":\"NFC\"},"                               \
    "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\","             \
    "\"pattern\":{\"Regex\":\"\\\\p{N}\"},\"behavior\":\"Isolated\"},{\"type\":\"ByteLevel\","     \
    "\"add_prefix_space\":false,\"use_regex\":false}]},\"post_processor\":{\"type\":"              \
    "\"TemplateProcessing\","                                                                      \
    "\"single\":[{\"SpecialToken\":{\"id\":\"<s>\"}},{\"Sequence\":{\"id\":\"A\"}}],"              \
    "\"pair\":[]},\"model\":{\"type\":\"BPE\",\"vocab\":" vocabulary                               \
    ",\"merges\":[[\"a\",\"b\"]]}}"

static inline int make_folder(void **state)
{
    (void)state;
    make_empty_folder();
    make_text(folder, "config.json", CONFIG("LlamaForCausalLM", ""));
    make_text(folder, "tokenizer.json", TOKENIZER(VOCABULARY, ADDED));
    make_text(folder, "tokenizer_config.json", "{\"bos_token\":\"<s>\",\"eos_token\":\"</s>\"}");
    make_weights(folder, "model.safetensors", tensors, FLO_COUNT(tensors));
    return 0;
}

#endif
