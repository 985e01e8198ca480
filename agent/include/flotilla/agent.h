/* Flotilla agent core: the decisions of one device.
 *
 * flo_agent_step() takes an event and returns the actions to carry out.  It is
 * pure and total: it uses no clock, file, socket, heap or randomness, and takes
 * any event in any state.  The shell (agent/shell), the trace tests and a
 * simulator drive the same code.
 *
 * Life of an execution (proto/execution.def): accepted, downloading, applying,
 * verifying, staged, probing, activating, soaking, succeeded.  The slot record
 * on disk is authoritative.  The shell's database keeps the open execution, so
 * that it continues after a restart and ends exactly once. */
#ifndef FLOTILLA_AGENT_H
#define FLOTILLA_AGENT_H

#include <flotilla/base.h>
#include <flotilla/proto.h>

/* ---- what it knows ---- */

/* Names a release by its digest, model and version.  A zero digest means no
 * release. */
struct flo_release_ref {
    struct flo_digest digest; /* id of the release: SHA-256 of its signed body */
    char model[FLO_NAME_MAX + 1];
    char version[FLO_NAME_MAX + 1];
};

/* A model has at most two engines.  The second one loads a candidate, or the
 * previous release during a rollback. */
enum flo_agent_role { FLO_AGENT_CURRENT, FLO_AGENT_BESIDE, FLO_AGENT_ROLES };

enum flo_agent_engine_state {
    FLO_ENGINE_NONE,
    FLO_ENGINE_LOADING,
    FLO_ENGINE_READY,
    FLO_ENGINE_WAITING, /* the engine was lost, and the core loads it again at retry_at_ms */
    FLO_ENGINE_RESTING, /* the engine is not in memory; the next request loads it */
};
struct flo_agent_engine {
    enum flo_agent_engine_state state;
    struct flo_release_ref release;
    uint32_t losses; /* number of times in a row that this engine was lost */
    uint64_t retry_at_ms;
    uint64_t ready_at_ms;
    bool is_damaged; /* the release's files are damaged, so no engine can load them */
    /* a request caused this load, so the release is not reported as new, and
     * its trial continues */
    bool is_woken;
    bool is_linked; /* the release answers no requests; a link and a hook activate it */
};

/* Slots of a model, as far as the core needs them.  The slot record on disk has
 * more fields. */
struct flo_agent_slots {
    struct flo_release_ref current, previous, candidate;
    bool is_trial; /* the candidate was activated and serves on trial */
    uint32_t tries_left;
};

struct flo_agent_error {
    int code; /* 0: none */
    char step[16];
    char what[256];
};

/* Numbers for display: cost of the update and results of the probe. */
struct flo_agent_detail {
    char codec[16];
    uint64_t bytes, full_bytes, took_ms;
    uint64_t neighbour_bytes; /* part of `bytes` that came from neighbours */
    uint32_t cases, passed;
    double ratio; /* time per token, divided by that of the current release; 0: unknown */
    uint64_t memory_bytes;
};

/* ---- what an update waits for ---- */

enum flo_wait {
#define FLO_WAIT(name, word, is_asked, states, is_ending, text) FLO_WAIT_##name,
#include "agent/core/execution/waits.def"
    FLO_WAIT_COUNT
};
#define FLO_WAIT_BIT(wait) (1u << (wait)) /* Returns the bit of a wait in a set of waits. */
const char *flo_wait_word(enum flo_wait wait);

/* ---- bets ---- */

/* State of a sequential test: each answer is yes or no, and the share of yes is
 * compared with a limit. */
struct flo_bet {
    uint64_t yes, count;
    double log_odds; /* logarithm of the odds against the claim that the share equals the limit */
};
/* Adds one answer to the test.  Every call must pass the same limit, above 0
 * and below 1. */
void flo_bet_add(struct flo_bet *bet, double limit, bool is_yes);
/* Return whether the share of yes is certainly above (or below) the limit.
 * Chance alone gives a wrong result with a probability of at most 1/odds. */
bool flo_bet_is_above(const struct flo_bet *bet, double limit, double odds);
bool flo_bet_is_below(const struct flo_bet *bet, double limit, double odds);

