/* Study: the statistical gates of a rollout.
 *
 * A study compares updated devices with controls: devices of the same segment
 * that still run their old release.  Its rules come from a preset and from the
 * rollout's own words.  The evidence is sums by segment and measure; the
 * verdict of a phase follows from rules, evidence and what was found before in
 * that phase.  Fail may come at any block; pass only at a look, when the soak
 * is over and at its doublings.  A change of a speed or of memory is proven to
 * be small by all waves of the rollout (slices/pooled.h).  Pure. */
#ifndef FLOTILLA_SERVER_STUDY_H
#define FLOTILLA_SERVER_STUDY_H

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
#include "server-stub/core/gate/study/measures.def"
#undef FLO_MEASURE
#undef FLO_MEASURE_FIELD
    FLO_MEASURE_COUNT
};
struct flo_measure_fact {
    const char *word;
    enum flo_statistic_kind kind;
    int reading; /* reading of a RATIO; else -1 */
    const char *title;
    const char *per;
};
const struct flo_measure_fact *flo_measure_fact(enum flo_measure measure);
bool flo_measure_parse(const char *word, enum flo_measure *out);

enum flo_preset {
#define FLO_PRESET(name, ...) FLO_PRESET_##name,
#define FLO_PRESET_PHASE(...)
#define FLO_PRESET_RULE(...)
#include "server-stub/core/gate/study/presets.def"
#undef FLO_PRESET
#undef FLO_PRESET_PHASE
#undef FLO_PRESET_RULE
    FLO_PRESET_COUNT,
    FLO_PRESET_NONE = FLO_PRESET_COUNT
};
/* Up to and with phase `index`, of a fleet of so many members of which
 * `hold_out` keep their release.  false: the preset has no such phase. */
struct flo_preset_phase {
    const char *name;
    uint32_t devices;
    uint64_t soak_ms;
};
bool flo_preset_phase(enum flo_preset preset, uint32_t index, uint32_t members, uint32_t hold_out,
                      struct flo_preset_phase *out);

#define FLO_FLEET_MIN 200 /* members; smaller fleets have no hold-out */
/* Devices that keep their release: a share, at least 50 and at most 500. */
uint32_t flo_hold_out(double share_pct, uint32_t members);

#define FLO_CRITICAL_LAST 254  /* in the last phase */
#define FLO_CRITICAL_NEVER 255 /* a rule that may only fail */
#define FLO_PROVE_PHASES_MAX 16
struct flo_study_rule {
    enum flo_measure measure;
    double limit; /* %, or a ratio of rates */
    double floor;
    double prove[FLO_PROVE_PHASES_MAX];
    uint32_t prove_count; /* the last stands for later phases */
    double weight;
    uint32_t critical_from; /* from 1, or one of the two above */
    uint64_t devices_min;
    uint64_t controls_min;
    double exposure_min;
    uint64_t from_ms; /* time after the swap, of a LEAK */
    enum flo_on_fail action;
    bool has_action;
};
struct flo_study_rules {
    enum flo_preset preset; /* NONE: only rules of its own, if any */
    bool is_alarm;          /* nothing has to pass */
    struct flo_study_rule rules[FLO_MEASURE_COUNT];
    uint32_t count;
    uint32_t cover; /* the phase, from 1, that is a wave of the one after it and
                       proves as much as the one before it; 0: none */
    double hold_out_pct;
    uint64_t watch_ms; /* length of the hold-out, after the last phase */
    double failed_pct; /* the preset's limit of the gate `failed` */
    bool says_failed;  /* the rollout gave that limit itself */
};
/* The rules of a preset. */
void flo_study_preset(enum flo_preset preset, struct flo_study_rules *out);
/* Can each rule fail?  Asked of new words alone: stored ones are read as they
 * were made.  FLO_E_REST_MEANING names the gate. */
FLO_MUST_USE int flo_study_rules_check_sense(const struct flo_study_rules *rules,
                                             struct flo_err *err);
