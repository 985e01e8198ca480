/* Rollout: the operator's intent for a group of devices, as a pure step.
 *
 * A rollout brings a group to a release phase by phase.  A phase is a range of
 * hash buckets, fixed when the rollout starts.  So no list of names has to be
 * stored, and a device that joins later has its phase.  Events may come twice,
 * late and in any order: a device's execution only moves forward and ends once.
 *
 * The step changes the struct and lists the shell's work in `actions`, in
 * order.  It uses no clock, heap or log.  The event carries the time.  The
 * shell owns the array of members, and grows it before it is full. */
#ifndef FLOTILLA_SERVER_ROLLOUT_H
#define FLOTILLA_SERVER_ROLLOUT_H

#include <flotilla/base.h>
#include <flotilla/proto.h>

#include "server-stub/core/failure/failure.h"
#include "server-stub/core/gate/analysis/analysis.h"
#include "server-stub/core/member/rule.h"
#include "server-stub/core/pace/window.h"

#define FLO_ROLLOUT_PHASES_MAX 16
#define FLO_ROLLOUT_REASON 1024 /* size of a rollout's reason in bytes */
#define FLO_ROLLOUT_ACTIONS_MAX 128
#define FLO_ROLLOUT_MEMBERS_MAX 200000
/* Largest number of devices that a rollout with a covered label rolls back by
 * single orders. */
#define FLO_ROLLOUT_BACK_BY_NAME_MAX 100

enum flo_rollout_state {
#define FLO_ROLLOUT_STATE(name, word, active, meaning, next) FLO_ROLLOUT_##name,
#include "server-stub/core/rollout/rollout_states.def"
    FLO_ROLLOUT_STATE_COUNT
};
const char *flo_rollout_state_word(enum flo_rollout_state state);
/* Returns a command that helps people in this state, with placeholders MODEL
 * and DEVICE; "": there is none. */
const char *flo_rollout_state_next(enum flo_rollout_state state);
bool flo_rollout_state_parse(const char *word, enum flo_rollout_state *out);
/* Returns true when the state still changes with time, so ticks are needed. */
bool flo_rollout_state_is_active(enum flo_rollout_state state);

enum flo_phase_state {
    FLO_PHASE_WAITING,
    FLO_PHASE_RUNNING,
    FLO_PHASE_PASSED,
    FLO_PHASE_FAILED,
    /* an operator promoted the phase, so its gates no longer count */
    FLO_PHASE_PROMOTED,
    /* all devices ended, and a gate is inconclusive: a person decides */
    FLO_PHASE_HELD
};
const char *flo_phase_state_word(enum flo_phase_state state);

/* Failure reason of a device that counts as failed for now, without a failed
 * end. */
enum flo_lateness {
    FLO_LATENESS_NONE,
    FLO_LATENESS_SILENT, /* the device has or tries the release, and is silent */
    /* the device sends messages, but is in one state for too long */
    FLO_LATENESS_OVERDUE
};

#define FLO_LIMITS_MAX 4
/* Limit on the devices of one label value that are under way together. */
struct flo_rollout_limit {
    char label[FLO_NAME_MAX + 1];
    uint32_t most;
};
#define FLO_ZONES_MAX 255
/* Time zone of members; the shell keeps its offset up to date. */
struct flo_rollout_zone {
    int32_t offset_s;
    bool is_known;
};

/* Facts from a device's labels, as numbers that the shell assigns. */
struct flo_rollout_place {
    uint8_t zone; /* index in zones[], from 1; 0: zone unknown */
    /* number that stands for the device's values of the labels that spread
     * phases, or of the covered label */
    uint32_t stratum;
    uint32_t site; /* checksum of the device's label `site`; 0: none */
    /* index in busy[] for each limit, from 1; 0: the device has no such
     * label */
    uint32_t slots[FLO_LIMITS_MAX];
};

/* State of a device in a held slice: it rolls back, or it keeps its release. */
enum flo_rollout_held { FLO_HELD_NOT, FLO_HELD_BACK, FLO_HELD_THERE };

