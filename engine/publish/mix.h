/* Mixes: which tensor of a model gets which type.
 *
 * The names and rules are those of the common tools, so that a "Q4_K_M" here
 * is a Q4_K_M there: most tensors get the base type, those that suffer most
 * from rounding (values of attention, the way down out of the feed-forward
 * part, the output) a larger one; rows that are no multiple of 256 values
 * get the 32-value type next to it. */
#ifndef FLOTILLA_ENGINE_MIX_H
#define FLOTILLA_ENGINE_MIX_H

#include "base/gguf/gguf.h"

/* The type of some tensors. */
struct flo_mix_rule {
    int when; /* 0: the mix's own; else as mix.c lists */
    uint32_t type, other;
};
struct flo_mix {
    const char *name;   /* "Q4_K_M" */
    uint32_t type;      /* type of most tensors */
    uint32_t file_type; /* general.file_type */
    struct flo_mix_rule value, down, attention;
};

/* NULL for an unknown name; upper or lower case. */
const struct flo_mix *flo_mix_find(const char *name);
/* All names, blanks between, for errors. */
void flo_mix_names(struct flo_buf *out);

/* Facts of a model that the rules ask for. */
struct flo_mix_model {
    uint32_t value_count; /* tensors of attention values */
    uint32_t down_count;  /* ways down out of the feed-forward part */
    uint32_t queries_per_key;
    bool is_tied; /* no output matrix of its own */
};
struct flo_mix_model flo_mix_learn(const struct flo_gguf *gguf);

/* The type for a tensor; norms, biases and what else is not a matrix keep
 * theirs. */
uint32_t flo_mix_type(const struct flo_mix *mix, const struct flo_mix_model *model,
                      const struct flo_gguf_tensor *tensor);

#endif
