/* Adapters next to a model: what they change, what they leave, what is
 * refused. */
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <sys/mman.h>
#include <unistd.h>

#include <flotilla/adapter.h>
#include <flotilla/engine_step.h>
#include <flotilla/errors/gguf.h>
#include <flotilla/errors/memory.h>
#include <flotilla/errors/model.h>

#include "engine/model/adapter/adapter.h"
#include "engine/model/compute.h"
#include "unit/engine/gguf_make.h"
#include "unit/engine/lora_make.h"

#define BASE "tests/models/tiny-v1.F16.gguf"
#define ADAPTER "tests/models/tiny-v1-site-lora.gguf"

enum { COUNT = 24, SESSIONS = 3 };

static int32_t tokens[SESSIONS][COUNT];

static struct flo_engine *open_base(const char *path, uint32_t threads)
{
    const struct flo_engine_options options = {
        .context = COUNT + 2,
        .threads = threads,
        .sessions = SESSIONS + 1,
        .kv_type = FLO_KV_F32,
        .vocabulary = FLO_VOCABULARY_NONE,
        .adapter_bytes = 4u << 20,
    };
    struct flo_engine *engine = NULL;
    struct flo_err err = {0};

    if (flo_engine_open(path, &options, &engine, &err) < 0) {
        fail_msg("%s: %s", path, err.what);
    }
    for (int s = 0; s < SESSIONS; s++) {
        for (int i = 0; i < COUNT; i++) {
            tokens[s][i] =
                (int32_t)((uint32_t)(i * (37 + s) + 11 * s + 3) % flo_engine_info(engine)->n_vocab);
        }
    }
    return engine;
}

static struct flo_session *session_of(struct flo_engine *engine, const struct flo_adapter *adapter,
                                      float scale)
{
    struct flo_session *session = NULL;

    assert_int_equal(flo_session_open(engine, &session, NULL), 0);
    assert_int_equal(flo_session_set_adapter(session, adapter, scale, NULL), 0);
    return session;
}

static struct flo_adapter *adapter_of(struct flo_engine *engine)
{
    struct flo_adapter *adapter = NULL;
    struct flo_err err = {0};

    if (flo_adapter_open(engine, ADAPTER, &adapter, &err) < 0) {
        fail_msg("%s", err.what);
    }
    return adapter;
}

/* Logits after `count` tokens; the caller frees. */
static float *logits_of(struct flo_session *session, const int32_t *ids, size_t count,
                        size_t n_vocab)
{
    float *out = malloc(n_vocab * sizeof(*out));

    assert_non_null(out);
    assert_int_equal(flo_session_decode(session, ids, count, FLO_LOGITS_LAST, NULL), 0);
    memcpy(out, flo_session_logits(session), n_vocab * sizeof(*out));
    return out;
}

/* ---- against a merged model ---- */

static void an_adapter_over_the_base_answers_as_merged_into_it(void **state)
{
    static const float scales[] = {1, 0.5f, -1.25f};

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(scales); i++) {
        char plain_path[] = "/tmp/flotilla-adapter-XXXXXX";
        char merged_path[] = "/tmp/flotilla-adapter-XXXXXX";
        write_merged(BASE, ADAPTER, 0, plain_path);
        write_merged(BASE, ADAPTER, scales[i], merged_path);
        struct flo_engine *plain = open_base(plain_path, 2);
        struct flo_engine *merged = open_base(merged_path, 2);
        size_t n = flo_engine_info(plain)->n_vocab;
        struct flo_adapter *adapter = adapter_of(plain);
        struct flo_session *base = session_of(plain, NULL, 0);
        struct flo_session *with = session_of(plain, adapter, scales[i]);
        struct flo_session *in = session_of(merged, NULL, 0);

        float *x = logits_of(base, tokens[0], COUNT, n);
        float *y = logits_of(with, tokens[0], COUNT, n);
        float *z = logits_of(in, tokens[0], COUNT, n);

        assert_true(lora_distance(z, y, n) < 1e-5);
        assert_true(lora_distance(z, x, n) > 1e-2); /* it does change them */
        free(x);
        free(y);
        free(z);
        flo_adapter_close(adapter);
        flo_engine_close(plain);
        flo_engine_close(merged);
        unlink(plain_path);
        unlink(merged_path);
    }
}

/* ---- switching ---- */

