/* Pins: orders that bring a device to the release that people pinned on it.
 *
 * The order stays in the device's desired document until the pin is removed.
 * It is renewed like all other orders in desired documents. */
#include <string.h>

#include <flotilla/errors/release.h>
#include <flotilla/fit.h>

#include "server-stub/core/member/pin.h"
#include "server-stub/core/orders/intent.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/devices/devices.h"
#include "server-stub/state/forecast/forecast.h"
#include "server-stub/state/orders/orders.h"
#include "server-stub/state/outgoing.h"
#include "server-stub/state/rollouts/rollouts.h"
#include "server-stub/state/rules/rules.h"
#include "server-stub/state/sayings.h"

/* ---- the release ---- */

struct pinned {
    char model[FLO_NAME_MAX + 1];
    char version[FLO_NAME_MAX + 1];
    char text[FLO_DIGEST_TEXT];
    struct flo_digest digest;
    uint64_t number, bytes;
    char state[16];
};

static int take_release(void *context, const struct flo_fleet_release *release)
{
    struct pinned *pinned = context;

    snprintf(pinned->text, sizeof(pinned->text), "%s", release->digest);
    snprintf(pinned->state, sizeof(pinned->state), "%s", release->state);
    pinned->number = release->number;
    pinned->bytes = release->bytes;
    (void)flo_digest_parse(release->digest, &pinned->digest);
    return 0;
}

static int read_release(struct flo_controller *controller, const char *title, struct pinned *out,
                        struct flo_err *err)
{
    *out = (struct pinned){.number = 0};
    FLO_TRY(flo_release_title_parse(title, out->model, out->version, err));
    return flo_fleet_release_get(controller->store, out->model, out->version, take_release, out,
                                 err);
}

/* Decides up to which order number the device removes the release from its
 * blocked ones.  A block by a recall is removed, as a rollout of the release
 * does.  A block stays if the device itself found a fault. */
static int lift_of(struct flo_controller *controller, const struct pinned *pinned, uint64_t *out,
                   struct flo_err *err)
{
    uint64_t taken_back = 0;
    uint64_t newest = 0;
    int rv = flo_fleet_order_newest(controller->store, "rollback", pinned->model, pinned->text,
                                    &taken_back, err);

    if (rv == 0) {
        rv = flo_fleet_newest(controller->store, "order", &newest, err);
    }
    *out = rv < 0 ? 0 : flo_intent_lift(false, taken_back, newest);
    return rv;
}

/* ---- may it be pinned? ---- */

static int check_release(const struct pinned *pinned, const char *title, struct flo_err *err)
{
    if (strcmp(pinned->state, "yanked") == 0) {
        return flo_fail(err, FLO_E_RELEASE_YANKED, "%s was withdrawn", title);
    }
    if (strcmp(pinned->state, "published") != 0) {
        flo_fail(err, FLO_E_STATE, "%s is a %s", title, pinned->state);
        return flo_err_fix(err, "publish it first");
    }
    return 0;
}

struct asked {
    struct flo_controller *controller;
    const struct pinned *pinned;
    uint64_t lift;
    int rv;
    struct flo_err *err;
};

static int ask_device(void *context, const struct flo_fleet_device *device)
{
    struct asked *asked = context;
    struct flo_forecast one;
    json_t *reported = flo_saying_object(device->reported);

    asked->rv = flo_forecast_one(asked->controller, reported, &asked->pinned->digest,
                                 asked->lift > 0, &one, asked->err);
    json_decref(reported);
    if (asked->rv == 0 && one.result == FLO_FORECAST_CANNOT) {
        if (asked->err != NULL) {
            *asked->err = one.why;
        }
        asked->rv = one.why.code;
    } else if (asked->rv == 0 && one.result != FLO_FORECAST_HAS) {
        asked->rv = flo_rules_may_bring(asked->controller, device, asked->err);
    }
    return 0;
}

int flo_devices_may_pin(struct flo_controller *controller, const char *id, const char *title,
                        struct flo_err *err)
{
    struct pinned pinned;
    struct asked asked = {.controller = controller, .pinned = &pinned, .err = err};

    FLO_TRY(read_release(controller, title, &pinned, err));
    FLO_TRY(check_release(&pinned, title, err));
    FLO_TRY(lift_of(controller, &pinned, &asked.lift, err));
    int rv = flo_fleet_device_get(controller->store, id, ask_device, &asked, err);
    FLO_TRY(rv);
    return asked.rv;
}

