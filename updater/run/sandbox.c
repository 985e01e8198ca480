/* Worker's sandbox: the worker parses untrusted bytes and has network access.
 *
 * It can write only the files of the download: blobs and files that become
 * blobs.  Trust, keys and slots are read-only or inaccessible: only the agent
 * decides which release runs.  A system call that is not listed fails with
 * ENOSYS, so that a libc uses an older one.  A call that only an attacker would
 * make kills the process. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/sandbox.h"
#include "updater/run/run.h"

#define EVER FLO_SANDBOX_EVER
#define INT FLO_SANDBOX_INT
#define WORD FLO_SANDBOX_WORD
#define SOCKET_KIND 0xfu /* mask without SOCK_CLOEXEC and SOCK_NONBLOCK */

#define KILL(name)                                                                                 \
    {                                                                                              \
        SYS_##name, EVER, FLO_SANDBOX_KILL, 0,                                                     \
        {                                                                                          \
            {                                                                                      \
                0                                                                                  \
            }                                                                                      \
        }                                                                                          \
    }
#define FCNTL(number, command)                                                                     \
    {                                                                                              \
        number, EVER, FLO_SANDBOX_ALLOW, 0,                                                        \
        {                                                                                          \
            {                                                                                      \
                1, WORD, command                                                                   \
            }                                                                                      \
        }                                                                                          \
    }
#define SOCKET(number, domain, kind, protocol)                                                     \
    {                                                                                              \
        number, EVER, FLO_SANDBOX_ALLOW, 0,                                                        \
        {                                                                                          \
            {0, INT, domain}, {1, SOCKET_KIND, kind},                                              \
            {                                                                                      \
                2, INT, protocol                                                                   \
            }                                                                                      \
        }                                                                                          \
    }
/* Rules for sockets of one kind, with protocol 0 (the default) or with its
 * explicit number. */
#define SOCKETS(domain, kind, protocol)                                                            \
    SOCKET(SYS_socket, domain, kind, 0), SOCKET(SYS_socket, domain, kind, protocol)
#ifdef SYS_fcntl64
#define SYS_FCNTL SYS_fcntl64
#else
#define SYS_FCNTL SYS_fcntl
#endif

