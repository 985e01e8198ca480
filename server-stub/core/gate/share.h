/* Share: is a share of bad ends above its limit, or is it chance?
 *
 * The limit is broken when an e-value says so.  The e-value may be looked at
 * after each end, and the promise on false alarms still holds.  The phase goes
 * on when so many bad ends are no surprise at the limit.  Between the two the
 * answer is unknown, and a person is asked.  Pure. */
#ifndef FLOTILLA_SERVER_SHARE_H
#define FLOTILLA_SERVER_SHARE_H

#include <flotilla/base.h>

/* A whole rollout may be halted falsely in 3 % of cases, by all its gates.
 * `failed` has 15 % of that; the rest is for gates on speed, memory and
 * errors. */
#define FLO_ALPHA 0.03
#define FLO_FAILED_WEIGHT 0.15

enum flo_verdict { FLO_VERDICT_INCONCLUSIVE, FLO_VERDICT_PASS, FLO_VERDICT_FAIL };

struct flo_share_rule {
    double limit_pct;
    double alpha;  /* share of false halts, for all gates of a rollout */
    double weight; /* this gate's part of it */
};
struct flo_share {
    enum flo_verdict verdict;
    double share_pct; /* 0 when nothing ended */
    double low_pct;   /* 95 % interval, valid at any time */
    double high_pct;
    bool has_interval; /* something ended, and some may fail */
    double ln_e;       /* evidence against the limit */
    double tail;       /* chance of so many at the limit */
};

/* false: no numbers that can be; *out is inconclusive then. */
bool flo_share_evaluate(const struct flo_share_rule *rule, uint64_t bad, uint64_t done,
                        uint64_t members, struct flo_share *out);

#endif
