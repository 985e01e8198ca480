/* Row directions; see directions.h.
 *
 * The file solves two least-squares problems: for a row's shares over its
 * columns, and for the basis over the rows (recursive, with forgetting). */
#include "updater/delta/tensor/directions.h"

#include <string.h>

#define POINT_FIRST 32u
#define SHARE_BITS 14
#define SHARE_MAX (INT64_C(1) << 18)
#define SPREAD_BITS 24
#define SPREAD_MAX (INT64_C(1) << 30)
#define BASIS_MAX (1 << 23)
#define LEVER_BITS 16
/* From this number of rows on, the Gram matrices of the basis are computed only
 * after every eighth row. */
#define ROWS_EACH 16
/* Number of a part's first rows that do not count when the quality of
 * predictions is measured. */
#define ROWS_UNSEEN 24

/* Columns that are processed together; a row's length is a multiple of them. */
#define DIRECTIONS_AT_ONCE 32

static int64_t within(int64_t v, int64_t most)
{
    return v > most ? most : v < -most ? -most : v;
}

static unsigned bits_of_wide(uint64_t v)
{
    return v == 0 ? 0 : 64u - (unsigned)__builtin_clzll(v);
}

void flo_directions_begin(struct directions *directions, uint32_t columns)
{
    uint64_t moved = directions->seen[0];
    uint64_t missed = directions->seen[1];

    memset(directions, 0, offsetof(struct directions, moves));
    directions->seen[0] = moved;
    directions->seen[1] = missed;
    directions->columns = columns;
    for (size_t i = 0; i < DIRECTIONS; i++) {
        directions->spread[i][i] = INT64_C(4) << SPREAD_BITS;
    }
}

/* Predicts the changes of `count` columns, at most 32. */
TENSOR_COPIES static void foresee(const struct directions *directions, uint32_t column,
                                  size_t count, int32_t *guesses)
{
    int64_t sums[DIRECTIONS_AT_ONCE] = {0};

    for (size_t k = 0; k < DIRECTIONS; k++) {
        const int32_t *basis = directions->basis[k] + column;
        int32_t share = (int32_t)directions->shares[k];
        for (size_t i = 0; i < count; i++) {
            sums[i] += (int64_t)basis[i] * share;
        }
    }
    for (size_t i = 0; i < count; i++) {
        guesses[i] = (int32_t)within(sums[i] >> SHARE_BITS, DIRECTION_MOVE_MAX);
    }
}

void flo_directions_guess(const struct directions *directions, uint32_t column, size_t count,
                          int32_t *guesses)
{
    if (directions->rows == 0) {
        memset(guesses, 0, count * sizeof *guesses);
    } else {
        foresee(directions, column, count, guesses);
    }
}

/* ---- a row's shares ---- */

/* Returns how many columns of a row come before point number `point`, at which
 * the row's shares are computed again: 32, 64 and so on, up to all. */
static uint32_t columns_before(const struct directions *directions, uint32_t point)
{
    uint32_t columns = POINT_FIRST << point;

    return columns < directions->columns ? columns : directions->columns;
}

TENSOR_COPIES static int64_t product_of(const int32_t *a, const int32_t *b, size_t count)
{
    int64_t sum = 0;

    for (size_t i = 0; i < count; i++) {
        sum += (int64_t)a[i] * b[i];
    }
    return sum;
}

/* Computes the basis's Gram matrices, over the columns before each point. */
static void take_grams(struct directions *directions)
{
    uint32_t first = 0;

    for (uint32_t point = 0; point < DIRECTION_POINTS; point++) {
        uint32_t count = columns_before(directions, point) - first;
        for (size_t i = 0; i < DIRECTIONS; i++) {
            for (size_t k = 0; k <= i; k++) {
                int64_t before = point == 0 ? 0 : directions->grams[point - 1][i][k];
                directions->grams[point][i][k] =
                    before +
                    product_of(directions->basis[i] + first, directions->basis[k] + first, count);
            }
        }
        first += count;
    }
}

/* Solves for the shares that explain the changes so far: (gram + noise) shares
 * = sums, by square-root-free Cholesky decomposition. */
