/* Rules: the fleet's rules for rollouts.  An approval rule names a group whose
 * rollouts need approvals of other people.  A change freeze is a time in which
 * only emergency orders start.  There are few rules, and one setting holds all
 * of them. */
#ifndef FLOTILLA_SERVER_STATE_RULES_H
#define FLOTILLA_SERVER_STATE_RULES_H

#include <flotilla/base.h>

#include "base/host/json.h"

#include "server-stub/core/member/rule.h"
#include "server-stub/core/pace/window.h"

struct flo_controller;
struct flo_zone;

#define FLO_RULES_MAX 64 /* largest number of rules of each kind */
#define FLO_RULE_PEOPLE_MAX 5
#define FLO_RULE_WINDOW_TEXT 96
#define FLO_RULE_REASON 128

/* Approval rule: rollouts to devices of this group need this many approvals. */
struct flo_rule_approval {
    char group[FLO_NAME_MAX + 1];
    uint32_t people;
    char by[65];
    uint64_t at_ms;
};
/* Change freeze, which lasts between two times or in certain hours of each
 * week. */
struct flo_rule_freeze {
    char name[FLO_NAME_MAX + 1];
    char group[FLO_NAME_MAX + 1]; /* group that is frozen; "all": the whole fleet */
    /* begin and end of the freeze, wall clock; both 0: the window decides */
    uint64_t from_ms, until_ms;
    char window_text[FLO_RULE_WINDOW_TEXT];
    struct flo_window window;
    struct flo_zone *zone; /* time zone of the window; owned */
    char reason[FLO_RULE_REASON + 1];
    char by[65];
    uint64_t at_ms;
};
struct flo_rules;
extern const struct flo_transaction_part flo_rules_part;
/* Creates an empty list of rules; NULL: no memory. */
struct flo_rules *flo_rules_new(void);
void flo_rules_free(struct flo_rules *rules);
/* The freeze of the whole fleet that is there while rows of the database are in
 * doubt (store/seals.h): a rule could be missing.  It lasts until somebody who
 * makes rules deletes it, and until --seal-again if the rows are of groups or
 * devices. */
#define FLO_RULE_UNSEALED "row-unsealed"
/* Adds that freeze if rows are in doubt now. */
void flo_rules_doubt(struct flo_controller *controller);
/* Reads the rules from their setting.  Called at the start, and after a change
 * was rolled back. */
FLO_MUST_USE int flo_rules_load(struct flo_controller *controller, struct flo_err *err);
/* Returns a rule in stored order; NULL after the last. */
const struct flo_rule_approval *flo_rules_approval_at(const struct flo_rules *rules, size_t place);
const struct flo_rule_freeze *flo_rules_freeze_at(const struct flo_rules *rules, size_t place);
/* Returns the revision of the rules, which grows with each change. */
uint64_t flo_rules_revision(const struct flo_rules *rules);
bool flo_rules_are_none(const struct flo_rules *rules);

/* Sets how many approvals a group's rollouts need; 0 removes the rule.
 * FLO_E_ABSENT, FLO_E_REST_LIMIT. */
FLO_MUST_USE int flo_rules_set_approval(struct flo_controller *controller, const char *group,
                                        uint32_t people, const char *by, struct flo_err *err);
/* Adds a freeze, or changes the one of that name.  Parses the freeze's window.
 * FLO_E_REST_MEANING, FLO_E_REST_LIMIT. */
FLO_MUST_USE int flo_rules_set_freeze(struct flo_controller *controller,
                                      const struct flo_rule_freeze *freeze, struct flo_err *err);
/* FLO_E_ABSENT.  FLO_E_STATE: the freeze is FLO_RULE_UNSEALED, and groups or
 * devices are in doubt. */
FLO_MUST_USE int flo_rules_delete_freeze(struct flo_controller *controller, const char *name,
                                         struct flo_err *err);

/* Returns a number that changes when other rules hold than before: a rule was
 * edited, or a freeze began or ended.  Never 0. */
uint64_t flo_rules_turn(struct flo_rules *rules);
/* Lets all devices be asked about again, because a rollout was approved. */
void flo_rules_turn_on(struct flo_rules *rules);
/* Answers whether a device may be told now (core/member/rule.h).  A device that
 * does not exist is free. */
void flo_rules_ask(const struct flo_controller *controller, const char *device,
                   enum flo_order_op op, uint32_t approvals, struct flo_rule_answer *out);

/* Notes a device to which a completed rollout gives an order as soon as other
 * rules hold. */
void flo_rules_wait(struct flo_rules *rules, const char *device);
bool flo_rules_have_waiting(const struct flo_rules *rules);
/* Tells whether other rules hold since such a device was noted. */
bool flo_rules_have_freed(struct flo_rules *rules);
/* Takes one of these devices from the list, to be looked at again; false: there
 * is none.  `out` holds 37 bytes. */
bool flo_rules_next_freed(struct flo_rules *rules, char *out);

/* Checks whether somebody who makes no rules may take a device out of the
 * group, and so from under the group's rules.  With the group "" it tells of
 * FLO_RULE_UNSEALED alone.  FLO_E_ORDER_APPROVAL,
 * FLO_E_CHANGE_FREEZE: a rule of the group holds now. */
FLO_MUST_USE int flo_rules_may_take_out(const struct flo_controller *controller, const char *group,
                                        struct flo_err *err);

/* Checks whether one person alone may bring the device, without a rollout, to a
 * release that the device neither serves nor served just before.  Pins and
 * rollbacks to a release use this check.  FLO_E_CHANGE_FREEZE: a freeze is
 * active.  FLO_E_ORDER_APPROVAL: a group of the device needs approvals of other
 * people. */
struct flo_fleet_device;
FLO_MUST_USE int flo_rules_may_bring(const struct flo_controller *controller,
                                     const struct flo_fleet_device *device, struct flo_err *err);

/* Returns whether the freeze is active.  *until_ms receives its end, wall
 * clock. */
bool flo_rule_freeze_is_on(const struct flo_rule_freeze *freeze, uint64_t wall_ms,
                           uint64_t *until_ms);

/* Returns a rule as the API shows it; new reference. */
json_t *flo_rule_approval_json(const struct flo_rule_approval *approval);
json_t *flo_rule_freeze_json(const struct flo_rule_freeze *freeze, uint64_t wall_ms);
const struct flo_rule_approval *flo_rules_approval(const struct flo_controller *controller,
                                                   const char *group);
const struct flo_rule_freeze *flo_rules_freeze(const struct flo_controller *controller,
                                               const char *name);

#endif
