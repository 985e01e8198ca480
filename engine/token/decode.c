/* Ids to text: the bytes of a token, and a stream that never shows half a
 * character. */
#include "engine/token/vocab.h"

#include <string.h>

#include "engine/token/unicode.h"

void flo_text_replace(struct flo_buf *out, const char *text, size_t bytes,
                      const char *from, const char *to)
{
    const char *end = text + bytes;
    const char *hit;
    while ((hit = memmem(text, (size_t)(end - text), from, strlen(from))) !=
           NULL) {
        flo_buf_add(out, text, (size_t)(hit - text));
        flo_buf_text(out, to);
        text = hit + strlen(from);
    }
    flo_buf_add(out, text, (size_t)(end - text));
}

/* Stand-in characters to bytes; what stands for no byte is kept as it is. */
static void add_decoded(const struct flo_vocab_token *token,
                        struct flo_buf *out)
{
    size_t at = 0;
    while (at < token->bytes) {
        size_t taken;
        uint32_t code =
            flo_utf8_next(token->text + at, token->bytes - at, &taken);
        int byte = flo_code_to_byte(code);
        if (byte >= 0) {
            char c = (char)byte;
            flo_buf_add(out, &c, 1);
        } else {
            flo_buf_add(out, token->text + at, taken);
        }
        at += taken;
    }
}

void flo_vocab_piece(const struct flo_vocab *vocab, int32_t id,
                     bool with_control, struct flo_buf *out)
{
    if (id < 0 || id >= vocab->facts.count) {
        return;
    }
    const struct flo_vocab_token *token = &vocab->tokens[id];
    char byte;
    switch ((enum flo_token_type)token->type) {
    case FLO_TOKEN_CONTROL:
    case FLO_TOKEN_UNKNOWN:
        if (with_control) {
            flo_buf_add(out, token->text, token->bytes);
        }
        break;
    case FLO_TOKEN_USER:
        flo_buf_add(out, token->text, token->bytes);
        break;
    case FLO_TOKEN_BYTE: /* "<0x0A>", checked at load */
        byte = (char)flo_token_byte(token);
        flo_buf_add(out, &byte, 1);
        break;
    case FLO_TOKEN_NORMAL:
    case FLO_TOKEN_UNUSED:
        if (vocab->is_spm) {
            flo_text_replace(out, token->text, token->bytes, FLO_SPM_BLANK,
                             " ");
        } else {
            add_decoded(token, out);
        }
        break;
    }
}

void flo_text_stream_add(struct flo_text_stream *stream,
                         const struct flo_vocab *vocab, int32_t id,
                         struct flo_buf *out)
{
    struct flo_buf all = {0};
    flo_buf_add(&all, stream->held, stream->held_bytes);
    flo_vocab_piece(vocab, id, false, &all);
    stream->held_bytes = flo_utf8_add(out, all.data, all.bytes, true);
    for (size_t i = 0; i < stream->held_bytes; i++) {
        stream->held[i] = all.data[all.bytes - stream->held_bytes + i];
    }
    out->failed = out->failed || all.failed;
    flo_buf_deinit(&all);
}

void flo_text_stream_finish(struct flo_text_stream *stream, struct flo_buf *out)
{
    if (stream->held_bytes > 0) {
        flo_buf_text(out, FLO_UTF8_REPLACEMENT);
    }
    stream->held_bytes = 0;
}
