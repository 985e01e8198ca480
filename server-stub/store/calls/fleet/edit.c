/* Store: changes of a device by operators. */
#include <string.h>

#include <flotilla/errors/device.h>

#include "server-stub/store/calls/kept.h"
#include "server-stub/store/fleet.h"

int flo_fleet_device_has_come(struct flo_fleet_store *store, const char *id, bool *out,
                              struct flo_err *err)
{
    struct flo_fleet_fact *fact = flo_fleet_fact(store, id);
    struct flo_number seen = {.field = FLO_FIELD_DEVICE_SEEN_AT};
    bool found;

    *out = fact != NULL && fact->seen_at_ms > 0;
    if (*out) {
        return 0;
    }
    int rv = flo_fleet_find_one(store, ROWS(DEVICE, text_is(FLO_FIELD_DEVICE_ID, id)),
                                flo_fleet_take_number, &seen, &found, err);
    *out = rv == 0 && found && seen.number > 0;
    return rv;
}

struct owner {
    const char *id;
    bool is_another;
};

static int take_owner(void *context, const struct flo_fleet_device *device)
{
    struct owner *owner = context;

    owner->is_another = strcmp(owner->id, device->id) != 0;
    return 0;
}

static int name_is_free(struct flo_fleet_store *store, const char *id, const char *name,
                        struct flo_err *err)
{
    struct owner owner = {.id = id};
    struct flo_err absent = {0};

    FLO_TRY(flo_fleet_name_check(name, err));
    int rv = flo_fleet_device_get(store, name, take_owner, &owner, &absent);
    if (rv == FLO_E_DEVICE_ABSENT || (rv == 0 && !owner.is_another)) {
        return 0;
    }
    if (rv < 0) {
        *err = absent;
        return rv;
    }
    flo_fail(err, FLO_E_STATE, "another device is named %s", name);
    return flo_err_fix(err, "choose another name; to give this one to new "
                            "hardware: flotilla device replace OLD NEW");
}

int flo_fleet_device_edit(struct flo_fleet_store *store, const char *id,
                          const struct flo_fleet_edit *edit, struct flo_err *err)
{
    const struct {
        enum flo_field field;
        const char *text;
    } texts[] = {{FLO_FIELD_DEVICE_NAME, edit->name},
                 {FLO_FIELD_DEVICE_LABELS, edit->labels},
                 {FLO_FIELD_DEVICE_NOTE, edit->note},
                 {FLO_FIELD_DEVICE_MAINTENANCE, edit->maintenance},
                 {FLO_FIELD_DEVICE_PINS, edit->pins}};
    struct flo_field_change changes[FLO_COUNT(texts)];
    size_t count = 0;
    int rv = edit->name != NULL ? name_is_free(store, id, edit->name, err) : 0;

    for (size_t i = 0; i < FLO_COUNT(texts); i++) {
        if (texts[i].text != NULL) {
            changes[count++] = set_text(texts[i].field, texts[i].text);
        }
    }
    FLO_TRY(rv);
    if (count == 0) {
        return rv;
    }
    FLO_TRY(flo_fleet_update(store, FLO_TABLE_DEVICE, changes, count,
                             MATCHES(text_is(FLO_FIELD_DEVICE_ID, id)), NULL, err));
    return flo_fleet_device_index_again(store, id, err);
}

int flo_fleet_device_replaced(struct flo_fleet_store *store, const char *old, const char *next,
                              struct flo_err *err)
{
    FLO_TRY(flo_fleet_update(store, FLO_TABLE_DEVICE,
                             CHANGES(set_text(FLO_FIELD_DEVICE_REPLACED_BY, next)),
                             MATCHES(text_is(FLO_FIELD_DEVICE_ID, old)), NULL, err));
    return flo_fleet_update(store, FLO_TABLE_DEVICE,
                            CHANGES(set_text(FLO_FIELD_DEVICE_REPLACES, old)),
                            MATCHES(text_is(FLO_FIELD_DEVICE_ID, next)), NULL, err);
}
