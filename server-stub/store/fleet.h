/* Store: devices as operators edit and select them.
 *
 * Like store.h: one thread, changes between begin and commit. */
#ifndef FLOTILLA_SERVER_FLEET_H
#define FLOTILLA_SERVER_FLEET_H

#include "server-stub/core/device/condition.h"
#include "server-stub/core/select/select.h"
#include "server-stub/store/store.h"

/* ---- which devices ---- */

/* Reads all devices into memory.  Called once, before any selector is used. */
FLO_MUST_USE int flo_fleet_device_index_load(struct flo_fleet_store *store, struct flo_err *err);
/* Gets the labels that devices have, for flo_selector_parse. */
struct flo_select_known flo_fleet_known(struct flo_fleet_store *store);
/* Lists every device that is not retired and matches all of `count`
 * selectors.  The facts are borrowed until the next change of the store; ID
 * is always set. */
typedef int (*flo_fleet_select_fn)(void *context, const struct flo_select_device *device);
FLO_MUST_USE int flo_fleet_select(struct flo_fleet_store *store,
                                  const struct flo_selector *const *selectors, size_t count,
                                  uint64_t now_ms, flo_fleet_select_fn fn, void *context,
                                  struct flo_err *err);
/* Lists every device of a group, or of all (NULL), in id order; facts as
 * above. */
FLO_MUST_USE int flo_fleet_facts_each(struct flo_fleet_store *store, const char *group,
                                      flo_fleet_select_fn fn, void *context, struct flo_err *err);
/* Gets the facts of one device; NULL when it is unknown.  Borrowed until the
 * next call of the store. */
const struct flo_select_device *flo_fleet_facts_of(struct flo_fleet_store *store, const char *id);

/* Gets the device's name; NULL and borrowed as above. */
const char *flo_fleet_name_of(struct flo_fleet_store *store, const char *id);

/* Tells whether the device is connected, by its row. */
bool flo_fleet_is_online(struct flo_fleet_store *store, const char *id);
/* Returns the number of devices in memory, including retired ones. */
size_t flo_fleet_size(const struct flo_fleet_store *store);

/* Tells whether the device sent a message since it enrolled. */
FLO_MUST_USE int flo_fleet_device_has_come(struct flo_fleet_store *store, const char *id, bool *out,
                                           struct flo_err *err);
/* Report of a device, judged by which releases are still wanted.  `device` has
 * its pins; NULL: none. */
struct flo_fleet_said {
    enum flo_condition condition; /* the condition of highest precedence */
    bool drifts;
    bool may_let_go; /* some release is missing, wanted or not */
};
struct flo_fleet_said flo_fleet_said(struct flo_fleet_store *store,
                                     const struct flo_select_device *device, const json_t *report);
/* Tells whether a model of a report lacks a release that is no longer wanted,
 * and runs another one: this is no drift.  A release pinned on the device stays
 * wanted there until the pin is removed or the release is yanked. */
bool flo_fleet_lets_go(struct flo_fleet_store *store, const struct flo_select_device *device,
                       const json_t *model);
/* Lists devices that lack the release that they were ordered to run. */
int flo_fleet_lacking(struct flo_fleet_store *store, flo_fleet_text_fn fn, void *context);
/* Returns true unless the release was yanked, or its newest rollout was
 * stopped. */
bool flo_fleet_is_wanted(const struct flo_fleet_store *store, const char *release);
/* Tells whether the device's list of groups has this one.  Every device is in
 * `all`. */
bool flo_fleet_is_in_group(const struct flo_fleet_device *device, const char *group);
bool flo_fleet_facts_in_group(const struct flo_select_device *device, const char *group);

/* ---- what operators write on one ---- */

/* Changes of a device; NULL: unchanged. */
struct flo_fleet_edit {
    const char *name;
    const char *labels; /* JSON object, whole */
    const char *note;
    const char *maintenance; /* reason; "": the device accepts rollouts */
    const char *pins;        /* JSON object, whole */
};
/* FLO_E_STATE: another device has the name. */
FLO_MUST_USE int flo_fleet_device_edit(struct flo_fleet_store *store, const char *id,
                                       const struct flo_fleet_edit *edit, struct flo_err *err);
/* Notes that device `next` replaced `old`: their rows name each other. */
FLO_MUST_USE int flo_fleet_device_replaced(struct flo_fleet_store *store, const char *old,
                                           const char *next, struct flo_err *err);

/* Lists certificates in any of these states that end after `until_ms`,
 * unordered, in one pass over all rows. */
FLO_MUST_USE int flo_fleet_certificate_each(struct flo_fleet_store *store,
                                            const enum flo_certificate_state *states, size_t count,
                                            uint64_t until_ms, flo_fleet_certificate_fn fn,
                                            void *context, struct flo_err *err);

#endif
