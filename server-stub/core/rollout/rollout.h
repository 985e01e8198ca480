/* Rollout: the operator's intent for a group of devices, as a pure step.
 *
 * A rollout brings a group to a release phase by phase.  A phase is a range of
 * hash buckets, fixed when the rollout starts.  No list of names has to be
 * kept, and a device that joins later falls into its place.  Events may come
 * twice, late and in any order: a device's execution only moves forward and
 * ends once.
 *
 * The step changes the struct and lists the shell's work in `actions`, in that
 * order.  No clock, no heap, no log: the event carries the time, the shell
 * gives the array of members and grows it before it is full. */
#ifndef FLOTILLA_SERVER_ROLLOUT_H
#define FLOTILLA_SERVER_ROLLOUT_H

#include <flotilla/base.h>
#include <flotilla/proto.h>

#include "server-stub/core/failure/failure.h"
#include "server-stub/core/gate/study/study.h"
#include "server-stub/core/pace/window.h"

#define FLO_ROLLOUT_PHASES_MAX 16
#define FLO_ROLLOUT_REASON 1024 /* bytes of a sentence for people */
#define FLO_ROLLOUT_ACTIONS_MAX 128
#define FLO_ROLLOUT_MEMBERS_MAX 200000
#define FLO_ROLLOUT_BACK_BY_NAME_MAX 100 /* devices, of a covered label */

enum flo_rollout_state {
#define FLO_ROLLOUT_STATE(name, word, active, meaning, next) FLO_ROLLOUT_##name,
#include "server-stub/core/rollout/rollout_states.def"
#undef FLO_ROLLOUT_STATE
    FLO_ROLLOUT_STATE_COUNT
};
const char *flo_rollout_state_word(enum flo_rollout_state state);
/* The step that helps, with MODEL and DEVICE to be filled in; "": none. */
const char *flo_rollout_state_next(enum flo_rollout_state state);
bool flo_rollout_state_parse(const char *word, enum flo_rollout_state *out);
/* true: it still changes with time, ticks are wanted. */
bool flo_rollout_state_is_active(enum flo_rollout_state state);

enum flo_phase_state {
    FLO_PHASE_WAITING,
    FLO_PHASE_RUNNING,
    FLO_PHASE_PASSED,
    FLO_PHASE_FAILED,
    FLO_PHASE_PROMOTED, /* an operator left it; gates look away */
    FLO_PHASE_HELD      /* all ended, and a gate is not sure: ask */
};
const char *flo_phase_state_word(enum flo_phase_state state);

/* Why a device without a bad end counts as failed for now. */
enum flo_lapse {
    FLO_LAPSE_NONE,
    FLO_LAPSE_SILENT, /* has or tries the release, and is not heard */
    FLO_LAPSE_OVERDUE /* is heard, but stays in one state for too long */
};

/* So many devices of one label value may be under way together. */
#define FLO_LIMITS_MAX 4
struct flo_rollout_limit {
    char label[FLO_NAME_MAX + 1];
    uint32_t most;
};
/* A zone of members: the shell keeps its offset right. */
#define FLO_ZONES_MAX 255
struct flo_rollout_zone {
    int32_t offset_s;
    bool is_known;
};

/* Facts about a device from its labels, as numbers that the shell gives out. */
struct flo_rollout_place {
    uint8_t zone;                   /* in zones[], from 1; 0: nobody knows its zone */
    uint32_t stratum;               /* number of the labels that spread phases, or of the
                                       one that the rollout covers */
    uint32_t site;                  /* checksum of its label `site`; 0: it has none */
    uint32_t slots[FLO_LIMITS_MAX]; /* in busy[], from 1; 0: without the label */
};

/* A device of a slice that gets the release no more: it goes back, or what it
 * has stays there. */
enum flo_rollout_held { FLO_HELD_NOT, FLO_HELD_BACK, FLO_HELD_THERE };

