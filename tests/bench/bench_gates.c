/* Statistical gates against simulated fleets: how often does the shipped core
 * find a worse release, and how often does it halt a good one?
 *
 * usage: bench_gates [--runs N] [--seed N] [--jobs N] [--only WORD] [--json
 * FILE]
 *
 * A row is a case of a fleet, drawn N times.  Its readings go through the
 * functions of the controller: series, curve, arms, tests.  The logarithm of a
 * device's p95 in a block is its level, a common curve and noise.  Noise has sd
 * 0.10, is AR(1) 0.6 with Student-t3 innovations; at the split every device
 * drifts by sd 0.05, updated or not.  72 blocks of 5 min come before it.
 *
 * Exit code 1: a row missed its goal. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server-stub/core/gate/analysis/analysis.h"
#include "server-stub/core/gate/statistics/count.h"
#include "server-stub/core/gate/statistics/series.h"
#include "tests/bench/chance.h"
#include "tests/bench/runs.h"

/* ---- rows ---- */

enum kind { LATENCY, FAMILY, BESIDE, CRASHES, ERRORS, DEATHS, SHARE };
enum goal { NEAR, LEAST, FALSE_HALTS };

struct row {
    enum kind kind;
    uint64_t seed;
    const char *name;
    int treated, control;
    enum goal goal;
    double wanted; /* %: near it by 3 points, or at least so much */
    /* latency */
    double effect, drift, load, daily, shift_h, stall, walk, alpha, weight;
    int before, blocks, stagger;
    bool is_normal;
    double share, hide; /* of treated devices: have the effect; fall silent */
    /* counts and shares */
    double rate, factor, shape;
    int hours, step, chatty;
    bool own_past;
};

/* Zero in a row: the usual. */
#define BLOCKS 10
#define BEFORE 72
#define CONTROLS 400