static void switching_back_gives_the_bits_of_the_base(void **state)
{
    (void)state;
    struct flo_engine *engine = open_base(BASE, 2);
    size_t n = flo_engine_info(engine)->n_vocab;
    struct flo_adapter *adapter = adapter_of(engine);
    struct flo_session *session = session_of(engine, NULL, 0);
    float *base = logits_of(session, tokens[0], COUNT, n);

    /* Another adapter empties the session, the same one does not. */
    assert_int_equal(flo_session_set_adapter(session, NULL, 7, NULL), 0);
    assert_int_equal(flo_session_position(session), COUNT);
    assert_int_equal(flo_session_set_adapter(session, adapter, 1, NULL), 0);
    assert_int_equal(flo_session_position(session), 0);
    assert_null(flo_session_logits(session));
    float *with = logits_of(session, tokens[0], COUNT, n);
    assert_memory_not_equal(with, base, n * sizeof(float));
    assert_int_equal(flo_session_set_adapter(session, adapter, 1, NULL), 0);
    assert_int_equal(flo_session_position(session), COUNT);
    assert_int_equal(flo_session_set_adapter(session, adapter, 0.5f, NULL), 0);
    assert_int_equal(flo_session_position(session), 0);
    /* The adapter stays over a reset, and what is computed with it can be
     * taken by another session. */
    assert_int_equal(flo_session_set_adapter(session, adapter, 1, NULL), 0);
    flo_session_reset(session);
    float *again = logits_of(session, tokens[0], 10, n);
    free(again);
    struct flo_session *other = session_of(engine, NULL, 0);
    flo_session_begin_as(other, session, 10);
    assert_true(flo_session_has_adapter(other, adapter, 1));
    again = logits_of(other, tokens[0] + 10, COUNT - 10, n);
    assert_memory_equal(again, with, n * sizeof(float));
    free(again);
    /* Dropped: its sessions are the base's again, and the room is free. */
    flo_adapter_close(adapter);
    assert_true(flo_session_has_adapter(session, NULL, 0));
    assert_int_equal(flo_session_position(session), 0);
    again = logits_of(session, tokens[0], COUNT, n);
    assert_memory_equal(again, base, n * sizeof(float));
    for (int i = 0; i < 20; i++) {
        flo_adapter_close(adapter_of(engine));
    }
    free(again);
    free(with);
    free(base);
    flo_session_close(session);
    flo_engine_close(engine);
}

/* ---- together ---- */

struct row {
    float *logits;
    size_t n_vocab;
};

static bool keep_row(void *context, uint32_t index, const float *logits)
{
    struct row *row = context;

    (void)index;
    memcpy(row->logits, logits, row->n_vocab * sizeof(*logits));
    return true;
}

static void expect_together_as_alone(const char *path, uint32_t threads)
{
    static const uint32_t takes[][SESSIONS] = {{9, 1, 5}, {1, 1, 1}, {3, 8, 1}};
    struct flo_engine *engine = open_base(path, threads);
    size_t n = flo_engine_info(engine)->n_vocab;
    struct flo_adapter *adapters[] = {adapter_of(engine), adapter_of(engine), NULL};
    static const float scales[] = {1, -0.75f, 0};
    struct flo_session *sessions[SESSIONS];
    struct row rows[SESSIONS];

    for (int s = 0; s < SESSIONS; s++) {
        sessions[s] = session_of(engine, adapters[s], scales[s]);
        rows[s] = (struct row){malloc(n * sizeof(float)), n};
        assert_non_null(rows[s].logits);
    }
    for (size_t p = 0; p < FLO_COUNT(takes); p++) {
        struct flo_step steps[SESSIONS];
        for (int s = 0; s < SESSIONS; s++) {
            steps[s] = (struct flo_step){sessions[s], tokens[s] + flo_session_position(sessions[s]),
                                         takes[p][s], FLO_ROWS_LAST,
                                         keep_row,    &rows[s]};
        }
        struct mallinfo2 before = mallinfo2();
        assert_int_equal(flo_engine_step(engine, steps, SESSIONS, NULL, NULL, NULL), 0);
        assert_true(p == 0 || mallinfo2().uordblks == before.uordblks);
        for (int s = 0; s < SESSIONS; s++) {
            struct flo_session *alone = session_of(engine, adapters[s], scales[s]);
            float *logits = logits_of(alone, tokens[s], flo_session_position(sessions[s]), n);
            assert_memory_equal(logits, rows[s].logits, n * sizeof(float));
            free(logits);
            flo_session_close(alone);
        }
    }
    for (int s = 0; s < SESSIONS; s++) {
        free(rows[s].logits);
        flo_session_close(sessions[s]);
        flo_adapter_close(adapters[s]);
    }
    flo_engine_close(engine);
}

