/* Row directions: after an adapter was merged, all rows of a matrix change
 * along the same few directions.  The model learns them from rows that are
 * already decoded.  A row's first columns tell how far it moved along each
 * direction, which predicts its other columns.
 *
 * Part of the frozen predictor (model.h).  Integers only; every product stays
 * below 2^63 for any data. */
#ifndef FLOTILLA_TENSOR_DIRECTIONS_H
#define FLOTILLA_TENSOR_DIRECTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Marks a function that is compiled twice on x86-64: for processors with AVX2
 * and BMI2, and for all others.  The results are the same integers. */
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__OPTIMIZE__) && !defined(__clang__) &&   \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define TENSOR_COPIES __attribute__((target_clones("arch=x86-64-v3", "default")))
#else
#define TENSOR_COPIES
#endif

#define DIRECTIONS 8
#define DIRECTION_COLUMNS_MAX 8192u
/* Most points of a row at which its shares are computed again: after 32
 * columns, 64 and so on, and at the row's end. */
#define DIRECTION_POINTS 9
/* Upper bound of one value's change. */
#define DIRECTION_MOVE_MAX (1 << 22)

struct directions {
    uint32_t columns;
    uint32_t rows; /* rows so far that had a change */
    /* index of the next point at which to solve for the shares */
    uint32_t point;
    bool has_moved;                         /* some value of this row changed */
    int64_t noise;                          /* mean square of the prediction error */
    int64_t row_errors;                     /* sum of squared errors of this row */
    int64_t shares[DIRECTIONS];             /* shares of this row; 2^14 means 1 */
    int64_t sums[DIRECTIONS];               /* sums of changes times basis */
    int64_t spread[DIRECTIONS][DIRECTIONS]; /* covariance of the basis; 2^24 means 1 */
    int64_t grams[DIRECTION_POINTS][DIRECTIONS][DIRECTIONS];
    /* summed sizes of changes and of prediction errors, in rows that changed
     * enough */
    uint64_t seen[2];
    int32_t moves[DIRECTION_COLUMNS_MAX];
    /* A row's length is not a power of two, so that rows use different cache
     * lines. */
    int32_t basis[DIRECTIONS][DIRECTION_COLUMNS_MAX + 16];
};

/* Begins with no directions learned.  `columns` is a multiple of 32, from 32 to
 * DIRECTION_COLUMNS_MAX. */
void flo_directions_begin(struct directions *directions, uint32_t columns);
/* Predicts the changes of `count` values from a column on. */
void flo_directions_guess(const struct directions *directions, uint32_t column, size_t count,
                          int32_t *guesses);
/* Learns from the actual and the predicted changes.  Call it for all columns of
 * a row in order, 32 at a time. */
void flo_directions_learn(struct directions *directions, uint32_t column, size_t count,
                          const int32_t *moves, const int32_t *guesses);

/* Tells whether the directions predicted at least a tenth of the changes so
 * far. */
bool flo_directions_foresee(const struct directions *directions);

#endif
