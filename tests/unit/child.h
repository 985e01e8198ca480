/* What a test sees of the processes that the code under test has started. */
#ifndef FLOTILLA_TESTS_CHILD_H
#define FLOTILLA_TESTS_CHILD_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <flotilla/base.h>

/* The first child of this process that is there, ended or not; 0: none is, or
 * the kernel does not say. */
static inline pid_t child_first(void)
{
    char path[64];
    long pid = 0;

    snprintf(path, sizeof(path), "/proc/self/task/%ld/children",
             (long)getpid());
    FILE *file = fopen(path, "re");
    if (file != NULL) {
        if (fscanf(file, "%ld", &pid) != 1) {
            pid = 0;
        }
        fclose(file);
    }
    return (pid_t)pid;
}

/* How many are there. */
static inline int child_count(void)
{
    char path[64];
    long pid = 0;
    int count = 0;

    snprintf(path, sizeof(path), "/proc/self/task/%ld/children",
             (long)getpid());
    FILE *file = fopen(path, "re");
    while (file != NULL && fscanf(file, "%ld", &pid) == 1) {
        count++;
    }
    if (file != NULL) {
        fclose(file);
    }
    return count;
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
