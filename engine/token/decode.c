/* Decode: converts ids to text.  It gives the bytes of a token, or a stream
 * that never shows half a character. */
#include "engine/token/vocab/vocab.h"

#include <string.h>

#include "engine/token/unicode.h"

static size_t next_library_part(const struct flo_vocab *vocab, int32_t id, size_t *at, char part[4])
{
    const char *text = vocab->library_text + vocab->library_at[id] + *at;
    size_t left = vocab->library_at[id + 1] - vocab->library_at[id] - *at, taken;
    if (left == 0) {
        return 0;
    }
    flo_utf8_next(text, left, &taken);
    memcpy(part, text, taken);
    *at += taken;
    return taken;
}

/* Copies to `part` the bytes for the next character of a token's text, which is
 * at `*at`.  These are 1 to 4 bytes, or none at the text's end.  Moves `*at`
 * behind the character.  A character that does not stand for a byte is copied
 * as it is. */
static size_t next_part(const struct flo_vocab *vocab, int32_t id, size_t *at, char part[4])
{
    if (id < 0 || id >= vocab->facts.count) {
        return 0;
    }
    if (vocab->library_at != NULL) {
        return next_library_part(vocab, id, at, part);
    }
    const struct flo_vocab_token *token = &vocab->tokens[id];
    int byte = -1;
    size_t taken;
    if (*at == token->bytes) {
        return 0;
    }
    const char *text = token->text + *at;
    uint32_t code = flo_utf8_next(text, token->bytes - *at, &taken);
    /* a text like "<0x0A>", which was checked when it was loaded */
    if (token->type == FLO_TOKEN_BYTE) {
        byte = flo_token_byte(token);
        taken = token->bytes;
    } else if (token->type == FLO_TOKEN_NORMAL || token->type == FLO_TOKEN_UNUSED) {
        byte = vocab->kind == FLO_VOCAB_BPE ? flo_code_to_byte(code)
               : code == FLO_SPM_BLANK_CODE ? ' '
                                            : -1;
    }
    *at += taken;
    if (byte >= 0) {
        part[0] = (char)byte;
        return 1;
    }
    memcpy(part, text, taken);
    return taken;
}

void flo_vocab_piece(const struct flo_vocab *vocab, int32_t id, bool with_control,
                     struct flo_buf *out)
{
    char part[4];
    size_t at = 0, bytes;
    if (flo_vocab_is_control(vocab, id) && !with_control) {
        return;
    }
    while ((bytes = next_part(vocab, id, &at, part)) > 0) {
        flo_buf_add(out, part, bytes);
    }
}

/* Characters are taken one by one, so that nothing is allocated for a token. */
void flo_text_stream_add(struct flo_text_stream *stream, const struct flo_vocab *vocab, int32_t id,
                         struct flo_buf *out)
{
    char *held = stream->held;
    size_t at = 0, bytes;
    if (flo_vocab_is_control(vocab, id)) {
        return;
    }
    while ((bytes = next_part(vocab, id, &at, held + stream->held_bytes)) > 0) {
        bytes += stream->held_bytes;
        stream->held_bytes = flo_utf8_add(out, held, bytes, true);
        memmove(held, held + bytes - stream->held_bytes, stream->held_bytes);
    }
}

void flo_text_stream_finish(struct flo_text_stream *stream, struct flo_buf *out)
{
    if (stream->held_bytes > 0) {
        flo_buf_text(out, FLO_UTF8_REPLACEMENT);
    }
    stream->held_bytes = 0;
}
