#include "agent/shell/renewal/renewal.h"

#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/certificate.h>

#include "agent/core/renew.h"
#include "agent/shell/identity/enrol_answer.h"
#include "agent/shell/queue/timers.h"
#include "agent/shell/renewal/asking.h"
#include "agent/shell/renewal/belief.h"

struct flo_renewal {
    struct flo_shell *shell;
    struct flo_renew core;
    struct event *tick;
    struct flo_asking *asking; /* renewal request in progress; NULL: none */
    bool is_proven;            /* a broker has accepted the certificate that is in use */
    struct flo_belief belief;
};

static struct flo_renew_now now(const struct flo_shell *shell)
{
    struct flo_renew_now now = {.now_ms = flo_now_ms(), .clock_ms = flo_shell_clock_ms(shell)};

    flo_random(&now.random, sizeof(now.random));
    return now;
}

static struct flo_renew_life life_of(const struct flo_identity *identity)
{
    const struct flo_pair *pair = &identity->pairs.list[identity->pair];
    struct flo_renew_life life = {.issued_ms = pair->issued_ms,
                                  .until_ms = pair->facts.not_after_ms,
                                  .taken_ms = pair->taken_ms};

    memcpy(&life.place, pair->facts.fingerprint.bytes, sizeof(life.place));
    return life;
}

/* Connects to the broker with the pair that is in use.  If memory is lacking,
 * the connection uses the old pair until the agent's next start. */
static void connect_with(struct flo_shell *shell, bool at_once)
{
    const struct flo_identity *identity = &shell->identity;
    struct flo_err err = {0};

    if (flo_shell_link_use(shell, identity->cert_file, identity->key_file, at_once, &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "certificate", &err);
    }
}

static void want(struct flo_shell *shell, enum flo_renew_why why)
{
    struct flo_renewal *renewal = shell->renewal;

    if (renewal != NULL) {
        struct flo_renew_now at = now(shell);
        flo_renew_want(&renewal->core, why, &at);
    }
}

/* ---- the answer ---- */

static void tell(struct flo_shell *shell, enum flo_renew_why why)
{
    const struct flo_identity *identity = &shell->identity;
    const struct flo_pair *pair = &identity->pairs.list[identity->pair];
    char until[25];

    flo_time_text(pair->facts.not_after_ms, until);
    flo_log(FLO_LOG_INFO, "certificate", "renewed (%s): number %llu until %s", flo_renew_word(why),
            (unsigned long long)pair->number, until);
    flo_events_add(shell->db, FLO_EVENT_NEWS,
                   json_pack("{s:s, s:s, s:I, s:I}", "type", "certificate", "why",
                             flo_renew_word(why), "number", (json_int_t)pair->number, "until_ms",
                             (json_int_t)pair->facts.not_after_ms),
                   NULL);
}

/* Stores the new pair (key and certificate), then uses it. */
static int take(struct flo_renewal *renewal, const struct flo_asked *asked,
                struct flo_renew_answer *answer, struct flo_err *err)
{
    struct flo_shell *shell = renewal->shell;
    struct flo_identity *identity = &shell->identity;
    size_t place;

    FLO_TRY(flo_renew_answer_read(asked->answer, asked->answer_bytes, identity->device,
                                  flo_key_public(asked->key)->keyid, answer, err));
    FLO_TRY(flo_belief_check(shell, answer->certificate, err));
    FLO_TRY(flo_pairs_write(&identity->pairs, identity->pair, asked->key, answer->certificate,
                            answer->at_ms, flo_shell_clock_ms(shell), &place, err));
    flo_identity_use(identity, place);
    flo_identity_link(identity);
    renewal->is_proven = false;
    /* The date of the new certificate is a source of the trusted time. */
    if (flo_shell_clock_claim(shell, identity->pairs.list[place].facts.not_before_ms, false)) {
        flo_shell_device_changed(shell);
    }
    connect_with(shell, true);
    return 0;
}

static void look_later(struct flo_renewal *renewal)
{
    flo_shell_later(renewal->tick, (unsigned)flo_renew_pause_ms(&renewal->core));
}

/* Keeps a refusal that a person must end. */
static void keep_refusal(struct flo_shell *shell, int rv, const struct flo_err *err)
{
    bool is_unknown = rv == FLO_E_CERT_UNKNOWN;

    shell->refusal.code = is_unknown || rv == FLO_E_CERT_REVOKED ? rv : 0;
    snprintf(shell->refusal.what, sizeof(shell->refusal.what),
             is_unknown ? "%.90s: flotilla device adopt %s at the controller"
                        : "%.90s: remove the identity of %s here, and enrol this machine again",
             err->what, shell->identity.device);
}

