/* Start of a device's agent from what its disk says (agent/shell/run.c), and
 * its end. */
#include <string.h>

#include "tests/sim/device/inside.h"

#define TRUST_FIRST_MS 3600000
#define TRUST_EACH_MS 43200000

static struct flo_release_ref ref_of(const struct flo_digest *digest)
{
    struct flo_release_ref ref = {.digest = *digest};
    int release = sim_release_find(digest);

    return release < 0 ? ref : sim->releases[release].ref;
}

static bool needs_place(const struct flo_slots *slots)
{
    return !flo_digest_is_zero(&slots->current) || !flo_digest_is_zero(&slots->candidate) ||
           (!slots->is_removed && !flo_digest_is_zero(&slots->stated.target));
}

/* The fields that the file keeps of it. */
static void story_read(const struct sim_device *device, const struct flo_agent_execution *kept,
                       struct flo_agent_execution *out)
{
    uint64_t wall_ms = sim_device_wall_ms(device);

    memset(out, 0, sizeof(*out));
    memcpy(out->id, kept->id, sizeof(out->id));
    memcpy(out->rollout, kept->rollout, sizeof(out->rollout));
    memcpy(out->order, kept->order, sizeof(out->order));
    out->attempt = kept->attempt;
    out->phase = kept->phase;
    out->epoch = kept->epoch;
    out->seq = kept->seq;
    out->release = kept->release;
    out->policy = kept->policy;
    out->state = kept->state;
    out->starts = kept->starts;
    out->unsure = kept->unsure;
    out->runtime_failures = kept->runtime_failures;
    if (kept->start_at_ms != 0) {
        uint64_t most_ms = kept->unsure > 0             ? FLO_AGENT_UNSURE_WAIT_MS_MAX
                           : kept->runtime_failures > 0 ? kept->policy.runtime_wait_ms
                                                        : kept->policy.start_jitter_ms;
        uint64_t left_ms = kept->start_at_ms > wall_ms ? kept->start_at_ms - wall_ms : 0;
        out->start_at_ms = sim_device_now_ms(device) + (left_ms < most_ms ? left_ms : most_ms);
    }
}

static void execution_of_slots(const struct flo_slots *slots, struct flo_agent_execution *out)
{
    memset(out, 0, sizeof(*out));
    flo_policy_default(&out->policy);
    out->attempt = slots->attempt == 0 ? 1 : slots->attempt;
    out->seq = slots->order_seq;
    out->phase = slots->rollout_phase;
    out->policy.soak_ms = slots->soak_ms;
    out->policy.soak_requests = slots->soak_requests;
    out->policy.soak_errors_ppm = slots->soak_errors_ppm;
    out->policy.soak_crashes_max = slots->soak_crashes_max;
    out->state = slots->phase == FLO_SLOT_TRIAL ? FLO_EXECUTION_SOAKING : FLO_EXECUTION_STAGED;
    memcpy(out->rollout, slots->rollout, sizeof(out->rollout));
    memcpy(out->order, slots->order, sizeof(out->order));
    snprintf(out->id, sizeof(out->id), "%s.%u", out->rollout, out->attempt);
}

static void write_slots(struct sim_device *device, uint32_t index)
{
    struct flo_err err = {0};

    (void)sim_device_slots_write(device, index, &device->models[index].slots, &err);
}

static void boot_execution(struct sim_device *device, uint32_t index,
                           struct flo_agent_booted *booted, struct flo_agent_execution *open)
{
    struct flo_slots *slots = &device->models[index].slots;
    bool has_candidate = !flo_digest_is_zero(&slots->candidate);
    const struct sim_story *story = sim_story_open(device, slots->model);
    bool has_open = story != NULL;

    if (has_open) {
        story_read(device, &story->execution, open);
    }
    if (has_open && has_candidate && !flo_digest_equal(&open->release.digest, &slots->candidate)) {
        flo_slots_clear_candidate(slots);
        write_slots(device, index);
        has_candidate = false;
    }
    if (!has_open && has_candidate) {
        execution_of_slots(slots, open);
        open->release = ref_of(&slots->candidate);
        story = sim_story_last(device, open->rollout);
        booted->has_ended = story != NULL && story->has_ended;
        has_open = !(booted->has_ended && story->execution.state == FLO_EXECUTION_SUCCEEDED &&
                     flo_slots_commit(slots, NULL) == 0);
        if (!has_open) {
            booted->has_ended = false;
            write_slots(device, index);
        }
    }
    if (has_open) {
        booted->denial = flo_slots_denial(slots, &open->release.digest, 0);
    }
    booted->open = has_open ? open : NULL;
}

