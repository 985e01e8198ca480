/* Rollback: rolls a model back to its previous release, by order or for an
 * operator at the device.
 *
 * A rollback of a committed release has three steps.  First the previous
 * release is loaded next to the current one.  Then the current release is
 * blocked and the slots rotate.  Then the previous release gets the requests.
 * Nothing changes until the previous release is ready to serve.
 *
 * During a trial the current release is still loaded.  So the execution ends,
 * and only the requests are switched. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include <flotilla/errors/cmd.h>

#include "agent/core/device/step.h"

static bool is_in(const struct flo_order *order, const struct flo_release_ref *release)
{
    return flo_ref_is(release) &&
           flo_digest_is_among(&release->digest, order->from, order->from_count);
}

static void deny_all(struct step *s, const struct flo_digest *list, uint32_t count, uint64_t number)
{
    uint32_t i;

    assert(count <= FLO_ORDER_FROM_MAX);
    for (i = 0; i < count; i++) {
        struct flo_agent_action *action = flo_do(s, FLO_DO_DENY);
        action->release.digest = list[i];
        action->cause = FLO_DENIAL_ORDERED;
        action->number = number;
    }
}

/* ---- after a commit ---- */

/* Stops the probes of other models to free memory.  The probes are repeated
 * later. */
static void end_other_probes(struct step *s)
{
    struct flo_agent_model *mine = s->model;
    char why[FLO_NAME_MAX + 32];

    snprintf(why, sizeof(why), "%s goes back first", mine->name);
    for (uint32_t i = 0; i < FLO_AGENT_MODELS_MAX; i++) {
        s->model = &s->agent->models[i];
        if (s->model != mine && s->model->has_execution &&
            s->model->execution.state == FLO_EXECUTION_PROBING) {
            flo_execution_put_off(s, why);
        }
    }
    s->model = mine;
}

static void load_previous(struct step *s)
{
    struct flo_agent_return *back = &s->model->going_back;

    assert(!back->is_draining);
    if (!s->event->fits_both) {
        end_other_probes(s);
    }
    back->is_draining = flo_engine_make_room(s, s->event->fits_both);
    if (back->is_draining) {
        back->due_ms = s->now + DRAIN_MS_MAX;
    } else {
        flo_engine_load(s, FLO_AGENT_BESIDE, &back->to);
    }
}

static void begin(struct step *s, const char *order, uint64_t number, const struct flo_digest *deny,
                  uint32_t deny_count)
{
    struct flo_agent *agent = s->agent;
    struct flo_agent_model *model = s->model;
    struct flo_agent_return *back = &model->going_back;
    char text[FLO_REF_TEXT];

    assert(flo_ref_is(&model->slots.current));
    assert(flo_ref_is(&model->slots.previous));
    assert(deny_count <= FLO_ORDER_FROM_MAX);
    memset(back, 0, sizeof(*back));
    back->is_active = true;
    back->is_committed = true;
    back->from = model->slots.current;
    back->to = model->slots.previous;
    back->number = number;
    back->deny_count = deny_count;
    memcpy(back->deny, deny, deny_count * sizeof(*deny));
    memcpy(back->order, order, strlen(order) + 1);
    agent->revision++;
    flo_do_note(s, "because %s was current before", flo_ref_text(&back->to, text));
    load_previous(s);
}

/* Checks whether a committed release can be rolled back.  Sets error->code to 0
 * if it can, else to the reason. */
static void check_target(const struct flo_agent_model *model, const struct flo_order *order,
                         struct flo_agent_error *error)
{
    const struct flo_release_ref *previous = &model->slots.previous;
    char wanted[FLO_DIGEST_TEXT];

    memset(error, 0, sizeof(*error));
    if (!flo_ref_is(&model->slots.current)) {
        flo_agent_error_set(error, FLO_E_STATE, "rollback", "no release serves on this device");
    } else if (!flo_ref_is(previous)) {
        flo_agent_error_set(error, FLO_E_STATE, "rollback",
                            "%s@%s has no previous release on this device",
                            model->slots.current.model, model->slots.current.version);
    } else if (order != NULL && is_in(order, previous)) {
        flo_agent_error_set(error, FLO_E_CMD_TARGET, "rollback",
                            "the previous release %s@%s is taken back, and "
                            "there is no other",
                            previous->model, previous->version);
    } else if (order != NULL && !order->to_previous &&
               !flo_digest_equal(&order->to, &previous->digest)) {
        flo_digest_text(&order->to, wanted);
        flo_agent_error_set(error, FLO_E_CMD_TARGET, "rollback",
                            "%s is not the previous release, which is %s@%s", wanted,
                            previous->model, previous->version);
    }
}

