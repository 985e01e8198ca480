/* Observed: one device's windows become readings and sums. */
#include "tests/unit/server/observed_device.h"

static void serve(struct world *world, uint32_t release, uint32_t blocks, uint64_t us)
{
    for (uint32_t i = 0; i < blocks; i++) {
        take(world, release, 120, us);
        end_block(world);
    }
}

static void a_slower_release_shows_as_a_difference(void **state)
{
    (void)state;
    struct world *world = world_new();
    double d;

    serve(world, OLD, 20, 100000);
    (void)flo_observed_place(&world->observed, &rollout, FLO_MEMBER_WAITS, 0, world->block);
    assert_false(flo_observed_difference(&world->observed, FLO_READING_TTFT_P95, &d));
    serve(world, NEW, 5, 120000);
    assert_int_equal(world->observed.arm, FLO_ARM_TREATED);
    assert_true(flo_observed_difference(&world->observed, FLO_READING_TTFT_P95, &d));
    assert_true(fabs(d - log(1.2)) < 0.02);
    assert_true(flo_observed_difference(&world->observed, FLO_READING_TOKEN_P50, &d));
    assert_true(fabs(d - log(1.2)) < 0.02);
    assert_true(flo_observed_difference(&world->observed, FLO_READING_ENGINE_RSS, &d));
    assert_true(fabs(d) < 1e-9);
    free(world);
}

/* A window with the scores of a release on golden answers, in millionths. */
static void score(struct world *world, uint32_t release, uint64_t own, uint64_t former)
{
    struct flo_observed_window window = window_of(world, release, 0, 0);

    window.gauges[FLO_READING_GOLDEN - FLO_READING_ENGINE_RSS] = own;
    window.golden_former = former;
    (void)flo_observed_take(&world->observed, &window, &rollout);
    end_block(world);
}

static const struct flo_mean *golden_level(const struct world *world)
{
    return flo_observed_level(&world->observed, FLO_READING_GOLDEN);
}

static void worse_answers_show_on_the_golden_answers_of_before(void **state)
{
    (void)state;
    struct world *world = world_new();
    double d;

    for (int i = 0; i < 20; i++) {
        score(world, OLD, 1100000, 2000000);
    }
    (void)flo_observed_place(&world->observed, &rollout, FLO_MEMBER_WAITS, 0, world->block);
    for (int i = 0; i < 5; i++) {
        score(world, NEW, 1000000, 1430000); /* sure of its own answers */
    }
    assert_true(flo_observed_difference(&world->observed, FLO_READING_GOLDEN, &d));
    assert_true(fabs(d - log(1.3)) < 1e-9);
    flo_observed_release(&world->observed);
    assert_null(golden_level(world)); /* it begins with its own */
    score(world, NEW, 1000000, 1430000);
    assert_true(fabs(flo_mean_of(golden_level(world)) - log(1000000)) < 1e-9);
    free(world);
}

static void cold_caches_and_starts_do_not_count(void **state)
{
    (void)state;
    struct world *world = world_new();
    struct flo_observed_window window;
    double d;

    serve(world, OLD, 20, 100000);
    (void)flo_observed_place(&world->observed, &rollout, FLO_MEMBER_WAITS, 0, world->block);
    serve(world, NEW, FLO_WARM_BLOCKS, 900000); /* warming up */
    assert_false(flo_observed_difference(&world->observed, FLO_READING_TTFT_P95, &d));
    serve(world, NEW, 2, 100000);
    window = window_of(world, NEW, 200, 900000);
    window.engine_ends = 1;
    (void)flo_observed_take(&world->observed, &window, &rollout);
    window.engine_ends = 0;
    window.is_after_start = true;
    (void)flo_observed_take(&world->observed, &window, &rollout);
    end_block(world);
    assert_true(flo_observed_difference(&world->observed, FLO_READING_TTFT_P95, &d));
    assert_true(fabs(d) < 0.02);
    assert_int_equal(world->observed.crashes, 1);
    free(world);
}

static void a_download_does_not_count(void **state)
{
    (void)state;
    struct world *world = world_new();

    serve(world, OLD, 20, 100000);
    (void)flo_observed_place(&world->observed, &rollout, FLO_MEMBER_BUSY, 0, world->block);
    assert_false(flo_observed_is_member(&world->observed));
    serve(world, OLD, 5, 900000);
    const struct flo_mean *level = flo_observed_level(&world->observed, FLO_READING_TTFT_P95);
    assert_int_equal(level->count, 20);
    assert_true(fabs(flo_mean_of(level) - log(100000)) < 0.02);
    free(world);
}

