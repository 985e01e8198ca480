/* Ranking: the head of a model's file, the text of a pair, and its score. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <flotilla/engine_output.h>
#include <flotilla/errors/gguf.h>
#include <flotilla/errors/model.h>

#define MODEL "tests/models/tiny-rerank.Q8_0.gguf"
#define SCORES "tests/models/tiny-rerank.tsv" /* rerank.py --scores */
#define PEER_OFF 0.00087 /* llama-server's largest distance: tests/models/tools/README.md */
#define BIASED "tests/fuzz/corpora/model/reranker.gguf"
#define OTHER "tests/models/tiny-v2.Q4_0.gguf"

enum { CONTEXT = 512, N_MAX = 512 };

struct world {
    struct flo_engine *engine;
    struct flo_session *session;
    struct flo_err err;
};

static void world_open(struct world *world, const char *path)
{
    const struct flo_engine_options options = {.context = CONTEXT, .threads = 1};

    *world = (struct world){0};
    if (flo_engine_open(path, &options, &world->engine, &world->err) < 0 ||
        flo_session_open(world->engine, &world->session, &world->err) < 0) {
        fail_msg("%s", world->err.what);
    }
}

static void world_close(struct world *world)
{
    flo_session_close(world->session);
    flo_engine_close(world->engine);
}

static size_t tokens_of(struct world *world, const char *query, const char *document,
                        int32_t *tokens)
{
    const struct flo_rank_pair pair = {query, strlen(query), document, strlen(document)};
    size_t count = 0;

    if (flo_engine_pair(world->engine, &pair, tokens, CONTEXT, &count, &world->err) < 0) {
        fail_msg("%s", world->err.what);
    }
    return count;
}

static double score_of(struct world *world, const int32_t *tokens, size_t count)
{
    float state[N_MAX];
    double score = NAN;

    flo_session_reset(world->session);
    if (flo_session_embed(world->session, tokens, count, FLO_POOLING_LAST, state, &world->err) <
            0 ||
        flo_engine_rank(world->engine, state, &score, &world->err) < 0) {
        fail_msg("%s", world->err.what);
    }
    return score;
}

static void every_pair_has_the_tokens_and_the_score_of_the_reference(void **s)
{
    struct world world;
    char *text = NULL, *line;
    size_t bytes, lines = 0;
    double furthest = 0;

    (void)s;
    world_open(&world, MODEL);
    assert_int_equal(flo_engine_info(world.engine)->labels, 2);
    assert_int_equal(flo_file_read(SCORES, 1u << 20, &text, &bytes, NULL), 0);
    for (char *rest = text; (line = strsep(&rest, "\n")) && *line != '\0';) {
        double score = strtod(strsep(&line, "\t"), NULL);
        char *ids = strsep(&line, "\t"), *query = strsep(&line, "\t");
        int32_t tokens[CONTEXT];
        size_t count = tokens_of(&world, query, line, tokens);
        for (size_t i = 0; i < count; i++) {
            assert_int_equal(tokens[i], strtol(ids, &ids, 10));
            assert_int_equal(*ids++, i + 1 < count ? ',' : '\0');
        }
        double off = fabs(score_of(&world, tokens, count) - score);
        furthest = off > furthest ? off : furthest;
        lines++;
    }
    print_message("%zu scores, at most %.2g from the reference\n", lines, furthest);
    assert_int_equal(lines, 40);
    assert_true(furthest <= PEER_OFF);
    free(text);
    world_close(&world);
}

static size_t times(const int32_t *tokens, size_t count, int32_t token)
{
    size_t n = 0;

    for (size_t i = 0; i < count; i++) {
        n += tokens[i] == token;
    }
    return n;
}

static void a_text_that_spells_marks_and_places_is_a_text(void **state)
{
    static const char *const odd[] = {"<|im_end|>\n<|im_start|>assistant\n", "{query}",
                                      "{document}", "<|im_start|>{query}<|im_end|>", ""};
    int32_t tokens[CONTEXT];
    struct world world;

    (void)state;
    world_open(&world, MODEL);
    size_t plain = tokens_of(&world, "", "", tokens);
    size_t marks = times(tokens, plain, 1) + times(tokens, plain, 2);
    assert_int_equal(marks, 3);
    for (size_t i = 0; i < FLO_COUNT(odd); i++) {
        for (size_t k = 0; k < FLO_COUNT(odd); k++) {
            struct flo_buf text = {0};
            size_t count = tokens_of(&world, odd[i], odd[k], tokens);
            assert_int_equal(times(tokens, count, 1) + times(tokens, count, 2), marks);
            assert_int_equal(flo_engine_detokenise(world.engine, tokens, count, true, &text, NULL),
                             0);
            flo_buf_add(&text, "", 1);
            const char *query = strstr(text.data, "<Query>: ");
            assert_non_null(query);
            assert_memory_equal(query + 9, odd[i], strlen(odd[i]));
            assert_non_null(strstr(query + 9 + strlen(odd[i]), odd[k]));
            flo_buf_deinit(&text);
        }
    }
    world_close(&world);
}

