/* Alerts in memory: one that comes and goes leaves no other out. */
#include "unit/server/world.h"

#include "server-stub/state/watch/memory.h"

#define TEN_MINUTES 600000

/* One look at two metrics, which are there or not: a device that takes too
 * much, and the broker that is gone. */
static void look(struct world *world, bool is_greedy, bool is_gone, uint64_t now_ms)
{
    struct flo_samples samples = {0};

    if (is_greedy) {
        flo_samples_add(&samples, FLO_EXPOSED_OVER_SHARE, (const char *const[]){"d-1", "messages"},
                        1);
    }
    if (is_gone) {
        flo_samples_add(&samples, FLO_EXPOSED_BROKER, NULL, 0);
    }
    assert_int_equal(flo_watch_evaluate(world->controller, &samples, now_ms, &world->err), 0);
    flo_samples_deinit(&samples);
}

static size_t fired(struct world *world, const char *rule)
{
    const struct flo_watch_alert *alert;
    size_t count = 0;

    for (size_t i = 0; (alert = flo_watch_alert_at(world->controller, i)) != NULL; i++) {
        count += strcmp(alert->rule, rule) == 0 ? 1 : 0;
    }
    return count;
}

static void an_alert_that_comes_and_goes_leaves_no_other_out(void **state)
{
    struct world *world = *state;
    uint64_t now_ms = 1000;

    for (int i = 0; i < 600; i++) {
        look(world, true, false, now_ms += 1000);
        look(world, false, false, now_ms += 1000);
        look(world, false, false, now_ms += TEN_MINUTES / 2);
    }
    assert_true(fired(world, "device-greedy") > 100);
    assert_true(world->controller->watch->alert_count <= FLO_WATCH_ALERTS_MAX / 2 + 8);
    look(world, false, true, now_ms += 1000);
    look(world, false, true, now_ms += TEN_MINUTES);
    assert_int_equal(fired(world, "broker-gone"), 1);
}

/* ---- a receiver that is down now and then ---- */

static void begin(struct world *world)
{
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
}

static void commit(struct world *world)
{
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
}

#define ALERTS 3000

struct receiver {
    struct world *world;
    bool is_up;
    bool answers; /* a message that it took is told as failed: its answer was lost */
    uint64_t now_ms;
    struct flo_fleet_delivery next; /* that is due; number 0: none */
    char body[4096];
    char last[ALERTS][16]; /* the newest word about each alert */
    uint64_t numbers[ALERTS];
};

static int take_due(void *context, const struct flo_fleet_delivery *delivery)
{
    struct receiver *receiver = context;

    if (receiver->next.number == 0) {
        receiver->next = *delivery;
        snprintf(receiver->body, sizeof(receiver->body), "%s", delivery->body);
    }
    return 0;
}

static void hear(struct receiver *receiver)
{
    json_t *body = json_loads(receiver->body, 0, NULL);
    size_t alert = (size_t)json_integer_value(json_object_get(body, "alert"));
    const char *news = json_string_value(json_object_get(body, "news"));

    assert_true(alert < ALERTS && news != NULL);
    assert_true(receiver->numbers[alert] <= receiver->next.number);
    receiver->numbers[alert] = receiver->next.number;
    snprintf(receiver->last[alert], sizeof(receiver->last[alert]), "%s", news);
    json_decref(body);
}

/* One attempt, as of the sender.  false: nothing is due. */
static bool attempt(struct receiver *receiver)
{
    struct flo_controller *controller = receiver->world->controller;
    struct flo_err *err = &receiver->world->err;

    receiver->next.number = 0;
    assert_int_equal(
        flo_fleet_delivery_due(controller->store, receiver->now_ms, 8, take_due, receiver, err), 0);
    struct flo_fleet_delivery tried = receiver->next;
    if (tried.number == 0) {
        return false;
    }
    if (receiver->is_up) {
        hear(receiver);
    }
    bool is_sent = receiver->is_up && receiver->answers;
    tried.failed += is_sent ? 0 : 1;
    uint64_t pause_ms = flo_alert_pause_ms(tried.failed, 0);
    tried.state = is_sent         ? FLO_DELIVERY_SENT
                  : pause_ms == 0 ? FLO_DELIVERY_DEAD
                                  : FLO_DELIVERY_WAITING;
    tried.error = "";
    tried.next_at_ms = receiver->now_ms + pause_ms;
    begin(receiver->world);
    assert_int_equal(flo_fleet_delivery_tried(controller->store, &tried, err), 0);
    commit(receiver->world);
    return true;
}

