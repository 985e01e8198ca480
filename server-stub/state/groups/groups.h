/* Groups: the groups of the store, with their selectors and priorities.
 * membership/ moves devices into groups. */
#ifndef FLOTILLA_SERVER_STATE_GROUPS_H
#define FLOTILLA_SERVER_STATE_GROUPS_H

#include "server-stub/core/select/select.h"
#include "server-stub/store/groups.h"

struct flo_controller;

#define FLO_FLEET_GROUPS_MAX 256

/* A group whose priority is not the standard one. */
struct flo_group_rank {
    char name[FLO_NAME_MAX + 1];
    uint64_t priority;
};

struct flo_groups;
/* Creates the state of groups, not yet read from the store; NULL: no memory. */
struct flo_groups *flo_groups_new(void);
void flo_groups_free(struct flo_groups *groups);
/* Marks all devices for a new evaluation, because the selectors changed. */
void flo_groups_changed(struct flo_controller *controller);
/* Returns a group whose priority is not the standard one, as read from the
 * store.  Returns NULL after the last. */
const struct flo_group_rank *flo_groups_rank_at(const struct flo_groups *groups, size_t place);
/* Reads the group's priority, which decides between competing rollouts. */
FLO_MUST_USE int flo_groups_priority(struct flo_controller *controller, const char *group,
                                     uint64_t *out, struct flo_err *err);
/* Reads the selectors and priorities from the store. */
FLO_MUST_USE int flo_groups_read(struct flo_controller *controller, struct flo_err *err);
struct flo_group_change {
    const char *group;
    bool is_member;
};
/* Finds the groups with a selector that the device should join or leave.
 * Returns their number, at most FLO_FLEET_GROUPS_MAX. */
size_t flo_groups_find(struct flo_controller *controller, const char *device,
                       struct flo_group_change *out);
/* Returns whether some group is to be deleted when it is empty. */
bool flo_groups_any_ends(const struct flo_groups *groups);
/* Deletes those groups that end when empty and whose last member left. */
FLO_MUST_USE int flo_groups_delete_ended(struct flo_controller *controller, struct flo_err *err);
/* Every minute, marks all devices for a new evaluation if some selector depends
 * on facts that change with time. */
void flo_groups_sweep(struct flo_controller *controller, uint64_t now_ms);
/* Callback for each group whose selector reads one of these labels: a change of
 * the label moves devices into the group or out of it.  A result other than 0
 * ends the iteration. */
typedef int (*flo_group_of_label_fn)(void *context, const char *group, const char *label,
                                     struct flo_err *err);
FLO_MUST_USE int flo_groups_of_labels(struct flo_controller *controller, const json_t *labels,
                                      flo_group_of_label_fn fn, void *context, struct flo_err *err);

#endif