static const struct row rows[] = {
    {LATENCY, 101, "+10 % p95", 20, 0, NEAR, 97.5, .effect = .10},
    {LATENCY, 102, "+5 % p95", 50, 0, NEAR, 79.9, .effect = .05},
    {LATENCY, 103, "+10 %", 10, 0, NEAR, 68.0, .effect = .10},
    {LATENCY, 104, "+20 %", 5, 0, NEAR, 94.1, .effect = .20},
    {LATENCY, 105, "+10 %", 50, 0, NEAR, 100, .effect = .10},
    {LATENCY, 106, "+10 %, 1 h before instead of 6 h", 20, 0, NEAR, 92.2, .effect = .10,
     .before = 12},
    {LATENCY, 107, "+10 %, fleet -10 %", 20, 0, NEAR, 97.8, .effect = .10, .load = -.105},
    {LATENCY, 108, "+10 %, stalls x3 in 2 % of the blocks", 20, 0, NEAR, 87.3, .effect = .10,
     .stall = .02},
    {LATENCY, 141, "+10 %, half the weight", 20, 0, NEAR, 95.0, .effect = .10, .weight = .1},
    {LATENCY, 142, "+5 %, half the weight", 50, 0, NEAR, 73.3, .effect = .05, .weight = .1},
    {LATENCY, 151, "+10 % p95, default level 3 %", 20, 0, LEAST, 92, .effect = .10, .alpha = .03},
    {LATENCY, 152, "+5 % p95, default level 3 %", 50, 0, LEAST, 66, .effect = .05, .alpha = .03},
    {LATENCY, 153, "+10 %, default level, half the weight", 20, 0, NEAR, 93.4, .effect = .10,
     .alpha = .03, .weight = .1},
    {LATENCY, 154, "+5 %, default level, half the weight", 50, 0, NEAR, 70.3, .effect = .05,
     .alpha = .03, .weight = .1},
    {LATENCY, 111, "no change", 20, 0, FALSE_HALTS, 1, .effect = 0},
    {LATENCY, 112, "no change", 50, 0, FALSE_HALTS, 1, .effect = 0},
    {LATENCY, 113, "no change, 8 h", 20, 0, FALSE_HALTS, 1, .blocks = 96},
    {LATENCY, 114, "whole fleet +15 % during the soak", 20, 0, FALSE_HALTS, 1, .load = .14},
    {LATENCY, 115, "whole fleet +15 % during the soak", 50, 0, FALSE_HALTS, 1, .load = .14},
    {LATENCY, 116, "daily curve +-25 %, swaps over 2 h", 20, 0, FALSE_HALTS, 1, .daily = .22,
     .stagger = 24, .blocks = 48},
    {LATENCY, 117, "the same, days shifted by sd 3 h", 20, 0, FALSE_HALTS, 1, .daily = .22,
     .stagger = 24, .blocks = 48, .shift_h = 3},
    {LATENCY, 118, "no change, stalls x3 in 2 % of the blocks", 20, 0, FALSE_HALTS, 1,
     .stall = .02},
    {LATENCY, 119, "no change, device drift sd 0.15", 20, 0, FALSE_HALTS, 1, .drift = .15},
    {LATENCY, 120, "no change, device drift sd 0.15", 50, 0, FALSE_HALTS, 1, .drift = .15},
    {LATENCY, 121, "no change, normal noise, 1 h before", 5, 0, FALSE_HALTS, 1, .before = 12,
     .is_normal = true},
    {LATENCY, 122, "no change, random walk sd 0.10 after 1 h, 8 h", 20, 0, FALSE_HALTS, 1,
     .walk = .10, .blocks = 96},
    {FAMILY, 130, "five metrics, no change, 8 h, any halts, level 3 %", 20, 0, FALSE_HALTS, 1,
     .blocks = 96, .alpha = .03},
    {BESIDE, 205, "+30 % on half, 80 % of those silent: `coverage`", 20, 0, NEAR, 94.5,
     .effect = .30, .share = .5, .hide = .8},
    {BESIDE, 207, "+100 % on 5 % of the devices: `much_slower`", 250, 0, NEAR, 91.8, .effect = 1,
     .share = .05},
    {BESIDE, 210, "no change: `coverage` and `much_slower`", 20, 0, FALSE_HALTS, 1, .effect = 0},
    {CRASHES, 501, "crashes x10, 48 h", 50, 50, NEAR, 100, .factor = 10},
    {CRASHES, 503, "crashes x3, 48 h", 200, 200, NEAR, 87, .factor = 3},
    {CRASHES, 506, "crashes x3, 48 h", 1000, 1000, NEAR, 100, .factor = 3},
    {CRASHES, 502, "crashes x3, 48 h", 50, 50, LEAST, 11, .factor = 3},
    {CRASHES, 505, "crashes x2, 48 h", 1000, 1000, LEAST, 98, .factor = 2},
    {CRASHES, 508, "crashes, no change, 48 h", 200, 200, FALSE_HALTS, 1, .factor = 1},
    {CRASHES, 513, "crashes, no change, gamma rates, 48 h", 20, 0, FALSE_HALTS, 1, .factor = 1,
     .shape = .3},
    {CRASHES, 514, "no change, one canary with 200 crashes", 20, 0, FALSE_HALTS, 1, .factor = 1,
     .chatty = 200},
    {ERRORS, 521, "errors 3 % instead of 0.2 %, 8 h", 20, 0, NEAR, 98.7, .factor = 15},
    {ERRORS, 527, "errors 1 % instead of 0.2 %, own past", 20, 0, NEAR, 87.3, .factor = 5,
     .own_past = true},
    {ERRORS, 528, "errors, no change, own past", 20, 0, FALSE_HALTS, 1, .factor = 1,
     .own_past = true},
    {ERRORS, 529, "no change, one canary with 5,000 errors, own past", 20, 0, FALSE_HALTS, 1,
     .factor = 1, .own_past = true, .chatty = 5000},
    {DEATHS, 651, "hard stop, nobody dies of it", 20, 0, FALSE_HALTS, 1, .rate = 0},
    {DEATHS, 656, "hard stop, 30 % die, 20 others", 20, 20, NEAR, 92.6, .rate = .30},
    {SHARE, 603, "bad ends 1 %, limit 2 %, 1,000 devices", 1000, 0, FALSE_HALTS, 1, .rate = .01},
    {SHARE, 605, "bad ends 5 %, limit 2 %, 1,000 devices", 1000, 0, NEAR, 93.8, .rate = .05},
    {SHARE, 606, "bad ends 10 %, limit 2 %, 1,000 devices", 1000, 0, NEAR, 100, .rate = .10},
};

