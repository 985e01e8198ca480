/* Sandbox: confines the engine process, so that a hostile model can only spoil
 * its own answers and crash its process.
 *
 * The model file is parsed inside the sandbox, after the last thread has
 * started.  A system call that is not listed kills the process, and the agent
 * reports it.  The filter allows no file to be opened; Landlock, if the kernel
 * has it, forbids all files once more. */
#include "engine/run/run.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "base/sandbox.h"

/* descriptors of the worker: standard ones, the socket, those of one message, and
 * a second one of a file that is opened */
#define DESCRIPTORS_MAX 20
_Static_assert(4 + FLO_WIRE_FDS_MAX + 1 <= DESCRIPTORS_MAX, "a message with all descriptors opens");
#define STARTING FLO_SANDBOX_STARTING
#define OPENING (FLO_SANDBOX_STARTING | FLO_SANDBOX_OPENING)

static const struct flo_sandbox_rule rules[] = {
#include "base/sandbox/calls.def"
    /* system calls of the stage STARTING, before the model is read */
    /* fails, so that libc uses clone instead */
    FLO_CALL_THREAD(STARTING), FLO_CALL_VAIN(STARTING, clone3, ENOSYS),
    /* system calls of the stage OPENING, while the model is opened */
    FLO_CALL_VAIN(OPENING, openat, EACCES), FLO_CALL(OPENING, fstat),
#ifdef SYS_fstat64
    FLO_CALL(OPENING, fstat64),
#endif
#ifdef SYS_newfstatat
    FLO_CALL_FSTAT(OPENING, newfstatat),
#endif
#ifdef SYS_fstatat64
    FLO_CALL_FSTAT(OPENING, fstatat64),
#endif
#ifdef SYS_statx
    FLO_CALL_VAIN(OPENING, statx, ENOSYS),
#endif
#ifdef SYS_fadvise64
    FLO_CALL(OPENING, fadvise64),
#endif
#ifdef SYS_arm_fadvise64_64
    FLO_CALL(OPENING, arm_fadvise64_64),
#endif
    FLO_CALL(OPENING, msync),
#ifdef SYS_fcntl64
    FLO_CALL_IF(OPENING, fcntl64, 1, FLO_SANDBOX_WORD, F_DUPFD_CLOEXEC),
    FLO_CALL_IF(OPENING, fcntl64, 1, FLO_SANDBOX_WORD, F_GETFL), /* fdopen() */
#else
    FLO_CALL_IF(OPENING, fcntl, 1, FLO_SANDBOX_WORD, F_DUPFD_CLOEXEC),
    FLO_CALL_IF(OPENING, fcntl, 1, FLO_SANDBOX_WORD, F_GETFL), /* fdopen() */
#endif
    /* the process may only change its own limits */
    FLO_CALL_IF(OPENING, prlimit64, 0, FLO_SANDBOX_INT, 0),
    FLO_CALL(OPENING, seccomp), /* the call with which the process enters the last stage */
};

static const struct flo_sandbox_policy policy = {rules, FLO_COUNT(rules), 0};

/* ---- before ---- */

void flo_sandbox_prepare(int socket)
{
    flo_process_goes_first(FLO_GOES_FIRST_ENGINE);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null >= 0) {
        dup2(null, 0);
        dup2(null, 1);
        if (flo_sandbox_is_built()) {
            dup2(null, 2);
        }
        if (null > 2 && null != socket) {
            close(null);
        }
    }
    syscall(SYS_close_range, (unsigned)socket + 1, ~0u, 0u);
    flo_sandbox_limit(RLIMIT_FSIZE, 0);
    flo_sandbox_limit(RLIMIT_NOFILE, DESCRIPTORS_MAX);
    prctl(PR_SET_PDEATHSIG, 9 /* SIGKILL */);
    flo_sandbox_close_memory();
}

/* ---- the stages ---- */

int flo_engine_sandbox_enter(enum flo_sandbox level, enum flo_sandbox_mode mode,
                             struct flo_err *err)
{
    if (level == FLO_SANDBOX_STARTING) {
        FLO_TRY(flo_sandbox_keep_rights(0, 0, err));
        FLO_TRY(flo_sandbox_files(NULL, 0, FLO_SANDBOX_NO_TCP, err));
    }
    int rv = flo_sandbox_filter(&policy, (uint8_t)level, err);
    if (rv == 0) {
        rv = flo_sandbox_miss(mode, FLO_SANDBOX_PART_CALLS, err);
    }
    return rv;
}

/* ---- memory ---- */

/* Bytes besides the plan: those of the program and its libraries, and for each
 * thread its stack and the arena of its first allocation. */
#define AROUND_BYTES (512ULL << 20)
#define THREAD_BYTES (136ULL << 20)

static uint64_t file_bytes(const int *fds, size_t count)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        struct stat st;
        if (fstat(fds[i], &st) == 0 && st.st_size > 0) {
            sum += (uint64_t)st.st_size;
        }
    }
    return sum;
}

void flo_sandbox_bound(const int *fds, size_t count, uint64_t planned_bytes, uint32_t threads)
{
    uint64_t files = file_bytes(fds, count);
    uint64_t bound = planned_bytes;
    struct sysinfo machine;
    if (bound == 0 && sysinfo(&machine) == 0) {
        bound = (uint64_t)machine.totalram * machine.mem_unit + 2 * files;
    }
    bound +=
        files + AROUND_BYTES + (threads == 0 ? FLO_ENGINE_THREADS_MAX : threads) * THREAD_BYTES;
    if (flo_sandbox_is_built()) {
        flo_sandbox_limit(RLIMIT_AS, bound);
    }
}
