/* Stand-in for commands about a whole fleet, in a command line without them. */
#include "base/left_out.h"
#include "server-stub/cli/cli.h"
#include "server-stub/cli/rollout/rollout.h"

static int left_out(struct flo_err *err)
{
    return flo_left_out(err, "a look into the whole fleet", "FLOTILLA_OVERVIEW");
}

int flo_rollout_explain_evidence(struct flo_cli *cli, const char *id, struct flo_err *err)
{
    (void)cli, (void)id;
    return left_out(err);
}

#define LEFT_OUT(command)                                                                          \
    int flo_cmd_##command(struct flo_cli *cli, struct flo_err *err)                                \
    {                                                                                              \
        (void)cli;                                                                                 \
        return left_out(err);                                                                      \
    }

LEFT_OUT(top)
LEFT_OUT(doctor)
LEFT_OUT(telemetry_away)
LEFT_OUT(telemetry_query)
LEFT_OUT(audit_verify)
LEFT_OUT(experiment_get)
LEFT_OUT(experiment_list)
LEFT_OUT(experiment_promote)
LEFT_OUT(experiment_start)
LEFT_OUT(experiment_stop)