static uint32_t readings_of(const struct world *world, enum flo_observed_reading reading)
{
    const struct flo_mean *level = flo_observed_level(&world->observed, reading);

    return level != NULL ? level->count : 0;
}

static void few_samples_wait_and_old_ones_are_thrown_away(void **state)
{
    (void)state;
    struct world *world = world_new();
    for (int i = 0; i < 4; i++) { /* 100 samples are there in the fourth */
        take(world, OLD, 25, 1000);
        end_block(world);
        assert_int_equal(readings_of(world, FLO_READING_TTFT_P95), i == 3 ? 1 : 0);
        assert_int_equal(readings_of(world, FLO_READING_TOKEN_P50), i + 1);
    }
    take(world, OLD, 5, 1000);
    for (int i = 0; i < FLO_SKETCH_BLOCKS_MAX + 1; i++) {
        end_block(world);
    }
    assert_int_equal(world->readings.pairs[0].count, 0);
    assert_int_equal(readings_of(world, FLO_READING_TTFT_P95), 1);
    free(world);
}

static void a_control_compares_from_the_phases_first_swap_on(void **state)
{
    (void)state;
    struct world *world = world_new();
    double d;

    serve(world, OLD, 20, 100000);
    (void)flo_observed_place(&world->observed, &rollout, FLO_MEMBER_WAITS, 0, world->block);
    serve(world, OLD, 5, 100000);
    flo_observed_split(&world->observed, 1, world->block);
    serve(world, OLD, 5, 110000);
    assert_true(flo_observed_difference(&world->observed, FLO_READING_TTFT_P95, &d));
    assert_true(fabs(d - log(1.1)) < 0.02);
    flo_observed_split(&world->observed, 1, world->block); /* once a phase */
    assert_true(flo_observed_difference(&world->observed, FLO_READING_TTFT_P95, &d));
    flo_observed_split(&world->observed, 2, world->block);
    assert_false(flo_observed_difference(&world->observed, FLO_READING_TTFT_P95, &d));
    free(world);
}

static void a_device_that_was_taken_back_keeps_its_difference(void **state)
{
    (void)state;
    struct world *world = world_new();
    double before;
    double after;

    serve(world, OLD, 20, 100000);
    (void)flo_observed_place(&world->observed, &rollout, FLO_MEMBER_WAITS, 0, world->block);
    serve(world, NEW, 6, 200000);
    assert_true(flo_observed_difference(&world->observed, FLO_READING_TTFT_P95, &before));
    (void)flo_observed_place(&world->observed, &rollout, FLO_MEMBER_DIED, 0, world->block);
    serve(world, OLD, 6, 100000);
    assert_true(flo_observed_difference(&world->observed, FLO_READING_TTFT_P95, &after));
    assert_true(fabs(before - after) < 1e-12);
    assert_true(world->observed.died_early);
    assert_int_equal(world->observed.crashes, 1);

    /* Its old level went on at once, but for two blocks of cold caches. */
    assert_int_equal(readings_of(world, FLO_READING_TTFT_P95), 24);
    flo_observed_release(&world->observed);
    serve(world, OLD, 1, 100000);
    assert_int_equal(readings_of(world, FLO_READING_TTFT_P95), 25);
    free(world);
}

static void crashes_count_once_an_hour(void **state)
{
    (void)state;
    struct world *world = world_new();
    struct flo_observed_window window;

    serve(world, OLD, 20, 100000);
    (void)flo_observed_place(&world->observed, &rollout, FLO_MEMBER_SWAPPED, 0, world->block);
    world->block = world->block / 12 * 12 + 12; /* a full hour begins */
    for (int i = 0; i < 24; i++) {
        window = window_of(world, NEW, 10, 1000);
        window.engine_ends = 3;
        (void)flo_observed_take(&world->observed, &window, &rollout);
        end_block(world);
    }
    assert_int_equal(world->observed.crashes, 2);
    free(world);
}

