/* Checks of the whole fleet: emergencies, and what holds at rest. */
#include <string.h>

#include "base/host/json.h"
#include "server-stub/state/audit/head.h"
#include "server-stub/state/clock/clock.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/rollouts/rollouts.h"
#include "tests/sim/people.h"

#define OBEYED_MS 15000

static struct flo_controller *ours(void)
{
    return sim->controller.controller;
}

/* ---- emergencies ---- */

static bool is_undisturbed(const struct sim_device *device, uint64_t since_ms)
{
    return device->runs && !device->is_alone && !device->disk_is_full && device->skew_ms == 0 &&
           device->cut_after == 0 && device->reachable_since_ms != 0 &&
           device->reachable_since_ms + 2000 < since_ms && device->troubled_ms + 60000 < since_ms;
}

static bool has_obeyed(const struct sim_device *device, const struct sim_emergency *emergency)
{
    const struct flo_device *record = &device->disk.record;

    if (emergency->release < 0) {
        return record->freeze.number >= emergency->number;
    }
    const struct sim_release *release = &sim->releases[emergency->release];
    const struct flo_slots *slots = &device->disk.slots[release->model];
    bool is_here = flo_digest_equal(&slots->current, &release->ref.digest) ||
                   flo_digest_equal(&slots->candidate, &release->ref.digest);
    return slots->stated.number >= emergency->number || slots->is_removed ||
           (!emergency->is_yanked && !is_here);
}

/* It was in the lab long before, and nobody moves it. */
static bool stays_in_lab(const struct sim_device *device, uint64_t at_ms)
{
    return sim_device_is_in_lab(device) &&
           (device->moved_ms == 0 || device->moved_ms + 120000 < at_ms);
}

static void on_emergency(const struct sim_call *call)
{
    const struct sim_emergency *emergency = &sim_people.emergencies[call->a];

    if (sim->is_calm || sim->plays_clocks || sim->disturbed_ms + 60000 >= emergency->at_ms ||
        ours() == NULL || sim->controller.disk_fails) {
        return;
    }
    for (uint32_t i = 0; i < sim->device_count; i++) {
        const struct sim_device *device = &sim->devices[i];
        if ((strcmp(emergency->group, "all") == 0 || stays_in_lab(device, emergency->at_ms)) &&
            is_undisturbed(device, emergency->at_ms) && !has_obeyed(device, emergency)) {
            sim_violated(SIM_RULE_EMERGENCY, device, "order %llu was not kept in %d ms",
                         (unsigned long long)emergency->number, OBEYED_MS);
        }
    }
}

void sim_check_emergency_later(size_t number)
{
    sim_later(OBEYED_MS, (struct sim_call){.fn = on_emergency, .a = number});
}

/* ---- rollouts under way ---- */

/* The controller has acknowledged that it failed there.  A device that lost its
 * outbox gives numbers a second time (docs/roadmap.md). */
static bool has_failed_on(struct sim_device *device, const char *rollout)
{
    const struct sim_story *story = sim_story_last(device, rollout);

    return !device->outbox_was_lost && story != NULL && story->has_ended &&
           story->execution.error.code != 0 && story->execution.state != FLO_EXECUTION_REJECTED &&
           flo_execution_kind(story->execution.state) == FLO_EXECUTION_END_BAD &&
           sim_outbox_acked(device) == sim_outbox_last(device);
}

/* NULL: the id is retired. */
static struct sim_device *device_of(const char *id)
{
    struct sim_device *device = &sim->devices[strtoul(id, NULL, 16)];

    return strcmp(device->id, id) == 0 ? device : NULL;
}

struct failures {
    const char *rollout;
    uint32_t count;
};

/* A device from which the model was removed is no part of it any more. */
static int count_failure(void *context, const struct flo_rollout_member *member,
                         const char *error_json, const char *detail_json)
{
    struct failures *failures = context;
    enum flo_execution state = (enum flo_execution)member->state;

    (void)error_json, (void)detail_json;
    struct sim_device *device = device_of(member->device);
    failures->count += device != NULL && flo_execution_kind(state) != FLO_EXECUTION_END_OTHER &&
                       has_failed_on(device, failures->rollout);
    return 0;
}

