/* Guard: keeps the proxy's rights, and the runtime, apart from what reads answers.
 *
 * At OPEN the proxy becomes two processes.  The parser is a fork that opens no file, runs no
 * program and connects nowhere: it reads the agent's frames and the runtime's answers.  The
 * guard reads neither.  It starts the runtime, and gives its rights up to the keeper
 * (walls.c).  Then it bounds the runtime's memory, connects to it for the parser, and ends it
 * when the parser is gone. */
#include "engine/proxy/proxy.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <flotilla/errors/process.h>
#include <flotilla/errors/runtime.h>

#define TICK_MS 100
#define MEMORY_MS 1000
#define OVER_MAX 2
#define PROCESSES_MAX 256
#define ANSWER_MS 1000 /* most milliseconds that the parser waits for an answer of the guard */
#define LEAVE_MS 3000  /* most milliseconds in which the parser tells the agent of the end */

/* Words of the parser. */
enum guard_word {
    GUARD_CONNECT,
    GUARD_LOOK,   /* figures now */
    GUARD_SERVES, /* no question: the runtime is healthy */
};
struct guard_ask {
    enum guard_word word;
    uint32_t number;
};

/* A word of the guard, as an answer or by itself (number 0). */
struct guard_note {
    uint32_t number;
    int error; /* errno of a connection; 0: it comes with the note */
    bool is_sandboxed;
    uint64_t rss_bytes, rss_bytes_peak;
    size_t n_words;
    char words[sizeof(((struct flo_runtime_process *)0)->words)]; /* none once it serves */
    struct flo_err end;                                           /* code 0: the runtime is there */
};

/* ---- memory ---- */

int flo_guard_memory(struct flo_proxy *proxy, uint64_t now_ms, struct flo_err *err)
{
    uint64_t planned = proxy->runtime.memory_bytes;
    uint32_t count = 0;

    if (now_ms - proxy->looked_ms < MEMORY_MS) {
        return 0;
    }
    proxy->looked_ms = now_ms;
    proxy->rss_bytes = 0;
    if (proxy->process.pid > 0) {
        flo_runtime_look(&proxy->process);
        proxy->rss_bytes = proxy->process.figures.bytes;
        count = proxy->process.figures.count;
    } else if (proxy->check.pid > 0) {
        flo_runtime_memory(proxy->check.pid, &proxy->rss_bytes, &count);
    }
    if (proxy->rss_bytes > proxy->rss_bytes_peak) {
        proxy->rss_bytes_peak = proxy->rss_bytes;
    }
    proxy->over = proxy->rss_bytes > planned + planned / 4 ? proxy->over + 1 : 0;
    if (proxy->over == OVER_MAX) {
        return flo_fail(err, FLO_E_RUNTIME_MEMORY,
                        "the runtime %s uses %llu bytes, %llu are planned", proxy->runtime.name,
                        (unsigned long long)proxy->rss_bytes, (unsigned long long)planned);
    }
    if (count > PROCESSES_MAX) {
        return flo_fail(err, FLO_E_RUNTIME_CRASH,
                        "the runtime %s has %u processes, at most %d are allowed",
                        proxy->runtime.name, count, PROCESSES_MAX);
    }
    return 0;
}

/* ---- the guard ---- */

/* Tells whether the runtime has ended, by an error. */
static int look_at_end(struct flo_proxy *proxy, struct flo_err *err)
{
    int status;
    int rv = flo_runtime_listen(&proxy->process, err);

    if (waitpid(proxy->process.pid, &status, WNOHANG) == 0 || rv < 0) {
        return rv;
    }
    proxy->process.pid = 0;
    FLO_TRY(flo_runtime_listen(&proxy->process, err));
    if (proxy->process.figures.kills > 0) {
        return flo_fail(err, FLO_E_RUNTIME_MEMORY,
                        "the runtime %s was ended by its cgroup at %llu bytes", proxy->runtime.name,
                        (unsigned long long)flo_runtime_limit(&proxy->runtime));
    }
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : 255;
    rv = flo_fail(err, proxy->state == FLO_PROXY_SERVES ? FLO_E_RUNTIME_CRASH : FLO_E_RUNTIME_START,
                  code > 128 ? "the runtime %s was killed by signal %d"
                             : "the runtime %s ended with status %d",
                  proxy->runtime.name, code > 128 ? code - 128 : code);
    flo_proxy_add_words(proxy, err);
    return rv;
}

