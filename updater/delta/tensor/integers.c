/* Integer parts: plain 8-bit integers, whose scales are elsewhere in the file.
 *
 * A value is scaled by old scale / new scale, which the decoder does not know.
 * So a part encodes that ratio: none, one, one per row, or one per column.  The
 * remaining differences are coded as those of codes are. */
#include "updater/delta/tensor/forecast.h"
#include "updater/delta/tensor/runs.h"

#include <string.h>

#define MOST 255
#define ZERO 128
/* Ratios are in units of 2^-14. */
#define RATIO_ONE (1 << 14)
#define RATIO_BITS_FIRST 4
/* Indices of contexts: CODES_OF_8_BITS for integers, which are coded as codes
 * of 8 bits, and RATIOS for ratios. */
#define CODES_OF_8_BITS (8 * 2)
#define RATIOS 2

enum mode { MODE_STILL, MODE_PART, MODE_ROWS, MODE_COLUMNS };

struct ratios {
    enum mode mode;
    uint16_t last;
    unsigned last_bits; /* bit length of the last ratio's difference */
};

static uint8_t code_at(const struct block_type *type, uint8_t byte)
{
    return byte ^ type->code_flip;
}

/* ---- the encoder's choice ---- */

/* Sums over the values that share one scale. */
struct sums {
    int64_t both; /* old * new */
    int64_t old;  /* old * old */
    int64_t new;
    uint64_t count;
};

static inline void sums_add(struct sums *sums, int old, int fresh)
{
    sums->both += (int64_t)old * fresh;
    sums->old += (int64_t)old * old;
    sums->new += (int64_t)fresh *fresh;
    sums->count++;
}

static uint16_t ratio_of(const struct sums *sums)
{
    int64_t most = UINT16_MAX;

    if (sums->old == 0 || sums->both <= 0) {
        return RATIO_ONE;
    }
    int64_t ratio = (sums->both * RATIO_ONE + sums->old / 2) / sums->old;
    return (uint16_t)(ratio < most ? ratio : most);
}

/* Returns the sum of squared differences, in 1/256, that remains when the old
 * values are scaled by `ratio`. */
static uint64_t rest_of(const struct sums *sums, uint16_t ratio)
{
    int64_t r = ratio;
    int64_t rest = sums->new * 256 - sums->both * 2 * r / (RATIO_ONE / 256) +
                   sums->old *r / RATIO_ONE *r / (RATIO_ONE / 256);

    return rest > 0 ? (uint64_t)rest : 0;
}

/* Returns about 1024 * log2(v), piecewise linear. */
static int64_t lg1024(uint64_t v)
{
    int high = 63 - __builtin_clzll(v | 1);

    return high * 1024 + (int64_t)((high > 10 ? v >> (high - 10) : v << (10 - high)) & 1023);
}

/* Returns the estimated size of a part in 1/2048 of a bit, when `ratios` ratios
 * are stored and `rest` is the sum of squared differences that they leave. */
static int64_t cost_of(uint64_t rest, uint64_t values, uint64_t ratios)
{
    /* rounding adds a mean squared error of one twelfth */
    uint64_t each = rest / values + 256 / 12;

    return (int64_t)values * lg1024(each) + (int64_t)ratios * 8 * 2048;
}

/* A part with its new bytes, seen as a table of rows and columns. */
struct table {
    const struct tensor_part *part;
    const uint8_t *fresh;
};

static void sum_span(const struct table *table, uint64_t first, uint64_t end, struct sums *sums)
{
    const struct block_type *type = table->part->new_type;

    for (uint64_t i = first; i < end; i++) {
        sums_add(sums, code_at(type, table->part->old[i]) - ZERO,
                 code_at(type, table->fresh[i]) - ZERO);
    }
}

static void add_all(struct sums *all, const struct sums *some)
{
    all->both += some->both;
    all->old += some->old;
    all->new += some->new;
    all->count += some->count;
}

/* Columns that are processed together: a cache line of each row. */
#define SIDE 64

