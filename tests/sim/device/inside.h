/* Between the files of a device. */
#ifndef FLOTILLA_TESTS_SIM_INSIDE_H
#define FLOTILLA_TESTS_SIM_INSIDE_H

#include "tests/sim/sim.h"

/* Write the records that changed. */
void sim_model_write(struct sim_device *device, uint32_t model);
void sim_records_write(struct sim_device *device);
/* false: nothing was written; the core hears of it. */
bool sim_slot_action(struct sim_device *device, const struct flo_agent_action *action);
/* Hand an event to the core and carry its actions out; false: it is off. */
bool sim_device_step(struct sim_device *device, struct flo_agent_event *event);
/* The end of the object that begins at `at`. */
const char *sim_object_end(const char *at);
/* trust.c */
void sim_trust_hold(struct sim_device *device);
void sim_trust_refusal(const struct sim_device *device, const struct flo_slots *slots,
                       const struct flo_digest *release, uint64_t number,
                       struct flo_agent_error *out);
/* After each turn. */
void sim_trust_look(struct sim_device *device, uint32_t model);
/* An order is signed by whom a statement may name that did not come yet. */
void sim_trust_doubt(struct sim_device *device);
/* Take what waits, then say what is new. */
void sim_device_end_turn(struct sim_device *device);

#endif
