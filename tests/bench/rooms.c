/* Rooms: see rooms.h.  Devices, and the reports that they send. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <flotilla/metrics.h>

#include "server-stub/state/rollouts/work.h"
#include "server-stub/telemetry/observe/cohort.h"
#include "tests/bench/rooms.h"

#define BEGIN_BLOCK 5999905 /* at midnight */
#define SITE_HOURS_SD 3.0
#define SHOCK_SD 0.15
#define SHOCK_BIG 0.6
#define SHOCK_BIG_SHARE 0.05
#define SHOCK_BLOCKS 168 /* one in 14 h */
#define DRIFT 0.05
#define DRIFT_RSS 0.02
#define TOGETHER 6 /* swaps within half an hour are one wave */
#define REQUESTS 120
#define ERROR_RATE 0.002
#define CRASH_RATE 0.002 /* an hour */
#define TTFT_US 200000.0
#define TOKEN_US 30000.0
#define RSS_BYTES 2e9
#define TRIAL_BLOCKS 3 /* 15 minutes */
#define HISTORY 24     /* readings of each hour: of two days */
#define HOUR_MEAN_SD 0.041
#define HOUR_MEAN_RSS_SD 0.006

static void *zeroed(size_t count, size_t bytes)
{
    void *out = calloc(count + 1, bytes);

    if (out == NULL) {
        abort();
    }
    return out;
}

static void must(int rv, const struct flo_err *err)
{
    if (rv < 0) {
        fprintf(stderr, "rooms: %s\n", err->what);
        abort();
    }
}

/* ---- the fleet ---- */

static double noise_of(struct chance *chance, int series)
{
    return series == ROOM_RSS ? 0.01 * chance_normal(chance) : 0.10 * chance_student3(chance);
}

static void draw_device(struct room *room, size_t i)
{
    struct room_device *device = &room->devices[i];
    struct chance *chance = room->chance;

    snprintf(device->id, sizeof(device->id), "%08u-0000-4000-8000-000000000000",
             (unsigned)i % 100000000);
    device->site = (uint16_t)(i % room->plan.sites);
    device->hardware = (uint16_t)chance_below(chance, room->plan.classes);
    for (int k = 0; k < ROOM_SERIES; k++) {
        device->level[k] = 0.3 * chance_normal(chance);
        device->noise[k] = noise_of(chance, k);
    }
    device->error_rate = ERROR_RATE * chance_gamma(chance, 0.5) / 0.5;
    device->crash_rate = CRASH_RATE * chance_gamma(chance, 1);
    room->values[i] = (uint16_t)(1 + device->hardware);
    room->values[room->plan.devices + i] = (uint16_t)(1 + device->site);
    room->values[2 * room->plan.devices + i] =
        (uint16_t)(1 + device->site * room->plan.classes + device->hardware);
}

static void draw_sites(struct room *room)
{
    struct chance *chance = room->chance;

    room->hour = 24 * chance_uniform(chance);
    for (size_t s = 0; s < room->plan.sites; s++) {
        room->day_shift[s] = SITE_HOURS_SD * chance_normal(chance);
        room->shock[s] = SHOCK_SD * chance_normal(chance);
        room->shock[s] += chance_uniform(chance) < SHOCK_BIG_SHARE ? SHOCK_BIG : 0;
        room->shock_at[s] = chance_below(chance, SHOCK_BLOCKS);
    }
}

/* A telemetry store of its own for each process, which stays empty. */
static struct flo_windows *store_of_process(void)
{
    static struct flo_windows *store;
    char dir[] = "/tmp/rooms-XXXXXX";
    static const char *const names[] = {"telemetry.db", "telemetry.db-wal", "telemetry.db-shm"};
    char path[64];
    struct flo_err err = {0};

