/* Recall: plans an emergency rollback on one device before it is ordered, by
 * the device's last report.  Pure. */
#ifndef FLOTILLA_SERVER_RECALL_H
#define FLOTILLA_SERVER_RECALL_H

#include <flotilla/base.h>

#include "base/host/json.h"

#include "server-stub/core/rollout/rollout.h"

enum flo_return {
    FLO_RETURN_NONE,     /* the device does not have the release */
    FLO_RETURN_SILENT,   /* the device enrolled and has never reported */
    FLO_RETURN_KEPT,     /* the device returns to the release that it keeps, without a download */
    FLO_RETURN_DOWNLOAD, /* the device must download the requested release */
    FLO_RETURN_FIRST,    /* the device cannot go back: it has no earlier release */
    FLO_RETURN_DENIED,   /* the device cannot go back: the earlier release is blocked on it */
    FLO_RETURN_COUNT
};
/* Returns the word of a plan: "kept", "download" and so on. */
const char *flo_return_word(enum flo_return way);
/* Returns the reason why a device cannot go back; "" if there is none. */
const char *flo_return_reason(enum flo_return way);
bool flo_return_is_possible(enum flo_return way);

/* Size of `title` in bytes, which names the target release. */
#define FLO_RETURN_TITLE (2 * FLO_NAME_MAX + 2)

/* Plans the rollback of one device.  `report` is its last report, or NULL.
 * `from` and `to` are digest texts; `to` is NULL for the release that each
 * device ran before.  `title` receives "model@version" of the kept release if
 * that is the target. */
enum flo_return flo_return_plan(const json_t *report, const char *from, const char *to,
                                char *title);

/* Tells whether the report names the release as serving, current, on trial or
 * under way. */
bool flo_return_names(const json_t *report, const char *release);
/* Tells whether the release is current for a model of the report.
 * *is_denied_there tells whether the device blocks the release for a model. */
bool flo_return_stands(const json_t *report, const char *release, bool *is_denied_there);
/* Tells whether the device succeeded with the release by this rollout, and has it as
 * its current one. */
bool flo_return_succeeded(const json_t *report, const char *release, const char *rollout);
/* Tells whether a report counts: the device already knew its newest desired
 * document. */
bool flo_return_report_counts(uint64_t report_rev, uint64_t desired_rev);
/* Tells whether it matters to a rollout in this state that a device left the
 * release.  is_ordered: the device left it by a rollback order. */
bool flo_return_concerns(enum flo_rollout_state state, bool is_ordered);

#endif
