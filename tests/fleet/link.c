/* Link: a device's connection to the broker, MQTT 5 over TLS.
 *
 * It is what tests/sim/device knows as sim_client.  A connection that is lost
 * is tried again as the agent does it: 50 ms and full jitter, over the time
 * that the controller wants.  Messages that
 * were not acknowledged go out again. */
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <flotilla/errors/net.h>

#include "tests/fleet/fleet.h"

#define PRESENCE_OFF "{\"v\":1,\"online\":false}"
#define RETRY_FLOOR_MS 50
#define RETRY_MS_MIN 500
#define RETRY_MS_MAX 60000
#define CONNECT_MS 10000
#define PING_MS 30000
#define WAITING_MAX 1000 /* messages; windows of numbers: a tenth of it */
#define PACKET_BYTES_MAX (1u << 20)

static struct sockaddr_storage broker;
static socklen_t broker_bytes;

static struct fleet_link *link_of(const struct sim_client *client)
{
    return &fleet.devices[client->device].link;
}

/* ---- messages out ---- */

static void out_free(struct fleet_link *link, struct fleet_out *before, struct fleet_out *out)
{
    if (before == NULL) {
        link->first = out->next;
    } else {
        before->next = out->next;
    }
    if (link->last == out) {
        link->last = before;
    }
    link->in_flight -= out->is_sent ? 1 : 0;
    link->waiting--;
    free(out);
}

static void pump(struct fleet_link *link)
{
    if (!link->is_up) {
        return;
    }
    for (struct fleet_out *out = link->first; out != NULL && link->in_flight < link->in_flight_max;
         out = out->next) {
        if (!out->is_sent) {
            out->is_sent = true;
            link->in_flight++;
            fleet.figures.messages_out++;
            fleet.figures.bytes_out += out->bytes;
            fleet.figures.windows_sent += out->topic == FLO_TOPIC_TELE;
            (void)bufferevent_write(link->stream, out->packet, out->bytes);
            link->said_ms = sim->now_ms;
        }
    }
}

static uint16_t next_id(struct fleet_link *link)
{
    link->last_id = link->last_id == UINT16_MAX ? 1 : link->last_id + 1;
    return link->last_id;
}

bool fleet_link_publish(struct sim_device *device, enum flo_topic topic, const char *name,
                        const void *data, size_t bytes, bool is_retained)
{
    struct fleet_link *link = &fleet_of(device)->link;
    struct flo_buf packet = {0};
    struct flo_buf proved = {0};
    struct fleet_out *out;

    if (!link->is_up) {
        return false;
    }
    if (link->waiting >= WAITING_MAX ||
        (topic == FLO_TOPIC_TELE && link->waiting >= WAITING_MAX / 10)) {
        fleet.figures.windows_dropped += topic == FLO_TOPIC_TELE;
        return false;
    }
    uint16_t id = next_id(link);
    if (fleet.is_unproved) {
        flo_buf_add(&proved, data, bytes);
    } else {
        flo_proof_add(&fleet.proof, name, ++fleet.proofs, data, bytes, &proved);
    }
    fleet_packet_publish(&packet, id, name, proved.data, proved.bytes, is_retained);
    flo_buf_deinit(&proved);
    out = malloc(sizeof(*out) + packet.bytes);
    if (out == NULL || packet.failed) {
        abort();
    }
    *out = (struct fleet_out){.topic = topic, .id = id, .bytes = packet.bytes};
    memcpy(out->packet, packet.data, packet.bytes);
    flo_buf_deinit(&packet);
    if (link->last == NULL) {
        link->first = out;
    } else {
        link->last->next = out;
    }
    link->last = out;
    link->waiting++;
    pump(link);
    return true;
}

bool sim_client_publish(struct sim_client *client, enum flo_topic topic, const char *name,
                        const void *data, size_t bytes)
{
    struct sim_device *device = &sim->devices[client->device];

    if (topic == FLO_TOPIC_ACK) {
        fleet_answered(device, data, bytes);
    } else if (topic == FLO_TOPIC_EVENT) {
        fleet_told(data, bytes);
    }
    return fleet_link_publish(device, topic, name, data, bytes, flo_topic_fact(topic)->is_retained);
}

void fleet_link_write(struct sim_device *device, const void *packet, size_t bytes)
{
    struct fleet_link *link = &fleet_of(device)->link;

    if (link->is_up) {
        (void)bufferevent_write(link->stream, packet, bytes);
        link->said_ms = sim->now_ms;
    }
}

