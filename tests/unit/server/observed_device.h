/* One device of a rollout, and its windows block by block: for tests of what is
 * kept of it. */
#ifndef FLOTILLA_TESTS_OBSERVED_DEVICE_H
#define FLOTILLA_TESTS_OBSERVED_DEVICE_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server-stub/core/gate/observe/observed.h"

#define OLD 11
#define NEW 22
#define FIRST 1000 /* block */

static const struct flo_observed_rollout rollout = {.id = 7, .release = NEW, .phase = 1};

struct world {
    struct flo_readings readings;
    struct flo_observed observed;
    struct flo_histogram histogram;
    uint32_t block;
};

static struct world *world_new(void)
{
    struct world *world = calloc(1, sizeof(*world));

    world->observed.readings = &world->readings;
    world->block = FIRST;
    return world;
}

/* One window of `samples` requests that took about `us` each. */
static struct flo_observed_window window_of(struct world *world, uint32_t release, uint32_t samples,
                                            uint64_t us)
{
    memset(&world->histogram, 0, sizeof(world->histogram));
    for (uint32_t i = 0; i < samples; i++) {
        flo_histogram_add(&world->histogram, us);
    }
    return (struct flo_observed_window){.block = world->block,
                                        .release = release,
                                        .requests = samples,
                                        .gauges = {1 << 20},
                                        .histograms = {&world->histogram, &world->histogram}};
}

static void take(struct world *world, uint32_t release, uint32_t samples, uint64_t us)
{
    struct flo_observed_window window = window_of(world, release, samples, us);

    (void)flo_observed_take(&world->observed, &window, &rollout);
}

static void end_block(struct world *world)
{
    static const double none[FLO_READING_COUNT];

    flo_observed_read(&world->observed, world->block);
    flo_observed_end(&world->observed, world->block, none);
    world->block++;
}

#endif
