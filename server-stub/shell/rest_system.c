/* REST: health, version, metrics for Prometheus, telemetry queries. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server-stub/shell/broker.h"
#include "server-stub/shell/live.h"
#include "server-stub/shell/rest.h"
#include "server-stub/shell/system.h"

int flo_rest_healthz(struct flo_rest_call *call, struct flo_err *err)
{
    (void)err;
    call->out = json_pack("{s:s}", "status", "ok");
    return 0;
}

int flo_rest_readyz(struct flo_rest_call *call, struct flo_err *err)
{
    bool connected = call->controller->mqtt != NULL &&
                     flo_mqtt_is_connected(call->controller->mqtt);

    (void)err;
    call->status = connected ? 200 : 503;
    call->out =
        json_pack("{s:s,s:b}", "status", connected ? "ready" : "waiting",
                  "broker", (int)connected);
    return 0;
}

int flo_rest_version(struct flo_rest_call *call, struct flo_err *err)
{
    bool is_frozen = false;
    int rv = flo_records_is_frozen(call->controller->store, &is_frozen, err);

    call->out =
        json_pack("{s:s,s:s,s:s,s:I,s:s,s:b}", "version", FLO_VERSION, "fleet",
                  call->controller->fleet, "boot", call->controller->boot,
                  "heartbeat_ms", (json_int_t)call->controller->heartbeat_ms,
                  "mqtt", call->controller->mqtt_url, "frozen", (int)is_frozen);
    return rv;
}

/* ---- telemetry ---- */

static int fold_row(void *context, const struct flo_telemetry_row *row)
{
    flo_telemetry_fold_add(context, row);
    return 0;
}

int flo_rest_telemetry(struct flo_rest_call *call, struct flo_err *err)
{
    struct flo_telemetry_query query;
    uint64_t now_ms = flo_wall_ms();
    int rv;

    if (call->in == NULL) {
        return flo_fail(err, FLO_E_REST_SCHEMA, "a JSON body belongs here");
    }
    if ((rv = flo_telemetry_query_parse(call->in, &query, err)) < 0) {
        return rv;
    }
    struct flo_histogram *scratch = calloc(2, sizeof(*scratch));
    if (scratch == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "query");
    }
    struct flo_telemetry_fold fold = {.query = &query,
                                      .step_histogram = &scratch[0],
                                      .series_histogram = &scratch[1],
                                      .series = json_array()};
    uint64_t from_ms = now_ms > query.since_ms ? now_ms - query.since_ms : 0;
    rv = flo_records_telemetry_list(
        call->controller->store, &query,
        from_ms - from_ms % flo_telemetry_resolution(&query), fold_row, &fold,
        err);
    flo_telemetry_fold_end(&fold);
    free(scratch);
    const struct flo_metric_fact *fact = flo_metric_fact(query.metric);
    call->out =
        json_pack("{s:s,s:s,s:I,s:o}", "metric", fact->word, "unit", fact->unit,
                  "now_ms", (json_int_t)now_ms, "series", fold.series);
    return rv;
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

static void metrics_text(struct flo_controller *controller, struct flo_buf *out)
{
    const struct flo_controller_counters *c = &controller->counters;
    uint64_t devices = 0;
    uint64_t online = 0;
    uint64_t rss = 0;
    uint64_t active = 0;
    struct flo_err err = {0};

    if (flo_records_device_counts(controller->store, &devices, &online, &err) <
        0) {
        flo_log_err(FLO_LOG_WARN, "metrics", &err);
    }
    (void)flo_process_memory(getpid(), &rss, NULL, NULL);
    for (size_t i = 0; i < controller->rollout_count; i++) {
        active +=
            flo_rollout_state_is_active(controller->rollouts[i]->core.state)
                ? 1
                : 0;
    }
    metric(out, "devices", "gauge", "Enrolled devices.", devices);
    metric(out, "devices_online", "gauge", "Connected devices.", online);
    metric(out, "rollouts_active", "gauge", "Rollouts under way.", active);
    metric(out, "broker_connected", "gauge", "1 with a broker.",
           controller->mqtt != NULL && flo_mqtt_is_connected(controller->mqtt)
               ? 1
               : 0);
    metric(out, "live_clients", "gauge", "Clients of /v1/events.",
           controller->live != NULL ? flo_live_clients(controller->live) : 0);
    metric(out, "process_resident_bytes", "gauge", "Resident memory.", rss);
    metric(out, "messages_total", "counter", "MQTT messages handled.",
           c->messages);
    metric(out, "messages_dropped_total", "counter",
           "MQTT messages that did not fit, or were too many.",
           c->messages_dropped + (controller->mqtt != NULL
                                      ? flo_mqtt_dropped(controller->mqtt)
                                      : 0));
    metric(out, "batches_total", "counter", "Transactions of messages.",
           c->batches);
    metric(out, "commits_failed_total", "counter", "Commits that failed.",
           c->commits_failed);
    metric(out, "broker_starts_total", "counter", "Starts of mosquitto.",
           c->broker_starts);
    metric(out, "orders_signed_total", "counter", "Signed orders.",
           c->orders_signed);
    metric(out, "http_requests_total", "counter", "REST calls.",
           c->http_requests);
    metric(out, "strangers_refused_total", "counter",
           "Enrolments refused that the audit does not name.",
           c->strangers_refused);
}

static void on_metrics(void *context, struct flo_httpd_request *request)
{
    struct flo_controller *controller = context;
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    struct flo_err err = {0};

    if (flo_httpd_listener_tag(request) != FLO_TAG_PEOPLE) {
        flo_fail(&err, FLO_E_REST_NOT_FOUND,
                 "this path is not on the devices' listener");
        flo_httpd_answer_err(request, &err);
        return;
    }
    metrics_text(controller, &text);
    flo_httpd_answer(request, text.failed ? 500 : 200,
                     "text/plain; version=0.0.4; charset=utf-8", text.data,
                     text.bytes);
}

int flo_metrics_open(struct flo_controller *controller, struct flo_err *err)
{
    return flo_httpd_route(controller->httpd, "GET", "/metrics", 0, on_metrics,
                           controller, err);
}
