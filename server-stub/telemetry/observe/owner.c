/* Observe: decides which of the rollouts that share a device gets its
 * evidence. */
#include "server-stub/core/orders/intent.h"
#include "server-stub/telemetry/observe/roster.h"

/* After a start the row of its waves shows that the rollout was active. */
static uint32_t owner_of(const struct flo_observer *observer,
                         const struct flo_observer_entry *entry)
{
    for (uint32_t i = 0; entry->roster == FLO_OBSERVER_NONE && entry->observed.rollout != 0 &&
                         i < FLO_OBSERVER_ROSTERS_MAX;
         i++) {
        if (observer->rosters[i].rollout.id == entry->observed.rollout) {
            return i;
        }
    }
    return entry->roster;
}

bool flo_observer_may_take(const struct flo_observer *observer,
                           const struct flo_observer_entry *entry, uint32_t roster,
                           enum flo_member_way way)
{
    uint32_t owner = owner_of(observer, entry);

    if (owner == roster) {
        return true;
    }
    if (way == FLO_MEMBER_OUT) {
        return false; /* there is nothing to compare */
    }
    return owner == FLO_OBSERVER_NONE || entry->observed.arm == FLO_ARM_LEFT ||
           flo_intent_is_older(observer->rosters[owner].name, observer->rosters[roster].name);
}
