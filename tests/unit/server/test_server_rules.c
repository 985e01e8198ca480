/* Rules follow the device: a walk over all ways by which a release may come to
 * a device, all rules that may hold for it, and all people who may approve.  An
 * oracle that knows nothing of rollouts says for each cell who may be told. */
#include <flotilla/errors/rollout.h>

#include "server-stub/state/devices/devices.h"
#include "server-stub/state/groups/groups.h"
#include "server-stub/state/membership/membership.h"
#include "server-stub/state/rollouts/view.h"
#include "server-stub/state/rollouts/work.h"
#include "server-stub/state/rules/rules.h"
#include "tests/unit/held_clock.h"
#include "tests/unit/server/world.h"
#include "tests/unit/waits.h"

#define HOUR_MS UINT64_C(3600000)
#define OURS 0 /* the device of the operator's own group */
#define X 2    /* the device of the group `prod`, for which rules are made */
#define DONE "\"phases\":[{\"share_pct\":100}]}"
#define OF_MINE "{\"release\":\"tiny@2.1.0\",\"group\":\"mine\"," DONE

static void begin(struct world *world)
{
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
}

static void commit(struct world *world)
{
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
}

/* Ten seconds pass: the calendar, then a tick. */
static void tick(struct world *world)
{
    held_clock_pass_ms(10000);
    begin(world);
    assert_int_equal(flo_rollouts_calendar(world->controller, &world->err), 0);
    assert_int_equal(flo_rollouts_step_all(
                         world->controller,
                         (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_TICK}, &world->err),
                     0);
    commit(world);
}

static void group(struct world *world, const char *name, const char *selector, uint64_t priority)
{
    begin(world);
    assert_int_equal(flo_fleet_group_put(
                         world->controller->store,
                         &(struct flo_fleet_group){
                             .name = name, .selector = selector, .note = "", .priority = priority},
                         &world->err),
                     0);
    flo_groups_changed(world->controller);
    commit(world);
    while (flo_groups_turn(world->controller, waits_now_ms())) {
    }
}

static void move(struct world *world, size_t device, const char *name, bool is_member)
{
    bool is_news;

    begin(world);
    assert_int_equal(
        flo_groups_member(world->controller, name, ids[device], is_member, &is_news, &world->err),
        0);
    commit(world);
}

static void relabel(struct world *world, size_t device, const char *labels)
{
    begin(world);
    assert_int_equal(flo_fleet_device_edit(world->controller->store, ids[device],
                                           &(struct flo_fleet_edit){.labels = labels}, &world->err),
                     0);
    assert_int_equal(flo_rollouts_relabelled(world->controller, ids[device], &world->err), 0);
    commit(world);
    while (flo_groups_turn(world->controller, waits_now_ms())) {
    }
}

static struct flo_rollout_entry *find(struct world *world, const char *id)
{
    struct flo_rollout_entry *entry = NULL;

    return flo_rollouts_find(world->controller, id, &entry, &world->err) == 0 ? entry : NULL;
}

/* ---- rules ---- */

enum freeze { NO_FREEZE, FREEZE, FREEZE_HOURS, FREEZE_OVER, FREEZE_TO_COME };

struct rule {
    const char *word;
    const char *group; /* of the approval */
    uint32_t people;
    const char *frozen; /* group of the freeze */
    enum freeze freeze;
};

static const struct rule rules[] = {
    {"none", NULL, 0, NULL, NO_FREEZE},
    {"one person for prod", "prod", 1, NULL, NO_FREEZE},
    {"two people for prod", "prod", 2, NULL, NO_FREEZE},
    {"one person for all", "all", 1, NULL, NO_FREEZE},
    {"two people elsewhere", "elsewhere", 2, NULL, NO_FREEZE},
    {"freeze of prod", NULL, 0, "prod", FREEZE},
    {"freeze of all", NULL, 0, "all", FREEZE},
    {"freeze of prod by hours", NULL, 0, "prod", FREEZE_HOURS},
    {"freeze elsewhere", NULL, 0, "elsewhere", FREEZE},
    {"freeze that is over", NULL, 0, "prod", FREEZE_OVER},
    {"freeze to come", NULL, 0, "prod", FREEZE_TO_COME},
    {"freeze of prod and one person for all", "all", 1, "prod", FREEZE},
};

