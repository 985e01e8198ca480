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

#include "tests/unit/waits.h"

/* How many children of a process are there, ended or not, and the first of
 * them; 0: none is, or the kernel does not say. */
static inline int child_look_of(pid_t parent, pid_t *first)
{
    char path[64];
    long pid = 0;
    int count = 0;

    *first = 0;
    snprintf(path, sizeof(path), "/proc/%ld/task/%ld/children", (long)parent, (long)parent);
    FILE *file = fopen(path, "re");
    while (file != NULL && fscanf(file, "%ld", &pid) == 1) {
        *first = count++ == 0 ? (pid_t)pid : *first;
    }
    if (file != NULL) {
        fclose(file);
    }
    return count;
}

static inline pid_t child_first_of(pid_t parent)
{
    pid_t first;

    (void)child_look_of(parent, &first);
    return first;
}

static inline pid_t child_first(void)
{
    return child_first_of(getpid());
}

static inline int child_count(void)
{
    pid_t first;

    return child_look_of(getpid(), &first);
}

/* Turns the loop until the code under test has waited for it. */
static inline void child_run_until_reaped(struct event_base *base, pid_t pid)
{
    WAIT_TURNING(kill(pid, 0) != 0, event_base_loop(base, EVLOOP_ONCE));
}

/* Is it known whether somebody traces it?  A slow worker that cannot be traced
 * ends. */
static inline bool child_tracer_look(pid_t pid, pid_t *tracer)
{
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    char path[64];
    size_t bytes;

    snprintf(path, sizeof(path), "/proc/%ld/status", (long)pid);
    if (flo_file_read(path, 64 << 10, &text, &bytes, NULL) < 0) {
        return true;
    }
    const char *line = strstr(text, "\nTracerPid:");
    *tracer = line == NULL ? 0 : (pid_t)strtol(line + 11, NULL, 10);
    return *tracer != 0 || strstr(text, "\nState:\tZ") != NULL;
}

/* Who traces it: what a slow worker waits for before it ends.  0: nobody will,
 * because this machine does not let it. */
static inline pid_t child_tracer(pid_t pid)
{
    pid_t tracer = 0;

    WAIT_UNTIL(child_tracer_look(pid, &tracer));
    return tracer;
}

#endif
