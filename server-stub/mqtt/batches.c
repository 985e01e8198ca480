/* Batches: the queue between MQTT and the store, subscriptions, and the audit's
 * checkpoint. */
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include <flotilla/plural.h>

#include "base/host/mqtt_queue.h"

#include "server-stub/mqtt/batches.h"
#include "server-stub/mqtt/ingest.h"
#include "server-stub/mqtt/proved.h"
#include "server-stub/mqtt/publisher.h"
#include "server-stub/state/audit/head.h"
#include "server-stub/state/orders/orders.h"
#include "server-stub/state/pki/pki.h"
#include "server-stub/state/proofs/proofs.h"
#include "server-stub/state/rollouts/rollouts.h"
#include "server-stub/state/trust/newest.h"

#define BATCH_MS 20
#define RUSH 64 /* A batch with this many answers means that a whole fleet answers an order. */
/* Time between two batches while a whole fleet answers.  Longer batches write
 * each page of the database only once. */
#define RUSH_MS 100
#define AUDIT_MS 300000 /* shortest time between two messages with a newer line of the audit */
/* Time without a dropped message after which the controller asks devices again
 * for what was dropped. */
#define HEAL_MS 5000
/* Time in which the broker's emergency orders arrive, before the controller's
 * replace them. */
#define EMERGENCY_MS 1000
/* Longest time that one batch may take, because people's requests wait
 * meanwhile. */
#define BATCH_TURN_MS 20
#define QUEUE_MESSAGES_MAX 200000
/* largest number of queued messages of a device; an agent sends far fewer
 * without an acknowledgement */
#define QUEUE_DEVICE_MAX 256

struct queued {
    struct queued *next;
    char *topic;
    size_t bytes;
    bool retained;
    char data[];
};

/* A queue of messages in the order of their arrival.  An answer must not
 * overtake its device's events, or an execution would end with the wrong
 * result.  An answer whose device has no other message queued goes before the
 * messages of all other devices, because orders are urgent. */
struct line {
    struct queued *first;
    struct queued **last;
};
enum { ANSWERS, OTHERS, LINES };

struct flo_batches {
    struct flo_controller *controller;
    struct flo_mqtt *mqtt;
    struct flo_publisher *publisher;
    struct flo_ingest ingest;
    struct event *batch;
    struct line lines[LINES];
    uint64_t pause_ms;         /* pause until the next batch is written */
    struct flo_mqtt_room room; /* room that both queues share */
    uint64_t batches;          /* since the start */
    uint64_t refused;          /* number of messages that were dropped because there was no room */
    uint64_t dropped_before;   /* number of dropped messages at the last check */
    /* time at which dropped messages are recovered; 0: none was dropped
     * since */
    uint64_t heal_at_ms;
    bool is_external;         /* the broker is external, and telemetry arrives here, too */
    bool listens;             /* the controller has subscribed since it connected */
    uint64_t emergency_at_ms; /* time at which emergency orders are sent; 0: they were sent */
    uint64_t mark;
    char audit[FLO_AUDIT_LINE_TEXT + 48]; /* members of the mark that say the newest audit line */
    uint64_t told, told_at_ms;            /* number of the newest audit line that was sent
                                             to devices, and the time of sending */
};

/* ---- batches ---- */

static void lines_init(struct flo_batches *batches, size_t messages_max)
{
    for (size_t i = 0; i < LINES; i++) {
        batches->lines[i].last = &batches->lines[i].first;
    }
    batches->room.messages_max = messages_max;
    batches->pause_ms = BATCH_MS;
    batches->room.sender_max = QUEUE_DEVICE_MAX;
}

static bool is_empty(const struct flo_batches *batches)
{
    return batches->lines[ANSWERS].first == NULL && batches->lines[OTHERS].first == NULL;
}

static void remove_at(struct flo_batches *batches, struct line *line, struct queued **at)
{
    struct queued *message = *at;

    *at = message->next;
    if (line->last == &message->next) {
        line->last = at;
    }
    flo_mqtt_room_leave(&batches->room, message->topic, message->bytes);
    free(message->topic);
    free(message);
}

/* Removes the first `count` messages of a queue. */
static void remove_some(struct flo_batches *batches, struct line *line, size_t count)
{
    while (count-- > 0 && line->first != NULL) {
        remove_at(batches, line, &line->first);
    }
}

