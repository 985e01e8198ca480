/* Timers: those of the shipped code (they have no base) on the world's schedule. */
#include <stdlib.h>

#include "tests/sim/ports/ports.h"

#define CONTROLLERS_MAX 64
static struct sim_timer controllers[CONTROLLERS_MAX];
static uint64_t timer_number;

static bool is_within(const void *at, const void *from, const void *to)
{
    return at >= from && at < to;
}

static bool is_ours(const struct event *event)
{
    return is_within(event, controllers, controllers + CONTROLLERS_MAX) ||
           is_within(event, sim->devices, sim->devices + sim->device_count);
}

static struct sim_timer *of(const struct event *event)
{
    return (struct sim_timer *)(uintptr_t)event;
}

static void on_timer(const struct sim_call *call);

static void plan(struct sim_timer *timer, uint64_t in_ms)
{
    struct sim_call call = {.fn = on_timer, .object = timer, .a = timer->number = ++timer_number};

    if (timer->device == NULL) {
        sim_later(in_ms, call);
    } else {
        sim_device_later(timer->device, in_ms, call);
    }
}

static void on_timer(const struct sim_call *call)
{
    struct sim_timer *timer = call->object;

    if (!timer->is_taken || timer->number != call->a) {
        return;
    }
    timer->number = 0;
    if (timer->period_ms > 0) {
        plan(timer, timer->period_ms);
    }
    sim->is_controllers = timer->device == NULL;
    timer->fn(-1, EV_TIMEOUT, timer->context);
}

struct event *__wrap_event_new(struct event_base *base, evutil_socket_t fd, short what,
                               event_callback_fn fn, void *context)
{
    struct sim_device *device = (struct sim_device *)(uintptr_t)sim->actor;
    struct sim_timer *row = device == NULL ? controllers : device->timers;
    size_t count = device == NULL ? CONTROLLERS_MAX : SIM_TIMERS_MAX;

    if (base != NULL) {
        return __real_event_new(base, fd, what, fn, context);
    }
    for (size_t i = 0; i < count; i++) {
        if (!row[i].is_taken) {
            row[i] = (struct sim_timer){.fn = fn,
                                        .context = context,
                                        .device = device,
                                        .is_taken = true,
                                        .repeats = (what & EV_PERSIST) != 0};
            return (struct event *)&row[i];
        }
    }
    abort();
}

int __wrap_event_add(struct event *event, const struct timeval *in)
{
    if (!is_ours(event)) {
        return __real_event_add(event, in);
    }
    uint64_t in_ms = (uint64_t)in->tv_sec * 1000 + (uint64_t)in->tv_usec / 1000;
    of(event)->period_ms = of(event)->repeats ? in_ms : 0;
    plan(of(event), in_ms);
    return 0;
}

void __wrap_event_active(struct event *event, int what, short times)
{
    if (is_ours(event)) {
        plan(of(event), 0);
    } else {
        __real_event_active(event, what, times);
    }
}

int __wrap_event_pending(const struct event *event, short what, struct timeval *at)
{
    return is_ours(event) ? of(event)->number != 0 : __real_event_pending(event, what, at);
}

int __wrap_event_del(struct event *event)
{
    if (!is_ours(event)) {
        return __real_event_del(event);
    }
    of(event)->number = of(event)->period_ms = 0;
    return 0;
}

void __wrap_event_free(struct event *event)
{
    if (is_ours(event)) {
        of(event)->is_taken = false;
    } else {
        __real_event_free(event);
    }
}
