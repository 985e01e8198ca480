/* REST: enrolment; devices and their timeline; retiring and replacing
 * devices. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/enrol.h>

#include "base/host/digest.h"

#include "server-stub/core/select/labels.h"
#include "server-stub/mqtt/broker/broker.h"
#include "server-stub/rest/rest.h"
#include "server-stub/state/addresses.h"
#include "server-stub/state/devices/devices.h"
#include "server-stub/state/devices/serials.h"
#include "server-stub/state/devices/twins.h"
#include "server-stub/state/devices/view.h"
#include "server-stub/state/groups/groups.h"
#include "server-stub/state/membership/membership.h"
#include "server-stub/state/outgoing.h"
#include "server-stub/state/pki/pki.h"
#include "server-stub/state/telemetry_link.h"
#include "server-stub/state/trust/trust.h"

/* ---- enrolment ---- */

struct enrol {
    const char *token;
    const char *csr;
    const char *name;
    const char *serial;
    struct flo_serial_found claim;
    json_t *made; /* labels that the prepared list gives and the device itself
                     did not send; owned */
    json_t *labels;
    json_t *profile;
    char id[37];
    char token_id[64];
    char group[FLO_NAME_MAX + 1];
    bool is_enrol;
    uint64_t uses_left;
    uint64_t expires_at_ms;
};

static int read_request(const json_t *in, struct enrol *out, struct flo_err *err)
{
    FLO_TRY(flo_json_get_text(in, "csr", 8192, &out->csr, err));
    FLO_TRY(flo_json_opt_name(in, "name", NULL, &out->name, err));
    FLO_TRY(flo_json_opt_text(in, "serial", FLO_NAME_MAX, NULL, &out->serial, err));
    FLO_TRY(flo_json_opt_object(in, "labels", &out->labels, err));
    FLO_TRY(flo_json_opt_object(in, "profile", &out->profile, err));
    FLO_TRY(out->labels != NULL ? flo_labels_check(out->labels, err) : 0);
    return flo_devices_zone_check(out->labels, err);
}

static int take_enrol_token(void *context, const struct flo_fleet_token *token)
{
    struct enrol *out = context;

    snprintf(out->token_id, sizeof(out->token_id), "%s", token->id);
    snprintf(out->group, sizeof(out->group), "%s", token->group);
    out->is_enrol = strcmp(token->kind, "enroll") == 0;
    out->uses_left = token->uses_left;
    out->expires_at_ms = token->expires_at_ms;
    return 0;
}

static int use_token(struct flo_rest_call *call, struct enrol *enrol, struct flo_err *err)
{
    struct flo_fleet_store *store = call->controller->store;
    struct flo_digest secret;
    struct flo_err absent = {0};
    int rv = FLO_E_ABSENT;

    if (flo_enrol_token_is_valid(enrol->token)) {
        flo_sha256(enrol->token, strlen(enrol->token), &secret);
        rv = flo_fleet_token_get(store, NULL, &secret, take_enrol_token, enrol, &absent);
    }
    if (rv == 0) { /* the token belongs to this fleet, so the audit may name it as the caller */
        snprintf(call->token_id, sizeof(call->token_id), "%s", enrol->token_id);
        snprintf(call->who, sizeof(call->who), "enrolment %.12s", enrol->token_id);
    }
    if (rv == FLO_E_ABSENT || (rv == 0 && !enrol->is_enrol)) {
        return flo_fail(err, FLO_E_ENROL_TOKEN, "the enrolment token is not known here");
    }
    if (rv < 0) {
        *err = absent;
        return rv;
    }
    if (enrol->expires_at_ms <= flo_wall_ms()) {
        return flo_fail(err, FLO_E_ENROL_TOKEN, "the enrolment token has expired");
    }
    return flo_fleet_token_use(store, enrol->token_id, err);
}

/* Checks that a token limited to a group enrols devices into that group only.
 * Neither their labels nor a prepared serial number may bring them into
 * another. */
static int check_label(void *context, const char *group, const char *label, struct flo_err *err)
{
    const struct enrol *enrol = context;

    return strcmp(group, enrol->group) == 0
               ? 0
               : flo_fail(err, FLO_E_ENROL_GROUP,
                          "the token is of group %s, and label %s decides on "
                          "group %s",
                          enrol->group, label, group);
}

