/* Tokens: words, ids, text back, and what a vocabulary may not be. */
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

/* What the code under test allocates comes here first (the linker's --wrap). */
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

/* "1,2,3" equals the list. */
static bool ids_are(const struct flo_tokens *tokens, const char *text)
{
    size_t count = 0;
    while (*text != '\0' && *text != '\n') {
        char *end;
        long id = strtol(text, &end, 10);
        if (count >= tokens->count || tokens->ids[count] != id) {
            return false;
        }
        count++;
        text = *end == ',' ? end + 1 : end;
    }
    return count == tokens->count;
}

static void pre_tokenizers_cut_like_their_expressions(void **state)
{
    (void)state;
    size_t bytes;
    size_t lines = 0;
    char *data = read_whole("tests/golden/token/split.txt", &bytes);
    assert_non_null(data);
    for (char *kind = strtok(data, " "); kind != NULL;
         kind = strtok(NULL, " ")) {
        char *hex = strtok(NULL, " ");
        char *lengths = strtok(NULL, "\n");
        assert_non_null(lengths);
        const struct flo_split_name *name = flo_split_find(kind, strlen(kind));
        size_t text_bytes;
        char *text = from_hex(hex, strlen(hex), &text_bytes);
        struct flo_split split;
        const char *word;
        size_t word_bytes;
        assert_non_null(name);
        flo_split_init(&split, name, text, text_bytes);
        while (flo_split_next(&split, &word, &word_bytes)) {
            char *end;
            if (strtoul(lengths, &end, 10) != word_bytes) {
                print_message("%s %s at %zu\n", kind, hex, word - text);
            }
            assert_int_equal(strtoul(lengths, &end, 10), word_bytes);
            lengths = *end == ',' ? end + 1 : end;
        }
        assert_int_equal(*lengths, '\0');
        free(text);
        lines++;
    }
    assert_int_equal(lines, 701);
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
            flo_tokenize(tiny.vocab, text, text_bytes, true, &tokens, NULL), 0);
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
    assert_int_equal(
        flo_tokenize(tiny.vocab, text, strlen(text), false, &plain, NULL), 0);
    assert_int_equal(
        flo_tokenize(tiny.vocab, text, strlen(text), true, &special, NULL), 0);
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
        {"<|im_start|>", 12, true, false}, {"<|im_", 5, true, false},
        {"end|>", 5, false, false},        {"<|im_end|>", 10, false, true},
        {"<|im_end|>", 10, true, false},
    };
    struct tiny tiny = open_tiny();
    struct flo_tokens tokens = {0};
    size_t ends = 0;
    assert_int_equal(
        flo_tokenize_spans(tiny.vocab, spans, FLO_COUNT(spans), &tokens, NULL),
        0);
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
        {"\xf4\x90\x80\x80", 4,
         "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
    };
    struct tiny tiny = open_tiny();
    for (size_t i = 0; i < FLO_COUNT(cases); i++) {
        struct flo_tokens a = {0};
        struct flo_tokens b = {0};
        char *exact = malloc(cases[i].bytes);
        assert_non_null(exact);
        memcpy(exact, cases[i].bad, cases[i].bytes);
        assert_int_equal(
            flo_tokenize(tiny.vocab, exact, cases[i].bytes, false, &a, NULL),
            0);
        assert_int_equal(flo_tokenize(tiny.vocab, cases[i].good,
                                      strlen(cases[i].good), false, &b, NULL),
                         0);
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
        assert_int_equal(flo_tokenize(tiny.vocab, cases[i].text,
                                      strlen(cases[i].text), false, &ids, NULL),
                         0);
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
    assert_int_equal(flo_tokenize(tiny.vocab, "1234", 4, false, &tokens, &err),
                     0);
    flo_tokens_deinit(&tokens);
    tokens.count_max = 4;
    assert_int_equal(flo_tokenize(tiny.vocab, "12345", 5, false, &tokens, &err),
                     FLO_E_INFER_TOO_LONG);
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
    assert_int_equal(
        flo_tokenize(tiny.vocab, text, bytes, false, &tokens, NULL), 0);
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
    assert_int_equal(
        flo_tokenize(tiny.vocab, text, bytes, false, &tokens, &err),
        FLO_E_INFER_TOO_LONG);
    assert_non_null(strstr(err.what, "at least 65536 tokens, at most 4 fit"));
    assert_null(tokens.ids);
    tokens.failed = false;
    assert_int_equal(
        flo_tokenize(tiny.vocab, words, strlen(words), false, &tokens, &err),
        FLO_E_INFER_TOO_LONG);
    assert_non_null(strstr(err.what, "at least 5 tokens, at most 4 fit"));
    flo_tokens_deinit(&tokens);
    free(text);
    close_tiny(&tiny);
}

