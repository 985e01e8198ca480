/* Orders: from an envelope to an event of the core.
 *
 * Verified, in scope, not expired.  Then it is held against what is kept about
 * its subject (flo_statement_look): what something newer replaced is answered
 * `superseded`, whoever brings it again; what holds already is answered with
 * what came of it; and what is new is kept on the disk before it acts.  A
 * deploy order stands for a state: it is answered by what runs. */
#include <stdlib.h>
#include <string.h>

#include "agent/shell/shell.h"

static uint64_t took_ms(const struct flo_shell *shell, const char *order)
{
    size_t i;

    for (i = 0; i < FLO_COUNT(shell->received); i++) {
        if (strcmp(shell->received[i].order, order) == 0) {
            return flo_now_ms() - shell->received[i].at_ms;
        }
    }
    return 0;
}

static void note_received(struct flo_shell *shell, const char *order)
{
    size_t i;

    for (i = 0; i < FLO_COUNT(shell->received); i++) {
        if (strcmp(shell->received[i].order, order) == 0) {
            return;
        }
    }
    i = shell->received_next++ % FLO_COUNT(shell->received);
    snprintf(shell->received[i].order, sizeof(shell->received[i].order), "%s",
             order);
    shell->received[i].at_ms = flo_now_ms();
}

/* `extra` is taken; NULL: none. */
static void answer(struct flo_shell *shell, const char *order,
                   const char *outcome, const char *key, json_t *extra,
                   bool is_stored)
{
    struct flo_buf text = {0};
    json_t *json =
        json_pack("{s:i, s:s, s:s, s:I, s:I}", "v", 1, "order", order,
                  "outcome", outcome, "at_ms", (json_int_t)flo_wall_ms(),
                  "took_ms", (json_int_t)took_ms(shell, order));

    if (json == NULL) {
        json_decref(extra);
        return;
    }
    if (extra != NULL) {
        json_object_set_new(json, key, extra);
    }
    flo_json_dump(json, &text);
    json_decref(json);
    if (!text.failed && is_stored && strcmp(outcome, "running") == 0) {
        flo_answers_forget(shell->db, order);
    } else if (!text.failed && is_stored) {
        flo_answers_keep(shell->db, order, text.data);
    }
    if (!text.failed) {
        flo_shell_link_ack(shell, order, text.data);
    }
    flo_buf_deinit(&text);
}

void flo_shell_answer(struct flo_shell *shell, const char *order,
                      const char *outcome, json_t *error)
{
    answer(shell, order, outcome, "error", error, true);
}

void flo_shell_told(struct flo_shell *shell, const char *order)
{
    size_t place = shell->told_next++ % FLO_COUNT(shell->told);

    snprintf(shell->told[place], sizeof(shell->told[place]), "%s", order);
}

static bool was_told(const struct flo_shell *shell, const char *order)
{
    for (size_t i = 0; i < FLO_COUNT(shell->told); i++) {
        if (strcmp(shell->told[i], order) == 0) {
            return true;
        }
    }
    return false;
}

/* Send the stored outcome again; false: there is none.
 *
 * A group's list holds what was ordered before, and comes with each connection
 * and each change: what was told is not told again for that.  Whose answer got
 * lost all the same the controller asks by name (cmd). */
static bool answered_before(struct flo_shell *shell, const char *order)
{
    char *text = flo_answers_find(shell->db, order);
    bool is_there = text != NULL;

    if (is_there && !(shell->is_list && was_told(shell, order))) {
        flo_shell_link_ack(shell, order, text);
    }
    free(text);
    return is_there;
}

static void tell_folded(struct flo_shell *shell, const struct flo_slots *slots)
{
    struct flo_err err = {0};

    (void)flo_fail(&err, FLO_E_TARGET_DENIED,
                   "%s: %d releases are denied here; from now on all others "
                   "up to number %llu are too",
                   slots->model, FLO_DENIALS_MAX,
                   (unsigned long long)slots->folded);
    flo_shell_note(shell, "note", &err);
}

