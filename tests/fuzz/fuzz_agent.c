/* Any sequence of events: the agent's core stays in its bounds (it asserts
 * them itself), what is live is ready, and the trace never fails.  Names are as
 * long as they may be, orders name as many releases as they may. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/agent.h>
#include <flotilla/errors/hook.h>
#include <flotilla/errors/model.h>
#include <flotilla/errors/probe.h>
#include <flotilla/errors/runtime.h>
#include <flotilla/errors/soak.h>
#include <flotilla/errors/target.h>

#define MODELS 4

struct input {
    const uint8_t *data;
    size_t left;
};

static uint8_t byte(struct input *in)
{
    if (in->left == 0) {
        return 0;
    }
    in->left--;
    return *in->data++;
}

/* A text of exactly `bytes` with its end, whose head tells it from others. */
static void fill(char *out, size_t bytes, const char *head, unsigned number)
{
    int used;

    memset(out, 'x', bytes);
    out[bytes - 1] = '\0';
    used = snprintf(out, bytes, "%s-%u", head, number);
    out[used] = 'x';
}

/* The name of the model in that place, as long as it may be. */
static void name_of(uint32_t model, char out[FLO_NAME_MAX + 1])
{
    memset(out, 'm', FLO_NAME_MAX);
    out[0] = (char)('a' + model);
    out[FLO_NAME_MAX] = '\0';
}

static void release_of(uint32_t model, uint8_t number, struct flo_release_ref *out)
{
    memset(out, 0, sizeof(*out));
    out->digest.bytes[0] = number & 7;
    if (out->digest.bytes[0] != 0) {
        out->digest.bytes[2] = (uint8_t)model;
        name_of(model, out->model);
        fill(out->version, sizeof(out->version), "v", number & 7u);
    }
}

static void execution_of(struct input *in, uint32_t model, uint8_t flags,
                         struct flo_agent_execution *out)
{
    flo_policy_default(&out->policy);
    out->policy.soak_ms = byte(in);
    out->policy.soak_requests = flags & 1;
    out->policy.tries = 1 + (flags >> 6);
    out->seq = byte(in);
    out->epoch = out->seq & 1;
    release_of(model, (uint8_t)(1 + byte(in) % 7), &out->release);
    fill(out->id, sizeof(out->id), "r", (unsigned)out->seq);
    fill(out->rollout, sizeof(out->rollout), "r", (unsigned)out->seq);
    if (flags & 8) {
        fill(out->order, sizeof(out->order), "o", (unsigned)out->seq);
    } else if (flags & 4) {
        fill(out->bundle, sizeof(out->bundle), "/b", (unsigned)out->seq);
    }
}

static void order_of(const struct flo_agent_execution *execution, uint8_t flags,
                     struct flo_order *out)
{
    out->op = (enum flo_order_op)(execution->seq % FLO_ORDER_COUNT);
    out->seq = execution->seq;
    out->from_count = (flags & 4) ? FLO_ORDER_FROM_MAX : 1;
    for (uint32_t i = 0; i < out->from_count; i++) {
        out->from[i].bytes[0] = (uint8_t)((execution->release.digest.bytes[0] + i) & 7);
        out->from[i].bytes[2] = execution->release.digest.bytes[2];
        out->from[i].bytes[1] = (uint8_t)(i / 8);
    }
    out->to_previous = (flags & 64) == 0;
    if (!(flags & 128)) {
        fill(out->id, sizeof(out->id), "o", (unsigned)execution->seq);
    }
    memcpy(out->rollout, execution->rollout, sizeof(out->rollout));
}

/* The model of the execution, and another one that serves. */
static void boot_of(uint8_t flags, struct flo_agent_execution *open,
                    struct flo_agent_booted booted[2], struct flo_agent_event *event)
{
    uint32_t model = event->model;
    struct flo_agent_slots *slots = &booted[0].slots;

