/* Crowd: the members of a rollout that have numbers, with their labels.  For
 * the scans of a look. */
#ifndef FLOTILLA_SERVER_OBSERVE_CROWD_H
#define FLOTILLA_SERVER_OBSERVE_CROWD_H

#include "server-stub/telemetry/observe/roster.h"

struct flo_crowd {
    const struct flo_observer *observer;
    struct flo_observe_study *study;
    uint32_t roster;
    size_t count;
    const struct flo_observer_entry **entries; /* [count] */
    uint16_t *values;                          /* [labels][count] */
    struct flo_slice_label labels[FLO_SLICE_LABELS_MAX];
};
/* Members whose segment did not go back and that are in its waves; with
 * `is_read`, those alone whose readings are kept.  FLO_E_MEMORY. */
FLO_MUST_USE int flo_crowd_open(struct flo_crowd *crowd, bool is_read, struct flo_err *err);
void flo_crowd_close(struct flo_crowd *crowd);

/* The device has the release, and swapped in a wave. */
bool flo_crowd_is_updated(const struct flo_observer_entry *entry);
/* The device's counts: an updated one's since its swap, else since a wave.
 * false: it saw none. */
bool flo_crowd_numbers(const struct flo_observer_entry *entry, size_t wave,
                       struct flo_since_numbers *out);
/* A row of the evidence for a slice; NULL: there is no room.  wider: value 0
 * for none; it is held itself when fewer members have it. */
struct flo_study_slice *flo_crowd_row(const struct flo_crowd *crowd, struct flo_slice held,
                                      struct flo_slice wider);

/* A slice asks for more updated devices; place: in the crowd, one of those that
 * are far.  NULL: it asked already, or there is no room. */
struct flo_study_probe *flo_crowd_probe(const struct flo_crowd *crowd, struct flo_slice slice,
                                        size_t place);

/* count_scan.c: where errors and crashes come with the release; FLO_E_MEMORY */
FLO_MUST_USE int flo_observer_scan_counts(const struct flo_observer *observer,
                                          struct flo_observe_study *study, uint32_t roster,
                                          struct flo_err *err);

#endif
