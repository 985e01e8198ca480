/* Crowd: the members of a rollout that have evidence, with their labels.  The
 * scans for slices use it. */
#ifndef FLOTILLA_SERVER_OBSERVE_CROWD_H
#define FLOTILLA_SERVER_OBSERVE_CROWD_H

#include "server-stub/telemetry/observe/cohort.h"

struct flo_crowd {
    const struct flo_observer *observer;
    struct flo_observe_analysis *analysis;
    uint32_t cohort;
    size_t count;
    const struct flo_observer_entry **entries; /* [count] */
    uint16_t *values;                          /* [labels][count] */
    struct flo_slice_label labels[FLO_SLICE_LABELS_MAX];
};
/* Collects the members that are in waves and whose segment is not excluded.
 * With `is_read`, only members with readings are collected.  FLO_E_MEMORY: no
 * memory. */
FLO_MUST_USE int flo_crowd_open(struct flo_crowd *crowd, bool is_read, struct flo_err *err);
void flo_crowd_close(struct flo_crowd *crowd);

/* Tells whether the device has the release and swapped in some wave. */
bool flo_crowd_is_updated(const struct flo_observer_entry *entry);
/* Gets the counts of a device: since its swap for an updated one, since this
 * wave for a control.  Returns false for a control that did not see the
 * wave. */
bool flo_crowd_numbers(const struct flo_observer_entry *entry, size_t wave,
                       struct flo_since_numbers *out);
/* Adds a slice to the evidence; NULL: there is no room.  `wider` is a slice
 * that contains it (value 0: none), and is held instead when it has fewer
 * members. */
struct flo_analysis_slice *flo_crowd_row(const struct flo_crowd *crowd, struct flo_slice held,
                                         struct flo_slice wider);

/* Adds a request for more updated devices of a slice.  `place` is the index in
 * the crowd of a device that is far worse than its past.  Returns NULL if they
 * were requested already, or there is no room. */
struct flo_analysis_probe *flo_crowd_probe(const struct flo_crowd *crowd, struct flo_slice slice,
                                           size_t place);

/* Scans errors and crashes for slices (count_scan.c).  FLO_E_MEMORY: no
 * memory. */
FLO_MUST_USE int flo_observer_scan_counts(const struct flo_observer *observer,
                                          struct flo_observe_analysis *analysis, uint32_t cohort,
                                          struct flo_err *err);

#endif
