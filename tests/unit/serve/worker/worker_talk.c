/* See worker_talk.h. */
#include "unit/serve/worker/worker_talk.h"
#include "unit/waits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct worker worker;

void worker_spawn(const char *path)
{
    int pair[2];
    struct flo_err err = {0};
    struct timeval limit = {.tv_sec = WAITS_HANG_S};
    const char *argv[] = {path, "worker", "preferred", NULL};
    worker.bytes = worker.used = 0;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    if (flo_process_spawn(argv, pair[1], &worker.pid, &err) < 0) {
        fail_msg("%s: %s", path, err.what);
    }
    close(pair[1]);
    worker.fd = pair[0];
    setsockopt(worker.fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
}

int worker_end(void)
{
    int status = -1;
    close(worker.fd);
    assert_int_equal(waitpid(worker.pid, &status, 0), worker.pid);
    return status;
}

void say_with(const struct flo_wire_message *message, const int *fds, size_t count)
{
    struct flo_buf out = {0};
    assert_int_equal(flo_wire_write(&out, message, NULL), 0);
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(4 * sizeof(int))] = {0};
    struct iovec vector = {out.data, out.bytes};
    struct msghdr head = {.msg_iov = &vector, .msg_iovlen = 1};
    if (count > 0) {
        head.msg_control = control;
        head.msg_controllen = CMSG_SPACE(count * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&head);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(c), fds, count * sizeof(int));
    }
    assert_int_equal(sendmsg(worker.fd, &head, MSG_NOSIGNAL), (ssize_t)out.bytes);
    flo_buf_deinit(&out);
}

void say(const struct flo_wire_message *message, int fd)
{
    say_with(message, &fd, fd >= 0 ? 1 : 0);
}

bool hear(void)
{
    struct flo_err err = {0};
    memmove(worker.data, worker.data + worker.used, worker.bytes - worker.used);
    worker.bytes -= worker.used;
    worker.used = 0;
    for (;;) {
        ptrdiff_t n = flo_wire_read(worker.data, worker.bytes, &worker.got, &err);
        if (n < 0) {
            fail_msg("%s", err.what);
        }
        if (n > 0) {
            worker.used = (size_t)n;
            return true;
        }
        ssize_t got =
            recv(worker.fd, worker.data + worker.bytes, sizeof(worker.data) - worker.bytes, 0);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return false;
        }
        worker.bytes += (size_t)got;
    }
}

void expect(enum flo_wire_type type)
{
    assert_true(hear());
    if (worker.got.type != type) {
        fail_msg("got %s %.*s", flo_wire_type_name((int)worker.got.type),
                 worker.got.type == FLO_WIRE_FAILED ? (int)worker.got.failed.what.bytes : 0,
                 worker.got.failed.what.data);
    }
}

void say_open(const char *path)
{
    struct flo_wire_message open_it = {.type = FLO_WIRE_OPEN, .request = 1};
    open_it.open.threads = 1;
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    say(&open_it, fd);
    close(fd);
}

const char *bin(const char *name)
{
    static char path[512];
    assert_true(flo_process_sibling(name, path, sizeof(path)));
    return path;
}

void worker_open(const char *model)
{
    worker_spawn(bin("flotilla-engine"));
    say_open(model);
    expect(FLO_WIRE_READY);
}

struct flo_wire_message ask(uint32_t request, const char *prompt)
{
    struct flo_wire_message m = {.type = FLO_WIRE_GENERATE, .request = request};
    m.generate.n_messages = 1;
    m.generate.messages[0].role = TEXT("user");
    m.generate.messages[0].content = TEXT(prompt);
    return m;
}

void answer(char *text, size_t size)
{
    size_t n = 0;
    for (;;) {
        assert_true(hear());
        struct flo_wire_text piece =
            worker.got.type == FLO_WIRE_DONE ? worker.got.done.text : worker.got.token.text;
        if (worker.got.type == FLO_WIRE_FAILED) {
            fail_msg("%.*s", (int)worker.got.failed.what.bytes, worker.got.failed.what.data);
        }
        assert_true(n + piece.bytes < size);
        if (piece.bytes > 0) {
            memcpy(text + n, piece.data, piece.bytes);
        }
        n += piece.bytes;
        text[n] = '\0';
        if (worker.got.type == FLO_WIRE_DONE) {
            return;
        }
        assert_int_equal(worker.got.type, FLO_WIRE_TOKEN);
    }
}

void expect_end(uint32_t request)
{
    do {
        assert_true(hear());
    } while (worker.got.type != FLO_WIRE_DONE || worker.got.request != request);
}

void hear_all(struct heard *heard, int count)
{
    memset(heard, 0, sizeof(*heard));
    for (int ended = 0; ended < count;) {
        assert_true(hear());
        uint32_t who = worker.got.request;
        assert_true(who < 8);
        if (worker.got.type == FLO_WIRE_TOKEN) {
            assert_true(heard->made[who] < 200);
            heard->ids[who][heard->made[who]++] = worker.got.token.token;
        } else {
            assert_int_equal(worker.got.type, FLO_WIRE_DONE);
            heard->done[who] = worker.got.done;
            heard->order[ended++] = who;
        }
    }
}

struct flo_wire_message ask_many(uint32_t request, uint32_t tokens, enum flo_wire_priority priority)
{
    static char prompts[8][600];
    for (int i = 0; i < 590; i++) {
        prompts[request][i] = (char)("abcdefgh "[(i * 7 + i / 9) % 9]);
    }
    prompts[request][request] = '1';
    prompts[request][20 + 60 * request] = '\0';
    struct flo_wire_message m = ask(request, prompts[request]);
    m.generate.ignores_end = true;
    m.generate.max_tokens = tokens;
    m.generate.priority = (uint32_t)priority;
    m.generate.temperature = request % 2 == 0 ? 0.8 : 0;
    m.generate.seed = request;
    return m;
}
