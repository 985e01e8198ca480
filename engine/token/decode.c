/* Ids to text: the bytes of a token, and a stream that never shows half a
 * character. */
#include "engine/token/vocab.h"

#include <string.h>

#include "engine/token/unicode.h"

static const char replacement[] = "\xef\xbf\xbd";

/* SPM: U+2581 to a blank, the rest as it is. */
static void add_unescaped(const struct flo_vocab_token *token,
                          struct flo_buf *out)
{
    const char *at = token->text;
    const char *end = token->text + token->bytes;
    while (at < end) {
        const char *mark = memmem(at, (size_t)(end - at), FLO_SPM_BLANK, 3);
        const char *stop = mark != NULL ? mark : end;
        flo_buf_add(out, at, (size_t)(stop - at));
        if (mark != NULL) {
            flo_buf_add(out, " ", 1);
            stop += 3;
        }
        at = stop;
    }
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
    uint8_t byte = 0;
    char digits[3] = {0};
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
        digits[0] = (char)(token->text[3] | 32);
        digits[1] = (char)(token->text[4] | 32);
        if (flo_hex_decode(digits, &byte, 1)) {
            flo_buf_add(out, &byte, 1);
        }
        break;
    case FLO_TOKEN_NORMAL:
    case FLO_TOKEN_UNUSED:
        if (vocab->is_spm) {
            add_unescaped(token, out);
        } else {
            add_decoded(token, out);
        }
        break;
    }
}

/* Is this the beginning of a sequence that more bytes could complete? */
static bool may_grow(const char *text, size_t bytes)
{
    unsigned char lead = (unsigned char)text[0];
    size_t need = lead >= 0xc2 && lead <= 0xdf   ? 2
                  : lead >= 0xe0 && lead <= 0xef ? 3
                  : lead >= 0xf0 && lead <= 0xf4 ? 4
                                                 : 0;
    if (bytes >= need) {
        return false;
    }
    for (size_t i = 1; i < bytes; i++) {
        if (((unsigned char)text[i] & 0xc0) != 0x80) {
            return false;
        }
    }
    return true;
}

void flo_text_stream_add(struct flo_text_stream *stream,
                         const struct flo_vocab *vocab, int32_t id,
                         struct flo_buf *out)
{
    struct flo_buf all = {0};
    flo_buf_add(&all, stream->held, stream->held_bytes);
    flo_vocab_piece(vocab, id, false, &all);
    stream->held_bytes = 0;
    size_t at = 0;
    while (at < all.bytes) {
        size_t good = flo_utf8_valid(all.data + at, all.bytes - at);
        flo_buf_add(out, all.data + at, good);
        at += good;
        if (at == all.bytes) {
            break;
        }
        if (may_grow(all.data + at, all.bytes - at)) {
            stream->held_bytes = all.bytes - at;
            memcpy(stream->held, all.data + at, stream->held_bytes);
            break;
        }
        flo_buf_add(out, replacement, 3);
        at++;
    }
    if (all.failed) {
        out->failed = true;
    }
    flo_buf_deinit(&all);
}

void flo_text_stream_finish(struct flo_text_stream *stream, struct flo_buf *out)
{
    if (stream->held_bytes > 0) {
        flo_buf_add(out, replacement, 3);
    }
    stream->held_bytes = 0;
}
