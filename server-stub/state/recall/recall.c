/* Recall: recalls a release.  It issues the order, reads the scope, and ends
 * rollouts or takes devices out of them. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/order.h>
#include <flotilla/errors/release.h>
#include <flotilla/fit.h>
#include <flotilla/plural.h>

#include "server-stub/core/orders/intent.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/orders/making.h"
#include "server-stub/state/orders/orders.h"
#include "server-stub/state/orders/scope.h"
#include "server-stub/state/outgoing.h"
#include "server-stub/state/recall/plan.h"
#include "server-stub/state/rollouts/rollouts.h"
#include "server-stub/state/rules/rules.h"

static int take_digest(void *context, const struct flo_fleet_release *release)
{
    struct flo_recall_release *out = context;

    out->bytes = release->bytes;
    snprintf(out->state, sizeof(out->state), "%s", release->state);
    out->number = release->number;
    return flo_digest_parse(release->digest, &out->digest) ? 0 : FLO_E_DB;
}

/* Removes the rollback's devices from rollouts of the release that continue for
 * other devices.  They are removed at once, before their own part of the
 * rollback is made.  Otherwise a new phase could bring the release to them
 * meanwhile. */
static int leave_rollouts(struct flo_controller *controller, struct flo_scope_list *list,
                          const char *group, struct flo_err *err)
{
    bool has_ids = !list->is_sliced;
    int rv = 0;

    for (size_t i = 0; i < flo_rollouts_count(controller->rollouts) && rv == 0; i++) {
        struct flo_rollout_entry *entry = flo_rollouts_at(controller->rollouts, i);
        char digest[FLO_DIGEST_TEXT];
        flo_digest_text(&entry->release, digest);
        if (flo_intent_goes_on(entry->core.state) && strcmp(digest, list->release) == 0) {
            rv = has_ids ? 0 : flo_scope_read_ids(list, group, err);
            has_ids = true;
            if (rv == 0) {
                rv = flo_scope_leave(list, entry, err);
            }
        }
    }
    return rv;
}

static int find_to(struct flo_controller *controller, const struct flo_recall *what,
                   struct flo_recall_pair *out, struct flo_err *err)
{
    char model[FLO_NAME_MAX + 1];

    FLO_TRY(flo_release_title_parse(what->to, model, out->to_version, err));
    FLO_TRY(flo_fleet_release_get(controller->store, model, out->to_version, take_digest, &out->to,
                                  err));
    if (strcmp(model, out->model) != 0 || strcmp(what->to, what->release) == 0) {
        return flo_fail(err, FLO_E_REST_SCHEMA, "to: `%s` is no other release of %s", what->to,
                        out->model);
    }
    if (strcmp(out->to.state, "published") != 0) {
        return flo_fail(err,
                        strcmp(out->to.state, "yanked") == 0 ? FLO_E_RELEASE_YANKED : FLO_E_STATE,
                        "%s is %s: nobody can be sent there", what->to, out->to.state);
    }
    flo_digest_text(&out->to.digest, out->to_text);
    return 0;
}

int flo_recall_find(struct flo_controller *controller, const struct flo_recall *what,
                    struct flo_recall_pair *out, struct flo_err *err)
{
    char version[FLO_NAME_MAX + 1];

    FLO_TRY(flo_release_title_parse(what->release, out->model, version, err));
    FLO_TRY(flo_fleet_release_get(controller->store, out->model, version, take_digest, &out->from,
                                  err));
    flo_digest_text(&out->from.digest, out->from_text);
    return what->to != NULL ? find_to(controller, what, out, err) : 0;
}

/* Returns whether the rollback is in its group's list.  It is only there if the
 * release is yanked: otherwise devices that get the release later would roll
 * back as well. */
static bool is_listed(const struct flo_recall *what)
{
    return what->is_yanked && what->device == NULL && what->to == NULL;
}

/* Reads all devices in scope, and finds out how each of them goes back. */
static int look(struct flo_controller *controller, const struct flo_recall *what,
                struct flo_recall_pair *both, struct flo_scope_list *list, struct flo_err *err)
{
    int rv = flo_recall_find(controller, what, both, err);

    *list = (struct flo_scope_list){.controller = controller,
                                    .model = both->model,
                                    .release = both->from_text,
                                    .to = what->to != NULL ? both->to_text : NULL,
                                    .is_sliced = list->is_sliced};
    if (rv == 0) {
        rv = flo_scope_check(controller, what->group, what->device, err);
    }
    /* The operator has already chosen to yank or to keep the release, so it
     * does not matter whether devices can go back. */
    FLO_TRY(rv);
    return (list->is_sliced && what->is_decided)
               ? rv
               : flo_scope_read(list, what->group, what->device, what->release, err);
}

/* Checks that some device can go back.  A yank alone does not help a device
 * that serves the release, so the operator must learn before the order that
 * none can. */
static int check_somebody(const struct flo_recall *what, const struct flo_scope_list *list,
                          struct flo_err *err)
{
    size_t cannot = flo_scope_count(list, FLO_RETURN_FIRST, FLO_RETURN_DENIED);
    size_t can = flo_scope_count(list, FLO_RETURN_KEPT, FLO_RETURN_DOWNLOAD);
    bool is_more = list->is_sliced && list->count == FLO_SCOPE_LOOKS;

