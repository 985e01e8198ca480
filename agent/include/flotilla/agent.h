/* Flotilla agent core: the decisions of one device.
 *
 * flo_agent_step() takes an event and returns the actions to carry out.  It is
 * pure and total: it uses no clock, file, socket, heap or randomness, and takes
 * any event in any state.  The shell (agent/shell), the trace tests and a
 * simulator drive the same code.
 *
 * Life of an execution (proto/execution.def): accepted, downloading, applying,
 * verifying, staged, probing, activating, soaking, succeeded.  The truth on
 * disk is the slot record.  The shell's database keeps the open execution, so
 * that its story goes on after a restart and ends exactly once. */
#ifndef FLOTILLA_AGENT_H
#define FLOTILLA_AGENT_H

#include <flotilla/base.h>
#include <flotilla/proto.h>

/* ---- what it knows ---- */

/* A release as slots and people name it; a zero digest means none. */
struct flo_release_ref {
    struct flo_digest digest; /* the id: SHA-256 of the signed body */
    char model[FLO_NAME_MAX + 1];
    char version[FLO_NAME_MAX + 1];
};

/* Two engines at most: the engine of the current release, and a second one (for
 * a candidate, or for the previous release on its way back). */
enum flo_agent_role { FLO_AGENT_CURRENT, FLO_AGENT_BESIDE, FLO_AGENT_ROLES };

enum flo_agent_engine_state {
    FLO_ENGINE_NONE,
    FLO_ENGINE_LOADING,
    FLO_ENGINE_READY,
    FLO_ENGINE_WAITING, /* lost; started again at retry_at_ms */
    FLO_ENGINE_RESTING, /* on demand: loaded when a request wants it */
};
struct flo_agent_engine {
    enum flo_agent_engine_state state;
    struct flo_release_ref release;
    uint32_t losses; /* in a row */
    uint64_t retry_at_ms;
    uint64_t ready_at_ms;
    bool is_damaged; /* the release's files are wrong: no engine loads them */
    bool is_woken;   /* a request wanted it: the trial goes on where it was */
    bool is_linked;  /* the release answers no requests: a link and a hook make
                        it live */
};

/* Slots as the core sees them; the record on disk has more. */
struct flo_agent_slots {
    struct flo_release_ref current, previous, candidate;
    bool is_trial; /* the candidate was activated */
    uint32_t tries_left;
};

struct flo_agent_error {
    int code; /* 0: none */
    char step[16];
    char what[256];
};

/* Numbers for people: the cost of the update and the findings of the probe. */
struct flo_agent_detail {
    char codec[16];
    uint64_t bytes, full_bytes, took_ms;
    uint64_t neighbour_bytes; /* a part of `bytes`: from devices close by */
    uint32_t cases, passed;
    double ratio; /* ms/token against the current release; 0: unknown */
    uint64_t memory_bytes;
};

/* ---- what an update waits for ---- */

enum flo_wait {
#define FLO_WAIT(name, word, is_asked, states, is_ending, text) FLO_WAIT_##name,
#include "agent/core/execution/waits.def"
#undef FLO_WAIT
    FLO_WAIT_COUNT
};
#define FLO_WAIT_BIT(wait) (1u << (wait)) /* a member of a set of waits */
const char *flo_wait_word(enum flo_wait wait);

/* ---- bets ---- */

/* Answers, each yes or no, against a limit of their share of yes. */
struct flo_bet {
    uint64_t yes, count;
    double log_odds; /* that the share is not the limit */
};
/* All calls with the same limit, above 0 and below 1. */
void flo_bet_add(struct flo_bet *bet, double limit, bool is_yes);
/* Surely above, or surely below the limit: otherwise answers like these would
 * come with a probability of 1/odds at most. */
bool flo_bet_is_above(const struct flo_bet *bet, double limit, double odds);
bool flo_bet_is_below(const struct flo_bet *bet, double limit, double odds);

