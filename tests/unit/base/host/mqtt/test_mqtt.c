/* The MQTT client against a real mosquitto over mutual TLS. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include <flotilla/errors/certificate.h>
#include <flotilla/errors/mqtt.h>
#include <flotilla/errors/net.h>

#include "base/host/mqtt.h"
#include "unit/base/host/mqtt/broker.h"
#include "unit/waits.h"

#define ID_A "0a0a0a0a-0000-4000-8000-00000000000a"
#define ID_B "0b0b0b0b-0000-4000-8000-00000000000b"
#define TOPIC_A "flotilla/v1/demo/d/" ID_A "/desired"
#define PRESENCE_A "flotilla/v1/demo/d/" ID_A "/presence"

static struct broker broker;

struct side {
    struct event_base *base;
    struct flo_mqtt *mqtt;
    int connects, losses, messages, delivered, undelivered, refused;
    int last_code, last_reason;
    char last_what[sizeof(((struct flo_err *)0)->what)];
    bool last_session, has_seen_secret;
    uint64_t first_retry_ms, last_retry_ms;
    char last_topic[256], last_data[256];
    const char *subscribe;
};

static void on_connected(void *context, bool session_present)
{
    struct side *side = context;
    struct flo_err err = {0};

    side->connects++;
    side->last_session = session_present;
    if (side->subscribe != NULL) {
        assert_int_equal(flo_mqtt_subscribe(side->mqtt, side->subscribe, 1, &err), 0);
    }
}

static void on_disconnected(void *context, const struct flo_err *err, uint64_t retry_in_ms)
{
    struct side *side = context;

    if (side->losses++ == 0) {
        side->first_retry_ms = retry_in_ms;
    }
    side->last_code = err->code;
    snprintf(side->last_what, sizeof(side->last_what), "%s", err->what);
    side->last_retry_ms = retry_in_ms;
}

static void on_message(void *context, const struct flo_mqtt_message *message)
{
    struct side *side = context;

    side->messages++;
    snprintf(side->last_topic, sizeof(side->last_topic), "%s", message->topic);
    snprintf(side->last_data, sizeof(side->last_data), "%.*s", (int)message->bytes, message->data);
    side->has_seen_secret |= strcmp(side->last_data, "secret") == 0;
}

static void on_delivered(void *context, uint64_t token, bool is_delivered, int reason)
{
    struct side *side = context;

    (void)token;
    side->delivered += is_delivered ? 1 : 0;
    side->undelivered += is_delivered ? 0 : 1;
    side->last_reason = reason;
}

static void on_refused(void *context, const char *topic, int reason)
{
    struct side *side = context;

    assert_true(reason >= 0x80);
    snprintf(side->last_topic, sizeof(side->last_topic), "%s", topic);
    side->refused++;
}

static struct side *side_open_for(const char *id, const char *will_topic, uint32_t session_expiry_s,
                                  const char *subscribe, uint32_t keepalive_s)
{
    struct side *side = calloc(1, sizeof(*side));
    struct flo_mqtt_handlers handlers = {
        .context = side,
        .on_connected = on_connected,
        .on_disconnected = on_disconnected,
        .on_message = on_message,
        .on_delivered = on_delivered,
        .on_refused = on_refused,
    };
    char cert[256], key[256], ca[256];
    struct flo_mqtt_options options = {
        .url = broker.url,
        .client_id = id,
        .ca_file = ca,
        .cert_file = cert,
        .key_file = key,
        .will_topic = will_topic,
        .will_text = "{\"v\":1,\"online\":false}",
        .session_expiry_s = session_expiry_s,
        .keepalive_s = keepalive_s,
        .retry_ms_min = 10,
        .retry_ms_max = 200,
        .payload_bytes_max = 1000,
    };
    struct flo_err err = {0};

    snprintf(ca, sizeof(ca), "%s", broker_file(&broker, "ca.pem"));
    snprintf(cert, sizeof(cert), "%s/%s.pem", broker.dir, id);
    snprintf(key, sizeof(key), "%s/%s.key", broker.dir, id);
    side->subscribe = subscribe;
    side->base = event_base_new();
    assert_int_equal(flo_mqtt_open(side->base, &options, &handlers, &side->mqtt, &err), 0);
    return side;
}

static struct side *side_open(const char *id, const char *will_topic, uint32_t session_expiry_s,
                              const char *subscribe)
{
    return side_open_for(id, will_topic, session_expiry_s, subscribe, 0);
}

static void side_close(struct side *side)
{
    flo_mqtt_close(side->mqtt, NULL);
    event_base_free(side->base);
    free(side);
}

static void turn(struct side *side)
{
    struct timeval slice = {.tv_usec = 5000};

    event_base_loopexit(side->base, &slice);
    event_base_dispatch(side->base);
}

static void assert_loss(const struct side *side, int code)
{
    if (side->last_code != code) {
        fail_msg("lost as %d, not %d: %s", side->last_code, code, side->last_what);
    }
    assert_null(strstr(side->last_what, "routines")); /* of a library */
}

