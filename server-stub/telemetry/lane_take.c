/* Lane: handles windows, queries and commands of the control thread, on the
 * telemetry thread. */
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include <flotilla/metrics.h>

#include "base/host/json.h"

#include "server-stub/telemetry/lane_thread.h"

#define PAYLOAD_BYTES_MAX 65536
#define BATCH_MS 100
#define BATCH_WINDOWS 2000
#define LOG_PAUSE_MS 60000

/* ---- what is left out ---- */

static void left_out(struct flo_lane *lane, atomic_uint_fast64_t *counter, uint64_t count)
{
    atomic_fetch_add(counter, count);
    atomic_store(&lane->left_out_at_ms, flo_now_ms());
}

/* Tells whether a log line may be written again.  *at_ms is the earliest time
 * for that, and is moved on by a pause when the result is true. */
static bool may_log(uint64_t *at_ms)
{
    uint64_t now_ms = flo_now_ms();

    if (now_ms < *at_ms) {
        return false;
    }
    *at_ms = now_ms + LOG_PAUSE_MS;
    return true;
}

static void limited(struct flo_lane *lane, const struct flo_lane_device *device)
{
    left_out(lane, &lane->limited, 1);
    if (may_log(&lane->limited_log_at_ms)) {
        flo_log(FLO_LOG_WARN, "telemetry",
                "device %s sends more than a window each %d ms: %llu of its "
                "own are left out",
                device->id, FLO_TELEMETRY_TAKEN_EACH_MS, (unsigned long long)device->limited);
    }
}

static void failed(struct flo_lane *lane, const struct flo_err *why)
{
    left_out(lane, &lane->lost, lane->batch > 0 ? lane->batch : 1);
    lane->batch = 0;
    lane->is_open = false;
    if (may_log(&lane->failed_log_at_ms)) {
        flo_log_err(FLO_LOG_ERROR, "telemetry", why);
    }
}

/* ---- windows ---- */

void flo_lane_commit(struct flo_lane *lane)
{
    struct flo_err err = {0};

    if (!lane->is_open) {
        return;
    }
    lane->is_open = false;
    if (flo_windows_commit(lane->store, &err) < 0) {
        failed(lane, &err);
        return;
    }
    atomic_fetch_add(&lane->windows, lane->batch);
    lane->batch = 0;
}

static int begin(struct flo_lane *lane, struct flo_err *err)
{
    static const struct timeval in = {.tv_usec = BATCH_MS * 1000};

    if (lane->is_open) {
        return 0;
    }
    FLO_TRY(flo_windows_begin(lane->store, err));
    lane->is_open = true;
    if (lane->commit != NULL) {
        event_add(lane->commit, &in);
    }
    return 0;
}

static struct flo_lane_known *find_release(const struct flo_lane *lane,
                                           const struct flo_digest *digest)
{
    for (size_t i = 0; i < lane->release_count; i++) {
        if (flo_digest_equal(&lane->releases[i].digest, digest)) {
            return &lane->releases[i];
        }
    }
    return NULL;
}

static bool has_variant(const struct flo_lane_known *known, const char *name)
{
    const char *rest = known->variants;
    size_t chars = strlen(name);

    while (chars > 0 && *rest == ' ') {
        size_t length = strcspn(++rest, " ");
        if (length == chars && memcmp(rest, name, chars) == 0) {
            return true;
        }
        rest += length;
    }
    return false;
}

/* Checks the release that a telemetry window names.  Only published releases and
 * their variants get rows of their own, because a device could invent any number
 * of others.  A release's model is the publisher's, whatever a device reports.  Returns the
 * release's model@version, or "" if it is unknown. */
static const char *judge_release(const struct flo_lane *lane, struct flo_telemetry_window *window)
{
    const struct flo_lane_known *known = find_release(lane, &window->release);

    if (known == NULL) {
        window->release = (struct flo_digest){0};
    }
    snprintf(window->model, sizeof(window->model), "%s", known != NULL ? known->model : "");
    if (known == NULL || !has_variant(known, window->variant)) {
        window->variant[0] = '\0';
    }
    return known != NULL ? known->title : "";
}

static uint64_t gauge_of(const struct flo_telemetry_window *window, int metric)
{
    return window->has[metric] ? (uint64_t)window->values[metric] : 0;
}

/* Sums the memory of a device's engines.  The device sends a telemetry window
 * for one model after the other.  So the sum is taken over one round, from a
 * model's window to that model's next one. */
