/* Quantised parts, coded block by block.
 *
 * A block's numbers have this order: one bit for an unchanged block, the f16
 * factors, then scales and mins of its parts.  The codes follow, 16 or 32 at a
 * time. */
#include "updater/delta/tensor/forecast.h"
#include "updater/delta/tensor/runs.h"

#include <string.h>

/* ---- the halves of a block ---- */

RANGE_INLINE uint16_t code_half(struct tensor_model *model, struct range_coder *coder, bool decodes,
                                const struct tensor_part *part, unsigned kind, uint32_t column,
                                uint16_t guess, unsigned other, unsigned sign_context,
                                uint16_t half, int *difference)
{
    bool is_same = part->old_type == part->new_type;
    struct activity *moved = &model->moved[MOVED_D + kind];
    struct number_slots *slots = &model->slots.numbers[kind * 4 + !is_same];
    uint32_t from = order_of(guess, 16);
    int64_t wanted = (int16_t)(uint16_t)(order_of(half, 16) - from);
    /* The mean change of an f16 is kept in sixteenths of its last place.  So
     * one place counts as lg4(16) = 16, which is subtracted here. */
    int level = (activity_base(moved) + lg4(moved->column[column]) - 16) / 2 + 12;

    wanted = code_number(coder, decodes, slots, (unsigned)clamp(level, 0, NUMBER_LEVELS - 1),
                         (unsigned)likely_bits(level, 16), other, sign_context, 16, wanted);
    uint32_t size = (uint32_t)(wanted < 0 ? -wanted : wanted);
    size = size < 4096 ? size : 4096;
    activity_learn(moved, column, size * 16, activity_shift(moved));
    model->last_bits[kind] = bits_of(size);
    *difference = (int)wanted;
    return (uint16_t)unordered((uint32_t)((int64_t)from + wanted) & 0xffff, 16);
}

static unsigned sign_of(int v)
{
    return v == 0 ? 0 : v > 0 ? 1 : 2;
}

/* Returns the context for coding an f16 factor of a block.  `bits` is the bit
 * length of the other factor's change (0: not coded yet).  `last` is that of
 * this factor's change in the block before. */
static unsigned other_of(unsigned bits, unsigned last)
{
    return (bits < 8 ? bits : 7) * 8 + (last < 8 ? last : 7);
}

RANGE_INLINE void code_halves(struct tensor_model *model, struct range_coder *coder, bool decodes,
                              const struct tensor_part *part, const struct forecast *forecast,
                              uint32_t column, struct block *block)
{
    const struct block_type *type = part->new_type;
    uint16_t d = forecast->d;
    int first = 0;
    int second = 0;
    unsigned last_d = model->last_bits[0];
    unsigned last_m = model->last_bits[1];

    if (type->offset == OFFSET_M) {
        block->m = code_half(model, coder, decodes, part, 1, column, forecast->m,
                             other_of(0, last_m), 0, block->m, &first);
        if (first != 0) { /* m changed: d follows, so that the block's largest value stays */
            int64_t moved = flo_fixed_of_f16(block->m) - flo_fixed_of_f16(forecast->m);
            d = flo_tensor_f16(flo_fixed_of_f16(d) - moved / type->divisor);
        }
    }
    block->d = code_half(model, coder, decodes, part, 0, column, d,
                         other_of(model->last_bits[1] * (type->offset == OFFSET_M), last_d),
                         3 + sign_of(first), block->d, &second);
    if (type->offset == OFFSET_DMIN) {
        block->m = code_half(model, coder, decodes, part, 1, column, forecast->m,
                             other_of(bits_of((uint32_t)(second < 0 ? -second : second)), last_m),
                             sign_of(second), block->m, &first);
    }
}

/* ---- scales and mins of the parts ---- */

RANGE_INLINE uint8_t code_part_number(struct tensor_model *model, struct range_coder *coder,
                                      bool decodes, struct code_slots *slots, enum activities kind,
                                      uint32_t column, unsigned other, int position, int most,
                                      uint8_t number, int *difference)
{
    struct activity *moved = &model->moved[kind];
    struct guess guess = guess_of(position, most);
    int level = (activity_base(moved) + lg4(moved->column[column])) / 2;

    int got = code_small(coder, decodes, slots, level, other, guess, most, number);
    *difference = got - guess.code;
    uint32_t size = (uint32_t)(*difference < 0 ? -*difference : *difference);
    activity_learn(moved, column, size * 4096, activity_shift(moved));
    return (uint8_t)got;
}

