/* Clocks: a controller whose clock is anywhere between 1970 and 2100 for an hour,
 * and then right, and devices with every kind of clock.
 *
 * Orders, rollouts and emergencies go out meanwhile, and devices restart with and
 * without power.  In a drawn state of its updates, a device's clock takes a step: a
 * leap second, an hour of summer time, or NTP's.  Then each device takes the next order within two
 * heartbeats, and no good clock lets an order pass that has expired.  This file plays what TLS
 * refuses, by the dates of the controller's certificate. */
#include <string.h>

#include "server-stub/state/controller.h"
#include "server-stub/state/recall/recall.h"
#include "tests/sim/people.h"

#define MINUTE_MS UINT64_C(60000)
#define HOUR_MS UINT64_C(3600000)
#define BEGIN_MS (5 * MINUTE_MS)           /* until then the fleet is as usual */
#define END_MS (BEGIN_MS + 60 * MINUTE_MS) /* from then on the clock is right */
#define SETTLED_MS (END_MS + 3 * MINUTE_MS)
#define BEATS_MS (2 * MINUTE_MS + 20000)    /* two heartbeats, and the slowest link */
#define WALL_MS_MAX UINT64_C(4133980800000) /* 2101 */
#define LIFE_MS (90 * 24 * HOUR_MS)

/* Kinds of clocks, by a device's place. */
enum { KEPT, OWN, NO_RTC, KEPT_NO_RTC, WRONG, JUMPS, KINDS };

static struct {
    uint64_t number; /* of the next order */
    struct {
        enum flo_execution in, now[SIM_MODELS_MAX]; /* it steps in this state of an update */
    } steps[SIM_DEVICES_MAX];
} play;

static unsigned kind_of(const struct sim_device *device)
{
    return device->index % KINDS;
}

static int64_t anywhere(struct sim_random *random)
{
    uint64_t wall_ms = SIM_WALL_MS + sim->now_ms;

    return (int64_t)sim_below(random, WALL_MS_MAX) - (int64_t)wall_ms;
}

/* ---- the clocks of devices ---- */

static void on_kept(const struct sim_call *call)
{
    call->device->skew_ms = 0;
    call->device->is_synchronised = true;
}

/* Its power comes back. */
static void power_clock(struct sim_device *device)
{
    unsigned kind = kind_of(device);

    if (kind != NO_RTC && kind != KEPT_NO_RTC) {
        return;
    }
    device->is_synchronised = false;
    device->skew_ms = -(int64_t)(SIM_WALL_MS + sim->now_ms);
    if (kind == KEPT_NO_RTC) { /* NTP takes its time */
        sim_later(30000, (struct sim_call){.fn = on_kept, .device = device});
    }
}

static void on_restart(const struct sim_call *call)
{
    struct sim_device *device = call->object;
    bool loses_power = (call->a & 1) != 0;

    if (device->runs) {
        sim_device_kill(device, loses_power);
        if (loses_power) {
            power_clock(device);
        }
        sim_device_start_later(device, 1000 + (call->a >> 1) % 60000);
    }
}

static void on_jump(const struct sim_call *call)
{
    struct sim_device *device = call->object;
    struct sim_random random = {call->a};

    device->skew_ms = anywhere(&random);
    sim_trace(sim_name(device), "clock off by %lld s", (long long)(device->skew_ms / 1000));
}

/* NTP sets it right, or nobody does: an hour for summer time, a leap second. */
static void step(struct sim_device *device)
{
    static const int64_t by_ms[KINDS] = {
        [KEPT] = -1000, [KEPT_NO_RTC] = 1000, [OWN] = HOUR_MS, [JUMPS] = -(int64_t)HOUR_MS};
    unsigned kind = kind_of(device);

    if (by_ms[kind] == 0) {
        device->skew_ms = 0;
        device->is_synchronised = true;
    } else {
        device->skew_ms += device->skew_ms == by_ms[kind] ? -by_ms[kind] : by_ms[kind];
    }
    sim_trace(sim_name(device), "clock steps while an update is %s",
              flo_execution_word(play.steps[device->index].in));
}

/* Is an update in the state in which the clock steps? */
static void look(struct sim_device *device, const struct flo_agent *agent)
{
    for (uint32_t i = 0; i < SIM_MODELS_MAX; i++) {
        enum flo_execution *was = &play.steps[device->index].now[i];
        const struct flo_agent_execution *execution = &agent->models[i].execution;
        enum flo_execution now = execution->id[0] == '\0' ? FLO_EXECUTION_QUEUED : execution->state;
        if (now != *was && now == FLO_EXECUTION_TIMED_OUT) {
            sim_violated(SIM_RULE_CLOCKS, device, "execution %s has no time left", execution->id);
        } else if (now != *was && now == play.steps[device->index].in) {
            step(device);
        }
        *was = now;
    }
}

