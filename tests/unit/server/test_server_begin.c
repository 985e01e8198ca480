/* To the begin of a rollout: approvals by rules of groups, its time, change
 * freezes, and what is kept over a restart. */
#include <flotilla/errors/db.h>
#include <flotilla/errors/fleet.h>
#include <flotilla/errors/release.h>
#include <flotilla/errors/rollout.h>

#include "server-stub/state/rollouts/view.h"
#include "server-stub/state/rollouts/work.h"
#include "server-stub/state/rules/rules.h"
#include "server-stub/store/calls/kept.h"
#include "tests/unit/server/world.h"
#include "tests/unit/waits.h"

#define HOUR_MS UINT64_C(3600000)
#define PLAIN "{\"release\":\"tiny@2.1.0\"}"

static const struct flo_actor mira = {"ops", "user:ops"}; /* world.h starts as she */
static const struct flo_actor mira_too = {"ops", "token:t-2"};
static const struct flo_actor anna = {"anna", "user:anna"};
static const struct flo_actor tom = {"tom", "user:tom"};

static void begin(struct world *world)
{
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
}

static void commit(struct world *world)
{
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
}

static void needs(struct world *world, const char *group, uint32_t people)
{
    begin(world);
    assert_int_equal(flo_rules_set_approval(world->controller, group, people, "root", &world->err),
                     0);
    commit(world);
}

static int approves(struct world *world, struct flo_rollout_entry *entry,
                    const struct flo_actor *by)
{
    begin(world);
    int rv = flo_rollouts_approve(world->controller, entry, by, by->name, &world->err);
    commit(world);
    return rv;
}

static void calendar(struct world *world)
{
    begin(world);
    assert_int_equal(flo_rollouts_calendar(world->controller, &world->err), 0);
    commit(world);
}

static struct flo_rollout_entry *reloaded(struct world *world, const char *id)
{
    struct flo_rollout_entry *entry = NULL;

    flo_rollouts_forget(world->controller);
    assert_int_equal(flo_rollouts_load(world->controller, &world->err), 0);
    assert_int_equal(flo_rollouts_find(world->controller, id, &entry, &world->err), 0);
    return entry;
}

static void freeze_now(struct world *world, const char *group)
{
    struct flo_rule_freeze freeze = {.from_ms = waits_wall_ms() - HOUR_MS,
                                     .until_ms = waits_wall_ms() + HOUR_MS};

    snprintf(freeze.name, sizeof(freeze.name), "audit");
    snprintf(freeze.group, sizeof(freeze.group), "%s", group);
    snprintf(freeze.reason, sizeof(freeze.reason), "yearly audit");
    begin(world);
    assert_int_equal(flo_rules_set_freeze(world->controller, &freeze, &world->err), 0);
    commit(world);
}

static uint32_t told(const struct flo_rollout_entry *entry)
{
    uint32_t count = 0;

    for (size_t i = 0; i < entry->core.member_count; i++) {
        count += entry->core.members[i].state != FLO_EXECUTION_QUEUED;
    }
    return count;
}

/* A device of "all" that is in this group too. */
static void put_into(struct world *world, const char *group)
{
    char groups[2][FLO_NAME_MAX + 1] = {"all", ""};
    struct flo_fleet_device device = {.id = "99999999-9999-4999-8999-999999999999",
                                      .name = "vip-1",
                                      .labels = "{}",
                                      .profile = "{}",
                                      .groups = "[\"all\"]",
                                      .enrolled_at_ms = 1};

    snprintf(groups[1], sizeof(groups[1]), "%s", group);
    begin(world);
    assert_int_equal(flo_fleet_device_add(world->controller->store, &device,
                                          (const char(*)[FLO_NAME_MAX + 1]) groups, 2, &world->err),
                     0);
    flo_fleet_device_heard(world->controller->store, device.id, 1, 0);
    commit(world);
}

/* ---- edits ---- */

