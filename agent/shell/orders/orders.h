/* Orders: turns a signed order into an event for the core, and answers the
 * order. */
#ifndef FLOTILLA_AGENT_ORDERS_ORDERS_H
#define FLOTILLA_AGENT_ORDERS_ORDERS_H

#include "agent/shell/update/update.h"

/* order_answers.c */
/* Stores and sends the outcome of an order.  Takes `error`; NULL: none. */
void flo_shell_answer(struct flo_shell *shell, const char *order, const char *outcome,
                      json_t *error);
/* Answers that a newer order replaces this one, with its id if known.  This
 * answer is not stored, because repeated old orders must not displace answers
 * to others. */
void flo_shell_answer_superseded(struct flo_shell *shell, const char *order, const char *by,
                                 uint64_t number);
/* Sends the stored outcome of an order again.  Returns false when none is
 * stored. */
bool flo_shell_answer_again(struct flo_shell *shell, const char *order);
bool flo_shell_is_answered(struct flo_shell *shell, const char *order);
/* Writes the decision about an order to the trace, when the order first
 * arrives. */
void flo_shell_order_trace(struct flo_shell *shell, const char *order, const char *word,
                           const char *why);
/* Stores the time at which an order arrived.  The duration in its answer counts
 * from that time. */
void flo_shell_order_received(struct flo_shell *shell, const char *order);

/* afar.c */
/* Sends the report that an order asks for, then answers the order when the
 * controller has the report. */
void flo_shell_report_afar(struct flo_shell *shell, const struct flo_order *order);

/* orders.c */
/* Lists the paused rollouts, no execution of which starts. */
void flo_shell_pauses(const struct flo_shell *shell, struct flo_agent_pauses *out);
/* Verifies an order and compares it with the stored ones.  Returns true when
 * `out` is an event that the core must get before the next call. */
bool flo_orders_take(struct flo_shell *shell, const json_t *envelope, bool is_list,
                     struct flo_intake *out);
/* Checks that a trusted key signed the order, that it is for this device, and
 * that it has not expired.  `id` gets the order's id.
 * FLO_E_SIG_..., FLO_E_CMD_..., FLO_E_TRUST_NUMBER  the order is not
 * accepted */
FLO_MUST_USE int flo_orders_check(const struct flo_shell *shell, const json_t *envelope,
                                  char id[FLO_NAME_MAX + 1], struct flo_err *err);
/* Tells whether the assigned release must be installed again, because a
 * rollback with a lower order number interrupted its installation and has
 * ended.  `out` is then the event that installs it. */
bool flo_orders_converge(struct flo_shell *shell, struct flo_intake *out);
/* Makes the event that installs the release in `wanted` from its bundle. */
FLO_MUST_USE int flo_orders_install(struct flo_shell *shell,
                                    const struct flo_agent_execution *wanted,
                                    struct flo_intake *out, struct flo_err *err);
/* Starts a repair of a damaged release, which the core asks for. */
void flo_orders_repair(struct flo_shell *shell, uint32_t model,
                       const struct flo_release_ref *release);

#endif
