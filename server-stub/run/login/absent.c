/* Login by an identity provider, in a build without it: a configuration that
 * names a provider is refused. */
#include "base/left_out.h"
#include "server-stub/run/login/login.h"

#define PART "an identity provider"
#define OPTION "FLOTILLA_OIDC"

int flo_oidc_file_open(const char *path, struct flo_oidc_file **out, struct flo_err *err)
{
    (void)out;
    return flo_wrap(err, flo_left_out(err, PART, OPTION), "--oidc %s", path);
}

void flo_oidc_file_close(struct flo_oidc_file *file)
{
    (void)file;
}

int flo_asker_open(const struct flo_oidc_file *file, struct event_base *base, bool is_plain,
                   struct flo_asker **out, struct flo_err *err)
{
    (void)file, (void)base, (void)is_plain, (void)out;
    return flo_left_out(err, PART, OPTION);
}

struct flo_login_desk *flo_asker_desk(struct flo_asker *asker)
{
    (void)asker;
    return NULL;
}

void flo_asker_close(struct flo_asker *asker)
{
    (void)asker;
}
