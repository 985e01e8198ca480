#include "engine/publish/import/family.h"

#include <string.h>

#define PAIRS FLO_FAMILY_PAIRS
#define SIZES (FLO_FAMILY_VOCAB_SIZE | FLO_FAMILY_ROPE_DIMS)

static bool is_all_attention(const struct flo_config *config)
{
    const struct flo_tree_node *node = flo_tree_first(flo_config_find(config, "layer_types"));
    while (node != NULL && flo_tree_is(node, "attention")) {
        node = node->next;
    }
    return node == NULL;
}

static bool has_experts(const struct flo_config *config)
{
    return flo_config_find(config, "num_experts_per_tok") != NULL &&
           flo_config_number(config, "num_experts_per_tok", 0) > 0;
}

/* A family that differs by its settings stands in several rows; the first one
 * whose condition holds is taken. */
static const struct condition {
    const char *arch;
    bool (*holds)(const struct flo_config *config);
} conditions[] = {
    {"granite", is_all_attention},
    {"nemotron_h_moe", has_experts},
};

static const struct flo_import_family families[] = {
    /* plain: one row each */
    {"LlamaForCausalLM MistralForCausalLM", "llama", PAIRS | SIZES, NULL, flo_family_llama3},
    {"Qwen2ForCausalLM", "qwen2", 0, NULL, flo_family_llama3},
    {"Qwen3ForCausalLM Qwen3Model", "qwen3", FLO_FAMILY_POOLED, NULL, flo_family_llama3},
    {"SmolLM3ForCausalLM", "smollm3", PAIRS | SIZES, NULL, flo_finish_smollm},
    {"Ernie4_5ForCausalLM Ernie4_5_ForCausalLM", "ernie4_5", 0, NULL, NULL},
    {"GraniteForCausalLM", "granite", PAIRS | SIZES, NULL, flo_finish_granite},
    {"MiniCPMForCausalLM", "minicpm", PAIRS, NULL, flo_finish_minicpm},
    /* dense families with something of their own */
    {"Mistral3ForConditionalGeneration Ministral3ForCausalLM", "mistral3", PAIRS | SIZES, NULL,
     flo_finish_ministral},
    {"Phi3ForCausalLM", "phi3", 0, flo_rows_phi, flo_finish_phi},
    {"Olmo2ForCausalLM Olmo3ForCausalLM", "olmo2", FLO_FAMILY_WINDOWS, flo_rows_after,
     flo_finish_olmo},
    {"Exaone4ForCausalLM", "exaone4", FLO_FAMILY_VOCAB_SIZE | FLO_FAMILY_WINDOWS, flo_rows_after,
     flo_family_llama3},
    {"HunYuanDenseV1ForCausalLM", "hunyuan-dense", 0, flo_rows_hunyuan, flo_finish_hunyuan},
    {"GraniteSWAForCausalLM", "granite_swa", PAIRS | SIZES | FLO_FAMILY_WINDOWS, flo_rows_granite,
     flo_finish_granite_swa},
    {"Gemma2ForCausalLM", "gemma2", 0, flo_rows_gemma3, flo_finish_gemma2},
    {"Gemma3ForCausalLM Gemma3ForConditionalGeneration", "gemma3", 0, flo_rows_gemma3,
     flo_finish_gemma3},
    {"Gemma3nForCausalLM Gemma3nForConditionalGeneration", "gemma3n", 0, flo_rows_gemma3n,
     flo_finish_gemma3n},
    {"Gemma4ForCausalLM Gemma4ForConditionalGeneration", "gemma4", 0, flo_rows_gemma4,
     flo_finish_gemma4},
    /* experts */
    {"Qwen3MoeForCausalLM", "qwen3moe", 0, NULL, flo_finish_experts},
    {"MellumForCausalLM", "mellum", FLO_FAMILY_WINDOWS, NULL, flo_finish_experts},
    {"GptOssForCausalLM", "gpt-oss", 0, flo_rows_gpt_oss, flo_finish_gpt_oss},
    /* layers of several kinds */
    {"Lfm2ForCausalLM", "lfm2", 0, flo_rows_lfm, flo_finish_lfm2},
    {"Lfm2MoeForCausalLM", "lfm2moe", 0, flo_rows_lfm, flo_finish_lfm2_moe},
    {"Lfm3ForCausalLM", "lfm3", FLO_FAMILY_WINDOWS, flo_rows_lfm, flo_finish_lfm3},
    {"GraniteMoeHybridForCausalLM", "granite", PAIRS, flo_rows_granite, flo_finish_granite_hybrid},
    {"GraniteMoeHybridForCausalLM", "granitehybrid", PAIRS, flo_rows_granite,
     flo_finish_granite_hybrid},
    {"FalconH1ForCausalLM", "falcon-h1", 0, flo_rows_falcon, flo_finish_falcon},
    {"NemotronHForCausalLM", "nemotron_h_moe", PAIRS, flo_rows_nemotron, flo_finish_nemotron},
    {"NemotronHForCausalLM", "nemotron_h", PAIRS, flo_rows_nemotron, flo_finish_nemotron},
    {"Qwen3NextForCausalLM", "qwen3next", 0, flo_rows_qwen_next, flo_finish_qwen_next},
    {"Qwen3_5ForCausalLM Qwen3_5ForConditionalGeneration", "qwen35", 0, flo_rows_qwen35,
     flo_finish_qwen35},
    /* vectors and scores */
    {"BertModel BertForSequenceClassification XLMRobertaModel "
     "XLMRobertaForSequenceClassification",
     "bert", FLO_FAMILY_ENCODER | FLO_FAMILY_POOLED, flo_rows_bert, flo_finish_bert},
    {"ModernBertModel ModernBertForSequenceClassification", "modern-bert",
     FLO_FAMILY_ENCODER | FLO_FAMILY_POOLED, flo_rows_modern_bert, flo_finish_modern_bert},
    {"Gemma3TextModel", "gemma-embedding", FLO_FAMILY_POOLED, flo_rows_gemma3,
     flo_finish_embeddinggemma},
    {NULL, NULL, 0, NULL, NULL},
};

