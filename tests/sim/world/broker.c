/* Broker: QoS 1, retained messages, sessions that expire, last wills.
 *
 * Messages of one topic between two clients stay in order; those of different
 * topics may overtake each other.  A message without its acknowledgement comes
 * again when the link does.  A broker that was killed has forgotten all. */
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim.h"

#define ONLINE_OFF "{\"v\":1,\"online\":false}"
#define REPLAYS 24

static struct {
    bool is_up;
    uint32_t life;
    struct sim_message *desired[SIM_DEVICES_MAX];
    struct sim_message *reported[SIM_DEVICES_MAX];
    struct sim_message *presence[SIM_DEVICES_MAX];
    struct sim_message *orders[SIM_GROUPS];
    struct sim_message *trust, *emergency, *mark;
    struct sim_message *old[REPLAYS]; /* some that went to devices */
    size_t old_count;
} broker;

/* ---- messages ---- */

static int group_of(const char *text, size_t bytes)
{
    for (int i = 0; i < SIM_GROUPS; i++) {
        if (strlen(sim_groups[i]) == bytes && memcmp(sim_groups[i], text, bytes) == 0) {
            return i;
        }
    }
    return -1;
}

static void read_name(struct sim_message *message)
{
    static const char *const words[FLO_TOPIC_COUNT] = {[FLO_TOPIC_DESIRED] = "desired",
                                                       [FLO_TOPIC_CMD] = "cmd",
                                                       [FLO_TOPIC_ORDER] = "order",
                                                       [FLO_TOPIC_TRUST] = "trust",
                                                       [FLO_TOPIC_EMERGENCY] = "emergency",
                                                       [FLO_TOPIC_MARK] = "mark",
                                                       [FLO_TOPIC_REPORTED] = "reported",
                                                       [FLO_TOPIC_EVENT] = "event",
                                                       [FLO_TOPIC_ACK] = "ack",
                                                       [FLO_TOPIC_TELE] = "tele",
                                                       [FLO_TOPIC_PRESENCE] = "presence"};
    const char *rest = message->name + strlen("flotilla/v1/" SIM_FLEET "/");
    const char *word = strrchr(message->name, '/') + 1;

    message->device = message->group = -1;
    if (rest[0] == 'd') {
        message->device = (int)strtoul(rest + 2, NULL, 16);
    } else if (rest[0] == 'g') {
        message->group = group_of(rest + 2, (size_t)(word - 1 - (rest + 2)));
    } else if (strcmp(word, "order") == 0) {
        message->group = 0;
        message->topic = FLO_TOPIC_ORDER_ALL;
        return;
    }
    for (int i = 0; i < FLO_TOPIC_COUNT; i++) {
        if (words[i] != NULL && strcmp(words[i], word) == 0) {
            message->topic = (enum flo_topic)i;
            return;
        }
    }
    abort();
}

struct sim_message *sim_message_new(const char *topic, const void *data, size_t bytes,
                                    bool is_retained)
{
    size_t name_bytes = strlen(topic) + 1;
    struct sim_message *message = malloc(sizeof(*message) + bytes + 1 + name_bytes);

    if (message == NULL) {
        abort();
    }
    message->refs = 1;
    message->bytes = bytes;
    message->is_retained = is_retained;
    if (bytes > 0) {
        memcpy(message->data, data, bytes);
    }
    message->data[bytes] = '\0';
    message->name = message->data + bytes + 1;
    memcpy(message->name, topic, name_bytes);
    read_name(message);
    return message;
}

struct sim_message *sim_message_ref(struct sim_message *message)
{
    message->refs++;
    return message;
}

void sim_message_drop(struct sim_message *message)
{
    if (message != NULL && --message->refs == 0) {
        free(message);
    }
}

static void replace(struct sim_message **place, struct sim_message *message)
{
    sim_message_drop(*place);
    *place = message->bytes > 0 ? sim_message_ref(message) : NULL;
}

/* ---- flights: messages without their acknowledgement ---- */

static struct sim_flight *flight_add(struct sim_client *client, struct sim_flights *flights,
                                     struct sim_message *message, bool is_retained)
{
    if (flights->count == flights->room) {
        flights->room = 2 * flights->room + 16;
        flights->items = realloc(flights->items, flights->room * sizeof(*flights->items));
        if (flights->items == NULL) {
            abort();
        }
    }
    flights->items[flights->count] = (struct sim_flight){.message = sim_message_ref(message),
                                                         .is_retained = is_retained,
                                                         .number = ++client->flight_number};
    return &flights->items[flights->count++];
}

