/* Walls: those of the parser, which reads what agent and runtime send, and of the guard,
 * which takes words of the parser.  A call that is not listed kills either of them.
 *
 * The parser has two sockets, to the agent and to the guard, and the connections that the
 * guard gives it.  It makes no socket, so that a runtime that took it over reaches neither the
 * agent's own sockets nor the network. */
#include "engine/proxy/proxy.h"

#include <linux/capability.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EVER FLO_SANDBOX_EVER
#define DESCRIPTORS (16 + 2 * FLO_RUNTIME_SESSIONS_MAX)
#define GUARD_DESCRIPTORS 32

static const struct flo_sandbox_rule rules[] = {
#include "base/sandbox/calls.def"
    FLO_CALL(EVER, getsockopt), /* the error of a connection */
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

int flo_guard_confine(struct flo_runtime_process *process, bool has_user, pid_t parser,
                      enum flo_sandbox_mode mode, struct flo_err *err)
{
    bool is_local = process->socket[0] != '\0';
    unsigned leaves = FLO_SANDBOX_SIGNALS | (is_local ? FLO_SANDBOX_NO_TCP : FLO_SANDBOX_CONNECTS);
    /* to connect to the socket of another user */
    uint64_t rights = has_user && is_local ? 1ULL << CAP_DAC_OVERRIDE : 0;
    const struct flo_sandbox_rule guard_rules[] = {
#include "base/sandbox/calls.def"
        FLO_CALL_SOCKET(EVER, socket, is_local ? AF_UNIX : AF_INET, SOCK_STREAM, 0),
        FLO_CALL(EVER, connect),
        FLO_CALL_OPTION(EVER, IPPROTO_TCP, TCP_NODELAY),
        FLO_CALL(EVER, wait4),
        FLO_CALL_IF(EVER, kill, 0, FLO_SANDBOX_INT, (uint64_t)parser),
        FLO_CALL_IF(EVER, kill, 0, FLO_SANDBOX_INT, (uint64_t)process->pid),
    };
    const struct flo_sandbox_policy own = {guard_rules, FLO_COUNT(guard_rules), 0};

    flo_sandbox_close_memory();
    flo_sandbox_limit(RLIMIT_NOFILE, GUARD_DESCRIPTORS);
    /* No path leads to a socket of the agent now, if this is root or a user in its namespace. */
    if (flo_sandbox_is_built() && chdir(process->scratch) == 0 && chroot(".") == 0 && is_local) {
        snprintf(process->socket, sizeof(process->socket), FLO_RUNTIME_SOCKET);
    }
    FLO_TRY(flo_sandbox_keep_rights(rights, rights, err));
    return flo_sandbox_close(flo_sandbox_files(NULL, 0, leaves, err), &own, mode, err);
}
