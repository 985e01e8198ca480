/* A connection to the broker: in which order the controller hears and speaks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <event2/event.h>

#include "base/host/mqtt.h"
#include "server-stub/mqtt/batches.h"
#include "server-stub/state/controller.h"

#define TOPIC "flotilla/v1/demo/c/emergency"

/* The connection and the clock, in place of the real ones. */
static struct flo_mqtt_handlers handlers;
static uint64_t now_ms;
static int sent; /* messages with emergency orders */

int __wrap_flo_mqtt_open(struct event_base *base, const struct flo_mqtt_options *options,
                         const struct flo_mqtt_handlers *told, struct flo_mqtt **out,
                         struct flo_err *err);
void __wrap_flo_mqtt_close(struct flo_mqtt *mqtt, const char *bye);
int __wrap_flo_mqtt_subscribe(struct flo_mqtt *mqtt, const char *filter, int qos,
                              struct flo_err *err);
int __wrap_flo_mqtt_publish(struct flo_mqtt *mqtt, const char *topic, const void *data,
                            size_t bytes, int qos, bool retained, uint32_t expiry_s, uint64_t token,
                            struct flo_err *err);
bool __wrap_flo_mqtt_is_connected(const struct flo_mqtt *mqtt);
uint64_t __wrap_flo_mqtt_dropped(const struct flo_mqtt *mqtt);
uint64_t __wrap_flo_now_ms(void);

int __wrap_flo_mqtt_open(struct event_base *base, const struct flo_mqtt_options *options,
                         const struct flo_mqtt_handlers *told, struct flo_mqtt **out,
                         struct flo_err *err)
{
    (void)base, (void)options, (void)err;
    handlers = *told;
    *out = (struct flo_mqtt *)&handlers;
    return 0;
}

void __wrap_flo_mqtt_close(struct flo_mqtt *mqtt, const char *bye)
{
    (void)mqtt, (void)bye;
}

int __wrap_flo_mqtt_subscribe(struct flo_mqtt *mqtt, const char *filter, int qos,
                              struct flo_err *err)
{
    (void)mqtt, (void)filter, (void)qos, (void)err;
    return 0;
}

int __wrap_flo_mqtt_publish(struct flo_mqtt *mqtt, const char *topic, const void *data,
                            size_t bytes, int qos, bool retained, uint32_t expiry_s, uint64_t token,
                            struct flo_err *err)
{
    (void)mqtt, (void)data, (void)bytes, (void)qos, (void)retained, (void)expiry_s, (void)token;
    (void)err;
    sent += strcmp(topic, TOPIC) == 0;
    return 0;
}

bool __wrap_flo_mqtt_is_connected(const struct flo_mqtt *mqtt)
{
    return mqtt != NULL;
}

uint64_t __wrap_flo_mqtt_dropped(const struct flo_mqtt *mqtt)
{
    (void)mqtt;
    return 0;
}

uint64_t __wrap_flo_now_ms(void)
{
    return now_ms;
}

struct link {
    struct flo_controller *controller;
    struct event_base *base;
    struct flo_batches *batches;
};

/* A controller that knows one emergency order, and connects. */
static int set_up(void **state)
{
    const struct flo_controller_options options = {
        .dir = ":memory:", .fleet = "demo", .unproved = FLO_UNPROVED_TAKE};
    struct link *link = calloc(1, sizeof(*link));
    bool is_news;

    flo_log_level_set(FLO_LOG_ERROR);
    now_ms = 1000000;
    sent = 0;
    assert_int_equal(flo_controller_open(&options, &link->controller, NULL), 0);
    assert_int_equal(
        flo_fleet_emergency_put(link->controller->store,
                                &(struct flo_fleet_emergency){.id = "e-5",
                                                              .op = "freeze",
                                                              .envelope = "{}",
                                                              .seq = 5,
                                                              .expires_at_ms = INT64_MAX},
                                &is_news, NULL),
        0);
    link->base = event_base_new();
    assert_int_equal(flo_batches_open(link->controller, link->base, NULL, &link->batches, NULL), 0);
    handlers.on_connected(handlers.context, false);
    *state = link;
    return 0;
}

static int tear_down(void **state)
{
    struct link *link = *state;

    flo_batches_close(link->batches);
    flo_controller_close(link->controller);
    event_base_free(link->base);
    free(link);
    return 0;
}

static void tick(const struct link *link, uint64_t later_ms)
{
    now_ms += later_ms;
    flo_batches_tick(link->batches);
}

static void emergency_orders_that_a_broker_lost_are_sent_once(void **state)
{
    tick(*state, 1000);
    assert_int_equal(sent, 1);
    tick(*state, 5000);
    assert_int_equal(sent, 1);
}

static void hear(const char *topic, const char *text)
{
    handlers.on_message(handlers.context,
                        &(struct flo_mqtt_message){
                            .topic = topic, .data = text, .bytes = strlen(text), .retained = true});
}

static void write_batch(const struct link *link)
{
    uint64_t before = flo_batches_count(link->batches).batches;

    while (flo_batches_count(link->batches).batches == before) {
        event_base_loop(link->base, EVLOOP_ONCE);
    }
}

/* Else a controller that ends between both takes the broker's order from everybody.
 * Messages of devices, which never end, keep nothing back. */
static void emergency_orders_of_the_broker_are_stored_before_ours_replace_them(void **state)
{
    struct link *link = *state;

    tick(link, 999);
    assert_int_equal(sent, 0);
    hear(TOPIC, "{\"v\":1,\"orders\":[]}");
    tick(link, 1000);
    assert_int_equal(sent, 0);
    write_batch(link);
    hear("flotilla/v1/demo/d/11111111-1111-4111-8111-111111111111/presence", "{\"v\":1}");
    tick(link, 1);
    assert_int_equal(sent, 1);
    write_batch(link); /* a device's message did wait */
}

#define STORY(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(emergency_orders_that_a_broker_lost_are_sent_once),
        STORY(emergency_orders_of_the_broker_are_stored_before_ours_replace_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
