/* Match finder: longest matches in the old file, by a table of the first two or
 * three bytes and a suffix array.  Publisher only. */
#ifndef FLOTILLA_DELTA_MATCH_H
#define FLOTILLA_DELTA_MATCH_H

#include <flotilla/base.h>

struct match_index;

#define MATCH_NARROW_BYTES_MAX INT32_MAX

/* Builds an index of `old`, which must outlive it.  Uses 4 bytes per byte up to
 * narrow_bytes_max (MATCH_NARROW_BYTES_MAX; tests lower it), 8 above, and at
 * most 128 MiB for the table.  FLO_E_MEMORY. */
FLO_MUST_USE int flo_match_index_open(const uint8_t *old, uint64_t bytes, uint64_t narrow_bytes_max,
                                      struct match_index **out, struct flo_err *err);
void flo_match_index_close(struct match_index *index);

/* Finds the longest prefix of `text` that occurs in old.  Returns its length,
 * and its offset in *where.  Returns 0 for less than the table's two or three
 * bytes. */
uint64_t flo_match_longest(const struct match_index *index, const uint8_t *text, uint64_t bytes,
                           uint64_t *where);

#endif