static void sessions_with_other_adapters_have_the_bits_they_have_alone(void **state)
{
    (void)state;
    for (uint32_t threads = 1; threads <= 3; threads++) {
        expect_together_as_alone(BASE, threads);
        expect_together_as_alone("tests/models/tiny-v1.Q4_1.gguf", threads);
    }
}

enum { TEXT = 8, WIDTH_MAX = 128 };

/* Final states of texts, whose sessions compute them in one pass. */
static void states_of(struct flo_session *const *sessions, uint32_t count,
                      float (*out)[TEXT][WIDTH_MAX])
{
    struct flo_engine *engine = sessions[0]->engine;
    struct flo_span spans[SESSIONS];
    const struct flo_request request = {.spans = spans, .span_count = count, .states = true};

    assert_true(engine->hparams.n_embd <= WIDTH_MAX);
    for (uint32_t i = 0; i < count; i++) {
        spans[i] = (struct flo_span){sessions[i], tokens[0], TEXT};
    }
    assert_int_equal(engine->compute->pass(engine, &request, NULL), 0);
    for (uint32_t row = 0; row < count * TEXT; row++) {
        memcpy(out[row / TEXT][row % TEXT], engine->compute->state(engine, row),
               engine->hparams.n_embd * sizeof(float));
    }
}

static void texts_of_an_encoder_with_other_adapters_have_the_bits_they_have_alone(void **state)
{
    static const char *const paths[] = {"tests/models/bert.Q8_0.gguf",
                                        "tests/oracle/encoders/modernbert-rerank.q8_0.gguf",
                                        "tests/oracle/encoders/embeddinggemma.f32.gguf"};
    static float alone[SESSIONS][TEXT][WIDTH_MAX], together[SESSIONS][TEXT][WIDTH_MAX];

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(paths); i++) {
        struct flo_engine *engine = open_base(paths[i], 2);
        struct flo_adapter *adapters[SESSIONS] = {NULL};
        struct flo_session *sessions[SESSIONS];

        for (size_t s = 0; s < SESSIONS; s++) {
            char path[] = "/tmp/flotilla-lora-XXXXXX";

            write_adapter(engine, s, 0.2f, path);
            assert_int_equal(s > 0 ? flo_adapter_open(engine, path, &adapters[s], NULL) : 0, 0);
            unlink(path);
            sessions[s] = session_of(engine, adapters[s], 1);
            states_of(&sessions[s], 1, &alone[s]);
            assert_int_equal(s > 0 && memcmp(alone[s], alone[s - 1], sizeof(alone[s])) == 0, 0);
        }
        states_of(sessions, SESSIONS, together);
        assert_memory_equal(alone, together, sizeof(alone));
        for (size_t s = 0; s < SESSIONS; s++) {
            flo_adapter_close(adapters[s]);
        }
        flo_engine_close(engine);
    }
}

static void threads_do_not_change_a_bit(void **state)
{
    float *logits[2];
    size_t n = 0;

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct flo_engine *engine = open_base(BASE, i == 0 ? 1 : 3);
        struct flo_adapter *adapter = adapter_of(engine);
        struct flo_session *session = session_of(engine, adapter, 1);
        n = flo_engine_info(engine)->n_vocab;
        logits[i] = logits_of(session, tokens[1], COUNT, n);
        flo_adapter_close(adapter);
        flo_engine_close(engine);
    }
    assert_memory_equal(logits[0], logits[1], n * sizeof(float));
    free(logits[0]);
    free(logits[1]);
}

/* ---- what is refused ---- */

struct hostile {
    const char *a, *b; /* names; NULL: as they should be */
    uint64_t columns, rank, rows;
    uint32_t type;    /* of both halves: F32 or F16 */
    uint32_t alpha;   /* bits */
    uint32_t value;   /* bits of the last float of the file */
    const char *arch; /* NULL: llama */
    const char *kind; /* NULL: lora */
    size_t cut;       /* bytes off the end */
    bool is_activated;
    int code;
    const char *says;
};

