/* REST: reports that an order requested from a device: uploaded with the
 * device's certificate, read by people. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/device.h>
#include <flotilla/errors/meta.h>
#include <flotilla/errors/rest.h>

#include "server-stub/core/report.h"
#include "server-stub/core/telemetry/telemetry.h"
#include "server-stub/rest/rest.h"
#include "server-stub/state/audit/audit.h"
#include "server-stub/state/outgoing.h"
#include "server-stub/state/sayings.h"

/* ---- in ---- */

struct upload {
    char device[37];
    char order[FLO_NAME_MAX + 1];
    char op[16];
    uint64_t issued_at_ms;
    struct flo_buf body;
};

static void upload_free(void *user)
{
    struct upload *upload = user;

    flo_buf_deinit(&upload->body);
    free(upload);
}

static int take_asked(void *context, const struct flo_fleet_order *order)
{
    struct upload *upload = context;

    snprintf(upload->op, sizeof(upload->op), "%s", order->op);
    upload->issued_at_ms = order->issued_at_ms;
    return 0;
}

/* Checks that an order requested a report from this device. */
static int was_asked(struct flo_controller *controller, struct upload *upload, struct flo_err *err)
{
    enum flo_order_outcome outcome;
    enum flo_order_op op;
    bool is_asked = false;

    FLO_TRY(flo_fleet_order_get(controller->store, upload->order, take_asked, upload, err));
    FLO_TRY(flo_fleet_outcome_get(controller->store, upload->order, upload->device, &is_asked,
                                  &outcome, err));
    if (!is_asked || !flo_order_op_parse(upload->op, &op) ||
        flo_order_fact(op)->subject != FLO_ORDER_SUBJECT_REPORT) {
        return flo_fail(err, FLO_E_ABSENT, "order %s asks this device for none", upload->order);
    }
    return 0;
}

static int is_there(void *context, const struct flo_fleet_report *report)
{
    (void)report;
    *(bool *)context = true;
    return 0;
}

static int has_none(struct flo_controller *controller, const struct upload *upload,
                    struct flo_err *err)
{
    struct flo_err absent = {0};
    bool has_one = false;
    int rv = flo_fleet_report_get(controller->store, upload->order, is_there, &has_one, &absent);

    if (rv < 0 && rv != FLO_E_ABSENT) {
        *err = absent;
        return rv;
    }
    return has_one ? flo_fail(err, FLO_E_STATE, "the report of %s came already", upload->order) : 0;
}

static int admit(struct flo_controller *controller, struct flo_httpd_request *request,
                 struct upload *upload, struct flo_err *err)
{
    const char *device = flo_httpd_peer_name(request);
    const char *order = flo_httpd_param(request, "id");
    bool is_active = false;

    if (flo_httpd_listener_tag(request) != FLO_TAG_DEVICES) {
        return flo_fail(err, FLO_E_REST_NOT_FOUND, "this path is on the devices' listener alone");
    }
    if (device == NULL) {
        return flo_fail(err, FLO_E_REST_AUTH, "a device's certificate is needed");
    }
    if (order == NULL || !flo_name_is_valid(order)) {
        return flo_fail(err, FLO_E_ABSENT, "no order by that name");
    }
    snprintf(upload->device, sizeof(upload->device), "%.36s", device);
    snprintf(upload->order, sizeof(upload->order), "%s", order);
    FLO_TRY(flo_rest_query_check(request, "", err));
    FLO_TRY(flo_fleet_device_is_active(controller->store, upload->device, &is_active, err));
    if (!is_active) {
        return flo_fail(err, FLO_E_REST_ROLE, "device %.36s is retired or unknown", device);
    }
    FLO_TRY(was_asked(controller, upload, err));
    return has_none(controller, upload, err);
}

static int on_start(void *context, struct flo_httpd_request *request, struct flo_err *err)
{
    struct flo_rest *rest = context;
    struct upload *upload = calloc(1, sizeof(*upload));

    rest->requests++;
    if (upload == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "report");
    }
    int rv = admit(rest->controller, request, upload, err);
    if (rv < 0) {
        upload_free(upload);
        return rv;
    }
    flo_httpd_set_user(request, upload, upload_free);
    return 0;
}