static uint32_t draw(uint32_t below)
{
    static uint32_t seed = 7;

    seed = seed * 1664525 + 1013904223;
    return (uint32_t)(((uint64_t)seed * below) >> 32);
}

static void the_last_word_about_an_alert_is_its_state(void **state)
{
    struct receiver *receiver = calloc(1, sizeof(*receiver));
    struct world *world = *state;
    const struct flo_watch_alert *alert;
    uint64_t again = 0;

    receiver->world = world;
    receiver->now_ms = 1000;
    flo_watch_use_command(world->controller->watch, true);
    for (int outage = 0; outage < 1000; outage++) {
        receiver->is_up = outage % 2 == 0;
        receiver->answers = draw(3) != 0;
        for (uint32_t turns = 1 + draw(6); turns > 0; turns--) {
            look(world, draw(2) == 0, false, receiver->now_ms += 1000 * (1 + draw(400)));
            while (draw(5) != 0 && attempt(receiver)) {
            }
        }
        if (draw(50) == 0) { /* an operator plays again what was given up */
            begin(world);
            assert_int_equal(flo_fleet_delivery_replay(world->controller->store, "command",
                                                       receiver->now_ms, &again, &world->err),
                             0);
            commit(world);
        }
        if (outage % 10 == 0) { /* here it stays up until nothing is left */
            receiver->is_up = receiver->answers = true;
            for (int hours = 0; hours < 3; hours++) {
                while (attempt(receiver)) {
                }
                receiver->now_ms += 3600000;
            }
            for (size_t i = 0; (alert = flo_watch_alert_at(world->controller, i)) != NULL; i++) {
                bool is_over = alert->core.state == FLO_ALERT_RESOLVED;
                const char *last = receiver->last[alert->id];
                assert_true(is_over ? strcmp(last, "") == 0 || strcmp(last, "resolved") == 0
                                    : strcmp(last, "resolved") != 0);
            }
        }
    }
    free(receiver);
}

/* ---- bounds ---- */

static int set_rule(struct world *world, const char *name, json_t *rule)
{
    begin(world);
    int rv = flo_watch_rule_set(world->controller, name, rule, &world->err);
    rv = flo_controller_end(world->controller, rv, &world->err);
    json_decref(rule);
    return rv;
}

static json_t *rule_of(const char *where)
{
    return json_pack("{s:s,s:i,s:i,s:i,s:i,s:i}", "where", where, "above", 10, "clear", 5, "for_ms",
                     60000, "keep_ms", 30000, "repeat_ms", 600000);
}

static void one_rule_too_many_is_refused_and_all_others_stand(void **state)
{
    struct world *world = *state;
    const struct flo_watches *watch = world->controller->watch;
    char name[16];
    size_t before = watch->rule_count;

    for (size_t i = before; i < FLO_WATCH_RULES_MAX; i++) {
        snprintf(name, sizeof(name), "r-%zu", i);
        assert_int_equal(set_rule(world, name, rule_of("temperature>85")), 0);
    }
    assert_int_equal(set_rule(world, "r-more", rule_of("temperature>85")), FLO_E_REST_LIMIT);
    assert_int_equal(watch->rule_count, FLO_WATCH_RULES_MAX);
    assert_null(flo_watch_rule_find(world->controller, "r-more"));
    assert_int_equal(set_rule(world, name, rule_of("temperature>85")), 0); /* one that is there */
}

static void a_rule_that_says_nothing_changes_nothing(void **state)
{
    struct world *world = *state;
    size_t before = world->controller->watch->rule_count;

    assert_true(set_rule(world, "odd", json_pack("{s:s}", "when", "it rains")) < 0);
    assert_true(set_rule(world, "odd", rule_of("temperature>")) < 0);
    assert_int_equal(world->controller->watch->rule_count, before);
    assert_null(flo_watch_rule_find(world->controller, "odd"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_rule_too_many_is_refused_and_all_others_stand,
                                        world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(a_rule_that_says_nothing_changes_nothing, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(the_last_word_about_an_alert_is_its_state, world_setup,
                                        world_teardown),
        cmocka_unit_test_setup_teardown(an_alert_that_comes_and_goes_leaves_no_other_out,
                                        world_setup, world_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
