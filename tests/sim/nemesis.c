/* Nemeses: what strikes whom, when and for how long, from the seed alone. */
#include <string.h>

#include "tests/sim/sim.h"

static const char *const words[] = {
#define SIM_NEMESIS(name, word, meaning) word,
#include "tests/sim/nemesis.def"
#undef SIM_NEMESIS
};
enum {
#define SIM_NEMESIS(name, word, meaning) NEMESIS_##name,
#include "tests/sim/nemesis.def"
#undef SIM_NEMESIS
    NEMESES
};

const char *sim_nemesis_word(unsigned kind)
{
    return words[kind];
}

bool sim_nemesis_find(const char *word, unsigned *out)
{
    for (unsigned i = 0; i < NEMESES; i++) {
        if (strcmp(words[i], word) == 0) {
            *out = i;
            return true;
        }
    }
    return false;
}

static struct sim_device *some(struct sim_random *random)
{
    return &sim->devices[sim_below(random, sim->device_count)];
}

/* ---- devices ---- */

static void power(struct sim_device *device, struct sim_random *random)
{
    if (sim_chance(random, 700)) {
        device->cut_after = sim_between(random, 1, 40);
        return;
    }
    if (device->runs) {
        sim_device_kill(device, true);
        sim_device_start_later(device, sim_between(random, 100, 120000));
    }
}

static void kill(struct sim_device *device, struct sim_random *random)
{
    if (device->runs) {
        sim_device_kill(device, false);
        sim_device_start_later(device, sim_between(random, 10, 5000));
    }
}

static void enrol(struct sim_device *device, struct sim_random *random)
{
    if (device->runs) {
        kill(device, random);
        sim_device_enrol_again(device);
    }
}

static void cut(struct sim_device *device)
{
    device->is_alone = true;
    sim_client_cut(&device->client);
}

static void rot(struct sim_device *device, struct sim_random *random)
{
    uint32_t model = (uint32_t)sim_below(random, sim->model_count);
    int release = sim_release_find(&device->disk.slots[model].current);

    if (release >= 0) {
        device->disk.damaged |= 1u << release;
        sim_trace(sim_name(device), "%s@%s rots", sim->releases[release].ref.model,
                  sim->releases[release].ref.version);
    }
}

static void jump(struct sim_device *device, struct sim_random *random)
{
    static const int64_t jumps[] = {0,
                                    3600000,
                                    -3600000,
                                    INT64_C(30) * 86400000,
                                    -INT64_C(20) * 86400000,
                                    -INT64_C(60) * 365 * 86400000};

    if (device->is_synchronised) {
        return; /* a service keeps it right */
    }
    device->skew_ms = jumps[sim_below(random, FLO_COUNT(jumps))];
    device->was_ahead = device->was_ahead || device->skew_ms > 86400000;
    sim_trace(sim_name(device), "clock off by %lld s", (long long)(device->skew_ms / 1000));
}

static void heat(struct sim_device *device, uint32_t lacks)
{
    struct flo_agent_event event = {.kind = FLO_AGENT_CONDITIONS, .lacks = lacks};

    device->lacks = lacks;
    if (device->runs) {
        sim->actor = device;
        sim_device_post(device, 0, &event);
        sim->actor = NULL;
    }
}

static void engine(struct sim_device *device, struct sim_random *random)
{
    if (device->runs) {
        sim->actor = device;
        sim_engine_kill(device, (uint32_t)sim_below(random, sim->model_count),
                        (enum flo_agent_role)sim_below(random, 2));
        sim->actor = NULL;
    }
}

/* ---- begin and end of each ---- */

static void strike_at(struct sim_device *device, unsigned kind, struct sim_random *random)
{
    device->troubled_ms = sim->now_ms;
    switch (kind) {
    case NEMESIS_POWER:
        power(device, random);
        break;
    case NEMESIS_KILL:
        kill(device, random);
        break;
    case NEMESIS_ENROL:
        enrol(device, random);
        break;
    case NEMESIS_LINK:
        cut(device);
        break;
    case NEMESIS_DISK:
        device->disk_is_full = true;
        break;
    case NEMESIS_OUTBOX:
        device->disk.outbox_is_damaged = true;
        kill(device, random);
        break;
    case NEMESIS_ROT:
        rot(device, random);
        break;
    case NEMESIS_CLOCK:
        jump(device, random);
        break;
    case NEMESIS_ENGINE:
        engine(device, random);
        break;
    case NEMESIS_HEAT:
        heat(device, (uint32_t)sim_between(random, 1, (1u << FLO_WAIT_COUNT) - 1));
        break;
    default:
        break;
    }
}

