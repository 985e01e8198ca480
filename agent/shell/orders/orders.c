/* Orders: turns a signed envelope into an event of the core.
 *
 * An order must be signed by a trusted key, in scope and not expired.  It is
 * then compared with the stored orders about the same subject
 * (flo_statement_look).  A new order is on the disk before it acts.  The core
 * decides what to do with it (flo_agent_intake). */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/cmd.h>
#include <flotilla/errors/trust.h>

#include "agent/core/refusal.h"
#include "agent/shell/benchmark/benchmark.h"
#include "agent/shell/hardware/hardware.h"
#include "agent/shell/orders/memory.h"
#include "agent/shell/queue/timers.h"
#include "agent/shell/report/operators.h"
#include "agent/shell/trust/trust.h"

/* ---- deploy ---- */

static void execution_of(const struct flo_order *order, uint32_t attempt,
                         struct flo_agent_execution *out)
{
    memset(out, 0, sizeof(*out));
    out->attempt = attempt;
    out->phase = order->phase;
    out->epoch = order->epoch;
    out->seq = order->seq;
    out->policy = order->policy;
    out->release.digest = order->release;
    memcpy(out->release.model, order->model, sizeof(out->release.model));
    memcpy(out->release.version, order->version, sizeof(out->release.version));
    memcpy(out->rollout, order->rollout, sizeof(out->rollout));
    memcpy(out->order, order->id, sizeof(out->order));
    snprintf(out->id, sizeof(out->id), "%s.%u", order->rollout, attempt);
}

static void begin_deploy(uint32_t model, struct flo_intake *out)
{
    out->event = (struct flo_agent_event){
        .kind = FLO_AGENT_DEPLOY, .model = model, .deploy.execution = &out->execution};
}

/* Makes the order's release the one that is assigned to its model. */
static void deploy(struct flo_shell *shell, const struct flo_order *order, uint32_t model,
                   uint32_t attempt, const struct flo_agent_error *refusal, struct flo_intake *out)
{
    begin_deploy(model, out);
    out->event.deploy.refusal = *refusal;
    shell->models[model].slots.stated.outcome = FLO_STATED_OPEN;
    execution_of(order, attempt, &out->execution);
}

/* ---- everything else ---- */

void flo_shell_pauses(const struct flo_shell *shell, struct flo_agent_pauses *out)
{
    size_t count = 0;

    memset(out, 0, sizeof(*out));
    out->all = shell->device.all_paused;
    for (size_t i = 0; i < FLO_PAUSES_MAX; i++) {
        const struct flo_pause *pause = &shell->device.pauses[i];
        if (pause->rollout[0] != '\0' && pause->said == FLO_ROLLOUT_PAUSED_BY_ORDER) {
            memcpy(out->rollouts[count++], pause->rollout, sizeof(pause->rollout));
        }
    }
}

static bool is_about_model(const struct flo_order *order)
{
    return flo_order_fact(order->op)->subject == FLO_ORDER_SUBJECT_MODEL;
}

static void act(struct flo_shell *shell, const struct flo_order *order, uint32_t model,
                struct flo_intake *out)
{
    if (order->op == FLO_ORDER_CONFIG) {
        flo_shell_set_heartbeat(shell, order->heartbeat_ms);
    } else if (order->op == FLO_ORDER_PROMPTS) {
        /* The answer `done` follows, after which no prompt may leave. */
        flo_watch_limits(shell);
    } else if (order->op == FLO_ORDER_GROUPS) {
        flo_shell_link_groups(shell);
        flo_shell_link_reported(shell);
        /* The presence message makes the controller send the lists of the new
         * groups. */
        flo_shell_link_present(shell);
    }
    flo_shell_pauses(shell, &out->pauses);
    out->event = (struct flo_agent_event){.kind = FLO_AGENT_ORDER,
                                          .order = order,
                                          .pauses = &out->pauses,
                                          .stays_frozen = shell->device.is_frozen ||
                                                          shell->device.is_frozen_emergency};
    assert(model != FLO_NO_MODEL || !is_about_model(order));
    if (model != FLO_NO_MODEL) {
        out->event.model = model;
        out->event.fits_both =
            flo_shell_fits_both(shell, model, &shell->models[model].slots.previous);
        out->event.is_split = flo_shell_is_split(shell, &shell->models[model].slots.current);
    }
}

/* ---- where it stands ---- */

/* Stores the order.  An order that cannot be stored fails, because after a
 * restart the device would not know it.  Only an order for a report is carried
 * out all the same: a failing disk is a reason for such a report. */
