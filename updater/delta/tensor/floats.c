/* Float parts: codes the differences of floats in numeric order, 32 at a
 * time. */
#include "updater/delta/tensor/forecast.h"

/* ---- parts of floats ---- */

struct floats {
    unsigned width;    /* bits */
    unsigned fraction; /* bits of it */
    unsigned spare;    /* bits below the last place in which the size of a change is counted */
    bool is_followed;
    int exponent_most; /* largest exponent of the old values */
};

static inline int exponent_of(const struct floats *floats, uint32_t bits)
{
    uint32_t mask = (UINT32_C(1) << (floats->width - 1 - floats->fraction)) - 1;
    int exponent = (int)(bits >> floats->fraction & mask);

    return exponent > 0 ? exponent : 1;
}

/* Reads a 16-bit value.  The function is inlined here, unlike those of base, so
 * that the compiler vectorises the loads. */
static inline uint32_t half_at(const uint8_t *bytes, uint64_t i)
{
    return (uint32_t)bytes[i * 2] | (uint32_t)bytes[i * 2 + 1] << 8;
}

static inline void half_put(uint8_t *bytes, uint64_t i, uint32_t value)
{
    bytes[i * 2] = (uint8_t)value;
    bytes[i * 2 + 1] = (uint8_t)(value >> 8);
}

static inline uint32_t float_at(const struct floats *floats, const uint8_t *bytes, uint64_t i)
{
    return floats->width == 32 ? flo_get_u32(bytes + i * 4) : half_at(bytes, i);
}

static inline void float_put(const struct floats *floats, uint8_t *bytes, uint64_t i,
                             uint32_t value)
{
    if (floats->width == 32) {
        flo_put_u32(bytes + i * 4, value);
    } else {
        half_put(bytes, i, value);
    }
}

/* ---- values as integers ---- */

/* Fraction bits of floats that are written as integers.  Their unit is the last
 * place of a float with the largest exponent. */
#define UNIT_BITS 12

RANGE_INLINE int64_t units_of(const struct floats *floats, uint32_t bits)
{
    uint32_t sign = UINT32_C(1) << (floats->width - 1);
    int exponent = exponent_of(floats, bits);
    int64_t size = bits & ((UINT32_C(1) << floats->fraction) - 1);
    int shift = UNIT_BITS + exponent - floats->exponent_most;

    if ((bits & ~sign) >> floats->fraction != 0) {
        size |= INT64_C(1) << floats->fraction;
    }
    int up = clamp(shift, 0, 32);
    int down = clamp(-shift, 0, 63);
    size = (int64_t)((uint64_t)size << up >> down); /* `up` or `down` is 0 */
    return (bits & sign) != 0 ? -size : size;
}

/* Rounds to the nearest float, halves up.  Returns `otherwise` where there is
 * no such float. */
RANGE_INLINE uint32_t float_of_units(const struct floats *floats, int64_t units, uint32_t otherwise)
{
    uint32_t sign = UINT32_C(1) << (floats->width - 1);
    uint64_t size = (uint64_t)(units < 0 ? -units : units);
    int highest = 63 - __builtin_clzll(size | 1);
    int exponent = floats->exponent_most - UNIT_BITS + highest - (int)floats->fraction;

    exponent = exponent > 0 ? exponent : 1;
    int shift = UNIT_BITS + exponent - floats->exponent_most;
    size = shift > 0 ? (size + (UINT64_C(1) << (shift - 1))) >> shift : size << -shift;
    uint64_t bits = ((uint64_t)(exponent - 1) << floats->fraction) + size;
    return bits >= sign ? otherwise : (uint32_t)bits | (units < 0 ? sign : 0);
}

/* Guesses floats from old values of another type, or from old values of 32
 * bits. */
static void guess_others(struct tensor_model *model, const struct tensor_part *part, uint64_t first,
                         size_t count, uint32_t *guesses)
{
    const struct block_type *old = part->old_type;
    int64_t values[BLOCK_VALUES_MAX];

    if (old->is_float == BLOCK_CODES) {
        flo_tensor_old_values(model, part, first, count, values);
    }
    for (size_t i = 0; i < count; i++) {
        uint32_t bits = old->is_float == BLOCK_CODES ? flo_tensor_f32(values[i])
                                                     : flo_tensor_f32_at(old, part->old, first + i);
        guesses[i] = flo_tensor_rounded(bits, part->new_type);
    }
}

