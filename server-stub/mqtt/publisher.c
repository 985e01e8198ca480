/* Publisher: sends documents, acknowledgements and lists, and limits the pace
 * of desired documents. */
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include <flotilla/errors/device.h>

#include "server-stub/core/timers.h"
#include "server-stub/mqtt/broker/broker.h"
#include "server-stub/mqtt/held.h"
#include "server-stub/mqtt/publisher.h"
#include "server-stub/state/devices/twins.h"
#include "server-stub/state/orders/orders.h"
#include "server-stub/state/outgoing.h"
#include "server-stub/state/pki/pki.h"
#include "server-stub/state/proofs/proofs.h"
#include "server-stub/state/text_list.h"
#include "server-stub/state/trust/newest.h"
#include "server-stub/state/trust/trust.h"
#include "server-stub/store/fleet.h"

#define PIECE_MS 5
/* number of postponed desired documents that are sent before each pause */
#define QUIET_PIECE 5
#define QUIET_MS 20
#define QUIET_AGAIN_MS 1000 /* without a broker */
/* a commit with this many acknowledgements makes them wait, so that they can be
 * merged */
#define ACKS_RUSH 64
/* time for which acknowledgements wait to be merged; a later one to the same
 * device replaces an earlier one */
#define ACKS_MS 1000
/* largest text of a statement; a packet holds 65536 bytes, with its topic */
#define TRUST_BYTES_MAX 64512

/* Queue of devices whose desired documents are still to be sent. */
struct spread {
    struct event *event;
    struct flo_text_list devices;
    size_t next;
    uint64_t begin_ms;
    bool asks; /* each of these devices is also asked for a report */
    void (*then)(void *context);
    void *then_context;
};

/* Queue of devices whose desired documents can wait until the fleet has
 * answered. */
struct quiet {
    struct event *event;
    struct flo_text_list devices;
    size_t next;
    uint64_t due_ms; /* 0: none wait */
};

struct flo_publisher {
    struct flo_controller *controller;
    struct flo_mqtt *mqtt;     /* connection to the broker; NULL: not connected yet */
    struct flo_broker *broker; /* NULL: external */
    bool is_due;               /* the broker's files must be written again */
    bool is_restart_due;       /* the broker has to be restarted */
    bool has_skipped;          /* a message was not sent, because another controller may lead now */
    struct spread spread;
    struct quiet quiet;
    struct flo_acks acks; /* acknowledgements that wait to be merged */
    struct event *acks_event;
    struct flo_held_messages held;
};

static void send_now(struct flo_publisher *publisher, enum flo_topic topic, const char *key,
                     const void *data, size_t bytes)
{
    const struct flo_topic_fact *fact = flo_topic_fact(topic);
    char name[FLO_TOPIC_TEXT];
    struct flo_err err = {0};

    if (publisher->mqtt == NULL || !flo_mqtt_is_connected(publisher->mqtt)) {
        return;
    }
    if (!flo_controller_may_act(publisher->controller)) {
        publisher->has_skipped = true;
        return;
    }
    if (flo_topic_build(topic, publisher->controller->fleet, key, name, &err) < 0 ||
        flo_mqtt_publish(publisher->mqtt, name, data, bytes, fact->qos,
                         fact->is_retained && !publisher->controller->options.broker_forgets, 0, 0,
                         &err) < 0) {
        flo_log_err(FLO_LOG_WARN, "mqtt", &err);
    }
}

/* Sends a message that was made from the present state of the store.  The
 * message is sent once that state is durable, and never before an older
 * message. */
void flo_publisher_send(struct flo_publisher *publisher, enum flo_topic topic, const char *key,
                        const void *data, size_t bytes)
{
    struct flo_fleet_store *store = publisher->controller->store;
    uint64_t number = flo_fleet_committed(store);

    if (publisher->mqtt == NULL || !flo_mqtt_is_connected(publisher->mqtt)) {
        return;
    }
    if (publisher->held.first == NULL && flo_fleet_durable(store, NULL) >= number) {
        send_now(publisher, topic, key, data, bytes);
    } else if (!flo_held_add(&publisher->held, number, topic, key, data, bytes)) {
        flo_log(FLO_LOG_ERROR, "mqtt", "no memory for a message to %s", key);
    }
}

