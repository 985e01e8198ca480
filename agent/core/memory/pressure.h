/* Resource pressure: memory, heat and battery, and how the device degrades
 * (pressure.def).  Pure: samples go in once a second, steps come out.
 *
 * Down: two samples in a row with a cause give one step, the next after 5 s.
 * Up: 300 s without a cause give one step.  A step down within 30 minutes of a
 * step up doubles that wait, to an hour at most. */
#ifndef FLOTILLA_AGENT_CORE_PRESSURE_H
#define FLOTILLA_AGENT_CORE_PRESSURE_H

#include "proto/memory/memory.h"

struct flo_pressure_sample {
    uint64_t now_ms;
    uint32_t psi_centipercent; /* memory pressure (PSI, some avg10): 10.00 % is 1000 */
    uint64_t cgroup_bytes;     /* memory in use, without reclaimable pages */
    uint64_t cgroup_bytes_max; /* limit of the cgroup (memory.max); 0: no limit */
};

enum flo_pressure_step {
    FLO_PRESSURE_NONE,
#define FLO_PRESSURE_STEP(name, word, meaning) FLO_PRESSURE_##name,
#include "agent/core/memory/pressure.def"
#undef FLO_PRESSURE_STEP
    FLO_PRESSURE_STEP_COUNT
};
const char *flo_pressure_word(enum flo_pressure_step step);
enum flo_pressure_cause {
    FLO_PRESSURE_CALM,
    FLO_PRESSURE_PSI,
    FLO_PRESSURE_CGROUP,
};
const char *flo_pressure_cause_word(enum flo_pressure_cause cause);

/* State of the pressure rules.  All zero at first. */
struct flo_pressure {
    enum flo_pressure_cause cause; /* cause of the last step down; CALM: no cause now */
    uint32_t samples;              /* number of samples in a row with a cause */
    bool is_short;                 /* memory is short now, or was in the last 30 s */
    uint64_t down_ms, up_ms;       /* times of the last steps; 0: none */
    uint64_t calm_ms;              /* time since which samples had no cause */
    uint64_t wait_ms;              /* wait before the next step up; 0: the default */
};
/* Memory and releases that could be given up. */
struct flo_pressure_facts {
    bool has_idle;           /* some on-demand model is in memory without a request */
    bool has_previous;       /* a previous release is still loaded */
    struct {                 /* indexed by model */
        bool is_smaller;     /* a smaller variant of its release is serving */
        bool may_shrink;     /* the release has a smaller variant, and no execution is open */
        bool may_grow;       /* the larger variant may be taken again */
        uint64_t more_bytes; /* additional memory of the larger variant */
    } variants[FLO_MEMORY_MODELS_MAX];
};
/* Takes a sample and returns the step.  RUNG, DEMAND and UP have changed
 * models[*model] (rung_min, is_demoted), so plan again.  SMALLER and LARGER ask
 * for another variant of models[*model]. */
enum flo_pressure_step flo_pressure_sample(struct flo_pressure *pressure,
                                           const struct flo_pressure_sample *sample,
                                           const struct flo_pressure_facts *facts,
                                           struct flo_memory_model *models, size_t count,
                                           uint64_t budget, size_t *model);
/* Formats the step as a sentence, for log, notes and traces.  `model` is the
 * model after the step; NULL: the step concerns none. */
#define FLO_PRESSURE_TEXT 200
void flo_pressure_say(const struct flo_pressure_sample *sample, enum flo_pressure_step step,
                      const struct flo_memory_model *model, char out[FLO_PRESSURE_TEXT]);

/* ---- heat and battery ---- */

struct flo_power_sample {
    uint64_t now_ms;
    int64_t zone_mc;     /* hottest thermal zone, in 1/1000 degree C */
    int64_t trip_mc;     /* passive trip point of that zone; 0: none */
    bool is_discharging; /* runs on battery */
    int32_t battery_pct; /* -1: none */
};
/* State of the rules for heat and battery.  All zero at first. */
struct flo_power {
    bool is_hot, is_low, is_empty;
    uint64_t cool_ms; /* time since which the device is cool enough; 0: it is hot */
};
/* Takes a sample; true: a flag has changed. */
bool flo_power_sample(struct flo_power *power, const struct flo_power_sample *sample);

/* ---- limits ---- */

enum flo_pressure_limit {
#define FLO_PRESSURE_LIMIT(name, word, causes, meaning) FLO_PRESSURE_LIMIT_##name,
#include "agent/core/memory/pressure.def"
#undef FLO_PRESSURE_LIMIT
    FLO_PRESSURE_LIMIT_COUNT
};
const char *flo_pressure_limit_word(enum flo_pressure_limit limit);
struct flo_pressure_limits {
    uint32_t set;         /* bit for each enum flo_pressure_limit that applies */
    bool is_halved;       /* only half of the threads are used */
    uint32_t threads_max; /* number of threads allowed, at least 1 */
};
struct flo_pressure_limits flo_pressure_limits(const struct flo_pressure *pressure,
                                               const struct flo_power *power, uint32_t threads);
static inline bool flo_pressure_holds(const struct flo_pressure_limits *limits,
                                      enum flo_pressure_limit limit)
{
    return (limits->set >> limit & 1) != 0;
}

#endif
