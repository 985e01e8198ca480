/* Hidden states of models of all families that are at hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <float.h>
#include <glob.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/judge/states.h"
#include "engine/model/compute.h"

#define MODEL "tests/models/tiny-v1.F16.gguf"
#define ENCODER "tests/oracle/encoders/embeddinggemma.f32.gguf"
#define FAMILIES "tests/oracle/tiny/*.gguf"

static const int32_t tokens[] = {1, 72, 101, 40, 33, 12, 70, 5, 9, 81, 44, 2};
#define COUNT ((uint32_t)FLO_COUNT(tokens))

struct opened {
    struct flo_tool_model model;
    struct flo_states *states;
    struct flo_states_shape shape;
};

static struct opened open_model(const char *path, uint64_t threads)
{
    const struct flo_tool tool = {.model = path, .packed = "none", .threads = threads};
    struct opened o = {.states = NULL};

    assert_int_equal(flo_tool_open(&tool, FLO_VOCABULARY_NONE, &o.model, NULL), 0);
    assert_int_equal(flo_states_open(&o.model, &o.states, NULL), 0);
    o.shape = flo_states_shape(o.states);
    return o;
}

static void close_model(struct opened *o)
{
    flo_states_close(o->states);
    o->model.backend->close(o->model.state);
}

static struct flo_engine *engine_of(const struct opened *o)
{
    return flo_backend_native_session(o->model.state)->engine;
}

/* Returns the states of all tokens, computed `at_once` at a time, as [places]
 * [COUNT][width]; the caller frees them. */
static float *states_of(struct opened *o, uint32_t at_once)
{
    size_t width = o->shape.width;
    float *all = calloc(o->shape.places, COUNT * width * sizeof(*all));

    assert_non_null(all);
    o->model.backend->reset(o->model.state, 0);
    for (uint32_t t = 0; t < COUNT; t += at_once) {
        uint32_t count = COUNT - t < at_once ? COUNT - t : at_once;
        const float *values;
        assert_int_equal(flo_states_run(o->states, tokens + t, count, &values, NULL), 0);
        for (size_t p = 0; p < o->shape.places; p++) {
            memcpy(all + (p * COUNT + t) * width, values + p * count * width,
                   count * width * sizeof(*all));
        }
    }
    return all;
}

static void for_each_family(void (*test)(const char *path))
{
    glob_t found;

    assert_int_equal(glob(FAMILIES, 0, NULL, &found), 0);
    assert_true(found.gl_pathc > 20);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        test(found.gl_pathv[i]);
    }
    globfree(&found);
}

static void expect_cuts(const char *path)
{
    struct opened one = open_model(path, 1), two = open_model(path, 2);
    size_t bytes = (size_t)one.shape.places * COUNT * one.shape.width * sizeof(float);
    float *whole = states_of(&two, COUNT), *pieces = states_of(&one, 5);
    float *singly = states_of(&one, 1);

    if (memcmp(whole, pieces, bytes) != 0 || memcmp(whole, singly, bytes) != 0) {
        fail_msg("%s", path);
    }
    free(whole);
    free(pieces);
    free(singly);
    close_model(&one);
    close_model(&two);
}

static void neither_cuts_of_a_text_nor_threads_change_a_state(void **state)
{
    (void)state;
    for_each_family(expect_cuts);
}

/* A product whose results are 0. */
static void no_product(const void *weights, size_t row_bytes, size_t rows,
                       const struct flo_activations *x, float *y, size_t stride)
{
    (void)weights, (void)row_bytes;
    for (size_t t = 0; t < x->tokens; t++) {
        memset(y + t * stride, 0, rows * sizeof(*y));
    }
}

static void damage(struct opened *o, uint32_t index)
{
    struct flo_weights *w = &engine_of(o)->weights;

    for (uint32_t i = 0; i < w->n_places; i++) {
        uint8_t *place = (uint8_t *)&w->layers[index] + w->places[i];
        ((struct flo_matrix *)(void *)place)->matmul = no_product;
    }
}

static void expect_damage(const char *path)
{
    struct opened good = open_model(path, 1), bad = open_model(path, 1);
    uint32_t index = good.shape.places / 2 - 1;
    size_t bytes = COUNT * good.shape.width * sizeof(float);

    damage(&bad, index);
    float *a = states_of(&good, COUNT), *b = states_of(&bad, COUNT);
    for (size_t p = 0; p < good.shape.places; p++) {
        const float *x = a + p * COUNT * good.shape.width, *y = b + p * COUNT * good.shape.width;
        if ((memcmp(x, y, bytes) != 0) != (p > index)) {
            fail_msg("%s: place %zu, layer %u is damaged", path, p, index);
        }
    }
    free(a);
    free(b);
    close_model(&good);
    close_model(&bad);
}

