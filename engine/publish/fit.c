#include "engine/publish/fit.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PIECE_VALUES 16384 /* values that a thread encodes at once; a multiple of 256 */
/* share of a block's rms error by which values are moved for a trial */
#define NUDGE 0.15f
#define LANES 4 /* sums that are added up side by side */

/* Work of all threads on one tensor, which is split into pieces. */
struct job {
    const struct flo_fit *fit;
    struct flo_pool *pool;
    size_t piece_count; /* pieces of the tensor */
    size_t measured;    /* pieces that are taken: all, or some that are spread over it */
    struct flo_fit_counters *pieces; /* [measured] */
};

/* A thread's room. */
struct room {
    float in[PIECE_VALUES];
    float out[PIECE_VALUES];
    float old[PIECE_VALUES];
    float floats[PIECE_VALUES];
    float importance[PIECE_VALUES];
    uint8_t blocks[PIECE_VALUES * 4];
};

static float furthest(const float *x, const float *y, size_t count)
{
    float most = 0;
    for (size_t i = 0; i < count; i++) {
        float distance = fabsf(x[i] - y[i]);
        most = distance > most ? distance : most;
    }
    return most;
}

/* Measures how much of a small change of a block's values a pinned grid keeps.
 * `blocks` has the pinned block, and is overwritten.  `now` are its decoded
 * values. */
static void nudge(const struct flo_fit *fit, const float *x, uint8_t *blocks, const float *now,
                  struct flo_fit_counters *counters)
{
    size_t values = fit->to->block_values;
    float changed[256];
    float moved[256];
    float squares = 0;
    uint32_t sign = 0x9e3779b9u;
    for (size_t i = 0; i < values; i++) {
        float rest = x[i] - now[i];
        squares += rest * rest;
    }
    float change = NUDGE * sqrtf(squares / (float)values);
    for (size_t i = 0; i < values; i++) {
        sign = sign * 1664525u + 1013904223u;
        changed[i] = (sign >> 31) != 0 ? change : -change;
        moved[i] = x[i] + changed[i];
    }
    fit->to->pin(moved, blocks, values);
    fit->to->decode(blocks, moved, values);
    for (size_t i = 0; i < values; i++) {
        double wanted = (double)changed[i];
        counters->moved_dot_nudge += ((double)moved[i] - (double)now[i]) * wanted;
        counters->nudge_squares += wanted * wanted;
    }
}

/* Replaces blocks in `data`, which were encoded freely, by blocks on the old
 * grid.  A block whose values the old grid does not cover is not replaced.  The
 * old blocks are in room->blocks. */
static void choose_pinned(const struct flo_fit *fit, struct room *room, uint8_t *data, size_t count,
                          struct flo_fit_counters *counters)
{
    const struct flo_quant_type *type = fit->to;
    size_t values = type->block_values;
    for (size_t at = 0; at < count; at += values) {
        float pinned[256];
        float free_ones[256];
        uint8_t *mine = data + flo_quant_bytes(type, at);
        uint8_t *kept = room->blocks + flo_quant_bytes(type, at);
        type->pin(room->in + at, kept, values);
        type->decode(kept, pinned, values);
        type->decode(mine, free_ones, values);
        float far_pinned = furthest(room->in + at, pinned, values);
        float far_free = furthest(room->in + at, free_ones, values);
        counters->blocks++;
        if (far_pinned > 2 * far_free) {
            continue; /* keeps the free block, because the old grid would clip a value */
        }
        memcpy(mine, kept, type->block_bytes);
        counters->blocks_pinned++;
        nudge(fit, room->in + at, kept, pinned, counters);
    }
}

/* Sums the squares of values and errors, in lanes that a CPU adds at once. */
static void count_squares(const struct room *room, size_t count, struct flo_fit_counters *counters)
{
    double errors[LANES] = {0}, values[LANES] = {0};

    for (size_t i = 0; i < count; i += LANES) {
        size_t lanes = count - i < LANES ? count - i : LANES;
        for (size_t j = 0; j < lanes; j++) {
            double x = room->in[i + j];
            double error = (double)room->out[i + j] - x;
            errors[j] += error * error;
            values[j] += x * x;
        }
    }
    for (size_t j = 0; j < LANES; j++) {
        counters->error_squares += errors[j];
        counters->value_squares += values[j];
    }
}

static void count_weighed(const struct room *room, size_t count, struct flo_fit_counters *counters)
{
    for (size_t i = 0; i < count; i++) {
        double x = room->in[i];
        double error = (double)room->out[i] - x;
        double by = (double)room->importance[i];
        counters->error_weighed += by * error * error;
        counters->value_weighed += by * x * x;
    }
}

static void count_changes(const struct room *room, size_t count, struct flo_fit_counters *counters)
{
    for (size_t i = 0; i < count; i++) {
        double change = (double)room->in[i] - (double)room->floats[i];
        double moved = (double)room->out[i] - (double)room->old[i];
        counters->change_squares += change * change;
        counters->moved_dot_change += moved * change;
    }
}

