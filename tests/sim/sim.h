/* Simulation: a whole fleet in one process, from one seed.
 *
 * The controller's rooms (core, store in memory, state, mqtt) and the device's
 * cores and shell (agent/core, agent/shell, updater/core, updater/verify) are
 * linked as they are shipped.  Everything else is played here: broker, links,
 * mirror, disks, clocks, engines and the people who give orders.  Virtual time jumps from one
 * event to the next, so an hour takes milliseconds.
 *
 *   main.c         seeds, traces, shrinking
 *   operator.c     people
 *   nemesis.c      misfortunes (nemesis.def)
 *   clocks.c       a wrong clock of the controller for an hour, all kinds at devices
 *   silence.c      days of sleep, away and with wrong clocks; held-back statements
 *   check.c        rules (rules.def) that hold at each step; calm.c: in the end
 *   world/         schedule, host, broker, mirror, the shipped controller
 *   device/        life and work of a device around the shipped shell
 *   disk/ ports/   below it: records and outbox; timers, MQTT, HTTPS
 *
 * tests/fleet puts the same devices into another world, the real one. */
#ifndef FLOTILLA_TESTS_SIM_H
#define FLOTILLA_TESTS_SIM_H

#include <flotilla/agent.h>
#include <flotilla/base.h>
#include <flotilla/release.h>
#include <flotilla/updater.h>

#include "base/host/mqtt.h"

#define SIM_FLEET "demo"
#define SIM_DEVICES_MAX 1000
#define SIM_CROWD 100 /* the largest fleet that a seed makes */
#define SIM_MODELS_MAX 2
#define SIM_RELEASES_MAX 24
#define SIM_GROUPS 2 /* all, lab */
#define SIM_JUDGED_MAX 32
#define SIM_STATEMENTS_MAX 16
#define SIM_WALL_MS UINT64_C(1900000000000)

/* ---- numbers by chance ---- */

struct sim_random {
    uint64_t state;
};
struct sim_random sim_random_of(uint64_t seed, const char *purpose);
uint64_t sim_next(struct sim_random *random);
uint64_t sim_below(struct sim_random *random, uint64_t limit);
uint64_t sim_between(struct sim_random *random, uint64_t from, uint64_t to);
bool sim_chance(struct sim_random *random, unsigned of_thousand);

/* ---- messages ---- */

/* Counted; never changed after it was made. */
struct sim_message {
    unsigned refs;
    enum flo_topic topic;
    int device; /* of d/{d}/...; -1: none */
    int group;  /* of g/{g}/order; -1: none */
    bool is_retained;
    size_t bytes;
    char *name; /* the whole topic */
    char data[];
};
struct sim_message *sim_message_new(const char *topic, const void *data, size_t bytes,
                                    bool is_retained);
struct sim_message *sim_message_ref(struct sim_message *message);
void sim_message_drop(struct sim_message *message);

/* ---- schedule ---- */

struct sim_device;
struct sim_call {
    uint64_t at_ms;
    uint64_t number; /* of equal times the lower one goes first */
    void (*fn)(const struct sim_call *call);
    struct sim_device *device; /* NULL: nobody's */
    uint32_t life;             /* of it; another one by then: no call */
    bool is_retained;
    uint64_t a, b;
    void *object;
    void *owned;                 /* freed after it */
    struct sim_message *message; /* its reference */
};
void sim_later(uint64_t in_ms, struct sim_call call);
/* When the next one is due; UINT64_MAX: there is none. */
uint64_t sim_schedule_next(void);
/* Run what is due up to then, or until something was violated. */
void sim_run_until(uint64_t at_ms);
void sim_schedule_clear(void);

/* ---- releases ---- */

enum sim_kind {
#define SIM_KIND(name, word, meaning) SIM_##name,
#include "tests/sim/kinds.def"
#undef SIM_KIND
    SIM_KINDS
};
struct sim_release {
    struct flo_release_ref ref;
    uint32_t model;
    uint64_t number, floor;
    enum sim_kind kind;
    unsigned share;    /* of a thousand devices where it behaves so */
    bool is_published; /* the controller has it */
    struct flo_buf body, envelope;
};

/* ---- broker ---- */

