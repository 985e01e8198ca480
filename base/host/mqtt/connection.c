/* MQTT connections: connects, handles a loss, and reconnects.
 *
 * paho's own reconnect is not used: it has no jitter and hides the reason.
 * Functions that begin with paho_ are called on paho's threads and only push to
 * the queue. */
#include "base/host/mqtt/client.h"

#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/certificate.h>
#include <flotilla/errors/cfg.h>
#include <flotilla/errors/io.h>
#include <flotilla/errors/mqtt.h>
#include <flotilla/errors/net.h>

#include "base/host/crypto.h"
#include "base/host/tls_ciphers.h"
#include "base/host/tls_time.h"

#define RECEIVE_MAX 65535
#define BUFFERED_MAX 100000
#define CONNECT_TIMEOUT_S 10
#define RETRY_FLOOR_MS 50 /* see retry_delay_ms */
#define MAY_NOT_MS 250
#define STEADY_MS 30000  /* age from which a connection counts as stable */
#define IDENTITY_SHIFT 4 /* after a takeover the delay starts 16 times longer */
#define AUTHORITY_BYTES_MAX (64u << 10)
#define SHORT_LIVES_MAX 3
#define LEAVE_MS 1000
#define LEAVE_LOOK_MS 2000
#define REQUESTS_LOOK_MS 10

/* ---- paho's threads ---- */

static int paho_message(void *context, char *topic, int topic_bytes, MQTTAsync_message *message)
{
    struct flo_mqtt *mqtt = context;
    struct flo_mqtt_item item = {.kind = FLO_MQTT_MESSAGE, .flag = message->retained != 0};
    size_t bytes = topic_bytes > 0 ? (size_t)topic_bytes : strlen(topic);

    flo_mqtt_queue_push(&mqtt->queue, &item, topic, bytes, message->payload,
                        (size_t)message->payloadlen);
    MQTTAsync_freeMessage(&message);
    MQTTAsync_free(topic);
    return 1;
}

static void paho_lost(void *context, char *cause)
{
    struct flo_mqtt_item item = {.kind = FLO_MQTT_LOST, .flag = flo_mqtt_tls_is_refused()};

    flo_mqtt_push(context, &item, cause);
}

static void paho_disconnected(void *context, MQTTProperties *properties,
                              enum MQTTReasonCodes reason)
{
    struct flo_mqtt_item item = {
        .kind = FLO_MQTT_LOST, .flag = flo_mqtt_tls_is_refused(), .reason = (int)reason};

    (void)properties;
    flo_mqtt_push(context, &item, MQTTReasonCode_toString(reason));
}

static void paho_connected(void *context, MQTTAsync_successData5 *data)
{
    struct flo_mqtt_item item = {.kind = FLO_MQTT_CONNECTED,
                                 .flag = data->alt.connect.sessionPresent != 0};

    flo_mqtt_push(context, &item, NULL);
}

static void paho_connect_failed(void *context, MQTTAsync_failureData5 *data)
{
    /* paho may return the broker's reason code in place of its own. */
    int reason = data->code >= 0x80 ? data->code : (int)data->reasonCode;
    const char *text = reason != 0 ? MQTTReasonCode_toString(reason) : NULL;
    struct flo_mqtt_item item = {.kind = FLO_MQTT_FAILED,
                                 .flag = flo_mqtt_tls_is_refused(),
                                 .code = data->code,
                                 .reason = reason};

    flo_mqtt_push(context, &item, text != NULL ? text : data->message);
}

/* Returns the REASON field of
 * THREAD:error:CODE:LIBRARY:FUNCTION:REASON:FILE:LINE:...; a line of another
 * form is returned whole. */
static const char *tls_reason(const char *text, size_t *bytes)
{
    enum { BEFORE = 5 };
    const char *end = text + *bytes, *at = text;

    for (int i = 0; at != NULL && i < BEFORE; i++) {
        at = memchr(at, ':', (size_t)(end - at));
        at = at == NULL ? NULL : at + 1;
    }
    if (at == NULL || at == end || *at == ':') {
        return text;
    }
    const char *stop = memchr(at, ':', (size_t)(end - at));
    *bytes = (size_t)((stop == NULL ? end : stop) - at);
    return at;
}

