/* Analysis: the statistical analysis of a rollout, by its gates.
 *
 * An analysis compares updated devices with controls: devices of the same
 * segment that still run their old release.  Its rules come from a preset and
 * from the rollout's specification.  The evidence is sums by segment and
 * measure.  The verdict of a phase follows from rules, evidence and earlier
 * findings in that phase.  A phase may fail at the end of any block of five
 * minutes.  It passes only at a look: at the end of the soak, and at each
 * doubling of it.  All waves of the rollout together prove that a change of
 * speed or memory is small (slices/pooled.h).  Pure. */
#ifndef FLOTILLA_SERVER_ANALYSIS_H
#define FLOTILLA_SERVER_ANALYSIS_H

#include <flotilla/base.h>
#include <flotilla/proto.h>

#include "base/host/json.h"

#include "server-stub/core/gate/gate.h"
#include "server-stub/core/gate/observe/observed.h"
#include "server-stub/core/gate/slices/crash.h"
#include "server-stub/core/gate/slices/plain.h"
#include "server-stub/core/gate/slices/pooled.h"
#include "server-stub/core/gate/slices/told.h"
#include "server-stub/core/gate/statistics/phase.h"
#include "server-stub/core/gate/statistics/record.h"

/* ---- rules ---- */

enum flo_measure {
#define FLO_MEASURE(name, ...) FLO_MEASURE_##name,
#define FLO_MEASURE_FIELD(...)
#include "server-stub/core/gate/analysis/measures.def"
    FLO_MEASURE_COUNT
};
struct flo_measure_fact {
    const char *word;
    enum flo_statistic_kind kind;
    int reading; /* reading that a RATIO compares (enum flo_observed_reading); else -1 */
    const char *title;
    const char *per;
};
const struct flo_measure_fact *flo_measure_fact(enum flo_measure measure);
bool flo_measure_parse(const char *word, enum flo_measure *out);

enum flo_preset {
#define FLO_PRESET(name, ...) FLO_PRESET_##name,
#include "server-stub/core/gate/analysis/presets.def"
    FLO_PRESET_COUNT,
    FLO_PRESET_NONE = FLO_PRESET_COUNT
};
struct flo_preset_phase {
    const char *name;
    uint32_t devices;
    uint64_t soak_ms;
};
/* Gets phase `index` of a preset, from 0, for a fleet of `members`, `hold_out`
 * of which keep their release.  `devices` gets the number of devices that are
 * updated by the end of the phase.  Returns false when the preset has no such
 * phase. */
bool flo_preset_phase(enum flo_preset preset, uint32_t index, uint32_t members, uint32_t hold_out,
                      struct flo_preset_phase *out);

#define FLO_FLEET_MIN 200 /* smallest fleet that has a hold-out, in devices */
/* Returns the number of devices of a hold-out: the share of `members`, but at
 * least 50 and at most 500.  Returns 0 for a share of 0, and for fewer than
 * FLO_FLEET_MIN members. */
uint32_t flo_hold_out(double share_pct, uint32_t members);

/* value of critical_from: the gate has to pass in the last phase only */
#define FLO_CRITICAL_LAST 254
/* value of critical_from: the gate never has to pass; it may only fail */
#define FLO_CRITICAL_NEVER 255
#define FLO_PROVE_PHASES_MAX 16
struct flo_analysis_rule {
    enum flo_measure measure;
    double limit; /* largest allowed change in %, or ratio of rates */
    double floor;
    double prove[FLO_PROVE_PHASES_MAX];
    /* number of entries of `prove`; later phases use the last one */
    uint32_t prove_count;
    double weight;
    /* first phase in which the gate has to pass, from 1; or FLO_CRITICAL_LAST
     * or FLO_CRITICAL_NEVER */
    uint32_t critical_from;
    uint64_t devices_min;
    uint64_t controls_min;
    double exposure_min;
    uint64_t from_ms; /* LEAK: time after the swap from which readings count */
    enum flo_on_fail action;
    bool has_action;
};
struct flo_analysis_rules {
    /* preset of the rollout; NONE: only the rollout's own rules apply */
    enum flo_preset preset;
    bool is_alarm; /* the gates only raise alarms; none has to pass */
    struct flo_analysis_rule rules[FLO_MEASURE_COUNT];
    uint32_t count;
    /* number of the phase that covers all sites, from 1; 0: there is none.
     * This phase must prove as much as the phase before it */
    uint32_t cover;
    double hold_out_pct;
    uint64_t watch_ms; /* how long the hold-out is watched after the last phase */
    double failed_pct; /* limit of the gate `failed`, in % */
    /* failed_pct is from the rollout's specification, not from the preset */
    bool says_failed;
};
/* Gets the rules of a preset. */
void flo_analysis_preset(enum flo_preset preset, struct flo_analysis_rules *out);
/* Checks that each rule of a new specification can fail.  Stored specifications
 * are not checked.  FLO_E_REST_MEANING names the gate. */
