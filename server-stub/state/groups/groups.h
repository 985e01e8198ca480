/* Groups: which there are, by selector or with a priority, as the store has
 * them.  membership/ moves devices. */
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
/* Not read yet; NULL: no memory. */
struct flo_groups *flo_groups_new(void);
void flo_groups_free(struct flo_groups *groups);
/* The rules changed: all devices are looked at again. */
void flo_groups_changed(struct flo_controller *controller);
/* Groups with a priority of their own, as they were read; NULL after the last.
 */
const struct flo_group_rank *flo_groups_rank_at(const struct flo_groups *groups, size_t place);
/* The priority of a group, by which claims are compared. */
FLO_MUST_USE int flo_groups_priority(struct flo_controller *controller, const char *group,
                                     uint64_t *out, struct flo_err *err);
/* Rules and ranks are those of the store from here on. */
FLO_MUST_USE int flo_groups_read(struct flo_controller *controller, struct flo_err *err);
struct flo_group_change {
    const char *group;
    bool is_member;
};
/* Groups by selector that the device should join or leave: at most
 * FLO_FLEET_GROUPS_MAX. */
size_t flo_groups_find(struct flo_controller *controller, const char *device,
                       struct flo_group_change *out);
/* Is a group to be deleted when it is empty? */
bool flo_groups_any_ends(const struct flo_groups *groups);
/* Groups whose last member left are gone. */
FLO_MUST_USE int flo_groups_delete_ended(struct flo_controller *controller, struct flo_err *err);
/* A selector asks for what changes by itself: all are looked at now and then. */
void flo_groups_sweep(struct flo_controller *controller, uint64_t now_ms);
/* Each group by selector that reads one of these labels: who may change the
 * label moves devices into the group and out of it.  Not 0: it ends so. */
typedef int (*flo_group_of_label_fn)(void *context, const char *group, const char *label,
                                     struct flo_err *err);
FLO_MUST_USE int flo_groups_of_labels(struct flo_controller *controller, const json_t *labels,
                                      flo_group_of_label_fn fn, void *context, struct flo_err *err);

#endif
