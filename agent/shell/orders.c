/* Orders: from an envelope to an event of the core.
 *
 * Verified, in scope, not expired, not of a superseded controller.  An order
 * that was used before is answered with its stored outcome; one that was used
 * but has no outcome yet (the power failed in between) is carried out, which
 * is harmless: the core is idempotent.  A number that another order used, or
 * nobody knows which, acts never again.  A deploy order stands for a state, not
 * for an act: its rollout decides whether it was done. */
#include <stdlib.h>
#include <string.h>
#include <sys/timex.h>

#include "agent/shell/shell.h"

/* Trusted time is never before this release was made (2026-11-20). */
#define BUILD_MS UINT64_C(1795132800000)

static uint64_t trusted_now_ms(const struct flo_shell *shell)
{
    return flo_device_time(&shell->device, flo_wall_ms(), BUILD_MS);
}

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

void flo_shell_answer(struct flo_shell *shell, const char *order,
                      const char *outcome, json_t *error)
{
    struct flo_buf text = {0};
    json_t *json =
        json_pack("{s:i, s:s, s:s, s:I, s:I}", "v", 1, "order", order,
                  "outcome", outcome, "at_ms", (json_int_t)flo_wall_ms(),
                  "took_ms", (json_int_t)took_ms(shell, order));

    if (json == NULL) {
        json_decref(error);
        return;
    }
    if (error != NULL) {
        json_object_set_new(json, "error", error);
    }
    flo_json_dump(json, &text);
    json_decref(json);
    if (!text.failed) {
        flo_mailbox_answer(shell->mailbox, order, text.data);
        flo_shell_link_ack(shell, order, text.data);
    }
    flo_buf_deinit(&text);
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

/* Send the stored outcome again; false: there is none, or it was no end.
 *
 * A group's list holds what was ordered before, and comes with each connection
 * and each change: what was told is not told again for that.  Whose answer got
 * lost all the same the controller asks by name (cmd). */
static bool answered_before(struct flo_shell *shell, const char *order)
{
    char *text = flo_mailbox_answer_of(shell->mailbox, order);
    bool is_final = text != NULL && flo_mailbox_answer_is_final(text);

    if (is_final && !(shell->is_list && was_told(shell, order))) {
        flo_shell_link_ack(shell, order, text);
    }
    free(text);
    return is_final;
}

/* It is done, whatever became of the stored outcome. */
static void answer_again(struct flo_shell *shell, const char *order)
{
    if (!answered_before(shell, order)) {
        flo_shell_answer(shell, order, "ignored", NULL);
    }
}

/* ---- used numbers ------------------------------------------------------ */

static void number_of(const struct flo_order_verified *verified, char *out,
                      size_t out_bytes)
{
    snprintf(out, out_bytes, "%.16s.%u.%llu", verified->keyid,
             verified->order.epoch, (unsigned long long)verified->order.seq);
}

/* The order's number is used from now on; the device record is written with
 * the order's effect. */
static void use(struct flo_shell *shell,
                const struct flo_order_verified *verified, bool is_done)
{
    const struct flo_order *order = &verified->order;
    char number[64];

    number_of(verified, number, sizeof(number));
    flo_mailbox_use(shell->mailbox, number, order->id, is_done);
    if (flo_device_order_accept(&shell->device, verified->keyid, order->epoch,
                                order->seq, order->issued_at_ms, NULL) == 0) {
        shell->device_is_dirty = true;
    }
}

/* ---- the deny list ---------------------------------------------------- */

/* Key of the note that a denial was ordered, and when. */
static void note_key(const struct flo_digest *release, char *out,
                     size_t out_bytes)
{
    char text[FLO_DIGEST_TEXT];

    flo_digest_text(release, text);
    snprintf(out, out_bytes, "ordered-denial:%s", text);
}

void flo_shell_deny(struct flo_shell *shell,
                    const struct flo_agent_action *action)
{
    const struct flo_digest *release = &action->release.digest;
    char key[128];
    char at[24];

    note_key(release, key, sizeof(key));
    if (!action->flag) { /* its own fault: nothing lifts that */
        flo_mailbox_set(shell->mailbox, key, "");
    } else if (!flo_device_is_denied(&shell->device, release)) {
        snprintf(at, sizeof(at), "%llu",
                 (unsigned long long)(action->at_ms != 0
                                          ? action->at_ms
                                          : trusted_now_ms(shell)));
        flo_mailbox_set(shell->mailbox, key, at);
    }
    flo_device_deny(&shell->device, release);
    shell->device_is_dirty = true;
}

/* A release that somebody took back may come again by a newer order; one that
 * failed here may not. */
static bool is_denied(struct flo_shell *shell, const struct flo_digest *release,
                      uint64_t issued_at_ms)
{
    char key[128];
    char *at;
    bool is_lifted;

    if (!flo_device_is_denied(&shell->device, release)) {
        return false;
    }
    note_key(release, key, sizeof(key));
    at = flo_mailbox_get(shell->mailbox, key);
    is_lifted =
        at != NULL && at[0] != '\0' && issued_at_ms > strtoull(at, NULL, 10);
    free(at);
    if (is_lifted) {
        flo_device_allow(&shell->device, release);
        shell->device_is_dirty = true;
    }
    return !is_lifted;
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

static void deploy(struct flo_shell *shell,
                   const struct flo_order_verified *verified,
                   enum flo_used used)
{
    const struct flo_order *order = &verified->order;
    struct flo_agent_execution execution;
    struct flo_agent_event event = {.kind = FLO_AGENT_DEPLOY};
    enum flo_execution end = FLO_EXECUTION_QUEUED;
    bool has_ended = false;
    uint32_t attempts = 0;
    bool is_known = flo_mailbox_story(shell->mailbox, order->rollout, &attempts,
                                      &has_ended, &end);

    if (is_known && has_ended) {
        use(shell, verified, true);
        if (!answered_before(shell, order->id)) {
            bool is_good = flo_execution_kind(end) == FLO_EXECUTION_END_GOOD;
            flo_shell_answer(shell, order->id, is_good ? "done" : "ignored",
                             NULL);
        }
        return;
    }
    if (!is_known && used == FLO_USED_DONE) {
        answer_again(shell, order->id);
        return;
    }
    execution_of(order, is_known ? attempts : attempts + 1, &execution);
    event.deploy.execution = &execution;
    event.deploy.is_denied =
        is_denied(shell, &order->release, order->issued_at_ms);
    flo_shell_event(shell, &event);
    use(shell, verified, is_known); /* signed anew: it begins nothing */
    flo_shell_device_write(shell);
}

/* ---- everything else
 * ------------------------------------------------------------------ */

static void act(struct flo_shell *shell,
                const struct flo_order_verified *verified, enum flo_used used)
{
    const struct flo_order *order = &verified->order;
    struct flo_agent_event event = {.kind = FLO_AGENT_ORDER, .order = order};

    /* What a rollback took back a newer order may have brought again. */
    if (used == FLO_USED_DONE ||
        (used == FLO_USED_BEFORE && order->op == FLO_ORDER_ROLLBACK)) {
        answer_again(shell, order->id);
        return;
    }
    if (order->op == FLO_ORDER_CONFIG) {
        if (flo_config_is_set(shell->settings.config, "heartbeat")) {
            use(shell, verified, true); /* the device's own word stands */
            flo_shell_device_write(shell);
            flo_shell_answer(shell, order->id, "ignored", NULL);
            return;
        }
        flo_shell_set_heartbeat(shell, order->heartbeat_ms);
    }
    event.fits_both = flo_shell_fits_both(shell, &shell->slots.current,
                                          &shell->slots.previous);
    use(shell, verified, false);
    flo_shell_event(shell, &event);
}

static void look_at_clock(const struct flo_shell *shell,
                          struct flo_agent_time *out)
{
    struct timex kernel = {.modes = 0}; /* asks only */
    uint64_t wall_ms = flo_wall_ms();

    out->clock_ms = wall_ms < BUILD_MS ? 0 : wall_ms;
    out->is_synchronised =
        adjtimex(&kernel) >= 0 && (kernel.status & STA_UNSYNC) == 0;
    out->trusted_ms = flo_device_time(&shell->device, wall_ms, BUILD_MS);
}

static int admit(const struct flo_shell *shell, const struct flo_order *order,
                 struct flo_err *err)
{
    struct flo_agent_time time;

    look_at_clock(shell, &time);
    return flo_agent_order_admit(order, shell->identity.device,
                                 (const char(*)[FLO_NAME_MAX + 1])
                                     shell->identity.groups,
                                 shell->identity.group_count, &time, err);
}

/* 0: it may act, for the first time or (`used`) again; or why not. */
static int check(struct flo_shell *shell,
                 const struct flo_order_verified *verified, enum flo_used *used,
                 struct flo_err *err)
{
    const struct flo_order *order = &verified->order;
    char number[64];
    int rv = admit(shell, order, err);

    if (rv < 0) {
        return rv;
    }
    number_of(verified, number, sizeof(number));
    *used = flo_mailbox_used(shell->mailbox, number, order->id);
    rv = flo_device_order_check(&shell->device, verified->keyid, order->epoch,
                                order->seq, err);
    if (*used == FLO_USED_BY_ANOTHER) {
        return flo_fail(err, FLO_E_CMD_NONCE_REUSED,
                        "order %s: another order had its seq %llu", order->id,
                        (unsigned long long)order->seq);
    }
    if (rv == FLO_E_CMD_NONCE_REUSED && *used == FLO_USED_UNREADABLE) {
        return flo_fail(err, FLO_E_DB,
                        "order %s: its seq %llu was used, and without an "
                        "outbox nobody knows by whom",
                        order->id, (unsigned long long)order->seq);
    }
    return rv == FLO_E_CMD_NONCE_REUSED && *used != FLO_USED_UNKNOWN ? 0 : rv;
}

static void refuse(struct flo_shell *shell, const char *order, int code,
                   const struct flo_err *err)
{
    /* An order for others is nobody's fault; the rest is told once. */
    if (code == FLO_E_CMD_SCOPE) {
        flo_log(FLO_LOG_DEBUG, "order", "%s", err->what);
        return;
    }
    if (code == FLO_E_DB) { /* perhaps it was done: no answer is wrong */
        flo_log_err(FLO_LOG_WARN, "order", err);
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
    enum flo_used used = FLO_USED_UNKNOWN;
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
        rv = check(shell, &verified, &used, &err);
        if (rv < 0) {
            refuse(shell, verified.order.id, rv, &err);
        } else if (verified.order.op == FLO_ORDER_DEPLOY) {
            deploy(shell, &verified, used);
        } else {
            act(shell, &verified, used);
        }
    }
    flo_shell_resume(shell); /* what was noted and answered goes out soon */
}

/* ---- pauses ---- */

void flo_shell_pauses_keep(struct flo_shell *shell)
{
    const struct flo_agent_pauses *pauses = &shell->agent.pauses;
    struct flo_buf text = {0};
    size_t i;

    for (i = 0; i < FLO_AGENT_PAUSED_MAX; i++) {
        flo_buf_printf(&text, "%s ", pauses->rollouts[i]);
    }
    if (!text.failed) {
        flo_mailbox_set(shell->mailbox, "paused", text.data);
    }
    flo_buf_deinit(&text);
}

void flo_shell_pauses_load(struct flo_shell *shell,
                           struct flo_agent_pauses *out)
{
    char *text = flo_mailbox_get(shell->mailbox, "paused");
    char *rest = NULL;
    char *word = text == NULL ? NULL : strtok_r(text, " ", &rest);
    size_t i;

    memset(out, 0, sizeof(*out));
    for (i = 0; i < FLO_AGENT_PAUSED_MAX && word != NULL; i++) {
        snprintf(out->rollouts[i], sizeof(out->rollouts[i]), "%s", word);
        word = strtok_r(NULL, " ", &rest);
    }
    free(text);
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
    (void)flo_mailbox_story(shell->mailbox, execution->rollout, &attempts,
                            &has_ended, &end);
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
    event.deploy.is_denied = /* whoever stands here is newer than any order */
        is_denied(shell, &execution.release.digest, UINT64_MAX);
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
    event.deploy.is_denied =
        flo_device_is_denied(&shell->device, &release->digest);
    flo_shell_event(shell, &event);
}
