/* Clock: gathers the sources of the time for flo_time_believe.
 *
 * A gateway without a battery-backed clock starts in 1970, and a controller's
 * clock may be a year ahead.  The belief decides whether an order or a peer's
 * certificate has expired; the machine's clock alone does not. */
#include <stdlib.h>

#include <flotilla/errors/clock.h>

#include "agent/shell/device/memory.h"
#include "base/host/tls_time.h"

/* change of the clock in ms that makes the agent check orders again */
#define SET_MS_MIN 60000
/* The belief is stored so often. */
#define KEEP_MS (UINT64_C(3600) * 1000)

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Returns the earliest time that a valid clock can show.  A clock that shows an
 * earlier one was never set. */
static uint64_t set_ms(const struct flo_shell *shell)
{
    return larger(flo_build_ms(), shell->identity.enrolled_at_ms);
}

static uint64_t carried(int64_t ahead_ms)
{
    return ahead_ms == 0 ? 0 : (uint64_t)((int64_t)flo_now_ms() + ahead_ms);
}

static int64_t ahead_of(uint64_t wall_ms)
{
    return (int64_t)wall_ms - (int64_t)flo_now_ms();
}

static void gather(const struct flo_shell *shell, struct flo_time_sources *out)
{
    const struct flo_identity_pairs *pairs = &shell->identity.pairs;
    const struct flo_certificate *own = &pairs->list[shell->identity.pair].facts;
    uint64_t own_ms = flo_time_needed(own->not_before_ms, own->not_after_ms);

    *out = (struct flo_time_sources){.clock_ms = flo_wall_ms(),
                                     .is_synchronised = flo_wall_is_kept(),
                                     .least_ms = set_ms(shell),
                                     .good_ms = carried(shell->records->good_ahead_ms),
                                     .said_ms = carried(shell->records->said_ahead_ms),
                                     .until_ms = shell->device.needed_until_ms};
    out->good_ms = out->good_ms != 0 ? out->good_ms : shell->device.trusted_time_ms;
    if (own_ms != 0 && (out->until_ms == 0 || own_ms < out->until_ms)) {
        out->until_ms = own_ms;
    }
}

static void believe(const struct flo_shell *shell, struct flo_time_belief *out)
{
    struct flo_time_sources sources;

    gather(shell, &sources);
    flo_time_believe(&sources, out);
}

/* Notes the belief in the record, for the next start: each hour, and when it
 * was corrected. */
static bool keep(struct flo_shell *shell)
{
    struct flo_time_belief belief;
    uint64_t *stored_ms = &shell->device.trusted_time_ms;

    believe(shell, &belief);
    if (belief.source >= FLO_TIME_OWN) {
        shell->records->good_ahead_ms = ahead_of(belief.now_ms);
    }
    if (belief.source < FLO_TIME_SAID ||
        (belief.now_ms >= *stored_ms && belief.now_ms - *stored_ms < KEEP_MS)) {
        return false;
    }
    *stored_ms = belief.now_ms;
    return true;
}

void flo_shell_clock_look(const struct flo_shell *shell, struct flo_agent_time *out)
{
    struct flo_time_belief belief;

    believe(shell, &belief);
    out->is_synchronised = belief.source >= FLO_TIME_OWN;
    out->clock_ms = out->is_synchronised || belief.source == FLO_TIME_RTC ? belief.now_ms : 0;
    out->trusted_ms = belief.now_ms;
}

bool flo_shell_clock_is_good(const struct flo_shell *shell)
{
    struct flo_time_belief belief;

    believe(shell, &belief);
    return belief.source >= FLO_TIME_OWN;
}

uint64_t flo_shell_clock_ms(const struct flo_shell *shell)
{
    struct flo_time_belief belief;

    believe(shell, &belief);
    return belief.now_ms;
}

/* Stores how far the wall clock is behind the trusted time.  A smaller lag than
 * before is not stored, so that the time for people never stands still. */
static void note_late(struct flo_shell *shell, uint64_t before_ms)
{
    uint64_t wall_ms = flo_wall_ms();
    uint64_t late_ms = larger(wall_ms, flo_shell_clock_ms(shell)) - wall_ms;

    shell->records->clock_late_ms = larger(before_ms, late_ms);
}

uint64_t flo_shell_clock_told_ms(const struct flo_shell *shell)
{
    return flo_wall_ms() + shell->records->clock_late_ms;
}

/* Tells whose clock is wrong, once until that changes: the controller's, where
 * this device's is good, else this device's.  `at_ms` is what the controller
 * says. */
static void tell_whose(struct flo_shell *shell, uint64_t at_ms)
{
    bool is_good = flo_shell_clock_is_good(shell);
    uint64_t own_ms = is_good ? flo_shell_clock_ms(shell) : flo_wall_ms();
    struct flo_time_sources sources = {.clock_ms = own_ms};
    bool is_ahead = is_good == (at_ms > own_ms);
    int code = flo_time_agrees(at_ms, &sources) ? 0
               : is_ahead                       ? FLO_E_CLOCK_AHEAD
                                                : FLO_E_CLOCK_BEHIND;
    struct flo_err err = {0};
    char text[2][25];

    if (code != 0 && code != shell->records->clock_told) {
        flo_time_text(at_ms, text[0]);
        flo_time_text(own_ms, text[1]);
        flo_fail(&err, code, "%s clock is wrong: the controller says %s, this device %s",
                 is_good ? "the controller's" : "this device's", text[0], text[1]);
        flo_log_err(FLO_LOG_WARN, "clock", &err);
        flo_shell_note(shell, "note", &err);
    }
    shell->records->clock_told = code;
}