static int keep(struct flo_shell *shell, const struct flo_order_verified *verified,
                struct flo_slots *record, struct flo_err *err)
{
    struct flo_slots record_before = *record;
    struct flo_device before = shell->device;
    struct flo_kept kept =
        flo_statement_keep(&shell->device, record, &verified->order, &verified->body);
    int rv;

    if (!verified->order.is_emergency &&
        flo_shell_clock_claim(shell, verified->order.issued_at_ms, false)) {
        kept.device = true;
    }
    if (kept.device) {
        flo_shell_device_changed(shell);
    }
    rv = kept.slots ? flo_shell_record_keep(shell, record, err) : flo_shell_device_keep(shell, err);
    if (rv < 0 && flo_order_fact(verified->order.op)->subject == FLO_ORDER_SUBJECT_REPORT) {
        (void)flo_shell_degrade(shell, err);
        return 0;
    }
    if (rv < 0) {
        shell->device = before;
        *record = record_before;
        return rv;
    }
    if (kept.slots) { /* the model's record with the order is stored; the device
                       * record with its number and time may follow later */
        flo_shell_device_write(shell);
    }
    if (kept.is_folded) {
        flo_shell_tell_folded(shell, record);
    }
    return 0;
}

/* Tells whether a rollback order names a blocked release that runs here or is
 * being installed. */
static bool names_here(const struct flo_shell *shell, uint32_t model, const struct flo_order *order)
{
    const struct flo_agent_model *agent = &shell->agent.models[model];

    for (uint32_t i = 0; i < order->from_count; i++) {
        const struct flo_digest *from = &order->from[i];
        if ((flo_digest_equal(from, &agent->slots.current.digest) ||
             (agent->has_execution && flo_digest_equal(from, &agent->execution.release.digest))) &&
            flo_slots_is_denied(&shell->models[model].slots, from, order->from_numbers[i])) {
            return true;
        }
    }
    return false;
}

static uint64_t aborted_by(const struct flo_shell *shell, const struct flo_order *order)
{
    return flo_device_rollout(&shell->device, order->rollout, order->seq) ==
                   FLO_ROLLOUT_ABORTED_BY_ORDER
               ? flo_device_said(&shell->device, order->rollout)->number
               : 0;
}

/* Collects the facts by which the core judges an order.  *attempt: number of a
 * new execution's attempt. */
static void gather(struct flo_shell *shell, const struct flo_slots *record, uint32_t model,
                   struct flo_intake_facts *facts, uint32_t *attempt)
{
    const struct flo_order *order = facts->order;
    enum flo_execution end = FLO_EXECUTION_QUEUED;
    uint32_t attempts = 0;

    facts->outcome = order->is_emergency ? FLO_STATED_OPEN : record->stated.outcome;
    facts->is_answered =
        facts->standing == FLO_STATEMENT_AGAIN && flo_shell_is_answered(shell, order->id);
    facts->is_absent = is_about_model(order) && model == FLO_NO_MODEL;
    facts->takes_back = model != FLO_NO_MODEL && names_here(shell, model, order);
    facts->is_under_way =
        order->op == FLO_ORDER_BENCHMARK && flo_benchmark_is_kept(shell, order->id);
    facts->is_set_here = flo_config_is_set(shell->settings.config, "heartbeat");
    if (order->op != FLO_ORDER_DEPLOY) {
        return;
    }
    bool has_story =
        flo_stories_last(shell->db, order->rollout, &attempts, &facts->has_ended, &end);

    *attempt = has_story && !facts->has_ended ? attempts : attempts + 1;
    facts->aborted_by = aborted_by(shell, order);
    facts->is_current =
        model != FLO_NO_MODEL &&
        flo_digest_equal(&order->release, &shell->agent.models[model].slots.current.digest);
    flo_shell_refusal(shell->identity.trust, record, &order->release, order->number,
                      &facts->refusal);
}

static void answer(struct flo_shell *shell, const struct flo_order *order,
                   const struct flo_slots *record, const struct flo_intake_verdict *verdict)
{
    bool names_newer =
        is_about_model(order) && !order->is_emergency && record->stated.number == verdict->by;

    switch (verdict->kind) {
    case FLO_INTAKE_ACT:
        break;
    case FLO_INTAKE_REPEAT:
        (void)flo_shell_answer_again(shell, order->id);
        break;
    case FLO_INTAKE_SUPERSEDED:
        flo_shell_answer_superseded(shell, order->id, names_newer ? record->stated.order : "",
                                    verdict->by);
        break;
    case FLO_INTAKE_DONE:
    case FLO_INTAKE_REFUSED:
    case FLO_INTAKE_IGNORED:
        flo_shell_answer(shell, order->id, flo_intake_word(verdict->kind),
                         verdict->error.code == 0 ? NULL : flo_report_error(&verdict->error));
        break;
    }
}

