/* Weights: the tensors of a model by role, bound to the mapped file.
 *
 * An architecture says in a table which tensors it has, where they go and
 * what shape they must have; binding checks name, shape and type of each. */
#ifndef FLOTILLA_ENGINE_WEIGHTS_H
#define FLOTILLA_ENGINE_WEIGHTS_H

#include "engine/kernel/kernel.h"
#include "engine/model/hparams.h"

/* A matrix in the file: `rows` rows of `columns` weights. */
struct flo_matrix {
    const uint8_t *data; /* NULL: the model has none */
    flo_matmul_fn *matmul;
    const struct flo_quant_type *type;
    size_t row_bytes;
    uint32_t columns;
    uint32_t rows;
};

/* One block of the llama family; vectors are NULL where absent. */
struct flo_layer {
    const float *attn_norm; /* [n_embd] */
    const float *ffn_norm;  /* [n_embd] */
    struct flo_matrix q, k, v, o;
    struct flo_matrix gate, up, down;
    const float *q_bias, *k_bias, *v_bias, *o_bias;
    const float *gate_bias, *up_bias, *down_bias;
};

struct flo_weights {
    struct flo_matrix embedding; /* [n_vocab][n_embd] */
    struct flo_matrix output;    /* the embedding's where tied */
    const float *output_norm;    /* [n_embd] */
    const float *rope_factors;   /* [n_rope / 2] or NULL */
    struct flo_layer *layers;    /* [n_layer], owned */
    uint64_t parameters;
    uint64_t bytes; /* of all tensors in the file */
};

/* Dimensions by name, so that a table can be constant. */
enum flo_dim {
    FLO_DIM_NONE,
    FLO_DIM_EMBD,
    FLO_DIM_Q,
    FLO_DIM_KV,
    FLO_DIM_FF,
    FLO_DIM_VOCAB,
    FLO_DIM_HALF_ROPE,
};

enum flo_tensor_kind { FLO_TENSOR_MATRIX, FLO_TENSOR_VECTOR };

struct flo_tensor_spec {
    const char *name; /* behind "blk.N." for those of a layer */
    enum flo_tensor_kind kind;
    size_t offset; /* of its member in flo_layer, or in flo_weights */
    enum flo_dim columns;
    enum flo_dim rows; /* FLO_DIM_NONE for vectors */
    bool is_optional;
};

struct flo_arch {
    const char *name; /* general.architecture */
    const struct flo_tensor_spec *model_tensors;
    size_t model_tensor_count;
    const struct flo_tensor_spec *layer_tensors;
    size_t layer_tensor_count;
};

/* NULL when this engine does not know the architecture. */
const struct flo_arch *flo_arch_find(struct flo_gguf_text name);

/* Fills *weights; the caller gives it to flo_weights_deinit(), also after an
 * error.  The file must stay open.
 *
 * FLO_E_GGUF_MISSING   a tensor that the architecture needs is absent
 * FLO_E_GGUF_SHAPE     name, expected and found shape are in the sentence
 * FLO_E_GGUF_TYPE      a vector that is not F32
 * FLO_E_NOT_BUILT      a tensor type that the kernel does not compute
 * FLO_E_MODEL_ARCH     a tensor that the architecture does not have */
FLO_MUST_USE int flo_weights_bind(const struct flo_gguf *gguf,
                                  const struct flo_arch *arch,
                                  const struct flo_hparams *hparams,
                                  const struct flo_kernel *kernel,
                                  struct flo_weights *weights,
                                  struct flo_err *err);
void flo_weights_deinit(struct flo_weights *weights);

#endif
