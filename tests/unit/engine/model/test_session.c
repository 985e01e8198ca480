/* Sessions: positions, errors that change nothing, cancelling, threads. */
#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <flotilla/engine.h>
#include <flotilla/errors/gguf.h>

enum { COUNT = 30, N_VOCAB = 288 };

static int32_t tokens[COUNT];

static struct flo_engine *open_model(const char *path, struct flo_engine_options options)
{
    struct flo_engine *engine = NULL;
    struct flo_err err = {0};

    for (int i = 0; i < COUNT; i++) {
        tokens[i] = (i * 37 + 11) % N_VOCAB;
    }
    if (flo_engine_open(path, &options, &engine, &err) < 0) {
        fail_msg("%s", err.what);
    }
    return engine;
}

static struct flo_engine *open_tiny(struct flo_engine_options options)
{
    options.context = options.context == 0 ? 64 : options.context;
    return open_model("tests/oracle/tiny/smollm2-S-q4_1.gguf", options);
}

static struct flo_session *session_of(struct flo_engine *engine)
{
    struct flo_session *session = NULL;

    assert_int_equal(flo_session_open(engine, &session, NULL), 0);
    return session;
}

static void decode(struct flo_session *session, const int32_t *ids, size_t count)
{
    assert_int_equal(flo_session_decode(session, ids, count, FLO_LOGITS_LAST, NULL), 0);
}

/* Are the session's logits, to the bit, those of a fresh session over the same
 * tokens? */
static void expect_logits_of(struct flo_session *session, struct flo_engine *engine,
                             const int32_t *ids, size_t count)
{
    struct flo_session *fresh = session_of(engine);

    decode(fresh, ids, count);
    for (int i = 0; i < N_VOCAB; i++) {
        assert_true(flo_session_logits(session)[i] == flo_session_logits(fresh)[i]);
    }
    flo_session_close(fresh);
}

static void one_by_one_gives_the_same_as_together(void **state)
{
    static const enum flo_kv_type kinds[] = {FLO_KV_F16, FLO_KV_F32, FLO_KV_Q8_0, FLO_KV_Q4_0};

    (void)state;
    for (size_t k = 0; k < FLO_COUNT(kinds); k++) {
        struct flo_engine *engine = open_tiny(
            (struct flo_engine_options){.sessions = 2, .threads = 2, .kv_type = kinds[k]});
        struct flo_session *session = session_of(engine);
        struct flo_timings timings;

        for (size_t i = 0; i < COUNT; i++) {
            decode(session, tokens + i, 1);
            assert_int_equal(flo_session_position(session), i + 1);
        }
        expect_logits_of(session, engine, tokens, COUNT);
        flo_session_timings(session, &timings);
        assert_int_equal(timings.generated_tokens, COUNT);
        assert_int_equal(timings.prompt_tokens, 0);
        flo_session_close(session);
        flo_engine_close(engine);
    }
}

static void a_cut_session_goes_on_as_if_the_rest_never_was(void **state)
{
    struct flo_engine *engine = open_tiny((struct flo_engine_options){.sessions = 2, .threads = 1});
    struct flo_session *session = session_of(engine);
    int32_t other[COUNT];

    (void)state;
    memcpy(other, tokens, sizeof(other));
    for (int i = 10; i < 20; i++) {
        other[i] = 5;
    }
    decode(session, tokens, COUNT);
    flo_session_truncate(session, 10);
    assert_null(flo_session_logits(session));
    decode(session, other + 10, 10);
    assert_int_equal(flo_session_position(session), 20);
    expect_logits_of(session, engine, other, 20);
    flo_session_truncate(session, 1000);
    assert_int_equal(flo_session_position(session), 20);
    flo_session_reset(session);
    assert_int_equal(flo_session_position(session), 0);
    flo_session_close(session);
    flo_engine_close(engine);
}

