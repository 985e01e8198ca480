/* Roster: entries of devices, and the end of a transaction. */
#include <stdlib.h>
#include <string.h>

#include "server-stub/store/fleet.h"
#include "server-stub/store/roster/roster.h"

void flo_roster_deinit(struct flo_roster *roster)
{
    for (size_t i = 0; i < roster->count; i++) {
        free(roster->items[i].own);
        free(roster->items[i].said);
    }
    free(roster->items);
    free(roster->order);
    free(roster->touched);
    free(roster->changed);
    *roster = (struct flo_roster){0};
}

static bool grow(struct flo_roster *roster, size_t number)
{
    size_t count = roster->count == 0 ? 256 : roster->count;

    while (count <= number) {
        count += count / 4;
    }
    struct flo_roster_entry *items = realloc(roster->items, count * sizeof(*items));
    if (items == NULL) {
        return false;
    }
    roster->items = items;
    memset(&items[roster->count], 0, (count - roster->count) * sizeof(*items));
    for (size_t i = roster->count; i < count; i++) {
        flo_select_device_init(&items[i].say);
    }
    roster->count = count;
    return true;
}

/* Appends a number to a list. */
static bool append(size_t **list, size_t *count, size_t *room, size_t number)
{
    if (*count == *room) {
        size_t more = 2 * *room + 64;
        size_t *items = realloc(*list, more * sizeof(*items));
        if (items == NULL) {
            return false;
        }
        *list = items;
        *room = more;
    }
    (*list)[(*count)++] = number;
    return true;
}

static bool change(struct flo_roster *roster, size_t number)
{
    struct flo_roster_entry *entry = &roster->items[number];

    if (!entry->is_changed) {
        entry->is_changed =
            append(&roster->changed, &roster->changed_count, &roster->changed_room, number);
    }
    return entry->is_changed;
}

size_t flo_roster_changed(struct flo_roster *roster)
{
    if (roster->changed_first == roster->changed_count) {
        roster->changed_first = roster->changed_count = 0;
        return SIZE_MAX;
    }
    size_t number = roster->changed[roster->changed_first++];
    roster->items[number].is_changed = false;
    return number;
}

void flo_roster_change_all(struct flo_roster *roster)
{
    for (size_t i = 0; i < roster->count; i++) {
        if (roster->items[i].is_there && !change(roster, i)) {
            roster->is_lost = true;
            return;
        }
    }
}

/* Gets a device's entry, created if missing, and marks it as touched.  NULL:
 * not loaded, or no memory (then all is read again). */
static struct flo_roster_entry *touch(struct flo_roster *roster, size_t number)
{
    if (!roster->is_loaded) {
        return NULL;
    }
    if (number == SIZE_MAX || (number >= roster->count && !grow(roster, number))) {
        roster->is_lost = true;
        return NULL;
    }
    struct flo_roster_entry *entry = &roster->items[number];
    if (!entry->is_touched) {
        if (!append(&roster->touched, &roster->touched_count, &roster->touched_room, number)) {
            roster->is_lost = true;
            return NULL;
        }
        entry->is_touched = true;
    }
    if (!change(roster, number)) {
        roster->is_lost = true;
        return NULL;
    }
    return entry;
}

void flo_roster_row(struct flo_roster *roster, size_t number, const struct flo_fleet_device *device)
{
    struct flo_roster_entry *entry = touch(roster, number);

    if (entry == NULL) {
        return;
    }
    void *own = flo_roster_own_facts(device, &entry->say);
    if (own == NULL) {
        roster->is_lost = true;
        return;
    }
    free(entry->own);
    entry->own = own;
    entry->groups_are = flo_roster_names_text(device->groups);
    entry->is_there = !device->is_retired;
    entry->is_online = device->is_online;
    entry->seen_at_ms = device->last_seen_at_ms;
    entry->rss_bytes = device->rss_bytes;
}

void flo_roster_report(struct flo_roster *roster, size_t number, const json_t *report,
                       const json_t *profile_or_null, const struct flo_fleet_said *meant)
{
    struct flo_roster_entry *entry = touch(roster, number);

    if (entry == NULL) {
        return;
    }
    void *said = flo_roster_said_facts(report, profile_or_null, &entry->say);
    if (said == NULL) {
        roster->is_lost = true;
        return;
    }
    free(entry->said);
    entry->said = said;
    entry->say.has_reported = report != NULL;
    entry->condition_said = (uint8_t)meant->condition;
    entry->may_let_go = meant->may_let_go;
    entry->say.values[FLO_SELECT_DRIFTS].flag = meant->drifts;
    entry->groups_said = json_is_array(json_object_get(report, "groups"))
                             ? flo_roster_names(json_object_get(report, "groups"))
                             : 0;
}

const struct flo_select_device *flo_roster_say(const struct flo_roster *roster, size_t number)
{
    return number < roster->count ? &roster->items[number].say : NULL;
}

void flo_roster_online(struct flo_roster *roster, size_t number, bool online)
{
    struct flo_roster_entry *entry = touch(roster, number);

    if (entry != NULL) {
        entry->is_online = online;
    }
}

bool flo_roster_knows(const struct flo_roster *roster, size_t number, bool *is_online)
{
    const struct flo_roster_entry *entry = number < roster->count ? &roster->items[number] : NULL;

    if (entry == NULL || roster->is_lost || !entry->is_there || entry->is_stale) {
        return false;
    }
    *is_online = entry->is_online;
    return true;
}

void flo_roster_gone(struct flo_roster *roster, size_t number)
{
    struct flo_roster_entry *entry = touch(roster, number);

    if (entry != NULL) {
        entry->is_there = false;
    }
}

void flo_roster_stale(struct flo_roster *roster, size_t number)
{
    struct flo_roster_entry *entry = touch(roster, number);

    if (entry != NULL && !entry->is_stale) {
        entry->is_stale = true;
        roster->stale_count++;
    }
}

void flo_roster_lacking_stale(struct flo_roster *roster)
{
    for (size_t i = 0; i < roster->count; i++) {
        if (roster->items[i].is_there && roster->items[i].may_let_go) {
            flo_roster_stale(roster, i);
        }
    }
}

void flo_roster_commit(struct flo_roster *roster)
{
    for (size_t i = 0; i < roster->touched_count; i++) {
        roster->items[roster->touched[i]].is_touched = false;
    }
    roster->touched_count = 0;
}

void flo_roster_cancel(struct flo_roster *roster)
{
    for (size_t i = 0; i < roster->touched_count; i++) {
        struct flo_roster_entry *entry = &roster->items[roster->touched[i]];
        roster->stale_count += entry->is_stale ? 0 : 1;
        entry->is_stale = true;
        entry->stated = 0;
    }
    flo_roster_commit(roster);
}
