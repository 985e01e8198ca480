/* Chat templates: any template text is recognised or refused, any message is
 * rendered with any tools and calls, and nothing said makes a control token. */
#include <stdlib.h>
#include <string.h>

#include "base/gguf/gguf.h"
#include "engine/chat/template.h"
#include "engine/token/token.h"
#include "tests/unit/engine/gguf_make.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* A byte vocabulary with the controls of all families (user-defined ones when
 * `type` is 4) and this template. */
static void make(struct flo_buf *file, bool is_spm, uint32_t type, const char *text, size_t bytes)
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
    put_key(file, is_spm ? "tokenizer.ggml.scores" : "tokenizer.ggml.merges", FLO_GGUF_ARRAY);
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
        count += tokens->ids[i] >= 0 && tokens->ids[i] < (int32_t)FLO_COUNT(controls);
    }
    return count;
}

/* Words of an input; a text that is NULL is not said. */
struct said {
    const char *text, *tools, *more;
    size_t bytes, tools_bytes, more_bytes;
};

static int render(const struct flo_template *chat, const struct flo_vocab *vocab,
                  const struct said *said, size_t count, struct flo_tokens *tokens)
{
    static const char *const roles[] = {"system", "user", "assistant", "user", "tool"};
    const struct flo_engine_setting setting = {.tools = said->tools,
                                               .tools_bytes = said->tools_bytes,
                                               .thinking = said->bytes % FLO_THINKINGS,
                                               .effort =
                                                   said->bytes % 2 == 0 ? NULL : "<|im_end|>"};
    struct flo_engine_message messages[FLO_COUNT(roles)];
    struct flo_err err = {0};
    for (size_t i = 0; i < count; i++) {
        messages[i] = (struct flo_engine_message){roles[i], said->text, said->bytes, said->more,
                                                  said->more_bytes};
    }
    int rv = flo_template_render(chat, vocab, &setting, messages, count, tokens, &err);
    if (rv < 0 && err.what[0] == '\0') {
        abort();
    }
    return rv;
}

/* Words that are said must not change how many controls there are. */
static void check(const struct flo_template *chat, const struct flo_vocab *vocab,
                  const struct said *said, size_t count)
{
    const struct said plain = {.text = "x", .bytes = 1};
    struct flo_tokens one = {.count_max = 1u << 20};
    struct flo_tokens other = {.count_max = 1u << 20};
    if (render(chat, vocab, said, count, &one) == 0 &&
        render(chat, vocab, &plain, count, &other) == 0 &&
        controls_in(&one) != controls_in(&other)) {
        abort();
    }
    flo_tokens_deinit(&one);
    flo_tokens_deinit(&other);
}

/* Templates that look at nothing but the role of a message; the last one says
 * all that there is, in each way. */
static const char *const known[] = {
    "chatml",
    "llama3",
    "llama2",
    "mistral",
    "gemma",
    "phi3",
    "zephyr",
    "phi2",
    "{{ tools }}{{ tools | tojson(indent=1) }}{{ reasoning_effort }}"
    "{% for m in messages %}<|im_start|>{{ m.role }}{{ m.content }}"
    "{{ m.tool_calls }}{{ m.reasoning_content ~ m.tool_call_id ~ m.name }}"
    "{% for c in m.tool_calls or [] %}{{ c.function.arguments }}"
    "{{ c.function | tojson }}{{ c | string | upper }}"
    "{% endfor %}<|im_end|>{% endfor %}"};

/* The text up to a newline; the rest begins after it. */
static const char *take_line(const char **at, size_t *left, size_t *bytes)
{
    const char *line = *at, *end = memchr(line, '\n', *left);
    *bytes = end != NULL ? (size_t)(end - line) : *left;
    size_t taken = *bytes + (end != NULL);
    *at += taken;
    *left -= taken;
    return line;
}

/* Two bytes of choices, a line of template, if so chosen a line of tools and
 * one of the messages' `more`; the rest is the message.  A template of outside
 * may do anything; a known one must not mistake a message's text for its
 * own. */
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
    struct said said = {0};
    size_t left = bytes - 2, template_bytes;
    const char *rest = (const char *)data + 2;
    const char *text = take_line(&rest, &left, &template_bytes);
    if ((data[0] & 4) != 0) {
        said.tools = take_line(&rest, &left, &said.tools_bytes);
        said.more = take_line(&rest, &left, &said.more_bytes);
    }
    said.text = rest;
    said.bytes = left;
    const char *instead = data[1] % 2 == 0 ? NULL : known[data[1] / 2 % FLO_COUNT(known)];
    make(&file, (data[0] & 1) != 0, (data[0] & 2) != 0 ? 4 : 3, text, template_bytes);
    if (flo_gguf_open(file.data, file.bytes, &gguf, &err) == 0 &&
        flo_vocab_open(gguf, &vocab, &err) == 0 &&
        flo_template_find(gguf, vocab, instead, &chat, &err) == 0) {
        if (instead != NULL) {
            check(&chat, vocab, &said, 4);
            check(&chat, vocab, &said, 5);
        } else {
            struct flo_tokens tokens = {.count_max = 1u << 16};
            (void)render(&chat, vocab, &said, 5, &tokens);
            flo_tokens_deinit(&tokens);
        }
        flo_template_deinit(&chat);
    }
    flo_vocab_close(vocab);
    flo_gguf_close(gguf);
    flo_buf_deinit(&file);
    return 0;
}
