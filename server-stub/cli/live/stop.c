/* Stop: lets Ctrl-C end a watching command, not the work of the controller. */
#include <signal.h>
#include <string.h>
#include <time.h>

#include <flotilla/errors/cli.h>

#include "server-stub/cli/live/live.h"

static volatile sig_atomic_t is_asked;

static void on_signal(int number)
{
    (void)number;
    is_asked = 1;
}

void flo_stop_catch(void)
{
    struct sigaction action = {.sa_handler = on_signal};

    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

bool flo_stop_asked(void)
{
    return is_asked != 0;
}

bool flo_stop_pause(uint64_t ms)
{
    const struct timespec pause = {.tv_sec = (time_t)(ms / 1000),
                                   .tv_nsec = (long)(ms % 1000) * 1000000L};

    if (!flo_stop_asked()) {
        nanosleep(&pause, NULL);
    }
    return !flo_stop_asked();
}

int flo_stop_told(struct flo_err *err, const char *what, const char *next)
{
    flo_fail(err, FLO_E_STOPPED, "%s goes on without this terminal", what);
    return flo_err_fix(err, "%s", next);
}