struct sim_flight {
    struct sim_message *message;
    bool is_retained;
    bool is_there; /* only its acknowledgement is still under way */
    uint64_t number;
};
struct sim_flights {
    struct sim_flight *items;
    size_t count, room;
};
/* A client and its link. */
struct sim_client {
    int device;          /* -1: the controller */
    bool is_connected;   /* as the broker sees it */
    bool believes;       /* as the client sees it */
    uint32_t connection; /* its number */
    bool has_session;
    uint64_t session_ms; /* lives so long without a connection */
    uint64_t left_ms;
    bool listens; /* has subscribed */
    uint64_t delay_ms;
    uint64_t flight_number;
    struct sim_flights down, up;
    uint64_t down_ms[FLO_TOPIC_COUNT], up_ms[FLO_TOPIC_COUNT];
    uint64_t onward_ms[FLO_TOPIC_COUNT]; /* to the controller */
};
void sim_broker_open(void);
void sim_broker_close(void);
void sim_client_init(struct sim_client *client, int device, uint64_t session_ms);
void sim_client_deinit(struct sim_client *client);
/* Its process ended: nothing of it goes out any more. */
void sim_client_died(struct sim_client *client);
/* Ask for a connection; the client hears of it, or tries again. */
void sim_client_dial(struct sim_client *client);
void sim_client_subscribe(struct sim_client *client);
bool sim_client_publish(struct sim_client *client, enum flo_topic topic, const char *name,
                        const void *data, size_t bytes);
/* The link fails; each side notices later. */
void sim_client_cut(struct sim_client *client);
/* Its machine sleeps: it notices when it wakes. */
void sim_client_sleeps(struct sim_client *client, uint64_t lasts_ms);
void sim_broker_kill(void);
void sim_broker_start(void);
/* A broker that is not ours any more: old messages come again, some to others.
 */
void sim_broker_replay(void);
bool sim_broker_is_up(void);
/* A device subscribes to the topics of its groups. */
void sim_broker_groups(struct sim_device *device);
/* trust.c: the broker forgets this message of the emergency key. */
void sim_emergency_gone(const char *text);
/* Any client with an account: it is retained. */
void sim_broker_publish(const char *topic, const char *text);

/* ---- controller ---- */

struct flo_controller;
struct sim_controller {
    struct sim_client client;
    struct flo_controller *controller; /* NULL: it is down */
    struct flo_batches *batches;
    uint32_t life;
    int64_t skew_ms;
    bool disk_fails, dies_at_commit;
    uint64_t leapt_ms; /* the last check that saw its clock leapt; 0: none did */
    uint64_t restarts;
    struct flo_trust *trust; /* as devices have it */
};
void sim_controller_init(void);
void sim_controller_start(void);
void sim_controller_kill(void);
void sim_controller_deinit(void);
/* The fake MQTT client of the controller hears. */
void sim_controller_connected(void);
void sim_controller_disconnected(void);
void sim_controller_heard(const struct sim_message *message, bool is_retained);
void sim_devices_enrol(void);
void sim_device_enrol_again(struct sim_device *device);

/* ---- mirror ---- */

int sim_release_find(const struct flo_digest *digest); /* -1: none */
int sim_release_make(uint32_t model, enum sim_kind kind, unsigned share, uint64_t floor);
void sim_releases_clear(void);
/* The place of a model; SIM_MODELS_MAX: none of the world's. */
uint32_t sim_model_of(const char *name);
/* Its release, for a job; sim_job_next or sim_job_failed when it is there. */
void sim_mirror_fetch(struct sim_device *device, uint32_t model, uint32_t job);
/* How a release behaves on a device. */
enum sim_kind sim_behaviour(const struct sim_device *device, int release);
const char *sim_kind_word(enum sim_kind kind);
extern const char *sim_models[SIM_MODELS_MAX];
extern const char *const sim_groups[SIM_GROUPS];

/* ---- device ---- */

