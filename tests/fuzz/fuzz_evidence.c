/* Windows of devices through the lane to the judgement of a rollout, by a clock
 * that the input moves.
 *
 * Input: steps, each of a byte and what it asks for.  Devices report what they
 * like, blocks end, the clock is set, the controller starts again, devices come
 * and go, and rollouts are studied.  No step may end the process.  A record
 * holds finite numbers only, and judged once more it says the same. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/metrics.h>

#include "server-stub/telemetry/lane_thread.h"
#include "server-stub/telemetry/observe/cohort.h"
#include "tests/fuzz/must.h"

#define DEVICES 36
#define UPDATED 12 /* that one step swaps; others by their own */
#define RELEASES 4 /* of two models; one more is known to nobody */
#define LABELS 2
#define VALUES 3
#define STEPS_MAX 512
#define BLOCKS_MAX 120 /* of all steps: an input ends */
#define BEGIN_MS (UINT64_C(1000000) * FLO_BLOCK_MS)
#define DAY_MS INT64_C(86400000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* ---- the clock ---- */

static uint64_t wall_ms = BEGIN_MS;
static uint64_t passed_ms = BEGIN_MS; /* of timers: never set back */

/* In place of those of base/: the linker is told so (CMakeLists.txt). */
uint64_t __wrap_flo_wall_ms(void);
uint64_t __wrap_flo_now_ms(void);

uint64_t __wrap_flo_wall_ms(void)
{
    return wall_ms;
}

uint64_t __wrap_flo_now_ms(void)
{
    return passed_ms;
}

static void pass(uint64_t ms)
{
    wall_ms += ms;
    passed_ms += ms;
}

/* ---- input ---- */

struct bytes {
    const uint8_t *at, *end;
};

static uint8_t next(struct bytes *bytes)
{
    return bytes->at < bytes->end ? *bytes->at++ : 0;
}

/* Mostly small, now and then what no device can count. */
static uint64_t number(struct bytes *bytes)
{
    static const uint64_t wild[] = {0,
                                    1,
                                    UINT32_MAX,
                                    UINT64_C(1) << 32,
                                    (UINT64_C(1) << 53) - 1,
                                    UINT64_C(1) << 53,
                                    UINT64_C(1) << 62,
                                    1000000000};
    uint8_t byte = next(bytes);

    return byte < FLO_COUNT(wild) ? wild[byte] : byte;
}

/* ---- a room ---- */

struct room {
    struct flo_lane *lane;
    struct flo_analysis analysis[2];
    uint32_t phase[2];
    uint64_t seq;
    uint32_t blocks;
    uint8_t runs[DEVICES];
    uint8_t ways[DEVICES];
};

static void id_of(size_t device, char *out)
{
    snprintf(out, 37, "%08zu-0000-4000-8000-000000000000", device);
}

static void digest_of(size_t number, struct flo_digest *out)
{
    memset(out, (int)number + 1, sizeof(*out));
}

static void learn(struct room *room, enum flo_lane_command_kind kind, const char *key,
                  const char *data)
{
    char key_text[FLO_DIGEST_TEXT];
    char text[FLO_HARDWARE_TEXT];
    struct flo_lane_command command = {.kind = kind, .key = key_text, .data = text};

    snprintf(key_text, sizeof(key_text), "%s", key);
    snprintf(text, sizeof(text), "%s", data);
    flo_lane_learn(room->lane, &command);
}

static void room_open(struct room *room)
{
    char key[FLO_DIGEST_TEXT];
    struct flo_digest digest;

    *room = (struct room){.seq = 1};
    wall_ms = passed_ms = BEGIN_MS;
    flo_log_level_set(FLO_LOG_ERROR);
    must(flo_lane_open(":memory:", "demo", FLO_BLOCK_MS, &room->lane, NULL) == 0);
    for (size_t i = 0; i < DEVICES; i++) {
        id_of(i, key);
        learn(room, FLO_LANE_DEVICE, key, i % 2 == 0 ? "a" : "b");
    }
    for (size_t i = 0; i < RELEASES; i++) {
        digest_of(i, &digest);
        flo_digest_text(&digest, key);
        learn(room, FLO_LANE_RELEASE, key, i < RELEASES - 1 ? "m@1" : "n@1");
    }
    for (size_t i = 0; i < FLO_COUNT(room->analysis); i++) {
        flo_analysis_preset(FLO_PRESET_NORMAL, &room->analysis[i].rules);
        flo_analysis_phase(&room->analysis[i], 0);
    }
}

/* ---- a device ---- */

