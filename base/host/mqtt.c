/* MQTT 5 client over paho's MQTTAsync.
 *
 * Three rules.  paho's callbacks only push to the queue (mqtt_queue.c).
 * Reconnecting is ours: paho's own has no jitter and hides the reason.  While
 * a connection is being made no paho function is called on the loop's thread,
 * because name resolution holds paho's global lock.
 *
 * A publish that was under way when the connection broke: paho repeats it when
 * the broker still knows the session; when it does not, on_delivered says
 * false. */
#include "base/host/mqtt.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <MQTTAsync.h>
#include <event2/event.h>

#include "base/host/crypto.h"
#include "base/host/mqtt_queue.h"

#define RECEIVE_MAX 65535
#define BUFFERED_MAX 100000
#define CONNECT_TIMEOUT_S 10
#define TURN_ITEMS_MAX 256 /* handled per turn of the loop */
#define STEADY_MS 30000    /* a connection that counts as good */
#define IDENTITY_SHIFT 4   /* takeover: the window starts 16 times wider */
#define CLOSE_WAIT_MS 1000
#define AUTHORITY_BYTES_MAX (64u << 10)
#define SHORT_LIVES_MAX 3

/* A request whose end paho reports: its address is paho's context. */
struct request {
    struct flo_mqtt *mqtt;
    struct request *all; /* every request ever made, freed at close */
    struct request *free;
    uint64_t token;
    char *topic; /* of a subscription */
    bool is_open;
};

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
    uint64_t connected_at_ms;
    uint32_t attempts; /* in a row without a steady connection */
    uint32_t takeovers;
    uint32_t short_lives;  /* working connections closed early, in a row */
    pthread_mutex_t mutex; /* of what follows: paho's threads use it too */
    pthread_cond_t closed;
    bool is_closed;
    char tls_text[256]; /* last line that OpenSSL said */
    struct request *requests;
    struct request *requests_free;
};

/* ---- requests ---------------------------------------------------------- */

