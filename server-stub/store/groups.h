/* Store: groups, their members, and the group statements for devices.
 *
 * As in store.h, one thread calls, and all changes happen between begin and
 * commit. */
#ifndef FLOTILLA_SERVER_STORE_GROUPS_H
#define FLOTILLA_SERVER_STORE_GROUPS_H

#include "server-stub/store/store.h"

/* ---- groups ---- */

struct flo_fleet_group {
    const char *name;
    const char *selector; /* selector of the group's devices; "": members are added one by one */
    uint64_t priority;    /* priority of the group; the higher one wins where groups conflict */
    const char *note;
    uint64_t created_at_ms;
    bool ends; /* the group is being deleted, after its members have left */
};
typedef int (*flo_fleet_group_fn)(void *context, const struct flo_fleet_group *group);
/* Adds a group, or changes the one of its name. */
FLO_MUST_USE int flo_fleet_group_put(struct flo_fleet_store *store,
                                     const struct flo_fleet_group *group, struct flo_err *err);
/* Gets a group by its name.  `fn` may be NULL.  FLO_E_GROUP_ABSENT: there is
 * none.  FLO_E_STATE: its row has no valid seal (seals.h). */
FLO_MUST_USE int flo_fleet_group_get(struct flo_fleet_store *store, const char *name,
                                     flo_fleet_group_fn fn, void *context, struct flo_err *err);
/* Lists by name, without rows that have no valid seal. */
FLO_MUST_USE int flo_fleet_group_list(struct flo_fleet_store *store, flo_fleet_group_fn fn,
                                      void *context, struct flo_err *err);
/* Deletes a group.  The caller removed the rows of the group's members
 * before. */
FLO_MUST_USE int flo_fleet_group_delete(struct flo_fleet_store *store, const char *name,
                                        struct flo_err *err);

/* ---- members ---- */

/* Adds or removes a member.  *is_news tells whether this changed something.
 * `since` is the number of the newest order at that time.  FLO_E_TARGET_LIMIT:
 * the device is in FLO_GROUPS_MAX groups. */
FLO_MUST_USE int flo_fleet_group_member(struct flo_fleet_store *store, const char *group,
                                        const char *device, bool is_member, uint64_t since,
                                        bool *is_news, struct flo_err *err);
struct flo_fleet_group_count {
    uint64_t devices;
    uint64_t online;
};
FLO_MUST_USE int flo_fleet_group_counts(struct flo_fleet_store *store, const char *group,
                                        struct flo_fleet_group_count *out, struct flo_err *err);

/* ---- what a device is told ---- */

/* Group statement in a device's desired document.  Without a statement all
 * texts are "" and all numbers 0. */
struct flo_fleet_group_statement {
    const char *groups; /* JSON array of group names, as in the statement */
    const char *envelope;
    uint64_t issued_at_ms;
};
typedef int (*flo_fleet_group_statement_fn)(void *context,
                                            const struct flo_fleet_group_statement *statement);
FLO_MUST_USE int flo_fleet_group_statement_get(struct flo_fleet_store *store, const char *device,
                                               flo_fleet_group_statement_fn fn, void *context,
                                               struct flo_err *err);
/* Sets the group statement of a device, and raises the revision of its desired
 * document.  An empty envelope removes the statement. */
FLO_MUST_USE int flo_fleet_group_statement_set(struct flo_fleet_store *store, const char *device,
                                               const struct flo_fleet_group_statement *statement,
                                               struct flo_err *err);

/* ---- devices that changed ---- */

/* Gets the next device whose row, report or connection changed since this call
 * returned it last.  "": there is none. */
FLO_MUST_USE int flo_fleet_changed_next(struct flo_fleet_store *store, char *device,
                                        struct flo_err *err);
/* Marks all devices as changed, because selectors changed, or facts that change
 * with time. */
void flo_fleet_changed_all(struct flo_fleet_store *store);
enum flo_groups_news {
    FLO_GROUPS_KNOWN,  /* nothing to do: the device knows its groups, or is offline */
    FLO_GROUPS_DIFFER, /* the device knows an old list of its groups, and needs a statement */
    FLO_GROUPS_TOLD    /* the device reported its groups as they are, so its
                          statement can be removed */
};
enum flo_groups_news flo_fleet_groups_news(struct flo_fleet_store *store, const char *device);
/* Tells whether some device changed, so that flo_fleet_changed_next returns
 * one. */
bool flo_fleet_changed_any(const struct flo_fleet_store *store);

#endif
