/* The store's telemetry: windows are merged, read within bounds and pruned. */
#include "unit/remove_tree.h"
#include "unit/server/store/store.h"

#include <flotilla/errors/db.h>
#include <flotilla/metrics.h>

#include "server-stub/store/sqlite/windows_file.h"
#include "server-stub/telemetry/lane_evidence.h"
#include "unit/waits.h"

static struct flo_windows *telemetry_new(void)
{
    struct flo_windows *store = NULL;
    struct flo_err err = {0};

    if (flo_windows_open(":memory:", &store, &err) < 0) {
        fail_msg("%s", err.what);
    }
    return store;
}

struct sums {
    uint64_t rows;
    uint64_t count;
};

static int add_row(void *context, const struct flo_telemetry_row *row)
{
    struct sums *sums = context;

    sums->rows++;
    sums->count += row->count;
    return 0;
}

#define NOW_MS UINT64_C(1790000000000)
static int64_t missing; /* what the last window added */

struct extremes {
    int64_t min, max, sum;
};

static int see_extremes(void *context, const struct flo_telemetry_row *row)
{
    struct extremes *out = context;

    out->min = row->min < out->min ? row->min : out->min;
    out->max = row->max > out->max ? row->max : out->max;
    out->sum += row->sum;
    return 0;
}

/* One window in a transaction of its own; is it new? */
static bool put(struct flo_windows *store, const char *device, uint64_t now_ms,
                const struct flo_telemetry_window *window)
{
    struct flo_err err = {0};
    bool is_new = false;

    assert_int_equal(flo_windows_begin(store, &err), 0);
    assert_int_equal(
        flo_windows_put(store, device, "x86_64 plain 1g", now_ms, window, &is_new, &missing, &err),
        0);
    assert_int_equal(flo_windows_commit(store, &err), 0);
    return is_new;
}

static struct sums read_rows(struct flo_windows *store, const struct flo_telemetry_query *query,
                             uint64_t from_ms)
{
    struct sums sums = {0};
    struct flo_err err = {0};

    assert_int_equal(flo_windows_list(store, query, from_ms, add_row, &sums, &err), 0);
    return sums;
}

static void windows_are_merged_per_bucket_and_pruned(void **state)
{
    (void)state;
    struct flo_windows *store = telemetry_new();
    struct flo_histogram *histograms = calloc(FLO_METRIC_COUNT, sizeof(*histograms));
    struct flo_telemetry_window window = {.histograms = histograms};
    struct flo_err err = {0};
    struct flo_telemetry_query query = {
        .metric = FLO_METRIC_NAME_TTFT, .since_ms = 60000, .step_ms = 5000};
    uint64_t base = 1700000000000;

    flo_histogram_add(&histograms[FLO_METRIC_NAME_TTFT], 1000);
    window.has[FLO_METRIC_NAME_TTFT] = true;
    window.has[FLO_METRIC_NAME_REQUESTS] = true;
    window.values[FLO_METRIC_NAME_REQUESTS] = 3;
    for (uint64_t i = 0; i < 20; i++) { /* each comes twice */
        window.seq = 1 + i / 2;
        window.at_ms = base + i / 2 * 1000;
        assert_int_equal(put(store, DEVICE, base + 60000, &window), i % 2 == 0);
    }
    struct sums sums = read_rows(store, &query, base - 60000);
    assert_int_equal(sums.rows, 2);
    assert_int_equal(sums.count, 10);

    bool more = true;
    assert_int_equal(flo_windows_prune(store, base + FLO_TELEMETRY_FINE_LIFE_MS * 2, &more, &err),
                     0);
    assert_false(more);
    assert_int_equal(read_rows(store, &query, base - 60000).rows, 0);
    query.since_ms = FLO_TELEMETRY_FINE_LIFE_MS * 3;
    assert_int_equal(read_rows(store, &query, base - 600000).count, 10);
    free(histograms);
    flo_windows_close(store);
}

