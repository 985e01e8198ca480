/* Weights: see weights.h. */
#include "engine/model/file/weights.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/gguf.h>
#include <flotilla/errors/model.h>

struct binding {
    const struct flo_gguf *gguf;
    const struct flo_arch *arch;
    const struct flo_hparams *hparams;
    const struct flo_kernel *kernel;
    bool is_fused; /* the current layer has the tensor attn_qkv */
    size_t used;   /* number of the file's tensors bound so far */
    struct flo_err *err;
    float *vector; /* place in the arena for the next vector */
};

/* Returns a dimension's number in a layer; `shape` is NULL for tensors of the
 * model. */
static uint64_t dim(const struct binding *b, const struct flo_layer_shape *shape,
                    enum flo_dim which)
{
    const struct flo_hparams *h = b->hparams;
    static const struct flo_layer_shape none;
    const struct flo_layer_shape *l = shape == NULL ? &none : shape;
    uint64_t q = flo_shape_q(l), kv = flo_shape_kv(l), mixed = flo_width_mixed(h);
    bool is_row = b->arch->qk_norm == FLO_QK_NORM_ROW;

    switch (which) {
    case FLO_DIM_EMBD:
        return h->n_embd;
    case FLO_DIM_HEAD:
        return l->head_size;
    case FLO_DIM_HEADS:
        return l->n_head;
    case FLO_DIM_Q:
        return q;
    case FLO_DIM_QUERY:
        return b->arch->gates_queries ? 2 * q : q;
    case FLO_DIM_KV:
        return kv;
    case FLO_DIM_QKV:
        return (b->arch->gates_queries ? 2 * q : q) + 2 * kv;
    case FLO_DIM_Q_NORM:
        return is_row ? q : l->head_size;
    case FLO_DIM_K_NORM:
        return is_row ? kv : l->head_size;
    case FLO_DIM_FF:
        return l->n_ff;
    case FLO_DIM_FF_TWICE:
        return 2 * (uint64_t)l->n_ff;
    case FLO_DIM_VOCAB:
        return h->n_vocab;
    case FLO_DIM_HALF_ROPE:
        return h->n_rope / 2;
    case FLO_DIM_LABELS:
        return h->n_labels;
    case FLO_DIM_CONTEXT:
        return h->context_trained;
    case FLO_DIM_TYPES:
        return h->n_types;
    case FLO_DIM_DENSE:
        return h->n_dense;
    case FLO_DIM_STREAMS:
        return h->n_streams;
    case FLO_DIM_STREAMS_SQUARE:
        return (uint64_t)h->n_streams * h->n_streams;
    case FLO_DIM_STREAMS_OTHER:
        return h->n_streams > 0 ? h->n_streams - 1 : 0;
    case FLO_DIM_LOW:
        return h->n_low;
    case FLO_DIM_TAPS:
        return h->n_taps;
    case FLO_DIM_EMBD_THRICE:
        return 3 * (uint64_t)h->n_embd;
    case FLO_DIM_INNER:
        return h->n_inner;
    case FLO_DIM_STATE:
        return h->n_state;
    case FLO_DIM_MIXED:
        return mixed;
    case FLO_DIM_STATE_IN:
        return mixed + h->n_inner + h->n_state_heads;
    case FLO_DIM_STATE_HEADS:
        return h->n_state_heads;
    case FLO_DIM_STATE_HEADS_TWICE:
        return 2 * (uint64_t)h->n_state_heads;
    case FLO_DIM_GROUPS:
        return h->n_groups;
    case FLO_DIM_GROUP:
        return h->n_groups > 0 ? h->n_inner / h->n_groups : 0;
    case FLO_DIM_EXPERTS:
        return h->n_expert;
    case FLO_DIM_EXPERT_FF:
        return h->n_ff_expert;
    case FLO_DIM_EXPERT_FF_TWICE:
        return 2 * (uint64_t)h->n_ff_expert;
    case FLO_DIM_PER_LAYER:
        return h->n_per_layer;
    case FLO_DIM_PER_LAYER_ALL:
        return (uint64_t)h->n_per_layer * h->n_layer;
    case FLO_DIM_SHARED_FF:
        return h->n_ff_shared;
    case FLO_DIM_ONE:
    case FLO_DIM_NONE:
        break;
    }
    return 1;
}

