/* REST: health, version, metrics for Prometheus. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server-stub/mqtt/batches.h"
#include "server-stub/mqtt/broker/broker.h"
#include "server-stub/rest/live.h"
#include "server-stub/rest/rest.h"
#include "server-stub/state/audit/head.h"

int flo_rest_healthz(struct flo_rest_call *call, struct flo_err *err)
{
    (void)err;
    call->out = json_pack("{s:s}", "status", "ok");
    return 0;
}

int flo_rest_readyz(struct flo_rest_call *call, struct flo_err *err)
{
    struct flo_controller *controller = call->controller;
    struct flo_lane_counters lane;
    struct flo_fleet_device_count count;
    struct flo_rest *rest = call->rest;
    uint64_t devices_max = flo_broker_devices_max(rest->broker);
    bool is_up = flo_batches_count(rest->batches).is_connected;
    int rv = flo_fleet_device_counts(controller->store, &count, err);

    if (rv < 0) {
        return rv;
    }
    flo_lane_count(controller->lane, &lane);
    /* At the start no telemetry shall be lost.  Later, telemetry is no reason
     * to wait. */
    rest->has_lane = rest->has_lane || lane.listens;
    bool is_full = devices_max != 0 && count.devices > devices_max;
    const char *state = !is_up || !rest->has_lane ? "waiting"
                        : is_full                 ? "full"
                                                  : "ready";
    call->status = strcmp(state, "ready") == 0 ? 200 : 503;
    call->out =
        json_pack("{s:s,s:b,s:b,s:I,s:I,s:{s:s,s:I,s:I}}", "status", state,
                  "audit_ok", (int)!controller->audit.is_broken, "broker",
                  (int)is_up, "devices_online", (json_int_t)count.online,
                  "devices_max", (json_int_t)devices_max, "telemetry", "state",
                  !lane.listens                            ? "waiting"
                  : flo_lane_is_shedding(controller->lane) ? "shedding"
                                                           : "ok",
                  "shed", (json_int_t)(lane.shed + lane.lost), "limited",
                  (json_int_t)lane.limited);
    return 0;
}

int flo_rest_version(struct flo_rest_call *call, struct flo_err *err)
{
    bool is_frozen = false;
    int rv = flo_fleet_is_frozen(call->controller->store, &is_frozen, err);

    call->out = json_pack(
        "{s:s,s:s,s:s,s:I,s:s,s:b}", "version", FLO_VERSION, "fleet",
        call->controller->fleet, "boot", call->controller->boot, "heartbeat_ms",
        (json_int_t)call->controller->heartbeat_ms, "mqtt",
        call->controller->addresses.mqtt, "frozen", (int)is_frozen);
    return rv;
}

/* The `type` of a problem leads here. */
int flo_rest_error(struct flo_rest_call *call, struct flo_err *err)
{
    const char *id = flo_httpd_param(call->request, "id");
    int code = flo_error_code(id);

    if (code == 0) {
        return flo_fail(err, FLO_E_ABSENT, "no error has the id %.80s", id);
    }
    call->out =
        json_pack("{s:s,s:s,s:s,s:i,s:i}", "id", flo_error_id(code), "meaning",
                  flo_error_meaning(code), "fix", flo_error_fix(code), "status",
                  flo_httpd_status_of(code), "exit", (int)flo_error_exit(code));
    return 0;
}

/* ---- metrics ---- */

static void metric(struct flo_buf *out, const char *name, const char *type,
                   const char *help, uint64_t value)
{
    flo_buf_printf(out,
                   "# HELP flotilla_%s %s\n# TYPE flotilla_%s %s\n"
                   "flotilla_%s %llu\n",
                   name, help, name, type, name, (unsigned long long)value);
}

