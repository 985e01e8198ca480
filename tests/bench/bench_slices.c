/* Slices against simulated rollouts: how often does the shipped core say where
 * a release is worse, and how often does it blame a good one?
 *
 * usage: bench_slices [--runs N] [--seed N] [--jobs N] [--only WORD] [--json
 * FILE]
 *
 * A row is a scene, played with N rollouts or a part of them.  Fleets are those
 * of world.h; errors, crashes, memory and hotfixes have their own readings.
 * 1,000 devices at 40 sites unless said; waves of 20, of 20 that cover all
 * sites, of 100, and the rest, 70 minutes apart.
 *
 * Exit code 1: a row missed its goal. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server-stub/core/gate/slices/probe.h"
#include "server-stub/core/gate/statistics/robust.h"
#include "tests/bench/runs.h"
#include "tests/bench/scenes.h"

/* ---- one metric: a site, or nobody ---- */

const struct scene_wave scene_waves[SCENE_WAVES] = {{20, 0}, {40, 14}, {100, 14}, {920, 14}};

struct rollout {
    struct world world;
    uint32_t picked[FLEET];
    size_t next;  /* wave */
    size_t begun; /* block of the newest one */
    size_t wait;  /* for a probe's soak */
    uint8_t asked[WORLD_LABELS][FLO_SLICE_VALUES_MAX + 1];
    const uint8_t *hit;
    double effect;
};

static void next_wave(struct rollout *rollout, size_t block)
{
    if (rollout->next < SCENE_WAVES && block >= rollout->wait &&
        block >= rollout->begun + scene_waves[rollout->next].blocks) {
        size_t count =
            world_next(&rollout->world, scene_waves[rollout->next].until, rollout->picked);
        rollout->next++;
        rollout->begun = block;
        if (count > 0) {
            world_swap(&rollout->world, rollout->picked, count, block, rollout->effect,
                       rollout->hit, false);
        }
    }
}

struct free_devices {
    const struct rollout *rollout;
    size_t picked;
    struct flo_slice slice;
};

/* The order's device at this place, if it still runs its old release. */
static uint32_t rank_of(const void *context, size_t place)
{
    const struct free_devices *of = context;
    const struct world *world = &of->rollout->world;
    uint32_t i = world->order[place];
    bool is_free = world->wave[i] < 0 && world->values[of->slice.label][i] == of->slice.value;

    for (size_t q = 0; q < of->picked; q++) {
        is_free = is_free && of->rollout->picked[q] != i;
    }
    return is_free ? (uint32_t)place : FLO_PROBE_NOT;
}

/* Three devices of each slice that asks for them, once. */
static void probe(struct rollout *rollout, size_t block)
{
    struct world *world = &rollout->world;
    const struct flo_scan *scan = &world->scan;
    size_t count = 0;

    for (size_t k = 0; k < scan->probe_count; k++) {
        struct flo_slice slice = scan->probes[k].slice;
        struct free_devices of = {.rollout = rollout, .picked = count, .slice = slice};
        size_t places[FLO_SCAN_PROBE_DEVICES];
        if (rollout->asked[slice.label][slice.value] != 0) {
            continue;
        }
        rollout->asked[slice.label][slice.value] = 1;
        size_t found =
            flo_probe_pick(rank_of, &of, world->plan.devices, scan->probes[k].take, places);
        for (size_t j = 0; j < found; j++) {
            rollout->picked[count++] = world->order[places[j]];
        }
    }
    if (count > 0 && world->wave_count < FLO_SCAN_WAVES_MAX) {
        world_swap(world, rollout->picked, count, block, rollout->effect, rollout->hit, true);
        rollout->wait = block + 12;
    }
}

static struct rollout *rollout_open(const struct row *row, struct chance *chance)
{
    static struct rollout rollout;
    static bool is_open;
    struct world_plan plan = {.devices = FLEET,
                              .sites = SITES,
                              .blocks = EIGHT_HOURS,
                              .is_uneven = row->sites == 1,
                              .drift = 0.05};

    if (is_open) {
        world_close(&rollout.world);
    }
    is_open = true;
    memset(&rollout, 0, sizeof(rollout));
    world_open(&rollout.world, &plan, chance);
    world_draw(&rollout.world, 50);
    return &rollout;
}

