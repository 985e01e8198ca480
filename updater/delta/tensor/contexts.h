/* Contexts: states of the predictor, and the coding of one number under them,
 * for encoder and decoder.
 *
 * Each kind of number has contexts of its own.  They depend on the changes of
 * its row and its column so far, and on the distance of the prediction from the
 * next code.  Part of the frozen predictor (model.h). */
#ifndef FLOTILLA_TENSOR_CONTEXTS_H
#define FLOTILLA_TENSOR_CONTEXTS_H

#include "updater/delta/tensor/directions.h"
#include "updater/delta/tensor/model.h"

#define MARGINS 18
/* number of kinds of guesses: a margin class, and whether the code is at an end
 * of the grid */
#define PLACES (MARGINS * 3)
#define LEVELS 32
#define CLASSES 24
#define NUMBER_LEVELS 48
#define NUMBER_BINS 33
#define GROUP_VALUES 32

/* ---- contexts ---- */

/* Contexts for the small differences of codes, scales and mins. */
struct code_slots {
    slot_t none_a[LEVELS][PLACES];
    slot_t none_b[16][PLACES];
    slot_t toward[LEVELS / 4][MARGINS];
    slot_t more[LEVELS / 2][16];
    slot_t same_group[LEVELS][8];
};

/* Contexts for differences of numbers of 16 or 32 bits. */
struct number_slots {
    slot_t bins_a[NUMBER_LEVELS][NUMBER_BINS];
    slot_t bins_b[64][NUMBER_BINS];
    slot_t sign[8];
    slot_t top[NUMBER_BINS][4];
    slot_t same_group[NUMBER_LEVELS][4];
};

enum numbers { NUMBER_D, NUMBER_M, NUMBER_VALUE, NUMBER_KINDS };

struct slots {
    struct code_slots codes[CLASSES];
    struct code_slots scales[2];
    struct code_slots mins[2];
    struct number_slots numbers[NUMBER_KINDS * 4];
    slot_t same_block[16];
};

/* Activity: the mean size of changes of one kind of number, by column and by
 * row. */
struct activity {
    uint32_t *column;
    uint32_t columns;
    uint32_t column_mean;
    uint32_t row_mean;
    uint64_t row_sum;
    uint32_t row_count;
    uint32_t rows;
    uint32_t prior; /* number of values for which row_mean counts in the mean of a new row */
};
enum activities { MOVED_CODES, MOVED_D, MOVED_M, MOVED_SCALES, MOVED_MINS };
#define ACTIVITIES 5

struct tensor_model {
    struct slots slots;
    struct activity moved[ACTIVITIES];
    int64_t step_mean;
    /* one bit for each of the last blocks, which tells whether it was
     * unchanged; then the bit lengths of the last changes of the two f16
     * factors */
    unsigned same_history;
    unsigned last_bits[2];
    struct directions directions;
    /* Old values of the current block. */
    int64_t cache[BLOCK_VALUES_MAX];
    uint32_t column_store[TENSOR_COLUMNS_MAX];
    uint16_t ratios[TENSOR_COLUMNS_MAX]; /* new/old ratio of each column of integers */
    uint32_t block_store[2][TENSOR_COLUMNS_MAX / 32];
    uint32_t part_store[2][TENSOR_COLUMNS_MAX / 16];
};

/* Returns 4 * log2(v), rounded down, or 0 for v = 0. */
static inline int lg4(uint32_t v)
{
    int zeros;

    v |= 1;
    zeros = __builtin_clz(v);
    return (31 - zeros) * 4 + (int)(v << zeros >> 29 & 3);
}

static inline int lg4_wide(uint64_t v)
{
    int shift = 0;

    while (v > UINT32_MAX) {
        v >>= 8;
        shift += 32;
    }
    return lg4((uint32_t)v) + shift;
}

static inline int clamp(int v, int least, int most)
{
    return v < least ? least : v > most ? most : v;
}

/* ---- activity ---- */

static inline void activity_begin(struct activity *moved, uint32_t *store, uint32_t columns,
                                  uint32_t first, uint32_t prior)
{
    *moved = (struct activity){.column = store,
                               .columns = columns,
                               .column_mean = first,
                               .row_mean = first,
                               .prior = prior};
    for (uint32_t i = 0; i < columns; i++) {
        store[i] = first;
    }
}

