/* Weights: the tensors of a model by role, bound to the mapped file.
 *
 * An architecture says in a table which tensors it has, where they go and
 * what shape they must have; binding checks name, shape and type of each. */
#ifndef FLOTILLA_ENGINE_WEIGHTS_H
#define FLOTILLA_ENGINE_WEIGHTS_H

#include "engine/kernel/kernel.h"
#include "engine/kernel/pack.h"
#include "engine/model/file/hparams.h"
#include "engine/pack/sidecar.h"

/* A matrix: `rows` rows of `columns` weights, in the model file by rows or in
 * a packed file by strips. */
struct flo_matrix {
    const uint8_t *data; /* NULL: the model has none */
    flo_matmul_fn *matmul;
    const struct flo_quant_type *type;
    size_t row_bytes;             /* size of a row, or of a strip */
    uint32_t strip_rows;          /* 1, or FLO_STRIP_ROWS: packed */
    enum flo_precision precision; /* that its input needs */
    uint32_t columns;
    uint32_t rows;
    const float *bias;                    /* [rows], added to a product */
    const struct flo_gguf_tensor *tensor; /* in the model file ... */
    uint32_t tensor_row;                  /* ... the first of its rows there */
    uint32_t number;                      /* index among what products read */
};

/* One block; what a family lacks is NULL.  Fused matrices are there only
 * while binding: their parts are views into them. */
struct flo_layer {
    const float *attn_norm; /* [n_embd] */
    const float *attn_norm_bias;
    const float *attn_post_norm; /* norm of the attention's output */
    const float *ffn_norm;       /* [n_embd] */
    const float *ffn_post_norm;
    const float *q_norm, *k_norm; /* [head_size] */
    struct flo_matrix qkv;
    struct flo_matrix q, k, v, o;
    struct flo_matrix gate_up;
    struct flo_matrix gate, up, down;
};

struct flo_weights {
    struct flo_matrix embedding; /* [n_vocab][n_embd] */
    struct flo_matrix output;    /* the embedding's where tied */
    const float *output_norm;    /* [n_embd] */
    struct flo_matrix head;      /* [n_labels][n_embd]: ranks documents */
    float *head_rows;            /* the same, decoded and owned: read once for a text */
    const float *output_norm_bias;
    const float *rope_factors;           /* [n_rope / 2], as the next two */
    const float *rope_short, *rope_long; /* for contexts of that kind */
    struct flo_layer *layers;            /* [n_layer], owned */
    uint32_t n_layer;
    float *vectors; /* all of them, copied and owned: what else is read of the
                       file where packed weights are in use is little */
    uint64_t vector_bytes;
    bool are_packed; /* all matrices whose products read codes */
    uint64_t parameters;
};

/* Fills *weights; the caller gives it to flo_weights_deinit(), also after an
 * error.  The file must stay open.
 *
 * FLO_E_GGUF_MISSING   a tensor that the architecture needs is absent
 * FLO_E_GGUF_SHAPE     name, expected and found shape are in the sentence
 * FLO_E_GGUF_TYPE      a vector that is not F32
 * FLO_E_NOT_BUILT      a tensor type that the kernel does not compute
 * FLO_E_MODEL_ARCH     a tensor that the architecture does not have, or a
 *                      fused one next to its parts */
FLO_MUST_USE int flo_weights_bind(const struct flo_gguf *gguf, const struct flo_arch *arch,
                                  const struct flo_hparams *hparams,
                                  const struct flo_kernel *kernel, struct flo_weights *weights,
                                  struct flo_err *err);
/* Can the kernel (NULL: some kernel) read all of these from a sidecar?
 * FLO_E_NOT_BUILT says which one it cannot: its type, or a part of a fused
 * matrix that begins inside a strip. */
FLO_MUST_USE int flo_weights_can_pack(struct flo_weights *weights, const struct flo_kernel *kernel,
                                      const struct flo_sidecar *sidecar, struct flo_err *err);
/* Do so from here on: after flo_weights_can_pack(), with a mapped one. */
void flo_weights_pack(struct flo_weights *weights, const struct flo_kernel *kernel,
                      const struct flo_sidecar *sidecar);
/* How many matrices products read: of all layers, then the output. */
uint32_t flo_weights_count(const struct flo_weights *weights);
#define FLO_PLACES_MAX 3
/* The matrices of layers that are this tensor, or its parts in their order
 * where it is fused; 0: it is of no layer. */
size_t flo_weights_places(struct flo_weights *weights, const struct flo_gguf_tensor *tensor,
                          const struct flo_matrix **out);
void flo_weights_deinit(struct flo_weights *weights);

#endif