/* A device in the rollout.  Sorted by device id. */
struct flo_rollout_member {
    char device[37];
    uint8_t phase;    /* FLO_ROLLOUT_PHASES_MAX: in none */
    uint8_t state;    /* enum flo_execution */
    uint8_t lapse;    /* enum flo_lapse */
    uint8_t cause;    /* error of a bad end: in causes[], from 1; 0: unknown */
    bool is_online;   /* as far as we know */
    bool is_away;     /* not there before it tried the release: it waits, does
                         not count, and follows when it comes back */
    bool is_waiting;  /* ... says so itself: for mains, a cool, an idle or an
                         unmetered device; is_away with it */
    bool is_back;     /* a rollback waits for it no more: it left the release,
                         or said that it has nothing to go back to */
    bool is_dirty;    /* changed since the shell stored it */
    bool has_row;     /* the shell stored it by itself, not with others */
    bool is_ready;    /* nothing but the pace is between it and its turn */
    bool is_fresh;    /* told in this step */
    bool is_probe;    /* a probe brought it into its phase */
    bool runs_other;  /* ended well, and by its report something newer has
                         followed: for people */
    uint8_t segment;  /* place in segments[] */
    uint8_t held;     /* enum flo_rollout_held */
    uint8_t held_of;  /* by these slices, a bit for each place of the list; 0:
                         rows of before do not say it */
    uint8_t retries;  /* attempts that ended badly and did not count */
    uint32_t bucket;  /* by its hash, or that of another with which it changed
                         places to spread a phase, or to cover a label */
    uint32_t attempt; /* number of the execution in `state`; 0: none */
    struct flo_rollout_place place;
    /* For people: what its newest execution fetches, and the files without any
     * delta; 0: it has not said. */
    uint64_t fetched_bytes, full_bytes;
    uint64_t neighbour_bytes; /* part of fetched_bytes: from devices close by */
    uint64_t heard_at_ms;
    uint64_t since_at_ms;   /* start of `state`, for people */
    uint64_t watched_at_ms; /* start of `state`, for its deadline: our own
                               absence and pauses do not count */
};

struct flo_rollout_phase {
    char name[FLO_NAME_MAX + 1];
    /* As asked, exactly one of both; sizes are of all devices up to and with
     * this phase. */
    uint32_t devices;
    double share_pct;
    uint32_t devices_min;   /* at least, whatever the share says; 0: any */
    uint32_t devices_max;   /* at most; 0: any */
    bool is_spread;         /* the phase's devices are picked over the strata */
    uint64_t soak_ms;       /* wait after the last device ended well */
    bool is_until_promoted; /* gates may stop the phase, and never leave it */
    bool is_hold_out;       /* these keep their release until the others were
                               watched for ... */
    uint64_t watch_ms;
    double starts_per_s;     /* 0: as the rollout's */
    double ramp_factor;      /* factor of the pace, after ... */
    uint32_t ramp_successes; /* ... so many good ends each; 0: none */
    uint32_t concurrent_max; /* devices under way together; 0: any */
    /* Fixed at the start: [from, to). */
    uint32_t bucket_from;
    uint32_t bucket_to;
    uint32_t told_to; /* up to here devices were told, at the pace */
    enum flo_phase_state state;
    uint64_t started_at_ms;
    uint64_t settled_at_ms; /* last end of an execution */
    uint64_t passed_at_ms;  /* 0: it did not */
    uint64_t told_at_ms;    /* the pace's account is paid up to here */
    /* Counts of the members: */
    uint32_t members;
    uint32_t away;
    uint32_t silent;
    uint32_t overdue;
    uint32_t excused; /* rejected because the release is not for them */
    uint32_t struck;  /* the release itself failed there */
    uint32_t taken;   /* taken back by an order, and for no fault */
    uint32_t due;     /* queued, and not away: their turn comes */
    uint32_t failures[FLO_FAILURES];
    uint32_t counts[FLO_EXECUTION_COUNT];
};

#define FLO_ROLLOUT_CAUSES_MAX 31
struct flo_rollout_cause {
    const char *id; /* error id, or why without one; in the rollout */
    uint32_t devices;
    size_t member; /* one of them */
};

