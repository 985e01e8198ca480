/* Encoders: WordPiece, Unigram and pairs; normal forms; splits, normalizers
 * and steps that a file brings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include <flotilla/errors/gguf.h>

#include "engine/token/charsmap.h"
#include "engine/token/normalize.h"
#include "engine/token/token.h"
#include "unit/engine/gguf_make.h"

#define BLANK "\xe2\x96\x81"

/* A file in the making. */
struct made {
    struct flo_buf file, keys;
    uint64_t key_count;
    struct flo_gguf *gguf;
    struct flo_vocab *vocab;
};

static void add_text(struct made *m, const char *key, const char *text)
{
    put_key_text(&m->keys, key, text);
    m->key_count++;
}

static void add_bool(struct made *m, const char *key, bool value)
{
    char byte = value;
    put_key(&m->keys, key, FLO_GGUF_BOOL);
    flo_buf_add(&m->keys, &byte, 1);
    m->key_count++;
}

static void add_u32(struct made *m, const char *key, uint32_t value)
{
    put_key_u32(&m->keys, key, value);
    m->key_count++;
}

static void add_list(struct made *m, const char *key, uint32_t type, const uint32_t *items,
                     size_t count)
{
    put_key(&m->keys, key, FLO_GGUF_ARRAY);
    put_u32(&m->keys, type);
    put_u64(&m->keys, count);
    for (size_t i = 0; i < count; i++) {
        put_u32(&m->keys, items[i]);
    }
    m->key_count++;
}

/* Adds the tokens, the first `controls` of which are control tokens. */
static void add_tokens(struct made *m, const char *const *tokens, size_t count,
                       size_t control_count)
{
    uint32_t types[64];
    assert_true(count <= FLO_COUNT(types));
    for (size_t i = 0; i < count; i++) {
        types[i] = i < control_count ? 3 : 1;
    }
    put_key_texts(&m->keys, "tokenizer.ggml.tokens", tokens, count);
    m->key_count++;
    add_list(m, "tokenizer.ggml.token_type", FLO_GGUF_I32, types, count);
}

static int finish(struct made *m, struct flo_err *err)
{
    put_head(&m->file, 0, m->key_count);
    flo_buf_add(&m->file, m->keys.data, m->keys.bytes);
    assert_int_equal(flo_gguf_open(m->file.data, m->file.bytes, &m->gguf, err), 0);
    return flo_vocab_open(m->gguf, &m->vocab, err);
}

static void drop(struct made *m)
{
    flo_vocab_close(m->vocab);
    flo_gguf_close(m->gguf);
    flo_buf_deinit(&m->file);
    flo_buf_deinit(&m->keys);
    *m = (struct made){0};
}

/* Ends a file that must be refused. */
static void refuse(struct made *m, int wanted)
{
    struct flo_err err = {0};
    assert_int_equal(finish(m, &err), wanted);
    assert_true(err.what[0] != '\0');
    drop(m);
}

static void expect(const struct made *m, const char *text, unsigned flags, const char *ids)
{
    struct flo_tokens tokens = {0};
    char got[256] = "";
    size_t at = 0;
    assert_int_equal(flo_tokenize(m->vocab, text, strlen(text), flags, &tokens, NULL), 0);
    for (size_t i = 0; i < tokens.count && at < sizeof(got); i++) {
        at += (size_t)snprintf(got + at, sizeof(got) - at, "%s%d", i > 0 ? " " : "", tokens.ids[i]);
    }
    flo_tokens_deinit(&tokens);
    if (strcmp(got, ids) != 0) {
        fail_msg("'%s' gives %s, not %s", text, got, ids);
    }
}

/* ---- WordPiece ---- */

static const char *const bert_tokens[] = {
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    BLANK "the",
    "re",
    BLANK "re",
    BLANK "r",
    BLANK "!",
    BLANK "$",
    BLANK "e",
    "e",
    BLANK "\xe6\xbc\xa2",
    BLANK "\xe1\x84\x92",
    "\xe1\x85\xa1",
    "\xe1\x86\xab",
    BLANK "\xc3\xa9",
};

static void add_bert(struct made *m)
{
    add_text(m, "tokenizer.ggml.model", "bert");
    add_tokens(m, bert_tokens, FLO_COUNT(bert_tokens), 5);
    add_u32(m, "tokenizer.ggml.bos_token_id", 2);
    add_u32(m, "tokenizer.ggml.seperator_token_id", 3);
    add_u32(m, "tokenizer.ggml.unknown_token_id", 1);
}

