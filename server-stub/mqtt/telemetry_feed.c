/* Telemetry feed: the connection of the telemetry thread (lane), and the
 * devices that sent messages on it. */
#include <stdlib.h>

#include "server-stub/mqtt/telemetry_feed.h"
#include "server-stub/state/outgoing.h"
#include "server-stub/state/pki/pki.h"
#include "server-stub/state/rollouts/rollouts.h"

/* Tells whether telemetry of the device counts as heard of it.  It does not before
 * the device joined its rollouts, which it does with its first presence message.  Nor
 * does it when the device is gone: it was sent before its last will, and only read
 * after it, because another connection brings it. */
static bool counts(struct flo_controller *controller, const char *device)
{
    struct flo_err err = {0};
    bool out;

    if (flo_fleet_device_has_come(controller->store, device, &out, &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "telemetry", &err);
        return false; /* The next call tries the store again. */
    }
    return out && flo_fleet_is_online(controller->store, device);
}

static int hear(struct flo_controller *controller, const struct flo_lane_fact *facts, size_t count,
                struct flo_err *err)
{
    int rv = flo_controller_begin(controller, err);

    FLO_TRY(rv);
    for (size_t i = 0; i < count && rv == 0; i++) {
        rv = flo_rollouts_step_all(
            controller,
            (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_HEARD, .device = facts[i].device},
            err);
    }
    return flo_controller_end(controller, rv, err);
}

int flo_telemetry_feed_heard(struct flo_controller *controller, struct flo_lane_fact *facts,
                             size_t count, struct flo_err *err)
{
    size_t heard = 0;

    for (size_t i = 0; i < count; i++) {
        if (counts(controller, facts[i].device)) {
            facts[heard++] = facts[i];
        }
    }
    for (size_t i = 0; i < heard; i++) {
        flo_fleet_device_heard(controller->store, facts[i].device, facts[i].seen_at_ms,
                               facts[i].rss_bytes);
        flo_fleet_device_ttft(controller->store, facts[i].device, facts[i].ttft_us);
    }
    return heard > 0 && flo_rollouts_any_active(controller) ? hear(controller, facts, heard, err)
                                                            : 0;
}

static void on_news(void *context)
{
    struct flo_controller *controller = context;
    struct flo_err err = {0};
    size_t count;
    struct flo_lane_fact *facts = flo_lane_facts(controller->lane, &count);

    if (flo_telemetry_feed_heard(controller, facts, count, &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "telemetry", &err);
    }
    if (count > 0) {
        flo_outgoing_telemetry(controller, count);
    }
    free(facts);
}

int flo_telemetry_feed_start(struct flo_controller *controller, struct event_base *base,
                             bool has_own_broker, struct flo_err *err)
{
    struct flo_mqtt_options options = {
        .url = controller->addresses.mqtt_own,
        .client_id = FLO_LANE_CLIENT,
        .ca_file = flo_pki_files(controller->pki)->ca_file,
        .cert_file = flo_pki_files(controller->pki)->lane_cert_file,
        .key_file = flo_pki_files(controller->pki)->lane_key_file,
        .keepalive_s = 30,
        .retry_ms_min = 100,
        .retry_ms_max = 5000,
    };

    return flo_lane_start(controller->lane, base, has_own_broker ? &options : NULL, on_news,
                          controller, err);
}
