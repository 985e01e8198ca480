/* Keeper: a process between the proxy and the runtime's processes, so that none
 * of these outlives the proxy.
 *
 * If the kernel allows it, the keeper is the first process of a PID namespace,
 * whose other processes are killed with it.  Otherwise it is a subreaper and
 * kills its children until it has none.  It is a fork of the proxy.  It keeps the rights
 * that the guard gives up, and reads nothing that a parser writes. */
#include "engine/proxy/proxy.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <flotilla/errors/runtime.h>

#define FILE_BYTES_MAX ((uint64_t)1 << 30) /* one scratch file */
#define DESCRIPTORS 1024
#define THREADS_OF_USER_MAX 2048
#define TICK_MS 10
#define ENDED_EARLY 127
#define RIGHT(word) (1ULL << CAP_##word)
/* Rights to end a runtime of another user, to read its memory, and to remove its files. */
#define RIGHTS                                                                                     \
    (RIGHT(KILL) | RIGHT(SYS_PTRACE) | RIGHT(DAC_OVERRIDE) | RIGHT(FOWNER) | RIGHT(SYS_ADMIN))

static volatile sig_atomic_t is_asked;

/* Notes that SIGTERM asks the keeper to stop.  SIGCHLD only wakes the
 * keeper. */
static void on_signal(int number)
{
    is_asked = is_asked || number == SIGTERM;
}

/* ---- the scratch folder ---- */

/* Removes the mount point at which the runtime's user saw the release's
 * files. */
static void remove_tree_of(const char *scratch)
{
    char place[FLO_SCRATCH_BYTES + 8];

    snprintf(place, sizeof(place), "%s.tree", scratch);
    (void)umount2(place, MNT_DETACH);
    (void)rmdir(place);
}

/* ---- the runtime's own process ---- */

_Noreturn static void tell(const struct flo_keeping *keeping, const struct flo_err *err)
{
    ssize_t n = write(keeping->report, err->what, strlen(err->what));
    (void)n; /* if the write fails, the proxy still sees that the keeper exits */
    _exit(ENDED_EARLY);
}

/* Sets limits, cgroup and user of the runtime's process, while it still has the
 * rights to do so. */
static void settle(const struct flo_keeping *keeping)
{
    struct flo_err err = {0};

    if (keeping->group->folder[0] != '\0' && !flo_cgroup_enter(keeping->group)) {
        flo_fail_errno(&err, FLO_E_RUNTIME_START, "its cgroup");
        tell(keeping, &err);
    }
    flo_sandbox_limit(RLIMIT_CORE, 0);
    flo_sandbox_limit(RLIMIT_FSIZE, FILE_BYTES_MAX);
    flo_sandbox_limit(RLIMIT_NOFILE, DESCRIPTORS);
    if (keeping->data_bytes_max > 0) {
        flo_sandbox_limit(RLIMIT_DATA, keeping->data_bytes_max);
    }
    if (!keeping->has_user) {
        return;
    }
    flo_sandbox_limit(RLIMIT_NPROC, THREADS_OF_USER_MAX);
    if (setgroups(0, NULL) < 0 || setresgid(keeping->gid, keeping->gid, keeping->gid) < 0 ||
        setresuid(keeping->uid, keeping->uid, keeping->uid) < 0) {
        flo_fail_errno(&err, FLO_E_RUNTIME_START, "to be the user %u", (unsigned)keeping->uid);
        tell(keeping, &err);
    }
}

/* Drops all capabilities of the process, whether it is root in a namespace or
 * root itself. */
static void drop_rights(void)
{
    prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED, 0, 0, 0);
    (void)!flo_sandbox_keep_rights(0, 0, NULL);
}

static void set_streams(const struct flo_keeping *keeping)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    dup2(null, 0);
    dup2(keeping->output >= 0 ? keeping->output : null, 1);
    dup2(keeping->errors, 2);
}

_Noreturn static void run(const struct flo_keeping *keeping)
{
    union {
        const char *const *given;
        char *const *wanted;
    } arguments = {.given = keeping->argv};
    struct flo_err err = {0};
    struct sigaction plain;
    sigset_t none;

    memset(&plain, 0, sizeof(plain));
    plain.sa_handler = SIG_DFL;
    for (int i = 1; i < NSIG; i++) {
        sigaction(i, &plain, NULL);
    }
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    set_streams(keeping);
    settle(keeping);
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* set again, because a change of user clears this setting */
    if (chdir(keeping->scratch) < 0) {
        flo_fail_errno(&err, FLO_E_RUNTIME_START, "its scratch folder");
        tell(keeping, &err);
    }
    drop_rights();
    int rv = flo_sandbox_files(keeping->paths, keeping->n_paths,
                               keeping->connects ? FLO_SANDBOX_TCP : FLO_SANDBOX_NO_TCP, &err);
    if (rv < 0 || (rv == 0 && keeping->needs_files)) {
        if (rv == 0) {
            flo_fail(&err, FLO_E_RUNTIME_START, "this kernel has no %s", FLO_SANDBOX_PART_FILES);
        }
        tell(keeping, &err);
    }
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    syscall(SYS_close_range, 3u, ~0u, 1u << 2 /* at exec */);
    execve(keeping->argv[0], arguments.wanted, keeping->environment);
    flo_fail_errno(&err, FLO_E_RUNTIME_START, "exec %.200s", keeping->argv[0]);
    tell(keeping, &err);
}

