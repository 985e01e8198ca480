/* Records of a device, and the core's slot actions as writes of them; as
 * agent/shell/device and agent/shell/update do it. */
#include <string.h>

#include "tests/sim/device/inside.h"

/* ---- records ---- */

static bool has_room(const struct sim_device *device, struct flo_err *err)
{
    if (device->disk_is_full) {
        flo_fail(err, FLO_E_DISK_FULL, "slots: no room");
    }
    return !device->disk_is_full;
}

bool sim_device_slots_write(struct sim_device *device, uint32_t model, struct flo_slots *slots,
                            struct flo_err *err)
{
    if (!has_room(device, err)) {
        return false;
    }
    slots->generation++;
    device->disk.slots[model] = *slots;
    sim_check_written(device);
    return true;
}

bool sim_device_record_keep(struct sim_device *device, struct flo_err *err)
{
    if (!device->record_is_dirty) {
        return true;
    }
    if (!has_room(device, err)) {
        return false;
    }
    device->record.generation++;
    device->disk.record = device->record;
    device->record_is_dirty = false;
    sim_check_written(device);
    return true;
}

void sim_model_write(struct sim_device *device, uint32_t index)
{
    struct sim_model *model = &device->models[index];
    struct flo_err err = {0};

    if (model->is_dirty && model->slots.model[0] != '\0') {
        model->is_dirty = !sim_device_slots_write(device, index, &model->slots, &err);
    }
}

void sim_records_write(struct sim_device *device)
{
    struct flo_err err = {0};

    (void)sim_device_record_keep(device, &err);
    for (uint32_t i = 0; i < sim->model_count; i++) {
        sim_model_write(device, i);
    }
}

/* ---- slot actions, as agent/shell/update/slots.c ---- */

static int stage(struct sim_device *device, const struct flo_agent_action *action,
                 struct flo_slots *slots, struct flo_err *err)
{
    const struct flo_agent_execution *execution = &device->agent.models[action->model].execution;
    int release = sim_release_find(&action->release.digest);
    struct flo_slots facts = {
        .attempt = execution->attempt,
        .order_seq = execution->seq,
        .soak_ms = execution->policy.soak_ms,
        .soak_requests = (uint32_t)execution->policy.soak_requests,
        .soak_errors_ppm = (uint32_t)execution->policy.soak_errors_ppm,
        .soak_crashes_max = (uint32_t)execution->policy.soak_crashes_max,
        .rollout_phase = execution->phase,
    };

    if (release < 0 || (device->disk.blobs >> release & 1) == 0) {
        return flo_fail(err, FLO_E_BLOB_ABSENT, "no such document here");
    }
    memcpy(facts.rollout, execution->rollout, sizeof(facts.rollout));
    memcpy(facts.order, execution->order, sizeof(facts.order));
    facts.candidate_number = sim->releases[release].number;
    facts.candidate_floor = sim->releases[release].floor;
    int rv = flo_slots_admit(slots, &action->release.digest, facts.candidate_number, err);
    return rv < 0 ? rv : flo_slots_stage(slots, &action->release.digest, &facts, err);
}

static int change(struct sim_device *device, const struct flo_agent_action *action,
                  struct flo_slots *slots, struct flo_err *err)
{
    int rv;

    switch (action->kind) {
    case FLO_DO_SLOT_STAGE:
        return stage(device, action, slots, err);
    case FLO_DO_SLOT_TRIAL:
        rv = flo_slots_begin_trial(
            slots, (uint32_t)device->agent.models[action->model].execution.policy.tries, err);
        return rv < 0 ? rv : flo_slots_count_try(slots, err);
    case FLO_DO_SLOT_TRY:
        return flo_slots_count_try(slots, err);
    case FLO_DO_SLOT_UNTRY:
        flo_slots_return_try(slots);
        sim_check_untry(device, action->model);
        return 0;
    case FLO_DO_SLOT_COMMIT:
        return flo_slots_commit(slots, err);
    case FLO_DO_SLOT_CLEAR:
        flo_slots_clear_candidate(slots);
        return 0;
    case FLO_DO_SLOT_REMOVE:
        flo_slots_remove(slots);
        return 0;
    default:
        return flo_slots_roll_back(slots, err);
    }
}

bool sim_slot_action(struct sim_device *device, const struct flo_agent_action *action)
{
    struct sim_model *model = &device->models[action->model];
    struct flo_slots next = model->slots;
    struct flo_agent_event event = {.kind = FLO_AGENT_WRITTEN, .model = action->model};
    struct flo_err err = {0};
    int rv = change(device, action, &next, &err);

    if (rv == 0 && !sim_device_slots_write(device, action->model, &next, &err)) {
        rv = err.code;
    }
    if (rv == 0 || action->kind == FLO_DO_SLOT_CLEAR) {
        model->slots = next;
        model->is_dirty = rv < 0;
    }
    if (rv == 0 && action->kind == FLO_DO_SLOT_TRIAL) {
        sim_check_trial(device, action->model);
    }
    if (rv < 0) {
        event.kind = FLO_AGENT_UNWRITTEN;
        event.error.code = err.code;
        snprintf(event.error.what, sizeof(event.error.what), "%.255s", err.what);
    }
    if (action->kind != FLO_DO_SLOT_CLEAR && action->kind != FLO_DO_SLOT_UNTRY &&
        !(action->kind == FLO_DO_SLOT_TRY && rv == 0)) {
        sim_device_post(device, 0, &event);
    }
    return rv == 0;
}
