/* Membership: moves devices into groups and out of them, and sends them a
 * statement about it.
 *
 * A device that changed is evaluated: selectors decide its groups, and a signed
 * statement (contracts/documents.md section 2.2) tells the device.  Many
 * devices are evaluated in slices of work, so that nothing else waits. */
#ifndef FLOTILLA_SERVER_STATE_MEMBERSHIP_H
#define FLOTILLA_SERVER_STATE_MEMBERSHIP_H

#include <flotilla/base.h>

struct flo_controller;

/* Adds a device to a group with named members, or removes it.
 *
 * FLO_E_TARGET_LIMIT  the device would be in too many groups */
FLO_MUST_USE int flo_groups_member(struct flo_controller *controller, const char *group,
                                   const char *device, bool is_member, bool *is_news,
                                   struct flo_err *err);
/* Checks whether a device may name this group when it enrols.  FLO_E_STATE: the
 * group has a selector, or it ends when empty. */
FLO_MUST_USE int flo_groups_may_enrol(struct flo_controller *controller, const char *group,
                                      struct flo_err *err);
/* Checks what flo_groups_may_enrol checks, and creates the group when it does
 * not exist. */
FLO_MUST_USE int flo_groups_enrol(struct flo_controller *controller, const char *group,
                                  struct flo_err *err);
/* Checks whether a device, as this transaction changed it, leaves a group by
 * its selector that has a rule now (flo_rules_may_take_out). */
FLO_MUST_USE int flo_groups_may_leave(struct flo_controller *controller, const char *device,
                                      struct flo_err *err);
/* Evaluates changed devices for some milliseconds, in a transaction of its own.
 * Returns true if more devices wait. */
FLO_MUST_USE bool flo_groups_turn(struct flo_controller *controller, uint64_t now_ms);

#endif