/* Lets the core judge the order, and carries out the verdict.  Returns true
 * when the core must get the order as an event. */
static bool judge(struct flo_shell *shell, const struct flo_order *order,
                  const struct flo_slots *record, enum flo_standing standing, uint64_t by,
                  struct flo_intake *out)
{
    struct flo_intake_facts facts = {.order = order, .standing = standing, .by = by};
    struct flo_intake_verdict verdict;
    uint32_t model = is_about_model(order) ? flo_shell_model(shell, order->model) : FLO_NO_MODEL;
    uint32_t attempt = 0;

    gather(shell, record, model, &facts, &attempt);
    flo_agent_intake(&facts, &verdict);
    if (verdict.kind != FLO_INTAKE_ACT) {
        flo_shell_order_trace(shell, order->id, flo_intake_word(verdict.kind), verdict.why);
        answer(shell, order, record, &verdict);
        return false;
    }
    if (flo_order_fact(order->op)->subject == FLO_ORDER_SUBJECT_REPORT) {
        flo_shell_report_afar(shell, order);
        return false;
    }
    if (order->op == FLO_ORDER_DEPLOY) {
        deploy(shell, order, model, attempt, &facts.refusal, out);
    } else {
        act(shell, order, model, out);
    }
    if (model != FLO_NO_MODEL && standing == FLO_STATEMENT_SUPERSEDED) {
        shell->models[model].is_interrupted = true;
    }
    return true;
}

static bool converge(struct flo_shell *shell, uint32_t index, struct flo_intake *out)
{
    struct flo_shell_model *model = &shell->models[index];
    const struct flo_order *order = &model->assigned;

    if (!model->is_interrupted || shell->agent.models[index].has_execution ||
        shell->agent.models[index].going_back.is_active) {
        return false;
    }
    model->is_interrupted = false;
    return order->seq != 0 && order->seq == model->slots.stated.number &&
           judge(shell, order, &model->slots, FLO_STATEMENT_NEW, 0, out);
}

bool flo_orders_converge(struct flo_shell *shell, struct flo_intake *out)
{
    for (uint32_t i = 0; i < FLO_AGENT_MODELS_MAX; i++) {
        if (converge(shell, i, out)) {
            return true;
        }
    }
    return false;
}

static int admit(const struct flo_shell *shell, const struct flo_order *order, struct flo_err *err)
{
    struct flo_agent_time time;
    size_t count;
    const char(*groups)[FLO_NAME_MAX + 1] = flo_shell_groups(shell, &count);

    flo_shell_clock_look(shell, &time);
    return flo_agent_order_admit(order, shell->identity.device, groups, count, &time, err);
}

/* Assigns the order's release to its model, which has an entry from here on. */
static int assign(struct flo_shell *shell, const struct flo_order *order, struct flo_slots **record,
                  struct flo_err *err)
{
    uint32_t model;

    FLO_TRY(flo_shell_model_take(shell, order->model, &model, err));
    shell->models[model].assigned = *order;
    *record = &shell->models[model].slots;
    return 0;
}

/* Tells whether the order's number is far above the others.  Such an order is
 * taken only if the controller confirms that it issued as many.  Otherwise a
 * thief of the order key could use up all numbers, and the controller's orders
 * would be ignored. */
static bool is_a_leap(const struct flo_shell *shell, const struct flo_order *order)
{
    uint64_t top = order->epoch > shell->device.epoch ? 0 : shell->device.top;

    return !order->is_emergency && order->seq > top + FLO_NUMBER_LEAP;
}

static int check_leap(const struct flo_shell *shell, const struct flo_order *order,
                      struct flo_err *err)
{
    uint64_t known = flo_shell_trust_order_number(shell);

    return !is_a_leap(shell, order) || order->seq <= known + FLO_NUMBER_LEAP
               ? 0
               : flo_fail(err, FLO_E_CMD_LEAP,
                          "order %s: number %llu, the highest taken is %llu, "
                          "the controller's newest %llu",
                          order->id, (unsigned long long)order->seq,
                          (unsigned long long)shell->device.top, (unsigned long long)known);
}

/* Takes a verified order: compares it with the stored ones, stores it and
 * judges it.  *is_told: the core must get the order as an event. */