/* Something newer holds; its id is told where it is known.  Not stored: old
 * orders that somebody repeats must not push out the answers of others. */
static void answer_superseded(struct flo_shell *shell, const char *order,
                              const char *by, uint64_t number)
{
    json_t *json;

    if (shell->is_list && was_told(shell, order)) {
        return;
    }
    json = json_pack("{s:I}", "number", (json_int_t)number);
    if (json != NULL && by[0] != '\0') {
        json_object_set_new(json, "order", json_string(by));
    }
    answer(shell, order, "superseded", "by", json, false);
}

static void answer_refused(struct flo_shell *shell, const char *order,
                           const struct flo_agent_error *error)
{
    flo_shell_answer(shell, order, "refused", flo_report_error(error));
}

/* ---- what may not run ---------------------------------------------------- */

void flo_shell_deny(struct flo_shell *shell,
                    const struct flo_agent_action *action)
{
    struct flo_slots *slots = &shell->slots;
    struct flo_denial said = {.release = action->release.digest,
                              .statement = action->number,
                              .cause = action->cause};

    if (action->cause == FLO_DENIAL_ORDERED && action->number > 0) {
        return; /* kept with its order */
    }
    if (action->number == 0) { /* by hand: newer than any order so far */
        said.statement = shell->device.top;
    }
    if (flo_digest_equal(&said.release, &slots->candidate)) {
        said.number = slots->candidate_number;
    } else if (flo_digest_equal(&said.release, &slots->current)) {
        said.number = slots->current_number;
    } else if (flo_digest_equal(&said.release, &slots->stated.target)) {
        said.number = shell->assigned.number;
    }
    if (action->number == 0) {
        flo_slots_disallow(slots, &said.release, said.statement);
    }
    if (flo_slots_deny(slots, &said)) {
        tell_folded(shell, slots);
    }
    shell->slots_is_dirty = true;
}

/* Whoever stands at the device is newer than any order so far; but a fault
 * stays. */
static void allow_by_hand(struct flo_shell *shell,
                          const struct flo_digest *release)
{
    struct flo_denial said = {.release = *release,
                              .statement = shell->device.top,
                              .cause = FLO_DENIAL_ALLOWED};

    if (flo_slots_is_denied(&shell->slots, release, 0)) {
        (void)flo_slots_deny(&shell->slots, &said);
        shell->slots_is_dirty = true;
    }
}

static const char *because(enum flo_denial_cause cause)
{
    switch (cause) {
    case FLO_DENIAL_SPEED:
        return "the release was too slow on this device";
    case FLO_DENIAL_MEMORY:
        return "the release took too much memory on this device";
    case FLO_DENIAL_ORDERED:
        return "the release was taken back on this device";
    default:
        return "the release failed on this device before";
    }
}

void flo_shell_refusal(const struct flo_slots *slots,
                       const struct flo_digest *release, uint64_t number,
                       struct flo_agent_error *out)
{
    enum flo_denial_cause cause = flo_slots_denial(slots, release, number);
    struct flo_err err = {0};

    memset(out, 0, sizeof(*out));
    if (cause != FLO_DENIAL_ALLOWED) {
        out->code = FLO_E_TARGET_DENIED;
        snprintf(out->what, sizeof(out->what), "%s", because(cause));
    } else if (number > 0 &&
               flo_slots_admit(slots, release, number, &err) < 0) {
        out->code = err.code;
        snprintf(out->what, sizeof(out->what), "%.255s", err.what);
    }
}

/* ---- deploy
 * ----------------------------------------------------------------------- */

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

/* Has the order's execution ended, and is its answer known without a new one?
 * `standing` AGAIN: nothing newer asks for it. */
