/* Telemetry: reads windows and queries, and folds rows into series. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include <flotilla/errors/mqtt.h>

#include "server-stub/core/telemetry/telemetry.h"

#define VALUE_MAX (INT64_C(1) << 53)

/* ---- a device's window ---- */

static int read_numbers(const json_t *json, const char *key, enum flo_metric_kind kind,
                        struct flo_telemetry_window *out, struct flo_err *err)
{
    json_t *object;
    const char *word;
    json_t *value;

    FLO_TRY(flo_json_opt_object(json, key, &object, err));
    if (object == NULL) {
        return 0;
    }
    json_object_foreach(object, word, value)
    {
        int metric;
        if (!flo_metric_parse(word, &metric) || flo_metric_fact(metric)->kind != kind) {
            continue;
        }
        int64_t number = json_integer_value(value);
        if (!json_is_integer(value) || number > VALUE_MAX ||
            number < flo_metric_fact(metric)->least) {
            return flo_fail(err, FLO_E_MQTT_SCHEMA, "%s.%s is no whole number in its range", key,
                            word);
        }
        out->has[metric] = true;
        out->values[metric] = number;
    }
    return 0;
}

static int read_histograms(const json_t *json, struct flo_telemetry_window *out,
                           struct flo_err *err)
{
    json_t *object;
    const char *word;
    json_t *value;
    int rv = flo_json_opt_object(json, "histograms", &object, err);

    FLO_TRY(rv);
    if (object == NULL) {
        return rv;
    }
    json_object_foreach(object, word, value)
    {
        int metric;
        if (!flo_metric_parse(word, &metric) ||
            flo_metric_fact(metric)->kind != FLO_METRIC_HISTOGRAM) {
            continue;
        }
        if (!json_is_string(value)) {
            return flo_fail(err, FLO_E_MQTT_SCHEMA, "histograms.%s is no text", word);
        }
        rv = flo_histogram_decode(json_string_value(value), json_string_length(value),
                                  &out->histograms[metric], err);
        if (rv < 0) {
            return flo_wrap(err, rv, "histograms.%s", word);
        }
        out->has[metric] = true;
    }
    return 0;
}

/* Gets the number of parts of a payload.  A payload of version 1 has one model
 * and no list. */
int flo_telemetry_parts(const json_t *json, size_t *out, struct flo_err *err)
{
    json_t *models = NULL;

    FLO_TRY(flo_json_opt_array(json, "models", FLO_TELEMETRY_PARTS_MAX, &models, err));
    for (size_t i = 0; i < json_array_size(models); i++) {
        if (!json_is_object(json_array_get(models, i))) {
            return flo_fail(err, FLO_E_MQTT_SCHEMA, "models[%zu] is no object", i);
        }
    }
    *out = json_array_size(models) > 0 ? json_array_size(models) : 1;
    return 0;
}

static int read_model(const json_t *json, struct flo_telemetry_window *out, struct flo_err *err)
{
    const char *model;
    const char *version;
    const char *variant;

    FLO_TRY(flo_json_opt_name(json, "model", "", &model, err));
    FLO_TRY(flo_json_opt_name(json, "version", "", &version, err));
    FLO_TRY(flo_json_opt_name(json, "variant", "", &variant, err));
    FLO_TRY(flo_json_opt_digest(json, "release", &out->release, err));
    FLO_TRY(read_numbers(json, "counters", FLO_METRIC_COUNTER, out, err));
    FLO_TRY(read_numbers(json, "gauges", FLO_METRIC_GAUGE, out, err));
    FLO_TRY(read_histograms(json, out, err));
    snprintf(out->model, sizeof(out->model), "%s", model);
    snprintf(out->version, sizeof(out->version), "%s", version);
    snprintf(out->variant, sizeof(out->variant), "%s", variant);
    return 0;
}

int flo_telemetry_parse(const json_t *json, size_t part, struct flo_telemetry_window *out,
                        struct flo_err *err)
{
    const json_t *model = json_array_get(json_object_get(json, "models"), part);