static void metrics_text(const struct flo_rest *rest, struct flo_buf *out)
{
    struct flo_controller *controller = rest->controller;
    struct flo_batches_counters messages = flo_batches_count(rest->batches);
    struct flo_lane_counters lane;
    struct flo_fleet_device_count count = {0};
    uint64_t rss = 0;
    uint64_t active = 0;
    struct flo_err err = {0};

    if (flo_fleet_device_counts(controller->store, &count, &err) < 0) {
        flo_log_err(FLO_LOG_WARN, "metrics", &err);
    }
    flo_lane_count(controller->lane, &lane);
    (void)flo_process_memory(getpid(), &rss, NULL, NULL);
    for (size_t i = 0; i < controller->rollouts.count; i++) {
        active += flo_rollout_state_is_active(
                      controller->rollouts.items[i]->core.state)
                      ? 1
                      : 0;
    }
    metric(out, "devices", "gauge", "Enrolled devices.", count.devices);
    metric(out, "devices_online", "gauge", "Connected devices.", count.online);
    metric(out, "devices_drifting", "gauge",
           "Devices that run something else than they are told to.",
           count.drifting);
    metric(out, "rollouts_active", "gauge", "Rollouts under way.", active);
    metric(out, "broker_connected", "gauge", "1 with a broker.",
           messages.is_connected ? 1 : 0);
    metric(out, "live_clients", "gauge", "Clients of /v1/events.",
           flo_live_clients(rest->live));
    metric(out, "process_resident_bytes", "gauge", "Resident memory.", rss);
    metric(out, "messages_total", "counter", "MQTT messages handled.",
           messages.messages);
    metric(out, "messages_dropped_total", "counter",
           "MQTT messages that did not fit, or were too many.",
           messages.dropped);
    metric(out, "telemetry_connected", "gauge",
           "1 when the telemetry lane hears devices.", lane.listens ? 1 : 0);
    metric(out, "telemetry_windows_total", "counter",
           "Windows of telemetry stored.", lane.windows);
    metric(out, "telemetry_repeated_total", "counter",
           "Windows that came before.", lane.repeated);
    metric(out, "telemetry_dropped_total", "counter",
           "Windows that cannot be read, or of no device.", lane.dropped);
    metric(out, "telemetry_shed_total", "counter",
           "Windows left out: more came than the lane can take.", lane.shed);
    metric(out, "telemetry_limited_total", "counter",
           "Windows left out: above what their device may send.", lane.limited);
    metric(out, "telemetry_lost_total", "counter",
           "Windows that the store did not take.", lane.lost);
    metric(out, "telemetry_queries_total", "counter",
           "Queries of telemetry answered.", lane.queries);
    metric(out, "batches_total", "counter", "Transactions of messages.",
           messages.batches);
    metric(out, "statements_total", "counter",
           "Statements of control.db: few for each message.",
           flo_fleet_statements(controller->store));
    metric(out, "commits_failed_total", "counter", "Commits that failed.",
           controller->commits_failed);
    metric(out, "broker_starts_total", "counter", "Starts of mosquitto.",
           flo_broker_starts(rest->broker));
    metric(out, "orders_signed_total", "counter", "Signed orders.",
           controller->orders.signed_count);
    metric(out, "http_requests_total", "counter", "REST calls.",
           rest->requests);
    metric(out, "audit_broken", "gauge",
           "1 when the audit differs from its signed heads.",
           controller->audit.is_broken ? 1 : 0);
    metric(out, "audit_signed_records", "gauge",
           "Number of the record that the newest signed head names.",
           flo_audit_head_newest(controller).number);
    metric(out, "strangers_refused_total", "counter",
           "Enrolments refused that the audit does not name.",
           rest->strangers_refused);
}

static void on_metrics(void *context, struct flo_httpd_request *request)
{
    const struct flo_rest *rest = context;
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    struct flo_err err = {0};

    if (flo_httpd_listener_tag(request) != FLO_TAG_PEOPLE) {
        flo_fail(&err, FLO_E_REST_NOT_FOUND,
                 "this path is not on the devices' listener");
        flo_httpd_answer_err(request, &err);
        return;
    }
    if (flo_rest_query_check(request, "", &err) < 0) {
        flo_httpd_answer_err(request, &err);
        return;
    }
    metrics_text(rest, &text);
    flo_httpd_answer(request, text.failed ? 500 : 200,
                     "text/plain; version=0.0.4; charset=utf-8", text.data,
                     text.bytes);
}

int flo_metrics_open(struct flo_rest *rest, struct flo_err *err)
{
    return flo_rest_stream_open(rest, FLO_STREAM_METRICS, on_metrics, err);
}
