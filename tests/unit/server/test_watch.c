/* Alerts in memory, and what their receivers hear. */
#include "unit/dice.h"
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

/* Other devices take too much all the time, each for a while. */
static void alerts_that_come_and_go_leave_no_other_out(void **state)
{
    struct world *world = *state;
    uint64_t now_ms = 1000;
    char device[16];

    for (int i = 0; i < 600; i++) {
        struct flo_samples samples = {0};
        snprintf(device, sizeof(device), "d-%d", i);
        flo_samples_add(&samples, FLO_EXPOSED_OVER_SHARE, (const char *const[]){device, "messages"},
                        1);
        assert_int_equal(
            flo_watch_evaluate(world->controller, &samples, now_ms += 1000, &world->err), 0);
        flo_samples_deinit(&samples);
        look(world, false, false, now_ms += 1000);
        look(world, false, false, now_ms += TEN_MINUTES / 2);
    }
    assert_true(fired(world, "device-greedy") > 100);
    assert_true(world->controller->watch->alert_count <= FLO_WATCH_ALERTS_MAX / 2 + 8);
    look(world, false, true, now_ms += 1000);
    look(world, false, true, now_ms += TEN_MINUTES);
    assert_int_equal(fired(world, "broker-gone"), 1);
}

/* ---- receivers that are down now and then ---- */

static void begin(struct world *world)
{
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
}

static void commit(struct world *world)
{
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
}

#define HOUR UINT64_C(3600000)
#define OUTAGES 1000
#define ALERTS 2000
#define MESSAGES 40000
#define RECEIVERS 3 /* a webhook, one for pages alone, the alert command */

struct receiver {
    char target[FLO_NAME_MAX + 1];
    bool is_up;
    bool loses;        /* the answer to a message that it took is lost */
    uint64_t asked_ms; /* Retry-After of one that is down; 0: none */
    uint64_t rests_until_ms;
    char last[ALERTS][16];    /* the newest word about each alert */
    uint64_t numbers[ALERTS]; /* number of that word */
};

struct story {
    struct world *world;
    uint64_t now_ms;
    bool is_calm; /* nothing happens during an attempt */
    struct receiver receivers[RECEIVERS];
    uint32_t bodies[MESSAGES]; /* checksum of each message; 0: nobody heard it */
    struct flo_fleet_delivery next;
    char body[4096];
};

static int take_due(void *context, const struct flo_fleet_delivery *delivery)
{
    struct story *story = context;

    story->next = *delivery;
    snprintf(story->body, sizeof(story->body), "%s", delivery->body);
    return 0;
}

static const struct flo_watch_alert *alert_of(struct world *world, uint64_t id)
{
    const struct flo_watches *watch = world->controller->watch;

    for (size_t i = 0; i < watch->alert_count; i++) {
        if (watch->alerts[i].id == id) {
            return &watch->alerts[i];
        }
    }
    return NULL;
}

static bool is_over(struct world *world, uint64_t id)
{
    const struct flo_watch_alert *alert = alert_of(world, id);

    return alert == NULL || alert->core.state == FLO_ALERT_RESOLVED;
}

static void hear(struct story *story, struct receiver *receiver)
{
    json_t *body = json_loads(story->body, 0, NULL);
    size_t id = (size_t)json_integer_value(json_object_get(body, "alert"));
    const char *news = json_string_value(json_object_get(body, "news"));
    uint64_t number = story->next.number;
    uint32_t sum = flo_crc32c(1, story->body, strlen(story->body)) | 1;

    assert_true(id < ALERTS && number < MESSAGES && news != NULL);
    assert_true(story->now_ms >= receiver->rests_until_ms);
    assert_true(receiver->numbers[id] <= number);                            /* in order */
    assert_true(story->bodies[number] == 0 || story->bodies[number] == sum); /* the same */
    assert_true(strcmp(news, "resolved") == 0 || !is_over(story->world, id));
    story->bodies[number] = sum;
    receiver->numbers[id] = number;
    snprintf(receiver->last[id], sizeof(receiver->last[id]), "%s", news);
    json_decref(body);
}

/* One evaluation of the rules: which of four devices take too much, and whether the
 * broker is gone. */
static void evaluate(struct story *story)
{
    static const char *const devices[] = {"d-1", "d-2", "d-3", "d-4"};
    struct flo_samples samples = {0};

    for (size_t i = 0; i < FLO_COUNT(devices); i++) {
        if (dice(2 + (uint32_t)i) == 0) {
            flo_samples_add(&samples, FLO_EXPOSED_OVER_SHARE,
                            (const char *const[]){devices[i], "messages"}, 1);
        }
    }
    flo_samples_add(&samples, FLO_EXPOSED_BROKER, NULL, dice(3) != 0);
    assert_int_equal(
        flo_watch_evaluate(story->world->controller, &samples, story->now_ms, &story->world->err),
        0);
    flo_samples_deinit(&samples);
}

