/* Scenes that need no fleet of sites: crashes, leaks, hotfixes, told effects.
 */
#include <math.h>
#include <stdlib.h>

#include "tests/bench/scenes.h"

/* ---- crashes here and there ---- */

void scene_crashes(const struct row *row, struct chance *chance, bool hits[FIGURES_MAX])
{
    static const size_t hours[] = {0, 1, 2, 4};
    const struct flo_crash_rule rule = {.tail_max = 0.001, .limit_ratio = 2};
    size_t until[] = {20, 40, row->third, 920};
    double rate[FLEET], past[FLEET], own[FLEET], crashed[FLEET] = {0};
    double since[FLEET] = {0}, seen[FLEET] = {0}, expected[FLEET] = {0};
    bool is_hit[FLEET];
    struct flo_crash_arm before = {0};
    struct flo_crash_result result;
    size_t updated = 0; /* devices 0 … updated - 1: they are drawn alike */

    for (size_t i = 0; i < FLEET; i++) {
        rate[i] = 0.002 * chance_gamma(chance, 1);
        past[i] = chance_poisson(chance, rate[i] * 24);
        is_hit[i] = chance_uniform(chance) < row->share;
        before.devices += past[i];
    }
    before.expected = before.devices;
    for (size_t i = 0; i < FLEET; i++) {
        double all = fmax(before.devices / (24.0 * FLEET), 1e-5);
        own[i] = (past[i] + 0.5) / (24 + 0.5 / all);
    }
    for (size_t hour = 0; hour < 8; hour++) {
        for (size_t p = 0; p < FLO_COUNT(hours); p++) {
            if (hours[p] == hour) {
                for (size_t i = updated; i < FLEET; i++) {
                    crashed[i] = since[i] = 0;
                }
                updated = until[p];
            }
        }
        struct flo_crash_arm arms[2] = {0};
        for (size_t i = 0; i < FLEET; i++) {
            double extra = i < updated && is_hit[i] ? row->effect : 0;
            crashed[i] =
                crashed[i] > 0 || chance_uniform(chance) < -expm1(-rate[i] - extra) ? 1 : 0;
            since[i]++;
            if (i >= updated || since[i] <= FLO_CRASH_HOURS) {
                seen[i] = crashed[i];
                expected[i] = -expm1(-own[i] * since[i]);
            }
            arms[i < updated].devices += seen[i];
            arms[i < updated].expected += expected[i];
        }
        if (flo_crash_evaluate(&rule, &arms[1], &arms[0], &before, &result) &&
            result.verdict == FLO_VERDICT_FAIL) {
            hits[0] = true;
            hits[1] = updated < 920;
            return;
        }
    }
}

/* ---- leaks ---- */

#define CANARIES 20
#define LEAK_DEVICES 420
#define LEAK_FROM 6 /* blocks after the swap */

void scene_leak(const struct row *row, struct chance *chance, bool hits[FIGURES_MAX])
{
    static struct flo_slope_reading y[LEAK_DEVICES][EIGHT_HOURS];
    static double numbers[2 * LEAK_DEVICES];
    const struct flo_leak_rule rule = {
        .limit_pct = 1, .alpha = 0.03, .weight = 0.1, .devices_min = 5, .controls_min = 20};
    struct flo_slope slopes[LEAK_DEVICES];
    struct flo_leak_arms arms;
    struct flo_leak_result result;

    for (size_t i = 0; i < LEAK_DEVICES; i++) {
        double drift = 0.02 * chance_normal(chance);
        double e = 0.01 * chance_student3(chance);
        for (size_t b = 0; b < EIGHT_HOURS; b++) {
            y[i][b] = (struct flo_slope_reading){
                .block = (uint32_t)b,
                .y = drift + e + (i < CANARIES ? row->effect / 12 * (double)b : 0)};
            e = 0.9 * e + 0.01 * sqrt(1 - 0.81) * chance_student3(chance);
        }
    }
    for (size_t b = LEAK_FROM + 10; b <= EIGHT_HOURS; b++) {
        for (size_t i = 0; i < LEAK_DEVICES; i++) {
            (void)flo_slope_of(&y[i][LEAK_FROM], b - LEAK_FROM, &slopes[i]);
        }
        if (flo_leak_arms(slopes, CANARIES, slopes + CANARIES, LEAK_DEVICES - CANARIES, numbers,
                          &arms) &&
            flo_leak_judge(&rule, &arms, &result) && result.verdict == FLO_VERDICT_FAIL) {
            hits[0] = b <= 18;
            hits[1] = b <= 24;
            hits[2] = true;
            return;
        }
    }
}

/* ---- a release soon after another one ---- */

#define HOTFIX_DEVICES 220
#define HOTFIX_BLOCKS 48

