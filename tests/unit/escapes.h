/* Ways out of a sandbox: calls that must not pass, each tried in a process of
 * its own that has entered one.  For the tests of both programs. */
#ifndef TESTS_ESCAPES_H
#define TESTS_ESCAPES_H

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define KILLED (-1) /* else an errno; 0 would be: it got out */

struct escape {
    const char *name;
    long number;
    long arguments[6];
    int engine;  /* what becomes of it in the engine that serves, */
    int opening; /* ... in the one that opens its model, */
    int updater; /* ... in the updater */
};

/* Addresses that a filter of low halves takes for NULL. */
#define FAR 0x100000000L
#define FAR_BYTES 4096

static const char escape_path[] = "/etc/passwd";
#define PATH ((long)(intptr_t)escape_path)

#define ESCAPE(call, engine, opening, updater, ...)                                                \
    {                                                                                              \
#call " " #__VA_ARGS__, SYS_##call, {__VA_ARGS__ }, engine, opening, updater               \
    }
/* Nobody may, nobody has a reason to. */
#define DEADLY(call, ...) ESCAPE(call, KILLED, KILLED, KILLED, __VA_ARGS__)
/* The same, where a libc may ask for it. */
#define UNKNOWN(call, ...) ESCAPE(call, KILLED, KILLED, ENOSYS, __VA_ARGS__)
/* Descriptor 0 is no socket: one that is let through is told so. */
#define OPTION(level, option)                                                                      \
    ESCAPE(setsockopt, KILLED, KILLED, ENOPROTOOPT, 0, level, option, FAR, 4)
#define PARENT ((long)getppid())