/* Returns whether the order names the previous release as one to roll back,
 * while the engine refuses the current one.  Then the previous release is the
 * only one that runs on this device. */
static bool is_last_resort(const struct flo_agent_model *model, const struct flo_order *order)
{
    return flo_engine_refuses_current(model) && is_in(order, &model->slots.previous);
}

/* Returns whether the current release may be removed although there is no
 * previous one, because it only serves a share of another model's requests. */
static bool may_go(const struct step *s)
{
    const struct flo_agent_model *model = s->model;

    return s->event->is_split && s->event->order->to_previous &&
           is_in(s->event->order, &model->slots.current) && !flo_ref_is(&model->slots.previous);
}

static void end_execution(struct step *s, const char *why)
{
    struct flo_agent_model *model = s->model;

    assert(why[0] != '\0');
    if (model->has_execution) {
        flo_execution_end(s, FLO_MOVE_CANCEL, 0, "%s", why);
    }
}

/* Handles one more rollback order while the previous release is loading. */
static void order_meanwhile(struct step *s, bool is_wanted)
{
    const struct flo_order *order = s->event->order;
    struct flo_agent_return *back = &s->model->going_back;

    flo_do_note(s, "because a rollback is under way");
    deny_all(s, order->from, order->from_count, order->seq);
    if (!is_in(order, &back->from)) {
        flo_do_ack(s, order->id, is_wanted ? "done" : "ignored", NULL);
        return;
    }
    if (order->seq < back->number) {
        flo_do_ack(s, order->id, "superseded", NULL);
        return;
    }
    if (order->seq == back->number && strcmp(order->id, back->order) == 0) {
        return; /* the same order came twice; the answer "done" is sent when the rollback ends */
    }
    if (order->seq > back->number && back->order[0] != '\0') {
        flo_do_ack(s, back->order, "superseded", NULL);
    }
    back->number = order->seq;
    memcpy(back->order, order->id, sizeof(back->order));
    flo_do_ack(s, order->id, "running", NULL);
}

void flo_back_order(struct step *s)
{
    struct flo_agent_model *model = s->model;
    const struct flo_order *order = s->event->order;
    struct flo_agent_return *back = &model->going_back;
    struct flo_agent_error error;
    bool is_wanted = model->has_execution && is_in(order, &model->execution.release);
    char why[FLO_NAME_MAX + 32];
    char text[FLO_REF_TEXT];

    assert(order->op == FLO_ORDER_ROLLBACK);
    assert(order->from_count <= FLO_ORDER_FROM_MAX);
    if (model->removal.is_active) {
        flo_do_note(s, "ignored: the model is being removed");
        deny_all(s, order->from, order->from_count, order->seq);
        flo_do_ack(s, order->id, "ignored", NULL);
        return;
    }
    memcpy(why, "order ", 6);
    memcpy(why + 6, order->id, strlen(order->id) + 1);
    if (is_wanted) {
        end_execution(s, why);
    }
    if (back->is_active && back->is_committed) {
        order_meanwhile(s, is_wanted);
        return;
    }
    if (!is_in(order, &model->slots.current) && !is_last_resort(model, order)) {
        flo_do_note(s, "stays: %s is not taken back", flo_ref_text(&model->slots.current, text));
        deny_all(s, order->from, order->from_count, order->seq);
        /* the rollback of a trial ends when the current release is loaded; its
         * order is answered then */
        if (back->is_active) {
            memcpy(back->order, order->id, sizeof(back->order));
        } else {
            flo_do_ack(s, order->id, is_wanted ? "done" : "ignored", NULL);
        }
        return;
    }
    if (may_go(s)) {
        flo_do_note(s, "because it only shares requests: the model goes");
        deny_all(s, order->from, order->from_count, order->seq);
        flo_remove_order(s);
        return;
    }
    check_target(model, order, &error);
    if (error.code != 0) {
        flo_do_ack(s, order->id, "refused", &error);
        return;
    }
    end_execution(s, why);
    begin(s, order->id, order->seq, order->from, order->from_count);
}

void flo_back_by_hand(struct step *s)
{
    struct flo_agent_model *model = s->model;
    struct flo_agent_error error;

    if (flo_execution_has_served(model)) {
        struct flo_release_ref release = model->execution.release;

        end_execution(s, "by an operator at the device");
        deny_all(s, &release.digest, 1, 0);
        flo_do_ack(s, "", "done", NULL);
        return;
    }
    if (model->removal.is_active) {
        flo_agent_error_set(&error, FLO_E_STATE, "rollback", "the model is being removed");
    } else if (model->going_back.is_active) {
        flo_agent_error_set(&error, FLO_E_STATE, "rollback", "a rollback is under way");
    } else {
        check_target(model, NULL, &error);
    }
    if (error.code != 0) {
        flo_do_ack(s, "", "refused", &error);
        return;
    }
    end_execution(s, "by an operator at the device");
    begin(s, "", 0, &model->slots.current.digest, 1);
}

