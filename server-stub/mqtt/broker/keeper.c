/* Broker keeper: the parent process of mosquitto, which outlives the
 * controller.
 *
 * A restart of the controller must not disconnect the fleet.  Therefore
 * mosquitto is the child of a small process, the keeper.  Without a controller
 * the keeper waits for some time, and then ends mosquitto and itself.  A lock
 * that a controller holds shows the keeper that the controller lives.  A pid
 * file names the running processes for the next controller.  It has their start
 * times, because pids are reused. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <flotilla/errors/process.h>

#include "server-stub/core/timers.h"
#include "server-stub/mqtt/broker/process.h"

#define LOOK_MS 200
#define STOP_MS 3000
#define LOG_BYTES_MAX (1 << 20)

/* ---- which process ---- */

bool flo_broker_started(pid_t pid, uint64_t *started)
{
    char path[64];
    char *text = NULL;
    size_t bytes;

    *started = 0;
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    if (pid <= 0 || (kill(pid, 0) < 0 && errno == ESRCH)) {
        return true;
    }
    if (flo_file_read(path, 4096, &text, &bytes, NULL) < 0) {
        return false;
    }
    /* Field 3 begins after the last bracket, because the process's name in
     * field 2 may contain anything. */
    const char *at = strrchr(text, ')');
    bool is_dead = at == NULL || at[1] == '\0' || at[2] == 'Z' || at[2] == 'X';
    for (int field = 2; !is_dead && at != NULL && field < 22; field++) {
        at = strchr(at + 1, ' ');
    }
    if (!is_dead && at != NULL) {
        *started = strtoull(at + 1, NULL, 10);
    }
    free(text);
    return true;
}

static int pids_write(const char *dir, const struct flo_broker_pids *pids, struct flo_err *err)
{
    char path[4096];
    char text[256];
    int chars = snprintf(text, sizeof(text), "%d %llu %d %llu %s\n", (int)pids->keeper,
                         (unsigned long long)pids->keeper_started, (int)pids->broker,
                         (unsigned long long)pids->broker_started, pids->config);

    if (!flo_path_join(path, sizeof(path), dir, "mosquitto/broker.pid")) {
        return flo_fail(err, FLO_E_IO_OPEN, "path %s is too long", dir);
    }
    return flo_file_write(path, text, (size_t)chars, 0600, err);
}

bool flo_broker_pids_read(const char *dir, struct flo_broker_pids *out)
{
    char path[4096];
    char *text = NULL;
    size_t bytes;
    unsigned long long keeper_started = 0;
    unsigned long long broker_started = 0;
    bool is_whole = false;

    *out = (struct flo_broker_pids){0};
    if (!flo_path_join(path, sizeof(path), dir, "mosquitto/broker.pid") ||
        flo_file_read(path, 4096, &text, &bytes, NULL) < 0) {
        return false;
    }
    is_whole = sscanf(text, "%d %llu %d %llu %71s", &out->keeper, &keeper_started, &out->broker,
                      &broker_started, out->config) == 5;
    out->keeper_started = keeper_started;
    out->broker_started = broker_started;
    free(text);
    return is_whole;
}

/* ---- is a controller there? ---- */

int flo_broker_lock_open(const char *dir, struct flo_err *err)
{
    char path[4096];

    if (!flo_path_join(path, sizeof(path), dir, "mosquitto/controller.lock")) {
        return flo_fail(err, FLO_E_IO_OPEN, "path %s is too long", dir);
    }
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    return fd < 0 ? flo_fail_errno(err, FLO_E_IO_OPEN, "%s", path) : fd;
}

static bool is_controlled(int lock)
{
    if (flock(lock, LOCK_SH | LOCK_NB) < 0) {
        return errno == EWOULDBLOCK;
    }
    flock(lock, LOCK_UN);
    return false;
}

/* ---- the process ---- */

/* Resources of the keeper's process, except the lock. */
struct keeper {
    pid_t broker;
    int log;
    struct flo_broker_said said;
};

