/* Wanted: tells in memory which releases are no longer wanted on devices.
 *
 * A release is not wanted when it was yanked, or when its newest rollout was
 * stopped.  A device that lacks such a release does not drift. */
#include <stdlib.h>
#include <string.h>

#include "server-stub/store/calls/kept.h"
#include "server-stub/store/fleet.h"

static bool is_stopped(const char *state)
{
    static const char *const stopped[] = {"aborting",    "aborted",     "rolling-back",
                                          "rolled-back", "partly-back", "halted"};

    for (size_t i = 0; i < FLO_COUNT(stopped); i++) {
        if (strcmp(state, stopped[i]) == 0) {
            return true;
        }
    }
    return false;
}

static struct flo_wanted *find(const struct flo_fleet_store *store, const char *release)
{
    for (size_t i = 0; i < store->wanted.count; i++) {
        if (strcmp(store->wanted.items[i].release, release) == 0) {
            return &store->wanted.items[i];
        }
    }
    return NULL;
}

/* Gets the entry of a release, which is created if missing.  Returns NULL
 * without memory: the release then counts as wanted. */
static struct flo_wanted *place(struct flo_fleet_store *store, const char *release)
{
    struct flo_fleet_wanted *all = &store->wanted;
    struct flo_wanted *one = find(store, release);

    if (one != NULL) {
        return one;
    }
    if (!flo_grow(&all->items, &all->room, all->count, sizeof(*all->items))) {
        return NULL;
    }
    one = &all->items[all->count++];
    *one = (struct flo_wanted){.rollout = 0};
    snprintf(one->release, sizeof(one->release), "%s", release);
    return one;
}

bool flo_fleet_is_wanted(const struct flo_fleet_store *store, const char *release)
{
    const struct flo_wanted *one = find(store, release);

    return one == NULL || (!one->is_yanked && !one->is_stopped);
}

bool flo_fleet_is_yanked(const struct flo_fleet_store *store, const char *release)
{
    const struct flo_wanted *one = find(store, release);

    return one != NULL && one->is_yanked;
}

/* Marks devices that lack a release for a new evaluation, if the release was
 * yanked or its newest rollout stopped, or either was undone.  Each of the two
 * facts counts, because only a yank also concerns devices on which the release
 * is pinned. */
static void changed(struct flo_fleet_store *store, struct flo_wanted was,
                    const struct flo_wanted *now)
{
    if (was.is_yanked != now->is_yanked || was.is_stopped != now->is_stopped) {
        store->wanted.is_changed = true;
        flo_device_index_lacking_stale(&store->device_index);
    }
}

void flo_fleet_wanted_rollout(struct flo_fleet_store *store, const char *release, uint64_t number,
                              const char *state)
{
    struct flo_wanted *one = place(store, release);

    if (one != NULL && number >= one->rollout) {
        struct flo_wanted was = *one;
        one->rollout = number;
        one->is_stopped = is_stopped(state);
        changed(store, was, one);
    }
}

void flo_fleet_wanted_release(struct flo_fleet_store *store, const char *release, const char *state)
{
    struct flo_wanted *one = place(store, release);

    if (one != NULL) {
        struct flo_wanted was = *one;
        one->is_yanked = strcmp(state, "yanked") == 0;
        changed(store, was, one);
    }
}

/* ---- from the tables ---- */

static int take_rollout(void *context, const struct flo_row *row)
{
    flo_fleet_wanted_rollout(context, flo_row_text(row, FLO_FIELD_ROLLOUT_DIGEST),
                             flo_row_number(row, FLO_FIELD_ROLLOUT_NUMBER),
                             flo_row_text(row, FLO_FIELD_ROLLOUT_STATE));
    return 0;
}

static int take_release(void *context, const struct flo_row *row)
{
    flo_fleet_wanted_release(context, flo_row_text(row, FLO_FIELD_RELEASE_DIGEST),
                             flo_row_text(row, FLO_FIELD_RELEASE_STATE));
    return 0;
}

int flo_fleet_wanted_load(struct flo_fleet_store *store, struct flo_err *err)
{
    flo_fleet_wanted_deinit(store);
    int rv = flo_fleet_find(store, &(struct flo_query){.table = FLO_TABLE_ROLLOUT}, take_rollout,
                            store, err);
    if (rv == 0) {
        rv = flo_fleet_find(store, &ROWS(RELEASE, text_is(FLO_FIELD_RELEASE_STATE, "yanked")),
                            take_release, store, err);
    }
    store->wanted.is_changed = false;
    return rv;
}

/* Reads the wanted releases again after a rollback, because memory may differ
 * from the tables. */
void flo_fleet_wanted_doubt(struct flo_fleet_store *store)
{
    struct flo_err err = {0};

    if (!store->wanted.is_changed) {
        return;
    }
    if (flo_fleet_wanted_load(store, &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "store", &err);
    }
    flo_device_index_lacking_stale(&store->device_index);
    flo_device_index_commit(&store->device_index);
}

void flo_fleet_wanted_deinit(struct flo_fleet_store *store)
{
    free(store->wanted.items);
    store->wanted = (struct flo_fleet_wanted){.count = 0};
}
