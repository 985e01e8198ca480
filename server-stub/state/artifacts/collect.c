/* Artifacts: garbage collection, hourly in small steps, or at once for a
 * person.  A pass reads thousands of documents, so the hourly pass runs in
 * steps of a few milliseconds.  A new release ends the pass under way. */
#include <stdlib.h>

#include <flotilla/plural.h>

#include "server-stub/state/artifacts/pass.h"
#include "server-stub/state/audit/audit.h"
#include "server-stub/state/controller.h"

#define PASS_PAUSE_MS (UINT64_C(3600) * 1000)
#define STEPS 8 /* number of documents or files that are processed before other work runs */

struct flo_collector {
    struct flo_collect_pass *pass; /* the pass in progress; NULL: none */
    uint64_t due_ms;               /* time at which the next pass begins, by the monotonic clock */
    struct flo_artifact_counts found; /* counts of the last complete pass */
    struct flo_artifact_removed removed;
};

struct flo_collector *flo_collector_new(void)
{
    return calloc(1, sizeof(struct flo_collector));
}

void flo_collector_free(struct flo_collector *collector)
{
    if (collector != NULL) {
        flo_pass_free(collector->pass);
    }
    free(collector);
}

const struct flo_artifact_counts *flo_collector_found(const struct flo_collector *collector)
{
    return &collector->found;
}

struct flo_artifact_removed flo_collector_removed(const struct flo_collector *collector)
{
    return collector->removed;
}

/* Keeps the counts of a complete pass, and logs when something was removed. */
static void finish(struct flo_collector *collector, const struct flo_artifact_counts *counts,
                   bool is_dry)
{
    collector->found = *counts;
    if (is_dry || counts->deltas + counts->unnamed == 0) {
        return;
    }
    collector->removed.files += counts->deltas + counts->unnamed;
    collector->removed.bytes += counts->delta_bytes + counts->unnamed_bytes;
    flo_log(FLO_LOG_INFO, "artifacts",
            "removed %llu delta%s that no device can begin with, %llu bytes, "
            "and %llu file%s of no release, %llu bytes",
            (unsigned long long)counts->deltas, flo_s(counts->deltas),
            (unsigned long long)counts->delta_bytes, (unsigned long long)counts->unnamed,
            flo_s(counts->unnamed), (unsigned long long)counts->unnamed_bytes);
}

int flo_collect_all(struct flo_controller *controller, bool is_dry, flo_collect_fn fn,
                    void *context, struct flo_artifact_counts *out, struct flo_err *err)
{
    struct flo_collect_pass *pass = flo_pass_new(controller, is_dry, fn, context, err);
    int rv = pass != NULL ? 0 : FLO_E_MEMORY;

    while (rv == 0 && !flo_pass_is_done(pass)) {
        rv = flo_pass_step(pass, err);
    }
    if (rv == 0) {
        *out = *flo_pass_counts(pass);
        finish(controller->collector, out, is_dry);
    }
    flo_pass_free(pass);
    return rv;
}

/* ---- the hourly one ---- */

static int audit(struct flo_controller *controller, const struct flo_artifact_counts *counts,
                 struct flo_err *err)
{
    char detail[160];
    int rv = flo_controller_begin(controller, err);

    snprintf(detail, sizeof(detail),
             "%llu delta%s, %llu bytes; %llu file%s of no release, %llu bytes",
             (unsigned long long)counts->deltas, flo_s(counts->deltas),
             (unsigned long long)counts->delta_bytes, (unsigned long long)counts->unnamed,
             flo_s(counts->unnamed), (unsigned long long)counts->unnamed_bytes);
    FLO_TRY(rv);
    rv = flo_controller_audit(controller, "controller", "blob.collect", "", "ok", detail, err);
    if (rv == 0) {
        rv = flo_controller_commit(controller, err);
    }
    if (rv < 0) {
        flo_controller_cancel(controller);
    }
    return rv;
}

static int turn(struct flo_controller *controller, struct flo_err *err)
{
    struct flo_collector *collector = controller->collector;
    int rv = 0;

    if (collector->pass == NULL) {
        collector->pass = flo_pass_new(controller, false, NULL, NULL, err);
    }
    if (collector->pass == NULL) {
        return FLO_E_MEMORY;
    }
    for (int i = 0; rv == 0 && i < STEPS && !flo_pass_is_done(collector->pass); i++) {
        rv = flo_pass_step(collector->pass, err);
    }
    if (rv == 0 && flo_pass_is_done(collector->pass)) {
        const struct flo_artifact_counts *counts = flo_pass_counts(collector->pass);
        finish(collector, counts, false);
        if (counts->deltas + counts->unnamed > 0) {
            rv = audit(controller, counts, err);
        }
        flo_collect_again(controller);
    }
    return rv;
}

bool flo_collect_turn(struct flo_controller *controller, uint64_t now_ms)
{
    struct flo_collector *collector = controller->collector;
    struct flo_err err = {0};

    if (collector->due_ms == 0) {
        collector->due_ms = now_ms + PASS_PAUSE_MS;
    }
    if (now_ms < collector->due_ms || !flo_controller_may_act(controller)) {
        return false;
    }
    if (turn(controller, &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "artifacts", &err);
        flo_collect_again(controller);
        collector->due_ms = now_ms + PASS_PAUSE_MS;
    }
    if (collector->pass == NULL) {
        collector->due_ms = now_ms + PASS_PAUSE_MS;
    }
    return collector->pass != NULL;
}

void flo_collect_again(struct flo_controller *controller)
{
    struct flo_collector *collector = controller->collector;

    flo_pass_free(collector->pass);
    collector->pass = NULL;
}