/* Named: as the only culprit, by its value. */
static bool is_named(const struct flo_scan *scan, size_t label, uint16_t value)
{
    return scan->row_count == 1 && scan->rows[0].is_culprit && scan->rows[0].slice.label == label &&
           scan->rows[0].slice.value == value;
}

/* Hits: named with 75 updated at most; named at all. */
static void slow_site(const struct row *row, struct chance *chance, bool hits[FIGURES_MAX])
{
    struct rollout *rollout = rollout_open(row, chance);
    uint8_t hit[FLEET] = {0};
    uint16_t bad = 0;
    size_t members = 0;

    while (members < 10) {
        bad = (uint16_t)(1 + chance_below(chance, SITES));
        members = 0;
        for (size_t i = 0; i < FLEET; i++) {
            hit[i] = rollout->world.values[WORLD_SITE][i] == bad;
            members += hit[i];
        }
    }
    rollout->hit = hit;
    rollout->effect = log1p(row->effect);
    for (size_t block = 0; block < EIGHT_HOURS; block++) {
        next_wave(rollout, block);
        if (block < 5) {
            continue;
        }
        const struct flo_scan *scan = world_scan(&rollout->world, block);
        if (scan->row_count > 0) {
            hits[1] = is_named(scan, WORLD_SITE, bad);
            hits[0] = hits[1] && world_updated(&rollout->world) <= 75;
            return;
        }
        probe(rollout, block);
    }
}

/* Hits: a culprit; unclear with the swap, so held; unclear, so told. */
static void healthy(const struct row *row, struct chance *chance, bool hits[FIGURES_MAX])
{
    static const size_t begin[] = {0, 14, 24, 38};
    struct rollout *rollout = rollout_open(row, chance);

    for (size_t block = 0; block < EIGHT_HOURS; block++) {
        if (rollout->next < FLO_COUNT(begin) && block == begin[rollout->next]) {
            size_t count =
                world_next(&rollout->world, scene_waves[rollout->next].until, rollout->picked);
            rollout->next++;
            world_swap(&rollout->world, rollout->picked, count, block, 0, NULL, false);
        }
        if (block < 5 || block % 3 != 2) {
            continue;
        }
        const struct flo_scan *scan = world_scan(&rollout->world, block);
        for (size_t i = 0; i < scan->row_count; i++) {
            const struct flo_scan_row *one = &scan->rows[i];
            hits[one->is_culprit ? 0 : one->with_swap ? 1 : 2] = true;
        }
    }
}

/* ---- devices here and there ---- */

/* Hits: halted; halted with fewer than all. */
static void here_and_there(const struct row *row, struct chance *chance, bool hits[FIGURES_MAX])
{
    struct rollout *rollout = rollout_open(row, chance);
    struct world *world = &rollout->world;
    struct flo_slow_device devices[FLEET];
    size_t until[] = {20, 40, row->third, 920};
    uint8_t hit[FLEET];
    double numbers[FLEET];
    struct flo_slow slow = {0};
    struct flo_slow_result result;

    for (size_t i = 0; i < FLEET; i++) {
        hit[i] = chance_uniform(chance) < row->share;
    }
    for (size_t p = 0; p < FLO_COUNT(until); p++) {
        size_t count = world_next(world, until[p], rollout->picked);
        world_swap(world, rollout->picked, count, 14 * p, log1p(row->effect), hit, false);
        for (size_t i = 0; i < FLEET; i++) {
            devices[i] = (struct flo_slow_device){.value = world->values[WORLD_SITE][i],
                                                  .is_updated = world->wave[i] == (int8_t)p,
                                                  .is_compared = world->wave[i] < 0 ||
                                                                 world->wave[i] == (int8_t)p};
            (void)world_difference(world, i, p, 14 * p + 14, &devices[i].d);
        }
        if (!flo_slow_add_wave(&slow, 0, devices, FLEET, numbers)) {
            abort();
        }
        flo_slow_judge(&slow, 0.03, 0.05, &result);
        if (result.verdict == FLO_VERDICT_FAIL) {
            hits[0] = true;
            hits[1] = p < 3;
            return;
        }
    }
}

/* ---- the last phase ---- */