static void a_stream_never_shows_half_a_character(void **state)
{
    (void)state;
    static const char text[] =
        "gr\xc3\xbc\xc3\x9f \xe6\xbc\xa2 \xf0\x9f\x98\x80!";
    struct tiny tiny = open_tiny();
    struct flo_tokens tokens = {0};
    struct flo_text_stream stream = {0};
    struct flo_buf out = {0};
    assert_int_equal(
        flo_tokenize(tiny.vocab, text, strlen(text), false, &tokens, NULL), 0);
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
    assert_int_equal(
        flo_tokenize(tiny.vocab, "\xf0\x9f\x98\x80", 4, false, &tokens, NULL),
        0);
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
            replaced += out.bytes > 0 &&
                        memmem(out.data, out.bytes, "\xef\xbf\xbd", 3) != NULL;
        }
    }
    assert_int_equal(allocations, 0);
    assert_true(replaced > 100); /* bytes that begin no character are there */
    flo_buf_deinit(&out);
    close_tiny(&tiny);
}

/* ---- bad vocabularies ---- */

static const char *const good_tokens[] = {"a", "b", "ab", "<|end|>"};
static const char *const good_merges[] = {"a b"};

struct parts {
    const char *model;
    const char *pre; /* NULL: the key is absent */
    const char *const *tokens;
    size_t token_count;
    int32_t type; /* of the last token; the list has one_less types */
    size_t one_less;
    const char *const *merges;
    size_t merge_count;
    uint32_t bos;
    bool bos_is_signed;
};

static const struct parts good = {
    .model = "gpt2",
    .pre = "gpt-2",
    .tokens = good_tokens,
    .token_count = 4,
    .type = 3,
    .merges = good_merges,
    .merge_count = 1,
};

static int open_parts(const struct parts *parts)
{
    struct flo_buf file = {0};
    struct flo_gguf *gguf = NULL;
    struct flo_vocab *vocab = NULL;
    struct flo_err err = {0};
    size_t types = parts->token_count - parts->one_less;
    put_head(&file, 0, 6);
    put_key_text(&file, "tokenizer.ggml.model", parts->model);
    put_key_text(&file, parts->pre != NULL ? "tokenizer.ggml.pre" : "unused",
                 parts->pre != NULL ? parts->pre : "");
    put_key_texts(&file, "tokenizer.ggml.tokens", parts->tokens,
                  parts->token_count);
    put_key(&file, "tokenizer.ggml.token_type", FLO_GGUF_ARRAY);
    put_u32(&file, FLO_GGUF_I32);
    put_u64(&file, types);
    for (size_t i = 0; i < types; i++) {
        put_u32(&file, i + 1 == types ? (uint32_t)parts->type : 1);
    }
    put_key_texts(&file, "tokenizer.ggml.merges", parts->merges,
                  parts->merge_count);
    put_key(&file, "tokenizer.ggml.bos_token_id",
            parts->bos_is_signed ? FLO_GGUF_I32 : FLO_GGUF_U32);
    put_u32(&file, parts->bos);
    assert_int_equal(flo_gguf_open(file.data, file.bytes, &gguf, &err), 0);
    int rv = flo_vocab_open(gguf, &vocab, &err);
    flo_vocab_close(vocab);
    flo_gguf_close(gguf);
    flo_buf_deinit(&file);
    return rv;
}

