/* Windows: sessions whose local layers keep the last tokens in a ring have the
 * bits of sessions that keep all, whatever is cut, copied or cancelled. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include <flotilla/prefix.h>

/* A batch of 512 leaves no room for a ring in this context. */
enum { LONG = 480, WHOLE = 512, BACK = 256 };

static const char *const paths[] = {
    "tests/oracle/tiny/gemma3-S-q4_0.gguf",
    "tests/oracle/tiny/gemma4-e-q8_0.gguf",
    "tests/oracle/tiny/gpt_oss-trunc-f32.gguf",
    "tests/oracle/tiny/granite-swa-q8_0.gguf",
};

/* An engine with rings, and one that keeps all tokens. */
struct world {
    struct flo_engine *engine, *whole;
    struct flo_session *session, *copy;
    size_t n_vocab;
    int32_t ids[LONG];
};

static void fill(struct world *w, size_t from, size_t count, uint32_t seed)
{
    for (size_t i = from; i < from + count; i++) {
        w->ids[i] = (int32_t)((i * 131 + seed * 17 + i * i % 89) % w->n_vocab);
    }
}

static struct flo_engine *open_model(const char *path, enum flo_kv_type kind, uint32_t batch)
{
    const struct flo_engine_options options = {
        .threads = 2,
        .sessions = 2,
        .context = LONG,
        .batch = batch,
        .kv_type = kind,
        .vocabulary = FLO_VOCABULARY_NONE,
    };
    struct flo_engine *engine = NULL;

    assert_int_equal(flo_engine_open(path, &options, &engine, NULL), 0);
    return engine;
}

static void world_open(struct world *w, const char *path, enum flo_kv_type kind, uint32_t batch)
{
    w->engine = open_model(path, kind, batch);
    w->whole = open_model(path, kind, WHOLE);
    w->n_vocab = flo_engine_info(w->engine)->n_vocab;
    assert_int_equal(flo_session_open(w->engine, &w->session, NULL), 0);
    assert_int_equal(flo_session_open(w->engine, &w->copy, NULL), 0);
    fill(w, 0, LONG, 1);
}

static void world_close(struct world *w)
{
    flo_session_close(w->session);
    flo_session_close(w->copy);
    flo_engine_close(w->engine);
    flo_engine_close(w->whole);
}

/* The logits are those of a session that keeps all tokens. */
static void expect_bits(struct world *w, const float *logits, size_t count)
{
    struct flo_session *fresh = NULL;

    assert_int_equal(flo_session_open(w->whole, &fresh, NULL), 0);
    assert_int_equal(flo_session_decode(fresh, w->ids, count, FLO_LOGITS_LAST, NULL), 0);
    assert_memory_equal(logits, flo_session_logits(fresh), w->n_vocab * sizeof(*logits));
    flo_session_close(fresh);
}

/* Goes on with the tokens up to `end`. */
static void decode(struct world *w, struct flo_session *session, uint32_t end)
{
    uint32_t at = flo_session_position(session);

    assert_int_equal(flo_session_decode(session, w->ids + at, end - at, FLO_LOGITS_LAST, NULL), 0);
    expect_bits(w, flo_session_logits(session), end);
}

/* ---- going on ---- */

static void a_ring_takes_less_memory_and_keeps_the_bits(void **state)
{
    static const enum flo_kv_type kinds[] = {FLO_KV_F16, FLO_KV_F32, FLO_KV_Q8_0, FLO_KV_Q4_0};
    struct world w;

    (void)state;
    for (size_t i = 0; i < 2 * FLO_COUNT(kinds); i++) {
        enum flo_kv_type kind = kinds[i / 2];

        world_open(&w, paths[i % FLO_COUNT(paths)], kind, kind == FLO_KV_Q8_0 ? 4 : 64);
        assert_true(flo_engine_info(w.engine)->kv_bytes < flo_engine_info(w.whole)->kv_bytes);
        decode(&w, w.session, 340);
        for (uint32_t t = 341; t <= 380; t++) { /* around the end of a ring */
            assert_int_equal(flo_session_decode(w.session, w.ids + t - 1, 1, FLO_LOGITS_LAST, NULL),
                             0);
        }
        expect_bits(&w, flo_session_logits(w.session), 380);
        decode(&w, w.session, LONG);
        world_close(&w);
    }
}

/* ---- cuts ---- */