struct sim_story {
    struct flo_agent_execution execution;
    bool has_ended;
    unsigned ends; /* how often: for the checks */
    bool is_told;
};
struct sim_stories {
    struct sim_story *items;
    size_t count, room;
};
/* All that outlives a power cut.  Writes are synced, but for answers. */
struct flo_db;
struct sim_disk {
    struct flo_device record;
    const struct flo_trust *trust; /* NULL: the list of the enrolment */
    struct flo_slots slots[SIM_MODELS_MAX];
    uint32_t blobs, damaged;    /* releases, as bits */
    struct flo_db *db;          /* the outbox; NULL: none is stored */
    bool outbox_is_damaged;     /* seen at the next start */
    uint32_t unsynced;          /* answers */
    struct sim_stories stories; /* as the outbox has them */
};
enum sim_engine_state { SIM_ENGINE_NONE, SIM_ENGINE_LOADS, SIM_ENGINE_RUNS };
struct sim_engine {
    enum sim_engine_state state;
    uint64_t number; /* of the process */
    int release;
};
/* A timer of the shipped code: a `struct event` as it sees it (ports/timers.c). */
#define SIM_TIMERS_MAX 16
struct sim_timer {
    void (*fn)(int fd, short what, void *context);
    void *context;
    struct sim_device *device; /* NULL: the controller's */
    uint64_t number;           /* of the call that counts; 0: none is planned */
    uint64_t period_ms;        /* 0: once */
    bool is_taken, repeats;
};
/* ports/mqtt.c */
struct flo_mqtt {
    struct flo_mqtt_handlers handlers;
    struct sim_client *client; /* NULL: it is closed */
};
struct flo_agent;
struct flo_shell;
struct flo_http_answer;
struct sim_device {
    uint32_t index;
    char id[37];
    bool is_in_lab, is_retired; /* as it enrolled: sim_device_is_in_lab */
    bool was_in_lab;            /* people put it there, once */
    uint64_t moved_ms;          /* the last time that they moved it */
    uint32_t enrolments;        /* after the first */
    bool is_fresh;              /* ... and it did not start since */
    struct sim_client client;
    struct sim_random random;
    uint32_t life;
    bool runs;       /* the agent */
    bool lost_power; /* since then */
    uint64_t powered_ms;
    int64_t skew_ms;
    bool is_synchronised;
    bool was_ahead;       /* its clock, by days */
    int64_t tls_ahead_ms; /* the time that TLS goes by, minus its uptime; 0: not told */
    bool tls_is_sure;
    bool is_alone; /* its link is cut */
    /* silence.c */
    uint64_t asleep_ms, awake_ms; /* it sleeps from then to then; 0: it never slept */
    uint64_t slept_ms;            /* since its power came */
    uint64_t silent_ms;           /* connected and awake without a newest statement */
    bool is_held;                 /* somebody holds them back from it */
    bool was_stale, has_told;
    bool outbox_was_lost;
    bool disk_is_full;
    bool fits_both;
    unsigned pace; /* how long its work takes; 1000: as usual */
    uint32_t lacks;
    uint64_t cut_after; /* power fails after so many writes; 0: not */
    struct sim_disk disk;
    /* The agent's memory; that of the last one, while none runs. */
    struct flo_shell *shell;
    struct sim_engine engines[FLO_AGENT_MODELS_MAX][FLO_AGENT_ROLES]; /* by place */
    uint64_t engine_number;
    uint32_t job; /* number; 0: none */
    struct {
        void (*done)(void *context, const struct flo_http_answer *answer,
                     const struct flo_err *failed);
        void *context;
    } https; /* the call under way; done NULL: none */
    struct sim_timer timers[SIM_TIMERS_MAX];
    struct flo_mqtt mqtt;
    struct sim_stories pending; /* newer than the disk's */
    bool is_keeping;            /* the commit under way has them */
    /* what the checks know */
    uint64_t reachable_since_ms; /* 0: it is not */
    uint64_t troubled_ms;        /* the last time something hit it */
    struct {
        uint64_t top, trust_number;
        uint64_t statement; /* of whom to trust; from 1 */
        uint64_t freeze_emergency, emergency[SIM_MODELS_MAX];
        uint32_t epoch, era, slots_era[SIM_MODELS_MAX];
        uint64_t stated[SIM_MODELS_MAX], floor[SIM_MODELS_MAX];
        uint64_t floor_hard[SIM_MODELS_MAX];
        uint64_t committed[SIM_MODELS_MAX]; /* the highest number */
        /* By release: the order that took it back, and up to which one that
         * was lifted; it failed here. */
        uint64_t taken_back[SIM_RELEASES_MAX], lifted[SIM_RELEASES_MAX];
        bool has_failed[SIM_RELEASES_MAX];
        bool is_stopped[SIM_RELEASES_MAX]; /* by an emergency key */
        /* That began here, whatever the outbox forgot; ... under its id. */
        uint64_t rollouts, own_rollouts;
        unsigned starts[SIM_MODELS_MAX], tries[SIM_MODELS_MAX]; /* on trial */
        /* Deploy orders that were judged since it was enrolled, the newest. */
        char judged[SIM_JUDGED_MAX][FLO_NAME_MAX + 1];
        size_t judged_next;
    } seen;
};
/* As it knows of itself: by a statement of the controller, or by its enrolment.
 */
