/* Failures: sorts failed updates into kinds, and evaluates abort rules. */
#include <assert.h>
#include <string.h>

#include "server-stub/core/failure/failure.h"

struct fact {
    const char *word;
    const char *prefixes;
    bool may_retry;
};
static const struct fact facts[] = {
#define FLO_FAILURE(name, word, prefixes, may_retry, meaning) {word, prefixes, may_retry},
#include "server-stub/core/failure/failures.def"
#undef FLO_FAILURE
};

const char *flo_failure_word(uint32_t kind)
{
    assert(kind <= FLO_FAILURE_ANY);
    return kind == FLO_FAILURE_ANY ? FLO_FAILURE_ANY_WORD : facts[kind].word;
}

bool flo_failure_parse(const char *word, uint32_t *out)
{
    for (uint32_t i = 0; i <= FLO_FAILURE_ANY; i++) {
        if (strcmp(flo_failure_word(i), word) == 0) {
            *out = i;
            return true;
        }
    }
    return false;
}

bool flo_failure_may_retry(enum flo_failure kind)
{
    assert(kind < FLO_FAILURES);
    return facts[kind].may_retry;
}

static bool begins_with_one_of(const char *id, const char *prefixes)
{
    while (*prefixes != '\0') {
        size_t chars = strcspn(prefixes, " ");
        if (strncmp(id, prefixes, chars) == 0) {
            return true;
        }
        prefixes += chars + (prefixes[chars] == ' ');
    }
    return false;
}

enum flo_failure flo_failure_of(enum flo_execution end, const char *id)
{
    assert(flo_execution_kind(end) == FLO_EXECUTION_END_BAD);
    if (end == FLO_EXECUTION_ROLLED_BACK) {
        return FLO_FAILURE_TRIAL;
    }
    if (end == FLO_EXECUTION_TIMED_OUT) {
        return FLO_FAILURE_TIMEOUT;
    }
    for (uint32_t i = 0; i < FLO_FAILURES; i++) {
        if (begins_with_one_of(id, facts[i].prefixes)) {
            return (enum flo_failure)i;
        }
    }
    return end == FLO_EXECUTION_REJECTED ? FLO_FAILURE_REFUSED : FLO_FAILURE_OTHER;
}

bool flo_abort_is_due(const struct flo_abort_rule *rule, const struct flo_failure_counts *counts,
                      uint32_t *failed)
{
    uint32_t count = 0;

    assert(rule->kind <= FLO_FAILURE_ANY && rule->fail_pct >= 0);
    for (uint32_t i = 0; i < FLO_FAILURES; i++) {
        bool is_counted = rule->kind == FLO_FAILURE_ANY || rule->kind == i;
        count += is_counted ? counts->failed[i] : 0;
    }
    *failed = count;
    return count > 0 && counts->ended >= rule->executed_min &&
           100.0 * count >= rule->fail_pct * counts->ended;
}
