/* Specification of a rollout: the operator's request, read and checked.
 *
 * rollout.yaml, the REST body and the stored row are one JSON tree with the
 * fields of spec.def.  The command line builds the same tree from its flags.
 * This reader turns it into plain data.  Pure; the command line uses it too, so
 * a wrong field is reported with its line before anything is sent. */
#ifndef FLOTILLA_SERVER_SPEC_H
#define FLOTILLA_SERVER_SPEC_H

#include <flotilla/base.h>
#include <flotilla/proto.h>

#include "base/host/json.h"

#include "server-stub/core/gate/gate.h"
#include "server-stub/core/rollout/rollout.h"

#define FLO_SPEC_REASON_BYTES_MAX 512
#define FLO_SPEC_PATH_MAX 128 /* "phases[15].spread[3]" */

struct flo_spec_size {
    uint32_t devices; /* or the share */
    double share_pct;
};
/* Ramp: the pace is multiplied by `factor` after each `on_successes` successful
 * devices. */
struct flo_spec_ramp {
    double factor;
    uint64_t on_successes; /* 0: no ramp */
};
#define FLO_SPEC_SPREAD_MAX 4
struct flo_spec_phase {
    char name[FLO_NAME_MAX + 1];
    struct flo_spec_size size;
    uint64_t min_devices; /* smallest number of devices of the phase; 0: no minimum */
    /* largest number of devices of the phase; 0: no maximum */
    uint64_t max_devices;
    char spread[FLO_SPEC_SPREAD_MAX][FLO_NAME_MAX + 1];
    bool covers; /* the phase updates a device at each value of `cover` */
    uint64_t soak_ms;
    uint64_t min_requests;
    double rate_per_min;
    struct flo_spec_ramp ramp;
    uint64_t max_concurrent;
    /* end of the phase: 0 when its gates pass, 1 when a person promotes it */
    uint32_t until;
    uint64_t watch_ms;
};
#define FLO_SPEC_LABELS_MAX 16
/* Label whose values are scanned for a worse release, or a pair of labels. */
struct flo_spec_label {
    char key[FLO_NAME_MAX + 1];
    char second[FLO_NAME_MAX + 1]; /* empty: no pair */
};
struct flo_spec_limits {
    struct flo_window window;
    uint64_t max_concurrent;
    struct flo_rollout_limit per[FLO_LIMITS_MAX];
    uint32_t per_count;
};
struct flo_spec_target {
    char group[FLO_NAME_MAX + 1];
};
struct flo_spec {
    uint64_t version;
    char release[2 * FLO_NAME_MAX + 2];
    char model[FLO_NAME_MAX + 1]; /* the model of `release` */
    char model_version[FLO_NAME_MAX + 1];
    struct flo_spec_target target;
    char reason[FLO_SPEC_REASON_BYTES_MAX + 1];
    /* devices that join the group later: 0 become members, 1 do not */
    uint32_t membership;
    uint64_t start_at_ms;   /* start, by the wall clock; 0: at once */
    uint64_t expires_at_ms; /* expiry, by the wall clock; 0: never */
    uint32_t on_expiry;     /* action at the expiry: 0 abort, 1 pause */
    uint64_t approvals;
    struct flo_spec_phase phases[FLO_ROLLOUT_PHASES_MAX];
    uint32_t phase_count;
    char cover[FLO_NAME_MAX + 1]; /* label; empty: none */
    struct flo_spec_label labels[FLO_SPEC_LABELS_MAX];
    /* number of labels to scan; 0: the default labels are scanned */
    uint32_t label_count;
    struct flo_gate_rule gates[FLO_GATES_MAX];
    uint32_t gate_count;
    struct flo_analysis_rules analysis;
    bool has_phases; /* the specification gives phases; false: they are the defaults */
    bool has_gates;
    bool has_on_fail;
    uint32_t on_fail;         /* enum flo_on_fail */
    uint32_t on_inconclusive; /* action when a gate is not sure: 0 hold, 1 pause */
    struct flo_abort_rule aborts[FLO_ABORTS_MAX];
    uint32_t abort_count;
    uint32_t retries[FLO_FAILURES];
    uint64_t retry_wait_ms;
    uint64_t deadlines_ms[FLO_EXECUTION_COUNT]; /* 0: the default */
    struct flo_spec_limits limits;
    double rate_per_min;
    struct flo_policy policy;
    bool has_jitter; /* the specification gives the jitter */
    bool is_below_floor;
    bool holds_for_person; /* a gate that can never decide holds its phase
                              for a person */
    bool lifts;
    bool supersedes; /* this rollout replaces the one that runs for its group */
};

/* Checks for fields that contradict each other.  Called only for new
 * specifications, so that stored rollouts stay valid.  FLO_E_REST_MEANING: the
 * error names the fields. */
FLO_MUST_USE int flo_spec_check_sense(const struct flo_spec *spec, struct flo_err *err);
/* Reads and checks a specification.
 *
 * FLO_E_REST_SCHEMA   a field is wrong: the sentence begins with its path
 *                     ("phases[1].soak: ...")
 * FLO_E_REST_UNKNOWN  unknown field: its path, and the nearest known one */
FLO_MUST_USE int flo_spec_read(const json_t *json, struct flo_spec *out, struct flo_err *err);
/* Makes the draft of a rollout from a specification, without members, id and
 * time. */
void flo_spec_draft(const struct flo_spec *spec, struct flo_rollout *out);
/* Size of `names` in bytes. */
#define FLO_SPEC_NAMES_MAX 256
/* Makes the specification of an edit, a new reference: `spec` with the members
 * of `change`; null removes a member.  Lists, `gates`, `retries` and
 * `deadlines` are replaced whole.  `names` gets the changed members, as "rate,
 * phases"; empty: nothing changes.
 *
 * FLO_E_REST_MEANING: the member cannot be changed.  Unknown members are
 * refused when the result is read. */
FLO_MUST_USE int flo_spec_merge(const json_t *spec, const json_t *change, json_t **out, char *names,
                                struct flo_err *err);
/* Gets the path with which an error of flo_spec_read begins, or "".  `out`
 * holds FLO_SPEC_PATH_MAX bytes. */
void flo_spec_path(const struct flo_err *err, char *out);

/* ---- values, also for the command line ---- */

/* Parses a size: "10" devices or "2.5%".  Returns false for other texts and for
 * numbers out of range. */
bool flo_spec_size_parse(const char *text, struct flo_spec_size *out);
/* Parses a rate: "300/min", "5/s" or "20/h".  Returns false for other text. */
bool flo_spec_rate_parse(const char *text, double *per_min);

/* ---- the table ---- */

enum flo_spec_part {
    FLO_SPEC_SPEC,
    FLO_SPEC_TARGET,
    FLO_SPEC_LIMITS,
    FLO_SPEC_ABORT,
    FLO_SPEC_RAMP,
    FLO_SPEC_PHASE
};
/* Times at which an edit may change a field: never, only in phases that have
 * not begun, or always. */
enum flo_spec_change { FLO_CHANGE_FIXED, FLO_CHANGE_AHEAD, FLO_CHANGE_EDIT };
struct flo_spec_field {
    enum flo_spec_part part;
    const char *name;
    const char *kind;
    const char *standard;
    const char *possible;
    const char *meaning;
    enum flo_spec_change change;
};
/* Parses the word of a part, such as "PHASE".  Returns false for an unknown
 * one. */
bool flo_spec_part_parse(const char *word, enum flo_spec_part *out);
/* Gets row `index` of spec.def.  Returns false after the last row. */
bool flo_spec_field(size_t index, struct flo_spec_field *out);

#endif