/* One device's readings, from 72 blocks before the change on. */
struct hotfix {
    double y[WORLD_BEFORE + 6 + HOTFIX_BLOCKS];
    double before;
    uint32_t readings;
    enum flo_reference reference;
};

static void draw_hotfix(struct hotfix *one, const struct row *row, bool is_updated, size_t swap,
                        struct chance *chance)
{
    struct flo_level_table levels = {0};
    const struct flo_level *level;
    double drifts[2] = {0.05 * chance_normal(chance), 0.05 * chance_normal(chance)};
    double e = 0.10 * chance_student3(chance);

    for (size_t b = 0; b < FLO_COUNT(one->y); b++) {
        one->y[b] = e + (b >= WORLD_BEFORE ? drifts[0] : 0) + (b >= swap ? drifts[1] : 0) +
                    (b >= swap && is_updated ? log1p(row->effect) : 0);
        e = 0.6 * e + 0.10 * 0.8 * chance_student3(chance);
        if (b < swap) {
            bool is_read = b >= WORLD_BEFORE || row->share > 0;
            (void)flo_levels_add(&levels, b < WORLD_BEFORE ? 1 : 2, is_read ? &one->y[b] : NULL,
                                 (uint32_t)b);
        }
    }
    one->reference = flo_levels_reference(&levels, levels.running, (uint32_t)swap, &level);
    one->before = level != NULL ? flo_mean_of(&level->mean) : 0;
    one->readings = level != NULL ? level->mean.count : 0;
}

static bool is_halted(const struct hotfix *devices, size_t swap, size_t block)
{
    const struct flo_ratio_rule rule = {.limit_pct = 3,
                                        .prove_pct = 12,
                                        .alpha = 0.03,
                                        .weight = 0.2,
                                        .devices_min = 5,
                                        .controls_min = 20};
    struct flo_plain_arm plain[2] = {0};
    struct flo_difference items[HOTFIX_DEVICES];
    double scratch[HOTFIX_DEVICES];
    struct flo_arms arms;
    struct flo_ratio_result result;
    uint32_t after = (uint32_t)(block - swap - 2);
    size_t used = 0;

    for (size_t i = 0; i < HOTFIX_DEVICES; i++) {
        double sum = 0;
        for (size_t b = swap + 2; b < block; b++) {
            sum += devices[i].y[b];
        }
        double d = sum / after - devices[i].before;
        bool is_updated = i < CANARIES;
        (void)flo_plain_add(&plain[is_updated], d, devices[i].readings, after);
        if (devices[i].reference != FLO_REFERENCE_NONE) {
            items[used++] = (struct flo_difference){.d = d, .is_treated = is_updated};
        }
    }
    flo_arms_build(items, used, scratch, &arms);
    return flo_plain_judge(&plain[1], &plain[0]) == FLO_PLAIN_FAIL ||
           (flo_ratio_evaluate(&rule, &arms.arms, 1, FLO_LOOK_NONE, false, &result) &&
            result.verdict == FLO_VERDICT_FAIL);
}

void scene_hotfix(const struct row *row, struct chance *chance, bool hits[FIGURES_MAX])
{
    static struct hotfix devices[HOTFIX_DEVICES];
    size_t swap = WORLD_BEFORE + row->third / 5;

    for (size_t i = 0; i < HOTFIX_DEVICES; i++) {
        draw_hotfix(&devices[i], row, i < CANARIES, swap, chance);
    }
    for (size_t block = swap + 4; block < swap + HOTFIX_BLOCKS; block++) {
        if (is_halted(devices, swap, block)) {
            hits[0] = block == swap + 4;
            hits[1] = true;
            return;
        }
    }
}

/* ---- what is told ---- */

void scene_told(const struct row *row, struct chance *chance, bool hits[FIGURES_MAX])
{
    static double pairs[FLO_TOLD_PAIRS_DEVICES_MAX * (FLO_TOLD_PAIRS_DEVICES_MAX + 1) / 2];
    double d[600];
    size_t count = row->devices + 400;
    struct flo_told out;

    for (size_t i = 0; i < count; i++) {
        double e = 0.10 * chance_student3(chance);
        double before = 0;
        double after = 0;
        for (size_t b = 0; b < 82; b++) {
            before += b < 72 ? e / 72 : 0;
            after += b >= 72 ? e / 10 : 0;
            e = 0.6 * e + 0.10 * 0.8 * chance_student3(chance);
        }
        d[i] = after - before + 0.05 * chance_normal(chance) +
               (i < row->devices ? log1p(row->effect) : 0);
    }
    if (!flo_told_effect(d, row->devices, d + row->devices, 400, pairs, &out)) {
        abort();
    }
    hits[0] = fabs(expm1(out.effect) / row->effect - 1) <= 0.2;
    hits[1] = out.low <= log1p(row->effect) && log1p(row->effect) <= out.high;
}
