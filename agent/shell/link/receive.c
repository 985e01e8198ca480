/* Receiver: handles connections to the broker and messages of the controller.
 *
 * After a connection the device first subscribes to its topics, then acts. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/certificate.h>
#include <flotilla/errors/meta.h>
#include <flotilla/errors/mqtt.h>
#include <flotilla/errors/outbox.h>

#include "agent/shell/link/heard.h"
#include "agent/shell/link/link.h"
#include "agent/shell/queue/timers.h"
#include "agent/shell/renewal/renewal.h"
#include "agent/shell/trust/trust.h"

#define QUEUE_MESSAGES_MAX 256
#define PRESENCE_OFF "{\"v\":1,\"online\":false}"

/* ---- in ---- */

static void take_desired(struct flo_shell *shell, const struct flo_heard *heard)
{
    if (heard->heartbeat_ms != 0 && !flo_config_is_set(shell->settings.config, "heartbeat")) {
        flo_shell_set_heartbeat(shell, heard->heartbeat_ms);
    }
    if (heard->reconnect_ms != 0) {
        flo_loop_spread(shell, heard->reconnect_ms);
        flo_shell_link_spread(shell, heard->reconnect_ms);
    }
    flo_shell_link_heard(shell, heard->rev);
}

static void take_ack(struct flo_shell *shell, const struct flo_heard *heard)
{
    struct flo_err back = {0};

    shell->refusal.code = 0; /* only a controller that knows the device acks */
    if (flo_events_acked(shell->db, heard->boot, heard->ack)) {
        flo_fail(&back, FLO_E_OUTBOX_BACK,
                 "the controller has event %llu of this device, the newest one here is %llu",
                 (unsigned long long)heard->ack,
                 (unsigned long long)flo_events_outbox(shell->db)->last);
        flo_notes_add(shell->db, "note", &back, flo_now_ms());
        flo_shell_link_reported(shell);
    }
}

static void take(struct flo_shell *shell, enum flo_topic topic, const struct flo_heard *heard)
{
    if (topic == FLO_TOPIC_DESIRED) {
        take_desired(shell, heard);
    } else if (topic == FLO_TOPIC_MARK && !heard->is_for_all) {
        /* A controller older than the topic c/order publishes the orders for
         * the group `all` as that group's list. */
        flo_shell_link_subscribe(shell, FLO_TOPIC_ORDER, "all");
    }
    if (heard->audit != NULL && flo_witness_hear(shell, heard->audit, heard->audit_from_ms)) {
        flo_shell_link_reported(shell);
    }
    if (heard->ack > 0) {
        take_ack(shell, heard);
        flo_shell_link_flush_events(shell);
    }
    uint64_t before = flo_shell_trust_number(shell);
    if (flo_shell_trust_hear(shell, FLO_TRUST_BY_ANYBODY, heard->trust, heard->trust_count)) {
        flo_shell_trust_fetch(shell);
    }
    /* The new keys may have signed orders that were refused, so these are
     * requested again. */
    if (flo_shell_trust_number(shell) != before) {
        flo_shell_link_ask_again(shell);
    }
    for (size_t i = 0; i < heard->order_count; i++) {
        flo_loop_order(shell, heard->orders[i], heard->is_list);
    }
    flo_shell_newest_hear(shell, FLO_TRUST_BY_ANYBODY, topic == FLO_TOPIC_DESIRED, heard->json);
    if (strcmp(heard->op, "report") == 0) {
        flo_shell_link_reported(shell);
    } else if (strcmp(heard->op, "renew") == 0) {
        flo_renewal_asked(shell, heard->life);
    }
}

static void on_message(void *context, const struct flo_mqtt_message *message)
{
    struct flo_shell *shell = context;
    struct flo_heard heard;
    struct flo_err err = {0};
    enum flo_topic topic;
    char key[FLO_NAME_MAX + 1];
    int rv = flo_topic_parse(message->topic, shell->identity.fleet, &topic, key, &err);

    if (message->bytes == 0) {
        return; /* an empty message says that a retained message was deleted */
    }
    if (rv == 0) {
        rv = flo_heard_read(topic, message->data, message->bytes, &heard, &err);
    }
    if (rv == 0) {
        take(shell, topic, &heard);
        flo_heard_deinit(&heard);
    }
    if (rv == FLO_E_MEMORY) {
        flo_shell_orders_again(shell);
        (void)flo_shell_degrade(shell, &err);
    }
    if (rv == FLO_E_META_JSON || rv == FLO_E_META_JSON_DEPTH || rv == FLO_E_META_SCHEMA ||
        rv == FLO_E_META_TOO_LARGE) {
        rv = err.code = FLO_E_MQTT_SCHEMA;
    }
    if (rv < 0) {
        flo_wrap(&err, rv, "message on %s", message->topic);
        flo_log_err(FLO_LOG_WARN, "mqtt", &err);
        flo_shell_link_refused(shell);
    }
}

/* ---- the connection ---- */

/* Subscribes to the common topics one by one, for a broker whose access rules
 * are older than the filter c/+. */