static uint32_t failures_of(const struct sim_rollout *rollout)
{
    struct failures failures = {.rollout = rollout->id};
    uint32_t i = 0;
    struct flo_err err = {0};

    while (i < sim->device_count && !has_failed_on(&sim->devices[i], rollout->id)) {
        i++;
    }
    if (i < sim->device_count && flo_fleet_member_list(ours()->store, rollout->id, FLO_FLEET_ALL,
                                                       count_failure, &failures, &err) < 0) {
        sim_violated(SIM_RULE_KNOWN, NULL, "rollout %s: %s", rollout->id, err.what);
    }
    return failures.count;
}

/* The rollout alone brought the device anything of this model: else it may have
 * come back to this release from a newer one. */
static bool is_only_one(const struct sim_device *device, const struct sim_rollout *rollout)
{
    if ((device->seen.own_rollouts & sim_rollout_bit(rollout->id)) == 0) {
        return false;
    }
    for (size_t i = 0; i < sim_people.rollout_count; i++) {
        const struct sim_rollout *other = &sim_people.rollouts[i];
        if (other != rollout &&
            sim->releases[other->release].model == sim->releases[rollout->release].model &&
            (device->seen.rollouts & sim_rollout_bit(other->id)) != 0) {
            return false;
        }
    }
    return true;
}

#define HEARD_MS 10000

/* The device ended its update, and went on with it after a restart, as it could not write
 * the end.  Only its report corrects the end, once the controller can hear and keep it. */
static bool is_unheard(const struct sim_device *device, enum flo_execution state)
{
    bool is_ended = state == FLO_EXECUTION_FAILED || state == FLO_EXECUTION_CANCELLED;
    bool is_reached = device->reachable_since_ms != 0 &&
                      device->reachable_since_ms + HEARD_MS < sim->now_ms &&
                      sim->disturbed_ms + HEARD_MS < sim->now_ms;

    return is_ended && (!is_reached || sim->controller.disk_fails || device->disk_is_full ||
                        sim_outbox_acked(device) != sim_outbox_last(device));
}

static void check_back(const struct sim_rollout *rollout, const struct flo_rollout *core)
{
    const struct sim_release *release = &sim->releases[rollout->release];

    for (size_t i = 0; i < core->member_count; i++) {
        struct sim_device *device = device_of(core->members[i].device);
        /* It left the fleet, or its model is being removed: no member any more. */
        if (device == NULL || core->members[i].state == FLO_EXECUTION_REMOVED) {
            continue;
        }
        const struct flo_slots *slots = &device->disk.slots[release->model];
        bool is_leaving = sim_agent_of(device, release->model)->going_back.is_active;
        enum flo_execution state = (enum flo_execution)core->members[i].state;
        if (!is_leaving && is_only_one(device, rollout) && !is_unheard(device, state) &&
            flo_digest_equal(&slots->current, &release->ref.digest)) {
            sim_violated(SIM_RULE_BACK, device, "rollout %s is rolled-back, %.8s is %s and has it",
                         rollout->id, core->members[i].device, flo_execution_word(state));
        }
    }
}

/* Their gates allow no failure at all.  While the controller's clock has leapt, and
 * until it sees that it's right, rollouts stand still. */
void sim_check_running(void)
{
    if (flo_clock_is_leapt(ours())) {
        sim->controller.leapt_ms = sim->now_ms;
    }
    if (sim->controller.leapt_ms != 0 && sim->now_ms < sim->controller.leapt_ms + 60000) {
        return;
    }
    for (size_t i = 0; i < sim_people.rollout_count; i++) {
        const struct sim_rollout *rollout = &sim_people.rollouts[i];
        struct flo_rollout_entry *entry;
        struct flo_err err = {0};

        if (flo_rollouts_find(ours(), rollout->id, &entry, &err) == 0 &&
            entry->core.state == FLO_ROLLOUT_ROLLED_BACK) {
            check_back(rollout, &entry->core);
        }
        if (rollout->is_last || rollout->is_promoted ||
            flo_rollouts_find(ours(), rollout->id, &entry, &err) < 0 ||
            entry->core.state != FLO_ROLLOUT_RUNNING) {
            continue;
        }
        uint32_t failures = failures_of(rollout);
        if (failures > 0) {
            sim_violated(SIM_RULE_BLAST, NULL, "rollout %s runs on, it failed on %u devices",
                         rollout->id, failures);
        }
    }
}

/* ---- at rest? ---- */

struct seen {
    bool is_online;
    char serving[SIM_MODELS_MAX][2 * FLO_NAME_MAX + 2];
};

