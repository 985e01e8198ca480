/* Crash note: records what a process was doing when a signal ended it. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/crash.h"

#define NOTE_BYTES_MAX 1024
/* an alternate stack, because a full stack may be the signal's cause */
#define STACK_BYTES 16384

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define IS_SANITIZED true
#endif
#endif
#ifndef IS_SANITIZED
#define IS_SANITIZED false
#endif

/* Record of a thread's work, as the lines of a note.  The note is text, because
 * the next start may be another version of the program.  Its lines are: signal,
 * "during" or "after", who, what; then the text. */
struct doing {
    bool is_done;
    size_t bytes;
    char lines[NOTE_BYTES_MAX];
};

static const struct {
    int number;
    const char *name;
} ends[] = {{SIGSEGV, "SIGSEGV"},
            {SIGBUS, "SIGBUS"},
            {SIGILL, "SIGILL"},
            {SIGFPE, "SIGFPE"},
            {SIGABRT, "SIGABRT"}};

static char note[4096]; /* path */
static _Thread_local struct doing doing = {.is_done = true};

/* Writes bytes with async-signal-safe functions only. */
static void put(int fd, const char *text, size_t bytes)
{
    while (bytes > 0) {
        ssize_t n = write(fd, text, bytes);
        if (n <= 0) {
            return;
        }
        text += n;
        bytes -= (size_t)n;
    }
}

static void on_end(int number)
{
    int fd = open(note, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd >= 0) {
        for (size_t i = 0; i < FLO_COUNT(ends); i++) {
            if (ends[i].number == number) {
                put(fd, ends[i].name, strlen(ends[i].name));
            }
        }
        const char *when = doing.is_done ? "\nafter\n" : "\nduring\n";
        put(fd, when, strlen(when));
        put(fd, doing.lines, doing.bytes);
        fsync(fd);
        close(fd);
    }
    raise(number); /* SA_RESETHAND has restored the default action, which ends the process */
}

void flo_crash_open(const char *path)
{
    static char stack[STACK_BYTES];
    const stack_t room = {.ss_sp = stack, .ss_size = sizeof(stack)};
    struct sigaction action = {.sa_handler = on_end,
                               .sa_flags = (int)SA_RESETHAND | SA_ONSTACK | SA_NODEFER};

    if (IS_SANITIZED || strlen(path) >= sizeof(note)) {
        return;
    }
    snprintf(note, sizeof(note), "%s", path);
    sigemptyset(&action.sa_mask);
    sigaltstack(&room, NULL);
    for (size_t i = 0; i < FLO_COUNT(ends); i++) {
        sigaction(ends[i].number, &action, NULL);
    }
}

void flo_crash_doing(const char *who, const char *method, const char *path, const char *text,
                     size_t bytes)
{
    int head = snprintf(doing.lines, sizeof(doing.lines), "%.*s\n%.8s %.*s\n", FLO_CRASH_WHO - 1,
                        who, method, FLO_CRASH_WHAT - 16, path);

    doing.bytes = (size_t)head;
    if (bytes > sizeof(doing.lines) - doing.bytes) {
        bytes = sizeof(doing.lines) - doing.bytes;
    }
    if (bytes > 0) {
        memcpy(doing.lines + doing.bytes, text, bytes);
    }
    doing.bytes += bytes;
    doing.is_done = false;
}

void flo_crash_done(void)
{
    doing.is_done = true;
}

/* ---- reading ---- */

/* Copies a line to `out`.  With `end` NUL it copies all that is left. */
static const char *take(const char *at, char end, char *out, size_t out_bytes)
{
    size_t i = 0;

    for (; *at != '\0' && *at != end; at++) {
        if (i + 1 < out_bytes) {
            out[i++] = *at >= ' ' && *at <= '~' ? *at : '?';
        }
    }
    out[i] = '\0';
    return *at == '\0' ? at : at + 1;
}

bool flo_crash_read(const char *path, struct flo_crash *out)
{
    char *data;
    size_t bytes;
    char when[8];

    memset(out, 0, sizeof(*out));
    if (flo_file_read(path, 2 * NOTE_BYTES_MAX, &data, &bytes, NULL) < 0) {
        return false;
    }
    const char *at = take(data, '\n', out->signal, sizeof(out->signal));
    at = take(at, '\n', when, sizeof(when));
    at = take(at, '\n', out->who, sizeof(out->who));
    at = take(at, '\n', out->what, sizeof(out->what));
    take(at, '\0', out->text, sizeof(out->text));
    free(data);
    out->is_after = strcmp(when, "during") != 0;
    return out->signal[0] != '\0';
}
