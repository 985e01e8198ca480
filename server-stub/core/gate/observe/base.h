/* Base: can a device be compared once it swaps, and from when on?  Told before
 * a rollout begins.  Pure. */
#ifndef FLOTILLA_SERVER_OBSERVE_BASE_H
#define FLOTILLA_SERVER_OBSERVE_BASE_H

#include "server-stub/core/gate/observe/observed.h"

/* The reference of a swap in a block, as flo_levels_reference() chooses. */
enum flo_base {
    FLO_BASE_NONE,  /* no reading is to be expected */
    FLO_BASE_LATER, /* the release is too young */
    FLO_BASE_THIN,  /* the device has a few readings, which scatter more */
    FLO_BASE_OLDER, /* a release before it stands for it */
    FLO_BASE_OWN
};
struct flo_observed_base {
    uint8_t kinds[FLO_READING_COUNT]; /* enum flo_base of a swap now */
    /* The first block in which a swap can be compared, and in which it is
     * compared with a whole level, if each block has a reading; 0: now. */
    uint32_t from[FLO_READING_COUNT];
    uint32_t whole[FLO_READING_COUNT];
};
void flo_observed_base(const struct flo_observed *observed, uint32_t block,
                       struct flo_observed_base *out);
enum flo_base flo_base_in(const struct flo_observed_base *base, enum flo_observed_reading reading,
                          uint32_t block);

#endif