bool sim_device_is_in_lab(const struct sim_device *device);
void sim_device_init(struct sim_device *device, uint32_t index);
void sim_device_name(struct sim_device *device);
/* It has another id from its next start on, and owes nothing of the old one. */
void sim_device_enrolled(struct sim_device *device, bool is_in_lab);
void sim_device_deinit(struct sim_device *device);
void sim_device_start(struct sim_device *device);
void sim_device_start_later(struct sim_device *device, uint64_t in_ms);
/* power: what was not synced is gone. */
void sim_device_kill(struct sim_device *device, bool power);
void sim_device_connected(struct sim_device *device, bool has_session);
void sim_device_disconnected(struct sim_device *device);
void sim_device_heard(struct sim_device *device, const struct sim_message *message);
uint64_t sim_device_now_ms(const struct sim_device *device);
uint64_t sim_device_wall_ms(const struct sim_device *device);
/* An event of the core, after so long, behind those that wait. */
void sim_device_post(struct sim_device *device, uint64_t in_ms,
                     const struct flo_agent_event *event);
/* ... about an engine's process: if that still is there then. */
void sim_device_post_engine(struct sim_device *device, uint64_t in_ms, uint64_t engine,
                            const struct flo_agent_event *event);
/* The same for any call; nothing where it is off. */
void sim_device_later(struct sim_device *device, uint64_t in_ms, struct sim_call call);
/* The core's knowledge of a model, wherever its place is. */
const struct flo_agent_model *sim_agent_of(const struct sim_device *device, uint32_t model);
/* Its newest event, and up to which they are acknowledged; its boot. */
uint64_t sim_outbox_last(const struct sim_device *device);
uint64_t sim_outbox_acked(const struct sim_device *device);
const char *sim_outbox_boot(const struct sim_device *device);
void sim_disk_deinit(struct sim_device *device);

/* ports/verified.c; sim_trust_fetch is the world's: by HTTPS, if it can.
 * sim_trust_fetched answers it; NULL: it could not. */
const struct flo_trust *sim_trust_of(const struct sim_device *device);
void sim_trust_fetch(struct sim_device *device);
void sim_trust_fetched(struct sim_device *device, const char *text);
void sim_trust_forget(void);  /* the cache of statements */
void sim_orders_forget(void); /* the cache of verified envelopes */

/* stories.c */
void sim_stories_told(struct sim_device *device, const struct flo_agent_execution *execution);
void sim_stories_stored(struct sim_device *device);
void sim_stories_forget(struct sim_device *device);
struct sim_story *sim_story_last(struct sim_device *device, const char *rollout);

/* work.c */
/* Go on with that step. */
void sim_job_next(struct sim_device *device, uint32_t model, uint32_t job, uint64_t step);
void sim_job_failed(struct sim_device *device, uint32_t model, uint32_t job, int code);
void sim_engine_kill(struct sim_device *device, uint32_t place, enum flo_agent_role role);

/* ---- people ---- */

void sim_operator_plan(void);
/* The nemeses are over: bring everybody to a good release. */
void sim_operator_finish(void);

/* ---- misfortunes ---- */

struct sim_misfortune {
    uint64_t at_ms, lasts_ms;
    unsigned kind; /* row of nemesis.def */
    uint64_t seed; /* of its own choices */
};
#define SIM_MISFORTUNES_MAX 64
void sim_nemesis_plan(void);
void sim_nemesis_end(void);
const char *sim_nemesis_word(unsigned kind);
bool sim_nemesis_find(const char *word, unsigned *out);

/* ---- silence ---- */

/* Days in which devices sleep, are away, restart and have wrong clocks, and then
 * somebody holds back the newest statements from some of them. */
void sim_silence_plan(void);
/* Each of them has told. */
void sim_silence_end(void);
/* A statement reached it. */
void sim_silence_heard(struct sim_device *device);

/* ---- clocks ---- */

void sim_clocks_plan(void);
/* Each device took the next order. */
void sim_clocks_end(void);
/* The controller makes its certificate, by its clock; would a device take it? */
void sim_clocks_certify(void);
bool sim_clocks_trust(const struct sim_device *device);

