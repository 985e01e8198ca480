/* Every family in a batch: answers have the bits that they have alone, also when
 * an answer next to them is cancelled.  They go on when the context is full.
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

/* Sanitizers and emulated CPUs take minutes for all. */
#if defined(__SANITIZE_ADDRESS__) || !defined(__x86_64__)
enum { EACH = 4 };
#else
enum { EACH = 1 };
#endif

static char **models;
static size_t model_count;
static bool takes_all; /* else a model has one of the caches, but with the best kernel */

/* Tells whether a model is played with a cache and a kernel, by their numbers. */
static bool is_played(size_t model, size_t cache, size_t kernel)
{
    return takes_all || kernel == 0 || (model + cache + kernel) % 2 == 0;
}

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
            if (!is_played(i / 2, i % 2, k)) {
                continue;
            }
            struct flo_engine *engine =
                open_model(models[i / 2 * EACH], kernel->name, caches[i % 2]);

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
        struct flo_engine *engine = open_model(models[i * EACH], NULL, FLO_KV_F16);
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

/* ---- a full context ---- */

/* The answer of a request that may outgrow the context. */
static size_t answer_job(struct flo_engine *engine, const uint8_t *prompt, uint32_t prompt_bytes,
                         uint32_t wanted, int32_t *ids)
{
    struct flo_wire_message m = {.type = FLO_WIRE_GENERATE, .request = 1}, got;
    struct flo_session *session = session_of(engine);
    struct flo_sampler *sampler = NULL;
    struct flo_job *job = NULL;
    struct flo_err err = {0};
    struct flo_buf out = {0};
    size_t count = 0;
    bool has_ended = false;

    m.generate.tokens = (struct flo_wire_text){(const char *)prompt, prompt_bytes};
    m.generate.max_tokens = wanted;
    m.generate.ignores_end = m.generate.shifts = true;
    if (flo_job_new(engine, &m, &job, &err) < 0) {
        fail_msg("%s", err.what);
    }
    assert_int_equal(flo_sampler_open(engine, &(struct flo_sampling){0}, &sampler, NULL), 0);
    assert_int_equal(flo_job_start(job, session, session, 0, sampler, NULL), 0);
    while (!has_ended) {
        uint32_t pending = flo_job_pending(job);
        struct flo_step step;

        flo_job_prepare(job, pending < BATCH ? pending : BATCH, NULL, &out, &step);
        assert_int_equal(flo_engine_step(engine, &step, 1, NULL, NULL, NULL), 0);
        has_ended = flo_job_finish(job);
    }
    for (size_t at = 0; at < out.bytes;) {
        ptrdiff_t n = flo_wire_read(out.data + at, out.bytes - at, &got, NULL);

        assert_true(n > 0);
        at += (size_t)n;
        if (got.type == FLO_WIRE_TOKEN) {
            assert_true(count < wanted);
            ids[count++] = (int32_t)got.token.token;
        }
    }
    flo_job_free(job);
    flo_buf_deinit(&out);
    flo_sampler_close(sampler);
    flo_session_close(session);
    return count;
}

/* The same with plain calls: when the context is full, the first token and the
 * newer half of the others are a new prompt. */
static size_t answer_again(struct flo_engine *engine, int32_t *tokens, uint32_t count,
                           uint32_t wanted, int32_t *ids)
{
    uint32_t context = flo_engine_info(engine)->context, shifts = 0;
    struct flo_session *session = session_of(engine);

    for (uint32_t made = 0; made < wanted; made++) {
        uint32_t at = flo_session_position(session);

        assert_int_equal(
            flo_session_decode(session, tokens + at, count - at, FLO_LOGITS_LAST, NULL), 0);
        ids[made] = likeliest(flo_session_logits(session), flo_engine_info(engine)->n_vocab);
        tokens[count++] = ids[made];
        if (count == context) {
            uint32_t dropped = count / 2;

            memmove(tokens + 1, tokens + 1 + dropped, (count - 1 - dropped) * sizeof(*tokens));
            count -= dropped;
            flo_session_reset(session);
            shifts++;
        }
    }
    flo_session_close(session);
    return shifts;
}

static void expect_shifts(struct flo_engine *engine)
{
    enum { PROMPT = 30 };
    uint32_t context = flo_engine_info(engine)->context, wanted = context + context / 2 + 8;
    int32_t tokens[CONTEXT], made[2 * CONTEXT], again[2 * CONTEXT];
    uint8_t prompt[PROMPT * sizeof(uint32_t)];

    for (uint32_t i = 0; i < PROMPT; i++) {
        tokens[i] = (int32_t)((i * 31 + 5) % flo_engine_info(engine)->n_vocab);
        flo_put_u32(prompt + 4 * i, (uint32_t)tokens[i]);
    }
    assert_int_equal(answer_job(engine, prompt, sizeof(prompt), wanted, made), wanted);
    assert_true(answer_again(engine, tokens, PROMPT, wanted, again) >= 2);
    assert_memory_equal(made, again, wanted * sizeof(*made));
}

static void a_full_context_is_shifted_and_the_answer_goes_on_as_from_the_rest_alone(void **state)
{
    static const enum flo_kv_type caches[] = {FLO_KV_F16, FLO_KV_Q8_0};

    (void)state;
    for (size_t i = 0; i < 2 * model_count; i++) {
        if (!is_played(i / 2, i % 2, 1)) {
            continue;
        }
        struct flo_engine *engine = open_model(models[i / 2 * EACH], NULL, caches[i % 2]);

        if ((flo_engine_info(engine)->properties & FLO_COMPUTE_ANSWERS) != 0) {
            expect_shifts(engine);
        }
        flo_engine_close(engine);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(four_answers_in_a_batch_have_their_bits_also_if_one_is_cancelled),
        cmocka_unit_test(answers_with_other_adapters_have_their_bits_in_a_batch),
        cmocka_unit_test(a_full_context_is_shifted_and_the_answer_goes_on_as_from_the_rest_alone),
    };
    glob_t found = {0};

    takes_all = argc > 1;
    models = argv + 1;
    model_count = ((size_t)argc - 1) / EACH;
    if (argc < 2 && glob("tests/oracle/tiny/*.gguf", 0, NULL, &found) == 0) {
        models = found.gl_pathv;
        model_count = found.gl_pathc / EACH;
    }
    int rv = cmocka_run_group_tests(tests, NULL, NULL);
    globfree(&found);
    return rv;
}
