/* Observed: takes telemetry windows, assigns a device to an arm of its rollout,
 * and ends blocks. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include <flotilla/metrics.h>

#include "server-stub/core/gate/observe/observed.h"

#define HOURS_KEPT 8
#define EARLY_BLOCKS (2 * FLO_BLOCKS_PER_HOUR)

static const struct flo_reading_fact facts[] = {
#define FLO_READING(name, word, metric, sketch, quantile, least, title)                            \
    {word, FLO_METRIC_NAME_##metric, sketch, quantile, least, title},
#include "server-stub/core/gate/observe/readings.def"
#undef FLO_READING
};

const struct flo_reading_fact *flo_reading_fact(enum flo_observed_reading reading)
{
    assert((size_t)reading < FLO_COUNT(facts));
    return &facts[reading];
}

/* ---- sketches ---- */

/* Drops the sketches that collect samples, because their samples are not from
 * the release that runs now. */
static void forget_open(struct flo_readings *readings)
{
    if (readings != NULL) {
        memset(readings->pairs, 0, sizeof(readings->pairs));
        memset(readings->opened, 0, sizeof(readings->opened));
        memset(readings->gauges, 0, sizeof(readings->gauges));
        readings->fresh = 0;
    }
}

/* ---- hours ---- */

static void move_to_hour(struct flo_observed *observed, uint32_t hour)
{
    uint32_t passed = hour - observed->hour;

    if (hour <= observed->hour) {
        observed->hour = hour; /* earlier hour: the clock was set back */
        return;
    }
    observed->hours_heard = passed < HOURS_KEPT ? (uint8_t)(observed->hours_heard << passed) : 0;
    observed->hours_died = passed < HOURS_KEPT ? (uint8_t)(observed->hours_died << passed) : 0;
    observed->hour = hour;
}

static bool is_early(const struct flo_observed *observed, uint32_t block)
{
    return observed->split > 0 && block >= observed->split &&
           block - observed->split < EARLY_BLOCKS;
}

static void crashed(struct flo_observed *observed, uint32_t block)
{
    uint32_t hour = block / FLO_BLOCKS_PER_HOUR;

    move_to_hour(observed, hour);
    observed->hours_died |= 1;
    if (observed->split > 0 && observed->crashed != hour) {
        observed->crashed = hour;
        observed->crashes =
            (uint16_t)(observed->crashes < UINT16_MAX ? observed->crashes + 1 : UINT16_MAX);
    }
    observed->died_early = observed->died_early || is_early(observed, block);
}

/* ---- swaps and splits ---- */

static void runs(struct flo_observed *observed, uint32_t release, uint32_t block)
{
    assert(release != 0 && release != observed->release);
    forget_open(observed->readings);
    observed->former = observed->release;
    observed->release = release;
    observed->moved = block;
}

static struct flo_past *past_of(struct flo_observed *observed, uint32_t release)
{
    struct flo_past *place = &observed->pasts[0];

    for (size_t i = 0; i < FLO_LEVELS_MAX; i++) {
        struct flo_past *one = &observed->pasts[i];
        if (one->release == release) {
            return one;
        }
        if (one->release == 0 || (place->release != 0 && one->heard < place->heard)) {
            place = one;
        }
    }
    *place = (struct flo_past){.release = release};
    return place;
}

/* Returns the counts before the split, for the comparison with those after it.
 * They are those of the running release.  A release with too few blocks is
 * replaced by an older one that has enough. */
static struct flo_counters counters_before(const struct flo_observed *observed, uint32_t running)
{
    const struct flo_past *own = NULL;
    const struct flo_past *older = NULL;

    for (size_t i = 0; i < FLO_LEVELS_MAX; i++) {
        const struct flo_past *one = &observed->pasts[i];
        if (one->release == 0) {
            continue;
        }
        if (one->release == running) {
            own = one;
        } else if (one->counters.blocks >= FLO_BEFORE_MIN &&
                   (older == NULL || one->heard > older->heard)) {
            older = one;
        }
    }
    bool has_own = own != NULL && own->counters.blocks >= FLO_BEFORE_MIN;
    const struct flo_past *before = has_own || older == NULL ? own : older;
    return before != NULL ? before->counters : (struct flo_counters){0};
}