#define FLO_EXECUTION_ID_MAX 80
#define FLO_AGENT_REASON_BYTES 256
/* Number of times that a candidate's engine may be killed from outside; the
 * next such kill counts as a failure of its release. */
#define FLO_AGENT_KILLS_PARDONED 2u
struct flo_agent_execution {
    char id[FLO_EXECUTION_ID_MAX]; /* r-0001.1, bundle.0123abcd.1, repair.… */
    char rollout[FLO_NAME_MAX + 1];
    /* id of the order that asks for the execution; empty: a bundle or a repair
     * asks for it */
    char order[FLO_NAME_MAX + 1];
    /* path of the bundle file; empty: the files come from the network */
    char bundle[256];
    uint32_t attempt;
    uint32_t phase;
    uint32_t epoch;
    uint64_t seq;
    struct flo_release_ref release;
    /* Variant of the current release that replaces the serving variant.  Empty:
     * this execution is an update or a repair. */
    char variant[FLO_NAME_MAX + 1];
    /* true: `variant` is measured next to the one that serves, and replaces it
     * only if its speed is within the policy's ratio */
    bool is_measured;
    struct flo_policy policy;
    enum flo_execution state;
    uint32_t starts; /* number of probes begun, limited because a probe may crash the machine */
    uint32_t unsure; /* number of probes that ended without a verdict */
    uint32_t runtime_failures; /* number of probes that a fault of the runtime ended */
    /* number of times that the candidate's engine was killed from outside */
    uint32_t kills;
    struct flo_agent_detail detail;
    struct flo_agent_error error; /* reason why the execution ended, or why its last try failed */
    /* reason why the execution waits; empty: it does not wait */
    char reason[FLO_AGENT_REASON_BYTES];
    /* earliest time at which the execution starts; 0: at once */
    uint64_t start_at_ms;

    /* The members from here on are lost when the agent restarts. */
    uint64_t since_ms, deadline_ms; /* 0: no deadline */
    uint64_t retry_at_ms;
    uint32_t job; /* number of the updater job in progress; 0: none */
    uint32_t retries;
    bool fits_both; /* memory holds the candidate and the current release together */
    bool is_draining, is_probed, is_writing;
    uint64_t soak_end_ms;
    uint64_t requests, errors, crashes;
    /* number of failures in a row because memory, descriptors or the like were
     * lacking */
    uint32_t lacks;
    /* sequential test of the candidate's error rate; each failed request is a
     * "yes" */
    struct flo_bet failing;
    /* bit for each of the last 64 requests, bit 0 the newest; 1: it failed */
    uint64_t recent;
};

/* State of a rollback whose target must be loaded first. */
struct flo_agent_return {
    bool is_active;
    /* true: the current release is rolled back; false: a candidate on trial
     * is */
    bool is_committed;
    bool is_draining;
    bool is_writing; /* the shell is writing the rotated slots to disk */
    /* time at which requests that still run are cut off; 0: the rollback waits
     * for none */
    uint64_t due_ms;
    struct flo_release_ref from, to;
    char order[FLO_NAME_MAX + 1];
    uint32_t deny_count; /* number of releases to block with the rollback */
    struct flo_digest deny[FLO_ORDER_FROM_MAX];
    uint64_t number; /* sequence number of the order; 0: an operator at the device asked */
};

/* State of the removal of a model. */
struct flo_agent_removal {
    bool is_active;
    bool is_writing; /* the shell is writing the tombstone */
    /* time at which requests that still run are cut off and the tombstone is
     * written; 0: not set */
    uint64_t due_ms;
    struct flo_digest release;
    char order[FLO_NAME_MAX + 1]; /* empty: by hand */
};

#define FLO_AGENT_PAUSED_MAX 24
/* Paused rollouts, as in the device record.  No execution of a paused rollout
 * starts. */
struct flo_agent_pauses {
    char rollouts[FLO_AGENT_PAUSED_MAX][FLO_NAME_MAX + 1]; /* names; empty: free */
    bool all; /* too many rollouts are paused to list them, so all count as paused */
};
/* Largest number of models on one device.  The device's configuration may set a
 * lower limit. */
#define FLO_AGENT_MODELS_MAX 16
/* State of one model on this device: its slots, its engines and its
 * execution. */
