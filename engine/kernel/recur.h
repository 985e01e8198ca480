/* Recur: the steps of a recurrent state, for every instruction set.  A kernel
 * defines FLO_RECUR_LANES, the values of a vector, and FLO_RECUR_PARTS, the
 * vectors that it computes at once; then flo_recur_step() and
 * flo_recur_recall() are its functions.
 *
 * Each value has two sums, of the even and of the odd keys, which hide the
 * latency of additions.  A value's bits depend on its place alone. */
#ifndef FLOTILLA_ENGINE_RECUR_H
#define FLOTILLA_ENGINE_RECUR_H

#include "engine/kernel/ref.h"

#ifndef FLO_RECUR_LANES /* this header alone */
#define FLO_RECUR_LANES 4
#define FLO_RECUR_PARTS 4
#endif
#define FLO_RECUR_INLINE static inline __attribute__((always_inline))

typedef float flo_lanes
    __attribute__((vector_size(FLO_RECUR_LANES * sizeof(float)), aligned(4), may_alias));

/* Sums of even and odd keys, and what is added to each key. */
struct flo_recur_sums {
    flo_lanes sums[2][FLO_RECUR_PARTS];
    flo_lanes added[FLO_RECUR_PARTS];
};

/* Computes one key of N vectors, from `row` on. */
FLO_RECUR_INLINE void flo_recur_key(const int N, flo_lanes *row, float decay, float key,
                                    float query, flo_lanes *sums, const flo_lanes *added)
{
#pragma GCC unroll 8
    for (int i = 0; i < N; i++) {
        flo_lanes s = row[i] * decay + added[i] * key;

        row[i] = s;
        sums[i] += s * query;
    }
}

FLO_RECUR_INLINE void flo_recur_part(const int N, const struct flo_recurrence *r, size_t at,
                                     const float *added, float *out)
{
    struct flo_recur_sums x = {0};
    float *row = r->state + at;
    size_t k = 0;

#pragma GCC unroll 8
    for (int i = 0; i < N; i++) {
        x.added[i] = ((const flo_lanes *)(added + at))[i];
    }
    for (; k + 2 <= r->keys; k += 2, row += 2 * r->values) {
        flo_recur_key(N, (flo_lanes *)row, r->decay, r->key[k], r->query[k], x.sums[0], x.added);
        flo_recur_key(N, (flo_lanes *)(row + r->values), r->decay, r->key[k + 1], r->query[k + 1],
                      x.sums[1], x.added);
    }
    if (k < r->keys) {
        flo_recur_key(N, (flo_lanes *)row, r->decay, r->key[k], r->query[k], x.sums[0], x.added);
    }
#pragma GCC unroll 8
    for (int i = 0; i < N; i++) {
        ((flo_lanes *)(out + at))[i] = x.sums[0][i] + x.sums[1][i];
    }
}

FLO_RECUR_INLINE void flo_recall_part(const int N, const struct flo_recurrence *r, size_t at,
                                      float *out)
{
    struct flo_recur_sums x = {0};
    const float *row = r->state + at;
    size_t k = 0;

    for (; k + 2 <= r->keys; k += 2, row += 2 * r->values) {
#pragma GCC unroll 8
        for (int i = 0; i < N; i++) {
            x.sums[0][i] += ((const flo_lanes *)row)[i] * r->key[k];
            x.sums[1][i] += ((const flo_lanes *)(row + r->values))[i] * r->key[k + 1];
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < N; i++) {
        if (k < r->keys) {
            x.sums[0][i] += ((const flo_lanes *)row)[i] * r->key[k];
        }
        ((flo_lanes *)(out + at))[i] = x.sums[0][i] + x.sums[1][i];
    }
}

/* Returns the first value that the vectors leave to plain C. */
FLO_RECUR_INLINE size_t flo_recur_rest(const struct flo_recurrence *r)
{
    return r->values / FLO_RECUR_LANES * FLO_RECUR_LANES;
}

FLO_RECUR_INLINE void flo_recur_step(const struct flo_recurrence *r, const float *added, float *out)
{
    const size_t wide = FLO_RECUR_LANES * FLO_RECUR_PARTS, rest = flo_recur_rest(r);
    size_t at = 0;

    for (; at + wide <= rest; at += wide) {
        flo_recur_part(FLO_RECUR_PARTS, r, at, added, out);
    }
    for (; at < rest; at += FLO_RECUR_LANES) {
        flo_recur_part(1, r, at, added, out);
    }
    flo_ref_recur_from(r, rest, added, out);
}

FLO_RECUR_INLINE void flo_recur_recall(const struct flo_recurrence *r, float *out)
{
    const size_t wide = FLO_RECUR_LANES * FLO_RECUR_PARTS, rest = flo_recur_rest(r);
    size_t at = 0;

    for (; at + wide <= rest; at += wide) {
        flo_recall_part(FLO_RECUR_PARTS, r, at, out);
    }
    for (; at < rest; at += FLO_RECUR_LANES) {
        flo_recall_part(1, r, at, out);
    }
    flo_ref_recall_from(r, rest, out);
}

#endif