#define FLO_EXECUTION_ID_MAX 80
#define FLO_AGENT_REASON_BYTES 256
/* Kills of its engine by something outside that do not count. */
#define FLO_AGENT_KILLS_PARDONED 2u
struct flo_agent_execution {
    char id[FLO_EXECUTION_ID_MAX]; /* r-0001.1, bundle.0123abcd.1, repair.… */
    char rollout[FLO_NAME_MAX + 1];
    char order[FLO_NAME_MAX + 1]; /* empty: by bundle or repair */
    char bundle[256];             /* path; empty: over the network */
    uint32_t attempt;
    uint32_t phase;
    uint32_t epoch;
    uint64_t seq;
    struct flo_release_ref release;
    /* An exchange: this variant of the current release in place of the one that
     * serves.  Empty: an update or a repair. */
    char variant[FLO_NAME_MAX + 1];
    struct flo_policy policy;
    enum flo_execution state;
    uint32_t starts;           /* probes begun: a machine that dies of it stops */
    uint32_t unsure;           /* probes that came to no verdict */
    uint32_t runtime_failures; /* probes that the runtime's own fault ended */
    uint32_t kills;            /* deaths of its engine by something outside */
    struct flo_agent_detail detail;
    struct flo_agent_error error;        /* why it ended, or why the last try failed */
    char reason[FLO_AGENT_REASON_BYTES]; /* why it waits; empty: it does not */
    uint64_t start_at_ms;                /* the end of a spread start, or of the wait before
                                            the next probe; 0: neither */

    /* The members below do not survive a restart. */
    uint64_t since_ms, deadline_ms; /* 0: no deadline */
    uint64_t retry_at_ms;
    uint32_t job; /* number of the updater job under way; 0: none */
    uint32_t retries;
    bool fits_both; /* candidate and current in memory at one time */
    bool is_draining, is_probed, is_writing;
    uint64_t soak_end_ms;
    uint64_t requests, errors, crashes;
    uint32_t lacks;         /* losses in a row for want of something */
    struct flo_bet failing; /* requests: yes is an error */
    uint64_t recent;        /* the last 64 of them, bit 0 the last one */
};

/* Going back to a release that must be loaded first. */
struct flo_agent_return {
    bool is_active;
    bool is_committed; /* current -> previous; else the trial's candidate ends */
    bool is_draining;
    bool is_writing; /* the rotation of the slots */
    uint64_t due_ms; /* when draining has to be over; 0: nothing drains */
    struct flo_release_ref from, to;
    char order[FLO_NAME_MAX + 1];
    uint32_t deny_count; /* denied together with the change */
    struct flo_digest deny[FLO_ORDER_FROM_MAX];
    uint64_t number; /* the order's number; 0: by hand */
};

/* The model is being taken away. */
struct flo_agent_removal {
    bool is_active;
    bool is_writing; /* the tombstone */
    uint64_t due_ms; /* when draining has to be over; 0: nothing drains */
    struct flo_digest release;
    char order[FLO_NAME_MAX + 1]; /* empty: by hand */
};

#define FLO_AGENT_PAUSED_MAX 24
/* The rollouts that start nothing, as the device record says. */
struct flo_agent_pauses {
    char rollouts[FLO_AGENT_PAUSED_MAX][FLO_NAME_MAX + 1]; /* or empty */
    bool all;                                              /* there are more than that */
};
/* Models that a device carries at one time, at most; its configuration may
 * allow less. */
#define FLO_AGENT_MODELS_MAX 16
/* A model on its device: slots, engines and the execution under way. */
struct flo_agent_model {
    char name[FLO_NAME_MAX + 1]; /* empty: a free place */
    bool has_execution;
    int live;              /* enum flo_agent_role or -1 */
    bool is_linked;        /* the model's link is on the disk, or is being made */
    bool is_switching;     /* the live engine's link and hook are under way */
    bool is_ill;           /* the live program is not healthy, or its hook fails */
    bool is_on_demand;     /* as the memory plan says */
    bool is_wanted;        /* a request waits for its load */
    uint32_t repairs;      /* asked for in a row */
    uint64_t repair_at_ms; /* none before */
    struct flo_agent_slots slots;
    struct flo_agent_engine engines[FLO_AGENT_ROLES];
    struct flo_digest refused;  /* by its engine, though its bytes are right */
    int refusal;                /* why */
    struct flo_digest let_down; /* by its runtime, in the last execution */
    struct flo_agent_execution execution;
    struct flo_agent_return going_back;
    struct flo_agent_removal removal;
};
struct flo_agent {
    uint64_t origin_ms; /* time 0 of the trace */
    uint64_t random;
    uint64_t timer_ms; /* last TIMER action; 0: none */
    uint64_t revision; /* grows when the report changes */
    bool is_booted;
    bool is_frozen;
    bool is_disk_gone; /* the disk takes no write: what cannot be read may be as
                          it was */
    uint32_t jobs;
    uint32_t models_max; /* by configuration */
    uint32_t waits;      /* ... what every update waits for: a set */
    uint32_t lacks;      /* ... what is not so now */
    uint64_t wall_ms;    /* wall clock of this step; 0: nobody knows the time */
    struct flo_agent_pauses pauses;
    struct flo_agent_model models[FLO_AGENT_MODELS_MAX];
};

