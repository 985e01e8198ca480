/* Groups: live membership, and devices that are told of theirs.
 *
 * A device that changed is looked at: selectors say which groups it is in, and
 * a signed statement (contracts/documents.md section 2.2) tells it.  Many
 * devices are looked at in pieces, so that nothing else waits. */
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
/* A group by selector. */
struct flo_group_rule {
    char name[FLO_NAME_MAX + 1];
    struct flo_selector *selector; /* NULL: it ends, and has no member */
};
struct flo_groups {
    struct flo_group_rule *rules;
    size_t rule_count;
    struct flo_group_rank *ranks;
    size_t rank_count, rank_room;
    bool is_read;         /* the rules are those of the store */
    bool is_moving;       /* one of them asks for what changes by itself */
    bool ends;            /* a group is to be deleted when it is empty */
    uint64_t sweep_at_ms; /* all are looked at again */
};

void flo_groups_deinit(struct flo_groups *groups);
/* The rules changed: all devices are looked at again. */
void flo_groups_changed(struct flo_controller *controller);
/* The priority of a group, by which claims are compared. */
FLO_MUST_USE int flo_groups_priority(struct flo_controller *controller, const char *group,
                                     uint64_t *out, struct flo_err *err);
/* Rules and ranks are those of the store from here on. */
FLO_MUST_USE int flo_groups_read(struct flo_controller *controller, struct flo_err *err);
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
/* Each group by selector that reads one of these labels: who may change the
 * label moves devices into the group and out of it.  Not 0: it ends so. */
typedef int (*flo_group_of_label_fn)(void *context, const char *group, const char *label,
                                     struct flo_err *err);
FLO_MUST_USE int flo_groups_of_labels(struct flo_controller *controller, const json_t *labels,
                                      flo_group_of_label_fn fn, void *context, struct flo_err *err);
/* Look at devices that changed, for some milliseconds, in a transaction of its
 * own.  true: there are more. */
FLO_MUST_USE bool flo_groups_turn(struct flo_controller *controller, uint64_t now_ms);

#endif