/* Filled in the child: PARENT is asked for there. */
static inline size_t escapes_fill(struct escape *out, size_t count_max)
{
    const struct escape all[] = {
        /* files */
        ESCAPE(openat, KILLED, EACCES, EACCES, AT_FDCWD, PATH, O_RDONLY),
        ESCAPE(openat, KILLED, EACCES, ENOSYS, AT_FDCWD, PATH, O_PATH),
        UNKNOWN(openat2, AT_FDCWD, PATH, 0, 24),
        UNKNOWN(open_by_handle_at, AT_FDCWD, PATH, O_RDONLY),
        UNKNOWN(name_to_handle_at, AT_FDCWD, PATH, 0, 0, 0),
        UNKNOWN(truncate, PATH, 0),
        UNKNOWN(fchmodat, AT_FDCWD, PATH, 0777),
        UNKNOWN(fchownat, AT_FDCWD, PATH, 0, 0, 0),
        UNKNOWN(utimensat, AT_FDCWD, PATH, 0, 0),
        UNKNOWN(mknodat, AT_FDCWD, PATH, S_IFIFO | 0600, 0),
        UNKNOWN(mkdirat, AT_FDCWD, PATH, 0700),
        UNKNOWN(symlinkat, PATH, AT_FDCWD, PATH),
        UNKNOWN(setxattr, PATH, PATH, PATH, 1, 0),
        UNKNOWN(getxattr, PATH, PATH, 0, 0),
        UNKNOWN(chdir, PATH),
        UNKNOWN(chroot, PATH),
        UNKNOWN(inotify_init1, 0),
        UNKNOWN(fanotify_init, 0, 0),
        UNKNOWN(memfd_create, PATH, 0),
        /* facts of paths */
        ESCAPE(statx, KILLED, ENOSYS, ENOSYS, AT_FDCWD, PATH, 0, 0x7ff, FAR),
        ESCAPE(faccessat, KILLED, KILLED, EACCES, AT_FDCWD, PATH, F_OK),
        ESCAPE(readlinkat, KILLED, KILLED, EACCES, AT_FDCWD, PATH, FAR, 64),
        UNKNOWN(statfs, PATH, FAR),
#ifdef SYS_newfstatat
        ESCAPE(newfstatat, KILLED, EACCES, EACCES, AT_FDCWD, PATH, FAR, 0),
        ESCAPE(newfstatat, KILLED, EACCES, EACCES, AT_FDCWD, PATH, FAR, AT_EMPTY_PATH),
#endif
#ifdef SYS_stat
        ESCAPE(stat, KILLED, KILLED, EACCES, PATH, FAR),
        ESCAPE(lstat, KILLED, KILLED, EACCES, PATH, FAR),
        ESCAPE(access, KILLED, KILLED, EACCES, PATH, F_OK),
        ESCAPE(readlink, KILLED, KILLED, EACCES, PATH, FAR, 64),
        ESCAPE(open, KILLED, KILLED, EACCES, PATH, O_RDONLY),
        UNKNOWN(creat, PATH, 0600),
        DEADLY(fork, 0),
        DEADLY(vfork, 0),
        UNKNOWN(setrlimit, RLIMIT_NOFILE, FAR),
#endif
        /* other processes */
        DEADLY(execve, PATH, 0, 0),
        DEADLY(execveat, AT_FDCWD, PATH, 0, 0, 0),
        DEADLY(clone, SIGCHLD, 0, 0, 0, 0),
        /* threads in namespaces of their own: the kernel's root makes them */
        DEADLY(clone, CLONE_THREAD | CLONE_NEWNET, 0, 0, 0, 0),
        DEADLY(clone, CLONE_THREAD | CLONE_NEWUTS, 0, 0, 0, 0),
        DEADLY(clone, CLONE_THREAD | CLONE_NEWIPC, 0, 0, 0, 0),
        DEADLY(clone, CLONE_THREAD | CLONE_NEWCGROUP, 0, 0, 0, 0),
        DEADLY(clone, CLONE_THREAD | CLONE_NEWUSER, 0, 0, 0, 0),
        DEADLY(clone, CLONE_THREAD | CLONE_PTRACE, 0, 0, 0, 0),
        DEADLY(clone, CLONE_THREAD, 0, 0, 0, 0),
        DEADLY(clone, CLONE_THREAD | FAR, 0, 0, 0, 0),
        ESCAPE(clone3, KILLED, KILLED, ENOSYS, FAR, 64),
        DEADLY(ptrace, PTRACE_SEIZE, PARENT, 0, 0),
        DEADLY(process_vm_readv, PARENT, FAR, 1, FAR, 1, 0),
        DEADLY(process_vm_writev, PARENT, FAR, 1, FAR, 1, 0),
        DEADLY(kill, PARENT, 0),
        DEADLY(kill, -1, 0),
        DEADLY(tgkill, PARENT, PARENT, 0),
        DEADLY(tgkill, (long)getpid() + FAR, (long)getpid(), 0),
        DEADLY(tkill, PARENT, 0),
        DEADLY(rt_sigqueueinfo, PARENT, SIGUSR1, FAR),
        DEADLY(rt_tgsigqueueinfo, PARENT, PARENT, SIGUSR1, FAR),
        UNKNOWN(pidfd_open, PARENT, 0),
        UNKNOWN(pidfd_getfd, 0, 0, 0),
        DEADLY(pidfd_send_signal, 0, 0, 0, 0),
        UNKNOWN(fcntl, 0, F_SETOWN, PARENT),
        UNKNOWN(fcntl, 0, F_SETSIG, SIGKILL),
        UNKNOWN(fcntl, 0, F_SETOWN_EX, FAR),
        UNKNOWN(fcntl, 0, F_SETFL, O_ASYNC),
        UNKNOWN(fcntl, 0, F_SETLEASE, F_WRLCK),
        UNKNOWN(fcntl, 0, F_NOTIFY, 1),
        UNKNOWN(fcntl, 0, F_SETOWN + FAR, PARENT),
        ESCAPE(ioctl, KILLED, KILLED, ENOTTY, 0, 0x8901 /* FIOSETOWN */, FAR),
        UNKNOWN(prlimit64, PARENT, RLIMIT_NOFILE, FAR, 0),
        UNKNOWN(prlimit64, PARENT, RLIMIT_NOFILE, 0, FAR),
        /* its own, and only down: an engine sets its bound while it opens */
        ESCAPE(prlimit64, KILLED, 0, ENOSYS, 0, RLIMIT_NOFILE, FAR, 0),
        UNKNOWN(sched_setaffinity, PARENT, FAR_BYTES, FAR),
        UNKNOWN(sched_setscheduler, PARENT, 0, FAR),
        UNKNOWN(sched_getaffinity, PARENT, FAR_BYTES, FAR),
        UNKNOWN(setpriority, PRIO_PROCESS, PARENT, 19),
        UNKNOWN(ioprio_set, 1, PARENT, 0),
        UNKNOWN(setpgid, 0, PARENT),
        UNKNOWN(setsid, 0),
        UNKNOWN(kcmp, PARENT, PARENT, 0, 0, 0),
        UNKNOWN(migrate_pages, PARENT, 1, FAR, FAR),
        /* code */
        ESCAPE(mprotect, KILLED, KILLED, EACCES, FAR, FAR_BYTES, PROT_READ | PROT_EXEC),
        UNKNOWN(pkey_mprotect, FAR, FAR_BYTES, PROT_READ | PROT_EXEC, -1),
        UNKNOWN(remap_file_pages, FAR, FAR_BYTES, PROT_EXEC, 0, 0),
        UNKNOWN(personality, 0x0400000),
        /* doors into the kernel */
        DEADLY(io_uring_setup, 1, FAR),
        DEADLY(userfaultfd, 0),
        DEADLY(bpf, 0, FAR, 128),
        DEADLY(perf_event_open, FAR, PARENT, -1, -1, 0),
        DEADLY(keyctl, 0, -3, 0),
        DEADLY(add_key, PATH, PATH, PATH, 1, -3),
        DEADLY(request_key, PATH, PATH, 0, 0),
        DEADLY(unshare, CLONE_NEWUSER),
        DEADLY(setns, 0, 0),
        DEADLY(mount, PATH, PATH, PATH, 0, 0),
        DEADLY(umount2, PATH, 0),
        DEADLY(init_module, FAR, 64, PATH),
        UNKNOWN(pivot_root, PATH, PATH),
        UNKNOWN(syslog, 3, FAR, 64),
        UNKNOWN(reboot, 0, 0, 0, 0),
        UNKNOWN(setuid, 1),
        UNKNOWN(setresuid, 1, 1, 1),
        UNKNOWN(capset, FAR, FAR),
        UNKNOWN(prctl, PR_SET_DUMPABLE, 1),
        UNKNOWN(prctl, PR_SET_NAME + FAR, FAR),
        UNKNOWN(msgget, 0, 0600),
        UNKNOWN(semget, 0, 1, 0600),
        UNKNOWN(shmget, 0, 4096, 0600),
        UNKNOWN(mq_open, PATH, O_CREAT, 0600, 0),
        UNKNOWN(landlock_create_ruleset, FAR, 8, 0),
        /* the network */
        ESCAPE(socket, KILLED, KILLED, EACCES, AF_UNIX, SOCK_STREAM, 0),
        ESCAPE(socket, KILLED, KILLED, EACCES, AF_NETLINK, SOCK_RAW, 0),
        ESCAPE(socket, KILLED, KILLED, EACCES, AF_INET, SOCK_RAW, 1),
        ESCAPE(socket, KILLED, KILLED, EACCES, 17 /* AF_PACKET */, 3, 0),
        ESCAPE(socket, KILLED, KILLED, EACCES, AF_INET, SOCK_STREAM, 262 /* IPPROTO_MPTCP */),
        ESCAPE(socket, KILLED, KILLED, EACCES, AF_INET6, SOCK_STREAM, 262),
        ESCAPE(socket, KILLED, KILLED, EACCES, AF_INET, SOCK_STREAM, IPPROTO_SCTP),
        ESCAPE(socket, KILLED, KILLED, EACCES, AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE),
        ESCAPE(socket, KILLED, KILLED, EACCES, AF_INET6, SOCK_DGRAM, IPPROTO_UDPLITE),
        ESCAPE(socket, KILLED, KILLED, EACCES, AF_INET, SOCK_DGRAM, IPPROTO_ICMP),
        ESCAPE(socketpair, KILLED, KILLED, EACCES, AF_UNIX, SOCK_DGRAM, 0, FAR),
        ESCAPE(socketpair, KILLED, KILLED, EACCES, AF_UNIX, SOCK_RAW, 0, FAR),
        ESCAPE(socketpair, KILLED, KILLED, EACCES, AF_UNIX, SOCK_SEQPACKET, 0, FAR),
        ESCAPE(socketpair, KILLED, KILLED, EACCES, 30 /* AF_TIPC */, SOCK_STREAM, 0, FAR),
        ESCAPE(bind, KILLED, KILLED, EACCES, 0, FAR, 16),
        /* options of a socket: marks, repair, other people's addresses, code */
        OPTION(SOL_SOCKET, SO_MARK),
        OPTION(SOL_SOCKET, SO_RCVBUFFORCE),
        OPTION(SOL_SOCKET, SO_BINDTODEVICE),
        OPTION(SOL_SOCKET, SO_ATTACH_FILTER),
        OPTION(SOL_SOCKET, SO_REUSEPORT),
        OPTION(SOL_SOCKET, SO_PASSCRED),
        OPTION(IPPROTO_TCP, TCP_REPAIR),
        OPTION(IPPROTO_TCP, TCP_ULP),
        OPTION(IPPROTO_TCP, TCP_CONGESTION),
        OPTION(IPPROTO_TCP, TCP_FASTOPEN),
        OPTION(IPPROTO_IP, IP_TRANSPARENT),
        OPTION(IPPROTO_IP, IP_OPTIONS),
        OPTION(IPPROTO_IP, IP_ADD_MEMBERSHIP),
        OPTION(IPPROTO_IP, 64 /* of netfilter: its tables */),
        OPTION(IPPROTO_IPV6, IPV6_TRANSPARENT),
        OPTION(IPPROTO_IPV6, IPV6_JOIN_GROUP),
        OPTION(IPPROTO_UDP, 103 /* UDP_SEGMENT */),
        UNKNOWN(listen, 0, 1),
        UNKNOWN(accept4, 0, 0, 0, 0),
        /* what nobody knows yet */
        {"call 1500", 1500, {0}, KILLED, KILLED, ENOSYS},
#ifdef __x86_64__
        {"x32 getpid", 0x40000000 | SYS_getpid, {0}, KILLED, KILLED, KILLED},
#endif
    };
    size_t count = sizeof(all) / sizeof(all[0]);

    for (size_t i = 0; i < count && i < count_max; i++) {
        out[i] = all[i];
    }
    return count;
}

