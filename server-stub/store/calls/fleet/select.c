/* Store: selects devices from the device index in memory. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/device.h>

#include "server-stub/store/calls/kept.h"
#include "server-stub/store/fleet.h"
#include "server-stub/store/groups.h"
#include "server-stub/store/making.h"

static int read_device(void *context, const struct flo_fleet_device *device)
{
    struct flo_fleet_store *store = context;
    FLO_CLEANUP(flo_json_cleanup) json_t *report = NULL;
    FLO_CLEANUP(flo_json_cleanup) json_t *profile = NULL;
    size_t number = flo_fleet_number(store, device->id);

    if (flo_json_parse(device->reported, strlen(device->reported), 1 << 20, &report, NULL) < 0) {
        report = NULL;
    }
    if (flo_json_parse(device->profile, strlen(device->profile), 1 << 20, &profile, NULL) < 0) {
        profile = NULL;
    }
    flo_device_index_row(&store->device_index, number, device);
    struct flo_fleet_said said =
        flo_fleet_said(store, flo_device_index_say(&store->device_index, number), report);
    flo_device_index_report(&store->device_index, number, report, profile, &said);
    return 0;
}

int flo_fleet_device_index_load(struct flo_fleet_store *store, struct flo_err *err)
{
    const struct flo_fleet_device_filter filter = {.online = -1};
    /* Read here once, because each message of a device needs the list of orders
     * whose rows are being made. */
    const struct flo_making *makings;
    size_t count;

    flo_device_index_deinit(&store->device_index);
    int rv = flo_fleet_wanted_load(store, err);
    if (rv == 0) {
        rv = flo_fleet_makings(store, &makings, &count, err);
    }
    store->device_index.is_loaded = true;
    if (rv == 0) {
        rv = flo_fleet_device_list(store, &filter, read_device, store, err);
    }
    flo_device_index_commit(&store->device_index);
    if (rv == 0 && store->device_index.is_lost) {
        rv = flo_fail(err, FLO_E_MEMORY, "the roster of devices");
    }
    if (rv < 0) {
        flo_device_index_deinit(&store->device_index);
    }
    return rv;
}

int flo_fleet_device_index_again(struct flo_fleet_store *store, const char *id, struct flo_err *err)
{
    struct flo_err absent = {0};

    if (!store->device_index.is_loaded) {
        return 0;
    }
    int rv = flo_fleet_device_get(store, id, read_device, store, &absent);
    if (rv == FLO_E_DEVICE_ABSENT) {
        return 0;
    }
    if (rv < 0 && err != NULL) {
        *err = absent;
    }
    return rv;
}

/* Reads those devices again from their rows whose entries in the index are out
 * of date, for example after a rollback. */
static int settle(struct flo_fleet_store *store, struct flo_err *err)
{
    struct flo_device_index *device_index = &store->device_index;
    int rv = 0;

    if (!device_index->is_loaded || device_index->is_lost) {
        return flo_fleet_device_index_load(store, err);
    }
    for (size_t i = 0; i < device_index->count && device_index->stale_count > 0 && rv == 0; i++) {
        if (device_index->items[i].is_stale) {
            bool was_there = device_index->items[i].is_there;
            device_index->items[i].is_there = false;
            rv = flo_fleet_device_index_again(store, store->facts.ids.items[i], err);
            if (rv == 0) {
                device_index->items[i].is_stale = false;
                device_index->stale_count--;
            } else { /* the entry stays out of date, because the device's row
                        could not be read */
                device_index->items[i].is_there = was_there;
            }
        }
    }
    return rv;
}

/* Copies the newest values from the store's facts to the device index: those
 * that change with every message. */
static void freshen(struct flo_fleet_store *store, size_t number)
{
    struct flo_device_index_entry *entry = &store->device_index.items[number];
    union flo_select_value *values = entry->say.values;
    uint64_t seen_at_ms = entry->seen_at_ms;
    uint64_t rss_bytes = entry->rss_bytes;

    if (number < store->facts.capacity) {
        const struct flo_fleet_fact *fact = &store->facts.items[number];
        seen_at_ms = fact->seen_at_ms != 0 ? fact->seen_at_ms : seen_at_ms;
        rss_bytes = fact->rss_bytes > 0 ? fact->rss_bytes : rss_bytes;
        if (fact->ttft_us > 0) {
            values[FLO_SELECT_TTFT_P95].number = (double)fact->ttft_us / 1000;
        }
    }
    values[FLO_SELECT_STATE].text = entry->is_online ? "online" : "offline";
    values[FLO_SELECT_CONDITION].text = flo_condition_word(flo_condition_decide(
        false, values[FLO_SELECT_MAINTENANCE].flag, entry->is_online,
        entry->said != NULL ? (enum flo_condition)entry->condition_said : FLO_CONDITION_OK));
    values[FLO_SELECT_LAST_SEEN].at_ms = seen_at_ms;
    if (rss_bytes > 0) {
        values[FLO_SELECT_RSS].number = (double)rss_bytes;
    }
}

