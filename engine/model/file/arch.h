/* Arch: properties of each model family, as a table in arch.c.
 *
 * A layer is a sequence of kinds: how it mixes tokens (attention, short
 * convolution, state space, delta net), and its feed-forward part (dense,
 * experts).  Each family of base/architectures.def has a row that says which
 * kinds and sets of tensors it has.  Reading hyper-parameters, binding weights
 * and the forward pass use the row; no code tests a family's name. */
#ifndef FLOTILLA_ENGINE_ARCH_H
#define FLOTILLA_ENGINE_ARCH_H

#include "base/gguf/gguf.h"

enum flo_norm_kind {
    FLO_NORM_RMS,
    FLO_NORM_LAYER, /* LayerNorm: subtracts the mean, and may have a bias */
};

enum flo_rotation {
    FLO_ROTATE_PAIRS,  /* rotates values 2i and 2i + 1 of a head together ("norm") */
    FLO_ROTATE_HALVES, /* rotates values i and i + n / 2 of a head together ("neox") */
};

enum flo_activation {
    FLO_SILU,
    FLO_GELU,     /* by the tanh approximation */
    FLO_GELU_ERF, /* exact */
    FLO_RELU2,    /* the square of max(x, 0) */
    /* gate * sigmoid(1.702 gate) * (up + 1), with gate and up clamped at 7 */
    FLO_SWIGLU_CLAMPED,
};

/* Norms of queries and keys. */
enum flo_qk_norm {
    FLO_QK_NORM_HEAD,  /* each head before it is rotated */
    FLO_QK_NORM_AFTER, /* each head after it was rotated */
    FLO_QK_NORM_ROW,   /* all heads of a token together */
};

/* Kinds of layers, by how tokens reach each other. */
enum flo_mixer {
    FLO_MIX_ATTENTION,
    FLO_MIX_CONV,   /* short convolution (LFM2) */
    FLO_MIX_STATE,  /* state space (Mamba-2, arXiv 2405.21060) */
    FLO_MIX_DELTA,  /* gated delta net (arXiv 2412.06464) */
    FLO_MIX_BESIDE, /* attention and a state space, both on the same input */
    FLO_MIX_NONE,
};

enum flo_feed {
    FLO_FEED_DENSE,
    FLO_FEED_EXPERTS,
    FLO_FEED_BOTH, /* a dense part and experts, each with norms of its own */
    FLO_FEED_NONE,
};

/* Which layers of a hybrid family are recurrent. */
enum flo_pattern {
    FLO_PATTERN_NONE,     /* all layers are attention */
    FLO_PATTERN_HEADS,    /* layers without key heads are recurrent */
    FLO_PATTERN_SINGLE,   /* as HEADS, and a layer has only one part: mixer or feed-forward */
    FLO_PATTERN_INTERVAL, /* every n-th layer is attention, or as a list says */
    FLO_PATTERN_BESIDE,   /* all layers are attention and state space */
};

/* How experts are chosen and weighted from the router's numbers. */
enum flo_router {
    FLO_ROUTE_SOFTMAX_TOP, /* softmax over all, then the largest */
    FLO_ROUTE_TOP_SOFTMAX, /* the largest, then softmax over those */
    FLO_ROUTE_SIGMOID,     /* sigmoid; chosen with the bias, weighted without it */
};

/* Names of a tensor's dimensions, so that the tables can be constant.  A
 * model's numbers replace them. */