static int on_body(void *context, struct flo_httpd_request *request, const void *data, size_t bytes,
                   struct flo_err *err)
{
    struct upload *upload = flo_httpd_user(request);

    (void)context;
    flo_buf_add(&upload->body, data, bytes);
    return upload->body.failed ? flo_fail(err, FLO_E_MEMORY, "report") : 0;
}

/* Builds the report in the form that people see, from the uploaded one. */
static int read_report(const struct upload *upload, struct flo_buf *out, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *in = NULL;
    FLO_CLEANUP(flo_json_cleanup) json_t *report = NULL;
    int rv = flo_json_parse(upload->body.data != NULL ? upload->body.data : "", upload->body.bytes,
                            FLO_REPORT_BYTES_MAX, &in, err);

    if (rv == 0) {
        rv = flo_report_read(in, upload->op, &report, err);
    }
    if (rv == FLO_E_META_JSON || rv == FLO_E_META_JSON_DEPTH || rv == FLO_E_META_SCHEMA ||
        rv == FLO_E_META_NAME) {
        rv = err->code = FLO_E_REST_SCHEMA;
    }
    FLO_TRY(rv);
    flo_json_dump(report, out);
    return out->failed ? flo_fail(err, FLO_E_MEMORY, "report") : 0;
}

static int keep(struct flo_controller *controller, const struct upload *upload, const char *body,
                struct flo_err *err)
{
    uint64_t now_ms = flo_wall_ms();
    struct flo_fleet_report report = {.order = upload->order,
                                      .device = upload->device,
                                      .op = upload->op,
                                      .at_ms = now_ms,
                                      .body = body};
    char who[64];
    char detail[64];
    bool is_news;

    FLO_TRY(flo_fleet_report_add(controller->store, &report, err));
    FLO_TRY(flo_fleet_outcome_advance(
        controller->store, upload->order, upload->device, FLO_OUTCOME_DONE, 0,
        now_ms > upload->issued_at_ms ? now_ms - upload->issued_at_ms : 0, "", &is_news, err));
    snprintf(who, sizeof(who), "device %s", upload->device);
    snprintf(detail, sizeof(detail), "%s, %zu bytes", upload->op, upload->body.bytes);
    flo_outgoing_change(controller, FLO_OBJECT_ORDER, upload->order);
    return flo_controller_audit(controller, who, "report.put", upload->order, "ok", detail, err);
}

static int keep_or_cancel(struct flo_controller *controller, const struct upload *upload,
                          struct flo_err *err)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) body = {0};

    FLO_TRY(read_report(upload, &body, err));
    FLO_TRY(flo_controller_begin(controller, err));
    return flo_controller_end(controller, keep(controller, upload, body.data, err), err);
}

static void on_put(void *context, struct flo_httpd_request *request)
{
    struct flo_rest *rest = context;
    struct upload *upload = flo_httpd_user(request);
    struct flo_err err = {0};
    char text[128];
    int rv = keep_or_cancel(rest->controller, upload, &err);

    snprintf(text, sizeof(text), "{\"id\":\"%s\",\"bytes\":%zu}", upload->order,
             upload->body.bytes);
    flo_httpd_set_user(request, NULL, NULL);
    upload_free(upload);
    if (rv < 0) {
        flo_httpd_answer_err(request, &err);
    } else {
        flo_rest_answer(rest, request, 201, text, strlen(text));
    }
}

int flo_reports_open(struct flo_rest *rest, struct flo_err *err)
{
    static const struct flo_httpd_upload upload = {
        .on_start = on_start,
        .on_body = on_body,
        .body_bytes_max = FLO_REPORT_BYTES_MAX,
    };

    return flo_rest_upload_open(rest, FLO_STREAM_REPORT_PUT, &upload, on_put, err);
}

/* ---- out ---- */