static void read_serving(const char *text, struct seen *seen)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *json = NULL;
    size_t i;
    json_t *model;

    if (flo_json_parse(text, strlen(text), 1 << 20, &json, NULL) < 0) {
        return;
    }
    json_array_foreach(json_object_get(json, "models"), i, model)
    {
        const char *name = json_string_value(json_object_get(model, "model"));
        const char *version =
            json_string_value(json_object_get(json_object_get(model, "serving"), "version"));
        for (size_t at = 0; at < SIM_MODELS_MAX; at++) {
            if (name != NULL && strcmp(name, sim_models[at]) == 0) {
                snprintf(seen->serving[at], sizeof(seen->serving[at]), "%s",
                         version == NULL ? "" : version);
            }
        }
    }
}

static int take_row(void *context, const struct flo_fleet_device *row)
{
    struct seen *seen = context;

    seen->is_online = row->is_online;
    read_serving(row->reported, seen);
    return 0;
}

#define SAY(rule, ...) (snprintf(why, bytes, __VA_ARGS__), SIM_RULE_##rule)

static enum sim_rule device_rests(const struct sim_device *device, char *why, size_t bytes)
{
    if (!device->client.believes) {
        return SAY(CONVERGES, "%s is not connected", sim_name(device));
    }
    if (sim_outbox_acked(device) != sim_outbox_last(device)) {
        return SAY(DELIVERED, "%s waits for the ack of event %llu of %llu", sim_name(device),
                   (unsigned long long)sim_outbox_acked(device),
                   (unsigned long long)sim_outbox_last(device));
    }
    if (flo_trust_number(sim_trust_of(device)) != flo_trust_number(sim_trust_newest())) {
        return SAY(CONVERGES, "%s trusts statement %llu of %llu", sim_name(device),
                   (unsigned long long)flo_trust_number(sim_trust_of(device)),
                   (unsigned long long)flo_trust_number(sim_trust_newest()));
    }
    for (uint32_t i = 0; i < sim->model_count; i++) {
        const struct flo_agent_model *agent = sim_agent_of(device, i);
        if (agent->has_execution || agent->going_back.is_active) {
            return SAY(CONVERGES, "%s: %s is %s, %s", sim_name(device), agent->execution.id,
                       flo_execution_word(agent->execution.state), agent->execution.reason);
        }
    }
    return SIM_RULES;
}

static enum sim_rule device_serves(const struct sim_device *device, char *why, size_t bytes)
{
    for (uint32_t i = 0; i < sim->model_count; i++) {
        const struct flo_agent_model *agent = sim_agent_of(device, i);
        int release = sim_people.last[i]->release;
        const struct flo_digest *wanted = &sim->releases[release].ref.digest;
        if (!flo_digest_equal(&agent->slots.current.digest, wanted)) {
            return SAY(CONVERGES, "%s runs %s@%s", sim_name(device), sim_models[i],
                       agent->slots.current.version);
        }
        if (agent->live < 0) {
            return SAY(SERVES, "%s serves no %s", sim_name(device), sim_models[i]);
        }
    }
    return SIM_RULES;
}

static enum sim_rule device_is_known(const struct sim_device *device, char *why, size_t bytes)
{
    struct seen seen = {0};
    struct flo_err err = {0};

    if (flo_fleet_device_get(ours()->store, device->id, take_row, &seen, &err) < 0) {
        return SAY(KNOWN, "%s: %s", sim_name(device), err.what);
    }
    if (!seen.is_online) {
        return SAY(KNOWN, "%s counts as offline", sim_name(device));
    }
    for (uint32_t i = 0; i < sim->model_count; i++) {
        const char *version = sim_agent_of(device, i)->slots.current.version;
        if (strcmp(seen.serving[i], version) != 0) {
            return SAY(KNOWN, "%s runs %s@%s, its report says `%s`", sim_name(device),
                       sim_models[i], version, seen.serving[i]);
        }
    }
    return SIM_RULES;
}

/* Every device has the last release of each model now: no other one is left
 * anywhere. */
static bool is_over(const struct sim_rollout *rollout, const struct flo_rollout *core)
{
    uint32_t model = sim->releases[rollout->release].model;

    return core->state != FLO_ROLLOUT_PARTLY_BACK || sim_people.last[model] == NULL ||
           sim_people.last[model]->release == rollout->release;
}

