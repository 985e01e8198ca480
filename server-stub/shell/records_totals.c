/* Store: what the windows of all devices add up to.
 *
 * Who asks mostly means the fleet, and a fleet has thousands of rows behind
 * each point of a chart.  So a total stands beside them, as the row of the
 * device "".  The windows of a transaction are added up here and written at
 * its end, for one row more per window would cost as much again as the
 * device's own. */
#include <string.h>

#include "server-stub/shell/records_inside.h"

static struct flo_records_total *find(struct flo_records_totals *totals,
                                      uint64_t at_ms, const char *release)
{
    for (size_t i = 0; i < totals->count; i++) {
        if (totals->items[i].at_ms == at_ms &&
            strcmp(totals->items[i].release, release) == 0) {
            return &totals->items[i];
        }
    }
    return NULL;
}

static struct flo_records_total *begin(struct flo_records_totals *totals,
                                       uint64_t at_ms, const char *release)
{
    struct flo_records_total *total = &totals->items[totals->count++];

    memset(total->rows, 0, sizeof(total->rows));
    total->at_ms = at_ms;
    snprintf(total->release, sizeof(total->release), "%s", release);
    return total;
}

static void merge(struct flo_records_total *total, enum flo_metric metric,
                  const struct flo_telemetry_row *row)
{
    struct flo_telemetry_row *sum = &total->rows[metric];

    if (sum->count == 0) {
        *sum = (struct flo_telemetry_row){
            .release = total->release,
            .device = "",
            .at_ms = total->at_ms,
            .min = row->min,
            .max = row->max,
            .histogram =
                row->histogram != NULL ? &total->histograms[metric] : NULL};
        total->histograms[metric] = (struct flo_histogram){0};
    }
    sum->count += row->count;
    if (__builtin_add_overflow(sum->sum, row->sum, &sum->sum)) {
        sum->sum = INT64_MAX; /* 1,024 windows of the largest value */
    }
    sum->min = row->min < sum->min ? row->min : sum->min;
    sum->max = row->max > sum->max ? row->max : sum->max;
    if (row->histogram != NULL) {
        flo_histogram_merge(&total->histograms[metric], row->histogram);
    }
}

int flo_records_total_add(struct flo_records *store, enum flo_metric metric,
                          const struct flo_telemetry_row *row,
                          struct flo_err *err)
{
    struct flo_records_totals *totals = store->totals;
    uint64_t at_ms = row->at_ms - row->at_ms % FLO_TELEMETRY_FINE_MS;
    struct flo_records_total *total = find(totals, at_ms, row->release);
    int rv = 0;

    if (total == NULL && totals->count == FLO_RECORDS_TOTALS_MAX) {
        rv = flo_records_totals_write(store, err);
    }
    if (rv == 0) {
        merge(total != NULL ? total : begin(totals, at_ms, row->release),
              metric, row);
    }
    return rv;
}

int flo_records_totals_write(struct flo_records *store, struct flo_err *err)
{
    struct flo_records_totals *totals = store->totals;
    int rv = 0;

    for (size_t i = 0; i < totals->count; i++) {
        for (int m = 0; m < FLO_METRIC_COUNT && rv == 0; m++) {
            const struct flo_telemetry_row *row = &totals->items[i].rows[m];
            if (row->count > 0) {
                rv = flo_records_row_add(store, (enum flo_metric)m, row, err);
            }
        }
    }
    totals->count = 0;
    return rv;
}
