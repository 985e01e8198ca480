/* Store: devices as operators edit and select them.
 *
 * As in store.h, one thread calls, and all changes happen between begin and
 * commit. */
#ifndef FLOTILLA_SERVER_FLEET_H
#define FLOTILLA_SERVER_FLEET_H

#include "server-stub/core/device/condition.h"
#include "server-stub/core/select/select.h"
#include "server-stub/store/store.h"

/* ---- which devices ---- */

/* Reads all devices into memory.  Called once, before any selector is used. */
FLO_MUST_USE int flo_fleet_device_index_load(struct flo_fleet_store *store, struct flo_err *err);
/* Gets the labels that some device has, for flo_selector_parse. */
struct flo_select_known flo_fleet_known(struct flo_fleet_store *store);
/* Callback for a device.  The call lists every device that is not retired and
 * matches all of `count` selectors.  The facts are borrowed until the next
 * change of the store; ID is always set. */
typedef int (*flo_fleet_select_fn)(void *context, const struct flo_select_device *device);
FLO_MUST_USE int flo_fleet_select(struct flo_fleet_store *store,
                                  const struct flo_selector *const *selectors, size_t count,
                                  uint64_t now_ms, flo_fleet_select_fn fn, void *context,
                                  struct flo_err *err);
/* Lists every device of a group, or of the fleet with `group` NULL, in the
 * order of ids.  The facts are borrowed until the next change of the store.
 * `fn` NULL: they are only read. */
FLO_MUST_USE int flo_fleet_facts_each(struct flo_fleet_store *store, const char *group,
                                      flo_fleet_select_fn fn, void *context, struct flo_err *err);
/* Gets the facts of one device, which are borrowed until the next call of the
 * store.  NULL: the device is unknown. */
const struct flo_select_device *flo_fleet_facts_of(struct flo_fleet_store *store, const char *id);

/* Gets the device's name, borrowed until the next call of the store.  NULL: the
 * device is unknown. */
const char *flo_fleet_name_of(struct flo_fleet_store *store, const char *id);

/* Tells whether the device is connected, by its row. */
bool flo_fleet_is_online(struct flo_fleet_store *store, const char *id);
/* Returns the number of devices in memory, including retired ones. */
size_t flo_fleet_size(const struct flo_fleet_store *store);

/* Tells whether the device sent a message since it enrolled. */
FLO_MUST_USE int flo_fleet_device_has_come(struct flo_fleet_store *store, const char *id, bool *out,
                                           struct flo_err *err);
/* Result of judging a device's report by which releases are still wanted.
 * `device` has the device's pins; NULL: it has none. */
struct flo_fleet_said {
    enum flo_condition condition; /* the condition that has precedence over all others */
    bool drifts;
    bool may_let_go; /* the device lacks some release that it was ordered to
                        run, even if that release is no longer wanted */
};
struct flo_fleet_said flo_fleet_said(struct flo_fleet_store *store,
                                     const struct flo_select_device *device, const json_t *report);
/* Tells whether the device may keep another release of the model than the
 * ordered one, because the ordered one is no longer wanted.  Such a device does
 * not drift.  A release that is pinned on the device stays wanted until it is
 * yanked or the pin is removed. */
bool flo_fleet_lets_go(struct flo_fleet_store *store, const struct flo_select_device *device,
                       const json_t *model);
/* Lists the devices that do not run a release which they were ordered to
 * run. */
int flo_fleet_lacking(struct flo_fleet_store *store, flo_fleet_text_fn fn, void *context);
/* Returns true unless the release was yanked, or its newest rollout was
 * stopped. */
bool flo_fleet_is_wanted(const struct flo_fleet_store *store, const char *release);
bool flo_fleet_is_yanked(const struct flo_fleet_store *store, const char *release);
/* Tells whether the device is in this group, by its list of groups.  Every
 * device is in `all`. */
bool flo_fleet_is_in_group(const struct flo_fleet_device *device, const char *group);
bool flo_fleet_facts_in_group(const struct flo_select_device *device, const char *group);

/* ---- what operators write on one ---- */

/* Changes of a device by an operator.  A field that is NULL stays unchanged. */
struct flo_fleet_edit {
    const char *name;
    const char *labels; /* JSON object, whole */
    const char *note;
    const char *maintenance; /* reason for taking no rollouts; "": the device takes rollouts */
    const char *pins;        /* JSON object, whole */
};
/* Changes a device's name, labels and further fields.  FLO_E_STATE: another
 * device has the name. */
FLO_MUST_USE int flo_fleet_device_edit(struct flo_fleet_store *store, const char *id,
                                       const struct flo_fleet_edit *edit, struct flo_err *err);
/* Notes that the device `next` replaced the device `old`, in the rows of
 * both. */
FLO_MUST_USE int flo_fleet_device_replaced(struct flo_fleet_store *store, const char *old,
                                           const char *next, struct flo_err *err);

/* Lists certificates in any of these states that end after `until_ms`.  The
 * order is undefined, and one pass reads all rows. */
FLO_MUST_USE int flo_fleet_certificate_each(struct flo_fleet_store *store,
                                            const enum flo_certificate_state *states, size_t count,
                                            uint64_t until_ms, flo_fleet_certificate_fn fn,
                                            void *context, struct flo_err *err);

#endif
