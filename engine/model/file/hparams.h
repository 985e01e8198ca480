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

/* Rotary embedding.  Pair i is turned at a position by the angle position *
 * base^(-2i / n_rope).  Scaling changes the angle (model/pass/rope.c). */
struct flo_rope {
    float base;
    float factor;                   /* scaling divides positions by this; 1: no scaling */
    float local_base, local_factor; /* of local layers */
    bool is_yarn;                   /* YaRN scaling: pairs that turn fast keep their angle */
    float beta_fast, beta_slow;     /* turns in original_context */
    float magnitude;                /* factor for all sines and cosines */
    uint32_t original_context;      /* largest context that uses the factors for short contexts */
};

struct flo_hparams {
    uint32_t n_vocab;
    uint32_t n_embd; /* values of a token in the residual stream */
    uint32_t n_layer;
    uint32_t n_head;    /* query heads */
    uint32_t n_head_kv; /* divides n_head */
    uint32_t head_size; /* values of a head; even, and not always n_embd / n_head */
    uint32_t n_ff;      /* width of the feed-forward part */
    uint32_t n_rope;    /* first values of a head, which are rotated; an even number */
    uint32_t n_labels;  /* number of outputs of the ranking head; 0: none */
    uint32_t context_trained;
    float epsilon; /* small number that norms add to the variance */
    float embedding_scale;
    float attention_scale; /* factor by which q . k is multiplied */
    float attention_cap;   /* limit of the scaled q . k; 0: none */
    float output_cap;      /* limit of the logits; 0: none */
    struct flo_rope rope;
    uint32_t window; /* number of last positions that a local layer attends to; 0: all */
    /* tells for each layer whether it uses the window; all false if window is
     * 0 */
    bool is_local[FLO_LAYERS_MAX];
};

/* Return the number of values in all query heads, and in all key (or value)
 * heads. */
static inline uint32_t flo_width_q(const struct flo_hparams *h)
{
    return h->n_head * h->head_size;
}
static inline uint32_t flo_width_kv(const struct flo_hparams *h)
{
    return h->n_head_kv * h->head_size;
}

/* Reads the architecture and the keys `<arch>.*`.
 *
 * FLO_E_MODEL_ARCH    the architecture is unknown
 * FLO_E_GGUF_MISSING, FLO_E_GGUF_TYPE  a key is absent or of another type
 * FLO_E_GGUF_HPARAM   a value is out of range, or two contradict each other
 * FLO_E_NOT_BUILT     the model has experts, layers of different shapes, or a
 *                     rope scaling that this engine lacks */
FLO_MUST_USE int flo_hparams_read(const struct flo_gguf *gguf, const struct flo_arch **arch,
                                  struct flo_hparams *out, struct flo_err *err);

#endif
