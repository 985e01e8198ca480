/* State of the agent's shell, which carries out the core's actions.
 *
 * Everything runs on the thread of the event loop, which stands still while it
 * syncs; only clients and their engines have another one (agent/serve/apart).
 * flo_agent_step() gives the actions.  Rooms, each knowing only those below it:
 *   main.c commands/      a person at the device
 *   run.c                 open everything, turn the loop, stop
 *   start.c heartbeat.c   what the disk says; timers, and a look each minute
 *   link/ local/          input: the controller, the control socket
 *   loop.c                events into the core, actions out
 *   orders/               from an envelope to an event
 *   trust/                the trusted keys change
 *   hooks/                releases without requests: link, hook, health
 *   update/               the updater's jobs, slots, files to remove
 *   neighbours/           devices close by: who is asked, what is served
 *   hardware/             sensors, findings, the log for those far away
 *   serving/              engines: load, pack, probe
 *   renewal/              the next certificate, whom to believe
 *   report/               output: to the controller, to an operator
 *   device/               config and records of this device
 *   identity/             who it is: keys, certificates, authorities
 *   https/                one call to the controller, off the loop
 *   outbox/ queue/        messages for the controller, events for the core */
#ifndef FLOTILLA_AGENT_SHELL_H
#define FLOTILLA_AGENT_SHELL_H

#include <event2/event.h>

#include <flotilla/agent.h>
#include <flotilla/release.h>
#include <flotilla/updater.h>

#include "agent/core/checkup/checkup.h"
#include "agent/core/memory/strain.h"
#include "agent/core/trouble.h"
#include "agent/serve/rules/rules.h"
#include "agent/serve/serve.h"
#include "agent/shell/identity/pair.h"
#include "agent/shell/outbox/answers.h"
#include "agent/shell/outbox/events.h"
#include "agent/shell/outbox/notes.h"
#include "agent/shell/outbox/outbox_db.h"
#include "agent/shell/outbox/stories.h"
#include "agent/shell/outbox/windows.h"
#include "agent/shell/queue/queue.h"
#include "agent/shell/report/measures.h"
#include "base/host/config.h"
#include "base/host/json.h"
#include "base/host/mqtt.h"
#include "proto/proof.h"

#define FLO_NO_MODEL FLO_AGENT_MODELS_MAX /* no place here */

