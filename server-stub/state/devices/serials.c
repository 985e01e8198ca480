/* Serials: looks up, claims and prepares rows of serial numbers. */
#include <string.h>

#include <flotilla/errors/device.h>
#include <flotilla/errors/enrol.h>

#include "server-stub/core/select/labels.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/devices/devices.h"
#include "server-stub/state/devices/serials.h"
#include "server-stub/state/groups/groups.h"
#include "server-stub/state/membership/membership.h"
#include "server-stub/state/sayings.h"
#include "server-stub/store/fleet.h"
#include "server-stub/store/seals.h"

#define SETTING "claims"

/* ---- policy ---- */

int flo_serials_policy(struct flo_controller *controller, enum flo_unlisted *out,
                       struct flo_err *err)
{
    char word[16] = "";

    FLO_TRY(flo_fleet_setting_get(controller->store, SETTING, word, sizeof(word), err));
    if (flo_fleet_doubts(controller->store, FLO_SEALED_CLAIMS)) {
        *out = FLO_UNLISTED_REFUSE;
    } else if (!flo_unlisted_parse(word, out)) {
        *out = FLO_UNLISTED_OPEN;
    }
    return 0;
}

int flo_serials_set_policy(struct flo_controller *controller, enum flo_unlisted policy,
                           struct flo_err *err)
{
    flo_fleet_doubt(controller->store, FLO_SEALED_CLAIMS, false);
    return flo_fleet_setting_set(controller->store, SETTING, flo_unlisted_word(policy), err);
}

/* ---- who has it ---- */

struct holder {
    bool is_there;
    char name[FLO_NAME_MAX + 1];
    char id[37];
};

static int take_holder(void *context, const struct flo_fleet_device *device)
{
    struct holder *holder = context;

    holder->is_there = !device->is_retired;
    snprintf(holder->name, sizeof(holder->name), "%s", device->name);
    snprintf(holder->id, sizeof(holder->id), "%s", device->id);
    return 0;
}

/* Reads the device that claimed the serial.  The serial is free again if that
 * device was retired. */
static int read_holder(struct flo_controller *controller, const char *device, struct holder *out,
                       struct flo_err *err)
{
    struct flo_err absent = {0};

    *out = (struct holder){.is_there = false};
    if (device[0] == '\0') {
        return 0;
    }
    int rv = flo_fleet_device_get(controller->store, device, take_holder, out, &absent);
    if (rv < 0 && rv != FLO_E_DEVICE_ABSENT && err != NULL) {
        *err = absent;
    }
    return rv == FLO_E_DEVICE_ABSENT ? 0 : rv;
}

/* ---- a device enrols ---- */

struct row {
    json_t *body; /* content of the prepared row; NULL: no row was prepared */
    char device[37];
    uint64_t at_ms;
};

static int take_row(void *context, const struct flo_fleet_serial *claim)
{
    struct row *row = context;

    row->body = claim->body[0] != '\0' ? flo_saying_object(claim->body) : NULL;
    row->at_ms = claim->at_ms;
    snprintf(row->device, sizeof(row->device), "%s", claim->device);
    return 0;
}

static int say(enum flo_serial_verdict verdict, const char *serial, const struct holder *holder,
               struct flo_err *err)
{
    switch (verdict) {
    case FLO_SERIAL_TAKEN:
        return flo_fail(err, FLO_E_ENROL_CLAIMED,
                        "serial %s was claimed by %s (%s), and another device "
                        "asks for it",
                        serial, holder->name, holder->id);
    case FLO_SERIAL_WAITS:
        return flo_fail(err, FLO_E_ENROL_WAITS, "serial %s is not on the list and waits there now",
                        serial);
    case FLO_SERIAL_REFUSED:
        return serial[0] == '\0'
                   ? flo_fail(err, FLO_E_ENROL_SERIAL,
                              "the device named no serial number, and only "
                              "listed ones enrol")
                   : flo_fail(err, FLO_E_ENROL_SERIAL, "serial %s is not on the list", serial);
    case FLO_SERIAL_OPEN:
    case FLO_SERIAL_PREPARED:
        break;
    }
    return 0;
}

int flo_serials_look(struct flo_controller *controller, const char *serial,
                     struct flo_serial_found *out, struct flo_err *err)
{
    struct flo_serial_facts facts = {.has_serial = serial != NULL};
    struct holder holder = {.is_there = false};
    struct row row = {.body = NULL};
    bool known;
    int rv = flo_serials_policy(controller, &facts.policy, err);

    *out = (struct flo_serial_found){.body = NULL};
    if (rv == 0 && serial != NULL && !flo_serial_normal(serial, out->serial)) {
        return flo_fail(err, FLO_E_REST_MEANING, "serial: `%.80s` is no serial number", serial);
    }
    if (rv == 0 && serial != NULL) {
        rv = flo_fleet_serial_get(controller->store, out->serial, take_row, &row, &known, err);
    }
    if (rv == 0) {
        rv = read_holder(controller, row.device, &holder, err);
    }
    facts.is_prepared = row.body != NULL;
    facts.is_claimed = holder.is_there;
    if (rv == 0) {
        rv = say(flo_serial_decide(&facts), out->serial, &holder, err);
    }
    if (rv < 0) {
        json_decref(row.body);
        return rv;
    }
    out->body = row.body;
    out->at_ms = row.at_ms;
    return 0;
}