struct flo_rollout {
    char id[FLO_NAME_MAX + 1];
    char release[2 * FLO_NAME_MAX + 2]; /* model@version, for people */
    enum flo_rollout_state state;
    char reason[FLO_ROLLOUT_REASON];
    uint64_t created_at_ms;
    uint64_t since_at_ms; /* begin of `state` */
    uint32_t edits;       /* changes of what was asked */
    uint32_t phase;       /* index of the running phase */
    uint32_t phase_count;
    struct flo_rollout_phase phases[FLO_ROLLOUT_PHASES_MAX];
    struct flo_gate_rule gates[FLO_GATES_MAX]; /* `failed` first */
    uint32_t gate_count;
    /* For each gate that needs evidence: its last result in this phase. */
    struct flo_gate_result compared[FLO_GATES_MAX];
    /* The numbers with which a gate on a share broke: its verdict stays while
     * the phase counts as failed. */
    struct flo_gate_counts broken;
    bool has_broken;
    struct flo_study study; /* statistical gates; no rule: none */
    /* Hardware class and variant of the members, fixed at the start. */
    char segments[FLO_SEGMENTS_MAX][FLO_SEGMENT_TEXT];
    uint32_t segment_count;
    enum flo_on_fail on_fail;
    bool pauses_when_unsure; /* on_inconclusive: pause */
    bool holds_for_person;   /* a gate that can never decide holds its phase */
    struct flo_abort_rule aborts[FLO_ABORTS_MAX];
    uint32_t abort_count;
    double starts_per_s;     /* devices told; 0: all at once */
    uint32_t concurrent_max; /* devices under way together; 0: any */
    struct flo_window window;
    struct flo_rollout_zone zones[FLO_ZONES_MAX];
    struct flo_rollout_limit limits[FLO_LIMITS_MAX];
    uint32_t limit_count;
    uint32_t *busy; /* under way per slot: the shell's array */
    size_t busy_count;
    uint32_t retries_max[FLO_FAILURES];
    uint64_t retry_wait_ms;
    int64_t wall_ahead_ms; /* the wall clock less the cores' time */
    uint32_t approvals_needed;
    uint32_t approvals;
    uint64_t start_at_ms;     /* wall clock; 0: at once */
    uint64_t expires_at_ms;   /* wall clock; 0: never */
    uint64_t approve_by_ms;   /* wall clock: until then people may; 0: ever */
    bool pauses_when_expired; /* else it is aborted */
    bool is_covered;          /* members are ordered over a label's values */
#define FLO_ROLLOUT_PROBED_MAX 64
    uint32_t probed[FLO_ROLLOUT_PROBED_MAX]; /* slices that were probed, as
                                                checksums of their names */
    uint32_t probed_count;
    bool is_snapshot;                           /* who joins after the begin is no member */
    uint64_t put_off_ms;                        /* scheduled: not before this, wall clock */
    uint64_t barred_until_ms;                   /* wall clock: no device starts; 0: it may */
    uint64_t deadlines_ms[FLO_EXECUTION_COUNT]; /* [state]; 0: none */
    uint64_t soak_ms;                           /* on each device, at least; 0: none */
    char causes[FLO_ROLLOUT_CAUSES_MAX][FLO_NAME_MAX + 1];
    uint32_t cause_count;
    struct flo_rollout_member *members; /* the shell's array */
    size_t member_count;
    size_t member_capacity;
    size_t awaited; /* a member that the way back waited for lately: a hint */
    struct flo_rollout_left {
        bool is_known;
        uint32_t awaited;   /* they are there: an answer comes */
        uint32_t silent;    /* they do not answer, and may have the release */
        uint32_t unreached; /* they do not answer, and never took the order */
        uint32_t kept;      /* they serve it, with nothing to go back to */
    } left;                 /* after the way back: members that are left */
};

/* So long an execution must have stood still before a report that does not know
 * it ends it: messages of different topics may overtake each other. */
#define FLO_ROLLOUT_FORGOTTEN_MS 60000

/* Events, and their effects in each state: rollout_events.def, and
 * rollout_verbs.def for those that people ask for. */
enum flo_rollout_event_kind {
#define FLO_ROLLOUT_EVENT(name, ...) FLO_ROLLOUT_EVENT_##name,
#include "server-stub/core/rollout/rollout_events.def"
#undef FLO_ROLLOUT_EVENT
#define FLO_ROLLOUT_VERB(name, ...) FLO_ROLLOUT_EVENT_##name,
#define FLO_ROLLOUT_READ(...)
#include "server-stub/core/rollout/rollout_verbs.def"
#undef FLO_ROLLOUT_VERB
#undef FLO_ROLLOUT_READ
    FLO_ROLLOUT_EVENT_COUNT
};
const char *flo_rollout_event_word(enum flo_rollout_event_kind kind);

