/* Observe: decides which of the rollouts that share a device gets its
 * evidence. */
#include "server-stub/core/orders/intent.h"
#include "server-stub/telemetry/observe/cohort.h"

/* Returns the rollout, as an index in `cohorts`, that may use the device's
 * evidence.  After a start, the stored row of waves shows that a rollout was
 * active. */
static uint32_t owner_of(const struct flo_observer *observer,
                         const struct flo_observer_entry *entry)
{
    for (uint32_t i = 0; entry->cohort == FLO_OBSERVER_NONE && entry->observed.rollout != 0 &&
                         i < FLO_OBSERVER_COHORTS_MAX;
         i++) {
        if (observer->cohorts[i].rollout.id == entry->observed.rollout) {
            return i;
        }
    }
    return entry->cohort;
}

bool flo_observer_may_take(const struct flo_observer *observer,
                           const struct flo_observer_entry *entry, uint32_t cohort,
                           enum flo_member_way way)
{
    uint32_t owner = owner_of(observer, entry);

    if (owner == cohort) {
        return true;
    }
    if (way == FLO_MEMBER_OUT) {
        return false; /* The device has left the rollout, so there is nothing to compare. */
    }
    return owner == FLO_OBSERVER_NONE || entry->observed.arm == FLO_ARM_LEFT ||
           flo_intent_is_older(observer->cohorts[owner].name, observer->cohorts[cohort].name);
}
