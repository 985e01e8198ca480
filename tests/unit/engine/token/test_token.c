/* Tokens: words, ids, and text back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "engine/token/split.h"
#include "engine/token/token.h"
#include "engine/token/unicode.h"
#include "unit/engine/gguf_make.h"
#include "unit/engine/ids.h"

#define TINY "tests/models/tiny-v1.Q4_1.gguf"

struct tiny {
    struct flo_gguf *gguf;
    struct flo_vocab *vocab;
};

static struct tiny open_tiny(void)
{
    struct tiny tiny = {0};
    assert_int_equal(flo_gguf_open_path(TINY, &tiny.gguf, NULL), 0);
    assert_int_equal(flo_vocab_open(tiny.gguf, &tiny.vocab, NULL), 0);
    return tiny;
}

static void close_tiny(struct tiny *tiny)
{
    flo_vocab_close(tiny->vocab);
    flo_gguf_close(tiny->gguf);
}

/* Allocations of the code under test come here first (the linker's --wrap). */
static size_t allocations;
void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);

void *__wrap_malloc(size_t bytes)
{
    allocations++;
    return __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    allocations++;
    return __real_calloc(count, bytes);
}

void *__wrap_realloc(void *old, size_t bytes)
{
    allocations++;
    return __real_realloc(old, bytes);
}

static void pre_tokenizers_cut_like_their_expressions(void **state)
{
    (void)state;
    size_t bytes;
    size_t lines = 0;
    char *data = read_whole("tests/golden/token/split.txt", &bytes);
    assert_non_null(data);
    for (char *kind = strtok(data, " "); kind != NULL; kind = strtok(NULL, " ")) {
        char *hex = strtok(NULL, " ");
        char *lengths = strtok(NULL, "\n");
        assert_non_null(lengths);
        const char *found;
        const struct flo_split_kind *name = flo_split_find(kind, strlen(kind), &found);
        size_t text_bytes;
        char *text = from_hex(hex, strlen(hex), &text_bytes);
        struct flo_splitter splitter = {0};
        struct flo_split split;
        const char *word;
        size_t word_bytes;
        assert_non_null(name);
        assert_int_equal(flo_splitter_open(&splitter, name, NULL), 0);
        flo_split_init(&split, &splitter, text, text_bytes);
        while (flo_split_next(&split, &word, &word_bytes)) {
            char *end;
            if (strtoul(lengths, &end, 10) != word_bytes) {
                print_message("%s %s at %zu\n", kind, hex, word - text);
            }
            assert_int_equal(strtoul(lengths, &end, 10), word_bytes);
            lengths = *end == ',' ? end + 1 : end;
        }
        assert_int_equal(*lengths, '\0');
        flo_split_deinit(&split);
        flo_splitter_close(&splitter);
        free(text);
        lines++;
    }
    assert_int_equal(lines, 984);
    free(data);
}

static void the_tiny_model_gives_the_golden_ids_and_the_text_back(void **state)
{
    (void)state;
    size_t bytes;
    size_t lines = 0;
    struct tiny tiny = open_tiny();
    char *data = read_whole("tests/golden/token/tiny.txt", &bytes);
    assert_non_null(data);
    char *save = NULL;
    for (char *line = strtok_r(data, "\n", &save); line != NULL;
         line = strtok_r(NULL, "\n", &save)) {
        char *blank = strchr(line, ' ');
        size_t text_bytes;
        struct flo_tokens tokens = {0};
        struct flo_buf back = {0};
        assert_non_null(blank);
        char *text = from_hex(line, (size_t)(blank - line), &text_bytes);
        assert_int_equal(
            flo_tokenize(tiny.vocab, text, text_bytes, FLO_TEXT_SPECIAL, &tokens, NULL), 0);
        assert_true(ids_are(&tokens, blank + 1));
        for (size_t i = 0; i < tokens.count; i++) {
            flo_vocab_piece(tiny.vocab, tokens.ids[i], true, &back);
        }
        assert_int_equal(back.bytes, text_bytes);
        assert_memory_equal(text_bytes > 0 ? back.data : "", text, text_bytes);
        flo_buf_deinit(&back);
        flo_tokens_deinit(&tokens);
        free(text);
        lines++;
    }
    assert_int_equal(lines, 41);
    free(data);
    close_tiny(&tiny);
}