/* Read the study's members of a rollout's `gates`: "preset", "alarm_only",
 * "hold_out_pct", "watch_ms", and a member for each measure, false: without it.
 * NULL: none.
 *
 * FLO_E_REST_SCHEMA and FLO_E_REST_UNKNOWN as flo_gates_parse. */
FLO_MUST_USE int flo_study_parse(const json_t *gates_or_null, struct flo_study_rules *out,
                                 struct flo_err *err);
/* Is this member of `gates` the study's? */
bool flo_study_has_word(const char *word);
void flo_study_words(const char **out, size_t *count); /* 24 fit */

/* ---- evidence ---- */

/* Devices far above their own past: no base is needed (slices/plain.h). */
struct flo_study_above {
    struct flo_plain_arm treated, control;
};
/* Latency, memory and errors have it. */
bool flo_study_has_above(enum flo_measure measure);

/* The effect that people read, never clipped (slices/told.h). */
struct flo_study_told {
    struct flo_told effect;    /* effect of a RATIO or a LEAK */
    struct flo_told_rate rate; /* rate of errors */
};

/* Devices that crashed soon after their swap, in any phase, with their own past
 * (slices/crash.h). */
struct flo_study_crash {
    struct flo_crash_arm treated, control, past;
    /* Devices that crashed at all, of all members before and of controls since,
     * and the hours of each until then: how often one begins to crash. */
    double first_devices, first_hours;
};
/* A device that crashed in so many of its hours. */
void flo_study_crash_first(struct flo_study_crash *crash, double crashes, double hours);

enum flo_slice_hold {
    FLO_SLICE_HELD,
    FLO_SLICE_ASKED, /* until a person answers */
    FLO_SLICE_LET_GO /* a person said that it goes on there */
};
/* A label=value at which a speed is worse (slices/scan.h), or errors or crashes
 * come (slices/count_scan.h). */
#define FLO_STUDY_SLICES_MAX 8
#define FLO_SLICE_TEXT 96 /* a part of a longer name, and its checksum */
struct flo_study_slice {
    char name[FLO_SLICE_TEXT];  /* "site=lyon": what is held */
    char found[FLO_SLICE_TEXT]; /* the wider slice that it was found in; "" */
    enum flo_measure measure;
    bool is_culprit; /* else nothing can tell it from the site itself */
    bool is_asked;   /* ... but it came with each device's own swap: no device
                        there gets the release until a person looked */
    uint32_t members;
    uint32_t updated, far, controls;
    double far_controls; /* errors and crashes: mean over waves */
    double ln_e, threshold;
    struct flo_told told; /* effect on a speed */
    bool has_elsewhere;
    double elsewhere; /* other updated devices: logarithm of a ratio */
};
/* One that changed with its controls: the site, not the release. */
struct flo_study_changed {
    char name[FLO_SLICE_TEXT];
    enum flo_measure measure;
    double shift;
    bool has_both; /* the updated devices moved with it */
};
/* A device of a slice that people are told of. */
#define FLO_STUDY_DEVICES_MAX 100 /* devices of a slice: the farthest */
struct flo_study_device {
    char device[37];
    uint8_t row;  /* index of a row; FLO_STUDY_SLICES_MAX + i: of changed */
    uint8_t wave; /* wave of its swap, from 1; 0: it has the old release */
    bool has_effect;
    double effect; /* logarithm of a ratio: its own change, less the median of
                      the others there */
};
struct flo_study_slices {
    struct flo_study_slice rows[FLO_STUDY_SLICES_MAX];
    uint32_t count;
    struct flo_study_changed changed[FLO_STUDY_SLICES_MAX];
    uint32_t changed_count;
    const struct flo_study_device *devices; /* the asker's */
    size_t device_count;
};
/* The end of a slice in its rollout. */
enum flo_slice_end {
    FLO_END_TOLD, /* nothing */
    FLO_END_HELD, /* what is there stays there */
    FLO_END_BACK, /* what is there goes back */
    FLO_END_ALL   /* too large: it is a matter of the whole rollout */
};
const char *flo_slice_end_word(enum flo_slice_end end);

