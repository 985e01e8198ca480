/* Processes: starts children that inherit only the given descriptors and
 * variables. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <flotilla/base.h>
#include <flotilla/errors/process.h>

#include "base/talk.h"

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2)
#endif

enum {
    PASSED_FD = 3,
    DESCRIPTORS_MAX = 1 << 20,
    /* largest number of checks whether children are left, a millisecond
     * apart */
    KEEPER_LOOKS_MAX = 5000,
};

struct start {
    const char *const *argv;
    char *const *environment;
    int fd;         /* descriptor that becomes PASSED_FD in the child; -1: none */
    int streams[3]; /* stdin, stdout and stderr of the child; -1: as ours */
    bool is_kept;   /* true: the child runs under a supervisor (keeper) */
    bool is_ours;   /* true: no program that the owner chose, so it needs no new privileges */
};

int flo_process_close_at_exec(unsigned first)
{
    if (syscall(SYS_close_range, first, ~0U, CLOSE_RANGE_CLOEXEC) == 0) {
        return 0;
    }
    /* Kernels before 5.11 cannot set close-on-exec by close_range(), so it is
     * set for each descriptor. */
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > DESCRIPTORS_MAX) {
        return -1;
    }
    for (unsigned fd = first; fd < limit.rlim_cur; fd++) {
        int flags = fcntl((int)fd, F_GETFD);
        if (flags >= 0) {
            fcntl((int)fd, F_SETFD, flags | FD_CLOEXEC);
        }
    }
    return 0;
}

/* Sets up the child's signals and descriptors.  Returns false on failure, with
 * the reason in errno. */
static bool child_prepare(const struct start *start, pid_t parent)
{
    struct sigaction plain;
    sigset_t none;
    int fd = start->fd;

    memset(&plain, 0, sizeof(plain));
    plain.sa_handler = SIG_DFL;
    for (int i = 1; i < NSIG; i++) {
        /* the call fails for SIGKILL and SIGSTOP, which does not matter */
        sigaction(i, &plain, NULL);
    }
    sigemptyset(&none);
    if (start->is_ours) {
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    }
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent ||
        flo_process_close_at_exec(PASSED_FD) < 0) {
        return false;
    }
    for (int i = 0; i < 3; i++) {
        if (start->streams[i] >= 0 && dup2(start->streams[i], i) < 0) {
            return false;
        }
    }
    if (fd == PASSED_FD) {
        if (fcntl(fd, F_SETFD, 0) < 0) {
            return false;
        }
    } else if (fd >= 0 && dup2(fd, PASSED_FD) < 0) {
        return false;
    }
    return sigprocmask(SIG_SETMASK, &none, NULL) == 0;
}

/* Runs in the child, where only functions that are safe between fork and exec
 * may be called. */
static void child_run(const struct start *start, int report_fd, pid_t parent)
{
    /* exec takes char *const[] for historical reasons, but changes no text. */
    union {
        const char *const *given;
        char *const *wanted;
    } arguments = {.given = start->argv};

    if (child_prepare(start, parent)) {
        execve(start->argv[0], arguments.wanted, start->environment);
    }
    int number = errno;
    if (write(report_fd, &number, sizeof(number)) < 0) {
        _exit(126);
    }
    _exit(127);
}

/* ---- a program below a keeper ---- */

static volatile sig_atomic_t is_keeper_asked;

/* Notes that SIGTERM asks the keeper to end; SIGCHLD only wakes it. */
static void on_keeper_signal(int number)
{
    is_keeper_asked = is_keeper_asked || number == SIGTERM;
}

/* Kills all children of the keeper that the kernel lists. */
static void kill_children(void)
{
    char text[4096];
    int fd = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

    flo_fd_cleanup(&fd);
    text[n > 0 ? n : 0] = '\0';
    for (const char *p = text; *p != '\0';) {
        pid_t pid = 0;
        for (; *p >= '0' && *p <= '9'; p++) {
            pid = 10 * pid + (*p - '0');
        }
        if (pid > 0) {
            kill(pid, SIGKILL);
        }
        p += *p != '\0' ? 1 : 0;
    }
}

/* Kills children until none is left, for some seconds at most: a process inside
 * a system call ends when the call returns. */