static inline uint32_t activity_row(const struct activity *moved)
{
    uint64_t sum = (uint64_t)moved->row_mean * moved->prior + moved->row_sum;

    return (uint32_t)(sum / (moved->prior + moved->row_count));
}

/* Returns how much more the values of this row change than those of all
 * columns, as 4 * log2.  The caller adds lg4(column), which gives the expected
 * change. */
static inline int activity_base(const struct activity *moved)
{
    return lg4(activity_row(moved)) - lg4(moved->column_mean);
}

static inline int activity_shift(const struct activity *moved)
{
    return moved->rows < 8 ? 3 : moved->rows < 16 ? 4 : moved->rows < 32 ? 5 : 6;
}

static inline void activity_move(uint32_t *mean, uint32_t size, int shift)
{
    *mean = (uint32_t)((int64_t)*mean + (((int64_t)size - (int64_t)*mean) >> shift));
}

static inline void activity_learn(struct activity *moved, uint32_t column, uint32_t size, int shift)
{
    activity_move(&moved->column[column], size, shift);
    moved->row_sum += size;
    moved->row_count++;
}

/* Updates the activity for `count` unchanged values from a column on. */
static inline void activity_rest(struct activity *moved, uint32_t column, size_t count, int shift)
{
    uint32_t *mean = moved->column + column;
    uint32_t round = (UINT32_C(1) << shift) - 1;

    for (size_t i = 0; i < count; i++) { /* rounds up, because a right shift rounds a
                                          * negative change up in size */
        mean[i] -= (mean[i] >> shift) + ((mean[i] & round) != 0);
    }
    moved->row_count += (uint32_t)count;
}

static inline void activity_row_end(struct activity *moved)
{
    uint64_t sum = 0;

    if (moved->row_count == 0) {
        return;
    }
    for (uint32_t i = 0; i < moved->columns; i++) {
        sum += moved->column[i];
    }
    moved->column_mean = (uint32_t)(sum / moved->columns);
    uint64_t mean = moved->row_sum / moved->row_count;
    mean = mean < UINT32_MAX ? mean : UINT32_MAX;
    int64_t rest = (int64_t)mean - (int64_t)moved->row_mean;
    int64_t part = moved->rows == 0 ? rest : rest / (moved->rows < 3 ? 2 : 6);
    moved->row_mean = (uint32_t)((int64_t)moved->row_mean + part);
    moved->row_sum = 0;
    moved->row_count = 0;
    moved->rows++;
}

/* ---- numbers of 16 or 32 bits ---- */

static inline unsigned bits_of(uint32_t v)
{
    return v == 0 ? 0 : 32u - (unsigned)__builtin_clz(v);
}

/* Codes the bit length of a difference, searching up or down from the likely
 * length. */
RANGE_INLINE unsigned code_bits(struct range_coder *coder, bool decodes, slot_t *a, slot_t *b,
                                unsigned likely, unsigned most, unsigned bits)
{
    unsigned j = likely;

    if (range_slots(coder, decodes, &a[j], &b[j], bits > j) != 0) {
        for (j++; j < most; j++) {
            if (range_slots(coder, decodes, &a[j], &b[j], bits > j) == 0) {
                break;
            }
        }
        return j;
    }
    while (j > 0) {
        if (range_slots(coder, decodes, &a[j - 1], &b[j - 1], bits > j - 1) != 0) {
            break;
        }
        j--;
    }
    return j;
}

/* Codes the bits below the highest: two with learned probabilities, the others
 * without a context. */
RANGE_INLINE uint32_t code_rest(struct range_coder *coder, bool decodes, slot_t top[4],
                                unsigned bits, uint32_t size)
{
    uint32_t got = 1;
    unsigned left = bits - 1;

    for (unsigned i = 0; i < 2 && left > 0; i++) {
        left--;
        got = got << 1 | range_even_slot(coder, decodes, &top[got], size >> left & 1);
    }
    if (left > 0) {
        got = got << left | range_plain(coder, decodes, left, size);
    }
    return got;
}