static void a_vocabulary_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    static const char *const twice[] = {"a", "b", "ab", "a"};
    static const char *const byte[] = {"a", "b", "ab", "<0x-1>"};
    static const char *const byte_zz[] = {"a", "b", "ab", "<0xZZ>"};
    static const char *const unknown[] = {"a c"};
    static const char *const no_pair[] = {"ab"};
    static const char *const no_join[] = {"b a"};
    struct parts parts = good;
    assert_int_equal(open_parts(&parts), 0);

    parts.tokens = twice;
    assert_int_equal(open_parts(&parts), FLO_E_GGUF_VOCAB);
    parts = good;
    parts.type = 6;
    parts.tokens = byte;
    assert_int_equal(open_parts(&parts), FLO_E_GGUF_VOCAB);
    parts.tokens = byte_zz;
    assert_int_equal(open_parts(&parts), FLO_E_GGUF_VOCAB);
    parts = good;
    parts.type = 7;
    assert_int_equal(open_parts(&parts), FLO_E_GGUF_VOCAB);
    parts = good;
    parts.one_less = 1;
    assert_int_equal(open_parts(&parts), FLO_E_GGUF_VOCAB);
    parts = good;
    parts.token_count = 0;
    assert_int_equal(open_parts(&parts), FLO_E_GGUF_VOCAB);
    parts = good;
    parts.merges = unknown;
    assert_int_equal(open_parts(&parts), FLO_E_GGUF_VOCAB);
    parts.merges = no_pair;
    assert_int_equal(open_parts(&parts), FLO_E_GGUF_VOCAB);
    parts.merges = no_join;
    assert_int_equal(open_parts(&parts), FLO_E_GGUF_VOCAB);
    parts = good;
    parts.bos = 4;
    assert_int_equal(open_parts(&parts), FLO_E_GGUF_VOCAB);
    parts.bos = UINT32_MAX;
    assert_int_equal(open_parts(&parts), FLO_E_GGUF_VOCAB);
    parts.bos_is_signed = true;
    assert_int_equal(open_parts(&parts), FLO_E_GGUF_VOCAB);
    parts = good;
    parts.model = "llama"; /* without scores */
    assert_int_equal(open_parts(&parts), FLO_E_GGUF_MISSING);
    parts = good;
    parts.model = "t5";
    assert_int_equal(open_parts(&parts), FLO_E_NOT_BUILT);
    parts = good;
    parts.pre = "bloom";
    assert_int_equal(open_parts(&parts), FLO_E_NOT_BUILT);
}

static void a_vocabulary_without_a_pre_tokenizer_takes_the_default(void **state)
{
    (void)state;
    static const char *const names[] = {NULL, "", "default"};
    struct parts parts = good;
    for (size_t i = 0; i < FLO_COUNT(names); i++) {
        parts.pre = names[i];
        assert_int_equal(open_parts(&parts), 0);
    }
}

static void other_names_of_a_pre_tokenizer_cut_as_it_does(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"falcon3", "llama-bpe"}, {"pixtral", "llama-bpe"},
        {"lfm2", "llama-bpe"},    {"megrez", "qwen2"},
        {"grok-2", "qwen2"},      {"jais", "gpt-2"},
        {"mellum2", "smollm"},
    };
    for (size_t i = 0; i < FLO_COUNT(pairs); i++) {
        const struct flo_split_name *name =
            flo_split_find(pairs[i][0], strlen(pairs[i][0]));
        const struct flo_split_name *same =
            flo_split_find(pairs[i][1], strlen(pairs[i][1]));
        assert_non_null(name);
        assert_ptr_equal(name->expressions, same->expressions);
        assert_int_equal(name->prefers_whole, same->prefers_whole);
        assert_int_equal(name->adds_bos, same->adds_bos);
    }
}

