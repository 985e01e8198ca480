/* Operators: sends clients of the control socket the answers that they wait
 * for. */
#ifndef FLOTILLA_AGENT_OPERATORS_H
#define FLOTILLA_AGENT_OPERATORS_H

#include "agent/shell/report/report.h"

struct bufferevent;
struct flo_operator;

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

/* Sends the answer to an order to the operators that wait for it. */
void flo_control_ordered(struct flo_shell *shell, const char *order, const json_t *answer);
/* Tells whether no operator waits for the order's answer any more. */
bool flo_control_is_answered(const struct flo_shell *shell, const char *order);
/* Records whose installation the operators wait for. */
void flo_control_installs(struct flo_shell *shell, const struct flo_digest *release);

/* A client of the control socket.  It takes the stream, which flo_operator_free()
 * frees as well.  Returns NULL for too many clients, or when memory is lacking. */
struct flo_operator *flo_operator_new(struct flo_shell *shell, struct bufferevent *stream);
void flo_operator_free(struct flo_operator *client);
void flo_operators_free(struct flo_shell *shell);
struct flo_shell *flo_operator_shell(const struct flo_operator *client);
void flo_operator_send(struct flo_operator *client, const json_t *json);
/* Records what the operator waits for.  `order` is the id of an order, or "". */
void flo_operator_wait(struct flo_operator *client, enum flo_operator_wait wait, const char *order);

/* The same for a command that runs without an agent: the order that it waits for,
 * whether it waits until a trial has ended, and its answer (taken). */
void flo_alone_wait(struct flo_shell *shell, const char *order);
void flo_alone_wait_to_end(struct flo_shell *shell, bool is_to_end);
void flo_alone_answer(struct flo_shell *shell, json_t *answer);
/* Returns the last answer, borrowed.  NULL: none came yet. */
json_t *flo_alone_answered(const struct flo_shell *shell);
/* Forgets the answer, and the key of proofs. */
void flo_report_close(struct flo_shell *shell);

#endif