/* ---- rules ---- */

enum sim_rule {
#define SIM_RULE(name, word, meaning) SIM_RULE_##name,
#include "tests/sim/rules.def"
#undef SIM_RULE
    SIM_RULES
};
void sim_violated(enum sim_rule rule, const struct sim_device *device, const char *format, ...)
    FLO_PRINTF(3, 4);
const char *sim_rule_word(enum sim_rule rule);
void sim_check_job(struct sim_device *device, const struct flo_agent_execution *execution);
void sim_check_flip(struct sim_device *device, const struct sim_engine *engine,
                    enum flo_agent_role role, const struct flo_release_ref *release);
void sim_check_trial(struct sim_device *device, uint32_t model);
void sim_check_written(struct sim_device *device);
/* An order was kept. */
void sim_check_kept(struct sim_device *device, const struct flo_order *order);
/* An engine is started; a start is given back. */
void sim_check_load(struct sim_device *device, const struct flo_agent_action *action);
void sim_check_untry(struct sim_device *device, uint32_t model);
/* As the product should see it; the world's. */
bool sim_trust_forbids(const struct flo_trust *trust, const char *model,
                       const struct flo_digest *release, uint64_t number);
/* The record with which a start goes on. */
void sim_check_start(const struct sim_device *device, const struct flo_slots *slots);
/* A statement was taken. */
void sim_check_trust(struct sim_device *device);
void sim_check_end(struct sim_device *device, const struct sim_story *story);
/* r-0007 is the 7th bit; 0: it is of no rollout. */
uint64_t sim_rollout_bit(const char *id);
void sim_check_order(struct sim_device *device, const struct flo_order *order);
/* Does each device keep to its desired document? */
enum sim_rule sim_check_obeyed(char *why, size_t bytes);
/* Why the world is not at rest; SIM_RULES: it is. */
enum sim_rule sim_check_rest(char *why, size_t bytes);
void sim_check_calm(void); /* when it is */

/* ---- the world ---- */

struct sim_world {
    uint64_t seed, now_ms;
    uint64_t wall_ms; /* when now_ms was 0 */
    char fleet[FLO_NAME_MAX + 1];
    bool is_traced, has_failed, is_calm;
    bool is_wired;    /* with messages in the trace */
    bool was_hostile; /* the broker, for a while */
    enum sim_rule rule;
    char what[1024];
    uint64_t updates; /* executions that ended */
    uint64_t steps, calls, messages;
    struct sim_random chance, net;
    uint32_t device_count, model_count;
    struct sim_device *devices;
    struct sim_controller controller;
    struct sim_release releases[SIM_RELEASES_MAX];
    int release_count;
    struct flo_key *publisher, *stranger;
    struct sim_statement { /* of whom to trust; the first is the list */
        struct flo_trust *trust;
        struct flo_buf envelope;
    } statements[SIM_STATEMENTS_MAX];
    size_t statement_count;
    const struct sim_device *actor; /* whose clock it is; NULL: the rest's */
    bool is_controllers;            /* ... the controller's */
    struct sim_misfortune misfortunes[SIM_MISFORTUNES_MAX];
    size_t misfortune_count;
    uint64_t without;      /* misfortunes left out, as bits */
    uint64_t only;         /* kinds of them, as bits; 0: all */
    uint64_t disturbed_ms; /* broker, controller, mirror: the last time */
    uint64_t end_ms;       /* of them */
    uint32_t days;         /* that it plays; 0: minutes, as the seed says */
    bool plays_clocks;     /* clocks.c */
    /* After each step of a core.  Or NULL. */
    void (*look)(struct sim_device *device, const struct flo_agent *agent);
    uint64_t peer_from_ms, peer_until_ms; /* of the controller's certificate then */
    uint64_t newest_ms;                   /* interval of newest statements; 0: none goes out */
    uint64_t words, alarms;               /* statements that reached devices; devices that told */
    struct {                              /* the mirror */
        bool is_down, is_slow, lies;
    } mirror;
};
extern struct sim_world *sim;
static inline bool sim_is_asleep(const struct sim_device *device)
{
    return sim->now_ms >= device->asleep_ms && sim->now_ms < device->awake_ms;
}
void sim_trace(const char *who, const char *format, ...) FLO_PRINTF(2, 3);
const char *sim_name(const struct sim_device *device);

#endif