static int check_claim(const struct enrol *enrol, struct flo_err *err)
{
    const json_t *groups = json_object_get(enrol->claim.body, "groups");
    size_t i;
    json_t *group;

    json_array_foreach(groups, i, group)
    {
        if (strcmp(json_string_value(group), enrol->group) == 0) {
            return 0;
        }
    }
    return json_array_size(groups) == 0
               ? 0
               : flo_fail(err, FLO_E_ENROL_GROUP,
                          "the token is of group %s, and serial number %s was "
                          "prepared for another",
                          enrol->group, enrol->serial);
}

/* Reads the prepared row of the device's serial, which overrides the device's
 * own settings. */
static int read_claim(struct flo_controller *controller, struct enrol *enrol, struct flo_err *err)
{
    const char *name;
    const json_t *labels;
    bool is_news;

    FLO_TRY(flo_serials_look(controller, enrol->serial, &enrol->claim, err));
    name = json_string_value(json_object_get(enrol->claim.body, "name"));
    labels = json_object_get(enrol->claim.body, "labels");
    enrol->name = name != NULL ? name : enrol->name;
    if (enrol->labels == NULL && labels != NULL) {
        enrol->labels = enrol->made = json_object();
    }
    return labels == NULL ? 0 : flo_labels_merge(enrol->labels, labels, &is_news, err);
}

static int store_device(struct flo_controller *controller, struct enrol *enrol,
                        const char (*groups)[FLO_NAME_MAX + 1], size_t count, struct flo_err *err)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) labels = {0};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) profile = {0};
    char list[2 * FLO_NAME_MAX + 16];
    char name[FLO_NAME_MAX + 1];

    snprintf(name, sizeof(name), "dev-%.8s", enrol->id);
    snprintf(list, sizeof(list), count > 1 ? "[\"%s\",\"%s\"]" : "[\"%s\"]", groups[0],
             groups[count - 1]);
    flo_buf_text(&labels, "");
    flo_buf_text(&profile, "");
    if (enrol->labels != NULL) {
        flo_json_dump(enrol->labels, &labels);
    }
    if (enrol->profile != NULL) {
        flo_json_dump(enrol->profile, &profile);
    }
    struct flo_fleet_device device = {.id = enrol->id,
                                      .name = enrol->name != NULL ? enrol->name : name,
                                      .labels = labels.bytes > 0 ? labels.data : "{}",
                                      .profile = profile.bytes > 0 ? profile.data : "{}",
                                      .groups = list,
                                      .enrolled_at_ms = flo_wall_ms()};
    flo_telemetry_link_device(controller, enrol->id, enrol->profile);
    return flo_fleet_device_add(controller->store, &device, groups, count, err);
}

static json_t *trust_json(const struct flo_controller *controller)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    json_t *json = NULL;

    flo_trust_text(controller->trust, &text);
    if (text.failed || flo_json_parse(text.data, text.bytes, 1 << 20, &json, NULL) < 0) {
        return json_null();
    }
    return json;
}

static int answer_enrolled(struct flo_rest_call *call, const struct enrol *enrol,
                           const struct flo_buf *pem, json_t *groups, struct flo_err *err)
{
    struct flo_controller *controller = call->controller;
    char api[512];

    flo_address_url(api, "https", controller->addresses.public, controller->addresses.port_devices);
    call->out = json_pack("{s:s,s:s,s:s,s:s%,s:o,s:s,s:s,s:o,s:I}", "device", enrol->id, "fleet",
                          controller->fleet, "certificate", pem->data, "ca",
                          flo_pki_ca(controller->pki)->data, flo_pki_ca(controller->pki)->bytes,
                          "trust", trust_json(controller), "mqtt", controller->addresses.mqtt,
                          "api", api, "groups", groups, "at_ms", (json_int_t)flo_wall_ms());
    return call->out != NULL ? 0 : flo_fail(err, FLO_E_MEMORY, "enrolment");
}

static json_t *groups_json(const struct enrol *enrol)
{
    const json_t *more = json_object_get(enrol->claim.body, "groups");
    json_t *list = json_pack("[s]", "all");
    size_t i;
    json_t *group;

    if (strcmp(enrol->group, "all") != 0) {
        json_array_append_new(list, json_string(enrol->group));
    }
    json_array_foreach(more, i, group)
    {
        if (strcmp(json_string_value(group), enrol->group) != 0) {
            json_array_append(list, group);
        }
    }
    return list;
}

