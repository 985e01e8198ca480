/* Opening a model: what is refused, with which words; what it will cost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include <flotilla/engine.h>
#include <flotilla/errors/gguf.h>
#include <flotilla/errors/memory.h>
#include <flotilla/errors/model.h>

#include "engine/model/file/weights.h"
#include "tests/unit/engine/gguf_make.h"

/* A model of one layer: embedding 32, two heads of 16, one key head,
 * feed-forward 32, eight tokens, all weights F32. */
struct spec {
    uint32_t heads, layers, rope, experts;
    const char *arch, *scaling;
    const char *without_key;    /* after the architecture */
    const char *without_tensor; /* whole name */
    const char *odd_tensor;     /* gets twice the rows */
    const char *half_tensor;    /* is F16 */
    const char *more_tensor;    /* is there too, of `more_columns` or 32 */
    uint64_t more_columns, more_rows;
    bool is_fused;         /* attn_qkv in place of the three */
    uint32_t key_heads[2]; /* a list, when the second is there */
    const char *more_key;  /* after the architecture */
    uint32_t more_value;
};

static struct spec good(void)
{
    return (struct spec){.heads = 2, .key_heads = {1}, .layers = 1, .rope = 16, .arch = "llama"};
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
    snprintf(key, sizeof(key), "%s.%s", m->spec->arch, name);
    put_key_u32(&m->keys, key, value);
    m->key_count++;
}

static void tensor(struct maker *m, const char *name, uint64_t columns, uint64_t rows)
{
    bool is_half = is(name, m->spec->half_tensor);

    if (is(name, m->spec->without_tensor) ||
        (m->spec->is_fused && (is(name, "blk.0.attn_q.weight") || is(name, "blk.0.attn_k.weight") ||
                               is(name, "blk.0.attn_v.weight")))) {
        return;
    }
    rows *= is(name, m->spec->odd_tensor) ? 2 : 1;
    put_tensor(&m->infos, name, columns, rows, is_half ? 1 : 0, m->data.bytes);
    put_zeros(&m->data, columns * rows * (is_half ? 2 : 4));
    put_padding(&m->data);
    m->tensor_count++;
}