/* "NAMES" of what changed, or the error's id. */
static const char *edits(struct world *world, struct flo_rollout_entry *entry, const char *change)
{
    static char names[FLO_SPEC_NAMES_MAX];
    json_t *json = json_loads(change, 0, NULL);

    assert_non_null(json);
    world->err = (struct flo_err){0};
    begin(world);
    struct flo_rollout_entry *wanted = NULL;
    int rv = flo_rollouts_read_edit(world->controller, entry, json, &wanted, names, &world->err);
    rv = rv < 0 ? rv
                : flo_rollouts_edit(world->controller, entry, wanted, "mira", names, &world->err);
    flo_rollouts_entry_free(wanted);
    json_decref(json);
    if (rv < 0) {
        flo_controller_cancel(world->controller);
        return flo_error_id(rv);
    }
    commit(world);
    return names;
}

static void an_edit_is_kept_over_a_restart(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry =
        start(world, "{\"release\":\"tiny@2.1.0\",\"phases\":[{\"devices\":1,"
                     "\"soak\":\"1d\"},{\"share_pct\":100}]}");
    assert_non_null(entry);
    assert_string_equal(edits(world, entry,
                              "{\"rate\":\"60/min\",\"limits\":{"
                              "\"per_site\":1,\"window\":\"01:00-02:00 UTC\"},"
                              "\"phases\":[{\"devices\":1},{\"devices\":2},"
                              "{\"share_pct\":100}]}"),
                        "rate, limits.per_site, limits.window, phases");
    char id[FLO_NAME_MAX + 1];
    snprintf(id, sizeof(id), "%s", entry->core.id);
    for (int restarts = 0; restarts < 2; restarts++) {
        assert_int_equal(entry->core.phase_count, 3);
        assert_int_equal(entry->core.phases[1].members, 1);
        assert_int_equal(entry->core.phases[2].bucket_to, FLO_BUCKETS);
        assert_int_equal(entry->core.limit_count, 1);
        assert_int_equal(entry->core.window.length_s, 3600);
        assert_int_equal(entry->core.edits, 1);
        entry = reloaded(world, id);
    }
}

static void words_that_others_approved_stay(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry = start(world, PLAIN);

    assert_non_null(entry);
    assert_string_equal(edits(world, entry, "{\"rate\":\"60/min\"}"), "rate");
    needs(world, "all", 1);
    assert_string_equal(edits(world, entry, "{\"rate\":\"90/min\"}"), "rollout.approval");
    entry = reloaded(world, "r-0001");
    assert_string_equal(json_string_value(json_object_get(entry->own->spec, "rate")), "60/min");
}

static void labels_over_which_a_phase_was_spread_stay(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry =
        start(world, "{\"release\":\"tiny@2.1.0\",\"phases\":[{\"devices\":1,"
                     "\"spread\":[\"site\"],\"soak\":\"1d\"},"
                     "{\"share_pct\":100}]}");

    assert_non_null(entry);
    assert_string_equal(edits(world, entry,
                              "{\"phases\":[{\"devices\":1,\"spread\":[\"hw\"]},"
                              "{\"share_pct\":100}]}"),
                        "rest.meaning");
    assert_non_null(strstr(world->err.what, "phases[0].spread"));
    assert_string_equal(edits(world, entry,
                              "{\"phases\":[{\"devices\":1,\"spread\":[\"site\"]},"
                              "{\"devices\":2,\"spread\":[\"site\"]},"
                              "{\"share_pct\":100}]}"),
                        "phases");
}

/* Its time went by, and a person resumed it. */
static void an_edit_after_its_time_went_by_may_leave_that_time(void **state)
{
    struct world *world = *state;
    char spec[256];

    snprintf(spec, sizeof(spec),
             "{\"release\":\"tiny@2.1.0\",\"on_expiry\":\"pause\","
             "\"expires_at_ms\":%llu}",
             (unsigned long long)waits_wall_ms() + 3600000);
    struct flo_rollout_entry *entry = start(world, spec);
    assert_non_null(entry);
    entry->spec.expires_at_ms = waits_wall_ms() - 1000;
    json_object_set_new(entry->own->spec, "expires_at_ms",
                        json_integer((json_int_t)entry->spec.expires_at_ms));
    entry->core.expires_at_ms = 0; /* as flo_rollout_expire leaves it */
    assert_string_equal(edits(world, entry, "{\"rate\":\"60/min\"}"), "rate");
    assert_int_equal(entry->core.expires_at_ms, 0);
    assert_string_equal(edits(world, entry, "{\"expires_at_ms\":1000}"), "rest.meaning");
}