    assert(out->histograms != NULL);
    memset(out->has, 0, sizeof(out->has));
    out->part = part;
    FLO_TRY(flo_json_opt_u64(json, "seq", 0, VALUE_MAX, 0, &out->seq, err));
    FLO_TRY(flo_json_opt_u64(json, "at_ms", 0, VALUE_MAX, 0, &out->at_ms, err));
    FLO_TRY(flo_json_opt_u64(json, "window_ms", 0, FLO_TELEMETRY_WINDOW_MS_MAX, 0, &out->window_ms,
                             err));
    if (model != NULL) {
        FLO_TRY(read_numbers(json, "gauges", FLO_METRIC_GAUGE, out, err));
    }
    return read_model(model != NULL ? model : json, out, err);
}

/* ---- a query ---- */

static int read_by(const json_t *json, struct flo_telemetry_query *out, struct flo_err *err)
{
    json_t *by;
    json_t *word;
    size_t i;

    FLO_TRY(flo_json_opt_array(json, "by", 5, &by, err));
    json_array_foreach(by, i, word)
    {
        const char *text = json_is_string(word) ? json_string_value(word) : "";
        if (strcmp(text, "release") == 0) {
            out->by_release = true;
        } else if (strcmp(text, "model") == 0) {
            out->by_model = true;
        } else if (strcmp(text, "device") == 0) {
            out->by_device = true;
        } else if (strcmp(text, "hardware") == 0) {
            out->by_hardware = true;
        } else if (strcmp(text, "variant") == 0) {
            out->by_variant = true;
        } else {
            return flo_fail(err, FLO_E_REST_SCHEMA,
                            "by[%zu]: release, model, variant, hardware or device "
                            "belongs here",
                            i);
        }
    }
    if (out->by_device && out->by_hardware) {
        return flo_fail(err, FLO_E_REST_MEANING,
                        "by: hardware is kept of totals, not of each device");
    }
    return 0;
}

static int read_quantiles(const json_t *json, struct flo_telemetry_query *out, struct flo_err *err)
{
    static const double standard[] = {0.5, 0.95};
    json_t *quantiles;
    json_t *value;
    size_t i;

    FLO_TRY(flo_json_opt_array(json, "quantiles", FLO_QUANTILES_MAX, &quantiles, err));
    if (quantiles == NULL) {
        memcpy(out->quantiles, standard, sizeof(standard));
        out->quantile_count = FLO_COUNT(standard);
        return 0;
    }
    json_array_foreach(quantiles, i, value)
    {
        double q = json_number_value(value);
        if (!json_is_number(value) || !(q > 0 && q <= 1)) {
            return flo_fail(err, FLO_E_REST_SCHEMA,
                            "quantiles[%zu]: a number above 0, up to 1 belongs "
                            "here",
                            i);
        }
        out->quantiles[i] = q;
    }
    out->quantile_count = json_array_size(quantiles);
    return 0;
}

int flo_telemetry_query_parse(const json_t *json, struct flo_telemetry_query *out,
                              struct flo_err *err)
{
    const char *word;
    const char *model;

    *out = (struct flo_telemetry_query){0};
    FLO_TRY(flo_json_get_text(json, "metric", 64, &word, err));
    FLO_TRY(flo_json_opt_u64(json, "since_ms", 1000, FLO_TELEMETRY_COARSE_LIFE_MS, 600000,
                             &out->since_ms, err));
    FLO_TRY(flo_json_opt_u64(json, "step_ms", FLO_TELEMETRY_FINE_MS, FLO_TELEMETRY_COARSE_LIFE_MS,
                             FLO_TELEMETRY_FINE_MS, &out->step_ms, err));
    FLO_TRY(flo_json_opt_name(json, "model", "", &model, err));
    FLO_TRY(read_by(json, out, err));
    FLO_TRY(read_quantiles(json, out, err));
    if (!flo_metric_parse(word, &out->metric)) {
        flo_fail(err, FLO_E_REST_SCHEMA, "metric: `%.64s` is not known", word);
        return flo_err_fix(err, "ttft_us, errors …: docs/reference/metrics.md");
    }
    snprintf(out->model, sizeof(out->model), "%s", model);
    out->step_ms -= out->step_ms % FLO_TELEMETRY_FINE_MS;
    return 0;
}

