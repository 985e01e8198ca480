/* A device for tests of the agent's core: virtual clock, slots and database
 * that survive a power cut, an updater and engines that behave as told. */
#ifndef FLOTILLA_TESTS_WORLD_H
#define FLOTILLA_TESTS_WORLD_H

#include <flotilla/agent.h>
#include <flotilla/updater.h>

#define WORLD_QUEUE_MAX 64
#define WORLD_STORIES_MAX 128

struct world_pending {
    uint64_t at_ms;
    uint64_t order;
    struct flo_agent_event event;
};

/* The database's memory of an execution. */
struct world_story {
    char id[FLO_EXECUTION_ID_MAX];
    unsigned ends;
    enum flo_execution end;
};

#define WORLD_MODELS_MAX 3 /* tiny, alarm, site */

/* A model, as its disk and its users see it. */
#define WORLD_MODEL_FIELDS                                                                         \
    struct {                                                                                       \
        struct flo_slots slots;                                                                    \
        struct flo_agent_execution open;                                                           \
        bool has_open;                                                                             \
        struct flo_agent_execution repair; /* borrowed by its event */                             \
        int live_version;                  /* 0: nothing */                                        \
        int link, hooked;                  /* versions; 0: none */                                 \
        unsigned held;                                                                             \
    }
struct world_model {
    WORLD_MODEL_FIELDS;
};

struct world {
    union { /* the names alone mean tiny */
        struct world_model models[WORLD_MODELS_MAX];
        WORLD_MODEL_FIELDS;
    };
    struct flo_agent agent;
    uint64_t now_ms;
    uint64_t wall_ahead_ms; /* of the wall clock; 0: nobody knows the time */
    uint64_t slept_ms;      /* told with the next event */
    uint64_t next_order;
    size_t pending_count;
    struct world_pending pending[WORLD_QUEUE_MAX];
    struct flo_buf trace;

    /* the disk */
    struct flo_device device;
    uint64_t seq; /* of orders but deploys */
    unsigned repairs;
    char variant[FLO_NAME_MAX + 1]; /* that an exchange has brought */
    size_t story_count;
    struct world_story stories[WORLD_STORIES_MAX];

    /* how the world behaves */
    struct flo_agent_error job_error; /* code 0: the job works */
    bool job_is_passing;
    unsigned job_failures;      /* so many times, then it works */
    bool job_is_silent;         /* never says anything */
    int probe_error;            /* FLO_E_PROBE_... */
    bool is_incomparable;       /* probes compare no speed */
    unsigned probes_unsure;     /* so many come to no verdict first */
    unsigned runtime_failures;  /* probes that the runtime ends first */
    unsigned candidate_crashes; /* losses of the candidate after its load */
    uint64_t load_ms;           /* of every load; 0: 300 */
    uint64_t drain_ms;          /* of the current engine; 0: 40 */
    int candidate_load_error;   /* it cannot be loaded */
    int current_load_error;     /* once */
    int unreadable;             /* version that its engine refuses */
    int damaged;                /* version whose files are bad until the updater ran */
    bool documents_are_gone;    /* at a start: releases have no names */
    bool fits_one_only;
    bool is_split;          /* every current release */
    int staged_error;       /* there is no memory for it */
    uint64_t write_ms;      /* that a write takes */
    bool slots_fail;        /* writes of slots fail */
    bool lost_in_write;     /* the other engine dies in a rotation */
    unsigned requests_fail; /* requests that fail after activation */

    bool has_links;   /* releases have a link and a hook, and no requests */
    int hook_fails;   /* of this version, while it is set */
    int ill;          /* this version's program is not healthy */
    uint64_t hook_ms; /* of every hook; 0: 200 */
    unsigned hooks_run, links_removed;

    /* power */
    uint64_t actions_done;
    uint64_t cut_after; /* 0: never; else after so many actions */
    bool is_off;

    /* what was seen */
    unsigned steps;
    unsigned probes;
    uint32_t models_max;
    unsigned acks_done, acks_refused, acks_ignored, acks_running;
};

void world_init(struct world *world, int current, int previous);
void world_deinit(struct world *world);
/* Boot (or boot again after a cut) and run what is due at once. */
void world_boot(struct world *world);
/* A release of another model, and events about it. */
int world_of(unsigned model, int version);
/* A deploy order of release `version` (tiny@<version>.0.0). */
void world_desire(struct world *world, int version, uint64_t seq);
struct flo_agent_execution world_execution(int version, uint64_t seq);
void world_order(struct world *world, enum flo_order_op op, int from);
/* Under pressure another variant of the current release is asked for. */
void world_exchange(struct world *world, const char *variant);
/* The same, but the variant serves only if it is faster. */
void world_measure(struct world *world, const char *variant);
/* A rollback of `from` and of as many others as an order may name. */
void world_rollback_many(struct world *world, int from);
void world_event(struct world *world, const struct flo_agent_event *event);
/* Let time pass; pending events and timers happen in order. */
void world_run(struct world *world, uint64_t ms);
/* The machine is suspended: the clock goes on, nothing else does. */
void world_sleep(struct world *world, uint64_t ms);
struct flo_digest world_digest(int version);
struct world_story *world_story(struct world *world, const char *id);

#endif