static void control_tokens_are_text_unless_asked_for(void **state)
{
    (void)state;
    static const char text[] = "a<|im_end|>b";
    struct tiny tiny = open_tiny();
    struct flo_tokens plain = {0};
    struct flo_tokens special = {0};
    assert_int_equal(flo_tokenize(tiny.vocab, text, strlen(text), 0, &plain, NULL), 0);
    assert_int_equal(flo_tokenize(tiny.vocab, text, strlen(text), FLO_TEXT_SPECIAL, &special, NULL),
                     0);
    for (size_t i = 0; i < plain.count; i++) {
        assert_false(flo_vocab_is_control(tiny.vocab, plain.ids[i]));
    }
    assert_int_equal(special.count, 3);
    assert_int_equal(special.ids[1], 2);
    assert_true(flo_vocab_is_end(tiny.vocab, 2));
    assert_true(flo_vocab_is_end(tiny.vocab, 0)); /* by its spelling */
    assert_false(flo_vocab_is_end(tiny.vocab, 1));
    assert_false(flo_vocab_is_end(tiny.vocab, -1));
    assert_false(flo_vocab_is_end(tiny.vocab, 896));
    flo_tokens_deinit(&plain);
    flo_tokens_deinit(&special);
    close_tiny(&tiny);
}

static void a_marker_that_crosses_spans_is_not_taken(void **state)
{
    (void)state;
    const struct flo_text_span spans[] = {
        {"<|im_start|>", 12, true, false, false}, {"<|im_", 5, true, false, false},
        {"end|>", 5, false, false, false},        {"<|im_end|>", 10, false, true, false},
        {"<|im_end|>", 10, true, false, false},
    };
    struct tiny tiny = open_tiny();
    struct flo_tokens tokens = {0};
    size_t ends = 0;
    assert_int_equal(flo_tokenize_spans(tiny.vocab, spans, FLO_COUNT(spans), &tokens, NULL), 0);
    for (size_t i = 0; i < tokens.count; i++) {
        ends += tokens.ids[i] == 2;
    }
    assert_int_equal(tokens.ids[0], 1);
    assert_int_equal(tokens.ids[tokens.count - 1], 2);
    assert_int_equal(ends, 1);
    flo_tokens_deinit(&tokens);
    close_tiny(&tiny);
}

