/* Hyper-parameters: see hparams.h. */
#include "engine/model/file/hparams.h"

#include <math.h>
#include <string.h>

#include <flotilla/errors/gguf.h>

enum { POOLING_RANK = 4 };

struct reader {
    const struct flo_gguf *gguf;
    const struct flo_arch *arch;
    struct flo_err *err;
    int rv; /* first error; after it nothing more is read */
    char key[128];
};

static const char *key_of(struct reader *r, const char *name)
{
    snprintf(r->key, sizeof(r->key), "%s.%s", flo_arch_name(r->arch), name);
    return r->key;
}

/* Reads the one value of a list with `count` equal values, one per layer.  A
 * list with different values is refused. */
static int read_list(struct reader *r, const struct flo_gguf_kv *kv, uint32_t count, uint32_t *out)
{
    uint64_t item_bytes;

    if ((kv->item_type != FLO_GGUF_U32 && kv->item_type != FLO_GGUF_I32) || kv->count != count) {
        return flo_fail(r->err, FLO_E_GGUF_HPARAM, "%s is no list of %u numbers", r->key, count);
    }
    item_bytes = kv->bytes / kv->count;
    for (uint64_t i = 1; i < kv->count; i++) {
        if (memcmp(kv->data, kv->data + i * item_bytes, (size_t)item_bytes) != 0) {
            return flo_fail(r->err, FLO_E_NOT_BUILT,
                            "%s differs from layer to layer: not built yet", r->key);
        }
    }
    *out = flo_get_u32(kv->data);
    return 0;
}

/* Reads a number, or the value of a list of `n_layer` equal ones.  With n_layer
 * 0 no list is allowed. */
static void read_u32_or_list(struct reader *r, const char *name, uint32_t minimum, uint32_t maximum,
                             uint32_t n_layer, uint32_t *out)
{
    const struct flo_gguf_kv *kv = flo_gguf_find(r->gguf, key_of(r, name));
    bool is_list = n_layer > 0 && kv != NULL && kv->type == FLO_GGUF_ARRAY;
    uint32_t value = *out;

    if (r->rv < 0) {
        return;
    }
    r->rv =
        is_list ? read_list(r, kv, n_layer, &value) : flo_gguf_u32(r->gguf, r->key, &value, r->err);
    if (r->rv == 0 && (value < minimum || value > maximum)) {
        r->rv = flo_fail(r->err, FLO_E_GGUF_HPARAM, "%s is %u, not %u to %u", r->key, value,
                         minimum, maximum);
    }
    *out = value;
}

/* Reads a number and checks its range.  If the key is absent, *out keeps its
 * default. */
static void read_u32(struct reader *r, const char *name, uint32_t minimum, uint32_t maximum,
                     uint32_t *out)
{
    read_u32_or_list(r, name, minimum, maximum, 0, out);
}

static void need(struct reader *r, const char *name)
{
    if (r->rv == 0) {
        r->rv = flo_gguf_require(r->gguf, key_of(r, name), r->err);
    }
}

static void need_u32(struct reader *r, const char *name, uint32_t maximum, uint32_t *out)
{
    need(r, name);
    read_u32(r, name, 1, maximum, out);
}

static void read_f32(struct reader *r, const char *name, float minimum, float maximum, float *out)
{
    if (r->rv < 0) {
        return;
    }
    r->rv = flo_gguf_f32(r->gguf, key_of(r, name), out, r->err);
    if (r->rv == 0 && !(*out >= minimum && *out <= maximum)) {
        r->rv = flo_fail(r->err, FLO_E_GGUF_HPARAM, "%s is %g, not %g to %g", r->key, (double)*out,
                         (double)minimum, (double)maximum);
    }
}

/* Returns the length of the token list.  If the file has none, it returns the
 * number of the embedding's rows. */
static uint32_t vocab_default(const struct flo_gguf *gguf)
{
    const struct flo_gguf_kv *tokens = flo_gguf_find(gguf, "tokenizer.ggml.tokens");
    const struct flo_gguf_tensor *embedding = flo_gguf_tensor_find(gguf, "token_embd.weight");
    uint64_t count = 0;

    if (embedding != NULL) {
        count = embedding->dims[1];
    } else if (tokens != NULL) {
        count = tokens->count;
    }
    return count > UINT32_MAX ? UINT32_MAX : (uint32_t)count;
}

/* Reads the rope scaling.  A missing type means "linear", because the first
 * converters wrote no type and named the factor differently. */
