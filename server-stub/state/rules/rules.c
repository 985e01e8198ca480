/* Rules: reads, changes and stores the rules for rollouts. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/fleet.h>
#include <flotilla/errors/order.h>

#include "base/zone.h"

#include "server-stub/state/audit/audit.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/rules/rules.h"
#include "server-stub/state/text_list.h"
#include "server-stub/state/transaction.h"
#include "server-stub/store/fleet.h"
#include "server-stub/store/groups.h"
#include "server-stub/store/seals.h"

#define SETTING "rules"
#define FOREVER_MS UINT64_C(253402300740000) /* the last minute of the year 9999 */
#define SETTING_BYTES_MAX 65536

struct flo_rules {
    struct flo_rule_approval approvals[FLO_RULES_MAX];
    size_t approval_count;
    struct flo_rule_freeze freezes[FLO_RULES_MAX + 1]; /* with FLO_RULE_UNSEALED */
    size_t freeze_count;
    uint64_t revision;
    /* Rules that hold now, and the times and the revision for which they do. */
    struct flo_rule now[2 * FLO_RULES_MAX + 1];
    size_t now_count;
    uint64_t now_from_ms, now_to_ms, now_revision;
    uint64_t now_freezes; /* a bit for each freeze that is active */
    uint64_t turn;
    struct flo_text_list waiting; /* devices that wait for another turn */
    uint64_t waiting_turn;        /* turn in which the last of them was held */
    struct flo_text_list freed;   /* devices whose waiting is over */
    bool is_stale; /* the rules must be read again, because a transaction was rolled back */
};

struct flo_rules *flo_rules_new(void)
{
    return calloc(1, sizeof(struct flo_rules));
}

const struct flo_rule_approval *flo_rules_approval_at(const struct flo_rules *rules, size_t place)
{
    return place < rules->approval_count ? &rules->approvals[place] : NULL;
}

const struct flo_rule_freeze *flo_rules_freeze_at(const struct flo_rules *rules, size_t place)
{
    return place < rules->freeze_count ? &rules->freezes[place] : NULL;
}

uint64_t flo_rules_revision(const struct flo_rules *rules)
{
    return rules->revision;
}

bool flo_rules_are_none(const struct flo_rules *rules)
{
    return rules->approval_count + rules->freeze_count == 0;
}

/* ---- freezes ---- */

bool flo_rule_freeze_is_on(const struct flo_rule_freeze *freeze, uint64_t wall_ms,
                           uint64_t *until_ms)
{
    if (freeze->window_text[0] == '\0') {
        *until_ms = freeze->until_ms;
        return wall_ms >= freeze->from_ms && wall_ms < freeze->until_ms;
    }
    return flo_window_is_open(&freeze->window, flo_zone_offset_s(freeze->zone, wall_ms), wall_ms,
                              until_ms);
}

/* Parses a freeze's window.  Hours without a zone are in UTC, so that a freeze
 * is the same for all devices. */
static int read_window(struct flo_rule_freeze *freeze, struct flo_err *err)
{
    int rv;

    if (freeze->window_text[0] == '\0') {
        return 0;
    }
    if (!flo_window_parse(freeze->window_text, &freeze->window)) {
        return flo_fail(err, FLO_E_REST_MEANING,
                        "window: `%s` is no window as `fri 16:00-24:00 "
                        "Europe/Paris`",
                        freeze->window_text);
    }
    rv = flo_zone_open(freeze->window.is_local ? "UTC" : freeze->window.zone, &freeze->zone, err);
    if (rv == FLO_E_ABSENT && err != NULL) {
        rv = err->code = FLO_E_REST_MEANING;
    }
    return rv < 0 ? flo_wrap(err, rv, "window") : 0;
}

/* ---- the setting ---- */

json_t *flo_rule_approval_json(const struct flo_rule_approval *approval)
{
    return json_pack("{s:s,s:i,s:s,s:I}", "group", approval->group, "people", (int)approval->people,
                     "by", approval->by, "at_ms", (json_int_t)approval->at_ms);
}

