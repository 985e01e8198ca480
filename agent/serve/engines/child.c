/* Child: runs the program of a guard, which reads a text and writes an answer,
 * within a time limit.  At the end all processes of the program are killed.
 *
 * The exit of the program is polled, because it may close its output long
 * before.  When its output is closed, the next poll comes at once. */
#include "agent/serve/engines/child.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <flotilla/errors/process.h>

#include "agent/serve/serve.h"

#define LOOK_MS 10
#define PIECE_BYTES 16384
#define PIECES_MAX 16 /* largest number of reads in one turn of the loop */
/* largest number of checks, when the server closes, for keepers (supervisors of
 * guards' programs) that have not ended */
#define CLOSE_LOOKS_MAX 700

struct serve_child {
    struct serve_child *next;
    struct serve_child_pool *pool;
    pid_t pid; /* the keeper's */
    int in, out;
    struct event *writable, *readable, *tick;
    struct flo_buf question, answer;
    size_t bytes_sent;
    uint64_t until_ms;
    /* Called once, when the program has ended; NULL: it was called, and the
     * process is still ending. */
    void (*done)(void *context, enum serve_child_end end, int status, struct flo_buf *answer);
    void *context;
};

/* ---- the end ---- */

static void end_event(struct event **event)
{
    flo_event_drop(&*event);
}

static void close_streams(struct serve_child *child)
{
    end_event(&child->writable);
    end_event(&child->readable);
    flo_fd_cleanup(&child->in);
    flo_fd_cleanup(&child->out);
}

static void child_free(struct serve_child *child)
{
    struct serve_child **place = &child->pool->children;

    while (*place != NULL && *place != child) {
        place = &(*place)->next;
    }
    if (*place != NULL) {
        *place = child->next;
        child->pool->count--;
    }
    close_streams(child);
    end_event(&child->tick);
    flo_buf_deinit(&child->question);
    flo_buf_deinit(&child->answer);
    free(child);
}

static void tell(struct serve_child *child, enum serve_child_end end, int status)
{
    void (*done)(void *context, enum serve_child_end how, int with, struct flo_buf *answer) =
        child->done;

    child->done = NULL;
    if (done != NULL) {
        done(child->context, end, status, &child->answer);
    }
}

void flo_serve_child_cancel(struct serve_child *child)
{
    if (child != NULL) {
        child->done = NULL;
        close_streams(child);
        kill(child->pid, SIGTERM);
    }
}

static void give_up(struct serve_child *child, enum serve_child_end end)
{
    close_streams(child);
    kill(child->pid, SIGTERM);
    tell(child, end, 0);
}

/* ---- streams ---- */

static void on_writable(evutil_socket_t fd, short what, void *context)
{
    struct serve_child *child = context;
    (void)what;
    ssize_t n = write((int)fd, child->question.data + child->bytes_sent,
                      child->question.bytes - child->bytes_sent);

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    child->bytes_sent += n > 0 ? (size_t)n : 0;
    /* A program may give its verdict before it has read the whole question, so
     * a failed write is no error. */
    if (n < 0 || child->bytes_sent == child->question.bytes) {
        end_event(&child->writable);
        flo_fd_cleanup(&child->in);
    }
}

static void look_in(struct serve_child *child, unsigned ms)
{
    const struct timeval delay = {.tv_usec = (suseconds_t)ms * 1000};

    evtimer_add(child->tick, &delay);
}

/* Reads the output of the program.  Returns false when it was too long; `done`
 * has then been called. */
static bool read_all(struct serve_child *child)
{
    char piece[PIECE_BYTES];
    ssize_t n = 1;

    for (int i = 0; i < PIECES_MAX && child->out >= 0 && n > 0; i++) {
        n = read(child->out, piece, sizeof(piece));
        if (n > 0) {
            flo_buf_add(&child->answer, piece, (size_t)n);
        }
    }
    if (child->answer.failed) {
        give_up(child, SERVE_CHILD_TOO_MUCH);
        return false;
    }
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        end_event(&child->readable);
        flo_fd_cleanup(&child->out);
    }
    return true;
}

static void on_readable(evutil_socket_t fd, short what, void *context)
{
    struct serve_child *child = context;
    (void)fd, (void)what;

    if (read_all(child) && child->out < 0) {
        look_in(child, 0);
    }
}

/* Reads the rest of the pipe after the program has ended. */
static bool drain(struct serve_child *child)
{
    size_t before;

    do {
        before = child->answer.bytes;
        if (!read_all(child)) {
            return false;
        }
    } while (child->answer.bytes > before);
    return true;
}

