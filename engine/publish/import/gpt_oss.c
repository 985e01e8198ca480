/* gpt-oss: experts in MXFP4, attention with sinks. */
#include "engine/publish/import/family.h"

#define EXPERTS "layers.#.mlp.experts."

/* Experts that a trainer unpacked have rows and columns exchanged. */
static int refuse_floats(struct flo_import *import, const struct flo_import_match *match,
                         struct flo_err *err)
{
    (void)import;
    int rv = flo_match_fail(match, err, "experts that are not in MXFP4 are not read");
    flo_err_fix(err, "take the folder with MXFP4 experts; or convert this one with llama.cpp's "
                     "convert_hf_to_gguf.py");
    return rv;
}

const struct flo_import_row flo_rows_gpt_oss[] = {
    {"layers.#.post_attention_layernorm", "blk.#.post_attention_norm", NULL, NULL},
    {"layers.#.mlp.router", "blk.#.ffn_gate_inp", NULL, NULL},
    {EXPERTS "gate_up_proj_blocks", "blk.#.ffn_gate_exps.weight|blk.#.ffn_up_exps.weight",
     flo_make_mxfp4_interleaved, NULL},
    {EXPERTS "gate_up_proj_scales", NULL, NULL, NULL},
    {EXPERTS "gate_up_proj_bias", "blk.#.ffn_gate_exps.bias|blk.#.ffn_up_exps.bias",
     flo_make_interleaved, "vector"},
    {EXPERTS "gate_up_proj", "floats", refuse_floats, NULL},
    {EXPERTS "down_proj", "floats", refuse_floats, NULL},
    {EXPERTS "down_proj_blocks", "blk.#.ffn_down_exps.weight", flo_make_mxfp4, NULL},
    {EXPERTS "down_proj_scales", NULL, NULL, NULL},
    {EXPERTS "down_proj_bias", "blk.#.ffn_down_exps.bias", NULL, NULL},
    {NULL, NULL, NULL, NULL},
};

int flo_finish_gpt_oss(struct flo_import *import, struct flo_err *err)
{
    FLO_TRY(flo_family_u32(import, ".attention.sliding_window", "sliding_window", err));
    return flo_family_u32(import, ".expert_feed_forward_length", "intermediate_size", err);
}
