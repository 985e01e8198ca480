/* Trace: each event and its actions, as text.
 *
 * The log, the golden tests and `flotilla-agent explain` show the same lines.
 * Times are seconds since the agent started.  The trace cannot contain a prompt
 * or an answer, because the core never sees one. */
#include <assert.h>
#include <string.h>

#include <flotilla/errors/device.h>
#include <flotilla/errors/probe.h>
#include <flotilla/plural.h>

#include "agent/core/device/step.h"

#define INDENT "                    "

static const char *const event_words[FLO_AGENT_EVENT_COUNT] = {
    [FLO_AGENT_BOOT] = "boot",       [FLO_AGENT_DEPLOY] = "desired",
    [FLO_AGENT_ORDER] = "order",     [FLO_AGENT_GO_BACK] = "operator",
    [FLO_AGENT_REMOVE] = "operator", [FLO_AGENT_PROGRESS] = "updater",
    [FLO_AGENT_STAGED] = "updater",  [FLO_AGENT_JOB_FAILED] = "updater",
    [FLO_AGENT_WRITTEN] = "disk",    [FLO_AGENT_UNWRITTEN] = "disk",
    [FLO_AGENT_LOADING] = "engine",  [FLO_AGENT_LOADED] = "engine",
    [FLO_AGENT_LOST] = "engine",     [FLO_AGENT_DRAINED] = "engine",
    [FLO_AGENT_PROBED] = "probe",    [FLO_AGENT_REQUEST] = "request",
    [FLO_AGENT_TIMER] = "timer",     [FLO_AGENT_STOP] = "agent",
    [FLO_AGENT_PLACED] = "memory",   [FLO_AGENT_WANTED] = "memory",
    [FLO_AGENT_EVICT] = "memory",    [FLO_AGENT_CONDITIONS] = "device",
    [FLO_AGENT_PRESSURE] = "memory", [FLO_AGENT_ACTIVATED] = "link",
    [FLO_AGENT_ILL] = "link",        [FLO_AGENT_TRUST] = "trust",
};

static const char *role_word(enum flo_agent_role role)
{
    assert(role < FLO_AGENT_ROLES);
    return role == FLO_AGENT_CURRENT ? "current" : "beside";
}

static void add_release(struct flo_buf *out, const struct flo_release_ref *release)
{
    char digest[FLO_DIGEST_TEXT];

    if (!flo_ref_is(release)) {
        flo_buf_text(out, "-");
    } else if (release->version[0] != '\0') {
        flo_buf_printf(out, "%s@%s", release->model, release->version);
    } else {
        flo_digest_text(&release->digest, digest);
        flo_buf_printf(out, "%.19s", digest);
    }
}

static void add_error(struct flo_buf *out, const struct flo_agent_error *error)
{
    if (error->code != 0) {
        flo_buf_printf(out, " %s: %s", flo_error_id(error->code), error->what);
    } else if (error->what[0] != '\0') {
        flo_buf_printf(out, " (%s)", error->what);
    }
}

static void add_detail(struct flo_buf *out, const struct flo_agent_detail *detail)
{
    if (detail->codec[0] != '\0') {
        flo_buf_printf(out, " %s", detail->codec);
    }
    if (detail->full_bytes != 0) {
        flo_buf_printf(out, " %llu of %llu bytes", (unsigned long long)detail->bytes,
                       (unsigned long long)detail->full_bytes);
    }
    if (detail->cases != 0) {
        flo_buf_printf(out, " %u of %u case%s", detail->passed, detail->cases,
                       flo_s(detail->cases));
    }
    if (detail->ratio > 0) {
        flo_buf_printf(out, " %.2f x time", detail->ratio);
    }
}

/* ---- the event's line ---- */

static void add_booted(struct flo_buf *out, const struct flo_agent_booted *booted)
{
    const struct flo_agent_slots *slots = &booted->slots;

    flo_buf_text(out, "current ");
    add_release(out, &slots->current);
    flo_buf_text(out, " previous ");
    add_release(out, &slots->previous);
    flo_buf_text(out, " candidate ");
    add_release(out, &slots->candidate);
    if (slots->is_trial) {
        flo_buf_printf(out, " on trial, %u starts left", slots->tries_left);
    }
    if (booted->open != NULL) {
        flo_buf_printf(out, ", %s was %s", booted->open->id,
                       flo_execution_word(booted->open->state));
    }
}