/* ---- what happens ---- */

enum flo_agent_event_kind {
    FLO_AGENT_BOOT,       /* boot */
    FLO_AGENT_DEPLOY,     /* deploy: by order or from a bundle; verified */
    FLO_AGENT_ORDER,      /* order: any other operation, verified, in scope */
    FLO_AGENT_GO_BACK,    /* an operator at the device: current -> previous */
    FLO_AGENT_REMOVE,     /* an operator at the device: take it away */
    FLO_AGENT_PROGRESS,   /* job, state: the updater entered that state */
    FLO_AGENT_STAGED,     /* job, detail, fits_both; error: no memory for it */
    FLO_AGENT_JOB_FAILED, /* job, error, is_passing */
    FLO_AGENT_WRITTEN,    /* the slot action that asked for it is on disk */
    FLO_AGENT_UNWRITTEN,  /* the slot action failed: error */
    FLO_AGENT_LOADING,    /* role: a step of it ended, or gets on */
    FLO_AGENT_LOADED,     /* role, is_linked */
    FLO_AGENT_ACTIVATED,  /* release: its link and hook are done, and its
                             program is healthy, for the first time or again */
    FLO_AGENT_ILL,        /* release, error: they are not, or it is not */
    FLO_AGENT_LOST,       /* role, error: died, hung or could not load */
    FLO_AGENT_DRAINED,    /* the engine that was to be emptied is gone */
    FLO_AGENT_PROBED,     /* detail, error (0: passed, FLO_E_PROBE_UNSURE) */
    FLO_AGENT_REQUEST,    /* release, error: a user's request ended; and `more`
                             others like it */
    FLO_AGENT_PLACED,     /* is_on_demand, is_other_rung: the plan's word */
    FLO_AGENT_WANTED,     /* on demand: a request waits for its load */
    FLO_AGENT_EVICT,      /* on demand: another model needs its memory */
    FLO_AGENT_PRESSURE,   /* memory is short: what is not needed may leave */
    FLO_AGENT_CONDITIONS, /* lacks: the device's surroundings changed */
    FLO_AGENT_TRUST,      /* the trusted keys changed.  error: the release on
                             its way may not begin; is_forgotten: nor may the
                             previous one serve again */
    FLO_AGENT_TIMER,      /* now_ms reached timer_ms */
    FLO_AGENT_STOP,       /* the agent is told to stop: its last event */
    FLO_AGENT_EVENT_COUNT
};

/* A model's records, when the agent starts. */
struct flo_agent_booted {
    uint32_t model;
    char name[FLO_NAME_MAX + 1];
    struct flo_agent_slots slots;
    /* The open execution of the database, or one made from the slot record;
     * NULL: none.  With a candidate it is the candidate's. */
    const struct flo_agent_execution *open;
    bool has_ended; /* the execution is over: only its traces are left */
    /* The denial of its release in the record. */
    enum flo_denial_cause denial;
    bool is_linked; /* a link of the model is on the disk */
    bool fits_both; /* candidate and current in memory at one time */
};