static void strike_all(unsigned kind, struct sim_random *random)
{
    uint64_t choice = sim_below(random, 3);

    sim->disturbed_ms = sim->now_ms;
    switch (kind) {
    case NEMESIS_BROKER:
        sim_broker_kill();
        break;
    case NEMESIS_REPLAY:
        sim->was_hostile = true;
        sim_broker_replay();
        break;
    case NEMESIS_CONTROLLER:
        if (choice == 0) {
            sim->controller.dies_at_commit = true;
        } else {
            sim_controller_kill();
        }
        break;
    case NEMESIS_STORE:
        sim->controller.disk_fails = true;
        break;
    case NEMESIS_MIRROR:
        sim->mirror.is_down = choice == 0;
        sim->mirror.is_slow = choice == 1;
        sim->mirror.lies = choice == 2;
        break;
    default:
        break;
    }
}

static bool is_of_devices(unsigned kind)
{
    return kind != NEMESIS_BROKER && kind != NEMESIS_REPLAY && kind != NEMESIS_CONTROLLER &&
           kind != NEMESIS_STORE && kind != NEMESIS_MIRROR;
}

static void on_end(const struct sim_call *call);

static void on_strike(const struct sim_call *call)
{
    const struct sim_misfortune *it = &sim->misfortunes[call->a];
    struct sim_random random = {it->seed};
    uint64_t count = 1 + (sim_chance(&random, 300) ? sim_below(&random, sim->device_count) : 0);

    sim_trace("nemesis", "%s, for %llu ms", words[it->kind], (unsigned long long)it->lasts_ms);
    if (!is_of_devices(it->kind)) {
        strike_all(it->kind, &random);
    }
    for (uint64_t i = 0; i < count && is_of_devices(it->kind); i++) {
        strike_at(some(&random), it->kind, &random);
    }
    sim_later(it->lasts_ms, (struct sim_call){.fn = on_end, .a = it->kind});
}

/* Two of one kind end with the first end; that is as good. */
static void on_end(const struct sim_call *call)
{
    switch (call->a) {
    case NEMESIS_BROKER:
        sim_broker_start();
        break;
    case NEMESIS_CONTROLLER:
        sim_controller_start();
        break;
    case NEMESIS_STORE:
        sim->controller.disk_fails = false;
        break;
    case NEMESIS_MIRROR:
        memset(&sim->mirror, 0, sizeof(sim->mirror));
        break;
    default:
        break;
    }
    for (uint32_t i = 0; i < sim->device_count; i++) {
        struct sim_device *device = &sim->devices[i];
        if (device->is_alone || device->disk_is_full) {
            device->troubled_ms = sim->now_ms;
        }
        if (call->a == NEMESIS_LINK) {
            device->is_alone = false;
        } else if (call->a == NEMESIS_DISK) {
            device->disk_is_full = false;
        } else if (call->a == NEMESIS_HEAT && device->lacks != 0) {
            heat(device, 0);
        }
    }
    sim->disturbed_ms = is_of_devices((unsigned)call->a) ? sim->disturbed_ms : sim->now_ms;
}

/* ---- the plan ---- */

void sim_nemesis_plan(void)
{
    struct sim_random random = sim_random_of(sim->seed, "nemesis");
    uint64_t minutes = sim_between(&random, 3, 20);

    sim->end_ms = sim->days > 0 ? sim->days * UINT64_C(86400000) : minutes * 60000;
    sim->misfortune_count = sim_below(&random, 40);
    if (sim->days > 0) {
        sim->misfortune_count = SIM_MISFORTUNES_MAX;
    }
    for (size_t i = 0; i < sim->misfortune_count; i++) {
        struct sim_misfortune *it = &sim->misfortunes[i];
        it->at_ms = sim_between(&random, 1000, sim->end_ms);
        it->lasts_ms = sim_between(&random, 10, sim_chance(&random, 200) ? 600000 : 30000);
        it->kind = (unsigned)sim_below(&random, NEMESES);
        it->seed = sim_next(&random);
        if ((sim->without >> i & 1) == 0 && (sim->only == 0 || (sim->only >> it->kind & 1) != 0)) {
            sim_later(it->at_ms, (struct sim_call){.fn = on_strike, .a = i});
        }
    }
}

void sim_nemesis_end(void)
{
    struct sim_call call = {0};

    sim_trace("nemesis", "all is well from here on");
    sim->is_calm = true;
    sim->controller.dies_at_commit = false;
    for (call.a = 0; call.a < NEMESES; call.a++) {
        on_end(&call);
    }
    for (uint32_t i = 0; i < sim->device_count; i++) {
        struct sim_device *device = &sim->devices[i];
        device->cut_after = 0;
        device->skew_ms = 0;
        sim_device_start(device);
        sim->actor = NULL;
    }
}
