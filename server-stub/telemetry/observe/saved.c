/* Observe: opens and closes the observer, and writes its rows to the store. */
#include <stdlib.h>
#include <string.h>

#include "server-stub/telemetry/observe/cohort.h"

/* Loads the waves of a rollout.  If no analysis of this rollout follows soon,
 * they are dropped again. */
static void load_waves(struct flo_observer *observer, const char *rollout, const void *data,
                       size_t bytes)
{
    struct flo_kept_waves kept;
    struct flo_err err = {0};

    if (flo_kept_waves_unpack(data, bytes, &kept, &err) < 0) {
        flo_log_err(FLO_LOG_WARN, "telemetry", &err);
        return; /* An unreadable row is ignored, and waves begin with the next swaps. */
    }
    for (size_t i = 0; i < FLO_OBSERVER_COHORTS_MAX; i++) {
        struct flo_observer_cohort *cohort = &observer->cohorts[i];
        if (cohort->rollout.id == 0) {
            snprintf(cohort->name, sizeof(cohort->name), "%s", rollout);
            cohort->rollout.id = flo_observer_rollout_id(cohort->name);
            cohort->asked_at_ms = observer->opened_at_ms;
            cohort->kept = kept;
            return;
        }
    }
}

/* Loads a member's part in the waves (`since`).  If there is no memory, the
 * entry is in no wave. */
static void load_since(struct flo_observer_entry *entry, const struct flo_kept_member *kept)
{
    flo_observer_waves_forget(entry);
    if (!kept->has_since || (entry->since = malloc(sizeof(*entry->since))) == NULL) {
        return;
    }
    *entry->since = kept->since;
    if (entry->observed.readings != NULL) {
        entry->since->speeds = calloc(FLO_SPEEDS, sizeof(*entry->since->speeds));
    }
    if (entry->since->speeds != NULL && kept->has_speeds) {
        memcpy(entry->since->speeds, kept->speeds, sizeof(kept->speeds));
    }
}

int flo_observer_take_over(struct flo_observer *observer, const char *device, const char *model,
                           const void *data, size_t bytes)
{
    struct flo_kept_member kept;
    struct flo_err err = {0};

    if (model[0] == '\0') {
        return 0; /* A row without a model has trends of the device (telemetry/trends.h). */
    }
    if (strcmp(model, FLO_OBSERVER_WAVES) == 0) {
        load_waves(observer, device, data, bytes);
        return 0;
    }
    if (flo_kept_member_unpack(data, bytes, &kept, &err) < 0) {
        flo_log_err(FLO_LOG_WARN, "telemetry", &err);
        return 0; /* An unreadable row is ignored, and the entry starts empty. */
    }
    struct flo_observer_entry *entry = flo_observer_entry(observer, device, model);
    if (entry == NULL) {
        return FLO_E_MEMORY;
    }
    kept.observed.readings = entry->observed.readings;
    if (kept.observed.readings != NULL && kept.has_readings) {
        *kept.observed.readings = kept.readings;
    }
    if (kept.observed.segment >= FLO_SEGMENTS_MAX) {
        kept.observed.segment = 0;
    }
    entry->observed = kept.observed;
    load_since(entry, &kept);
    return 0;
}

static int load_row(void *context, const char *device, const char *model, const void *data,
                    size_t bytes)
{
    return flo_observer_take_over(context, device, model, data, bytes);
}

int flo_observer_open(struct flo_windows *store, uint64_t block_ms, struct flo_observer **out,
                      struct flo_err *err)
{
    struct flo_observer *observer = calloc(1, sizeof(*observer));

    if (observer == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "telemetry");
    }
    observer->store = store;
    observer->block_ms = block_ms;
    observer->opened_at_ms = flo_now_ms();
    observer->cohorts = calloc(FLO_OBSERVER_COHORTS_MAX, sizeof(*observer->cohorts));
    int rv = observer->cohorts == NULL ? flo_fail(err, FLO_E_MEMORY, "telemetry")
                                       : flo_windows_observed_list(store, load_row, observer, err);
    if (rv < 0) {
        flo_observer_close(observer);
        return rv;
    }
    *out = observer;
    return 0;
}