struct flo_agent_model {
    char name[FLO_NAME_MAX + 1]; /* name of the model; empty: this entry is free */
    bool has_execution;
    /* role of the engine that gets the requests (enum flo_agent_role); -1:
     * none */
    int live;
    bool is_linked; /* the model's link is on the disk, or the shell is making it */
    /* the shell is making the link of the live engine, or running its hook */
    bool is_switching;
    /* the program that reads the live release is unhealthy, or the release's
     * hook failed */
    bool is_ill;
    bool is_on_demand;     /* the memory plan says that the model is on demand */
    bool is_wanted;        /* a request waits for the model's load */
    uint32_t repairs;      /* number of repairs in a row that were asked for */
    uint64_t repair_at_ms; /* earliest next repair */
    struct flo_agent_slots slots;
    struct flo_agent_engine engines[FLO_AGENT_ROLES];
    struct flo_digest refused;  /* release that its engine refused although its files are correct */
    int refusal;                /* error code of that refusal (member `refused`) */
    struct flo_digest let_down; /* release that the runtime failed to run in the last execution */
    struct flo_agent_execution execution;
    struct flo_agent_return going_back;
    struct flo_agent_removal removal;
};
struct flo_agent {
    uint64_t origin_ms; /* time of the agent's start, which the trace shows as 0 */
    uint64_t random;
    uint64_t timer_ms; /* time for which the shell's timer is set; 0: no timer is set */
    uint64_t revision; /* number that grows whenever the device's report changes */
    bool is_booted;
    bool is_frozen;
    /* the disk accepts no writes, so data that cannot be read may still be
     * intact */
    bool is_disk_gone;
    uint32_t jobs;
    uint32_t models_max; /* largest number of models, from the configuration */
    uint32_t waits;      /* set of conditions that every update waits for */
    /* set of all conditions for updates that are not met now, whether the
     * configuration or an order's policy asks for them */
    uint32_t lacks;
    uint64_t wall_ms; /* wall clock time of this step; 0: unknown */
    struct flo_agent_pauses pauses;
    struct flo_agent_model models[FLO_AGENT_MODELS_MAX];
};

/* ---- what happens ---- */

/* Each comment gives the cause of the event, then in parentheses the fields of
 * the event that are set. */
enum flo_agent_event_kind {
    FLO_AGENT_BOOT,     /* the agent has started; always the first event (boot) */
    FLO_AGENT_DEPLOY,   /* an order, a bundle or a repair wants this verified release (deploy) */
    FLO_AGENT_ORDER,    /* a verified order with any other operation is for this device (order) */
    FLO_AGENT_GO_BACK,  /* an operator at the device wants to roll back to the previous release */
    FLO_AGENT_REMOVE,   /* an operator at the device wants to remove the model */
    FLO_AGENT_PROGRESS, /* the updater's job has reached this state (job, state) */
    /* the updater has staged the release's files; with an error, memory is too
     * small for the release (job, detail, fits_both, error) */
    FLO_AGENT_STAGED,
    /* the updater's job failed; is_passing: another try may help (job, error,
     * is_passing) */
    FLO_AGENT_JOB_FAILED,
    FLO_AGENT_WRITTEN,   /* the shell has written the slots to the disk, as an action asked for */
    FLO_AGENT_UNWRITTEN, /* the shell could not write the slots as an action asked for (error) */
    FLO_AGENT_LOADING,   /* the engine with this role is still loading (role) */
    FLO_AGENT_LOADED,    /* the engine with this role has been loaded (role, is_linked) */
    /* a linked release is active: its link is made, its hook has run, and its
     * program is healthy (release) */
    FLO_AGENT_ACTIVATED,
    /* the link, the hook or the program of a linked release failed (release,
     * error) */
    FLO_AGENT_ILL,
    FLO_AGENT_LOST,    /* the engine with this role died, hung or failed to load (role, error) */
    FLO_AGENT_DRAINED, /* an engine that only ended its last requests (draining) is gone */
    /* the probe of the candidate has ended; error code 0: it passed;
     * FLO_E_PROBE_UNSURE: it gave no verdict (detail, error) */
    FLO_AGENT_PROBED,
    /* a request ended, and after it `more` requests with the same result
     * (release, error, more) */
    FLO_AGENT_REQUEST,
    /* the memory plan has changed the model's place in memory (is_on_demand,
     * is_other_rung) */
    FLO_AGENT_PLACED,
    FLO_AGENT_WANTED,     /* a request waits until this on-demand model is loaded */
    FLO_AGENT_EVICT,      /* another model needs the memory of this on-demand model */
    FLO_AGENT_PRESSURE,   /* memory is short, so a release that is not needed must be unloaded */
    FLO_AGENT_CONDITIONS, /* the conditions for updates have changed (lacks) */
    /* The trusted keys have changed.  With an error, the release in progress
     * may not begin.  is_forgotten: the previous release may not serve again
     * (error, is_forgotten) */
    FLO_AGENT_TRUST,
    FLO_AGENT_TIMER, /* now_ms reached timer_ms */
    FLO_AGENT_STOP,  /* the agent stops; this is its last event */
    FLO_AGENT_EVENT_COUNT
};