static void an_edit_of_the_pace_mends_no_broken_gate(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry = start(world, PLAIN);

    assert_non_null(entry);
    entry->core.phases[0].state = FLO_PHASE_FAILED;
    assert_string_equal(edits(world, entry, "{\"rate\":\"60/min\"}"), "rate");
    assert_int_equal(entry->core.phases[0].state, FLO_PHASE_FAILED);
    assert_string_equal(edits(world, entry, "{\"gates\":{\"failed\":{\"max_pct\":50}}}"), "gates");
    assert_int_equal(entry->core.phases[0].state, FLO_PHASE_RUNNING);
}

/* Its group has fewer devices than at its start; its gates are as they were. */
static void an_edit_of_the_pace_asks_nothing_of_the_gates(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry =
        start(world, "{\"release\":\"tiny@2.1.0\",\"hold_for_person\":true,"
                     "\"phases\":[{\"devices\":1},{\"share_pct\":100}],"
                     "\"gates\":{\"ratio\":[{\"metric\":\"ttft_us\"}]}}");
    assert_non_null(entry);
    json_object_del(entry->own->spec, "hold_for_person");
    entry->spec.holds_for_person = false;
    assert_string_equal(edits(world, entry, "{\"rate\":\"60/min\"}"), "rate");
    assert_string_equal(edits(world, entry,
                              "{\"gates\":{\"ratio\":[{\"metric\":\"ttft_us\","
                              "\"devices_min\":9}]}}"),
                        "gate.undecidable");
}

/* ---- approvals ---- */

static void who_started_it_may_not_approve_it(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry;

    needs(world, "all", 1);
    entry = start(world, PLAIN);
    assert_non_null(entry);
    assert_int_equal(entry->core.state, FLO_ROLLOUT_AWAITING_APPROVAL);
    assert_int_equal(told(entry), 0);

    assert_int_equal(approves(world, entry, &mira), FLO_E_ROLLOUT_APPROVER);
    assert_int_equal(approves(world, entry, &mira_too), FLO_E_ROLLOUT_APPROVER);
    assert_int_equal(approves(world, entry, &(struct flo_actor){"eve", mira.account}),
                     FLO_E_ROLLOUT_APPROVER);
    assert_int_equal(entry->core.state, FLO_ROLLOUT_AWAITING_APPROVAL);
    assert_int_equal(approves(world, entry, &anna), 0);
    assert_int_equal(entry->core.state, FLO_ROLLOUT_RUNNING);
    assert_true(told(entry) > 0);
    assert_int_equal(approves(world, entry, &tom), 0); /* it is so already */
    assert_int_equal(json_array_size(entry->own->approvals), 1);
}

static void a_person_needs_a_person_and_not_a_token_of_nobody(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry;

    needs(world, "all", 1);
    entry = start(world, PLAIN);
    assert_non_null(entry);
    assert_int_equal(approves(world, entry, &(struct flo_actor){"ci", "token:t-9"}),
                     FLO_E_ROLLOUT_APPROVER);
    assert_non_null(strstr(world->err.what, "belongs to no person"));
    assert_int_equal(approves(world, entry, &anna), 0);
    assert_int_equal(entry->core.state, FLO_ROLLOUT_RUNNING);
}

static void two_people_are_two_people_also_after_a_restart(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry;

    needs(world, "all", 2);
    entry = start(world, "{\"release\":\"tiny@2.1.0\",\"approvals\":1}");
    assert_non_null(entry);
    assert_int_equal(entry->core.approvals_needed, 2);
    assert_int_equal(approves(world, entry, &anna), 0);
    assert_int_equal(approves(world, entry, &anna), FLO_E_ROLLOUT_APPROVER);
    needs(world, "all", 0); /* a rule that ends frees none that waits */
    entry = reloaded(world, "r-0001");
    assert_int_equal(entry->core.state, FLO_ROLLOUT_AWAITING_APPROVAL);
    assert_int_equal(approves(world, entry, &mira), FLO_E_ROLLOUT_APPROVER);
    assert_int_equal(approves(world, entry, &anna), FLO_E_ROLLOUT_APPROVER);
    assert_int_equal(approves(world, entry, &tom), 0);

    assert_int_equal(entry->core.state, FLO_ROLLOUT_RUNNING);
}