static uint64_t fit_columns(const struct table *table, uint16_t *ratios)
{
    const struct block_type *type = table->part->new_type;
    uint64_t columns = table->part->columns;
    uint64_t rest = 0;

    for (uint64_t from = 0; from < columns; from += SIDE) {
        struct sums sums[SIDE] = {{0}};
        uint64_t count = columns - from < SIDE ? columns - from : SIDE;
        for (uint64_t row = from; row < table->part->values; row += columns) {
            for (uint64_t k = 0; k < count && row + k < table->part->values; k++) {
                sums_add(&sums[k], code_at(type, table->part->old[row + k]) - ZERO,
                         code_at(type, table->fresh[row + k]) - ZERO);
            }
        }
        for (uint64_t k = 0; k < count; k++) {
            ratios[from + k] = ratio_of(&sums[k]);
            rest += rest_of(&sums[k], ratios[from + k]);
        }
    }
    return rest;
}

/* Chooses how ratios are coded, by the smallest estimated size.  Sets *one to
 * the ratio of all values of the part. */
static enum mode choose(struct tensor_model *model, const struct table *table, uint16_t *one)
{
    uint64_t values = table->part->values;
    uint64_t columns = table->part->columns;
    struct sums all = {0};
    uint64_t rests[] = {[MODE_ROWS] = 0, [MODE_COLUMNS] = UINT64_MAX};
    uint64_t counts[] = {0, 1, (values + columns - 1) / columns, columns};
    enum mode best = MODE_STILL;

    for (uint64_t at = 0; at < values; at += columns) {
        struct sums row = {0};
        sum_span(table, at, at + columns < values ? at + columns : values, &row);
        rests[MODE_ROWS] += rest_of(&row, ratio_of(&row));
        add_all(&all, &row);
    }
    *one = ratio_of(&all);
    rests[MODE_STILL] = rest_of(&all, RATIO_ONE);
    rests[MODE_PART] = rest_of(&all, *one);
    if (columns <= TENSOR_COLUMNS_MAX && counts[MODE_ROWS] > 1) {
        rests[MODE_COLUMNS] = fit_columns(table, model->ratios);
    }
    for (unsigned mode = MODE_PART; mode <= MODE_COLUMNS; mode++) {
        if (rests[mode] != UINT64_MAX && cost_of(rests[mode], values, counts[mode]) <
                                             cost_of(rests[best], values, counts[best])) {
            best = (enum mode)mode;
        }
    }
    return best;
}

/* ---- both ways ---- */

RANGE_INLINE uint16_t code_ratio(struct tensor_model *model, struct range_coder *coder,
                                 bool decodes, struct ratios *ratios, uint16_t ratio)
{
    int64_t difference = (int16_t)(uint16_t)(ratio - ratios->last);
    unsigned level = 10 + 2 * ratios->last_bits;

    difference = code_number(coder, decodes, &model->slots.numbers[RATIOS], level,
                             ratios->last_bits, 0, 0, 16, difference);
    uint32_t size = (uint32_t)(difference < 0 ? -difference : difference);
    ratios->last_bits = bits_of(size) < 15 ? bits_of(size) : 15;
    ratios->last = (uint16_t)(ratios->last + (uint16_t)difference);
    return ratios->last;
}

static inline struct guess guess_scaled(uint8_t code, uint16_t ratio)
{
    int position = ((code - ZERO) * ratio + 8) >> 4;

    return guess_of(position + ZERO * 1024, MOST);
}

/* Codes at most 32 values of a row. */
RANGE_INLINE void code_some(struct tensor_model *model, struct range_coder *coder, bool decodes,
                            const struct guess *guesses, const struct run *run, unsigned *history,
                            uint8_t *codes)
{
    struct activity *moved = &model->moved[MOVED_CODES];
    struct code_slots *slots = &model->slots.codes[CODES_OF_8_BITS];
    int row = lg4(activity_row(moved));
    int level = clamp(row / 2, 0, LEVELS - 1);

    if (code_as_guessed(coder, decodes, slots->same_group[level], guesses, run->count, codes,
                        history)) {
        for (size_t i = 0; decodes && i < run->count; i++) {
            codes[i] = (uint8_t)guesses[i].code;
        }
        activity_rest(moved, run->column, run->count, activity_shift(moved));
        return;
    }
    code_moved(model, coder, decodes, slots, run, guesses, MOST, row - lg4(moved->column_mean),
               codes);
}