static void end_children(void)
{
    const struct timespec pause = {.tv_nsec = 1000000};

    for (int i = 0; i < KEEPER_LOOKS_MAX; i++) {
        pid_t pid;
        kill_children();
        do {
            pid = waitpid(-1, NULL, WNOHANG);
        } while (pid > 0);
        if (pid < 0 && errno == ECHILD) {
            return;
        }
        nanosleep(&pause, NULL);
    }
}

/* Waits for the program.  Returns its status, or 0 when the keeper was asked to
 * end it.  Signals are unblocked in sigsuspend() alone, so none is missed
 * between check and wait. */
static int keep(pid_t program)
{
    int status = 0;
    sigset_t none;

    sigemptyset(&none);
    while (!is_keeper_asked) {
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid == program) {
            return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
        }
        if (pid < 0 && errno != EINTR) {
            return 127;
        }
        if (pid == 0) {
            sigsuspend(&none);
        }
    }
    return 0;
}

static void close_all(void)
{
    if (syscall(SYS_close_range, 0, ~0U, 0) == 0) {
        return;
    }
    for (int fd = 0; fd < DESCRIPTORS_MAX; fd++) { /* kernels before 5.9 */
        close(fd);
    }
}

static void keeper_run(const struct start *start, int report_fd, pid_t parent)
{
    struct sigaction action = {.sa_handler = on_keeper_signal};
    pid_t self = getpid(), program;

    sigfillset(&action.sa_mask);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGCHLD, &action, NULL);
    /* in a group of its own the keeper gets no Ctrl-C of a terminal; only the
     * agent does */
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0 || (program = fork()) < 0) {
        int number = errno;
        _exit(write(report_fd, &number, sizeof(number)) < 0 ? 126 : 127);
    }
    if (program == 0) {
        setpgid(0, 0);
        if (chdir("/") == 0) {
            child_run(start, report_fd, self);
        }
        _exit(127);
    }
    close_all();
    int status = keep(program);
    if (is_keeper_asked) {
        /* the program is not reaped yet, so its process number is still
         * valid */
        kill(-program, SIGKILL);
    }
    end_children();
    _exit(status);
}

/* ---- starting ---- */

/* Makes a close-on-exec pipe whose descriptors are above all those that a child
 * gets. */
static int report_pipe(int fds[2])
{
    int low[2];

    if (pipe2(low, O_CLOEXEC) < 0) {
        return -1;
    }
    fds[0] = fcntl(low[0], F_DUPFD_CLOEXEC, PASSED_FD + 1);
    fds[1] = fcntl(low[1], F_DUPFD_CLOEXEC, PASSED_FD + 1);
    int keep = errno;
    close(low[0]);
    close(low[1]);
    if (fds[0] >= 0 && fds[1] >= 0) {
        return 0;
    }
    flo_fd_cleanup(&fds[0]);
    flo_fd_cleanup(&fds[1]);
    errno = keep;
    return -1;
}

/* Tells whether a variable has a name of `keep`, or begins as an entry such as
 * "LD_*" says. */
static bool is_kept(const char *variable, const char *const *keep)
{
    for (; *keep != NULL; keep++) {
        size_t chars = strcspn(*keep, "*");
        if (strncmp(variable, *keep, chars) == 0 &&
            ((*keep)[chars] == '*' || variable[chars] == '=')) {
            return true;
        }
    }
    return false;
}

