/* Normalize: Unicode's canonical forms, of Unicode 15.1. */
#ifndef FLOTILLA_ENGINE_NORMALIZE_H
#define FLOTILLA_ENGINE_NORMALIZE_H

#include <flotilla/base.h>

#define FLO_DECOMPOSED_MAX 8

/* Writes the full canonical decomposition of a character, without sorting
 * marks.  Returns its length, which is 1 for most. */
size_t flo_unicode_decompose(uint32_t code, uint32_t out[FLO_DECOMPOSED_MAX]);
/* Returns the character that two characters are composed to; 0 if they stay
 * apart. */
uint32_t flo_unicode_compose(uint32_t first, uint32_t second);
/* Returns the canonical combining class; 0 for a character that marks follow. */
uint8_t flo_unicode_class(uint32_t code);

/* Appends a text in normalization form C.  The text is valid UTF-8.
 * out->failed is set if there is no memory. */
void flo_text_compose(struct flo_buf *out, const char *text, size_t bytes);

#endif
