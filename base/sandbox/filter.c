/* Sandbox kit, filter: sets resource limits, and filters system calls.
 *
 * A table is compiled to a seccomp BPF program. The program sees a call's
 * number and its six 64-bit arguments, 32 bits at a time. */
#include "base/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <flotilla/errors/process.h>

/* Values of each architecture: its audit number, and the registers with a
 * trapped call's arguments and result. */
#if defined(__x86_64__)
#define FILTER_ARCH AUDIT_ARCH_X86_64
#define REGISTER(context, n)                                                                       \
    ((context)->uc_mcontext.gregs[(const int[]){REG_RDI, REG_RSI, REG_RDX, REG_R10}[n]])
#define RESULT(context) ((context)->uc_mcontext.gregs[REG_RAX])
#elif defined(__aarch64__)
#define FILTER_ARCH AUDIT_ARCH_AARCH64
#define REGISTER(context, n) ((context)->uc_mcontext.regs[n])
#define RESULT(context) ((context)->uc_mcontext.regs[0])
#elif defined(__arm__)
#define FILTER_ARCH AUDIT_ARCH_ARM
#define REGISTER(context, n) ((&(context)->uc_mcontext.arm_r0)[n])
#define RESULT(context) ((context)->uc_mcontext.arm_r0)
#else
#define FILTER_ARCH 0 /* there is no filter for this architecture */
#endif
#ifdef SYS_fstat64
#define FSTAT SYS_fstat64
#else
#define FSTAT SYS_fstat
#endif

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "the low half of an argument comes first");

#define X32_BIT 0x40000000u
/* most instructions: load, compare, 3 conditions of 6, return */
#define RULE_CODE_MAX 21
#define RULES_MAX 190 /* most rules, because the kernel accepts 4096 instructions */

const char *flo_sandbox_lacks(void)
{
    const uint32_t action = SECCOMP_RET_KILL_PROCESS;

    if (FILTER_ARCH == 0 || syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) < 0) {
        return FLO_SANDBOX_PART_CALLS;
    }
    return flo_sandbox_has_landlock() ? NULL : FLO_SANDBOX_PART_FILES;
}

/* ---- limits ---- */

void flo_sandbox_limit(int resource, uint64_t value)
{
    rlim_t bound = value > (rlim_t)-1 ? RLIM_INFINITY : (rlim_t)value;
    struct rlimit limit;

    /* The limit stays when it is lower already, because it can only be
     * lowered. */
    if (getrlimit(resource, &limit) == 0 && limit.rlim_max < bound) {
        bound = limit.rlim_max;
    }
    limit.rlim_cur = limit.rlim_max = bound;
    if (setrlimit(resource, &limit) < 0) {
        flo_log(FLO_LOG_WARN, "sandbox", "resource limit %d cannot be set: %s", resource,
                strerror(errno));
    }
}

void flo_sandbox_close_memory(void)
{
    flo_sandbox_limit(RLIMIT_CORE, 0);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        (flo_sandbox_is_built() && prctl(PR_SET_DUMPABLE, 0) < 0)) {
        flo_log(FLO_LOG_WARN, "sandbox", "prctl: %s", strerror(errno));
    }
}

/* ---- fstat by another name ---- */

#if FILTER_ARCH != 0
/* Answers a trapped newfstatat with fstat on the descriptor, whatever path was
 * given.  A libc implements fstat as newfstatat with an empty path. */
static void on_trap(int number, siginfo_t *info, void *context)
{
    ucontext_t *at = context;
    int keep = errno;
    union {
        uintptr_t number;
        const char *text;
    } path = {(uintptr_t)REGISTER(at, 1)};
    long result = -EACCES;

    (void)number, (void)info;
    if (((unsigned long)REGISTER(at, 3) & AT_EMPTY_PATH) != 0 && path.text != NULL &&
        path.text[0] == '\0') {
        result = syscall(FSTAT, (int)REGISTER(at, 0), REGISTER(at, 2));
        result = result < 0 ? -errno : result;
    }
    memcpy(&RESULT(at), &result, sizeof(RESULT(at)));
    errno = keep;
}

static int catch_traps(struct flo_err *err)
{
    struct sigaction action;

    memset(&action, 0, sizeof(action));
    action.sa_sigaction = on_trap;
    action.sa_flags = SA_SIGINFO | SA_RESTART;
    return sigaction(SIGSYS, &action, NULL) == 0
               ? 0
               : flo_fail_errno(err, FLO_E_PROCESS, "catch SIGSYS");
}
#else
static int catch_traps(struct flo_err *err)
{
    (void)err;
    return 0;
}
#endif