static double or_usual(double given, double usual)
{
    return given != 0 ? given : usual;
}

/* ---- a fleet's readings, through the controller's functions ---- */

struct device {
    double noise, drift, walk, shift_h;
    int swap; /* block; INT32_MAX: a control */
    bool has_effect, is_gone;
    double y;
    struct flo_level_table levels;
    struct flo_series series;
};
struct fleet {
    const struct row *row;
    struct device *devices;
    struct flo_difference *differences;
    double *scratch, *off;
    int treated, count, before, blocks;
    int load_at;
    double start_h;
    struct flo_curve curve;
};

#define OLD 1 /* the release that all have before */

static const struct flo_mean *level_of(const struct device *device)
{
    static const struct flo_mean none;
    const struct flo_level *level = flo_levels_of(&device->levels, OLD);

    return level != NULL ? &level->mean : &none;
}

static double innovation(const struct row *row, struct chance *chance)
{
    return row->is_normal ? chance_normal(chance) : chance_student3(chance);
}

static void fleet_draw(struct fleet *fleet, struct chance *chance)
{
    const struct row *row = fleet->row;

    fleet->start_h = 24 * chance_uniform(chance);
    fleet->load_at =
        fleet->before + (int)(chance_uniform(chance) * (fleet->blocks > 1 ? fleet->blocks - 1 : 1));
    fleet->curve = (struct flo_curve){0};
    for (int i = 0; i < fleet->count; i++) {
        bool is_treated = i < fleet->treated;
        int late = row->stagger > 0 ? (int)(chance_uniform(chance) * (row->stagger + 1)) : 0;
        bool has_effect = is_treated && chance_uniform(chance) < or_usual(row->share, 1);
        fleet->devices[i] = (struct device){
            .noise = 0.10 * innovation(row, chance),
            .drift = or_usual(row->drift, .05) * chance_normal(chance),
            .shift_h = row->shift_h * chance_normal(chance),
            .swap = is_treated ? fleet->before + late : INT32_MAX,
            .has_effect = has_effect,
            .is_gone = has_effect && row->hide > 0 && chance_uniform(chance) < row->hide};
    }
}

static double reading(const struct fleet *fleet, struct device *device, int block,
                      struct chance *chance)
{
    const struct row *row = fleet->row;
    double hour = fleet->start_h + block / 12.0 + device->shift_h;
    double y;

    device->noise = 0.6 * device->noise + 0.10 * sqrt(1 - 0.36) * innovation(row, chance);
    device->walk += row->walk > 0 ? row->walk / sqrt(12) * chance_normal(chance) : 0;
    y = 11.5 + device->noise + device->walk;
    y += row->daily > 0 ? row->daily * sin(2 * M_PI * hour / 24) : 0;
    y += block >= fleet->before ? device->drift : 0;
    y += row->load != 0 && block >= fleet->load_at ? row->load : 0;
    y += row->stall > 0 && chance_uniform(chance) < row->stall ? log(3) : 0;
    y += device->has_effect && block >= device->swap ? log1p(row->effect) : 0;
    return y;
}

static void fleet_block(struct fleet *fleet, int block, struct chance *chance)
{
    size_t members = 0;

    for (int i = 0; i < fleet->count; i++) {
        struct device *device = &fleet->devices[i];
        device->y = reading(fleet, device, block, chance);
        if (block < device->swap && level_of(device)->count > 0) {
            fleet->off[members++] = device->y - flo_mean_of(level_of(device));
        }
    }
    flo_curve_end(&fleet->curve, fleet->off, fleet->scratch, members);
    for (int i = 0; i < fleet->count; i++) {
        struct device *device = &fleet->devices[i];
        bool is_control = device->swap == INT32_MAX;
        int split = is_control ? fleet->before : device->swap;
        double x = device->y - fleet->curve.value;
        if (block == split) {
            flo_series_split(&device->series, level_of(device));
        }
        if (block >= split && !device->is_gone) {
            flo_series_after(&device->series, x, fleet->curve.value, false);
        }
        if (block < split || is_control) {
            (void)flo_levels_add(&device->levels, OLD, &x, (uint32_t)block);
        }
    }
}