int flo_fleet_select(struct flo_fleet_store *store, const struct flo_selector *const *selectors,
                     size_t count, uint64_t now_ms, flo_fleet_select_fn fn, void *context,
                     struct flo_err *err)
{
    struct flo_device_index *device_index = &store->device_index;
    int rv = settle(store, err);

    for (size_t i = 0; i < device_index->count && rv == 0; i++) {
        bool fits = device_index->items[i].is_there;
        if (fits) {
            freshen(store, i);
        }
        for (size_t k = 0; k < count && fits; k++) {
            fits = flo_selector_matches(selectors[k], &device_index->items[i].say, now_ms);
        }
        rv = fits ? fn(context, &device_index->items[i].say) : 0;
    }
    return rv;
}

int flo_fleet_lacking(struct flo_fleet_store *store, flo_fleet_text_fn fn, void *context)
{
    const struct flo_device_index *device_index = &store->device_index;
    int rv = 0;

    for (size_t i = 0; i < device_index->count && rv == 0; i++) {
        if (device_index->items[i].is_there && device_index->items[i].may_let_go) {
            rv = fn(context, store->facts.ids.items[i]);
        }
    }
    return rv;
}

/* Returns the number of a device in the index.  Returns SIZE_MAX for an unknown
 * device. */
static size_t number_of(struct flo_fleet_store *store, const char *id)
{
    struct flo_err err = {0};

    if (settle(store, &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "store", &err);
        return SIZE_MAX;
    }
    size_t number = flo_ids_find(&store->facts.ids, id);
    return number < store->device_index.count && store->device_index.items[number].is_there
               ? number
               : SIZE_MAX;
}

const struct flo_select_device *flo_fleet_facts_of(struct flo_fleet_store *store, const char *id)
{
    size_t number = number_of(store, id);

    if (number == SIZE_MAX) {
        return NULL;
    }
    freshen(store, number);
    return &store->device_index.items[number].say;
}

const char *flo_fleet_name_of(struct flo_fleet_store *store, const char *id)
{
    size_t number = number_of(store, id);

    return number == SIZE_MAX ? NULL
                              : store->device_index.items[number].say.values[FLO_SELECT_NAME].text;
}

bool flo_fleet_is_online(struct flo_fleet_store *store, const char *id)
{
    size_t number = number_of(store, id);

    return number != SIZE_MAX && store->device_index.items[number].is_online;
}

size_t flo_fleet_size(const struct flo_fleet_store *store)
{
    return store->facts.ids.count;
}

bool flo_fleet_is_in_group(const struct flo_fleet_device *device, const char *group)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *groups = NULL;
    bool is_there = strcmp(group, "all") == 0;

    if (is_there ||
        flo_json_parse(device->groups, strlen(device->groups), 1 << 16, &groups, NULL) < 0) {
        return is_there;
    }
    for (size_t i = 0; i < json_array_size(groups) && !is_there; i++) {
        const char *one = json_string_value(json_array_get(groups, i));
        is_there = one != NULL && strcmp(one, group) == 0;
    }
    return is_there;
}

bool flo_fleet_facts_in_group(const struct flo_select_device *device, const char *group)
{
    const char *const *one = device->values[FLO_SELECT_GROUP].list;
    bool is_there = strcmp(group, "all") == 0;

    for (; !is_there && one != NULL && *one != NULL; one++) {
        is_there = strcmp(*one, group) == 0;
    }
    return is_there;
}

/* ---- by a group ---- */

static int by_id(const void *a, const void *b, void *ids)
{
    char(*items)[37] = ids;

    return strcmp(items[*(const size_t *)a], items[*(const size_t *)b]);
}

/* Sorts the numbers of devices by id.  Most are sorted already; devices that
 * enrolled since the last call are not. */
