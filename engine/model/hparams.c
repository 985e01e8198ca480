/* Hyper-parameters: see hparams.h. */
#include "engine/model/hparams.h"

#include <math.h>
#include <string.h>

struct reader {
    const struct flo_gguf *gguf;
    const char *arch;
    struct flo_err *err;
    int rv; /* first error; later reads do nothing */
    char key[128];
};

static const char *key_of(struct reader *r, const char *name)
{
    snprintf(r->key, sizeof(r->key), "%s.%s", r->arch, name);
    return r->key;
}

/* An absent key leaves *out as it is (its default); then the range. */
static void read_u32(struct reader *r, const char *name, uint32_t minimum,
                     uint32_t maximum, uint32_t *out)
{
    uint32_t value = *out;

    if (r->rv < 0) {
        return;
    }
    r->rv = flo_gguf_u32(r->gguf, key_of(r, name), &value, r->err);
    if (r->rv == 0 && (value < minimum || value > maximum)) {
        r->rv = flo_fail(r->err, FLO_E_GGUF_HPARAM, "%s is %u, not %u to %u",
                         r->key, value, minimum, maximum);
    }
    *out = value;
}

static void need_u32(struct reader *r, const char *name, uint32_t maximum,
                     uint32_t *out)
{
    if (r->rv == 0) {
        r->rv = flo_gguf_require(r->gguf, key_of(r, name), r->err);
    }
    read_u32(r, name, 1, maximum, out);
}

static void read_f32(struct reader *r, const char *name, float minimum,
                     float maximum, float *out)
{
    if (r->rv < 0) {
        return;
    }
    r->rv = flo_gguf_f32(r->gguf, key_of(r, name), out, r->err);
    if (r->rv == 0 && !(*out >= minimum && *out <= maximum)) {
        r->rv =
            flo_fail(r->err, FLO_E_GGUF_HPARAM, "%s is %g, not %g to %g",
                     r->key, (double)*out, (double)minimum, (double)maximum);
    }
}

/* Length of the token list, else of the embedding's rows. */
static uint32_t vocab_default(const struct flo_gguf *gguf)
{
    const struct flo_gguf_kv *tokens =
        flo_gguf_find(gguf, "tokenizer.ggml.tokens");
    const struct flo_gguf_tensor *embedding =
        flo_gguf_tensor_find(gguf, "token_embd.weight");
    uint64_t count = 0;

    if (embedding != NULL) {
        count = embedding->dims[1];
    } else if (tokens != NULL) {
        count = tokens->count;
    }
    return count > UINT32_MAX ? UINT32_MAX : (uint32_t)count;
}

static void read_rope(struct reader *r, struct flo_hparams *h)
{
    struct flo_gguf_text scaling = {0};

    h->n_rope = h->head_size;
    read_u32(r, "rope.dimension_count", 2, h->head_size, &h->n_rope);
    h->rope_base = 10000.0f;
    read_f32(r, "rope.freq_base", 1.0f, 1e12f, &h->rope_base);
    h->rope_factor = 1.0f;
    if (r->rv < 0) {
        return;
    }
    r->rv = flo_gguf_string(r->gguf, key_of(r, "rope.scaling.type"), &scaling,
                            r->err);
    if (r->rv < 0 || scaling.data == NULL ||
        flo_gguf_text_is(scaling, "none")) {
        return;
    }
    if (!flo_gguf_text_is(scaling, "linear")) {
        r->rv = flo_fail(
            r->err, FLO_E_NOT_BUILT, "%s \"%.*s\" is not built yet", r->key,
            (int)(scaling.bytes < 32 ? scaling.bytes : 32), scaling.data);
        return;
    }
    read_f32(r, "rope.scaling.factor", 1e-3f, 1e6f, &h->rope_factor);
}

static int check_together(const struct flo_hparams *h, struct flo_err *err)
{
    if (h->n_head % h->n_head_kv != 0) {
        return flo_fail(err, FLO_E_GGUF_HPARAM,
                        "%u attention heads do not share %u key heads evenly",
                        h->n_head, h->n_head_kv);
    }
    if (h->head_size % 2 != 0 || h->n_rope % 2 != 0) {
        return flo_fail(err, FLO_E_GGUF_HPARAM,
                        "head size %u or rotated part %u is odd", h->head_size,
                        h->n_rope);
    }
    if ((uint64_t)h->n_head * h->head_size > FLO_WIDTH_MAX) {
        return flo_fail(err, FLO_E_GGUF_HPARAM,
                        "%u heads of %u are more than %u values", h->n_head,
                        h->head_size, FLO_WIDTH_MAX);
    }
    return 0;
}

static void read_heads(struct reader *r, struct flo_hparams *h)
{
    uint32_t value_length;

    need_u32(r, "attention.head_count", FLO_HEADS_MAX, &h->n_head);
    h->n_head_kv = h->n_head;
    read_u32(r, "attention.head_count_kv", 1, FLO_HEADS_MAX, &h->n_head_kv);
    if (r->rv < 0) {
        return;
    }
    h->head_size = h->n_embd / h->n_head;
    read_u32(r, "attention.key_length", 2, FLO_HEAD_SIZE_MAX, &h->head_size);
    value_length = h->head_size;
    read_u32(r, "attention.value_length", 2, FLO_HEAD_SIZE_MAX, &value_length);
    if (r->rv == 0 && value_length != h->head_size) {
        r->rv = flo_fail(r->err, FLO_E_NOT_BUILT,
                         "values of %u beside keys of %u are not built yet",
                         value_length, h->head_size);
    }
}

int flo_hparams_read(const struct flo_gguf *gguf, const char *arch,
                     struct flo_hparams *out, struct flo_err *err)
{
    struct reader r = {.gguf = gguf, .arch = arch, .err = err};
    struct flo_hparams h = {.n_vocab = vocab_default(gguf), .epsilon = 1e-5f};
    uint32_t experts = 0;

    need_u32(&r, "block_count", FLO_LAYERS_MAX, &h.n_layer);
    need_u32(&r, "embedding_length", FLO_WIDTH_MAX, &h.n_embd);
    need_u32(&r, "feed_forward_length", FLO_WIDTH_MAX, &h.n_ff);
    need_u32(&r, "context_length", UINT32_MAX, &h.context_trained);
    read_heads(&r, &h);
    read_u32(&r, "vocab_size", 1, FLO_VOCAB_MAX, &h.n_vocab);
    read_f32(&r, "attention.layer_norm_rms_epsilon", 0.0f, 1.0f, &h.epsilon);
    read_rope(&r, &h);
    read_u32(&r, "expert_count", 0, UINT32_MAX, &experts);
    if (r.rv == 0 && experts > 0) {
        r.rv = flo_fail(err, FLO_E_NOT_BUILT,
                        "%u experts: mixtures are not built yet", experts);
    }
    if (r.rv == 0) {
        r.rv = check_together(&h, err);
    }
    if (r.rv < 0) {
        return r.rv;
    }
    *out = h;
    return 0;
}
