/* Scan: makes the passes of one evaluation, each of which names one slice. */
#include <assert.h>
#include <math.h>

#include "server-stub/core/gate/slices/scan_room.h"
#include "server-stub/core/gate/statistics/numbers.h"
#include "server-stub/core/gate/statistics/series.h"

#define TIE 1e-9
#define CHANGED_CONTROLS_MIN 3
#define CHANGED_OTHERS_MIN 20

/* ---- one value ---- */

static double evidence_of(const struct flo_scan_room *room, const struct flo_scan_value *value)
{
    const struct flo_slice_label *label = room->label;
    double n = (double)value->updated.devices;
    double updated = flo_variance_treated(room->s2, value->updated.m2, n - 1);
    double others = flo_scan_value_has_own(value)
                        ? room->s2 / (double)value->controls.devices
                        : fmax(room->tau2, label->tau2) + room->s2 / (double)room->controls;
    double variance = updated / n + others;

    assert(value->updated.devices >= 1 && room->s2 > 0);
    return flo_student_above(value->updated.mean / sqrt(variance),
                             FLO_EFFECT_PRIOR * room->s2 / variance, room->nu);
}

/* Returns one `lift` among the updated devices that do not have this value.
 * `place` counts these devices in ascending order of `lift`.  It is a device's
 * change, with outliers limited, less the centre of the controls. */
static double rest_at(const struct flo_scan_room *room, const struct flo_scan_value *value,
                      size_t place)
{
    assert(place < room->live_count);
    for (int64_t j = 0; j < value->updated.devices && room->group[value->first + j] <= place; j++) {
        place++;
    }
    return room->live[place].lift;
}

/* Returns true when the slice's mean is less than twice the median of the other
 * updated devices, so the slice is not special.  Returns true as well when
 * hardly any other device is updated. */
static bool is_everywhere(const struct flo_scan_room *room, const struct flo_scan_value *value)
{
    size_t rest = room->live_count - (size_t)value->updated.devices;

    assert(room->live_count >= (size_t)value->updated.devices);
    if (rest < FLO_SCAN_UPDATED_MIN) {
        return true;
    }
    double upper = rest_at(room, value, rest / 2);
    double lower = rest % 2 == 1 ? upper : rest_at(room, value, rest / 2 - 1);
    return value->updated.mean < 2 * (0.5 * (lower + upper));
}

static bool are_enough_far(const struct flo_scan_room *room, const struct flo_scan_value *value)
{
    int64_t far = 0;

    for (int64_t j = 0; j < value->updated.devices; j++) {
        uint32_t i = flo_scan_room_device(room, value->first + (size_t)j);
        far += room->z[i] > room->limit ? 1 : 0;
    }
    return far >= FLO_SCAN_UPDATED_MIN && 3 * far >= value->updated.devices;
}

static void look_at_value(const struct flo_scan_room *room, struct flo_slice at, double threshold,
                          struct flo_scan_best *best)
{
    const struct flo_scan_value *value = &room->values[at.value];

    assert(at.value > 0 && at.value <= room->label->count);
    if (value->updated.devices < FLO_SCAN_UPDATED_MIN || value->updated.mean < room->limit ||
        !flo_scan_value_counts(room, value)) {
        return;
    }
    double ln_e = evidence_of(room, value);
    if (ln_e >= threshold && are_enough_far(room, value) && !is_everywhere(room, value) &&
        (best->slice.value == 0 || ln_e - threshold > best->ln_e - best->threshold + TIE)) {
        *best = (struct flo_scan_best){
            .slice = at, .ln_e = ln_e, .threshold = threshold, .delta = value->updated.mean};
    }
}

/* ---- probes ---- */

struct probes {
    struct flo_scan_probe *items; /* [FLO_SCAN_PROBES_MAX] */
    size_t count;
};

/* Inserts a probe into the list, which is sorted by distance, largest first.
 * Among equal probes, the one that was found first comes first. */