/* Records of a model that the shell found at the start of the agent. */
struct flo_agent_booted {
    uint32_t model;
    char name[FLO_NAME_MAX + 1];
    struct flo_agent_slots slots;
    /* The open execution from the database, or one rebuilt from the slot
     * record; NULL: none.  When the record has a candidate, the execution
     * belongs to it. */
    const struct flo_agent_execution *open;
    bool has_ended; /* the execution has ended; only its leftovers are removed */
    /* Tells whether and why the record blocks the execution's release. */
    enum flo_denial_cause denial;
    bool is_linked; /* a link of the model is on the disk */
    bool fits_both; /* memory holds the candidate and the current release together */
};

struct flo_agent_event {
    enum flo_agent_event_kind kind;
    uint32_t model; /* index of the model; not used by boot, freeze and timer events */
    uint64_t now_ms;
    uint64_t wall_ms;  /* wall clock time, for maintenance windows; 0: unknown */
    uint64_t slept_ms; /* how long the machine was suspended since the last step */
    enum flo_agent_role role;
    enum flo_execution state;
    uint32_t job;
    bool is_passing;
    bool fits_both;
    bool is_on_demand;
    /* the current engine was loaded at another degradation level than the
     * memory plan has now */
    bool is_other_rung;
    uint32_t lacks; /* set of the unmet conditions (enum flo_wait) */
    uint32_t more;
    bool is_linked; /* the loaded engine answers no requests */
    bool is_forgotten;
    bool is_split; /* the current release only serves a share of another model's requests */
    /* for an order to unfreeze: the device stays frozen, because its other
     * freeze (normal or emergency) goes on */
    bool stays_frozen;
    struct flo_agent_error error;
    struct flo_agent_detail detail;
    struct flo_digest release;
    /* order of an event FLO_AGENT_ORDER; the core borrows it during the call */
    const struct flo_order *order;
    /* For an order to pause, resume or abort: all rollouts paused now.  The
     * core borrows it during the call. */
    const struct flo_agent_pauses *pauses;
    struct {
        /* records of the models, at most one for each model index; borrowed
         * during the call */
        const struct flo_agent_booted *models;
        size_t model_count;
        uint32_t models_max; /* largest number of models; 0: FLO_AGENT_MODELS_MAX */
        bool is_frozen;
        const struct flo_agent_pauses *pauses; /* NULL: none */
        /* set of conditions that updates wait for, and set of those not met
         * now */
        uint32_t waits, lacks;
        uint64_t seed;
    } boot;
    struct {
        /* execution to begin; its members up to `policy` are filled */
        const struct flo_agent_execution *execution;
        /* reason why the release may not run on this device; code 0: it may */
        struct flo_agent_error refusal;
    } deploy;
};

/* ---- what to do about it ---- */

/* Each comment gives the work of the shell, then in parentheses the fields of
 * the action that are set. */