static void on_tick(evutil_socket_t fd, short what, void *context)
{
    struct serve_child *child = context;
    struct serve_child_pool *pool = child->pool;
    int status = 0;
    (void)fd, (void)what;
    pid_t pid = waitpid(child->pid, &status, WNOHANG);

    if (pid == 0) {
        if (child->done != NULL && flo_now_ms() >= child->until_ms) {
            give_up(child, SERVE_CHILD_LATE);
        }
        look_in(child, LOOK_MS);
        return;
    }
    if (child->done != NULL && drain(child)) {
        tell(child, SERVE_CHILD_STATUS,
             pid > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : 128 + SIGKILL);
    }
    child_free(child);
    if (pool->freed != NULL) {
        pool->freed(pool->context);
    }
}

/* ---- the begin ---- */

static int open_pipes(int in[2], int out[2], struct flo_err *err)
{
    in[0] = in[1] = out[0] = out[1] = -1;
    if (pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0) {
        fcntl(in[1], F_SETFL, O_NONBLOCK);
        fcntl(out[0], F_SETFL, O_NONBLOCK);
        return 0;
    }
    flo_fail_errno(err, FLO_E_PROCESS, "a pipe");
    flo_fd_cleanup(&in[0]);
    flo_fd_cleanup(&in[1]);
    return err->code;
}

static int open_events(struct serve_child *child, struct flo_err *err)
{
    struct event_base *base = child->pool->base;

    child->writable = event_new(base, child->in, EV_WRITE | EV_PERSIST, on_writable, child);
    child->readable = event_new(base, child->out, EV_READ | EV_PERSIST, on_readable, child);
    child->tick = evtimer_new(base, on_tick, child);
    if (child->writable == NULL || child->readable == NULL || child->tick == NULL ||
        event_add(child->writable, NULL) < 0 || event_add(child->readable, NULL) < 0) {
        return flo_fail(err, FLO_E_MEMORY, "no events");
    }
    return 0;
}

static int start(struct serve_child *child, const struct serve_child_spec *spec,
                 struct flo_err *err)
{
    static char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:"
                         "/usr/bin:/sbin:/bin";
    static char language[] = "LANG=C.UTF-8";
    char *const environment[] = {path, language, NULL};
    const char *argv[FLO_GUARD_WORDS_MAX + 1] = {NULL};
    const char *word = spec->words;
    int in[2], out[2];

    for (uint32_t i = 0; i < spec->n_words; i++, word += strlen(word) + 1) {
        argv[i] = word;
    }
    FLO_TRY(open_pipes(in, out, err));
    child->in = in[1];
    child->out = out[0];
    int rv = open_events(child, err);
    if (rv == 0) {
        rv = flo_process_spawn_kept(argv, environment, in[0], out[1], &child->pid, err);
    }
    close(in[0]);
    close(out[1]);
    return rv;
}

int flo_serve_child_start(struct serve_child_pool *pool, const struct serve_child_spec *spec,
                          struct serve_child **out, struct flo_err *err)
{
    struct serve_child *child = calloc(1, sizeof(*child));

    if (child == NULL) {
        flo_buf_deinit(spec->question);
        return flo_fail(err, FLO_E_MEMORY, "a guard's program");
    }
    child->pool = pool;
    child->in = child->out = -1;
    child->question = *spec->question;
    child->answer.bytes_max = spec->bytes_max;
    child->done = spec->done;
    child->context = spec->context;
    *spec->question = (struct flo_buf){0};
    int rv = start(child, spec, err);
    if (rv < 0) {
        child_free(child);
        return rv;
    }
    child->until_ms = flo_now_ms() + spec->ms_max;
    child->next = pool->children;
    pool->children = child;
    pool->count++;
    look_in(child, LOOK_MS);
    *out = child;
    return 0;
}

/* Ends the keepers, which supervise the programs of guards, and waits for them
 * for some seconds at most.  A keeper ends as soon as the processes of its
 * program have ended. */
void flo_serve_child_pool_close(struct serve_child_pool *pool)
{
    for (struct serve_child *c = pool->children; c != NULL; c = c->next) {
        flo_serve_child_cancel(c);
    }
    for (int i = 0; i < CLOSE_LOOKS_MAX && pool->children != NULL; i++) {
        struct serve_child *child = pool->children;
        while (child != NULL) {
            struct serve_child *next = child->next;
            if (waitpid(child->pid, NULL, WNOHANG) != 0) {
                child_free(child);
            }
            child = next;
        }
        if (pool->children != NULL) {
            usleep(LOOK_MS * 1000);
        }
    }
    /* frees the entries of processes that have not ended; init reaps them */
    while (pool->children != NULL) {
        child_free(pool->children);
    }
}
