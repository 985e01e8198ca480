/* Store: devices, their groups, and the models that they report. */
#include <stdio.h>
#include <string.h>

#include <flotilla/errors/device.h>

#include "base/host/json.h"
#include "server-stub/store/calls/kept.h"
#include "server-stub/store/fleet.h"

/* ---- a device ---- */

/* A time that a controller wrote whose clock was ahead says nothing. */
static uint64_t past(uint64_t at_ms)
{
    return at_ms <= flo_wall_ms() ? at_ms : 0;
}

static void device_of(struct flo_fleet_store *store, const struct flo_row *row,
                      struct flo_fleet_device *out)
{
    *out = (struct flo_fleet_device){
        .id = flo_row_text(row, FLO_FIELD_DEVICE_ID),
        .name = flo_row_text(row, FLO_FIELD_DEVICE_NAME),
        .labels = flo_row_text(row, FLO_FIELD_DEVICE_LABELS),
        .profile = flo_row_text(row, FLO_FIELD_DEVICE_PROFILE),
        .reported = flo_row_text(row, FLO_FIELD_DEVICE_REPORTED),
        .groups = flo_row_text(row, FLO_FIELD_DEVICE_GROUPS),
        .note = flo_row_text(row, FLO_FIELD_DEVICE_NOTE),
        .maintenance = flo_row_text(row, FLO_FIELD_DEVICE_MAINTENANCE),
        .pins = flo_row_text(row, FLO_FIELD_DEVICE_PINS),
        .replaces = flo_row_text(row, FLO_FIELD_DEVICE_REPLACES),
        .replaced_by = flo_row_text(row, FLO_FIELD_DEVICE_REPLACED_BY),
        .is_online = flo_row_flag(row, FLO_FIELD_DEVICE_ONLINE),
        .is_retired = flo_row_flag(row, FLO_FIELD_DEVICE_RETIRED),
        .enrolled_at_ms = flo_row_number(row, FLO_FIELD_DEVICE_ENROLLED_AT),
        .last_seen_at_ms = past(flo_row_number(row, FLO_FIELD_DEVICE_SEEN_AT)),
        .rss_bytes = flo_row_number(row, FLO_FIELD_DEVICE_RSS),
    };
    size_t number = flo_ids_find(&store->facts.ids, out->id);
    if (number < store->facts.capacity) {
        const struct flo_fleet_fact *fact = &store->facts.items[number];
        if (fact->seen_at_ms != 0) {
            out->last_seen_at_ms = fact->seen_at_ms;
        }
        if (fact->rss_bytes != 0) {
            out->rss_bytes = fact->rss_bytes;
        }
    }
}

struct listing {
    struct flo_fleet_store *store;
    const struct flo_fleet_device_filter *filter; /* or NULL */
    flo_fleet_device_fn fn;                       /* or NULL */
    void *context;
    uint64_t taken;
    struct flo_digest sum; /* sum of the rows so far */
};

/* Result that ends a listing early, without an error. */
#define ENOUGH 1

static bool has_label(const struct flo_row *row, const struct flo_fleet_device_filter *filter)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *labels = NULL;
    const char *text = flo_row_text(row, FLO_FIELD_DEVICE_LABELS);
    size_t bytes = strlen(text);

    if (flo_json_parse(text, bytes, bytes, &labels, NULL) < 0) {
        return false;
    }
    const char *value = json_string_value(json_object_get(labels, filter->label));
    return value != NULL && strcmp(value, filter->label_value) == 0;
}

static int take_device(void *context, const struct flo_row *row)
{
    struct listing *listing = context;
    const struct flo_fleet_device_filter *filter = listing->filter;
    struct flo_fleet_device device;

    if (filter != NULL && filter->label != NULL && !has_label(row, filter)) {
        return 0;
    }
    device_of(listing->store, row, &device);
    if (!flo_fleet_is_sealed(listing->store, row, &listing->sum)) {
        device.labels = device.pins = "{}";
    }
    int rv = listing->fn != NULL ? listing->fn(listing->context, &device) : 0;
    listing->taken++;
    if (rv == 0 && filter != NULL && listing->taken == filter->limit) {
        rv = ENOUGH;
    }
    return rv;
}