static void key_heads(struct maker *m)
{
    const uint32_t *counts = m->spec->key_heads;

    if (counts[1] == 0) {
        key_u32(m, "attention.head_count_kv", counts[0]);
        return;
    }
    put_key(&m->keys, "llama.attention.head_count_kv", FLO_GGUF_ARRAY);
    put_u32(&m->keys, FLO_GGUF_U32);
    put_u64(&m->keys, 2);
    put_u32(&m->keys, counts[0]);
    put_u32(&m->keys, counts[1]);
    m->key_count++;
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
    key_heads(&m);
    key_u32(&m, "rope.dimension_count", spec->rope);
    key_u32(&m, "expert_count", spec->experts);
    if (spec->more_key != NULL) {
        key_u32(&m, spec->more_key, spec->more_value);
    }
    if (spec->scaling != NULL) {
        char key[64];

        snprintf(key, sizeof(key), "%s.rope.scaling.type", spec->arch);
        put_key_text(&m.keys, key, spec->scaling);
        m.key_count++;
    }
    for (size_t i = 0; i < FLO_COUNT(tensors); i++) {
        tensor(&m, tensors[i].name, tensors[i].columns, tensors[i].rows);
    }
    if (spec->is_fused) {
        tensor(&m, "blk.0.attn_qkv.weight", 32, 64);
    }
    if (spec->more_tensor != NULL) {
        tensor(&m, spec->more_tensor, spec->more_columns == 0 ? 32 : spec->more_columns,
               spec->more_rows == 0 ? 1 : spec->more_rows);
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
    const struct flo_engine_options options = {.threads = 1, .vocabulary = FLO_VOCABULARY_NONE};
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
    assert_int_equal(flo_session_decode(session, tokens, 3, FLO_LOGITS_LAST, NULL), 0);
    for (int i = 0; i < 8; i++) { /* all weights are 0 */
        assert_true(flo_session_logits(session)[i] == 0);
    }
    flo_session_close(session);
    flo_engine_close(engine);
}

static void layers_that_only_predict_further_tokens_are_left_out(void **state)
{
    const struct flo_engine_options options = {.threads = 1, .vocabulary = FLO_VOCABULARY_NONE};
    struct flo_engine *engine = NULL;
    struct spec spec = good();

    (void)state;
    spec.layers = 2;
    spec.more_tensor = "blk.1.nextn.eh_proj.weight";
    expect_refusal(spec, FLO_E_GGUF_MISSING, "blk.1.attn_norm.weight");
    spec.more_key = "nextn_predict_layers";
    spec.more_value = 2; /* no layer would be left */
    expect_refusal(spec, FLO_E_GGUF_HPARAM, "nextn_predict_layers is 2, not 0 to 1");
    spec.more_value = 1;
    spec.key_heads[1] = 1; /* a list has all layers of the file */
    int fd = model_make(&spec);
    assert_int_equal(flo_engine_open_fd(fd, &options, &engine, NULL), 0);
    close(fd);
    assert_int_equal(flo_engine_info(engine)->n_layer, 1);
    flo_engine_close(engine);
    spec.more_tensor = "blk.2.nextn.eh_proj.weight";
    expect_refusal(spec, FLO_E_MODEL_ARCH, "blk.2.nextn.eh_proj.weight is not part of");
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
    expect_refusal(s, FLO_E_GGUF_HPARAM, "llama.block_count is 100000, not 1 to 512");
    s = good();
    s.heads = 0;
    expect_refusal(s, FLO_E_GGUF_HPARAM, "llama.attention.head_count is 0");
    s = good();
    s.key_heads[0] = 3;
    expect_refusal(s, FLO_E_GGUF_HPARAM, "2 attention heads");
    s = good();
    s.rope = 18;
    expect_refusal(s, FLO_E_GGUF_HPARAM, "rope.dimension_count is 18");
    s = good();
    s.rope = 15;
    expect_refusal(s, FLO_E_GGUF_HPARAM, "odd");
    s = good();
    s.arch = "gemma4";
    s.more_key = "attention.key_length_swa";
    s.more_value = 8;
    expect_refusal(s, FLO_E_GGUF_HPARAM, "16 values of local heads of 8 are rotated");
    s.arch = "gemma3n"; /* without the layers' own embeddings */
    s.more_value = 16;
    expect_refusal(s, FLO_E_GGUF_HPARAM,
                   "gemma3n.embedding_length_per_layer_input is 0, not 1 to 262144");
    s = good();
    s.arch = "minicpm";
    expect_refusal(s, FLO_E_GGUF_MISSING, "minicpm.embedding_scale");
    s = good(); /* scores, for which a caller has the room of a vector of 32 */
    s.more_key = "pooling_type";
    s.more_value = 4;
    s.more_tensor = "cls.output.weight";
    s.more_rows = 33;
    expect_refusal(s, FLO_E_GGUF_HPARAM, "cls.output.weight has 33 labels, at most 32 can be");
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
    expect_refusal(s, FLO_E_GGUF_MISSING, "tensor blk.0.attn_v.weight is missing");
    s = good();
    s.odd_tensor = "blk.0.attn_k.weight";
    expect_refusal(s, FLO_E_GGUF_SHAPE,
                   "blk.0.attn_k.weight: expected 32 x 16, got 32 x 32 x 1 x 1");
    s = good();
    s.half_tensor = "output_norm.weight";
    expect_refusal(s, FLO_E_GGUF_TYPE, "output_norm.weight: expected F32, got F16");
    s = good();
    s.more_tensor = "blk.0.attn_q_norm.weight";
    expect_refusal(s, FLO_E_MODEL_ARCH, "blk.0.attn_q_norm.weight");
    s = good();
    s.layers = 2;
    expect_refusal(s, FLO_E_GGUF_MISSING, "blk.1.attn_norm.weight");
}

/* An adapter finds what it changes by a matrix's number. */
static void matrices_of_streams_have_numbers_of_their_own(void **state)
{
    struct spec s = good();
    struct flo_gguf *gguf = NULL;
    struct flo_hparams hparams;
    struct flo_weights weights = {0};
    const struct flo_arch *arch;
    int fd = model_make(&s);

    (void)state;
    assert_int_equal(flo_gguf_open_fd(fd, &gguf, NULL), 0);
    assert_int_equal(flo_hparams_read(gguf, &arch, &hparams, NULL), 0);
    assert_int_equal(flo_weights_bind(gguf, arch, &hparams, &flo_kernel_ref, &weights, NULL), 0);
    assert_int_equal(weights.layers[0].q.number, 0);
    assert_int_not_equal(weights.spread.number, 0);
    assert_int_not_equal(weights.merge.number, 0);
    flo_weights_deinit(&weights);
    flo_gguf_close(gguf);
    close(fd);
}

/* A delta net has its rates in one of two forms, so no single tensor is needed;
 * but one form must be whole. */
static void a_delta_net_without_rates_is_refused(void **state)
{
    static const char name[] = "blk.0.ssm_beta.weight";
    const struct flo_engine_options options = {.threads = 1, .vocabulary = FLO_VOCABULARY_NONE};
    struct flo_engine *engine = NULL;
    struct flo_err err = {0};
    int fd = memfd_create("model", MFD_CLOEXEC);
    char *data, *found;
    size_t bytes;

    (void)state;
    assert_int_equal(
        flo_file_read("tests/oracle/tiny/qwen3_5-q8_0.gguf", 1u << 26, &data, &bytes, NULL), 0);
    found = memmem(data, bytes, name, sizeof(name) - 1);
    assert_non_null(found);
    found[sizeof(name) - 2] = 'T';
    assert_int_equal(flo_fd_write_all(fd, data, bytes, NULL), 0);
    assert_int_equal(flo_engine_open_fd(fd, &options, &engine, &err), FLO_E_GGUF_MISSING);
    assert_string_equal(err.what, "tensor blk.0.ssm_ba.weight is missing");
    free(data);
    close(fd);
}

/* Nobody would bind it, so the answers would be without it. */
static void a_layer_spelled_in_another_way_is_none(void **state)
{
    static const char *const names[] = {"blk.00.attn_q.bias", "blk.+0.attn_q.bias",
                                        "blk. 0.attn_q.bias", "blk.-0.attn_q.bias",
                                        "blk.000.attn_q.bias"};

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(names); i++) {
        struct spec s = good();

        s.more_tensor = names[i];
        expect_refusal(s, FLO_E_MODEL_ARCH, names[i]);
    }
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

static void expect_opens(struct spec spec)
{
    const struct flo_engine_options options = {.threads = 1, .vocabulary = FLO_VOCABULARY_NONE};
    const int32_t tokens[] = {1, 2, 3};
    struct flo_session *session;
    struct flo_engine *engine;
    struct flo_err err = {0};
    int fd = model_make(&spec);

    if (flo_engine_open_fd(fd, &options, &engine, &err) < 0) {
        fail_msg("%s", err.what);
    }
    close(fd);
    assert_int_equal(flo_session_open(engine, &session, NULL), 0);
    assert_int_equal(flo_session_decode(session, tokens, 3, FLO_LOGITS_LAST, NULL), 0);
    flo_session_close(session);
    flo_engine_close(engine);
}

static void a_fused_matrix_stands_in_place_of_its_parts_alone(void **state)
{
    struct spec s;

    (void)state;
    s = good();
    s.is_fused = true;
    expect_opens(s);
    s.more_tensor = "blk.0.attn_k.bias";
    s.more_columns = 16;
    expect_opens(s);
    s = good();
    s.more_tensor = "blk.0.attn_qkv.weight";
    s.more_rows = 64;
    expect_refusal(s, FLO_E_MODEL_ARCH, "blk.0.attn_q.weight stands beside blk.0.attn_qkv.weight");
    s.more_rows = 63;
    expect_refusal(s, FLO_E_GGUF_SHAPE, "expected 32 x 64, got 32 x 63");
    s = good();
    s.more_tensor = "blk.0.attn_qkv.bias";
    s.more_columns = 64;
    expect_refusal(s, FLO_E_MODEL_ARCH, "attn_qkv.bias stands alone");
}

static void what_a_family_needs_is_asked_for(void **state)
{
    struct spec s = good();

    (void)state;
    s.arch = "qwen2";
    expect_refusal(s, FLO_E_GGUF_MISSING, "blk.0.attn_q.bias is missing");
    s.is_fused = true;
    expect_refusal(s, FLO_E_GGUF_MISSING, "blk.0.attn_qkv.bias is missing");
    s = good();
    s.arch = "qwen3";
    expect_refusal(s, FLO_E_GGUF_MISSING, "blk.0.attn_q_norm.weight");
    s.arch = "gemma";
    expect_opens(s);
    s.arch = "gemma2";
    expect_refusal(s, FLO_E_GGUF_MISSING, "blk.0.post_attention_norm.weight");
    s.arch = "phi2";
    expect_refusal(s, FLO_E_GGUF_MISSING, "output_norm.bias");
    s.arch = "phi3";
    expect_refusal(s, FLO_E_GGUF_SHAPE, "blk.0.ffn_up.weight: expected 32 x 64");
    s.odd_tensor = "blk.0.ffn_up.weight";
    expect_refusal(s, FLO_E_MODEL_ARCH, "blk.0.ffn_gate.weight");
    s.without_tensor = "blk.0.ffn_gate.weight";
    expect_opens(s);
    s.more_tensor = "rope_factors_short.weight";
    s.more_columns = 8;
    expect_refusal(s, FLO_E_GGUF_MISSING, "rope_factors_long.weight");
}

static void each_layer_has_tensors_of_its_own_shape(void **state)
{
    struct spec s = good();

    (void)state;
    s.layers = 2;
    s.key_heads[0] = s.key_heads[1] = 1;
    expect_refusal(s, FLO_E_GGUF_MISSING, "blk.1.attn_norm.weight");
    s.key_heads[0] = 2;
    expect_refusal(s, FLO_E_GGUF_SHAPE, "blk.0.attn_k.weight");
    s.key_heads[0] = 0;
    expect_refusal(s, FLO_E_GGUF_HPARAM, "head_count_kv is 0");
    s.layers = 3;
    expect_refusal(s, FLO_E_GGUF_HPARAM, "no list of 3 numbers");
}

static void every_known_kind_of_rope_scaling_opens(void **state)
{
    static const char *const kinds[] = {"none", "linear", "yarn", "longrope"};

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(kinds); i++) {
        struct spec s = good();

        s.scaling = kinds[i];
        expect_opens(s);
    }
}

