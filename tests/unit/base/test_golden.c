/* Golden cases of format 2: documents, matchers, vectors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/meta.h>
#include <flotilla/errors/probe.h>
#include <flotilla/golden.h>

static struct flo_golden golden;
static struct flo_err err;

/* A document with one case of these expectations. */
static int read_expect(const char *expect)
{
    char text[9000];
    snprintf(text, sizeof(text),
             "{\"format\":\"flotilla-golden-2\",\"cases\":[{\"id\":\"a\","
             "\"prompt\":\"p\",\"max_new_tokens\":4,\"expect\":%s}]}",
             expect);
    memset(&err, 0, sizeof(err));
    return flo_golden_read(text, strlen(text), &golden, &err);
}

static int judge_text(const char *answer)
{
    const struct flo_golden_answer in = {.text = answer, .bytes = strlen(answer)};
    memset(&err, 0, sizeof(err));
    return flo_golden_judge(&golden.cases[0], 0, &in, &err);
}

/* Does the answer hold for the expectations? */
static bool holds(const char *expect, const char *answer)
{
    int rv = read_expect(expect);
    if (rv < 0) {
        fail_msg("%s: %s", expect, err.what);
    }
    rv = judge_text(answer);
    flo_golden_deinit(&golden);
    if (rv < 0) {
        assert_int_equal(rv, FLO_E_PROBE_GOLDEN);
    }
    return rv == 0;
}

static void texts_are_compared_after_the_trim(void **state)
{
    (void)state;
    assert_true(holds("[{\"exact\":\"ok\"}]", " ok\n"));
    assert_false(holds("[{\"exact\":\"ok\"}]", "ok."));
    assert_true(holds("[{\"exact\":\"\"}]", " \t"));
    assert_true(holds("[{\"contains\":\"b\"},{\"lacks\":\"d\"}]", "abc"));
    assert_false(holds("[{\"contains\":\"b\"},{\"lacks\":\"c\"}]", "abc"));
    static const char untrimmed[] =
        "{\"format\":\"flotilla-golden-2\",\"cases\":[{\"id\":\"a\","
        "\"text\":\"p\",\"trim\":false,\"expect\":[{\"exact\":\"ok\"}]}]}";
    assert_int_equal(flo_golden_read(untrimmed, sizeof(untrimmed) - 1, &golden, &err), 0);
    assert_int_equal(judge_text(" ok"), FLO_E_PROBE_GOLDEN);
    flo_golden_deinit(&golden);
}

static void a_pattern_fits_the_whole_answer(void **state)
{
    (void)state;
    assert_true(holds("[{\"pattern\":\"id-####-*\"}]", "id-0042-x y"));
    assert_true(holds("[{\"pattern\":\"id-####-*\"}]", "id-0042-"));
    assert_false(holds("[{\"pattern\":\"id-####-*\"}]", "id-004x-"));
    assert_false(holds("[{\"pattern\":\"id-####\"}]", "xid-0042"));
    assert_true(holds("[{\"pattern\":\"*a*b*\"}]", "xxaxxbxx"));
    assert_false(holds("[{\"pattern\":\"*a*b\"}]", "xxaxxbxx"));
    assert_true(holds("[{\"pattern\":\"?\"}]", "\xc3\xa4"));
    assert_false(holds("[{\"pattern\":\"?\"}]", "ab"));
    assert_true(holds("[{\"pattern\":\"\\\\*\\\\#\"}]", "*#"));
    assert_false(holds("[{\"pattern\":\"\\\\*\"}]", "x"));
}

/* Steps that grow with the square of the length would take days. */
static void a_hard_pattern_takes_linear_time(void **state)
{
    static char answer[4000001];
    (void)state;
    memset(answer, 'a', sizeof(answer) - 1);
    assert_false(holds("[{\"pattern\":\"*a*a*a*a*a*a*a*b\"}]", answer));
}

