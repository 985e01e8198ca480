/* Rooms: gives each room of the shell its memory, and frees it.  Only the room
 * itself can read it. */
#include "agent/shell/rooms.h"

#include <stdlib.h>

#include "agent/shell/derived/derived.h"
#include "agent/shell/device/device.h"
#include "agent/shell/hardware/hardware.h"
#include "agent/shell/loop.h"
#include "agent/shell/neighbours/neighbours.h"
#include "agent/shell/orders/orders.h"
#include "agent/shell/report/report.h"
#include "agent/shell/serving/serving.h"
#include "agent/shell/trust/trust.h"
#include "agent/shell/update/update.h"

struct flo_shell *flo_shell_new(void)
{
    struct flo_shell *shell = calloc(1, sizeof(*shell));

    if (shell != NULL &&
        !(flo_orders_begin(shell) && flo_derived_begin(shell) && flo_update_begin(shell) &&
          flo_neighbours_begin(shell) && flo_report_begin(shell) && flo_records_begin(shell) &&
          flo_trust_begin(shell) && flo_loop_begin(shell) && flo_serving_begin(shell) &&
          flo_hardware_begin(shell))) {
        flo_shell_free(shell);
        return NULL;
    }
    return shell;
}

void flo_shell_free(struct flo_shell *shell)
{
    if (shell != NULL) {
        free(shell->orders);
        free(shell->derived);
        free(shell->update);
        free(shell->neighbours);
        free(shell->report);
        free(shell->records);
        free(shell->trust);
        free(shell->loop);
        free(shell->serving);
        free(shell->hardware);
        free(shell);
    }
}
