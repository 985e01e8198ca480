/* Store: reports that orders requested from devices. */
#include "server-stub/store/calls/kept.h"

struct reports {
    flo_fleet_report_fn fn; /* or NULL */
    void *context;
};

static int take_report(void *context, const struct flo_row *row)
{
    const struct reports *reports = context;
    struct flo_fleet_report report = {
        .order = flo_row_text(row, FLO_FIELD_REPORT_ORDER),
        .device = flo_row_text(row, FLO_FIELD_REPORT_DEVICE),
        .op = flo_row_text(row, FLO_FIELD_REPORT_OP),
        .at_ms = flo_row_number(row, FLO_FIELD_REPORT_AT),
        .body = flo_row_text(row, FLO_FIELD_REPORT_BODY),
    };

    return reports->fn != NULL ? reports->fn(reports->context, &report) : 0;
}

static struct flo_query of_device(const char *device)
{
    return (struct flo_query){.table = FLO_TABLE_REPORT,
                              WHERE(text_is(FLO_FIELD_REPORT_DEVICE, device)),
                              SORTED(DOWN(REPORT_AT), DOWN(REPORT_ORDER))};
}

static int take_id(void *context, const struct flo_row *row)
{
    snprintf(context, FLO_NAME_MAX + 1, "%s", flo_row_text(row, FLO_FIELD_REPORT_ORDER));
    return 0;
}

/* Deletes a device's oldest reports beyond the limit.  The new report always
 * stays, even if its time is not the newest. */
static int drop_oldest(struct flo_fleet_store *store, const struct flo_fleet_report *report,
                       struct flo_err *err)
{
    char order[FLO_NAME_MAX + 1];
    struct flo_query query = {
        .table = FLO_TABLE_REPORT,
        WHERE(text_is(FLO_FIELD_REPORT_DEVICE, report->device),
              text_how(FLO_FIELD_REPORT_ORDER, FLO_MATCH_IS_NOT, report->order)),
        SORTED(DOWN(REPORT_AT), DOWN(REPORT_ORDER)),
        .offset = FLO_FLEET_REPORTS_MAX - 1};
    bool found;

    FLO_TRY(flo_fleet_find_one(store, query, take_id, order, &found, err));
    return !found ? 0
                  : flo_fleet_remove(store, FLO_TABLE_REPORT,
                                     MATCHES(text_is(FLO_FIELD_REPORT_ORDER, order)), NULL, err);
}

int flo_fleet_report_add(struct flo_fleet_store *store, const struct flo_fleet_report *report,
                         struct flo_err *err)
{
    FLO_TRY(flo_fleet_insert(store, FLO_TABLE_REPORT,
                             CHANGES(set_text(FLO_FIELD_REPORT_ORDER, report->order),
                                     set_text(FLO_FIELD_REPORT_DEVICE, report->device),
                                     set_text(FLO_FIELD_REPORT_OP, report->op),
                                     set_number(FLO_FIELD_REPORT_AT, report->at_ms),
                                     set_text(FLO_FIELD_REPORT_BODY, report->body)),
                             NULL, err));
    return drop_oldest(store, report, err);
}

int flo_fleet_report_get(struct flo_fleet_store *store, const char *order, flo_fleet_report_fn fn,
                         void *context, struct flo_err *err)
{
    struct reports reports = {fn, context};
    bool found;
    int rv = flo_fleet_find_one(store, ROWS(REPORT, text_is(FLO_FIELD_REPORT_ORDER, order)),
                                take_report, &reports, &found, err);

    FLO_TRY(rv);
    return found ? rv : flo_fail(err, FLO_E_ABSENT, "no report of order %.64s", order);
}

int flo_fleet_report_list(struct flo_fleet_store *store, const char *device, flo_fleet_report_fn fn,
                          void *context, struct flo_err *err)
{
    struct reports reports = {fn, context};
    struct flo_query query = of_device(device);

    return flo_fleet_find(store, &query, take_report, &reports, err);
}

int flo_fleet_report_list_op(struct flo_fleet_store *store, const char *op, uint64_t limit,
                             flo_fleet_report_fn fn, void *context, struct flo_err *err)
{
    struct reports reports = {fn, context};
    struct flo_query query = {.table = FLO_TABLE_REPORT,
                              WHERE(text_is(FLO_FIELD_REPORT_OP, op)),
                              SORTED(DOWN(REPORT_AT), DOWN(REPORT_ORDER)),
                              .limit = limit};

    return flo_fleet_find(store, &query, take_report, &reports, err);
}

int flo_fleet_report_prune(struct flo_fleet_store *store, uint64_t now_ms, struct flo_err *err)
{
    return now_ms <= FLO_FLEET_REPORT_KEPT_MS
               ? 0
               : flo_fleet_remove(store, FLO_TABLE_REPORT,
                                  MATCHES(number_how(FLO_FIELD_REPORT_AT, FLO_MATCH_BELOW,
                                                     now_ms - FLO_FLEET_REPORT_KEPT_MS)),
                                  NULL, err);
}
