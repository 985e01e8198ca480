#include "engine/publish/importance.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/judge/tap.h"
#include "engine/model/compute.h"
#include "engine/publish/calibration.h"
#include "engine/publish/matrices.h"

#define CHUNK_TOKENS 512
/* share of the mean that a column keeps if its inputs were nearly 0 */
#define SHARE_MIN 1e-3

/* A tensor that products read. */
struct read {
    const char *name; /* borrowed from the model until it closes */
    size_t columns, planes;
    double *sums; /* [planes][columns]: sums of the squares of inputs */
};

struct flo_importance {
    struct read *tensors; /* [count] while the model computes */
    size_t count;
    uint64_t tokens;
    struct values {
        char *name;
        float *values; /* [planes][columns] */
    } * found;         /* [count] */
};

/* ---- while the model computes ---- */

static double input_at(const struct flo_activations *x, size_t t, size_t column)
{
    size_t at = t * x->columns + column;

    return x->precision == FLO_PRECISION_FLOAT
               ? (double)x->values[at]
               : (double)x->codes[at] * (double)x->scales[at / FLO_CODE_BLOCK];
}

static void add_inputs(void *context, size_t index, size_t plane, const struct flo_activations *x)
{
    const struct read *r = &((struct flo_importance *)context)->tensors[index];
    double *sums = r->sums + plane * r->columns;

    for (size_t t = 0; t < x->tokens; t++) {
        for (size_t i = 0; i < r->columns; i++) {
            double value = input_at(x, t, i);
            sums[i] += value * value;
        }
    }
}

/* ---- the list ---- */

/* Tells whether a product reads the matrix; of tables, only rows are read.  The
 * parts of a fused tensor have the same input, so the first one stands for
 * all. */
static bool is_product(const struct flo_weights *weights, const struct flo_matrix *m)
{
    return m != &weights->embedding && m != &weights->per_layer && m->tensor_row == 0;
}

static int add(struct flo_importance *importance, const struct flo_matrix *m, struct flo_err *err)
{
    struct read *r = &importance->tensors[importance->count];

    *r = (struct read){m->tensor->name, m->columns, flo_tap_planes(m), NULL};
    r->sums = calloc(r->planes, r->columns * sizeof(*r->sums));
    importance->count++;
    return r->sums != NULL ? 0 : flo_fail(err, FLO_E_MEMORY, "the importance of '%s'", r->name);
}

/* Lists the matrices that products read.  `out` has room for
 * flo_matrices_max(). */
static int list_all(struct flo_importance *importance, struct flo_weights *weights,
                    struct flo_matrix **out, struct flo_err *err)
{
    size_t most = flo_matrices_max(weights), count = flo_matrices_list(weights, out);

    importance->tensors = calloc(most, sizeof(*importance->tensors));
    importance->found = calloc(most, sizeof(*importance->found));
    if (importance->tensors == NULL || importance->found == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "the importance of %zu matrices", most);
    }
    for (size_t i = 0; i < count; i++) {
        if (is_product(weights, out[i])) {
            out[importance->count] = out[i];
            FLO_TRY(add(importance, out[i], err));
        }
    }
    return 0;
}

/* ---- the results ---- */

static bool are_finite(const struct read *r)
{
    for (size_t i = 0; i < r->planes * r->columns; i++) {
        if (!isfinite(r->sums[i])) {
            return false;
        }
    }
    return true;
}

/* Writes a plane's mean squares, scaled so that their mean is 1. */
static void scale_plane(const double *sums, size_t columns, float *out)
{
    double total = 0;

    for (size_t i = 0; i < columns; i++) {
        total += sums[i];
    }
    for (size_t i = 0; i < columns; i++) {
        double share = total > 0 ? sums[i] / total * (double)columns : 1;
        out[i] = (float)(share > SHARE_MIN ? share : SHARE_MIN);
    }
}

static int conclude(struct flo_importance *importance, const struct read *r, size_t index,
                    struct flo_err *err)
{
    struct values *found = &importance->found[index];

    if (!are_finite(r)) {
        return flo_fail(err, FLO_E_MODEL_NONFINITE, "an input of '%s' is not finite", r->name);
    }
    found->name = strdup(r->name);
    found->values = calloc(r->planes, r->columns * sizeof(*found->values));
    if (found->name == NULL || found->values == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "the importance of '%s'", r->name);
    }
    for (size_t p = 0; p < r->planes; p++) {
        scale_plane(r->sums + p * r->columns, r->columns, found->values + p * r->columns);
    }
    return 0;
}

const float *flo_importance_find(const struct flo_importance *importance, const char *tensor)
{
    for (size_t i = 0; i < importance->count; i++) {
        if (strcmp(importance->found[i].name, tensor) == 0) {
            return importance->found[i].values;
        }
    }
    return NULL;
}