static void expect_hostile(struct flo_engine *engine, const struct hostile *h)
{
    struct flo_buf file = {0};
    struct flo_adapter *adapter = NULL;
    struct flo_err err = {0};
    size_t value = h->type == FLO_QUANT_F32 ? 4 : 2;
    size_t a_bytes = h->columns * h->rank * value;
    size_t b_bytes = h->rank * h->rows * value;
    size_t b_at = (a_bytes + 31) & ~(size_t)31;
    uint8_t last[4];

    put_head(&file, 2, h->is_activated ? 4 : 3);
    if (h->is_activated) {
        put_key(&file, "adapter.alora.invocation_tokens", FLO_GGUF_ARRAY);
        put_u32(&file, FLO_GGUF_U32);
        put_u64(&file, 1);
        put_u32(&file, 7);
    }
    put_key_text(&file, "general.architecture", h->arch == NULL ? "llama" : h->arch);
    put_key_text(&file, "adapter.type", h->kind == NULL ? "lora" : h->kind);
    put_key(&file, "adapter.lora.alpha", FLO_GGUF_F32);
    put_u32(&file, h->alpha == 0 ? 0x41000000 : h->alpha);
    put_tensor(&file, h->a == NULL ? "blk.0.attn_q.weight.lora_a" : h->a, h->columns, h->rank,
               h->type, 0);
    put_tensor(&file, h->b == NULL ? "blk.0.attn_q.weight.lora_b" : h->b, h->rank, h->rows, h->type,
               b_at);
    put_padding(&file);
    put_zeros(&file, b_at + b_bytes - 4);
    flo_put_u32(last, h->value);
    flo_buf_add(&file, last, 4);
    put_padding(&file);
    int fd = memfd_create("adapter", MFD_CLOEXEC);
    assert_true(fd >= 0 && !file.failed);
    assert_int_equal(flo_fd_write_all(fd, file.data, file.bytes - h->cut, NULL), 0);
    int rv = flo_adapter_open_fd(engine, fd, &adapter, &err);
    if (rv != h->code || (h->says != NULL && strstr(err.what, h->says) == NULL)) {
        fail_msg("%s: %d, not %d", err.what, rv, h->code);
    }
    if (rv == 0) {
        assert_int_equal(flo_adapter_info(adapter)->tensors, 1);
        assert_int_equal(flo_adapter_info(adapter)->rank, h->rank);
    }
    flo_adapter_close(adapter);
    close(fd);
    flo_buf_deinit(&file);
}

static void a_hostile_file_is_refused_with_the_reason(void **state)
{
    const uint32_t nan = 0x7fc00000, infinite = 0x7f800000;
    const struct hostile table[] = {
        {.columns = 256, .rank = 3, .rows = 256, .code = 0},
        {.columns = 256, .rank = 256, .rows = 256, .type = 1, .code = 0},
        {.columns = 256,
         .rank = 257,
         .rows = 256,
         .type = 1,
         .code = FLO_E_MODEL_ADAPTER,
         .says = "rank 257, at most 256"},
        {.columns = 255,
         .rank = 3,
         .rows = 256,
         .code = FLO_E_MODEL_ADAPTER,
         .says = "'blk.0.attn_q.weight' is 256 x 256"},
        {.columns = 256, .rank = 3, .rows = 64, .code = FLO_E_MODEL_ADAPTER},
        {.columns = 256,
         .rank = 3,
         .rows = 256,
         .value = nan,
         .code = FLO_E_MODEL_NONFINITE,
         .says = "blk.0.attn_q.weight.lora_b"},
        {.columns = 256, .rank = 3, .rows = 256, .value = infinite, .code = FLO_E_MODEL_NONFINITE},
        {.columns = 256,
         .rank = 3,
         .rows = 256,
         .alpha = nan,
         .code = FLO_E_MODEL_ADAPTER,
         .says = "alpha"},
        {.columns = 256,
         .rank = 3,
         .rows = 256,
         .arch = "qwen2",
         .code = FLO_E_MODEL_ADAPTER,
         .says = "for 'qwen2'"},
        {.columns = 256,
         .rank = 3,
         .rows = 256,
         .is_activated = true,
         .code = FLO_E_NOT_BUILT,
         .says = "begins at certain tokens"},
        {.columns = 256,
         .rank = 3,
         .rows = 256,
         .kind = "dora",
         .code = FLO_E_MODEL_ADAPTER,
         .says = "'dora'"},
        {.a = "blk.9.attn_q.weight.lora_a",
         .columns = 256,
         .rank = 3,
         .rows = 256,
         .code = FLO_E_MODEL_ADAPTER,
         .says = "no tensor 'blk.9.attn_q.weight'"},
        {.a = "blk.0.attn_q.weight",
         .columns = 256,
         .rank = 3,
         .rows = 256,
         .code = FLO_E_MODEL_ADAPTER,
         .says = "no half of a LoRA pair"},
        {.b = "blk.0.attn_k.weight.lora_b",
         .columns = 256,
         .rank = 3,
         .rows = 64,
         .code = FLO_E_MODEL_ADAPTER,
         .says = "no other half"},
        {.a = "token_embd.weight.lora_a",
         .b = "token_embd.weight.lora_b",
         .columns = 256,
         .rank = 1,
         .rows = 896,
         .code = FLO_E_NOT_BUILT,
         .says = "'token_embd.weight'"},
        {.columns = 256, .rank = 3, .rows = 256, .cut = 64, .code = FLO_E_GGUF_BOUNDS},
    };
    struct flo_engine *engine = open_base(BASE, 1);

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(table); i++) {
        expect_hostile(engine, &table[i]);
    }
    flo_engine_close(engine);
}

