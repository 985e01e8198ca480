/* Rows that move together: an adapter that was merged moves all rows of a
 * matrix along the same few directions.  They are learned from the rows that
 * are decoded already; a row's first columns then say how far it went along
 * each, and its other columns follow.
 *
 * Part of the frozen predictor (model.h).  Integers only; every product stays
 * below 2^63 whatever the data are. */
#ifndef FLOTILLA_TENSOR_DIRECTIONS_H
#define FLOTILLA_TENSOR_DIRECTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The same integers on any processor; on x86-64 a loop has
 * another copy, for processors with AVX2 and BMI2. */
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__OPTIMIZE__) && !defined(__clang__) &&   \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define TENSOR_COPIES __attribute__((target_clones("arch=x86-64-v3", "default")))
#else
#define TENSOR_COPIES
#endif

#define DIRECTIONS 8
#define DIRECTION_COLUMNS_MAX 8192u
/* Places in a row where the shares are solved for: 32, 64, ... and its end. */
#define DIRECTION_POINTS 9
/* The most that a value counts as having moved. */
#define DIRECTION_MOVE_MAX (1 << 22)

struct directions {
    uint32_t columns;
    uint32_t rows;                          /* that moved */
    uint32_t point;                         /* the next place to solve at */
    bool has_moved;                         /* in this row */
    int64_t noise;                          /* mean square of what was not foreseen */
    int64_t row_errors;                     /* squares of this row */
    int64_t shares[DIRECTIONS];             /* shares of this row, 2^14 is one */
    int64_t sums[DIRECTIONS];               /* moves times basis */
    int64_t spread[DIRECTIONS][DIRECTIONS]; /* the basis's, 2^24 is one */
    int64_t grams[DIRECTION_POINTS][DIRECTIONS][DIRECTIONS];
    uint64_t seen[2]; /* sizes of moves and of errors, once enough rows moved */
    int32_t moves[DIRECTION_COLUMNS_MAX];
    /* Rows of other lengths than a power of two: each has cache lines of its
     * own. */
    int32_t basis[DIRECTIONS][DIRECTION_COLUMNS_MAX + 16];
};

/* `columns`: 32 to DIRECTION_COLUMNS_MAX, a multiple of 32. */
void flo_directions_begin(struct directions *directions, uint32_t columns);
/* Moves to be foreseen for values from a column on. */
void flo_directions_guess(const struct directions *directions, uint32_t column, size_t count,
                          int32_t *guesses);
/* Moves as they were, and as they had been guessed; to be called for all
 * columns of a row, in order, 32 at a time. */
void flo_directions_learn(struct directions *directions, uint32_t column, size_t count,
                          const int32_t *moves, const int32_t *guesses);

/* Has a tenth of what moved been foreseen, in the rows that count? */
bool flo_directions_foresee(const struct directions *directions);

#endif
