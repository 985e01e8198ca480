/* Opening a model: what is refused, with which words; what it will cost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include <flotilla/engine.h>

#include "tests/unit/engine/gguf_make.h"

/* A model of one layer: embedding 32, two heads of 16, one key head,
 * feed-forward 32, eight tokens, all weights F32. */
struct spec {
    uint32_t heads, key_heads, layers, rope, experts;
    const char *arch, *scaling;
    const char *without_key;    /* behind "llama." */
    const char *without_tensor; /* whole name */
    const char *odd_tensor;     /* gets twice the rows */
    const char *half_tensor;    /* is F16 */
    const char *more_tensor;    /* is there too */
};

static struct spec good(void)
{
    return (struct spec){
        .heads = 2, .key_heads = 1, .layers = 1, .rope = 16, .arch = "llama"};
}

static const struct {
    const char *name;
    uint64_t columns, rows;
} tensors[] = {
    {"token_embd.weight", 32, 8},         {"output_norm.weight", 32, 1},
    {"blk.0.attn_norm.weight", 32, 1},    {"blk.0.attn_q.weight", 32, 32},
    {"blk.0.attn_k.weight", 32, 16},      {"blk.0.attn_v.weight", 32, 16},
    {"blk.0.attn_output.weight", 32, 32}, {"blk.0.ffn_norm.weight", 32, 1},
    {"blk.0.ffn_gate.weight", 32, 32},    {"blk.0.ffn_up.weight", 32, 32},
    {"blk.0.ffn_down.weight", 32, 32},
};

static bool is(const char *name, const char *other)
{
    return other != NULL && strcmp(name, other) == 0;
}

struct maker {
    const struct spec *spec;
    struct flo_buf keys, infos, data;
    uint64_t key_count, tensor_count;
};

static void key_u32(struct maker *m, const char *name, uint32_t value)
{
    char key[64];

    if (is(name, m->spec->without_key)) {
        return;
    }
    snprintf(key, sizeof(key), "llama.%s", name);
    put_key_u32(&m->keys, key, value);
    m->key_count++;
}

static void tensor(struct maker *m, const char *name, uint64_t columns,
                   uint64_t rows)
{
    bool is_half = is(name, m->spec->half_tensor);

    if (is(name, m->spec->without_tensor)) {
        return;
    }
    rows *= is(name, m->spec->odd_tensor) ? 2 : 1;
    put_tensor(&m->infos, name, columns, rows, is_half ? 1 : 0, m->data.bytes);
    put_zeros(&m->data, columns * rows * (is_half ? 2 : 4));
    put_padding(&m->data);
    m->tensor_count++;
}

/* The file as a descriptor that the caller closes. */
static int model_make(const struct spec *spec)
{
    struct maker m = {.spec = spec};
    struct flo_buf file = {0};
    int fd = memfd_create("model", MFD_CLOEXEC);

    assert_true(fd >= 0);
    put_key_text(&m.keys, "general.architecture", spec->arch);
    m.key_count++;
    key_u32(&m, "block_count", spec->layers);
    key_u32(&m, "embedding_length", 32);
    key_u32(&m, "feed_forward_length", 32);
    key_u32(&m, "context_length", 128);
    key_u32(&m, "attention.head_count", spec->heads);
    key_u32(&m, "attention.head_count_kv", spec->key_heads);
    key_u32(&m, "rope.dimension_count", spec->rope);
    key_u32(&m, "expert_count", spec->experts);
    if (spec->scaling != NULL) {
        put_key_text(&m.keys, "llama.rope.scaling.type", spec->scaling);
        m.key_count++;
    }
    for (size_t i = 0; i < FLO_COUNT(tensors); i++) {
        tensor(&m, tensors[i].name, tensors[i].columns, tensors[i].rows);
    }
    if (spec->more_tensor != NULL) {
        tensor(&m, spec->more_tensor, 32, 1);
    }
    put_head(&file, m.tensor_count, m.key_count);
    flo_buf_add(&file, m.keys.data, m.keys.bytes);
    flo_buf_add(&file, m.infos.data, m.infos.bytes);
    put_padding(&file);
    flo_buf_add(&file, m.data.data, m.data.bytes);
    assert_false(file.failed);
    assert_int_equal(flo_fd_write_all(fd, file.data, file.bytes, NULL), 0);
    flo_buf_deinit(&m.keys);
    flo_buf_deinit(&m.infos);
    flo_buf_deinit(&m.data);
    flo_buf_deinit(&file);
    return fd;
}

