/* World: one metric of a simulated fleet, block by block of 5 minutes.
 *
 * The logarithm of a device's reading is its site's daily curve, a shock of its
 * site, and noise: sd 0.10, AR(1) 0.6, Student t3.  At the first swap of each
 * wave every device drifts by sd 0.05, updated or not.  Devices have two days
 * of history for their hour of the day.  The functions of the core make shapes,
 * orders and scans of it. */
#ifndef TESTS_BENCH_WORLD_H
#define TESTS_BENCH_WORLD_H

#include "server-stub/core/gate/slices/slices.h"
#include "tests/bench/chance.h"

#define WORLD_BEFORE 72 /* blocks before the first swap: 6 h */
#define WORLD_LABELS 7
#define WORLD_SITE 5 /* place in the labels */

struct world_plan {
    size_t devices, sites;
    size_t blocks;  /* after the first swap */
    bool is_uneven; /* sites of 4 to 70 */
    double drift;
};
struct world {
    struct world_plan plan;
    struct chance *chance;
    double *x;    /* [device][before + blocks], its own shape taken off */
    double *cum;  /* [device][before + blocks + 1], curve taken off, summed */
    double *base; /* [device] mean before */
    size_t done;  /* blocks in cum */
    int8_t *wave; /* [device]; -1: a control */
    size_t split[FLO_SCAN_WAVES_MAX];
    size_t wave_count;
    uint16_t *values[WORLD_LABELS];
    struct flo_slice_label labels[WORLD_LABELS];
    uint32_t *order; /* of the members; the hold-out last */
    size_t held;
    struct flo_scan_device *devices;
    void *room;
    uint8_t *far;
    double *numbers; /* [2 x device] */
    struct flo_scan scan;
};
void world_open(struct world *world, const struct world_plan *plan, struct chance *chance);
void world_close(struct world *world);
/* Another fleet in the same memory. */
void world_draw(struct world *world, size_t hold_out);

/* Devices that swap in a block; a second swap in a block is of the same wave.
 * `hit`: those that the release makes slower by `effect`; NULL: all. */
void world_swap(struct world *world, const uint32_t *devices, size_t count, size_t block,
                double effect, const uint8_t *hit, bool is_probe);
/* The next ones of the order, until so many are updated. */
size_t world_next(const struct world *world, size_t until, uint32_t *out);
size_t world_updated(const struct world *world);
/* Reading mean after the wave's swap less that before.  false: too early. */
bool world_difference(struct world *world, size_t device, size_t wave, size_t now, double *d);
/* A look of the scan. */
const struct flo_scan *world_scan(struct world *world, size_t now);

#endif
