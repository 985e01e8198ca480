/* Pack: packs weights into strips, in the layout of pack.h.  Codes come from
 * the unpacking of the plain C kernel, scales are bytes of the file, so nothing
 * is computed in floats. */
#include "engine/kernel/pack.h"

#include <string.h>

#include "engine/kernel/ref.h"

enum { GROUP = 4, REGISTER = FLO_STRIP_ALIGN };

struct format {
    uint16_t columns;  /* columns that share a scale of the file; 0: the type is not packed */
    uint8_t scales;    /* bytes of scales that a row has for 32 columns */
    uint8_t high, low; /* bits of a code in the high and in the low plane */
    uint8_t minus;     /* number that unpacking subtracts from a code */
};

static const struct format formats[FLO_QUANT_ID_COUNT] = {
    [FLO_QUANT_Q4_0] = {32, 0, 0, 4, 8},   [FLO_QUANT_Q4_1] = {32, 0, 0, 4, 0},
    [FLO_QUANT_Q5_0] = {32, 0, 1, 4, 16},  [FLO_QUANT_Q5_1] = {32, 0, 1, 4, 0},
    [FLO_QUANT_Q8_0] = {32, 0, 0, 8, 0},   [FLO_QUANT_Q2_K] = {256, 2, 0, 2, 0},
    [FLO_QUANT_Q3_K] = {256, 2, 1, 2, 4},  [FLO_QUANT_Q4_K] = {256, 2, 0, 4, 0},
    [FLO_QUANT_Q5_K] = {256, 2, 1, 4, 0},  [FLO_QUANT_Q6_K] = {256, 2, 2, 4, 32},
    [FLO_QUANT_IQ4_NL] = {32, 0, 0, 4, 0}, [FLO_QUANT_IQ4_XS] = {256, 1, 0, 4, 0},
    [FLO_QUANT_MXFP4] = {32, 1, 0, 4, 0},  [FLO_QUANT_TQ2_0] = {256, 0, 0, 2, 1},
};

/* Returns how many f16 scales a block of the file has. */
static size_t halves_of(uint32_t type)
{
    const struct flo_quant_type *quant = flo_quant_type(type);

    return quant->floats == FLO_QUANT_FLOATS_F16 ? quant->scale_count : 0;
}

struct flo_strip flo_strip_layout(uint32_t type, size_t columns)
{
    static const struct flo_strip none = {0};
    const struct format *f = &formats[type];
    size_t blocks = columns / FLO_CODE_BLOCK;
    struct flo_strip s;

    if (f->columns == 0) {
        return none;
    }
    s.group = f->columns / FLO_CODE_BLOCK;
    s.halves = halves_of(type) * FLO_STRIP_ROWS * sizeof(uint16_t);
    s.low = f->scales * FLO_STRIP_ROWS;
    s.high = s.low + f->low * REGISTER;
    s.block = s.high + f->high * REGISTER;
    s.bytes = blocks / s.group * s.halves + blocks * s.block;
    s.bytes = (s.bytes + REGISTER - 1) / REGISTER * REGISTER;
    return s;
}

size_t flo_pack_strip_bytes(uint32_t type, size_t columns)
{
    return type < FLO_QUANT_ID_COUNT ? flo_strip_layout(type, columns).bytes : 0;
}

/* Reads the bytes of scales for 32 columns, which are sub-block `sub` of a
 * block of 256. */
static void read_scales(uint32_t type, const void *block, size_t sub, uint8_t out[2])
{
    const struct flo_block_q2_k *q2_k = block;
    const struct flo_block_q3_k *q3_k = block;
    /* q5_k blocks begin as q4_k blocks do, so this reads both */
    const struct flo_block_q4_k *q4_k = block;
    const struct flo_block_q6_k *q6_k = block;

    switch (type) {
    case FLO_QUANT_Q2_K:
        memcpy(out, q2_k->scales + sub * 2, 2);
        break;
    case FLO_QUANT_Q3_K:
        out[0] = (uint8_t)flo_quant_k3_scale(q3_k->scales, sub * 2);
        out[1] = (uint8_t)flo_quant_k3_scale(q3_k->scales, sub * 2 + 1);
        break;
    case FLO_QUANT_Q6_K:
        memcpy(out, q6_k->scales + sub * 2, 2);
        break;
    case FLO_QUANT_IQ4_XS:
        out[0] = (uint8_t)flo_quant_iq4_xs_scale(block, sub);
        break;
    case FLO_QUANT_MXFP4:
        memcpy(out, block, 1);
        break;
    default:
        flo_quant_k4_scale(q4_k->scales, sub, &out[0], &out[1]);
        break;
    }
}