static int check_shape(struct binding *b, const struct flo_gguf_tensor *tensor,
                       const struct flo_tensor_spec *spec, const struct flo_layer_shape *shape)
{
    unsigned long long right[3];
    const uint64_t *got = tensor->dims;

    for (size_t i = 0; i < FLO_COUNT(right); i++) {
        right[i] = dim(b, shape, spec->dims[i]);
    }
    if (got[0] == right[0] && got[1] == right[1] && got[2] == right[2] && got[3] == 1) {
        return 0;
    }
    char third[24] = "";

    if (spec->dims[2] != FLO_DIM_NONE) {
        snprintf(third, sizeof(third), " x %llu", right[2]);
    }
    return flo_fail(
        b->err, FLO_E_GGUF_SHAPE, "%s: expected %llu x %llu%s, got %llu x %llu x %llu x %llu",
        tensor->name, right[0], right[1], third, (unsigned long long)got[0],
        (unsigned long long)got[1], (unsigned long long)got[2], (unsigned long long)got[3]);
}

static int bind_matrix(struct binding *b, const struct flo_gguf_tensor *tensor,
                       struct flo_matrix *out)
{
    const struct flo_quant_type *type = flo_quant_type(tensor->type);
    flo_matmul_fn *matmul = NULL;

    if (type != NULL && tensor->type < FLO_QUANT_ID_COUNT) {
        matmul = b->kernel->matmul[tensor->type];
    }
    if (matmul == NULL || type->decode == NULL) {
        return flo_fail(b->err, FLO_E_NOT_BUILT, "%s: type %s is not computed yet", tensor->name,
                        type == NULL ? "?" : type->name);
    }
    *out = (struct flo_matrix){
        .tensor = tensor,
        .bias = out->bias, /* a bias may have been bound before the matrix */
        .data = flo_gguf_tensor_data(b->gguf, tensor),
        .matmul = matmul,
        .type = type,
        .row_bytes = flo_quant_bytes(type, (size_t)tensor->dims[0]),
        .strip_rows = 1,
        .precision = flo_weight_reads_codes(tensor->type) ? FLO_PRECISION_16 : FLO_PRECISION_FLOAT,
        .columns = (uint32_t)tensor->dims[0],
        .rows = (uint32_t)tensor->dims[1],
    };
    return 0;
}

/* Copies numbers into the arena, behind the last ones. */
static int bind_values(struct binding *b, const struct flo_gguf_tensor *tensor, const float **out)
{
    if (tensor->type != FLO_QUANT_F32) {
        return flo_fail(b->err, FLO_E_GGUF_TYPE, "%s: expected F32, got %s", tensor->name,
                        flo_quant_type(tensor->type)->name);
    }
    *out = memcpy(b->vector, flo_gguf_tensor_data(b->gguf, tensor), (size_t)tensor->bytes);
    b->vector += tensor->values;
    return 0;
}

static int missing(const struct binding *b, const char *name)
{
    return flo_fail(b->err, FLO_E_GGUF_MISSING, "tensor %s is missing", name);
}

/* Checks that a tensor is there if the architecture needs it.  Queries, keys
 * and values must be in tensors of their own or in attn_qkv, but not in
 * both. */
static int check_need(const struct binding *b, enum flo_need need, const char *prefix,
                      const char *name, bool is_there)
{
    bool is_needed = need == FLO_NEEDED || (need == FLO_UNLESS_FUSED && !b->is_fused) ||
                     (need == FLO_WITH_FUSED && b->is_fused);

    if (is_there && need == FLO_UNLESS_FUSED && b->is_fused) {
        return flo_fail(b->err, FLO_E_MODEL_ARCH, "tensor %s stands beside %sattn_qkv.weight", name,
                        prefix);
    }
    return is_needed && !is_there ? missing(b, name) : 0;
}

/* Returns whether a layer needs the tensor.  A layer without key heads of its
 * own has none of attention. */