static int64_t rows_of(struct flo_windows *store, const char *table)
{
    char sql[64];
    struct flo_db_statement *row;
    struct flo_err err = {0};
    bool has_row;

    snprintf(sql, sizeof(sql), "SELECT count(*) FROM %s", table);
    assert_int_equal(flo_db_query(store->db, sql, FLO_DB_NONE, &row, &err), 0);
    assert_int_equal(flo_db_step(row, &has_row, &err), 0);
    int64_t count = flo_db_column_i64(row, 0);
    flo_db_reset(row);
    return count;
}

static int64_t telemetry_rows(struct flo_windows *store)
{
    return rows_of(store, "merged") + rows_of(store, "window") + rows_of(store, "total");
}

static void old_windows_go_in_pieces_until_none_is_left(void **state)
{
    (void)state;
    struct flo_windows *store = telemetry_new();
    struct flo_telemetry_window window = {.seq = 1};
    struct flo_err err = {0};
    uint64_t base = 1700000100000;
    int64_t windows = FLO_TELEMETRY_PRUNE_ROWS;
    bool more = true;
    int pieces = 0;

    window.has[FLO_METRIC_NAME_REQUESTS] = true;
    for (int64_t i = 0; i < windows; i++) {
        window.at_ms = base + (uint64_t)i * FLO_TELEMETRY_DEVICE_FINE_MS;
        assert_true(put(store, DEVICE, window.at_ms, &window));
    }
    uint64_t now = window.at_ms + FLO_TELEMETRY_FINE_LIFE_MS * 2;
    for (; more; pieces++) {
        int64_t before = telemetry_rows(store);
        assert_int_equal(flo_windows_prune(store, now, &more, &err), 0);
        assert_in_range(before - telemetry_rows(store), 0, FLO_TELEMETRY_PRUNE_ROWS);
    }

    /* merged, the fine ones of the device and in total, nothing */
    assert_int_equal(pieces, 4);
    assert_int_equal(rows_of(store, "merged"), 0);
    assert_int_equal(rows_of(store, "window"), windows / 30 + 1);
    assert_int_equal(rows_of(store, "total"), windows / 5);
    flo_windows_close(store);
}

/* Tables are only searched, by `expected`. */
static void plan_is(struct flo_windows *store, const char *sql, const char *expected)
{
    char explain[1024];
    struct flo_db_statement *row;
    struct flo_err err = {0};
    bool has_row = true;
    int searches = 0;

    snprintf(explain, sizeof(explain), "EXPLAIN QUERY PLAN %s", sql);
    assert_int_equal(flo_db_query(store->db, explain, FLO_DB_NONE, &row, &err), 0);
    while (flo_db_step(row, &has_row, &err) == 0 && has_row) {
        const char *text = flo_db_column_text(row, 3);
        if (strncmp(text, "SEARCH", 6) == 0) {
            assert_string_equal(text, expected);
            searches++;
        } else if (strncmp(text, "SCAN", 4) == 0) {
            assert_true(strcmp(text, "SCAN CONSTANT ROW") == 0 ||
                        strcmp(text, "SCAN (subquery-1)") == 0);
        }
    }
    assert_int_equal(searches, 2);
}

static void what_prunes_reads_no_row_that_stays(void **state)
{
    (void)state;
    struct flo_windows *store = telemetry_new();

    plan_is(store, flo_telemetry_prune_window, "SEARCH window USING PRIMARY KEY (step=? AND at<?)");
    plan_is(store, flo_telemetry_prune_total, "SEARCH total USING PRIMARY KEY (step=? AND at<?)");
    plan_is(store, flo_telemetry_prune_merged,
            "SEARCH merged USING COVERING INDEX merged_received"
            " (received<?)");
    flo_windows_close(store);
}