/* Turn the loops of both until it is so. */
#define UNTIL(a, b, condition)                                                                     \
    WAIT_TURNING(condition, {                                                                      \
        turn(a);                                                                                   \
        if ((b) != NULL) {                                                                         \
            turn(b);                                                                               \
        }                                                                                          \
    })
#define NOBODY ((struct side *)NULL)

static int start(void **state)
{
    const char *const ids[] = {"controller", ID_A, ID_B, NULL};

    (void)state;
    broker_make(&broker, true, ids);
    broker_start(&broker);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    broker_remove(&broker);
    return 0;
}

static void a_message_goes_from_controller_to_device(void **state)
{
    struct side *device = side_open(ID_A, NULL, 0, TOPIC_A);
    struct side *controller = side_open("controller", NULL, 0, NULL);

    (void)state;
    UNTIL(device, controller, device->connects && controller->connects);
    assert_int_equal(flo_mqtt_publish(controller->mqtt, TOPIC_A, "hello", 5, 1, true, 60, 7, NULL),
                     0);

    UNTIL(device, controller, device->messages == 1 && controller->delivered);
    assert_string_equal(device->last_topic, TOPIC_A);
    assert_string_equal(device->last_data, "hello");

    side_close(device);
    side_close(controller);
}

static void a_web_proxy_of_the_environment_is_not_for_the_broker(void **state)
{
    (void)state;
    unsetenv("HTTPS_PROXY");
    setenv("https_proxy", "http://127.0.0.1:1", 1);
    setenv("http_proxy", "", 1);

    struct side *device = side_open(ID_A, NULL, 0, TOPIC_A);
    UNTIL(device, device, device->connects);

    assert_string_equal(getenv("HTTPS_PROXY"), "http://127.0.0.1:1");
    unsetenv("HTTPS_PROXY");
    side_close(device);
}

static void the_last_will_of_a_lost_device_says_offline(void **state)
{
    struct side *controller = side_open("controller", NULL, 0, PRESENCE_A);
    struct side *device = side_open(ID_A, PRESENCE_A, 0, NULL);

    (void)state;
    UNTIL(device, controller, device->connects && controller->connects);
    assert_int_equal(flo_mqtt_publish(device->mqtt, PRESENCE_A, "{\"v\":1,\"online\":true}", 21, 1,
                                      true, 0, 0, NULL),
                     0);
    UNTIL(controller, device, controller->messages >= 1);
    flo_mqtt_close(device->mqtt, "{\"v\":1,\"online\":false}");
    device->mqtt = NULL;

    UNTIL(controller, NOBODY, strstr(controller->last_data, "false") != NULL);

    side_close(controller);
    side_close(device);
}

static void nothing_of_another_device_arrives(void **state)
{
    struct side *device = side_open(ID_B, NULL, 0, "flotilla/v1/#");
    struct side *controller = side_open("controller", NULL, 0, NULL);

    (void)state;
    UNTIL(device, controller, device->connects && controller->connects);
    assert_int_equal(flo_mqtt_publish(controller->mqtt, TOPIC_A, "secret", 6, 1, false, 0, 0, NULL),
                     0);
    assert_int_equal(flo_mqtt_publish(controller->mqtt, "flotilla/v1/demo/d/" ID_B "/desired",
                                      "mine", 4, 1, false, 0, 0, NULL),
                     0);

    /* One connection keeps the order: what was sent later is here. */
    UNTIL(device, controller, strcmp(device->last_data, "mine") == 0);
    assert_false(device->has_seen_secret);

    side_close(device);
    side_close(controller);
}