static void an_enormous_token_is_refused(void **state)
{
    (void)state;
    char *text = malloc(FLO_TOKEN_BYTES_MAX + 2);
    assert_non_null(text);
    memset(text, 'x', FLO_TOKEN_BYTES_MAX + 1);
    text[FLO_TOKEN_BYTES_MAX + 1] = '\0';
    const char *tokens[] = {"a", "b", "ab", text};
    struct parts parts = good;
    parts.tokens = tokens;
    assert_int_equal(open_parts(&parts), FLO_E_GGUF_VOCAB);
    text[FLO_TOKEN_BYTES_MAX] = '\0';
    assert_int_equal(open_parts(&parts), 0);
    free(text);
}

static void characters_are_in_their_sets_in_any_locale(void **state)
{
    (void)state;
    static const struct {
        uint32_t code;
        unsigned are;
    } cases[] = {
        {'a', FLO_UNICODE_LOWER | FLO_UNICODE_CASED | FLO_UNICODE_MARK},
        {'Z', FLO_UNICODE_UPPER | FLO_UNICODE_CASED | FLO_UNICODE_MARK},
        {'_', FLO_UNICODE_SIGN | FLO_UNICODE_MARK | FLO_UNICODE_PUNCTUATION},
        {'~', FLO_UNICODE_SIGN | FLO_UNICODE_MARK | FLO_UNICODE_PUNCTUATION},
        {'`', FLO_UNICODE_SIGN | FLO_UNICODE_MARK},
        {0x2014,
         FLO_UNICODE_SIGN | FLO_UNICODE_PUNCTUATION | FLO_UNICODE_IDEOGRAPH},

        {'7', FLO_UNICODE_NUMBER | FLO_UNICODE_DIGIT},
        {' ', FLO_UNICODE_INLINE | FLO_UNICODE_SPACE},
        {'\n', FLO_UNICODE_NEWLINE},
        {0xe9, FLO_UNICODE_LETTER | FLO_UNICODE_CASED},
        {0x5d0, FLO_UNICODE_LETTER},
        {0x663, FLO_UNICODE_NUMBER},
        {0x966, FLO_UNICODE_NUMBER | FLO_UNICODE_IDEOGRAPH},
        {0xbd, FLO_UNICODE_NUMBER},
        {0x85, FLO_UNICODE_INLINE},
        {0xa0, FLO_UNICODE_INLINE},
        {0x2003, FLO_UNICODE_INLINE},
        {0x3000, FLO_UNICODE_INLINE},
        {'/', FLO_UNICODE_SIGN | FLO_UNICODE_SLASH | FLO_UNICODE_MARK |
                  FLO_UNICODE_PUNCTUATION},
        {0x3001, FLO_UNICODE_SIGN | FLO_UNICODE_MARK | FLO_UNICODE_IDEOGRAPH |
                     FLO_UNICODE_PUNCTUATION},
        {0x200b, FLO_UNICODE_SIGN | FLO_UNICODE_IDEOGRAPH},
        {0x301, FLO_UNICODE_SIGN},
        {0x6f22, FLO_UNICODE_LETTER | FLO_UNICODE_IDEOGRAPH},
        {0x1f600, FLO_UNICODE_SIGN},
        {0x10ffff, FLO_UNICODE_SIGN},
        {0xad, FLO_UNICODE_SIGN},
    };
    for (size_t i = 0; i < FLO_COUNT(cases); i++) {
        assert_int_equal(flo_unicode_sets(cases[i].code), cases[i].are);
    }
    for (uint32_t code = 0; code < 0x110000; code++) {
        char text[4];
        size_t taken;
        if (code >= 0xd800 && code < 0xe000) {
            continue;
        }
        size_t bytes = flo_utf8_put(code, text);
        assert_int_equal(flo_utf8_next(text, bytes, &taken), code);
        assert_int_equal(taken, bytes);
    }
}

/* ---- SPM ---- */