/* Detaches the keeper from the terminal, the pipes and the parent process. */
static int detach(const char *dir, struct keeper *keeper, struct flo_err *err)
{
    char path[4096];

    if (!flo_path_join(path, sizeof(path), dir, "mosquitto/log")) {
        return flo_fail(err, FLO_E_IO_OPEN, "path %s is too long", dir);
    }
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    keeper->log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (null < 0 || keeper->log < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 ||
        dup2(keeper->log, 2) < 0) {
        return flo_fail_errno(err, FLO_E_IO_OPEN, "%s", path);
    }
    close(null);
    if (prctl(PR_SET_PDEATHSIG, 0) < 0 || (setsid() < 0 && errno != EPERM)) {
        return flo_fail_errno(err, FLO_E_PROCESS, "keeper of the broker");
    }
    return 0;
}

/* Reads the lines that mosquitto has written so far. */
static void take_lines(struct keeper *keeper)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf out = {0};

    flo_broker_said(&keeper->said, &out);
    if (out.bytes == 0) {
        return;
    }
    if (lseek(keeper->log, 0, SEEK_END) > LOG_BYTES_MAX && ftruncate(keeper->log, 0) < 0) {
        return; /* the disk accepts no writes, so nothing is logged */
    }
    (void)!write(keeper->log, out.data, out.bytes);
}

static void stop(struct keeper *keeper)
{
    kill(keeper->broker, SIGTERM);
    for (int i = 0; i < STOP_MS / 10; i++) {
        take_lines(keeper);
        if (waitpid(keeper->broker, NULL, WNOHANG) != 0) {
            return;
        }
        usleep(10000);
    }
    kill(keeper->broker, SIGKILL);
    waitpid(keeper->broker, NULL, 0);
}

/* Waits for output or a signal.  Returns the signal, or 0 if none arrived. */
static int wait_for(const struct keeper *keeper, int signals)
{
    struct pollfd polled[] = {{.fd = keeper->said.fd, .events = POLLIN},
                              {.fd = signals, .events = POLLIN}};
    struct signalfd_siginfo info;

    (void)poll(polled, FLO_COUNT(polled), LOOK_MS);
    if ((polled[0].revents & POLLIN) == 0 && polled[0].revents != 0) {
        usleep(LOOK_MS * 1000 / 10); /* closed: mosquitto ends */
    }
    return read(signals, &info, sizeof(info)) == (ssize_t)sizeof(info) ? (int)info.ssi_signo : 0;
}

/* Runs until the broker ends, a signal arrives, or no controller has held the
 * lock for linger_ms. */
static void keep(struct keeper *keeper, int lock, uint64_t linger_ms, int signals)
{
    struct flo_alone alone = {0};

    for (;;) {
        int number = wait_for(keeper, signals);
        bool is_over = waitpid(keeper->broker, NULL, WNOHANG) != 0;
        take_lines(keeper);
        if (is_over) {
            return;
        }
        if (number == SIGHUP) {
            kill(keeper->broker, SIGHUP);
        }
        is_over = flo_alone_is_over(&alone, is_controlled(lock), linger_ms, flo_now_ms());
        if (number == SIGTERM || is_over) {
            stop(keeper);
            return;
        }
    }
}

int flo_broker_keeper(const char *dir, const char *linger_ms, const char *config)
{
    struct flo_broker_pids pids = {.keeper = getpid()};
    struct keeper keeper = {.log = -1, .said = {.fd = -1}};
    struct flo_err err = {0};
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGHUP);
    sigaddset(&signals, SIGCHLD);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    snprintf(pids.config, sizeof(pids.config), "%s", config);
    int signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    int lock = flo_broker_lock_open(dir, &err);
    int rv = lock < 0 ? lock : detach(dir, &keeper, &err);
    if (rv == 0 && signal_fd < 0) {
        rv = flo_fail_errno(&err, FLO_E_PROCESS, "signals of the keeper");
    }
    if (rv == 0) {
        rv = flo_broker_spawn(dir, &keeper.said, &keeper.broker, &err);
    }
    if (rv == 0) {
        pids.broker = keeper.broker;
        /* with an unknown start time, no later controller takes the broker over */
        (void)flo_broker_started(pids.keeper, &pids.keeper_started);
        (void)flo_broker_started(pids.broker, &pids.broker_started);
        rv = pids_write(dir, &pids, &err);
        if (rv == 0) {
            keep(&keeper, lock, strtoull(linger_ms, NULL, 10), signal_fd);
        } else {
            stop(&keeper);
        }
    }
    return rv < 0 ? flo_err_print(stderr, &err) : 0;
}