uint64_t flo_telemetry_resolution(const struct flo_telemetry_query *query)
{
    uint64_t fine_ms = query->by_device ? FLO_TELEMETRY_DEVICE_FINE_MS : FLO_TELEMETRY_FINE_MS;
    uint64_t coarse_ms =
        query->by_device ? FLO_TELEMETRY_DEVICE_COARSE_MS : FLO_TELEMETRY_COARSE_MS;

    return query->since_ms <= FLO_TELEMETRY_FINE_LIFE_MS && query->step_ms < coarse_ms ? fine_ms
                                                                                       : coarse_ms;
}

/* ---- hardware ---- */

/* Tells whether a word contains only allowed characters, because a device may
 * send any text. */
static bool is_word(const char *text)
{
    return text != NULL && text[0] != '\0' && strlen(text) <= 16 &&
           strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_-") == strlen(text);
}

void flo_hardware_class_of(const char *arch, const char *kernel, double memory, char *out)
{
    unsigned long long mib = 256;

    if (!is_word(arch)) {
        snprintf(out, FLO_HARDWARE_TEXT, "unknown");
        return;
    }
    while (mib < 1 << 20 && (double)(mib << 20) < memory) {
        mib *= 2;
    }
    snprintf(out, FLO_HARDWARE_TEXT, "%s %s %llu%c", arch, is_word(kernel) ? kernel : "plain",
             mib < 1024 ? mib : mib >> 10, mib < 1024 ? 'm' : 'g');
}

void flo_hardware_class(const json_t *profile, char *out)
{
    flo_hardware_class_of(json_string_value(json_object_get(profile, "arch")),
                          json_string_value(json_object_get(profile, "kernel")),
                          (double)json_integer_value(json_object_get(profile, "memory_bytes")),
                          out);
}

/* ---- folding ---- */

static json_t *quantile_point(const struct flo_telemetry_fold *fold)
{
    json_t *point = json_array();

    assert(fold->query->quantile_count <= FLO_QUANTILES_MAX);
    json_array_append_new(point, json_integer((json_int_t)fold->step_at_ms));
    json_array_append_new(point, json_integer((json_int_t)fold->count));
    for (size_t i = 0; i < fold->query->quantile_count; i++) {
        json_array_append_new(point, json_integer((json_int_t)flo_histogram_quantile(
                                         fold->step_histogram, fold->query->quantiles[i])));
    }
    return point;
}

static void step_end(struct flo_telemetry_fold *fold)
{
    if (!fold->has_step) {
        return;
    }
    fold->has_step = false;
    if (fold->points_held >= FLO_TELEMETRY_POINTS_MAX) {
        return;
    }
    fold->points_held++;
    switch (flo_metric_fact(fold->query->metric)->kind) {
    case FLO_METRIC_HISTOGRAM:
        json_array_append_new(fold->points, quantile_point(fold));
        flo_histogram_merge(fold->series_histogram, fold->step_histogram);
        break;
    case FLO_METRIC_GAUGE:
        json_array_append_new(
            fold->points, json_pack("[I,I,I,f,I]", (json_int_t)fold->step_at_ms,
                                    (json_int_t)fold->count, (json_int_t)fold->min,
                                    fold->count > 0 ? (double)fold->sum / (double)fold->count : 0.0,
                                    (json_int_t)fold->max));
        break;
    case FLO_METRIC_COUNTER:
        json_array_append_new(
            fold->points, json_pack("[I,I]", (json_int_t)fold->step_at_ms, (json_int_t)fold->sum));
        break;
    }
}