static void put_key_f32(struct flo_buf *out, const char *key, float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof(bits));
    put_key(out, key, FLO_GGUF_F32);
    put_u32(out, bits);
}

/* As converters before 2023-11 and those for layers of their own write it. */
static void older_names_and_lists_say_the_same(void **state)
{
    struct flo_buf file = {0};
    struct flo_gguf *gguf = NULL;
    const struct flo_arch *arch;
    struct flo_hparams h;

    (void)state;
    put_head(&file, 0, 8);
    put_key_text(&file, "general.architecture", "llama");
    put_key_u32(&file, "llama.block_count", 2);
    put_key_u32(&file, "llama.embedding_length", 64);
    put_key_u32(&file, "llama.feed_forward_length", 96);
    put_key_u32(&file, "llama.context_length", 128);
    put_key_u32(&file, "llama.vocab_size", 10);
    put_key(&file, "llama.attention.head_count", FLO_GGUF_ARRAY);
    put_u32(&file, FLO_GGUF_I32);
    put_u64(&file, 2);
    put_u32(&file, 4);
    put_u32(&file, 4);
    put_key_f32(&file, "llama.rope.scale_linear", 4);
    assert_int_equal(flo_gguf_open(file.data, file.bytes, &gguf, NULL), 0);
    assert_int_equal(flo_hparams_read(gguf, &arch, &h, NULL), 0);
    assert_int_equal(h.n_head, 4);
    assert_int_equal(h.n_head_kv, 4);
    assert_true(h.rope.factor == 4);
    flo_gguf_close(gguf);
    flo_buf_deinit(&file);
}