static enum flo_need need_of(const struct binding *b, const struct flo_tensor_spec *spec,
                             const struct flo_layer_shape *shape)
{
    bool has_part = shape == NULL ||
                    flo_arch_has_part((enum flo_tensor_set)spec->set, shape->mixer, shape->feed);
    bool is_value = shape != NULL && spec->offset == offsetof(struct flo_layer, v);

    if (!has_part || (spec->set == FLO_SET_PER_LAYER && b->hparams->n_per_layer == 0)) {
        return FLO_NO_TENSOR;
    }
    return is_value && b->arch->may_lack_values ? FLO_OPTIONAL : flo_arch_need(b->arch, spec);
}

/* Binds the tensors of a list that the architecture has.  Their names in the
 * file begin with `prefix`. */
static int bind_list(struct binding *b, const struct flo_tensor_list *list, const char *prefix,
                     const struct flo_layer_shape *shape, void *object)
{
    char name[FLO_GGUF_NAME_BYTES_MAX + 1];
    int rv = 0;

    for (size_t i = 0; rv == 0 && i < list->count; i++) {
        const struct flo_tensor_spec *spec = &list->specs[i];
        enum flo_need need = need_of(b, spec, shape);
        void *member = (uint8_t *)object + spec->offset;
        const struct flo_gguf_tensor *tensor;

        if (need == FLO_NO_TENSOR) {
            continue;
        }
        snprintf(name, sizeof(name), "%s%s", prefix, spec->name);
        tensor = flo_gguf_tensor_find(b->gguf, name);
        rv = check_need(b, need, prefix, name, tensor != NULL);
        if (rv < 0 || tensor == NULL) {
            continue;
        }
        rv = check_shape(b, tensor, spec, shape);
        if (rv == 0) {
            rv = spec->is_values ? bind_values(b, tensor, member) : bind_matrix(b, tensor, member);
        }
        b->used++;
    }
    return rv;
}

/* ---- fused matrices ---- */

/* Makes `part` a matrix of `rows` rows of the fused matrix `of`, from row
 * `first` on.  If `of` has no bias, `part` keeps its own. */
static void take_part(const struct flo_matrix *of, uint32_t first, uint32_t rows,
                      struct flo_matrix *part)
{
    const float *bias = of->bias != NULL ? of->bias + first : part->bias;

    *part = *of;
    part->data += first * of->row_bytes;
    part->rows = rows;
    part->tensor_row = first;
    part->bias = bias;
}

static void split_fused(const struct binding *b, const struct flo_layer_shape *shape,
                        struct flo_layer *layer)
{
    uint32_t q = (uint32_t)dim(b, shape, FLO_DIM_QUERY), kv = flo_shape_kv(shape);

    if (layer->qkv.data != NULL) {
        take_part(&layer->qkv, 0, q, &layer->q);
        take_part(&layer->qkv, q, kv, &layer->k);
        take_part(&layer->qkv, q + kv, kv, &layer->v);
    }
    if (layer->gate_up.data != NULL) {
        take_part(&layer->gate_up, 0, shape->n_ff, &layer->gate);
        take_part(&layer->gate_up, shape->n_ff, shape->n_ff, &layer->up);
    }
    if (layer->expert_gate_up.data != NULL) {
        uint32_t half = layer->expert_gate_up.rows / 2;

        take_part(&layer->expert_gate_up, 0, half, &layer->expert_gate);
        take_part(&layer->expert_gate_up, half, half, &layer->expert_up);
    }
}

/* Sets the precision of inputs to 8 bits where that is precise enough; see
 * kernel.h. */
static void coarsen(struct flo_layer *layer)
{
    struct flo_matrix *some[] = {
        &layer->o,           &layer->gate,        &layer->up,          &layer->down,
        &layer->out,         &layer->expert_gate, &layer->expert_up,   &layer->expert_down,
        &layer->shared_gate, &layer->shared_up,   &layer->shared_down,
    };

    for (size_t i = 0; i < FLO_COUNT(some); i++) {
        if (some[i]->precision == FLO_PRECISION_16) {
            some[i]->precision = FLO_PRECISION_8;
        }
    }
}

