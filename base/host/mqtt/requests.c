/* Requests of the MQTT client: publish, subscribe and their results.
 *
 * When the connection breaks during a publish, paho repeats it if the broker
 * still has the session.  If the broker has dropped the session, on_delivered
 * gets false.  Functions that begin with paho_ are called on paho's threads and
 * only push to the queue. */
#include "base/host/mqtt/client.h"

#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/mqtt.h>
#include <flotilla/errors/rest.h>

void flo_mqtt_push(struct flo_mqtt *mqtt, const struct flo_mqtt_item *item, const char *text)
{
    flo_mqtt_queue_push(&mqtt->queue, item, text, text == NULL ? 0 : strlen(text), NULL, 0);
}

void flo_mqtt_property(MQTTProperties *properties, enum MQTTPropertyCodes code, uint32_t value)
{
    MQTTProperty property = {.identifier = code};

    if (code == MQTTPROPERTY_CODE_RECEIVE_MAXIMUM) {
        property.value.integer2 = (unsigned short)value;
    } else {
        property.value.integer4 = value;
    }
    MQTTProperties_add(properties, &property);
}

/* A request whose result paho reports; paho gets its address as the context. */
struct flo_mqtt_request {
    struct flo_mqtt *mqtt;
    struct flo_mqtt_request *all; /* list of all requests ever made */
    struct flo_mqtt_request *free;
    uint64_t token;
    char *topic; /* topic filter of a subscription; NULL: a publish */
    bool is_open;
};

static struct flo_mqtt_request *request_new(struct flo_mqtt *mqtt, uint64_t token,
                                            const char *topic)
{
    struct flo_mqtt_request *request;

    pthread_mutex_lock(&mqtt->mutex);
    request = mqtt->requests_free;
    if (request != NULL) {
        mqtt->requests_free = request->free;
    } else {
        request = calloc(1, sizeof(*request));
        if (request != NULL) {
            request->mqtt = mqtt;
            request->all = mqtt->requests;
            mqtt->requests = request;
        }
    }
    if (request != NULL) {
        request->token = token;
        request->topic = topic == NULL ? NULL : strdup(topic);
        request->is_open = true;
    }
    pthread_mutex_unlock(&mqtt->mutex);
    return request;
}

static void request_end(struct flo_mqtt_request *request)
{
    struct flo_mqtt *mqtt = request->mqtt;

    pthread_mutex_lock(&mqtt->mutex);
    free(request->topic);
    request->topic = NULL;
    request->is_open = false;
    request->free = mqtt->requests_free;
    mqtt->requests_free = request;
    pthread_mutex_unlock(&mqtt->mutex);
}

/* Fails all pending requests, because the broker dropped the session.  The
 * requests are not reused, because paho may still hold their addresses. */
void flo_mqtt_requests_fail(struct flo_mqtt *mqtt)
{
    struct flo_mqtt_request *request;

    pthread_mutex_lock(&mqtt->mutex);
    for (request = mqtt->requests; request != NULL; request = request->all) {
        if (request->is_open && request->token != 0) {
            struct flo_mqtt_item item = {.kind = FLO_MQTT_DELIVERED, .token = request->token};
            request->token = 0;
            flo_mqtt_queue_push(&mqtt->queue, &item, NULL, 0, NULL, 0);
        }
    }
    pthread_mutex_unlock(&mqtt->mutex);
}

bool flo_mqtt_requests_are_open(struct flo_mqtt *mqtt)
{
    bool is_open = false;

    pthread_mutex_lock(&mqtt->mutex);
    for (const struct flo_mqtt_request *request = mqtt->requests; request != NULL;
         request = request->all) {
        is_open = is_open || (request->is_open && request->token != 0);
    }
    pthread_mutex_unlock(&mqtt->mutex);
    return is_open;
}

void flo_mqtt_requests_free(struct flo_mqtt *mqtt)
{
    while (mqtt->requests != NULL) {
        struct flo_mqtt_request *next = mqtt->requests->all;
        free(mqtt->requests->topic);
        free(mqtt->requests);
        mqtt->requests = next;
    }
}

/* ---- paho's threads ---- */

static void delivered(struct flo_mqtt_request *request, bool is_delivered, int reason)
{
    struct flo_mqtt *mqtt = request->mqtt;
    struct flo_mqtt_item item = {
        .kind = FLO_MQTT_DELIVERED, .flag = is_delivered, .reason = reason};

    pthread_mutex_lock(&mqtt->mutex);
    item.token = request->token;
    pthread_mutex_unlock(&mqtt->mutex);
    request_end(request);
    if (item.token != 0) {
        flo_mqtt_push(mqtt, &item, NULL);
    }
}

