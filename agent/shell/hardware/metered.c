/* Metered: finds out whether the network is metered, from the interface of the
 * default route and from a program of the device's owner.
 *
 * The program runs once a minute, and its exit status is the answer (0: not
 * metered, 1: metered).  Without an answer the network counts as metered. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "agent/shell/hardware/hardware.h"

#define ARGS_MAX 32
#define AGAIN_MS 60000
#define LIMIT_MS 10000

static bool is_named(const struct flo_config *config, const char *name)
{
    size_t count = flo_config_texts_count(config, "metered");

    for (size_t i = 0; name[0] != '\0' && i < count; i++) {
        if (flo_interface_fits(name, flo_config_texts_get(config, "metered", i))) {
            return true;
        }
    }
    return false;
}

/* ---- the program ---- */

static void start(struct flo_metered *metered, const struct flo_config *config, uint64_t now_ms)
{
    size_t count = flo_config_texts_count(config, "metered_command");
    const char *argv[ARGS_MAX + 1] = {NULL};
    struct flo_err err = {0};

    for (size_t i = 0; i < count && i < ARGS_MAX; i++) {
        argv[i] = flo_config_texts_get(config, "metered_command", i);
    }
    metered->begin_ms = now_ms;
    if (flo_process_spawn(argv, -1, &metered->pid, &err) < 0) {
        metered->pid = 0;
        metered->is_said = true;
        flo_log_err(FLO_LOG_WARN, "metered", &err);
    }
}

static void ended(struct flo_metered *metered, int status)
{
    bool is_answer = WIFEXITED(status) && WEXITSTATUS(status) <= 1;

    metered->pid = 0;
    metered->is_said = !is_answer || WEXITSTATUS(status) == 1;
    if (!is_answer) {
        flo_log(FLO_LOG_WARN, "metered",
                "metered_command ended with status %d: the network counts as "
                "metered",
                WIFEXITED(status) ? WEXITSTATUS(status) : -1);
    }
}

static void look(struct flo_metered *metered, const struct flo_config *config, uint64_t now_ms)
{
    int status;
    pid_t pid = metered->pid;

    if (pid == 0) {
        if (metered->begin_ms == 0 || now_ms - metered->begin_ms >= AGAIN_MS) {
            start(metered, config, now_ms);
        }
        return;
    }
    pid = waitpid(pid, &status, WNOHANG);
    if (pid == metered->pid) {
        ended(metered, status);
    } else if (pid < 0 && errno != EINTR) {
        ended(metered, 0xff00); /* the exit status is unknown, so it counts as a failure */
    } else if (now_ms - metered->begin_ms >= LIMIT_MS) {
        kill(metered->pid, SIGKILL); /* the next call finds that the process has ended */
    }
}

/* ---- both ---- */

bool flo_metered_look(struct flo_metered *metered, const struct flo_config *config, uint64_t now_ms)
{
    struct flo_routes routes;

    if (flo_config_texts_count(config, "metered_command") > 0) {
        if (metered->begin_ms == 0) {
            /* the network counts as metered until the program has answered */
            metered->is_said = true;
        }
        look(metered, config, now_ms);
    }
    flo_routes_read(flo_sensors_root(), &routes);
    return metered->is_said || is_named(config, routes.v4) || is_named(config, routes.v6);
}

void flo_metered_end(struct flo_metered *metered)
{
    if (metered->pid != 0) {
        kill(metered->pid, SIGKILL);
        while (waitpid(metered->pid, NULL, 0) < 0 && errno == EINTR) {
        }
        metered->pid = 0;
    }
}
