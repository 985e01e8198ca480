/* Parts of floats: differences in the order of the numbers, 32 at a time. */
#include "updater/delta/tensor/forecast.h"

/* ---- parts of floats ---- */

struct floats {
    unsigned width;    /* bits */
    unsigned fraction; /* bits of it */
    int exponent_most; /* of the old values */
};

static inline int exponent_of(const struct floats *floats, uint32_t bits)
{
    uint32_t mask = (UINT32_C(1) << (floats->width - 1 - floats->fraction)) - 1;
    int exponent = (int)(bits >> floats->fraction & mask);

    return exponent > 0 ? exponent : 1;
}

static inline uint32_t float_at(const struct floats *floats,
                                const uint8_t *bytes, uint64_t i)
{
    return floats->width == 32 ? flo_get_u32(bytes + i * 4)
                               : flo_get_u16(bytes + i * 2);
}

static inline void float_put(const struct floats *floats, uint8_t *bytes,
                             uint64_t i, uint32_t value)
{
    if (floats->width == 32) {
        flo_put_u32(bytes + i * 4, value);
    } else {
        flo_put_u16(bytes + i * 2, (uint16_t)value);
    }
}

/* ---- values as integers ---- */

/* In units of the last place of the largest exponent, with so many bits more.
 */
#define UNIT_BITS 12

static int64_t units_of(const struct floats *floats, uint32_t bits)
{
    uint32_t sign = UINT32_C(1) << (floats->width - 1);
    int exponent = exponent_of(floats, bits);
    int64_t size = bits & ((UINT32_C(1) << floats->fraction) - 1);
    int shift = UNIT_BITS + exponent - floats->exponent_most;

    if ((bits & ~sign) >> floats->fraction != 0) {
        size |= INT64_C(1) << floats->fraction;
    }
    size = shift >= 0 ? size << (shift < 32 ? shift : 32)
                      : size >> (shift > -63 ? -shift : 63);
    return (bits & sign) != 0 ? -size : size;
}

/* The nearest number; halves go up.  `otherwise` where there is none. */
static uint32_t float_of_units(const struct floats *floats, int64_t units,
                               uint32_t otherwise)
{
    uint32_t sign = UINT32_C(1) << (floats->width - 1);
    uint64_t size = (uint64_t)(units < 0 ? -units : units);
    int highest = 63 - __builtin_clzll(size | 1);
    int exponent =
        floats->exponent_most - UNIT_BITS + highest - (int)floats->fraction;

    exponent = exponent > 0 ? exponent : 1;
    int shift = UNIT_BITS + exponent - floats->exponent_most;
    size = shift > 0 ? (size + (UINT64_C(1) << (shift - 1))) >> shift
                     : size << -shift;
    uint64_t bits = ((uint64_t)(exponent - 1) << floats->fraction) + size;
    return bits >= sign ? otherwise : (uint32_t)bits | (units < 0 ? sign : 0);
}

static void guess_floats(struct tensor_model *model,
                         const struct tensor_part *part, uint64_t first,
                         size_t count, uint32_t *guesses)
{
    const struct block_type *old = part->old_type;
    int64_t values[BLOCK_VALUES_MAX];

    if (old->is_float == BLOCK_CODES) {
        flo_tensor_old_values(model, part, first, count, values);
    }
    for (size_t i = 0; i < count; i++) {
        if (old == part->new_type && old->is_float != BLOCK_F32) {
            guesses[i] = flo_get_u16(part->old + (first + i) * 2);
            continue;
        }
        uint32_t bits = old->is_float == BLOCK_CODES
                            ? flo_tensor_f32(values[i])
                            : flo_tensor_f32_at(old, part->old, first + i);
        guesses[i] = flo_tensor_rounded(bits, part->new_type);
    }
}