/* Member: a device in the rollout.  Members are sorted by device id. */
struct flo_rollout_member {
    char device[37];
    uint8_t phase;    /* FLO_ROLLOUT_PHASES_MAX: in none */
    uint8_t state;    /* enum flo_execution */
    uint8_t lateness; /* enum flo_lateness */
    uint8_t cause;    /* index in causes[] of its failure, from 1; 0: unknown */
    bool is_online;   /* the device is online, according to its last report */
    /* the device is offline and has not tried the release.  It is not counted,
     * and updates when it reconnects */
    bool is_away;
    /* the device reported that it waits for mains power, a cool or idle device,
     * or an unmetered network; is_away is set too */
    bool is_waiting;
    /* a rollback no longer waits for the device: it left the release, or
     * reported that no earlier release exists */
    bool is_back;
    bool is_dirty; /* the member changed since the shell stored it */
    bool has_row;  /* the member is stored in its own row, not in the common text */
    bool is_ready; /* only the pace still delays the member's order */
    bool is_fresh; /* the member was ordered to update in this step */
    bool is_probe; /* a probe moved the member into its phase */
    /* for people: the member succeeded, but its report shows a newer release
     * since */
    bool runs_other;
    uint8_t segment; /* place in segments[] */
    /* enum flo_rule_hold: the rule that forbids to tell the member; not
     * stored, the shell asks again after a load */
    uint8_t rule;
    uint8_t held; /* enum flo_rollout_held */
    /* bit for each slice of the list that holds the member; 0: unknown, in
     * older rows */
    uint8_t held_of;
    uint8_t retries; /* number of failed attempts that did not count */
    uint8_t repeats; /* number of its orders for another window; not stored */
    /* bucket from the device's hash, or swapped with another member to spread a
     * phase or to cover a label */
    uint32_t bucket;
    uint32_t attempt; /* number of the execution whose state is `state`; 0: none */
    struct flo_rollout_place place;
    /* For people: download size of the device's newest execution, and size of
     * the files without deltas; 0: not reported. */
    uint64_t fetched_bytes, full_bytes;
    uint64_t neighbour_bytes; /* part of fetched_bytes that came from nearby devices */
    uint64_t heard_at_ms;
    uint64_t since_at_ms; /* time when `state` began, for people */
    /* time when `state` began, for its deadline: outages of the controller and
     * pauses do not count */
    uint64_t watched_at_ms;
};

struct flo_rollout_phase {
    char name[FLO_NAME_MAX + 1];
    /* Requested size, including all earlier phases: exactly one of `devices`
     * and `share_pct` is set. */
    uint32_t devices;
    double share_pct;
    /* smallest number of devices, whatever the share; 0: none */
    uint32_t devices_min;
    uint32_t devices_max; /* maximum; 0: none */
    bool is_spread;       /* the phase's devices are picked from all strata */
    /* time for which the phase waits after its last execution ended */
    uint64_t soak_ms;
    bool is_until_promoted; /* gates may fail the phase, but only a person
                               promotes it */
    /* devices of this phase keep their release while the others are watched for
     * watch_ms */
    bool is_hold_out;
    uint64_t watch_ms;
    double starts_per_s; /* 0: the rollout's */
    /* factor by which the pace grows after each ramp_successes */
    double ramp_factor;
    /* number of successes after which the pace grows again; 0: no ramp */
    uint32_t ramp_successes;
    /* largest number of devices that update at once; 0: no limit */
    uint32_t concurrent_max;
    /* Bucket range [from, to), fixed at the start. */
    uint32_t bucket_from;
    uint32_t bucket_to;
    uint32_t told_to; /* devices below this bucket have been ordered to update */
    enum flo_phase_state state;
    uint64_t started_at_ms;
    uint64_t settled_at_ms; /* time when the last execution of the phase ended */
    uint64_t passed_at_ms;  /* 0: not passed */
    uint64_t told_at_ms;    /* time up to which all devices that the pace allows were ordered */
    /* Counts of members: */
    uint32_t members;
    uint32_t away;   /* also those that await an approval */
    uint32_t awaits; /* queued devices that await an approval */
    uint32_t frozen; /* queued devices that a change freeze holds */
    uint32_t silent;
    uint32_t overdue;
    /* number of devices without the release that did not fail: no variant fits
     * them, or their segment rolled back */
    uint32_t excused;
    uint32_t struck; /* number of devices that failed by the release's fault */
    uint32_t taken;  /* number of devices that an order rolled back, without a fault */
    /* number of queued devices that are online, so they can be ordered */
    uint32_t due;
    uint32_t failures[FLO_FAILURES];
    uint32_t counts[FLO_EXECUTION_COUNT];
};