#define ESCAPES_MAX 160

/* The result of escape `at`, tried after `enter`: KILLED, an errno, or 0. -2:
 * enter() did not return 1. */
static inline int escape_try(size_t at, int (*enter)(void *), void *context)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        static struct escape escapes[ESCAPES_MAX];
        /* As a hostile model would have it: mapped, and far up. */
        union {
            long number;
            void *address;
        } far = {FAR};
        (void)mmap(far.address, FAR_BYTES, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        (void)escapes_fill(escapes, ESCAPES_MAX);
        const struct escape *escape = &escapes[at];
        const long *a = escape->arguments;
        if (enter(context) != 1) {
            _exit(254);
        }
        errno = 0;
        long rv = syscall(escape->number, a[0], a[1], a[2], a[3], a[4], a[5]);
        _exit(rv >= 0 ? 0 : errno);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid) {
        return -3;
    }
    if (WIFSIGNALED(status)) {
        return WTERMSIG(status) == SIGSYS ? KILLED : -4;
    }
    return WEXITSTATUS(status) == 254 ? -2 : WEXITSTATUS(status);
}

/* Who goes on as the owner of a folder hands some of root's rights on. */
static inline void rights_hand_on(void)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

    if (syscall(SYS_capget, &head, data) == 0) {
        data[0].inheritable = data[0].permitted;
        (void)syscall(SYS_capset, &head, data);
        (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_READ_SEARCH, 0, 0);
    }
}

