/* Inside the MQTT client: its state, and what its files share. */
#ifndef FLOTILLA_HOST_MQTT_INSIDE_H
#define FLOTILLA_HOST_MQTT_INSIDE_H

#include <MQTTAsync.h>
#include <event2/event.h>

#include "base/host/mqtt.h"
#include "base/host/mqtt_queue.h"

struct flo_mqtt_request;

struct flo_mqtt {
    struct flo_mqtt_options options; /* strings are ours */
    struct flo_mqtt_handlers handlers;
    struct flo_mqtt_queue queue;
    MQTTAsync client;
    struct event_base *base;
    struct event *wake;
    struct event *retry;
    bool is_connected;
    bool is_connecting;
    bool is_leaving;      /* to connect again */
    uint64_t leave_by_ms; /* 0: paho was told to */
    uint64_t connected_at_ms;
    uint64_t spread_ms; /* all clients come back within it; 0: not said */
    uint32_t attempts;  /* in a row without a steady connection */
    uint32_t takeovers;
    uint32_t short_lives; /* working connections closed early, in a row */
    /* Guards the members below: paho's threads use them too. */
    pthread_mutex_t mutex;
    pthread_cond_t closed; /* one of the next two is true now */
    bool is_closed;
    bool has_ended; /* what `ending` does */
    void (*ending)(struct flo_mqtt *mqtt);
    char tls_text[256]; /* last line that OpenSSL said */
    struct flo_mqtt_request *requests;
    struct flo_mqtt_request *requests_free;
};

/* ---- connection.c ---- */
FLO_MUST_USE int flo_mqtt_client_make(struct flo_mqtt *mqtt, struct flo_err *err);
/* A timer's callback: connect now. */
void flo_mqtt_on_retry(evutil_socket_t fd, short events, void *context);
void flo_mqtt_on_connected(struct flo_mqtt *mqtt, bool session_present);
/* The connection is lost, or could not be made: another try is planned. */
void flo_mqtt_on_lost(struct flo_mqtt *mqtt, const struct flo_mqtt_item *item);

/* The connection was left, to connect again. */
void flo_mqtt_on_left(struct flo_mqtt *mqtt);

/* ---- requests.c ---- */
/* Any thread. */
void flo_mqtt_push(struct flo_mqtt *mqtt, const struct flo_mqtt_item *item, const char *text);
void flo_mqtt_property(MQTTProperties *properties, enum MQTTPropertyCodes code, uint32_t value);
/* The broker forgot the session: whatever was under way is lost. */
void flo_mqtt_requests_fail(struct flo_mqtt *mqtt);
/* Requests are under way. */
bool flo_mqtt_requests_are_open(struct flo_mqtt *mqtt);
void flo_mqtt_requests_free(struct flo_mqtt *mqtt);

#endif
