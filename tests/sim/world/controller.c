/* Controller: the shipped one, opened over a store that outlives it.
 *
 * It is opened, listens and ticks as run/ does it for the real process. */
#include <stdlib.h>
#include <string.h>

#include "server-stub/core/timers.h"
#include "server-stub/mqtt/batches.h"
#include "server-stub/state/audit/head.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/groups/groups.h"
#include "server-stub/state/membership/membership.h"
#include "server-stub/state/orders/orders.h"
#include "server-stub/state/rollouts/rollouts.h"
#include "tests/sim/people.h"
#include "tests/sim/world/host.h"

#define TICK_MS 1000
#define HEARD_MS 60000
#define FACTS_MS 15000
#define FACTS_TICK 1000
#define CHECK_TICKS 10
#define PIECES_MAX 100

static struct {
    uint64_t ticked_ms, hour, heard_ms, facts_ms;
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

static int step_rollouts(uint64_t now_ms, bool stalled, struct flo_err *err)
{
    int rv = flo_rollouts_step_all(
        ours(),
        (struct flo_rollout_event){.kind = stalled ? FLO_ROLLOUT_EVENT_LISTENING
                                                   : FLO_ROLLOUT_EVENT_TICK},
        err);

    if (rv == 0 && now_ms >= run.heard_ms) {
        run.heard_ms = now_ms + HEARD_MS;
        rv = flo_fleet_online_each(ours()->store, hear_one, err);
    }
    return rv == 0 && flo_orders_are_overtaken(ours()->orders) ? flo_orders_overtaken(ours(), err)
                                                               : rv;
}

static int tick(struct flo_err *err)
{
    uint64_t now_ms = flo_now_ms();
    uint64_t hour = flo_wall_ms() / 3600000;
    bool hourly = hour != run.hour;
    bool stalled = flo_ticks_stalled(run.ticked_ms, now_ms);
    bool ticks = flo_batches_listens(sim->controller.batches) && flo_rollouts_any_active(ours());
    int rv;

    run.ticked_ms = now_ms;
    if (!hourly && !ticks) {
        return 0;
    }
    if ((rv = flo_controller_begin(ours(), err)) < 0) {
        return rv;
    }
    rv = ticks ? step_rollouts(now_ms, stalled, err) : 0;
    if (rv == 0 && hourly) {
        run.hour = hour;
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
                                                   .heartbeat_ms = 60000,
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
    memset(&run, 0, sizeof(run));
    if (open_all(&err) < 0) { /* the unit starts it again */
        sim_trace("ctrl", "does not start: %s", err.what);
        sim_later(2000, (struct sim_call){.fn = on_start_again, .a = controller->life});
        sim->is_controllers = was_controllers;
        return;
    }
    run.hour = flo_wall_ms() / 3600000;
    run.ticked_ms = flo_now_ms();
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