static void a_session_with_windows_is_cut_anywhere(void **state)
{
    static const uint32_t cuts[] = {LONG - 1, 430, LONG - BACK, 100, 15, 0};
    struct world w;

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(paths); i++) {
        world_open(&w, paths[i], i == 1 ? FLO_KV_Q8_0 : FLO_KV_F16, i % 2 == 0 ? 64 : 4);
        for (uint32_t c = 0; c < FLO_COUNT(cuts); c++) {
            uint32_t left = LONG - cuts[c] < 20 ? LONG - cuts[c] : 20;

            flo_session_reset(w.session);
            decode(&w, w.session, LONG);
            assert_int_equal(flo_session_held(w.session, cuts[c]),
                             cuts[c] + BACK >= LONG ? cuts[c] : 0);
            flo_session_begin_as(w.copy, w.session, cuts[c]);
            assert_int_equal(flo_session_held(w.copy, LONG), flo_session_held(w.session, cuts[c]));
            flo_session_truncate(w.session, cuts[c]);
            fill(&w, cuts[c], left, c + 2);
            decode(&w, w.session, cuts[c] + left);
            decode(&w, w.copy, cuts[c] + left);
            flo_session_truncate(w.copy, cuts[c] + left / 2); /* cut once more */
            fill(&w, cuts[c] + left / 2, LONG - cuts[c] - left / 2, c + 3);
            decode(&w, w.copy, LONG);
        }
        world_close(&w);
    }
}

/* ---- passes that end early ---- */

struct stop {
    uint32_t asked, at;
};

static bool stop_at(void *context)
{
    struct stop *stop = context;

    return stop->asked++ == stop->at;
}

static bool drop_rest(void *context, uint32_t index, const float *logits)
{
    (void)context;
    (void)logits;
    return index != 5;
}

/* Cancelled passes and wrong drafts have overwritten the places of old tokens. */
static void a_cancelled_pass_and_a_wrong_draft_lose_no_window(void **state)
{
    struct world w;

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(paths); i++) {
        world_open(&w, paths[i], FLO_KV_F16, 64);
        for (uint32_t at = 300; at < 400; at += 60) {
            int32_t wrong[64];
            struct flo_step step = {w.session, wrong, 64, FLO_ROWS_ALL, drop_rest, NULL};
            struct stop stop = {.at = flo_engine_info(w.engine)->n_layer - 1};

            decode(&w, w.session, at);
            memcpy(wrong, w.ids + 7, sizeof(wrong));
            assert_true(flo_engine_step(w.engine, &step, 1, stop_at, &stop, NULL) < 0);
            decode(&w, w.session, at + 5);
            memcpy(wrong, w.ids + at + 5, 6 * sizeof(*wrong));
            assert_int_equal(flo_engine_step(w.engine, &step, 1, NULL, NULL, NULL), 0);
            assert_int_equal(flo_session_position(w.session), at + 11);
            assert_int_equal(flo_session_held(w.session, at + 11 - BACK + 64), at + 11 - BACK + 64);
        }
        world_close(&w);
    }
}

/* ---- files ---- */

static void expect_file(struct world *w, struct flo_session *from, uint32_t count, int code)
{
    int fd = memfd_create("prefix", MFD_CLOEXEC);

    assert_int_equal(ftruncate(fd, (off_t)flo_prefix_bytes(w->engine, count)), 0);
    assert_int_equal(flo_prefix_write(from, count, 0, fd, NULL, NULL, NULL), code);
    flo_session_reset(w->copy);
    if (code == 0) {
        assert_int_equal(flo_prefix_read(w->copy, fd, NULL, NULL), 0);
        assert_int_equal(flo_session_position(w->copy), count);
        assert_int_equal(flo_session_held(w->copy, count - 16), 0);
        decode(w, w->copy, count + 9);
        flo_session_truncate(w->copy, count - 16); /* the file has only the window */
        decode(w, w->copy, count + 9);
    }
    close(fd);
}

static void a_file_of_a_prefix_has_the_window(void **state)
{
    struct flo_session *session = NULL;
    struct world w;

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(paths); i++) {
        world_open(&w, paths[i], FLO_KV_F16, 64);
        assert_int_equal(flo_session_open(w.whole, &session, NULL), 0);
        assert_true(flo_prefix_bytes(w.engine, 320) < 2 * flo_prefix_bytes(w.engine, 160));
        assert_int_equal(flo_prefix_bytes(w.engine, 320), flo_prefix_bytes(w.whole, 320));
        decode(&w, w.session, 470);
        assert_int_equal(flo_session_decode(session, w.ids, 470, FLO_LOGITS_NONE, NULL), 0);
        expect_file(&w, w.session, 320, 0);
        expect_file(&w, w.session, 112, FLO_E_STATE);
        expect_file(&w, session, 112, 0); /* of a session without a ring */
        flo_session_close(session);
        world_close(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_ring_takes_less_memory_and_keeps_the_bits),
        cmocka_unit_test(a_session_with_windows_is_cut_anywhere),
        cmocka_unit_test(a_cancelled_pass_and_a_wrong_draft_lose_no_window),
        cmocka_unit_test(a_file_of_a_prefix_has_the_window),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