static int spawn(const struct start *start, pid_t *pid, struct flo_err *err)
{
    int report[2];
    sigset_t all, before;
    int number = 0;

    if (report_pipe(report) < 0) {
        return flo_fail_errno(err, FLO_E_PROCESS, "start %s", start->argv[0]);
    }
    /* All signals are blocked, because no signal handler of ours may run in the
     * child. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t parent = getpid();
    pid_t child = fork();
    if (child == 0) {
        if (start->is_kept) {
            keeper_run(start, report[1], parent);
        }
        child_run(start, report[1], parent);
    }
    int fork_errno = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    flo_fd_cleanup(&report[1]);
    if (child < 0) {
        flo_fd_cleanup(&report[0]);
        errno = fork_errno;
        return flo_fail_errno(err, FLO_E_PROCESS, "start %s", start->argv[0]);
    }
    ssize_t got;
    do {
        got = read(report[0], &number, sizeof(number));
    } while (got < 0 && errno == EINTR);
    flo_fd_cleanup(&report[0]);
    if (got != 0) {
        while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {
        }
        errno = got == (ssize_t)sizeof(number) ? number : EIO;
        return flo_fail_errno(err, FLO_E_PROCESS, "start %s", start->argv[0]);
    }
    *pid = child;
    return 0;
}

int flo_process_spawn(const char *const argv[], int fd, pid_t *pid, struct flo_err *err)
{
    const struct start start = {argv, environ, fd, {-1, -1, -1}, false, false};

    return spawn(&start, pid, err);
}

int flo_process_spawn_with(const char *const argv[], const char *variable, int fd, int error_fd,
                           pid_t *pid, struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char **environment = NULL;
    size_t chars = strcspn(variable, "=") + 1;
    size_t count = 0;

    while (environ[count] != NULL) {
        if (strncmp(environ[count++], variable, chars) == 0) {
            const struct start start = {argv, environ, fd, {-1, -1, error_fd}, false, true};
            return spawn(&start, pid, err);
        }
    }
    environment = calloc(count + 2, sizeof(*environment));
    if (environment == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "start %s", argv[0]);
    }
    memcpy(environment, environ, count * sizeof(*environment));
    environment[count] = (char *)(uintptr_t)variable;
    const struct start start = {argv, environment, fd, {-1, -1, error_fd}, false, true};
    return spawn(&start, pid, err);
}

int flo_process_spawn_bare(const char *const argv[], const char *const keep[], int fd, pid_t *pid,
                           struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char **environment = NULL;
    size_t count = 0;

    while (environ[count] != NULL) {
        count++;
    }
    environment = calloc(count + 1, sizeof(*environment));
    if (environment == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "start %s", argv[0]);
    }
    for (size_t i = 0, kept = 0; i < count; i++) {
        if (is_kept(environ[i], keep)) {
            environment[kept++] = environ[i];
        }
    }
    const struct start start = {argv, environment, fd, {-1, -1, -1}, false, true};
    return spawn(&start, pid, err);
}

int flo_process_spawn_kept(const char *const argv[], char *const environment[], int input,
                           int output, pid_t *pid, struct flo_err *err)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    const struct start start = {argv, environment, -1, {input, output, null}, true, false};

    if (null < 0) {
        return flo_fail_errno(err, FLO_E_PROCESS, "start %s", argv[0]);
    }
    int rv = spawn(&start, pid, err);
    close(null);
    return rv;
}

/* Returns the bytes of a "Name: 123 kB" line of /proc/<pid>/status. */
static uint64_t status_bytes(const char *text, const char *name)
{
    const char *line = strstr(text, name);

    if (line == NULL) {
        return 0;
    }
    return strtoull(line + strlen(name), NULL, 10) * 1024;
}

/* Reads a file of /proc/<pid> that has a line of that name.  Returns NULL when
 * the process is gone, or is a zombie without memory. */
static char *read_status(pid_t pid, const char *file, const char *name)
{
    char *text = NULL;
    char path[64];
    size_t bytes;

    snprintf(path, sizeof(path), "/proc/%ld/%s", (long)pid, file);
    if (flo_file_read(path, 64 << 10, &text, &bytes, NULL) < 0) {
        return NULL;
    }
    if (strstr(text, name) == NULL) {
        free(text);
        return NULL;
    }
    return text;
}

bool flo_process_memory(pid_t pid, uint64_t *rss, uint64_t *anonymous, uint64_t *peak)
{
    FLO_CLEANUP(flo_free_cleanup)
    char *text = read_status(pid, "status", "\nVmRSS:");

    if (text == NULL) {
        return false;
    }
    if (rss != NULL) {
        *rss = status_bytes(text, "\nVmRSS:");
    }
    if (anonymous != NULL) {
        *anonymous = status_bytes(text, "\nRssAnon:");
    }
    if (peak != NULL) {
        *peak = status_bytes(text, "\nVmHWM:");
    }
    return true;
}

bool flo_process_pss(pid_t pid, uint64_t *bytes)
{
    FLO_CLEANUP(flo_free_cleanup)
    char *text = read_status(pid, "smaps_rollup", "\nPss:");

    if (text == NULL) {
        return false;
    }
    *bytes = status_bytes(text, "\nPss:");
    return true;
}

/* Returns the fields of /proc/<pid>/stat after the name, which is in
 * parentheses and may hold any character.  Returns NULL when the process is
 * gone.  The caller frees `text`. */
static const char *read_stat(pid_t pid, char **text)
{
    char path[64];
    size_t bytes;

    snprintf(path, sizeof(path), "/proc/%ld/stat", (long)pid);
    if (flo_file_read(path, 64 << 10, text, &bytes, NULL) < 0) {
        return NULL;
    }
    return strrchr(*text, ')');
}

bool flo_process_work(pid_t pid, uint64_t *cpu_ms, bool *waits_for_disk)
{
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    long ticks_per_s = sysconf(_SC_CLK_TCK);
    unsigned long user, system;
    char state;
    /* the fields from 3 on: 3 is the state, 14 and 15 are the CPU times */
    const char *end = read_stat(pid, &text);

    if (ticks_per_s <= 0 || end == NULL ||
        sscanf(end, ") %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %lu %lu", &state, &user,
               &system) != 3) {
        return false;
    }
    *cpu_ms = (uint64_t)(user + system) * 1000 / (uint64_t)ticks_per_s;
    *waits_for_disk = state == 'D';
    return true;
}

static int last_cpu(pid_t pid)
{
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    const char *field = read_stat(pid, &text); /* the end of field 2, the name */

    for (int i = 2; i < 39 && field != NULL; i++) {
        field = strchr(field + 1, ' ');
    }
    return field != NULL ? atoi(field + 1) : -1;
}

bool flo_process_cpu_join(pid_t pid, pid_t other)
{
    cpu_set_t set;
    int cpu = last_cpu(other);

    if (cpu < 0 || cpu >= CPU_SETSIZE) {
        return false;
    }
    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    return sched_setaffinity(pid, sizeof(set), &set) == 0;
}

void flo_process_cpu_leave(pid_t pid)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof(set), &set) == 0) {
        (void)sched_setaffinity(pid, sizeof(set), &set);
    }
}