static bool is_answered(struct flo_shell *shell, const struct flo_order *order,
                        const struct flo_slots *record,
                        enum flo_standing standing,
                        const struct flo_agent_error *refusal, bool has_ended)
{
    bool is_current =
        flo_digest_equal(&order->release, &shell->agent.slots.current.digest);
    bool is_over = record->stated.outcome == FLO_STATED_REFUSED ||
                   record->stated.outcome == FLO_STATED_FAILED;

    if (has_ended && is_current) {
        flo_shell_answer(shell, order->id, "done", NULL);
        return true;
    }
    if (has_ended && refusal->code != 0) {
        answer_refused(shell, order->id, refusal);
        return true;
    }
    if (standing != FLO_STATEMENT_AGAIN || !is_over || is_current) {
        return false;
    }
    if (!answered_before(shell, order->id)) {
        struct flo_agent_error error = {
            .code = refusal->code != 0 ? refusal->code : FLO_E_STATE};

        snprintf(error.what, sizeof(error.what), "%s",
                 refusal->code != 0 ? refusal->what
                                    : "it ended badly on this device");
        answer_refused(shell, order->id, &error);
    }
    return true;
}

static void deploy(struct flo_shell *shell, const struct flo_order *order,
                   const struct flo_slots *record, enum flo_standing standing)
{
    struct flo_agent_execution execution;
    struct flo_agent_event event = {.kind = FLO_AGENT_DEPLOY};
    enum flo_execution end = FLO_EXECUTION_QUEUED;
    bool has_ended = false;
    uint32_t attempts = 0;
    bool is_open = flo_stories_last(shell->db, order->rollout, &attempts,
                                    &has_ended, &end) &&
                   !has_ended;

    if (flo_device_rollout(&shell->device, order->rollout, order->seq) ==
        FLO_ROLLOUT_ABORTED_BY_ORDER) {
        const struct flo_pause *abort =
            flo_device_said(&shell->device, order->rollout);
        answer_superseded(shell, order->id, "",
                          abort == NULL ? 0 : abort->number);
        return;
    }
    flo_shell_refusal(record, &order->release, order->number,
                      &event.deploy.refusal);
    if (is_answered(shell, order, record, standing, &event.deploy.refusal,
                    has_ended)) {
        return;
    }
    if (record == &shell->slots) {
        shell->slots.stated.outcome = FLO_STATED_OPEN;
    }
    execution_of(order, is_open ? attempts : attempts + 1, &execution);
    event.deploy.execution = &execution;
    flo_shell_event(shell, &event);
}

/* ---- everything else
 * ------------------------------------------------------------------ */

void flo_shell_pauses(const struct flo_shell *shell,
                      struct flo_agent_pauses *out)
{
    size_t count = 0;

    memset(out, 0, sizeof(*out));
    out->all = shell->device.all_paused;
    for (size_t i = 0; i < FLO_PAUSES_MAX; i++) {
        const struct flo_pause *pause = &shell->device.pauses[i];
        if (pause->rollout[0] != '\0' &&
            pause->said == FLO_ROLLOUT_PAUSED_BY_ORDER) {
            memcpy(out->rollouts[count++], pause->rollout,
                   sizeof(pause->rollout));
        }
    }
}

static void act(struct flo_shell *shell, const struct flo_order *order)
{
    struct flo_agent_event event = {.kind = FLO_AGENT_ORDER, .order = order};
    struct flo_agent_pauses pauses;

    if (order->op == FLO_ORDER_CONFIG) {
        if (flo_config_is_set(shell->settings.config, "heartbeat")) {
            /* the device's own word stands */
            flo_shell_answer(shell, order->id, "ignored", NULL);
            return;
        }
        flo_shell_set_heartbeat(shell, order->heartbeat_ms);
    }
    flo_shell_pauses(shell, &pauses);
    event.pauses = &pauses;
    event.fits_both = flo_shell_fits_both(shell, &shell->slots.current,
                                          &shell->slots.previous);
    flo_shell_event(shell, &event);
}

/* ---- where it stands
 * ------------------------------------------------------------------ */