static int take(struct flo_shell *shell, const struct flo_order_verified *verified,
                struct flo_intake *out, bool *is_told, struct flo_err *err)
{
    const struct flo_order *order = &verified->order;
    /* The record of no entry takes the place of a model's record if the order is about
     * no model. */
    struct flo_slots *record = flo_shell_other(shell);
    enum flo_standing standing;
    uint64_t by;

    FLO_TRY(admit(shell, order, err));
    FLO_TRY(flo_epoch_admit(shell->device.epoch, flo_trust_epoch(shell->identity.trust),
                            order->epoch, err));
    FLO_TRY(check_leap(shell, order, err));
    if (is_about_model(order)) {
        FLO_TRY(flo_shell_record(shell, order->model, &record, err));
    }
    FLO_TRY(
        flo_statement_look(&shell->device, record, order, &verified->body, &standing, &by, err));
    if (standing != FLO_STATEMENT_AGAIN) {
        FLO_TRY(keep(shell, verified, record, err));
    }
    if (order->op == FLO_ORDER_DEPLOY && standing != FLO_STATEMENT_SUPERSEDED) {
        FLO_TRY(assign(shell, order, &record, err));
    }
    if (order->op == FLO_ORDER_REMOVE && record == flo_shell_other(shell) &&
        /* the model has no files on the device, so only its record changes */
        standing == FLO_STATEMENT_NEW) {
        flo_slots_remove(record);
        FLO_TRY(flo_shell_record_keep(shell, record, err));
    }
    *is_told = judge(shell, order, record, standing, by, out);
    return 0;
}

/* Requests trust statements, because a new one may name the order's signer. */
static void doubt(struct flo_shell *shell)
{
    if (flo_trust_is_signed(shell->identity.trust)) {
        flo_shell_orders_again(shell);
        flo_shell_trust_doubt(shell);
    }
}

static void tell_refusal(struct flo_shell *shell, const char *order, const struct flo_err *err,
                         const struct flo_refusal *refusal)
{
    if (refusal->is_degraded && flo_shell_degrade(shell, err)) {
        flo_shell_link_reported(shell);
    }
    if (refusal->is_told) {
        flo_shell_note(shell, "security", err);
    }
    if (refusal->answer == FLO_REFUSAL_REPEATS) {
        (void)flo_shell_answer_again(shell, order);
    } else if (refusal->answer == FLO_REFUSAL_REFUSES) {
        flo_shell_answer(shell, order, "refused",
                         json_pack("{s:s, s:s}", "id", flo_error_id(err->code), "what", err->what));
    }
}

/* Answers an order that is not accepted.  `order`: its id; empty: unknown. */
static void refuse(struct flo_shell *shell, const char *order, uint32_t epoch,
                   const struct flo_err *err)
{
    const struct flo_refusal_facts facts = {
        .code = err->code,
        .has_id = order[0] != '\0',
        .is_answered =
            order[0] != '\0' && err->code != FLO_E_CMD_SCOPE && flo_shell_is_answered(shell, order),
        .is_next_epoch = epoch == flo_trust_epoch(shell->identity.trust) + 1,
        .was_asked = err->code == FLO_E_CMD_LEAP ? flo_shell_leap_was_asked(shell)
                                                 : flo_shell_time_was_asked(shell),
        .clock_is_good = flo_shell_clock_is_good(shell)};
    struct flo_refusal refusal;

    flo_agent_refuse(&facts, &refusal);
    if (facts.code == FLO_E_CMD_LEAP && !refusal.asks) {
        flo_shell_leap_end(shell);
    }
    if (facts.has_id && !refusal.asks && !refusal.doubts) {
        flo_shell_order_trace(shell, order, "not taken", err->what);
    }
    if (facts.code == FLO_E_CMD_SCOPE) {
        flo_log(FLO_LOG_DEBUG, "order", "%s", err->what);
    }
    /* the clock may have been set since the last heartbeat, so that is checked
     * now */
    bool was_set = refusal.sees_clock && flo_shell_clock_was_set(shell);
    if (refusal.comes_again || was_set) {
        flo_shell_orders_again(shell);
    }
    tell_refusal(shell, order, err, &refusal);
    if (refusal.doubts) {
        doubt(shell);
    }
    if (refusal.asks) {
        flo_log_err(FLO_LOG_INFO, "order", err);
        (err->code == FLO_E_CMD_LEAP ? flo_shell_leap_ask : flo_shell_time_ask)(shell);
    }
}

/* Answers an order of a later version, which a trusted key has signed.  Its
 * scope can still be read, and a device in scope must answer.  Otherwise the
 * rollout would wait for ever. */