uint64_t flo_importance_tokens(const struct flo_importance *importance)
{
    return importance->tokens;
}

static void free_tensors(struct flo_importance *importance)
{
    for (size_t i = 0; importance->tensors != NULL && i < importance->count; i++) {
        free(importance->tensors[i].sums);
    }
    free(importance->tensors);
    importance->tensors = NULL;
}

void flo_importance_free(struct flo_importance *importance)
{
    if (importance == NULL) {
        return;
    }
    free_tensors(importance);
    for (size_t i = 0; importance->found != NULL && i < importance->count; i++) {
        free(importance->found[i].name);
        free(importance->found[i].values);
    }
    free(importance->found);
    free(importance);
}

/* ---- the run ---- */

static int pass_over(void *context, uint32_t position, const float *logits)
{
    (void)context, (void)position, (void)logits;
    return 0;
}

static int compute(const struct flo_tool_model *model, struct flo_chunks *chunks,
                   struct flo_err *err)
{
    uint64_t started_us = flo_now_us();

    for (size_t i = 0; i < chunks->count; i++) {
        FLO_TRY(flo_chunks_run(chunks, i, model, pass_over, NULL, err));
        flo_tool_progress("calibration", i + 1, chunks->count, started_us);
    }
    return 0;
}

static int measure(const struct flo_tool_model *model, struct flo_chunks *chunks,
                   struct flo_importance *importance, struct flo_err *err)
{
    struct flo_engine *engine = flo_backend_native_session(model->state)->engine;
    FLO_CLEANUP(flo_free_cleanup) struct flo_matrix **matrices = NULL;
    struct flo_tap *tap = NULL;

    if (engine->compute != &flo_compute_native || engine->weights.are_packed) {
        return flo_fail(err, FLO_E_NOT_BUILT, "a calibration by %s", model->info->kernel);
    }
    matrices = calloc(flo_matrices_max(&engine->weights), sizeof(struct flo_matrix *));
    if (matrices == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "a list of matrices");
    }
    FLO_TRY(list_all(importance, &engine->weights, matrices, err));
    FLO_TRY(flo_tap_open(matrices, importance->count, add_inputs, importance, &tap, err));
    int rv = compute(model, chunks, err);
    flo_tap_close(tap);
    for (size_t i = 0; rv == 0 && i < importance->count; i++) {
        rv = conclude(importance, &importance->tensors[i], i, err);
    }
    importance->tokens = chunks->count * (uint64_t)(chunks->length - 1);
    return rv;
}

int flo_importance_measure(const struct flo_tool_model *model, struct flo_chunks *chunks,
                           struct flo_importance **out, struct flo_err *err)
{
    struct flo_importance *importance = calloc(1, sizeof(*importance));

    if (importance == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "an importance");
    }
    int rv = measure(model, chunks, importance, err);
    free_tensors(importance);
    if (rv < 0) {
        flo_importance_free(importance);
        return rv;
    }
    *out = importance;
    return 0;
}

int flo_calibration_cut(const struct flo_tool_model *model, const char *path, uint32_t length,
                        struct flo_chunks *chunks, struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};
    bool is_built_in = strcmp(path, FLO_CALIBRATION_BUILT_IN) == 0;

    if ((model->info->properties & FLO_COMPUTE_ANSWERS) == 0) {
        return flo_fail(err, FLO_E_NOT_BUILT, "a calibration of a model that writes no text");
    }
    FLO_TRY(is_built_in ? flo_calibration_text(&text, err) : 0);
    FLO_TRY(is_built_in ? flo_chunks_of_bytes(model, text.data, text.bytes, chunks, err)
                        : flo_chunks_of_text(model, path, chunks, err));
    length = model->info->context < length ? model->info->context : length;
    length = chunks->tokens_count < length ? (uint32_t)chunks->tokens_count : length;
    return flo_chunks_cut(chunks, length, err);
}

int flo_importance_of_text(const char *path, const char *text, uint64_t threads,
                           struct flo_importance **out, struct flo_err *err)
{
    const struct flo_tool tool = {.model = path, .packed = "none", .threads = threads};
    struct flo_tool_model model = {0};
    struct flo_chunks chunks = {0};

    FLO_TRY(flo_tool_open(&tool, FLO_VOCABULARY_NEEDED, &model, err));
    int rv = flo_calibration_cut(&model, text, CHUNK_TOKENS, &chunks, err);
    if (rv == 0) {
        rv = flo_importance_measure(&model, &chunks, out, err);
    }
    flo_chunks_free(&chunks);
    model.backend->close(model.state);
    return rv < 0 ? flo_wrap(err, rv, "calibration") : 0;
}
