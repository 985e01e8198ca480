/* Backends: what every one of them promises, asked of the engine's own and of
 * the double; and what only the double can be made to do. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <flotilla/errors/gguf.h>

#include "tests/unit/engine/backend_double.h"

enum { COUNT = 30, CONTEXT = 40 };

static int32_t tokens[COUNT];

/* A row for each backend that must pass. */
static const struct kind {
    const struct flo_backend *backend;
    const char *path;
} kinds[] = {
    {&flo_backend_native, "tests/oracle/tiny/smollm2-S-q4_1.gguf"},
    {&flo_backend_double, "double"},
};

static struct flo_backend_model *open_kind(const struct kind *kind)
{
    const struct flo_backend_options options = {.engine = {.context = CONTEXT, .threads = 2}};
    struct flo_backend_model *model = NULL;
    struct flo_err err = {0};

    if (kind->backend->open(kind->path, &options, &model, &err) < 0) {
        fail_msg("%s: %s", kind->backend->name, err.what);
    }
    return model;
}

static uint32_t position_of(const struct kind *kind, const struct flo_backend_model *model)
{
    struct flo_backend_stats stats;

    kind->backend->stats(model, &stats);
    return stats.position;
}

static void feed(const struct kind *kind, struct flo_backend_model *model, const int32_t *ids,
                 size_t count)
{
    assert_int_equal(kind->backend->prefill(model, ids, count, NULL, NULL, NULL), 0);
}

/* Does the model stand, to the bit, where a fresh one does after `ids`? */
static void expect_as_fresh(const struct kind *kind, const struct flo_backend_model *model,
                            const int32_t *ids, uint32_t count)
{
    struct flo_backend_model *fresh = open_kind(kind);
    uint32_t n_vocab = kind->backend->info(model)->n_vocab;

    feed(kind, fresh, ids, count);
    assert_int_equal(position_of(kind, model), count);
    assert_memory_equal(kind->backend->logits(model), kind->backend->logits(fresh),
                        n_vocab * sizeof(float));
    kind->backend->close(fresh);
}

static void a_prefill_is_its_tokens_one_by_one(void **state)
{
    (void)state;
    for (size_t k = 0; k < FLO_COUNT(kinds); k++) {
        struct flo_backend_model *model = open_kind(&kinds[k]);

        assert_int_equal(position_of(&kinds[k], model), 0);
        assert_null(kinds[k].backend->logits(model));
        for (uint32_t i = 0; i < COUNT; i++) {
            assert_int_equal(kinds[k].backend->decode(model, tokens[i], NULL), 0);
            assert_int_equal(position_of(&kinds[k], model), i + 1);
        }
        expect_as_fresh(&kinds[k], model, tokens, COUNT);
        kinds[k].backend->close(model);
    }
}

static void behind_a_reset_it_is_as_a_fresh_one(void **state)
{
    (void)state;
    for (size_t k = 0; k < FLO_COUNT(kinds); k++) {
        const struct flo_backend *b = kinds[k].backend;
        struct flo_backend_model *model = open_kind(&kinds[k]);
        int32_t other[COUNT];

        memcpy(other, tokens, sizeof(other));
        other[12] = other[19] = 5;
        feed(&kinds[k], model, other, COUNT);
        b->reset(model, 0);
        assert_null(b->logits(model));
        assert_int_equal(position_of(&kinds[k], model), 0);
        feed(&kinds[k], model, tokens, 20);
        expect_as_fresh(&kinds[k], model, tokens, 20);
        b->reset(model, 1000); /* nothing is there */
        expect_as_fresh(&kinds[k], model, tokens, 20);
        b->reset(model, 12); /* the beginning stays */
        feed(&kinds[k], model, other + 12, 8);
        expect_as_fresh(&kinds[k], model, other, 20);
        b->close(model);
    }
}

struct rows {
    uint32_t first, count, n_vocab, stops_behind;
    float *last; /* [n_vocab] */
};

static int take_row(void *context, uint32_t position, const float *logits)
{
    struct rows *rows = context;

    assert_int_equal(position, rows->first + rows->count++);
    memcpy(rows->last, logits, rows->n_vocab * sizeof(*logits));
    return rows->count == rows->stops_behind ? 77 : 0;
}

