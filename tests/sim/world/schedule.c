/* Schedule: a heap of what is to happen, and numbers by chance. */
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim.h"

/* ---- numbers by chance (splitmix64) ---- */

static uint64_t mix(uint64_t z, unsigned shift, uint64_t factor)
{
    return (z ^ (z >> shift)) * factor;
}

uint64_t sim_next(struct sim_random *random)
{
    random->state += UINT64_C(0x9e3779b97f4a7c15);

    uint64_t z = mix(random->state, 30, UINT64_C(0xbf58476d1ce4e5b9));
    return mix(mix(z, 27, UINT64_C(0x94d049bb133111eb)), 31, 1);
}

/* Each purpose has a stream of its own, so that a part that asks once more
 * does not change what all others get. */
struct sim_random sim_random_of(uint64_t seed, const char *purpose)
{
    struct sim_random random = {seed * UINT64_C(0xd6e8feb86659fd93)};

    for (; *purpose != '\0'; purpose++) {
        random.state = (random.state ^ (uint64_t)*purpose) * UINT64_C(0x100000001b3);
    }
    (void)sim_next(&random);
    return random;
}

uint64_t sim_below(struct sim_random *random, uint64_t limit)
{
    return limit == 0 ? 0 : sim_next(random) % limit;
}

uint64_t sim_between(struct sim_random *random, uint64_t from, uint64_t to)
{
    return from + sim_below(random, to - from + 1);
}

bool sim_chance(struct sim_random *random, unsigned of_thousand)
{
    return sim_below(random, 1000) < of_thousand;
}

/* ---- the heap ---- */

static struct {
    struct sim_call *items;
    size_t count, room;
    uint64_t number;
} heap;

static bool goes_first(const struct sim_call *a, const struct sim_call *b)
{
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->number < b->number;
}

void sim_later(uint64_t in_ms, struct sim_call call)
{
    size_t at = heap.count++;

    if (heap.count > heap.room) {
        heap.room = 2 * heap.room + 1024;
        heap.items = realloc(heap.items, heap.room * sizeof(*heap.items));
        if (heap.items == NULL) {
            abort();
        }
    }
    call.at_ms = sim->now_ms + in_ms;
    call.number = ++heap.number;
    if (call.device != NULL && call.life == 0) {
        call.life = call.device->life;
    }
    while (at > 0 && goes_first(&call, &heap.items[(at - 1) / 2])) {
        heap.items[at] = heap.items[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap.items[at] = call;
}

static struct sim_call take_first(void)
{
    struct sim_call first = heap.items[0];
    struct sim_call last = heap.items[--heap.count];
    size_t at = 0;

    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= heap.count) {
            break;
        }
        if (child + 1 < heap.count && goes_first(&heap.items[child + 1], &heap.items[child])) {
            child++;
        }
        if (!goes_first(&heap.items[child], &last)) {
            break;
        }
        heap.items[at] = heap.items[child];
        at = child;
    }
    heap.items[at] = last;
    return first;
}

/* Timers of a machine that sleeps stand still. */
static bool sleeps_on(const struct sim_call *call)
{
    const struct sim_device *device = call->device;

    if (device == NULL || call->life != device->life || !sim_is_asleep(device)) {
        return false;
    }
    sim_later(device->awake_ms - sim->now_ms + (sim->now_ms - device->asleep_ms), *call);
    return true;
}

static void run(struct sim_call *call)
{
    if (sleeps_on(call)) {
        return;
    }
    sim->actor = call->device;
    sim->is_controllers = false;
    if (call->device == NULL || call->life == call->device->life) {
        sim->calls++;
        call->fn(call);
    }
    sim_message_drop(call->message);
    free(call->owned);
    sim->actor = NULL;
    sim->is_controllers = false;
}

uint64_t sim_schedule_next(void)
{
    return heap.count > 0 ? heap.items[0].at_ms : UINT64_MAX;
}

void sim_run_until(uint64_t at_ms)
{
    while (heap.count > 0 && heap.items[0].at_ms <= at_ms && !sim->has_failed) {
        struct sim_call call = take_first();
        sim->now_ms = call.at_ms > sim->now_ms ? call.at_ms : sim->now_ms;
        run(&call);
    }
    if (!sim->has_failed && at_ms > sim->now_ms) {
        sim->now_ms = at_ms;
    }
}

void sim_schedule_clear(void)
{
    for (size_t i = 0; i < heap.count; i++) {
        sim_message_drop(heap.items[i].message);
        free(heap.items[i].owned);
    }
    heap.count = 0;
    heap.number = 0;
}