static int paho_tls_line(const char *text, size_t bytes, void *context)
{
    struct flo_mqtt *mqtt = context;
    bool is_gone = flo_mqtt_tls_is_gone(text);
    const char *reason = tls_reason(text, &bytes);

    while (bytes > 0 && reason[bytes - 1] == '\n') {
        bytes--;
    }
    pthread_mutex_lock(&mqtt->mutex);
    flo_text_clean(reason, bytes, mqtt->tls_text, sizeof(mqtt->tls_text));
    mqtt->is_problem = mqtt->is_problem || !is_gone;
    pthread_mutex_unlock(&mqtt->mutex);
    return 1;
}

/* ---- connecting, on the loop's thread ---- */

static int start_connect(struct flo_mqtt *mqtt)
{
    const struct flo_mqtt_options *options = &mqtt->options;
    MQTTAsync_connectOptions connect = MQTTAsync_connectOptions_initializer5;
    MQTTAsync_SSLOptions tls = MQTTAsync_SSLOptions_initializer;
    MQTTAsync_willOptions will = MQTTAsync_willOptions_initializer;
    MQTTProperties properties = MQTTProperties_initializer;
    int rv;

    flo_mqtt_property(&properties, MQTTPROPERTY_CODE_RECEIVE_MAXIMUM, RECEIVE_MAX);
    flo_mqtt_property(&properties, MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL,
                      options->session_expiry_s);
    connect.connectProperties = &properties;
    connect.cleanstart = options->session_expiry_s == 0;
    connect.keepAliveInterval = options->keepalive_s == 0 ? 60 : (int)options->keepalive_s;
    connect.connectTimeout = CONNECT_TIMEOUT_S;
    /* A client with a certificate sends no user name, because RabbitMQ would
     * then ask for a password. */
    connect.username = options->cert_file == NULL ? options->client_id : NULL;
    connect.context = mqtt;
    connect.onSuccess5 = paho_connected;
    connect.onFailure5 = paho_connect_failed;
    if (options->will_topic != NULL) {
        will.topicName = options->will_topic;
        will.message = options->will_text;
        will.qos = 1;
        will.retained = 1;
        connect.will = &will;
    }
    if (options->ca_file != NULL) {
        tls.trustStore = options->ca_file;
        tls.keyStore = options->cert_file;
        tls.privateKey = options->key_file;
        tls.enabledCipherSuites = FLO_TLS_CIPHERS;
        tls.enableServerCertAuth = 1;
        tls.verify = 1;
        tls.disableDefaultTrustStore = 1;
        tls.ssl_error_cb = paho_tls_line;
        tls.ssl_error_context = mqtt;
        connect.ssl = &tls;
    }
    pthread_mutex_lock(&mqtt->mutex);
    mqtt->tls_text[0] = '\0';
    mqtt->is_problem = false;
    pthread_mutex_unlock(&mqtt->mutex);
    flo_tls_problem_clear();
    mqtt->is_connecting = true;
    rv = MQTTAsync_connect(mqtt->client, &connect);
    MQTTProperties_free(&properties);
    return rv;
}

/* Returns the delay before a reconnect.  It is uniform between a fixed floor
 * and min * 2^attempts more, at most max (full jitter).
 *
 * The range is at least the spread of all clients, because those that found the
 * broker down would otherwise all connect at its start.  The floor is needed
 * because paho reports a failure before it has finished with the connection.  A
 * new connection begun at once would get the same socket number and be closed
 * in its place. */