/* ---- how it went ---- */

static void finish(struct step *s)
{
    struct flo_agent_return *back = &s->model->going_back;

    assert(back->is_active && s->model->live == FLO_AGENT_CURRENT);
    flo_do_serving(s, "rolled-back", &back->to);
    if (back->deny_count > 0 || back->order[0] != '\0') {
        flo_do_ack(s, back->order, "done", NULL);
    }
    memset(back, 0, sizeof(*back));
}

/* Handles an engine that has been loaded.  Returns whether the rollback was
 * waiting for it. */
bool flo_back_loaded(struct step *s, enum flo_agent_role role)
{
    struct flo_agent_model *model = s->model;
    struct flo_agent_return *back = &model->going_back;

    if (!back->is_active) {
        return false;
    }
    if (!back->is_committed && role == FLO_AGENT_CURRENT) {
        finish(s);
        return true;
    }
    if (back->is_committed && role == FLO_AGENT_BESIDE) {
        deny_all(s, back->deny, back->deny_count, back->number);
        flo_do_release(s, FLO_DO_SLOT_BACK, &back->to);
        back->is_writing = true;
        return true;
    }
    return false;
}

/* Continues a rollback after the shell has written the rotated slots to the
 * disk, or has tried to.  After a failed write, the block of the release may be
 * on the disk already; the next start then repairs the slots.  Returns false
 * when no such write was in progress. */
bool flo_back_written(struct step *s)
{
    struct flo_agent_model *model = s->model;
    struct flo_agent_return *back = &model->going_back;

    if (!back->is_active || !back->is_writing) {
        return false;
    }
    back->is_writing = false;
    /* If the current release was found damaged during the rollback, its slots
     * have been rotated already. */
    flo_agent_turn(model, flo_ref_equal(&back->to, &model->slots.current) ? FLO_TURN_CLEAR
                                                                          : FLO_TURN_BACK);
    assert(flo_ref_equal(&back->to, &model->slots.current));
    flo_engine_succeed(s);
    flo_do(s, FLO_DO_COLLECT);
    if (model->live == FLO_AGENT_CURRENT && !model->is_switching) {
        finish(s);
    } else {
        back->is_committed = false; /* the rollback ends when the release serves */
    }
    return true;
}

bool flo_back_lost(struct step *s, enum flo_agent_role role)
{
    struct flo_agent_model *model = s->model;
    struct flo_agent_return *back = &model->going_back;
    struct flo_agent_return given_up = *back;

    if (!back->is_active || !back->is_committed || role != FLO_AGENT_BESIDE) {
        return false;
    }
    if (back->is_writing) {
        return true; /* the rollback continues when the slots are written */
    }
    memset(back, 0, sizeof(*back));
    flo_do_ack(s, given_up.order, "refused", &s->event->error);
    if (flo_engine_is(model, FLO_AGENT_CURRENT, FLO_ENGINE_NONE)) {
        flo_engine_want(s, FLO_AGENT_CURRENT, &model->slots.current);
    }
    return true;
}

/* Ends a rollback from a trial when the release to go back to cannot be loaded.
 * The order is done, because the trial has ended.  The model serves again after
 * a repair of that release, or with the next wanted release. */
void flo_back_given_up(struct step *s)
{
    struct flo_agent_return *back = &s->model->going_back;

    if (!back->is_active || back->is_committed) {
        return;
    }
    flo_do_note(s, "because its bytes are wrong: nothing waits for it");
    if (back->deny_count > 0 || back->order[0] != '\0') {
        flo_do_ack(s, back->order, "done", NULL);
    }
    memset(back, 0, sizeof(*back));
}

void flo_back_drained(struct step *s)
{
    struct flo_agent_return *back = &s->model->going_back;

    if (back->is_active && back->is_draining) {
        back->is_draining = false;
        back->due_ms = 0;
        flo_engine_load(s, FLO_AGENT_BESIDE, &back->to);
    }
}

void flo_back_due(struct step *s)
{
    struct flo_agent_return *back = &s->model->going_back;

    if (back->is_draining && s->now >= back->due_ms) {
        flo_do(s, FLO_DO_UNLOAD)->role = FLO_AGENT_CURRENT; /* without draining */
        flo_back_drained(s);
    }
}