/* Evidence of a study, and how it was judged: for the record. */
struct flo_rollout_study {
    struct flo_study_evidence evidence;
    struct flo_study_moment moment;
    struct flo_study_results results;
    struct flo_study_finding finding;
    struct flo_study study; /* as it was judged */
    const uint8_t *slices;  /* [member_count] a bit for each row of its slices;
                               NULL: there are none */
    const uint8_t *probes;  /* ... and for each of its probes; NULL likewise */
};

struct flo_rollout_event {
    enum flo_rollout_event_kind kind;
    uint64_t now_ms;
    const char *device;
    uint64_t wall_ms; /* 0: as now_ms */
    uint32_t bucket;
    uint32_t attempt;
    const struct flo_rollout_place *place; /* joined; NULL: nothing is known */
    enum flo_execution execution;
    bool is_online;     /* joined */
    bool is_superseded; /* joined: a newer rollout has it */
    uint8_t segment;    /* joined */
    uint8_t slices;     /* joined: of these in the list, a bit each */
    bool is_ordered;    /* back: by an order about this release, it says */
    bool is_aborted;    /* back: by the answer to an abort */
    bool is_current;    /* forgotten: it runs this release */
    bool is_overtaken;  /* forgotten: its desired holds something else */
    bool is_denied;     /* forgotten: it will not take this release */
    enum {              /* execution: for its surroundings */
           FLO_WAITS_UNSAID,
           FLO_WAITS_NO,
           FLO_WAITS_YES
    } waits;
    bool is_retained;  /* said once, not now: no device was heard */
    const char *note;  /* who, why, error id; may be NULL */
    uint64_t until_ms; /* put-off, barred: wall clock; 0: it ended */
    uint32_t gate;     /* evidence: place in gates[] */
    const struct flo_comparison *evidence;
    struct flo_rollout_study *study; /* study: in and out */
    const struct flo_rollout *draft; /* edit: as it is asked now */
    bool has_new_gates;              /* edit */
    const char *slice;               /* promote, rollback: of this one alone; NULL: of the
                                        whole rollout */
};

enum flo_rollout_action_kind {
    FLO_ROLLOUT_DO_STATE,   /* store and audit state and reason */
    FLO_ROLLOUT_DO_PHASE,   /* store and audit the phase */
    FLO_ROLLOUT_DO_ORDER,   /* sign `op` for the buckets, publish to the group */
    FLO_ROLLOUT_DO_DESIRED, /* put the newest order of `op` (and `phase`, when
                               it deploys) into desired of members that
                               flo_rollout_action_names */
    FLO_ROLLOUT_DO_RECALL,  /* sign a rollback for each of those that
                               flo_rollout_action_names, for it alone */
    FLO_ROLLOUT_DO_EACH,    /* sign `op` (of `phase`, when it deploys) for each
                               of those, for it alone */
    FLO_ROLLOUT_DO_MEMBER,  /* store members[member] */
    FLO_ROLLOUT_DO_MEMBERS, /* store all members that are dirty */
    FLO_ROLLOUT_DO_FORGET,  /* the event's device is no member any more */
    FLO_ROLLOUT_DO_RECORD,  /* store the study that came with the event */
    FLO_ROLLOUT_DO_VERDICT  /* gates[gate] says something else than before:
                               store the evidence that came with the event */
};
struct flo_rollout_action {
    enum flo_rollout_action_kind kind;
    int state; /* DO_STATE, DO_PHASE: the new one */
    enum flo_order_op op;
    uint32_t phase;
    uint32_t bucket_from;
    uint32_t bucket_to;
    uint32_t states;  /* bit per enum flo_execution */
    size_t member;    /* DO_MEMBER; DO_DESIRED, DO_EACH: this one only, or
                         SIZE_MAX */
    bool is_fresh;    /* only those that were told in this step */
    bool is_excluded; /* only those of excluded segments, and of slices that go
                         back; an abort: of slices that stay as they are */
    uint32_t gate;    /* DO_VERDICT */
};
/* `why`: the reason of a decision, also of none; a line for each, apart by line
 * feeds. */
#define FLO_ROLLOUT_WHY 2048
struct flo_rollout_actions {
    char why[FLO_ROLLOUT_WHY];
    size_t count;
    struct flo_rollout_action items[FLO_ROLLOUT_ACTIONS_MAX];
};

/* Is the member one of those that a DO_DESIRED or DO_RECALL is about? */
bool flo_rollout_action_names(const struct flo_rollout *rollout,
                              const struct flo_rollout_action *action, size_t member);