static void expect_refusal(struct spec spec, int code, const char *what)
{
    const struct flo_engine_options options = {
        .threads = 1, .vocabulary = FLO_VOCABULARY_NONE};
    struct flo_engine *engine = NULL;
    struct flo_err err = {0};
    int fd = model_make(&spec);

    assert_int_equal(flo_engine_open_fd(fd, &options, &engine, &err), code);
    assert_null(engine);
    if (strstr(err.what, what) == NULL) {
        fail_msg("'%s' does not hold '%s'", err.what, what);
    }
    close(fd);
}

static void a_small_model_opens_and_computes(void **state)
{
    const struct flo_engine_options options = {.threads = 2};
    const int32_t tokens[] = {1, 2, 3};
    struct flo_session *session;
    struct flo_engine *engine;
    struct spec spec = good();
    int fd = model_make(&spec);

    (void)state;
    assert_int_equal(flo_engine_open_fd(fd, &options, &engine, NULL), 0);
    close(fd);
    assert_int_equal(flo_engine_info(engine)->n_vocab, 8);
    assert_int_equal(flo_engine_info(engine)->context, 128);
    assert_string_equal(flo_engine_info(engine)->arch, "llama");
    assert_int_equal(flo_session_open(engine, &session, NULL), 0);
    assert_int_equal(
        flo_session_decode(session, tokens, 3, FLO_LOGITS_LAST, NULL), 0);
    for (int i = 0; i < 8; i++) { /* all weights are 0 */
        assert_true(flo_session_logits(session)[i] == 0);
    }
    flo_session_close(session);
    flo_engine_close(engine);
}

static void hyper_parameters_that_do_not_fit_are_named(void **state)
{
    struct spec s;

    (void)state;
    s = good();
    s.without_key = "block_count";
    expect_refusal(s, FLO_E_GGUF_MISSING, "llama.block_count");
    s = good();
    s.layers = 100000;
    expect_refusal(s, FLO_E_GGUF_HPARAM,
                   "llama.block_count is 100000, not 1 to 512");
    s = good();
    s.heads = 0;
    expect_refusal(s, FLO_E_GGUF_HPARAM, "llama.attention.head_count is 0");
    s = good();
    s.key_heads = 3;
    expect_refusal(s, FLO_E_GGUF_HPARAM, "2 attention heads");
    s = good();
    s.rope = 18;
    expect_refusal(s, FLO_E_GGUF_HPARAM, "rope.dimension_count is 18");
    s = good();
    s.rope = 15;
    expect_refusal(s, FLO_E_GGUF_HPARAM, "odd");
}

static void what_is_not_built_says_so(void **state)
{
    struct spec s;

    (void)state;
    s = good();
    s.arch = "mamba";
    expect_refusal(s, FLO_E_MODEL_ARCH, "architecture \"mamba\"");
    s = good();
    s.experts = 8;
    expect_refusal(s, FLO_E_NOT_BUILT, "8 experts");
    s = good();
    s.scaling = "dynamic";
    expect_refusal(s, FLO_E_NOT_BUILT, "\"dynamic\" is not built yet");
}

static void tensors_that_do_not_fit_are_named(void **state)
{
    struct spec s;

    (void)state;
    s = good();
    s.without_tensor = "blk.0.attn_v.weight";
    expect_refusal(s, FLO_E_GGUF_MISSING,
                   "tensor blk.0.attn_v.weight is missing");
    s = good();
    s.odd_tensor = "blk.0.attn_k.weight";
    expect_refusal(
        s, FLO_E_GGUF_SHAPE,
        "blk.0.attn_k.weight: expected 32 x 16, got 32 x 32 x 1 x 1");
    s = good();
    s.half_tensor = "output_norm.weight";
    expect_refusal(s, FLO_E_GGUF_TYPE,
                   "output_norm.weight: expected F32, got F16");
    s = good();
    s.more_tensor = "blk.0.attn_q_norm.weight";
    expect_refusal(s, FLO_E_MODEL_ARCH, "blk.0.attn_q_norm.weight");
    s = good();
    s.layers = 2;
    expect_refusal(s, FLO_E_GGUF_MISSING, "blk.1.attn_norm.weight");
}