enum flo_dim {
    FLO_DIM_NONE,
    FLO_DIM_ONE,
    FLO_DIM_EMBD,
    FLO_DIM_HEAD,   /* number of values in one head */
    FLO_DIM_HEADS,  /* number of query heads */
    FLO_DIM_Q,      /* number of values in all query heads */
    FLO_DIM_QUERY,  /* rows of the query matrix: as FLO_DIM_Q, or twice with gates in it */
    FLO_DIM_KV,     /* number of values in all key heads, or in all value heads */
    FLO_DIM_QKV,    /* rows of queries, keys and values in one matrix */
    FLO_DIM_Q_NORM, /* values of the norm of queries; one head, or all */
    FLO_DIM_K_NORM,
    FLO_DIM_FF,
    FLO_DIM_FF_TWICE,
    FLO_DIM_VOCAB,
    FLO_DIM_HALF_ROPE,
    FLO_DIM_LABELS,  /* number of outputs of a ranking head */
    FLO_DIM_CONTEXT, /* tokens of the largest context */
    FLO_DIM_TYPES,   /* kinds of text that the embedding distinguishes */
    FLO_DIM_DENSE,   /* width between the two matrices behind a pooled vector */
    FLO_DIM_STREAMS, /* number of residual streams */
    FLO_DIM_STREAMS_SQUARE,
    FLO_DIM_STREAMS_OTHER, /* all streams but one */
    FLO_DIM_LOW,           /* rank of a low-rank branch */
    FLO_DIM_TAPS,          /* tokens that a convolution reads */
    FLO_DIM_EMBD_THRICE,   /* input, and two gates, of a short convolution */
    FLO_DIM_INNER,         /* values of all heads of a state space or delta net */
    FLO_DIM_STATE,         /* values of a head's key */
    FLO_DIM_MIXED,         /* values that the convolution of a state space reads */
    FLO_DIM_STATE_IN,      /* rows of a state space's input matrix */
    FLO_DIM_STATE_HEADS,
    FLO_DIM_STATE_HEADS_TWICE,
    FLO_DIM_GROUPS,
    FLO_DIM_GROUP, /* values of a group's heads */
    FLO_DIM_EXPERTS,
    FLO_DIM_EXPERT_FF,
    FLO_DIM_EXPERT_FF_TWICE,
    FLO_DIM_SHARED_FF,
    FLO_DIM_PER_LAYER,     /* width of a layer's own embedding */
    FLO_DIM_PER_LAYER_ALL, /* the same, of all layers together */
};

/* Sets of tensors.  A family needs a set, may have it, or lacks it. */
enum flo_tensor_set {
    FLO_SET_ALWAYS,
    FLO_SET_OUTPUT_NORM,
    FLO_SET_OUTPUT_NORM_BIAS,
    FLO_SET_OUTPUT_NORM_NAMED, /* the output norm under the name token_embd_norm */
    FLO_SET_OUTPUT,
    FLO_SET_OUTPUT_BIAS,
    FLO_SET_ROPE_FREQS,
    FLO_SET_ROPE_FACTORS,
    FLO_SET_HEAD,
    FLO_SET_POOLER,
    FLO_SET_EMBED_NORM,
    FLO_SET_EMBED_NORM_BIAS,
    FLO_SET_POSITIONS,
    FLO_SET_DENSE,
    FLO_SET_PER_LAYER,
    FLO_SET_STREAMS,
    FLO_SET_ATTN_NORM,
    FLO_SET_NORM_BIAS,
    FLO_SET_ATTENTION,
    FLO_SET_QKV_BIAS,
    FLO_SET_O_BIAS,
    FLO_SET_QK_NORM,
    FLO_SET_SINKS,
    FLO_SET_HEAD_GATE,
    FLO_SET_POST_NORM, /* norms of the results of both parts */
    FLO_SET_FFN_NORM,
    FLO_SET_FFN_NORM_NAMED, /* the same under the name post_attention_norm */
    FLO_SET_FFN_NORM_PLAIN, /* the same without ".weight" */
    FLO_SET_OUT_NORM,       /* norms of the residual stream after both parts */
    FLO_SET_GATE,
    FLO_SET_UP,
    FLO_SET_DOWN,
    FLO_SET_GATE_UP,
    FLO_SET_GATE_BIAS,
    FLO_SET_FFN_BIAS,
    FLO_SET_CONV,
    FLO_SET_STATE,
    FLO_SET_STATE_NORM,
    FLO_SET_DELTA,
    FLO_SET_EXPERTS,
    FLO_SET_EXPERT_UP,
    FLO_SET_EXPERT_GATE,
    FLO_SET_EXPERT_GATE_UP,
    FLO_SET_EXPERT_CHOICE,
    FLO_SET_EXPERT_BIAS,
    FLO_SET_EXPERT_NORMS,
    FLO_SET_SHARED,
    FLO_SET_SHARED_GATE,
    FLO_SET_SHARED_SWITCH,
    FLO_SET_LAYER_SCALE,
    FLO_SETS
};
#define FLO_SET(name) (UINT64_C(1) << FLO_SET_##name)