/* ---- on and off ---- */

static int put_on(struct flo_controller *controller, const char *id, const char *by,
                  const char *title, struct flo_err *err)
{
    struct flo_order order = {.op = FLO_ORDER_DEPLOY, .scope.bucket_to = FLO_BUCKETS};
    char name[FLO_NAME_MAX + 1];
    struct pinned pinned;
    enum flo_rule_hold hold;

    FLO_TRY(read_release(controller, title, &pinned, err));
    FLO_TRY(lift_of(controller, &pinned, &order.lift, err));
    order.release = pinned.digest;
    order.number = pinned.number;
    memcpy(order.model, pinned.model, sizeof(order.model));
    memcpy(order.version, pinned.version, sizeof(order.version));
    snprintf(order.scope.device, sizeof(order.scope.device), "%s", id);
    snprintf(order.by, sizeof(order.by), "%.64s", by);
    flo_policy_default(&order.policy);
    int rv = flo_orders_issue_row(
        controller, &order,
        (struct flo_fleet_order){.is_desired_only = true, .release_bytes = pinned.bytes}, name,
        err);
    if (rv == 0) {
        rv = flo_fleet_outcome_put(controller->store, name, id, FLO_OUTCOME_PENDING, 0, err);
    }
    FLO_TRY(rv);
    return flo_orders_tell(
        controller,
        &(struct flo_orders_told){
            .device = id, .model = pinned.model, .order = name, .op = FLO_ORDER_DEPLOY},
        &hold, err);
}

/* Order in a device's desired document.  It may be the order of a pin if a
 * person gave it and it is a deploy. */
struct held {
    bool is_of_people;
    char release[FLO_DIGEST_TEXT];
    char name[FLO_NAME_MAX + 1]; /* name under which the device reports how the
                                    order's update ended */
};

static int take_held(void *context, const struct flo_fleet_order *order)
{
    struct held *held = context;

    held->is_of_people = strcmp(order->op, flo_order_op_word(FLO_ORDER_DEPLOY)) == 0 &&
                         flo_intent_is_of_people(order->rollout);
    snprintf(held->release, sizeof(held->release), "%s", order->release);
    snprintf(held->name, sizeof(held->name), "%s", order->rollout);
    return 0;
}

static int read_held(struct flo_controller *controller, const char *id, const char *model,
                     struct held *out, struct flo_err *err)
{
    char order[FLO_NAME_MAX + 1];
    int rv = flo_fleet_desired_get(controller->store, id, model, order, err);

    *out = (struct held){.is_of_people = false};
    FLO_TRY(rv);
    if (order[0] == '\0') {
        return rv;
    }
    rv = flo_fleet_order_get(controller->store, order, take_held, out, NULL);
    return rv == FLO_E_ABSENT ? 0 : rv;
}

/* Removes a pin's order from the desired document.  Any other order that people
 * gave, such as a rollback, stays. */
static int take_off(struct flo_controller *controller, const char *id, const char *model,
                    const char *title, struct flo_err *err)
{
    struct pinned pinned;
    struct held held;
    int rv = read_release(controller, title, &pinned, NULL);

    if (rv == FLO_E_RELEASE_ABSENT) {
        return 0;
    }
    if (rv == 0) {
        rv = read_held(controller, id, model, &held, err);
    }
    FLO_TRY(rv);
    if (!held.is_of_people || strcmp(held.release, pinned.text) != 0) {
        return rv;
    }
    rv = flo_fleet_desired_set(controller->store, id, model, "", err);
    flo_outgoing_desired(controller, id);
    return rv;
}

/* Replaces the device's pins.  Rollouts check the device again before and after
 * this.  A rollout whose release the new pin excludes drops the device, unless
 * the device has begun.  A rollout that dropped the device for a removed pin
 * may add it again. */
int flo_devices_pin(struct flo_controller *controller, const char *id, const char *by,
                    const json_t *before, const json_t *after, struct flo_err *err)
{
    const char *model;
    json_t *value;
    int rv = 0;

    json_object_foreach((json_t *)(uintptr_t)before, model, value)
    {
        if (rv == 0 && json_object_get(after, model) == NULL) {
            rv = take_off(controller, id, model, flo_json_text(before, model, ""), err);
        }
    }
    if (rv == 0) {
        rv = flo_rollouts_reconsider(controller, id, err);
    }
    json_object_foreach((json_t *)(uintptr_t)after, model, value)
    {
        const char *title = flo_json_text(after, model, "");
        if (rv == 0 && strcmp(flo_json_text(before, model, ""), title) != 0) {
            rv = put_on(controller, id, by, title, err);
        }
    }
    return rv;
}

