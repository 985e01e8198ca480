/* Eval peer: runs the second model of a comparison in a process of its own.
 * The child handles one order at a time from a socket.  So the two models never
 * compute at the same time while they are timed. */
#include "engine/judge/eval.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <flotilla/errors/process.h>

enum order_kind {
    ORDER_ANSWER,
    ORDER_TOKENS,
    ORDER_FORCE,
    ORDER_ABOUT,
    ORDER_WATCH,
    ORDER_PROMPT,
    ORDER_STATES,
};
struct order {
    enum order_kind kind;
    /* ORDER_ANSWER: most tokens of the answer; ORDER_FORCE: number of tokens
     * that follow; ORDER_STATES: number of tokens to compute */
    uint32_t count;
    size_t index; /* index of the case in the suite */
};

/* Head of a reply, followed by tokens, a row or states.  An order FORCE gets one reply
 * for each row, and one more on failure. */
struct reply {
    int rv;
    struct flo_err err;
    struct flo_eval_answer answer;
    struct flo_eval_about about;
    struct flo_states_shape shape;
};

static size_t bytes_of(const struct flo_states_shape *shape, uint32_t count)
{
    return (size_t)shape->places * shape->width * count * sizeof(float);
}

static int receive(int socket, void *data, size_t bytes, struct flo_err *err)
{
    char *at = data;

    while (bytes > 0) {
        ssize_t n = read(socket, at, bytes);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return flo_fail(err, FLO_E_PROCESS, "the process of the other model ended");
        }
        at += n;
        bytes -= (size_t)n;
    }
    return 0;
}

/* ---- in the child ---- */

struct child {
    int socket;
    struct flo_eval_side side;
    const struct flo_suite *suite;
    struct reply reply;
};

static int send_reply(struct child *child, int rv, const void *data, size_t bytes)
{
    int sent;

    child->reply.rv = rv;
    sent = flo_fd_write_all(child->socket, &child->reply, sizeof(child->reply), NULL);
    return sent < 0 || rv < 0 ? sent : flo_fd_write_all(child->socket, data, bytes, NULL);
}

static int send_row(void *context, uint32_t position, const float *logits)
{
    struct child *child = context;

    (void)position;
    return send_reply(child, 0, logits, child->side.model->info->n_vocab * sizeof(*logits));
}

/* Tokenises the suite's answer into `tokens`, which are those behind the
 * prompt. */
static int tokenise(struct child *child, const char *text, int32_t *tokens)
{
    const struct flo_eval_side *side = &child->side;
    size_t room = side->model->info->context - side->n_prompt, count = 0;
    int rv = flo_engine_tokenise(side->model->text, text, strlen(text), 0, tokens, room, &count,
                                 &child->reply.err);

    child->reply.answer.tokens_out = (uint32_t)count;
    return send_reply(child, rv, tokens, count * sizeof(*tokens));
}

/* Carries out an order about hidden states. */
static int obey_watch(struct child *child, const struct order *order)
{
    struct flo_eval_side *side = &child->side;
    struct reply *reply = &child->reply;
    const float *values = NULL;
    size_t bytes = 0;
    int rv;

    if (order->kind == ORDER_WATCH) {
        rv = flo_eval_side_watch(side, &reply->shape, &reply->err);
    } else if (order->kind == ORDER_PROMPT) {
        rv = flo_eval_side_prompt(side, &child->suite->cases[order->index], &reply->answer,
                                  &reply->err);
    } else {
        rv = flo_eval_side_states(side, order->count, &values, &reply->err);
        bytes = bytes_of(&reply->shape, order->count);
    }
    return send_reply(child, rv, values, bytes);
}

static int obey(struct child *child, const struct order *order)
{
    struct flo_eval_side *side = &child->side;
    struct reply *reply = &child->reply;
    int32_t *tokens = side->tokens + side->n_prompt;
    int rv = 0;

    switch (order->kind) {
    case ORDER_ANSWER:
        rv = flo_eval_side_answer(side, &child->suite->cases[order->index], order->count,
                                  &reply->answer, &reply->err);
        return send_reply(child, rv, side->tokens + side->n_prompt,
                          reply->answer.tokens_out * sizeof(*tokens));
    case ORDER_TOKENS:
        return tokenise(child, child->suite->cases[order->index].answer, tokens);
    case ORDER_FORCE:
        FLO_TRY(receive(child->socket, tokens, order->count * sizeof(*tokens), NULL));
        rv = flo_eval_side_force(side, tokens, order->count, send_row, child, &reply->err);
        return rv < 0 ? send_reply(child, rv, NULL, 0) : 0;
    case ORDER_WATCH:
    case ORDER_PROMPT:
    case ORDER_STATES:
        return obey_watch(child, order);
    case ORDER_ABOUT:
        break;
    }
    flo_eval_side_about(side, &reply->about);
    return send_reply(child, 0, NULL, 0);
}

