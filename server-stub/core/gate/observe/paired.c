/* Paired: adds up the telemetry windows of both models, and makes pairs of
 * their readings. */
#include "server-stub/core/gate/observe/paired.h"

#include <assert.h>

static void hear(struct flo_paired *paired, enum flo_paired_side side,
                 const struct flo_observed_window *window)
{
    struct flo_paired_sums *sums = &paired->sides[side];

    assert(side == FLO_PAIRED_OLD || side == FLO_PAIRED_NEW);
    if (sums->release != 0 && sums->release != window->release) {
        *paired = (struct flo_paired){0};
    }
    if (sums->release == 0) {
        sums->release = window->release;
        sums->begun = window->block;
    }
    sums->blocks += sums->heard != window->block ? 1 : 0;
    sums->heard = window->block;
}

void flo_paired_take(struct flo_paired *paired, enum flo_paired_side side,
                     const struct flo_observed_window *window)
{
    struct flo_paired_sums *sums = &paired->sides[side];
    uint32_t hour = window->block / FLO_BLOCKS_PER_HOUR + 1;

    assert(window->block > 0 && window->release != 0);
    hear(paired, side, window);
    sums->requests += (double)window->requests;
    sums->errors += (double)window->errors;
    sums->judged += (double)(window->good + window->bad);
    sums->bad += (double)window->bad;
    if (window->engine_ends > 0 && sums->crashed != hour) {
        sums->crashed = hour;
        sums->crashes += 1;
    }
}

void flo_paired_read(struct flo_paired *paired, enum flo_paired_side side, uint32_t block,
                     uint8_t fresh, const double *y)
{
    struct flo_paired_sums *sums = &paired->sides[side];
    bool is_warm = sums->release != 0 && block >= sums->begun + FLO_WARM_BLOCKS;

    assert(y != NULL && block > 0);
    for (int i = 0; i < FLO_READING_COUNT && is_warm; i++) {
        if ((fresh >> i & 1) != 0) {
            sums->open[i].sum += y[i];
            sums->open[i].count++;
        }
    }
}

void flo_paired_end(struct flo_paired *paired)
{
    for (int i = 0; i < FLO_READING_COUNT; i++) {
        struct flo_mean *old = &paired->sides[FLO_PAIRED_OLD].open[i];
        struct flo_mean *new = &paired->sides[FLO_PAIRED_NEW].open[i];
        if (old->count > 0 && new->count > 0) {
            paired->pairs[i].sum += flo_mean_of(new) - flo_mean_of(old);
            paired->pairs[i].count++;
            *old = (struct flo_mean){0};
            *new = (struct flo_mean){0};
        }
    }
}

bool flo_paired_reads(const struct flo_paired *paired, enum flo_observed_reading reading)
{
    assert(reading < FLO_READING_COUNT);
    return paired->pairs[reading].count > 0 ||
           paired->sides[FLO_PAIRED_OLD].open[reading].count > 0 ||
           paired->sides[FLO_PAIRED_NEW].open[reading].count > 0;
}

bool flo_paired_difference(const struct flo_paired *paired, enum flo_observed_reading reading,
                           double *out)
{
    const struct flo_mean *pairs = &paired->pairs[reading];

    assert(reading < FLO_READING_COUNT);
    if (reading == FLO_READING_GOLDEN || pairs->count < FLO_PAIRED_PAIRS_MIN) {
        return false;
    }
    *out = flo_mean_of(pairs);
    return true;
}