static void read_scaling(struct reader *r, struct flo_rope *rope)
{
    struct flo_gguf_text type = {"linear", 6};

    rope->factor = rope->magnitude = 1;
    rope->beta_fast = 32;
    rope->beta_slow = 1;
    if (r->rv < 0) {
        return;
    }
    r->rv = flo_gguf_string(r->gguf, key_of(r, "rope.scaling.type"), &type, r->err);
    if (r->rv < 0) {
        return;
    }
    rope->is_yarn = flo_gguf_text_is(type, "yarn");
    if (!rope->is_yarn && !flo_gguf_text_is(type, "linear") && !flo_gguf_text_is(type, "none") &&
        !flo_gguf_text_is(type, "longrope")) {
        r->rv = flo_fail(r->err, FLO_E_NOT_BUILT, "%s \"%.*s\" is not built yet", r->key,
                         (int)(type.bytes < 32 ? type.bytes : 32), type.data);
        return;
    }
    read_f32(r, "rope.scale_linear", 0, 1e6f, &rope->factor);
    read_f32(r, "rope.scaling.factor", 0, 1e6f, &rope->factor);
    read_f32(r, "rope.scaling.attn_factor", 0, 1e3f, &rope->magnitude);
    read_f32(r, "rope.scaling.yarn_beta_fast", 1e-3f, 1e6f, &rope->beta_fast);
    read_f32(r, "rope.scaling.yarn_beta_slow", 1e-3f, 1e6f, &rope->beta_slow);
    if (rope->factor == 0 || flo_gguf_text_is(type, "none")) {
        rope->factor = 1;
    }
    if (r->rv == 0 && rope->factor < 1e-3f) {
        r->rv =
            flo_fail(r->err, FLO_E_GGUF_HPARAM, "%s.rope.scaling.factor is %g, not 0.001 to 1e+06",
                     flo_arch_name(r->arch), (double)rope->factor);
    }
    if (rope->is_yarn) {
        rope->magnitude *= 1 + 0.1f * logf(rope->factor);
    }
}

static void read_rope(struct reader *r, struct flo_hparams *h)
{
    struct flo_rope *rope = &h->rope;

    h->n_rope = h->head_size;
    read_u32(r, "rope.dimension_count", 2, h->head_size, &h->n_rope);
    rope->base = 10000.0f;
    read_f32(r, "rope.freq_base", 1.0f, 1e12f, &rope->base);
    read_scaling(r, rope);
    rope->original_context = h->context_trained;
    read_u32(r, "rope.scaling.original_context_length", 1, UINT32_MAX, &rope->original_context);
    rope->local_base = r->arch->local_rope_base > 0 ? r->arch->local_rope_base : rope->base;
    if (r->arch->window_period > 0) {
        read_f32(r, "rope.freq_base_swa", 1.0f, 1e12f, &rope->local_base);
    }
    rope->local_factor = r->arch->is_local_rope_plain ? 1 : rope->factor;
}

/* Reads which layers have a window.  The file gives a period, or a flag for
 * each layer. */
static void read_window(struct reader *r, struct flo_hparams *h)
{
    static const char pattern[] = "attention.sliding_window_pattern";
    uint32_t period = r->arch->window_period;
    const struct flo_gguf_kv *kv;

    if (period == 0 || r->rv < 0) {
        return;
    }
    h->window = r->arch->window;
    read_u32(r, "attention.sliding_window", 0, UINT32_MAX, &h->window);
    kv = flo_gguf_find(r->gguf, key_of(r, pattern));
    if (kv != NULL && kv->type == FLO_GGUF_ARRAY) {
        if (kv->item_type != FLO_GGUF_BOOL || kv->count != h->n_layer) {
            r->rv = flo_fail(r->err, FLO_E_GGUF_HPARAM, "%s is no list of %u flags", r->key,
                             h->n_layer);
            return;
        }
    } else {
        read_u32(r, pattern, 0, FLO_LAYERS_MAX, &period);
        kv = NULL;
    }
    for (uint32_t i = 0; h->window > 0 && i < h->n_layer; i++) {
        h->is_local[i] = kv != NULL ? kv->data[i] != 0 : period == 0 || i % period < period - 1;
    }
}

static void read_caps_and_scales(struct reader *r, struct flo_hparams *h)
{
    const struct flo_arch *arch = r->arch;
    bool is_wide = arch->wide_scale_layers > 0 && h->n_layer == arch->wide_scale_layers;

    if (arch->attention_cap > 0) {
        h->attention_cap = arch->attention_cap;
        read_f32(r, "attn_logit_softcapping", 0, 1e6f, &h->attention_cap);
    }
    if (arch->has_output_cap) {
        h->output_cap = arch->output_cap;
        read_f32(r, "final_logit_softcapping", 0, 1e6f, &h->output_cap);
    }
    if (r->rv < 0) {
        return;
    }
    h->embedding_scale = arch->scales_embedding ? sqrtf((float)h->n_embd) : 1;
    h->attention_scale =
        1 / sqrtf(is_wide ? (float)h->n_embd / (float)h->n_head : (float)h->head_size);
}

/* Reads the number of labels of a ranking model.  Such a model has
 * `pooling_type` rank and the tensor of the head.  A file with only one of the
 * two is refused. */
