/* Attend: the loop of attention, for every instruction set.  One function for
 * each number of rows and type of cache goes through a cache block by block,
 * with online softmax.  It is inlined with the steps of each kernel. */
#ifndef FLOTILLA_ENGINE_ATTEND_H
#define FLOTILLA_ENGINE_ATTEND_H

#include <math.h>
#include <string.h>

#include "engine/kernel/kernel.h"

#define FLO_ATTEND_INLINE static inline __attribute__((always_inline))

/* Function that computes attention for `R` rows.  `R` and `type` are constants
 * at compile time wherever it is called. */
typedef void flo_attend_fn(const int R, const enum flo_cache type, const struct flo_attention *a);

FLO_ATTEND_INLINE void flo_attend_rows(flo_attend_fn *attend, const enum flo_cache type,
                                       const struct flo_attention *a)
{
    switch (a->rows) {
    case 1:
        attend(1, type, a);
        break;
    case 2:
        attend(2, type, a);
        break;
    case 3:
        attend(3, type, a);
        break;
    default:
        attend(4, type, a);
        break;
    }
}

/* Defines a function for one type of cache.  With a sanitizer every inlined
 * copy has its own arrays on the stack, and all copies in one function would
 * overflow a thread's stack. */
#define FLO_ATTEND_TYPE(attend, type)                                                              \
    static __attribute__((noinline)) void attend_##type(const struct flo_attention *a)             \
    {                                                                                              \
        flo_attend_rows(attend, FLO_CACHE_##type, a);                                              \
    }

/* Defines attend_each(attention). */
#define FLO_ATTEND_EACH(attend)                                                                    \
    FLO_ATTEND_TYPE(attend, F16)                                                                   \
    FLO_ATTEND_TYPE(attend, F32)                                                                   \
    FLO_ATTEND_TYPE(attend, Q8_0)                                                                  \
    FLO_ATTEND_TYPE(attend, Q4_0)                                                                  \
                                                                                                   \
    static void attend_each(const struct flo_attention *a)                                         \
    {                                                                                              \
        switch (a->type) {                                                                         \
        case FLO_CACHE_F16:                                                                        \
            attend_F16(a);                                                                         \
            break;                                                                                 \
        case FLO_CACHE_F32:                                                                        \
            attend_F32(a);                                                                         \
            break;                                                                                 \
        case FLO_CACHE_Q8_0:                                                                       \
            attend_Q8_0(a);                                                                        \
            break;                                                                                 \
        case FLO_CACHE_Q4_0:                                                                       \
            attend_Q4_0(a);                                                                        \
            break;                                                                                 \
        }                                                                                          \
    }

/* Finds the range of positions that any of the rows attends to, and sets all
 * results to zero. */
FLO_ATTEND_INLINE void flo_attend_begin(const int R, const struct flo_attention *a, float *largest,
                                        size_t *first, size_t *longest)
{
    *longest = 0;
    *first = a->firsts[0];
    for (int r = 0; r < R; r++) {
        largest[r] = -INFINITY;
        *longest = a->lengths[r] > *longest ? a->lengths[r] : *longest;
        *first = a->firsts[r] < *first ? a->firsts[r] : *first;
        memset(a->out[r], 0, a->head_size * sizeof(*a->out[r]));
    }
}

struct flo_attend_state {
    float largest[FLO_ATTEND_ROWS];
    float total[FLO_ATTEND_ROWS];
    float correction[FLO_ATTEND_ROWS]; /* factor for the sums of earlier blocks */
    /* number of this block's positions before the end of each row */
    size_t counts[FLO_ATTEND_ROWS];
    /* number of this block's positions before each row's window */
    size_t skips[FLO_ATTEND_ROWS];
    /* first the scores, then exp(score - largest score) */
    _Alignas(32) float weights[FLO_ATTEND_ROWS][FLO_KV_BLOCK];
};

/* Steps of a kernel for one block of 16 positions. */
struct flo_attend_steps {
    /* Computes q . K for each row and the block's keys. */
    void (*scores)(const int R, const enum flo_cache type, const struct flo_attention *a,
                   const uint8_t *keys, struct flo_attend_state *state);
    /* Turns the scores of row r into weights.  Positions outside the row's
     * range weigh 0. */
    void (*softmax)(struct flo_attend_state *state, int r);
    /* Computes out = out * correction + weights . V.  Positions from `count` on
     * are not read, because they may hold values of another sequence. */
    void (*values)(const int R, const enum flo_cache type, const struct flo_attention *a,
                   const uint8_t *values, size_t count, const struct flo_attend_state *state);
};

FLO_ATTEND_INLINE void flo_attend_blocks(const struct flo_attend_steps steps, const int R,
                                         const enum flo_cache type, const struct flo_attention *a)
{
    const size_t block_bytes = flo_cache_block_bytes(type, a->head_size);
    struct flo_attend_state state = {0};
    size_t first, longest, place;

    flo_attend_begin(R, a, state.largest, &first, &longest);
    place = flo_attend_place(a, first / FLO_KV_BLOCK * FLO_KV_BLOCK);
    for (size_t p = first / FLO_KV_BLOCK * FLO_KV_BLOCK; p < longest; p += FLO_KV_BLOCK) {
        size_t at = place / FLO_KV_BLOCK * block_bytes, count = longest - p;

        steps.scores(R, type, a, (const uint8_t *)a->keys + at, &state);
        for (int r = 0; r < R; r++) {
            size_t left = a->lengths[r] > p ? a->lengths[r] - p : 0;

            state.counts[r] = left < FLO_KV_BLOCK ? left : FLO_KV_BLOCK;
            state.skips[r] = a->firsts[r] > p ? a->firsts[r] - p : 0;
            if (state.counts[r] > state.skips[r]) {
                steps.softmax(&state, r);
            } else {
                state.correction[r] = 1.0f;
                memset(state.weights[r], 0, sizeof(state.weights[r]));
            }
        }
        steps.values(R, type, a, (const uint8_t *)a->values + at,
                     count < FLO_KV_BLOCK ? count : FLO_KV_BLOCK, &state);
        place += FLO_KV_BLOCK;
        place = place == a->ring ? 0 : place;
    }
    for (int r = 0; r < R; r++) {
        float total = state.total[r] + flo_attend_sink(a, (size_t)r, state.largest[r]);

        for (size_t d = 0; d < a->head_size; d++) {
            a->out[r][d] /= total;
        }
    }
}

/* Defines attend_each(attention), which computes attention with these steps. */
#define FLO_ATTEND_BY_BLOCKS(scores, softmax, values)                                              \
    FLO_ATTEND_INLINE void attend(const int R, const enum flo_cache type,                          \
                                  const struct flo_attention *a)                                   \
    {                                                                                              \
        flo_attend_blocks((struct flo_attend_steps){scores, softmax, values}, R, type, a);         \
    }                                                                                              \
                                                                                                   \
    FLO_ATTEND_EACH(attend)

#endif
