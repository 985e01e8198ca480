/* Range coder: binary arithmetic coding with adaptive probabilities, both
 * directions.
 *
 * The interval has 64 bits, of which 32 are output at once.  A probability has
 * 22 bits and a count of the bits coded with it; the first bits change it most.
 * Integers only, so every machine computes the same interval.
 * docs/internals/delta.md describes the arithmetic. */
#ifndef FLOTILLA_TENSOR_RANGE_H
#define FLOTILLA_TENSOR_RANGE_H

#include <flotilla/base.h>

/* Adaptive probability that the next bit is one: 22 bits, then a count of 10
 * bits. */
typedef uint32_t slot_t;
#define SLOT_FRESH (UINT32_C(1) << 31) /* probability one half, no bit coded yet */
#define SLOT_COUNT_MAX 400u

#define RANGE_INLINE static inline __attribute__((always_inline))

struct range_coder {
    /* encoder: start of the interval; decoder: distance of the code from the
     * start */
    uint64_t low;
    uint64_t range; /* length of the interval, at least 2^32 */
    uint8_t *out;   /* encoder: next byte */
    uint8_t *out_begin;
    uint8_t *out_end;
    const uint8_t *in; /* decoder: next byte */
    const uint8_t *in_end;
    unsigned missing; /* bytes that the decoder read past the end */
    bool is_full;     /* the encoder's buffer was too small */
};

/* ---- encoder ---- */

static inline void range_encode_begin(struct range_coder *coder, uint8_t *out, size_t bytes)
{
    *coder = (struct range_coder){
        .range = UINT64_MAX, .out = out, .out_begin = out, .out_end = out + bytes};
}

/* Adds a carry to the bytes written.  Arguments are passed by value in all
 * functions here: an encoder whose address is never taken stays in
 * registers. */
static inline void range_carry(uint8_t *out, const uint8_t *out_begin)
{
    while (out > out_begin && ++*--out == 0) {
    }
}

RANGE_INLINE void range_put(struct range_coder *coder, size_t bytes)
{
    if ((size_t)(coder->out_end - coder->out) < bytes) {
        coder->is_full = true;
        coder->out = coder->out_begin; /* the output is invalid from here on */
    }
    for (size_t i = 0; i < bytes; i++) {
        *coder->out++ = (uint8_t)(coder->low >> 56);
        coder->low <<= 8;
    }
}

/* Writes the fewest bytes that identify the interval.  The decoder reads bytes
 * past the end as zeros. */