static void refuse_unknown(struct flo_shell *shell, const struct flo_order *order,
                           const struct flo_err *err)
{
    struct flo_err why = {0};
    int rv = admit(shell, order, &why);

    flo_shell_order_received(shell, order->id);
    refuse(shell, order->id, 0, rv < 0 ? &why : err);
}

static int verify(const struct flo_shell *shell, const json_t *envelope,
                  struct flo_order_verified *out, struct flo_err *err)
{
    /* The text needs no limit, because the size of the message limits it. */
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};

    flo_json_dump_canonical(envelope, &text);
    return text.failed ? flo_fail(err, FLO_E_MEMORY, "an order")
                       : flo_order_verify(text.data, text.bytes, shell->identity.trust, out, err);
}

int flo_orders_check(const struct flo_shell *shell, const json_t *envelope,
                     char id[FLO_NAME_MAX + 1], struct flo_err *err)
{
    static struct flo_order_verified verified; /* large, one thread */

    if (shell->identity.trust == NULL) {
        return flo_fail(err, FLO_E_STATE, "no trusted keys are here yet");
    }
    if (flo_shell_trust_is_behind(shell)) {
        return flo_fail(err, FLO_E_TRUST_NUMBER, "trust.json is older than what was taken here");
    }
    FLO_TRY(verify(shell, envelope, &verified, err));
    FLO_TRY(admit(shell, &verified.order, err));
    FLO_TRY(check_leap(shell, &verified.order, err));
    memcpy(id, verified.order.id, FLO_NAME_MAX + 1);
    return 0;
}

bool flo_orders_take(struct flo_shell *shell, const json_t *envelope, bool is_list,
                     struct flo_intake *out)
{
    static struct flo_order_verified verified; /* large, one thread */
    struct flo_err err = {0};
    bool is_told = false;
    int rv;

    if (shell->identity.trust == NULL || flo_shell_trust_is_behind(shell)) {
        return false; /* the controller's retained messages bring the order again later */
    }
    shell->orders->is_list = is_list;
    rv = verify(shell, envelope, &verified, &err);
    if (rv == FLO_E_CMD_FORMAT && verified.order.id[0] != '\0') {
        refuse_unknown(shell, &verified.order, &err);
    } else if (rv < 0) {
        refuse(shell, "", 0, &err);
    } else {
        bool is_leap = is_a_leap(shell, &verified.order);
        flo_shell_order_received(shell, verified.order.id);
        rv = take(shell, &verified, out, &is_told, &err);
        if (rv == 0 && is_leap) {
            flo_shell_leap_end(shell);
        }
        if (rv < 0) {
            refuse(shell, verified.order.id, verified.order.epoch, &err);
        }
    }
    return is_told;
}

/* ---- without an order ---- */

/* Gives an execution without an order its name and its policy. */
static void name_own(struct flo_shell *shell, const char *word,
                     struct flo_agent_execution *execution)
{
    flo_stories_name(shell->db, word, execution);
    flo_policy_default(&execution->policy);
    execution->policy.soak_ms = flo_config_u64(shell->settings.config, "bundle_soak");
}

int flo_orders_install(struct flo_shell *shell, const struct flo_agent_execution *wanted,
                       struct flo_intake *out, struct flo_err *err)
{
    uint32_t model;

    FLO_TRY(flo_shell_model_take(shell, wanted->release.model, &model, err));
    begin_deploy(model, out);
    out->execution = *wanted;
    flo_control_installs(shell, &wanted->release.digest);
    name_own(shell, "bundle", &out->execution);
    flo_shell_allow_by_hand(shell, model, &wanted->release.digest);
    flo_shell_refusal(shell->identity.trust, &shell->models[model].slots, &wanted->release.digest,
                      0, &out->event.deploy.refusal);
    return 0;
}

void flo_orders_repair(struct flo_shell *shell, uint32_t model,
                       const struct flo_release_ref *release)
{
    struct flo_intake *intake = &shell->models[model].repair;
    char digest[FLO_DIGEST_TEXT];

    flo_digest_text(&release->digest, digest);
    if (shell->is_local || !shell->identity.is_there) {
        flo_log(FLO_LOG_WARN, "store",
                "release %s is damaged and there is no controller to fetch it "
                "from",
                digest);
        return;
    }
    memset(intake, 0, sizeof(*intake));
    begin_deploy(model, intake);
    intake->execution.release = *release;
    name_own(shell, "repair", &intake->execution);
    flo_shell_refusal(shell->identity.trust, &shell->models[model].slots, &release->digest, 0,
                      &intake->event.deploy.refusal);
    flo_queue_post(&shell->queue, &intake->event);
}