static void json_values_are_compared_without_coercion(void **state)
{
    static const char answer[] = "{\"a\":[1,{\"b\":2.0}],\"s\":\"1\",\"t\":true,\"/\":7,\"~\":8}";
    (void)state;
    assert_true(holds("[{\"json\":\"/a/0\",\"equals\":1.0}]", answer));
    assert_true(holds("[{\"json\":\"/a/1\",\"equals\":{\"b\":2}}]", answer));
    assert_true(holds("[{\"json\":\"/~1\",\"equals\":7}]", answer));
    assert_true(holds("[{\"json\":\"/~0\",\"equals\":8}]", answer));
    assert_false(holds("[{\"json\":\"/s\",\"equals\":1}]", answer));
    assert_false(holds("[{\"json\":\"/t\",\"equals\":1}]", answer));
    assert_false(holds("[{\"json\":\"/a/2\",\"equals\":1}]", answer));
    assert_false(holds("[{\"json\":\"/a/00\",\"equals\":1}]", answer));
    assert_false(holds("[{\"json\":\"/a/0\",\"equals\":1}]", "no JSON"));
}

static void a_number_lies_within_its_bounds(void **state)
{
    (void)state;
    assert_true(holds("[{\"json\":\"/p\",\"within\":[0.5,1]}]", "{\"p\":1}"));
    assert_false(holds("[{\"json\":\"/p\",\"within\":[0.5,1]}]", "{\"p\":1.01}"));
    assert_false(holds("[{\"json\":\"/p\",\"within\":[0.5,1]}]", "{\"p\":\"1\"}"));
    assert_false(holds("[{\"json\":\"/p\",\"within\":[0,1]}]", "{\"p\":NaN}"));
}

static void what_is_no_matcher_is_refused(void **state)
{
    static const char *const expects[] = {
        "[]",
        "[{\"must_contain\":\"a\"}]",
        "[{\"contains\":\"\"}]",
        "[{\"contains\":\"a\",\"lacks\":\"b\"}]",
        "[{\"pattern\":\"*********\"}]",
        "[{\"pattern\":\"a\\\\\"}]",
        "[{\"json\":\"a\",\"equals\":1}]",
        "[{\"json\":\"/~2\",\"equals\":1}]",
        "[{\"json\":\"/a\"}]",
        "[{\"json\":\"/a\",\"within\":[2,1]}]",
        "[{\"json\":\"/a\",\"within\":[1]}]",
        "[{\"cosine_min_ppm\":1000001,\"vector\":\"v\"}]",
        "[{\"tokens\":[1],\"min_logit_gap\":0.5}]",
        "[{\"tokens\":[-1],\"min_logit_gap\":2}]",
        "[{\"exit\":256}]",
        "[{\"tokens\":[1],\"losses\":[0.1]}]",
        "[{\"tokens\":[1],\"losses\":[0.1,0.2],\"slack\":1}]",
        "[{\"tokens\":[],\"losses\":[],\"slack\":1}]",
        "[{\"tokens\":[1],\"losses\":[-0.1],\"slack\":1}]",
        "[{\"tokens\":[1],\"losses\":[0.1],\"slack\":5.5}]",
        "{}",
        "null",
        "[7]",
    };
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(expects); i++) {
        if (read_expect(expects[i]) != FLO_E_META_SCHEMA) {
            fail_msg("%s gave %d %s", expects[i], err.code, err.what);
        }
    }
}

static void a_case_asks_exactly_one_thing(void **state)
{
    static const char *const asks[] = {
        "\"id\":\"a\"",
        "\"id\":\"a\",\"prompt\":\"p\",\"text\":\"t\"",
        "\"id\":\"a\",\"messages\":[]",
        "\"id\":\"a\",\"messages\":[{\"role\":\"user\"}]",
        "\"id\":\"a\",\"messages\":7",
    };
    char text[400];
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(asks); i++) {
        snprintf(text, sizeof(text),
                 "{\"format\":\"flotilla-golden-2\",\"cases\":[{%s,"
                 "\"max_new_tokens\":4,\"expect\":[{\"exact\":\"a\"}]}]}",
                 asks[i]);
        if (flo_golden_read(text, strlen(text), &golden, &err) != FLO_E_META_SCHEMA) {
            fail_msg("%s gave %d %s", asks[i], err.code, err.what);
        }
    }
}

/* ---- vectors ---- */

static int judge_vector(const float *expected, const float *answer, uint32_t count)
{
    const struct flo_golden_answer in = {.vector = answer, .n_vector = count};
    memset(&err, 0, sizeof(err));
    assert_int_equal(read_expect("[{\"cosine_min_ppm\":995000,\"vector\":\"v.f32\"}]"), 0);
    assert_int_equal(
        flo_golden_set_vector(&golden.cases[0].expect[0], expected, 4 * sizeof(float), &err), 0);
    int rv = flo_golden_judge(&golden.cases[0], 0, &in, &err);
    flo_golden_deinit(&golden);
    return rv;
}