/* One attempt, as of the sender.  false: nothing is due. */
static bool attempt(struct story *story, struct receiver *receiver)
{
    struct flo_controller *controller = story->world->controller;
    struct flo_err *err = &story->world->err;

    story->next.number = 0;
    if (!flo_watch_rests(controller, receiver->target, story->now_ms)) {
        assert_int_equal(flo_fleet_delivery_due(controller->store, receiver->target, story->now_ms,
                                                take_due, story, err),
                         0);
    }
    if (story->next.number == 0) {
        return false;
    }
    struct flo_watch_attempt tried = {.number = story->next.number,
                                      .target = receiver->target,
                                      .failed = story->next.failed,
                                      .error = "it answered 503",
                                      .status = 503};
    if (receiver->is_up) {
        hear(story, receiver);
        tried.error = receiver->loses ? "no answer" : "";
    } else if (receiver->asked_ms > 0 && strcmp(receiver->target, FLO_WATCH_COMMAND) != 0) {
        tried.asked_ms = receiver->asked_ms;
        receiver->rests_until_ms =
            story->now_ms + (receiver->asked_ms < HOUR ? receiver->asked_ms : HOUR);
    }
    if (!story->is_calm && dice(8) == 0) { /* meanwhile */
        evaluate(story);
    }
    struct flo_fleet_delivery ends = flo_watch_tried(controller, &tried, story->now_ms);
    assert_true(ends.next_at_ms <= story->now_ms + HOUR);
    begin(story->world);
    assert_int_equal(flo_fleet_delivery_tried(controller->store, &ends, err), 0);
    commit(story->world);
    return true;
}

/* Somebody silences a rule or ends that, deletes it, makes it again as a page or as a
 * ticket, or a change of the database is rolled back. */
static void person(struct story *story)
{
    static const char *const rules[] = {"device-greedy", "broker-gone"};
    struct flo_controller *controller = story->world->controller;
    struct flo_err *err = &story->world->err;
    const char *rule = rules[dice(2)], *name, *text = NULL;
    json_t *json = NULL;
    uint32_t deed = dice(5);

    for (size_t i = 0; text == NULL || strcmp(name, rule) != 0; i++) {
        text = flo_alert_default(i, &name);
    }
    begin(story->world);
    if (flo_watch_rule_find(controller, rule) == NULL || deed == 0) {
        assert_int_equal(flo_json_parse(text, strlen(text), 4096, &json, err), 0);
        json_object_set_new(json, "severity", json_string(dice(2) == 0 ? "page" : "ticket"));
        assert_int_equal(flo_watch_rule_set(controller, rule, json, err), 0);
        json_decref(json);
    } else if (deed == 1) {
        assert_int_equal(flo_watch_rule_delete(controller, rule, err), 0);
    } else {
        uint64_t until_ms = deed == 2 ? 0 : story->now_ms + HOUR;
        assert_int_equal(flo_watch_silence(controller, rule, until_ms, "me", "why", err), 0);
    }
    if (deed == 4) {
        flo_controller_cancel(controller);
    } else {
        commit(story->world);
    }
}

/* All receivers are there until nothing is left: the newest word of each about each
 * alert is its state.  Returns how many words are that it fires. */
static size_t compare(struct story *story)
{
    uint64_t again;
    size_t firing = 0;

    story->is_calm = true;
    for (int hours = 0; hours < 3; hours++) {
        for (size_t i = 0; i < RECEIVERS; i++) {
            struct receiver *receiver = &story->receivers[i];
            receiver->is_up = true;
            receiver->loses = false;
            begin(story->world); /* an operator plays again what was given up */
            assert_int_equal(flo_fleet_delivery_replay(story->world->controller->store,
                                                       receiver->target, story->now_ms, &again,
                                                       &story->world->err),
                             0);
            commit(story->world);
            while (attempt(story, receiver)) {
            }
        }
        story->now_ms += HOUR;
    }
    for (size_t id = 1; id < ALERTS; id++) {
        const struct flo_watch_alert *alert = alert_of(story->world, id);
        for (size_t i = 0; i < RECEIVERS; i++) {
            const char *last = story->receivers[i].last[id];
            bool fires = last[0] != '\0' && strcmp(last, "resolved") != 0;
            bool is_told = !is_over(story->world, id) && alert->core.told_ms != 0;
            bool wants = i != 1 || (is_told && alert->is_page);
            if (fires != (is_told && wants)) {
                fail_msg("alert %zu: %s heard `%s`, it is %s", id, story->receivers[i].target, last,
                         is_told ? "firing" : "over");
            }
            firing += fires;
        }
    }
    story->is_calm = false;
    return firing;
}

static void open_story(struct story *story, struct world *world)
{
    struct flo_watch_webhook hook;

    dice_begin();
    story->world = world;
    story->now_ms = HOUR;
    begin(world);
    for (size_t i = 0; i < RECEIVERS - 1; i++) {
        assert_int_equal(flo_watch_webhook_add(world->controller, "https://localhost/", i == 1,
                                               &hook, &world->err),
                         0);
        snprintf(story->receivers[i].target, sizeof(hook.id), "%s", hook.id);
    }
    commit(world);
    flo_watch_use_command(world->controller->watch, true);
    snprintf(story->receivers[RECEIVERS - 1].target, sizeof(hook.id), "%s", FLO_WATCH_COMMAND);
}