static void silence_counts_as_no_reading_and_as_a_death(void **state)
{
    (void)state;
    struct world *world = world_new();
    struct flo_deaths_arm treated = {0};
    struct flo_deaths_arm others = {0};
    bool is_known;

    serve(world, OLD, 20, 100000);
    (void)flo_observed_place(&world->observed, &rollout, FLO_MEMBER_SWAPPED, 0, world->block);
    (void)flo_observed_is_unread(&world->observed, world->block + 3, 6, &is_known);
    assert_false(is_known);
    assert_true(flo_observed_is_unread(&world->observed, world->block + 7, 6, &is_known));
    assert_true(is_known);
    (void)flo_observed_place(&world->observed, &rollout, FLO_MEMBER_SILENT, 0, world->block);
    flo_observed_deaths(&world->observed, &treated, &others);
    assert_true(treated.died > 0.5 && others.died < 0.5);
    assert_true(others.exposure > 0.5); /* it was heard before its swap */

    /* It speaks again. */
    (void)flo_observed_place(&world->observed, &rollout, FLO_MEMBER_SWAPPED, 0, world->block);
    treated = (struct flo_deaths_arm){0};
    flo_observed_deaths(&world->observed, &treated, &others);
    assert_true(treated.died < 0.5);
    free(world);
}

/* It swaps within seconds, and reports before anybody asks for its rollout. */
static void a_device_that_is_ahead_of_its_rollout_is_compared(void **state)
{
    static const enum flo_member_way ways[] = {FLO_MEMBER_WAITS, FLO_MEMBER_SWAPPED};
    (void)state;

    for (size_t i = 0; i < FLO_COUNT(ways); i++) {
        struct world *world = world_new();
        double d;
        serve(world, OLD, 20, 100000);
        struct flo_observed_window window = window_of(world, NEW, 120, 1);
        (void)flo_observed_take(&world->observed, &window, NULL);
        end_block(world);
        assert_true(flo_observed_place(&world->observed, &rollout, ways[i], 0, world->block));
        serve(world, NEW, 5, 120000);
        (void)flo_observed_place(&world->observed, &rollout, FLO_MEMBER_SWAPPED, 0, world->block);
        assert_int_equal(world->observed.arm, FLO_ARM_TREATED);
        assert_true(flo_observed_difference(&world->observed, FLO_READING_TTFT_P95, &d));
        assert_true(fabs(d - log(1.2)) < 0.02);
        free(world);
    }
}

/* It had the release long before the rollout: that changed nothing here. */
static void a_release_of_long_ago_is_no_news(void **state)
{
    (void)state;
    struct world *world = world_new();
    struct flo_observed_window window;
    double d;

    serve(world, OLD, 20, 100000);
    window = window_of(world, NEW, 120, 150000);
    (void)flo_observed_take(&world->observed, &window, NULL);
    end_block(world);
    serve(world, NEW, 20, 150000);
    (void)flo_observed_place(&world->observed, &rollout, FLO_MEMBER_SWAPPED, 0, world->block);
    serve(world, NEW, 5, 150000);
    assert_true(flo_observed_difference(&world->observed, FLO_READING_TTFT_P95, &d));
    assert_true(fabs(d) < 0.02);
    free(world);
}

static void a_device_that_moves_by_another_way_is_no_control(void **state)
{
    (void)state;
    struct world *world = world_new();
    double d;

    serve(world, OLD, 20, 100000);
    (void)flo_observed_place(&world->observed, &rollout, FLO_MEMBER_WAITS, 0, world->block);
    flo_observed_split(&world->observed, 1, world->block);
    serve(world, OLD, 2, 100000);
    assert_true(flo_observed_difference(&world->observed, FLO_READING_TTFT_P95, &d));
    serve(world, 33, 6, 400000);
    assert_false(flo_observed_difference(&world->observed, FLO_READING_TTFT_P95, &d));
    assert_int_equal(world->observed.split, 0);

    /* It is compared once it gets the release. */
    serve(world, 33, 20, 400000);
    serve(world, NEW, 6, 200000);
    assert_true(flo_observed_difference(&world->observed, FLO_READING_TTFT_P95, &d));
    assert_true(fabs(d - log(0.5)) < 0.02);
    free(world);
}