static void plan(struct flo_batches *batches, uint64_t ms)
{
    struct timeval in = {.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};

    if (!event_pending(batches->batch, EV_TIMEOUT, NULL)) {
        event_add(batches->batch, &in);
    }
}

static int write_line(struct flo_batches *batches, const struct line *line, uint64_t until_ms,
                      size_t *taken, struct flo_err *err)
{
    int rv = 0;

    for (struct queued *message = line->first;
         message != NULL && rv == 0 && (*taken == 0 || flo_now_ms() < until_ms);
         message = message->next) {
        rv = flo_ingest(&batches->ingest, message->topic, message->data, message->bytes,
                        message->retained, err);
        ++*taken;
    }
    return rv;
}

/* Writes as many messages as fit into BATCH_TURN_MS, in one transaction.  The
 * messages stay queued until the commit; if the store fails they are tried
 * again. */
static int write_batch(struct flo_batches *batches, size_t taken[LINES], struct flo_err *err)
{
    struct flo_controller *controller = batches->controller;
    uint64_t until_ms = flo_now_ms() + BATCH_TURN_MS;
    size_t proofs = 0;
    int rv = flo_controller_begin(controller, err);

    for (size_t i = 0; i < LINES && rv == 0; i++) {
        if (i == ANSWERS || flo_now_ms() < until_ms) {
            rv = write_line(batches, &batches->lines[i], until_ms, &taken[i], err);
        }
    }
    if (rv == 0) {
        rv = flo_proofs_write_batch(controller, &proofs, err);
    }
    batches->batches += rv == 0;
    rv = flo_controller_end(controller, rv, err);
    flo_proofs_settle(controller->proofs, proofs, rv == 0);
    return rv;
}

/* Drops a message that cannot be processed, so that it does not block later
 * ones. */
static void drop_last(struct flo_batches *batches, struct line *line, size_t taken)
{
    struct queued **at = &line->first;

    for (size_t i = 1; i < taken && *at != NULL; i++) {
        at = &(*at)->next;
    }
    if (*at == NULL) {
        return;
    }
    flo_log(FLO_LOG_ERROR, "mqtt", "dropped a message on %.120s", (*at)->topic);
    batches->ingest.dropped++;
    remove_at(batches, line, at);
}

static void on_batch(evutil_socket_t fd, short what, void *context)
{
    struct flo_batches *batches = context;
    struct flo_err err = {0};
    size_t taken[LINES] = {0};

    (void)fd, (void)what;
    if (is_empty(batches)) {
        return;
    }
    if (write_batch(batches, taken, &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "mqtt", &err);
        if (err.code == FLO_E_INTERNAL) {
            size_t last = taken[OTHERS] > 0 ? OTHERS : ANSWERS;
            drop_last(batches, &batches->lines[last], taken[last]);
        }
        plan(batches, err.code == FLO_E_INTERNAL ? 0 : 1000);
        return;
    }
    for (size_t i = 0; i < LINES; i++) {
        remove_some(batches, &batches->lines[i], taken[i]);
    }
    batches->pause_ms = taken[ANSWERS] >= RUSH ? RUSH_MS : BATCH_MS;
    if (!is_empty(batches)) {
        plan(batches, 0);
    }
}

/* Copies `bytes` bytes of a message.  If a proof is cut off at the end, a brace
 * takes its place. */
static struct queued *queued_copy(const struct flo_mqtt_message *message, size_t bytes,
                                  bool is_retained)
{
    struct queued *copy = malloc(sizeof(*copy) + bytes + 1);
    char *topic = strdup(message->topic);

    if (copy == NULL || topic == NULL) {
        free(copy);
        free(topic);
        return NULL;
    }
    copy->next = NULL;
    copy->topic = topic;
    copy->bytes = bytes;
    copy->retained = is_retained;
    memcpy(copy->data, message->data, bytes);
    if (bytes < message->bytes) {
        copy->data[bytes - 1] = '}';
    }
    copy->data[bytes] = '\0';
    return copy;
}

/* Tells whether a topic's name ends with the word of this topic. */
static bool is_of_topic(const char *name, enum flo_topic topic)
{
    const char *word = strrchr(name, '/');

    return word != NULL && strcmp(word, strrchr(flo_topic_fact(topic)->path, '/')) == 0;
}