static uint64_t retry_delay_ms(const struct flo_mqtt *mqtt)
{
    uint64_t max = mqtt->options.retry_ms_max;
    uint64_t window = mqtt->options.retry_ms_min;
    uint32_t steps = mqtt->attempts;
    uint64_t random;

    max -= max < RETRY_FLOOR_MS ? max : RETRY_FLOOR_MS;
    if (mqtt->takeovers > 0) {
        steps += IDENTITY_SHIFT + mqtt->takeovers;
    }
    while (steps-- > 0 && window < max) {
        window *= 2;
    }
    if (window < mqtt->spread_ms) {
        window = mqtt->spread_ms;
    }
    if (window > max) {
        window = max;
    }
    flo_random(&random, sizeof(random));
    return RETRY_FLOOR_MS + random % (window + 1);
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

static int code_of(const struct flo_mqtt *mqtt, const struct flo_mqtt_item *item)
{
    switch (item->reason) {
    case MQTTREASONCODE_SESSION_TAKEN_OVER:
        return FLO_E_MQTT_IDENTITY;
    case MQTTREASONCODE_CLIENT_IDENTIFIER_NOT_VALID:
    case MQTTREASONCODE_BAD_USER_NAME_OR_PASSWORD:
    case MQTTREASONCODE_NOT_AUTHORIZED:
    case MQTTREASONCODE_BANNED:
        return FLO_E_MQTT_ACL;
    default:
        return strstr(mqtt->tls_text, "malloc failure") != NULL ? FLO_E_MEMORY
               : item->flag                                     ? FLO_E_CERT_REFUSED
               : mqtt->is_problem                               ? FLO_E_NET_TLS
                                                                : FLO_E_NET_UNREACHABLE;
    }
}

/* Checks the CA file, because paho reports an unreadable one as an unreachable
 * broker. */
static int check_authority(const char *path, struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *pem = NULL;
    struct flo_certificate found;
    size_t bytes = 0;

    FLO_TRY(flo_file_read(path, AUTHORITY_BYTES_MAX, &pem, &bytes, err));
    return flo_certificate_read(pem, bytes, &found, err);
}

static void explain(struct flo_mqtt *mqtt, const struct flo_mqtt_item *item, struct flo_err *err)
{
    const char *what = item->text[0] != '\0' ? item->text : "connection lost";
    char problem[FLO_TLS_PROBLEM_BYTES];
    struct flo_err why = {0};
    int code;

    pthread_mutex_lock(&mqtt->mutex);
    code = code_of(mqtt, item);
    bool is_known = code == FLO_E_NET_TLS && flo_tls_problem(problem);
    flo_fail(err, code, "broker %s: %s", mqtt->options.url,
             is_known                     ? problem
             : code == FLO_E_CERT_REFUSED ? "it refused this client's certificate"
             : mqtt->tls_text[0] != '\0'  ? mqtt->tls_text
                                          : what);
    pthread_mutex_unlock(&mqtt->mutex);
    if (code == FLO_E_NET_UNREACHABLE && item->kind == FLO_MQTT_FAILED &&
        mqtt->options.ca_file != NULL && check_authority(mqtt->options.ca_file, &why) < 0) {
        bool is_lack = why.code == FLO_E_MEMORY || why.code == FLO_E_DESCRIPTORS;
        flo_fail(err, is_lack ? why.code : FLO_E_NET_TLS, "broker %s: authority %s: %s",
                 mqtt->options.url, mqtt->options.ca_file, why.what);
    }
}

/* ---- how it goes ---- */

void flo_mqtt_on_connected(struct flo_mqtt *mqtt, bool session_present)
{
    evtimer_del(mqtt->retry);
    mqtt->is_connecting = false;
    mqtt->is_connected = true;
    mqtt->connected_at_ms = flo_now_ms();
    if (!session_present) {
        flo_mqtt_requests_fail(mqtt);
    }
    if (mqtt->handlers.on_connected != NULL) {
        mqtt->handlers.on_connected(mqtt->handlers.context, session_present);
    }
}

/* Tells whether a loss is probably a takeover, by counting short connections in
 * a row.  mosquitto 2.0 closes the older of two clients with one identity, and
 * gives no reason.  So such a client connects with success each time, and is
 * soon disconnected. */
static bool looks_like_takeover(struct flo_mqtt *mqtt)
{
    if (!mqtt->is_connected || flo_now_ms() - mqtt->connected_at_ms >= STEADY_MS) {
        mqtt->short_lives = 0;
        return false;
    }
    mqtt->short_lives++;
    return mqtt->short_lives >= SHORT_LIVES_MAX;
}

void flo_mqtt_on_lost(struct flo_mqtt *mqtt, const struct flo_mqtt_item *item)
{
    struct flo_err err = {0};

    if (mqtt->is_leaving) {
        flo_mqtt_on_left(mqtt);
        return;
    }
    /* paho may report a loss twice: first with the reason, then without. */
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
        flo_fail(&err, FLO_E_MQTT_IDENTITY, "broker %s: closed %u working connections in a row",
                 mqtt->options.url, mqtt->short_lives);
        flo_err_why(&err, "so it looks when another client connects as %s",
                    mqtt->options.client_id);
    }
    if (err.code == FLO_E_MQTT_IDENTITY) {
        mqtt->takeovers++;
    }
    plan_retry(mqtt, &err);
}