static void a_window_with_an_impossible_clock_counts_as_of_now(void **state)
{
    (void)state;
    struct flo_windows *store = telemetry_new();
    struct flo_telemetry_window window = {.seq = 1};
    struct flo_telemetry_query query = {
        .metric = FLO_METRIC_NAME_REQUESTS, .since_ms = 60000, .step_ms = 5000};
    const uint64_t clocks[] = {5, UINT64_C(4300000000000)}; /* 1970, 2106 */
    uint64_t base = 1700000000000;

    window.has[FLO_METRIC_NAME_REQUESTS] = true;
    for (size_t i = 0; i < FLO_COUNT(clocks); i++) {
        window.at_ms = clocks[i];
        assert_true(put(store, DEVICE, base, &window));
    }
    struct sums sums = read_rows(store, &query, base - 60000);
    assert_int_equal(sums.rows, 1);
    assert_int_equal(sums.count, 2);
    flo_windows_close(store);
}

static void what_is_asked_of_all_devices_is_read_from_their_totals(void **state)
{
    (void)state;
    struct flo_windows *store = telemetry_new();
    struct flo_histogram *histograms = calloc(FLO_METRIC_COUNT, sizeof(*histograms));
    struct flo_telemetry_window window = {.histograms = histograms};
    struct flo_err err = {0};
    uint64_t base = 1700000000000;
    struct flo_telemetry_query query = {.since_ms = 600000, .step_ms = 5000};

    /* given: 100 devices, 10 times of two releases, in one transaction, and
     * one that is rolled back */
    flo_histogram_add(&histograms[FLO_METRIC_NAME_TTFT], 1000);
    window.has[FLO_METRIC_NAME_TTFT] = true;
    window.has[FLO_METRIC_NAME_AGENT_RSS] = true;
    for (int take = 0; take < 2; take++) {
        assert_int_equal(flo_windows_begin(store, &err), 0);
        for (uint64_t i = 0; i < 1000; i++) {
            char device[16];
            bool is_new;
            snprintf(device, sizeof(device), "device-%d", (int)(i % 100));
            window.seq = 1 + i / 100;
            window.at_ms = base + i / 100 * 5000;
            window.release.bytes[0] = (uint8_t)(i % 2);
            window.values[FLO_METRIC_NAME_AGENT_RSS] = (int64_t)i;
            assert_int_equal(flo_windows_put(store, device, i % 4 < 2 ? "a" : "b", base, &window,
                                             &is_new, &missing, &err),
                             0);
            assert_true(is_new);
        }
        if (take == 0) {
            flo_windows_roll_back(store);
        } else {
            assert_int_equal(flo_windows_commit(store, &err), 0);
        }
    }

    const int metrics[] = {FLO_METRIC_NAME_TTFT, FLO_METRIC_NAME_AGENT_RSS};
    for (size_t i = 0; i < FLO_COUNT(metrics); i++) {
        query.metric = metrics[i];
        query.by_release = true;
        query.by_device = false;
        struct sums sums = read_rows(store, &query, base - 5000);
        assert_int_equal(sums.rows, 4 * 3); /* the clock may lead by 10 s */
        assert_int_equal(sums.count, 1000);
        query.by_device = true;
        sums = read_rows(store, &query, base - 5000);
        assert_int_equal(sums.rows, 100); /* of a minute each */
        assert_int_equal(sums.count, 1000);
    }
    assert_int_equal(query.metric, FLO_METRIC_NAME_AGENT_RSS);
    query.by_device = false;
    query.by_hardware = true;
    struct extremes extremes = {.min = INT64_MAX};
    assert_int_equal(flo_windows_list(store, &query, base - 5000, see_extremes, &extremes, &err),
                     0);
    assert_int_equal(extremes.min, 0);
    assert_int_equal(extremes.max, 999);
    assert_int_equal(extremes.sum, 999 * 1000 / 2);
    free(histograms);
    flo_windows_close(store);
}

