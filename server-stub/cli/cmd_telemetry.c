/* Commands about measurements, which print a row for each series. */
#include <string.h>

#include <flotilla/metrics.h>
#include <flotilla/proto.h>

#include "server-stub/cli/cli.h"

struct query {
    const char *metric, *by;
    bool is_sheet;    /* plain numbers */
    const json_t *of; /* list of devices or of releases in which the names for
                         the series are found */
    /* series with the numbers of requests, by which the rate of errors is
     * computed */
    const json_t *requests;
};

/* Formats a value by the metric's unit, such as "304 KiB", "12.5 ms" or "48.0
 * °C". */
static json_t *value_of(const struct query *query, double value)
{
    const char *metric = query->metric;
    char text[32];

    if (query->is_sheet) {
        return json_real(value);
    }
    if (strstr(metric, "_bytes") != NULL) {
        flo_out_bytes(value > 0 ? (uint64_t)value : 0, text);
    } else if (strstr(metric, "_us") != NULL) {
        snprintf(text, sizeof(text), "%.1f ms", value / 1000);
    } else if (strstr(metric, "_mc") != NULL) {
        snprintf(text, sizeof(text), "%.1f °C", value / 1000);
    } else {
        snprintf(text, sizeof(text), "%.0f", value);
    }
    return json_string(text);
}

/* Returns the name that belongs to a device's id or a release's digest. */
static const char *name_of(const json_t *items, const char *key, const char *value)
{
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *item = json_array_get(items, i);
        if (strcmp(flo_out_text(item, key, ""), value) == 0) {
            return flo_out_text(item, "name", value);
        }
    }
    return value;
}

static void add_histogram(const struct query *query, const json_t *series, json_t *row)
{
    static const char *const names[][2] = {{"0.5", "p50"}, {"0.95", "p95"}, {"0.99", "p99"}};
    const json_t *quantiles = json_object_get(series, "quantiles");

    json_object_set(row, "count", json_object_get(series, "count"));
    for (size_t q = 0; q < FLO_COUNT(names); q++) {
        json_object_set_new(
            row, names[q][1],
            value_of(query, json_number_value(json_object_get(quantiles, names[q][0]))));
    }
}

/* Adds the columns of a gauge to a row.  The gauge's points are [at, n, least,
 * mean, most]. */
static void add_gauge(const struct query *query, const json_t *series, json_t *row)
{
    const json_t *points = json_object_get(series, "points");
    double low = 0, sum = 0, high = 0, count = 0;

    for (size_t i = 0; i < json_array_size(points); i++) {
        const json_t *point = json_array_get(points, i);
        double n = json_number_value(json_array_get(point, 1));
        double least = json_number_value(json_array_get(point, 2));
        double most = json_number_value(json_array_get(point, 4));
        if (n > 0) {
            low = count == 0 || least < low ? least : low;
            high = count == 0 || most > high ? most : high;
            sum += n * json_number_value(json_array_get(point, 3));
            count += n;
        }
    }
    json_object_set_new(row, "count", json_integer((json_int_t)count));
    json_object_set_new(row, "least", value_of(query, low));
    json_object_set_new(row, "mean", value_of(query, count > 0 ? sum / count : 0));
    json_object_set_new(row, "most", value_of(query, high));
}

/* Adds the rate of errors to a row, by the number of requests of the series. */
static void add_rate(const struct query *query, const char *key, uint64_t errors, json_t *row)
{
    const json_t *list = json_object_get(query->requests, "series");
    size_t i;
    json_t *series;
    char text[64];

    json_array_foreach(list, i, series)
    {
        uint64_t all = flo_out_u64(series, "sum");
        if (strcmp(flo_out_text(json_object_get(series, "key"), query->by, "?"), key) == 0 &&
            all > 0) {
            snprintf(text, sizeof(text), "%.2f %% of %llu", 100.0 * (double)errors / (double)all,
                     (unsigned long long)all);
            json_object_set_new(row, "of_requests", json_string(text));
        }
    }
}

