/* Detect: what a phase can find, told before it begins.  Pure. */
#ifndef FLOTILLA_SERVER_SLICES_DETECT_H
#define FLOTILLA_SERVER_SLICES_DETECT_H

#include <flotilla/base.h>

/* A comparison as it is planned. */
struct flo_detect {
    double updated;  /* devices */
    double controls; /* devices */
    double devices_min;
    double sd; /* deviation of a device's d */
    double nu; /* degrees of freedom; 0: those of the devices */
    double alpha, weight;
    double limit_pct;
    double clip;      /* 4 for a gate, 8 for a slice */
    double prove_pct; /* 0: nothing is to be proven */
};
struct flo_detected {
    bool has_t;    /* enough devices could fail */
    bool has_find; /* and clipped differences can reach it */
    bool has_odds; /* something is to be proven */
    double t;      /* at which the test fails */
    double find;   /* smallest ln ratio that is found in 95 % of runs */
    double odds;   /* that a release without effect is proven */
};
/* false: not finite; *out has nothing. */
bool flo_detect_ratio(const struct flo_detect *plan, struct flo_detected *out);

struct flo_detect_events {
    double expected_updated; /* events without effect */
    double expected_control;
    double alpha, weight;
    double limit_ratio;
    double least; /* fewer events fail nobody */
};
/* *events: the fewest that fail when controls have what is expected.
 * *ratio: of the rates, found in 95 % of runs.
 *
 * false: none, 10,000 events do not fail, or the plan is not finite. */
bool flo_detect_count(const struct flo_detect_events *plan, uint32_t *events, double *ratio);

/* Events that are rare against the time watched, as a look will find them. */
struct flo_detect_watch {
    double hours_updated;
    double hours_controls;
    double rate;       /* rate on both sides, without effect */
    double prove_rate; /* more of them has to be ruled out */
    uint32_t look;
};
/* Odds that a release without effect is proven; 1 where so many events are
 * expected that sums say little. */
double flo_detect_watch(const struct flo_detect_watch *plan);

#endif
