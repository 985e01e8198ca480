/* Scan row: fills the result of one named slice. */
#include <assert.h>
#include <math.h>

#include "server-stub/core/gate/slices/scan_room.h"

/* ---- the slice itself ---- */

/* Copies the slice's devices to a list, because measuring other labels
 * overwrites the groups. */
static void keep_devices(struct flo_scan_room *room, const struct flo_scan_value *value)
{
    assert((size_t)value->updated.devices <= room->live_count);
    for (int64_t j = 0; j < value->updated.devices; j++) {
        room->slice[j] = flo_scan_room_device(room, value->first + (size_t)j);
    }
}

static void tell(struct flo_scan_room *room, const struct flo_scan_value *value,
                 struct flo_scan_row *row)
{
    double base[FLO_SCAN_WAVES_MAX];
    double *updated = room->numbers;
    double *controls = room->numbers + row->updated;
    size_t used = 0;

    assert(row->updated > 0 && (size_t)row->updated + row->controls <= room->count);
    for (size_t p = 0; p < room->waves; p++) {
        base[p] = flo_scan_value_base(room, value, p);
    }
    for (uint32_t j = 0; j < row->updated; j++) {
        const struct flo_scan_device *one = &room->devices[room->slice[j]];
        updated[j] = one->d[one->wave] - base[one->wave];
    }
    for (uint32_t i = 0; i < row->controls && flo_scan_value_has_own(value); i++) {
        const struct flo_scan_device *one = &room->devices[room->owned[value->own + i]];
        for (size_t p = room->waves; p-- > 0;) { /* the newest one */
            if ((one->known >> p & 1) != 0) {
                controls[used++] = one->d[p] - base[p];
                break;
            }
        }
    }
    (void)flo_told_effect(updated, row->updated, controls, used, room->pairs, &row->told);
}

/* Tells whether the devices changed at their own swaps: the median step there
 * is at least half of the slice's change. */
static bool is_with_swap(const struct flo_scan_room *room, const struct flo_scan_row *row)
{
    assert(row->updated > 0);
    for (uint32_t j = 0; j < row->updated; j++) {
        const struct flo_scan_device *one = &room->devices[room->slice[j]];
        if (!one->has_step) {
            return false;
        }
        room->numbers[j] = one->step;
    }
    return flo_median(room->numbers, row->updated) >= 0.5 * row->delta;
}

/* Marks the much worse devices of the slice in `far`.  *half gets half of the
 * median z of these devices. */
static void mark_far(struct flo_scan_room *room, uint8_t number, uint8_t *far,
                     struct flo_scan_row *row, double *half)
{
    assert(number > 0 && row->far == 0);
    for (uint32_t j = 0; j < row->updated; j++) {
        uint32_t i = room->slice[j];
        if (room->z[i] > room->limit) {
            room->numbers[row->far++] = room->z[i];
            far[i] = number;
        }
    }
    assert(row->far > 0);
    *half = 0.5 * flo_median(room->numbers, row->far);
}

/* ---- a part that explains it alone ---- */

struct part {
    uint16_t value; /* 0: none yet */
    uint16_t label;
    bool is_whole; /* most updated devices of the slice are above *half */
    bool has_own;
    uint32_t far, devices;
};

static bool is_better(const struct part *one, const struct part *best)
{
    if (best->value == 0 || one->is_whole != best->is_whole) {
        return best->value == 0 || one->is_whole;
    }
    return one->far != best->far ? one->far > best->far : one->devices < best->devices;
}

/* Returns true if `some` is at least four fifths of `all`. */
static bool are_most(uint64_t some, uint64_t all)
{
    return 5 * some >= 4 * all;
}

static bool is_whole(const struct flo_scan_room *room, const struct flo_scan_value *value,
                     double half)
{
    uint64_t above = 0;

    for (int64_t j = 0; j < value->updated.devices; j++) {
        uint32_t i = flo_scan_room_device(room, value->first + (size_t)j);
        above += room->z[i] > half ? 1 : 0;
    }
    return are_most(above, (uint64_t)value->updated.devices);
}

