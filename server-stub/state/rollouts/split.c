/* Split: sets up a rollout whose release takes a share of another model's
 * requests.  Its rollout compares both on each device, and needs no waiting
 * devices as controls. */
#include <string.h>

#include "server-stub/state/controller.h"
#include "server-stub/state/rollouts/rollouts.h"
#include "server-stub/state/rollouts/work.h"

int flo_rollouts_settle_split(struct flo_controller *controller, struct flo_rollout_entry *entry,
                              struct flo_err *err)
{
    struct flo_analysis *analysis = &entry->core.analysis;
    struct flo_release *release = flo_controller_release(controller, entry->model, entry->version);
    uint32_t last = entry->core.phase_count - 1;

    if (release != NULL) {
        snprintf(analysis->split_of, sizeof(analysis->split_of), "%s", release->serve.split_of);
        flo_release_free(release);
    }
    return entry->core.phase_count > 0 && analysis->split_of[0] == '\0' &&
                   entry->core.phases[last].is_until_promoted
               ? flo_fail(err, FLO_E_REST_MEANING,
                          "phases[%u].until: the last phase leaves no device "
                          "to compare with; add one of 100%% after it",
                          last)
               : 0;
}