/* A pair of halves of a tensor. */
struct wrong {
    uint64_t a[3], b[3]; /* sizes; a third of 0: a single matrix */
    float value;         /* of all numbers */
    int code;
    const char *says;
};

static int give_value(void *context, const struct flo_gguf_tensor *tensor, const void **data,
                      struct flo_err *err)
{
    static float values[1 << 18];

    (void)err;
    assert_true(tensor->values <= FLO_COUNT(values));
    for (size_t i = 0; i < tensor->values; i++) {
        values[i] = *(const float *)context;
    }
    *data = values;
    return 0;
}

static struct flo_gguf_tensor made_half(const char *tensor, const char *tail,
                                        const uint64_t sizes[3])
{
    uint64_t third = sizes[2] == 0 ? 1 : sizes[2];
    struct flo_gguf_tensor half = {
        .type = FLO_QUANT_F32,
        .dim_count = sizes[2] == 0 ? 2 : 3,
        .dims = {sizes[0], sizes[1], third, 1},
        .values = sizes[0] * sizes[1] * third,
    };

    snprintf(half.name, sizeof(half.name), "%s%s", tensor, tail);
    return half;
}

static void expect_wrong(struct flo_engine *engine, const char *tensor, const struct wrong *wrong)
{
    const struct flo_gguf_tensor halves[] = {
        made_half(tensor, ".lora_a", wrong->a),
        made_half(tensor, ".lora_b", wrong->b),
    };
    const struct flo_gguf_edit keys[] = {
        {.key = "general.architecture",
         .type = FLO_GGUF_STRING,
         .text = flo_arch_name(engine->arch)},
        {.key = "adapter.type", .type = FLO_GGUF_STRING, .text = "lora"},
        {.key = "adapter.lora.alpha", .type = FLO_GGUF_F32, .f32 = 1},
    };
    float value = wrong->value;
    struct flo_adapter *adapter = NULL;
    struct flo_err err = {0};
    int fd = memfd_create("adapter", MFD_CLOEXEC);

    assert_int_equal(
        flo_gguf_create(halves, 2, keys, FLO_COUNT(keys), give_value, &value, fd, NULL), 0);
    int rv = flo_adapter_open_fd(engine, fd, &adapter, &err);
    if (rv != wrong->code || strstr(err.what, wrong->says) == NULL) {
        fail_msg("%s: %d, not %d: %s", err.what, rv, wrong->code, wrong->says);
    }
    flo_adapter_close(adapter);
    close(fd);
}