/* ---- as people see them ---- */

struct answered {
    bool is_refused;
    char why[320];
};

static int take_answer(void *context, const struct flo_fleet_outcome *outcome)
{
    struct answered *answered = context;
    json_t *error = flo_saying_object(outcome->error);
    const char *id = json_string_value(json_object_get(error, "id"));
    const char *what = json_string_value(json_object_get(error, "what"));

    answered->is_refused = outcome->outcome == FLO_OUTCOME_REFUSED;
    if (id != NULL) {
        flo_text_fitf(answered->why, sizeof(answered->why), "%s: %s", id, what != NULL ? what : "");
    }
    json_decref(error);
    return 0;
}

static const json_t *model_of(const json_t *reported, const char *name)
{
    size_t i;
    json_t *model;

    json_array_foreach(json_object_get(reported, "models"), i, model)
    {
        const char *word = json_string_value(json_object_get(model, "model"));
        if (word != NULL && strcmp(word, name) == 0) {
            return model;
        }
    }
    return NULL;
}

/* Returns the state of the device's running update to this release, or NULL if
 * none runs. */
static const char *step_of(const json_t *model, const char *release)
{
    const char *word = flo_json_text(json_object_get(model, "execution"), "state", "");
    enum flo_execution state;

    return strcmp(flo_json_text(json_object_get(model, "execution"), "release", ""), release) ==
                       0 &&
                   flo_execution_parse(word, &state) && !flo_execution_is_end(state)
               ? flo_execution_word(state)
               : NULL;
}

static json_t *row_of(struct flo_controller *controller, const struct flo_fleet_device *device,
                      const json_t *reported, const char *title)
{
    struct pinned pinned;
    struct held held = {.is_of_people = false};
    struct answered answered = {.is_refused = false};
    const char *why;

    if (read_release(controller, title, &pinned, NULL) < 0 ||
        read_held(controller, device->id, pinned.model, &held, NULL) < 0) {
        return NULL;
    }
    const json_t *model = model_of(reported, pinned.model);
    bool is_ordered = strcmp(held.release, pinned.text) == 0;
    if (is_ordered && held.is_of_people &&
        flo_fleet_outcome_list(controller->store, held.name, 1, take_answer, &answered, NULL) < 0) {
        return NULL;
    }
    const char *version = flo_json_text(json_object_get(model, "current"), "version", "");
    struct flo_pin_facts facts = {
        .is_current = strcmp(flo_json_text(json_object_get(model, "current"), "release", ""),
                             pinned.text) == 0,
        .is_yanked = strcmp(pinned.state, "yanked") == 0,
        .is_ordered = is_ordered,
        .is_refused = answered.is_refused,
        .refusal = answered.why[0] != '\0' ? answered.why : NULL,
        .step = step_of(model, pinned.text),
        .is_online = device->is_online,
        .is_frozen = json_is_true(json_object_get(reported, "frozen")) ||
                     json_is_true(json_object_get(reported, "frozen_emergency"))};
    enum flo_pin_state state = flo_pin_judge(&facts, &why);
    json_t *row = json_pack("{s:s,s:s,s:s,s:s}", "model", pinned.model, "release", title, "state",
                            flo_pin_word(state), "why", why);
    char runs[2 * FLO_NAME_MAX + 2];
    snprintf(runs, sizeof(runs), "%s@%.64s", pinned.model, version);
    json_object_set_new(row, "runs", flo_name_is_valid(version) ? json_string(runs) : json_null());
    return row;
}

json_t *flo_devices_pins(struct flo_controller *controller, const struct flo_fleet_device *device)
{
    json_t *pins = flo_saying_object(device->pins);
    json_t *reported = flo_saying_object(device->reported);
    json_t *rows = json_array();
    const char *model;
    json_t *title;

    json_object_foreach(pins, model, title)
    {
        json_t *row = json_is_string(title)
                          ? row_of(controller, device, reported, json_string_value(title))
                          : NULL;
        if (row != NULL) {
            json_array_append_new(rows, row);
        }
    }
    json_decref(pins);
    json_decref(reported);
    return rows;
}
