/* Grammars with a model: whatever it wants to say, the answer keeps its form;
 * what must come is the same forced as sampled. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <flotilla/errors/gguf.h>
#include <flotilla/errors/infer.h>
#include <flotilla/grammar.h>

#include "base/tree/tree.h"
#include "engine/grammar/form/form.h"

enum { CONTEXT = 512, PROMPT = 3 };

/* An emulated CPU takes a minute for fifty. */
#ifdef __x86_64__
#define SEEDS 200
#else
#define SEEDS 20
#endif

static const char model[] = "tests/models/tiny-v1.Q4_1.gguf";
static const char person[] =
    "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\","
    "\"maxLength\":12},\"level\":{\"enum\":[\"low\",\"middle\",\"high\"]},"
    "\"ids\":{\"type\":\"array\",\"items\":{\"type\":\"integer\",\"minimum\":"
    "-20,\"maximum\":300},\"maxItems\":4},\"ok\":{\"type\":\"boolean\"}},"
    "\"required\":[\"name\",\"level\",\"ids\"],"
    "\"additionalProperties\":false}";

struct world {
    struct flo_engine *engine;
    struct flo_session *session;
    struct flo_sampler *sampler;
    struct flo_buf text;  /* of the last answer */
    size_t sampled, made; /* tokens of it */
    bool has_ended;       /* as a whole, not by the limit */
    bool is_limited;      /* it keeps tokens for its end */
};

static int open_world(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    struct flo_engine_options options = {.context = CONTEXT, .threads = 1};
    struct flo_sampling sampling = {0};

    assert_int_equal(flo_engine_open(model, &options, &w->engine, NULL), 0);
    assert_int_equal(flo_session_open(w->engine, &w->session, NULL), 0);
    assert_int_equal(flo_sampler_open(w->engine, &sampling, &w->sampler, NULL), 0);
    *state = w;
    return 0;
}

static int close_world(void **state)
{
    struct world *w = *state;

    flo_buf_deinit(&w->text);
    flo_sampler_close(w->sampler);
    flo_session_close(w->session);
    flo_engine_close(w->engine);
    free(w);
    return 0;
}

static struct flo_grammar *open_grammar(struct world *w, enum flo_grammar_kind kind,
                                        const char *text)
{
    struct flo_grammar *grammar = NULL;
    struct flo_err err = {0};

    if (flo_grammar_open(w->engine, kind, text, text == NULL ? 0 : strlen(text), &grammar, &err) <
        0) {
        fail_msg("%s", err.what);
    }
    return grammar;
}

/* An answer of at most `most` tokens from this seed. */
static void answer(struct world *w, struct flo_grammar *grammar, uint64_t seed, float temperature,
                   bool forces, size_t most)
{
    struct flo_sampling sampling = {.temperature = temperature, .seed = seed};
    int32_t tokens[FLO_GRAMMAR_FORCED_MAX + 1] = {1, 2, 3};
    size_t count = PROMPT;
    struct flo_sample sample;

    flo_session_reset(w->session);
    flo_grammar_reset(grammar);
    assert_int_equal(flo_sampler_reset(w->sampler, &sampling, NULL), 0);
    w->text.bytes = w->sampled = w->made = 0;
    w->has_ended = false;
    if (forces) {
        count += flo_grammar_forced(grammar, tokens + count, 64);
    }
    assert_int_equal(
        flo_engine_detokenise(w->engine, tokens + PROMPT, count - PROMPT, false, &w->text, NULL),
        0);
    while (!w->has_ended && w->made < most) {
        struct flo_err err = {0};

        if (flo_grammar_is_done(grammar)) {
            w->has_ended = true;
            break;
        }
        assert_int_equal(flo_session_decode(w->session, tokens, count, FLO_LOGITS_LAST, NULL), 0);
        if (w->is_limited) {
            assert_int_equal(flo_grammar_limit(grammar, most - w->made, NULL), 0);
        }
        if (flo_grammar_sample(grammar, w->sampler, flo_session_logits(w->session), &sample, &err) <
            0) {
            fail_msg("seed %u: %s, behind %s", (unsigned)seed, err.what, w->text.data);
        }
        w->has_ended = flo_engine_is_end(w->engine, sample.token);
        tokens[0] = sample.token;
        count = 1;
        w->sampled++;
        if (forces && !w->has_ended) {
            count += flo_grammar_forced(grammar, tokens + 1, FLO_GRAMMAR_FORCED_MAX);
        }
        w->made += count;
        assert_int_equal(flo_engine_detokenise(w->engine, tokens, count, false, &w->text, NULL), 0);
    }
    flo_buf_add(&w->text, "", 1);
    w->text.bytes--;
}