static json_t *row_of(const struct query *query, const json_t *series, enum flo_metric_kind kind)
{
    const char *key = flo_out_text(json_object_get(series, "key"), query->by, "?");
    bool is_device = strcmp(query->by, "device") == 0;
    json_t *row = json_pack("{s:s}", "name", name_of(query->of, is_device ? "id" : "digest", key));

    if (kind == FLO_METRIC_HISTOGRAM) {
        add_histogram(query, series, row);
    } else if (kind == FLO_METRIC_GAUGE) {
        add_gauge(query, series, row);
    } else {
        uint64_t sum = flo_out_u64(series, "sum");
        json_object_set(row, "count", json_object_get(series, "count"));
        json_object_set_new(row, "sum", value_of(query, (double)sum));
        add_rate(query, key, sum, row);
    }
    return row;
}

static void show(const struct flo_cli *cli, const struct query *query, const json_t *answer)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *rows = json_array();
    int which = FLO_METRIC_COUNT;
    size_t i;
    json_t *series;

    flo_metric_parse(query->metric, &which);
    enum flo_metric_kind kind =
        which < FLO_METRIC_COUNT ? flo_metric_fact(which)->kind : FLO_METRIC_HISTOGRAM;
    json_array_foreach(json_object_get(answer, "series"), i, series)
    {
        json_array_append_new(rows, row_of(query, series, kind));
    }
    if (kind == FLO_METRIC_HISTOGRAM) {
        flo_out_table(cli, rows, FLO_COLUMNS(series_quantiles));
    } else if (kind == FLO_METRIC_GAUGE) {
        flo_out_table(cli, rows, FLO_COLUMNS(series_gauge));
    } else {
        flo_out_table(cli, rows, FLO_COLUMNS(series_sum));
    }
}

static json_t *body_of(const struct flo_args *args, const char *metric, const char *by,
                       struct flo_err *err)
{
    const char *model = flo_args_text(args, "model", "");
    uint64_t since, step;
    int rv = flo_args_ms(args, "since", 600000, &since, err);

    /* A list by device has steps of 5 min, which keep the answer small for
     * 10,000 devices. */
    if (rv == 0) {
        rv = flo_args_ms(args, "step", strcmp(by, "device") == 0 ? 300000 : 10000, &step, err);
    }
    if (rv < 0) {
        return NULL;
    }
    json_t *body =
        json_pack("{s:s,s:[s],s:I,s:I,s:[f,f,f]}", "metric", metric, "by", by, "since_ms",
                  (json_int_t)since, "step_ms", (json_int_t)step, "quantiles", 0.5, 0.95, 0.99);
    flo_json_put_text(body, "model", model);
    return body;
}

int flo_cmd_telemetry_query(struct flo_cli *cli, struct flo_err *err)
{
    struct query query = {.metric = cli->args.words[0],
                          .by = flo_args_text(&cli->args, "by", "release"),
                          .is_sheet = flo_out_is_data(cli)};
    FLO_CLEANUP(flo_json_cleanup)
    json_t *body = body_of(&cli->args, query.metric, query.by, err);
    FLO_CLEANUP(flo_json_cleanup) json_t *answer = NULL;
    FLO_CLEANUP(flo_json_cleanup) json_t *names = NULL;
    FLO_CLEANUP(flo_json_cleanup) json_t *requests = NULL;
    enum flo_out_form form = flo_out_form(cli);

    if (body == NULL) {
        return err->code;
    }
    FLO_TRY(flo_api_call(cli, "POST", "/v1/telemetry/query", body, &answer, err));
    FLO_TRY(flo_api_check_model(cli, json_object_get(answer, "series"), err));
    if (form != FLO_OUT_CSV && form > FLO_OUT_WIDE) {
        flo_out_json(cli, answer);
        return 0;
    }
    FLO_TRY(flo_api_list(
        cli, strcmp(query.by, "device") == 0 ? "/v1/devices?limit=1000" : "/v1/releases", &names,
        err));
    if (strcmp(query.metric, "errors") == 0) {
        json_object_set_new(body, "metric", json_string("requests"));
        FLO_TRY(flo_api_call(cli, "POST", "/v1/telemetry/query", body, &requests, err));
    }
    query.of = names;
    query.requests = requests;
    show(cli, &query, answer);
    return 0;
}

