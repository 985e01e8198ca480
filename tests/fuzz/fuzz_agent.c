/* Any sequence of events: the agent's core stays in its bounds, what is live
 * is ready, and the trace never fails. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/agent.h>

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

static void release_of(uint8_t number, struct flo_release_ref *out)
{
    memset(out, 0, sizeof(*out));
    out->digest.bytes[0] = number & 7;
    if (out->digest.bytes[0] != 0) {
        snprintf(out->model, sizeof(out->model), "m");
        snprintf(out->version, sizeof(out->version), "%u", number & 7u);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const int codes[] = {0,
                                FLO_E_PROBE_GOLDEN,
                                FLO_E_NET_UNREACHABLE,
                                FLO_E_TARGET_HASH,
                                FLO_E_ENGINE_CRASH,
                                FLO_E_DISK_FULL};
    static struct flo_agent agent;
    static struct flo_agent_actions actions;
    struct input in = {data, bytes};
    uint64_t now = 1;

    memset(&agent, 0, sizeof(agent));
    while (in.left > 0) {
        struct flo_agent_event event = {0};
        struct flo_agent_execution execution = {0};
        struct flo_order order = {.from_count = 1};
        struct flo_buf text = {0};
        uint8_t flags;

        event.kind =
            (enum flo_agent_event_kind)(byte(&in) % FLO_AGENT_EVENT_COUNT);
        flags = byte(&in);
        now += (uint64_t)byte(&in) * byte(&in);
        event.now_ms = now;
        event.role = (flags & 1) ? FLO_AGENT_BESIDE : FLO_AGENT_CURRENT;
        event.is_passing = (flags & 2) != 0;
        event.fits_both = (flags & 4) != 0;
        event.error.code = codes[byte(&in) % FLO_COUNT(codes)];
        event.state = (enum flo_execution)(byte(&in) % FLO_EXECUTION_COUNT);
        event.job = agent.execution.job;
        flo_policy_default(&execution.policy);
        execution.policy.soak_ms = byte(&in);
        execution.policy.tries = 1 + (flags >> 6);
        execution.seq = byte(&in);
        execution.state = event.state;
        release_of(byte(&in), &execution.release);
        snprintf(execution.id, sizeof(execution.id), "r-%u.1",
                 (unsigned)execution.seq);
        snprintf(execution.rollout, sizeof(execution.rollout), "r-%u",
                 (unsigned)execution.seq);
        if (flags & 8) {
            snprintf(execution.order, sizeof(execution.order), "o-%u",
                     (unsigned)execution.seq);
        }
        event.release = execution.release.digest;
        event.deploy.execution = (flags & 16) ? NULL : &execution;
        event.deploy.refusal.code = (flags & 32) ? FLO_E_TARGET_DENIED : 0;
        order.op = (enum flo_order_op)(execution.seq % FLO_ORDER_COUNT);
        order.from[0] = execution.release.digest;
        order.to_previous = (flags & 64) == 0;
        memcpy(order.id, "o-1", 4);
        memcpy(order.rollout, execution.rollout, sizeof(order.rollout));
        event.order = (flags & 16) ? NULL : &order;
        if (event.kind == FLO_AGENT_BOOT) {
            release_of(flags, &event.boot.slots.current);
            release_of((uint8_t)(flags >> 3), &event.boot.slots.previous);
            release_of((uint8_t)(flags >> 5), &event.boot.slots.candidate);
            event.boot.slots.is_trial = (flags & 2) != 0;
            event.boot.slots.tries_left = flags & 3;
            event.boot.open = (flags & 4) ? &execution : NULL;
            event.boot.has_ended = (flags & 128) != 0;
        }
        flo_agent_step(&agent, &event, &actions);
        if (actions.count > FLO_AGENT_ACTIONS_MAX ||
            (agent.live >= 0 && agent.is_booted &&
             agent.engines[agent.live].state != FLO_ENGINE_READY)) {
            abort();
        }
        flo_agent_trace(&agent, &event, &actions, &text);
        if (text.failed) {
            abort();
        }
        flo_buf_deinit(&text);
    }
    return 0;
}
