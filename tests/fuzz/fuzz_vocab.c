/* Vocabularies: whatever loads can tokenise, render and decode any text. */
#include <stdlib.h>
#include <string.h>

#include "base/gguf/gguf.h"
#include "engine/chat/template.h"
#include "engine/model/file/unread.h"
#include "engine/token/token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* A pair has a segment for each id, whatever its special tokens are. */
static void use_pair(const struct flo_vocab *vocab, const char *text, size_t bytes)
{
    struct flo_tokens tokens = {.count_max = 1u << 16};
    struct flo_buf segments = {.bytes_max = 1u << 17};
    struct flo_text_pair pair = {text, text + bytes / 2, bytes / 2, bytes - bytes / 2};
    if (flo_tokenize_pair(vocab, &pair, &tokens, &segments, NULL) == 0) {
        for (size_t i = 0; i < tokens.count; i++) {
            if (tokens.count != segments.bytes || (segments.data[i] & ~1) != 0) {
                abort();
            }
        }
    }
    flo_tokens_deinit(&tokens);
    flo_buf_deinit(&segments);
}

static void use(const struct flo_gguf *gguf, const struct flo_vocab *vocab, const char *text,
                size_t bytes)
{
    struct flo_tokens tokens = {.count_max = 1u << 16};
    struct flo_text_stream stream = {0};
    struct flo_template chat;
    struct flo_buf out = {0};
    const struct flo_engine_message messages[] = {{"system", "x", 1, NULL, 0},
                                                  {"user", text, bytes, NULL, 0}};
    int32_t count = flo_vocab_facts(vocab)->count;
    if (flo_tokenize(vocab, text, bytes, FLO_TEXT_ENDS, &tokens, NULL) == 0) {
        for (size_t i = 0; i < tokens.count; i++) {
            int32_t id = tokens.ids[i];
            if (id < 0 || id >= count) {
                abort();
            }
            flo_text_stream_add(&stream, vocab, id, &out);
        }
        flo_text_stream_finish(&stream, &out);
        if (flo_utf8_valid(out.data, out.bytes) != out.bytes) {
            abort();
        }
    }
    if (flo_template_find(gguf, vocab, NULL, &chat, NULL) == 0 &&
        flo_template_render(&chat, vocab, NULL, messages, 2, &tokens, NULL) < 0) {
        tokens.failed = true;
    }
    flo_template_deinit(&chat);
    flo_buf_deinit(&out);
    flo_tokens_deinit(&tokens);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct flo_gguf *gguf = NULL;
    struct flo_vocab *vocab = NULL;
    struct flo_err err = {0};
    if (flo_gguf_open(data, bytes, &gguf, &err) < 0) {
        return 0;
    }
    if (flo_unread_check(gguf, &err) < 0 && err.fix[0] == '\0') {
        abort();
    }
    if (flo_vocab_open(gguf, &vocab, &err) == 0) {
        /* The file's own bytes are the text: full of its tokens. */
        use(gguf, vocab, (const char *)data, bytes < 4096 ? bytes : 4096);
        use_pair(vocab, (const char *)data, bytes < 4096 ? bytes : 4096);
    }
    flo_vocab_close(vocab);
    flo_gguf_close(gguf);
    return 0;
}