static void a_rule_holds_for_each_rollout_that_touches_its_group(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry;

    put_into(world, "vip");
    needs(world, "elsewhere", 3);
    needs(world, "vip", 1);
    entry = start(world, PLAIN); /* of all */
    assert_non_null(entry);
    assert_int_equal(entry->core.approvals_needed, 1);
    assert_int_equal(entry->core.state, FLO_ROLLOUT_AWAITING_APPROVAL);
}

static void nobody_waits_for_an_approval_for_ever(void **state)
{
    struct world *world = *state;
    struct flo_rollout_next next;
    struct flo_rollout_entry *entry = start(world, "{\"release\":\"tiny@2.1.0\",\"approvals\":1}");

    assert_non_null(entry);
    uint64_t now_ms = flo_controller_now_ms(world->controller);
    assert_true(flo_rollout_next(&entry->core, now_ms, 60000, &next));
    assert_in_range(next.at_ms - now_ms, 6 * 24 * HOUR_MS, 8 * 24 * HOUR_MS);
    entry->core.approve_by_ms = waits_wall_ms() - 1;
    does(world, entry, FLO_ROLLOUT_EVENT_TICK);
    assert_int_equal(entry->core.state, FLO_ROLLOUT_ABORTED);
}

/* ---- time ---- */

static void one_that_is_scheduled_begins_at_its_time(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry = start(world, "{\"release\":\"tiny@2.1.0\",\"start_at\":"
                                                   "\"2099-01-01T00:00:00Z\"}");

    assert_non_null(entry);
    assert_int_equal(entry->core.state, FLO_ROLLOUT_SCHEDULED);
    calendar(world);
    assert_int_equal(entry->core.state, FLO_ROLLOUT_SCHEDULED);
    assert_int_equal(told(entry), 0);
    entry = reloaded(world, "r-0001");
    assert_int_equal(entry->core.state, FLO_ROLLOUT_SCHEDULED);
    entry->core.start_at_ms = waits_wall_ms() - 1;
    calendar(world);

    assert_int_equal(entry->core.state, FLO_ROLLOUT_RUNNING);
    assert_true(told(entry) > 0);
}

static void what_runs_puts_it_off_and_says_so(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *scheduled = start(world, "{\"release\":\"tiny@2.1.0\",\"start_at\":"
                                                       "\"2099-01-01T00:00:00Z\"}");
    struct flo_rollout_entry *running = start(world, PLAIN);

    assert_non_null(scheduled);
    assert_non_null(running);
    uint64_t before_ms = waits_wall_ms();
    scheduled->core.start_at_ms = before_ms - 1;
    calendar(world);
    assert_int_equal(scheduled->core.state, FLO_ROLLOUT_SCHEDULED);
    assert_non_null(strstr(scheduled->core.reason, "rollout r-0002 of"));
    assert_true(scheduled->core.put_off_ms > before_ms);
    does(world, running, FLO_ROLLOUT_EVENT_ABORT);
    scheduled->own->bars_at_ms = 0; /* ten seconds later */
    calendar(world);
    assert_int_equal(scheduled->core.state, FLO_ROLLOUT_RUNNING);
}

static void a_time_that_has_passed_is_refused_as_an_end(void **state)
{
    struct world *world = *state;

    assert_null(start(world, "{\"release\":\"tiny@2.1.0\",\"expires_at\":"
                             "\"2020-01-01T00:00:00Z\"}"));
    assert_int_equal(world->err.code, FLO_E_REST_MEANING);
}

static void only_a_published_release_starts(void **state)
{
    static const struct {
        const char *state;
        int code;
    } cases[] = {{"yanked", FLO_E_RELEASE_YANKED}, {"draft", FLO_E_STATE}};
    struct world *world = *state;

    for (size_t i = 0; i < FLO_COUNT(cases); i++) {
        begin(world);
        assert_int_equal(
            flo_fleet_release_state(world->controller->store, DIGEST, cases[i].state, &world->err),
            0);
        commit(world);
        assert_null(start(world, PLAIN));
        assert_int_equal(world->err.code, cases[i].code);
    }
}

static void of_the_fleet(struct world *world, enum flo_order_op op)
{
    char id[FLO_NAME_MAX + 1];

    begin(world);
    assert_int_equal(flo_orders_fleet(world->controller, op, "ops", 0, id, &world->err), 0);
    commit(world);
}

