/* MQTT of the shipped code, over the links of a world. */
#include <string.h>

#include "tests/sim/ports/ports.h"

static struct flo_mqtt controllers;

static struct sim_device *actor(void)
{
    return (struct sim_device *)(uintptr_t)sim->actor;
}

/* ---- what it is told ---- */

int __wrap_flo_mqtt_open(struct event_base *base, const struct flo_mqtt_options *options,
                         const struct flo_mqtt_handlers *handlers, struct flo_mqtt **out,
                         struct flo_err *err)
{
    (void)base, (void)options, (void)err;
    *out = actor() == NULL ? &controllers : &actor()->mqtt;
    **out =
        (struct flo_mqtt){*handlers, actor() == NULL ? &sim->controller.client : &actor()->client};
    return 0;
}

void __wrap_flo_mqtt_close(struct flo_mqtt *closed, const char *bye)
{
    (void)bye;
    if (closed != NULL) {
        closed->client = NULL;
    }
}

void __wrap_flo_mqtt_spread(struct flo_mqtt *mqtt, uint64_t ms)
{
    (void)mqtt, (void)ms;
}

int __wrap_flo_mqtt_use(struct flo_mqtt *mqtt, const char *cert_file, const char *key_file,
                        bool at_once, struct flo_err *err)
{
    (void)mqtt, (void)cert_file, (void)key_file, (void)at_once, (void)err;
    return 0; /* no certificate ends */
}

bool __wrap_flo_mqtt_is_connected(const struct flo_mqtt *asked)
{
    return asked != NULL && asked->client != NULL && asked->client->believes;
}

static void on_subscribe(const struct sim_call *call)
{
    struct sim_device *device = call->device;

    if (!device->client.believes || device->client.connection != call->b) {
        return;
    }
    if (call->a == FLO_TOPIC_DESIRED) {
        sim_client_subscribe(&device->client);
    } else {
        sim_broker_groups(device);
    }
}

/* One filter stands for all but those of groups: they come together. */
int __wrap_flo_mqtt_subscribe(struct flo_mqtt *subscriber, const char *filter, int qos,
                              struct flo_err *err)
{
    struct sim_device *device = actor();
    struct sim_call call = {.fn = on_subscribe, .a = FLO_TOPIC_ORDER};

    (void)qos, (void)err;
    if (device == NULL) {
        if (strstr(filter, "/reported") != NULL) {
            sim_client_subscribe(subscriber->client);
        }
        return 0;
    }
    call.b = device->client.connection;
    if (strstr(filter, "/desired") != NULL) {
        call.a = FLO_TOPIC_DESIRED;
    } else if (strstr(filter, "/g/") == NULL) {
        return 0;
    }
    sim_device_later(device, device->client.delay_ms, call);
    return 0;
}

int __wrap_flo_mqtt_publish(struct flo_mqtt *publisher, const char *topic, const void *data,
                            size_t bytes, int qos, bool retained, uint32_t expiry_s, uint64_t token,
                            struct flo_err *err)
{
    struct sim_message *parsed = sim_message_new(topic, "", 0, false);
    enum flo_topic kind = parsed->topic;

    (void)qos, (void)retained, (void)expiry_s, (void)token;
    sim_message_drop(parsed);
    if (sim->is_wired && actor() != NULL && kind != FLO_TOPIC_REPORTED) {
        sim_trace(sim_name(actor()), "says %.*s", (int)bytes, (const char *)data);
    }
    return publisher->client != NULL &&
                   sim_client_publish(publisher->client, kind, topic, data, bytes)
               ? 0
               : flo_fail(err, FLO_E_NET_UNREACHABLE, "no broker");
}

uint64_t __wrap_flo_mqtt_dropped(const struct flo_mqtt *asked)
{
    (void)asked;
    return 0;
}

/* ---- what it tells ---- */

static void tell_connected(const struct flo_mqtt *mqtt, bool has_session)
{
    mqtt->handlers.on_connected(mqtt->handlers.context, has_session);
}

static void tell_disconnected(const struct flo_mqtt *mqtt)
{
    struct flo_err err = {.code = FLO_E_NET_UNREACHABLE};

    snprintf(err.what, sizeof(err.what), "the broker is gone");
    mqtt->handlers.on_disconnected(mqtt->handlers.context, &err, 100);
}

static void tell(const struct flo_mqtt *mqtt, const struct sim_message *message, bool is_retained)
{
    mqtt->handlers.on_message(mqtt->handlers.context,
                              &(struct flo_mqtt_message){.topic = message->name,
                                                         .data = message->data,
                                                         .bytes = message->bytes,
                                                         .retained = is_retained});
}

void sim_controller_connected(void)
{
    tell_connected(&controllers, false);
}

void sim_controller_disconnected(void)
{
    tell_disconnected(&controllers);
}

void sim_controller_heard(const struct sim_message *message, bool is_retained)
{
    tell(&controllers, message, is_retained);
}

void sim_device_connected(struct sim_device *device, bool has_session)
{
    sim->actor = device;
    tell_connected(&device->mqtt, has_session);
}

void sim_device_disconnected(struct sim_device *device)
{
    sim->actor = device;
    tell_disconnected(&device->mqtt);
}

void sim_device_heard(struct sim_device *device, const struct sim_message *message)
{
    sim->actor = device;
    if (sim->is_wired && message->topic == FLO_TOPIC_CMD) {
        sim_trace(sim_name(device), "hears %s", message->data);
    }
    tell(&device->mqtt, message, false);
}
