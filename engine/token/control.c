/* Control: writes control tokens into a text of bytes, and finds them there. */
#include "engine/token/control.h"

#include <string.h>

#include "engine/token/vocab/vocab.h"

enum { DIGIT_BITS = 3 };

void flo_control_add(struct flo_buf *out, int32_t id)
{
    char bytes[FLO_CONTROL_BYTES];

    for (uint32_t i = FLO_CONTROL_BYTES; i-- > 0; id >>= DIGIT_BITS) {
        bytes[i] = (char)(FLO_CONTROL_FIRST | ((uint32_t)id & 7));
    }
    flo_buf_add(out, bytes, sizeof(bytes));
}

int32_t flo_control_read(const char *bytes)
{
    int32_t id = 0;

    for (uint32_t i = 0; i < FLO_CONTROL_BYTES; i++) {
        id = id << DIGIT_BITS | (bytes[i] & 7);
    }
    return id;
}

void flo_control_piece(const struct flo_vocab *vocab, int32_t id, struct flo_buf *out)
{
    if (flo_vocab_is_control(vocab, id)) {
        flo_control_add(out, id);
    } else {
        flo_vocab_piece(vocab, id, false, out);
    }
}

/* Returns the longest control token that is spelled at the beginning of `text`,
 * or -1. */
static int32_t find(const struct flo_vocab *vocab, const char *text, size_t bytes)
{
    for (size_t i = 0; i < vocab->specials.count; i++) {
        int32_t id = vocab->specials.ids[i];
        const struct flo_vocab_token *token = &vocab->tokens[id];

        if (token->bytes <= bytes && flo_vocab_is_control(vocab, id) &&
            memcmp(token->text, text, token->bytes) == 0) {
            return id;
        }
    }
    return -1;
}

void flo_control_spell(const struct flo_vocab *vocab, const char *text, size_t bytes,
                       struct flo_buf *out)
{
    for (size_t at = 0; at < bytes;) {
        int32_t id = find(vocab, text + at, bytes - at);

        if (id >= 0) {
            flo_control_add(out, id);
            at += vocab->tokens[id].bytes;
        } else {
            flo_buf_add(out, text + at++, 1);
        }
    }
}

size_t flo_control_whole(const char *text, size_t bytes)
{
    size_t at = 0;

    while (at < bytes) {
        size_t run = 0;

        if ((uint8_t)text[at] >= FLO_CONTROL_FIRST) {
            if (bytes - at < FLO_CONTROL_BYTES) {
                break;
            }
            at += FLO_CONTROL_BYTES;
            continue;
        }
        while (at + run < bytes && (uint8_t)text[at + run] < FLO_CONTROL_FIRST) {
            run++;
        }
        size_t good = flo_utf8_valid(text + at, run);
        at += good;
        if (good < run) {
            break;
        }
    }
    return at;
}