json_t *flo_rule_freeze_json(const struct flo_rule_freeze *freeze, uint64_t wall_ms)
{
    uint64_t until_ms = 0;
    bool is_on = flo_rule_freeze_is_on(freeze, wall_ms, &until_ms);
    json_t *json = json_pack("{s:s,s:s,s:s,s:s,s:I,s:b}", "name", freeze->name, "group",
                             freeze->group, "reason", freeze->reason, "by", freeze->by, "at_ms",
                             (json_int_t)freeze->at_ms, "on", (int)is_on);

    if (freeze->window_text[0] != '\0') {
        json_object_set_new(json, "window", json_string(freeze->window_text));
    } else {
        json_object_set_new(json, "from_ms", json_integer((json_int_t)freeze->from_ms));
        json_object_set_new(json, "until_ms", json_integer((json_int_t)freeze->until_ms));
    }
    if (is_on) {
        json_object_set_new(json, "ends_at_ms", json_integer((json_int_t)until_ms));
    }
    return json;
}

static int save(struct flo_controller *controller, struct flo_err *err)
{
    struct flo_rules *rules = controller->rules;
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    json_t *approvals = json_array();
    json_t *freezes = json_array();

    for (size_t i = 0; i < rules->approval_count; i++) {
        json_array_append_new(approvals, flo_rule_approval_json(&rules->approvals[i]));
    }
    for (size_t i = 0; i < rules->freeze_count; i++) {
        if (strcmp(rules->freezes[i].name, FLO_RULE_UNSEALED) != 0) {
            json_array_append_new(freezes, flo_rule_freeze_json(&rules->freezes[i], 0));
        }
    }
    json_t *json = json_pack("{s:o,s:o}", "approvals", approvals, "freezes", freezes);
    flo_json_dump(json, &text);
    json_decref(json);
    rules->revision++;
    flo_audit_checkpoint_soon(controller->audit); /* the rules before are old from now on */
    if (text.bytes >= SETTING_BYTES_MAX) {
        return flo_fail(err, FLO_E_REST_LIMIT, "the rules have %zu bytes", text.bytes);
    }
    return text.failed ? flo_fail(err, FLO_E_MEMORY, "rules")
                       : flo_fleet_setting_set(controller->store, SETTING, text.data, err);
}

static void read_approval(const json_t *json, struct flo_rules *rules)
{
    struct flo_rule_approval *out = &rules->approvals[rules->approval_count++];

    flo_json_copy_text(json, "group", out->group, sizeof(out->group));
    flo_json_copy_text(json, "by", out->by, sizeof(out->by));
    out->people = (uint32_t)flo_json_number(json, "people");
    out->at_ms = flo_json_number(json, "at_ms");
}

static int read_freeze(const json_t *json, struct flo_rules *rules, struct flo_err *err)
{
    struct flo_rule_freeze *out = &rules->freezes[rules->freeze_count++];

    flo_json_copy_text(json, "name", out->name, sizeof(out->name));
    flo_json_copy_text(json, "group", out->group, sizeof(out->group));
    flo_json_copy_text(json, "reason", out->reason, sizeof(out->reason));
    flo_json_copy_text(json, "by", out->by, sizeof(out->by));
    flo_json_copy_text(json, "window", out->window_text, sizeof(out->window_text));
    out->from_ms = flo_json_number(json, "from_ms");
    out->until_ms = flo_json_number(json, "until_ms");
    out->at_ms = flo_json_number(json, "at_ms");
    return read_window(out, err);
}

static void clear(struct flo_rules *rules)
{
    for (size_t i = 0; i < rules->freeze_count; i++) {
        flo_zone_close(rules->freezes[i].zone);
    }
    memset(rules->approvals, 0, sizeof(rules->approvals));
    memset(rules->freezes, 0, sizeof(rules->freezes));
    rules->approval_count = rules->freeze_count = 0;
    rules->is_stale = false;
    rules->revision++;
}

void flo_rules_free(struct flo_rules *rules)
{
    if (rules != NULL) {
        clear(rules);
        flo_text_list_clear(&rules->waiting);
        flo_text_list_clear(&rules->freed);
    }
    free(rules);
}

void flo_rules_doubt(struct flo_controller *controller)
{
    struct flo_rules *rules = controller->rules;

    if (flo_fleet_doubts_rules(controller->store) &&
        flo_rules_freeze(controller, FLO_RULE_UNSEALED) == NULL) {
        rules->freezes[rules->freeze_count++] =
            (struct flo_rule_freeze){.name = FLO_RULE_UNSEALED,
                                     .group = "all",
                                     .from_ms = 1,
                                     .until_ms = FOREVER_MS,
                                     .reason = "a row of the database was not written by the "
                                               "controller: see the alert row-unsealed",
                                     .by = "controller",
                                     .at_ms = flo_wall_ms()};
        rules->revision++;
    }
}