static void a_vector_is_near_that_of_the_file(void **state)
{
    static const float e[] = {1, 0, 0, 0}, near[] = {0.9998f, 0.02f, 0, 0},
                       far[] = {0.6f, 0.8f, 0, 0}, long_[] = {2, 0, 0, 0};
    float odd[] = {NAN, 0, 0, 0};
    (void)state;
    assert_int_equal(judge_vector(e, e, 4), 0);
    assert_int_equal(judge_vector(e, near, 4), 0);
    assert_int_equal(judge_vector(e, far, 4), FLO_E_PROBE_GOLDEN);
    assert_int_equal(judge_vector(e, long_, 4), FLO_E_PROBE_GOLDEN);
    assert_int_equal(judge_vector(e, odd, 4), FLO_E_PROBE_GOLDEN);
}

static void a_vector_of_another_length_is_named_with_it(void **state)
{
    static const float e[] = {1, 0, 0, 0};
    (void)state;
    assert_int_equal(judge_vector(e, e, 3), FLO_E_PROBE_GOLDEN);
    assert_non_null(strstr(err.what, "has 3 numbers"));
    assert_int_equal(judge_vector(e, e, 0), FLO_E_PROBE_GOLDEN);
}

static void a_file_that_is_no_unit_vector_is_refused(void **state)
{
    static const float zero[] = {0, 0}, e[] = {1, 0};
    struct flo_golden_match match = {.kind = FLO_GOLDEN_COSINE, .text = "v"};
    (void)state;
    assert_int_equal(flo_golden_set_vector(&match, zero, 8, &err), FLO_E_META_SCHEMA);
    assert_int_equal(flo_golden_set_vector(&match, e, 7, &err), FLO_E_META_SCHEMA);
    assert_int_equal(flo_golden_set_vector(&match, e, 8, &err), 0);
    free(match.vector);
}

static void speech_of_a_case_is_a_wav_file_of_the_release(void **state)
{
    static const char text[] = "{\"format\":\"flotilla-golden-2\",\"cases\":[{\"id\":\"a\","
                               "\"audio\":\"low.wav\",\"expect\":[{\"exact\":\"shut\"}]}]}";
    static const char wav[] = "RIFF\x26\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0"
                              "\x80\x3e\0\0\0\x7d\0\0\2\0\x10\0"
                              "data\x02\0\0\0\0\0";
    struct flo_golden_case *c;

    (void)state;
    assert_int_equal(flo_golden_read(text, strlen(text), &golden, &err), 0);
    c = &golden.cases[0];
    assert_int_equal(c->input, FLO_GOLDEN_AUDIO);
    assert_string_equal(c->prompt, "low.wav");
    assert_int_equal(flo_golden_set_audio(c, "RIFF", 4, &err), FLO_E_META_SCHEMA);
    assert_non_null(strstr(err.what, "low.wav"));
    assert_int_equal(flo_golden_set_audio(c, wav, sizeof(wav) - 1, &err), 0);
    assert_int_equal(c->audio_bytes, sizeof(wav) - 1);
    assert_memory_equal(c->audio, wav, c->audio_bytes);
    flo_golden_deinit(&golden);
}

static void matchers_that_an_engine_cannot_serve_are_left_out(void **state)
{
    (void)state;
    assert_int_equal(read_expect("[{\"tokens\":[1],\"min_logit_gap\":2},"
                                 "{\"contains\":\"a\"}]"),
                     0);
    assert_int_equal(judge_text("a"), FLO_E_PROBE_GOLDEN);
    const struct flo_golden_answer in = {.text = "a", .bytes = 1};
    assert_int_equal(flo_golden_judge(&golden.cases[0], 1u << FLO_GOLDEN_TOKENS, &in, &err), 0);
    assert_int_equal(flo_golden_count(&golden.cases[0], 1u << FLO_GOLDEN_TOKENS), 1);
    flo_golden_deinit(&golden);
}