/* A person's words about a model. */
struct flo_model_wish {
    char name[FLO_NAME_MAX + 1];
    uint32_t n_aliases;
    char aliases[FLO_SERVE_ALIASES_MAX][FLO_NAME_MAX + 1];
    bool is_pinned;    /* stays in memory */
    uint32_t weight;   /* whose memory goes first: the lowest */
    uint32_t n_tokens; /* bound to it, by name */
    char tokens[FLO_SERVE_TOKENS_MAX][FLO_NAME_MAX + 1];
};
/* Read and check the file; fills in the defaults that depend on state_dir. */
struct flo_settings {
    struct flo_config *config;
    char state_dir[4096];
    char control[4096];
    char *token; /* token of the local API; NULL: none */
    const char *listen[9];
    const char *origins[17];
    char listen_standard[4200];
    enum flo_sandbox_mode sandbox;
    struct flo_model_wish wishes[FLO_AGENT_MODELS_MAX];
    size_t wish_count;
    struct flo_api_rules rules; /* apps and guards of the local API */
    uint32_t waits;             /* every update's: a set of enum flo_wait */
    struct flo_serve_pipeline pipelines[FLO_SERVE_PIPELINES_MAX];
    size_t pipeline_count;
};
struct flo_identity {
    bool is_there; /* false: not enrolled, everything local works */
    char device[37];
    char fleet[FLO_NAME_MAX + 1];
    char name[FLO_NAME_MAX + 1];
    char controller[513];
    char broker[513];
    /* As the enrolment said: flo_shell_groups has those that hold. */
    char groups[FLO_GROUPS_MAX][FLO_NAME_MAX + 1];
    size_t group_count;
    char ca_file[4200], cert_file[4200], key_file[4200], trust_file[4200];
    struct flo_identity_pairs pairs; /* keys and certificates */
    size_t pair;                     /* in use: cert_file and key_file */
    struct flo_trust *trust;         /* NULL: none */
    uint64_t enrolled_at_ms;         /* as its first certificate says; 0: not known */
};
struct flo_machine {
    char arch[16];
    char kernel[16]; /* fastest engine kernel: avx2, ... */
    uint32_t cpus;
    uint64_t memory_bytes; /* for models: the budget, or what there is */
    struct flo_bench {
        char of[FLO_DIGEST_TEXT]; /* hardware, kernel, engine */
        uint64_t at_ms, took_ms;
        uint64_t memory_bytes_per_s; /* 0: not measured */
        uint64_t int8_ops_per_s, read_bytes_per_s;
    } bench;
};
struct flo_bench_child;
/* The program of the device's owner that knows the network. */
struct flo_metered {
    pid_t pid; /* 0: none runs */
    uint64_t begin_ms;
    bool is_said; /* the last one said: metered */
};
/* Variants of a model's current release (hardware/variants.c). */
struct flo_variants {
    struct flo_digest release;      /* looked at; zero: none */
    char name[FLO_NAME_MAX + 1];    /* that serves */
    char smaller[FLO_NAME_MAX + 1]; /* empty: there is none */
    char larger[FLO_NAME_MAX + 1];  /* in whose place it serves */
    uint64_t more_bytes;            /* that the larger one takes */
    bool is_asked;                  /* an exchange was begun */
    uint64_t again_ms;              /* not before, after a failure */
};
/* Values of the sensors, and the device's answer to them. */
struct flo_watch {
    struct event *tick;
    struct flo_sensed sensed;
    struct flo_power power;
    struct flo_strain_limits limits; /* what holds now */
    uint32_t limits_told;
    struct flo_strain strain;
    uint32_t rungs[FLO_AGENT_MODELS_MAX];
    bool is_demoted[FLO_AGENT_MODELS_MAX];
    struct flo_variants variants[FLO_AGENT_MODELS_MAX];
    bool is_due[FLO_AGENT_MODELS_MAX]; /* to be loaded again for its rung */
    struct flo_bench_child *bench;     /* the benchmark under way; NULL */
    struct flo_metered metered;
    uint32_t lacks;          /* what updates may wait for, as it was told */
    uint64_t busy_ms;        /* when it last was */
    uint64_t bench_again_ms; /* not before, after a failure */
};
struct flo_measure_window {
    uint64_t begin_ms; /* 0: with the first close */
    struct flo_release_ref release;
    struct flo_measures measures;
};
/* An order that asks for a report, until that is on its way. */
struct flo_afar {
    char order[FLO_NAME_MAX + 1];
    enum flo_order_op op;
    uint32_t lines;
    uint64_t since_ms;
};
/* Memory of all models: what each takes, and the plan (serving/memory.c,
 * serving/measuring.c). */
#define FLO_MEASURED_MAX 32
struct flo_shell_measured {
    struct flo_digest release;
    bool is_known; /* false: the engine could not say it */
    uint64_t weights_bytes;
    uint64_t private_bytes[FLO_MEMORY_RUNGS];
};
struct flo_shell_memory {
    struct event *timer; /* the seats are looked at again */
    struct flo_shell_measured measured[FLO_MEASURED_MAX];
    size_t next; /* place of the next one */
    struct serve_planner *planner;
    struct flo_digest asked; /* the release that is asked about */
    bool is_planned;         /* for the releases that are here now */
    bool is_looking;
    struct flo_digest seen[FLO_AGENT_MODELS_MAX]; /* planned for those */
    size_t count;
    uint32_t places[FLO_MEMORY_MODELS_MAX]; /* places of the models here */
    struct flo_digest releases[FLO_MEMORY_MODELS_MAX];
    struct flo_memory_model models[FLO_MEMORY_MODELS_MAX];
    /* A part of the private ones. */
    uint64_t adapter_bytes[FLO_MEMORY_MODELS_MAX];
    bool are_measured[FLO_MEMORY_MODELS_MAX]; /* by an engine */
    struct flo_memory_plan plan;
};
struct flo_shell;
struct flo_upload;
struct flo_https;
struct flo_job_child;
struct flo_control;
struct flo_renewal;
struct flo_hook;
struct flo_neighbourhood;
struct flo_shell_loading;

