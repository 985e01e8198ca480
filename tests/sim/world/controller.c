/* Controller: the shipped one, opened over a store that outlives it.
 *
 * It is opened, listens and ticks as run/ does it for the real process. */
#include <stdlib.h>
#include <string.h>

#include "server-stub/core/tick.h"
#include "server-stub/mqtt/batches.h"
#include "server-stub/state/audit/head.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/devices/devices.h"
#include "server-stub/state/groups/groups.h"
#include "server-stub/state/membership/membership.h"
#include "server-stub/state/orders/orders.h"
#include "server-stub/state/rollouts/rollouts.h"
#include "tests/sim/people.h"
#include "tests/sim/world/host.h"

#define TICK_MS 1000
#define FACTS_MS 15000
#define FACTS_TICK 1000
#define CHECK_TICKS 10
#define PIECES_MAX 100

static struct {
    struct flo_tick ticks;
    uint64_t facts_ms;
    size_t facts_from;
} run;

static struct flo_controller *ours(void)
{
    return sim->controller.controller;
}

/* ---- ticks, as run/run.c has them ---- */

static int hear_one(void *context, const char *device)
{
    return flo_rollouts_step_all(
        ours(), (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_HEARD, .device = device},
        context);
}

static int step_rollouts(const struct flo_tick_due *due, struct flo_err *err)
{
    enum flo_rollout_event_kind kind =
        due->is_stalled ? FLO_ROLLOUT_EVENT_LISTENING : FLO_ROLLOUT_EVENT_TICK;
    int rv = flo_rollouts_step_all(ours(), (struct flo_rollout_event){.kind = kind}, err);

    if (rv == 0 && due->hears) {
        flo_tick_heard(&run.ticks, flo_now_ms());
        rv = flo_fleet_online_each(ours()->store, hear_one, err);
    }
    return rv == 0 && flo_orders_are_overtaken(ours()->orders) ? flo_orders_overtaken(ours(), err)
                                                               : rv;
}

static int tick(struct flo_err *err)
{
    const struct flo_tick_now now = {.now_ms = flo_now_ms(),
                                     .wall_ms = flo_wall_ms(),
                                     .listens = flo_batches_listens(sim->controller.batches),
                                     .has_active = flo_rollouts_any_active(ours())};
    struct flo_tick_due due;
    int rv;

    flo_tick_next(&run.ticks, &now, &due);
    if (!due.is_hourly && !due.steps) {
        return 0;
    }
    if ((rv = flo_controller_begin(ours(), err)) < 0) {
        return rv;
    }
    rv = due.steps ? step_rollouts(&due, err) : 0;
    if (rv == 0 && due.is_hourly) {
        flo_tick_took_hour(&run.ticks, now.wall_ms);
        rv = flo_orders_renew(ours(), err);
    }
    if (rv < 0) {
        flo_controller_cancel(ours());
        return rv;
    }
    return flo_controller_commit(ours(), err);
}

static int write_facts(uint64_t now_ms, struct flo_err *err)
{
    if (now_ms < run.facts_ms) {
        return 0;
    }
    int rv = flo_controller_begin(ours(), err);
    if (rv < 0) {
        return rv;
    }
    rv = flo_fleet_facts_write(ours()->store, FACTS_TICK, &run.facts_from, err);
    if (rv < 0 || run.facts_from == SIZE_MAX) {
        run.facts_from = 0;
        run.facts_ms = now_ms + FACTS_MS;
    }
    if (rv < 0) {
        flo_controller_cancel(ours());
        return rv;
    }
    return flo_controller_commit(ours(), err);
}

static void on_tick(const struct sim_call *call)
{
    struct flo_err err = {0};

    if (call->a != sim->controller.life || ours() == NULL) {
        return;
    }
    sim->is_controllers = true;
    flo_batches_tick(sim->controller.batches);
    if (tick(&err) < 0 || write_facts(flo_now_ms(), &err) < 0) {
        flo_log_err(FLO_LOG_WARN, "tick", &err);
    }
    for (int i = 0; i < PIECES_MAX && ours() != NULL && flo_groups_turn(ours(), flo_now_ms());
         i++) {
    }
    if (call->b % CHECK_TICKS == 0) {
        sim_check_running();
    }
    sim_later(TICK_MS, (struct sim_call){.fn = on_tick, .a = call->a, .b = call->b + 1});
}

/* ---- its life ---- */

static void on_start_again(const struct sim_call *call)
{
    if (call->a == sim->controller.life) {
        sim_controller_start();
    }
}