static void nothing_starts_in_a_frozen_fleet(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry = start(world, "{\"release\":\"tiny@2.1.0\",\"start_at\":"
                                                   "\"2099-01-01T00:00:00Z\"}");

    assert_non_null(entry);
    of_the_fleet(world, FLO_ORDER_FREEZE);
    assert_null(start(world, PLAIN));
    assert_int_equal(world->err.code, FLO_E_FROZEN);
    entry->core.start_at_ms = waits_wall_ms() - 1;
    calendar(world);
    assert_int_equal(entry->core.state, FLO_ROLLOUT_SCHEDULED);
    of_the_fleet(world, FLO_ORDER_UNFREEZE);
    entry->own->bars_at_ms = 0; /* ten seconds later */
    calendar(world);
    assert_int_equal(entry->core.state, FLO_ROLLOUT_RUNNING);
}

/* ---- change freezes ---- */

static void nothing_starts_in_a_change_freeze(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry;

    freeze_now(world, "all");
    assert_null(start(world, PLAIN));
    assert_int_equal(world->err.code, FLO_E_CHANGE_FREEZE);
    assert_non_null(strstr(world->err.what, "change freeze audit until 20"));

    /* One for later is taken, and put off until the freeze ends. */
    entry = start(world, "{\"release\":\"tiny@2.1.0\",\"start_at\":"
                         "\"2099-01-01T00:00:00Z\"}");
    assert_non_null(entry);
    entry->core.start_at_ms = waits_wall_ms() - 1;
    calendar(world);
    assert_int_equal(entry->core.state, FLO_ROLLOUT_SCHEDULED);
    assert_int_equal(entry->core.put_off_ms,
                     flo_rules_freeze_at(world->controller->rules, 0)->until_ms);
    begin(world);
    assert_int_equal(flo_rules_delete_freeze(world->controller, "audit", &world->err), 0);
    commit(world);
    calendar(world);
    assert_int_equal(entry->core.state, FLO_ROLLOUT_RUNNING);
}

static void one_that_runs_tells_nobody_in_it_and_goes_back_all_the_same(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry = start(world, PLAIN);

    assert_non_null(entry);
    uint32_t before = told(entry);
    freeze_now(world, "all");
    calendar(world);
    assert_int_equal(entry->core.barred_until_ms,
                     flo_rules_freeze_at(world->controller->rules, 0)->until_ms);
    for (size_t i = 0; i < FLO_COUNT(ids); i++) {
        size_t at = flo_rollout_find(&entry->core, ids[i]);
        if (entry->core.members[at].state != FLO_EXECUTION_QUEUED) {
            event(world, i, "succeeded");
        }
    }
    entry->core.phases[1].told_at_ms = 0;
    does(world, entry, FLO_ROLLOUT_EVENT_TICK);
    assert_int_equal(entry->core.phase, 1);
    assert_int_equal(told(entry), before);
    does(world, entry, FLO_ROLLOUT_EVENT_ROLLBACK);
    assert_int_equal(entry->core.state, FLO_ROLLOUT_ROLLING_BACK);
}

static void who_joins_in_a_change_freeze_is_told_nothing(void **state)
{
    struct world *world = *state;

    put_into(world, "vip");
    struct flo_rollout_entry *entry =
        start(world, "{\"release\":\"tiny@2.1.0\",\"phases\":[{\"share_pct\":"
                     "100}]}");

    assert_non_null(entry);
    freeze_now(world, "vip"); /* a freeze of some holds the whole rollout */
    calendar(world);
    assert_string_equal(order_of_newcomer(world), "");
}

static void a_freeze_of_a_group_holds_only_what_touches_it(void **state)
{
    struct world *world = *state;

    freeze_now(world, "vip");
    assert_non_null(start(world, PLAIN));
    put_into(world, "vip");
    add_release_of(world, "help", 7, "7", NEXT_DIGEST);
    assert_null(start(world, "{\"release\":\"help@7\"}"));
    assert_int_equal(world->err.code, FLO_E_CHANGE_FREEZE);
}

