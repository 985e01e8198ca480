/* Packed weights: strips of 16 rows, as wide registers read them.
 *
 * A strip holds 16 rows of a matrix, all columns, block of 32 columns after
 * block: the codes of four columns of 16 rows fill 64 bytes, so that one
 * register holds a value of every row and no sums across lanes are needed.
 * Packing changes the order of the bits, never a value.  Strips are made when
 * a release is staged (flotilla-engine pack) and mapped like the model itself.
 *
 * A strip is four sections, each of whole 64 bytes, some of them empty:
 *   halves  of 32 or 256 columns: f16 d[16], then f16 dmin (or m) [16]
 *   scales  of 32 columns: a byte for each row, then a second one each:
 *           Q4_K Q5_K  scale, min      IQ4_XS  scale (signed)
 *           Q6_K Q3_K  scale of the first and of the last 16 columns (signed)
 *           Q2_K       the same, scale in the low nibble, min in the high one
 *   high    of 32 columns: the upper bits of the codes
 *   low     of 32 columns: the lower bits
 * Codes are unsigned as in the file (of IQ4 types: the nibble), those of Q8_0
 * signed.  A plane of `bits` bits (1, 2, 4 or 8) has `bits` registers of 64
 * bytes for 32 columns: column 4 * g + c of row r stands in register g % bits,
 * byte 4 * r + c, from bit g / bits * bits on. */
#ifndef FLOTILLA_ENGINE_PACK_H
#define FLOTILLA_ENGINE_PACK_H

#include <flotilla/base.h>

/* Version of the bytes of strips: grows when pack.c writes others. */
#define FLO_PACK_LAYOUT 1u
#define FLO_STRIP_ROWS 16u
#define FLO_STRIP_ALIGN 64u /* bytes: of a strip and of its size */

/* Where the sections begin: bytes from a strip's begin. */
struct flo_strip {
    size_t scales, high, low; /* halves: 0 */
    size_t bytes;             /* of the strip; 0: the type is not packed */
};
struct flo_strip flo_strip_layout(uint32_t type, size_t columns);

/* Bytes of a strip; 0: this type is not packed (float types). */
size_t flo_pack_strip_bytes(uint32_t type, size_t columns);

/* Pack `count` (1..16) rows of `row_bytes` each; the rows that are missing
 * are zeros.  Pure. */
void flo_pack_strip(uint32_t type, const uint8_t *rows, size_t row_bytes,
                    size_t count, size_t columns, uint8_t *strip);

#endif
