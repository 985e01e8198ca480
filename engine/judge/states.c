#include "engine/judge/states.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "engine/judge/tap.h"
#include "engine/model/compute.h"

struct flo_states {
    struct flo_session *session;
    struct flo_states_shape shape;
    struct flo_matrix *firsts[FLO_LAYERS_MAX]; /* the product of each layer that is watched */
    float *values;                             /* [places][count][width], of the last call */
    uint32_t first, count; /* first token of this pass, and tokens of the call */
};

/* Copies the states of this pass.  They stay unchanged while a product reads
 * them, and after the last layer. */
static void take(struct flo_states *s, size_t place, size_t rows)
{
    const struct flo_engine *e = s->session->engine;
    size_t n = e->hparams.n_embd, streams = s->shape.width / n;
    const float *from = e->hparams.n_streams > 0 ? e->scratch.streams : e->scratch.x;

    assert(s->first + rows <= s->count);
    for (size_t t = 0; t < rows; t++) {
        float *to = s->values + (place * s->count + s->first + t) * s->shape.width;
        for (size_t i = 0; i < streams; i++) {
            memcpy(to + i * n, from + (i * e->sizes.batch + t) * n, n * sizeof(*to));
        }
    }
}

static void see(void *context, size_t index, size_t plane, const struct flo_activations *x)
{
    (void)plane;
    take(context, index, x->tokens);
}

/* Returns the matrix that reads the state before a layer, once for each pass
 * and before any result is added to it (engine/model/pass/block.c). */
static struct flo_matrix *first_of(const struct flo_engine *e, uint32_t index)
{
    const struct flo_layer_shape *shape = &e->hparams.layers[index];
    struct flo_layer *layer = &e->weights.layers[index];

    if (e->hparams.n_streams > 0) {
        return &layer->low_in;
    }
    if (flo_recurs(shape)) {
        return &layer->in;
    }
    if (flo_attends(shape)) {
        return &layer->q;
    }
    if (shape->feed == FLO_FEED_EXPERTS) {
        return &layer->router;
    }
    return layer->gate.data != NULL ? &layer->gate : &layer->up;
}

static int find_firsts(struct flo_states *s, const struct flo_tool_model *model,
                       struct flo_err *err)
{
    const struct flo_engine *e = s->session->engine;
    uint32_t streams = e->hparams.n_streams > 0 ? e->hparams.n_streams : 1;

    if (e->compute != &flo_compute_native) {
        return flo_fail(err, FLO_E_NOT_BUILT, "errors by layer of a model that %s computes",
                        model->info->kernel);
    }
    if (e->hparams.is_encoder) { /* a text must be one pass */
        return flo_fail(err, FLO_E_NOT_BUILT, "errors by layer of an encoder (%s)",
                        model->info->arch);
    }
    for (uint32_t i = 0; i < e->hparams.n_layer; i++) {
        s->firsts[i] = first_of(e, i);
        if (s->firsts[i]->data == NULL) {
            return flo_fail(err, FLO_E_NOT_BUILT, "errors by layer of %s: layer %u has no product",
                            model->info->arch, i);
        }
    }
    s->shape = (struct flo_states_shape){e->hparams.n_layer + 1, streams * e->hparams.n_embd};
    s->values = calloc((size_t)s->shape.places * FLO_STATES_TOKENS_MAX,
                       s->shape.width * sizeof(*s->values));
    if (s->values == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "%u states of %u values", s->shape.places,
                        s->shape.width);
    }
    return 0;
}

int flo_states_open(const struct flo_tool_model *model, struct flo_states **out,
                    struct flo_err *err)
{
    struct flo_states *s = calloc(1, sizeof(*s));

    if (s == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "the states of a model");
    }
    s->session = flo_backend_native_session(model->state);
    int rv = find_firsts(s, model, err);
    if (rv < 0) {
        flo_states_close(s);
        return rv;
    }
    *out = s;
    return 0;
}

void flo_states_close(struct flo_states *s)
{
    if (s != NULL) {
        free(s->values);
        free(s);
    }
}

struct flo_states_shape flo_states_shape(const struct flo_states *s)
{
    return s->shape;
}

static int decode(struct flo_states *s, const int32_t *tokens, struct flo_err *err)
{
    uint32_t batch = s->session->engine->sizes.batch;

    for (s->first = 0; s->first < s->count;) {
        uint32_t left = s->count - s->first, here = left < batch ? left : batch;
        FLO_TRY(flo_session_decode(s->session, tokens + s->first, here, FLO_LOGITS_NONE, err));
        take(s, s->shape.places - 1, here);
        s->first += here;
    }
    return 0;
}

int flo_states_run(struct flo_states *s, const int32_t *tokens, uint32_t count,
                   const float **values, struct flo_err *err)
{
    struct flo_tap *tap = NULL;

    assert(count > 0 && count <= FLO_STATES_TOKENS_MAX);
    s->count = count;
    FLO_TRY(flo_tap_open(s->firsts, s->shape.places - 1, see, s, &tap, err));
    int rv = decode(s, tokens, err);
    flo_tap_close(tap);
    *values = s->values;
    return rv;
}