/* ---- with another certificate ---- */

static void paho_left(void *context, MQTTAsync_successData5 *data)
{
    struct flo_mqtt_item item = {.kind = FLO_MQTT_LEFT};

    (void)data;
    flo_mqtt_push(context, &item, NULL);
}

static void paho_leave_failed(void *context, MQTTAsync_failureData5 *data)
{
    (void)data;
    paho_left(context, NULL);
}

static void look_again(struct flo_mqtt *mqtt, unsigned in_ms)
{
    struct timeval later = {.tv_sec = (time_t)(in_ms / 1000),
                            .tv_usec = (suseconds_t)(in_ms % 1000) * 1000};

    evtimer_add(mqtt->retry, &later);
}

/* Gives pending requests a second to end, then disconnects.  Requests that are
 * pending at the disconnect would be reported as undelivered, though paho
 * sends their messages later.  A message without a request is sent again in
 * the same session.  The checks come soon, because paho's own come every three
 * seconds. */
static bool go_on_leaving(struct flo_mqtt *mqtt)
{
    MQTTAsync_disconnectOptions disconnect = MQTTAsync_disconnectOptions_initializer5;

    if (mqtt->leave_by_ms == 0) {
        look_again(mqtt, LEAVE_LOOK_MS);
        return MQTTAsync_isConnected(mqtt->client) != 0;
    }
    if (flo_now_ms() < mqtt->leave_by_ms && flo_mqtt_requests_are_open(mqtt)) {
        look_again(mqtt, REQUESTS_LOOK_MS);
        return true;
    }
    mqtt->leave_by_ms = 0;
    disconnect.context = mqtt;
    disconnect.onSuccess5 = paho_left;
    disconnect.onFailure5 = paho_leave_failed;
    look_again(mqtt, LEAVE_LOOK_MS);
    return MQTTAsync_disconnect(mqtt->client, &disconnect) == MQTTASYNC_SUCCESS;
}

void flo_mqtt_on_retry(evutil_socket_t fd, short events, void *context)
{
    static const struct timeval soon = {.tv_usec = MAY_NOT_MS * 1000};
    static const struct timeval silence = {.tv_sec = 4 * CONNECT_TIMEOUT_S};
    struct flo_mqtt *mqtt = context;
    int rv;

    (void)fd, (void)events;
    if (mqtt->is_leaving) {
        if (!go_on_leaving(mqtt)) {
            flo_mqtt_on_left(mqtt);
        }
        return;
    }
    if (mqtt->handlers.may_connect != NULL && !mqtt->handlers.may_connect(mqtt->handlers.context)) {
        evtimer_add(mqtt->retry, &soon);
        return;
    }
    if (mqtt->is_connecting) { /* paho never reported the result of this
                                * attempt, for example without memory */
        struct flo_mqtt_item silent = {.kind = FLO_MQTT_FAILED};
        flo_mqtt_push(mqtt, &silent, "no answer of the client library");
        evtimer_add(mqtt->retry, &silence);
        return;
    }
    rv = start_connect(mqtt);
    evtimer_add(mqtt->retry, &silence);
    if (rv != MQTTASYNC_SUCCESS) {
        struct flo_mqtt_item item = {.kind = FLO_MQTT_FAILED, .code = rv};
        flo_mqtt_push(mqtt, &item, MQTTAsync_strerror(rv));
    }
}

