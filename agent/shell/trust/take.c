#include "agent/shell/trust/memory.h"
#include "agent/shell/trust/trust.h"

#include <string.h>

#include <flotilla/errors/io.h>
#include <flotilla/errors/meta.h>
#include <flotilla/errors/sig.h>
#include <flotilla/errors/target.h>
#include <flotilla/errors/trust.h>

/* ---- what a statement changes ---- */

/* Tells whether a release's number is below the minimum release.  The number is
 * known from its document or from its order. */
static bool is_below(const struct flo_shell *shell, uint32_t index,
                     const struct flo_digest *release)
{
    const struct flo_shell_model *model = &shell->models[index];
    uint64_t number = flo_digest_equal(release, &model->slots.candidate)
                          ? model->slots.candidate_number
                      : flo_digest_equal(release, &model->assigned.release) ? model->assigned.number
                                                                            : 0;

    return number > 0 && number < flo_trust_floor(shell->identity.trust, model->slots.model);
}

/* Checks the release that is being installed against the trusted keys, if its
 * files are on the device.  A running job checks its release when it ends. */
static void look_at_candidate(const struct flo_shell *shell, uint32_t index,
                              struct flo_agent_error *out)
{
    const struct flo_agent_model *agent = &shell->agent.models[index];
    const struct flo_digest *release = &agent->execution.release.digest;
    struct flo_err err = {0};

    if (!agent->has_execution) {
        return;
    }
    if (flo_trust_is_release_revoked(shell->identity.trust, release)) {
        flo_shell_refusal(shell->identity.trust, &shell->models[index].slots, release, 0, out);
    } else if (is_below(shell, index, release)) {
        out->code = FLO_E_TARGET_FLOOR;
        snprintf(out->what, sizeof(out->what), "trust statement %llu raised the floor above it",
                 (unsigned long long)flo_trust_number(shell->identity.trust));
    } else if (flo_digest_equal(release, &shell->models[index].slots.candidate) &&
               flo_shell_check_signature(shell, release, &err) < 0) {
        out->code = err.code;
        snprintf(out->what, sizeof(out->what), "%.255s", err.what);
    }
}

static void act_on_model(struct flo_shell *shell, uint32_t index)
{
    struct flo_shell_model *model = &shell->models[index];
    struct flo_agent_event event = {.kind = FLO_AGENT_TRUST, .model = index};
    uint64_t floor = model->slots.floor_hard;

    if (model->slots.model[0] == '\0') {
        return;
    }
    look_at_candidate(shell, index, &event.error);
    event.is_forgotten = flo_slots_is_forgotten(&model->slots, shell->identity.trust) &&
                         !shell->agent.models[index].going_back.is_active;
    flo_slots_raise_floor(&model->slots, shell->identity.trust);
    if (event.is_forgotten) {
        flo_slots_forget(&model->slots, shell->identity.trust);
    }
    model->slots_is_dirty =
        model->slots_is_dirty || event.is_forgotten || model->slots.floor_hard != floor;
    flo_queue_post(&shell->queue, &event);
}

/* Ends an emergency freeze if no key is trusted any more that could end it. */
static void end_freeze(struct flo_shell *shell)
{
    static const struct flo_order unfreeze = {.op = FLO_ORDER_UNFREEZE};
    const struct flo_agent_event event = {.kind = FLO_AGENT_ORDER, .order = &unfreeze};

    if (shell->agent.is_frozen && !shell->device.is_frozen && !shell->device.is_frozen_emergency) {
        flo_queue_post(&shell->queue, &event);
    }
}

static void tell(struct flo_shell *shell)
{
    const struct flo_trust *trust = shell->identity.trust;

    flo_log(FLO_LOG_INFO, "trust", "statement %llu holds: %zu keys, epoch %u",
            (unsigned long long)flo_trust_number(trust), flo_trust_count(trust),
            flo_trust_epoch(trust));
    flo_events_add(shell->db, FLO_EVENT_NEWS,
                   json_pack("{s:s, s:I, s:I}", "type", "trust", "number",
                             (json_int_t)flo_trust_number(trust), "epoch",
                             (json_int_t)flo_trust_epoch(trust)),
                   NULL);
    shell->agent.revision++; /* a new revision makes the agent send a report */
}

