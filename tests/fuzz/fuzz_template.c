/* Chat templates: any template text is recognised or refused, any message is
 * rendered, and no message makes a control token. */
#include <stdlib.h>
#include <string.h>

#include "base/gguf/gguf.h"
#include "engine/chat/template.h"
#include "engine/token/token.h"
#include "tests/unit/engine/gguf_make.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* A byte vocabulary with the controls of all families (user-defined ones when
 * `type` is 4) and this template. */
static void make(struct flo_buf *file, bool is_spm, uint32_t type,
                 const char *text, size_t bytes)
{
    size_t count = FLO_COUNT(controls) + 256;
    put_head(file, 0, 6);
    put_key_text(file, "tokenizer.ggml.model", is_spm ? "llama" : "gpt2");
    put_key_text(file, "tokenizer.ggml.pre", "qwen2");
    put_key(file, "tokenizer.ggml.tokens", FLO_GGUF_ARRAY);
    put_u32(file, FLO_GGUF_STRING);
    put_u64(file, count);
    for (size_t i = 0; i < FLO_COUNT(controls); i++) {
        put_text(file, controls[i]);
    }
    for (unsigned byte = 0; byte < 256; byte++) {
        char name[8];
        snprintf(name, sizeof(name), "<0x%02X>", byte);
        put_text(file, name);
    }
    put_key(file, "tokenizer.ggml.token_type", FLO_GGUF_ARRAY);
    put_u32(file, FLO_GGUF_I32);
    put_u64(file, count);
    for (size_t i = 0; i < count; i++) {
        put_u32(file, i < FLO_COUNT(controls) ? type : 6);
    }
    put_key(file, is_spm ? "tokenizer.ggml.scores" : "tokenizer.ggml.merges",
            FLO_GGUF_ARRAY);
    put_u32(file, is_spm ? FLO_GGUF_F32 : FLO_GGUF_STRING);
    put_u64(file, is_spm ? count : 0);
    for (size_t i = 0; is_spm && i < count; i++) {
        put_u32(file, 0);
    }
    put_key(file, "tokenizer.chat_template", FLO_GGUF_STRING);
    put_u64(file, bytes);
    flo_buf_add(file, text, bytes);
}

static size_t controls_in(const struct flo_tokens *tokens)
{
    size_t count = 0;
    for (size_t i = 0; i < tokens->count; i++) {
        count += tokens->ids[i] >= 0 &&
                 tokens->ids[i] < (int32_t)FLO_COUNT(controls);
    }
    return count;
}

/* The message's own text must not change how many controls there are. */
static void check(const struct flo_template *chat,
                  const struct flo_vocab *vocab, const char *text, size_t bytes,
                  size_t count)
{
    const struct flo_engine_message messages[] = {
        {.role = "system", .text = text, .bytes = bytes},
        {.role = "user", .text = text, .bytes = bytes},
        {.role = "assistant", .text = text, .bytes = bytes},
        {.role = "user", .text = text, .bytes = bytes},
        {.role = "tool", .text = text, .bytes = bytes}};
    const struct flo_engine_message plain[] = {
        {.role = "system", .text = "x", .bytes = 1},
        {.role = "user", .text = "x", .bytes = 1},
        {.role = "assistant", .text = "x", .bytes = 1},
        {.role = "user", .text = "x", .bytes = 1},
        {.role = "tool", .text = "x", .bytes = 1}};
    struct flo_tokens one = {.count_max = 1u << 20};
    struct flo_tokens other = {.count_max = 1u << 20};
    struct flo_err err = {0};
    if (flo_template_render(chat, vocab, NULL, messages, count, &one, &err) ==
            0 &&
        flo_template_render(chat, vocab, NULL, plain, count, &other, &err) ==
            0 &&
        controls_in(&one) != controls_in(&other)) {
        abort();
    }
    flo_tokens_deinit(&one);
    flo_tokens_deinit(&other);
}

/* Templates that look at nothing but the role of a message. */
static const char *const known[] = {"chatml", "llama3", "llama2", "mistral",
                                    "gemma",  "phi3",   "zephyr", "phi2"};

/* Two bytes of choices, a line of template, the rest is the message.  A
 * template of outside may do anything; a known one must not mistake a
 * message's text for its own. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct flo_buf file = {0};
    struct flo_gguf *gguf = NULL;
    struct flo_vocab *vocab = NULL;
    struct flo_template chat;
    struct flo_err err = {0};
    if (bytes < 3) {
        return 0;
    }
    const char *text = (const char *)data + 2;
    const char *line = memchr(text, '\n', bytes - 2);
    size_t template_bytes = line != NULL ? (size_t)(line - text) : bytes - 2;
    size_t rest = bytes - 2 - template_bytes;
    const char *instead =
        data[1] % 2 == 0 ? NULL : known[data[1] / 2 % FLO_COUNT(known)];
    make(&file, (data[0] & 1) != 0, (data[0] & 2) != 0 ? 4 : 3, text,
         template_bytes);
    if (flo_gguf_open(file.data, file.bytes, &gguf, &err) == 0 &&
        flo_vocab_open(gguf, &vocab, &err) == 0 &&
        flo_template_find(gguf, vocab, instead, &chat, &err) == 0) {
        if (instead != NULL) {
            check(&chat, vocab, text + template_bytes, rest, 4);
            check(&chat, vocab, text + template_bytes, rest, 5);
        } else {
            struct flo_tokens tokens = {.count_max = 1u << 16};
            const struct flo_engine_message message = {
                .role = "user", .text = text + template_bytes, .bytes = rest};
            flo_template_render(&chat, vocab, NULL, &message, 1, &tokens, &err);
            flo_tokens_deinit(&tokens);
        }
        flo_template_deinit(&chat);
    }
    flo_vocab_close(vocab);
    flo_gguf_close(gguf);
    flo_buf_deinit(&file);
    return 0;
}
