/* Trace: writes a step of a rollout as text: the event, the actions and their
 * reasons. */

#include <assert.h>
#include <string.h>

#include "server-stub/core/rollout/parts.h"
#include "server-stub/core/rollout/rollout.h"

static const char *const latenesses[] = {"", ", silent", ", overdue"};

static void trace_desired(const struct flo_rollout *rollout,
                          const struct flo_rollout_action *action, const char *word,
                          struct flo_buf *out)
{
    uint32_t devices = 0;

    for (size_t i = 0; i < rollout->member_count; i++) {
        devices += flo_rollout_action_names(rollout, action, i) ? 1 : 0;
    }
    flo_buf_printf(out, "%s%s of %u device%s", word, flo_order_op_word(action->op), devices,
                   devices == 1 ? "" : "s");
}

static void trace_action(const struct flo_rollout *rollout, const struct flo_rollout_action *action,
                         struct flo_buf *out)
{
    const struct flo_rollout_phase *phase = &rollout->phases[action->phase];
    const struct flo_rollout_member *member;
    char title[FLO_GATE_TITLE];

    assert(action->phase < FLO_ROLLOUT_PHASES_MAX);
    assert(action->gate < FLO_GATES_MAX);
    flo_buf_text(out, "               ");
    switch (action->kind) {
    case FLO_ROLLOUT_DO_STATE:
        flo_buf_printf(out, "state    %s (%s)",
                       flo_rollout_state_word((enum flo_rollout_state)action->state),
                       rollout->reason);
        break;
    case FLO_ROLLOUT_DO_PHASE:
        flo_buf_printf(out, "phase    %s %s: %u device%s", phase->name,
                       flo_phase_state_word((enum flo_phase_state)action->state), phase->members,
                       phase->members == 1 ? "" : "s");
        break;
    case FLO_ROLLOUT_DO_ORDER:
        flo_buf_printf(out, "order    %s buckets [%u, %u)", flo_order_op_word(action->op),
                       action->bucket_from, action->bucket_to);
        break;
    case FLO_ROLLOUT_DO_DESIRED:
        trace_desired(rollout, action, "desired  ", out);
        break;
    case FLO_ROLLOUT_DO_EACH:
        trace_desired(rollout, action, "each     ", out);
        break;
    case FLO_ROLLOUT_DO_RECALL:
        trace_desired(rollout, action, "recall   ", out);
        break;
    case FLO_ROLLOUT_DO_MEMBER:
        member = &rollout->members[action->member];
        flo_buf_printf(out, "device   %.8s %s%s%s%s", member->device,
                       flo_execution_word((enum flo_execution)member->state),
                       latenesses[member->lateness], member->is_away ? ", away" : "",
                       flo_rollout_member_stays(member) ? ", stays"
                       : member->is_back                ? ", back"
                                                        : "");
        break;
    case FLO_ROLLOUT_DO_MEMBERS:
        flo_buf_text(out, "devices  stored");
        break;
    case FLO_ROLLOUT_DO_FORGET:
        flo_buf_text(out, "device   no member any more");
        break;
    case FLO_ROLLOUT_DO_RECORD:
        flo_buf_printf(out, "record   block %u", rollout->analysis.state.block);
        break;
    case FLO_ROLLOUT_DO_VERDICT:
        flo_gate_title(&rollout->gates[action->gate], title);
        flo_buf_printf(out, "verdict  %s %s", title,
                       flo_verdict_word((enum flo_verdict)action->state));
        break;
    }
    flo_buf_text(out, "\n");
}

/* Writes a line for each reason. */
static void trace_why(const char *why, struct flo_buf *out)
{
    while (*why != '\0') {
        size_t chars = strcspn(why, "\n");
        flo_buf_printf(out, "               why      %.*s\n", (int)chars, why);
        why += chars + (why[chars] == '\n');
    }
}

void flo_rollout_trace(const struct flo_rollout *rollout, const struct flo_rollout_event *event,
                       const struct flo_rollout_actions *actions, struct flo_buf *out)
{
    uint64_t ms = event->now_ms - rollout->created_at_ms;
    char title[FLO_GATE_TITLE];

    assert(actions->count <= FLO_ROLLOUT_ACTIONS_MAX);

    flo_buf_printf(out, "[%8llu.%03llu] %-10s", (unsigned long long)(ms / 1000),
                   (unsigned long long)(ms % 1000), flo_rollout_event_word(event->kind));
    if (event->device != NULL) {
        flo_buf_printf(out, " %.8s", event->device);
    }
    if (event->kind == FLO_ROLLOUT_EVENT_EXECUTION) {
        flo_buf_printf(out, " .%u %s", event->attempt, flo_execution_word(event->execution));
    }
    if (event->kind == FLO_ROLLOUT_EVENT_EVIDENCE) {
        flo_gate_title(&rollout->gates[event->gate], title);
        flo_buf_printf(out, " %s", title);
    }
    if (event->note != NULL) {
        flo_buf_printf(out, " (%s)", event->note);
    }
    flo_buf_text(out, "\n");
    trace_why(actions->why, out);
    for (size_t i = 0; i < actions->count; i++) {
        trace_action(rollout, &actions->items[i], out);
    }
}