#define FLO_ROLLOUT_CAUSES_MAX 31
struct flo_rollout_cause {
    const char *id; /* error id; for a failure without an id, its reason.  The
                       text belongs to the rollout */
    uint32_t devices;
    size_t member; /* index of a member with this cause */
};

struct flo_rollout {
    char id[FLO_NAME_MAX + 1];
    char release[2 * FLO_NAME_MAX + 2]; /* model@version, for people */
    enum flo_rollout_state state;
    char reason[FLO_ROLLOUT_REASON];
    uint64_t created_at_ms;
    uint64_t since_at_ms; /* begin of `state` */
    uint32_t edits;       /* number of edits to the request */
    uint32_t phase;       /* index of the running phase */
    uint32_t phase_count;
    struct flo_rollout_phase phases[FLO_ROLLOUT_PHASES_MAX];
    struct flo_gate_rule gates[FLO_GATES_MAX]; /* `failed` first */
    uint32_t gate_count;
    /* For each gate that compares: its last result in this phase. */
    struct flo_gate_result compared[FLO_GATES_MAX];
    /* counts with which a gate on shares failed the phase; its verdict is
     * computed from them as long as the phase is failed */
    struct flo_gate_counts broken;
    bool has_broken;
    struct flo_analysis analysis; /* statistical gates; none if there is no rule */
    /* Hardware class and variant of each segment, fixed at the start. */
    char segments[FLO_SEGMENTS_MAX][FLO_SEGMENT_TEXT];
    uint32_t segment_count;
    enum flo_on_fail on_fail;
    bool pauses_when_unsure; /* on_inconclusive: pause */
    bool holds_for_person;   /* a gate that can never decide holds its phase
                                for a person */
    struct flo_abort_rule aborts[FLO_ABORTS_MAX];
    uint32_t abort_count;
    double starts_per_s; /* devices ordered per second; 0: all at once */
    /* largest number of devices that update at once; 0: no limit */
    uint32_t concurrent_max;
    struct flo_window window;
    struct flo_rollout_zone zones[FLO_ZONES_MAX];
    struct flo_rollout_limit limits[FLO_LIMITS_MAX];
    uint32_t limit_count;
    uint32_t *busy; /* number of updating devices for each limited label value.
                       The shell owns the array */
    size_t busy_count;
    uint32_t retries_max[FLO_FAILURES];
    uint64_t retry_wait_ms;
    int64_t wall_ahead_ms; /* time by the wall clock minus the time of the step's events */
    uint32_t approvals_needed;
    uint32_t approvals;
    uint64_t start_at_ms;     /* start, by the wall clock; 0: at once */
    uint64_t expires_at_ms;   /* expiry, by the wall clock; 0: never */
    uint64_t approve_by_ms;   /* end of approvals, by the wall clock; 0: no end */
    bool pauses_when_expired; /* an expired rollout pauses; false: it is aborted */
    bool is_covered;          /* members are ordered by the values of a label */
#define FLO_ROLLOUT_PROBED_MAX 64
    uint32_t probed[FLO_ROLLOUT_PROBED_MAX]; /* probed slices, as checksums
                                                of their names */
    uint32_t probed_count;
    bool is_snapshot; /* devices that join the group after the start are no members */
    /* time to which the start of a scheduled rollout is postponed, by the wall
     * clock */
    uint64_t put_off_ms;
    /* end of a change freeze, by the wall clock: no device begins before; 0:
     * none */
    uint64_t barred_until_ms;
    uint64_t deadlines_ms[FLO_EXECUTION_COUNT]; /* [state]; 0: none */
    uint64_t soak_ms;                           /* minimum soak on each device;
                                                   0: none */
    char causes[FLO_ROLLOUT_CAUSES_MAX][FLO_NAME_MAX + 1];
    uint32_t cause_count;
    struct flo_rollout_member *members; /* the shell's array */
    size_t member_count;
    size_t member_capacity;
    /* index of the member that the rollback waited for at the last check; the
     * next check begins there */
    size_t awaited;
    struct flo_rollout_left {
        bool is_known;
        uint32_t awaited;   /* number of online devices that have not answered yet */
        uint32_t silent;    /* number of offline devices that may have the release */
        uint32_t unreached; /* number of offline devices that were ordered but
                               never accepted the deploy order */
        /* number of devices that serve the release because they have no earlier
         * one */
        uint32_t kept;
    } left; /* members that remain after the rollback */
};

