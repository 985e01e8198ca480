/* Device: the life of an agent.  Its shell is the shipped one (agent/shell); the
 * files next to this one are what is below it: a disk, engines, a link.
 *
 * A power cut comes after any write.  The shell goes on to the end of its turn,
 * but nothing that it does leaves it: its memory is dropped at the next start. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "agent/shell/heartbeat.h"
#include "agent/shell/link/link.h"
#include "agent/shell/outbox/outbox_state.h"
#include "agent/shell/queue/timers.h"
#include "agent/shell/rooms.h"
#include "agent/shell/start.h"
#include "agent/shell/trust/trust.h"
#include "tests/sim/device/device.h"

#define DAY_MS UINT64_C(86400000)

/* ---- clocks ---- */

uint64_t sim_device_now_ms(const struct sim_device *device)
{
    return sim->now_ms - device->powered_ms + 1000;
}

uint64_t sim_device_wall_ms(const struct sim_device *device)
{
    return (uint64_t)((int64_t)(sim->wall_ms + sim->now_ms) + device->skew_ms);
}

/* ---- what others ask of it ---- */

struct sim_device *sim_of(const struct flo_shell *shell)
{
    return (struct sim_device *)shell->store;
}

uint32_t sim_model_of(const char *name)
{
    uint32_t i = 0;

    while (i < SIM_MODELS_MAX && strcmp(sim_models[i], name) != 0) {
        i++;
    }
    return i;
}

const struct flo_agent_model *sim_agent_of(const struct sim_device *device, uint32_t model)
{
    static const struct flo_agent_model none = {.live = -1};
    uint32_t place = flo_shell_model(device->shell, sim_models[model]);

    return place == FLO_NO_MODEL ? &none : &device->shell->agent.models[place];
}

bool sim_device_is_in_lab(const struct sim_device *device)
{
    size_t count;
    const char(*groups)[FLO_NAME_MAX + 1] = flo_shell_groups(device->shell, &count);
    bool is_in_lab = count == 0 && device->is_in_lab;

    for (size_t i = 0; i < count; i++) {
        is_in_lab = is_in_lab || strcmp(groups[i], "lab") == 0;
    }
    return is_in_lab;
}

uint64_t sim_outbox_last(const struct sim_device *device)
{
    return device->shell->db == NULL ? 0 : device->shell->db->sequence;
}

uint64_t sim_outbox_acked(const struct sim_device *device)
{
    return device->shell->db == NULL ? 0 : device->shell->db->outbox.acked;
}

const char *sim_outbox_boot(const struct sim_device *device)
{
    return device->shell->db == NULL ? "" : device->shell->db->boot;
}

/* ---- events of the core ---- */

/* The engine's role now; FLO_AGENT_ROLES: it is there no more. */
static enum flo_agent_role role_of(const struct sim_device *device, uint32_t model, uint64_t engine)
{
    int role = 0;

    while (role < FLO_AGENT_ROLES && device->engines[model][role].number != engine) {
        role++;
    }
    return (enum flo_agent_role)role;
}

static void on_event(const struct sim_call *call)
{
    struct flo_agent_event *event = call->owned;
    struct flo_shell *shell = call->device->shell;
    struct flo_err err = {.code = event->error.code};

    if (call->a != 0) {
        event->role = role_of(call->device, event->model, call->a);
    }
    if (event->role == FLO_AGENT_ROLES) {
        return;
    }
    if (event->kind == FLO_AGENT_LOST) {
        snprintf(err.what, sizeof(err.what), "%s", event->error.what);
        flo_shell_lost(shell, event->model, event->role, &err);
    } else {
        flo_queue_post(&shell->queue, event);
    }
}

void sim_device_post_engine(struct sim_device *device, uint64_t in_ms, uint64_t engine,
                            const struct flo_agent_event *event)
{
    struct flo_agent_event *copy = malloc(sizeof(*copy));

    if (copy == NULL) {
        abort();
    }
    *copy = *event;
    sim_device_later(device, in_ms, (struct sim_call){.fn = on_event, .a = engine, .owned = copy});
}

void sim_device_post(struct sim_device *device, uint64_t in_ms, const struct flo_agent_event *event)
{
    sim_device_post_engine(device, in_ms, 0, event);
}

/* Nothing is begun by a device that is off. */
void sim_device_later(struct sim_device *device, uint64_t in_ms, struct sim_call call)
{
    if (!device->runs) {
        free(call.owned);
        return;
    }
    call.device = device;
    sim_later(in_ms, call);
}

/* ---- its life ---- */