struct flo_agent_event {
    enum flo_agent_event_kind kind;
    uint32_t model; /* index; of a boot, a freeze or a timer: no meaning */
    uint64_t now_ms;
    uint64_t wall_ms;  /* for windows; 0: nobody knows the time */
    uint64_t slept_ms; /* time since the step before in which the machine was
                          suspended */
    enum flo_agent_role role;
    enum flo_execution state;
    uint32_t job;
    bool is_passing;
    bool fits_both;
    bool is_on_demand;
    bool is_other_rung; /* the current engine has another one's memory */
    uint32_t lacks;     /* a set of enum flo_wait */
    uint32_t more;
    bool is_linked; /* the engine that is ready has no requests */
    bool is_forgotten;
    bool is_split;     /* the current release only shares another model's
                          requests: the device can be without it */
    bool stays_frozen; /* an unfreeze: the other lane's freeze holds */
    struct flo_agent_error error;
    struct flo_agent_detail detail;
    struct flo_digest release;
    const struct flo_order *order; /* borrowed for the call */
    /* With an order to pause, resume or abort: the pauses of now; borrowed. */
    const struct flo_agent_pauses *pauses;
    struct {
        const struct flo_agent_booted *models; /* each place once; borrowed */
        size_t model_count;
        uint32_t models_max; /* that may be here; 0: FLO_AGENT_MODELS_MAX */
        bool is_frozen;
        const struct flo_agent_pauses *pauses; /* NULL: none */
        uint32_t waits, lacks;                 /* sets of enum flo_wait */
        uint64_t seed;
    } boot;
    struct {
        const struct flo_agent_execution *execution; /* up to `policy` */
        struct flo_agent_error refusal;              /* code 0: it may run here */
    } deploy;
};

/* ---- what to do about it ---- */

enum flo_agent_action_kind {
    FLO_DO_JOB,         /* job, start the updater for the execution */
    FLO_DO_CANCEL_JOB,  /* job; nothing of it is heard of any more */
    FLO_DO_SLOT_STAGE,  /* candidate := execution's; answer WRITTEN */
    FLO_DO_SLOT_TRIAL,  /* begin the trial and count its first start; WRITTEN */
    FLO_DO_SLOT_TRY,    /* count a start; when it fails the candidate is not
                           loaded and UNWRITTEN follows the list */
    FLO_DO_SLOT_COMMIT, /* answer WRITTEN */
    FLO_DO_SLOT_CLEAR,  /* forget the candidate */
    FLO_DO_SLOT_UNTRY,  /* the start under way is not to be counted */
    FLO_DO_SLOT_BACK,   /* current := previous */
    FLO_DO_SLOT_REMOVE, /* the record becomes a tombstone; WRITTEN */
    FLO_DO_CLOSE,       /* new requests of the model are refused */
    FLO_DO_FREE,        /* the model's place is free */
    FLO_DO_DENY,        /* release, cause, number: of the order that took it
                           back or brought it (0: by hand) */
    FLO_DO_REPAIR,      /* release: answer DEPLOY of it, without an order */
    FLO_DO_VARIANT,     /* the execution's variant serves from now on; WRITTEN */
    FLO_DO_FREEZE,      /* flag */
    FLO_DO_LOAD,        /* role, release */
    FLO_DO_UNLOAD,      /* role, flag: drain first */
    FLO_DO_FLIP,        /* role; of a release without requests: make its link
                           and run its hook, with `flag` in any case; answer
                           ACTIVATED or ILL */
    FLO_DO_UNLINK,      /* release.model: its link goes, and its hook runs */
    FLO_DO_HOLD,        /* no engine is live: requests wait */
    FLO_DO_REST,        /* release: loaded when a request wants it */
    FLO_DO_PROMOTE,     /* the second engine becomes the current one */
    FLO_DO_PROBE,       /* with the execution's policy */
    FLO_DO_EVENT,       /* execution entered state (or ended): report it */
    FLO_DO_SERVING,     /* word, release: report the serving release */
    FLO_DO_ACK,         /* order, word, error */
    FLO_DO_COLLECT,     /* remove blobs that nothing names */
    FLO_DO_TIMER,       /* at_ms; 0: none */
    FLO_DO_NOTE,        /* error.what: why, or why not; for the trace alone */
    FLO_DO_COUNT
};

