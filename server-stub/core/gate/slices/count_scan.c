/* Count scan: compares the shares of devices with unexplained errors or
 * crashes, in passes like those of scan.c. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "server-stub/core/gate/slices/count_scan.h"
#include "server-stub/core/gate/statistics/numbers.h"

#define FAR_TIMES 5
#define UPDATED_MIN 3
#define FAR_MIN 2
/* number of controls that a slice of common size needs among its own members */
#define OWN_MIN 2
/* number of members from which a slice needs no controls of its own, unless its
 * label requires them */
#define LARGE 10
#define CONTROLS_MIN 20
#define RATIO_MIN 2
#define LN_20 2.995732273553991
/* Largest accepted chance that a slice's own controls have no far device only
 * by luck.  A device is far when its own past does not explain its events. */
#define CHANCE_MAX 0.01
#define TIE 1e-9

struct value {
    uint32_t updated, far;
    uint32_t controls;
    uint32_t by_wave[FLO_SCAN_WAVES_MAX];      /* updated devices */
    uint32_t far_controls[FLO_SCAN_WAVES_MAX]; /* by wave */
    /* number of devices of this value that are in the current slice as well,
     * and of the far ones among them */
    uint32_t part, part_far;
    double least; /* events of the value's updated device that has the fewest */
};
struct best {
    struct flo_slice slice; /* slice for which ln e exceeds its threshold by the most */
    double over;            /* ln e of that slice less its threshold */
    struct flo_count_scan_row row;
};
struct flo_count_scan_room {
    const struct flo_count_scan_rule *rule;
    const struct flo_count_scan_device *devices;
    size_t count;
    /* For each device: bit p is set if its own past does not explain its events
     * in wave p.  An updated device only has a bit for its own wave. */
    uint8_t *far;
    /* for each device: true if the scan named a slice with it, so that it no
     * longer counts */
    uint8_t *removed;
    /* counts over all devices that no named slice contains, whatever their
     * labels */
    struct value all;
    const struct flo_slice_label *label; /* label whose values were counted most recently */
    struct value values[FLO_SLICE_VALUES_MAX + 1];
};

size_t flo_count_scan_room_bytes(size_t devices)
{
    return sizeof(struct flo_count_scan_room) + 2 * devices;
}

/* ---- devices ---- */

static bool is_far(const struct flo_count_scan_rule *rule, double events, double expected)
{
    return events >= rule->least && events >= FAR_TIMES * expected;
}

static bool is_possible(double events, double expected)
{
    return isfinite(events) && isfinite(expected) && events >= 0 && expected >= 0;
}

/* Finds the waves in which the device's own past does not explain its events;
 * *far has a bit for each.  Returns false for impossible numbers. */
static bool look_at_device(const struct flo_count_scan_rule *rule,
                           const struct flo_count_scan_device *device, uint8_t *far)
{
    size_t first = device->is_updated ? device->wave : 0;
    size_t end = device->is_updated ? first + 1 : device->waves;

    *far = 0;
    if (end > FLO_SCAN_WAVES_MAX || end == 0) {
        return false;
    }
    for (size_t p = first; p < end; p++) {
        if (!is_possible(device->events[p], device->expected[p])) {
            return false;
        }
        if (is_far(rule, device->events[p], device->expected[p])) {
            *far |= (uint8_t)(1u << p);
        }
    }
    return true;
}

static bool open_room(struct flo_count_scan_room *room, const struct flo_count_scan_rule *rule,
                      const struct flo_count_scan_device *devices, size_t count)
{
    assert(rule->alpha > 0 && rule->weight > 0);
    assert(rule->label_count <= FLO_SLICE_LABELS_MAX);
    room->rule = rule;
    room->devices = devices;
    room->count = count;
    room->far = (uint8_t *)(room + 1);
    room->removed = room->far + count;
    memset(room->removed, 0, count);
    for (size_t i = 0; i < count; i++) {
        if (!look_at_device(rule, &devices[i], &room->far[i])) {
            return false;
        }
    }
    return true;
}

/* ---- one label ---- */

static void add_device(const struct flo_count_scan_room *room, size_t i, struct value *value)
{
    const struct flo_count_scan_device *one = &room->devices[i];

    assert(i < room->count);
    if (one->is_updated && room->removed[i] == 0) {
        value->least = value->updated == 0 ? one->events[one->wave]
                                           : fmin(value->least, one->events[one->wave]);
        value->updated++;
        value->by_wave[one->wave]++;
        value->far += room->far[i] != 0 ? 1 : 0;
    }
    if (!one->is_updated) {
        value->controls++;
        for (size_t p = 0; p < FLO_SCAN_WAVES_MAX; p++) {
            value->far_controls[p] += room->far[i] >> p & 1;
        }
    }
}