static void words_are_cut_into_the_longest_tokens(void **state)
{
    struct made m = {0};
    (void)state;
    add_bert(&m);
    assert_int_equal(finish(&m, NULL), 0);
    expect(&m, "there re\t RE rre", 0, "5 6 7 7 8 6");
    expect(&m, "", FLO_TEXT_ENDS, "2 3");
    expect(&m, "the", FLO_TEXT_ENDS, "2 5 3");
    /* a rest that is no token makes the word unknown */
    expect(&m, "rez the", 0, "1 5");
    /* signs and ideographs stand alone; a currency sign only in ASCII */
    expect(&m, "the!!$re", 0, "5 9 9 10 7");
    expect(&m, "re\xe6\xbc\xa2re", 0, "7 13 7");
    expect(&m, "re\xe2\x82\xac", 0, "1");
    /* accents and control characters are dropped, Hangul is letters */
    expect(&m,
           "\xc3\x89 e\xcc\x81 r\xe2\x80\x8d"
           "e",
           0, "11 11 7");
    expect(&m, "\xed\x95\x9c", 0, "14 15 16");
    /* U+0085 is no blank here; U+2581 inside a word begins no token */
    expect(&m,
           "r\xc2\x85"
           "e\v",
           0, "7");
    expect(&m, "re" BLANK "re", 0, "1");
    expect(&m, "[MASK]the", 0, "1 1 1 5");
    expect(&m, "[MASK]the", FLO_TEXT_SPECIAL, "4 5");
    drop(&m);
}

static void a_cased_vocabulary_keeps_case_and_accents(void **state)
{
    struct made m = {0};
    (void)state;
    add_bert(&m);
    add_bool(&m, "tokenizer.ggml.normalizer.lowercase", false);
    assert_int_equal(finish(&m, NULL), 0);
    expect(&m, "the The \xc3\xa9 \xed\x95\x9c", 0, "5 1 17 1");
    drop(&m);
}

static void a_long_word_is_unknown(void **state)
{
    struct made m = {0};
    char text[512];
    (void)state;
    add_bert(&m);
    assert_int_equal(finish(&m, NULL), 0);
    memset(text, 'e', sizeof(text));
    text[101] = '\0';
    expect(&m, text, 0, "1");
    text[100] = '\0';
    struct flo_tokens tokens = {0};
    assert_int_equal(flo_tokenize(m.vocab, text, 100, 0, &tokens, NULL), 0);
    assert_int_equal(tokens.count, 100);
    flo_tokens_deinit(&tokens);
    drop(&m);
    add_bert(&m);
    add_u32(&m, "flotilla.tokenizer.word_chars_max", 257);
    refuse(&m, FLO_E_GGUF_VOCAB);
}

/* ---- Unigram ---- */

static const char *const xlmr_tokens[] = {
    "<s>", "<pad>", "</s>", "<unk>", BLANK, BLANK "a", "a", "b", "ab", BLANK "ab", "ba", "aba",
};
static const float xlmr_scores[] = {0, 0, 0, 0, -3, -4, -5, -6, -7, -20, -6.5f, -30};

/* The array: 'x' is replaced by "ab", U+3000 and a tab by a blank. */
static size_t make_charsmap(uint8_t *out)
{
    static const char texts[] = "ab\0 ";
    uint32_t words[1024] = {0};
    /* root base 0x100; 'x' is at 0x100 ^ 'x', its value at that ^ 1 */
    words[0] = 0x100u << 10;
    words[0x100 ^ 'x'] = 1u << 10 | 1u << 8 | 'x';
    words[(0x100 ^ 'x') ^ 1] = 0x80000000u | 0;
    words[0x100 ^ '\t'] = 1u << 10 | 1u << 8 | '\t';
    words[(0x100 ^ '\t') ^ 1] = 0x80000000u | 3;
    flo_put_u32(out, sizeof(words));
    for (size_t i = 0; i < FLO_COUNT(words); i++) {
        flo_put_u32(out + 4 + 4 * i, words[i]);
    }
    memcpy(out + 4 + sizeof(words), texts, sizeof(texts));
    return 4 + sizeof(words) + sizeof(texts);
}

static void add_charsmap(struct made *m, const uint8_t *data, size_t bytes)
{
    put_key(&m->keys, "tokenizer.ggml.precompiled_charsmap", FLO_GGUF_ARRAY);
    put_u32(&m->keys, FLO_GGUF_U8);
    put_u64(&m->keys, bytes);
    flo_buf_add(&m->keys, data, bytes);
    m->key_count++;
}

static void add_xlmr(struct made *m)
{
    uint32_t scores[FLO_COUNT(xlmr_scores)];
    memcpy(scores, xlmr_scores, sizeof(scores));
    add_text(m, "tokenizer.ggml.model", "t5");
    add_tokens(m, xlmr_tokens, FLO_COUNT(xlmr_tokens), 4);
    add_list(m, "tokenizer.ggml.scores", FLO_GGUF_F32, scores, FLO_COUNT(scores));
    add_u32(m, "tokenizer.ggml.bos_token_id", 0);
    add_u32(m, "tokenizer.ggml.eos_token_id", 2);
    add_u32(m, "tokenizer.ggml.unknown_token_id", 3);
    add_u32(m, "tokenizer.ggml.seperator_token_id", 2);
    add_bool(m, "tokenizer.ggml.add_bos_token", true);
    add_bool(m, "tokenizer.ggml.add_sep_token", true);
}

