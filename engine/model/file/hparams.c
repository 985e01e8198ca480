/* Hyper-parameters: see hparams.h. */
#include "engine/model/file/hparams.h"

#include <math.h>
#include <string.h>

#include <flotilla/errors/gguf.h>

enum { POOLING_RANK = 4 };

struct reader {
    const struct flo_gguf *gguf;
    const struct flo_arch *arch;
    bool *seen; /* a flag for each key of the file that was looked at; NULL: none */
    struct flo_err *err;
    int rv;           /* first error; after it nothing more is read */
    uint32_t n_ahead; /* layers behind the model's, which only predict further tokens */
    char key[128];
};

static const char *key_of(struct reader *r, const char *name)
{
    snprintf(r->key, sizeof(r->key), "%s.%s", flo_arch_name(r->arch), name);
    const struct flo_gguf_kv *kv = r->seen == NULL ? NULL : flo_gguf_find(r->gguf, r->key);
    if (kv != NULL) {
        r->seen[kv - flo_gguf_kv_at(r->gguf, 0)] = true;
    }
    return r->key;
}

/* Reads item `i` of a list with `count` numbers. */
static int read_item(struct reader *r, const struct flo_gguf_kv *kv, uint32_t count, uint32_t i,
                     uint32_t *out)
{
    if ((kv->item_type != FLO_GGUF_U32 && kv->item_type != FLO_GGUF_I32) ||
        kv->count != count + r->n_ahead) {
        return flo_fail(r->err, FLO_E_GGUF_HPARAM, "%s is no list of %u numbers", r->key, count);
    }
    *out = flo_get_u32(kv->data + i * (kv->bytes / kv->count));
    return 0;
}

/* Reads a number of layer `i`: the value of the key, or its i-th if the key has
 * a list with a value for each layer. */
static void read_of_layer(struct reader *r, const char *name, uint32_t minimum, uint32_t maximum,
                          uint32_t n_layer, uint32_t i, uint32_t *out)
{
    const struct flo_gguf_kv *kv = flo_gguf_find(r->gguf, key_of(r, name));
    uint32_t value = *out;

    if (r->rv < 0) {
        return;
    }
    r->rv = n_layer > 0 && kv != NULL && kv->type == FLO_GGUF_ARRAY
                ? read_item(r, kv, n_layer, i, &value)
                : flo_gguf_u32(r->gguf, r->key, &value, r->err);
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
    read_of_layer(r, name, minimum, maximum, 0, 0, out);
}

