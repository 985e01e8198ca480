/* Every family in a batch: answers have the bits that they have alone, whatever
 * is cancelled beside them, and go on when the context is full.
 *
 * usage: test_families [MODEL...]; without models, those of tests/oracle */
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <flotilla/engine_step.h>
#include <flotilla/errors/infer.h>

#include "engine/kernel/kernel.h"
#include "engine/run/run.h"
#include "unit/engine/lora_make.h"

enum {
    SESSIONS = 4,
    PROMPTS = SESSIONS + 1, /* the last one comes when another is cancelled */
    PROMPT_MAX = 23,
    ANSWER = 10,
    CONTEXT = 400, /* longer than what a layer with a window keeps */
    BATCH = 32,
};

static char **models;
static size_t model_count;

static struct flo_engine *open_model(const char *path, const char *kernel, enum flo_kv_type kv_type)
{
    struct flo_engine_options options = {
        .context = CONTEXT,
        .threads = 2,
        .sessions = PROMPTS,
        .batch = BATCH,
        .kernel = kernel,
        .trusts_kernels = true,
        .kv_type = kv_type,
        .adapter_bytes = 32u << 20,
    };
    struct flo_engine_plan plan;
    struct flo_engine *engine = NULL;
    struct flo_err err = {0};

    if (flo_engine_plan(path, &options, &plan, &err) == 0 && plan.context_trained < CONTEXT) {
        options.context = plan.context_trained;
    }
    if (flo_engine_open(path, &options, &engine, &err) < 0) {
        fail_msg("%s: %s", path, err.what);
    }
    return engine;
}

static struct flo_session *session_of(struct flo_engine *engine)
{
    struct flo_session *session = NULL;

    assert_int_equal(flo_session_open(engine, &session, NULL), 0);
    return session;
}

static int32_t likeliest(const float *logits, uint32_t n_vocab)
{
    uint32_t best = 0;

    for (uint32_t i = 1; i < n_vocab; i++) {
        best = logits[i] > logits[best] ? i : best;
    }
    return (int32_t)best;
}

/* ---- four at once ---- */

/* A prompt with its answer: tokens, and the logits from which they were chosen,
 * alone and then in a batch. */
struct text {
    int32_t ids[PROMPT_MAX + ANSWER];
    uint32_t prompt; /* tokens of the prompt */
    float *alone;    /* [ANSWER][n_vocab] */
    uint32_t n_vocab;
    uint32_t made; /* tokens of the answer in the batch */
    struct flo_session *session;
    const struct flo_adapter *adapter;
};

static void begin(struct text *text, struct flo_session *session)
{
    text->session = session;
    assert_int_equal(flo_session_set_adapter(session, text->adapter, 0.5f, NULL), 0);
    flo_session_reset(session);
}

static void answer_alone(struct flo_engine *engine, struct text *text, uint32_t seed,
                         const struct flo_adapter *adapter)
{
    static const uint32_t lengths[PROMPTS] = {9, 23, 1, 17, 12};
    struct flo_session *session = session_of(engine);
    uint32_t n = flo_engine_info(engine)->n_vocab, at = 0;

    *text = (struct text){.prompt = lengths[seed], .n_vocab = n, .adapter = adapter};
    begin(text, session);
    text->alone = malloc(ANSWER * n * sizeof(float));
    assert_non_null(text->alone);
    for (uint32_t i = 0; i < text->prompt; i++) {
        text->ids[i] = (int32_t)((i * (37 + seed) + 11 * seed + 3) % n);
    }
    for (uint32_t i = 0; i < ANSWER; i++) {
        uint32_t end = text->prompt + i;

        assert_int_equal(
            flo_session_decode(session, text->ids + at, end - at, FLO_LOGITS_LAST, NULL), 0);
        memcpy(text->alone + (size_t)i * n, flo_session_logits(session), n * sizeof(float));
        text->ids[end] = likeliest(flo_session_logits(session), n);
        at = end;
    }
    flo_session_close(session);
}

static bool expect_bits(void *context, uint32_t index, const float *logits)
{
    struct text *text = context;
    size_t bytes = text->n_vocab * sizeof(float);

    (void)index;
    if (flo_session_position(text->session) >= text->prompt) {
        assert_memory_equal(logits, text->alone + (size_t)text->made * text->n_vocab, bytes);
        assert_int_equal(likeliest(logits, text->n_vocab), text->ids[text->prompt + text->made]);
        text->made++;
    }
    return true;
}

static bool stops_behind_a_layer(void *context)
{
    return (*(uint32_t *)context)++ == 1;
}

/* One pass over those that have not ended, each with a piece of its prompt or a
 * token.  Before, the same pass is cancelled at its second layer. */
