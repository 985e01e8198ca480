/* Inside the updater's core: the records of device and model. */
#ifndef FLOTILLA_UPDATER_CORE_ERAS_H
#define FLOTILLA_UPDATER_CORE_ERAS_H

#include <flotilla/updater.h>

/* Numbers of the order lane count as 0 from now on; denials, floors, freezes
 * and pauses stay. */
void flo_device_begin_era(struct flo_device *device);
/* A model's record follows when it is next written to. */
void flo_slots_begin_era(struct flo_slots *slots, uint32_t era);
void flo_slots_denial_remove(struct flo_slots *slots, uint32_t index);

/* NULL: the rollout is not listed. */
struct flo_pause *flo_device_pause_find(const struct flo_device *device, const char *rollout);
void flo_device_pause_keep(struct flo_device *device, const char *rollout, uint64_t number,
                           enum flo_rollout_said said);

#endif
