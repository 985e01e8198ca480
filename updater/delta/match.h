/* Match finder: longest matches in the old file, by a table of the first two or
 * three bytes and a suffix array.  Publisher only. */
#ifndef FLOTILLA_DELTA_MATCH_H
#define FLOTILLA_DELTA_MATCH_H

#include <flotilla/base.h>

struct match_index;

#define MATCH_NARROW_BYTES_MAX INT32_MAX

/* Builds an index of `old`, which must outlive the index.  It uses 4 bytes per
 * byte of a file of at most narrow_bytes_max, and 8 above.  Its table has at
 * most 128 MiB.  Callers pass MATCH_NARROW_BYTES_MAX, tests a lower limit.
 * FLO_E_MEMORY. */
FLO_MUST_USE int flo_match_index_open(const uint8_t *old, uint64_t bytes, uint64_t narrow_bytes_max,
                                      struct match_index **out, struct flo_err *err);
void flo_match_index_close(struct match_index *index);

/* Finds the longest prefix of `text` that occurs in the old file.  Returns its
 * length, and its offset in *where.  Returns 0 for a prefix shorter than the
 * table's keys of two or three bytes. */
uint64_t flo_match_longest(const struct match_index *index, const uint8_t *text, uint64_t bytes,
                           uint64_t *where);

#endif
