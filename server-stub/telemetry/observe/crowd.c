/* Crowd: see crowd.h. */
#include <stdio.h>
#include <stdlib.h>

#include "server-stub/telemetry/observe/crowd.h"

bool flo_crowd_is_updated(const struct flo_observer_entry *entry)
{
    return entry->since->wave > 0 && entry->observed.split > 0 &&
           (entry->observed.arm == FLO_ARM_TREATED || entry->observed.arm == FLO_ARM_ENDED);
}

/* Tells whether the entry is of a control that was there when a wave began. */
static bool is_control(const struct flo_observer_entry *entry)
{
    struct flo_since_numbers numbers;

    return entry->since->wave == 0 && entry->observed.arm == FLO_ARM_CONTROL &&
           flo_since_counted(entry->since, 0, &numbers);
}

static bool is_in(const struct flo_crowd *crowd, const struct flo_observer_entry *entry,
                  bool is_read)
{
    return entry != NULL && entry->cohort == crowd->cohort && entry->since != NULL &&
           (!is_read || (entry->observed.readings != NULL && entry->since->speeds != NULL)) &&
           (crowd->analysis->excluded >> entry->observed.segment & 1) == 0 &&
           (flo_crowd_is_updated(entry) || is_control(entry));
}

static void add(struct flo_crowd *crowd, size_t member, const struct flo_observer_entry *entry)
{
    const struct flo_observe_analysis *analysis = crowd->analysis;

    for (size_t l = 0; l < analysis->label_count; l++) {
        crowd->values[l * analysis->member_count + crowd->count] =
            analysis->labels[l].values[member];
    }
    crowd->entries[crowd->count++] = entry;
}

int flo_crowd_open(struct flo_crowd *crowd, bool is_read, struct flo_err *err)
{
    const struct flo_observe_analysis *analysis = crowd->analysis;
    size_t most = analysis->member_count;

    crowd->count = 0;
    crowd->entries = calloc(most + 1, sizeof(*crowd->entries));
    crowd->values = calloc(analysis->label_count * most + 1, sizeof(*crowd->values));
    if (crowd->entries == NULL || crowd->values == NULL) {
        flo_crowd_close(crowd);
        return flo_fail(err, FLO_E_MEMORY, "evidence");
    }
    for (size_t i = 0; i < most; i++) {
        uint32_t place = analysis->members[i].entry;
        const struct flo_observer_entry *entry =
            place > 0 ? &crowd->observer->entries[place - 1] : NULL;
        if (is_in(crowd, entry, is_read)) {
            add(crowd, i, entry);
        }
    }
    for (size_t l = 0; l < analysis->label_count; l++) {
        crowd->labels[l] = analysis->labels[l];
        crowd->labels[l].values = crowd->values + l * most;
    }
    return 0;
}

void flo_crowd_close(struct flo_crowd *crowd)
{
    free(crowd->entries);
    free(crowd->values);
    crowd->entries = NULL;
    crowd->values = NULL;
}

/* Gets counts of an updated device: those since its swap, and those before. */
static void updated_numbers(const struct flo_observed *observed, struct flo_since_numbers *out)
{
    *out = (struct flo_since_numbers){.errors = observed->since.errors,
                                      .requests = observed->since.requests,
                                      .crashes = observed->crashes,
                                      .hours = flo_observed_hours(observed),
                                      .errors_before = observed->before.errors,
                                      .requests_before = observed->before.requests,
                                      .crashes_before = __builtin_popcount(observed->before_died),
                                      .hours_before = __builtin_popcount(observed->before_heard)};
}

bool flo_crowd_numbers(const struct flo_observer_entry *entry, size_t wave,
                       struct flo_since_numbers *out)
{
    if (flo_crowd_is_updated(entry)) {
        updated_numbers(&entry->observed, out);
        return true;
    }
    return flo_since_counted(entry->since, wave, out);
}

static uint32_t members_of(const struct flo_observe_analysis *analysis, struct flo_slice slice)
{
    uint32_t members = 0;

    for (size_t i = 0; i < analysis->member_count; i++) {
        members += analysis->labels[slice.label].values[i] == slice.value ? 1 : 0;
    }
    return members;
}

/* Adds a slice to those that the analysis found.  The wider slice that contains
 * it is taken instead if it has fewer members: three of a site's four devices
 * may by chance share a hardware class with half of the fleet. */
struct flo_analysis_slice *flo_crowd_row(const struct flo_crowd *crowd, struct flo_slice held,
                                         struct flo_slice wider)
{
    struct flo_observe_analysis *analysis = crowd->analysis;
    struct flo_analysis_slices *slices = &analysis->evidence.slices;

    if (slices->count == FLO_ANALYSIS_SLICES_MAX) {
        return NULL;
    }
    if (wider.value != 0 && members_of(analysis, held) > members_of(analysis, wider)) {
        held = wider;
        wider = (struct flo_slice){0};
    }
    struct flo_analysis_slice *row = &slices->rows[slices->count];
    analysis->found[slices->count++] = (struct flo_observe_found){.slice = held, .wider = wider};
    *row = (struct flo_analysis_slice){.members = members_of(analysis, held)};
    return row;
}

struct flo_analysis_probe *flo_crowd_probe(const struct flo_crowd *crowd, struct flo_slice slice,
                                           size_t place)
{
    struct flo_observe_analysis *analysis = crowd->analysis;
    struct flo_analysis_evidence *evidence = &analysis->evidence;

    for (uint32_t i = 0; i < evidence->probe_count; i++) {
        if (analysis->probed[i].label == slice.label && analysis->probed[i].value == slice.value) {
            return NULL;
        }
    }
    if (evidence->probe_count == FLO_ANALYSIS_PROBES_MAX) {
        return NULL;
    }
    analysis->probed[evidence->probe_count] = slice;
    struct flo_analysis_probe *probe = &evidence->probes[evidence->probe_count++];
    *probe = (struct flo_analysis_probe){0};
    snprintf(probe->device, sizeof(probe->device), "%s",
             crowd->observer->ids.items[crowd->entries[place]->device]);
    return probe;
}
