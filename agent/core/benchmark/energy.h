/* Energy: what a device used between two readings.  Pure; the shell reads the
 * numbers (agent/shell/benchmark/energy.c). */
#ifndef FLOTILLA_AGENT_CORE_ENERGY_H
#define FLOTILLA_AGENT_CORE_ENERGY_H

#include <flotilla/base.h>

#define FLO_ENERGY_ZONES_MAX 8

enum flo_energy_source {
    FLO_ENERGY_ABSENT,     /* the kernel counts no energy */
    FLO_ENERGY_UNREADABLE, /* the kernel counts, and this user may not read it */
    FLO_ENERGY_READ,
};
const char *flo_energy_source_word(enum flo_energy_source source);

/* One reading. */
struct flo_energy {
    enum flo_energy_source source;
    uint32_t zone_count; /* processor packages */
    struct {
        uint64_t uj;     /* counter; it begins again at 0 past `max_uj` */
        uint64_t max_uj; /* 0: unknown */
    } zones[FLO_ENERGY_ZONES_MAX];
    bool has_battery;
    bool is_discharging;
    uint64_t battery_uwh;      /* charge of all batteries; 0: unknown */
    uint64_t battery_full_uwh; /* the same when they are full; 0: unknown */
    int32_t battery_pct;       /* -1: unknown */
};

/* Computes the energy of all packages between two readings, in 1e-6 J.  Each
 * counter may have begun again once.  Returns false if the readings do not fit
 * each other. */
bool flo_energy_used(const struct flo_energy *before, const struct flo_energy *after,
                     uint64_t *used_uj);
/* Computes by how much of its full charge the battery sank, in 100 parts per
 * hour.  Returns false if it has none, it was charged, the time is under a
 * minute, or it did not sink. */
bool flo_energy_drain(const struct flo_energy *before, const struct flo_energy *after,
                      uint64_t took_ms, double *percent_per_hour);

#endif