struct spm_case {
    const char *text;
    size_t bytes;
    bool is_special;
    const char *ids;
};

/* 0-2 unk, bos, eos; 3 a user-defined mark; 4-259 bytes; then pieces. */
static struct tiny open_spm(const char *name, bool adds_space,
                            struct flo_buf *file)
{
    static const struct {
        const char *text;
        float score;
    } pieces[] = {
        {"\xe2\x96\x81", -9}, /* 260 blank */
        {"a", -10},           /* 261 */
        {"b", -11},           /* 262 */
        {"ab", -2},           /* 263 */
        {"\xe2\x96\x81"
         "ab",
         -3},              /* 264 */
        {"ba", -1},        /* 265 */
        {"\xc3\xa9", -12}, /* 266 e acute */
        {"aa", -4},        /* 267 */
        {"aaa", -4},       /* 268 */
    };
    struct tiny tiny = {0};
    size_t count = 260 + FLO_COUNT(pieces);
    put_head(file, 0, 6);
    put_key_text(file, "tokenizer.ggml.model", "llama");
    put_key_text(file, "general.name", name);
    put_key(file, "tokenizer.ggml.tokens", FLO_GGUF_ARRAY);
    put_u32(file, FLO_GGUF_STRING);
    put_u64(file, count);
    put_text(file, "<unk>");
    put_text(file, "<s>");
    put_text(file, "</s>");
    put_text(file, "<|user|>");
    for (unsigned byte = 0; byte < 256; byte++) {
        char text[8];
        snprintf(text, sizeof(text), "<0x%02X>", byte);
        put_text(file, text);
    }
    for (size_t i = 0; i < FLO_COUNT(pieces); i++) {
        put_text(file, pieces[i].text);
    }
    put_key(file, "tokenizer.ggml.token_type", FLO_GGUF_ARRAY);
    put_u32(file, FLO_GGUF_I32);
    put_u64(file, count);
    for (uint32_t id = 0; id < count; id++) {
        put_u32(file, id == 0    ? 2
                      : id < 3   ? 3
                      : id == 3  ? 4
                      : id < 260 ? 6
                                 : 1);
    }
    put_key(file, "tokenizer.ggml.scores", FLO_GGUF_ARRAY);
    put_u32(file, FLO_GGUF_F32);
    put_u64(file, count);
    for (size_t id = 0; id < count; id++) {
        float score = id < 260 ? 0 : pieces[id - 260].score;
        uint32_t bits;
        memcpy(&bits, &score, sizeof(bits));
        put_u32(file, bits);
    }
    put_key(file, "tokenizer.ggml.add_space_prefix", FLO_GGUF_BOOL);
    flo_buf_add(file, adds_space ? "\1" : "\0", 1);
    assert_int_equal(flo_gguf_open(file->data, file->bytes, &tiny.gguf, NULL),
                     0);
    assert_int_equal(flo_vocab_open(tiny.gguf, &tiny.vocab, NULL), 0);
    return tiny;
}

static void check_spm(const char *name, bool adds_space,
                      const struct spm_case *cases, size_t count)
{
    struct flo_buf file = {0};
    struct tiny tiny = open_spm(name, adds_space, &file);
    for (size_t i = 0; i < count; i++) {
        struct flo_tokens tokens = {0};
        assert_int_equal(flo_tokenize(tiny.vocab, cases[i].text, cases[i].bytes,
                                      cases[i].is_special, &tokens, NULL),
                         0);
        if (!ids_are(&tokens, cases[i].ids)) {
            print_message("case %zu: '%s'\n", i, cases[i].text);
        }
        assert_true(ids_are(&tokens, cases[i].ids));
        flo_tokens_deinit(&tokens);
    }
    close_tiny(&tiny);
    flo_buf_deinit(&file);
}