/* ---- those that products read ---- */

/* Lists the matrices of a layer that products read: those of the table, but not
 * fused ones. */
static void list_places(struct flo_weights *weights)
{
    weights->n_places = 0;
    for (size_t i = 0; i < flo_layer_tensors.count; i++) {
        const struct flo_tensor_spec *spec = &flo_layer_tensors.specs[i];
        bool is_fused = spec->offset == offsetof(struct flo_layer, qkv) ||
                        spec->offset == offsetof(struct flo_layer, gate_up) ||
                        spec->offset == offsetof(struct flo_layer, expert_gate_up);
        bool is_new = !spec->is_values && !is_fused;

        for (size_t k = 0; k < weights->n_places; k++) {
            is_new = is_new && weights->places[k] != spec->offset;
        }
        if (is_new) {
            assert(weights->n_places < FLO_COUNT(weights->places));
            weights->places[weights->n_places++] = (uint16_t)spec->offset;
        }
    }
}

/* Matrices of the model.  No adapter changes the first of them, the output,
 * which may be the embedding, too. */
static const size_t model_places[] = {
    offsetof(struct flo_weights, output),
    offsetof(struct flo_weights, per_layer_proj),
    offsetof(struct flo_weights, spread),
    offsetof(struct flo_weights, merge),
};

/* Returns matrix `i` of those that products read, or NULL after the last.
 * Those of all layers come first, then those of the model. */
static struct flo_matrix *matrix_at(struct flo_weights *weights, size_t i)
{
    size_t of_layers = (size_t)weights->n_layer * weights->n_places;
    uint8_t *object = (uint8_t *)weights;

    if (i >= of_layers) {
        return i - of_layers < FLO_COUNT(model_places)
                   ? (struct flo_matrix *)(void *)(object + model_places[i - of_layers])
                   : NULL;
    }
    object = (uint8_t *)&weights->layers[i / weights->n_places];
    return (struct flo_matrix *)(void *)(object + weights->places[i % weights->n_places]);
}

uint32_t flo_weights_count(const struct flo_weights *weights)
{
    return weights->n_layer * weights->n_places + FLO_COUNT(model_places);
}

uint32_t flo_weights_count_max(void)
{
    struct flo_weights deepest = {.n_layer = FLO_LAYERS_MAX};

    list_places(&deepest);
    return flo_weights_count(&deepest);
}

/* ---- all of them ---- */

static size_t layer_prefix(uint32_t index, char prefix[16])
{
    return (size_t)snprintf(prefix, 16, "blk.%u.", index);
}

static int bind_layer(struct binding *b, uint32_t index, struct flo_layer *layer)
{
    const struct flo_layer_shape *shape = &b->hparams->layers[index];
    char prefix[16], fused[FLO_GGUF_NAME_BYTES_MAX + 1];

    layer_prefix(index, prefix);
    snprintf(fused, sizeof(fused), "%sattn_qkv.weight", prefix);
    b->is_fused = shape->mixer != FLO_MIX_DELTA && flo_gguf_tensor_find(b->gguf, fused) != NULL;
    FLO_TRY(bind_list(b, &flo_layer_tensors, prefix, shape, layer));
    if (!b->is_fused && layer->qkv.bias != NULL) {
        return flo_fail(b->err, FLO_E_MODEL_ARCH, "tensor %sattn_qkv.bias stands alone", prefix);
    }
    if (shape->mixer == FLO_MIX_DELTA && layer->beta_alpha.data == NULL &&
        (layer->alpha.data == NULL || layer->beta.data == NULL)) {
        snprintf(fused, sizeof(fused), "%sssm_ba.weight", prefix);
        return missing(b, fused);
    }
    split_fused(b, shape, layer);
    coarsen(layer);
    return 0;
}

