/* Normalize: Unicode's normalization forms: canonical ones of Unicode
 * 15.1, those for compatibility without what came after Unicode 11. */
#ifndef FLOTILLA_ENGINE_NORMALIZE_H
#define FLOTILLA_ENGINE_NORMALIZE_H

#include <flotilla/base.h>

#define FLO_DECOMPOSED_MAX 8

/* Writes the full canonical decomposition of a character, without sorting
 * marks.  Returns its length, which is 1 for most. */
size_t flo_unicode_decompose(uint32_t code, uint32_t out[FLO_DECOMPOSED_MAX]);

/* Normalization forms: C, or D with APART; KC and KD with COMPATIBLE. */
enum { FLO_FORM_C = 0, FLO_FORM_APART = 1, FLO_FORM_COMPATIBLE = 2 };

/* Appends a text in a normalization form.  The text is valid UTF-8.
 * out->failed is set if there is no memory. */
void flo_text_normalize(struct flo_buf *out, const char *text, size_t bytes, unsigned form);
static inline void flo_text_compose(struct flo_buf *out, const char *text, size_t bytes)
{
    flo_text_normalize(out, text, bytes, FLO_FORM_C);
}

#endif
