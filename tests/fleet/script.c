/* Scripts: how devices behave, by chance from the seed. */
#include <stdlib.h>
#include <string.h>

#include "tests/fleet/fleet.h"

const char *fleet_script_word(enum fleet_script script)
{
    static const char *const words[FLEET_SCRIPTS] = {
#define FLEET_SCRIPT(name, word, meaning) [FLEET_##name] = word,
#include "tests/fleet/scripts.def"
#undef FLEET_SCRIPT
    };
    return words[script];
}

/* slow=50,offline=20: of a thousand devices */
bool fleet_scripts_read(const char *text)
{
    char copy[256];
    char *rest;

    snprintf(copy, sizeof(copy), "%s", text);
    for (char *word = strtok_r(copy, ",", &rest); word != NULL; word = strtok_r(NULL, ",", &rest)) {
        char *equals = strchr(word, '=');
        unsigned i = 0;
        if (equals == NULL) {
            return false;
        }
        *equals = '\0';
        while (i < FLEET_SCRIPTS && strcmp(fleet_script_word(i), word) != 0) {
            i++;
        }
        if (i == FLEET_SCRIPTS) {
            return false;
        }
        fleet.shares[i] = (unsigned)strtoul(equals + 1, NULL, 10);
    }
    return true;
}

static void on_script(const struct sim_call *call);

static void again(const struct sim_device *device, uint64_t in_ms, uint64_t step)
{
    sim_later(in_ms, (struct sim_call){.fn = on_script, .a = device->index, .b = step});
}

static void crash(struct sim_device *device, uint64_t step)
{
    if (step % 2 == 0) {
        sim_device_kill(device, false);
        again(device, sim_between(&device->random, 1000, 5000), step + 1);
    } else {
        sim_device_start(device);
        again(device, sim_between(&device->random, 30000, 90000), step + 1);
    }
}

static void come_and_go(struct sim_device *device, uint64_t step)
{
    if (step % 2 == 0) {
        device->is_alone = true;
        sim_client_cut(&device->client);
        again(device, sim_between(&device->random, 40000, 60000), step + 1);
    } else {
        device->is_alone = false;
        sim_client_dial(&device->client);
        again(device, 10000, step + 1);
    }
}

static void on_script(const struct sim_call *call)
{
    struct sim_device *device = &sim->devices[call->a];

    switch (fleet_of(device)->script) {
    case FLEET_CRASHING:
        crash(device, call->b);
        break;
    case FLEET_OFFLINE:
        come_and_go(device, call->b);
        break;
    case FLEET_FLAPPING:
        sim_client_cut(&device->client);
        again(device, sim_between(&device->random, 2000, 10000), 0);
        break;
    case FLEET_HOSTILE:
        fleet_attack(device);
        again(device, sim_between(&device->random, 200, 1000), 0);
        break;
    default:
        break;
    }
}

static enum fleet_script draw(struct sim_device *device)
{
    uint64_t drawn = sim_below(&device->random, 1000);
    unsigned sum = 0;

    for (unsigned i = 1; i < FLEET_SCRIPTS; i++) {
        sum += fleet.shares[i];
        if (drawn < sum) {
            return (enum fleet_script)i;
        }
    }
    return FLEET_STEADY;
}

void fleet_script_draw(struct sim_device *device)
{
    struct fleet_device *it = fleet_of(device);

    it->script = draw(device);
    device->pace = it->script == FLEET_SLOW ? 20 * fleet.pace : fleet.pace;
}

void fleet_script_begin(struct sim_device *device)
{
    again(device, sim_between(&device->random, 5000, 30000), 0);
}
