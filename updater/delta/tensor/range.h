/* Binary arithmetic coding with adaptive probabilities, both directions.
 *
 * The interval has 64 bits; 32 leave at once.  A probability has 22 bits and a
 * count of its decisions: the first ones move it most.  Integers only: every
 * machine computes the same interval.  docs/internals/delta.md has the
 * arithmetic as text. */
#ifndef FLOTILLA_TENSOR_RANGE_H
#define FLOTILLA_TENSOR_RANGE_H

#include <flotilla/base.h>

/* The probability that the next bit is one: 22 bits, then 10 bits of count. */
typedef uint32_t slot_t;
#define SLOT_FRESH (UINT32_C(1) << 31) /* one half, no decision yet */
#define SLOT_COUNT_MAX 400u

#define RANGE_INLINE static inline __attribute__((always_inline))

struct range_coder {
    uint64_t low;   /* encoder: begin of the interval; decoder: code - begin */
    uint64_t range; /* length of the interval, at least 2^32 */
    uint8_t *out;   /* encoder: next byte */
    uint8_t *out_begin;
    uint8_t *out_end;
    const uint8_t *in; /* decoder: next byte */
    const uint8_t *in_end;
    unsigned missing; /* bytes that were read behind the end */
    bool is_full;     /* the encoder's buffer was too small */
};

/* ---- encoder ---- */

static inline void range_encode_begin(struct range_coder *coder, uint8_t *out,
                                      size_t bytes)
{
    *coder = (struct range_coder){.range = UINT64_MAX,
                                  .out = out,
                                  .out_begin = out,
                                  .out_end = out + bytes};
}

static inline void range_carry(struct range_coder *coder)
{
    uint8_t *p = coder->out;

    while (p > coder->out_begin && ++*--p == 0) {
    }
}

static inline void range_put(struct range_coder *coder, size_t bytes)
{
    if ((size_t)(coder->out_end - coder->out) < bytes) {
        coder->is_full = true;
        coder->out = coder->out_begin; /* what follows is of no use */
    }
    for (size_t i = 0; i < bytes; i++) {
        *coder->out++ = (uint8_t)(coder->low >> 56);
        coder->low <<= 8;
    }
}

/* The fewest bytes that any reader takes into the interval; those behind the
 * end count as zeros. */
static inline size_t range_encode_end(struct range_coder *coder)
{
    size_t bytes = 0;

    for (; bytes < 8; bytes++) {
        uint64_t rest = UINT64_MAX >> (8 * bytes);
        uint64_t rounded = (coder->low + rest) & ~rest;
        bool is_wrapped = coder->low > UINT64_MAX - rest;
        if (rounded - coder->low < coder->range) {
            if (is_wrapped) {
                range_carry(coder);
            }
            coder->low = rounded;
            break;
        }
    }
    range_put(coder, bytes);
    return (size_t)(coder->out - coder->out_begin);
}

/* ---- decoder ---- */

static inline uint64_t range_take(struct range_coder *coder, unsigned bytes)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < bytes; i++) {
        value <<= 8;
        if (coder->in < coder->in_end) {
            value |= *coder->in++;
        } else {
            coder->missing++;
        }
    }
    return value;
}

static inline void range_decode_begin(struct range_coder *coder,
                                      const uint8_t *in, size_t bytes)
{
    *coder = (struct range_coder){
        .range = UINT64_MAX, .in = in, .in_end = in + bytes};
    coder->low = range_take(coder, 8);
}

/* More was read than the encoder's last eight bytes can have left out. */
static inline bool range_is_exhausted(const struct range_coder *coder)
{
    return coder->missing > 8;
}

/* All bytes were read, and none too many. */
static inline bool range_is_spent(const struct range_coder *coder)
{
    return coder->in == coder->in_end && !range_is_exhausted(coder);
}

/* ---- both ---- */

/* One bit; `one` of 65536 is the chance of a one, from 1 to 65535. */
RANGE_INLINE unsigned range_bit(struct range_coder *coder, bool decodes,
                                uint32_t one, unsigned bit)
{
    uint64_t bound = (coder->range >> 16) * one;

    if (decodes) {
        bit = coder->low < bound;
    }
    if (bit != 0) {
        coder->range = bound;
    } else if (decodes) {
        coder->low -= bound;
        coder->range -= bound;
    } else {
        uint64_t before = coder->low;
        coder->low += bound;
        if (coder->low < before) {
            range_carry(coder);
        }
        coder->range -= bound;
    }
    if (coder->range >> 32 == 0) {
        coder->range <<= 32;
        if (decodes) {
            coder->low = coder->low << 32 | range_take(coder, 4);
        } else {
            range_put(coder, 4);
        }
    }
    return bit;
}

/* 65536 / (count + 1.5), cut. */
extern const uint16_t flo_slot_rates[SLOT_COUNT_MAX + 1];

RANGE_INLINE void slot_learn(slot_t *slot, unsigned bit)
{
    uint32_t count = *slot & 1023;
    uint64_t p = *slot >> 10;
    uint64_t rate = flo_slot_rates[count];

    if (bit != 0) { /* callers branch on it as well: one jump for all */
        p += ((1 << 22) - 1 - p) * rate >> 16;
    } else {
        p -= p * rate >> 16;
    }
    *slot = (uint32_t)p << 10 | (count < SLOT_COUNT_MAX ? count + 1 : count);
}

/* A bit under the mean of two contexts' probabilities. */
RANGE_INLINE unsigned range_slots(struct range_coder *coder, bool decodes,
                                  slot_t *a, slot_t *b, unsigned bit)
{
    uint32_t one = ((*a >> 10) + (*b >> 10)) >> 7;

    one = one < 12 ? 12 : one > 65524 ? 65524 : one;
    bit = range_bit(coder, decodes, one, bit);
    slot_learn(a, bit);
    slot_learn(b, bit);
    return bit;
}

RANGE_INLINE unsigned range_slot(struct range_coder *coder, bool decodes,
                                 slot_t *a, unsigned bit)
{
    uint32_t one = *a >> 16;

    one = one < 12 ? 12 : one > 65524 ? 65524 : one;
    bit = range_bit(coder, decodes, one, bit);
    slot_learn(a, bit);
    return bit;
}

/* `count` bits of a plain number, highest first; at most 32. */
RANGE_INLINE uint32_t range_plain(struct range_coder *coder, bool decodes,
                                  unsigned count, uint32_t value)
{
    uint32_t got = 0;

    while (count-- > 0) {
        got = got << 1 | range_bit(coder, decodes, 32768, value >> count & 1);
    }
    return got;
}

#endif