    booted[0].model = model;
    name_of(model, booted[0].name);
    booted[1].model = (model + 1) % MODELS;
    name_of(booted[1].model, booted[1].name);
    release_of(booted[1].model, flags, &booted[1].slots.current);
    event->boot.models = booted;
    event->boot.model_count = 1 + (flags >> 4) % 2;
    event->boot.models_max = flags % 4;
    release_of(model, flags, &slots->current);
    release_of(model, (uint8_t)(flags >> 3), &slots->previous);
    release_of(model, (uint8_t)(flags >> 5), &slots->candidate);
    slots->is_trial = (flags & 2) != 0;
    booted[0].is_linked = (flags & 8) != 0;
    slots->tries_left = flags & 3;
    booted[0].has_ended = (flags & 128) != 0;
    if ((flags & 4) && !flo_execution_is_end(event->state)) {
        open->state = event->state;
        open->unsure = flags % FLO_AGENT_UNSURE_MAX;
        open->runtime_failures = flags % FLO_AGENT_RUNTIME_TRIES;
        if (flags & 64) { /* of another version */
            open->policy.tries = 0;
        }
        if (!flo_digest_is_zero(&slots->candidate.digest)) {
            open->release = slots->candidate;
        }
        booted[0].open = open;
    }
}

static void step(struct flo_agent *agent, const struct flo_agent_event *event)
{
    static struct flo_agent_actions actions;
    struct flo_buf text = {0};

    flo_agent_step(agent, event, &actions);
    for (uint32_t i = 0; i < MODELS && agent->is_booted; i++) {
        const struct flo_agent_model *model = &agent->models[i];
        if (model->live >= 0 && model->engines[model->live].state != FLO_ENGINE_READY) {
            abort();
        }
    }
    flo_agent_trace(agent, event, &actions, &text);
    if (text.failed) {
        abort();
    }
    flo_buf_deinit(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const int codes[] = {0,
                                FLO_E_PROBE_GOLDEN,
                                FLO_E_NET_UNREACHABLE,
                                FLO_E_TARGET_HASH,
                                FLO_E_ENGINE_CRASH,
                                FLO_E_DISK_FULL,
                                FLO_E_PROBE_UNSURE,
                                FLO_E_RUNTIME_CRASH,
                                FLO_E_HOOK_FAILED,
                                FLO_E_SOAK_HEALTH,
                                FLO_E_MODEL_ARCH};
    static struct flo_agent agent;
    struct input in = {data, bytes};
    uint64_t now = 1;

    memset(&agent, 0, sizeof(agent));
    while (in.left > 0) {
        struct flo_agent_event event = {0};
        struct flo_agent_execution execution = {0};
        struct flo_order order = {.epoch = 0};
        struct flo_agent_booted booted[2] = {{0}};
        uint8_t flags;

        event.kind = (enum flo_agent_event_kind)(byte(&in) % FLO_AGENT_EVENT_COUNT);
        flags = byte(&in);
        now += (uint64_t)byte(&in) * byte(&in);
        event.now_ms = now;
        event.model = (flags >> 2) % MODELS;
        event.role = (flags & 1) ? FLO_AGENT_BESIDE : FLO_AGENT_CURRENT;
        event.is_passing = (flags & 2) != 0;
        event.fits_both = (flags & 4) != 0;
        event.is_linked = (flags & 64) != 0;
        event.error.code = codes[byte(&in) % FLO_COUNT(codes)];
        memset(event.error.what, 'w', sizeof(event.error.what) - 1);
        event.state = (enum flo_execution)(byte(&in) % FLO_EXECUTION_COUNT);
        event.job = agent.models[event.model].execution.job;
        execution_of(&in, event.model, flags, &execution);
        order_of(&execution, flags, &order);
        event.release = execution.release.digest;
        event.deploy.execution = (flags & 16) ? NULL : &execution;
        event.deploy.refusal.code = (flags & 32) ? FLO_E_TARGET_DENIED : 0;
        event.order = (flags & 16) ? NULL : &order;
        if (event.kind == FLO_AGENT_BOOT) {
            boot_of(flags, &execution, booted, &event);
        }
        step(&agent, &event);
    }
    return 0;
}
