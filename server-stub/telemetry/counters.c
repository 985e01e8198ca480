/* Counters: adds up telemetry of the last minutes, by release and hardware
 * class. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/metrics.h>

#include "server-stub/telemetry/counters.h"

#define SPANS 2

struct pair {
    /* release, class and counters, and for each time metric the number of
     * values and their sum */
    struct flo_counters_line sums;
    struct flo_histogram *histograms[SPANS][FLO_METRIC_COUNT]; /* or NULL */
    uint64_t span[SPANS]; /* number of the five-minute period of which each span
                             has the histograms */
    /* name of the only device that reports the pair; "": several devices do */
    char device[FLO_NAME_MAX + 1];
    uint64_t heard_ms;
};

struct flo_counters {
    pthread_mutex_t mutex;
    struct pair *pairs[FLO_COUNTERS_PAIRS_MAX];
    size_t count;
    struct flo_histogram scratch;
};

static void empty(struct pair *pair)
{
    for (size_t k = 0; k < SPANS * FLO_METRIC_COUNT; k++) {
        free(pair->histograms[k / FLO_METRIC_COUNT][k % FLO_METRIC_COUNT]);
    }
    *pair = (struct pair){0};
}

struct flo_counters *flo_counters_new(void)
{
    struct flo_counters *counters = calloc(1, sizeof(*counters));

    if (counters != NULL) {
        pthread_mutex_init(&counters->mutex, NULL);
    }
    return counters;
}

void flo_counters_free(struct flo_counters *counters)
{
    if (counters == NULL) {
        return;
    }
    for (size_t i = 0; i < counters->count; i++) {
        empty(counters->pairs[i]);
        free(counters->pairs[i]);
    }
    pthread_mutex_destroy(&counters->mutex);
    free(counters);
}

static struct pair *find(const struct flo_counters *counters, const char *release,
                         const char *hardware)
{
    for (size_t i = 0; i < counters->count; i++) {
        const struct flo_counters_line *sums = &counters->pairs[i]->sums;
        if (strcmp(sums->release, release) == 0 && strcmp(sums->hardware, hardware) == 0) {
            return counters->pairs[i];
        }
    }
    return NULL;
}

/* Finds the pair whose last report is the oldest.  All pairs are searched, or
 * only those that this device alone reports.  *count receives the number of
 * searched pairs. */
static struct pair *oldest(const struct flo_counters *counters, const char *device_or_null,
                           size_t *count)
{
    struct pair *found = NULL;

    *count = 0;
    for (size_t i = 0; i < counters->count; i++) {
        struct pair *pair = counters->pairs[i];
        if (device_or_null != NULL && strcmp(pair->device, device_or_null) != 0) {
            continue;
        }
        ++*count;
        if (found == NULL || pair->heard_ms < found->heard_ms) {
            found = pair;
        }
    }
    return found;
}

/* NULL without memory. */
static struct pair *place_for(struct flo_counters *counters, const char *device)
{
    size_t count;
    struct pair *pair = oldest(counters, device, &count);

    if (count < FLO_COUNTERS_DEVICE_MAX && counters->count < FLO_COUNTERS_PAIRS_MAX) {
        if ((pair = calloc(1, sizeof(*pair))) != NULL) {
            counters->pairs[counters->count++] = pair;
        }
        return pair;
    }
    if (count < FLO_COUNTERS_DEVICE_MAX) {
        pair = oldest(counters, NULL, &count);
    }
    empty(pair);
    return pair;
}

/* Tells whether another pair has room, or can replace a pair that is no longer
 * reported. */
static bool has_room(const struct flo_counters *counters, uint64_t now_ms)
{
    size_t count;

    return counters->count < FLO_COUNTERS_PAIRS_MAX ||
           oldest(counters, NULL, &count)->heard_ms + SPANS * FLO_COUNTERS_SPAN_MS < now_ms;
}

