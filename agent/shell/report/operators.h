/* Operators: sends clients of the control socket the answers that they wait
 * for. */
#ifndef FLOTILLA_AGENT_OPERATORS_H
#define FLOTILLA_AGENT_OPERATORS_H

#include "agent/shell/report/report.h"

struct bufferevent;
struct evconnlistener;

#define FLO_OPERATORS_MAX 16

/* Kind of answer that an operator waits for.  ANSWER: the result of a rollback
 * or a removal.  UPDATE: states until the release serves on trial.  END: states
 * until the trial has ended.  ORDER: the answer to a signed order. */
enum flo_operator_wait {
    FLO_WAIT_NOTHING,
    FLO_WAIT_ANSWER,
    FLO_WAIT_UPDATE,
    FLO_WAIT_END,
    FLO_WAIT_ORDER, /* the operator waits for the answer to the order `order` */
};

struct flo_operator {
    struct flo_control *control;
    struct bufferevent *stream;
    enum flo_operator_wait wait;
    char order[FLO_NAME_MAX + 1];
};

struct flo_control {
    struct flo_shell *shell;
    struct evconnlistener *listener;
    char path[108];
    struct flo_operator *clients[FLO_OPERATORS_MAX];
};

/* Sends the answer to an order to the operators that wait for it. */
void flo_control_ordered(struct flo_shell *shell, const char *order, const json_t *answer);
/* Tells whether no operator waits for the order's answer any more. */
bool flo_control_is_answered(const struct flo_shell *shell, const char *order);
void flo_operator_free(struct flo_operator *client);
void flo_operator_send(struct flo_operator *client, const json_t *json);

#endif