/* Time that an execution must be without news before a report that does not
 * name it ends it.  The report may have been sent before the device began,
 * because messages of different topics may overtake each other. */
#define FLO_ROLLOUT_FORGOTTEN_MS 60000

/* Kinds of events.  Their effects in each state are in rollout_events.def, and
 * in rollout_verbs.def for those that people cause. */
enum flo_rollout_event_kind {
#define FLO_ROLLOUT_EVENT(name, ...) FLO_ROLLOUT_EVENT_##name,
#include "server-stub/core/rollout/rollout_events.def"
#define FLO_ROLLOUT_VERB(name, ...) FLO_ROLLOUT_EVENT_##name,
#define FLO_ROLLOUT_READ(...)
#include "server-stub/core/rollout/rollout_verbs.def"
    FLO_ROLLOUT_EVENT_COUNT
};
const char *flo_rollout_event_word(enum flo_rollout_event_kind kind);

/* Evidence of an analysis and its judgement, for the record. */
struct flo_rollout_analysis {
    struct flo_analysis_evidence evidence;
    struct flo_analysis_moment moment;
    struct flo_analysis_results results;
    struct flo_analysis_finding finding;
    struct flo_analysis analysis; /* rules and state of the analysis at the time
                                     of the judgement */
    /* for each member: a bit for each slice of the evidence; NULL: none */
    const uint8_t *slices;
    /* for each member: a bit for each probe; NULL: none */
    const uint8_t *probes;
};

struct flo_rollout_event {
    enum flo_rollout_event_kind kind;
    uint64_t now_ms;
    const char *device;
    uint64_t wall_ms; /* time by the wall clock; 0: same as now_ms */
    uint32_t bucket;
    uint32_t attempt;
    /* event `joined`: facts from the device's labels; NULL: unknown */
    const struct flo_rollout_place *place;
    enum flo_execution execution;
    /* event `joined`: the device is online */
    bool is_online;
    bool is_superseded; /* event `joined`: a newer rollout has the device */
    /* event `joined`: index of the device's segment */
    uint8_t segment;
    /* event `joined`: bit for each slice of the list in which the device is */
    uint8_t slices;
    /* event `joined`: the rule that forbids to tell the device */
    enum flo_rule_hold rule;
    /* event `ruled`: for each member an enum flo_rule_hold */
    const uint8_t *rules;
    /* event `back`: the device reports that it left by an order about this
     * release */
    bool is_ordered;
    bool is_aborted; /* event `back`: the device answered an abort */
    /* events `forgotten` and `stays`: the device runs this release */
    bool is_current;
    /* event `forgotten`: the device's desired document holds another order */
    bool is_overtaken;
    bool is_denied; /* event `forgotten`: this release is blocked on the device */
    /* event `execution`: tells whether the device waits for its conditions */
    enum { FLO_WAITS_UNSAID, FLO_WAITS_NO, FLO_WAITS_YES } waits;
    /* the message was sent earlier and retained: it is no sign of life */
    bool is_retained;
    const char *note; /* name of a person, reason or error id; or NULL */
    /* events `put-off` and `barred`: time when the obstacle ends, by the wall
     * clock; 0: it is over */
    uint64_t until_ms;
    uint32_t gate; /* event `evidence`: index of the gate in gates[] */
    const struct flo_comparison *evidence;
    /* event `analysis`: the evidence, to which the step adds its judgement */
    struct flo_rollout_analysis *analysis;
    const struct flo_rollout *draft; /* event `edit`: the new request */
    /* event `edit`: the draft's gates differ from the present ones */
    bool has_new_gates;
    /* events `promote` and `rollback`: the only slice that is meant; NULL: the
     * whole rollout */
    const char *slice;
};

