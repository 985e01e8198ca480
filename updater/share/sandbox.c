/* Sandbox of the blob-sharing process: it reads blobs/ and accepts connections
 * on its open socket.  An unlisted call fails with ENOSYS; a call that only an
 * attacker would make kills the process. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/sandbox.h"
#include "updater/share/share.h"

#define EVER FLO_SANDBOX_EVER
#define INT FLO_SANDBOX_INT
#define WORD FLO_SANDBOX_WORD
#define WRITES (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | O_PATH)
#define MEMORY_BYTES_MAX (96u << 20)
#define AROUND_BYTES (1ull << 30)

static const struct flo_sandbox_rule rules[] = {
#include "base/sandbox/calls.def"
    FLO_CALL_IF(EVER, openat, 2, WRITES, 0),
    FLO_CALL(EVER, readv),
    FLO_CALL(EVER, fstat),
#ifdef SYS_fstat64
    FLO_CALL(EVER, fstat64),
#endif
#ifdef SYS_newfstatat
    FLO_CALL_FSTAT(EVER, newfstatat),
#endif
#ifdef SYS_fstatat64
    FLO_CALL_FSTAT(EVER, fstatat64),
#endif
    FLO_CALL_FCNTL(EVER, F_GETFD),
    FLO_CALL_FCNTL(EVER, F_SETFD),
    FLO_CALL_FCNTL(EVER, F_GETFL),
    {FLO_SANDBOX_FCNTL, EVER, FLO_SANDBOX_ALLOW, 0, {{1, WORD, F_SETFL}, {2, O_ASYNC, 0}}},
#include "base/sandbox/serving.def"
    FLO_CALL(EVER, getsockname),
    FLO_CALL(EVER, getpeername),
    FLO_CALL(EVER, getsockopt),
    FLO_CALL_OPTION(EVER, SOL_SOCKET, SO_KEEPALIVE),
    FLO_CALL_OPTION(EVER, IPPROTO_TCP, TCP_NODELAY),
    FLO_CALL_VAIN(EVER, setsockopt, ENOPROTOOPT),
    FLO_CALL(EVER, shutdown),
    FLO_CALL_VAIN(EVER, socket, EACCES),
    FLO_CALL_VAIN(EVER, connect, EACCES),
    FLO_CALL_VAIN(EVER, bind, EACCES),
    FLO_CALL_VAIN(EVER, ioctl, ENOTTY),
    FLO_CALL(EVER, sigaltstack),
    FLO_CALL(EVER, geteuid),
    FLO_CALL(EVER, getuid),
#ifdef SYS_time
    FLO_CALL(EVER, time),
#endif
    {SYS_prlimit64, EVER, FLO_SANDBOX_ALLOW, 0, {{0, INT, 0}, {2, WORD, 0}}},
    /* only an attacker would make these calls */
    FLO_CALL_KILL(EVER, execve),
    FLO_CALL_KILL(EVER, execveat),
    FLO_CALL_KILL(EVER, clone),
    FLO_CALL_KILL(EVER, ptrace),
    FLO_CALL_KILL(EVER, process_vm_readv),
    FLO_CALL_KILL(EVER, process_vm_writev),
    FLO_CALL_KILL(EVER, kill),
    FLO_CALL_KILL(EVER, bpf),
    FLO_CALL_KILL(EVER, perf_event_open),
    FLO_CALL_KILL(EVER, userfaultfd),
    FLO_CALL_KILL(EVER, io_uring_setup),
    FLO_CALL_KILL(EVER, mount),
    FLO_CALL_KILL(EVER, unshare),
    FLO_CALL_KILL(EVER, setns),
#ifdef SYS_fork
    FLO_CALL_KILL(EVER, fork),
    FLO_CALL_KILL(EVER, vfork),
#endif
};

static const struct flo_sandbox_policy policy = {rules, FLO_COUNT(rules), ENOSYS};

int flo_share_sandbox_enter(const struct flo_share_job *job, struct flo_err *err)
{
    char blobs[PATH_MAX];
    const struct flo_sandbox_path paths[] = {{blobs, FLO_SANDBOX_READ}};

    if (!flo_path_join(blobs, sizeof(blobs), job->state_dir, "blobs")) {
        return flo_fail(err, FLO_E_IO_OPEN, "%s: path too long", job->state_dir);
    }
    flo_sandbox_close_memory();
    flo_sandbox_limit(RLIMIT_NOFILE, 256);
    if (flo_sandbox_is_built()) { /* a sanitizer's shadow memory is larger than the limit */
        flo_sandbox_limit(RLIMIT_DATA, MEMORY_BYTES_MAX);
        flo_sandbox_limit(RLIMIT_AS, MEMORY_BYTES_MAX + AROUND_BYTES);
    }
    FLO_TRY(flo_sandbox_keep_rights(0, 0, err));
    return flo_sandbox_close(flo_sandbox_files(paths, FLO_COUNT(paths), FLO_SANDBOX_NO_TCP, err),
                             &policy, job->sandbox, err);
}