/* Outages of minutes, of hours, some of days, and few that are longer than the attempts
 * go on. */
static uint64_t outage_ms(void)
{
    uint32_t kind = dice(40);

    return kind == 0  ? HOUR * (24 * 8 + dice(48))
           : kind < 4 ? HOUR * (1 + dice(70))
                      : HOUR * (1 + dice(180)) / 60;
}

static void the_last_word_about_an_alert_is_its_state(void **state)
{
    struct story *story = calloc(1, sizeof(*story));
    size_t firing = 0;

    open_story(story, *state);
    for (int outage = 0; outage < OUTAGES; outage++) {
        struct receiver *down = &story->receivers[dice(RECEIVERS)];
        uint64_t step_ms, ends_ms = story->now_ms + outage_ms();
        down->is_up = false;
        down->asked_ms = dice(2) == 0 ? 0 : 1000 * (uint64_t)dice(100000);
        step_ms = (ends_ms - story->now_ms) / (1 + dice(40)) + 15000;
        for (; story->now_ms < ends_ms; story->now_ms += step_ms) {
            evaluate(story);
            for (size_t i = 0; i < RECEIVERS; i++) {
                while (dice(4) != 0 && attempt(story, &story->receivers[i])) {
                }
            }
            if (dice(30) == 0) {
                person(story);
            }
        }
        for (size_t i = 0; i < RECEIVERS; i++) {
            story->receivers[i].loses = dice(4) == 0;
            story->receivers[i].is_up = story->receivers[i].is_up || dice(3) != 0;
        }
        if (outage % 5 == 4) {
            firing += compare(story);
        }
    }
    assert_true(firing > OUTAGES / 5);
    free(story);
}

static void a_message_waits_for_the_messages_of_no_other_receiver(void **state)
{
    struct story *story = calloc(1, sizeof(*story));
    struct receiver *one;

    open_story(story, *state);
    one = &story->receivers[0];
    story->receivers[2].is_up = true;
    one->asked_ms = HOUR;
    for (int i = 0; i < 200; i++, story->now_ms += 15000) {
        evaluate(story);
    }
    assert_true(attempt(story, one));
    assert_false(attempt(story, one)); /* it asked for an hour, for each message */
    assert_true(attempt(story, &story->receivers[2]));
    story->now_ms += HOUR;
    one->is_up = true;
    assert_true(attempt(story, one));
    free(story);
}

/* ---- an alert that flaps ---- */

struct told {
    size_t count;
    json_t *last; /* the newest message */
};

static int take_told(void *context, const struct flo_fleet_delivery *delivery)
{
    struct told *told = context;

    if (strstr(delivery->body, "\"device-greedy\"") != NULL && told->count++ == 0) {
        told->last = json_loads(delivery->body, 0, NULL);
    }
    return 0;
}

/* Counts the messages about the rule, and compares members of the newest one. */
static size_t told(struct world *world, const char *news, json_int_t fires, json_int_t held_min)
{
    struct told told = {0};

    assert_int_equal(flo_fleet_delivery_list(world->controller->store, "command", UINT64_MAX, 1000,
                                             take_told, &told, &world->err),
                     0);
    assert_string_equal(json_string_value(json_object_get(told.last, "news")), news);
    assert_int_equal(json_integer_value(json_object_get(told.last, "alert")), 1);
    assert_int_equal(json_integer_value(json_object_get(told.last, "fires")), fires);
    assert_true(json_integer_value(json_object_get(told.last, "held")) >= held_min);
    json_decref(told.last);
    return told.count;
}

/* Two minutes of each twelve are bad, for a day: 240 messages without its history. */
static void an_alert_that_flaps_is_damped_and_says_how_often(void **state)
{
    struct world *world = *state;
    uint64_t now_ms = HOUR;

    flo_watch_use_command(world->controller->watch, true);
    for (int i = 0; i < 24 * 240; i++, now_ms += 15000) {
        look(world, i % 48 < 8, false, now_ms);
    }
    assert_int_equal(told(world, "firing", 3, 0), 5);
    for (int i = 0; i < 240; i++, now_ms += 15000) {
        look(world, false, false, now_ms);
    }
    assert_int_equal(told(world, "resolved", 3, 100), 6);
    assert_int_equal(fired(world, "device-greedy"), 1);
    now_ms += 24 * HOUR; /* it has no history then */
    look(world, true, false, now_ms);
    assert_int_equal(told(world, "firing", 1, 0), 7);
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
        cmocka_unit_test_setup_teardown(a_message_waits_for_the_messages_of_no_other_receiver,
                                        world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(an_alert_that_flaps_is_damped_and_says_how_often,
                                        world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(alerts_that_come_and_go_leave_no_other_out, world_setup,
                                        world_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