static struct sim_flight *flight_find(struct sim_flights *flights, uint64_t number)
{
    for (size_t i = 0; i < flights->count; i++) {
        if (flights->items[i].number == number) {
            return &flights->items[i];
        }
    }
    return NULL;
}

static void flight_remove(struct sim_flights *flights, struct sim_flight *flight)
{
    sim_message_drop(flight->message);
    flights->count--;
    memmove(flight, flight + 1,
            (size_t)(flights->items + flights->count - flight) * sizeof(*flight));
}

static void flights_clear(struct sim_flights *flights)
{
    for (size_t i = 0; i < flights->count; i++) {
        sim_message_drop(flights->items[i].message);
    }
    flights->count = 0;
}

/* ---- clients ---- */

static struct sim_client *client_of(int device)
{
    return device < 0 ? &sim->controller.client : &sim->devices[device].client;
}

static struct sim_device *device_of(const struct sim_client *client)
{
    return client->device < 0 ? NULL : &sim->devices[client->device];
}

static bool is_alive(const struct sim_client *client)
{
    return client->device < 0 ? sim->controller.controller != NULL : device_of(client)->runs;
}

void sim_client_init(struct sim_client *client, int device, uint64_t session_ms)
{
    *client = (struct sim_client){.device = device, .session_ms = session_ms};
    client->delay_ms = sim_between(&sim->net, 1, 80);
}

void sim_client_deinit(struct sim_client *client)
{
    flights_clear(&client->down);
    flights_clear(&client->up);
    free(client->down.items);
    free(client->up.items);
}

/* After the one before it of the same topic. */
static uint64_t arrives_in(uint64_t *last_ms, uint64_t delay_ms)
{
    uint64_t at_ms = sim->now_ms + delay_ms + sim_below(&sim->net, delay_ms + 2);

    at_ms = at_ms < *last_ms ? *last_ms : at_ms;
    *last_ms = at_ms;
    return at_ms - sim->now_ms;
}

static bool is_reachable(const struct sim_client *client)
{
    const struct sim_device *device = device_of(client);

    return broker.is_up && (device == NULL || !(device->is_alone || sim_is_asleep(device)));
}

/* ---- from the broker ---- */

static void hand_over(struct sim_client *client, const struct sim_message *message,
                      bool is_retained)
{
    sim->messages++;
    if (client->device < 0) {
        sim_controller_heard(message, is_retained);
    } else {
        if (message->topic == FLO_TOPIC_MARK) {
            sim_silence_heard(device_of(client));
        }
        sim_device_heard(device_of(client), message);
    }
}

static void on_acked_down(const struct sim_call *call)
{
    struct sim_client *client = call->object;
    struct sim_flight *flight = flight_find(&client->down, call->a);

    if (flight != NULL && client->connection == call->b) {
        flight_remove(&client->down, flight);
    }
}

static void on_down(const struct sim_call *call)
{
    struct sim_client *client = call->object;
    struct sim_flight *flight = flight_find(&client->down, call->a);

    if (flight == NULL || client->connection != call->b || !client->believes || !is_alive(client) ||
        !is_reachable(client)) {
        return;
    }
    struct sim_message *message = sim_message_ref(flight->message);
    bool is_retained = flight->is_retained;
    flight->is_there = true;
    sim_later(client->delay_ms,
              (struct sim_call){.fn = on_acked_down, .object = client, .a = call->a, .b = call->b});
    sim->actor = device_of(client);
    sim->is_controllers = client->device < 0;
    hand_over(client, message, is_retained);
    sim_message_drop(message);
}

static void send_down(struct sim_client *client, struct sim_flight *flight)
{
    struct sim_message *message = flight->message;
    uint64_t *last_ms = client->device < 0 ? &client_of(message->device)->onward_ms[message->topic]
                                           : &client->down_ms[message->topic];

    sim_later(arrives_in(last_ms, client->delay_ms),
              (struct sim_call){
                  .fn = on_down, .object = client, .a = flight->number, .b = client->connection});
}

