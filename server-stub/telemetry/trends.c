/* Trends: adds telemetry windows of devices to their trends, and sums them by
 * class; see trends.h. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "server-stub/store/ids.h"
#include "server-stub/telemetry/trends.h"

#define LAST (FLO_TREND_LINES_MAX - 1) /* index of a class that all further classes share */

struct item {
    struct flo_trend trends[FLO_TREND_COUNT];
    /* findings of each trend, as of its newest point */
    struct flo_trend_finding found[FLO_TREND_COUNT];
    uint64_t found_at_ms[FLO_TREND_COUNT];
    uint16_t class; /* index of the hardware class + 1; 0: no telemetry window
                       since the start */
    bool is_dirty;
    bool is_gone; /* the device was retired, and its row must be deleted */
};
struct flo_trends {
    pthread_mutex_t mutex; /* guards all members except the store */
    struct flo_windows *store;
    struct flo_ids ids;
    struct item *items; /* by number */
    size_t capacity, saved;
    bool is_handed;                     /* rows are handed to the next leader, and not stored */
    char (*classes)[FLO_HARDWARE_TEXT]; /* [FLO_TREND_LINES_MAX] */
    size_t class_count;
};

/* Returns the device's item, which is added if missing; NULL: no memory. */
static struct item *item_of(struct flo_trends *trends, const char *device)
{
    size_t number = flo_ids_keep(&trends->ids, device);

    if (number == SIZE_MAX) {
        return NULL;
    }
    if (number >= trends->capacity) {
        size_t capacity = 2 * number + 64;
        struct item *items = realloc(trends->items, capacity * sizeof(*trends->items));
        if (items == NULL) {
            return NULL;
        }
        memset(items + trends->capacity, 0, (capacity - trends->capacity) * sizeof(*items));
        trends->items = items;
        trends->capacity = capacity;
    }
    return &trends->items[number];
}

/* Finds the index of a class that no device has any more.  LAST: there is
 * none. */
static size_t unused_class(const struct flo_trends *trends)
{
    bool used[FLO_TREND_LINES_MAX + 1] = {false};
    size_t i = 0;

    for (size_t number = 0; number < trends->capacity; number++) {
        used[trends->items[number].class] = true;
    }
    while (i < LAST && used[i + 1]) {
        i++;
    }
    return i;
}

/* Puts a device into its hardware class.  When there are too many classes,
 * further ones share the last index. */
static void take_class(struct flo_trends *trends, struct item *item, const char *hardware)
{
    size_t i = 0;

    item->class = 0; /* The device leaves the class that it had before. */
    while (i < trends->class_count && strcmp(trends->classes[i], hardware) != 0) {
        i++;
    }
    if (i >= LAST) {
        i = unused_class(trends);
        hardware = i == LAST ? "other" : hardware;
    }
    snprintf(trends->classes[i], sizeof(trends->classes[i]), "%s", hardware);
    trends->class_count = i < trends->class_count ? trends->class_count : i + 1;
    item->class = (uint16_t)(i + 1);
}

static void judge(struct item *item, enum flo_trend_kind kind, uint64_t now_ms)
{
    flo_trend_judge(&item->trends[kind], kind, now_ms, &item->found[kind]);
    item->found_at_ms[kind] = now_ms;
}

static int take_over(struct flo_trends *trends, const char *device, const void *data, size_t bytes)
{
    struct item *item;

    if ((item = item_of(trends, device)) == NULL) {
        return FLO_E_MEMORY;
    }
    if (!flo_trend_unpack(data, bytes, item->trends)) {
        flo_log(FLO_LOG_WARN, "telemetry", "the trends of %s cannot be read and begin again",
                device);
        return 0;
    }
    for (int kind = 0; kind < FLO_TREND_COUNT; kind++) {
        judge(item, (enum flo_trend_kind)kind, flo_wall_ms());
    }
    return 0;
}

static int load_row(void *context, const char *device, const char *model, const void *data,
                    size_t bytes)
{
    return model[0] != '\0' ? 0 : take_over(context, device, data, bytes);
}

