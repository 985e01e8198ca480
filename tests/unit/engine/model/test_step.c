/* Steps: tokens of several sessions in one pass, and caches shared. */
#include <fnmatch.h>
#include <malloc.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include <flotilla/engine_step.h>
#include <flotilla/errors/infer.h>

#include "base/gguf/gguf.h"

enum { COUNT = 48, SESSIONS = 4 };

static const char tiny[] = "tests/oracle/tiny/smollm2-S-q4_1.gguf";
static const char experts[] = "tests/oracle/tiny/lfm2_moe-q8_0.gguf"; /* 5 blocks */
static int32_t tokens[SESSIONS][COUNT];

static struct flo_engine *open_model(const char *path, struct flo_engine_options options)
{
    struct flo_engine *engine = NULL;
    struct flo_err err = {0};

    options.sessions = SESSIONS + 1;
    options.context = COUNT + 2;
    options.vocabulary = FLO_VOCABULARY_NONE;
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

static struct flo_session *session_of(struct flo_engine *engine)
{
    struct flo_session *session = NULL;

    assert_int_equal(flo_session_open(engine, &session, NULL), 0);
    return session;
}

/* Logits that a step gave, and when it shall end. */
struct rows {
    float *logits; /* [COUNT][n_vocab], by index */
    size_t n_vocab;
    uint32_t count;
    uint32_t end_at;
};

static bool keep_row(void *context, uint32_t index, const float *logits)
{
    struct rows *rows = context;

    memcpy(rows->logits + index * rows->n_vocab, logits, rows->n_vocab * sizeof(*logits));
    rows->count++;
    return index != rows->end_at;
}

static struct rows rows_of(const struct flo_engine *engine)
{
    size_t n_vocab = flo_engine_info(engine)->n_vocab;
    struct rows rows = {.n_vocab = n_vocab, .end_at = UINT32_MAX};