static void deliver(struct sim_client *client, struct sim_message *message, bool is_retained)
{
    bool is_kept = client->has_session && client->listens;
    const struct sim_device *device = device_of(client);

    if (message->topic == FLO_TOPIC_MARK && device != NULL && device->is_held) {
        return;
    }
    if (!is_kept && !(client->is_connected && client->listens)) {
        return;
    }
    struct sim_flight *flight = flight_add(client, &client->down, message, is_retained);
    if (client->is_connected) {
        send_down(client, flight);
    }
}

/* ---- through the broker ---- */

static void remember(struct sim_message *message)
{
    size_t at =
        broker.old_count < REPLAYS ? broker.old_count++ : (size_t)sim_below(&sim->net, 4 * REPLAYS);

    if (at < REPLAYS) {
        replace(&broker.old[at], message);
    }
}

/* Another id of its device is retired. */
static bool is_for_its_device(const struct sim_message *message)
{
    return strstr(message->name, sim->devices[message->device].id) != NULL;
}

static void to_devices(struct sim_message *message)
{
    if (message->bytes > 0) {
        remember(message);
    }
    if (message->device >= 0) {
        if (is_for_its_device(message)) {
            deliver(client_of(message->device), message, false);
        }
        return;
    }
    for (uint32_t i = 0; i < sim->device_count; i++) {
        if (message->group <= 0 || sim_device_is_in_lab(&sim->devices[i])) {
            deliver(&sim->devices[i].client, message, false);
        }
    }
}

static void route(struct sim_message *message)
{
    int device = message->device;

    switch (message->topic) {
    case FLO_TOPIC_DESIRED:
        replace(&broker.desired[device], message);
        to_devices(message);
        break;
    case FLO_TOPIC_ORDER:
        if (message->group == 0) {
            break; /* for older agents */
        }
        /* fall through */
    case FLO_TOPIC_ORDER_ALL:
        replace(&broker.orders[message->group], message);
        to_devices(message);
        break;
    case FLO_TOPIC_CMD:
        to_devices(message);
        break;
    case FLO_TOPIC_REPORTED:
        replace(&broker.reported[device], message);
        deliver(&sim->controller.client, message, false);
        break;
    case FLO_TOPIC_PRESENCE:
        replace(&broker.presence[device], message);
        deliver(&sim->controller.client, message, false);
        break;
    case FLO_TOPIC_EVENT:
    case FLO_TOPIC_ACK:
    case FLO_TOPIC_TELE:
        deliver(&sim->controller.client, message, false);
        break;
    case FLO_TOPIC_TRUST:
        replace(&broker.trust, message);
        to_devices(message);
        break;
    case FLO_TOPIC_EMERGENCY:
        replace(&broker.emergency, message);
        to_devices(message);
        deliver(&sim->controller.client, message, false);
        break;
    case FLO_TOPIC_MARK:
        if (sim->newest_ms > 0) { /* else nobody reads it */
            replace(&broker.mark, message);
            to_devices(message);
        }
        break;
    case FLO_TOPIC_COUNT:
        break;
    }
}

void sim_broker_publish(const char *topic, const char *text)
{
    struct sim_message *message = sim_message_new(topic, text, strlen(text), true);

    if (broker.is_up) {
        route(message);
    }
    sim_message_drop(message);
}

/* ---- to the broker ---- */

static void on_acked_up(const struct sim_call *call)
{
    struct sim_client *client = call->object;
    struct sim_flight *flight = flight_find(&client->up, call->a);

    if (flight != NULL && client->connection == call->b) {
        flight_remove(&client->up, flight);
    }
}

static void on_up(const struct sim_call *call)
{
    struct sim_client *client = call->object;
    struct sim_flight *flight = flight_find(&client->up, call->a);

    if (flight == NULL || client->connection != call->b || !client->is_connected ||
        !is_reachable(client)) {
        return;
    }
    struct sim_message *message = sim_message_ref(flight->message);
    flight->is_there = true;
    sim_later(client->delay_ms,
              (struct sim_call){.fn = on_acked_up, .object = client, .a = call->a, .b = call->b});
    route(message);
    sim_message_drop(message);
}

static void send_up(struct sim_client *client, struct sim_flight *flight)
{
    sim_later(arrives_in(&client->up_ms[flight->message->topic], client->delay_ms),
              (struct sim_call){
                  .fn = on_up, .object = client, .a = flight->number, .b = client->connection});
}