enum flo_agent_action_kind {
    FLO_DO_JOB,        /* start this job of the updater for the execution (job) */
    FLO_DO_CANCEL_JOB, /* cancel this job and ignore its later events (job) */
    /* make the execution's release the candidate; the shell answers with
     * WRITTEN */
    FLO_DO_SLOT_STAGE,
    /* begin the trial and count its first start; the shell answers with
     * WRITTEN */
    FLO_DO_SLOT_TRIAL,
    /* count a start of the candidate before its engine is loaded; if that write
     * fails, the shell loads nothing and answers with UNWRITTEN */
    FLO_DO_SLOT_TRY,
    FLO_DO_SLOT_COMMIT, /* make the candidate the current release; the shell answers with WRITTEN */
    FLO_DO_SLOT_CLEAR,  /* forget the candidate */
    FLO_DO_SLOT_UNTRY,  /* take back the count of the candidate's present start */
    FLO_DO_SLOT_BACK,   /* make the previous release the current one */
    FLO_DO_SLOT_REMOVE, /* replace the slot record by a tombstone; the shell answers with WRITTEN */
    FLO_DO_CLOSE,       /* refuse new requests of the model */
    FLO_DO_FREE,        /* free the entry of the model */
    /* block the release; number: sequence number of the order, 0 for an
     * operator (release, cause, number) */
    FLO_DO_DENY,
    FLO_DO_REPAIR, /* send a DEPLOY event for the release, without an order (release) */
    /* serve the execution's variant from now on; the shell answers with
     * WRITTEN */
    FLO_DO_VARIANT,
    FLO_DO_FREEZE, /* freeze the device; flag false: unfreeze it (flag) */
    FLO_DO_LOAD,   /* load the release in the engine with this role (role, release) */
    /* unload the engine with this role; flag: let its requests end first (role,
     * flag) */
    FLO_DO_UNLOAD,
    /* send requests to the engine with this role; for a linked release, point
     * its link to it and run its hook (role) */
    FLO_DO_FLIP,
    FLO_DO_UNLINK,  /* remove the model's link and run the hook (release.model) */
    FLO_DO_HOLD,    /* let the model's requests wait, because no engine is live */
    FLO_DO_REST,    /* load the release only when a request needs it (release) */
    FLO_DO_PROMOTE, /* give the second engine the role of the current one */
    FLO_DO_PROBE,   /* probe the candidate by the execution's policy */
    FLO_DO_EVENT,   /* report the state that the execution has entered, or its end */
    FLO_DO_SERVING, /* report which release serves (word, release) */
    FLO_DO_ACK,     /* answer the order with this result (order, word, error) */
    FLO_DO_COLLECT, /* delete the blobs that no record names */
    FLO_DO_TIMER,   /* at_ms; 0: none */
    FLO_DO_NOTE,    /* show the reason for a decision in the trace only (error.what) */
    FLO_DO_COUNT
};

struct flo_agent_action {
    enum flo_agent_action_kind kind;
    uint32_t model; /* index */
    enum flo_agent_role role;
    bool flag;
    bool is_linked; /* the release that becomes live answers no requests */
    uint32_t job;
    uint64_t at_ms;
    uint64_t number;
    enum flo_denial_cause cause;
    const char *word; /* a static string */
    char order[FLO_NAME_MAX + 1];
    struct flo_release_ref release;
    struct flo_agent_error error;
};

/* Largest number of actions in one step.  A rollback blocks each release that
 * its order names; the agent's start handles every model. */
#define FLO_AGENT_ACTIONS_MAX (FLO_ORDER_FROM_MAX + 24 * FLO_AGENT_MODELS_MAX)
#define FLO_AGENT_REPORTS_MAX (2 * FLO_AGENT_MODELS_MAX)
struct flo_agent_actions {
    size_t count;
    struct flo_agent_action list[FLO_AGENT_ACTIONS_MAX];
    /* Copies of the executions that the FLO_DO_EVENT actions report, in the
     * same order.  Each was made when its action was added. */
    size_t report_count;
    struct flo_agent_execution reports[FLO_AGENT_REPORTS_MAX];
};

/* Processes an event.  Clears `actions`, then adds the actions in the order in
 * which the shell must carry them out.  After the last one, the shell sends an
 * event for each action that failed.  Returns the number of actions. */
int flo_agent_step(struct flo_agent *agent, const struct flo_agent_event *event,
                   struct flo_agent_actions *actions);

/* Returns whether the model's entry has no data and nothing in progress, so
 * that another model may take it. */
bool flo_agent_is_idle(const struct flo_agent *agent, uint32_t model);