/* Adapters of releases in a model's current engine (serving/hosted.c). */
struct flo_hosting {
    enum {
        FLO_HOSTING_NOTHING,
        FLO_HOSTING_BACK,           /* for a release that is to serve again */
        FLO_HOSTING_MOVE,           /* for the candidate, which has its own engine yet */
    } step;                         /* a load is under way */
    struct flo_release_ref release; /* the release of that load */
    char awaited[FLO_NAME_MAX + 1]; /* the adapter that it brings */
    /* Adapter of the current release; empty: none. */
    char own[FLO_NAME_MAX + 1];
    char guest[FLO_NAME_MAX + 1]; /* adapter of the other role; empty: none */
    bool is_shared;               /* both roles have the engine */
};

/* A model of this device; its place is that of the core's models. */
struct flo_shell_model {
    struct flo_slots slots;
    bool slots_is_dirty;
    int lost;                  /* error of the newest loss of the current engine */
    struct flo_err down;       /* the disk gave no engine; code 0: it did, or that was
                                  told */
    struct flo_order assigned; /* the newest deploy order that was told */
    bool is_interrupted;       /* an older rollback came in its way */
    struct {
        struct flo_digest release; /* the release that was judged */
        uint64_t number;           /* number of the trust statement */
        int why;                   /* FLO_E_SIG_...; 0: it is trusted */
    } signature;                   /* signature of the current release, which serves on anyway */
    enum flo_drift drift;          /* as it was reported */
    uint64_t drift_at_ms;
    struct {
        struct flo_digest release; /* zero: there is room for all */
        char why[256];
    } no_memory;                                        /* as the planner said, or the updater */
    struct flo_intake repair, exchange;                 /* while its event waits */
    struct flo_shell_loading *loading[FLO_AGENT_ROLES]; /* before loading */
    struct flo_hosting hosting;
    struct flo_digest fresh; /* staged, and no engine was lost since: it needs
                                no new hash */
    struct flo_measure_window telemetry;
    struct {
        struct flo_digest release, former; /* the releases that were measured */
        uint64_t again_ms;                 /* not before; 0: measured */
        int64_t own_ppm, former_ppm;       /* 0: not known */
    } golden;
    uint64_t recent_token_us[64]; /* times of the last requests, a ring */
    size_t recent_count;
    struct {
        bool is_waiting; /* for the plan, or for room */
        uint64_t since_ms;
        struct flo_release_ref release;
        uint32_t rung; /* that its engine was loaded at */
    } seats[FLO_AGENT_ROLES];
};

/* The trusted keys, as they may change (trust/). */
struct flo_shell_trust {
    /* The record knows a newer statement than the file: nothing signed is taken
     * until that is here again. */
    bool is_behind;
    struct flo_https *fetch; /* statements are asked for; NULL: no */
    struct event *timer;     /* to ask again */
    uint64_t doubt_ms;       /* not before: for what strangers cause */
    /* The newest number of an order that the controller gave out, as it said by
     * HTTPS at this time; 0: it did not. */
    uint64_t order_number, order_number_ms;
    uint64_t leap_ms;                      /* an order waits for a word after this; 0: none */
    void (*then)(struct flo_shell *shell); /* with that word; NULL: nothing */
};

/* Bytes between this device and its neighbours, since the agent started. */
struct flo_neighbour_counts {
    bool uses, serves; /* as configured */
    uint16_t port;     /* on which it serves now; 0: it does not */
    uint64_t in_bytes, out_bytes;
    uint64_t refused;            /* for the budget, or too many at once */
    uint64_t used_bytes, budget; /* limit of 24 hours, and its used part */
    uint64_t told_in, told_out;  /* in telemetry */
};

/* Proofs of its messages (report/proof.c). */
struct flo_shell_proof {
    struct flo_proof_key key;
    bool has_key;                  /* for these two: */
    char of_order[FLO_KEYID_TEXT]; /* the controller's key; "": not looked */
    char of_pair[FLO_KEYID_TEXT];  /* the device's */
    uint64_t number;               /* the last one; 0: none yet */
    uint64_t stored_ms;            /* the number's time that is on the disk */
};

