/* Emergency rollbacks: the plan, what is kept, what is sent, what is undone. */
#include <flotilla/errors/order.h>
#include <flotilla/errors/release.h>

#include "server-stub/core/orders/recall.h"
#include "server-stub/state/orders/orders.h"
#include "server-stub/state/orders/view.h"
#include "server-stub/state/outgoing.h"
#include "server-stub/state/rules/rules.h"
#include "tests/unit/server/world.h"

#define NEW DIGEST
#define OLD NEXT_DIGEST

static enum flo_return way(const char *report, const char *to, char *title)
{
    struct flo_err err = {0};
    json_t *json = NULL;

    assert_int_equal(flo_json_parse(report, strlen(report), 65536, &json, &err), 0);
    enum flo_return out = flo_return_plan(json, NEW, to, title);
    json_decref(json);
    return out;
}

#define SLOT(digest, version) "{\"version\":\"" version "\",\"release\":\"" digest "\"}"
#define REPORT(current, previous, denied)                                                          \
    "{\"models\":[{\"model\":\"tiny\",\"current\":" current ",\"previous\":" previous              \
    ",\"denied\":[" denied "]}]}"

static void what_a_device_would_do_follows_from_its_report(void **state)
{
    (void)state;
    char title[FLO_RETURN_TITLE];

    assert_int_equal(way("{}", NULL, title), FLO_RETURN_SILENT);
    assert_int_equal(way(REPORT(SLOT(OLD, "1"), "null", ""), NULL, title), FLO_RETURN_NONE);
    assert_int_equal(way(REPORT(SLOT(NEW, "2"), SLOT(OLD, "1"), ""), NULL, title), FLO_RETURN_KEPT);
    assert_string_equal(title, "tiny@1");
    assert_int_equal(way(REPORT(SLOT(NEW, "2"), "null", ""), NULL, title), FLO_RETURN_FIRST);
    assert_int_equal(way(REPORT(SLOT(NEW, "2"), SLOT(OLD, "1"), "\"" OLD "\""), NULL, title),
                     FLO_RETURN_DENIED);
    /* to a release: kept, fetched, denied */
    assert_int_equal(way(REPORT(SLOT(NEW, "2"), SLOT(OLD, "1"), ""), OLD, title), FLO_RETURN_KEPT);
    assert_int_equal(way(REPORT(SLOT(NEW, "2"), "null", ""), OLD, title), FLO_RETURN_DOWNLOAD);
    assert_int_equal(way(REPORT(SLOT(NEW, "2"), "null", "\"" OLD "\""), OLD, title),
                     FLO_RETURN_DENIED);
    /* on trial only: the current one stays */
    assert_int_equal(
        way("{\"models\":[{\"current\":" SLOT(OLD, "1") ",\"candidate\":" SLOT(NEW, "2") "}]}",
            NULL, title),
        FLO_RETURN_KEPT);
}

/* Reports of gw-1, gw-2 (offline) and gw-3. All run 2.1.0; the first keeps
 * 2.2.0, the second nothing, and the third denies the one it keeps. */
static void devices_report(struct world *world)
{
    static const char *const reports[] = {
        REPORT(SLOT(DIGEST, "2.1.0"), SLOT(NEXT_DIGEST, "2.2.0"), ""),
        REPORT(SLOT(DIGEST, "2.1.0"), "null", ""),
        REPORT(SLOT(DIGEST, "2.1.0"), SLOT(NEXT_DIGEST, "2.2.0"), "\"" NEXT_DIGEST "\"")};
    bool is_news;

    add_next_release(world);
    for (size_t i = 0; i < FLO_COUNT(ids); i++) {
        assert_int_equal(flo_fleet_device_reported(world->controller->store, ids[i], reports[i],
                                                   NULL, NULL, false, 1, NULL, 0, &world->err),
                         0);
        assert_int_equal(flo_fleet_device_online(world->controller->store, ids[i], i != 1, &is_news,
                                                 &world->err),
                         0);
    }
}

static uint64_t number(const json_t *json, const char *name)
{
    return (uint64_t)json_integer_value(json_object_get(json, name));
}

static json_t *plan_of(struct world *world, const struct flo_recall *what)
{
    struct flo_orders_plan *plan = NULL;

    assert_int_equal(flo_orders_plan_rollback(world->controller, what, &plan, &world->err), 0);
    return end_plan(world, plan);
}