static void boot_model(struct sim_device *device, uint32_t index, struct flo_agent_booted *booted,
                       struct flo_agent_execution *open)
{
    struct flo_slots *slots = &device->models[index].slots;

    *booted = (struct flo_agent_booted){.model = index};
    memcpy(booted->name, slots->model, sizeof(booted->name));
    boot_execution(device, index, booted, open);
    booted->slots.current = ref_of(&slots->current);
    booted->slots.previous = ref_of(&slots->previous);
    booted->slots.candidate = ref_of(&slots->candidate);
    booted->slots.is_trial = slots->phase == FLO_SLOT_TRIAL;
    booted->slots.tries_left = slots->tries_left;
    booted->fits_both = device->fits_both;
}

static void read_record(struct sim_device *device, uint32_t index)
{
    struct sim_model *model = &device->models[index];

    memset(model, 0, sizeof(*model));
    model->slots = device->disk.slots[index];
    snprintf(model->slots.model, sizeof(model->slots.model), "%s", sim_models[index]);
    if (flo_slots_heal(&model->slots)) {
        write_slots(device, index);
    }
    flo_slots_raise_floor(&model->slots, sim_trust_of(device));
    flo_slots_forget(&model->slots, sim_trust_of(device));
    if (!needs_place(&model->slots) && sim_story_open(device, sim_models[index]) == NULL) {
        memset(&model->slots, 0, sizeof(model->slots));
    }
}

static void boot(struct sim_device *device)
{
    static struct flo_agent_execution open[SIM_MODELS_MAX];
    static struct flo_agent_booted booted[SIM_MODELS_MAX];
    struct flo_agent_pauses pauses;
    struct flo_agent_event event = {.kind = FLO_AGENT_BOOT};

    for (uint32_t i = 0; i < sim->model_count; i++) {
        if (device->models[i].slots.model[0] != '\0') {
            boot_model(device, i, &booted[event.boot.model_count], &open[i]);
            event.boot.model_count++;
        }
    }
    event.boot.models = booted;
    event.boot.models_max = SIM_MODELS_MAX;
    event.boot.is_frozen = device->record.is_frozen || device->record.is_frozen_emergency;
    event.boot.lacks = device->lacks;
    sim_order_pauses(device, &pauses);
    event.boot.pauses = &pauses;
    event.boot.seed = sim_next(&device->random);
    if (sim_device_step(device, &event)) {
        sim_device_end_turn(device);
    }
}

/* When it was set, orders that it refused may be right now. */
void sim_clock_look(struct sim_device *device)
{
    if (device->skew_ms != device->skew_before_ms) {
        device->skew_before_ms = device->skew_ms;
        device->has_unkept = true;
    }
}

static void on_heartbeat(const struct sim_call *call)
{
    struct sim_device *device = call->device;

    sim_report(device);
    sim_records_write(device);
    sim_clock_look(device);
    if (device->has_unkept && device->client.believes) {
        device->has_unkept = false;
        sim_client_subscribe(&device->client);
    }
    sim_outbox_flush(device);
    sim_outbox_send(device);
    sim_later(device->heartbeat_ms, (struct sim_call){.fn = on_heartbeat, .device = device});
}

static void on_trust_due(const struct sim_call *call)
{
    sim_trust_fetch(call->device);
    sim_later(TRUST_EACH_MS, *call);
}

void sim_device_start(struct sim_device *device)
{
    if (device->runs || device->is_retired) {
        return;
    }
    sim->actor = device;
    device->runs = true;
    device->life++;
    sim_trace(sim_name(device), "starts");
    memset(&device->agent, 0, sizeof(device->agent));
    device->record = device->disk.record;
    device->record_is_dirty = false;
    device->job = 0;
    device->waiting_count = 0;
    device->turn_is_due = device->has_unkept = false;
    device->rev = device->reported_revision = device->report_at_ms = 0;
    memset(device->told, 0, sizeof(device->told));
    sim_trust_hold(device);
    sim_outbox_open(device);
    for (uint32_t i = 0; i < sim->model_count; i++) {
        read_record(device, i);
    }
    boot(device);
    if (device->runs) {
        sim_client_dial(&device->client);
        sim_later(device->trust_is_behind ? 1000 : sim_below(&device->random, TRUST_FIRST_MS),
                  (struct sim_call){.fn = on_trust_due, .device = device});
        sim_later(sim_between(&device->random, 1, device->heartbeat_ms),
                  (struct sim_call){.fn = on_heartbeat, .device = device});
    }
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
    sim_outbox_lose_memory(device, power);
    sim_client_died(&device->client);
    if (power) {
        device->powered_ms = sim->now_ms;
    }
}