/* Checks that a device's name is valid.  It must not have the form of a device
 * id, because calls accept a name or an id. */
int flo_fleet_name_check(const char *name, struct flo_err *err)
{
    return flo_uuid_is_valid(name)
               ? flo_fail(err, FLO_E_META_NAME, "name %s: it looks like the id of a device", name)
               : 0;
}

static struct flo_query active_named(const char *name)
{
    return ROWS(DEVICE, text_is(FLO_FIELD_DEVICE_NAME, name),
                number_is(FLO_FIELD_DEVICE_RETIRED, 0));
}

static int name_is_free(struct flo_fleet_store *store, const char *name, struct flo_err *err)
{
    bool is_taken = false;

    FLO_TRY(flo_fleet_name_check(name, err));
    FLO_TRY(flo_fleet_find_one(store, active_named(name), NULL, NULL, &is_taken, err));

    if (!is_taken) {
        return 0;
    }
    flo_fail(err, FLO_E_STATE, "a device named %s is enrolled already", name);
    return flo_err_fix(err,
                       "choose another name; for new hardware in that "
                       "device's place then: flotilla device replace %s NEW",
                       name);
}

int flo_fleet_device_add(struct flo_fleet_store *store, const struct flo_fleet_device *device,
                         const char (*groups)[FLO_NAME_MAX + 1], size_t group_count,
                         struct flo_err *err)
{
    FLO_TRY(name_is_free(store, device->name, err));
    FLO_TRY(
        flo_fleet_insert(store, FLO_TABLE_DEVICE,
                         CHANGES(set_text(FLO_FIELD_DEVICE_ID, device->id),
                                 set_text(FLO_FIELD_DEVICE_NAME, device->name),
                                 set_text(FLO_FIELD_DEVICE_LABELS, device->labels),
                                 set_text(FLO_FIELD_DEVICE_PROFILE, device->profile),
                                 set_text(FLO_FIELD_DEVICE_GROUPS, device->groups),
                                 set_number(FLO_FIELD_DEVICE_ENROLLED_AT, device->enrolled_at_ms)),
                         NULL, err));
    for (size_t i = 0; i < group_count; i++) {
        FLO_TRY(flo_fleet_insert(store, FLO_TABLE_DEVICE_GROUP,
                                 CHANGES(set_text(FLO_FIELD_DEVICE_GROUP_GROUP, groups[i]),
                                         set_text(FLO_FIELD_DEVICE_GROUP_DEVICE, device->id)),
                                 NULL, err));
    }
    FLO_TRY(flo_fleet_insert(store, FLO_TABLE_DESIRED,
                             CHANGES(set_text(FLO_FIELD_DESIRED_DEVICE, device->id),
                                     set_number(FLO_FIELD_DESIRED_REVISION, 1)),
                             NULL, err));
    if (store->device_index.is_loaded) {
        FLO_CLEANUP(flo_json_cleanup) json_t *profile = NULL;
        size_t number = flo_fleet_number(store, device->id);
        if (flo_json_parse(device->profile, strlen(device->profile), 1 << 20, &profile, NULL) < 0) {
            profile = NULL;
        }
        flo_device_index_row(&store->device_index, number, device);
        struct flo_fleet_said said = flo_fleet_said(store, NULL, NULL);
        flo_device_index_report(&store->device_index, number, NULL, profile, &said);
    }
    return 0;
}

int flo_fleet_device_get(struct flo_fleet_store *store, const char *key, flo_fleet_device_fn fn,
                         void *context, struct flo_err *err)
{
    struct listing listing = {.store = store, .fn = fn, .context = context};
    bool found;
    int rv = flo_fleet_find_one(store, ROWS(DEVICE, text_is(FLO_FIELD_DEVICE_ID, key)), take_device,
                                &listing, &found, err);

    if (rv == 0 && !found) {
        rv = flo_fleet_find_one(store, active_named(key), take_device, &listing, &found, err);
    }
    FLO_TRY(rv);
    return found ? rv : flo_fail(err, FLO_E_DEVICE_ABSENT, "no device %.64s", key);
}

