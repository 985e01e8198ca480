/* Publisher: sends reports, events and telemetry to the controller.
 *
 * The broker's confirmation does not prove that the controller has a message.
 * Events stay in the outbox until the controller acknowledges them (cmd.ack).
 * The reported document is sent completely on every change and every
 * connection. */
#include <stdlib.h>
#include <string.h>

#include "agent/shell/queue/timers.h"
#include "agent/shell/report/memory.h"
#include "agent/shell/report/proof.h"

#define TELEMETRY_IN_FLIGHT_MAX 16
/* MQTT reason "no matching subscribers": the controller is not connected to the
 * broker. */
#define REASON_NOBODY 0x10

static void flush_telemetry(struct flo_shell *shell);

static void on_pace(evutil_socket_t fd, short events, void *context)
{
    (void)fd, (void)events;
    flush_telemetry(context);
}

int flo_shell_link_begin(struct flo_shell *shell, const struct flo_mqtt_options *options,
                         const struct flo_mqtt_handlers *handlers, struct flo_err *err)
{
    struct event **next = &shell->report->telemetry_next; /* a try that failed leaves one */
    if (*next == NULL && (*next = evtimer_new(shell->base, on_pace, shell)) == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "timer");
    }
    return flo_mqtt_open(shell->base, options, handlers, &shell->report->mqtt, err);
}

void flo_shell_link_end(struct flo_shell *shell, const char *text)
{
    if (shell->report->mqtt != NULL) {
        flo_mqtt_close(shell->report->mqtt, text);
        shell->report->mqtt = NULL;
    }
    if (shell->report->telemetry_next != NULL) {
        event_free(shell->report->telemetry_next);
        shell->report->telemetry_next = NULL;
    }
}

int flo_shell_link_use(struct flo_shell *shell, const char *cert_file, const char *key_file,
                       bool at_once, struct flo_err *err)
{
    return flo_mqtt_use(shell->report->mqtt, cert_file, key_file, at_once, err);
}

void flo_shell_link_spread(struct flo_shell *shell, uint64_t ms)
{
    flo_mqtt_spread(shell->report->mqtt, ms);
}

bool flo_shell_link_is_up(const struct flo_shell *shell)
{
    return flo_mqtt_is_connected(shell->report->mqtt);
}

bool flo_shell_link_topic(const struct flo_shell *shell, enum flo_topic topic, const char *key,
                          char *out)
{
    struct flo_err err = {0};

    if (flo_topic_build(topic, shell->identity.fleet, key, out, &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "mqtt", &err);
        return false;
    }
    return true;
}

static bool publish(struct flo_shell *shell, enum flo_topic topic, const char *text, size_t bytes,
                    uint64_t token)
{
    const struct flo_topic_fact *fact = flo_topic_fact(topic);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) proved = {0};
    char path[FLO_TOPIC_TEXT];
    struct flo_err err = {0};

    if (!flo_shell_link_is_up(shell) ||
        !flo_shell_link_topic(shell, topic, shell->identity.device, path)) {
        return false;
    }
    if (flo_shell_prove(shell, path, text, bytes, &proved)) {
        text = proved.data;
        bytes = proved.bytes;
    }
    if (flo_mqtt_publish(shell->report->mqtt, path, text, bytes, fact->qos, fact->is_retained, 0,
                         token, &err) < 0) {
        flo_log_err(FLO_LOG_DEBUG, "mqtt", &err);
        return false;
    }
    return true;
}

void flo_shell_link_reported(struct flo_shell *shell)
{
    struct flo_buf text = {0};
    json_t *json;

    if (!flo_shell_link_is_up(shell)) {
        return;
    }
    json = flo_report_reported(shell);
    if (json == NULL) {
        return;
    }
    flo_json_dump(json, &text);
    json_decref(json);
    if (!text.failed && publish(shell, FLO_TOPIC_REPORTED, text.data, text.bytes, 0)) {
        flo_witness_told(shell);
    }
    flo_buf_deinit(&text);
}

void flo_shell_link_subscribe_to(struct flo_shell *shell, const char *filter)
{
    struct flo_err err = {0};

    if (flo_mqtt_subscribe(shell->report->mqtt, filter, 1, &err) < 0) {
        flo_log_err(FLO_LOG_WARN, "mqtt", &err);
    }
}

void flo_shell_link_subscribe(struct flo_shell *shell, enum flo_topic topic, const char *key)
{
    char path[FLO_TOPIC_TEXT];

    if (flo_shell_link_is_up(shell) && flo_shell_link_topic(shell, topic, key, path)) {
        flo_shell_link_subscribe_to(shell, path);
    }
}