static void the_whole_answer_is_known_where_the_document_has_it(void **state)
{
    (void)state;
    static const struct {
        const char *of_case, *answer;
    } rows[] = {
        {"\"prompt\":\"p\",\"expect\":[{\"exact\":\"low\"}]", "low"},
        {"\"prompt\":\"p\",\"expect\":[{\"contains\":\"lo\"}],"
         "\"expect_text\":\"low\"",
         "low"},
        {"\"prompt\":\"p\",\"expect\":[{\"contains\":\"lo\"}]", NULL},
        {"\"prompt\":\"p\",\"expect\":[{\"contains\":\"lo\"}],"
         "\"expect_text\":7",
         NULL},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {

        char text[512];
        snprintf(text, sizeof(text),
                 "{\"format\":\"flotilla-golden-2\",\"cases\":[{\"id\":\"a\","
                 "\"max_new_tokens\":4,%s}]}",
                 rows[i].of_case);
        assert_int_equal(flo_golden_read(text, strlen(text), &golden, &err), 0);
        const char *answer = golden.cases[0].answer;
        assert_true((answer == NULL) == (rows[i].answer == NULL));
        if (answer != NULL) {
            assert_string_equal(answer, rows[i].answer);
        }
        flo_golden_deinit(&golden);
    }
}

/* ---- losses ---- */

/* Judges an answer of steps with two tokens each: the chosen one, another. */
static int judge_steps(const struct flo_golden_likely (*steps)[2], size_t count)
{
    struct flo_golden_follow follow = {0};
    memset(&err, 0, sizeof(err));
    assert_int_equal(read_expect("[{\"tokens\":[7,8,9],\"losses\":[0.1,0.69,0.2],\"slack\":0.5}]"),
                     0);
    flo_golden_follow(&follow, &golden.cases[0]);
    for (size_t i = 0; i < count; i++) {
        flo_golden_follow_token(&follow, steps[i], 2);
    }
    const struct flo_golden_answer in = {.text = "", .follow = &follow};
    int rv = flo_golden_judge(&golden.cases[0], 0, &in, &err);
    flo_golden_deinit(&golden);
    return rv;
}

static void a_near_tie_may_fall_either_way(void **state)
{
    static const struct flo_golden_likely same[][2] = {
        {{7, 0.1}, {1, 2}}, {{8, 0.68}, {5, 0.7}}, {{9, 0.21}, {1, 3}}};
    static const struct flo_golden_likely other[][2] = {
        {{7, 0.1}, {1, 2}}, {{5, 0.68}, {8, 0.7}}, {{3, 0.5}, {4, 3}}};
    (void)state;
    assert_int_equal(judge_steps(same, 3), 0);
    assert_int_equal(judge_steps(other, 3), 0);
}

static void a_token_that_became_unlikely_fails(void **state)
{
    static const struct flo_golden_likely unlikely[][2] = {{{5, 0.1}, {7, 2.5}}};
    static const struct flo_golden_likely absent[][2] = {{{5, 0.1}, {4, 2.5}}};
    static const struct flo_golden_likely too_likely[][2] = {
        {{7, 0.1}, {1, 2}}, {{8, 0.01}, {5, 5}}, {{9, 0.2}, {1, 3}}};
    static const struct flo_golden_likely odd[][2] = {{{7, NAN}, {1, 2}}};
    (void)state;
    assert_int_equal(judge_steps(unlikely, 1), FLO_E_PROBE_GOLDEN);
    assert_non_null(strstr(err.what, "token 0 has a loss of 2.50, expected is 0.10"));
    assert_int_equal(judge_steps(absent, 1), FLO_E_PROBE_GOLDEN);
    assert_int_equal(judge_steps(too_likely, 3), FLO_E_PROBE_GOLDEN);
    assert_int_equal(judge_steps(odd, 1), FLO_E_PROBE_GOLDEN);
}

static void an_answer_that_ends_too_soon_fails(void **state)
{
    static const struct flo_golden_likely two[][2] = {{{7, 0.1}, {1, 2}}, {{8, 0.7}, {5, 0.7}}};
    (void)state;
    assert_int_equal(judge_steps(two, 2), FLO_E_PROBE_GOLDEN);
    assert_non_null(strstr(err.what, "ends after 2 of 3 tokens"));
    assert_int_equal(read_expect("[{\"tokens\":[7],\"losses\":[0.1],\"slack\":0.5}]"), 0);
    assert_int_equal(judge_text("a"), FLO_E_PROBE_GOLDEN);
    flo_golden_deinit(&golden);
}

/* ---- rivals ---- */

/* A document with one case, whose two tokens have two rivals each. */
static int read_rivals(const char *members)
{
    char text[1000];
    snprintf(text, sizeof(text),
             "{\"format\":\"flotilla-golden-1\",\"cases\":[{\"id\":\"a\",\"prompt\":\"p\","
             "\"max_new_tokens\":4,\"must_contain\":[],\"expect_tokens\":[7,8],"
             "\"expect_losses\":[0.1,0.2],\"loss_slack\":1,%s}]}",
             members);
    memset(&err, 0, sizeof(err));
    return flo_golden_read(text, strlen(text), &golden, &err);
}

/* Plays the case twice, each time with these losses of the rivals at both tokens. */
static int judge_rivals(double one, double other)
{
    const struct flo_golden_likely steps[][3] = {{{7, 0.1}, {3, one}, {4, other}},
                                                 {{8, 0.2}, {5, one}, {6, other}}};
    struct flo_golden_follow follow = {0};
    assert_int_equal(read_rivals("\"rivals\":[3,4,5,6],\"rival_losses\":[2,3,2,3],"
                                 "\"rival_slack\":0.1"),
                     0);
    for (size_t i = 0; i < 4; i++) {
        if (i % 2 == 0) {
            flo_golden_follow(&follow, &golden.cases[0]);
        }
        flo_golden_follow_token(&follow, steps[i % 2], 3);
    }
    const struct flo_golden_answer in = {.text = "", .follow = &follow};
    assert_int_equal(flo_golden_judge(&golden.cases[0], 0, &in, &err), 0);
    flo_golden_deinit(&golden);
    return flo_golden_judge_rivals(&follow, "avx2", &err);
}

static void likely_tokens_may_differ_by_the_slack_in_the_mean(void **state)
{
    (void)state;
    assert_int_equal(judge_rivals(2, 3), 0);
    assert_int_equal(judge_rivals(2.13, 3), 0); /* one by more, the mean by less */
    assert_int_equal(judge_rivals(1.95, 3.12), 0);
}

static void a_small_difference_of_all_likely_tokens_fails_over_all_cases(void **state)
{
    (void)state;
    assert_int_equal(judge_rivals(2.2, 3.2), FLO_E_PROBE_GOLDEN);
    assert_non_null(strstr(err.what, "differ 2.00 times as much as is allowed"));
    assert_int_equal(judge_rivals(NAN, 3), FLO_E_PROBE_GOLDEN);
}

static void a_likely_token_that_is_not_reported_may_be_as_likely_as_expected(void **state)
{
    static const struct flo_golden_likely step[] = {{7, 0.1}, {9, 2.5}};
    struct flo_golden_follow follow = {0};
    (void)state;
    assert_int_equal(read_rivals("\"rivals\":[3,4],\"rival_losses\":[3,2.6],"
                                 "\"rival_slack\":0.1"),
                     0);
    flo_golden_follow(&follow, &golden.cases[0]);
    flo_golden_follow_token(&follow, step, FLO_COUNT(step));
    assert_int_equal(flo_golden_judge_rivals(&follow, "avx2", &err), 0);
    flo_golden_deinit(&golden);
}

static void another_back_end_passes_over_rivals(void **state)
{
    const struct flo_golden_follow follow = {.squares = 2, .allowed = 1};
    (void)state;
    assert_int_equal(flo_golden_judge_rivals(&follow, "llama.cpp", &err), 0);
    assert_int_equal(flo_golden_judge_rivals(&follow, "neon", &err), FLO_E_PROBE_GOLDEN);
}

static void cases_without_rivals_pass_over_them(void **state)
{
    const struct flo_golden_follow follow = {0};
    (void)state;
    assert_int_equal(flo_golden_judge_rivals(&follow, "avx2", &err), 0);
}

static void rivals_that_do_not_belong_to_the_tokens_are_refused(void **state)
{
    static const char *const members[] = {
        "\"rivals\":[3,4,5],\"rival_losses\":[1,1,1],\"rival_slack\":0.1",
        "\"rivals\":[3,4],\"rival_losses\":[1],\"rival_slack\":0.1",
        "\"rivals\":[3,4],\"rival_losses\":[1,1]",
        "\"rivals\":[3,4],\"rival_losses\":[1,1],\"rival_slack\":5.1",
        "\"rivals\":[3,4],\"rival_losses\":[1,-1],\"rival_slack\":0.1",
        "\"rivals\":7",
    };
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(members); i++) {
        if (read_rivals(members[i]) != FLO_E_META_SCHEMA) {
            fail_msg("%s gave %d %s", members[i], err.code, err.what);
        }
    }
}