void flo_batches_take(void *context, const struct flo_mqtt_message *message)
{
    struct flo_batches *batches = context;
    size_t bytes = message->bytes;
    bool is_retained = message->retained;
    struct flo_err why = {0};

    if (is_of_topic(message->topic, FLO_TOPIC_TELE)) {
        flo_lane_feed(batches->controller->lane, message);
        return;
    }
    /* The proof is checked before the message is queued, so that strangers take
     * no room in the queue. */
    int rv = flo_proved_look(batches->controller, message, &bytes, &is_retained, &why);
    if (rv < 0) {
        flo_ingest_dropped(&batches->ingest, message->topic, &why);
    }
    if (rv != 0) {
        return;
    }
    bool is_first = flo_mqtt_room_waiting(&batches->room, message->topic) == 0;
    if (!flo_mqtt_room_enter(&batches->room, message->topic, bytes)) {
        batches->refused++;
        flo_fail(&why, FLO_E_REST_LIMIT, "too many of it wait");
        flo_ingest_dropped(&batches->ingest, message->topic, &why);
        return;
    }
    struct queued *copy = queued_copy(message, bytes, is_retained);
    if (copy == NULL) {
        flo_mqtt_room_leave(&batches->room, message->topic, bytes);
        batches->ingest.dropped++;
        return;
    }
    struct line *line =
        &batches->lines[is_first && is_of_topic(message->topic, FLO_TOPIC_ACK) ? ANSWERS : OTHERS];
    *line->last = copy;
    line->last = &copy->next;
    plan(batches, batches->pause_ms);
}

/* ---- connection ---- */

static int subscribe(struct flo_batches *batches, struct flo_err *err)
{
    char filter[FLO_TOPIC_TEXT];

    for (int i = 0; i < FLO_TOPIC_COUNT; i++) {
        const struct flo_topic_fact *fact = flo_topic_fact((enum flo_topic)i);
        if ((!fact->is_device_writing && i != FLO_TOPIC_EMERGENCY) ||
            (i == FLO_TOPIC_TELE && !batches->is_external)) {
            continue;
        }
        FLO_TRY(flo_topic_build((enum flo_topic)i, batches->controller->fleet, "+", filter, err));
        FLO_TRY(flo_mqtt_subscribe(batches->mqtt, filter, 1, err));
    }
    return 0;
}

/* Catches up after a new subscription to the devices' messages.  A connected
 * device reports again by its retained presence, or when asked for its report
 * (options.broker_forgets).  The time without a subscription does not count as
 * silence of devices.  Orders that may have expired meanwhile are signed again
 * before any is sent. */
static int listen_again(struct flo_controller *controller, struct flo_err *err)
{
    FLO_TRY(flo_controller_begin(controller, err));
    flo_proofs_again(controller->proofs);
    int rv = flo_fleet_devices_offline(controller->store, err);
    if (rv == 0) {
        rv = flo_rollouts_step_all(
            controller, (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_LISTENING}, err);
    }
    if (rv == 0) {
        rv = flo_orders_renew(controller, err);
    }
    return flo_controller_end(controller, rv, err);
}

/* Tells whether the mark may get a newer signed line of the audit.  Each device
 * keeps it, so there is a shortest pause between two of them. */
static bool has_audit_news(const struct flo_batches *batches)
{
    return flo_audit_head_line(batches->controller)[0] != '\0' &&
           flo_audit_head_newest(batches->controller).number > batches->told &&
           (batches->told == 0 || flo_now_ms() - batches->told_at_ms >= AUDIT_MS);
}

/* Publishes the mark: the controller was here, the newest statement, and a
 * signed line of the audit. */