/* The gates of a layer's 8 experts have 32 rows of 64 numbers each. */
static void an_adapter_of_experts_with_other_sizes_is_refused_with_the_reason(void **state)
{
    static const struct wrong table[] = {
        {{64, 3, 8}, {3, 32, 8}, 1, 0, ""},
        {{64, 3, 7}, {3, 32, 7}, 1, FLO_E_MODEL_ADAPTER, "64 x 3 x 7 x 1"},
        {{64, 3, 9}, {3, 32, 9}, 1, FLO_E_MODEL_ADAPTER, "is 64 x 32 x 8"},
        {{64, 3, 8}, {3, 32, 1}, 1, FLO_E_MODEL_ADAPTER, "64 x 3 x 8 x 1 and 3 x 32"},
        {{64, 3, 0}, {3, 32, 0}, 1, FLO_E_MODEL_ADAPTER, "is 64 x 32 x 8 x 1"},
        {{60, 3, 8}, {3, 32, 8}, 1, FLO_E_MODEL_ADAPTER, "halves are 60 x 3"},
        {{64, 3, 8}, {3, 31, 8}, 1, FLO_E_MODEL_ADAPTER, "3 x 31 x 8"},
        {{64, 3, 8}, {4, 32, 8}, 1, FLO_E_MODEL_ADAPTER, "4 x 32 x 8"},
        {{64, 257, 8}, {257, 32, 8}, 1, FLO_E_MODEL_ADAPTER, "rank 257, at most 256"},
        {{64, 3, 8}, {3, 32, 8}, NAN, FLO_E_MODEL_NONFINITE, "ffn_gate_exps.weight.lora_a"},
    };
    struct flo_engine *engine = open_base("tests/oracle/tiny/lfm2_moe-q8_0.gguf", 1);

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(table); i++) {
        expect_wrong(engine, "blk.2.ffn_gate_exps.weight", &table[i]);
    }
    flo_engine_close(engine);
}

static void an_adapter_of_an_encoder_with_other_sizes_is_refused_with_the_reason(void **state)
{
    static const struct wrong fused[] = {
        {{64, 3, 0}, {3, 192, 0}, 1, 0, ""},
        {{64, 3, 0}, {3, 64, 0}, 1, FLO_E_MODEL_ADAPTER, "is 64 x 192"},
        {{48, 3, 0}, {3, 192, 0}, 1, FLO_E_MODEL_ADAPTER, "halves are 48 x 3"},
        {{64, 3, 0}, {4, 192, 0}, 1, FLO_E_MODEL_ADAPTER, "4 x 192"},
        {{64, 257, 0}, {257, 192, 0}, 1, FLO_E_MODEL_ADAPTER, "rank 257, at most 256"},
        {{64, 3, 0}, {3, 192, 0}, INFINITY, FLO_E_MODEL_NONFINITE, "attn_qkv.weight.lora_a"},
    };
    static const struct {
        const char *tensor;
        struct wrong pair;
    } outside[] = {
        {"token_embd.weight", {{64, 1, 0}, {1, 512, 0}, 1, FLO_E_NOT_BUILT, "merge it"}},
        {"cls.weight", {{64, 1, 0}, {1, 64, 0}, 1, FLO_E_NOT_BUILT, "merge it"}},
        {"cls.output.weight", {{64, 1, 0}, {1, 1, 0}, 1, FLO_E_NOT_BUILT, "merge it"}},
    };
    struct flo_engine *engine = open_base("tests/oracle/encoders/modernbert-rerank.q8_0.gguf", 1);

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(fused); i++) {
        expect_wrong(engine, "blk.0.attn_qkv.weight", &fused[i]);
    }
    for (size_t i = 0; i < FLO_COUNT(outside); i++) {
        expect_wrong(engine, outside[i].tensor, &outside[i].pair);
    }
    flo_engine_close(engine);
}

static void the_reckoned_memory_has_the_table_of_the_deepest_model(void **state)
{
    struct flo_engine *engine = open_base(BASE, 1);
    struct flo_adapter *adapter = adapter_of(engine);
    uint64_t bytes = 0;
    int fd = -1;

    (void)state;
    assert_int_equal(flo_file_open(ADAPTER, &fd, NULL), 0);
    assert_int_equal(flo_adapter_reckon(fd, &bytes, NULL), 0);
    close(fd);
    uint64_t missing = flo_weights_count_max() - flo_weights_count(&engine->weights);
    assert_true(bytes >= adapter->arena.used + missing * sizeof(uint16_t));
    flo_adapter_close(adapter);
    flo_engine_close(engine);
}

