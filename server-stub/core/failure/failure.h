/* Failures by kind, and what follows from too many of one kind. Pure. */
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
/* In place of a kind: all of them together. */
#define FLO_FAILURE_ANY FLO_FAILURES
#define FLO_FAILURE_ANY_WORD "any"

/* "any" too. */
const char *flo_failure_word(uint32_t kind);
bool flo_failure_parse(const char *word, uint32_t *out);
bool flo_failure_may_retry(enum flo_failure kind);
/* Kind of a bad end, by its state and its error id (or ""). */
enum flo_failure flo_failure_of(enum flo_execution end, const char *id);

/* Stop when so many devices failed in one way. */
#define FLO_ABORTS_MAX 8
struct flo_abort_rule {
    uint32_t kind;         /* or FLO_FAILURE_ANY */
    double fail_pct;       /* share of those that ended */
    uint64_t executed_min; /* ends before the rule is looked at */
    uint32_t action;       /* enum flo_on_fail, or ... */
};
#define FLO_ABORT_ACTION_NONE UINT32_MAX /* ... the rollout's own */
struct flo_failure_counts {
    uint32_t ended;
    uint32_t failed[FLO_FAILURES];
};
/* Is the rule broken?  *failed: ends that it counts. */
bool flo_abort_is_due(const struct flo_abort_rule *rule, const struct flo_failure_counts *counts,
                      uint32_t *failed);

#endif