static void put_freeze(struct world *world, const struct rule *rule)
{
    int64_t shift = rule->freeze == FREEZE_OVER ? -3 : rule->freeze == FREEZE_TO_COME ? 3 : 0;
    uint64_t at_ms = waits_wall_ms() + (uint64_t)(shift * (int64_t)HOUR_MS);
    struct flo_rule_freeze freeze = {.from_ms = at_ms - HOUR_MS, .until_ms = at_ms + HOUR_MS};

    if (rule->freeze == FREEZE_HOURS) {
        freeze.from_ms = freeze.until_ms = 0;
        snprintf(freeze.window_text, sizeof(freeze.window_text), "00:00-24:00 UTC");
    }
    snprintf(freeze.name, sizeof(freeze.name), "audit");
    snprintf(freeze.group, sizeof(freeze.group), "%s", rule->frozen);
    assert_int_equal(flo_rules_set_freeze(world->controller, &freeze, &world->err), 0);
}

static void put_rule(struct world *world, const struct rule *rule)
{
    begin(world);
    if (rule->group != NULL) {
        assert_int_equal(flo_rules_set_approval(world->controller, rule->group, rule->people,
                                                "root", &world->err),
                         0);
    }
    if (rule->freeze != NO_FREEZE) {
        put_freeze(world, rule);
    }
    commit(world);
}

static void lift_rule(struct world *world, const struct rule *rule)
{
    begin(world);
    if (rule->group != NULL) {
        assert_int_equal(
            flo_rules_set_approval(world->controller, rule->group, 0, "root", &world->err), 0);
    }
    if (rule->freeze != NO_FREEZE) {
        assert_int_equal(flo_rules_delete_freeze(world->controller, "audit", &world->err), 0);
    }
    commit(world);
}

/* ---- people ---- */

static const struct flo_actor ops = {"ops", "user:ops"}; /* world.h starts as he */
static const struct flo_actor ops_too = {"ops", "token:t-2"};
static const struct flo_actor robot = {"ci", "token:t-9"};
static const struct flo_actor anna = {"anna", "user:anna"};
static const struct flo_actor tom = {"tom", "user:tom"};

struct people {
    const char *word;
    const struct flo_actor *who[3];
    uint32_t others; /* other people who approve */
};

static const struct people roles[] = {
    {"nobody", {NULL}, 0},
    {"himself, twice, and a robot", {&ops, &ops_too, &robot}, 0},
    {"one other", {&anna}, 1},
    {"one other, twice", {&anna, &anna}, 1},
    {"two others", {&anna, &tom}, 2},
};

/* The newest rollout is approved, where that is possible. */
static void approve(struct world *world, const struct people *people)
{
    for (size_t i = 0; i < FLO_COUNT(people->who) && people->who[i] != NULL; i++) {
        struct flo_rollout_entry *entry = find(world, "r-0002");
        entry = entry != NULL ? entry : find(world, "r-0001");
        if (entry == NULL) {
            return;
        }
        begin(world);
        if (flo_rollouts_approve(world->controller, entry, people->who[i], people->who[i]->name,
                                 &world->err) < 0) {
            flo_controller_cancel(world->controller);
        } else {
            commit(world);
        }
    }
}

/* ---- ways ---- */

static void none(struct world *world)
{
    (void)world;
}

static void x_is_mine(struct world *world)
{
    move(world, X, "mine", true);
}

static void start_mine(struct world *world)
{
    (void)start(world, OF_MINE);
}

static void start_prod(struct world *world)
{
    (void)start(world, "{\"release\":\"tiny@2.1.0\",\"group\":\"prod\"," DONE);
}

static void start_all(struct world *world)
{
    (void)start(world, "{\"release\":\"tiny@2.1.0\"," DONE);
}

static void complete_mine(struct world *world)
{
    struct flo_rollout_entry *entry = start(world, OF_MINE);

    assert_non_null(entry);
    event_of(world, entry->core.id, DIGEST, OURS, "succeeded");
    assert_int_equal(entry->core.state, FLO_ROLLOUT_COMPLETED);
}

