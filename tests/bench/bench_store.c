/* The store's engines in turns: events of devices stored each second, in
 * batches as the controller writes them, and the median time of a batch.
 *
 *   bench_store DIR [postgresql://ADDRESS]   batches of 1, 16 and 128 events
 *
 * Both databases sync.  tests/bench/store.sh starts a server for it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server-stub/store/store.h"

#define DEVICES 1000
#define TURNS 15
#define BATCHES 20

static const char body[] = "{\"v\":1,\"kind\":\"execution\",\"execution\":{\"id\":\"r-0001.1\","
                           "\"state\":"
                           "\"soaking\",\"release\":\"sha256:"
                           "0000000000000000000000000000000000000000000000000000000000000000\"},"
                           "\"at_ms\":1790000000000,\"detail\":{\"codec\":\"bsdiff40\",\"bytes\":"
                           "311795,"
                           "\"full_bytes\":1734464,\"took_ms\":812}}";

static void die(const struct flo_err *err)
{
    fprintf(stderr, "%s: %s\n", flo_error_id(err->code), err->what);
    exit(1);
}

static void batch(struct flo_fleet_store *store, size_t events)
{
    static uint64_t next;
    struct flo_err err = {0};

    if (flo_fleet_begin(store, &err) < 0) {
        die(&err);
    }
    for (size_t i = 0; i < events; i++) {
        uint64_t n = next++;
        uint64_t mark = 0;
        bool is_new = false;
        char device[40];
        snprintf(device, sizeof(device), "device-%llu", (unsigned long long)(n % DEVICES));
        if (flo_fleet_event_add(store, device, "boot", 1 + n / DEVICES, 0, n, n, body, &is_new,
                                &mark, &err) < 0) {
            die(&err);
        }
    }
    if (flo_fleet_commit(store, &err) < 0) {
        die(&err);
    }
}

static int compare(const void *a, const void *b)
{
    double one = *(const double *)a;
    double other = *(const double *)b;

    return (one > other) - (one < other);
}

/* Milliseconds of a batch. */
static double turn(struct flo_fleet_store *store, size_t events)
{
    uint64_t begin = flo_now_us();

    for (size_t i = 0; i < BATCHES; i++) {
        batch(store, events);
    }
    return (double)(flo_now_us() - begin) / 1e3 / BATCHES;
}

int main(int argc, char **argv)
{
    static const size_t sizes[] = {1, 16, 128};
    static const char *const names[] = {"sqlite", "postgresql"};
    struct flo_fleet_store *stores[2] = {NULL};
    size_t engines = argc > 2 ? 2 : 1;
    struct flo_err err = {0};

    if (argc < 2) {
        fprintf(stderr, "usage: bench_store DIR [postgresql://ADDRESS]\n");
        return 2;
    }
    for (size_t i = 0; i < engines; i++) {
        if (flo_fleet_open(argv[1 + i], 0, &stores[i], &err) < 0) {
            die(&err);
        }
        (void)turn(stores[i], 16); /* statements are prepared */
    }
    for (size_t s = 0; s < FLO_COUNT(sizes); s++) {
        double times[2][TURNS];
        for (size_t t = 0; t < TURNS; t++) {
            for (size_t i = 0; i < engines; i++) {
                times[i][t] = turn(stores[i], sizes[s]);
            }
        }
        for (size_t i = 0; i < engines; i++) {
            qsort(times[i], TURNS, sizeof(double), compare);
            double median = times[i][TURNS / 2];
            printf("%-10s batches of %3zu: %7.2f ms (%.2f to %.2f), %7.0f "
                   "events/s\n",
                   names[i], sizes[s], median, times[i][0], times[i][TURNS - 1],
                   (double)sizes[s] * 1000 / median);
        }
    }
    for (size_t i = 0; i < engines; i++) {
        flo_fleet_close(stores[i]);
    }
    return 0;
}