static void series_end(struct flo_telemetry_fold *fold)
{
    if (fold->points == NULL) {
        return;
    }
    step_end(fold);
    json_t *key = json_object();
    if (fold->query->by_release) {
        json_object_set_new(key, "release", json_string(fold->release));
    }
    if (fold->query->by_release || fold->query->by_model) {
        json_object_set_new(key, "model", json_string(fold->model));
    }
    if (fold->query->by_variant) {
        json_object_set_new(key, "variant", json_string(fold->variant));
    }
    if (fold->query->by_device) {
        json_object_set_new(key, "device", json_string(fold->device));
    }
    if (fold->query->by_hardware) {
        json_object_set_new(key, "hardware", json_string(fold->hardware));
    }
    json_t *series = json_object();
    json_object_set_new(series, "key", key);
    json_object_set_new(series, "points", fold->points);
    json_object_set_new(series, "count", json_integer((json_int_t)fold->series_count));
    if (flo_metric_fact(fold->query->metric)->kind == FLO_METRIC_HISTOGRAM) {
        json_t *quantiles = json_object();
        for (size_t i = 0; i < fold->query->quantile_count; i++) {
            char name[32];
            snprintf(name, sizeof(name), "%g", fold->query->quantiles[i]);
            json_object_set_new(quantiles, name,
                                json_integer((json_int_t)flo_histogram_quantile(
                                    fold->series_histogram, fold->query->quantiles[i])));
        }
        json_object_set_new(series, "quantiles", quantiles);
    } else {
        json_object_set_new(series, "sum", json_integer((json_int_t)fold->series_sum));
    }
    json_array_append_new(fold->series, series);
    fold->points = NULL;
}

static void series_begin(struct flo_telemetry_fold *fold, const struct flo_telemetry_row *row)
{
    assert(fold->points == NULL);
    snprintf(fold->release, sizeof(fold->release), "%s", row->release);
    snprintf(fold->device, sizeof(fold->device), "%s", row->device);
    snprintf(fold->hardware, sizeof(fold->hardware), "%s", row->hardware);
    snprintf(fold->variant, sizeof(fold->variant), "%s", row->variant);
    snprintf(fold->model, sizeof(fold->model), "%s", row->model);
    fold->points = json_array();
    fold->series_count = 0;
    fold->series_sum = 0;
    memset(fold->series_histogram, 0, sizeof(*fold->series_histogram));
}

static void step_begin(struct flo_telemetry_fold *fold, uint64_t at_ms,
                       const struct flo_telemetry_row *row)
{
    assert(at_ms % fold->query->step_ms == 0);
    fold->has_step = true;
    fold->step_at_ms = at_ms;
    fold->count = 0;
    fold->sum = 0;
    fold->min = row->min;
    fold->max = row->max;
    memset(fold->step_histogram, 0, sizeof(*fold->step_histogram));
}

void flo_telemetry_fold_add(struct flo_telemetry_fold *fold, const struct flo_telemetry_row *row)
{
    uint64_t at_ms = row->at_ms - row->at_ms % fold->query->step_ms;

    assert(fold->query != NULL && fold->query->step_ms > 0);
    if (fold->points == NULL ||
        (fold->query->by_release && strcmp(fold->release, row->release) != 0) ||
        (fold->query->by_model && strcmp(fold->model, row->model) != 0) ||
        (fold->query->by_variant && strcmp(fold->variant, row->variant) != 0) ||
        (fold->query->by_device && strcmp(fold->device, row->device) != 0) ||
        (fold->query->by_hardware && strcmp(fold->hardware, row->hardware) != 0)) {
        series_end(fold);
        series_begin(fold, row);
    }
    if (!fold->has_step || fold->step_at_ms != at_ms) {
        step_end(fold);
        step_begin(fold, at_ms, row);
    }
    fold->count += row->count;
    fold->series_count += row->count;
    fold->sum += row->sum;
    fold->series_sum += row->sum;
    fold->min = row->min < fold->min ? row->min : fold->min;
    fold->max = row->max > fold->max ? row->max : fold->max;
    if (row->histogram != NULL) {
        flo_histogram_merge(fold->step_histogram, row->histogram);
    }
}

void flo_telemetry_fold_end(struct flo_telemetry_fold *fold)
{
    series_end(fold);
}