static bool is_about_model(const struct flo_order *order)
{
    return order->op == FLO_ORDER_DEPLOY || order->op == FLO_ORDER_ROLLBACK;
}

/* Written or nothing: what only memory knows, the next start would not. */
static int keep(struct flo_shell *shell,
                const struct flo_order_verified *verified,
                struct flo_slots *record, struct flo_err *err)
{
    struct flo_slots record_before = *record;
    struct flo_device before = shell->device;
    struct flo_kept kept = flo_statement_keep(
        &shell->device, record, &verified->order, &verified->body);
    int rv;

    if (flo_shell_clock_claim(shell, verified->order.issued_at_ms)) {
        kept.device = true;
    }
    shell->device_is_dirty = shell->device_is_dirty || kept.device;
    rv = kept.slots ? flo_shell_record_keep(shell, record, err)
                    : flo_shell_device_keep(shell, err);
    if (rv < 0) {
        shell->device = before;
        *record = record_before;
        return rv;
    }
    if (kept.slots) { /* highest number and time may come later */
        flo_shell_device_write(shell);
    }
    if (kept.is_folded) {
        tell_folded(shell, record);
    }
    return 0;
}

/* Does a rollback take back what runs here, or is about to, and may not? */
static bool names_here(const struct flo_shell *shell,
                       const struct flo_order *order)
{
    const struct flo_agent *agent = &shell->agent;

    for (uint32_t i = 0; i < order->from_count; i++) {
        const struct flo_digest *from = &order->from[i];
        if ((flo_digest_equal(from, &agent->slots.current.digest) ||
             (agent->has_execution &&
              flo_digest_equal(from, &agent->execution.release.digest))) &&
            flo_slots_is_denied(&shell->slots, from, order->from_numbers[i])) {
            return true;
        }
    }
    return false;
}

/* An older rollback still denies what it takes back: where that runs, the
 * device goes back at once, and then on to what is assigned. */
static int take_superseded(struct flo_shell *shell,
                           const struct flo_order_verified *verified,
                           struct flo_slots *record, uint64_t by,
                           struct flo_err *err)
{
    const struct flo_order *order = &verified->order;
    const char *newer = "";
    int rv = keep(shell, verified, record, err);

    if (rv < 0) {
        return rv;
    }
    if (order->op == FLO_ORDER_ROLLBACK && record == &shell->slots &&
        names_here(shell, order)) {
        act(shell, order);
        shell->is_interrupted = true;
        return 0;
    }
    if (is_about_model(order) && record->stated.number == by) {
        newer = record->stated.order;
    }
    answer_superseded(shell, order->id, newer, by);
    return 0;
}

static int take_new(struct flo_shell *shell,
                    const struct flo_order_verified *verified,
                    struct flo_slots *record, struct flo_err *err)
{
    const struct flo_order *order = &verified->order;
    int rv = keep(shell, verified, record, err);

    if (rv < 0) {
        return rv;
    }
    if (order->op == FLO_ORDER_DEPLOY && record == &shell->slots) {
        shell->assigned = *order;
    }
    if (order->op == FLO_ORDER_DEPLOY) {
        deploy(shell, order, record, FLO_STATEMENT_NEW);
    } else {
        act(shell, order);
    }
    return 0;
}

static void take_again(struct flo_shell *shell, const struct flo_order *order,
                       const struct flo_slots *record)
{
    bool is_open = order->op == FLO_ORDER_ROLLBACK
                       ? record->stated.outcome == FLO_STATED_OPEN
                       : order->op != FLO_ORDER_CONFIG;

    if (order->op == FLO_ORDER_DEPLOY) {
        if (record == &shell->slots) {
            shell->assigned = *order;
        }
        deploy(shell, order, record, FLO_STATEMENT_AGAIN);
    } else if (answered_before(shell, order->id)) {
        return;
    } else if (is_open) { /* the power failed before it was answered */
        act(shell, order);
    } else {
        flo_shell_answer(shell, order->id,
                         order->op == FLO_ORDER_ROLLBACK &&
                                 record->stated.outcome != FLO_STATED_DONE
                             ? "refused"
                             : "done",
                         NULL);
    }
}