static void count_parts(struct flo_scan_room *room, uint32_t devices)
{
    assert(devices <= room->live_count);
    for (uint32_t j = 0; j < devices; j++) {
        uint32_t i = room->slice[j];
        struct flo_scan_value *value = &room->values[room->label->values[i]];
        value->part++;
        value->part_far += (room->marks[i] & FLO_SCAN_FAR) != 0 ? 1 : 0;
    }
}

/* Finds the best value of another label that nearly all much worse devices of
 * the slice have, and hardly any other devices. */
static void look_within(const struct flo_scan_room *room, size_t label, uint32_t devices,
                        uint32_t far, double half, struct part *best)
{
    assert(far <= devices && label < room->rule->label_count);
    for (size_t v = 1; v <= room->label->count; v++) {
        const struct flo_scan_value *value = &room->values[v];
        uint64_t others = devices - value->part;
        if (value->part < FLO_SCAN_UPDATED_MIN || others < 1 ||
            (room->label->needs_own && !flo_scan_value_has_own(value)) ||
            !are_most(value->part_far, value->part) ||
            5 * (uint64_t)(far - value->part_far) > others) {
            continue;
        }
        struct part one = {.value = (uint16_t)v,
                           .label = (uint16_t)label,
                           .is_whole = is_whole(room, value, half),
                           .has_own = flo_scan_value_has_own(value),
                           .far = value->part_far,
                           .devices = value->part};
        if (is_better(&one, best)) {
            *best = one;
        }
    }
}

/* Finds a value of this label that has exactly the slice's updated devices. */
static void look_for_same(const struct flo_scan_room *room, size_t label, struct flo_scan_row *row)
{
    uint16_t v = room->label->values[room->slice[0]];
    const struct flo_scan_value *value = &room->values[v];

    assert(row->same_count < FLO_COUNT(row->same));
    if (v != 0 && room->nu >= FLO_SCAN_FREEDOM_MIN && value->part == row->updated &&
        value->updated.devices == (int64_t)row->updated && flo_scan_value_counts(room, value)) {
        row->same[row->same_count++] = (struct flo_slice){(uint16_t)label, v};
    }
}

/* ---- all ---- */

void flo_scan_row_fill(struct flo_scan_room *room, const struct flo_scan_best *best, uint8_t number,
                       uint8_t *far, struct flo_scan_row *row)
{
    struct part part = {0};
    double half;
    uint32_t wide = 0;

    assert(best->slice.value != 0 && number > 0);
    flo_scan_room_measure(room, best->slice.label);
    const struct flo_scan_value *value = &room->values[best->slice.value];
    *row = (struct flo_scan_row){.slice = best->slice,
                                 .ln_e = best->ln_e,
                                 .threshold = best->threshold,
                                 .delta = best->delta,
                                 .updated = (uint32_t)value->updated.devices,
                                 .controls = (uint32_t)value->controls.devices};
    bool has_own = flo_scan_value_has_own(value);
    keep_devices(room, value);
    tell(room, value, row);
    row->with_swap = is_with_swap(room, row);
    mark_far(room, number, far, row, &half);
    for (uint32_t j = 0; j < row->updated; j++) {
        uint32_t i = room->slice[j];
        if (room->z[i] > half) {
            room->marks[i] |= FLO_SCAN_FAR;
            wide++;
        }
    }
    for (size_t l = 0; l < room->rule->label_count; l++) {
        if (l != best->slice.label) {
            flo_scan_room_measure(room, l);
            count_parts(room, row->updated);
            look_within(room, l, row->updated, wide, half, &part);
            look_for_same(room, l, row);
        }
    }
    for (uint32_t j = 0; j < row->updated; j++) {
        room->marks[room->slice[j]] |= FLO_SCAN_REMOVED;
    }
    row->has_within = part.value != 0;
    row->within = (struct flo_slice){part.label, part.value};
    row->is_culprit = has_own && (part.value == 0 || part.has_own);
    row->with_swap = row->with_swap && !row->is_culprit;
}
