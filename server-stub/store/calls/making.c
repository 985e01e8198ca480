/* Store: the progress of orders whose device rows are being made. */
#include <stdlib.h>
#include <string.h>

#include "server-stub/store/calls/kept.h"
#include "server-stub/store/making.h"

/* ---- in memory: each message asks ---- */

static struct flo_making *add(struct flo_fleet_makings *makings)
{
    if (!flo_grow(&makings->items, &makings->room, makings->count, sizeof(*makings->items))) {
        return NULL;
    }
    return &makings->items[makings->count++];
}

static int take_making(void *context, const struct flo_row *row)
{
    struct flo_making *one = add(context);

    if (one == NULL) {
        return FLO_E_MEMORY;
    }
    *one = (struct flo_making){.devices = flo_row_number(row, FLO_FIELD_MAKING_DEVICES),
                               .count = flo_row_number(row, FLO_FIELD_MAKING_COUNT)};
    snprintf(one->order, sizeof(one->order), "%s", flo_row_text(row, FLO_FIELD_MAKING_ORDER));
    snprintf(one->group, sizeof(one->group), "%s", flo_row_text(row, FLO_FIELD_MAKING_GROUP));
    snprintf(one->made, sizeof(one->made), "%s", flo_row_text(row, FLO_FIELD_MAKING_MADE));
    return 0;
}

static int know(struct flo_fleet_store *store, struct flo_err *err)
{
    struct flo_fleet_makings *makings = &store->makings;

    if (makings->is_known) {
        return 0;
    }
    makings->count = 0;
    int rv = flo_fleet_find(store,
                            &(struct flo_query){.table = FLO_TABLE_MAKING, SORTED(UP(MAKING_SEQ))},
                            take_making, makings, err);
    makings->is_known = rv == 0;
    return rv == FLO_E_MEMORY ? flo_fail(err, rv, "orders being made") : rv;
}

int flo_fleet_makings(struct flo_fleet_store *store, const struct flo_making **out, size_t *count,
                      struct flo_err *err)
{
    int rv = know(store, err);

    *out = store->makings.items;
    *count = rv == 0 ? store->makings.count : 0;
    return rv;
}

static struct flo_making *find(struct flo_fleet_store *store, const char *order)
{
    for (size_t i = 0; i < store->makings.count; i++) {
        if (strcmp(store->makings.items[i].order, order) == 0) {
            return &store->makings.items[i];
        }
    }
    return NULL;
}

int flo_fleet_making_of(struct flo_fleet_store *store, const char *order,
                        const struct flo_making **out, struct flo_err *err)
{
    int rv = know(store, err);

    *out = rv == 0 ? find(store, order) : NULL;
    return rv;
}

/* ---- begin, on, end ---- */

static int take_count(void *context, const struct flo_row *row, uint64_t count)
{
    (void)row;
    *(uint64_t *)context = count;
    return 0;
}

static int count_group(struct flo_fleet_store *store, const char *group, uint64_t *out,
                       struct flo_err *err)
{
    return flo_fleet_count(store, &ROWS(DEVICE_GROUP, text_is(FLO_FIELD_DEVICE_GROUP_GROUP, group)),
                           NULL, 0, take_count, out, err);
}

int flo_fleet_making_begin(struct flo_fleet_store *store, const char *order, const char *group,
                           struct flo_err *err)
{
    struct flo_number number = {.field = FLO_FIELD_ORDER_SEQ};
    struct flo_making one = {.count = 0};
    int rv = know(store, err);

    snprintf(one.order, sizeof(one.order), "%s", order);
    snprintf(one.group, sizeof(one.group), "%s", group);
    if (rv == 0) {
        rv = count_group(store, group, &one.devices, err);
    }
    if (rv == 0) {
        rv = flo_fleet_find_one(store, ROWS(ORDER, text_is(FLO_FIELD_ORDER_ID, order)),
                                flo_fleet_take_number, &number, NULL, err);
    }
    if (rv == 0) {
        rv = flo_fleet_put(store, FLO_TABLE_MAKING,
                           CHANGES(set_text(FLO_FIELD_MAKING_ORDER, order),
                                   set_number(FLO_FIELD_MAKING_SEQ, number.number),
                                   set_text(FLO_FIELD_MAKING_GROUP, group),
                                   set_text(FLO_FIELD_MAKING_MADE, ""),
                                   set_number(FLO_FIELD_MAKING_DEVICES, one.devices),
                                   set_number(FLO_FIELD_MAKING_COUNT, 0)),
                           err);
    }
    FLO_TRY(rv);
    store->makings.is_changed = true;
    struct flo_making *kept = add(&store->makings);
    if (kept == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "order %s", order);
    }
    *kept = one;
    return 0;
}

static int end(struct flo_fleet_store *store, const char *order, struct flo_err *err)
{
    struct flo_fleet_makings *makings = &store->makings;
    int rv = flo_fleet_remove(store, FLO_TABLE_MAKING,
                              MATCHES(text_is(FLO_FIELD_MAKING_ORDER, order)), NULL, err);
    struct flo_making *gone = find(store, order);

    if (rv == 0 && gone != NULL) {
        size_t index = (size_t)(gone - makings->items);
        makings->count--;
        memmove(gone, gone + 1, (makings->count - index) * sizeof(*gone));
    }
    return rv;
}