static void count_label(struct flo_count_scan_room *room, size_t label)
{
    assert(label < room->rule->label_count);
    room->label = &room->rule->labels[label];
    assert(room->label->count <= FLO_SLICE_VALUES_MAX);
    memset(room->values, 0, ((size_t)room->label->count + 1) * sizeof(room->values[0]));
    for (size_t i = 0; i < room->count; i++) {
        assert(room->label->values[i] <= room->label->count);
        add_device(room, i, &room->values[room->label->values[i]]);
    }
}

static void count_all(struct flo_count_scan_room *room)
{
    room->all = (struct value){0};
    for (size_t i = 0; i < room->count; i++) {
        add_device(room, i, &room->all);
    }
}

/* ---- one value ---- */

struct against {
    /* number of far controls, as the mean over the waves of the updated
     * devices; a device is far when its past does not explain its events */
    double far;
    double ln_e;
};

static struct against against(const struct value *value, const struct value *others)
{
    double updated = value->updated;
    struct flo_beta_mixture mixture = {.a = 0.5, .b = 0.5, .hits = value->far};

    assert(value->updated > 0 && value->far <= value->updated);
    for (size_t p = 0; p < FLO_SCAN_WAVES_MAX; p++) {
        mixture.misses += value->by_wave[p] / updated * others->far_controls[p];
    }
    return (struct against){
        .far = mixture.misses,
        .ln_e = flo_ln_cut(flo_mixture_above(&mixture, updated / (updated + others->controls)))};
}

/* Returns true when the controls with this label value have unexplained events
 * as well, or are too few to tell. */
static bool is_of_the_place(const struct value *value, double far_own)
{
    double share = (double)value->far / value->updated;
    uint32_t far = 0;

    assert(value->updated > 0 && value->far <= value->updated);
    for (size_t p = 0; p < FLO_SCAN_WAVES_MAX; p++) {
        far += value->far_controls[p];
    }
    /* One control is too few for a comparison.  Unexplained events on it still
     * speak against the release as cause. */
    return far_own > 0 || (value->controls < OWN_MIN && far > 0) ||
           (value->controls > 0 && pow(1 - share, value->controls) > CHANCE_MAX);
}

/* Returns true if the share of devices with unexplained events is high for this
 * value.  It has to be twice that of all controls, and twice that of the
 * updated devices elsewhere. */
static bool is_apart(const struct flo_count_scan_room *room, const struct value *value,
                     double far_everywhere)
{
    double share = (double)value->far / value->updated;
    uint32_t rest = room->all.updated - value->updated;
    uint32_t rest_far = room->all.far - value->far;

    assert(room->all.updated >= value->updated && room->all.far >= value->far);
    return share >= RATIO_MIN * far_everywhere / room->all.controls && rest >= UPDATED_MIN &&
           share >= RATIO_MIN * (double)rest_far / rest;
}

static void look_at_value(const struct flo_count_scan_room *room, struct flo_slice at,
                          double threshold, struct best *best)
{
    const struct value *value = &room->values[at.value];

    assert(at.value > 0 && at.value <= room->label->count);
    if (value->updated < UPDATED_MIN || value->far < FAR_MIN ||
        2 * (uint64_t)value->far < value->updated ||
        (value->controls < OWN_MIN &&
         (room->label->needs_own || (uint64_t)value->updated + value->controls < LARGE))) {
        return;
    }
    struct against all = against(value, &room->all);
    if (all.ln_e < threshold || !is_apart(room, value, all.far)) {
        return;
    }
    struct against own = {0};
    if (value->controls >= OWN_MIN) {
        own = against(value, value);
    }
    bool is_culprit = own.ln_e >= LN_20;
    if ((!is_culprit && is_of_the_place(value, own.far)) ||
        (best->slice.value != 0 && all.ln_e - threshold <= best->over + TIE)) {
        return;
    }
    best->slice = at;
    best->over = all.ln_e - threshold;
    best->row = (struct flo_count_scan_row){.slice = at,
                                            .is_culprit = is_culprit,
                                            .ln_e = all.ln_e,
                                            .threshold = threshold,
                                            .ln_e_own = own.ln_e,
                                            .updated = value->updated,
                                            .far = value->far,
                                            .controls = value->controls,
                                            .far_controls = own.far,
                                            .far_everywhere = all.far};
}

/* ---- a part that explains it alone ---- */

struct part {
    struct flo_slice slice; /* narrower slice that explains the effect alone;
                               value 0: none is found yet */
    bool is_whole;
    uint32_t far, devices;
};

/* Returns true if `some` is at least three fifths of `all`. */
static bool are_most(uint64_t some, uint64_t all)
{
    return 5 * some >= 3 * all;
}

static bool is_better(const struct part *one, const struct part *best)
{
    if (best->slice.value == 0 || one->is_whole != best->is_whole) {
        return best->slice.value == 0 || one->is_whole;
    }
    return one->far != best->far ? one->far > best->far : one->devices < best->devices;
}