/* The answer passes the check of a runtime's answers.  Only a name that the
 * schema does not list may be there twice, which no grammar can forbid. */
static void expect_form(const char *schema, const struct world *w)
{
    size_t bytes = schema == NULL ? 0 : strlen(schema);
    struct flo_err err = {0};

    if (flo_form_check(schema, bytes, w->text.data, w->text.bytes, &err) < 0 &&
        (schema != NULL || strstr(err.what, "must be in its object once") == NULL)) {
        fail_msg("%s: %s", err.what, w->text.data);
    }
}

static const struct flo_tree_node *get(const struct flo_tree_node *object, const char *key)
{
    const struct flo_tree_node *n = object->first;

    while (n != NULL && strcmp(n->key, key) != 0) {
        n = n->next;
    }
    return n;
}

static bool is_one_of(const struct flo_tree_node *value, const char *const names[3])
{
    for (int i = 0; i < 3; i++) {
        if (value->kind == FLO_TREE_STRING && value->bytes == strlen(names[i]) &&
            memcmp(value->text, names[i], value->bytes) == 0) {
            return true;
        }
    }
    return false;
}

static void expect_person(const struct world *w)
{
    static const char *const levels[] = {"low", "middle", "high"};
    struct flo_tree tree = {0};
    struct flo_err err = {0};
    size_t count = 0;

    if (flo_tree_read(&tree, w->text.data, w->text.bytes, 0, 0, NULL, &err) < 0) {
        fail_msg("%s: %s", err.what, w->text.data);
    }
    assert_non_null(get(tree.nodes, "name"));
    assert_int_equal(get(tree.nodes, "name")->kind, FLO_TREE_STRING);
    assert_true(is_one_of(get(tree.nodes, "level"), levels));
    assert_int_equal(get(tree.nodes, "ids")->kind, FLO_TREE_ARRAY);
    for (const struct flo_tree_node *n = get(tree.nodes, "ids")->first; n != NULL;
         n = n->next, count++) {
        assert_in_range(strtol(n->text, NULL, 10) + 20, 0, 320);
    }
    assert_in_range(count, 0, 4);
    if (get(tree.nodes, "ok") != NULL) {
        assert_int_equal(get(tree.nodes, "ok")->kind, FLO_TREE_BOOLEAN);
    }
    flo_tree_deinit(&tree);
}

static void wild_sampling_keeps_a_schema_for_every_seed(void **state)
{
    struct world *w = *state;
    struct flo_grammar *grammar = open_grammar(w, FLO_GRAMMAR_SCHEMA, person);
    size_t sampled = 0, made = 0;

    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        answer(w, grammar, seed, 2, true, 200);
        assert_true(w->has_ended);
        expect_form(person, w);
        expect_person(w); /* which decodes the text in place */
        sampled += w->sampled;
        made += w->made;
    }
    assert_true(sampled < made);
    flo_grammar_close(grammar);
}

/* An answer may be cut by the limit; a whole one is JSON. */
static void wild_sampling_gives_json_objects(void **state)
{
    struct world *w = *state;
    struct flo_grammar *grammar = open_grammar(w, FLO_GRAMMAR_JSON, NULL);
    size_t whole = 0;

    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct flo_tree tree = {0};

        answer(w, grammar, seed, 2, true, 150);
        if (w->has_ended) {
            struct flo_err err = {0};
            expect_form(NULL, w);
            if (flo_tree_read(&tree, w->text.data, w->text.bytes, 0, 0, NULL, &err) < 0) {
                fail_msg("%s: %s", err.what, w->text.data);
            }
            assert_int_equal(tree.nodes->kind, FLO_TREE_OBJECT);
            whole++;
        }
        flo_tree_deinit(&tree);
    }
    assert_true(whole > 5);
    flo_grammar_close(grammar);
}