static void rows_come_in_turn_and_can_be_ended(void **state)
{
    (void)state;
    for (size_t k = 0; k < FLO_COUNT(kinds); k++) {
        const struct flo_backend *b = kinds[k].backend;
        struct flo_backend_model *model = open_kind(&kinds[k]);
        struct rows rows = {.first = 10, .n_vocab = b->info(model)->n_vocab};

        rows.last = calloc(rows.n_vocab, sizeof(*rows.last));
        feed(&kinds[k], model, tokens, 10);
        assert_int_equal(b->prefill(model, tokens + 10, 20, take_row, &rows, NULL), 0);
        assert_int_equal(rows.count, 20);
        assert_int_equal(position_of(&kinds[k], model), 30);
        assert_null(b->logits(model));
        b->reset(model, 29);
        assert_int_equal(b->decode(model, tokens[29], NULL), 0);
        assert_memory_equal(b->logits(model), rows.last, rows.n_vocab * sizeof(*rows.last));

        b->reset(model, 10);
        rows.count = 0;
        rows.stops_behind = 7;
        assert_int_equal(b->prefill(model, tokens + 10, 20, take_row, &rows, NULL), 77);
        assert_int_equal(position_of(&kinds[k], model), 10);
        free(rows.last);
        b->close(model);
    }
}

static void what_cannot_be_is_refused_and_changes_nothing(void **state)
{
    const int32_t high[] = {1, 1 << 20}, low = -1;

    (void)state;
    for (size_t k = 0; k < FLO_COUNT(kinds); k++) {
        const struct flo_backend *b = kinds[k].backend;
        struct flo_backend_model *model = open_kind(&kinds[k]);
        struct flo_err err = {0};

        feed(&kinds[k], model, tokens, 20);
        assert_int_equal(b->prefill(model, tokens, 21, NULL, NULL, &err), FLO_E_INFER_TOO_LONG);
        assert_string_equal(err.what, "21 tokens behind 20, context is 40");
        assert_int_equal(b->prefill(model, high, 2, NULL, NULL, &err), FLO_E_INFER_PARAM);
        assert_int_equal(err.code, FLO_E_INFER_PARAM);
        assert_int_equal(b->prefill(model, tokens, 0, NULL, NULL, NULL), FLO_E_INFER_PARAM);
        assert_int_equal(b->decode(model, low, NULL), FLO_E_INFER_PARAM);
        expect_as_fresh(&kinds[k], model, tokens, 20);

        /* The last place is one; after it there is none. */
        feed(&kinds[k], model, tokens, 19);
        assert_int_equal(b->decode(model, 1, NULL), 0);
        assert_int_equal(b->decode(model, 1, NULL), FLO_E_INFER_TOO_LONG);
        assert_int_equal(position_of(&kinds[k], model), CONTEXT);
        b->close(model);
    }
}

static void stats_count_what_was_computed(void **state)
{
    (void)state;
    for (size_t k = 0; k < FLO_COUNT(kinds); k++) {
        const struct flo_backend *b = kinds[k].backend;
        struct flo_backend_model *model = open_kind(&kinds[k]);
        struct flo_backend_stats stats;

        feed(&kinds[k], model, tokens, 20);
        assert_int_equal(b->decode(model, 1, NULL), 0);
        assert_int_equal(b->decode(model, 2, NULL), 0);
        assert_true(b->decode(model, -1, NULL) < 0); /* counts for nothing */
        b->reset(model, 0);
        feed(&kinds[k], model, tokens, 3);
        b->stats(model, &stats);
        assert_int_equal(stats.position, 3);
        assert_int_equal(stats.timings.prompt_tokens, 23);
        assert_int_equal(stats.timings.generated_tokens, 2);
        b->close(model);
        b->close(NULL);
    }
}

static void two_models_know_nothing_of_each_other(void **state)
{
    (void)state;
    for (size_t k = 0; k < FLO_COUNT(kinds); k++) {
        struct flo_backend_model *a = open_kind(&kinds[k]);
        struct flo_backend_model *b = open_kind(&kinds[k]);

        feed(&kinds[k], a, tokens, 10);
        feed(&kinds[k], b, tokens + 5, 9);
        feed(&kinds[k], a, tokens + 10, 10);
        expect_as_fresh(&kinds[k], a, tokens, 20);
        expect_as_fresh(&kinds[k], b, tokens + 5, 9);
        kinds[k].backend->close(a);
        kinds[k].backend->close(b);
    }
}

