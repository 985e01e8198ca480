/* Strain: memory pressure, heat and an empty battery, and what the device gives
 * up for them.  Pure: samples go in once a second, steps come out.
 *
 * Down: two samples in a row with a cause, one step, the next after 5 s.  Up:
 * 300 s without a cause, one step.  A step down within 30 minutes of a step up
 * doubles that wait, to an hour at most. */
#ifndef FLOTILLA_AGENT_CORE_STRAIN_H
#define FLOTILLA_AGENT_CORE_STRAIN_H

#include "proto/memory/memory.h"

struct flo_strain_sample {
    uint64_t now_ms;
    uint32_t psi_centipercent; /* memory, some avg10: 10.00 % is 1000 */
    uint64_t cgroup_bytes;     /* memory.current */
    uint64_t cgroup_bytes_max; /* memory.max; 0: no limit */
};

/* A step of memory, the first that is possible, in this order. */
enum flo_strain_step {
    FLO_STRAIN_NONE,
    FLO_STRAIN_EVICT,    /* on-demand models that idle leave */
    FLO_STRAIN_PREVIOUS, /* warm previous releases leave */
    FLO_STRAIN_RUNG,     /* `model` goes one rung down */
    FLO_STRAIN_DEMAND,   /* `model` becomes on-demand */
    FLO_STRAIN_UP,       /* `model` takes one step back */
};
const char *flo_strain_word(enum flo_strain_step step);
enum flo_strain_cause {
    FLO_STRAIN_CALM,
    FLO_STRAIN_PSI,
    FLO_STRAIN_CGROUP,
};
const char *flo_strain_cause_word(enum flo_strain_cause cause);

/* All zero at first. */
struct flo_strain {
    enum flo_strain_cause cause; /* of the last step down; CALM: none holds */
    uint32_t samples;            /* with a cause, in a row */
    uint64_t down_ms, up_ms;     /* the last steps; 0: none */
    uint64_t calm_ms;            /* since when no sample had a cause */
    uint64_t wait_ms;            /* of a step up; 0: as usual */
};
/* What could leave without any model's rung. */
struct flo_strain_facts {
    bool has_idle;     /* on-demand models in memory without a request */
    bool has_previous; /* a warm previous release */
};
/* Take a sample.  RUNG, DEMAND and UP have changed models[*model] (rung_min,
 * is_demoted): plan again. */
enum flo_strain_step flo_strain_sample(struct flo_strain *strain,
                                       const struct flo_strain_sample *sample,
                                       const struct flo_strain_facts *facts,
                                       struct flo_memory_model *models,
                                       size_t count, uint64_t budget,
                                       size_t *model);

/* ---- heat and battery ---- */

struct flo_power_sample {
    uint64_t now_ms;
    int64_t zone_mc;     /* the hottest zone, in thousandths of a degree */
    int64_t trip_mc;     /* its passive trip point; 0: it has none */
    bool is_discharging; /* runs on battery */
    int32_t battery_pct; /* -1: none */
};
/* All zero at first. */
struct flo_power {
    bool is_hot, is_low, is_empty;
    uint64_t cool_ms; /* since when it is cool enough; 0: it is not */
};
struct flo_power_limits {
    uint32_t threads_max; /* of `threads`, 1 at least */
    bool holds_batch;     /* batch requests wait */
    bool allows_updates;
    bool allows_demand; /* models may be loaded on demand */
};
/* Take a sample; true: the limits have changed. */
bool flo_power_sample(struct flo_power *power,
                      const struct flo_power_sample *sample);
struct flo_power_limits flo_power_limits(const struct flo_power *power,
                                         uint32_t threads);

#endif
