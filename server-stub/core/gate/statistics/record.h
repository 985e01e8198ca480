/* Record: a statistical test as JSON: its numbers, its rule and its result.
 *
 * One test is {"kind","rule","look","plain"} and its numbers:
 *
 *   ratio   "segments":[{"treated":{"n","mean","m2"},"control":{…},
 *           "older":{"treated","control"}},…]
 *           `older` is present only if it has devices
 *
 *   count   "treated":{"n","events","expected","exposure","sxx","sxl","sll"},
 *           "control":{…}
 *   deaths  "treated":{"devices_died","exposure"},"control":{…}
 *   share   "bad","done","members"
 *   leak    "treated":{"n","mean","m2"},"control":{…},"slope","latest"
 *
 * A test that was stored gives the same result again, to the last digits.  A
 * number that is unbounded or unknown is null. */
#ifndef FLOTILLA_SERVER_STATISTICS_RECORD_H
#define FLOTILLA_SERVER_STATISTICS_RECORD_H

#include <flotilla/base.h>

#include "base/host/json.h"

#include "server-stub/core/gate/share.h"
#include "server-stub/core/gate/slices/leak.h"
#include "server-stub/core/gate/statistics/count.h"
#include "server-stub/core/gate/statistics/ratio.h"

/* Version of the formulas, stored with the results. */
#define FLO_FORMULAS "gates/1"
#define FLO_SEGMENTS_MAX 16

enum flo_statistic_kind {
    FLO_STATISTIC_RATIO,
    FLO_STATISTIC_COUNT,
    FLO_STATISTIC_DEATHS,
    FLO_STATISTIC_SHARE,
    FLO_STATISTIC_LEAK
};
struct flo_statistic_rule {
    enum flo_statistic_kind kind;
    union { /* none for deaths */
        struct flo_ratio_rule ratio;
        struct flo_count_rule count;
        struct flo_share_rule share;
        struct flo_leak_rule leak;
    };
};
struct flo_statistic_arms { /* numbers of both arms of one segment */
    union {
        struct {
            struct flo_ratio_segment ratio;
            /* Devices whose baseline is an older release than the one they ran.  They are
             * compared only among themselves. */
            struct flo_ratio_segment older;
        };
        struct {
            struct flo_count_arm treated, control;
        } count;
        struct {
            struct flo_deaths_arm treated, control;
        } deaths;
        struct {
            uint64_t bad, done, members;
        } share;
        struct flo_leak_arms leak;
    };
};
struct flo_statistic_result {
    enum flo_statistic_kind kind;
    enum flo_verdict verdict;
    double ln_e;
    union {
        struct flo_ratio_result ratio;
        struct flo_count_result count;
        struct flo_deaths_result deaths;
        struct flo_leak_result leak;
        struct {
            struct flo_share of;
            uint64_t bad, done;
            double limit_pct;
        } share;
    };
};

const char *flo_statistic_kind_word(enum flo_statistic_kind kind);
/* Evaluates a test.  Only a ratio takes several segments; for other tests the
 * caller sums them first.  Returns false for impossible numbers. */
bool flo_statistic_evaluate(const struct flo_statistic_rule *rule,
                            const struct flo_statistic_arms *segments, size_t count, uint32_t look,
                            bool plain, struct flo_statistic_result *out);

/* Returns the rule's weight, its share of the rollout's error level; 0: the
 * rule has no share and is a hard stop. */
double flo_statistic_weight(const struct flo_statistic_rule *rule);
/* Sets the weight of a rule.  A rule of deaths has no weight and stays
 * unchanged. */
void flo_statistic_weigh(struct flo_statistic_rule *rule, double weight);
/* Adds the arms of another segment.  Nothing is added for a ratio, because it
 * keeps segments apart. */
void flo_statistic_arms_add(enum flo_statistic_kind kind, struct flo_statistic_arms *to,
                            const struct flo_statistic_arms *from);

/* Returns a rule as JSON, a new reference; NULL without memory. */
json_t *flo_statistic_rule_json(const struct flo_statistic_rule *rule);
/* Returns the numbers of one segment as JSON, a new reference; NULL without
 * memory. */
json_t *flo_statistic_arms_json(enum flo_statistic_kind kind,
                                const struct flo_statistic_arms *arms);
/* Returns a result as JSON, a new reference; NULL without memory. */
json_t *flo_statistic_result_json(const struct flo_statistic_result *result);

/* Reads a rule that flo_statistic_rule_json wrote.  FLO_E_GATE_EVIDENCE names
 * the field that is wrong. */
FLO_MUST_USE int flo_statistic_rule_parse(enum flo_statistic_kind kind, const json_t *json,
                                          struct flo_statistic_rule *out, struct flo_err *err);
/* Reads numbers that flo_statistic_arms_json wrote.  FLO_E_GATE_EVIDENCE names
 * the field that is wrong. */
FLO_MUST_USE int flo_statistic_arms_parse(enum flo_statistic_kind kind, const json_t *json,
                                          struct flo_statistic_arms *out, struct flo_err *err);
/* Evaluates a stored test; *out is the result, a new reference. */
FLO_MUST_USE int flo_statistic_replay(const json_t *test, json_t **out, struct flo_err *err);

#endif