RANGE_INLINE void guess_floats(struct tensor_model *model, const struct tensor_part *part,
                               uint64_t first, size_t count, uint32_t *guesses)
{
    if (part->old_type != part->new_type || part->new_type->is_float == BLOCK_F32) {
        guess_others(model, part, first, count, guesses);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        guesses[i] = half_at(part->old, first + i);
    }
}

/* Returns the largest exponent of the guesses, which sets the unit of
 * changes. */
RANGE_INLINE int largest_exponent(struct tensor_model *model, const struct tensor_part *part,
                                  const struct floats *floats)
{
    uint32_t guesses[GROUP_VALUES];
    int most = 1;

    for (uint64_t first = 0; first < part->values; first += GROUP_VALUES) {
        uint64_t left = part->values - first;
        size_t count = left < GROUP_VALUES ? (size_t)left : GROUP_VALUES;
        guess_floats(model, part, first, count, guesses);
        for (size_t i = 0; i < count; i++) {
            int exponent = exponent_of(floats, guesses[i]);
            most = exponent > most ? exponent : most;
        }
    }
    return most;
}

/* ---- rows that move together ---- */

/* Number of changed rows after which the encoder checks whether row directions
 * make the part smaller. */
#define ROWS_TO_SHOW 80

/* Current values of a group: the old values, and their predicted and actual
 * changes. */
struct followed {
    int64_t units[GROUP_VALUES];
    int32_t guesses[GROUP_VALUES];
    int32_t moves[GROUP_VALUES];
};

RANGE_INLINE int64_t move_within(int64_t v)
{
    return v > DIRECTION_MOVE_MAX    ? DIRECTION_MOVE_MAX
           : v < -DIRECTION_MOVE_MAX ? -DIRECTION_MOVE_MAX
                                     : v;
}

/* Adds the predicted changes to the old values. */
RANGE_INLINE void follow(struct tensor_model *model, const struct floats *floats, uint32_t column,
                         size_t count, uint32_t *guesses, struct followed *followed)
{
    flo_directions_guess(&model->directions, column, count, followed->guesses);
    for (size_t i = 0; i < count; i++) {
        followed->units[i] = units_of(floats, guesses[i]);
        if (followed->guesses[i] != 0) {
            guesses[i] =
                float_of_units(floats, followed->units[i] + followed->guesses[i], guesses[i]);
        }
    }
}

/* Values of consecutive columns, which are coded together.  Contexts that
 * depend on none of the coded bits are computed first, so that the decoder need
 * not wait for them between two bits. */
struct group {
    uint32_t *columns;
    const uint32_t *guesses;
    uint32_t *values;
    size_t count;
    uint8_t levels[GROUP_VALUES];
    uint8_t likely[GROUP_VALUES];
    /* how much smaller each value's exponent is than the largest one; at most
     * 40 */
    uint8_t below[GROUP_VALUES];
    /* weighted sizes of the differences between values and guesses */
    uint32_t sizes[GROUP_VALUES];
};

RANGE_INLINE void aim_group(const struct floats *floats, int base, struct group *group)
{
    for (size_t i = 0; i < group->count; i++) {
        int below = floats->exponent_most - exponent_of(floats, group->guesses[i]);
        /* The exponent of a prediction may exceed the largest one, so the
         * difference is clamped. */
        group->below[i] = (uint8_t)clamp(below, 0, 40);
        group->sizes[i] = 0;
    }
    base -= (int)floats->spare * 4;
    for (size_t i = 0; i < group->count; i++) {
        int level = base + lg4(group->columns[i]);
        int below = floats->exponent_most - exponent_of(floats, group->guesses[i]);
        level = (level + (below > 0 ? below : 0) * 4) / 2 + 12;
        group->levels[i] = (uint8_t)clamp(level, 0, NUMBER_LEVELS - 1);
        group->likely[i] = (uint8_t)likely_bits(level, (int)floats->width);
    }
}

RANGE_INLINE uint32_t weighed_size(const struct floats *floats, uint32_t size, unsigned below)
{
    uint32_t cap = floats->width == 32 ? 1u << 23 : 4095;

    size = size < cap ? size : cap;
    return (uint32_t)((uint64_t)size << floats->spare >> below);
}

