/* Store: the prepared list of serial numbers. */
#include "server-stub/store/serials.h"
#include "server-stub/store/calls/kept.h"

int flo_fleet_serial_put(struct flo_fleet_store *store, const struct flo_fleet_serial *claim,
                         struct flo_err *err)
{
    return flo_fleet_put(store, FLO_TABLE_CLAIM,
                         CHANGES(set_text(FLO_FIELD_CLAIM_SERIAL, claim->serial),
                                 set_text(FLO_FIELD_CLAIM_BODY, claim->body),
                                 set_text(FLO_FIELD_CLAIM_DEVICE, claim->device),
                                 set_number(FLO_FIELD_CLAIM_AT, claim->at_ms)),
                         err);
}

struct claims {
    flo_fleet_serial_fn fn;
    void *context;
};

static int take_claim(void *context, const struct flo_row *row)
{
    const struct claims *claims = context;
    struct flo_fleet_serial claim = {.serial = flo_row_text(row, FLO_FIELD_CLAIM_SERIAL),
                                     .body = flo_row_text(row, FLO_FIELD_CLAIM_BODY),
                                     .device = flo_row_text(row, FLO_FIELD_CLAIM_DEVICE),
                                     .at_ms = flo_row_number(row, FLO_FIELD_CLAIM_AT)};

    return claims->fn != NULL ? claims->fn(claims->context, &claim) : 0;
}

int flo_fleet_serial_get(struct flo_fleet_store *store, const char *serial, flo_fleet_serial_fn fn,
                         void *context, bool *known, struct flo_err *err)
{
    struct claims claims = {fn, context};

    return flo_fleet_find_one(store, ROWS(CLAIM, text_is(FLO_FIELD_CLAIM_SERIAL, serial)),
                              take_claim, &claims, known, err);
}

int flo_fleet_serial_delete(struct flo_fleet_store *store, const char *serial, struct flo_err *err)
{
    return flo_fleet_remove(store, FLO_TABLE_CLAIM,
                            MATCHES(text_is(FLO_FIELD_CLAIM_SERIAL, serial)), NULL, err);
}

int flo_fleet_serial_each(struct flo_fleet_store *store, const char *after, uint64_t limit,
                          flo_fleet_serial_fn fn, void *context, struct flo_err *err)
{
    struct claims claims = {fn, context};

    return flo_fleet_find(
        store,
        &(struct flo_query){.table = FLO_TABLE_CLAIM,
                            WHERE(text_how(FLO_FIELD_CLAIM_SERIAL, FLO_MATCH_ABOVE, after)),
                            SORTED(UP(CLAIM_SERIAL)),
                            .limit = limit},
        take_claim, &claims, err);
}

int flo_fleet_serial_waiting(struct flo_fleet_store *store, uint64_t *out, struct flo_err *err)
{
    return flo_fleet_count_all(store, &ROWS(CLAIM, text_is(FLO_FIELD_CLAIM_BODY, "")), out, err);
}
