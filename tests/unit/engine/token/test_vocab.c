/* Vocabularies: which are taken, which are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/gguf.h>

#include "engine/token/split.h"
#include "engine/token/token.h"
#include "unit/engine/gguf_make.h"

static const char *const good_tokens[] = {"a", "b", "ab", "<|end|>"};
static const char *const good_merges[] = {"a b"};

struct parts {
    const char *model;
    const char *pre; /* NULL: the key is absent */
    const char *const *tokens;
    size_t token_count;
    uint32_t types; /* of all tokens but the last */
    int32_t type;   /* of the last token; the list has one_less types */
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
    .types = 1,
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
    put_key_texts(&file, "tokenizer.ggml.tokens", parts->tokens, parts->token_count);
    put_key(&file, "tokenizer.ggml.token_type", FLO_GGUF_ARRAY);
    put_u32(&file, FLO_GGUF_I32);
    put_u64(&file, types);
    for (size_t i = 0; i < types; i++) {
        put_u32(&file, i + 1 == types ? (uint32_t)parts->type : parts->types);
    }
    put_key_texts(&file, "tokenizer.ggml.merges", parts->merges, parts->merge_count);
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
    parts.model = "t5";
    assert_int_equal(open_parts(&parts), FLO_E_GGUF_MISSING);
    parts = good;
    parts.model = "rwkv";
    assert_int_equal(open_parts(&parts), FLO_E_NOT_BUILT);
    parts = good;
    parts.pre = "a name that nobody knows";
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
        {"falcon3", "llama-bpe"}, {"pixtral", "llama-bpe"}, {"lfm2", "llama-bpe"},
        {"megrez", "qwen2"},      {"grok-2", "qwen2"},      {"jais", "gpt-2"},
        {"mellum2", "smollm"},
    };
    for (size_t i = 0; i < FLO_COUNT(pairs); i++) {
        const char *found = NULL;
        const struct flo_split_kind *same =
            flo_split_find(pairs[i][1], strlen(pairs[i][1]), &found);
        const struct flo_split_kind *name =
            flo_split_find(pairs[i][0], strlen(pairs[i][0]), &found);
        assert_non_null(name);
        assert_string_equal(found, pairs[i][0]);
        for (size_t e = 0; e < FLO_SPLIT_EXPRESSIONS_MAX; e++) {
            const char *one = name->expressions[e], *other = same->expressions[e];
            assert_string_equal(one != NULL ? one : "", other != NULL ? other : "");
        }
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

/* Each is looked for in the whole text. */
static void more_specials_than_are_looked_for_are_refused(void **state)
{
    (void)state;
    enum { MOST = 65536 };
    char(*texts)[8] = calloc(MOST + 1, sizeof(*texts));
    const char **tokens = calloc(MOST + 1, sizeof(*tokens));
    struct parts parts = good;
    assert_true(texts != NULL && tokens != NULL);
    for (int i = 0; i <= MOST; i++) {
        snprintf(texts[i], sizeof(texts[i]), "%d", i);
        tokens[i] = texts[i];
    }
    parts.tokens = tokens;
    parts.merge_count = 0;
    parts.type = parts.types = 4;
    parts.token_count = MOST;
    assert_int_equal(open_parts(&parts), 0);
    parts.token_count = MOST + 1;
    assert_int_equal(open_parts(&parts), FLO_E_GGUF_VOCAB);
    parts.types = 1;
    assert_int_equal(open_parts(&parts), 0);
    free(tokens);
    free(texts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_vocabulary_that_does_not_fit_is_refused),
        cmocka_unit_test(a_vocabulary_without_a_pre_tokenizer_takes_the_default),
        cmocka_unit_test(other_names_of_a_pre_tokenizer_cut_as_it_does),
        cmocka_unit_test(an_enormous_token_is_refused),
        cmocka_unit_test(more_specials_than_are_looked_for_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