/* Updates a group's activity as activity_move does, in 32 bits: sizes and means
 * are at most 2^31. */
RANGE_INLINE void learn_group(struct activity *moved, const struct group *group, int shift)
{
    uint32_t round = (UINT32_C(1) << shift) - 1;
    uint64_t sum = 0;

    for (size_t i = 0; i < group->count; i++) {
        uint32_t mean = group->columns[i];
        uint32_t size = group->sizes[i];
        uint32_t less = (mean - size + round) >> shift;
        group->columns[i] = size > mean ? mean + ((size - mean) >> shift) : mean - less;
    }
    for (size_t i = 0; i < group->count; i++) {
        sum += group->sizes[i];
    }
    moved->row_sum += sum;
    moved->row_count += (uint32_t)group->count;
}

/* Returns the difference between a value and its guess, in numeric order. */
static inline int64_t apart_of(const struct floats *floats, uint32_t value, uint32_t guess)
{
    uint32_t apart = order_of(value, floats->width) - order_of(guess, floats->width);

    return floats->width == 32 ? (int64_t)(int32_t)apart : (int64_t)(int16_t)(uint16_t)apart;
}

RANGE_INLINE void code_values(struct activity *moved, struct range_coder *coder, bool decodes,
                              const struct floats *floats, struct number_slots *slots,
                              struct group *group, int base, unsigned *last)
{
    uint32_t mask = UINT32_MAX >> (32 - floats->width);
    unsigned recent = *last;

    aim_group(floats, base, group);
    for (size_t i = 0; i < group->count; i++) {
        uint32_t guess = group->guesses[i];
        unsigned near = group->below[i] < 7 ? group->below[i] : 7;
        int64_t wanted = decodes ? 0 : apart_of(floats, group->values[i], guess);
        wanted = code_number(coder, decodes, slots, group->levels[i], group->likely[i],
                             near * 8 + recent, 0, floats->width, wanted);
        if (wanted == 0) {
            recent = 0;
            continue;
        }
        uint32_t size = (uint32_t)(wanted < 0 ? -wanted : wanted);
        unsigned bits = bits_of(size);
        recent = bits < 7 ? bits : 7;
        group->sizes[i] = weighed_size(floats, size, group->below[i]);
        if (decodes) {
            int64_t from = order_of(guess, floats->width);
            group->values[i] = unordered((uint32_t)(from + wanted) & mask, floats->width);
        }
    }
    learn_group(moved, group, activity_shift(moved));
    *last = recent;
}

RANGE_INLINE void code_group(struct tensor_model *model, struct range_coder *coder, bool decodes,
                             const struct tensor_part *part, const struct floats *floats,
                             struct number_slots *slots, uint64_t first, size_t count,
                             unsigned *state, uint8_t *fresh)
{
    struct activity *moved = &model->moved[MOVED_CODES];
    uint32_t in_row = (uint32_t)(first % part->columns);
    uint32_t guesses[GROUP_VALUES];
    uint32_t values[GROUP_VALUES];
    struct followed followed;
    bool is_same = true;
    int row = lg4(activity_row(moved));
    int base = row - lg4(moved->column_mean);

    guess_floats(model, part, first, count, guesses);
    if (floats->is_followed) {
        follow(model, floats, in_row, count, guesses, &followed);
    }
    for (size_t i = 0; i < count; i++) {
        values[i] = decodes ? guesses[i] : float_at(floats, fresh, first + i);
        is_same = is_same && guesses[i] == values[i];
    }
    is_same = range_slot(coder, decodes,
                         &slots->same_group[clamp(row / 2, 0, NUMBER_LEVELS - 1)][state[0] & 3],
                         is_same) != 0;
    state[0] = state[0] << 1 | !is_same;
    /* Values are coded one by one when a column may occur twice in a group,
     * because of the row length. */
    size_t step = part->columns % GROUP_VALUES == 0 ? count : 1;
    for (size_t i = 0; i < count; i += step) {
        uint32_t column = (in_row + (uint32_t)i) % part->columns % moved->columns;
        if (is_same) {
            activity_rest(moved, column, step, activity_shift(moved));
            continue;
        }
        struct group group; /* the fields are set one by one, because zeroing the struct is slow */
        group.columns = moved->column + column;
        group.guesses = guesses + i;
        group.values = values + i;
        group.count = step;
        code_values(moved, coder, decodes, floats, slots, &group, base, &state[1]);
    }
    for (size_t i = 0; decodes && i < count; i++) {
        float_put(floats, fresh, first + i, values[i]);
    }
    if (floats->is_followed) {
        for (size_t i = 0; i < count; i++) {
            followed.moves[i] =
                (int32_t)move_within(units_of(floats, values[i]) - followed.units[i]);
        }
        flo_directions_learn(&model->directions, in_row, count, followed.moves, followed.guesses);
    }
}