/* Check a draft: phases grow, the numbers are in range.
 * FLO_E_REST_SCHEMA names the phase. */
FLO_MUST_USE int flo_rollout_check(const struct flo_rollout *rollout, struct flo_err *err);
/* May it become like this draft?  FLO_E_REST_MEANING: phases that began would
 * have other devices.  FLO_E_REST_SCHEMA as above. */
FLO_MUST_USE int flo_rollout_may_edit(const struct flo_rollout *rollout,
                                      const struct flo_rollout *draft, struct flo_err *err);
/* Set the bucket ranges of a draft from its members; START does it too, a
 * plan (dry run) does only this.  A phase of so many devices counts those that
 * are online, or a canary might be one that is not there. */
void flo_rollout_divide(struct flo_rollout *rollout);
/* A device's way, as far as the policy knows it. */
struct flo_rollout_trip {
    uint64_t jitter_ms;
    uint64_t download_ms; /* 0: the policy does not bound the speed */
    uint64_t soak_ms;
    bool is_idle[FLO_ROLLOUT_PHASES_MAX]; /* nobody of the phase goes it */
};
struct flo_rollout_expected {
    uint32_t devices;
    uint32_t zoneless;  /* have a window, and nobody knows their zone */
    uint64_t begins_ms; /* wall clock, as those below */
    uint64_t told_ms;   /* the last device */
    uint64_t ends_ms;   /* the end of its soak too */
};
/* The time that each phase takes at least: nobody fails, nobody is away.  The
 * members are divided; `out` has room for all phases. */
void flo_rollout_expect(struct flo_rollout *rollout, const struct flo_rollout_trip *trip,
                        uint64_t wall_ms, struct flo_rollout_expected *out);
/* The deadlines of states at the controller.  The device has its own; these
 * come half a step (or a minute) later. */
void flo_rollout_deadlines(struct flo_rollout *rollout, const struct flo_policy *policy);
/* The first of several phases: one failure of the release stops it. */
bool flo_rollout_is_canary(const struct flo_rollout *rollout, uint32_t phase);

/* One step.  actions->count is set, also on failure (0 then).
 *
 * FLO_E_ROLLOUT_STATE  an operator's event that the state does not allow;
 *                      nothing changed
 * FLO_E_MEMORY         the array of members is full; nothing changed */
FLO_MUST_USE int flo_rollout_step(struct flo_rollout *rollout,
                                  const struct flo_rollout_event *event,
                                  struct flo_rollout_actions *actions, struct flo_err *err);

/* Would a step take the event now?  The same errors; nothing changes. */
FLO_MUST_USE int flo_rollout_may(const struct flo_rollout *rollout,
                                 enum flo_rollout_event_kind kind, struct flo_err *err);

/* True when the device refused to go back and still has the release.  The
 * rollout no longer waits for it; its last state stays. */
bool flo_rollout_member_stays(const struct flo_rollout_member *member);
/* True when its slice is held and it has nothing of the release: an answer for
 * the slice, or other labels, may bring it. */
bool flo_rollout_member_is_left_out(const struct flo_rollout_member *member);
/* Index of a device, or SIZE_MAX. */
size_t flo_rollout_find(const struct flo_rollout *rollout, const char *device);
/* The same for devices that are looked for in the order of their ids; *at is 0
 * before the first. */
size_t flo_rollout_find_next(const struct flo_rollout *rollout, const char *device, size_t *at);
/* Recompute phases' counts from the members (after loading). */
void flo_rollout_count(struct flo_rollout *rollout);
/* Numbers of its devices, for gates while `phase` is the present one. */
void flo_rollout_counts(const struct flo_rollout *rollout, uint32_t phase,
                        struct flo_gate_counts *out);
/* Ends of the phases that count, by the kind of failure. */
void flo_rollout_failures(const struct flo_rollout *rollout, struct flo_failure_counts *out);
/* Phases are spread, so members have buckets that are not of their hash: an
 * order for buckets must hold for all of them. */
bool flo_rollout_is_spread(const struct flo_rollout *rollout);
/* The member's segment alone is worse with the release: it went back, and gets
 * it no more in this rollout. */
bool flo_rollout_is_excluded(const struct flo_rollout *rollout,
                             const struct flo_rollout_member *member);