static int load(struct flo_controller *controller, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *json = NULL;
    FLO_CLEANUP(flo_free_cleanup) char *text = malloc(SETTING_BYTES_MAX);
    struct flo_rules *rules = controller->rules;
    size_t i;
    json_t *one;

    clear(rules);
    if (text == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "rules");
    }
    FLO_TRY(flo_fleet_setting_get(controller->store, SETTING, text, SETTING_BYTES_MAX, err));
    if (text[0] == '\0') {
        return 0;
    }
    int rv = flo_json_parse(text, strlen(text), SETTING_BYTES_MAX, &json, err);
    json_array_foreach(json_object_get(json, "approvals"), i, one)
    {
        if (rules->approval_count < FLO_RULES_MAX) {
            read_approval(one, rules);
        }
    }
    json_array_foreach(json_object_get(json, "freezes"), i, one)
    {
        if (rv == 0 && rules->freeze_count < FLO_RULES_MAX) {
            rv = read_freeze(one, rules, err);
        }
    }
    return rv;
}

int flo_rules_load(struct flo_controller *controller, struct flo_err *err)
{
    FLO_TRY(load(controller, err));
    flo_rules_doubt(controller);
    return 0;
}

static void settle(struct flo_controller *controller, bool is_committed)
{
    controller->rules->is_stale = controller->rules->is_stale || !is_committed;
}

static int read_again(struct flo_controller *controller, struct flo_err *err)
{
    int rv = controller->rules->is_stale ? flo_rules_load(controller, err) : 0;

    controller->rules->is_stale = rv < 0;
    return rv;
}

const struct flo_transaction_part flo_rules_part = {.settle = settle, .read_again = read_again};

/* ---- changes ---- */

static int no_room(struct flo_err *err)
{
    return flo_fail(err, FLO_E_REST_LIMIT, "there are %d of them already", FLO_RULES_MAX);
}

const struct flo_rule_approval *flo_rules_approval(const struct flo_controller *controller,
                                                   const char *group)
{
    const struct flo_rules *rules = controller->rules;

    for (size_t i = 0; i < rules->approval_count; i++) {
        if (strcmp(rules->approvals[i].group, group) == 0) {
            return &rules->approvals[i];
        }
    }
    return NULL;
}

const struct flo_rule_freeze *flo_rules_freeze(const struct flo_controller *controller,
                                               const char *name)
{
    const struct flo_rules *rules = controller->rules;

    for (size_t i = 0; i < rules->freeze_count; i++) {
        if (strcmp(rules->freezes[i].name, name) == 0) {
            return &rules->freezes[i];
        }
    }
    return NULL;
}

int flo_rules_set_approval(struct flo_controller *controller, const char *group, uint32_t people,
                           const char *by, struct flo_err *err)
{
    struct flo_rules *rules = controller->rules;
    const struct flo_rule_approval *there = flo_rules_approval(controller, group);
    size_t at = there != NULL ? (size_t)(there - rules->approvals) : rules->approval_count;

    if (people == 0 && there == NULL) {
        return flo_fail(err, FLO_E_ABSENT, "no approval is needed for group %.64s", group);
    }
    if (people == 0) {
        rules->approval_count--;
        memmove(&rules->approvals[at], &rules->approvals[at + 1],
                (rules->approval_count - at) * sizeof(rules->approvals[0]));
        return save(controller, err);
    }
    if (at == FLO_RULES_MAX) {
        return no_room(err);
    }
    struct flo_rule_approval *approval = &rules->approvals[at];
    *approval = (struct flo_rule_approval){.people = people, .at_ms = flo_wall_ms()};
    snprintf(approval->group, sizeof(approval->group), "%s", group);
    snprintf(approval->by, sizeof(approval->by), "%s", by);
    rules->approval_count += there == NULL ? 1 : 0;
    return save(controller, err);
}

static int check_freeze(const struct flo_rule_freeze *freeze, struct flo_err *err)
{
    bool has_times = freeze->from_ms > 0 || freeze->until_ms > 0;
    bool has_window = freeze->window_text[0] != '\0';

    if (strcmp(freeze->name, FLO_RULE_UNSEALED) == 0) {
        return flo_fail(err, FLO_E_REST_MEANING, "the freeze %s is the controller's",
                        FLO_RULE_UNSEALED);
    }
    if (has_times == has_window) {
        return flo_fail(err, FLO_E_REST_MEANING, "a change freeze has from and until, or a window");
    }
    return has_times && freeze->until_ms <= freeze->from_ms
               ? flo_fail(err, FLO_E_REST_MEANING, "until is not after from")
               : 0;
}