static int join(struct flo_controller *controller, const json_t *groups, const char *device,
                struct flo_err *err)
{
    size_t i;
    json_t *group;

    json_array_foreach(groups, i, group)
    {
        const char *name = json_string_value(group);
        bool is_news;
        FLO_TRY(flo_groups_enrol(controller, name, err));
        FLO_TRY(flo_groups_member(controller, name, device, true, &is_news, err));
    }
    return 0;
}

int flo_serials_take(struct flo_controller *controller, const struct flo_serial_found *found,
                     const char *device, struct flo_err *err)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    const char *note = json_string_value(json_object_get(found->body, "note"));

    if (found->body == NULL) {
        return 0;
    }
    flo_json_dump(found->body, &text);
    if (text.failed) {
        return flo_fail(err, FLO_E_MEMORY, "claim");
    }
    if (note != NULL) {
        FLO_TRY(flo_fleet_device_edit(controller->store, device,
                                      &(struct flo_fleet_edit){.note = note}, err));
    }
    FLO_TRY(join(controller, json_object_get(found->body, "groups"), device, err));
    return flo_fleet_serial_put(
        controller->store,
        &(struct flo_fleet_serial){
            .serial = found->serial, .body = text.data, .device = device, .at_ms = found->at_ms},
        err);
}

int flo_serials_wait(struct flo_controller *controller, const char *serial, struct flo_err *err)
{
    char normal[FLO_NAME_MAX + 1];
    struct row row = {.body = NULL};
    uint64_t waiting;
    bool known = true;

    FLO_TRY(flo_fleet_serial_waiting(controller->store, &waiting, err));
    if (waiting >= FLO_CLAIMS_WAITING_MAX || !flo_serial_normal(serial, normal)) {
        return 0;
    }
    int rv = flo_fleet_serial_get(controller->store, normal, take_row, &row, &known, err);
    json_decref(row.body);
    FLO_TRY(rv);
    return known ? rv
                 : flo_fleet_serial_put(
                       controller->store,
                       &(struct flo_fleet_serial){
                           .serial = normal, .body = "", .device = "", .at_ms = flo_wall_ms()},
                       err);
}

/* ---- people prepare ---- */

static int check_groups(const json_t *groups, struct flo_err *err)
{
    size_t i;
    json_t *group;

    if (json_array_size(groups) > FLO_CLAIM_GROUPS_MAX) {
        return flo_fail(err, FLO_E_REST_MEANING, "groups: more than %d", FLO_CLAIM_GROUPS_MAX);
    }
    json_array_foreach(groups, i, group)
    {
        const char *name = json_string_value(group);
        if (!flo_name_is_valid(name) || strcmp(name, "all") == 0) {
            return flo_fail(err, FLO_E_REST_MEANING, "groups: `%.80s` is no group that one joins",
                            name);
        }
    }
    return 0;
}

int flo_serials_prepare(struct flo_controller *controller, const json_t *item, struct flo_err *err)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    const char *said = json_string_value(json_object_get(item, "serial"));
    const json_t *labels = json_object_get(item, "labels");
    char serial[FLO_NAME_MAX + 1];
    struct row row = {.body = NULL};
    bool known;

    FLO_TRY(flo_serial_normal(said, serial)
                ? check_groups(json_object_get(item, "groups"), err)
                : flo_fail(err, FLO_E_REST_MEANING, "`%.80s` is no serial number", said));
    if (labels != NULL) {
        FLO_TRY(flo_labels_check(labels, err));
        FLO_TRY(flo_devices_zone_check(labels, err));
    }
    FLO_TRY(flo_fleet_serial_get(controller->store, serial, take_row, &row, &known, err));
    json_t *body = json_copy((json_t *)(uintptr_t)item);
    json_object_del(body, "serial");
    flo_json_dump(body, &text);
    json_decref(body);
    json_decref(row.body);
    return text.failed ? flo_fail(err, FLO_E_MEMORY, "claim")
                       : flo_fleet_serial_put(controller->store,
                                              &(struct flo_fleet_serial){.serial = serial,
                                                                         .body = text.data,
                                                                         .device = row.device,
                                                                         .at_ms = flo_wall_ms()},
                                              err);
}

json_t *flo_serials_json(struct flo_controller *controller, const struct flo_fleet_serial *claim)
{
    struct holder holder = {.is_there = false};
    json_t *json = flo_saying_object(claim->body);
    const char *state = claim->body[0] == '\0' ? "waiting" : "prepared";

    if (read_holder(controller, claim->device, &holder, NULL) == 0 && holder.is_there) {
        state = "claimed";
    }
    json_object_set_new(json, "serial", json_string(claim->serial));
    json_object_set_new(json, "state", json_string(state));
    json_object_set_new(json, "device", holder.is_there ? json_string(holder.name) : json_null());
    json_object_set_new(json, "at_ms", json_integer((json_int_t)claim->at_ms));
    return json;
}