/* ---- what left the devices ---- */

/* Metrics of the requests that left, with the reason's column. */
static const char *const away[] = {"away_down", "away_loading", "away_queue",
                                   "away_long", "away_form",    "away_app"};

/* Returns the row of a series in `rows`; makes one if there is none. */
static json_t *row_named(json_t *rows, const char *name)
{
    size_t i;
    json_t *row;

    json_array_foreach(rows, i, row)
    {
        if (strcmp(flo_out_text(row, "name", ""), name) == 0) {
            return row;
        }
    }
    row = json_pack("{s:s,s:i,s:i}", "name", name, "requests", 0, "left", 0);
    json_array_append_new(rows, row);
    return row;
}

/* Adds the sums of a metric's series to the rows: below `key`, and to the totals
 * of requests. */
static int add_sums(struct flo_cli *cli, const struct query *query, json_t *body,
                    const char *metric, const char *key, json_t *rows, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *answer = NULL;
    bool has_left = strncmp(metric, "away_", 5) == 0 && strcmp(metric, "away_failed") != 0;
    bool is_device = strcmp(query->by, "device") == 0;
    size_t i;
    json_t *series;

    json_object_set_new(body, "metric", json_string(metric));
    FLO_TRY(flo_api_call(cli, "POST", "/v1/telemetry/query", body, &answer, err));
    json_array_foreach(json_object_get(answer, "series"), i, series)
    {
        const char *of = flo_out_text(json_object_get(series, "key"), query->by, "?");
        json_t *row = row_named(rows, name_of(query->of, is_device ? "id" : "digest", of));
        uint64_t sum = flo_out_u64(series, "sum");

        json_object_set_new(row, key, flo_json_u64(sum));
        if (has_left) {
            flo_json_count(row, "left", sum);
        }
        if (has_left || strcmp(metric, "requests") == 0) {
            flo_json_count(row, "requests", sum);
        }
    }
    return 0;
}

/* Sets the share of the requests that left, as text for a table. */
static void add_share(const struct query *query, json_t *row)
{
    uint64_t all = flo_out_u64(row, "requests");
    double share = all > 0 ? 100.0 * (double)flo_out_u64(row, "left") / (double)all : 0;
    char text[32];

    snprintf(text, sizeof(text), "%.1f %%", share);
    json_object_set_new(row, "share", query->is_sheet ? json_real(share) : json_string(text));
}

int flo_cmd_telemetry_away(struct flo_cli *cli, struct flo_err *err)
{
    struct query query = {.by = flo_args_text(&cli->args, "by", "release"),
                          .is_sheet = flo_out_is_data(cli)};
    FLO_CLEANUP(flo_json_cleanup) json_t *body = body_of(&cli->args, "requests", query.by, err);
    FLO_CLEANUP(flo_json_cleanup) json_t *names = NULL;
    FLO_CLEANUP(flo_json_cleanup) json_t *rows = json_array();
    size_t i;
    json_t *row;

    if (body == NULL) {
        return err->code;
    }
    FLO_TRY(flo_api_list(
        cli, strcmp(query.by, "device") == 0 ? "/v1/devices?limit=1000" : "/v1/releases", &names,
        err));
    query.of = names;
    FLO_TRY(add_sums(cli, &query, body, "requests", "here", rows, err));
    for (size_t k = 0; k < FLO_COUNT(away); k++) {
        FLO_TRY(add_sums(cli, &query, body, away[k], away[k] + 5, rows, err));
    }
    FLO_TRY(add_sums(cli, &query, body, "away_failed", "failed", rows, err));
    FLO_TRY(flo_api_check_model(cli, rows, err));
    json_array_foreach(rows, i, row)
    {
        add_share(&query, row);
    }
    flo_out_table(cli, rows, FLO_COLUMNS(series_away));
    return 0;
}