static void a_case_of_format_1_may_use_all_of_its_checks(void **state)
{
    const char *text =
        "{\"format\":\"flotilla-golden-1\",\"cases\":[{\"id\":\"a\",\"prompt\":\"p\","
        "\"max_new_tokens\":4,\"must_contain\":[\"a\",\"a\",\"a\",\"a\",\"a\",\"a\","
        "\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\"],"
        "\"min_logit_gap\":2,\"expect_tokens\":[7],\"expect_losses\":[0.1],"
        "\"loss_slack\":1,\"rivals\":[3],\"rival_losses\":[2],\"rival_slack\":1}]}";
    (void)state;
    assert_int_equal(flo_golden_read(text, strlen(text), &golden, &err), 0);
    assert_int_equal(golden.cases[0].n_expect, FLO_GOLDEN_EXPECT_MAX + 3);
    flo_golden_deinit(&golden);
}

static void a_field_that_stands_twice_is_refused(void **state)
{
    static const char *const texts[] = {
        "{\"format\":\"flotilla-golden-2\",\"format\":\"flotilla-golden-1\",\"cases\":[]}",
        "{\"format\":\"flotilla-golden-2\",\"cases\":[{\"id\":\"a\",\"prompt\":\"p\","
        "\"max_new_tokens\":4,\"expect\":[{\"json\":\"\",\"equals\":{\"a\":1,\"a\":2}}]}]}",
    };
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(texts); i++) {
        assert_int_equal(flo_golden_read(texts[i], strlen(texts[i]), &golden, &err),
                         FLO_E_META_JSON);
        assert_non_null(strstr(err.what, "stands twice"));
    }
}