struct flo_shell {
    struct flo_shell_model models[FLO_AGENT_MODELS_MAX];
    struct event_base *base;
    struct flo_settings settings;
    struct flo_identity identity;
    struct flo_machine machine;
    struct flo_watch watch;
    struct flo_store *store;
    struct flo_slots other;   /* record of a model without a place here */
    struct flo_device device; /* the record on disk */
    bool device_is_dirty;
    bool device_is_unread; /* the record cannot be read: as if frozen */
    struct flo_outbox_db *db;
    struct flo_serve *serve;
    struct flo_mqtt *mqtt;
    struct flo_renewal *renewal; /* NULL: not enrolled */
    struct flo_control *control;
    struct flo_neighbourhood *neighbours; /* NULL: off */
    struct flo_neighbour_counts neighbour_counts;
    struct flo_hook *hooks; /* a list: releases without requests */
    struct flo_job_child *job;
    uint32_t probing; /* the model whose candidate is probed */
    struct {
        uint32_t model;
        bool is_on, is_former;
        struct flo_digest release, former;
    } scoring;            /* the live release on golden answers */
    uint32_t waiting_job; /* until processes end that hold room; 0: none */
    uint32_t waiting_model;
    uint64_t waiting_since_ms;
    bool waiting_is_told;
    uint32_t stepless_job; /* the last one whose steps could go */
    struct event *timer, *heartbeat, *flush, *collect, *report;
    struct event *signals[3];
    uint64_t heartbeat_ms;
    bool is_local;                      /* one command without a running agent */
    json_t *local_answer;               /* the command's last word */
    char local_order[FLO_NAME_MAX + 1]; /* whose answer it is to be */
    struct flo_intake intake;           /* the order that is taken just now */
    struct flo_digest installing;       /* what an operator at the device waits for */
    bool local_is_to_end;               /* without an agent: ... until its trial has ended */
    bool is_stopping;
    char boot_id[37];

    struct flo_agent agent;
    uint64_t reported_revision;
    uint64_t spread_ms;    /* the fleet does at once what it does within this */
    uint64_t report_at_ms; /* no change is reported before */
    int64_t asleep_ms;     /* the machine, since it started; at the last step */
    struct flo_queue queue;
    struct flo_derived derived;
    struct flo_shell_memory memory;

    struct flo_afar afar[4];
    size_t afar_count;
    struct flo_upload *upload; /* a report on its way; NULL: none */
    struct flo_shell_trust trust;
    struct flo_shell_proof proof;

    uint64_t rev;
    uint64_t telemetry_sequence;
    uint64_t telemetry_in_flight;
    uint64_t messages_refused; /* since the last window */
    bool telemetry_is_refused; /* by this connection, and that was said */
    struct {
        char order[FLO_NAME_MAX + 1];
        uint64_t at_ms;
    } received[64]; /* when orders came: how long they took */
    size_t received_next;
    char told[32][FLO_NAME_MAX + 1]; /* orders whose answer went out */
    size_t told_next;
    bool witness_is_told; /* the lines stood in a report of this life */
    bool is_traced;       /* the order at hand came before in this life */
    bool is_list;         /* the order at hand stands in a group's list */
    bool has_unkept;      /* an order has to come again: nothing was decided about
                             it, or the clock was set since */
    struct {
        struct flo_agent_error error; /* code 0: it is not */
        uint64_t since_ms;            /* wall clock */
        bool is_news;                 /* not reported yet */
    } degraded;                       /* the device cannot keep what it is told: device.h */
    /* Free bytes in the newest report of the disk. */
    uint64_t free_bytes_told;
    struct flo_trouble reading; /* what its disk does not give */
    /* Lead over the time since boot, at the last look. */
    int64_t clock_ahead_ms;
    uint64_t clock_late_ms; /* as far as it was found to be */
};

/* The groups that the device is in, `all` among them: as the newest statement
 * says, or (none came yet) as the enrolment did.  Borrowed. */
static inline const char (*flo_shell_groups(const struct flo_shell *shell,
                                            size_t *count))[FLO_NAME_MAX + 1]
{
    bool is_stated = shell->device.group_count > 0;

    *count = is_stated ? shell->device.group_count : shell->identity.group_count;
    return is_stated ? shell->device.groups : shell->identity.groups;
}

#endif