/* Finds the level of the running release, or else of any release that has
 * readings.  It is for rules that need no baseline. */
static const struct flo_level *any_level(const struct flo_level_table *levels, uint32_t running)
{
    const struct flo_level *best = flo_levels_of(levels, running);

    for (size_t i = 0; i < FLO_LEVELS_MAX && best == NULL; i++) {
        const struct flo_level *one = &levels->levels[i];
        if (one->release != 0 && one->mean.count > 0) {
            best = one;
        }
    }
    return best;
}

/* Facts with which a device's comparison begins (a split), among them the
 * release that it ran before. */
struct parting {
    uint32_t running;
    uint32_t block;
    uint8_t phase;
    bool is_control;
    /* The device already ran the rollout's release before the comparison began.
     * A comparison then needs a full baseline of that release. */
    bool is_same;
};

static uint32_t stratum_of(uint32_t running, enum flo_reference reference,
                           const struct flo_level *level)
{
    uint32_t both[] = {running, level != NULL ? level->release : 0};

    return reference == FLO_REFERENCE_OLDER ? flo_crc32c(1, both, sizeof(both)) | 1 : 0;
}

static void split_reading(struct flo_readings *readings, int reading, const struct parting *of)
{
    static const struct flo_mean none;
    const struct flo_level_table *levels = &readings->levels[reading];
    const struct flo_level *level;
    enum flo_reference reference = flo_levels_reference(levels, of->running, of->block, &level);

    assert(reading >= 0 && reading < FLO_READING_COUNT);
    readings->stratum[reading] = stratum_of(of->running, reference, level);
    if (of->is_same && reference != FLO_REFERENCE_OWN) {
        reference = FLO_REFERENCE_NONE;
        level = NULL;
    } else if (reference == FLO_REFERENCE_NONE) {
        level =
            of->is_control ? flo_levels_of(levels, of->running) : any_level(levels, of->running);
    }
    flo_series_split(&readings->series[reading], level != NULL ? &level->mean : &none);
    readings->reference[reading] = (uint8_t)reference;
    if (reading < FLO_SHAPES) {
        struct flo_shape_daily *daily = &readings->daily[reading];
        daily->before = level != NULL ? (float)flo_shape_daily_mean(daily, level->day) : 0;
    }
}

/* ---- the hour of the day ---- */

void flo_observed_fix_daily(struct flo_observed *observed)
{
    struct flo_readings *readings = observed->readings;

    if (readings == NULL || readings->has_daily) {
        return;
    }
    for (int i = 0; i < FLO_SHAPES; i++) {
        flo_shape_daily_fix(&readings->shapes[i], &readings->daily[i]);
    }
    readings->has_daily = true;
}

double flo_observed_daily(const struct flo_observed *observed, enum flo_observed_reading reading,
                          uint32_t block)
{
    assert(reading < FLO_READING_COUNT);
    return observed->readings != NULL && (int)reading < FLO_SHAPES
               ? flo_shape_daily_at(&observed->readings->daily[reading], flo_shape_hour(block))
               : 0;
}

/* Begins the comparison of the device with its past on the release that it
 * ran. */
static void split(struct flo_observed *observed, const struct parting *of)
{
    assert(of->block > 0);
    flo_observed_fix_daily(observed);
    for (int i = 0; i < FLO_READING_COUNT && observed->readings != NULL; i++) {
        split_reading(observed->readings, i, of);
    }
    observed->before = counters_before(observed, of->running);
    observed->split = of->block;
    observed->phase = of->phase;
    observed->since = (struct flo_counters){0};
    observed->crashes = 0;
    observed->crashed = 0;
    move_to_hour(observed, of->block / FLO_BLOCKS_PER_HOUR);
    observed->died_early = false;
    observed->before_heard = observed->hours_heard;
    observed->before_died = observed->hours_died;
}

