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
#define FLO_MEMORY_FILES_MAX 12 /* most files of a model: its own, packed weights, adapters */
#define FLO_MEMORY_RUNGS 5
/* memory of an engine process without a model */
#define FLO_MEMORY_PROCESS_BYTES (UINT64_C(6) << 20)
#define FLO_MEMORY_WEIGHT_MAX 100
#define FLO_MEMORY_WEIGHT_STANDARD 50

/* ---- rungs ---- */

enum flo_memory_cache { FLO_MEMORY_CACHE_F16, FLO_MEMORY_CACHE_Q8_0 };
struct flo_memory_rung {
    uint32_t context;  /* tokens of context per session */
    uint32_t sessions; /* sessions that are answered in parallel */
    enum flo_memory_cache cache;
};
/* Writes the degradation levels of a native model.  A context of 0 means 2048
 * tokens, sessions of 0 mean 4. */
void flo_memory_rungs(uint32_t context, uint32_t sessions,
                      struct flo_memory_rung out[FLO_MEMORY_RUNGS]);

/* ---- plan ---- */

struct flo_memory_file {
    struct flo_digest digest;
    uint64_t bytes;
};
struct flo_memory_model {
    char name[FLO_NAME_MAX + 1]; /* unique among the models */
    /* true: the model stays in memory; if it does not fit, no plan does */
    bool is_pinned;
    uint32_t weight; /* importance, 0 to FLO_MEMORY_WEIGHT_MAX */
    /* number of degradation levels: 1 for a foreign runtime, at most
     * FLO_MEMORY_RUNGS */
    uint32_t rungs;
    /* Limits that the device sets while memory is short.  The model has at
     * least degradation level rung_min (a higher level takes less memory).
     * With is_demoted it is loaded only on demand. */
    uint32_t rung_min;
    bool is_demoted;
    /* bytes at each level, those of the process included */
    uint64_t private_bytes[FLO_MEMORY_RUNGS];
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
    uint64_t planned; /* bytes of all models; the bytes needed when no plan fits */
    uint64_t pool;    /* part of `planned` for one on-demand model at a time */
    struct {
        bool is_resident; /* false: loaded on demand, at its last level */
        uint32_t rung;
    } models[FLO_MEMORY_MODELS_MAX]; /* models in the order of the input */
};
/* Plans memory: the least important model first gets later degradation
 * levels, then becomes on-demand, until all models fit.  Returns
 * FLO_E_MEMORY_BUDGET when no plan fits.  The error's text has the numbers,
 * and *out has them too. */
FLO_MUST_USE int flo_memory_plan(const struct flo_memory_model *models, size_t count,
                                 uint64_t budget, struct flo_memory_plan *out, struct flo_err *err);
/* Returns the memory for models: the configured budget, or 4/5 of the machine's
 * memory, but at most 9/10 of the cgroup's limit.  A `configured` of 0 means no
 * budget, a cgroup_bytes_max of 0 no limit. */
uint64_t flo_memory_budget(uint64_t configured, uint64_t machine_bytes, uint64_t cgroup_bytes_max);

/* ---- a candidate next to the others ---- */

enum flo_memory_way {
    FLO_MEMORY_WARM,  /* the candidate fits at the degradation level that its model has now */
    FLO_MEMORY_EVICT, /* the candidate fits after idle on-demand models are unloaded */
    /* the candidate fits only at its last level, which takes least memory,
     * until it has replaced the current engine */
    FLO_MEMORY_SMALL,
    FLO_MEMORY_STOP_FIRST, /* the candidate fits only after the model's current engine stops */
};
/* Returns how the candidate of `models[model]` can be loaded.  `pool_is_free`:
 * every on-demand model in memory may be unloaded.  Sets *needed to the bytes
 * that the candidate needs. */
enum flo_memory_way flo_memory_candidate(const struct flo_memory_model *models, size_t count,
                                         const struct flo_memory_plan *plan, size_t model,
                                         const struct flo_memory_model *candidate,
                                         bool pool_is_free, uint64_t *needed);
const char *flo_memory_way_word(enum flo_memory_way way);

/* ---- on demand ---- */

/* An on-demand model and whether it is loaded. */
struct flo_memory_host {
    bool is_loaded;
    uint32_t requests;  /* in progress */
    uint64_t loaded_ms; /* time of the load */
    uint64_t used_ms;   /* time when its last request ended */
    uint64_t load_ms;   /* duration of its load */
};
/* How an on-demand model gets memory in the shared pool. */
struct flo_memory_room {
    bool has_room; /* true: memory is enough after the models in `evict` are unloaded */
    uint32_t n_evict;
    uint32_t evict[FLO_MEMORY_MODELS_MAX]; /* indices of the models to unload, in this order */
    /* time after which to try again if has_room is false; 0: when a request
     * ends */
    uint64_t wait_ms;
};
/* Chooses the on-demand models to unload for `wanted`: the least recently used
 * ones without a request, that served for max(10 s, 3 x load_ms).  With
 * `is_soft` (batch, embeddings) it unloads no model that was used in the last
 * minute. */
void flo_memory_room(const struct flo_memory_model *models, size_t count,
                     const struct flo_memory_plan *plan, const struct flo_memory_host *hosts,
                     size_t wanted, bool is_soft, uint64_t now_ms, struct flo_memory_room *out);
/* Estimates the duration of a load from the bytes that are not in the page
 * cache. */
uint64_t flo_memory_load_ms(uint64_t unread_bytes, uint64_t disk_bytes_per_s, uint64_t last_load_ms,
                            uint64_t drain_ms);
/* Returns the pause after this many failed loads in a row: 1, 2, 4 ... 60 s. */
uint64_t flo_memory_backoff_ms(uint32_t failures);

#endif