static void a_freeze_has_times_or_hours_of_the_week(void **state)
{
    struct world *world = *state;
    struct flo_controller *controller = world->controller;
    struct flo_rule_freeze freeze = {.name = "weekend", .group = "all"};
    uint64_t until_ms;

    begin(world);
    assert_int_equal(flo_rules_set_freeze(controller, &freeze, &world->err), FLO_E_REST_MEANING);
    snprintf(freeze.window_text, sizeof(freeze.window_text), "fri 16:00-24:00 No/Where");
    assert_int_equal(flo_rules_set_freeze(controller, &freeze, &world->err), FLO_E_REST_MEANING);
    snprintf(freeze.window_text, sizeof(freeze.window_text), "fri 16:00-24:00 Europe/Paris");
    assert_int_equal(flo_rules_set_freeze(controller, &freeze, &world->err), 0);
    assert_int_equal(flo_rules_set_freeze(controller, &freeze, &world->err), 0);
    assert_null(flo_rules_freeze_at(controller->rules, 1));
    commit(world);
    assert_int_equal(flo_rules_load(controller, &world->err), 0);
    /* Friday 2026-01-09, 15:30 UTC is 16:30 in Paris. */
    assert_true(flo_rule_freeze_is_on(flo_rules_freeze_at(controller->rules, 0),
                                      UINT64_C(1767972600000), &until_ms));
    assert_int_equal(until_ms, UINT64_C(1767999600000));
    assert_false(flo_rule_freeze_is_on(flo_rules_freeze_at(controller->rules, 0),
                                       UINT64_C(1767970800000) - 1, &until_ms));

    /* A change that is taken back is none. */
    begin(world);
    assert_int_equal(flo_rules_delete_freeze(controller, "weekend", &world->err), 0);
    flo_controller_cancel(controller);
    assert_null(flo_rules_freeze_at(controller->rules, 1));
}

/* ---- reading ---- */

/* Verbs that read are allowed in each state, and each that does not last says
 * what it waits for. */
static void each_state_can_be_read(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry = start(world, PLAIN);
    static const char *const reads[] = {
#define FLO_ROLLOUT_VERB(...)
#define FLO_ROLLOUT_READ(word, meaning) word,
#include "server-stub/core/rollout/rollout_verbs.def"
    };

    assert_non_null(entry);
    assert_true(FLO_COUNT(reads) >= 6);
    for (int in = 0; in < FLO_ROLLOUT_STATE_COUNT; in++) {
        json_t *shown = NULL;
        entry->core.state = (enum flo_rollout_state)in;
        assert_int_equal(flo_object_rollout(world->controller, entry, 10, &shown, &world->err), 0);
        const json_t *next = json_object_get(shown, "next");
        bool is_active = flo_rollout_state_is_active((enum flo_rollout_state)in);
        assert_int_equal(next != NULL, is_active);
        if (is_active) {
            assert_true(json_string_length(json_object_get(next, "what")) > 0 ||
                        in == FLO_ROLLOUT_ABORTING || in == FLO_ROLLOUT_ROLLING_BACK);
            assert_true(json_integer_value(json_object_get(next, "at_ms")) > 0);
        }
        assert_non_null(json_object_get(shown, "reason"));
        assert_non_null(json_object_get(shown, "since_at_ms"));
        json_decref(shown);
        shown = flo_rollouts_explained(world->controller, entry);
        assert_non_null(json_object_get(shown, "trace"));
        json_decref(shown);
    }
}

/* ---- a store that is lost ---- */

static int lost_commit(struct flo_store_engine *engine, struct flo_err *err)
{
    (void)engine;
    return flo_fail(err, FLO_E_DB_UNREACHABLE, "lost");
}

static int lost_find(struct flo_store_engine *engine, const struct flo_query *query,
                     flo_row_take take, void *context, struct flo_err *err)
{
    (void)query, (void)take, (void)context;
    return lost_commit(engine, err);
}

static void a_store_that_is_lost_in_a_commit_costs_no_rollout(void **state)
{
    struct world *world = *state;
    struct flo_controller *controller = world->controller;
    struct flo_store_engine *engine = controller->store->engine;
    const struct flo_store_ops *ops = engine->ops;
    struct flo_store_ops lost = *ops;

    assert_non_null(start(world, PLAIN));
    lost.commit = lost_commit;
    lost.find = lost_find;
    begin(world);
    controller->rollouts->has_changed = true;
    engine->ops = &lost;
    flo_log_level_set(FLO_LOG_ERROR);
    assert_true(flo_controller_commit(controller, &world->err) < 0);
    assert_int_equal(flo_controller_begin(controller, &world->err), FLO_E_DB_UNREACHABLE);

    engine->ops = ops;

    begin(world);
    commit(world);
    assert_int_equal(flo_rollouts_count(controller->rollouts), 1);
}