static bool pass(struct flo_engine *engine, struct text *const *texts, bool is_cancelled_first)
{
    struct flo_step steps[SESSIONS];
    uint32_t layers = 0;
    size_t count = 0;

    for (int s = 0; s < SESSIONS; s++) {
        struct text *text = texts[s];
        uint32_t at = flo_session_position(text->session);
        uint32_t left = at < text->prompt ? text->prompt - at : 1;

        if (text->made < ANSWER) {
            steps[count++] = (struct flo_step){text->session, text->ids + at, left < 7 ? left : 7,
                                               FLO_ROWS_LAST, expect_bits,    text};
        }
    }
    if (count > 0 && is_cancelled_first && engine->hparams.n_layer > 1) {
        assert_int_equal(flo_engine_step(engine, steps, count, stops_behind_a_layer, &layers, NULL),
                         FLO_E_INFER_CANCELLED);
    }
    struct flo_err err = {0};
    if (count > 0 && flo_engine_step(engine, steps, count, NULL, NULL, &err) < 0) {
        fail_msg("%s", err.what);
    }
    return count > 0;
}

static void answer_together(struct flo_engine *engine, struct flo_adapter *const adapters[2])
{
    struct text all[PROMPTS], *texts[SESSIONS];

    for (uint32_t i = 0; i < PROMPTS; i++) {
        answer_alone(engine, &all[i], i, adapters == NULL || i % 3 == 0 ? NULL : adapters[i % 2]);
    }
    for (int s = 0; s < SESSIONS; s++) {
        texts[s] = &all[s];
        begin(texts[s], session_of(engine));
    }
    for (int passes = 0; pass(engine, texts, passes == 3); passes++) {
        if (passes == 6) { /* one has written some tokens and is cancelled; another comes */
            assert_true(texts[2]->made > 2 && texts[2]->made < ANSWER);
            begin(&all[SESSIONS], texts[2]->session);
            texts[2] = &all[SESSIONS];
        }
    }
    for (int s = 0; s < SESSIONS; s++) {
        assert_int_equal(texts[s]->made, ANSWER);
        flo_session_close(texts[s]->session);
    }
    for (uint32_t i = 0; i < PROMPTS; i++) {
        free(all[i].alone);
    }
}

static void four_answers_in_a_batch_have_their_bits_also_if_one_is_cancelled(void **state)
{
    static const enum flo_kv_type caches[] = {FLO_KV_F16, FLO_KV_Q8_0};
    const struct flo_kernel *kernel;

    (void)state;
    for (size_t k = 0; (kernel = flo_kernel_at(k)) != NULL; k++) {
        size_t count = 0;

        for (size_t i = 0; kernel->is_supported() && i < 2 * model_count; i++) {
            struct flo_engine *engine = open_model(models[i / 2], kernel->name, caches[i % 2]);

            if ((flo_engine_info(engine)->properties & FLO_COMPUTE_ANSWERS) != 0) {
                answer_together(engine, NULL);
                count++;
            }
            flo_engine_close(engine);
        }
        print_message("%s: %zu models and caches\n", kernel->name, count);
    }
}

static void answers_with_other_adapters_have_their_bits_in_a_batch(void **state)
{
    (void)state;
    for (size_t i = 0; i < model_count; i++) {
        char paths[2][32] = {"/tmp/flotilla-lora-XXXXXX", "/tmp/flotilla-lora-XXXXXX"};
        struct flo_engine *engine = open_model(models[i], NULL, FLO_KV_F16);
        bool writes = (flo_engine_info(engine)->properties & FLO_COMPUTE_ANSWERS) != 0;
        struct flo_adapter *adapters[2] = {NULL};

        for (uint64_t k = 0; writes && k < 2; k++) {
            write_adapter(engine, k + 1, 0.3f, paths[k]);
            assert_int_equal(flo_adapter_open(engine, paths[k], &adapters[k], NULL), 0);
            unlink(paths[k]);
        }
        if (writes) {
            answer_together(engine, adapters);
        }
        flo_adapter_close(adapters[0]);
        flo_adapter_close(adapters[1]);
        flo_engine_close(engine);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(four_answers_in_a_batch_have_their_bits_also_if_one_is_cancelled),
        cmocka_unit_test(answers_with_other_adapters_have_their_bits_in_a_batch),
    };
    glob_t found = {0};

    models = argv + 1;
    model_count = (size_t)argc - 1;
    if (argc < 2 && glob("tests/oracle/tiny/*.gguf", 0, NULL, &found) == 0) {
        models = found.gl_pathv;
        model_count = found.gl_pathc;
    }
    int rv = cmocka_run_group_tests(tests, NULL, NULL);
    globfree(&found);
    return rv;
}