/* Adds a line to the text for each model at the start of the agent. */
static void add_boot(struct flo_buf *out, const struct flo_agent_event *event)
{
    const char *frozen = event->boot.is_frozen ? "frozen" : "";

    for (size_t i = 0; i < event->boot.model_count; i++) {
        flo_buf_text(out, i == 0 ? "" : "\n" INDENT);
        add_booted(out, &event->boot.models[i]);
        frozen = event->boot.is_frozen ? ", frozen" : "";
    }
    flo_buf_text(out, event->boot.model_count == 0 && frozen[0] == '\0' ? "no model" : frozen);
}

static void add_order(struct flo_buf *out, const struct flo_order *order)
{
    if (order == NULL) {
        return;
    }
    flo_buf_printf(out, "%s %s", order->id, flo_order_op_word(order->op));
    if (order->rollout[0] != '\0') {
        flo_buf_printf(out, " rollout %s", order->rollout);
    }
}

static void add_lacks(struct flo_buf *out, uint32_t lacks)
{
    const char *between = "lacks ";

    for (uint32_t i = 0; i < FLO_WAIT_COUNT; i++) {
        if ((lacks & FLO_WAIT_BIT(i)) != 0) {
            flo_buf_printf(out, "%s%s", between, flo_wait_word(i));
            between = ", ";
        }
    }
    flo_buf_text(out, lacks == 0 ? "nothing is in an update's way" : "");
}

/* Texts of the events that say the same each time, and what stands around them:
 * the role before, detail and error after. */
enum { HAS_ROLE = 1, HAS_DETAIL = 2, HAS_ERROR = 4 };
static const struct {
    const char *text;
    unsigned around;
} event_texts[FLO_AGENT_EVENT_COUNT] = {
    [FLO_AGENT_GO_BACK] = {"rollback"},
    [FLO_AGENT_REMOVE] = {"remove"},
    [FLO_AGENT_STAGED] = {"staged", HAS_DETAIL | HAS_ERROR},
    [FLO_AGENT_WRITTEN] = {"written"},
    [FLO_AGENT_UNWRITTEN] = {"not written", HAS_ERROR},
    [FLO_AGENT_LOADING] = {"is loading", HAS_ROLE},
    [FLO_AGENT_LOADED] = {"is ready", HAS_ROLE},
    [FLO_AGENT_ACTIVATED] = {"its program serves"},
    [FLO_AGENT_ILL] = {"its program does not serve", HAS_ERROR},
    [FLO_AGENT_LOST] = {"is lost", HAS_ROLE | HAS_ERROR},
    [FLO_AGENT_DRAINED] = {"drained"},
    [FLO_AGENT_WANTED] = {"a request wants it"},
    [FLO_AGENT_PRESSURE] = {"memory is short"},
    [FLO_AGENT_TRUST] = {"the trusted keys changed", HAS_ERROR},
    [FLO_AGENT_TIMER] = {"due"},
    [FLO_AGENT_STOP] = {"stops"},
};

static void add_known(struct flo_buf *out, const struct flo_agent_event *event)
{
    unsigned around = event_texts[event->kind].around;

    if ((around & HAS_ROLE) != 0) {
        flo_buf_printf(out, "%s ", role_word(event->role));
    }
    flo_buf_text(out, event_texts[event->kind].text);
    if ((around & HAS_DETAIL) != 0) {
        add_detail(out, &event->detail);
    }
    if ((around & HAS_ERROR) != 0) {
        add_error(out, &event->error);
    }
}

static void add_event(struct flo_buf *out, const struct flo_agent_event *event)
{
    const struct flo_agent_execution *wanted = event->deploy.execution;

    if (event_texts[event->kind].text != NULL) {
        add_known(out, event);
        return;
    }
    switch (event->kind) {
    case FLO_AGENT_BOOT:
        add_boot(out, event);
        break;
    case FLO_AGENT_DEPLOY:
        if (wanted != NULL) {
            add_release(out, &wanted->release);
            flo_buf_printf(out, " %s", wanted->id);
        }
        break;
    case FLO_AGENT_ORDER:
        add_order(out, event->order);
        break;
    case FLO_AGENT_PROGRESS:
        flo_buf_text(out, flo_execution_word(event->state));
        add_detail(out, &event->detail);
        break;
    case FLO_AGENT_JOB_FAILED:
        flo_buf_text(out, event->is_passing ? "stopped" : "failed");
        add_error(out, &event->error);
        break;
    case FLO_AGENT_PROBED:
        flo_buf_text(out, event->error.code == 0 ? "passed"
                          : event->error.code == FLO_E_PROBE_UNSURE ||
                                  flo_agent_is_runtimes_fault(event->error.code)
                              ? "unsure"
                              : "failed");
        add_detail(out, &event->detail);
        if (event->error.code != 0) {
            add_error(out, &event->error);
        }
        break;
    case FLO_AGENT_REQUEST:
        flo_buf_text(out, event->error.code == 0 ? "answered" : "failed");
        add_error(out, &event->error);
        break;
    case FLO_AGENT_PLACED:
        flo_buf_text(out, event->is_on_demand ? "on demand" : "stays");
        flo_buf_text(out, event->is_other_rung ? ", at another rung" : "");
        break;
    case FLO_AGENT_EVICT:
        flo_buf_text(out, event->error.code == FLO_E_DEVICE_STRAIN
                              ? "memory is short"
                              : "another model needs its memory");
        break;
    case FLO_AGENT_CONDITIONS:
        add_lacks(out, event->lacks);
        break;
    default:
        break;
    }
}

