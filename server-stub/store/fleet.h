/* Store: the fleet as operators change it and choose from it.
 *
 * As store.h: one thread, changes between begin and commit. */
#ifndef FLOTILLA_SERVER_FLEET_H
#define FLOTILLA_SERVER_FLEET_H

#include "server-stub/core/device/condition.h"
#include "server-stub/core/select/select.h"
#include "server-stub/store/store.h"

/* ---- which devices ---- */

/* Read all devices into memory: once, before any selector is asked. */
FLO_MUST_USE int flo_fleet_roster_load(struct flo_fleet_store *store, struct flo_err *err);
/* Labels that some device has, for flo_selector_parse. */
struct flo_select_known flo_fleet_known(struct flo_fleet_store *store);
/* Every device that is not retired and fits all of `count` selectors.  The
 * facts are borrowed until the next change of the store; ID is always there. */
typedef int (*flo_fleet_select_fn)(void *context, const struct flo_select_device *device);
FLO_MUST_USE int flo_fleet_select(struct flo_fleet_store *store,
                                  const struct flo_selector *const *selectors, size_t count,
                                  uint64_t now_ms, flo_fleet_select_fn fn, void *context,
                                  struct flo_err *err);
/* Every device of a group, or of all (NULL), in order of id: facts as above. */
FLO_MUST_USE int flo_fleet_facts_each(struct flo_fleet_store *store, const char *group,
                                      flo_fleet_select_fn fn, void *context, struct flo_err *err);
/* The facts of one device; NULL when it is not there.  Borrowed until the next
 * call of the store. */
const struct flo_select_device *flo_fleet_facts_of(struct flo_fleet_store *store, const char *id);

/* The device's name; NULL and borrowed as above. */
const char *flo_fleet_name_of(struct flo_fleet_store *store, const char *id);

/* Is it connected, as its row says? */
bool flo_fleet_is_online(struct flo_fleet_store *store, const char *id);
/* Devices that memory knows, also retired ones. */
size_t flo_fleet_size(const struct flo_fleet_store *store);

/* Was it ever heard since it enrolled? */
FLO_MUST_USE int flo_fleet_device_has_come(struct flo_fleet_store *store, const char *id, bool *out,
                                           struct flo_err *err);
/* A report, with the knowledge of which releases are still wanted.  `device`
 * has its pins; NULL: it has none. */
struct flo_fleet_said {
    enum flo_condition condition; /* the first in the order of precedence */
    bool drifts;
    bool may_let_go; /* a release is lacking, wanted or not */
};
struct flo_fleet_said flo_fleet_said(struct flo_fleet_store *store,
                                     const struct flo_select_device *device, const json_t *report);
/* A model of a report: it lacks a release that nobody wants any more, and runs
 * another one.  That is no drift.  A release that is pinned on the device is
 * wanted there until the pin goes or the release is yanked. */
bool flo_fleet_lets_go(struct flo_fleet_store *store, const struct flo_select_device *device,
                       const json_t *model);
/* Devices that lack the release that they were told to run. */
int flo_fleet_lacking(struct flo_fleet_store *store, flo_fleet_text_fn fn, void *context);
/* Neither yanked, nor stopped in the newest rollout of it. */
bool flo_fleet_is_wanted(const struct flo_fleet_store *store, const char *release);
/* Does its list of groups name this one?  `all` names everybody. */
bool flo_fleet_is_in_group(const struct flo_fleet_device *device, const char *group);
bool flo_fleet_facts_in_group(const struct flo_select_device *device, const char *group);

/* ---- what operators write on one ---- */

/* NULL: as it is. */
struct flo_fleet_edit {
    const char *name;
    const char *labels; /* JSON object, whole */
    const char *note;
    const char *maintenance; /* "": it takes rollouts again */
    const char *pins;        /* JSON object, whole */
};
/* FLO_E_STATE: the name is another device's. */
FLO_MUST_USE int flo_fleet_device_edit(struct flo_fleet_store *store, const char *id,
                                       const struct flo_fleet_edit *edit, struct flo_err *err);
/* `next` took the place of `old`: their rows name each other. */
FLO_MUST_USE int flo_fleet_device_replaced(struct flo_fleet_store *store, const char *old,
                                           const char *next, struct flo_err *err);

/* Certificates in any of these states that end after `until_ms`, in no order:
 * all rows are read once. */
FLO_MUST_USE int flo_fleet_certificate_each(struct flo_fleet_store *store,
                                            const enum flo_certificate_state *states, size_t count,
                                            uint64_t until_ms, flo_fleet_certificate_fn fn,
                                            void *context, struct flo_err *err);

#endif