enum flo_rollout_action_kind {
    FLO_ROLLOUT_DO_STATE, /* store the rollout's state and reason, and write an audit record */
    FLO_ROLLOUT_DO_PHASE, /* store the phase's state, and write an audit record */
    /* sign an order `op` for the buckets, and publish it to the group */
    FLO_ROLLOUT_DO_ORDER,
    /* put the newest order `op` into the desired documents of the members that
     * flo_rollout_action_names accepts; a deploy is that of `phase` */
    FLO_ROLLOUT_DO_DESIRED,
    /* sign a rollback for each member alone that flo_rollout_action_names
     * accepts */
    FLO_ROLLOUT_DO_RECALL,
    /* sign an order `op` for each member alone that flo_rollout_action_names
     * accepts; a deploy is that of `phase` */
    FLO_ROLLOUT_DO_EACH,
    FLO_ROLLOUT_DO_MEMBER,  /* store members[member] */
    FLO_ROLLOUT_DO_MEMBERS, /* store all dirty members */
    /* delete the row of the event's device, which is no longer a member */
    FLO_ROLLOUT_DO_FORGET,
    FLO_ROLLOUT_DO_RECORD, /* store the event's analysis */
    FLO_ROLLOUT_DO_VERDICT /* the verdict of gates[gate] changed: store the
                              event's evidence */
};
struct flo_rollout_action {
    enum flo_rollout_action_kind kind;
    int state; /* DO_STATE, DO_PHASE: the new state */
    enum flo_order_op op;
    uint32_t phase;
    uint32_t bucket_from;
    uint32_t bucket_to;
    /* bit for each enum flo_execution; the action concerns members in these
     * states */
    uint32_t states;
    /* index of the member; DO_DESIRED, DO_EACH: SIZE_MAX means all members */
    size_t member;
    bool is_fresh; /* the action concerns only members ordered in this step */
    /* the action concerns only members of excluded segments and of slices that
     * roll back.  For an abort it concerns members of slices that keep what
     * they have */
    bool is_excluded;
    uint32_t gate; /* DO_VERDICT */
};
/* Size of `why` in bytes. */
#define FLO_ROLLOUT_WHY 2048
/* Actions of a step.  `why` has a line for each decision with its reason, also
 * for a decision to do nothing. */
struct flo_rollout_actions {
    char why[FLO_ROLLOUT_WHY];
    size_t count;
    struct flo_rollout_action items[FLO_ROLLOUT_ACTIONS_MAX];
};

/* Tells whether a DO_DESIRED, DO_EACH or DO_RECALL concerns the member. */
bool flo_rollout_action_names(const struct flo_rollout *rollout,
                              const struct flo_rollout_action *action, size_t member);

/* Makes the action that gives a member its order again, because its window is at another
 * time now, and counts it: a device whose zone changes again and again gets no
 * order for each word.  false: the member was not told, has begun, has no window, or had enough. */
#define FLO_ROLLOUT_REPEATS_MAX 16
bool flo_rollout_tells_again(struct flo_rollout *rollout, size_t member,
                             struct flo_rollout_action *out);

/* Checks a draft: phases have to grow, and numbers to be in range.
 * FLO_E_REST_SCHEMA names the phase. */
FLO_MUST_USE int flo_rollout_check(const struct flo_rollout *rollout, struct flo_err *err);
/* Tells whether an edit to this draft is allowed.  FLO_E_REST_MEANING: phases
 * that began would have other devices.  Fails like flo_rollout_check, too. */
FLO_MUST_USE int flo_rollout_may_edit(const struct flo_rollout *rollout,
                                      const struct flo_rollout *draft, struct flo_err *err);
/* Sets the bucket ranges of a draft from its members.  START does so too; a
 * plan (dry run) does only this.  A phase given in devices counts online ones,
 * so that a canary is not an offline device. */
void flo_rollout_divide(struct flo_rollout *rollout);
/* Times of a device's update, as far as the policy gives them. */
struct flo_rollout_trip {
    uint64_t jitter_ms;
    /* time of the download; 0: the policy does not limit its speed */
    uint64_t download_ms;
    uint64_t soak_ms;
    bool is_idle[FLO_ROLLOUT_PHASES_MAX]; /* no device of the phase updates */
};
struct flo_rollout_expected {
    uint32_t devices;
    uint32_t zoneless;  /* number of devices whose time zone is unknown,
                           although the rollout has a time window */
    uint64_t begins_ms; /* begin of the phase by the wall clock, like the times below */
    uint64_t told_ms;   /* time when the last device is ordered to update */
    uint64_t ends_ms;   /* end of the phase, including its soak */
};
/* Gets the shortest time of each phase: no device fails or is offline.  The
 * members are divided; `out` has room for all phases. */
void flo_rollout_expect(struct flo_rollout *rollout, const struct flo_rollout_trip *trip,
                        uint64_t wall_ms, struct flo_rollout_expected *out);
/* Sets the deadlines after which the controller counts an execution as failed,
 * for each state.  They are later than the device's own: by half of the state's
 * time, but by at least a minute. */
