/* Sandbox of the engine process: a hostile model can spoil its answers and
 * end its process, and nothing else.
 *
 * The filter is an allow-list in seccomp's BPF, two instructions a call.
 * The model file is parsed inside it already. */
#include "engine/run/run.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||     \
    __has_feature(memory_sanitizer)
#define IS_SANITIZER 1
#endif
#endif
#ifndef IS_SANITIZER
#define IS_SANITIZER 0
#endif

#if defined(__x86_64__)
#define FILTER_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define FILTER_ARCH AUDIT_ARCH_AARCH64
#else
#define FILTER_ARCH 0 /* no filter known for this machine */
#endif

#define DESCRIPTORS_MAX 16
#define X32_BIT 0x40000000u

/* When is the call let through? */
enum test {
    ALWAYS,
    IF_CLEAR, /* (argument & value) == 0 */
    IF_SET,   /* (argument & value) != 0 */
    IF_EQUAL, /* argument == value */
    IF_SELF,  /* argument == our process id */
    IN_VAIN,  /* no, but with an error (value), not with death */
};
/* In which of the levels? */
enum { BOTH, OPENING };

struct rule {
    int number;
    uint8_t level;
    uint8_t test;
    uint8_t argument;
    uint32_t value;
};

static const struct rule rules[] = {
    /* the socket */
    {SYS_read, BOTH, ALWAYS, 0, 0},
    {SYS_recvmsg, BOTH, ALWAYS, 0, 0},
    {SYS_recvfrom, BOTH, ALWAYS, 0, 0},
    {SYS_sendto, BOTH, ALWAYS, 0, 0},
    {SYS_sendmsg, BOTH, ALWAYS, 0, 0},
    {SYS_write, BOTH, ALWAYS, 0, 0},
    {SYS_writev, BOTH, ALWAYS, 0, 0}, /* glibc's last words */
    {SYS_ppoll, BOTH, ALWAYS, 0, 0},
#ifdef SYS_poll
    {SYS_poll, BOTH, ALWAYS, 0, 0},
#endif
    {SYS_close, BOTH, ALWAYS, 0, 0},
    /* adapters, of descriptors that came over the socket */
    {SYS_lseek, BOTH, ALWAYS, 0, 0},
    {SYS_pread64, BOTH, ALWAYS, 0, 0},
    /* memory, never executable */
    {SYS_mmap, BOTH, IF_CLEAR, 2, PROT_EXEC},
    {SYS_mprotect, BOTH, IF_CLEAR, 2, PROT_EXEC},
    {SYS_munmap, BOTH, ALWAYS, 0, 0},
    {SYS_mremap, BOTH, ALWAYS, 0, 0},
    {SYS_madvise, BOTH, ALWAYS, 0, 0},
    {SYS_brk, BOTH, ALWAYS, 0, 0},
    {SYS_sysinfo, BOTH, ALWAYS, 0, 0}, /* glibc's qsort asks for it */
    /* threads that wait for each other */
    {SYS_futex, BOTH, ALWAYS, 0, 0},
    {SYS_sched_yield, BOTH, ALWAYS, 0, 0},
    {SYS_sched_getaffinity, BOTH, ALWAYS, 0, 0},
    {SYS_set_robust_list, BOTH, ALWAYS, 0, 0},
#ifdef SYS_rseq
    {SYS_rseq, BOTH, ALWAYS, 0, 0},
#endif
    {SYS_gettid, BOTH, ALWAYS, 0, 0},
    {SYS_getpid, BOTH, ALWAYS, 0, 0},
    {SYS_prctl, BOTH, IF_EQUAL, 0, PR_SET_NAME},
    {SYS_getcpu, BOTH, ALWAYS, 0, 0},
    /* time and chance */
    {SYS_clock_gettime, BOTH, ALWAYS, 0, 0},
    {SYS_clock_nanosleep, BOTH, ALWAYS, 0, 0},
    {SYS_nanosleep, BOTH, ALWAYS, 0, 0},
    {SYS_gettimeofday, BOTH, ALWAYS, 0, 0},
    {SYS_getrandom, BOTH, ALWAYS, 0, 0},
    {SYS_getrusage, BOTH, ALWAYS, 0, 0},
    {SYS_restart_syscall, BOTH, ALWAYS, 0, 0},
    /* signals to itself, and the end */
    {SYS_rt_sigreturn, BOTH, ALWAYS, 0, 0},
    {SYS_rt_sigprocmask, BOTH, ALWAYS, 0, 0},
    {SYS_rt_sigaction, BOTH, ALWAYS, 0, 0},
    {SYS_tgkill, BOTH, IF_SELF, 0, 0},
    {SYS_exit, BOTH, ALWAYS, 0, 0},
    {SYS_exit_group, BOTH, ALWAYS, 0, 0},
    /* while the model is opened */
    {SYS_clone, OPENING, IF_SET, 0, CLONE_THREAD},
    {SYS_clone3, OPENING, IN_VAIN, 0, ENOSYS}, /* libc then takes clone */
    {SYS_openat, OPENING, IN_VAIN, 0, EACCES},
    {SYS_newfstatat, OPENING, ALWAYS, 0, 0},
    {SYS_fstat, OPENING, ALWAYS, 0, 0},
    {SYS_statx, OPENING, ALWAYS, 0, 0},
    {SYS_fcntl, OPENING, ALWAYS, 0, 0},
    {SYS_fadvise64, OPENING, ALWAYS, 0, 0},
    {SYS_msync, OPENING, ALWAYS, 0, 0},
    {SYS_prlimit64, OPENING, IF_EQUAL, 2, 0}, /* reading only */
    {SYS_sched_setaffinity, OPENING, ALWAYS, 0, 0},
    {SYS_seccomp, OPENING, ALWAYS, 0, 0}, /* to close the door */
};

