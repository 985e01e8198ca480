/* A worker process as a slow disk makes it; never shipped.  FLO_SLOW
 * says how:
 *
 *   end   it does nothing and, when it is killed, does not end before the
 *         process ends that traces it: like one that syncs a large file.
 *   still it does nothing, for ever.
 *   disk  for 3 s it waits as for a disk, then it is an engine. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <unistd.h>

#include <flotilla/base.h>

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

static void wait_for_disk(void)
{
    char engine[4096];
    pid_t child = vfork(); /* as one waits for it, /proc tells of a disk */

    if (child == 0) {
        sleep(3);
        _exit(0);
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
    } else if (how != NULL && strcmp(how, "still") == 0) {
        for (;;) {
            pause();
        }
    }
    return 1;
}