#define FLO_SEGMENT_TEXT 96
struct flo_study_segment {
    char name[FLO_SEGMENT_TEXT];
    uint32_t members;
    struct flo_statistic_arms arms[FLO_MEASURE_COUNT];
    struct flo_study_above above[FLO_MEASURE_COUNT];
};
/* A slice with one or two updated devices, which are far worse than the others
 * there: it asks for more of them. */
#define FLO_STUDY_PROBES_MAX 5
struct flo_study_probe {
    char device[37];           /* one of those */
    char name[FLO_SLICE_TEXT]; /* "site=lyon" */
    bool is_count;             /* far above its own past in errors or crashes */
    enum flo_measure measure;  /* then: which */
    double least;              /* else ln of how much more than the controls there */
};
struct flo_study_evidence {
    uint32_t phase; /* phase in which it was gathered, from 0 */
    uint32_t block; /* that ended */
    uint64_t at_ms;
    uint32_t treated; /* devices, in all segments */
    uint32_t controls;
    uint16_t few_sites; /* segments whose updated devices stand at too few
                           sites to be compared, a bit each */
    struct flo_study_probe probes[FLO_STUDY_PROBES_MAX]; /* largest first */
    uint32_t probe_count;
    /* Members of both arms with a request of that kind, for a RATIO. */
    uint32_t readers[FLO_MEASURE_COUNT];
    /* Effects over all segments. */
    struct flo_study_told told[FLO_MEASURE_COUNT];
    struct flo_study_crash crash; /* likewise */
    /* Devices that swapped in this phase, against their controls. */
    struct flo_pooled_sums wave[FLO_READING_COUNT];
    struct flo_study_slices slices;
    uint32_t segment_count;
    struct flo_study_segment segments[FLO_SEGMENTS_MAX];
};

/* ---- verdict ---- */

/* Proof of a look that a speed hardly changed, by all waves so far.  A copy of
 * their sums stands with it. */
#define FLO_STUDY_WAVES_MAX FLO_PROVE_PHASES_MAX /* phases */
struct flo_study_proof {
    bool is_judged;
    uint32_t count; /* waves, the last one is of this phase */
    struct flo_pooled_sums waves[FLO_STUDY_WAVES_MAX];
    struct flo_pooled_result result;
};
/* The verdict of `result` at a look, where its test does not fail. */
void flo_study_prove(const struct flo_ratio_rule *rule, struct flo_study_proof *proof,
                     struct flo_statistic_result *result);
/* Sums by their names, new reference, and back.  false: they cannot be. */
json_t *flo_study_sums_json(const struct flo_pooled_sums *sums);
bool flo_study_sums_read(const json_t *json, struct flo_pooled_sums *out);