/* Returns whether the model is unloaded until a request loads it. */
bool flo_agent_is_resting(const struct flo_agent_model *model);
/* Returns whether the model may be unloaded now: none of its engines takes part
 * in a probe, and its slots are not being written. */
bool flo_agent_may_rest(const struct flo_agent *agent, uint32_t model);

/* Returns whether the model's execution waits for mains, temperature, an idle
 * device or an unmetered network. */
bool flo_agent_is_waiting(const struct flo_agent *agent, uint32_t model);

/* Returns whether the model's candidate is on trial while its previous release
 * is still in memory. */
bool flo_agent_has_warm(const struct flo_agent_model *model);

/* Returns whether the updater may be writing files that no record refers to
 * yet. */
bool flo_agent_is_fetching(const struct flo_agent *agent);

/* Appends the step as text: one line "[ 1.250] word ..." for the event, then an
 * indented line for each state, action and reason.  The log, the golden tests
 * and `flotilla-agent explain` show this text.  A step that changes nothing
 * adds no text. */
void flo_agent_trace(const struct flo_agent *agent, const struct flo_agent_event *event,
                     const struct flo_agent_actions *actions, struct flo_buf *out);

/* ---- drift ---- */

/* Reason why a model runs another release than the assigned one, while no
 * execution is about to change that. */
enum flo_drift {
    FLO_DRIFT_NONE,
    FLO_DRIFT_BEHIND,      /* the assigned release is newer than the running one */
    FLO_DRIFT_AHEAD,       /* the assigned release is older than the running one */
    FLO_DRIFT_DENIED,      /* the assigned release, or the running one, is blocked here */
    FLO_DRIFT_BELOW_FLOOR, /* the assigned release is below the minimum release */
    FLO_DRIFT_FROZEN,      /* the assigned release waits until a freeze ends */
    FLO_DRIFT_PAUSED,      /* the assigned release waits because its rollout is paused */
    FLO_DRIFT_NO_MEMORY,   /* memory does not hold the model together with the other models */
    FLO_DRIFT_DISK,        /* the disk accepts no writes, so the assigned release could not come */
    FLO_DRIFT_RUNTIME      /* the runtime's last attempt to run the assigned release failed */
};
const char *flo_drift_word(enum flo_drift drift);
/* Release that the controller has assigned to a model, as stored on this
 * device. */
struct flo_agent_target {
    /* digest of the release; zero: none is assigned, the current one stays */
    struct flo_digest release;
    uint64_t number, current_number; /* 0: unknown */
    /* reason why the release may not run: FLO_E_TARGET_...,
     * FLO_E_MEMORY_BUDGET; 0: it may */
    int refusal;
    bool is_current_denied;
};
enum flo_drift flo_agent_drift(const struct flo_agent *agent, uint32_t model,
                               const struct flo_agent_target *target);

/* ---- derived artifacts ---- */

/* Limits of packing: the number of tries by one version of the agent, and the
 * time of one try in ms.  Time in which a slow disk writes is not counted. */
#define FLO_DERIVED_TRIES_MAX 2
#define FLO_DERIVED_MAKE_MS_MAX 60000
/* Digests of up to eight model files; a new one replaces the oldest. */
struct flo_model_notes {
    struct flo_digest models[8];
    size_t count;
};
/* Knowledge about the derived artifacts of the models: their packed weights. */
struct flo_derived {
    /* models for which the engines of this device read no packed weights */
    struct flo_model_notes unpackable;
    /* models that are not packed again, because packing them failed */
    struct flo_model_notes unpacked;
    /* model whose packed file was made, with no crash of an engine since */
    struct flo_digest fresh;
    struct flo_digest refused; /* model whose packed file an engine has refused once */
    bool has_made;
};
/* Returns whether the agent looks for packed weights of this model, and makes
 * them where they are missing. */
bool flo_derived_is_asked_for(const struct flo_derived *derived, const struct flo_digest *model);
/* Returns whether the agent makes the missing packed weights.  `failures` is
 * the number of failed tries by this version of the agent, over all
 * restarts. */
bool flo_derived_may_make(struct flo_derived *derived, const struct flo_digest *model,
                          unsigned failures);
void flo_derived_made(struct flo_derived *derived, const struct flo_digest *model);
/* Records a failed try to pack.  Returns whether the try counts against this
 * version of the agent for good, over its restarts.  `has_written`: the try has
 * written to the disk. */