bool sim_client_publish(struct sim_client *client, enum flo_topic topic, const char *name,
                        const void *data, size_t bytes)
{
    if (!client->believes) {
        return false;
    }
    struct sim_message *message =
        sim_message_new(name, data, bytes, flo_topic_fact(topic)->is_retained);
    send_up(client, flight_add(client, &client->up, message, false));
    sim_message_drop(message);
    return true;
}

/* ---- connections ---- */

static void publish_will(const struct sim_client *client)
{
    char name[FLO_TOPIC_TEXT];

    if (client->device < 0) {
        return;
    }
    snprintf(name, sizeof(name), "flotilla/v1/" SIM_FLEET "/d/%s/presence", device_of(client)->id);
    struct sim_message *message = sim_message_new(name, ONLINE_OFF, strlen(ONLINE_OFF), true);
    route(message);
    sim_message_drop(message);
}

/* The broker sees that it is gone. */
static void gone(struct sim_client *client)
{
    if (!client->is_connected) {
        return;
    }
    client->is_connected = false;
    client->left_ms = sim->now_ms;
    if (client->session_ms == 0) {
        client->has_session = client->listens = false;
        flights_clear(&client->down);
    }
    publish_will(client);
}

/* The client sees it, if it lives. */
static void lost(struct sim_client *client)
{
    struct sim_device *device = device_of(client);

    if (!client->believes) {
        return;
    }
    client->believes = false;
    if (device != NULL) {
        device->reachable_since_ms = 0;
    }
    if (!is_alive(client)) {
        return;
    }
    sim->actor = device;
    sim->is_controllers = device == NULL;
    if (device == NULL) {
        sim_controller_disconnected();
    } else {
        sim_device_disconnected(device);
    }
    sim_client_dial(client);
}

static void on_gone(const struct sim_call *call)
{
    struct sim_client *client = call->object;

    if (client->connection == call->b) {
        gone(client);
    }
}

static void on_lost(const struct sim_call *call)
{
    struct sim_client *client = call->object;

    if (client->connection == call->b) {
        lost(client);
    }
}

/* Nobody hears of it at once: keepalives and resends take their time. */
static void notice(struct sim_client *client, uint64_t broker_ms, uint64_t client_ms)
{
    sim_later(broker_ms,
              (struct sim_call){.fn = on_gone, .object = client, .b = client->connection});
    sim_later(client_ms,
              (struct sim_call){.fn = on_lost, .object = client, .b = client->connection});
}

void sim_client_cut(struct sim_client *client)
{
    if (client->is_connected || client->believes) {
        notice(client, sim_between(&sim->net, 0, 20000), sim_between(&sim->net, 0, 20000));
    }
}

void sim_client_sleeps(struct sim_client *client, uint64_t lasts_ms)
{
    if (client->is_connected || client->believes) {
        notice(client, sim_between(&sim->net, 0, 20000),
               lasts_ms + sim_between(&sim->net, 0, 20000));
    }
}

void sim_client_died(struct sim_client *client)
{
    client->believes = false;
    flights_clear(&client->up);
    if (client->is_connected) {
        sim_later(sim_between(&sim->net, 0, 2000),
                  (struct sim_call){.fn = on_gone, .object = client, .b = client->connection});
    }
}

/* Those that were sent before, but not acknowledged, come once more. */
static void send_again(struct sim_client *client)
{
    for (size_t i = 0; i < client->down.count; i++) {
        client->down.items[i].is_there = false;
        send_down(client, &client->down.items[i]);
    }
    for (size_t i = 0; i < client->up.count;) {
        if (sim_chance(&sim->net, 300)) { /* the library forgot it */
            flight_remove(&client->up, &client->up.items[i]);
        } else {
            send_up(client, &client->up.items[i++]);
        }
    }
}

static bool has_session(struct sim_client *client)
{
    if (client->has_session && !client->is_connected &&
        sim->now_ms - client->left_ms > client->session_ms) {
        client->has_session = client->listens = false;
        flights_clear(&client->down);
    }
    return client->has_session;
}

static void on_dialled(const struct sim_call *call)
{
    struct sim_client *client = call->object;
    struct sim_device *device = device_of(client);
    bool is_old = client->device < 0 ? call->a != sim->controller.life : call->a != device->life;

    if (is_old || client->believes || !is_alive(client)) {
        return;
    }
    if (!is_reachable(client) || (device != NULL && !sim_clocks_trust(device))) {
        sim_client_dial(client);
        return;
    }
    gone(client); /* taken over */
    bool is_known = has_session(client);
    client->connection++;
    client->is_connected = client->believes = true;
    client->has_session = client->session_ms > 0;
    if (device != NULL) {
        device->reachable_since_ms = sim->now_ms;
    }
    send_again(client);
    sim->actor = device;
    sim->is_controllers = device == NULL;
    if (device == NULL) {
        sim_controller_connected();
    } else {
        sim_device_connected(device, is_known);
    }
}