/* The last phase that updates; devices of a hold-out come after it. */
bool flo_rollout_study_is_last(const struct flo_rollout *rollout, uint32_t phase);
/* In the last phase: a slice that waits for a person's answer, by its name, so
 * the rollout does not complete; NULL: none. */
const char *flo_rollout_slice_waits(const struct flo_rollout *rollout);
/* The study's part in a phase.  Does it have to pass there? */
bool flo_rollout_study_waits(const struct flo_rollout *rollout, uint32_t phase);
/* The study passes, or has no say. */
bool flo_rollout_study_passes(const struct flo_rollout *rollout);
/* The members of a segment, by what they do for a study. */
enum flo_member_way flo_rollout_member_way(const struct flo_rollout_member *member);
/* The changes that a phase can see, with those before it. */
bool flo_rollout_sees(const struct flo_rollout *rollout, uint32_t phase,
                      struct flo_study_sight *out);
/* The next look at the present phase, from 1, and when it comes.  false:
 * devices are under way, or there is none. */
bool flo_rollout_next_look(const struct flo_rollout *rollout, uint32_t *look, uint64_t *at_ms);
/* The finding of a rule in the present phase as a sentence. */
void flo_rollout_study_text(const struct flo_rollout *rollout, uint32_t rule,
                            char *out); /* FLO_STUDY_TEXT */
/* ... and the rule that decided. */
void flo_rollout_study_because(const struct flo_rollout *rollout, uint32_t rule, bool is_awaited,
                               char *out); /* FLO_STUDY_TEXT */
/* Verdict of gates[gate] while `phase` is the present one.  A gate that needs
 * evidence gives the verdict of the last evidence. */
void flo_rollout_gate(const struct flo_rollout *rollout, uint32_t gate, uint32_t phase,
                      struct flo_gate_result *out);
/* Worst verdict of all gates: fail, else inconclusive, else pass.  *worst is
 * the gate that says it. */
enum flo_verdict flo_rollout_verdict(const struct flo_rollout *rollout, uint32_t phase,
                                     uint32_t *worst, struct flo_gate_result *result);
/* The thing that a rollout waits for, and when it looks at it again at the
 * latest, by the time of the cores.  `report_ms`: devices report so often.
 * false: it ended, and waits for nothing. */
#define FLO_ROLLOUT_NEXT 240
struct flo_rollout_next {
    char what[FLO_ROLLOUT_NEXT];
    uint64_t at_ms;
};
bool flo_rollout_next(const struct flo_rollout *rollout, uint64_t now_ms, uint64_t report_ms,
                      struct flo_rollout_next *out);
/* Until when a device is on trial at least; 0: it is not. */
uint64_t flo_rollout_soaks_until(const struct flo_rollout *rollout,
                                 const struct flo_rollout_member *member);
/* Devices on trial and the last end of their trials, or the phase's own soak
 * when all of them ended.  false: nothing soaks. */
struct flo_rollout_soak {
    uint32_t devices; /* 0: the whole phase does */
    uint64_t from_ms, until_ms;
};
bool flo_rollout_soak(const struct flo_rollout *rollout, uint32_t index,
                      struct flo_rollout_soak *out);
/* Stored evidence, after loading: its verdict counts again. */
void flo_rollout_remember(struct flo_rollout *rollout, uint32_t gate,
                          const struct flo_comparison *evidence);
/* An error id that a device names: ours as it is, "other" for a word that it
 * made up, NULL for none. */
const char *flo_rollout_cause_id(const char *id);
/* Place of an error id in causes[], from 1; 0 when the table is full. */
uint8_t flo_rollout_cause(struct flo_rollout *rollout, const char *id);
/* Why devices of started phases failed, most frequent first; how many. */
size_t flo_rollout_causes(const struct flo_rollout *rollout, struct flo_rollout_cause *out,
                          size_t max);
/* The same as text: "probe.golden 3, disk.full 1". */
void flo_rollout_causes_text(const struct flo_rollout *rollout, char *out, size_t bytes);

/* A step as text: the line of the event, an indented line per action.  Appends
 * to `out`; the same text is log, golden test and API. */
void flo_rollout_trace(const struct flo_rollout *rollout, const struct flo_rollout_event *event,
                       const struct flo_rollout_actions *actions, struct flo_buf *out);

#endif
