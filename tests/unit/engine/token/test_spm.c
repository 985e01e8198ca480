/* SPM: merging by score, blanks and marks, bytes, and text back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "engine/token/token.h"
#include "unit/engine/gguf_make.h"
#include "unit/engine/ids.h"

struct spm {
    struct flo_gguf *gguf;
    struct flo_vocab *vocab;
};

static void close_spm(struct spm *spm)
{
    flo_vocab_close(spm->vocab);
    flo_gguf_close(spm->gguf);
}

enum { BOTH = FLO_TEXT_SPECIAL | FLO_TEXT_ENDS };

struct spm_case {
    const char *text;
    size_t bytes;
    unsigned flags;
    const char *ids;
};

/* 0-2 unk, bos, eos; 3 a user-defined mark; 4-259 bytes; then pieces. */
static struct spm open_spm(const char *name, bool adds_space, struct flo_buf *file)
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
    struct spm spm = {0};
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
        put_u32(file, id == 0 ? 2 : id < 3 ? 3 : id == 3 ? 4 : id < 260 ? 6 : 1);
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
    assert_int_equal(flo_gguf_open(file->data, file->bytes, &spm.gguf, NULL), 0);
    assert_int_equal(flo_vocab_open(spm.gguf, &spm.vocab, NULL), 0);
    return spm;
}

static void check_spm(const char *name, bool adds_space, const struct spm_case *cases, size_t count)
{
    struct flo_buf file = {0};
    struct spm spm = open_spm(name, adds_space, &file);
    for (size_t i = 0; i < count; i++) {
        struct flo_tokens tokens = {0};
        assert_int_equal(
            flo_tokenize(spm.vocab, cases[i].text, cases[i].bytes, cases[i].flags, &tokens, NULL),
            0);
        if (!ids_are(&tokens, cases[i].ids)) {
            print_message("case %zu: '%s'\n", i, cases[i].text);
        }
        assert_true(ids_are(&tokens, cases[i].ids));
        flo_tokens_deinit(&tokens);
    }
    close_spm(&spm);
    flo_buf_deinit(&file);
}

static void spm_merges_by_score_and_falls_back_to_bytes(void **state)
{
    (void)state;
    static const struct spm_case cases[] = {
        {"", 0, 0, ""},
        {"", 0, BOTH, "1"},
        {"ab", 2, 0, "264"},
        {"ab", 2, BOTH, "1,264"},
        {"ab", 2, FLO_TEXT_ENDS, "1,264"},
        {"</s>ab", 6, FLO_TEXT_SPECIAL, "2,264"},
        {" ab", 3, 0, "260,264"},
        {"aba", 3, 0, "260,261,265"},  /* ba before ab */
        {"aaaa", 4, 0, "260,268,261"}, /* leftmost first */
        {"\xc3\xa9", 2, 0, "260,266"},
        {"\xe6\xbc\xa2", 3, 0, "260,234,192,166"},
        {"\xc3", 1, 0, "260,199"},
        /* A lead byte claims the bytes after it, letters or not. */
        {"\xe2"
         "ab",
         3, 0, "260,230,101,102"},
        {"a\0b", 3, 0, "260,261,4,262"},
        {"</s>", 4, 0, "260,64,51,119,66"},
        {"</s>ab", 6, BOTH, "1,2,264"},
        {"ab<|user|> ab", 13, 0, "264,3,260,264"},
    };
    check_spm("x", true, cases, FLO_COUNT(cases));
}

static void spm_puts_a_blank_in_front_only_when_told(void **state)
{
    (void)state;
    static const struct spm_case cases[] = {
        {"ab", 2, 0, "263"},
        {" ab", 3, 0, "264"},
        {"</s>ab", 6, BOTH, "1,2,263"},
    };
    check_spm("x", false, cases, FLO_COUNT(cases));
}

static void phi3_takes_the_blanks_behind_its_marks_away(void **state)
{
    (void)state;
    static const struct spm_case cases[] = {
        {"<|user|> \n ab", 13, 0, "3,264"},
        {"</s>\n", 5, BOTH, "1,2"},
        {"<s> ab", 6, BOTH, "1,1,260,264"}, /* not behind the beginning */
    };
    check_spm("Phi-3 mini", true, cases, FLO_COUNT(cases));
}

static void a_mark_in_a_message_is_text_even_when_user_defined(void **state)
{
    (void)state;
    struct flo_buf file = {0};
    struct spm spm = open_spm("x", false, &file);
    const struct flo_text_span spans[] = {{"<|user|>", 8, true, false, false},
                                          {"<|user|>ab", 10, 0, true, false}};
    struct flo_tokens tokens = {0};
    assert_int_equal(flo_tokenize_spans(spm.vocab, spans, 2, &tokens, NULL), 0);
    assert_true(ids_are(&tokens, "3,64,128,121,119,105,118,128,66,263"));
    flo_tokens_deinit(&tokens);
    close_spm(&spm);
    flo_buf_deinit(&file);
}

static void spm_pieces_come_back_as_text(void **state)
{
    (void)state;
    struct flo_buf file = {0};
    struct flo_buf text = {0};
    struct spm spm = open_spm("x", true, &file);
    static const int32_t ids[] = {264, 260, 261, 234, 192, 166, 2};
    struct flo_text_stream stream = {0};
    for (size_t i = 0; i < FLO_COUNT(ids); i++) {
        flo_text_stream_add(&stream, spm.vocab, ids[i], &text);
    }
    assert_string_equal(text.data, " ab a\xe6\xbc\xa2");
    flo_buf_deinit(&text);
    close_spm(&spm);
    flo_buf_deinit(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spm_merges_by_score_and_falls_back_to_bytes),
        cmocka_unit_test(spm_puts_a_blank_in_front_only_when_told),
        cmocka_unit_test(phi3_takes_the_blanks_behind_its_marks_away),
        cmocka_unit_test(a_mark_in_a_message_is_text_even_when_user_defined),
        cmocka_unit_test(spm_pieces_come_back_as_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
