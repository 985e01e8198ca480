/* Rule: looks for the rule that holds a device. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "server-stub/core/member/rule.h"

const char *flo_rule_word(enum flo_rule_hold hold)
{
    static const char *const words[] = {"", "awaiting-approval", "frozen"};

    assert(hold < FLO_COUNT(words));
    return words[hold];
}

static bool is_in(const char *const *groups, const char *group)
{
    bool is_there = strcmp(group, "all") == 0;

    for (; !is_there && groups != NULL && *groups != NULL; groups++) {
        is_there = strcmp(*groups, group) == 0;
    }
    return is_there;
}

static enum flo_rule_hold hold_of(const struct flo_rule *rule,
                                  const struct flo_rule_question *question)
{
    if (rule->people > 0 && rule->people <= question->approvals) {
        return FLO_RULE_FREE;
    }
    return !is_in(question->groups, rule->group) ? FLO_RULE_FREE
           : rule->people > 0                    ? FLO_RULE_AWAITS
                                                 : FLO_RULE_FROZEN;
}

/* Tells whether a rule says more than the one that was found: a freeze, which
 * nobody can shorten by an approval, comes first. */
static bool is_stronger(enum flo_rule_hold hold, const struct flo_rule *rule,
                        const struct flo_rule_answer *found)
{
    if (hold != found->hold) {
        return hold > found->hold;
    }
    return hold != FLO_RULE_FREE &&
           (rule->people > found->rule->people || rule->until_ms > found->rule->until_ms);
}

void flo_rule_ask(const struct flo_rule *rules, size_t count,
                  const struct flo_rule_question *question, struct flo_rule_answer *out)
{
    assert(rules != NULL || count == 0);
    *out = (struct flo_rule_answer){.hold = FLO_RULE_FREE};
    for (size_t i = 0; i < count && question->op == FLO_ORDER_DEPLOY; i++) {
        enum flo_rule_hold hold = hold_of(&rules[i], question);
        if (is_stronger(hold, &rules[i], out)) {
            *out = (struct flo_rule_answer){hold, &rules[i]};
        }
    }
}

void flo_rule_text(const struct flo_rule_answer *answer, uint32_t approvals, char *out)
{
    const struct flo_rule *rule = answer->rule;
    char at[25];

    assert(rule != NULL);
    if (answer->hold == FLO_RULE_AWAITS) {
        snprintf(out, FLO_RULE_TEXT, "%s: group %s asks for the approval of %u, %u approved",
                 flo_rule_word(answer->hold), rule->group, rule->people, approvals);
        return;
    }
    flo_time_text(rule->until_ms, at);
    snprintf(out, FLO_RULE_TEXT, "%s: change freeze %s of group %s until %s",
             flo_rule_word(answer->hold), rule->name, rule->group, at);
}
