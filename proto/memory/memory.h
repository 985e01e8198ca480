/* Memory planner: which models stay in memory, how large their caches are, and
 * what gives way.  Pure, integers only: the same inputs give the same answer on
 * every machine, whatever their order.
 *
 * A file counts once, however many processes map it: its pages are shared.
 * Everything else of a process is private.  A model has rungs: rung 0 is what
 * was asked for, each later one has a smaller cache (flo_memory_rungs). */
#ifndef FLOTILLA_PROTO_MEMORY_H
#define FLOTILLA_PROTO_MEMORY_H

#include <flotilla/base.h>

#define FLO_MEMORY_MODELS_MAX 16
#define FLO_MEMORY_FILES_MAX 12 /* a model: its own, packed, adapters */
#define FLO_MEMORY_RUNGS 5
#define FLO_MEMORY_PROCESS_BYTES (UINT64_C(6) << 20) /* an empty engine */
#define FLO_MEMORY_WEIGHT_MAX 100
#define FLO_MEMORY_WEIGHT_STANDARD 50

/* ---- rungs ---- */

enum flo_memory_cache { FLO_MEMORY_CACHE_F16, FLO_MEMORY_CACHE_Q8_0 };
struct flo_memory_rung {
    uint32_t context;  /* tokens of a session */
    uint32_t sessions; /* answered together */
    enum flo_memory_cache cache;
};
/* The rungs of a native model.  0: 2048 tokens, 4 sessions. */
void flo_memory_rungs(uint32_t context, uint32_t sessions,
                      struct flo_memory_rung out[FLO_MEMORY_RUNGS]);

/* ---- plan ---- */

struct flo_memory_file {
    struct flo_digest digest;
    uint64_t bytes;
};
struct flo_memory_model {
    char name[FLO_NAME_MAX + 1]; /* no two have the same */
    bool is_pinned;              /* stays in memory, or nothing fits */
    uint32_t weight;             /* 0 to FLO_MEMORY_WEIGHT_MAX */
    uint32_t rungs;              /* 1 (a runtime) to FLO_MEMORY_RUNGS */
    /* Taken by a step-down (struct flo_strain): no better rung than this one,
     * and not resident. */
    uint32_t rung_min;
    bool is_demoted;
    uint64_t private_bytes[FLO_MEMORY_RUNGS]; /* with the process's own */
    uint32_t n_files;
    struct flo_memory_file files[FLO_MEMORY_FILES_MAX]; /* that it maps */
};
uint32_t flo_memory_last_rung(const struct flo_memory_model *model);
/* Most important first: pinned, the greater weight, the lower name. */
void flo_memory_order(const struct flo_memory_model *models, size_t count,
                      size_t order[FLO_MEMORY_MODELS_MAX]);
struct flo_memory_plan {
    bool fits;
    uint64_t budget;
    uint64_t planned; /* bytes of all; when nothing fits: what is needed */
    uint64_t pool;    /* a part of `planned`: for one on-demand model at a time */
    struct {
        bool is_resident; /* false: on demand, at its last rung */
        uint32_t rung;
    } models[FLO_MEMORY_MODELS_MAX]; /* as in the input */
};
/* The least important model first gets smaller rungs, then becomes on-demand,
 * until all fits.  FLO_E_MEMORY_BUDGET: it does not, and the sentence and *out
 * (which is written) have the numbers. */
FLO_MUST_USE int flo_memory_plan(const struct flo_memory_model *models, size_t count,
                                 uint64_t budget, struct flo_memory_plan *out, struct flo_err *err);
/* Memory for models: the configured budget or 4/5 of the machine's memory, at
 * most 9/10 of the cgroup's limit.  0: not configured; no limit. */
uint64_t flo_memory_budget(uint64_t configured, uint64_t machine_bytes, uint64_t cgroup_bytes_max);

/* ---- a candidate next to the others ---- */

enum flo_memory_way {
    FLO_MEMORY_WARM,       /* there is room at its own rung */
    FLO_MEMORY_EVICT,      /* ... once the on-demand models that idle are out */
    FLO_MEMORY_SMALL,      /* the same, at the last rung until the flip */
    FLO_MEMORY_STOP_FIRST, /* the model's current engine must leave before */
};
/* How the candidate of `models[model]` is loaded.  `pool_is_free`: every
 * on-demand model in memory may leave.  *needed: bytes in that way. */
enum flo_memory_way flo_memory_candidate(const struct flo_memory_model *models, size_t count,
                                         const struct flo_memory_plan *plan, size_t model,
                                         const struct flo_memory_model *candidate,
                                         bool pool_is_free, uint64_t *needed);
const char *flo_memory_way_word(enum flo_memory_way way);

/* ---- on demand ---- */

/* An on-demand model that is in memory. */
struct flo_memory_host {
    bool is_loaded;
    uint32_t requests;  /* under way */
    uint64_t loaded_ms; /* when it was */
    uint64_t used_ms;   /* when its last request ended */
    uint64_t load_ms;   /* how long that took */
};
/* Room in the pool for an on-demand model. */
struct flo_memory_room {
    bool has_room; /* once those are out */
    uint32_t n_evict;
    uint32_t evict[FLO_MEMORY_MODELS_MAX]; /* in this order */
    uint64_t wait_ms;                      /* no room: when to look again; 0: at the next end of a
                                              request */
};
/* Who gives way to `wanted`: of the on-demand models without a request that
 * served max(10 s, 3 x load_ms), the one that was not used for longest.  A soft
 * wish (batch, vectors) takes none that was used in the last minute. */
void flo_memory_room(const struct flo_memory_model *models, size_t count,
                     const struct flo_memory_plan *plan, const struct flo_memory_host *hosts,
                     size_t wanted, bool is_soft, uint64_t now_ms, struct flo_memory_room *out);
/* How long a load will take, from the bytes that are not in the page cache. */
uint64_t flo_memory_load_ms(uint64_t unread_bytes, uint64_t disk_bytes_per_s, uint64_t last_load_ms,
                            uint64_t drain_ms);
/* The wait after so many failed loads in a row: 1, 2, 4 ... 60 s. */
uint64_t flo_memory_backoff_ms(uint32_t failures);

#endif
