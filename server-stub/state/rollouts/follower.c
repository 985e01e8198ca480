/* Follower: finds a later rollout to the same group that solved an older one's
 * problems. */
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
