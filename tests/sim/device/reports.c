/* Words of a device: reported, events, answers (contracts/messages.md section
 * 3). */
#include <string.h>

#include "tests/sim/sim.h"

bool sim_publish(struct sim_device *device, enum flo_topic topic, const char *data, size_t bytes)
{
    char name[FLO_TOPIC_TEXT];
    struct flo_err err = {0};

    if (sim->is_wired && topic != FLO_TOPIC_REPORTED) {
        sim_trace(sim_name(device), "says %s", data);
    }
    return flo_topic_build(topic, sim->fleet, device->id, name, &err) == 0 &&
           sim_client_publish(&device->client, topic, name, data, bytes);
}

static void add_error(struct flo_buf *out, const struct flo_agent_error *error)
{
    flo_buf_printf(out, ",\"error\":{\"id\":\"%s\",\"what\":",
                   error->code == 0 ? "" : flo_error_id(error->code));
    flo_buf_text(out, "\"");
    flo_buf_json_text(out, error->what, strlen(error->what));
    flo_buf_text(out, "\"");
    flo_buf_printf(out, ",\"step\":\"%s\"}", error->step);
}

void sim_report_execution(struct sim_device *device, const struct flo_agent_execution *execution)
{
    struct flo_buf text = {0};
    char digest[FLO_DIGEST_TEXT];
    bool is_end = flo_execution_is_end(execution->state);

    flo_digest_text(&execution->release.digest, digest);
    flo_buf_printf(&text,
                   "{\"type\":\"execution\",\"execution\":\"%s\",\"rollout\":"
                   "\"%s\",\"phase\":%u,\"order\":\"%s\",\"model\":\"%s\","
                   "\"release\":\"%s\",\"version\":\"%s\",\"state\":\"%s\","
                   "\"end\":%s",
                   execution->id, execution->rollout, execution->phase, execution->order,
                   execution->release.model, digest, execution->release.version,
                   flo_execution_word(execution->state), is_end ? "true" : "false");
    if (is_end && (execution->error.code != 0 || execution->error.what[0] != '\0')) {
        add_error(&text, &execution->error);
    }
    sim_outbox_add(device, &text, execution);
}

void sim_report_serving(struct sim_device *device, const struct flo_agent_action *action)
{
    struct flo_buf text = {0};
    char digest[FLO_DIGEST_TEXT];

    flo_digest_text(&action->release.digest, digest);
    flo_buf_printf(&text,
                   "{\"type\":\"serving\",\"serving\":\"%s\",\"model\":\"%s\","
                   "\"release\":\"%s\",\"version\":\"%s\"",
                   action->word, action->release.model, digest, action->release.version);
    sim_outbox_add(device, &text, NULL);
}

void sim_report_event(struct sim_device *device, const char *type, const struct flo_err *err)
{
    struct flo_buf text = {0};
    struct flo_agent_error error = {.code = err->code};

    snprintf(error.what, sizeof(error.what), "%.255s", err->what);
    flo_buf_printf(&text, "{\"type\":\"%s\"", type);
    add_error(&text, &error);
    sim_outbox_add(device, &text, NULL);
}

/* ---- drift ---- */

static struct flo_agent_target target_of(const struct sim_model *model)
{
    const struct flo_slots *slots = &model->slots;
    struct flo_agent_target target = {
        .current_number = slots->current_number,
        .is_current_denied = flo_slots_is_denied(slots, &slots->current, slots->current_number)};
    struct flo_err err = {0};

    if (slots->stated.number == 0) {
        return target;
    }
    target.release = slots->stated.target;
    if (model->assigned.seq == slots->stated.number) {
        target.number = model->assigned.number;
    }
    if (!flo_digest_is_zero(&target.release)) {
        target.refusal = flo_slots_permit(slots, &target.release, target.number, &err);
    }
    return target;
}

bool sim_report_drift(struct sim_device *device, uint32_t index)
{
    struct sim_model *model = &device->models[index];
    struct flo_agent_target target = target_of(model);
    enum flo_drift drift = flo_agent_drift(&device->agent, index, &target);
    struct flo_buf text = {0};
    char digest[FLO_DIGEST_TEXT];

    if (drift == model->drift) {
        return false;
    }
    model->drift = drift;
    model->drift_at_ms = sim_device_wall_ms(device);
    flo_digest_text(&device->agent.models[index].slots.current.digest, digest);
    flo_buf_printf(&text,
                   "{\"type\":\"drift\",\"kind\":\"%s\",\"model\":\"%s\","
                   "\"release\":\"%s\",\"version\":\"%s\"",
                   flo_drift_word(drift), sim_models[index], digest,
                   device->agent.models[index].slots.current.version);
    sim_outbox_add(device, &text, NULL);
    return true;
}

/* ---- reported ---- */

