/* Gate: from a rule and evidence to a verdict.
 *
 * A rule is one condition to leave a phase, as an operator asked for it.  The
 * evidence is numbers alone: counts of a rollout's devices, or sketches of a
 * metric on its two arms.  A verdict follows from the two and nothing else, so
 * a stored evidence gives the same verdict at any later time.
 *
 * Verdicts: `pass`, `fail`, and `inconclusive`, with which a phase is held.
 * Pure.  The table of gates is gates.def; formulas of shares: share.h. */
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
#undef FLO_GATE
#undef FLO_GATE_FIELD
    FLO_GATE_COUNT
};
/* Sequential tests become kinds of their own. */
enum flo_gate_kind { FLO_GATE_KIND_SHARE, FLO_GATE_KIND_RATIO };

/* The action of a broken gate.  Halt: nothing new starts, inactive executions
 * are cancelled, and devices that have the release and failed are taken
 * back. */
enum flo_on_fail { FLO_ON_FAIL_ROLLBACK, FLO_ON_FAIL_HALT, FLO_ON_FAIL_PAUSE };
const char *flo_on_fail_word(enum flo_on_fail on_fail);
bool flo_on_fail_parse(const char *word, enum flo_on_fail *out);

/* A rollout has `failed` first, and after it those that were asked for. */
#define FLO_GATES_MAX 8
struct flo_gate_rule {
    enum flo_gate gate;
    int metric;
    double percentile;
    double margin; /* %, or times */
    uint64_t devices_min;
    uint64_t samples_min;
    uint64_t silence_ms_max; /* unheard for so long with the release: failed */
    enum flo_on_fail action;
    bool has_action; /* false: the rollout's on_fail */
};

/* Devices of a rollout, for the present phase and for all that began. */
struct flo_gate_counts {
    uint32_t good;
    uint32_t bad;
    uint32_t members; /* that count */
    uint32_t queued;  /* members that are not told yet */
    uint32_t here_ended;
    uint32_t here_members;
    uint32_t here_away;
    bool is_struck; /* the release itself failed on a canary */
};
struct flo_gate_evidence {
    const struct flo_gate_counts *counts; /* SHARE; may be NULL for RATIO */
    const struct flo_comparison *arms;    /* RATIO; NULL: none came yet */
};

struct flo_gate_arm {
    uint32_t devices;
    uint64_t samples;
    double value; /* the rule's percentile */
};
struct flo_gate_result {
    enum flo_verdict verdict;
    double limit;
    /* SHARE */
    bool is_over;     /* every device of the phase that is there ended */
    bool is_struck;   /* one failure of the release is enough for a canary */
    bool is_nobody;   /* all of the phase ended, and none of any phase has it */
    uint32_t bad;     /* bad ends of all phases */
    uint32_t done;    /* ended well or badly */
    uint32_t members; /* that count */
    struct flo_share share;
    /* RATIO: of the class that decides, or that lacks least. */
    bool has_evidence;
    bool is_last;       /* the phase leaves no device to compare with */
    bool is_cut;        /* older rows were left out */
    bool lacks_samples; /* nothing was compared; enough devices wait, but they
                           sent too few samples */
    double ratio;       /* 0: nothing could be compared */
    char hardware[FLO_HARDWARE_TEXT];
    struct flo_gate_arm updated;
    struct flo_gate_arm waiting;
    uint32_t compared;     /* updated devices in classes that were compared */
    uint32_t not_compared; /* in classes with too little evidence */
    uint64_t from_ms, to_ms;
};

const char *flo_gate_word(enum flo_gate gate);
const char *flo_gate_unit(enum flo_gate gate);
enum flo_gate_kind flo_gate_kind_of(enum flo_gate gate);
const char *flo_verdict_word(enum flo_verdict verdict);
/* The rule that counts where a rollout says nothing. */
void flo_gate_default(enum flo_gate gate, struct flo_gate_rule *out);

/* Read the `gates` of a specification: {"failed":{…},"ratio":[{…},…]}; a gate
 * that may be there once is an object.  Members of a study (study/study.h) are
 * passed over.  NULL: the standard.  `out` holds
 * FLO_GATES_MAX, FLO_GATE_FAILED is its first.
 *
 * FLO_E_REST_SCHEMA names the member, its value, and what is possible.
 * FLO_E_REST_UNKNOWN names what is not known, and what is. */
FLO_MUST_USE int flo_gates_parse(const json_t *gates_or_null, struct flo_gate_rule *out,
                                 uint32_t *count, struct flo_err *err);

void flo_gate_evaluate(const struct flo_gate_rule *rule, const struct flo_gate_evidence *evidence,
                       struct flo_gate_result *out);
/* Name for people: "failed", "ttft_us p95". */
#define FLO_GATE_TITLE 64
void flo_gate_title(const struct flo_gate_rule *rule, char *out);
/* The numbers and the verdict as one sentence; trace, log and REST have it. */
#define FLO_GATE_TEXT 240
void flo_gate_text(const struct flo_gate_rule *rule, const struct flo_gate_result *result,
                   char *out);
/* The rule that decided, or that is waited for, as a sentence: "passes: …". */
void flo_gate_because(const struct flo_gate_rule *rule, const struct flo_gate_result *result,
                      char *out);

#endif