static void a_publish_that_the_acl_forbids_is_told_with_its_reason(void **state)
{
    struct side *device = side_open(ID_A, NULL, 0, NULL);

    (void)state;
    UNTIL(device, NOBODY, device->connects == 1);
    assert_int_equal(flo_mqtt_publish(device->mqtt, "flotilla/v1/demo/d/" ID_B "/tele", "x", 1, 1,
                                      false, 0, 7, NULL),
                     0);

    UNTIL(device, NOBODY, device->undelivered == 1);
    assert_int_equal(device->last_reason, 0x87);

    side_close(device);
}

static void a_client_that_the_broker_does_not_admit_is_told_so(void **state)
{
    struct broker mine = broker;
    struct side *device;
    FILE *file;

    (void)state;
    broker_make(&broker, false, NULL);
    file = fopen(broker_file(&broker, "mosquitto.conf"), "we");
    fprintf(file, "listener %u 127.0.0.1\nuser root\nallow_anonymous false\n", broker.port);
    fclose(file);
    broker_start(&broker);
    device = side_open(ID_A, NULL, 0, NULL);

    UNTIL(device, NOBODY, device->losses >= 1);
    assert_loss(device, FLO_E_MQTT_ACL);
    assert_non_null(strstr(device->last_what, "Not authorized"));

    side_close(device);
    broker_remove(&broker);
    broker = mine;
}

static void a_killed_broker_is_found_again(void **state)
{
    struct side *device = side_open(ID_A, NULL, 3600, TOPIC_A);
    struct side *controller = side_open("controller", NULL, 0, NULL);
    int messages;

    (void)state;
    UNTIL(device, controller, device->connects && controller->connects);
    broker_kill(&broker);
    UNTIL(device, controller, device->losses >= 1 && controller->losses >= 1);
    assert_int_equal(flo_mqtt_publish(device->mqtt, PRESENCE_A, "x", 1, 1, false, 0, 9, NULL),
                     FLO_E_NET_UNREACHABLE);
    assert_loss(device, FLO_E_NET_UNREACHABLE);
    assert_true(device->first_retry_ms <= 200);

    broker_start(&broker);
    UNTIL(device, controller, device->connects >= 2 && controller->connects >= 2);
    assert_false(device->last_session);
    messages = device->messages;
    assert_int_equal(flo_mqtt_publish(controller->mqtt, TOPIC_A, "again", 5, 1, false, 0, 0, NULL),
                     0);
    UNTIL(device, controller, device->messages > messages);
    assert_string_equal(device->last_data, "again");

    side_close(device);
    side_close(controller);
}

/* A broker that stops is left.  Was it given time?  No: it had hung up before,
 * for the device came late with its ping.  Each try has a device of its own: a
 * few of such losses look like another client with its identity. */
static bool leaves_after_a_while(void)
{
    struct side *device = side_open_for(ID_A, NULL, 3600, TOPIC_A, 1);
    UNTIL(device, NOBODY, flo_mqtt_is_connected(device->mqtt));
    int losses = device->losses, connects = device->connects;
    uint64_t from_ms = waits_now_ms();
    waits_stop(broker.pid); /* its connections stay open */

    UNTIL(device, NOBODY, device->losses > losses);
    bool is_given_time = losses == 0 && waits_now_ms() - from_ms >= 500;
    kill(broker.pid, SIGCONT);
    if (is_given_time) {
        assert_loss(device, FLO_E_NET_UNREACHABLE); /* paho says no more */
        assert_true(device->last_retry_ms <= 200);
    }
    UNTIL(device, NOBODY, device->connects > connects);
    side_close(device);
    return is_given_time;
}

static void a_broker_that_says_no_more_is_left_and_tried_again(void **state)
{
    (void)state;
    WAIT_UNTIL(leaves_after_a_while());
}

static void every_publish_is_told_its_end_when_the_broker_dies(void **state)
{
    struct side *device = side_open(ID_A, NULL, 3600, NULL);
    int sent = 0;
    uint64_t token;

    (void)state;
    UNTIL(device, NOBODY, device->connects == 1);
    waits_stop(broker.pid);
    for (token = 1; token <= 50; token++) {
        sent += flo_mqtt_publish(device->mqtt, PRESENCE_A, "x", 1, 1, false, 0, token, NULL) == 0;
    }
    assert_int_equal(sent, 50);
    kill(broker.pid, SIGKILL);
    broker_kill(&broker);
    broker_start(&broker);

    UNTIL(device, NOBODY, device->delivered + device->undelivered >= 50);
    assert_int_equal(device->delivered + device->undelivered, 50);

    side_close(device);
}