static void paho_sent(void *context, MQTTAsync_successData5 *data)
{
    delivered(context, (int)data->reasonCode < 0x80, (int)data->reasonCode);
}

static void paho_send_failed(void *context, MQTTAsync_failureData5 *data)
{
    delivered(context, false, (int)data->reasonCode);
}

static void subscribed(struct flo_mqtt_request *request, int reason)
{
    struct flo_mqtt_item item = {.kind = FLO_MQTT_REFUSED, .reason = reason};

    if (reason >= 0x80) {
        flo_mqtt_push(request->mqtt, &item, request->topic);
    }
    request_end(request);
}

static void paho_subscribed(void *context, MQTTAsync_successData5 *data)
{
    subscribed(context, (int)data->reasonCode);
}

static void paho_subscribe_failed(void *context, MQTTAsync_failureData5 *data)
{
    subscribed(context, (int)data->reasonCode);
}

/* ---- the loop's thread ---- */

static int not_connected(const struct flo_mqtt *mqtt, struct flo_err *err)
{
    return flo_fail(err, FLO_E_NET_UNREACHABLE, "broker %s: not connected", mqtt->options.url);
}

static int refused_by_paho(const struct flo_mqtt *mqtt, int rv, const char *topic,
                           struct flo_err *err)
{
    int code = rv == MQTTASYNC_BAD_UTF8_STRING ? FLO_E_MQTT_TOPIC : FLO_E_NET_UNREACHABLE;

    return flo_fail(err, code, "broker %s: topic %s: %s", mqtt->options.url, topic,
                    MQTTAsync_strerror(rv));
}

int flo_mqtt_subscribe(struct flo_mqtt *mqtt, const char *filter, int qos, struct flo_err *err)
{
    MQTTAsync_responseOptions response = MQTTAsync_responseOptions_initializer;
    struct flo_mqtt_request *request;
    int rv;

    if (!mqtt->is_connected) {
        return not_connected(mqtt, err);
    }
    request = request_new(mqtt, 0, filter);
    if (request == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "subscription to %s", filter);
    }
    response.context = request;
    response.onSuccess5 = paho_subscribed;
    response.onFailure5 = paho_subscribe_failed;
    rv = MQTTAsync_subscribe(mqtt->client, filter, qos, &response);
    if (rv != MQTTASYNC_SUCCESS) {
        request_end(request);
        return refused_by_paho(mqtt, rv, filter, err);
    }
    return 0;
}

int flo_mqtt_publish(struct flo_mqtt *mqtt, const char *topic, const void *data, size_t bytes,
                     int qos, bool retained, uint32_t expiry_s, uint64_t token, struct flo_err *err)
{
    MQTTAsync_responseOptions response = MQTTAsync_responseOptions_initializer;
    MQTTAsync_message message = MQTTAsync_message_initializer;
    struct flo_mqtt_request *request = NULL;
    int rv;

    if (!mqtt->is_connected) {
        return not_connected(mqtt, err);
    }
    if (bytes > mqtt->options.payload_bytes_max) {
        return flo_fail(err, FLO_E_REST_TOO_LARGE, "topic %s: %zu bytes, at most %zu", topic, bytes,
                        mqtt->options.payload_bytes_max);
    }
    if (token != 0) {
        request = request_new(mqtt, token, NULL);
        if (request == NULL) {
            return flo_fail(err, FLO_E_MEMORY, "publish to %s", topic);
        }
        response.context = request;
        response.onSuccess5 = paho_sent;
        response.onFailure5 = paho_send_failed;
    }
    message.payload = (void *)(uintptr_t)data; /* paho copies the data and does not change it */
    message.payloadlen = (int)bytes;
    message.qos = qos;
    message.retained = retained;
    if (expiry_s > 0) {
        flo_mqtt_property(&message.properties, MQTTPROPERTY_CODE_MESSAGE_EXPIRY_INTERVAL, expiry_s);
    }
    rv = MQTTAsync_sendMessage(mqtt->client, topic, &message, &response);
    MQTTProperties_free(&message.properties);
    if (rv != MQTTASYNC_SUCCESS) {
        if (request != NULL) {
            request_end(request);
        }
        return refused_by_paho(mqtt, rv, topic, err);
    }
    return 0;
}
