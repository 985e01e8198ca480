/* The state of an MQTT client, and functions that its files share.  They are
 * not for others. */
#ifndef FLOTILLA_HOST_MQTT_CLIENT_H
#define FLOTILLA_HOST_MQTT_CLIENT_H

#include <MQTTAsync.h>
#include <event2/event.h>

#include "base/host/mqtt.h"
#include "base/host/mqtt_queue.h"

struct flo_mqtt_request;

struct flo_mqtt {
    struct flo_mqtt_options options; /* copies of the options and their strings */
    struct flo_mqtt_handlers handlers;
    struct flo_mqtt_queue queue;
    MQTTAsync client;
    struct event_base *base;
    struct event *wake;
    struct event *retry;
    bool is_connected;
    bool is_connecting;
    bool is_leaving; /* true: the client disconnects in order to reconnect */
    /* time by which the client asks paho to disconnect; 0: it has asked
     * already */
    uint64_t leave_by_ms;
    uint64_t connected_at_ms;
    uint64_t spread_ms; /* time over which all clients spread their reconnects; 0: not set */
    uint32_t attempts;  /* failed or short connections so far, in a row */
    uint32_t takeovers;
    uint32_t short_lives; /* connections in a row that worked but that the broker closed early */
    /* Guards the members below, which paho's threads use too. */
    pthread_mutex_t mutex;
    pthread_cond_t closed; /* signals that is_closed or has_ended is true */
    bool is_closed;
    bool has_ended; /* true: the function `ending` has returned */
    void (*ending)(struct flo_mqtt *mqtt);
    char tls_text[256]; /* last error line of OpenSSL */
    bool is_problem;    /* such a line told more than an end without a word */
    struct flo_mqtt_request *requests;
    struct flo_mqtt_request *requests_free;
};

/* ---- connection.c ---- */
FLO_MUST_USE int flo_mqtt_client_make(struct flo_mqtt *mqtt, struct flo_err *err);
/* Connects when the timer `retry` expires. */
void flo_mqtt_on_retry(evutil_socket_t fd, short events, void *context);
void flo_mqtt_on_connected(struct flo_mqtt *mqtt, bool session_present);
/* Plans the next attempt after a connection was lost or an attempt failed. */
void flo_mqtt_on_lost(struct flo_mqtt *mqtt, const struct flo_mqtt_item *item);

/* Connects again after the connection was closed on purpose. */
void flo_mqtt_on_left(struct flo_mqtt *mqtt);

/* ---- alerts.c ---- */
/* Notes the alerts of all TLS connections of this process from now on. */
void flo_mqtt_tls_watch(void);
/* Tells whether a line of libcrypto, THREAD:error:CODE:..., says that the peer, or
 * somebody between, ended the connection without a word. */
bool flo_mqtt_tls_is_gone(const char *line);
/* Tells whether a peer refused our certificate by an alert, in a connection that this
 * thread read from, since the last call. */
bool flo_mqtt_tls_is_refused(void);

/* ---- requests.c ---- */
/* Any thread. */
void flo_mqtt_push(struct flo_mqtt *mqtt, const struct flo_mqtt_item *item, const char *text);
void flo_mqtt_property(MQTTProperties *properties, enum MQTTPropertyCodes code, uint32_t value);
/* Fails all pending requests, because the broker dropped the session. */
void flo_mqtt_requests_fail(struct flo_mqtt *mqtt);
/* Tells whether requests are pending. */
bool flo_mqtt_requests_are_open(struct flo_mqtt *mqtt);
void flo_mqtt_requests_free(struct flo_mqtt *mqtt);

#endif
