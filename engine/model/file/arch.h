/* Arch: properties of each model family, as two tables in arch.c.
 *
 * A family of base/architectures.def is a row of traits and a column in the
 * list of all tensors.  Reading hyper-parameters, binding weights and the
 * forward pass use these tables; no code tests a family's name. */
#ifndef FLOTILLA_ENGINE_ARCH_H
#define FLOTILLA_ENGINE_ARCH_H

#include "base/gguf/gguf.h"

enum flo_norm_kind {
    FLO_NORM_RMS,
    FLO_NORM_LAYER, /* subtracts the mean; has a bias */
};

enum flo_rotation {
    FLO_ROTATE_PAIRS,  /* values 2i and 2i + 1 of a head ("norm") */
    FLO_ROTATE_HALVES, /* values i and i + n / 2 ("neox") */
};

enum flo_activation { FLO_SILU, FLO_GELU };

/* Dimensions by symbolic name, so that tables can be constant. */
enum flo_dim {
    FLO_DIM_NONE,
    FLO_DIM_EMBD,
    FLO_DIM_HEAD, /* number of values in one head */
    FLO_DIM_Q,    /* number of values in all query heads */
    FLO_DIM_KV,   /* values of all key (or value) heads */
    FLO_DIM_QKV,  /* queries, keys and values in one matrix */
    FLO_DIM_FF,
    FLO_DIM_FF_TWICE,
    FLO_DIM_VOCAB,
    FLO_DIM_HALF_ROPE,
    FLO_DIM_LABELS, /* number of outputs of a ranking head */
};

/* Whether a family has a tensor. */
enum flo_need {
    FLO_NO_TENSOR = '.', /* the family has no such tensor */
    FLO_NEEDED = 'n',
    FLO_OPTIONAL = 'o',
    FLO_UNLESS_FUSED = 'f', /* needed unless attn_qkv replaces it */
    FLO_WITH_FUSED = 'w',   /* needed with attn_qkv */
};

/* Families: the rows of base/architectures.def, in their order. */
enum flo_arch_id {
#define FLO_ARCHITECTURE(name, id) FLO_ARCH_##name,
#include "base/architectures.def"
#undef FLO_ARCHITECTURE
    FLO_ARCHS
};

struct flo_tensor_spec {
    char need[FLO_ARCHS + 1]; /* per family: a letter of enum flo_need */
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
    bool is_parallel;      /* x + attention(n) + ffn(n), n = norm(x) */
    bool scales_embedding; /* multiplied by the square root of its width */
    /* Layer i is local (attends to a window) if i % period < period - 1; 0: the
     * family has no windows. */
    uint32_t window_period;
    uint32_t window;          /* window that is used if the file has none; 0: none */
    float local_rope_base;    /* base of local layers; 0: that of the other layers */
    bool is_local_rope_plain; /* local layers ignore rope scaling */
    float attention_cap;      /* cap of attention scores, if the file has none */
    bool has_output_cap;
    float output_cap; /* limit of the logits, if the file has none; 0: none */
    /* With this many layers (the family's 27B model) queries are scaled by the
     * square root of n_embd / n_head, not of the head size; 0: never. */
    uint32_t wide_scale_layers;
};

/* Lists of the tensors of the model, and of each of its layers. */
extern const struct flo_tensor_list flo_model_tensors, flo_layer_tensors;

/* Finds the file's architecture.  FLO_E_GGUF_..., FLO_E_MODEL_ARCH: unknown. */
FLO_MUST_USE int flo_arch_read(const struct flo_gguf *gguf, const struct flo_arch **arch,
                               struct flo_err *err);
/* general.architecture */
const char *flo_arch_name(const struct flo_arch *arch);
enum flo_need flo_arch_need(const struct flo_arch *arch, const struct flo_tensor_spec *spec);

#endif