static void solve(struct directions *directions, uint32_t point)
{
    int64_t(*gram)[DIRECTIONS] = directions->grams[point];
    /* entries of the triangular factor, before the division by the diagonal */
    int64_t below[DIRECTIONS][DIRECTIONS];
    int64_t lever[DIRECTIONS][DIRECTIONS];
    int64_t diagonal[DIRECTIONS];
    int64_t rest[DIRECTIONS];
    int64_t largest = 0;

    for (size_t i = 0; i < DIRECTIONS; i++) {
        largest = gram[i][i] > largest ? gram[i][i] : largest;
    }
    unsigned bits = bits_of_wide((uint64_t)(largest + directions->noise));
    unsigned shift = bits > 24 ? bits - 24 : 0;
    for (size_t j = 0; j < DIRECTIONS; j++) {
        int64_t own = (gram[j][j] + directions->noise) >> shift;
        rest[j] = within(directions->sums[j] >> shift, INT64_C(1) << 30);
        for (size_t k = 0; k < j; k++) {
            below[j][k] = gram[j][k] >> shift;
            for (size_t l = 0; l < k; l++) {
                below[j][k] -= below[j][l] * lever[k][l] >> LEVER_BITS;
            }
            below[j][k] = within(below[j][k], INT64_C(1) << 26);
            lever[j][k] = within(below[j][k] * (1 << LEVER_BITS) / diagonal[k], INT64_C(1) << 22);
            own -= below[j][k] * lever[j][k] >> LEVER_BITS;
            rest[j] -= lever[j][k] * rest[k] >> LEVER_BITS;
        }
        diagonal[j] = own > 64 ? own : 64;
        rest[j] = within(rest[j], INT64_C(1) << 34);
    }
    for (size_t j = DIRECTIONS; j-- > 0;) {
        int64_t share = rest[j] * (1 << SHARE_BITS) / diagonal[j];
        for (size_t k = j + 1; k < DIRECTIONS; k++) {
            share -= lever[k][j] * directions->shares[k] >> LEVER_BITS;
        }
        directions->shares[j] = within(share, SHARE_MAX);
    }
}

/* ---- the basis ---- */

static int64_t root_of(uint64_t v)
{
    uint64_t root = 0;

    for (uint64_t bit = UINT64_C(1) << 31; bit > 0; bit >>= 1) {
        uint64_t more = root + bit;
        root = more * more <= v ? more : root;
    }
    return (int64_t)root;
}

/* Fills the basis with random vectors.  Their size is the mean change in the
 * first row that changed. */
static void begin_basis(struct directions *directions)
{
    uint32_t seed = 1;
    uint64_t squares = 0;

    for (uint32_t i = 0; i < directions->columns; i++) {
        int64_t moved = directions->moves[i];
        squares += (uint64_t)(moved * moved);
    }
    squares /= directions->columns;
    int64_t size = root_of(squares) + 1;
    directions->noise = (int64_t)(squares / 2) + 1;
    for (uint32_t i = 0; i < directions->columns; i++) {
        for (size_t k = 0; k < DIRECTIONS; k++) {
            seed = seed * 1664525 + 1013904223;
            directions->basis[k][i] = (int32_t)(size * ((int32_t)(seed >> 16) - 32768) >> 15);
        }
    }
}

/* Adds error * gain >> LEVER_BITS to the basis.  An error has 24 bits and a
 * gain 21, so the product has 45, of which 29 remain. */
TENSOR_COPIES static void move_some(int32_t *basis, const int32_t *errors, int32_t gain,
                                    size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int32_t moved = basis[i] + (int32_t)((int64_t)errors[i] * gain >> LEVER_BITS);
        moved = moved < BASIS_MAX ? moved : BASIS_MAX;
        basis[i] = moved > -BASIS_MAX ? moved : -BASIS_MAX;
    }
}