static void a_text_becomes_its_most_likely_tokens(void **state)
{
    struct made m = {0};
    uint8_t map[8192];
    (void)state;
    add_xlmr(&m);
    add_charsmap(&m, map, make_charsmap(map));
    assert_int_equal(finish(&m, NULL), 0);
    expect(&m, "a", 0, "5");
    /* _ ab is -10 and _a b too: the way that was found first stays */
    expect(&m, "ab", 0, "4 8");
    expect(&m, "aba", 0, "5 10");
    expect(&m, "  a   a ", 0, "5 5");
    /* replaced: x by ab, a tab by a blank */
    expect(&m, "xa\ta", 0, "5 10 5");
    /* neighbouring unknown characters are one token */
    expect(&m, "a\xc3\xa9\xc3\xa9z b", 0, "5 3 4 7");
    /* a replaced character takes its marks along, if both are short; a control
     * character has no marks */
    expect(&m, "x\xcc\x81", 0, "4 8");
    expect(&m, "x\xcc\x81\xcc\x81\xcc\x81", 0, "4 8 3");
    expect(&m, "a\t\xcc\x81", 0, "5 4 3");
    expect(&m,
           "a\xc2\x85"
           "a",
           0, "5 5");
    expect(&m, " ", FLO_TEXT_ENDS, "0 2");
    expect(&m, "a</s>b", FLO_TEXT_SPECIAL | FLO_TEXT_ENDS, "0 5 2 4 7 2");
    drop(&m);
}

static void blanks_are_kept_if_the_file_says_so(void **state)
{
    struct made m = {0};
    (void)state;
    add_xlmr(&m);
    add_bool(&m, "tokenizer.ggml.remove_extra_whitespaces", false);
    assert_int_equal(finish(&m, NULL), 0);
    expect(&m, "a  b", 0, "5 4 4 7");
    drop(&m);
}

static void a_long_text_takes_the_same_ways(void **state)
{
    struct made m = {0};
    struct flo_tokens tokens = {0};
    static char text[100000];
    (void)state;
    add_xlmr(&m);
    assert_int_equal(finish(&m, NULL), 0);
    memset(text, 'a', sizeof(text));
    assert_int_equal(flo_tokenize(m.vocab, text, sizeof(text), 0, &tokens, NULL), 0);
    assert_int_equal(tokens.count, sizeof(text));
    assert_int_equal(tokens.ids[0], 5);
    assert_int_equal(tokens.ids[sizeof(text) - 1], 6);
    flo_tokens_deinit(&tokens);
    drop(&m);
}

static void a_broken_table_of_replacements_is_refused(void **state)
{
    struct flo_charsmap out;
    uint8_t map[8192];
    size_t bytes = make_charsmap(map);
    (void)state;
    assert_int_equal(flo_charsmap_open(map, bytes, &out, NULL), 0);
    assert_int_equal(flo_charsmap_open(map, bytes - 1, &out, NULL), FLO_E_GGUF_VOCAB);
    assert_int_equal(flo_charsmap_open(map, 3, &out, NULL), FLO_E_GGUF_VOCAB);
    flo_put_u32(map, (uint32_t)bytes - 4);
    assert_int_equal(flo_charsmap_open(map, bytes, &out, NULL), FLO_E_GGUF_VOCAB);
    flo_put_u32(map, 4097);
    assert_int_equal(flo_charsmap_open(map, bytes, &out, NULL), FLO_E_GGUF_VOCAB);
}

static void scores_that_are_no_numbers_end_no_text(void **state)
{
    static const uint32_t scores[12] = {0, 0, 0, 0, 0xff800000u, 0x7fc00000u, 0x7f800000u};
    struct made m = {0};
    struct flo_tokens tokens = {0};
    (void)state;
    add_text(&m, "tokenizer.ggml.model", "t5");
    add_tokens(&m, xlmr_tokens, FLO_COUNT(xlmr_tokens), 4);
    add_list(&m, "tokenizer.ggml.scores", FLO_GGUF_F32, scores, FLO_COUNT(scores));
    assert_int_equal(finish(&m, NULL), 0);
    assert_int_equal(flo_tokenize(m.vocab, "aab zz", 6, 0, &tokens, NULL), 0);
    assert_true(tokens.count > 0);
    flo_tokens_deinit(&tokens);
    drop(&m);
}

/* ---- pairs ---- */

static void expect_pair(const struct made *m, const char *first, const char *second,
                        const char *wanted)
{
    struct flo_text_pair pair = {first, second, strlen(first), second != NULL ? strlen(second) : 0};
    struct flo_tokens tokens = {0};
    struct flo_buf segments = {.bytes_max = 4096};
    char got[256] = "";
    size_t at = 0;
    assert_int_equal(flo_tokenize_pair(m->vocab, &pair, &tokens, &segments, NULL), 0);
    assert_int_equal(tokens.count, segments.bytes);
    for (size_t i = 0; i < tokens.count; i++) {
        at += (size_t)snprintf(got + at, sizeof(got) - at, "%s%d%s", i > 0 ? " " : "",
                               tokens.ids[i], segments.data[i] != 0 ? "'" : "");
    }
    assert_string_equal(got, wanted);
    flo_tokens_deinit(&tokens);
    flo_buf_deinit(&segments);
}