struct flo_agent_action {
    enum flo_agent_action_kind kind;
    uint32_t model; /* index */
    enum flo_agent_role role;
    bool flag;
    bool is_linked; /* a flip to a release without requests */
    uint32_t job;
    uint64_t at_ms;
    uint64_t number;
    enum flo_denial_cause cause;
    const char *word; /* static */
    char order[FLO_NAME_MAX + 1];
    struct flo_release_ref release;
    struct flo_agent_error error;
};

/* A rollback denies each release that it names; a start of the agent takes up
 * every model. */
#define FLO_AGENT_ACTIONS_MAX (FLO_ORDER_FROM_MAX + 24 * FLO_AGENT_MODELS_MAX)
#define FLO_AGENT_REPORTS_MAX (2 * FLO_AGENT_MODELS_MAX)
struct flo_agent_actions {
    size_t count;
    struct flo_agent_action list[FLO_AGENT_ACTIONS_MAX];
    /* Executions that DO_EVENT reports, in order, as they were then. */
    size_t report_count;
    struct flo_agent_execution reports[FLO_AGENT_REPORTS_MAX];
};

/* Take an event; empty `actions`, then fill it in the order in which the shell
 * must carry them out.  The shell answers a failed action by an event, after
 * the whole list.  Returns the number of actions. */
int flo_agent_step(struct flo_agent *agent, const struct flo_agent_event *event,
                   struct flo_agent_actions *actions);

/* Nothing of a model is in this place, and nothing is under way: it may be
 * given to another one. */
bool flo_agent_is_idle(const struct flo_agent *agent, uint32_t model);

/* The model is not in memory, and a request would load it. */
bool flo_agent_is_resting(const struct flo_agent_model *model);
/* The model may leave memory: no engine serves a probe, no slots turn. */
bool flo_agent_may_rest(const struct flo_agent *agent, uint32_t model);

/* The execution waits for mains, a cool, an idle or an unmetered device. */
bool flo_agent_is_waiting(const struct flo_agent *agent, uint32_t model);

/* On trial, with the release before it in memory. */
bool flo_agent_has_warm(const struct flo_agent_model *model);

/* The updater may be at work on files that nothing names yet. */
bool flo_agent_is_fetching(const struct flo_agent *agent);

/* The step as text: one line "[  1.250] word  ..." for the event, an indented
 * line per state, action and reason.  The log, the golden tests and
 * `flotilla-agent explain` show this text.  Steps that change nothing give no
 * text. */
void flo_agent_trace(const struct flo_agent *agent, const struct flo_agent_event *event,
                     const struct flo_agent_actions *actions, struct flo_buf *out);

/* ---- drift ---- */

/* The reason why another release runs than the assigned one, while no execution
 * is under way to it. */
enum flo_drift {
    FLO_DRIFT_NONE,
    FLO_DRIFT_BEHIND,      /* the target is newer */
    FLO_DRIFT_AHEAD,       /* the target is older */
    FLO_DRIFT_DENIED,      /* the target, or the running release, may not run
                            * here */
    FLO_DRIFT_BELOW_FLOOR, /* the target is older than was committed */
    FLO_DRIFT_FROZEN,      /* the target waits for the end of a freeze */
    FLO_DRIFT_PAUSED,      /* the target waits for its rollout */
    FLO_DRIFT_NO_MEMORY,   /* the target, or the running release, has no room
                            * next to the other models */
    FLO_DRIFT_DISK,        /* the disk takes nothing: it could not come */
    FLO_DRIFT_RUNTIME      /* the device's runtime failed it, and since the
                            * agent's start nothing better came */
};
const char *flo_drift_word(enum flo_drift drift);
/* The target, as the records have it. */
struct flo_agent_target {
    struct flo_digest release;       /* zero: the current release stays */
    uint64_t number, current_number; /* 0: not known */
    int refusal;                     /* FLO_E_TARGET_..., FLO_E_MEMORY_BUDGET; 0: it may run */
    bool is_current_denied;
};
enum flo_drift flo_agent_drift(const struct flo_agent *agent, uint32_t model,
                               const struct flo_agent_target *target);

/* ---- derived artifacts ---- */

/* Limits of packing: tries per version of the agent, and time per try.  Time in
 * which a slow disk writes is not counted. */
