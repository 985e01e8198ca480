/* A worker process as a slow disk makes it; never shipped.  FLOTILLA_SLOW
 * says how:
 *
 *   end  it does nothing and, when it is killed, does not end before the
 *        process ends that traces it: like one that syncs a large file. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <unistd.h>

#define TRACER_S 20 /* a test that fails leaves nothing behind for longer */

static void end_slowly(void)
{
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
    if (fork() == 0) {
        for (int fd = 0; fd < 3; fd++) {
            close(fd);
        }
        if (ptrace(PTRACE_SEIZE, getppid(), NULL, NULL) == 0) {
            sleep(TRACER_S);
        }
        _exit(0);
    }
    for (;;) {
        pause();
    }
}

int main(void)
{
    const char *how = getenv("FLOTILLA_SLOW");

    if (how != NULL && strcmp(how, "end") == 0) {
        end_slowly();
    }
    return 1;
}