/* Every rollout comes to an end of its own. */
static enum sim_rule rollouts_end(char *why, size_t bytes)
{
    for (size_t i = 0; i < sim_people.rollout_count; i++) {
        const char *id = sim_people.rollouts[i].id;
        struct flo_rollout_entry *entry;
        struct flo_err err = {0};
        if (flo_rollouts_find(ours(), id, &entry, &err) == 0 &&
            flo_rollout_state_is_active(entry->core.state)) {
            return SAY(CONVERGES, "rollout %s is %s: %s", id,
                       flo_rollout_state_word(entry->core.state), entry->core.reason);
        }
        if (flo_rollouts_find(ours(), id, &entry, &err) == 0 &&
            !is_over(&sim_people.rollouts[i], &entry->core)) {
            return SAY(BACK, "rollout %s is partly-back: %s", id, entry->core.reason);
        }
    }
    return SIM_RULES;
}

static enum sim_rule rollouts_rest(char *why, size_t bytes)
{
    for (uint32_t i = 0; i < sim->model_count; i++) {
        struct flo_rollout_entry *entry;
        struct flo_err err = {0};
        const char *id = sim_people.last[i] == NULL ? "" : sim_people.last[i]->id;
        if (flo_rollouts_find(ours(), id, &entry, &err) < 0) {
            return SAY(CONVERGES, "the last rollout of %s: %s", sim_models[i], err.what);
        }
        if (entry->core.state != FLO_ROLLOUT_COMPLETED) {
            return SAY(CONVERGES, "rollout %s is %s: %s", id,
                       flo_rollout_state_word(entry->core.state), entry->core.reason);
        }
    }
    return SIM_RULES;
}

/* ---- executions ---- */

struct told {
    const struct sim_rollout *rollout;
    char *why;
    size_t bytes;
    enum sim_rule rule;
};

static int member_ends(void *context, const struct flo_rollout_member *member,
                       const char *error_json, const char *detail_json)
{
    struct told *told = context;
    char *why = told->why;
    size_t bytes = told->bytes;
    const struct sim_device *device = &sim->devices[strtoul(member->device, NULL, 16)];
    enum flo_execution state = (enum flo_execution)member->state;

    (void)error_json, (void)detail_json;
    if (told->rule != SIM_RULES) {
        return 0;
    }
    if (state > FLO_EXECUTION_NOTIFIED && !flo_execution_is_end(state)) {
        told->rule = SAY(ENDS, "%s: %s.%u is %s for ever", sim_name(device), told->rollout->id,
                         member->attempt, flo_execution_word(state));
    }
    return 0;
}

static enum sim_rule executions_end(char *why, size_t bytes)
{
    struct flo_err err = {0};
    struct told told = {NULL, why, bytes, SIM_RULES};

    for (size_t i = 0; i < sim_people.rollout_count && told.rule == SIM_RULES; i++) {
        told.rollout = &sim_people.rollouts[i];
        if (flo_fleet_member_list(ours()->store, told.rollout->id, FLO_FLEET_ALL, member_ends,
                                  &told, &err) < 0) {
            return SAY(KNOWN, "rollout %s: %s", told.rollout->id, err.what);
        }
    }
    return told.rule;
}

static int take_is_in_lab(void *context, const struct flo_fleet_device *device)
{
    *(bool *)context = strstr(device->groups, "\"lab\"") != NULL;
    return 0;
}

bool sim_people_have_in_lab(const struct sim_device *device)
{
    struct flo_err err = {0};
    bool is_in_lab = false;

    return flo_fleet_device_get(ours()->store, device->id, take_is_in_lab, &is_in_lab, &err) == 0 &&
           is_in_lab;
}

static enum sim_rule device_is_grouped(const struct sim_device *device, char *why, size_t bytes)
{
    bool is_in_lab = sim_people_have_in_lab(device);

    return sim_device_is_in_lab(device) == is_in_lab
               ? SIM_RULES
               : SAY(GROUPED, "%s is %sin the lab, and knows another thing", sim_name(device),
                     is_in_lab ? "" : "not ");
}

enum sim_rule sim_check_rest(char *why, size_t bytes)
{
    enum sim_rule rule;