int flo_trends_open(struct flo_windows *store, struct flo_trends **out, struct flo_err *err)
{
    struct flo_trends *trends = calloc(1, sizeof(*trends));

    if (trends == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "trends");
    }
    pthread_mutex_init(&trends->mutex, NULL);
    trends->store = store;
    trends->classes = calloc(FLO_TREND_LINES_MAX, sizeof(*trends->classes));
    int rv = trends->classes == NULL ? flo_fail(err, FLO_E_MEMORY, "trends")
                                     : flo_windows_observed_list(store, load_row, trends, err);
    if (rv < 0) {
        flo_trends_close(trends);
        return rv;
    }
    *out = trends;
    return 0;
}

void flo_trends_close(struct flo_trends *trends)
{
    if (trends != NULL) {
        pthread_mutex_destroy(&trends->mutex);
        flo_ids_deinit(&trends->ids);
        free(trends->items);
        free(trends->classes);
        free(trends);
    }
}

/* ---- windows ---- */

void flo_trends_take(struct flo_trends *trends, const char *device, const char *hardware,
                     const struct flo_telemetry_window *window, uint64_t now_ms)
{
    pthread_mutex_lock(&trends->mutex);
    struct item *item = item_of(trends, device);
    if (item != NULL && hardware[0] != '\0') {
        take_class(trends, item, hardware);
    }
    if (item != NULL) {
        item->is_gone = false;
    }
    for (int i = 0; i < FLO_TREND_COUNT && item != NULL; i++) {
        enum flo_trend_kind kind = (enum flo_trend_kind)i;
        int metric = flo_trend_fact(kind)->metric;
        /* A counter that the telemetry window lacks did not change, so it
         * counts as 0. */
        bool is_counter = flo_metric_fact(metric)->kind == FLO_METRIC_COUNTER;
        double value = window->has[metric] ? (double)window->values[metric] : 0;
        if ((window->has[metric] || is_counter) &&
            flo_trend_add(&item->trends[kind], kind, value, window->window_ms, now_ms)) {
            judge(item, kind, now_ms);
            item->is_dirty = true;
        }
    }
    pthread_mutex_unlock(&trends->mutex);
}

void flo_trends_forget(struct flo_trends *trends, const char *device)
{
    pthread_mutex_lock(&trends->mutex);
    size_t number = flo_ids_find(&trends->ids, device);
    if (number != SIZE_MAX && number < trends->capacity) {
        trends->items[number] = (struct item){.is_dirty = trends->is_handed, .is_gone = true};
    }
    pthread_mutex_unlock(&trends->mutex);
}

static int store_item(struct flo_trends *trends, size_t number, struct flo_err *err)
{
    uint8_t data[FLO_TREND_BYTES_MAX];
    size_t bytes = flo_trend_pack(trends->items[number].trends, data);

    return flo_windows_observed_put(trends->store, trends->ids.items[number], "", data, bytes, err);
}

void flo_trends_store(struct flo_trends *trends, size_t most)
{
    struct flo_err err = {0};
    size_t stored = 0;
    int rv = 0;

    if (trends->is_handed) {
        return;
    }
    pthread_mutex_lock(&trends->mutex);
    size_t count = trends->ids.count < trends->capacity ? trends->ids.count : trends->capacity;
    for (size_t seen = 0; seen < count && stored < most && rv == 0; seen++) {
        size_t number = trends->saved++ % count;
        if (!trends->items[number].is_dirty) {
            continue;
        }
        rv = stored++ == 0 ? flo_windows_begin(trends->store, &err) : 0;
        if (rv == 0) {
            rv = store_item(trends, number, &err);
        }
        trends->items[number].is_dirty = rv < 0;
    }
    pthread_mutex_unlock(&trends->mutex);
    if (stored > 0 && rv == 0) {
        rv = flo_windows_commit(trends->store, &err);
    } else if (rv < 0) {
        flo_windows_roll_back(trends->store);
    }
    if (rv < 0) {
        flo_log_err(FLO_LOG_ERROR, "telemetry", &err);
    }
}

/* ---- handed on ---- */