int flo_fleet_making_move(struct flo_fleet_store *store, const char *order, const char *made,
                          uint64_t count, struct flo_err *err)
{
    int rv = know(store, err);

    store->makings.is_changed = true;
    if (rv < 0 || made == NULL) {
        FLO_TRY(rv);
        return end(store, order, err);
    }
    rv = flo_fleet_update(
        store, FLO_TABLE_MAKING,
        CHANGES(set_text(FLO_FIELD_MAKING_MADE, made), add_number(FLO_FIELD_MAKING_COUNT, count)),
        MATCHES(text_is(FLO_FIELD_MAKING_ORDER, order)), NULL, err);
    struct flo_making *one = find(store, order);
    if (rv == 0 && one != NULL) {
        snprintf(one->made, sizeof(one->made), "%s", made);
        one->count += count;
    }
    return rv;
}

/* ---- whose turn it is ---- */

struct unmade {
    char (*ids)[37];
    bool *are_there;
    size_t count, at;
};

static int take_device(void *context, const struct flo_row *row)
{
    struct unmade *unmade = context;

    snprintf(unmade->ids[unmade->count++], sizeof(unmade->ids[0]), "%s",
             flo_row_text(row, FLO_FIELD_DEVICE_GROUP_DEVICE));
    return 0;
}

/* Notes which listed devices have a row already.  Rows and list are both in
 * ascending order of device ids. */
static int take_made(void *context, const struct flo_row *row)
{
    struct unmade *unmade = context;
    const char *device = flo_row_text(row, FLO_FIELD_OUTCOME_DEVICE);

    while (unmade->at < unmade->count && strcmp(unmade->ids[unmade->at], device) < 0) {
        unmade->at++;
    }
    if (unmade->at < unmade->count) {
        unmade->are_there[unmade->at] = strcmp(unmade->ids[unmade->at], device) == 0;
    }
    return 0;
}

static int read_unmade(struct flo_fleet_store *store, const struct flo_making *making,
                       uint64_t limit, struct unmade *out, struct flo_err *err)
{
    FLO_TRY(flo_fleet_find(
        store,
        &(struct flo_query){
            .table = FLO_TABLE_DEVICE_GROUP,
            WHERE(text_is(FLO_FIELD_DEVICE_GROUP_GROUP, making->group),
                  text_how(FLO_FIELD_DEVICE_GROUP_DEVICE, FLO_MATCH_ABOVE, making->made)),
            SORTED(UP(DEVICE_GROUP_DEVICE)),
            .limit = limit},
        take_device, out, err));
    if (out->count == 0) {
        return 0;
    }
    return flo_fleet_find(
        store,
        &(struct flo_query){
            .table = FLO_TABLE_OUTCOME,
            WHERE(text_is(FLO_FIELD_OUTCOME_ORDER, making->order),
                  text_how(FLO_FIELD_OUTCOME_DEVICE, FLO_MATCH_ABOVE, making->made),
                  text_how(FLO_FIELD_OUTCOME_DEVICE, FLO_MATCH_UP_TO, out->ids[out->count - 1])),
            SORTED(UP(OUTCOME_DEVICE))},
        take_made, out, err);
}

int flo_fleet_making_next(struct flo_fleet_store *store, const struct flo_making *making,
                          uint64_t limit, flo_fleet_unmade_fn fn, void *context,
                          struct flo_err *err)
{
    struct unmade unmade = {.ids = calloc(limit, sizeof(*unmade.ids)),
                            .are_there = calloc(limit, sizeof(bool))};
    int rv = unmade.ids == NULL || unmade.are_there == NULL
                 ? flo_fail(err, FLO_E_MEMORY, "a slice of an order")
                 : read_unmade(store, making, limit, &unmade, err);

    for (size_t i = 0; i < unmade.count && rv == 0; i++) {
        rv = fn(context, unmade.ids[i], unmade.are_there[i]);
    }
    free(unmade.ids);
    free(unmade.are_there);
    return rv;
}

int flo_fleet_making_awaits(struct flo_fleet_store *store, const struct flo_making *making,
                            const char *device, bool *out, struct flo_err *err)
{
    bool is_made = false;
    int rv = 0;

    *out = false;
    if (strcmp(device, making->made) > 0) {
        rv = flo_fleet_find_one(store,
                                ROWS(DEVICE_GROUP,
                                     text_is(FLO_FIELD_DEVICE_GROUP_GROUP, making->group),
                                     text_is(FLO_FIELD_DEVICE_GROUP_DEVICE, device)),
                                NULL, NULL, out, err);
    }
    if (rv == 0 && *out) {
        rv = flo_fleet_find_one(store,
                                ROWS(OUTCOME, text_is(FLO_FIELD_OUTCOME_ORDER, making->order),
                                     text_is(FLO_FIELD_OUTCOME_DEVICE, device)),
                                NULL, NULL, &is_made, err);
        *out = rv == 0 && !is_made;
    }
    return rv;
}
