/* Weights: the tensors of a model by their role, bound to the mapped file.  A
 * table for each architecture lists its tensors with roles and shapes.  Binding
 * checks name, shape and type of each tensor. */
#ifndef FLOTILLA_ENGINE_WEIGHTS_H
#define FLOTILLA_ENGINE_WEIGHTS_H

#include "engine/kernel/kernel.h"
#include "engine/kernel/pack.h"
#include "engine/model/file/hparams.h"
#include "engine/pack/sidecar.h"

/* A matrix of `rows` x `columns` weights.  They are stored by rows in the
 * model's file, or by strips in a packed file. */
struct flo_matrix {
    const uint8_t *data; /* weights in the mapped file; NULL: the model has no such matrix */
    flo_matmul_fn *matmul;
    const struct flo_quant_type *type;
    size_t row_bytes;             /* bytes of a row, or of a strip if packed */
    uint32_t strip_rows;          /* rows stored together: 1, or FLO_STRIP_ROWS if packed */
    enum flo_precision precision; /* precision that products with this matrix need of their input */
    uint32_t columns;
    uint32_t rows;
    const float *bias; /* bias added to a product, one value per row; NULL: none */
    const struct flo_gguf_tensor *tensor; /* tensor of the model's file that has this matrix */
    uint32_t tensor_row;                  /* first row of this matrix in its tensor */
    uint32_t number;                      /* index of the matrix among all that products read */
    uint32_t slice; /* in a tensor of several matrices: which one this is, where it is single */
};

/* Weights of one layer.  Those that a family lacks are NULL.  A fused matrix is
 * used only while binding: its parts become matrices of their own. */
struct flo_layer {
    const float *attn_norm; /* [n_embd] */
    const float *attn_norm_bias;
    const float *attn_post_norm; /* weights of the norm for the attention's result */
    const float *ffn_norm;       /* [n_embd] */
    const float *ffn_post_norm;
    const float *q_norm, *k_norm; /* [head_size], or of all heads */
    /* norms of the residual stream after attention, and after the layer */
    const float *attn_out_norm, *attn_out_norm_bias, *out_norm, *out_norm_bias;
    const float *sinks; /* [n_head]: a score of nothing, for each query head */
    struct flo_matrix qkv;
    struct flo_matrix q, k, v, o;
    struct flo_matrix head_gate; /* [n_head][n_embd]: a gate for each head's result */
    struct flo_matrix gate_up;
    struct flo_matrix gate, up, down;

    /* Recurrent part: a short convolution, a state space, or a delta net. */
    const float *conv; /* [channels][n_taps] */
    const float *conv_bias;
    const float *decay, *skip, *step_bias; /* [n_state_heads] */
    const float *state_norm;
    struct flo_matrix in, out;
    struct flo_matrix in_gate, alpha, beta; /* gates of a delta net */
    struct flo_matrix beta_alpha;           /* beta and alpha in one, by key head */

    /* Experts.  Each matrix holds those of all experts, one after the other. */
    struct flo_matrix router;
    const float *choice_bias;         /* [n_expert]: added to choose experts, not to weigh them */
    struct flo_matrix expert_gate_up; /* fused, as gate_up */
    struct flo_matrix expert_gate, expert_up, expert_down;
    const float *router_norm;  /* [n_embd]: the router's own norm of the input */
    const float *expert_scale; /* [n_expert] */
    const float *expert_norm, *expert_post_norm, *dense_post_norm;
    /* feed-forward part that every token uses, and the switch of its result */
    struct flo_matrix shared_gate, shared_up, shared_down, shared_switch;

    /* The layer's own embedding of the token, behind a gate. */
    struct flo_matrix own_gate, own_proj;
    const float *own_norm;
    /* Streams: a router, coefficients of prediction and correction, and a
     * low-rank branch, which reads the same input as attention. */
    const float *stream_norm, *predict, *correct, *correct_scale, *low_norm;
    struct flo_matrix stream_router, low_in, low_out;
    const float *scale; /* one number: factor of the layer's result */
};

#define FLO_LAYER_MATRICES_MAX 64

