/* Store: groups, their members, and what devices are told of them.
 *
 * As store.h: one thread, changes between begin and commit. */
#ifndef FLOTILLA_SERVER_STORE_GROUPS_H
#define FLOTILLA_SERVER_STORE_GROUPS_H

#include "server-stub/store/store.h"

/* ---- groups ---- */

struct flo_fleet_group {
    const char *name;
    const char *selector; /* "": members are named one by one */
    uint64_t priority;    /* where two groups disagree the higher one wins */
    const char *note;
    uint64_t created_at_ms;
    bool ends; /* the members leave, then the group is deleted */
};
typedef int (*flo_fleet_group_fn)(void *context, const struct flo_fleet_group *group);
/* A new one, or changes to the one of its name. */
FLO_MUST_USE int flo_fleet_group_put(struct flo_fleet_store *store,
                                     const struct flo_fleet_group *group, struct flo_err *err);
/* fn may be NULL.  FLO_E_GROUP_ABSENT. */
FLO_MUST_USE int flo_fleet_group_get(struct flo_fleet_store *store, const char *name,
                                     flo_fleet_group_fn fn, void *context, struct flo_err *err);
/* By name. */
FLO_MUST_USE int flo_fleet_group_list(struct flo_fleet_store *store, flo_fleet_group_fn fn,
                                      void *context, struct flo_err *err);
/* A group's members stay: they are taken out before. */
FLO_MUST_USE int flo_fleet_group_delete(struct flo_fleet_store *store, const char *name,
                                        struct flo_err *err);

/* ---- members ---- */

/* In or out; *is_news: it was not before.  `since`: the newest order then.
 * FLO_E_TARGET_LIMIT: the device is in FLO_GROUPS_MAX groups. */
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

/* The statement that its desired carries; all "" and 0 without one. */
struct flo_fleet_group_statement {
    const char *groups; /* JSON array, as it says */
    const char *envelope;
    uint64_t issued_at_ms;
};
typedef int (*flo_fleet_group_statement_fn)(void *context,
                                            const struct flo_fleet_group_statement *statement);
FLO_MUST_USE int flo_fleet_group_statement_get(struct flo_fleet_store *store, const char *device,
                                               flo_fleet_group_statement_fn fn, void *context,
                                               struct flo_err *err);
/* An empty envelope takes it away; another one raises the revision. */
FLO_MUST_USE int flo_fleet_group_statement_set(struct flo_fleet_store *store, const char *device,
                                               const struct flo_fleet_group_statement *statement,
                                               struct flo_err *err);

/* ---- devices that changed ---- */

/* The next device that changed since it was asked last: its row, its report,
 * its connection; "" when there is none. */
FLO_MUST_USE int flo_fleet_changed_next(struct flo_fleet_store *store, char *device,
                                        struct flo_err *err);
/* All devices count as changed: selectors did, or time passed. */
void flo_fleet_changed_all(struct flo_fleet_store *store);
enum flo_groups_news {
    FLO_GROUPS_KNOWN,  /* the device knows its groups, or is not connected */
    FLO_GROUPS_DIFFER, /* the device knows others: it is to be told */
    FLO_GROUPS_TOLD    /* the device knows them, and desired says so still */
};
enum flo_groups_news flo_fleet_groups_news(struct flo_fleet_store *store, const char *device);
/* Is there one? */
bool flo_fleet_changed_any(const struct flo_fleet_store *store);

#endif
