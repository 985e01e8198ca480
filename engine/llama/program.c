/* Program: the fillers of flotilla-engine-llama.  Our own kernels compute the
 * models that they know, llama.cpp's library computes the others. */
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

const struct flo_compute *const flo_computes[] = {&flo_compute_native, &flo_compute_llama, NULL};
