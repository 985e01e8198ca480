/* Hparams: hyper-parameters from a model's file, checked.  All numbers that
 * later code multiplies or divides by come from here, so their ranges are
 * checked once. */
#ifndef FLOTILLA_ENGINE_HPARAMS_H
#define FLOTILLA_ENGINE_HPARAMS_H

#include "engine/model/file/arch.h"

#define FLO_LAYERS_MAX 512u
#define FLO_HEADS_MAX 1024u
#define FLO_HEAD_SIZE_MAX 512u
/* largest width of the embedding, the feed-forward part or all heads together */
#define FLO_WIDTH_MAX (1u << 18)
#define FLO_VOCAB_MAX (1u << 20)
#define FLO_LABELS_MAX 64u
#define FLO_EXPERTS_MAX 1024u
#define FLO_EXPERTS_USED_MAX 64u
#define FLO_TAPS_MAX 16u
#define FLO_TYPES_MAX 64u
#define FLO_STREAMS_MAX 8u
#define FLO_STATE_MAX 512u

/* Rotary embedding.  Pair i is turned at a position by the angle position *
 * base^(-2i / n_rope).  Scaling changes the angle (model/pass/rope.c). */
struct flo_rope {
    float base;
    float factor;               /* scaling divides positions by this; 1: no scaling */
    float local_base;           /* base of local layers */
    bool is_yarn;               /* YaRN scaling: pairs that turn fast keep their angle */
    float beta_fast, beta_slow; /* turns in original_context */
    float magnitude;            /* factor for all sines and cosines, but of plain layers */
    bool is_local_plain;        /* local layers ignore factors, scaling and magnitude */
    bool rounds_corners;        /* YaRN's corner pairs are whole numbers */
    uint32_t original_context;  /* largest context that uses the factors for short contexts */
};

/* Kinds and sizes of one layer. */
struct flo_layer_shape {
    uint8_t mixer; /* enum flo_mixer */
    uint8_t feed;  /* enum flo_feed */
    bool is_local; /* attends only to the window */
    bool is_rotated;
    uint16_t n_head, n_head_kv, head_size;
    float sparsity; /* values below mean + this * deviation become 0; 0: all are kept */
    uint16_t cache; /* the layer whose keys and values it reads; its own number, or less */
    uint32_t n_ff;
};

struct flo_hparams {
    uint32_t n_vocab;
    uint32_t n_embd; /* values of a token in the residual stream */
    uint32_t n_layer;
    uint32_t n_block; /* the same, and layers that only predict further tokens: unused */
    /* largest numbers of all layers */
    uint32_t n_head;       /* query heads */
    uint32_t n_head_kv;    /* divides n_head */
    uint32_t head_size;    /* values of a head; even, and not always n_embd / n_head */
    uint32_t n_ff;         /* width of the feed-forward part */
    uint32_t n_rope;       /* first values of a head, which are rotated; an even number */
    uint32_t n_rope_local; /* the same of local layers */
    uint32_t n_labels;     /* number of outputs of the ranking head; 0: none */
    uint32_t context_trained;
    float epsilon; /* small number that norms add to the variance */
    float embedding_scale;
    float attention_scale; /* factor by which q . k is multiplied */
    float attention_cap;   /* limit of the scaled q . k; 0: none */
    float output_cap;      /* limit of the logits; 0: none */
    float output_scale;    /* factor of the logits before the limit */
    float residual_scale;  /* factor of each part's result before it is added */
    bool has_query_gates;  /* each query of a layer is followed by a gate of the same size */
    float temperature;     /* queries grow by this times ln(1 + position / original context) */
    struct flo_rope rope;
    uint32_t window; /* number of last positions that a local layer attends to; 0: all */

