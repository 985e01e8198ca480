/* A sentence in less room than it needs. */
#ifndef FLOTILLA_FIT_H
#define FLOTILLA_FIT_H

#include <stddef.h>

/* As much of a sentence as has room, and "…" where something is missing.  A cut
 * is between words, and always between characters.  `out` has `bytes` of room,
 * 8 at least, and may be `text` itself.  Returns the length. */
size_t flo_text_fit(const char *text, char *out, size_t bytes);
/* The same of a format. */
size_t flo_text_fitf(char *out, size_t bytes, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