/* Soon after another release, it is compared with what ran before that. */
static void a_hotfix_is_compared_with_an_older_release(void **state)
{
    (void)state;
    struct world *world = world_new();
    double d;

    serve(world, OLD, 20, 100000);
    serve(world, 33, 6, 150000);
    (void)flo_observed_place(&world->observed, &rollout, FLO_MEMBER_WAITS, 0, world->block);
    flo_observed_split(&world->observed, 1, world->block);
    assert_true(flo_observed_stratum(&world->observed, FLO_READING_TTFT_P95) != 0);
    serve(world, 33, 2, 150000);
    assert_true(flo_observed_difference(&world->observed, FLO_READING_TTFT_P95, &d));
    assert_true(fabs(d - log(1.5)) < 0.02);
    uint32_t stratum = flo_observed_stratum(&world->observed, FLO_READING_TTFT_P95);
    serve(world, NEW, 6, 300000);
    assert_true(flo_observed_difference(&world->observed, FLO_READING_TTFT_P95, &d));
    assert_true(fabs(d - log(3)) < 0.02);
    assert_int_equal(flo_observed_stratum(&world->observed, FLO_READING_TTFT_P95), stratum);
    free(world);
}

static void a_control_with_a_short_past_goes_on_filling_it(void **state)
{
    (void)state;
    struct world *world = world_new();
    double d;

    serve(world, OLD, 4, 100000);
    (void)flo_observed_place(&world->observed, &rollout, FLO_MEMBER_WAITS, 0, world->block);
    flo_observed_split(&world->observed, 1, world->block);
    serve(world, OLD, 8, 100000);
    assert_false(flo_observed_difference(&world->observed, FLO_READING_TTFT_P95, &d));
    serve(world, OLD, 1, 110000);
    assert_true(flo_observed_difference(&world->observed, FLO_READING_TTFT_P95, &d));
    assert_true(fabs(d - log(1.1)) < 0.02);
    free(world);
}

/* One reading before and two after are enough to say how much it changed. */
static void a_change_needs_hardly_a_past(void **state)
{
    (void)state;
    struct world *world = world_new();
    struct flo_observed_change change;
    double d;

    serve(world, OLD, 1, 100000);
    (void)flo_observed_place(&world->observed, &rollout, FLO_MEMBER_WAITS, 0, world->block);
    serve(world, NEW, FLO_WARM_BLOCKS + 2, 200000);
    flo_observed_change(&world->observed, FLO_READING_TTFT_P95, &change);
    assert_int_equal(change.before, 1);
    assert_int_equal(change.after, 2);
    assert_true(fabs(change.d - log(2)) < 0.02);
    assert_false(flo_observed_difference(&world->observed, FLO_READING_TTFT_P95, &d));
    free(world);
}

/* ---- sketches ---- */

static void a_full_sketch_still_knows_its_quantiles(void **state)
{
    (void)state;
    struct flo_pairs pairs = {0};
    struct flo_histogram *histogram = calloc(1, sizeof(*histogram));
    uint64_t sum = 0;

    for (uint64_t i = 1; i <= 1000; i++) { /* over ten octaves */
        flo_histogram_add(histogram, i * i);
    }
    flo_pairs_merge(&pairs, histogram);
    for (size_t i = 0; i < pairs.count; i++) {
        sum += pairs.values[i];
        assert_true(i == 0 || pairs.index[i] > pairs.index[i - 1]);
    }
    assert_true(pairs.count <= FLO_PAIRS_MAX);
    assert_int_equal(sum, 1000);

    struct flo_bucket buckets[FLO_PAIRS_MAX];
    double value;
    for (size_t i = 0; i < pairs.count; i++) {
        buckets[i] = (struct flo_bucket){pairs.index[i], pairs.values[i]};
    }
    assert_true(flo_buckets_quantile(buckets, pairs.count, 0.95, 100, &value));
    assert_true(fabs(value / (950.0 * 950.0) - 1) < 0.05);
    free(histogram);
}

/* ---- bytes ---- */

static void put_mean(uint8_t *data, size_t *at, double sum, uint32_t count)
{
    uint64_t bits;

    memcpy(&bits, &sum, sizeof(bits));
    flo_put_u64(data + *at, bits);
    flo_put_u32(data + *at + 8, count);
    *at += 12;
}

