/* Interrupt: what a command leaves to the signal that ends it. */
#include "base/scratch.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define FOLDERS_MAX 2

static struct {
    char path[FLO_SCRATCH_BYTES]; /* "": free */
    int lock;
} folders[FOLDERS_MAX];
static volatile sig_atomic_t child;
static char text[2048];

/* Ends the child first, because it writes into our folders. */
static void on_end(int number)
{
    if (child > 0) {
        kill((pid_t)child, number);
        while (waitpid((pid_t)child, NULL, 0) < 0 && errno == EINTR) {
        }
    }
    for (size_t i = 0; i < FOLDERS_MAX; i++) {
        if (folders[i].path[0] != '\0') {
            flo_scratch_remove(folders[i].path);
        }
    }
    (void)!write(STDERR_FILENO, text, strlen(text));
}

void flo_interrupt_text(const char *format, ...)
{
    va_list arguments;

    flo_ending_hold(true);
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    flo_ending_add(on_end);
    flo_ending_hold(false);
}

int flo_interrupt_folder(char path[FLO_SCRATCH_BYTES], struct flo_err *err)
{
    size_t i = folders[0].path[0] != '\0' ? 1 : 0;

    flo_ending_hold(true);
    int rv = flo_scratch_folder(NULL, path, &folders[i].lock, err);
    strcpy(folders[i].path, path);
    flo_ending_add(on_end);
    flo_ending_hold(false);
    return rv;
}

void flo_interrupt_folder_end(const char *path)
{
    for (size_t i = 0; i < FOLDERS_MAX; i++) {
        if (path[0] != '\0' && strcmp(folders[i].path, path) == 0) {
            flo_scratch_remove(path);
            folders[i].path[0] = '\0';
            flo_fd_cleanup(&folders[i].lock);
        }
    }
}

int flo_interrupt_run(const char *const argv[], int *status, struct flo_err *err)
{
    pid_t pid = 0;

    flo_ending_hold(true);
    int rv = flo_process_spawn(argv, -1, &pid, err);
    child = pid;
    flo_ending_add(on_end);
    flo_ending_hold(false);
    while (rv == 0 && waitpid(pid, status, 0) < 0 && errno == EINTR) {
    }
    child = 0;
    return rv;
}
