/* Clock: computes the trusted time of this device.
 *
 * A gateway without a battery-backed clock starts in 1970.  Trusted time is
 * never earlier than the build of this program, the enrolment (by the date of
 * the certificate), and the time that orders agree on.  It decides whether an
 * order or a peer's certificate has expired; the clock alone does not. */
#include <stdlib.h>
#include <sys/timex.h>

#include <flotilla/errors/clock.h>

#include "agent/shell/device/memory.h"
#include "base/host/tls_time.h"

/* change of the clock in ms that makes the agent check orders again */
#define SET_MS_MIN 60000

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static bool is_synchronised(void)
{
    /* with modes 0, adjtimex() only reads the kernel's state */
    struct timex kernel = {.modes = 0};

    return adjtimex(&kernel) >= 0 && (kernel.status & STA_UNSYNC) == 0;
}

/* Returns the earliest time that a valid clock can show.  A clock that shows an
 * earlier one was never set. */
static uint64_t set_ms(const struct flo_shell *shell)
{
    return larger(flo_build_ms(), shell->identity.enrolled_at_ms);
}

/* Returns the earliest possible time now, from sources other than the wall
 * clock.
 *
 * A synchronised clock overrules a later time that orders agreed on, such as
 * two orders of a controller whose clock was a year ahead. */
static uint64_t least_ms(const struct flo_shell *shell)
{
    bool is_denied = flo_wall_ms() >= set_ms(shell) && is_synchronised();

    return is_denied ? set_ms(shell) : flo_device_time(&shell->device, 0, set_ms(shell));
}

void flo_shell_clock_look(const struct flo_shell *shell, struct flo_agent_time *out)
{
    uint64_t wall_ms = flo_wall_ms();

    out->clock_ms = wall_ms < set_ms(shell) ? 0 : wall_ms;
    out->is_synchronised = out->clock_ms != 0 && is_synchronised();
    out->trusted_ms = larger(wall_ms, least_ms(shell));
}

uint64_t flo_shell_clock_ms(const struct flo_shell *shell)
{
    return larger(flo_wall_ms(), least_ms(shell));
}

/* Stores how far the wall clock is behind the trusted time.  A smaller lag than
 * before is not stored, so that the time for people never stands still. */
static void note_late(struct flo_shell *shell, uint64_t before_ms)
{
    uint64_t wall_ms = flo_wall_ms();
    uint64_t late_ms = larger(wall_ms, least_ms(shell)) - wall_ms;

    shell->records->clock_late_ms = larger(before_ms, late_ms);
}

uint64_t flo_shell_clock_told_ms(const struct flo_shell *shell)
{
    return flo_wall_ms() + shell->records->clock_late_ms;
}

/* Takes the time of an order, which is only one source of the time: see
 * updater/core/time.c. */
bool flo_shell_clock_claim(struct flo_shell *shell, uint64_t at_ms)
{
    struct flo_time_sources sources = {0};
    struct flo_agent_time time;
    uint64_t from_ms;

    flo_shell_clock_look(shell, &time);
    sources.clock_ms = time.clock_ms;
    sources.is_synchronised = time.is_synchronised;
    (void)flo_tls_time_peer(&from_ms, &sources.peer_until_ms);
    bool is_news = flo_time_claim(&shell->device.trusted_time_ms, &shell->device.claimed_time_ms,
                                  at_ms, flo_time_limit(&sources));
    note_late(shell, shell->records->clock_late_ms);
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

void flo_shell_clock_tell(const struct flo_shell *shell)
{
    struct flo_err err = {0};

    if (flo_tls_time_set(least_ms(shell), is_synchronised(), &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "clock", &err);
    }
}

void flo_shell_clock_start(struct flo_shell *shell)
{
    uint64_t wall_ms = flo_wall_ms();
    uint64_t least = least_ms(shell);
    struct flo_err err = {0};
    char text[2][25];

    note_late(shell, 0);
    flo_shell_clock_tell(shell);
    if (wall_ms < least) {
        flo_time_text(wall_ms, text[0]);
        flo_time_text(least, text[1]);
        flo_fail(&err, FLO_E_CLOCK_UNTRUSTED,
                 "the clock says %.10s, and it is %.10s or later: orders and "
                 "certificates are checked against that",
                 text[0], text[1]);
        flo_log_err(FLO_LOG_WARN, "clock", &err);
        flo_shell_note(shell, "note", &err);
    }
}

void flo_shell_clock_peer(struct flo_shell *shell)
{
    uint64_t from_ms;
    uint64_t until_ms;

    if (flo_tls_time_peer(&from_ms, &until_ms) && flo_shell_clock_claim(shell, from_ms)) {
        shell->records->is_dirty = true;
    }
}