static void a_pair_has_the_special_tokens_of_its_model(void **state)
{
    struct made m = {0};
    (void)state;
    add_bert(&m);
    assert_int_equal(finish(&m, NULL), 0);
    expect_pair(&m, "the", "re", "2 5 3 7' 3'");
    expect_pair(&m, "the", NULL, "2 5 3");
    expect_pair(&m, "[SEP]", "", "2 1 1 1 3 3'");
    drop(&m);
    add_xlmr(&m);
    assert_int_equal(finish(&m, NULL), 0);
    expect_pair(&m, "a", "b", "0 5 2 2 4 7 2");
    drop(&m);
}

static void a_file_may_bring_the_form_of_pairs(void **state)
{
    static const uint32_t items[] = {4, (uint32_t)-1, 3, (uint32_t)-2}, types[] = {0, 0, 0, 1};
    static const uint32_t strange[] = {(uint32_t)-3}, beyond[] = {18}, third[] = {2, 0, 0, 0};
    static const uint32_t odd[] = {0, 0, 1, 1}, none[] = {4};
    const struct flo_text_pair pair = {"the", "re", 3, 2};
    struct flo_tokens tokens = {0};
    struct flo_buf segments = {.bytes_max = 4096};
    struct made m = {0};
    (void)state;
    add_bert(&m);
    add_list(&m, "flotilla.tokenizer.pair", FLO_GGUF_I32, items, 4);
    add_list(&m, "flotilla.tokenizer.pair_types", FLO_GGUF_I32, types, 4);
    assert_int_equal(finish(&m, NULL), 0);
    expect_pair(&m, "the", "re", "4 5 3 7'");
    drop(&m);
    /* other segments than the engine's are refused where a pair comes */
    add_bert(&m);
    add_list(&m, "flotilla.tokenizer.pair", FLO_GGUF_I32, items, 4);
    add_list(&m, "flotilla.tokenizer.pair_types", FLO_GGUF_I32, odd, 4);
    assert_int_equal(finish(&m, NULL), 0);
    expect(&m, "the", FLO_TEXT_ENDS, "2 5 3");
    assert_int_equal(flo_tokenize_pair(m.vocab, &pair, &tokens, &segments, NULL), FLO_E_NOT_BUILT);
    drop(&m);
    add_bert(&m);
    add_list(&m, "flotilla.tokenizer.pair", FLO_GGUF_I32, none, 1);
    refuse(&m, FLO_E_GGUF_VOCAB);
    add_bert(&m);
    add_list(&m, "flotilla.tokenizer.pair", FLO_GGUF_I32, strange, 1);
    refuse(&m, FLO_E_GGUF_VOCAB);
    add_bert(&m);
    add_list(&m, "flotilla.tokenizer.pair", FLO_GGUF_I32, beyond, 1);
    refuse(&m, FLO_E_GGUF_VOCAB);
    add_bert(&m);
    add_list(&m, "flotilla.tokenizer.pair", FLO_GGUF_I32, items, 4);
    add_list(&m, "flotilla.tokenizer.pair_types", FLO_GGUF_I32, third, 4);
    refuse(&m, FLO_E_GGUF_VOCAB);
    add_bert(&m);
    add_list(&m, "flotilla.tokenizer.pair", FLO_GGUF_I32, items, 4);
    add_list(&m, "flotilla.tokenizer.pair_types", FLO_GGUF_I32, types, 3);
    refuse(&m, FLO_E_GGUF_VOCAB);
}

static void a_file_may_bring_several_tokens_around_a_text(void **state)
{
    static const uint32_t items[] = {2, 4, (uint32_t)-1, 3, 3, 4}, second[] = {(uint32_t)-2};
    static const uint32_t twice[] = {(uint32_t)-1, 3, (uint32_t)-1};
    struct made m = {0};
    (void)state;
    add_bert(&m);
    add_list(&m, "flotilla.tokenizer.single", FLO_GGUF_I32, items, 6);
    assert_int_equal(finish(&m, NULL), 0);
    expect(&m, "the", FLO_TEXT_ENDS, "2 4 5 3 3 4");
    expect(&m, "the", FLO_TEXT_BEGIN, "2 4 5");
    expect(&m, "", FLO_TEXT_END, "3 3 4");
    expect(&m, "the", 0, "5");
    expect_pair(&m, "the", NULL, "2 4 5 3 3 4");
    expect_pair(&m, "the", "re", "2 5 3 7' 3'");
    drop(&m);
    add_bert(&m);
    add_list(&m, "flotilla.tokenizer.single", FLO_GGUF_I32, second, 1);
    refuse(&m, FLO_E_GGUF_VOCAB);
    add_bert(&m);
    add_list(&m, "flotilla.tokenizer.single", FLO_GGUF_I32, twice, 3);
    refuse(&m, FLO_E_GGUF_VOCAB);
    add_bert(&m);
    add_list(&m, "flotilla.tokenizer.pair", FLO_GGUF_I32, twice, 2);
    refuse(&m, FLO_E_GGUF_VOCAB);
}