void flo_shell_converge(struct flo_shell *shell)
{
    const struct flo_order *order = &shell->assigned;

    if (!shell->is_interrupted || shell->agent.has_execution ||
        shell->agent.going_back.is_active) {
        return;
    }
    shell->is_interrupted = false;
    if (order->seq != 0 && order->seq == shell->slots.stated.number) {
        deploy(shell, order, &shell->slots, FLO_STATEMENT_NEW);
    }
}

static int admit(const struct flo_shell *shell, const struct flo_order *order,
                 struct flo_err *err)
{
    struct flo_agent_time time;

    flo_shell_clock_look(shell, &time);
    return flo_agent_order_admit(order, shell->identity.device,
                                 (const char(*)[FLO_NAME_MAX + 1])
                                     shell->identity.groups,
                                 shell->identity.group_count, &time, err);
}

/* Numbers of two lanes are never compared; the second one is not built. */
static int check_lane(const struct flo_order_verified *verified,
                      struct flo_err *err)
{
    return verified->role == FLO_ROLE_ORDER
               ? 0
               : flo_fail(err, FLO_E_NOT_BUILT,
                          "order %s: the lane of emergency keys is not built "
                          "yet",
                          verified->order.id);
}

/* 0: it was held against what is kept, and carried out where that lets it. */
static int take(struct flo_shell *shell,
                const struct flo_order_verified *verified, struct flo_err *err)
{
    const struct flo_order *order = &verified->order;
    struct flo_slots *record = &shell->slots;
    enum flo_standing standing;
    uint64_t by;
    int rv = admit(shell, order, err);

    if (rv == 0) {
        rv = check_lane(verified, err);
    }
    if (rv == 0) {
        rv = flo_epoch_admit(shell->device.epoch,
                             flo_trust_epoch(shell->identity.trust),
                             order->epoch, err);
    }
    if (rv == 0 && is_about_model(order)) {
        rv = flo_shell_record(shell, order->model, &record, err);
    }
    if (rv == 0) {
        rv = flo_statement_look(&shell->device, record, order, &verified->body,
                                &standing, &by, err);
    }
    if (rv < 0) {
        return rv;
    }
    switch (standing) {
    case FLO_STATEMENT_NEW:
        rv = take_new(shell, verified, record, err);
        break;
    case FLO_STATEMENT_AGAIN:
        take_again(shell, order, record);
        break;
    case FLO_STATEMENT_SUPERSEDED:
        rv = take_superseded(shell, verified, record, by, err);
        break;
    }
    return rv;
}

static void refuse(struct flo_shell *shell, const char *order, int code,
                   const struct flo_err *err)
{
    /* An order for others is nobody's fault; the rest is told once. */
    if (code == FLO_E_CMD_SCOPE) {
        flo_log(FLO_LOG_DEBUG, "order", "%s", err->what);
        return;
    }
    if (code == FLO_E_IO_OPEN || code == FLO_E_IO_READ ||
        code == FLO_E_STATE_SLOT) { /* nobody knows: no answer is wrong */
        flo_log_err(FLO_LOG_WARN, "order", err);
        return;
    }
    if (code == FLO_E_IO_WRITE || code == FLO_E_DISK_FULL) {
        flo_shell_note(shell, "note", err); /* it comes again */
        return;
    }
    if (order[0] != '\0' && answered_before(shell, order)) {
        return;
    }
    flo_shell_note(shell, "security", err);
    if (order[0] != '\0') {
        flo_shell_answer(shell, order, "refused",
                         json_pack("{s:s, s:s}", "id", flo_error_id(err->code),
                                   "what", err->what));
    }
}

