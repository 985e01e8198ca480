/* Store: releases and artifacts that devices may fetch.
 *
 * An offer is a release that a deploy in a device's desired document, or an
 * order to measure it there, once named.  A request looks up one artifact and one device in two
 * indexes, and reads no document. */
#include <stdio.h>
#include <string.h>

#include "server-stub/store/calls/kept.h"

int flo_fleet_release_brings(struct flo_fleet_store *store, const char *release, const char *digest,
                             struct flo_err *err)
{
    return flo_fleet_put(store, FLO_TABLE_ARTIFACT,
                         CHANGES(set_text(FLO_FIELD_ARTIFACT_DIGEST, digest),
                                 set_text(FLO_FIELD_ARTIFACT_RELEASE, release)),
                         err);
}

int flo_fleet_bringers(struct flo_fleet_store *store, const char *digest, uint64_t limit,
                       flo_fleet_text_fn fn, void *context, struct flo_err *err)
{
    struct flo_text bringers = {FLO_FIELD_ARTIFACT_RELEASE, fn, context};

    return flo_fleet_find(store,
                          &(struct flo_query){.table = FLO_TABLE_ARTIFACT,
                                              WHERE(text_is(FLO_FIELD_ARTIFACT_DIGEST, digest)),
                                              SORTED(UP(ARTIFACT_RELEASE)),
                                              .limit = limit},
                          flo_fleet_take_text, &bringers, err);
}

/* ---- offering ---- */

void flo_fleet_offer_remember(struct flo_fleet_store *store, const char *order, const char *op,
                              const char *release)
{
    bool is_offer = strcmp(op, "deploy") == 0 || strcmp(op, "benchmark") == 0;

    snprintf(store->deploy.order, sizeof(store->deploy.order), "%s", order);
    snprintf(store->deploy.release, sizeof(store->deploy.release), "%s", is_offer ? release : "");
}

static int take_order(void *context, const struct flo_row *row)
{
    flo_fleet_offer_remember(context, flo_row_text(row, FLO_FIELD_ORDER_ID),
                             flo_row_text(row, FLO_FIELD_ORDER_OP),
                             flo_row_text(row, FLO_FIELD_ORDER_RELEASE));
    return 0;
}

/* Allows a device to fetch the release of an order.  Thousands of devices get
 * the same order, so the order is read once. */
int flo_fleet_offer_add(struct flo_fleet_store *store, const char *device, const char *order,
                        struct flo_err *err)
{
    bool found = true;

    FLO_TRY(strcmp(store->deploy.order, order) == 0
                ? 0
                : flo_fleet_find_one(store, ROWS(ORDER, text_is(FLO_FIELD_ORDER_ID, order)),
                                     take_order, store, &found, err));
    return !found || store->deploy.release[0] == '\0'
               ? 0
               : flo_fleet_put(store, FLO_TABLE_OFFER,
                               CHANGES(set_text(FLO_FIELD_OFFER_DEVICE, device),
                                       set_text(FLO_FIELD_OFFER_RELEASE, store->deploy.release)),
                               err);
}

int flo_fleet_offer_forget(struct flo_fleet_store *store, const char *device, struct flo_err *err)
{
    return flo_fleet_remove(store, FLO_TABLE_OFFER,
                            MATCHES(text_is(FLO_FIELD_OFFER_DEVICE, device)), NULL, err);
}

/* ---- asking ---- */

static int find_offer(struct flo_fleet_store *store, const char *device, struct flo_match of,
                      bool *out, struct flo_err *err)
{
    return flo_fleet_find_one(store, ROWS(OFFER, text_is(FLO_FIELD_OFFER_DEVICE, device), of), NULL,
                              NULL, out, err);
}

int flo_fleet_offers_release(struct flo_fleet_store *store, const char *device, const char *release,
                             bool *out, struct flo_err *err)
{
    return find_offer(store, device, text_is(FLO_FIELD_OFFER_RELEASE, release), out, err);
}

int flo_fleet_offers_artifact(struct flo_fleet_store *store, const char *device, const char *digest,
                              bool *out, struct flo_err *err)
{
    return find_offer(store, device,
                      text_among(FLO_FIELD_OFFER_RELEASE, FLO_FIELD_ARTIFACT_RELEASE,
                                 FLO_FIELD_ARTIFACT_DIGEST, digest),
                      out, err);
}