/* ---- keys of our importer ---- */

static const char *const bpe_tokens[] = {
    "<s>", "a",        "b",        "ab",       "\xc4\xa0",
    "1",   "11",       "\xc3\x83", "\xc2\xa9", "\xc3\x83\xc2\xa9",
    "e",   "\xc3\x8c", "\xc4\xa3"};
static const char *const bpe_merges[] = {"a b", "1 1", "\xc3\x83 \xc2\xa9"};

static void add_bpe(struct made *m, const char *pre)
{
    add_text(m, "tokenizer.ggml.model", "gpt2");
    add_text(m, "tokenizer.ggml.pre", pre);
    add_tokens(m, bpe_tokens, FLO_COUNT(bpe_tokens), 1);
    put_key_texts(&m->keys, "tokenizer.ggml.merges", bpe_merges, FLO_COUNT(bpe_merges));
    m->key_count++;
}

static void a_split_of_the_file_goes_before_its_name(void **state)
{
    static const char *const own[] = {"\\d", "a"};
    static const char *const broken[] = {"(a"}, *const strange[] = {"(?<=a)b"};
    struct made m = {0};
    (void)state;
    add_bpe(&m, "qwen2");
    assert_int_equal(finish(&m, NULL), 0);
    expect(&m, "ab11", 0, "3 5 5");
    drop(&m);
    add_bpe(&m, "a name that nobody knows");
    put_key_texts(&m.keys, "flotilla.tokenizer.split", own, FLO_COUNT(own));
    m.key_count++;
    assert_int_equal(finish(&m, NULL), 0);
    assert_string_equal(flo_vocab_facts(m.vocab)->pre, "own");
    expect(&m, "ab11", 0, "1 2 5 5");
    drop(&m);
    add_bpe(&m, "qwen2");
    put_key_texts(&m.keys, "flotilla.tokenizer.split", own, 0);
    m.key_count++;
    assert_int_equal(finish(&m, NULL), 0);
    expect(&m, "ab11", 0, "3 6");
    drop(&m);
    add_bpe(&m, "qwen2");
    put_key_texts(&m.keys, "flotilla.tokenizer.split", broken, 1);
    m.key_count++;
    refuse(&m, FLO_E_GGUF_VOCAB);
    add_bpe(&m, "qwen2");
    put_key_texts(&m.keys, "flotilla.tokenizer.split", strange, 1);
    m.key_count++;
    refuse(&m, FLO_E_NOT_BUILT);
}

static void a_text_is_composed_if_the_file_says_so(void **state)
{
    static const char text[] = "e\xcc\x81"; /* e and an acute accent */
    struct made m = {0};
    (void)state;
    add_bpe(&m, "llama-bpe");
    assert_int_equal(finish(&m, NULL), 0);
    expect(&m, text, 0, "10 11 12");
    drop(&m);
    add_bpe(&m, "llama-bpe");
    add_text(&m, "flotilla.tokenizer.normalizer", "nfc");
    assert_int_equal(finish(&m, NULL), 0);
    expect(&m, text, 0, "9");
    drop(&m);
    add_bpe(&m, "qwen2"); /* a family that composes */
    add_text(&m, "general.architecture", "qwen3");
    assert_int_equal(finish(&m, NULL), 0);
    expect(&m, text, 0, "9");
    /* a grammar's text is spelled as it is */
    struct flo_text_span span = {.data = text, .bytes = 3, .is_exact = true};
    struct flo_tokens tokens = {0};
    assert_int_equal(flo_tokenize_spans(m.vocab, &span, 1, &tokens, NULL), 0);
    assert_int_equal(tokens.count, 3);
    flo_tokens_deinit(&tokens);
    drop(&m);
    add_bpe(&m, "qwen2");
    add_text(&m, "general.architecture", "qwen2");
    assert_int_equal(finish(&m, NULL), 0);
    expect(&m, text, 0, "10 11 12");
    drop(&m);
    add_bpe(&m, "llama-bpe");
    add_text(&m, "flotilla.tokenizer.normalizer", "nfkc");
    refuse(&m, FLO_E_NOT_BUILT);
}

static void blanks_beside_a_token_are_stripped_if_the_file_says_so(void **state)
{
    static const uint32_t mask[] = {0}, beyond[] = {99};
    struct made m = {0};
    (void)state;
    add_bpe(&m, "llama-bpe");
    add_list(&m, "flotilla.tokenizer.strips_left", FLO_GGUF_I32, mask, 1);
    assert_int_equal(finish(&m, NULL), 0);
    expect(&m, "a <s> b", FLO_TEXT_SPECIAL, "1 0 4 2");
    drop(&m);
    add_bpe(&m, "llama-bpe");
    add_list(&m, "flotilla.tokenizer.strips_right", FLO_GGUF_I32, mask, 1);
    assert_int_equal(finish(&m, NULL), 0);
    expect(&m, "a <s> b", FLO_TEXT_SPECIAL, "1 4 0 2");
    drop(&m);
    add_bpe(&m, "llama-bpe");
    add_list(&m, "flotilla.tokenizer.strips_left", FLO_GGUF_I32, beyond, 1);
    refuse(&m, FLO_E_GGUF_VOCAB);
}

