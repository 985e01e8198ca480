/* Observe: the scan of a rollout's speeds over labels. */
#include <stdlib.h>

#include "server-stub/core/gate/slices/scan.h"
#include "server-stub/core/gate/statistics/robust.h"
#include "server-stub/telemetry/observe/inside.h"

#define ALPHA 0.01
#define LIMIT_PCT 10
#define AFTER_MIN 3 /* readings since the swap, or since the wave */

struct look {
    struct flo_observer *observer;
    struct flo_observe_study *study;
    uint32_t number;
    enum flo_measure measure;
    int reading;
    uint32_t stratum;
    struct flo_scan_device *devices; /* by member */
    double *numbers;
    uint8_t *far;
    void *room;
    struct flo_scan scan;
};

static const struct flo_observer_entry *entry_of(const struct look *look,
                                                 size_t member)
{
    const struct flo_observer_entry *entry =
        flo_observer_find(look->observer, look->study->members[member].device,
                          look->study->model);

    return entry != NULL && entry->roster == look->number &&
                   entry->observed.readings != NULL
               ? entry
               : NULL;
}

static bool is_updated(const struct flo_observer_entry *entry)
{
    return entry->wave > 0 && entry->observed.split > 0 &&
           (entry->observed.arm == FLO_ARM_TREATED ||
            entry->observed.arm == FLO_ARM_ENDED);
}

/* The reference that most updated devices have: their own release, or one pair
 * of releases. */
static uint32_t stratum_of(const struct look *look)
{
    uint32_t best = 0;
    int64_t votes = 0;

    for (size_t i = 0; i < look->study->member_count; i++) {
        const struct flo_observer_entry *entry = entry_of(look, i);
        if (entry == NULL || !is_updated(entry)) {
            continue;
        }
        uint32_t one = flo_observed_stratum(
            &entry->observed, (enum flo_observed_reading)look->reading);
        best = votes == 0 ? one : best;
        votes += one == best ? 1 : -1;
    }
    return best;
}

static void add_updated(const struct look *look,
                        const struct flo_observer_entry *entry,
                        struct flo_scan_device *out)
{
    enum flo_observed_reading reading =
        (enum flo_observed_reading)look->reading;
    const struct flo_observed *observed = &entry->observed;

    out->is_updated = true;
    out->wave = (uint8_t)(entry->wave - 1);
    if (flo_observed_stratum(observed, reading) == look->stratum &&
        observed->readings->series[reading].since >= AFTER_MIN &&
        flo_observed_difference(observed, reading, &out->d[out->wave])) {
        out->known = (uint8_t)(1u << out->wave);
    }
}

static void add_control(const struct look *look,
                        const struct flo_observer_entry *entry,
                        struct flo_scan_device *out)
{
    const struct flo_observer_speed *speed = &entry->speeds[look->reading];
    uint8_t waves = look->observer->rosters[look->number].waves.count;

    for (uint8_t p = 0; p < waves; p++) {
        uint32_t count = speed->total.count - speed->waves[p].at.count;
        if (speed->waves[p].is_known && count >= AFTER_MIN &&
            speed->waves[p].stratum == look->stratum) {
            out->d[p] = (speed->total.sum - speed->waves[p].at.sum) / count -
                        speed->waves[p].before;
            out->known |= (uint8_t)(1u << p);
        }
    }
}

static size_t fill(struct look *look)
{
    size_t updated = 0;

    look->stratum = stratum_of(look);
    for (size_t i = 0; i < look->study->member_count; i++) {
        const struct flo_observer_entry *entry = entry_of(look, i);
        struct flo_scan_device *out = &look->devices[i];
        *out = (struct flo_scan_device){0};
        if (entry == NULL ||
            (look->study->excluded >> entry->observed.segment & 1) != 0) {
            continue;
        }
        if (is_updated(entry)) {
            add_updated(look, entry, out);
            updated += out->known != 0 ? 1 : 0;
        } else if (entry->observed.arm == FLO_ARM_CONTROL &&
                   entry->speeds != NULL) {
            add_control(look, entry, out);
        }
    }
    return updated;
}

static uint16_t value_of(const struct look *look, uint16_t label, size_t i)
{
    return look->study->labels[label].values[i];
}

/* Whom a median is of: all controls, those of a slice, or the updated devices
 * elsewhere. */
enum side { SIDE_CONTROLS, SIDE_OWN, SIDE_ELSEWHERE };

static bool is_of(const struct look *look, enum side side,
                  const struct flo_slice *slice, size_t member)
{
    const struct flo_scan_device *device = &look->devices[member];
    bool is_in = value_of(look, slice->label, member) == slice->value;

    return device->known != 0 &&
           (side == SIDE_ELSEWHERE
                ? device->is_updated && !is_in
                : !device->is_updated && (side == SIDE_CONTROLS || is_in));
}