/* Returns the block from which memory counts: caches have filled by then. */
uint32_t flo_observed_leak_from(const struct flo_observed *observed, uint32_t block)
{
    uint32_t after = observed->leak_from > 0 ? observed->leak_from : FLO_LEAK_BLOCKS;

    return block < UINT32_MAX - after ? block + after : block;
}

static void begin_memory(struct flo_observed *observed, uint32_t block)
{
    if (observed->readings != NULL) {
        flo_slope_begin(&observed->readings->memory, flo_observed_leak_from(observed, block));
    }
}

/* Makes the device treated, because it now runs its rollout's release. */
static void treat(struct flo_observed *observed, uint32_t running, uint8_t phase, uint32_t block)
{
    split(observed, &(struct parting){.running = running,
                                      .block = block,
                                      .phase = phase,
                                      .is_same = running == observed->release});
    observed->arm = FLO_ARM_TREATED;
    observed->is_busy = false;
    observed->early = 0;
    begin_memory(observed, block);
}

static void swap(struct flo_observed *observed, const struct flo_observed_rollout *rollout,
                 uint32_t block)
{
    uint32_t running = observed->release;

    if (running != rollout->release) {
        runs(observed, rollout->release, block);
    }
    treat(observed, running, rollout->phase, block);
}

void flo_observed_split(struct flo_observed *observed, uint8_t phase, uint32_t block)
{
    assert(phase > 0 && block > 0);
    if (observed->arm == FLO_ARM_CONTROL && observed->phase != phase) {
        split(observed, &(struct parting){.running = observed->release,
                                          .block = block,
                                          .phase = phase,
                                          .is_control = true});
        if (observed->readings != NULL && observed->readings->memory.from == 0) {
            /* the track of memory begins only once in a rollout */
            begin_memory(observed, block);
        }
    }
}

/* Drops the device's level of the GOLDEN reading under the rollout's release.
 * It was measured with the golden answers of the release before the swap. */
static void forget_former(struct flo_observed *observed)
{
    struct flo_level_table *levels;

    if (observed->readings == NULL || observed->arm != FLO_ARM_TREATED) {
        return;
    }
    levels = &observed->readings->levels[FLO_READING_GOLDEN];
    for (size_t i = 0; i < FLO_LEVELS_MAX; i++) {
        if (levels->levels[i].release == observed->coming) {
            levels->levels[i] = (struct flo_level){0};
        }
    }
}

/* Moves the mean of each daily curve by the change that the rollout's release
 * caused. */
static void move_hours(struct flo_observed *observed)
{
    struct flo_readings *readings = observed->readings;
    double d;

    for (int i = 0; i < FLO_SHAPES && readings != NULL; i++) {
        if (observed->arm == FLO_ARM_TREATED && observed->release == observed->coming &&
            flo_observed_difference(observed, (enum flo_observed_reading)i, &d)) {
            flo_shape_move(&readings->shapes[i], d);
        }
    }
}

void flo_observed_release(struct flo_observed *observed)
{
    move_hours(observed);
    forget_former(observed);
    if (observed->readings != NULL) {
        observed->readings->memory = (struct flo_slope_track){0};
        memset(observed->readings->daily, 0, sizeof(observed->readings->daily));
        observed->readings->has_daily = false;
    }
    observed->rollout = 0;
    observed->coming = 0;
    observed->arm = FLO_ARM_NONE;
    observed->split = 0;
    observed->phase = 0;
    observed->is_busy = false;
    observed->is_silent = false;
}

/* ---- a member of a rollout ---- */

static void attach(struct flo_observed *observed, uint32_t rollout)
{
    assert(rollout != 0 && rollout != observed->rollout);
    flo_observed_release(observed);
    observed->rollout = rollout;
    observed->arm = FLO_ARM_CONTROL;
    observed->crashes = 0;
    observed->died_early = false;
    observed->since = (struct flo_counters){0};
}