static int open_all(struct flo_err *err)
{
    const struct flo_controller_options options = {.dir = ":memory:",
                                                   .fleet = SIM_FLEET,
                                                   .heartbeat_ms = sim->days > 0 ? 900000 : 60000,
                                                   .newest_ms = sim->newest_ms,
                                                   .unproved = FLO_UNPROVED_TAKE};
    struct sim_controller *controller = &sim->controller;
    int rv;

    sim_keys_again();
    rv = flo_controller_open(&options, &controller->controller, err);
    if (rv < 0) {
        controller->controller = NULL;
        return rv;
    }
    rv = flo_batches_open(controller->controller, NULL, NULL, &controller->batches, err);
    if (rv < 0) {
        abort();
    }
    return 0;
}

void sim_controller_start(void)
{
    struct sim_controller *controller = &sim->controller;
    struct flo_err err = {0};
    bool was_controllers = sim->is_controllers;

    if (controller->controller != NULL) {
        return;
    }
    sim->is_controllers = true;
    sim_clocks_certify();
    memset(&run, 0, sizeof(run));
    if (open_all(&err) < 0) { /* the unit starts it again */
        sim_trace("ctrl", "does not start: %s", err.what);
        sim_later(2000, (struct sim_call){.fn = on_start_again, .a = controller->life});
        sim->is_controllers = was_controllers;
        return;
    }
    run.ticks.ticked_ms = flo_now_ms();
    flo_tick_took_hour(&run.ticks, flo_wall_ms());
    sim_trace("ctrl", "started");
    sim_client_dial(&controller->client);
    sim_later(TICK_MS, (struct sim_call){.fn = on_tick, .a = controller->life});
    sim->is_controllers = was_controllers;
}

void sim_controller_kill(void)
{
    struct sim_controller *controller = &sim->controller;

    if (controller->controller == NULL) {
        return;
    }
    sim_trace("ctrl", "killed");
    controller->life++;
    controller->restarts++;
    controller->dies_at_commit = false;
    sim_client_died(&controller->client);
    flo_batches_close(controller->batches);
    flo_controller_close(controller->controller);
    controller->controller = NULL;
    controller->batches = NULL;
}

/* ---- keys and devices ---- */

static int enrol(const struct sim_device *device, struct flo_err *err)
{
    const char groups[SIM_GROUPS][FLO_NAME_MAX + 1] = {"all", "lab"};
    char name[16];
    struct flo_fleet_device row = {.id = device->id,
                                   .name = name,
                                   .labels = "{}",
                                   .profile = "{}",
                                   .groups = device->is_in_lab ? "[\"all\",\"lab\"]" : "[\"all\"]",
                                   .enrolled_at_ms = SIM_WALL_MS};

    snprintf(name, sizeof(name), "%s", sim_name(device));
    int rv = flo_fleet_device_add(ours()->store, &row, groups, device->is_in_lab ? 2 : 1, err);
    return rv < 0 ? rv : flo_rollouts_join(ours(), device->id, err);
}

/* Its names at the controller; nothing happens while that is down. */
void sim_device_enrol_again(struct sim_device *device)
{
    struct sim_device next = *device;
    struct flo_err err = {0};
    bool was_controllers = sim->is_controllers;
    int rv;

    sim->is_controllers = true;
    if (ours() == NULL || flo_controller_begin(ours(), &err) < 0) {
        sim->is_controllers = was_controllers;
        return;
    }
    next.is_in_lab = sim_people_have_in_lab(device);
    next.enrolments++;
    sim_device_name(&next);
    rv = flo_devices_retire(ours(), device->id, &err);
    rv = rv < 0 ? rv : enrol(&next, &err);
    if (rv < 0) {
        flo_controller_cancel(ours());
    } else {
        rv = flo_controller_commit(ours(), &err);
    }
    sim->is_controllers = was_controllers;
    sim_trace(sim_name(device), "enrolled again%s%s", rv < 0 ? ": no, " : "",
              rv < 0 ? err.what : "");
    if (rv == 0) {
        sim_device_enrolled(device, next.is_in_lab);
    }
}

void sim_devices_enrol(void)
{
    struct flo_err err = {0};
    int rv = flo_controller_begin(ours(), &err);

    for (uint32_t i = 0; i < sim->device_count && rv == 0; i++) {
        rv = enrol(&sim->devices[i], &err);
    }
    if (rv < 0 || flo_controller_commit(ours(), &err) < 0) {
        fprintf(stderr, "enrol: %s\n", err.what);
        abort();
    }
}

void sim_controller_init(void)
{
    sim_client_init(&sim->controller.client, -1, 0);
    sim_controller_start();
    if (ours() == NULL) {
        abort();
    }
    sim_trust_begin();
}

void sim_controller_deinit(void)
{
    sim_controller_kill();
    sim_client_deinit(&sim->controller.client);
    sim_trust_end();
    sim_emergency_forget();
    sim_store_forget();
}