static void a_query_of_too_many_rows_is_refused_with_the_numbers(void **state)
{
    (void)state;
    struct flo_windows *store = telemetry_new();
    struct flo_err err = {0};
    uint64_t now = 1700000000000;
    struct flo_telemetry_query query = {.metric = FLO_METRIC_NAME_REQUESTS,
                                        .by_device = true,
                                        .since_ms = 7200000,
                                        .step_ms = 60000};
    struct sums sums = {0};

    /* given: 1,000 devices, 100 times */
    assert_int_equal(flo_db_exec(store->db,
                                 "INSERT INTO name VALUES (1, 1, 'r', 'tiny');"
                                 "WITH RECURSIVE r(i) AS (SELECT 2 UNION ALL SELECT i + 1"
                                 " FROM r WHERE i < 1001) INSERT INTO name SELECT i, 0,"
                                 " 'device-' || i, '' FROM r;"
                                 "WITH RECURSIVE r(i) AS (SELECT 0 UNION ALL SELECT i + 1"
                                 " FROM r WHERE i < 99999) INSERT INTO window"
                                 " SELECT 60, 1699999980 - i / 1000 * 60, 2 + i % 1000, 1,"
                                 " x'0105010100' FROM r",
                                 &err),
                     0);
    assert_int_equal(flo_windows_list(store, &query, now - query.since_ms, add_row, &sums, &err),
                     FLO_E_REST_LIMIT);
    assert_int_equal(sums.rows, 0);
    assert_non_null(strstr(err.what, "requests over 7200000 ms"));
    assert_non_null(strstr(err.what, "more than 40000 stored rows"));
    assert_non_null(strstr(err.what, "the last 2360000 ms"));
    assert_non_null(strstr(err.fix, "shorten since_ms"));

    query.since_ms = 2360000;
    assert_int_equal(read_rows(store, &query, now - query.since_ms).rows, 40000);
    query.by_device = false;
    query.since_ms = 7200000;
    assert_int_equal(read_rows(store, &query, now - query.since_ms).rows, 0);
    flo_windows_close(store);
}

static void a_window_that_waited_for_hours_counts_as_of_its_time(void **state)
{
    (void)state;
    struct flo_windows *store = telemetry_new();
    struct flo_telemetry_window window = {.seq = 1, .at_ms = 1700000000000};
    const uint64_t hour_ms = UINT64_C(3600) * 1000;
    uint64_t now = window.at_ms + 3 * hour_ms;
    struct flo_telemetry_query query = {.metric = FLO_METRIC_NAME_REQUESTS,
                                        .since_ms = 4 * hour_ms,
                                        .step_ms = FLO_TELEMETRY_COARSE_MS};

    window.has[FLO_METRIC_NAME_REQUESTS] = true;
    assert_true(put(store, DEVICE, now, &window));

    for (int by_device = 0; by_device < 2; by_device++) {
        query.by_device = by_device != 0;
        assert_int_equal(read_rows(store, &query, now - 4 * hour_ms).count, 1);
        assert_int_equal(read_rows(store, &query, now - hour_ms).count, 0);
    }
    /* the fine ones of it would be pruned at once */
    assert_int_equal(rows_of(store, "window WHERE step = 60"), 0);
    assert_int_equal(rows_of(store, "total WHERE step = 5"), 0);
    flo_windows_close(store);
}

/* ---- what a device costs ---- */

#define DAY_MS (UINT64_C(24) * 3600 * 1000)

static int64_t number_of(struct flo_windows *store, const char *sql)
{
    struct flo_db_statement *row;
    struct flo_err err = {0};
    bool has_row;

    assert_int_equal(flo_db_query(store->db, sql, FLO_DB_NONE, &row, &err), 0);
    assert_int_equal(flo_db_step(row, &has_row, &err), 0);
    int64_t number = flo_db_column_i64(row, 0);
    flo_db_reset(row);
    return number;
}

