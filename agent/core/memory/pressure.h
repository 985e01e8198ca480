/* Resource pressure: memory, heat and battery, and how the device degrades
 * (pressure.def).  Pure: the caller passes a sample each second and gets a
 * step.
 *
 * A step down comes after two samples in a row with a cause, the next one 5 s
 * later.  A step up comes after 300 s without a cause.  A step down within 30
 * minutes of a step up doubles that wait, to an hour at most. */
#ifndef FLOTILLA_AGENT_CORE_PRESSURE_H
#define FLOTILLA_AGENT_CORE_PRESSURE_H

#include "proto/memory/memory.h"

struct flo_pressure_sample {
    uint64_t now_ms;
    uint32_t psi_centipercent; /* memory pressure (PSI, some avg10), in 1/100 % */
    uint64_t cgroup_bytes;     /* memory in use in the cgroup, without reclaimable pages */
    uint64_t cgroup_bytes_max; /* memory limit of the cgroup (memory.max); 0: no limit */
};

enum flo_pressure_step {
    FLO_PRESSURE_NONE,
#define FLO_PRESSURE_STEP(name, word, meaning) FLO_PRESSURE_##name,
#include "agent/core/memory/pressure.def"
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
    /* cause of the last step down; FLO_PRESSURE_CALM: every step was undone */
    enum flo_pressure_cause cause;
    uint32_t samples;        /* number of samples in a row with a cause */
    bool is_short;           /* memory is short now, or was within the last 30 s */
    uint64_t down_ms, up_ms; /* times of the last step down and the last step up; 0: none */
    uint64_t calm_ms;        /* time since which no sample had a cause */
    /* time without a cause before the next step up; 0: the default */
    uint64_t wait_ms;
};
/* Memory that could be freed, and variants that could be exchanged. */
struct flo_pressure_facts {
    bool has_idle;       /* an on-demand model is in memory without a request */
    bool has_previous;   /* the previous release of a trial is still loaded */
    struct {             /* indexed by model */
        bool is_smaller; /* a smaller variant of the model's release serves */
        /* the model's release has a smaller variant, and the model has no
         * execution */
        bool may_shrink;
        bool may_grow;       /* the model's release has a larger variant that it may serve again */
        uint64_t more_bytes; /* memory that the larger variant needs in addition */
    } variants[FLO_MEMORY_MODELS_MAX];
};
/* Takes a sample and returns the step to take.  For RUNG, DEMAND and UP it has
 * already changed rung_min or is_demoted of models[*model], so the caller plans
 * memory again.  For SMALLER and LARGER the caller must exchange the variant of
 * models[*model]. */
enum flo_pressure_step flo_pressure_sample(struct flo_pressure *pressure,
                                           const struct flo_pressure_sample *sample,
                                           const struct flo_pressure_facts *facts,
                                           struct flo_memory_model *models, size_t count,
                                           uint64_t budget, size_t *model);
/* Formats the step as a sentence, for log, notes and traces.  `model` is the
 * model after the step; NULL: the step is about no model. */
#define FLO_PRESSURE_TEXT 200
void flo_pressure_say(const struct flo_pressure_sample *sample, enum flo_pressure_step step,
                      const struct flo_memory_model *model, char out[FLO_PRESSURE_TEXT]);

/* ---- heat and battery ---- */

#define FLO_POWER_HOT_BELOW_MC 5000 /* a device is hot so near to its trip point */
#define FLO_POWER_LOW_PCT 20        /* charge at which a battery is low */

struct flo_power_sample {
    uint64_t now_ms;
    int64_t zone_mc;     /* temperature of the zone nearest to its trip point, 1/1000 degree C */
    int64_t trip_mc;     /* that trip point; 0: no zone has one, so none is hot */
    bool is_discharging; /* runs on battery */
    int32_t battery_pct; /* -1: none */
};
/* State of the rules for heat and battery.  All zero at first. */
struct flo_power {
    bool is_hot, is_low, is_empty;
    uint64_t cool_ms; /* time since which the device is cool enough; 0: it is not */
};
/* Tells whether a zone is so near to its trip point that a device is hot.  One without
 * a trip point (0) never is. */
static inline bool flo_power_is_hot(int64_t zone_mc, int64_t trip_mc)
{
    return trip_mc > 0 && zone_mc >= trip_mc - FLO_POWER_HOT_BELOW_MC;
}
/* Takes a sample.  Returns whether is_hot, is_low or is_empty has changed. */
bool flo_power_sample(struct flo_power *power, const struct flo_power_sample *sample);

/* ---- limits ---- */

enum flo_pressure_limit {
#define FLO_PRESSURE_LIMIT(name, word, causes, meaning) FLO_PRESSURE_LIMIT_##name,
#include "agent/core/memory/pressure.def"
    FLO_PRESSURE_LIMIT_COUNT
};
const char *flo_pressure_limit_word(enum flo_pressure_limit limit);
struct flo_pressure_limits {
    /* set of limits that apply now, one bit for each enum flo_pressure_limit */
    uint32_t set;
    bool is_halved;       /* the engines use half of their threads, or fewer */
    uint32_t threads_max; /* number of threads that an engine may use, at least 1 */
};
struct flo_pressure_limits flo_pressure_limits(const struct flo_pressure *pressure,
                                               const struct flo_power *power, uint32_t threads);
#define FLO_PRESSURE_LIMITS_TEXT 160
/* Writes the words of the limits that hold; "": none. */
void flo_pressure_limits_text(const struct flo_pressure_limits *limits,
                              char out[FLO_PRESSURE_LIMITS_TEXT]);
static inline bool flo_pressure_holds(const struct flo_pressure_limits *limits,
                                      enum flo_pressure_limit limit)
{
    return (limits->set >> limit & 1) != 0;
}

#endif