static void characters_without_merges_become_bytes_in_bpe_of_characters(void **state)
{
    static const char *const tokens[] = {"<bos>",   "\n",     "\n\n",   BLANK,    "a",
                                         BLANK "a", "<0xC3>", "<0xA9>", "<|turn>"};
    static const char *const merges[] = {BLANK " a"};
    struct made m = {0};
    (void)state;
    add_text(&m, "tokenizer.ggml.model", "gemma4");
    add_tokens(&m, tokens, FLO_COUNT(tokens), 1);
    put_key_texts(&m.keys, "tokenizer.ggml.merges", merges, 1);
    m.key_count++;
    assert_int_equal(finish(&m, NULL), 0);
    expect(&m, "a a  a", 0, "4 5 3 5");
    expect(&m, "\xc3\xa9\n\na\n", 0, "6 7 2 4 1");
    /* a turn's mark is a control token, although the file lists it as text */
    assert_true(flo_vocab_is_control(m.vocab, 8));
    expect(&m, "<|turn>a", FLO_TEXT_SPECIAL, "8 4");
    expect(&m, "<|turn>a", 0, "4");
    drop(&m);
}

/* ---- steps ---- */

static const char *const step_tokens[] = {
    "<x>",      "xy",
    "yz",       "Ab",
    "new", /* 0 to 4: taken from texts */
    "a",        "b",
    "ab",       " ",
    BLANK, /* 5 */
    BLANK "ab", "-",
    "a-",       "-b",
    "--", /* 10 */
    "\xc3\xa9", "e",
    "\xcc\x81", "A",
    "y", /* 15 */
    "\xc4\xa0", "\xe6\xbc\xa2",
    "z",        "x",
    "n",        "w", /* 20 */
};

/* Begins a file with steps, in which words that are tokens stay whole. */
static void add_steps(struct made *m, const char *const *steps, size_t count)
{
    static const char *const none[] = {""};
    uint32_t types[FLO_COUNT(step_tokens)];
    for (size_t i = 0; i < FLO_COUNT(types); i++) {
        types[i] = i == 0 ? 3 : i < 5 ? 4 : 1;
    }
    add_text(m, "tokenizer.ggml.model", "gpt2");
    put_key_texts(&m->keys, "tokenizer.ggml.tokens", step_tokens, FLO_COUNT(step_tokens));
    put_key_texts(&m->keys, "tokenizer.ggml.merges", none, 0);
    put_key_texts(&m->keys, "flotilla.tokenizer.steps", steps, count);
    m->key_count += 3;
    add_list(m, "tokenizer.ggml.token_type", FLO_GGUF_I32, types, FLO_COUNT(types));
    add_bool(m, "flotilla.tokenizer.ignore_merges", true);
}

static void a_step_changes_or_cuts_a_text(void **state)
{
    static const struct {
        const char *step[3], *text, *ids;
    } cases[] = {
        {{"nfc", "", ""}, "e\xcc\x81", "15"},
        {{"nfd", "", ""}, "\xc3\xa9", "16 17"},
        {{"lower", "", ""}, "AB", "7"},
        {{"drop-marks", "", ""}, "e\xcc\x81", "16"},
        {{"drop-accents", "", ""}, "e\xcc\x81", "16"},
        {{"clean", "", ""}, "\ta\x01", "8 5"},
        {{"ideographs", "", ""}, "\xe6\xbc\xa2", "8 21 8"},
        {{"bytes", "", ""}, " a", "20 5"},
        {{"strip", "", "both"}, "\xc2\xa0 ab ", "7"},
        {{"strip", "", "left"}, " a ", "5 8"},
        {{"strip", "", "right"}, "   ", ""},
        {{"prepend", BLANK, ""}, "ab", "10"},
        {{"prefix", BLANK, "first"}, "ab", "10"},
        {{"prefix", BLANK, "always"}, BLANK "ab", "10"},
        {{"replace-text", " ", BLANK}, " ab", "10"},
        {{"replace", "\\s+", "-"}, "a \t b", "5 11 6"},
        {{"split-text", "-", "isolated"}, "a-b", "5 11 6"},
        {{"split-text", "-", "removed"}, "-a--b-", "5 6"},
        {{"split-text", "-", "not removed"}, "a--b", "11 11"},
        {{"split-text", "-", "previous"}, "a--b", "12 11 6"},
        {{"split-text", "-", "next"}, "a--b", "5 11 13"},
        {{"split-text", "-", "contiguous"}, "a--b", "5 14 6"},
        {{"split", "[ab]", "previous"}, "ab-", "5 6 11"},
        {{"split", "[ab]", "not previous"}, "a-b", "12 6"},
    };
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(cases); i++) {
        struct made m = {0};
        struct flo_err err = {0};
        add_steps(&m, cases[i].step, 3);
        if (finish(&m, &err) != 0) {
            fail_msg("%s: %s", cases[i].step[0], err.what);
        }
        expect(&m, cases[i].text, 0, cases[i].ids);
        drop(&m);
    }
}