static void two_clients_with_one_identity_are_told_and_back_off(void **state)
{
    struct side *first = side_open(ID_A, NULL, 0, NULL);
    struct side *second;

    (void)state;
    UNTIL(first, NOBODY, first->connects == 1);

    second = side_open(ID_A, NULL, 0, NULL);

    UNTIL(first, second,
          first->last_code == FLO_E_MQTT_IDENTITY || second->last_code == FLO_E_MQTT_IDENTITY);

    side_close(first);
    side_close(second);
}

static void a_large_message_is_dropped_and_counted(void **state)
{
    struct side *device = side_open(ID_A, NULL, 0, TOPIC_A);
    char line[1024];

    (void)state;
    UNTIL(device, NOBODY, device->connects == 1);
    snprintf(line, sizeof(line),
             "head -c 5000 /dev/zero | tr '\\0' x | mosquitto_pub -h 127.0.0.1 "
             "-p %u --cafile %s/ca.pem --cert %s/controller.pem --key "
             "%s/controller.key -t %s -q 1 -s",
             broker.port, broker.dir, broker.dir, broker.dir, TOPIC_A);
    UNTIL(device, NOBODY, flo_mqtt_dropped(device->mqtt) > 0 || system(line) != 0);
    assert_int_equal(device->messages, 0);

    side_close(device);
}

static void a_broker_of_another_ca_is_refused(void **state)
{
    const char *const ids[] = {"controller", ID_A, NULL};
    struct broker mine = broker;
    struct side *device;

    (void)state;
    broker_make(&broker, true, ids); /* another CA, nobody listens there */
    snprintf(broker.url, sizeof(broker.url), "%s", mine.url);
    device = side_open(ID_A, NULL, 0, NULL);

    UNTIL(device, NOBODY, device->losses >= 1);
    assert_loss(device, FLO_E_NET_TLS);

    side_close(device);
    broker_remove(&broker);
    broker = mine;
}

static void a_client_of_another_ca_is_told_that_it_is_refused(void **state)
{
    const char *const ids[] = {"stranger", NULL};
    struct broker other = {.port = 0};
    char line[600];

    (void)state;
    broker_make(&other, true, ids);
    snprintf(line, sizeof(line), "cp %s/stranger.pem %s/stranger.key %s", other.dir, other.dir,
             broker.dir);
    assert_int_equal(system(line), 0);
    struct side *device = side_open("stranger", NULL, 0, NULL);

    UNTIL(device, NOBODY, device->last_code == FLO_E_CERT_REFUSED); /* unless a reset is faster */
    assert_non_null(strstr(device->last_what, "refused this client's certificate"));

    side_close(device);
    broker_remove(&other);
}

/* Passes everything on between a client and the broker, and ends the connection
 * after so many bytes of the broker. */
static void pass(int client, size_t most)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(broker.port),
                                  .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int server = socket(AF_INET, SOCK_STREAM, 0);
    struct pollfd both[2] = {{.fd = client, .events = POLLIN}, {.fd = server, .events = POLLIN}};
    char data[4096];
    ssize_t bytes = connect(server, (struct sockaddr *)&address, sizeof(address)) == 0 ? 1 : 0;

    while (bytes > 0 && poll(both, 2, -1) > 0) {
        int from = both[1].revents != 0 ? 1 : 0;
        size_t room = from == 0 || most > sizeof(data) ? sizeof(data) : most;
        bytes = room == 0 ? 0 : read(both[from].fd, data, room);
        if (bytes > 0 && send(both[1 - from].fd, data, (size_t)bytes, MSG_NOSIGNAL) != bytes) {
            bytes = 0;
        }
        most -= from == 1 && bytes > 0 ? (size_t)bytes : 0;
    }
    close(server);
}

/* 30 connections end after 0, 74, 148 ... bytes of the broker, some of them with a
 * reset.  Then all bytes pass. */
static _Noreturn void cut(int listener)
{
    for (size_t most = 0;; most += 74) {
        int client = accept(listener, NULL, NULL);
        struct linger reset = {.l_onoff = most % 3 == 0};
        pass(client, most < 30 * 74 ? most : SIZE_MAX);
        setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
        close(client);
    }
}