bool flo_derived_failed(struct flo_derived *derived, const struct flo_digest *model, int code,
                        bool has_written);
/* Records that the engine refused a packed file because it belongs to another
 * model.  The first time the file is made again.  Returns true the second time,
 * after which this version of the agent makes it no more. */
bool flo_derived_refused(struct flo_derived *derived, const struct flo_digest *model);
/* Records that an engine serves with the packed file, so an earlier refusal is
 * forgotten. */
void flo_derived_accepted(struct flo_derived *derived);
/* Records that an engine crashed, so the packed file is hashed again before
 * use. */
void flo_derived_doubt(struct flo_derived *derived);
bool flo_derived_is_fresh(const struct flo_derived *derived, const struct flo_digest *model);
/* Returns whether the model lacks packed weights that would make its engine
 * faster.  The agent then does not compare the engine's speed. */
bool flo_derived_is_lacking(const struct flo_derived *derived, const struct flo_digest *model);
/* Returns whether a new model is expected to be packed on this device. */
bool flo_derived_is_expected(const struct flo_derived *derived);
/* Returns the limit of CPU time for packing a model of this size. */
uint64_t flo_derived_ms_max(uint64_t model_bytes);

/* ---- orders ---- */

/* Knowledge of the device about the present time. */
struct flo_agent_time {
    uint64_t clock_ms;    /* time by the machine's clock; 0: that clock is not reliable */
    bool is_synchronised; /* a time service keeps the machine's clock correct */
    uint64_t trusted_ms;  /* flo_device_time */
};
/* Limits on how far an order's time may be ahead of this device's clock.  Each
 * order moves the trusted time, which never goes back, so an order from the
 * future would expire all later orders.  The lower limit is for a clock that a
 * time service keeps correct: a larger difference is then a fault of the
 * controller's clock. */
#define FLO_ORDER_AHEAD_MS (UINT64_C(400) * 86400000)
#define FLO_ORDER_AHEAD_SYNCHRONISED_MS UINT64_C(86400000)
/* Returns whether this error answers an order, because its cause is the order,
 * the signature or the release.  Any other cause (a disk, memory) is in this
 * device: then nothing was decided, and the controller must send the order
 * again. */
bool flo_agent_is_verdict(int code);
/* Checks that this order is for this device, and that its time is valid now.
 * Returns FLO_E_CMD_SCOPE, FLO_E_CMD_EXPIRED or FLO_E_CMD_FUTURE if not, and
 * FLO_E_CMD_FORMAT when it names no release. */
FLO_MUST_USE int flo_agent_order_admit(const struct flo_order *order, const char *device,
                                       const char (*groups)[FLO_NAME_MAX + 1], size_t group_count,
                                       const struct flo_agent_time *time, struct flo_err *err);

/* Returns why this error blocks a release: the release has a fault, or is too
 * slow or too large for this device.  Returns FLO_DENIAL_ALLOWED when the cause
 * was the network, the disk, an operator or a busy machine, which blocks no
 * release. */
enum flo_denial_cause flo_agent_denial_cause(int code);
/* An execution ends after this number of probes without a verdict. */
#define FLO_AGENT_UNSURE_MAX 4
/* Longest pause before a probe that gave no verdict is repeated; a changed
 * clock does not lengthen it. */
#define FLO_AGENT_UNSURE_WAIT_MS_MAX (UINT64_C(60000) * 30 * 30)
/* An execution ends after this number of probes that the runtime failed. */
#define FLO_AGENT_RUNTIME_TRIES 3
/* Returns whether the cause of the error is the device's runtime: its files,
 * its process or its answers. */
bool flo_agent_is_runtimes_fault(int code);
/* Returns whether the error says that the device lacks memory or descriptors,
 * which every release needs. */
bool flo_agent_lacks(int code);
/* Returns whether a request with this result counts against the release on
 * trial. */
bool flo_agent_blames_serving(int code);

/* ---- order intake ---- */