static void options_out_of_range_are_refused(void **state)
{
    const struct flo_engine_options bad[] = {
        {.threads = 65},      {.sessions = 65},     {.batch = 513},
        {.context = 1 << 21}, {.kernel = "abacus"}, {.request_bytes = 1ull << 49},
    };
    struct spec spec = good();
    int fd = model_make(&spec);

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(bad); i++) {
        struct flo_engine *engine = NULL;

        assert_int_equal(flo_engine_open_fd(fd, &bad[i], &engine, NULL), FLO_E_USAGE);
    }
    close(fd);
}

/* ---- the plan ---- */

static const char tiny[] = "tests/oracle/tiny/smollm2-S-q4_1.gguf";

static void the_plan_adds_up_and_open_keeps_to_it(void **state)
{
    struct flo_engine_options options = {
        .context = 64,
        .sessions = 3,
        .kv_type = FLO_KV_F16,
        .request_bytes = 12345,
    };
    struct flo_engine_plan plan;
    struct flo_engine *engine = NULL;
    struct flo_err err = {0};

    (void)state;
    assert_int_equal(flo_engine_plan(tiny, &options, &plan, NULL), 0);
    assert_true(plan.fits);
    assert_int_equal(plan.request_bytes, 12345);
    assert_int_equal(plan.total_bytes, plan.weights_bytes + plan.kv_bytes + plan.scratch_bytes +
                                           plan.vocabulary_bytes + plan.request_bytes);
    assert_int_equal(plan.context, 64);

    options.memory_bytes_max = plan.total_bytes;
    assert_int_equal(flo_engine_open(tiny, &options, &engine, NULL), 0);
    assert_int_equal(flo_engine_info(engine)->kv_bytes, plan.kv_bytes);
    flo_engine_close(engine);

    engine = NULL;
    options.memory_bytes_max = plan.total_bytes - 1;
    assert_int_equal(flo_engine_open(tiny, &options, &engine, &err), FLO_E_MEMORY_BUDGET);
    assert_null(engine);
    assert_non_null(strstr(err.what, "bytes needed"));
    assert_non_null(strstr(err.why, "cache for 64 tokens x 3 sessions"));
    assert_string_equal(err.fix, "a context of 48 tokens would fit");
}