static void sums_survive_their_bytes(void **state)
{
    (void)state;
    struct world *world = world_new();
    uint8_t data[FLO_OBSERVED_BYTES_MAX];
    struct flo_observed observed;
    struct flo_readings readings;
    struct flo_err err = {0};
    bool has_readings;
    double before;
    double after;

    serve(world, OLD, 20, 100000);
    (void)flo_observed_place(&world->observed, &rollout, FLO_MEMBER_WAITS, 3, world->block);
    serve(world, NEW, 6, 130000);
    size_t bytes = flo_observed_pack(&world->observed, data);
    assert_int_equal(flo_observed_unpack(data, bytes, &observed, &readings, &has_readings, &err),
                     0);
    assert_true(has_readings);
    observed.readings = &readings;
    assert_true(flo_observed_difference(&world->observed, FLO_READING_TTFT_P95, &before));
    assert_true(flo_observed_difference(&observed, FLO_READING_TTFT_P95, &after));
    assert_true(fabs(before - after) < 1e-12);
    assert_int_equal(observed.arm, FLO_ARM_TREATED);
    assert_int_equal(observed.segment, 3);
    assert_int_equal(observed.split, world->observed.split);

    for (size_t cut = 0; cut < bytes; cut++) {
        assert_int_equal(flo_observed_unpack(data, cut, &observed, &readings, &has_readings, &err),
                         FLO_E_DB);
    }
    data[0] = 9;
    assert_int_equal(flo_observed_unpack(data, bytes, &observed, &readings, &has_readings, &err),
                     FLO_E_DB);
    free(world);
}

/* Levels, and neither hours nor slopes. */
static void the_format_of_levels_is_read(void **state)
{
    (void)state;
    uint8_t data[FLO_OBSERVED_BYTES_MAX] = {2, 1};
    struct flo_observed observed;
    struct flo_readings readings;
    bool has_readings;
    size_t at = 2;

    flo_put_u32(data + at, OLD); /* release; then former, coming, … */
    at += 12 * 4 + 7 + 3;
    for (int i = 0; i < 2; i++) { /* tallies: before, since */
        put_mean(data, &at, 0, 0);
        at += 8;
    }
    data[at++] = 0; /* pasts */
    data[at++] = FLO_READING_COUNT;
    for (int i = 0; i < FLO_READING_COUNT; i++) {
        data[at++] = 1;
        flo_put_u32(data + at, OLD);
        flo_put_u32(data + at + 4, 70);
        at += 8;
        put_mean(data, &at, 230 + i, 20);
        flo_put_u32(data + at, OLD);
        at += 8;
        for (int k = 0; k < 4; k++) {
            put_mean(data, &at, 0, 0);
        }
        at += 8 + 4 + 1 + 4;
    }
    assert_int_equal(flo_observed_unpack(data, at, &observed, &readings, &has_readings, NULL), 0);
    observed.readings = &readings;
    const struct flo_mean *level = flo_observed_level(&observed, FLO_READING_TTFT_P95);
    assert_int_equal(level->count, 20);
    assert_false(readings.has_daily);
    data[0] = 3;
    assert_int_equal(flo_observed_unpack(data, at, &observed, &readings, &has_readings, NULL),
                     FLO_E_DB);
}

/* A device as a controller of before kept it. */
struct before {
    uint32_t release, former;
    uint8_t arm, count;
    uint32_t past, after; /* readings */
};

static int read_before(const struct before *before, struct flo_observed *observed,
                       struct flo_readings *readings)
{
    uint8_t data[FLO_OBSERVED_BYTES_MAX] = {1, 1};
    bool has_readings;
    size_t at = 2;

    flo_put_u32(data + at, before->release); /* then former, rollout, split … */
    flo_put_u32(data + at + 4, before->former);
    data[at + 10 * 4 + 4] = before->arm;
    at += 10 * 4 + 7 + 3;
    for (int i = 0; i < 3; i++) { /* tallies: base, before, since */
        put_mean(data, &at, 0, 0);
        at += 8;
    }
    data[at++] = before->count;
    for (int i = 0; i < before->count; i++) {
        put_mean(data, &at, 230 + i, 20);
        put_mean(data, &at, before->past, before->past);
        put_mean(data, &at, 1, before->after);
        put_mean(data, &at, 1, before->after);
        at += 4;
    }
    int rv = flo_observed_unpack(data, at, observed, readings, &has_readings, NULL);
    assert_true(rv < 0 || has_readings);
    observed->readings = readings;
    return rv;
}