static void damage_of_a_layer_shows_after_it_and_not_before(void **state)
{
    (void)state;
    for_each_family(expect_damage);
}

/* Returns the logit of a token, from the state that the output reads, and how
 * far off one of floats may be.  A sum of n floats, in any order, is off by n
 * roundings of the sum of their sizes at most.  The norm's sum of squares is under
 * a root, which halves its error; its root, quotient and weight round thrice. */
static double logit_of(const struct flo_engine *e, const float *last, uint32_t token,
                       double *off_max)
{
    const struct flo_matrix *m = &e->weights.output;
    float row[256];
    double squares = 0, sum = 0, sizes = 0;

    m->type->decode(m->data + (size_t)token * m->row_bytes, row, FLO_COUNT(row));
    for (size_t i = 0; i < FLO_COUNT(row); i++) {
        squares += (double)last[i] * (double)last[i];
        double term = (double)row[i] * (double)last[i] * (double)e->weights.output_norm[i];

        sum += term;
        sizes += fabs(term);
    }
    double rms = sqrt(squares / FLO_COUNT(row) + (double)e->hparams.epsilon);
    *off_max = (1.5 * FLO_COUNT(row) + 3) * (double)(FLT_EPSILON / 2) * sizes / rms;
    return sum / rms;
}

static void the_last_state_is_what_the_output_reads(void **state)
{
    struct opened o = open_model(MODEL, 1);
    const struct flo_backend *b = o.model.backend;
    float *all = states_of(&o, COUNT), *last = all + (o.shape.places - 1) * COUNT * o.shape.width;

    (void)state;
    b->reset(o.model.state, 0);
    assert_int_equal(b->prefill(o.model.state, tokens, COUNT, NULL, NULL, NULL), 0);
    for (uint32_t i = 0; i < o.model.info->n_vocab; i++) {
        double off_max;
        double want = logit_of(engine_of(&o), last + (COUNT - 1) * o.shape.width, i, &off_max);
        assert_true(fabs((double)b->logits(o.model.state)[i] - want) <= off_max);
    }
    free(all);
    close_model(&o);
}

static void the_first_state_is_the_row_of_the_embedding(void **state)
{
    struct opened o = open_model(MODEL, 1);
    const struct flo_matrix *m = &engine_of(&o)->weights.embedding;
    float *all = states_of(&o, COUNT), row[256];

    (void)state;
    assert_int_equal(o.shape.width, FLO_COUNT(row));
    assert_int_equal(o.shape.places, o.model.info->n_layer + 1);
    for (uint32_t t = 0; t < COUNT; t++) {
        m->type->decode(m->data + (size_t)tokens[t] * m->row_bytes, row, FLO_COUNT(row));
        assert_memory_equal(all + t * FLO_COUNT(row), row, sizeof(row));
    }
    free(all);
    close_model(&o);
}

static void products_are_watched_only_meanwhile(void **state)
{
    struct opened o = open_model(MODEL, 1);
    const struct flo_matrix *m = &engine_of(&o)->weights.layers[2].q;
    flo_matmul_fn *own = m->matmul;
    const float *values;
    struct flo_err err;

    (void)state;
    free(states_of(&o, COUNT));
    assert_ptr_equal(m->matmul, own);
    assert_int_equal(flo_states_run(o.states, (const int32_t[]){1 << 30}, 1, &values, &err),
                     FLO_E_INFER_PARAM);
    assert_ptr_equal(m->matmul, own);
    close_model(&o);
}

static void an_encoder_is_refused_by_name(void **state)
{
    const struct flo_tool tool = {.model = ENCODER, .packed = "none"};
    struct flo_tool_model model = {0};
    struct flo_states *states = NULL;
    struct flo_err err;

    (void)state;
    assert_int_equal(flo_tool_open(&tool, FLO_VOCABULARY_NONE, &model, NULL), 0);
    assert_int_equal(flo_states_open(&model, &states, &err), FLO_E_NOT_BUILT);
    assert_non_null(strstr(err.what, "gemma-embedding"));
    assert_null(states);
    model.backend->close(model.state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(neither_cuts_of_a_text_nor_threads_change_a_state),
        cmocka_unit_test(damage_of_a_layer_shows_after_it_and_not_before),
        cmocka_unit_test(the_last_state_is_what_the_output_reads),
        cmocka_unit_test(the_first_state_is_the_row_of_the_embedding),
        cmocka_unit_test(products_are_watched_only_meanwhile),
        cmocka_unit_test(an_encoder_is_refused_by_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