static const struct flo_sandbox_rule rules[] = {
#include "base/sandbox/calls.def"
    /* calls on files that landlock allows.  O_PATH is refused, because fstat on
     * it works as a stat.  O_TRUNC is refused, because landlock before version
     * 3 cannot restrict it */
    FLO_CALL(EVER, readv),
    FLO_CALL(EVER, pwrite64),
    FLO_CALL_IF(EVER, openat, 2, O_PATH | O_TRUNC, 0),
#ifdef SYS_open
    FLO_CALL_IF(EVER, open, 1, O_PATH | O_TRUNC, 0),
#endif
    FLO_CALL(EVER, fstat),
#ifdef SYS_fstat64
    FLO_CALL(EVER, fstat64),
    FLO_CALL(EVER, fstatfs64),
#endif
    FLO_CALL(EVER, fstatfs),
    FLO_CALL(EVER, fsync),
    FLO_CALL(EVER, fdatasync),
    FLO_CALL(EVER, ftruncate),
    FLO_CALL(EVER, fallocate),
#ifdef SYS_ftruncate64
    FLO_CALL(EVER, ftruncate64),
#endif
#ifdef SYS_fadvise64
    FLO_CALL(EVER, fadvise64),
#endif
#ifdef SYS_arm_fadvise64_64
    FLO_CALL(EVER, arm_fadvise64_64),
#endif
    FLO_CALL(EVER, flock),
    FLO_CALL(EVER, getdents64),
    FLO_CALL(EVER, linkat),
    FLO_CALL(EVER, unlinkat),
#ifdef SYS_rename
    FLO_CALL(EVER, rename),
    FLO_CALL(EVER, unlink),
#endif
#ifdef SYS_renameat
    FLO_CALL(EVER, renameat),
#endif
    FLO_CALL_IF(EVER, renameat2, 4, INT, 0),
    FLO_CALL_IF(EVER, fchmod, 1, WORD, 0400), /* mode of a blob */
    FLO_CALL_IF(EVER, fchmod, 1, WORD, 0600), /* mode of a download that is resumed */
    FLO_CALL(EVER, dup),
    FLO_CALL_IF(EVER, dup3, 2, INT, O_CLOEXEC),
    FCNTL(SYS_FCNTL, F_GETFD),
    FCNTL(SYS_FCNTL, F_SETFD),
    FCNTL(SYS_FCNTL, F_GETFL),
    FCNTL(SYS_FCNTL, F_DUPFD_CLOEXEC),
    {SYS_FCNTL, EVER, FLO_SANDBOX_ALLOW, 0, {{1, WORD, F_SETFL}, {2, O_ASYNC, 0}}},
/* fstat only, no stat of a path */
#ifdef SYS_newfstatat
    FLO_CALL_FSTAT(EVER, newfstatat),
#endif
#ifdef SYS_fstatat64
    FLO_CALL_FSTAT(EVER, fstatat64),
#endif
#ifdef SYS_stat
    FLO_CALL_VAIN(EVER, stat, EACCES),
    FLO_CALL_VAIN(EVER, lstat, EACCES),
#endif
#ifdef SYS_access
    FLO_CALL_VAIN(EVER, access, EACCES),
    FLO_CALL_VAIN(EVER, readlink, EACCES),
#endif
    FLO_CALL_VAIN(EVER, faccessat, EACCES),
#ifdef SYS_faccessat2
    FLO_CALL_VAIN(EVER, faccessat2, EACCES),
#endif
    FLO_CALL_VAIN(EVER, readlinkat, EACCES),
    /* calls for outgoing connections, and for a socket pair by which threads
     * wake each other, of a kind that reaches no other process */
    SOCKETS(AF_INET, SOCK_STREAM, IPPROTO_TCP),
    SOCKETS(AF_INET6, SOCK_STREAM, IPPROTO_TCP),
    SOCKETS(AF_INET, SOCK_DGRAM, IPPROTO_UDP),
    SOCKETS(AF_INET6, SOCK_DGRAM, IPPROTO_UDP),
    FLO_CALL_VAIN(EVER, socket, EACCES),
    SOCKET(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0),
    FLO_CALL_VAIN(EVER, socketpair, EACCES),
    FLO_CALL(EVER, connect),
    FLO_CALL(EVER, sendmmsg),
    FLO_CALL(EVER, recvmmsg),
    FLO_CALL(EVER, getsockname),
    FLO_CALL(EVER, getpeername),
    FLO_CALL(EVER, getsockopt),
    FLO_CALL_OPTION(EVER, SOL_SOCKET, SO_KEEPALIVE),
    FLO_CALL_OPTION(EVER, SOL_SOCKET, SO_RCVBUF),
    FLO_CALL_OPTION(EVER, SOL_SOCKET, SO_SNDBUF),
    FLO_CALL_OPTION(EVER, IPPROTO_TCP, TCP_NODELAY),
    FLO_CALL_OPTION(EVER, IPPROTO_TCP, TCP_KEEPIDLE),
    FLO_CALL_OPTION(EVER, IPPROTO_TCP, TCP_KEEPINTVL),
    FLO_CALL_OPTION(EVER, IPPROTO_TCP, TCP_KEEPCNT),
    FLO_CALL_OPTION(EVER, IPPROTO_IP, IP_RECVERR), /* for DNS lookups */
    FLO_CALL_OPTION(EVER, IPPROTO_IPV6, IPV6_RECVERR),
    FLO_CALL_VAIN(EVER, setsockopt, ENOPROTOOPT),
    FLO_CALL(EVER, shutdown),
    FLO_CALL_VAIN(EVER, bind, EACCES),
    FLO_CALL(EVER, pipe2),
    FLO_CALL(EVER, eventfd2),
#ifdef SYS_select
    FLO_CALL(EVER, select),
#endif
#ifdef SYS__newselect
    FLO_CALL(EVER, _newselect),
#endif
#ifdef SYS_pselect6
    FLO_CALL(EVER, pselect6),
#endif
#ifdef SYS_pselect6_time64
    FLO_CALL(EVER, pselect6_time64),
    FLO_CALL(EVER, recvmmsg_time64),
#endif
    FLO_CALL_VAIN(EVER, ioctl, ENOTTY),
    /* calls for the threads that look up names */
    FLO_CALL_THREAD(EVER),
    FLO_CALL(EVER, set_tid_address),
    FLO_CALL(EVER, sigaltstack),
    /* calls that read user ids and the process's own limits */
    FLO_CALL(EVER, getuid),
    FLO_CALL(EVER, geteuid),
    FLO_CALL(EVER, getgid),
    FLO_CALL(EVER, getegid),
    FLO_CALL(EVER, getppid),
    FLO_CALL(EVER, uname),
#ifdef SYS_getuid32
    FLO_CALL(EVER, getuid32),
    FLO_CALL(EVER, geteuid32),
    FLO_CALL(EVER, getgid32),
    FLO_CALL(EVER, getegid32),
#endif
#ifdef SYS_time
    FLO_CALL(EVER, time),
#endif
    FLO_CALL(EVER, times),
    {SYS_prlimit64, EVER, FLO_SANDBOX_ALLOW, 0, {{0, INT, 0}, {2, WORD, 0}}},
/* a resolver module that is not loaded yet is refused */
#ifdef SYS_mmap
    FLO_CALL_VAIN(EVER, mmap, EACCES),
#endif
#ifdef SYS_mmap2
    FLO_CALL_VAIN(EVER, mmap2, EACCES),
#endif
    FLO_CALL_VAIN(EVER, mprotect, EACCES),
    /* only an attacker would make these calls */
    KILL(execve),
    KILL(execveat),
    KILL(clone),
    KILL(ptrace),
    KILL(process_vm_readv),
    KILL(process_vm_writev),
    KILL(kill),
    KILL(tkill),
    KILL(tgkill),
    KILL(rt_sigqueueinfo),
    KILL(rt_tgsigqueueinfo),
    KILL(pidfd_send_signal),
    KILL(bpf),
    KILL(perf_event_open),
    KILL(userfaultfd),
    KILL(io_uring_setup),
    KILL(add_key),
    KILL(keyctl),
    KILL(request_key),
    KILL(mount),
    KILL(umount2),
    KILL(unshare),
    KILL(setns),
    KILL(init_module),
    KILL(finit_module),
#ifdef SYS_fork
    KILL(fork),
    KILL(vfork),
#endif
};

