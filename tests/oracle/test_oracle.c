/* The engine against exact logits: every kernel, every kind of model. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <flotilla/engine.h>

#include "engine/model/session.h"

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
    double limit;  /* the largest rms error, as a share of the spread */
    double spread; /* deviation of the exact logits */
    float *exact;  /* [token_count][n_vocab] */
    size_t exact_bytes;
};

/* Our rms error is this share of llama.cpp's at most (docs/benchmarks.md). */
#define PEER_SHARE 0.81

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

static double spread_of(const float *values, size_t count)
{
    double sum = 0, squares = 0;

    for (size_t i = 0; i < count; i++) {
        sum += (double)values[i];
        squares += (double)values[i] * (double)values[i];
    }
    sum /= (double)count;
    return sqrt(squares / (double)count - sum * sum);
}

static void reference_load(struct reference *r, const char *name)
{
    double list[IDS_MAX];
    char path[160], *json;
    size_t bytes;

    *r = (struct reference){0};
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
    r->limit = read_number(json, "\"rms_rel\": ");
    if (strstr(json, "\"max_abs\": ") != NULL) { /* else it is a limit: README.md */
        r->limit *= PEER_SHARE;
    }
    free(json);
    snprintf(path, sizeof(path), "tests/oracle/tiny/%s.exact.f32", name);
    assert_int_equal(
        flo_file_read(path, 1 << 20, (char **)(void *)&r->exact, &r->exact_bytes, NULL), 0);
    r->spread = spread_of(r->exact, r->exact_bytes / sizeof(float));
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

struct rows {
    float *logits; /* [token_count][n_vocab] */
    size_t n_vocab;
};

static int keep_row(void *context, uint32_t position, const float *logits)
{
    struct rows *rows = context;

    memcpy(rows->logits + position * rows->n_vocab, logits, rows->n_vocab * sizeof(*logits));
    return 0;
}

/* Returns the logits of all tokens of the prompt; the caller frees them. */
static float *logits_of(const struct reference *r, struct flo_engine *engine)
{
    struct rows rows = {malloc(r->exact_bytes), flo_engine_info(engine)->n_vocab};
    struct flo_session *session;

    assert_non_null(rows.logits);
    assert_int_equal(r->exact_bytes, r->token_count * rows.n_vocab * sizeof(float));
    assert_int_equal(flo_session_open(engine, &session, NULL), 0);
    assert_int_equal(
        flo_session_decode_rows(session, r->tokens, r->token_count, keep_row, &rows, NULL), 0);
    flo_session_close(session);
    return rows.logits;
}

/* rms of the error over the spread of the exact logits. */
static double error_of(const struct reference *r, const float *logits)
{
    size_t count = r->exact_bytes / sizeof(float);
    double squares = 0;

    for (size_t i = 0; i < count; i++) {
        double error = (double)logits[i] - (double)r->exact[i];

        squares += error * error;
    }
    return sqrt(squares / (double)count) / r->spread;
}

static void expect_near(const struct reference *r, struct flo_engine *engine, const float *logits)
{
    double error = error_of(r, logits);

    print_message("%s %s: error %.2e, limit %.2e\n", flo_engine_info(engine)->kernel, r->model,
                  error, r->limit);
    assert_true(error <= r->limit);
}

static void check_all(const char *kernel, uint32_t threads, uint32_t batch)
{
    for (size_t i = 0; i < name_count; i++) {
        struct reference r;
        struct flo_engine *engine;
        float *logits;

        reference_load(&r, names[i]);
        engine = engine_open(&r, kernel, threads, batch, FLO_KV_F16);
        logits = logits_of(&r, engine);
        expect_near(&r, engine, logits);
        flo_engine_close(engine);
        free(logits);
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

/* ---- caches ---- */

static flo_store_fn *store;
static enum flo_kv_type rounded_to;

/* Rounds 32 values, or the rest of a head, as a cache of the type keeps them. */
static void round_block(const float *x, size_t count, float *out)
{
    float least = rounded_to == FLO_KV_Q8_0 ? -127 : -8, largest = 0, scale;

    for (size_t i = 0; i < count; i++) {
        largest = fabsf(x[i]) > fabsf(largest) ? x[i] : largest;
    }
    largest = rounded_to == FLO_KV_Q8_0 ? -fabsf(largest) : largest;
    scale = flo_f16_to_f32(flo_f32_to_f16(largest / least));
    for (size_t i = 0; i < count; i++) {
        float code = rintf(x[i] * (scale != 0 ? 1 / scale : 0));
        float most = rounded_to == FLO_KV_Q8_0 ? 127 : 7;

        code = fminf(fmaxf(code, least), most);
        out[i] = rounded_to == FLO_KV_F16 ? flo_f16_to_f32(flo_f32_to_f16(x[i])) : scale * code;
    }
}

static void store_rounded(const float *key, const float *value, size_t head_size, size_t position,
                          enum flo_cache type, void *keys, void *values)
{
    float k[FLO_CACHE_HEAD_MAX], v[FLO_CACHE_HEAD_MAX];

    for (size_t at = 0; at < head_size; at += 32) {
        size_t count = head_size - at < 32 ? head_size - at : 32;

        round_block(key + at, count, k + at);
        round_block(value + at, count, v + at);
    }
    store(k, v, head_size, position, type, keys, values);
}

/* The logits of a cache of floats whose keys and values are rounded first. */
static float *logits_of_rounded(const struct reference *r, enum flo_kv_type type)
{
    struct flo_engine *engine = engine_open(r, NULL, 1, 0, FLO_KV_F32);
    struct flo_kernel kernel = *engine->kernel;
    float *logits;

    store = kernel.store;
    rounded_to = type;
    kernel.store = store_rounded;
    engine->kernel = &kernel;
    logits = logits_of(r, engine);
    flo_engine_close(engine);
    return logits;
}

static void a_cache_of_floats_is_near_exact_and_others_round_its_numbers(void **state)
{
    static const enum flo_kv_type kinds[] = {FLO_KV_F16, FLO_KV_Q8_0, FLO_KV_Q4_0};

    (void)state;
    for (size_t i = 0; i < name_count; i++) {
        struct flo_engine *engine;
        struct reference r;
        float *floats;

        reference_load(&r, names[i]);
        engine = engine_open(&r, NULL, 1, 0, FLO_KV_F32);
        floats = logits_of(&r, engine);
        expect_near(&r, engine, floats);
        flo_engine_close(engine);
        for (size_t k = 0; k < FLO_COUNT(kinds); k++) {
            float *rounded = logits_of_rounded(&r, kinds[k]), *logits;

            engine = engine_open(&r, NULL, 1, 0, kinds[k]);
            logits = logits_of(&r, engine);
            flo_engine_close(engine);
            if (memcmp(logits, rounded, r.exact_bytes) != 0) {
                fail_msg("%s, cache %d: error %.2e, of rounded numbers %.2e", r.model, kinds[k],
                         error_of(&r, logits), error_of(&r, rounded));
            }
            assert_memory_not_equal(logits, floats, r.exact_bytes);
            free(logits);
            free(rounded);
        }
        free(floats);
        free(r.exact);
    }
}

static void threads_and_small_batches_change_nothing(void **state)
{
    (void)state;
    check_all(NULL, 3, 5);
    check_all(NULL, 2, 1);
}

/* How far the best exact token is before all others, or, below 0, behind one. */
static double lead_of(const float *logits, const struct flo_sample *sample, int32_t token)
{
    return sample->token == token ? (double)sample->gap
                                  : (double)logits[token] - (double)logits[sample->token];
}

/* Two logits are sqrt(2) times as far off as one, in rms, and a normal error is
 * beyond six times its rms once in 5e8.  So a lead that is longer stays one. */
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
        for (size_t k = 0; k < r.greedy_count && r.margins[k] > 0; k++) {
            double lead;

            flo_sampler_sample(sampler, flo_session_logits(session), &sample);
            assert_true(sample.is_finite);
            lead = lead_of(flo_session_logits(session), &sample, r.greedy[k]);
            assert_true(fabs(lead - r.margins[k]) <= 6 * sqrt(2) * r.limit * r.spread);
            assert_int_equal(flo_session_decode(session, &r.greedy[k], 1, FLO_LOGITS_LAST, NULL),
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
        cmocka_unit_test(a_cache_of_floats_is_near_exact_and_others_round_its_numbers),
        cmocka_unit_test(threads_and_small_batches_change_nothing),
        cmocka_unit_test(greedy_goes_the_exact_way_up_to_a_close_call),
    };

    return cmocka_run_group_tests(tests, read_index, NULL);
}