/* Sends a note, with a descriptor or -1.  A parser that does not read misses it. */
static void tell(struct flo_proxy *proxy, struct guard_note *note, int fd)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr head;
    } control = {.bytes = ""};
    struct iovec data = {note, sizeof(*note)};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};

    note->is_sandboxed = proxy->process.is_sandboxed;
    note->rss_bytes = proxy->rss_bytes;
    note->rss_bytes_peak = proxy->rss_bytes_peak;
    note->n_words = proxy->state == FLO_PROXY_SERVES ? 0 : proxy->process.n_words;
    memcpy(note->words, proxy->process.words, note->n_words);
    if (fd >= 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof(control.bytes);
        control.head = (struct cmsghdr){
            .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
        memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
    }
    (void)sendmsg(proxy->guard, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void answer(struct flo_proxy *proxy, const struct guard_ask *ask)
{
    struct guard_note note = {.number = ask->number};
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;

    if (ask->word == GUARD_SERVES) {
        proxy->state = FLO_PROXY_SERVES;
        return;
    }
    if (ask->word == GUARD_LOOK) {
        proxy->looked_ms = 0;
        (void)!flo_guard_memory(proxy, flo_now_ms(), &note.end);
    } else if (ask->word == GUARD_CONNECT) {
        fd = flo_exchange_connect(proxy->process.socket, proxy->process.port);
        note.error = fd < 0 ? errno : 0;
    }
    tell(proxy, &note, fd);
}

static void listen_to(struct flo_proxy *proxy)
{
    struct pollfd polls[] = {{.fd = proxy->guard, .events = POLLIN},
                             {.fd = proxy->process.errors, .events = POLLIN}};
    struct guard_ask ask;

    if (poll(polls, FLO_COUNT(polls), TICK_MS) > 0 &&
        recv(proxy->guard, &ask, sizeof(ask), MSG_DONTWAIT) == (ssize_t)sizeof(ask)) {
        answer(proxy, &ask);
    }
}

_Noreturn static void guard(struct flo_proxy *proxy, struct flo_wire_text entry, pid_t parser)
{
    struct guard_note note = {.number = 0};
    uint64_t told_ms = 0;
    int status = 0;
    int rv = flo_runtime_start(&proxy->runtime, proxy->tree, entry, proxy->mode, &proxy->process,
                               &note.end);
    flo_fd_cleanup(&proxy->tree);
    if (rv == 0) {
        rv = flo_guard_confine(&proxy->process, proxy->runtime.has_user, parser, proxy->mode,
                               &note.end);
    }
    while (waitpid(parser, &status, WNOHANG) == 0) {
        uint64_t now_ms = flo_now_ms();
        if (rv == 0) {
            rv = look_at_end(proxy, &note.end);
        }
        if (rv == 0 && flo_guard_memory(proxy, now_ms, &note.end) < 0) {
            rv = note.end.code;
            proxy->runtime.stop_ms = 0;
        }
        if (rv < 0 && told_ms == 0) {
            told_ms = now_ms;
        }
        if (rv < 0 || proxy->looked_ms == now_ms) {
            tell(proxy, &note, -1);
        }
        if (told_ms != 0 && now_ms - told_ms > LEAVE_MS) {
            kill(parser, SIGKILL);
        }
        listen_to(proxy);
    }
    if (WIFSIGNALED(status)) {
        flo_log(FLO_LOG_WARN, "runtime", "what reads the answers of %s was killed by signal %d",
                proxy->runtime.name, WTERMSIG(status));
    }
    flo_runtime_stop(&proxy->process, proxy->runtime.stop_ms);
    exit(WIFEXITED(status) ? WEXITSTATUS(status) : FLO_EXIT_OTHER);
}

/* ---- the parser's side ---- */

int flo_guard_split(struct flo_proxy *proxy, struct flo_wire_text entry, struct flo_err *err)
{
    int pair[2];
    pid_t own = getpid();

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
        return flo_fail_errno(err, FLO_E_PROCESS, "a pair of sockets");
    }
    fflush(NULL);
    pid_t parser = fork();
    if (parser < 0) {
        close(pair[0]);
        close(pair[1]);
        return flo_fail_errno(err, FLO_E_PROCESS, "fork");
    }
    proxy->guard = pair[parser == 0];
    close(pair[parser != 0]);
    if (parser > 0) {
        close(proxy->socket);
        guard(proxy, entry, parser);
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != own) {
        _exit(FLO_EXIT_OTHER);
    }
    flo_fd_cleanup(&proxy->tree);
    return flo_parser_confine(proxy->mode, err);
}

/* Takes one note that is there.  Returns false when there is none; *fd gets the
 * descriptor that came with it, or -1. */
static bool take(struct flo_proxy *proxy, struct guard_note *note, int *fd)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr head;
    } control;
    struct iovec data = {note, sizeof(*note)};
    struct msghdr message = {.msg_iov = &data,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};

    *fd = -1;
    if (recvmsg(proxy->guard, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) !=
        (ssize_t)sizeof(*note)) {
        return false;
    }
    const struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    if (head != NULL && head->cmsg_type == SCM_RIGHTS) {
        memcpy(fd, CMSG_DATA(head), sizeof(*fd));
    }
    proxy->process.is_sandboxed = note->is_sandboxed;
    proxy->rss_bytes = note->rss_bytes;
    proxy->rss_bytes_peak = note->rss_bytes_peak;
    proxy->process.n_words = note->n_words;
    memcpy(proxy->process.words, note->words, note->n_words);
    if (note->end.code != 0 && proxy->ended.code == 0) {
        proxy->ended = note->end;
    }
    return true;
}