/* Tells whether the architecture has a tensor of this name. */
static bool is_known(const struct binding *b, const char *name)
{
    const struct flo_tensor_list *list = &flo_model_tensors;
    const struct flo_layer_shape *shape = NULL;
    uint32_t index;
    char prefix[16];

    /* Only names as bind_layer() writes them are accepted: "01" is no layer. */
    if (sscanf(name, "blk.%3u.", &index) == 1 && index >= b->hparams->n_layer) {
        return index < b->hparams->n_block; /* a layer that only predicts further tokens */
    }
    if (sscanf(name, "blk.%3u.", &index) == 1) {
        size_t bytes = layer_prefix(index, prefix);

        if (strncmp(name, prefix, bytes) == 0) {
            list = &flo_layer_tensors;
            shape = &b->hparams->layers[index];
            name += bytes;
        }
    }
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(name, list->specs[i].name) == 0 &&
            need_of(b, &list->specs[i], shape) != FLO_NO_TENSOR) {
            return true;
        }
    }
    return false;
}

/* Refuses a file with a tensor that nothing reads, because answers would be
 * wrong. */
static int check_unused(struct binding *b)
{
    size_t count = flo_gguf_tensor_count(b->gguf);

    for (size_t i = 0; b->used < count && i < count; i++) {
        const char *name = flo_gguf_tensor_at(b->gguf, i)->name;

        if (!is_known(b, name)) {
            return flo_fail(b->err, FLO_E_MODEL_ARCH, "tensor %s is not part of architecture %s",
                            name, flo_arch_name(b->arch));
        }
    }
    return 0;
}

/* Tells whether a layer's tensor of this name is copied as numbers. */
static bool is_values(const char *name)
{
    const char *rest = strncmp(name, "blk.", 4) == 0 ? strchr(name + 4, '.') : NULL;
    const struct flo_tensor_list *list = rest == NULL ? &flo_model_tensors : &flo_layer_tensors;

    name = rest == NULL ? name : rest + 1;
    for (size_t i = 0; i < list->count; i++) {
        if (list->specs[i].is_values && strcmp(name, list->specs[i].name) == 0) {
            return true;
        }
    }
    return false;
}

static void sum_up(const struct flo_gguf *gguf, struct flo_weights *weights)
{
    for (size_t i = 0; i < flo_gguf_tensor_count(gguf); i++) {
        const struct flo_gguf_tensor *tensor = flo_gguf_tensor_at(gguf, i);
        weights->parameters += tensor->values;
        if (tensor->type == FLO_QUANT_F32 &&
            (tensor->dims[0] == tensor->values || is_values(tensor->name))) {
            weights->vector_bytes += tensor->bytes;
        }
    }
}

static int decode_head(struct flo_weights *weights, struct flo_err *err)
{
    const struct flo_matrix *m = &weights->head;

    if (m->data == NULL) {
        return 0;
    }
    weights->head_rows = calloc((size_t)m->rows * m->columns, sizeof(*weights->head_rows));
    if (weights->head_rows == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "%u labels", m->rows);
    }
    for (size_t i = 0; i < m->rows; i++) {
        m->type->decode(m->data + i * m->row_bytes, weights->head_rows + i * m->columns,
                        m->columns);
    }
    return 0;
}

int flo_weights_bind(const struct flo_gguf *gguf, const struct flo_arch *arch,
                     const struct flo_hparams *hparams, const struct flo_kernel *kernel,
                     struct flo_weights *weights, struct flo_err *err)
{
    struct binding b = {
        .gguf = gguf, .arch = arch, .hparams = hparams, .kernel = kernel, .err = err};
    uint32_t ones = hparams->head_size > hparams->n_state ? hparams->head_size : hparams->n_state;