    rows.logits = calloc(COUNT * n_vocab, sizeof(float));
    assert_non_null(rows.logits);
    return rows;
}

/* Are these, to the bit, the logits that a fresh session has after the same
 * tokens? */
static void expect_alone(struct flo_engine *engine, const float *logits, const int32_t *ids,
                         size_t count)
{
    struct flo_session *fresh = session_of(engine);

    assert_int_equal(flo_session_decode(fresh, ids, count, FLO_LOGITS_LAST, NULL), 0);
    assert_memory_equal(logits, flo_session_logits(fresh),
                        flo_engine_info(engine)->n_vocab * sizeof(*logits));
    flo_session_close(fresh);
}

/* ---- one pass for several ---- */

static void step_through(struct flo_engine *engine)
{
    /* Tokens of each session in each pass: prompts and single tokens, whole
     * pieces and parts, some waiting. */
    static const uint32_t takes[][SESSIONS] = {
        {9, 0, 0, 0}, {1, 17, 0, 0}, {1, 1, 5, 12}, {1, 1, 1, 1},
        {3, 0, 8, 1}, {1, 1, 0, 20}, {0, 1, 1, 1},
    };
    struct flo_session *sessions[SESSIONS];
    struct rows rows[SESSIONS];

    for (int s = 0; s < SESSIONS; s++) {
        sessions[s] = session_of(engine);
        rows[s] = rows_of(engine);
    }
    for (size_t p = 0; p < FLO_COUNT(takes); p++) {
        struct flo_step steps[SESSIONS];
        size_t n = 0;

        for (int s = 0; s < SESSIONS; s++) {
            if (takes[p][s] > 0) {
                steps[n++] =
                    (struct flo_step){sessions[s], tokens[s] + flo_session_position(sessions[s]),
                                      takes[p][s], FLO_ROWS_LAST,
                                      keep_row,    &rows[s]};
            }
        }
        assert_int_equal(flo_engine_step(engine, steps, n, NULL, NULL, NULL), 0);
        for (int s = 0; s < SESSIONS; s++) {
            if (takes[p][s] > 0) {
                expect_alone(engine, rows[s].logits + (takes[p][s] - 1) * rows[s].n_vocab,
                             tokens[s], flo_session_position(sessions[s]));
            }
        }
    }
    for (int s = 0; s < SESSIONS; s++) {
        free(rows[s].logits);
        flo_session_close(sessions[s]);
    }
}

static void a_token_has_the_same_bits_next_to_other_sessions(void **state)
{
    static const enum flo_kv_type kinds[] = {FLO_KV_F16, FLO_KV_F32, FLO_KV_Q8_0, FLO_KV_Q4_0};

    (void)state;
    for (size_t k = 0; k < FLO_COUNT(kinds); k++) {
        for (uint32_t threads = 1; threads <= 3; threads++) {
            struct flo_engine *engine = open_model(
                tiny, (struct flo_engine_options){.threads = threads, .kv_type = kinds[k]});

            step_through(engine);
            flo_engine_close(engine);
        }
    }
}

/* ---- all rows of a step ---- */

static void forget_the_rest(const char *path)
{
    struct flo_engine *engine = open_model(path, (struct flo_engine_options){.threads = 2});
    struct flo_session *a = session_of(engine), *b = session_of(engine);
    struct rows rows_a = rows_of(engine), rows_b = rows_of(engine);
    const struct flo_step steps[] = {
        {a, tokens[0], 20, FLO_ROWS_ALL, keep_row, &rows_a},
        {b, tokens[1], 3, FLO_ROWS_LAST, keep_row, &rows_b},
    };

    rows_a.end_at = 11;
    assert_int_equal(flo_engine_step(engine, steps, 2, NULL, NULL, NULL), 0);

    assert_int_equal(rows_a.count, 12);
    assert_int_equal(rows_b.count, 1);
    assert_int_equal(flo_session_position(a), 12);
    assert_int_equal(flo_session_position(b), 3);
    assert_null(flo_session_logits(a));
    for (size_t i = 0; i < 12; i++) {
        expect_alone(engine, rows_a.logits + i * rows_a.n_vocab, tokens[0], i + 1);
    }
    expect_alone(engine, rows_b.logits + 2 * rows_b.n_vocab, tokens[1], 3);
    /* Goes on with other tokens as if the rest never was. */
    memcpy(tokens[0] + 12, tokens[2], 8 * sizeof(int32_t));
    assert_int_equal(flo_session_decode(a, tokens[0] + 12, 8, FLO_LOGITS_LAST, NULL), 0);
    expect_alone(engine, flo_session_logits(a), tokens[0], 20);
    free(rows_a.logits);
    free(rows_b.logits);
    flo_session_close(a);
    flo_session_close(b);
    flo_engine_close(engine);
}

static void rows_come_in_order_and_a_false_forgets_the_rest(void **state)
{
    (void)state;
    forget_the_rest(tiny);
    forget_the_rest("tests/oracle/tiny/qwen3_5-q8_0.gguf");
    forget_the_rest("tests/oracle/tiny/granite4-h-moe-q8_0.gguf");
    forget_the_rest("tests/oracle/tiny/lfm2_moe-q8_0.gguf");
}

/* ---- a state that is cut ---- */

enum { LONG = 700 };

static void fill(int32_t *ids, size_t count, uint32_t n_vocab, uint32_t seed)
{
    for (size_t i = 0; i < count; i++) {
        ids[i] = (int32_t)((i * 131 + seed * 17 + i * i % 89) % n_vocab);
    }
}

static void expect_as_new(struct flo_engine *engine, struct flo_session *session,
                          const int32_t *ids, size_t count)
{
    struct flo_session *fresh = session_of(engine);
    size_t bytes = flo_engine_info(engine)->n_vocab * sizeof(float);

    assert_int_equal(flo_session_decode(fresh, ids, count, FLO_LOGITS_LAST, NULL), 0);
    assert_memory_equal(flo_session_logits(fresh), flo_session_logits(session), bytes);
    flo_session_close(fresh);
}

/* Cuts a session at many places, behind and before its kept copies, and goes on
 * with other tokens. */
static void a_recurrent_session_is_cut_anywhere(void **state)
{
    static const char *const paths[] = {"tests/oracle/tiny/qwen3_5-q8_0.gguf",
                                        "tests/oracle/tiny/falcon_h1-q8_0.gguf",
                                        "tests/oracle/tiny/lfm2_moe-q8_0.gguf"};
    static const uint32_t cuts[] = {699, 650, 513, 512, 300, 256, 255, 64, 1, 0};
    int32_t ids[LONG];

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(paths); i++) {
        const struct flo_engine_options options = {
            .threads = 2, .sessions = 3, .context = LONG, .vocabulary = FLO_VOCABULARY_NONE};
        struct flo_engine *engine = NULL;
        struct flo_session *session, *copy;

        assert_int_equal(flo_engine_open(paths[i], &options, &engine, NULL), 0);
        session = session_of(engine);
        copy = session_of(engine);
        fill(ids, LONG, flo_engine_info(engine)->n_vocab, 1);
        assert_int_equal(flo_session_decode(session, ids, LONG - 3, FLO_LOGITS_NONE, NULL), 0);
        for (uint32_t t = LONG - 3; t < LONG; t++) { /* an answer */
            assert_int_equal(flo_session_decode(session, ids + t, 1, FLO_LOGITS_LAST, NULL), 0);
        }
        expect_as_new(engine, session, ids, LONG);
        for (uint32_t c = 0; c < FLO_COUNT(cuts); c++) {
            uint32_t left = LONG - cuts[c] < 20 ? LONG - cuts[c] : 20;

            flo_session_begin_as(copy, session, cuts[c]);
            flo_session_truncate(session, cuts[c]);
            fill(ids + cuts[c], left, flo_engine_info(engine)->n_vocab, c + 2);
            assert_int_equal(
                flo_session_decode(session, ids + cuts[c], left, FLO_LOGITS_LAST, NULL), 0);
            expect_as_new(engine, session, ids, cuts[c] + left);
            assert_int_equal(flo_session_decode(copy, ids + cuts[c], left, FLO_LOGITS_LAST, NULL),
                             0);
            expect_as_new(engine, copy, ids, cuts[c] + left);
        }
        flo_session_close(session);
        flo_session_close(copy);
        flo_engine_close(engine);
    }
}