static void on_durable(void *context, uint64_t number, const struct flo_err *failed)
{
    struct flo_publisher *publisher = context;
    struct flo_held_message *message;

    (void)failed; /* messages keep waiting */
    while ((message = flo_held_take(&publisher->held, number)) != NULL) {
        send_now(publisher, message->topic, message->key, message->data, message->bytes);
        free(message);
    }
}

/* ---- accounts ---- */

static void send_account(struct flo_publisher *publisher, const struct flo_buf *text)
{
    struct flo_err err = {0};

    if (text->failed || publisher->mqtt == NULL || !flo_mqtt_is_connected(publisher->mqtt) ||
        !flo_controller_may_act(publisher->controller)) {
        return; /* Without a connection nothing is lost: everything is sent at the next one. */
    }
    if (flo_mqtt_publish(publisher->mqtt, FLO_BROKER_ACCOUNTS, text->data, text->bytes, 1, false, 0,
                         0, &err) < 0) {
        flo_log_err(FLO_LOG_WARN, "mqtt", &err);
    }
}

static void make_account(struct flo_publisher *publisher, const char *device)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};

    if (publisher->controller->options.has_accounts) {
        flo_broker_account_text(publisher->controller->fleet, device, &text);
        send_account(publisher, &text);
    }
}

static void end_account(struct flo_publisher *publisher, const char *device)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};

    if (publisher->controller->options.has_accounts) {
        flo_broker_account_gone_text(device, &text);
        send_account(publisher, &text);
    }
}

/* ---- documents ---- */

/* Sends a device its path to the root of the newest statement, and from a broker
 * that keeps no messages the statement too. */
static void send_path(struct flo_publisher *publisher, const char *device)
{
    const struct flo_controller *controller = publisher->controller;
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};

    flo_buf_text(&text, "{\"v\":1");
    bool has_path =
        flo_newests_add(controller->newests, controller->options.broker_forgets, device, &text);
    flo_buf_text(&text, "}");
    if (has_path && !text.failed) {
        flo_publisher_send(publisher, FLO_TOPIC_CMD, device, text.data, text.bytes);
    }
}

static void send_desired(struct flo_publisher *publisher, const char *device)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    struct flo_err err = {0};

    if (flo_orders_desired_text(publisher->controller, device, &text, &err) < 0) {
        if (err.code != FLO_E_DEVICE_ABSENT) {
            flo_log_err(FLO_LOG_WARN, "desired", &err);
        }
        return;
    }
    /* The account is made first, because the device needs it before its first
     * message. */
    make_account(publisher, device);
    if (flo_newests_owes(publisher->controller->newests, device)) {
        text.bytes--; /* the brace that ends the object */
        (void)flo_newests_add(publisher->controller->newests, false, device, &text);
        flo_buf_text(&text, "}");
    }
    flo_publisher_send(publisher, FLO_TOPIC_DESIRED, device, text.data, text.bytes);
    if (flo_newests_told(publisher->controller->newests, device, text.data, text.bytes)) {
        send_path(publisher, device);
    }
}

static void send_group(struct flo_publisher *publisher, const char *group)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    struct flo_err err = {0};

    if (flo_orders_group_text(publisher->controller, group, &text, &err) < 0) {
        flo_log_err(FLO_LOG_WARN, "orders", &err);
        return;
    }
    flo_publisher_send(publisher, FLO_TOPIC_ORDER, group, text.data, text.bytes);
    if (strcmp(group, "all") == 0) {
        flo_publisher_send(publisher, FLO_TOPIC_ORDER_ALL, "", text.data, text.bytes);
    }
}

/* Builds the text of the trust message.  Returns false if there is no statement
 * to publish. */
static bool trust_text(struct flo_publisher *publisher, struct flo_buf *text)
{
    struct flo_controller *controller = publisher->controller;
    struct flo_err err = {0};

    if (!flo_trust_is_signed(controller->trust)) {
        return false;
    }
    if (flo_trust_statements_text(controller, 0, true, TRUST_BYTES_MAX, text, &err) < 0) {
        flo_log_err(FLO_LOG_WARN, "trust", &err);
        return false;
    }
    return true;
}

static void send_trust(struct flo_publisher *publisher)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};

    if (trust_text(publisher, &text)) {
        flo_publisher_send(publisher, FLO_TOPIC_TRUST, "", text.data, text.bytes);
    }
}

static bool emergency_text(struct flo_publisher *publisher, struct flo_buf *text)
{
    struct flo_err err = {0};
    size_t count = 0;

    if (flo_emergency_text(publisher->controller, text, &count, &err) < 0) {
        flo_log_err(FLO_LOG_WARN, "orders", &err);
        return false;
    }
    return count > 0;
}

