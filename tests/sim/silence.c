/* Silence: days in which devices sleep, are away, restart and have wrong clocks.
 *
 * None may say trust.stale while statements reach it.  From a moment on, which
 * the seed draws, somebody holds back the statements from some of them, and each
 * of these has to say it within three intervals.  The counts here are the
 * world's: time in which a device was awake and connected without one. */
#include "agent/shell/device/device.h"
#include "tests/sim/sim.h"

#define LOOKS 8 /* in an interval */
#define HOUR_MS 3600000u
#define HELD_PER_MIL 400 /* of the devices */
/* The device looks about four times in an interval, so it is up to three eighths
 * of one late. */
#define LATEST_MS (7 * sim->newest_ms / 2)
#define SOONEST_MS (5 * sim->newest_ms / 2)

/* Kinds of a device's life, by its place. */
enum { SLEEPS = 1, LEAVES = 2, RESTARTS = 4, IS_SKEWED = 8 };
static const unsigned lives[] = {0,         SLEEPS,   LEAVES,
                                 IS_SKEWED, RESTARTS, SLEEPS | LEAVES | RESTARTS | IS_SKEWED};

static unsigned life_of(const struct sim_device *device)
{
    return lives[device->index % FLO_COUNT(lives)];
}

/* ---- weather ---- */

static void on_woken(const struct sim_call *call)
{
    struct sim_device *device = call->object;

    device->slept_ms += call->a;
    device->troubled_ms = sim->now_ms;
    sim_trace(sim_name(device), "wakes");
}

static void sleep_for(struct sim_device *device, uint64_t lasts_ms)
{
    device->reachable_since_ms = 0;
    device->asleep_ms = sim->now_ms;
    device->awake_ms = sim->now_ms + lasts_ms;
    sim_client_sleeps(&device->client, lasts_ms);
    sim_later(lasts_ms, (struct sim_call){.fn = on_woken, .object = device, .a = lasts_ms});
    sim_trace(sim_name(device), "sleeps for %llu s", (unsigned long long)lasts_ms / 1000);
}

static void on_back(const struct sim_call *call)
{
    struct sim_device *device = call->object;

    device->is_alone = false;
    device->troubled_ms = sim->now_ms;
}

static void leave_for(struct sim_device *device, uint64_t lasts_ms)
{
    device->is_alone = true;
    sim_client_cut(&device->client);
    sim_later(lasts_ms, (struct sim_call){.fn = on_back, .object = device});
}

static void skew(struct sim_device *device, struct sim_random *random)
{
    static const int64_t hours[] = {0, 1, -1, 48, -48, 720, -480, -500000};

    device->is_synchronised = false;
    device->skew_ms = hours[sim_below(random, FLO_COUNT(hours))] * HOUR_MS;
}

static uint64_t some_time(struct sim_random *random)
{
    return sim_chance(random, 500) ? sim_between(random, 1000, 20 * 60000)
                                   : sim_between(random, HOUR_MS / 2, 10 * HOUR_MS);
}

/* One thing at a time, some times a day. */
static void on_weather(const struct sim_call *call)
{
    struct sim_device *device = call->object;
    struct sim_random random = {call->a};
    uint64_t lasts_ms = some_time(&random);
    unsigned what = life_of(device) & 1u << sim_below(&random, 4);

    device->troubled_ms = sim->now_ms;

    if (what == SLEEPS && device->runs) {
        sleep_for(device, lasts_ms);
    } else if (what == LEAVES) {
        leave_for(device, lasts_ms);
    } else if (what == IS_SKEWED) {
        skew(device, &random);
    } else if (what == RESTARTS && device->runs) {
        sim_device_kill(device, sim_chance(&random, 500));
        sim_device_start_later(device, sim_between(&random, 1000, 120000));
    }
    sim_later(lasts_ms + sim_between(&random, 60000, 3 * HOUR_MS),
              (struct sim_call){.fn = on_weather, .object = device, .a = sim_next(&random)});
}

/* ---- who tells, and when ---- */

void sim_silence_heard(struct sim_device *device)
{
    device->silent_ms = 0;
    sim->words++;
}

static void look(struct sim_device *device, uint64_t since_ms)
{
    if (!device->runs || sim_is_asleep(device)) {
        return;
    }
    bool is_stale = device->shell->stale[0] != '\0';
    device->silent_ms += device->client.believes ? since_ms : 0;
    if (is_stale && !device->was_stale && device->silent_ms < SOONEST_MS) {
        sim_violated(SIM_RULE_SILENCE, device, "false alarm, %llu s after a statement: %s",
                     (unsigned long long)device->silent_ms / 1000, device->shell->stale);
    }
    if (!is_stale && device->silent_ms > LATEST_MS) {
        sim_violated(SIM_RULE_SILENCE, device, "no alarm, %llu s without a statement",
                     (unsigned long long)device->silent_ms / 1000);
    }
    sim->alarms += is_stale && !device->was_stale;
    device->has_told = device->has_told || (is_stale && device->is_held);
    device->was_stale = is_stale;
}

static void on_look(const struct sim_call *call)
{
    for (uint32_t i = 0; i < sim->device_count; i++) {
        look(&sim->devices[i], sim->newest_ms / LOOKS);
    }
    sim_later(sim->newest_ms / LOOKS, *call);
}

static void on_held(const struct sim_call *call)
{
    struct sim_random random = {call->a};

    if (sim->alarms > 0) {
        sim_violated(SIM_RULE_SILENCE, NULL, "%llu alarms while nobody held back anything",
                     (unsigned long long)sim->alarms);
    }
    for (uint32_t i = 0; i < sim->device_count; i++) {
        sim->devices[i].is_held = i == 0 || sim_chance(&random, HELD_PER_MIL);
    }
    sim_trace("nemesis", "holds back statements");
}

void sim_silence_plan(void)
{
    struct sim_random random = sim_random_of(sim->seed, "silence");

    for (uint32_t i = 0; i < sim->device_count; i++) {
        sim_later(sim_between(&random, 60000, 6 * HOUR_MS),
                  (struct sim_call){
                      .fn = on_weather, .object = &sim->devices[i], .a = sim_next(&random)});
    }
    sim_later(sim_between(&random, sim->end_ms / 2, sim->end_ms / 4 * 3),
              (struct sim_call){.fn = on_held, .a = sim_next(&random)});
    sim_later(sim->newest_ms / LOOKS, (struct sim_call){.fn = on_look});
}

void sim_silence_end(void)
{
    unsigned held = 0, told = 0;

    for (uint32_t i = 0; i < sim->device_count; i++) {
        held += sim->devices[i].is_held;
        told += sim->devices[i].has_told;
    }
    if (told < held || sim->alarms == 0) {
        sim_violated(SIM_RULE_SILENCE, NULL, "%u of %u devices told that statements were held back",
                     told, held);
    }
    printf("seed %llu: %u days, %u devices, %llu statements heard, 0 false alarms; held back from "
           "%u, told by %u\n",
           (unsigned long long)sim->seed, sim->days, sim->device_count,
           (unsigned long long)sim->words, held, told);
}