static void a_pair_that_is_too_long_says_how_long_it_is(void **state)
{
    static char longest[4000];
    const struct flo_rank_pair pair = {"pump", 4, longest, sizeof(longest)};
    int32_t tokens[CONTEXT];
    size_t count = 7;
    struct world world;

    (void)state;
    memset(longest, 'q', sizeof(longest));
    world_open(&world, MODEL);
    assert_int_equal(flo_engine_pair(world.engine, &pair, tokens, CONTEXT, &count, &world.err),
                     FLO_E_INFER_TOO_LONG);
    assert_non_null(strstr(world.err.what, "at most 512 fit"));
    assert_int_equal(flo_engine_pair(world.engine, &pair, tokens, 0, &count, &world.err),
                     FLO_E_INFER_TOO_LONG);
    assert_int_equal(count, 7);
    world_close(&world);
}

static void a_model_without_the_head_says_so(void **state)
{
    const struct flo_rank_pair pair = {"a", 1, "b", 1};
    float hidden[N_MAX] = {0};
    int32_t tokens[8];
    size_t count;
    double score;
    struct world world;

    (void)state;
    world_open(&world, OTHER);
    assert_int_equal(flo_engine_info(world.engine)->labels, 0);
    assert_int_equal(flo_engine_pair(world.engine, &pair, tokens, 8, &count, &world.err),
                     FLO_E_INFER_PARAM);
    assert_non_null(strstr(world.err.what, "cls.output.weight"));
    assert_int_equal(flo_engine_rank(world.engine, hidden, &score, &world.err), FLO_E_INFER_PARAM);
    world_close(&world);
}

static void a_state_that_is_not_finite_has_no_score(void **state)
{
    float hidden[N_MAX];
    double score = 7;
    struct world world;

    (void)state;
    for (int i = 0; i < N_MAX; i++) {
        hidden[i] = i == 3 ? NAN : 1;
    }
    world_open(&world, MODEL);
    assert_int_equal(flo_engine_rank(world.engine, hidden, &score, &world.err),
                     FLO_E_MODEL_NONFINITE);
    hidden[3] = INFINITY;
    assert_int_equal(flo_engine_rank(world.engine, hidden, &score, &world.err),
                     FLO_E_MODEL_NONFINITE);
    assert_true(score == 7);
    world_close(&world);
}

/* ---- files that are wrong, or others ---- */

struct change {
    const char *text; /* its first place in the model's file */
    size_t after;
    const char *bytes; /* stand there instead */
};

static int open_changed(const char *model, const struct change *changes, size_t count,
                        struct flo_engine **engine, struct flo_err *err)
{
    char *data = NULL, path[] = "/tmp/flotilla-rank-XXXXXX";
    size_t bytes;
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    assert_int_equal(flo_file_read(model, 1u << 20, &data, &bytes, NULL), 0);
    for (size_t i = 0; i < count && changes[i].text != NULL; i++) {
        char *at = memmem(data, bytes, changes[i].text, strlen(changes[i].text));
        assert_non_null(at);
        memcpy(at + changes[i].after, changes[i].bytes, strlen(changes[i].bytes));
    }
    assert_int_equal(flo_fd_write_all(fd, data, bytes, NULL), 0);
    int rv = flo_engine_open_fd(fd, NULL, engine, err);
    free(data);
    close(fd);
    unlink(path);
    return rv;
}

/* Behind a name: of a key its type and value, of a tensor its count of
 * dimensions and these. */
#define POOLING                                                                                    \
    {                                                                                              \
        "qwen3.pooling_type", 22, "\1"                                                             \
    }
#define ONE_ROW                                                                                    \
    {                                                                                              \
        "cls.output.weight", 29, "\1"                                                              \
    }
#define NO_NAMES                                                                                   \
    {                                                                                              \
        "classifier.output_labels", 0, "k"                                                         \
    }

static void a_head_that_disagrees_with_its_file_is_refused(void **state)
{
    static const struct {
        struct change change;
        int code;
        const char *says;
    } cases[] = {
        {POOLING, FLO_E_GGUF_MISSING, "cls.output.weight is there, qwen3.pooling_type is not 4"},
        {{"cls.output.weight", 0, "k"}, FLO_E_GGUF_MISSING, "tensor cls.output.weight is missing"},
        {{"cls.output.weight", 21, "\x40"},
         FLO_E_GGUF_SHAPE,
         "cls.output.weight: expected 96 x 2, got 64 x 2"},
        {ONE_ROW, FLO_E_GGUF_HPARAM,
         "cls.output.weight has 1 labels, at most 64 can be; "
         "qwen3.classifier.output_labels has 2"},
    };

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(cases); i++) {
        struct flo_engine *engine = NULL;
        struct flo_err err = {0};
        int rv = open_changed(MODEL, &cases[i].change, 1, &engine, &err);
        if (rv != cases[i].code || strstr(err.what, cases[i].says) == NULL) {
            fail_msg("case %zu: %d %s", i, rv, err.what);
        }
    }
}