static void a_decode_that_cannot_be_changes_nothing(void **state)
{
    struct flo_engine *engine = open_tiny((struct flo_engine_options){.context = 32, .threads = 1});
    struct flo_session *session = session_of(engine);
    struct flo_err err = {0};
    const int32_t bad[] = {1, N_VOCAB}, negative = -1;

    (void)state;
    decode(session, tokens, COUNT);
    assert_int_equal(flo_session_decode(session, tokens, 3, FLO_LOGITS_LAST, &err),
                     FLO_E_INFER_TOO_LONG);
    assert_string_equal(err.what, "3 tokens behind 30, context is 32");
    assert_int_equal(flo_session_decode(session, bad, 2, FLO_LOGITS_LAST, NULL), FLO_E_INFER_PARAM);
    assert_int_equal(flo_session_decode(session, &negative, 1, FLO_LOGITS_LAST, NULL),
                     FLO_E_INFER_PARAM);
    assert_int_equal(flo_session_decode(session, bad, 0, FLO_LOGITS_LAST, NULL), FLO_E_INFER_PARAM);
    assert_int_equal(flo_session_decode(session, tokens, SIZE_MAX, FLO_LOGITS_LAST, NULL),
                     FLO_E_INFER_TOO_LONG);
    assert_int_equal(flo_session_position(session), COUNT);
    assert_non_null(flo_session_logits(session));
    decode(session, tokens, 2);
    assert_int_equal(flo_session_position(session), 32);
    flo_session_close(session);
    flo_engine_close(engine);
}

static void sessions_are_counted_and_given_back(void **state)
{
    struct flo_engine *engine = open_tiny((struct flo_engine_options){.sessions = 2, .threads = 1});
    struct flo_session *a = session_of(engine), *b = session_of(engine);
    struct flo_session *c = NULL;

    (void)state;
    assert_int_equal(flo_session_open(engine, &c, NULL), FLO_E_INFER_BUSY);
    assert_null(c);
    decode(a, tokens, 5);
    flo_session_close(a);
    c = session_of(engine);
    assert_int_equal(flo_session_position(c), 0);
    assert_null(flo_session_logits(c));
    flo_session_close(b);
    flo_session_close(c);
    flo_session_close(NULL);
    flo_engine_close(engine);
}

static void a_closed_session_leaves_its_neighbours_cache(void **state)
{
    struct flo_engine *engine = open_tiny((struct flo_engine_options){
        .sessions = 2, .threads = 1, .context = 48, .kv_type = FLO_KV_Q8_0});
    struct flo_session *a = session_of(engine), *b = session_of(engine);

    (void)state;
    /* They meet inside of a page. */
    assert_int_not_equal(flo_engine_info(engine)->kv_bytes / 2 % 4096, 0);
    decode(a, tokens, COUNT);
    decode(b, tokens, COUNT - 1);
    flo_session_close(a);
    decode(b, tokens + COUNT - 1, 1);
    expect_logits_of(b, engine, tokens, COUNT);
    flo_session_close(b);
    flo_engine_close(engine);
}

struct user {
    struct flo_session *session;
    size_t offset;
};

static void *use(void *context)
{
    struct user *user = context;

    for (int round = 0; round < 20; round++) {
        flo_session_truncate(user->session, 0);
        for (size_t i = 0; i < 10; i++) {
            if (flo_session_decode(user->session, tokens + user->offset + i, 1, FLO_LOGITS_LAST,
                                   NULL) != 0) {
                return user;
            }
        }
    }
    return NULL;
}

static void sessions_of_two_threads_do_not_mix(void **state)
{
    struct flo_engine *engine = open_tiny((struct flo_engine_options){.sessions = 3, .threads = 2});
    struct user users[2] = {{session_of(engine), 0}, {session_of(engine), 15}};
    pthread_t threads[2];

    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, use, &users[i]), 0);
    }
    for (int i = 0; i < 2; i++) {
        void *failed = &failed;

        pthread_join(threads[i], &failed);
        assert_null(failed);
        expect_logits_of(users[i].session, engine, tokens + users[i].offset, 10);
        flo_session_close(users[i].session);
    }
    flo_engine_close(engine);
}

static int keep_row(void *context, uint32_t position, const float *logits)
{
    float *rows = context;

    rows[position] = logits[7];
    return position == 20 ? 42 : 0;
}

static void rows_come_in_order_and_can_stop_the_decode(void **state)
{
    struct flo_engine *engine =
        open_tiny((struct flo_engine_options){.sessions = 2, .threads = 2, .batch = 7});
    struct flo_session *session = session_of(engine);
    float rows[COUNT] = {0};

    (void)state;
    assert_int_equal(flo_session_decode_rows(session, tokens, 12, keep_row, rows, NULL), 0);
    assert_int_equal(flo_session_position(session), 12);
    assert_null(flo_session_logits(session));
    assert_int_equal(flo_session_decode_rows(session, tokens + 12, 18, keep_row, rows, NULL), 42);
    assert_int_equal(flo_session_position(session), 12);
    decode(session, tokens + 12, 2);
    /* the same bits, in a batch of others (docs/internals/engine.md) */
    assert_true(flo_session_logits(session)[7] == rows[13]);
    assert_true(rows[21] == 0);
    flo_session_close(session);
    flo_engine_close(engine);
}