/* The newest changes of a side, never clipped.  false: fewer than two. */
static bool median_of(const struct look *look, enum side side,
                      const struct flo_slice *slice, double *out)
{
    size_t count = 0;

    for (size_t i = 0; i < look->study->member_count; i++) {
        const struct flo_scan_device *device = &look->devices[i];
        if (is_of(look, side, slice, i)) {
            look->numbers[count++] =
                device->d[31 - __builtin_clz(device->known)];
        }
    }
    if (count < 2) {
        return false;
    }
    *out = flo_median(look->numbers, count);
    return true;
}

/* Less what all controls did. */
static bool change_of(const struct look *look, enum side side,
                      const struct flo_slice *slice, double *out)
{
    double all;

    if (!median_of(look, SIDE_CONTROLS, slice, &all) ||
        !median_of(look, side, slice, out)) {
        return false;
    }
    *out -= all;
    return true;
}

static void keep_row(struct look *look, const struct flo_scan_row *row)
{
    struct flo_study_slices *slices = &look->study->evidence.slices;
    const struct flo_slice *held = row->has_within ? &row->within : &row->slice;

    if (slices->count == FLO_STUDY_SLICES_MAX) {
        return;
    }
    struct flo_study_slice *out = &slices->rows[slices->count];
    struct flo_observe_found *found = &look->study->found[slices->count++];
    *found = (struct flo_observe_found){.slice = *held};
    if (row->has_within) {
        found->wider = row->slice;
    }
    *out = (struct flo_study_slice){.measure = look->measure,
                                    .is_culprit = row->is_culprit,
                                    .updated = row->updated,
                                    .far = row->far,
                                    .controls = row->controls,
                                    .ln_e = row->ln_e,
                                    .threshold = row->threshold,
                                    .told = row->told};
    for (size_t i = 0; i < look->study->member_count; i++) {
        out->members += value_of(look, held->label, i) == held->value ? 1 : 0;
    }
    out->has_elsewhere = change_of(look, SIDE_ELSEWHERE, held, &out->elsewhere);
}

static void keep_changed(struct look *look, const struct flo_scan_changed *one)
{
    struct flo_study_slices *slices = &look->study->evidence.slices;

    if (slices->changed_count == FLO_STUDY_SLICES_MAX) {
        return;
    }
    struct flo_study_changed *out = &slices->changed[slices->changed_count];
    look->study->moved[slices->changed_count++] = one->slice;
    *out = (struct flo_study_changed){.measure = look->measure,
                                      .has_both = one->has_both};
    if (!change_of(look, SIDE_OWN, &one->slice, &out->shift)) {
        out->shift = one->shift;
    }
}

static void scan(struct look *look)
{
    struct flo_observe_study *study = look->study;
    double *tau2 = look->observer->rosters[look->number].tau2[look->reading];
    const struct flo_scan_rule rule = {.alpha = ALPHA,
                                       .weight = study->weights[look->measure],
                                       .limit_pct = LIMIT_PCT,
                                       .labels = study->labels,
                                       .label_count = study->label_count};

    if (fill(look) == 0) {
        return;
    }
    for (size_t i = 0; i < study->label_count; i++) {
        study->labels[i].tau2 = tau2[i];
    }
    /* Means of readings are finite, and waves are those of the roster. */
    (void)flo_scan_look(&rule, look->devices, study->member_count, look->room,
                        look->far, &look->scan);
    for (size_t i = 0; i < study->label_count; i++) {
        tau2[i] = look->scan.tau2[i] > tau2[i] ? look->scan.tau2[i] : tau2[i];
    }
    for (size_t i = 0; i < look->scan.row_count; i++) {
        keep_row(look, &look->scan.rows[i]);
    }
    for (size_t i = 0; i < look->scan.changed_count; i++) {
        keep_changed(look, &look->scan.changed[i]);
    }
}

int flo_observer_scan(struct flo_observer *observer,
                      struct flo_observe_study *study, uint32_t number,
                      struct flo_err *err)
{
    size_t count = study->member_count;
    struct look look = {.observer = observer, .study = study, .number = number};

    if (study->label_count == 0 || observer->rosters[number].waves.count == 0) {
        return 0;
    }
    look.devices = calloc(count + 1, sizeof(*look.devices));
    look.numbers = calloc(count + 1, sizeof(*look.numbers));
    look.far = calloc(count + 1, 1);
    look.room = malloc(flo_scan_room_bytes(count));
    int rv = look.devices == NULL || look.numbers == NULL || look.far == NULL ||
                     look.room == NULL
                 ? flo_fail(err, FLO_E_MEMORY, "evidence")
                 : 0;
    for (int i = 0; i < FLO_MEASURE_COUNT && rv == 0; i++) {
        look.measure = (enum flo_measure)i;
        look.reading = flo_measure_fact(look.measure)->reading;
        if (look.reading >= 0 && look.reading < FLO_SPEEDS &&
            study->weights[i] > 0) {
            scan(&look);
        }
    }
    free(look.devices);
    free(look.numbers);
    free(look.far);
    free(look.room);
    return rv;
}