    /* Encoders, and models whose file says how a text's vector is made. */
    bool is_encoder; /* tokens attend to later ones, so a text is computed in one pass */
    enum flo_text_pooling {
        FLO_POOLED_NONE,
        FLO_POOLED_MEAN,
        FLO_POOLED_FIRST,
        FLO_POOLED_LAST
    } pooling;
    bool keeps_length; /* a text's vector is not brought to length 1 */
    uint32_t n_types;  /* kinds of text that the embedding distinguishes */
    uint32_t n_dense;  /* width between the two matrices behind the pooled vector; 0: none */

    uint32_t n_streams, n_low; /* residual streams, 0 if there is one; rank of a branch */
    uint32_t n_per_layer;      /* width of each layer's own embedding; 0: there are none */
    uint32_t n_expert;         /* 0: the model has no experts */
    uint32_t n_expert_used;
    uint32_t n_ff_expert, n_ff_shared;
    float expert_scale;      /* factor of the experts' weights */
    bool normalises_experts; /* weights of the chosen experts add up to 1 */

    /* Recurrent layers.  A state space or delta net keeps n_state values for
     * each of its n_inner values. */
    uint32_t n_taps; /* tokens that the convolution reads; 0: no recurrent layers */
    uint32_t n_inner, n_state, n_state_heads, n_groups;

    struct flo_layer_shape layers[FLO_LAYERS_MAX];
};

/* Return the number of values in all query heads, and in all key (or value)
 * heads. */
static inline uint32_t flo_shape_q(const struct flo_layer_shape *layer)
{
    return (uint32_t)layer->n_head * layer->head_size;
}
static inline uint32_t flo_shape_kv(const struct flo_layer_shape *layer)
{
    return (uint32_t)layer->n_head_kv * layer->head_size;
}
/* Return upper bounds of the same in all layers. */
static inline uint32_t flo_width_q(const struct flo_hparams *h)
{
    return h->n_head * h->head_size;
}
static inline uint32_t flo_width_kv(const struct flo_hparams *h)
{
    return h->n_head_kv * h->head_size;
}
/* Returns the number of values that the convolution of a state space or delta
 * net reads. */
static inline uint32_t flo_width_mixed(const struct flo_hparams *h)
{
    return h->n_inner + 2 * h->n_groups * h->n_state;
}
static inline bool flo_attends(const struct flo_layer_shape *layer)
{
    return layer->mixer == FLO_MIX_ATTENTION || layer->mixer == FLO_MIX_BESIDE;
}
static inline bool flo_recurs(const struct flo_layer_shape *layer)
{
    return layer->mixer != FLO_MIX_ATTENTION && layer->mixer != FLO_MIX_NONE;
}

/* Gives all layers the same shape: attention of the heads in `h`, and a dense
 * feed-forward part. */
static inline void flo_hparams_make_uniform(struct flo_hparams *h)
{
    for (uint32_t i = 0; i < h->n_layer; i++) {
        h->layers[i] = (struct flo_layer_shape){
            .n_head = (uint16_t)h->n_head,
            .n_head_kv = (uint16_t)h->n_head_kv,
            .head_size = (uint16_t)h->head_size,
            .cache = (uint16_t)i,
            .n_ff = h->n_ff,
        };
    }
}

/* Reads the architecture and the keys `<arch>.*`.
 *
 * FLO_E_MODEL_ARCH    the architecture is unknown
 * FLO_E_GGUF_MISSING, FLO_E_GGUF_TYPE  a key is absent or of another type
 * FLO_E_GGUF_HPARAM   a value is out of range, or two contradict each other
 * FLO_E_NOT_BUILT     the model has a rope scaling, or layers, that this engine
 *                     lacks */
FLO_MUST_USE int flo_hparams_read(const struct flo_gguf *gguf, const struct flo_arch **arch,
                                  struct flo_hparams *out, struct flo_err *err);
/* Does that, and sets seen[i] for each key i of the file that it looked at. */
FLO_MUST_USE int flo_hparams_look(const struct flo_gguf *gguf, bool *seen,
                                  const struct flo_arch **arch, struct flo_hparams *out,
                                  struct flo_err *err);

#endif