/* Behind a cut the session takes another way, past the place of a copy. */
static void a_copy_behind_a_cut_is_forgotten(void **state)
{
    const struct flo_engine_options options = {
        .threads = 2, .sessions = 2, .context = LONG, .vocabulary = FLO_VOCABULARY_NONE};
    struct flo_engine *engine = NULL;
    int32_t ids[LONG];

    (void)state;
    assert_int_equal(
        flo_engine_open("tests/oracle/tiny/falcon_h1-q8_0.gguf", &options, &engine, NULL), 0);
    struct flo_session *session = session_of(engine);

    fill(ids, LONG, flo_engine_info(engine)->n_vocab, 1);
    assert_int_equal(flo_session_decode(session, ids, LONG - 2, FLO_LOGITS_NONE, NULL), 0);
    assert_int_equal(flo_session_decode(session, ids, 1, FLO_LOGITS_NONE, NULL), 0); /* copied */
    flo_session_truncate(session, 300);
    fill(ids + 300, LONG - 300, flo_engine_info(engine)->n_vocab, 2);
    assert_int_equal(flo_session_decode(session, ids + 300, LONG - 300, FLO_LOGITS_NONE, NULL), 0);
    assert_true(flo_session_held(session, LONG - 1) < LONG - 2);
    flo_session_truncate(session, LONG - 1);
    assert_int_equal(flo_session_decode(session, ids + LONG - 1, 1, FLO_LOGITS_LAST, NULL), 0);
    expect_as_new(engine, session, ids, LONG);
    flo_session_close(session);
    flo_engine_close(engine);
}

