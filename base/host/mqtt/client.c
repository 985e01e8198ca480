/* MQTT 5 client over paho's MQTTAsync.
 *
 * Three rules:
 *
 * - paho's callbacks only push to the queue (queue.c).
 * - connection.c reconnects; paho's own reconnect is off.
 * - During a connection attempt the loop's thread calls no paho function,
 *   because name resolution holds paho's global lock.
 *
 * This file opens and closes the client, and passes items from the queue to the
 * handlers. */
#include "base/host/mqtt/client.h"
#include "base/host/event.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/host/steady.h"

/* longest time per turn of the event loop; any number of messages may fit in
 * it */
#define TURN_MS 10
#define CLOSE_WAIT_MS 1000

/* ---- from the queue to the handlers ---- */

static void handle(struct flo_mqtt *mqtt, const struct flo_mqtt_item *item)
{
    const struct flo_mqtt_handlers *handlers = &mqtt->handlers;

    switch (item->kind) {
    case FLO_MQTT_CONNECTED:
        flo_mqtt_on_connected(mqtt, item->flag);
        break;
    case FLO_MQTT_FAILED:
    case FLO_MQTT_LOST:
        flo_mqtt_on_lost(mqtt, item);
        break;
    case FLO_MQTT_LEFT:
        flo_mqtt_on_left(mqtt);
        break;
    case FLO_MQTT_MESSAGE:
        if (handlers->on_message != NULL) {
            struct flo_mqtt_message message = {.topic = item->text,
                                               .data = item->data,
                                               .bytes = item->bytes,
                                               .retained = item->flag};
            handlers->on_message(handlers->context, &message);
        }
        break;
    case FLO_MQTT_DELIVERED:
        if (handlers->on_delivered != NULL) {
            handlers->on_delivered(handlers->context, item->token, item->flag, item->reason);
        }
        break;
    case FLO_MQTT_REFUSED:
        if (handlers->on_refused != NULL) {
            handlers->on_refused(handlers->context, item->text, item->reason);
        }
        break;
    }
}

static void on_wake(evutil_socket_t fd, short events, void *context)
{
    struct flo_mqtt *mqtt = context;
    uint64_t until_ms = flo_now_ms() + TURN_MS;

    (void)fd, (void)events;
    flo_mqtt_queue_calm(&mqtt->queue);
    while (flo_now_ms() < until_ms) {
        struct flo_mqtt_item *item = flo_mqtt_queue_take(&mqtt->queue);
        if (item == NULL) {
            return;
        }
        handle(mqtt, item);
        free(item);
    }
    flo_mqtt_queue_wake(&mqtt->queue);
}

/* ---- open ---- */

static void options_free(struct flo_mqtt_options *options)
{
    const char **strings[] = {&options->url,       &options->client_id,  &options->ca_file,
                              &options->cert_file, &options->key_file,   &options->will_topic,
                              &options->will_text, &options->queue_apart};
    size_t i;

    for (i = 0; i < FLO_COUNT(strings); i++) {
        free((void *)(uintptr_t)*strings[i]);
        *strings[i] = NULL;
    }
}

static int options_copy(const struct flo_mqtt_options *from, struct flo_mqtt_options *to,
                        struct flo_err *err)
{
    const char **strings[] = {&to->url,      &to->client_id,  &to->ca_file,   &to->cert_file,
                              &to->key_file, &to->will_topic, &to->will_text, &to->queue_apart};
    bool is_whole = true;
    size_t i;

    *to = *from;
    for (i = 0; i < FLO_COUNT(strings); i++) {
        *strings[i] = *strings[i] == NULL ? NULL : strdup(*strings[i]);
    }
    is_whole = to->url != NULL && to->client_id != NULL;
    if (to->retry_ms_min == 0) {
        to->retry_ms_min = 500;
    }
    if (to->retry_ms_max == 0) {
        to->retry_ms_max = 60000;
    }
    if (to->queue_messages_max == 0) {
        to->queue_messages_max = 65536;
    }
    if (to->queue_sender_max == 0) {
        to->queue_sender_max = to->queue_messages_max;
    }
    if (to->payload_bytes_max == 0) {
        to->payload_bytes_max = 65536;
    }
    return is_whole ? 0 : flo_fail(err, FLO_E_MEMORY, "options of MQTT");
}

/* Removes the proxy variables, because paho would send the broker's connection
 * through the web proxy, even an empty one.  paho reads only the lower-case
 * names; downloads of child processes also read the upper-case ones. */
static void hide_web_proxy(void)
{
    const char *proxy = getenv("https_proxy");

    if (proxy != NULL && proxy[0] != '\0') {
        setenv("HTTPS_PROXY", proxy, 0);
    }
    unsetenv("https_proxy");
    unsetenv("http_proxy");
}

int flo_mqtt_open(struct event_base *base, const struct flo_mqtt_options *options,
                  const struct flo_mqtt_handlers *handlers, struct flo_mqtt **out,
                  struct flo_err *err)
{
    struct flo_mqtt *mqtt = calloc(1, sizeof(*mqtt));
    int rv;

    if (mqtt == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "MQTT client");
    }
    hide_web_proxy();
    flo_mqtt_tls_watch();
    pthread_mutex_init(&mqtt->mutex, NULL);
    flo_steady_init(&mqtt->closed);
    mqtt->base = base;
    mqtt->handlers = *handlers;
    rv = options_copy(options, &mqtt->options, err);
    if (rv == 0) {
        rv = flo_mqtt_queue_init(&mqtt->queue, mqtt->options.queue_messages_max,
                                 mqtt->options.queue_sender_max, mqtt->options.payload_bytes_max,
                                 mqtt->options.queue_apart, err);
    }
    if (rv == 0) {
        rv = flo_mqtt_client_make(mqtt, err);
    }
    if (rv == 0) {
        mqtt->wake = event_new(base, mqtt->queue.wake_fd, EV_READ | EV_PERSIST, on_wake, mqtt);
        mqtt->retry = evtimer_new(base, flo_mqtt_on_retry, mqtt);
        if (mqtt->wake == NULL || mqtt->retry == NULL || event_add(mqtt->wake, NULL) != 0) {
            rv = flo_fail(err, FLO_E_MEMORY, "MQTT events");
        }
    }
    if (rv < 0) {
        flo_mqtt_close(mqtt, NULL);
        return rv;
    }
    flo_mqtt_on_retry(-1, 0, mqtt);
    *out = mqtt;
    return 0;
}

