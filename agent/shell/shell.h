/* Shell: the state of the agent's shell, which carries out the core's actions.
 *
 * Everything runs on the thread of the event loop, which blocks while it syncs.
 * Only the API's clients and the engines are served on another thread
 * (agent/serve/apart).  flo_agent_step() gives the actions.  The parts of the
 * shell are listed here; each part uses only those below it:
 *   main.c commands/      commands of a person at the device
 *   run.c rooms.c         opens everything, runs the loop, stops; memory of rooms
 *   start.c heartbeat.c   reads the stored state; timers, checks each minute
 *   link/ local/          input: from the controller, from the control socket
 *   loop.c                takes events into the core, carries out actions
 *   orders/               turns an envelope into an event
 *   trust/                changes of the trusted keys
 *   hooks/                releases without requests: link, hook, health check
 *   update/               the updater's jobs, slots, removal of files
 *   neighbours/           nearby devices: fetched from, and served
 *   hardware/             sensors, findings, log lines for reports
 *   serving/              engines: load, pack, probe
 *   renewal/              the next certificate, trusted authorities
 *   report/               output: to the controller, to an operator
 *   device/               configuration and records of this device
 *   identity/             keys, certificates and authorities of this device
 *   https/                one call to the controller, on its own thread
 *   outbox/ queue/        messages for the controller, events for the core */
#ifndef FLOTILLA_AGENT_SHELL_H
#define FLOTILLA_AGENT_SHELL_H

#include <event2/event.h>

#include <flotilla/agent.h>
#include <flotilla/release.h>
#include <flotilla/updater.h>

#include "agent/core/checkup/checkup.h"
#include "agent/core/memory/pressure.h"
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
#include "base/host/event.h"
#include "base/host/json.h"
#include "base/host/mqtt.h"

/* index for a model that has no entry in `models` */
#define FLO_NO_MODEL FLO_AGENT_MODELS_MAX

/* Options that the configuration has for one model. */
struct flo_model_spec {
    char name[FLO_NAME_MAX + 1];
    uint32_t n_aliases;
    char aliases[FLO_SERVE_ALIASES_MAX][FLO_NAME_MAX + 1];
    bool is_pinned;    /* stays in memory */
    uint32_t weight;   /* importance; the model with the lowest weight gives up memory first */
    uint32_t n_tokens; /* number of tokens that are bound to the model */
    char tokens[FLO_SERVE_TOKENS_MAX][FLO_NAME_MAX + 1];
};
/* Checked settings of the configuration file, with default values below
 * state_dir. */