FLO_MUST_USE int flo_analysis_rules_check_sense(const struct flo_analysis_rules *rules,
                                                struct flo_err *err);
/* Reads the analysis's members of a rollout's `gates`: "preset", "alarm_only",
 * "hold_out_pct", "watch_ms", and one for each measure; `false` removes the
 * measure.  NULL: no analysis.
 *
 * Fails like flo_gates_parse. */
FLO_MUST_USE int flo_analysis_parse(const json_t *gates_or_null, struct flo_analysis_rules *out,
                                    struct flo_err *err);
/* Tells whether this member of `gates` belongs to the analysis. */
bool flo_analysis_has_word(const char *word);
void flo_analysis_words(const char **out, size_t *count); /* 24 fit */

/* ---- evidence ---- */

/* Numbers of devices that are far worse than their own past, among updated
 * devices and among controls (slices/plain.h). */
struct flo_analysis_above {
    struct flo_plain_arm treated, control;
};
/* Returns true for a measure whose rows count the devices far worse than their
 * past: latency, memory and errors. */
bool flo_analysis_has_above(enum flo_measure measure);

/* Effect as shown to people; outliers are not limited (slices/told.h). */
struct flo_analysis_told {
    struct flo_told effect;    /* effect of a RATIO or a LEAK */
    struct flo_told_rate rate; /* rate of errors */
};

/* Devices that crashed soon after their swap, in any phase, compared with their
 * own past (slices/crash.h). */
struct flo_analysis_crash {
    struct flo_crash_arm treated, control, past;
    /* Sums for the rate at which devices begin to crash.  They are the number
     * of devices that crashed at all, and the hours of each device until its
     * first crash.  They cover the past of all members, and controls during the
     * rollout. */
    double first_devices, first_hours;
};
/* Adds one device to first_devices and first_hours.  The device was watched for
 * `hours` hours and crashed in `crashes` of them. */
void flo_analysis_crash_first(struct flo_analysis_crash *crash, double crashes, double hours);

enum flo_slice_hold {
    FLO_SLICE_HELD,
    FLO_SLICE_ASKED, /* no device of the slice gets the release until a person
                        answers */
    FLO_SLICE_LET_GO /* a person released the slice: updates go on there */
};
#define FLO_ANALYSIS_SLICES_MAX 8
/* bytes of a slice's name; a longer one is cut, and its checksum is added */
#define FLO_SLICE_TEXT 96
/* Slice: a label=value at which a speed is worse (slices/scan.h), or that has
 * more errors or crashes (slices/count_scan.h). */
struct flo_analysis_slice {
    char name[FLO_SLICE_TEXT];  /* "site=lyon": the slice to be held */
    char found[FLO_SLICE_TEXT]; /* wider slice that contains it; "": none */
    enum flo_measure measure;
    bool is_culprit; /* the release is to blame; false: the site itself may have changed */
    /* the cause is unclear, but the change came with each device's own swap, so
     * a person decides about updates there */
    bool is_asked;
    uint32_t members;
    uint32_t updated, far, controls;
    /* mean number, per wave, of controls whose errors or crashes their own past
     * does not explain; only for these two measures */
    double far_controls;
    double ln_e, threshold;
    struct flo_told told; /* effect on a speed, as shown to people */
    bool has_elsewhere;
    double elsewhere; /* effect on the updated devices outside the slice, as the
                         logarithm of a ratio */
};
/* Slice whose controls changed too, so its site is the cause, not the
 * release. */