enum flo_need {
    FLO_NO_TENSOR,
    FLO_NEEDED,
    FLO_OPTIONAL,
    FLO_UNLESS_FUSED, /* needed unless attn_qkv is in the file instead */
    FLO_WITH_FUSED,   /* needed with attn_qkv */
};

/* Families, numbered by their rows in base/architectures.def. */
enum flo_arch_id {
#define FLO_ARCHITECTURE(name, id, ...) FLO_ARCH_##name,
#include "base/architectures.def"
    FLO_ARCHS
};

struct flo_tensor_spec {
    uint8_t set;          /* enum flo_tensor_set */
    uint8_t need;         /* enum flo_need, in a family that needs the set */
    bool is_values;       /* the tensor is copied as numbers; else it is a matrix of products */
    const char *name;     /* name in the file; for a layer's tensor, the part after "blk.N." */
    size_t offset;        /* offset of the member in flo_layer, or in flo_weights */
    enum flo_dim dims[3]; /* FLO_DIM_NONE: 1 */
};

struct flo_tensor_list {
    const struct flo_tensor_spec *specs;
    size_t count;
};

struct flo_arch {
    uint64_t needs, may, lacks; /* sets of tensors, besides those that all families have */
    enum flo_norm_kind norm;
    enum flo_rotation rotation;
    enum flo_activation activation;
    enum flo_qk_norm qk_norm;
    enum flo_pattern pattern;
    enum flo_mixer recurrent; /* kind of the recurrent layers */
    enum flo_router router;
    bool is_parallel;        /* a layer computes x + attention(n) + ffn(n) with n = norm(x) */
    bool scales_embedding;   /* the embedding is multiplied by the square root of its width */
    bool is_encoder;         /* tokens attend to later ones, too; the model writes no text */
    bool has_experts;        /* the file says how many */
    bool has_dense_beside;   /* layers with experts have a dense part, too, and norms for both */
    bool normalises_experts; /* weights of the chosen experts add up to 1 */
    bool tiles_key_heads;    /* head i of a delta net has key head i % n, not i / n */
    bool gates_queries;      /* the query matrix has a gate behind each head's query */
    bool has_streams;        /* several residual streams, of which one is computed (AltUp) */
    bool normalises_values;  /* values are normalised, without weights */
    bool may_lack_values;    /* a layer without a value matrix has its raw keys as values */
    bool has_layer_widths;   /* heads of local layers have a size of their own */
    bool scales_by_position; /* queries grow with the position: attention.temperature_scale */
    bool needs_factors;      /* the file says the scales of embedding, results and logits */
    bool has_plain_scale;    /* q . k is not divided by the root of the head size */
    /* Layer i is local, which means that it attends only to a window, if i %
     * period < period - 1.  0: the family has no windows. */
    uint32_t window_period;
    /* Layers i with i % period == period - 1 are not rotated.  0: all are. */
    uint32_t unrotated_period;
    bool is_global_unrotated; /* in a model with windows, layers without one are not rotated */
    bool is_unrotated;        /* no layer is rotated, unless rope.scaling.finetuned is true */
    bool is_window_first;     /* the first layer of a period is global, not the last */
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
/* Returns whether the family needs the tensor, in a layer that has the tensor's
 * part. */
enum flo_need flo_arch_need(const struct flo_arch *arch, const struct flo_tensor_spec *spec);
/* Tells whether a layer of these kinds has the part to which a set belongs. */
bool flo_arch_has_part(enum flo_tensor_set set, enum flo_mixer mixer, enum flo_feed feed);

#endif