static int let_in(struct flo_rest_call *call, struct enrol *enrol, struct flo_err *err)
{
    struct flo_controller *controller = call->controller;
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) pem = {0};
    struct flo_certificate facts;
    char groups[2][FLO_NAME_MAX + 1] = {"all"};
    size_t count = strcmp(enrol->group, "all") == 0 ? 1 : 2;

    flo_uuid_make(enrol->id);
    snprintf(groups[1], sizeof(groups[1]), "%s", enrol->group);
    FLO_TRY(flo_pki_issue(controller, flo_pki_newest(controller->pki), enrol->id, enrol->csr, &pem,
                          &facts, err));
    FLO_TRY(flo_groups_enrol(controller, enrol->group, err));
    FLO_TRY(store_device(controller, enrol, (const char(*)[FLO_NAME_MAX + 1]) groups, count, err));
    FLO_TRY(flo_serials_take(controller, &enrol->claim, enrol->id, err));
    flo_outgoing_desired(controller, enrol->id);
    flo_outgoing_change(controller, FLO_OBJECT_DEVICE, enrol->id);
    return answer_enrolled(call, enrol, &pem, groups_json(enrol), err);
}

static int read_enrol(struct flo_rest_call *call, const json_t *in, struct enrol *enrol,
                      struct flo_err *err)
{
    FLO_TRY(flo_json_get_text(in, "token", 128, &enrol->token, err));
    FLO_TRY(use_token(call, enrol, err));
    FLO_TRY(flo_trust_is_stated(call->controller, err));
    FLO_TRY(flo_broker_has_room(call->controller, flo_broker_devices_max(call->rest->broker), err));
    return read_request(in, enrol, err);
}

static int enrol_device(struct flo_rest_call *call, const json_t *in, struct flo_err *err)
{
    struct flo_controller *controller = call->controller;
    struct enrol enrol = {0};
    int rv = read_enrol(call, in, &enrol, err);

    if (rv < 0) {
        if (rv == FLO_E_META_SCHEMA || rv == FLO_E_META_NAME) {
            rv = err->code = FLO_E_REST_SCHEMA;
        }
        return rv;
    }
    if (strcmp(enrol.group, "all") != 0) {
        rv = flo_groups_of_labels(controller, enrol.labels, check_label, &enrol, err);
    }
    if (rv == 0) {
        rv = read_claim(controller, &enrol, err);
    }
    if (rv == 0 && strcmp(enrol.group, "all") != 0) {
        rv = check_claim(&enrol, err);
    }
    if (rv == 0) {
        rv = let_in(call, &enrol, err);
    }
    json_decref(enrol.claim.body);
    json_decref(enrol.made);
    return rv;
}

/* Stores only that a device with this serial waits, because the refused
 * enrolment itself is rolled back. */
static int keep_waiting(struct flo_rest_call *call, struct flo_err *err)
{
    struct flo_controller *controller = call->controller;
    const char *serial = flo_rest_text_in(call, "serial", "");

    flo_controller_cancel(controller);
    FLO_TRY(flo_controller_begin(controller, err));
    FLO_TRY(flo_serials_wait(controller, serial, err));
    return flo_controller_commit(controller, err);
}

int flo_rest_enroll(struct flo_rest_call *call, struct flo_err *err)
{
    struct flo_err why = {0};

    if (call->in == NULL) {
        return flo_fail(err, FLO_E_REST_SCHEMA, "a JSON body belongs here");
    }
    int rv = enrol_device(call, call->in, err);
    if (rv == FLO_E_ENROL_WAITS && keep_waiting(call, &why) < 0) {
        flo_log_err(FLO_LOG_ERROR, "rest", &why);
    }
    return rv;
}

/* ---- devices ---- */

static int take_device(void *context, const struct flo_fleet_device *device)
{
    struct flo_rest_call *call = context;

    call->out = flo_object_device(call->controller, device);
    return 0;
}

static int take_whole(void *context, const struct flo_fleet_device *device)
{
    struct flo_rest_call *call = context;

    call->out = flo_object_device(call->controller, device);
    json_object_set_new(call->out, "pinned", flo_devices_pins(call->controller, device));
    json_object_set_new(call->out, "kept_from",
                        flo_rollouts_kept_from(call->controller, device->id));
    json_object_set_new(call->out, "machines", flo_twins_machines(call->controller, device->id));
    return 0;
}