static struct flo_match has_model(enum flo_field where, const char *text)
{
    return text_among(FLO_FIELD_DEVICE_ID, FLO_FIELD_DEVICE_MODEL_DEVICE, where, text);
}

/* Lists the devices that match the filter.  An engine cannot compare labels,
 * which are in a JSON text, so labels are compared here. */
int flo_fleet_device_list(struct flo_fleet_store *store,
                          const struct flo_fleet_device_filter *filter, flo_fleet_device_fn fn,
                          void *context, struct flo_err *err)
{
    struct listing listing = {.store = store, .filter = filter, .fn = fn, .context = context};
    struct flo_query query = {.table = FLO_TABLE_DEVICE,
                              SORTED(UP(DEVICE_ID)),
                              .limit = filter->label == NULL ? filter->limit : 0};

    if (filter->after != NULL) {
        query.matches[query.match_count++] =
            text_how(FLO_FIELD_DEVICE_ID, FLO_MATCH_ABOVE, filter->after);
    }
    if (filter->group != NULL) {
        query.matches[query.match_count++] =
            text_among(FLO_FIELD_DEVICE_ID, FLO_FIELD_DEVICE_GROUP_DEVICE,
                       FLO_FIELD_DEVICE_GROUP_GROUP, filter->group);
    }
    if (filter->online >= 0) {
        query.matches[query.match_count++] =
            common_number(FLO_FIELD_DEVICE_ONLINE, (uint64_t)filter->online);
    }
    if (filter->only_retired) {
        query.matches[query.match_count++] = number_is(FLO_FIELD_DEVICE_RETIRED, 1);
    } else if (!filter->with_retired) {
        query.matches[query.match_count++] = common_number(FLO_FIELD_DEVICE_RETIRED, 0);
    }
    if (filter->model != NULL) {
        query.matches[query.match_count++] = has_model(FLO_FIELD_DEVICE_MODEL_MODEL, filter->model);
    }
    if (filter->release != NULL) {
        query.matches[query.match_count++] =
            has_model(FLO_FIELD_DEVICE_MODEL_SERVING, filter->release);
    }
    int rv = flo_fleet_find(store, &query, take_device, &listing, err);
    if (rv == 0 && filter->limit == 0 && filter->label == NULL && query.match_count == 1 &&
        query.matches[0].field == FLO_FIELD_DEVICE_RETIRED && !filter->only_retired) {
        flo_fleet_sum_compare(store, FLO_SEALED_DEVICE, &listing.sum);
    }
    return rv == ENOUGH ? 0 : rv;
}

int flo_fleet_device_is_active(struct flo_fleet_store *store, const char *id, bool *out,
                               struct flo_err *err)
{
    size_t number = flo_ids_find(&store->facts.ids, id);
    struct flo_fleet_fact *fact;

    if (number < store->facts.capacity && store->facts.items[number].is_active) {
        *out = true;
        return 0;
    }
    FLO_TRY(flo_fleet_find_one(
        store,
        ROWS(DEVICE, text_is(FLO_FIELD_DEVICE_ID, id), number_is(FLO_FIELD_DEVICE_RETIRED, 0)),
        NULL, NULL, out, err));
    if (*out && (fact = flo_fleet_fact(store, id)) != NULL) {
        fact->is_active = true;
    }
    return 0;
}

int flo_fleet_device_online(struct flo_fleet_store *store, const char *id, bool online,
                            bool *is_news, struct flo_err *err)
{
    struct flo_fleet_fact *fact = flo_fleet_fact(store, id);
    uint64_t changed = 0;

    *is_news = false;
    if (fact != NULL && fact->is_online_known && fact->is_online == online) {
        return 0;
    }
    int rv = flo_fleet_update(
        store, FLO_TABLE_DEVICE, CHANGES(set_number(FLO_FIELD_DEVICE_ONLINE, online)),
        MATCHES(text_is(FLO_FIELD_DEVICE_ID, id), number_is(FLO_FIELD_DEVICE_ONLINE, !online)),
        &changed, err);
    *is_news = rv == 0 && changed > 0;
    if (rv == 0 && fact != NULL) {
        fact->is_online_known = true;
        fact->is_online = online;
    }
    if (*is_news && online && fact != NULL) {
        fact->is_back = true;
    }
    if (*is_news) {
        flo_device_index_online(&store->device_index, flo_fleet_number(store, id), online);
    }
    return rv;
}

