/* World: one fleet from its seed, from the first device to the last check. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/people.h"
#include "tests/sim/run.h"
#include "tests/sim/world/host.h"

#define REST_MS 10800000 /* three hours, of virtual time */

struct sim_world *sim;

void sim_trace(const char *who, const char *format, ...)
{
    va_list arguments;

    if (!sim->is_traced) {
        return;
    }
    printf("[%6llu.%03llu] %-8s ", (unsigned long long)sim->now_ms / 1000,
           (unsigned long long)sim->now_ms % 1000, who);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
}

const char *sim_name(const struct sim_device *device)
{
    static char names[4][16];
    static unsigned next;
    char *name = names[next++ % 4];

    snprintf(name, sizeof(names[0]), "gw-%u", device->index + 1);
    return name;
}

static void on_device(const struct sim_call *call)
{
    sim_device_start(call->device);
}

static void world_open(uint64_t seed, const struct sim_options *options)
{
    sim->seed = seed;
    sim->wall_ms = SIM_WALL_MS;
    snprintf(sim->fleet, sizeof(sim->fleet), "%s", SIM_FLEET);
    sim->is_traced = options->is_traced;
    sim->is_wired = options->is_wired;
    sim->without = options->without;
    sim->only = options->only;
    sim->days = options->days;
    sim->newest_ms = options->newest_ms;
    sim->plays_clocks = options->plays_clocks;
    if (sim->plays_clocks && seed % 2 == 0) {
        sim->newest_ms = 60000; /* half of them with newest statements */
    }
    sim->only |= sim->plays_clocks ? UINT64_C(1) << 63 : 0; /* nothing else goes wrong */
    sim->chance = sim_random_of(seed, "chance");
    sim->net = sim_random_of(seed, "net");
    struct sim_random size = sim_random_of(seed, "size");
    sim->device_count = sim_chance(&size, 50)
                            ? SIM_CROWD
                            : (uint32_t)sim_between(&size, 1, 1 + sim_below(&size, 40));
    if (options->devices > 0) {
        sim->device_count = options->devices;
    }
    sim->model_count = (uint32_t)sim_between(&size, 1, SIM_MODELS_MAX);
    sim->publisher = sim_key(0);
    sim->stranger = sim_key(1);
    sim->devices = calloc(sim->device_count, sizeof(*sim->devices));
    sim_broker_open();
    sim_controller_init();
    for (uint32_t i = 0; i < sim->device_count; i++) {
        sim_device_init(&sim->devices[i], i);
        sim_later(sim_between(&size, 0, 5000),
                  (struct sim_call){.fn = on_device, .device = &sim->devices[i]});
    }
    sim_devices_enrol();
    sim_nemesis_plan();
    sim_operator_plan();
    if (sim->plays_clocks) {
        sim_clocks_plan();
    } else if (sim->newest_ms > 0) {
        sim_silence_plan();
    }
}

void sim_world_close(void)
{
    sim->actor = NULL;
    for (uint32_t i = 0; i < sim->device_count; i++) {
        sim_device_deinit(&sim->devices[i]);
    }
    sim_controller_deinit();
    sim_broker_close();
    sim_schedule_clear();
    sim_releases_clear();
    sim_orders_forget();
    sim_trust_forget();
    free(sim->devices);
}

/* Let time pass until it holds. */
static void run_until_holds(enum sim_rule (*check)(char *why, size_t bytes), uint64_t most_ms)
{
    uint64_t begin_ms = sim->now_ms;
    char why[512];
    enum sim_rule rule = SIM_RULES;

    do {
        sim_run_until(sim->now_ms + 10000);
        sim->is_controllers = true;
        rule = sim->has_failed ? SIM_RULES : check(why, sizeof(why));
        sim->is_controllers = false;
    } while (rule != SIM_RULES && sim->now_ms < begin_ms + most_ms);
    if (rule != SIM_RULES) {
        sim_violated(rule, NULL, "%s, after %llu min without trouble", why,
                     (unsigned long long)(sim->now_ms - sim->end_ms) / 60000);
    }
}

static void world_run(void)
{
    sim_run_until(sim->end_ms);
    if (sim->plays_clocks) {
        sim_clocks_end();
        return;
    }
    if (sim->newest_ms > 0 && !sim->has_failed) {
        sim_silence_end();
        return;
    }
    if (sim->has_failed) {
        return;
    }
    sim_nemesis_end();
    run_until_holds(sim_check_obeyed, REST_MS);
    if (sim->has_failed) {
        return;
    }
    sim_operator_tidy();
    sim_run_until(sim->now_ms + 120000);
    sim_operator_finish();
    run_until_holds(sim_check_rest, REST_MS);
    sim_run_until(sim->now_ms + 5000); /* what is not needed is deleted */
    if (!sim->has_failed) {
        sim_check_calm();
    }
}

void sim_world_play(uint64_t seed, const struct sim_options *options)
{
    static struct sim_world world;

    memset(&world, 0, sizeof(world));
    sim = &world;
    sim_mutant_set(options->mutant);
    world_open(seed, options);
    world_run();
}
