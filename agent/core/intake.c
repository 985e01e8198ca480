/* Order intake: decides what to do with an order that is verified, in scope and
 * compared with the stored ones.
 *
 * A deploy order describes a state, so the release that runs decides about its
 * answer.  Every other order acts once; when it comes again, its first result
 * is sent again. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include <flotilla/agent.h>

static void say(struct flo_intake_verdict *out, enum flo_intake_kind kind, const char *why)
{
    out->kind = kind;
    snprintf(out->why, sizeof(out->why), "%s", why);
}

/* ---- deploy ---- */

static void refuse(const struct flo_intake_facts *facts, struct flo_intake_verdict *out)
{
    out->error = facts->refusal;
    if (out->error.code == 0) {
        out->error.code = FLO_E_STATE;
        snprintf(out->error.what, sizeof(out->error.what), "it ended badly on this device");
    }
    say(out, FLO_INTAKE_REFUSED, out->error.what);
}

static void judge_deploy(const struct flo_intake_facts *facts, struct flo_intake_verdict *out)
{
    bool is_over = facts->outcome == FLO_STATED_REFUSED || facts->outcome == FLO_STATED_FAILED;

    assert(facts->order->op == FLO_ORDER_DEPLOY);
    if (facts->aborted_by != 0) {
        out->by = facts->aborted_by;
        snprintf(out->why, sizeof(out->why), "order %llu ended its rollout",
                 (unsigned long long)facts->aborted_by);
        out->kind = FLO_INTAKE_SUPERSEDED;
    } else if (facts->has_ended && facts->is_current) {
        say(out, FLO_INTAKE_DONE, "its execution ended, the release is current");
    } else if (facts->has_ended && facts->refusal.code != 0) {
        refuse(facts, out);
    } else if (facts->standing != FLO_STATEMENT_AGAIN || !is_over || facts->is_current) {
        say(out, FLO_INTAKE_ACT, "");
    } else if (facts->is_answered) {
        say(out, FLO_INTAKE_REPEAT, "it ended badly, and was answered");
    } else {
        refuse(facts, out);
    }
}

/* ---- every other order ---- */

/* Returns whether the order has to be carried out again, because a power
 * failure came before its answer was stored. */
static bool is_open(const struct flo_intake_facts *facts)
{
    switch (facts->order->op) {
    case FLO_ORDER_ROLLBACK:
    case FLO_ORDER_REMOVE:
        return facts->outcome == FLO_STATED_OPEN;
    case FLO_ORDER_PROMPTS:
    case FLO_ORDER_CONFIG:
    case FLO_ORDER_GROUPS:
        return false;
    default:
        return true;
    }
}

static void judge_again(const struct flo_intake_facts *facts, struct flo_intake_verdict *out)
{
    assert(facts->standing == FLO_STATEMENT_AGAIN);
    if (facts->is_answered) {
        say(out, FLO_INTAKE_REPEAT, "it was answered");
    } else if (is_open(facts)) {
        say(out, FLO_INTAKE_ACT, "because it was kept, but not answered");
    } else if (facts->order->op == FLO_ORDER_ROLLBACK && facts->outcome != FLO_STATED_DONE) {
        say(out, FLO_INTAKE_REFUSED, "it could not be done");
    } else {
        say(out, FLO_INTAKE_DONE, "it holds already");
    }
}

static void judge_superseded(const struct flo_intake_facts *facts, struct flo_intake_verdict *out)
{
    assert(facts->standing == FLO_STATEMENT_SUPERSEDED);
    if (facts->order->op == FLO_ORDER_ROLLBACK && facts->takes_back) {
        say(out, FLO_INTAKE_ACT, "because it takes back what runs here, though it is older");
        return;
    }
    if (facts->order->op == FLO_ORDER_BENCHMARK && facts->is_under_way) {
        say(out, FLO_INTAKE_ACT, "because it is under way, though others were asked since");
        return;
    }
    out->kind = FLO_INTAKE_SUPERSEDED;
    out->by = facts->by;
    snprintf(out->why, sizeof(out->why), "number %llu about the same holds",
             (unsigned long long)facts->by);
}

void flo_agent_intake(const struct flo_intake_facts *facts, struct flo_intake_verdict *out)
{
    assert(facts->order->op < FLO_ORDER_COUNT);
    assert(facts->standing != FLO_STATEMENT_SUPERSEDED || facts->by > 0);
    memset(out, 0, sizeof(*out));
    if (facts->standing == FLO_STATEMENT_SUPERSEDED) {
        judge_superseded(facts, out);
    } else if (facts->order->op == FLO_ORDER_DEPLOY) {
        judge_deploy(facts, out);
    } else if (facts->is_absent) {
        say(out, facts->order->op == FLO_ORDER_REMOVE ? FLO_INTAKE_DONE : FLO_INTAKE_IGNORED,
            "nothing of the model is on this device");
    } else if (facts->standing == FLO_STATEMENT_AGAIN) {
        judge_again(facts, out);
    } else if (facts->order->op == FLO_ORDER_CONFIG && facts->is_set_here) {
        say(out, FLO_INTAKE_IGNORED, "this device's own configuration says it");
    } else {
        say(out, FLO_INTAKE_ACT, "");
    }
}

const char *flo_intake_word(enum flo_intake_kind kind)
{
    static const char *const words[] = {"acts",    "answered again", "done",
                                        "refused", "ignored",        "superseded"};

    assert(kind < FLO_COUNT(words));
    return words[kind];
}

void flo_agent_intake_trace(const struct flo_agent *agent, uint64_t now_ms, const char *order,
                            const char *word, const char *why, struct flo_buf *out)
{
    uint64_t since = now_ms - agent->origin_ms;

    assert(now_ms >= agent->origin_ms);
    flo_buf_printf(out, "[%3llu.%03llu] %-9s %s\n                    %s%s%s\n",
                   (unsigned long long)(since / 1000), (unsigned long long)(since % 1000), "order",
                   order, word, why[0] == '\0' ? "" : ": ", why);
}