static void label_x(struct world *world)
{
    relabel(world, X, "{\"team\":\"mine\"}");
}

static void select_x(struct world *world)
{
    relabel(world, X, "{\"team\":\"odd\"}");
    group(world, "mine", "label.team in (mine, odd)", 100);
}

static void mine_by_label(struct world *world)
{
    relabel(world, OURS, "{\"team\":\"mine\"}");
    group(world, "mine", "label.team=mine", 100);
}

static void start_by_label(struct world *world)
{
    mine_by_label(world);
    start_mine(world);
}

static void complete_by_label(struct world *world)
{
    mine_by_label(world);
    complete_mine(world);
}

/* X leaves the fleet and enrols again, into both groups. */
static void enrol_x(struct world *world)
{
    const char groups[3][FLO_NAME_MAX + 1] = {"all", "mine", "prod"};
    struct flo_fleet_device device = {.id = NEWCOMER,
                                      .name = "new-1",
                                      .labels = "{}",
                                      .profile = "{}",
                                      .groups = "[\"all\",\"mine\",\"prod\"]",
                                      .enrolled_at_ms = 1};

    begin(world);
    assert_int_equal(
        flo_fleet_device_add(world->controller->store, &device, groups, 3, &world->err), 0);
    flo_fleet_device_heard(world->controller->store, NEWCOMER, 1, 0);
    assert_int_equal(flo_rollouts_join(world->controller, NEWCOMER, &world->err), 0);
    commit(world);
}

static void schedule_mine(struct world *world)
{
    assert_non_null(start(world, "{\"release\":\"tiny@2.1.0\",\"group\":\"mine\",\"start_at\":"
                                 "\"2099-01-01T00:00:00Z\"," DONE));
}

static void scheduled_begins(struct world *world)
{
    x_is_mine(world);
    find(world, "r-0001")->core.start_at_ms = waits_wall_ms() - 1;
    tick(world);
}

static void supersede(struct world *world)
{
    x_is_mine(world);
    add_next_release(world);
    (void)start(world, "{\"release\":\"tiny@2.2.0\",\"group\":\"mine\",\"supersede\":true," DONE);
}

static void edit(struct world *world)
{
    char names[FLO_SPEC_NAMES_MAX];
    struct flo_rollout_entry *wanted = NULL;
    json_t *change = json_pack("{s:s}", "rate", "600/min");

    x_is_mine(world);
    begin(world);
    int rv = flo_rollouts_read_edit(world->controller, find(world, "r-0001"), change, &wanted,
                                    names, &world->err);
    rv = rv < 0 ? rv
                : flo_rollouts_edit(world->controller, find(world, "r-0001"), wanted, "ops", names,
                                    &world->err);
    flo_rollouts_entry_free(wanted);
    json_decref(change);
    if (rv < 0) {
        flo_controller_cancel(world->controller);
    } else {
        commit(world);
    }
    tick(world);
}

/* The release of his group comes before the one of X's group. */
static void priority(struct world *world)
{
    group(world, "mine", "", 200);
    x_is_mine(world);
}

static void pin(struct world *world)
{
    json_t *before = json_object();
    json_t *after = json_pack("{s:s}", "tiny", "tiny@2.1.0");

    begin(world);
    assert_int_equal(flo_devices_pin(world->controller, ids[X], "ops", before, after, &world->err),
                     0);
    commit(world);
    json_decref(before);
    json_decref(after);
}

/* X completed the rollout once, left, has another person's release, returns. */
static void x_was_there(struct world *world)
{
    x_is_mine(world);
    struct flo_rollout_entry *entry = start(world, OF_MINE);
    assert_non_null(entry);
    event_of(world, entry->core.id, DIGEST, OURS, "succeeded");
    event_of(world, entry->core.id, DIGEST, X, "succeeded");
    assert_int_equal(entry->core.state, FLO_ROLLOUT_COMPLETED);
    move(world, X, "mine", false);
    begin(world);
    assert_int_equal(
        flo_fleet_desired_set(world->controller->store, ids[X], "tiny", "", &world->err), 0);
    commit(world);
}

