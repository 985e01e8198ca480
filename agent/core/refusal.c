/* Refusal: decides how the device answers an order that it does not accept; see
 * refusal.h. */
#include "agent/core/refusal.h"

#include <flotilla/agent.h>
#include <flotilla/errors/cmd.h>
#include <flotilla/errors/sig.h>
#include <flotilla/errors/target.h>

/* Tells whether the controller's answer may decide otherwise: a number that is
 * far ahead, or a time that only statements of another time deny. */
static bool is_doubtful(const struct flo_refusal_facts *facts)
{
    bool is_time = facts->code == FLO_E_CMD_EXPIRED || facts->code == FLO_E_CMD_FUTURE;

    return facts->code == FLO_E_CMD_LEAP ||
           (is_time && !facts->clock_is_good && !facts->is_answered);
}

void flo_agent_refuse(const struct flo_refusal_facts *facts, struct flo_refusal *out)
{
    *out = (struct flo_refusal){.answer = FLO_REFUSAL_SILENT};
    if (facts->code == FLO_E_CMD_EPOCH && facts->is_next_epoch) {
        /* The order's epoch is the next one.  No answer is sent, because the
         * trust statement that names its signer may still arrive. */
        out->is_told = out->doubts = true;
        return;
    }
    if (is_doubtful(facts) && !facts->was_asked) {
        out->asks = out->comes_again = true;
        return;
    }
    if (facts->code == FLO_E_CMD_SCOPE) {
        return; /* an order for another device is no error, and needs no answer */
    }
    if (!flo_agent_is_verdict(facts->code)) {
        out->comes_again = out->is_degraded = true;
        return;
    }
    if (facts->code == FLO_E_TARGET_LIMIT) {
        out->answer = FLO_REFUSAL_REFUSES;
        return;
    }
    out->sees_clock = facts->code == FLO_E_CMD_EXPIRED || facts->code == FLO_E_CMD_FUTURE;
    if (facts->has_id && facts->is_answered) {
        out->answer = FLO_REFUSAL_REPEATS;
        return;
    }
    out->is_told = true;
    out->answer = facts->has_id ? FLO_REFUSAL_REFUSES : FLO_REFUSAL_SILENT;
    out->doubts = !facts->has_id && facts->code == FLO_E_SIG_UNKNOWN_KEY;
}