RANGE_INLINE void code_parts(struct tensor_model *model, struct range_coder *coder, bool decodes,
                             const struct tensor_part *part, const struct forecast *forecast,
                             uint32_t column, struct block *block)
{
    const struct block_type *type = part->new_type;
    size_t parts = type->values / type->part_values;
    struct inverse d = inverse_of(flo_fixed_of_f16(block->d), 0);
    struct inverse m = inverse_of(flo_fixed_of_f16(block->m), 0);
    int most = (1 << type->scale_bits) - 1;
    unsigned set = !forecast->is_same_type;
    int last = 0;

    for (size_t k = 0; k < parts; k++) {
        int moved_scale = 0;
        int moved_min = 0;
        uint32_t at = (uint32_t)((column * parts + k) % model->moved[MOVED_SCALES].columns);
        int position = d.is_flat ? forecast->old.scales[k] * 1024
                                 : position_of(&d, forecast->steps[k]) + type->scale_zero * 1024;
        block->scales[k] =
            code_part_number(model, coder, decodes, &model->slots.scales[set], MOVED_SCALES, at,
                             sign_of(last) * 3 + (unsigned)clamp(last < 0 ? -last : last, 0, 2),
                             position, most, block->scales[k], &moved_scale);
        if (type->offset == OFFSET_DMIN) {
            position =
                m.is_flat ? forecast->old.mins[k] * 1024 : position_of(&m, -forecast->offsets[k]);
            block->mins[k] = code_part_number(
                model, coder, decodes, &model->slots.mins[set], MOVED_MINS, at,
                sign_of(moved_scale) * 3 +
                    (unsigned)clamp(moved_scale < 0 ? -moved_scale : moved_scale, 0, 2),
                position, most, block->mins[k], &moved_min);
        }
        last = moved_scale;
    }
}

/* ---- codes ---- */

/* Guesses codes from old values.  The function is not inlined, because the
 * caller would run out of registers. */
__attribute__((noinline)) static void guess_values(const struct block_type *type,
                                                   const struct inverse *inverse,
                                                   const int64_t *values, size_t count,
                                                   struct guess *guesses)
{
    const struct inverse grid = *inverse;
    int most = (1 << type->code_bits) - 1;
    int zero = type->zero * 1024;

    for (size_t i = 0; i < count; i++) {
        int position = position_of(&grid, values[i]);
        guesses[i] = type->is_grid ? guess_of_steps(position) : guess_of(position + zero, most);
    }
}

/* Guesses codes from old codes of the same type on another grid.  A table has
 * one guess for each of at most 16 old codes. */
static void guess_codes(const struct block_type *type, const struct forecast *forecast, size_t part,
                        const struct run *run, struct guess *guesses)
{
    const uint8_t *old = forecast->old.codes + run->first;
    int64_t values[GROUP_VALUES];
    struct guess table[16];

    if (type->code_bits > 4) {
        for (size_t i = 0; i < run->count; i++) {
            values[i] = forecast->steps[part] * (old[i] - type->zero) + forecast->offsets[part];
        }
        guess_values(type, &run->inverse, values, run->count, guesses);
        return;
    }
    for (int code = 0; code < 1 << type->code_bits; code++) {
        int level = type->is_grid ? flo_block_steps[code] : code - type->zero;
        values[code] = forecast->steps[part] * level + forecast->offsets[part];
    }
    guess_values(type, &run->inverse, values, (size_t)1 << type->code_bits, table);
    for (size_t i = 0; i < run->count; i++) {
        guesses[i] = table[old[i]];
    }
}

/* Guesses that codes stay as in the old block, or are zero in a tensor of
 * another type. */
static void guess_flat(const struct block_type *type, const struct forecast *forecast,
                       const struct run *run, struct guess *guesses)
{
    for (size_t i = 0; i < run->count; i++) {
        int code = forecast->is_same_type ? forecast->old.codes[run->first + i] : type->zero;
        guesses[i] = (struct guess){(int16_t)code, 1, 0};
    }
}