static struct flo_arms fleet_arms(struct fleet *fleet)
{
    struct flo_arms arms;
    size_t count = 0;

    for (int i = 0; i < fleet->count; i++) {
        struct flo_difference *item = &fleet->differences[count];
        if (flo_series_difference(&fleet->devices[i].series, FLO_BEFORE_MIN, 1, &item->d)) {
            item->is_treated = fleet->devices[i].swap != INT32_MAX;
            count++;
        }
    }
    flo_arms_build(fleet->differences, count, fleet->scratch, &arms);
    return arms;
}

static void fleet_open(struct fleet *fleet, const struct row *row)
{
    int controls = row->control > 0 ? row->control : CONTROLS;

    *fleet = (struct fleet){.row = row,
                            .treated = row->treated,
                            .count = row->treated + controls,
                            .before = row->before > 0 ? row->before : BEFORE,
                            .blocks = row->blocks > 0 ? row->blocks : BLOCKS};
    fleet->devices = calloc((size_t)fleet->count, sizeof(*fleet->devices));
    fleet->differences = calloc((size_t)fleet->count, sizeof(*fleet->differences));
    fleet->scratch = calloc(2 * (size_t)fleet->count, sizeof(*fleet->scratch));
    if (fleet->devices == NULL || fleet->differences == NULL || fleet->scratch == NULL) {
        abort();
    }
    fleet->off = fleet->scratch + fleet->count;
}

static void fleet_close(struct fleet *fleet)
{
    free(fleet->devices);
    free(fleet->differences);
    free(fleet->scratch);
}

/* One rollout: the block of its halt, from 1; 0: none. */
static int halted_at(struct fleet *fleet, struct chance *chance)
{
    const struct row *row = fleet->row;
    const struct flo_ratio_rule rule = {.limit_pct = 3,
                                        .prove_pct = 12,
                                        .alpha = or_usual(row->alpha, .05),
                                        .weight = or_usual(row->weight, .2),
                                        .devices_min = 5,
                                        .controls_min = 20};
    struct flo_ratio_result result;

    fleet_draw(fleet, chance);
    for (int b = 0; b < fleet->before + fleet->blocks; b++) {
        fleet_block(fleet, b, chance);
        if (b < fleet->before) {
            continue;
        }
        struct flo_arms arms = fleet_arms(fleet);
        if (flo_ratio_evaluate(&rule, &arms.arms, 1, FLO_LOOK_NONE, false, &result) &&
            result.verdict == FLO_VERDICT_FAIL) {
            return b - fleet->before + 1;
        }
    }
    return 0;
}

static int latency_run(struct fleet *fleet, struct chance *chance)
{
    int metrics = fleet->row->kind == FAMILY ? 5 : 1;
    int at = 0;

    for (int i = 0; i < metrics && at == 0; i++) {
        at = halted_at(fleet, chance);
    }
    return at;
}

/* Devices that are much slower, and devices without a reading. */
static int beside_run(struct fleet *fleet, struct chance *chance)
{
    const struct flo_count_rule rule = {.limit_ratio = 1.5,
                                        .floor_rate = .01,
                                        .prove_rate = .05,
                                        .alpha = .05,
                                        .weight = .05,
                                        .devices_min = 5,
                                        .controls_min = 20,
                                        .exposure_min = 5};
    struct flo_count_arm arms[2][2] = {0}; /* slow, unread; control, treated */
    struct flo_count_result result;
    int halts = 0;
    double d;

    fleet_draw(fleet, chance);
    for (int b = 0; b < fleet->before + fleet->blocks; b++) {
        fleet_block(fleet, b, chance);
    }
    for (int i = 0; i < fleet->count; i++) {
        const struct device *device = &fleet->devices[i];
        int arm = device->swap != INT32_MAX ? 1 : 0;
        bool is_read = flo_series_difference(&device->series, FLO_BEFORE_MIN, 1, &d);
        flo_count_add(&arms[1][arm], is_read ? 0 : 1, 1, 1);
        if (is_read) {
            flo_count_add(&arms[0][arm], flo_difference_is_slow(d) ? 1 : 0, 1, 1);
        }
    }
    for (int i = 0; i < 2; i++) {
        halts += flo_count_evaluate(&rule, &arms[i][1], &arms[i][0], FLO_LOOK_NONE, &result) &&
                 result.verdict == FLO_VERDICT_FAIL;
    }
    return halts > 0 ? fleet->blocks : 0;
}

