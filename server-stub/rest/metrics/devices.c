/* Metrics: devices, in one pass over the device index. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "server-stub/core/device/condition.h"
#include "server-stub/rest/metrics/metrics.h"
#include "server-stub/store/fleet.h"

#define CLASSES_MAX 64
#define PAIRS_APART (FLO_METRICS_PAIRS_MAX - 128)

/* Durations of silence by which devices are counted. */
static const struct {
    const char *text;
    uint64_t ms;
} unheard[] = {{"15m", UINT64_C(900000)},
               {"1h", UINT64_C(3600000)},
               {"1d", UINT64_C(86400000)},
               {"7d", UINT64_C(604800000)}};

/* Values of devices that are exposed as distributions. */
static const struct {
    enum flo_select_field field;
    enum flo_exposed metric;
} spreads[] = {{FLO_SELECT_RSS, FLO_EXPOSED_DEVICE_MEMORY},
               {FLO_SELECT_TEMPERATURE, FLO_EXPOSED_DEVICE_TEMPERATURE},
               {FLO_SELECT_DISK_FREE, FLO_EXPOSED_DEVICE_DISK}};

struct pair {
    const char *release; /* release, borrowed from the device index during the pass */
    size_t class;
    uint64_t online, offline;
};
struct reading {
    size_t class;
    double values[FLO_COUNT(spreads)];
};
struct pass {
    uint64_t now_ms;
    uint64_t devices, online, drifting, stale, never, maintenance;
    uint64_t unheard[FLO_COUNT(unheard)];
    uint64_t conditions[FLO_CONDITION_COUNT];
    char classes[CLASSES_MAX][FLO_HARDWARE_TEXT];
    size_t class_count;
    struct pair pairs[FLO_METRICS_PAIRS_MAX];
    size_t pair_count;
    struct flo_buf readings; /* a struct reading for each connected device */
};

static size_t class_of(struct pass *pass, const struct flo_select_device *device)
{
    const union flo_select_value *values = device->values;
    char text[FLO_HARDWARE_TEXT];
    size_t i = 0;

    flo_hardware_class_of(values[FLO_SELECT_ARCH].text, values[FLO_SELECT_KERNEL].text,
                          values[FLO_SELECT_MEMORY].number, text);
    while (i < pass->class_count && strcmp(pass->classes[i], text) != 0) {
        i++;
    }
    if (i == CLASSES_MAX) {
        return CLASSES_MAX - 1;
    }
    if (i == pass->class_count) {
        snprintf(pass->classes[i], sizeof(pass->classes[i]), "%s",
                 i == CLASSES_MAX - 1 ? FLO_COUNTERS_OTHER : text);
        pass->class_count++;
    }
    return i;
}

static struct pair *find(struct pass *pass, const char *release, size_t class)
{
    for (size_t i = 0; i < pass->pair_count; i++) {
        if (pass->pairs[i].class == class && strcmp(pass->pairs[i].release, release) == 0) {
            return &pass->pairs[i];
        }
    }
    return NULL;
}

/* Finds the series of a release on a hardware class, or adds it.  Once
 * PAIRS_APART series are used, a further release only gets one series, of class
 * "other".  So 128 more releases have series of their own. */
static struct pair *pair_of(struct pass *pass, const char *release, size_t class)
{
    struct pair *pair = find(pass, release, class);

    if (pair == NULL && pass->pair_count >= PAIRS_APART) {
        class = SIZE_MAX;
        pair = find(pass, release, class);
    }
    if (pair != NULL) {
        return pair;
    }
    if (pass->pair_count == FLO_METRICS_PAIRS_MAX) {
        return &pass->pairs[FLO_METRICS_PAIRS_MAX - 1];
    }
    pair = &pass->pairs[pass->pair_count++];
    bool is_last = pass->pair_count == FLO_METRICS_PAIRS_MAX;
    *pair = (struct pair){.release = is_last ? FLO_COUNTERS_OTHER : release, .class = class};
    return pair;
}

static void count_pairs(struct pass *pass, const struct flo_select_device *device, size_t class,
                        bool is_online)
{
    static const char *const none[] = {"none", NULL};
    const char *const *list = device->values[FLO_SELECT_RELEASE].list;

    for (list = list != NULL ? list : none; *list != NULL; list++) {
        struct pair *pair = pair_of(pass, *list, class);
        *(is_online ? &pair->online : &pair->offline) += 1;
    }
}

static int count_device(void *context, const struct flo_select_device *device)
{
    struct pass *pass = context;
    const union flo_select_value *values = device->values;
    const char *state = values[FLO_SELECT_STATE].text;
    uint64_t seen_at_ms = values[FLO_SELECT_LAST_SEEN].at_ms;
    bool is_online = state != NULL && strcmp(state, "online") == 0;
    struct reading reading = {.class = class_of(pass, device)};

    pass->devices++;
    pass->online += is_online ? 1 : 0;
    pass->drifting += values[FLO_SELECT_DRIFTS].flag ? 1 : 0;
    pass->stale += values[FLO_SELECT_STALE].flag ? 1 : 0;
    pass->maintenance += values[FLO_SELECT_MAINTENANCE].flag ? 1 : 0;
    pass->never += seen_at_ms == 0 && !is_online ? 1 : 0;
    for (size_t i = 0; i < FLO_COUNT(unheard); i++) {
        pass->unheard[i] += seen_at_ms != 0 && seen_at_ms + unheard[i].ms < pass->now_ms ? 1 : 0;
    }
    enum flo_condition condition;
    if (flo_condition_parse(values[FLO_SELECT_CONDITION].text, &condition)) {
        pass->conditions[condition]++;
    }
    count_pairs(pass, device, reading.class, is_online);
    for (size_t i = 0; i < FLO_COUNT(spreads); i++) {
        reading.values[i] = values[spreads[i].field].number;
    }
    if (is_online) {
        flo_buf_add(&pass->readings, &reading, sizeof(reading));
    }
    return 0;
}

