/* A store of telemetry with an observer, in a folder of its own: for tests
 * that report windows and read the evidence of an analysis. */
#ifndef FLOTILLA_TESTS_OBSERVED_WORLD_H
#define FLOTILLA_TESTS_OBSERVED_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "server-stub/telemetry/observe/observe.h"

#define BLOCK_MS UINT64_C(300000)
#define BEGIN_MS (UINT64_C(1000000) * BLOCK_MS)

struct world {
    char dir[64];
    struct flo_windows *store;
    struct flo_observer *observer;
    struct flo_histogram *histograms; /* [FLO_METRICS_MAX] */
    uint64_t now_ms;
    uint64_t seq;
    double load;     /* of the whole fleet: times 1 */
    int batch_from;  /* devices from here on have batch requests alone, and
                        tell them apart; 0: none */
    int crashing;    /* devices below it crash in each window */
    int sites;       /* of the controls; the updated stand at another; 0: none */
    int failing;     /* who has errors; as the test says */
    int one_in;      /* so many devices one is slow with the release */
    int quick;       /* a device that is ten times faster; 0: none */
    bool all_of_bad; /* its bad site is updated as a whole */
    bool is_paired;  /* site and hardware class are scanned as a pair, too, and
                        one class is bad at the bad site */
    int probes_from; /* devices from here on come by a probe; 0: none */
    uint32_t random;
};

static void open_all(struct world *world)
{
    assert_int_equal(flo_windows_open(world->dir, &world->store, NULL), 0);
    assert_int_equal(flo_observer_open(world->store, BLOCK_MS, &world->observer, NULL), 0);
}

static void close_all(struct world *world)
{
    flo_observer_close(world->observer);
    flo_windows_close(world->store);
}

static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof(*world));

    snprintf(world->dir, sizeof(world->dir), "/tmp/observed-XXXXXX");
    assert_non_null(mkdtemp(world->dir));
    world->histograms = calloc(FLO_METRICS_MAX, sizeof(*world->histograms));
    world->now_ms = BEGIN_MS;
    world->load = 1;
    world->random = 20;
    open_all(world);
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;
    static const char *const names[] = {"telemetry.db", "telemetry.db-wal", "telemetry.db-shm"};
    char path[128];

    close_all(world);
    for (size_t i = 0; i < FLO_COUNT(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", world->dir, names[i]);
        (void)unlink(path);
    }
    (void)rmdir(world->dir);
    free(world->histograms);
    free(world);
    return 0;
}

static void id_of(int device, char *out)
{
    snprintf(out, 37, "%08u-0000-4000-8000-000000000000", (unsigned)device % 100000000);
}

static struct flo_digest release(int number)
{
    struct flo_digest digest;

    memset(&digest, number, sizeof(digest));
    return digest;
}

#endif