static bool is_in(const struct flo_count_scan_room *room, size_t device, struct flo_slice slice)
{
    assert(device < room->count && slice.label < room->rule->label_count);
    return room->devices[device].is_updated && room->removed[device] == 0 &&
           room->rule->labels[slice.label].values[device] == slice.value;
}

static void look_within(struct flo_count_scan_room *room, size_t label,
                        const struct flo_count_scan_row *row, struct part *best)
{
    count_label(room, label);
    for (size_t i = 0; i < room->count; i++) {
        if (is_in(room, i, row->slice)) {
            struct value *value = &room->values[room->label->values[i]];
            value->part++;
            value->part_far += room->far[i] != 0 ? 1 : 0;
        }
    }
    for (size_t v = 1; v <= room->label->count; v++) {
        const struct value *value = &room->values[v];
        uint64_t others = row->updated - value->part;
        struct part one = {.slice = {(uint16_t)label, (uint16_t)v},
                           .is_whole = are_most(value->far, value->updated),
                           .far = value->part_far,
                           .devices = value->part};
        if (value->part >= UPDATED_MIN && others >= 1 &&
            (!room->label->needs_own || value->controls >= OWN_MIN) &&
            are_most(value->part_far, value->part) &&
            5 * (uint64_t)(row->far - value->part_far) <= others && is_better(&one, best)) {
            *best = one;
        }
    }
}

static void name(struct flo_count_scan_room *room, const struct best *best, uint8_t number,
                 uint8_t *far, struct flo_count_scan_row *row)
{
    struct part part = {0};

    assert(best->slice.value != 0 && number > 0);
    *row = best->row;
    for (size_t l = 0; l < room->rule->label_count; l++) {
        if (l != row->slice.label) {
            look_within(room, l, row, &part);
        }
    }
    row->has_within = part.slice.value != 0;
    row->within = part.slice;
    for (size_t i = 0; i < room->count; i++) {
        if (is_in(room, i, row->slice)) {
            room->removed[i] = 1;
            far[i] = room->far[i] != 0 ? number : far[i];
        }
    }
}

/* ---- turns ---- */

/* Inserts a probe into the list, which is sorted by events, most first.  Among
 * probes with equal events, the one that was found first comes first. */
static void add_probe(struct flo_count_scan *out, struct flo_slice slice, const struct value *value)
{
    size_t at = out->probe_count;

    assert(out->probe_count <= FLO_SCAN_PROBES_MAX);
    while (at > 0 && out->probes[at - 1].least < value->least) {
        at--;
    }
    if (at == FLO_SCAN_PROBES_MAX) {
        return;
    }
    out->probe_count += out->probe_count < FLO_SCAN_PROBES_MAX ? 1 : 0;
    for (size_t i = out->probe_count - 1; i > at; i--) {
        out->probes[i] = out->probes[i - 1];
    }
    out->probes[at] = (struct flo_scan_probe){
        .slice = slice,
        .take = value->controls < FLO_SCAN_PROBE_DEVICES ? value->controls : FLO_SCAN_PROBE_DEVICES,
        .least = value->least};
}

static bool asks_for_more(const struct value *value)
{
    return value->updated >= 1 && value->updated < UPDATED_MIN && value->controls >= OWN_MIN &&
           value->far == value->updated;
}

static void turn(struct flo_count_scan_room *room, struct flo_count_scan *out, struct best *best)
{
    const struct flo_count_scan_rule *rule = room->rule;

    *best = (struct best){0};
    out->probe_count = 0;
    count_all(room);
    for (size_t l = 0; l < rule->label_count; l++) {
        count_label(room, l);
        double threshold =
            flo_slice_threshold(rule->alpha, rule->weight, rule->label_count, room->label->judged);
        for (size_t v = 1; v <= room->label->count; v++) {
            struct flo_slice at = {(uint16_t)l, (uint16_t)v};
            if (asks_for_more(&room->values[v])) {
                add_probe(out, at, &room->values[v]);
            }
            if (room->all.controls >= CONTROLS_MIN) {
                look_at_value(room, at, threshold, best);
            }
        }
    }
}

bool flo_count_scan_look(const struct flo_count_scan_rule *rule,
                         const struct flo_count_scan_device *devices, size_t count, void *memory,
                         uint8_t *far, struct flo_count_scan *out)
{
    struct flo_count_scan_room *room = memory;
    struct best best;

    assert(room != NULL && (far != NULL || count == 0));
    *out = (struct flo_count_scan){0};
    memset(far, 0, count);
    if (!open_room(room, rule, devices, count)) {
        return false;
    }
    turn(room, out, &best);
    while (best.slice.value != 0 && out->row_count < FLO_SCAN_ROWS_MAX) {
        name(room, &best, (uint8_t)(out->row_count + 1), far, &out->rows[out->row_count]);
        out->row_count++;
        turn(room, out, &best);
    }
    return true;
}
