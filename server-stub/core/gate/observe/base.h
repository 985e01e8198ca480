/* Baseline: tells whether a device can be compared once it updates, and from
 * which block on.  The plan shows this before a rollout begins.  Pure. */
#ifndef FLOTILLA_SERVER_OBSERVE_BASE_H
#define FLOTILLA_SERVER_OBSERVE_BASE_H

#include "server-stub/core/gate/observe/observed.h"

/* Baseline of an update that begins in a given block, as flo_levels_reference()
 * chooses it. */
enum flo_base {
    FLO_BASE_NONE, /* no baseline, and no reading is expected */
    /* no baseline yet, because the release is too new; one comes later */
    FLO_BASE_LATER,
    FLO_BASE_THIN,  /* the baseline has only a few readings, so it scatters more */
    FLO_BASE_OLDER, /* readings of an older release are the baseline */
    FLO_BASE_OWN
};
struct flo_observed_base {
    /* kind of baseline (enum flo_base) if the device updated now */
    uint8_t kinds[FLO_READING_COUNT];
    /* First block in which the device can be compared after an update, and
     * first block in which its baseline is full; 0: the present one.  Both
     * assume a reading in each block. */
    uint32_t from[FLO_READING_COUNT];
    uint32_t whole[FLO_READING_COUNT];
};
void flo_observed_base(const struct flo_observed *observed, uint32_t block,
                       struct flo_observed_base *out);
enum flo_base flo_base_in(const struct flo_observed_base *base, enum flo_observed_reading reading,
                          uint32_t block);

#endif