static void an_adapter_that_does_not_fit_the_plan_is_refused(void **state)
{
    struct flo_engine_options options = {
        .context = 8, .threads = 1, .vocabulary = FLO_VOCABULARY_NONE};
    struct flo_engine_plan plan;
    struct flo_engine *engine = NULL;
    struct flo_adapter *adapter = NULL, *others[8] = {NULL};
    uint64_t bytes = 0;

    (void)state;
    /* Without room there is none. */
    assert_int_equal(flo_engine_open(BASE, &options, &engine, NULL), 0);
    assert_int_equal(flo_adapter_open(engine, ADAPTER, &adapter, NULL), FLO_E_MEMORY_BUDGET);
    flo_engine_close(engine);
    /* The reckoned memory is enough for one, and is in the plan. */
    int fd = -1;
    assert_int_equal(flo_file_open(ADAPTER, &fd, NULL), 0);
    assert_int_equal(flo_adapter_reckon(fd, &bytes, NULL), 0);
    close(fd);
    options.adapter_bytes = bytes;
    assert_int_equal(flo_engine_plan(BASE, &options, &plan, NULL), 0);
    assert_int_equal(plan.adapter_bytes, bytes);
    assert_int_equal(plan.total_bytes, plan.weights_bytes + plan.kv_bytes + plan.scratch_bytes +
                                           plan.vocabulary_bytes + bytes);
    /* No smaller cache can make up for it. */
    options.memory_bytes_max = plan.total_bytes - 2 * plan.kv_bytes;
    assert_true(2 * plan.kv_bytes < bytes);
    assert_int_equal(flo_engine_open(BASE, &options, &engine, NULL), FLO_E_MEMORY_BUDGET);
    options.memory_bytes_max = plan.total_bytes;
    assert_int_equal(flo_engine_open(BASE, &options, &engine, NULL), 0);
    adapter = adapter_of(engine);
    assert_true(flo_adapter_info(adapter)->bytes <= bytes);
    assert_string_equal(flo_adapter_info(adapter)->name, "flotilla-tiny-site");
    assert_int_equal(flo_adapter_info(adapter)->tensors, 35);
    assert_int_equal(flo_adapter_info(adapter)->rank, 4);
    /* The table of a deeper model would be larger: so much is left, and no more. */
    int rv = 0;
    for (size_t i = 0; rv == 0 && i < FLO_COUNT(others); i++) {
        rv = flo_adapter_open(engine, ADAPTER, &others[i], NULL);
    }
    assert_int_equal(rv, FLO_E_MEMORY_BUDGET);
    /* A scale must be a number; an adapter, of this engine. */
    struct flo_session *session = session_of(engine, NULL, 0);
    assert_int_equal(flo_session_set_adapter(session, adapter, NAN, NULL), FLO_E_INFER_PARAM);
    assert_int_equal(flo_session_set_adapter(session, adapter, 101, NULL), FLO_E_INFER_PARAM);
    struct flo_engine *other = open_base(BASE, 1);
    struct flo_session *foreign = session_of(other, NULL, 0);
    assert_int_equal(flo_session_set_adapter(foreign, adapter, 1, NULL), FLO_E_INFER_PARAM);
    flo_engine_close(other);
    for (size_t i = 0; i < FLO_COUNT(others); i++) {
        flo_adapter_close(others[i]);
    }
    flo_adapter_close(adapter);
    flo_engine_close(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_adapter_over_the_base_answers_as_merged_into_it),
        cmocka_unit_test(switching_back_gives_the_bits_of_the_base),
        cmocka_unit_test(sessions_with_other_adapters_have_the_bits_they_have_alone),
        cmocka_unit_test(texts_of_an_encoder_with_other_adapters_have_the_bits_they_have_alone),
        cmocka_unit_test(threads_do_not_change_a_bit),
        cmocka_unit_test(a_hostile_file_is_refused_with_the_reason),
        cmocka_unit_test(an_adapter_of_experts_with_other_sizes_is_refused_with_the_reason),
        cmocka_unit_test(an_adapter_of_an_encoder_with_other_sizes_is_refused_with_the_reason),
        cmocka_unit_test(the_reckoned_memory_has_the_table_of_the_deepest_model),
        cmocka_unit_test(an_adapter_that_does_not_fit_the_plan_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
