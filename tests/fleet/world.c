/* World: what tests/sim/device asks of it, answered by the real one. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fleet/fleet.h"

const char *sim_models[SIM_MODELS_MAX] = {"tiny", "alarm"};

struct fleet_device *fleet_of(const struct sim_device *device)
{
    return &fleet.devices[device->index];
}

const char *sim_name(const struct sim_device *device)
{
    static char names[4][FLO_NAME_MAX + 1];
    static unsigned next;
    char *name = names[next++ % 4];

    snprintf(name, sizeof(names[0]), "%s-%05u", fleet.prefix, device->index + 1);
    return name;
}

void sim_trace(const char *who, const char *format, ...)
{
    va_list arguments;

    if (!sim->is_traced) {
        return;
    }
    fprintf(stderr, "[%6llu.%03llu] %-10s ", (unsigned long long)sim->now_ms / 1000,
            (unsigned long long)sim->now_ms % 1000, who);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

/* Statements come by MQTT alone here. */
void sim_trust_fetch(struct sim_device *device)
{
    (void)device;
}

bool sim_trust_forbids(const struct flo_trust *trust, const char *model,
                       const struct flo_digest *release, uint64_t number)
{
    return flo_trust_is_release_revoked(trust, release) || number < flo_trust_floor(trust, model);
}

/* ---- messages ---- */

struct sim_message *sim_message_new(const char *topic, const void *data, size_t bytes,
                                    bool is_retained)
{
    size_t name_bytes = strlen(topic) + 1;
    struct sim_message *message = malloc(sizeof(*message) + bytes + 1 + name_bytes);
    char key[FLO_NAME_MAX + 1];
    struct flo_err err = {0};

    if (message == NULL) {
        abort();
    }
    memset(message, 0, sizeof(*message));
    message->refs = 1;
    message->bytes = bytes;
    message->is_retained = is_retained;
    memcpy(message->data, data, bytes);
    message->data[bytes] = '\0';
    message->name = memcpy(message->data + bytes + 1, topic, name_bytes);
    if (flo_topic_parse(topic, fleet.name, &message->topic, key, &err) < 0) {
        message->topic = FLO_TOPIC_COUNT;
    }
    return message;
}

/* These devices know the groups of their enrolment alone, and name none. */
void sim_broker_groups(struct sim_device *device)
{
    (void)device;
}

void sim_message_drop(struct sim_message *message)
{
    if (message != NULL && --message->refs == 0) {
        free(message);
    }
}

/* ---- releases ---- */

int sim_release_find(const struct flo_digest *digest)
{
    for (int i = 0; i < sim->release_count; i++) {
        if (flo_digest_equal(digest, &sim->releases[i].ref.digest)) {
            return i;
        }
    }
    return -1;
}

/* The same device meets the same behaviour each time. */
enum sim_kind sim_behaviour(const struct sim_device *device, int release)
{
    struct sim_random random = {sim->seed ^ ((uint64_t)device->index << 32) ^
                                sim->releases[release].number << 8};

    (void)sim_next(&random);
    if (!sim_chance(&random, 500)) {
        return SIM_GOOD;
    }
    switch (fleet_of(device)->script) {
    case FLEET_SLOW:
        return SIM_SLOW;
    case FLEET_FAILING:
        return SIM_WRONG;
    case FLEET_CRASHING:
        return SIM_CRASHING;
    default:
        return SIM_GOOD;
    }
}