/* ---- counts ---- */

struct counted {
    double rate, expected, events;
};

static void draw_rates(const struct row *row, struct counted *devices, int count, int treated,
                       double base, double exposure, struct chance *chance)
{
    double before = 0;

    for (int i = 0; i < count; i++) {
        double own = row->shape > 0 ? base * chance_gamma(chance, row->shape) / row->shape : base;
        devices[i] = (struct counted){
            .rate = own,
            .expected = row->own_past ? chance_poisson(chance, own * exposure * 6) : 0};
        before += i >= treated ? devices[i].expected : 0;
    }
    double rate = before / ((count - treated) * exposure * 6);
    for (int i = 0; i < count; i++) {
        devices[i].expected =
            row->own_past ? flo_expected_errors(exposure, devices[i].expected, exposure * 6, rate)
                          : base * exposure;
        devices[i].rate *= i < treated ? row->factor : 1;
    }
}

static int count_run(const struct row *row, struct counted *devices, struct chance *chance)
{
    bool is_errors = row->kind == ERRORS;
    double base = .002;
    double exposure = is_errors ? 600 : 1; /* of a device and hour */
    int hours = is_errors ? 8 : 48;
    int controls = row->control > 0 ? row->control : CONTROLS;
    int count = row->treated + controls;
    const struct flo_count_rule rule = {.limit_ratio = 1.5,
                                        .floor_rate = is_errors ? .005 : .001,
                                        .prove_rate = .002,
                                        .alpha = .05,
                                        .weight = .2,
                                        .devices_min = 5,
                                        .controls_min = row->control > 0 ? 5 : 20,
                                        .exposure_min = is_errors ? 1000 : 10};
    struct flo_count_result result;
    struct row drawn = *row;

    drawn.shape = is_errors ? .5 : row->shape;
    draw_rates(&drawn, devices, count, row->treated, base, exposure, chance);
    for (int h = 1; h <= hours; h++) {
        struct flo_count_arm arms[2] = {0};
        for (int i = 0; i < count; i++) {
            devices[i].events += chance_poisson(chance, devices[i].rate * exposure);
            devices[i].events += i == 0 && h == 1 ? row->chatty : 0;
            flo_count_add(&arms[i < row->treated ? 1 : 0], devices[i].events,
                          devices[i].expected * h, exposure * h);
        }
        if (flo_count_evaluate(&rule, &arms[1], &arms[0], FLO_LOOK_NONE, &result) &&
            result.verdict == FLO_VERDICT_FAIL) {
            return h;
        }
    }
    return 0;
}

static int deaths_run(const struct row *row, struct chance *chance)
{
    int others = row->control > 0 ? row->control : CONTROLS;
    double chance_of = 1 - (1 - row->rate) * exp(-.004);
    struct flo_deaths_arm treated = {.exposure = 40};
    struct flo_deaths_arm control = {.exposure = others * 8 + 120.0};
    struct flo_deaths_result result;

    for (int i = 0; i < row->treated; i++) {
        treated.died += chance_uniform(chance) < chance_of ? 1 : 0;
    }
    control.died = chance_poisson(chance, .002 * control.exposure);
    return flo_deaths_evaluate(&treated, &control, &result) && result.verdict == FLO_VERDICT_FAIL
               ? 1
               : 0;
}

static int share_run(const struct row *row, struct chance *chance)
{
    const struct flo_share_rule rule = {.limit_pct = 2, .alpha = .05, .weight = .2};
    struct flo_share share;
    uint64_t bad = 0;

    for (int i = 1; i <= row->treated; i++) {
        if (chance_uniform(chance) >= row->rate) {
            continue;
        }
        bad++;
        if (flo_share_evaluate(&rule, bad, (uint64_t)i, 1000, &share) &&
            share.verdict == FLO_VERDICT_FAIL) {
            return i;
        }
    }
    return 0;
}

/* ---- all runs of a row ---- */

struct outcome {
    int halts;
    double middle; /* block, hour or device of the halt */
    bool is_done;
};

