/* Records: what other rooms ask about the device's records, and say of them. */
#include "agent/shell/device/memory.h"

struct flo_slots *flo_shell_other(struct flo_shell *shell)
{
    return &shell->records->other;
}

void flo_shell_device_changed(struct flo_shell *shell)
{
    shell->records->is_dirty = true;
}

bool flo_shell_device_is_unread(const struct flo_shell *shell)
{
    return shell->records->is_unread;
}

bool flo_shell_device_is_moved(const struct flo_shell *shell)
{
    return shell->records->is_moved;
}

bool flo_shell_trust_is_behind(const struct flo_shell *shell)
{
    return shell->records->trust_is_behind;
}

void flo_shell_orders_again(struct flo_shell *shell)
{
    shell->records->orders_are_due = true;
}

bool flo_shell_orders_are_due(const struct flo_shell *shell)
{
    return shell->records->orders_are_due;
}

void flo_shell_orders_asked(struct flo_shell *shell)
{
    shell->records->orders_are_due = false;
}

const struct flo_agent_error *flo_shell_degraded(const struct flo_shell *shell, uint64_t *since_ms)
{
    *since_ms = shell->records->degraded.since_ms;
    return shell->records->degraded.error.code == 0 ? NULL : &shell->records->degraded.error;
}
