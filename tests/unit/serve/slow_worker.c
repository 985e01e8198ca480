/* A worker process as a slow disk makes it; never shipped.  FLO_SLOW
 * says how:
 *
 *   end   it does nothing and, when it is killed, does not end before the
 *         process ends that traces it: like one that syncs a large file.
 *   says  it answers with the line of FLO_SLOW_LINE, and waits to be ended.
 *   still it does nothing, for ever.
 *   disk  it waits as for a disk until its child is ended, then it is an
 *         engine. */
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <flotilla/base.h>

#include "tests/unit/waits.h"

/* The tracer lives until it is ended, or the test is over. */
static void end_slowly(void)
{
    struct pollfd test = {.fd = (int)syscall(SYS_pidfd_open, getppid(), 0), .events = POLLIN};

    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
    pid_t tracer = fork();
    if (tracer == 0) {
        for (int fd = 0; fd < 3; fd++) {
            close(fd);
        }
        if (ptrace(PTRACE_SEIZE, getppid(), NULL, NULL) == 0) {
            (void)poll(&test, 1, (int)WAITS_HANG_MS);
        }
        _exit(0);
    }
    waitpid(tracer, NULL, 0);
}

static void wait_for_disk(void)
{
    char engine[4096];
    pid_t child = vfork(); /* as one waits for it, /proc tells of a disk */

    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        waits_hang();
    }
    if (flo_process_sibling("flotilla-engine", engine, sizeof(engine))) {
        execl(engine, engine, "worker", "preferred", (char *)NULL);
    }
}

int main(void)
{
    const char *how = getenv("FLO_SLOW");

    if (how != NULL && strcmp(how, "end") == 0) {
        end_slowly();
    } else if (how != NULL && strcmp(how, "disk") == 0) {
        wait_for_disk();
    } else if (how != NULL && strcmp(how, "says") == 0) {
        const char *line = getenv("FLO_SLOW_LINE");
        (void)flo_fd_write_all(3, line, strlen(line), NULL);
        waits_hang();
    } else if (how != NULL && strcmp(how, "still") == 0) {
        for (;;) {
            pause();
        }
    }
    return 1;
}