int flo_rules_set_freeze(struct flo_controller *controller, const struct flo_rule_freeze *freeze,
                         struct flo_err *err)
{
    struct flo_rules *rules = controller->rules;
    struct flo_rule_freeze made = *freeze;
    const struct flo_rule_freeze *there = flo_rules_freeze(controller, freeze->name);
    size_t at = there != NULL ? (size_t)(there - rules->freezes) : rules->freeze_count;
    int rv = check_freeze(freeze, err);

    made.zone = NULL;
    made.at_ms = flo_wall_ms();
    if (rv == 0 && at == FLO_RULES_MAX) {
        rv = no_room(err);
    }
    FLO_TRY(rv);
    FLO_TRY(read_window(&made, err));
    if (there != NULL) {
        flo_zone_close(rules->freezes[at].zone);
    }
    rules->freezes[at] = made;
    rules->freeze_count += there == NULL ? 1 : 0;
    return save(controller, err);
}

int flo_rules_delete_freeze(struct flo_controller *controller, const char *name,
                            struct flo_err *err)
{
    struct flo_rules *rules = controller->rules;
    const struct flo_rule_freeze *there = flo_rules_freeze(controller, name);

    if (there == NULL) {
        return flo_fail(err, FLO_E_ABSENT, "no change freeze %.64s", name);
    }
    if (strcmp(name, FLO_RULE_UNSEALED) == 0) {
        if (flo_fleet_doubts(controller->store, FLO_SEALED_GROUP) ||
            flo_fleet_doubts(controller->store, FLO_SEALED_DEVICE)) {
            flo_fail(err, FLO_E_STATE, "rows of groups or devices are in doubt");
            return flo_err_fix(err, "look at them, then start once with --seal-again");
        }
        flo_fleet_doubt(controller->store, FLO_SEALED_RULES, false);
        flo_fleet_changed_all(controller->store); /* devices stayed in their groups */
    }
    size_t at = (size_t)(there - rules->freezes);
    flo_zone_close(rules->freezes[at].zone);
    rules->freeze_count--;
    memmove(&rules->freezes[at], &rules->freezes[at + 1],
            (rules->freeze_count - at) * sizeof(rules->freezes[0]));
    return save(controller, err);
}

/* ---- what holds now ---- */

/* Time in ms after which freezes are looked at again although none of them
 * should change, because a zone's offset may have changed. */
#define LOOK_MS 60000

/* Returns the next time at which the freeze may begin or end. */
static uint64_t change_of(const struct flo_rule_freeze *freeze, uint64_t wall_ms, bool is_on,
                          uint64_t until_ms)
{
    bool is_before = freeze->window_text[0] == '\0' && wall_ms < freeze->from_ms;

    return is_before                                                   ? freeze->from_ms
           : is_on || (freeze->window_text[0] != '\0' && until_ms > 0) ? until_ms
                                                                       : UINT64_MAX;
}

/* Lists the rules that hold now, if the list may be another than before. */
static void look(struct flo_rules *rules)
{
    uint64_t wall_ms = flo_wall_ms();
    uint64_t freezes = 0;

    if (rules->turn > 0 && rules->now_revision == rules->revision &&
        wall_ms >= rules->now_from_ms && wall_ms < rules->now_to_ms) {
        return;
    }
    rules->now_count = 0;
    rules->now_to_ms = wall_ms + LOOK_MS;
    for (size_t i = 0; i < rules->freeze_count; i++) {
        const struct flo_rule_freeze *freeze = &rules->freezes[i];
        uint64_t until_ms = 0;
        bool is_on = flo_rule_freeze_is_on(freeze, wall_ms, &until_ms);
        uint64_t change_ms = change_of(freeze, wall_ms, is_on, until_ms);
        rules->now_to_ms = change_ms < rules->now_to_ms ? change_ms : rules->now_to_ms;
        if (is_on) {
            freezes |= i < FLO_RULES_MAX ? UINT64_C(1) << i : 0;
            rules->now[rules->now_count++] = (struct flo_rule){
                .group = freeze->group, .name = freeze->name, .until_ms = until_ms};
        }
    }
    for (size_t i = 0; i < rules->approval_count; i++) {
        if (rules->approvals[i].people > 0) {
            rules->now[rules->now_count++] = (struct flo_rule){
                .group = rules->approvals[i].group, .people = rules->approvals[i].people};
        }
    }
    if (rules->turn == 0 || rules->now_revision != rules->revision ||
        rules->now_freezes != freezes) {
        rules->turn++;
    }
    rules->now_from_ms = wall_ms;
    rules->now_revision = rules->revision;
    rules->now_freezes = freezes;
}
_Static_assert(FLO_RULES_MAX <= 64, "a bit for each freeze");

