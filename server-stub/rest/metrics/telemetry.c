/* Metrics: requests to the models on devices, by release and hardware class. */
#include <stdlib.h>

#include <flotilla/metrics.h>

#include "server-stub/rest/metrics/metrics.h"

static const struct {
    int metric;
    enum flo_exposed exposed;
} rows[] = {{FLO_METRIC_NAME_TTFT, FLO_EXPOSED_TTFT},
            {FLO_METRIC_NAME_TOKEN, FLO_EXPOSED_TOKEN},
            {FLO_METRIC_NAME_REQUEST, FLO_EXPOSED_REQUEST},
            {FLO_METRIC_NAME_QUEUE, FLO_EXPOSED_QUEUE},
            {FLO_METRIC_NAME_BATCH_TOKEN, FLO_EXPOSED_BATCH_TOKEN},
            {FLO_METRIC_NAME_REQUESTS, FLO_EXPOSED_REQUESTS},
            {FLO_METRIC_NAME_ERRORS, FLO_EXPOSED_ERRORS},
            {FLO_METRIC_NAME_AWAY_FAILED, FLO_EXPOSED_AWAY_FAILED},
            {FLO_METRIC_NAME_TOKENS_IN, FLO_EXPOSED_TOKENS_IN},
            {FLO_METRIC_NAME_TOKENS_OUT, FLO_EXPOSED_TOKENS_OUT},
            {FLO_METRIC_NAME_ENGINE_RESTARTS, FLO_EXPOSED_ENGINE_RESTARTS},
            {FLO_METRIC_NAME_LOST, FLO_EXPOSED_WINDOWS_LOST},
            {FLO_METRIC_NAME_MESSAGES_REFUSED, FLO_EXPOSED_MESSAGES_REFUSED},
            {FLO_METRIC_NAME_CLIENTS_REFUSED, FLO_EXPOSED_CLIENTS_REFUSED}};

/* Converts times in microseconds to a summary in seconds. */
static struct flo_summary summary_of(const struct flo_counters_time *time)
{
    struct flo_summary summary = {.has_quantiles = time->recent > 0,
                                  .sum = (double)time->sum / 1e6,
                                  .count = (double)time->count};

    for (size_t i = 0; i < FLO_EXPOSED_QUANTILES; i++) {
        summary.quantiles[i] = (double)time->quantiles[i] / 1e6;
    }
    return summary;
}

/* Adds the requests that left devices, by reason.  Most fleets have none, so a
 * count of 0 adds no series. */
static void add_away(struct flo_samples *samples, const struct flo_counters_line *line)
{
    static const struct {
        int metric;
        const char *reason;
    } away[] = {{FLO_METRIC_NAME_AWAY_DOWN, "down"},   {FLO_METRIC_NAME_AWAY_LOADING, "loading"},
                {FLO_METRIC_NAME_AWAY_QUEUE, "queue"}, {FLO_METRIC_NAME_AWAY_LONG, "long"},
                {FLO_METRIC_NAME_AWAY_FORM, "form"},   {FLO_METRIC_NAME_AWAY_APP, "app"}};

    for (size_t i = 0; i < FLO_COUNT(away); i++) {
        const char *const labels[] = {line->release, line->hardware, away[i].reason};
        uint64_t count = line->counters[away[i].metric];

        if (count > 0) {
            flo_samples_add(samples, FLO_EXPOSED_AWAY, labels, (double)count);
        }
    }
}

static void add_line(struct flo_samples *samples, const struct flo_counters_line *line)
{
    const char *const labels[] = {line->release, line->hardware};

    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        if (flo_exposed_fact(rows[i].exposed)->type == FLO_EXPOSED_TYPE_SUMMARY) {
            struct flo_summary summary = summary_of(&line->times[rows[i].metric]);
            flo_samples_add_summary(samples, rows[i].exposed, labels, &summary);
        } else {
            flo_samples_add(samples, rows[i].exposed, labels,
                            (double)line->counters[rows[i].metric]);
        }
    }
    add_away(samples, line);
}

static void add_trends(struct flo_samples *samples, const struct flo_trend_line *line)
{
    const char *class[] = {line->hardware};

    for (int i = 0; i < FLO_TREND_COUNT; i++) {
        const struct flo_trend_fact *fact = flo_trend_fact((enum flo_trend_kind)i);
        const struct flo_trend_sum *sum = &line->kinds[i];
        const char *const labels[] = {line->hardware, fact->word};
        if (sum->known == 0) {
            continue;
        }
        flo_samples_add(samples, FLO_EXPOSED_TREND_DEVICES, labels, sum->there);
        flo_samples_add(samples, FLO_EXPOSED_TREND_KNOWN, labels, sum->known);
        flo_samples_add(samples, FLO_EXPOSED_TREND_SLOPE, labels,
                        i == FLO_TREND_HEATING ? sum->slope / 1000 : sum->slope);
    }
    if (line->full_s > 0) {
        flo_samples_add(samples, FLO_EXPOSED_DISK_FULL, class, line->full_s);
    }
}

void flo_metrics_telemetry(const struct flo_controller *controller, struct flo_samples *samples)
{
    size_t count;
    struct flo_counters_line *lines =
        flo_counters_read(flo_lane_counters(controller->lane), flo_now_ms(), &count);

    for (size_t i = 0; i < count; i++) {
        add_line(samples, &lines[i]);
    }
    free(lines);
    struct flo_trend_line *trends =
        flo_trends_read(flo_lane_trends(controller->lane), flo_wall_ms(), &count);
    for (size_t i = 0; i < count; i++) {
        add_trends(samples, &trends[i]);
    }
    free(trends);
}
