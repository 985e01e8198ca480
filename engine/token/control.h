/* Control tokens in a text of bytes.
 *
 * A control token has no text of its own, whatever it is spelled like.  Where
 * bytes must tell it from the same letters, it stands as seven bytes that no
 * UTF-8 has: 0xf8 and three bits of the id each, the highest first.  So a
 * grammar can ask for it, and a reader of answers can find it. */
#ifndef FLOTILLA_ENGINE_CONTROL_H
#define FLOTILLA_ENGINE_CONTROL_H

#include "engine/token/token.h"

#define FLO_CONTROL_BYTES 7u
#define FLO_CONTROL_FIRST 0xf8u /* bytes from here on are of these */

void flo_control_add(struct flo_buf *out, int32_t id);
/* The id of the seven bytes. */
int32_t flo_control_read(const char *bytes);
/* Append a token's bytes, or the seven. */
void flo_control_piece(const struct flo_vocab *vocab, int32_t id, struct flo_buf *out);
/* Append a text in which each control token that is spelled there, the longest
 * first, is these bytes. */
void flo_control_spell(const struct flo_vocab *vocab, const char *text, size_t bytes,
                       struct flo_buf *out);
/* How many of the bytes are whole: characters, and control tokens. */
size_t flo_control_whole(const char *text, size_t bytes);

#endif