static void a_plan_says_who_goes_who_fetches_who_cannot_and_changes_nothing(void **state)
{
    struct world *world = *state;
    struct flo_recall what = {.release = "tiny@2.1.0", .group = "all"};

    devices_report(world);
    json_t *plan = plan_of(world, &what);

    assert_int_equal(number(plan, "devices"), 3);
    assert_int_equal(number(plan, "kept"), 1);
    assert_int_equal(number(plan, "cannot"), 2);
    assert_int_equal(number(plan, "offline"), 1);
    /* who needs somebody stands first */
    const json_t *first = json_array_get(json_object_get(plan, "items"), 0);
    assert_string_equal(json_string_value(json_object_get(first, "name")), "gw-2");
    assert_non_null(
        strstr(json_string_value(json_object_get(first, "reason")), "no previous release"));
    json_decref(plan);

    what.to = "tiny@2.2.0";
    plan = plan_of(world, &what);
    assert_int_equal(number(plan, "kept"), 1);
    assert_int_equal(number(plan, "download"), 1);
    assert_int_equal(number(plan, "download_bytes"), 100);
    assert_int_equal(number(plan, "cannot"), 1);
    assert_true(json_is_false(json_object_get(plan, "frozen")));
    json_decref(plan);
    assert_int_equal(flo_orders_signed(world->controller->orders), 0);
}

/* Two of three devices wait for the second phase. */
static void the_plan_of_a_rollout_is_about_whom_it_told(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry =
        start(world, "{\"release\":\"tiny@2.1.0\",\"phases\":[{\"devices\":1},"
                     "{\"share_pct\":100}]}");
    struct flo_orders_plan *plan = NULL;

    devices_report(world);
    assert_int_equal(flo_orders_plan_rollout(world->controller, entry, &plan, &world->err), 0);
    json_t *out = end_plan(world, plan);

    assert_int_equal(number(out, "scope_devices"), 1);
    assert_int_equal(number(out, "devices"), 1);
    assert_string_equal(json_string_value(json_array_get(json_object_get(out, "rollouts"), 0)),
                        entry->core.id);
    json_decref(out);
}

