/* Store: stores and lists the lines of the audit's signed heads. */
#include "server-stub/store/lines.h"

#include "server-stub/store/calls/kept.h"

struct lines {
    flo_fleet_line_fn fn;
    void *context;
};

static int take_line(void *context, const struct flo_row *row)
{
    const struct lines *lines = context;

    return lines->fn(lines->context, flo_row_number(row, FLO_FIELD_AUDIT_LINE_NUMBER),
                     flo_row_text(row, FLO_FIELD_AUDIT_LINE_TEXT));
}

int flo_fleet_audit_lines(struct flo_fleet_store *store, uint64_t from, flo_fleet_line_fn fn,
                          void *context, struct flo_err *err)
{
    struct lines lines = {fn, context};

    return flo_fleet_find(
        store,
        &(struct flo_query){.table = FLO_TABLE_AUDIT_LINE,
                            WHERE(number_how(FLO_FIELD_AUDIT_LINE_NUMBER, FLO_MATCH_FROM, from)),
                            SORTED(UP(AUDIT_LINE_NUMBER))},
        take_line, &lines, err);
}

int flo_fleet_audit_line_put(struct flo_fleet_store *store, uint64_t number, const char *text,
                             struct flo_err *err)
{
    return flo_fleet_put(store, FLO_TABLE_AUDIT_LINE,
                         CHANGES(set_number(FLO_FIELD_AUDIT_LINE_NUMBER, number),
                                 set_text(FLO_FIELD_AUDIT_LINE_TEXT, text)),
                         err);
}

int flo_fleet_audit_lines_clear(struct flo_fleet_store *store, struct flo_err *err)
{
    return flo_fleet_remove(store, FLO_TABLE_AUDIT_LINE,
                            MATCHES(number_how(FLO_FIELD_AUDIT_LINE_NUMBER, FLO_MATCH_FROM, 0)),
                            NULL, err);
}