struct flo_analysis_changed {
    char name[FLO_SLICE_TEXT];
    enum flo_measure measure;
    double shift;
    bool has_both; /* the slice's updated devices changed as well as its controls */
};
/* largest number of devices that are shown for a slice: the farthest ones */
#define FLO_ANALYSIS_DEVICES_MAX 100
/* Device of a slice, as shown to people. */
struct flo_analysis_device {
    char device[37];
    uint8_t row;  /* index of the slice in rows; FLO_ANALYSIS_SLICES_MAX + i: index i in changed */
    uint8_t wave; /* wave in which the device swapped, from 1; 0: it runs its old release */
    bool has_effect;
    /* change of the device, less the median change of the controls; logarithm
     * of a ratio */
    double effect;
};
struct flo_analysis_slices {
    struct flo_analysis_slice rows[FLO_ANALYSIS_SLICES_MAX];
    uint32_t count;
    struct flo_analysis_changed changed[FLO_ANALYSIS_SLICES_MAX];
    uint32_t changed_count;
    const struct flo_analysis_device *devices; /* devices, owned by the caller */
    size_t device_count;
};
/* Action of a rollout when a slice is found. */
enum flo_slice_end {
    FLO_END_TOLD, /* nothing is done */
    FLO_END_HELD, /* the slice is held: its devices keep their release */
    FLO_END_BACK, /* the slice's updated devices roll back */
    FLO_END_ALL   /* the slice is too large: the whole rollout fails */
};
const char *flo_slice_end_word(enum flo_slice_end end);

#define FLO_SEGMENT_TEXT 96
struct flo_analysis_segment {
    char name[FLO_SEGMENT_TEXT];
    uint32_t members;
    struct flo_statistic_arms arms[FLO_MEASURE_COUNT];
    struct flo_analysis_above above[FLO_MEASURE_COUNT];
};
#define FLO_ANALYSIS_PROBES_MAX 5
/* Slice with only one or two updated devices, which are far worse than its
 * other devices.  More of its devices are to be updated, so that it can be
 * judged. */
struct flo_analysis_probe {
    /* id of an updated device that is far worse than the others of the slice */
    char device[37];
    char name[FLO_SLICE_TEXT]; /* "site=lyon" */
    bool is_count;             /* the device is worse in errors or crashes than its own past
                                  explains; false: in speed or memory */
    enum flo_measure measure;  /* is_count: the measure */
    /* Smallest distance of the device from a control of the slice, as the
     * logarithm of a ratio; only if is_count is false. */
    double least;
};
struct flo_analysis_evidence {
    uint32_t phase; /* phase that gave the evidence, from 0 */
    uint32_t block; /* block that ended */
    uint64_t at_ms;
    uint32_t treated; /* in all segments */
    uint32_t controls;
    uint16_t few_sites; /* bit for each segment whose updated devices are at
                           too few sites to be compared */
    struct flo_analysis_probe probes[FLO_ANALYSIS_PROBES_MAX]; /* largest first */
    uint32_t probe_count;
    /* RATIO: number of members, of both arms, that have requests of the
     * measure's kind. */
    uint32_t readers[FLO_MEASURE_COUNT];
    /* Effects of each measure over all segments together. */
    struct flo_analysis_told told[FLO_MEASURE_COUNT];
    struct flo_analysis_crash crash; /* crashes over all segments */
    /* Sums of readings: of the devices that swapped in this phase, and of their
     * controls. */
    struct flo_pooled_sums wave[FLO_READING_COUNT];
    struct flo_analysis_slices slices;
    uint32_t segment_count;
    struct flo_analysis_segment segments[FLO_SEGMENTS_MAX];
};

/* ---- verdict ---- */

#define FLO_ANALYSIS_WAVES_MAX FLO_PROVE_PHASES_MAX /* phases */
/* Proof, at one evaluation, that a speed or memory hardly changed.  It uses the
 * sums of all waves (devices whose swaps begin together) up to then, of which
 * it has a copy. */