/* Applies a change of the trusted keys, once for all statements of a
 * message. */
static void act(struct flo_shell *shell)
{
    for (uint32_t i = 0; i < FLO_AGENT_MODELS_MAX; i++) {
        act_on_model(shell, i);
    }
    end_freeze(shell);
    flo_shell_orders_again(shell); /* orders that an unknown key signed are requested again */
    flo_shell_records_write(shell);
    tell(shell);
    /* without a model no event was posted that would wake the loop, so it is
     * woken here */
    flo_queue_wake(&shell->queue);
}

/* ---- taking ---- */

static int check_here(const struct flo_shell *shell, struct flo_err *err)
{
    if (shell->identity.trust == NULL) {
        flo_fail(err, FLO_E_STATE, "no trusted keys are here yet");
        return flo_err_fix(err, "flotilla-agent enroll");
    }
    return flo_shell_device_is_unread(shell)
               ? flo_fail(err, FLO_E_STATE,
                          "slots/_device.bin cannot be read: the trusted keys "
                          "stay as they are")
               : 0;
}

static int check_way(const struct flo_shell *shell, enum flo_trust_way way,
                     const struct flo_trust *next, struct flo_err *err)
{
    return way == FLO_TRUST_BY_CONTROLLER || flo_trust_is_signed(shell->identity.trust)
               ? 0
               : flo_fail(err, FLO_E_TRUST_FIRST,
                          "trust statement %llu came by another way; here is a "
                          "list that nobody signed",
                          (unsigned long long)flo_trust_number(next));
}

/* Names both statements in the error, from which the controller raises an alert
 * (server-stub/state/foreign.h). */
static void name_both(const struct flo_trust *held, const struct flo_trust *refused, int code,
                      struct flo_err *err)
{
    char a[FLO_DIGEST_TEXT], b[FLO_DIGEST_TEXT];

    flo_digest_text(flo_trust_digest(refused), a);
    flo_digest_text(flo_trust_digest(held), b);
    flo_wrap(err, code, "refused %s, held %s", a, b);
}

static int take(struct flo_shell *shell, enum flo_trust_way way, const char *text, size_t bytes,
                enum flo_trust_standing *standing, struct flo_err *err)
{
    FLO_CLEANUP(flo_trust_cleanup) struct flo_trust *next = NULL;

    FLO_TRY(check_here(shell, err));
    FLO_TRY(flo_trust_parse(text, bytes, &next, err));
    if (!flo_trust_is_signed(next)) {
        return flo_fail(err, FLO_E_META_WRONG_TYPE,
                        "an unsigned list of keys comes at enrolment alone");
    }
    FLO_TRY(check_way(shell, way, next, err));
    int rv = flo_trust_follows(shell->identity.trust, next, standing, err);
    if (rv < 0) {
        name_both(shell->identity.trust, next, rv, err);
        return rv;
    }
    if (*standing != FLO_TRUST_NEXT) {
        return rv;
    }
    /* The trust file is written before the device record.  If the agent finds
     * at its start that the file is newer than the record, it completes the
     * change. */
    FLO_TRY(flo_trust_store(shell->identity.trust_file, next, err));
    struct flo_trust *before = shell->identity.trust;
    shell->identity.trust = next;
    next = before;
    flo_shell_trust_hold(shell);
    return 0;
}

static int take_one(struct flo_shell *shell, enum flo_trust_way way, const json_t *envelope,
                    enum flo_trust_standing *standing, struct flo_err *err)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};

    /* the text needs no limit, because the reader of the message limited the
     * envelope */
    flo_json_dump_canonical(envelope, &text);
    return text.failed ? flo_fail(err, FLO_E_MEMORY, "a trust statement")
                       : take(shell, way, (const char *)text.data, text.bytes, standing, err);
}

uint64_t flo_shell_trust_number(const struct flo_shell *shell)
{
    return shell->identity.trust == NULL ? 0 : flo_trust_number(shell->identity.trust);
}

