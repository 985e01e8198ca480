/* Command: runs a program until it ends, in its own process group and with a
 * time limit.  The last part of its output is stored.
 *
 * The agent polls for the end of the program and not for the end of its output,
 * because a child in the background may hold the output open for ever. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <flotilla/errors/process.h>

#include "agent/shell/hooks/hooks.h"

#define LOOK_MS 20
#define WORDS_MAX 400
/* largest number of reads per poll; together they read more than a pipe
 * holds */
#define READS_MAX 256
#define NOT_STARTED 127

struct flo_command {
    struct flo_command_spec spec;
    pid_t pid;
    int output;
    uint64_t until_ms;
    struct event *tick;
    char words[WORDS_MAX + 1];
    size_t n_words;
};

/* ---- the child ---- */

/* Runs in the child process between fork and exec, so it may call only
 * async-signal-safe functions. */
_Noreturn static void run(const struct flo_command_spec *spec, int output, pid_t parent)
{
    union {
        const char *const *given;
        char *const *wanted;
    } arguments = {.given = spec->argv};
    struct sigaction plain;
    sigset_t none;
    int null;

    memset(&plain, 0, sizeof(plain));
    plain.sa_handler = SIG_DFL;
    for (int i = 1; i < NSIG; i++) {
        sigaction(i, &plain, NULL);
    }
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (getppid() != parent || null < 0 || dup2(null, 0) < 0 || dup2(output, 1) < 0 ||
        dup2(output, 2) < 0 || chdir("/") < 0) {
        _exit(NOT_STARTED);
    }
    (void)flo_process_close_at_exec(3);
    execve(spec->argv[0], arguments.wanted, spec->environment);
    dprintf(2, "%s: %s", spec->argv[0], strerror(errno));
    _exit(NOT_STARTED);
}

/* ---- its end ---- */

/* Reads a limited part of the program's output.  The rest is read at the next
 * poll, so that endless output cannot delay the check of the time limit. */
static void keep_words(struct flo_command *command)
{
    char data[512];
    ssize_t n;

    for (int reads = 0; reads < READS_MAX && (n = read(command->output, data, sizeof(data))) > 0;
         reads++) {
        size_t bytes = (size_t)n;
        const char *from = data;
        if (bytes > WORDS_MAX) {
            from += bytes - WORDS_MAX;
            bytes = WORDS_MAX;
        }
        if (command->n_words + bytes > WORDS_MAX) {
            size_t drop = command->n_words + bytes - WORDS_MAX;
            memmove(command->words, command->words + drop, command->n_words - drop);
            command->n_words -= drop;
        }
        memcpy(command->words + command->n_words, from, bytes);
        command->n_words += bytes;
    }
}

static void command_free(struct flo_command *command)
{
    flo_event_drop(&command->tick);
    flo_fd_cleanup(&command->output);
    free(command);
}

static void kill_all(struct flo_command *command)
{
    if (command->pid > 0) {
        kill(-command->pid, SIGKILL);
        /* the process may have no group yet, so it is killed alone, too */
        kill(command->pid, SIGKILL);
        while (waitpid(command->pid, NULL, 0) < 0 && errno == EINTR) {
        }
        command->pid = 0;
    }
}

void flo_command_cancel(struct flo_command *command)
{
    if (command != NULL) {
        kill_all(command);
        command_free(command);
    }
}

static void tell(struct flo_command *command, int status)
{
    const struct flo_command_spec spec = command->spec;
    char words[WORDS_MAX + 1];

    flo_text_clean(command->words, command->n_words, words, sizeof(words));
    command_free(command);
    spec.done(spec.context, status, words);
}

static void look_in(struct flo_command *command)
{
    const struct timeval delay = {.tv_usec = LOOK_MS * 1000};

    evtimer_add(command->tick, &delay);
}

static void on_tick(evutil_socket_t fd, short events, void *context)
{
    struct flo_command *command = context;
    int status = 0;
    pid_t pid;

    (void)fd, (void)events;
    keep_words(command);
    pid = waitpid(command->pid, &status, WNOHANG);
    if (pid == 0 && flo_now_ms() < command->until_ms) {
        look_in(command);
        return;
    }
    if (pid == 0) {
        kill_all(command);
        tell(command, FLO_COMMAND_LATE);
        return;
    }
    command->pid = 0;
    keep_words(command);
    tell(command, pid < 0               ? NOT_STARTED
                  : WIFSIGNALED(status) ? 128 + WTERMSIG(status)
                                        : WEXITSTATUS(status));
}

/* ---- start ---- */

int flo_command_start(struct event_base *base, const struct flo_command_spec *spec,
                      struct flo_command **out, struct flo_err *err)
{
    struct flo_command *command = calloc(1, sizeof(*command));
    pid_t parent = getpid();
    int pipes[2];

    if (command == NULL || (command->tick = evtimer_new(base, on_tick, command)) == NULL) {
        free(command);
        return flo_fail(err, FLO_E_MEMORY, "a command");
    }
    command->output = -1;
    command->spec = *spec;
    command->until_ms = flo_now_ms() + spec->ms_max;
    if (pipe2(pipes, O_CLOEXEC) < 0) {
        command_free(command);
        return flo_fail_errno(err, FLO_E_PROCESS, "a pipe");
    }
    command->output = pipes[0];
    /* Only the agent's end of the pipe does not block; the program's writes
     * may. */
    fcntl(pipes[0], F_SETFL, O_NONBLOCK);
    command->pid = fork();
    if (command->pid == 0) {
        run(spec, pipes[1], parent);
    }
    close(pipes[1]);
    if (command->pid < 0) {
        command_free(command);
        return flo_fail_errno(err, FLO_E_PROCESS, "start %.200s", spec->argv[0]);
    }
    look_in(command);
    *out = command;
    return 0;
}