/* ---- the end of a connection ---- */

static void forget_messages(struct fleet_link *link)
{
    while (link->first != NULL) {
        out_free(link, NULL, link->first);
    }
}

static void stream_close(struct fleet_link *link)
{
    if (link->stream == NULL) {
        return;
    }
    SSL *tls = bufferevent_openssl_get_ssl(link->stream);
    /* No goodbye: nobody waits for the other side's. */
    SSL_set_shutdown(tls, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    bufferevent_free(link->stream);
    link->stream = NULL;
    link->stream_number++;
    link->in_flight = 0;
    for (struct fleet_out *out = link->first; out != NULL; out = out->next) {
        out->is_sent = false;
    }
    fleet.figures.up -= link->is_up;
    fleet.figures.subscribed -= link->is_subscribed;
    link->is_up = link->is_subscribed = false;
}

/* The device hears of it, and tries again. */
static void lost(struct fleet_link *link)
{
    struct sim_device *device = link->device;

    stream_close(link);
    if (fleet_of(device)->script == FLEET_HOSTILE) {
        forget_messages(link); /* for another attack */
    }
    fleet.figures.connections_lost += device->client.believes;
    if (device->client.believes) {
        device->client.believes = false;
        device->reachable_since_ms = 0;
        sim_device_disconnected(device);
    }
    if (device->runs) {
        sim_client_dial(&device->client);
    }
}

void sim_client_cut(struct sim_client *client)
{
    struct fleet_link *link = link_of(client);

    if (link->stream != NULL) {
        lost(link);
    }
}

void sim_client_died(struct sim_client *client)
{
    client->believes = false;
    stream_close(link_of(client));
    forget_messages(link_of(client));
}

/* ---- messages in ---- */

static void take_up(struct fleet_link *link, const uint8_t *body, size_t bytes)
{
    if (bytes < 3 || body[1] >= 0x80) {
        fleet.figures.refused++;
        lost(link);
        return;
    }
    bool has_session = (body[0] & 1) != 0;
    link->in_flight_max = fleet_receive_maximum(body + 2, body + bytes);
    link->is_up = true;
    link->attempts = 0;
    fleet.figures.up++;
    fleet.figures.connections++;
    link->device->client.believes = true;
    link->device->client.connection++;
    link->device->reachable_since_ms = sim->now_ms;
    sim_device_connected(link->device, has_session);
    pump(link);
}

static void take_spread(struct fleet_link *link, const char *desired)
{
    static const char key[] = "\"reconnect_ms\":";
    const char *at = strstr(desired, key);

    if (at != NULL) {
        link->spread_ms = strtoull(at + strlen(key), NULL, 10);
    }
}

static void take_publish(struct fleet_link *link, const struct fleet_packet *packet)
{
    const uint8_t *at = packet->body;
    const uint8_t *end = at + packet->body_bytes;
    size_t name_bytes = packet->body_bytes < 2 ? 0 : (size_t)at[0] << 8 | at[1];
    bool is_counted = (packet->kind & 6) != 0;
    uint8_t ack[4] = {0x40, 2, 0, 0};
    char name[FLO_TOPIC_TEXT];
    uint32_t number = link->stream_number;

    if (name_bytes == 0 || name_bytes >= sizeof(name) ||
        (size_t)(end - at) < 2 + name_bytes + (is_counted ? 2 : 0)) {
        lost(link);
        return;
    }
    memcpy(name, at + 2, name_bytes);
    name[name_bytes] = '\0';
    at += 2 + name_bytes;
    if (is_counted) {
        memcpy(ack + 2, at, 2);
        at += 2;
    }
    at = fleet_properties_end(at, end);
    if (at == NULL) {
        lost(link);
        return;
    }
    struct sim_message *message = sim_message_new(name, at, (size_t)(end - at), false);
    if (message->topic == FLO_TOPIC_DESIRED) {
        take_spread(link, message->data);
    }
    if (message->bytes > 0) {
        sim_device_heard(link->device, message);
    }
    sim_message_drop(message);
    if (is_counted && link->stream_number == number && link->stream != NULL) {
        (void)bufferevent_write(link->stream, ack, sizeof(ack));
    }
}

static void take_acknowledgement(struct fleet_link *link, const uint8_t *body, size_t bytes)
{
    struct fleet_out *before = NULL;
    unsigned id = bytes < 2 ? 0 : (unsigned)body[0] << 8 | body[1];

    for (struct fleet_out *out = link->first; out != NULL; out = out->next) {
        if (out->id == id && out->is_sent) {
            bool is_refused = bytes > 2 && body[2] >= 0x80;
            fleet.figures.refused += is_refused;
            fleet.figures.windows_acked += out->topic == FLO_TOPIC_TELE && !is_refused;
            out_free(link, before, out);
            break;
        }
        before = out;
    }
    pump(link);
}

/* false: the connection is gone. */
static bool take(struct fleet_link *link, const struct fleet_packet *packet)
{
    uint32_t number = link->stream_number;

    fleet.figures.messages_in++;
    fleet.figures.bytes_in += packet->bytes;
    switch (packet->kind >> 4) {
    case 2:
        take_up(link, packet->body, packet->body_bytes);
        break;
    case 3:
        take_publish(link, packet);
        break;
    case 4:
        take_acknowledgement(link, packet->body, packet->body_bytes);
        break;
    case 9:
        fleet.figures.subscribed += !link->is_subscribed;
        link->is_subscribed = true;
        break;
    case 14:
        lost(link);
        break;
    default: /* PINGRESP */
        break;
    }
    return link->stream_number == number && link->stream != NULL;
}

static void on_data(struct bufferevent *stream, void *context)
{
    struct fleet_link *link = context;
    struct evbuffer *input = bufferevent_get_input(stream);
    struct fleet_packet packet;
    size_t bytes;

    fleet_turn();
    while (link->stream == stream && (bytes = evbuffer_get_length(input)) > 0) {
        const uint8_t *data = evbuffer_pullup(input, -1);
        int rv = fleet_packet_read(data, bytes, &packet);
        if (rv < 0 || (rv > 0 && packet.bytes > PACKET_BYTES_MAX)) {
            lost(link);
            return;
        }
        if (rv == 0 || !take(link, &packet)) {
            return;
        }
        evbuffer_drain(input, packet.bytes);
    }
}

/* ---- the beginning of one ---- */

static void on_stream(struct bufferevent *stream, short what, void *context)
{
    struct fleet_link *link = context;
    struct flo_buf packet = {0};
    char will[FLO_TOPIC_TEXT];
    struct flo_err err = {0};

    fleet_turn();
    if (link->stream != stream) {
        return;
    }
    if ((what & BEV_EVENT_CONNECTED) == 0) {
        ERR_clear_error();
        lost(link);
        return;
    }
    if (flo_topic_build(FLO_TOPIC_PRESENCE, fleet.name, link->device->id, will, &err) == 0) {
        fleet_packet_connect(&packet, link->device->id, will, PRESENCE_OFF);
        (void)bufferevent_write(stream, packet.data, packet.bytes);
        flo_buf_deinit(&packet);
    }
}

static void on_patience(const struct sim_call *call)
{
    struct fleet_link *link = &fleet.devices[call->a].link;

    if (link->stream_number == call->b && link->stream != NULL && !link->is_up) {
        lost(link);
    }
}

static void on_ping(const struct sim_call *call)
{
    static const uint8_t ping[2] = {0xc0, 0};
    struct fleet_link *link = &fleet.devices[call->a].link;

    if (link->stream_number != call->b || link->stream == NULL) {
        return;
    }
    if (link->is_up && sim->now_ms - link->said_ms >= PING_MS) {
        fleet_link_write(link->device, ping, sizeof(ping));
    }
    sim_later(PING_MS / 2, *call);
}

static SSL *tls_new(const struct fleet_device *device)
{
    SSL *tls = SSL_new(fleet.tls);
    X509_VERIFY_PARAM *wanted;

    if (tls == NULL || SSL_use_certificate(tls, device->certificate) != 1 ||
        SSL_use_PrivateKey(tls, fleet.key) != 1) {
        abort();
    }
    wanted = SSL_get0_param(tls);
    if (X509_VERIFY_PARAM_set1_ip_asc(wanted, fleet.broker_host) != 1) {
        ERR_clear_error(); /* it is a name */
        (void)X509_VERIFY_PARAM_set1_host(wanted, fleet.broker_host, 0);
        (void)SSL_set_tlsext_host_name(tls, fleet.broker_host);
    }
    return tls;
}

static void dial(struct fleet_link *link)
{
    struct sim_call later = {.a = link->device->index};

    link->stream =
        bufferevent_openssl_socket_new(fleet.base, -1, tls_new(fleet_of(link->device)),
                                       BUFFEREVENT_SSL_CONNECTING, BEV_OPT_CLOSE_ON_FREE);
    if (link->stream == NULL) {
        abort();
    }
    bufferevent_openssl_set_allow_dirty_shutdown(link->stream, 1);
    bufferevent_setcb(link->stream, on_data, NULL, on_stream, link);
    (void)bufferevent_enable(link->stream, EV_READ | EV_WRITE);
    later.b = ++link->stream_number;
    later.fn = on_patience;
    sim_later(CONNECT_MS, later);
    later.fn = on_ping;
    sim_later(PING_MS / 2, later);
    if (bufferevent_socket_connect(link->stream, (struct sockaddr *)&broker, (int)broker_bytes) <
            0 &&
        link->stream != NULL) {
        lost(link);
    }
}

static void on_dial(const struct sim_call *call)
{
    struct fleet_link *link = &fleet.devices[call->device->index].link;

    if (call->device->runs && link->stream == NULL) {
        dial(link);
    }
}

void sim_client_dial(struct sim_client *client)
{
    struct fleet_link *link = link_of(client);
    struct sim_device *device = link->device;
    uint64_t window_ms = RETRY_MS_MIN;

    if (device->is_alone) {
        return; /* its script says when */
    }
    for (uint32_t i = 0; i < link->attempts && window_ms < RETRY_MS_MAX; i++) {
        window_ms *= 2;
    }
    if (window_ms < link->spread_ms) {
        window_ms = link->spread_ms;
    }
    link->attempts++;
    sim_later(RETRY_FLOOR_MS + sim_below(&device->random, window_ms),
              (struct sim_call){.fn = on_dial, .device = device});
}

void sim_client_subscribe(struct sim_client *client)
{
    static const enum flo_topic topics[] = {FLO_TOPIC_CMD, FLO_TOPIC_DESIRED};
    struct fleet_link *link = link_of(client);
    char names[1 + FLO_COUNT(topics)][FLO_TOPIC_TEXT];
    const char *filters[FLO_COUNT(names)];
    struct flo_buf packet = {0};
    struct flo_err err = {0};
    int rv = flo_topic_common(fleet.name, names[0], &err);

    for (size_t i = 0; i < FLO_COUNT(topics) && rv == 0; i++) {
        rv = flo_topic_build(topics[i], fleet.name, link->device->id, names[1 + i], &err);
    }
    if (rv < 0) {
        abort();
    }
    for (size_t i = 0; i < FLO_COUNT(names); i++) {
        filters[i] = names[i];
    }
    if (link->is_up) {
        fleet_packet_subscribe(&packet, next_id(link), filters, FLO_COUNT(filters));
        fleet_link_write(link->device, packet.data, packet.bytes);
        flo_buf_deinit(&packet);
    }
}

void sim_client_init(struct sim_client *client, int device, uint64_t session_ms)
{
    *client = (struct sim_client){.device = device, .session_ms = session_ms};
    link_of(client)->device = &sim->devices[device];
}

void sim_client_deinit(struct sim_client *client)
{
    sim_client_died(client);
}

/* ---- all of them ---- */

int fleet_links_open(struct flo_err *err)
{
    struct addrinfo *found;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    int rv = getaddrinfo(fleet.broker_host, fleet.broker_port, &hints, &found);

    if (rv != 0) {
        return flo_fail(err, FLO_E_NET_UNREACHABLE, "%s: %s", fleet.broker_host, gai_strerror(rv));
    }
    memcpy(&broker, found->ai_addr, found->ai_addrlen);
    broker_bytes = found->ai_addrlen;
    freeaddrinfo(found);
    fleet.tls = SSL_CTX_new(TLS_client_method());
    if (fleet.tls == NULL || SSL_CTX_load_verify_file(fleet.tls, fleet.ca_file) != 1) {
        return flo_fail(err, FLO_E_NET_TLS, "%s: no authority", fleet.ca_file);
    }
    SSL_CTX_set_verify(fleet.tls, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_mode(fleet.tls, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(fleet.tls, SSL_SESS_CACHE_OFF);
    return 0;
}

void fleet_links_close(void)
{
    SSL_CTX_free(fleet.tls);
}