/* Returns true if the device had the release early: its telemetry showed the
 * release before its rollout was known. */
static bool is_ahead(const struct flo_observed *observed,
                     const struct flo_observed_rollout *rollout, uint32_t block)
{
    return observed->release == rollout->release && observed->moved > 0 && observed->former != 0 &&
           block < observed->moved + FLO_AHEAD_BLOCKS;
}

bool flo_observed_has_left(const struct flo_observed *observed,
                           const struct flo_observed_rollout *rollout, enum flo_member_way way)
{
    if (way != FLO_MEMBER_SWAPPED || observed->rollout == rollout->id ||
        observed->release == rollout->release) {
        return false;
    }
    for (size_t i = 0; i < FLO_LEVELS_MAX; i++) {
        if (observed->pasts[i].release == rollout->release) {
            return true;
        }
    }
    return false;
}

bool flo_observed_place(struct flo_observed *observed, const struct flo_observed_rollout *rollout,
                        enum flo_member_way way, uint8_t segment, uint32_t block)
{
    bool has_swapped =
        way == FLO_MEMBER_SWAPPED || way == FLO_MEMBER_SILENT || way == FLO_MEMBER_DIED;
    bool is_now = false;

    assert(rollout->id != 0 && block > 0);
    if (observed->rollout != rollout->id) {
        attach(observed, rollout->id);
    }
    observed->segment = segment;
    observed->coming = rollout->release;
    observed->leak_from = rollout->leak_from;
    observed->is_busy = way == FLO_MEMBER_BUSY && observed->arm == FLO_ARM_CONTROL;
    observed->is_silent = way == FLO_MEMBER_SILENT;
    if (way == FLO_MEMBER_OUT) {
        observed->arm = FLO_ARM_LEFT;
    }
    if (observed->arm == FLO_ARM_CONTROL && is_ahead(observed, rollout, block)) {
        treat(observed, observed->former, rollout->phase, block);
        is_now = true;
    } else if (has_swapped && observed->arm == FLO_ARM_CONTROL) {
        swap(observed, rollout, block);
        is_now = true;
    }
    if (way == FLO_MEMBER_DIED && observed->arm == FLO_ARM_TREATED) {
        crashed(observed, block);
        observed->arm = FLO_ARM_ENDED;
    }
    return is_now;
}

/* ---- windows ---- */

/* Handles a change of release.  Returns true when the new release is the
 * rollout's. */
static bool moves(struct flo_observed *observed, const struct flo_observed_window *window,
                  const struct flo_observed_rollout *rollout)
{
    assert(window->release != observed->release);
    if (observed->arm == FLO_ARM_CONTROL && rollout != NULL &&
        window->release == rollout->release) {
        swap(observed, rollout, window->block);
        return true;
    }
    if (observed->arm == FLO_ARM_CONTROL) {
        /* The device now runs a release that its rollout did not bring, or an
         * older rollout rolled it back.  So it is no control until the next
         * phase begins a comparison. */
        observed->split = 0;
        if (observed->readings != NULL) {
            observed->readings->memory = (struct flo_slope_track){0};
        }
    }
    runs(observed, window->release, window->block);
    return false;
}

/* Tells whether the device's present readings count as readings after its
 * split, the moment when its comparison began. */
static bool is_since(const struct flo_observed *observed)
{
    return observed->split > 0 && observed->arm != FLO_ARM_ENDED &&
           (observed->arm != FLO_ARM_TREATED || observed->release == observed->coming);
}

/* Adds a telemetry window's counts.  When the counter would overflow, the
 * window's rated answers are dropped, good and bad ones together. */