static void a_commit_that_fails_is_told_until_one_succeeds(void **state)
{
    struct world *world = *state;
    struct flo_controller *controller = world->controller;
    struct flo_store_engine *engine = controller->store->engine;
    const struct flo_store_ops *ops = engine->ops;
    struct flo_store_ops lost = *ops;
    struct flo_err err = {0};

    lost.commit = lost_commit;
    assert_int_equal(flo_controller_takes_changes(controller, &err), 0);
    begin(world);
    engine->ops = &lost;
    assert_true(flo_controller_commit(controller, &world->err) < 0);
    assert_int_equal(flo_controller_takes_changes(controller, &err), FLO_E_DB_UNREACHABLE);
    flo_controller_probe(controller);
    assert_int_equal(flo_controller_takes_changes(controller, &err), FLO_E_DB_UNREACHABLE);

    engine->ops = ops;

    assert_int_equal(flo_controller_takes_changes(controller, &err), FLO_E_DB_UNREACHABLE);
    flo_controller_probe(controller);
    assert_int_equal(flo_controller_takes_changes(controller, &err), 0);
}

static unsigned running_lines;

static void keep_line(const char *line, size_t bytes)
{
    (void)bytes;
    running_lines += strstr(line, " is running") != NULL;
}

static void a_rollout_runs_for_the_log_after_its_commit(void **state)
{
    struct world *world = *state;
    struct flo_store_engine *engine = world->controller->store->engine;
    const struct flo_store_ops *ops = engine->ops;
    struct flo_store_ops lost = *ops;
    struct flo_rollout_entry *entry = NULL;
    json_t *spec = json_loads(PLAIN, 0, NULL);

    lost.commit = lost_commit;
    running_lines = 0;
    flo_log_level_set(FLO_LOG_INFO);
    flo_log_keep(keep_line);
    begin(world);
    int rv = flo_rollouts_create(world->controller, spec, &(struct flo_actor){"ops", "user:ops"},
                                 false, &entry, &world->err);
    engine->ops = &lost;
    int committed = flo_controller_commit(world->controller, &world->err);
    engine->ops = ops;
    unsigned before = running_lines;
    struct flo_rollout_entry *started = start(world, PLAIN);
    flo_log_keep(NULL);
    flo_log_level_set(FLO_LOG_ERROR);
    json_decref(spec);

    assert_int_equal(rv, 0);
    assert_true(committed < 0);
    assert_int_equal(before, 0);
    assert_non_null(started);
    assert_true(running_lines > 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_edit_is_kept_over_a_restart),
        TEST(words_that_others_approved_stay),
        WITH_WORLD(labels_over_which_a_phase_was_spread_stay),
        TEST(an_edit_after_its_time_went_by_may_leave_that_time),
        TEST(an_edit_of_the_pace_mends_no_broken_gate),
        TEST(an_edit_of_the_pace_asks_nothing_of_the_gates),
        TEST(who_started_it_may_not_approve_it),
        TEST(a_person_needs_a_person_and_not_a_token_of_nobody),
        TEST(two_people_are_two_people_also_after_a_restart),
        TEST(a_rule_holds_for_each_rollout_that_touches_its_group),
        TEST(nobody_waits_for_an_approval_for_ever),
        TEST(one_that_is_scheduled_begins_at_its_time),
        TEST(what_runs_puts_it_off_and_says_so),
        TEST(a_time_that_has_passed_is_refused_as_an_end),
        TEST(nothing_starts_in_a_change_freeze),
        TEST(one_that_runs_tells_nobody_in_it_and_goes_back_all_the_same),
        TEST(a_freeze_of_a_group_holds_only_what_touches_it),
        TEST(a_freeze_has_times_or_hours_of_the_week),
        TEST(each_state_can_be_read),
        TEST(a_store_that_is_lost_in_a_commit_costs_no_rollout),
        TEST(a_commit_that_fails_is_told_until_one_succeeds),
        TEST(a_rollout_runs_for_the_log_after_its_commit),
        TEST(only_a_published_release_starts),
        TEST(nothing_starts_in_a_frozen_fleet),
        TEST(who_joins_in_a_change_freeze_is_told_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
