/* Share: tests whether the share of failed devices is above its limit or due to
 * chance.
 *
 * An e-value decides that the limit is exceeded.  It may be checked after each
 * device without raising the rate of false alarms.  The phase goes on when as
 * many failures are likely at the limit.  If neither is so, the result is
 * inconclusive, and a person is asked.  Pure. */
#ifndef FLOTILLA_SERVER_SHARE_H
#define FLOTILLA_SERVER_SHARE_H

#include <flotilla/base.h>

/* Chance that all gates together halt a good rollout: 3 %.  `failed` has 15 %
 * of that; gates on speed, memory and errors have the rest. */
#define FLO_ALPHA 0.03
#define FLO_FAILED_WEIGHT 0.15

enum flo_verdict { FLO_VERDICT_INCONCLUSIVE, FLO_VERDICT_PASS, FLO_VERDICT_FAIL };

struct flo_share_rule {
    double limit_pct;
    double alpha;  /* share of good rollouts that may be halted, for all gates together */
    double weight; /* part of `alpha` that this gate may use */
};
struct flo_share {
    enum flo_verdict verdict;
    double share_pct; /* share of failed devices in %; 0 when nothing ended */
    /* lower end of the 95 % interval, in %; the interval is valid at every
     * check */
    double low_pct;
    double high_pct;
    bool has_interval; /* the interval is set: some device ended, and failures are possible */
    double ln_e;       /* logarithm of the e-value against the limit */
    double tail;       /* chance of at least as many failures if the true share is the limit */
};

/* Tests the share of `bad` among `done` ended devices.  Returns false for
 * impossible numbers; *out is inconclusive then. */
bool flo_share_evaluate(const struct flo_share_rule *rule, uint64_t bad, uint64_t done,
                        uint64_t members, struct flo_share *out);

#endif
