/* Proxy stand-in: the command `proxy` of a build without runtimes. */
#include "base/left_out.h"
#include "engine/proxy/proxy.h"

int flo_cmd_proxy(void *line, struct flo_err *err)
{
    (void)line;
    return flo_left_out(err, "runtimes", "FLOTILLA_RUNTIMES");
}

void flo_proxy_clear(void)
{
}