    if (store != NULL) {
        return store;
    }
    if (mkdtemp(dir) == NULL) {
        abort();
    }
    must(flo_windows_open(dir, &store, &err), &err);
    for (size_t i = 0; i < FLO_COUNT(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        (void)unlink(path);
    }
    (void)rmdir(dir);
    return store;
}

static void put_history(struct room *room);

void room_open(struct room *room, const struct room_plan *plan, struct chance *chance)
{
    size_t n = plan->devices;
    struct flo_err err = {0};

    *room = (struct room){.plan = *plan, .chance = chance};
    room->devices = zeroed(n, sizeof(*room->devices));
    room->values = zeroed(3 * n, sizeof(*room->values));
    room->day_shift = zeroed(plan->sites, sizeof(double));
    room->shock = zeroed(plan->sites, sizeof(double));
    room->load = zeroed(plan->sites, sizeof(double));
    room->shock_at = zeroed(plan->sites, sizeof(*room->shock_at));
    room->histograms = zeroed(FLO_METRIC_COUNT, sizeof(*room->histograms));
    room->of = zeroed(1, sizeof(*room->of));
    draw_sites(room);
    for (size_t i = 0; i < n; i++) {
        draw_device(room, i);
    }
    room->labels[0] = (struct flo_slice_label){.values = room->values,
                                               .count = (uint32_t)plan->classes,
                                               .judged = (uint32_t)plan->classes};
    room->labels[1] = (struct flo_slice_label){.values = room->values + n,
                                               .count = (uint32_t)plan->sites,
                                               .judged = (uint32_t)plan->sites};
    uint32_t pairs = (uint32_t)(plan->sites * plan->classes);
    room->labels[2] = (struct flo_slice_label){
        .values = room->values + 2 * n, .count = pairs, .judged = pairs, .needs_own = true};
    must(flo_observer_open(store_of_process(), FLO_BLOCK_MS, &room->observer, &err), &err);
    room->begun = BEGIN_BLOCK + (uint32_t)(12 * room->hour);
    room->block = room->begun - (uint32_t)plan->before;
    while (room->block < room->begun) {
        room_step(room);
    }
    put_history(room);
}

void room_close(struct room *room)
{
    flo_observer_close(room->observer);
    json_decref(room->own.spec);
    free(room->entry.core.members);
    free(room->devices);
    free(room->values);
    free(room->day_shift);
    free(room->shock);
    free(room->load);
    free(room->shock_at);
    free(room->histograms);
    free(room->of);
}

void room_site(const struct room *room, size_t device, char *out)
{
    snprintf(out, FLO_SLICE_TEXT, "site=s%02u", room->devices[device].site);
}

void room_pair(const struct room *room, size_t device, char *out)
{
    snprintf(out, FLO_SLICE_TEXT, "site&hw=s%02u&%02u", room->devices[device].site,
             room->devices[device].hardware);
}

size_t room_updated(const struct room *room)
{
    size_t updated = 0;

    for (size_t i = 0; i < room->plan.devices; i++) {
        updated += room->devices[i].is_updated ? 1 : 0;
    }
    return updated;
}

uint32_t room_age(const struct room *room)
{
    return room->first_swap > 0 ? room->block - room->first_swap : 0;
}

/* ---- reports ---- */

static double day(double hour)
{
    return 0.22 * tanh(2 * sin(2 * M_PI * hour / 24));
}

static double load_of(const struct room *room, uint16_t site)
{
    double hours = ((double)room->block - room->begun) / 12;
    size_t at = room->begun - (uint32_t)room->plan.before +
                room->shock_at[site]; /* the past has its shocks, too */

    return room->plan.is_calm ? 0
                              : day(room->hour + hours + room->day_shift[site]) +
                                    (room->block >= at ? room->shock[site] : 0);
}

/* As a phase swaps, every device drifts. */
static void drift(struct room *room)
{
    for (size_t i = 0; i < room->plan.devices; i++) {
        for (int k = 0; k < ROOM_SERIES; k++) {
            room->devices[i].level[k] +=
                (k == ROOM_RSS ? DRIFT_RSS : DRIFT) * chance_normal(room->chance);
        }
    }
}

static double read_series(struct room *room, struct room_device *device, int k)
{
    double ar = k == ROOM_RSS ? 0.9 : 0.6;
    bool is_harmed = device->is_hit && device->is_updated;
    double y = device->level[k];

    device->noise[k] = ar * device->noise[k] + sqrt(1 - ar * ar) * noise_of(room->chance, k);
    if (k != ROOM_RSS) {
        y += room->load[device->site];
    }
    if (is_harmed && k == ROOM_TTFT) {
        y += room->plan.latency;
    } else if (is_harmed && k == ROOM_RSS) {
        y += room->plan.leak * (room->block - device->since) / 12.0;
    }
    return y + device->noise[k];
}

/* Where flo_histogram_low() puts it: 32 buckets in each octave. */
static size_t bucket_of(uint64_t value)
{
    if (value < 64) {
        return (size_t)value;
    }
    unsigned octave = 57u - (unsigned)__builtin_clzll(value);
    return 32 + 32 * (size_t)octave + (size_t)(value >> (octave + 1));
}

/* Values of one window: quantiles of a log-normal one of sd 0.25.  The buckets
 * that the last one filled are emptied first. */
#define POINTS 8
static void put_histogram(struct room *room, int metric, double value)
{
    static const double at[POINTS] = {0.68, 0.81, 0.89, 0.96, 1.04, 1.13, 1.25, 1.50};
    struct flo_histogram *histogram = &room->histograms[metric];
    size_t *used = room->used[metric];

    for (size_t i = 0; i < POINTS; i++) {
        histogram->buckets[used[i]] = 0;
    }
    histogram->count = histogram->sum = 0;
    for (size_t i = 0; i < POINTS; i++) {
        uint64_t one = (uint64_t)(value * at[i]);
        used[i] = bucket_of(one);
        histogram->buckets[used[i]] += REQUESTS / POINTS;
        histogram->count += REQUESTS / POINTS;
        histogram->sum += one * (REQUESTS / POINTS);
    }
}

static void report(struct room *room, struct room_device *device)
{
    static const char *const hardware[] = {"arm64 4g", "x86_64 8g", "riscv 2g"};
    uint32_t past = room->begun - room->block;
    bool is_older = room->block < room->begun && past > room->plan.before - room->plan.older;
    struct flo_telemetry_window window = {.seq = ++room->seq,
                                          .window_ms = FLO_BLOCK_MS,
                                          .model = "tiny",
                                          .histograms = room->histograms};
    bool is_harmed = device->is_hit && device->is_updated;
    double error_rate = device->error_rate + (is_harmed ? room->plan.errors : 0);
    double crash_rate = device->crash_rate + (is_harmed ? room->plan.crashes : 0);

    memset(&window.release, device->is_updated ? 3 : is_older ? 1 : 2, sizeof(window.release));
    put_histogram(room, FLO_METRIC_NAME_TTFT, TTFT_US * exp(read_series(room, device, ROOM_TTFT)));
    put_histogram(room, FLO_METRIC_NAME_TOKEN,
                  TOKEN_US * exp(read_series(room, device, ROOM_TOKEN)));
    window.has[FLO_METRIC_NAME_TTFT] = true;
    window.has[FLO_METRIC_NAME_TOKEN] = true;
    window.has[FLO_METRIC_NAME_ENGINE_RSS] = true;
    window.values[FLO_METRIC_NAME_ENGINE_RSS] =
        (int64_t)(RSS_BYTES * exp(read_series(room, device, ROOM_RSS)));
    window.has[FLO_METRIC_NAME_REQUESTS] = true;
    window.values[FLO_METRIC_NAME_REQUESTS] = REQUESTS;
    window.has[FLO_METRIC_NAME_ERRORS] = true;
    window.values[FLO_METRIC_NAME_ERRORS] =
        (int64_t)fmin(REQUESTS, chance_poisson(room->chance, REQUESTS * error_rate));
    window.has[FLO_METRIC_NAME_ENGINE_RESTARTS] = true;
    window.values[FLO_METRIC_NAME_ENGINE_RESTARTS] =
        chance_uniform(room->chance) < crash_rate / 12 ? 1 : 0;
    flo_observer_take(room->observer, device->id, hardware[device->hardware], &window,
                      room->block * FLO_BLOCK_MS - 5000);
}

static void report_all(struct room *room)
{
    for (size_t s = 0; s < room->plan.sites; s++) {
        room->load[s] = load_of(room, (uint16_t)s);
    }
    for (size_t i = 0; i < room->plan.devices; i++) {
        report(room, &room->devices[i]);
    }
}

/* ---- two days before ---- */

static void put_hours(struct room *room, struct flo_observed *observed, const double *hours)
{
    struct flo_readings *readings = observed->readings;

    for (int i = 0; i < FLO_SHAPES; i++) {
        struct flo_shape_kept *kept = &readings->shapes[i];
        bool is_speed = i != FLO_READING_ENGINE_RSS;
        double sd = is_speed ? HOUR_MEAN_SD : HOUR_MEAN_RSS_SD;
        const struct flo_mean *level = flo_observed_level(observed, (enum flo_observed_reading)i);
        if (level == NULL) {
            continue; /* it has none of these */
        }
        kept->base = (float)flo_mean_of(level);
        for (size_t h = 0; h < FLO_SHAPE_HOURS; h++) {
            double mean = (is_speed ? hours[h] : 0) + sd * chance_normal(room->chance);
            kept->hours[h] = (int16_t)lround(mean * FLO_SHAPE_ONE);
            kept->counts[h] = HISTORY;
        }
    }
}

/* The hours of the day as two days of reports would have left them: those of
 * its site less what the whole fleet does. */
static void put_history(struct room *room)
{
    double hours[FLO_SHAPE_HOURS];
    double fleet[FLO_SHAPE_HOURS] = {0};
    size_t sites = room->plan.sites;

    for (size_t k = 0; k < sites * FLO_SHAPE_HOURS; k++) {
        size_t h = k % FLO_SHAPE_HOURS;
        fleet[h] += day((double)h + 0.5 + room->day_shift[k / FLO_SHAPE_HOURS]) / (double)sites;
    }
    for (size_t i = 0; i < room->plan.devices && !room->plan.is_calm; i++) {
        const struct room_device *device = &room->devices[i];
        struct flo_observer_entry *entry = flo_observer_find(room->observer, device->id, "tiny");
        for (size_t h = 0; h < FLO_SHAPE_HOURS; h++) {
            hours[h] = day((double)h + 0.5 + room->day_shift[device->site]) - fleet[h];
        }
        put_hours(room, &entry->observed, hours);
    }
}

/* ---- the rollout ---- */

static uint64_t begin_ms(const struct room *room)
{
    return (room->block - 1) * FLO_BLOCK_MS;
}

static void step(struct room *room, struct flo_rollout_event event)
{
    static struct flo_rollout_actions actions;
    struct flo_err err = {0};

    event.now_ms = event.now_ms > 0 ? event.now_ms : begin_ms(room);
    must(flo_rollout_step(&room->entry.core, &event, &actions, &err), &err);
    if (actions.why[0] != '\0' && getenv("ROOMS_TRACE") != NULL &&
        event.kind != FLO_ROLLOUT_EVENT_JOINED) {
        fprintf(stderr, "[%3u +%3u %4zu] %s\n", room->block - room->begun, room_age(room),
                room_updated(room), actions.why);
    }
}

static void join_all(struct room *room)
{
    for (size_t i = 0; i < room->plan.devices; i++) {
        const struct room_device *device = &room->devices[i];
        struct flo_rollout_place place = {.stratum = device->site + 1u, .site = device->site + 1u};
        step(room,
             (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_JOINED,
                                        .device = device->id,
                                        .is_online = true,
                                        .bucket = (uint32_t)chance_below(room->chance, FLO_BUCKETS),
                                        .segment = (uint8_t)device->hardware,
                                        .place = &place});
    }
}

/* Phases as state/rollouts/analysis.c settles them. */
static void settle(struct room *room)
{
    struct flo_rollout_entry *entry = &room->entry;
    struct flo_rollout *core = &entry->core;
    uint32_t members = (uint32_t)room->plan.devices;
    struct flo_rollout draft;
    struct flo_err err = {0};
    struct flo_rollout_cover cover = {.hold_out =
                                          flo_hold_out(entry->spec.analysis.hold_out_pct, members)};

    core->is_covered = true;
    must(flo_rollouts_order_members(entry, cover.hold_out, &cover, &err), &err);
    json_t *phases = flo_rollouts_preset_phases(&entry->spec.analysis, members, &cover);
    size_t i;
    json_t *phase;
    json_array_foreach(phases, i, phase)
    {
        const char *name = json_string_value(json_object_get(phase, "name"));
        uint32_t size = strcmp(name, "early") == 0    ? room->plan.early
                        : strcmp(name, "canary") == 0 ? room->plan.canaries
                                                      : 0;
        if (size > 0) {
            json_object_set_new(phase, "size", json_integer(size));
        }
        if (strcmp(name, "early") == 0 && room->plan.early_soak_ms > 0) {
            json_object_set_new(phase, "soak_ms",
                                json_integer((json_int_t)room->plan.early_soak_ms));
        }
    }
    for (i = 1; i < json_array_size(phases); i++) { /* it grows still */
        json_t *one = json_object_get(json_array_get(phases, i), "size");
        while (json_is_integer(one) && json_integer_value(one) <= room->plan.canaries) {
            json_array_remove(phases, i);
            one = json_object_get(json_array_get(phases, i), "size");
        }
    }
    json_object_set_new(entry->own->spec, "cover", json_string("site"));
    json_object_set_new(entry->own->spec, "phases", phases);
    must(flo_spec_read(entry->own->spec, &entry->spec, &err), &err);
    flo_spec_draft(&entry->spec, &draft);
    core->phase_count = draft.phase_count;
    memcpy(core->phases, draft.phases, sizeof(core->phases));
    core->analysis = draft.analysis;
    core->analysis.block_ms = FLO_BLOCK_MS;
    core->is_covered = draft.is_covered;
    for (size_t s = 0; s < room->plan.classes; s++) {
        snprintf(core->segments[s], FLO_SEGMENT_TEXT, "class %zu", s);
    }
    core->segment_count = (uint32_t)room->plan.classes;
}

void room_begin(struct room *room)
{
    struct flo_rollout_entry *entry = &room->entry;
    struct flo_err err = {0};

    entry->own = &room->own;
    entry->own->spec = json_pack("{s:s,s:s,s:{s:s}}", "release", "tiny@2.0.0", "group", "all",
                                 "gates", "preset", "normal");
    must(flo_spec_read(entry->own->spec, &entry->spec, &err), &err);
    flo_spec_draft(&entry->spec, &entry->core);
    snprintf(entry->core.id, sizeof(entry->core.id), "r-0001");
    snprintf(entry->model, sizeof(entry->model), "tiny");
    memset(&entry->release, 3, sizeof(entry->release));
    entry->core.members = zeroed(room->plan.devices, sizeof(*entry->core.members));
    entry->core.member_capacity = room->plan.devices;
    join_all(room);
    settle(room);
    step(room, (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_START, .note = "bench"});
}

/* ---- its devices ---- */

static void says(struct room *room, size_t i, enum flo_execution execution)
{
    step(room, (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_EXECUTION,
                                          .device = room->devices[i].id,
                                          .attempt = 1,
                                          .execution = execution});
}

static void swap(struct room *room, size_t i)
{
    room->devices[i].is_updated = true;
    room->devices[i].since = room->block;
    room->first_swap = room->first_swap > 0 ? room->first_swap : room->block;
    says(room, i, FLO_EXECUTION_ACCEPTED);
    says(room, i, FLO_EXECUTION_SOAKING);
}

static void go_back(struct room *room, size_t i)
{
    says(room, i, FLO_EXECUTION_ROLLED_BACK);
    room->devices[i].is_updated = false;
}

/* Devices that were told swap, and others end their trial.  true: somebody
 * moved. */
static bool move_devices(struct room *room)
{
    size_t swapped = 0;

    for (size_t i = 0; i < room->plan.devices; i++) {
        const struct flo_rollout_member *member = &room->entry.core.members[i];
        struct room_device *device = &room->devices[i];
        if (member->held == FLO_HELD_BACK && device->is_updated) {
            go_back(room, i);
        } else if (member->state == FLO_EXECUTION_NOTIFIED) {
            swap(room, i);
            swapped++;
        } else if (member->state == FLO_EXECUTION_SOAKING &&
                   room->block - device->since >= TRIAL_BLOCKS) {
            says(room, i, FLO_EXECUTION_SUCCEEDED);
        }
    }
    if (swapped > 0 && room->block - room->drifted > TOGETHER) {
        drift(room);
        room->drifted = room->block;
    }
    return swapped > 0;
}

static bool has_due(const struct flo_rollout *core)
{
    const struct flo_rollout_phase *phase = &core->phases[core->phase];

    return core->state == FLO_ROLLOUT_RUNNING && phase->due > 0 &&
           phase->state == FLO_PHASE_RUNNING;
}

/* The controller's ticks of the block, as long as somebody waits for one. */
static void tick(struct room *room)
{
    uint64_t now_ms = begin_ms(room);

    step(room, (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_TICK});
    for (int s = 1; s < 280 && has_due(&room->entry.core); s++) {
        step(room, (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_TICK,
                                              .now_ms = now_ms + 1000u * s});
    }
}

/* ---- the evidence ---- */

/* As mqtt/evidence.c asks. */
static struct flo_observe_analysis *ask(struct room *room)
{
    const struct flo_rollout *core = &room->entry.core;
    struct flo_observe_analysis *analysis = flo_observe_analysis_new(room->plan.devices);
    struct flo_err err = {0};

