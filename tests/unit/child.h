/* Processes that the code under test has started, as a test sees them. */
#ifndef FLOTILLA_TESTS_CHILD_H
#define FLOTILLA_TESTS_CHILD_H

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include <flotilla/base.h>

/* How many children of this process are there, ended or not, and the first of
 * them; 0: none is, or the kernel does not say. */
static inline int child_look(pid_t *first)
{
    char path[64];
    long pid = 0;
    int count = 0;

    *first = 0;
    snprintf(path, sizeof(path), "/proc/self/task/%ld/children",
             (long)getpid());
    FILE *file = fopen(path, "re");
    while (file != NULL && fscanf(file, "%ld", &pid) == 1) {
        *first = count++ == 0 ? (pid_t)pid : *first;
    }
    if (file != NULL) {
        fclose(file);
    }
    return count;
}

static inline pid_t child_first(void)
{
    pid_t first;

    (void)child_look(&first);
    return first;
}

static inline int child_count(void)
{
    pid_t first;

    return child_look(&first);
}

/* Turns the loop until the code under test has waited for it. */
static inline void child_run_until_reaped(struct event_base *base, pid_t pid)
{
    while (kill(pid, 0) == 0) {
        event_base_loop(base, EVLOOP_ONCE);
    }
}

/* Who traces it: what a slow worker waits for before it ends.  0: nobody will,
 * because this machine does not let it. */
static inline pid_t child_tracer(pid_t pid)
{
    char path[64];
    long tracer = 0;

    snprintf(path, sizeof(path), "/proc/%ld/status", (long)pid);
    for (int i = 0; i < 2000 && tracer == 0; i++) {
        FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
        size_t bytes;
        if (flo_file_read(path, 64 << 10, &text, &bytes, NULL) == 0) {
            const char *line = strstr(text, "\nTracerPid:");
            tracer = line == NULL ? 0 : strtol(line + 11, NULL, 10);
        }
        usleep(5000);
    }
    return (pid_t)tracer;
}

#endif
