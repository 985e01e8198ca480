/* Errors that the release brings to one site, or to none: 600 requests for a
 * device and hour, 0.2 % of them fail, at gamma rates of shape 0.5; 24 hours of
 * each device's past; a look every ten minutes. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "server-stub/core/gate/slices/probe.h"
#include "tests/bench/scenes.h"

#define STEPS 48 /* of ten minutes */

struct errors {
    double rate[FLEET], own[FLEET]; /* an hour; own: by the past */
    double total[FLEET];
    double at_split[FLO_SCAN_WAVES_MAX][FLEET];
    size_t split[FLO_SCAN_WAVES_MAX];
    size_t wave_count;
    int8_t wave[FLEET];
    uint32_t order[FLEET];
    size_t held;
    uint16_t values[4][FLEET]; /* hw, agent, site, region */
    struct flo_slice_label labels[7];
    struct flo_count_scan_device devices[FLEET];
    uint8_t asked[7][SITES + 1];
    uint8_t far[FLEET];
};

static void draw_errors(struct errors *errors, struct chance *chance)
{
    struct flo_spread_sizes sizes;
    static const uint32_t counts[] = {2, 3, SITES, 8, 2, 2, 2};
    static struct flo_spread_device members[FLEET];
    static struct flo_spread_group groups[FLEET];
    static uint16_t none[FLEET];
    double past[FLEET];
    double all = 0;

    memset(errors, 0, sizeof(*errors));
    for (size_t i = 0; i < FLEET; i++) {
        errors->rate[i] = 1.2 * chance_gamma(chance, 0.5) / 0.5;
        past[i] = chance_poisson(chance, errors->rate[i] * 24);
        all += past[i];
        errors->wave[i] = -1;
        errors->values[0][i] = (uint16_t)(1 + chance_below(chance, 2));
        errors->values[1][i] = (uint16_t)(1 + chance_below(chance, 3));
        errors->values[2][i] = (uint16_t)(1 + i % SITES);
        errors->values[3][i] = (uint16_t)(1 + i % SITES / 5);
        members[i] =
            (struct flo_spread_device){.value = errors->values[2][i],
                                       .bucket = (uint32_t)chance_below(chance, 1000000000),
                                       .id = ""};
    }
    for (size_t i = 0; i < FLEET; i++) {
        errors->own[i] = flo_expected_errors(1, past[i], 24, all / 24 / FLEET);
    }
    for (size_t l = 0; l < FLO_COUNT(counts); l++) {
        errors->labels[l] = (struct flo_slice_label){.values = l < 4 ? errors->values[l] : none,
                                                     .count = l < 4 ? counts[l] : 0,
                                                     .judged = counts[l]};
    }
    (void)flo_spread_order(members, FLEET, 50, groups, errors->order, &sizes);
    errors->held = sizes.held;
}

static void begin_errors(struct errors *errors, const uint32_t *devices, size_t count, size_t step)
{
    size_t p = errors->wave_count;

    if (count == 0 || p == FLO_SCAN_WAVES_MAX) {
        return;
    }
    errors->wave_count++;
    errors->split[p] = step;
    memcpy(errors->at_split[p], errors->total, sizeof(errors->total));
    for (size_t k = 0; k < count; k++) {
        errors->wave[devices[k]] = (int8_t)p;
    }
}

/* A site that was probed and is far gets no further device. */
static bool is_hot(const struct errors *errors, uint32_t device)
{
    uint16_t site = errors->values[2][device];
    uint32_t updated = 0;
    uint32_t far = 0;

    for (size_t i = 0; i < FLEET; i++) {
        const struct flo_count_scan_device *one = &errors->devices[i];
        if (errors->values[2][i] == site && one->is_updated) {
            updated++;
            far += one->events[one->wave] >= fmax(8, 5 * one->expected[one->wave]);
        }
    }
    return errors->asked[2][site] != 0 && 2 * far >= updated;
}

static size_t next_errors(const struct errors *errors, size_t until, uint32_t *out)
{
    size_t have = 0;
    size_t used = 0;

    for (size_t i = 0; i < FLEET; i++) {
        have += errors->wave[i] >= 0 ? 1 : 0;
    }
    for (size_t k = 0; k < FLEET - errors->held && have + used < until; k++) {
        uint32_t i = errors->order[k];
        if (errors->wave[i] < 0 && !is_hot(errors, i)) {
            out[used++] = i;
        }
    }
    return used;
}