/* A minute of a device that answers a request about every two seconds. */
static void busy_minute(struct flo_telemetry_window *window, uint32_t *seed)
{
    static const int latencies[] = {FLO_METRIC_NAME_TTFT, FLO_METRIC_NAME_TOKEN,
                                    FLO_METRIC_NAME_REQUEST, FLO_METRIC_NAME_QUEUE};
    static const uint64_t typical[] = {120000, 25000, 1100000, 300};

    for (size_t m = 0; m < FLO_COUNT(latencies); m++) {
        struct flo_histogram *h = &window->histograms[latencies[m]];
        *h = (struct flo_histogram){0};
        for (int i = 0; i < 33; i++) { /* about +-20 % */
            *seed = *seed * 1103515245u + 12345u;
            flo_histogram_add(h, typical[m] * (80 + (*seed >> 16) % 41) / 100);
        }
        window->has[latencies[m]] = true;
    }
    for (int m = 0; m < FLO_METRIC_COUNT; m++) {
        if (flo_metric_fact(m)->kind != FLO_METRIC_HISTOGRAM) {
            *seed = *seed * 1103515245u + 12345u;
            window->has[m] = true;
            window->values[m] = 600000000 + (*seed >> 16) % 1000000;
        }
    }
    window->values[FLO_METRIC_NAME_REQUESTS] = 33;
    window->values[FLO_METRIC_NAME_ERRORS] = 0;
    window->values[FLO_METRIC_NAME_ENGINE_RESTARTS] = 0;
    window->values[FLO_METRIC_NAME_LOST] = 0;
    window->values[FLO_METRIC_NAME_FEEDBACK_GOOD] = 33;
    window->values[FLO_METRIC_NAME_FEEDBACK_BAD] = 0;
    /* Windows of an update alone have these. */
    window->has[FLO_METRIC_NAME_NEIGHBOUR_IN] = false;
    window->has[FLO_METRIC_NAME_NEIGHBOUR_OUT] = false;
    /* Devices with a route alone have these. */
    for (int m = FLO_METRIC_NAME_AWAY_DOWN; m <= FLO_METRIC_NAME_AWAY_FAILED; m++) {
        window->has[m] = false;
    }
}

/* One transaction for a minute of all devices, as the lane writes. */
static void a_day_of_a_busy_device_takes_at_most_25_kilobytes(void **state)
{
    (void)state;
    enum { DEVICES = 10, MINUTES = 24 * 60 };
    struct flo_windows *store = telemetry_new();
    struct flo_telemetry_window window = {
        .histograms = calloc(FLO_METRIC_COUNT, sizeof(struct flo_histogram))};
    struct flo_err err = {0};
    const uint64_t begin = UINT64_C(1700000000000) / DAY_MS * DAY_MS;
    uint32_t seed = 1;
    bool more = true;

    for (uint64_t minute = 0; minute < MINUTES; minute++) {
        uint64_t now = begin + minute * 60000;
        assert_int_equal(flo_windows_begin(store, &err), 0);
        for (int d = 0; d < DEVICES; d++) {
            char device[16];
            bool is_new;
            snprintf(device, sizeof(device), "device-%d", d);
            busy_minute(&window, &seed);
            window.at_ms = now + (uint64_t)d;
            window.seq = minute + 1;
            assert_int_equal(
                flo_windows_put(store, device, "a", now, &window, &is_new, &missing, &err), 0);
        }
        assert_int_equal(flo_windows_commit(store, &err), 0);
    }
    while (more) {
        assert_int_equal(flo_windows_prune(store, begin + DAY_MS, &more, &err), 0);
    }
    int64_t day = number_of(store, "SELECT sum(length(data) + 20) FROM window"
                                   " WHERE step = 1800") /
                  DEVICES;
    int64_t hours = (number_of(store, "SELECT sum(length(data) + 20)"
                                      " FROM window WHERE step = 60") +
                     number_of(store, "SELECT 40 * count(*) FROM merged")) /
                    DEVICES;
    print_message("%lld bytes a day, %lld of the last two hours\n", (long long)day,
                  (long long)hours);
    assert_in_range(day, 1000, 25 * 1024);
    assert_in_range(hours, 1000, 42 * 1024);
    assert_int_equal(rows_of(store, "window WHERE step = 1800"), DEVICES * 48);
    free(window.histograms);
    flo_windows_close(store);
}

/* ---- a damaged telemetry.db ---- */

static const char *class_of(void *context, const char *device)
{
    (void)context;
    (void)device;
    return "x86_64 plain 1g";
}

/* A mean of -2^63 over -1 samples is a fault of the processor; and one broken
 * row must not keep every gate from its evidence. */