void flo_rollout_deadlines(struct flo_rollout *rollout, const struct flo_policy *policy);
/* Tells whether the phase is the canary: the first of several phases. */
bool flo_rollout_is_canary(const struct flo_rollout *rollout, uint32_t phase);

/* Performs one step. actions->count is always set; 0 on failure.
 *
 * FLO_E_ROLLOUT_STATE  the state does not allow the operator's event;
 *                      nothing changed
 * FLO_E_MEMORY         the array of members is full; nothing changed */
FLO_MUST_USE int flo_rollout_step(struct flo_rollout *rollout,
                                  const struct flo_rollout_event *event,
                                  struct flo_rollout_actions *actions, struct flo_err *err);

/* Returns 0 when a step would accept the event now, else the error of the step.
 * Nothing changes. */
FLO_MUST_USE int flo_rollout_may(const struct flo_rollout *rollout,
                                 enum flo_rollout_event_kind kind, struct flo_err *err);

/* Returns true when the device refused to leave the release and still has it.
 * The rollout no longer waits for it; its last state stays. */
bool flo_rollout_member_stays(const struct flo_rollout_member *member);
/* Returns true when the member's slice is held and the device has no part of
 * the release. An answer about the slice, or a change of labels, may include it
 * again. */
bool flo_rollout_member_is_left_out(const struct flo_rollout_member *member);
/* Returns the index of a device; SIZE_MAX: it is no member. */
size_t flo_rollout_find(const struct flo_rollout *rollout, const char *device);
/* Returns the index of a device like flo_rollout_find, for look-ups in the
 * order of ids.  *at begins as 0. */
size_t flo_rollout_find_next(const struct flo_rollout *rollout, const char *device, size_t *at);
/* Recomputes the counts of the phases from the members, after loading. */
void flo_rollout_count(struct flo_rollout *rollout);
/* Gets the counts of devices that a gate needs, with `phase` as the present
 * phase. */
void flo_rollout_counts(const struct flo_rollout *rollout, uint32_t phase,
                        struct flo_gate_counts *out);
/* Counts the failures by kind, in phases that began and were not promoted. */
void flo_rollout_failures(const struct flo_rollout *rollout, struct flo_failure_counts *out);
/* Tells whether phases are spread: members then have buckets that are not their
 * hash, so an order for buckets has to include all of them. */
bool flo_rollout_is_spread(const struct flo_rollout *rollout);
/* Tells whether the member's segment was worse with the release than the
 * others.  The segment was rolled back, and does not get the release again in
 * this rollout. */
bool flo_rollout_is_excluded(const struct flo_rollout *rollout,
                             const struct flo_rollout_member *member);
/* Tells whether the phase is the last one that updates devices; only a hold-out
 * may follow. */
bool flo_rollout_analysis_is_last(const struct flo_rollout *rollout, uint32_t phase);
/* Returns the name of a slice that waits for a person in the last phase, so
 * that the rollout does not complete; NULL: none. */
const char *flo_rollout_slice_waits(const struct flo_rollout *rollout);
/* Tells whether the analysis has to pass in a phase. */
bool flo_rollout_analysis_waits(const struct flo_rollout *rollout, uint32_t phase);
/* Returns true when the analysis passes, or does not have to. */
bool flo_rollout_analysis_passes(const struct flo_rollout *rollout);
/* Returns a member's state for an analysis. */
enum flo_member_way flo_rollout_member_way(const struct flo_rollout_member *member);
/* Gets the smallest change that a phase can find, and its odds to prove a
 * release without effect, together with earlier phases. */
bool flo_rollout_sees(const struct flo_rollout *rollout, uint32_t phase,
                      struct flo_analysis_sight *out);
/* Gets the number, from 1, and the time of the next evaluation at which the
 * present phase may pass (a look).  Returns false when devices are under way,
 * or no look remains. */
bool flo_rollout_next_look(const struct flo_rollout *rollout, uint32_t *look, uint64_t *at_ms);
/* Writes the finding of a rule in the present phase as a sentence. */
void flo_rollout_analysis_text(const struct flo_rollout *rollout, uint32_t rule,
                               char *out); /* FLO_ANALYSIS_TEXT */
/* Writes a sentence that explains a rule: it decided, or the phase waits for it
 * (is_awaited). */
