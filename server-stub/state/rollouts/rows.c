/* Rows: writes the rows of a rollout's members: the row of one, of all that
 * changed, or of those without a row. */
#include <string.h>

#include "server-stub/state/controller.h"
#include "server-stub/state/rollouts/rollouts.h"
#include "server-stub/state/rollouts/work.h"
#include "server-stub/store/drafts.h"

int flo_rollouts_store_member(struct flo_controller *controller, struct flo_rollout_entry *entry,
                              size_t index, struct flo_err *err)
{
    struct flo_rollout_member *member = &entry->core.members[index];

    struct flo_said *said = &controller->rollouts->said;
    bool has_said = said->device != NULL && strcmp(said->device, member->device) == 0;

    member->is_dirty = false;
    member->has_row = true;
    FLO_TRY(flo_fleet_member_put(controller->store, entry->core.id, member,
                                 has_said ? said->error : NULL, has_said ? said->detail : NULL,
                                 err));
    if (has_said) {
        said->device = NULL;
    }
    return 0;
}

int flo_rollouts_store_members(struct flo_controller *controller, struct flo_rollout_entry *entry,
                               struct flo_err *err)
{
    FLO_TRY(flo_rollouts_draft(controller, entry, err));
    for (size_t i = 0; i < entry->core.member_count; i++) {
        if (entry->core.members[i].is_dirty) {
            FLO_TRY(flo_rollouts_store_member(controller, entry, i, err));
        }
    }
    return 0;
}

size_t flo_rollouts_made(const struct flo_rollout_entry *entry)
{
    size_t made = 0;

    for (size_t i = 0; i < entry->core.member_count; i++) {
        made += entry->core.members[i].has_row;
    }
    return made;
}

int flo_rollouts_make_rows(struct flo_controller *controller, struct flo_rollout_entry *entry,
                           size_t count, struct flo_err *err)
{
    struct flo_rollout *core = &entry->core;
    size_t i = entry->own->made < core->member_count ? entry->own->made : 0;
    int rv = 0;

    for (; i < core->member_count && count > 0 && rv == 0; i++) {
        if (!core->members[i].has_row) {
            rv = flo_rollouts_store_member(controller, entry, i, err);
            count--;
        }
    }
    entry->own->made = i;
    if (rv == 0 && i == core->member_count && flo_rollouts_made(entry) == core->member_count) {
        entry->own->is_drafted = false;
        rv = flo_fleet_draft_remove(controller->store, core->id, err);
    }
    return rv;
}

static int make_all(struct flo_controller *controller, struct flo_rollout_entry *entry,
                    struct flo_err *err)
{
    entry->own->made = 0;
    return entry->own->is_drafted ? flo_rollouts_make_rows(controller, entry, SIZE_MAX, err) : 0;
}

/* Deletes a member's row.  Missing rows of other members are written first,
 * because the draft text would bring the deleted member back. */
int flo_rollouts_forget_member(struct flo_controller *controller, struct flo_rollout_entry *entry,
                               const char *device, struct flo_err *err)
{
    FLO_TRY(make_all(controller, entry, err));
    return flo_fleet_member_remove(controller->store, entry->core.id, device, err);
}
