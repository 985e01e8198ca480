/* Stand-in for commands on the keys of a fleet, in a command line without
 * them. */
#include "base/left_out.h"
#include "server-stub/cli/cli.h"

#define LEFT_OUT(command)                                                                          \
    int flo_cmd_##command(struct flo_cli *cli, struct flo_err *err)                                \
    {                                                                                              \
        (void)cli;                                                                                 \
        return flo_left_out(err, "the keys of a fleet", "FLOTILLA_TRUST");                         \
    }

LEFT_OUT(key_trust)
LEFT_OUT(emergency_account)
LEFT_OUT(emergency_allow)
LEFT_OUT(emergency_freeze)
LEFT_OUT(emergency_prompts)
LEFT_OUT(emergency_rollback)
LEFT_OUT(emergency_unfreeze)
LEFT_OUT(key_list)
LEFT_OUT(key_revoke)
LEFT_OUT(key_rotate)
LEFT_OUT(key_create)
LEFT_OUT(key_move)
LEFT_OUT(trust_init)
LEFT_OUT(trust_publish)
LEFT_OUT(trust_require)
LEFT_OUT(trust_show)
LEFT_OUT(trust_sign)
LEFT_OUT(trust_status)
LEFT_OUT(trust_verify)

/* Returns true, because no controller is needed to report that the command is
 * missing. */
bool flo_trust_is_local(int (*run)(struct flo_cli *cli, struct flo_err *err))
{
    static int (*const commands[])(struct flo_cli * cli, struct flo_err * err) = {
        flo_cmd_key_trust,          flo_cmd_emergency_account, flo_cmd_emergency_allow,
        flo_cmd_emergency_freeze,   flo_cmd_emergency_prompts, flo_cmd_emergency_rollback,
        flo_cmd_emergency_unfreeze, flo_cmd_key_list,          flo_cmd_key_revoke,
        flo_cmd_key_rotate,         flo_cmd_key_create,        flo_cmd_key_move,
        flo_cmd_trust_init,         flo_cmd_trust_publish,     flo_cmd_trust_show,
        flo_cmd_trust_sign,         flo_cmd_trust_status,      flo_cmd_trust_verify,
        flo_cmd_trust_require,
    };
    bool is_local = false;

    for (size_t i = 0; !is_local && i < FLO_COUNT(commands); i++) {
        is_local = run == commands[i];
    }
    return is_local;
}
