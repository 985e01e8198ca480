/* Program: what makes flotilla-engine's commands those of flotilla-engine-llama:
 * llama.cpp's library computes. */
#include "engine/llama/llama_filler.h"

const struct flo_compute flo_compute_llama = {
    .name = "llama",
    .prepare = flo_llama_prepare,
    .begin = flo_llama_begin,
    .read_head = flo_llama_read_head,
    .bind = flo_llama_bind,
    .vocabulary = flo_llama_vocabulary,
    .load = flo_llama_load,
    .tell = flo_llama_tell,
    .close = flo_llama_close,
    .pass = flo_llama_pass,
    .rows = flo_llama_rows,
    .state = flo_llama_state,
    .vector = flo_llama_vector,
    .copy = flo_llama_copy,
    .drop = flo_llama_drop,
};

const struct flo_compute *const flo_compute_default = &flo_compute_llama;
