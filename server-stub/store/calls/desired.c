/* Store: what is assigned to devices: an order for each model, and the revision
 * of the desired document. */
#include <stdio.h>
#include <string.h>

#include <flotilla/errors/device.h>

#include "server-stub/store/calls/kept.h"
#include "server-stub/store/making.h"

static struct flo_match of_device(const char *device)
{
    return text_is(FLO_FIELD_ASSIGNMENT_DEVICE, device);
}

static int take_order(void *context, const struct flo_row *row)
{
    snprintf(context, FLO_NAME_MAX + 1, "%s", flo_row_text(row, FLO_FIELD_ASSIGNMENT_ORDER));
    return 0;
}

int flo_fleet_desired_rev(struct flo_fleet_store *store, const char *device, uint64_t *out,
                          struct flo_err *err)
{
    struct flo_number revision = {.field = FLO_FIELD_DESIRED_REVISION};
    bool found;

    FLO_TRY(flo_fleet_find_one(store, ROWS(DESIRED, text_is(FLO_FIELD_DESIRED_DEVICE, device)),
                               flo_fleet_take_number, &revision, &found, err));
    if (!found) {
        return flo_fail(err, FLO_E_DEVICE_ABSENT, "no device %.64s", device);
    }
    *out = revision.number;
    return 0;
}

int flo_fleet_desired_get(struct flo_fleet_store *store, const char *device, const char *model,
                          char *order, struct flo_err *err)
{
    order[0] = '\0';
    return flo_fleet_find_one(
        store, ROWS(ASSIGNMENT, of_device(device), text_is(FLO_FIELD_ASSIGNMENT_MODEL, model)),
        take_order, order, NULL, err);
}

int flo_fleet_desired_set(struct flo_fleet_store *store, const char *device, const char *model,
                          const char *order, struct flo_err *err)
{
    uint64_t is_there = 0;

    FLO_TRY(flo_fleet_update(store, FLO_TABLE_DESIRED,
                             CHANGES(add_number(FLO_FIELD_DESIRED_REVISION, 1)),
                             MATCHES(text_is(FLO_FIELD_DESIRED_DEVICE, device)), &is_there, err));
    if (is_there == 0) {
        return 0;
    }
    if (order[0] == '\0') {
        return flo_fleet_remove(
            store, FLO_TABLE_ASSIGNMENT,
            MATCHES(of_device(device), text_is(FLO_FIELD_ASSIGNMENT_MODEL, model)), NULL, err);
    }
    FLO_TRY(flo_fleet_offer_add(store, device, order, err));
    return flo_fleet_put(store, FLO_TABLE_ASSIGNMENT,
                         CHANGES(set_text(FLO_FIELD_ASSIGNMENT_DEVICE, device),
                                 set_text(FLO_FIELD_ASSIGNMENT_MODEL, model),
                                 set_text(FLO_FIELD_ASSIGNMENT_ORDER, order)),
                         err);
}

struct each {
    flo_fleet_assignment_fn fn;
    void *context;
};

static int take_assignment(void *context, const struct flo_row *row)
{
    const struct each *each = context;

    return each->fn(each->context, flo_row_text(row, FLO_FIELD_ASSIGNMENT_MODEL),
                    flo_row_text(row, FLO_FIELD_ASSIGNMENT_ORDER));
}

int flo_fleet_desired_each(struct flo_fleet_store *store, const char *device,
                           flo_fleet_assignment_fn fn, void *context, struct flo_err *err)
{
    struct each each = {fn, context};

    return flo_fleet_find(store,
                          &(struct flo_query){.table = FLO_TABLE_ASSIGNMENT,
                                              WHERE(of_device(device)),
                                              SORTED(UP(ASSIGNMENT_MODEL))},
                          take_assignment, &each, err);
}

struct held {
    flo_fleet_held_fn fn;
    void *context;
};

static int take_held(void *context, const struct flo_row *row)
{
    const struct held *held = context;

    return held->fn(held->context, flo_row_text(row, FLO_FIELD_ASSIGNMENT_DEVICE),
                    flo_row_text(row, FLO_FIELD_ASSIGNMENT_ORDER));
}

int flo_fleet_desired_between(struct flo_fleet_store *store, const char *model, const char *after,
                              const char *to, flo_fleet_held_fn fn, void *context,
                              struct flo_err *err)
{
    struct held held = {fn, context};