/* Feeds a token and two wrong drafts, which are dropped. */
static void feed_with_drafts(struct flo_engine *engine, struct flo_session *session, int32_t id)
{
    const int32_t ids[] = {id, 1, 2};
    struct rows rows = rows_of(engine);
    const struct flo_step step = {session, ids, 3, FLO_ROWS_ALL, keep_row, &rows};

    rows.end_at = 0;
    assert_int_equal(flo_engine_step(engine, &step, 1, NULL, NULL, NULL), 0);
    assert_int_equal(rows.count, 1);
    free(rows.logits);
}

/* A copy of the state is kept where others will leave, if a pass ends there.
 * Drafts of the answer do not take its place. */
static void a_marked_position_is_held_behind_a_long_answer(void **state)
{
    static const char *const paths[] = {"tests/oracle/tiny/qwen3_5-q8_0.gguf",
                                        "tests/oracle/tiny/granite4-h-moe-q8_0.gguf"};
    enum { MARK = 37, PROMPT = 300 };
    int32_t ids[LONG];

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(paths); i++) {
        const struct flo_engine_options options = {
            .threads = 2, .sessions = 3, .context = LONG, .vocabulary = FLO_VOCABULARY_NONE};
        struct flo_engine *engine = NULL;
        struct flo_session *session, *copy;

        assert_int_equal(flo_engine_open(paths[i], &options, &engine, NULL), 0);
        session = session_of(engine);
        copy = session_of(engine);
        fill(ids, LONG, flo_engine_info(engine)->n_vocab, 1);
        assert_true(flo_session_mark(session, MARK));
        assert_int_equal(flo_session_decode(session, ids, MARK, FLO_LOGITS_NONE, NULL), 0);
        assert_int_equal(
            flo_session_decode(session, ids + MARK, PROMPT - MARK, FLO_LOGITS_NONE, NULL), 0);
        for (uint32_t t = PROMPT; t < LONG; t++) {
            if (t % 100 == 50) {
                feed_with_drafts(engine, session, ids[t]);
            } else {
                assert_int_equal(flo_session_decode(session, ids + t, 1, FLO_LOGITS_NONE, NULL), 0);
            }
        }
        assert_int_equal(flo_session_held(session, PROMPT), PROMPT);
        assert_int_equal(flo_session_held(session, 255), MARK);
        assert_int_equal(flo_session_held(session, MARK - 1), 0);
        flo_session_begin_as(copy, session, MARK);
        fill(ids + MARK, 9, flo_engine_info(engine)->n_vocab, 5);
        assert_int_equal(flo_session_decode(copy, ids + MARK, 9, FLO_LOGITS_LAST, NULL), 0);
        expect_as_new(engine, copy, ids, MARK + 9);
        flo_session_close(session);
        flo_session_close(copy);
        flo_engine_close(engine);
    }
}

enum { CLOSED = 8 };

/* A session takes the place of a closed one, whose state may lie in a page that
 * was not freed. */
static void a_new_session_knows_nothing_of_a_closed_one(void **state)
{
    const struct flo_engine_options options = {.threads = 1,
                                               .sessions = CLOSED,
                                               .context = 16,
                                               .kv_type = FLO_KV_Q4_0,
                                               .vocabulary = FLO_VOCABULARY_NONE};
    struct flo_engine *engine = NULL;
    float first[2048];
    int32_t ids[8];

    (void)state;
    assert_int_equal(
        flo_engine_open("tests/oracle/tiny/lfm2_moe-q8_0.gguf", &options, &engine, NULL), 0);
    size_t bytes = flo_engine_info(engine)->n_vocab * sizeof(float);
    assert_true(bytes <= sizeof(first));
    fill(ids, 8, flo_engine_info(engine)->n_vocab, 1);
    for (int round = 0; round < 2; round++) {
        struct flo_session *sessions[CLOSED];

        for (int i = 0; i < CLOSED; i++) {
            sessions[i] = session_of(engine);
            assert_int_equal(flo_session_decode(sessions[i], ids, 8, FLO_LOGITS_LAST, NULL), 0);
            if (round == 0 && i == 0) {
                memcpy(first, flo_session_logits(sessions[i]), bytes);
            }
            assert_memory_equal(flo_session_logits(sessions[i]), first, bytes);
        }
        for (int i = 0; i < CLOSED; i++) {
            flo_session_close(sessions[i]);
        }
    }
    flo_engine_close(engine);
}

