/* Ctrl-C while a command watches: the work at the controller goes on, and the
 * message says so. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "server-stub/cli/rollout/rollout.h"

#define EXIT_INTERRUPTED 130

static volatile sig_atomic_t is_interrupted;

static void on_interrupt(int number)
{
    (void)number;
    is_interrupted = 1;
}

void flo_interrupt_catch(void)
{
    struct sigaction action;

    memset(&action, 0, sizeof(action));
    action.sa_handler = on_interrupt; /* a pause ends at once: no SA_RESTART */
    sigaction(SIGINT, &action, NULL);
}

void flo_interrupt_look(const char *what, const char *id, const char *again,
                        const char *stop)
{
    if (is_interrupted == 0) {
        return;
    }
    fprintf(stderr, "\n%s %s goes on without this terminal\n", what, id);
    fprintf(stderr, "  look again:  flotilla %s %s\n", again, id);
    if (stop != NULL) {
        fprintf(stderr, "  stop it:     flotilla %s %s\n", stop, id);
    }
    exit(EXIT_INTERRUPTED);
}
