/* Spawn: starts an engine process, and sends it messages with descriptors. */
#include "agent/serve/engines/engines.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <flotilla/errors/process.h>

int flo_serve_engine_send(int fd, const struct flo_wire_message *message, const int *fds,
                          size_t count, struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf out = {0};
    FLO_TRY(flo_wire_write(&out, message, err));
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(SERVE_DESCRIPTORS_MAX * sizeof(int))] = {0};
    struct iovec vector = {out.data, out.bytes};
    struct msghdr head = {.msg_iov = &vector,
                          .msg_iovlen = 1,
                          .msg_control = control,
                          .msg_controllen = CMSG_SPACE(count * sizeof(int))};
    struct cmsghdr *c = CMSG_FIRSTHDR(&head);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(c), fds, count * sizeof(int));
    ssize_t sent = sendmsg(fd, &head, MSG_NOSIGNAL);
    bool has_ended = sent < 0 && (errno == EPIPE || errno == ECONNRESET);
    if (!has_ended && sent != (ssize_t)out.bytes) {
        return flo_fail_errno(err, FLO_E_PROCESS, "send the model");
    }
    return 0;
}

int flo_serve_engine_spawn(const struct flo_serve *serve, const char *verb, pid_t *pid, int *out,
                           struct flo_err *err)
{
    int pair[2];
    const char *argv[] = {
        serve->engine_path, verb, flo_sandbox_mode_word(serve->sandbox), NULL, NULL, NULL};
    /* Environment variables that the process gets.  It gets no others, because
     * a model must not read secrets. */
    static const char *const keep[] = {
        "FLOTILLA_KERNEL", "FLOTILLA_LOG",  "FLOTILLA_BIN", "FLO_*",  "LD_*", "ASAN_OPTIONS",
        "TSAN_OPTIONS",    "UBSAN_OPTIONS", "LSAN_OPTIONS", "QEMU_*", NULL};
    if (strcmp(verb, "worker") == 0 && (serve->is_llama_alone || serve->accepts_inexact)) {
        argv[3] = serve->is_llama_alone ? "llama" : "auto";
        argv[4] = serve->accepts_inexact ? "inexact" : NULL;
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        return flo_fail_errno(err, FLO_E_PROCESS, "socketpair");
    }
    int rv = flo_process_spawn_bare(argv, keep, pair[1], pid, err);
    close(pair[1]);
    if (rv < 0) {
        close(pair[0]);
        return rv;
    }
    *out = pair[0];
    return 0;
}
