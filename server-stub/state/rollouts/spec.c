/* Spec: makes a rollout from a specification (core/spec/), and looks up the
 * release that it names. */
#include <stdlib.h>
#include <string.h>

#include "base/zone.h"

#include "server-stub/state/controller.h"
#include "server-stub/state/rollouts/rollouts.h"
#include "server-stub/state/rollouts/work.h"

static int take_release(void *context, const struct flo_fleet_release *release)
{
    struct flo_rollout_entry *entry = context;

    entry->release_bytes = release->bytes;
    return flo_digest_parse(release->digest, &entry->release) ? 0 : FLO_E_DB;
}

/* Checks that the window's time zone is known, because a window in an unknown
 * zone would never open. */
static int check_zone(const struct flo_spec *spec, struct flo_err *err)
{
    const struct flo_window *window = &spec->limits.window;
    struct flo_zone *zone = NULL;

    if (window->length_s == 0 || window->is_local) {
        return 0;
    }
    int rv = flo_zone_open(window->zone, &zone, err);
    flo_zone_close(zone);
    if (rv == FLO_E_ABSENT && err != NULL) {
        rv = err->code = FLO_E_REST_SCHEMA;
    }
    return rv < 0 ? flo_wrap(err, rv, "limits.window") : 0;
}

/* Both parts of a rollout's entry, which are allocated and freed as one. */
struct whole {
    struct flo_rollout_entry entry;
    struct flo_rollout_own own;
};

int flo_rollouts_read_spec(struct flo_controller *controller, json_t *spec,
                           struct flo_rollout_entry **out, struct flo_err *err)
{
    struct whole *whole = calloc(1, sizeof(*whole));
    int rv;

    if (whole == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "rollout");
    }
    struct flo_rollout_entry *entry = &whole->entry;
    entry->own = &whole->own;
    rv = flo_spec_read(spec, &entry->spec, err);
    if (rv == 0) {
        rv = check_zone(&entry->spec, err);
    }
    if (rv == 0) {
        flo_spec_draft(&entry->spec, &entry->core);
        memcpy(entry->group, entry->spec.target.group, sizeof(entry->group));
        memcpy(entry->model, entry->spec.model, sizeof(entry->model));
        memcpy(entry->version, entry->spec.model_version, sizeof(entry->version));
        /* The release is looked up last, so that a malformed request is refused
         * for its form first. */
        rv = flo_fleet_release_get(controller->store, entry->model, entry->version, take_release,
                                   entry, err);
    }
    if (rv < 0) {
        flo_rollouts_entry_free(entry);
        return rv;
    }
    uint64_t block_ms = controller->options.evidence_block_ms;
    entry->core.analysis.block_ms = block_ms > 0 ? block_ms : FLO_BLOCK_MS;
    entry->own->spec = spec;
    entry->own->approvals = json_array();
    *out = entry;
    return 0;
}