const struct flo_import_row flo_import_rows[] = {
    {"embed_tokens", "token_embd", NULL, NULL},
    {"norm", "output_norm", NULL, NULL},
    {"lm_head", "output", flo_make_output, NULL},
    {"layers.#.input_layernorm", "blk.#.attn_norm", NULL, NULL},
    {"layers.#.post_attention_layernorm", "blk.#.ffn_norm", NULL, NULL},
    {"layers.#.self_attn.q_proj", "blk.#.attn_q", flo_make_query, NULL},
    {"layers.#.self_attn.k_proj", "blk.#.attn_k", flo_make_key, NULL},
    {"layers.#.self_attn.v_proj", "blk.#.attn_v", NULL, NULL},
    {"layers.#.self_attn.o_proj", "blk.#.attn_output", NULL, NULL},
    {"layers.#.self_attn.q_norm", "blk.#.attn_q_norm", NULL, NULL},
    {"layers.#.self_attn.k_norm", "blk.#.attn_k_norm", NULL, NULL},
    {"layers.#.self_attn.sinks", "blk.#.attn_sinks.weight", NULL, NULL},
    {"layers.#.mlp.gate_proj", "blk.#.ffn_gate", NULL, NULL},
    {"layers.#.mlp.up_proj", "blk.#.ffn_up", NULL, NULL},
    {"layers.#.mlp.down_proj", "blk.#.ffn_down", NULL, NULL},
    {"layers.#.mlp.gate", "blk.#.ffn_gate_inp", NULL, NULL},
    {"layers.#.mlp.experts.%.gate_proj", "blk.#.ffn_gate_exps", NULL, NULL},
    {"layers.#.mlp.experts.%.up_proj", "blk.#.ffn_up_exps", NULL, NULL},
    {"layers.#.mlp.experts.%.down_proj", "blk.#.ffn_down_exps", NULL, NULL},
    {"layers.#.mlp.experts.gate_up_proj", "blk.#.ffn_gate_exps.weight|blk.#.ffn_up_exps.weight",
     flo_make_halves, NULL},
    {"layers.#.mlp.experts.down_proj", "blk.#.ffn_down_exps.weight", NULL, NULL},
    {"layers.#.self_attn.rotary_emb.inv_freq", NULL, NULL, NULL},
    {"rotary_emb.inv_freq", NULL, NULL, NULL},
    /* sight, hearing and extra prediction heads stay behind */
    {"vision_tower.*", NULL, NULL, NULL},
    {"vision_model.*", NULL, NULL, NULL},
    {"visual.*", NULL, NULL, NULL},
    {"audio_tower.*", NULL, NULL, NULL},
    {"embed_vision.*", NULL, NULL, NULL},
    {"embed_audio.*", NULL, NULL, NULL},
    {"multi_modal_projector.*", NULL, NULL, NULL},
    {"mtp.*", NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL},
};

/* ---- which family ---- */

/* Tells whether one of several names, separated by blanks, is `name`. */
static bool is_among(const char *names, const char *name)
{
    size_t bytes = strlen(name);
    for (const char *at = names; bytes > 0 && (at = strstr(at, name)) != NULL; at += bytes) {
        if ((at == names || at[-1] == ' ') && (at[bytes] == '\0' || at[bytes] == ' ')) {
            return true;
        }
    }
    return false;
}

static bool holds(const struct flo_import_family *family, const struct flo_import_family *next,
                  const struct flo_config *config)
{
    if (next->theirs == NULL || strcmp(family->theirs, next->theirs) != 0) {
        return true; /* the only row, or the last of several */
    }
    for (size_t i = 0; i < FLO_COUNT(conditions); i++) {
        if (strcmp(conditions[i].arch, family->arch) == 0) {
            return conditions[i].holds(config);
        }
    }
    return true;
}

/* Says what can be done with a family that no row knows. */
static int refuse(const struct flo_config *config, const char *name, struct flo_err *err)
{
    int rv = flo_folder_unknown(err, name, flo_config_find(config, "auto_map") != NULL);
    flo_err_fix(err, "take a family of docs/models-from-folders.md; or serve the folder by another "
                     "runtime (--runtime, docs/runtimes.md); or convert it with llama.cpp's "
                     "convert_hf_to_gguf.py and serve it by --runtime llamacpp");
    return rv;
}

int flo_family_find(struct flo_import *import, struct flo_err *err)
{
    const struct flo_tree_node *node =
        flo_config_item(flo_config_find(&import->config, "architectures"), 0);
    if (node == NULL || node->kind != FLO_TREE_STRING) {
        return flo_folder_fail(err, "config.json names no architecture");
    }
    const struct flo_import_family *family = families;
    while (family->theirs != NULL &&
           !(is_among(family->theirs, node->text) && holds(family, family + 1, &import->config))) {
        family++;
    }
    if (family->theirs == NULL) {
        return refuse(&import->config, node->text, err);
    }
    import->family = family;
    snprintf(import->keys.arch, sizeof(import->keys.arch), "%s", family->arch);
    return flo_quantised_read(&import->quantised, &import->folder, &import->config, err);
}