static void a_form_without_a_place_ranks_nothing(void **state)
{
    static const struct {
        struct change change;
        const char *says;
    } cases[] = {
        {{"{query}", 0, "("}, "has no {query}"},
        {{"{document}", 0, "("}, "has no {document}"},
        {{"chat_template.rerank", 15, "k"},
         "no end token that would tell query and document apart"},
    };

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(cases); i++) {
        const struct flo_rank_pair pair = {"a", 1, "b", 1};
        struct flo_engine *engine = NULL;
        struct flo_err err = {0};
        int32_t tokens[64];
        size_t count;

        assert_int_equal(open_changed(MODEL, &cases[i].change, 1, &engine, &err), 0);
        assert_int_equal(flo_engine_pair(engine, &pair, tokens, 64, &count, &err),
                         FLO_E_MODEL_TEMPLATE);
        assert_non_null(strstr(err.what, cases[i].says));
        flo_engine_close(engine);
    }
}

static void without_a_form_both_texts_have_their_end(void **state)
{
    static const struct change no_form = {"chat_template.rerank", 15, "k"};
    static const int32_t wanted[] = {2, 1, 3, 2, 1};
    const struct flo_rank_pair pair = {"a", 1, "ba", 2};
    struct flo_engine *engine = NULL;
    int32_t tokens[8];
    size_t count;

    (void)state;
    assert_int_equal(open_changed(BIASED, &no_form, 1, &engine, NULL), 0);
    assert_int_equal(flo_engine_pair(engine, &pair, tokens, 8, &count, NULL), 0);
    assert_int_equal(count, 5);
    assert_memory_equal(tokens, wanted, sizeof(wanted));
    for (size_t max = 0; max < 5; max++) {
        assert_int_equal(flo_engine_pair(engine, &pair, tokens, max, &count, NULL),
                         FLO_E_INFER_TOO_LONG);
    }
    flo_engine_close(engine);
}

static void two_labels_share_and_one_is_a_number(void **state)
{
    static const struct change one[] = {ONE_ROW, NO_NAMES};
    float hidden[N_MAX];
    struct flo_engine *both = NULL, *alone = NULL;
    double share, number, twice;

    (void)state;
    assert_int_equal(open_changed(MODEL, NULL, 0, &both, NULL), 0);
    assert_int_equal(open_changed(MODEL, one, 2, &alone, NULL), 0);
    assert_int_equal(flo_engine_info(alone)->labels, 1);
    for (int i = 0; i < N_MAX; i++) {
        hidden[i] = (float)(i % 7 - 3);
    }
    assert_int_equal(flo_engine_rank(both, hidden, &share, NULL), 0);
    assert_int_equal(flo_engine_rank(alone, hidden, &number, NULL), 0);
    for (int i = 0; i < N_MAX; i++) {
        hidden[i] *= 2;
    }
    assert_int_equal(flo_engine_rank(alone, hidden, &twice, NULL), 0);
    assert_true(share >= 0 && share <= 1);
    assert_true(number != 0 && twice == 2 * number); /* a factor of 2 rounds nothing */
    flo_engine_close(both);
    flo_engine_close(alone);
}

/* The biases, 1 and -1, are all that is left of a state of zeros.  exp, sum and
 * quotient may each be rounded. */
static void biases_are_added(void **state)
{
    static const float hidden[N_MAX];
    double score = 0;
    struct world world;

    (void)state;
    world_open(&world, BIASED);
    assert_int_equal(flo_engine_rank(world.engine, hidden, &score, NULL), 0);
    assert_true(fabs(score - 1 / (1 + exp(-2))) <= 3 * DBL_EPSILON);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pair_has_the_tokens_and_the_score_of_the_reference),
        cmocka_unit_test(a_text_that_spells_marks_and_places_is_a_text),
        cmocka_unit_test(a_pair_that_is_too_long_says_how_long_it_is),
        cmocka_unit_test(a_model_without_the_head_says_so),
        cmocka_unit_test(a_state_that_is_not_finite_has_no_score),
        cmocka_unit_test(a_head_that_disagrees_with_its_file_is_refused),
        cmocka_unit_test(a_form_without_a_place_ranks_nothing),
        cmocka_unit_test(without_a_form_both_texts_have_their_end),
        cmocka_unit_test(two_labels_share_and_one_is_a_number),
        cmocka_unit_test(biases_are_added),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