void flo_publisher_send_emergency(struct flo_publisher *publisher)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};

    if (emergency_text(publisher, &text)) {
        flo_publisher_send(publisher, FLO_TOPIC_EMERGENCY, "", text.data, text.bytes);
    }
}

static void send_ack(struct flo_publisher *publisher, const struct flo_ack *ack)
{
    char text[128];

    snprintf(text, sizeof(text), "{\"v\":1,\"boot\":\"%s\",\"ack\":%llu}", ack->boot,
             (unsigned long long)ack->sequence);
    flo_publisher_send(publisher, FLO_TOPIC_CMD, ack->device, text, strlen(text));
}

static void on_acks(evutil_socket_t fd, short what, void *context)
{
    struct flo_publisher *publisher = context;
    struct flo_acks *acks = &publisher->acks;

    (void)fd, (void)what;
    flo_acks_newest(acks);
    for (size_t i = 0; i < acks->count; i++) {
        send_ack(publisher, &acks->items[i]);
    }
    free(acks->items);
    *acks = (struct flo_acks){0};
}

/* Sends acknowledgements.  When many devices send events at once, most of them
 * send more soon.  So acknowledgements are then delayed and merged. */
static void send_acks(struct flo_publisher *publisher, const struct flo_acks *acks)
{
    static const struct timeval in = {.tv_sec = ACKS_MS / 1000};
    bool is_rush = acks->count >= ACKS_RUSH;

    for (size_t i = 0; i < acks->count; i++) {
        if (!is_rush || !flo_acks_add(&publisher->acks, &acks->items[i])) {
            send_ack(publisher, &acks->items[i]);
        }
    }
    if (publisher->acks.count > 0 && !event_pending(publisher->acks_event, EV_TIMEOUT, NULL)) {
        event_add(publisher->acks_event, &in);
    }
}

/* Messages that ask a device without an order.  A device renews its
 * certificate, because its clock may have stopped or there is a newer
 * authority. */
#define REPORT "{\"v\":1,\"op\":\"report\"}"

static void ask_for(struct flo_publisher *publisher, const char *device, const char *text)
{
    flo_publisher_send(publisher, FLO_TOPIC_CMD, device, text, strlen(text));
}

/* Asks a device to renew.  A life is named if one of two machines keeps the
 * identity, and only that machine obeys. */
static void ask_to_renew(struct flo_publisher *publisher, const char *device)
{
    const char *life = flo_twins_kept(publisher->controller, device);
    char text[96];

    snprintf(text, sizeof(text), "{\"v\":1,\"op\":\"renew\"%s%.36s%s}",
             life != NULL ? ",\"life\":\"" : "", life != NULL ? life : "",
             life != NULL ? "\"" : "");
    ask_for(publisher, device, text);
}

static int take_order(void *context, const struct flo_fleet_order *order)
{
    struct flo_buf *text = context;

    flo_buf_printf(text, "{\"v\":1,\"order\":%s}", order->envelope);
    return 0;
}

/* Sends an order once more, and only to this device.  The device answers with
 * the outcome that it reported first. */
static void send_ask(struct flo_publisher *publisher, const struct flo_ask *ask)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};

    if (ask->order[0] == '\0') {
        ask_for(publisher, ask->device, REPORT);
    } else if (flo_fleet_order_get(publisher->controller->store, ask->order, take_order, &text,
                                   NULL) == 0 &&
               !text.failed) {
        flo_publisher_send(publisher, FLO_TOPIC_CMD, ask->device, text.data, text.bytes);
    }
}

/* ---- a broker that forgets ---- */

struct member {
    const char *group;
    bool is_in;
};

static int look_at_groups(void *context, const struct flo_fleet_device *device)
{
    struct member *member = context;

    member->is_in = flo_fleet_is_in_group(device, member->group);
    return 0;
}

static bool is_member(struct flo_publisher *publisher, const char *device, const char *group)
{
    struct member member = {.group = group};

    return flo_fleet_device_get(publisher->controller->store, device, look_at_groups, &member,
                                NULL) == 0 &&
           member.is_in;
}

