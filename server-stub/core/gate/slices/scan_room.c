/* Scan room: computes the sums of a label's values in one pass over the
 * devices. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "server-stub/core/gate/slices/scan_room.h"
#include "server-stub/core/gate/statistics/numbers.h"

#define CLIP_TIMES 8
#define CLIP_MIN 0.25
#define LARGE 10 /* number of members that a value needs if it has no controls of its own */
/* number of controls elsewhere that a value needs if it has none of its own */
#define OTHERS_MIN 20
#define WIDE_VALUES_MIN 8 /* values that are needed to estimate the variance between them */

/* ---- layout ---- */

static size_t numbers_of(size_t devices)
{
    return devices + 2 * (FLO_SLICE_VALUES_MAX + 1);
}

static size_t pairs_of(size_t devices)
{
    size_t most = flo_told_numbers(FLO_TOLD_PAIRS_DEVICES_MAX, 0);

    return devices > most ? devices : most;
}

size_t flo_scan_room_bytes(size_t devices)
{
    size_t doubles = 2 * devices + numbers_of(devices) + pairs_of(devices);

    return sizeof(struct flo_scan_room) + doubles * sizeof(double) +
           2 * devices * sizeof(struct flo_scan_ranked) +
           (FLO_SLICE_VALUES_MAX + 1) * sizeof(struct flo_scan_value) +
           3 * devices * sizeof(uint32_t) + devices;
}

static void *carve(uint8_t **at, size_t bytes)
{
    void *part = *at;

    *at += bytes;
    return part;
}

/* Assigns a part of the memory to each array, the widest elements first, so
 * that each array is aligned. */
static void lay_out(struct flo_scan_room *room)
{
    size_t n = room->count;
    uint8_t *at = (uint8_t *)(room + 1);

    room->newest = carve(&at, n * sizeof(double));
    room->z = carve(&at, n * sizeof(double));
    room->numbers = carve(&at, numbers_of(n) * sizeof(double));
    room->pairs = carve(&at, pairs_of(n) * sizeof(double));
    room->order = carve(&at, n * sizeof(*room->order));
    room->live = carve(&at, n * sizeof(*room->live));
    room->values = carve(&at, (FLO_SLICE_VALUES_MAX + 1) * sizeof(*room->values));
    room->group = carve(&at, n * sizeof(uint32_t));
    room->owned = carve(&at, n * sizeof(uint32_t));
    room->slice = carve(&at, n * sizeof(uint32_t));
    room->marks = carve(&at, n);
}

/* ---- devices ---- */

static bool is_known(const struct flo_scan_device *device, size_t wave)
{
    assert(wave < FLO_SCAN_WAVES_MAX);
    return (device->known >> wave & 1) != 0;
}

static bool is_possible(const struct flo_scan_device *device)
{
    if ((device->is_updated && device->wave >= FLO_SCAN_WAVES_MAX) ||
        (device->has_step && !isfinite(device->step))) {
        return false;
    }
    for (size_t p = 0; p < FLO_SCAN_WAVES_MAX; p++) {
        if (is_known(device, p) && !isfinite(device->d[p])) {
            return false;
        }
    }
    return true;
}

static void clip_waves(struct flo_scan_room *room)
{
    for (size_t p = 0; p < room->waves; p++) {
        size_t used = 0;
        for (size_t i = 0; i < room->count; i++) {
            const struct flo_scan_device *one = &room->devices[i];
            if (!one->is_updated && is_known(one, p)) {
                room->numbers[used++] = one->d[p];
            }
        }
        room->clips[p] = flo_clip_of(room->numbers, used, CLIP_TIMES, CLIP_MIN);
    }
}

static int by_lift(const void *a, const void *b)
{
    const struct flo_scan_ranked *one = a;
    const struct flo_scan_ranked *other = b;

    if (one->lift < other->lift || one->lift > other->lift) {
        return one->lift < other->lift ? -1 : 1;
    }
    return (one->device > other->device) - (one->device < other->device);
}

static void add_updated(struct flo_scan_room *room, size_t i)
{
    const struct flo_scan_device *one = &room->devices[i];
    const struct flo_clip *clip = &room->clips[one->wave];

    assert(i < room->count && one->wave < room->waves);
    if (is_known(one, one->wave)) {
        room->order[room->order_count++] = (struct flo_scan_ranked){
            .lift = flo_clipped(clip, one->d[one->wave]) - clip->centre, .device = (uint32_t)i};
    }
}

