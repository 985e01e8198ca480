/* Gate: computes a verdict from a rule and evidence.
 *
 * A rule is one condition for leaving a phase, as an operator set it.  The
 * evidence is only numbers: counts of a rollout's devices, or sketches of a
 * metric on its two arms.  A verdict depends on these two only, so stored
 * evidence gives the same verdict at any later time.
 *
 * Verdicts: `pass`, `fail`, and `inconclusive`, which holds the phase.  Pure.
 * The table of gates is gates.def; formulas of shares: share.h. */
#ifndef FLOTILLA_SERVER_GATE_H
#define FLOTILLA_SERVER_GATE_H

#include <flotilla/base.h>
#include <flotilla/proto.h>

#include "base/host/json.h"

#include "server-stub/core/gate/evidence.h"
#include "server-stub/core/gate/share.h"

enum flo_gate {
#define FLO_GATE(name, ...) FLO_GATE_##name,
#define FLO_GATE_FIELD(...)
#include "server-stub/core/gate/gates.def"
    FLO_GATE_COUNT
};
/* Kind of a gate.  Sequential tests are of other kinds
 * (statistics/record.h). */
enum flo_gate_kind { FLO_GATE_KIND_SHARE, FLO_GATE_KIND_RATIO };

/* Action when a gate fails.  HALT means that no further device updates, and
 * that updates under way are cancelled unless the release is active.  Devices
 * with the release that failed are rolled back. */
enum flo_on_fail { FLO_ON_FAIL_ROLLBACK, FLO_ON_FAIL_HALT, FLO_ON_FAIL_PAUSE };
const char *flo_on_fail_word(enum flo_on_fail on_fail);
bool flo_on_fail_parse(const char *word, enum flo_on_fail *out);

/* largest number of rules of a rollout, of which `failed` is the first */
#define FLO_GATES_MAX 8
struct flo_gate_rule {
    enum flo_gate gate;
    int metric;
    double percentile;
    double margin; /* %, or times */
    uint64_t devices_min;
    uint64_t samples_min;
    uint64_t silence_ms_max; /* a device silent this long with the release
                                counts as failed */
    enum flo_on_fail action;
    /* the rule has an action of its own; false: the rollout's on_fail
     * applies */
    bool has_action;
};

/* Counts of a rollout's devices.  Those named here_… are for the present phase;
 * the others are for all phases that began. */
struct flo_gate_counts {
    uint32_t good;
    uint32_t bad;
    uint32_t members; /* that count */
    uint32_t queued;  /* members that are not yet ordered to update */
    uint32_t here_ended;
    uint32_t here_members;
    uint32_t here_away;
    bool is_struck; /* a canary device failed, and the release itself was the
                       cause */
};
struct flo_gate_evidence {
    /* counts of devices; may be NULL for a gate of kind RATIO */
    const struct flo_gate_counts *counts;
    /* evidence for a gate of kind RATIO; NULL: none yet */
    const struct flo_comparison *arms;
};

struct flo_gate_arm {
    uint32_t devices;
    uint64_t samples;
    double value; /* value at the rule's percentile */
};
struct flo_gate_result {
    enum flo_verdict verdict;
    double limit;
    /* SHARE: results */
    bool is_over;   /* every reachable device of the phase has ended its update */
    bool is_struck; /* a canary device failed, and the release itself was the
                       cause */
    bool is_nobody; /* all devices of the phase ended, and no device of any phase has the release */
    uint32_t bad;   /* number of devices in all phases whose update ended in a
                       failure */
    uint32_t done;  /* number of devices that ended, well or badly */
    uint32_t members; /* that count */
    struct flo_share share;
    /* A RATIO gate has evidence, so the fields below are set.  Their values are
     * those of the hardware class that decides, or of the class that lacks
     * evidence. */
    bool has_evidence;
    bool is_last;       /* after this phase no device has the old release */
    bool is_cut;        /* older rows of evidence were left out */
    bool lacks_samples; /* nothing was compared, because the devices with the
                           old release sent too few samples */
    /* ratio of the updated devices' value to that of the waiting ones; 0:
     * nothing could be compared */
    double ratio;
    char hardware[FLO_HARDWARE_TEXT];
    struct flo_gate_arm updated;
    struct flo_gate_arm waiting;
    uint32_t compared;     /* updated devices in classes that were compared */
    uint32_t not_compared; /* devices in classes with too little evidence */
    uint64_t from_ms, to_ms;
};

const char *flo_gate_word(enum flo_gate gate);
const char *flo_gate_unit(enum flo_gate gate);
enum flo_gate_kind flo_gate_kind_of(enum flo_gate gate);
const char *flo_verdict_word(enum flo_verdict verdict);
/* Gets the default rule of a gate, for a rollout that gives none. */
void flo_gate_default(enum flo_gate gate, struct flo_gate_rule *out);

/* Reads the `gates` of a specification: {"failed":{…},"ratio":[{…},…]}.  A gate
 * that is possible only once is an object.  Members of the analysis
 * (analysis/analysis.h) are skipped.  NULL gives the defaults.  `out` holds
 * FLO_GATES_MAX, FLO_GATE_FAILED is the first.
 *
 * FLO_E_REST_SCHEMA names the member, its value, and the possible values.
 * FLO_E_REST_UNKNOWN names the unknown member, and the known ones. */
FLO_MUST_USE int flo_gates_parse(const json_t *gates_or_null, struct flo_gate_rule *out,
                                 uint32_t *count, struct flo_err *err);

void flo_gate_evaluate(const struct flo_gate_rule *rule, const struct flo_gate_evidence *evidence,
                       struct flo_gate_result *out);
/* Size of a gate's name for people: "failed", "ttft_us p95". */
#define FLO_GATE_TITLE 64
void flo_gate_title(const struct flo_gate_rule *rule, char *out);
/* Size of the sentence with the numbers and the verdict, for trace, log and
 * REST. */
#define FLO_GATE_TEXT 240
void flo_gate_text(const struct flo_gate_rule *rule, const struct flo_gate_result *result,
                   char *out);
/* Explains the rule that decided, or for which the phase waits: "passes: …". */
void flo_gate_because(const struct flo_gate_rule *rule, const struct flo_gate_result *result,
                      char *out);

#endif