/* Sends a message to each of these devices that is in the group. */
static void bring(struct flo_publisher *publisher, const struct flo_text_list *devices,
                  const char *group, const struct flo_buf *text)
{
    for (size_t i = 0; i < devices->count; i++) {
        const char *device = devices->items[i];
        if (strcmp(group, "all") == 0 || is_member(publisher, device, group)) {
            flo_publisher_send(publisher, FLO_TOPIC_CMD, device, text->data, text->bytes);
        }
    }
}

static int collect_group(void *context, const char *group)
{
    flo_text_list_add(context, group);
    return 0;
}

static void bring_lists(struct flo_publisher *publisher, const struct flo_text_list *devices)
{
    struct flo_text_list groups = {0};
    struct flo_err err = {0};
    int rv = flo_fleet_order_groups(publisher->controller->store, flo_wall_ms(), collect_group,
                                    &groups, &err);

    for (size_t i = 0; rv == 0 && i < groups.count; i++) {
        struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
        rv = flo_orders_group_text(publisher->controller, groups.items[i], &text, &err);
        if (rv == 0 && strcmp(text.data, FLO_ORDERS_NONE) != 0) {
            bring(publisher, devices, groups.items[i], &text);
        }
    }
    if (rv < 0) {
        flo_log_err(FLO_LOG_WARN, "orders", &err);
    }
    flo_text_list_clear(&groups);
}

/* Sends to each of these devices what it would otherwise find as retained
 * messages: trust, emergency orders and order lists.  Trust is sent first,
 * because devices verify orders by it.  The desired document is sent
 * elsewhere. */
static void welcome(struct flo_publisher *publisher, const struct flo_text_list *devices)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) trust = {0};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) emergency = {0};

    if (devices->count == 0) {
        return;
    }
    if (trust_text(publisher, &trust)) {
        bring(publisher, devices, "all", &trust);
    }
    if (emergency_text(publisher, &emergency)) {
        bring(publisher, devices, "all", &emergency);
    }
    bring_lists(publisher, devices);
}

/* ---- in pieces ---- */

static void spread_plan(struct spread *spread)
{
    static const struct timeval at_once = {0};

    if (!event_pending(spread->event, EV_TIMEOUT, NULL)) {
        event_add(spread->event, &at_once);
    }
}

static void spread_end(struct spread *spread)
{
    void (*then)(void *) = spread->then;

    if (spread->devices.count > 100) {
        flo_log(FLO_LOG_INFO, "mqtt", "published %zu desired in %llu ms", spread->devices.count,
                (unsigned long long)(flo_now_ms() - spread->begin_ms));
    }
    flo_text_list_clear(&spread->devices);
    spread->next = 0;
    spread->asks = false;
    spread->then = NULL;
    if (then != NULL) {
        then(spread->then_context);
    }
}

static void on_spread(evutil_socket_t fd, short what, void *context)
{
    struct flo_publisher *publisher = context;
    struct spread *spread = &publisher->spread;
    uint64_t until_ms = flo_now_ms() + PIECE_MS;

    (void)fd, (void)what;
    while (spread->next < spread->devices.count && flo_now_ms() < until_ms) {
        const char *device = spread->devices.items[spread->next++];
        send_desired(publisher, device);
        if (spread->asks) {
            ask_for(publisher, device, REPORT);
        }
    }
    if (spread->next < spread->devices.count) {
        spread_plan(spread);
    } else {
        spread_end(spread);
    }
}

/* Adds devices whose desired documents are to be sent.  A document is made when
 * it is sent, so a device needs a second entry only after the first one was
 * sent. */
static void spread_add(struct spread *spread, const struct flo_text_list *devices)
{
    for (size_t i = 0; i < devices->count; i++) {
        flo_text_list_add(&spread->devices, devices->items[i]);
    }
    if (spread->devices.count > 0) {
        if (spread->next == 0) {
            spread->begin_ms = flo_now_ms();
        }
        spread_plan(spread);
    }
}

/* ---- in quiet ---- */

static void quiet_plan(struct quiet *quiet, uint64_t ms)
{
    struct timeval in = {.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};

    event_add(quiet->event, &in);
}

/* Sends some postponed documents.  A device answers each by repeating its
 * answer to the order, and by a report; at this pace both cost little. */