bool flo_shell_clock_is_wrong(const struct flo_shell *shell, struct flo_err *err)
{
    struct flo_time_sources sources = {.clock_ms = flo_wall_ms()};
    uint64_t now_ms = flo_shell_clock_ms(shell);
    char text[2][25];

    if (flo_time_agrees(now_ms, &sources)) {
        return false;
    }
    flo_time_text(sources.clock_ms, text[0]);
    flo_time_text(now_ms, text[1]);
    flo_fail(err, sources.clock_ms > now_ms ? FLO_E_CLOCK_AHEAD : FLO_E_CLOCK_BEHIND,
             "this device's clock is wrong: it says %s, and it is about %s", text[0], text[1]);
    return true;
}

/* Notes how long the peer's certificate lasts, which the next connection needs.
 * One that begins later is of a clock that is ahead, or of a time that this
 * device slept through. */
static bool need(struct flo_shell *shell)
{
    uint64_t now_ms = flo_shell_clock_ms(shell), *needed_ms = &shell->device.needed_until_ms;
    uint64_t before_ms = *needed_ms, from_ms, until_ms;

    if (flo_tls_time_peer(&from_ms, &until_ms) &&
        (*needed_ms == 0 || (from_ms <= now_ms && now_ms < until_ms))) {
        *needed_ms = flo_time_needed(from_ms, until_ms);
    }
    return *needed_ms != before_ms;
}

bool flo_shell_clock_claim(struct flo_shell *shell, uint64_t at_ms, bool is_direct)
{
    struct flo_time_sources sources;
    uint64_t before_ms = flo_shell_clock_ms(shell);
    uint64_t *claimed_ms = &shell->device.claimed_time_ms;
    bool is_news = need(shell);

    gather(shell, &sources);
    uint64_t limit_ms = flo_time_limit(&sources);
    uint64_t said_ms = sources.said_ms != 0 ? sources.said_ms : before_ms;
    if (flo_time_agrees(at_ms, &sources)) {
        shell->records->good_ahead_ms = ahead_of(sources.clock_ms);
    }
    if (is_direct) {
        said_ms = at_ms < limit_ms ? at_ms : limit_ms;
        is_news = is_news || *claimed_ms != said_ms;
        shell->records->said_is_direct = true;
        tell_whose(shell, at_ms);
        *claimed_ms = said_ms;
    } else if (!shell->records->said_is_direct) {
        is_news = flo_time_claim(&said_ms, claimed_ms, at_ms, limit_ms) || is_news;
    }
    if (is_direct || sources.said_ms != 0 || said_ms > before_ms) {
        shell->records->said_ahead_ms = ahead_of(said_ms);
    }
    is_news = keep(shell) || is_news;
    bool went_back = flo_shell_clock_ms(shell) < before_ms;
    note_late(shell, went_back ? 0 : shell->records->clock_late_ms);
    return is_news;
}

bool flo_shell_clock_was_set(struct flo_shell *shell)
{
    int64_t before_ms = shell->records->clock_ahead_ms;
    int64_t ahead_ms = (int64_t)flo_wall_ms() - (int64_t)flo_now_ms();

    bool was_set = before_ms != 0 && llabs(ahead_ms - before_ms) > SET_MS_MIN;

    shell->records->clock_ahead_ms = ahead_ms;
    if (was_set) {
        note_late(shell, 0);
    }
    return was_set;
}

void flo_shell_clock_tell(struct flo_shell *shell)
{
    struct flo_time_belief belief;
    struct flo_err err = {0};

    shell->records->is_dirty = keep(shell) || shell->records->is_dirty;
    believe(shell, &belief);
    if (flo_tls_time_set(belief.now_ms, belief.source == FLO_TIME_KERNEL, &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "clock", &err);
    }
}

void flo_shell_clock_start(struct flo_shell *shell)
{
    uint64_t wall_ms = flo_wall_ms();
    struct flo_time_belief belief;
    struct flo_err err = {0};
    char text[2][25];

    note_late(shell, 0);
    flo_shell_clock_tell(shell);
    believe(shell, &belief);
    if (belief.source < FLO_TIME_RTC && wall_ms != belief.now_ms) {
        flo_time_text(wall_ms, text[0]);
        flo_time_text(belief.now_ms, text[1]);
        flo_fail(&err, FLO_E_CLOCK_UNTRUSTED,
                 "the clock says %.10s, and it is about %.10s: orders and "
                 "certificates are checked against that",
                 text[0], text[1]);
        flo_log_err(FLO_LOG_WARN, "clock", &err);
        flo_shell_note(shell, "note", &err);
    }
}

void flo_shell_clock_peer(struct flo_shell *shell)
{
    uint64_t from_ms, until_ms;

    if (flo_tls_time_peer(&from_ms, &until_ms) && flo_shell_clock_claim(shell, from_ms, false)) {
        shell->records->is_dirty = true;
    }
}