    snprintf(analysis->rollout, sizeof(analysis->rollout), "%s", core->id);
    snprintf(analysis->model, sizeof(analysis->model), "tiny");
    analysis->release = room->entry.release;
    analysis->phase = core->phase;
    analysis->block = core->analysis.state.block;
    analysis->excluded = core->analysis.state.excluded;
    analysis->heartbeat_ms = 60000;
    analysis->label_count = room->plan.is_paired ? 3 : 2;
    analysis->labels = zeroed(analysis->label_count, sizeof(*analysis->labels));
    memcpy(analysis->labels, room->labels, analysis->label_count * sizeof(*room->labels));
    for (uint32_t i = 0; i < core->analysis.rules.count; i++) {
        analysis->weights[core->analysis.rules.rules[i].measure] =
            core->analysis.rules.rules[i].weight;
    }
    analysis->evidence.segment_count = core->segment_count;
    for (size_t i = 0; i < core->member_count; i++) {
        const struct flo_rollout_member *member = &core->members[i];
        struct flo_observe_member *to = &analysis->members[analysis->member_count++];
        memcpy(to->device, member->device, sizeof(to->device));
        to->segment = member->segment;
        to->way =
            member->held != FLO_HELD_NOT ? FLO_MEMBER_OUT : (uint8_t)flo_rollout_member_way(member);
        to->site = member->place.site;
        to->is_probe = member->is_probe;
        analysis->evidence.segments[to->segment].members++;
    }
    must(flo_observer_analysis(room->observer, analysis, begin_ms(room) + 2000, &err), &err);
    return analysis;
}

static void name_slice(const struct room *room, const struct flo_slice *slice, char *out)
{
    unsigned value = slice->value - 1u;
    unsigned classes = (unsigned)room->plan.classes;

    if (slice->value == 0) {
        out[0] = '\0';
    } else if (slice->label == 2) {
        snprintf(out, FLO_SLICE_TEXT, "site&hw=s%02u&%02u", value / classes, value % classes);
    } else {
        snprintf(out, FLO_SLICE_TEXT, "%s%02u", slice->label == 0 ? "hw=" : "site=s", value);
    }
}

static void mark(const struct room *room, const struct flo_slice *slice, uint8_t bit, uint8_t *bits)
{
    for (size_t m = 0; m < room->plan.devices; m++) {
        if (room->labels[slice->label].values[m] == slice->value) {
            bits[m] |= bit;
        }
    }
}

static void name_slices(const struct room *room, const struct flo_observe_analysis *analysis,
                        uint8_t *bits)
{
    struct flo_analysis_evidence *evidence = &room->of->evidence;
    struct flo_analysis_slices *slices = &evidence->slices;

    for (uint32_t i = 0; i < slices->changed_count; i++) {
        name_slice(room, &analysis->moved[i], slices->changed[i].name);
    }
    for (uint32_t i = 0; i < slices->count; i++) {
        const struct flo_slice *slice = &analysis->found[i].slice;
        name_slice(room, slice, slices->rows[i].name);
        name_slice(room, &analysis->found[i].wider, slices->rows[i].found);
        mark(room, slice, (uint8_t)(1u << i), bits);
    }
    for (uint32_t i = 0; i < evidence->probe_count; i++) {
        name_slice(room, &analysis->probed[i], evidence->probes[i].name);
        mark(room, &analysis->probed[i], (uint8_t)(1u << i), bits + room->plan.devices);
    }
}

static void note_evidence(struct room *room)
{
    const struct flo_analysis_evidence *evidence = &room->of->evidence;
    const struct flo_told *told = &evidence->told[FLO_MEASURE_TTFT_P95].effect;

    if (told->has_effect) {
        room->has_told = true;
        room->told = *told;
    }
    for (uint32_t i = 0; i < evidence->slices.count; i++) {
        room->has_unclear = room->has_unclear || evidence->slices.rows[i].is_asked;
    }
}

static void note_rollout(struct room *room)
{
    const struct flo_rollout *core = &room->entry.core;
    const struct flo_rollout_phase *phase = &core->phases[core->phase];
    uint32_t next = core->phase + 1;
    bool is_last = next == core->phase_count || core->phases[next].is_hold_out;

    room->has_alarm = room->has_alarm || core->analysis.state.is_alarmed;
    room->is_stopped = room->is_stopped ||
                       (core->state != FLO_ROLLOUT_RUNNING && core->state != FLO_ROLLOUT_COMPLETED);
    room->is_held = room->is_held || phase->state == FLO_PHASE_HELD;
    room->is_proven = room->is_proven || (is_last && phase->state == FLO_PHASE_PASSED);
    if (room->named_at == 0 && core->analysis.state.held_count > 0) {
        room->named_at = room->block;
        room->named_updated = (uint32_t)room_updated(room);
    }
}

/* The block that ended, judged. */
static void judge(struct room *room)
{
    struct flo_observe_analysis *analysis = ask(room);
    uint8_t *bits = zeroed(room->plan.devices, 2); /* rows; probes */

    if (analysis->is_new) {
        memset(room->of, 0, sizeof(*room->of));
        room->of->evidence = analysis->evidence;
        name_slices(room, analysis, bits);
        room->of->slices = bits;
        room->of->probes = bits + room->plan.devices;
        note_evidence(room);
        if (!room->plan.is_only_asked) {
            step(room, (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_ANALYSIS,
                                                  .analysis = room->of});
        }
        room->of->slices = room->of->probes = NULL;
        for (int i = 0; i < FLO_ANALYSIS_PROBES_MAX; i++) {
            room->probed += room->of->finding.probed[i];
        }
    }
    free(bits);
    flo_observe_analysis_free(analysis);
    note_rollout(room);
}

void room_step(struct room *room)
{
    if (room->entry.core.member_count > 0 && !room->is_stopped) {
        judge(room);
    }
    if (room->entry.core.member_count > 0 && !room->is_stopped) {
        tick(room);
        if (move_devices(room)) {
            flo_observe_analysis_free(ask(room));
        }
        note_rollout(room);
    }
    report_all(room);
    room->block++;
}