static void add_control(struct flo_scan_room *room, size_t i)
{
    const struct flo_scan_device *one = &room->devices[i];

    assert(i < room->count && !one->is_updated);
    room->controls += one->known != 0 ? 1 : 0;
    for (size_t p = 0; p < room->waves; p++) {
        if (is_known(one, p)) {
            room->newest[i] = flo_clipped(&room->clips[p], one->d[p]);
            room->marks[i] = FLO_SCAN_CONTROL;
        }
    }
}

bool flo_scan_room_open(struct flo_scan_room *room, const struct flo_scan_rule *rule,
                        const struct flo_scan_device *devices, size_t count)
{
    assert(rule->alpha > 0 && rule->weight > 0 && rule->limit_pct > -100);
    assert(rule->label_count <= FLO_SLICE_LABELS_MAX && count < UINT32_MAX);
    *room = (struct flo_scan_room){
        .rule = rule, .devices = devices, .count = count, .limit = log1p(rule->limit_pct / 100)};
    for (size_t i = 0; i < count; i++) {
        if (!is_possible(&devices[i])) {
            return false;
        }
        if (devices[i].is_updated && devices[i].wave >= room->waves) {
            room->waves = (size_t)devices[i].wave + 1;
        }
    }
    lay_out(room);
    clip_waves(room);
    for (size_t i = 0; i < count; i++) {
        room->marks[i] = 0;
        if (devices[i].is_updated) {
            add_updated(room, i);
        } else {
            add_control(room, i);
        }
    }
    qsort(room->order, room->order_count, sizeof(*room->order), by_lift);
    return true;
}

void flo_scan_room_live(struct flo_scan_room *room)
{
    assert(room->order_count <= room->count);
    room->live_count = 0;
    for (size_t i = 0; i < room->order_count; i++) {
        if ((room->marks[room->order[i].device] & FLO_SCAN_REMOVED) == 0) {
            room->live[room->live_count++] = room->order[i];
        }
    }
}

/* ---- one label ---- */

uint32_t flo_scan_room_device(const struct flo_scan_room *room, size_t place)
{
    assert(place < room->live_count && room->group[place] < room->live_count);
    return room->live[room->group[place]].device;
}

bool flo_scan_value_has_own(const struct flo_scan_value *value)
{
    return value->controls.devices >= FLO_SCAN_CONTROLS_MIN;
}

bool flo_scan_value_counts(const struct flo_scan_room *room, const struct flo_scan_value *value)
{
    return flo_scan_value_has_own(value) ||
           (!room->label->needs_own && room->controls >= OTHERS_MIN && value->members >= LARGE);
}

static void count_devices(struct flo_scan_room *room)
{
    const struct flo_slice_label *label = room->label;
    struct flo_scan_value *values = room->values;

    memset(values, 0, ((size_t)label->count + 1) * sizeof(*values));
    for (size_t i = 0; i < room->count; i++) {
        assert(label->values[i] <= label->count);
        values[label->values[i]].members++;
        if ((room->marks[i] & FLO_SCAN_CONTROL) != 0) {
            values[label->values[i]].controls.devices++;
        }
    }
    for (size_t j = 0; j < room->live_count; j++) {
        values[label->values[room->live[j].device]].updated.devices++;
    }
}

/* Makes a list of devices for each value: updated devices sorted by `lift`,
 * controls in the order of the array.  Devices without the label (value 0) have
 * a list too, which is never read. */
static void list_devices(struct flo_scan_room *room)
{
    const struct flo_slice_label *label = room->label;
    struct flo_scan_value *values = room->values;
    uint32_t updated = 0;
    uint32_t controls = 0;

    for (size_t v = 0; v <= label->count; v++) {
        values[v].first = updated;
        values[v].own = controls;
        updated += (uint32_t)values[v].updated.devices;
        controls += (uint32_t)values[v].controls.devices;
    }
    /* In this loop `part` and `part_far` have the next free index. */
    for (size_t j = 0; j < room->live_count; j++) {
        struct flo_scan_value *value = &values[label->values[room->live[j].device]];
        room->group[value->first + value->part++] = (uint32_t)j;
    }
    for (size_t i = 0; i < room->count; i++) {
        struct flo_scan_value *value = &values[label->values[i]];
        if ((room->marks[i] & FLO_SCAN_CONTROL) != 0) {
            room->owned[value->own + value->part_far++] = (uint32_t)i;
        }
    }
}

/* Computes the mean of an arm's numbers, and the sum of their squared distances
 * from it. */