static const struct flo_sandbox_policy policy = {rules, FLO_COUNT(rules), ENOSYS};

/* ---- files ---- */

static int restrict_files(const struct flo_update_job *job, struct flo_err *err)
{
    static const char *const stores[] = {"blobs", "partial", "prefix", "releases"};
    char own[FLO_COUNT(stores)][PATH_MAX];
    /* Readable: TLS trust without the keys next to it, name resolution files,
     * and the boot id for download maps. */
    struct flo_sandbox_path paths[16 + FLO_SANDBOX_NETWORK_PATHS] = {
        {own[0], FLO_SANDBOX_SHELF},         {own[1], FLO_SANDBOX_STORE},
        {own[2], FLO_SANDBOX_STORE},         {own[3], FLO_SANDBOX_STORE},
        {job->trust_file, FLO_SANDBOX_READ}, {job->bundle, FLO_SANDBOX_READ},
        {job->ca_file, FLO_SANDBOX_READ},    {job->cert_file, FLO_SANDBOX_READ},
        {job->key_file, FLO_SANDBOX_READ},   {"/proc/sys/kernel/random/boot_id", FLO_SANDBOX_READ},
    };

    for (size_t i = 0; i < FLO_COUNT(stores); i++) {
        if (!flo_path_join(own[i], PATH_MAX, job->state_dir, stores[i])) {
            return flo_fail(err, FLO_E_IO_OPEN, "%s: path too long", job->state_dir);
        }
    }
    flo_sandbox_network_paths(paths + 16);
    return flo_sandbox_files(paths, FLO_COUNT(paths), FLO_SANDBOX_CONNECTS, err);
}