static void the_context_that_the_plan_offers_fits(void **state)
{
    struct flo_engine_options options = {.context = 512, .kv_type = FLO_KV_F16};
    struct flo_engine_plan plan;

    (void)state;
    assert_int_equal(flo_engine_plan(tiny, &options, &plan, NULL), 0);
    options.memory_bytes_max = plan.total_bytes - plan.kv_bytes / 2;
    assert_int_equal(flo_engine_plan(tiny, &options, &plan, NULL), FLO_E_MEMORY_BUDGET);
    assert_false(plan.fits);
    assert_true(plan.context_fitting > 0 && plan.context_fitting < 512);
    options.context = plan.context_fitting;
    assert_int_equal(flo_engine_plan(tiny, &options, &plan, NULL), 0);
    options.memory_bytes_max = 1000;
    assert_int_equal(flo_engine_plan(tiny, &options, &plan, NULL), FLO_E_MEMORY_BUDGET);
    assert_int_equal(plan.context_fitting, 0);
}

static void what_is_left_open_shrinks_to_the_budget(void **state)
{
    struct flo_engine_options options = {.sessions = 4};
    struct flo_engine_plan whole, plan;
    struct flo_engine *engine;

    (void)state;
    assert_int_equal(flo_engine_plan(tiny, &options, &whole, NULL), 0);
    assert_true(whole.kv_type == FLO_KV_F16 && whole.context > 512);

    /* First the cache's type, with the context whole ... */
    options.memory_bytes_max = whole.total_bytes - 1;
    assert_int_equal(flo_engine_plan(tiny, &options, &plan, NULL), 0);
    assert_true(plan.kv_type == FLO_KV_Q8_0);
    assert_int_equal(plan.context, whole.context);

    /* ... then the context, to all that fits ... */
    options.memory_bytes_max = plan.total_bytes - plan.kv_bytes / 4;
    assert_int_equal(flo_engine_plan(tiny, &options, &plan, NULL), 0);
    assert_true(plan.context >= 512 && plan.context < whole.context);
    assert_true(plan.total_bytes <= options.memory_bytes_max);
    assert_int_equal(flo_engine_open(tiny, &options, &engine, NULL), 0);
    assert_int_equal(flo_engine_info(engine)->context, plan.context);
    flo_engine_close(engine);

    /* ... and no further: refused with the numbers of what was wished. */
    options.memory_bytes_max = plan.total_bytes - plan.kv_bytes;
    assert_int_equal(flo_engine_plan(tiny, &options, &plan, NULL), FLO_E_MEMORY_BUDGET);
    assert_int_equal(plan.context, whole.context);
    assert_int_equal(plan.total_bytes, whole.total_bytes);
}