static inline size_t range_encode_end(struct range_coder *coder)
{
    size_t bytes = 0;

    for (; bytes < 8; bytes++) {
        uint64_t rest = UINT64_MAX >> (8 * bytes);
        uint64_t rounded = (coder->low + rest) & ~rest;
        bool is_wrapped = coder->low > UINT64_MAX - rest;
        if (rounded - coder->low < coder->range) {
            if (is_wrapped) {
                range_carry(coder->out, coder->out_begin);
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

    if (bytes == 4 && coder->in_end - coder->in >= 4) {
        const uint8_t *in = coder->in;
        coder->in += 4;
        return (uint64_t)in[0] << 24 | (uint64_t)in[1] << 16 | (uint64_t)in[2] << 8 | in[3];
    }
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

static inline void range_decode_begin(struct range_coder *coder, const uint8_t *in, size_t bytes)
{
    *coder = (struct range_coder){.range = UINT64_MAX, .in = in, .in_end = in + bytes};
    coder->low = range_take(coder, 8);
}

/* Tells whether the decoder has read more missing bytes than the eight that an
 * encoder may omit. */
static inline bool range_is_exhausted(const struct range_coder *coder)
{
    return coder->missing > 8;
}

/* Tells whether the decoder has read the payload to its end, and no more bytes
 * beyond it than the encoder may omit. */
static inline bool range_is_spent(const struct range_coder *coder)
{
    return coder->in == coder->in_end && !range_is_exhausted(coder);
}

/* Refills the decoder.  The interval always has at least 32 bits: the decoder
 * checks that before each bit, and after the last one. */
RANGE_INLINE void range_decode_more(struct range_coder *coder)
{
    if (__builtin_expect(coder->range >> 32 == 0, 0)) {
        coder->range <<= 32;
        coder->low = coder->low << 32 | range_take(coder, 4);
    }
}

/* ---- both ---- */

/* Encodes a bit.  `one` / 65536 is the probability of a one; `one` is from 1 to
 * 65535. */
RANGE_INLINE void range_encode_bit(struct range_coder *coder, uint32_t one, unsigned bit)
{
    uint64_t bound = (coder->range >> 16) * one;

    if (bit != 0) {
        coder->range = bound;
    } else {
        uint64_t before = coder->low;
        coder->low += bound;
        if (__builtin_expect(coder->low < before, 0)) {
            range_carry(coder->out, coder->out_begin);
        }
        coder->range -= bound;
    }
    if (__builtin_expect(coder->range >> 32 == 0, 0)) {
        coder->range <<= 32;
        range_put(coder, 4);
    }
}

/* Codes a bit with a branch, which is fast when the CPU predicts the bit. */
RANGE_INLINE unsigned range_bit(struct range_coder *coder, bool decodes, uint32_t one, unsigned bit)
{
    if (!decodes) {
        range_encode_bit(coder, one, bit);
        return bit;
    }
    range_decode_more(coder);
    uint64_t bound = (coder->range >> 16) * one;
    if (coder->low < bound) {
        coder->range = bound;
        return 1;
    }
    coder->low -= bound;
    coder->range -= bound;
    return 0;
}

/* Codes a bit without a branch, for bits that the CPU cannot predict. */
RANGE_INLINE unsigned range_even_bit(struct range_coder *coder, bool decodes, uint32_t one,
                                     unsigned bit)
{
    if (!decodes) {
        range_encode_bit(coder, one, bit);
        return bit;
    }
    range_decode_more(coder);
    uint64_t bound = (coder->range >> 16) * one;
    uint64_t rest = coder->range - bound;
    uint64_t is_one = 0 - (uint64_t)(coder->low < bound);
    coder->range = rest ^ ((rest ^ bound) & is_one);
    coder->low -= bound & ~is_one;
    return (unsigned)is_one & 1;
}

/* Table of 65536 / (count + 1.5), rounded down. */
extern const uint16_t flo_slot_rates[SLOT_COUNT_MAX + 1];

RANGE_INLINE uint32_t slot_rate(uint32_t count)
{
    return flo_slot_rates[count];
}

/* Moves a probability toward the coded bit.  The step toward 2^22 - 1 is the
 * step toward 0 with all bits inverted. */
RANGE_INLINE void slot_learn(slot_t *slot, unsigned bit)
{
    uint32_t count = *slot & 1023;
    uint32_t turn = (0 - bit) & 0x3fffff;
    uint32_t way = *slot >> 10 ^ turn;

    way -= (uint32_t)((uint64_t)way * slot_rate(count) >> 16);
    *slot = (way ^ turn) << 10 | (count + (count < SLOT_COUNT_MAX));
}

RANGE_INLINE uint32_t range_within(uint32_t one)
{
    return one < 12 ? 12 : one > 65524 ? 65524 : one;
}

/* Codes a bit whose probability is the mean of those in the contexts `a` and
 * `b`, and updates both. */
RANGE_INLINE unsigned range_slots(struct range_coder *coder, bool decodes, slot_t *a, slot_t *b,
                                  unsigned bit)
{
    uint32_t one = range_within(((*a >> 10) + (*b >> 10)) >> 7);

    if (range_bit(coder, decodes, one, bit) != 0) {
        slot_learn(a, 1);
        slot_learn(b, 1);
        return 1;
    }
    slot_learn(a, 0);
    slot_learn(b, 0);
    return 0;
}

RANGE_INLINE unsigned range_slot(struct range_coder *coder, bool decodes, slot_t *a, unsigned bit)
{
    if (range_bit(coder, decodes, range_within(*a >> 16), bit) != 0) {
        slot_learn(a, 1);
        return 1;
    }
    slot_learn(a, 0);
    return 0;
}

/* Codes a bit with one context and without a branch, where ones and zeros are
 * about equally frequent. */
RANGE_INLINE unsigned range_even_slot(struct range_coder *coder, bool decodes, slot_t *a,
                                      unsigned bit)
{
    bit = range_even_bit(coder, decodes, range_within(*a >> 16), bit);
    slot_learn(a, bit);
    return bit;
}

/* Codes `count` bits of a number without a context, highest first; at most
 * 32. */
RANGE_INLINE uint32_t range_plain(struct range_coder *coder, bool decodes, unsigned count,
                                  uint32_t value)
{
    uint32_t got = 0;

    while (count-- > 0) {
        got = got << 1 | range_even_bit(coder, decodes, 32768, value >> count & 1);
    }
    return got;
}

#endif