struct flo_weights {
    struct flo_matrix embedding; /* [n_vocab][n_embd] */
    struct flo_matrix output;    /* the matrix for logits; the embedding if the file has no other */
    const float *output_norm;    /* [n_embd] */
    /* embeddings of a token for each layer, [n_vocab][n_layer * n_per_layer],
     * and what the token's own embedding adds to them */
    struct flo_matrix per_layer, per_layer_proj;
    const float *per_layer_norm;
    /* [n_streams - 1][n_embd][n_embd]: make the other streams, and lead back */
    struct flo_matrix spread, merge;
    struct flo_matrix head; /* [n_labels][n_embd]: ranks documents */
    float *head_rows;       /* the ranking head as floats, owned; it is read once per text */
    const float *output_norm_bias;

    /* Encoders: what is added to a token's embedding, and what follows the
     * pooled vector. */
    const float *embedding_norm, *embedding_norm_bias;
    const float *positions; /* [context_trained][n_embd] */
    const float *types;     /* [n_types][n_embd] */
    struct flo_matrix dense_wide, dense_narrow;
    struct flo_matrix pooler;
    const float *pooler_norm;
    float *zeros; /* [n_embd], owned: biases of a norm without biases */
    float *ones;  /* [head_size or n_state], owned: weights of a norm without weights */
    /* [n_rope / 2] numbers by which the angles of the rotation are divided, one
     * for each pair of values */
    const float *rope_factors;
    /* divisors of the angles for short and for long contexts */
    const float *rope_short, *rope_long;
    struct flo_layer *layers; /* [n_layer], owned */
    uint32_t n_layer;
    uint16_t places[FLO_LAYER_MATRICES_MAX]; /* offsets in flo_layer of what products read */
    uint32_t n_places;
    /* copies of all vectors, owned.  With packed weights little else of the
     * model's file is read. */
    float *vectors;
    uint64_t vector_bytes;
    bool are_packed; /* all matrices whose inputs are codes are in packed form */
    uint64_t parameters;
};

/* Fills *weights.  The caller ends them with flo_weights_deinit(), also after
 * an error, and keeps the file open.
 *
 * FLO_E_GGUF_MISSING  the file lacks a tensor that the architecture needs
 * FLO_E_GGUF_SHAPE    a tensor has another shape (the sentence names both)
 * FLO_E_GGUF_TYPE     a vector is not F32
 * FLO_E_NOT_BUILT     the kernel does not compute a tensor's type
 * FLO_E_MODEL_ARCH    the architecture does not have a tensor of the file, or a
 *                     fused one is in it together with its parts */
FLO_MUST_USE int flo_weights_bind(const struct flo_gguf *gguf, const struct flo_arch *arch,
                                  const struct flo_hparams *hparams,
                                  const struct flo_kernel *kernel, struct flo_weights *weights,
                                  struct flo_err *err);
/* Checks that the kernel (NULL: any kernel) can read all matrices from a
 * sidecar.  FLO_E_NOT_BUILT names a matrix that it cannot read.  Its type has
 * no strips, or it is a part of a fused matrix and begins inside a strip. */
FLO_MUST_USE int flo_weights_can_pack(struct flo_weights *weights, const struct flo_kernel *kernel,
                                      const struct flo_sidecar *sidecar, struct flo_err *err);
/* Makes all matrices read a mapped sidecar, after flo_weights_can_pack()
 * allowed it. */
void flo_weights_pack(struct flo_weights *weights, const struct flo_kernel *kernel,
                      const struct flo_sidecar *sidecar);
/* Returns the number of matrices that products read: those of all layers and
 * those of the model.  The matrices of a layer's experts count as one. */
uint32_t flo_weights_count(const struct flo_weights *weights);
/* Returns that number for a model of FLO_LAYERS_MAX layers. */
uint32_t flo_weights_count_max(void);
#define FLO_PLACES_MAX 3
/* Returns how many matrices that adapters may change a tensor holds, and points
 * *out at them.  A fused tensor holds several, in order.  Returns 0 for the
 * embedding, the output, and what follows a pooled vector. */
size_t flo_weights_places(struct flo_weights *weights, const struct flo_gguf_tensor *tensor,
                          const struct flo_matrix **out);
void flo_weights_deinit(struct flo_weights *weights);

#endif
