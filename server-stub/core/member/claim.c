/* Claims: compares two claims by priority, then by age. */
#include <assert.h>
#include <string.h>

#include "server-stub/core/member/claim.h"
#include "server-stub/core/orders/intent.h"

int flo_claim_compare(const struct flo_claim *one, const struct flo_claim *other)
{
    assert(one->rollout[0] != '\0' && other->rollout[0] != '\0');
    if (one->priority != other->priority) {
        return one->priority < other->priority ? -1 : 1;
    }
    if (strcmp(one->rollout, other->rollout) == 0) {
        return 0;
    }
    return flo_intent_is_older(one->rollout, other->rollout) ? -1 : 1;
}

bool flo_claim_returns(const struct flo_claim *winner, const struct flo_claim *held,
                       bool is_in_group)
{
    return strcmp(winner->rollout, held->rollout) != 0 &&
           (!is_in_group || flo_claim_compare(winner, held) > 0);
}
