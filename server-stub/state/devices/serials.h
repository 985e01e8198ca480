/* Serials: devices that enrol with a serial number, and the list of serials
 * that people prepared (core/member/serial.h). */
#ifndef FLOTILLA_SERVER_STATE_SERIALS_H
#define FLOTILLA_SERVER_STATE_SERIALS_H

#include "base/host/json.h"

#include "server-stub/core/member/serial.h"
#include "server-stub/store/serials.h"

struct flo_controller;

#define FLO_CLAIMS_WAITING_MAX 1000
#define FLO_CLAIM_GROUPS_MAX 8

/* The row of a serial that an enrolling device has.  The caller frees
 * `body`. */
struct flo_serial_found {
    char serial[FLO_NAME_MAX + 1];
    json_t *body; /* {"name","labels","note","groups"} of the prepared row; NULL: there is none */
    uint64_t at_ms;
};
/* Looks up the row of an enrolling device; `serial` as the device reports it,
 * NULL: none.
 *
 * FLO_E_ENROL_SERIAL   the serial is not on the list, or none was given
 * FLO_E_ENROL_WAITS    people must prepare the serial first
 * FLO_E_ENROL_CLAIMED  another device enrolled with the serial */
FLO_MUST_USE int flo_serials_look(struct flo_controller *controller, const char *serial,
                                  struct flo_serial_found *out, struct flo_err *err);
/* Assigns the row to a device that was just stored: the device gets the row's
 * note and groups.  Missing groups are created, as at any enrolment. */
FLO_MUST_USE int flo_serials_take(struct flo_controller *controller,
                                  const struct flo_serial_found *found, const char *device,
                                  struct flo_err *err);
/* Adds an unknown serial to the list as waiting, if the list has room.  Uses a
 * transaction of its own. */
FLO_MUST_USE int flo_serials_wait(struct flo_controller *controller, const char *serial,
                                  struct flo_err *err);
/* Stores one prepared row: {"serial","name","labels","note","groups"}.
 * FLO_E_REST_MEANING: the serial, a label or a group is invalid. */
FLO_MUST_USE int flo_serials_prepare(struct flo_controller *controller, const json_t *item,
                                     struct flo_err *err);

FLO_MUST_USE int flo_serials_policy(struct flo_controller *controller, enum flo_unlisted *out,
                                    struct flo_err *err);
FLO_MUST_USE int flo_serials_set_policy(struct flo_controller *controller, enum flo_unlisted policy,
                                        struct flo_err *err);
/* Returns the row as the API shows it, with the device that claimed it; new
 * reference. */
json_t *flo_serials_json(struct flo_controller *controller, const struct flo_fleet_serial *claim);

#endif
