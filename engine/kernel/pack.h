/* Pack: weights packed in strips of 16 rows, in the order in which wide
 * registers read them.
 *
 * A strip holds 16 rows of a matrix with all columns, one block of 32 columns
 * after another.  The codes of four columns of 16 rows fill 64 bytes.  So one
 * register holds a value of every row, and no sums across lanes are needed.
 * Packing changes the order of the bits, never a value.  Strips are made when a
 * release is staged (flotilla-engine pack) and mapped like the model itself.
 *
 * A product reads a strip from its first byte to its last, which CPUs prefetch
 * well.  A layout with scales apart from codes reached half the memory
 * bandwidth for one token.
 *
 * The columns that share a scale of the file's block (32 or 256) are a group:
 *   halves  f16 d[16], then f16 dmin (or m) [16], of those types that have them
 *   and for each block of 32 columns
 *   scales  a byte for each row, then a second one each, or nothing:
 *           Q4_K Q5_K  scale, min      IQ4_XS  scale (signed)
 *           Q6_K Q3_K  scale of the first and of the last 16 columns (signed)
 *           Q2_K       the same, scale in the low nibble, min in the high one
 *           MXFP4      the exponent, which is the only scale
 *   low     the lower bits of the codes
 *   high    the upper bits, or nothing
 * and after the last group zeros to a whole 64 bytes.  Codes are unsigned as in
 * the file (of IQ4 types and MXFP4: the nibble), those of Q8_0 signed.  A plane
 * of `bits` bits (1, 2, 4 or 8) has `bits` registers of 64 bytes.  Column 4 * g
 * + c of row r is in register g % bits, in byte 4 * r + c, from bit g / bits *
 * bits on. */
#ifndef FLOTILLA_ENGINE_PACK_H
#define FLOTILLA_ENGINE_PACK_H

#include <flotilla/base.h>

/* Version of the layout of strips.  It is incremented when pack.c writes other
 * bytes. */
#define FLO_PACK_LAYOUT 2u
#define FLO_STRIP_ROWS 16u
/* bytes of which a strip's address and size are multiples */
#define FLO_STRIP_ALIGN 64u

/* Layout of a strip, in bytes. */
struct flo_strip {
    /* number of blocks in a group, 1 or 8; 0: the type is not packed */
    size_t group;
    size_t halves;    /* bytes of f16 d and dmin in front of a group's blocks */
    size_t low, high; /* offsets of the planes in a block, which begins with its scales */
    size_t block;
    size_t bytes; /* the whole strip */
};
struct flo_strip flo_strip_layout(uint32_t type, size_t columns);

/* Returns the offset of block b in a strip.  A group begins with its f16
 * scales, which the first block follows. */
static inline size_t flo_strip_block(const struct flo_strip *at, size_t b)
{
    return (b / at->group + 1) * at->halves + b * at->block;
}

/* Returns the bytes of a strip, or 0 if weights of this type are not packed, as
 * floats are not. */
size_t flo_pack_strip_bytes(uint32_t type, size_t columns);

/* Packs `count` rows (1 to 16) of `row_bytes` each.  Missing rows become zeros.
 * Pure. */
void flo_pack_strip(uint32_t type, const uint8_t *rows, size_t row_bytes, size_t count,
                    size_t columns, uint8_t *strip);

#endif