    *weights = (struct flo_weights){.n_layer = hparams->n_layer};
    sum_up(gguf, weights);
    list_places(weights);
    weights->layers = calloc(hparams->n_layer, sizeof(*weights->layers));
    weights->vectors = malloc((size_t)weights->vector_bytes + 1);
    weights->zeros = calloc(hparams->n_embd, sizeof(*weights->zeros));
    weights->ones = malloc(ones * sizeof(*weights->ones));
    if (weights->layers == NULL || weights->vectors == NULL || weights->zeros == NULL ||
        weights->ones == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "%u layers", hparams->n_layer);
    }
    for (uint32_t i = 0; i < ones; i++) {
        weights->ones[i] = 1;
    }
    b.vector = weights->vectors;
    FLO_TRY(bind_list(&b, &flo_model_tensors, "", NULL, weights));
    for (uint32_t i = 0; i < hparams->n_layer; i++) {
        FLO_TRY(bind_layer(&b, i, &weights->layers[i]));
    }
    FLO_TRY(check_unused(&b));
    FLO_TRY(decode_head(weights, err));
    if ((weights->rope_short == NULL) != (weights->rope_long == NULL)) {
        return missing(&b, weights->rope_short == NULL ? "rope_factors_short.weight"
                                                       : "rope_factors_long.weight");
    }
    if ((weights->dense_wide.data == NULL) != (weights->dense_narrow.data == NULL)) {
        return missing(&b, weights->dense_wide.data == NULL ? "dense_2.weight" : "dense_3.weight");
    }
    if (weights->output.data == NULL) {
        take_part(&weights->embedding, 0, hparams->n_vocab, &weights->output);
    }
    for (uint32_t i = 0; i < flo_weights_count(weights); i++) {
        matrix_at(weights, i)->number = i;
    }
    return 0;
}

size_t flo_weights_places(struct flo_weights *weights, const struct flo_gguf_tensor *tensor,
                          const struct flo_matrix **out)
{
    size_t count = 0;
    const struct flo_matrix *m;

    for (size_t i = 0; (m = matrix_at(weights, i)) != NULL; i++) {
        if (m->tensor == tensor && m != &weights->output) {
            out[count++] = m;
        }
    }
    return count;
}

/* ---- packed ---- */

int flo_weights_can_pack(struct flo_weights *weights, const struct flo_kernel *kernel,
                         const struct flo_sidecar *sidecar, struct flo_err *err)
{
    const struct flo_matrix *m;
    size_t strip_bytes;

    if (weights->spread.data != NULL) {
        return flo_fail(err, FLO_E_NOT_BUILT, "matrices of residual streams are not packed");
    }
    for (size_t i = 0; (m = matrix_at(weights, i)) != NULL; i++) {
        if (m->data == NULL || m->precision == FLO_PRECISION_FLOAT) {
            continue;
        }
        if (flo_pack_strip_bytes(m->type->id, m->columns) == 0) {
            return flo_fail(err, FLO_E_NOT_BUILT, "%s: type %s is not packed", m->tensor->name,
                            m->type->name);
        }
        if (kernel != NULL && kernel->matmul_packed[m->type->id] == NULL) {
            return flo_fail(err, FLO_E_NOT_BUILT, "kernel %s reads no packed %s weights",
                            kernel->name, m->type->name);
        }
        if (flo_sidecar_find(sidecar, m->tensor, m->tensor_row, &strip_bytes) == 0) {
            return flo_fail(err, FLO_E_NOT_BUILT,
                            "%s: a matrix of %u rows does not begin at a strip", m->tensor->name,
                            m->rows);
        }
    }
    return 0;
}

void flo_weights_pack(struct flo_weights *weights, const struct flo_kernel *kernel,
                      const struct flo_sidecar *sidecar)
{
    struct flo_matrix *m;

    for (size_t i = 0; (m = matrix_at(weights, i)) != NULL; i++) {
        if (m->data != NULL && m->precision != FLO_PRECISION_FLOAT) {
            uint64_t offset = flo_sidecar_find(sidecar, m->tensor, m->tensor_row, &m->row_bytes);

            m->data = flo_sidecar_at(sidecar, offset);
            m->matmul = kernel->matmul_packed[m->type->id];
            m->strip_rows = FLO_STRIP_ROWS;
        }
    }
    weights->are_packed = true;
}

void flo_weights_deinit(struct flo_weights *weights)
{
    free(weights->layers);
    free(weights->vectors);
    free(weights->head_rows);
    free(weights->zeros);
    free(weights->ones);
    weights->zeros = weights->ones = NULL;
    weights->layers = NULL;
    weights->vectors = NULL;
    weights->head_rows = NULL;
}