static inline void guess_run(const struct block_type *type, const struct forecast *forecast,
                             size_t part, const struct run *run, struct guess *guesses)
{
    if (run->is_still || run->inverse.is_flat) {
        guess_flat(type, forecast, run, guesses);
    } else if (forecast->is_same_type) {
        guess_codes(type, forecast, part, run, guesses);
    } else {
        guess_values(type, &run->inverse, forecast->values + run->first, run->count, guesses);
    }
}

RANGE_INLINE void code_run(struct tensor_model *model, struct range_coder *coder, bool decodes,
                           const struct block_type *type, struct code_slots *slots,
                           const struct forecast *forecast, size_t part, const struct run *run,
                           unsigned *history, struct block *block)
{
    struct activity *moved = &model->moved[MOVED_CODES];
    struct guess guesses[GROUP_VALUES];
    uint8_t *codes = block->codes + run->first;
    int most = (1 << type->code_bits) - 1;
    int64_t step = size_of(run->step);
    int bias = lg4_wide((uint64_t)step) - lg4_wide((uint64_t)model->step_mean);
    int row = lg4(activity_row(moved));
    int base = row - lg4(moved->column_mean) - bias;
    int shift = activity_shift(moved);

    if (!run->is_still || !decodes) {
        guess_run(type, forecast, part, run, guesses);
    }
    int group_level = clamp((row - bias) / 2, 0, LEVELS - 1);
    if (code_as_guessed(coder, decodes, slots->same_group[group_level], guesses, run->count, codes,
                        history)) {
        for (size_t i = 0; decodes && i < run->count; i++) {
            codes[i] =
                run->is_still ? forecast->old.codes[run->first + i] : (uint8_t)guesses[i].code;
        }
        activity_rest(moved, run->column, run->count, shift);
    } else {
        if (run->is_still && decodes) {
            guess_run(type, forecast, part, run, guesses);
        }
        code_moved(model, coder, decodes, slots, run, guesses, most, base, codes);
    }
    model->step_mean += (step - model->step_mean) / 64;
}

/* ---- parts of codes ---- */

/* Returns the contexts for a part's number of code bits and its kind of
 * guess. */
static struct code_slots *code_class(struct tensor_model *model, const struct tensor_part *part)
{
    const struct block_type *type = part->new_type;
    size_t class = type->code_bits + (type->is_grid ? 1u : 0u) * 7u;

    return &model->slots.codes[class * 2 + (part->old_type != type)];
}

RANGE_INLINE void code_codes(struct tensor_model *model, struct range_coder *coder, bool decodes,
                             const struct tensor_part *part, const struct forecast *forecast,
                             uint64_t first, struct block *block, unsigned *history)
{
    const struct block_type *type = part->new_type;
    bool is_exact = !forecast->is_same_type && type->scale_bits == 0 && block->d == forecast->d &&
                    (type->offset == OFFSET_NONE || block->m == forecast->m);
    uint32_t columns = model->moved[MOVED_CODES].columns;

    for (size_t i = 0; i < type->values; i += type->part_values) {
        size_t k = i / type->part_values;
        struct run run = {.first = i,
                          .count = type->part_values,
                          .column = (uint32_t)(first + i) % part->columns % columns};
        int64_t offset = forecast->offsets[k];
        run.step = forecast->steps[k];
        if (!is_exact) { /* step and offset as the block stores them, not as forecast */
            flo_block_grid(type, block, k, &run.step, &offset);
        }
        run.is_still = forecast->is_same_type && run.step == forecast->steps[k] &&
                       offset == forecast->offsets[k];
        if (!run.is_still) {
            run.inverse = inverse_of(run.step, offset);
        }
        code_run(model, coder, decodes, type, code_class(model, part), forecast, k, &run, history,
                 block);
    }
}

void flo_tensor_rows_begin(struct tensor_model *model, const struct tensor_part *part)
{
    const struct block_type *type = part->new_type;
    uint32_t columns = part->columns < TENSOR_COLUMNS_MAX ? part->columns : TENSOR_COLUMNS_MAX;
    uint32_t blocks = columns / (uint32_t)type->values;
    uint32_t parts = columns / (uint32_t)type->part_values;
    bool has_codes = type->is_float == BLOCK_CODES || type->is_float == BLOCK_INTEGERS;

    activity_begin(&model->moved[MOVED_CODES], model->column_store, columns,
                   has_codes ? 400 : 1 << 20, 128);
    if (type->is_float != BLOCK_CODES) {
        return;
    }
    blocks = blocks < 1 ? 1 : blocks;
    parts = parts < 1 ? 1 : parts;
    for (unsigned i = 0; i < 2; i++) {
        activity_begin(&model->moved[MOVED_D + i], model->block_store[i], blocks, 64, 4);
        activity_begin(&model->moved[MOVED_SCALES + i], model->part_store[i], parts, 1024, 8);
    }
}

