/* Every cut and every flipped bit of a small GGUF's header: an error or a
 * file that is safe to use, never a crash.  Worth running under ASan. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/quant/quant.h"
#include "engine/chat/template.h"
#include "unit/engine/gguf_make.h"

/* A whole little model file: vocabulary, template, tensors of four types. */
static void make(struct flo_buf *file)
{
    static const char *const tokens[] = {"<|im_start|>", "<|im_end|>", "a",  "b",
                                         "ab",           "\xc4\xa0",   "<x>"};
    static const char *const merges[] = {"a b"};
    put_head(file, 4, 9);
    put_key_text(file, "general.architecture", "llama");
    put_key_u32(file, "general.alignment", 32);
    put_key_text(file, "tokenizer.ggml.model", "gpt2");
    put_key_text(file, "tokenizer.ggml.pre", "smollm");
    put_key_texts(file, "tokenizer.ggml.tokens", tokens, FLO_COUNT(tokens));
    put_key(file, "tokenizer.ggml.token_type", FLO_GGUF_ARRAY);
    put_u32(file, FLO_GGUF_I32);
    put_u64(file, FLO_COUNT(tokens));
    for (size_t i = 0; i < FLO_COUNT(tokens); i++) {
        put_u32(file, i < 2 ? 3 : i == 6 ? 4 : 1);
    }
    put_key_texts(file, "tokenizer.ggml.merges", merges, 1);
    put_key_u32(file, "tokenizer.ggml.eos_token_id", 1);
    put_key_text(file, "tokenizer.chat_template", "'<|im_start|>system\nBe brief<|im_end|>\n'");
    put_tensor(file, "f32", 8, 1, FLO_QUANT_F32, 0);
    put_tensor(file, "q4_1", 32, 2, FLO_QUANT_Q4_1, 32);
    put_tensor(file, "f16", 8, 2, FLO_QUANT_F16, 96);
    put_tensor(file, "q6_k", 256, 1, FLO_QUANT_Q6_K, 128);
    put_padding(file);
    put_zeros(file, 128 + 224);
}

/* Use everything that an open file offers. */
static bool use(const char *bytes, size_t count)
{
    struct flo_gguf *gguf = NULL;
    struct flo_vocab *vocab = NULL;
    struct flo_template chat;
    struct flo_tokens tokens = {0};
    struct flo_err err = {0};
    float row[256];
    if (flo_gguf_open(bytes, count, &gguf, &err) < 0) {
        assert_true(err.what[0] != '\0');
        return false;
    }
    for (size_t i = 0; i < flo_gguf_tensor_count(gguf); i++) {
        const struct flo_gguf_tensor *tensor = flo_gguf_tensor_at(gguf, i);
        const struct flo_quant_type *type = flo_quant_type(tensor->type);
        assert_ptr_equal(flo_gguf_tensor_find(gguf, tensor->name), tensor);
        for (uint64_t at = 0; at < tensor->values && type->decode != NULL;
             at += type->block_values) {
            const char *data = flo_gguf_tensor_data(gguf, tensor);
            type->decode(data + flo_quant_bytes(type, at), row, type->block_values);
        }
    }
    if (flo_gguf_scan_nonfinite(gguf, &err) < 0) {
        assert_true(err.what[0] != '\0');
    }
    if (flo_vocab_open(gguf, &vocab, &err) == 0) {
        const struct flo_engine_message message = {
            .role = "user", .text = "ab <|im_end|> b<x>", .bytes = 18};
        struct flo_buf text = {0};
        if (flo_template_find(gguf, vocab, NULL, &chat, &err) == 0 &&
            flo_template_render(&chat, vocab, NULL, &message, 1, &tokens, &err) == 0) {
            for (size_t i = 0; i < tokens.count; i++) {
                flo_vocab_piece(vocab, tokens.ids[i], true, &text);
            }
        }
        flo_template_deinit(&chat);
        flo_buf_deinit(&text);
    }
    flo_tokens_deinit(&tokens);
    flo_vocab_close(vocab);
    flo_gguf_close(gguf);
    return true;
}

static void the_undamaged_file_opens(void **state)
{
    (void)state;
    struct flo_buf file = {0};
    make(&file);
    assert_true(use(file.data, file.bytes));
    flo_buf_deinit(&file);
}

static void every_truncation_is_refused(void **state)
{
    (void)state;
    struct flo_buf file = {0};
    make(&file);
    /* The last 14 bytes are padding after the last tensor. */
    for (size_t bytes = 0; bytes < file.bytes - 14; bytes++) {
        char *cut = malloc(bytes + 1);
        assert_non_null(cut);
        memcpy(cut, file.data, bytes);
        char *exact = realloc(cut, bytes == 0 ? 1 : bytes);
        assert_non_null(exact);
        assert_false(use(exact, bytes));
        free(exact);
    }
    flo_buf_deinit(&file);
}

static void every_flipped_bit_is_refused_or_harmless(void **state)
{
    (void)state;
    struct flo_buf file = {0};
    size_t opened = 0;
    make(&file);
    size_t header = file.bytes - 128 - 224;
    for (size_t bit = 0; bit < header * 8; bit++) {
        char *copy = malloc(file.bytes);
        assert_non_null(copy);
        memcpy(copy, file.data, file.bytes);
        copy[bit / 8] = (char)(copy[bit / 8] ^ 1 << (bit % 8));
        opened += use(copy, file.bytes);
        free(copy);
    }
    print_message("%zu flips, %zu still open\n", header * 8, opened);
    assert_true(opened > 0 && opened < header * 8);
    flo_buf_deinit(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_undamaged_file_opens),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(every_flipped_bit_is_refused_or_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
