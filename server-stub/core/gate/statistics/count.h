/* Count: do events come more often on updated devices than on their controls?
 *
 * Errors, crashes, devices that became much slower, devices that fell silent.
 * The events of both arms are divided as a coin would that knows how many were
 * expected in each.  One device with many events counts about as one: sums of
 * squares tell how much the devices cluster.  Pure. */
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
    double floor_rate; /* rates closer than this halt nobody */
    double prove_rate; /* a rate that is no higher by this is good enough */
    double alpha, weight;
    uint64_t devices_min;
    uint64_t controls_min;
    double exposure_min;
};
struct flo_count_result {
    enum flo_verdict verdict;
    enum flo_open open;
    uint64_t treated; /* devices */
    uint64_t control;
    double ln_e;
    bool has_numbers; /* all below */
    bool has_ratio;   /* someone had an event */
    bool has_look;
    double ratio; /* infinite: none against it */
    double low, high;
    double upper_ratio, upper_rate; /* what a look rules out */
    double events_treated, events_control;
    double exposure_treated, exposure_control;
    double rate_treated, rate_control;
    double phi, p0;
};
/* One more device. */
void flo_count_add(struct flo_count_arm *arm, double events, double expected, double exposure);
/* The same, unless it has no exposure.  `usual` is the median of the devices
 * that have one: a larger one counts as so many of them, at its own rate.
 * Clustering tells nothing of a device that has nearly all exposure. */
#define FLO_USUAL_MAX 4
void flo_count_add_usual(struct flo_count_arm *arm, double events, double expected, double exposure,
                         double usual);
/* Variance of the sum of events over that of independent ones, at least 1. */
double flo_count_clustering(const struct flo_count_arm *arm);
/* Errors to expect of so many requests, from the device's own past and from the
 * errors per request of controls before. */
double flo_expected_errors(double requests, double errors_before, double requests_before,
                           double control_rate);

/* false: numbers that cannot be; *out is open then. */
bool flo_count_evaluate(const struct flo_count_rule *rule, const struct flo_count_arm *treated,
                        const struct flo_count_arm *control, uint32_t look,
                        struct flo_count_result *out);

/* Early deaths: devices that died soon after their swap, against all other
 * watched time. */
struct flo_deaths_arm {
    double died; /* distinct devices */
    double exposure;
};
struct flo_deaths_result {
    enum flo_verdict verdict;
    bool has_tail;
    double tail; /* chance of so many */
};
bool flo_deaths_evaluate(const struct flo_deaths_arm *treated, const struct flo_deaths_arm *control,
                         struct flo_deaths_result *out);

#endif