struct flo_settings {
    struct flo_config *config;
    char state_dir[4096];
    char control[4096];
    char *token; /* token that clients of the local API must send; NULL: none */
    const char *listen[9];
    const char *origins[17];
    char listen_standard[4200];
    enum flo_sandbox_mode sandbox;
    struct flo_model_spec specs[FLO_AGENT_MODELS_MAX];
    size_t spec_count;
    struct flo_api_rules rules; /* rules of the local API: limits of apps, and guards */
    uint32_t waits; /* conditions that every update waits for, as a set of enum flo_wait */
    struct flo_serve_pipeline pipelines[FLO_SERVE_PIPELINES_MAX];
    size_t pipeline_count;
};
struct flo_identity {
    /* the device is enrolled; a device that is not serves the local API all the
     * same */
    bool is_there;
    char device[37];
    char fleet[FLO_NAME_MAX + 1];
    char name[FLO_NAME_MAX + 1];
    char controller[513];
    char broker[513];
    /* Groups at enrolment; flo_shell_groups() returns the groups now. */
    char groups[FLO_GROUPS_MAX][FLO_NAME_MAX + 1];
    size_t group_count;
    char ca_file[4200], cert_file[4200], key_file[4200], trust_file[4200];
    struct flo_identity_pairs pairs; /* keys and certificates */
    size_t pair;                     /* index of the pair whose files are cert_file and key_file */
    struct flo_trust *trust;         /* NULL: none */
    uint64_t enrolled_at_ms;         /* date of the device's first certificate; 0: not known */
};
/* Most accelerators that a device reports. */
#define FLO_ACCELERATORS_MAX 4
/* A GPU or NPU that programs of this machine can open. */
struct flo_accelerator {
    char kind[16];         /* "cuda", "npu", "rocm" or "vulkan" */
    char name[64];         /* name that the kernel tells; "": it tells none */
    uint64_t memory_bytes; /* memory of its own; 0: the kernel does not tell it */
};
struct flo_machine {
    char arch[16];
    char kernel[16]; /* fastest engine kernel that the CPU supports: avx2, ... */
    uint32_t cpus;
    /* bytes of memory for models: the configured budget, or the machine's
     * memory */
    uint64_t memory_bytes;
    struct flo_accelerator accelerators[FLO_ACCELERATORS_MAX];
    size_t accelerator_count;
    struct flo_bench {
        char of[FLO_DIGEST_TEXT]; /* digest of the hardware, kernel and engine that were measured */
        uint64_t at_ms, took_ms;
        uint64_t memory_bytes_per_s; /* 0: not measured */
        uint64_t int8_ops_per_s, read_bytes_per_s;
    } bench;
    struct flo_speeds speeds; /* speeds of variants, as this machine measured them */
};
/* Variants of a model's current release, as hardware/variants.c knows them. */
struct flo_variants {
    struct flo_digest release;      /* release whose variants these are; zero: none */
    char name[FLO_NAME_MAX + 1];    /* variant that serves */
    bool is_choice;                 /* the release has further variants */
    char smaller[FLO_NAME_MAX + 1]; /* name of the next smaller variant; empty: there is none */
    /* name of the larger variant that `name` replaces at present; empty:
     * none */
    char larger[FLO_NAME_MAX + 1];
    uint64_t more_bytes; /* bytes of memory that the larger variant would need in addition */
    /* variant whose speed next to `name` is to be measured; empty: none */
    char unmeasured[FLO_NAME_MAX + 1];
    /* variant whose last measurement had no result, and the time before which it
     * is not measured again */
    char refused[FLO_NAME_MAX + 1];
    uint64_t measure_again_ms;
    bool is_asked; /* a switch of variants is in progress */
    /* time before which no other switch begins, after one that failed */
    uint64_t again_ms;
};
/* The machine, its sensors' values, and how the device responds to them. */
struct flo_watch {
    struct flo_machine machine;
    bool is_on; /* the sensors are read */
    struct flo_sensed sensed;
    struct flo_power power;
    struct flo_pressure_limits limits; /* limits in force */
    struct flo_pressure pressure;
    uint32_t rungs[FLO_AGENT_MODELS_MAX];
    bool is_demoted[FLO_AGENT_MODELS_MAX];
    struct flo_variants variants[FLO_AGENT_MODELS_MAX];
    /* conditions for updates that are not met, as last reported to the core */
    uint32_t lacks;
};
struct flo_measure_window {
    uint64_t begin_ms; /* beginning of the telemetry window; 0: no window has been closed yet */
    struct flo_release_ref release;
    char variant[FLO_NAME_MAX + 1]; /* variant of a release that has several; "": it has one */
    struct flo_measures measures;
};
/* The memory plan of the models on this device, and the numbers from which it was
 * made.  Models that are in it have an index of their own there. */
struct flo_shell_plan {
    bool is_planned; /* the plan is for the releases that are on the device now */
    size_t count;
    uint32_t places[FLO_MEMORY_MODELS_MAX]; /* indices in shell->models */
    struct flo_memory_model models[FLO_MEMORY_MODELS_MAX];
    /* Parts of private_bytes. */
    uint64_t adapter_bytes[FLO_MEMORY_MODELS_MAX];
    uint64_t draft_bytes[FLO_MEMORY_MODELS_MAX];
    bool are_measured[FLO_MEMORY_MODELS_MAX]; /* an engine has measured the memory of this model */
    struct flo_memory_plan plan;
};
struct flo_shell;
struct flo_shell_hardware;
struct flo_shell_serving;
struct flo_shell_loop;
struct flo_shell_trust;
struct flo_shell_records;
struct flo_shell_report;
struct flo_shell_update;
struct flo_shell_derived;
struct flo_shell_orders;
struct flo_https;
struct flo_control;
struct flo_renewal;
struct flo_hook;
struct flo_shell_neighbours;
struct flo_shell_loading;
struct flo_assets;

/* State of the adapters that share a model's current engine
 * (serving/hosted.c). */
struct flo_hosting {
    enum {
        FLO_HOSTING_NOTHING,
        /* the current engine loads the adapter of a release that is to serve
         * again */
        FLO_HOSTING_BACK,
        /* the current engine loads the adapter of the candidate, which still
         * serves from an engine of its own */
        FLO_HOSTING_MOVE,
    } step;                         /* load under way */
    struct flo_release_ref release; /* release whose adapter is being loaded */
    char awaited[FLO_NAME_MAX + 1]; /* name of the adapter that is being loaded */
    /* Name in the engine of the current release's adapter; empty: it has
     * none. */
    char own[FLO_NAME_MAX + 1];
    /* name in the engine of the adapter that the second role uses; empty:
     * none */
    char guest[FLO_NAME_MAX + 1];
    bool is_shared; /* both roles use one engine */
};

