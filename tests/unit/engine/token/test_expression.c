/* Expressions: cut texts as backtracking engines do, in linear time; what is
 * not supported is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <flotilla/errors/gguf.h>

#include "engine/token/split.h"

/* Returns the pieces of a text with bars between them. */
static const char *pieces(const char *expression, const char *text)
{
    static char out[512];
    struct flo_splitter splitter = {0};
    struct flo_split split;
    const char *word;
    size_t bytes, at = 0;
    struct flo_err err = {0};
    if (flo_splitter_add(&splitter, expression, strlen(expression), &err) < 0) {
        fail_msg("%s: %s", expression, err.what);
    }
    flo_split_init(&split, &splitter, text, strlen(text));
    while (flo_split_next(&split, &word, &bytes)) {
        at += (size_t)snprintf(out + at, sizeof(out) - at, "%s%.*s", at > 0 ? "|" : "", (int)bytes,
                               word);
    }
    assert_false(split.failed);
    flo_split_deinit(&split);
    flo_splitter_close(&splitter);
    out[at] = '\0';
    return out;
}

static void texts_are_cut_as_backtracking_engines_cut_them(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        /* the first alternative counts, even if it is shorter */
        {"a|ab", "abab", "a|b|a|b"},
        {"ab|a", "aba", "ab|a"},
        {"[0-9]{1,3}", "1234567x", "123|456|7|x"},
        {"[0-9]{2}", "12345", "12|34|5"},
        {"x{0,2}y", "xxxyz", "x|xxy|z"},
        {"a+?", "aaa", "a|a|a"},
        {"a{2,}", "aaaab", "aaaa|b"},
        {"\\s+(?!\\S)|\\s+", "a   b  ", "a|  | |b|  "},
        {"(?=b)b", "abb", "a|b|b"},
        {"a(?=b|$)", "aaba", "a|a|b|a"},
        {"\\s+$", "a  b  ", "a  b|  "},
        {"(?i:'ll|don)", "DoN'LL'll", "DoN|'LL|'ll"},
        {"(?i:s)t", "\xc5\xbftST", "\xc5\xbft|ST"},
        {"[^\\s\\p{L}]+", "a!? b", "a|!?| b"},
        {"[\\p{L}&&[^a-c]]+", "abxyc", "ab|xy|c"},
        {"[a[b-d]]+|\\P{L}", "dab1z", "dab|1|z"},
        {"\\p{Lu}\\p{Ll}*", "HelloWorld", "Hello|World"},
        {"\\p{^L}", "a1b", "a|1|b"},
        {"\\p{Han}+", "a\xe6\xbc\xa2\xe3\x81\x82", "a|\xe6\xbc\xa2|\xe3\x81\x82"},
        {"(a|b)*c", "abcab", "abc|ab"},
        {"(?:ab?)+?b", "abab", "abab"},
        {"\\p{L}++!?", "ab!c", "ab!|c"},
        {"\\s++$|\\n", " \n \n", " \n \n"},
        {"\\x{e4}|\\u00f6|\\t", "\xc3\xa4z\xc3\xb6\t", "\xc3\xa4|z|\xc3\xb6|\t"},
        {"[]a-]+", "a]-b", "a]-|b"},
        {"x{,1}y|{", "xy{", "xy|{"},
        {"(?#nothing)a", "ba", "b|a"},
        {"a*", "baa", "b|aa"},
        {"\\d{1,3}(?=(?:\\d{3})*\\b)", "1234567 12ab 1234", "1|234|567| 12ab |1|234"},
        {"(?=(\\d{3})+(?!\\d))", "1234567ab12c345", "1|234|567ab12c|345"},
    };
    for (size_t i = 0; i < FLO_COUNT(cases); i++) {
        const char *got = pieces(cases[i][0], cases[i][1]);
        if (strcmp(got, cases[i][2]) != 0) {
            fail_msg("%s of '%s' gives %s, not %s", cases[i][0], cases[i][1], got, cases[i][2]);
        }
    }
}

static int open(const char *text)
{
    struct flo_expression *made = NULL;
    struct flo_err err = {0};
    int rv = flo_expression_open(text, strlen(text), &made, &err);
    assert_int_equal(rv < 0, err.what[0] != '\0');
    flo_expression_close(made);
    return rv;
}

static void a_construct_that_is_not_built_is_refused_so(void **state)
{
    (void)state;
    static const char *const texts[] = {"^a",         "(?<=a)b",  "(?=ab)c",     "(?>a)",
                                        "\\1",        "\\bx",     "[[:alpha:]]", "a{1,2}+",
                                        "\\p{Greek}", "(a+b)++c", "a++a",        "a++(?=a|b)"};
    for (size_t i = 0; i < FLO_COUNT(texts); i++) {
        if (open(texts[i]) != FLO_E_NOT_BUILT) {
            fail_msg("%s is taken", texts[i]);
        }
    }
}