    if (can > 0 || cannot == 0 || what->is_decided) {
        return 0;
    }
    return flo_fail(err, FLO_E_ORDER_NOBODY,
                    "%zu%s device%s %s %s and none of them can go back: no "
                    "previous release, or it is denied",
                    cannot, is_more ? " and more" : "", flo_s(cannot),
                    flo_plural(cannot, "runs", "run"), what->release);
}

static int may_bring(void *context, const struct flo_fleet_device *device)
{
    const struct flo_scope_list *list = context;

    return flo_rules_may_bring(list->controller, device, list->err);
}

/* Checks rules for the devices that must download `to`.  For these the rollback
 * is a change, which a change freeze or a missing approval refuses. */
static int check_rules(struct flo_controller *controller, struct flo_scope_list *list,
                       struct flo_err *err)
{
    int rv = 0;

    if (flo_rules_are_none(controller->rules)) {
        return 0;
    }
    for (size_t i = 0; rv == 0 && i < list->count; i++) {
        if (list->items[i].way == FLO_RETURN_DOWNLOAD) {
            rv = flo_fleet_device_get(controller->store, list->items[i].id, may_bring, list, err);
        }
    }
    return rv;
}

static void copy_words(const struct flo_recall *what, struct flo_order *order)
{
    snprintf(order->scope.group, sizeof(order->scope.group), "%s",
             what->device != NULL ? "" : what->group);
    snprintf(order->scope.device, sizeof(order->scope.device), "%s",
             what->device != NULL ? what->device : "");
    snprintf(order->by, sizeof(order->by), "%.64s", what->by);
    flo_text_fit(what->reason, order->reason, sizeof(order->reason));
}

static int issue_back(struct flo_controller *controller, const struct flo_recall *what,
                      const struct flo_recall_pair *both, char *id, struct flo_err *err)
{
    struct flo_order order = {.op = FLO_ORDER_ROLLBACK,
                              .to_previous = what->to == NULL,
                              .to = both->to.digest,
                              .from_count = 1};
    struct flo_fleet_order row = {.is_tracked = true, .is_desired_only = !is_listed(what)};

    order.from[0] = both->from.digest;
    order.from_numbers[0] = both->from.number;
    snprintf(order.model, sizeof(order.model), "%s", both->model);
    copy_words(what, &order);
    return flo_orders_issue_row(controller, &order, row, id, err);
}

/* Carries out the recall.  Desired documents are changed last, because in them
 * the rollback has to replace any abort.  A rollback in the list of the whole
 * fleet reaches each device as one text, so the devices' desired documents can
 * be sent later. */
static int carry_out(struct flo_controller *controller, const struct flo_recall *what,
                     const struct flo_recall_pair *both, struct flo_scope_list *list,
                     struct flo_err *err)
{
    const char *group = what->device != NULL ? "" : what->group;
    bool has_all = strcmp(group, "all") == 0;
    int rv = what->is_yanked ? flo_orders_withdraw_by(controller, &both->from.digest, group,
                                                      list->order, has_all, err)
                             : flo_orders_stop_rollouts(controller, both->from_text, group, false,
                                                        list->order, err);

    if (rv == 0 && what->device == NULL) {
        rv = flo_making_begin(controller, list->order, group, err);
    }
    for (size_t i = 0; i < list->count && rv == 0 && what->device != NULL; i++) {
        rv = flo_scope_open(list, list->items[i].id, list->items[i].way, err);
    }
    if (has_all && is_listed(what)) {
        flo_outgoing_defer(controller);
    }
    if (rv == 0 && !what->is_yanked) {
        rv = leave_rollouts(controller, list, group, err);
    }
    return rv;
}

/* Returns whether devices are read in parts.  With rules for changes, one
 * device that may not change to another release refuses the whole order, so all
 * reports are read before. */
static bool is_sliced(const struct flo_controller *controller, const struct flo_recall *what)
{
    return what->device == NULL && (what->to == NULL || flo_rules_are_none(controller->rules));
}

int flo_orders_recall(struct flo_controller *controller, const struct flo_recall *what, char *id,
                      struct flo_err *err)
{
    char send[FLO_NAME_MAX + 1];
    struct flo_recall_pair both = {0};
    struct flo_scope_list list = {.is_sliced = is_sliced(controller, what)};
    int rv = look(controller, what, &both, &list, err);

    if (rv == 0) {
        rv = check_somebody(what, &list, err);
    }
    if (rv == 0) {
        rv = check_rules(controller, &list, err);
    }
    if (rv == 0) {
        rv = issue_back(controller, what, &both, id, err);
    }
    list.order = list.send = id;
    if (rv == 0 && what->device != NULL &&
        flo_scope_count(&list, FLO_RETURN_DOWNLOAD, FLO_RETURN_DOWNLOAD) > 0) {
        rv = flo_orders_send(controller, id, send, err);
        list.send = send;
    }
    if (rv == 0) {
        rv = carry_out(controller, what, &both, &list, err);
    }
    free(list.items);
    if (rv == 0) {
        flo_outgoing_change(controller, FLO_OBJECT_RELEASE, what->release);
        flo_outgoing_change(controller, FLO_OBJECT_ORDER, id);
    }
    return rv;
}