static void a_blank_of_the_beginning_is_not_repeated_after_a_token(void **state)
{
    static const char *const steps[] = {"replace-text", " ", BLANK, "prefix", BLANK, "first"};
    struct made m = {0};
    (void)state;
    add_steps(&m, steps, FLO_COUNT(steps));
    assert_int_equal(finish(&m, NULL), 0);
    expect(&m, "ab<x>ab ab", FLO_TEXT_SPECIAL, "10 0 5 6 9 5 6");
    expect(&m, "<x>ab", FLO_TEXT_SPECIAL, "0 7");
    expect(&m, "<x>", 0, "9 23"); /* a message spells no control token */
    drop(&m);
}

static void added_tokens_are_taken_from_left_to_right(void **state)
{
    static const char *const steps[] = {"lower", "", "", "added", "", ""};
    struct made m = {0};
    const uint32_t normalized[] = {3}, single[] = {4}, left[] = {0}, right[] = {0};
    (void)state;
    add_steps(&m, steps, FLO_COUNT(steps));
    add_list(&m, "flotilla.tokenizer.normalized", FLO_GGUF_I32, normalized, 1);
    add_list(&m, "flotilla.tokenizer.single_word", FLO_GGUF_I32, single, 1);
    add_list(&m, "flotilla.tokenizer.strips_left", FLO_GGUF_I32, left, 1);
    add_list(&m, "flotilla.tokenizer.strips_right", FLO_GGUF_I32, right, 1);
    assert_int_equal(finish(&m, NULL), 0);
    expect(&m, "xyz", 0, "1 22");
    expect(&m, "AB-aB", 0, "3 11 3"); /* as lower-case texts have it */
    expect(&m, "new-new", 0, "4 11 4");
    expect(&m, "newa new\xc3\xa9", 0, "24 16 25 5 8 24 16 25 15");
    expect(&m, "- \xc2\xa0<x>\xe3\x80\x80-", FLO_TEXT_SPECIAL, "11 0 11");
    drop(&m);
}

static void a_step_that_is_none_is_refused(void **state)
{
    static const struct {
        const char *step[3];
        int rv;
    } cases[] = {
        {{"nfkq", "", ""}, FLO_E_NOT_BUILT},
        {{"nfc", "x", ""}, FLO_E_GGUF_VOCAB},
        {{"strip", "", "middle"}, FLO_E_GGUF_VOCAB},
        {{"prefix", "a", "last"}, FLO_E_GGUF_VOCAB},
        {{"prepend", "", ""}, FLO_E_GGUF_VOCAB},
        {{"replace-text", "\xff", "a"}, FLO_E_GGUF_VOCAB},
        {{"replace", "(?<=a)b", ""}, FLO_E_NOT_BUILT},
        {{"split", "a", "not "}, FLO_E_GGUF_VOCAB},
        {{"split", "(?=(\\d{3})+(?!\\d))", "removed"}, FLO_E_NOT_BUILT},
    };
    const uint32_t ids[] = {26};
    struct made m = {0};
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(cases); i++) {
        add_steps(&m, cases[i].step, 3);
        refuse(&m, cases[i].rv);
    }
    add_steps(&m, cases[0].step, 2);
    refuse(&m, FLO_E_GGUF_VOCAB);
    add_steps(&m, cases[0].step, 0);
    add_list(&m, "flotilla.tokenizer.normalized", FLO_GGUF_I32, ids, 1);
    refuse(&m, FLO_E_GGUF_VOCAB);
}

static void a_step_that_grows_a_text_without_bound_is_an_error(void **state)
{
    static char long_text[4097];
    static const char *const steps[] = {"replace-text", "a", long_text,
                                        "replace-text", "b", long_text};
    struct flo_tokens tokens = {0};
    struct flo_err err = {0};
    struct made m = {0};
    (void)state;
    memset(long_text, 'b', 4096);
    add_steps(&m, steps, FLO_COUNT(steps));
    assert_int_equal(finish(&m, NULL), 0);
    assert_int_equal(flo_tokenize(m.vocab, "ab", 2, 0, &tokens, &err), FLO_E_INFER_TOO_LONG);
    flo_tokens_deinit(&tokens);
    drop(&m);
}

/* ---- normalization form C ---- */