/* Returns the likely bit length for a level.  A level is the expected size in
 * half octaves, 12 for size 1. */
static inline int likely_bits(int level, int most)
{
    return clamp((level - 10) / 2, 0, most - 1);
}

/* Codes a difference.  `level` is its expected size, clamped to the contexts,
 * and `likely` its likely bit length. */
RANGE_INLINE int64_t code_number(struct range_coder *coder, bool decodes,
                                 struct number_slots *slots, unsigned level, unsigned likely,
                                 unsigned other, unsigned sign_context, unsigned most,
                                 int64_t difference)
{
    uint32_t size = (uint32_t)(difference < 0 ? -difference : difference);
    unsigned bits = code_bits(coder, decodes, slots->bins_a[level], slots->bins_b[other], likely,
                              most, bits_of(size));

    if (bits == 0) {
        return 0;
    }
    unsigned is_less = range_even_slot(coder, decodes, &slots->sign[sign_context], difference < 0);
    size = code_rest(coder, decodes, slots->top[bits], bits, size);
    return is_less != 0 ? -(int64_t)size : (int64_t)size;
}

/* Maps a float's bits to an integer that sorts as the floats do, so that
 * neighbours differ by one. */
static inline uint32_t order_of(uint32_t bits, unsigned width)
{
    uint32_t sign = UINT32_C(1) << (width - 1);
    uint32_t all = sign | (sign - 1);

    return (bits & sign) != 0 ? bits ^ all : bits | sign;
}

static inline uint32_t unordered(uint32_t order, unsigned width)
{
    uint32_t sign = UINT32_C(1) << (width - 1);
    uint32_t all = sign | (sign - 1);

    return (order & sign) != 0 ? order & ~sign : order ^ all;
}

/* ---- small differences ---- */

/* Inverse of a grid of codes: position(x) = (x - offset) / step, in units of
 * 1/1024. */
struct inverse {
    int64_t offset;
    int64_t most; /* largest |x - offset| that is converted; a larger one is clamped */
    int64_t factor;
    int shift; /* shift to the right; negative: to the left */
    bool is_flat;
};

static inline struct inverse inverse_of(int64_t step, int64_t offset)
{
    struct inverse inverse = {.offset = offset, .is_flat = step == 0};
    int64_t size = step < 0 ? -step : step;

    if (step == 0) {
        return inverse;
    }
    inverse.most = size * 512;
    while (size >> inverse.shift >= 1 << 24) {
        inverse.shift++;
    }
    while (inverse.shift <= 0 && size << -inverse.shift < 1 << 23) {
        inverse.shift--;
    }
    size = inverse.shift >= 0 ? size >> inverse.shift : size * (INT64_C(1) << -inverse.shift);
    inverse.factor = (INT64_C(1) << 46) / size;
    inverse.factor = step < 0 ? -inverse.factor : inverse.factor;
    return inverse;
}

static inline int position_of(const struct inverse *inverse, int64_t value)
{
    int64_t t = value - inverse->offset;

    t = t > inverse->most ? inverse->most : t < -inverse->most ? -inverse->most : t;
    t = inverse->shift >= 0 ? t >> inverse->shift : t * (INT64_C(1) << -inverse->shift);
    return (int)((t * inverse->factor + (INT64_C(1) << 35)) >> 36);
}

/* A guessed code: the nearest one, and how far the predicted position is from
 * its middle. */
struct guess {
    int16_t code;
    int8_t toward; /* +1 or -1: side of the code on which the position lies */
    /* class of the distance from the code's middle: 0 in the middle, 17 far
     * outside */
    uint8_t margin;
};

/* Margin classes, by the distance from a code's middle: 0 to 513, in 1/1024 of
 * a code. */
extern const uint8_t flo_tensor_margins[514];

static inline struct guess guess_of(int position, int most)
{
    int code = clamp((position + 512) >> 10, 0, most);
    int rest = position - code * 1024;
    int size = rest < 0 ? -rest : rest;

    return (struct guess){
        .code = (int16_t)code,
        .toward = (int8_t)(rest < 0 ? -1 : 1),
        .margin = flo_tensor_margins[size < 513 ? size : 513],
    };
}

