/* Shared by the files of this folder; not for others. */
#ifndef FLOTILLA_SERVER_STATE_GROUPS_INSIDE_H
#define FLOTILLA_SERVER_STATE_GROUPS_INSIDE_H

#include "server-stub/state/groups/groups.h"

/* ---- rules.c ---- */

struct flo_group_change {
    const char *group;
    bool is_member;
};
/* Groups by selector that the device should join or leave: at most
 * FLO_FLEET_GROUPS_MAX. */
size_t flo_groups_find(struct flo_controller *controller, const char *device,
                       struct flo_group_change *out);

/* ---- tell.c ---- */

/* The desired carries a statement while the device knows other groups. */
FLO_MUST_USE int flo_groups_tell(struct flo_controller *controller, const char *device,
                                 struct flo_err *err);

#endif