/* Subscribes to the orders of the device's groups; those of the group `all`
 * come on c/order.  Orders of a group that the device has left may still arrive
 * until the session ends, and are then out of scope. */
void flo_shell_link_groups(struct flo_shell *shell)
{
    size_t count;
    const char(*groups)[FLO_NAME_MAX + 1] = flo_shell_groups(shell, &count);

    for (size_t i = 0; i < count; i++) {
        if (strcmp(groups[i], "all") != 0) {
            flo_shell_link_subscribe(shell, FLO_TOPIC_ORDER, groups[i]);
        }
    }
}

void flo_shell_link_present(struct flo_shell *shell)
{
    static const char text[] = "{\"v\":1,\"online\":true}";

    publish(shell, FLO_TOPIC_PRESENCE, text, strlen(text), 0);
}

bool flo_shell_link_ack(struct flo_shell *shell, const char *text)
{
    return publish(shell, FLO_TOPIC_ACK, text, strlen(text), 0);
}

void flo_shell_link_flush_events(struct flo_shell *shell)
{
    struct flo_outbox *outbox = flo_events_outbox(shell->db);
    uint64_t now = flo_now_ms();
    uint64_t sequence;

    while ((sequence = flo_outbox_next(outbox, now)) != 0) {
        char *text = flo_events_text(shell->db, sequence);
        bool is_sent = text != NULL && publish(shell, FLO_TOPIC_EVENT, text, strlen(text), 0);
        free(text);
        if (!is_sent) {
            return;
        }
        flo_outbox_sent(outbox, sequence, now);
    }
}

/* Sends windows as fast as the controller takes them.  After an outage many wait,
 * and the controller drops what comes faster. */
static void flush_telemetry(struct flo_shell *shell)
{
    struct flo_shell_report *own = shell->report;

    while (own->telemetry_in_flight < TELEMETRY_IN_FLIGHT_MAX && flo_shell_link_is_up(shell)) {
        struct flo_telemetry_pace pace = own->telemetry_pace;
        uint64_t wait_ms = flo_telemetry_pace(&pace, FLO_TELEMETRY_SENT_BURST,
                                              FLO_TELEMETRY_SENT_EACH_MS, flo_now_ms());
        if (wait_ms > 0) {
            flo_shell_later(own->telemetry_next, (unsigned)wait_ms);
            return;
        }
        uint64_t id = 0;
        char *text = flo_outbox_windows_next(shell->db, &id);
        bool is_sent = text != NULL && publish(shell, FLO_TOPIC_TELE, text, strlen(text), id);

        if (text != NULL && !is_sent) {
            flo_outbox_windows_done(shell->db, id, false);
        }
        free(text);
        if (!is_sent) {
            return;
        }
        own->telemetry_in_flight++;
        own->telemetry_pace = pace;
    }
}

void flo_shell_link_flush(struct flo_shell *shell)
{
    if (flo_shell_link_is_up(shell)) {
        flo_shell_link_flush_events(shell);
        flush_telemetry(shell);
    }
}

void flo_shell_link_connected(struct flo_shell *shell, bool session_present)
{
    shell->report->telemetry_is_refused = false;
    if (!session_present) {
        shell->report->telemetry_in_flight = 0;
        flo_outbox_windows_again(shell->db);
    }
    flo_shell_link_flush(shell);
}

void flo_shell_link_delivered(struct flo_shell *shell, uint64_t token, bool was_taken, int reason)
{
    bool delivered = was_taken && reason != REASON_NOBODY;

    if (shell->report->telemetry_in_flight > 0) {
        shell->report->telemetry_in_flight--;
    }
    flo_outbox_windows_done(shell->db, token, delivered);
    if (delivered) {
        flush_telemetry(shell);
    } else if (reason >= REASON_NOBODY && !shell->report->telemetry_is_refused) {
        /* A refused telemetry window is not sent again at once, because the
         * broker would refuse it again. */
        shell->report->telemetry_is_refused = true;
        flo_log(reason == REASON_NOBODY ? FLO_LOG_INFO : FLO_LOG_WARN, "mqtt",
                "telemetry %s, reason 0x%02x: it waits for the next heartbeat",
                reason == REASON_NOBODY ? "heard by nobody" : "refused", (unsigned)reason);
    }
}

void flo_shell_link_refused(struct flo_shell *shell)
{
    shell->report->messages_refused++;
}

void flo_shell_link_heard(struct flo_shell *shell, uint64_t rev)
{
    if (rev != shell->report->rev) {
        shell->report->rev = rev;
        flo_shell_link_reported(shell);
    }
}