static void end_row(struct tensor_model *model, bool is_float)
{
    unsigned count = is_float ? 1 : ACTIVITIES;

    for (unsigned i = 0; i < count; i++) {
        activity_row_end(&model->moved[i]);
    }
}

static uint64_t bytes_of(const struct block_type *type, uint64_t values)
{
    return values / type->values * type->bytes;
}

/* Tells whether the values from `first` on equal the old ones, `values` of them
 * or up to the part's end. */
static bool is_span_same(const struct tensor_part *part, uint64_t first, uint64_t values,
                         const uint8_t *fresh)
{
    const struct block_type *type = part->new_type;
    uint64_t left = part->values - first;
    uint64_t bytes = bytes_of(type, left < values ? left : values);

    return part->old_type == type &&
           memcmp(part->old + bytes_of(type, first), fresh, (size_t)bytes) == 0;
}

/* Counts of the blocks in rows that changed. */
struct tally {
    uint64_t blocks;
    uint64_t halves; /* blocks whose halves are unchanged */
    uint64_t codes;  /* blocks whose codes are unchanged */
    uint64_t both;
};

static void tally_row(struct tally *tally, const struct block_type *type, const uint8_t *old,
                      const uint8_t *fresh, uint64_t bytes)
{
    size_t halves = type->offset == OFFSET_M ? 4 : 2;

    if (memcmp(old, fresh, (size_t)bytes) == 0) {
        return;
    }
    for (uint64_t at = 0; at < bytes; at += type->bytes) {
        bool is_half = memcmp(old + at, fresh + at, halves) == 0;
        bool is_code = memcmp(old + at + halves, fresh + at + halves, type->bytes - halves) == 0;
        tally->blocks++;
        tally->halves += is_half;
        tally->codes += is_code;
        tally->both += is_half && is_code;
    }
}

/* Returns 2^16 * n * log2(n), and 0 for 0. */
static uint64_t n_lg_n(uint64_t n)
{
    unsigned high = 63 - (unsigned)__builtin_clzll(n | 1);
    uint64_t one = UINT64_C(1) << 31;
    uint64_t rest = high > 31 ? n >> (high - 31) : n << (31 - high);
    uint64_t lg = high;

    for (unsigned i = 0; i < 16; i++) {
        rest = rest * rest / one;
        bool is_two = rest >= one * 2;
        rest = is_two ? rest / 2 : rest;
        lg = lg * 2 + is_two;
    }
    return n * lg;
}

/* Returns the entropy of `count` bits of which `ones` are one, in 2^-16 of a
 * bit. */
static int64_t entropy_of(uint64_t count, uint64_t ones)
{
    return (int64_t)(n_lg_n(count) - n_lg_n(ones) - n_lg_n(count - ones));
}

/* Tells whether copy bits for blocks in changed rows make the part smaller.  A
 * copy bit of 0 tells that the halves or the codes changed, but the contexts of
 * both do not use that.  With scales, a block has so many numbers that copy
 * bits always save more than this costs. */
static bool saves_by_copies(const struct tensor_part *part, const uint8_t *fresh)
{
    const struct block_type *type = part->new_type;
    struct tally all = {0};

    if (part->old_type != type || type->scale_bits != 0) {
        return true;
    }
    for (uint64_t first = 0; first < part->values; first += part->columns) {
        uint64_t left = part->values - first;
        uint64_t at = bytes_of(type, first);
        tally_row(&all, type, part->old + at, fresh + at,
                  bytes_of(type, left < part->columns ? left : part->columns));
    }
    uint64_t rest = all.blocks - all.both;
    int64_t with = entropy_of(all.blocks, all.both) + entropy_of(rest, all.halves - all.both) +
                   entropy_of(rest, all.codes - all.both);
    return with <= entropy_of(all.blocks, all.halves) + entropy_of(all.blocks, all.codes);
}

