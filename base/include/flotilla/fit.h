/* Fitting text: shortens a sentence to the room that there is. */
#ifndef FLOTILLA_FIT_H
#define FLOTILLA_FIT_H

#include <stddef.h>

/* Copies as much of a sentence as fits, with "…" where it is cut: between words
 * if possible, and always between characters.  `out` has `bytes` of room, 8 at
 * least, and may be `text` itself.  Returns the length. */
size_t flo_text_fit(const char *text, char *out, size_t bytes);
/* Fits the text of a printf format, as flo_text_fit does. */
size_t flo_text_fitf(char *out, size_t bytes, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
