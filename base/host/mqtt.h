/* MQTT 5 client: paho-mqtt-c's MQTTAsync behind a queue.
 *
 * paho calls back on its own threads.  Those callbacks only add to a queue and
 * wake the event loop.  Every function here belongs to the thread of the event
 * loop, and handlers are called on it.  paho's persistence is off: the caller's
 * outbox has the messages that must survive. */
#ifndef FLOTILLA_HOST_MQTT_H
#define FLOTILLA_HOST_MQTT_H

#include <flotilla/base.h>

struct event_base;
struct flo_mqtt;

struct flo_mqtt_options {
    const char *url;       /* mqtts://host:port, or mqtt:// on loopback only */
    const char *client_id; /* id of the client, which is the device's id; also its user name */
    const char *ca_file;   /* PEM; needed for mqtts */
    const char *cert_file; /* PEM of the client certificate; NULL: none */
    const char *key_file;
    const char *will_topic; /* topic of the last will; NULL: no last will */
    const char *will_text;
    uint32_t keepalive_s; /* interval of keep-alive messages; 0: 60 */
    /* time for which the broker keeps the session after a disconnect; above 0,
     * the client asks to continue the former session */
    uint32_t session_expiry_s;
    /* limit of the first random pause before a reconnect; a fixed 50 ms are
     * added to each pause; 0: 500 */
    uint64_t retry_ms_min;
    /* largest limit of the random pause before a reconnect; each failure
     * doubles the limit up to this; 0: 60000 */
    uint64_t retry_ms_max;
    size_t queue_messages_max; /* most received messages that wait for the handler; 0: 65536 */
    /* Most waiting messages of one sender; 0: queue_messages_max.  Topics that
     * differ only in the last word are of one sender. */
    size_t queue_sender_max;
    /* last word of the topics whose waiting messages have limits of their own;
     * NULL: no topic has */
    const char *queue_apart;
    size_t payload_bytes_max; /* largest payload; larger ones are dropped and counted; 0: 65536 */
};

struct flo_mqtt_message {
    const char *topic; /* NUL-terminated */
    const char *data;  /* not NUL-terminated */
    size_t bytes;
    bool retained;
};

struct flo_mqtt_handlers {
    void *context;
    /* Called before each connection attempt.  After false it is called again
     * soon.  NULL: every attempt is made. */
    bool (*may_connect)(void *context);
    /* Called when the client is connected; subscribe here.  session_present:
     * the broker still has the session. */
    void (*on_connected)(void *context, bool session_present);
    /* Called once per lost or failed connection; a reconnect is already
     * planned.  err->code: FLO_E_CERT_REFUSED (by an alert), FLO_E_NET_TLS,
     * FLO_E_MQTT_IDENTITY (session taken over), FLO_E_MQTT_ACL (not admitted),
     * FLO_E_NET_UNREACHABLE (also if TLS ended without a word), ... */
    void (*on_disconnected)(void *context, const struct flo_err *err, uint64_t retry_in_ms);
    void (*on_message)(void *context, const struct flo_mqtt_message *message);
    /* Called with the result of a publish whose token was > 0.  `reason` is the
     * broker's reason code, a refusal when >= 0x80.  NULL: no publish uses
     * tokens. */
    void (*on_delivered)(void *context, uint64_t token, bool delivered, int reason);
    /* Called when the broker refused a subscription (reason code >= 0x80). */
    void (*on_refused)(void *context, const char *topic, int reason);
};

/* Creates the client and begins to connect; never blocks.  Removes https_proxy
 * and http_proxy from the environment, because paho would use them for the
 * broker. */
FLO_MUST_USE int flo_mqtt_open(struct event_base *base, const struct flo_mqtt_options *options,
                               const struct flo_mqtt_handlers *handlers, struct flo_mqtt **out,
                               struct flo_err *err);
/* Publishes `bye`, if it is not NULL, to the will topic (retained), disconnects
 * and frees the client.  Waits at most 1 s.
 *
 * Call it only at the end of the program, because paho cannot be stopped while
 * it resolves the broker's name.  Then its client is leaked and the process
 * skips later exit() handlers, because OpenSSL's would free memory that paho's
 * threads still use. */
void flo_mqtt_close(struct flo_mqtt *mqtt, const char *bye);

/* Uses this certificate and key (as in the options) from the next connection
 * on.  With `at_once` the client disconnects and connects again.  The session
 * stays, the last will is not sent, and pending messages are delivered before
 * or after.  After FLO_E_MEMORY all is as before. */
FLO_MUST_USE int flo_mqtt_use(struct flo_mqtt *mqtt, const char *cert_file, const char *key_file,
                              bool at_once, struct flo_err *err);
/* Spreads reconnects at random over `ms`, or over retry_ms_min of the options
 * if that is longer, but over retry_ms_max at most.  So the many clients of one
 * broker do not reconnect all at once. */
void flo_mqtt_spread(struct flo_mqtt *mqtt, uint64_t ms);
bool flo_mqtt_is_connected(const struct flo_mqtt *mqtt);
FLO_MUST_USE int flo_mqtt_subscribe(struct flo_mqtt *mqtt, const char *filter, int qos,
                                    struct flo_err *err);
/* Publishes a message.  expiry_s 0 means no expiry; token 0 means no
 * on_delivered.  Returns FLO_E_NET_UNREACHABLE when not connected: the message
 * is not queued, and the caller keeps it. */
FLO_MUST_USE int flo_mqtt_publish(struct flo_mqtt *mqtt, const char *topic, const void *data,
                                  size_t bytes, int qos, bool retained, uint32_t expiry_s,
                                  uint64_t token, struct flo_err *err);
/* Returns the number of messages that the limits have dropped since open. */
uint64_t flo_mqtt_dropped(const struct flo_mqtt *mqtt);

#endif