/* The largest exponent of the guesses sets the unit of what moves. */
static int largest_exponent(struct tensor_model *model,
                            const struct tensor_part *part,
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

/* Rows that moved until the encoder asks whether following is worth it. */
#define ROWS_TO_SHOW 80

/* Values at hand: the old ones, their moves as guessed and as they are. */
struct followed {
    int64_t units[GROUP_VALUES];
    int32_t guesses[GROUP_VALUES];
    int32_t moves[GROUP_VALUES];
};

static int64_t move_within(int64_t v)
{
    return v > DIRECTION_MOVE_MAX    ? DIRECTION_MOVE_MAX
           : v < -DIRECTION_MOVE_MAX ? -DIRECTION_MOVE_MAX
                                     : v;
}

/* The old values become what they are with the moves that are foreseen. */
static void follow(struct tensor_model *model, const struct floats *floats,
                   uint32_t column, size_t count, uint32_t *guesses,
                   struct followed *followed)
{
    flo_directions_guess(&model->directions, column, count, followed->guesses);
    for (size_t i = 0; i < count; i++) {
        followed->units[i] = units_of(floats, guesses[i]);
        if (followed->guesses[i] != 0) {
            guesses[i] = float_of_units(
                floats, followed->units[i] + followed->guesses[i], guesses[i]);
        }
    }
}

RANGE_INLINE uint32_t code_float(struct tensor_model *model,
                                 struct range_coder *coder, bool decodes,
                                 const struct floats *floats,
                                 struct number_slots *slots, int base,
                                 uint32_t column, unsigned *recent,
                                 uint32_t guess, uint32_t value, int shift)
{
    struct activity *moved = &model->moved[MOVED_CODES];
    uint32_t mask = UINT32_MAX >> (32 - floats->width);
    uint32_t from = order_of(guess, floats->width);
    uint32_t apart = (order_of(value, floats->width) - from) & mask;
    int64_t wanted = floats->width == 32 ? (int64_t)(int32_t)apart
                                         : (int64_t)(int16_t)(uint16_t)apart;
    unsigned spare = floats->width == 32 ? 8 : 19;
    int below = floats->exponent_most - exponent_of(floats, guess);

    below = below > 0 ? below : 0; /* a move may be foreseen beyond the most */
    int level =
        (base + lg4(moved->column[column]) - (int)spare * 4 + below * 4) / 2 +
        12;
    int near = clamp(below, 0, 7);

    wanted =
        code_number(coder, decodes, slots, level, (unsigned)near * 8 + *recent,
                    0, floats->width, wanted);
    uint32_t size = (uint32_t)(wanted < 0 ? -wanted : wanted);
    unsigned bits = bits_of(size);
    *recent = bits < 7 ? bits : 7;
    uint32_t cap = floats->width == 32 ? 1u << 23 : 4095;
    size = size < cap ? size : cap;
    uint64_t weighed = ((uint64_t)size << spare) >> (below < 40 ? below : 40);
    activity_learn(moved, column, (uint32_t)weighed, shift);
    return unordered((uint32_t)((int64_t)from + wanted) & mask, floats->width);
}

RANGE_INLINE void code_group(struct tensor_model *model,
                             struct range_coder *coder, bool decodes,
                             const struct tensor_part *part,
                             const struct floats *floats,
                             struct number_slots *slots, uint64_t first,
                             size_t count, unsigned *state, uint8_t *fresh)
{
    struct activity *moved = &model->moved[MOVED_CODES];
    uint32_t guesses[GROUP_VALUES];
    struct followed followed;
    bool is_same = true;
    int row = lg4(activity_row(moved));
    int base = row - lg4(moved->column_mean);
    int shift = activity_shift(moved);
    unsigned recent = state[1];

    guess_floats(model, part, first, count, guesses);
    if (part->is_followed) {
        follow(model, floats, (uint32_t)(first % part->columns), count, guesses,
               &followed);
    }
    for (size_t i = 0; !decodes && i < count; i++) {
        is_same = is_same && guesses[i] == float_at(floats, fresh, first + i);
    }
    is_same =
        range_slot(coder, decodes,
                   &slots->same_group[clamp(row / 2, 0, NUMBER_LEVELS - 1)]
                                     [state[0] & 3],
                   is_same) != 0;
    state[0] = state[0] << 1 | !is_same;
    uint32_t in_row = (uint32_t)first % part->columns;
    uint32_t column = in_row % moved->columns;
    for (size_t i = 0; i < count; i++) {
        uint32_t value = guesses[i];
        if (is_same) {
            activity_learn(moved, column, 0, shift);
        } else {
            value = code_float(model, coder, decodes, floats, slots, base,
                               column, &recent, guesses[i],
                               decodes ? 0 : float_at(floats, fresh, first + i),
                               shift);
        }
        if (decodes) {
            float_put(floats, fresh, first + i, value);
        }
        if (part->is_followed) {
            followed.moves[i] = (int32_t)move_within(units_of(floats, value) -
                                                     followed.units[i]);
        }
        in_row = in_row + 1 == part->columns ? 0 : in_row + 1;
        column = in_row == 0 || column + 1 == moved->columns ? 0 : column + 1;
    }
    if (part->is_followed) {
        flo_directions_learn(&model->directions,
                             (uint32_t)(first % part->columns), count,
                             followed.moves, followed.guesses);
    }
    state[1] = recent;
}

/* Does a part that is followed show no directions, at the begin of a row? */
static bool is_hopeless(const struct tensor_model *model,
                        const struct tensor_part *part, uint64_t first)
{
    return part->is_followed && first % part->columns == 0 &&
           model->directions.rows == ROWS_TO_SHOW &&
           !flo_directions_foresee(&model->directions);
}

RANGE_INLINE bool code_floats(struct tensor_model *model,
                              struct range_coder *coder, bool decodes,
                              const struct tensor_part *part, uint8_t *fresh)
{
    const struct block_type *type = part->new_type;
    struct floats floats = {.width = type->bytes * 8u,
                            .fraction = type->is_float == BLOCK_F16    ? 10
                                        : type->is_float == BLOCK_BF16 ? 7
                                                                       : 23};
    struct number_slots *slots =
        &model->slots
             .numbers[NUMBER_VALUE * 4 + (part->old_type != type
                                              ? 3
                                              : type->is_float - BLOCK_F16)];
    unsigned state[2] = {0, 0};
    uint64_t row_end = part->columns;

    flo_tensor_rows_begin(model, part);
    if (part->is_followed) {
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
                   left < GROUP_VALUES ? (size_t)left : GROUP_VALUES, state,
                   fresh);
        if (decodes ? range_is_exhausted(coder)
                    : is_hopeless(model, part, first)) {
            return false;
        }
    }
    return true;
}

bool flo_tensor_floats_encode(struct tensor_model *model,
                              struct range_coder *coder,
                              const struct tensor_part *part, uint8_t *fresh)
{
    return code_floats(model, coder, false, part, fresh);
}

bool flo_tensor_floats_decode(struct tensor_model *model,
                              struct range_coder *coder,
                              const struct tensor_part *part, uint8_t *fresh)
{
    struct range_coder local = *coder; /* that nothing else points to */
    bool is_whole = code_floats(model, &local, true, part, fresh);

    *coder = local;
    return is_whole;
}