void sim_client_dial(struct sim_client *client)
{
    uint64_t life = client->device < 0 ? sim->controller.life : device_of(client)->life;
    uint64_t in_ms =
        client->device < 0 ? sim_between(&sim->net, 50, 1000) : sim_between(&sim->net, 50, 5000);

    sim_later(in_ms, (struct sim_call){.fn = on_dialled, .object = client, .a = life});
}

static void deliver_retained(struct sim_client *client, struct sim_message *message)
{
    if (message != NULL) {
        deliver(client, message, true);
    }
}

void sim_client_subscribe(struct sim_client *client)
{
    const struct sim_device *device = device_of(client);

    client->listens = true;
    deliver_retained(client, device == NULL ? NULL : broker.trust);
    deliver_retained(client, broker.emergency);
    if (device != NULL) {
        deliver_retained(client, broker.mark);
        deliver_retained(client, broker.orders[0]);
        struct sim_message *desired = broker.desired[device->index];
        deliver_retained(client, desired != NULL && is_for_its_device(desired) ? desired : NULL);
        return;
    }
    for (uint32_t i = 0; i < sim->device_count; i++) {
        deliver_retained(client, broker.reported[i]);
        deliver_retained(client, broker.presence[i]);
    }
}

void sim_broker_groups(struct sim_device *device)
{
    device->client.listens = true;
    if (sim_device_is_in_lab(device)) {
        deliver_retained(&device->client, broker.orders[1]);
    }
}

/* ---- its own life ---- */

bool sim_broker_is_up(void)
{
    return broker.is_up;
}

static void forget_all(void)
{
    for (size_t i = 0; i < SIM_DEVICES_MAX; i++) {
        sim_message_drop(broker.desired[i]);
        sim_message_drop(broker.reported[i]);
        sim_message_drop(broker.presence[i]);
        broker.desired[i] = broker.reported[i] = broker.presence[i] = NULL;
    }
    for (size_t i = 0; i < SIM_GROUPS; i++) {
        sim_message_drop(broker.orders[i]);
        broker.orders[i] = NULL;
    }
    sim_message_drop(broker.trust);
    sim_message_drop(broker.emergency);
    sim_message_drop(broker.mark);
    broker.trust = broker.emergency = broker.mark = NULL;
}

static void forget_client(struct sim_client *client)
{
    flights_clear(&client->down);
    client->is_connected = client->has_session = client->listens = false;
    notice(client, 0, sim_between(&sim->net, 0, 100));
}

void sim_broker_kill(void)
{
    if (!broker.is_up) {
        return;
    }
    sim_trace("broker", "killed");
    broker.is_up = false;
    if (broker.emergency != NULL) {
        sim_emergency_gone(broker.emergency->data);
    }
    forget_all();
    forget_client(&sim->controller.client);
    for (uint32_t i = 0; i < sim->device_count; i++) {
        forget_client(&sim->devices[i].client);
    }
}

void sim_broker_start(void)
{
    if (!broker.is_up) {
        sim_trace("broker", "started");
    }
    broker.is_up = true;
}

/* It holds no key: all it can do is repeat. */
void sim_broker_replay(void)
{
    for (size_t i = 0; i < broker.old_count; i++) {
        struct sim_message *message = broker.old[i];
        uint32_t at = (uint32_t)sim_below(&sim->net, sim->device_count);
        if (message == NULL) {
            continue;
        }
        if (message->device >= 0 && sim_chance(&sim->net, 700)) {
            at = (uint32_t)message->device; /* else to another one */
        }
        deliver(&sim->devices[at].client, message, true);
    }
}

void sim_broker_open(void)
{
    broker.is_up = true;
}

void sim_broker_close(void)
{
    forget_all();
    for (size_t i = 0; i < REPLAYS; i++) {
        sim_message_drop(broker.old[i]);
        broker.old[i] = NULL;
    }
    broker.old_count = 0;
    broker.is_up = false;
}