/* ---- ending ---- */

static void wait_ms(long ms)
{
    const struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&time, NULL); /* a signal may end this sleep early, which does no harm */
}

/* Kills the children of this process that the kernel lists. */
static void kill_children(void)
{
    char text[4096];
    int fd = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

    if (fd >= 0) {
        close(fd);
    }
    text[n > 0 ? n : 0] = '\0';
    for (char *p = text, *end; *p != '\0'; p = end) {
        long pid = strtol(p, &end, 10);
        if (end == p) {
            break;
        }
        if (pid > 0) {
            kill((pid_t)pid, SIGKILL);
        }
        end += *end == ' ' ? 1 : 0;
    }
}

/* Kills processes until none is left, for at most some seconds.  A process that
 * is blocked in the kernel dies only when its system call returns. */
static void end_all(bool is_first)
{
    for (int i = 0; i < 500; i++) {
        if (is_first) {
            kill(-1, SIGKILL); /* kills all other processes of the PID namespace */
        } else {
            kill_children();
        }
        pid_t pid;
        do {
            pid = waitpid(-1, NULL, WNOHANG);
        } while (pid > 0);
        if (pid < 0 && errno == ECHILD) {
            return;
        }
        wait_ms(TICK_MS);
    }
}

static void tell_figures(const struct flo_keeping *keeping)
{
    struct flo_runtime_figures figures = {.kills = flo_cgroup_kills(keeping->group)};
    char own[16] = ""; /* this process, in the numbers of this /proc */

    if (readlink("/proc/self", own, sizeof(own) - 1) > 0) {
        flo_runtime_memory((pid_t)strtol(own, NULL, 10), &figures.bytes, &figures.count);
    }
    (void)!send(keeping->guard, &figures, sizeof(figures), MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Waits until the runtime exits and returns its status, or -1 if a stop was
 * asked for.  Signals are delivered only in ppoll(), so none is lost between a
 * check and the wait. */
static int wait_for(pid_t runtime, const struct flo_keeping *keeping)
{
    struct pollfd words = {.fd = keeping->guard, .events = POLLIN};
    char word;
    sigset_t none;

    sigemptyset(&none);
    while (!is_asked) {
        int status;
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid == runtime) {
            return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
        }
        if (pid < 0 && errno != EINTR) {
            return ENDED_EARLY;
        }
        if (pid == 0 && ppoll(&words, 1, NULL, &none) > 0) {
            if (recv(words.fd, &word, 1, MSG_DONTWAIT) == 1) {
                tell_figures(keeping);
            } else {
                words.fd = -1; /* the guard is gone, and SIGTERM comes */
            }
        }
    }
    return -1;
}

static void end_gently(pid_t runtime, uint64_t stop_ms)
{
    kill(runtime, SIGTERM);
    for (uint64_t ms = 0; ms < stop_ms; ms += TICK_MS) {
        pid_t pid = waitpid(-1, NULL, WNOHANG);
        if (pid == runtime || (pid < 0 && errno == ECHILD)) {
            return;
        }
        wait_ms(TICK_MS);
    }
}

bool flo_keeper_show_processes(void)
{
    return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) == 0;
}

_Noreturn void flo_keeper_run(const struct flo_keeping *keeping)
{
    struct sigaction action;
    struct flo_cgroup group = *keeping->group;
    bool is_first = getpid() == 1;

    memset(&action, 0, sizeof(action));
    action.sa_handler = on_signal;
    sigemptyset(&action.sa_mask);
    sigaddset(&action.sa_mask, SIGTERM);
    sigaddset(&action.sa_mask, SIGCHLD);
    sigprocmask(SIG_BLOCK, &action.sa_mask, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGCHLD, &action, NULL);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    if (!is_first && getppid() != keeping->proxy) {
        _exit(ENDED_EARLY);
    }
    setpgid(0, 0);
    if (is_first) {
        /* a failure is ignored: start.c has checked whether the runtime needs /proc */
        (void)flo_keeper_show_processes();
    }
    pid_t runtime = fork();
    if (runtime == 0) {
        run(keeping);
    }
    flo_sandbox_close_memory();
    (void)!flo_sandbox_keep_rights(RIGHTS, RIGHTS, NULL);
    close(keeping->report);
    close(keeping->errors);
    if (keeping->output >= 0) {
        close(keeping->output);
    }
    int status = runtime < 0 ? ENDED_EARLY : wait_for(runtime, keeping);
    if (status < 0) {
        end_gently(runtime, keeping->stop_ms);
        status = 0;
    }
    end_all(is_first);
    tell_figures(keeping);
    flo_cgroup_end(&group);
    if (keeping->has_user) {
        remove_tree_of(keeping->scratch);
    }
    flo_scratch_remove(keeping->scratch);
    _exit(status);
}