int flo_fleet_device_is_online(struct flo_fleet_store *store, const char *id, bool *out,
                               struct flo_err *err)
{
    struct flo_fleet_fact *fact = flo_fleet_fact(store, id);
    struct flo_number online = {.field = FLO_FIELD_DEVICE_ONLINE};
    bool found;

    if (fact != NULL && fact->is_online_known) {
        *out = fact->is_online;
        return 0;
    }
    if (fact != NULL &&
        flo_device_index_knows(&store->device_index, (size_t)(fact - store->facts.items), out)) {
        fact->is_online_known = true;
        fact->is_online = *out;
        return 0;
    }
    FLO_TRY(flo_fleet_find_one(store, ROWS(DEVICE, text_is(FLO_FIELD_DEVICE_ID, id)),
                               flo_fleet_take_number, &online, &found, err));
    *out = found && online.number != 0;
    if (found && fact != NULL) {
        fact->is_online_known = true;
        fact->is_online = *out;
    }
    return 0;
}

/* Computes a checksum of the models that a device reported. */
static uint32_t models_checksum(const struct flo_fleet_model *models, size_t count,
                                bool with_serving)
{
    uint32_t checksum = flo_crc32c(0, "models", 6);

    for (size_t i = 0; i < count; i++) {
        checksum = flo_crc32c(checksum, models[i].model, strlen(models[i].model) + 1);
        if (with_serving) {
            checksum = flo_crc32c(checksum, models[i].serving, strlen(models[i].serving) + 1);
        }
    }
    return checksum != 0 ? checksum : 1;
}

/* Writes the rows of the reported models, unless they are those of the last
 * report. */
static int put_models(struct flo_fleet_store *store, const char *id,
                      const struct flo_fleet_model *models, size_t count, struct flo_err *err)
{
    struct flo_fleet_fact *fact = flo_fleet_fact(store, id);
    uint32_t checksum = models_checksum(models, count, true);
    uint32_t names = models_checksum(models, count, false);
    int rv = 0;

    if (fact != NULL && fact->models == checksum) {
        return 0;
    }
    if (fact == NULL || fact->model_names != names) {
        rv = flo_fleet_remove(store, FLO_TABLE_DEVICE_MODEL,
                              MATCHES(text_is(FLO_FIELD_DEVICE_MODEL_DEVICE, id)), NULL, err);
    }
    for (size_t i = 0; i < count && rv == 0; i++) {
        rv = flo_fleet_put(store, FLO_TABLE_DEVICE_MODEL,
                           CHANGES(set_text(FLO_FIELD_DEVICE_MODEL_DEVICE, id),
                                   set_text(FLO_FIELD_DEVICE_MODEL_MODEL, models[i].model),
                                   set_text(FLO_FIELD_DEVICE_MODEL_SERVING, models[i].serving)),
                           err);
    }
    if (rv == 0 && fact != NULL) {
        fact->models = checksum;
        fact->model_names = names;
    }
    return rv;
}

int flo_fleet_device_reported(struct flo_fleet_store *store, const char *id, const char *reported,
                              const json_t *said, const char *profile, bool drifts, uint64_t trust,
                              const struct flo_fleet_model *models, size_t model_count,
                              struct flo_err *err)
{
    const struct flo_field_change changes[] = {
        set_text(FLO_FIELD_DEVICE_REPORTED, reported), set_number(FLO_FIELD_DEVICE_DRIFTS, drifts),
        set_number(FLO_FIELD_DEVICE_TRUST, trust), set_text(FLO_FIELD_DEVICE_PROFILE, profile)};