static void note_memory(struct flo_lane_device *device, const struct flo_telemetry_window *window)
{
    struct flo_lane_memory *memory = &device->memory;
    uint64_t agent = gauge_of(window, FLO_METRIC_NAME_AGENT_RSS);
    uint64_t engine = gauge_of(window, FLO_METRIC_NAME_ENGINE_RSS);
    uint32_t name = flo_crc32c(1, window->model, strlen(window->model));

    if (agent + engine == 0) {
        return; /* The device did not report its memory. */
    }
    if (memory->parts == 0 || memory->first == name) {
        if (memory->parts > 0 && memory->parts != memory->parts_before) {
            device->rss_bytes = memory->bytes;
        }
        *memory =
            (struct flo_lane_memory){.bytes = agent, .first = name, .parts_before = memory->parts};
    }
    memory->bytes += engine;
    memory->parts++;
    if (memory->parts >= memory->parts_before) {
        device->rss_bytes = memory->bytes;
    }
}

static void note(struct flo_lane *lane, struct flo_lane_device *device,
                 const struct flo_telemetry_window *window)
{
    device->seen_at_ms = flo_wall_ms();
    note_memory(device, window);
    if (window->has[FLO_METRIC_NAME_TTFT]) {
        device->ttft_us = flo_histogram_quantile(&window->histograms[FLO_METRIC_NAME_TTFT], 0.95);
    }
    if (!device->is_news) {
        device->is_news = true;
        lane->devices.news[lane->devices.news_count++] = (uint32_t)(device - lane->devices.items);
    }
}

/* Stores a part of a message.  Returns true when the message's next part may
 * follow. */
static bool store(struct flo_lane *lane, struct flo_lane_device *device,
                  const struct flo_telemetry_window *window)
{
    struct flo_err err = {0};
    bool is_new = false;
    int64_t missing = 0;
    struct flo_telemetry_window known = *window;
    int rv = begin(lane, &err);

    const char *title = judge_release(lane, &known);
    if (rv == 0) {
        rv = flo_windows_put(lane->store, device->id, device->hardware, flo_wall_ms(), &known,
                             &is_new, &missing, &err);
        if (rv < 0) {
            flo_windows_roll_back(lane->store);
        }
    }
    if (rv < 0) {
        failed(lane, &err);
        return false;
    }
    note(lane, device, window);
    if (!is_new) {
        atomic_fetch_add(&lane->repeated, 1);
        return false;
    }
    atomic_fetch_add(&lane->missing, missing);
    flo_observer_take(lane->observer, device->id, device->hardware, &known, flo_wall_ms());
    flo_trends_take(lane->trends, device->id, device->hardware, &known, flo_wall_ms());
    flo_counters_add(lane->counters, device->id, title, device->hardware, &known, flo_now_ms());
    lane->batch += window->part == 0 ? 1 : 0;
    return true;
}

/* Reads a message, and checks all its parts before any is stored.  *window
 * becomes that of the last part. */
static int read_message(const struct flo_mqtt_message *message, json_t **json, size_t *parts,
                        struct flo_telemetry_window *window, struct flo_err *err)
{
    uint64_t v;

    FLO_TRY(flo_json_parse(message->data, message->bytes, PAYLOAD_BYTES_MAX, json, err));
    FLO_TRY(flo_json_get_u64(*json, "v", 1, 2, &v, err));
    FLO_TRY(flo_telemetry_parts(*json, parts, err));
    for (size_t i = 0; i < *parts; i++) {
        FLO_TRY(flo_telemetry_parse(*json, i, window, err));
    }
    return 0;
}

static void take_parts(struct flo_lane *lane, struct flo_lane_device *device, const json_t *json,
                       size_t parts, struct flo_telemetry_window *window)
{
    bool goes_on = true;

    for (size_t i = 0; i < parts && goes_on; i++) {
        goes_on = parts == 1 || flo_telemetry_parse(json, i, window, NULL) == 0;
        if (goes_on) {
            goes_on = store(lane, device, window);
        }
    }
    if (lane->batch >= BATCH_WINDOWS) {
        flo_lane_commit(lane);
    }
}

void flo_lane_take(struct flo_lane *lane, const struct flo_mqtt_message *message)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *json = NULL;
    struct flo_telemetry_window window = {.histograms = lane->histograms};
    struct flo_lane_device *device;
    size_t parts = 0;
    char key[FLO_NAME_MAX + 1];
    enum flo_topic topic;
    struct flo_err err = {0};
    int rv = flo_topic_parse(message->topic, lane->fleet, &topic, key, &err);

    if (rv < 0 || topic != FLO_TOPIC_TELE ||
        (device = flo_lane_find(&lane->devices, key)) == NULL || device->hardware[0] == '\0') {
        left_out(lane, &lane->dropped, 1);
        return;
    }
    if (lane->judge.may_come != NULL && !lane->judge.may_come(lane->judge.context, key, message)) {
        left_out(lane, &lane->dropped, 1);
        return;
    }
    /* The limit is checked before any other work for the device. */
    if (flo_telemetry_pace(&device->pace, FLO_TELEMETRY_TAKEN_BURST, FLO_TELEMETRY_TAKEN_EACH_MS,
                           flo_now_ms()) > 0) {
        device->limited++;
        limited(lane, device);
        return;
    }
    if (read_message(message, &json, &parts, &window, &err) < 0) {
        uint64_t dropped = atomic_fetch_add(&lane->dropped, 1);
        if (dropped < 100 || dropped % 1000 == 0) {
            flo_log(FLO_LOG_WARN, "telemetry", "dropped a window of %s: %s: %s", key,
                    flo_error_id(err.code), err.what);
        }
        return;
    }
    take_parts(lane, device, json, parts, &window);
}

