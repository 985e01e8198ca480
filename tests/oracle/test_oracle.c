/* The engine against exact logits: every kernel, every kind of model. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <flotilla/engine.h>

enum { IDS_MAX = 64 };

enum { NAMES_MAX = 64 };

/* Those of tests/oracle/tiny/index.json. */
static char names[NAMES_MAX][48];
static size_t name_count;

/* One NAME.json with its NAME.exact.f32. */
struct reference {
    char model[128];
    int32_t tokens[IDS_MAX];
    size_t token_count;
    int32_t greedy[IDS_MAX];
    double margins[IDS_MAX];
    size_t greedy_count;
    uint32_t context;
    bool is_f32;
    double peer_rms;
    float *exact; /* [token_count][n_vocab] */
    size_t exact_bytes;
};

/* The numbers after `"key": [`; how many. */
static size_t read_list(const char *json, const char *key, double *out)
{
    char *at = strstr(json, key);
    size_t count = 0;

    assert_non_null(at);
    at = strchr(at, '[') + 1;
    for (;;) {
        assert_true(count < IDS_MAX);
        out[count++] = strtod(at, &at);
        if (*at != ',') {
            return count;
        }
        at++;
    }
}

static double read_number(const char *json, const char *key)
{
    const char *at = strstr(json, key);

    assert_non_null(at);
    return strtod(at + strlen(key), NULL);
}

static void reference_load(struct reference *r, const char *name)
{
    double list[IDS_MAX];
    char path[160], *json;
    size_t bytes;

    *r = (struct reference){.is_f32 = strstr(name, "f32") != NULL};
    snprintf(r->model, sizeof(r->model), "tests/oracle/tiny/%s.gguf", name);
    snprintf(path, sizeof(path), "tests/oracle/tiny/%s.json", name);
    assert_int_equal(flo_file_read(path, 65536, &json, &bytes, NULL), 0);
    r->token_count = read_list(json, "\"tokens\": ", list);
    for (size_t i = 0; i < r->token_count; i++) {
        r->tokens[i] = (int32_t)list[i];
    }
    r->greedy_count = read_list(json, "\"greedy_exact\": ", list);
    for (size_t i = 0; i < r->greedy_count; i++) {
        r->greedy[i] = (int32_t)list[i];
    }
    read_list(json, "\"greedy_margin\": ", r->margins);
    r->context = (uint32_t)read_number(json, "\"n_ctx\": ");
    r->peer_rms = read_number(json, "\"rms_rel\": ");
    free(json);
    snprintf(path, sizeof(path), "tests/oracle/tiny/%s.exact.f32", name);
    assert_int_equal(
        flo_file_read(path, 1 << 20, (char **)(void *)&r->exact, &r->exact_bytes, NULL), 0);
}

static struct flo_engine *engine_open(const struct reference *r, const char *kernel,
                                      uint32_t threads, uint32_t batch, enum flo_kv_type kv_type)
{
    struct flo_engine_options options = {
        .kv_type = kv_type,
        .context = r->context,
        .threads = threads,
        .batch = batch,
        .kernel = kernel,
        .vocabulary = FLO_VOCABULARY_NONE,
    };
    struct flo_engine *engine = NULL;
    struct flo_err err = {0};

    if (flo_engine_open(r->model, &options, &engine, &err) < 0) {
        fail_msg("%s: %s", r->model, err.what);
    }
    return engine;
}

struct errors {
    const struct reference *reference;
    uint32_t n_vocab;
    double squares, sum, sum_of_squares;
};

static int compare_row(void *context, uint32_t position, const float *logits)
{
    struct errors *e = context;
    const float *exact = e->reference->exact + (size_t)position * e->n_vocab;

    for (uint32_t i = 0; i < e->n_vocab; i++) {
        double error = (double)logits[i] - (double)exact[i];

        e->squares += error * error;
        e->sum += (double)exact[i];
        e->sum_of_squares += (double)exact[i] * (double)exact[i];
    }
    return 0;
}

/* rms of the error over the spread of the exact logits. */
static double error_of(const struct reference *r, struct flo_engine *engine)
{
    struct errors e = {.reference = r, .n_vocab = flo_engine_info(engine)->n_vocab};
    double count = (double)r->token_count * e.n_vocab, mean;
    struct flo_session *session;

    assert_int_equal(r->exact_bytes, (size_t)count * sizeof(float));
    assert_int_equal(flo_session_open(engine, &session, NULL), 0);
    assert_int_equal(
        flo_session_decode_rows(session, r->tokens, r->token_count, compare_row, &e, NULL), 0);
    flo_session_close(session);
    mean = e.sum / count;
    return sqrt(e.squares / count) / sqrt(e.sum_of_squares / count - mean * mean);
}

