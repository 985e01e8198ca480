/* MQTT 5 client: paho-mqtt-c's MQTTAsync behind a queue.
 *
 * paho calls back on its own threads.  Those callbacks only add to a queue and
 * wake the event loop.  Every function here belongs to the thread of the event
 * loop, and handlers are called on it.  paho's persistence is off: messages
 * that must survive are in the caller's outbox. */
#ifndef FLOTILLA_HOST_MQTT_H
#define FLOTILLA_HOST_MQTT_H

#include <flotilla/base.h>

struct event_base;
struct flo_mqtt;

struct flo_mqtt_options {
    const char *url;       /* mqtts://host:port, or mqtt:// on loopback only */
    const char *client_id; /* the device id; also the user name */
    const char *ca_file;   /* PEM; needed for mqtts */
    const char *cert_file; /* client certificate; NULL: none */
    const char *key_file;
    const char *will_topic; /* NULL: no last will */
    const char *will_text;
    uint32_t keepalive_s;      /* 0: 60 */
    uint32_t session_expiry_s; /* clean start is off when > 0 */
    uint64_t retry_ms_min;     /* pause before a reconnect: 50 ms plus a random time ... */
    uint64_t retry_ms_max;     /* ... up to a bound that grows between these; 0: 500, 60000 */
    size_t queue_messages_max; /* most messages received and not yet handled; 0: 65536 */
    /* Most of these from one sender.  Topics that differ in the last word only
     * are of one sender.  0: queue_messages_max. */
    size_t queue_sender_max;
    const char *queue_apart;  /* last word of topics that get a second queue; NULL: one queue */
    size_t payload_bytes_max; /* larger ones are dropped and counted;
                                 0: 65536 */
};

struct flo_mqtt_message {
    const char *topic; /* NUL-terminated */
    const char *data;  /* not NUL-terminated */
    size_t bytes;
    bool retained;
};

struct flo_mqtt_handlers {
    void *context;
    /* Called before each connection attempt; false: called again soon.  NULL:
     * every attempt is made. */
    bool (*may_connect)(void *context);
    /* session_present: the broker kept the session.  Subscribe here. */
    void (*on_connected)(void *context, bool session_present);
    /* Once per lost or failed connection; a reconnect is already planned.
     * err->code: FLO_E_NET_TLS, FLO_E_MQTT_IDENTITY (session taken over),
     * FLO_E_MQTT_ACL (not admitted), FLO_E_NET_UNREACHABLE, ... */
    void (*on_disconnected)(void *context, const struct flo_err *err, uint64_t retry_in_ms);
    void (*on_message)(void *context, const struct flo_mqtt_message *message);
    /* The result of a publish whose token was > 0.  reason: the broker's reason
     * code, a refusal when >= 0x80.  NULL: no publish uses tokens. */
    void (*on_delivered)(void *context, uint64_t token, bool delivered, int reason);
    /* The broker refused a subscription (reason code >= 0x80). */
    void (*on_refused)(void *context, const char *topic, int reason);
};

/* Creates the client and starts to connect; never blocks.  Removes https_proxy
 * and http_proxy from the environment, which paho would use for the broker. */
FLO_MUST_USE int flo_mqtt_open(struct event_base *base, const struct flo_mqtt_options *options,
                               const struct flo_mqtt_handlers *handlers, struct flo_mqtt **out,
                               struct flo_err *err);
/* Publishes `bye`, if not NULL, to the will topic (retained), disconnects and
 * frees.  Waits at most 1 s.  Only for the end of the program: while the
 * broker's name is being resolved, paho cannot be stopped.  Then its client is
 * leaked and the process skips later exit() handlers, because OpenSSL's would
 * free memory that paho's threads still use. */
void flo_mqtt_close(struct flo_mqtt *mqtt, const char *bye);

/* Uses this certificate and key (as in the options) from the next connection
 * on.  `at_once`: disconnects and connects again.  The session is kept, the
 * last will is not sent, and pending messages are delivered before or after.
 * FLO_E_MEMORY: nothing has changed. */
FLO_MUST_USE int flo_mqtt_use(struct flo_mqtt *mqtt, const char *cert_file, const char *key_file,
                              bool at_once, struct flo_err *err);
/* Reconnects are spread at random over `ms`, or over retry_ms_min of the
 * options where that is longer, but over retry_ms_max at most.  So the many
 * clients of one broker do not reconnect all at once. */
void flo_mqtt_spread(struct flo_mqtt *mqtt, uint64_t ms);
bool flo_mqtt_is_connected(const struct flo_mqtt *mqtt);
FLO_MUST_USE int flo_mqtt_subscribe(struct flo_mqtt *mqtt, const char *filter, int qos,
                                    struct flo_err *err);
/* Publishes.  expiry_s 0: none; token 0: no on_delivered.
 * FLO_E_NET_UNREACHABLE: not connected.  The message was not queued, and the
 * caller keeps it. */
FLO_MUST_USE int flo_mqtt_publish(struct flo_mqtt *mqtt, const char *topic, const void *data,
                                  size_t bytes, int qos, bool retained, uint32_t expiry_s,
                                  uint64_t token, struct flo_err *err);
/* Number of messages dropped for the limits above, since open. */
uint64_t flo_mqtt_dropped(const struct flo_mqtt *mqtt);

#endif
