/* Signal hook: sends a signal to the process of a pid file; see
 * flo_hook_signal_send(). */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <flotilla/errors/hook.h>

#include "agent/core/linking.h"
#include "agent/shell/hooks/hooks.h"

/* Gives the user of a process.  Returns false when there is no such process. */
static bool user_of(int pid, uid_t *out)
{
    char path[32];
    struct stat st;

    snprintf(path, sizeof(path), "/proc/%d", pid);
    if (stat(path, &st) < 0) {
        return false;
    }
    *out = st.st_uid;
    return true;
}

static int read_pid(const char *path, int fd, struct stat *st, int *pid, struct flo_err *err)
{
    char text[32];
    ssize_t n;

    if (fstat(fd, st) < 0 || !S_ISREG(st->st_mode) || (n = read(fd, text, sizeof(text))) < 0) {
        return flo_fail(err, FLO_E_HOOK_FAILED, "%s cannot be read", path);
    }
    *pid = flo_pid_read(text, (size_t)n);
    return *pid > 0 ? 0 : flo_fail(err, FLO_E_HOOK_FAILED, "%s has no number of a process", path);
}

int flo_hook_signal_send(const char *pid_file, int number, struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup)
    int fd = open(pid_file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    uid_t user;
    int pid = 0;

    if (fd < 0) {
        return errno == ENOENT ? 0 : flo_fail_errno(err, FLO_E_HOOK_FAILED, "%s", pid_file);
    }
    FLO_TRY(read_pid(pid_file, fd, &st, &pid, err));
    if (!user_of(pid, &user)) { /* the process has ended, or the agent may not see it */
        return kill(pid, 0) < 0 && errno == ESRCH
                   ? 0
                   : flo_fail(err, FLO_E_HOOK_FAILED, "process %d of %s is another user's", pid,
                              pid_file);
    }
    if ((st.st_uid != 0 && st.st_uid != user) || (st.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        return flo_fail(err, FLO_E_HOOK_FAILED,
                        "%s: owner %u, mode %04o; it names process %d of user "
                        "%u, so only that user or root may write it",
                        pid_file, (unsigned)st.st_uid, (unsigned)(st.st_mode & 07777), pid,
                        (unsigned)user);
    }
    return kill(pid, number) == 0 || errno == ESRCH
               ? 0
               : flo_fail_errno(err, FLO_E_HOOK_FAILED, "signal %d to %d", number, pid);
}