/* Reads a flag of layer `i`.  If the key is absent, *out keeps its default. */
static void read_flag(struct reader *r, const char *name, uint32_t n_layer, uint32_t i, bool *out)
{
    const struct flo_gguf_kv *kv = flo_gguf_find(r->gguf, key_of(r, name));

    if (r->rv < 0 || kv == NULL) {
        return;
    }
    if (kv->type == FLO_GGUF_ARRAY && kv->item_type == FLO_GGUF_BOOL && n_layer > 0 &&
        kv->count == n_layer + r->n_ahead) {
        *out = kv->data[i] != 0;
    } else if (kv->type == FLO_GGUF_BOOL) {
        *out = kv->data[0] != 0;
    } else {
        r->rv = flo_fail(r->err, FLO_E_GGUF_HPARAM, "%s is no list of %u flags", r->key, n_layer);
    }
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

/* Reads the keys of YaRN.  Sines and cosines grow with the factor, unless the
 * file gives another magnitude, or divides it by that of all dimensions. */
static void read_yarn(struct reader *r, struct flo_rope *rope)
{
    float grown = 1 + 0.1f * logf(rope->factor), other = 0;

    rope->rounds_corners = true;
    read_flag(r, "rope.scaling.yarn_truncate", 0, 0, &rope->rounds_corners);
    read_f32(r, "rope.scaling.yarn_log_multiplier", 0, 1e3f, &other);
    grown /= 1 + 0.1f * other * logf(rope->factor);
    read_f32(r, "rope.scaling.yarn_attn_factor", 1e-3f, 1e3f, &grown);
    rope->magnitude *= grown;
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
        read_yarn(r, rope);
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
    rope->is_local_plain = r->arch->is_local_rope_plain;
    h->n_rope_local = h->n_rope;
    if (r->arch->has_layer_widths) {
        read_u32(r, "rope.dimension_count_swa", 2, h->n_rope, &h->n_rope_local);
    }
}

/* Reads which layers have a window.  The file gives a period, or a flag for
 * each layer. */
static void read_window(struct reader *r, struct flo_hparams *h)
{
    static const char pattern[] = "attention.sliding_window_pattern";
    uint32_t period = r->arch->window_period;
    const struct flo_gguf_kv *kv;

    kv = flo_gguf_find(r->gguf, key_of(r, pattern));
    /* A family without windows has them where a list names the layers. */
    if (r->rv < 0 || (period == 0 && (kv == NULL || kv->type != FLO_GGUF_ARRAY))) {
        return;
    }
    h->window = r->arch->window;
    read_u32(r, "attention.sliding_window", 0, UINT32_MAX, &h->window);
    (void)key_of(r, pattern);
    if (kv == NULL || kv->type != FLO_GGUF_ARRAY) {
        read_u32(r, pattern, 0, FLO_LAYERS_MAX, &period);
        kv = NULL;
    }
    for (uint32_t i = 0; h->window > 0 && i < h->n_layer; i++) {
        h->layers[i].is_local =
            period == 0 || (r->arch->is_window_first ? i % period != 0 : i % period < period - 1);
        if (kv != NULL) {
            read_flag(r, pattern, h->n_layer, i, &h->layers[i].is_local);
        }
    }
}

static int check_heads(const struct flo_layer_shape *layer, struct flo_err *err)
{
    if (layer->n_head_kv == 0 || layer->n_head % layer->n_head_kv != 0) {
        return flo_fail(err, FLO_E_GGUF_HPARAM,
                        "%u attention heads do not share %u key heads evenly", layer->n_head,
                        layer->n_head_kv);
    }
    if (layer->head_size % 2 != 0) {
        return flo_fail(err, FLO_E_GGUF_HPARAM, "head size %u is odd", layer->head_size);
    }
    if (flo_shape_q(layer) > FLO_WIDTH_MAX) {
        return flo_fail(err, FLO_E_GGUF_HPARAM, "%u heads of %u are more than %u values",
                        layer->n_head, layer->head_size, FLO_WIDTH_MAX);
    }
    return 0;
}

/* Reads the sizes of residual streams, and which layers keep only the largest
 * values of their gates. */
static void read_streams(struct reader *r, struct flo_hparams *h)
{
    const struct flo_gguf_tensor *low = flo_gguf_tensor_find(r->gguf, "blk.0.laurel_l.weight");
    const struct flo_gguf_kv *scales = NULL;
    uint32_t active = 0;

    if (!r->arch->has_streams || r->rv < 0) {
        return;
    }
    h->n_streams = 4;
    read_u32(r, "altup.num_inputs", 2, FLO_STREAMS_MAX, &h->n_streams);
    read_u32(r, "altup.active_idx", 0, 0, &active);
    h->n_low = low == NULL || low->dims[1] > FLO_WIDTH_MAX ? 1 : (uint32_t)low->dims[1];
    if (r->rv == 0) {
        r->rv = flo_gguf_array(r->gguf, key_of(r, "activation_sparsity_scale"), FLO_GGUF_F32,
                               &scales, r->err);
    }
    if (r->rv == 0 && scales != NULL && scales->count != h->n_layer) {
        r->rv =
            flo_fail(r->err, FLO_E_GGUF_HPARAM, "%s is no list of %u numbers", r->key, h->n_layer);
    }
    for (uint32_t i = 0; r->rv == 0 && scales != NULL && i < h->n_layer; i++) {
        float scale;

        memcpy(&scale, scales->data + 4 * (size_t)i, sizeof(scale));
        h->layers[i].sparsity = isfinite(scale) && scale > 0 ? scale : 0;
    }
}

/* Reads what local layers have of their own: the size of heads.  The last layers
 * of some families read the cache of the last one of their kind before them. */
static void read_local(struct reader *r, struct flo_hparams *h)
{
    uint32_t size = h->head_size, sharing = 0, last[2] = {0, 0};

    if (r->arch->has_layer_widths) {
        read_u32(r, "attention.key_length_swa", 2, h->head_size, &size);
        read_u32(r, "attention.shared_kv_layers", 0, h->n_layer - 1, &sharing);
        read_u32(r, "embedding_length_per_layer_input", r->arch->has_streams ? 1 : 0,
                 FLO_WIDTH_MAX / h->n_layer, &h->n_per_layer);
    }
    if (r->rv == 0 && h->n_rope_local > size) {
        r->rv = flo_fail(r->err, FLO_E_GGUF_HPARAM, "%u values of local heads of %u are rotated",
                         h->n_rope_local, size);
    }
    for (uint32_t i = 0; i < h->n_layer; i++) {
        struct flo_layer_shape *layer = &h->layers[i];

        if (layer->is_local) {
            layer->head_size = (uint16_t)size;
        }
        if (i < h->n_layer - sharing) {
            last[layer->is_local] = i;
        }
        layer->cache = (uint16_t)last[layer->is_local];
        if (i < h->n_layer - sharing) {
            layer->cache = (uint16_t)i;
        }
    }
    for (uint32_t i = 0; r->rv == 0 && i < h->n_layer; i++) {
        const struct flo_layer_shape *layer = &h->layers[i], *from = &h->layers[layer->cache];

        if (flo_attends(layer)) {
            r->rv = check_heads(layer, r->err);
        }
        if (r->rv == 0 && layer->cache != i &&
            (from->n_head_kv != layer->n_head_kv || from->head_size != layer->head_size ||
             !flo_attends(from))) {
            r->rv = flo_fail(r->err, FLO_E_GGUF_HPARAM,
                             "layer %u reads the cache of layer %u, whose heads are others", i,
                             layer->cache);
        }
    }
}

/* Reads which layers are rotated. */
static void read_rotated(struct reader *r, struct flo_hparams *h)
{
    const struct flo_arch *arch = r->arch;
    bool is_any = !arch->is_unrotated;

    if (arch->is_unrotated) {
        read_flag(r, "rope.scaling.finetuned", 0, 0, &is_any);
    }
    for (uint32_t i = 0; i < h->n_layer; i++) {
        struct flo_layer_shape *layer = &h->layers[i];
        uint32_t period = arch->unrotated_period;

        layer->is_rotated = is_any && (period == 0 || i % period != period - 1) &&
                            !(arch->is_global_unrotated && h->window > 0 && !layer->is_local);
        read_flag(r, "attention.rope_pattern", h->n_layer, i, &layer->is_rotated);
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
    float divisor = 1;

    h->embedding_scale = arch->scales_embedding ? sqrtf((float)h->n_embd) : 1;
    h->attention_scale =
        1 / sqrtf(is_wide ? (float)h->n_embd / (float)h->n_head : (float)h->head_size);
    if (arch->has_plain_scale) {
        h->attention_scale = 1;
    }
    h->residual_scale = 1;
    if (arch->needs_factors) {
        need(r, "embedding_scale");
        need(r, "residual_scale");
        need(r, "logit_scale");
    }
    read_f32(r, "attention.scale", 0, 1e6f, &h->attention_scale);
    read_f32(r, "embedding_scale", 0, 1e6f, &h->embedding_scale);
    read_f32(r, "residual_scale", 0, 1e6f, &h->residual_scale);
    read_f32(r, "logit_scale", 1e-6f, 1e6f, &divisor);
    h->output_scale = 1 / divisor;
    h->has_query_gates = arch->gates_queries;
    if (arch->scales_by_position) {
        read_f32(r, "attention.temperature_scale", 0, 1e6f, &h->temperature);
    }
}

/* Reads how a text's vector is made.  A model that ranks says so, and has the
 * tensor of the head: a file with only one of the two is refused.  Encoders need
 * not say it. */
static void read_pooling(struct reader *r, struct flo_hparams *h, bool has_head)
{
    uint32_t pooling = 0, kind = 2;

    read_u32(r, "pooling_type", 0, UINT32_MAX, &pooling);
    if (r->arch->is_encoder && has_head) {
        pooling = POOLING_RANK;
    }
    if (r->rv == 0 && (pooling == POOLING_RANK) != has_head) {
        r->rv = flo_fail(r->err, FLO_E_GGUF_MISSING,
                         !has_head ? "%s is 4 (rank), tensor cls.output.weight is "
                                     "missing"
                                   : "tensor cls.output.weight is there, %s is not "
                                     "4 (rank)",
                         r->key);
    }
    if (has_head && r->arch->is_encoder) {
        read_u32(r, "classifier.pooling_type", 1, FLO_POOLED_LAST, &kind);
        pooling = kind;
    }
    bool is_normal = true;
    read_flag(r, "pooling_normalize", 0, 0, &is_normal);
    h->keeps_length = !is_normal;
    h->is_encoder = r->arch->is_encoder;
    h->pooling = pooling <= FLO_POOLED_LAST ? (enum flo_text_pooling)pooling : FLO_POOLED_NONE;
    if (h->is_encoder && h->pooling == FLO_POOLED_NONE) {
        h->pooling = FLO_POOLED_MEAN;
    }
}

/* Reads the sizes of an encoder's own tensors. */
static void read_encoder(struct reader *r, struct flo_hparams *h)
{
    const struct flo_gguf_tensor *types = flo_gguf_tensor_find(r->gguf, "token_types.weight");

    if (!h->is_encoder || r->rv < 0) {
        return;
    }
    h->n_types = types == NULL || types->dims[1] > FLO_TYPES_MAX ? 0 : (uint32_t)types->dims[1];
    read_u32(r, "dense_2_feat_out", 0, FLO_WIDTH_MAX, &h->n_dense);
}

/* Reads the number of labels of a ranking model. */
static void read_labels(struct reader *r, struct flo_hparams *h)
{
    const struct flo_gguf_tensor *head = flo_gguf_tensor_find(r->gguf, "cls.output.weight");
    const struct flo_gguf_kv *names = NULL;
    /* Scores take the place of a vector. */
    uint32_t most = h->n_embd < FLO_LABELS_MAX ? h->n_embd : FLO_LABELS_MAX;

    read_pooling(r, h, head != NULL);
    read_encoder(r, h);
    if (r->rv < 0 || head == NULL) {
        return;
    }
    r->rv = flo_gguf_array(r->gguf, key_of(r, "classifier.output_labels"), FLO_GGUF_STRING, &names,
                           r->err);
    if (r->rv == 0 && (head->dims[1] > most || (names != NULL && names->count != head->dims[1]))) {
        r->rv = flo_fail(r->err, FLO_E_GGUF_HPARAM,
                         "cls.output.weight has %llu labels, at most %u can "
                         "be; %s has %llu",
                         (unsigned long long)head->dims[1], most, r->key,
                         names == NULL ? 0ull : (unsigned long long)names->count);
    }
    h->n_labels = (uint32_t)head->dims[1];
}

/* ---- layers ---- */

static void read_heads(struct reader *r, struct flo_hparams *h)
{
    bool may_lack = r->arch->pattern == FLO_PATTERN_HEADS || r->arch->pattern == FLO_PATTERN_SINGLE;
    uint32_t value_length;

    need(r, "attention.head_count");
    for (uint32_t i = 0; r->rv == 0 && i < h->n_layer; i++) {
        uint32_t heads = 0;

        read_of_layer(r, "attention.head_count", may_lack ? 0 : 1, FLO_HEADS_MAX, h->n_layer, i,
                      &heads);
        uint32_t key_heads = heads;
        read_of_layer(r, "attention.head_count_kv", may_lack ? 0 : 1, FLO_HEADS_MAX, h->n_layer, i,
                      &key_heads);
        h->layers[i].n_head = (uint16_t)heads;
        h->layers[i].n_head_kv = (uint16_t)key_heads;
        h->n_head = heads > h->n_head ? heads : h->n_head;
        h->n_head_kv = key_heads > h->n_head_kv ? key_heads : h->n_head_kv;
    }
    if (r->rv == 0 && h->n_head == 0) {
        r->rv = flo_fail(r->err, FLO_E_GGUF_HPARAM, "no layer has attention heads");
    }
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
    for (uint32_t i = 0; i < h->n_layer; i++) {
        h->layers[i].head_size = (uint16_t)h->head_size;
    }
}

/* Reads the kind of each layer's mixing part. */
static void read_mixers(struct reader *r, struct flo_hparams *h)
{
    const struct flo_arch *arch = r->arch;
    uint32_t interval = 4;

    if (arch->pattern == FLO_PATTERN_INTERVAL) {
        read_u32(r, "full_attention_interval", 1, FLO_LAYERS_MAX, &interval);
    }
    for (uint32_t i = 0; r->rv == 0 && i < h->n_layer; i++) {
        struct flo_layer_shape *layer = &h->layers[i];
        bool is_recurrent = false;

        switch (arch->pattern) {
        case FLO_PATTERN_NONE:
            break;
        case FLO_PATTERN_BESIDE:
            is_recurrent = true;
            break;
        case FLO_PATTERN_HEADS:
        case FLO_PATTERN_SINGLE:
            is_recurrent = layer->n_head_kv == 0;
            break;
        case FLO_PATTERN_INTERVAL:
            is_recurrent = i % interval != interval - 1;
            read_flag(r, "attention.recurrent_layers", h->n_layer, i, &is_recurrent);
            break;
        }
        layer->mixer = (uint8_t)(is_recurrent ? arch->recurrent : FLO_MIX_ATTENTION);
        if (arch->pattern == FLO_PATTERN_SINGLE && layer->n_ff > 0) {
            layer->mixer = FLO_MIX_NONE;
        }
    }
}

static void read_experts(struct reader *r, struct flo_hparams *h)
{
    h->expert_scale = 1;
    read_u32(r, "expert_count", 0, FLO_EXPERTS_MAX, &h->n_expert);
    if (r->rv < 0 || h->n_expert == 0) {
        return;
    }
    if (!r->arch->has_experts) {
        r->rv = flo_fail(r->err, FLO_E_NOT_BUILT, "%u experts: %s has none", h->n_expert,
                         flo_arch_name(r->arch));
        return;
    }
    h->n_ff_expert = h->n_ff;
    need(r, "expert_used_count");
    read_u32(r, "expert_used_count", 1,
             h->n_expert < FLO_EXPERTS_USED_MAX ? h->n_expert : FLO_EXPERTS_USED_MAX,
             &h->n_expert_used);
    read_u32(r, "expert_feed_forward_length", 1, FLO_WIDTH_MAX, &h->n_ff_expert);
    h->n_ff_shared = h->n_ff_expert;
    read_u32(r, "expert_shared_feed_forward_length", 0, FLO_WIDTH_MAX, &h->n_ff_shared);
    read_f32(r, "expert_weights_scale", 0, 1e6f, &h->expert_scale);
    h->normalises_experts = r->arch->normalises_experts;
    read_flag(r, "expert_weights_norm", 0, 0, &h->normalises_experts);
}

/* Reads the widths of the feed-forward parts, and which layers have experts.
 * The first layers of some families are dense. */
static void read_feeds(struct reader *r, struct flo_hparams *h)
{
    uint32_t dense = 0;

    need(r, "feed_forward_length");
    for (uint32_t i = 0; r->rv == 0 && i < h->n_layer; i++) {
        uint32_t least = r->arch->pattern == FLO_PATTERN_SINGLE ? 0 : 1;

        read_of_layer(r, "feed_forward_length", least, FLO_WIDTH_MAX, h->n_layer, i,
                      &h->layers[i].n_ff);
        h->n_ff = h->layers[i].n_ff > h->n_ff ? h->layers[i].n_ff : h->n_ff;
    }
    read_experts(r, h);
    read_u32(r, "leading_dense_block_count", 0, FLO_LAYERS_MAX, &dense);
    for (uint32_t i = 0; i < h->n_layer; i++) {
        bool has_experts = h->n_expert > 0 && i >= dense;

        h->layers[i].feed = (uint8_t)(!has_experts                ? FLO_FEED_DENSE
                                      : r->arch->has_dense_beside ? FLO_FEED_BOTH
                                                                  : FLO_FEED_EXPERTS);
        if (h->layers[i].n_ff == 0) {
            h->layers[i].feed = FLO_FEED_NONE;
        }
    }
}

/* Reads the sizes of recurrent layers. */
static void read_recurrent(struct reader *r, struct flo_hparams *h)
{
    uint32_t most = FLO_WIDTH_MAX;

    if (r->arch->pattern == FLO_PATTERN_NONE || r->rv < 0) {
        return;
    }
    if (r->arch->recurrent == FLO_MIX_CONV) {
        need_u32(r, "shortconv.l_cache", FLO_TAPS_MAX, &h->n_taps);
        return;
    }
    need_u32(r, "ssm.conv_kernel", FLO_TAPS_MAX, &h->n_taps);
    need_u32(r, "ssm.inner_size", most, &h->n_inner);
    need_u32(r, "ssm.state_size", FLO_STATE_MAX, &h->n_state);
    need_u32(r, "ssm.time_step_rank", FLO_HEADS_MAX, &h->n_state_heads);
    h->n_groups = 1;
    read_u32(r, "ssm.group_count", 1, FLO_HEADS_MAX, &h->n_groups);
    if (r->rv < 0) {
        return;
    }
    bool is_delta = r->arch->recurrent == FLO_MIX_DELTA;
    if (h->n_inner % h->n_state_heads != 0 || h->n_state_heads % h->n_groups != 0 ||
        (is_delta && h->n_inner / h->n_state_heads != h->n_state) ||
        (uint64_t)2 * h->n_groups * h->n_state > most) {
        r->rv = flo_fail(r->err, FLO_E_GGUF_HPARAM,
                         "ssm.inner_size %u does not fit state_size %u, time_step_rank %u and "
                         "group_count %u",
                         h->n_inner, h->n_state, h->n_state_heads, h->n_groups);
    }
}

int flo_hparams_read(const struct flo_gguf *gguf, const struct flo_arch **arch,
                     struct flo_hparams *out, struct flo_err *err)
{
    return flo_hparams_look(gguf, NULL, arch, out, err);
}

int flo_hparams_look(const struct flo_gguf *gguf, bool *seen, const struct flo_arch **arch,
                     struct flo_hparams *out, struct flo_err *err)
{
    struct reader r = {.gguf = gguf, .seen = seen, .err = err};
    struct flo_hparams h = {.n_vocab = vocab_default(gguf), .epsilon = 1e-5f};
    int rv = flo_arch_read(gguf, &r.arch, err);

    FLO_TRY(rv);
    need_u32(&r, "block_count", FLO_LAYERS_MAX, &h.n_layer);
    FLO_TRY(r.rv); /* all loops below go over the layers */
    read_u32(&r, "nextn_predict_layers", 0, h.n_layer - 1, &r.n_ahead);
    FLO_TRY(r.rv);
    h.n_block = h.n_layer;
    h.n_layer -= r.n_ahead;
    need_u32(&r, "embedding_length", FLO_WIDTH_MAX, &h.n_embd);
    read_feeds(&r, &h);
    need_u32(&r, "context_length", UINT32_MAX, &h.context_trained);
    read_heads(&r, &h);
    read_mixers(&r, &h);
    read_recurrent(&r, &h);
    read_u32(&r, "vocab_size", 1, FLO_VOCAB_MAX, &h.n_vocab);
    read_f32(&r,
             r.arch->norm == FLO_NORM_LAYER ? "attention.layer_norm_epsilon"
                                            : "attention.layer_norm_rms_epsilon",
             1e-12f, 1.0f, &h.epsilon);
    read_rope(&r, &h);
    read_window(&r, &h);
    read_local(&r, &h);
    read_rotated(&r, &h);
    read_caps_and_scales(&r, &h);
    read_labels(&r, &h);
    read_streams(&r, &h);
    if (r.rv == 0 && (h.n_rope % 2 != 0 || h.n_rope_local % 2 != 0)) {
        r.rv = flo_fail(err, FLO_E_GGUF_HPARAM, "rotated part %u is odd", h.n_rope);
    }
    if (r.rv < 0) {
        return r.rv;
    }
    *arch = r.arch;
    *out = h;
    return 0;
}