static int take_list(struct flo_shell *shell, enum flo_trust_way way, const json_t *const *list,
                     size_t count, enum flo_trust_standing *standing, struct flo_err *err)
{
    uint64_t before = flo_shell_trust_number(shell);
    int rv = 0;

    *standing = FLO_TRUST_SAME;
    for (size_t i = 0; rv == 0 && i < count; i++) {
        rv = take_one(shell, way, list[i], standing, err);
    }
    if (flo_shell_trust_number(shell) != before) {
        act(shell);
    }
    return rv;
}

int flo_shell_trust_by_hand(struct flo_shell *shell, const json_t *envelope, uint64_t *number,
                            struct flo_err *err)
{
    const json_t *list[] = {envelope};
    enum flo_trust_standing standing;
    int rv = take_list(shell, FLO_TRUST_BY_ANYBODY, list, 1, &standing, err);

    *number = flo_shell_trust_number(shell);
    FLO_TRY(rv);
    return standing == FLO_TRUST_GAP ? flo_fail(err, FLO_E_TRUST_NUMBER,
                                                "statements between number %llu and this one are "
                                                "missing",
                                                (unsigned long long)*number)
                                     : 0;
}

bool flo_shell_trust_is_ours(int code)
{
    return code == FLO_E_IO_OPEN || code == FLO_E_IO_READ || code == FLO_E_IO_WRITE ||
           code == FLO_E_DISK_FULL || code == FLO_E_MEMORY || code == FLO_E_DESCRIPTORS ||
           code == FLO_E_STATE;
}

bool flo_shell_trust_hear(struct flo_shell *shell, enum flo_trust_way way,
                          const json_t *const *list, size_t count)
{
    enum flo_trust_standing standing;
    struct flo_err err = {0};
    int rv = take_list(shell, way, list, count, &standing, &err);

    /* A device accepts its first statement only from the controller by HTTPS.
     * One that comes in another way is no attack, so it is only logged. */
    if (rv == FLO_E_TRUST_FIRST) {
        flo_log_err(FLO_LOG_INFO, "trust", &err);
        return true;
    }
    if (rv < 0) {
        bool is_ours = flo_shell_trust_is_ours(rv);
        flo_shell_note(shell, is_ours ? "note" : "security", &err);
        if (is_ours) {
            flo_shell_orders_again(shell);
        }
    }
    return rv == 0 && standing == FLO_TRUST_GAP;
}

/* ---- what serves, and what served before ---- */

/* Drops the previous release if it is revoked or below the minimum release, so
 * that no rollback goes to it.  While a rollback is in progress, it is not
 * dropped yet. */
static void forget_previous(struct flo_shell *shell, uint32_t index)
{
    struct flo_shell_model *model = &shell->models[index];
    const struct flo_agent_event event = {
        .kind = FLO_AGENT_TRUST, .model = index, .is_forgotten = true};

    if (shell->agent.models[index].going_back.is_active ||
        !flo_slots_is_forgotten(&model->slots, shell->identity.trust)) {
        return;
    }
    flo_slots_forget(&model->slots, shell->identity.trust);
    model->slots_is_dirty = true;
    flo_queue_post(&shell->queue, &event);
}

void flo_shell_trust_look(struct flo_shell *shell, uint32_t index)
{
    struct flo_shell_model *model = &shell->models[index];
    const struct flo_digest *current = &model->slots.current;
    uint64_t number = flo_shell_trust_number(shell);
    struct flo_err err = {0};

    if (number <= 1 || flo_shell_trust_is_behind(shell)) {
        return;
    }
    forget_previous(shell, index);
    if (model->signature.number == number && flo_digest_equal(&model->signature.release, current)) {
        return;
    }
    model->signature.release = *current;
    model->signature.number = number;
    model->signature.why = 0;
    if (flo_digest_is_zero(current)) {
        return;
    }
    int rv = flo_shell_check_signature(shell, current, &err);
    if (rv == FLO_E_SIG_UNKNOWN_KEY || rv == FLO_E_SIG_REVOKED_KEY || rv == FLO_E_TARGET_REVOKED ||
        rv == FLO_E_TRUST_PUBLISHERS) {
        model->signature.why = rv;
        flo_wrap(&err, rv, "%s serves on", model->slots.model);
        flo_shell_note(shell, "security", &err);
        shell->agent.revision++;
    }
}