/* ---- close ---- */

static void note_closed(struct flo_mqtt *mqtt)
{
    pthread_mutex_lock(&mqtt->mutex);
    mqtt->is_closed = true;
    pthread_cond_signal(&mqtt->closed);
    pthread_mutex_unlock(&mqtt->mutex);
}

static void paho_closed(void *context, MQTTAsync_successData5 *data)
{
    (void)data;
    note_closed(context);
}

static void paho_close_failed(void *context, MQTTAsync_failureData5 *data)
{
    (void)data;
    note_closed(context);
}

/* Waits until another thread sets *flag, at most CLOSE_WAIT_MS.  Returns
 * whether *flag was set. */
static bool comes_in_time(struct flo_mqtt *mqtt, const bool *flag)
{
    int rv = 0;

    pthread_mutex_lock(&mqtt->mutex);
    while (!*flag && rv == 0) {
        rv = flo_steady_wait(&mqtt->closed, &mqtt->mutex, CLOSE_WAIT_MS);
    }
    bool has_come = *flag;
    pthread_mutex_unlock(&mqtt->mutex);
    return has_come;
}

static void say_bye(struct flo_mqtt *mqtt, const char *bye)
{
    MQTTAsync_disconnectOptions disconnect = MQTTAsync_disconnectOptions_initializer5;

    if (bye != NULL && mqtt->options.will_topic != NULL) {
        int rv =
            flo_mqtt_publish(mqtt, mqtt->options.will_topic, bye, strlen(bye), 1, true, 0, 0, NULL);
        (void)rv; /* a failure does no harm, because the last will says nearly the same */
    }
    disconnect.timeout = CLOSE_WAIT_MS / 2;
    disconnect.context = mqtt;
    disconnect.onSuccess5 = paho_closed;
    disconnect.onFailure5 = paho_close_failed;
    if (MQTTAsync_disconnect(mqtt->client, &disconnect) != MQTTASYNC_SUCCESS) {
        return;
    }
    (void)comes_in_time(mqtt, &mqtt->is_closed);
}

static void take_pahos_lock(struct flo_mqtt *mqtt)
{
    (void)MQTTAsync_isConnected(mqtt->client);
}

static void destroy(struct flo_mqtt *mqtt)
{
    MQTTAsync_destroy(&mqtt->client);
}

static void *end(void *context)
{
    struct flo_mqtt *mqtt = context;

    mqtt->ending(mqtt);
    pthread_mutex_lock(&mqtt->mutex);
    mqtt->has_ended = true;
    pthread_cond_signal(&mqtt->closed);
    pthread_mutex_unlock(&mqtt->mutex);
    return NULL;
}

static bool ends_in_time(void (*ending)(struct flo_mqtt *mqtt), struct flo_mqtt *mqtt)
{
    pthread_t thread;

    mqtt->ending = ending;
    mqtt->has_ended = false;
    if (pthread_create(&thread, NULL, end, mqtt) != 0) {
        ending(mqtt);
        return true;
    }
    if (!comes_in_time(mqtt, &mqtt->has_ended)) {
        pthread_detach(thread);
        return false;
    }
    pthread_join(thread, NULL);
    return true;
}

/* Destroys paho's client.  Returns false when a name server does not answer,
 * because paho holds its lock meanwhile.  Both steps have a time limit, because
 * paho may begin to resolve a name after the first step. */
static bool is_destroyed_in_time(struct flo_mqtt *mqtt)
{
    return ends_in_time(take_pahos_lock, mqtt) && ends_in_time(destroy, mqtt);
}

static void end_at_once(int status, void *context)
{
    (void)context;
    fflush(stdout);
    _exit(status);
}

void flo_mqtt_close(struct flo_mqtt *mqtt, const char *bye)
{
    if (mqtt == NULL) {
        return;
    }
    flo_event_drop(&mqtt->wake);
    flo_event_drop(&mqtt->retry);
    if (mqtt->is_connected) {
        say_bye(mqtt, bye);
    } else if (mqtt->is_connecting && !is_destroyed_in_time(mqtt)) {
        (void)on_exit(end_at_once, NULL);
        return; /* `mqtt` is not freed, because paho's threads still use it */
    }
    if (mqtt->client != NULL) {
        MQTTAsync_destroy(&mqtt->client);
    }
    flo_mqtt_queue_deinit(&mqtt->queue);
    flo_mqtt_requests_free(mqtt);
    options_free(&mqtt->options);
    pthread_cond_destroy(&mqtt->closed);
    pthread_mutex_destroy(&mqtt->mutex);
    free(mqtt);
}

void flo_mqtt_spread(struct flo_mqtt *mqtt, uint64_t ms)
{
    mqtt->spread_ms = ms;
}

bool flo_mqtt_is_connected(const struct flo_mqtt *mqtt)
{
    return mqtt != NULL && mqtt->is_connected;
}

uint64_t flo_mqtt_dropped(const struct flo_mqtt *mqtt)
{
    return flo_mqtt_queue_dropped((struct flo_mqtt_queue *)(uintptr_t)&mqtt->queue);
}