static void nothing_is_allocated_per_token(void **state)
{
    struct flo_engine *engine = open_tiny((struct flo_engine_options){.threads = 2});
    struct flo_session *session = session_of(engine);
    struct flo_sampling sampling = {.temperature = 1, .top_p = 0.9f};
    struct flo_sampler *sampler;
    struct flo_sample sample;

    (void)state;
    assert_int_equal(flo_sampler_open(engine, &sampling, &sampler, NULL), 0);
    decode(session, tokens, 2); /* its threads have started after this */
    struct mallinfo2 before = mallinfo2();
    decode(session, tokens, COUNT);
    for (int i = 0; i < 20; i++) {
        flo_sampler_sample(sampler, flo_session_logits(session), &sample);
        decode(session, &sample.token, 1);
    }
    struct mallinfo2 after = mallinfo2();
    assert_int_equal(after.uordblks, before.uordblks);
    flo_sampler_close(sampler);
    flo_session_close(session);
    flo_engine_close(engine);
}

/* ---- text, on a real vocabulary ---- */

static const char helper[] = "tests/models/tiny-v2.Q4_0.gguf";

static void a_conversation_is_answered(void **state)
{
    static const char prompt[] = "Classify: 23:45 oven-95 voltage drop temp=35C";
    const struct flo_engine_message message = {
        .role = "user", .text = prompt, .bytes = sizeof(prompt) - 1};
    struct flo_engine *engine = open_model(helper, (struct flo_engine_options){.threads = 1});
    struct flo_session *session = session_of(engine);
    struct flo_sampling greedy = {0};
    struct flo_engine_stream stream = {0};
    struct flo_sampler *sampler;
    struct flo_sample sample;
    struct flo_buf text = {0};
    int32_t ids[128];
    size_t count;

    (void)state;
    assert_int_equal(flo_engine_chat(engine, &message, 1, ids, 128, &count, NULL), 0);
    assert_int_equal(count, 27);
    assert_int_equal(flo_sampler_open(engine, &greedy, &sampler, NULL), 0);
    decode(session, ids, count);
    for (int i = 0; i < 8; i++) {
        flo_sampler_sample(sampler, flo_session_logits(session), &sample);
        if (flo_engine_is_end(engine, sample.token)) {
            break;
        }
        flo_engine_stream_add(&stream, engine, sample.token, &text);
        decode(session, &sample.token, 1);
    }
    flo_engine_stream_finish(&stream, &text);
    assert_string_equal(text.data, "severity: critical");
    flo_buf_deinit(&text);
    flo_sampler_close(sampler);
    flo_session_close(session);
    flo_engine_close(engine);
}

static void the_template_in_use_can_be_read(void **state)
{
    static const struct {
        const char *instead, *name, *begin;
    } cases[] = {
        {NULL, "model", "{%"},
        {"chatml", "chatml", "{% for m in messages %}{{ '<|im_start|>'"},
        {"none", "none", ""},
        {"{% for m in messages %}\r\n{{ m.content }}{% endfor %}", "given",
         "{% for m in messages %}\n{{ m.content }}{% endfor %}"},
        {"{{ 'nothing' }}", "unknown", ""},
    };

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(cases); i++) {
        struct flo_engine *engine = open_model(
            helper, (struct flo_engine_options){.threads = 1, .chat_template = cases[i].instead});
        struct flo_engine_template used;

        flo_engine_template(engine, &used);
        assert_string_equal(used.name, cases[i].name);
        assert_memory_equal(used.text, cases[i].begin, strlen(cases[i].begin));
        assert_int_equal(used.bytes > 0, cases[i].begin[0] != '\0');
        assert_int_equal(used.text[used.bytes], '\0');
        flo_engine_close(engine);
    }
}