static void a_connection_that_is_cut_anywhere_is_no_refusal(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t bytes = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    struct broker mine = broker;
    int losses = 0;

    (void)state;
    assert_int_equal(bind(listener, (struct sockaddr *)&address, bytes), 0);
    assert_int_equal(listen(listener, 8), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &bytes), 0);
    pid_t between = fork();
    if (between == 0) {
        cut(listener);
    }
    close(listener);
    snprintf(broker.url, sizeof(broker.url), "mqtts://127.0.0.1:%u", ntohs(address.sin_port));
    struct side *device = side_open(ID_A, NULL, 0, TOPIC_A);

    while (losses < 30) {
        UNTIL(device, NOBODY, device->losses > losses);
        losses = device->losses;
        assert_loss(device, FLO_E_NET_UNREACHABLE);
    }
    UNTIL(device, NOBODY, flo_mqtt_is_connected(device->mqtt));

    side_close(device);
    kill(between, SIGKILL);
    waitpid(between, NULL, 0);
    broker = mine;
}

static void an_authority_that_is_no_certificate_is_told(void **state)
{
    const char *path = broker_file(&broker, "ca.pem");
    char line[600];
    struct side *device;

    (void)state;
    snprintf(line, sizeof(line), "cp '%s' '%s.good' && printf x >'%s'", path, path, path);
    assert_int_equal(system(line), 0);
    device = side_open(ID_A, NULL, 0, NULL);

    UNTIL(device, NOBODY, device->losses >= 1);
    assert_loss(device, FLO_E_NET_TLS);

    side_close(device);
    path = broker_file(&broker, "ca.pem");
    snprintf(line, sizeof(line), "mv '%s.good' '%s'", path, path);
    assert_int_equal(system(line), 0);
}

static void use_again(struct side *device)
{
    char cert[256], key[256];

    snprintf(cert, sizeof(cert), "%s/%s.pem", broker.dir, ID_A);
    snprintf(key, sizeof(key), "%s/%s.key", broker.dir, ID_A);
    assert_int_equal(flo_mqtt_use(device->mqtt, cert, key, true, NULL), 0);
}

/* A broker that still sends to a device while it leaves may not read its last
 * word, for the device's kernel resets the connection.  Nothing is sent here.
 */
static void a_client_that_leaves_for_another_certificate_was_never_away(void **state)
{
    struct side *watcher = side_open("controller", NULL, 0, PRESENCE_A);
    struct side *device = side_open(ID_A, PRESENCE_A, 0, NULL);

    (void)state;
    UNTIL(device, watcher, device->connects == 1 && watcher->connects == 1);
    for (int i = 0; i < 3; i++) {
        use_again(device);
        UNTIL(device, watcher, device->connects == i + 2);
    }
    assert_int_equal(flo_mqtt_publish(watcher->mqtt, PRESENCE_A, "end", 3, 1, false, 0, 0, NULL),
                     0);
    UNTIL(watcher, device, watcher->messages > 0);
    assert_string_equal(watcher->last_data, "end");
    assert_int_equal(watcher->messages, 1);
    side_close(device);
    side_close(watcher);
}

/* Messages go both ways all the time; each that was taken arrives. */
static void a_client_changes_its_certificate_and_loses_nothing(void **state)
{
    char topic[] = "flotilla/v1/demo/d/" ID_A "/event";
    struct side *watcher = side_open("controller", NULL, 0, NULL);
    struct side *device = side_open(ID_A, NULL, 3600, TOPIC_A);
    int up = 0, down = 0;

    (void)state;
    UNTIL(device, watcher, device->connects == 1 && watcher->connects == 1);
    assert_int_equal(flo_mqtt_subscribe(watcher->mqtt, topic, 1, NULL), 0);
    assert_int_equal(flo_mqtt_publish(watcher->mqtt, topic, "begin", 5, 1, false, 0, 0, NULL),
                     0); /* comes after the subscription is there */
    assert_int_equal(flo_mqtt_publish(watcher->mqtt, TOPIC_A, "begin", 5, 1, true, 10, 0, NULL), 0);
    UNTIL(device, watcher,
          strcmp(watcher->last_data, "begin") == 0 && strcmp(device->last_data, "begin") == 0);
    watcher->messages = device->messages = 0;
    int wanted = device->connects;
    for (int i = 0; i < 5; i++) {
        for (int j = 0; j < 40; j++) { /* in the middle of it */
            if (j == 20) {
                use_again(device);
                wanted++;
            }
            up += flo_mqtt_publish(device->mqtt, topic, "up", 2, 1, false, 0, 1, NULL) == 0;
            down += flo_mqtt_publish(watcher->mqtt, TOPIC_A, "down", 4, 1, false, 0, 0, NULL) == 0;
            if (j % 5 == 0) {
                turn(device);
                turn(watcher);
            }
        }
        UNTIL(device, watcher, device->connects == wanted);
        assert_true(device->last_session);
    }

    UNTIL(device, watcher,
          device->delivered == up && watcher->messages >= up && device->messages >= down);
    assert_int_equal(down, 200);
    assert_in_range(up, 100, 200);
    assert_int_equal(device->undelivered, 0);
    assert_int_equal(device->losses, 5);
    assert_loss(device, FLO_E_NET_UNREACHABLE);
    side_close(device);
    side_close(watcher);
}

