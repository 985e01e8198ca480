/* Tell: the statement by which a device learns its groups.  Private to this
 * folder. */
#ifndef FLOTILLA_SERVER_STATE_MEMBERSHIP_TELL_H
#define FLOTILLA_SERVER_STATE_MEMBERSHIP_TELL_H

#include <flotilla/base.h>

struct flo_controller;

/* Puts a statement into the desired document as long as the groups that the
 * device knows differ from the store's. */
FLO_MUST_USE int flo_groups_tell(struct flo_controller *controller, const char *device,
                                 struct flo_err *err);

#endif
