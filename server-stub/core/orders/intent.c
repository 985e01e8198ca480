/* Intent: decides which order may be in a device's desired document. */
#include <assert.h>
#include <string.h>

#include "server-stub/core/orders/intent.h"

bool flo_intent_goes_on(enum flo_rollout_state state)
{
    assert(state < FLO_ROLLOUT_STATE_COUNT);
    return state == FLO_ROLLOUT_RUNNING || state == FLO_ROLLOUT_PAUSED ||
           state == FLO_ROLLOUT_DRAFT || state == FLO_ROLLOUT_AWAITING_APPROVAL ||
           state == FLO_ROLLOUT_SCHEDULED;
}

/* Tells whether the rollout gives no more orders, although devices may have the
 * release. */
static bool has_stopped(enum flo_rollout_state state)
{
    assert(state < FLO_ROLLOUT_STATE_COUNT);
    return state == FLO_ROLLOUT_HALTED || state == FLO_ROLLOUT_ABORTING ||
           state == FLO_ROLLOUT_COMPLETED;
}

enum flo_intent_stop flo_intent_stop(enum flo_rollout_state state, bool is_covered, bool is_yanked)
{
    if (is_covered) {
        return flo_intent_goes_on(state) || has_stopped(state) ? FLO_INTENT_RECALL
                                                               : FLO_INTENT_STAYS;
    }
    return is_yanked && flo_intent_goes_on(state) ? FLO_INTENT_ABORT : FLO_INTENT_STAYS;
}

bool flo_intent_is_older(const char *id, const char *other)
{
    size_t length = strlen(id);
    size_t other_length = strlen(other);

    return length != other_length ? length < other_length : strcmp(id, other) < 0;
}

bool flo_intent_is_of_people(const char *rollout)
{
    return rollout[0] == '\0' || strncmp(rollout, "o-", 2) == 0;
}

bool flo_intent_may_write(enum flo_order_op op, const char *rollout, const char *held)
{
    assert(rollout[0] != '\0');
    if (op != FLO_ORDER_DEPLOY) {
        return strcmp(held, rollout) == 0;
    }
    return held[0] == '\0' || !flo_intent_is_older(rollout, held);
}

bool flo_intent_may_order(enum flo_rollout_state state)
{
    assert(state < FLO_ROLLOUT_STATE_COUNT);
    return state == FLO_ROLLOUT_RUNNING || state == FLO_ROLLOUT_PAUSED ||
           state == FLO_ROLLOUT_COMPLETED;
}

uint64_t flo_intent_lift(bool is_asked, uint64_t taken_back, uint64_t newest)
{
    return is_asked || taken_back > 0 ? newest : 0;
}

enum flo_intent_top flo_intent_top(uint64_t top, uint64_t newest, bool is_restored)
{
    if (top <= newest) {
        return FLO_INTENT_TOP_OURS;
    }
    return is_restored && top - newest <= FLO_INTENT_TOP_JUMP_MAX ? FLO_INTENT_TOP_SKIP
                                                                  : FLO_INTENT_TOP_ALARM;
}