/* ---- a line per action ---- */

static void add_report(struct flo_buf *out, const struct flo_agent_execution *execution)
{
    if (!flo_execution_is_end(execution->state)) {
        flo_buf_printf(out, "state %s", flo_execution_word(execution->state));
        return;
    }
    flo_buf_printf(out, "end %s %s", execution->id, flo_execution_word(execution->state));
    if (execution->error.step[0] != '\0' &&
        (execution->error.code != 0 || execution->error.what[0] != '\0')) {
        flo_buf_printf(out, " at %s", execution->error.step);
        add_error(out, &execution->error);
    }
}

static const char *const cause_texts[FLO_DENIAL_CAUSES] = {
    [FLO_DENIAL_FAULT] = "a fault of its own",
    [FLO_DENIAL_SPEED] = "too slow here",
    [FLO_DENIAL_MEMORY] = "too large here, or killed each time",
    [FLO_DENIAL_ORDERED] = "taken back",
    [FLO_DENIAL_ALLOWED] = "allowed",
};

/* Texts of the actions that say the same each time, and whether their release
 * follows. */
static const struct {
    const char *text;
    bool has_release;
} action_texts[FLO_DO_COUNT] = {
    [FLO_DO_JOB] = {"start updater for ", true},
    [FLO_DO_CANCEL_JOB] = {"cancel updater", false},
    [FLO_DO_SLOT_STAGE] = {"slots: stage ", true},
    [FLO_DO_SLOT_TRIAL] = {"slots: begin trial of ", true},
    [FLO_DO_SLOT_TRY] = {"slots: count a start of ", true},
    [FLO_DO_SLOT_UNTRY] = {"slots: do not count the start of ", true},
    [FLO_DO_SLOT_COMMIT] = {"slots: commit ", true},
    [FLO_DO_SLOT_CLEAR] = {"slots: clear candidate ", true},
    [FLO_DO_SLOT_BACK] = {"slots: go back to ", true},
    [FLO_DO_SLOT_REMOVE] = {"slots: remove ", true},
    [FLO_DO_VARIANT] = {"keep the variant of ", true},
    [FLO_DO_REPAIR] = {"repair ", true},
    [FLO_DO_UNLINK] = {"remove its link, run its hook", false},
    [FLO_DO_HOLD] = {"hold requests", false},
    [FLO_DO_REST] = {"rest until it is wanted: ", true},
    [FLO_DO_FREE] = {"nothing of it is left", false},
    [FLO_DO_PROMOTE] = {"promote ", true},
    [FLO_DO_PROBE] = {"probe ", true},
    [FLO_DO_COLLECT] = {"collect garbage", false},
};

static void add_action(struct flo_buf *out, const struct flo_agent_action *action,
                       const struct flo_agent_execution *reported)
{
    if (action_texts[action->kind].text != NULL) {
        flo_buf_text(out, action_texts[action->kind].text);
        if (action_texts[action->kind].has_release) {
            add_release(out, &action->release);
        }
        return;
    }
    switch (action->kind) {
    case FLO_DO_DENY:
        flo_buf_text(out, "deny ");
        add_release(out, &action->release);
        flo_buf_printf(out, ": %s", cause_texts[action->cause]);
        break;
    case FLO_DO_FREEZE:
        flo_buf_text(out, action->flag ? "freeze" : "unfreeze");
        break;
    case FLO_DO_LOAD:
    case FLO_DO_FLIP:
        flo_buf_printf(out, "%s %s ", action->kind == FLO_DO_LOAD ? "load" : "flip to",
                       role_word(action->role));
        add_release(out, &action->release);
        break;
    case FLO_DO_UNLOAD:
        flo_buf_printf(out, "%s %s", action->flag ? "drain" : "stop", role_word(action->role));
        break;
    case FLO_DO_CLOSE:
        flo_buf_printf(out, "refuse new requests%s", action->flag ? ": it was taken back" : "");
        break;
    case FLO_DO_EVENT:
        add_report(out, reported);
        break;
    case FLO_DO_SERVING:
        flo_buf_printf(out, "serving %s ", action->word);
        add_release(out, &action->release);
        break;
    case FLO_DO_ACK:
        flo_buf_printf(out, "ack %s %s", action->order[0] == '\0' ? "operator" : action->order,
                       action->word);
        add_error(out, &action->error);
        break;
    case FLO_DO_NOTE:
        flo_buf_text(out, action->error.what);
        break;
    default:
        break;
    }
}