static void a_shrunk_plan_is_that_of_the_context_it_came_to(void **state)
{
    struct flo_engine_options options = {.sessions = 4, .kv_type = FLO_KV_Q8_0};
    struct flo_engine_plan shrunk, same, next;

    (void)state;
    assert_int_equal(flo_engine_plan(tiny, &options, &shrunk, NULL), 0);
    options.memory_bytes_max = shrunk.total_bytes - shrunk.kv_bytes / 3;
    assert_int_equal(flo_engine_plan(tiny, &options, &shrunk, NULL), 0);
    options.context = shrunk.context;
    assert_int_equal(flo_engine_plan(tiny, &options, &same, NULL), 0);

    assert_int_equal(shrunk.kv_bytes, same.kv_bytes);
    assert_int_equal(shrunk.scratch_bytes, same.scratch_bytes);
    assert_int_equal(shrunk.vocabulary_bytes, same.vocabulary_bytes);
    assert_int_equal(shrunk.total_bytes, same.total_bytes);
    assert_int_equal(shrunk.context_fitting, same.context_fitting);
    /* A block of 16 more would be too much. */
    options.context += 16;
    assert_int_equal(flo_engine_plan(tiny, &options, &next, NULL), FLO_E_MEMORY_BUDGET);
    assert_int_equal(next.context_fitting, shrunk.context);
}

static void a_file_that_is_not_there_is_absent(void **state)
{
    struct flo_engine_plan plan;
    struct flo_engine *engine = NULL;

    (void)state;
    assert_int_equal(flo_engine_plan("/nowhere", NULL, &plan, NULL), FLO_E_ABSENT);
    assert_int_equal(flo_engine_open("/nowhere", NULL, &engine, NULL), FLO_E_ABSENT);
    flo_engine_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_small_model_opens_and_computes),
        cmocka_unit_test(layers_that_only_predict_further_tokens_are_left_out),
        cmocka_unit_test(hyper_parameters_that_do_not_fit_are_named),
        cmocka_unit_test(what_is_not_built_says_so),
        cmocka_unit_test(tensors_that_do_not_fit_are_named),
        cmocka_unit_test(matrices_of_streams_have_numbers_of_their_own),
        cmocka_unit_test(a_delta_net_without_rates_is_refused),
        cmocka_unit_test(a_layer_spelled_in_another_way_is_none),
        cmocka_unit_test(optional_biases_are_taken),
        cmocka_unit_test(a_fused_matrix_stands_in_place_of_its_parts_alone),
        cmocka_unit_test(what_a_family_needs_is_asked_for),
        cmocka_unit_test(each_layer_has_tensors_of_its_own_shape),
        cmocka_unit_test(every_known_kind_of_rope_scaling_opens),
        cmocka_unit_test(older_names_and_lists_say_the_same),
        cmocka_unit_test(options_out_of_range_are_refused),
        cmocka_unit_test(the_plan_adds_up_and_open_keeps_to_it),
        cmocka_unit_test(the_context_that_the_plan_offers_fits),
        cmocka_unit_test(what_is_left_open_shrinks_to_the_budget),
        cmocka_unit_test(a_shrunk_plan_is_that_of_the_context_it_came_to),
        cmocka_unit_test(a_file_that_is_not_there_is_absent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