static void add_probe(struct probes *probes, struct flo_slice slice, double least,
                      const struct flo_scan_value *value)
{
    int64_t controls = value->controls.devices;
    size_t at = probes->count;

    assert(probes->count <= FLO_SCAN_PROBES_MAX);
    while (at > 0 && probes->items[at - 1].least < least) {
        at--;
    }
    if (at == FLO_SCAN_PROBES_MAX) {
        return;
    }
    probes->count += probes->count < FLO_SCAN_PROBES_MAX ? 1 : 0;
    for (size_t i = probes->count - 1; i > at; i--) {
        probes->items[i] = probes->items[i - 1];
    }
    probes->items[at] = (struct flo_scan_probe){
        .slice = slice,
        .take = controls < FLO_SCAN_PROBE_DEVICES ? (uint32_t)controls : FLO_SCAN_PROBE_DEVICES,
        .least = least};
}

/* Returns the smallest change among the slice's updated devices, less the
 * median of their own controls.  Waves without controls are skipped. */
static double least_lift(const struct flo_scan_room *room, const struct flo_scan_value *value)
{
    double least = INFINITY;

    for (int64_t j = 0; j < value->updated.devices; j++) {
        const struct flo_scan_device *one =
            &room->devices[flo_scan_room_device(room, value->first + (size_t)j)];
        bool has_controls = false;
        for (int64_t i = 0; i < value->controls.devices; i++) {
            has_controls = has_controls ||
                           (room->devices[room->owned[value->own + i]].known >> one->wave & 1) != 0;
        }
        least = fmin(least, has_controls
                                ? one->d[one->wave] - flo_scan_value_base(room, value, one->wave)
                                : -1);
    }
    return least;
}

static void look_for_probes(const struct flo_scan_room *room, size_t label, struct probes *probes)
{
    for (size_t v = 1; v <= room->label->count; v++) {
        const struct flo_scan_value *value = &room->values[v];
        if (value->updated.devices < 1 || value->updated.devices >= FLO_SCAN_UPDATED_MIN ||
            !flo_scan_value_has_own(value)) {
            continue;
        }
        double least = least_lift(room, value);
        if (flo_difference_is_slow(least)) {
            add_probe(probes, (struct flo_slice){(uint16_t)label, (uint16_t)v}, least, value);
        }
    }
}

/* ---- values whose controls changed ---- */

/* Inserts a finding by its evidence, greatest first.  The table keeps the first
 * 128. */
static void add_found(struct flo_scan_room *room, struct flo_scan *out,
                      const struct flo_scan_changed *one)
{
    size_t at = room->found_count;

    assert(room->found_count <= FLO_SCAN_FOUND_MAX);
    while (at > 0 && room->found[at - 1].ln_e < one->ln_e) {
        at--;
    }
    if (room->found_count == FLO_SCAN_FOUND_MAX) {
        out->changed_left++;
        if (at == FLO_SCAN_FOUND_MAX) {
            return;
        }
    } else {
        room->found_count++;
    }
    for (size_t i = room->found_count - 1; i > at; i--) {
        room->found[i] = room->found[i - 1];
    }
    room->found[at] = *one;
}

/* Returns the median, over the controls that have this label, of the newest
 * change of each control. */
static double centre_of_controls(const struct flo_scan_room *room)
{
    size_t used = 0;

    for (size_t i = 0; i < room->count; i++) {
        if (room->label->values[i] != 0 && (room->marks[i] & FLO_SCAN_CONTROL) != 0) {
            room->numbers[used++] = room->newest[i];
        }
    }
    return used > 0 ? flo_median(room->numbers, used) : 0;
}

static void look_for_changes(struct flo_scan_room *room, size_t label, double threshold,
                             struct flo_scan *out)
{
    double centre = centre_of_controls(room);

    assert(label < room->rule->label_count);
    for (size_t v = 1; v <= room->label->count; v++) {
        const struct flo_scan_value *value = &room->values[v];
        int64_t n = value->controls.devices;
        if (n < CHANGED_CONTROLS_MIN || (int64_t)room->controls - n < CHANGED_OTHERS_MIN) {
            continue;
        }
        double shift = value->controls.mean - centre;
        double variance = room->s2 / (double)n + room->tau2;
        double ln_e = flo_student_off(shift / sqrt(variance),
                                      FLO_EFFECT_PRIOR * room->s2 / variance, room->nu);
        if (ln_e >= threshold && fabs(shift) >= room->limit) {
            struct flo_scan_changed one = {.slice = {(uint16_t)label, (uint16_t)v},
                                           .ln_e = ln_e,
                                           .shift = shift,
                                           .controls = (uint32_t)n,
                                           .has_both =
                                               value->updated.devices > 0 &&
                                               fabs(value->updated.mean) < 0.5 * fabs(shift)};
            add_found(room, out, &one);
        }
    }
}

