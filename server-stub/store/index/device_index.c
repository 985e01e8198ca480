/* Device index: the entries of devices, and what changes at the end of a
 * transaction. */
#include <stdlib.h>
#include <string.h>

#include "server-stub/store/fleet.h"
#include "server-stub/store/index/device_index.h"

void flo_device_index_deinit(struct flo_device_index *device_index)
{
    for (size_t i = 0; i < device_index->count; i++) {
        free(device_index->items[i].own);
        free(device_index->items[i].said);
    }
    free(device_index->items);
    free(device_index->order);
    free(device_index->touched);
    free(device_index->changed);
    *device_index = (struct flo_device_index){0};
}

static bool grow(struct flo_device_index *device_index, size_t number)
{
    size_t count = device_index->count == 0 ? 256 : device_index->count;

    while (count <= number) {
        count += count / 4;
    }
    struct flo_device_index_entry *items = realloc(device_index->items, count * sizeof(*items));
    if (items == NULL) {
        return false;
    }
    device_index->items = items;
    memset(&items[device_index->count], 0, (count - device_index->count) * sizeof(*items));
    for (size_t i = device_index->count; i < count; i++) {
        flo_select_device_init(&items[i].say);
    }
    device_index->count = count;
    return true;
}

/* Appends a number to a list, which grows; returns false without memory. */
static bool append(size_t **list, size_t *count, size_t *room, size_t number)
{
    if (!flo_grow(list, room, *count, sizeof(**list))) {
        return false;
    }
    (*list)[(*count)++] = number;
    return true;
}

static bool change(struct flo_device_index *device_index, size_t number)
{
    struct flo_device_index_entry *entry = &device_index->items[number];

    if (!entry->is_changed) {
        entry->is_changed = append(&device_index->changed, &device_index->changed_count,
                                   &device_index->changed_room, number);
    }
    return entry->is_changed;
}

size_t flo_device_index_changed(struct flo_device_index *device_index)
{
    if (device_index->changed_first == device_index->changed_count) {
        device_index->changed_first = device_index->changed_count = 0;
        return SIZE_MAX;
    }
    size_t number = device_index->changed[device_index->changed_first++];
    device_index->items[number].is_changed = false;
    return number;
}

void flo_device_index_change_all(struct flo_device_index *device_index)
{
    for (size_t i = 0; i < device_index->count; i++) {
        if (device_index->items[i].is_there && !change(device_index, i)) {
            device_index->is_lost = true;
            return;
        }
    }
}

/* Gets a device's entry, which is created if missing, and marks it as touched.
 * Returns NULL if the index is not loaded, or without memory; then all entries
 * are read again. */
static struct flo_device_index_entry *touch(struct flo_device_index *device_index, size_t number)
{
    if (!device_index->is_loaded) {
        return NULL;
    }
    if (number == SIZE_MAX || (number >= device_index->count && !grow(device_index, number))) {
        device_index->is_lost = true;
        return NULL;
    }
    struct flo_device_index_entry *entry = &device_index->items[number];
    if (!entry->is_touched) {
        if (!append(&device_index->touched, &device_index->touched_count,
                    &device_index->touched_room, number)) {
            device_index->is_lost = true;
            return NULL;
        }
        entry->is_touched = true;
    }
    if (!change(device_index, number)) {
        device_index->is_lost = true;
        return NULL;
    }
    return entry;
}

void flo_device_index_row(struct flo_device_index *device_index, size_t number,
                          const struct flo_fleet_device *device)
{
    struct flo_device_index_entry *entry = touch(device_index, number);

    if (entry == NULL) {
        return;
    }
    void *own = flo_device_index_own_facts(device, &entry->say);
    if (own == NULL) {
        device_index->is_lost = true;
        return;
    }
    free(entry->own);
    entry->own = own;
    entry->groups_are = flo_device_index_names_text(device->groups);
    entry->is_there = !device->is_retired;
    entry->is_online = device->is_online;
    entry->seen_at_ms = device->last_seen_at_ms;
    entry->rss_bytes = device->rss_bytes;
}

void flo_device_index_report(struct flo_device_index *device_index, size_t number,
                             const json_t *report, const json_t *profile_or_null,
                             const struct flo_fleet_said *meant)
{
    struct flo_device_index_entry *entry = touch(device_index, number);

    if (entry == NULL) {
        return;
    }
    void *said = flo_device_index_said_facts(report, profile_or_null, &entry->say);
    if (said == NULL) {
        device_index->is_lost = true;
        return;
    }
    free(entry->said);
    entry->said = said;
    entry->say.has_reported = report != NULL;
    entry->condition_said = (uint8_t)meant->condition;
    entry->may_let_go = meant->may_let_go;
    entry->say.values[FLO_SELECT_DRIFTS].flag = meant->drifts;
    entry->groups_said = json_is_array(json_object_get(report, "groups"))
                             ? flo_device_index_names(json_object_get(report, "groups"))
                             : 0;
}

const struct flo_select_device *flo_device_index_say(const struct flo_device_index *device_index,
                                                     size_t number)
{
    return number < device_index->count ? &device_index->items[number].say : NULL;
}

void flo_device_index_online(struct flo_device_index *device_index, size_t number, bool online)
{
    struct flo_device_index_entry *entry = touch(device_index, number);

    if (entry != NULL) {
        entry->is_online = online;
    }
}

bool flo_device_index_knows(const struct flo_device_index *device_index, size_t number,
                            bool *is_online)
{
    const struct flo_device_index_entry *entry =
        number < device_index->count ? &device_index->items[number] : NULL;

    if (entry == NULL || device_index->is_lost || !entry->is_there || entry->is_stale) {
        return false;
    }
    *is_online = entry->is_online;
    return true;
}

void flo_device_index_gone(struct flo_device_index *device_index, size_t number)
{
    struct flo_device_index_entry *entry = touch(device_index, number);

    if (entry != NULL) {
        entry->is_there = false;
    }
}

void flo_device_index_stale(struct flo_device_index *device_index, size_t number)
{
    struct flo_device_index_entry *entry = touch(device_index, number);

    if (entry != NULL && !entry->is_stale) {
        entry->is_stale = true;
        device_index->stale_count++;
    }
}

void flo_device_index_lacking_stale(struct flo_device_index *device_index)
{
    for (size_t i = 0; i < device_index->count; i++) {
        if (device_index->items[i].is_there && device_index->items[i].may_let_go) {
            flo_device_index_stale(device_index, i);
        }
    }
}

void flo_device_index_commit(struct flo_device_index *device_index)
{
    for (size_t i = 0; i < device_index->touched_count; i++) {
        device_index->items[device_index->touched[i]].is_touched = false;
    }
    device_index->touched_count = 0;
}

void flo_device_index_cancel(struct flo_device_index *device_index)
{
    for (size_t i = 0; i < device_index->touched_count; i++) {
        struct flo_device_index_entry *entry = &device_index->items[device_index->touched[i]];
        device_index->stale_count += entry->is_stale ? 0 : 1;
        entry->is_stale = true;
        entry->stated = 0;
    }
    flo_device_index_commit(device_index);
}
