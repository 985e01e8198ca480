/* Devices that enrol with a serial number, and the list that people prepared
 * (core/member/serial.h). */
#ifndef FLOTILLA_SERVER_STATE_SERIALS_H
#define FLOTILLA_SERVER_STATE_SERIALS_H

#include "base/host/json.h"

#include "server-stub/core/member/serial.h"
#include "server-stub/store/serials.h"

struct flo_controller;

#define FLO_CLAIMS_WAITING_MAX 1000
#define FLO_CLAIM_GROUPS_MAX 8

/* A row that fits a device which enrols now; `body` is the caller's. */
struct flo_serial_found {
    char serial[FLO_NAME_MAX + 1];
    json_t *body; /* {"name","labels","note","groups"}; NULL: no claim */
    uint64_t at_ms;
};
/* `serial` as the device says it; NULL: it said none.
 *
 * FLO_E_ENROL_SERIAL   the serial is not on the list, or none was said
 * FLO_E_ENROL_WAITS    it has to be prepared first
 * FLO_E_ENROL_CLAIMED  another device came with it */
FLO_MUST_USE int flo_serials_look(struct flo_controller *controller, const char *serial,
                                  struct flo_serial_found *out, struct flo_err *err);
/* The device is stored: it gets note and groups of its row, which is its now.
 * Groups that are not there are made, as at any enrolment. */
FLO_MUST_USE int flo_serials_take(struct flo_controller *controller,
                                  const struct flo_serial_found *found, const char *device,
                                  struct flo_err *err);
/* The serial waits in the list, if there is room.  In its own transaction. */
FLO_MUST_USE int flo_serials_wait(struct flo_controller *controller, const char *serial,
                                  struct flo_err *err);
/* One row of people: {"serial","name","labels","note","groups"}.
 * FLO_E_REST_MEANING: the serial, a label or a group cannot be. */
FLO_MUST_USE int flo_serials_prepare(struct flo_controller *controller, const json_t *item,
                                     struct flo_err *err);

FLO_MUST_USE int flo_serials_policy(struct flo_controller *controller, enum flo_unlisted *out,
                                    struct flo_err *err);
FLO_MUST_USE int flo_serials_set_policy(struct flo_controller *controller, enum flo_unlisted policy,
                                        struct flo_err *err);
/* As people see it, with the device that has it; new reference. */
json_t *flo_serials_json(struct flo_controller *controller, const struct flo_fleet_serial *claim);

#endif