static void add_slot(struct flo_buf *out, const char *key, const struct flo_release_ref *ref,
                     uint64_t number)
{
    char digest[FLO_DIGEST_TEXT];

    if (flo_digest_is_zero(&ref->digest)) {
        flo_buf_printf(out, ",\"%s\":null", key);
        return;
    }
    flo_digest_text(&ref->digest, digest);
    flo_buf_printf(out,
                   ",\"%s\":{\"release\":\"%s\",\"version\":\"%s\","
                   "\"number\":%llu}",
                   key, digest, ref->version, (unsigned long long)number);
}

static const char *state_word(const struct flo_agent_model *agent)
{
    if (agent->live >= 0) {
        return "ready";
    }
    if (flo_agent_is_resting(agent)) {
        return "on-demand";
    }
    return agent->engines[FLO_AGENT_CURRENT].state == FLO_ENGINE_LOADING ? "loading" : "down";
}

static void add_execution(struct flo_buf *out, const struct sim_device *device, uint32_t index)
{
    const struct flo_agent_model *agent = &device->agent.models[index];
    const struct flo_agent_execution *execution = &agent->execution;
    char digest[FLO_DIGEST_TEXT];

    if (!agent->has_execution) {
        flo_buf_text(out, ",\"execution\":null");
        return;
    }
    flo_digest_text(&execution->release.digest, digest);
    flo_buf_printf(out,
                   ",\"execution\":{\"id\":\"%s\",\"rollout\":\"%s\","
                   "\"release\":\"%s\",\"state\":\"%s\",\"reason\":",
                   execution->id, execution->rollout, digest, flo_execution_word(execution->state));
    flo_buf_text(out, "\"");
    flo_buf_json_text(out, execution->reason, strlen(execution->reason));
    flo_buf_text(out, "\"");
    flo_buf_printf(out, ",\"waits\":%s}",
                   flo_agent_is_waiting(&device->agent, index) ? "true" : "false");
}

static void add_denied(struct flo_buf *out, const struct flo_slots *slots)
{
    char digest[FLO_DIGEST_TEXT];
    const char *comma = "";

    flo_buf_text(out, ",\"denied\":[");
    for (uint32_t i = 0; i < slots->denial_count; i++) {
        if (slots->denials[i].cause != FLO_DENIAL_ALLOWED) {
            flo_digest_text(&slots->denials[i].release, digest);
            flo_buf_printf(out, "%s\"%s\"", comma, digest);
            comma = ",";
        }
    }
    flo_buf_text(out, "]");
}

static void add_model(struct flo_buf *out, const struct sim_device *device, uint32_t index)
{
    const struct flo_agent_model *agent = &device->agent.models[index];
    const struct sim_model *model = &device->models[index];
    const struct flo_slots *slots = &model->slots;
    const struct flo_release_ref *serving =
        agent->live >= 0 ? &agent->engines[agent->live].release : &agent->slots.current;

    flo_buf_printf(out, "{\"model\":\"%s\",\"state\":\"%s\"", slots->model, state_word(agent));
    add_slot(out, "serving", serving, 0);
    add_slot(out, "current", &agent->slots.current, slots->current_number);
    add_slot(out, "previous", &agent->slots.previous, slots->previous_number);
    add_slot(out, "candidate", &agent->slots.candidate, slots->candidate_number);
    if (model->drift != FLO_DRIFT_NONE) {
        flo_buf_printf(out, ",\"drift\":{\"kind\":\"%s\",\"since_at_ms\":%llu}",
                       flo_drift_word(model->drift), (unsigned long long)model->drift_at_ms);
    }
    add_execution(out, device, index);
    add_denied(out, slots);
    flo_buf_printf(out, ",\"floor\":%llu,\"floor_hard\":%llu}", (unsigned long long)slots->floor,
                   (unsigned long long)slots->floor_hard);
}

void sim_report(struct sim_device *device)
{
    struct flo_buf text = {0};
    const char *comma = "";

    if (!device->client.believes) {
        return;
    }
    flo_buf_printf(&text,
                   "{\"v\":2,\"device\":\"%s\",\"name\":\"%s\",\"agent\":"
                   "\"sim\",\"rev\":%llu,\"profile\":{\"arch\":\"x86_64\"},"
                   "%s\"models\":[",
                   device->id, sim_name(device), (unsigned long long)device->rev,
                   sim_groups_report(device));
    for (uint32_t i = 0; i < sim->model_count; i++) {
        if (device->models[i].slots.model[0] != '\0') {
            flo_buf_text(&text, comma);
            add_model(&text, device, i);
            comma = ",";
        }
    }
    flo_buf_printf(&text,
                   "],\"frozen\":%s,\"top\":%llu,\"epoch\":%u,\"trust\":%llu,"
                   "\"events\":{\"boot\":\"%s\",\"last\":%llu,"
                   "\"acked\":%llu}}",
                   device->agent.is_frozen ? "true" : "false",
                   (unsigned long long)device->record.top, device->record.epoch,
                   (unsigned long long)device->record.trust_number, device->boot,
                   (unsigned long long)device->sequence, (unsigned long long)device->outbox.acked);
    (void)sim_publish(device, FLO_TOPIC_REPORTED, text.data, text.bytes);
    flo_buf_deinit(&text);
}