static void add_histogram(struct flo_buf *text, const char *name, uint64_t value, uint32_t count)
{
    struct flo_histogram histogram = {0};

    for (uint32_t i = 0; i < count; i++) {
        flo_histogram_add(&histogram, value + value / 100 * (i % 8));
    }
    flo_buf_printf(text, "\"%s\":\"", name);
    flo_histogram_encode(&histogram, text);
    flo_buf_printf(text, "\",");
}

static void send(struct room *room, size_t device, const char *data, size_t bytes)
{
    char topic[FLO_TOPIC_TEXT];
    char id[37];

    id_of(device, id);
    snprintf(topic, sizeof(topic), "flotilla/v1/demo/d/%s/tele", id);
    flo_lane_take(room->lane,
                  &(struct flo_mqtt_message){.topic = topic, .data = data, .bytes = bytes});
}

struct told {
    uint64_t seq, at_ms, window_ms, requests, errors, good, bad, ends, rss;
    uint64_t golden, ttft_us, token_us;
    uint32_t samples;
    size_t release;
};

static void tell(struct room *room, size_t device, const struct told *told)
{
    struct flo_buf text = {0};
    struct flo_digest digest;
    char release[FLO_DIGEST_TEXT];

    digest_of(told->release, &digest);
    flo_digest_text(&digest, release);
    flo_buf_printf(&text,
                   "{\"v\":1,\"seq\":%llu,\"at_ms\":%llu,\"window_ms\":%llu,"
                   "\"model\":\"m\",\"version\":\"1\",\"release\":\"%s\","
                   "\"counters\":{\"requests\":%llu,\"errors\":%llu,"
                   "\"feedback_good\":%llu,\"feedback_bad\":%llu,"
                   "\"engine_restarts\":%llu},"
                   "\"gauges\":{\"engine_rss_bytes\":%llu,"
                   "\"golden_own_ppm\":%llu,\"golden_former_ppm\":%llu},"
                   "\"histograms\":{",
                   (unsigned long long)told->seq, (unsigned long long)told->at_ms,
                   (unsigned long long)told->window_ms, release, (unsigned long long)told->requests,
                   (unsigned long long)told->errors, (unsigned long long)told->good,
                   (unsigned long long)told->bad, (unsigned long long)told->ends,
                   (unsigned long long)told->rss, (unsigned long long)told->golden,
                   (unsigned long long)told->golden);
    add_histogram(&text, "ttft_us", told->ttft_us, told->samples);
    add_histogram(&text, "token_us", told->token_us, told->samples);
    text.bytes -= text.failed ? 0 : 1; /* the last comma */
    flo_buf_printf(&text, "}}");
    must(!text.failed);
    send(room, device, text.data, text.bytes);
    flo_buf_deinit(&text);
}

static struct told usual(struct room *room, size_t device)
{
    return (struct told){.seq = ++room->seq,
                         .at_ms = wall_ms,
                         .window_ms = FLO_BLOCK_MS,
                         .requests = 120,
                         .rss = 1000000 + 1000 * device,
                         .golden = 1500000,
                         .ttft_us = 20000 + 500 * device,
                         .token_us = 2000 + 50 * device,
                         .samples = 104,
                         .release = room->runs[device]};
}

/* One field is as the input says. */
static void tell_wild(struct room *room, struct bytes *bytes)
{
    size_t device = next(bytes) % DEVICES;
    struct told told = usual(room, device);
    uint64_t *fields[] = {&told.seq,    &told.at_ms,  &told.window_ms, &told.requests,
                          &told.errors, &told.good,   &told.bad,       &told.ends,
                          &told.rss,    &told.golden, &told.ttft_us,   &told.token_us};

    for (uint8_t left = next(bytes) % 4 + 1; left > 0; left--) {
        size_t field = next(bytes) % (FLO_COUNT(fields) + 2);
        if (field < FLO_COUNT(fields)) {
            *fields[field] = number(bytes);
        } else if (field == FLO_COUNT(fields)) {
            told.release = next(bytes) % (RELEASES + 1);
        } else {
            told.samples = next(bytes);
        }
    }
    for (uint8_t times = next(bytes) % 3 + 1; times > 0; times--) {
        tell(room, device, &told);
    }
}

/* A second of the lane. */
static void tick(struct room *room)
{
    flo_lane_commit(room->lane);
    flo_observer_tick(room->lane->observer, wall_ms);
}

