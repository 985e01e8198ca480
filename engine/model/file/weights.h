/* Weights: a model's tensors by role, bound to the mapped file.
 *
 * A table for each architecture lists its tensors, their roles and required
 * shapes; binding checks name, shape and type of each. */
#ifndef FLOTILLA_ENGINE_WEIGHTS_H
#define FLOTILLA_ENGINE_WEIGHTS_H

#include "engine/kernel/kernel.h"
#include "engine/kernel/pack.h"
#include "engine/model/file/hparams.h"
#include "engine/pack/sidecar.h"

/* A matrix: `rows` rows of `columns` weights, by rows in the model file or by
 * strips in a packed file. */
struct flo_matrix {
    const uint8_t *data; /* NULL: the model lacks the matrix */
    flo_matmul_fn *matmul;
    const struct flo_quant_type *type;
    size_t row_bytes;             /* size of a row, or of a strip */
    uint32_t strip_rows;          /* 1, or FLO_STRIP_ROWS: packed */
    enum flo_precision precision; /* precision that the matrix's input needs */
    uint32_t columns;
    uint32_t rows;
    const float *bias; /* bias that is added to a product, for each row; NULL: none */
    const struct flo_gguf_tensor *tensor; /* tensor of the matrix in the model file ... */
    uint32_t tensor_row;                  /* ... and its first row in that tensor */
    uint32_t number;                      /* index among the matrices of products */
};

/* Weights of one layer; those that a family lacks are NULL.  Fused matrices
 * exist only while binding: their parts are views into them. */
struct flo_layer {
    const float *attn_norm; /* [n_embd] */
    const float *attn_norm_bias;
    const float *attn_post_norm; /* norm of the attention's result */
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
    struct flo_matrix output;    /* the embedding's, if tied */
    const float *output_norm;    /* [n_embd] */
    struct flo_matrix head;      /* [n_labels][n_embd]: ranks documents */
    float *head_rows;            /* the head, decoded and owned: used once per text */
    const float *output_norm_bias;
    const float *rope_factors;           /* [n_rope / 2], also the next two */
    const float *rope_short, *rope_long; /* factors of rope for short and for long contexts */
    struct flo_layer *layers;            /* [n_layer], owned */
    uint32_t n_layer;
    float *vectors; /* copies of all vectors, owned: with packed weights little else of the model's
                       file is read */
    uint64_t vector_bytes;
    bool are_packed; /* all matrices whose inputs are codes are in packed form */
    uint64_t parameters;
};

/* Fills *weights; the caller ends it with flo_weights_deinit(), also after an
 * error.  The file must stay open.
 *
 * FLO_E_GGUF_MISSING a tensor that the architecture needs is absent
 * FLO_E_GGUF_SHAPE name, expected and found shape are in the sentence
 * FLO_E_GGUF_TYPE a vector that is not F32 FLO_E_NOT_BUILT a tensor type that
 * the kernel does not compute FLO_E_MODEL_ARCH a tensor that the architecture
 * does not have, or a
 *                      fused one next to its parts */
FLO_MUST_USE int flo_weights_bind(const struct flo_gguf *gguf, const struct flo_arch *arch,
                                  const struct flo_hparams *hparams,
                                  const struct flo_kernel *kernel, struct flo_weights *weights,
                                  struct flo_err *err);
/* Checks that the kernel (NULL: any kernel) can read all matrices from a
 * sidecar.  FLO_E_NOT_BUILT names one that it cannot: for its type, or as a
 * part of a fused matrix that begins inside a strip. */
FLO_MUST_USE int flo_weights_can_pack(struct flo_weights *weights, const struct flo_kernel *kernel,
                                      const struct flo_sidecar *sidecar, struct flo_err *err);
/* Switches all matrices to a mapped sidecar, after flo_weights_can_pack(). */
void flo_weights_pack(struct flo_weights *weights, const struct flo_kernel *kernel,
                      const struct flo_sidecar *sidecar);
/* Returns the number of matrices that products read: of all layers, then the
 * output. */
uint32_t flo_weights_count(const struct flo_weights *weights);
#define FLO_PLACES_MAX 3
/* Returns the layers' matrices that belong to this tensor: itself, or its parts
 * in order if it is fused.  0: it belongs to no layer. */
size_t flo_weights_places(struct flo_weights *weights, const struct flo_gguf_tensor *tensor,
                          const struct flo_matrix **out);
void flo_weights_deinit(struct flo_weights *weights);

#endif