static void plan_device(struct sim_device *device, struct sim_random *random)
{
    play.steps[device->index].in =
        (enum flo_execution)sim_between(random, FLO_EXECUTION_ACCEPTED, FLO_EXECUTION_SOAKING);
    device->is_synchronised = kind_of(device) == KEPT;
    device->was_ahead = true; /* orders are judged here, and nowhere else */
    power_clock(device);
    if (kind_of(device) == WRONG) {
        device->skew_ms = anywhere(random);
    } else if (kind_of(device) == JUMPS) {
        sim_later(sim_between(random, BEGIN_MS, END_MS),
                  (struct sim_call){.fn = on_jump, .object = device, .a = sim_next(random)});
    }
    for (uint64_t i = sim_below(random, 4); i > 0; i--) {
        sim_later(sim_between(random, BEGIN_MS, END_MS),
                  (struct sim_call){.fn = on_restart, .object = device, .a = sim_next(random)});
    }
}

/* ---- the controller's ---- */

void sim_clocks_certify(void)
{
    uint64_t now_ms = (uint64_t)((int64_t)(SIM_WALL_MS + sim->now_ms) + sim->controller.skew_ms);

    sim->peer_from_ms = now_ms - (now_ms < HOUR_MS ? now_ms : HOUR_MS);
    sim->peer_until_ms = now_ms + LIFE_MS;
}

bool sim_clocks_trust(const struct sim_device *device)
{
    uint64_t now_ms = (uint64_t)((int64_t)sim_device_now_ms(device) + device->tls_ahead_ms);

    return !sim->plays_clocks || device->tls_ahead_ms == 0 ||
           (now_ms < sim->peer_until_ms && (!device->tls_is_sure || now_ms >= sim->peer_from_ms));
}

static void set_controller(int64_t skew_ms)
{
    sim_controller_kill();
    sim->controller.skew_ms = skew_ms;
    sim_trace("ctrl", "clock off by %lld s", (long long)(skew_ms / 1000));
    sim_controller_start();
}

static void on_wrong(const struct sim_call *call)
{
    struct sim_random random = {call->a};

    set_controller(anywhere(&random));
}

static void on_right(const struct sim_call *call)
{
    (void)call;
    set_controller(0);
    sim->is_calm = true;
}

/* ---- orders ---- */

static int take_number(void *context, const struct flo_fleet_order *order)
{
    *(uint64_t *)context = order->seq;
    return 0;
}

static void on_order(const struct sim_call *call)
{
    struct flo_controller *controller = sim->controller.controller;
    char id[FLO_NAME_MAX + 1];
    struct flo_err err = {0};

    (void)call;
    sim->is_controllers = true;
    if (controller == NULL || flo_controller_begin(controller, &err) < 0 ||
        flo_orders_fleet(controller, FLO_ORDER_FREEZE, "ops", 0, id, &err) < 0 ||
        flo_controller_commit(controller, &err) < 0 ||
        flo_fleet_order_get(controller->store, id, take_number, &play.number, &err) < 0) {
        sim_violated(SIM_RULE_CLOCKS, NULL, "no order was given: %s", err.what);
    }
    sim->is_controllers = false;
    sim_trace("ops", "the next order is %s, number %llu", id, (unsigned long long)play.number);
}

void sim_clocks_plan(void)
{
    struct sim_random random = sim_random_of(sim->seed, "clocks");

    memset(&play, 0, sizeof(play));
    sim->end_ms = SETTLED_MS + BEATS_MS;
    sim_clocks_certify();
    sim->look = look;
    for (uint32_t i = 0; i < sim->device_count; i++) {
        plan_device(&sim->devices[i], &random);
    }
    sim_later(BEGIN_MS, (struct sim_call){.fn = on_wrong, .a = sim_next(&random)});
    sim_later(END_MS, (struct sim_call){.fn = on_right});
    sim_later(SETTLED_MS, (struct sim_call){.fn = on_order});
}

void sim_clocks_end(void)
{
    for (uint32_t i = 0; i < sim->device_count; i++) {
        const struct sim_device *device = &sim->devices[i];
        if (device->disk.record.freeze.number < play.number) {
            sim_violated(SIM_RULE_CLOCKS, device, "%s takes no order, %llu s after it",
                         sim_name(device), (unsigned long long)BEATS_MS / 1000);
            return;
        }
    }
}
