/* Count: tests whether events are more frequent on updated devices than on
 * their controls.
 *
 * Events are errors, crashes, devices that became much slower, devices that
 * fell silent.  The test is binomial: how the events divide between the arms,
 * given how many were expected in each.  A device with many events counts about
 * once, because sums of squares correct for clustering.  Pure. */
#ifndef FLOTILLA_SERVER_STATISTICS_COUNT_H
#define FLOTILLA_SERVER_STATISTICS_COUNT_H

#include <flotilla/base.h>

#include "server-stub/core/gate/share.h"
#include "server-stub/core/gate/statistics/ratio.h"

/* Sums over an arm's devices: events x, expected events l, exposure (hours,
 * requests or devices), x^2, xl, l^2. */
struct flo_count_arm {
    double devices;
    double events;
    double expected;
    double exposure;
    double sxx, sxl, sll;
};
struct flo_count_rule {
    double limit_ratio;
    double floor_rate; /* a difference of the rates below this never fails */
    double prove_rate; /* a pass needs proof that the rate rose by no more than this */
    double alpha, weight;
    uint64_t devices_min;
    uint64_t controls_min;
    double exposure_min;
};
struct flo_count_result {
    enum flo_verdict verdict;
    enum flo_open open;
    uint64_t treated; /* number of updated devices */
    uint64_t control;
    double ln_e;
    bool has_numbers; /* the fields below are set: both arms have exposure */
    bool has_ratio;   /* `ratio` is set: some device had an event */
    bool has_look;
    double ratio; /* ratio of the rates; infinite: the control arm has no events */
    double low, high;
    double upper_ratio, upper_rate; /* upper bounds of ratio and rate that an evaluation proves */
    double events_treated, events_control;
    double exposure_treated, exposure_control;
    double rate_treated, rate_control;
    double phi, p0;
};
/* Adds one device to the sums. */
void flo_count_add(struct flo_count_arm *arm, double events, double expected, double exposure);
/* Largest exposure of a device that counts in full, in medians of the
 * exposure. */
#define FLO_USUAL_MAX 4
/* Adds one device to the sums, if it has exposure (requests or hours).  `usual`
 * is the median exposure of the devices.  A larger exposure than FLO_USUAL_MAX
 * times `usual` counts only as that much, with events in proportion.  Otherwise
 * one device with nearly all exposure would make clustering unmeasurable. */
void flo_count_add_usual(struct flo_count_arm *arm, double events, double expected, double exposure,
                         double usual);
/* Returns the variance of the summed events relative to independent events, at
 * least 1. */
double flo_count_clustering(const struct flo_count_arm *arm);
/* Returns the number of errors to expect in `requests` requests.  It is
 * computed from the device's own past and the controls' earlier errors per
 * request. */
double flo_expected_errors(double requests, double errors_before, double requests_before,
                           double control_rate);

/* Judges the events of both arms.  Returns false for impossible numbers; *out
 * is inconclusive then. */
bool flo_count_evaluate(const struct flo_count_rule *rule, const struct flo_count_arm *treated,
                        const struct flo_count_arm *control, uint32_t look,
                        struct flo_count_result *out);

/* Early deaths: devices that failed soon after their swap, and the hours of
 * device time in which they were counted. */
struct flo_deaths_arm {
    double died; /* distinct devices */
    double exposure;
};
struct flo_deaths_result {
    enum flo_verdict verdict;
    bool has_tail;
    double tail; /* chance of at least as many deaths without an effect */
};
bool flo_deaths_evaluate(const struct flo_deaths_arm *treated, const struct flo_deaths_arm *control,
                         struct flo_deaths_result *out);

#endif