static void on_quiet(evutil_socket_t fd, short what, void *context)
{
    struct flo_publisher *publisher = context;
    struct quiet *quiet = &publisher->quiet;

    (void)fd, (void)what;
    if (publisher->mqtt == NULL || !flo_mqtt_is_connected(publisher->mqtt)) {
        quiet_plan(quiet, QUIET_AGAIN_MS);
        return;
    }
    for (size_t i = 0; i < QUIET_PIECE && quiet->next < quiet->devices.count; i++) {
        send_desired(publisher, quiet->devices.items[quiet->next++]);
    }
    if (quiet->next < quiet->devices.count) {
        quiet_plan(quiet, QUIET_MS);
    } else {
        flo_text_list_clear(&quiet->devices);
        quiet->next = 0;
        quiet->due_ms = 0;
    }
}

/* Adds devices whose desired documents can wait.  A document is made when it is
 * sent, so one entry per device is enough until then. */
static void quiet_add(struct flo_publisher *publisher, const struct flo_text_list *devices)
{
    struct quiet *quiet = &publisher->quiet;
    uint64_t seen = flo_fleet_devices_seen(publisher->controller->store);
    uint64_t now_ms = flo_now_ms();
    bool are_waiting = quiet->due_ms != 0;

    for (size_t i = 0; i < devices->count; i++) {
        flo_text_list_add(&quiet->devices, devices->items[i]);
    }
    if (devices->count > 0 && are_waiting && quiet->next == 0) {
        flo_text_list_unique(&quiet->devices);
    }
    if (devices->count > 0) {
        quiet->due_ms = flo_quiet_due_ms(quiet->due_ms, seen, now_ms);
    }
    if (devices->count > 0 && !are_waiting) {
        quiet_plan(quiet, quiet->due_ms - now_ms);
    }
}

/* ---- after a commit ---- */

/* Updates the broker's files after a device was retired, or an authority was
 * added or removed.  For an external broker people copy the files. */
static void tell_broker(struct flo_publisher *publisher, bool restarts)
{
    struct flo_err err = {0};
    int rv = flo_pki_revoked_write(publisher->controller, &err);

    if (rv == 0) {
        rv = publisher->broker != NULL ? flo_broker_again(publisher->broker, &err)
                                       : flo_broker_external(publisher->controller, &err);
    }
    if (rv == 0 && publisher->broker != NULL && restarts) {
        rv = flo_broker_restart(publisher->broker, &err);
    }
    publisher->is_due = rv < 0;
    publisher->is_restart_due = rv < 0 && restarts;
    if (rv < 0) {
        flo_log_err(FLO_LOG_ERROR, "broker", &err);
    }
    if (rv < 0 && publisher->broker != NULL) {
        flo_broker_miss(publisher->broker, &err);
    }
}

static void on_committed(void *context, const struct flo_outgoing *outgoing)
{
    struct flo_publisher *publisher = context;

    if (publisher->mqtt != NULL) {
        if (outgoing->has_trust) {
            send_trust(publisher);
        }
        if (outgoing->has_emergency) {
            flo_publisher_send_emergency(publisher);
        }
        for (size_t i = 0; i < outgoing->groups.count; i++) {
            send_group(publisher, outgoing->groups.items[i]);
        }
        welcome(publisher, &outgoing->came);
        spread_add(&publisher->spread, &outgoing->desired);
        quiet_add(publisher, &outgoing->later);
        for (size_t i = 0; i < outgoing->cleared.count; i++) {
            flo_publisher_send(publisher, FLO_TOPIC_DESIRED, outgoing->cleared.items[i], "", 0);
            end_account(publisher, outgoing->cleared.items[i]);
            (void)flo_newests_told(publisher->controller->newests, outgoing->cleared.items[i], "",
                                   0);
            flo_proofs_forget(publisher->controller->proofs, outgoing->cleared.items[i]);
        }
        send_acks(publisher, &outgoing->acks);
        for (size_t i = 0; i < outgoing->renewals.count; i++) {
            ask_to_renew(publisher, outgoing->renewals.items[i]);
        }
        for (size_t i = 0; i < outgoing->asks.count; i++) {
            send_ask(publisher, &outgoing->asks.items[i]);
        }
    }
    if (outgoing->has_retired || outgoing->has_authorities) {
        tell_broker(publisher, outgoing->lost_authority || publisher->is_restart_due);
    }
}

void flo_publisher_tick(struct flo_publisher *publisher)
{
    if (publisher->is_due) {
        tell_broker(publisher, publisher->is_restart_due);
    }
    const char *device;
    while ((device = flo_newests_next(publisher->controller)) != NULL) {
        send_path(publisher, device);
    }
}

