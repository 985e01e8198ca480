/* Membership: devices join groups, leave them, and are told of theirs.
 *
 * A device that changed is looked at: selectors say which groups it is in, and
 * a signed statement (contracts/documents.md section 2.2) tells it.  Many
 * devices are looked at in pieces, so that nothing else waits. */
#ifndef FLOTILLA_SERVER_STATE_MEMBERSHIP_H
#define FLOTILLA_SERVER_STATE_MEMBERSHIP_H

#include <flotilla/base.h>

struct flo_controller;

/* A device joins or leaves a group of named members.  FLO_E_TARGET_LIMIT. */
FLO_MUST_USE int flo_groups_member(struct flo_controller *controller, const char *group,
                                   const char *device, bool is_member, bool *is_news,
                                   struct flo_err *err);
/* May a device name this group when it enrols?  FLO_E_STATE: it is one by
 * selector, or it ends. */
FLO_MUST_USE int flo_groups_may_enrol(struct flo_controller *controller, const char *group,
                                      struct flo_err *err);
/* The same; make the group when there is none. */
FLO_MUST_USE int flo_groups_enrol(struct flo_controller *controller, const char *group,
                                  struct flo_err *err);
/* Look at devices that changed, for some milliseconds, in a transaction of its
 * own.  true: there are more. */
FLO_MUST_USE bool flo_groups_turn(struct flo_controller *controller, uint64_t now_ms);

#endif