    return flo_fleet_find(
        store,
        &(struct flo_query){.table = FLO_TABLE_ASSIGNMENT,
                            WHERE(text_how(FLO_FIELD_ASSIGNMENT_DEVICE, FLO_MATCH_ABOVE, after),
                                  text_how(FLO_FIELD_ASSIGNMENT_DEVICE, FLO_MATCH_UP_TO, to),
                                  text_is(FLO_FIELD_ASSIGNMENT_MODEL, model)),
                            SORTED(UP(ASSIGNMENT_DEVICE))},
        take_held, &held, err);
}

int flo_fleet_desired_run(struct flo_fleet_store *store, const char *model, const char *first,
                          const char *last, const char *order, struct flo_err *err)
{
    FLO_TRY(flo_fleet_update(store, FLO_TABLE_DESIRED,
                             CHANGES(add_number(FLO_FIELD_DESIRED_REVISION, 1)),
                             MATCHES(text_how(FLO_FIELD_DESIRED_DEVICE, FLO_MATCH_FROM, first),
                                     text_how(FLO_FIELD_DESIRED_DEVICE, FLO_MATCH_UP_TO, last)),
                             NULL, err));
    return flo_fleet_update(store, FLO_TABLE_ASSIGNMENT,
                            CHANGES(set_text(FLO_FIELD_ASSIGNMENT_ORDER, order)),
                            MATCHES(text_how(FLO_FIELD_ASSIGNMENT_DEVICE, FLO_MATCH_FROM, first),
                                    text_how(FLO_FIELD_ASSIGNMENT_DEVICE, FLO_MATCH_UP_TO, last),
                                    text_is(FLO_FIELD_ASSIGNMENT_MODEL, model)),
                            NULL, err);
}

struct full {
    uint64_t least;
    flo_fleet_text_fn fn;
    void *context;
};

static int take_full(void *context, const struct flo_row *row, uint64_t count)
{
    const struct full *full = context;

    return count < full->least
               ? 0
               : full->fn(full->context, flo_row_text(row, FLO_FIELD_ASSIGNMENT_DEVICE));
}

int flo_fleet_desired_full(struct flo_fleet_store *store, const char *model, uint64_t least,
                           flo_fleet_text_fn fn, void *context, struct flo_err *err)
{
    static const enum flo_field by[] = {FLO_FIELD_ASSIGNMENT_DEVICE};
    struct full full = {least, fn, context};

    return flo_fleet_count(
        store, &ROWS(ASSIGNMENT, text_how(FLO_FIELD_ASSIGNMENT_MODEL, FLO_MATCH_IS_NOT, model)), by,
        FLO_COUNT(by), take_full, &full, err);
}

int flo_fleet_desired_holders(struct flo_fleet_store *store, const char *order,
                              flo_fleet_text_fn fn, void *context, struct flo_err *err)
{
    struct flo_text device = {FLO_FIELD_ASSIGNMENT_DEVICE, fn, context};

    return flo_fleet_find(store,
                          &(struct flo_query){.table = FLO_TABLE_ASSIGNMENT,
                                              WHERE(text_is(FLO_FIELD_ASSIGNMENT_ORDER, order)),
                                              SORTED(UP(ASSIGNMENT_DEVICE))},
                          flo_fleet_take_text, &device, err);
}

int flo_fleet_desired_swap(struct flo_fleet_store *store, const char *order, const char *next,
                           struct flo_err *err)
{
    struct flo_match holds = text_is(FLO_FIELD_ASSIGNMENT_ORDER, order);

    FLO_TRY(flo_fleet_update(
        store, FLO_TABLE_DESIRED, CHANGES(add_number(FLO_FIELD_DESIRED_REVISION, 1)),
        MATCHES(text_among(FLO_FIELD_DESIRED_DEVICE, FLO_FIELD_ASSIGNMENT_DEVICE,
                           FLO_FIELD_ASSIGNMENT_ORDER, order)),
        NULL, err));
    return next[0] == '\0' ? flo_fleet_remove(store, FLO_TABLE_ASSIGNMENT, &holds, 1, NULL, err)
                           : flo_fleet_update(store, FLO_TABLE_ASSIGNMENT,
                                              CHANGES(set_text(FLO_FIELD_ASSIGNMENT_ORDER, next)),
                                              &holds, 1, NULL, err);
}

int flo_fleet_desired_forget(struct flo_fleet_store *store, const char *device, struct flo_err *err)
{
    FLO_TRY(flo_fleet_remove(store, FLO_TABLE_ASSIGNMENT, MATCHES(of_device(device)), NULL, err));
    FLO_TRY(flo_fleet_offer_forget(store, device, err));
    return flo_fleet_remove(store, FLO_TABLE_DESIRED,
                            MATCHES(text_is(FLO_FIELD_DESIRED_DEVICE, device)), NULL, err);
}