static void leave(struct world *world)
{
    bool is_news;

    begin(world);
    assert_int_equal(
        flo_fleet_device_online(world->controller->store, ids[X], false, &is_news, &world->err), 0);
    assert_int_equal(flo_rollouts_step_all(world->controller,
                                           (struct flo_rollout_event){
                                               .kind = FLO_ROLLOUT_EVENT_GONE, .device = ids[X]},
                                           &world->err),
                     0);
    commit(world);
}

static void offline_x(struct world *world)
{
    leave(world);
    start_mine(world);
}

static void x_comes_back(struct world *world)
{
    x_is_mine(world);
    begin(world);
    assert_int_equal(flo_rollouts_step_all(world->controller,
                                           (struct flo_rollout_event){
                                               .kind = FLO_ROLLOUT_EVENT_HEARD, .device = ids[X]},
                                           &world->err),
                     0);
    commit(world);
}

/* Another controller leads: it reads all from the store. */
static void take_over(struct world *world)
{
    x_is_mine(world);
    flo_rollouts_forget(world->controller);
    assert_int_equal(flo_rollouts_load(world->controller, &world->err), 0);
    begin(world);
    assert_int_equal(flo_rules_load(world->controller, &world->err), 0);
    commit(world);
    x_comes_back(world);
}

static void resume(struct world *world)
{
    does(world, find(world, "r-0001"), FLO_ROLLOUT_EVENT_PAUSE);
    x_is_mine(world);
    does(world, find(world, "r-0001"), FLO_ROLLOUT_EVENT_RESUME);
}

static void start_in_two_phases(struct world *world)
{
    (void)start(world, "{\"release\":\"tiny@2.1.0\",\"group\":\"mine\","
                       "\"phases\":[{\"devices\":1},{\"share_pct\":100}]}");
}

static void promote(struct world *world)
{
    x_is_mine(world);
    does(world, find(world, "r-0001"), FLO_ROLLOUT_EVENT_PROMOTE);
}

/* A group of both goes back to a release that X has to fetch. */
static void roll_back_to(struct world *world)
{
    static const char report[] =
        "{\"v\":2,\"models\":[{\"model\":\"tiny\",\"current\":{\"release\":\"" NEXT_DIGEST
        "\",\"version\":\"2.2.0\"},\"previous\":null,\"denied\":[]}]}";
    char id[FLO_NAME_MAX + 1];

    add_next_release(world);
    begin(world);
    assert_int_equal(flo_fleet_device_reported(world->controller->store, ids[X], report, NULL, NULL,
                                               false, 1, NULL, 0, &world->err),
                     0);
    if (flo_orders_recall(world->controller,
                          &(struct flo_recall){.release = "tiny@2.2.0",
                                               .to = "tiny@2.1.0",
                                               .device = ids[X],
                                               .by = "ops",
                                               .reason = ""},
                          id, &world->err) < 0) {
        flo_controller_cancel(world->controller);
    } else {
        commit(world);
    }
}

struct way {
    const char *word;
    void (*prepare)(struct world *world); /* before the rule is made */
    void (*act)(struct world *world);
    const char *device; /* that must not be told */
    bool is_of_one;     /* one person's order, which nobody approves */
    bool is_refused;    /* a rule refuses the act itself, so it does not go on */
    bool does_stay;     /* once told, it stays told */
};