struct flo_analysis_proof {
    bool is_judged;
    uint32_t count; /* number of waves; the last one is of this phase */
    struct flo_pooled_sums waves[FLO_ANALYSIS_WAVES_MAX];
    struct flo_pooled_result result;
};
/* Sets the verdict of `result` by the proof of all waves, at a look (an
 * evaluation at which a phase may pass).  A test that fails keeps its
 * verdict. */
void flo_analysis_prove(const struct flo_ratio_rule *rule, struct flo_analysis_proof *proof,
                        struct flo_statistic_result *result);
/* Returns the sums as a JSON object, a new reference. */
json_t *flo_analysis_sums_json(const struct flo_pooled_sums *sums);
/* Reads sums from a JSON object.  Returns false when a member is absent, or the
 * sums are impossible. */
bool flo_analysis_sums_read(const json_t *json, struct flo_pooled_sums *out);

#define FLO_SEGMENT_ALL UINT32_MAX
/* Result of a rule on one segment, or on all segments together. */
struct flo_analysis_row {
    bool is_tested;
    struct flo_statistic_rule rule;
    struct flo_statistic_result result;
    struct flo_analysis_told told; /* effect as shown to people; only over all segments */
};
struct flo_analysis_steep {
    /* Numbers of devices far worse than their past, over all segments that are
     * not excluded. */
    struct flo_analysis_above arms;
    enum flo_plain_verdict verdict;
};
struct flo_analysis_soon { /* Result of the rule of crashes soon after the swap. */
    struct flo_analysis_crash arms;
    struct flo_crash_result result;
};
struct flo_analysis_results {
    /* results over all segments, by index of the rule */
    struct flo_analysis_row all[FLO_MEASURE_COUNT];
    struct flo_analysis_steep steep[FLO_MEASURE_COUNT];
    /* result of the crashes soon after a swap; only the rule of crashes has
     * it */
    struct flo_analysis_soon soon;
    /* Proofs of speeds and memory, by index of the rule. */
    struct flo_analysis_proof proofs[FLO_MEASURE_COUNT];
    struct flo_analysis_row segments[FLO_MEASURE_COUNT][FLO_SEGMENTS_MAX];
};
/* Newest result of a rule in the present phase, which is kept between
 * evaluations. */
struct flo_analysis_standing {
    struct flo_statistic_result result; /* result over all segments */
    struct flo_analysis_steep steep;
    struct flo_analysis_soon soon;
    struct flo_analysis_told told;
    /* Newest verdict; a pass lasts until the end of the phase, unless the rule
     * fails later. */
    enum flo_verdict verdict;
    bool has_result;
};
struct flo_analysis_state {
    uint32_t looks; /* number of looks (evaluations at which the phase may pass)
                       taken in this phase */
    uint32_t block; /* number of the block of time in which the newest evidence
                       was made */
    uint32_t controls, treated;
    enum flo_phase_verdict verdict;
    uint32_t rule;    /* rule that fails, or for which the phase waits;
                         FLO_SEGMENT_ALL: none */
    uint32_t segment; /* segment that fails, or FLO_SEGMENT_ALL */
    char segment_name[FLO_SEGMENT_TEXT];
    struct flo_analysis_row named; /* result of the test of `rule` in `segment` */
    uint16_t excluded;             /* bit for each segment that is excluded; kept over phases */
    /* bit for each segment that fails now, while the release passes
     * elsewhere */
    uint16_t excludes;
    /* Bit for each segment with too few sites in the newest evidence. */
    uint16_t few_sites;
    /* Bit for each measure of speed without a single request in the fleet,
     * while another speed has some.  Such a speed is not judged. */
    uint16_t unread;
    /* bit for each rule whose events are too rare to prove anything in this
     * phase; such a rule can only fail */
    uint16_t beyond;
    /* Slices that no longer get the release, or wait for a person's answer;
     * kept over phases. */
    char held[FLO_ANALYSIS_SLICES_MAX][FLO_SLICE_TEXT];
    uint8_t held_as[FLO_ANALYSIS_SLICES_MAX]; /* enum flo_slice_hold */
    uint32_t held_count;
    /* after a failed rule: bit for each further rule that fails by Holm's
     * method */
    uint16_t further;
    bool is_alarmed;                      /* an alarm fired while the
                                             hold-out is watched */
    uint8_t passed_in[FLO_MEASURE_COUNT]; /* last earlier phase in which the
                                             rule passed, from 1; 0: none */
    struct flo_analysis_standing standing[FLO_MEASURE_COUNT];
    /* Newest sums of each phase.  They are kept in later phases, until a
     * segment is excluded. */
    struct flo_pooled_sums waves[FLO_ANALYSIS_WAVES_MAX][FLO_READING_COUNT];
};
struct flo_analysis {
    struct flo_analysis_rules rules;
    enum flo_on_fail on_fail; /* action for rules that have none of their own */
    uint64_t block_ms;        /* the shortest soak */
    /* Model whose requests the release shares: the two are compared on each
     * device.  Empty: updated devices are compared with controls. */
    char split_of[FLO_NAME_MAX + 1];
    /* Standard deviation of the controls' differences, as measured last; 0: not
     * known yet. */
    double spread;
    struct flo_analysis_state state;
};