/* Going back works in a freeze, downloads do not. */
static void a_plan_says_that_the_fleet_is_frozen(void **state)
{
    struct world *world = *state;
    struct flo_recall what = {.release = "tiny@2.1.0", .group = "all", .to = "tiny@2.2.0"};
    char id[FLO_NAME_MAX + 1];

    devices_report(world);
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(
        flo_orders_fleet(world->controller, FLO_ORDER_FREEZE, "ops", 0, id, &world->err), 0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
    json_t *plan = plan_of(world, &what);

    assert_true(json_is_true(json_object_get(plan, "frozen")));
    json_decref(plan);
}

static int orders(struct world *world, struct flo_recall what, char *id)
{
    what.release = what.release != NULL ? what.release : "tiny@2.1.0";
    what.by = "ops";
    what.reason = "bad";
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    int rv = flo_orders_recall(world->controller, &what, id, &world->err);
    if (rv < 0) {
        flo_controller_cancel(world->controller);
        return rv;
    }
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
    return 0;
}

static int take_state(void *context, const struct flo_fleet_release *release)
{
    snprintf(context, 16, "%s", release->state);
    return 0;
}

static const char *state_of_release(struct world *world)
{
    static char state[16];

    assert_int_equal(flo_fleet_release_get(world->controller->store, "tiny", "2.1.0", take_state,
                                           state, &world->err),
                     0);
    return state;
}

/* A whole group is asked by the devices that serve the release. */
static void one_that_can_go_back_is_enough_for_all(void **state)
{
    static const struct flo_fleet_model serves = {.model = "tiny", .serving = "tiny@2.1.0"};
    struct world *world = *state;
    const struct flo_recall all = {.group = "all", .is_yanked = true};
    const char *report = REPORT(SLOT(DIGEST, "2.1.0"), "null", "");
    char id[FLO_NAME_MAX + 1];

    devices_report(world);
    for (size_t can = 0; can < 2; can++) {
        for (size_t i = 0; i < FLO_COUNT(ids); i++) {
            if (can == 1 && i == 2) {
                report = REPORT(SLOT(DIGEST, "2.1.0"), SLOT(NEXT_DIGEST, "2.2.0"), "");
            }
            assert_int_equal(flo_fleet_device_reported(world->controller->store, ids[i], report,
                                                       NULL, NULL, false, 1, &serves, 1,
                                                       &world->err),
                             0);
        }
        assert_int_equal(orders(world, all, id), can == 0 ? FLO_E_ORDER_NOBODY : 0);
        assert_string_equal(state_of_release(world), can == 0 ? "published" : "yanked");
    }
}

static void where_nobody_can_go_back_nothing_is_yanked_without_a_word(void **state)
{
    struct world *world = *state;
    char id[FLO_NAME_MAX + 1];

    devices_report(world);
    assert_int_equal(orders(world, (struct flo_recall){.device = ids[1], .is_yanked = true}, id),
                     FLO_E_ORDER_NOBODY);
    assert_string_equal(state_of_release(world), "published");
    assert_int_equal(flo_orders_signed(world->controller->orders), 0);

    /* with one it is */
    assert_int_equal(
        orders(world, (struct flo_recall){.device = ids[1], .is_yanked = true, .is_decided = true},
               id),
        0);
    assert_string_equal(state_of_release(world), "yanked");
}

static void a_rollback_of_one_device_changes_nothing_elsewhere(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry = start(world, "{\"release\":\"tiny@2.1.0\","
                                                   "\"phases\":[{\"share_pct\":100}]}");
    char id[FLO_NAME_MAX + 1];

    devices_report(world);
    assert_int_equal(orders(world, (struct flo_recall){.device = ids[0]}, id), 0);

    is_for(world, id, ids[0]);
    assert_int_equal(entry->core.state, FLO_ROLLOUT_RUNNING);
    assert_string_equal(state_of_release(world), "published");
    assert_string_equal(op_of(world, ids[0]), "rollback");
    assert_string_equal(op_of(world, ids[1]), "deploy");
    assert_int_equal(entry->core.members[flo_rollout_find(&entry->core, ids[0])].state,
                     FLO_EXECUTION_REMOVED);
    assert_int_equal(world->controller->outgoing->groups.count, 0);
}

static void to_a_release_flips_who_keeps_it_and_sends_it_to_others(void **state)
{
    struct world *world = *state;
    char id[FLO_NAME_MAX + 1];
    json_t *view = NULL;
    char text[512];

    devices_report(world);
    assert_int_equal(
        orders(world, (struct flo_recall){.group = "all", .to = "tiny@2.2.0", .is_yanked = true},
               id),
        0);

    assert_string_equal(op_of(world, ids[0]), "rollback");
    assert_string_equal(op_of(world, ids[1]), "deploy");
    /* the download fails: the order says so, with the reason */
    snprintf(text, sizeof(text),
             "{\"v\":1,\"boot\":\"44444444-4444-4844-8444-444444444444\","
             "\"seq\":1,\"type\":\"execution\",\"execution\":\"%s.1\","
             "\"release\":\"" NEXT_DIGEST "\",\"state\":\"failed\","
             "\"error\":{\"id\":\"disk.full\",\"what\":\"no room\"}}",
             id);
    send(world, 1, "event", text);
    snprintf(text, sizeof(text), "{\"v\":1,\"order\":\"%s\",\"outcome\":\"done\",\"took_ms\":9}",
             id);
    send(world, 0, "ack", text);
    assert_int_equal(flo_object_order(world->controller, id, 10, &view, &world->err), 0);
    assert_int_equal(number(view, "done"), 1);
    assert_int_equal(number(view, "failed"), 1);
    const json_t *reason = json_array_get(json_object_get(view, "reasons"), 0);
    assert_string_equal(json_string_value(json_object_get(reason, "error")), "disk.full");
    json_decref(view);
    assert_int_equal(orders(world, (struct flo_recall){.group = "all", .to = "tiny@2.1.0"}, id),
                     FLO_E_REST_SCHEMA);
}

static void a_way_forward_needs_the_approval_that_a_way_back_does_not(void **state)
{
    struct world *world = *state;
    struct flo_recall forward = {.group = "all", .to = "tiny@2.2.0"};
    char id[FLO_NAME_MAX + 1];

    devices_report(world);
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(flo_rules_set_approval(world->controller, "all", 1, "root", &world->err), 0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
    assert_int_equal(orders(world, forward, id), FLO_E_ORDER_APPROVAL);
    assert_string_equal(op_of(world, ids[1]), "");

    assert_int_equal(orders(world, (struct flo_recall){.device = ids[0]}, id), 0);
    assert_string_equal(op_of(world, ids[0]), "rollback");
}

static void nobody_is_sent_to_what_is_withdrawn_or_a_draft_or_another(void **state)
{
    static const struct {
        const char *state;
        int code;
    } cases[] = {{"yanked", FLO_E_RELEASE_YANKED}, {"draft", FLO_E_STATE}};
    struct world *world = *state;
    struct flo_recall what = {.group = "all", .to = "tiny@2.2.0"};
    char id[FLO_NAME_MAX + 1];

    devices_report(world);
    for (size_t i = 0; i < FLO_COUNT(cases); i++) {
        assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
        assert_int_equal(flo_fleet_release_state(world->controller->store, NEXT_DIGEST,
                                                 cases[i].state, &world->err),
                         0);
        assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
        assert_int_equal(orders(world, what, id), cases[i].code);
    }
    add_release_of(world, "help", 7, "7",
                   "sha256:cccccccccccccccccccccccccccccccc"
                   "cccccccccccccccccccccccccccccccc");
    what.to = "help@7";
    assert_int_equal(orders(world, what, id), FLO_E_REST_SCHEMA);
}

static int take_body(void *context, const struct flo_fleet_order *order)
{
    snprintf(context, 2048, "%s", order->body);
    return 0;
}

/* Otherwise the device would refuse it: an older release comes by no accident.
 */
static void who_is_sent_to_an_older_release_is_told_that_it_is_meant(void **state)
{
    struct world *world = *state;
    char id[FLO_NAME_MAX + 1];
    char body[2048] = "";

    devices_report(world);
    assert_int_equal(flo_fleet_device_reported(world->controller->store, ids[1],
                                               REPORT(SLOT(NEXT_DIGEST, "2.2.0"), "null", ""), NULL,
                                               NULL, false, 1, NULL, 0, &world->err),
                     0);
    assert_int_equal(
        orders(world,
               (struct flo_recall){.release = "tiny@2.2.0", .device = ids[1], .to = "tiny@2.1.0"},
               id),
        0);
    assert_int_equal(flo_fleet_order_get(world->controller->store, order_of(world, 1), take_body,
                                         body, &world->err),
                     0);
    assert_non_null(strstr(body, "\"below_floor\":true"));
}

static void a_yank_that_is_undone_leaves_no_rollback_in_a_list(void **state)
{
    struct world *world = *state;
    struct flo_buf list = {0};
    char id[FLO_NAME_MAX + 1];

    devices_report(world);
    assert_int_equal(orders(world, (struct flo_recall){.group = "all", .is_yanked = true}, id), 0);
    assert_int_equal(flo_orders_group_text(world->controller, "all", &list, &world->err), 0);
    assert_non_null(strstr(list.data, "payload"));
    flo_buf_deinit(&list);

    assert_int_equal(flo_orders_unyank(world->controller, DIGEST, &world->err), 0);

    assert_string_equal(state_of_release(world), "published");
    list = (struct flo_buf){0};
    assert_int_equal(flo_orders_group_text(world->controller, "all", &list, &world->err), 0);
    assert_string_equal(list.data, "{\"v\":1,\"orders\":[]}");
    flo_buf_deinit(&list);
    assert_string_equal(op_of(world, ids[1]), "rollback");
}

static void half_and_nearly_all_answers_have_their_time(void **state)
{
    struct world *world = *state;
    char id[FLO_NAME_MAX + 1];
    uint64_t at;
    bool is_news;

    assert_int_equal(
        flo_orders_fleet(world->controller, FLO_ORDER_FREEZE, "ops", 0, id, &world->err), 0);
    for (uint64_t i = 1; i <= 200; i++) {
        char device[16];
        snprintf(device, sizeof(device), "d-%d", (int)i);
        assert_int_equal(flo_fleet_outcome_put(world->controller->store, id, device,
                                               FLO_OUTCOME_PENDING, 0, &world->err),
                         0);
        assert_int_equal(flo_fleet_outcome_advance(world->controller->store, id, device,
                                                   FLO_OUTCOME_DONE, 1, i * 10, "", &is_news,
                                                   &world->err),
                         0);
    }
    assert_int_equal(
        flo_fleet_outcome_quantile(world->controller->store, id, 500, &at, &world->err), 0);
    assert_int_equal(at, 1000);
    assert_int_equal(
        flo_fleet_outcome_quantile(world->controller->store, id, 990, &at, &world->err), 0);
    assert_int_equal(at, 1980);
}

/* ---- answers that do not say what serves ---- */

static void answers(struct world *world, size_t device, const char *order, const char *outcome)
{
    char text[256];

    snprintf(text, sizeof(text), "{\"v\":1,\"order\":\"%s\",\"outcome\":\"%s\"}", order, outcome);
    send(world, device, "ack", text);
}

static void runs(struct world *world, size_t device, uint64_t rev, const char *release)
{
    char text[512];

    snprintf(text, sizeof(text),
             "{\"v\":2,\"device\":\"%s\",\"rev\":%llu,\"models\":[{\"model\":"
             "\"tiny\",\"state\":\"ready\",\"current\":{\"release\":\"%s\","
             "\"version\":\"1\"},\"previous\":" SLOT(OLD, "0") "}]}",
             ids[device], (unsigned long long)rev, release);
    send(world, device, "reported", text);
}

static uint64_t rev_of(struct world *world, size_t device)
{
    uint64_t rev = 0;

    assert_int_equal(
        flo_fleet_desired_rev(world->controller->store, ids[device], &rev, &world->err), 0);
    return rev;
}

/* One device has the release, and its rollout is on the way back. */
static struct flo_rollout_entry *goes_back(struct world *world, size_t *device)
{
    struct flo_rollout_entry *entry = start(world, "{\"release\":\"tiny@2.1.0\"}");

    *device = device_in_phase(entry, 0);
    event(world, *device, "activating");
    runs(world, *device, rev_of(world, *device), NEW);
    does(world, entry, FLO_ROLLOUT_EVENT_ROLLBACK);
    assert_int_equal(entry->core.state, FLO_ROLLOUT_ROLLING_BACK);
    return entry;
}

/* It still drains for a newer rollback of the same. */
static void an_answer_that_says_superseded_brings_no_device_back(void **state)
{
    struct world *world = *state;
    size_t device;
    struct flo_rollout_entry *entry = goes_back(world, &device);
    char order[FLO_NAME_MAX + 1];

    snprintf(order, sizeof(order), "%s", order_of(world, device));
    runs(world, device, rev_of(world, device), NEW);
    answers(world, device, order, "superseded");
    assert_int_equal(entry->core.state, FLO_ROLLOUT_ROLLING_BACK);
    runs(world, device, rev_of(world, device), NEW);
    assert_int_equal(entry->core.state, FLO_ROLLOUT_ROLLING_BACK);

    runs(world, device, rev_of(world, device), OLD);
    assert_int_equal(entry->core.state, FLO_ROLLOUT_ROLLED_BACK);
}

static void the_newer_rollbacks_answer_brings_it_back(void **state)
{
    struct world *world = *state;
    size_t device;
    struct flo_rollout_entry *entry = goes_back(world, &device);
    char order[FLO_NAME_MAX + 1];
    char newer[FLO_NAME_MAX + 1];

    snprintf(order, sizeof(order), "%s", order_of(world, device));
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(
        takes_back(world->controller, "tiny@2.1.0", "all", "ops", "bad", newer, &world->err), 0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
    answers(world, device, order, "superseded");
    assert_int_equal(entry->core.state, FLO_ROLLOUT_ROLLING_BACK);
    answers(world, device, newer, "done");
    assert_int_equal(entry->core.state, FLO_ROLLOUT_ROLLED_BACK);
}

/* A model that is being removed serves until it has drained. */
static void an_answer_that_says_ignored_brings_no_device_back(void **state)
{
    struct world *world = *state;
    size_t device;
    struct flo_rollout_entry *entry = goes_back(world, &device);

    answers(world, device, order_of(world, device), "ignored");
    assert_int_equal(entry->core.state, FLO_ROLLOUT_ROLLING_BACK);
    runs(world, device, rev_of(world, device), OLD);
    assert_int_equal(entry->core.state, FLO_ROLLOUT_ROLLED_BACK);
}

/* A newer deploy holds there.  The device has nothing new to report, and
 * nobody waits for it. */
static void a_device_that_reported_another_release_before_is_back(void **state)
{
    struct world *world = *state;
    size_t device;
    struct flo_rollout_entry *entry = goes_back(world, &device);
    char order[FLO_NAME_MAX + 1];
    char report[256];

    snprintf(order, sizeof(order), "%s", order_of(world, device));
    snprintf(report, sizeof(report),
             "{\"rev\":%llu,\"models\":[{\"model\":\"tiny\",\"current\":"
             "{\"release\":\"" OLD "\"}}]}",
             (unsigned long long)rev_of(world, device));
    assert_int_equal(flo_fleet_device_reported(world->controller->store, ids[device], report, NULL,
                                               NULL, false, 1, NULL, 0, &world->err),
                     0);
    answers(world, device, order, "superseded");
    assert_int_equal(entry->core.state, FLO_ROLLOUT_ROLLED_BACK);
}

struct leaves {
    size_t desired, later, groups;
};

static void note_leaving(void *context, const struct flo_outgoing *outgoing)
{
    struct leaves *leaves = context;

    leaves->desired += outgoing->desired.count;
    leaves->later += outgoing->later.count;
    leaves->groups += outgoing->groups.count;
}

static struct leaves taken_back(struct world *world, bool is_yanked)
{
    struct leaves leaves = {0};
    struct flo_recall what = {.release = "tiny@2.2.0",
                              .group = "all",
                              .is_yanked = is_yanked,
                              .by = "ops",
                              .reason = "bad"};
    char id[FLO_NAME_MAX + 1];

    bring_to_two_releases(world);
    flo_outgoing_subscribe(world->controller, (struct flo_subscriber){&leaves, note_leaving, 0});
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(flo_orders_recall(world->controller, &what, id, &world->err), 0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
    flo_outgoing_unsubscribe(world->controller, &leaves);
    for (size_t i = 0; i < FLO_COUNT(ids); i++) {
        assert_string_equal(op_of(world, ids[i]), "rollback");
    }
    return leaves;
}

static void an_order_in_the_list_of_all_needs_no_document_at_once(void **state)
{
    struct leaves leaves = taken_back(*state, true);

    assert_int_equal(leaves.groups, 1);
    assert_int_equal(leaves.desired, 0);
    assert_int_equal(leaves.later, FLO_COUNT(ids));
}

static void an_order_in_no_list_is_in_each_document_at_once(void **state)
{
    struct leaves leaves = taken_back(*state, false);

    assert_int_equal(leaves.desired, FLO_COUNT(ids));
    assert_int_equal(leaves.later, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_device_would_do_follows_from_its_report),
        WITH_WORLD(a_plan_says_who_goes_who_fetches_who_cannot_and_changes_nothing),
        WITH_WORLD(the_plan_of_a_rollout_is_about_whom_it_told),
        WITH_WORLD(a_plan_says_that_the_fleet_is_frozen),
        WITH_WORLD(where_nobody_can_go_back_nothing_is_yanked_without_a_word),
        WITH_WORLD(one_that_can_go_back_is_enough_for_all),
        WITH_WORLD(a_rollback_of_one_device_changes_nothing_elsewhere),
        WITH_WORLD(to_a_release_flips_who_keeps_it_and_sends_it_to_others),
        WITH_WORLD(a_yank_that_is_undone_leaves_no_rollback_in_a_list),
        WITH_WORLD(half_and_nearly_all_answers_have_their_time),
        WITH_WORLD(a_way_forward_needs_the_approval_that_a_way_back_does_not),
        WITH_WORLD(nobody_is_sent_to_what_is_withdrawn_or_a_draft_or_another),
        WITH_WORLD(an_answer_that_says_superseded_brings_no_device_back),
        WITH_WORLD(the_newer_rollbacks_answer_brings_it_back),
        WITH_WORLD(an_answer_that_says_ignored_brings_no_device_back),
        WITH_WORLD(a_device_that_reported_another_release_before_is_back),
        WITH_WORLD(an_order_in_the_list_of_all_needs_no_document_at_once),
        WITH_WORLD(an_order_in_no_list_is_in_each_document_at_once),
        WITH_WORLD(who_is_sent_to_an_older_release_is_told_that_it_is_meant),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