/* A verified order, with the facts of this device that decide about it. */
struct flo_intake_facts {
    const struct flo_order *order;
    enum flo_standing standing;      /* result of the comparison with the stored orders */
    uint64_t by;                     /* for FLO_STATEMENT_SUPERSEDED: number of the newer order */
    enum flo_stated_outcome outcome; /* outcome of the newest order about the same model */
    uint64_t aborted_by; /* for deploy: number of the order that aborted its rollout; 0: none */
    bool has_ended;      /* for deploy: the execution of this order has ended on this device */
    bool is_current;     /* for deploy: its release is the current one on this device */
    bool is_answered;    /* the order has ended for good, and its answer is stored */
    /* for rollback: a release that it blocks runs here or is being installed */
    bool takes_back;
    /* for benchmark: this device began it, and no other benchmark since */
    bool is_under_way;
    bool is_absent;   /* the device has nothing of the model that the order names */
    bool is_set_here; /* for config: the device's own configuration sets the value */
    /* for deploy: reason why the release may not run here; code 0: it may */
    struct flo_agent_error refusal;
};
enum flo_intake_kind {
    FLO_INTAKE_ACT,        /* pass the order to the core */
    FLO_INTAKE_REPEAT,     /* send the stored answer again */
    FLO_INTAKE_DONE,       /* answer so */
    FLO_INTAKE_REFUSED,    /* answer "refused", with the error */
    FLO_INTAKE_IGNORED,    /* answer so */
    FLO_INTAKE_SUPERSEDED, /* answer "superseded", with the number `by` of the newer order */
};
struct flo_intake_verdict {
    enum flo_intake_kind kind;
    uint64_t by;
    struct flo_agent_error error; /* reason of the refusal; code 0: the answer contains no error */
    char why[256];                /* reason for the trace; it may be empty */
};
void flo_agent_intake(const struct flo_intake_facts *facts, struct flo_intake_verdict *out);
const char *flo_intake_word(enum flo_intake_kind kind);
/* Appends two lines to the trace, for an order that is not passed to the
 * core. */
void flo_agent_intake_trace(const struct flo_agent *agent, uint64_t now_ms, const char *order,
                            const char *word, const char *why, struct flo_buf *out);

/* ---- retry ---- */

/* Returns a random delay before a retry: uniform between 0 and min * 2^attempt,
 * and at most max.  `random` is any 64 random bits. */
uint64_t flo_retry_delay_ms(uint32_t attempt, uint64_t min_ms, uint64_t max_ms, uint64_t random);

/* ---- outbox ---- */

/* Outbox: state from which the next message to send and the time to send it are
 * computed.  A stored event is removed when the controller has acknowledged its
 * sequence number, and telemetry when the broker has confirmed it (PUBACK). */
#define FLO_OUTBOX_WINDOW 64 /* largest number of events that are sent and not yet acknowledged */
#define FLO_OUTBOX_RESEND_MS 30000
struct flo_outbox {
    uint64_t acked;   /* highest sequence number of an event that the controller has acknowledged */
    uint64_t sent;    /* highest sequence number of an event sent on this connection */
    uint64_t last;    /* highest sequence number of a stored event */
    uint64_t sent_ms; /* time at which `sent` last grew */
    uint64_t wait_ms; /* time before which no event is sent */
    bool is_connected;
};
/* Begins a connection, on which every unacknowledged message is sent again. */
void flo_outbox_connected(struct flo_outbox *outbox, uint64_t now_ms);
void flo_outbox_disconnected(struct flo_outbox *outbox);
void flo_outbox_stored(struct flo_outbox *outbox, uint64_t sequence);
/* Handles the controller's message cmd.ack.  Returns false, and changes
 * nothing, when its sequence number is not above `acked` or is above `last`. */
bool flo_outbox_acked(struct flo_outbox *outbox, uint64_t sequence);
/* Delays events until `until_ms`, or until a new connection.  The caller does
 * so after an order to a whole fleet, because the answers to the order say the
 * same as the events. */
void flo_outbox_wait(struct flo_outbox *outbox, uint64_t until_ms);
/* Returns the sequence number of the event to send now; 0: there is none.  The
 * caller then sends it and calls flo_outbox_sent. */
uint64_t flo_outbox_next(struct flo_outbox *outbox, uint64_t now_ms);
void flo_outbox_sent(struct flo_outbox *outbox, uint64_t sequence, uint64_t now_ms);

#endif