/* ---- before ------------------------------------------------------ */

static void limit_set(int resource, rlim_t value)
{
    struct rlimit limit = {value, value};
    setrlimit(resource, &limit);
}

static void adjust_oom_score(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t n = write(fd, "500", 3);
        (void)n; /* a wish */
        close(fd);
    }
}

void flo_sandbox_prepare(int socket)
{
    adjust_oom_score();
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null >= 0) {
        dup2(null, 0);
        dup2(null, 1);
        if (!IS_SANITIZER) {
            dup2(null, 2);
        }
        if (null > 2 && null != socket) {
            close(null);
        }
    }
    syscall(SYS_close_range, (unsigned)socket + 1, ~0u, 0u);
    limit_set(RLIMIT_CORE, 0);
    limit_set(RLIMIT_FSIZE, 0);
    limit_set(RLIMIT_NOFILE, DESCRIPTORS_MAX);
    prctl(PR_SET_PDEATHSIG, 9 /* SIGKILL */);
    if (!IS_SANITIZER) {
        prctl(PR_SET_DUMPABLE, 0);
    }
}

/* ---- the filter -------------------------------------------------- */

#define FILTER_MAX (8 + 5 * FLO_COUNT(rules))

struct program {
    struct sock_filter code[FILTER_MAX];
    unsigned short n;
};

static void emit(struct program *p, uint16_t code, uint8_t yes, uint8_t no,
                 uint32_t value)
{
    p->code[p->n++] = (struct sock_filter){code, yes, no, value};
}

static void emit_load(struct program *p, size_t offset)
{
    emit(p, BPF_LD | BPF_W | BPF_ABS, 0, 0, (uint32_t)offset);
}

static void emit_return(struct program *p, uint32_t action)
{
    emit(p, BPF_RET | BPF_K, 0, 0, action);
}

static void emit_rule(struct program *p, const struct rule *rule)
{
    const uint16_t equal = BPF_JMP | BPF_JEQ | BPF_K;
    const uint16_t any_bit = BPF_JMP | BPF_JSET | BPF_K;
    uint32_t value = rule->value;
    if (rule->test == ALWAYS || rule->test == IN_VAIN) {
        emit(p, equal, 0, 1, (uint32_t)rule->number);
        emit_return(p, rule->test == ALWAYS ? SECCOMP_RET_ALLOW
                                            : SECCOMP_RET_ERRNO | value);
        return;
    }
    if (rule->test == IF_SELF) {
        value = (uint32_t)getpid();
    }
    emit(p, equal, 0, 4, (uint32_t)rule->number);
    /* The low word: both machines are little-endian, and none of these
     * arguments is wider. */
    emit_load(p, offsetof(struct seccomp_data, args) + 8u * rule->argument);
    if (rule->test == IF_CLEAR) {
        emit(p, any_bit, 1, 0, value);
    } else {
        emit(p, rule->test == IF_SET ? any_bit : equal, 0, 1, value);
    }
    emit_return(p, SECCOMP_RET_ALLOW);
    emit_return(p, SECCOMP_RET_KILL_PROCESS);
}

static void program_make(struct program *p, enum flo_sandbox level)
{
    memset(p, 0, sizeof(*p));
    emit_load(p, offsetof(struct seccomp_data, arch));
    emit(p, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, FILTER_ARCH);
    emit_return(p, SECCOMP_RET_KILL_PROCESS);
    emit_load(p, offsetof(struct seccomp_data, nr));
    emit(p, BPF_JMP | BPF_JGE | BPF_K, 0, 1, X32_BIT);
    emit_return(p, SECCOMP_RET_KILL_PROCESS);
    for (size_t i = 0; i < FLO_COUNT(rules); i++) {
        if (rules[i].level == BOTH || level == FLO_SANDBOX_OPENING) {
            emit_rule(p, &rules[i]);
        }
    }
    emit_return(p, SECCOMP_RET_KILL_PROCESS);
}

int flo_sandbox_enter(enum flo_sandbox level, struct flo_err *err)
{
    struct program program;
    if (IS_SANITIZER || FILTER_ARCH == 0) {
        return 0;
    }
    program_make(&program, level);
    struct sock_fprog fprog = {program.n, program.code};
    if (level == FLO_SANDBOX_OPENING &&
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
        return flo_fail_errno(err, FLO_E_PROCESS, "no_new_privs");
    }
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC,
                &fprog) == 0) {
        return 1;
    }
    if (level == FLO_SANDBOX_OPENING && (errno == ENOSYS || errno == EINVAL)) {
        return 0; /* a kernel, or an emulator, without filters */
    }
    return flo_fail_errno(err, FLO_E_PROCESS, "seccomp filter");
}
