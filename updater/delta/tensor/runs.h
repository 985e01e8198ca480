/* Code runs: codes that were predicted together.
 *
 * The functions encode or decode which codes differ from the prediction, and by
 * how much.  Part of the frozen predictor (model.h). */
#ifndef FLOTILLA_TENSOR_RUNS_H
#define FLOTILLA_TENSOR_RUNS_H

#include "updater/delta/tensor/contexts.h"

/* Consecutive codes of a block, from `first` on, that share one step and
 * offset. */
struct run {
    size_t first;
    size_t count;
    uint32_t column;
    int64_t step;
    bool is_still; /* true: the grid equals that of the old block, so most codes stay equal */
    struct inverse inverse;
};

/* Contexts of a run that depend on none of its bits.  They are computed before
 * the first bit, to keep them off the critical path between bits. */
struct aims {
    uint8_t levels[GROUP_VALUES];
    uint8_t places[GROUP_VALUES];
    uint32_t sizes[GROUP_VALUES]; /* output: how far each code moved */
};

static inline void take_aims(const struct guess *guesses, const uint32_t *columns, size_t count,
                             int most, int base, struct aims *aims)
{
    for (size_t i = 0; i < count; i++) {
        aims->levels[i] = (uint8_t)level_within((base + lg4(columns[i])) / 2);
        aims->places[i] = (uint8_t)guess_place(guesses[i], most);
        aims->sizes[i] = 0;
    }
}

static inline void learn_sizes(struct activity *moved, uint32_t column, size_t count,
                               const uint32_t *sizes, uint32_t weight, int shift)
{
    uint32_t *columns = moved->column + column;
    uint32_t sum = 0; /* at most 32 times 2^20 */

    for (size_t i = 0; i < count; i++) {
        uint32_t size = (sizes[i] < 16 ? sizes[i] : 16) * weight;
        columns[i] += (uint32_t)(((int32_t)size - (int32_t)columns[i]) >> shift);
        sum += size;
    }
    moved->row_sum += sum;
    moved->row_count += (uint32_t)count;
}

/* Codes a run in which at least one code differs from its guess. */
RANGE_INLINE void code_moved(struct tensor_model *model, struct range_coder *coder, bool decodes,
                             struct code_slots *slots, const struct run *run,
                             const struct guess *guesses, int most, int base, uint8_t *codes)
{
    struct activity *moved = &model->moved[MOVED_CODES];
    int shift = activity_shift(moved);
    unsigned recent = 0; /* two bits: whether each of the last two codes equalled its guess */
    unsigned others = 0; /* number of wrong guesses so far; 3 means 3 or more */
    struct aims aims;
    /* A difference is weighted by its step relative to the mean step. */
    int64_t weight = size_of(run->step) * 4096 / (model->step_mean > 0 ? model->step_mean : 1);

    weight = weight < 64 ? 64 : weight > 65536 ? 65536 : weight;
    take_aims(guesses, moved->column + run->column, run->count, most, base, &aims);
    for (size_t i = 0; i < run->count; i++) {
        unsigned level = aims.levels[i];
        unsigned place = aims.places[i];
        int guess = guesses[i].code;
        bool is_surely_other = others == 0 && i + 1 == run->count;
        if (!is_surely_other &&
            range_slots(coder, decodes, &slots->none_a[level][place],
                        &slots->none_b[recent | others << 2][place], codes[i] == guess) != 0) {
            codes[i] = (uint8_t)guess;
            recent = recent << 1 & 3;
            continue;
        }
        int got = code_other(coder, decodes, slots, (int)level, guesses[i], most, codes[i]);
        aims.sizes[i] = (uint32_t)(got < guess ? guess - got : got - guess);
        codes[i] = (uint8_t)got;
        others += others < 3 && got != guess;
        recent = (recent << 1 | (got != guess)) & 3;
    }
    learn_sizes(moved, run->column, run->count, aims.sizes, (uint32_t)weight, shift);
}

/* Codes one bit that tells whether all codes of a run equal their guesses. */
RANGE_INLINE bool code_as_guessed(struct range_coder *coder, bool decodes, slot_t slots[8],
                                  const struct guess *guesses, size_t count, const uint8_t *codes,
                                  unsigned *history)
{
    bool is_same = true;

    for (size_t i = 0; !decodes && i < count; i++) {
        is_same = is_same && codes[i] == guesses[i].code;
    }
    is_same = range_slot(coder, decodes, &slots[*history & 7], is_same) != 0;
    *history = *history << 1 | !is_same;
    return is_same;
}

#endif