/* Our error is below that of llama.cpp by so much at least, everywhere. */
#define PEER_SHARE 0.9
/* Logits nearer to each other than this may be ordered either way. */
#define CLOSE_CALL 0.4

static void check_all(const char *kernel, uint32_t threads, uint32_t batch)
{
    for (size_t i = 0; i < name_count; i++) {
        struct reference r;
        struct flo_engine *engine;
        double error;

        reference_load(&r, names[i]);
        engine = engine_open(&r, kernel, threads, batch, FLO_KV_F16);
        error = error_of(&r, engine);
        print_message("%s %s: error %.2e, peer %.2e\n", flo_engine_info(engine)->kernel, names[i],
                      error, r.peer_rms);
        assert_true(error <= PEER_SHARE * r.peer_rms + 2e-4);
        flo_engine_close(engine);
        free(r.exact);
    }
}

static void plain_c_is_near_exact(void **state)
{
    (void)state;
    check_all("ref", 1, 0);
}

static void the_best_kernel_is_near_exact(void **state)
{
    (void)state;
    check_all(NULL, 1, 0);
}

static void other_caches_keep_to_their_error(void **state)
{
    static const struct {
        enum flo_kv_type type;
        double more_max; /* on top of the codes' own error */
    } kinds[] = {{FLO_KV_F32, 3e-4}, {FLO_KV_Q8_0, 2e-2}, {FLO_KV_Q4_0, 0.4}};

    (void)state;
    for (size_t i = 0; i < name_count * FLO_COUNT(kinds); i++) {
        size_t k = i % FLO_COUNT(kinds);
        struct reference r;
        struct flo_engine *engine;
        double error;

        reference_load(&r, names[i / FLO_COUNT(kinds)]);
        engine = engine_open(&r, NULL, 1, 0, kinds[k].type);
        error = error_of(&r, engine);
        if (!(error <= PEER_SHARE * r.peer_rms + kinds[k].more_max)) {
            fail_msg("%s, cache %d: error %.2e", r.model, kinds[k].type, error);
        }
        flo_engine_close(engine);
        free(r.exact);
    }
}

static void threads_and_small_batches_change_nothing(void **state)
{
    (void)state;
    check_all(NULL, 3, 5);
    check_all(NULL, 2, 1);
}

static void greedy_goes_the_exact_way_up_to_a_close_call(void **state)
{
    (void)state;
    for (size_t i = 0; i < name_count; i++) {
        struct flo_sampling greedy = {0};
        struct flo_sampler *sampler;
        struct flo_session *session;
        struct flo_engine *engine;
        struct flo_sample sample;
        struct reference r;

        reference_load(&r, names[i]);
        engine = engine_open(&r, NULL, 1, 0, FLO_KV_F16);
        assert_int_equal(flo_session_open(engine, &session, NULL), 0);
        assert_int_equal(flo_sampler_open(engine, &greedy, &sampler, NULL), 0);
        assert_int_equal(
            flo_session_decode(session, r.tokens, r.token_count, FLO_LOGITS_LAST, NULL), 0);
        for (size_t k = 0; k < r.greedy_count && r.margins[k] >= CLOSE_CALL; k++) {
            flo_sampler_sample(sampler, flo_session_logits(session), &sample);
            assert_int_equal(sample.token, r.greedy[k]);
            assert_true(sample.is_finite);
            assert_true(fabs((double)sample.gap - r.margins[k]) <
                        2 * CLOSE_CALL); /* of two logits */
            assert_int_equal(flo_session_decode(session, &sample.token, 1, FLO_LOGITS_LAST, NULL),
                             0);
        }
        flo_sampler_close(sampler);
        flo_session_close(session);
        flo_engine_close(engine);
        free(r.exact);
    }
}

/* The strings of a JSON list without escapes. */
static int read_index(void **state)
{
    char *json, *at;
    size_t bytes;

    (void)state;
    assert_int_equal(flo_file_read("tests/oracle/tiny/index.json", 65536, &json, &bytes, NULL), 0);
    at = json;
    while ((at = strchr(at, '"')) != NULL) {
        size_t length = strcspn(++at, "\"");

        assert_true(name_count < NAMES_MAX && length < sizeof(names[0]));
        memcpy(names[name_count++], at, length);
        at += length + 1;
    }
    free(json);
    assert_true(name_count > 0);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_c_is_near_exact),
        cmocka_unit_test(the_best_kernel_is_near_exact),
        cmocka_unit_test(other_caches_keep_to_their_error),
        cmocka_unit_test(threads_and_small_batches_change_nothing),
        cmocka_unit_test(greedy_goes_the_exact_way_up_to_a_close_call),
    };

    return cmocka_run_group_tests(tests, read_index, NULL);
}