static void on_asked(void *context, const struct flo_asked *asked)
{
    struct flo_renewal *renewal = context;
    struct flo_shell *shell = renewal->shell;
    enum flo_renew_why why = renewal->core.why;
    struct flo_err err = asked->err;
    struct flo_renew_answer answer = {0};
    struct flo_renew_now at = now(shell);
    int rv = asked->answer != NULL ? take(renewal, asked, &answer, &err) : err.code;

    renewal->asking = NULL;
    keep_refusal(shell, rv, &err);
    if (rv == 0) {
        struct flo_renew_life life = life_of(&shell->identity);
        flo_renew_done(&renewal->core, &life, &at);
        tell(shell, why);
        if (flo_belief_of_answer(shell, answer.ca)) {
            want(shell, FLO_RENEW_AUTHORITY);
        }
    } else {
        flo_renew_failed(&renewal->core, asked->after_ms, &at);
        flo_log_err(FLO_LOG_WARN, "certificate", &err);
        flo_log(FLO_LOG_INFO, "certificate", "error id %s, again in %llu ms",
                flo_error_id(err.code), (unsigned long long)(renewal->core.next_ms - at.now_ms));
    }
    flo_renew_answer_deinit(&answer);
    look_later(renewal);
}

/* ---- looking ---- */

static void warn(struct flo_shell *shell)
{
    const struct flo_identity *identity = &shell->identity;
    struct flo_err err = {0};
    char until[25];

    flo_time_text(identity->pairs.list[identity->pair].facts.not_after_ms, until);
    flo_fail(&err, FLO_E_CERT_ENDING, "the certificate ends on %s and could not be renewed at %s",
             until, identity->controller);
    flo_shell_note(shell, "note", &err);
}

static void look(struct flo_renewal *renewal)
{
    struct flo_shell *shell = renewal->shell;
    struct flo_renew_now at = now(shell);
    struct flo_err err = {0};

    flo_identity_link(&shell->identity); /* an earlier try may have failed */
    if (flo_belief_of_statement(&renewal->belief, shell)) {
        want(shell, FLO_RENEW_AUTHORITY);
    }
    if (flo_renew_warns(&renewal->core, &at)) {
        warn(shell);
    }
    enum flo_renew_why why = flo_renew_look(&renewal->core, &at);
    if (why != FLO_RENEW_NOT) {
        flo_log(FLO_LOG_INFO, "certificate", "asking for the next: %s", flo_renew_word(why));
        bool is_split = renewal->core.wanted == FLO_RENEW_SPLIT;
        if (flo_asking_start(shell, is_split ? shell->life : NULL, on_asked, renewal,
                             &renewal->asking, &err) < 0) {
            flo_renew_failed(&renewal->core, 0, &at);
            flo_log_err(FLO_LOG_WARN, "certificate", &err);
        }
    }
    look_later(renewal);
}

static void on_tick(evutil_socket_t fd, short events, void *context)
{
    (void)fd, (void)events;
    look(context);
}

/* ---- what happens ---- */

void flo_renewal_connected(struct flo_shell *shell)
{
    if (shell->renewal != NULL) {
        shell->renewal->is_proven = true;
    }
}

/* Uses the other pair if it is still valid.  A broker may not know the
 * authority of the newest pair yet. */
static void try_other(struct flo_shell *shell)
{
    struct flo_identity *identity = &shell->identity;
    size_t other = identity->pair == 0 ? 1 : 0;
    const struct flo_pair *pair = &identity->pairs.list[other];

    if (pair->is_there && pair->facts.not_after_ms > flo_shell_clock_ms(shell)) {
        flo_identity_use(identity, other);
        flo_identity_link(identity);
        flo_log(FLO_LOG_INFO, "certificate", "refused: the next try is with number %llu",
                (unsigned long long)pair->number);
        connect_with(shell, false);
    }
}

void flo_renewal_refused(struct flo_shell *shell)
{
    if (shell->renewal != NULL && !shell->renewal->is_proven) {
        try_other(shell);
    }
    want(shell, FLO_RENEW_REFUSED);
}

void flo_renewal_asked(struct flo_shell *shell, const char *life)
{
    if (life[0] == '\0') {
        want(shell, FLO_RENEW_ASKED);
    } else if (strcmp(life, shell->life) == 0) {
        want(shell, FLO_RENEW_SPLIT);
    }
}

/* ---- the whole ---- */

int flo_renewal_open(struct flo_shell *shell, struct flo_err *err)
{
    struct flo_renewal *renewal;
    struct flo_renew_life life;
    struct flo_renew_now at;

    if (!shell->identity.is_there || shell->renewal != NULL) {
        return 0;
    }
    renewal = calloc(1, sizeof(*renewal));
    if (renewal == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "renewal");
    }
    renewal->shell = shell;
    renewal->tick = evtimer_new(shell->base, on_tick, renewal);
    if (renewal->tick == NULL) {
        free(renewal);
        return flo_fail(err, FLO_E_MEMORY, "renewal");
    }
    shell->renewal = renewal;
    life = life_of(&shell->identity);
    at = now(shell);
    flo_renew_begin(&renewal->core, &life, &at);
    look_later(renewal);
    return 0;
}

void flo_renewal_close(struct flo_shell *shell)
{
    struct flo_renewal *renewal = shell->renewal;

    if (renewal != NULL) {
        flo_asking_cancel(renewal->asking);
        event_free(renewal->tick);
        free(renewal);
        shell->renewal = NULL;
    }
}