static bool is_quiet(const struct flo_agent_event *event, const struct flo_agent_actions *actions)
{
    size_t i;

    if (event->kind != FLO_AGENT_TIMER && event->kind != FLO_AGENT_REQUEST &&
        event->kind != FLO_AGENT_LOADING && event->kind != FLO_AGENT_CONDITIONS &&
        (event->kind != FLO_AGENT_PROGRESS || event->state != FLO_EXECUTION_DOWNLOADING)) {
        return false;
    }
    for (i = 0; i < actions->count; i++) {
        if (actions->list[i].kind != FLO_DO_TIMER) {
            return false;
        }
    }
    return true;
}

/* ---- which model ---- */

/* Returns the model's name.  If this step has removed the model, its name is in
 * the last action. */
static const char *name_of(const struct flo_agent *agent, const struct flo_agent_actions *actions,
                           uint32_t model)
{
    for (size_t i = 0; i < actions->count; i++) {
        const struct flo_agent_action *action = &actions->list[i];
        if (action->kind == FLO_DO_FREE && action->model == model) {
            return action->release.model;
        }
    }
    return agent->models[model].name;
}

static bool has_several_models(const struct flo_agent *agent,
                               const struct flo_agent_actions *actions)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < FLO_AGENT_MODELS_MAX; i++) {
        count += name_of(agent, actions, i)[0] != '\0';
    }
    return count > 1;
}

static bool is_about_one(const struct flo_agent_event *event)
{
    switch (event->kind) {
    case FLO_AGENT_BOOT:
    case FLO_AGENT_TIMER:
    case FLO_AGENT_STOP:
    case FLO_AGENT_CONDITIONS:
        return false;
    case FLO_AGENT_ORDER:
        return event->order != NULL &&
               flo_order_fact(event->order->op)->subject == FLO_ORDER_SUBJECT_MODEL;
    default:
        return true;
    }
}

static bool is_of_device(enum flo_agent_action_kind kind)
{
    return kind == FLO_DO_FREEZE || kind == FLO_DO_COLLECT;
}

static void add_name(struct flo_buf *out, const char *name)
{
    if (name[0] != '\0') {
        flo_buf_printf(out, "%s: ", name);
    }
}

void flo_agent_trace(const struct flo_agent *agent, const struct flo_agent_event *event,
                     const struct flo_agent_actions *actions, struct flo_buf *out)
{
    uint64_t since = event->now_ms - agent->origin_ms;
    bool has_several = has_several_models(agent, actions);
    size_t reports = 0;
    size_t i;

    assert(event->kind < FLO_AGENT_EVENT_COUNT);
    assert(event->now_ms >= agent->origin_ms);
    assert(actions->count <= FLO_AGENT_ACTIONS_MAX);
    if (is_quiet(event, actions)) {
        return;
    }
    flo_buf_printf(out, "[%3llu.%03llu] %-9s ", (unsigned long long)(since / 1000),
                   (unsigned long long)(since % 1000), event_words[event->kind]);
    if (has_several && is_about_one(event)) {
        add_name(out, name_of(agent, actions, event->model));
    }
    add_event(out, event);
    flo_buf_text(out, "\n");
    for (i = 0; i < actions->count; i++) {
        const struct flo_agent_action *action = &actions->list[i];
        const struct flo_agent_execution *reported = NULL;

        if (action->kind == FLO_DO_TIMER) {
            continue;
        }
        if (action->kind == FLO_DO_EVENT) {
            reported = &actions->reports[reports++];
        }
        flo_buf_text(out, INDENT);
        if (has_several && !is_of_device(action->kind) &&
            (!is_about_one(event) || action->model != event->model)) {
            add_name(out, name_of(agent, actions, action->model));
        }
        add_action(out, action, reported);
        flo_buf_text(out, "\n");
    }
}