RANGE_INLINE void code_row(struct tensor_model *model, struct range_coder *coder, bool decodes,
                           const struct tensor_part *part, uint64_t first, uint64_t count,
                           const struct ratios *ratios, uint8_t *fresh, unsigned *history)
{
    const struct block_type *type = part->new_type;
    uint8_t codes[GROUP_VALUES];
    struct guess guesses[GROUP_VALUES];
    /* One step is assumed for all integers of the part, so that each difference
     * has the same weight. */
    int64_t step = model->step_mean > 0 ? model->step_mean : 1;

    for (uint64_t at = 0; at < count; at += GROUP_VALUES) {
        struct run run = {.column = (uint32_t)(at % TENSOR_COLUMNS_MAX), .step = step};
        run.count = count - at < GROUP_VALUES ? (size_t)(count - at) : GROUP_VALUES;
        for (size_t i = 0; i < run.count; i++) {
            uint16_t ratio =
                ratios->mode == MODE_COLUMNS ? model->ratios[run.column + i] : ratios->last;
            codes[i] = decodes ? 0 : code_at(type, fresh[first + at + i]);
            guesses[i] = guess_scaled(code_at(type, part->old[first + at + i]), ratio);
        }
        code_some(model, coder, decodes, guesses, &run, history, codes);
        for (size_t i = 0; decodes && i < run.count; i++) {
            fresh[first + at + i] = code_at(type, codes[i]);
        }
    }
}

RANGE_INLINE bool code_integers(struct tensor_model *model, struct range_coder *coder, bool decodes,
                                const struct tensor_part *part, uint8_t *fresh)
{
    const struct table table = {part, fresh};
    struct ratios ratios = {.last = RATIO_ONE, .last_bits = RATIO_BITS_FIRST};
    uint16_t one = RATIO_ONE;
    unsigned history = 0;

    flo_tensor_rows_begin(model, part);
    ratios.mode = decodes ? MODE_STILL : choose(model, &table, &one);
    ratios.mode = (enum mode)range_plain(coder, decodes, 2, ratios.mode);
    if (ratios.mode == MODE_PART) {
        (void)code_ratio(model, coder, decodes, &ratios, one);
    }
    uint32_t columns = model->moved[MOVED_CODES].columns;
    columns = columns < part->values ? columns : (uint32_t)part->values;
    for (uint32_t i = 0; ratios.mode == MODE_COLUMNS && i < columns; i++) {
        model->ratios[i] = code_ratio(model, coder, decodes, &ratios, model->ratios[i]);
    }
    for (uint64_t at = 0; at < part->values; at += part->columns) {
        uint64_t left = part->values - at;
        uint64_t count = left < part->columns ? left : part->columns;
        struct sums row = {0};
        if (ratios.mode == MODE_ROWS) {
            if (!decodes) {
                sum_span(&table, at, at + count, &row);
            }
            (void)code_ratio(model, coder, decodes, &ratios, ratio_of(&row));
        }
        code_row(model, coder, decodes, part, at, count, &ratios, fresh, &history);
        activity_row_end(&model->moved[MOVED_CODES]);
        if (decodes && range_is_exhausted(coder)) {
            return false;
        }
    }
    return true;
}

bool flo_tensor_integers_encode(struct tensor_model *model, struct range_coder *coder,
                                const struct tensor_part *part, uint8_t *fresh)
{
    /* a copy whose address nobody has, so that it stays in registers */
    struct range_coder local = *coder;
    bool is_whole = code_integers(model, &local, false, part, fresh);

    *coder = local;
    return is_whole;
}

bool flo_tensor_integers_decode(struct tensor_model *model, struct range_coder *coder,
                                const struct tensor_part *part, uint8_t *fresh)
{
    /* a copy whose address nobody has, so that it stays in registers */
    struct range_coder local = *coder;
    bool is_whole = code_integers(model, &local, true, part, fresh);

    range_decode_more(&local);
    *coder = local;
    return is_whole;
}