/* A rule on one segment, or on all of them. */
#define FLO_SEGMENT_ALL UINT32_MAX
struct flo_study_row {
    bool is_tested;
    struct flo_statistic_rule rule;
    struct flo_statistic_result result;
    struct flo_study_told told; /* effect over all segments; else none */
};
struct flo_study_steep {
    /* Arms of all segments that are not excluded. */
    struct flo_study_above arms;
    enum flo_plain_verdict verdict;
};
struct flo_study_soon { /* crashes, soon after the swap */
    struct flo_study_crash arms;
    struct flo_crash_result result;
};
struct flo_study_results {
    struct flo_study_row all[FLO_MEASURE_COUNT]; /* by place among the rules */
    struct flo_study_steep steep[FLO_MEASURE_COUNT];
    struct flo_study_soon soon; /* for the rule of crashes */
    /* Proofs of speeds and memory. */
    struct flo_study_proof proofs[FLO_MEASURE_COUNT];
    struct flo_study_row segments[FLO_MEASURE_COUNT][FLO_SEGMENTS_MAX];
};
/* The newest finding of a rule in the present phase. */
struct flo_study_standing {
    struct flo_statistic_result result; /* newest result of all */
    struct flo_study_steep steep;
    struct flo_study_soon soon;
    struct flo_study_told told;
    enum flo_verdict verdict; /* a pass at an earlier look stays */
    bool has_result;
};
struct flo_study_state {
    uint32_t looks; /* taken in this phase */
    uint32_t block; /* block of the newest evidence */
    uint32_t controls, treated;
    enum flo_phase_verdict verdict;
    uint32_t rule;    /* that fails, or is waited for; FLO_SEGMENT_ALL: none */
    uint32_t segment; /* in which it fails; FLO_SEGMENT_ALL */
    char segment_name[FLO_SEGMENT_TEXT];
    struct flo_study_row named; /* the test of that rule and segment */
    uint16_t excluded;          /* segments, a bit each: kept over phases */
    uint16_t excludes;          /* those that fail alone now */
    /* Measures with few sites in the newest evidence. */
    uint16_t few_sites;
    uint16_t unread; /* speeds that no device of the newest evidence has,
                        while it has another: a bit each; not judged */
    uint16_t beyond; /* events that are too rare for the phase to prove
                        anything: a bit each; they only fail */
    /* Slices that get the release no more, or not until a person said so: kept
     * over phases. */
    char held[FLO_STUDY_SLICES_MAX][FLO_SLICE_TEXT];
    uint8_t held_as[FLO_STUDY_SLICES_MAX]; /* enum flo_slice_hold */
    uint32_t held_count;
    uint16_t further;                     /* rules that are to blame too, once one fails: a bit
                                             each (Holm) */
    bool is_alarmed;                      /* while the hold-out is watched */
    uint8_t passed_in[FLO_MEASURE_COUNT]; /* the last phase before this one in
                                             which the rule passed, from 1; 0:
                                             none */
    struct flo_study_standing standing[FLO_MEASURE_COUNT];
    /* Sums of each phase, as its evidence was last: kept over phases, until a
     * segment goes back. */
    struct flo_pooled_sums waves[FLO_STUDY_WAVES_MAX][FLO_READING_COUNT];
};
struct flo_study {
    struct flo_study_rules rules;
    enum flo_on_fail on_fail; /* where a rule does not say */
    uint64_t block_ms;        /* the shortest soak */
    /* The model whose requests the release shares, with which each device is
     * compared; empty: with devices that wait. */
    char split_of[FLO_NAME_MAX + 1];
    /* Spread of a control's difference, as seen last; 0: not yet. */
    double spread;
    struct flo_study_state state;
};

/* The moment of a phase in which evidence comes. */
struct flo_study_moment {
    uint32_t phase; /* from 0 */
    bool is_last;
    bool is_plain;   /* no device is left as a control */
    bool is_watch;   /* the hold-out is watched: an alarm, and nothing else */
    double soaked_s; /* below 0: devices are under way */
    double soak_s;
};
/* Sight: what a phase can find, and the odds that it proves a release without
 * effect, before it begins. */
#define FLO_SPREAD_USUAL 0.084 /* drift of 5 %, and noise */
struct flo_study_crowd {
    uint32_t updated;  /* devices of the phase */
    uint32_t controls; /* left once it is updated */
    /* Updated devices that are compared with a few readings. */
    uint32_t thin;
    double hours; /* hours of soak */
};
struct flo_study_sight {
    bool has_find;
    double finds_pct; /* smallest change that is found in 95 % of cases */
    double odds;      /* odds of the proof, by the waves so far */
    double prove_pct; /* that has to be proven */
    /* Where the odds are below FLO_STUDY_ODDS_MIN: either would do. */
    double helps_pct;
    uint32_t helps_controls; /* 0: no number of them would */
};
/* `crowds` has phases up to this one.  false: the rule is of no speed and not
 * of memory, or there is nobody to compare. */
bool flo_study_sees(const struct flo_study *study, uint32_t rule, uint32_t phase, uint32_t segments,
                    const struct flo_study_crowd *crowds, struct flo_study_sight *out);