static void count_values(const struct flo_fit *fit, const struct room *room, size_t count,
                         struct flo_fit_counters *counters)
{
    count_squares(room, count, counters);
    if (fit->importance != NULL) {
        count_weighed(room, count, counters);
    } else {
        counters->error_weighed = counters->error_squares;
        counters->value_weighed = counters->value_squares;
    }
    if (fit->floats != NULL && fit->old != NULL) {
        count_changes(room, count, counters);
    }
    counters->is_finite = isfinite(counters->error_squares) && isfinite(counters->value_squares);
}

/* Spreads the importance of the columns over values, from value `first` on. */
static void spread_importance(const struct flo_fit *fit, uint64_t first, size_t count, float *out)
{
    for (size_t done = 0; done < count;) {
        uint64_t at = first + done, column = at % fit->row;
        size_t run = (size_t)(fit->row - column);

        run = run < count - done ? run : count - done;
        memcpy(out + done, fit->importance + at / fit->plane * fit->row + column,
               run * sizeof(*out));
        done += run;
    }
}

static void encode(const struct flo_fit *fit, uint64_t first, size_t count, struct room *room,
                   uint8_t *data)
{
    if (fit->importance != NULL) {
        spread_importance(fit, first, count, room->importance);
    }
    if (fit->importance != NULL && fit->to->weigh != NULL) {
        fit->to->weigh(room->in, room->importance, data, count);
    } else {
        fit->to->encode(room->in, data, count);
    }
}

static void do_piece(const struct flo_fit *fit, size_t piece, struct flo_fit_counters *counters,
                     struct room *room)
{
    uint64_t first = (uint64_t)piece * PIECE_VALUES;
    uint64_t left = fit->values - first;
    size_t count = left < PIECE_VALUES ? (size_t)left : PIECE_VALUES;
    uint8_t *data =
        fit->data != NULL ? fit->data + flo_quant_bytes(fit->to, (size_t)first) : room->blocks;
    fit->from->decode(fit->source + flo_quant_bytes(fit->from, (size_t)first), room->in, count);
    encode(fit, first, count, room, data);
    if (fit->old != NULL) {
        const uint8_t *old = fit->old + flo_quant_bytes(fit->to, (size_t)first);
        memcpy(room->blocks, old, flo_quant_bytes(fit->to, count));
        choose_pinned(fit, room, data, count, counters);
        fit->to->decode(old, room->old, count);
    }
    if (fit->floats != NULL) {
        fit->floats_type->decode(fit->floats + flo_quant_bytes(fit->floats_type, (size_t)first),
                                 room->floats, count);
    }
    fit->to->decode(data, room->out, count);
    count_values(fit, room, count, counters);
}

/* Encodes pieces of the tensor until none is left; called on each thread.  A
 * thread without memory takes none.  If all threads lack memory, the pieces'
 * counters keep their first value, which is not finite. */
static void do_pieces(void *context, unsigned thread)
{
    const struct job *job = context;
    size_t taken;
    FLO_CLEANUP(flo_free_cleanup) struct room *room = malloc(sizeof(*room));
    if (room == NULL) {
        return;
    }
    while ((taken = flo_pool_take(job->pool, thread, job->measured)) < job->measured) {
        size_t piece = taken * job->piece_count / job->measured;
        do_piece(job->fit, piece, &job->pieces[taken], room);
    }
}

void flo_fit_add(struct flo_fit_counters *to, const struct flo_fit_counters *from)
{
    to->error_squares += from->error_squares;
    to->value_squares += from->value_squares;
    to->error_weighed += from->error_weighed;
    to->value_weighed += from->value_weighed;
    to->change_squares += from->change_squares;
    to->moved_dot_change += from->moved_dot_change;
    to->nudge_squares += from->nudge_squares;
    to->moved_dot_nudge += from->moved_dot_nudge;
    to->blocks += from->blocks;
    to->blocks_pinned += from->blocks_pinned;
}

int flo_fit_run(const struct flo_fit *fit, struct flo_pool *pool, unsigned threads,
                struct flo_fit_counters *counters, struct flo_err *err)
{
    struct job job = {
        .fit = fit,
        .pool = pool,
        .piece_count = (size_t)((fit->values + PIECE_VALUES - 1) / PIECE_VALUES),
    };
    int rv = 0;

    assert(fit->data != NULL || fit->old == NULL);
    job.measured =
        fit->data == NULL && fit->pieces_max < job.piece_count ? fit->pieces_max : job.piece_count;
    job.pieces = calloc(job.measured + 1, sizeof(*job.pieces));
    if (job.pieces == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "tensor '%s'", fit->name);
    }
    flo_pool_run(pool, threads, do_pieces, &job);
    for (size_t i = 0; rv == 0 && i < job.measured; i++) {
        if (!job.pieces[i].is_finite) {
            rv = flo_fail(err, FLO_E_MODEL_NONFINITE,
                          "tensor '%s' holds values near %zu that %s cannot "
                          "hold",
                          fit->name, i * job.piece_count / job.measured * PIECE_VALUES,
                          fit->to->name);
        }
        flo_fit_add(counters, &job.pieces[i]);
    }
    free(job.pieces);
    return rv;
}