static void each_bad_byte_counts_as_a_replacement_character(void **state)
{
    (void)state;
    static const struct {
        const char *bad;
        size_t bytes;
        const char *good;
    } cases[] = {
        {"a\xff"
         "b",
         3,
         "a\xef\xbf\xbd"
         "b"},
        {"\xe2\x82", 2, "\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xc0\x80", 2, "\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xed\xa0\x80", 3, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xf4\x90\x80\x80", 4, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
    };
    struct tiny tiny = open_tiny();
    for (size_t i = 0; i < FLO_COUNT(cases); i++) {
        struct flo_tokens a = {0};
        struct flo_tokens b = {0};
        char *exact = malloc(cases[i].bytes);
        assert_non_null(exact);
        memcpy(exact, cases[i].bad, cases[i].bytes);
        assert_int_equal(flo_tokenize(tiny.vocab, exact, cases[i].bytes, 0, &a, NULL), 0);
        assert_int_equal(
            flo_tokenize(tiny.vocab, cases[i].good, strlen(cases[i].good), 0, &b, NULL), 0);
        assert_int_equal(a.count, b.count);
        assert_memory_equal(a.ids, b.ids, a.count * sizeof(*a.ids));
        flo_tokens_deinit(&a);
        flo_tokens_deinit(&b);
        free(exact);
    }
    close_tiny(&tiny);
}

/* SmolLM's vocabulary has no token for 0xf1, and its unknown ends a text. */
static void a_byte_without_a_token_vanishes_in_bpe(void **state)
{
    (void)state;
    static const char *const tokens[] = {"<|endoftext|>", "a", "b", "ab"};
    static const char *const merges[] = {"a b"};
    static const struct {
        const char *text, *ids;
    } cases[] = {{"ab", "3"},
                 {"a\xf1\x80\x80\x80", "1"},
                 {"a\xf1\x80\x80\x80"
                  "b",
                  "1,2"},
                 {"\xf1\x80\x80\x80", ""}};
    struct flo_buf file = {0};
    struct tiny tiny = {0};
    put_head(&file, 0, 5);
    put_key_text(&file, "tokenizer.ggml.model", "gpt2");
    put_key_text(&file, "tokenizer.ggml.pre", "gpt-2");
    put_key_texts(&file, "tokenizer.ggml.tokens", tokens, FLO_COUNT(tokens));
    put_key_texts(&file, "tokenizer.ggml.merges", merges, FLO_COUNT(merges));
    put_key(&file, "tokenizer.ggml.unknown_token_id", FLO_GGUF_U32);
    put_u32(&file, 0);
    assert_int_equal(flo_gguf_open(file.data, file.bytes, &tiny.gguf, NULL), 0);
    assert_int_equal(flo_vocab_open(tiny.gguf, &tiny.vocab, NULL), 0);
    for (size_t i = 0; i < FLO_COUNT(cases); i++) {
        struct flo_tokens ids = {.count_max = 4};
        assert_int_equal(
            flo_tokenize(tiny.vocab, cases[i].text, strlen(cases[i].text), 0, &ids, NULL), 0);
        assert_true(ids_are(&ids, cases[i].ids));
        flo_tokens_deinit(&ids);
    }
    close_tiny(&tiny);
    flo_buf_deinit(&file);
}

static void a_list_of_ids_has_its_bound(void **state)
{
    (void)state;
    struct tiny tiny = open_tiny();
    struct flo_tokens tokens = {.count_max = 4};
    struct flo_err err = {0};
    assert_int_equal(flo_tokenize(tiny.vocab, "1234", 4, 0, &tokens, &err), 0);
    flo_tokens_deinit(&tokens);
    tokens.count_max = 4;
    assert_int_equal(flo_tokenize(tiny.vocab, "12345", 5, 0, &tokens, &err), FLO_E_INFER_TOO_LONG);
    flo_tokens_deinit(&tokens);
    close_tiny(&tiny);
}

/* Quadratic merging would take minutes here. */
static void a_megabyte_without_a_blank_is_tokenised(void **state)
{
    (void)state;
    struct tiny tiny = open_tiny();
    struct flo_tokens tokens = {0};
    size_t bytes = 1u << 20;
    char *text = malloc(bytes);
    assert_non_null(text);
    memset(text, 'e', bytes);
    assert_int_equal(flo_tokenize(tiny.vocab, text, bytes, 0, &tokens, NULL), 0);
    assert_true(tokens.count > 0 && tokens.count <= bytes);
    flo_tokens_deinit(&tokens);
    free(text);
    close_tiny(&tiny);
}

/* The first by the text's bytes alone, the second by its first tokens. */
static void a_text_that_cannot_fit_says_how_many_tokens_it_has(void **state)
{
    (void)state;
    static const char words[] = "1234 1234 1234 1234";
    struct tiny tiny = open_tiny();
    struct flo_tokens tokens = {.count_max = 4};
    struct flo_err err = {0};
    size_t bytes = 13 << 16; /* the longest token has 13 */
    char *text = calloc(1, bytes);
    assert_non_null(text);
    assert_int_equal(flo_tokenize(tiny.vocab, text, bytes, 0, &tokens, &err), FLO_E_INFER_TOO_LONG);
    assert_non_null(strstr(err.what, "at least 65536 tokens, at most 4 fit"));
    assert_null(tokens.ids);
    tokens.failed = false;
    assert_int_equal(flo_tokenize(tiny.vocab, words, strlen(words), 0, &tokens, &err),
                     FLO_E_INFER_TOO_LONG);
    assert_non_null(strstr(err.what, "at least 5 tokens, at most 4 fit"));
    flo_tokens_deinit(&tokens);
    free(text);
    close_tiny(&tiny);
}

static void a_stream_never_shows_half_a_character(void **state)
{
    (void)state;
    static const char text[] = "gr\xc3\xbc\xc3\x9f \xe6\xbc\xa2 \xf0\x9f\x98\x80!";
    struct tiny tiny = open_tiny();
    struct flo_tokens tokens = {0};
    struct flo_text_stream stream = {0};
    struct flo_buf out = {0};
    assert_int_equal(flo_tokenize(tiny.vocab, text, strlen(text), 0, &tokens, NULL), 0);
    assert_true(tokens.count > 10); /* bytes stand alone in this vocabulary */
    for (size_t i = 0; i < tokens.count; i++) {
        flo_text_stream_add(&stream, tiny.vocab, tokens.ids[i], &out);
        assert_int_equal(flo_utf8_valid(out.data, out.bytes), out.bytes);
    }
    flo_text_stream_finish(&stream, &out);
    assert_string_equal(out.data, text);

    /* Cut inside a character: held back, then one replacement. */
    struct flo_buf cut = {0};
    flo_text_stream_add(&stream, tiny.vocab, tokens.ids[0], &cut);
    assert_int_equal(flo_tokenize(tiny.vocab, "\xf0\x9f\x98\x80", 4, 0, &tokens, NULL), 0);
    size_t first = tokens.count - 4;
    for (size_t i = 0; i < 3; i++) {
        size_t before = cut.bytes;
        flo_text_stream_add(&stream, tiny.vocab, tokens.ids[first + i], &cut);
        assert_int_equal(cut.bytes, before);
    }
    flo_text_stream_finish(&stream, &cut);
    assert_string_equal(cut.data + cut.bytes - 3, "\xef\xbf\xbd");
    flo_buf_deinit(&cut);
    flo_buf_deinit(&out);
    flo_tokens_deinit(&tokens);
    close_tiny(&tiny);
}

static void a_generated_tokens_text_allocates_nothing(void **state)
{
    (void)state;
    struct tiny tiny = open_tiny();
    struct flo_text_stream stream = {0};
    struct flo_buf out = {0};
    size_t replaced = 0;
    assert_true(allocations > 0);             /* they are counted */
    for (int round = 0; round < 2; round++) { /* `out` grows in the first */
        allocations = 0;
        for (int32_t id = 0; id < flo_vocab_facts(tiny.vocab)->count; id++) {
            out.bytes = 0;
            flo_text_stream_add(&stream, tiny.vocab, id, &out);
            replaced += out.bytes > 0 && memmem(out.data, out.bytes, "\xef\xbf\xbd", 3) != NULL;
        }
    }
    assert_int_equal(allocations, 0);
    assert_true(replaced > 100); /* bytes that begin no character are there */
    flo_buf_deinit(&out);
    close_tiny(&tiny);
}

static void characters_are_in_their_categories_in_any_locale(void **state)
{
    (void)state;
    static const struct {
        uint32_t code;
        enum flo_unicode_category category;
        bool is_blank;
        uint32_t lower;
    } cases[] = {
        {'a', FLO_UNICODE_LL, false, 'a'},           {'Z', FLO_UNICODE_LU, false, 'z'},
        {'_', FLO_UNICODE_PC, false, '_'},           {'~', FLO_UNICODE_SM, false, '~'},
        {'`', FLO_UNICODE_SK, false, '`'},           {0x2014, FLO_UNICODE_PD, false, 0x2014},
        {'7', FLO_UNICODE_ND, false, '7'},           {' ', FLO_UNICODE_ZS, true, ' '},
        {'\n', FLO_UNICODE_CC, true, '\n'},          {0xe9, FLO_UNICODE_LL, false, 0xe9},
        {0xc9, FLO_UNICODE_LU, false, 0xe9},         {0x5d0, FLO_UNICODE_LO, false, 0x5d0},
        {0x663, FLO_UNICODE_ND, false, 0x663},       {0xbd, FLO_UNICODE_NO, false, 0xbd},
        {0x85, FLO_UNICODE_CC, true, 0x85},          {0xa0, FLO_UNICODE_ZS, true, 0xa0},
        {0x3000, FLO_UNICODE_ZS, true, 0x3000},      {0x3001, FLO_UNICODE_PO, false, 0x3001},
        {0x200b, FLO_UNICODE_CF, false, 0x200b},     {0x301, FLO_UNICODE_MN, false, 0x301},
        {0x410, FLO_UNICODE_LU, false, 0x430},       {0x1f600, FLO_UNICODE_SO, false, 0x1f600},
        {0x10ffff, FLO_UNICODE_CN, false, 0x10ffff},
    };
    for (size_t i = 0; i < FLO_COUNT(cases); i++) {
        assert_int_equal(flo_unicode_category(cases[i].code), cases[i].category);
        assert_int_equal(flo_unicode_is_blank(cases[i].code), cases[i].is_blank);
        assert_int_equal(flo_unicode_to_lower(cases[i].code), cases[i].lower);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pre_tokenizers_cut_like_their_expressions),
        cmocka_unit_test(the_tiny_model_gives_the_golden_ids_and_the_text_back),
        cmocka_unit_test(control_tokens_are_text_unless_asked_for),
        cmocka_unit_test(a_marker_that_crosses_spans_is_not_taken),
        cmocka_unit_test(each_bad_byte_counts_as_a_replacement_character),
        cmocka_unit_test(a_byte_without_a_token_vanishes_in_bpe),
        cmocka_unit_test(a_list_of_ids_has_its_bound),
        cmocka_unit_test(a_megabyte_without_a_blank_is_tokenised),
        cmocka_unit_test(a_text_that_cannot_fit_says_how_many_tokens_it_has),
        cmocka_unit_test(a_stream_never_shows_half_a_character),
        cmocka_unit_test(a_generated_tokens_text_allocates_nothing),
        cmocka_unit_test(characters_are_in_their_categories_in_any_locale),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