static void spm_merges_by_score_and_falls_back_to_bytes(void **state)
{
    (void)state;
    static const struct spm_case cases[] = {
        {"", 0, false, ""},
        {"", 0, true, "1"},
        {"ab", 2, false, "264"},
        {"ab", 2, true, "1,264"},
        {" ab", 3, false, "260,264"},
        {"aba", 3, false, "260,261,265"},  /* ba before ab */
        {"aaaa", 4, false, "260,268,261"}, /* leftmost first */
        {"\xc3\xa9", 2, false, "260,266"},
        {"\xe6\xbc\xa2", 3, false, "260,234,192,166"},
        {"\xc3", 1, false, "260,199"},
        /* A lead byte claims the bytes behind it, letters or not. */
        {"\xe2"
         "ab",
         3, false, "260,230,101,102"},
        {"a\0b", 3, false, "260,261,4,262"},
        {"</s>", 4, false, "260,64,51,119,66"},
        {"</s>ab", 6, true, "1,2,264"},
        {"ab<|user|> ab", 13, false, "264,3,260,264"},
    };
    check_spm("x", true, cases, FLO_COUNT(cases));
}

static void spm_puts_a_blank_in_front_only_when_told(void **state)
{
    (void)state;
    static const struct spm_case cases[] = {
        {"ab", 2, false, "263"},
        {" ab", 3, false, "264"},
        {"</s>ab", 6, true, "1,2,263"},
    };
    check_spm("x", false, cases, FLO_COUNT(cases));
}

static void phi3_takes_the_blanks_behind_its_marks_away(void **state)
{
    (void)state;
    static const struct spm_case cases[] = {
        {"<|user|> \n ab", 13, false, "3,264"},
        {"</s>\n", 5, true, "1,2"},
        {"<s> ab", 6, true, "1,1,260,264"}, /* not behind the beginning */
    };
    check_spm("Phi-3 mini", true, cases, FLO_COUNT(cases));
}

static void a_mark_in_a_message_is_text_even_when_user_defined(void **state)
{
    (void)state;
    struct flo_buf file = {0};
    struct tiny tiny = open_spm("x", false, &file);
    const struct flo_text_span spans[] = {{"<|user|>", 8, true, false},
                                          {"<|user|>ab", 10, false, true}};
    struct flo_tokens tokens = {0};
    assert_int_equal(flo_tokenize_spans(tiny.vocab, spans, 2, &tokens, NULL),
                     0);
    assert_true(ids_are(&tokens, "3,64,128,121,119,105,118,128,66,263"));
    flo_tokens_deinit(&tokens);
    close_tiny(&tiny);
    flo_buf_deinit(&file);
}

static void spm_pieces_come_back_as_text(void **state)
{
    (void)state;
    struct flo_buf file = {0};
    struct flo_buf text = {0};
    struct tiny tiny = open_spm("x", true, &file);
    static const int32_t ids[] = {264, 260, 261, 234, 192, 166, 2};
    struct flo_text_stream stream = {0};
    for (size_t i = 0; i < FLO_COUNT(ids); i++) {
        flo_text_stream_add(&stream, tiny.vocab, ids[i], &text);
    }
    assert_string_equal(text.data, " ab a\xe6\xbc\xa2");
    flo_buf_deinit(&text);
    close_tiny(&tiny);
    flo_buf_deinit(&file);
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
        cmocka_unit_test(a_vocabulary_that_does_not_fit_is_refused),
        cmocka_unit_test(
            a_vocabulary_without_a_pre_tokenizer_takes_the_default),
        cmocka_unit_test(other_names_of_a_pre_tokenizer_cut_as_it_does),
        cmocka_unit_test(an_enormous_token_is_refused),
        cmocka_unit_test(spm_merges_by_score_and_falls_back_to_bytes),
        cmocka_unit_test(spm_puts_a_blank_in_front_only_when_told),
        cmocka_unit_test(phi3_takes_the_blanks_behind_its_marks_away),
        cmocka_unit_test(a_mark_in_a_message_is_text_even_when_user_defined),
        cmocka_unit_test(spm_pieces_come_back_as_text),
        cmocka_unit_test(characters_are_in_their_sets_in_any_locale),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