/* ---- experts of two types ---- */

struct in_floats {
    const struct flo_gguf *gguf;
    const char *names; /* a pattern */
};

static int give_floats(void *context, const struct flo_gguf_tensor *tensor, const void **data,
                       struct flo_err *err)
{
    static float values[1 << 15];
    const struct in_floats *floats = context;

    (void)err;
    if (fnmatch(floats->names, tensor->name, 0) == 0) {
        assert_true(tensor->values <= FLO_COUNT(values));
        flo_quant_type(FLO_QUANT_Q8_0)
            ->decode(flo_gguf_tensor_data(floats->gguf, tensor), values, (size_t)tensor->values);
        *data = values;
    }
    return 0;
}

/* Returns the logits of all tokens by a model of which some weights, the same
 * numbers, are floats; the caller frees them. */
static float *logits_in_floats(const char *names)
{
    const struct flo_engine_options options = {.threads = 2, .vocabulary = FLO_VOCABULARY_NONE};
    struct flo_engine *engine = NULL;
    struct flo_gguf *gguf = NULL;
    uint32_t types[128];
    int fd = memfd_create("mixed", MFD_CLOEXEC);

    assert_int_equal(flo_gguf_open_path(experts, &gguf, NULL), 0);
    assert_true(flo_gguf_tensor_count(gguf) <= FLO_COUNT(types));
    for (size_t i = 0; i < flo_gguf_tensor_count(gguf); i++) {
        const struct flo_gguf_tensor *t = flo_gguf_tensor_at(gguf, i);

        types[i] = fnmatch(names, t->name, 0) == 0 ? FLO_QUANT_F32 : t->type;
    }
    struct in_floats floats = {gguf, names};
    assert_int_equal(flo_gguf_write(gguf, types, NULL, 0, give_floats, &floats, fd, NULL), 0);
    flo_gguf_close(gguf);
    assert_int_equal(flo_engine_open_fd(fd, &options, &engine, NULL), 0);
    struct flo_session *session = session_of(engine);
    struct rows rows = rows_of(engine);
    const struct flo_step step = {session, tokens[0], COUNT, FLO_ROWS_ALL, keep_row, &rows};
    assert_int_equal(flo_engine_step(engine, &step, 1, NULL, NULL, NULL), 0);
    assert_int_equal(rows.count, COUNT);
    flo_session_close(session);
    flo_engine_close(engine);
    close(fd);
    return rows.logits;
}

static double squares_between(const float *a, const float *b, size_t count)
{
    double squares = 0;

    for (size_t i = 0; i < count; i++) {
        double off = (double)a[i] - (double)b[i];

        squares += off * off;
    }
    return squares;
}

/* Floats instead of codes for the input of the gates move the logits, but less than
 * for gate, up and down, where no input of an expert has codes.  No block after the
 * last one chooses its experts by them. */
static void experts_of_two_types_get_their_input_in_both(void **state)
{
    struct flo_engine *engine = open_model(experts, (struct flo_engine_options){.threads = 2});
    size_t count = (size_t)COUNT * flo_engine_info(engine)->n_vocab;
    float *codes, *gates, *all;

    (void)state;
    flo_engine_close(engine);
    codes = logits_in_floats("");
    gates = logits_in_floats("blk.4.ffn_gate_exps.*");
    all = logits_in_floats("blk.4.ffn_*_exps.*");
    double moved = squares_between(codes, gates, count);
    double limit = squares_between(codes, all, count);
    print_message("moved %.2e, limit %.2e\n", sqrt(moved / (double)count),
                  sqrt(limit / (double)count));
    assert_true(moved > 0 && moved < limit);
    free(codes);
    free(gates);
    free(all);
}