/* Returns the guess for a position on the uneven grid of the IQ4 types, with
 * 1024 between two levels. */
static inline struct guess guess_of_steps(int position)
{
    int low = 0;

    while (low < 14 && position >= flo_block_steps[low + 1] * 1024) {
        low++;
    }
    int width = flo_block_steps[low + 1] - flo_block_steps[low];
    int past = (position - flo_block_steps[low] * 1024) / width;
    return guess_of(low * 1024 + past, 15);
}

/* Returns the number of codes between the guess and the grid's end on the side
 * where the position lies. */
static inline int guess_room(struct guess guess, int most)
{
    return guess.toward > 0 ? most - guess.code : guess.code;
}

/* Returns the context from the guess's margin and from whether its code is the
 * first or last of the grid. */
static inline unsigned guess_place(struct guess guess, int most)
{
    int room = guess_room(guess, most);
    unsigned edge = room == 0 ? 1 : room == most ? 2 : 0;

    return guess.margin * 3u + edge;
}

static inline int level_within(int level)
{
    return clamp(level, 0, LEVELS - 1);
}

/* Codes the side and the distance of a code that differs from its guess. */
RANGE_INLINE int code_other(struct range_coder *coder, bool decodes, struct code_slots *slots,
                            int level, struct guess guess, int most, int code)
{
    int room_toward = guess_room(guess, most);
    int difference = (code - guess.code) * guess.toward;
    unsigned toward = room_toward != 0;

    if (room_toward != 0 && room_toward != most) {
        toward = range_even_slot(coder, decodes, &slots->toward[level / 4][guess.margin],
                                 difference > 0);
    }
    int room = toward != 0 ? room_toward : most - room_toward;
    int size = difference < 0 ? -difference : difference;
    int got = 1;
    for (; got < room && got < 16; got++) {
        if (range_slot(coder, decodes, &slots->more[level / 2][got - 1], size > got) == 0) {
            break;
        }
    }
    if (got == 16 && room > 16) {
        got = 16 + (int)range_plain(coder, decodes, 8, (uint32_t)(size - 16));
    }
    got = toward != 0 ? got : -got;
    return clamp(guess.code + got * guess.toward, 0, most);
}

/* Codes one code, given a guess.  `level` is the expected size of the
 * difference in half octaves, 24 for size 1; `other` selects a second
 * context. */
RANGE_INLINE int code_small(struct range_coder *coder, bool decodes, struct code_slots *slots,
                            int level, unsigned other, struct guess guess, int most, int code)
{
    unsigned place = guess_place(guess, most);

    level = level_within(level);
    if (range_slots(coder, decodes, &slots->none_a[level][place], &slots->none_b[other][place],
                    code == guess.code) != 0) {
        return guess.code;
    }
    return code_other(coder, decodes, slots, level, guess, most, code);
}

static inline int64_t size_of(int64_t v)
{
    return v < 0 ? -v : v;
}

/* Encodes a part of quantised codes. */
bool flo_tensor_codes_encode(struct tensor_model *model, struct range_coder *coder,
                             const struct tensor_part *part, uint8_t *fresh);
/* Decodes a part of quantised codes.  Returns false when the payload ended
 * early. */
bool flo_tensor_codes_decode(struct tensor_model *model, struct range_coder *coder,
                             const struct tensor_part *part, uint8_t *fresh);
/* Encodes a part of floats. */
bool flo_tensor_floats_encode(struct tensor_model *model, struct range_coder *coder,
                              const struct tensor_part *part, uint8_t *fresh);
/* Decodes a part of floats.  Returns false when the payload ended early. */
bool flo_tensor_floats_decode(struct tensor_model *model, struct range_coder *coder,
                              const struct tensor_part *part, uint8_t *fresh);
bool flo_tensor_integers_encode(struct tensor_model *model, struct range_coder *coder,
                                const struct tensor_part *part, uint8_t *fresh);
bool flo_tensor_integers_decode(struct tensor_model *model, struct range_coder *coder,
                                const struct tensor_part *part, uint8_t *fresh);
/* Begins the rows of a part, as if no value had changed before. */
void flo_tensor_rows_begin(struct tensor_model *model, const struct tensor_part *part);

#endif