static void publish_mark(void *context)
{
    struct flo_batches *batches = context;
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};
    struct flo_err err = {0};

    batches->mark++;
    if (has_audit_news(batches)) {
        snprintf(batches->audit, sizeof(batches->audit), ",\"audit\":\"%s\",\"audit_from\":%llu",
                 flo_audit_head_line(batches->controller),
                 (unsigned long long)flo_audit_head_from_ms(batches->controller));
        batches->told = flo_audit_head_newest(batches->controller).number;
        batches->told_at_ms = flo_now_ms();
    }
    if (flo_newests_sign(batches->controller, &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "newest", &err);
    }
    flo_buf_printf(&text, "{\"v\":1,\"epoch\":1,\"boot\":\"%s\",\"n\":%llu,\"all\":true%s",
                   batches->controller->boot, (unsigned long long)batches->mark, batches->audit);
    (void)flo_newests_add(batches->controller->newests, true, NULL, &text);
    flo_buf_text(&text, "}");
    if (!text.failed) {
        flo_publisher_send(batches->publisher, FLO_TOPIC_MARK, "", text.data, text.bytes);
    }
}

/* Publishes the mark again when a newest statement is due, or a line of the
 * audit. */
static void tell_newest(struct flo_batches *batches)
{
    if (flo_newests_are_due(batches->controller) || has_audit_news(batches)) {
        publish_mark(batches);
    }
}

/* Subscribes to the devices' messages and catches up with what was missed.  If
 * one of the two fails, both are repeated later: otherwise the time without a
 * subscription would count as silence of devices.  Orders are only sent after
 * this, so that their answers arrive. */
static void listen_to_devices(struct flo_batches *batches)
{
    struct flo_err err = {0};
    int subscribed = subscribe(batches, &err);

    if (subscribed < 0) {
        flo_log_err(FLO_LOG_ERROR, "mqtt", &err);
    }
    int listened = listen_again(batches->controller, &err);
    if (listened < 0) {
        flo_log_err(FLO_LOG_ERROR, "mqtt", &err);
    }
    batches->listens = subscribed == 0 && listened == 0;
    if (batches->listens) {
        batches->emergency_at_ms = flo_now_ms() + EMERGENCY_MS;
        flo_publisher_send_all(batches->publisher, publish_mark, batches);
    }
}

/* Tells whether an emergency order that the broker sent waits in the queue. */
static bool has_emergency(const struct flo_batches *batches)
{
    char topic[FLO_TOPIC_TEXT];

    return flo_topic_build(FLO_TOPIC_EMERGENCY, batches->controller->fleet, "", topic, NULL) == 0 &&
           flo_mqtt_room_waiting(&batches->room, topic) > 0;
}

/* Sends the emergency orders after a connection.  The topic keeps one message,
 * which may have an order that came while the controller was away.  That order
 * is stored first: otherwise a controller that ends in between would lose the
 * order. */
static void tell_emergency(struct flo_batches *batches)
{
    if (batches->emergency_at_ms != 0 && flo_now_ms() >= batches->emergency_at_ms &&
        !has_emergency(batches)) {
        batches->emergency_at_ms = 0;
        flo_publisher_send_emergency(batches->publisher);
    }
}

bool flo_batches_listens(const struct flo_batches *batches)
{
    return batches->listens && flo_mqtt_is_connected(batches->mqtt);
}

/* Recovers dropped messages once there is room again.  Presence messages and
 * reports are retained by the broker, or are requested from devices.  A report
 * shows which answer is missing. */
static void heal(struct flo_batches *batches)
{
    uint64_t dropped = batches->refused + flo_mqtt_dropped(batches->mqtt);
    struct flo_err err = {0};

    if (dropped != batches->dropped_before) {
        batches->dropped_before = dropped;
        batches->heal_at_ms = flo_now_ms() + HEAL_MS;
    }
    if (batches->heal_at_ms == 0 || flo_now_ms() < batches->heal_at_ms || !is_empty(batches)) {
        return;
    }
    batches->heal_at_ms = 0;
    flo_log(FLO_LOG_WARN, "mqtt",
            "%llu message%s had no room so far: devices' states are read again",
            (unsigned long long)dropped, flo_s(dropped));
    if (batches->controller->options.broker_forgets) {
        /* After the next subscription all devices are asked for their
         * reports. */
        batches->listens = false;
    } else if (subscribe(batches, &err) < 0 || listen_again(batches->controller, &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "mqtt", &err);
        batches->heal_at_ms = flo_now_ms() + HEAL_MS;
    }
}