static const struct way ways[] = {
    {"start", x_is_mine, start_mine, NULL, false, true, false},
    {"start for prod", none, start_prod, NULL, false, true, false},
    {"start for all", none, start_all, NULL, false, true, false},
    {"join a running rollout", start_mine, x_is_mine, NULL, false, false, false},
    {"join a completed rollout", complete_mine, x_is_mine, NULL, false, false, false},
    {"label, running", start_by_label, label_x, NULL, false, false, false},
    {"label, completed", complete_by_label, label_x, NULL, false, false, false},
    {"selector, running", start_by_label, select_x, NULL, false, false, false},
    {"selector, completed", complete_by_label, select_x, NULL, false, false, false},
    {"enrolment, running", start_mine, enrol_x, NEWCOMER, false, false, false},
    {"enrolment, completed", complete_mine, enrol_x, NEWCOMER, false, false, false},
    {"schedule", schedule_mine, scheduled_begins, NULL, false, false, false},
    {"supersede", start_mine, supersede, NULL, false, true, false},
    {"edit", start_mine, edit, NULL, false, false, false},
    {"priority, running", start_mine, priority, NULL, false, false, false},
    {"priority, completed", complete_mine, priority, NULL, false, false, false},
    {"pin", none, pin, NULL, true, true, true},
    {"return", x_was_there, x_is_mine, NULL, false, false, true},
    {"offline", offline_x, x_comes_back, NULL, false, false, false},
    {"take-over, running", start_mine, take_over, NULL, false, false, false},
    {"take-over, completed", complete_mine, take_over, NULL, false, false, false},
    {"resume", start_mine, resume, NULL, false, false, false},
    {"promote", start_in_two_phases, promote, NULL, false, false, false},
    {"rollback to a release", none, roll_back_to, NULL, true, true, true},
};

/* ---- the walk ---- */

/* The oracle: tells what the rules of the cell say about X.  X is in `prod` and in `all`. */
static bool may_be_told(const struct rule *rule, uint32_t others)
{
    bool is_approval = rule->group != NULL &&
                       (strcmp(rule->group, "prod") == 0 || strcmp(rule->group, "all") == 0);
    bool is_freeze = rule->frozen != NULL &&
                     (strcmp(rule->frozen, "prod") == 0 || strcmp(rule->frozen, "all") == 0) &&
                     (rule->freeze == FREEZE || rule->freeze == FREEZE_HOURS);

    return !is_freeze && (!is_approval || others >= rule->people);
}

static void cell(const struct way *way, const struct rule *rule, const struct people *people,
                 bool is_late)
{
    const char *device = way->device != NULL ? way->device : ids[X];
    bool may = may_be_told(rule, way->is_of_one ? 0 : people->others);
    struct world *world;

    assert_int_equal(world_setup((void **)&world), 0);
    group(world, "mine", "", 100);
    group(world, "prod", "", 100);
    move(world, OURS, "mine", true);
    move(world, X, "prod", true);
    if (is_late) {
        leave(world);
    }
    way->prepare(world);
    if (!is_late) {
        put_rule(world, rule);
    }
    way->act(world);
    if (is_late) {
        leave(world);
        put_rule(world, rule);
    }
    tick(world);
    approve(world, people);
    tick(world);
    bool is_told = strcmp(op_of(world, device), "deploy") == 0;
    if (is_told != may) {
        fail_msg("%s, %s, %s%s: told %d, may be told %d", way->word, rule->word, people->word,
                 is_late ? ", the rule comes later" : "", is_told, may);
    }
    if (!may && (is_late || !way->is_refused)) {
        lift_rule(world, rule);
        tick(world);
        tick(world);
        if (strcmp(op_of(world, device), "deploy") != 0) {
            fail_msg("%s, %s, %s: does not go on", way->word, rule->word, people->word);
        }
    }
    world_teardown((void **)&world);
}

static void no_way_leads_past_a_rule(void **state)
{
    size_t cells = 0;

    (void)state;
    for (size_t way = 0; way < FLO_COUNT(ways); way++) {
        for (size_t rule = 0; rule < FLO_COUNT(rules); rule++) {
            /* people matter where a rule asks for their approval */
            size_t step = rules[rule].people > 0 ? 1 : FLO_COUNT(roles) - 1;
            for (size_t who = 0; who < FLO_COUNT(roles); who += step) {
                cell(&ways[way], &rules[rule], &roles[who], false);
                cells++;
            }
        }
    }
    assert_int_equal(cells, 936); /* docs/security.md */
}

/* An offline device that was told and has not begun is told no more. */
static void a_rule_that_comes_later_holds_who_has_not_begun(void **state)
{
    (void)state;
    for (size_t way = 0; way < FLO_COUNT(ways); way++) {
        for (size_t rule = 0; rule < FLO_COUNT(rules) && !ways[way].does_stay; rule++) {
            cell(&ways[way], &rules[rule], &roles[0], true);
        }
    }
}

/* Nor does a rollout that may not tell a device take it from the one that told
 * it. */