/* ---- what cannot be ---- */

static bool stop_second(void *context)
{
    int *asked = context;

    return ++*asked == 2;
}

static void a_step_that_cannot_be_changes_nothing(void **state)
{
    struct flo_engine *engine =
        open_model(tiny, (struct flo_engine_options){.threads = 2, .batch = 32});
    struct flo_session *a = session_of(engine), *b = session_of(engine);
    struct rows rows = rows_of(engine);
    const int32_t bad = -1;
    struct flo_step steps[] = {
        {a, tokens[0], 5, FLO_ROWS_LAST, keep_row, &rows},
        {b, tokens[1], 5, FLO_ROWS_LAST, keep_row, &rows},
    };
    struct flo_err err = {0};
    int asked = 0;

    (void)state;
    assert_int_equal(flo_engine_step(engine, steps, 2, NULL, NULL, NULL), 0);
    rows.count = 0;
    steps[0].tokens += 5;
    steps[1].tokens += 5;

    assert_int_equal(flo_engine_step(engine, steps, 0, NULL, NULL, NULL), FLO_E_INFER_PARAM);
    steps[1].count = 28;
    assert_int_equal(flo_engine_step(engine, steps, 2, NULL, NULL, &err), FLO_E_INFER_PARAM);
    assert_string_equal(err.what, "step 1 makes more than 32 tokens");
    steps[1].count = 5;
    steps[1].session = a;
    assert_int_equal(flo_engine_step(engine, steps, 2, NULL, NULL, &err), FLO_E_INFER_PARAM);
    assert_string_equal(err.what, "step 1 is of a session that has one");
    steps[1] = (struct flo_step){b, &bad, 1, FLO_ROWS_LAST, keep_row, &rows};
    assert_int_equal(flo_engine_step(engine, steps, 2, NULL, NULL, NULL), FLO_E_INFER_PARAM);
    steps[1].tokens = tokens[1] + 5;
    steps[1].count = 0;
    assert_int_equal(flo_engine_step(engine, steps, 2, NULL, NULL, NULL), FLO_E_INFER_PARAM);
    steps[1].count = 5;
    assert_int_equal(flo_engine_step(engine, steps, 2, stop_second, &asked, NULL),
                     FLO_E_INFER_CANCELLED);
    assert_int_equal(asked, 2); /* not one layer more was computed */
    assert_int_equal(rows.count, 0);
    assert_int_equal(flo_session_position(a), 5);
    assert_int_equal(flo_session_position(b), 5);

    assert_int_equal(flo_engine_step(engine, steps, 2, NULL, NULL, NULL), 0);
    expect_alone(engine, rows.logits + 4 * rows.n_vocab, tokens[1], 10);
    free(rows.logits);
    flo_session_close(a);
    flo_session_close(b);
    flo_engine_close(engine);
}

struct stop {
    int asked, at;
};

static bool stop_at(void *context)
{
    struct stop *stop = context;

    return stop->asked++ == stop->at;
}

/* Some layers have one part alone: a thread leaves such a layer before others
 * have read whether the pass ends. */
static void threads_agree_in_which_layer_a_pass_ends(void **state)
{
    struct flo_engine *engine = open_model("tests/oracle/tiny/nemotron_h-moe-q8_0.gguf",
                                           (struct flo_engine_options){.threads = 3});
    struct flo_session *session = session_of(engine);
    struct rows rows = rows_of(engine);
    const struct flo_step step = {session, tokens[0], 2, FLO_ROWS_LAST, keep_row, &rows};

    (void)state;
    for (int i = 0; i < 400; i++) {
        struct stop stop = {.at = i % (int)flo_engine_info(engine)->n_layer};
        int rv = flo_engine_step(engine, &step, 1, stop_at, &stop, NULL);

        assert_true(rv == 0 || rv == FLO_E_INFER_CANCELLED);
        flo_session_reset(session);
    }
    free(rows.logits);
    flo_session_close(session);
    flo_engine_close(engine);
}

/* ---- caches of others ---- */