int flo_rest_device(struct flo_rest_call *call, struct flo_err *err)
{
    return flo_fleet_device_get(call->controller->store, flo_httpd_param(call->request, "id"),
                                take_whole, call, err);
}

static int take_id(void *context, const struct flo_fleet_device *device)
{
    snprintf(context, 37, "%s", device->id);
    return 0;
}

static int add_event(void *context, const char *text)
{
    json_t *event;

    if (flo_json_parse(text, strlen(text), 65536, &event, NULL) == 0) {
        json_array_append_new(context, event);
    }
    return 0;
}

int flo_rest_timeline(struct flo_rest_call *call, struct flo_err *err)
{
    char id[37];
    char next[24];
    uint64_t oldest = 0;
    uint64_t limit = flo_rest_number(call, "limit", 200);

    FLO_TRY(flo_fleet_device_get(call->controller->store, flo_httpd_param(call->request, "id"),
                                 take_id, id, err));
    json_t *items = json_array();
    int rv = flo_fleet_event_list(call->controller->store, id,
                                  flo_rest_number(call, "cursor", FLO_FLEET_ALL), limit, add_event,
                                  items, &oldest, err);
    snprintf(next, sizeof(next), "%llu", (unsigned long long)oldest);
    call->out = flo_rest_list(items, oldest > 0 ? next : NULL);
    return rv;
}

int flo_rest_device_retire(struct flo_rest_call *call, struct flo_err *err)
{
    struct flo_controller *controller = call->controller;
    char id[37];

    FLO_TRY(flo_fleet_device_get(controller->store, flo_httpd_param(call->request, "id"), take_id,
                                 id, err));
    FLO_TRY(flo_devices_retire(controller, id, err));
    return flo_fleet_device_get(controller->store, id, take_device, call, err);
}

int flo_rest_device_split(struct flo_rest_call *call, struct flo_err *err)
{
    struct flo_controller *controller = call->controller;
    char id[37];

    FLO_TRY(flo_fleet_device_get(controller->store, flo_httpd_param(call->request, "id"), take_id,
                                 id, err));
    FLO_TRY(flo_twins_keep(controller, id, flo_rest_text_in(call, "keep", ""), err));
    return flo_fleet_device_get(controller->store, id, take_device, call, err);
}

int flo_rest_device_adopt(struct flo_rest_call *call, struct flo_err *err)
{
    struct flo_controller *controller = call->controller;
    const char *id = flo_httpd_param(call->request, "id");

    FLO_TRY(flo_broker_has_room(controller, flo_broker_devices_max(call->rest->broker), err));
    FLO_TRY(flo_devices_adopt(controller, id, flo_rest_text_in(call, "name", ""), err));
    return flo_fleet_device_get(controller->store, id, take_device, call, err);
}

static int add_unknown(void *context, const struct flo_fleet_certificate *one)
{
    json_array_append_new(context,
                          json_pack("{s:s, s:s, s:I, s:I}", "id", one->device, "authority",
                                    one->authority, "issued_at_ms", (json_int_t)one->issued_at_ms,
                                    "until_ms", (json_int_t)one->until_ms));
    return 0;
}

int flo_rest_devices_unknown(struct flo_rest_call *call, struct flo_err *err)
{
    json_t *items = json_array();

    call->out = flo_rest_list(items, NULL);
    return flo_fleet_certificate_list(call->controller->store, FLO_CERTIFICATE_UNKNOWN,
                                      flo_wall_ms(), add_unknown, items, err);
}

int flo_rest_device_replace(struct flo_rest_call *call, struct flo_err *err)
{
    struct flo_fleet_store *store = call->controller->store;
    char old[37];
    char next[37];

    FLO_TRY(flo_fleet_device_get(store, flo_httpd_param(call->request, "id"), take_id, old, err));
    FLO_TRY(flo_fleet_device_get(store, flo_rest_text_in(call, "by", ""), take_id, next, err));
    FLO_TRY(flo_devices_replace(call->controller, old, next, call->name, err));
    return flo_fleet_device_get(store, next, take_device, call, err);
}