#define FLO_DERIVED_TRIES_MAX 2
#define FLO_DERIVED_MAKE_MS_MAX 60000
/* Some model files, by digest; the oldest gives way. */
struct flo_model_notes {
    struct flo_digest models[8];
    size_t count;
};
/* The state of a model's derived artifact: its packed weights. */
struct flo_derived {
    struct flo_model_notes unpackable; /* engines here read them by rows */
    struct flo_model_notes unpacked;   /* packing failed: not tried again */
    struct flo_digest fresh;           /* made, and no engine was lost since */
    struct flo_digest refused;         /* by an engine, once */
    bool has_made;
};
/* Is it looked for, and made where it is not there? */
bool flo_derived_is_asked_for(const struct flo_derived *derived, const struct flo_digest *model);
/* The artifact is absent.  `failures`: of this version, over all restarts. */
bool flo_derived_may_make(struct flo_derived *derived, const struct flo_digest *model,
                          unsigned failures);
void flo_derived_made(struct flo_derived *derived, const struct flo_digest *model);
/* true: count one more failure of this version.  `has_written`: the try wrote
 * to the disk. */
bool flo_derived_failed(struct flo_derived *derived, const struct flo_digest *model, int code,
                        bool has_written);
/* The engine refused the file as another model's.  The file is made again.
 * true: that happened before, and this version stops making it. */
bool flo_derived_refused(struct flo_derived *derived, const struct flo_digest *model);
/* An engine serves with the file; or an engine was lost: hash files again. */
void flo_derived_accepted(struct flo_derived *derived);
void flo_derived_doubt(struct flo_derived *derived);
bool flo_derived_is_fresh(const struct flo_derived *derived, const struct flo_digest *model);
/* Packed weights would make the engine faster: do not compare its speed. */
bool flo_derived_is_lacking(const struct flo_derived *derived, const struct flo_digest *model);
/* Would a new model be packed, as far as is known? */
bool flo_derived_is_expected(const struct flo_derived *derived);
/* How long packing a model of so many bytes may compute. */
uint64_t flo_derived_ms_max(uint64_t model_bytes);

/* ---- orders ---- */

/* The device's knowledge of the time. */
struct flo_agent_time {
    uint64_t clock_ms;    /* the machine's clock; 0: not to be believed */
    bool is_synchronised; /* a service keeps that clock right */
    uint64_t trusted_ms;  /* flo_device_time */
};
/* An order moves trusted time, and trusted time never goes back: an order from
 * the future would expire every later order.  These are the limits ahead of the
 * clock, and ahead of a synchronised clock (the controller's is wrong then). */
#define FLO_ORDER_AHEAD_MS (UINT64_C(400) * 86400000)
#define FLO_ORDER_AHEAD_SYNCHRONISED_MS UINT64_C(86400000)
/* Is this error an answer to an order: does it say something of the order, its
 * signature or its release?  Any other (a disk, memory) says something of this
 * device: nothing was decided, and the order has to come again. */
bool flo_agent_is_verdict(int code);
/* Is this order meant for this device, now?  FLO_E_CMD_SCOPE,
 * FLO_E_CMD_EXPIRED, FLO_E_CMD_FUTURE, FLO_E_CMD_FORMAT (it names no release).
 */
FLO_MUST_USE int flo_agent_order_admit(const struct flo_order *order, const char *device,
                                       const char (*groups)[FLO_NAME_MAX + 1], size_t group_count,
                                       const struct flo_agent_time *time, struct flo_err *err);

/* Why a release that ended with this error is denied from then on: its own
 * fault, or too slow or too large for this device.  ALLOWED: the network, the
 * disk, an operator or a busy machine ended it. */
enum flo_denial_cause flo_agent_denial_cause(int code);
/* Probes without a verdict that end an execution. */
#define FLO_AGENT_UNSURE_MAX 4
/* Longest wait before an unsure probe is repeated; a changed clock does not
 * lengthen it. */
