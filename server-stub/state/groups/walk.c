#include "server-stub/state/groups/walk.h"

#include <stdio.h>
#include <string.h>

#include <flotilla/errors/device.h>

#define SLICE 100 /* devices */

static int add_id(void *context, const struct flo_select_device *device)
{
    struct flo_text_list *ids = context;
    size_t before = ids->count;

    flo_text_list_add(ids, device->values[FLO_SELECT_ID].text);
    return ids->count > before ? 0 : FLO_E_MEMORY;
}

int flo_group_walk_begin(struct flo_group_walk *walk, struct flo_fleet_store *store,
                         const char *group, flo_fleet_device_fn fn, struct flo_err *err)
{
    bool is_of_all = strcmp(group, "all") == 0;

    *walk = (struct flo_group_walk){.store = store, .fn = fn};
    snprintf(walk->group, sizeof(walk->group), "%s", is_of_all ? "" : group);
    int rv = is_of_all ? 0 : flo_fleet_facts_each(store, group, add_id, &walk->ids, err);
    return rv == FLO_E_MEMORY ? flo_fail(err, rv, "the devices of group %s", group) : rv;
}

static int take(void *context, const struct flo_fleet_device *device)
{
    struct flo_group_walk *walk = context;

    snprintf(walk->last, sizeof(walk->last), "%s", device->id);
    walk->taken++;
    bool has_left = walk->group[0] != '\0' && !flo_fleet_is_in_group(device, walk->group);

    return device->is_retired || has_left ? 0 : walk->fn(walk->context, device);
}

/* Visits the next devices of the whole fleet, which the store lists fast in the
 * order of their ids. */
static int next_of_all(struct flo_group_walk *walk, bool *is_whole, struct flo_err *err)
{
    const struct flo_fleet_device_filter filter = {
        .after = walk->last, .online = -1, .limit = SLICE};

    walk->taken = 0;
    int rv = flo_fleet_device_list(walk->store, &filter, take, walk, err);
    *is_whole = walk->taken < SLICE;
    return rv;
}

static int next_of_group(struct flo_group_walk *walk, bool *is_whole, struct flo_err *err)
{
    int rv = 0;

    for (size_t i = 0; i < SLICE && walk->at < walk->ids.count && rv == 0; i++) {
        struct flo_err absent = {0};
        rv = flo_fleet_device_get(walk->store, walk->ids.items[walk->at++], take, walk, &absent);
        rv = rv == FLO_E_DEVICE_ABSENT ? 0 : rv;
        if (rv < 0 && err->code == 0) {
            *err = absent;
        }
    }
    *is_whole = walk->at == walk->ids.count;
    return rv;
}

int flo_group_walk_on(struct flo_group_walk *walk, uint64_t until_ms, void *context, bool *is_whole,
                      struct flo_err *err)
{
    int rv = 0;

    walk->context = context;
    do {
        FLO_TRY(walk->group[0] == '\0' ? next_of_all(walk, is_whole, err)
                                       : next_of_group(walk, is_whole, err));
    } while (rv == 0 && !*is_whole && flo_now_ms() < until_ms);
    return rv;
}

void flo_group_walk_end(struct flo_group_walk *walk)
{
    flo_text_list_clear(&walk->ids);
}