/* A controller of before kept one base: it is the level of what runs. */
static void the_format_of_before_is_read(void **state)
{
    (void)state;
    struct flo_observed observed;
    struct flo_readings readings;
    const struct before without_batch = {.release = OLD, .count = 6};

    assert_int_equal(read_before(&without_batch, &observed, &readings), 0);
    const struct flo_mean *level = flo_observed_level(&observed, FLO_READING_TTFT_P95);
    assert_int_equal(level->count, 20);
    assert_true(fabs(flo_mean_of(level) - 11.5) < 1e-9);
    level = flo_observed_level(&observed, FLO_READING_GOLDEN);
    assert_true(fabs(flo_mean_of(level) - 11.75) < 1e-9);
    assert_null(flo_observed_level(&observed, FLO_READING_BATCH_TOKEN));
}

static void what_ran_before_a_split_has_its_level_but_for_a_control(void **state)
{
    (void)state;
    struct flo_observed observed;
    struct flo_readings readings;
    struct before before = {
        .release = NEW, .former = OLD, .arm = FLO_ARM_TREATED, .count = 7, .past = 5};

    assert_int_equal(read_before(&before, &observed, &readings), 0);
    assert_int_equal(readings.levels[FLO_READING_BATCH_TOKEN].levels[0].mean.count, 20);
    assert_int_equal(readings.levels[FLO_READING_GOLDEN].levels[1].release, OLD);
    assert_int_equal(readings.levels[FLO_READING_GOLDEN].levels[1].mean.count, 5);
    before.arm = FLO_ARM_CONTROL;
    assert_int_equal(read_before(&before, &observed, &readings), 0);
    assert_int_equal(readings.levels[FLO_READING_GOLDEN].levels[1].release, 0);
    before = (struct before){.former = OLD, .count = 7}; /* it ran nothing, and has no past */
    assert_int_equal(read_before(&before, &observed, &readings), 0);
    assert_int_equal(readings.levels[FLO_READING_GOLDEN].levels[0].release, 0);
    assert_int_equal(readings.levels[FLO_READING_GOLDEN].levels[1].release, 0);
}

static void impossible_numbers_of_before_are_refused(void **state)
{
    (void)state;
    struct flo_observed observed;
    struct flo_readings readings;
    struct before before = {.release = OLD, .count = 5};

    assert_int_equal(read_before(&before, &observed, &readings), FLO_E_DB);
    before.count = 8;
    assert_int_equal(read_before(&before, &observed, &readings), FLO_E_DB);
    before.count = 7;
    before.after = UINT32_MAX / 2;
    assert_int_equal(read_before(&before, &observed, &readings), 0);
    before.after = UINT32_MAX / 2 + 1; /* the sum of both would begin again at 0 */
    assert_int_equal(read_before(&before, &observed, &readings), FLO_E_DB);
}

static void a_device_takes_less_than_4096_bytes(void **state)
{
    (void)state;
    size_t bytes = sizeof(struct flo_observed) + sizeof(struct flo_readings);

    print_message("a model on a device: %zu bytes\n", bytes);
    assert_true(bytes <= 4096);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slower_release_shows_as_a_difference),
        cmocka_unit_test(worse_answers_show_on_the_golden_answers_of_before),
        cmocka_unit_test(cold_caches_and_starts_do_not_count),
        cmocka_unit_test(a_download_does_not_count),
        cmocka_unit_test(few_samples_wait_and_old_ones_are_thrown_away),
        cmocka_unit_test(a_control_compares_from_the_phases_first_swap_on),
        cmocka_unit_test(a_device_that_was_taken_back_keeps_its_difference),
        cmocka_unit_test(crashes_count_once_an_hour),
        cmocka_unit_test(silence_counts_as_no_reading_and_as_a_death),
        cmocka_unit_test(a_device_that_is_ahead_of_its_rollout_is_compared),
        cmocka_unit_test(a_release_of_long_ago_is_no_news),
        cmocka_unit_test(a_device_that_moves_by_another_way_is_no_control),
        cmocka_unit_test(a_hotfix_is_compared_with_an_older_release),
        cmocka_unit_test(a_control_with_a_short_past_goes_on_filling_it),
        cmocka_unit_test(a_change_needs_hardly_a_past),
        cmocka_unit_test(a_full_sketch_still_knows_its_quantiles),
        cmocka_unit_test(sums_survive_their_bytes),
        cmocka_unit_test(the_format_of_levels_is_read),
        cmocka_unit_test(the_format_of_before_is_read),
        cmocka_unit_test(what_ran_before_a_split_has_its_level_but_for_a_control),
        cmocka_unit_test(impossible_numbers_of_before_are_refused),
        cmocka_unit_test(a_device_takes_less_than_4096_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
