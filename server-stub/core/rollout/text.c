/* Words of a rollout and its trace. */
#include <string.h>

#include "server-stub/core/rollout/inside.h"
#include "server-stub/core/rollout/rollout.h"

struct state_fact {
    const char *word;
    bool active;
};
static const struct state_fact states[] = {
#define FLO_ROLLOUT_STATE(name, word, active, meaning) {word, active},
#include "server-stub/core/rollout/rollout_states.def"
#undef FLO_ROLLOUT_STATE
};
static const char *const lapses[] = {"", ", silent", ", overdue"};
static const char *const on_fails[] = {"rollback", "halt", "pause"};

const char *flo_rollout_state_word(enum flo_rollout_state state)
{
    return states[state].word;
}

bool flo_rollout_state_parse(const char *word, enum flo_rollout_state *out)
{
    for (size_t i = 0; i < FLO_COUNT(states); i++) {
        if (strcmp(states[i].word, word) == 0) {
            *out = (enum flo_rollout_state)i;
            return true;
        }
    }
    return false;
}

bool flo_rollout_state_is_active(enum flo_rollout_state state)
{
    return states[state].active;
}

const char *flo_phase_state_word(enum flo_phase_state state)
{
    static const char *const words[] = {"waiting", "running",  "passed",
                                        "failed",  "promoted", "held"};
    return words[state];
}

const char *flo_on_fail_word(enum flo_on_fail on_fail)
{
    return on_fails[on_fail];
}

bool flo_on_fail_parse(const char *word, enum flo_on_fail *out)
{
    for (size_t i = 0; i < FLO_COUNT(on_fails); i++) {
        if (strcmp(on_fails[i], word) == 0) {
            *out = (enum flo_on_fail)i;
            return true;
        }
    }
    return false;
}

const char *flo_rollout_event_word(enum flo_rollout_event_kind kind)
{
    static const char *const words[] = {
#define X(name, word) word,
        FLO_ROLLOUT_EVENTS(X)
#undef X
    };
    return words[kind];
}

static void trace_desired(const struct flo_rollout *rollout,
                          const struct flo_rollout_action *action,
                          const char *word, struct flo_buf *out)
{
    uint32_t devices = 0;

    for (size_t i = 0; i < rollout->member_count; i++) {
        devices += flo_rollout_action_names(rollout, action, i) ? 1 : 0;
    }
    flo_buf_printf(out, "%s%s of %u device%s", word,
                   flo_order_op_word(action->op), devices,
                   devices == 1 ? "" : "s");
}

static void trace_action(const struct flo_rollout *rollout,
                         const struct flo_rollout_action *action,
                         struct flo_buf *out)
{
    const struct flo_rollout_phase *phase = &rollout->phases[action->phase];
    const struct flo_rollout_member *member;

    flo_buf_text(out, "               ");
    switch (action->kind) {
    case FLO_ROLLOUT_DO_STATE:
        flo_buf_printf(
            out, "state    %s (%s)",
            flo_rollout_state_word((enum flo_rollout_state)action->state),
            rollout->reason);
        break;
    case FLO_ROLLOUT_DO_PHASE:
        flo_buf_printf(
            out, "phase    %s %s: %u device%s", phase->name,
            flo_phase_state_word((enum flo_phase_state)action->state),
            phase->members, phase->members == 1 ? "" : "s");
        break;
    case FLO_ROLLOUT_DO_ORDER:
        flo_buf_printf(out, "order    %s buckets [%u, %u)",
                       flo_order_op_word(action->op), action->bucket_from,
                       action->bucket_to);
        break;
    case FLO_ROLLOUT_DO_DESIRED:
        trace_desired(rollout, action, "desired  ", out);
        break;
    case FLO_ROLLOUT_DO_RECALL:
        trace_desired(rollout, action, "recall   ", out);
        break;
    case FLO_ROLLOUT_DO_MEMBER:
        member = &rollout->members[action->member];
        flo_buf_printf(out, "device   %.8s %s%s%s%s", member->device,
                       flo_execution_word((enum flo_execution)member->state),
                       lapses[member->lapse], member->is_away ? ", away" : "",
                       member->is_back ? ", back" : "");
        break;
    case FLO_ROLLOUT_DO_MEMBERS:
        flo_buf_text(out, "devices  stored");
        break;
    }
    flo_buf_text(out, "\n");
}

void flo_rollout_trace(const struct flo_rollout *rollout,
                       const struct flo_rollout_event *event,
                       const struct flo_rollout_actions *actions,
                       struct flo_buf *out)
{
    uint64_t ms = event->now_ms - rollout->created_at_ms;

    flo_buf_printf(out, "[%8llu.%03llu] %-10s", (unsigned long long)(ms / 1000),
                   (unsigned long long)(ms % 1000),
                   flo_rollout_event_word(event->kind));
    if (event->device != NULL) {
        flo_buf_printf(out, " %.8s", event->device);
    }
    if (event->kind == FLO_ROLLOUT_EVENT_EXECUTION) {
        flo_buf_printf(out, " .%u %s", event->attempt,
                       flo_execution_word(event->execution));
    }
    if (event->note != NULL) {
        flo_buf_printf(out, " (%s)", event->note);
    }
    flo_buf_text(out, "\n");
    for (size_t i = 0; i < actions->count; i++) {
        trace_action(rollout, &actions->items[i], out);
    }
}