static void leave(struct flo_mqtt *mqtt)
{
    mqtt->is_connected = false;
    mqtt->is_leaving = true;
    mqtt->leave_by_ms = flo_now_ms() + LEAVE_MS;
    flo_mqtt_on_retry(-1, 0, mqtt);
}

/* Reconnects after a disconnect that this client asked for.  Also called when
 * the broker closed the connection without paho noticing: paho would then close
 * the next connection in its place. */
void flo_mqtt_on_left(struct flo_mqtt *mqtt)
{
    uint64_t spread_ms = mqtt->spread_ms;
    struct flo_err why = {0};

    if (!mqtt->is_leaving && !mqtt->is_connected) {
        return;
    }
    mqtt->is_leaving = false;
    mqtt->attempts = 0;
    flo_fail(&why, FLO_E_NET_UNREACHABLE, "broker %s: left, to connect with another certificate",
             mqtt->options.url);
    mqtt->spread_ms = 0; /* only this client reconnects, so its reconnect is not spread */
    plan_retry(mqtt, &why);
    mqtt->spread_ms = spread_ms;
}

int flo_mqtt_use(struct flo_mqtt *mqtt, const char *cert_file, const char *key_file, bool at_once,
                 struct flo_err *err)
{
    char *cert = strdup(cert_file);
    char *key = strdup(key_file);

    if (cert == NULL || key == NULL) {
        free(cert);
        free(key);
        return flo_fail(err, FLO_E_MEMORY, "certificate of MQTT");
    }
    free((void *)(uintptr_t)mqtt->options.cert_file);
    free((void *)(uintptr_t)mqtt->options.key_file);
    mqtt->options.cert_file = cert;
    mqtt->options.key_file = key;
    if (at_once && mqtt->is_connected) {
        leave(mqtt);
    }
    return 0;
}

/* ---- paho's client ---- */

/* Converts mqtts://h:p to ssl://h:p, the form that paho reads; mqtt:// is
 * allowed for loopback only. */
static int paho_url(const struct flo_mqtt_options *options, char *out, size_t out_bytes,
                    struct flo_err *err)
{
    const char *url = options->url;
    bool is_secure = strncmp(url, "mqtts://", 8) == 0;
    int rv = flo_url_check(url, &flo_url_mqtt, err);

    if (rv < 0) {
        return flo_wrap(err, rv, "broker");
    }
    if (is_secure && options->ca_file == NULL) {
        return flo_fail(err, FLO_E_CFG_KEY, "%s needs a CA file", url);
    }
    snprintf(out, out_bytes, "%s://%s", is_secure ? "ssl" : "tcp", url + (is_secure ? 8 : 7));
    return 0;
}

int flo_mqtt_client_make(struct flo_mqtt *mqtt, struct flo_err *err)
{
    MQTTAsync_createOptions create = MQTTAsync_createOptions_initializer;
    char url[320];

    FLO_TRY(paho_url(&mqtt->options, url, sizeof(url), err));
    /* Tracing is reduced, because paho formats a trace line for each packet
     * that nobody reads. */
    MQTTAsync_setTraceLevel(MQTTASYNC_TRACE_ERROR);
    create.MQTTVersion = MQTTVERSION_5;
    create.maxBufferedMessages = BUFFERED_MAX;
    int rv = MQTTAsync_createWithOptions(&mqtt->client, url, mqtt->options.client_id,
                                         MQTTCLIENT_PERSISTENCE_NONE, NULL, &create);
    if (rv != MQTTASYNC_SUCCESS) {
        mqtt->client = NULL;
        return flo_fail(err, FLO_E_INTERNAL, "MQTT client: %s", MQTTAsync_strerror(rv));
    }
    MQTTAsync_setCallbacks(mqtt->client, mqtt, paho_lost, paho_message, NULL);
    MQTTAsync_setDisconnected(mqtt->client, mqtt, paho_disconnected);
    return 0;
}
