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

/* Rule for the types of some tensors in a mix. */
struct flo_mix_rule {
    int when; /* condition for `type` (mix.c); 0: no rule */
    uint32_t type, other;
};
struct flo_mix {
    const char *name;   /* "Q4_K_M" */
    uint32_t type;      /* type that most tensors get */
    uint32_t file_type; /* general.file_type */
    struct flo_mix_rule value, down, attention;
    struct flo_mix_rule embedding; /* rule if the output has its own matrix */
    struct flo_mix_rule experts;   /* all matrices of a layer's experts */
};

/* Returns the mix of this name, in upper or lower case, or NULL if it is
 * unknown. */
const struct flo_mix *flo_mix_find(const char *name);
/* Finds the mix of a name that somebody typed.  FLO_E_USAGE: it is unknown, and
 * the error lists all names. */
FLO_MUST_USE int flo_mix_read(const char *name, const struct flo_mix **mix, struct flo_err *err);

/* Returns general.file_type of the first mix that is based on this type. */
uint32_t flo_mix_file_type(uint32_t type);
/* Returns the number of a tensor's layer, as in "blk.12.".  Layers are counted
 * from 0; tensors of no layer have 0. */
uint32_t flo_mix_layer(const struct flo_gguf_tensor *tensor);
/* Tells whether a mix changes the type of this tensor: not of norms, biases,
 * other vectors, and rows of a few values. */
bool flo_mix_is_matrix(const struct flo_gguf_tensor *tensor);

/* Properties of a model that the rules of a mix use. */
struct flo_mix_model {
    uint32_t value_count; /* number of tensors that compute attention's values */
    uint32_t down_count;  /* number of down projections of the feed-forward part */
    uint32_t queries_per_key;
    bool is_tied; /* the file has no output matrix, so the embedding is used */
};
struct flo_mix_model flo_mix_learn(const struct flo_gguf *gguf);
/* Adds one tensor to the properties of a model that is not a file yet.  The
 * caller sets `is_tied` before the first one, and `queries_per_key`. */
void flo_mix_count(struct flo_mix_model *model, const struct flo_gguf_tensor *tensor);

/* Returns the type that a mix gives to a tensor.  Norms, biases and other
 * tensors that are no matrix keep their type. */
uint32_t flo_mix_type(const struct flo_mix *mix, const struct flo_mix_model *model,
                      const struct flo_gguf_tensor *tensor);

#endif
