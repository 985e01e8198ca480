/* Normalize: Unicode's canonical forms, of Unicode 15.1. */
#ifndef FLOTILLA_ENGINE_NORMALIZE_H
#define FLOTILLA_ENGINE_NORMALIZE_H

#include <flotilla/base.h>

#define FLO_DECOMPOSED_MAX 8

/* Writes the full canonical decomposition of a character, without sorting
 * marks.  Returns its length, which is 1 for most. */
size_t flo_unicode_decompose(uint32_t code, uint32_t out[FLO_DECOMPOSED_MAX]);

/* Appends a text in normalization form C.  The text is valid UTF-8.
 * out->failed is set if there is no memory. */
void flo_text_compose(struct flo_buf *out, const char *text, size_t bytes);
/* Appends a text in normalization form D, likewise. */
void flo_text_decompose(struct flo_buf *out, const char *text, size_t bytes);

#endif
