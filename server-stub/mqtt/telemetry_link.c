/* Lane batches: start, news and queries of the telemetry lane. */
#include <stdlib.h>
#include <string.h>

#include "server-stub/mqtt/telemetry_link.h"
#include "server-stub/rest/rest.h"

/* ---- what it is told ---- */

void flo_telemetry_link_device(struct flo_controller *controller,
                               const char *device,
                               const json_t *profile_or_null)
{
    char hardware[FLO_HARDWARE_TEXT];

    flo_hardware_class(profile_or_null, hardware);
    if (flo_fleet_device_hardware(controller->store, device, hardware)) {
        flo_lane_device(controller->lane, device, hardware);
    }
}

static int tell_device(void *context, const struct flo_fleet_device *device)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *profile = NULL;

    if (flo_json_parse(device->profile, strlen(device->profile), 1 << 20,
                       &profile, NULL) < 0) {
        profile = NULL;
    }
    flo_telemetry_link_device(context, device->id, profile);
    return 0;
}

static int tell_release(void *context, const struct flo_fleet_release *release)
{
    struct flo_controller *controller = context;

    flo_lane_release(controller->lane, release->digest);
    return 0;
}

int flo_telemetry_link_open(struct flo_controller *controller,
                            struct flo_err *err)
{
    struct flo_fleet_device_filter filter = {.online = -1};
    int rv = flo_lane_open(controller->dir, controller->fleet,
                           &controller->lane, err);

    if (rv == 0) {
        rv = flo_fleet_device_list(controller->store, &filter, tell_device,
                                   controller, err);
    }
    return rv < 0 ? rv
                  : flo_fleet_release_list(controller->store, tell_release,
                                           controller, err);
}

/* ---- whom it heard ---- */

static int hear(struct flo_controller *controller,
                const struct flo_lane_fact *facts, size_t count,
                struct flo_err *err)
{
    int rv = flo_controller_begin(controller, err);

    if (rv < 0) {
        return rv;
    }
    for (size_t i = 0; i < count && rv == 0; i++) {
        rv = flo_rollouts_step_all(
            controller,
            (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_HEARD,
                                       .device = facts[i].device},
            err);
    }
    if (rv < 0) {
        flo_controller_cancel(controller);
        return rv;
    }
    return flo_controller_commit(controller, err);
}

static void on_news(void *context)
{
    struct flo_controller *controller = context;
    struct flo_err err = {0};
    size_t count;
    struct flo_lane_fact *facts = flo_lane_facts(controller->lane, &count);

    for (size_t i = 0; i < count; i++) {
        flo_fleet_device_heard(controller->store, facts[i].device,
                               facts[i].seen_at_ms, facts[i].rss_bytes);
    }
    if (count > 0 && flo_rollouts_any_active(controller) &&
        hear(controller, facts, count, &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "telemetry", &err);
    }
    if (count > 0) {
        flo_live_telemetry(controller, count);
    }
    free(facts);
}

int flo_telemetry_link_start(struct flo_controller *controller,
                             struct flo_err *err)
{
    struct flo_mqtt_options options = {
        .url = controller->mqtt_url_own,
        .client_id = FLO_LANE_CLIENT,
        .ca_file = controller->pki.ca_file,
        .cert_file = controller->pki.lane_cert_file,
        .key_file = controller->pki.lane_key_file,
        .keepalive_s = 30,
        .retry_ms_min = 100,
        .retry_ms_max = 5000,
    };

    return flo_lane_start(controller->lane, controller->base,
                          controller->broker != NULL ? &options : NULL, on_news,
                          controller, err);
}

/* ---- queries ---- */

static void on_answer(void *context, const char *text,
                      const struct flo_err *err)
{
    struct flo_httpd_request *request = context;

    flo_httpd_set_user(request, NULL, NULL);
    if (err->code != 0) {
        flo_httpd_answer_err(request, err);
        return;
    }
    flo_httpd_add_header(request, "Cache-Control", "no-store");
    flo_httpd_answer(request, 200, "application/json", text, strlen(text));
}

static void on_closed(void *user)
{
    struct flo_lane_query *query = user;

    query->context = NULL;
}

int flo_rest_telemetry(struct flo_rest_call *call, struct flo_err *err)
{
    struct flo_telemetry_query what;
    int rv = call->in == NULL
                 ? flo_fail(err, FLO_E_REST_SCHEMA, "a JSON body belongs here")
                 : flo_telemetry_query_parse(call->in, &what, err);

    if (rv < 0) {
        return rv;
    }
    struct flo_lane_query *query = calloc(1, sizeof(*query));
    if (query == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "query");
    }
    query->query = what;
    query->context = call->request;
    query->done = on_answer;
    if ((rv = flo_lane_ask(call->controller->lane, query, err)) == 0) {
        flo_httpd_set_user(call->request, query, on_closed);
        call->is_later = true;
    }
    return rv;
}
