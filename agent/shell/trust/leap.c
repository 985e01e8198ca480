/* Leap: an order whose number is far above the others waits until the controller
 * confirms by HTTPS that it issued as many. */
#include "agent/shell/trust/memory.h"

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