static void forms_for_compatibility_replace_signs_too(void **state)
{
    static const struct {
        const char *text, *composed, *apart;
    } cases[] = {
        {"abc", "abc", "abc"},
        {"\xc2\xbd",
         "1\xe2\x81\x84"
         "2",
         "1\xe2\x81\x84"
         "2"},
        {"\xef\xbc\xa1\xcc\x8a", "\xc3\x85", "A\xcc\x8a"}, /* a wide A and its ring */
        {"\xef\xbd\xb6\xef\xbe\x9e", "\xe3\x82\xac", "\xe3\x82\xab\xe3\x82\x99"},
        {"\xf0\x9d\x9f\xbf", "9", "9"},                   /* the end of a run */
        {"\xe3\x8b\xbf", "\xe3\x8b\xbf", "\xe3\x8b\xbf"}, /* later than the library */
        {"\xc3\xa9\xc2\xa0", "\xc3\xa9 ", "e\xcc\x81 "},
    };
    (void)state;
    for (size_t i = 0; i < 2 * FLO_COUNT(cases); i++) {
        struct flo_buf out = {.bytes_max = 64};
        const char *text = cases[i / 2].text;
        flo_text_normalize(&out, text, strlen(text),
                           FLO_FORM_COMPATIBLE | (i % 2 != 0 ? FLO_FORM_APART : 0));
        flo_buf_add(&out, "", 1);
        assert_string_equal(out.data, i % 2 != 0 ? cases[i / 2].apart : cases[i / 2].composed);
        flo_buf_deinit(&out);
    }
}

static void texts_are_composed_as_unicode_says(void **state)
{
    static const char *const cases[][2] = {
        {"abc", "abc"},
        {"e\xcc\x81", "\xc3\xa9"},
        {"\xc3\xa9x\xcc\x81", "\xc3\xa9x\xcc\x81"},
        /* marks are sorted: a dot below goes before an acute accent */
        {"a\xcc\x81\xcc\xa3", "\xe1\xba\xa1\xcc\x81"},
        /* a mark of the same class blocks */
        {"a\xcc\x81\xcc\x80", "\xc3\xa1\xcc\x80"},
        {"o\xcc\x82\xcc\x81", "\xe1\xbb\x91"},
        /* Hangul of two and three letters */
        {"\xe1\x84\x80\xe1\x85\xa1", "\xea\xb0\x80"},
        {"\xe1\x84\x80\xe1\x85\xa1\xe1\x86\xa8", "\xea\xb0\x81"},
        {"\xea\xb0\x80\xe1\x86\xa8", "\xea\xb0\x81"},
        /* a singleton, and a letter that is never composed */
        {"\xe2\x84\xab", "\xc3\x85"},
        {"\xe0\xa5\x98", "\xe0\xa4\x95\xe0\xa4\xbc"},
        /* marks without a letter */
        {"\xcc\x81\xcc\xa3"
         "a",
         "\xcc\xa3\xcc\x81"
         "a"},
        {"\xcd\x84", "\xcc\x88\xcc\x81"},
    };
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(cases); i++) {
        struct flo_buf out = {.bytes_max = 64};
        flo_text_compose(&out, cases[i][0], strlen(cases[i][0]));
        assert_string_equal(out.data, cases[i][1]);
        flo_buf_deinit(&out);
    }
    struct flo_buf out = {.bytes_max = 64};
    flo_text_compose(&out, "e\0\xcc\x81", 4);
    assert_int_equal(out.bytes, 4);
    assert_memory_equal(out.data, "e\0\xcc\x81", 4);
    flo_buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_cut_into_the_longest_tokens),
        cmocka_unit_test(a_cased_vocabulary_keeps_case_and_accents),
        cmocka_unit_test(a_long_word_is_unknown),
        cmocka_unit_test(a_text_becomes_its_most_likely_tokens),
        cmocka_unit_test(blanks_are_kept_if_the_file_says_so),
        cmocka_unit_test(a_long_text_takes_the_same_ways),
        cmocka_unit_test(a_broken_table_of_replacements_is_refused),
        cmocka_unit_test(scores_that_are_no_numbers_end_no_text),
        cmocka_unit_test(a_pair_has_the_special_tokens_of_its_model),
        cmocka_unit_test(a_file_may_bring_the_form_of_pairs),
        cmocka_unit_test(a_file_may_bring_several_tokens_around_a_text),
        cmocka_unit_test(a_split_of_the_file_goes_before_its_name),
        cmocka_unit_test(a_text_is_composed_if_the_file_says_so),
        cmocka_unit_test(blanks_beside_a_token_are_stripped_if_the_file_says_so),
        cmocka_unit_test(characters_without_merges_become_bytes_in_bpe_of_characters),
        cmocka_unit_test(a_step_changes_or_cuts_a_text),
        cmocka_unit_test(a_blank_of_the_beginning_is_not_repeated_after_a_token),
        cmocka_unit_test(added_tokens_are_taken_from_left_to_right),
        cmocka_unit_test(a_step_that_is_none_is_refused),
        cmocka_unit_test(a_step_that_grows_a_text_without_bound_is_an_error),
        cmocka_unit_test(texts_are_composed_as_unicode_says),
        cmocka_unit_test(forms_for_compatibility_replace_signs_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