static void add_counters(struct flo_counters *counters, const struct flo_observed_window *window)
{
    uint64_t room = UINT32_MAX - counters->judged;

    counters->errors += (double)window->errors;
    counters->requests += (double)window->requests;
    if (window->good <= room && window->bad <= room - window->good) {
        counters->judged += (uint32_t)(window->good + window->bad);
        counters->bad += (uint32_t)window->bad;
    }
}

static void add_numbers(struct flo_observed *observed, const struct flo_observed_window *window)
{
    struct flo_past *past = past_of(observed, window->release);

    assert(window->release == observed->release);
    past->heard = window->block;
    add_counters(&past->counters, window);
    if (is_since(observed)) {
        add_counters(&observed->since, window);
    }
    if (window->engine_ends > 0 && observed->arm != FLO_ARM_ENDED) {
        crashed(observed, window->block);
    }
}

/* Tells whether the samples of a telemetry window count.  Caches are cold in a
 * window in which the engine or the agent started, and in a release's first
 * blocks. */
static bool is_steady(const struct flo_observed *observed, const struct flo_observed_window *window)
{
    return window->engine_ends == 0 && !window->is_after_start &&
           (observed->moved == 0 || window->block < observed->moved ||
            window->block - observed->moved >= FLO_WARM_BLOCKS);
}

/* Returns a gauge of a telemetry window.  For the gauge GOLDEN, an updated
 * device is measured by the golden answers of the release before its swap. */
static uint64_t gauge_of(const struct flo_observed *observed,
                         const struct flo_observed_window *window, size_t gauge)
{
    bool is_former = gauge == FLO_READING_GOLDEN - FLO_READING_ENGINE_RSS &&
                     observed->arm == FLO_ARM_TREATED && observed->release == observed->coming;

    assert(gauge < FLO_GAUGES);
    return is_former ? window->golden_former : window->gauges[gauge];
}

static void add_samples(const struct flo_observed *observed,
                        const struct flo_observed_window *window)
{
    struct flo_readings *readings = observed->readings;

    for (size_t i = 0; i < FLO_SKETCHES; i++) {
        if (window->histograms[i] != NULL && window->histograms[i]->count > 0) {
            readings->opened[i] =
                readings->pairs[i].count > 0 ? readings->opened[i] : window->block;
            flo_pairs_merge(&readings->pairs[i], window->histograms[i]);
        }
    }
    for (size_t i = 0; i < FLO_GAUGES; i++) {
        uint64_t value = gauge_of(observed, window, i);
        if (value > 0) {
            readings->gauges[i].sum += log((double)value);
            readings->gauges[i].count++;
        }
    }
}

bool flo_observed_take(struct flo_observed *observed, const struct flo_observed_window *window,
                       const struct flo_observed_rollout *rollout)
{
    bool is_swap = false;

    assert(window->block > 0 && window->release != 0);
    observed->release = observed->release != 0 ? observed->release : window->release;
    if (window->release != observed->release) {
        is_swap = moves(observed, window, rollout);
    }
    if (observed->is_busy) {
        return is_swap;
    }
    move_to_hour(observed, window->block / FLO_BLOCKS_PER_HOUR);
    observed->hours_heard |= 1;
    observed->heard = window->block;
    add_numbers(observed, window);
    if ((window->engine_ends > 0 || window->is_after_start) && is_since(observed)) {
        begin_memory(observed, window->block); /* the engine restarted and released its memory */
    }
    if (observed->readings != NULL && is_steady(observed, window)) {
        add_samples(observed, window);
    }
    return is_swap;
}

/* ---- the end of a block ---- */

static void read_gauge(struct flo_readings *readings, int reading)
{
    struct flo_mean *gauge = &readings->gauges[reading - FLO_READING_ENGINE_RSS];

    assert(facts[reading].sketch == FLO_NO_SKETCH);
    if (gauge->count > 0) {
        readings->y[reading] = flo_mean_of(gauge);
        readings->fresh |= (uint8_t)(1u << reading);
    }
    *gauge = (struct flo_mean){0};
}

