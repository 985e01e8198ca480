/* Checkup stand-in: a device without checkups refuses the order `doctor`. */
#include "agent/shell/hardware/hardware.h"
#include "base/left_out.h"

int flo_hardware_checkup(struct flo_shell *shell, json_t *out, struct flo_err *err)
{
    (void)shell, (void)out;
    return flo_left_out(err, "checkups", "FLOTILLA_CHECKUP");
}
