/* Parser: the walls of the process that reads what agent and runtime send.
 *
 * It has two sockets, to the agent and to the guard, and the connections that the guard
 * gives it.  A call that is not
 * listed kills it.  It makes no socket, so that a runtime that took it over reaches neither the
 * agent's own sockets nor the network. */
#include "engine/proxy/proxy.h"

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DESCRIPTORS (16 + 2 * FLO_RUNTIME_SESSIONS_MAX)

static const struct flo_sandbox_rule rules[] = {
#include "base/sandbox/calls.def"
    FLO_CALL(FLO_SANDBOX_EVER, getsockopt), /* the error of a connection */
};

static const struct flo_sandbox_policy policy = {rules, FLO_COUNT(rules), 0};

int flo_parser_confine(enum flo_sandbox_mode mode, struct flo_err *err)
{
    flo_sandbox_close_memory();
    /* no limit of file sizes: the log may be a file */
    flo_sandbox_limit(RLIMIT_NOFILE, DESCRIPTORS);
    FLO_TRY(flo_sandbox_keep_rights(0, 0, err));
    return flo_sandbox_close(flo_sandbox_files(NULL, 0, FLO_SANDBOX_NO_TCP, err), &policy, mode,
                             err);
}
