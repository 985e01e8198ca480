/* Failures by kind, and the rules that stop a rollout after too many of one
 * kind.  Pure. */
#ifndef FLOTILLA_SERVER_FAILURE_H
#define FLOTILLA_SERVER_FAILURE_H

#include <flotilla/base.h>
#include <flotilla/proto.h>

#include "server-stub/core/gate/gate.h"

enum flo_failure {
#define FLO_FAILURE(name, word, prefixes, may_retry, meaning) FLO_FAILURE_##name,
#include "server-stub/core/failure/failures.def"
#undef FLO_FAILURE
    FLO_FAILURES
};
/* All kinds together. */
#define FLO_FAILURE_ANY FLO_FAILURES
#define FLO_FAILURE_ANY_WORD "any"

/* Returns the word of a kind of failure, or "any" for FLO_FAILURE_ANY. */
const char *flo_failure_word(uint32_t kind);
bool flo_failure_parse(const char *word, uint32_t *out);
bool flo_failure_may_retry(enum flo_failure kind);
/* Returns the kind of failure of an update that ended badly.  `id`: its error
 * id, or "". */
enum flo_failure flo_failure_of(enum flo_execution end, const char *id);

#define FLO_ABORTS_MAX 8
/* Abort rule: when this share of devices failed in one way, the rollout
 * stops. */
struct flo_abort_rule {
    uint32_t kind;   /* or FLO_FAILURE_ANY */
    double fail_pct; /* limit, in % of the devices that ended */
    /* number of devices that must have ended before the rule is checked */
    uint64_t executed_min;
    uint32_t action; /* enum flo_on_fail, or */
};
/* Value of `action` when the rule has none; the rollout's action applies. */
#define FLO_ABORT_ACTION_NONE UINT32_MAX
struct flo_failure_counts {
    uint32_t ended;
    uint32_t failed[FLO_FAILURES];
};
/* Tells whether the rule's limit is reached.  *failed gets the number of failed
 * devices that the rule counts. */
bool flo_abort_is_due(const struct flo_abort_rule *rule, const struct flo_failure_counts *counts,
                      uint32_t *failed);

#endif