/* Well signed, but of a later version: for whom it is can be read, and those
 * answer, or its rollout would wait for ever. */
static void refuse_unknown(struct flo_shell *shell,
                           const struct flo_order *order,
                           const struct flo_err *err)
{
    struct flo_err why = {0};
    int rv = admit(shell, order, &why);

    refuse(shell, order->id, rv < 0 ? rv : err->code, rv < 0 ? &why : err);
}

void flo_shell_order(struct flo_shell *shell, const json_t *envelope)
{
    static struct flo_order_verified verified; /* large, one thread */
    struct flo_buf text = {.bytes_max = FLO_ENVELOPE_BYTES_MAX};
    struct flo_err err = {0};
    int rv;

    if (shell->identity.trust == NULL) {
        return;
    }
    flo_json_dump_canonical(envelope, &text);
    rv = text.failed ? flo_fail(&err, FLO_E_META_TOO_LARGE, "order: too large")
                     : flo_order_verify(text.data, text.bytes,
                                        shell->identity.trust, &verified, &err);
    flo_buf_deinit(&text);
    if (rv == FLO_E_CMD_FORMAT && verified.order.id[0] != '\0') {
        refuse_unknown(shell, &verified.order, &err);
    } else if (rv < 0) {
        refuse(shell, "", rv, &err);
    } else {
        note_received(shell, verified.order.id);
        rv = take(shell, &verified, &err);
        if (rv < 0) {
            refuse(shell, verified.order.id, rv, &err);
        }
    }
    flo_shell_resume(shell); /* what was noted and answered goes out soon */
}

/* ---- without an order
 * ---------------------------------------------------------------------- */

/* Name and policy of an execution that no rollout began. */
static void name_own(struct flo_shell *shell, const char *word,
                     struct flo_agent_execution *execution)
{
    enum flo_execution end;
    bool has_ended;
    uint32_t attempts;
    char hex[FLO_DIGEST_TEXT];

    flo_digest_text(&execution->release.digest, hex);
    snprintf(execution->rollout, sizeof(execution->rollout), "%s.%.8s", word,
             hex + strlen("sha256:"));
    (void)flo_stories_last(shell->db, execution->rollout, &attempts, &has_ended,
                           &end);
    execution->attempt = attempts + 1;
    snprintf(execution->id, sizeof(execution->id), "%s.%u", execution->rollout,
             execution->attempt);
    flo_policy_default(&execution->policy);
    execution->policy.soak_ms =
        flo_config_u64(shell->settings.config, "bundle_soak");
}

void flo_shell_install(struct flo_shell *shell,
                       const struct flo_agent_execution *wanted)
{
    struct flo_agent_execution execution = *wanted;
    struct flo_agent_event event = {.kind = FLO_AGENT_DEPLOY};

    shell->installing = execution.release.digest;
    name_own(shell, "bundle", &execution);
    event.deploy.execution = &execution;
    allow_by_hand(shell, &execution.release.digest);
    flo_shell_refusal(&shell->slots, &execution.release.digest, 0,
                      &event.deploy.refusal);
    flo_shell_event(shell, &event);
}

void flo_shell_repair(struct flo_shell *shell,
                      const struct flo_release_ref *release)
{
    struct flo_agent_event event = {.kind = FLO_AGENT_DEPLOY};
    char digest[FLO_DIGEST_TEXT];

    flo_digest_text(&release->digest, digest);
    if (shell->is_local || !shell->identity.is_there) {
        flo_log(FLO_LOG_WARN, "store",
                "release %s is damaged and there is no controller to fetch it "
                "from",
                digest);
        return;
    }
    memset(&shell->repair, 0, sizeof(shell->repair));
    shell->repair.release = *release;
    name_own(shell, "repair", &shell->repair);
    event.deploy.execution = &shell->repair;
    flo_shell_refusal(&shell->slots, &release->digest, 0,
                      &event.deploy.refusal);
    flo_shell_event(shell, &event);
}