/* As the lane gives it on; quick, for there are many. */
static void report(struct room *room, size_t device, const struct told *told)
{
    struct flo_histogram *histograms = room->lane->histograms;
    struct flo_telemetry_window window = {
        .seq = told->seq, .window_ms = told->window_ms, .model = "m", .histograms = histograms};
    const struct {
        int metric;
        uint64_t us;
    } rows[] = {{FLO_METRIC_NAME_TTFT, told->ttft_us}, {FLO_METRIC_NAME_TOKEN, told->token_us}};
    char id[37];

    id_of(device, id);
    digest_of(told->release, &window.release);
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        struct flo_histogram *histogram = &histograms[rows[i].metric];
        memset(histogram, 0, sizeof(*histogram));
        for (uint32_t k = 0; k < told->samples; k++) {
            flo_histogram_add(histogram, rows[i].us + rows[i].us / 100 * (k % 8));
        }
        window.has[rows[i].metric] = true;
    }
    const struct {
        int metric;
        uint64_t value;
    } numbers[] = {{FLO_METRIC_NAME_REQUESTS, told->requests},
                   {FLO_METRIC_NAME_ERRORS, told->errors},
                   {FLO_METRIC_NAME_ENGINE_RSS, told->rss},
                   {FLO_METRIC_NAME_GOLDEN_OWN, told->golden},
                   {FLO_METRIC_NAME_GOLDEN_FORMER, told->golden}};
    for (size_t i = 0; i < FLO_COUNT(numbers); i++) {
        window.has[numbers[i].metric] = true;
        window.values[numbers[i].metric] = (int64_t)numbers[i].value;
    }
    if (told->release < RELEASES) {
        flo_observer_take(room->lane->observer, id, device % 2 == 0 ? "a" : "b", &window, wall_ms);
    }
}

/* Blocks in which all report; the updated ones are `tenths` slower. */
static void live(struct room *room, uint8_t blocks, uint8_t tenths)
{
    for (; blocks > 0 && room->blocks < BLOCKS_MAX; blocks--, room->blocks++) {
        pass(FLO_BLOCK_MS);
        flo_lane_commit(room->lane);
        flo_observer_move(room->lane->observer, wall_ms);
        for (size_t i = 0; i < DEVICES; i++) {
            struct told told = usual(room, i);
            if (room->runs[i] == 1) {
                told.ttft_us += told.ttft_us * tenths / 10;
                told.errors = tenths;
            }
            report(room, i, &told);
        }
    }
}

/* ---- a rollout ---- */

static void fill(struct room *room, struct flo_observe_analysis *analysis, bool is_other)
{
    static const char *const names[] = {"a", "b"};

    snprintf(analysis->rollout, sizeof(analysis->rollout), "r-%d", is_other);
    snprintf(analysis->model, sizeof(analysis->model), "m");
    digest_of(is_other ? 2 : 1, &analysis->release);
    analysis->heartbeat_ms = 60000;
    analysis->evidence.segment_count = FLO_COUNT(names);
    analysis->member_count = DEVICES;
    analysis->label_count = LABELS;
    for (size_t i = 0; i < FLO_COUNT(names); i++) {
        snprintf(analysis->evidence.segments[i].name, FLO_SEGMENT_TEXT, "%s", names[i]);
        analysis->evidence.segments[i].members = DEVICES / FLO_COUNT(names);
    }
    for (size_t i = 0; i < LABELS; i++) {
        analysis->labels[i] = (struct flo_slice_label){
            .values = analysis->values + i * DEVICES, .count = VALUES, .judged = VALUES};
    }
    for (size_t i = 0; i < DEVICES; i++) {
        id_of(i, analysis->members[i].device);
        analysis->members[i].way = room->ways[i];
        analysis->members[i].segment = i % FLO_COUNT(names);
        analysis->members[i].site = (uint32_t)(i % VALUES + 1);
        analysis->values[i] = (uint16_t)(i % VALUES + 1);
        analysis->values[DEVICES + i] = (uint16_t)(i / 2 % (VALUES + 1));
    }
}

static void must_be_finite(const json_t *json)
{
    const char *key;
    json_t *value;
    size_t i;

    must(!json_is_real(json) || isfinite(json_real_value(json)));
    json_object_foreach((json_t *)(uintptr_t)json, key, value)
    {
        must_be_finite(value);
    }
    json_array_foreach(json, i, value)
    {
        must_be_finite(value);
    }
}

static void judge(struct flo_analysis *analysis, struct flo_observe_analysis *observed,
                  const struct flo_analysis_moment *moment)
{
    struct flo_analysis_results *results = calloc(1, sizeof(*results));
    struct flo_analysis_finding finding;
    struct flo_err err = {0};
    double worst;

    must(results != NULL);
    flo_analysis_judge(analysis, &observed->evidence, moment, results, &finding);
    json_t *record =
        flo_analysis_record(analysis, "r-1", &observed->evidence, moment, results, &finding);
    must(record != NULL);
    must_be_finite(record);
    if (flo_analysis_replay(record, NULL, NULL, &worst, &err) < 0) {
        fprintf(stderr, "%s\n", err.what);
        abort();
    }
    must(worst < 1e-9);
    json_decref(record);
    free(results);
}

