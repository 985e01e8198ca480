/* The model that another is compared with, in a process of its own: it
 * answers one order at a time over a socket, so that the two never compute at
 * the same moment while they are timed. */
#include "engine/tools/eval.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum order_kind { ORDER_ANSWER, ORDER_FORCE, ORDER_ABOUT };
struct order {
    enum order_kind kind;
    uint32_t count; /* tokens that follow; of an answer: its maximum */
    size_t index;   /* of the case */
};

static int receive(int socket, void *data, size_t bytes, struct flo_err *err)
{
    char *at = data;

    while (bytes > 0) {
        ssize_t n = read(socket, at, bytes);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return flo_fail(err, FLO_E_PROCESS,
                            "the process of the other model ended");
        }
        at += n;
        bytes -= (size_t)n;
    }
    return 0;
}

/* ---- in the child ------------------------------------------------ */

struct child {
    int socket;
    struct flo_eval_side side;
    const struct flo_suite *suite;
    uint32_t n_vocab;
};

/* Every answer begins so: 0, or the error. */
static int reply(const struct child *child, int rv, const struct flo_err *err)
{
    int sent = flo_fd_write_all(child->socket, &rv, sizeof(rv), NULL);

    if (sent == 0 && rv < 0) {
        sent = flo_fd_write_all(child->socket, err, sizeof(*err), NULL);
    }
    return sent;
}

static int send_row(void *context, uint32_t position, const float *logits)
{
    const struct child *child = context;
    int sent = reply(child, 0, NULL);

    (void)position;
    return sent < 0 ? sent
                    : flo_fd_write_all(child->socket, logits,
                                       child->n_vocab * sizeof(*logits), NULL);
}

static int answer(struct child *child, const struct order *order)
{
    struct flo_eval_answer result;
    struct flo_err err = {0};
    int rv =
        flo_eval_side_answer(&child->side, &child->suite->cases[order->index],
                             order->count, &result, &err);
    int sent = reply(child, rv, &err);

    if (sent == 0 && rv == 0) {
        sent = flo_fd_write_all(child->socket, &result, sizeof(result), NULL);
    }
    if (sent == 0 && rv == 0) {
        sent = flo_fd_write_all(
            child->socket, child->side.tokens + child->side.n_prompt,
            result.tokens_out * sizeof(*child->side.tokens), NULL);
    }
    return sent;
}

static int force(struct child *child, const struct order *order)
{
    int32_t *tokens = child->side.tokens + child->side.n_prompt;
    struct flo_err err = {0};
    int rv =
        receive(child->socket, tokens, order->count * sizeof(*tokens), NULL);

    if (rv < 0) {
        return rv;
    }
    rv = flo_eval_side_force(&child->side, tokens, order->count, send_row,
                             child, &err);
    return rv < 0 ? reply(child, rv, &err) : 0;
}

static int about(struct child *child)
{
    struct flo_eval_about out;
    int sent = reply(child, 0, NULL);

    flo_eval_side_about(&child->side, &out);
    return sent < 0 ? sent
                    : flo_fd_write_all(child->socket, &out, sizeof(out), NULL);
}

static void serve(struct child *child, const struct flo_tool *tool)
{
    struct flo_err err = {0};
    struct order order;
    int rv = flo_eval_side_open(&child->side, tool, &err);
    int sent = reply(child, rv, &err);

    while (rv == 0 && sent == 0 &&
           receive(child->socket, &order, sizeof(order), NULL) == 0) {
        child->n_vocab = child->side.model.info->n_vocab;
        sent = order.kind == ORDER_ANSWER  ? answer(child, &order)
               : order.kind == ORDER_FORCE ? force(child, &order)
                                           : about(child);
    }
    flo_eval_side_close(&child->side);
}

/* ---- in the parent ----------------------------------------------- */

static int hear(struct flo_eval_peer *peer, struct flo_err *err)
{
    struct flo_err told;
    int rv, got = receive(peer->socket, &rv, sizeof(rv), err);

    if (got < 0 || rv == 0) {
        return got;
    }
    got = receive(peer->socket, &told, sizeof(told), err);
    if (got == 0 && err != NULL) {
        *err = told;
    }
    return got < 0 ? got : flo_wrap(err, rv, "--against");
}

int flo_eval_peer_open(struct flo_eval_peer *peer, const struct flo_tool *tool,
                       const struct flo_suite *suite,
                       struct flo_eval_about *out, struct flo_err *err)
{
    int pair[2], rv;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        return flo_fail_errno(err, FLO_E_PROCESS, "socketpair");
    }
    peer->pid = fork();
    if (peer->pid == 0) {
        struct child child = {.socket = pair[1], .suite = suite};
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(pair[0]);
        serve(&child, tool);
        _exit(0);
    }
    close(pair[1]);
    peer->socket = pair[0];
    if (peer->pid < 0) {
        close(pair[0]);
        return flo_fail_errno(err, FLO_E_PROCESS, "fork");
    }
    rv = hear(peer, err);
    return rv < 0 ? rv : flo_eval_peer_about(peer, out, err);
}

void flo_eval_peer_close(struct flo_eval_peer *peer)
{
    if (peer->pid <= 0) {
        return;
    }
    close(peer->socket);
    while (waitpid(peer->pid, NULL, 0) < 0 && errno == EINTR) {
    }
    peer->pid = 0;
}

static int say(struct flo_eval_peer *peer, const struct order *order,
               struct flo_err *err)
{
    return flo_fd_write_all(peer->socket, order, sizeof(*order), err);
}

int flo_eval_peer_about(struct flo_eval_peer *peer, struct flo_eval_about *out,
                        struct flo_err *err)
{
    int rv = say(peer, &(struct order){.kind = ORDER_ABOUT}, err);

    rv = rv < 0 ? rv : hear(peer, err);
    return rv < 0 ? rv : receive(peer->socket, out, sizeof(*out), err);
}

int flo_eval_peer_answer(struct flo_eval_peer *peer, size_t index,
                         uint32_t tokens_max, struct flo_eval_answer *result,
                         int32_t *tokens, struct flo_err *err)
{
    const struct order order = {ORDER_ANSWER, tokens_max, index};
    int rv = say(peer, &order, err);

    rv = rv < 0 ? rv : hear(peer, err);
    rv = rv < 0 ? rv : receive(peer->socket, result, sizeof(*result), err);
    return rv < 0 ? rv
                  : receive(peer->socket, tokens,
                            result->tokens_out * sizeof(*tokens), err);
}

int flo_eval_peer_force(struct flo_eval_peer *peer, const int32_t *tokens,
                        uint32_t count, struct flo_err *err)
{
    const struct order order = {ORDER_FORCE, count, 0};
    int rv = say(peer, &order, err);

    return rv < 0 ? rv
                  : flo_fd_write_all(peer->socket, tokens,
                                     count * sizeof(*tokens), err);
}

int flo_eval_peer_row(struct flo_eval_peer *peer, float *row, uint32_t n_vocab,
                      struct flo_err *err)
{
    int rv = hear(peer, err);

    return rv < 0 ? rv
                  : receive(peer->socket, row, n_vocab * sizeof(*row), err);
}