/* Fills raw[] so that raw[code] is the number with which a strip stores an
 * unpacked code. */
static void list_raw(uint32_t type, uint8_t raw[256])
{
    for (unsigned i = 0; i < 256; i++) {
        raw[i] = (uint8_t)(i + formats[type].minus);
    }
    if (type == FLO_QUANT_IQ4_NL || type == FLO_QUANT_IQ4_XS || type == FLO_QUANT_MXFP4) {
        const int8_t *grid = type == FLO_QUANT_MXFP4 ? flo_quant_e2m1_grid : flo_quant_iq4_grid;

        for (unsigned i = 16; i-- > 0;) { /* the first of two zeros wins */
            raw[(uint8_t)grid[i]] = (uint8_t)i;
        }
    }
}

/* Writes four codes of group g, which `codes` has as bytes, to a row of a
 * plane. */
static void put(uint8_t *plane, unsigned bits, size_t g, uint32_t codes)
{
    uint8_t *to = plane + g % bits * REGISTER;
    uint32_t word;

    memcpy(&word, to, GROUP);
    word |= (codes & 0x01010101u * ((1u << bits) - 1)) << g / bits * bits;
    memcpy(to, &word, GROUP);
}

static void pack_codes(const struct format *f, const struct flo_quant_unpacked *w,
                       const uint8_t raw[256], uint8_t *high, uint8_t *low)
{
    for (size_t g = 0; g < FLO_CODE_BLOCK / GROUP; g++) {
        uint8_t four[GROUP];
        uint32_t codes;

        for (size_t i = 0; i < GROUP; i++) {
            four[i] = raw[(uint8_t)w->codes[g * GROUP + i]];
        }
        memcpy(&codes, four, GROUP);
        put(low, f->low, g, codes);
        if (f->high > 0) {
            put(high, f->high, g, codes >> f->low);
        }
    }
}

static void pack_halves(const struct flo_quant_type *type, const uint8_t *block, size_t r,
                        uint8_t *halves)
{
    for (size_t s = 0; s < halves_of(type->id); s++) {
        memcpy(halves + (s * FLO_STRIP_ROWS + r) * sizeof(uint16_t), block + type->scale_offset[s],
               sizeof(uint16_t));
    }
}

void flo_pack_strip(uint32_t type, const uint8_t *rows, size_t row_bytes, size_t count,
                    size_t columns, uint8_t *strip)
{
    const struct format *f = &formats[type];
    const struct flo_quant_type *quant = flo_quant_type(type);
    struct flo_strip at = flo_strip_layout(type, columns);
    uint8_t raw[256];

    list_raw(type, raw);
    memset(strip, 0, at.bytes);
    for (size_t r = 0; r < count; r++) {
        const uint8_t *row = rows + r * row_bytes;

        for (size_t b = 0; b < columns / FLO_CODE_BLOCK; b++) {
            const uint8_t *from = row + b / at.group * quant->block_bytes;
            uint8_t *to = strip + flo_strip_block(&at, b);
            struct flo_quant_unpacked w;
            uint8_t scales[2];

            if (b % at.group == 0) {
                pack_halves(quant, from, r, to - at.halves);
            }
            if (f->scales > 0) {
                read_scales(type, from, b % at.group, scales);
            }
            for (size_t s = 0; s < f->scales; s++) {
                to[s * FLO_STRIP_ROWS + r] = scales[s];
            }
            quant->unpack(row, b, &w);
            pack_codes(f, &w, raw, to + at.high + r * GROUP, to + at.low + r * GROUP);
        }
    }
}