static int put_in_order(struct flo_fleet_store *store, struct flo_err *err)
{
    struct flo_device_index *device_index = &store->device_index;
    char(*ids)[37] = store->facts.ids.items;
    size_t known = store->facts.ids.count;
    size_t count = known < device_index->count ? known : device_index->count;
    bool is_sorted = true;

    if (device_index->ordered == count) {
        return 0;
    }
    size_t *order = realloc(device_index->order, count * sizeof(*order));
    if (order == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "%zu devices", count);
    }
    device_index->order = order;
    for (size_t i = device_index->ordered; i < count; i++) {
        order[i] = i;
        is_sorted = is_sorted && (i == 0 || strcmp(ids[order[i - 1]], ids[i]) < 0);
    }
    if (!is_sorted) {
        qsort_r(order, count, sizeof(*order), by_id, ids);
    }
    device_index->ordered = count;
    return 0;
}

int flo_fleet_facts_each(struct flo_fleet_store *store, const char *group, flo_fleet_select_fn fn,
                         void *context, struct flo_err *err)
{
    const struct flo_device_index *device_index = &store->device_index;

    FLO_TRY(settle(store, err));
    int rv = put_in_order(store, err);
    size_t count = rv == 0 ? device_index->ordered : 0;
    for (size_t i = 0; i < count && rv == 0; i++) {
        if (i >= device_index->ordered) { /* the callback `fn` caused a new load
                                             of the index, which made it shorter */
            return flo_fail(err, FLO_E_MEMORY, "the roster of devices");
        }
        size_t number = device_index->order[i];
        const struct flo_device_index_entry *entry = &device_index->items[number];
        if (entry->is_there && (group == NULL || flo_fleet_facts_in_group(&entry->say, group))) {
            freshen(store, number);
            rv = fn != NULL ? fn(context, &entry->say) : 0;
        }
    }
    return rv;
}

int flo_fleet_numbers_each(struct flo_fleet_store *store, const char *group, const char *after,
                           flo_fleet_number_fn fn, void *context, struct flo_err *err)
{
    const struct flo_device_index *device_index = &store->device_index;
    int rv = settle(store, err);

    for (size_t i = 0; i < device_index->count && rv == 0; i++) {
        const struct flo_device_index_entry *entry = &device_index->items[i];
        if (entry->is_there && flo_fleet_facts_in_group(&entry->say, group) &&
            strcmp(entry->say.values[FLO_SELECT_ID].text, after) > 0) {
            fn(context, i);
        }
    }
    return rv;
}

static bool has_label(void *context, const char *key)
{
    const struct flo_fleet_store *store = context;

    for (size_t i = 0; i < store->device_index.count; i++) {
        const struct flo_device_index_entry *entry = &store->device_index.items[i];
        const struct flo_select_label *label = entry->say.labels;
        for (; entry->is_there && label != NULL && label->key != NULL; label++) {
            if (strcmp(label->key, key) == 0) {
                return true;
            }
        }
    }
    return false;
}

struct flo_select_known flo_fleet_known(struct flo_fleet_store *store)
{
    return (struct flo_select_known){has_label, store};
}

/* ---- devices that changed ---- */

int flo_fleet_changed_next(struct flo_fleet_store *store, char *device, struct flo_err *err)
{
    int rv = settle(store, err);
    size_t number = rv == 0 ? flo_device_index_changed(&store->device_index) : SIZE_MAX;

    snprintf(device, 37, "%s", number != SIZE_MAX ? store->facts.ids.items[number] : "");
    return rv;
}

void flo_fleet_changed_all(struct flo_fleet_store *store)
{
    flo_device_index_change_all(&store->device_index);
}

bool flo_fleet_changed_any(const struct flo_fleet_store *store)
{
    return store->device_index.changed_first < store->device_index.changed_count;
}

enum flo_groups_news flo_fleet_groups_news(struct flo_fleet_store *store, const char *device)
{
    size_t number = flo_ids_find(&store->facts.ids, device);
    const struct flo_device_index_entry *entry;

    if (number >= store->device_index.count) {
        return FLO_GROUPS_KNOWN;
    }
    entry = &store->device_index.items[number];
    if (!entry->is_there || entry->groups_said == 0) {
        return FLO_GROUPS_KNOWN;
    }
    if (entry->groups_said != entry->groups_are) {
        return entry->is_online ? FLO_GROUPS_DIFFER : FLO_GROUPS_KNOWN;
    }
    return entry->stated != 1 ? FLO_GROUPS_TOLD : FLO_GROUPS_KNOWN;
}