static void a_device_that_is_held_stays_with_the_rollout_that_has_it(void **state)
{
    struct world *world;

    (void)state;
    assert_int_equal(world_setup((void **)&world), 0);
    add_next_release(world);
    group(world, "mine", "", 100);
    group(world, "prod", "", 100);
    move(world, OURS, "mine", true);
    move(world, X, "prod", true);
    start_prod(world);
    assert_non_null(start(world, "{\"release\":\"tiny@2.2.0\",\"group\":\"mine\","
                                 "\"start_at\":\"2099-01-01T00:00:00Z\"," DONE));
    x_is_mine(world);
    put_rule(world, &rules[1]);
    find(world, "r-0002")->core.start_at_ms = waits_wall_ms() - 1;
    tick(world);

    assert_int_equal(find(world, "r-0002")->core.state, FLO_ROLLOUT_RUNNING);
    const struct flo_rollout *prod = &find(world, "r-0001")->core;
    assert_int_equal(prod->members[flo_rollout_find(prod, ids[X])].state, FLO_EXECUTION_NOTIFIED);
    char rollout[FLO_NAME_MAX + 1];
    assert_int_equal(
        flo_rollouts_of_order(world->controller, order_of(world, X), rollout, &world->err), 0);
    assert_string_equal(rollout, "r-0001");
    world_teardown((void **)&world);
}

/* One operator's group with a higher priority withholds nothing from a device of
 * a group with a rule. */
static void a_release_that_a_rule_holds_outranks_nobody(void **state)
{
    char rollout[FLO_NAME_MAX + 1];
    struct world *world;

    (void)state;
    assert_int_equal(world_setup((void **)&world), 0);
    add_next_release(world);
    group(world, "mine", "", 200);
    group(world, "prod", "", 100);
    move(world, OURS, "mine", true);
    move(world, X, "prod", true);
    put_rule(world, &rules[2]);
    start_mine(world);
    x_is_mine(world);
    assert_non_null(start(world, "{\"release\":\"tiny@2.2.0\",\"group\":\"prod\"," DONE));
    approve(world, &roles[4]);
    tick(world);

    assert_string_equal(op_of(world, ids[X]), "deploy");
    assert_int_equal(
        flo_rollouts_of_order(world->controller, order_of(world, X), rollout, &world->err), 0);
    assert_string_equal(rollout, "r-0002");
    world_teardown((void **)&world);
}

/* Who approved it for a device approved no other words. */
static void an_approval_for_a_device_ends_edits(void **state)
{
    char names[FLO_SPEC_NAMES_MAX];
    struct flo_rollout_entry *wanted = NULL;
    json_t *change = json_pack("{s:s}", "rate", "600/min");
    struct world *world;

    (void)state;
    assert_int_equal(world_setup((void **)&world), 0);
    group(world, "mine", "", 100);
    group(world, "prod", "", 100);
    move(world, OURS, "mine", true);
    move(world, X, "prod", true);
    put_rule(world, &rules[1]);
    start_mine(world);
    x_is_mine(world);
    approve(world, &roles[2]);
    move(world, X, "mine", false);
    lift_rule(world, &rules[1]);

    begin(world);
    assert_int_equal(flo_rollouts_read_edit(world->controller, find(world, "r-0001"), change,
                                            &wanted, names, &world->err),
                     0);
    assert_int_equal(flo_rollouts_edit(world->controller, find(world, "r-0001"), wanted, "ops",
                                       names, &world->err),
                     FLO_E_ROLLOUT_APPROVAL);
    flo_controller_cancel(world->controller);
    flo_rollouts_entry_free(wanted);
    json_decref(change);
    world_teardown((void **)&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_way_leads_past_a_rule),
        cmocka_unit_test(a_rule_that_comes_later_holds_who_has_not_begun),
        cmocka_unit_test(a_device_that_is_held_stays_with_the_rollout_that_has_it),
        cmocka_unit_test(a_release_that_a_rule_holds_outranks_nobody),
        cmocka_unit_test(an_approval_for_a_device_ends_edits),
    };

    return cmocka_run_group_tests_name("rules follow the device", tests, NULL, NULL);
}