void flo_rollout_analysis_because(const struct flo_rollout *rollout, uint32_t rule, bool is_awaited,
                                  char *out); /* FLO_ANALYSIS_TEXT */
/* Gets the verdict of gates[gate], with `phase` as the present phase.  A gate
 * that needs evidence gives the verdict of the last evidence. */
void flo_rollout_gate(const struct flo_rollout *rollout, uint32_t gate, uint32_t phase,
                      struct flo_gate_result *out);
/* Returns the worst verdict of all gates: fail, else inconclusive, else pass.
 * *worst is the gate that gives it. */
enum flo_verdict flo_rollout_verdict(const struct flo_rollout *rollout, uint32_t phase,
                                     uint32_t *worst, struct flo_gate_result *result);
/* Size of `what` in bytes. */
#define FLO_ROLLOUT_NEXT 240
struct flo_rollout_next {
    char what[FLO_ROLLOUT_NEXT];
    uint64_t at_ms;
};
/* Gets the condition that a rollout waits for, and the latest time of its next
 * check, by the core's clock.  `report_ms`: the report interval of devices.
 * Returns false for an ended rollout, which waits for nothing. */
bool flo_rollout_next(const struct flo_rollout *rollout, uint64_t now_ms, uint64_t report_ms,
                      struct flo_rollout_next *out);
/* Returns the earliest end of a device's trial; 0: the device is not on
 * trial. */
uint64_t flo_rollout_soaks_until(const struct flo_rollout *rollout,
                                 const struct flo_rollout_member *member);
/* Soak of a phase: the trials of its devices, or its own soak after they
 * ended. */
struct flo_rollout_soak {
    uint32_t devices; /* number of devices on trial; 0: the whole phase soaks */
    uint64_t from_ms, until_ms;
};
/* Gets the devices on trial and the last end of their trials, or the phase's
 * own soak when all of them ended.  Returns false when nothing soaks. */
bool flo_rollout_soak(const struct flo_rollout *rollout, uint32_t index,
                      struct flo_rollout_soak *out);
/* Computes a gate's verdict from stored evidence, after the rollout was
 * loaded. */
void flo_rollout_remember(struct flo_rollout *rollout, uint32_t gate,
                          const struct flo_comparison *evidence);
/* Sanitises an error id that a device gives: a known one is kept, "other"
 * replaces an unknown one, NULL is none. */
const char *flo_rollout_cause_id(const char *id);
/* Returns the index of an error id in causes[], from 1; 0: the table is
 * full. */
uint8_t flo_rollout_cause(struct flo_rollout *rollout, const char *id);
/* Lists why devices of started phases failed, most frequent first; returns the
 * number of causes. */
size_t flo_rollout_causes(const struct flo_rollout *rollout, struct flo_rollout_cause *out,
                          size_t max);
/* Writes the causes as text: "probe.golden 3, disk.full 1". */
void flo_rollout_causes_text(const struct flo_rollout *rollout, char *out, size_t bytes);

/* Appends a step to `out` as text: the line of the event, and an indented line
 * per action.  Log, golden tests and API have the same text. */
void flo_rollout_trace(const struct flo_rollout *rollout, const struct flo_rollout_event *event,
                       const struct flo_rollout_actions *actions, struct flo_buf *out);

/* Reason why a queued member of a phase that began is not ordered to update,
 * other than pace and limits. */
enum flo_hold {
    FLO_HOLD_NONE,
    FLO_HOLD_WINDOW,
    FLO_HOLD_ZONE, /* the rollout has a time window, but the member's time zone is unknown */
    FLO_HOLD_OFFLINE,
    FLO_HOLD_RETRY,
    FLO_HOLD_APPROVAL, /* a rule of a group of the device asks for an approval */
    FLO_HOLD_FREEZE    /* a change freeze of a group of the device is active */
};
/* Returns the reason why a queued member is not ordered to update now.
 * *until_ms gets the end of the reason, or UINT64_MAX. */
enum flo_hold flo_rollout_hold_of(const struct flo_rollout *rollout,
                                  const struct flo_rollout_member *member, uint64_t now_ms,
                                  uint64_t *until_ms);
/* Returns a time of the step's events by the wall clock. */
static inline uint64_t flo_rollout_wall_ms(const struct flo_rollout *rollout, uint64_t now_ms)
{
    return (uint64_t)((int64_t)now_ms + rollout->wall_ahead_ms);
}

#endif