static void a_text_that_is_no_expression_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",      "(a",      "a)",    "[a",          "*a",
        "a**",   "\\",      "[b-a]", "a{3,2}",      "\\p{L",
        "\\x{}", "a{2000}", "\xff",  "\\x{110000}", "((((a{99}){99}){99}){99})"};
    for (size_t i = 0; i < FLO_COUNT(texts); i++) {
        if (open(texts[i]) != FLO_E_GGUF_VOCAB) {
            fail_msg("%s is taken", texts[i]);
        }
    }
}

static void an_automaton_with_too_many_states_is_refused(void **state)
{
    (void)state;
    assert_int_equal(open("(a|b)*a(a|b){20}"), FLO_E_GGUF_VOCAB);
    assert_int_equal(open("(a|b)*a(a|b){6}"), 0);
}

static void groups_inside_each_other_have_a_limit(void **state)
{
    (void)state;
    char text[1025] = "";
    memset(text, '(', 500);
    text[500] = 'a';
    memset(text + 501, ')', 500);
    assert_int_equal(open(text), FLO_E_GGUF_VOCAB);
    memset(text, '[', 500);
    assert_int_equal(open(text), FLO_E_GGUF_VOCAB);
}

/* A search that remembered nothing would take hours. */
static void a_hostile_megabyte_is_cut_in_linear_time(void **state)
{
    (void)state;
    static const char *const cases[] = {"\\s+$", "\\s*x|\\s*y|\\s*\\n", "( \\t?)*z",
                                        "\\d{1,3}(?=(?:\\d{3})*\\b)"};
    size_t bytes = 1u << 20;
    char *text = malloc(bytes);
    assert_non_null(text);
    for (size_t i = 0; i < FLO_COUNT(cases); i++) {
        struct flo_splitter splitter = {0};
        struct flo_split split;
        const char *word;
        size_t word_bytes, count = 0;
        memset(text, i == 3 ? '7' : ' ', bytes);
        text[bytes - 1] = i == 3 ? ' ' : '!';
        assert_int_equal(flo_splitter_add(&splitter, cases[i], strlen(cases[i]), NULL), 0);
        flo_split_init(&split, &splitter, text, bytes);
        while (flo_split_next(&split, &word, &word_bytes)) {
            count++;
        }
        assert_false(split.failed);
        assert_int_equal(count, i == 3 ? (bytes + 4) / 3 : 1);
        flo_split_deinit(&split);
        flo_splitter_close(&splitter);
    }
    free(text);
}

static void what_failed_is_remembered_for_its_piece_only(void **state)
{
    (void)state;
    struct flo_splitter splitter = {0};
    struct flo_split split;
    const char *word;
    size_t bytes, count = 0;
    char text[2002];
    /* two pieces: in the first no blank run ends at the piece's end */
    memset(text, ' ', sizeof(text));
    text[999] = 'a';
    text[1000] = '\n';
    assert_int_equal(flo_splitter_add(&splitter, "[^\\n]+|\\n", 9, NULL), 0);
    assert_int_equal(flo_splitter_add(&splitter, " +(?!\\S)", 8, NULL), 0);
    flo_split_init(&split, &splitter, text, sizeof(text));
    size_t lengths[8] = {0};
    while (flo_split_next(&split, &word, &bytes) && count < FLO_COUNT(lengths)) {
        lengths[count++] = bytes;
    }
    assert_int_equal(count, 4);
    assert_int_equal(lengths[0], 998);
    assert_int_equal(lengths[1], 2);
    assert_int_equal(lengths[2], 1);
    assert_int_equal(lengths[3], 1001);
    flo_split_deinit(&split);
    flo_splitter_close(&splitter);
}

/* The superscript two stands for the byte 0xb2, which is in the Cyrillic er. */
static void an_expression_of_bytes_reads_their_printable_characters(void **state)
{
    (void)state;
    assert_string_equal(pieces("(?#bytes)\\p{N}+", "a\xd0\xb2"), "a\xd0|\xb2");
    assert_string_equal(pieces("\\p{N}+", "a\xd0\xb2"), "a\xd0\xb2");
}

static void a_pre_tokenizer_has_at_most_eight_expressions(void **state)
{
    (void)state;
    struct flo_splitter splitter = {0};
    for (size_t i = 0; i < FLO_SPLIT_EXPRESSIONS_MAX; i++) {
        assert_int_equal(flo_splitter_add(&splitter, "a", 1, NULL), 0);
    }
    assert_int_equal(flo_splitter_add(&splitter, "a", 1, NULL), FLO_E_GGUF_VOCAB);
    flo_splitter_close(&splitter);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_cut_as_backtracking_engines_cut_them),
        cmocka_unit_test(a_construct_that_is_not_built_is_refused_so),
        cmocka_unit_test(a_text_that_is_no_expression_is_refused),
        cmocka_unit_test(an_automaton_with_too_many_states_is_refused),
        cmocka_unit_test(groups_inside_each_other_have_a_limit),
        cmocka_unit_test(a_hostile_megabyte_is_cut_in_linear_time),
        cmocka_unit_test(what_failed_is_remembered_for_its_piece_only),
        cmocka_unit_test(an_expression_of_bytes_reads_their_printable_characters),
        cmocka_unit_test(a_pre_tokenizer_has_at_most_eight_expressions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