    FLO_TRY(flo_fleet_update(store, FLO_TABLE_DEVICE, changes, profile != NULL ? 4 : 3,
                             MATCHES(text_is(FLO_FIELD_DEVICE_ID, id)), NULL, err));
    FLO_TRY(put_models(store, id, models, model_count, err));
    const json_t *facts = json_object_get(said, "profile");
    if (!json_is_object(facts)) { /* A report without a profile leaves the earlier profile. */
        flo_device_index_stale(&store->device_index, flo_fleet_number(store, id));
        return 0;
    }
    size_t number = flo_fleet_number(store, id);
    struct flo_fleet_said meant =
        flo_fleet_said(store, flo_device_index_say(&store->device_index, number), said);
    flo_device_index_report(&store->device_index, number, said, facts, &meant);
    return 0;
}

int flo_fleet_device_retire(struct flo_fleet_store *store, const char *id, struct flo_err *err)
{
    struct flo_fleet_fact *fact = flo_fleet_fact(store, id);
    int rv = flo_fleet_update(
        store, FLO_TABLE_DEVICE,
        CHANGES(set_number(FLO_FIELD_DEVICE_RETIRED, 1), set_number(FLO_FIELD_DEVICE_ONLINE, 0)),
        MATCHES(text_is(FLO_FIELD_DEVICE_ID, id)), NULL, err);

    if (fact != NULL) {
        fact->is_active = fact->is_online_known = false;
    }
    flo_device_index_gone(&store->device_index, flo_fleet_number(store, id));
    if (rv == 0) {
        rv = flo_fleet_remove(store, FLO_TABLE_DEVICE_GROUP,
                              MATCHES(text_is(FLO_FIELD_DEVICE_GROUP_DEVICE, id)), NULL, err);
    }
    if (rv == 0) {
        rv = flo_fleet_remove(store, FLO_TABLE_DEVICE_MODEL,
                              MATCHES(text_is(FLO_FIELD_DEVICE_MODEL_DEVICE, id)), NULL, err);
    }
    if (rv == 0) {
        rv = flo_fleet_certificate_revoke(store, id, "", err);
    }
    FLO_TRY(rv);
    return flo_fleet_desired_forget(store, id, err);
}

int flo_fleet_devices_offline(struct flo_fleet_store *store, struct flo_err *err)
{
    flo_fleet_facts_doubt(store);
    for (size_t i = 0; i < store->device_index.count; i++) {
        if (store->device_index.items[i].is_online) {
            flo_device_index_online(&store->device_index, i, false);
        }
    }
    FLO_TRY(flo_fleet_update(store, FLO_TABLE_DEVICE,
                             CHANGES(set_number(FLO_FIELD_DEVICE_ONLINE, 0)),
                             MATCHES(number_is(FLO_FIELD_DEVICE_ONLINE, 1)), NULL, err));
    flo_fleet_facts_offline(store);
    return 0;
}

static int take_counts(void *context, const struct flo_row *row, uint64_t count)
{
    struct flo_fleet_device_count *counts = context;

    counts->devices += count;
    counts->online += flo_row_flag(row, FLO_FIELD_DEVICE_ONLINE) ? count : 0;
    counts->drifting += flo_row_flag(row, FLO_FIELD_DEVICE_DRIFTS) ? count : 0;
    return 0;
}

size_t flo_fleet_devices_seen(const struct flo_fleet_store *store)
{
    return store->facts.ids.count;
}

int flo_fleet_device_counts(struct flo_fleet_store *store, struct flo_fleet_device_count *out,
                            struct flo_err *err)
{
    static const enum flo_field by[] = {FLO_FIELD_DEVICE_ONLINE, FLO_FIELD_DEVICE_DRIFTS};

    *out = (struct flo_fleet_device_count){0};
    return flo_fleet_count(store, &ROWS(DEVICE, number_is(FLO_FIELD_DEVICE_RETIRED, 0)), by,
                           FLO_COUNT(by), take_counts, out, err);
}

/* ---- groups ---- */

int flo_fleet_group_each(struct flo_fleet_store *store, const char *group, flo_fleet_text_fn fn,
                         void *context, struct flo_err *err)
{
    struct flo_text each = {FLO_FIELD_DEVICE_GROUP_DEVICE, fn, context};

    return flo_fleet_find(store, &ROWS(DEVICE_GROUP, text_is(FLO_FIELD_DEVICE_GROUP_GROUP, group)),
                          flo_fleet_take_text, &each, err);
}