static int by_number(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

static void run_row(const struct row *row, int runs, uint64_t seed, struct outcome *out)
{
    struct chance chance;
    struct fleet fleet;
    struct counted *devices = calloc(4096, sizeof(*devices));
    int *when = calloc((size_t)runs, sizeof(*when));

    chance_init(&chance, row->seed * 1000003 + seed);
    fleet_open(&fleet, row);
    out->halts = 0;
    for (int i = 0; i < runs && devices != NULL && when != NULL; i++) {
        int at = row->kind == LATENCY || row->kind == FAMILY   ? latency_run(&fleet, &chance)
                 : row->kind == BESIDE                         ? beside_run(&fleet, &chance)
                 : row->kind == CRASHES || row->kind == ERRORS ? count_run(row, devices, &chance)
                 : row->kind == DEATHS                         ? deaths_run(row, &chance)
                                                               : share_run(row, &chance);
        if (at > 0) {
            when[out->halts++] = at;
        }
    }
    qsort(when, (size_t)out->halts, sizeof(*when), by_number);
    out->middle = out->halts > 0 ? when[out->halts / 2] : 0;
    out->is_done = true;
    fleet_close(&fleet);
    free(devices);
    free(when);
}

static bool is_met(const struct row *row, double pct)
{
    switch (row->goal) {
    case NEAR:
        return fabs(pct - row->wanted) <= 3;
    case LEAST:
        return pct >= row->wanted;
    case FALSE_HALTS:
        return pct <= row->wanted;
    }
    return true;
}

/* ---- options and output ---- */

static void work(const struct options *options, int worker, void *shared, const void *context)
{
    struct outcome *outcomes = shared;
    (void)context;

    for (size_t i = (size_t)worker; i < FLO_COUNT(rows); i += (size_t)options->jobs) {
        if (runs_wants(options, rows[i].name)) {
            run_row(&rows[i], options->runs, options->seed, &outcomes[i]);
        }
    }
}

static void goal_text(const struct row *row, char *out, size_t bytes)
{
    const char *before = row->goal == LEAST ? ">= " : row->goal == FALSE_HALTS ? "<= " : "";

    snprintf(out, bytes, "%s%.3g%s", before, row->wanted, row->goal == NEAR ? " +- 3" : "");
}

static int say(const struct options *options, const void *shared, FILE *json, const void *context)
{
    const struct outcome *outcomes = shared;
    (void)context;
    int missed = 0;
    const char *comma = "";

    printf("| case | updated | halted | goal | at (median) | seed |\n"
           "| --- | ---: | ---: | ---: | ---: | ---: |\n");
    fprintf(json, "{\"runs\":%d,\"seed\":%llu,\"rows\":[", options->runs,
            (unsigned long long)options->seed);
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        if (!outcomes[i].is_done) {
            continue;
        }
        double pct = 100.0 * outcomes[i].halts / options->runs;
        bool met = is_met(&rows[i], pct);
        char goal[32];
        goal_text(&rows[i], goal, sizeof(goal));
        printf("| %s | %d | %.1f %% | %s%s | %.0f | %llu |\n", rows[i].name, rows[i].treated, pct,
               goal, met ? "" : " **missed**", outcomes[i].middle,
               (unsigned long long)(rows[i].seed * 1000003 + options->seed));
        fprintf(json,
                "%s\n{\"case\":\"%s\",\"updated\":%d,\"halted_pct\":%.2f,"
                "\"goal\":\"%s\",\"met\":%s,\"seed\":%llu}",
                comma, rows[i].name, rows[i].treated, pct, goal, met ? "true" : "false",
                (unsigned long long)(rows[i].seed * 1000003 + options->seed));
        comma = ",";
        missed += met ? 0 : 1;
    }
    fprintf(json, "\n],\"missed\":%d}\n", missed);
    printf("\n%d runs a row, %d missed\n", options->runs, missed);
    return missed;
}

int main(int argc, char **argv)
{
    const struct runs_bench bench = {.name = "bench_gates",
                                     .seed = 19,
                                     .shared_bytes = sizeof(struct outcome) * FLO_COUNT(rows),
                                     .work = work,
                                     .say = say};

    return runs_main(argc, argv, &bench);
}