static void joined_cases_keep_the_texts_of_their_documents(void **state)
{
    struct flo_golden more;
    (void)state;
    assert_int_equal(read_expect("[{\"json\":\"/a\",\"equals\":[1,{\"b\":null}]}]"), 0);
    more = golden;
    assert_int_equal(read_expect("[{\"contains\":\"a\"}]"), 0);
    assert_int_equal(flo_golden_join(&golden, &more, &err), 0);
    assert_int_equal(golden.n_cases, 2);
    assert_null(more.document);
    const struct flo_golden_answer in = {.text = "{\"a\":[1.0,{\"b\":null}]}", .bytes = 22};
    assert_int_equal(flo_golden_judge(&golden.cases[0], 0, &in, &err), 0);
    assert_int_equal(flo_golden_judge(&golden.cases[1], 0, &in, &err), 0);
    flo_golden_deinit(&golden);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_whole_answer_is_known_where_the_document_has_it),
        cmocka_unit_test(texts_are_compared_after_the_trim),
        cmocka_unit_test(a_pattern_fits_the_whole_answer),
        cmocka_unit_test(a_hard_pattern_takes_linear_time),
        cmocka_unit_test(json_values_are_compared_without_coercion),
        cmocka_unit_test(a_number_lies_within_its_bounds),
        cmocka_unit_test(what_is_no_matcher_is_refused),
        cmocka_unit_test(a_case_asks_exactly_one_thing),
        cmocka_unit_test(a_vector_is_near_that_of_the_file),
        cmocka_unit_test(a_vector_of_another_length_is_named_with_it),
        cmocka_unit_test(a_file_that_is_no_unit_vector_is_refused),
        cmocka_unit_test(speech_of_a_case_is_a_wav_file_of_the_release),
        cmocka_unit_test(matchers_that_an_engine_cannot_serve_are_left_out),
        cmocka_unit_test(a_near_tie_may_fall_either_way),
        cmocka_unit_test(a_token_that_became_unlikely_fails),
        cmocka_unit_test(likely_tokens_may_differ_by_the_slack_in_the_mean),
        cmocka_unit_test(a_small_difference_of_all_likely_tokens_fails_over_all_cases),
        cmocka_unit_test(a_likely_token_that_is_not_reported_may_be_as_likely_as_expected),
        cmocka_unit_test(another_back_end_passes_over_rivals),
        cmocka_unit_test(cases_without_rivals_pass_over_them),
        cmocka_unit_test(rivals_that_do_not_belong_to_the_tokens_are_refused),
        cmocka_unit_test(a_case_of_format_1_may_use_all_of_its_checks),
        cmocka_unit_test(an_answer_that_ends_too_soon_fails),
        cmocka_unit_test(a_field_that_stands_twice_is_refused),
        cmocka_unit_test(joined_cases_keep_the_texts_of_their_documents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
