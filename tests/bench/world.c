/* World: see world.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/world.h"

#define NOISE_SD 0.10
#define NOISE_AR 0.6
#define SITE_HOURS_SD 3.0
#define SHOCK_SD 0.15
#define SHOCK_BIG 0.6
#define SHOCK_BIG_SHARE 0.05
#define HOUR_MEAN_SD 0.041 /* of two days' readings */
#define HISTORY 24
#define WARM 2
#define AFTER_MIN 3
#define STEP 3

static void *zeroed(size_t count, size_t bytes)
{
    void *out = calloc(count + 1, bytes);

    if (out == NULL) {
        abort();
    }
    return out;
}

static size_t width(const struct world *world)
{
    return WORLD_BEFORE + world->plan.blocks;
}

void world_open(struct world *world, const struct world_plan *plan, struct chance *chance)
{
    size_t n = plan->devices;

    *world = (struct world){.plan = *plan, .chance = chance};
    world->x = zeroed(n * width(world), sizeof(double));
    world->cum = zeroed(n * (width(world) + 1), sizeof(double));
    world->base = zeroed(n, sizeof(double));
    world->wave = zeroed(n, sizeof(*world->wave));
    world->order = zeroed(n, sizeof(*world->order));
    world->devices = zeroed(n, sizeof(*world->devices));
    world->room = zeroed(1, flo_scan_room_bytes(n));
    world->far = zeroed(n, 1);
    world->numbers = zeroed(2 * n, sizeof(double));
    for (size_t l = 0; l < WORLD_LABELS; l++) {
        world->values[l] = zeroed(n, sizeof(uint16_t));
    }
}

void world_close(struct world *world)
{
    for (size_t l = 0; l < WORLD_LABELS; l++) {
        free(world->values[l]);
    }
    free(world->x);
    free(world->cum);
    free(world->base);
    free(world->wave);
    free(world->order);
    free(world->devices);
    free(world->room);
    free(world->far);
    free(world->numbers);
}

/* ---- labels ---- */

/* Kernel set, hardware class, variant, runtime, agent, site, region. */
static void draw_labels(struct world *world)
{
    static const uint32_t counts[] = {3, 2, 2, 2, 3};
    double ends[1024];
    double all = 0;

    for (size_t s = 0; s < world->plan.sites; s++) {
        all += world->plan.is_uneven ? chance_gamma(world->chance, 1.5) + 0.15 : 1;
        ends[s] = all;
    }
    for (size_t i = 0; i < world->plan.devices; i++) {
        double at = chance_uniform(world->chance) * all;
        size_t site = i % world->plan.sites;
        if (world->plan.is_uneven) {
            for (site = 0; ends[site] < at; site++) {
            }
        }
        for (size_t l = 0; l < WORLD_SITE; l++) {
            world->values[l][i] = (uint16_t)(1 + chance_below(world->chance, counts[l]));
        }
        world->values[1][i] = world->values[0][i] > 1 ? 2 : 1;
        world->values[WORLD_SITE][i] = (uint16_t)(1 + site);
        world->values[WORLD_SITE + 1][i] = (uint16_t)(1 + site / 5);
    }
    for (size_t l = 0; l < WORLD_LABELS; l++) {
        uint32_t count = l < WORLD_SITE    ? counts[l]
                         : l == WORLD_SITE ? (uint32_t)world->plan.sites
                                           : (uint32_t)(world->plan.sites + 4) / 5;
        world->labels[l] =
            (struct flo_slice_label){.values = world->values[l], .count = count, .judged = count};
    }
}

static void draw_order(struct world *world, size_t hold_out)
{
    size_t n = world->plan.devices;
    struct flo_spread_device *members = zeroed(n, sizeof(*members));
    struct flo_spread_group *groups = zeroed(n, sizeof(*groups));
    struct flo_spread_sizes sizes;

    for (size_t i = 0; i < n; i++) {
        members[i] =
            (struct flo_spread_device){.value = world->values[WORLD_SITE][i],
                                       .bucket = (uint32_t)chance_below(world->chance, 1000000000),
                                       .id = ""};
    }
    if (!flo_spread_order(members, n, hold_out, groups, world->order, &sizes)) {
        abort();
    }
    world->held = sizes.held;
    free(members);
    free(groups);
}