/* Events of a fleet, as they were. */
struct flo_study_past {
    double errors, requests;
    double blocks;         /* in which devices were heard, all together */
    double crashes, hours; /* hours with one; hours heard */
};
/* A finding of the rules of errors, crashes and leaks. */
struct flo_study_seen {
    bool has_find;
    double finds; /* errors a request; share of devices that crash; % an hour */
    double usual; /* the same without effect */
    double hours; /* after the swap */
};
/* The smallest one that a phase finds in 95 % of cases.  false: another rule,
 * nobody to compare, or the past says nothing of it. */
bool flo_study_sees_events(const struct flo_study *study, uint32_t rule, uint32_t phase,
                           uint32_t segments, const struct flo_study_crowd *crowds,
                           const struct flo_study_past *past, struct flo_study_seen *out);
/* A site of so many members, of which so many are updated. */
struct flo_study_site {
    uint32_t members, updated;
    uint32_t sites; /* sites with 3 members and more */
    uint32_t all;   /* members of all sites */
};
/* The smallest change in % that the scan finds there in 95 % of cases;
 * infinite: none. */
double flo_study_finds_at(const struct flo_study *study, uint32_t rule,
                          const struct flo_study_site *site);
bool flo_study_is_speed(enum flo_measure measure);
/* The longest soak, in soaks; then a person is asked. */
#define FLO_SOAKS_MAX 8

struct flo_study_finding {
    enum flo_phase_verdict verdict;
    uint32_t look;                        /* that was taken, or FLO_LOOK_NONE */
    uint16_t excludes;                    /* segments that fail alone, and hold fewer than half of
                                             the members: a bit each */
    uint16_t holds;                       /* slices of the evidence that are to be held and are not
                                             yet, a bit each */
    uint8_t ends[FLO_STUDY_SLICES_MAX];   /* enum flo_slice_end of its rows */
    uint8_t probed[FLO_STUDY_PROBES_MAX]; /* devices that a probe brought */
    uint16_t changed;                     /* rules to be told of, a bit each: their verdict changed,
                                             or this was a look */
};
/* These segments go back: waves are summed up again without them. */
void flo_study_exclude(struct flo_study *study, uint16_t segments);
/* The place of a slice among those that are held; of one that is not, the next
 * free one, or FLO_STUDY_SLICES_MAX. */
uint32_t flo_study_held(const struct flo_study_state *state, const char *name);
/* How many wait for a person. */
uint32_t flo_study_asked(const struct flo_study_state *state);
/* A new phase, from 0, begins after another: looks begin again. */
void flo_study_phase(struct flo_study *study, uint32_t phase);
/* Judge a phase by new evidence. */
void flo_study_judge(struct flo_study *study, const struct flo_study_evidence *evidence,
                     const struct flo_study_moment *moment, struct flo_study_results *results,
                     struct flo_study_finding *out);
/* Does the rule of crashes fail by those soon after the swap, and not by its
 * test? */
bool flo_study_is_soon(const struct flo_study_standing *standing);
void flo_study_crash_judge(const struct flo_study_crash *arms, struct flo_study_soon *out);
/* Does the rule fail by devices far above their own past, and not by its
 * test? */
bool flo_study_is_steep(const struct flo_study_standing *standing);
/* Does a phase wait for this rule to pass, as far as is known before it has
 * evidence? */
bool flo_study_is_critical(const struct flo_study_rules *rules, uint32_t rule, uint32_t phase,
                           bool is_last);
/* ... and by the newest evidence: a speed without any request is not waited
 * for; that of batch requests stands in for it.  Nor are crashes, where so few
 * devices cannot prove anything in the longest soak. */
#define FLO_STUDY_ODDS_MIN 0.97 /* odds for a release without effect */
bool flo_study_awaits(const struct flo_study *study, uint32_t rule, uint32_t phase, bool is_last);
/* The rule as it is tested in a phase: for all, or for one of `segments`. */
void flo_study_test(const struct flo_study_rules *rules, uint32_t rule, uint32_t phase,
                    uint32_t segments, bool is_all, struct flo_statistic_rule *out);