static void move_basis(struct directions *directions, const int64_t *gain)
{
    for (uint32_t i = 0; i < directions->columns; i += DIRECTIONS_AT_ONCE) {
        int32_t errors[DIRECTIONS_AT_ONCE];
        foresee(directions, i, DIRECTIONS_AT_ONCE, errors);
        for (size_t k = 0; k < DIRECTIONS_AT_ONCE; k++) {
            errors[k] = directions->moves[i + k] - errors[k];
        }
        for (size_t k = 0; k < DIRECTIONS; k++) {
            move_some(directions->basis[k] + i, errors, (int32_t)gain[k], DIRECTIONS_AT_ONCE);
        }
    }
}

static void learn_basis(struct directions *directions)
{
    int64_t pull[DIRECTIONS]; /* product of the covariance matrix `spread` and the row's shares */
    int64_t gain[DIRECTIONS];
    int64_t divisor = INT64_C(1) << SPREAD_BITS;

    for (size_t k = 0; k < DIRECTIONS; k++) {
        pull[k] = 0;
        for (size_t l = 0; l < DIRECTIONS; l++) {
            pull[k] += directions->spread[k][l] * directions->shares[l];
        }
        pull[k] >>= SHARE_BITS;
        int64_t part = pull[k] * directions->shares[k] >> SHARE_BITS;
        divisor += part;
    }
    divisor = divisor < 1 << SPREAD_BITS ? 1 << SPREAD_BITS : divisor;
    for (size_t k = 0; k < DIRECTIONS; k++) {
        gain[k] = within(pull[k] * (1 << LEVER_BITS) / divisor, 1 << 20);
    }
    move_basis(directions, gain);
    for (size_t k = 0; k < DIRECTIONS; k++) {
        for (size_t l = 0; l < DIRECTIONS; l++) {
            int64_t *spread = &directions->spread[k][l];
            *spread -= gain[k] * pull[l] >> LEVER_BITS;
            *spread = within(*spread + (*spread >> 8), SPREAD_MAX);
        }
    }
}

static void end_row(struct directions *directions)
{
    int64_t error = directions->row_errors / directions->columns;

    if (directions->has_moved) {
        if (directions->rows == 0) {
            begin_basis(directions);
        } else {
            directions->noise += (error - directions->noise) / 16;
            solve(directions, DIRECTION_POINTS - 1);
            learn_basis(directions);
        }
        directions->rows++;
        if (directions->rows < ROWS_EACH || directions->rows % 8 == 0) {
            take_grams(directions);
        }
    }
    directions->has_moved = false;
    directions->point = 0;
    directions->row_errors = 0;
    memset(directions->shares, 0, sizeof directions->shares);
    memset(directions->sums, 0, sizeof directions->sums);
}

void flo_directions_learn(struct directions *directions, uint32_t column, size_t count,
                          const int32_t *moves, const int32_t *guesses)
{
    int32_t *kept = directions->moves + column;
    int32_t moved = 0;

    for (size_t i = 0; i < count; i++) {
        kept[i] = (int32_t)within(moves[i], DIRECTION_MOVE_MAX);
        moved |= kept[i];
    }
    for (size_t i = 0; i < count; i++) {
        int64_t error = kept[i] - guesses[i];
        directions->row_errors += error * error;
    }
    for (size_t i = 0; directions->rows >= ROWS_UNSEEN && i < count; i++) {
        int32_t error = kept[i] - guesses[i];
        directions->seen[0] += (uint32_t)(kept[i] < 0 ? -kept[i] : kept[i]);
        directions->seen[1] += (uint32_t)(error < 0 ? -error : error);
    }
    directions->has_moved = directions->has_moved || moved != 0;
    for (size_t k = 0; directions->rows > 0 && moved != 0 && k < DIRECTIONS; k++) {
        directions->sums[k] += product_of(kept, directions->basis[k] + column, count);
    }
    column += (uint32_t)count;
    if (column == directions->columns) {
        end_row(directions);
        return;
    }
    if (directions->rows > 0 && directions->has_moved &&
        column >= columns_before(directions, directions->point)) {
        while (column >= columns_before(directions, directions->point + 1)) {
            directions->point++;
        }
        solve(directions, directions->point++);
    }
}

bool flo_directions_foresee(const struct directions *directions)
{
    const uint64_t *seen = directions->seen;

    return seen[1] < seen[0] - seen[0] / 10;
}