static void subscribe_each(struct flo_shell *shell)
{
    flo_shell_link_subscribe(shell, FLO_TOPIC_TRUST, "");
    flo_shell_link_subscribe(shell, FLO_TOPIC_EMERGENCY, "");
    flo_shell_link_subscribe(shell, FLO_TOPIC_ORDER, "all");
}

static bool common(const struct flo_shell *shell, char *filter)
{
    struct flo_err err = {0};

    if (flo_topic_common(shell->identity.fleet, filter, &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "mqtt", &err);
        return false;
    }
    return true;
}

static void subscribe_all(struct flo_shell *shell)
{
    char filter[FLO_TOPIC_TEXT];

    if (common(shell, filter)) {
        flo_shell_link_subscribe_to(shell, filter);
    }
    flo_shell_link_groups(shell);
    flo_shell_link_subscribe(shell, FLO_TOPIC_CMD, shell->identity.device);
    flo_shell_link_subscribe(shell, FLO_TOPIC_DESIRED, shell->identity.device);
}

/* Subscribes again, so that the broker sends its retained messages once more.
 * If the broker lost them, the presence message makes the controller publish
 * them again. */
void flo_shell_link_ask_again(struct flo_shell *shell)
{
    if (flo_shell_orders_are_due(shell) && flo_shell_link_is_up(shell)) {
        flo_shell_orders_asked(shell);
        subscribe_all(shell);
        flo_shell_link_present(shell);
    }
}

static void on_connected(void *context, bool session_present)
{
    struct flo_shell *shell = context;

    flo_log(FLO_LOG_INFO, "mqtt", "connected to %s%s", shell->identity.broker,
            session_present ? "" : ", new session");
    flo_shell_clock_peer(shell);
    flo_renewal_connected(shell);
    flo_shell_orders_asked(shell);
    subscribe_all(shell);
    flo_shell_link_present(shell);
    flo_shell_link_reported(shell);
    flo_outbox_connected(flo_events_outbox(shell->db), flo_now_ms());
    flo_shell_link_connected(shell, session_present);
}

static void on_disconnected(void *context, const struct flo_err *err, uint64_t retry_in_ms)
{
    struct flo_shell *shell = context;

    flo_outbox_disconnected(flo_events_outbox(shell->db));
    flo_shell_clock_tell(shell);
    flo_log_err(err->code == FLO_E_MQTT_IDENTITY ? FLO_LOG_ERROR : FLO_LOG_WARN, "mqtt", err);
    flo_log(FLO_LOG_INFO, "mqtt", "error id %s, again in %llu ms", flo_error_id(err->code),
            (unsigned long long)retry_in_ms);
    if (err->code == FLO_E_MQTT_IDENTITY) {
        flo_shell_note(shell, "security", err);
    } else if (err->code == FLO_E_CERT_REFUSED) {
        flo_renewal_refused(shell);
    }
}

static void on_delivered(void *context, uint64_t token, bool was_taken, int reason)
{
    flo_shell_link_delivered(context, token, was_taken, reason);
}

static void on_refused(void *context, const char *topic, int reason)
{
    char filter[FLO_TOPIC_TEXT];
    struct flo_err err = {0};

    if (common(context, filter) && strcmp(topic, filter) == 0) {
        subscribe_each(context);
        return;
    }
    flo_fail(&err, FLO_E_MQTT_ACL, "subscription to %s refused, reason 0x%02x", topic,
             (unsigned)reason);
    flo_shell_note(context, "security", &err);
}

/* No session outlives its connection: the outbox and retained messages restore
 * what is lost.
 *
 * mosquitto 2.0.11 crashes on a reload (SIGHUP) while it has the session of an
 * absent client whose name comes from its certificate
 * (docs/decisions/packages.md). */
int flo_shell_link_open(struct flo_shell *shell, struct flo_err *err)
{
    const struct flo_identity *identity = &shell->identity;
    const struct flo_config *config = shell->settings.config;
    char will[FLO_TOPIC_TEXT];
    struct flo_mqtt_handlers handlers = {
        .context = shell,
        .on_connected = on_connected,
        .on_disconnected = on_disconnected,
        .on_message = on_message,
        .on_delivered = on_delivered,
        .on_refused = on_refused,
    };
    struct flo_mqtt_options options = {
        .url = identity->broker,
        .client_id = identity->device,
        .ca_file = identity->ca_file,
        .cert_file = identity->cert_file,
        .key_file = identity->key_file,
        .will_topic = will,
        .will_text = PRESENCE_OFF,
        .keepalive_s = (uint32_t)(flo_config_u64(config, "keepalive") / 1000),
        .retry_ms_max = flo_config_u64(config, "retry_max"),
        .queue_messages_max = QUEUE_MESSAGES_MAX,
        .payload_bytes_max = 65536,
    };

    if (!flo_shell_link_topic(shell, FLO_TOPIC_PRESENCE, identity->device, will)) {
        return flo_fail(err, FLO_E_MQTT_TOPIC, "fleet %s", identity->fleet);
    }
    flo_shell_trust_then(shell, flo_shell_link_ask_again);
    return flo_shell_link_begin(shell, &options, &handlers, err);
}