static json_t *view(const struct flo_fleet_report *report, bool with_body)
{
    json_t *json = with_body ? flo_saying_object(report->body) : json_object();

    json_object_set_new(json, "id", json_string(report->order));
    json_object_set_new(json, "device", json_string(report->device));
    json_object_set_new(json, "op", json_string(report->op));
    json_object_set_new(json, "received_at_ms", json_integer((json_int_t)report->at_ms));
    return json;
}

static int take_one(void *context, const struct flo_fleet_report *report)
{
    struct flo_rest_call *call = context;

    call->out = view(report, true);
    return 0;
}

int flo_rest_report(struct flo_rest_call *call, struct flo_err *err)
{
    FLO_TRY(flo_fleet_report_get(call->controller->store, flo_httpd_param(call->request, "id"),
                                 take_one, call, err));
    return flo_rest_may_device(call, json_string_value(json_object_get(call->out, "device")), err);
}

static int take_id(void *context, const struct flo_fleet_device *device)
{
    snprintf(context, 37, "%s", device->id);
    return 0;
}

static int add_report(void *context, const struct flo_fleet_report *report)
{
    json_array_append_new(context, view(report, false));
    return 0;
}

int flo_rest_reports(struct flo_rest_call *call, struct flo_err *err)
{
    struct flo_fleet_store *store = call->controller->store;
    char id[37];

    FLO_TRY(flo_fleet_device_get(store, flo_httpd_param(call->request, "id"), take_id, id, err));
    FLO_TRY(flo_rest_may_device(call, id, err));
    json_t *items = json_array();
    int rv = flo_fleet_report_list(store, id, add_report, items, err);
    call->out = flo_rest_list(items, NULL);
    return rv;
}

/* ---- benchmarks ---- */

#define BENCHMARKS_SHOWN 1000

struct benchmarks {
    const char *model; /* NULL: all */
    json_t *items;
};

static int take_machine(void *context, const struct flo_fleet_device *device)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *profile = flo_saying_object(device->profile);
    char hardware[FLO_HARDWARE_TEXT];

    flo_hardware_class(profile, hardware);
    json_object_set_new(context, "name", json_string(device->name));
    json_object_set_new(context, "hardware", json_string(hardware));
    return 0;
}

static int add_benchmark(void *context, const struct flo_fleet_report *report)
{
    const struct benchmarks *benchmarks = context;
    FLO_CLEANUP(flo_json_cleanup) json_t *item = view(report, false);
    FLO_CLEANUP(flo_json_cleanup) json_t *body = flo_saying_object(report->body);
    const json_t *facts = json_object_get(body, "facts");

    json_object_del(item, "op");
    json_object_set(item, "facts", (json_t *)(uintptr_t)facts);
    if (benchmarks->model == NULL || flo_json_says(facts, "model", benchmarks->model)) {
        json_array_append(benchmarks->items, item);
    }
    return 0;
}

/* Adds to each benchmark which machine measured it.  Those of devices that are
 * gone are left out. */
static int add_machines(struct flo_fleet_store *store, json_t *items, struct flo_err *err)
{
    for (size_t i = json_array_size(items); i > 0; i--) {
        json_t *item = json_array_get(items, i - 1);
        const char *device = json_string_value(json_object_get(item, "device"));
        struct flo_err gone = {0};
        int rv = flo_fleet_device_get(store, device, take_machine, item, &gone);

        if (rv == FLO_E_DEVICE_ABSENT) {
            json_array_remove(items, i - 1);
        } else if (rv < 0) {
            *err = gone;
            return rv;
        }
    }
    return 0;
}

int flo_rest_benchmarks(struct flo_rest_call *call, struct flo_err *err)
{
    struct flo_fleet_store *store = call->controller->store;
    struct benchmarks benchmarks = {flo_httpd_query(call->request, "model"), json_array()};
    int rv = flo_fleet_report_list_op(store, flo_order_op_word(FLO_ORDER_BENCHMARK),
                                      BENCHMARKS_SHOWN, add_benchmark, &benchmarks, err);

    if (rv == 0) {
        rv = add_machines(store, benchmarks.items, err);
    }
    call->out = flo_rest_list(benchmarks.items, NULL);
    return rv;
}