bool flo_publisher_skipped(struct flo_publisher *publisher)
{
    bool has_skipped = publisher->has_skipped;

    publisher->has_skipped = false;
    return has_skipped;
}

/* ---- everything ---- */

/* Tells whether all devices must get their messages now, instead of when they
 * connect (ingest.c).  A broker that loses retained messages may lose reports
 * of connections as well.  A broker with accounts lets no device connect before
 * it gets its account. */
static bool is_told_at_once(const struct flo_publisher *publisher)
{
    const struct flo_controller_options *options = &publisher->controller->options;

    return options->broker_forgets || options->has_accounts;
}

struct told {
    struct flo_text_list devices;
    bool is_any; /* also offline devices */
};

static int collect_device(void *context, const struct flo_select_device *device)
{
    const union flo_select_value *values = device->values;
    struct told *told = context;

    if (told->is_any || strcmp(values[FLO_SELECT_STATE].text, "online") == 0) {
        flo_text_list_add(&told->devices, values[FLO_SELECT_ID].text);
    }
    return 0;
}

void flo_publisher_send_all(struct flo_publisher *publisher, void (*then)(void *context),
                            void *context)
{
    struct flo_fleet_store *store = publisher->controller->store;
    struct told told = {.is_any = is_told_at_once(publisher)};
    struct flo_text_list groups = {0};
    struct flo_err err = {0};
    uint64_t begin_ms = flo_now_ms();

    if (flo_fleet_order_groups(store, flo_wall_ms(), collect_group, &groups, &err) < 0 ||
        flo_fleet_facts_each(store, NULL, collect_device, &told, &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "mqtt", &err);
    }
    /* The trust statement is sent first, because it names the keys that sign
     * the orders. */
    send_trust(publisher);
    flo_text_list_add(&groups, "all");
    flo_text_list_unique(&groups);
    for (size_t i = 0; i < groups.count; i++) {
        send_group(publisher, groups.items[i]);
    }
    flo_log(FLO_LOG_INFO, "mqtt", "published %zu order lists in %llu ms", groups.count,
            (unsigned long long)(flo_now_ms() - begin_ms));
    spread_add(&publisher->spread, &told.devices);
    if (told.devices.count > 0) {
        publisher->spread.asks = publisher->controller->options.broker_forgets;
        publisher->spread.then = then;
        publisher->spread.then_context = context;
    } else {
        then(context);
    }
    flo_text_list_clear(&groups);
    flo_text_list_clear(&told.devices);
}

/* ---- the whole ---- */

void flo_publisher_connect(struct flo_publisher *publisher, struct flo_mqtt *mqtt)
{
    publisher->mqtt = mqtt;
}

static void events_free(const struct flo_publisher *publisher)
{
    struct event *events[] = {publisher->spread.event, publisher->quiet.event,
                              publisher->acks_event};

    for (size_t i = 0; i < FLO_COUNT(events); i++) {
        if (events[i] != NULL) {
            event_free(events[i]);
        }
    }
}

int flo_publisher_open(struct flo_controller *controller, struct event_base *base,
                       struct flo_broker *broker, struct flo_publisher **out, struct flo_err *err)
{
    struct flo_publisher *publisher = calloc(1, sizeof(*publisher));

    if (publisher == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "publisher");
    }
    publisher->controller = controller;
    publisher->broker = broker;
    publisher->spread.event = event_new(base, -1, 0, on_spread, publisher);
    publisher->quiet.event = event_new(base, -1, 0, on_quiet, publisher);
    publisher->acks_event = event_new(base, -1, 0, on_acks, publisher);
    if (publisher->spread.event == NULL || publisher->quiet.event == NULL ||
        publisher->acks_event == NULL) {
        events_free(publisher);
        free(publisher);
        return flo_fail(err, FLO_E_MEMORY, "publisher");
    }
    flo_held_init(&publisher->held);
    flo_outgoing_subscribe(controller,
                           (struct flo_subscriber){publisher, on_committed, on_durable});
    *out = publisher;
    return 0;
}

void flo_publisher_close(struct flo_publisher *publisher)
{
    if (publisher == NULL) {
        return;
    }
    flo_outgoing_unsubscribe(publisher->controller, publisher);
    events_free(publisher);
    flo_text_list_clear(&publisher->spread.devices);
    free(publisher->acks.items);
    flo_text_list_clear(&publisher->quiet.devices);
    flo_held_clear(&publisher->held);
    free(publisher);
}