/* NULL without memory. */
static struct pair *pair_of(struct flo_counters *counters, const char *device, const char *release,
                            const char *hardware, uint64_t now_ms)
{
    struct pair *pair = find(counters, release, hardware);

    if (pair == NULL && !has_room(counters, now_ms)) {
        hardware = FLO_COUNTERS_OTHER;
        pair = find(counters, release, hardware);
    }
    if (pair == NULL && (pair = place_for(counters, device)) != NULL) {
        snprintf(pair->sums.release, sizeof(pair->sums.release), "%s", release);
        snprintf(pair->sums.hardware, sizeof(pair->sums.hardware), "%s", hardware);
        snprintf(pair->device, sizeof(pair->device), "%s", device);
    }
    if (pair != NULL) {
        pair->heard_ms = now_ms;
        if (strcmp(pair->device, device) != 0) {
            pair->device[0] = '\0';
        }
    }
    return pair;
}

/* Gets the histograms of a span.  They are emptied before if they were for an
 * earlier time. */
static struct flo_histogram **span_of(struct pair *pair, uint64_t number)
{
    size_t place = number % SPANS;

    if (pair->span[place] != number) {
        pair->span[place] = number;
        for (size_t i = 0; i < FLO_METRIC_COUNT; i++) {
            if (pair->histograms[place][i] != NULL) {
                *pair->histograms[place][i] = (struct flo_histogram){0};
            }
        }
    }
    return pair->histograms[place];
}

static void add_time(struct pair *pair, size_t metric, const struct flo_histogram *histogram,
                     uint64_t number)
{
    struct flo_histogram **to = &span_of(pair, number)[metric];

    pair->sums.times[metric].count += histogram->count;
    pair->sums.times[metric].sum += histogram->sum;
    if (*to == NULL) {
        *to = calloc(1, sizeof(**to));
    }
    if (*to != NULL) {
        flo_histogram_merge(*to, histogram);
    }
}

void flo_counters_add(struct flo_counters *counters, const char *device, const char *release,
                      const char *hardware, const struct flo_telemetry_window *window,
                      uint64_t now_ms)
{
    pthread_mutex_lock(&counters->mutex);
    struct pair *pair =
        pair_of(counters, device, release[0] != '\0' ? release : "unknown", hardware, now_ms);
    for (size_t i = 0; i < FLO_METRIC_COUNT && pair != NULL; i++) {
        enum flo_metric_kind kind = flo_metric_fact((int)i)->kind;
        if (window->has[i] && kind == FLO_METRIC_COUNTER) {
            pair->sums.counters[i] += (uint64_t)window->values[i];
        } else if (window->has[i] && kind == FLO_METRIC_HISTOGRAM) {
            add_time(pair, i, &window->histograms[i], now_ms / FLO_COUNTERS_SPAN_MS);
        }
    }
    pthread_mutex_unlock(&counters->mutex);
}

/* ---- reading ---- */

static void read_times(struct flo_counters *counters, const struct pair *pair, uint64_t number,
                       struct flo_counters_line *out)
{
    struct flo_histogram *scratch = &counters->scratch;

    for (size_t i = 0; i < FLO_METRIC_COUNT; i++) {
        *scratch = (struct flo_histogram){0};
        for (size_t k = 0; k < SPANS; k++) {
            if (pair->histograms[k][i] != NULL && pair->span[k] + 1 >= number) {
                flo_histogram_merge(scratch, pair->histograms[k][i]);
            }
        }
        out->times[i].recent = scratch->count;
        for (size_t q = 0; q < FLO_EXPOSED_QUANTILES && scratch->count > 0; q++) {
            out->times[i].quantiles[q] = flo_histogram_quantile(scratch, flo_exposed_quantiles[q]);
        }
    }
}

struct flo_counters_line *flo_counters_read(struct flo_counters *counters, uint64_t now_ms,
                                            size_t *count)
{
    struct flo_counters_line *lines = NULL;

    pthread_mutex_lock(&counters->mutex);
    *count = counters->count;
    if (counters->count > 0) {
        lines = calloc(counters->count, sizeof(*lines));
    }
    for (size_t i = 0; i < counters->count && lines != NULL; i++) {
        lines[i] = counters->pairs[i]->sums;
        read_times(counters, counters->pairs[i], now_ms / FLO_COUNTERS_SPAN_MS, &lines[i]);
    }
    pthread_mutex_unlock(&counters->mutex);
    *count = lines != NULL ? *count : 0;
    return lines;
}
