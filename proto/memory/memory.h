/* Memory planner: which models stay in memory, how large their caches are, and
 * which are reduced or unloaded first.  Pure, integers only: the same inputs
 * give the same answer on every machine, in any order.
 *
 * A file counts once, however many processes map it, because its pages are
 * shared.  All other memory of a process is private.  A model has degradation
 * levels (rungs): level 0 is the configured one, and each later level has a
 * smaller cache (flo_memory_rungs). */
#ifndef FLOTILLA_PROTO_MEMORY_H
#define FLOTILLA_PROTO_MEMORY_H

#include <flotilla/base.h>

#define FLO_MEMORY_MODELS_MAX 16
#define FLO_MEMORY_FILES_MAX 12 /* per model: its own, packed weights, adapters */
#define FLO_MEMORY_RUNGS 5
#define FLO_MEMORY_PROCESS_BYTES (UINT64_C(6) << 20) /* an empty engine */
#define FLO_MEMORY_WEIGHT_MAX 100
#define FLO_MEMORY_WEIGHT_STANDARD 50

/* ---- rungs ---- */

enum flo_memory_cache { FLO_MEMORY_CACHE_F16, FLO_MEMORY_CACHE_Q8_0 };
struct flo_memory_rung {
    uint32_t context;  /* tokens per session */
    uint32_t sessions; /* answered in parallel */
    enum flo_memory_cache cache;
};
/* The degradation levels of a native model.  0 means 2048 tokens, or 4
 * sessions. */
void flo_memory_rungs(uint32_t context, uint32_t sessions,
                      struct flo_memory_rung out[FLO_MEMORY_RUNGS]);

/* ---- plan ---- */

struct flo_memory_file {
    struct flo_digest digest;
    uint64_t bytes;
};
struct flo_memory_model {
    char name[FLO_NAME_MAX + 1]; /* unique among the models */
    bool is_pinned;              /* stays in memory, else no plan fits */
    uint32_t weight;             /* 0 to FLO_MEMORY_WEIGHT_MAX */
    uint32_t rungs;              /* number of levels, 1 (a foreign runtime) to FLO_MEMORY_RUNGS */
    /* Set by the reaction to memory pressure (struct flo_pressure): the level is
     * at least rung_min; is_demoted: not resident. */
    uint32_t rung_min;
    bool is_demoted;
    uint64_t private_bytes[FLO_MEMORY_RUNGS]; /* bytes at each level, process included */
    uint32_t n_files;
    struct flo_memory_file files[FLO_MEMORY_FILES_MAX]; /* files that its process maps */
};
uint32_t flo_memory_last_rung(const struct flo_memory_model *model);
/* Orders models, most important first: pinned, then greater weight, then lower
 * name. */
void flo_memory_order(const struct flo_memory_model *models, size_t count,
                      size_t order[FLO_MEMORY_MODELS_MAX]);
struct flo_memory_plan {
    bool fits;
    uint64_t budget;
    uint64_t planned; /* bytes of all models; when nothing fits: bytes needed */
    uint64_t pool;    /* part of `planned` for one on-demand model at a time */
    struct {
        bool is_resident; /* false: loaded on demand, at its last level */
        uint32_t rung;
    } models[FLO_MEMORY_MODELS_MAX]; /* models in the order of the input */
};
/* Plans memory: the least important model first gets later degradation levels,
 * then becomes on-demand, until all fits.  FLO_E_MEMORY_BUDGET: nothing fits.
 * The error's text has the numbers, and so has *out, which is filled all the
 * same. */
FLO_MUST_USE int flo_memory_plan(const struct flo_memory_model *models, size_t count,
                                 uint64_t budget, struct flo_memory_plan *out, struct flo_err *err);
/* Memory for models: the configured budget, or 4/5 of the machine's memory; at
 * most 9/10 of the cgroup's limit.  0: not configured, or no limit. */
uint64_t flo_memory_budget(uint64_t configured, uint64_t machine_bytes, uint64_t cgroup_bytes_max);

/* ---- a candidate next to the others ---- */

enum flo_memory_way {
    FLO_MEMORY_WARM,       /* fits at its own level */
    FLO_MEMORY_EVICT,      /* ... after idle on-demand models are unloaded */
    FLO_MEMORY_SMALL,      /* ... at the last level until the switch */
    FLO_MEMORY_STOP_FIRST, /* fits only after the model's current engine stops */
};
/* How the candidate of `models[model]` can be loaded.  `pool_is_free`: every
 * on-demand model in memory may be unloaded.  *needed: bytes for that way. */
enum flo_memory_way flo_memory_candidate(const struct flo_memory_model *models, size_t count,
                                         const struct flo_memory_plan *plan, size_t model,
                                         const struct flo_memory_model *candidate,
                                         bool pool_is_free, uint64_t *needed);
const char *flo_memory_way_word(enum flo_memory_way way);

/* ---- on demand ---- */

/* An on-demand model and its load state. */
struct flo_memory_host {
    bool is_loaded;
    uint32_t requests;  /* in progress */
    uint64_t loaded_ms; /* time of the load */
    uint64_t used_ms;   /* end of its last request */
    uint64_t load_ms;   /* duration of the load */
};
/* How an on-demand model gets memory in the shared pool. */
struct flo_memory_room {
    bool has_room; /* enough memory after `evict` are unloaded */
    uint32_t n_evict;
    uint32_t evict[FLO_MEMORY_MODELS_MAX]; /* in this order */
    uint64_t wait_ms; /* no room: time until the next try; 0: when a request ends */
};
/* Chooses the on-demand models to unload for `wanted`: the least recently used,
 * without a request, that served for max(10 s, 3 x load_ms).  `is_soft` (batch,
 * embeddings): none that was used in the last minute. */
void flo_memory_room(const struct flo_memory_model *models, size_t count,
                     const struct flo_memory_plan *plan, const struct flo_memory_host *hosts,
                     size_t wanted, bool is_soft, uint64_t now_ms, struct flo_memory_room *out);
/* Estimates the duration of a load by the bytes that are not in the page
 * cache. */
uint64_t flo_memory_load_ms(uint64_t unread_bytes, uint64_t disk_bytes_per_s, uint64_t last_load_ms,
                            uint64_t drain_ms);
/* Pause after this many failed loads in a row: 1, 2, 4 ... 60 s. */
uint64_t flo_memory_backoff_ms(uint32_t failures);

#endif