/* Point of a phase at which evidence arrives. */
struct flo_analysis_moment {
    uint32_t phase; /* from 0 */
    bool is_last;
    bool is_plain;   /* no controls remain */
    bool is_watch;   /* the hold-out is observed: only alarms are raised */
    double soaked_s; /* time for which the phase has soaked; <0: some devices
                        are still updating */
    double soak_s;
};
/* standard deviation of the controls' differences that is assumed until one is
 * measured: from a drift of 5 %, and noise */
#define FLO_SPREAD_USUAL 0.084
struct flo_analysis_crowd {
    uint32_t updated;  /* number of devices that update in the phase */
    uint32_t controls; /* controls that remain after the phase */
    /* Number of updated devices whose baseline has only a few readings. */
    uint32_t thin;
    double hours; /* hours of the soak */
};
/* Sight: the effects that a phase can find, and its odds to prove a release
 * without effect; computed before the phase begins. */
struct flo_analysis_sight {
    bool has_find;
    double finds_pct; /* smallest change that the test finds in 95 % of cases */
    double odds;      /* chance that all waves up to this phase prove a release
                         without effect */
    double prove_pct; /* change that the proof has to rule out */
    /* Two remedies for odds below FLO_ANALYSIS_ODDS_MIN; either of them is
     * enough: a larger `prove_pct`, or more controls. */
    double helps_pct;
    /* number of controls with which the odds are high enough; 0: no number
     * suffices */
    uint32_t helps_controls;
};
/* Computes the effect that a phase can find by a rule, and its odds.  `crowds`
 * has all phases up to this one.  Returns false when the rule is neither of
 * speed nor of memory, or there are no devices to compare. */
bool flo_analysis_sees(const struct flo_analysis *analysis, uint32_t rule, uint32_t phase,
                       uint32_t segments, const struct flo_analysis_crowd *crowds,
                       struct flo_analysis_sight *out);
/* Sums of a fleet's events before the rollout. */
struct flo_analysis_past {
    double errors, requests;
    double blocks;         /* number of 5-minute blocks with a telemetry window,
                              summed over all devices */
    double crashes, hours; /* Device hours with a crash, and device hours with a
                              telemetry window. */
};
/* Effect that a phase can find by a rule of errors, crashes or leaks. */
struct flo_analysis_seen {
    bool has_find;
    double finds; /* smallest effect that the phase can find: errors per
                     request, share of devices that crash, or % an hour */
    double usual; /* number of events that is expected if the release has no
                     effect */
    double hours; /* hours after the swap in which events are counted */
};
/* Gets the smallest effect that a phase finds in 95 % of cases.  Returns false
 * when the rule is not about errors, crashes or leaks.  Returns false as well
 * without devices to compare, or without a usable past. */
bool flo_analysis_sees_events(const struct flo_analysis *analysis, uint32_t rule, uint32_t phase,
                              uint32_t segments, const struct flo_analysis_crowd *crowds,
                              const struct flo_analysis_past *past, struct flo_analysis_seen *out);