void flo_observer_empty(struct flo_observer *observer)
{
    for (size_t i = 0; i < observer->count; i++) {
        free(observer->entries[i].observed.readings);
        flo_observer_part(observer, &observer->entries[i]);
        flo_observer_waves_forget(&observer->entries[i]);
    }
    flo_ids_deinit(&observer->ids);
    free(observer->first);
    free(observer->entries);
    observer->ids = (struct flo_ids){0};
    observer->first = NULL;
    observer->entries = NULL;
    observer->first_capacity = observer->count = observer->capacity = 0;
    observer->saved = 0;
    for (size_t i = 0; observer->cohorts != NULL && i < FLO_OBSERVER_COHORTS_MAX; i++) {
        observer->cohorts[i] = (struct flo_observer_cohort){0};
    }
}

void flo_observer_close(struct flo_observer *observer)
{
    if (observer == NULL) {
        return;
    }
    flo_observer_empty(observer);
    free(observer->models);
    free(observer->classes);
    free(observer->cohorts);
    free(observer);
}

size_t flo_observer_pack(const struct flo_observer_entry *entry, uint8_t *out)
{
    return flo_kept_member_pack(&entry->observed, entry->since, out);
}

static int save_entry(struct flo_observer *observer, struct flo_observer_entry *entry,
                      struct flo_err *err)
{
    uint8_t data[FLO_KEPT_BYTES_MAX];
    size_t bytes = flo_observer_pack(entry, data);

    entry->is_dirty = false;
    return flo_windows_observed_put(observer->store, observer->ids.items[entry->device],
                                    observer->models[entry->model], data, bytes, err);
}

static int save_waves(struct flo_observer *observer, size_t *stored, struct flo_err *err)
{
    uint8_t data[FLO_KEPT_WAVES_BYTES_MAX];

    for (size_t i = 0; i < FLO_OBSERVER_COHORTS_MAX; i++) {
        struct flo_observer_cohort *cohort = &observer->cohorts[i];
        if (cohort->rollout.id == 0 || !cohort->is_dirty) {
            continue;
        }
        FLO_TRY(*stored > 0 ? 0 : flo_windows_begin(observer->store, err));
        size_t bytes = flo_kept_waves_pack(&cohort->kept, data);
        FLO_TRY(flo_windows_observed_put(observer->store, cohort->name, FLO_OBSERVER_WAVES, data,
                                         bytes, err));
        ++*stored;
    }
    return 0;
}

/* Marks the waves of all rollouts as stored. */
static void keep_waves(struct flo_observer *observer)
{
    for (size_t i = 0; i < FLO_OBSERVER_COHORTS_MAX; i++) {
        observer->cohorts[i].is_dirty = false;
    }
}

void flo_observer_drop_waves(struct flo_observer *observer, const char *name)
{
    struct flo_err err = {0};

    if (observer->is_handed && observer->gone_count < FLO_OBSERVER_COHORTS_MAX) {
        memcpy(observer->gone[observer->gone_count++], name, sizeof(observer->gone[0]));
    }
    if (flo_windows_observed_drop(observer->store, name, &err) < 0) {
        flo_log_err(FLO_LOG_WARN, "telemetry", &err);
    }
}

/* Stores changed entries.  After a failure they are stored with the next
 * block. */
void flo_observer_store(struct flo_observer *observer, size_t most)
{
    struct flo_err err = {0};
    size_t seen = 0;
    size_t stored = 0;

    if (observer->is_handed) {
        return;
    }
    /* Waves are stored before the members that refer to them. */
    int rv = save_waves(observer, &stored, &err);

    for (; seen < observer->count && stored < most && rv == 0; seen++) {
        struct flo_observer_entry *entry =
            &observer->entries[(observer->saved + seen) % observer->count];
        if (!entry->is_dirty || entry->observed.release == 0) {
            continue;
        }
        rv = stored == 0 ? flo_windows_begin(observer->store, &err) : 0;
        if (rv == 0) {
            rv = save_entry(observer, entry, &err);
        }
        stored++;
    }
    observer->saved = observer->count > 0 ? (observer->saved + seen) % observer->count : 0;
    if (stored > 0 && rv == 0) {
        rv = flo_windows_commit(observer->store, &err);
    } else if (rv < 0) {
        flo_windows_roll_back(observer->store);
    }
    if (rv < 0) {
        flo_log_err(FLO_LOG_ERROR, "telemetry", &err);
    } else {
        keep_waves(observer);
    }
}

void flo_observer_save(struct flo_observer *observer)
{
    flo_observer_store(observer, SIZE_MAX);
}
