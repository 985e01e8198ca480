/* Telemetry: windows, queries, and folding rows into series.  Pure. */
#ifndef FLOTILLA_SERVER_TELEMETRY_H
#define FLOTILLA_SERVER_TELEMETRY_H

#include <flotilla/base.h>
#include <flotilla/proto.h>

#include "base/host/json.h"

/* Rows are stored in two sets.  Totals by release and hardware class are few,
 * whatever the fleet's size.  Rows of devices are more, and are kept for less
 * time.  Both have two resolutions, fine for hours and coarse for days. */
#define FLO_TELEMETRY_FINE_MS UINT64_C(5000)
#define FLO_TELEMETRY_COARSE_MS UINT64_C(300000)
#define FLO_TELEMETRY_DEVICE_FINE_MS UINT64_C(60000)
#define FLO_TELEMETRY_DEVICE_COARSE_MS UINT64_C(1800000)
#define FLO_TELEMETRY_FINE_LIFE_MS (UINT64_C(2) * 3600 * 1000)
#define FLO_TELEMETRY_COARSE_LIFE_MS (UINT64_C(30) * 24 * 3600 * 1000)
#define FLO_TELEMETRY_DEVICE_LIFE_MS (UINT64_C(14) * 24 * 3600 * 1000)
#define FLO_TELEMETRY_WINDOW_MS_MAX (UINT64_C(8) * 24 * 3600 * 1000)
#define FLO_HARDWARE_TEXT (FLO_NAME_MAX + 1)
#define FLO_QUANTILES_MAX 8
#define FLO_TELEMETRY_POINTS_MAX 20000

/* One model's part of a device's window, as received by MQTT. */
struct flo_telemetry_window {
    size_t part; /* index of the part in its message, from 0 */
    uint64_t seq;
    uint64_t at_ms; /* time by the device's clock, only shown to people */
    uint64_t window_ms;
    char model[FLO_NAME_MAX + 1];
    char version[FLO_NAME_MAX + 1];
    char variant[FLO_NAME_MAX + 1]; /* "": the release has one, or an older agent does not tell */
    struct flo_digest release;
    bool has[FLO_METRICS_MAX];
    int64_t values[FLO_METRICS_MAX];  /* counters, gauges */
    struct flo_histogram *histograms; /* [FLO_METRIC_COUNT], the caller's */
};
#define FLO_TELEMETRY_PARTS_MAX 16
/* Gets the number of parts in a payload, at least one: without requests a
 * device sends only its own gauges.  Returns FLO_E_MQTT_SCHEMA for a malformed
 * list. */
FLO_MUST_USE int flo_telemetry_parts(const json_t *json, size_t *out, struct flo_err *err);
/* Reads one part of a payload.  The device's own gauges belong to each part.
 * Unknown metrics are skipped.  Returns FLO_E_MQTT_SCHEMA for a value that is
 * not whole, negative or above 2^53, or for a broken histogram. */
FLO_MUST_USE int flo_telemetry_parse(const json_t *json, size_t part,
                                     struct flo_telemetry_window *out, struct flo_err *err);

struct flo_telemetry_query {
    int metric;
    bool by_release;
    bool by_model;
    bool by_device;
    bool by_hardware;
    bool by_variant;
    char model[FLO_NAME_MAX + 1]; /* rows of this model only; "": of all models */
    uint64_t since_ms;            /* before now */
    uint64_t step_ms;
    size_t quantile_count;
    double quantiles[FLO_QUANTILES_MAX];
};
/* Reads a query's body.  FLO_E_REST_SCHEMA: the error names the field. */
FLO_MUST_USE int flo_telemetry_query_parse(const json_t *json, struct flo_telemetry_query *out,
                                           struct flo_err *err);
/* Returns the resolution of the rows that a query reads.  It is the fine one if
 * such rows are still stored for that time and the query's steps are shorter
 * than a coarse row. */
uint64_t flo_telemetry_resolution(const struct flo_telemetry_query *query);

/* Gets the hardware class from a device's profile: "x86_64 avx2 4g", with
 * memory rounded up to a power of two; "unknown" when the profile has no valid
 * architecture.  `out` holds FLO_HARDWARE_TEXT bytes. */
void flo_hardware_class(const json_t *profile_or_null, char *out);
/* Gets the hardware class from its parts; `memory` in bytes, NAN: unknown. */
void flo_hardware_class_of(const char *arch_or_null, const char *kernel_or_null, double memory,
                           char *out);

/* Stored row; rows are sorted by key and time. */
struct flo_telemetry_row {
    const char *release;  /* digest text */
    const char *variant;  /* "": the release has one, or it is not known */
    const char *device;   /* "": a total */
    const char *hardware; /* hardware class of a total; "": the row is of a device */
    const char *model;    /* "": not known */
    uint64_t at_ms;
    uint64_t count;
    int64_t sum, min, max;                 /* counters and gauges */
    const struct flo_histogram *histogram; /* or NULL */
};

/* Fold of rows into series.  Zero-initialise, set `query`, and let both
 * histogram members point to histograms of the caller. */
struct flo_telemetry_fold {
    const struct flo_telemetry_query *query;
    struct flo_histogram *step_histogram;
    struct flo_histogram *series_histogram;
    json_t *series; /* result, an array owned by the caller */
    json_t *points;
    char release[FLO_DIGEST_TEXT];
    char device[37];
    char hardware[FLO_HARDWARE_TEXT];
    char variant[FLO_NAME_MAX + 1];
    char model[FLO_NAME_MAX + 1];
    uint64_t step_at_ms;
    uint64_t count, series_count;
    int64_t sum, min, max, series_sum;
    size_t points_held;
    bool has_step;
};
void flo_telemetry_fold_add(struct flo_telemetry_fold *fold, const struct flo_telemetry_row *row);
/* Ends the last series; call it after the last row. */
void flo_telemetry_fold_end(struct flo_telemetry_fold *fold);

#endif