static void a_broken_row_is_in_no_comparison(void **state)
{
    static const char digest[] = "sha256:"
                                 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    struct flo_windows *store = telemetry_new();
    struct flo_lane_evidence *evidence = flo_lane_evidence_new(1, 1);
    struct flo_err err = {0};

    (void)state;
    assert_int_equal(flo_db_exec(store->db,
                                 "INSERT INTO name VALUES (1, 0, '" DEVICE "', ''),"
                                 " (2, 1, 'sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                                 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 'tiny');"
                                 "INSERT INTO window VALUES"
                                 " (60, 1700000040, 1, 2, x'010d0110000000'),"
                                 " (60, 1700000100, 1, 2,"
                                 " x'010dffffffffffffffffff0100008080808080808080800100'),"
                                 " (60, 1700000160, 1, 2, x'010d'),"
                                 " (60, 1700000220, 1, 2, x'ff');",
                                 &err),
                     0);
    snprintf(evidence->devices[0], sizeof(evidence->devices[0]), DEVICE);
    evidence->device_count = 1;
    snprintf(evidence->model, sizeof(evidence->model), "tiny");
    assert_true(flo_digest_parse(digest, &evidence->updated));
    evidence->items[0].metric = FLO_METRIC_NAME_TEMPERATURE;
    evidence->count = 1;
    evidence->from_ms = 1700000000000;

    assert_int_equal(flo_lane_evidence_gather(evidence, store, class_of, NULL, &err), 0);

    assert_int_equal(evidence->items[0].class_count, 1);
    assert_int_equal(evidence->items[0].classes[0].updated.devices, 1);
    assert_int_equal(evidence->items[0].classes[0].updated.values.count, 1);
    flo_lane_evidence_free(evidence);
    flo_windows_close(store);
}

/* ---- several models ---- */

static int count_row(void *context, const struct flo_window_row *row)
{
    (void)row;
    ++*(size_t *)context;
    return 0;
}

/* A gate reads a bounded number of rows.  The newer rows of a device's other
 * model must not use them up. */
static void rows_of_another_model_take_no_room_of_the_evidence(void **state)
{
    (void)state;
    struct flo_windows *store = telemetry_new();
    struct flo_telemetry_window window = {.release.bytes = {1}};
    struct flo_err err = {0};
    uint64_t base = waits_wall_ms() - FLO_TELEMETRY_FINE_LIFE_MS / 2;
    size_t rows = 0;
    bool is_cut = false;

    /* given: two rows of tiny, then twenty of help on the same device */
    window.has[FLO_METRIC_NAME_REQUESTS] = true;
    window.values[FLO_METRIC_NAME_REQUESTS] = 1;
    for (uint64_t i = 0; i < 22; i++) {
        bool is_tiny = i < 2;
        window.seq = i + 1;
        window.at_ms = base + i * FLO_TELEMETRY_DEVICE_FINE_MS;
        window.release.bytes[0] = is_tiny ? 1 : 2;
        snprintf(window.model, sizeof(window.model), "%s", is_tiny ? "tiny" : "help");
        assert_true(put(store, DEVICE, waits_wall_ms(), &window));
    }

    /* when, then */
    assert_int_equal(
        flo_windows_newest(store, "tiny", base - 60000, 5, count_row, &rows, &is_cut, &err), 0);
    assert_int_equal(rows, 2);
    assert_false(is_cut);
    rows = 0;
    assert_int_equal(
        flo_windows_newest(store, "help", base - 60000, 5, count_row, &rows, &is_cut, &err), 0);
    assert_int_equal(rows, 5);
    assert_true(is_cut);
    flo_windows_close(store);
}

