/* Worker: runs the engine process, which serves many requests for one model
 * over one socket.  Its loop reads frames (requests.c), gives waiting requests
 * a session and computes one pass (passes.c), and writes answers.  The process
 * ends when the agent closes the socket. */
#include "engine/run/worker.h"
#include "base/args/args.h"
#include "engine/run/run.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SOCKET 3
#define INPUT_BYTES_MAX (FLO_WIRE_FRAME_BYTES_MAX + FLO_WIRE_PIECE_BYTES)
#define OUTPUT_BYTES_MAX (4 * FLO_WIRE_PAYLOAD_BYTES_MAX)

/* ---- the socket ---- */

/* Removes the first `bytes` bytes of a buffer. */
static void drop_front(struct flo_buf *buf, size_t bytes)
{
    if (bytes > 0) {
        buf->bytes -= bytes;
        memmove(buf->data, buf->data + bytes, buf->bytes);
    }
}

static bool is_busy(const struct flo_worker *worker)
{
    return worker->out.bytes > FLO_OUTPUT_BYTES;
}

/* Handles the whole frames at the front of the input.  Returns 1 if answers
 * must be sent before the next frame is handled. */
static int handle_input(struct flo_worker *worker)
{
    static struct flo_wire_message message;
    size_t at = 0;
    while (at < worker->in.bytes && !is_busy(worker)) {
        struct flo_err err = {0};
        ptrdiff_t used = flo_wire_read(worker->in.data + at, worker->in.bytes - at, &message, &err);
        if (used == 0) {
            break;
        }
        if (used < 0 || flo_worker_handle(worker, &message, &err) < 0) {
            return -1;
        }
        at += (size_t)used;
    }
    drop_front(&worker->in, at);
    return is_busy(worker);
}

static int send_output(struct flo_worker *worker)
{
    size_t at = 0;
    while (at < worker->out.bytes) {
        ssize_t n = send(worker->socket, worker->out.data + at, worker->out.bytes - at,
                         MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && errno != EAGAIN) {
            return -1;
        }
        if (n < 0) {
            break;
        }
        at += (size_t)n;
    }
    drop_front(&worker->out, at);
    return worker->out.failed ? -1 : 0;
}

/* Reads all bytes that have arrived, and handles their frames.  Returns 1 if
 * answers must be sent before more are handled, -1 if the connection ended. */
static int read_input(struct flo_worker *worker)
{
    int got = 1, left = handle_input(worker);
    while (got > 0 && left == 0) {
        got = flo_wire_receive(worker->socket, &worker->in, worker->fds, FLO_WIRE_FDS_MAX,
                               &worker->n_fds);
        left = handle_input(worker);
    }
    return got < 0 ? -1 : left;
}

/* Callback while a prefix is written.  It answers quick frames such as PING,
 * and returns true if a request waits, which stops the writing. */
static bool ends_writing(void *context)
{
    struct flo_worker *worker = context;
    return read_input(worker) != 0 || send_output(worker) < 0 || worker->in.bytes > 0 ||
           worker->waiting.count > 0;
}

/* Writes the prefix that requests share, while the process is idle and no
 * request arrives. */
static void keep_prefix(struct flo_worker *worker)
{
    bool is_written = false;
    if (ends_writing(worker)) { /* nothing is written, so the file's content stays valid */
        return;
    }
    for (size_t i = 0; i < worker->n_slots && !is_written; i++) {
        is_written = flo_kept_write(worker->kept, worker->slots[i].session, ends_writing, worker);
    }
    if (!is_written) {
        flo_kept_give_up(worker->kept);
    }
}