/* Chooses whether the encoder copies the block at `first`.  `was_same` is the
 * choice for the block before.  Without copies of single blocks, the blocks of
 * equal rows are copied. */
static bool choose_copy(const struct tensor_part *part, uint64_t first, bool copies_blocks,
                        bool was_same, const uint8_t *fresh)
{
    if (copies_blocks) {
        return is_span_same(part, first, part->new_type->values, fresh);
    }
    return first % part->columns == 0 ? is_span_same(part, first, part->columns, fresh) : was_same;
}

/* Codes one bit that tells whether the block is a copy of the old one. */
RANGE_INLINE bool code_same(struct tensor_model *model, struct range_coder *coder, bool decodes,
                            bool is_same, size_t bytes, const uint8_t *old, uint8_t *fresh)
{
    slot_t *slot = &model->slots.same_block[model->same_history & 15];

    is_same = range_slot(coder, decodes, slot, is_same) != 0;
    model->same_history = model->same_history << 1 | is_same;
    if (is_same && decodes) {
        memcpy(fresh, old, bytes);
    }
    return is_same;
}

RANGE_INLINE void code_block(struct tensor_model *model, struct range_coder *coder, bool decodes,
                             const struct tensor_part *part, uint64_t first, bool is_same,
                             struct forecast *forecast, uint8_t *fresh, unsigned *history)
{
    const struct block_type *type = part->new_type;
    struct block block; /* the fields are set one by one, because zeroing the struct is slow */
    uint64_t index = first / type->values;

    if (part->old_type == type) {
        const uint8_t *old = part->old + index * type->bytes;
        if (code_same(model, coder, decodes, is_same, type->bytes, old, fresh)) {
            return;
        }
        flo_block_unpack(type, old, &forecast->old);
    }
    flo_tensor_forecast(model, part, first, forecast);
    block.m = 0;
    if (!decodes) {
        flo_block_unpack(type, fresh, &block);
    }
    uint32_t columns = model->moved[MOVED_D].columns;
    uint32_t column = (uint32_t)first % part->columns / type->values % columns;
    code_halves(model, coder, decodes, part, forecast, column, &block);
    if (type->scale_bits != 0) {
        code_parts(model, coder, decodes, part, forecast, column, &block);
    }
    if (model->step_mean == 0) {
        model->step_mean = size_of(forecast->steps[0]);
    }
    code_codes(model, coder, decodes, part, forecast, first, &block, history);
    if (decodes) {
        flo_block_pack(type, &block, fresh);
    }
}

RANGE_INLINE bool code_coded(struct tensor_model *model, struct range_coder *coder, bool decodes,
                             const struct tensor_part *part, uint8_t *fresh)
{
    const struct block_type *type = part->new_type;
    struct forecast forecast = {0};
    unsigned history = 0;
    uint64_t row_end = part->columns;
    bool copies_blocks = decodes || saves_by_copies(part, fresh);
    bool is_same = false;

    flo_tensor_rows_begin(model, part);
    for (uint64_t first = 0; first < part->values; first += type->values) {
        if (first >= row_end) {
            end_row(model, false);
            row_end += part->columns;
        }
        is_same = !decodes && choose_copy(part, first, copies_blocks, is_same, fresh);
        code_block(model, coder, decodes, part, first, is_same, &forecast, fresh, &history);
        fresh += type->bytes;
        if (decodes && range_is_exhausted(coder)) {
            return false;
        }
    }
    return true;
}

bool flo_tensor_codes_encode(struct tensor_model *model, struct range_coder *coder,
                             const struct tensor_part *part, uint8_t *fresh)
{
    /* a copy whose address nobody has, so that it stays in registers */
    struct range_coder local = *coder;
    bool is_whole = code_coded(model, &local, false, part, fresh);

    *coder = local;
    return is_whole;
}

bool flo_tensor_codes_decode(struct tensor_model *model, struct range_coder *coder,
                             const struct tensor_part *part, uint8_t *fresh)
{
    /* a copy whose address nobody has, so that it stays in registers */
    struct range_coder local = *coder;
    bool is_whole = code_coded(model, &local, true, part, fresh);

    range_decode_more(&local);
    *coder = local;
    return is_whole;
}