/* ---- readings ---- */

static double day(double hour)
{
    return 0.22 * tanh(2 * sin(2 * M_PI * hour / 24));
}

static void add_noise(struct world *world, double *x)
{
    double spread = NOISE_SD * sqrt(1 - NOISE_AR * NOISE_AR);

    for (size_t b = 0; b < width(world); b++) {
        double e = chance_student3(world->chance) * spread;
        x[b] = b == 0 ? e / sqrt(1 - NOISE_AR * NOISE_AR) : NOISE_AR * x[b - 1] + e;
    }
}

/* The device's own hour of the day, as two days of readings show it. */
static void take_shape_off(struct world *world, double *x, double start, double shift)
{
    struct flo_shape shape;
    struct flo_shape_curve curve;
    double at[FLO_SHAPE_HOURS];

    for (uint32_t h = 0; h < FLO_SHAPE_HOURS; h++) {
        double mean = day(h + 0.5 + shift) + HOUR_MEAN_SD * chance_normal(world->chance);
        shape.hours[h] = (struct flo_mean){mean * HISTORY, HISTORY};
    }
    if (!flo_shape_fit(&shape, &curve)) {
        abort();
    }
    for (uint32_t h = 0; h < FLO_SHAPE_HOURS; h++) {
        at[h] = flo_shape_at(&curve, h);
    }
    for (size_t b = 0; b < width(world); b++) {
        double hour = start + ((double)b - WORLD_BEFORE) / 12;
        x[b] -= at[(size_t)(hour + 48) % FLO_SHAPE_HOURS];
    }
}

static void draw_readings(struct world *world)
{
    size_t wide = width(world);
    double start = 24 * chance_uniform(world->chance);
    double *sites = zeroed(world->plan.sites * wide, sizeof(double));
    double *shifts = zeroed(world->plan.sites, sizeof(double));

    for (size_t s = 0; s < world->plan.sites; s++) {
        double size = SHOCK_SD * chance_normal(world->chance);
        size_t at = chance_below(world->chance, wide);
        size += chance_uniform(world->chance) < SHOCK_BIG_SHARE ? SHOCK_BIG : 0;
        shifts[s] = SITE_HOURS_SD * chance_normal(world->chance);
        for (size_t b = 0; b < wide; b++) {
            double hour = start + ((double)b - WORLD_BEFORE) / 12;
            sites[s * wide + b] = day(hour + shifts[s]) + (b >= at ? size : 0);
        }
    }
    for (size_t i = 0; i < world->plan.devices; i++) {
        size_t site = world->values[WORLD_SITE][i] - 1u;
        double *x = world->x + i * wide;
        add_noise(world, x);
        for (size_t b = 0; b < wide; b++) {
            x[b] += sites[site * wide + b];
        }
        take_shape_off(world, x, start, shifts[site]);
    }
    free(sites);
    free(shifts);
}

/* Sums less the curve of those that have not swapped, up to a block. */
static void sum_up(struct world *world, size_t end)
{
    size_t wide = width(world);

    for (size_t b = world->done; b < end; b++) {
        double curve = 0;
        double members = 0;
        for (size_t i = 0; i < world->plan.devices; i++) {
            if (world->wave[i] < 0) {
                curve += world->x[i * wide + b] - world->base[i];
                members++;
            }
        }
        curve /= members > 0 ? members : 1;
        for (size_t i = 0; i < world->plan.devices; i++) {
            double *cum = world->cum + i * (wide + 1);
            cum[b + 1] = cum[b] + world->x[i * wide + b] - curve;
        }
    }
    world->done = end > world->done ? end : world->done;
}

void world_draw(struct world *world, size_t hold_out)
{
    size_t n = world->plan.devices;

    draw_labels(world);
    draw_order(world, hold_out);
    draw_readings(world);
    world->wave_count = 0;
    world->done = 0;
    for (size_t i = 0; i < n; i++) {
        const double *x = world->x + i * width(world);
        world->wave[i] = -1;
        world->base[i] = 0;
        for (size_t b = 0; b < WORLD_BEFORE; b++) {
            world->base[i] += x[b] / WORLD_BEFORE;
        }
    }
    sum_up(world, WORLD_BEFORE);
}