/* Site, with the number of its members and of its updated members. */
struct flo_analysis_site {
    uint32_t members, updated;
    uint32_t sites; /* number of sites with at least 3 members */
    uint32_t all;   /* members of all sites */
};
/* Returns the smallest change, in %, that the scan finds in 95 % of cases if
 * only the given site changes.  Returns infinity when no change would be
 * found. */
double flo_analysis_finds_at(const struct flo_analysis *analysis, uint32_t rule,
                             const struct flo_analysis_site *site);
bool flo_analysis_is_speed(enum flo_measure measure);
/* Longest duration of a soak, as a multiple of its setting.  After that time a
 * person is asked. */
#define FLO_SOAKS_MAX 8

struct flo_analysis_finding {
    enum flo_phase_verdict verdict;
    uint32_t look;     /* number of the look (an evaluation at which the phase
                          may pass), or FLO_LOOK_NONE */
    uint16_t excludes; /* bit for each segment to exclude: it fails alone, and has fewer than half
                          of the members */
    uint16_t holds;    /* bit for each slice of the evidence whose updates are to be held now */
    /* what happens to each slice: enum flo_slice_end */
    uint8_t ends[FLO_ANALYSIS_SLICES_MAX];
    /* number of devices that were added for each probe */
    uint8_t probed[FLO_ANALYSIS_PROBES_MAX];
    /* bit for each rule that is to be reported: its verdict changed, or the
     * phase might have passed at this evaluation */
    uint16_t changed;
};
/* Excludes the segments of this bit mask, which the caller rolls back.  A newly
 * excluded segment clears the sums of the waves, which begin again without
 * it. */
void flo_analysis_exclude(struct flo_analysis *analysis, uint16_t segments);
/* Returns the index of a held slice.  For a slice that is not held, it is the
 * next free index, or FLO_ANALYSIS_SLICES_MAX if all are used. */
uint32_t flo_analysis_held(const struct flo_analysis_state *state, const char *name);
/* Returns how many slices wait for a person. */
uint32_t flo_analysis_asked(const struct flo_analysis_state *state);
/* Begins the phase with this number, counted from 0.  Looks, the evaluations at
 * which a phase may pass, are then counted from 0 again. */
void flo_analysis_phase(struct flo_analysis *analysis, uint32_t phase);
/* Judges a phase by new evidence. */
void flo_analysis_judge(struct flo_analysis *analysis, const struct flo_analysis_evidence *evidence,
                        const struct flo_analysis_moment *moment,
                        struct flo_analysis_results *results, struct flo_analysis_finding *out);
/* Tells whether the rule of crashes fails because devices crashed soon after
 * their swap.  Otherwise its test decided. */
bool flo_analysis_is_soon(const struct flo_analysis_standing *standing);
void flo_analysis_crash_judge(const struct flo_analysis_crash *arms, struct flo_analysis_soon *out);
/* Tells whether the rule fails because devices are far worse than their own
 * past.  Otherwise its test decided. */
bool flo_analysis_is_steep(const struct flo_analysis_standing *standing);
/* Tells whether the rules make a phase wait until this rule passes.
 * flo_analysis_awaits takes the evidence into account as well. */
bool flo_analysis_is_critical(const struct flo_analysis_rules *rules, uint32_t rule, uint32_t phase,
                              bool is_last);
/* Smallest accepted chance that a phase proves a release without effect. */
#define FLO_ANALYSIS_ODDS_MIN 0.97
/* Tells whether the phase still waits for this rule, given the newest evidence.
 * A phase does not wait for a speed without requests: it waits for the speed of
 * batch requests instead.  A phase does not wait for crashes if it has too few
 * devices to prove anything even in the longest soak. */
bool flo_analysis_awaits(const struct flo_analysis *analysis, uint32_t rule, uint32_t phase,
                         bool is_last);
/* Gets the test of a rule in a phase: over all segments if is_all, else for one
 * of `segments`. */
void flo_analysis_test(const struct flo_analysis_rules *rules, uint32_t rule, uint32_t phase,
                       uint32_t segments, bool is_all, struct flo_statistic_rule *out);

/* ---- the record ---- */