/* The capabilities of any kind (permitted, ambient, ...) that a process has
 * once `enter` returned 1, a bit each; UINT64_MAX: it did not. */
static inline uint64_t rights_left(int (*enter)(void *), void *context)
{
    static const char *const kinds[] = {"CapInh:", "CapPrm:", "CapEff:", "CapAmb:"};
    char path[64], line[128], word = 0;
    uint64_t all = 0;
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        return UINT64_MAX;
    }
    pid_t pid = fork();
    if (pid == 0) {
        close(pair[0]);
        rights_hand_on();
        if (enter(context) == 1 && write(pair[1], "e", 1) == 1) {
            (void)!read(pair[1], &word, 1);
        }
        _exit(0);
    }
    close(pair[1]);
    (void)snprintf(path, sizeof(path), "/proc/%ld/status", (long)pid);
    FILE *status = read(pair[0], &word, 1) == 1 ? fopen(path, "re") : NULL;
    while (status != NULL && fgets(line, sizeof(line), status) != NULL) {
        for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
            all |= strncmp(line, kinds[i], strlen(kinds[i])) == 0
                       ? strtoull(line + strlen(kinds[i]), NULL, 16)
                       : 0;
        }
    }
    all = status == NULL ? UINT64_MAX : all;
    if (status != NULL) {
        (void)fclose(status);
    }
    close(pair[0]);
    (void)waitpid(pid, NULL, 0);
    return all;
}

/* All of them; the number of those that ended otherwise than expected. */
enum escape_from { FROM_ENGINE, FROM_OPENING, FROM_UPDATER, FROM_SHARE, FROM_GUARD };

/* Who serves neighbours takes their calls, and knows fewer than the updater. */
static inline bool is_of_share(const struct escape *escape, int got)
{
    return escape->number == SYS_accept4 ? got == ENOTSOCK : got == ENOSYS;
}

/* The guard makes the socket of its runtime, and connects it to a path of its folder. */
static inline bool is_of_guard(const struct escape *escape)
{
    return escape->number == SYS_socket && escape->arguments[0] == AF_UNIX;
}

static inline unsigned escapes_try(enum escape_from from, int (*enter)(void *), void *context)
{
    static struct escape escapes[ESCAPES_MAX];
    size_t count = escapes_fill(escapes, ESCAPES_MAX);
    unsigned wrong = 0;

    for (size_t i = 0; i < count; i++) {
        int wanted = from == FROM_GUARD     ? (is_of_guard(&escapes[i]) ? 0 : escapes[i].engine)
                     : from == FROM_ENGINE  ? escapes[i].engine
                     : from == FROM_OPENING ? escapes[i].opening
                                            : escapes[i].updater;
        int got = escape_try(i, enter, context);
        if (got != wanted && (from != FROM_SHARE || !is_of_share(&escapes[i], got))) {
            wrong++;
            (void)printf("%s: %d, not %d\n", escapes[i].name, got, wanted);
        }
    }
    (void)printf("%zu escapes tried, %u not as they should be\n", count, wrong);
    return count >= 40 ? wrong : wrong + 1;
}

#endif