static void a_call_that_fails_halfway_can_be_made_again(void **state)
{
    const struct kind *kind = &kinds[1];
    struct flo_backend_model *model = open_kind(kind);

    (void)state;
    feed(kind, model, tokens, 10);
    flo_double_tell(model, &(struct flo_double_spec){.fails_at = 1});
    assert_int_equal(kind->backend->prefill(model, tokens + 15, 10, NULL, NULL, NULL),
                     FLO_E_MEMORY);
    assert_int_equal(position_of(kind, model), 10);
    feed(kind, model, tokens + 10, 10);
    expect_as_fresh(kind, model, tokens, 20);
    kind->backend->close(model);
}

static void nan_comes_out_and_is_told(void **state)
{
    const struct kind *kind = &kinds[1];
    struct flo_backend_model *model = open_kind(kind);
    const float *logits;
    uint32_t found = 0;

    (void)state;
    flo_double_tell(model, &(struct flo_double_spec){.nan_at = 2});
    for (uint32_t call = 1; call <= 3; call++) {
        assert_int_equal(kind->backend->decode(model, 7, NULL), 0);
        logits = kind->backend->logits(model);
        for (uint32_t i = 0; i < kind->backend->info(model)->n_vocab; i++) {
            found += isnan(logits[i]) ? call : 0;
        }
    }
    assert_int_equal(found, 2);
    kind->backend->close(model);
}

static void slow_work_shows_in_its_times(void **state)
{
    const struct kind *kind = &kinds[1];
    struct flo_backend_model *model = open_kind(kind);
    struct flo_backend_stats stats;

    (void)state;
    flo_double_tell(model, &(struct flo_double_spec){.slow_us = 1000});
    feed(kind, model, tokens, 10);
    assert_int_equal(kind->backend->decode(model, 1, NULL), 0);
    kind->backend->stats(model, &stats);
    assert_int_equal(stats.timings.prompt_us, 10000);
    assert_int_equal(stats.timings.generated_us, 1000);
    kind->backend->close(model);
}

static void a_filler_is_found_by_its_name(void **state)
{
    const struct flo_compute *compute = &flo_compute_native;
    struct flo_err err = {0};

    (void)state;
    assert_int_equal(flo_compute_find(NULL, &compute, NULL), 0);
    assert_null(compute); /* any */
    assert_int_equal(flo_compute_find("native", &compute, NULL), 0);
    assert_ptr_equal(compute, &flo_compute_native);
    assert_int_equal(flo_compute_find("onnx", &compute, &err), FLO_E_USAGE);
    assert_null(compute);
    assert_string_equal(err.what, "no backend 'onnx', there are: native");
}

static void what_cannot_be_opened_is_told(void **state)
{
    static const struct {
        const char *path, *adapter;
        int code;
    } cases[] = {
        {"tests/oracle/none.gguf", NULL, FLO_E_ABSENT},
        {"tests/models/README.md", NULL, FLO_E_GGUF_MAGIC},
        {"tests/oracle/tiny/smollm2-S-q4_1.gguf", "none", FLO_E_ABSENT},
    };

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(cases); i++) {
        const struct flo_backend_options options = {.adapter = cases[i].adapter,
                                                    .adapter_scale = 1};
        struct flo_backend_model *model = NULL;

        assert_int_equal(flo_backend_native.open(cases[i].path, &options, &model, NULL),
                         cases[i].code);
        assert_null(model);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_prefill_is_its_tokens_one_by_one),
        cmocka_unit_test(behind_a_reset_it_is_as_a_fresh_one),
        cmocka_unit_test(rows_come_in_turn_and_can_be_ended),
        cmocka_unit_test(what_cannot_be_is_refused_and_changes_nothing),
        cmocka_unit_test(stats_count_what_was_computed),
        cmocka_unit_test(two_models_know_nothing_of_each_other),
        cmocka_unit_test(a_call_that_fails_halfway_can_be_made_again),
        cmocka_unit_test(nan_comes_out_and_is_told),
        cmocka_unit_test(slow_work_shows_in_its_times),
        cmocka_unit_test(a_filler_is_found_by_its_name),
        cmocka_unit_test(what_cannot_be_opened_is_told),
    };

    for (int i = 0; i < COUNT; i++) {
        tokens[i] = (i * 37 + 11) % 288;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
