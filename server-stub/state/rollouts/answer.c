/* Answer: a person says what becomes of a slice that nobody there can tell
 * about. */
#include <stdlib.h>

#include "server-stub/state/controller.h"
#include "server-stub/state/rollouts/inside.h"

int flo_rollouts_answer(struct flo_controller *controller,
                        struct flo_rollout_entry *entry,
                        enum flo_rollout_event_kind kind, const char *slice,
                        const char *note, struct flo_err *err)
{
    uint8_t *in = calloc(entry->core.member_count + 1, 1);
    int rv = in == NULL ? flo_fail(err, FLO_E_MEMORY, "slices of a rollout")
                        : flo_rollouts_slice_members(controller, entry, slice,
                                                     in, err);

    rv = rv < 0 ? rv
                : flo_rollouts_step(controller, entry,
                                    (struct flo_rollout_event){.kind = kind,
                                                               .note = note,
                                                               .slice = slice,
                                                               .in_slice = in},
                                    err);
    free(in);
    return rv;
}