/* State of one model; the core uses the same index for it. */
struct flo_shell_model {
    struct flo_slots slots;
    bool slots_is_dirty;
    /* error code with which the current engine was last lost */
    int lost;
    struct flo_digest lost_release; /* release whose engine was last lost; zero: none */
    /* read error of the disk for which the last engine was lost, until clients
     * know of it; code 0: none */
    struct flo_err down;
    struct flo_order assigned; /* newest deploy order about this model that the core received */
    bool is_interrupted;       /* a rollback with a lower number interrupted the assigned order */
    struct {
        struct flo_digest release; /* release whose signature was checked */
        /* number of the trust statement whose keys were used for the check of
         * the signature */
        uint64_t number;
        int why;          /* FLO_E_SIG_...; 0: trusted */
    } signature;          /* check of the current release, which serves even if untrusted */
    enum flo_drift drift; /* as last reported */
    uint64_t drift_at_ms;
    struct {
        struct flo_digest release; /* release that memory does not hold; zero: none */
        char why[256];
    } no_memory; /* numbers for that release, from the planner or the updater */
    /* memory for two events of this model while they wait in the queue: a
     * repair, and an exchange of variants */
    struct flo_intake repair, exchange;
    /* load in progress of each role, before its engine starts */
    struct flo_shell_loading *loading[FLO_AGENT_ROLES];
    struct flo_hosting hosting;
    /* assets of the model's route; NULL: other programs may read none */
    const struct flo_asset_list *assets;
    struct flo_digest fresh;
    struct flo_measure_window telemetry;
    struct {
        struct flo_digest release, former; /* releases whose golden scores were measured */
        /* time of the next measurement; 0: all scores are measured */
        uint64_t again_ms;
        int64_t own_ppm, former_ppm; /* 0: not known */
    } golden;
    /* times per token that the last probe compared, in microseconds; 0: it
     * compared none */
    struct {
        double candidate_us, current_us;
    } compared;
    uint64_t recent_token_us[64]; /* ring of the times per token of the last requests */
    size_t recent_count;
    struct {
        bool is_waiting; /* the load waits for the memory plan, or until memory is free */
        uint64_t since_ms;
        struct flo_release_ref release;
        uint32_t rung; /* degradation level at which the role's engine was loaded */
    } pending[FLO_AGENT_ROLES];
};

/* State of the listener for other devices of the site (neighbours/site.c). */
struct flo_site {
    bool is_wanted; /* the configuration has `site_listen` */
    bool is_on;     /* devices are let in */
    uint16_t port;  /* 0: not open */
};

/* Counts of bytes between this device and its neighbours, since the agent
 * started. */
struct flo_neighbour_counts {
    /* the configuration lets the device fetch from neighbours (uses) and serve
     * them (serves) */
    bool uses, serves;
    uint16_t port; /* port of the process that serves neighbours; 0: none runs */
    uint64_t in_bytes, out_bytes;
    /* number of requests that were refused: over the budget, or too many at
     * once */
    uint64_t refused;
    uint64_t used_bytes, budget; /* bytes sent within 24 hours, and their limit */
    struct flo_site site;
};

struct flo_shell {
    struct flo_shell_model models[FLO_AGENT_MODELS_MAX];
    struct event_base *base;
    struct flo_settings settings;
    struct flo_identity identity;
    struct flo_shell_hardware *hardware;
    const struct flo_watch *watch; /* view into `hardware` */
    struct flo_store *store;
    struct flo_device device; /* device record, as on disk */
    struct flo_shell_records *records;
    struct flo_outbox_db *db;
    struct flo_serve *serve;
    struct flo_renewal *renewal; /* NULL: not enrolled */
    struct flo_control *control;
    struct flo_shell_neighbours *neighbours;
    const struct flo_neighbour_counts *neighbour_counts; /* view into `neighbours` */
    struct flo_assets *assets; /* other programs may read assets; NULL: off */
    struct flo_hook *hooks;    /* list of activations, one for each model that has a link */
    struct flo_shell_update *update;
    bool is_local; /* this process runs one command, because no agent runs */
    /* why no word of the controller counts as newest, so that the device is
     * degraded and updates wait (trust/newest.c); "": none is missing */
    char stale[160];
    /* why the controller renews no certificate of this device, so that it is
     * degraded (renewal/renewal.c); code 0: it does, or was not asked */
    struct flo_agent_error refusal;
    char boot_id[37];
    char life[37]; /* id of this start of the agent; "": none is told */

    struct flo_agent agent;
    struct flo_queue queue;
    struct flo_shell_loop *loop;
    struct flo_shell_derived *derived;
    struct flo_shell_serving *serving;
    const struct flo_shell_plan *plan; /* view into `serving` */

    struct flo_shell_orders *orders;
    struct flo_benchmarking *benchmarking; /* orders `benchmark`; NULL: there were none */
    struct flo_shell_trust *trust;
    struct flo_shell_report *report;
};

/* Returns the groups of the device with `all`: those of the newest order about
 * groups, or those of its enrolment.  Borrowed. */
static inline const char (*flo_shell_groups(const struct flo_shell *shell,
                                            size_t *count))[FLO_NAME_MAX + 1]
{
    bool is_stated = shell->device.group_count > 0;

    *count = is_stated ? shell->device.group_count : shell->identity.group_count;
    return is_stated ? shell->device.groups : shell->identity.groups;
}

#endif