static void read_sketch(struct flo_readings *readings, size_t sketch, uint32_t block)
{
    struct flo_pairs *pairs = &readings->pairs[sketch];
    bool is_first = true;
    bool is_done = pairs->count > 0 && block >= readings->opened[sketch] + FLO_SKETCH_BLOCKS_MAX;

    assert(sketch < FLO_SKETCHES);
    for (int i = 0; i < FLO_READING_COUNT; i++) {
        if (facts[i].sketch != sketch) {
            continue;
        }
        bool is_read = flo_pairs_read(pairs, facts[i].quantile, facts[i].least, &readings->y[i]);
        if (is_first && !is_read) {
            break; /* there are too few samples, so the sketch stays open */
        }
        is_done = true;
        is_first = false;
        readings->fresh |= is_read ? (uint8_t)(1u << i) : 0;
    }
    if (is_done) {
        pairs->count = 0;
    }
}

void flo_observed_read(struct flo_observed *observed, uint32_t block)
{
    struct flo_readings *readings = observed->readings;

    if (readings == NULL) {
        return;
    }
    readings->fresh = 0;
    for (size_t i = 0; i < FLO_SKETCHES; i++) {
        read_sketch(readings, i, block);
    }
    for (int i = 0; i < FLO_READING_COUNT; i++) {
        if (facts[i].sketch == FLO_NO_SKETCH) {
            read_gauge(readings, i);
        }
    }
}

const struct flo_mean *flo_observed_level(const struct flo_observed *observed,
                                          enum flo_observed_reading reading)
{
    const struct flo_level *level =
        observed->readings == NULL
            ? NULL
            : flo_levels_of(&observed->readings->levels[reading], observed->release);

    assert(reading < FLO_READING_COUNT);
    return level != NULL ? &level->mean : NULL;
}

bool flo_observed_is_member(const struct flo_observed *observed)
{
    return observed->readings != NULL && !observed->is_busy &&
           (observed->arm == FLO_ARM_NONE || observed->arm == FLO_ARM_CONTROL);
}

static void end_counters(struct flo_counters *counters)
{
    counters->blocks++;
    if (counters->blocks >= FLO_BASE_READINGS_MAX) {
        *counters = (struct flo_counters){.errors = counters->errors / 2,
                                          .requests = counters->requests / 2,
                                          .judged = counters->judged / 2,
                                          .bad = counters->bad / 2,
                                          .blocks = counters->blocks / 2};
    }
}

/* Adds a reading to the device's daily curve.  The device's change since its
 * swap is subtracted first, because the new release may have moved all hours.
 * While this change is unknown, the reading is not added. */
static void keep_hour(struct flo_observed *observed, int reading, uint32_t block, double x)
{
    double d = 0;
    bool is_judged = (observed->arm == FLO_ARM_TREATED || observed->arm == FLO_ARM_ENDED) &&
                     observed->release == observed->coming;

    assert(reading >= 0 && reading < FLO_SHAPES);
    if (!is_judged || flo_observed_difference(observed, (enum flo_observed_reading)reading, &d)) {
        (void)flo_shape_keep(&observed->readings->shapes[reading], flo_shape_hour(block), x - d);
    }
}

/* Adds a reading after the split.  `taken` is the segment's curve in the block
 * plus the device's daily curve; it is subtracted from the reading. */
static void add_since(struct flo_observed *observed, int reading, uint32_t block, double y,
                      double taken)
{
    struct flo_readings *readings = observed->readings;
    struct flo_series *series = &readings->series[reading];
    bool is_gauge = facts[reading].sketch == FLO_NO_SKETCH;

    assert(is_since(observed));
    if (reading == FLO_READING_ENGINE_RSS) {
        (void)flo_slope_add(&readings->memory, block, y - taken);
    }
    /* `before`, the mean of the daily curve, is part of the level before the
     * split.  The reading must therefore keep this mean, too. */
    if (reading < FLO_SHAPES) {
        taken -= (double)readings->daily[reading].before;
    }
    if (observed->arm == FLO_ARM_CONTROL) {
        (void)flo_levels_control(series, y - taken, taken, is_gauge);
    } else {
        flo_series_after(series, y - taken, taken, is_gauge);
    }
}