static void a_session_begins_with_what_another_holds(void **state)
{
    static const enum flo_kv_type kinds[] = {FLO_KV_F16, FLO_KV_Q4_0};

    (void)state;
    for (size_t k = 0; k < FLO_COUNT(kinds); k++) {
        struct flo_engine *engine =
            open_model(tiny, (struct flo_engine_options){.threads = 2, .kv_type = kinds[k]});
        struct flo_session *a = session_of(engine), *b = session_of(engine);
        int32_t other[COUNT];

        memcpy(other, tokens[0], sizeof(other));
        memcpy(other + 21, tokens[3], 10 * sizeof(int32_t));
        assert_int_equal(flo_session_decode(a, tokens[0], 40, FLO_LOGITS_LAST, NULL), 0);
        assert_int_equal(flo_session_decode(b, tokens[2], 30, FLO_LOGITS_LAST, NULL), 0);

        assert_int_equal(flo_session_common(a, other, 31), 21);
        assert_int_equal(flo_session_common(a, tokens[0], COUNT), 40);
        assert_int_equal(flo_session_common(b, other, 31), 0);
        flo_session_begin_as(b, a, 21);
        assert_int_equal(flo_session_position(b), 21);
        assert_int_equal(flo_session_common(b, tokens[0], COUNT), 21);
        assert_int_equal(flo_session_decode(b, other + 21, 10, FLO_LOGITS_LAST, NULL), 0);
        expect_alone(engine, flo_session_logits(b), other, 31);
        /* The one it was taken from goes on untouched. */
        assert_int_equal(flo_session_decode(a, tokens[0] + 40, 4, FLO_LOGITS_LAST, NULL), 0);
        expect_alone(engine, flo_session_logits(a), tokens[0], 44);
        /* From itself: the rest is forgotten. */
        flo_session_begin_as(a, a, 7);
        assert_int_equal(flo_session_position(a), 7);
        flo_session_begin_as(a, b, 1000);
        assert_int_equal(flo_session_position(a), 31);
        flo_session_close(a);
        flo_session_close(b);
        flo_engine_close(engine);
    }
}

static void steps_allocate_nothing(void **state)
{
    struct flo_engine *engine = open_model(tiny, (struct flo_engine_options){.threads = 2});
    struct flo_session *a = session_of(engine), *b = session_of(engine);
    struct rows rows = rows_of(engine);
    struct flo_step steps[] = {
        {a, tokens[0], 3, FLO_ROWS_ALL, keep_row, &rows},
        {b, tokens[1], 1, FLO_ROWS_LAST, keep_row, &rows},
    };

    (void)state;
    assert_int_equal(flo_engine_step(engine, steps, 2, NULL, NULL, NULL), 0);
    struct mallinfo2 before = mallinfo2();
    for (int i = 0; i < 10; i++) {
        assert_int_equal(flo_engine_step(engine, steps, 2, NULL, NULL, NULL), 0);
        flo_session_begin_as(b, a, 3);
    }
    struct mallinfo2 after = mallinfo2();
    assert_int_equal(after.uordblks, before.uordblks);
    free(rows.logits);
    flo_session_close(a);
    flo_session_close(b);
    flo_engine_close(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_has_the_same_bits_next_to_other_sessions),
        cmocka_unit_test(rows_come_in_order_and_a_false_forgets_the_rest),
        cmocka_unit_test(a_recurrent_session_is_cut_anywhere),
        cmocka_unit_test(a_copy_behind_a_cut_is_forgotten),
        cmocka_unit_test(a_marked_position_is_held_behind_a_long_answer),
        cmocka_unit_test(a_new_session_knows_nothing_of_a_closed_one),
        cmocka_unit_test(experts_of_two_types_get_their_input_in_both),
        cmocka_unit_test(a_step_that_cannot_be_changes_nothing),
        cmocka_unit_test(threads_agree_in_which_layer_a_pass_ends),
        cmocka_unit_test(a_session_begins_with_what_another_holds),
        cmocka_unit_test(steps_allocate_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