#define FLO_AGENT_UNSURE_WAIT_MS_MAX (UINT64_C(60000) * 30 * 30)
/* Probes that a runtime's own fault ended, and with them the execution. */
#define FLO_AGENT_RUNTIME_TRIES 3
/* The runtime of the device failed: its files, its process, its answers. */
bool flo_agent_is_runtimes_fault(int code);
/* The device has not what any release would need: memory, descriptors. */
bool flo_agent_lacks(int code);
/* Does a request with this end count against the release on trial? */
bool flo_agent_blames_serving(int code);

/* ---- order intake ---- */

/* A verified order, and the device's knowledge of its subject. */
struct flo_intake_facts {
    const struct flo_order *order;
    enum flo_standing standing;      /* among the stored orders */
    uint64_t by;                     /* superseded: the number that holds */
    enum flo_stated_outcome outcome; /* the newest word about its model */
    uint64_t aborted_by;             /* deploy: the order that ended its rollout; 0: none */
    bool has_ended;                  /* deploy: its execution here */
    bool is_current;                 /* deploy: its release */
    bool is_answered;                /* for good, and the answer is kept */
    bool takes_back;                 /* rollback: the release that runs here, or is on its
                                      * way, and is denied */
    bool is_absent;                  /* nothing of its model is on the device */
    bool is_set_here;                /* config: the device's own configuration says it */
    struct flo_agent_error refusal;  /* deploy: why it may not run; code 0: it
                                        may */
};
enum flo_intake_kind {
    FLO_INTAKE_ACT,        /* the core hears of it */
    FLO_INTAKE_REPEAT,     /* send the kept answer again */
    FLO_INTAKE_DONE,       /* answer so */
    FLO_INTAKE_REFUSED,    /* answer so, with the error */
    FLO_INTAKE_IGNORED,    /* answer so */
    FLO_INTAKE_SUPERSEDED, /* answer so, with `by` */
};
struct flo_intake_verdict {
    enum flo_intake_kind kind;
    uint64_t by;
    struct flo_agent_error error; /* why it is refused; code 0: not told */
    char why[256];                /* for the trace; may be empty */
};
void flo_agent_intake(const struct flo_intake_facts *facts, struct flo_intake_verdict *out);
const char *flo_intake_word(enum flo_intake_kind kind);
/* Two lines of the trace, for an order that does not reach the core. */
void flo_agent_intake_trace(const struct flo_agent *agent, uint64_t now_ms, const char *order,
                            const char *word, const char *why, struct flo_buf *out);

/* ---- retry ---- */

/* Full jitter: uniform in [0, min * 2^attempt], at most max.  `random` is any
 * 64 random bits. */
uint64_t flo_retry_delay_ms(uint32_t attempt, uint64_t min_ms, uint64_t max_ms, uint64_t random);

/* ---- outbox ---- */

/* Outbox: the stored messages to send next, and when.  Events leave when the
 * controller has acknowledged their sequence; telemetry at PUBACK. */
#define FLO_OUTBOX_WINDOW 64 /* events sent and not yet acknowledged */
#define FLO_OUTBOX_RESEND_MS 30000
struct flo_outbox {
    uint64_t acked;   /* highest event sequence that is final */
    uint64_t sent;    /* highest event sequence sent on this connection */
    uint64_t last;    /* highest event sequence stored */
    uint64_t sent_ms; /* when `sent` last grew */
    uint64_t wait_ms; /* none goes out before */
    bool is_connected;
};
/* A connection begins: every message without an ack is sent again. */
void flo_outbox_connected(struct flo_outbox *outbox, uint64_t now_ms);
void flo_outbox_disconnected(struct flo_outbox *outbox);
void flo_outbox_stored(struct flo_outbox *outbox, uint64_t sequence);
/* cmd.ack; false: it names a sequence that was never sent, or an older one than
 * known; ignored. */
bool flo_outbox_acked(struct flo_outbox *outbox, uint64_t sequence);
/* A whole fleet has the same to tell, and its answers have told it: events go
 * out from then on.  A new connection ends that. */
void flo_outbox_wait(struct flo_outbox *outbox, uint64_t until_ms);
/* The next event to send now, or 0.  Call flo_outbox_sent after sending. */
uint64_t flo_outbox_next(struct flo_outbox *outbox, uint64_t now_ms);
void flo_outbox_sent(struct flo_outbox *outbox, uint64_t sequence, uint64_t now_ms);

#endif