/* The strata of a wave: sites with a control, the others together. */
static size_t strata_of(struct world *world, size_t wave, size_t now, struct flo_ratio_segment *out)
{
    size_t n = world->plan.devices;
    size_t strata = world->plan.sites + 1;
    double *d = world->numbers;
    double *controls = world->numbers + n;
    size_t used = 0;

    memset(out, 0, strata * sizeof(*out));
    for (size_t i = 0; i < n; i++) {
        if (world_difference(world, i, wave, now, &d[i]) && world->wave[i] < 0) {
            controls[used++] = d[i];
            out[world->values[WORLD_SITE][i]].control.devices++;
        }
    }
    struct flo_clip clip = flo_clip_of(controls, used, 4, 0.25);
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < n; i++) {
            uint16_t site = world->values[WORLD_SITE][i];
            bool has_control = out[site].control.devices > 0;
            struct flo_ratio_segment *one = &out[has_control ? site : 0];
            struct flo_ratio_arm *arm = world->wave[i] < 0 ? &one->control : &one->treated;
            double x = flo_clipped(&clip, d[i]);
            if (world->wave[i] >= 0 && world->wave[i] != (int8_t)wave) {
                continue;
            }
            if (pass == 0) {
                arm->devices += world->wave[i] < 0 ? 0 : 1;
                arm->mean += x;
            } else {
                arm->m2 += (x - arm->mean) * (x - arm->mean);
            }
        }
        for (size_t s = 0; s < strata && pass == 0; s++) {
            struct flo_ratio_segment *one = &out[s];
            one->treated.mean /= fmax(1, (double)one->treated.devices);
            one->control.mean /= fmax(1, (double)one->control.devices);
        }
    }
    return strata;
}

/* Hits: one metric of five waits for a person.  The five are alike, so a
 * rollout needs all of them: at most 0.6 % each for 97 of 100. */
static void good_release(const struct row *row, struct chance *chance, bool hits[FIGURES_MAX])
{
    static const double prove[] = {12, 6, 5};
    static const size_t soaks[] = {1, 2, 4, 8};
    struct world world;
    struct world_plan plan = {
        .devices = row->devices, .sites = row->sites, .blocks = 28 + 98, .drift = 0.05};
    struct flo_pooled_sums parts[3];
    struct flo_pooled_result result;
    uint32_t *picked = calloc(row->devices, sizeof(*picked));
    struct flo_ratio_segment *strata = calloc(row->sites + 1, sizeof(*strata));
    bool is_proven = true;

    world_open(&world, &plan, chance);
    world_draw(&world, row->devices < 1000 ? 50 : row->devices / 20);
    for (size_t p = 0; p < 3; p++) {
        const size_t until[] = {20, 100, row->devices};
        bool is_passed = false;
        world_swap(&world, picked, world_next(&world, until[p], picked), 14 * p, 0, NULL, false);
        for (size_t k = 0; k < (p == 2 ? 4u : 1u) && !is_passed; k++) {
            size_t now = 14 * p + 2 + 12 * soaks[k];
            size_t count = strata_of(&world, p, now, strata);
            parts[p] = (struct flo_pooled_sums){0};
            for (size_t s = 0; s < count; s++) {
                (void)flo_pooled_add(&parts[p], &strata[s]);
            }
            flo_pooled_judge(prove[p], parts, p + 1, &result);
            is_passed = result.verdict == FLO_VERDICT_PASS;
        }
        is_proven = is_proven && is_passed;
    }
    hits[0] = !is_proven;
    free(strata);
    free(picked);
    world_close(&world);
}

/* ---- the table ---- */