/* ---- what it is told ---- */

/* Adds a published release to the known ones, of which the newest
 * FLO_LANE_RELEASES_MAX are kept. */
static void learn_release(struct flo_lane *lane, const char *text, const char *said)
{
    size_t chars = strcspn(said, " ");
    struct flo_digest digest;

    if (!flo_digest_parse(text, &digest) || find_release(lane, &digest) != NULL) {
        return;
    }
    struct flo_lane_known *to = &lane->releases[lane->release_next];
    to->digest = digest;
    snprintf(to->title, sizeof(to->title), "%.*s", (int)chars, said);
    snprintf(to->model, sizeof(to->model), "%.*s", (int)strcspn(said, "@"), said);
    snprintf(to->variants, sizeof(to->variants), "%s", said + chars);
    lane->release_next = (lane->release_next + 1) % FLO_LANE_RELEASES_MAX;
    if (lane->release_count < FLO_LANE_RELEASES_MAX) {
        lane->release_count++;
    }
}

void flo_lane_learn(struct flo_lane *lane, const struct flo_lane_command *command)
{
    if (command->kind == FLO_LANE_RELEASE) {
        learn_release(lane, command->key, command->data);
        return;
    }
    struct flo_lane_device *device = flo_lane_keep(&lane->devices, command->key);
    if (command->data[0] == '\0') {
        flo_observer_forget(lane->observer, command->key);
        flo_trends_forget(lane->trends, command->key);
    }
    if (device != NULL) {
        snprintf(device->hardware, sizeof(device->hardware), "%s", command->data);
    }
}

/* ---- queries ---- */

static int fold_row(void *context, const struct flo_telemetry_row *row)
{
    flo_telemetry_fold_add(context, row);
    return 0;
}

static json_t *run(struct flo_lane *lane, struct flo_lane_query *query, uint64_t now_ms)
{
    const struct flo_telemetry_query *what = &query->query;
    struct flo_histogram *scratch = calloc(2, sizeof(*scratch));
    struct flo_telemetry_fold fold = {.query = what, .series = json_array()};

    if (scratch == NULL || fold.series == NULL) {
        flo_fail(&query->err, FLO_E_MEMORY, "query");
    } else {
        fold.step_histogram = &scratch[0];
        fold.series_histogram = &scratch[1];
        int rv = flo_windows_list(lane->store, what,
                                  now_ms > what->since_ms ? now_ms - what->since_ms : 0, fold_row,
                                  &fold, &query->err);
        flo_telemetry_fold_end(&fold);
        if (rv < 0) {
            query->err.code = rv;
        }
    }
    free(scratch);
    return fold.series;
}

static const char *hardware_of(void *context, const char *device)
{
    struct flo_lane *lane = context;
    const struct flo_lane_device *found = flo_lane_find(&lane->devices, device);

    return found != NULL ? found->hardware : NULL;
}

static void answer_evidence(struct flo_lane *lane, struct flo_lane_query *query)
{
    int rv = flo_lane_evidence_gather(query->evidence, lane->store, hardware_of, lane, &query->err);

    if (rv < 0) {
        query->err.code = rv;
    }
}

static void answer_analysis(struct flo_lane *lane, struct flo_lane_query *query)
{
    int rv = flo_observer_analysis(lane->observer, query->analysis, flo_wall_ms(), &query->err);

    if (rv < 0) {
        query->err.code = rv;
    }
}

void flo_lane_answer(struct flo_lane *lane, struct flo_lane_query *query)
{
    if (query->evidence != NULL) {
        answer_evidence(lane, query);
        return;
    }
    if (query->analysis != NULL) {
        answer_analysis(lane, query);
        return;
    }
    if (query->bases != NULL) {
        flo_observer_bases(lane->observer, query->bases, flo_wall_ms());
        return;
    }
    const struct flo_metric_fact *fact = flo_metric_fact(query->query.metric);
    uint64_t now_ms = flo_wall_ms();
    json_t *json = json_pack("{s:s,s:s,s:I,s:o}", "metric", fact->word, "unit", fact->unit,
                             "now_ms", (json_int_t)now_ms, "series", run(lane, query, now_ms));

    if (query->err.code == 0) {
        flo_json_dump(json, &query->text);
        if (json == NULL || query->text.failed) {
            flo_fail(&query->err, FLO_E_MEMORY, "answer");
        }
    }
    json_decref(json);
    atomic_fetch_add(&lane->asked, 1);
}
