/* The table of architectures: how each computes. */
#include "engine/model/arch.h"

static const struct flo_arch archs[] = {
    {
        .name = "llama",
        .model_tensors = &flo_llama_model,
        .layer_tensors = &flo_llama_layer,
        .rotation = FLO_ROTATE_PAIRS,
    },
    {
        .name = "qwen2",
        .model_tensors = &flo_qwen_model,
        .layer_tensors = &flo_qwen2_layer,
        .rotation = FLO_ROTATE_HALVES,
    },
    {
        .name = "qwen3",
        .model_tensors = &flo_qwen_model,
        .layer_tensors = &flo_qwen3_layer,
        .rotation = FLO_ROTATE_HALVES,
    },
    {
        .name = "gemma",
        .model_tensors = &flo_gemma_model,
        .layer_tensors = &flo_gemma_layer,
        .rotation = FLO_ROTATE_HALVES,
        .activation = FLO_GELU,
        .scales_embedding = true,
    },
    {
        .name = "gemma2",
        .model_tensors = &flo_gemma_model,
        .layer_tensors = &flo_gemma2_layer,
        .rotation = FLO_ROTATE_HALVES,
        .activation = FLO_GELU,
        .scales_embedding = true,
        .window_period = 2,
        .window = 4096,
        .attention_cap = 50,
        .has_output_cap = true,
        .output_cap = 30,
        .wide_scale_layers = 46,
    },
    {
        .name = "gemma3",
        .model_tensors = &flo_gemma_model,
        .layer_tensors = &flo_gemma3_layer,
        .rotation = FLO_ROTATE_HALVES,
        .activation = FLO_GELU,
        .scales_embedding = true,
        .window_period = 6,
        .local_rope_base = 10000,
        .is_local_rope_plain = true,
        .has_output_cap = true,
        .wide_scale_layers = 62,
    },
    {
        .name = "phi2",
        .model_tensors = &flo_phi2_model,
        .layer_tensors = &flo_phi2_layer,
        .norm = FLO_NORM_LAYER,
        .rotation = FLO_ROTATE_HALVES,
        .activation = FLO_GELU,
        .is_parallel = true,
    },
    {
        .name = "phi3",
        .model_tensors = &flo_phi3_model,
        .layer_tensors = &flo_phi3_layer,
        .rotation = FLO_ROTATE_HALVES,
    },
};

const struct flo_arch *flo_arch_find(struct flo_gguf_text name)
{
    for (size_t i = 0; i < FLO_COUNT(archs); i++) {
        if (flo_gguf_text_is(name, archs[i].name)) {
            return &archs[i];
        }
    }
    return NULL;
}
