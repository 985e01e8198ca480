/* Mix: chooses the type of each tensor of a model.
 *
 * The names and rules are those of the common tools, so that "Q4_K_M" means the
 * same everywhere.  Most tensors get the base type.  Those that suffer most
 * from rounding (attention's values, the feed-forward's down projection, the
 * output) get a larger one.  Rows that are no multiple of 256 values get the
 * nearest type with blocks of 32. */
#ifndef FLOTILLA_ENGINE_MIX_H
#define FLOTILLA_ENGINE_MIX_H

#include "base/gguf/gguf.h"

/* Rule for the type of some tensors. */
struct flo_mix_rule {
    int when; /* 0: rule unused; otherwise when `type` applies (mix.c) */
    uint32_t type, other;
};
struct flo_mix {
    const char *name;   /* "Q4_K_M" */
    uint32_t type;      /* the type of most tensors */
    uint32_t file_type; /* general.file_type */
    struct flo_mix_rule value, down, attention;
};

/* Finds a mix by its name, in upper or lower case; NULL: unknown. */
const struct flo_mix *flo_mix_find(const char *name);
/* Lists all names, separated by blanks, for errors. */
void flo_mix_names(struct flo_buf *out);

/* Properties of a model that the rules use. */
struct flo_mix_model {
    uint32_t value_count; /* number of tensors with attention's values */
    uint32_t down_count;  /* down projections of the feed-forward part */
    uint32_t queries_per_key;
    bool is_tied; /* the output matrix is the embedding */
};
struct flo_mix_model flo_mix_learn(const struct flo_gguf *gguf);

/* Returns the type for a tensor; norms, biases and others that are no matrix
 * keep theirs. */
uint32_t flo_mix_type(const struct flo_mix *mix, const struct flo_mix_model *model,
                      const struct flo_gguf_tensor *tensor);

#endif
