/* A simulated device, for the files of this folder. */
#ifndef FLOTILLA_TESTS_SIM_DEVICE_H
#define FLOTILLA_TESTS_SIM_DEVICE_H

#include "agent/shell/serving/serving.h"
#include "tests/sim/sim.h"

/* The device whose shell this is; its store, server and outbox are the device itself. */
struct sim_device *sim_of(const struct flo_shell *shell);
/* store.c: May this device write?  FLO_E_IO_WRITE: its power is off;
 * FLO_E_DISK_FULL. */
FLO_MUST_USE int sim_disk_takes(struct sim_device *device, struct flo_err *err);
/* It has written: the power may fail here. */
void sim_disk_wrote(struct sim_device *device);
/* outbox.c */
void sim_outbox_lose_answers(struct sim_device *device);
/* trust.c: the file trust.json is read. */
struct flo_trust *sim_trust_load(const struct sim_device *device);

#endif