static void add_up(struct flo_ratio_arm *arm, const double *numbers)
{
    double sum = 0;

    for (int64_t i = 0; i < arm->devices; i++) {
        sum += numbers[i];
    }
    arm->mean = arm->devices > 0 ? sum / (double)arm->devices : 0;
    for (int64_t i = 0; i < arm->devices; i++) {
        double off = numbers[i] - arm->mean;
        arm->m2 += off * off;
    }
}

/* Computes, for each wave, the mean of the controls that have this value.  A
 * value without controls gets the centre of all controls. */
static void levels_of(const struct flo_scan_room *room, const struct flo_scan_value *value,
                      double out[FLO_SCAN_WAVES_MAX])
{
    assert(room->waves <= FLO_SCAN_WAVES_MAX);
    for (size_t p = 0; p < room->waves; p++) {
        double sum = 0;
        double known = 0;
        for (int64_t i = 0; i < value->controls.devices; i++) {
            const struct flo_scan_device *one = &room->devices[room->owned[value->own + i]];
            if (is_known(one, p)) {
                sum += flo_clipped(&room->clips[p], one->d[p]);
                known++;
            }
        }
        out[p] = flo_scan_value_has_own(value) && known > 0 ? sum / known : room->clips[p].centre;
    }
}

static void measure_value(struct flo_scan_room *room, struct flo_scan_value *value)
{
    double levels[FLO_SCAN_WAVES_MAX];

    assert(value->first + (size_t)value->updated.devices <= room->live_count);
    value->part = 0;
    value->part_far = 0;
    for (int64_t i = 0; i < value->controls.devices; i++) {
        room->numbers[i] = room->newest[room->owned[value->own + i]];
    }
    add_up(&value->controls, room->numbers);
    if (value->updated.devices == 0) {
        return;
    }
    levels_of(room, value, levels);
    for (int64_t j = 0; j < value->updated.devices; j++) {
        uint32_t i = flo_scan_room_device(room, value->first + (size_t)j);
        const struct flo_scan_device *one = &room->devices[i];
        room->z[i] = flo_clipped(&room->clips[one->wave], one->d[one->wave]) - levels[one->wave];
        room->numbers[j] = room->z[i];
    }
    add_up(&value->updated, room->numbers);
}

/* Returns the variance between values of the label that no release caused. */
static double tau2_of(const struct flo_scan_room *room)
{
    double *means = room->numbers;
    double *counts = room->numbers + FLO_SLICE_VALUES_MAX + 1;
    size_t used = 0;

    assert(room->label->count <= FLO_SLICE_VALUES_MAX);
    for (size_t v = 1; v <= room->label->count; v++) {
        const struct flo_scan_value *value = &room->values[v];
        if (flo_scan_value_has_own(value)) {
            means[used] = value->controls.mean;
            counts[used++] = (double)value->controls.devices;
        }
    }
    if (used < WIDE_VALUES_MIN) {
        return 0;
    }
    double centre = flo_median(means, used);
    double sd = flo_robust_deviation(means, used, centre);
    return fmax(0, sd * sd - room->s2 / flo_median(counts, used));
}

static double freedom(const struct flo_ratio_arm *arm)
{
    return arm->devices > 1 ? (double)arm->devices - 1 : 0;
}

void flo_scan_room_measure(struct flo_scan_room *room, size_t label)
{
    double squares = 0;

    assert(label < room->rule->label_count);
    room->label = &room->rule->labels[label];
    assert(room->label->count <= FLO_SLICE_VALUES_MAX);
    count_devices(room);
    list_devices(room);
    room->nu = 0;
    for (size_t v = 1; v <= room->label->count; v++) {
        struct flo_scan_value *value = &room->values[v];
        measure_value(room, value);
        squares += value->updated.m2 + value->controls.m2;
        room->nu += freedom(&value->updated) + freedom(&value->controls);
    }
    room->s2 = room->nu > 0 ? fmax(squares / room->nu, FLO_VARIANCE_MIN) : FLO_VARIANCE_MIN;
    room->tau2 = tau2_of(room);
}

double flo_scan_value_base(const struct flo_scan_room *room, const struct flo_scan_value *value,
                           size_t wave)
{
    size_t used = 0;

    assert(wave < room->waves);
    if (!flo_scan_value_has_own(value)) {
        return room->clips[wave].centre;
    }
    for (int64_t i = 0; i < value->controls.devices; i++) {
        const struct flo_scan_device *one = &room->devices[room->owned[value->own + i]];
        if (is_known(one, wave)) {
            room->numbers[used++] = one->d[wave];
        }
    }
    return used > 0 ? flo_median(room->numbers, used) : room->clips[wave].centre;
}