/* ---- the record ---- */

/* An `evidence` event, new reference; NULL without memory:
 *
 *   {"formulas","rollout","phase","block","at_ms","look","soaked_s","soak_s",
 *    "mode","segments":[{"name","members"}],"rows":[{"gate","kind","segment",
 *    "critical","rule","treated","control","result","proof"}],"verdict",
 *    "gate"}
 *
 * `segment` null stands for all of them; such a row has no arms, they are those
 * of the segments. */
json_t *flo_study_record(const struct flo_study *study, const char *rollout,
                         const struct flo_study_evidence *evidence,
                         const struct flo_study_moment *moment,
                         const struct flo_study_results *results,
                         const struct flo_study_finding *finding);
/* Members "slices", "moved" and "probed", where there are any. */
void flo_study_record_slices(const struct flo_study_evidence *evidence,
                             const struct flo_study_finding *finding, json_t *record);
/* Evaluate a record again.  *worst is the largest difference of a number.
 * `on_row`, when there is one, gets each rule: the verdict that stood, and the
 * finding as a sentence.
 *
 * FLO_E_GATE_EVIDENCE: it cannot be read, or a verdict differs. */
typedef void (*flo_study_row_fn)(void *context, enum flo_measure measure, const char *stands,
                                 const char *text);
FLO_MUST_USE int flo_study_replay(const json_t *record, flo_study_row_fn on_row, void *context,
                                  double *worst, struct flo_err *err);

/* ---- words ---- */

/* Bytes of each `out`. */
#define FLO_STUDY_TEXT 400
/* A phase whose proof has small odds, and the remedy. */
void flo_study_sight_text(const char *phase, const char *title, const struct flo_study_sight *sight,
                          char *out);
/* "errors on 1.3 % of requests, not 0.2 %". */
void flo_study_seen_text(enum flo_measure measure, const struct flo_study_seen *seen, char *out);
/* "+65.0 %", and from 1.8 times on "2.0 times". */
void flo_study_effect_text(double effect, char *out);
/* Where a release is worse, and what becomes of it. */
void flo_study_slice_text(const struct flo_study_slice *slice, enum flo_slice_end end, char *out);
/* A label of the scan, and how much of it is left out. */
struct flo_study_scan {
    const char *label;
    uint32_t values; /* that are scanned */
    uint32_t left_values, left_devices;
};
void flo_study_scan_text(const struct flo_study_scan *scan, char *out);
/* A device that asks for `count` more of its slice. */
void flo_study_probe_text(const struct flo_study_probe *probe, uint32_t count, char *out);
void flo_study_changed_text(const struct flo_study_changed *changed, char *out);
/* Titles of the rules in `further`, ", " between; "" for none. */
void flo_study_further(const struct flo_study *study, char *out);
/* A sentence about the own past of the devices, where no test failed.  false:
 * there is none. */
bool flo_study_past_text(enum flo_measure measure, const struct flo_study_standing *standing,
                         char *out);
/* The finding of a rule that stands in a phase. */
void flo_study_say(const struct flo_study *study, uint32_t rule, uint32_t phase, uint32_t segments,
                   char *out);
/* The rule that decided, or that is waited for, as a sentence.  is_awaited: the
 * phase waits for it to pass. */
void flo_study_because(const struct flo_study *study, uint32_t rule, uint32_t phase,
                       uint32_t segments, bool is_awaited, char *out);
/* One line: what was found, on how many, and what it is measured against. */
void flo_study_text(enum flo_measure measure, const struct flo_study_row *row,
                    const char *segment_or_null, char *out);
/* The told effect of a row and its 95 % interval, infinite where there is none:
 * in %, or as a ratio of rates.  false: the row has none. */
bool flo_study_effect(const struct flo_study_row *row, double *value, double *low, double *high);

#endif