/* ---- the filter ---- */

struct program {
    struct sock_filter code[8 + RULES_MAX * RULE_CODE_MAX];
    size_t n;
    bool has_number; /* true: the accumulator has the call's number */
};
_Static_assert(8 + RULES_MAX * RULE_CODE_MAX < BPF_MAXINSNS, "kernel's limit");

static void emit(struct program *p, uint16_t code, uint8_t yes, uint8_t no, uint32_t value)
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

static uint32_t action_of(enum flo_sandbox_action action, int error)
{
    switch (action) {
    case FLO_SANDBOX_ALLOW:
        return SECCOMP_RET_ALLOW;
    case FLO_SANDBOX_REFUSE:
        return SECCOMP_RET_ERRNO | ((uint32_t)error & SECCOMP_RET_DATA);
    case FLO_SANDBOX_FSTAT:
        return SECCOMP_RET_TRAP;
    case FLO_SANDBOX_KILL:
    default:
        return SECCOMP_RET_KILL_PROCESS;
    }
}

/* Emits the comparison of both 32-bit halves of an argument, as far as the mask
 * needs them. */
static void emit_condition(struct program *p, const struct flo_sandbox_condition *when)
{
    uint64_t value = when->value == FLO_SANDBOX_SELF ? (uint64_t)getpid() : when->value;
    size_t at = offsetof(struct seccomp_data, args) + 8u * when->argument;

    for (unsigned half = 0; half < 2; half++) {
        uint32_t mask = (uint32_t)(when->mask >> (32 * half));
        if (mask == 0) {
            continue;
        }
        emit_load(p, at + 4u * half);
        if (mask != UINT32_MAX) {
            emit(p, BPF_ALU | BPF_AND | BPF_K, 0, 0, mask);
        }
        emit(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 0, (uint32_t)(value >> (32 * half)) & mask);
        p->has_number = false;
    }
}

/* Emits the code of one rule.  Each comparison that fails jumps to the next
 * rule. */
static void emit_rule(struct program *p, const struct flo_sandbox_rule *rule)
{
    if (!p->has_number) {
        emit_load(p, offsetof(struct seccomp_data, nr));
        p->has_number = true;
    }
    size_t begin = p->n;
    emit(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 0, (uint32_t)rule->number);
    for (size_t i = 0; i < FLO_COUNT(rule->when); i++) {
        emit_condition(p, &rule->when[i]);
    }
    emit_return(p, action_of((enum flo_sandbox_action)rule->action, rule->error));
    for (size_t i = begin; i < p->n; i++) {
        if (BPF_CLASS(p->code[i].code) == BPF_JMP) {
            p->code[i].jf = (uint8_t)(p->n - i - 1);
        }
    }
}

static void program_make(struct program *p, const struct flo_sandbox_policy *policy, uint8_t stage)
{
    memset(p, 0, sizeof(*p));
    emit_load(p, offsetof(struct seccomp_data, arch));
    emit(p, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, FILTER_ARCH);
    emit_return(p, SECCOMP_RET_KILL_PROCESS);
    emit_load(p, offsetof(struct seccomp_data, nr));
    p->has_number = true;
#ifdef __x86_64__
    emit(p, BPF_JMP | BPF_JGE | BPF_K, 0, 1, X32_BIT);
    emit_return(p, SECCOMP_RET_KILL_PROCESS);
#endif
    for (size_t i = 0; i < policy->count; i++) {
        if ((policy->rules[i].stages & stage) != 0) {
            emit_rule(p, &policy->rules[i]);
        }
    }
    emit_return(
        p, action_of(policy->error != 0 ? FLO_SANDBOX_REFUSE : FLO_SANDBOX_KILL, policy->error));
}

int flo_sandbox_filter(const struct flo_sandbox_policy *policy, uint8_t stage, struct flo_err *err)
{
    struct program program;

    if (!flo_sandbox_is_built() || FILTER_ARCH == 0) {
        return 0;
    }
    if (policy->count > RULES_MAX) {
        return flo_fail(err, FLO_E_INTERNAL, "%zu rules, at most %d", policy->count, RULES_MAX);
    }
    program_make(&program, policy, stage);
    struct sock_fprog fprog = {(unsigned short)program.n, program.code};
    FLO_TRY(catch_traps(err));
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &fprog) == 0) {
        return 1;
    }
    if (errno == ENOSYS || errno == EINVAL) {
        return 0; /* this kernel, or an emulator, has no filters */
    }
    return flo_fail_errno(err, FLO_E_PROCESS, "seccomp filter");
}