void flo_trends_empty(struct flo_trends *trends)
{
    pthread_mutex_lock(&trends->mutex);
    flo_ids_deinit(&trends->ids);
    free(trends->items);
    trends->ids = (struct flo_ids){0};
    trends->items = NULL;
    trends->capacity = trends->saved = 0;
    pthread_mutex_unlock(&trends->mutex);
}

int flo_trends_take_over(struct flo_trends *trends, const char *device, const void *data,
                         size_t bytes)
{
    pthread_mutex_lock(&trends->mutex);
    int rv = take_over(trends, device, data, bytes);
    pthread_mutex_unlock(&trends->mutex);
    return rv;
}

void flo_trends_hand_on(struct flo_trends *trends, bool is_all)
{
    pthread_mutex_lock(&trends->mutex);
    trends->is_handed = true;
    for (size_t i = 0; i < trends->capacity && i < trends->ids.count; i++) {
        trends->items[i].is_dirty = is_all || trends->items[i].is_dirty;
    }
    pthread_mutex_unlock(&trends->mutex);
}

size_t flo_trends_give(struct flo_trends *trends, size_t most, flo_give_fn give, void *context)
{
    uint8_t data[FLO_TREND_BYTES_MAX];
    size_t given = 0;

    pthread_mutex_lock(&trends->mutex);
    size_t count = trends->ids.count < trends->capacity ? trends->ids.count : trends->capacity;
    for (size_t seen = 0; seen < count && given < most; seen++) {
        size_t number = trends->saved++ % count;
        struct item *item = &trends->items[number];
        if (item->is_dirty) {
            size_t bytes = item->is_gone ? 0 : flo_trend_pack(item->trends, data);
            item->is_dirty = false;
            give(context, trends->ids.items[number], "", data, bytes);
            given++;
        }
    }
    pthread_mutex_unlock(&trends->mutex);
    return given;
}

/* ---- reading ---- */

/* Tells whether the points of a trend are recent.  Those of a device that sends
 * nothing become outdated. */
static bool is_fresh(const struct item *item, enum flo_trend_kind kind, uint64_t now_ms)
{
    return item->found[kind].is_known &&
           now_ms < item->found_at_ms[kind] + 2 * flo_trend_fact(kind)->span_ms;
}

/* Sums one kind of trend over the devices of one hardware class.  `slopes` has
 * room for the slopes of all devices. */
static void sum_up(const struct flo_trends *trends, size_t count, size_t class,
                   enum flo_trend_kind kind, uint64_t now_ms, double *slopes,
                   struct flo_trend_line *line)
{
    struct flo_trend_sum *sum = &line->kinds[kind];

    for (size_t i = 0; i < count; i++) {
        const struct item *item = &trends->items[i];
        const struct flo_trend_finding *found = &item->found[kind];
        if (item->class != class + 1 || !is_fresh(item, kind, now_ms)) {
            continue;
        }
        slopes[sum->known++] = found->slope;
        sum->there += found->is_there ? 1 : 0;
        if (found->is_there && found->full_s > 0 &&
            (line->full_s <= 0 || found->full_s < line->full_s)) {
            line->full_s = found->full_s;
        }
    }
    if (sum->known > 0) {
        sum->slope = flo_trend_median(slopes, sum->known);
    }
}

struct flo_trend_line *flo_trends_read(struct flo_trends *trends, uint64_t now_ms, size_t *count)
{
    pthread_mutex_lock(&trends->mutex);
    size_t devices = trends->ids.count < trends->capacity ? trends->ids.count : trends->capacity;
    double *slopes = calloc(devices + 1, sizeof(*slopes));
    struct flo_trend_line *lines = trends->class_count > 0 && slopes != NULL
                                       ? calloc(trends->class_count, sizeof(*lines))
                                       : NULL;
    *count = lines != NULL ? trends->class_count : 0;
    for (size_t i = 0; i < *count; i++) {
        memcpy(lines[i].hardware, trends->classes[i], sizeof(lines[i].hardware));
        for (int kind = 0; kind < FLO_TREND_COUNT; kind++) {
            sum_up(trends, devices, i, (enum flo_trend_kind)kind, now_ms, slopes, &lines[i]);
        }
    }
    pthread_mutex_unlock(&trends->mutex);
    free(slopes);
    return lines;
}