static void end_reading(struct flo_observed *observed, int reading, uint32_t block, double curve)
{
    struct flo_readings *readings = observed->readings;
    double x = readings->y[reading] - curve;
    bool is_fresh = (readings->fresh >> reading & 1) != 0;

    /* The result is ignored: the call only fails for an x that is not finite,
     * which whole numbers never give. */
    (void)flo_levels_add(&readings->levels[reading], observed->release, is_fresh ? &x : NULL,
                         block);
    if (!is_fresh) {
        return;
    }
    if (is_since(observed)) {
        add_since(observed, reading, block, readings->y[reading],
                  curve + flo_observed_daily(observed, (enum flo_observed_reading)reading, block));
    }
    if (reading < FLO_SHAPES) {
        keep_hour(observed, reading, block, x);
    }
}

void flo_observed_end(struct flo_observed *observed, uint32_t block, const double *curve)
{
    struct flo_readings *readings = observed->readings;

    assert(readings == NULL || curve != NULL);
    if (observed->heard == block) {
        end_counters(&past_of(observed, observed->release)->counters);
        observed->since.blocks += is_since(observed) ? 1 : 0;
        observed->early += observed->arm == FLO_ARM_TREATED && is_early(observed, block) ? 1 : 0;
    }
    if (readings == NULL || observed->release == 0 ||
        (readings->fresh == 0 && observed->heard != block)) {
        return;
    }
    if (readings->fresh != 0 && is_since(observed)) {
        observed->read = block;
    }
    for (int i = 0; i < FLO_READING_COUNT; i++) {
        end_reading(observed, i, block, curve[i]);
    }
    readings->fresh = 0;
}

/* ---- for a comparison ---- */

bool flo_observed_difference(const struct flo_observed *observed, enum flo_observed_reading reading,
                             double *out)
{
    const struct flo_readings *readings = observed->readings;

    assert(reading < FLO_READING_COUNT);
    if (readings == NULL || observed->split == 0) {
        return false;
    }
    bool is_control = observed->arm == FLO_ARM_CONTROL;
    return (is_control || readings->reference[reading] != FLO_REFERENCE_NONE) &&
           flo_series_difference(&readings->series[reading],
                                 is_control ? FLO_BEFORE_MIN : FLO_LEVEL_THIN, 1, out);
}

uint32_t flo_observed_stratum(const struct flo_observed *observed,
                              enum flo_observed_reading reading)
{
    assert(reading < FLO_READING_COUNT);
    return observed->readings != NULL ? observed->readings->stratum[reading] : 0;
}

bool flo_observed_past(const struct flo_observed *observed, enum flo_observed_reading reading,
                       uint32_t block, double *mean, uint32_t *stratum)
{
    const struct flo_level *level;

    assert(reading < FLO_READING_COUNT);
    if (observed->readings == NULL) {
        return false;
    }
    enum flo_reference reference = flo_levels_reference(&observed->readings->levels[reading],
                                                        observed->release, block, &level);
    if (reference != FLO_REFERENCE_OWN && reference != FLO_REFERENCE_OLDER) {
        return false;
    }
    *mean = flo_mean_of(&level->mean);
    if ((int)reading < FLO_SHAPES) {
        *mean -= flo_shape_daily_mean(&observed->readings->daily[reading], level->day);
    }
    *stratum = stratum_of(observed->release, reference, level);
    return true;
}

void flo_observed_counters(const struct flo_observed *observed, struct flo_counters *out)
{
    *out = counters_before(observed, observed->release);
}

void flo_observed_change(const struct flo_observed *observed, enum flo_observed_reading reading,
                         struct flo_observed_change *out)
{
    const struct flo_series *series;