/* 2,000 times of a device in a file; its length. */
static size_t write_telemetry(const char *dir, const char *path)
{
    struct flo_windows *store;
    struct flo_err err = {0};
    char *data;
    size_t bytes;

    assert_int_equal(flo_windows_open(dir, &store, &err), 0);
    assert_int_equal(flo_db_exec(store->db,
                                 "INSERT INTO name VALUES (1, 0, '" DEVICE "', ''),"
                                 " (2, 1, 'r', 'tiny');"
                                 "WITH RECURSIVE r(i) AS (SELECT 0 UNION ALL SELECT i + 1"
                                 " FROM r WHERE i < 1999) INSERT INTO window"
                                 " SELECT 60, 1700000040 + i * 60, 1, 2,"
                                 " x'0105010100' || zeroblob(0) FROM r",
                                 &err),
                     0);
    flo_windows_close(store);
    assert_int_equal(flo_file_read(path, 1 << 22, &data, &bytes, &err), 0);
    free(data);
    return bytes;
}

static void overwrite(const char *path, size_t at, size_t bytes)
{
    char *data;
    size_t all;
    struct flo_err err = {0};

    assert_int_equal(flo_file_read(path, 1 << 22, &data, &all, &err), 0);
    assert_true(at + bytes <= all);
    memset(data + at, 0x5a, bytes);
    assert_int_equal(flo_file_write(path, data, all, 0600, &err), 0);
    free(data);
}

static void a_rotten_page_of_telemetry_keeps_nobody_from_starting(void **state)
{
    (void)state;
    char dir[] = "/tmp/flotilla-store-XXXXXX";
    char path[64];
    char aside[80];
    struct flo_windows *store;
    struct flo_telemetry_window window = {0};
    struct flo_err err = {0};
    bool is_new;

    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/telemetry.db", dir);
    snprintf(aside, sizeof(aside), "%s.damaged", path);
    size_t bytes = write_telemetry(dir, path);
    overwrite(path, bytes / 2 / 4096 * 4096, 4096);

    assert_int_equal(flo_windows_open(dir, &store, &err), 0);
    assert_int_not_equal(access(aside, F_OK), 0);

    /* until somebody comes upon it: then it is set aside, and work goes on */
    window.has[FLO_METRIC_NAME_REQUESTS] = true;
    int failed = 0;
    for (uint64_t i = 0; i < 2000; i++) {
        window.at_ms = 1700000040000 + i * 60000;
        assert_int_equal(flo_windows_begin(store, &err), 0);
        int rv =
            flo_windows_put(store, DEVICE, "a", window.at_ms, &window, &is_new, &missing, &err);
        if (rv < 0) {
            assert_int_equal(rv, FLO_E_DB_DAMAGED);
            assert_int_equal(failed++, 0);
            flo_windows_roll_back(store);
        } else {
            assert_int_equal(flo_windows_commit(store, &err), 0);
        }
    }
    assert_int_equal(access(aside, F_OK), 0);
    flo_windows_close(store);
    remove_tree(dir);
}

static void what_is_no_telemetry_at_all_is_set_aside(void **state)
{
    (void)state;
    char dir[] = "/tmp/flotilla-store-XXXXXX";
    char path[64];
    char aside[80];
    struct flo_windows *store;
    struct flo_err err = {0};

    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/telemetry.db", dir);
    snprintf(aside, sizeof(aside), "%s.damaged", path);
    overwrite(path, 0, write_telemetry(dir, path));

    assert_int_equal(flo_windows_open(dir, &store, &err), 0);

    assert_int_equal(access(aside, F_OK), 0);
    assert_int_equal(rows_of(store, "window"), 0);
    flo_windows_close(store);
    remove_tree(dir);
}

static void put_one(struct flo_windows *store)
{
    struct flo_telemetry_window window = {.at_ms = 1700000040000};
    struct flo_err err = {0};
    bool is_new;

    window.has[FLO_METRIC_NAME_REQUESTS] = true;
    assert_int_equal(flo_windows_begin(store, &err), 0);
    assert_int_equal(
        flo_windows_put(store, DEVICE, "a", window.at_ms, &window, &is_new, &missing, &err), 0);
    assert_int_equal(flo_windows_commit(store, &err), 0);
}

