/* Console: handles the terminal of a chat: typed lines, Ctrl-C and output. */
#include "engine/talk/talk.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define READ_BYTES 4096

bool flo_console_is_terminal(int fd)
{
    return isatty(fd) == 1;
}

bool flo_console_has_colour(int fd)
{
    const char *none = getenv("NO_COLOR"), *term = getenv("TERM");

    return flo_console_is_terminal(fd) && (none == NULL || none[0] == '\0') && term != NULL &&
           strcmp(term, "dumb") != 0;
}

/* Opens the console.  All threads block the signal of Ctrl-C, which then
 * arrives at a descriptor. */
int flo_console_open(struct flo_console *console, struct flo_err *err)
{
    sigset_t set;

    console->notes = flo_console_is_terminal(STDOUT_FILENO) ? stdout : stderr;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    console->stops = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    return console->stops < 0 ? flo_fail_errno(err, FLO_E_IO_OPEN, "Ctrl-C") : 0;
}

void flo_console_close(struct flo_console *console)
{
    flo_fd_cleanup(&console->stops);
    flo_buf_deinit(&console->typed);
}

bool flo_console_was_stopped(struct flo_console *console)
{
    struct signalfd_siginfo info;
    bool was = false;

    while (read(console->stops, &info, sizeof(info)) == sizeof(info)) {
        was = true;
    }
    return was;
}

/* Takes the next complete line of the input.  When the input has ended, it also
 * takes an incomplete one.  Returns false if there is none. */
static bool take_line(struct flo_console *console, bool has_ended, const char **line, size_t *bytes)
{
    struct flo_buf *typed = &console->typed;
    const char *from = typed->data != NULL ? typed->data + console->used : "";
    size_t left = typed->bytes - console->used;
    const char *end = memchr(from, '\n', left);

    if (end == NULL && (!has_ended || left == 0)) {
        return false;
    }
    *line = from;
    *bytes = end != NULL ? (size_t)(end - from) : left;
    console->used += *bytes + (end != NULL);
    return true;
}

static void forget_used(struct flo_console *console)
{
    struct flo_buf *typed = &console->typed;

    if (console->used > 0) {
        memmove(typed->data, typed->data + console->used, typed->bytes - console->used);
        typed->bytes -= console->used;
        console->used = 0;
    }
}

int flo_console_read(struct flo_console *console, enum flo_console_event *event, const char **line,
                     size_t *bytes, struct flo_err *err)
{
    char piece[READ_BYTES];

    forget_used(console);
    console->typed.bytes_max = FLO_INPUT_BYTES_MAX + READ_BYTES;
    *event = FLO_CONSOLE_LINE;
    while (!take_line(console, false, line, bytes)) {
        struct pollfd polls[] = {{.fd = STDIN_FILENO, .events = POLLIN},
                                 {.fd = console->stops, .events = POLLIN}};

        if (poll(polls, 2, -1) < 0 && errno != EINTR) {
            return flo_fail_errno(err, FLO_E_IO_READ, "stdin");
        }
        if (flo_console_was_stopped(console)) {
            console->typed.bytes = 0;
            *event = FLO_CONSOLE_STOP;
            return 0;
        }
        ssize_t n = polls[0].revents != 0 ? read(STDIN_FILENO, piece, sizeof(piece)) : 1;
        if (n < 0 && errno != EINTR && errno != EAGAIN && errno != EIO) {
            return flo_fail_errno(err, FLO_E_IO_READ, "stdin");
        }
        if (n == 0 || (n < 0 && errno == EIO)) {
            *event = take_line(console, true, line, bytes) ? FLO_CONSOLE_LINE : FLO_CONSOLE_END;
            return 0;
        }
        if (n > 0 && polls[0].revents != 0) {
            flo_buf_add(&console->typed, piece, (size_t)n);
        }
        if (console->typed.failed) {
            return flo_fail(err, FLO_E_IO_READ, "stdin: a line of more than %u MiB",
                            FLO_INPUT_BYTES_MAX >> 20);
        }
    }
    return 0;
}

int flo_talk_said_print(struct flo_talk_said *said, struct flo_err *err)
{
    int rv = flo_tool_print(&said->shown, "the answer", err);

    said->shown.bytes = 0;
    return rv;
}

bool flo_asking_stops(const struct flo_asking *asking)
{
    struct pollfd stop = {.fd = asking->stop_fd, .events = POLLIN};

    return asking->stop_fd >= 0 && poll(&stop, 1, 0) == 1;
}
