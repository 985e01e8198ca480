/* Stand-in for commands on several controllers, in a command line without
 * them. */
#include "base/left_out.h"
#include "server-stub/cli/cli.h"

#define LEFT_OUT(command)                                                                          \
    int flo_cmd_##command(struct flo_cli *cli, struct flo_err *err)                                \
    {                                                                                              \
        (void)cli;                                                                                 \
        return flo_left_out(err, "PostgreSQL and several controllers", "FLOTILLA_POSTGRESQL");     \
    }

LEFT_OUT(controller_admit)
LEFT_OUT(controller_dismiss)
LEFT_OUT(controller_list)