static struct flo_config *config(void)
{
    static const struct flo_config_row rows[] = {
#define FLO_CONFIG(name, word, kind, least, most, usual, meaning)                                  \
    {.key = word, .type = FLO_CONFIG_##kind, .min = least, .max = most, .standard = usual},
#include "agent/config.def"
#undef FLO_CONFIG
    };
    static struct flo_config *kept; /* all devices have the same */
    struct flo_err err = {0};

    if (kept == NULL &&
        flo_config_parse("", 0, "simulation", rows, FLO_COUNT(rows), &kept, &err) < 0) {
        abort();
    }
    return kept;
}

static void identify(const struct sim_device *device, struct flo_identity *out)
{
    out->is_there = true;
    snprintf(out->device, sizeof(out->device), "%s", device->id);
    snprintf(out->fleet, sizeof(out->fleet), "%s", sim->fleet);
    snprintf(out->name, sizeof(out->name), "%s", sim_name(device));
    snprintf(out->groups[out->group_count++], sizeof(out->groups[0]), "all");
    if (device->is_in_lab) {
        snprintf(out->groups[out->group_count++], sizeof(out->groups[0]), "lab");
    }
    out->pairs.list[0].facts.not_before_ms = sim->wall_ms - DAY_MS;
    out->pairs.list[0].facts.not_after_ms = sim->wall_ms + 89 * DAY_MS;
    out->trust = sim_trust_load(device);
}

/* Pages that nobody touches take no memory: 3 MB are reserved, for 16 models. */
static struct flo_shell *memory(void)
{
    struct flo_shell_whole *whole = mmap(NULL, sizeof(*whole), PROT_READ | PROT_WRITE,
                                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (whole == MAP_FAILED) {
        abort();
    }
    flo_shell_connect(whole);
    return &whole->shell;
}

/* The memory of the process before this one. */
static void forget(struct sim_device *device)
{
    flo_outbox_db_close(device->shell->db);
    memset(device->timers, 0, sizeof(device->timers));
    munmap(device->shell, sizeof(struct flo_shell_whole));
    device->shell = NULL;
    memset(&device->https, 0, sizeof(device->https));
    device->pending.count = 0;
    device->is_keeping = false;
    memset(device->engines, 0, sizeof(device->engines));
    device->job = 0;
}

static void must(int rv, const struct flo_err *err)
{
    if (rv < 0) {
        fprintf(stderr, "device: %s\n", err->what);
        abort();
    }
}

void sim_device_start(struct sim_device *device)
{
    struct flo_err err = {0};
    struct flo_shell *shell;

    if (device->runs || device->is_retired) {
        return;
    }
    if (device->is_fresh && device->disk_is_full) {
        sim_device_start_later(device, 1000); /* docs/roadmap.md: it would forget nothing */
        return;
    }
    sim->actor = device;
    forget(device);
    device->powered_ms = device->lost_power ? sim->now_ms : device->powered_ms;
    device->slept_ms = device->lost_power ? 0 : device->slept_ms;
    device->lost_power = false;
    device->silent_ms = 0;
    shell = device->shell = memory();
    device->runs = true;
    device->life++;
    sim_trace(sim_name(device), "starts");
    shell->settings.config = config();
    shell->store = (struct flo_store *)device;
    shell->serve = (struct flo_serve *)device;
    shell->hardware->watch.lacks = device->lacks;
    identify(device, &shell->identity);
    flo_uuid_make(shell->boot_id);
    must(flo_start_open(shell, &err), &err);
    for (uint32_t i = 0; i < FLO_AGENT_MODELS_MAX; i++) {
        sim_check_start(device, &shell->models[i].slots);
    }
    device->is_fresh = device->is_fresh && !device->runs;
    must(flo_heartbeat_open(shell, &err), &err);
    must(flo_shell_trust_open(shell, &err), &err);
    must(flo_shell_link_open(shell, &err), &err);
    flo_shell_boot(shell);
    if (device->runs) {
        sim_client_dial(&device->client);
    }
}

static void on_power(const struct sim_call *call)
{
    sim_device_start(call->device);
}

void sim_device_start_later(struct sim_device *device, uint64_t in_ms)
{
    sim_later(in_ms, (struct sim_call){.fn = on_power, .device = device});
}

void sim_device_kill(struct sim_device *device, bool power)
{
    if (!device->runs) {
        return;
    }
    sim_trace(sim_name(device), power ? "power fails" : "killed");
    device->runs = false;
    device->life++;
    device->cut_after = 0;
    device->reachable_since_ms = 0;
    if (power) {
        sim_outbox_lose_answers(device);
        device->lost_power = true;
    }
    sim_client_died(&device->client);
}

/* ---- the whole ---- */

/* By its index and how often it was enrolled. */
void sim_device_name(struct sim_device *device)
{
    snprintf(device->id, sizeof(device->id), "%08x-%04x-4000-8000-%012x", device->index,
             device->enrolments & 0xffff, device->index);
}

void sim_device_enrolled(struct sim_device *device, bool is_in_lab)
{
    device->enrolments++;
    device->is_fresh = true;
    device->is_in_lab = is_in_lab;
    sim_device_name(device);
    sim_stories_forget(device);
    device->pending.count = 0;
    memset(device->seen.judged, 0, sizeof(device->seen.judged));
    device->seen.own_rollouts = 0;
}

void sim_device_init(struct sim_device *device, uint32_t index)
{
    memset(device, 0, sizeof(*device));
    device->index = index;
    sim_device_name(device);
    device->random = sim_random_of(sim->seed * 1000 + index, "device");
    device->is_in_lab = sim_chance(&device->random, 300);
    device->was_in_lab = device->is_in_lab;
    device->fits_both = sim_chance(&device->random, 800);
    device->is_synchronised = sim_chance(&device->random, 500);
    device->pace = 1000;
    device->seen.statement = 1;
    device->shell = memory();
    sim_client_init(&device->client, (int)index, 3600000);
}

void sim_device_deinit(struct sim_device *device)
{
    sim->actor = device;
    device->runs = false;
    forget(device);
    sim->actor = NULL;
    sim_disk_deinit(device);
    free(device->pending.items);
    sim_client_deinit(&device->client);
}
