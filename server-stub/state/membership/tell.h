/* Tell: the statement by which a device learns its groups.  Private to this
 * folder. */
#ifndef FLOTILLA_SERVER_STATE_MEMBERSHIP_TELL_H
#define FLOTILLA_SERVER_STATE_MEMBERSHIP_TELL_H

#include <flotilla/base.h>

struct flo_controller;

/* Puts a statement into the desired document while the device knows other
 * groups. */
FLO_MUST_USE int flo_groups_tell(struct flo_controller *controller, const char *device,
                                 struct flo_err *err);

#endif