/* Builds an `evidence` event, a new reference; NULL without memory:
 *
 *   {"formulas","rollout","phase","block","at_ms","look","soaked_s","soak_s",
 *    "mode","segments":[{"name","members"}],"rows":[{"gate","kind","segment",
 *    "critical","rule","treated","control","result","proof"}],"verdict",
 *    "gate"}
 *
 * `segment` null stands for all segments; such a row has no arms of its own. */
json_t *flo_analysis_record(const struct flo_analysis *analysis, const char *rollout,
                            const struct flo_analysis_evidence *evidence,
                            const struct flo_analysis_moment *moment,
                            const struct flo_analysis_results *results,
                            const struct flo_analysis_finding *finding);
/* Adds the members "slices", "moved" and "probed" to the record, each unless it
 * is empty. */
void flo_analysis_record_slices(const struct flo_analysis_evidence *evidence,
                                const struct flo_analysis_finding *finding, json_t *record);
/* Receives the recorded verdict of a rule and its finding as a sentence. */
typedef void (*flo_analysis_row_fn)(void *context, enum flo_measure measure, const char *stands,
                                    const char *text);
/* Evaluates a record again.  *worst gets the largest relative difference
 * between a recorded number and the new one.  `on_row` is called for each rule;
 * NULL: nobody is called.
 *
 * FLO_E_GATE_EVIDENCE  the record cannot be read, or a verdict differs */
FLO_MUST_USE int flo_analysis_replay(const json_t *record, flo_analysis_row_fn on_row,
                                     void *context, double *worst, struct flo_err *err);

/* ---- words ---- */

/* Size of each `out` in bytes. */
#define FLO_ANALYSIS_TEXT 400
/* Writes a sentence about a phase whose proof has low odds, and the remedy. */
void flo_analysis_sight_text(const char *phase, const char *title,
                             const struct flo_analysis_sight *sight, char *out);
/* Writes the smallest effect that a phase can find, such as "errors on 1.3 % of
 * requests, not 0.2 %". */
void flo_analysis_seen_text(enum flo_measure measure, const struct flo_analysis_seen *seen,
                            char *out);
/* Writes "+65.0 %", or "2.0 times" from 1.8 times on. */
void flo_analysis_effect_text(double effect, char *out);
/* Writes where a release is worse, and the consequence. */
void flo_analysis_slice_text(const struct flo_analysis_slice *slice, enum flo_slice_end end,
                             char *out);
/* Scan of a label's values for a worse release.  `left_values` and
 * `left_devices` count the values, and their devices, that are too many to
 * scan. */
struct flo_analysis_scan {
    const char *label;
    uint32_t values; /* number of values that are scanned */
    uint32_t left_values, left_devices;
};
void flo_analysis_scan_text(const struct flo_analysis_scan *scan, char *out);
/* Writes a sentence about a probe: because of it, `count` more devices of its
 * slice are updated. */
void flo_analysis_probe_text(const struct flo_analysis_probe *probe, uint32_t count, char *out);
void flo_analysis_changed_text(const struct flo_analysis_changed *changed, char *out);
/* Writes the titles of the rules in `further`, separated by ", "; "" for
 * none. */
void flo_analysis_further(const struct flo_analysis *analysis, char *out);
/* Writes a sentence about devices compared with their own past, when no test
 * failed.  Returns false when there is no such sentence. */
bool flo_analysis_past_text(enum flo_measure measure, const struct flo_analysis_standing *standing,
                            char *out);
/* Writes the newest finding of a rule in a phase. */
void flo_analysis_say(const struct flo_analysis *analysis, uint32_t rule, uint32_t phase,
                      uint32_t segments, char *out);
/* Writes a sentence about the rule that decided, or for which the phase waits
 * (is_awaited). */
void flo_analysis_because(const struct flo_analysis *analysis, uint32_t rule, uint32_t phase,
                          uint32_t segments, bool is_awaited, char *out);
/* Writes one line: the finding, the number of devices, and the limit. */
void flo_analysis_text(enum flo_measure measure, const struct flo_analysis_row *row,
                       const char *segment_or_null, char *out);
/* Gets the shown effect of a row with its 95 % interval, in % or as a ratio of
 * rates; infinite: no bound.  Returns false when the row has none. */
bool flo_analysis_effect(const struct flo_analysis_row *row, double *value, double *low,
                         double *high);

#endif