void flo_batches_tick(struct flo_batches *batches)
{
    flo_publisher_tick(batches->publisher);
    if (!flo_controller_may_act(batches->controller)) {
        return;
    }
    if (flo_publisher_skipped(batches->publisher)) {
        batches->listens = false;
    }
    if (!batches->listens && flo_mqtt_is_connected(batches->mqtt)) {
        listen_to_devices(batches);
    } else if (flo_batches_listens(batches)) {
        tell_emergency(batches);
        heal(batches);
        tell_newest(batches);
    }
}

/* Tells whether this controller may connect to the broker.  All leaders use one
 * name there, and a connection ends the former leader's.  A former leader must
 * not end the connection of the next one. */
static bool may_connect(void *context)
{
    const struct flo_batches *batches = context;

    return flo_controller_may_act(batches->controller);
}

static void on_connected(void *context, bool session_present)
{
    struct flo_batches *batches = context;
    struct flo_controller *controller = batches->controller;

    (void)session_present;
    flo_log(FLO_LOG_INFO, "mqtt", "connected to %s", controller->addresses.mqtt_own);
    if (flo_controller_may_act(controller)) {
        listen_to_devices(batches);
    }
}

static void on_disconnected(void *context, const struct flo_err *err, uint64_t retry_in_ms)
{
    struct flo_batches *batches = context;

    batches->listens = false;
    flo_log(FLO_LOG_WARN, "mqtt", "no broker: %s (again in %llu ms)", err->what,
            (unsigned long long)retry_in_ms);
}

static void on_refused(void *context, const char *topic, int reason)
{
    (void)context;
    flo_log(FLO_LOG_ERROR, "mqtt", "the broker refused %s with 0x%02x", topic, (unsigned)reason);
}

int flo_batches_open(struct flo_controller *controller, struct event_base *base,
                     struct flo_broker *broker_or_null, struct flo_batches **out,
                     struct flo_err *err)
{
    struct flo_batches *batches = calloc(1, sizeof(*batches));

    if (batches == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "mqtt");
    }
    batches->controller = controller;
    batches->ingest.controller = controller;
    batches->is_external = broker_or_null == NULL;
    lines_init(batches, QUEUE_MESSAGES_MAX);
    *out = batches;
    batches->batch = event_new(base, -1, 0, on_batch, batches);
    if (batches->batch == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "mqtt");
    }
    FLO_TRY(flo_publisher_open(controller, base, broker_or_null, &batches->publisher, err));
    struct flo_mqtt_options options = {
        .url = controller->addresses.mqtt_own,
        .client_id = "controller",
        .ca_file = flo_pki_files(controller->pki)->ca_file,
        .cert_file = flo_pki_files(controller->pki)->mqtt_cert_file,
        .key_file = flo_pki_files(controller->pki)->mqtt_key_file,
        .keepalive_s = 30,
        .retry_ms_min = 100,
        .retry_ms_max = 5000,
        .queue_messages_max = QUEUE_MESSAGES_MAX,
        .queue_sender_max = QUEUE_DEVICE_MAX,
        .queue_apart = strrchr(flo_topic_fact(FLO_TOPIC_TELE)->path, '/') + 1,
    };
    struct flo_mqtt_handlers handlers = {
        .context = batches,
        .may_connect = may_connect,
        .on_connected = on_connected,
        .on_disconnected = on_disconnected,
        .on_message = flo_batches_take,
        .on_refused = on_refused,
    };
    int rv = flo_mqtt_open(base, &options, &handlers, &batches->mqtt, err);
    flo_publisher_connect(batches->publisher, batches->mqtt);
    return rv;
}

struct flo_batches_counters flo_batches_count(const struct flo_batches *batches)
{
    return (struct flo_batches_counters){.messages = batches->ingest.messages,
                                         .dropped = batches->ingest.dropped +
                                                    flo_mqtt_dropped(batches->mqtt),
                                         .batches = batches->batches,
                                         .is_connected = flo_mqtt_is_connected(batches->mqtt)};
}

void flo_batches_close(struct flo_batches *batches)
{
    if (batches == NULL) {
        return;
    }
    flo_publisher_close(batches->publisher);
    if (batches->mqtt != NULL) {
        flo_mqtt_close(batches->mqtt, NULL);
    }
    for (size_t i = 0; i < LINES; i++) {
        remove_some(batches, &batches->lines[i], SIZE_MAX);
    }
    if (batches->batch != NULL) {
        event_free(batches->batch);
    }
    free(batches);
}