    why[0] = '\0';
    if (ours() == NULL) {
        return SAY(CONVERGES, "the controller is down");
    }
    rule = rollouts_rest(why, bytes);
    rule = rule == SIM_RULES ? rollouts_end(why, bytes) : rule;
    for (uint32_t i = 0; i < sim->device_count && rule == SIM_RULES; i++) {
        const struct sim_device *device = &sim->devices[i];
        rule = device_rests(device, why, bytes);
        rule = rule == SIM_RULES ? device_serves(device, why, bytes) : rule;
        rule = rule == SIM_RULES ? device_is_grouped(device, why, bytes) : rule;
        rule = rule == SIM_RULES ? device_is_known(device, why, bytes) : rule;
    }
    return rule == SIM_RULES ? executions_end(why, bytes) : rule;
}

/* ---- its desired document is what a device keeps to ---- */

struct holding {
    char order[FLO_NAME_MAX + 1];
    uint64_t number;
    enum flo_order_op op;
};

static int take_held(void *context, const struct flo_fleet_order *order)
{
    struct holding *holding = context;

    holding->number = order->seq;
    return flo_order_op_parse(order->op, &holding->op) ? 0 : FLO_E_DB;
}

static enum sim_rule device_obeys(const struct sim_device *device, uint32_t model, char *why,
                                  size_t bytes)
{
    struct holding holding = {.op = FLO_ORDER_COUNT};
    struct flo_err err = {0};
    const struct flo_stated *stated = &device->disk.slots[model].stated;

    if (flo_fleet_desired_get(ours()->store, device->id, sim_models[model], holding.order, &err) <
            0 ||
        (holding.order[0] != '\0' &&
         flo_fleet_order_get(ours()->store, holding.order, take_held, &holding, &err) < 0)) {
        return SAY(OBEYS, "%s: %s", sim_name(device), err.what);
    }
    /* Either of two rollbacks may be the newer one.  An order that a device
     * refused for its wrong clock is not sent again. */
    if (device->was_ahead || (holding.op != FLO_ORDER_DEPLOY && holding.op != FLO_ORDER_REMOVE) ||
        stated->number == holding.number) {
        return SIM_RULES;
    }
    return SAY(OBEYS, "%s keeps to number %llu about %s, its desired says %s", sim_name(device),
               (unsigned long long)stated->number, sim_models[model], holding.order);
}

/* No controller asks for the answer to an order of an emergency key. */
static enum sim_rule device_obeys_emergency(const struct sim_device *device, char *why,
                                            size_t bytes)
{
    const struct flo_order *missed = sim_emergency_missed(device);

    return missed == NULL ? SIM_RULES
                          : SAY(EMERGENCY, "%s did not take %s %s of the emergency key",
                                sim_name(device), missed->id, flo_order_op_word(missed->op));
}

/* A release whose damage was seen is fetched again, if it may be. */
static enum sim_rule device_repairs(const struct sim_device *device, uint32_t model, char *why,
                                    size_t bytes)
{
    const struct flo_slots *slots = &device->disk.slots[model];
    const struct flo_agent_model *agent = sim_agent_of(device, model);
    int release = sim_release_find(&slots->current);

    if (release < 0 || (device->disk.damaged >> release & 1) == 0 || agent->live >= 0 ||
        agent->has_execution || device->disk.record.is_frozen ||
        device->disk.record.is_frozen_emergency ||
        flo_slots_is_denied(slots, &slots->current, slots->current_number) ||
        sim_trust_forbids(sim_trust_of(device), slots->model, &slots->current,
                          slots->current_number)) {
        return SIM_RULES;
    }
    return SAY(SERVES, "%s does not fetch its damaged %s again", sim_name(device),
               sim_models[model]);
}

enum sim_rule sim_check_obeyed(char *why, size_t bytes)
{
    enum sim_rule rule = SIM_RULES;

    if (ours() == NULL) {
        return SAY(OBEYS, "the controller is down");
    }
    /* A rollback that was for others alone, but names their group, may have
     * come to anybody: until its deploy is signed again it holds there. */
    for (uint32_t i = 0; i < sim->device_count && !sim->was_hostile; i++) {
        for (uint32_t m = 0; m < sim->model_count && rule == SIM_RULES; m++) {
            rule = device_obeys(&sim->devices[i], m, why, bytes);
            rule = rule == SIM_RULES ? device_repairs(&sim->devices[i], m, why, bytes) : rule;
        }
        rule = rule == SIM_RULES ? device_obeys_emergency(&sim->devices[i], why, bytes) : rule;
    }
    return rule;
}