void flo_process_goes_first(unsigned score)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

    if (fd >= 0) {
        (void)!dprintf(fd, "%u", score); /* best effort */
        close(fd);
    }
}

void flo_process_idle(void)
{
    enum { WHO_PROCESS = 1, CLASS_IDLE = 3, CLASS_SHIFT = 13 };
    const struct sched_param none = {0};

    (void)setpriority(PRIO_PROCESS, 0, 19);
    (void)sched_setscheduler(0, SCHED_IDLE, &none);
    (void)syscall(SYS_ioprio_set, WHO_PROCESS, 0, CLASS_IDLE << CLASS_SHIFT);
}

bool flo_process_sibling(const char *name, char *out, size_t out_bytes)
{
    char self[PATH_MAX];
    const char *folder = getenv("FLOTILLA_BIN");
    ssize_t chars = readlink("/proc/self/exe", self, sizeof(self) - 1);

    if (chars > 0) {
        self[chars] = '\0';
        char *slash = strrchr(self, '/');
        if (slash != NULL) {
            *slash = '\0';
            if (!flo_path_join(out, out_bytes, self, name)) {
                return false;
            }
            if (folder == NULL || access(out, X_OK) == 0) {
                return true;
            }
        }
    }
    return folder != NULL && flo_path_join(out, out_bytes, folder, name);
}

int flo_process_talk(const char *argv[], const char *const keep[], int *fd, pid_t *pid,
                     struct flo_err *err)
{
    const char *name = argv[0];
    char program[4096];
    int pair[2];

    if (!flo_process_sibling(name, program, sizeof(program))) {
        return flo_fail(err, FLO_E_ABSENT, "the program %s is not installed", name);
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
        return flo_fail_errno(err, FLO_E_PROCESS, "socket pair");
    }
    *fd = pair[0];
    argv[0] = program;
    int rv = keep == NULL ? flo_process_spawn(argv, pair[1], pid, err)
                          : flo_process_spawn_bare(argv, keep, pair[1], pid, err);
    argv[0] = name;
    close(pair[1]);
    return rv;
}

bool flo_process_has_sibling(const char *name, char *out, size_t out_bytes)
{
    return flo_process_sibling(name, out, out_bytes) && access(out, X_OK) == 0;
}