static void read_labels(struct reader *r, struct flo_hparams *h)
{
    const struct flo_gguf_tensor *head = flo_gguf_tensor_find(r->gguf, "cls.output.weight");
    const struct flo_gguf_kv *names = NULL;
    uint32_t pooling = 0;

    read_u32(r, "pooling_type", 0, UINT32_MAX, &pooling);
    if (r->rv == 0 && (pooling == POOLING_RANK) != (head != NULL)) {
        r->rv = flo_fail(r->err, FLO_E_GGUF_MISSING,
                         head == NULL ? "%s is 4 (rank), tensor cls.output.weight is "
                                        "missing"
                                      : "tensor cls.output.weight is there, %s is not "
                                        "4 (rank)",
                         r->key);
    }
    if (r->rv < 0 || head == NULL) {
        return;
    }
    r->rv = flo_gguf_array(r->gguf, key_of(r, "classifier.output_labels"), FLO_GGUF_STRING, &names,
                           r->err);
    if (r->rv == 0 &&
        (head->dims[1] > FLO_LABELS_MAX || (names != NULL && names->count != head->dims[1]))) {
        r->rv = flo_fail(r->err, FLO_E_GGUF_HPARAM,
                         "cls.output.weight has %llu labels, at most %u can "
                         "be; %s has %llu",
                         (unsigned long long)head->dims[1], FLO_LABELS_MAX, r->key,
                         names == NULL ? 0ull : (unsigned long long)names->count);
    }
    h->n_labels = (uint32_t)head->dims[1];
}

static int check_together(const struct flo_hparams *h, struct flo_err *err)
{
    if (h->n_head % h->n_head_kv != 0) {
        return flo_fail(err, FLO_E_GGUF_HPARAM,
                        "%u attention heads do not share %u key heads evenly", h->n_head,
                        h->n_head_kv);
    }
    if (h->head_size % 2 != 0 || h->n_rope % 2 != 0) {
        return flo_fail(err, FLO_E_GGUF_HPARAM, "head size %u or rotated part %u is odd",
                        h->head_size, h->n_rope);
    }
    if ((uint64_t)h->n_head * h->head_size > FLO_WIDTH_MAX) {
        return flo_fail(err, FLO_E_GGUF_HPARAM, "%u heads of %u are more than %u values", h->n_head,
                        h->head_size, FLO_WIDTH_MAX);
    }
    return 0;
}

static void read_heads(struct reader *r, struct flo_hparams *h)
{
    uint32_t value_length;

    need(r, "attention.head_count");
    read_u32_or_list(r, "attention.head_count", 1, FLO_HEADS_MAX, h->n_layer, &h->n_head);
    h->n_head_kv = h->n_head;
    read_u32_or_list(r, "attention.head_count_kv", 1, FLO_HEADS_MAX, h->n_layer, &h->n_head_kv);
    if (r->rv < 0) {
        return;
    }
    h->head_size = h->n_embd / h->n_head;
    read_u32(r, "attention.key_length", 2, FLO_HEAD_SIZE_MAX, &h->head_size);
    value_length = h->head_size;
    read_u32(r, "attention.value_length", 2, FLO_HEAD_SIZE_MAX, &value_length);
    if (r->rv == 0 && value_length != h->head_size) {
        r->rv =
            flo_fail(r->err, FLO_E_NOT_BUILT, "values of %u beside keys of %u are not built yet",
                     value_length, h->head_size);
    }
}

int flo_hparams_read(const struct flo_gguf *gguf, const struct flo_arch **arch,
                     struct flo_hparams *out, struct flo_err *err)
{
    struct reader r = {.gguf = gguf, .err = err};
    struct flo_hparams h = {.n_vocab = vocab_default(gguf), .epsilon = 1e-5f};
    uint32_t experts = 0;
    int rv = flo_arch_read(gguf, &r.arch, err);

    FLO_TRY(rv);
    need_u32(&r, "block_count", FLO_LAYERS_MAX, &h.n_layer);
    need_u32(&r, "embedding_length", FLO_WIDTH_MAX, &h.n_embd);
    need(&r, "feed_forward_length");
    read_u32_or_list(&r, "feed_forward_length", 1, FLO_WIDTH_MAX, h.n_layer, &h.n_ff);
    need_u32(&r, "context_length", UINT32_MAX, &h.context_trained);
    read_heads(&r, &h);
    read_u32(&r, "vocab_size", 1, FLO_VOCAB_MAX, &h.n_vocab);
    read_f32(&r,
             r.arch->norm == FLO_NORM_LAYER ? "attention.layer_norm_epsilon"
                                            : "attention.layer_norm_rms_epsilon",
             1e-12f, 1.0f, &h.epsilon);
    read_rope(&r, &h);
    read_window(&r, &h);
    read_caps_and_scales(&r, &h);
    read_labels(&r, &h);
    read_u32(&r, "expert_count", 0, UINT32_MAX, &experts);
    if (r.rv == 0 && experts > 0) {
        r.rv = flo_fail(err, FLO_E_NOT_BUILT, "%u experts: mixtures are not built yet", experts);
    }
    if (r.rv == 0) {
        r.rv = check_together(&h, err);
    }
    if (r.rv < 0) {
        return r.rv;
    }
    *arch = r.arch;
    *out = h;
    return 0;
}