    assert(reading < FLO_READING_COUNT);
    *out = (struct flo_observed_change){0};
    if (observed->readings == NULL || observed->split == 0) {
        return;
    }
    series = &observed->readings->series[reading];
    out->before = series->first.count;
    out->d = flo_series_change(series, &out->after);
}

bool flo_observed_reads(const struct flo_observed *observed, enum flo_observed_reading reading)
{
    const struct flo_readings *readings = observed->readings;
    size_t sketch = facts[reading].sketch;

    assert(reading < FLO_READING_COUNT);
    if (readings == NULL) {
        return false;
    }
    const struct flo_series *series = &readings->series[reading];
    if (series->before.count > 0 || series->after.count > 0 ||
        (sketch != FLO_NO_SKETCH && readings->pairs[sketch].count > 0)) {
        return true;
    }
    const struct flo_mean *level = flo_observed_level(observed, reading);
    return level != NULL && level->count > 0;
}

const enum flo_observed_reading flo_slow_readings[] = {FLO_READING_TTFT_P95, FLO_READING_TOKEN_P50,
                                                       FLO_READING_BATCH_TOKEN};
const size_t flo_slow_reading_count = FLO_COUNT(flo_slow_readings);

bool flo_observed_reference(const struct flo_observed *observed, enum flo_observed_reading reading,
                            double *mean)
{
    const struct flo_readings *readings = observed->readings;

    assert(reading < FLO_READING_COUNT);
    if (readings == NULL || observed->split == 0 ||
        readings->reference[reading] == FLO_REFERENCE_NONE ||
        readings->series[reading].before.count < FLO_LEVEL_THIN) {
        return false;
    }
    *mean = flo_mean_of(&readings->series[reading].before);
    if ((int)reading < FLO_SHAPES) {
        *mean -= (double)readings->daily[reading].before;
    }
    return true;
}

bool flo_observed_is_unread(const struct flo_observed *observed, uint32_t block,
                            uint32_t blocks_max, bool *is_known)
{
    bool is_read = observed->read >= observed->split && observed->read > 0;
    uint32_t since = is_read ? observed->read : observed->split;
    bool is_late = observed->arm != FLO_ARM_ENDED && block > since && block - since > blocks_max;

    *is_known = observed->readings != NULL && observed->split > 0 && (is_read || is_late);
    return is_late;
}

double flo_observed_hours(const struct flo_observed *observed)
{
    return (double)observed->since.blocks / FLO_BLOCKS_PER_HOUR;
}

void flo_observed_deaths(const struct flo_observed *observed, struct flo_deaths_arm *treated,
                         struct flo_deaths_arm *others)
{
    bool is_treated = observed->arm == FLO_ARM_TREATED || observed->arm == FLO_ARM_ENDED;
    uint8_t heard = is_treated ? observed->before_heard : observed->hours_heard;
    uint8_t died = is_treated ? observed->before_died : observed->hours_died;

    others->exposure += __builtin_popcount(heard);
    others->died += died != 0 ? 1 : 0;
    if (is_treated) {
        bool is_lost = observed->is_silent &&
                       (observed->heard < observed->split || is_early(observed, observed->heard));
        treated->exposure += (double)observed->early / FLO_BLOCKS_PER_HOUR;
        treated->died += observed->died_early || is_lost ? 1 : 0;
    }
}

void flo_observed_crashes(const struct flo_observed *observed, uint32_t block,
                          struct flo_observed_crashes *out)
{
    uint32_t blocks = block > observed->split ? block - observed->split : 0;

    if (observed->split == 0) {
        *out = (struct flo_observed_crashes){0};
        return;
    }
    blocks = blocks < EARLY_BLOCKS ? blocks : EARLY_BLOCKS;
    *out = (struct flo_observed_crashes){.has_crashed = observed->died_early,
                                         .hours = (double)blocks / FLO_BLOCKS_PER_HOUR,
                                         .hours_before = __builtin_popcount(observed->before_heard),
                                         .died_before = __builtin_popcount(observed->before_died)};
}