static void serve(struct child *child, const struct flo_tool *tool)
{
    struct order order;
    int rv = flo_eval_side_open(&child->side, tool, &child->reply.err);
    int sent = send_reply(child, rv, NULL, 0);

    while (rv == 0 && sent == 0 && receive(child->socket, &order, sizeof(order), NULL) == 0) {
        sent = obey(child, &order);
    }
}

/* ---- in the parent ---- */

static int hear(int peer, struct reply *reply, struct flo_err *err)
{
    int rv = receive(peer, reply, sizeof(*reply), err);

    FLO_TRY(rv);
    if (reply->rv == 0) {
        return rv;
    }
    *err = reply->err;
    return reply->rv;
}

int flo_eval_peer_open(const struct flo_tool *tool, const struct flo_suite *suite, int *peer,
                       struct flo_eval_about *about, struct flo_err *err)
{
    struct reply reply;
    int pair[2];
    pid_t pid;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        return flo_fail_errno(err, FLO_E_PROCESS, "socketpair");
    }
    pid = fork();
    if (pid < 0) {
        return flo_fail_errno(err, FLO_E_PROCESS, "fork");
    }
    if (pid == 0) {
        struct child child = {.socket = pair[1], .suite = suite};
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(pair[0]);
        serve(&child, tool);
        _exit(0);
    }
    close(pair[1]);
    *peer = pair[0];
    FLO_TRY(hear(*peer, &reply, err));
    return flo_eval_peer_about(*peer, about, err);
}

static int ask(int peer, const struct order *order, struct reply *reply, struct flo_err *err)
{
    FLO_TRY(flo_fd_write_all(peer, order, sizeof(*order), err));
    return hear(peer, reply, err);
}

int flo_eval_peer_about(int peer, struct flo_eval_about *about, struct flo_err *err)
{
    struct reply reply;

    FLO_TRY(ask(peer, &(struct order){.kind = ORDER_ABOUT}, &reply, err));
    *about = reply.about;
    return 0;
}

int flo_eval_peer_answer(int peer, size_t index, uint32_t tokens_max,
                         struct flo_eval_answer *answer, int32_t *tokens, struct flo_err *err)
{
    const struct order order = {ORDER_ANSWER, tokens_max, index};
    struct reply reply;

    FLO_TRY(ask(peer, &order, &reply, err));
    *answer = reply.answer;
    return receive(peer, tokens, answer->tokens_out * sizeof(*tokens), err);
}

int flo_eval_peer_tokens(int peer, size_t index, int32_t *tokens, uint32_t *count,
                         struct flo_err *err)
{
    const struct order order = {ORDER_TOKENS, 0, index};
    struct reply reply;

    FLO_TRY(ask(peer, &order, &reply, err));
    *count = reply.answer.tokens_out;
    return receive(peer, tokens, *count * sizeof(*tokens), err);
}

int flo_eval_peer_force(int peer, const int32_t *tokens, uint32_t count, struct flo_err *err)
{
    const struct order order = {ORDER_FORCE, count, 0};

    FLO_TRY(flo_fd_write_all(peer, &order, sizeof(order), err));
    return flo_fd_write_all(peer, tokens, count * sizeof(*tokens), err);
}

int flo_eval_peer_row(int peer, float *row, uint32_t n_vocab, struct flo_err *err)
{
    struct reply reply;

    FLO_TRY(hear(peer, &reply, err));
    return receive(peer, row, n_vocab * sizeof(*row), err);
}

int flo_eval_peer_watch(int peer, struct flo_states_shape *shape, struct flo_err *err)
{
    struct reply reply;

    FLO_TRY(ask(peer, &(struct order){.kind = ORDER_WATCH}, &reply, err));
    *shape = reply.shape;
    return 0;
}

int flo_eval_peer_prompt(int peer, size_t index, struct flo_eval_answer *answer,
                         struct flo_err *err)
{
    struct reply reply;

    FLO_TRY(ask(peer, &(struct order){ORDER_PROMPT, 0, index}, &reply, err));
    *answer = reply.answer;
    return 0;
}

int flo_eval_peer_states(int peer, const struct flo_states_shape *shape, uint32_t count,
                         float *values, struct flo_err *err)
{
    struct reply reply;

    FLO_TRY(ask(peer, &(struct order){ORDER_STATES, count, 0}, &reply, err));
    return receive(peer, values, bytes_of(shape, count), err);
}