/* ---- at rest ---- */

static void check_disk(struct sim_device *device)
{
    uint32_t count = 0;

    for (int i = 0; i < sim->release_count; i++) {
        count += device->disk.blobs >> i & 1;
    }
    if (count > 3 * sim->model_count) {
        sim_violated(SIM_RULE_DISK, device, "%u releases are on its disk", count);
    }
}

/* ---- every end was told ---- */

static int note_end(void *context, const char *event)
{
    static const char key[] = "\"execution\":\"";
    struct sim_stories *stories = context;
    const char *id = strstr(event, key);
    size_t chars;

    if (id == NULL || strstr(event, "\"end\":true") == NULL) {
        return 0;
    }
    id += strlen(key);
    chars = strcspn(id, "\"");
    for (size_t i = 0; i < stories->count; i++) {
        const char *own = stories->items[i].execution.id;
        if (strlen(own) == chars && memcmp(own, id, chars) == 0) {
            stories->items[i].is_told = true;
        }
    }
    return 0;
}

static void check_told(struct sim_device *device)
{
    struct sim_stories *stories = &device->disk.stories;
    struct flo_err err = {0};
    uint64_t oldest;

    if (flo_fleet_event_list(ours()->store, device->id, FLO_FLEET_ALL, 2000, note_end, stories,
                             &oldest, &err) < 0) {
        sim_violated(SIM_RULE_DELIVERED, device, "%s", err.what);
        return;
    }
    for (size_t i = 0; i < stories->count && oldest == 0; i++) {
        if (stories->items[i].has_ended && !stories->items[i].is_told) {
            sim_violated(SIM_RULE_DELIVERED, device, "the end of %s is not at the controller",
                         stories->items[i].execution.id);
        }
    }
}

static int count_issued(void *context, const struct flo_audit_record *record,
                        const struct flo_digest *hash)
{
    (void)hash;
    *(uint64_t *)context += strcmp(record->what, "order.issue") == 0;
    return 0;
}

static int count_order(void *context, const struct flo_fleet_order *order)
{
    (void)order;
    ++*(uint64_t *)context;
    return 0;
}

/* Statements of groups take numbers, too, and are no orders of people. */
static int count_orders(uint64_t *out, struct flo_err *err)
{
    char id[FLO_NAME_MAX + 1];
    uint64_t newest = 0;
    int rv = flo_fleet_newest(ours()->store, "order", &newest, err);

    *out = 0;
    for (uint64_t i = 1; i <= newest && rv == 0; i++) {
        snprintf(id, sizeof(id), "o-%04llu", (unsigned long long)i);
        rv = flo_fleet_order_get(ours()->store, id, count_order, out, err);
        rv = rv == FLO_E_ABSENT ? 0 : rv;
    }
    return rv;
}

static void check_audit(void)
{
    struct flo_audit_check check = {.is_over = false};
    struct flo_err err = {0};
    uint64_t issued = 0;
    uint64_t orders = 0;
    int rv = 0;

    while (rv == 0 && !check.is_over) {
        rv = flo_audit_check_on(ours(), &check, &err);
    }
    if (rv < 0 || flo_fleet_audit_list(ours()->store, 0, 0, count_issued, &issued, &err) < 0 ||
        count_orders(&orders, &err) < 0) {
        sim_violated(SIM_RULE_AUDIT, NULL, "%s", err.what);
    } else if (issued != orders) {
        sim_violated(SIM_RULE_AUDIT, NULL, "%llu of %llu orders are in it",
                     (unsigned long long)issued, (unsigned long long)orders);
    }
}

/* Nor does the device itself wait for one that it forgot. */
static void check_stories(const struct sim_device *device)
{
    for (size_t i = 0; i < device->disk.stories.count; i++) {
        const struct sim_story *story = &device->disk.stories.items[i];
        if (!story->has_ended) {
            sim_violated(SIM_RULE_ENDS, device, "%s is %s on its disk for ever",
                         story->execution.id, flo_execution_word(story->execution.state));
        }
    }
}

void sim_check_calm(void)
{
    for (uint32_t i = 0; i < sim->device_count; i++) {
        check_disk(&sim->devices[i]);
        check_stories(&sim->devices[i]);
        check_told(&sim->devices[i]);
    }
    check_audit();
}