static void optional_biases_are_taken(void **state)
{
    const struct flo_engine_options options = {.threads = 1};
    struct flo_engine *engine;
    struct spec spec = good();

    (void)state;
    spec.more_tensor = "blk.0.attn_q.bias";
    int fd = model_make(&spec);
    assert_int_equal(flo_engine_open_fd(fd, &options, &engine, NULL), 0);
    flo_engine_close(engine);
    close(fd);
}

static void options_out_of_range_are_refused(void **state)
{
    const struct flo_engine_options bad[] = {
        {.threads = 65},      {.sessions = 65},     {.batch = 513},
        {.context = 1 << 21}, {.kernel = "abacus"},
    };
    struct spec spec = good();
    int fd = model_make(&spec);

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(bad); i++) {
        struct flo_engine *engine = NULL;

        assert_int_equal(flo_engine_open_fd(fd, &bad[i], &engine, NULL),
                         FLO_E_USAGE);
    }
    close(fd);
}

/* ---- the plan ---- */

static const char tiny[] = "tests/oracle/tiny/smollm2-S-q4_1.gguf";

static void the_plan_adds_up_and_open_keeps_to_it(void **state)
{
    struct flo_engine_options options = {.context = 64, .sessions = 3};
    struct flo_engine_plan plan;
    struct flo_engine *engine = NULL;
    struct flo_err err = {0};

    (void)state;
    assert_int_equal(flo_engine_plan(tiny, &options, &plan, NULL), 0);
    assert_true(plan.fits);
    assert_int_equal(plan.total_bytes, plan.weights_bytes + plan.kv_bytes +
                                           plan.scratch_bytes +
                                           plan.vocabulary_bytes);
    assert_int_equal(plan.context, 64);

    options.memory_bytes_max = plan.total_bytes;
    assert_int_equal(flo_engine_open(tiny, &options, &engine, NULL), 0);
    assert_int_equal(flo_engine_info(engine)->kv_bytes, plan.kv_bytes);
    flo_engine_close(engine);

    engine = NULL;
    options.memory_bytes_max = plan.total_bytes - 1;
    assert_int_equal(flo_engine_open(tiny, &options, &engine, &err),
                     FLO_E_MEMORY_BUDGET);
    assert_null(engine);
    assert_non_null(strstr(err.what, "bytes needed"));
    assert_non_null(strstr(err.why, "cache for 64 tokens x 3 sessions"));
    assert_string_equal(err.fix, "a context of 48 tokens would fit");
}

static void the_context_that_the_plan_offers_fits(void **state)
{
    struct flo_engine_options options = {.context = 512};
    struct flo_engine_plan plan;

    (void)state;
    assert_int_equal(flo_engine_plan(tiny, &options, &plan, NULL), 0);
    options.memory_bytes_max = plan.total_bytes - plan.kv_bytes / 2;
    assert_int_equal(flo_engine_plan(tiny, &options, &plan, NULL),
                     FLO_E_MEMORY_BUDGET);
    assert_false(plan.fits);
    assert_true(plan.context_fitting > 0 && plan.context_fitting < 512);
    options.context = plan.context_fitting;
    assert_int_equal(flo_engine_plan(tiny, &options, &plan, NULL), 0);
    options.memory_bytes_max = 1000;
    assert_int_equal(flo_engine_plan(tiny, &options, &plan, NULL),
                     FLO_E_MEMORY_BUDGET);
    assert_int_equal(plan.context_fitting, 0);
}

static void a_file_that_is_not_there_is_absent(void **state)
{
    struct flo_engine_plan plan;
    struct flo_engine *engine = NULL;

    (void)state;
    assert_int_equal(flo_engine_plan("/nowhere", NULL, &plan, NULL),
                     FLO_E_ABSENT);
    assert_int_equal(flo_engine_open("/nowhere", NULL, &engine, NULL),
                     FLO_E_ABSENT);
    flo_engine_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_small_model_opens_and_computes),
        cmocka_unit_test(hyper_parameters_that_do_not_fit_are_named),
        cmocka_unit_test(what_is_not_built_says_so),
        cmocka_unit_test(tensors_that_do_not_fit_are_named),
        cmocka_unit_test(optional_biases_are_taken),
        cmocka_unit_test(options_out_of_range_are_refused),
        cmocka_unit_test(the_plan_adds_up_and_open_keeps_to_it),
        cmocka_unit_test(the_context_that_the_plan_offers_fits),
        cmocka_unit_test(a_file_that_is_not_there_is_absent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
