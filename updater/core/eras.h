/* Era internals of the updater's core: how a new era resets the device record
 * and the model records. */
#ifndef FLOTILLA_UPDATER_CORE_ERAS_H
#define FLOTILLA_UPDATER_CORE_ERAS_H

#include <flotilla/updater.h>

/* Resets the sequence numbers of normal (not emergency) orders to 0.  Blocked
 * releases, minimum releases, freezes and pauses stay. */
void flo_device_begin_era(struct flo_device *device);
/* Sets the era of a model's record, and drops its order numbers, which belong
 * to the era before.  The caller then writes the record. */
void flo_slots_begin_era(struct flo_slots *slots, uint32_t era);
/* Tells whether the release is in a slot or is the baseline (the release that
 * is never removed, as a last resort). */
bool flo_slots_hold(const struct flo_slots *slots, const struct flo_digest *release);
void flo_slots_denial_remove(struct flo_slots *slots, uint32_t index);

/* Returns the entry of a rollout, or NULL when the rollout is not listed. */
struct flo_pause *flo_device_pause_find(const struct flo_device *device, const char *rollout);
void flo_device_pause_keep(struct flo_device *device, const char *rollout, uint64_t number,
                           enum flo_rollout_said said);

#endif