static void text_goes_to_tokens_and_back(void **state)
{
    static const char text[] = "pump-90 \xc3\xa9t\xc3\xa9 <|im_end|>";
    struct flo_engine *engine = open_model(helper, (struct flo_engine_options){.threads = 1});
    struct flo_buf back = {0};
    int32_t ids[64];
    size_t count;

    (void)state;
    assert_int_equal(flo_engine_tokenise(engine, text, sizeof(text) - 1, 0, ids, 64, &count, NULL),
                     0);
    assert_int_equal(flo_engine_detokenise(engine, ids, count, false, &back, NULL), 0);
    assert_string_equal(back.data, text);
    assert_int_equal(flo_engine_tokenise(engine, text, sizeof(text) - 1, 0, ids, 3, &count, NULL),
                     FLO_E_INFER_TOO_LONG);
    flo_buf_deinit(&back);
    flo_engine_close(engine);
}

/* The list is the caller's: it never grows. */
static void nothing_fits_into_a_list_of_no_tokens(void **state)
{
    const struct flo_engine_message message = {.role = "user", .text = "a", .bytes = 1};
    struct flo_engine *engine = open_model(helper, (struct flo_engine_options){.threads = 1});
    struct flo_err err = {0};
    int32_t ids[1] = {-7};
    size_t count = 9;

    (void)state;
    assert_int_equal(flo_engine_tokenise(engine, "a", 1, 0, ids, 0, &count, &err),
                     FLO_E_INFER_TOO_LONG);
    assert_non_null(strstr(err.what, "at most 0 fit"));
    assert_int_equal(flo_engine_chat(engine, &message, 1, ids, 0, &count, NULL),
                     FLO_E_INFER_TOO_LONG);
    assert_int_equal(ids[0], -7);
    assert_int_equal(count, 9);
    flo_engine_close(engine);
}

static void without_a_vocabulary_text_fails_and_ids_work(void **state)
{
    struct flo_engine *engine = open_model(
        helper, (struct flo_engine_options){.threads = 1, .vocabulary = FLO_VOCABULARY_NONE});
    struct flo_session *session = session_of(engine);
    struct flo_err err = {0};
    int32_t ids[8];
    size_t count;

    (void)state;
    assert_false(flo_engine_info(engine)->has_vocabulary);
    assert_int_equal(flo_engine_tokenise(engine, "a", 1, 0, ids, 8, &count, &err),
                     FLO_E_GGUF_VOCAB);
    assert_false(flo_engine_is_end(engine, 2));
    decode(session, tokens, 3);
    flo_session_close(session);
    flo_engine_close(engine);
}

static void broken_weights_are_seen_in_the_logits(void **state)
{
    static const char *const broken[] = {
        "tests/models/tiny-v3-bad-nan.Q4_0.gguf",
        "tests/models/tiny-v3-bad-nanscale.Q4_0.gguf",
    };

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(broken); i++) {
        struct flo_engine *engine =
            open_model(broken[i], (struct flo_engine_options){.threads = 2});
        struct flo_session *session = session_of(engine);
        struct flo_sampling greedy = {0};
        struct flo_sampler *sampler;
        struct flo_sample sample;

        assert_int_equal(flo_sampler_open(engine, &greedy, &sampler, NULL), 0);
        decode(session, tokens, 20);
        flo_sampler_sample(sampler, flo_session_logits(session), &sample);
        assert_false(sample.is_finite);
        flo_sampler_close(sampler);
        flo_session_close(session);
        flo_engine_close(engine);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_by_one_gives_the_same_as_together),
        cmocka_unit_test(a_cut_session_goes_on_as_if_the_rest_never_was),
        cmocka_unit_test(a_decode_that_cannot_be_changes_nothing),
        cmocka_unit_test(sessions_are_counted_and_given_back),
        cmocka_unit_test(a_closed_session_leaves_its_neighbours_cache),
        cmocka_unit_test(sessions_of_two_threads_do_not_mix),
        cmocka_unit_test(rows_come_in_order_and_can_stop_the_decode),
        cmocka_unit_test(nothing_is_allocated_per_token),
        cmocka_unit_test(a_conversation_is_answered),
        cmocka_unit_test(the_template_in_use_can_be_read),
        cmocka_unit_test(text_goes_to_tokens_and_back),
        cmocka_unit_test(nothing_fits_into_a_list_of_no_tokens),
        cmocka_unit_test(without_a_vocabulary_text_fails_and_ids_work),
        cmocka_unit_test(broken_weights_are_seen_in_the_logits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