static void a_file_that_was_deleted_is_begun_again(void **state)
{
    (void)state;
    char dir[] = "/tmp/flotilla-store-XXXXXX";
    char path[64];
    struct flo_windows *store;
    struct flo_err err = {0};

    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/telemetry.db", dir);
    assert_int_equal(flo_windows_open(dir, &store, &err), 0);
    put_one(store);
    assert_int_equal(unlink(path), 0);
    put_one(store);
    flo_windows_close(store);
    assert_int_equal(flo_windows_open(dir, &store, &err), 0);
    assert_true(rows_of(store, "window") > 0);
    flo_windows_close(store);
    remove_tree(dir);
}

/* Sends windows, each "seq at"; how many numbers are missing then. */
static int64_t missing_of(struct flo_windows *store, const char *device, const int (*sent)[2],
                          size_t count)
{
    static struct flo_histogram histograms[FLO_METRIC_COUNT];
    struct flo_telemetry_window window = {.histograms = histograms};
    int64_t sum = 0;

    for (size_t i = 0; i < count; i++) {
        window.seq = (uint64_t)sent[i][0];
        window.at_ms = NOW_MS + (uint64_t)sent[i][1] * 1000;
        sum += put(store, device, NOW_MS, &window) ? missing : 0;
    }
    return sum;
}

static void a_window_that_never_came_is_counted(void **state)
{
    struct flo_err err = {0};
    struct flo_windows *store;
    char dir[] = "/tmp/flo-missing-XXXXXX";

    (void)state;
#define SENT(device, ...)                                                                          \
    missing_of(store, device, (const int[][2]){__VA_ARGS__},                                       \
               sizeof((const int[][2]){__VA_ARGS__}) / sizeof(int[2]))
    assert_non_null(mkdtemp(dir));
    assert_int_equal(flo_windows_open(dir, &store, &err), 0);
    assert_int_equal(SENT("all", {1, 1}, {2, 2}, {3, 3}), 0);
    assert_int_equal(SENT("twice", {1, 1}, {2, 2}, {2, 2}), 0);
    assert_int_equal(SENT("one", {7, 1}, {9, 2}), 1);
    assert_int_equal(SENT("late", {1, 1}, {5, 5}, {3, 3}), 2);
    assert_int_equal(SENT("late", {2, 2}, {4, 4}), -2);
    assert_int_equal(SENT("starts", {5, 1}, {1, 2}, {2, 3}), 0);
    assert_int_equal(SENT("starts late", {5, 1}, {3, 2}), 2);
    assert_int_equal(SENT("starts late", {2, 1}), 0); /* of the same moment */
    assert_int_equal(SENT("lies", {1, 1}, {2000000000, 2}), 10000);
    /* A controller that was killed knows what it had. */
    flo_windows_close(store);
    assert_int_equal(flo_windows_open(dir, &store, &err), 0);
    assert_int_equal(SENT("all", {6, 6}), 2);
    flo_windows_close(store);
    remove_tree(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows_are_merged_per_bucket_and_pruned),
        cmocka_unit_test(old_windows_go_in_pieces_until_none_is_left),
        cmocka_unit_test(what_prunes_reads_no_row_that_stays),
        cmocka_unit_test(a_window_with_an_impossible_clock_counts_as_of_now),
        cmocka_unit_test(what_is_asked_of_all_devices_is_read_from_their_totals),
        cmocka_unit_test(a_query_of_too_many_rows_is_refused_with_the_numbers),
        cmocka_unit_test(a_window_that_waited_for_hours_counts_as_of_its_time),
        cmocka_unit_test(a_day_of_a_busy_device_takes_at_most_25_kilobytes),
        cmocka_unit_test(a_rotten_page_of_telemetry_keeps_nobody_from_starting),
        cmocka_unit_test(a_broken_row_is_in_no_comparison),
        cmocka_unit_test(rows_of_another_model_take_no_room_of_the_evidence),
        cmocka_unit_test(what_is_no_telemetry_at_all_is_set_aside),
        cmocka_unit_test(a_file_that_was_deleted_is_begun_again),
        cmocka_unit_test(a_window_that_never_came_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
