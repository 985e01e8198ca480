/* Questions that an order raises, and that the controller answers by HTTPS.
 *
 * Leap: an order whose number is far above the others waits until the controller
 * confirms that it issued as many.  Time: one that has expired, by what statements
 * said, waits until the controller says what the time is. */
#include "agent/shell/trust/memory.h"

#define TOLD_MS 30000 /* so long an answer about the time is about now */

uint64_t flo_shell_trust_order_number(const struct flo_shell *shell)
{
    return shell->trust->order_number;
}

bool flo_shell_leap_was_asked(const struct flo_shell *shell)
{
    return shell->trust->leap_ms != 0 && shell->trust->order_number_ms > shell->trust->leap_ms;
}

void flo_shell_leap_ask(struct flo_shell *shell)
{
    if (shell->trust->leap_ms == 0) {
        shell->trust->leap_ms = flo_now_ms();
    }
    flo_shell_trust_fetch(shell);
}

void flo_shell_leap_end(struct flo_shell *shell)
{
    shell->trust->leap_ms = 0;
}

bool flo_shell_time_was_asked(const struct flo_shell *shell)
{
    const struct flo_shell_trust *trust = shell->trust;

    return trust->time_ms != 0 && trust->order_number_ms > trust->time_ms &&
           flo_now_ms() - trust->order_number_ms < TOLD_MS;
}

void flo_shell_time_ask(struct flo_shell *shell)
{
    shell->trust->time_ms = flo_now_ms();
    flo_shell_trust_fetch(shell);
}
