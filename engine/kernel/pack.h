/* Packed weights: strips of 16 rows, as wide registers read them.
 *
 * A strip holds 16 rows of a matrix, all columns, block of 32 columns after
 * block: the codes of four columns of 16 rows fill 64 bytes, so that one
 * register holds a value of every row and no sums across lanes are needed.
 * How a type's scales and codes lie in a block is told in pack.c, the only
 * writer; kernels that read strips are written against that.  Packing changes
 * the order of the bits, never a value.  Strips are made when a release is
 * staged (flotilla-engine pack) and mapped like the model itself. */
#ifndef FLOTILLA_ENGINE_PACK_H
#define FLOTILLA_ENGINE_PACK_H

#include <flotilla/base.h>

#define FLO_STRIP_ROWS 16u
#define FLO_STRIP_ALIGN 64u /* bytes: of a strip and of its size */

/* Bytes of a strip; 0: this type is not packed (float types). */
size_t flo_pack_strip_bytes(uint32_t type, size_t columns);

/* Pack `count` (1..16) rows of `row_bytes` each; the rows that are missing
 * are zeros.  Pure. */
void flo_pack_strip(uint32_t type, const uint8_t *rows, size_t row_bytes,
                    size_t count, size_t columns, uint8_t *strip);

#endif