uint64_t flo_rules_turn(struct flo_rules *rules)
{
    look(rules);
    return rules->turn;
}

void flo_rules_turn_on(struct flo_rules *rules)
{
    rules->turn++;
}

void flo_rules_ask(const struct flo_controller *controller, const char *device,
                   enum flo_order_op op, uint32_t approvals, struct flo_rule_answer *out)
{
    struct flo_rules *rules = controller->rules;

    *out = (struct flo_rule_answer){.hold = FLO_RULE_FREE};
    look(rules);
    const struct flo_select_device *facts =
        rules->now_count > 0 ? flo_fleet_facts_of(controller->store, device) : NULL;
    if (facts != NULL) {
        flo_rule_ask(rules->now, rules->now_count,
                     &(struct flo_rule_question){.groups = facts->values[FLO_SELECT_GROUP].list,
                                                 .op = op,
                                                 .approvals = approvals},
                     out);
    }
}

void flo_rules_wait(struct flo_rules *rules, const char *device)
{
    flo_text_list_add(&rules->waiting, device);
    rules->waiting_turn = flo_rules_turn(rules);
}

bool flo_rules_have_waiting(const struct flo_rules *rules)
{
    return rules->waiting.count + rules->freed.count > 0;
}

bool flo_rules_have_freed(struct flo_rules *rules)
{
    if (rules->freed.count == 0 && rules->waiting.count > 0 &&
        rules->waiting_turn != flo_rules_turn(rules)) {
        rules->freed = rules->waiting;
        rules->waiting = (struct flo_text_list){0};
        flo_text_list_unique(&rules->freed);
    }
    return rules->freed.count > 0;
}

bool flo_rules_next_freed(struct flo_rules *rules, char *out)
{
    if (!flo_rules_have_freed(rules)) {
        return false;
    }
    char *device = rules->freed.items[--rules->freed.count];
    snprintf(out, 37, "%s", device);
    free(device);
    if (rules->freed.count == 0) {
        flo_text_list_clear(&rules->freed);
    }
    return true;
}

int flo_rules_may_take_out(const struct flo_controller *controller, const char *group,
                           struct flo_err *err)
{
    struct flo_rules *rules = controller->rules;

    look(rules);
    for (size_t i = 0; i < rules->now_count; i++) {
        const struct flo_rule *rule = &rules->now[i];
        bool is_unsealed = rule->name != NULL && strcmp(rule->name, FLO_RULE_UNSEALED) == 0;
        if (strcmp(rule->group, group) == 0 || is_unsealed) {
            flo_fail(err, rule->people > 0 ? FLO_E_ORDER_APPROVAL : FLO_E_CHANGE_FREEZE,
                     "group %.64s has a rule: a device leaves it by an admin alone", rule->group);
            return flo_err_fix(err, "flotilla %s list; an admin moves the device",
                               rule->people > 0 ? "approval" : "change-freeze");
        }
    }
    return 0;
}

int flo_rules_may_bring(const struct flo_controller *controller,
                        const struct flo_fleet_device *device, struct flo_err *err)
{
    struct flo_rule_answer answer;
    char at[25];

    flo_rules_ask(controller, device->id, FLO_ORDER_DEPLOY, 0, &answer);
    if (answer.hold == FLO_RULE_FREE) {
        return 0;
    }
    if (answer.hold == FLO_RULE_AWAITS) {
        return flo_fail(err, FLO_E_ORDER_APPROVAL,
                        "device %s: group %s asks for the approval of %u", device->name,
                        answer.rule->group, answer.rule->people);
    }
    flo_time_text(answer.rule->until_ms, at);
    return flo_fail(err, FLO_E_CHANGE_FREEZE, "change freeze %s until %s", answer.rule->name, at);
}