/* Virtual memory for libraries, stacks and the allocators' per-thread reserves;
 * little of it is resident. */
#define AROUND_BYTES (1ULL << 30)

static void bound_memory(uint64_t bytes_max)
{
    /* The limit is above the memory that the plan promises; a test measures
     * that memory. */
    uint64_t bound = bytes_max + (32u << 20);

    if (flo_sandbox_is_built()) { /* a sanitizer has no sandbox, because its
                                   * shadow memory is larger than the limit */
        flo_sandbox_limit(RLIMIT_DATA, bound);
        flo_sandbox_limit(RLIMIT_AS, bound + AROUND_BYTES);
    }
}

/* ---- rights ---- */

#define TO_READ ((uint64_t)1 << CAP_DAC_READ_SEARCH)

static bool can_read(const char *path)
{
    FLO_CLEANUP(flo_fd_cleanup)
    int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    return path == NULL || fd >= 0 || (errno != EACCES && errno != EPERM);
}

/* Tells whether all blobs are readable.  An older agent run by root may have
 * left a file with several hard links, which flo_process_as_owner() does not
 * hand over. */
static bool can_read_blobs(const char *state_dir)
{
    char path[PATH_MAX];
    DIR *folder = flo_path_join(path, sizeof(path), state_dir, "blobs") ? opendir(path) : NULL;
    const struct dirent *entry;
    bool can = true;

    while (can && folder != NULL && (entry = readdir(folder)) != NULL) {
        FLO_CLEANUP(flo_fd_cleanup)
        int fd =
            openat(dirfd(folder), entry->d_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        can = fd >= 0 || errno != EACCES;
    }
    if (folder != NULL) {
        closedir(folder);
    }
    return can;
}

/* Drops capabilities.  A job of root's agent may name files that only root can
 * read: a bundle in a user's folder, a certificate.  Then CAP_DAC_READ_SEARCH
 * stays, limited by landlock; all other capabilities are dropped. */
static int drop_rights(const struct flo_update_job *job, struct flo_err *err)
{
    int rv = flo_sandbox_keep_rights(TO_READ, 0, err);
    uint64_t kept = can_read(job->trust_file) && can_read(job->bundle) && can_read(job->ca_file) &&
                            can_read(job->cert_file) && can_read(job->key_file) &&
                            can_read_blobs(job->state_dir)
                        ? 0
                        : TO_READ;

    FLO_TRY(rv);
    return flo_sandbox_keep_rights(kept, kept, err);
}

int flo_updater_sandbox_enter(const struct flo_update_job *job, struct flo_err *err)
{
    flo_sandbox_network_begin();
    flo_sandbox_close_memory();
    flo_sandbox_limit(RLIMIT_NOFILE, 64);
    bound_memory(job->memory_bytes_max);
    FLO_TRY(drop_rights(job, err));
    int rv = restrict_files(job, err);
    if (rv == 0) {
        rv = flo_sandbox_miss(job->sandbox, FLO_SANDBOX_PART_FILES, err);
    }
    if (rv >= 0) {
        rv = flo_sandbox_filter(&policy, 1, err);
        rv = rv != 0 ? rv : flo_sandbox_miss(job->sandbox, FLO_SANDBOX_PART_CALLS, err);
    }
    FLO_TRY(rv);
    return 0;
}