static bool is_control_of(const struct flo_scan_room *room, size_t device, struct flo_slice slice)
{
    assert(device < room->count && slice.label < room->rule->label_count);
    return (room->marks[device] & FLO_SCAN_CONTROL) != 0 &&
           room->rule->labels[slice.label].values[device] == slice.value;
}

static bool is_culprit(const struct flo_scan *out, struct flo_slice slice)
{
    for (size_t i = 0; i < out->row_count; i++) {
        if (out->rows[i].is_culprit && out->rows[i].slice.label == slice.label &&
            out->rows[i].slice.value == slice.value) {
            return true;
        }
    }
    return false;
}

/* Copies the changed slices to the result.  A slice that shares a quarter of
 * its controls with one already shown is the same change, and is left out. */
static void show_changes(struct flo_scan_room *room, struct flo_scan *out)
{
    for (size_t k = 0; k < room->found_count; k++) {
        const struct flo_scan_changed *one = &room->found[k];
        uint32_t shared = 0;
        for (size_t i = 0; i < room->count; i++) {
            shared += is_control_of(room, i, one->slice) && (room->marks[i] & FLO_SCAN_TAKEN) != 0
                          ? 1
                          : 0;
        }
        if (4 * (uint64_t)shared >= one->controls || is_culprit(out, one->slice)) {
            continue;
        }
        if (out->changed_count == FLO_SCAN_CHANGED_MAX) {
            out->changed_left++;
            continue;
        }
        out->changed[out->changed_count++] = *one;
        for (size_t i = 0; i < room->count; i++) {
            if (is_control_of(room, i, one->slice)) {
                room->marks[i] |= FLO_SCAN_TAKEN;
            }
        }
    }
}

/* ---- turns ---- */

/* Makes one pass over all labels.  Finds the slice with the strongest evidence,
 * if one exceeds its threshold, and slices in which more devices should
 * update. */
static void turn(struct flo_scan_room *room, bool is_first, struct flo_scan *out,
                 struct flo_scan_best *best)
{
    const struct flo_scan_rule *rule = room->rule;
    struct probes probes = {.items = out->probes};

    *best = (struct flo_scan_best){0};
    flo_scan_room_live(room);
    for (size_t l = 0; l < rule->label_count; l++) {
        flo_scan_room_measure(room, l);
        bool is_scanned = room->nu >= FLO_SCAN_FREEDOM_MIN;
        double threshold =
            flo_slice_threshold(rule->alpha, rule->weight, rule->label_count, room->label->judged);
        look_for_probes(room, l, &probes);
        if (is_first) {
            out->tau2[l] = room->tau2;
            out->is_scanned[l] = is_scanned;
        }
        if (is_first && is_scanned) {
            look_for_changes(room, l, threshold, out);
        }
        for (size_t v = 1; v <= room->label->count && is_scanned; v++) {
            look_at_value(room, (struct flo_slice){(uint16_t)l, (uint16_t)v}, threshold, best);
        }
    }
    out->probe_count = probes.count;
}

bool flo_scan_look(const struct flo_scan_rule *rule, const struct flo_scan_device *devices,
                   size_t count, void *memory, uint8_t *far, struct flo_scan *out)
{
    struct flo_scan_room *room = memory;
    struct flo_scan_best best;

    assert(room != NULL && (far != NULL || count == 0));
    *out = (struct flo_scan){0};
    for (size_t i = 0; i < count; i++) {
        far[i] = 0;
    }
    if (!flo_scan_room_open(room, rule, devices, count)) {
        return false;
    }
    turn(room, true, out, &best);
    while (best.slice.value != 0 && out->row_count < FLO_SCAN_ROWS_MAX) {
        flo_scan_row_fill(room, &best, (uint8_t)(out->row_count + 1), far,
                          &out->rows[out->row_count]);
        out->row_count++;
        turn(room, false, out, &best);
    }
    show_changes(room, out);
    return true;
}