static void run(struct flo_worker *worker)
{
    bool has_work = false;
    int left = 0; /* unhandled input */
    uint64_t worked_ms = 0;
    for (;;) {
        bool is_full = is_busy(worker);
        bool is_idle = !has_work && left == 0;
        uint64_t now_ms = flo_now_ms();
        worked_ms = is_idle ? worked_ms : now_ms;
        int wait_ms = is_idle ? flo_kept_wait_ms(worker->kept, now_ms - worked_ms) : -1;
        struct pollfd wait = {.fd = worker->socket, .events = is_full ? 0 : POLLIN};
        if (worker->out.bytes > 0) {
            wait.events |= POLLOUT;
        }
        int ready = poll(&wait, 1, is_idle || is_full ? wait_ms : 0);
        if (ready < 0 && errno != EINTR) {
            return;
        }
        if (ready == 0 && wait_ms >= 0) {
            keep_prefix(worker);
            worked_ms = flo_now_ms(); /* from here on the idle time is counted again */
        }
        bool has_come = (wait.revents & (POLLIN | POLLHUP)) != 0;
        left = has_come ? read_input(worker) : handle_input(worker);
        if (left < 0) {
            return;
        }
        if (!is_full) {
            has_work = flo_worker_step(worker);
        }
        if (send_output(worker) < 0) {
            return;
        }
    }
}

/* ---- life ---- */

static void close_all(struct flo_worker *worker)
{
    for (size_t i = 0; i < worker->n_slots; i++) {
        flo_job_free(worker->slots[i].job);
        flo_sampler_close(worker->slots[i].sampler);
        flo_session_close(worker->slots[i].session);
    }
    for (size_t i = 0; i < worker->n_paused; i++) {
        flo_job_free(worker->paused[i]);
    }
    flo_embed_reset(&worker->embed);
    free(worker->embed.vector);
    flo_buf_deinit(&worker->waiting.frames);
    flo_kept_close(worker->kept);
    flo_adapters_close(&worker->adapters);
    flo_drafter_close(worker->drafting.drafter);
    flo_engine_close(worker->engine);
    flo_pool_close(worker->pool);
    flo_buf_deinit(&worker->in);
    flo_buf_deinit(&worker->out);
    flo_packing_close(&worker->packing);
    flo_worker_close_fds(worker);
}

int flo_worker_serve(int socket, enum flo_sandbox_mode mode, const struct flo_worker_words *words,
                     void (*opened)(int socket))
{
    static struct flo_worker worker;
    struct flo_err err = {0};
    worker.socket = socket;
    worker.opened = opened;
    worker.compute = words == NULL ? NULL : words->compute;
    worker.accepts_inexact = words != NULL && words->accepts_inexact;
    worker.in.bytes_max = INPUT_BYTES_MAX;
    worker.out.bytes_max = OUTPUT_BYTES_MAX;
    flo_sandbox_prepare(socket);
    flo_compute_prepare();
    int rv = flo_engine_sandbox_enter(FLO_SANDBOX_STARTING, mode, &err);
    if (rv < 0) {
        flo_frame_fail(&worker.out, 0, &err);
        rv = send_output(&worker);
        return FLO_EXIT_OTHER;
    }
    worker.is_sandboxed = rv == 1;
    run(&worker);
    close_all(&worker);
    return FLO_EXIT_OK;
}

/* Reads the words of the command line that follow the sandbox's mode. */
static int read_words(const char *const *words, struct flo_worker_words *out, struct flo_err *err)
{
    const char *backend = words[0] == NULL ? NULL : words[1];

    if (backend == NULL) {
        return 0;
    }
    out->accepts_inexact = words[2] != NULL && strcmp(words[2], "inexact") == 0;
    return strcmp(backend, "auto") == 0 ? 0 : flo_compute_find(backend, &out->compute, err);
}

int flo_cmd_worker(void *line, struct flo_err *err)
{
    const char *const *words = ((const struct flo_args *)line)->words;
    struct flo_worker_words chosen = {0};
    int type = 0;
    socklen_t bytes = sizeof(type);
    enum flo_sandbox_mode mode = FLO_SANDBOX_REQUIRED;

    if ((words[0] != NULL && !flo_sandbox_mode_parse(words[0], &mode)) ||
        getsockopt(SOCKET, SOL_SOCKET, SO_TYPE, &type, &bytes) < 0 || type != SOCK_STREAM) {
        flo_fail(err, FLO_E_USAGE,
                 "worker is started by flotilla-agent, with a socket as "
                 "descriptor 3");
        return flo_err_fix(err, "flotilla-agent serve --model FILE");
    }
    FLO_TRY(read_words(words, &chosen, err));
    signal(SIGINT, SIG_IGN); /* the agent handles Ctrl-C and ends this process */
    return flo_worker_serve(SOCKET, mode, &chosen, NULL);
}
