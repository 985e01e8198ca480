/* Detect: computes, before a phase begins, which effects it can find.  Pure. */
#ifndef FLOTILLA_SERVER_SLICES_DETECT_H
#define FLOTILLA_SERVER_SLICES_DETECT_H

#include <flotilla/base.h>

/* Planned comparison. */
struct flo_detect {
    double updated;  /* devices */
    double controls; /* devices */
    double devices_min;
    double sd; /* standard deviation of the change of one device */
    double nu; /* degrees of freedom; 0: derived from the numbers of devices */
    double alpha, weight;
    double limit_pct;
    double clip;      /* largest change of a device that counts, in standard
                         deviations: 4 for a gate, 8 for a slice */
    double prove_pct; /* change that has to be ruled out; 0: nothing has to be proven */
};
struct flo_detected {
    bool has_t;    /* `t` is set: there are enough devices to fail the test */
    bool has_find; /* `find` is set: even with each device's change limited by
                      `clip`, the test can fail */
    bool has_odds; /* `odds` is set: some difference has to be proven */
    double t;      /* value of t at which the test fails */
    double find;   /* smallest effect that is found in 95 % of runs, as the
                      logarithm of a ratio */
    double odds;   /* chance that a release without effect is proven */
};
/* Computes the effect that a test of a ratio finds, and its odds.  Returns
 * false for numbers that are not finite; *out is empty then. */
bool flo_detect_ratio(const struct flo_detect *plan, struct flo_detected *out);

struct flo_detect_events {
    double expected_updated; /* events without effect */
    double expected_control;
    double alpha, weight;
    double limit_ratio;
    double least; /* the fewest events with which the test may fail */
};
/* Gets the smallest number of events on updated devices with which the test
 * fails, when controls have as many as expected.  *ratio gets the smallest
 * ratio of the rates that is found in 95 % of runs.
 *
 * Returns false when even 10,000 events do not fail the test, or the plan is
 * not finite. */
bool flo_detect_count(const struct flo_detect_events *plan, uint32_t *events, double *ratio);

/* Inputs to the chance of a proof from rare events.  They are the hours watched
 * in both arms, the rate of events, and the increase to rule out. */
struct flo_detect_watch {
    double hours_updated;
    double hours_controls;
    double rate;       /* rate on both sides, if the release has no effect */
    double prove_rate; /* an increase by this much has to be ruled out */
    uint32_t look;
};
/* Returns the chance that a release without effect is proven. It is 1 when a
 * great many events are expected. */
double flo_detect_watch(const struct flo_detect_watch *plan);

#endif