/* It works, and stays connected. */
static void works(struct side *device, uint64_t token)
{
    int delivered = device->delivered;

    UNTIL(device, NOBODY, flo_mqtt_is_connected(device->mqtt));
    for (int i = 0; i < 300; i++) {
        turn(device);
    }
    UNTIL(device, NOBODY, flo_mqtt_is_connected(device->mqtt));
    assert_int_equal(flo_mqtt_publish(device->mqtt, PRESENCE_A, "x", 1, 1, false, 0, token, NULL),
                     0);
    UNTIL(device, NOBODY, device->delivered > delivered);
}

static void a_broker_that_hangs_or_dies_while_it_is_left_is_found(void **state)
{
    struct side *device = side_open_for(ID_A, NULL, 3600, TOPIC_A, 5);
    (void)state;

    UNTIL(device, NOBODY, device->connects == 1);
    waits_stop(broker.pid);
    assert_int_equal(flo_mqtt_publish(device->mqtt, PRESENCE_A, "x", 1, 1, false, 0, 1, NULL), 0);
    use_again(device);
    for (int i = 0; i < 400; i++) { /* two seconds */
        turn(device);
    }
    kill(broker.pid, SIGCONT);
    works(device, 2);

    waits_stop(broker.pid);
    use_again(device);
    turn(device);
    kill(broker.pid, SIGKILL);
    broker_kill(&broker);
    broker_start(&broker);
    works(device, 3);
    use_again(device);
    use_again(device); /* before it was left */
    works(device, 4);
    side_close(device);
}

static void plain_mqtt_is_for_loopback_only(void **state)
{
    struct event_base *base = event_base_new();
    struct flo_mqtt_options options = {.url = "mqtt://192.0.2.1:1883", .client_id = ID_A};
    struct flo_mqtt_handlers handlers = {0};
    struct flo_mqtt *mqtt = NULL;
    struct flo_err err = {0};

    (void)state;
    assert_int_equal(flo_mqtt_open(base, &options, &handlers, &mqtt, &err), FLO_E_CFG_RANGE);
    assert_null(mqtt);
    event_base_free(base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_goes_from_controller_to_device),
        cmocka_unit_test(a_web_proxy_of_the_environment_is_not_for_the_broker),
        cmocka_unit_test(the_last_will_of_a_lost_device_says_offline),
        cmocka_unit_test(nothing_of_another_device_arrives),
        cmocka_unit_test(a_publish_that_the_acl_forbids_is_told_with_its_reason),
        cmocka_unit_test(a_client_that_the_broker_does_not_admit_is_told_so),
        cmocka_unit_test(a_killed_broker_is_found_again),
        cmocka_unit_test(a_broker_that_says_no_more_is_left_and_tried_again),
        cmocka_unit_test(every_publish_is_told_its_end_when_the_broker_dies),
        cmocka_unit_test(two_clients_with_one_identity_are_told_and_back_off),
        cmocka_unit_test(a_large_message_is_dropped_and_counted),
        cmocka_unit_test(a_broker_of_another_ca_is_refused),
        cmocka_unit_test(a_client_of_another_ca_is_told_that_it_is_refused),
        cmocka_unit_test(a_connection_that_is_cut_anywhere_is_no_refusal),
        cmocka_unit_test(an_authority_that_is_no_certificate_is_told),
        cmocka_unit_test(a_client_changes_its_certificate_and_loses_nothing),
        cmocka_unit_test(a_client_that_leaves_for_another_certificate_was_never_away),
        cmocka_unit_test(a_broker_that_hangs_or_dies_while_it_is_left_is_found),
        cmocka_unit_test(plain_mqtt_is_for_loopback_only),
    };

    if (!broker_is_here()) {
        print_message("skipped: mosquitto or openssl is not installed\n");
        return 77;
    }
    return cmocka_run_group_tests_name("mqtt", tests, start, stop);
}