/* Tells, after ROWS_TO_SHOW changed rows, whether row directions predict too
 * little of the changes in this part to be of use. */
static bool is_hopeless(const struct tensor_model *model, const struct tensor_part *part,
                        uint64_t first)
{
    return part->is_followed && first % part->columns == 0 &&
           model->directions.rows == ROWS_TO_SHOW && !flo_directions_foresee(&model->directions);
}

RANGE_INLINE bool code_floats(struct tensor_model *model, struct range_coder *coder, bool decodes,
                              const struct tensor_part *part, struct floats floats, uint8_t *fresh)
{
    const struct block_type *type = part->new_type;
    struct number_slots *slots =
        &model->slots
             .numbers[NUMBER_VALUE * 4 + (part->old_type != type ? 3 : type->is_float - BLOCK_F16)];
    unsigned state[2] = {0, 0};
    uint64_t row_end = part->columns;

    flo_tensor_rows_begin(model, part);
    if (floats.is_followed) {
        flo_directions_begin(&model->directions, part->columns);
    }
    floats.exponent_most = largest_exponent(model, part, &floats);
    for (uint64_t first = 0; first < part->values; first += GROUP_VALUES) {
        uint64_t left = part->values - first;
        if (first >= row_end) {
            activity_row_end(&model->moved[MOVED_CODES]);
            row_end += part->columns;
        }
        code_group(model, coder, decodes, part, &floats, slots, first,
                   left < GROUP_VALUES ? (size_t)left : GROUP_VALUES, state, fresh);
        if (decodes ? range_is_exhausted(coder) : is_hopeless(model, part, first)) {
            return false;
        }
    }
    return true;
}

/* Codes a part with one copy of the loops per type, so that widths are
 * constants. */
RANGE_INLINE bool code_each(struct tensor_model *model, struct range_coder *coder, bool decodes,
                            const struct tensor_part *part, uint8_t *fresh)
{
    const struct floats f16 = {.width = 16, .fraction = 10, .spare = 19};
    const struct floats bf16 = {.width = 16, .fraction = 7, .spare = 19};
    const struct floats f32 = {.width = 32, .fraction = 23, .spare = 8};
    struct floats followed = part->new_type->is_float == BLOCK_F16 ? f16 : bf16;

    if (part->is_followed) {
        followed.is_followed = true;
        return code_floats(model, coder, decodes, part, followed, fresh);
    }
    switch (part->new_type->is_float) {
    case BLOCK_F16:
        return code_floats(model, coder, decodes, part, f16, fresh);
    case BLOCK_BF16:
        return code_floats(model, coder, decodes, part, bf16, fresh);
    default:
        return code_floats(model, coder, decodes, part, f32, fresh);
    }
}

TENSOR_COPIES bool flo_tensor_floats_encode(struct tensor_model *model, struct range_coder *coder,
                                            const struct tensor_part *part, uint8_t *fresh)
{
    /* a copy whose address nobody has, so that it stays in registers */
    struct range_coder local = *coder;
    bool is_whole = code_each(model, &local, false, part, fresh);

    *coder = local;
    return is_whole;
}

TENSOR_COPIES bool flo_tensor_floats_decode(struct tensor_model *model, struct range_coder *coder,
                                            const struct tensor_part *part, uint8_t *fresh)
{
    /* a copy whose address nobody has, so that it stays in registers */
    struct range_coder local = *coder;
    bool is_whole = code_each(model, &local, true, part, fresh);

    range_decode_more(&local);
    *coder = local;
    return is_whole;
}
