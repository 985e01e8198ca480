/* MQTT 5 client: paho-mqtt-c's MQTTAsync behind a queue.
 *
 * paho calls back on its own threads; those callbacks only enqueue and wake
 * an event descriptor.  Everything declared here is called on, and calls back
 * on, the one thread that runs the event loop.  No paho persistence: what
 * must survive is in the caller's outbox. */
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
    uint64_t retry_ms_min;     /* reconnect: 50 ms and full jitter ... */
    uint64_t retry_ms_max;     /* ... between these; 0: 500, 60000 */
    size_t queue_messages_max; /* received, not yet handled; 0: 65536 */
    /* Messages of one sender, whose topics differ in the last word alone; 0: as
     * many. */
    size_t queue_sender_max;
    const char *queue_apart;  /* last word of topics that wait in a room of
                                 their own, as large; NULL: all share one */
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
    /* Asked before each connection is made; false: asked again soon.  NULL:
     * always. */
    bool (*may_connect)(void *context);
    /* session_present: the broker still knew us.  Subscribe here. */
    void (*on_connected)(void *context, bool session_present);
    /* Once per lost or failed connection; a reconnect is already planned.
     * err->code: FLO_E_NET_TLS, FLO_E_MQTT_IDENTITY (session taken over),
     * FLO_E_MQTT_ACL (not admitted), FLO_E_NET_UNREACHABLE, ... */
    void (*on_disconnected)(void *context, const struct flo_err *err, uint64_t retry_in_ms);
    void (*on_message)(void *context, const struct flo_mqtt_message *message);
    /* The end of a publish that gave a token > 0.  reason: the broker's, who
     * refused it when >= 0x80.  NULL: nobody gives one. */
    void (*on_delivered)(void *context, uint64_t token, bool delivered, int reason);
    /* The broker refused a subscription (reason code >= 0x80). */
    void (*on_refused)(void *context, const char *topic, int reason);
};

/* Create and start connecting; never blocks.  Takes https_proxy and http_proxy
 * out of the environment (paho would use them for the broker). */
FLO_MUST_USE int flo_mqtt_open(struct event_base *base, const struct flo_mqtt_options *options,
                               const struct flo_mqtt_handlers *handlers, struct flo_mqtt **out,
                               struct flo_err *err);
/* Disconnect (publishing `bye` to the will topic first, retained, when not
 * NULL) and free; waits at most 1 s.  For the program's end: while nobody
 * answers for the broker's name, paho cannot be stopped.  Then its client stays
 * as it is, and the process will run no other handler of exit(), because those
 * of OpenSSL take away what paho's threads use. */
void flo_mqtt_close(struct flo_mqtt *mqtt, const char *bye);

/* Take this certificate and key (as in the options) from the next connection
 * on.  `at_once`: leave the present one and connect again; the session stays,
 * the last will is not sent, and what is under way is delivered first or after.
 * FLO_E_MEMORY: nothing has changed. */
FLO_MUST_USE int flo_mqtt_use(struct flo_mqtt *mqtt, const char *cert_file, const char *key_file,
                              bool at_once, struct flo_err *err);
/* A lost connection is made again within retry_ms_min of the options, or this
 * time when it is longer (never more than retry_ms_max): many clients of one
 * broker do not come at once. */
void flo_mqtt_spread(struct flo_mqtt *mqtt, uint64_t ms);
bool flo_mqtt_is_connected(const struct flo_mqtt *mqtt);
FLO_MUST_USE int flo_mqtt_subscribe(struct flo_mqtt *mqtt, const char *filter, int qos,
                                    struct flo_err *err);
/* expiry_s 0: none; token 0: no on_delivered.  FLO_E_NET_UNREACHABLE when not
 * connected: nothing was queued, the caller keeps it. */
FLO_MUST_USE int flo_mqtt_publish(struct flo_mqtt *mqtt, const char *topic, const void *data,
                                  size_t bytes, int qos, bool retained, uint32_t expiry_s,
                                  uint64_t token, struct flo_err *err);
/* Messages dropped because of the bounds above, since open. */
uint64_t flo_mqtt_dropped(const struct flo_mqtt *mqtt);

#endif
