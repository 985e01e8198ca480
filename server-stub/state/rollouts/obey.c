/* Obey: asks the rules of the fleet for the members of a rollout. */
#include <stdlib.h>

#include "server-stub/core/orders/intent.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/rollouts/rollouts.h"
#include "server-stub/state/rollouts/work.h"
#include "server-stub/state/rules/rules.h"

/* Returns whether the rollout tells devices, or is about to. */
static bool tells(const struct flo_rollout *core)
{
    return flo_intent_may_order(core->state) || core->state == FLO_ROLLOUT_SCHEDULED;
}

void flo_rollouts_ask(const struct flo_controller *controller,
                      const struct flo_rollout_entry *entry, const char *device,
                      struct flo_rule_answer *out)
{
    *out = (struct flo_rule_answer){.hold = FLO_RULE_FREE};
    if (tells(&entry->core)) {
        flo_rules_ask(controller, device, FLO_ORDER_DEPLOY, entry->core.approvals, out);
    }
}

/* Writes what a queued member waits for, whose phase began and which no rule holds. */
static bool waits_for(const struct flo_controller *controller,
                      const struct flo_rollout_entry *entry,
                      const struct flo_rollout_member *member, char *out, uint64_t *until_at_ms)
{
    const struct flo_rollout *core = &entry->core;
    uint64_t until_ms;
    char at[25] = "";

    enum flo_hold hold =
        flo_rollout_hold_of(core, member, flo_controller_now_ms(controller), &until_ms);
    if (until_ms != UINT64_MAX) {
        *until_at_ms = flo_rollout_wall_ms(core, until_ms);
        flo_time_text(*until_at_ms, at);
    }
    switch (hold) {
    case FLO_HOLD_WINDOW:
        snprintf(out, FLO_RULE_TEXT, "its window, which opens at %s (%s)", at,
                 entry->own->zone_names.words[member->place.zone - 1]);
        return true;
    case FLO_HOLD_ZONE:
        snprintf(out, FLO_RULE_TEXT, "a time zone for its window: give it the label tz");
        return true;
    case FLO_HOLD_RETRY:
        snprintf(out, FLO_RULE_TEXT, "its next try, at %s", at);
        return true;
    case FLO_HOLD_OFFLINE:
        snprintf(out, FLO_RULE_TEXT, "its return: it is away");
        return true;
    default:
        return false;
    }
}

bool flo_rollouts_held_why(const struct flo_controller *controller,
                           const struct flo_rollout_entry *entry,
                           const struct flo_rollout_member *member, char *out,
                           uint64_t *until_at_ms)
{
    const struct flo_rollout *core = &entry->core;
    struct flo_rule_answer answer = {.hold = FLO_RULE_FREE};

    *until_at_ms = 0;
    if (member->state != FLO_EXECUTION_QUEUED) {
        return false;
    }
    flo_rollouts_ask(controller, entry, member->device, &answer);
    if (answer.hold != FLO_RULE_FREE) {
        flo_rule_text(&answer, core->approvals, out);
        return true;
    }
    return core->state == FLO_ROLLOUT_RUNNING && member->phase <= core->phase &&
           waits_for(controller, entry, member, out, until_at_ms);
}

json_t *flo_rollouts_kept_from(const struct flo_controller *controller, const char *device)
{
    json_t *list = json_array();
    char why[FLO_RULE_TEXT];
    uint64_t until_at_ms;

    for (size_t i = 0; i < controller->rollouts->count; i++) {
        const struct flo_rollout_entry *entry = controller->rollouts->items[i];
        const struct flo_rollout *core = &entry->core;
        size_t index = flo_rollout_find(core, device);
        if (index != SIZE_MAX &&
            flo_rollouts_held_why(controller, entry, &core->members[index], why, &until_at_ms)) {
            json_array_append_new(list, json_pack("{s:s,s:s,s:s}", "rollout", core->id, "release",
                                                  core->release, "why", why));
        }
    }
    return list;
}

bool flo_rollouts_obeys(const struct flo_controller *controller,
                        const struct flo_rollout_entry *entry)
{
    return !tells(&entry->core) || entry->own->ruled == flo_rules_turn(controller->rules);
}

void flo_rollouts_asks_people(struct flo_rollout_entry *entry, const struct flo_rule_answer *answer)
{
    if (answer->hold == FLO_RULE_AWAITS && answer->rule->people > entry->own->people_asked) {
        entry->own->people_asked = answer->rule->people;
    }
}

int flo_rollouts_ask_all(struct flo_controller *controller, struct flo_rollout_entry *entry,
                         uint8_t **out, struct flo_err *err)
{
    const struct flo_rollout *core = &entry->core;
    uint8_t *holds = calloc(core->member_count + 1, 1);
    struct flo_rule_answer answer;
    bool is_news = false;

    if (holds == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "members of rollout %s", core->id);
    }
    entry->own->ruled = flo_rules_turn(controller->rules);
    if (!flo_rules_have_waiting(controller->rules)) {
        entry->own->people_asked = 0;
    }
    for (size_t i = 0; i < core->member_count; i++) {
        flo_rollouts_ask(controller, entry, core->members[i].device, &answer);
        if (core->members[i].state == FLO_EXECUTION_QUEUED ||
            core->members[i].state == FLO_EXECUTION_NOTIFIED) {
            flo_rollouts_asks_people(entry, &answer);
        }
        holds[i] = (uint8_t)answer.hold;
        is_news = is_news || answer.hold != (enum flo_rule_hold)core->members[i].rule;
    }
    if (!is_news) {
        free(holds);
        holds = NULL;
    }
    *out = holds;
    return 0;
}
