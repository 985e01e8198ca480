/* Run: addresses of the listeners; the loop is flo_controller_run. */
#ifndef FLOTILLA_SERVER_RUN_H
#define FLOTILLA_SERVER_RUN_H

#include "server-stub/shell/controller.h"

/* Hosts out of --listen and --listen-devices (certificates name them).
 * FLO_E_USAGE. */
FLO_MUST_USE int flo_run_hosts(struct flo_controller *controller,
                               struct flo_err *err);

#endif