int flo_guard_hear(struct flo_proxy *proxy, struct flo_err *err)
{
    struct guard_note note;
    int fd;

    while (take(proxy, &note, &fd)) { /* a late answer is nobody's */
        flo_fd_cleanup(&fd);
    }
    if (proxy->ended.code != 0) {
        *err = proxy->ended;
    }
    return proxy->ended.code;
}

/* Asks and waits for the answer.  Returns false if none comes in time. */
static bool ask(struct flo_proxy *proxy, enum guard_word word, struct guard_note *note, int *fd)
{
    static uint32_t number;
    const struct guard_ask question = {word, ++number};
    uint64_t until_ms = flo_now_ms() + ANSWER_MS;
    struct pollfd wait = {.fd = proxy->guard, .events = POLLIN};
    bool is_asked =
        send(proxy->guard, &question, sizeof(question), MSG_DONTWAIT | MSG_NOSIGNAL) > 0;

    for (uint64_t now_ms = flo_now_ms(); is_asked && now_ms < until_ms; now_ms = flo_now_ms()) {
        if (poll(&wait, 1, (int)(until_ms - now_ms)) > 0 && take(proxy, note, fd)) {
            if (note->number == number) {
                return true;
            }
            flo_fd_cleanup(fd);
        } else if ((wait.revents & POLLHUP) != 0) {
            return false;
        }
    }
    return false;
}

void flo_guard_serves(struct flo_proxy *proxy)
{
    const struct guard_ask word = {GUARD_SERVES, 0};

    (void)!send(proxy->guard, &word, sizeof(word), MSG_NOSIGNAL);
}

void flo_guard_look(struct flo_proxy *proxy)
{
    struct guard_note note;
    int fd;

    (void)ask(proxy, GUARD_LOOK, &note, &fd);
}

int flo_guard_connect(struct flo_proxy *proxy, struct flo_exchange *exchange, struct flo_err *err)
{
    struct guard_note note = {.number = 0};
    int fd = -1;

    errno = ask(proxy, GUARD_CONNECT, &note, &fd) ? note.error : ETIMEDOUT;
    return flo_exchange_begin(exchange, fd, err);
}
