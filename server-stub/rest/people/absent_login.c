/* REST: login by an identity provider, in a build without it. The page learns
 * that there is no provider. */
#include "base/left_out.h"
#include "server-stub/rest/rest.h"

static int left_out(struct flo_err *err)
{
    return flo_left_out(err, "an identity provider", "FLOTILLA_OIDC");
}

int flo_rest_login(struct flo_rest_call *call, struct flo_err *err)
{
    (void)err;
    call->out = json_pack("{s:n,s:n}", "name", "issuer");
    return 0;
}

int flo_rest_login_start(struct flo_rest_call *call, struct flo_err *err)
{
    (void)call;
    return left_out(err);
}

int flo_rest_login_finish(struct flo_rest_call *call, struct flo_err *err)
{
    (void)call;
    return left_out(err);
}

int flo_rest_logout(struct flo_rest_call *call, struct flo_err *err)
{
    flo_fail(err, FLO_E_STATE, "token %s is no session", call->token_id);
    return flo_err_fix(err, "flotilla token delete, by an admin");
}