/* ---- samples ---- */

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return x < y ? -1 : x > y ? 1 : 0;
}

static void add_spread(struct flo_samples *samples, enum flo_exposed metric, const char *class,
                       double *sorted, size_t count)
{
    static const struct {
        const char *word;
        double share;
    } statistics[] = {{"min", 0}, {"p50", 0.5}, {"p95", 0.95}, {"max", 1.0}};

    for (size_t i = 0; i < FLO_COUNT(statistics); i++) {
        const char *labels[] = {class, statistics[i].word};
        size_t place = (size_t)ceil((double)count * statistics[i].share);
        flo_samples_add(samples, metric, labels, sorted[place > 0 ? place - 1 : 0]);
    }
}

static void add_spreads(const struct pass *pass, struct flo_samples *samples)
{
    const struct reading *readings = (const void *)pass->readings.data;
    size_t count = pass->readings.bytes / sizeof(*readings);
    double *values = malloc((count + 1) * sizeof(*values));

    for (size_t class = 0; class < pass->class_count && values != NULL; class ++) {
        for (size_t s = 0; s < FLO_COUNT(spreads); s++) {
            size_t found = 0;
            for (size_t i = 0; i < count; i++) {
                if (readings[i].class == class && !isnan(readings[i].values[s])) {
                    values[found++] = readings[i].values[s];
                }
            }
            if (found > 0) {
                qsort(values, found, sizeof(*values), compare);
                add_spread(samples, spreads[s].metric, pass->classes[class], values, found);
            }
        }
    }
    free(values);
}

static void add_counts(const struct pass *pass, struct flo_samples *samples)
{
    const struct {
        enum flo_exposed metric;
        uint64_t value;
    } counts[] = {{FLO_EXPOSED_DEVICES, pass->devices},
                  {FLO_EXPOSED_DEVICES_ONLINE, pass->online},
                  {FLO_EXPOSED_DEVICES_DRIFTING, pass->drifting},
                  {FLO_EXPOSED_DEVICES_STALE, pass->stale},
                  {FLO_EXPOSED_DEVICES_NEVER, pass->never},
                  {FLO_EXPOSED_DEVICES_MAINTENANCE, pass->maintenance}};

    for (size_t i = 0; i < FLO_COUNT(counts); i++) {
        flo_samples_add(samples, counts[i].metric, NULL, (double)counts[i].value);
    }
    for (size_t i = 0; i < FLO_COUNT(unheard); i++) {
        flo_samples_add(samples, FLO_EXPOSED_DEVICES_UNHEARD,
                        (const char *const[]){unheard[i].text}, (double)pass->unheard[i]);
    }
    /* The loop leaves out retired devices. */
    for (size_t i = FLO_CONDITION_RETIRED + 1; i < FLO_CONDITION_COUNT; i++) {
        flo_samples_add(samples, FLO_EXPOSED_DEVICES_CONDITION,
                        (const char *const[]){flo_condition_word((enum flo_condition)i)},
                        (double)pass->conditions[i]);
    }
    for (size_t i = 0; i < pass->pair_count; i++) {
        const struct pair *pair = &pass->pairs[i];
        const char *class =
            pair->class == SIZE_MAX ? FLO_COUNTERS_OTHER : pass->classes[pair->class];
        flo_samples_add(samples, FLO_EXPOSED_RELEASE_DEVICES,
                        (const char *const[]){pair->release, class, "online"},
                        (double)pair->online);
        flo_samples_add(samples, FLO_EXPOSED_RELEASE_DEVICES,
                        (const char *const[]){pair->release, class, "offline"},
                        (double)pair->offline);
    }
}

void flo_metrics_devices(struct flo_controller *controller, struct flo_samples *samples)
{
    struct pass *pass = calloc(1, sizeof(*pass));
    struct flo_err err = {0};
    bool is_frozen = false, stays = false, found;

    if (pass == NULL) {
        return;
    }
    pass->now_ms = flo_wall_ms();
    if (flo_fleet_select(controller->store, NULL, 0, pass->now_ms, count_device, pass, &err) < 0 ||
        flo_fleet_is_frozen(controller->store, &is_frozen, &err) < 0 ||
        flo_fleet_prompts_stay(controller->store, &stays, &found, &err) < 0) {
        flo_log_err(FLO_LOG_WARN, "metrics", &err);
    } else {
        add_counts(pass, samples);
        add_spreads(pass, samples);
        flo_samples_add(samples, FLO_EXPOSED_FROZEN, NULL, is_frozen ? 1 : 0);
        flo_samples_add(samples, FLO_EXPOSED_PROMPTS_STAY, NULL, stays ? 1 : 0);
    }
    flo_buf_deinit(&pass->readings);
    free(pass);
}