static void forced_text_equals_sampled_text(void **state)
{
    static const char fixed[] =
        "{\"type\":\"object\",\"properties\":{\"the name of it\":{\"const\":"
        "\"h\xc3\xa9llo "
        "there\"},\"b\":{\"const\":[1,2,3]}},\"required\":[\"the "
        "name of it\",\"b\"]}";
    static const char wanted[] = "{\"the name of it\": \"h\xc3\xa9llo there\", \"b\": [1, 2, 3]}";
    struct world *w = *state;
    struct flo_grammar *grammar = open_grammar(w, FLO_GRAMMAR_SCHEMA, fixed);

    for (uint64_t seed = 1; seed <= 10; seed++) {
        answer(w, grammar, seed, 2, false, 200);
        assert_true(w->has_ended);
        assert_string_equal(w->text.data, wanted);
        answer(w, grammar, seed, 2, true, 200);
        assert_true(w->has_ended);
        assert_int_equal(w->sampled, 0);
        assert_string_equal(w->text.data, wanted);
    }
    flo_grammar_close(grammar);
}

static void forced_tokens_are_those_of_the_tokenizer(void **state)
{
    struct world *w = *state;
    static const char text[] = "{\"name\": \"";
    struct flo_grammar *grammar = open_grammar(w, FLO_GRAMMAR_SCHEMA, person);
    int32_t forced[32], plain[32];
    size_t count, n = flo_grammar_forced(grammar, forced, 32);

    assert_int_equal(flo_engine_tokenise(w->engine, text, strlen(text), 0, plain, 32, &count, NULL),
                     0);
    assert_int_equal(n, count);
    assert_memory_equal(forced, plain, n * sizeof(*plain));
    assert_int_equal(flo_grammar_forced(grammar, forced, 32), 0);
    flo_grammar_close(grammar);
}

/* `se` of both is no token that the model begins either with. */
static void a_word_with_a_choice_within_it_is_not_forced(void **state)
{
    struct world *w = *state;
    struct flo_grammar *grammar = open_grammar(
        w, FLO_GRAMMAR_GBNF, "root ::= \"name: \" (\"set_light\" | \"set_lock\" | \"send\")");
    int32_t forced[32], plain[32];
    size_t count, n = flo_grammar_forced(grammar, forced, 32);

    assert_int_equal(flo_engine_tokenise(w->engine, "name:", 5, 0, plain, 32, &count, NULL), 0);
    assert_int_equal(n, count);
    assert_memory_equal(forced, plain, n * sizeof(*plain));
    flo_grammar_close(grammar);
}

static void an_answer_without_limits_ends_where_the_model_ends_it(void **state)
{
    struct world *w = *state;
    struct flo_grammar *grammar = open_grammar(w, FLO_GRAMMAR_GBNF, "root ::= [a-z ]*");

    for (uint64_t seed = 1; seed <= 30; seed++) {
        answer(w, grammar, seed, 2, true, 100);
        for (size_t i = 0; i < w->text.bytes; i++) {
            char c = w->text.data[i];
            assert_true(c == ' ' || (c >= 'a' && c <= 'z'));
        }
    }
    flo_grammar_close(grammar);
}

static void a_grammar_that_no_token_fits_ends_with_an_error(void **state)
{
    struct world *w = *state;
    struct flo_grammar *grammar =
        open_grammar(w, FLO_GRAMMAR_GBNF, "root ::= [a-b] [^\\x00-\\U0010ffff]");
    struct flo_sample sample;
    struct flo_err err = {0};
    int32_t prompt = 1;

    assert_int_equal(flo_session_decode(w->session, &prompt, 1, FLO_LOGITS_LAST, NULL), 0);
    assert_int_equal(
        flo_grammar_sample(grammar, w->sampler, flo_session_logits(w->session), &sample, &err),
        FLO_E_INFER_SCHEMA);
    assert_non_null(strstr(err.what, "grammar: allows no token"));
    flo_grammar_close(grammar);
}

