/* Arch: properties of each model family, as two tables in arch.c.
 *
 * Each family of base/architectures.def has a row of traits, and a column in
 * the list of all tensors.  Reading hyper-parameters, binding weights and the
 * forward pass use these tables; no code tests a family's name. */
#ifndef FLOTILLA_ENGINE_ARCH_H
#define FLOTILLA_ENGINE_ARCH_H

#include "base/gguf/gguf.h"

enum flo_norm_kind {
    FLO_NORM_RMS,
    FLO_NORM_LAYER, /* LayerNorm: subtracts the mean, and has a bias */
};

enum flo_rotation {
    FLO_ROTATE_PAIRS,  /* rotates values 2i and 2i + 1 of a head together ("norm") */
    FLO_ROTATE_HALVES, /* rotates values i and i + n / 2 of a head together ("neox") */
};

enum flo_activation { FLO_SILU, FLO_GELU };

/* Names of a tensor's dimensions, so that the tables can be constant.  A
 * model's numbers replace them. */
enum flo_dim {
    FLO_DIM_NONE,
    FLO_DIM_EMBD,
    FLO_DIM_HEAD, /* number of values in one head */
    FLO_DIM_Q,    /* number of values in all query heads */
    FLO_DIM_KV,   /* number of values in all key heads, or in all value heads */
    FLO_DIM_QKV,  /* rows of queries, keys and values in one matrix */
    FLO_DIM_FF,
    FLO_DIM_FF_TWICE,
    FLO_DIM_VOCAB,
    FLO_DIM_HALF_ROPE,
    FLO_DIM_LABELS, /* number of outputs of a ranking head */
};

/* Letters that say whether a family has a tensor. */
enum flo_need {
    FLO_NO_TENSOR = '.', /* the family has no such tensor */
    FLO_NEEDED = 'n',
    FLO_OPTIONAL = 'o',
    FLO_UNLESS_FUSED = 'f', /* needed unless attn_qkv is in the file instead */
    FLO_WITH_FUSED = 'w',   /* needed with attn_qkv */
};

/* Families, numbered by their rows in base/architectures.def. */
enum flo_arch_id {
#define FLO_ARCHITECTURE(name, id) FLO_ARCH_##name,
#include "base/architectures.def"
#undef FLO_ARCHITECTURE
    FLO_ARCHS
};

struct flo_tensor_spec {
    char need[FLO_ARCHS + 1]; /* for each family a letter of enum flo_need */
    const char *name;         /* name in the file; for a layer's tensor, the part after "blk.N." */
    size_t offset;            /* offset of the member in flo_layer, or in flo_weights */
    enum flo_dim columns;
    enum flo_dim rows; /* FLO_DIM_NONE: a vector */
};

struct flo_tensor_list {
    const struct flo_tensor_spec *specs;
    size_t count;
};

struct flo_arch {
    enum flo_norm_kind norm;
    enum flo_rotation rotation;
    enum flo_activation activation;
    bool is_parallel;      /* a layer computes x + attention(n) + ffn(n) with n = norm(x) */
    bool scales_embedding; /* the embedding is multiplied by the square root of its width */
    /* Layer i is local, which means that it attends only to a window, if i %
     * period < period - 1.  0: the family has no windows. */
    uint32_t window_period;
    uint32_t window;          /* tokens of the window if the file names none; 0: none */
    float local_rope_base;    /* rope base of local layers; 0: that of all other layers */
    bool is_local_rope_plain; /* local layers ignore the rope scaling of the file */
    float attention_cap;      /* limit of attention scores if the file has none; 0: none */
    bool has_output_cap;
    float output_cap; /* limit of the logits, if the file has none; 0: none */
    /* Number of layers of the family's 27B model; 0: the family has no such
     * model.  A model with so many layers scales queries by the square root of
     * n_embd / n_head, not of the head size. */
    uint32_t wide_scale_layers;
};

/* Two lists of tensors: those of the model, and those of each of its layers. */
extern const struct flo_tensor_list flo_model_tensors, flo_layer_tensors;

/* Finds the architecture of the file.  FLO_E_GGUF_...; FLO_E_MODEL_ARCH: it is
 * unknown. */
FLO_MUST_USE int flo_arch_read(const struct flo_gguf *gguf, const struct flo_arch **arch,
                               struct flo_err *err);
/* general.architecture */
const char *flo_arch_name(const struct flo_arch *arch);
enum flo_need flo_arch_need(const struct flo_arch *arch, const struct flo_tensor_spec *spec);

#endif