static void look_at_errors(struct errors *errors, size_t step, void *room,
                           struct flo_count_scan *scan)
{
    struct flo_count_scan_rule rule = {.alpha = 0.01,
                                       .weight = 0.15,
                                       .least = 8,
                                       .labels = errors->labels,
                                       .label_count = FLO_COUNT(errors->labels)};

    for (size_t i = 0; i < FLEET; i++) {
        struct flo_count_scan_device *one = &errors->devices[i];
        *one = (struct flo_count_scan_device){
            .is_updated = errors->wave[i] >= 0,
            .wave = errors->wave[i] >= 0 ? (uint8_t)errors->wave[i] : 0,
            .waves = (uint8_t)errors->wave_count};
        for (size_t p = 0; p < errors->wave_count; p++) {
            double hours = ((double)step + 1 - (double)errors->split[p]) / 6;
            one->events[p] = errors->total[i] - errors->at_split[p][i];
            one->expected[p] = errors->own[i] * hours;
        }
    }
    if (!flo_count_scan_look(&rule, errors->devices, FLEET, room, errors->far, scan)) {
        abort();
    }
}

struct free_devices {
    const struct errors *errors;
    const uint32_t *picked;
    size_t picked_count;
    struct flo_slice slice;
};

static uint32_t rank_of(const void *context, size_t place)
{
    const struct free_devices *of = context;
    uint32_t i = of->errors->order[place];
    bool is_free =
        of->errors->wave[i] < 0 && of->errors->labels[of->slice.label].values[i] == of->slice.value;

    for (size_t q = 0; q < of->picked_count; q++) {
        is_free = is_free && of->picked[q] != i;
    }
    return is_free ? (uint32_t)place : FLO_PROBE_NOT;
}

static size_t probe_errors(struct errors *errors, const struct flo_count_scan *scan, uint32_t *out)
{
    size_t used = 0;

    for (size_t k = 0; k < scan->probe_count; k++) {
        struct flo_slice slice = scan->probes[k].slice;
        struct free_devices of = {
            .errors = errors, .picked = out, .picked_count = used, .slice = slice};
        size_t places[FLO_SCAN_PROBE_DEVICES];
        if (errors->asked[slice.label][slice.value] != 0) {
            continue;
        }
        errors->asked[slice.label][slice.value] = 1;
        size_t found =
            flo_probe_pick(rank_of, &of, FLEET - errors->held, scan->probes[k].take, places);
        for (size_t j = 0; j < found; j++) {
            out[used++] = errors->order[places[j]];
        }
    }
    return used;
}

void scene_errors_of_a_site(const struct row *row, struct chance *chance, bool hits[FIGURES_MAX])
{
    static struct errors errors;
    static struct flo_count_scan scan;
    static void *room;
    uint32_t picked[FLEET];
    size_t next = 0;
    size_t begun = 0;
    size_t wait_for = 0;
    uint16_t bad = (uint16_t)(1 + chance_below(chance, SITES));

    room = room != NULL ? room : malloc(flo_count_scan_room_bytes(FLEET));
    draw_errors(&errors, chance);
    for (size_t step = 0; step < STEPS; step++) {
        if (next < SCENE_WAVES && step >= wait_for &&
            step >= begun + scene_waves[next].blocks / 2) {
            size_t count = next_errors(&errors, scene_waves[next].until, picked);
            begin_errors(&errors, picked, count, step);
            next++;
            begun = step;
        }
        for (size_t i = 0; i < FLEET; i++) {
            bool is_bad = errors.wave[i] >= 0 && errors.values[2][i] == bad;
            errors.total[i] +=
                chance_poisson(chance, (errors.rate[i] + (is_bad ? row->effect : 0)) / 6);
        }
        look_at_errors(&errors, step, room, &scan);
        for (size_t i = 0; i < scan.row_count; i++) {
            const struct flo_count_scan_row *one = &scan.rows[i];
            struct flo_slice slice = one->has_within ? one->within : one->slice;
            bool is_right = row->effect <= 0 || (slice.label == 2 && slice.value == bad);
            hits[is_right ? 0 : 1] = true;
        }
        if (scan.row_count > 0) {
            return;
        }
        size_t count = probe_errors(&errors, &scan, picked);
        if (count > 0) {
            begin_errors(&errors, picked, count, step + 1);
            wait_for = step + 7;
        }
    }
}
