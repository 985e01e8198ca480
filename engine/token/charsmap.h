/* Charsmap: the table of replacements that SentencePiece makes of its
 * normalization rules (`tokenizer.ggml.precompiled_charsmap`).
 *
 * Four bytes say how long the double array is that follows, in little-endian
 * words; then come the replacements, each with a NUL.  A word of the array has
 * bits 0-7 the byte that leads to it, bit 8 that a replacement's offset is at
 * its base, bit 9 that the base counts in 256s, bits 10-30 the base; with bit
 * 31 it is an offset. */
#ifndef FLOTILLA_ENGINE_CHARSMAP_H
#define FLOTILLA_ENGINE_CHARSMAP_H

#include <flotilla/base.h>

/* Zero-initialise: no character is replaced. */
struct flo_charsmap {
    const uint8_t *words; /* borrowed */
    size_t word_count;
    const char *texts; /* replacements, the last byte of which is NUL */
    size_t texts_bytes;
};
/* Reads a table, which must outlive *out.  FLO_E_GGUF_VOCAB. */
FLO_MUST_USE int flo_charsmap_open(const uint8_t *data, size_t bytes, struct flo_charsmap *out,
                                   struct flo_err *err);
/* Finds the shortest beginning of the text that is replaced.  Returns its
 * length; 0 if there is none. */
size_t flo_charsmap_find(const struct flo_charsmap *map, const char *text, size_t bytes,
                         const char **replacement);

#endif