static const struct row rows[] = {
    {.name = "+100 % at one site of 25",
     .play = slow_site,
     .part = 0.1,
     .effect = 1,
     .figures = {{"named, 75 updated at most", 95, false}, {"named alone", 95, false}}},
    {.name = "+100 % at one site, sites of 4 to 70",
     .play = slow_site,
     .part = 0.1,
     .sites = 1,
     .effect = 1,
     .figures = {{"named, 75 updated at most", 95, false}, {"named alone", 95, false}}},
    {.name = "no change, 8 h, daily curve and shocks of sites",
     .play = healthy,
     .part = 1,
     .figures = {{"culprit named", 0.29, true},
                 {"unclear, held", 0.29, true},
                 {"unclear, told", 0.5, true}}},
    {.name = "+100 % on 5 % of all devices",
     .play = here_and_there,
     .part = 0.25,
     .effect = 1,
     .share = 0.05,
     .third = 100,
     .figures = {{"halted", 95, false}}},
    {.name = "the same, third wave of 200",
     .play = here_and_there,
     .part = 0.25,
     .effect = 1,
     .share = 0.05,
     .third = 200,
     .figures = {{"halted", 99, false}}},
    {.name = "no device slower",
     .play = here_and_there,
     .part = 0.25,
     .effect = 1,
     .third = 200,
     .figures = {{"halted", 0.7, true}}},
    {.name = "errors +5 points at one site",
     .play = scene_errors_of_a_site,
     .part = 0.4,
     .effect = 30,
     .figures = {{"named", 90, false}}},
    {.name = "errors: no change",
     .play = scene_errors_of_a_site,
     .part = 0.25,
     .figures = {{"something named", 0.7, true}}},
    {.name = "crashes once an hour on 5 %, third wave of 200",
     .play = scene_crashes,
     .part = 1,
     .effect = 1,
     .share = 0.05,
     .third = 200,
     .figures = {{"halted", 95, false}, {"before the rest", 90, false}}},
    {.name = "crashes: no change",
     .play = scene_crashes,
     .part = 1,
     .third = 200,
     .figures = {{"halted", 0.7, true}}},
    {.name = "leak of 2 % an hour",
     .play = scene_leak,
     .part = 0.25,
     .effect = 0.02,
     .figures = {{"in 90 min", 90, false}, {"in 2 h", 99, false}, {"in 8 h", 99, false}}},
    {.name = "no leak, 8 h",
     .play = scene_leak,
     .part = 0.25,
     .figures = {{"in 90 min", 0.7, true}, {"in 2 h", 0.7, true}, {"in 8 h", 0.7, true}}},
    {.name = "hotfix +100 %, 30 min after the last change",
     .play = scene_hotfix,
     .part = 1,
     .effect = 1,
     .third = 30,
     .figures = {{"20 min after its swap", 99, false}, {"in 4 h", 99, false}}},
    {.name = "hotfix +100 %, 10 min after, a release before it",
     .play = scene_hotfix,
     .part = 1,
     .effect = 1,
     .third = 10,
     .share = 1,
     .figures = {{"20 min after its swap", 99, false}, {"in 4 h", 99, false}}},
    {.name = "hotfix without effect, 30 min after",
     .play = scene_hotfix,
     .part = 1,
     .third = 30,
     .figures = {{"20 min after its swap", 0.7, true}, {"in 4 h", 0.7, true}}},
    {.name = "hotfix without effect, 10 min after, a release before",
     .play = scene_hotfix,
     .part = 1,
     .third = 10,
     .share = 1,
     .figures = {{"20 min after its swap", 0.7, true}, {"in 4 h", 0.7, true}}},
    {.name = "good release, 200 devices at 40 sites",
     .play = good_release,
     .part = 2,
     .devices = 200,
     .sites = 40,
     .figures = {{"one metric waits for a person", 0.6, true}}},
    {.name = "good release, 1,000 devices at 40 sites",
     .play = good_release,
     .part = 0.25,
     .devices = 1000,
     .sites = 40,
     .figures = {{"one metric waits for a person", 0.6, true}}},
    {.name = "good release, 5,000 devices at 100 sites",
     .play = good_release,
     .part = 0.1,
     .devices = 5000,
     .sites = 100,
     .figures = {{"one metric waits for a person", 0.6, true}}},
    {.name = "told: +30 % on 20",
     .play = scene_told,
     .part = 0.25,
     .effect = 0.3,
     .devices = 20,
     .figures = {{"within 20 %", 95, false}, {"interval holds", 90, false}}},
    {.name = "told: +10 % on 100",
     .play = scene_told,
     .part = 0.25,
     .effect = 0.1,
     .devices = 100,
     .figures = {{"within 20 %", 95, false}, {"interval holds", 90, false}}},
    {.name = "told: +300 % on 5",
     .play = scene_told,
     .part = 0.25,
     .effect = 3,
     .devices = 5,
     .figures = {{"within 20 %", 95, false}, {"interval holds", 90, false}}},
};

static struct runs_row row_at(size_t at)
{
    return (struct runs_row){
        .name = rows[at].name, .part = rows[at].part, .figures = rows[at].figures};
}

static void play(size_t at, struct chance *chance, bool hits[FIGURES_MAX])
{
    rows[at].play(&rows[at], chance, hits);
}

int main(int argc, char **argv)
{
    const struct runs_scenes scenes = {
        .name = "bench_slices", .count = FLO_COUNT(rows), .row = row_at, .play = play};

    return runs_scenes_main(argc, argv, &scenes);
}