static struct request *request_new(struct flo_mqtt *mqtt, uint64_t token,
                                   const char *topic)
{
    struct request *request;

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

static void request_end(struct request *request)
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

/* The broker forgot the session: whatever was under way is lost.  Requests
 * stay out of the free list, paho may still hold their address. */
static void requests_fail(struct flo_mqtt *mqtt)
{
    struct request *request;

    pthread_mutex_lock(&mqtt->mutex);
    for (request = mqtt->requests; request != NULL; request = request->all) {
        if (request->is_open && request->token != 0) {
            struct flo_mqtt_item item = {.kind = FLO_MQTT_DELIVERED,
                                         .token = request->token};
            request->token = 0;
            flo_mqtt_queue_push(&mqtt->queue, &item, NULL, 0, NULL, 0);
        }
    }
    pthread_mutex_unlock(&mqtt->mutex);
}

/* ---- paho's threads ------------------------------------------------------ */

static void push(struct flo_mqtt *mqtt, const struct flo_mqtt_item *item,
                 const char *text)
{
    flo_mqtt_queue_push(&mqtt->queue, item, text,
                        text == NULL ? 0 : strlen(text), NULL, 0);
}

static int paho_message(void *context, char *topic, int topic_bytes,
                        MQTTAsync_message *message)
{
    struct flo_mqtt *mqtt = context;
    struct flo_mqtt_item item = {.kind = FLO_MQTT_MESSAGE,
                                 .flag = message->retained != 0};
    size_t bytes = topic_bytes > 0 ? (size_t)topic_bytes : strlen(topic);

    flo_mqtt_queue_push(&mqtt->queue, &item, topic, bytes, message->payload,
                        (size_t)message->payloadlen);
    MQTTAsync_freeMessage(&message);
    MQTTAsync_free(topic);
    return 1;
}

static void paho_lost(void *context, char *cause)
{
    struct flo_mqtt_item item = {.kind = FLO_MQTT_LOST};

    push(context, &item, cause);
}

static void paho_disconnected(void *context, MQTTProperties *properties,
                              enum MQTTReasonCodes reason)
{
    struct flo_mqtt_item item = {.kind = FLO_MQTT_LOST, .reason = (int)reason};

    (void)properties;
    push(context, &item, MQTTReasonCode_toString(reason));
}

static void paho_connected(void *context, MQTTAsync_successData5 *data)
{
    struct flo_mqtt_item item = {.kind = FLO_MQTT_CONNECTED,
                                 .flag = data->alt.connect.sessionPresent != 0};

    push(context, &item, NULL);
}

static void paho_connect_failed(void *context, MQTTAsync_failureData5 *data)
{
    struct flo_mqtt_item item = {.kind = FLO_MQTT_FAILED,
                                 .code = data->code,
                                 .reason = (int)data->reasonCode};

    push(context, &item, data->message);
}

static int paho_tls_line(const char *text, size_t bytes, void *context)
{
    struct flo_mqtt *mqtt = context;
    const char *line = memchr(text, ':', bytes); /* skip the thread's id */
    size_t skip = line == NULL ? 0 : (size_t)(line + 1 - text);

    while (bytes > skip && text[bytes - 1] == '\n') {
        bytes--;
    }
    pthread_mutex_lock(&mqtt->mutex);
    flo_text_clean(text + skip, bytes - skip, mqtt->tls_text,
                   sizeof(mqtt->tls_text));
    pthread_mutex_unlock(&mqtt->mutex);
    return 1;
}

static void delivered(struct request *request, bool is_delivered)
{
    struct flo_mqtt *mqtt = request->mqtt;
    struct flo_mqtt_item item = {.kind = FLO_MQTT_DELIVERED,
                                 .flag = is_delivered};

    pthread_mutex_lock(&mqtt->mutex);
    item.token = request->token;
    pthread_mutex_unlock(&mqtt->mutex);
    request_end(request);
    if (item.token != 0) {
        push(mqtt, &item, NULL);
    }
}

static void paho_sent(void *context, MQTTAsync_successData5 *data)
{
    delivered(context, (int)data->reasonCode < 0x80);
}

static void paho_send_failed(void *context, MQTTAsync_failureData5 *data)
{
    (void)data;
    delivered(context, false);
}

static void subscribed(struct request *request, int reason)
{
    struct flo_mqtt_item item = {.kind = FLO_MQTT_REFUSED, .reason = reason};

    if (reason >= 0x80) {
        push(request->mqtt, &item, request->topic);
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

/* ---- connecting, on the loop's thread -------------------------------------
 */

static void property_u32(MQTTProperties *properties,
                         enum MQTTPropertyCodes code, uint32_t value)
{
    MQTTProperty property = {.identifier = code};

    if (code == MQTTPROPERTY_CODE_RECEIVE_MAXIMUM) {
        property.value.integer2 = (unsigned short)value;
    } else {
        property.value.integer4 = value;
    }
    MQTTProperties_add(properties, &property);
}

static int start_connect(struct flo_mqtt *mqtt)
{
    const struct flo_mqtt_options *options = &mqtt->options;
    MQTTAsync_connectOptions connect = MQTTAsync_connectOptions_initializer5;
    MQTTAsync_SSLOptions tls = MQTTAsync_SSLOptions_initializer;
    MQTTAsync_willOptions will = MQTTAsync_willOptions_initializer;
    MQTTProperties properties = MQTTProperties_initializer;
    MQTTProperties will_properties = MQTTProperties_initializer;
    int rv;

    property_u32(&properties, MQTTPROPERTY_CODE_RECEIVE_MAXIMUM, RECEIVE_MAX);
    property_u32(&properties, MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL,
                 options->session_expiry_s);
    connect.connectProperties = &properties;
    connect.cleanstart = options->session_expiry_s == 0;
    connect.keepAliveInterval =
        options->keepalive_s == 0 ? 60 : (int)options->keepalive_s;
    connect.connectTimeout = CONNECT_TIMEOUT_S;
    connect.username = options->client_id;
    connect.context = mqtt;
    connect.onSuccess5 = paho_connected;
    connect.onFailure5 = paho_connect_failed;
    if (options->will_topic != NULL) {
        will.topicName = options->will_topic;
        will.message = options->will_text;
        will.qos = 1;
        will.retained = 1;
        connect.will = &will;
        property_u32(&will_properties, MQTTPROPERTY_CODE_WILL_DELAY_INTERVAL,
                     options->will_delay_s);
        connect.willProperties = &will_properties;
    }
    if (options->ca_file != NULL) {
        tls.trustStore = options->ca_file;
        tls.keyStore = options->cert_file;
        tls.privateKey = options->key_file;
        tls.enableServerCertAuth = 1;
        tls.verify = 1;
        tls.disableDefaultTrustStore = 1;
        tls.ssl_error_cb = paho_tls_line;
        tls.ssl_error_context = mqtt;
        connect.ssl = &tls;
    }
    pthread_mutex_lock(&mqtt->mutex);
    mqtt->tls_text[0] = '\0';
    pthread_mutex_unlock(&mqtt->mutex);
    mqtt->is_connecting = true;
    rv = MQTTAsync_connect(mqtt->client, &connect);
    MQTTProperties_free(&properties);
    MQTTProperties_free(&will_properties);
    return rv;
}

/* Uniform in [0, min * 2^attempts], at most max: full jitter. */
static uint64_t retry_delay_ms(const struct flo_mqtt *mqtt)
{
    uint64_t window = mqtt->options.retry_ms_min;
    uint32_t steps = mqtt->attempts;
    uint64_t random;

    if (mqtt->takeovers > 0) {
        steps += IDENTITY_SHIFT + mqtt->takeovers;
    }
    while (steps-- > 0 && window < mqtt->options.retry_ms_max) {
        window *= 2;
    }
    if (window > mqtt->options.retry_ms_max) {
        window = mqtt->options.retry_ms_max;
    }
    flo_random(&random, sizeof(random));
    return random % (window + 1);
}

static void plan_retry(struct flo_mqtt *mqtt, const struct flo_err *why)
{
    uint64_t delay_ms = retry_delay_ms(mqtt);
    struct timeval delay = {.tv_sec = (time_t)(delay_ms / 1000),
                            .tv_usec = (suseconds_t)(delay_ms % 1000) * 1000};

    mqtt->is_connected = false;
    mqtt->is_connecting = false;
    mqtt->attempts++;
    evtimer_add(mqtt->retry, &delay);
    if (mqtt->handlers.on_disconnected != NULL) {
        mqtt->handlers.on_disconnected(mqtt->handlers.context, why, delay_ms);
    }
}

static int code_of(const struct flo_mqtt *mqtt, int reason)
{
    switch (reason) {
    case MQTTREASONCODE_SESSION_TAKEN_OVER:
    case MQTTREASONCODE_CLIENT_IDENTIFIER_NOT_VALID:
        return FLO_E_MQTT_IDENTITY;
    case MQTTREASONCODE_BAD_USER_NAME_OR_PASSWORD:
    case MQTTREASONCODE_NOT_AUTHORIZED:
    case MQTTREASONCODE_BANNED:
        return FLO_E_MQTT_ACL;
    default:
        return mqtt->tls_text[0] != '\0' ? FLO_E_NET_TLS
                                         : FLO_E_NET_UNREACHABLE;
    }
}

/* paho does not tell an authority that it cannot read from a broker that is
 * not there. */
static int check_authority(const char *path, struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *pem = NULL;
    struct flo_certificate found;
    size_t bytes = 0;
    int rv = flo_file_read(path, AUTHORITY_BYTES_MAX, &pem, &bytes, err);

    if (rv == 0) {
        rv = flo_certificate_read(pem, bytes, &found, err);
    }
    return rv;
}

static void explain(struct flo_mqtt *mqtt, const struct flo_mqtt_item *item,
                    struct flo_err *err)
{
    const char *what = item->text[0] != '\0' ? item->text : "connection lost";
    struct flo_err why = {0};
    int code;

    pthread_mutex_lock(&mqtt->mutex);
    code = code_of(mqtt, item->reason);
    flo_fail(err, code, "broker %s: %s", mqtt->options.url,
             code == FLO_E_NET_TLS ? mqtt->tls_text : what);
    pthread_mutex_unlock(&mqtt->mutex);
    if (code == FLO_E_NET_UNREACHABLE && item->kind == FLO_MQTT_FAILED &&
        mqtt->options.ca_file != NULL &&
        check_authority(mqtt->options.ca_file, &why) < 0) {
        flo_fail(err, FLO_E_NET_TLS, "broker %s: authority %s: %s",
                 mqtt->options.url, mqtt->options.ca_file, why.what);
    }
}

static void on_retry(evutil_socket_t fd, short events, void *context)
{
    struct flo_mqtt *mqtt = context;
    int rv = start_connect(mqtt);

    (void)fd;
    (void)events;
    if (rv != MQTTASYNC_SUCCESS) {
        struct flo_mqtt_item item = {.kind = FLO_MQTT_FAILED, .code = rv};
        push(mqtt, &item, MQTTAsync_strerror(rv));
    }
}

/* ---- from the queue to the handlers ----------------------------------------
 */

static void on_connected(struct flo_mqtt *mqtt, bool session_present)
{
    mqtt->is_connecting = false;
    mqtt->is_connected = true;
    mqtt->connected_at_ms = flo_now_ms();
    if (!session_present) {
        requests_fail(mqtt);
    }
    if (mqtt->handlers.on_connected != NULL) {
        mqtt->handlers.on_connected(mqtt->handlers.context, session_present);
    }
}

/* mosquitto 2.0 closes the older of two clients with one identity without a
 * word.  What it looks like from here: a broker that always answers and always
 * hangs up soon after. */
static bool looks_like_takeover(struct flo_mqtt *mqtt)
{
    if (!mqtt->is_connected ||
        flo_now_ms() - mqtt->connected_at_ms >= STEADY_MS) {
        mqtt->short_lives = 0;
        return false;
    }
    mqtt->short_lives++;
    return mqtt->short_lives >= SHORT_LIVES_MAX;
}

static void on_lost(struct flo_mqtt *mqtt, const struct flo_mqtt_item *item)
{
    struct flo_err err = {0};

    /* paho may say it twice: with the reason, then without. */
    if (!mqtt->is_connected && !mqtt->is_connecting) {
        return;
    }
    explain(mqtt, item, &err);
    if (mqtt->is_connected) {
        mqtt->attempts = 0;
        if (flo_now_ms() - mqtt->connected_at_ms >= STEADY_MS) {
            mqtt->takeovers = 0;
        }
    }
    if (looks_like_takeover(mqtt) && err.code == FLO_E_NET_UNREACHABLE) {
        flo_fail(&err, FLO_E_MQTT_IDENTITY,
                 "broker %s: closed %u working connections in a row",
                 mqtt->options.url, mqtt->short_lives);
        flo_err_why(&err, "so it looks when another client connects as %s",
                    mqtt->options.client_id);
    }
    if (err.code == FLO_E_MQTT_IDENTITY) {
        mqtt->takeovers++;
    }
    plan_retry(mqtt, &err);
}

static void handle(struct flo_mqtt *mqtt, const struct flo_mqtt_item *item)
{
    const struct flo_mqtt_handlers *handlers = &mqtt->handlers;

    switch (item->kind) {
    case FLO_MQTT_CONNECTED:
        on_connected(mqtt, item->flag);
        break;
    case FLO_MQTT_FAILED:
    case FLO_MQTT_LOST:
        on_lost(mqtt, item);
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
            handlers->on_delivered(handlers->context, item->token, item->flag);
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
    size_t count;

    (void)fd;
    (void)events;
    flo_mqtt_queue_calm(&mqtt->queue);
    for (count = 0; count < TURN_ITEMS_MAX; count++) {
        struct flo_mqtt_item *item = flo_mqtt_queue_take(&mqtt->queue);
        if (item == NULL) {
            return;
        }
        handle(mqtt, item);
        free(item);
    }
    flo_mqtt_queue_wake(&mqtt->queue);
}

/* ---- the interface
 * ------------------------------------------------------------ */

static void options_free(struct flo_mqtt_options *options)
{
    const char **strings[] = {&options->url,      &options->client_id,
                              &options->ca_file,  &options->cert_file,
                              &options->key_file, &options->will_topic,
                              &options->will_text};
    size_t i;

    for (i = 0; i < FLO_COUNT(strings); i++) {
        free((void *)(uintptr_t)*strings[i]);
        *strings[i] = NULL;
    }
}

static int options_copy(const struct flo_mqtt_options *from,
                        struct flo_mqtt_options *to, struct flo_err *err)
{
    const char **strings[] = {&to->url,       &to->client_id, &to->ca_file,
                              &to->cert_file, &to->key_file,  &to->will_topic,
                              &to->will_text};
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
    if (to->payload_bytes_max == 0) {
        to->payload_bytes_max = 65536;
    }
    return is_whole ? 0 : flo_fail(err, FLO_E_MEMORY, "options of MQTT");
}

/* mqtts://h:p -> ssl://h:p; mqtt:// only on loopback. */
static int paho_url(const struct flo_mqtt_options *options, char *out,
                    size_t out_bytes, struct flo_err *err)
{
    static const char *const loopback[] = {
        "127.0.0.1:", "localhost:", "[::1]:"};
    const char *url = options->url;
    const char *host;
    size_t i;

    if (strncmp(url, "mqtts://", 8) == 0) {
        if (options->ca_file == NULL) {
            return flo_fail(err, FLO_E_CFG_KEY, "%s needs a CA file", url);
        }
        snprintf(out, out_bytes, "ssl://%s", url + 8);
        return 0;
    }
    host = strncmp(url, "mqtt://", 7) == 0 ? url + 7 : "";
    for (i = 0; i < FLO_COUNT(loopback); i++) {
        if (strncmp(host, loopback[i], strlen(loopback[i])) == 0) {
            snprintf(out, out_bytes, "tcp://%s", host);
            return 0;
        }
    }
    return flo_fail(err, FLO_E_CFG_RANGE,
                    "broker %s: mqtts://host:port, or mqtt:// on loopback",
                    url);
}

static int client_make(struct flo_mqtt *mqtt, struct flo_err *err)
{
    MQTTAsync_createOptions create = MQTTAsync_createOptions_initializer;
    char url[320];
    int rv = paho_url(&mqtt->options, url, sizeof(url), err);

    if (rv < 0) {
        return rv;
    }
    create.MQTTVersion = MQTTVERSION_5;
    create.maxBufferedMessages = BUFFERED_MAX;
    rv =
        MQTTAsync_createWithOptions(&mqtt->client, url, mqtt->options.client_id,
                                    MQTTCLIENT_PERSISTENCE_NONE, NULL, &create);
    if (rv != MQTTASYNC_SUCCESS) {
        mqtt->client = NULL;
        return flo_fail(err, FLO_E_INTERNAL, "MQTT client: %s",
                        MQTTAsync_strerror(rv));
    }
    MQTTAsync_setCallbacks(mqtt->client, mqtt, paho_lost, paho_message, NULL);
    MQTTAsync_setDisconnected(mqtt->client, mqtt, paho_disconnected);
    return 0;
}

/* paho would send the broker's connection through the web proxy of the
 * environment, even through an empty one.  It reads the names in small letters
 * only; downloads by child processes read the large ones too. */
static void hide_web_proxy(void)
{
    const char *proxy = getenv("https_proxy");

    if (proxy != NULL && proxy[0] != '\0') {
        setenv("HTTPS_PROXY", proxy, 0);
    }
    unsetenv("https_proxy");
    unsetenv("http_proxy");
}

int flo_mqtt_open(struct event_base *base,
                  const struct flo_mqtt_options *options,
                  const struct flo_mqtt_handlers *handlers,
                  struct flo_mqtt **out, struct flo_err *err)
{
    struct flo_mqtt *mqtt = calloc(1, sizeof(*mqtt));
    int rv;

    if (mqtt == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "MQTT client");
    }
    hide_web_proxy();
    pthread_mutex_init(&mqtt->mutex, NULL);
    pthread_cond_init(&mqtt->closed, NULL);
    mqtt->base = base;
    mqtt->handlers = *handlers;
    rv = options_copy(options, &mqtt->options, err);
    if (rv == 0) {
        rv = flo_mqtt_queue_init(&mqtt->queue, mqtt->options.queue_messages_max,
                                 mqtt->options.payload_bytes_max, err);
    }
    if (rv == 0) {
        rv = client_make(mqtt, err);
    }
    if (rv == 0) {
        mqtt->wake = event_new(base, mqtt->queue.wake_fd, EV_READ | EV_PERSIST,
                               on_wake, mqtt);
        mqtt->retry = evtimer_new(base, on_retry, mqtt);
        if (mqtt->wake == NULL || mqtt->retry == NULL ||
            event_add(mqtt->wake, NULL) != 0) {
            rv = flo_fail(err, FLO_E_MEMORY, "MQTT events");
        }
    }
    if (rv < 0) {
        flo_mqtt_close(mqtt, NULL);
        return rv;
    }
    on_retry(-1, 0, mqtt);
    *out = mqtt;
    return 0;
}

static void say_bye(struct flo_mqtt *mqtt, const char *bye)
{
    MQTTAsync_disconnectOptions disconnect =
        MQTTAsync_disconnectOptions_initializer5;
    struct timespec until;

    if (bye != NULL && mqtt->options.will_topic != NULL) {
        int rv = flo_mqtt_publish(mqtt, mqtt->options.will_topic, bye,
                                  strlen(bye), 1, true, 0, 0, NULL);
        (void)rv; /* the last will says nearly the same */
    }
    disconnect.timeout = CLOSE_WAIT_MS / 2;
    disconnect.context = mqtt;
    disconnect.onSuccess5 = paho_closed;
    disconnect.onFailure5 = paho_close_failed;
    if (MQTTAsync_disconnect(mqtt->client, &disconnect) != MQTTASYNC_SUCCESS) {
        return;
    }
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += CLOSE_WAIT_MS / 1000;
    pthread_mutex_lock(&mqtt->mutex);
    while (!mqtt->is_closed) {
        if (pthread_cond_timedwait(&mqtt->closed, &mqtt->mutex, &until) != 0) {
            break;
        }
    }
    pthread_mutex_unlock(&mqtt->mutex);
}

void flo_mqtt_close(struct flo_mqtt *mqtt, const char *bye)
{
    if (mqtt == NULL) {
        return;
    }
    if (mqtt->client != NULL) {
        if (mqtt->is_connected) {
            say_bye(mqtt, bye);
        }
        MQTTAsync_destroy(&mqtt->client);
    }
    if (mqtt->wake != NULL) {
        event_free(mqtt->wake);
    }
    if (mqtt->retry != NULL) {
        event_free(mqtt->retry);
    }
    flo_mqtt_queue_deinit(&mqtt->queue);
    while (mqtt->requests != NULL) {
        struct request *next = mqtt->requests->all;
        free(mqtt->requests->topic);
        free(mqtt->requests);
        mqtt->requests = next;
    }
    options_free(&mqtt->options);
    pthread_cond_destroy(&mqtt->closed);
    pthread_mutex_destroy(&mqtt->mutex);
    free(mqtt);
}

bool flo_mqtt_is_connected(const struct flo_mqtt *mqtt)
{
    return mqtt != NULL && mqtt->is_connected;
}

static int not_connected(const struct flo_mqtt *mqtt, struct flo_err *err)
{
    return flo_fail(err, FLO_E_NET_UNREACHABLE, "broker %s: not connected",
                    mqtt->options.url);
}

static int refused_by_paho(const struct flo_mqtt *mqtt, int rv,
                           const char *topic, struct flo_err *err)
{
    int code = rv == MQTTASYNC_BAD_UTF8_STRING ? FLO_E_MQTT_TOPIC
                                               : FLO_E_NET_UNREACHABLE;

    return flo_fail(err, code, "broker %s: topic %s: %s", mqtt->options.url,
                    topic, MQTTAsync_strerror(rv));
}

int flo_mqtt_subscribe(struct flo_mqtt *mqtt, const char *filter, int qos,
                       struct flo_err *err)
{
    MQTTAsync_responseOptions response = MQTTAsync_responseOptions_initializer;
    struct request *request;
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

int flo_mqtt_unsubscribe(struct flo_mqtt *mqtt, const char *filter,
                         struct flo_err *err)
{
    MQTTAsync_responseOptions response = MQTTAsync_responseOptions_initializer;
    int rv;

    if (!mqtt->is_connected) {
        return not_connected(mqtt, err);
    }
    rv = MQTTAsync_unsubscribe(mqtt->client, filter, &response);
    return rv == MQTTASYNC_SUCCESS ? 0 : refused_by_paho(mqtt, rv, filter, err);
}

int flo_mqtt_publish(struct flo_mqtt *mqtt, const char *topic, const void *data,
                     size_t bytes, int qos, bool retained, uint32_t expiry_s,
                     uint64_t token, struct flo_err *err)
{
    MQTTAsync_responseOptions response = MQTTAsync_responseOptions_initializer;
    MQTTAsync_message message = MQTTAsync_message_initializer;
    struct request *request = NULL;
    int rv;

    if (!mqtt->is_connected) {
        return not_connected(mqtt, err);
    }
    if (bytes > mqtt->options.payload_bytes_max) {
        return flo_fail(err, FLO_E_REST_TOO_LARGE,
                        "topic %s: %zu bytes, at most %zu", topic, bytes,
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
    message.payload = (void *)(uintptr_t)data; /* paho copies it */
    message.payloadlen = (int)bytes;
    message.qos = qos;
    message.retained = retained;
    if (expiry_s > 0) {
        property_u32(&message.properties,
                     MQTTPROPERTY_CODE_MESSAGE_EXPIRY_INTERVAL, expiry_s);
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

uint64_t flo_mqtt_dropped(const struct flo_mqtt *mqtt)
{
    return flo_mqtt_queue_dropped(
        (struct flo_mqtt_queue *)(uintptr_t)&mqtt->queue);
}