static void ask(struct room *room, struct bytes *bytes)
{
    uint8_t how = next(bytes);
    bool is_other = (how & 1) != 0;
    uint32_t phase = how >> 1 & 3;
    struct flo_observe_analysis *analysis = flo_observe_analysis_new(DEVICES);
    struct flo_analysis_moment moment = {.phase = phase,
                                         .is_plain = (how & 8) != 0,
                                         .is_watch = (how & 16) != 0,
                                         .soaked_s = (how & 32) != 0 ? 7200 : -1,
                                         .soak_s = 3600};

    must(analysis != NULL);
    analysis->labels = calloc(LABELS, sizeof(*analysis->labels));
    analysis->values = calloc(LABELS * DEVICES, sizeof(*analysis->values));
    must(analysis->labels != NULL && analysis->values != NULL);
    fill(room, analysis, is_other);
    analysis->phase = phase;
    analysis->excluded = (how & 64) != 0 ? 2 : 0;
    struct flo_analysis *of = &room->analysis[is_other];
    for (uint32_t i = 0; i < of->rules.count; i++) {
        analysis->weights[of->rules.rules[i].measure] = of->rules.rules[i].weight;
    }
    must(flo_observer_analysis(room->lane->observer, analysis, wall_ms, NULL) == 0);
    if (analysis->is_new) {
        if ((how & 128) != 0 || room->phase[is_other] != phase) {
            flo_analysis_phase(of, phase);
            room->phase[is_other] = phase;
        }
        judge(of, analysis, &moment);
    }
    flo_observe_analysis_free(analysis);
}

/* ---- steps ---- */

static void swap(struct room *room, struct bytes *bytes)
{
    uint8_t device = next(bytes);
    uint8_t how = next(bytes);
    size_t from = device == 255 ? 0 : device % DEVICES;
    size_t to = device == 255 ? UPDATED : from + 1;

    for (size_t i = from; i < to; i++) {
        room->ways[i] = how % (FLO_MEMBER_OUT + 1);
        room->runs[i] = how / 8 % (RELEASES + 1);
    }
}

static void set_clock(struct bytes *bytes)
{
    static const int64_t steps[] = {2 * DAY_MS, -2 * DAY_MS, 1000,       -1000,
                                    40 * 60000, -40 * 60000, 8 * DAY_MS, -8 * DAY_MS};
    int64_t step = steps[next(bytes) % FLO_COUNT(steps)];

    wall_ms += (uint64_t)step;
    passed_ms += step > 0 ? (uint64_t)step : 0;
    wall_ms = wall_ms < FLO_BLOCK_MS ? FLO_BLOCK_MS : wall_ms;
}

static void start_again(struct room *room)
{
    struct flo_lane *lane = room->lane;

    flo_lane_commit(lane);
    flo_observer_save(lane->observer);
    flo_observer_close(lane->observer);
    lane->observer = NULL;
    must(flo_observer_open(lane->store, FLO_BLOCK_MS, &lane->observer, NULL) == 0);
}

/* It is retired, or has other hardware, or is as it was. */
static void come_and_go(struct room *room, struct bytes *bytes)
{
    char id[37];
    char hardware[16];
    uint8_t how = next(bytes);

    id_of(next(bytes) % DEVICES, id);
    snprintf(hardware, sizeof(hardware), "h-%d", how);
    learn(room, FLO_LANE_DEVICE, id, how == 0 ? "" : hardware);
}

static void step(struct room *room, struct bytes *bytes)
{
    switch (next(bytes) % 10) {
    case 0:
    case 1:
        tell_wild(room, bytes);
        break;
    case 2:
    case 3:
        ask(room, bytes);
        break;
    case 4: {
        uint8_t blocks = next(bytes);
        live(room, blocks % 32, next(bytes));
        break;
    }
    case 5:
        swap(room, bytes);
        break;
    case 6:
        set_clock(bytes);
        break;
    case 7:
        start_again(room);
        break;
    case 8:
        come_and_go(room, bytes);
        break;
    default:
        if (next(bytes) % 2 == 0) {
            flo_observer_connected(room->lane->observer, wall_ms);
        }
        pass(FLO_BLOCK_MS);
        tick(room);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct bytes input = {data, data + bytes};
    struct room room;

    room_open(&room);
    for (size_t i = 0; i < STEPS_MAX && input.at < input.end; i++) {
        step(&room, &input);
    }
    flo_lane_close(room.lane);
    return 0;
}
