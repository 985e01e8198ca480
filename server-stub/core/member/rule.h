/* Rule: decides whether a device may be told a release now.  Pure.
 *
 * The fleet's rules are about groups, and a device can come into a group on
 * many ways.  So the rules are asked for each device, when its desired document
 * gets the order, whatever rollout, pin or claim the order is of. */
#ifndef FLOTILLA_SERVER_RULE_H
#define FLOTILLA_SERVER_RULE_H

#include <flotilla/base.h>
#include <flotilla/proto.h>

enum flo_rule_hold {
    FLO_RULE_FREE,   /* the device may be told now */
    FLO_RULE_AWAITS, /* other people have to approve first */
    FLO_RULE_FROZEN, /* a change freeze of a group of the device is active */
};
/* Returns the word of a reason: `awaiting-approval` or `frozen`; "" for
 * FLO_RULE_FREE. */
const char *flo_rule_word(enum flo_rule_hold hold);

/* Rule that holds now: an approval, or a change freeze that is active. */
struct flo_rule {
    const char *group;
    const char *name;  /* name of the freeze; NULL: the rule is an approval */
    uint32_t people;   /* approvals that are needed; 0: the rule is a freeze */
    uint64_t until_ms; /* end of the freeze, by the wall clock */
};

struct flo_rule_question {
    const char *const *groups; /* groups of the device, then NULL; NULL: it has none */
    enum flo_order_op op;
    uint32_t approvals; /* approvals of other people that the order has */
};

struct flo_rule_answer {
    enum flo_rule_hold hold;
    const struct flo_rule *rule; /* that holds the device; NULL: none does */
};
/* Answers whether the device may be told, and by which rule it may not.  It
 * names the freeze that ends last, or else the approval that needs most people.
 * Only a deploy is asked about: a rollback to what the device served before,
 * and a removal, are always free. */
void flo_rule_ask(const struct flo_rule *rules, size_t count,
                  const struct flo_rule_question *question, struct flo_rule_answer *out);

/* Bytes of a text about a rule. */
#define FLO_RULE_TEXT 200
/* Writes why the device is held, as "awaiting-approval: group prod asks for 2
 * people, 1 approved", or "frozen: change freeze audit until ...". */
void flo_rule_text(const struct flo_rule_answer *answer, uint32_t approvals, char *out);

#endif
