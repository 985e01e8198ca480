/* Answers: derives the consequence of a device's answer to an order. */
#include <assert.h>
#include <string.h>

#include <flotilla/errors/cmd.h>

#include "server-stub/core/orders/answer.h"

static bool is_error(const char *error, int code)
{
    return error != NULL && strcmp(error, flo_error_id(code)) == 0;
}

static bool is_by_the_clock(const char *error)
{
    return is_error(error, FLO_E_CMD_EXPIRED) || is_error(error, FLO_E_CMD_FUTURE);
}

/* Tells whether the refusal may be temporary: a device whose clock or disk was
 * wrong may answer otherwise later. */
static bool is_passing(const char *error)
{
    return is_by_the_clock(error) || (error != NULL && strncmp(error, "io.", 3) == 0);
}

/* Tells whether the device carried the order out, or the order does not concern
 * it. */
static bool is_over(enum flo_order_outcome outcome)
{
    return outcome == FLO_OUTCOME_DONE || outcome == FLO_OUTCOME_IGNORED ||
           outcome == FLO_OUTCOME_SUPERSEDED;
}

/* Returns the consequence of an answer to a rollback.  An answer "superseded"
 * or "ignored" does not say which release serves: a newer order or a removal
 * may be under way.  Then the device's report decides. */
static enum flo_answer_follows of_rollback(enum flo_order_outcome outcome)
{
    return outcome == FLO_OUTCOME_DONE      ? FLO_ANSWER_BACK
           : is_over(outcome)               ? FLO_ANSWER_LOOK
           : outcome == FLO_OUTCOME_REFUSED ? FLO_ANSWER_STAYS
                                            : FLO_ANSWER_NOTHING;
}

/* Who refuses a young order by its clock waits until the clock is right. */
static enum flo_answer_follows of_deploy(enum flo_order_outcome outcome, const char *error)
{
    return outcome == FLO_OUTCOME_REFUSED && is_by_the_clock(error) ? FLO_ANSWER_NOTHING
           : outcome == FLO_OUTCOME_REFUSED                         ? FLO_ANSWER_REJECTED
           : outcome == FLO_OUTCOME_SUPERSEDED                      ? FLO_ANSWER_SUPERSEDED
                                                                    : FLO_ANSWER_NOTHING;
}

/* Tells whether the device refused the order only because it arrived after it
 * expired.  Then the order has to be signed again.  The device's clock may be
 * wrong instead: if the order is young by our clock, the refusal is an
 * answer, and a deploy waits for the device's clock. */
static bool came_too_late(const struct flo_answer *answer)
{
    return answer->outcome == FLO_OUTCOME_REFUSED && answer->is_aged &&
           is_by_the_clock(answer->error);
}

struct flo_answer_result flo_answer_decide(const struct flo_answer *answer)
{
    enum flo_order_outcome outcome = answer->outcome;
    struct flo_answer_result result = {
        .is_for_good =
            is_over(outcome) || (outcome == FLO_OUTCOME_REFUSED && !is_passing(answer->error))};

    assert(outcome <= FLO_OUTCOME_SUPERSEDED);
    if (came_too_late(answer)) {
        result.follows = FLO_ANSWER_SEND_AGAIN;
    } else if (answer->op == FLO_ORDER_ROLLBACK) {
        result.follows = of_rollback(outcome);
    } else if (answer->op == FLO_ORDER_DEPLOY) {
        result.follows = of_deploy(outcome, answer->error);
    } else if (answer->op == FLO_ORDER_ABORT && is_over(outcome)) {
        result.follows = FLO_ANSWER_ABORTED;
    } else if (answer->op == FLO_ORDER_REMOVE &&
               (outcome == FLO_OUTCOME_DONE || outcome == FLO_OUTCOME_IGNORED)) {
        result.follows = FLO_ANSWER_REMOVED;
    }
    return result;
}

/* Tells whether the operation requests a report of its own. */
static bool asks_for_report(const char *word)
{
    enum flo_order_op op;

    return flo_order_op_parse(word, &op) && flo_order_fact(op)->subject == FLO_ORDER_SUBJECT_REPORT;
}

bool flo_answer_covers(const struct flo_answer_order *answered,
                       const struct flo_answer_order *awaited)
{
    return awaited->seq < answered->seq && !asks_for_report(answered->op) &&
           strcmp(awaited->op, answered->op) == 0 && strcmp(awaited->group, answered->group) == 0 &&
           strcmp(awaited->rollout, answered->rollout) == 0 &&
           strcmp(awaited->model, answered->model) == 0 &&
           strcmp(awaited->release, answered->release) == 0;
}

bool flo_answer_is_missing(uint64_t issued_at_ms, uint64_t expires_at_ms, uint64_t now_ms,
                           bool is_back)
{
    return (is_back || issued_at_ms + FLO_ANSWER_ASK_AFTER_MS < now_ms) && expires_at_ms > now_ms;
}

bool flo_answer_has_nothing(const char *error)
{
    return is_error(error, FLO_E_STATE) || is_error(error, FLO_E_CMD_TARGET);
}

bool flo_answer_is_distrust(const char *error)
{
    return error != NULL && (strncmp(error, "sig.", 4) == 0 || strncmp(error, "meta.", 5) == 0);
}
