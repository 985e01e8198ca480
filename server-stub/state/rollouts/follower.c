/* Follower: finds a later rollout to the same group that solved an older one's
 * problems, and tells whether somebody still has to look at the older one. */
#include <string.h>

#include "server-stub/state/controller.h"
#include "server-stub/state/rollouts/work.h"

const struct flo_rollout_entry *flo_rollouts_follower(const struct flo_controller *controller,
                                                      const struct flo_rollout_entry *entry)
{
    for (size_t i = controller->rollouts->count; i > 0; i--) {
        const struct flo_rollout_entry *other = controller->rollouts->items[i - 1];
        if (other == entry) {
            return NULL;
        }
        if (other->core.state == FLO_ROLLOUT_COMPLETED && strcmp(other->model, entry->model) == 0 &&
            strcmp(other->group, entry->group) == 0) {
            return other;
        }
    }
    return NULL;
}

/* Tells whether a halted rollout's release is yanked, and no device has it. */
static bool is_withdrawn(const struct flo_controller *controller,
                         const struct flo_rollout_entry *entry)
{
    char digest[FLO_DIGEST_TEXT];
    size_t overtaken;

    flo_digest_text(&entry->release, digest);
    return entry->core.state == FLO_ROLLOUT_HALTED &&
           flo_fleet_is_yanked(controller->store, digest) &&
           flo_rollouts_holders(&entry->core, &overtaken) == 0;
}

bool flo_rollouts_is_over(const struct flo_controller *controller,
                          const struct flo_rollout_entry *entry)
{
    return flo_rollouts_follower(controller, entry) != NULL || is_withdrawn(controller, entry);
}