/* ---- waves ---- */

static void move(struct world *world, size_t device, size_t block, double by)
{
    double *x = world->x + device * width(world);

    for (size_t b = WORLD_BEFORE + block; b < width(world); b++) {
        x[b] += by;
    }
}

void world_swap(struct world *world, const uint32_t *devices, size_t count, size_t block,
                double effect, const uint8_t *hit, bool is_probe)
{
    double drift = world->plan.drift;
    bool is_new = world->wave_count == 0 || world->split[world->wave_count - 1] != block;

    sum_up(world, WORLD_BEFORE + block);
    for (size_t i = 0; i < world->plan.devices && !is_probe; i++) {
        move(world, i, block, drift * chance_normal(world->chance));
    }
    if (is_new && world->wave_count < FLO_SCAN_WAVES_MAX) {
        world->split[world->wave_count++] = block;
    }
    for (size_t k = 0; k < count; k++) {
        uint32_t i = devices[k];
        world->wave[i] = (int8_t)(world->wave_count - 1);
        if (is_probe) {
            move(world, i, block, drift * chance_normal(world->chance));
        }
        if (hit == NULL || hit[i] != 0) {
            move(world, i, block, effect);
        }
    }
}

size_t world_updated(const struct world *world)
{
    size_t updated = 0;

    for (size_t i = 0; i < world->plan.devices; i++) {
        updated += world->wave[i] >= 0 ? 1 : 0;
    }
    return updated;
}

size_t world_next(const struct world *world, size_t until, uint32_t *out)
{
    size_t have = world_updated(world);
    size_t used = 0;

    for (size_t k = 0; k < world->plan.devices - world->held && have + used < until; k++) {
        if (world->wave[world->order[k]] < 0) {
            out[used++] = world->order[k];
        }
    }
    return used;
}

bool world_difference(struct world *world, size_t device, size_t wave, size_t now, double *d)
{
    size_t split = world->split[wave];
    const double *cum = world->cum + device * (width(world) + 1) + WORLD_BEFORE;

    if (now < split + WARM + AFTER_MIN) {
        return false;
    }
    sum_up(world, WORLD_BEFORE + now);
    *d = (cum[now] - cum[split + WARM]) / (double)(now - split - WARM) -
         (cum[split] - (cum + split)[-WORLD_BEFORE]) / WORLD_BEFORE;
    return true;
}

static void add_step(const struct world *world, size_t i, size_t now,
                     struct flo_scan_device *device)
{
    size_t split = world->split[device->wave];
    const double *cum = world->cum + i * (width(world) + 1) + WORLD_BEFORE;
    size_t after = split + WARM;

    device->has_step = now >= after + STEP;
    device->step = device->has_step ? (cum[after + STEP] - cum[after]) / STEP -
                                          (cum[split] - (cum + split)[-STEP]) / STEP
                                    : 0;
}

const struct flo_scan *world_scan(struct world *world, size_t now)
{
    struct flo_scan_rule rule = {.alpha = 0.01,
                                 .weight = 0.2,
                                 .limit_pct = 10,
                                 .labels = world->labels,
                                 .label_count = WORLD_LABELS};
    size_t n = world->plan.devices;

    sum_up(world, WORLD_BEFORE + now);
    for (size_t i = 0; i < n; i++) {
        struct flo_scan_device *device = &world->devices[i];
        *device = (struct flo_scan_device){.is_updated = world->wave[i] >= 0};
        device->wave = device->is_updated ? (uint8_t)world->wave[i] : 0;
        for (size_t p = 0; p < world->wave_count; p++) {
            if ((!device->is_updated || p == device->wave) &&
                world_difference(world, i, p, now, &device->d[p])) {
                device->known |= (uint8_t)(1u << p);
            }
        }
        if (device->is_updated) {
            add_step(world, i, now, device);
        }
    }
    if (!flo_scan_look(&rule, world->devices, n, world->room, world->far, &world->scan)) {
        abort();
    }
    for (size_t l = 0; l < WORLD_LABELS; l++) {
        world->labels[l].tau2 = fmax(world->labels[l].tau2, world->scan.tau2[l]);
    }
    return &world->scan;
}
