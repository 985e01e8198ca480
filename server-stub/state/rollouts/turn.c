/* Turn: makes rows of members of large rollouts for some milliseconds, in a
 * transaction of its own. */
#include "server-stub/state/controller.h"
#include "server-stub/state/rollouts/rollouts.h"
#include "server-stub/state/rollouts/work.h"

#define FAILED_MS 5000 /* pause after a failed turn, because all rollouts are read again then */
#define ROWS 250       /* number of rows that a slice of work makes */

static struct flo_rollout_entry *next_of(struct flo_controller *controller)
{
    struct flo_rollouts *rollouts = controller->rollouts;

    for (size_t i = 0; i < rollouts->count; i++) {
        if (rollouts->items[i]->own->is_drafted) {
            return rollouts->items[i];
        }
    }
    return NULL;
}

/* Makes some rows in at least one slice of work, and more until the time
 * `until_ms`. */
static int make_until(struct flo_controller *controller, struct flo_rollout_entry *entry,
                      uint64_t until_ms, struct flo_err *err)
{
    size_t rows = (size_t)controller->options.slice_devices;

    controller->rollouts->has_changed = true; /* the transaction changes how far
                                                 the rows of rollouts are made */
    do {
        FLO_TRY(flo_rollouts_make_rows(controller, entry, rows > 0 ? rows : ROWS, err));
    } while (entry->own->is_drafted && flo_now_ms() < until_ms);
    return 0;
}

bool flo_rollouts_drafted_turn(struct flo_controller *controller)
{
    bool is_sliced = controller->options.slice_devices > 0;
    uint64_t until_ms = is_sliced ? 0 : flo_now_ms() + FLO_TURN_MS;
    struct flo_err err = {0};

    if (next_of(controller) == NULL || flo_now_ms() < controller->rollouts->turn_at_ms) {
        return false;
    }
    int rv = flo_controller_begin(controller, &err);
    if (rv == 0) {
        /* The entry is looked up after flo_controller_begin, which may have
         * read the rollouts again. */
        struct flo_rollout_entry *entry = next_of(controller);
        rv = flo_controller_end(
            controller, entry != NULL ? make_until(controller, entry, until_ms, &err) : 0, &err);
    }
    if (rv < 0) {
        controller->rollouts->turn_at_ms = flo_now_ms() + FAILED_MS;
        flo_log_err(FLO_LOG_ERROR, "rollout", &err);
    }
    return rv == 0 && next_of(controller) != NULL;
}