static void a_model_without_words_has_no_grammar(void **state)
{
    struct flo_engine_options options = {.context = 64, .vocabulary = FLO_VOCABULARY_NONE};
    struct flo_engine *engine = NULL;
    struct flo_grammar *grammar = NULL;

    (void)state;
    assert_int_equal(flo_engine_open(model, &options, &engine, NULL), 0);
    assert_int_equal(flo_grammar_open(engine, FLO_GRAMMAR_JSON, NULL, 0, &grammar, NULL),
                     FLO_E_GGUF_VOCAB);
    flo_engine_close(engine);
}

static void an_answer_comes_to_its_end_within_its_tokens(void **state)
{
    static const char family[] =
        "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\"},"
        "\"kids\":{\"type\":\"array\",\"items\":{\"$ref\":\"#\"}},\"n\":"
        "{\"type\":\"number\"}},\"required\":[\"name\",\"kids\",\"n\"]}";
    struct world *w = *state;
    struct flo_grammar *grammar = open_grammar(w, FLO_GRAMMAR_SCHEMA, family);
    size_t cut = 0, unused = 0;

    w->is_limited = true;
    for (uint64_t seed = 1; seed <= 24; seed++) {
        struct flo_tree tree = {0};
        size_t most = 40 + seed;
        answer(w, grammar, seed, 3, seed % 2 == 0, most);
        expect_form(family, w);
        if (!flo_grammar_is_done(grammar) || w->made > most ||
            flo_tree_read(&tree, w->text.data, w->text.bytes, 0, 0, NULL, NULL) < 0) {
            fail_msg("seed %u, %zu of %zu tokens: %s", (unsigned)seed, w->made, most, w->text.data);
        }
        flo_tree_deinit(&tree);
        cut += flo_grammar_is_cut(grammar);
        unused += flo_grammar_is_cut(grammar) ? most - w->made : 0;
    }
    assert_true(cut > 8);
    assert_true(unused / cut < 12); /* and not as many as the end has bytes */
    w->is_limited = false;
    flo_grammar_close(grammar);
}

/* A number may end after each digit, but not after its point. */
static void a_text_that_may_end_ends_in_time(void **state)
{
    static const char *const texts[] = {"root ::= [0-9]+ (\".\" [0-9]+)*",
                                        "root ::= (\"<\" [a-z]* \">\")+"};
    struct world *w = *state;

    w->is_limited = true;
    for (uint64_t seed = 1; seed <= 24; seed++) {
        struct flo_grammar *grammar = open_grammar(w, FLO_GRAMMAR_GBNF, texts[seed % 2]);
        answer(w, grammar, seed, 4, seed % 4 < 2, 6 + seed % 5);
        char last = w->text.data[w->text.bytes - 1];
        if (seed % 2 == 0 ? last < '0' || last > '9' : last != '>') {
            fail_msg("seed %u: %s", (unsigned)seed, w->text.data);
        }
        flo_grammar_close(grammar);
    }
    w->is_limited = false;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(wild_sampling_keeps_a_schema_for_every_seed, open_world,
                                        close_world),
        cmocka_unit_test_setup_teardown(wild_sampling_gives_json_objects, open_world, close_world),
        cmocka_unit_test_setup_teardown(forced_text_equals_sampled_text, open_world, close_world),
        cmocka_unit_test_setup_teardown(forced_tokens_are_those_of_the_tokenizer, open_world,
                                        close_world),
        cmocka_unit_test_setup_teardown(a_word_with_a_choice_within_it_is_not_forced, open_world,
                                        close_world),
        cmocka_unit_test_setup_teardown(an_answer_without_limits_ends_where_the_model_ends_it,
                                        open_world, close_world),
        cmocka_unit_test_setup_teardown(a_grammar_that_no_token_fits_ends_with_an_error, open_world,
                                        close_world),
        cmocka_unit_test_setup_teardown(an_answer_comes_to_its_end_within_its_tokens, open_world,
                                        close_world),
        cmocka_unit_test_setup_teardown(a_text_that_may_end_ends_in_time, open_world, close_world),
        cmocka_unit_test(a_model_without_words_has_no_grammar),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
