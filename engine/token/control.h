/* Control: control tokens in a text of bytes.
 *
 * A control token has no text of its own, whatever its spelling.  To
 * distinguish it from the same letters, it is written as seven bytes that never
 * occur in UTF-8: each 0xf8 plus three bits of the id, the highest first.  So a
 * grammar can ask for a control token, and a reader of answers can find it. */
#ifndef FLOTILLA_ENGINE_CONTROL_H
#define FLOTILLA_ENGINE_CONTROL_H

#include "engine/token/token.h"

#define FLO_CONTROL_BYTES 7u
#define FLO_CONTROL_FIRST 0xf8u /* smallest byte of a control token; no UTF-8 has such bytes */

void flo_control_add(struct flo_buf *out, int32_t id);
/* Returns the id of the control token whose seven bytes these are. */
int32_t flo_control_read(const char *bytes);
/* Appends the bytes of a token; for a control token these are its seven
 * bytes. */
void flo_control_piece(const struct flo_vocab *vocab, int32_t id, struct flo_buf *out);
/* Appends the text, in which each spelled control token becomes its seven
 * bytes.  Longer tokens are found first. */
void flo_control_spell(const struct flo_vocab *vocab, const char *text, size_t bytes,
                       struct flo_buf *out);
/* Returns how many of the first bytes form whole characters and control
 * tokens. */
size_t flo_control_whole(const char *text, size_t bytes);

#endif
