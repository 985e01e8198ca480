/* An emergency rollback on one device, before it is ordered: the plan by the
 * device's last report.  Pure. */
#ifndef FLOTILLA_SERVER_TAKE_BACK_H
#define FLOTILLA_SERVER_TAKE_BACK_H

#include <flotilla/base.h>

#include "base/host/json.h"

#include "server-stub/core/rollout/rollout.h"

enum flo_return {
    FLO_RETURN_NONE,     /* the device does not have the release */
    FLO_RETURN_SILENT,   /* enrolled, and never reported */
    FLO_RETURN_KEPT,     /* goes back to the release that it keeps: no
                          * download */
    FLO_RETURN_DOWNLOAD, /* must fetch the release that was asked for */
    FLO_RETURN_FIRST,    /* cannot: there was nothing before */
    FLO_RETURN_DENIED,   /* cannot: the device denies its target */
    FLO_RETURN_COUNT
};
/* "kept", "download", ... and why a device cannot, "" when it can. */
const char *flo_return_word(enum flo_return way);
const char *flo_return_reason(enum flo_return way);
bool flo_return_is_possible(enum flo_return way);

/* Where it would go: the title of `to`, or of what the device keeps. */
#define FLO_RETURN_TITLE (2 * FLO_NAME_MAX + 2)

/* report: what the device said last, NULL for nothing.  from, to: digest
 * texts; to is NULL for "what each ran before".  `title` receives
 * "model@version" of the release the device keeps, where that is the way. */
enum flo_return flo_return_plan(const json_t *report, const char *from, const char *to,
                                char *title);

/* Does the report speak of the release anywhere that matters: serving, current,
 * on trial, or being brought? */
bool flo_return_names(const json_t *report, const char *release);
/* Is it the current release of a model of the report?  *is_denied_there: the
 * device will not take it up. */
bool flo_return_stands(const json_t *report, const char *release, bool *is_denied_there);
/* A report counts when the device knows its newest desired release. */
bool flo_return_report_counts(uint64_t report_rev, uint64_t desired_rev);
/* Can a device that left the release concern a rollout in this state?
 * is_ordered: a rollback order did it there. */
bool flo_return_concerns(enum flo_rollout_state state, bool is_ordered);

#endif
